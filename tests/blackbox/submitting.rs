//! Tests of every way to submit a job, and of its results.

use axum::{
    Router,
    http::{HeaderValue, header::LOCATION},
    response::IntoResponse as _,
    routing::get,
};
use image::{GenericImageView as _, ImageFormat};
use reqwest::{Method, StatusCode, header, multipart};
use serde_json::{Value, json};

use crate::support::{Api, encode, id, json, picture, png, problem, serve};

async fn thumbnail_of(api: &Api, job: &Value) -> image::DynamicImage {
    let response = api.picture(&job["results"]["thumbnail"]["url"]).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    image::load_from_memory(&response.bytes().await.unwrap()).expect("an image")
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_form_gets_the_default_thumbnail() {
    let api = Api::new();
    let file = multipart::Part::bytes(png(320, 200)).file_name("a.png");
    let response =
        api.post("/jobs").multipart(multipart::Form::new().part("image", file)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()[header::LOCATION].to_str().unwrap().to_owned();
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    let job = crate::support::json(response).await;
    assert_eq!(job["status"], "queued");
    let located = crate::support::json(api.follow(&location.into()).send().await.unwrap()).await;
    assert_eq!(located["job_id"], job["job_id"]);

    let job = api.ended(&job).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(job["attempts"], 1);
    assert_eq!(job["source"]["kind"], "upload");
    assert_eq!((&job["source"]["width"], &job["source"]["height"]), (&json!(320), &json!(200)));
    assert_eq!(job["source"]["content_type"], "image/png");
    assert_eq!(job["algorithms"][0]["parameters"]["width"], 100);
    let summary = &job["results"]["thumbnail"];
    assert_eq!((&summary["width"], &summary["height"]), (&json!(100), &json!(100)));
    assert_eq!(summary["content_type"], "image/png");
    assert_eq!(thumbnail_of(&api, &job).await.dimensions(), (100, 100));
    for time in ["created_at", "updated_at", "started_at", "finished_at", "expires_at"] {
        assert!(job[time].as_str().is_some_and(|time| time.ends_with('Z')), "{time}");
    }
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_form_may_bring_its_options_as_json() {
    let api = Api::new();
    let request =
        json!({"algorithms": ["poi_detection", {"name": "thumbnail", "parameters": {"width": 64}}]});
    let form = multipart::Form::new()
        .part("request", multipart::Part::text(request.to_string()).mime_str("application/json").unwrap())
        .part("image", multipart::Part::bytes(png(320, 200)).file_name("a.png"));
    let response = api.post("/run_task").multipart(form).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let job = api.ended(&crate::support::json(response).await).await;
    assert_eq!(job["results"]["thumbnail"]["width"], 64);
    assert_eq!(job["results"]["poi_detection"]["count"], 4, "the four corners of the square: {job}");
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn every_format_goes_in_and_the_thumbnail_is_what_was_asked_for() {
    let api = Api::new();
    for (format, extension) in [
        (ImageFormat::Png, "png"),
        (ImageFormat::Jpeg, "jpeg"),
        (ImageFormat::Gif, "gif"),
        (ImageFormat::WebP, "webp"),
        (ImageFormat::Tiff, "tiff"),
        (ImageFormat::Bmp, "bmp"),
        (ImageFormat::Qoi, "qoi"),
        (ImageFormat::Pnm, "x-portable-anymap"),
        (ImageFormat::Tga, "x-tga"),
    ] {
        for (fit, out, expected) in [
            ("cover", "jpeg", (120, 50)),
            ("contain", "png", (120, 50)),
            ("fill", "webp", (120, 50)),
            ("inside", "png", (80, 50)),
        ] {
            let query = format!("width=120&height=50&fit={fit}&thumbnail.format={out}");
            let job = api.submit(&query, encode(&picture(320, 200), format)).await;
            let job = api.ended(&job).await;
            assert_eq!(job["status"], "succeeded", "{job}");
            assert_eq!(job["source"]["content_type"], format!("image/{extension}"));
            assert_eq!(job["results"]["thumbnail"]["content_type"], format!("image/{out}"));
            assert_eq!(thumbnail_of(&api, &job).await.dimensions(), expected, "{extension} {fit}");
        }
    }
}

/// A GIF of two frames, 40 × 30: red, then blue.
fn moving() -> Vec<u8> {
    let mut file = Vec::new();
    {
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut file);
        let frames = [[200, 30, 30, 255], [30, 30, 200, 255]].map(|color| {
            let delay = image::Delay::from_numer_denom_ms(120, 1);
            image::Frame::from_parts(image::RgbaImage::from_pixel(40, 30, image::Rgba(color)), 0, 0, delay)
        });
        encoder.encode_frames(frames).unwrap();
    }
    file
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn one_job_makes_an_emoji_for_each_preset() {
    let api = Api::new();
    let job =
        api.ended(&api.submit("preset=slack,discord&fit=contain&background=00ff00", moving()).await).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(job["algorithms"][0]["parameters"]["preset"], json!(["slack", "discord"]));
    assert_eq!(job["algorithms"][0]["parameters"]["background"], "#00ff00");
    let result = &job["results"]["thumbnail"];
    assert!(result["forms"].is_null(), "{result}");
    for (preset, most) in [("slack", 128_000), ("discord", 256_000)] {
        let summary = &result["presets"][preset];
        assert_eq!((&summary["width"], &summary["height"]), (&json!(128), &json!(128)));
        assert_eq!((&summary["content_type"], &summary["frames"]), (&json!("image/gif"), &json!(2)));
        let response = api.picture(&summary["url"]).send().await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "image/gif");
        assert!(response.headers().contains_key(header::ETAG));
        let bytes = response.bytes().await.unwrap();
        assert_eq!(summary["bytes"], bytes.len());
        assert!(bytes.len() <= most);
        assert_eq!(image::load_from_memory(&bytes).unwrap().get_pixel(64, 5).0, [0, 255, 0, 255]);
    }
    assert_eq!(result["bytes"], result["presets"]["slack"]["bytes"], "the first stands at the top");
    assert_eq!(thumbnail_of(&api, &job).await.dimensions(), (128, 128));
    let route = format!("/jobs/{}/thumbnail?preset=", id(&job));
    for preset in ["teams", "nonsense"] {
        let response = api.get(&format!("{route}{preset}")).send().await.unwrap();
        problem(response, 404, "result_not_found").await;
    }
    let page = crate::support::json(api.get("/thumbnails?limit=100").send().await.unwrap()).await;
    let listed = page["thumbnails"].as_array().unwrap().iter().filter(|one| one["job_id"] == job["job_id"]);
    let presets: Vec<_> = listed.map(|one| one["preset"].as_str().unwrap().to_owned()).collect();
    assert_eq!(presets, ["slack", "discord"]);
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_thumbnail_has_what_stands_in_for_it() {
    let api = Api::new();
    let job = api.ended(&api.submit("format=auto&enlarge=false&gravity=smart", png(320, 200)).await).await;
    let result = &job["results"]["thumbnail"];
    assert_eq!((&result["content_type"], &result["frames"]), (&json!("image/jpeg"), &json!(1)), "{job}");
    assert_eq!(result["blurhash"].as_str().unwrap().len(), 28);
    assert!(result["thumbhash"].as_str().unwrap().len() > 10);
    let colours = result["colours"].as_array().unwrap();
    assert!((1..=5).contains(&colours.len()));
    assert!(colours[0]["colour"].as_str().unwrap().starts_with('#') && colours[0]["share"].is_number());
    assert!(result["presets"].is_null());
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn an_animation_stays_one_where_its_format_can() {
    let api = Api::new();
    for (format, content_type, frames) in [
        ("auto", "image/gif", 2),
        ("gif", "image/gif", 2),
        ("webp", "image/webp", 2),
        ("png", "image/png", 1),
    ] {
        let query = format!("width=20&height=20&format={format}");
        let job = api.ended(&api.submit(&query, moving()).await).await;
        let result = &job["results"]["thumbnail"];
        assert_eq!(
            (&result["content_type"], &result["frames"]),
            (&json!(content_type), &json!(frames)),
            "{job}"
        );
    }
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn an_image_is_fetched_from_its_address_over_a_redirect() {
    let api = Api::new();
    let router = Router::new()
        .route("/cat.png", get(async || png(50, 40)))
        .route("/cat", get(async || (axum::http::StatusCode::FOUND, [(LOCATION, "/cat.png")])));
    let url = serve(router).await;
    let response = api.post_json("/jobs", &json!({"image_url": format!("{url}/cat")})).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let job = api.ended(&crate::support::json(response).await).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(job["source"]["kind"], "url");
    assert_eq!((&job["source"]["width"], &job["source"]["height"]), (&json!(50), &json!(40)));
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn an_image_is_fetched_from_a_server_that_compresses_and_is_out_of_order_at_first() {
    let api = Api::new();
    let gzip = || {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, &png(50, 40)).unwrap();
        ([("content-encoding", "gzip")], encoder.finish().unwrap())
    };
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let answer = move || {
        let first = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        async move {
            if first {
                return (axum::http::StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "11")])
                    .into_response();
            }
            gzip().into_response()
        }
    };
    let to = HeaderValue::from_bytes("/größe.png".as_bytes()).unwrap();
    let router = Router::new()
        .route("/start", get(async move || (axum::http::StatusCode::FOUND, [(LOCATION, to.clone())])))
        .fallback(answer);
    let url = serve(router).await;
    let response = api.post_json("/jobs", &json!({"image_url": format!("{url}/start")})).await;
    let job = crate::support::json(response).await;
    let started = std::time::Instant::now();
    let waiting = loop {
        let route = format!("/jobs/{}", id(&job));
        let job = crate::support::json(api.get(&route).send().await.unwrap()).await;
        if !job["retry"].is_null() {
            break job;
        }
        assert!(
            started.elapsed() < std::time::Duration::from_secs(30),
            "it does not say what it waits for: {job}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!((&waiting["status"], &waiting["error"]), (&json!("queued"), &Value::Null), "{waiting}");
    assert_eq!(waiting["retry"]["code"], "source_unavailable");
    assert!(waiting["retry"]["message"].as_str().unwrap().contains("503"), "{waiting}");
    assert!(waiting["retry"]["at"].as_str().unwrap() > waiting["updated_at"].as_str().unwrap());
    let job = api.ended(&job).await;
    assert_eq!(
        (&job["status"], &job["attempts"], &job["retry"]),
        (&json!("succeeded"), &json!(2), &Value::Null),
        "{job}"
    );
    assert_eq!((&job["source"]["width"], &job["source"]["height"]), (&json!(50), &json!(40)));
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn json_and_forms_are_taken_in_the_clothes_that_clients_give_them() {
    let api = Api::new();
    let url = serve(Router::new().route("/cat.png", get(async || png(50, 40)))).await;
    let url = format!("{url}/cat.png");
    let json_of = |url: &str| format!("\u{feff}{}", json!({"image_url": url}));
    let part = format!("--x\r\ncontent-disposition: form-data; name=\"image_url\"\r\n\r\n{url}\r\n--x--");
    let file = [
        &b"--x\r\nContent-Disposition: form-data; Name=\"file\"; FileName=\"a.png\"\r\n\r\n"[..],
        &png(50, 40),
        b"\r\n--x--\r\n",
    ];
    for (content_type, body) in [
        ("application/vnd.x+json; charset=utf-8", json_of(&url).into_bytes()),
        ("multipart/form-data; boundary=x", part.into_bytes()),
        ("multipart/form-data; boundary=x", file.concat()),
    ] {
        let request = api.post("/jobs").header(header::CONTENT_TYPE, content_type);
        let response = request.body(body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{content_type}");
        let job = api.ended(&crate::support::json(response).await).await;
        assert_eq!((&job["status"], &job["source"]["width"]), (&json!("succeeded"), &json!(50)), "{job}");
    }
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_fetch_that_goes_wrong_fails_the_job_with_its_code() {
    let api = Api::new();
    let router = Router::new()
        .route("/private", get(async || (axum::http::StatusCode::FOUND, [(LOCATION, "http://10.0.0.1/")])))
        .route("/round", get(async || (axum::http::StatusCode::FOUND, [(LOCATION, "/round")])))
        .route("/empty", get(async || ""))
        .route("/page", get(async || "<!doctype html><p>Not an image."))
        .route("/huge", get(async || vec![0_u8; 25_000_001]));
    let url = serve(router).await;
    for (path, code) in [
        ("private", "private_address"),
        ("round", "too_many_redirects"),
        ("empty", "empty_image"),
        ("missing", "source_refused"),
        ("huge", "image_too_large"),
    ] {
        let response = api.post_json("/jobs", &json!({"image_url": format!("{url}/{path}")})).await;
        let job = api.ended(&crate::support::json(response).await).await;
        assert_eq!((&job["status"], &job["error"]["code"]), (&json!("failed"), &json!(code)), "{job}");
        assert_eq!(job["attempts"], 1, "nothing that a retry would mend is retried");
    }
    let response = api.post_json("/jobs", &json!({"image_url": format!("{url}/page")})).await;
    let job = api.ended(&crate::support::json(response).await).await;
    assert_eq!(job["status"], "failed", "{job}");
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn an_upload_starts_its_job_by_arriving() {
    let api = Api::new();
    let image = png(300, 300);
    let content_type = "application/octet-stream";
    let request =
        json!({"content_type": content_type, "bytes": image.len(), "algorithms": ["poi_detection"]});
    let response = api.post_json("/uploads", &request).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert!(response.headers().contains_key(header::LOCATION));
    let granted = crate::support::json(response).await;
    assert_eq!(granted["status"], "awaiting_upload");
    let upload = &granted["upload"];
    assert_eq!((&upload["method"], &upload["max_bytes"]), (&json!("PUT"), &json!(image.len())));
    assert!(upload["expires_at"].is_string());

    let mut put = api.client.put(upload["url"].as_str().unwrap());
    for (name, value) in upload["headers"].as_object().unwrap() {
        put = put.header(name, value.as_str().unwrap());
    }
    assert_eq!(put.body(image).send().await.unwrap().status(), StatusCode::OK);
    let job = api.ended(&granted).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(job["source"]["kind"], "presigned_upload");
    assert_eq!(job["results"]["poi_detection"]["count"], 4);
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn the_older_names_answer_in_their_own_shapes() {
    let api = Api::new();
    let url = serve(Router::new().route("/cat.png", get(async || png(50, 40)))).await;
    let request = json!({
        "image_url": format!("{url}/cat.png"), "callback_url": null, "callback_token": null,
        "algorithm_name": "poi_detection"
    });
    let response = api.post_json("/job-submission", &request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let submitted = crate::support::json(response).await;
    let shape = json!({"code": 200, "job_id": id(&submitted), "status": "Pending", "error": null});
    assert_eq!(submitted, shape);

    let job = api.ended(&submitted).await;
    assert!(job["results"]["thumbnail"].is_object(), "the thumbnail as well: {job}");
    assert!(job["results"]["poi_detection"].is_object());
    let route = format!("/status/{}", id(&job));
    let status = crate::support::json(api.get(&route).send().await.unwrap()).await;
    assert_eq!(status, json!({"code": 200, "job_id": id(&job), "status": "Completed", "error": null}));
    let route = format!("/result/{}", id(&job));
    let result = crate::support::json(api.get(&route).send().await.unwrap()).await;
    assert_eq!(result, job);

    let unknown = api.get("/status/fake").send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let unknown = crate::support::json(unknown).await;
    assert_eq!((&unknown["code"], &unknown["job_id"]), (&json!(404), &json!("fake")));
    assert_eq!(unknown["status"], Value::Null);
    assert!(unknown["error"].is_string());
    let refused = api.post_json("/job-submission", &json!({"image_url": "not a URL"})).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(crate::support::json(refused).await["code"], 400);
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn many_jobs_at_once_all_end() {
    let api = std::sync::Arc::new(Api::new());
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..24_u32 {
        let api = api.clone();
        tasks.spawn(async move {
            let job = api.submit("algorithms=thumbnail,poi_detection", png(100 + index, 100)).await;
            let job = api.ended(&job).await;
            (index, job)
        });
    }
    while let Some(ended) = tasks.join_next().await {
        let (index, job) = ended.unwrap();
        assert_eq!(job["status"], "succeeded", "{job}");
        assert_eq!(job["source"]["width"], 100 + index, "each job has its own image");
    }
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_deleted_job_is_gone_with_all_it_had() {
    let api = Api::new();
    let job = api.ended(&api.submit("", png(60, 60)).await).await;
    let route = format!("/jobs/{}", id(&job));
    let deleted = api.request(Method::DELETE, &route).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    for route in [route.clone(), format!("{route}/thumbnail")] {
        crate::support::problem(api.get(&route).send().await.unwrap(), 404, "job_not_found").await;
    }
    let again = api.request(Method::DELETE, &route).send().await.unwrap();
    crate::support::problem(again, 404, "job_not_found").await;
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_request_sent_again_with_its_key_is_answered_with_the_first_one_s_job() {
    let api = Api::new();
    let key = format!("{:?}", std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap());
    let submit = async |width: u32, key: &str| {
        let request = api.post(&format!("/jobs?width={width}")).header(header::CONTENT_TYPE, "image/png");
        request.header("Idempotency-Key", key).body(png(30, 30)).send().await.unwrap()
    };
    let first = json(submit(20, &key).await).await;
    api.ended(&first).await;
    let again = submit(20, &key).await;
    assert_eq!(again.status(), StatusCode::ACCEPTED);
    assert_eq!(json(again).await["job_id"], first["job_id"]);
    let other = submit(21, &key).await;
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(json(other).await["code"], "idempotency_key_reused");
    let refused = submit(20, "").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json(refused).await["code"], "invalid_idempotency_key");
    let url = json!({"content_type": "image/png", "bytes": 5});
    let grant = async || {
        let request = api.post("/uploads").header(header::CONTENT_TYPE, "application/json");
        json(
            request
                .header("Idempotency-Key", format!("upload-{key}"))
                .body(url.to_string())
                .send()
                .await
                .unwrap(),
        )
        .await
    };
    assert_eq!(grant().await["job_id"], grant().await["job_id"]);
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn an_answer_waits_for_the_job_s_end_where_the_client_prefers_that() {
    let api = Api::new();
    let request = api.post("/jobs").header(header::CONTENT_TYPE, "image/png").header("Prefer", "wait=20");
    let response = request.body(png(30, 30)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["preference-applied"], "wait=20");
    let job = json(response).await;
    assert_eq!(job["status"], "succeeded");

    let job = api.submit("", png(31, 31)).await;
    let waiting = api.get(&format!("/jobs/{}", id(&job))).header("Prefer", "respond-async, wait=20").send();
    assert_eq!(json(waiting.await.unwrap()).await["status"], "succeeded");
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_job_deleted_at_once_is_gone_and_stays_so() {
    let api = Api::new();
    for _ in 0..5 {
        let job = api.submit("algorithms=thumbnail,poi_detection", png(300, 300)).await;
        let route = format!("/jobs/{}", id(&job));
        let deleted = api.request(reqwest::Method::DELETE, &route).send().await.unwrap();
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
        for _ in 0..10 {
            assert_eq!(api.get(&route).send().await.unwrap().status(), StatusCode::NOT_FOUND);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let again = api.request(reqwest::Method::DELETE, &route).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_FOUND);
    }
}
