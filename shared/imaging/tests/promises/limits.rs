//! Files that exceed a limit are refused by their headers, with that limit's error, before memory is allocated.

use image::ImageFormat;
use imaging::{Deadline, Limits, Source};

use crate::support::{Avif, AvifItem, ENCODABLE, avif_payload, file, open, png_chunk, riff_chunk, sample};

/// Small files that claim to be squares of this side (or of the largest side that their headers can state), for each
/// format and each place that can state it.
fn boasts(side: u32) -> Vec<(&'static str, Vec<u8>)> {
    let long = side.to_le_bytes();
    let short = u16::try_from(side).unwrap_or(u16::MAX);
    let fourteen_bits = short.min(0x3fff);

    let mut bmp = file(ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[long, long].concat());

    let shorts = [short.to_le_bytes(); 2].concat();
    let mut gif = file(ImageFormat::Gif);
    gif[6..10].copy_from_slice(&shorts);
    let mut gif_frame = file(ImageFormat::Gif);
    let descriptor =
        gif_frame.windows(9).position(|at| at == [0x2c, 0, 0, 0, 0, 48, 0, 32, 0]).expect("a frame");
    gif_frame[descriptor + 5..descriptor + 9].copy_from_slice(&shorts);

    let jpeg_frame = |mut file: Vec<u8>| {
        let frame = file.windows(2).position(|at| at == [0xff, 0xc0]).expect("a frame header");
        file[frame + 5..frame + 9].copy_from_slice(&[short.to_be_bytes(); 2].concat());
        file
    };

    // The height follows the scan.
    let mut late = jpeg_frame(file(ImageFormat::Jpeg));
    let frame = late.windows(2).position(|at| at == [0xff, 0xc0]).expect("a frame header");
    late[frame + 5..frame + 7].fill(0);
    let end = late.len() - 2;
    late.splice(end..end, [&[0xff, 0xdc, 0, 4][..], &short.to_be_bytes()].concat());

    let size = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let png = file(ImageFormat::Png);
    let png = [&png[..8], &png_chunk(b"IHDR", &size), &png[33..]].concat();

    let mut lossless = file(ImageFormat::WebP);
    let packed = u32::from(fourteen_bits) - 1;
    lossless[21..25].copy_from_slice(&(packed | (packed << 14)).to_le_bytes());
    let mut lossy = sample("lossy.webp");
    let frame = lossy.windows(3).position(|at| at == [0x9d, 0x01, 0x2a]).expect("a frame header");
    lossy[frame + 3..frame + 7].copy_from_slice(&[fourteen_bits.to_le_bytes(); 2].concat());
    // A small canvas around a frame that claims to be larger.
    let canvas = riff_chunk(b"VP8X", &[0, 0, 0, 0, 47, 0, 0, 31, 0, 0]);
    let hidden = riff_chunk(b"RIFF", &[b"WEBP".to_vec(), canvas, lossy[12..].to_vec()].concat());

    let mut tiff = file(ImageFormat::Tiff);
    let directory = u32::from_le_bytes(*tiff[4..].first_chunk().expect("an offset")) as usize;
    for entry in 0..usize::from(tiff[directory]) {
        let at = directory + 2 + entry * 12;
        let tag = u16::from_le_bytes([tiff[at], tiff[at + 1]]);
        // Width, height, and the rows of the only strip.
        if matches!(tag, 256 | 257 | 278) {
            tiff[at + 2..at + 12].copy_from_slice(&[&[4, 0, 1, 0, 0, 0], &long[..]].concat());
        }
    }

    let icon = |png: &[u8]| {
        let entry =
            [&[0, 0, 0, 0, 1, 0, 32, 0][..], &(png.len() as u32).to_le_bytes(), &[22, 0, 0, 0]].concat();
        [&[0, 0, 1, 0, 1, 0][..], &entry, png].concat()
    };
    let mut qoi = file(ImageFormat::Qoi);
    qoi[4..12].copy_from_slice(&[side.to_be_bytes(); 2].concat());
    let mut tga = file(ImageFormat::Tga);
    tga[12..16].copy_from_slice(&shorts);

    let stream = avif_payload(&sample("420.avif"));
    let avif = Avif { items: vec![AvifItem::picture(stream, side, side)], ..Avif::default() };

    vec![
        ("BMP", bmp),
        ("GIF", gif),
        ("a GIF frame", gif_frame),
        ("JPEG", jpeg_frame(file(ImageFormat::Jpeg))),
        ("a JPEG's late height", late),
        ("PNG", png.clone()),
        ("lossless WebP", lossless),
        ("lossy WebP", lossy),
        ("a WebP frame", hidden),
        ("TIFF", tiff),
        ("ICO", icon(&png)),
        ("QOI", qoi),
        ("AVIF", avif.file()),
        ("PNM", format!("P6 {side} {side} 255 abc").into_bytes()),
        ("TGA", tga),
    ]
}

#[test]
fn a_small_file_that_claims_to_be_huge_is_refused_in_every_format() {
    for (name, bytes) in boasts(50_000) {
        assert!(bytes.len() < 10_000, "{name} is small");
        let error = open(bytes).expect_err(name);
        assert_eq!(error.code(), "too_many_pixels", "{name}: {error}");
    }
}

#[test]
fn a_strip_that_claims_to_be_larger_than_its_page_is_not_decoded() {
    let mut file = sample("jpeg.tif");
    let frame = file.windows(2).position(|at| at == [0xff, 0xc0]).expect("a frame header");
    file[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    let result = open(file).and_then(|source| source.image().cloned());
    assert_eq!(result.expect_err("must be refused").code(), "corrupt_image");
}

#[test]
fn the_default_limits_let_the_largest_allowed_picture_in_whatever_the_format() {
    for (name, bytes) in boasts(7_000) {
        open(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_limit_has_its_own_error() {
    let refused = |bytes: Vec<u8>, limits: &Limits| {
        Source::open(bytes, limits, Deadline::none()).expect_err("must be refused").code()
    };
    let limits = Limits::default();
    for format in ENCODABLE {
        let bytes = file(format);
        assert_eq!(refused(bytes.clone(), &Limits { max_bytes: 50, ..limits.clone() }), "image_too_large");
        assert_eq!(
            refused(bytes.clone(), &Limits { max_pixels: 48 * 32 - 1, ..limits.clone() }),
            "too_many_pixels"
        );
        let tight = Limits { max_pixels: 48 * 32, ..limits.clone() };
        Source::open(bytes.clone(), &tight, Deadline::none())
            .expect("a limit is what is allowed, not what is not");
        let scant = Limits { max_decoder_bytes: 48 * 32 * 3, ..limits.clone() };
        let whole = Source::open(bytes, &scant, Deadline::none()).and_then(|source| source.image().cloned());
        assert_eq!(whole.expect_err("must be refused").code(), "decoder_memory");
    }
    for name in ["animated.gif", "animated.png", "animated.webp"] {
        let bytes = sample(name);
        assert_eq!(
            refused(bytes.clone(), &Limits { max_frames: 1, ..limits.clone() }),
            "too_many_frames",
            "{name}"
        );
        let frames_summed = Limits { max_pixels: 48 * 32 * 2 - 1, ..limits.clone() };
        assert_eq!(refused(bytes, &frames_summed), "too_many_pixels", "{name}");
    }
}

#[test]
fn an_image_that_is_empty_or_no_image_is_refused_by_name() {
    for (bytes, code) in [
        (&b""[..], "empty_image"),
        (b"not an image", "unknown_format"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "unsupported_format"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\0\0\0\0\x09\x08\x02\0\0\0", "empty_image"),
        (b"\xff\xd8\xff\xe0", "corrupt_image"),
        (b"\x89PNG\r\n\x1a\n", "corrupt_image"),
        (b"II\x2a\0\x08\0\0\0", "corrupt_image"),
    ] {
        let error = open(bytes.to_vec()).expect_err("must be refused");
        assert_eq!(error.code(), code, "{bytes:?}");
    }
}

#[test]
fn a_message_says_what_to_do_and_keeps_the_decoders_words_to_itself() {
    let mut broken = file(ImageFormat::Png);
    // The header's checksum is wrong. Later damage would only shorten the picture.
    broken[29] ^= 0xff;
    let error = open(broken).and_then(|source| source.image().cloned()).expect_err("a broken header");
    assert_eq!(error.to_string(), "the PNG file is damaged or incomplete: send it again, or export it anew");
    let cause = std::error::Error::source(&error).expect("the decoder's error is kept for the log");
    assert!(!error.to_string().contains(&cause.to_string()));
}
