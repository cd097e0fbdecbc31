//! The engine on the largest images: a whole job, thumbnail, findings and every form, takes no more memory than its
//! function has. Each job runs in a process of its own, so that its memory is measured alone.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests are tests")]

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use imaging::Image;
use jobs::{
    algorithm::{Parameters, Run, Specification},
    limits::Limits,
    ports::{Engine as _, WorkError},
};
use process::ImageEngine;
use serde_json::{Value, json};
use testing::{faults::Faults, memory::MemoryModels};

/// The memory of the function, and what it needs beside its work: the program, the runtime and its connections.
const FUNCTION: u64 = 1769 << 20;
const REST: u64 = 150 << 20;
/// The variable that tells the child which job is its.
const JOB: &str = "DARKROOM_WORST_JOB";

fn run(specification: &Specification, parameters: Value) -> Run {
    let Value::Object(parameters) = parameters else { panic!("an object") };
    specification.resolve(&Parameters(parameters)).expect("in range")
}

/// Noise of so many pixels, three quarters of it dark, as PNG.
fn noise(width: u32, height: u32) -> Vec<u8> {
    let mut state = 2_463_534_242_u32;
    let mut rgba = Vec::with_capacity(4 * width as usize * height as usize);
    for _ in 0..u64::from(width) * u64::from(height) {
        // Xorshift (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let grey = if state >> 30 == 0 { 255 } else { 0 };
        rgba.extend([grey, grey, grey, 255]);
    }
    Image::new(width, height, rgba).expect("four bytes a pixel").encode_png().expect("a PNG")
}

/// The most memory that this process has had, in bytes.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the field");
    line.split_whitespace().nth(1).and_then(|it| it.parse::<u64>().ok()).expect("a number") << 10
}

/// Runs a job on an image of that size: the largest thumbnail, then an algorithm.
async fn work([width, height]: [u32; 2], algorithm: &str, parameters: Value) {
    let image = Bytes::from(noise(width, height));
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux");
    let limits = Limits { job: Duration::from_secs(600), ..Limits::default() };
    let engine = ImageEngine::new(&limits, Arc::new(MemoryModels::new(Faults::default())));
    let thumbnail = json!({"width": 4096, "height": 4096, "fit": "fill", "format": "jpeg", "quality": 100});
    let detector = detection::detector(algorithm).expect("registered");
    let runs = [run(&imaging::THUMBNAIL, thumbnail), run(detector.specification(), parameters)];
    let code = match engine.run(image, "5e", &runs).await {
        Ok(worked) => worked.outputs[1].details["count"].to_string(),
        Err(WorkError::Failed(failure)) => failure.code.into_owned(),
        Err(other) => panic!("{other:?}"),
    };
    println!("took: {} MiB {code}", most_memory() >> 20);
}

#[tokio::test]
#[ignore = "what the other starts"]
async fn child() {
    if let Ok(job) = std::env::var(JOB) {
        let (size, algorithm, parameters): ([u32; 2], String, Value) =
            serde_json::from_str(&job).expect("a job");
        work(size, &algorithm, parameters).await;
    }
}

#[test]
#[ignore = "`make worst` runs it, because it takes minutes"]
fn no_job_takes_more_memory_than_its_function_has() {
    let side = std::env::var("WORST_PIXELS").ok().and_then(|pixels| pixels.parse::<u32>().ok());
    let (width, height) = side.map_or((8000, 6250), |pixels| (pixels / 1000, 1000));
    for (algorithm, parameters) in [
        ("nuclei_detection", json!({"sigma": 0.1, "background_radius": 0, "min_area": 0, "threshold": 0})),
        ("blob_detection", json!({"method": "doh", "threshold": 0, "max_blobs": 100_000, "overlap": 0})),
        (
            "poi_detection",
            json!({"method": "harris", "threshold": 0, "max_points": 100_000, "min_distance": 1}),
        ),
        ("barcode_detection", json!({})),
    ] {
        let job = serde_json::to_string(&([width, height], algorithm, parameters)).expect("JSON");
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(JOB, &job)
            .stderr(Stdio::inherit())
            .output()
            .expect("it starts");
        let printed = String::from_utf8_lossy(&child.stdout);
        let took = printed.lines().find_map(|line| line.split_once("took: ")).map(|(_, took)| took);
        let Some(took) = took else { panic!("{job} ended with {}: {printed}", child.status) };
        println!("{algorithm}: {took}");
        let mebibytes = took.split_once(' ').and_then(|(it, _)| it.parse::<u64>().ok()).expect("a number");
        assert!(mebibytes << 20 <= FUNCTION - REST, "{job}: {took}");
    }
}
