//! The algorithms on the image: decoded once, then each in its turn. The models that they name are read before.

use std::{borrow::Cow, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use detection::{Context, DetectError, Form, Means, Model};
use imaging::{Deadline, ImageError, Source, Thumbnail, ThumbnailOptions};
use jobs::{
    algorithm::Run,
    error::{Chain, Failure, sentence},
    key::ModelKey,
    limits::Limits,
    ports::{Artifact, Engine, Output, ReadModels, WorkError, Worked},
    units,
};
use serde_json::{Map, Value};

use crate::models::{Models, Pending};

/// Runs algorithms on a thread of their own, within the limits.
pub struct ImageEngine {
    limits: imaging::Limits,
    detector_bytes: u64,
    result_bytes: u64,
    time: Duration,
    models: Models,
}

impl ImageEngine {
    /// An engine with these limits, and the models that algorithms may name.
    #[must_use]
    pub fn new(limits: &Limits, models: Arc<dyn ReadModels>) -> Self {
        let models = Models::new(models, limits.model_bytes);
        let Limits { detector_bytes, result_bytes, job, .. } = *limits;
        Self { limits: limits_of_images(limits), detector_bytes, result_bytes, time: job, models }
    }
}

/// The limits of a deployment, as far as they are on images.
fn limits_of_images(limits: &Limits) -> imaging::Limits {
    imaging::Limits {
        max_bytes: limits.upload_bytes,
        max_pixels: limits.pixels,
        max_frames: limits.frames,
        max_decoder_bytes: limits.decoder_bytes,
    }
}

#[async_trait]
impl Engine for ImageEngine {
    async fn run(&self, image: Bytes, sha256: &str, runs: &[Run]) -> Result<Worked, WorkError> {
        let limits = self.limits.clone();
        let means = Means {
            deadline: Deadline::after(self.time),
            memory: self.detector_bytes,
            file_bytes: self.result_bytes,
        };
        let mut tasks = Vec::with_capacity(runs.len());
        for run in runs {
            let model = match model_of(run) {
                Some(key) => Some(self.models.read(key, self.time).await?),
                None => None,
            };
            tasks.push(Task { run: run.clone(), model });
        }
        let (sha256, models) = (sha256.to_owned(), self.models.clone());
        let span = tracing::Span::current();
        let working = move || span.in_scope(|| work(image, &sha256, tasks, &models, &limits, &means));
        let worked = tokio::task::spawn_blocking(working).await.unwrap_or_else(|panic| {
            tracing::error!(error = %Chain(&panic), "an algorithm panicked");
            Err(crashed())
        });
        Ok(worked?)
    }
}

/// A run with the files of the model that it names.
struct Task {
    run: Run,
    model: Option<Pending>,
}

/// The model that a run names.
fn model_of(run: &Run) -> Option<ModelKey> {
    detection::detector(&run.name)?.specification().model(&run.parameters)
}

fn work(
    image: Bytes,
    sha256: &str,
    tasks: Vec<Task>,
    models: &Models,
    limits: &imaging::Limits,
    means: &Means,
) -> Result<Worked, Failure> {
    let deadline = means.deadline;
    let source = Source::open(image.into(), limits, deadline).map_err(|error| image_failure(&error))?;
    let outputs = tasks
        .into_iter()
        .map(|Task { run, model }| {
            if run.name == imaging::THUMBNAIL.name {
                return thumbnail(&source, &run, means);
            }
            let model = model.map(|pending| models.ready(pending, deadline)).transpose();
            let model = model.map_err(|error| detection_failure(&error))?;
            detect(&source, sha256, &run, model.as_ref(), means)
        })
        .collect::<Result<_, _>>()?;
    Ok(Worked {
        content_type: source.format().content_type().into(),
        width: source.width(),
        height: source.height(),
        frames: source.frames_in_file(),
        outputs,
    })
}

fn thumbnail(source: &Source, run: &Run, means: &Means) -> Result<Output, Failure> {
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
    let artifacts: Vec<Artifact> = made.into_all().map(artifact).collect();
    if artifacts.iter().any(|artifact| artifact.body.len() as u64 > means.file_bytes) {
        let most = units::bytes(means.file_bytes);
        return Err(Failure::new(
            "result_too_large",
            format!("The thumbnail has more than {most}: ask for a smaller one, or for another format."),
        ));
    }
    Ok(Output { algorithm: run.name.clone(), artifacts, details })
}

fn artifact(Thumbnail { preset, file }: Thumbnail) -> Artifact {
    let extension = preset.map_or(Cow::Borrowed(file.extension), |preset| {
        Cow::Owned(format!("{}.{}", preset.name(), file.extension))
    });
    Artifact { extension, content_type: file.content_type.into(), body: file.bytes.into() }
}

fn detect(
    source: &Source,
    sha256: &str,
    run: &Run,
    model: Option<&Model>,
    means: &Means,
) -> Result<Output, Failure> {
    let detector = detection::detector(&run.name).ok_or_else(|| {
        Failure::new("unknown_algorithm", "The service no longer has this algorithm: submit the image anew.")
    })?;
    let image = source.image().map_err(|error| image_failure(&error))?;
    let found = detector
        .detect_within(image, &run.parameters, model, means)
        .map_err(|error| detection_failure(&error))?;
    let context = Context { run, sha256, width: image.width(), height: image.height() };
    let artifacts = Form::ALL
        .into_iter()
        .map(|form| {
            let body =
                found.render(form, &context, image, means).map_err(|error| detection_failure(&error))?;
            Ok(Artifact {
                extension: form.extension().into(),
                content_type: form.content_type().into(),
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

/// The failure of a job whose work panicked or took its process down.
#[must_use]
pub fn crashed() -> Failure {
    Failure::new(
        "worker_crashed",
        "The work on the image came upon a fault of the service; report the job's id to whoever runs it.",
    )
}

fn internal_error() -> Failure {
    Failure::new(
        "internal_error",
        "The service failed on this image; report the job's id to whoever runs it.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_alone_have_the_same_limits_as_images_of_jobs() {
        assert_eq!(limits_of_images(&Limits::default()), imaging::Limits::default());
    }

    #[test]
    fn detectors_alone_may_take_what_detectors_of_jobs_may() {
        let Limits { detector_bytes, result_bytes, .. } = Limits::default();
        let alone = Means::by(Deadline::none());
        assert_eq!((alone.memory, alone.file_bytes), (detector_bytes, result_bytes));
    }
}
