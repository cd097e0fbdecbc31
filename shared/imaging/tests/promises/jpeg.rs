//! JPEGs with unusual headers. Their meaning is the same for the picture and for thumbnails of every size.

use image::{ImageFormat, RgbaImage};
use imaging::{Image, OutputFormat, ThumbnailOptions};

use crate::support::{
    HEIGHT, QUARTERS, WIDTH, close, decode, encoded, file, open, quarters, reopened, sample,
};

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
}

/// The file with bytes inserted after its first marker.
fn with(file: &[u8], inserted: &[u8]) -> Vec<u8> {
    [&file[..2], inserted, &file[2..]].concat()
}

fn find(file: &[u8], marker: u8) -> usize {
    file.windows(2).position(|at| at == [0xff, marker]).expect("the marker")
}

/// The file without the first segment with that marker.
fn without(file: &[u8], marker: u8) -> Vec<u8> {
    let at = find(file, marker);
    let length = usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
    [&file[..at], &file[at + 2 + length..]].concat()
}

/// The file with other ids for its three channels.
fn with_ids(file: &[u8], ids: [u8; 3]) -> Vec<u8> {
    let (frame, scan) = (find(file, 0xc0), find(file, 0xda));
    let mut file = file.to_vec();
    for (nth, id) in ids.into_iter().enumerate() {
        file[frame + 10 + 3 * nth] = id;
        file[scan + 5 + 2 * nth] = id;
    }
    file
}

fn adobe(length: usize, transform: u8) -> Vec<u8> {
    segment(0xee, &[&b"Adobe\0\x64\0\0\0\0"[..], &[transform], b"more"].concat()[..length])
}

const JFIF: &[u8] = b"\xff\xe0\0\x10JFIF\0\x01\x02\0\0\x01\0\x01\0\0";

/// Thumbnails made from an eighth, a quarter, a half and the whole of the picture.
fn thumbnails(file: &[u8]) -> [Image; 4] {
    let source = open(file.to_vec()).expect("a good file");
    [(2, 2), (6, 4), (12, 8), (30, 20)].map(|(width, height)| {
        let options =
            ThumbnailOptions { width, height, format: OutputFormat::Png, ..ThumbnailOptions::default() };
        reopened(&source.thumbnail(&options).expect("a thumbnail"))
    })
}

#[test]
fn segments_of_no_account_change_neither_the_picture_nor_thumbnails() {
    let (xmp, long) = (b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0");
    let odd = [
        segment(0xe1, &xmp[..20]),
        segment(0xe1, xmp),
        segment(0xe1, long),
        segment(0xe1, &[&long[..], &[b'a'; 39]].concat()),
        segment(0xe1, b"Exif\0"),
        segment(0xe1, b"Exif\0\0"),
        segment(0xe1, b"Exif\0\0MM\0\x2a\0\0\xff\xff"),
        segment(0xe2, b"ICC_PROFILE"),
        segment(0xe2, b"ICC_PROFILE\0"),
        segment(0xe2, b"ICC_PROFILE\0\x01"),
        segment(0xe2, b"ICC_PROFILE\0\x01\x02not all of it"),
        segment(0xe2, b"ICC_PROFILE\0\x01\x01no profile"),
        segment(0xe0, b"JFXX\0\x10"),
        segment(0xed, b"Photoshop 3.0\08BIM"),
        segment(0xed, b"Adobe_CM\0\0\0\0\0"),
        segment(0xf0, b""),
        segment(0xfe, b"\xff\xd8\xff\xda\xff\xd9"),
        segment(0xcc, b"\x77\0\0"),
        segment(0xdc, b"\0\x01"),
        segment(0xdc, b""),
        vec![0xff, 0xe1, 0, 0],
        vec![0xff, 0xfe, 0, 1],
        vec![0xff, 0xdd, 0, 2],
        vec![0xff; 5],
        vec![0xff, 0xd8],
        vec![0xff, 0x01],
        vec![0xff, 0xd7],
    ];
    for length in 0..12 {
        let jpeg = file(ImageFormat::Jpeg);
        assert_eq!(decode(with(&jpeg, &adobe(length, 0))), decode(jpeg), "Adobe's, of {length} bytes");
    }
    for (name, jpeg) in [
        ("baseline", file(ImageFormat::Jpeg)),
        ("progressive", sample("progressive.jpg")),
        ("cmyk", sample("cmyk.jpg")),
        ("ycck", sample("ycck.jpg")),
    ] {
        let (whole, small) = (decode(jpeg.clone()), thumbnails(&jpeg));
        for odd in &odd {
            let file = with(&jpeg, odd);
            assert_eq!(decode(file.clone()), whole, "{name}, {odd:?}");
            assert_eq!(thumbnails(&file), small, "{name}, {odd:?}, thumbnails");
        }
        let scan = find(&jpeg, 0xda);
        let late = [&jpeg[..scan], b"between\xff\0", &odd.concat()[..], &jpeg[scan..]].concat();
        assert_eq!(decode(late), whole, "{name}, all of them before the scan");
        let end = jpeg.len() - 2;
        assert_eq!(decode(jpeg[..end].to_vec()), whole, "{name}, without its end");
    }
}

/// As in libjpeg: JFIF means luma and chroma; otherwise an Adobe segment decides, or the ids R, G, B.
#[test]
fn picture_and_thumbnails_agree_which_colours_a_jpeg_has() {
    let plain = without(&file(ImageFormat::Jpeg), 0xe0);
    for ids in [[1, 2, 3], *b"RGB", [0, 1, 2], [1, 1, 1], [255, 0, 7], *b"rgb"] {
        for transform in [None, Some(0), Some(1), Some(2), Some(200)] {
            for length in [11, 12, 14] {
                for jfif in [None, Some(true), Some(false)] {
                    let adobe = transform.map(|transform| adobe(length, transform)).unwrap_or_default();
                    let inserted = match jfif {
                        None => adobe,
                        Some(true) => [JFIF, &adobe].concat(),
                        Some(false) => [&adobe[..], JFIF].concat(),
                    };
                    let file = with_ids(&with(&plain, &inserted), ids);
                    let name = format!("{ids:?}, Adobe {transform:?} of {length}, JFIF {jfif:?}");
                    let rgb = match transform.filter(|_| length >= 12) {
                        _ if jfif.is_some() => false,
                        None => ids == *b"RGB",
                        Some(transform) => transform == 0,
                    };
                    let whole = decode(file.clone());
                    assert_eq!(close(quarters(&whole), QUARTERS, 12), !rgb, "{name}: {:?}", quarters(&whole));
                    let same = RgbaImage::from_raw(WIDTH, HEIGHT, whole.rgba().to_vec()).expect("its pixels");
                    let same = thumbnails(&encoded(&same.into(), ImageFormat::Png));
                    for (small, same) in thumbnails(&file).iter().zip(&same) {
                        let off: u32 = small
                            .rgba()
                            .iter()
                            .zip(same.rgba())
                            .map(|(a, b)| u32::from(a.abs_diff(*b)))
                            .sum();
                        let mean = f64::from(off) / same.rgba().len() as f64;
                        assert!(mean < 4.0, "{name}, {} across: {mean}", small.width());
                    }
                }
            }
        }
    }
}

#[test]
fn unsupported_jpegs_are_not_called_damaged() {
    let jpeg = file(ImageFormat::Jpeg);
    let frame = find(&jpeg, 0xc0);
    let odd = |at: usize, value: u8| {
        let mut odd = jpeg.clone();
        odd[frame + at] = value;
        odd
    };
    let code = |file: Vec<u8>| {
        open(file).and_then(|source| source.image().map(|_| ())).expect_err("no picture").code()
    };
    for (name, file) in [
        ("arithmetic", odd(1, 0xc9)),
        ("lossless", odd(1, 0xc3)),
        ("differential", odd(1, 0xc5)),
        ("12 bits", odd(4, 12)),
        ("a hierarchy", with(&jpeg, &segment(0xde, &jpeg[frame + 4..frame + 19]))),
    ] {
        assert_eq!(code(file), "unsupported_format", "{name}");
    }
    let mut bare = jpeg.clone();
    while bare.windows(2).any(|at| at == [0xff, 0xdb]) {
        bare = without(&bare, 0xdb);
    }
    for (name, file) in [
        ("no such depth", odd(4, 9)),
        ("no such factor", odd(11, 0x50)),
        ("no scan", jpeg[..find(&jpeg, 0xda)].to_vec()),
        ("a scan without data", jpeg[..find(&jpeg, 0xda) + 14].to_vec()),
        ("no quantisers", bare),
        ("a segment beyond the end", with(&jpeg, &[0xff, 0xe1, 0xff, 0xff])),
    ] {
        assert_eq!(code(file), "corrupt_image", "{name}");
    }
}

/// As in libjpeg, and so in Pillow and browsers.
#[test]
fn behind_what_is_no_code_the_picture_goes_on() {
    let noise = |x: u32, y: u32| (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761) >> 24;
    let picture = RgbaImage::from_fn(96, 64, |x, y| image::Rgba([noise(x, y) as u8, (x * 2) as u8, 90, 255]));
    let jpeg = encoded(&image::DynamicImage::from(picture).to_rgb8().into(), ImageFormat::Jpeg);
    let scan = find(&jpeg, 0xda) + 14;
    for at in [scan + 200, scan + 1000, usize::midpoint(scan, jpeg.len())] {
        // More ones than any code has.
        let at = if jpeg[at - 1] == 0xff { at + 1 } else { at };
        let damaged = [&jpeg[..at], &[0xff, 0, 0xff, 0, 0xff, 0], &jpeg[at..]].concat();
        let shown = decode(damaged);
        let grey = shown.rgba().as_chunks::<4>().0.iter().filter(|pixel| **pixel == [128, 128, 128, 255]);
        assert!(grey.count() < 96 * 64 / 10, "at {at}");
    }
}

#[test]
fn a_height_that_comes_behind_the_scan_is_that_of_picture_and_thumbnails() {
    let jpeg = file(ImageFormat::Jpeg);
    let frame = find(&jpeg, 0xc0);
    let mut late = jpeg.clone();
    late[frame + 5..frame + 7].fill(0);
    assert_eq!(open(late.clone()).expect_err("no height").code(), "empty_image");
    let end = late.len() - 2;
    late.splice(end..end, segment(0xdc, &(HEIGHT as u16).to_be_bytes()));
    let source = open(late.clone()).expect("a good file");
    assert_eq!((source.width(), source.height()), (WIDTH, HEIGHT));
    assert_eq!(decode(late.clone()), decode(jpeg.clone()));
    assert_eq!(thumbnails(&late), thumbnails(&jpeg));
}
