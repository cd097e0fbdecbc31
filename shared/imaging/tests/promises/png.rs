//! Every kind of PNG, complete and damaged, reduced by boxes and from the whole picture.

use imaging::{Fit, Image, ImageError, OutputFormat, ThumbnailOptions};
use png::{BitDepth, ColorType, Encoder};

use crate::support::{QUARTERS, at, close, open, png_chunk, quarters, reopened, sample};

/// Waves, so that a shift by a fraction of a pixel makes a difference.
fn wave(x: u32, y: u32, channel: u32) -> f64 {
    let (x, y, c) = (f64::from(x), f64::from(y), f64::from(channel));
    (0.5 + 0.3 * (x / 23.0 + c).sin() + 0.2 * (y / 17.0 - c).cos()).clamp(0.0, 1.0)
}

/// A picture of waves, encoded with these settings.
fn made(
    (width, height): (u32, u32),
    colour: ColorType,
    depth: BitDepth,
    settings: impl Fn(&mut Encoder<'_, &mut Vec<u8>>),
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, width, height);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    settings(&mut encoder);
    let channels = colour.samples() as u32;
    let bits = depth as u32;
    let mut data = Vec::new();
    for y in 0..height {
        let mut row = Vec::new();
        let (mut byte, mut filled) = (0_u32, 0);
        for x in 0..width {
            for channel in 0..channels {
                let value = (wave(x, y, channel) * f64::from((1_u32 << bits) - 1)).round() as u32;
                if bits == 16 {
                    row.extend((value as u16).to_be_bytes());
                    continue;
                }
                byte = byte << bits | value;
                filled += bits;
                if filled == 8 {
                    row.push(byte as u8);
                    (byte, filled) = (0, 0);
                }
            }
        }
        if filled > 0 {
            row.push((byte << (8 - filled)) as u8);
        }
        data.extend(row);
    }
    encoder.write_header().expect("a header").write_image_data(&data).expect("a picture");
    out
}

fn rgb(width: u32, height: u32) -> Vec<u8> {
    made((width, height), ColorType::Rgb, BitDepth::Eight, |_| ())
}

fn options(width: u32, height: u32, fit: Fit) -> ThumbnailOptions {
    ThumbnailOptions { width, height, fit, ..ThumbnailOptions::default() }
}

fn thumbnail(file: Vec<u8>, options: &ThumbnailOptions) -> Image {
    reopened(&open(file).expect("a good file").thumbnail(options).expect("a thumbnail"))
}

/// The thumbnail made from the whole picture: it is decoded and stored as a TIFF first.
fn by_the_whole(file: Vec<u8>, options: &ThumbnailOptions) -> Image {
    let source = open(file).expect("a good file");
    let image = source.image().expect("a picture");
    let rgba = image::RgbaImage::from_raw(image.width(), image.height(), image.rgba().to_vec());
    let whole = crate::support::encoded(&rgba.expect("pixels").into(), image::ImageFormat::Tiff);
    thumbnail(whole, options)
}

/// The largest and the mean difference of all samples.
fn difference(a: &Image, b: &Image) -> (u8, f64) {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    // The colour of a nearly transparent pixel hardly counts.
    let seen =
        |&[r, g, b, a]: &[u8; 4]| [r, g, b, 255].map(|value| (u32::from(value) * u32::from(a) / 255) as u8);
    let pixels = |image: &Image| image.rgba().as_chunks::<4>().0.iter().flat_map(seen).collect::<Vec<_>>();
    let (seen_a, seen_b) = (pixels(a), pixels(b));
    let each = || seen_a.iter().zip(&seen_b).map(|(a, b)| a.abs_diff(*b));
    (each().max().unwrap_or(0), each().map(f64::from).sum::<f64>() / a.rgba().len() as f64)
}

const KINDS: [(ColorType, BitDepth); 11] = [
    (ColorType::Grayscale, BitDepth::One),
    (ColorType::Grayscale, BitDepth::Two),
    (ColorType::Grayscale, BitDepth::Four),
    (ColorType::Grayscale, BitDepth::Eight),
    (ColorType::Grayscale, BitDepth::Sixteen),
    (ColorType::GrayscaleAlpha, BitDepth::Eight),
    (ColorType::GrayscaleAlpha, BitDepth::Sixteen),
    (ColorType::Rgb, BitDepth::Eight),
    (ColorType::Rgb, BitDepth::Sixteen),
    (ColorType::Rgba, BitDepth::Eight),
    (ColorType::Rgba, BitDepth::Sixteen),
];

#[test]
fn every_kind_is_decoded_as_the_reference_does() {
    for (colour, depth) in KINDS {
        for size in [(61, 37), (1, 1), (7, 300)] {
            let file = made(size, colour, depth, |_| ());
            let expected = image::load_from_memory(&file).expect("the reference").to_rgba8();
            let image = open(file).expect("a good file").image().expect("a picture").clone();
            assert_eq!(image.rgba(), &*expected.into_raw(), "{colour:?} {depth:?} {size:?}");
        }
    }
}

#[test]
fn boxes_show_what_the_whole_picture_shows() {
    for (colour, depth) in KINDS {
        let file = made((403, 307), colour, depth, |_| ());
        for (width, height, fit) in [(40, 40, Fit::Cover), (23, 31, Fit::Fill), (300, 300, Fit::Contain)] {
            let asked = options(width, height, fit);
            let (worst, mean) =
                difference(&thumbnail(file.clone(), &asked), &by_the_whole(file.clone(), &asked));
            // Bilevel pictures and alpha have hard edges.
            assert!(worst <= 24 && mean < 1.0, "{colour:?} {depth:?} {width} {fit:?}: {worst} {mean}");
        }
    }
}

#[test]
fn a_picture_at_its_own_size_is_itself() {
    let file = made((60, 40), ColorType::Rgba, BitDepth::Eight, |_| ());
    let image = open(file.clone()).expect("a file").image().expect("a picture").clone();
    assert_eq!(thumbnail(file, &options(60, 40, Fit::Fill)), image);
}

#[test]
fn a_reduction_does_not_shift_the_picture() {
    let file = rgb(1201, 899);
    let asked = options(97, 61, Fit::Cover);
    let (worst, mean) = difference(&thumbnail(file.clone(), &asked), &by_the_whole(file, &asked));
    assert!(worst <= 3 && mean < 0.4, "{worst} {mean}");
}

#[test]
fn a_cut_off_picture_is_shown_as_far_as_it_goes() {
    let file = rgb(400, 400);
    let whole = open(file.clone()).expect("a file").image().expect("a picture").clone();
    let half = file[..file.len() / 2].to_vec();
    let source = open(half.clone()).expect("a header");
    let image = source.image().expect("what there is");
    let top = image.rgba().as_chunks::<4>().0.iter().take_while(|pixel| pixel[3] == 255).count();
    assert!((400 * 100..400 * 300).contains(&top), "{top}");
    assert_eq!(image.rgba()[..top * 4], whole.rgba()[..top * 4]);
    assert!(image.rgba()[top * 4..].iter().all(|&value| value == 0), "the rest is transparent");
    let small = thumbnail(half, &options(40, 40, Fit::Cover));
    assert_eq!(at(&small, 0.5, 0.1)[3], 255);
    assert_eq!(at(&small, 0.5, 0.95), [0; 4]);
    assert_eq!(at(&small, 0.5, 0.1), at(&thumbnail(file, &options(40, 40, Fit::Cover)), 0.5, 0.1));
}

/// The file with its IDAT replaced.
fn with_data(file: &[u8], change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let kind = file.windows(4).position(|at| at == b"IDAT").expect("image data");
    let length = u32::from_be_bytes(*file[kind - 4..].first_chunk().expect("a length")) as usize;
    let data = change(&file[kind + 4..kind + 4 + length]);
    [&file[..kind - 4], &png_chunk(b"IDAT", &data), &file[kind + 8 + length..]].concat()
}

#[test]
fn damage_costs_only_what_comes_after_it() {
    let file = rgb(200, 200);
    let whole = open(file.clone()).expect("a file").image().expect("a picture").clone();
    let damaged = with_data(&file, |data| {
        let mut data = data.to_vec();
        let middle = data.len() / 2;
        data.truncate(middle);
        data.extend([0xff; 64]);
        data
    });
    let image = open(damaged).expect("a header").image().expect("what there is").clone();
    let same = image.rgba().iter().zip(whole.rgba()).take_while(|(a, b)| a == b).count();
    assert!(same > 200 * 4 * 50, "the rows before are whole: {same}");
}

#[test]
fn checksums_and_the_end_are_not_missed() {
    let file = rgb(50, 50);
    let expected = open(file.clone()).expect("a file").image().expect("a picture").clone();
    let mut wrong_crc = file.clone();
    let end = wrong_crc.len() - 12 - 1;
    wrong_crc[end] ^= 1;
    let wrong_adler = with_data(&file, |data| [&data[..data.len() - 4], &[1, 2, 3, 4]].concat());
    let no_end = file[..file.len() - 12].to_vec();
    for damaged in [wrong_crc, wrong_adler, no_end] {
        assert_eq!(*open(damaged).expect("a file").image().expect("a picture"), expected);
    }
    let mut header = file.clone();
    header[29] ^= 1;
    assert!(
        matches!(open(header), Err(ImageError::Corrupt { .. })),
        "a size that may be wrong is not believed"
    );
    let empty = with_data(&file, |_| Vec::new());
    let shown = open(empty).and_then(|source| source.thumbnail(&ThumbnailOptions::default()));
    assert!(matches!(shown, Err(ImageError::Corrupt { .. })), "{shown:?}");
}

/// The file with another chunk after its header.
fn with_chunk(file: &[u8], kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    [&file[..33], &png_chunk(kind, data), &file[33..]].concat()
}

#[test]
fn colours_go_by_the_first_that_says_something() {
    let grey = |chunks: &[(&[u8; 4], &[u8])]| {
        let mut file = made((8, 8), ColorType::Rgb, BitDepth::Eight, |_| ());
        for (kind, data) in chunks {
            file = with_chunk(&file, kind, data);
        }
        open(file).expect("a file").image().expect("a picture").rgba().to_vec()
    };
    let plain = grey(&[]);
    let linear: (&[u8; 4], &[u8]) = (b"gAMA", &100_000_u32.to_be_bytes());
    let points = [31_270_u32, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000];
    let points = points.map(u32::to_be_bytes);
    let points: (&[u8; 4], &[u8]) = (b"cHRM", points.as_flattened());
    let bright = grey(&[linear, points]);
    assert_ne!(bright, plain, "a linear picture is brighter in sRGB");
    assert_eq!(grey(&[linear]), plain, "gAMA alone is passed over");
    assert_eq!(grey(&[linear, points, (b"sRGB", &[0])]), plain, "sRGB counts before gAMA");
    assert_eq!(grey(&[(b"sRGB", &[0]), (b"cICP", &[1, 8, 0, 1])]), bright, "cICP counts before sRGB");
    assert_eq!(
        grey(&[linear, points, (b"cICP", &[200, 8, 0, 1])]),
        bright,
        "what names nothing is left out of account"
    );
    let whole = with_chunk(&made((8, 8), ColorType::Rgb, BitDepth::Eight, |_| ()), points.0, points.1);
    let mut damaged = with_chunk(&whole, linear.0, linear.1);
    damaged[33 + 12] ^= 1;
    let image = open(damaged).expect("a file").image().expect("a picture").clone();
    assert_eq!(image.rgba(), plain, "a chunk with a wrong checksum is passed over");
}

#[test]
fn animations_have_the_colours_of_stills() {
    let linear = with_chunk(&sample("animated.png"), b"cICP", &[1, 8, 0, 1]);
    let shown = |format| {
        let options =
            ThumbnailOptions { width: 48, height: 32, format, quality: 100, ..ThumbnailOptions::default() };
        reopened(&open(linear.clone()).expect("a file").thumbnail(&options).expect("a thumbnail"))
    };
    let (still, moving) = (shown(OutputFormat::Png), shown(OutputFormat::Webp));
    assert!(close(quarters(&moving), quarters(&still), 2), "{:?} {:?}", quarters(&moving), quarters(&still));
    assert!(!close(quarters(&still), QUARTERS, 12), "linear light is not taken for sRGB");
}

#[test]
fn an_animation_is_shown_in_spite_of_a_wrong_checksum_or_where_it_is_cut_off() {
    let file = sample("animated.png");
    let data = file.windows(4).position(|name| name == b"IDAT").expect("image data");
    let length = u32::from_be_bytes(*file[data - 4..].first_chunk().expect("a length")) as usize;
    let mut damaged = file.clone();
    damaged[data + 4 + length] ^= 1;
    let cut = file[..data + 4 + length - 1].to_vec();
    for file in [damaged, cut] {
        let options = ThumbnailOptions { format: OutputFormat::Webp, ..ThumbnailOptions::default() };
        let shown = open(file).and_then(|source| source.thumbnail(&options));
        assert!(shown.is_ok(), "{shown:?}");
    }
}

#[test]
fn the_transparent_colour_is_transparent() {
    let file = made((300, 200), ColorType::Rgb, BitDepth::Eight, |encoder| {
        let key = [0, 1, 2].map(|channel| (wave(0, 0, channel) * 255.0).round() as u8);
        encoder.set_trns(vec![0, key[0], 0, key[1], 0, key[2]]);
    });
    let image = open(file).expect("a file").image().expect("a picture").clone();
    assert_eq!(image.rgba()[3], 0);
    assert!(image.has_alpha() && image.rgba().as_chunks::<4>().0.iter().any(|pixel| pixel[3] == 255));
}
