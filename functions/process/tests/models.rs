//! The engine with models: they are read when they have changed, refused with a code, and tried again when they cannot
//! be read.
#![allow(clippy::expect_used, clippy::panic)]

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use jobs::{
    algorithm::{Parameters, Run},
    error::{Failure, PortError},
    key::ModelKey,
    limits::Limits,
    ports::{Engine as _, ModelFile, ModelRead, ReadModels, WorkError, Worked},
};
use process::ImageEngine;
use serde_json::{Value, json};
use testing::{
    faults::{Faults, Moment},
    memory::MemoryModels,
};

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/references/onnx");
    std::fs::read(folder.join(name)).expect("the file")
}

fn run(parameters: Value) -> Run {
    let Value::Object(parameters) = parameters else { panic!("an object") };
    let detector = detection::detector("onnx_detection").expect("registered");
    detector.specification().resolve(&Parameters(parameters)).expect("in range")
}

/// An engine, the bucket of its models with the one model `small.onnx`, and a way to make reading fail.
fn engine(limits: &Limits) -> (ImageEngine, MemoryModels, Faults) {
    let faults = Faults::default();
    let models = MemoryModels::new(faults.clone());
    models.put("small.onnx", file("yolov8.onnx"));
    models.put("small.json", file("yolov8.json"));
    (ImageEngine::new(limits, Arc::new(models.clone())), models, faults)
}

async fn work(engine: &ImageEngine, runs: &[Run]) -> Result<Worked, WorkError> {
    engine.run(Bytes::from(file("few.png")), "5e", runs).await
}

fn result_of(worked: &Worked) -> Value {
    serde_json::from_slice(&worked.outputs[0].artifacts[0].body).expect("JSON")
}

async fn failure(engine: &ImageEngine, model: &str) -> Failure {
    match work(engine, &[run(json!({ "model": model }))]).await {
        Err(WorkError::Failed(failure)) => failure,
        other => panic!("a failure, not {other:?}"),
    }
}

#[tokio::test]
async fn a_result_names_the_very_files_and_follows_them() {
    let (engine, models, _) = engine(&Limits::default());
    // Twice in one job, with other parameters, and beside a thumbnail.
    let thumbnail = imaging::THUMBNAIL.resolve(&Parameters::default()).expect("defaults");
    let runs = [
        run(json!({"model": "small.onnx"})),
        run(json!({"model": "small.onnx", "max_detections": 1})),
        thumbnail,
    ];
    let worked = work(&engine, &runs).await.expect("it works");
    let first = result_of(&worked);
    assert_eq!((&first["count"], &worked.outputs[1].details["count"]), (&json!(5), &json!(1)));
    assert_eq!(first["model"]["key"], "small.onnx");
    assert_eq!(first["model"]["sha256"], jobs::submit::sha256_hex(&file("yolov8.onnx")));
    assert_eq!(first["model"]["description_sha256"], jobs::submit::sha256_hex(&file("yolov8.json")));
    assert_eq!(work(&engine, &runs).await.expect("ready"), worked, "the same again from what is ready");

    let mut description: Value = serde_json::from_slice(&file("yolov8.json")).expect("JSON");
    description["classes"] = json!(["box", "ball"]);
    models.put("small.json", description.to_string());
    let changed = result_of(&work(&engine, &runs).await.expect("it works"));
    assert_eq!(changed["detections"][0]["class"], "box");
    assert_ne!(changed["model"]["description_sha256"], first["model"]["description_sha256"]);
    assert_eq!(changed["model"]["sha256"], first["model"]["sha256"]);

    models.put("small.onnx", file("yolov5.onnx"));
    assert_eq!(failure(&engine, "small.onnx").await.code, "model_mismatch");
}

#[tokio::test]
async fn a_model_that_cannot_be_run_fails_with_its_code() {
    let (engine, models, _) = engine(&Limits::default());
    models.put("lonely.onnx", file("yolov8.onnx"));
    models.put("broken.onnx", &b"not a model"[..]);
    models.put("broken.json", file("yolov8.json"));
    models.put("vague.onnx", file("yolov8.onnx"));
    models.put("vague.json", &b"{}"[..]);
    for (model, code, says) in [
        ("missing.onnx", "model_not_found", "missing."),
        ("lonely.onnx", "model_not_found", "lonely.json"),
        ("broken.onnx", "invalid_model", "ONNX"),
        ("vague.onnx", "invalid_model_description", "input"),
    ] {
        let failure = failure(&engine, model).await;
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(says), "{failure}");
    }
    let small = Limits { model_bytes: 1_000, ..Limits::default() };
    let (engine, ..) = self::engine(&small);
    let failure = failure(&engine, "small.onnx").await;
    assert_eq!(failure.code, "model_too_large");
    assert!(failure.message.contains("at most 1,000 bytes"), "{failure}");
}

#[tokio::test]
async fn a_bucket_that_fails_is_no_fault_of_the_job() {
    let (engine, _, faults) = engine(&Limits::default());
    let runs = [run(json!({"model": "small.onnx"}))];
    for call in 0..2 {
        faults.fail_after(call, Moment::Before);
        let stopped = work(&engine, &runs).await.expect_err("a planned failure");
        assert!(matches!(stopped, WorkError::Port(error) if error.retryable), "call {call}");
    }
    work(&engine, &runs).await.expect("it works again");
}

#[tokio::test]
async fn the_time_limit_covers_the_model() {
    let limits = Limits { job: std::time::Duration::ZERO, ..Limits::default() };
    let (engine, ..) = engine(&limits);
    match work(&engine, &[run(json!({"model": "small.onnx"}))]).await {
        Err(WorkError::Failed(failure)) => assert_eq!(failure.code, "time_limit"),
        Err(WorkError::AttemptFailed(failure)) => assert_eq!(failure.code, "model_unreadable"),
        other => panic!("no time is left, yet {other:?}"),
    }
}

/// A bucket from which nothing can be read: it refuses for good, or does not answer.
enum Closed {
    Denied,
    Silent,
}

#[async_trait]
impl ReadModels for Closed {
    async fn read_model(
        &self,
        _: &ModelKey,
        _: ModelFile,
        _: Option<&str>,
        _: u64,
    ) -> Result<ModelRead, PortError> {
        match self {
            Self::Denied => Err(PortError {
                operation: "reading a model",
                retryable: false,
                cause: "access denied to arn:aws:kms".into(),
            }),
            Self::Silent => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn a_model_that_must_not_be_read_fails_the_job_without_saying_more() {
    let engine = ImageEngine::new(&Limits::default(), Arc::new(Closed::Denied));
    let failure = failure(&engine, "small.onnx").await;
    assert_eq!(failure.code, "model_unreadable");
    assert!(failure.message.contains("small.onnx") && !failure.message.contains("kms"), "{failure}");
}

#[tokio::test]
async fn a_model_that_does_not_come_costs_an_attempt() {
    let limits = Limits { job: std::time::Duration::from_millis(20), ..Limits::default() };
    let engine = ImageEngine::new(&limits, Arc::new(Closed::Silent));
    match work(&engine, &[run(json!({"model": "small.onnx"}))]).await {
        Err(WorkError::AttemptFailed(failure)) => assert_eq!(failure.code, "model_unreadable"),
        other => panic!("nothing was read, yet {other:?}"),
    }
}

/// How many files are read for a job with that model.
async fn read_for(engine: &ImageEngine, models: &MemoryModels, model: &str) -> usize {
    let before = models.bodies_read();
    work(engine, &[run(json!({ "model": model }))]).await.expect("it works");
    models.bodies_read() - before
}

#[tokio::test]
async fn the_four_models_used_last_stay_ready() {
    let (engine, models, _) = engine(&Limits::default());
    for name in ["a", "b", "c", "d", "e"] {
        models.put(&format!("{name}.onnx"), file("yolov8.onnx"));
        models.put(&format!("{name}.json"), file("yolov8.json"));
    }
    for name in ["a", "b", "c", "d"] {
        assert_eq!(read_for(&engine, &models, &format!("{name}.onnx")).await, 2, "{name} is new");
    }
    assert_eq!(read_for(&engine, &models, "a.onnx").await, 0, "nothing is read of what is ready");
    assert_eq!(read_for(&engine, &models, "e.onnx").await, 2, "a fifth");
    assert_eq!(read_for(&engine, &models, "a.onnx").await, 0, "used later than b");
    assert_eq!(read_for(&engine, &models, "b.onnx").await, 2, "b was used longest ago");
}

#[tokio::test]
async fn models_that_are_ready_have_no_more_bytes_than_the_largest_may_have() {
    let bytes = file("yolov8.onnx").len() as u64;
    let (engine, models, _) = engine(&Limits { model_bytes: 2 * bytes - 1, ..Limits::default() });
    models.put("other.onnx", file("yolov8.onnx"));
    models.put("other.json", file("yolov8.json"));
    for name in ["small.onnx", "other.onnx", "small.onnx"] {
        assert_eq!(read_for(&engine, &models, name).await, 2, "two do not fit");
        assert_eq!(read_for(&engine, &models, name).await, 0, "one does");
    }
}
