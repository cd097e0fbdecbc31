//! `onnx_detection` against what onnxruntime finds with the same models, and against what was drawn.

#![allow(clippy::expect_used, reason = "helpers of tests are tests")]

mod common;

use std::{collections::BTreeMap, time::Duration};

use common::{detect, file, image, known, model, moved, open, parameters};
use detection::{Context, DetectError, Detector, Findings, Form, Model, detector};
use imaging::{Deadline, Image};
use serde::Deserialize;
use serde_json::{Value, json};

const LAYOUTS: [&str; 4] = ["yolov8", "yolov5", "end_to_end", "separate"];

/// Of what onnxruntime found: x, y, width, height, score and class.
type Row = (f64, f64, f64, f64, f64, String);

/// What `tests/references/onnx/make.py` knows.
#[derive(Deserialize)]
struct Known {
    /// Of each picture what was drawn: the centre's x and y, the side, and the class.
    few: Vec<(f64, f64, f64, String)>,
    many: Vec<(f64, f64, f64, String)>,
    /// Of each model what onnxruntime found in `few`.
    onnxruntime: BTreeMap<String, Vec<Row>>,
}

fn facts() -> Known {
    known("onnx/findings.json")
}

fn picture(name: &str) -> Image {
    open(&format!("onnx/{name}.png"))
}

fn onnx() -> &'static dyn Detector {
    detector("onnx_detection").expect("registered")
}

/// The description of a layout's model, with some members replaced.
fn described(layout: &str, members: Value) -> Vec<u8> {
    let mut description: Value = serde_json::from_slice(&file(&format!("{layout}.json"))).expect("JSON");
    let members: BTreeMap<String, Value> =
        serde_json::from_value(members).expect("members by their pointers");
    for (pointer, value) in members {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        description.pointer_mut(parent).expect("there")[name] = value;
    }
    description.to_string().into_bytes()
}

fn load(layout: &str, members: Value) -> Result<Model, DetectError> {
    model(&format!("{layout}.onnx"), &described(layout, members))
}

fn run(model: &Model, image: &Image, mut given: Value) -> Result<Findings, DetectError> {
    given["model"] = json!(model.source().key);
    onnx().detect(image, &parameters(given), Some(model), Deadline::none())
}

/// Centre, width, height, score and class of each.
fn rows(findings: &Findings) -> Vec<(f64, f64, [f64; 3], String)> {
    let rows = findings.entries().map(|entry| {
        let values = entry.values.try_into().expect("three columns");
        (entry.x, entry.y, values, entry.labels[0].clone())
    });
    rows.collect()
}

#[test]
fn every_layout_finds_what_onnxruntime_finds() {
    let (facts, few) = (facts(), picture("few"));
    for layout in LAYOUTS {
        let expected = &facts.onnxruntime[layout];
        let found = rows(&detect("onnx_detection", &few, json!({"model": format!("{layout}.onnx")})));
        assert_eq!((found.len(), expected.len()), (facts.few.len(), facts.few.len()), "{layout}: {found:?}");
        for ((x, y, [width, height, score], class), expected) in found.iter().zip(expected) {
            let (ex, ey, ewidth, eheight, escore, eclass) = expected;
            let off = [x - ex, y - ey, width - ewidth, height - eheight];
            assert!(off.iter().all(|off| off.abs() < 5e-3), "{layout}: {off:?}");
            assert!((score - escore).abs() < 5e-4, "{layout}: {score} is not {escore}");
            assert_eq!(class, eclass, "{layout}");
        }
    }
}

/// Asserts that each thing drawn was found once, in its place, and nothing else was.
fn assert_found(what: &str, findings: &Findings, drawn: &[(f64, f64, f64, String)]) {
    let found = rows(findings);
    assert_eq!(found.len(), drawn.len(), "{what}: {found:?}");
    for (x, y, side, class) in drawn {
        let near = |row: &&(f64, f64, [f64; 3], String)| {
            let (fx, fy, [width, height, _], fclass) = row;
            (fx - x).hypot(fy - y) < 0.25
                && (width - side).abs() < 1.0
                && (height - side).abs() < 1.0
                && fclass == class
        };
        assert_eq!(found.iter().filter(near).count(), 1, "{what}: a {class} of {side} at ({x}, {y})");
    }
}

#[test]
fn tiles_find_each_thing_once_wherever_their_borders_lie() {
    let (facts, many) = (facts(), picture("many"));
    for overlap in [20, 28, 32] {
        let model =
            load("yolov8", json!({"/input/fit": "tile", "/input/overlap": overlap})).expect("a model");
        assert_found(
            &format!("an overlap of {overlap}"),
            &run(&model, &many, json!({})).expect("found"),
            &facts.many,
        );
    }
    let model = load("separate", json!({"/input/fit": "tile"})).expect("a model");
    let (left, top, width, height) = (40, 33, 251, 188);
    let region = json!({"region": {"x": left, "y": top, "width": width, "height": height}});
    let found = run(&model, &many, region).expect("found");
    let inside = |at: f64, from: i32, length: i32, by: f64| {
        (f64::from(from) + by..f64::from(from + length) - by).contains(&at)
    };
    let surely =
        facts.many.iter().filter(|(x, y, ..)| inside(*x, left, width, 7.0) && inside(*y, top, height, 7.0));
    for (x, y, _, class) in surely {
        let near =
            rows(&found).iter().filter(|row| (row.0 - x).hypot(row.1 - y) < 0.25 && row.3 == *class).count();
        assert_eq!(near, 1, "a {class} at ({x}, {y})");
    }
    for entry in found.entries() {
        let within = |[x, y]: &[f32; 2]| {
            inside(f64::from(*x), left, width, -1e-3) && inside(f64::from(*y), top, height, -1e-3)
        };
        assert!(entry.outline.iter().all(within), "{entry:?}");
    }
}

#[test]
fn things_moved_by_whole_pixels_are_found_where_they_went() {
    let (facts, many) = (facts(), picture("many"));
    let model = load("yolov8", json!({"/input/fit": "tile"})).expect("a model");
    let (right, down) = (13, 5);
    let larger =
        moved(&many, 330 + right, 250 + down, |x, y| (x.saturating_sub(right), y.saturating_sub(down)));
    let drawn: Vec<_> = facts
        .many
        .iter()
        .map(|(x, y, side, class)| (x + right as f64, y + down as f64, *side, class.clone()))
        .collect();
    assert_found("moved", &run(&model, &larger, json!({})).expect("found"), &drawn);
}

#[test]
fn parameters_bound_what_is_found() {
    let few = picture("few");
    let model = load("yolov8", json!({})).expect("a model");
    let all = run(&model, &few, json!({})).expect("found");
    let strongest = rows(&all)[0].clone();
    let one = run(&model, &few, json!({"max_detections": 1})).expect("found");
    assert_eq!(rows(&one), std::slice::from_ref(&strongest));
    let strong = run(&model, &few, json!({"min_score": strongest.2[2]})).expect("found");
    assert_eq!(rows(&strong), [strongest]);
    let unsuppressed = run(&model, &few, json!({"iou": 1.0, "min_score": 0.3})).expect("found");
    assert!(unsuppressed.len() > 2 * all.len(), "neighbouring cells see the same thing");
    let whole = open("photo.png");
    assert!(run(&model, &whole, json!({"min_score": 0.0, "max_detections": 100_000})).is_ok());
}

#[test]
fn channels_scales_and_orders_are_those_of_the_description() {
    let few = picture("few");
    let swapped = image(few.width() as usize, few.height() as usize, |x, y| {
        let [r, g, b, a] = few.rgba().as_chunks::<4>().0[y * few.width() as usize + x];
        [b, g, r, a]
    });
    let expected = rows(&run(&load("yolov8", json!({})).expect("a model"), &few, json!({})).expect("found"));
    let bgr = load("yolov8", json!({"/input/channels": "bgr"})).expect("a model");
    assert_eq!(rows(&run(&bgr, &swapped, json!({})).expect("found")), expected);
    // (v − 0) / 255 in two steps.
    let by_std =
        load("yolov8", json!({"/input/scale": 1.0, "/input/std": [255, 255, 255]})).expect("a model");
    let found = rows(&run(&by_std, &few, json!({})).expect("found"));
    assert!(found.iter().zip(&expected).all(|(a, b)| (a.0 - b.0).abs() < 1e-4 && a.3 == b.3), "{found:?}");
    let stretched = load("yolov8", json!({"/input/fit": "stretch"})).expect("a model");
    let found = rows(&run(&stretched, &few, json!({"min_score": 0.4})).expect("found"));
    assert!(found.iter().any(|row| (row.2[0] - row.2[1]).abs() > 2.0), "no longer square: {found:?}");
}

#[test]
fn a_result_names_its_model_and_classifies_each_finding() {
    let few = picture("few");
    let given = json!({"model": "yolov8.onnx"});
    let findings = detect("onnx_detection", &few, given.clone());
    let run = onnx().specification().resolve(&parameters(given)).expect("in range");
    let context = Context { run: &run, sha256: "5e", width: few.width(), height: few.height() };
    let result: Value = serde_json::from_str(&common::text(&findings, Form::Json, &context)).expect("JSON");
    assert_eq!(result["model"], json!({"key": "yolov8.onnx", "sha256": "ab", "description_sha256": "cd"}));
    let first = &result["detections"][0];
    assert_eq!(first["class"], "square");
    for member in ["x", "y", "width", "height", "score"] {
        assert!(first[member].is_number(), "{first}");
    }
    assert_eq!(first["outline"].as_array().map(Vec::len), Some(4));
    let features: Value =
        serde_json::from_str(&common::text(&findings, Form::GeoJson, &context)).expect("JSON");
    assert_eq!(features["darkroom"]["model"], result["model"]);
    let first = &features["features"][0];
    assert_eq!(first["geometry"]["type"], "Polygon");
    assert_eq!(first["geometry"]["coordinates"][0].as_array().map(Vec::len), Some(5), "closed");
    assert_eq!((&first["properties"]["classification"]["name"]), &json!("square"));
    assert!(
        common::text(&findings, Form::Csv, &context)
            .starts_with("x_px,y_px,class,width_px,height_px,score\r\n")
    );
}

/// The bytes with a text everywhere replaced by another one.
fn replaced(bytes: &[u8], text: &str, other: &str) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() - text.len() {
        if bytes[at..].starts_with(text.as_bytes()) {
            bytes[at..at + other.len()].copy_from_slice(other.as_bytes());
        }
    }
    bytes
}

#[test]
fn a_model_that_is_none_or_another_is_refused_with_the_reason() {
    let good = file("yolov8.onnx");
    let description = file("yolov8.json");
    let source = || model("yolov8.onnx", &description).expect("a model").source().clone();
    let loading = |bytes: &[u8], description: &[u8]| {
        onnx::load(source(), bytes, description, Deadline::none()).expect_err("it must be refused")
    };
    for bytes in [&b""[..], b"not a model", &good[..good.len() / 2], &[0; 1000]] {
        assert_eq!(loading(bytes, &description).code(), "invalid_model");
    }
    // Another operator in place of one of the same length: one that does not exist, and one that draws random numbers.
    for (layout, operator, other) in [("yolov8", "Sqrt", "Nope"), ("yolov5", "Transpose", "Bernoulli")] {
        let changed = replaced(&file(&format!("{layout}.onnx")), operator, other);
        let error = loading(&changed, &description);
        assert_eq!(error.code(), "invalid_model");
        assert!(error.to_string().ends_with(&format!("not supported: {other}")), "{error}");
    }
    assert_eq!(loading(&good, b"{}").code(), "invalid_model_description");
    let late = onnx::load(source(), &good, &description, Deadline::after(Duration::ZERO));
    assert_eq!(late.expect_err("no time is left").code(), "time_limit");
    for (members, says) in [
        (json!({"/input/width": 96}), "[1, 3, 64, 64], the description's is [1, 3, 64, 96]"),
        (json!({"/input/layout": "nhwc"}), "[1, 64, 64, 3]"),
        (json!({"/input/channels": "grey"}), "[1, 1, 64, 64]"),
    ] {
        let error = loading(&good, &described("yolov8", members));
        assert_eq!(error.code(), "model_mismatch");
        assert!(error.to_string().contains(says), "{error}");
    }
    let few = picture("few");
    for (layout, members, says) in [
        ("yolov8", json!({"/classes": ["square"]}), "[1, 4 + classes, N]"),
        ("yolov5", json!({"/output": {"layout": "yolov8"}}), "[1, 4 + classes, N]"),
        ("end_to_end", json!({"/output": {"layout": "yolov5"}}), "[1, N, 5 + classes]"),
        (
            "end_to_end",
            json!({"/classes": ["square"]}),
            "it gave the label 1, and the description names 1 classes",
        ),
        (
            "separate",
            json!({"/output/boxes": "rectangles"}),
            "no output rectangles; it has boxes, scores, labels",
        ),
        ("separate", json!({"/output": {"layout": "yolov8"}}), "it has 3 outputs"),
        ("separate", json!({"/output/labels": "boxes"}), "labels"),
    ] {
        let model = load(layout, members).expect("it can be loaded");
        let error = run(&model, &few, json!({})).expect_err(says);
        assert_eq!(error.code(), "model_mismatch");
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = onnx().detect(&few, &parameters(json!({"model": "a.onnx"})), None, Deadline::none());
    assert_eq!(error.expect_err("it needs one").code(), "internal_error");
}

#[test]
fn no_damage_to_a_model_does_more_than_make_it_fail() {
    let (few, description) = (picture("few"), file("separate.json"));
    let good = file("separate.onnx");
    let source = model("separate.onnx", &description).expect("a model").source().clone();
    // Where the graph is described, every byte; among the weights now and then.
    let mut state = 7_u32;
    for round in 0..300 {
        let mut bytes = good.clone();
        for _ in 0..=round % 3 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (state >> 8) as usize % bytes.len();
            bytes[at] ^= 1 << (state % 8);
        }
        let deadline = Deadline::after(Duration::from_secs(10));
        if let Ok(model) = onnx::load(source.clone(), &bytes, &description, deadline) {
            let given = parameters(json!({"model": "separate.onnx"}));
            let _ = onnx().detect(&few, &given, Some(&model), deadline);
        }
    }
}
