//! Codes of every kind on drawn pages: what they say and where they lie (`tests/references/barcodes/make.py`).
#![allow(clippy::expect_used, clippy::panic)]

mod common;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use algorithm::Run;
use common::{detect, image, noise, open, turned};
use detection::{Context, DetectError, Findings, Form};
use imaging::{Deadline, Image};
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
            let linear = ["code", "ean", "upc", "itf"].iter().any(|kind| code.format.starts_with(kind));
            let off = if linear { 3.0 } else { 6.0 };
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

/// A linear code as zxing-cpp writes it.
#[derive(Deserialize)]
struct Bars {
    format: String,
    text: String,
    /// The widths of bars and spaces in modules, a digit each.
    widths: String,
}

fn linear_codes() -> Vec<Bars> {
    common::known("barcodes/bars.json")
}

/// How bars are drawn.
#[derive(Clone, Copy)]
struct Drawing {
    /// Pixels of a module.
    module: f64,
    /// Pixels of the bars' height.
    height: f64,
    degrees: f64,
    /// Grey of the bars and of what is around them.
    greys: [f64; 2],
    /// The most that noise adds or takes.
    noise: f64,
}

const PLAIN: Drawing = Drawing { module: 2.5, height: 70.0, degrees: 0.0, greys: [20.0, 235.0], noise: 0.0 };

impl Drawing {
    /// Bars of these widths in the middle of a picture with ten modules of light around, and their corners. Each
    /// pixel is the mean of four by four places in it.
    fn draw(self, widths: &str) -> (Image, [[f64; 2]; 4]) {
        const PLACES: usize = 4;
        let modules: Vec<bool> = widths
            .bytes()
            .enumerate()
            .flat_map(|(index, width)| std::iter::repeat_n(index % 2 == 0, usize::from(width - b'0')))
            .collect();
        let (sine, cosine) = self.degrees.to_radians().sin_cos();
        let half = [modules.len() as f64 * self.module / 2.0, self.height / 2.0];
        let side = (2.0 * half[0].hypot(half[1]) + 20.0 * self.module).ceil() as usize;
        let middle = side as f64 / 2.0;
        let is_dark = |x: f64, y: f64| {
            let along = x * cosine + y * sine + half[0];
            let aside = y * cosine - x * sine;
            aside.abs() < half[1]
                && along >= 0.0
                && modules.get((along / self.module) as usize) == Some(&true)
        };
        let picture = image(side, side, |x, y| {
            let part = |at: usize| (at as f64 + 0.5) / PLACES as f64 - middle;
            let places =
                (0..PLACES * PLACES).map(|at| (x as f64 + part(at % PLACES), y as f64 + part(at / PLACES)));
            let dark = places.filter(|(x, y)| is_dark(*x, *y)).count() as f64 / (PLACES * PLACES) as f64;
            let [bar, light] = self.greys;
            // A number for each pixel that no other tells.
            let chance = ((x * 7919 + y * 104_729) as u32).wrapping_mul(2_654_435_761) >> 16;
            let noise = self.noise * (f64::from(chance) / 32_768.0 - 1.0);
            let grey = (light + (bar - light) * dark + noise).round() as u8;
            [grey, grey, grey, 255]
        });
        let corner = |x: f64, y: f64| [middle + x * cosine - y * sine, middle + x * sine + y * cosine];
        let [x, y] = half;
        (picture, [corner(-x, -y), corner(x, -y), corner(x, y), corner(-x, y)])
    }
}

/// How far the farthest of the true corners is from the nearest of an outline.
fn off(outline: &[[f32; 2]], corners: &[[f64; 2]]) -> f64 {
    let from = |corner: &[f64; 2]| {
        let distances =
            outline.iter().map(|[x, y]| (f64::from(*x) - corner[0]).hypot(f64::from(*y) - corner[1]));
        distances.fold(f64::MAX, f64::min)
    };
    corners.iter().map(from).fold(0.0, f64::max)
}

fn is_read_alone(drawing: Drawing, code: &Bars) {
    let (picture, corners) = drawing.draw(&code.widths);
    let found = read(&picture, json!({}));
    let Drawing { degrees, module, .. } = drawing;
    assert_eq!(said(&found), [(code.format.clone(), code.text.clone())], "at {degrees}°, {module} px");
    let entry = found.entries().next().expect("it was read");
    let off = off(entry.outline, &corners);
    assert!(off < 3.0, "{} {} at {degrees}°: {off} px off", code.format, code.text);
}

#[test]
fn a_linear_code_is_read_once_and_outlined_at_every_angle() {
    for (index, code) in linear_codes().iter().enumerate() {
        for turn in 0..6 {
            let degrees = f64::from(turn * 60) + 7.0 * index as f64;
            is_read_alone(Drawing { degrees, module: 1.7 + 0.4 * f64::from(turn), ..PLAIN }, code);
        }
        for degrees in [0.0, 90.0, 180.0, 270.0] {
            is_read_alone(Drawing { degrees, module: 2.0, ..PLAIN }, code);
        }
    }
}

#[test]
fn a_linear_code_is_read_through_noise_and_where_it_is_faint() {
    for (index, code) in linear_codes().iter().enumerate() {
        let degrees = 11.0 * index as f64;
        is_read_alone(Drawing { degrees, noise: 12.0, greys: [70.0, 190.0], ..PLAIN }, code);
        is_read_alone(Drawing { degrees, noise: 2.0, greys: [120.0, 150.0], ..PLAIN }, code);
    }
}

#[test]
fn large_bars_and_low_ones_are_read() {
    for code in linear_codes() {
        is_read_alone(Drawing { module: 9.0, height: 200.0, degrees: 20.0, ..PLAIN }, &code);
        is_read_alone(Drawing { module: 2.0, height: 24.0, degrees: 70.0, ..PLAIN }, &code);
    }
}

#[test]
fn a_part_of_a_code_says_nothing() {
    for code in linear_codes() {
        let count = code.widths.len();
        // From a bar to a bar, as a finger or a tear leaves them.
        for (from, to) in
            [(0, 2 * count / 3), (count / 3, count), (count / 5, 4 * count / 5), (2, count), (0, count - 2)]
        {
            let (from, to) = (from / 2 * 2, (to - 1) / 2 * 2);
            for degrees in [0.0, 25.0] {
                let (picture, _) = Drawing { degrees, ..PLAIN }.draw(&code.widths[from..=to]);
                let found = said(&read(&picture, json!({})));
                assert!(found.is_empty(), "{} {} from {from} to {to}: {found:?}", code.format, code.text);
            }
        }
    }
}

#[test]
fn an_ean_13_of_upc_a_is_one_where_upc_a_is_not_asked_for() {
    let codes = linear_codes();
    let code = codes.iter().find(|code| code.text == "036000291452").expect("it is known");
    let (picture, _) = PLAIN.draw(&code.widths);
    let found = said(&read(&picture, json!({"formats": ["ean_13", "ean_8"]})));
    assert_eq!(found, [("ean_13".to_owned(), "0036000291452".to_owned())]);
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
fn the_clock_stops_it_within_a_picture_full_of_bars() {
    // Bars of one to eight pixels, all the way down: one region, of which every line looks like a symbol's.
    let is_dark = |x: u32| (x / 3).wrapping_mul(2_654_435_761) >> 31 == 0;
    let bars = image(3000, 3000, |x, _| if is_dark(x as u32) { [0, 0, 0, 255] } else { [255; 4] });
    let parameters = common::parameters(json!({"formats": ["code_128", "code_39"]}));
    let detector = detection::detector("barcode_detection").expect("it is registered");
    // The hundredth look comes within the first of its lines.
    static LOOKS: AtomicU32 = AtomicU32::new(0);
    let deadline = Deadline::told(&|| LOOKS.fetch_add(1, Relaxed) >= 99);
    let late = detector.detect(&bars, &parameters, None, deadline);
    assert!(matches!(late, Err(DetectError::TimedOut(_))), "after {} looks", LOOKS.load(Relaxed));
    assert_eq!(LOOKS.load(Relaxed), 100, "it ends with the look that tells it to");
}

#[test]
fn a_pattern_of_finders_is_no_page_of_codes_dark_or_light_or_faint() {
    let tile = |at: usize| (at % 8).abs_diff(3);
    for greys in [[0, 255], [255, 0], [60, 100]] {
        let pattern = image(1200, 1200, |x, y| {
            let ring = tile(x / 2).max(tile(y / 2));
            let grey = greys[usize::from(ring != 3 && ring > 1)];
            // Beside strong stripes what is faint is left out of account by other measures.
            let grey = match x % 64 {
                0..4 => 255,
                4..8 => 0,
                _ => grey,
            };
            [grey, grey, grey, 255]
        });
        let begun = common::processor_time();
        assert!(read(&pattern, json!({"formats": ["qr_code"]})).is_empty(), "{greys:?}");
        let took = common::processor_time() - begun;
        assert!(took < Duration::from_secs(20), "{greys:?}: {took:?}");
    }
}

#[test]
fn the_text_of_a_code_is_in_every_form() {
    let image = page("every-kind");
    let findings = read(&image, json!({"formats": "qr_code"}));
    let run = Run {
        name: "barcode_detection".into(),
        version: "1".into(),
        parameters: common::parameters(json!({})),
    };
    let context = Context { run: &run, sha256: "00", width: image.width(), height: image.height() };
    let text = "https://example.org/slides/42?stain=H%26E";
    let result: Value = serde_json::from_str(&common::text(&findings, Form::Json, &context)).expect("JSON");
    assert_eq!(result["barcodes"][0]["text"], text);
    assert_eq!(result["barcodes"][0]["format"], "qr_code");
    assert_eq!(result["barcodes"][0]["outline"].as_array().map(Vec::len), Some(4));
    let features: Value =
        serde_json::from_str(&common::text(&findings, Form::GeoJson, &context)).expect("JSON");
    let properties = &features["features"][0]["properties"];
    assert_eq!((&properties["name"], &properties["metadata"]["format"]), (&json!(text), &json!("qr_code")));
    let csv = common::text(&findings, Form::Csv, &context);
    assert!(
        csv.starts_with("x_px,y_px,format,text\r\n") && csv.contains(&format!(",qr_code,{text}\r\n")),
        "{csv}"
    );
}
