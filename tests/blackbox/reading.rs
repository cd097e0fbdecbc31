//! Tests of every route that reads.

use image::GenericImageView as _;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{Api, id, json as read, png, problem};

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn results_come_in_every_form_from_the_same_points() {
    let api = Api::new();
    let query = "algorithms=poi_detection&poi_detection.method=shi_tomasi&poi_detection.max_points=10";
    let job = api.ended(&api.submit(query, png(320, 200)).await).await;
    let summary = &job["results"]["poi_detection"];
    assert!(job["results"]["thumbnail"].is_null(), "only what was asked for");

    let response = api.follow(&summary["url"]).send().await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let result = read(response).await;
    assert_eq!((&result["algorithm"], &result["version"]), (&json!("poi_detection"), &json!("4")));
    assert_eq!(result["parameters"], job["algorithms"][0]["parameters"]);
    assert_eq!(result["parameters"]["method"], "shi_tomasi");
    assert_eq!(result["source"]["sha256"], job["source"]["sha256"]);
    assert_eq!((&result["source"]["width"], &result["source"]["height"]), (&json!(320), &json!(200)));
    assert_eq!(result["units"]["x"], "px");
    let points = result["points"].as_array().unwrap();
    assert_eq!(summary["count"], points.len());
    for corner in [(80.0, 50.0), (240.0, 50.0), (80.0, 150.0), (240.0, 150.0)] {
        let near = |point: &&Value| {
            let (x, y) = (point["x"].as_f64().unwrap(), point["y"].as_f64().unwrap());
            (x - corner.0).hypot(y - corner.1) < 2.5
        };
        assert!(points.iter().any(|point| near(&point)), "{corner:?} in {points:?}");
        assert!(points.iter().all(|point| point["response"].as_f64().is_some()));
    }

    let response = api.follow(&summary["forms"]["geojson"]).send().await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/geo+json");
    let features = read(response).await;
    assert_eq!(features["type"], "FeatureCollection");
    assert_eq!(features["features"].as_array().unwrap().len(), points.len());
    assert_eq!(features["features"][0]["geometry"]["coordinates"], json!([points[0]["x"], points[0]["y"]]));
    assert_eq!(features["features"][0]["properties"]["objectType"], "detection");

    let response = api.follow(&summary["forms"]["csv"]).send().await.unwrap();
    assert!(response.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/csv"));
    assert_eq!(response.text().await.unwrap().lines().count(), points.len() + 1);

    let response = api.picture(&summary["forms"]["png"]).send().await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "image/png");
    let overlay = image::load_from_memory(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(overlay.dimensions(), (320, 200));

    let route = format!("/jobs/{}/results/", id(&job));
    for name in ["thumbnail", "poi_detection.xml", "nonsense", "poi_detection."] {
        problem(api.get(&format!("{route}{name}")).send().await.unwrap(), 404, "result_not_found").await;
    }
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_thumbnail_can_be_cached() {
    let api = Api::new();
    let job = api.ended(&api.submit("format=jpeg", png(320, 200)).await).await;
    let url = &job["results"]["thumbnail"]["url"];
    let response = api.follow(url).send().await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "image/jpeg");
    assert!(response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("max-age="));
    let etag = response.headers()[header::ETAG].clone();
    assert_eq!(job["results"]["thumbnail"]["bytes"], response.bytes().await.unwrap().len());

    for names in [etag.to_str().unwrap().to_owned(), format!("\"other\", W/{}", etag.to_str().unwrap())] {
        let response = api.follow(url).header(header::IF_NONE_MATCH, names).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[header::ETAG], etag);
        assert!(response.bytes().await.unwrap().is_empty());
    }
    let response = api.follow(url).header(header::IF_NONE_MATCH, "\"other\"").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn lists_are_newest_first_in_pages_that_join() {
    let api = Api::new();
    let mut expected = Vec::new();
    for _ in 0..5 {
        let job = api.ended(&api.submit("", png(40, 40)).await).await;
        expected.insert(0, id(&job).to_owned());
    }
    // Other tests submit at the same time, so their jobs stand between ours.
    for (route, list) in
        [("/jobs?status=succeeded&", "jobs"), ("/jobs?", "jobs"), ("/thumbnails?", "thumbnails")]
    {
        let (mut found, mut cursor) = (Vec::<String>::new(), String::new());
        while !expected.iter().all(|id| found.contains(id)) {
            let page = read(api.get(&format!("{route}limit=2{cursor}")).send().await.unwrap()).await;
            let entries = page[list].as_array().unwrap();
            assert!(entries.len() <= 2);
            found.extend(entries.iter().map(|entry| id(entry).to_owned()));
            let next = page["next_cursor"].as_str().expect("there is more");
            cursor = format!("&cursor={next}");
        }
        assert!(found.is_sorted_by(|newer, older| newer > older), "newest first, none twice: {found:?}");
    }
    let page = read(api.get("/thumbnails?limit=1").send().await.unwrap()).await;
    let thumbnail = &page["thumbnails"][0];
    for member in ["job_id", "url", "width", "height", "bytes", "content_type"] {
        assert!(!thumbnail[member].is_null(), "{member} in {thumbnail}");
    }
    let response = api.follow(&thumbnail["url"]).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_list_by_status_has_only_that_status() {
    let api = Api::new();
    let job = api.submit("", b"\x89PNG\r\n\x1a\nbroken".to_vec()).await;
    let job = api.ended(&job).await;
    assert_eq!(job["error"]["code"], "corrupt_image", "{job}");
    assert!(job["error"]["message"].as_str().unwrap().ends_with('.'));
    let page = read(api.get("/jobs?status=failed&limit=100").send().await.unwrap()).await;
    let jobs = page["jobs"].as_array().unwrap();
    assert!(jobs.iter().all(|job| job["status"] == "failed"));
    assert!(jobs.iter().any(|other| other["job_id"] == job["job_id"]));
    let route = format!("/jobs/{}/thumbnail", id(&job));
    problem(api.get(&route).send().await.unwrap(), 404, "result_not_found").await;
    let legacy = read(api.get(&format!("/status/{}", id(&job))).send().await.unwrap()).await;
    assert_eq!((&legacy["status"], &legacy["error"]), (&json!("Failed"), &job["error"]["message"]));
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn algorithms_say_what_they_take() {
    let api = Api::new();
    let answer = read(api.get("/algorithms").send().await.unwrap()).await;
    let algorithms = answer["algorithms"].as_array().unwrap();
    let names: Vec<_> = algorithms.iter().map(|algorithm| algorithm["name"].as_str().unwrap()).collect();
    assert_eq!(names[..2], ["thumbnail", "poi_detection"]);
    let width = algorithms[0]["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .find(|parameter| parameter["name"] == "width")
        .unwrap();
    assert_eq!(
        (&width["type"], &width["minimum"], &width["maximum"], &width["default"]),
        (&json!("integer"), &json!(1), &json!(4096), &json!(100))
    );
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn health_tells_of_every_store_and_queue() {
    let api = Api::new();
    let health = read(api.get("/health").send().await.unwrap()).await;
    assert_eq!(health, json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}));
    let health = read(api.get("/health?deep=1").send().await.unwrap()).await;
    let checks = json!({
        "jobs_table": "ok", "bucket": "ok", "models_bucket": "ok",
        "jobs_queue": "ok", "jobs_dead_letters": "ok", "callbacks_queue": "ok", "callbacks_dead_letters": "ok"
    });
    assert_eq!((&health["status"], &health["checks"]), (&json!("ok"), &checks));
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn head_is_answered_wherever_get_is() {
    let api = Api::new();
    let job = api.ended(&api.submit("algorithms=thumbnail,poi_detection", png(40, 40)).await).await;
    let id = id(&job);
    // Removes the headers that differ between any two requests.
    let without_own = |headers: &header::HeaderMap| {
        let mut headers = headers.clone();
        for name in
            ["x-request-id", "date", "x-amzn-requestid", "x-amz-request-id", "x-amz-id-2", "x-amz-apigw-id"]
        {
            headers.remove(name);
        }
        headers
    };
    for route in [
        format!("/jobs/{id}"),
        format!("/jobs/{id}/thumbnail"),
        format!("/jobs/{id}/results/poi_detection"),
        format!("/jobs/{id}/results/poi_detection.csv"),
        format!("/result/{id}"),
        format!("/status/{id}"),
        "/jobs/fake".to_owned(),
        "/algorithms".to_owned(),
        "/health?deep=1".to_owned(),
        "/openapi.json".to_owned(),
        "/docs".to_owned(),
        "/docs/swagger-ui.css".to_owned(),
        "/docs/guide".to_owned(),
        "/docs/guide/errors".to_owned(),
    ] {
        let accept = |method: Method| api.request(method, &route).header(header::ACCEPT, "*/*");
        let get = accept(Method::GET).send().await.unwrap();
        let head = accept(Method::HEAD).send().await.unwrap();
        assert_eq!(head.status(), get.status(), "{route}");
        let (headers, expected) = (without_own(head.headers()), without_own(get.headers()));
        if route == "/jobs/fake" {
            // The request's id is in the content, too.
            assert_eq!(headers[header::CONTENT_TYPE], expected[header::CONTENT_TYPE]);
        } else {
            assert_eq!(headers, expected, "{route}");
        }
        assert!(headers.contains_key(header::CONTENT_LENGTH), "{route}");
        assert!(head.bytes().await.unwrap().is_empty(), "{route}");
    }
    // Lists grow while other tests run.
    for route in ["/jobs", "/thumbnails"] {
        assert_eq!(
            api.request(Method::HEAD, route).send().await.unwrap().status(),
            StatusCode::OK,
            "{route}"
        );
    }
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn the_documentation_is_there_and_its_links_work() {
    let api = Api::new();
    let description = read(api.get("/openapi.json").send().await.unwrap()).await;
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let response = api.get("/docs").send().await.unwrap();
    assert!(response.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    let page = response.text().await.unwrap();
    let base = page.split("<base href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let initializer = api.follow(&format!("{base}swagger-initializer.js").into()).send().await.unwrap();
    assert_eq!(initializer.status(), StatusCode::OK);
    let bundle = api.follow(&format!("{base}swagger-ui-bundle.js").into()).send().await.unwrap();
    assert!(bundle.bytes().await.unwrap().len() > 100_000);
    let server = description["servers"][0]["url"].as_str().unwrap().trim_end_matches('/');
    let health = api.follow(&format!("{server}/health").into()).send().await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
}
