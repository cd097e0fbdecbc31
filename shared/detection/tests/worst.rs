//! The worst pictures and parameters that are known, for every detector and every form: the memory that they take, and
//! the processor time that passes between two looks at the deadline. Each runs in a process of its own, so that its
//! memory is measured alone.
//!
//! `make worst` runs them on pictures as large as are taken, and prints what each took.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests are tests")]

mod common;

use std::{
    process::{Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use common::{parameters, processor_time as time};
use detection::{Context, Form, Means, detector};
use imaging::{Deadline, Image};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The most processor time between two looks: twenty times what they are meant to be apart, for slow machines.
const MOST_BETWEEN: Duration = Duration::from_millis(20 * 50);
/// The processor time after which the deadline passes, so that a test ends.
const TIME: Duration = Duration::from_secs(15);
/// The memory that is not counted: what is freed and not yet given back, and the pages of small values.
const UNCOUNTED: u64 = 64 << 20;
/// The variable that tells the child which run is its.
const CASE: &str = "DARKROOM_WORST_CASE";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Case {
    algorithm: String,
    picture: String,
    width: u32,
    height: u32,
    parameters: Value,
}

/// What a run took.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    /// The number of findings, or the code of what stopped the search; and the same of each form, with its bytes.
    ended: Vec<String>,
    /// The memory in use at most, beyond what was there before, in bytes.
    peak: u64,
    /// The processor time in all, and the most of it between two looks at the deadline.
    time: Duration,
    between: Duration,
}

/// Runs whose pictures have about so many pixels.
fn cases(pixels: u32) -> Vec<Case> {
    let width = f64::from(pixels).mul_add(1.28, 0.0).sqrt() as u32;
    let shapes = |picture: &str| match picture.split_once(' ') {
        Some((picture, "wide")) => (picture.to_owned(), pixels, 1),
        Some((picture, "low")) => (picture.to_owned(), pixels / 40, 40),
        Some((picture, "tall")) => (picture.to_owned(), 1, pixels),
        _ => (picture.to_owned(), width, pixels / width),
    };
    let most_nuclei = |sigma: f64, radius: u32, max_area: u32| json!({"sigma": sigma, "background_radius": radius, "min_area": 0, "max_area": max_area, "threshold": 0});
    let formats = |format: &str| json!({ "formats": format });
    let blobs = |method: &str, overlap: f64| json!({"method": method, "threshold": 0, "max_blobs": 100_000, "overlap": overlap, "polarity": "both"});
    let points = |method: &str| {
        json!({
            "method": method, "threshold": 0, "max_points": 100_000, "min_distance": 1, "fast_threshold": 1
        })
    };
    [
        ("nuclei_detection", "noise75", most_nuclei(0.1, 0, 1000)),
        ("nuclei_detection", "stain50", most_nuclei(0.1, 0, 100_000)),
        ("nuclei_detection", "checker", most_nuclei(0.1, 50, 1000)),
        ("nuclei_detection", "noise75 wide", most_nuclei(0.1, 0, 1000)),
        ("nuclei_detection", "noise75 tall", most_nuclei(10.0, 50, 1000)),
        ("barcode_detection", "noise50", formats("data_matrix")),
        ("barcode_detection", "slanted", formats("data_matrix")),
        ("barcode_detection", "matrices", formats("data_matrix")),
        ("barcode_detection", "lying", formats("data_matrix")),
        ("barcode_detection", "lying low", formats("data_matrix")),
        ("barcode_detection", "finders", formats("qr_code")),
        ("barcode_detection", "few", formats("qr_code")),
        ("barcode_detection", "bullseyes", formats("aztec")),
        ("barcode_detection", "stacks", formats("pdf417")),
        ("barcode_detection", "bars", formats("code_128")),
        ("barcode_detection", "noise50 wide", json!({})),
        ("barcode_detection", "noise50 tall", json!({})),
        ("blob_detection", "noise", blobs("log", 1.0)),
        ("blob_detection", "noise50", blobs("doh", 0.0)),
        ("blob_detection", "checker4", blobs("dog", 0.5)),
        ("blob_detection", "noise tall", blobs("log", 0.5)),
        ("poi_detection", "noise50", points("harris")),
        ("poi_detection", "checker4", points("shi_tomasi")),
        ("poi_detection", "dots", points("fast")),
        ("poi_detection", "noise", points("orb")),
        ("poi_detection", "noise wide", points("harris")),
        ("poi_detection", "noise tall", points("shi_tomasi")),
        ("onnx_detection", "noise", json!({"model": "yolov8.onnx", "min_score": 0, "iou": 1})),
        ("onnx_detection", "clear", json!({"model": "yolov8.onnx"})),
        ("nuclei_detection", "white", json!({"stains": "auto"})),
        ("barcode_detection", "white", json!({})),
    ]
    .into_iter()
    .map(|(algorithm, picture, parameters)| {
        let (name, width, height) = shapes(picture);
        Case { algorithm: algorithm.to_owned(), picture: name, width, height, parameters }
    })
    .collect()
}

/// A picture by its name.
fn picture(name: &str, width: u32, height: u32) -> Image {
    // Xorshift (Marsaglia 2003).
    let mut state = 2_463_534_242_u32;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let mut rgba = Vec::with_capacity(4 * width as usize * height as usize);
    for y in 0..height {
        for x in 0..width {
            let on_board = |side: u32| (x / side + y / side).is_multiple_of(2);
            let around =
                |side: u32, middle: u32| (x % side).abs_diff(middle).max((y % side).abs_diff(middle));
            let is_dark = match name {
                "noise50" | "stain50" => noise() >> 31 == 0,
                "noise75" => noise() >> 30 != 0,
                "checker" => on_board(1),
                "checker4" => on_board(4),
                "dots" => x % 4 == 1 && y % 4 == 1,
                "lying" => (y / 3).is_multiple_of(2),
                "slanted" => ((x + y) / 4).is_multiple_of(2),
                "bars" => (x / 3).wrapping_mul(2_654_435_761) >> 31 == 0,
                // Finder patterns of QR codes side by side, and few enough of them to be tried.
                "finders" => matches!(around(24, 10) / 3, 0 | 1 | 3),
                "few" => {
                    let (x, y) = (x % (width / 20 + 1), y % (height / 20 + 1));
                    x.max(y) < 21 && matches!(x.abs_diff(10).max(y.abs_diff(10)) / 3, 0 | 1 | 3)
                }
                "bullseyes" => (around(24, 12) / 2).is_multiple_of(2),
                // An L and its dotted lines around noise.
                "matrices" => match (x / 2 % 16, y / 2 % 16) {
                    (12.., _) | (_, 12..) => false,
                    (0, _) | (_, 11) => true,
                    (column, 0) => column % 2 == 0,
                    (11, row) => row % 2 == 1,
                    _ => noise() >> 31 == 0,
                },
                "stacks" => {
                    const START: [u32; 8] = [8, 1, 1, 1, 1, 1, 1, 3];
                    const STOP: [u32; 9] = [7, 1, 1, 3, 1, 1, 1, 2, 1];
                    let inside = |bars: &[u32], at: u32| {
                        let mut end = 0;
                        let nth = bars.iter().position(|bar| {
                            end += bar;
                            at < end
                        });
                        nth.is_some_and(|nth| nth % 2 == 0)
                    };
                    match x / 2 % 120 {
                        at @ 0..17 => inside(&START, at),
                        17..68 => (x / 2 * 7 + y / 6 * 13).wrapping_mul(2_654_435_761) >> 31 == 0,
                        at => inside(&STOP, at - 68),
                    }
                }
                _ => false,
            };
            let pixel = match name {
                "noise" => [(noise() >> 8) as u8; 4].map(|grey| grey | 1),
                "clear" => [(noise() >> 8) as u8, 9, 9, (noise() >> 16) as u8],
                _ if !is_dark => [255; 4],
                "stain50" => [90, 40, 140, 255],
                _ => [0, 0, 0, 255],
            };
            let [r, g, b, alpha] = pixel;
            rgba.extend([r, g, b, if name == "clear" { alpha } else { 255 }]);
        }
    }
    Image::new(width, height, rgba).expect("four bytes a pixel")
}

/// The time of the last look at the deadline, and the most time between two.
static LOOKS: Mutex<[Duration; 2]> = Mutex::new([Duration::ZERO; 2]);

/// Notes a look at the deadline, and says whether it has passed.
fn look() -> bool {
    let mut looks = LOOKS.lock().expect("no panic");
    let now = time();
    *looks = [now, looks[1].max(now.saturating_sub(looks[0]))];
    now > TIME
}

/// A field of this process's memory status, in bytes.
fn resident(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
    let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|it| it.parse().ok()).expect("a number");
    kilobytes << 10
}

/// Runs a case in this process.
fn run(case: &Case) -> Taken {
    let image = picture(&case.picture, case.width, case.height);
    let parameters = parameters(case.parameters.clone());
    let detector = detector(&case.algorithm).expect("registered");
    let model = common::model_of(detector, &parameters);
    let means = Means::by(Deadline::told(&look));
    // The most memory so far is that of drawing.
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux");
    let (before, begun) = (resident("VmRSS:"), time());
    *LOOKS.lock().expect("no panic") = [begun, Duration::ZERO];
    let found = detector.detect_within(&image, &parameters, model.as_ref(), &means);
    look();
    let mut ended = Vec::new();
    match found {
        Err(error) => ended.push(error.code().to_owned()),
        Ok(found) => {
            ended.push(found.len().to_string());
            let run = detector.specification().resolve(&parameters).expect("in range");
            let context = Context { run: &run, sha256: "5e", width: image.width(), height: image.height() };
            for form in Form::ALL {
                let form = found.render(form, &context, &image, &means);
                look();
                ended.push(form.map_or_else(|error| error.code().to_owned(), |form| form.len().to_string()));
            }
        }
    }
    let between = LOOKS.lock().expect("no panic")[1];
    Taken { ended, peak: resident("VmHWM:").saturating_sub(before), time: time() - begun, between }
}

/// Runs a case in a process of its own.
fn run_apart(case: &Case) -> Taken {
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(CASE, serde_json::to_string(case).expect("JSON"))
        .stderr(Stdio::inherit())
        .output()
        .expect("it starts");
    let printed = String::from_utf8_lossy(&child.stdout);
    let taken = printed.lines().find_map(|line| line.split_once("taken: "));
    let Some((_, taken)) = taken else { panic!("{case:?} ended with {}: {printed}", child.status) };
    serde_json::from_str(taken).expect("JSON")
}

fn hold(cases: &[Case]) {
    let mut wrong = Vec::new();
    for case in cases {
        let taken = run_apart(case);
        let Case { algorithm, picture, width, height, parameters } = case;
        println!(
            "| {algorithm} | {picture} {width} × {height} | `{parameters}` | {:.1} s | {} ms | {} MiB | {} |",
            taken.time.as_secs_f64(),
            taken.between.as_millis(),
            taken.peak >> 20,
            taken.ended.join(", "),
        );
        let most = Means::by(Deadline::none());
        // One form is made at a time, and may be copied once as it grows.
        let memory = most.memory + 2 * most.file_bytes + UNCOUNTED;
        if taken.between > MOST_BETWEEN || taken.peak > memory {
            wrong.push(format!("{case:?}: {taken:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "what the others start"]
fn child() {
    if let Ok(case) = std::env::var(CASE) {
        let taken = run(&serde_json::from_str(&case).expect("a case"));
        println!("taken: {}", serde_json::to_string(&taken).expect("JSON"));
    }
}

#[test]
fn no_picture_takes_more_memory_or_more_time_between_looks_than_it_may() {
    let hardest = ["noise75", "noise50", "few"];
    let is_hard = |case: &Case| {
        hardest.contains(&&*case.picture) && case.algorithm != "blob_detection" && case.width > 1
    };
    hold(&cases(10_000_000).into_iter().filter(is_hard).collect::<Vec<_>>());
}

#[test]
#[ignore = "`make worst` runs it, because it takes minutes"]
fn none_of_the_largest_pictures_takes_more_memory_or_more_time_between_looks_than_it_may() {
    let pixels = std::env::var("WORST_PIXELS").ok().and_then(|pixels| pixels.parse().ok());
    hold(&cases(pixels.unwrap_or(50_000_000)));
}
