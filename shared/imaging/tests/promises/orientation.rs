//! The orientation is applied in every format that can state it.

use image::ImageFormat;

use crate::support::{HEIGHT, QUARTERS, WIDTH, close, decode, file, open, png_chunk, quarters, riff_chunk};

/// A TIFF block that states an orientation, as in EXIF.
fn exif(orientation: u8) -> Vec<u8> {
    exif_of_type(3, &[0, orientation, 0, 0])
}

/// The same with a value of another type, in big-endian order.
fn exif_of_type(kind: u8, value: &[u8; 4]) -> Vec<u8> {
    let head = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0";
    [&head[..], &[kind, 0, 0, 0, 1], value, &[0; 4]].concat()
}

pub(crate) fn jpeg(orientation: u8) -> Vec<u8> {
    turned(&file(ImageFormat::Jpeg), orientation)
}

/// A JPEG that states an orientation.
pub(crate) fn turned(file: &[u8], orientation: u8) -> Vec<u8> {
    jpeg_with(file, &exif(orientation))
}

fn jpeg_with(file: &[u8], block: &[u8]) -> Vec<u8> {
    let length = ((block.len() + 8) as u16).to_be_bytes();
    [&file[..2], &[0xff, 0xe1], &length, b"Exif\0\0", block, &file[2..]].concat()
}

/// A PNG with `eXIf` after IHDR, or after the picture, which the standard also allows.
fn png(block: &[u8], late: bool) -> Vec<u8> {
    let (file, chunk) = (file(ImageFormat::Png), png_chunk(b"eXIf", block));
    let at = if late { file.len() - 12 } else { 33 };
    [&file[..at], &chunk, &file[at..]].concat()
}

/// The extended form of a WebP file, with an EXIF block.
fn webp(block: &[u8]) -> Vec<u8> {
    let file = file(ImageFormat::WebP);
    let mut size = [0; 10];
    size[0] = 0x08;
    size[4] = (WIDTH - 1) as u8;
    size[7] = (HEIGHT - 1) as u8;
    let body =
        [b"WEBP".to_vec(), riff_chunk(b"VP8X", &size), file[12..].to_vec(), riff_chunk(b"EXIF", block)]
            .concat();
    riff_chunk(b"RIFF", &body)
}

/// TIFF states the orientation in its own directory. The encoder does not write that tag, so a less important one is
/// overwritten.
fn tiff(kind: u8, value: &[u8; 4]) -> Vec<u8> {
    let mut file = file(ImageFormat::Tiff);
    let directory = u32::from_le_bytes(*file[4..].first_chunk().expect("an offset")) as usize;
    let entries = usize::from(file[directory]);
    let tag = |file: &[u8], index: usize| {
        u16::from_le_bytes(*file[directory + 2 + index * 12..].first_chunk().expect("an entry"))
    };
    // Tags must ascend. Of those above 274, the resolution can be left out without harm.
    let index = (0..entries).find(|&index| (282..=283).contains(&tag(&file, index))).expect("a resolution");
    let first = (0..entries).find(|&index| tag(&file, index) > 274).expect("a tag above");
    let entry = |index: usize| directory + 2 + index * 12;
    file.copy_within(entry(first)..entry(index), entry(first + 1));
    let stated = [&[0x12, 0x01, kind, 0, 1, 0, 0, 0][..], value].concat();
    file[entry(first)..][..12].copy_from_slice(&stated);
    file
}

/// The colours of the quarters after EXIF's table was applied to the stored rows and columns.
fn upright(orientation: u8) -> [[u8; 3]; 4] {
    let [a, b, c, d] = QUARTERS;
    match orientation {
        1 => [a, b, c, d],
        2 => [b, a, d, c],
        3 => [d, c, b, a],
        4 => [c, d, a, b],
        5 => [a, c, b, d],
        6 => [c, a, d, b],
        7 => [d, b, c, a],
        _ => [b, d, a, c],
    }
}

#[test]
fn all_eight_orientations_are_upright_in_every_format_that_has_them() {
    for orientation in 1..=8 {
        for (name, file) in [
            ("JPEG", jpeg(orientation)),
            ("PNG", png(&exif(orientation), false)),
            ("PNG, late", png(&exif(orientation), true)),
            ("WebP", webp(&exif(orientation))),
            ("WebP, prefixed", webp(&[b"Exif\0\0", &exif(orientation)[..]].concat())),
            ("TIFF", tiff(3, &[orientation, 0, 0, 0])),
        ] {
            let size = if orientation >= 5 { (HEIGHT, WIDTH) } else { (WIDTH, HEIGHT) };
            let source = open(file.clone()).expect("a good file");
            assert_eq!((source.width(), source.height()), size, "{name} {orientation}, from the headers");
            let image = decode(file);
            assert_eq!((image.width(), image.height()), size, "{name} {orientation}");
            assert!(
                close(quarters(&image), upright(orientation), 6),
                "{name} {orientation}: {:?}",
                quarters(&image)
            );
        }
    }
}

/// BYTE, SHORT, LONG, SBYTE, SSHORT and SLONG, with the value in both byte orders.
#[test]
fn an_orientation_may_be_a_whole_number_of_any_type_in_every_format() {
    for (kind, big, little) in [
        (1, [6, 0, 0, 0], [6, 0, 0, 0]),
        (3, [0, 6, 0, 0], [6, 0, 0, 0]),
        (4, [0, 0, 0, 6], [6, 0, 0, 0]),
        (6, [6, 0, 0, 0], [6, 0, 0, 0]),
        (8, [0, 6, 0, 0], [6, 0, 0, 0]),
        (9, [0, 0, 0, 6], [6, 0, 0, 0]),
    ] {
        let block = exif_of_type(kind, &big);
        for (name, file) in [
            ("JPEG", jpeg_with(&file(ImageFormat::Jpeg), &block)),
            ("PNG", png(&block, false)),
            ("WebP", webp(&block)),
            ("TIFF", tiff(kind, &little)),
        ] {
            let shown = quarters(&decode(file));
            assert!(close(shown, upright(6), 6), "{name}, type {kind}: {shown:?}");
        }
    }
}

#[test]
fn of_two_exif_blocks_the_first_counts() {
    let plain = file(ImageFormat::Jpeg);
    for (first, second) in [(6, 3), (3, 6), (1, 8), (8, 1)] {
        let file = turned(&turned(&plain, second), first);
        assert!(close(quarters(&decode(file)), upright(first), 6), "{first}, {second}");
    }
}
