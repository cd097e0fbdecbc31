//! What the worker does to one file, for looking and for measuring:
//!
//! ```text
//! cargo run --release -p imaging --example thumbnail -- IN OUT
//!     [--width W] [--height H] [--fit cover|contain|fill|inside] [--format png|jpeg|webp] [--quality Q] [--repeat N]
//! ```
//!
//! Prints the result as JSON; with `--repeat`, the median milliseconds of N runs from bytes to bytes. Where the image
//! or an option is refused it prints the error as JSON and exits with 2.

use std::{env, fs, process::ExitCode, time::Instant};

use imaging::{Deadline, Encoded, ImageError, Limits, Source, THUMBNAIL, ThumbnailOptions};
use jobs::algorithm::Parameters;
use serde_json::{Map, json};

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

fn run(mut arguments: impl Iterator<Item = String>) -> Result<serde_json::Value, Refused> {
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

    let mut milliseconds = Vec::new();
    let mut last = None;
    for _ in 0..repeat.max(1) {
        let bytes = bytes.clone();
        let start = Instant::now();
        last = Some(Source::open(bytes, &Limits::default(), Deadline::none())?.thumbnail(&options)?);
        milliseconds.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    let Some(Encoded { bytes, width, height, content_type, .. }) = last else {
        return Err(usage("nothing to do"));
    };
    fs::write(output, &bytes).map_err(|error| usage(format!("{output}: {error}")))?;

    let mut report =
        json!({"width": width, "height": height, "bytes": bytes.len(), "content_type": content_type});
    if repeat > 1 {
        milliseconds.sort_by(f64::total_cmp);
        report["median_ms"] = json!((milliseconds[milliseconds.len() / 2] * 100.0).round() / 100.0);
    }
    Ok(report)
}
