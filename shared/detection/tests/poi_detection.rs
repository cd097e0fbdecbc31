//! `poi_detection` against truth, against scikit-image, and against itself on moved images.

#![allow(clippy::expect_used, reason = "helpers of tests are tests")]

mod common;

use std::collections::BTreeMap;

use common::{Held, brighter, detect, image, mirrored, noise, on_black, open, reference, soft_noise, turned};
use imaging::Image;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

/// (x, y, response) of each point.
fn points(image: &Image, given: Value) -> Vec<(f64, f64, f64)> {
    let findings = detect("poi_detection", image, given);
    findings.entries().map(|e| (e.x, e.y, e.values[0])).collect()
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
    let found = points(&board, json!({"subpixel": true}));
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
    points: Vec<Vec<f64>>,
}

/// harris and shi_tomasi by scikit-image, fast and orb by OpenCV: the same places, with the same response, and for
/// orb the same angle and level.
#[test]
fn the_points_are_those_of_the_reference() {
    let mut methods: BTreeMap<String, Held> = BTreeMap::new();
    for Reference { image, parameters, points: expected } in reference("poi_detection.json") {
        let findings = detect("poi_detection", &open(&image), parameters.clone());
        let found: Vec<[f64; 2]> = findings.entries().map(|entry| [entry.x, entry.y]).collect();
        let places: Vec<[f64; 2]> = expected.iter().map(|point| [point[0] + 0.5, point[1] + 0.5]).collect();
        let held = Held::of(&places, &found);
        println!("{image} {parameters}: {held:?}");
        assert!(held.is_close(), "{image} {parameters}: {held:?}");
        let equal = |point: &&Vec<f64>| {
            findings.entries().any(|entry| {
                let near = (entry.x - 0.5 - point[0]).hypot(entry.y - 0.5 - point[1]) < 1e-3;
                let angle = |angle: &f64| {
                    let off = (entry.values[1] - angle).abs();
                    off.min(360.0 - off) < 0.5
                };
                near && (entry.values[0] - point[2]).abs() <= 1e-3 * point[2].abs()
                    && point.get(3).is_none_or(angle)
                    && point.get(4).is_none_or(|octave| entry.values[2] == *octave)
            })
        };
        let equal = expected.iter().filter(equal).count();
        assert!(equal * 100 >= expected.len() * 99, "{image} {parameters}: {equal} of {}", expected.len());
        let method = parameters.get("method").map_or_else(|| "harris".to_owned(), Value::to_string);
        methods.entry(method).or_default().add(held);
    }
    assert_eq!(methods.len(), 4);
    assert!(methods.values().all(|held| held.expected > 500), "{methods:?}");
}

/// By half a pixel at most, and to where the response's quadratic peaks, not its pixel.
#[test]
fn subpixel_moves_points_within_their_pixel() {
    let image = open("shapes.png");
    let pixels = points(&image, json!({}));
    let refined = points(&image, json!({"subpixel": true}));
    assert_eq!(pixels.len(), refined.len());
    for ((x, y, r), (u, v, s)) in pixels.iter().zip(&refined) {
        assert!(x.fract() == 0.5 && y.fract() == 0.5 && r == s, "({x}, {y})");
        assert!((x - u).abs() <= 0.5 && (y - v).abs() <= 0.5, "({x}, {y}) to ({u}, {v})");
    }
    assert_ne!(pixels, refined);
}

/// Holds when both have the same points, in any order, to a hundredth of a pixel; to a pixel where the response is
/// the same to the last digits, because of two neighbours that are as strong as each other either may be refined.
fn same(mut is: Vec<(f64, f64, f64)>, mut expected: Vec<(f64, f64, f64)>) -> Result<(), TestCaseError> {
    prop_assert_eq!(is.len(), expected.len());
    for list in [&mut is, &mut expected] {
        list.sort_by(|a, b| (a.1.round(), a.0).partial_cmp(&(b.1.round(), b.0)).expect("numbers"));
    }
    for a in &is {
        let close = |b: &&(f64, f64, f64)| {
            let reach = if (a.2 - b.2).abs() <= 1e-6 * b.2.abs() { 1.0 } else { 0.01 };
            (a.0 - b.0).abs() < reach && (a.1 - b.1).abs() < reach
        };
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
               "max_points": 10_000, "subpixel": true})
        },
    )
}

/// FAST, and ORB on one level: the steps of a pyramid do not divide every image evenly.
fn circles() -> impl Strategy<Value = Value> {
    (any::<bool>(), 1u32..60).prop_map(|(fast, threshold)| {
        let method = if fast { "fast" } else { "orb" };
        json!({"method": method, "fast_threshold": threshold, "max_points": 100_000, "levels": 1})
    })
}

fn any_method() -> impl Strategy<Value = Value> {
    prop_oneof![choices(), circles()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mirroring_mirrors_the_points(
        seed in any::<u64>(), w in 20usize..90, h in 20usize..80, given in any_method(),
    ) {
        let original = noise(w, h, seed);
        let expected = points(&original, given.clone());
        let expected = expected.into_iter().map(|(x, y, r)| (w as f64 - x, y, r)).collect();
        same(points(&mirrored(&original), given), expected)?;
    }

    #[test]
    fn turning_turns_the_points(
        seed in any::<u64>(), w in 20usize..90, h in 20usize..80, given in any_method(),
    ) {
        let original = noise(w, h, seed);
        let expected = points(&original, given.clone());
        let expected = expected.into_iter().map(|(x, y, r)| (h as f64 - y, x, r)).collect();
        same(points(&turned(&original), given), expected)?;
    }

    #[test]
    fn shifting_on_black_shifts_the_points(
        seed in any::<u64>(), dx in 0usize..60, dy in 0usize..40, given in any_method(),
    ) {
        let patch = noise(50, 40, seed);
        let at = |left, top| on_black(&patch, [200, 160], [left, top]);
        let expected = points(&at(40, 40), given.clone());
        prop_assert!(!expected.is_empty());
        let shifted = expected.into_iter().map(|(x, y, r)| (x + dx as f64, y + dy as f64, r)).collect();
        same(points(&at(40 + dx, 40 + dy), given), shifted)?;
    }

    /// Every column, on every level. Harris and Shi–Tomasi see the step from the image to the black around it.
    #[test]
    fn brightness_changes_nothing_for_fast_and_orb(
        seed in any::<u64>(), by in 1u8..56, fast in any::<bool>(), threshold in 1u32..60,
    ) {
        let original = soft_noise(140, 120, seed);
        let method = if fast { "fast" } else { "orb" };
        let given = json!({"method": method, "fast_threshold": threshold});
        let expected = detect("poi_detection", &original, given.clone());
        prop_assert_eq!(detect("poi_detection", &brighter(&original, by), given), expected);
    }
}
