//! Thumbnails have exactly the requested size, no fringes, and are the same every time.

use image::{ImageFormat, Rgba, RgbaImage};
use imaging::{Fit, Image, OutputFormat, ThumbnailOptions};

use crate::support::{QUARTERS, at, close, encoded, file, open, picture, quarters, reopened, sample};

const FITS: [Fit; 4] = [Fit::Cover, Fit::Contain, Fit::Fill, Fit::Inside];

fn thumbnail(bytes: Vec<u8>, options: ThumbnailOptions) -> Image {
    reopened(&open(bytes).expect("a good file").thumbnail(&options).expect("a thumbnail"))
}

fn plain(width: u32, height: u32, color: Rgba<u8>) -> Vec<u8> {
    encoded(&RgbaImage::from_pixel(width, height, color).into(), ImageFormat::Png)
}

#[test]
fn the_default_is_a_hundred_by_a_hundred_png() {
    let made =
        open(file(ImageFormat::Jpeg)).expect("a file").thumbnail(&ThumbnailOptions::default()).expect("one");
    assert_eq!((made.width, made.height, made.content_type, made.extension), (100, 100, "image/png", "png"));
    let shown = reopened(&made);
    assert_eq!((shown.width(), shown.height()), (100, 100));
}

#[test]
fn every_fit_gives_its_exact_size() {
    // The source is 48 × 32.
    for (fit, asked, given) in [
        (Fit::Cover, (100, 100), (100, 100)),
        (Fit::Cover, (10, 7), (10, 7)),
        (Fit::Contain, (100, 100), (100, 100)),
        (Fit::Contain, (7, 31), (7, 31)),
        (Fit::Fill, (3, 200), (3, 200)),
        (Fit::Inside, (24, 24), (24, 16)),
        (Fit::Inside, (1, 1), (1, 1)),
        (Fit::Inside, (1000, 1000), (48, 32)),
        (Fit::Inside, (48, 16), (24, 16)),
        (Fit::Fill, (48, 32), (48, 32)),
    ] {
        let options =
            ThumbnailOptions { width: asked.0, height: asked.1, fit, ..ThumbnailOptions::default() };
        let shown = thumbnail(file(ImageFormat::Png), options);
        assert_eq!((shown.width(), shown.height()), given, "{fit:?} {asked:?}");
    }
}

#[test]
fn extreme_proportions_never_lose_a_side() {
    for (width, height) in [(1, 10_000), (10_000, 1), (1, 1), (4096, 3)] {
        let source = open(plain(width, height, Rgba([9, 99, 199, 255]))).expect("a good file");
        for fit in FITS {
            for (w, h) in [(100, 100), (1, 4096), (4096, 1), (1, 1)] {
                let options = ThumbnailOptions { width: w, height: h, fit, ..ThumbnailOptions::default() };
                let made = source.thumbnail(&options).expect("a thumbnail");
                assert!(made.width > 0 && made.height > 0);
                if fit != Fit::Inside {
                    assert_eq!((made.width, made.height), (w, h), "{width}×{height} {fit:?}");
                }
                let shown = reopened(&made);
                let pixels = shown.rgba().as_chunks::<4>().0;
                let color = [9, 99, 199, 255];
                assert!(pixels.contains(&color), "{width}×{height} {fit:?} {w}×{h} shows the image");
                let padding = |pixel: &[u8; 4]| fit == Fit::Contain && pixel[3] == 0;
                assert!(pixels.iter().all(|pixel| *pixel == color || padding(pixel)), "and nothing else");
            }
        }
    }
}

#[test]
fn cover_keeps_the_middle_and_contain_keeps_all() {
    let square = |fit| ThumbnailOptions { width: 32, height: 32, fit, ..ThumbnailOptions::default() };
    let covered = thumbnail(file(ImageFormat::Png), square(Fit::Cover));
    // A crop by whole pixels at the same scale is a copy: 8 columns are cut off on either side.
    let original = picture();
    for (x, y) in [(0, 0), (31, 0), (15, 15), (16, 16), (31, 31)] {
        let expected = original.get_pixel(x + 8, y).0;
        assert_eq!(at(&covered, f64::from(x) / 32.0, f64::from(y) / 32.0), expected, "{x},{y}");
    }
    let contained = thumbnail(file(ImageFormat::Png), square(Fit::Contain));
    assert_eq!(at(&contained, 0.5, 0.05)[3], 0, "above the picture it is transparent");
    assert_eq!(at(&contained, 0.5, 0.95)[3], 0, "and below");
    let colours = [(0.25, 0.35), (0.75, 0.35), (0.25, 0.65), (0.75, 0.65)].map(|(x, y)| {
        let [r, g, b, _] = at(&contained, x, y);
        [r, g, b]
    });
    assert!(close(colours, QUARTERS, 3), "{colours:?}");
}

#[test]
fn jpeg_is_padded_and_composited_with_white() {
    let options = ThumbnailOptions {
        width: 32,
        height: 32,
        fit: Fit::Contain,
        format: OutputFormat::Jpeg,
        ..ThumbnailOptions::default()
    };
    let padding = at(&thumbnail(file(ImageFormat::Png), options), 0.5, 0.03);
    assert!(padding.iter().all(|&v| v >= 250), "{padding:?}");
    let half = at(&thumbnail(plain(8, 8, Rgba([0, 0, 0, 128])), options), 0.5, 0.5);
    assert!(half[0].abs_diff(127) <= 2, "half-transparent black over white is grey: {half:?}");
}

#[test]
fn quality_is_honoured_in_jpeg_and_ignored_elsewhere() {
    let noise =
        RgbaImage::from_fn(200, 200, |x, y| Rgba([(x * y % 251) as u8, ((x * 7) ^ y) as u8, y as u8, 255]));
    let source = open(encoded(&noise.into(), ImageFormat::Png)).expect("a good file");
    let size = |format, quality| {
        let options = ThumbnailOptions { format, quality, ..ThumbnailOptions::default() };
        source.thumbnail(&options).expect("a thumbnail").bytes.len()
    };
    let [worst, middle, best] = [1, 60, 100].map(|quality| size(OutputFormat::Jpeg, quality));
    assert!(worst < middle && middle < best, "{worst} {middle} {best}");
    assert_eq!(size(OutputFormat::Png, 1), size(OutputFormat::Png, 100));
}

#[test]
fn transparent_pixels_leave_no_fringe() {
    // A white disc on transparent black: resampled with straight alpha, its rim would be grey.
    let disc = RgbaImage::from_fn(400, 400, |x, y| {
        let (dx, dy) = (f64::from(x) - 199.5, f64::from(y) - 199.5);
        if dx.hypot(dy) < 150.0 { Rgba([255, 255, 255, 255]) } else { Rgba([0, 0, 0, 0]) }
    });
    let bytes = encoded(&disc.into(), ImageFormat::Png);
    for (width, height) in [(40, 40), (37, 61), (500, 500)] {
        let options = ThumbnailOptions { width, height, fit: Fit::Fill, ..ThumbnailOptions::default() };
        let shown = thumbnail(bytes.clone(), options);
        let rim = shown.rgba().as_chunks::<4>().0;
        assert!(rim.iter().any(|pixel| (1..255).contains(&pixel[3])), "there is a soft rim");
        for pixel in rim.iter().filter(|pixel| pixel[3] > 16) {
            assert!(pixel[..3].iter().all(|&v| v >= 245), "{pixel:?} at {width}×{height}");
        }
    }
}

#[test]
fn a_reduction_weighs_every_pixel() {
    // A checkerboard of single pixels is mid-grey at any smaller size; a filter that skips pixels would show black or
    // white.
    let board =
        RgbaImage::from_fn(1001, 997, |x, y| Rgba(if (x + y) % 2 == 0 { [255; 4] } else { [0, 0, 0, 255] }));
    let options = ThumbnailOptions { width: 50, height: 50, fit: Fit::Fill, ..ThumbnailOptions::default() };
    let shown = thumbnail(encoded(&board.into(), ImageFormat::Png), options);
    for pixel in shown.rgba().as_chunks::<4>().0 {
        assert!(pixel[0].abs_diff(127) <= 4, "{pixel:?}");
    }
}

#[test]
fn the_same_bytes_and_options_give_the_same_thumbnail() {
    for bytes in [file(ImageFormat::Jpeg), sample("animated.webp"), sample("cmyk.jpg")] {
        for format in [OutputFormat::Png, OutputFormat::Jpeg, OutputFormat::Webp] {
            let options = ThumbnailOptions { format, ..ThumbnailOptions::default() };
            let make = || open(bytes.clone()).expect("a good file").thumbnail(&options).expect("a thumbnail");
            assert_eq!(make(), make());
        }
    }
}

#[test]
fn an_option_outside_its_range_is_refused_by_name() {
    let source = open(file(ImageFormat::Png)).expect("a good file");
    let good = ThumbnailOptions::default();
    for (options, name) in [
        (ThumbnailOptions { width: 0, ..good }, "width must be from 1 to 4096"),
        (ThumbnailOptions { height: 4097, ..good }, "height must be from 1 to 4096"),
        (ThumbnailOptions { quality: 0, ..good }, "quality must be from 1 to 100"),
    ] {
        let error = source.thumbnail(&options).expect_err("must be refused");
        assert_eq!((error.code(), error.to_string().as_str()), ("invalid_parameter", name));
    }
}

#[test]
fn an_overlays_ground_fits_and_is_never_enlarged() {
    let source = open(file(ImageFormat::Png)).expect("a good file");
    let image = source.image().expect("a picture");
    assert_eq!(image.fit_within(1000), *image);
    let small = image.fit_within(12);
    assert_eq!((small.width(), small.height()), (12, 8));
    assert!(close(quarters(&small), QUARTERS, 3));
    assert_eq!((image.fit_within(0).width(), image.fit_within(0).height()), (1, 1));
    assert!(Image::new(0, 1, vec![]).is_none() && Image::new(1, 1, vec![0; 3]).is_none());
    assert!(Image::new(u32::MAX, u32::MAX, vec![]).is_none());
}
