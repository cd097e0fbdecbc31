//! WebP is shown as in browsers, from as little of the file as a thumbnail needs.

use std::time::Duration;

use image::{ExtendedColorType, Rgba, RgbaImage, codecs::webp::WebPEncoder};
use imaging::{Deadline, Fit, Image, ImageError, Limits, OutputFormat, Source, ThumbnailOptions};

use crate::support::{at, decode, open, reopened};

/// Waves of every length and hard edges, with this alpha.
fn picture(width: u32, height: u32, alpha: impl Fn(u32, u32) -> u8) -> Image {
    let picture = RgbaImage::from_fn(width, height, |x, y| {
        let (u, v) = (f64::from(x) / f64::from(height), f64::from(y) / f64::from(height));
        let waves: f64 =
            (0..6).map(|n| 24.0 / f64::from(n + 1) * ((u + v * 0.7) * 9.0 * 2_f64.powi(n)).sin()).sum();
        let edge = if (u * 7.0).fract() > 0.5 && (v * 5.0).fract() > 0.4 { 50.0 } else { 0.0 };
        let channel = |base: f64| (base + waves + edge) as u8;
        Rgba([channel(90.0 + 60.0 * u), channel(100.0), channel(140.0 - 70.0 * v), alpha(x, y)])
    });
    Image::new(width, height, picture.into_raw()).expect("an image")
}

/// Encodes a picture as WebP, by making a thumbnail of its own size.
fn webp(image: &Image, quality: u8) -> Vec<u8> {
    let png = image.encode_png().expect("a PNG");
    let options =
        ThumbnailOptions { quality, format: OutputFormat::Webp, ..fill(image.width(), image.height()) };
    open(png).expect("a good file").thumbnail(&options).expect("a WebP").bytes
}

fn fill(width: u32, height: u32) -> ThumbnailOptions {
    ThumbnailOptions { width, height, fit: Fit::Fill, ..ThumbnailOptions::default() }
}

/// The thumbnail, and the same made from the whole picture: as a PNG.
fn both(file: &[u8], options: &ThumbnailOptions) -> (Image, Image) {
    let whole = decode(file.to_vec()).encode_png().expect("a PNG");
    let made = |file| reopened(&open(file).expect("a good file").thumbnail(options).expect("a thumbnail"));
    (made(file.to_vec()), made(whole))
}

/// The peak signal-to-noise ratio of what is visible, in decibels.
fn psnr(a: &Image, b: &Image) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let seen = |image: &Image| -> Vec<f64> {
        let pixels = image.rgba().as_chunks::<4>().0.iter();
        pixels.flat_map(|&[r, g, b, a]| [r, g, b, 255].map(|v| f64::from(v) * f64::from(a) / 255.0)).collect()
    };
    let (a, b) = (seen(a), seen(b));
    let squares: f64 = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum();
    10.0 * (255_f64.powi(2) / (squares / a.len() as f64).max(1e-9)).log10()
}

#[test]
fn a_lossy_picture_looks_the_same_reduced_while_it_is_decoded() {
    // Neither side is a multiple of a block or of a box.
    let file = webp(&picture(1201, 903, |_, _| 255), 80);
    for (width, height, fit) in [
        (30, 30, Fit::Cover),
        (100, 100, Fit::Cover),
        (61, 200, Fit::Cover),
        (200, 40, Fit::Cover),
        (300, 300, Fit::Inside),
        (90, 200, Fit::Fill),
        (700, 700, Fit::Contain),
        (1200, 900, Fit::Cover),
    ] {
        let (reduced, whole) = both(&file, &ThumbnailOptions { fit, ..fill(width, height) });
        let psnr = psnr(&reduced, &whole);
        assert!(psnr >= 42.0, "{width}×{height} {fit:?}: {psnr} dB");
    }
}

#[test]
fn a_lossy_picture_is_enlarged_from_all_that_the_filter_sees() {
    let file = webp(&picture(100, 203, |_, _| 255), 80);
    for (width, height) in [(400, 400), (300, 1000), (900, 150), (99, 100)] {
        let (made, whole) = both(&file, &ThumbnailOptions { fit: Fit::Cover, ..fill(width, height) });
        let psnr = psnr(&made, &whole);
        assert!(psnr >= 55.0, "{width}×{height}: {psnr} dB");
    }
}

#[test]
fn a_lossless_picture_and_one_with_alpha_look_the_same_reduced() {
    let soft = |x: u32, y: u32| if (x / 60 + y / 60).is_multiple_of(2) { 0 } else { 255 - (x % 60) as u8 };
    for (name, file) in [
        ("lossless", webp(&picture(601, 453, |_, _| 255), 100)),
        ("lossless with alpha", webp(&picture(601, 453, soft), 100)),
        ("lossy with alpha", webp(&picture(601, 453, soft), 90)),
    ] {
        for (width, height) in [(20, 20), (70, 30), (45, 50), (200, 100)] {
            let (reduced, whole) = both(&file, &ThumbnailOptions { fit: Fit::Cover, ..fill(width, height) });
            let psnr = psnr(&reduced, &whole);
            assert!(psnr >= 38.0, "{name} {width}×{height}: {psnr} dB");
        }
    }
}

#[test]
fn transparent_pixels_leave_no_fringe_in_a_lossy_picture() {
    // A white disc on black that is fully transparent.
    let disc = RgbaImage::from_fn(800, 800, |x, y| {
        let inside = (f64::from(x) - 399.5).hypot(f64::from(y) - 399.5) < 300.0;
        if inside { Rgba([255; 4]) } else { Rgba([0, 0, 0, 0]) }
    });
    let file = webp(&Image::new(800, 800, disc.into_raw()).expect("an image"), 90);
    for (width, height) in [(40, 40), (37, 61), (300, 300)] {
        let made = open(file.clone()).expect("a file").thumbnail(&fill(width, height)).expect("a thumbnail");
        let shown = reopened(&made);
        let pixels = shown.rgba().as_chunks::<4>().0;
        assert!(pixels.iter().any(|pixel| (1..255).contains(&pixel[3])), "there is a soft rim");
        for pixel in pixels.iter().filter(|pixel| pixel[3] > 24) {
            assert!(pixel[..3].iter().all(|&v| v >= 225), "{pixel:?} at {width}×{height}");
        }
    }
}

#[test]
fn a_file_cut_off_is_shown_as_far_as_it_goes() {
    let opaque = picture(640, 480, |_, _| 255);
    let faded = picture(640, 480, |_, _| 200);
    for (name, file, rest) in [
        ("lossy", webp(&opaque, 80), [128, 128, 128, 255]),
        ("lossless", webp(&opaque, 100), [128, 128, 128, 255]),
        ("lossy with alpha", webp(&faded, 80), [0; 4]),
        ("lossless with alpha", webp(&faded, 100), [0; 4]),
    ] {
        let whole = decode(file.clone());
        // A lossy picture's block headers come before all of its coefficients.
        let most = file[..file.len() * 3 / 4].to_vec();
        let shown = decode(most.clone());
        assert_eq!(at(&shown, 0.5, 0.05), at(&whole, 0.5, 0.05), "{name}: the top is there");
        assert_eq!(at(&shown, 0.5, 0.98), rest, "{name}: the bottom is not");
        for side in [10, 100] {
            let small =
                reopened(&open(most.clone()).expect("a file").thumbnail(&fill(side, side)).expect("one"));
            assert!(at(&small, 0.5, 0.0)[3] > 190, "{name}, {side}");
            // Nearly, because the filter reaches a little above.
            let bottom = at(&small, 0.5, 0.95);
            let close = |channel: usize| bottom[channel].abs_diff(rest[channel]) <= 8;
            let alike = close(3) && (rest[3] == 0 || (0..3).all(close));
            assert!(alike, "{name}, {side}: {bottom:?}");
        }
        let head = open(file[..60].to_vec()).and_then(|source| source.thumbnail(&fill(9, 9)));
        assert!(matches!(head, Err(ImageError::Corrupt { .. })), "{name}: {head:?}");
    }
}

#[test]
fn the_widest_lossless_picture_is_read() {
    let row: Vec<u8> = (0..16_384_u32).flat_map(|x| [(x >> 6) as u8, (x % 251) as u8, 7]).collect();
    let mut file = Vec::new();
    let encoder = WebPEncoder::new_lossless(&mut file);
    encoder.encode(&row, 16_384, 1, ExtendedColorType::Rgb8).expect("a WebP");
    let image = decode(file);
    assert_eq!((image.width(), image.height()), (16_384, 1));
    let expected: Vec<u8> = row.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect();
    assert_eq!(image.rgba(), expected);
}

/// If the file says that it has no alpha, its fourth channel must be ignored.
#[test]
fn a_lossless_picture_that_says_it_is_opaque_keeps_its_colours_when_reduced() {
    let clear = Image::new(400, 300, [200, 60, 60, 7].repeat(400 * 300)).expect("an image");
    let file = webp(&clear, 100);
    let data = file.windows(4).position(|name| name == b"VP8L").expect("a lossless picture") + 8;
    let mut bare = [&b"RIFF\0\0\0\0WEBP"[..], &file[data - 8..]].concat();
    let length = (bare.len() - 8) as u32;
    bare[4..8].copy_from_slice(&length.to_le_bytes());
    // The alpha bit follows the two sides of fourteen bits each.
    bare[12 + 8 + 4] &= !0x10;
    let (thumbnail, whole) = both(&bare, &fill(40, 30));
    for image in [thumbnail, whole] {
        assert_eq!(&image.rgba()[..4], [200, 60, 60, 255]);
    }
}

#[test]
fn a_deadline_that_passes_while_decoding_stops_it() {
    let noise = RgbaImage::from_fn(2000, 2000, |x, y| {
        let hash = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519);
        Rgba([(hash >> 8) as u8, (hash >> 16) as u8, (hash >> 24) as u8, 255])
    });
    let noise = Image::new(2000, 2000, noise.into_raw()).expect("an image");
    for quality in [90, 100] {
        let file = webp(&noise, quality);
        for reduced in [false, true] {
            let source =
                Source::open(file.clone(), &Limits::default(), Deadline::after(Duration::from_millis(5)));
            let started = std::time::Instant::now();
            let result = source.and_then(|source| match reduced {
                true => source.thumbnail(&fill(20, 20)).map(drop),
                false => source.image().map(drop),
            });
            assert!(matches!(result, Err(ImageError::TimeLimit(_))), "{quality}: {result:?}");
            assert!(started.elapsed() < Duration::from_secs(2), "{quality}: {:?}", started.elapsed());
        }
    }
}

#[test]
fn the_decoders_own_memory_is_limited_where_only_a_part_is_kept_too() {
    let area = 600 * 400;
    // Of a lossy picture, a plane of alpha, and the lossless picture in which that is coded; of a lossless picture, the
    // pixels that can be copied.
    for (quality, least, most) in [(90, area * 5 - 1, area * 5), (100, (1 << 18) * 4, 8 << 20)] {
        let file = webp(&picture(600, 400, |_, _| 99), quality);
        let thumbnail = |max_decoder_bytes| {
            let limits = Limits { max_decoder_bytes, ..Limits::default() };
            Source::open(file.clone(), &limits, Deadline::none())?.thumbnail(&fill(20, 20))
        };
        thumbnail(most).expect("that is enough");
        let error = thumbnail(least).expect_err("must be refused");
        assert_eq!(error.code(), "decoder_memory");
    }
}

#[test]
fn a_lossless_picture_is_never_held() {
    let file = webp(&picture(3000, 2000, |_, _| 255), 100);
    let limits = Limits { max_decoder_bytes: 8 << 20, ..Limits::default() };
    let open = |limits: &Limits| Source::open(file.clone(), limits, Deadline::none()).expect("a file");
    open(&limits).thumbnail(&fill(100, 100)).expect("a third of its pixels is enough");
    assert_eq!(open(&limits).image().expect_err("must be refused").code(), "decoder_memory");
}
