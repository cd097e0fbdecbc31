//! Runs one detector on one file, as the worker does:
//!
//! `cargo run --release -p detection --example detect -- IN --algorithm NAME [--parameters JSON] [--models FOLDER]
//! [--out PREFIX] [--repeat N]`
//!
//! Prints the result JSON; with `--out` writes PREFIX.json, .geojson, .csv and .png; with `--repeat` prints the median
//! milliseconds of N detections (without decoding, and without reading a model) on stderr. FOLDER, the current one if
//! none is named, stands for the bucket of models. What is refused prints `{"code", "message"}` and ends
//! with status 2.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use algorithm::{ModelKey, Parameters};
use detection::{Context, Form, Means, Model, ModelSource, catalogue, detector};
use imaging::{Deadline, Limits, Source};
use serde_json::json;
use sha2::{Digest, Sha256};

/// A refusal: a stable code and a sentence.
struct Refusal {
    code: &'static str,
    message: String,
}

fn refuse(code: &'static str, message: impl Display) -> Refusal {
    Refusal { code, message: message.to_string() }
}

struct Arguments {
    input: String,
    algorithm: String,
    parameters: Parameters,
    models: PathBuf,
    out: Option<String>,
    repeat: usize,
}

impl Arguments {
    fn read(mut given: impl Iterator<Item = String>) -> Result<Self, Refusal> {
        const USAGE: &str = "usage: detect IN --algorithm NAME [--parameters JSON] [--models FOLDER] [--out PREFIX] [--repeat N]";
        let (mut input, mut algorithm, mut out) = (None, None, None);
        let (mut parameters, mut models, mut repeat) = (Parameters::default(), PathBuf::from("."), 0);
        while let Some(argument) = given.next() {
            if !argument.starts_with("--") {
                input = Some(argument);
                continue;
            }
            let value = given.next().ok_or_else(|| refuse("usage", USAGE))?;
            match argument.as_str() {
                "--algorithm" => algorithm = Some(value),
                "--parameters" => {
                    parameters = serde_json::from_str(&value).map_err(|e| {
                        refuse("invalid_json", format!("--parameters must be a JSON object: {e}"))
                    })?;
                }
                "--models" => models = value.into(),
                "--out" => out = Some(value),
                "--repeat" => repeat = value.parse().map_err(|_| refuse("usage", USAGE))?,
                _ => return Err(refuse("usage", USAGE)),
            }
        }
        let (Some(input), Some(algorithm)) = (input, algorithm) else { return Err(refuse("usage", USAGE)) };
        Ok(Self { input, algorithm, parameters, models, out, repeat })
    }
}

fn file_error(path: &Path, error: &std::io::Error) -> Refusal {
    refuse("file", format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    std::fs::read(path).map_err(|error| file_error(path, &error))
}

fn sha256_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Loads the model with that key from the folder.
fn load(folder: &Path, key: ModelKey) -> Result<Model, Refusal> {
    let (model, description) = (read(&folder.join(key.as_str()))?, read(&folder.join(key.description()))?);
    let source = ModelSource { key, sha256: sha256_of(&model), description_sha256: sha256_of(&description) };
    onnx::load(source, &model, &description, Deadline::none()).map_err(|error| refuse(error.code(), &error))
}

fn run(arguments: &Arguments) -> Result<(), Refusal> {
    let Arguments { input, algorithm, parameters, models, out, repeat } = arguments;
    let detector = detector(algorithm).ok_or_else(|| {
        let known: Vec<_> = catalogue().iter().skip(1).map(|s| s.name).collect();
        refuse(
            "unknown_algorithm",
            format!("there is no detector `{algorithm}`; there are {}", known.join(", ")),
        )
    })?;
    let refuse_detection = |error: detection::DetectError| refuse(error.code(), &error);
    let run = detector.specification().resolve(parameters).map_err(|error| refuse_detection(error.into()))?;

    let key = detector.specification().model(&run.parameters);
    let model = key.map(|key| load(models, key)).transpose()?;
    let bytes = read(Path::new(input))?;
    let sha256 = sha256_of(&bytes);
    let deadline = Deadline::none();
    let refuse_image = |error: imaging::ImageError| refuse(error.code(), &error);
    let source = Source::open(bytes, &Limits::default(), deadline).map_err(refuse_image)?;
    let image = source.image().map_err(refuse_image)?;

    let detect =
        || detector.detect(image, &run.parameters, model.as_ref(), deadline).map_err(refuse_detection);
    let findings = detect()?;
    let context = Context { run: &run, sha256: &sha256, width: image.width(), height: image.height() };
    let means = Means::by(deadline);
    let render = |form| findings.render(form, &context, image, &means).map_err(refuse_detection);
    let _ = std::io::stdout().write_all(&render(Form::Json)?);
    if let Some(prefix) = out {
        for form in Form::ALL {
            let path = format!("{prefix}.{}", form.extension());
            let content = render(form)?;
            std::fs::write(&path, content).map_err(|error| file_error(Path::new(&path), &error))?;
        }
    }
    if *repeat > 0 {
        let mut times = Vec::with_capacity(*repeat);
        for _ in 0..*repeat {
            let start = Instant::now();
            detect()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        eprintln!("{}", json!({"repeat": repeat, "median_ms": (times[times.len() / 2] * 1e3).round() / 1e3}));
    }
    Ok(())
}

fn main() -> ExitCode {
    match Arguments::read(std::env::args().skip(1)).and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refusal { code, message }) => {
            println!("{}", json!({"code": code, "message": message}));
            ExitCode::from(2)
        }
    }
}
