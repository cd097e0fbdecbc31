//! What pages that lie about themselves cost.

use super::*;
use crate::deadline::looks;

const PROGRESSIVE: &[u8] = include_bytes!("../../../tests/promises/samples/progressive.jpg");

/// A file of one page. Values are of 32 bits; offsets count from where the data begins.
fn file(entries: &[(u16, &[u32])], data: &[u8]) -> Vec<u8> {
    let after = 8 + 2 + entries.len() * 12 + 4;
    let beyond = |values: &[u32]| if values.len() > 1 { values.len() * 4 } else { 0 };
    let start = after + entries.iter().map(|(_, values)| beyond(values)).sum::<usize>();
    let mut out = [&b"II\x2a\0\x08\0\0\0"[..], &(entries.len() as u16).to_le_bytes()].concat();
    let mut outside = Vec::new();
    for &(tag, values) in entries {
        let base = if matches!(tag, tag::STRIP_OFFSETS | tag::TILE_OFFSETS) { start as u32 } else { 0 };
        let bytes: Vec<u8> = values.iter().flat_map(|value| (value + base).to_le_bytes()).collect();
        out.extend([&tag.to_le_bytes()[..], &[4, 0], &(values.len() as u32).to_le_bytes()].concat());
        if values.len() > 1 {
            out.extend(((after + outside.len()) as u32).to_le_bytes());
            outside.extend(bytes);
        } else {
            out.extend(bytes);
        }
    }
    [&out[..], &[0; 4], &outside, data].concat()
}

/// A page of one tile, in RGB, with more entries.
fn tiled(page: (u32, u32), tile: (u32, u32), more: &[(u16, &[u32])], data: &[u8]) -> Vec<u8> {
    let sides = [[page.0], [page.1], [tile.0], [tile.1], [data.len() as u32]];
    let mut entries: Vec<(u16, &[u32])> = vec![
        (tag::WIDTH, &sides[0]),
        (tag::HEIGHT, &sides[1]),
        (tag::PHOTOMETRIC, &[2]),
        (tag::SAMPLES, &[3]),
        (tag::TILE_WIDTH, &sides[2]),
        (tag::TILE_HEIGHT, &sides[3]),
        (tag::TILE_OFFSETS, &[0]),
        (tag::TILE_LENGTHS, &sides[4]),
    ];
    entries.extend(more);
    file(&entries, data)
}

fn shown(bytes: &[u8], limits: &Limits) -> Result<Decoded, ImageError> {
    decode(bytes, &header(bytes, limits)?, limits, Deadline::none())
}

fn code(result: Result<Decoded, ImageError>) -> &'static str {
    result.err().map_or("shown", |error| error.code())
}

#[test]
fn a_tile_far_larger_than_its_page_is_refused() {
    let at = |tile| {
        let bytes = tiled((100, 100), tile, &[(tag::BITS, &[8])], &[0; 4096 * 3]);
        code(shown(&bytes, &Limits::default()))
    };
    assert_eq!(at((4096, 4096)), "shown");
    for tile in [(1 << 27, 16), (16, 1 << 27), (4097, 4096), (4096, 4097), (u32::MAX, u32::MAX)] {
        assert_eq!(at(tile), "corrupt_image", "{tile:?}");
    }
}

#[test]
fn all_that_is_held_for_a_jpeg_chunk_counts_together() {
    let jpeg = |page, tile| tiled(page, tile, &[(tag::BITS, &[8]), (tag::COMPRESSION, &[7])], PROGRESSIVE);
    let bytes = jpeg((16, 16), (48, 32));
    let most = |max_decoder_bytes| Limits { max_decoder_bytes, ..Limits::default() };
    assert_eq!(code(shown(&bytes, &most(100_000))), "shown");
    // The samples alone are 4608 bytes, the coefficients twice as many and more.
    assert_eq!(code(shown(&bytes, &most(12_000))), "decoder_memory");
    let few = Limits { max_pixels: 48 * 32, ..Limits::default() };
    assert_eq!(code(shown(&bytes, &few)), "shown");
    assert_eq!(code(shown(&jpeg((16, 16), (48, 48)), &few)), "too_many_pixels");
}

#[test]
fn the_picture_and_all_rows_that_are_held_count_together() {
    let floats = |predictor: u32| {
        let deflated = [0x78, 0x9c];
        let more: [(u16, &[u32]); 4] = [
            (tag::BITS, &[64]),
            (tag::COMPRESSION, &[8]),
            (tag::PREDICTOR, &[predictor]),
            (tag::SAMPLE_FORMAT, &[3]),
        ];
        tiled((4096, 1), (4096, 1), &more, &deflated)
    };
    // A row is 98,304 bytes, the picture 16,384.
    let limits = Limits { max_decoder_bytes: 150_000, ..Limits::default() };
    assert_eq!(code(shown(&floats(1), &limits)), "corrupt_image");
    assert_eq!(code(shown(&floats(3), &limits)), "decoder_memory");
    let fewer = Limits { max_decoder_bytes: 110_000, ..Limits::default() };
    assert_eq!(code(shown(&floats(1), &fewer)), "decoder_memory");
}

#[test]
fn long_rows_are_looked_at_one_by_one_and_longer_ones_in_pieces() {
    let rows = |page: (u32, u32)| {
        let bytes = tiled(page, page, &[(tag::BITS, &[8])], &vec![7; (page.0 * page.1 * 3) as usize]);
        let limits = Limits::default();
        let header = header(&bytes, &limits).expect("a page");
        let run = |deadline| decode(&bytes, &header, &limits, deadline);
        let taken = looks::taken(|deadline| run(deadline).expect("a picture"));
        for passes in [0, taken / 2, taken - 1] {
            assert_eq!(code(looks::passing_after(passes, run)), "time_limit", "{passes} of {taken}");
        }
        taken
    };
    // A row of 300 kB, 20 times, and one of 3 MB.
    assert!(rows((100_000, 20)) >= 20);
    assert!(rows((1_000_000, 1)) >= 10);
}

#[test]
fn an_unpacked_chunk_ends_where_its_rows_do_and_not_with_the_file() {
    let offsets: Vec<u32> = (0..100).map(|row| row * 8).collect();
    let entries: [(u16, &[u32]); 7] = [
        (tag::WIDTH, &[8]),
        (tag::HEIGHT, &[100]),
        (tag::BITS, &[8]),
        (tag::PHOTOMETRIC, &[1]),
        (tag::FILL_ORDER, &[2]),
        (tag::STRIP_OFFSETS, &offsets),
        (tag::ROWS_PER_STRIP, &[1]),
    ];
    let bytes = file(&entries, &[1; 800]);
    let page = Page::read(first_page(&bytes).expect("a page"), &Limits::default()).expect("a page");
    assert!((0..100).all(|strip| page.packed(strip).is_some_and(|packed| packed.len() == 8)));
    let decoded = shown(&bytes, &Limits::default()).expect("a picture");
    assert!(decoded.rgba.as_chunks::<4>().0.iter().all(|pixel| *pixel == [128, 128, 128, 255]));
}
