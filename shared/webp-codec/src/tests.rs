//! libwebp compared with itself: rows, reduced pictures and data in slices give the same as its simplest functions.

use std::ptr;

use super::*;

/// Gradients, edges, and some detail in every block.
fn picture(width: u32, height: u32, alpha: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    let pixel = |x: u32, y: u32| {
        let wave = (x * x / 7 + y * y / 5) % 97;
        [(x * 255 / width) as u8, ((y * 511 / height + wave) % 256) as u8, (wave * 2) as u8, alpha(x, y)]
    };
    (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect()
}

const SIZE: (u32, u32) = (203, 149);

fn file(quality: Quality, alpha: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    encode(&picture(SIZE.0, SIZE.1, alpha), SIZE, quality, &mut || true).expect("a file")
}

/// The picture's chunks in a file that contains nothing else.
fn chunks(file: &[u8]) -> &[u8] {
    let start = if &file[12..16] == b"VP8X" { 30 } else { 12 };
    &file[start..]
}

fn whole() -> Part {
    Part { left: 0, top: 0, width: SIZE.0, height: SIZE.1 }
}

#[derive(Default)]
struct Channels([Vec<Vec<u8>>; 4]);

fn rows_of(picture: &[u8], part: Part) -> (Channels, Outcome) {
    let mut channels = Channels::default();
    let outcome = decode_rows(picture, part, true, &mut |rows| {
        assert_eq!(rows.top as usize, channels.0[0].len());
        let planes = [Some(rows.luma), Some(rows.blue), Some(rows.red), rows.alpha];
        for (channel, plane) in channels.0.iter_mut().zip(planes) {
            channel.extend(plane.into_iter().flat_map(Plane::rows).map(<[u8]>::to_vec));
        }
        true
    });
    (channels, outcome.expect("a lossy picture"))
}

/// Luma and both chroma planes by libwebp's one-call function.
fn yuv(file: &[u8]) -> [Vec<Vec<u8>>; 3] {
    let (mut width, mut height, mut stride, mut half_stride) = (0, 0, 0, 0);
    let (mut u, mut v) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: pointer and length are of one slice; the others are valid for writing.
    let y = unsafe {
        libwebp_sys::WebPDecodeYUV(
            file.as_ptr(),
            file.len(),
            &raw mut width,
            &raw mut height,
            &raw mut u,
            &raw mut v,
            &raw mut stride,
            &raw mut half_stride,
        )
    };
    assert!(!y.is_null());
    let copy = |from: *mut u8, stride: i32, width: i32, height: i32| {
        let row = |row: i32| {
            // SAFETY: the plane has that many rows.
            let start = unsafe { from.offset((row * stride) as isize) };
            // SAFETY: a row has that many samples.
            unsafe { std::slice::from_raw_parts(start, width as usize) }.to_vec()
        };
        (0..height).map(row).collect::<Vec<_>>()
    };
    let planes = [
        copy(y, stride, width, height),
        copy(u, half_stride, (width + 1) / 2, (height + 1) / 2),
        copy(v, half_stride, (width + 1) / 2, (height + 1) / 2),
    ];
    // SAFETY: the library's own memory, given back once.
    unsafe { libwebp_sys::WebPFree(y.cast()) };
    planes
}

fn rgba_of(picture: &[u8]) -> (Vec<u8>, Outcome) {
    let mut rgba = vec![7; (SIZE.0 * SIZE.1 * 4) as usize];
    let outcome = decode_rgba(picture, SIZE, &mut rgba, &mut || true).expect("a picture");
    (rgba, outcome)
}

#[test]
fn rows_are_those_of_the_whole_decoder() {
    for quality in [5, 60, 100] {
        let file = file(Quality::Lossy(quality), |_, _| 255);
        let (channels, outcome) = rows_of(chunks(&file), whole());
        assert_eq!(outcome, Outcome { rows: SIZE.1, end: End::Whole });
        assert_eq!(channels.0[..3], yuv(&file));
        assert!(channels.0[3].is_empty());
    }
}

#[test]
fn a_parts_rows_are_those_of_the_whole_there() {
    let file = file(Quality::Lossy(70), |x, _| (x % 256) as u8);
    let (all, _) = rows_of(chunks(&file), whole());
    for part in [
        Part { left: 16, top: 32, width: 64, height: 48 },
        Part { left: 6, top: 10, width: 31, height: 17 },
        Part { left: 202, top: 148, width: 1, height: 1 },
        Part { left: 0, top: 2, width: 203, height: 147 },
    ] {
        let (channels, outcome) = rows_of(chunks(&file), part);
        assert_eq!(outcome, Outcome { rows: part.height, end: End::Whole }, "{part:?}");
        for (index, (some, all)) in channels.0.iter().zip(&all.0).enumerate() {
            let half =
                |length: u32| if matches!(index, 1 | 2) { length.div_ceil(2) } else { length } as usize;
            let rows = all.iter().skip(half(part.top)).take(half(part.height));
            let expected: Vec<_> =
                rows.map(|row| row[half(part.left)..half(part.left) + half(part.width)].to_vec()).collect();
            assert_eq!(*some, expected, "{part:?}, channel {index}");
        }
    }
}

#[test]
fn alpha_comes_with_its_rows() {
    let file = file(Quality::Lossy(40), |x, y| (x + y) as u8);
    let (channels, _) = rows_of(chunks(&file), whole());
    let expected: Vec<Vec<u8>> = (0..SIZE.1).map(|y| (0..SIZE.0).map(|x| (x + y) as u8).collect()).collect();
    assert_eq!(channels.0[3], expected);
}

#[test]
fn a_part_outside_the_picture_or_at_an_odd_place_is_refused() {
    let file = file(Quality::Lossy(50), |_, _| 255);
    for part in [
        Part { left: 1, ..whole() },
        Part { top: 3, height: 4, ..whole() },
        Part { width: 204, ..whole() },
        Part { width: 0, ..whole() },
        Part { left: 2, width: u32::MAX, ..whole() },
    ] {
        assert_eq!(decode_rows(chunks(&file), part, true, &mut |_| true), Err(Error::Size), "{part:?}");
    }
}

#[test]
fn rows_stop_when_they_are_told_to_and_pass_a_panic_on() {
    let file = file(Quality::Lossy(50), |_, _| 255);
    let mut bands = 0;
    let outcome = decode_rows(chunks(&file), whole(), true, &mut |_| {
        bands += 1;
        bands < 2
    });
    assert_eq!((bands, outcome.expect("a picture").end), (2, End::Stopped));
    let panic =
        std::panic::catch_unwind(|| decode_rows(chunks(&file), whole(), true, &mut |_| panic!("mine")));
    assert_eq!(panic.expect_err("a panic").downcast_ref::<&str>(), Some(&"mine"));
}

#[test]
fn a_lossless_picture_has_no_such_rows_and_comes_back_to_the_bit() {
    let alpha = |x: u32, y: u32| (x * y % 255 + 1) as u8;
    let file = file(Quality::Lossless, alpha);
    assert_eq!(decode_rows(chunks(&file), whole(), true, &mut |_| true), Err(Error::NotAPicture));
    let (rgba, outcome) = rgba_of(chunks(&file));
    assert_eq!(outcome, Outcome { rows: SIZE.1, end: End::Whole });
    assert_eq!(rgba, picture(SIZE.0, SIZE.1, alpha));
}

#[test]
fn a_picture_cut_off_is_decoded_as_far_as_it_goes() {
    for quality in [Quality::Lossy(90), Quality::Lossless] {
        let file = file(quality, |_, _| 255);
        let picture = chunks(&file);
        let (all, _) = rgba_of(picture);
        let mut before = 0;
        for eighths in 1..8 {
            let (some, outcome) = rgba_of(&picture[..picture.len() * eighths / 8]);
            assert_eq!(outcome.end, End::CutOff, "{quality:?} {eighths}");
            assert!(outcome.rows >= before && outcome.rows < SIZE.1, "{quality:?} {eighths}: {outcome:?}");
            before = outcome.rows;
            let shown = (outcome.rows * SIZE.0 * 4) as usize;
            assert_eq!(some[..shown], all[..shown], "{quality:?} {eighths}");
            assert!(
                some[shown + SIZE.0 as usize * 4 * 8..].iter().all(|&value| value == 7),
                "the rest is left alone"
            );
        }
        assert!(before > SIZE.1 / 2, "{quality:?}: {before}");
    }
}

#[test]
fn a_reduced_picture_is_the_mean_weighed_by_alpha() {
    // Opaque white beside transparent black.
    let rgba: Vec<u8> =
        (0..64 * 64).flat_map(|at| if at % 2 == 0 { [255; 4] } else { [0, 0, 0, 0] }).collect();
    let file = encode(&rgba, (64, 64), Quality::Lossless, &mut || true).expect("a file");
    let mut reduced = vec![0; 16 * 16 * 4];
    let outcome = decode_rgba(chunks(&file), (16, 16), &mut reduced, &mut || true).expect("a picture");
    assert_eq!(outcome, Outcome { rows: 16, end: End::Whole });
    for pixel in reduced.as_chunks::<4>().0 {
        assert!(pixel[..3].iter().all(|&value| value >= 253) && pixel[3].abs_diff(128) <= 1, "{pixel:?}");
    }
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let file = file(Quality::Lossy(50), |_, _| 255);
    let mut rgba = vec![0; 400];
    for size in [(0, 10), (10, 11), (204, 1), (u32::MAX, u32::MAX)] {
        assert_eq!(decode_rgba(chunks(&file), size, &mut rgba, &mut || true), Err(Error::Size), "{size:?}");
    }
    assert_eq!(encode(&[], (0, 0), Quality::Lossless, &mut || true), Err(Error::Size));
    assert_eq!(encode(&[0; 4], (MAX_SIDE + 1, 1), Quality::Lossless, &mut || true), Err(Error::Size));
    assert_eq!(encode(&[0; 5], (1, 1), Quality::Lossless, &mut || true), Err(Error::Size));
    assert!(Animation::new((0, 1), 0, Quality::Lossless, &mut || true).is_err());
}

#[test]
fn nonsense_is_no_picture() {
    for data in [&b""[..], b"VP8 ", b"VP8L\xff\xff\xff\xff/", b"ALPH\x02\0\0\0\0\0VP8L\0\0\0\0", &[0xff; 99]]
    {
        assert_eq!(features(data), None, "{data:?}");
        assert_eq!(decode_rgba(data, (1, 1), &mut [0; 4], &mut || true), Err(Error::NotAPicture));
        assert_eq!(decode_rows(data, whole(), true, &mut |_| true), Err(Error::NotAPicture));
    }
}

#[test]
fn an_animation_keeps_its_times_and_its_number_of_plays() {
    let mut go_on = || true;
    let mut animation = Animation::new((8, 8), 3, Quality::Lossless, &mut go_on).expect("an animation");
    let frame = |at: usize| -> Vec<u8> {
        (0..64).flat_map(|pixel| if pixel == at { [255, 0, 0, 255] } else { [0, 0, 255, 255] }).collect()
    };
    for (at, delay) in [(0, 70), (0, 30), (9, 1), (63, 40_000), (9, u32::MAX)] {
        animation.add(&frame(at), delay).expect("a frame");
    }
    assert_eq!(animation.add(&[0; 4], 1), Err(Error::Size));
    let file = animation.finish().expect("a file");
    let chunk = |kind: &[u8]| {
        file.windows(4).enumerate().filter(|(_, at)| *at == kind).map(|(at, _)| at).collect::<Vec<_>>()
    };
    assert_eq!(file[chunk(b"ANIM")[0] + 12..][..2], [3, 0]);
    let delays = chunk(b"ANMF")
        .into_iter()
        .map(|at| u32::from_le_bytes([file[at + 20], file[at + 21], file[at + 22], 0]));
    assert_eq!(delays.collect::<Vec<_>>(), [100, 1, 40_000, (1 << 24) - 1]);
    assert!(
        Animation::new((8, 8), 0, Quality::Lossless, &mut || true).expect("an animation").finish().is_err(),
        "no frames"
    );
}

/// Noise, which cannot be predicted.
fn noise(seed: u32) -> Vec<u8> {
    let hash = |at: u32| (at ^ seed).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519);
    (0..SIZE.0 * SIZE.1).flat_map(|at| (hash(at) | 0xff00_0000).to_le_bytes()).collect()
}

const QUALITIES: [Quality; 2] = [Quality::Lossy(80), Quality::Lossless];

#[test]
fn an_encoder_asks_within_a_picture_and_stops_where_it_is_told_to() {
    for quality in QUALITIES {
        let mut asked = 0;
        let mut count = || {
            asked += 1;
            true
        };
        encode(&noise(1), SIZE, quality, &mut count).expect("a file");
        assert!(asked > 20, "{quality:?}: {asked}");
        for last in [1, 2, asked / 2, asked - 1] {
            let mut left = last;
            let mut stop = || {
                left -= 1;
                left > 0
            };
            assert_eq!(
                encode(&noise(1), SIZE, quality, &mut stop),
                Err(Error::Stopped),
                "{quality:?} {last}"
            );
            assert_eq!(left, 0, "and is not asked again");
        }
    }
}

#[test]
fn an_animation_asks_within_each_frame_and_stops_where_it_is_told_to() {
    /// The number of frames that were added, and the result.
    fn animate(
        quality: Quality,
        seeds: &[u32],
        go_on: &mut dyn FnMut() -> bool,
    ) -> (u32, Result<Vec<u8>, Error>) {
        let mut animation = Animation::new(SIZE, 0, quality, go_on).expect("an animation");
        for (added, &seed) in (0..).zip(seeds) {
            if let Err(error) = animation.add(&noise(seed), 50) {
                return (added, Err(error));
            }
        }
        (seeds.len() as u32, animation.finish())
    }
    for quality in QUALITIES {
        // Two equal frames are joined to one, which is encoded once more when the file is assembled.
        for seeds in [&[1, 2, 3][..], &[1, 1]] {
            let mut asked = 0;
            let mut count = || {
                asked += 1;
                true
            };
            animate(quality, seeds, &mut count).1.expect("a file");
            assert!(asked > 40, "{quality:?}: {asked}");
            for last in [1, asked / 2, asked - 1] {
                let mut left = last;
                let mut stop = || {
                    left -= 1;
                    left > 0
                };
                let (added, result) = animate(quality, seeds, &mut stop);
                assert_eq!(result, Err(Error::Stopped), "{quality:?} {last} of {asked}, {added} frames");
                assert!(last > 1 || added == 0, "{quality:?}: {added}");
            }
        }
    }
}

#[test]
fn a_panic_of_whoever_is_asked_passes_the_encoder() {
    let mine = |panic: Box<dyn std::any::Any + Send>| panic.downcast_ref::<&str>() == Some(&"mine");
    let still =
        std::panic::catch_unwind(|| encode(&noise(1), SIZE, Quality::Lossless, &mut || panic!("mine")));
    assert!(still.is_err_and(mine));
    let moving = std::panic::catch_unwind(|| {
        let mut go_on = || panic!("mine");
        Animation::new(SIZE, 0, Quality::Lossless, &mut go_on).expect("an animation").add(&noise(1), 50)
    });
    assert!(moving.is_err_and(mine));
}
