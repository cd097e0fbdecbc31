//! Requests as they arrive: options in the query count with every kind of body.
#![allow(clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use http_api::Links;
use jobs::{
    access::{Access, Gate, Key, Quota, Scope},
    limits::Limits,
    ports::{Clock as _, WriteKeys as _},
    quota::Meter,
    submit::Submitter,
};
use serde_json::Value;
use testing::memory::{ManualClock, MemoryJobs, MemoryObjects, MemoryQueue, MemoryUrlCheck};

async fn post(path: &str, content_type: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    let router = router(Access::Open, &MemoryJobs::default());
    let request = Request::post(path).header(header::CONTENT_TYPE, content_type);
    let request = request.body(body.into()).expect("a request");
    let response = http_api::service::answer(router, request, Links::new("/v1"), "r-1", Duration::MAX).await;
    let status = response.status();
    let body = to_bytes(response.into_body(), 100_000).await.expect("a body");
    (status, serde_json::from_slice(&body).expect("JSON"))
}

fn router(access: Access, jobs: &MemoryJobs) -> Router {
    let (jobs, objects) = (Arc::new(jobs.clone()), Arc::new(MemoryObjects::default()));
    let clock = Arc::new(ManualClock::default());
    let gate = Gate::new(access, jobs.clone(), clock.clone());
    let submitter = Submitter {
        meter: Meter { usage: jobs.clone(), clock: clock.clone() },
        jobs: jobs.clone(),
        writer: jobs.clone(),
        once: jobs,
        objects: objects.clone(),
        presigner: objects,
        queue: Arc::new(MemoryQueue::default()),
        urls: Arc::new(MemoryUrlCheck),
        clock,
        catalogue: detection::catalogue().into(),
        identify: submit::identify,
        media_types: submit::media_types(),
        limits: Limits::default(),
    };
    submit::router(submitter, gate)
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

/// A part of a form: its `Content-Disposition` without the type, and what it holds.
fn part(disposition: &str, content: &str) -> String {
    format!("--x\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
}

async fn post_form(parts: &[String]) -> (StatusCode, Value) {
    post("/jobs", "multipart/form-data; boundary=x", parts.concat() + "--x--\r\n").await
}

const URL: &str = "https://example.com/a.gif";

#[tokio::test]
async fn json_is_taken_by_every_name_it_has_and_with_a_byte_order_mark() {
    let body = format!(r#"{{"image_url": "{URL}", "callback_url": "https://example.com/hook"}}"#);
    let marked = format!("\u{feff}{body}");
    for content_type in [
        "application/json",
        "Application/JSON ; charset=UTF-8",
        "application/vnd.darkroom.v1+json",
        "application/vnd.x+json; charset=utf-8",
        "application/ld+json",
        "text/json",
        // What clients send that nobody has told a type.
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "",
    ] {
        for body in [&body, &marked] {
            let (status, job) = post("/jobs", content_type, body.clone()).await;
            assert_eq!(
                (status, &job["source"]["url"]),
                (StatusCode::ACCEPTED, &URL.into()),
                "{content_type}: {job}"
            );
        }
    }
    let upload = "\u{feff}{\"content_type\": \"image/gif\", \"bytes\": 6}";
    assert_eq!(post("/uploads", "application/vnd.x+json", upload).await.0, StatusCode::CREATED);
    let legacy = format!("\u{feff}{{\"image_url\": \"{URL}\"}}");
    assert_eq!(post("/job-submission", "text/plain", legacy).await.0, StatusCode::OK);
    let utf16: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (_, problem) = post("/jobs", "application/json", utf16).await;
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("UTF-8")), "{problem}");
}

#[tokio::test]
async fn a_form_has_its_image_by_whatever_name_a_client_gives_the_only_file() {
    let option = part("name=\"width\"", "50");
    for image in [
        part("name=\"image\"; filename=\"a.gif\"", "GIF89a"),
        part("Name=\"image\"; FileName=\"a.gif\"", "GIF89a"),
        part("name=image", "GIF89a"),
        part("name=\"file\"; filename=\"a.gif\"", "GIF89a"),
        part("name=\"files[]\"; filename*=UTF-8''a.gif", "GIF89a"),
        part("filename=\"a.gif\"", "GIF89a"),
        part("name=\"upload.gif\"", "GIF89a"),
        "--x\r\ncontent-disposition: form-data; name=\"data\"\r\nContent-Type: image/gif\r\n\r\nGIF89a\r\n".to_owned(),
        "--x\r\ncontent-disposition: form-data; name=\"image\"\r\ncontent-transfer-encoding: base64\r\n\r\nR0lG\r\nODlh\r\n"
            .to_owned(),
    ] {
        let (status, job) = post_form(&[option.clone(), image.clone()]).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{image}: {job}");
        assert_eq!((&job["source"]["kind"], &job["source"]["bytes"]), (&"upload".into(), &6.into()), "{image}");
        assert_eq!(job["algorithms"][0]["parameters"]["width"], 50);
    }
    // An option stays one, however its client sends it; the browser's word for no file is none.
    let named = part("name=\"width\"; filename=\"width.txt\"", "50");
    let unchosen = part("name=\"image\"; filename=\"\"", "");
    let (status, job) = post_form(&[named, unchosen.clone(), part("name=file; filename=a", "GIF89a")]).await;
    assert_eq!(
        (status, &job["algorithms"][0]["parameters"]["width"]),
        (StatusCode::ACCEPTED, &50.into()),
        "{job}"
    );
    let lines = ["--x", "Content-Disposition: form-data; name=image", "", "GIF89a", "--x--"].join("\n");
    assert_eq!(post("/jobs", "multipart/form-data; boundary=\"x\"", lines).await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_form_without_a_file_may_have_its_address() {
    let url = part("name=\"image_url\"", URL);
    let options =
        part("name=\"request\"; filename=\"blob\"", "\u{feff}{\"algorithms\": [\"poi_detection\"]}");
    let unchosen = part("name=\"image\"; filename=\"\"", "");
    let within =
        part("name=\"request\"", &format!(r#"{{"image_url": "{URL}", "algorithms": ["poi_detection"]}}"#));
    for form in
        [vec![url.clone(), options.clone()], vec![unchosen.clone(), url.clone(), options], vec![within]]
    {
        let (status, job) = post_form(&form).await;
        assert_eq!((status, &job["source"]["url"]), (StatusCode::ACCEPTED, &URL.into()), "{job}");
        assert_eq!(job["algorithms"][0]["name"], "poi_detection");
    }
    let image = part("name=\"image\"; filename=\"a.gif\"", "GIF89a");
    let (status, job) = post_form(&[image, part("name=\"image_url\"", " ")]).await;
    assert_eq!((status, &job["source"]["kind"]), (StatusCode::ACCEPTED, &"upload".into()), "{job}");
    let pairs =
        "image_url=https%3A%2F%2Fexample.com%2Fa.gif&width=50&callback_url=https%3A%2F%2Fexample.com%2F";
    let (status, job) = post("/jobs", "application/x-www-form-urlencoded; charset=UTF-8", pairs).await;
    assert_eq!((status, &job["source"]["url"]), (StatusCode::ACCEPTED, &URL.into()), "{job}");
    assert_eq!(job["algorithms"][0]["parameters"]["width"], 50);
}

#[tokio::test]
async fn a_form_that_could_mean_several_things_is_told_which_was_meant() {
    let image = part("name=\"image\"; filename=\"a.gif\"", "GIF89a");
    let file = part("name=\"file\"; filename=\"b.gif\"", "GIF89a");
    let other = part("name=\"photo\"; filename=\"c.gif\"", "GIF89a");
    let url = part("name=\"image_url\"", URL);
    for (form, code, words) in [
        (vec![image.clone(), image.clone()], "duplicate_image", "`image` once"),
        (vec![image.clone(), file.clone()], "duplicate_image", "the file `file` beside `image`"),
        (vec![file.clone(), other], "duplicate_image", "send one, as the part `image`"),
        (vec![image, url.clone()], "duplicate_image", "a file or an `image_url`"),
        (vec![file, url.clone()], "duplicate_image", "a file or an `image_url`"),
        (vec![url.clone(), url], "duplicate_parameter", "`image_url`"),
        (vec![part("name=\"image\"", URL)], "missing_image", "send that as `image_url`"),
        (
            vec![part("name=\"image\"; filename=\"\"", "")],
            "missing_image",
            "`image`, or its address as `image_url`",
        ),
        (vec![part("name=\"width\"", "50")], "missing_image", "`image`, or its address as `image_url`"),
        (vec![part("name=\"image\"; filename=\"a\"", "text")], "unknown_format", "not an image"),
        (
            vec![part("name=\"colour\"", "red"), part("name=image", "GIF89a")],
            "unknown_parameter",
            "no parameter `colour`",
        ),
        (vec![part("size=7", "what")], "invalid_form", "has no name"),
    ] {
        let (status, problem) = post_form(&form).await;
        assert!(status.is_client_error(), "{form:?}: {problem}");
        assert_eq!(problem["code"], code, "{form:?}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains(words)), "{form:?}: {problem}");
    }
    for (content_type, body) in [
        ("multipart/form-data", "--x--"),
        ("multipart/form-data; boundary=x", "--y--"),
        ("multipart/form-data; boundary=x", ""),
    ] {
        let (status, problem) = post("/jobs", content_type, body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &"invalid_form".into()));
    }
}

#[tokio::test]
async fn headers_of_a_callback_are_taken_with_every_body_and_only_their_names_are_shown() {
    const HOOK: &str = "callback_url=https://example.com/";
    let json = format!(
        r#"{{"image_url": "{URL}", "callback_url": "https://example.com/", "callback_headers": {{"X-Key": "hunter2"}}}}"#
    );
    let upload = r#"{"content_type": "image/gif", "bytes": 6, "callback_url": "https://example.com/",
        "callback_headers": {"X-Key": "hunter2"}}"#;
    let form = [
        part("name=image", "GIF89a"),
        part("name=callback_url", "https://example.com/"),
        part("name=callback_headers", r#"{"X-Key": "hunter2"}"#),
    ];
    let form = form.concat() + "--x--";
    let within = [
        part("name=image", "GIF89a"),
        part(
            "name=request",
            r#"{"callback_url": "https://example.com/", "callback_headers": {"X-Key": "hunter2"}}"#,
        ),
    ];
    let within = within.concat() + "--x--";
    let multipart = "multipart/form-data; boundary=x";
    for (path, content_type, body) in [
        ("/jobs".to_owned(), "application/json", json.as_str()),
        ("/uploads".to_owned(), "application/json", upload),
        ("/jobs".to_owned(), multipart, &form),
        ("/run_task".to_owned(), multipart, &within),
        (format!("/jobs?{HOOK}&callback_headers.X-Key=hunter2"), "image/gif", "GIF89a"),
        (format!("/jobs?{HOOK}&callback_headers=%7B%22X-Key%22:%22hunter2%22%7D"), "image/gif", "GIF89a"),
    ] {
        let (status, job) = post(&path, content_type, body.to_owned()).await;
        assert!(status.is_success(), "{path}: {job}");
        assert_eq!(job["callback"]["headers"], serde_json::json!(["x-key"]), "{path}");
        assert!(!job.to_string().contains("hunter2"), "{job}");
    }
    let legacy = json.replace("hunter2", "k");
    assert_eq!(post("/job-submission", "application/json", legacy).await.0, StatusCode::OK);
    let (status, problem) = post("/jobs?callback_headers.X-Key=hunter2", "image/gif", "GIF89a").await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &"missing_callback_url".into()));
    let query = format!("/jobs?{HOOK}&callback_headers.Content-Type=hunter2");
    let (status, problem) = post(&query, "image/gif", "GIF89a").await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &"invalid_callback_headers".into()));
    assert!(!problem.to_string().contains("hunter2"), "{problem}");
}

#[tokio::test]
async fn uploads_are_granted_for_what_a_submission_takes_by_its_type() {
    for media_type in submit::media_types().iter().copied().flatten().chain([&"application/octet-stream"]) {
        let body = format!(r#"{{"content_type": "{media_type}", "bytes": 6}}"#);
        let (status, granted) = post("/uploads", "application/json", body).await;
        assert_eq!(status, StatusCode::CREATED, "{media_type}: {granted}");
        assert_eq!(granted["upload"]["headers"]["content-type"], *media_type);
        let (_, problem) = post("/jobs", media_type, "no image").await;
        assert_eq!(problem["code"], "unknown_format", "{media_type} is that of an image");
    }
    for media_type in
        ["image/heic", "image/svg+xml", "image/jxl", "image/*", "application/pdf", "text/html", ""]
    {
        let body = format!(r#"{{"content_type": "{media_type}", "bytes": 6}}"#);
        let (status, problem) = post("/uploads", "application/json", body).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media_type}: {problem}");
        assert_eq!(problem["code"], "unsupported_content_type");
        let (_, problem) = post("/jobs", media_type, "no image").await;
        assert_eq!(problem["code"], "unsupported_content_type", "{media_type}: {problem}");
    }
}

/// A form with a file and one more part.
fn form_with(name: &str, content: &str) -> String {
    let file = "content-disposition: form-data; name=\"image\"; filename=\"a\"\r\n\r\nGIF89a";
    let other = format!("content-disposition: form-data; name=\"{name}\"\r\n\r\n{content}");
    format!("--x\r\n{file}\r\n--x\r\n{other}\r\n--x--\r\n")
}

#[tokio::test]
async fn options_that_no_request_needs_so_many_of_are_refused() {
    const FORM: &str = "multipart/form-data; boundary=x";
    let names = |count: usize| (0..count).map(|index| format!("a{index}")).collect::<Vec<_>>();
    let address = r#""image_url": "https://example.com/a.gif""#;
    let quoted = |count| names(count).iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
    let members =
        |count| names(count).iter().map(|name| format!("\"{name}\":1")).collect::<Vec<_>>().join(",");
    let (much, many) = (400_000, 8_000);
    for (content_type, body, code) in [
        (FORM, form_with("algorithms", &names(much).join(",")), "request_too_large"),
        (FORM, form_with("algorithms", &names(many).join(",")), "unknown_algorithm"),
        (FORM, form_with("request", &format!("{{\"algorithms\": [{}]}}", quoted(much))), "request_too_large"),
        (
            FORM,
            form_with("request", &format!("{{\"algorithms\": [{}]}}", quoted(many))),
            "duplicate_algorithm",
        ),
        (
            "application/json",
            format!("{{{address}, \"algorithms\": [{}]}}", quoted(many)),
            "duplicate_algorithm",
        ),
        (
            "application/json",
            format!(
                "{{{address}, \"algorithms\": [{{\"name\": \"thumbnail\", \"parameters\": {{{}}}}}]}}",
                members(many)
            ),
            "unknown_parameter",
        ),
        (
            "application/json",
            format!("{{{address}, \"callback_headers\": {{{}}}}}", members(much)),
            "request_too_large",
        ),
        (
            "application/json",
            format!("{{{address}, \"algorithms\": {}1{}}}", "[".repeat(many), "]".repeat(many)),
            "invalid_json",
        ),
    ] {
        let (_, problem) = post("/jobs", content_type, body).await;
        assert_eq!(problem["code"], code, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|text| text.len() < 1_000), "{problem}");
    }
}

#[tokio::test]
async fn what_is_left_of_a_quota_is_told_with_each_answer() {
    let jobs = MemoryJobs::default();
    let quota = Quota { jobs_a_day: Some(2), bytes_a_day: Some(100), jobs_at_once: None };
    let now = ManualClock::default().now();
    let (key, text) = Key::new("team-a".parse().expect("a name"), [Scope::Submit].into(), quota, now, None);
    jobs.write_key(&key).await.expect("written");
    let router = router(Access::Keys, &jobs);
    for (status, limit, retry) in [
        (StatusCode::ACCEPTED, "\"jobs\";r=1;t=T, \"bytes\";r=94;t=T", "1"),
        (StatusCode::ACCEPTED, "\"jobs\";r=0;t=T, \"bytes\";r=88;t=T", "1"),
        (StatusCode::TOO_MANY_REQUESTS, "\"jobs\";r=0;t=T, \"bytes\";r=88;t=T", "U"),
    ] {
        let request = Request::post("/jobs").header(header::CONTENT_TYPE, "image/gif");
        let request =
            request.header("x-api-key", text.expose()).body(Body::from("GIF89a")).expect("a request");
        let answer =
            http_api::service::answer(router.clone(), request, Links::new("/v1"), "r-1", Duration::MAX).await;
        assert_eq!(answer.status(), status);
        let seconds = 86_400 - u64::try_from(now.unix_timestamp() % 86_400).expect("positive");
        let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        assert_eq!(header("ratelimit"), limit.replace('T', &seconds.to_string()));
        assert_eq!(header("retry-after"), retry.replace('U', &(seconds + 1).to_string()));
        assert_eq!(
            header("ratelimit-policy"),
            "\"jobs\";q=2;w=86400, \"bytes\";q=100;w=86400;qu=\"content-bytes\""
        );
    }
}
