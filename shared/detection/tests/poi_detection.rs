//! `poi_detection` against truth, against scikit-image, and against itself on moved images.

#![allow(clippy::expect_used, reason = "helpers of tests are tests")]

use std::path::Path;

use detection::{DetectError, Findings, detector};
use imaging::{Deadline, Image, Limits, Source};
use jobs::algorithm::Parameters;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

fn parameters(value: Value) -> Parameters {
    serde_json::from_value(value).expect("an object")
}

fn detect(image: &Image, given: Value) -> Result<Findings, DetectError> {
    let detector = detector("poi_detection").expect("registered");
    detector.detect(image, &parameters(given), Deadline::none())
}

/// (x, y, response) of each point.
fn points(image: &Image, given: Value) -> Vec<(f64, f64, f64)> {
    let findings = detect(image, given).expect("parameters in range");
    findings.entries().map(|e| (e.x, e.y, e.values[0])).collect()
}

fn image(width: usize, height: usize, pixel: impl Fn(usize, usize) -> [u8; 4]) -> Image {
    let rgba = (0..width * height).flat_map(|i| pixel(i % width, i / width)).collect();
    Image::new(width as u32, height as u32, rgba).expect("four bytes a pixel")
}

/// The pixels moved: pixel (x, y) of the result is that of `image` at `from(x, y)`.
fn moved(image: &Image, width: usize, height: usize, from: impl Fn(usize, usize) -> (usize, usize)) -> Image {
    let pixels = image.rgba().as_chunks::<4>().0;
    self::image(width, height, |x, y| {
        let (x, y) = from(x, y);
        pixels[y * image.width() as usize + x]
    })
}

/// A white rectangle from (left, top) up to, not including, (right, bottom).
fn rectangle(width: usize, height: usize, [left, top, right, bottom]: [usize; 4]) -> Image {
    image(width, height, |x, y| {
        if (left..right).contains(&x) && (top..bottom).contains(&y) { [255; 4] } else { [0, 0, 0, 255] }
    })
}

/// The corner pixels of a square are its corners: within half a pixel of their centres, in x and in y. Smoothing draws
/// the peak into the corner, the more the greater sigma is; scikit-image's peaks are in the same pixels.
#[test]
fn the_corners_of_a_white_square_on_black() {
    let square = rectangle(100, 80, [30, 20, 70, 60]);
    let corners = [(30.5, 20.5), (69.5, 20.5), (30.5, 59.5), (69.5, 59.5)];
    for (method, sigma, within) in [
        ("harris", 1.0, 0.5),
        ("harris", 1.5, 0.5),
        ("harris", 2.0, 1.0),
        ("shi_tomasi", 0.7, 0.5),
        ("shi_tomasi", 1.0, 0.5),
        ("shi_tomasi", 1.5, 1.0),
    ] {
        let found = points(&square, json!({"method": method, "sigma": sigma}));
        assert_eq!(found.len(), 4, "{method}, sigma {sigma}: {found:?}");
        for (x, y) in corners {
            let off = found.iter().map(|p| (p.0 - x).abs().max((p.1 - y).abs())).fold(f64::MAX, f64::min);
            assert!(off <= within, "{method}, sigma {sigma}: ({x}, {y}) is {off} away in {found:?}");
        }
    }
}

/// A saddle lies where four fields of a board meet: on the line between pixels, which only a fraction of a pixel says.
#[test]
fn where_the_fields_of_a_board_meet() {
    let board = image(120, 120, |x, y| if (x / 24 + y / 24) % 2 == 0 { [255; 4] } else { [0, 0, 0, 255] });
    let found = points(&board, json!({}));
    assert_eq!(found.len(), 16, "{found:?}");
    for (x, y, _) in found {
        let off = |v: f64| (v / 24.0 - (v / 24.0).round()).abs() * 24.0;
        assert!(off(x) < 0.05 && off(y) < 0.05, "({x}, {y})");
    }
}

#[test]
fn max_points_keeps_the_strongest() {
    let image = noise(120, 90, 7);
    let all = points(&image, json!({"max_points": 10_000, "min_distance": 2}));
    let some = points(&image, json!({"max_points": 20, "min_distance": 2}));
    assert!(all.len() > 20);
    assert_eq!(some, all[..20]);
}

#[test]
fn points_keep_their_distance_from_each_other_and_from_the_border() {
    for min_distance in [1, 2, 5, 17] {
        let found = points(
            &noise(140, 110, 3),
            json!({"min_distance": min_distance, "threshold": 0, "max_points": 9999}),
        );
        assert!(!found.is_empty());
        let least = f64::from(min_distance);
        for (i, (x, y, _)) in found.iter().enumerate() {
            // Half a pixel of each is refinement.
            assert!(x.min(*y) >= least && *x <= 140.0 - least && *y <= 110.0 - least, "({x}, {y})");
            let near = |p: &(f64, f64, f64)| (p.0 - x).abs().max((p.1 - y).abs()) < least;
            assert!(!found[..i].iter().any(near), "({x}, {y})");
        }
    }
}

#[derive(Deserialize)]
struct Reference {
    image: String,
    parameters: Value,
    points: Vec<(u32, u32, f64)>,
}

fn references() -> Vec<Reference> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/references/poi_detection.json");
    serde_json::from_slice(&std::fs::read(file).expect("the fixture")).expect("the fixture parses")
}

fn open(name: &str) -> Image {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/references").join(name);
    let bytes = std::fs::read(file).expect("the image");
    let source = Source::open(bytes, &Limits::default(), Deadline::none()).expect("it opens");
    source.image().expect("it decodes").clone()
}

/// At least 99 % of scikit-image's points within a pixel and with the same response, at most 1 % more, and on average
/// within 0.3 pixels, as far as whole pixels let that be seen: refinement moves a point by half a pixel at most.
#[test]
fn the_points_are_those_of_scikit_image() {
    let (mut expected, mut matched, mut found, mut same_order) = (0, 0, 0, 0);
    for Reference { image, parameters, points: reference } in references() {
        let is = points(&open(&image), parameters.clone());
        let near = |(column, row, response): &(u32, u32, f64)| {
            is.iter().any(|(x, y, r)| {
                (x - f64::from(*column) - 0.5).abs() <= 0.501
                    && (y - f64::from(*row) - 0.5).abs() <= 0.501
                    && (r - response).abs() <= 1e-3 * response.abs()
            })
        };
        let hits = reference.iter().filter(|point| near(point)).count();
        println!("{image} {parameters}: {hits} of {}, {} found", reference.len(), is.len());
        assert!(hits * 100 >= reference.len() * 99, "{image} {parameters}: {hits} of {}", reference.len());
        assert!(is.len() * 100 <= reference.len() * 101, "{image} {parameters}: {} found", is.len());
        same_order +=
            reference.iter().zip(&is).filter(|(a, b)| (a.2 - b.2).abs() <= 1e-3 * a.2.abs()).count();
        (expected, matched, found) = (expected + reference.len(), matched + hits, found + is.len());
    }
    println!(
        "{matched} of {expected} points of scikit-image, {same_order} in the same place of the order; {found} found"
    );
    assert!(expected > 1000, "the fixture has points");
}

fn noise(width: usize, height: usize, seed: u64) -> Image {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let rgba = (0..width * height)
        .flat_map(|_| {
            let [r, g, b, ..] = next();
            [r, g, b, 255]
        })
        .collect();
    Image::new(width as u32, height as u32, rgba).expect("four bytes a pixel")
}

/// Holds when both have the same points, in any order, to a hundredth of a pixel.
fn same(mut is: Vec<(f64, f64, f64)>, mut expected: Vec<(f64, f64, f64)>) -> Result<(), TestCaseError> {
    prop_assert_eq!(is.len(), expected.len());
    for list in [&mut is, &mut expected] {
        list.sort_by(|a, b| (a.1.round(), a.0).partial_cmp(&(b.1.round(), b.0)).expect("numbers"));
    }
    for a in &is {
        let close = |b: &&(f64, f64, f64)| (a.0 - b.0).abs() < 0.01 && (a.1 - b.1).abs() < 0.01;
        let Some(b) = expected.iter().find(close) else {
            return Err(TestCaseError::fail(format!("{a:?} is not in {expected:?}")));
        };
        prop_assert!((a.2 - b.2).abs() <= 1e-4 * b.2.abs());
    }
    Ok(())
}

fn choices() -> impl Strategy<Value = Value> {
    (any::<bool>(), 1u32..12, 0.5f64..3.0, 0.001f64..0.3).prop_map(
        |(harris, min_distance, sigma, threshold)| {
            let method = if harris { "harris" } else { "shi_tomasi" };
            json!({"method": method, "min_distance": min_distance, "sigma": sigma, "threshold": threshold,
               "max_points": 10_000})
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mirroring_mirrors_the_points(seed in any::<u64>(), w in 20usize..90, h in 20usize..70, given in choices()) {
        let original = noise(w, h, seed);
        let expected = points(&original, given.clone());
        let mirrored = moved(&original, w, h, |x, y| (w - 1 - x, y));
        same(points(&mirrored, given), expected.into_iter().map(|(x, y, r)| (w as f64 - x, y, r)).collect())?;
    }

    #[test]
    fn turning_turns_the_points(seed in any::<u64>(), w in 20usize..90, h in 20usize..70, given in choices()) {
        let original = noise(w, h, seed);
        let expected = points(&original, given.clone());
        // A quarter turn clockwise: what was at the left is at the top.
        let turned = moved(&original, h, w, |x, y| (y, h - 1 - x));
        same(points(&turned, given), expected.into_iter().map(|(x, y, r)| (h as f64 - y, x, r)).collect())?;
    }

    #[test]
    fn shifting_on_black_shifts_the_points(
        seed in any::<u64>(), dx in 0usize..60, dy in 0usize..40, given in choices(),
    ) {
        let patch = noise(50, 40, seed);
        let pixels = patch.rgba().as_chunks::<4>().0.to_vec();
        let at = |left: usize, top: usize| {
            image(200, 160, |x, y| {
                let inside = (left..left + 50).contains(&x) && (top..top + 40).contains(&y);
                if inside { pixels[(y - top) * 50 + x - left] } else { [0, 0, 0, 255] }
            })
        };
        let expected = points(&at(40, 40), given.clone());
        prop_assert!(!expected.is_empty());
        let shifted = expected.into_iter().map(|(x, y, r)| (x + dx as f64, y + dy as f64, r)).collect();
        same(points(&at(40 + dx, 40 + dy), given), shifted)?;
    }
}
