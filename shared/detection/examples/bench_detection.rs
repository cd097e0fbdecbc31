//! Keeps the detectors waiting for `infra/bench`, which measures them from outside. It reads one request a line and
//! writes one answer a line; both are described in `infra/bench/detection_peer.py`.

use std::{fs, io, process::ExitCode};

use algorithm::Parameters;
use detection::detector;
use imaging::{Deadline, Image, Limits, Source};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let mut image = None;
    println!("{{}}");
    for line in io::stdin().lines() {
        let answer = line
            .map_err(Failure::from)
            .and_then(|line| answer(&line, &mut image))
            .unwrap_or_else(|error| json!({"error": error.to_string()}));
        println!("{answer}");
    }
    ExitCode::SUCCESS
}

fn answer(line: &str, image: &mut Option<Image>) -> Result<Value, Failure> {
    let request: Value = serde_json::from_str(line)?;
    if let Some(file) = request["load"].as_str() {
        let source = Source::open(fs::read(file)?, &Limits::default(), Deadline::none())?;
        *image = Some(source.image()?.clone());
        return Ok(json!({}));
    }
    let image = image.as_ref().ok_or("no image was loaded")?;
    let name = request["run"].as_str().ok_or("no algorithm was named")?;
    let detector = detector(name).ok_or("there is no such algorithm")?;
    let parameters = Parameters(request["given"].as_object().cloned().unwrap_or_default());
    let memory = request["memory"] == true;
    let start = if memory { restart_peak()? } else { 0 };

    let mut count = 0;
    for _ in 0..request["runs"].as_u64().unwrap_or(1) {
        count = detector.detect(image, &parameters, None, Deadline::none())?.len();
    }

    let mut answer = json!({"count": count});
    if memory {
        answer["peak"] = json!(resident("VmHWM")?.saturating_sub(start));
    }
    Ok(answer)
}

/// Resets the peak of the memory in use, and returns the memory that is in use now.
fn restart_peak() -> Result<u64, Failure> {
    fs::write("/proc/self/clear_refs", "5")?;
    resident("VmRSS")
}

/// A field of this process's memory status, in bytes.
fn resident(field: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(field)).ok_or("no such field")?;
    let kilobytes: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kilobytes * 1024)
}
