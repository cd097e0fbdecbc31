//! `nuclei_detection` against truth, against scikit-image, and against itself on moved images.

#![allow(clippy::expect_used, reason = "helpers of tests are tests")]

mod common;

use std::collections::HashMap;

use algorithm::Run;
use common::{image, mirrored, moved, open, parameters, reference, turned};
use detection::{Context, Entry, Findings, Form};
use imaging::Image;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

fn nuclei(image: &Image, given: Value) -> Findings {
    common::detect("nuclei_detection", image, given)
}

#[derive(Deserialize)]
struct Slide {
    name: String,
    parameters: Value,
    /// What scikit-image counts, where its pipeline is made for the stain.
    scikit_image: Option<usize>,
}

impl Slide {
    fn all() -> Vec<Self> {
        reference("nuclei/slides.json")
    }

    fn image(&self) -> Image {
        slide(&self.name)
    }

    /// The number of the nucleus that each pixel belongs to; 0 is none.
    fn truth(&self) -> Vec<u8> {
        open(&format!("nuclei/{}.png", self.name))
            .rgba()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|pixel| pixel[0])
            .collect()
    }
}

fn slide(name: &str) -> Image {
    open(&format!("nuclei/{name}.jpg"))
}

/// The places of the pixels whose centres lie in a polygon, by the even-odd rule.
fn pixels_in(outline: &[[f32; 2]], width: usize, height: usize) -> Vec<usize> {
    let mut inside = Vec::new();
    for row in 0..height {
        let y = row as f32 + 0.5;
        let next = outline.iter().cycle().skip(1);
        let mut crossings: Vec<f32> = outline
            .iter()
            .zip(next)
            .filter(|(a, b)| (a[1] > y) != (b[1] > y))
            .map(|(a, b)| a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]))
            .collect();
        crossings.sort_by(f32::total_cmp);
        for pair in crossings.chunks_exact(2) {
            inside.extend(
                (0..width)
                    .filter(|x| (pair[0]..pair[1]).contains(&(*x as f32 + 0.5)))
                    .map(|x| row * width + x),
            );
        }
    }
    inside
}

/// Of what was found: how many match a true nucleus of their own at an intersection over union of at least a half, and
/// that ratio on average.
fn matches(findings: &Findings, truth: &[u8], width: usize) -> (usize, f64) {
    let mut areas: HashMap<u8, usize> = HashMap::new();
    truth.iter().for_each(|label| *areas.entry(*label).or_default() += 1);
    let (mut matched, mut sum) = (HashMap::new(), 0.0);
    for entry in findings.entries() {
        let inside = pixels_in(entry.outline, width, truth.len() / width);
        let mut shared: HashMap<u8, usize> = HashMap::new();
        inside
            .iter()
            .filter(|at| truth[**at] != 0)
            .for_each(|at| *shared.entry(truth[*at]).or_default() += 1);
        for (label, shared) in shared {
            let ratio = shared as f64 / (areas[&label] + inside.len() - shared) as f64;
            // At more than a half, no two can match the same.
            if ratio >= 0.5 && matched.insert(label, ratio).is_none() {
                sum += ratio;
            }
        }
    }
    (matched.len(), sum / matched.len().max(1) as f64)
}

#[test]
fn the_nuclei_of_slides_are_found_and_outlined() {
    for slide in Slide::all() {
        let (image, truth) = (slide.image(), slide.truth());
        let findings = nuclei(&image, slide.parameters.clone());
        let mut labels: Vec<u8> = truth.iter().copied().filter(|label| *label != 0).collect();
        labels.sort_unstable();
        labels.dedup();
        let (matched, overlap) = matches(&findings, &truth, image.width() as usize);
        let score = 2.0 * matched as f64 / (findings.len() + labels.len()) as f64;
        println!(
            "{}: {matched} of {}, {} found, F1 {score:.3}, IoU {overlap:.3}",
            slide.name,
            labels.len(),
            findings.len()
        );
        assert!(score >= 0.95, "{}: F1 {score:.3}", slide.name);
        assert!(overlap >= 0.85, "{}: mean IoU {overlap:.3}", slide.name);
    }
}

#[test]
fn there_are_as_many_as_scikit_image_counts() {
    let mut slides = 0;
    for slide in Slide::all() {
        let Some(expected) = slide.scikit_image else { continue };
        let is = nuclei(&slide.image(), slide.parameters.clone()).len();
        println!("{}: {is}, scikit-image {expected}", slide.name);
        assert!(is.abs_diff(expected) * 10 <= expected, "{}: {is} is not {expected}", slide.name);
        slides += 1;
    }
    assert!(slides >= 5);
}

/// A nucleus is measured as it was drawn: a disc of one colour on another.
#[test]
fn a_disc_of_stain_is_measured_as_it_is() {
    // 0.6 haematoxylin and 0.1 eosin, in optical densities.
    let stained = {
        let unit = |v: [f64; 3]| v.map(|c| c / (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt());
        let (first, second) = (unit([0.65, 0.70, 0.29]), unit([0.07, 0.99, 0.11]));
        let byte = |i: usize| (255.0 * 10f64.powf(-0.6 * first[i] - 0.1 * second[i])).round() as u8;
        [byte(0), byte(1), byte(2), 255]
    };
    let disc = image(120, 100, |x, y| {
        let away = (x as f64 + 0.5 - 61.0).hypot(y as f64 + 0.5 - 48.5);
        if away <= 12.0 { stained } else { [255; 4] }
    });
    let micron = 0.5;
    let found = nuclei(&disc, json!({"mpp": micron}));
    assert_eq!(found.len(), 1);
    let entry = found.entries().next().expect("one");
    let [area, perimeter, circularity, haematoxylin, second] = entry.values else { panic!("five columns") };
    assert!((entry.x - 61.0).abs() < 0.1 && (entry.y - 48.5).abs() < 0.1, "({}, {})", entry.x, entry.y);
    let radius = 12.0 * micron;
    assert!((area / (std::f64::consts::PI * radius * radius) - 1.0).abs() < 0.05, "area {area}");
    assert!((perimeter / (std::f64::consts::TAU * radius) - 1.0).abs() < 0.03, "perimeter {perimeter}");
    assert!(*circularity > 0.97, "circularity {circularity}");
    assert!((haematoxylin - 0.6).abs() < 0.02, "haematoxylin {haematoxylin}");
    assert!((second - 0.1).abs() < 0.02, "eosin {second}");
}

/// Every pixel four times, and each half a micron of what was one: the same slide, scanned twice as finely.
#[test]
fn microns_mean_the_same_at_any_resolution() {
    let slide = slide("touching");
    let (width, height) = (slide.width() as usize, slide.height() as usize);
    let fine = moved(&slide, 2 * width, 2 * height, |x, y| (x / 2, y / 2));
    let coarse = nuclei(&slide, json!({"mpp": 0.5}));
    let fine = nuclei(&fine, json!({"mpp": 0.25}));
    assert!(coarse.len() > 40);
    assert_eq!(fine.len(), coarse.len());
    for (fine, coarse) in fine.entries().zip(coarse.entries()) {
        assert_eq!(fine.values, coarse.values);
        assert_eq!([fine.x, fine.y], [2.0 * coarse.x, 2.0 * coarse.y]);
        let doubled: Vec<[f32; 2]> = coarse.outline.iter().map(|[x, y]| [2.0 * x, 2.0 * y]).collect();
        assert_eq!(fine.outline, doubled);
    }
}

#[test]
fn without_mpp_all_is_in_pixels_and_the_result_says_so() {
    let slide = slide("spread");
    let microns = nuclei(&slide, json!({"mpp": 0.5}));
    let pixels =
        nuclei(&slide, json!({"background_radius": 16, "sigma": 3, "min_area": 40, "max_area": 1600}));
    assert_eq!(pixels.len(), microns.len());
    for (in_pixels, in_microns) in pixels.entries().zip(microns.entries()) {
        assert_eq!(
            (in_pixels.x, in_pixels.y, in_pixels.outline),
            (in_microns.x, in_microns.y, in_microns.outline)
        );
        assert_eq!(in_pixels.values[0], in_microns.values[0] * 4.0);
        assert_eq!(in_pixels.values[1], in_microns.values[1] * 2.0);
        assert_eq!(in_pixels.values[2..], in_microns.values[2..]);
    }
    let run = Run { name: "nuclei_detection".into(), version: "1".into(), parameters: parameters(json!({})) };
    let context = Context { run: &run, sha256: "5e", width: 1, height: 1 };
    let header = |findings: &Findings| {
        common::text(findings, Form::Csv, &context).lines().next().expect("a header").to_owned()
    };
    let rest = "circularity,haematoxylin_od,second_stain_od";
    assert_eq!(header(&microns), format!("x_px,y_px,area_µm2,perimeter_µm,{rest}"));
    assert_eq!(header(&pixels), format!("x_px,y_px,area_px2,perimeter_px,{rest}"));
}

#[test]
fn areas_thresholds_and_counts_are_kept_to() {
    let slide = slide("crowded");
    let all = nuclei(&slide, json!({"mpp": 0.5}));
    let some = nuclei(&slide, json!({"mpp": 0.5, "min_area": 40, "max_area": 60}));
    assert!(!some.is_empty() && some.len() < all.len());
    assert!(some.entries().all(|entry| (40.0..=60.0).contains(&entry.values[0])));
    let ten = nuclei(&slide, json!({"mpp": 0.5, "max_nuclei": 10}));
    assert_eq!(ten.len(), 10);
    let has = |entry: Entry<'_>| all.entries().any(|other| other == entry);
    assert!(ten.entries().all(has), "they are some of all");
    let dense = nuclei(&slide, json!({"mpp": 0.5, "threshold": 0.4}));
    assert!(!dense.is_empty() && dense.len() < all.len());
    assert!(nuclei(&slide, json!({"mpp": 0.5, "max_background": 0.0001})).len() < all.len());
    let joined = nuclei(&slide, json!({"mpp": 0.5, "split": false}));
    assert!(joined.len() < all.len(), "{} and {}", joined.len(), all.len());
}

#[test]
fn a_result_says_which_stains_it_was_made_with() {
    let vectors = |name: &str, given: Value| {
        let findings = nuclei(&slide(name), given);
        let [(member, vectors)] = findings.details() else { panic!("one detail") };
        assert_eq!(*member, "stain_vectors");
        ["haematoxylin", "second_stain", "residual"]
            .map(|stain| serde_json::from_value::<[f64; 3]>(vectors[stain].clone()).expect("three numbers"))
    };
    let angle = |a: [f64; 3], b: [f64; 3]| (0..3).map(|i| a[i] * b[i]).sum::<f64>().min(1.0).acos();
    let [haematoxylin, eosin, dab] = vectors("spread", json!({}));
    assert_eq!(haematoxylin, [0.6511, 0.7012, 0.2905], "Ruifrok and Johnston's, of length 1");
    assert_eq!(vectors("dab", json!({"stains": "h_dab"})), [haematoxylin, dab, eosin]);
    let [own, _, residual] = vectors("own_stains", json!({"stains": "auto"}));
    assert!(angle(own, haematoxylin) > 0.05, "{own:?} is the slide's own");
    assert!((angle(own, residual) - std::f64::consts::FRAC_PI_2).abs() < 1e-3, "{residual:?}");
}

#[test]
fn geojson_has_a_closed_polygon_for_each_nucleus() {
    let slide = slide("touching");
    let findings = nuclei(&slide, json!({"mpp": 0.5}));
    let run = Run {
        name: "nuclei_detection".into(),
        version: "1".into(),
        parameters: parameters(json!({"mpp": 0.5})),
    };
    let context = Context { run: &run, sha256: "5e", width: slide.width(), height: slide.height() };
    let bytes = common::rendered(&findings, Form::GeoJson, &context, &slide);
    let written: Value = serde_json::from_slice(&bytes).expect("JSON");
    let features = written["features"].as_array().expect("features");
    assert_eq!(features.len(), findings.len());
    assert!(written["darkroom"]["stain_vectors"]["haematoxylin"].is_array());
    for feature in features {
        assert_eq!(feature["geometry"]["type"], "Polygon");
        let ring = feature["geometry"]["coordinates"][0].as_array().expect("a ring");
        assert!(ring.len() >= 4 && ring.first() == ring.last(), "{ring:?}");
        assert_eq!(feature["properties"]["objectType"], "detection");
        assert!(feature["properties"]["measurements"]["area µm2"].is_number());
    }
}

#[test]
fn a_region_is_as_good_as_an_image_of_its_own() {
    let slide = slide("crowded");
    let (left, top, width, height) = (57, 83, 211, 190);
    let cut = moved(&slide, width, height, |x, y| (x + left, y + top));
    let region = json!({"x": left, "y": top, "width": width, "height": height});
    for given in [json!({}), json!({"mpp": 0.25}), json!({"stains": "auto"})] {
        let expected = nuclei(&cut, given.clone());
        let mut with_region = given.clone();
        with_region["region"] = region.clone();
        let is = nuclei(&slide, with_region);
        assert!(is.len() > 20, "{given}");
        assert_eq!(is.len(), expected.len(), "{given}");
        for (is, expected) in is.entries().zip(expected.entries()) {
            assert_eq!(is.values, expected.values);
            assert_eq!((is.x, is.y), (expected.x + left as f64, expected.y + top as f64));
        }
    }
}

/// x, y and area of each nucleus.
type Nucleus = (f64, f64, f64);

fn nuclei_of(image: &Image, given: &Value) -> Vec<Nucleus> {
    nuclei(image, given.clone()).entries().map(|entry| (entry.x, entry.y, entry.values[0])).collect()
}

/// Holds when each of one is within a pixel of one of the other, and the other way round. An outline has every third
/// vertex from the first pixel on, so that of the same pixels from another side may have a little less area: what is
/// hardly large enough need not be in both.
fn same(is: &[Nucleus], expected: &[Nucleus]) -> Result<(), TestCaseError> {
    const LARGE_ENOUGH: f64 = 10.0 * 1.1;
    for (some, others) in [(is, expected), (expected, is)] {
        for (x, y, area) in some {
            let away = others.iter().map(|(a, b, _)| (a - x).hypot(b - y)).fold(f64::MAX, f64::min);
            prop_assert!(away <= 1.0 || *area < LARGE_ENOUGH, "({}, {}) is {} away", x, y, away);
        }
    }
    Ok(())
}

/// A part of a slide, with its parameters.
fn parts() -> impl Strategy<Value = (Image, Value)> {
    (0usize..7, 0usize..200, 0usize..200, 100usize..200, 100usize..200).prop_map(
        |(i, left, top, width, height)| {
            let slide = &Slide::all()[i];
            let part = moved(&slide.image(), width, height, |x, y| (x + left, y + top));
            (part, slide.parameters.clone())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mirroring_mirrors_the_nuclei((part, given) in parts()) {
        let width = f64::from(part.width());
        let there = nuclei_of(&part, &given).into_iter();
        let expected: Vec<_> = there.map(|(x, y, area)| (width - x, y, area)).collect();
        same(&nuclei_of(&mirrored(&part), &given), &expected)?;
    }

    #[test]
    fn turning_turns_the_nuclei((part, given) in parts()) {
        let height = f64::from(part.height());
        let there = nuclei_of(&part, &given).into_iter();
        let expected: Vec<_> = there.map(|(x, y, area)| (height - y, x, area)).collect();
        let is = nuclei_of(&turned(&part), &given);
        // Smoothing goes along rows and then along columns, and rounds on the way: now and then a pixel of an edge
        // falls to the other side, and one of hundreds of nuclei is split elsewhere.
        let far = |of: &[Nucleus], from: &[Nucleus]| {
            of.iter().filter(|a| !from.iter().any(|b| (a.0 - b.0).hypot(a.1 - b.1) <= 1.0)).count()
        };
        prop_assert!(far(&is, &expected) <= 2 && far(&expected, &is) <= 2);
    }

    #[test]
    fn shifting_on_glass_shifts_the_nuclei((part, given) in parts(), dx in 0usize..50, dy in 0usize..50) {
        let (w, h) = (part.width() as usize, part.height() as usize);
        let pixels = part.rgba().as_chunks::<4>().0;
        let at = |left: usize, top: usize| {
            image(w + 150, h + 150, |x, y| {
                let inside = (left..left + w).contains(&x) && (top..top + h).contains(&y);
                if inside { pixels[(y - top) * w + x - left] } else { [255; 4] }
            })
        };
        let there = nuclei_of(&at(50, 50), &given).into_iter();
        let expected: Vec<_> = there.map(|(x, y, area)| (x + dx as f64, y + dy as f64, area)).collect();
        same(&nuclei_of(&at(50 + dx, 50 + dy), &given), &expected)?;
    }

    #[test]
    fn no_parameters_in_range_make_it_fail_or_lead_outside(
        (w, h, seed) in (1usize..90, 1usize..70, any::<u32>()),
        (stains, sum, split) in (prop_oneof![Just("h_e"), Just("h_dab"), Just("auto")], any::<bool>(), any::<bool>()),
        mpp in proptest::option::of(0.02f64..10.0),
        (pixel_size, radius, sigma) in (0.25f64..5.0, 0.0f64..50.0, 0.1f64..10.0),
        (min_area, max_area, threshold) in (0.0f64..50.0, 50.0f64..100_000.0, 0.0f64..0.5),
    ) {
        let noise = image(w, h, |x, y| {
            let mix = (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77) ^ seed;
            let mix = mix.wrapping_mul(0xc2b2_ae3d);
            (mix ^ (mix >> 15)).wrapping_mul(0x27d4_eb2f).to_be_bytes()
        });
        let given = json!({
            "stains": stains, "split": split, "mpp": mpp, "pixel_size": pixel_size,
            "detection_image": if sum { "optical_density_sum" } else { "haematoxylin" },
            "background_radius": radius, "sigma": sigma, "min_area": min_area, "max_area": max_area,
            "threshold": threshold,
        });
        let inside = |x: f64, y: f64| (0.0..=w as f64).contains(&x) && (0.0..=h as f64).contains(&y);
        for entry in nuclei(&noise, given).entries() {
            prop_assert!(inside(entry.x, entry.y));
            prop_assert!(entry.outline.len() >= 3);
            prop_assert!(entry.outline.iter().all(|[x, y]| inside(f64::from(*x), f64::from(*y))));
            prop_assert!(entry.values.iter().all(|value| value.is_finite()));
            prop_assert!(entry.values[0] >= min_area && entry.values[0] <= max_area && entry.values[1] > 0.0);
            prop_assert!((0.0..=1.0).contains(&entry.values[2]));
        }
    }
}
