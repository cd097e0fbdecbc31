//! A process for `infra/bench`, which measures it from outside: it reads one request per line and answers each with a
//! line. `infra/bench/peer.py` describes requests and answers.

use std::{fs, io, process::ExitCode};

use algorithm::Parameters;
use imaging::{Deadline, Encoded, Limits, Source, THUMBNAIL, ThumbnailOptions};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let mut copies = Vec::new();
    println!("{{}}");
    for line in io::stdin().lines() {
        let answer = line
            .map_err(Failure::from)
            .and_then(|line| answer(&line, &mut copies))
            .unwrap_or_else(|error| json!({"error": error.to_string()}));
        println!("{answer}");
    }
    ExitCode::SUCCESS
}

/// Answers a request. `copies` holds one copy of the file for each use, because opening a source consumes its bytes.
fn answer(line: &str, copies: &mut Vec<Vec<u8>>) -> Result<Value, Failure> {
    let request: Value = serde_json::from_str(line)?;
    if let Some(file) = request["load"].as_str() {
        *copies = vec![fs::read(file)?; request["copies"].as_u64().unwrap_or(1) as usize];
        return Ok(json!({}));
    }
    let given = request["options"].as_object().cloned().unwrap_or_default();
    let options: ThumbnailOptions = THUMBNAIL.resolve(&Parameters(given))?.parameters.parse()?;
    let memory = request["memory"] == true;
    let start = if memory { restart_peak()? } else { 0 };

    let mut made = None;
    for _ in 0..request["runs"].as_u64().unwrap_or(1) {
        let bytes = copies.pop().ok_or("no copy of the file is left")?;
        made = Some(Source::open(bytes, &Limits::default(), Deadline::none())?.thumbnail(&options)?);
    }
    let Some(Encoded { bytes, .. }) = made else { return Err("nothing to do".into()) };

    let mut answer = json!({"bytes": bytes.len()});
    if memory {
        answer["peak"] = json!(resident("VmHWM")?.saturating_sub(start));
    }
    if let Some(out) = request["out"].as_str() {
        fs::write(out, &bytes)?;
    }
    Ok(answer)
}

/// Resets the peak of resident memory, and returns the current value.
fn restart_peak() -> Result<u64, Failure> {
    fs::write("/proc/self/clear_refs", "5")?;
    resident("VmRSS")
}

/// A field of this process's status, in bytes.
fn resident(field: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(field)).ok_or("no such field")?;
    let kilobytes: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kilobytes * 1024)
}
