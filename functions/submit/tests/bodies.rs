//! Requests as they arrive: options in the query count with every kind of body.
#![allow(clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use http_api::Links;
use jobs::{limits::Limits, submit::Submitter};
use serde_json::Value;
use testing::memory::{ManualClock, MemoryJobs, MemoryObjects, MemoryQueue, MemoryUrlCheck};

async fn post(path: &str, content_type: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    let (jobs, objects) = (Arc::new(MemoryJobs::default()), Arc::new(MemoryObjects::default()));
    let router = submit::router(Submitter {
        jobs: jobs.clone(),
        writer: jobs,
        objects: objects.clone(),
        presigner: objects,
        queue: Arc::new(MemoryQueue::default()),
        urls: Arc::new(MemoryUrlCheck),
        clock: Arc::new(ManualClock::default()),
        catalogue: detection::catalogue().into(),
        identify: submit::identify,
        limits: Limits::default(),
    });
    let request = Request::post(path).header(header::CONTENT_TYPE, content_type);
    let request = request.body(body.into()).expect("a request");
    let response = http_api::service::answer(router, request, Links::new("/v1"), "r-1").await;
    let status = response.status();
    let body = to_bytes(response.into_body(), 100_000).await.expect("a body");
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn options_in_the_query_count_with_every_body() {
    let form =
        "--x\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a\"\r\n\r\nGIF89a\r\n--x--\r\n";
    for (content_type, body) in [
        ("IMAGE/GIF; charset=x", "GIF89a"),
        ("application/octet-stream", "GIF89a"),
        ("application/json; charset=utf-8", r#"{"image_url": "https://example.com/a.gif"}"#),
        ("multipart/form-data; boundary=x", form),
    ] {
        let (status, job) = post("/jobs?width=50&thumbnail.fit=fill", content_type, body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{content_type}: {job}");
        let parameters = &job["algorithms"][0]["parameters"];
        assert_eq!(
            (&parameters["width"], &parameters["fit"]),
            (&50.into(), &"fill".into()),
            "{content_type}"
        );
        let (status, problem) = post("/jobs?width=0", content_type, body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &"invalid_parameter".into()));
    }
    let (status, problem) = post("/jobs", "text/plain", "GIF89a").await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(problem["code"], "unsupported_content_type");
}

#[tokio::test]
async fn options_in_the_query_count_for_uploads_too() {
    let body = r#"{"content_type": "image/gif", "bytes": 6}"#;
    let (status, granted) =
        post("/uploads?algorithms=poi_detection&width=64", "application/json", body).await;
    assert_eq!(status, StatusCode::CREATED, "{granted}");
    let names: Vec<_> =
        granted["algorithms"].as_array().expect("a list").iter().map(|a| &a["name"]).collect();
    assert_eq!(names, ["poi_detection", "thumbnail"]);
    assert_eq!(granted["algorithms"][1]["parameters"]["width"], 64);
    let (status, problem) = post("/uploads?algorithms=nonsense", "application/json", body).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &"unknown_algorithm".into()));
}
