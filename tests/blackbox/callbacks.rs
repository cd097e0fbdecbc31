//! Callbacks, as their receivers see them.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{Api, Received, Receiver, id, png};

/// Verifies a callback as Standard Webhooks' own libraries do, and returns its body.
fn verified(received: &Received, key: &[u8]) -> Value {
    let header = |name: &str| received.headers[name].to_str().unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(&received.body);
    let expected = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), expected);
    event(received)
}

/// The body of a callback.
fn event(received: &Received) -> Value {
    assert_eq!(received.headers["content-type"], "application/json");
    serde_json::from_slice(&received.body).unwrap()
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn the_end_of_a_job_is_told_signed_and_with_links_that_work() {
    let api = Api::new();
    let receiver = Receiver::answering(&[204]).await;
    let key = b"0123456789abcdef0123456789abcdef";
    let token = format!("whsec_{}", BASE64_STANDARD.encode(key));
    let query = format!("callback_url={}&callback_token={}", receiver.url, token.replace('+', "%2B"));
    let job = api.submit(&query, png(90, 90)).await;
    assert!(!job.to_string().contains(&token), "the token is never shown");
    assert_eq!(job["callback"]["state"], "pending");

    let received = receiver.wait_for(1).await;
    let event = verified(&received[0], key);
    assert!(!received[0].headers.contains_key("authorization"), "a key is never sent");
    assert_eq!(event["type"], "job.succeeded");
    assert_eq!(event["data"]["job_id"], job["job_id"]);
    assert!(!event.to_string().contains(&token));
    let url = event["data"]["results"]["thumbnail"]["url"].as_str().unwrap();
    let thumbnail = api.client.get(url).send().await.expect("an absolute URL");
    assert_eq!(thumbnail.status(), 200);

    let callback = &api.settled(&job).await["callback"];
    let told = |name: &str| callback[name].clone();
    assert_eq!((told("url"), told("state")), (json!(receiver.url), json!("delivered")));
    assert_eq!(
        (told("attempts"), told("last_status"), told("next_try_at")),
        (json!(1), json!(204), Value::Null)
    );
    assert_eq!(callback["tries"][0]["status"], 204);
    assert!(callback["tries"][0]["milliseconds"].is_u64(), "{callback}");

    let again = api.post(&format!("/jobs/{}/callback", id(&job))).send().await.unwrap();
    assert_eq!(again.status(), 202);
    let received = receiver.wait_for(2).await;
    assert_eq!(received[0].headers["webhook-id"], received[1].headers["webhook-id"]);
    assert_eq!(verified(&received[1], key)["type"], "job.succeeded");
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_receiver_that_fails_is_tried_again_with_the_same_id() {
    let api = Api::new();
    let receiver = Receiver::answering(&[500, 200]).await;
    let query = format!("callback_url={}&callback_token=plain&callback_headers.X-Key=hunter2", receiver.url);
    let job = api.submit(&query, b"GIF89a".to_vec()).await;
    assert_eq!(job["callback"]["headers"], json!(["x-key"]));
    let received = receiver.wait_for(2).await;
    for callback in &received {
        assert_eq!(callback.headers["x-key"], "hunter2");
        assert_eq!(callback.headers["authorization"], "Bearer plain");
        assert!(!callback.headers.contains_key("webhook-signature"), "what is sent signs nothing");
        assert!(!String::from_utf8_lossy(&callback.body).contains("hunter2"));
    }
    let events: Vec<_> = received.iter().map(event).collect();
    assert_eq!(received[0].headers["webhook-id"], received[1].headers["webhook-id"]);
    assert_eq!(events[1]["type"], "job.failed");
    assert_eq!(events[1]["data"]["error"]["code"], "corrupt_image", "{}", events[1]);
    assert_eq!(events[1]["data"]["job_id"], id(&job));
}
