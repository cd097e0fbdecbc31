//! AVIF: every bit depth and layout, the boxes around the picture, and files with wrong boxes.

use std::time::Duration;

use image::ImageFormat;
use imaging::{Deadline, Fit, Image, ImageError, Limits, Source, ThumbnailOptions};
use proptest::{prelude::*, sample::Index};

use crate::support::{
    Avif, AvifItem, HEIGHT, QUARTERS, WIDTH, at, avif_payload as payload, close, decode, nclx, open,
    quarters, reopened, with_profile,
};

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!("samples/avif/", $name)).as_slice()
    };
}

const PICTURE: &[u8] = sample!("444.avif");

/// The picture with these properties in addition to its size: type, content, and whether it is essential.
fn picture(properties: &[([u8; 4], &[u8], bool)]) -> AvifItem {
    AvifItem::picture(payload(PICTURE), WIDTH, HEIGHT).with(properties)
}

fn only(item: AvifItem) -> Vec<u8> {
    Avif { items: vec![item], ..Avif::default() }.file()
}

#[test]
fn every_depth_and_layout_is_read() {
    for (name, bytes) in [
        ("4:2:0", sample!("420.avif")),
        ("4:2:2", sample!("422.avif")),
        ("4:4:4", sample!("444.avif")),
        ("narrow range", sample!("narrow.avif")),
        ("10 bits", sample!("10.avif")),
        ("12 bits", sample!("12.avif")),
    ] {
        let source = open(bytes.to_vec()).expect(name);
        assert_eq!(
            (source.format().to_string().as_str(), source.width(), source.height()),
            ("AVIF", WIDTH, HEIGHT),
            "{name}"
        );
        let image = source.image().expect(name);
        assert!(close(quarters(image), QUARTERS, 5), "{name}: {:?}", quarters(image));
        assert!(!image.has_alpha(), "{name}");
    }
    let grey = quarters(&decode(sample!("grey.avif").to_vec()));
    let wanted = QUARTERS.map(|[r, g, b]| {
        let luma = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
        [luma.round() as u8; 3]
    });
    assert!(close(grey, wanted, 3), "{grey:?}");
}

#[test]
fn pictures_are_what_another_decoder_makes_of_them() {
    // Pillow's conversion is that of libyuv, in integers and with another chroma upsampling at hard edges.
    for (name, bytes, theirs, most, mean) in [
        ("4:2:0", sample!("busy-420.avif"), sample!("busy-420.png"), 80, 0.6),
        ("4:2:2", sample!("busy-422.avif"), sample!("busy-422.png"), 80, 0.6),
        ("4:4:4", sample!("busy-444.avif"), sample!("busy-444.png"), 3, 0.8),
        ("narrow range", sample!("busy-narrow.avif"), sample!("busy-narrow.png"), 3, 0.8),
        ("10 bits, 4:2:0", sample!("busy-10.avif"), sample!("busy-10.png"), 80, 0.8),
    ] {
        let (ours, theirs) = (decode(bytes.to_vec()), decode(theirs.to_vec()));
        assert_eq!((ours.width(), ours.height()), (theirs.width(), theirs.height()), "{name}");
        let apart: Vec<u8> = ours.rgba().iter().zip(theirs.rgba()).map(|(a, b)| a.abs_diff(*b)).collect();
        let total: u32 = apart.iter().copied().map(u32::from).sum();
        let (worst, average) = (apart.iter().copied().max(), f64::from(total) / apart.len() as f64);
        assert!(
            worst <= Some(most) && average <= mean,
            "{name}: {worst:?} at the most, {average} on average"
        );
    }
}

#[test]
fn alpha_is_read_and_colours_that_were_multiplied_by_it_are_whole_again() {
    for (name, bytes) in
        [("straight", sample!("alpha.avif")), ("premultiplied", sample!("premultiplied.avif"))]
    {
        let image = decode(bytes.to_vec());
        for (y, alpha) in [(0.02, 4), (0.5, 128), (0.98, 251)] {
            let shown = at(&image, 0.2, y)[3];
            assert!(shown.abs_diff(alpha) <= 6, "{name} at {y}: {shown}");
        }
        let [lower, white] = [at(&image, 0.2, 0.9), at(&image, 0.9, 0.9)];
        assert!(close([[lower[0], lower[1], lower[2]]; 4], [QUARTERS[2]; 4], 8), "{name}: {lower:?}");
        assert!(close([[white[0], white[1], white[2]]; 4], [QUARTERS[3]; 4], 8), "{name}: {white:?}");
    }
}

/// The quarters after so many counterclockwise turns and an optional mirroring.
fn turned(turns: u8, mirror: Option<u8>) -> [[u8; 3]; 4] {
    let mut shown = QUARTERS;
    for _ in 0..turns {
        let [a, b, c, d] = shown;
        shown = [b, d, a, c];
    }
    let [a, b, c, d] = shown;
    match mirror {
        Some(0) => [c, d, a, b],
        Some(_) => [b, a, d, c],
        None => shown,
    }
}

#[test]
fn the_cells_of_a_grid_may_have_alpha_of_their_own() {
    let mut file = grid(WIDTH, HEIGHT);
    let grey = payload(sample!("quarter-3.avif"));
    for cell in 2..=5 {
        let name = b"\0\0\0\0urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0";
        let alpha = AvifItem::picture(grey.clone(), WIDTH / 2, HEIGHT / 2);
        file.items.push(alpha.with(&[(*b"auxC", name, true)]));
        file.references.push((*b"auxl", file.items.len() as u16, cell));
    }
    let image = decode(file.file());
    assert!(close(quarters(&image), QUARTERS, 5), "{:?}", quarters(&image));
    let alpha = at(&image, 0.25, 0.25)[3];
    assert!(alpha.abs_diff(QUARTERS[3][0]) <= 3, "{alpha}");
}

#[test]
fn turns_come_before_mirrors_and_the_headers_tell_the_upright_size() {
    for turns in 0..4 {
        for mirror in [None, Some(0), Some(1)] {
            let axis = [mirror.unwrap_or(0)];
            let turn = (*b"irot", &[turns][..], true);
            let mirrored = (*b"imir", &axis[..], true);
            let file = only(if mirror.is_some() { picture(&[turn, mirrored]) } else { picture(&[turn]) });
            let source = open(file).expect("a good file");
            let size = if turns % 2 == 1 { (HEIGHT, WIDTH) } else { (WIDTH, HEIGHT) };
            assert_eq!((source.width(), source.height()), size, "{turns} {mirror:?}");
            let shown = quarters(source.image().expect("a picture"));
            assert!(close(shown, turned(turns, mirror), 5), "{turns} {mirror:?}: {shown:?}");
        }
    }
}

/// A clean aperture of whole pixels: its size, and the offset of its centre from that of the picture, in halves of a
/// pixel.
fn aperture(width: u32, height: u32, right: i32, down: i32) -> Vec<u8> {
    let fractions = [width, 1, height, 1, right.cast_unsigned(), 2, down.cast_unsigned(), 2];
    fractions.map(u32::to_be_bytes).concat()
}

#[test]
fn an_aperture_is_cut_out_before_the_picture_is_turned() {
    // The left half is kept, then turned counterclockwise: what was on top is on the left.
    let left = aperture(WIDTH / 2, HEIGHT, -24, 0);
    let file = only(picture(&[(*b"clap", &left, true), (*b"irot", &[1], true)]));
    let source = open(file).expect("a good file");
    assert_eq!((source.width(), source.height()), (HEIGHT, WIDTH / 2), "from the headers");
    let [red, _, blue, _] = QUARTERS;
    let shown = quarters(source.image().expect("a picture"));
    assert!(close(shown, [red, blue, red, blue], 5), "{shown:?}");
    let beyond = aperture(WIDTH, HEIGHT, 2, 0);
    let whole = decode(only(picture(&[(*b"clap", &beyond, true)])));
    assert_eq!((whole.width(), whole.height()), (WIDTH, HEIGHT), "what makes no sense is left alone");
}

#[test]
fn a_thumbnail_is_the_same_by_way_of_the_planes_and_of_the_whole_picture() {
    let left = aperture(WIDTH / 2, HEIGHT, -24, 0);
    for (name, bytes) in [
        ("opaque", sample!("busy-420.avif").to_vec()),
        ("10 bits", sample!("busy-10.avif").to_vec()),
        ("alpha", sample!("alpha.avif").to_vec()),
        ("premultiplied", sample!("premultiplied.avif").to_vec()),
        ("a part, turned", only(picture(&[(*b"clap", &left, true), (*b"irot", &[1], true)]))),
        ("a grid", grid(WIDTH, HEIGHT).file()),
    ] {
        let whole = decode(bytes.clone()).encode_png().expect("a PNG");
        for (width, height, fit) in [(20, 20, Fit::Cover), (30, 11, Fit::Fill), (7, 9, Fit::Contain)] {
            let options = ThumbnailOptions { width, height, fit, ..ThumbnailOptions::default() };
            let made = |bytes| reopened(&open(bytes).expect(name).thumbnail(&options).expect(name));
            let (ours, wanted) = (made(bytes.clone()), made(whole.clone()));
            let apart = ours.rgba().iter().zip(wanted.rgba()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(apart <= Some(4), "{name} {width}×{height}: {apart:?}");
        }
    }
}

/// A grid of the picture's quarters, of this size.
fn grid(width: u32, height: u32) -> Avif {
    let cells = [
        sample!("quarter-0.avif"),
        sample!("quarter-1.avif"),
        sample!("quarter-2.avif"),
        sample!("quarter-3.avif"),
    ];
    let sides = [(width as u16).to_be_bytes(), (height as u16).to_be_bytes()].concat();
    let table = AvifItem {
        inside: true,
        ..AvifItem::new(*b"grid", [&[0, 0, 1, 1][..], &sides].concat(), width, height)
    };
    let cells = cells.map(|cell| AvifItem::picture(payload(cell), WIDTH / 2, HEIGHT / 2));
    Avif {
        items: [table].into_iter().chain(cells).collect(),
        references: (2..=5).map(|cell| (*b"dimg", 1, cell)).collect(),
        ..Avif::default()
    }
}

#[test]
fn a_grid_is_put_together_and_cut_to_its_size() {
    let image = decode(grid(WIDTH, HEIGHT).file());
    assert_eq!((image.width(), image.height()), (WIDTH, HEIGHT));
    assert!(close(quarters(&image), QUARTERS, 5), "{:?}", quarters(&image));
    let cut = decode(grid(WIDTH - 10, HEIGHT - 5).file());
    assert_eq!((cut.width(), cut.height()), (WIDTH - 10, HEIGHT - 5));
    assert!(close(quarters(&cut), QUARTERS, 5), "{:?}", quarters(&cut));
    let mut part = grid(WIDTH, HEIGHT);
    part.items[0] = part.items[0].clone().with(&[(*b"clap", &aperture(WIDTH / 2, HEIGHT / 2, 0, 0), true)]);
    let middle = decode(part.file());
    assert_eq!((middle.width(), middle.height()), (WIDTH / 2, HEIGHT / 2));
    assert!(close(quarters(&middle), QUARTERS, 5), "{:?}", quarters(&middle));
}

#[test]
fn a_cell_that_cannot_be_shown_is_transparent_and_the_others_are_there() {
    let mut damaged = grid(WIDTH, HEIGHT);
    damaged.items[2].data.truncate(12);
    let image = decode(damaged.file());
    assert_eq!(at(&image, 0.75, 0.25), [0; 4]);
    assert!(at(&image, 0.25, 0.25)[0] > 180 && at(&image, 0.25, 0.25)[3] == 255);
    let mut nothing = grid(WIDTH, HEIGHT);
    nothing.items[1..].iter_mut().for_each(|cell| cell.data.truncate(12));
    assert_eq!(refused(nothing.file()), "corrupt_image");
}

#[test]
fn a_grid_that_does_not_cover_its_picture_is_corrupt() {
    for (width, height) in [(WIDTH + 1, HEIGHT), (WIDTH, HEIGHT * 3), (WIDTH / 2, HEIGHT), (10, 10)] {
        assert_eq!(refused(grid(width, height).file()), "corrupt_image", "{width}×{height}");
    }
    let mut few = grid(WIDTH, HEIGHT);
    few.references.pop();
    assert_eq!(refused(few.file()), "corrupt_image");
}

#[test]
fn data_may_lie_in_several_pieces_or_inside_the_boxes() {
    for (pieces, inside) in [(1, true), (2, false), (5, false), (3, true)] {
        let image = decode(only(AvifItem { pieces, inside, ..picture(&[]) }));
        assert!(close(quarters(&image), QUARTERS, 5), "{pieces} {inside}: {:?}", quarters(&image));
    }
}

#[test]
fn exif_turns_nothing() {
    let exif = [&[0; 4][..], b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"].concat();
    let file = Avif {
        items: vec![picture(&[]), AvifItem { size: None, ..AvifItem::new(*b"Exif", exif, 0, 0) }],
        references: vec![(*b"cdsc", 2, 1)],
        ..Avif::default()
    };
    let image = decode(file.file());
    assert!(close(quarters(&image), QUARTERS, 5), "{:?}", quarters(&image));
}

#[test]
fn colours_are_converted_by_code_points_or_by_a_profile() {
    let wanted = quarters(&decode(with_profile(&moxcms::ColorProfile::new_display_p3())));
    let points = nclx(12, 13, 6, true);
    let by_points = quarters(&decode(only(picture(&[(*b"colr", &points, false)]))));
    assert!(close(by_points, wanted, 6), "{by_points:?} {wanted:?}");
    let icc = moxcms::ColorProfile::new_display_p3().encode().expect("a profile");
    let profile = [b"prof".to_vec(), icc].concat();
    let matrix = nclx(1, 13, 6, true);
    // The colours come from the profile; the matrix and the range from the code points.
    let both = picture(&[(*b"colr", &profile, false), (*b"colr", &matrix, false)]);
    let by_profile = quarters(&decode(only(both)));
    assert!(close(by_profile, wanted, 6), "{by_profile:?} {wanted:?}");
}

#[test]
fn curves_of_cameras_are_taken_for_srgbs() {
    for transfer in [1, 2, 6, 14, 15] {
        let shown = quarters(&decode(only(picture(&[(*b"colr", &nclx(1, transfer, 6, true), false)]))));
        assert!(close(shown, QUARTERS, 5), "{transfer}: {shown:?}");
    }
}

#[test]
fn high_dynamic_range_is_brought_down_as_it_is_for_png() {
    for transfer in [16, 18] {
        let deep = AvifItem::picture(payload(sample!("10.avif")), WIDTH, HEIGHT).with(&[(
            *b"colr",
            &nclx(9, transfer, 6, true),
            false,
        )]);
        let shown = quarters(&decode(only(deep)));
        let mut png = crate::support::file(ImageFormat::Png);
        let chunk = crate::support::png_chunk(b"cICP", &[9, transfer as u8, 0, 1]);
        png.splice(33..33, chunk);
        let wanted = quarters(&decode(png));
        // The samples of the AVIF are slightly off, and the curve is steep.
        assert!(close(shown, wanted, 12), "{transfer}: {shown:?} {wanted:?}");
    }
}

#[test]
fn a_sequence_shows_its_picture_and_without_one_its_first_frame() {
    let still = sample!("sequence.avif").to_vec();
    let mut bare = still.clone();
    let meta = bare.windows(4).position(|at| at == b"meta").expect("a picture");
    bare[meta..meta + 4].copy_from_slice(b"free");
    for (name, file) in [("with a picture", still), ("without", bare)] {
        let source = open(file).expect(name);
        assert_eq!((source.width(), source.height(), source.frames()), (WIDTH, HEIGHT, 1), "{name}");
        assert_eq!(source.frames_in_file(), 2, "{name}");
        let shown = quarters(source.image().expect(name));
        assert!(close(shown, QUARTERS, 5), "{name}: {shown:?}");
        let corner = at(source.image().expect(name), 0.05, 0.05);
        assert!(corner[0] > 150, "{name}: the second frame's corner is black: {corner:?}");
    }
}

fn refused(bytes: Vec<u8>) -> &'static str {
    open(bytes).and_then(|source| source.image().cloned()).expect_err("must be refused").code()
}

#[test]
fn boxes_that_are_not_understood_are_refused_and_not_shown_wrong() {
    assert_eq!(refused(only(picture(&[(*b"wild", &[0; 4], true)]))), "unsupported_format");
    let image = decode(only(picture(&[(*b"wild", &[0; 4], false)])));
    assert!(close(quarters(&image), QUARTERS, 5), "what need not be known is left alone");
    let hevc = AvifItem { kind: *b"hvc1", ..picture(&[]) };
    assert_eq!(refused(only(hevc)), "unsupported_format");
    let heic = open(Avif { brand: *b"heic", items: vec![picture(&[])], ..Avif::default() }.file());
    let said = heic.expect_err("must be refused").to_string();
    assert!(said.starts_with("HEIC is not supported"), "{said}");
}

#[test]
fn a_file_that_is_cut_off_is_corrupt() {
    for bytes in [PICTURE, sample!("alpha.avif"), sample!("10.avif"), sample!("sequence.avif")] {
        for end in 32..bytes.len() {
            match open(bytes[..end].to_vec()).and_then(|source| source.image().cloned()) {
                // The part that is cut off may be the alpha, or frames that follow.
                Ok(image) => assert_eq!((image.width(), image.height()), (WIDTH, HEIGHT), "{end}"),
                Err(error) => assert!(matches!(error, ImageError::Corrupt { .. }), "{end}: {error:?}"),
            }
        }
    }
}

#[test]
fn claims_are_held_against_the_limits_before_memory_is_taken() {
    let boast = |side| only(AvifItem::picture(payload(PICTURE), side, side));
    let error = open(boast(50_000)).expect_err("too large");
    assert_eq!(error.code(), "too_many_pixels");
    assert_eq!(refused(boast(0)), "empty_image");
    // The stream states another size than the box.
    assert_eq!(refused(boast(7_000)), "corrupt_image");
    assert_eq!(refused(boast(16)), "corrupt_image");
    let mut cells = grid(WIDTH, HEIGHT);
    for cell in &mut cells.items[1..] {
        cell.size = Some((50_000, 50_000));
    }
    assert_eq!(refused(cells.file()), "too_many_pixels");
}

fn with_limits(limits: &Limits, deadline: Deadline) -> Result<Image, ImageError> {
    Source::open(PICTURE.to_vec(), limits, deadline).and_then(|source| source.image().cloned())
}

#[test]
fn memory_and_time_are_limited() {
    let scant =
        |max_decoder_bytes| with_limits(&Limits { max_decoder_bytes, ..Limits::default() }, Deadline::none());
    assert!(matches!(scant(u64::from(WIDTH * HEIGHT * 3)), Err(ImageError::DecoderMemory { .. })));
    assert!(matches!(scant(1 << 20), Err(ImageError::DecoderMemory { .. })), "the decoder's own");
    assert!(scant(4 << 20).is_ok());
    let late = with_limits(&Limits::default(), Deadline::after(Duration::ZERO));
    assert!(matches!(late, Err(ImageError::TimeLimit(_))));
}

#[test]
fn pictures_that_are_not_shown_cost_no_more_than_a_few() {
    // A stream that repeats one picture: the first is shown, and the rest is not decoded.
    let many = payload(PICTURE).repeat(1000);
    let image = decode(only(AvifItem::picture(many, WIDTH, HEIGHT)));
    assert!(close(quarters(&image), QUARTERS, 5));
    // Thousands of extents, each of which is the whole file.
    let mut bytes = only(AvifItem { pieces: 3, ..picture(&[]) });
    let end = bytes.len() as u32;
    let places = bytes.windows(4).position(|at| at == b"iloc").expect("places") + 4;
    for piece in 0..3 {
        let at = places + 16 + piece * 8;
        bytes[at..at + 8].copy_from_slice(&[0, end].map(u32::to_be_bytes).concat());
    }
    assert_eq!(refused(bytes), "corrupt_image");
}

/// Files in which every byte matters.
fn real_file() -> impl Strategy<Value = Vec<u8>> {
    let files = vec![
        sample!("420.avif").to_vec(),
        sample!("busy-422.avif").to_vec(),
        sample!("busy-10.avif").to_vec(),
        sample!("12.avif").to_vec(),
        sample!("premultiplied.avif").to_vec(),
        sample!("sequence.avif").to_vec(),
        grid(WIDTH, HEIGHT).file(),
    ];
    prop::sample::select(files)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Run with `PROPTEST_CASES=100000` for a longer test.
    #[test]
    fn a_damaged_file_is_shown_or_refused(
        mut file in real_file(), flips in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        in_the_stream in any::<bool>(),
    ) {
        let stream = file.windows(4).position(|at| at == b"mdat").filter(|_| in_the_stream).unwrap_or(8);
        for (at, mask) in flips {
            let at = stream + at.index(file.len() - stream);
            file[at] ^= mask;
        }
        let limits = Limits { max_pixels: 1 << 20, max_decoder_bytes: 64 << 20, ..Limits::default() };
        let source = Source::open(file, &limits, Deadline::none());
        let size = source.as_ref().map(|source| (source.width(), source.height())).ok();
        match source.and_then(|source| source.image().cloned()) {
            Ok(image) => prop_assert_eq!(Some((image.width(), image.height())), size),
            Err(error) => prop_assert!(error.code() != "internal_error", "{:?}", error),
        }
    }
}
