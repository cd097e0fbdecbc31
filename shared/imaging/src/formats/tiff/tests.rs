//! Tests of the cost of invalid pages, and of rare kinds of pages.

use super::*;
use crate::deadline::looks;

const PROGRESSIVE: &[u8] = include_bytes!("../../../tests/promises/samples/progressive.jpg");

/// A file of one page. Values have 32 bits; offsets are relative to the beginning of the data.
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

/// A page of one RGB tile, with additional entries.
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
    header(bytes, limits)?;
    decode(bytes, limits, Deadline::none())
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
    assert_eq!(code(shown(&bytes, &most(2_000_000))), "shown");
    // The samples alone take 4608 bytes, and the reader of each scan 40 kB and more.
    assert_eq!(code(shown(&bytes, &most(100_000))), "decoder_memory");
    assert_eq!(code(shown(&bytes, &most(4_000))), "decoder_memory");
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
    // A row takes 98,304 bytes, the picture 16,384.
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
        let run = |deadline| decode(&bytes, &limits, deadline);
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

/// A page of two pixels side by side, uncompressed; if it is `planar`, each sample has chunks of its own.
fn pair(
    more: &[(u16, &[u32])],
    bits: u32,
    samples: usize,
    planar: bool,
    values: [&[u16]; 2],
) -> Vec<[u8; 4]> {
    let stored = |value: u16| match bits {
        8 => vec![value as u8],
        _ => (value * 257).to_le_bytes().to_vec(),
    };
    let data: Vec<u8> = if planar {
        (0..samples).flat_map(|sample| values.map(|pixel| stored(pixel[sample])).concat()).collect()
    } else {
        values.iter().flat_map(|pixel| pixel.iter().flat_map(|value| stored(*value))).collect()
    };
    let offsets: Vec<u32> = (0..samples as u32).map(|sample| sample * 2 * bits / 8).collect();
    let (count, bits, planar) = ([samples as u32], [bits], [if planar { 2 } else { 1 }]);
    let mut entries: Vec<(u16, &[u32])> = vec![
        (tag::WIDTH, &[2]),
        (tag::HEIGHT, &[1]),
        (tag::BITS, &bits),
        (tag::SAMPLES, &count),
        (tag::PLANAR, &planar),
        (tag::STRIP_OFFSETS, if planar == [2] { &offsets } else { &[0] }),
    ];
    entries.extend(more);
    shown(&file(&entries, &data), &Limits::default()).expect("a picture").rgba.as_chunks().0.to_vec()
}

/// libvips 8.18 and `vips_unpremultiply` give the same inks and the same alpha.
#[test]
fn alpha_is_that_of_the_file_in_every_colour_space() {
    for (bits, planar) in [(8, false), (8, true), (16, false), (16, true)] {
        let what = format!("{bits} bits, planar: {planar}");
        let inks = |extra: u32| {
            let more: [(u16, &[u32]); 2] = [(tag::PHOTOMETRIC, &[5]), (tag::EXTRA_SAMPLES, &[extra])];
            pair(&more, bits, 5, planar, [&[51, 0, 0, 0, 128], &[0, 0, 102, 0, 0]])
        };
        assert_eq!(inks(2), [[204, 255, 255, 128], [255, 255, 153, 0]], "{what}");
        assert_eq!(inks(1), [[153, 255, 255, 128], [255, 255, 255, 0]], "associated: {what}");
        assert_eq!(inks(0), [[204, 255, 255, 255], [255, 255, 153, 255]], "something else: {what}");
        let grey: [(u16, &[u32]); 2] = [(tag::PHOTOMETRIC, &[1]), (tag::EXTRA_SAMPLES, &[2])];
        let shown = pair(&grey, bits, 2, planar, [&[10, 20], &[30, 255]]);
        assert_eq!(shown, [[10, 10, 10, 20], [30, 30, 30, 255]], "{what}");
        let luma: [(u16, &[u32]); 3] =
            [(tag::PHOTOMETRIC, &[6]), (tag::EXTRA_SAMPLES, &[2]), (tag::YCBCR_SUBSAMPLING, &[1, 1])];
        let shown = pair(&luma, bits, 4, planar, [&[10, 128, 128, 20], &[30, 128, 128, 255]]);
        assert_eq!(shown, [[10, 10, 10, 20], [30, 30, 30, 255]], "{what}");
        let lab: [(u16, &[u32]); 2] = [(tag::PHOTOMETRIC, &[8]), (tag::EXTRA_SAMPLES, &[2])];
        let shown = pair(&lab, bits, 4, planar, [&[255, 0, 0, 20], &[0, 0, 0, 255]]);
        assert_eq!(shown, [[255, 255, 255, 20], [0, 0, 0, 255]], "{what}");
    }
    let colours: Vec<u32> = (0..768).map(|value| (value % 256) * 257).collect();
    let palette: [(u16, &[u32]); 3] =
        [(tag::PHOTOMETRIC, &[3]), (tag::EXTRA_SAMPLES, &[2]), (tag::COLOURS, &colours)];
    let shown = pair(&palette, 8, 2, false, [&[10, 20], &[30, 255]]);
    assert_eq!(shown, [[10, 10, 10, 20], [30, 30, 30, 255]]);
}

#[test]
fn inks_need_no_photometric_interpretation() {
    let inks: [(u16, &[u32]); 1] = [(tag::INK_SET, &[1])];
    let shown = pair(&inks, 8, 4, false, [&[0, 0, 0, 0], &[0, 0, 0, 255]]);
    assert_eq!(shown, [[255, 255, 255, 255], [0, 0, 0, 255]]);
}

#[test]
fn floats_of_grey_have_alpha_too() {
    let data: Vec<u8> = [0.5_f32, 0.25, 1.0, 1.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let entries: [(u16, &[u32]); 8] = [
        (tag::WIDTH, &[2]),
        (tag::HEIGHT, &[1]),
        (tag::BITS, &[32]),
        (tag::SAMPLES, &[2]),
        (tag::PHOTOMETRIC, &[1]),
        (tag::SAMPLE_FORMAT, &[3]),
        (tag::EXTRA_SAMPLES, &[2]),
        (tag::STRIP_OFFSETS, &[0]),
    ];
    let decoded = shown(&file(&entries, &data), &Limits::default()).expect("a picture");
    assert_eq!(decoded.rgba, [128, 128, 128, 64, 255, 255, 255, 255]);
}

#[test]
fn a_compression_that_is_not_decoded_is_named() {
    for (number, name) in [(34_887, "LERC"), (34_925, "LZMA"), (50_002, "JPEG XL"), (12_345, "method 12345")]
    {
        let bytes = tiled((16, 16), (16, 16), &[(tag::BITS, &[8]), (tag::COMPRESSION, &[number])], &[0; 9]);
        let refused = header(&bytes, &Limits::default()).expect_err(name);
        assert_eq!(refused.code(), "unsupported_format");
        assert!(refused.to_string().contains(&format!("compressed with {name},")), "{refused}");
    }
    let more: [(u16, &[u32]); 3] = [(tag::BITS, &[8]), (tag::COMPRESSION, &[6]), (tag::JPEG_PROCESS, &[14])];
    let refused =
        header(&tiled((16, 16), (16, 16), &more, &[0; 9]), &Limits::default()).expect_err("lossless");
    assert!(refused.to_string().contains("lossless JPEG"), "{refused}");
}

/// A zstd frame with this window descriptor and these blocks.
fn zstd(window: u8, blocks: &[u8]) -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, window][..], blocks].concat()
}

/// A zstd block of this type (0 is raw, 1 repeats one byte).
fn block(kind: u32, size: u32, last: bool, content: &[u8]) -> Vec<u8> {
    [&(size << 3 | kind << 1 | u32::from(last)).to_le_bytes()[..3], content].concat()
}

fn zstd_page(side: u32, data: &[u8]) -> Vec<u8> {
    tiled((side, side), (side, side), &[(tag::BITS, &[8]), (tag::COMPRESSION, &[50_000])], data)
}

#[test]
fn zstd_is_unpacked_as_far_as_it_goes_and_no_further_than_there_is_memory_for() {
    let plain = zstd(0, &[block(0, 12, false, &[1; 12]), block(1, 800, true, &[7])].concat());
    let decoded = shown(&zstd_page(16, &plain), &Limits::default()).expect("a picture");
    let pixels = decoded.rgba.as_chunks::<4>().0;
    assert!(pixels[..4].iter().all(|pixel| *pixel == [1, 1, 1, 255]));
    assert!(pixels[4..].iter().all(|pixel| *pixel == [7, 7, 7, 255]));
    // The window is 1 KB, and more data comes before the damage: the data beyond the window is shown.
    let damaged = zstd(0, &[block(1, 1000, false, &[7]).repeat(4), vec![6, 0, 0]].concat());
    let decoded = shown(&zstd_page(64, &damaged), &Limits::default()).expect("a part of the picture");
    assert_eq!(
        (decoded.rgba[..4].to_vec(), decoded.rgba[64 * 64 * 4 - 4..].to_vec()),
        (vec![7, 7, 7, 255], vec![0; 4])
    );
    // The upper five bits are the exponent of the window's size: 128 MB and 2 TB.
    for window in [17 << 3, 31 << 3] {
        let bytes = zstd_page(16, &zstd(window, &block(1, 768, true, &[7])));
        let few = Limits { max_decoder_bytes: 64 << 20, ..Limits::default() };
        assert_eq!(code(shown(&bytes, &few)), "decoder_memory", "{window}");
    }
    let most = zstd_page(16, &zstd(17 << 3, &block(1, 768, true, &[7])));
    assert_eq!(code(shown(&most, &Limits::default())), "shown");
    for nothing in [&b"no zstd"[..], &zstd(0, &[]), &[0x28, 0xb5, 0x2f, 0xfd]] {
        assert_eq!(code(shown(&zstd_page(16, nothing), &Limits::default())), "corrupt_image");
    }
}

#[test]
fn blocks_of_zstd_that_unpack_to_nothing_are_looked_at_by_the_clock() {
    let bytes = zstd_page(16, &zstd(0, &block(0, 0, false, &[]).repeat(10_000)));
    let limits = Limits::default();
    let run = |deadline| decode(&bytes, &limits, deadline);
    let taken = looks::taken(|deadline| code(run(deadline)));
    assert!(taken > 500, "{taken}");
    assert_eq!(code(looks::passing_after(taken / 2, run)), "time_limit");
}

#[test]
fn a_webp_chunk_counts_with_its_page() {
    const WEBP: &[u8] = include_bytes!("../../../tests/promises/samples/webp.tif");
    assert_eq!(code(shown(WEBP, &Limits::default())), "shown");
    // The page takes 6144 bytes; the chunk, which is half of it, takes more than twice its own samples.
    let most = |max_decoder_bytes| Limits { max_decoder_bytes, ..Limits::default() };
    assert_eq!(code(shown(WEBP, &most(12_000))), "decoder_memory");
    let few = Limits { max_pixels: 48 * 32, ..Limits::default() };
    assert_eq!(code(shown(WEBP, &few)), "shown");
}

/// libtiff 4.7 reads these files. Each strip is a JPEG of its own, and a table that components share is written once.
#[test]
fn old_jpegs_whose_pieces_lie_anywhere_are_read() {
    const WHOLE: &[u8] = include_bytes!("../../../tests/promises/samples/old-jpeg-whole.tif");
    let pixels = |bytes: &[u8]| shown(bytes, &Limits::default()).expect("a picture").rgba;
    let expected = pixels(WHOLE);
    let tagged = |tag: u16| {
        WHOLE.windows(4).rposition(|at| at[..2] == tag.to_le_bytes() && at[3] == 0).expect("a tag")
    };
    // The stream's length is wrong or missing, or the number of samples is missing.
    for (at, value) in [(514, 3_u32), (514, u32::MAX)] {
        let mut bytes = WHOLE.to_vec();
        let entry = tagged(at);
        bytes[entry + 8..entry + 12].copy_from_slice(&value.to_le_bytes());
        assert_eq!(pixels(&bytes), expected, "{at} is {value}");
    }
    let mut called_rgb = WHOLE.to_vec();
    let entry = tagged(tag::PHOTOMETRIC);
    called_rgb[entry + 8] = 2;
    assert_eq!(pixels(&called_rgb), expected, "libtiff does not believe it");
    for gone in [514, 277] {
        let mut bytes = WHOLE.to_vec();
        let entry = tagged(gone);
        bytes[entry..entry + 2].copy_from_slice(&60_000_u16.to_le_bytes());
        assert_eq!(pixels(&bytes), expected, "without {gone}");
    }
}

/// A JPEG 2000 marker segment.
fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes()[..], content].concat()
}

/// The JPEG 2000 segment with the sizes of a picture and of its tiles.
fn sizes((width, height): (u32, u32), tile: u32, components: u16) -> Vec<u8> {
    let numbers = [width, height, 0, 0, tile, tile, 0, 0].map(u32::to_be_bytes).concat();
    let components = [&components.to_be_bytes()[..], &[7, 1, 1].repeat(components.into())].concat();
    segment(0x51, &[&[0, 0][..], &numbers[..], &components].concat())
}

/// A codestream without data, with this number of layers, exponent of a block's sides minus two, and exponent of a
/// precinct's.
fn codestream(sizes: &[u8], layers: u8, block: u8, precinct: u8, tile_header: &[u8]) -> Vec<u8> {
    let coding = segment(0x52, &[1, 0, 0, layers, 0, 0, block, block, 0, 1, precinct << 4 | precinct]);
    let steps = segment(0x5c, &[0x40, 0x48]);
    let tile = segment(0x90, &[0, 0, 0, 0, 0, 0, 0, 1]);
    [&[0xff, 0x4f][..], sizes, &coding, &steps, &tile, tile_header, &[0xff, 0x93, 0xff, 0xd9]].concat()
}

fn slide(page: u32, chunk: &[u8]) -> Vec<u8> {
    tiled((page, page), (page, page), &[(tag::BITS, &[8]), (tag::COMPRESSION, &[33_005])], chunk)
}

#[test]
fn headers_of_jpeg_2000_are_held_against_the_limits_before_decoding() {
    let answer = |page, chunk: &[u8]| code(shown(&slide(page, chunk), &Limits::default()));
    let plain = sizes((64, 64), 64, 3);
    assert_eq!(answer(64, &codestream(&plain, 1, 4, 15, &[])), "shown");
    // Blocks of one pixel with 32 layers each take two gigabytes.
    let large = sizes((1024, 1024), 1024, 3);
    assert_eq!(answer(1024, &codestream(&large, 32, 0, 0, &[])), "decoder_memory");
    assert_eq!(answer(1024, &codestream(&large, 1, 4, 15, &[])), "shown");
    // A picture with as many tiles as pixels.
    let crumbs = slide(256, &codestream(&sizes((256, 256), 1, 3), 1, 4, 15, &[]));
    let few = Limits { max_decoder_bytes: 64 << 20, ..Limits::default() };
    assert_eq!(code(shown(&crumbs, &few)), "decoder_memory");
    assert_eq!(answer(1025, &codestream(&sizes((1025, 1025), 1025, 3), 1, 4, 15, &[])), "unsupported_format");
    for other in
        [sizes((u32::MAX, u32::MAX), u32::MAX, 3), sizes((65, 64), 64, 3), sizes((64, 64), 64, 16_384)]
    {
        assert_eq!(answer(64, &codestream(&other, 1, 4, 15, &[])), "corrupt_image");
    }
    let settings = segment(0x52, &[1, 0, 0, 32, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(answer(64, &codestream(&plain, 1, 4, 15, &settings)), "unsupported_format");
    // A tile part that ends before its headers do, with settings where the next part is not searched.
    let mut hidden =
        codestream(&plain, 1, 4, 15, &[segment(0x64, &[0; 20]), segment(0x90, &[0; 8])].concat());
    let part = hidden.windows(2).position(|marker| marker == [0xff, 0x90]).expect("a tile");
    hidden[part + 9] = 14;
    assert_eq!(answer(64, &hidden), "unsupported_format");
    for cut in 0..hidden.len() {
        assert_ne!(answer(64, &hidden[..cut]), "decoder_memory", "{cut}");
    }
}

#[test]
fn no_damage_to_jpeg_2000_or_zstd_does_more_than_spoil_the_picture() {
    const FILES: [&[u8]; 3] = [
        include_bytes!("../../../tests/promises/samples/jpeg2000.tif"),
        include_bytes!("../../../tests/promises/samples/jpeg2000-chroma.tif"),
        include_bytes!("../../../tests/promises/samples/zstd.tif"),
    ];
    let mut state = 1_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for round in 0..1_000 {
        let mut bytes = FILES[round % FILES.len()].to_vec();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            bytes[at] = random(256) as u8;
        }
        let known = [
            "shown",
            "corrupt_image",
            "unsupported_format",
            "too_many_pixels",
            "decoder_memory",
            "empty_image",
        ];
        let answer = code(shown(&bytes, &Limits { max_pixels: 1 << 20, ..Limits::default() }));
        assert!(known.contains(&answer), "{answer}");
    }
}

#[test]
fn a_directory_has_no_more_entries_than_are_looked_at() {
    let page = |fillers: usize| {
        let count = fillers as u64 + 8;
        let fill = [&60_000_u16.to_le_bytes()[..], &[4, 0], &1_u64.to_le_bytes(), &[0; 8]].concat();
        let mut out = [&b"II\x2b\0\x08\0\0\0\x10\0\0\0\0\0\0\0"[..], &count.to_le_bytes()].concat();
        out.extend(fill.repeat(fillers));
        for (tag, value) in [
            (tag::WIDTH, 1),
            (tag::HEIGHT, 1),
            (tag::BITS, 8),
            (tag::PHOTOMETRIC, 1),
            (tag::SAMPLES, 1),
            (tag::ROWS_PER_STRIP, 1),
            (tag::STRIP_OFFSETS, 0_u64),
            (tag::STRIP_LENGTHS, 1),
        ] {
            out.extend(
                [&tag.to_le_bytes()[..], &[4, 0], &1_u64.to_le_bytes(), &value.to_le_bytes()].concat(),
            );
        }
        code(shown(&out, &Limits::default()))
    };
    assert_eq!(page(0), "shown");
    assert_eq!(page(4088), "shown");
    assert_eq!(page(4096), "corrupt_image");
    assert_eq!(page(200_000), "corrupt_image");
}

#[test]
fn pages_within_pages_are_looked_at_in_no_time() {
    // Each page that is searched has as many sub-pages, which are all the same page with the greatest number of
    // entries. Reading all of them one by one would take minutes.
    let entry = |tag: u16, count: u64, value: u64| {
        [&tag.to_le_bytes()[..], &[16, 0], &count.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let fillers = entry(60_000, 1, 0).repeat(300_000);
    let mut file = b"II\x2b\0\x08\0\0\0\x10\0\0\0\0\0\0\0".to_vec();
    let subs = 16 + 80 * 256_u64;
    let large = subs + 8 * 256;
    for page in 0..256_u64 {
        let next = if page == 255 { 0 } else { 16 + (page + 1) * 80 };
        // A thumbnail, as its type says, so that the search continues with the next page.
        let entries = [
            entry(tag::NEW_SUBFILE_TYPE, 1, 1),
            entry(tag::WIDTH, 1, 1),
            entry(tag::SUB_DIRECTORIES, 256, subs),
        ];
        file.extend([&3_u64.to_le_bytes()[..], &entries.concat(), &next.to_le_bytes(), &[0; 4]].concat());
    }
    file.extend(large.to_le_bytes().repeat(256));
    file.extend([&300_000_u64.to_le_bytes()[..], &fillers].concat());
    let begun = std::time::Instant::now();
    assert!(header(&file, &Limits::default()).is_err());
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

#[test]
fn tables_of_an_old_jpeg_are_taken_over_up_to_a_limit() {
    let interval = [0xff, 0xdd, 0, 4, 0, 1].repeat(200_000);
    let stream = [&[0xff, 0xd8][..], &interval].concat();
    let more: [(u16, &[u32]); 3] =
        [(tag::BITS, &[8]), (tag::COMPRESSION, &[6]), (tag::JPEG_STREAM, &[u32::MAX])];
    let mut bytes = tiled((16, 16), (16, 16), &more, &stream);
    let at = (bytes.len() - stream.len()) as u32;
    let place = bytes.windows(4).position(|value| value == [0xff; 4]).expect("the stream's place");
    bytes[place..place + 4].copy_from_slice(&at.to_le_bytes());
    let page = page::Page::read(first_page(&bytes).expect("a page"), &Limits::default()).expect("a page");
    let old = page.old_jpeg.as_ref().expect("an old JPEG");
    // There are no quantisation tables, so the file is constructed only up to that point.
    let frame = [0xff, 0xc0, 0, 17, 8, 0, 16, 0, 16, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0];
    let made = old.file(&page, &[&[0xff, 0xd8][..], &interval, &frame].concat()).expect("a file");
    assert!((100_000..140_000).contains(&made.len()), "{} bytes", made.len());
}
