//! The algorithms on the image: decoded once, then each in its turn.

use std::{borrow::Cow, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use detection::{Context, DetectError, Form};
use imaging::{Deadline, ImageError, Source, Thumbnail, ThumbnailOptions};
use jobs::{
    algorithm::Run,
    error::{Chain, Failure, sentence},
    limits::Limits,
    ports::{Artifact, Engine, Output, Worked},
};
use serde_json::{Map, Value};

/// Runs algorithms on a thread of their own, within the limits.
pub struct ImageEngine {
    limits: imaging::Limits,
    time: Duration,
}

impl ImageEngine {
    /// An engine with these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let time = limits.job;
        let limits = imaging::Limits {
            max_bytes: limits.upload_bytes,
            max_pixels: limits.pixels,
            max_frames: limits.frames,
            max_decoder_bytes: limits.decoder_bytes,
        };
        Self { limits, time }
    }
}

#[async_trait]
impl Engine for ImageEngine {
    async fn run(&self, image: Bytes, sha256: &str, runs: &[Run]) -> Result<Worked, Failure> {
        let (limits, deadline) = (self.limits.clone(), Deadline::after(self.time));
        let (sha256, runs) = (sha256.to_owned(), runs.to_vec());
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || span.in_scope(|| work(image, &sha256, &runs, &limits, deadline)))
            .await
            .unwrap_or_else(|panic| {
                tracing::error!(error = %Chain(&panic), "an algorithm panicked");
                Err(internal_error())
            })
    }
}

fn work(
    image: Bytes,
    sha256: &str,
    runs: &[Run],
    limits: &imaging::Limits,
    deadline: Deadline,
) -> Result<Worked, Failure> {
    let source = Source::open(image.into(), limits, deadline).map_err(|error| image_failure(&error))?;
    let outputs = runs
        .iter()
        .map(|run| {
            if run.name == imaging::THUMBNAIL.name {
                thumbnail(&source, run)
            } else {
                detect(&source, sha256, run, deadline)
            }
        })
        .collect::<Result<_, _>>()?;
    Ok(Worked {
        content_type: source.format().content_type(),
        width: source.width(),
        height: source.height(),
        outputs,
    })
}

fn thumbnail(source: &Source, run: &Run) -> Result<Output, Failure> {
    let options: ThumbnailOptions = run.parameters.parse().map_err(|error| {
        tracing::error!(error = %Chain(&error), "stored parameters do not parse");
        internal_error()
    })?;
    let made = source.thumbnails(&options, &detection::interest).map_err(|error| image_failure(&error))?;
    let details = match serde_json::to_value(made.summary()) {
        Ok(Value::Object(details)) => details,
        other => {
            tracing::error!(?other, "a summary is no JSON object");
            return Err(internal_error());
        }
    };
    let artifacts = made.into_all().map(artifact).collect();
    Ok(Output { algorithm: run.name.clone(), artifacts, details })
}

fn artifact(Thumbnail { preset, file }: Thumbnail) -> Artifact {
    let extension = preset.map_or(Cow::Borrowed(file.extension), |preset| {
        Cow::Owned(format!("{}.{}", preset.name(), file.extension))
    });
    Artifact { extension, content_type: file.content_type, body: file.bytes.into() }
}

fn detect(source: &Source, sha256: &str, run: &Run, deadline: Deadline) -> Result<Output, Failure> {
    let detector = detection::detector(&run.name).ok_or_else(|| {
        Failure::new("unknown_algorithm", "The service no longer has this algorithm: submit the image anew.")
    })?;
    let image = source.image().map_err(|error| image_failure(&error))?;
    let found =
        detector.detect(image, &run.parameters, deadline).map_err(|error| detection_failure(&error))?;
    let context = Context { run, sha256, width: image.width(), height: image.height() };
    let artifacts = Form::ALL
        .into_iter()
        .map(|form| {
            let body = found.render(form, &context, image).map_err(|error| detection_failure(&error))?;
            Ok(Artifact {
                extension: form.extension().into(),
                content_type: form.content_type(),
                body: body.into(),
            })
        })
        .collect::<Result<_, Failure>>()?;
    let details = Map::from_iter([("count".to_owned(), Value::from(found.len()))]);
    Ok(Output { algorithm: run.name.clone(), artifacts, details })
}

fn image_failure(error: &ImageError) -> Failure {
    tracing::info!(error = %Chain(&error), "the image was refused");
    Failure::new(error.code(), sentence(error))
}

fn detection_failure(error: &DetectError) -> Failure {
    tracing::info!(error = %Chain(&error), "the detection was refused");
    Failure::new(error.code(), sentence(error))
}

fn internal_error() -> Failure {
    Failure::new(
        "internal_error",
        "The service failed on this image; report the job's id to whoever runs it.",
    )
}
