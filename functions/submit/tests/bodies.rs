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
}

#[tokio::test]
async fn a_file_is_known_by_its_content_whatever_its_type_is_said_to_be() {
    for content_type in ["application/x-www-form-urlencoded", "text/plain", "video/mp4", ""] {
        let (status, job) = post("/jobs?width=50", content_type, "GIF89a").await;
        assert_eq!(status, StatusCode::ACCEPTED, "{content_type}: {job}");
        for (body, code) in [
            ("hello", "unsupported_content_type"),
            ("", "unsupported_content_type"),
            ("%PDF-1.7", "unsupported_format"),
        ] {
            let (status, problem) = post("/jobs", content_type, body).await;
            assert_eq!((status, &problem["code"]), (StatusCode::UNSUPPORTED_MEDIA_TYPE, &code.into()));
        }
    }
}

#[tokio::test]
async fn an_option_given_twice_is_refused() {
    let form = "--x\r\ncontent-disposition: form-data; name=\"image\"\r\n\r\nGIF89a\r\n\
                --x\r\ncontent-disposition: form-data; name=\"width\"\r\n\r\n7\r\n--x--\r\n";
    for (path, content_type, body) in [
        ("/jobs?width=10&width=20", "image/gif", "GIF89a"),
        ("/jobs?width=10&thumbnail.width=20", "image/gif", "GIF89a"),
        (
            "/jobs?callback_url=https://example.com/a",
            "application/json",
            r#"{"image_url": "https://example.com/a.gif", "callback_url": "https://example.com/b"}"#,
        ),
        (
            "/jobs?width=10",
            "application/json",
            r#"{"image_url": "https://example.com/a.gif", "algorithms": [{"name": "thumbnail", "parameters": {"width": 9}}]}"#,
        ),
        ("/jobs?width=10", "multipart/form-data; boundary=x", form),
        (
            "/uploads?thumbnail.fit=fill&thumbnail.fit=fill",
            "application/json",
            r#"{"content_type": "image/gif", "bytes": 6}"#,
        ),
    ] {
        let (status, problem) = post(path, content_type, body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &"duplicate_parameter".into()));
    }
    let (status, job) = post("/jobs", "multipart/form-data; boundary=x", form).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{job}");
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
