//! Reduced decoding makes no visible difference: a thumbnail from a JPEG's eighth equals that from the whole picture.

use image::{ExtendedColorType, Rgb, RgbImage, codecs::jpeg::JpegEncoder};
use imaging::{Fit, Image, ImageError, ThumbnailOptions};

use crate::support::{open, reopened};

/// Waves of every length, hard edges and grain: at every scale as much detail as in photographs, or more.
fn photograph(width: u32, height: u32) -> RgbImage {
    let mut state = 1_u32;
    RgbImage::from_fn(width, height, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = f64::from(state >> 28) - 8.0;
        let (u, v) = (f64::from(x) / f64::from(height), f64::from(y) / f64::from(height));
        let waves: f64 =
            (0..6).map(|n| 24.0 / f64::from(n + 1) * ((u + v * 0.7) * 9.0 * 2_f64.powi(n)).sin()).sum();
        let edge = if (u * 7.0).fract() > 0.5 && (v * 5.0).fract() > 0.4 { 50.0 } else { 0.0 };
        let at = |base: f64| (base + waves + edge + grain) as u8;
        Rgb([at(90.0 + 60.0 * u), at(100.0), at(140.0 - 70.0 * v)])
    })
}

fn jpeg(picture: &RgbImage, profile: Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut out, 90);
    if let Some(profile) = profile {
        image::ImageEncoder::set_icc_profile(&mut encoder, profile).expect("JPEG has profiles");
    }
    let (width, height) = picture.dimensions();
    encoder.encode(picture, width, height, ExtendedColorType::Rgb8).expect("a JPEG");
    out
}

fn options(width: u32, height: u32, fit: Fit) -> ThumbnailOptions {
    ThumbnailOptions { width, height, fit, ..ThumbnailOptions::default() }
}

fn thumbnail(file: Vec<u8>, options: &ThumbnailOptions) -> Image {
    reopened(&open(file).expect("a good file").thumbnail(options).expect("a thumbnail"))
}

/// The thumbnail, and the same made from the whole picture: as a PNG, of which nothing is reduced.
fn both(file: &[u8], options: &ThumbnailOptions) -> (Image, Image) {
    let whole =
        open(file.to_vec()).expect("a good file").image().expect("a picture").encode_png().expect("a PNG");
    (thumbnail(file.to_vec(), options), thumbnail(whole, options))
}

/// The peak signal-to-noise ratio in decibels.
fn psnr(a: &Image, b: &Image) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let squares = a.rgba().iter().zip(b.rgba()).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    let (a, b) = (a.rgba().as_chunks::<4>().0, b.rgba().as_chunks::<4>().0);
    assert!(a.iter().zip(b).all(|(a, b)| a[3] == b[3]), "the same alpha");
    10.0 * (255_f64.powi(2) / (squares.sum::<f64>() / (a.len() * 3) as f64).max(1e-9)).log10()
}

#[test]
fn twelve_megapixels_look_the_same_from_an_eighth() {
    let file = jpeg(&photograph(4000, 3000), None);
    let (reduced, whole) = both(&file, &ThumbnailOptions::default());
    let psnr = psnr(&reduced, &whole);
    assert!(psnr >= 44.0, "{psnr} dB");
    assert_ne!(reduced, whole, "it was made from an eighth");
}

#[test]
fn two_megapixels_look_the_same_from_a_quarter() {
    let file = jpeg(&photograph(1600, 1200), None);
    let (reduced, whole) = both(&file, &ThumbnailOptions::default());
    let psnr = psnr(&reduced, &whole);
    assert!(psnr >= 44.0, "{psnr} dB");
    assert_ne!(reduced, whole, "it was made from a quarter");
}

#[test]
fn a_photograph_enlarged_looks_the_same_from_an_eighth() {
    let rocket =
        image::load_from_memory(include_bytes!("../../../../tests/data/rocket.jpg")).expect("a JPEG");
    let large = rocket.resize_exact(1920, 1281, image::imageops::FilterType::Triangle).to_rgb8();
    let (reduced, whole) = both(&jpeg(&large, None), &options(40, 40, Fit::Cover));
    let psnr = psnr(&reduced, &whole);
    assert!(psnr >= 40.0, "{psnr} dB");
}

#[test]
fn every_fit_and_orientation_is_that_of_the_whole_picture() {
    // Neither side is a multiple of a block.
    let plain = jpeg(&photograph(621, 437), None);
    for orientation in 1..=8 {
        let file = crate::orientation::turned(&plain, orientation);
        for fit in [Fit::Cover, Fit::Contain, Fit::Fill, Fit::Inside] {
            for (width, height) in [(12, 12), (9, 14), (15, 4)] {
                let (reduced, whole) = both(&file, &options(width, height, fit));
                let psnr = psnr(&reduced, &whole);
                assert!(psnr >= 36.0, "{orientation} {fit:?} {width}×{height}: {psnr} dB");
            }
        }
    }
}

#[test]
fn a_profile_counts_in_the_reduced_picture_too() {
    let mut picture = photograph(800, 800);
    picture.pixels_mut().for_each(|pixel| pixel.0[2] /= 3);
    let p3 = moxcms::ColorProfile::new_display_p3().encode().expect("a profile");
    let ((reduced, whole), plain) = (
        both(&jpeg(&picture, Some(p3)), &options(20, 20, Fit::Cover)),
        thumbnail(jpeg(&picture, None), &options(20, 20, Fit::Cover)),
    );
    assert!(psnr(&reduced, &whole) >= 38.0, "{}", psnr(&reduced, &whole));
    assert!(psnr(&reduced, &plain) < 38.0, "the profile changes something");
}

#[test]
fn grey_stays_grey() {
    let picture = image::DynamicImage::from(photograph(800, 640)).to_luma8();
    let file = crate::support::encoded(&picture.into(), image::ImageFormat::Jpeg);
    let (reduced, whole) = both(&file, &options(20, 16, Fit::Fill));
    assert!(psnr(&reduced, &whole) >= 40.0, "{}", psnr(&reduced, &whole));
    assert!(reduced.rgba().as_chunks::<4>().0.iter().all(|[r, g, b, _]| r == g && g == b));
}

#[test]
fn a_truncated_jpeg_has_a_thumbnail_of_what_there_is() {
    let file = jpeg(&photograph(800, 800), None);
    let asked = options(20, 20, Fit::Cover);
    let whole = thumbnail(file.clone(), &asked);
    let half = thumbnail(file[..file.len() / 2].to_vec(), &asked);
    let row = |image: &Image, row: usize| image.rgba()[row * 80..][..80].to_vec();
    assert_eq!(row(&half, 2), row(&whole, 2), "the top is there");
    assert_eq!(row(&half, 18), [128, 128, 128, 255].repeat(20), "the bottom is grey");
    let scan = file.windows(2).position(|at| at == [0xff, 0xda]).expect("a scan");
    let none = open(file[..scan].to_vec()).and_then(|source| source.thumbnail(&asked));
    assert!(matches!(none, Err(ImageError::Corrupt { .. })), "{none:?}");
}

#[test]
fn the_result_does_not_depend_on_what_was_asked_before() {
    let source = open(jpeg(&photograph(800, 800), None)).expect("a good file");
    let before = source.thumbnail(&options(20, 20, Fit::Cover)).expect("a thumbnail");
    source.image().expect("a picture");
    assert_eq!(source.thumbnail(&options(20, 20, Fit::Cover)).expect("a thumbnail"), before);
}
