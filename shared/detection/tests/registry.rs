//! Tests that every registered detector must pass, now or later.

#![allow(clippy::expect_used, reason = "helpers of tests are tests")]

mod common;

use std::{collections::HashSet, time::Instant};

use algorithm::{Kind, Parameter, Parameters, Run};
use common::model_of;
use detection::{Context, DetectError, Detector, Findings, Form, catalogue, detector, detectors};
use imaging::{Deadline, Image};
use proptest::prelude::*;
use serde_json::{Value, json};

fn image(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 4]) -> Image {
    let rgba =
        (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| pixel(x, y)).collect();
    Image::new(width, height, rgba).expect("four bytes a pixel")
}

fn noise(x: u32, y: u32) -> [u8; 4] {
    let mix = (x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77)).wrapping_mul(0xc2b2_ae3d);
    (mix ^ (mix >> 15)).wrapping_mul(0x27d4_eb2f).to_be_bytes()
}

/// Images that are hard on borders, on ranges and on arithmetic.
fn images() -> Vec<(&'static str, Image)> {
    vec![
        ("1×1", image(1, 1, |_, _| [200, 100, 50, 255])),
        ("2×3", image(2, 3, noise)),
        ("a row", image(700, 1, noise)),
        ("a column", image(1, 300, noise)),
        ("clear", image(40, 30, |_, _| [0; 4])),
        ("black", image(40, 30, |_, _| [0, 0, 0, 255])),
        ("white", image(64, 64, |_, _| [255; 4])),
        ("one colour", image(123, 45, |_, _| [12, 200, 99, 255])),
        ("a ramp", image(90, 60, |x, y| [(x + y) as u8, x as u8, y as u8, 255])),
        (
            "a grid of dots",
            image(96, 96, |x, y| if x % 4 == 0 && y % 4 == 0 { [255; 4] } else { [0, 0, 0, 255] }),
        ),
        ("noise", image(150, 130, noise)),
    ]
}

/// The model that a detector is tried with, if it needs one.
const MODEL: &str = "yolov8.onnx";

/// The parameters that a detector requires; all others have their defaults.
fn least(detector: &dyn Detector) -> Parameters {
    let required =
        detector.specification().parameters.iter().filter(|parameter| parameter.kind.is_required());
    Parameters(required.map(|parameter| (parameter.name.to_owned(), json!(MODEL))).collect())
}

/// Makes parameters consistent: where one must not be greater than another, they are exchanged, or both take the value
/// of the one that is given.
fn in_order(detector: &dyn Detector, mut parameters: Parameters) -> Parameters {
    for pair in detector.specification().ordered {
        let mut given: Vec<Value> = pair.iter().filter_map(|name| parameters.0.remove(*name)).collect();
        given.sort_by(|a, b| a.as_f64().partial_cmp(&b.as_f64()).expect("numbers"));
        let values = [given.first().cloned(), given.last().cloned()];
        let named = pair.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        parameters.0.extend(named);
    }
    parameters
}

fn detect(
    detector: &dyn Detector,
    image: &Image,
    parameters: &Parameters,
    deadline: Deadline,
) -> Result<Findings, DetectError> {
    detector.detect(image, parameters, model_of(detector, parameters).as_ref(), deadline)
}

/// The defaults, and each parameter at its least and its greatest value, or at each of its words, with the others at
/// their defaults.
fn extremes(detector: &dyn Detector) -> Vec<Parameters> {
    let one = |name: &str, value: Value| {
        let mut parameters = least(detector);
        parameters.0.insert(name.to_owned(), value);
        in_order(detector, parameters)
    };
    let mut all = vec![least(detector)];
    for parameter in detector.specification().parameters {
        let values: Vec<Value> = match parameter.kind {
            Kind::Integer { min, max, .. } => vec![json!(min), json!(max)],
            Kind::Number { min, max, .. } => vec![json!(min), json!(max)],
            Kind::Choice { values, .. } | Kind::Choices { values } => {
                values.iter().map(|v| json!(v)).collect()
            }
            Kind::Colour => vec![json!("transparent"), json!("#ffffff")],
            Kind::Flag { .. } => vec![json!(false), json!(true)],
            Kind::Rectangle => vec![pixel()],
            Kind::Model => vec![json!(MODEL)],
        };
        all.extend(values.into_iter().map(|value| one(parameter.name, value)));
    }
    for pick_max in [false, true] {
        let pick = |kind: &Kind| match *kind {
            Kind::Integer { min, max, .. } => json!(if pick_max { max } else { min }),
            Kind::Number { min, max, .. } => json!(if pick_max { max } else { min }),
            Kind::Choice { values, .. } | Kind::Choices { values } => {
                json!(values[if pick_max { values.len() - 1 } else { 0 }])
            }
            Kind::Colour => json!(if pick_max { "#ffffff" } else { "transparent" }),
            Kind::Flag { .. } => json!(pick_max),
            Kind::Rectangle => pixel(),
            Kind::Model => json!(MODEL),
        };
        let parameters = detector.specification().parameters;
        all.push(Parameters(parameters.iter().map(|p| (p.name.to_owned(), pick(&p.kind))).collect()));
    }
    all
}

/// The one region that lies in every image.
fn pixel() -> Value {
    json!({"x": 0, "y": 0, "width": 1, "height": 1})
}

fn is_snake_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn run_of(detector: &dyn Detector, parameters: &Parameters) -> Run {
    detector.specification().resolve(parameters).expect("in range")
}

#[test]
fn names_are_unique_and_snake_case_and_lead_to_their_detectors() {
    let catalogue = catalogue();
    let names: HashSet<&str> = catalogue.iter().map(|s| s.name).collect();
    assert_eq!(names.len(), catalogue.len(), "unique");
    assert_eq!(catalogue[0].name, "thumbnail");
    let described: Vec<_> = catalogue[1..].iter().map(|s| s.name).collect();
    let registered: Vec<_> = detectors().iter().map(|d| d.specification().name).collect();
    assert_eq!(described, registered, "one list is the other");
    for specification in &catalogue[1..] {
        let found = detector(specification.name).expect("registered").specification();
        assert!(std::ptr::eq(found, *specification), "{}", specification.name);
        let parameters = specification.parameters.iter().map(|p| p.name);
        for name in parameters.chain([specification.name]).chain(specification.list) {
            assert!(is_snake_case(name), "{name}");
        }
        let unique: HashSet<&str> = specification.parameters.iter().map(|p| p.name).collect();
        assert_eq!(unique.len(), specification.parameters.len(), "{}", specification.name);
        assert!(!specification.version.is_empty() && specification.summary.ends_with('.'));
        assert!(!specification.references.is_empty(), "{} names its source", specification.name);
        assert!(specification.list.is_some(), "{} names its list", specification.name);
        for name in specification.ordered.as_flattened() {
            let parameter = specification.parameters.iter().find(|p| p.name == *name).expect(name);
            assert!(matches!(parameter.kind, Kind::Integer { .. } | Kind::Number { .. }), "{name}");
        }
    }
    assert!(detector("thumbnail").is_none() && detector("").is_none());
}

#[test]
fn defaults_are_valid_and_what_is_unknown_is_refused() {
    for detector in detectors() {
        for parameters in extremes(*detector) {
            let run = run_of(*detector, &parameters);
            assert_eq!(run_of(*detector, &run.parameters), run, "resolving twice changes nothing");
        }
        let unknown = Parameters([("no_such".to_owned(), json!(1))].into_iter().collect());
        let error = detect(*detector, &images()[0].1, &unknown, Deadline::none())
            .expect_err("an unknown parameter is refused");
        assert_eq!(error.code(), "invalid_parameters");
    }
}

#[test]
fn a_deadline_that_has_passed_stops_it() {
    let image = image(400, 400, noise);
    for detector in detectors() {
        let late = Deadline::after(std::time::Duration::ZERO);
        let error = detect(*detector, &image, &least(*detector), late).expect_err("late");
        assert_eq!(error.code(), "time_limit");
    }
}

#[test]
fn every_image_and_every_extreme_gives_sound_findings() {
    for detector in detectors() {
        let specification = detector.specification();
        for (what, image) in images() {
            for parameters in extremes(*detector) {
                let what = format!("{} on {what} with {:?}", specification.name, parameters.0);
                let find = || detect(*detector, &image, &parameters, Deadline::none()).expect("in range");
                let findings = find();
                check_findings(&what, &findings, &image);
                assert_eq!(specification.list, Some(findings.schema().list), "{what}");
                assert_eq!(find(), findings, "{what}: the same again");
            }
            let run = run_of(*detector, &least(*detector));
            let findings = detect(*detector, &image, &run.parameters, Deadline::none()).expect("in range");
            check_forms(&findings, &run, &image);
        }
    }
}

/// The parameters for each method of a detector, at their defaults. A detector without methods has its required
/// parameters only.
fn methods(detector: &dyn Detector) -> Vec<Parameters> {
    let method = detector.specification().parameters.iter().find(|parameter| parameter.name == "method");
    let Some(Kind::Choice { values, .. }) = method.map(|parameter| &parameter.kind) else {
        return vec![least(detector)];
    };
    values.iter().map(|name| Parameters([("method".to_owned(), json!(name))].into_iter().collect())).collect()
}

#[test]
fn a_region_is_searched_as_if_it_were_the_image() {
    let (left, top, width, height) = (37, 21, 150, 120);
    // Blocks larger than a pixel, so that detectors find something.
    let pixel = |x: u32, y: u32| {
        let [r, g, b, _] = noise(x / 7, y / 6);
        [r, g, b, 255]
    };
    let whole = image(230, 200, pixel);
    let cut = image(width, height, |x, y| pixel(x + left, y + top));
    for detector in detectors() {
        let name = detector.specification().name;
        assert!(detector.specification().parameters.iter().any(|p| p.name == "region"), "{name}");
        for mut parameters in methods(*detector) {
            let expected = detect(*detector, &cut, &parameters, Deadline::none()).expect("in range");
            let region = json!({"x": left, "y": top, "width": width, "height": height});
            parameters.0.insert("region".into(), region);
            let is = detect(*detector, &whole, &parameters, Deadline::none()).expect("in range");
            assert_eq!(is.len(), expected.len(), "{name} {:?}", parameters.0);
            for (is, expected) in is.entries().zip(expected.entries()) {
                assert_eq!(is.values, expected.values, "{name}");
                assert!((is.x - expected.x - f64::from(left)).abs() < 1e-9, "{name}");
                assert!((is.y - expected.y - f64::from(top)).abs() < 1e-9, "{name}");
                assert_eq!(is.outline.len(), expected.outline.len(), "{name}");
                for ([x, y], [expected_x, expected_y]) in is.outline.iter().zip(expected.outline) {
                    let (by_x, by_y) = (x - expected_x - left as f32, y - expected_y - top as f32);
                    assert!(by_x.abs() < 1e-3 && by_y.abs() < 1e-3, "{name}");
                }
            }
            parameters.0["region"]["width"] = json!(230);
            let error =
                detect(*detector, &whole, &parameters, Deadline::none()).expect_err("it reaches beyond");
            assert_eq!(error.code(), "region_outside_image");
        }
    }
}

/// Values of that kind, in range.
fn value_of(kind: &'static Kind) -> BoxedStrategy<Value> {
    match *kind {
        Kind::Integer { min, max, .. } => {
            // Half of the values are among the smallest.
            prop_oneof![min..=max, min..=max.min(min + 20)].prop_map(Value::from).boxed()
        }
        Kind::Number { min, max, .. } => {
            prop_oneof![min..=max, min..=max.min(min + 5.0)].prop_map(Value::from).boxed()
        }
        Kind::Choice { values, .. } | Kind::Choices { values } => {
            proptest::sample::select(values).prop_map(Value::from).boxed()
        }
        Kind::Colour => Just(json!("#123456")).boxed(),
        Kind::Flag { .. } => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Rectangle => (0u32..60, 0u32..60, 1u32..90, 1u32..90)
            .prop_map(|(x, y, width, height)| json!({"x": x, "y": y, "width": width, "height": height}))
            .boxed(),
        Kind::Model => Just(json!(MODEL)).boxed(),
    }
}

/// Any subset of a detector's parameters, with any values in range.
fn any_parameters(detector: &'static dyn Detector) -> impl Strategy<Value = Parameters> {
    let parameters = detector.specification().parameters;
    let value = |parameter: &'static Parameter| {
        let value = value_of(&parameter.kind);
        let required = parameter.kind.is_required();
        if required { value.prop_map(Some).boxed() } else { proptest::option::of(value).boxed() }
    };
    let values: Vec<_> = parameters.iter().map(value).collect();
    values.prop_map(|values| {
        let given = parameters.iter().zip(values);
        let given = given.filter_map(|(p, value)| Some((p.name.to_owned(), value?)));
        in_order(detector, Parameters(given.collect()))
    })
}

/// The index of a detector, and parameters for it.
fn any_run() -> impl Strategy<Value = (usize, Parameters)> {
    (0..detectors().len()).prop_flat_map(|i| any_parameters(detectors()[i]).prop_map(move |given| (i, given)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_parameters_in_range_make_it_panic_hang_or_leave_its_region(
        (i, given) in any_run(),
        width in 1u32..130, height in 1u32..110, block in 1u32..9, seed in any::<u32>(),
    ) {
        let image = image(width, height, |x, y| noise((x / block) ^ seed, y / block));
        let detector = detectors()[i];
        let start = Instant::now();
        let region = given.0.get("region").cloned().filter(|region| !region.is_null());
        let of_region = |name: &str| region.as_ref().and_then(|region| region[name].as_f64());
        match detect(detector, &image, &given, Deadline::none()) {
            Ok(findings) => {
                check_findings(&format!("{} {:?}", detector.specification().name, given.0), &findings, &image);
                let [left, top] = ["x", "y"].map(|name| of_region(name).unwrap_or(0.0));
                let right = left + of_region("width").unwrap_or(width.into());
                let bottom = top + of_region("height").unwrap_or(height.into());
                for entry in findings.entries() {
                    prop_assert!((left..=right).contains(&entry.x) && (top..=bottom).contains(&entry.y));
                }
            }
            Err(error) => prop_assert_eq!(error.code(), "region_outside_image"),
        }
        prop_assert!(start.elapsed().as_secs() < 30, "it took {:?}", start.elapsed());
    }
}

fn check_findings(what: &str, findings: &Findings, image: &Image) {
    let (width, height) = (f64::from(image.width()), f64::from(image.height()));
    let inside = |x: f64, y: f64| (0.0..=width).contains(&x) && (0.0..=height).contains(&y);
    for entry in findings.entries() {
        assert!(inside(entry.x, entry.y), "{what}: ({}, {}) lies outside", entry.x, entry.y);
        assert!(entry.values.iter().all(|v| v.is_finite()), "{what}: {:?}", entry.values);
        assert!(entry.outline.iter().all(|[x, y]| inside(f64::from(*x), f64::from(*y))), "{what}");
        assert_eq!(entry.values.len(), findings.schema().columns.len(), "{what}");
    }
    let strength = findings.schema().columns.iter().position(|c| ["response", "score"].contains(&c.name));
    if let Some(i) = strength {
        assert!(
            findings.entries().map(|e| e.values[i]).is_sorted_by(|a, b| a >= b),
            "{what}: strongest first"
        );
    }
    let flat = image.rgba().as_chunks::<4>().0.iter().collect::<HashSet<_>>().len() == 1;
    assert!(!flat || findings.is_empty(), "{what}: one colour has nothing to find");
}

fn check_forms(findings: &Findings, run: &Run, image: &Image) {
    let context = Context { run, sha256: "5e", width: image.width(), height: image.height() };
    let form = |form| common::rendered(findings, form, &context, image);
    for each in Form::ALL {
        assert_eq!(form(each), form(each), "{each:?}: byte for byte");
    }
    let names: Vec<&str> = findings.schema().columns.iter().map(|c| c.name).collect();
    assert!(names.iter().all(|n| is_snake_case(n) && !["x", "y", "outline"].contains(n)), "{names:?}");

    let result: Value = serde_json::from_slice(&form(Form::Json)).expect("JSON");
    assert_eq!(result["algorithm"], *run.name);
    assert_eq!(result["version"], *run.version);
    assert_eq!(result["parameters"], Value::Object(run.parameters.0.clone()));
    assert_eq!(result["source"], json!({"sha256": "5e", "width": image.width(), "height": image.height()}));
    // None of these images has more along a side than an overlay may have.
    assert_eq!(result["overlay"], json!({"width": image.width(), "height": image.height()}));
    assert_eq!(result["count"], findings.len());
    let list = result[findings.schema().list].as_array().expect("the list");
    assert_eq!(list.len(), findings.len());
    for (entry, written) in findings.entries().zip(list) {
        assert!((written["x"].as_f64().expect("x") - entry.x).abs() <= 5e-4);
        assert!((written["y"].as_f64().expect("y") - entry.y).abs() <= 5e-4);
        assert!(names.iter().all(|name| written[name].is_number()), "{written}");
    }
    assert!(names.iter().all(|name| result["units"].get(name).is_some()), "a unit, if null, for each");

    let geojson: Value = serde_json::from_slice(&form(Form::GeoJson)).expect("JSON");
    let features = geojson["features"].as_array().expect("features");
    assert_eq!(features.len(), findings.len());
    let ids: HashSet<&str> = features.iter().filter_map(|f| f["id"].as_str()).collect();
    assert_eq!(ids.len(), features.len(), "an id for each");
    assert!(features.iter().all(|f| f["properties"]["objectType"] == "detection"));
    for geometry in features.iter().map(|f| &f["geometry"]).filter(|geometry| geometry["type"] == "Polygon") {
        for ring in geometry["coordinates"].as_array().expect("rings") {
            let ring = ring.as_array().expect("positions");
            assert!(ring.len() >= 4 && ring.first() == ring.last(), "a ring is closed: {ring:?}");
        }
    }

    let csv = String::from_utf8(form(Form::Csv)).expect("UTF-8");
    let rows: Vec<&str> = csv.strip_suffix("\r\n").expect("ends a row").split("\r\n").collect();
    assert_eq!(rows.len(), findings.len() + 1);
    assert!(rows[0].starts_with("x_px,y_px"));
    for row in &rows[1..] {
        assert_eq!(row.split(',').filter(|n| n.parse::<f64>().is_ok()).count(), names.len() + 2, "{row}");
    }

    assert!(form(Form::Png).starts_with(b"\x89PNG\r\n\x1a\n"));
}
