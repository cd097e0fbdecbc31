//! Thumbnails and results as caches and clients see them.
#![allow(clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use http_api::Links;
use jobs::{
    access::{Access, Gate},
    browse::Browser,
    job::Job,
    key::ObjectKey,
    ports::{SystemClock, WriteJobs as _, WriteObjects as _},
    quota::Meter,
};
use status::App;
use testing::{
    build,
    faults::{Faults, Moment},
    memory::{ManualClock, MemoryJobs, MemoryObjects},
};
use time::OffsetDateTime;

struct World {
    app: App,
    gate: Gate,
    job: Job,
    faults: Faults,
}

impl World {
    /// A succeeded job whose thumbnail has so many bytes.
    async fn with_thumbnail(bytes: usize) -> Self {
        Self::with_thumbnails(&[("png", "image/png", bytes)]).await
    }

    /// A succeeded job with thumbnails of these extensions, types and sizes.
    async fn with_thumbnails(files: &[(&str, &str, usize)]) -> Self {
        let faults = Faults::default();
        let (jobs, objects) = (MemoryJobs::new(faults.clone()), MemoryObjects::default());
        let forms: Vec<_> = files.iter().map(|(extension, ..)| *extension).collect();
        let mut job = build::succeeded_with_thumbnails(OffsetDateTime::now_utc(), &forms);
        jobs.write(&mut job).await.expect("written");
        for &(extension, content_type, bytes) in files {
            let (algorithm, extension) = ("thumbnail".to_owned(), extension.to_owned());
            let key = ObjectKey::Result { job: job.id(), attempt: Some(1), algorithm, extension };
            objects.put(&key, Bytes::from(vec![7; bytes]), content_type).await.expect("stored");
        }
        let clock = Arc::new(ManualClock::default());
        let gate = Gate::new(Access::Open, Arc::new(jobs.clone()), clock.clone());
        let app = App {
            meter: Meter { usage: Arc::new(jobs.clone()), clock },
            browser: Browser {
                jobs: Arc::new(jobs.clone()),
                lists: Arc::new(jobs.clone()),
                clock: Arc::new(SystemClock),
            },
            objects: Arc::new(objects),
            probes: vec![Arc::new(jobs)],
            catalogue: Arc::new([]),
        };
        Self { app, gate, job, faults }
    }

    async fn get(&self, route: &str, if_none_match: Option<&str>) -> Response {
        self.ask(Method::GET, route, if_none_match).await
    }

    async fn ask(&self, method: Method, route: &str, if_none_match: Option<&str>) -> Response {
        let mut request =
            Request::builder().method(method).uri(route.replace("{id}", &self.job.id().to_string()));
        if let Some(etags) = if_none_match {
            request = request.header(header::IF_NONE_MATCH, etags);
        }
        let request = request.body(Body::empty()).expect("a request");
        http_api::service::answer(
            status::router(self.app.clone(), self.gate.clone()),
            request,
            Links::new("/v1"),
            "r-1",
            Duration::MAX,
        )
        .await
    }
}

#[tokio::test]
async fn the_same_content_is_not_sent_twice() {
    let world = World::with_thumbnail(10).await;
    let first = world.get("/jobs/{id}/thumbnail", None).await;
    assert_eq!(first.status(), StatusCode::OK);
    let etag = first.headers()[header::ETAG].to_str().expect("text").to_owned();
    for etags in [etag.clone(), format!("\"other\", {etag}"), format!("W/{etag}"), "*".to_owned()] {
        let again = world.get("/jobs/{id}/thumbnail", Some(&etags)).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{etags}");
        assert_eq!(again.headers()[header::ETAG], etag.as_str());
    }
    let other = world.get("/jobs/{id}/thumbnail", Some("\"other\"")).await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn each_preset_has_its_own_thumbnail() {
    let files = [("slack.gif", "image/gif", 10), ("discord.png", "image/png", 20)];
    let world = World::with_thumbnails(&files).await;
    let mut etags = Vec::new();
    for (query, content_type, bytes) in
        [("", "image/gif", 10), ("?preset=slack", "image/gif", 10), ("?preset=discord", "image/png", 20)]
    {
        let response = world.get(&format!("/jobs/{{id}}/thumbnail{query}"), None).await;
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], content_type);
        etags.push(response.headers()[header::ETAG].clone());
        assert_eq!(to_bytes(response.into_body(), 100).await.expect("a body").len(), bytes);
    }
    assert_ne!(etags[1], etags[2]);
    let etag = etags[2].to_str().expect("text");
    let again = world.get("/jobs/{id}/thumbnail?preset=discord", Some(etag)).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);

    for preset in ["teams", "nonsense", "", "slack.gif", "../source"] {
        let response = world.get(&format!("/jobs/{{id}}/thumbnail?preset={preset}"), None).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{preset}");
        let body = to_bytes(response.into_body(), 10_000).await.expect("a body");
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(text.contains("result_not_found") && text.contains("presets"), "{text}");
    }
}

#[tokio::test]
async fn thumbnails_of_presets_are_listed_one_by_one() {
    let files = [("slack.gif", "image/gif", 10), ("discord.png", "image/png", 20)];
    let world = World::with_thumbnails(&files).await;
    let response = world.get("/thumbnails", None).await;
    let body = to_bytes(response.into_body(), 10_000).await.expect("a body");
    let page: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    for (index, preset) in ["slack", "discord"].into_iter().enumerate() {
        let listed = &page["thumbnails"][index];
        assert_eq!(listed["preset"], preset, "{page}");
        let url = format!("/v1/jobs/{}/thumbnail?preset={preset}", world.job.id());
        assert_eq!((&listed["url"], &listed["width"]), (&url.into(), &100.into()));
    }
    assert_eq!(page["thumbnails"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn what_is_larger_than_an_answer_can_be_is_redirected_to() {
    let world = World::with_thumbnail(4_500_001).await;
    let response = world.get("/jobs/{id}/thumbnail", None).await;
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    let location = response.headers()[header::LOCATION].to_str().expect("text");
    assert!(location.starts_with("https://") && location.contains("results/1/thumbnail.png"), "{location}");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn every_route_answers_head_as_get_without_the_content() {
    let world = World::with_thumbnail(10).await;
    for route in [
        "/jobs",
        "/jobs?limit=0",
        "/jobs/{id}",
        "/jobs/fake",
        "/jobs/{id}/thumbnail",
        "/jobs/{id}/thumbnail?preset=teams",
        "/jobs/{id}/results/thumbnail",
        "/jobs/{id}/results/nonsense",
        "/thumbnails",
        "/algorithms",
        "/health",
        "/health?deep=1",
        "/status/{id}",
        "/status/fake",
        "/result/{id}",
    ] {
        let whole = world.get(route, None).await;
        let head = world.ask(Method::HEAD, route, None).await;
        assert_eq!(head.status(), whole.status(), "{route}");
        let (headers, mut expected) = (head.headers().clone(), whole.headers().clone());
        let body = to_bytes(whole.into_body(), 100_000).await.expect("a body");
        expected.insert(header::CONTENT_LENGTH, body.len().into());
        assert_eq!(headers, expected, "{route}");
        assert!(to_bytes(head.into_body(), 100_000).await.expect("a body").is_empty(), "{route}");
    }
    let etag = world.get("/jobs/{id}/thumbnail", None).await.headers()[header::ETAG].clone();
    let etag = etag.to_str().expect("text");
    let same = world.ask(Method::HEAD, "/jobs/{id}/thumbnail", Some(etag)).await;
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
    assert!(!same.headers().contains_key(header::CONTENT_LENGTH));
}

#[tokio::test]
async fn head_is_redirected_to_an_address_that_takes_head() {
    let world = World::with_thumbnail(4_500_001).await;
    let locations = [Method::GET, Method::HEAD].map(|method| world.ask(method, "/jobs/{id}/thumbnail", None));
    let [get, head] = locations;
    let (get, head) = (get.await, head.await);
    assert_eq!(head.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_ne!(head.headers()[header::LOCATION], get.headers()[header::LOCATION]);
    let location = head.headers()[header::LOCATION].to_str().expect("text");
    assert!(location.ends_with("method=HEAD"), "{location}");
}

#[tokio::test]
async fn a_store_that_fails_is_503_and_the_client_learns_nothing_of_it() {
    let world = World::with_thumbnail(10).await;
    for route in ["/jobs/{id}", "/jobs", "/thumbnails"] {
        world.faults.fail_after(0, Moment::Before);
        let response = world.get(route, None).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        let body = to_bytes(response.into_body(), 10_000).await.expect("a body");
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(text.contains("temporarily_unavailable") && !text.contains("planned"), "{text}");
    }
    world.faults.fail_after(0, Moment::Before);
    let health = world.get("/health?deep=1", None).await;
    assert_eq!(health.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = to_bytes(health.into_body(), 10_000).await.expect("a body");
    assert!(String::from_utf8_lossy(&body).contains(r#""jobs_table":"unavailable""#));
}
