//! Tests against libjpeg-turbo's own reduction, and against files of a small JPEG writer whose coefficients are known.

use std::cell::Cell;

use proptest::{prelude::*, sample::Index};

use super::*;

/// What is enough for every file of these tests.
const AMPLE: u64 = 512 << 20;

/// Bounds on memory alone.
fn within(bytes: u64) -> Bounds<'static> {
    Bounds { bytes, go_on: &|| true }
}

/// How often the work asks whether to go on.
fn asked<T>(work: impl FnOnce(Bounds<'_>) -> T) -> u32 {
    let times = Cell::new(0);
    let go_on = || {
        times.set(times.get() + 1);
        true
    };
    work(Bounds { bytes: AMPLE, go_on: &go_on });
    times.get()
}

/// Does the work until it has asked so often whether to go on.
fn stopped_after<T>(times: u32, work: impl FnOnce(Bounds<'_>) -> T) -> T {
    let left = Cell::new(times);
    let go_on = || {
        let more = left.get() > 0;
        left.set(left.get().saturating_sub(1));
        more
    };
    work(Bounds { bytes: AMPLE, go_on: &go_on })
}

macro_rules! samples {
    ($folder:literal: $($name:literal),*) => {
        [$((
            $name,
            include_bytes!(concat!("../../imaging/tests/promises/samples/", $folder, "/", $name, ".jpg")).as_slice(),
            include_bytes!(concat!("../../imaging/tests/promises/samples/", $folder, "/", $name, ".png")).as_slice(),
        )),*]
    };
}

/// JPEGs of 203 × 149, each with its luminance at an eighth, made by `make.py`.
const SAMPLES: [(&str, &[u8], &[u8]); 10] = samples!["eighth":
    "420",
    "422-restart",
    "444-best",
    "coarse",
    "wide-quantiser",
    "progressive",
    "progressive-restart",
    "optimised",
    "grey",
    "grey-progressive"
];
const SIZE: (u32, u32) = (203, 149);

fn planes_at(bytes: &[u8], size: (u32, u32), choice: Choice<'_>) -> Option<Vec<Plane>> {
    let planes = decode(bytes, size, choice, within(AMPLE)).expect("not stopped")?;
    Some(planes.into_iter().map(|(_, plane)| plane).collect())
}

fn planes(bytes: &[u8], size: (u32, u32)) -> Option<Vec<Plane>> {
    planes_at(bytes, size, &|_| Some(Side::One))
}

#[test]
fn luminance_is_what_libjpeg_turbo_makes_of_it() {
    for (name, jpeg, expected) in SAMPLES {
        let expected = image::load_from_memory(expected).expect("a PNG").to_luma8();
        let luma = planes(jpeg, SIZE).expect("planes").swap_remove(0);
        assert_eq!((luma.width, luma.height), expected.dimensions(), "{name}");
        let off = luma.samples.iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b)).max();
        assert_eq!(off, Some(0), "{name}");
    }
}

#[test]
fn chroma_planes_have_their_own_resolution() {
    for (name, size, scale) in [
        ("444-best", (26, 19), (0.125, 0.125)),
        ("422-restart", (13, 19), (0.0625, 0.125)),
        ("420", (13, 10), (0.0625, 0.0625)),
    ] {
        let (_, jpeg, _) = SAMPLES.iter().find(|sample| sample.0 == name).expect("a sample");
        for plane in &planes(jpeg, SIZE).expect("planes")[1..] {
            assert_eq!(((plane.width, plane.height), plane.scale), (size, scale), "{name}");
        }
    }
}

#[test]
fn each_channel_has_a_reduction_of_its_own() {
    let sides = [[Side::One, Side::Two, Side::Four], [Side::Four, Side::One, Side::Two]];
    for ((name, jpeg, _), sides) in
        SAMPLES.iter().filter(|it| !it.0.contains("grey")).flat_map(|it| [(it, sides[0]), (it, sides[1])])
    {
        let mixed = planes_at(jpeg, SIZE, &|it| Some(sides[it.channel])).expect("planes");
        for (channel, (plane, side)) in mixed.into_iter().zip(sides).enumerate() {
            let alone = planes_at(jpeg, SIZE, &|_| Some(side)).expect("planes").swap_remove(channel);
            assert_eq!(plane, alone, "{name} {channel}");
        }
    }
}

/// The means of each 2 × 2 samples at a quarter are the samples at an eighth, except for rounding and clipping.
#[test]
fn a_quarter_reduced_is_the_eighth() {
    for (name, jpeg, _) in SAMPLES {
        let quarter = planes_at(jpeg, SIZE, &|_| Some(Side::Two));
        let pairs = quarter.expect("planes").into_iter().zip(planes(jpeg, SIZE).expect("planes"));
        for (quarter, eighth) in pairs {
            assert_eq!(quarter.scale, (eighth.scale.0 * 2.0, eighth.scale.1 * 2.0), "{name}");
            let (width, row) = (quarter.width as usize, eighth.width as usize);
            for y in 0..quarter.height as usize / 2 {
                for x in 0..width / 2 {
                    let at = [y * 2 * width + x * 2, (y * 2 + 1) * width + x * 2];
                    let four = [at[0], at[0] + 1, at[1], at[1] + 1].map(|at| u32::from(quarter.samples[at]));
                    if four.iter().any(|sample| [0, 255].contains(sample)) {
                        continue;
                    }
                    let mean = (four.iter().sum::<u32>() + 2) / 4;
                    assert!(mean.abs_diff(eighth.samples[y * row + x].into()) <= 1, "{name} {x},{y}");
                }
            }
        }
    }
}

/// The weight of a sample at eight points in one at four: the four-point inverse transform of the four lowest of eight
/// coefficients, both orthonormal (ITU T.81, A.3.3), as one matrix.
fn four_of_eight(x: usize, of: usize) -> f64 {
    let basis = |points: usize, at: usize, u: usize| {
        let scale = if u == 0 { 1.0 } else { 2_f64.sqrt() } / (points as f64).sqrt();
        scale * ((2 * at + 1) as f64 * u as f64 * std::f64::consts::PI / (2 * points) as f64).cos()
    };
    (0..4).map(|u| basis(4, x, u) * basis(8, of, u)).sum::<f64>() / 2_f64.sqrt()
}

/// The whole luminance, decoded by `zune-jpeg`.
fn luminance(jpeg: &[u8]) -> Vec<u8> {
    use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    decoder.decode().expect("a good file")
}

#[test]
fn a_half_has_the_low_frequencies_of_the_whole_picture() {
    for (name, jpeg, _) in SAMPLES {
        let half = planes_at(jpeg, SIZE, &|_| Some(Side::Four));
        let luma = half.expect("planes").swap_remove(0);
        assert_eq!((luma.width, luma.height), (102, 75), "{name}");
        let (whole, across) = (luminance(jpeg), SIZE.0 as usize);
        let (mut off, mut count) = (0.0, 0.0);
        for (y, x) in (0..SIZE.1 as usize / 8 * 4).flat_map(|y| (0..across / 8 * 4).map(move |x| (y, x))) {
            let block = (y / 4 * 8, x / 4 * 8);
            let rows = (0..8).map(|v| {
                let row = &whole[(block.0 + v) * across + block.1..][..8];
                let row = row.iter().enumerate().map(|(u, &it)| f64::from(it) * four_of_eight(x % 4, u));
                row.sum::<f64>() * four_of_eight(y % 4, v)
            });
            let expected = rows.sum::<f64>().clamp(0.0, 255.0);
            off += (f64::from(luma.samples[y * luma.width as usize + x]) - expected).abs();
            count += 1.0;
        }
        // The other decoder rounds and clips all of a block's samples.
        let bound = if name == "coarse" { 4.0 } else { 1.0 };
        assert!(off / count < bound, "{name}: {}", off / count);
    }
}

/// JPEGs, each with libjpeg-turbo's output, made by `make.py`.
const WHOLES: [(&str, &[u8], &[u8]); 22] = samples!["whole":
    "444",
    "422",
    "420",
    "440",
    "411",
    "420-progressive",
    "420-restart",
    "420-progressive-restart",
    "coarse",
    "rgb",
    "grey",
    "1-420",
    "1-422",
    "4-420",
    "4-422",
    "3x1",
    "1x3",
    "3x2",
    "3x3-chroma",
    "4x3",
    "cmyk-3x2",
    "ycck-3x1"
];

/// The number of channels in the first frame header.
fn channels_of(bytes: &[u8]) -> usize {
    let frame = bytes.windows(2).position(|at| at[0] == 0xff && (0xc0..=0xc2).contains(&at[1]));
    frame.and_then(|at| bytes.get(at + 9)).copied().unwrap_or(3).into()
}

/// The rows of each channel, concatenated, as far as they are wanted.
fn rows_of(
    bytes: &[u8],
    size: (u32, u32),
    bounds: Bounds<'_>,
    most: u32,
) -> Result<Option<Vec<Vec<u8>>>, Error> {
    let mut all = Vec::new();
    let mut expected = 0;
    let mut take = |y: u32, rows: &[&[u8]]| {
        assert_eq!(y, expected, "in order");
        expected += 1;
        all.resize(rows.len(), Vec::new());
        for (all, row) in all.iter_mut().zip(rows) {
            assert_eq!(row.len(), size.0 as usize);
            all.extend_from_slice(row);
        }
        Ok(expected < most)
    };
    let channels = channels_of(bytes);
    let receiver = Receiver { channels, first: 0, held: 0, take: &mut take };
    let read = rows(bytes, size, bounds, receiver)?;
    assert!(!read || expected == most.min(size.1), "all of them");
    Ok(read.then_some(all))
}

#[test]
fn of_every_kind_no_more_than_a_row_of_mcus_is_held() {
    // All coefficients together take 3 MB; the readers of eight scans take less than one.
    for kind in KINDS {
        let (jpeg, _) = written((64, 16_000), &[(2, 2), (1, 1), (1, 1)], kind, 0, 7);
        let rows = rows_of(&jpeg, (64, 16_000), within(1_000_000), u32::MAX);
        assert!(rows.expect("within the limit").is_some(), "{kind:?}");
    }
}

#[test]
fn rows_end_where_no_more_are_wanted() {
    let size = (50, 300);
    for kind in KINDS {
        let (jpeg, _) = written(size, &[(2, 2), (1, 1), (1, 1)], kind, 0, 7);
        let all = rows_of(&jpeg, size, within(AMPLE), u32::MAX).expect("not stopped").expect("rows");
        let asks = |most: u32| {
            let mut left = most;
            let take = &mut |_: u32, _: &[&[u8]]| {
                left -= 1;
                Ok::<_, Error>(left > 0)
            };
            let receiver = Receiver { channels: 3, first: 0, held: 0, take };
            asked(|bounds| rows(&jpeg, size, bounds, receiver).expect("rows"))
        };
        for most in [1, 15, 16, 17, 299] {
            let some = rows_of(&jpeg, size, within(AMPLE), most).expect("not stopped").expect("rows");
            assert!(some.iter().zip(&all).all(|(some, all)| all.starts_with(some)), "{most}");
        }
        assert!(asks(1) * 3 < asks(300), "{kind:?}: what lies behind those is not read");
    }
}

/// If the wanted rows are damaged, the picture still counts as showing something because of the other rows.
#[test]
fn rows_of_which_nothing_is_seen_may_be_of_a_picture_that_shows_something() {
    let (jpeg, _) = written((16, 160), &[(1, 1); 3], Kind::Interleaved, 2, 3);
    let scan = jpeg.windows(2).position(|at| at == [0xff, 0xda]).expect("a scan") + 14;
    let restart = |number: u8| jpeg.windows(2).position(|at| at == [0xff, 0xd0 + number]).expect("a marker");
    let damaged = [&jpeg[..scan], &jpeg[restart(0)..restart(0) + 2], &jpeg[restart(1)..]].concat();
    let rows = rows_of(&damaged, (16, 160), within(AMPLE), 8).expect("not stopped").expect("rows");
    assert!(rows.iter().flatten().all(|sample| *sample == 128), "{rows:?}");
}

#[test]
fn rows_begin_where_they_are_wanted() {
    for (name, jpeg, expected) in WHOLES {
        let size = image::load_from_memory(expected).expect("a PNG").to_rgba8().dimensions();
        let all = rows_of(jpeg, size, within(AMPLE), u32::MAX).expect("not stopped").expect("rows");
        for first in [1, 2, 7, 8, 15, 16, 17, 20] {
            let mut next = first;
            let mut take = |y: u32, rows: &[&[u8]]| {
                assert_eq!(y, next, "{name}");
                next += 1;
                let at = (y * size.0) as usize;
                assert!(rows.iter().zip(&all).all(|(row, all)| all[at..].starts_with(row)), "{name}, {y}");
                Ok::<_, Error>(true)
            };
            let receiver = Receiver { channels: channels_of(jpeg), first, held: 0, take: &mut take };
            assert!(rows(jpeg, size, within(AMPLE), receiver).expect("not stopped"), "{name}");
            assert_eq!(next, size.1.max(first), "{name}");
        }
    }
}

#[test]
fn other_channels_than_are_expected_are_not_given() {
    let mut take = |_: u32, _: &[&[u8]]| -> Result<bool, Error> { panic!("no row") };
    for (_, jpeg, _) in SAMPLES {
        let channels = 4 - channels_of(jpeg);
        let receiver = Receiver { channels, first: 0, held: 0, take: &mut take };
        let read = rows(jpeg, SIZE, within(AMPLE), receiver);
        assert!(!read.expect("not stopped"));
    }
}

#[test]
fn a_scan_that_shows_nothing_shows_nothing_wherever_one_looks() {
    let (jpeg, _) = written((16, 160), &[(1, 1); 3], Kind::Interleaved, 2, 3);
    let scan = jpeg.windows(2).position(|at| at == [0xff, 0xda]).expect("a scan") + 14;
    let markers: Vec<u8> = (0..19).flat_map(|nth| [0xff, 0xd0 + nth % 8]).collect();
    let empty = [&jpeg[..scan], &markers[..]].concat();
    for most in [1, 8, 9, 100, u32::MAX] {
        assert_eq!(rows_of(&empty, (16, 160), within(AMPLE), most).expect("not stopped"), None);
    }
}

#[test]
fn rows_end_as_soon_as_the_caller_wants_no_more() {
    for (name, jpeg, _) in SAMPLES {
        let all = |bounds: Bounds<'_>| {
            let receiver =
                Receiver { channels: channels_of(jpeg), first: 0, held: 0, take: &mut |_, _| Ok(true) };
            rows(jpeg, SIZE, bounds, receiver)
        };
        let taken = asked(|bounds| all(bounds).expect("a good file"));
        let scans = jpeg.windows(2).filter(|at| *at == [0xff, 0xda]).count() as u32;
        // It asks for headers, readers, each row of MCUs of each scan, and each row of MCUs that is passed on.
        assert!(taken >= 2 * scans + (scans + 1) * SIZE.1.div_ceil(16), "{name}: asked {taken} times");
        for passes in 0..taken {
            let late = stopped_after(passes, all);
            assert!(matches!(late, Err(Error::Stopped)), "{name} at {passes} of {taken}");
        }
    }
}

#[test]
fn rows_that_are_cut_short_are_grey_from_there_on() {
    let (jpeg, _) = written((40, 120), &[(2, 1), (1, 1), (1, 1)], Kind::Interleaved, 0, 3);
    let all = rows_of(&jpeg, (40, 120), within(AMPLE), u32::MAX).expect("not stopped").expect("rows");
    let cut = rows_of(&jpeg[..jpeg.len() / 2], (40, 120), within(AMPLE), u32::MAX);
    for (cut, all) in cut.expect("not stopped").expect("rows").iter().zip(&all) {
        assert_eq!(cut[..40 * 40], all[..40 * 40]);
        assert!(cut[40 * 80..].iter().all(|sample| *sample == 128));
    }
    let scan = jpeg.windows(2).position(|at| at == [0xff, 0xda]).expect("a scan");
    assert_eq!(rows_of(&jpeg[..scan], (40, 120), within(AMPLE), u32::MAX).expect("not stopped"), None);
}

#[test]
fn memory_for_coefficients_is_held_against_the_limit() {
    let size = (64, 16_000);
    let (jpeg, _) = written(size, &[(2, 2), (1, 1), (1, 1)], Kind::Interleaved, 0, 7);
    // The planes take 384 kB at a half, and 24 kB at an eighth.
    let scant = within(300_000);
    let refused = decode(&jpeg, size, &|_| Some(Side::Four), scant);
    assert!(matches!(refused, Err(Error::Memory { max: 300_000 })), "{refused:?}");
    let enough = decode(&jpeg, size, &|_| Some(Side::One), scant);
    assert!(enough.expect("within the limit").is_some());
    // Every scan needs a reader of its own.
    let scant = within(150_000);
    for (kind, within) in [(Kind::Interleaved, true), (Kind::Progressive, false)] {
        let (jpeg, _) = written(size, &[(2, 2), (1, 1), (1, 1)], kind, 0, 7);
        let planes = decode(&jpeg, size, &|_| Some(Side::One), scant);
        assert_eq!(planes.is_ok(), within, "{kind:?}");
    }
}

#[test]
fn unsupported_jpegs_give_no_planes() {
    let (_, jpeg, _) = SAMPLES[0];
    let frame = jpeg.windows(2).position(|at| at == [0xff, 0xc0]).expect("a frame");
    for (at, value) in [(1, 0xc3), (1, 0xc9), (4, 12), (9, 4), (9, 2), (11, 0x51), (11, 0x01), (5, 1)] {
        let mut odd = jpeg.to_vec();
        odd[frame + at] = value;
        assert_eq!(planes(&odd, SIZE), None, "{at}: {value}");
    }
    assert_eq!(planes(jpeg, (203, 150)), None, "another size than was checked");
    assert_eq!(planes(b"", SIZE), None);
}

#[test]
fn a_channel_that_comes_at_once_counts_the_first_time() {
    let (jpeg, _) = written((50, 40), &[(2, 1), (1, 1), (1, 1)], Kind::Apart, 0, 3);
    let all = rows_of(&jpeg, (50, 40), within(AMPLE), u32::MAX).expect("not stopped");
    let scans = scans_of(&jpeg);
    let first = &jpeg[scans[0]..scans[1]];
    // Repeated until there are more scans than are accepted, and once with other data.
    let (header, data) = first.split_at(10);
    let other = [header, &data[data.len() / 2..]].concat();
    for repeated in [first.repeat(1100), other] {
        let file = [&jpeg[..scans[1]], &repeated, &jpeg[scans[1]..]].concat();
        let rows = rows_of(&file, (50, 40), within(AMPLE), u32::MAX).expect("not stopped");
        assert_eq!(rows, all);
    }
}

#[test]
fn time_is_looked_at_before_any_scan() {
    let (_, jpeg, _) = SAMPLES[0];
    let headers = &jpeg[..scans_of(jpeg)[0]];
    let late = stopped_after(0, |bounds| decode(headers, SIZE, &|_| Some(Side::One), bounds));
    assert!(matches!(late, Err(Error::Stopped)), "{late:?}");
}

/// The offset of each scan's header.
fn scans_of(jpeg: &[u8]) -> Vec<usize> {
    let found = jpeg.windows(2).enumerate().filter(|(_, at)| **at == [0xff, 0xda]);
    found.map(|(at, _)| at).collect()
}

#[test]
fn ids_that_repeat_themselves_are_channels_in_their_order() {
    let size = (50, 40);
    for kind in KINDS {
        let (jpeg, _) = written(size, &[(2, 2), (1, 1), (1, 1)], kind, 0, 3);
        let rows = |file: &[u8]| rows_of(file, size, within(AMPLE), u32::MAX).expect("not stopped");
        let frame = jpeg.windows(2).position(|at| at[0] == 0xff && [0xc0, 0xc2].contains(&at[1]));
        let frame = frame.expect("a frame");
        for ids in [[1, 1, 1], [7, 7, 9], [7, 9, 9], [7, 9, 7], [0, 255, 0]] {
            let mut odd = jpeg.clone();
            ids.iter().enumerate().for_each(|(nth, &id)| odd[frame + 10 + 3 * nth] = id);
            for scan in scans_of(&jpeg) {
                for at in (scan + 5..).step_by(2).take(jpeg[scan + 4].into()) {
                    odd[at] = ids[usize::from(jpeg[at]) - 1];
                }
            }
            assert!(planes(&odd, size) == planes(&jpeg, size), "{kind:?}, {ids:?}");
            // All AC coefficients in the progressive files belong to the first channel.
            assert!(matches!(kind, Kind::Progressive) || rows(&odd) == rows(&jpeg), "{kind:?}, {ids:?}");
        }
    }
}

#[test]
fn scans_before_an_invalid_header_are_shown() {
    let size = (50, 40);
    let (jpeg, _) = written(size, &[(1, 1); 3], Kind::Apart, 0, 3);
    let all = rows_of(&jpeg, size, within(AMPLE), u32::MAX).expect("not stopped").expect("rows");
    let scans = scans_of(&jpeg);
    // A channel and a Huffman table that do not exist.
    for (at, wrong) in [(scans[1] + 5, 99), (scans[1] + 6, 0x30)] {
        let mut odd = jpeg.clone();
        odd[at] = wrong;
        let rows = rows_of(&odd, size, within(AMPLE), u32::MAX).expect("not stopped").expect("rows");
        assert_eq!(rows[0], all[0]);
        assert!(rows[1..].iter().flatten().all(|&sample| sample == 128), "mid-grey");
    }
    let mut odd = jpeg.clone();
    odd[scans[0] + 5] = 99;
    assert_eq!(rows_of(&odd, size, within(AMPLE), u32::MAX).expect("not stopped"), None);
}

#[test]
fn segments_of_no_account_change_nothing() {
    let size = (50, 40);
    for kind in KINDS {
        let (jpeg, _) = written(size, &[(2, 1), (1, 1), (1, 1)], kind, 3, 3);
        let all = rows_of(&jpeg, size, within(AMPLE), u32::MAX).expect("not stopped");
        // After the beginning of the file, and before the second scan's header; one of them states the picture's
        // height.
        let places = [&[2][..], &scans_of(&jpeg)].concat();
        for odd in [
            &[0xff, 0xcc, 0, 2][..],
            &[0xff, 0xcc, 0, 4, 0x77, 0],
            &[0xff, 0xdc, 0, 4, 0, 1],
            &[0xff, 0xdd, 0, 3, 9],
            &[0xff, 0xdd, 0, 2],
            &[0xff, 0xfe, 0, 0],
            &[0xff, 0xe1, 0, 1],
            &[0xff, 0xff, 0xff, 0xff],
            &[0xff, 0xd8],
            &[1, 2, 3],
        ] {
            for &at in &places {
                let file = [&jpeg[..at], odd, &jpeg[at..]].concat();
                let rows = rows_of(&file, size, within(AMPLE), u32::MAX).expect("not stopped");
                assert!(rows == all, "{kind:?}, {odd:?} at {at}");
            }
        }
    }
}

#[test]
fn a_frame_that_does_not_tell_its_height_has_the_one_that_is_given() {
    let (jpeg, _) = written((50, 40), &[(2, 2), (1, 1), (1, 1)], Kind::Interleaved, 0, 3);
    let all = rows_of(&jpeg, (50, 40), within(AMPLE), u32::MAX).expect("not stopped");
    let frame = jpeg.windows(2).position(|at| at == [0xff, 0xc0]).expect("a frame");
    let mut open = jpeg;
    open[frame + 5..frame + 7].fill(0);
    assert_eq!(rows_of(&open, (50, 40), within(AMPLE), u32::MAX).expect("not stopped"), all);
}

#[test]
fn data_cut_short_is_shown_as_far_as_it_goes() {
    for (name, jpeg, _) in SAMPLES {
        let whole = planes(jpeg, SIZE).expect("planes").swap_remove(0);
        let scan = jpeg.windows(2).position(|at| at == [0xff, 0xda]).expect("a scan");
        let mut shown = 0;
        for cut in (scan + 14..jpeg.len()).step_by(jpeg.len() / 50) {
            let Some(part) = planes(&jpeg[..cut], SIZE) else { continue };
            let same =
                part[0].samples.iter().zip(&whole.samples).take_while(|(a, b)| a.abs_diff(**b) <= 8).count();
            assert!(same + 4 >= shown, "{name}: more data shows no less");
            shown = same;
            let rest = part[0].samples.get(same + 60..).unwrap_or_default();
            let grey = rest.iter().filter(|&&sample| sample == 128).count();
            assert!(name.contains("progressive") || name.contains("4") || grey == rest.len(), "{name}: grey");
        }
        assert!(shown > whole.samples.len() / 2, "{name}");
        assert_eq!(planes(&jpeg[..scan], SIZE), None, "{name}: nothing to show");
    }
}

#[test]
fn a_progressive_picture_is_shown_up_to_a_header_that_makes_no_sense() {
    let (_, jpeg, _) = SAMPLES.iter().find(|sample| sample.0 == "progressive").expect("a sample");
    let half: Choice<'_> = &|_| Some(Side::Four);
    let markers = |marker: u8| {
        let found = jpeg.windows(2).enumerate().filter(move |(_, at)| **at == [0xff, marker]);
        found.map(|(at, _)| at).collect::<Vec<_>>()
    };
    let (scans, codes) = (markers(0xda), markers(0xc4));
    let codes = codes.into_iter().find(|at| *at > scans[1]).expect("codes of the third scan");
    // Invalid channels and table numbers, three codes of one bit, and a second frame.
    let frame = [0xff, 0xc2, 0, 2];
    for (at, wrong) in
        [(scans[2] + 4, &[0xee; 4][..]), (codes + 4, &[0xee]), (codes + 5, &[3]), (codes, &frame)]
    {
        let mut odd = jpeg.to_vec();
        odd[at..at + wrong.len()].copy_from_slice(wrong);
        let until = planes_at(&jpeg[..codes], SIZE, half).expect("two scans");
        assert_eq!(planes_at(&odd, SIZE, half), Some(until), "{wrong:?}");
    }
}

#[test]
fn more_scans_than_anyone_writes_are_not_read() {
    let (jpeg, _) = written((16, 16), &[(1, 1)], Kind::Progressive, 0, 7);
    let scans = jpeg.windows(2).position(|at| at == [0xff, 0xda]).expect("a scan");
    // First scans of the DC, each of which is as valid as the last.
    let empty = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 1];
    let many = |count: usize| [&jpeg[..scans], &empty.repeat(count), &jpeg[scans..]].concat();
    assert!(planes(&many(990), (16, 16)).is_some());
    assert_eq!(planes(&many(1000), (16, 16)), None);
}

#[test]
fn codes_that_are_not_defined_are_the_standards() {
    let (_, jpeg, _) = WHOLES.iter().find(|sample| sample.0 == "420").expect("a sample");
    let mut without = jpeg.to_vec();
    while let Some(at) = without.windows(2).position(|at| at == [0xff, 0xc4]) {
        let length = usize::from(u16::from_be_bytes([without[at + 2], without[at + 3]]));
        without.drain(at..at + 2 + length);
    }
    assert!(without.len() + 400 < jpeg.len());
    let all = |jpeg: &[u8]| rows_of(jpeg, (61, 45), within(AMPLE), u32::MAX).expect("not stopped");
    assert_eq!(all(&without), all(jpeg));
}

#[test]
fn a_damaged_restart_marker_costs_no_more_than_its_interval() {
    let (_, jpeg, _) = SAMPLES[1];
    let whole = planes(jpeg, SIZE).expect("planes");
    let marker = jpeg.windows(2).position(|at| at == [0xff, 0xd2]).expect("a marker");
    let mut damaged = jpeg.to_vec();
    damaged[marker + 1] = 0x55;
    let part = planes(&damaged, SIZE).expect("planes");
    let differ = part[0].samples.iter().zip(&whole[0].samples).filter(|(a, b)| a != b).count();
    assert!((1..=10).contains(&differ), "an interval of five MCUs, not {differ} blocks");
}

#[test]
fn damage_ends_at_the_next_restart_marker() {
    let (_, jpeg, _) = SAMPLES[1];
    let whole = planes(jpeg, SIZE).expect("planes");
    let marker = |number: u8| jpeg.windows(2).position(|at| at == [0xff, 0xd0 + number]).expect("a marker");
    // One interval is missing together with its marker; later intervals stay in their places.
    let without = [&jpeg[..marker(2)], &jpeg[marker(3)..]].concat();
    let part = planes(&without, SIZE).expect("planes");
    // Five MCUs of two blocks of luminance each.
    let lost = 30..40;
    let across = whole[0].width as usize;
    for (index, (a, b)) in part[0].samples.iter().zip(&whole[0].samples).enumerate() {
        let mcu_order = index / across * 26 + index % across;
        assert!(a == b || lost.contains(&mcu_order), "{index}");
    }
    assert!(part[0].samples[30..40].iter().all(|&sample| sample == 128), "mid-grey");
}

#[test]
fn time_is_looked_at_while_it_decodes() {
    for (name, jpeg, _) in SAMPLES {
        let late = stopped_after(0, |bounds| decode(jpeg, SIZE, &|_| Some(Side::One), bounds));
        assert!(matches!(late, Err(Error::Stopped)), "{name}");
    }
}

/// Writes the bits of a scan.
#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Out {
    fn put(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            self.pending = self.pending << 1 | value >> bit & 1;
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.pending as u8);
                if self.pending as u8 == 0xff {
                    self.bytes.push(0);
                }
                (self.pending, self.count) = (0, 0);
            }
        }
    }

    fn end(&mut self) {
        while self.count != 0 {
            self.put(1, 1);
        }
    }

    fn marker(&mut self, marker: u8, content: &[u8]) {
        self.end();
        self.bytes.extend([0xff, marker]);
        if !content.is_empty() {
            self.bytes.extend((content.len() as u16 + 2).to_be_bytes());
            self.bytes.extend(content);
        }
    }

    /// Writes a four-bit code for the number of bits, followed by the bits.
    fn difference(&mut self, value: i32) {
        let size = 32 - value.unsigned_abs().leading_zeros();
        self.put(size, 4);
        self.put((if value < 0 { value - 1 } else { value }) as u32, size);
    }

    /// Writes sixty-three coefficients. A symbol's index in `AC` is its code, of three bits; a full block needs no
    /// end-of-block code.
    fn rest(&mut self, noise: u64) {
        let (mut next, mut noise) = (1, noise);
        while next < 64 {
            let symbol = (noise % 6) as usize;
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 1;
            let Some(advance) = [None, Some(1), Some(16), Some(3), Some(1), Some(9)][symbol] else {
                self.put(0, 3);
                return;
            };
            if next + advance > 64 {
                continue;
            }
            next += advance;
            self.put(symbol as u32, 3);
            self.put(noise as u32, u32::from(AC[symbol] & 15));
        }
    }
}

/// The AC symbols that the writer uses: end of block, then values after 0 zeros, 15 zeros (without a value), 2, 0 and 8
/// zeros.
const AC: [u8; 6] = [0x00, 0x01, 0xf0, 0x23, 0x0a, 0x81];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Interleaved,
    Apart,
    /// The first channel alone, then the others together, with restart markers and their own quantisation tables.
    Grouped,
    /// Interleaved, except for two bits that come in separate scans.
    Progressive,
}

const KINDS: [Kind; 4] = [Kind::Interleaved, Kind::Apart, Kind::Grouped, Kind::Progressive];

/// A JPEG whose channels have the given sampling, and its coefficients, row by row for each channel.
fn written(
    size: (u32, u32),
    sampling: &[(u32, u32)],
    kind: Kind,
    restart: u16,
    seed: u64,
) -> (Vec<u8>, Vec<Vec<i16>>) {
    let most = sampling.iter().fold((1, 1), |most, it| (most.0.max(it.0), most.1.max(it.1)));
    let blocks = |&(h, v): &(u32, u32)| {
        ((size.0 * h).div_ceil(most.0 * 8) as usize, (size.1 * v).div_ceil(most.1 * 8) as usize)
    };
    let mut state = seed;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let channels: Vec<Vec<i16>> = sampling
        .iter()
        .map(|it| (0..blocks(it).0 * blocks(it).1).map(|_| (random() % 2047) as i16 - 1023).collect())
        .collect();

    let mut out = Out::default();
    out.marker(0xd8, &[]);
    out.marker(0xdb, &[&[0][..], &[1; 64]].concat());
    let progressive = matches!(kind, Kind::Progressive);
    let mut frame = [&[8], &(size.1 as u16).to_be_bytes()[..], &(size.0 as u16).to_be_bytes()].concat();
    frame.push(sampling.len() as u8);
    for (id, &(h, v)) in (1..).zip(sampling) {
        frame.extend([id, (h << 4 | v) as u8, 0]);
    }
    out.marker(if progressive { 0xc2 } else { 0xc0 }, &frame);
    let counts = |length: usize, count: u8| {
        let mut counts = [0; 16];
        counts[length - 1] = count;
        counts
    };
    let dc: Vec<u8> = (0..12).collect();
    out.marker(0xc4, &[&[0x00][..], &counts(4, 12), &dc, &[0x10], &counts(3, 6), &AC].concat());
    if restart > 0 {
        out.marker(0xdd, &restart.to_be_bytes());
    }

    let all: Vec<usize> = (0..sampling.len()).collect();
    let apart = || all.chunks(1).collect::<Vec<_>>();
    let scans: Vec<(Vec<&[usize]>, u8)> = match kind {
        Kind::Interleaved => vec![(vec![&all[..]], 0)],
        Kind::Apart => vec![(apart(), 0)],
        Kind::Grouped => vec![(vec![&all[..1], &all[1..]], 0)],
        Kind::Progressive => vec![(vec![&all[..]], 0x02), (apart(), 0x21), (vec![&all[..]], 0x10)],
    };
    let mut restart = restart;
    for (groups, bits) in scans {
        for (nth, group) in groups.into_iter().filter(|group| !group.is_empty()).enumerate() {
            if matches!(kind, Kind::Grouped) && nth == 1 {
                restart += 1;
                out.marker(0xdd, &restart.to_be_bytes());
                out.marker(0xdb, &[&[0][..], &[2; 64]].concat());
            }
            let mut header = vec![group.len() as u8];
            group.iter().for_each(|&channel| header.extend([channel as u8 + 1, 0]));
            header.extend([0, if progressive { 0 } else { 63 }, bits]);
            out.marker(0xda, &header);
            let (low, first) = (bits & 15, bits >> 4 == 0);
            let single = group.len() == 1;
            let mcus = if single {
                blocks(&sampling[group[0]])
            } else {
                (size.0.div_ceil(most.0 * 8) as usize, size.1.div_ceil(most.1 * 8) as usize)
            };
            let mut last = vec![0; sampling.len()];
            for mcu in 0..mcus.0 * mcus.1 {
                if restart > 0 && mcu > 0 && mcu % usize::from(restart) == 0 {
                    out.marker(0xd0 + ((mcu / usize::from(restart) - 1) % 8) as u8, &[]);
                    last.fill(0);
                }
                for &channel in group {
                    let (h, v) = if single { (1, 1) } else { sampling[channel] };
                    for (y, x) in (0..v as usize).flat_map(|y| (0..h as usize).map(move |x| (y, x))) {
                        let x = mcu % mcus.0 * h as usize + x;
                        let y = mcu / mcus.0 * v as usize + y;
                        let (across, down) = blocks(&sampling[channel]);
                        let inside = x < across && y < down;
                        let value =
                            if inside { i32::from(channels[channel][y * across + x]) } else { 77 } >> low;
                        if first {
                            out.difference(value - last[channel]);
                            last[channel] = value;
                        } else {
                            out.put(value as u32 & 1, 1);
                        }
                        if !progressive {
                            out.rest(random());
                        }
                    }
                }
            }
        }
        if progressive {
            // An AC scan that no reduction needs.
            out.marker(0xda, &[1, 1, 0, 1, 5, 0]);
            out.bytes.extend([0xab, 0xff, 0x00, 0xff, 0xd0, 0x12]);
        }
    }
    out.marker(0xd9, &[]);
    (out.bytes, channels)
}

fn samplings() -> impl Strategy<Value = Vec<(u32, u32)>> {
    let named = [
        vec![(1, 1)],
        vec![(2, 2)],
        vec![(1, 1), (1, 1), (1, 1)],
        vec![(2, 1), (1, 1), (1, 1)],
        vec![(2, 2), (1, 1), (1, 1)],
        vec![(1, 2), (1, 1), (1, 1)],
        vec![(4, 1), (1, 1), (1, 1)],
        vec![(4, 2), (1, 1), (1, 1)],
        vec![(2, 2), (1, 2), (2, 1)],
        vec![(1, 1), (2, 2), (1, 1)],
        vec![(3, 1), (1, 1), (1, 1)],
        vec![(1, 3), (1, 1), (1, 3)],
        vec![(3, 1), (2, 1), (1, 1)],
        vec![(4, 3), (3, 2), (1, 1)],
        vec![(2, 2), (1, 1), (1, 1), (2, 2)],
        vec![(3, 3), (2, 1), (1, 4), (4, 4)],
    ];
    prop::sample::select(named.to_vec())
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(KINDS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_sampling_and_order_of_scans_gives_what_was_written(
        size in (1..150_u32, 1..150_u32), sampling in samplings(), kind in kinds(), restart in 0..9_u16,
        seed in any::<u64>(),
    ) {
        let (jpeg, channels) = written(size, &sampling, kind, restart, seed);
        let planes = planes(&jpeg, size).expect("planes");
        prop_assert_eq!(planes.len(), channels.len());
        for (nth, (plane, channel)) in planes.iter().zip(&channels).enumerate() {
            let quantiser = if matches!(kind, Kind::Grouped) && nth > 0 { 2 } else { 1 };
            let sample = |&dc: &i16| (((dc * quantiser + 4) >> 3) + 128).clamp(0, 255) as u8;
            let expected: Vec<u8> = channel.iter().map(sample).collect();
            prop_assert_eq!(&plane.samples, &expected);
        }
    }

    #[test]
    fn rows_are_the_planes_where_nothing_is_enlarged(
        size in (1..150_u32, 1..150_u32), grey in any::<bool>(), kind in kinds(), restart in 0..9_u16,
        seed in any::<u64>(),
    ) {
        let sampling: &[(u32, u32)] = if grey { &[(2, 2)] } else { &[(1, 1); 3] };
        let (jpeg, _) = written(size, sampling, kind, restart, seed);
        let planes = planes_at(&jpeg, size, &|_| Some(Side::Eight)).expect("planes");
        let rows = rows_of(&jpeg, size, within(AMPLE), u32::MAX).expect("not stopped").expect("rows");
        for (rows, plane) in rows.iter().zip(&planes) {
            prop_assert_eq!(rows, &plane.samples);
        }
    }

    #[test]
    fn every_sampling_has_a_sample_for_each_pixel(
        size in (1..80_u32, 1..80_u32), sampling in samplings(), kind in kinds(), restart in 0..9_u16,
        seed in any::<u64>(),
    ) {
        let (jpeg, _) = written(size, &sampling, kind, restart, seed);
        let rows = rows_of(&jpeg, size, within(AMPLE), u32::MAX).expect("not stopped");
        let most = sampling.iter().fold((1, 1), |most: (u32, u32), it| (most.0.max(it.0), most.1.max(it.1)));
        let planes = planes_at(&jpeg, size, &|_| Some(Side::Eight)).expect("planes");
        for ((rows, plane), &(h, v)) in rows.expect("rows").iter().zip(&planes).zip(&sampling) {
            // At a ratio of two, a sample is mixed with its neighbour.
            let mixes = |factor: u32, most: u32| u32::from(sampling.len() > 1 && factor * 2 == most);
            let (mixes_across, mixes_down) = (mixes(h, most.0), mixes(v, most.1));
            for (at, sample) in rows.iter().enumerate() {
                let (x, y) = (at as u32 % size.0, at as u32 / size.0);
                // The sample in which the pixel's centre lies.
                let (x, y) = ((2 * x + 1) * h / (2 * most.0), (2 * y + 1) * v / (2 * most.1));
                let near = |x: u32, y: u32| {
                    let (x, y) = (x.min(plane.width - 1), y.min(plane.height - 1));
                    plane.samples[(y * plane.width + x) as usize]
                };
                let around = (x.saturating_sub(mixes_across)..=x + mixes_across).flat_map(|x| {
                    (y.saturating_sub(mixes_down)..=y + mixes_down).map(move |y| (x, y))
                });
                let (low, high) = around.map(|(x, y)| near(x, y)).fold((255, 0), |(low, high), it| {
                    (it.min(low), it.max(high))
                });
                prop_assert!((low..=high).contains(sample), "{} at {}", sample, at);
            }
        }
    }

    #[test]
    fn damaged_data_is_answered(
        which in any::<Index>(), made in any::<bool>(), sampling in samplings(), kind in kinds(), restart in 0..4_u16,
        flips in prop::collection::vec((any::<Index>(), any::<u8>()), 0..12), near_the_front in any::<bool>(),
        cut in any::<Option<Index>>(),
    ) {
        let (mut jpeg, size) = if made {
            (written((61, 47), &sampling, kind, restart, 1).0, (61, 47))
        } else {
            (which.get(&SAMPLES).1.to_vec(), SIZE)
        };
        let reach = if near_the_front { jpeg.len().min(700) } else { jpeg.len() };
        for (at, mask) in flips {
            jpeg[at.index(reach)] ^= mask;
        }
        if let Some(cut) = cut {
            jpeg.truncate(cut.index(jpeg.len()));
        }
        let mixed = |it: Sampling| Some(if it.channel == 0 { Side::Two } else { Side::Four });
        let choices: [Choice<'_>; 4] =
            [&|_| Some(Side::One), &|_| Some(Side::Two), &|_| Some(Side::Four), &mixed];
        for plane in choices.into_iter().filter_map(|choice| planes_at(&jpeg, size, choice)).flatten() {
            prop_assert_eq!(plane.samples.len(), (plane.width * plane.height) as usize);
        }
        let rows = rows_of(&jpeg, size, within(AMPLE), u32::MAX).expect("within the limits");
        for channel in rows.into_iter().flatten() {
            prop_assert_eq!(channel.len(), (size.0 * size.1) as usize);
        }
    }

    #[test]
    fn random_data_is_answered(data in prop::collection::vec(any::<u8>(), 0..600), restart in 0..3_u16) {
        let (jpeg, _) = written((40, 40), &[(2, 2), (1, 1), (1, 1)], Kind::Interleaved, restart, 1);
        let scan = jpeg.windows(2).position(|at| at == [0xff, 0xda]).expect("a scan") + 14;
        let damaged = [&jpeg[..scan], &data[..]].concat();
        planes(&damaged, (40, 40));
        rows_of(&damaged, (40, 40), within(AMPLE), u32::MAX).expect("within the limits");
        planes(&data, (40, 40));
    }
}
