use proptest::prelude::*;

use super::*;
use crate::Limits;

/// A screen of this size, with a palette of red, green, blue and white if `palette` is set.
fn screen(width: u8, height: u8, palette: bool) -> Vec<u8> {
    let mut file = b"GIF89a".to_vec();
    file.extend([width, 0, height, 0, if palette { 0x81 } else { 0 }, 0, 0]);
    if palette {
        file.extend([255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255]);
    }
    file
}

fn control(disposal: u8, delay: u8, transparent: Option<u8>) -> Vec<u8> {
    vec![
        0x21,
        0xf9,
        4,
        disposal << 2 | u8::from(transparent.is_some()),
        delay,
        0,
        transparent.unwrap_or(0),
        0,
    ]
}

/// A picture at this place and size. Each pixel is preceded by a clear code, so the codes keep three bits.
fn picture([left, top, width, height]: [u8; 4], flags: u8, pixels: &[u8]) -> Vec<u8> {
    let codes = pixels.iter().flat_map(|&pixel| [4, pixel]).chain([5]);
    let (mut bytes, mut held, mut count) = (Vec::new(), 0_u32, 0);
    for code in codes {
        held |= u32::from(code) << count;
        count += 3;
        while count >= 8 {
            bytes.push(held as u8);
            held >>= 8;
            count -= 8;
        }
    }
    bytes.push(held as u8);
    let mut block = vec![0x2c, left, 0, top, 0, width, 0, height, 0, flags, 2, bytes.len() as u8];
    block.extend(bytes);
    block.push(0);
    block
}

/// The pixels of every frame as letters, with its milliseconds, and how often the animation is played.
fn shown(file: &[u8]) -> Result<(Vec<(String, u32)>, u32), ImageError> {
    let header = header(file)?;
    header.check(&Limits::default())?;
    let mut frames = Vec::new();
    let plays = super::frames(file, &header, Deadline::none(), &mut |rgba, delay| {
        let letter = |pixel: &[u8; 4]| match *pixel {
            [255, 0, 0, 255] => 'r',
            [0, 255, 0, 255] => 'g',
            [0, 0, 255, 255] => 'b',
            [255, 255, 255, 255] => 'w',
            [_, _, _, 0] => '.',
            _ => '?',
        };
        frames.push((rgba.as_chunks().0.iter().map(letter).collect(), delay));
        Ok(())
    })?;
    Ok((frames, plays))
}

fn pictures(file: &[u8]) -> Vec<String> {
    shown(file).expect("a GIF").0.into_iter().map(|(picture, _)| picture).collect()
}

#[test]
fn frames_are_disposed_of_as_each_asks() {
    for (disposal, after) in [(0, "rgwr"), (1, "rgwr"), (2, "r.wr"), (3, "rrwr"), (4, "rrwr"), (7, "rgwr")] {
        let file = [
            screen(2, 2, true),
            picture([0, 0, 2, 2], 0, &[0, 0, 0, 0]),
            control(disposal, 7, None),
            picture([1, 0, 1, 1], 0, &[1]),
            picture([0, 1, 1, 1], 0, &[3]),
            vec![0x3b],
        ];
        let (frames, plays) = shown(&file.concat()).expect("a GIF");
        assert_eq!(
            frames,
            [("rrrr".into(), 0), ("rgrr".into(), 70), (after.into(), 0)],
            "disposal {disposal}"
        );
        assert_eq!(plays, 1, "once, where nothing is said");
    }
}

#[test]
fn a_transparent_index_leaves_what_is_there() {
    let file = [
        screen(2, 1, true),
        picture([0, 0, 2, 1], 0, &[0, 0]),
        control(0, 0, Some(1)),
        picture([0, 0, 2, 1], 0, &[1, 2]),
    ];
    assert_eq!(pictures(&file.concat()), ["rr", "rb"]);
}

#[test]
fn rows_that_are_interlaced_are_put_in_their_places() {
    let rows = [0, 3, 2, 3, 1, 3, 2, 3, 0];
    let stored = [0, 8, 4, 2, 6, 1, 3, 5, 7].map(|row: usize| rows[row]);
    let file = [screen(1, 9, true), picture([0, 0, 1, 9], 0x40, &stored)].concat();
    assert_eq!(pictures(&file), ["rwbwgwbwr"]);
    let cut = [screen(1, 9, true), picture([0, 0, 1, 9], 0x40, &stored[..4])].concat();
    assert_eq!(
        pictures(&cut),
        ["rrbbggggr"],
        "those that are missing are like those above of earlier passes"
    );
}

#[test]
fn a_palette_of_its_own_goes_before_the_screens_and_none_is_grey() {
    let own = |flags: u8| {
        let mut block = picture([0, 0, 1, 1], flags, &[1]);
        if flags & 0x80 != 0 {
            block.splice(10..10, [9, 9, 9, 255, 255, 255]);
        }
        block
    };
    assert_eq!(pictures(&[screen(1, 1, true), own(0x80)].concat()), ["w"]);
    assert_eq!(pictures(&[screen(1, 1, true), own(0)].concat()), ["g"]);
    let grey = [screen(1, 1, false), own(0)].concat();
    let decoded = decode(&grey, &header(&grey).expect("a GIF"), Deadline::none()).expect("a picture");
    assert_eq!(decoded.rgba, [1, 1, 1, 255]);
}

#[test]
fn the_first_picture_enlarges_its_screen_and_later_ones_are_cut_off() {
    let empty = [screen(0, 0, true), picture([0, 0, 2, 1], 0, &[1, 2])].concat();
    assert_eq!(header(&empty).expect("a GIF").stored, (2, 1));
    assert_eq!(pictures(&empty), ["gb"]);
    let beyond = [
        screen(1, 1, true),
        picture([1, 0, 1, 1], 0, &[1]),
        picture([1, 0, 2, 2], 0, &[2, 3, 3, 3]),
        picture([9, 9, 1, 1], 0, &[0]),
    ];
    assert_eq!(pictures(&beyond.concat()), [".g", ".b", ".b"]);
}

#[test]
fn how_often_it_is_shown_counts_the_first_time() {
    for (extension, plays) in [(&[0, 0][..], 0), (&[1, 0], 2), (&[2, 1], 259)] {
        let mut file = screen(1, 1, true);
        file.extend(b"\x21\xff\x0bNETSCAPE2.0\x03\x01");
        file.extend(extension);
        file.push(0);
        file.extend(picture([0, 0, 1, 1], 0, &[0]));
        assert_eq!(shown(&file).expect("a GIF").1, plays);
    }
}

#[test]
fn odd_blocks_between_pictures_end_nothing_that_browsers_go_on_with() {
    let odd_control = vec![0x21, 0xf9, 2, 0, 0, 0];
    let unknown = vec![0x21, 0x77, 3, 1, 2, 3, 0];
    let file = [
        screen(1, 1, true),
        odd_control,
        picture([0, 0, 1, 1], 0, &[0]),
        vec![0, 0],
        unknown,
        picture([0, 0, 1, 1], 0, &[1]),
        b"\x3bjunk,".to_vec(),
        picture([0, 0, 1, 1], 0, &[2]),
    ];
    assert_eq!(pictures(&file.concat()), ["r", "g"], "what follows the end is no picture");
}

#[test]
fn a_file_cut_short_shows_its_whole_frames_and_of_the_first_what_there_is() {
    let first = picture([0, 0, 2, 2], 0, &[1, 1, 2, 2]);
    let whole = [screen(2, 2, true), first.clone(), picture([0, 0, 2, 2], 0, &[0, 0, 0, 0])].concat();
    assert_eq!(pictures(&whole), ["ggbb", "rrrr"]);
    let start = screen(2, 2, true).len() + first.len();
    for end in start + 1..whole.len() {
        assert_eq!(pictures(&whole[..end]), ["ggbb"], "{end} bytes");
    }
    assert_eq!(pictures(&whole[..start - 3])[0].len(), 4);
    assert!(matches!(shown(&screen(2, 2, true)), Err(ImageError::Corrupt { .. })));
    assert!(matches!(shown(b"GIF89a"), Err(ImageError::Corrupt { .. })));
}

#[test]
fn frames_are_counted_with_their_own_sizes() {
    let file =
        [screen(4, 4, true), picture([0, 0, 2, 2], 0, &[0; 4]), picture([0, 0, 3, 2], 0, &[0; 6])].concat();
    let whole = header(&file).expect("a GIF");
    assert_eq!((whole.frames, whole.stored, whole.largest_frame), (2, (4, 4), (3, 2)));
    assert_eq!(header(&file[..file.len() - 3]).expect("a GIF").frames, 2, "a cut-off frame counts");
}

#[test]
fn a_profile_is_found_whole() {
    let mut file = screen(1, 1, true);
    file.extend(b"\x21\xff\x0bICCRGBG1012\x03abc\x02de\x00");
    file.extend(picture([0, 0, 1, 1], 0, &[0]));
    assert_eq!(profile(&file).as_deref(), Some(&b"abcde"[..]));
    assert_eq!(profile(&screen(1, 1, true)), None);
}

/// Codes, most of which are in the dictionary when they are used, and the pixels that they stand for (Graphics
/// Interchange Format 89a, appendix F), by a dictionary that holds every string in full.
fn codes(size: u8, choices: &[(u8, u16)], pixels: usize) -> (Vec<u8>, Vec<u8>) {
    let (clear, end) = (1_usize << size, (1_usize << size) + 1);
    let start = || -> Vec<Option<Vec<u8>>> {
        let literals = (0..clear).map(|code| u8::try_from(code).ok().map(|byte| vec![byte]));
        literals.chain([None, None]).collect()
    };
    let (mut strings, mut last): (_, Option<Vec<u8>>) = (start(), None);
    let (mut width, mut bits, mut out, mut ended) = (u32::from(size) + 1, Vec::new(), Vec::new(), false);
    for &(choice, any) in choices {
        let next = strings.len();
        let code = match choice {
            0 => next,
            1 => next - 1,
            2 if any % 16 == 0 => clear,
            3 if any % 64 == 0 => usize::from(any) % (1 << width),
            _ => usize::from(any) % next,
        };
        let code = code.min((1 << width) - 1);
        bits.extend((0..width).map(|bit| code >> bit & 1 == 1));
        if ended || out.len() >= pixels {
            continue;
        }
        if code == clear {
            (strings, last, width) = (start(), None, u32::from(size) + 1);
            continue;
        }
        let known = strings.get(code).cloned();
        let text = match (known, &last) {
            (Some(Some(text)), _) => text,
            (None, Some(last)) if code == next && next < 4096 => [&last[..], &last[..1]].concat(),
            _ => {
                ended = true;
                continue;
            }
        };
        if code == end {
            ended = true;
            continue;
        }
        if let Some(last) = last
            && next < 4096
        {
            strings.push(Some([&last[..], &text[..1]].concat()));
            if strings.len() == 1 << width && width < 12 {
                width += 1;
            }
        }
        out.extend(&text);
        last = Some(text);
    }
    out.truncate(pixels);
    bits.extend((0..width).map(|bit| end >> bit & 1 == 1));
    let bytes: Vec<u8> =
        bits.chunks(8).map(|bits| (0..).zip(bits).map(|(at, &bit)| u8::from(bit) << at).sum()).collect();
    let pieces = bytes.chunks(255).flat_map(|piece| [&[piece.len() as u8], piece].concat());
    (pieces.chain([0]).collect(), out)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn our_codes_are_read_as_another_reads_them(
        pixels in prop::collection::vec(0..4_u8, 1..9000), repeat in 1..40_usize, size in 2..9_u8,
    ) {
        let pixels: Vec<u8> = pixels.into_iter().flat_map(|pixel| vec![pixel; repeat]).collect();
        let codes = weezl::encode::Encoder::new(weezl::BitOrder::Lsb, size).encode(&pixels).expect("codes");
        let mut chain: Vec<u8> = Vec::new();
        for piece in codes.chunks(255) {
            chain.push(piece.len() as u8);
            chain.extend(piece);
        }
        chain.push(0);
        let mut lzw = Lzw::new();
        let pieces = blocks::SubBlocks::new(&chain);
        let read = lzw.decode(pieces, size, pixels.len(), Deadline::none()).expect("no deadline");
        prop_assert!(read == pixels);
    }

    #[test]
    fn any_codes_are_read_as_the_specification_says(
        pictures in prop::collection::vec(
            (1..12_u8, prop::collection::vec((0..10_u8, any::<u16>()), 1..700), 1..9_usize, 1..20_000_usize), 1..4,
        ),
    ) {
        // One decoder for all pictures, so that state left over from one would show in the next.
        let mut lzw = Lzw::new();
        for (size, choices, repeat, pixels) in pictures {
            let (chain, expected) = codes(size, &choices.repeat(repeat), pixels);
            let read = lzw.decode(blocks::SubBlocks::new(&chain), size, pixels, Deadline::none());
            prop_assert!(read.expect("no deadline") == expected);
        }
    }

    #[test]
    fn any_bytes_are_answered(
        bytes in prop::collection::vec(any::<u8>(), 0..300), frames in 0..4_usize, size in 0..13_u8,
    ) {
        // A screen of 16 pixels, so that most of the random bytes are pictures.
        let mut file = screen(4, 4, true);
        for part in bytes.chunks(bytes.len() / (frames + 1) + 1) {
            file.extend([0x21, 0xf9, 4]);
            file.extend(part.iter().take(4));
            file.extend([0, 0x2c, 0, 0, 1, 0, 4, 0, 4, 0, part[0], size]);
            file.extend(part);
        }
        drop(shown(&file));
        drop(shown(&[&b"GIF89a"[..], &bytes].concat()));
    }
}
