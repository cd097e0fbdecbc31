//! Comparison with libwebp, pixel by pixel.

mod stream;

use std::{fs, path::Path};

use proptest::{prelude::*, sample::Index};
use webp_codec::{End, Outcome, Quality};

use super::*;
use crate::formats::webp::Container;

/// A picture as libwebp decodes it: its pixels, the number of rows, and whether it is complete.
fn expected(picture: &WebpPicture<'_>) -> Option<(Vec<u8>, u32, bool)> {
    let (width, height) = picture.size;
    let mut rgba = vec![0; width as usize * height as usize * 4];
    let outcome = webp_codec::decode_rgba(picture.data, picture.size, &mut rgba, &mut || true);
    let Outcome { rows, end } = outcome.ok()?;
    Some((rgba, rows, end == End::Whole))
}

/// The same by this decoder.
fn found(picture: &WebpPicture<'_>) -> Option<(Vec<u8>, u32, bool)> {
    let mut rows = Rows::open(picture, 0, &Limits::default(), Deadline::none()).ok()?;
    let mut rgba = Vec::new();
    while let Some(row) = rows.next().expect("no limit") {
        match picture.has_alpha {
            true => rgba.extend_from_slice(row),
            false => rgba.extend(row.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255])),
        }
    }
    Some((rgba, rows.rows_read(), rows.rows_read() == picture.size.1))
}

/// Asserts that both give the same picture. This decoder may show more if the data ends early or is invalid.
fn assert_alike(picture: &WebpPicture<'_>) -> bool {
    let (found, expected) = (found(picture), expected(picture));
    let (rgba, rows, whole) = found.unwrap_or_default();
    let (other, least, complete) = expected.unwrap_or_default();
    assert_eq!(whole, complete);
    assert!(rows >= least, "{rows} rows of {:?}, where libwebp has {least}", picture.size);
    let least = least as usize * picture.size.0 as usize * 4;
    let differs = rgba.iter().zip(&other[..least]).position(|(a, b)| a != b);
    assert_eq!(differs.map(|at| at / 4), None, "of {:?}", picture.size);
    whole
}

/// The picture in a `VP8L` chunk.
fn chunk(data: &[u8]) -> Vec<u8> {
    [b"VP8L", &(data.len() as u32).to_le_bytes()[..], data].concat()
}

fn of_chunk(data: &[u8]) -> Option<WebpPicture<'_>> {
    let features = webp_codec::features(data)?;
    let size = (features.width, features.height);
    Some(WebpPicture { data, size, has_alpha: features.has_alpha, lossless: features.lossless })
}

/// Pixels that make an encoder use all its features: few colours or many, soft or noisy, opaque or not.
fn pixels(width: u32, height: u32, colours: u32, noise: u32, alpha: bool, seed: u32) -> Vec<u8> {
    let pixels = (0..width * height).map(|at| {
        let (x, y) = (at % width, at / width);
        let hash = (at ^ seed).wrapping_mul(2_654_435_761).wrapping_add(seed).wrapping_mul(2_246_822_519);
        let random = hash >> 7 & noise;
        let value = (x * 3 + y * 5 + random) % colours;
        let (r, g, b) = (value * 7 + seed % 5, value * 3 + (random >> 1), value * 11 + x / 8);
        [r as u8, g as u8, b as u8, if alpha { (value * 13 + y) as u8 } else { 255 }]
    });
    pixels.flatten().collect()
}

fn encoded(rgba: &[u8], size: (u32, u32)) -> Vec<u8> {
    webp_codec::encode(rgba, size, Quality::Lossless, &mut || true).expect("a file")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn streams_of_libwebp_are_read_as_libwebp_reads_them(
        size in (1_u32..90, 1_u32..90),
        colours in prop_oneof![1_u32..5, 5_u32..20, 20_u32..300, Just(100_000)],
        noise in prop_oneof![Just(0_u32), Just(1), Just(3), Just(15), Just(255)],
        (alpha, seed) in (any::<bool>(), any::<u32>()),
    ) {
        let file = encoded(&pixels(size.0, size.1, colours, noise, alpha, seed), size);
        let picture = Container::read(&file).picture.expect("a picture");
        prop_assert!(assert_alike(&picture));
    }

    #[test]
    fn every_stream_is_read_as_libwebp_reads_it(seed in any::<u64>()) {
        let data = chunk(&stream::random(seed));
        let picture = of_chunk(&data).expect("a header");
        prop_assert!(assert_alike(&picture));
    }

    #[test]
    fn damaged_streams_are_read_as_far_as_libwebp_reads_them(
        seed in any::<u64>(),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut data = chunk(&stream::random(seed));
        for (at, value) in damage {
            // After the header, so that the size stays small.
            let at = 13 + at.index(data.len() - 13);
            data[at] = value;
        }
        assert_alike(&of_chunk(&data).expect("a header"));
    }
}

#[test]
fn streams_of_every_effort_are_read_as_libwebp_reads_them() {
    let mut count = 0;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promises/samples/lossless");
    for entry in fs::read_dir(folder).expect("the samples") {
        let path = entry.expect("an entry").path();
        let file = fs::read(&path).expect("a sample");
        let picture = Container::read(&file).picture.expect("a picture");
        assert!(picture.lossless && assert_alike(&picture), "{path:?}");
        count += 1;
    }
    assert_eq!(count, 10);
}

#[test]
fn a_stream_cut_off_anywhere_is_read_as_far_as_it_goes() {
    let photo = encoded(&pixels(70, 50, 100_000, 15, true, 5), (70, 50));
    let few = encoded(&pixels(150, 40, 4, 1, false, 7), (150, 40));
    for file in [photo, few] {
        for end in 0..file.len() {
            let cut = &file[..end];
            let Some(picture) = Container::read(cut).picture else { continue };
            assert_alike(&picture);
        }
    }
    for seed in 0..20 {
        let data = chunk(&stream::random(seed));
        (0..data.len()).filter_map(|end| of_chunk(&data[..end])).for_each(|picture| {
            assert_alike(&picture);
        });
    }
}

#[test]
fn noise_behind_a_header_ends_without_a_panic() {
    for seed in 0..2000_u32 {
        let noise = (0..200_u32).map(|at| ((at ^ seed << 8).wrapping_mul(2_654_435_761) >> 13) as u8);
        let header = [0x2f, 0x1f, 0xc0, 0x07, 0x10];
        let data = chunk(&header.into_iter().chain(noise).collect::<Vec<_>>());
        assert_alike(&of_chunk(&data).expect("a header"));
    }
}

#[test]
fn pixels_are_copied_from_as_far_as_a_distance_reaches() {
    let data = chunk(&stream::far());
    assert!(assert_alike(&of_chunk(&data).expect("a header")));
}
