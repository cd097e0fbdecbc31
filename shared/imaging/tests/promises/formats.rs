//! Every input format gives every output format.

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};
use imaging::{Fit, Format, ImageError, OutputFormat, ThumbnailOptions};

use crate::support::{
    ENCODABLE, HEIGHT, QUARTERS, SAMPLES, WIDTH, at, close, decode, encoded, every_file, file, open, picture,
    quarters, reopened, sample, with_profile,
};

#[test]
fn every_format_in_gives_every_format_out() {
    for (name, bytes) in every_file() {
        let source = open(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (format, kind) in
            [(OutputFormat::Png, "PNG"), (OutputFormat::Jpeg, "JPEG"), (OutputFormat::Webp, "WebP")]
        {
            let options = ThumbnailOptions { width: 24, height: 16, format, ..ThumbnailOptions::default() };
            let thumbnail = source.thumbnail(&options).unwrap_or_else(|error| panic!("{name}: {error}"));
            let sniffed = Format::sniff(&thumbnail.bytes).expect("a known kind");
            assert_eq!(sniffed.to_string(), kind, "{name}");
            assert_eq!(thumbnail.content_type, sniffed.content_type(), "{name}");
            let shown = reopened(&thumbnail);
            assert_eq!((shown.width(), shown.height()), (24, 16), "{name}");
        }
    }
}

#[test]
fn the_picture_is_the_same_whatever_the_file() {
    for (name, bytes) in ENCODABLE.map(|format| (format!("{format:?}"), file(format))).into_iter().chain(
        SAMPLES
            .into_iter()
            // These are black and white, faded, or converted from CMYK by the simple formula.
            .filter(|(name, _)| {
                ![
                    "bilevel.tif",
                    "group3.tif",
                    "alpha.avif",
                    "lossy-alpha.webp",
                    "cmyk.jpg",
                    "cmyk.tif",
                    "ycck.jpg",
                ]
                .contains(name)
            })
            .map(|(name, bytes)| (name.to_owned(), bytes.to_vec())),
    ) {
        let image = decode(bytes);
        assert_eq!((image.width(), image.height()), (WIDTH, HEIGHT), "{name}");
        assert!(close(quarters(&image), QUARTERS, 12), "{name}: {:?}", quarters(&image));
        assert!(!image.has_alpha(), "{name}");
    }
}

#[test]
fn cmyk_keeps_its_hues() {
    for name in ["cmyk.jpg", "cmyk.tif", "ycck.jpg"] {
        let shown = quarters(&decode(sample(name)));
        assert!(close(shown, QUARTERS, 40), "{name}: {shown:?}");
        let options = ThumbnailOptions { width: 6, height: 4, ..ThumbnailOptions::default() };
        let small = open(sample(name)).and_then(|source| source.thumbnail(&options)).expect("a thumbnail");
        let shown = quarters(&reopened(&small));
        assert!(close(shown, QUARTERS, 45), "{name}, reduced: {shown:?}");
    }
}

#[test]
fn grey_alpha_and_sixteen_bits_are_read_right() {
    let size = (4, 4);
    let fill: [(&str, DynamicImage, [u8; 4]); 6] = [
        ("L8", ImageBuffer::from_pixel(size.0, size.1, Luma([77_u8])).into(), [77, 77, 77, 255]),
        ("La8", ImageBuffer::from_pixel(size.0, size.1, LumaA([77_u8, 99])).into(), [77, 77, 77, 99]),
        ("L16", ImageBuffer::from_pixel(size.0, size.1, Luma([77_u16 * 257])).into(), [77, 77, 77, 255]),
        ("La16", ImageBuffer::from_pixel(size.0, size.1, LumaA([77_u16 * 257, 257])).into(), [77, 77, 77, 1]),
        (
            "Rgb16",
            ImageBuffer::from_pixel(size.0, size.1, Rgb([257_u16, 514, 65_535])).into(),
            [1, 2, 255, 255],
        ),
        (
            "Rgba16",
            ImageBuffer::from_pixel(size.0, size.1, Rgba([257_u16, 514, 0, 128])).into(),
            [1, 2, 0, 0],
        ),
    ];
    for (name, image, pixel) in fill {
        let shown = decode(encoded(&image, ImageFormat::Png));
        assert!(
            shown.rgba().as_chunks::<4>().0.iter().all(|shown| *shown == pixel),
            "{name}: {:?}",
            shown.rgba()
        );
    }
    let float: DynamicImage = image::Rgb32FImage::from_pixel(4, 4, Rgb([0.0, 0.5, 2.0])).into();
    assert_eq!(at(&decode(encoded(&float, ImageFormat::Tiff)), 0.5, 0.5), [0, 128, 255, 255]);
}

#[test]
fn animations_show_their_first_frame_and_tell_how_many_there_are() {
    for name in ["animated.gif", "animated.png", "animated.webp"] {
        let source = open(sample(name)).expect("a good file");
        assert_eq!(source.frames(), 2, "{name}");
        let corner = at(source.image().expect("a frame"), 0.05, 0.05);
        assert!(
            corner[0] > 150,
            "{name}: the second frame's corner is black, the first's is red: {corner:?}"
        );
    }
}

#[test]
fn a_first_frame_smaller_than_its_canvas_lies_where_it_says() {
    let mut encoded = Vec::new();
    {
        use image::codecs::gif::GifEncoder;
        let mut encoder = GifEncoder::new(&mut encoded);
        let frame = image::Frame::from_parts(
            image::RgbaImage::from_pixel(2, 2, Rgba([255, 0, 0, 255])),
            0,
            0,
            image::Delay::from_numer_denom_ms(100, 1),
        );
        encoder.encode_frame(frame).expect("a GIF");
    }
    // The encoder's canvas is the frame: widen it to 4×4 and move the frame to (1, 1).
    encoded[6] = 4;
    encoded[8] = 4;
    let descriptor =
        encoded.windows(10).position(|at| at[0] == 0x2c && at[5] == 2 && at[7] == 2).expect("a frame");
    encoded[descriptor + 1] = 1;
    encoded[descriptor + 3] = 1;
    let image = decode(encoded);
    assert_eq!((image.width(), image.height()), (4, 4));
    assert_eq!(at(&image, 0.3, 0.3), [255, 0, 0, 255]);
    assert_eq!(at(&image, 0.0, 0.0), [0, 0, 0, 0], "outside the frame there is nothing");
    assert_eq!(at(&image, 0.9, 0.9), [0, 0, 0, 0]);
}

#[test]
fn a_profile_is_converted_to_srgb() {
    let plain = quarters(&decode(file(ImageFormat::Png)));
    let p3 = quarters(&decode(with_profile(&moxcms::ColorProfile::new_display_p3())));
    assert!(p3[0][0] > plain[0][0] + 5, "red of Display P3 is redder in sRGB: {:?} {:?}", p3[0], plain[0]);
    let srgb = quarters(&decode(with_profile(&moxcms::ColorProfile::new_srgb())));
    assert_eq!(srgb, plain);
}

#[test]
fn a_truncated_jpeg_is_shown_as_far_as_it_goes() {
    let noise =
        image::RgbImage::from_fn(64, 64, |x, y| Rgb([((x * 37) ^ (y * 91)) as u8, (y * 4) as u8, 30]));
    let whole = encoded(&noise.into(), ImageFormat::Jpeg);
    let expected = decode(whole.clone());
    let half = decode(whole[..whole.len() / 2].to_vec());
    assert_eq!(at(&half, 0.1, 0.02), at(&expected, 0.1, 0.02), "the top is there");
    assert_eq!(at(&half, 0.9, 0.98), [128, 128, 128, 255], "the bottom is grey");
}

#[test]
fn a_file_cut_off_is_shown_as_far_as_it_goes_and_transparent_beyond() {
    // Formats that begin with the first row, formats that begin with the last, and one in strips.
    for (name, bytes, [there, not_there]) in [
        ("QOI", file(ImageFormat::Qoi), [0, 3]),
        ("PNM", file(ImageFormat::Pnm), [0, 3]),
        ("TGA", file(ImageFormat::Tga), [0, 3]),
        ("a TGA of indices", sample("palette.tga"), [2, 1]),
        ("BMP", file(ImageFormat::Bmp), [2, 1]),
        ("a BMP of indices", sample("palette.bmp"), [2, 1]),
        ("TIFF", sample("ycbcr.tif"), [0, 3]),
    ] {
        let whole = decode(bytes.clone());
        let cut = decode(bytes[..bytes.len() * 3 / 5].to_vec());
        let corner = |image: &imaging::Image, quarter: usize| {
            at(image, [0.05, 0.95][quarter % 2], [0.02, 0.98][quarter / 2])
        };
        assert_eq!(corner(&cut, there), corner(&whole, there), "{name}");
        assert_eq!(corner(&cut, not_there), [0; 4], "{name}");
        assert!(cut.has_alpha() && !whole.has_alpha(), "{name}");
    }
}

/// Eight by eight pixels of 24 bits with BITMAPV5HEADER and a profile of ones behind them.
fn icon_with_profile(has_mask: bool) -> Vec<u8> {
    let mask = if has_mask { [vec![0x80, 0, 0, 0], vec![0; 7 * 4]].concat() } else { Vec::new() };
    let profile_at = 124 + 8 * 8 * 3 + mask.len() as u32;
    let mut header = vec![0; 124];
    header[..4].copy_from_slice(&124_u32.to_le_bytes());
    header[4..8].copy_from_slice(&8_u32.to_le_bytes());
    header[8..12].copy_from_slice(&16_u32.to_le_bytes());
    (header[12], header[14]) = (1, 24);
    header[56..60].copy_from_slice(b"DEBM");
    header[112..116].copy_from_slice(&profile_at.to_le_bytes());
    header[116..120].copy_from_slice(&100_u32.to_le_bytes());
    let picture = [header, vec![7; 8 * 8 * 3], mask, vec![0xff; 100]].concat();
    let mut file = vec![0, 0, 1, 0, 1, 0, 8, 8, 0, 0, 1, 0, 24, 0];
    file.extend((picture.len() as u32).to_le_bytes());
    file.extend(22_u32.to_le_bytes());
    [file, picture].concat()
}

#[test]
fn an_icon_s_profile_is_not_taken_for_its_mask() {
    assert!(!decode(icon_with_profile(false)).has_alpha());
    let masked = decode(icon_with_profile(true));
    let clear = masked.rgba().chunks(4).filter(|pixel| pixel[3] == 0).count();
    assert_eq!(clear, 1, "the mask has one bit");
}

/// An icon of 4 × 2 pixels of 8 bits in runs. Below are four red pixels, above four green ones; the mask behind the
/// runs hides the first of those below and the last of those above.
fn icon_of_runs(runs: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 40];
    (header[0], header[4], header[8]) = (40, 4, 2 * 2);
    (header[12], header[14], header[16], header[32]) = (1, 8, 1, 2);
    let colours = [0, 0, 255, 0, 0, 255, 0, 0];
    let mask = [0b1000_0000, 0, 0, 0, 0b0001_0000, 0, 0, 0];
    let picture = [&header, &colours[..], runs, &mask].concat();
    let mut file = vec![0, 0, 1, 0, 1, 0, 4, 2, 2, 0, 1, 0, 8, 0];
    file.extend((picture.len() as u32).to_le_bytes());
    file.extend(22_u32.to_le_bytes());
    [file, picture].concat()
}

#[test]
fn the_mask_of_an_icon_of_runs_lies_behind_the_runs() {
    let (red, green, clear) = ([255, 0, 0, 255], [0, 255, 0, 255], |[r, g, b, _]: [u8; 4]| [r, g, b, 0]);
    let expected = [green, green, green, clear(green), clear(red), red, red, red];
    for (name, runs) in [
        ("ends of lines and of the picture", &[4, 0, 0, 0, 4, 1, 0, 0, 0, 1][..]),
        ("no end of the last line", &[4, 0, 0, 0, 4, 1, 0, 1]),
        ("no end of the picture", &[4, 0, 0, 0, 4, 1, 0, 0]),
    ] {
        assert_eq!(decode(icon_of_runs(runs)).rgba().as_chunks::<4>().0, expected, "{name}");
    }
}

#[test]
fn the_largest_picture_of_an_icon_is_shown() {
    let icon = decode(sample("bitmap.ico"));
    assert_eq!((icon.width(), icon.height()), (WIDTH, HEIGHT), "the other is 16 pixels wide");
    let mut cursor = sample("bitmap.ico");
    cursor[2] = 2;
    assert_eq!(open(cursor).expect("a cursor").format().to_string(), "ICO");
}

/// The frame's marker and precision determine how it is coded (ITU T.81, table B.1).
#[test]
fn jpegs_that_are_coded_in_a_rare_way_are_not_called_damaged() {
    let plain = sample("subsampled.jpg");
    let frame = plain.windows(2).position(|marker| marker == [0xff, 0xc0]).expect("a frame");
    for (kind, marker, precision) in [("lossless", 0xc3, 8), ("arithmetic", 0xc9, 8), ("12 bits", 0xc1, 12)] {
        let mut rare = plain.clone();
        (rare[frame + 1], rare[frame + 4]) = (marker, precision);
        let refused = open(rare).map(drop).expect_err(kind);
        assert!(matches!(refused, ImageError::UnsupportedFeature { .. }), "{kind}: {refused:?}");
    }
}

#[test]
fn bytes_before_or_behind_a_jpeg_are_passed_over() {
    let whole = decode(sample("subsampled.jpg"));
    let around = [&[0, 1][..], b"junk", &sample("subsampled.jpg"), b"more junk"].concat();
    assert_eq!(decode(around), whole);
    let grey = ImageBuffer::from_pixel(64, 64, Luma([128_u8]));
    let mut flat = encoded(&DynamicImage::from(grey), ImageFormat::Jpeg);
    flat.extend(b"junk");
    assert_eq!(&decode(flat).rgba()[..4], [128, 128, 128, 255], "mid-grey is a picture like any other");
}

#[test]
fn a_file_that_shows_nothing_is_corrupt() {
    for format in ENCODABLE {
        let whole = file(format);
        // The headers alone, for formats that show every row there is; for the others also some of the compressed data.
        let headers = match format {
            ImageFormat::Bmp => 54,
            ImageFormat::Qoi => 14,
            ImageFormat::Pnm => 13,
            // Without a pixel after it, nothing distinguishes such a header from other data.
            ImageFormat::Tga => continue,
            _ => whole.len() / 8,
        };
        let cut = whole[..headers].to_vec();
        let result = open(cut).and_then(|source| source.image().cloned());
        assert!(matches!(result, Err(ImageError::Corrupt { .. })), "{format:?}: {result:?}");
    }
}

#[test]
fn output_carries_no_metadata() {
    let source = open(crate::orientation::jpeg(6)).expect("a good file");
    for format in [OutputFormat::Png, OutputFormat::Jpeg, OutputFormat::Webp] {
        let options = ThumbnailOptions { format, fit: Fit::Fill, ..ThumbnailOptions::default() };
        let bytes = source.thumbnail(&options).expect("a thumbnail").bytes;
        for metadata in [&b"Exif"[..], b"EXIF", b"eXIf", b"ICC", b"iCCP", b"tEXt", b"xmp"] {
            assert!(!bytes.windows(metadata.len()).any(|at| at == metadata), "{format:?}");
        }
    }
}

#[test]
fn an_image_survives_its_own_png() {
    let mut translucent = picture();
    translucent.put_pixel(3, 3, Rgba([1, 2, 3, 4]));
    let image = decode(encoded(&translucent.into(), ImageFormat::Png));
    assert_eq!(decode(image.encode_png().expect("a PNG")), image);
}
