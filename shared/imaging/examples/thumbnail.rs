//! Runs the worker's steps on one file, for inspection and measurement:
//!
//! ```text
//! cargo run --release -p imaging --example thumbnail -- IN OUT
//!     [--width W] [--height H] [--fit cover|contain|fill|inside]
//!     [--gravity centre|north|northeast|east|southeast|south|southwest|west|northwest|smart]
//!     [--background transparent|RRGGBB|RRGGBBAA] [--enlarge true|false]
//!     [--format auto|png|jpeg|webp|gif] [--quality Q] [--preset slack,discord,whatsapp,…] [--repeat N]
//! ```
//!
//! It writes the thumbnail to OUT; with several presets, each to a file of its own, whose name is OUT with the preset's
//! name and the format appended: `OUT.slack.gif`. It prints the result as JSON, the same that a job shows of it, with
//! the `file` of each of several presets. With `--repeat`, it adds the medians of N runs from bytes to bytes:
//! `median_ms` of elapsed time and, if the system provides it, `cpu_ms` of this thread. If the image or an option is
//! refused, it prints the error as JSON and exits with 2.

use std::{
    env, fs,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use algorithm::Parameters;
use imaging::{Deadline, ImageError, Limits, Source, THUMBNAIL, Thumbnail, ThumbnailOptions, Thumbnails};
use serde_json::{Map, Value, json};

struct Refused {
    code: &'static str,
    message: String,
}

impl From<ImageError> for Refused {
    fn from(error: ImageError) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

fn usage(message: impl Into<String>) -> Refused {
    Refused { code: "usage", message: message.into() }
}

fn main() -> ExitCode {
    match run(env::args().skip(1)) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(Refused { code, message }) => {
            println!("{}", json!({"error": {"code": code, "message": message}}));
            ExitCode::from(2)
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<Value, Refused> {
    let (mut files, mut given, mut repeat) = (Vec::new(), Map::new(), 1_usize);
    while let Some(argument) = arguments.next() {
        let Some(name) = argument.strip_prefix("--") else {
            files.push(argument);
            continue;
        };
        let value = arguments.next().ok_or_else(|| usage(format!("--{name} needs a value")))?;
        if name == "repeat" {
            repeat = value.parse().map_err(|_| usage("--repeat needs a whole number"))?;
        } else if let Some(parameter) = THUMBNAIL.parameters.iter().find(|parameter| parameter.name == name) {
            given.insert(name.to_owned(), parameter.kind.read_text(&value));
        } else {
            return Err(usage(format!("there is no option --{name}")));
        }
    }
    let [input, output] = files.as_slice() else { return Err(usage("give an input and an output file")) };
    let resolved = THUMBNAIL.resolve(&Parameters(given));
    let run = resolved.map_err(|error| Refused { code: "invalid_parameter", message: error.to_string() })?;
    let options: ThumbnailOptions = run.parameters.parse().map_err(|error| usage(error.to_string()))?;
    let bytes = fs::read(input).map_err(|error| usage(format!("{input}: {error}")))?;

    let (mut clock, mut cpu) = (Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..repeat.max(1) {
        let bytes = bytes.clone();
        let (start, cpu_before) = (Instant::now(), cpu_time());
        let source = Source::open(bytes, &Limits::default(), Deadline::none())?;
        last = Some(source.thumbnails(&options, &detection::interest)?);
        clock.push(start.elapsed());
        cpu.extend(cpu_time().zip(cpu_before).map(|(after, before)| after.saturating_sub(before)));
    }
    let Some(made) = last else { return Err(usage("nothing to do")) };
    let mut report = write(&made, output)?;
    if repeat > 1 {
        report["median_ms"] = median_ms(clock);
        if !cpu.is_empty() {
            report["cpu_ms"] = median_ms(cpu);
        }
    }
    Ok(report)
}

/// Writes the thumbnails to their files, and returns the report.
fn write(made: &Thumbnails, output: &str) -> Result<Value, Refused> {
    let mut report = serde_json::to_value(made.summary()).map_err(|error| usage(error.to_string()))?;
    for Thumbnail { preset, file } in made.iter() {
        let mut name = output.to_owned();
        if let Some(preset) = preset
            && !made.others.is_empty()
        {
            name = format!("{output}.{}.{}", preset.name(), file.extension);
            report["presets"][preset.name()]["file"] = json!(name);
        }
        fs::write(&name, &file.bytes).map_err(|error| usage(format!("{name}: {error}")))?;
    }
    Ok(report)
}

/// The processor time of this thread.
fn cpu_time() -> Option<Duration> {
    // The kernel updates the value when the thread is switched, so switch now.
    thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn median_ms(mut times: Vec<Duration>) -> Value {
    times.sort();
    let milliseconds = times[times.len() / 2].as_secs_f64() * 1000.0;
    json!((milliseconds * 1000.0).round() / 1000.0)
}
