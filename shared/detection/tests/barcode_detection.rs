//! Codes of every kind on drawn pages: what they say and where they lie (`tests/references/barcodes/make.py`).

mod common;

use std::collections::BTreeMap;

use common::{detect, image, noise, open, turned};
use detection::{Context, Findings};
use imaging::Image;
use jobs::algorithm::Run;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Page {
    codes: Vec<Code>,
}

#[derive(Deserialize)]
struct Code {
    format: String,
    text: String,
    corners: Vec<[f64; 2]>,
}

fn page(name: &str) -> Image {
    open(&format!("barcodes/{name}.png"))
}

fn read(image: &Image, given: Value) -> Findings {
    detect("barcode_detection", image, given)
}

/// What was read, each as its format and text.
fn said(findings: &Findings) -> Vec<(String, String)> {
    let mut said: Vec<_> =
        findings.entries().map(|entry| (entry.labels[0].clone(), entry.labels[1].clone())).collect();
    said.sort();
    said
}

#[test]
fn every_code_is_read_and_has_its_corners() {
    let pages: BTreeMap<String, Page> = common::known("barcodes/barcodes.json");
    for (name, page) in pages {
        let findings = read(&self::page(&name), json!({}));
        let mut expected: Vec<_> =
            page.codes.iter().map(|code| (code.format.clone(), code.text.clone())).collect();
        expected.sort();
        assert_eq!(said(&findings), expected, "{name}");
        for code in &page.codes {
            let centre = [0, 1].map(|axis| code.corners.iter().map(|it| it[axis]).sum::<f64>() / 4.0);
            let near = |x: f64, y: f64| (x - centre[0]).hypot(y - centre[1]);
            let entry = findings
                .entries()
                .filter(|entry| entry.labels[1] == code.text && entry.labels[0] == code.format)
                .min_by(|a, b| near(a.x, a.y).total_cmp(&near(b.x, b.y)))
                .expect("it was read");
            // The ends of a line that was read are not those of the bars: guards and the quiet zone count in some formats.
            let linear = ["code", "ean", "upc", "itf"].iter().any(|kind| code.format.starts_with(kind));
            let off = if linear { 35.0 } else { 6.0 };
            for corner in &code.corners {
                let nearest = entry
                    .outline
                    .iter()
                    .map(|[x, y]| (f64::from(*x) - corner[0]).hypot(f64::from(*y) - corner[1]));
                let nearest = nearest.fold(f64::MAX, f64::min);
                assert!(nearest <= off, "{name}: {} {:?} {corner:?}", code.format, entry.outline);
            }
        }
    }
}

/// A part of a page, twice as large and turned around its middle, on white.
fn at_an_angle(page: &Image, [left, top, right, bottom]: [f64; 4], degrees: f64) -> Image {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let side = (2.0 * (right - left).hypot(bottom - top)).ceil() as usize;
    let pixels = page.rgba().as_chunks::<4>().0;
    let grey = |x: f64, y: f64| {
        let inside = (left..right).contains(&x) && (top..bottom).contains(&y);
        if inside { f64::from(pixels[y as usize * page.width() as usize + x as usize][0]) } else { 255.0 }
    };
    image(side, side, |x, y| {
        let [dx, dy] = [x, y].map(|at| (at as f64 + 0.5 - side as f64 / 2.0) / 2.0);
        let (x, y) = (cosine * dx + sine * dy, cosine * dy - sine * dx);
        let (x, y) = ((left + right) / 2.0 + x - 0.5, (top + bottom) / 2.0 + y - 0.5);
        let (right, down) = (x - x.floor(), y - y.floor());
        let row = |y: f64| grey(x, y) * (1.0 - right) + grey(x + 1.0, y) * right;
        let value = (row(y) * (1.0 - down) + row(y + 1.0) * down).round() as u8;
        [value, value, value, 255]
    })
}

#[test]
fn a_code_at_an_angle_says_what_it_says_and_nothing_by_chance() {
    let pages: BTreeMap<String, Page> = common::known("barcodes/barcodes.json");
    let picture = page("every-kind");
    let mut turned = 0;
    for code in &pages["every-kind"].codes {
        if ["qr", "data"].iter().any(|kind| code.format.starts_with(kind)) {
            continue;
        }
        let side = |axis: usize, pick: fn(f64, f64) -> f64| {
            code.corners.iter().map(|corner| corner[axis]).reduce(pick).expect("four corners")
        };
        let around = [
            side(0, f64::min) - 20.0,
            side(1, f64::min) - 4.0,
            side(0, f64::max) + 20.0,
            side(1, f64::max) + 4.0,
        ];
        for degrees in [15.0, 22.0, 45.0, 120.0] {
            let found = said(&read(&at_an_angle(&picture, around, degrees), json!({})));
            let expected = (code.format.clone(), code.text.clone());
            assert!(found.iter().all(|said| *said == expected), "at {degrees}°: {found:?}, not {expected:?}");
            // Halfway between the angles that are looked at, a long code may be missed.
            assert!(degrees == 22.0 || found.len() == 1, "{expected:?} at {degrees}°: {found:?}");
            turned += found.len();
        }
    }
    assert!(turned > 20, "{turned} read");
}

#[test]
fn only_the_formats_asked_for_are_read() {
    let page = page("every-kind");
    let findings = read(&page, json!({"formats": ["qr_code", "ean_8"]}));
    let formats: Vec<_> = said(&findings).into_iter().map(|(format, _)| format).collect();
    assert_eq!(formats, ["ean_8", "qr_code"]);
}

#[test]
fn at_rest_only_bars_that_stand_or_lie_are_read() {
    let page = page("turned-bars");
    let upright = said(&read(&page, json!({"turned": false})));
    assert!(upright.iter().any(|(format, _)| format == "itf"), "{upright:?}");
    assert!(!upright.iter().any(|(format, _)| format == "code_39"), "{upright:?}");
}

#[test]
fn a_region_is_searched_alone_and_places_stay_the_images() {
    let page = page("white-on-black");
    let region = json!({"x": 200, "y": 0, "width": 220, "height": 220});
    let findings = read(&page, json!({ "region": region }));
    let all = read(&page, json!({}));
    let alone: Vec<_> = findings.entries().collect();
    let same = all.entries().find(|entry| entry.labels[0] == "data_matrix").expect("a code");
    assert_eq!(alone.len(), 1);
    assert_eq!(alone[0].labels, same.labels);
    assert!((alone[0].x - same.x).abs() < 1.0 && (alone[0].y - same.y).abs() < 1.0);
}

#[test]
fn a_page_turned_says_the_same_from_top_to_bottom() {
    let page = page("turned-squares");
    let (as_it_is, on_its_side) = (read(&page, json!({})), read(&turned(&page), json!({})));
    assert_eq!(said(&as_it_is), said(&on_its_side));
    for findings in [as_it_is, on_its_side] {
        assert!(findings.entries().is_sorted_by(|a, b| a.y <= b.y));
    }
}

#[test]
fn noise_and_slivers_say_nothing() {
    for (width, height) in [(1, 1), (1, 300), (300, 1), (41, 37), (257, 199)] {
        for seed in 0..4 {
            let findings = read(&noise(width, height, seed), json!({}));
            assert!(findings.is_empty(), "{width}×{height}: {:?}", said(&findings));
        }
    }
}

#[test]
fn what_a_code_says_is_in_every_form() {
    let image = page("every-kind");
    let findings = read(&image, json!({"formats": "qr_code"}));
    let run = Run {
        name: "barcode_detection".into(),
        version: "1".into(),
        parameters: common::parameters(json!({})),
    };
    let context = Context { run: &run, sha256: "00", width: image.width(), height: image.height() };
    let text = "https://example.org/slides/42?stain=H%26E";
    let result: Value = serde_json::from_str(&findings.json(&context)).expect("JSON");
    assert_eq!(result["barcodes"][0]["text"], text);
    assert_eq!(result["barcodes"][0]["format"], "qr_code");
    assert_eq!(result["barcodes"][0]["outline"].as_array().map(Vec::len), Some(4));
    let features: Value = serde_json::from_str(&findings.geojson(&context)).expect("JSON");
    let properties = &features["features"][0]["properties"];
    assert_eq!((&properties["name"], &properties["metadata"]["format"]), (&json!(text), &json!("qr_code")));
    let csv = findings.csv();
    assert!(
        csv.starts_with("x_px,y_px,format,text\r\n") && csv.contains(&format!(",qr_code,{text}\r\n")),
        "{csv}"
    );
}
