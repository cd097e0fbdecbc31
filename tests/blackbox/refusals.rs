//! Refused requests, each with its status and code.

use reqwest::{Method, header, multipart};
use serde_json::json;

use crate::support::{Api, png, problem};

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn bodies_that_are_no_submission_are_refused() {
    let api = Api::new();
    let send = async |content_type: &str, body: Vec<u8>| {
        api.post("/jobs").header(header::CONTENT_TYPE, content_type).body(body).send().await.unwrap()
    };
    problem(send("image/png", Vec::new()).await, 400, "empty_image").await;
    problem(send("image/png", b"not an image".to_vec()).await, 415, "unknown_format").await;
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec();
    let refused = problem(send("image/heic", heic).await, 415, "unsupported_format").await;
    assert!(refused["detail"].as_str().unwrap().contains("HEIC"), "{refused}");
    problem(send("text/plain", b"hello".to_vec()).await, 415, "unsupported_content_type").await;
    problem(send("application/pdf", b"%PDF-1.7".to_vec()).await, 415, "unsupported_format").await;
    problem(send("application/json", b"{".to_vec()).await, 400, "invalid_json").await;
    problem(send("application/json", b"{}".to_vec()).await, 400, "missing_image").await;
    problem(send("application/json", b"[]".to_vec()).await, 400, "invalid_request").await;
    problem(send("application/json", br#"{"image_uri": "x"}"#.to_vec()).await, 400, "invalid_request").await;
    problem(send("multipart/form-data", png(9, 9)).await, 400, "invalid_form").await;
    problem(send("multipart/form-data; boundary=x", b"--y".to_vec()).await, 400, "invalid_form").await;
    let form = multipart::Form::new().text("width", "50");
    let missing =
        problem(api.post("/jobs").multipart(form).send().await.unwrap(), 400, "missing_image").await;
    assert!(missing["detail"].as_str().unwrap().contains("`image_url`"), "{missing}");
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn an_image_too_large_for_a_request_is_referred_to_uploads() {
    let api = Api::new();
    let mut large = png(9, 9);
    large.resize(4_500_001, 0);
    let raw = api.post("/jobs").header(header::CONTENT_TYPE, "image/png").body(large.clone());
    let form =
        api.post("/jobs").multipart(multipart::Form::new().part("image", multipart::Part::bytes(large)));
    for request in [raw, form] {
        let refused = problem(request.send().await.unwrap(), 413, "image_too_large").await;
        assert!(refused["detail"].as_str().unwrap().contains("/uploads"), "{refused}");
    }
    let upload = json!({"content_type": "image/png", "bytes": 100_000_001});
    problem(api.post_json("/uploads", &upload).await, 413, "image_too_large").await;
    for content_type in ["text/html", "image/heic"] {
        let upload = json!({"content_type": content_type, "bytes": 5});
        problem(api.post_json("/uploads", &upload).await, 415, "unsupported_content_type").await;
    }
    let upload = json!({"content_type": "image/png", "bytes": 0});
    problem(api.post_json("/uploads", &upload).await, 400, "empty_image").await;
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn requests_that_cannot_be_met_are_refused() {
    let api = Api::new();
    for (query, code) in [
        ("algorithms=teleportation", "unknown_algorithm"),
        ("width=0", "invalid_parameter"),
        ("width=4097", "invalid_parameter"),
        ("width=ten", "invalid_parameter"),
        ("gravity=up", "invalid_parameter"),
        ("background=red", "invalid_parameter"),
        ("enlarge=maybe", "invalid_parameter"),
        ("preset=myspace", "invalid_parameter"),
        ("preset=slack,slack", "invalid_parameter"),
        ("fit=stretch", "invalid_parameter"),
        ("colour=red", "unknown_parameter"),
        ("poi_detection.sigma=1000", "invalid_parameter"),
        ("nonsense.sigma=1", "unknown_algorithm"),
        ("callback_token=alone", "missing_callback_url"),
        ("callback_url=https://example.com/&callback_token=", "invalid_callback_token"),
        ("callback_url=https://example.com/&callback_token=two%0Alines", "invalid_callback_token"),
        ("callback_url=https://example.com/&callback_token=whsec_no-base64!", "invalid_callback_token"),
        ("callback_headers.x-key=alone", "missing_callback_url"),
        ("callback_url=https://example.com/&callback_headers.host=a", "invalid_callback_headers"),
        ("callback_url=https://a:b@example.com/", "invalid_url"),
        ("callback_url=nonsense", "invalid_url"),
        ("callback_url=ftp://example.com/", "invalid_url"),
        ("callback_url=http://169.254.169.254/latest/meta-data", "private_address"),
    ] {
        let request = api.post(&format!("/jobs?{query}")).header(header::CONTENT_TYPE, "image/png");
        problem(request.body(png(9, 9)).send().await.unwrap(), 400, code).await;
    }
    let misplaced = json!({"image_url": "http://127.0.0.1:9/", "callback_token": 20260101});
    let refused = problem(api.post_json("/jobs", &misplaced).await, 400, "invalid_request").await;
    assert!(!refused.to_string().contains("20260101"), "what came is not repeated: {refused}");
    let twice = json!({"image_url": "http://127.0.0.1:9/", "algorithms": ["thumbnail", "thumbnail"]});
    problem(api.post_json("/jobs", &twice).await, 400, "duplicate_algorithm").await;
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn addresses_out_of_bounds_are_refused() {
    let api = Api::new();
    for url in [
        "http://10.0.0.1/cat.png",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/iam/",
        "http://127.0.0.2/",
        "http://2130706434/",
        "http://0x7f.2/",
        "http://[::ffff:127.0.0.1]/",
        "http://[fd00:ec2::254]/",
        "http://[64:ff9b::7f00:1]/",
        "http://0.0.0.0/",
    ] {
        problem(api.post_json("/jobs", &json!({"image_url": url})).await, 400, "private_address").await;
    }
    for url in
        ["", "cat.png", "file:///etc/passwd", "data:image/png;base64,AAAA", "http://user:pw@example.com/"]
    {
        problem(api.post_json("/jobs", &json!({"image_url": url})).await, 400, "invalid_url").await;
    }
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn absent_jobs_and_results_are_not_found() {
    let api = Api::new();
    let nobody = "01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7";
    for route in [
        "/jobs/fake".to_owned(),
        format!("/jobs/{nobody}"),
        format!("/jobs/{nobody}/thumbnail"),
        format!("/jobs/{nobody}/results/poi_detection"),
        "/result/fake".to_owned(),
    ] {
        problem(api.get(&route).send().await.unwrap(), 404, "job_not_found").await;
    }
    let delete = api.request(Method::DELETE, "/jobs/fake").send().await.unwrap();
    problem(delete, 404, "job_not_found").await;
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn queries_out_of_range_are_refused() {
    let api = Api::new();
    for (query, code) in [
        ("limit=0", "invalid_limit"),
        ("limit=101", "invalid_limit"),
        ("limit=x", "invalid_limit"),
        ("cursor=x", "invalid_cursor"),
        ("status=lost", "invalid_status"),
        ("state=failed", "invalid_query"),
        ("limit=2&limit=3", "duplicate_parameter"),
    ] {
        problem(api.get(&format!("/jobs?{query}")).send().await.unwrap(), 400, code).await;
    }
    problem(api.get("/thumbnails?limit=1000").send().await.unwrap(), 400, "invalid_limit").await;
}
