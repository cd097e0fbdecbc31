//! Models of one's own: put into their bucket, named by a job.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Api, delete_model, id, json as read, problem, put_model};

/// A file of `tests/references/onnx`.
fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("references/onnx");
    std::fs::read(folder.join(name)).unwrap()
}

/// A key of this test run's own.
fn key(name: &str) -> String {
    format!("blackbox/{}/{name}", std::process::id())
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_model_of_ones_own_finds_what_it_is_made_to_find() {
    let api = Api::new();
    for name in ["yolov8.onnx", "yolov8.json"] {
        put_model(&key(name), file(name)).await;
    }
    let query = format!("onnx_detection.model={}&onnx_detection.min_score=0.6", key("yolov8.onnx"));
    let known: Value = serde_json::from_slice(&file("findings.json")).unwrap();
    let expected = known["onnxruntime"]["yolov8"].as_array().unwrap();
    let mut bodies = Vec::new();
    // The second job may meet a worker that has the model ready.
    for _ in 0..2 {
        let job = api.ended(&api.submit(&query, file("few.png")).await).await;
        assert_eq!(job["status"], "succeeded", "{job}");
        let summary = &job["results"]["onnx_detection"];
        let text = api.follow(&summary["url"]).send().await.unwrap().text().await.unwrap();
        let result: Value = serde_json::from_str(&text).unwrap();
        let found = result["detections"].as_array().unwrap();
        let strong: Vec<_> = expected.iter().filter(|row| row[4].as_f64() >= Some(0.6)).collect();
        assert_eq!((found.len(), &summary["count"]), (strong.len(), &json!(strong.len())));
        for (found, expected) in found.iter().zip(strong) {
            assert_eq!(found["class"], expected[5]);
            for (place, member) in ["x", "y", "width", "height", "score"].iter().enumerate() {
                let off = found[member].as_f64().unwrap() - expected[place].as_f64().unwrap();
                assert!(off.abs() < 0.01, "{member} of {found} is not {expected}");
            }
        }
        assert_eq!(result["model"]["key"], key("yolov8.onnx"));
        for digest in ["sha256", "description_sha256"] {
            assert_eq!(result["model"][digest].as_str().map(str::len), Some(64));
        }
        for form in ["geojson", "csv", "png"] {
            assert!(api.follow(&summary["forms"][form]).send().await.unwrap().status().is_success());
        }
        bodies.push(text);
    }
    assert_eq!(bodies[0], bodies[1], "the same again");

    // Another description under the same key counts at once.
    let mut description: Value = serde_json::from_slice(&file("yolov8.json")).unwrap();
    description["classes"] = json!(["box", "ball"]);
    put_model(&key("yolov8.json"), description.to_string()).await;
    let job = api.ended(&api.submit(&query, file("few.png")).await).await;
    let result = read(api.follow(&job["results"]["onnx_detection"]["url"]).send().await.unwrap()).await;
    assert_eq!(result["detections"][0]["class"], "box");
    for name in ["yolov8.onnx", "yolov8.json"] {
        delete_model(&key(name)).await;
    }
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_faulty_model_fails_its_job_with_a_code_that_says_why() {
    let api = Api::new();
    put_model(&key("broken.onnx"), file("yolov8.onnx")[..5000].to_vec()).await;
    put_model(&key("broken.json"), file("yolov8.json")).await;
    put_model(&key("lonely.onnx"), file("yolov8.onnx")).await;
    put_model(&key("vague.onnx"), file("yolov8.onnx")).await;
    put_model(&key("vague.json"), "{}").await;
    for (name, code) in [
        ("missing.onnx", "model_not_found"),
        ("lonely.onnx", "model_not_found"),
        ("broken.onnx", "invalid_model"),
        ("vague.onnx", "invalid_model_description"),
    ] {
        let query = format!("onnx_detection.model={}", key(name));
        let job = api.ended(&api.submit(&query, file("few.png")).await).await;
        assert_eq!((&job["status"], &job["error"]["code"]), (&json!("failed"), &json!(code)), "{}", id(&job));
        assert!(!job["error"]["message"].as_str().unwrap().to_lowercase().contains("tract"), "{job}");
    }
    let submit = async |algorithm: Value| {
        let request = json!({"image_url": "https://example.com/cat.png", "algorithms": [algorithm]});
        api.post_json("/jobs", &request).await
    };
    problem(submit(json!("onnx_detection")).await, 400, "missing_parameter").await;
    let outside = json!({"name": "onnx_detection", "parameters": {"model": "../cat.onnx"}});
    problem(submit(outside).await, 400, "invalid_parameter").await;
    for name in ["broken.onnx", "broken.json", "lonely.onnx", "vague.onnx", "vague.json"] {
        delete_model(&key(name)).await;
    }
}
