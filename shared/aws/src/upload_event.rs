//! The events that S3 sends when pre-signed uploads arrive.
//!
//! The shape is [Event message structure] of the S3 user guide; keys in it are URL-encoded, blanks as `+`.
//!
//! [Event message structure]: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html

use jobs::{id::JobId, key::ObjectKey};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(untagged)]
enum Event {
    Notification {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    Test {
        #[serde(rename = "Event")]
        event: String,
    },
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventName")]
    event_name: String,
    s3: Entity,
}

impl Record {
    /// Services that speak S3's API write its prefix, which S3 itself leaves out in messages.
    fn is_of_an_upload(&self) -> bool {
        self.event_name.strip_prefix("s3:").unwrap_or(&self.event_name).starts_with("ObjectCreated:")
    }
}

#[derive(Deserialize)]
struct Entity {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

/// The jobs whose uploads a message announces: none for the test that S3 sends when a notification is set up, and
/// `None` for a message that is not S3's.
#[must_use]
pub fn uploaded_jobs(body: &str) -> Option<Vec<JobId>> {
    match serde_json::from_str(body).ok()? {
        Event::Test { event } => (event == "s3:TestEvent").then(Vec::new),
        Event::Notification { records } => Some(
            records
                .iter()
                .filter(|record| record.is_of_an_upload())
                .filter_map(|record| upload_key(&record.s3.object.key))
                .collect(),
        ),
    }
}

fn upload_key(encoded: &str) -> Option<JobId> {
    let key = encoded.replace('+', " ");
    match percent_decode_str(&key).decode_utf8().ok()?.parse() {
        Ok(ObjectKey::Upload(job)) => Some(job),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7";

    fn notification(event: &str, key: &str) -> String {
        format!(
            r#"{{"Records":[{{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"{event}",
                "s3":{{"bucket":{{"name":"b"}},"object":{{"key":"{key}","size":3,"eTag":"e"}}}}}}]}}"#
        )
    }

    #[test]
    fn an_upload_names_its_job() {
        let job = JOB.parse().expect("a job id");
        for key in [format!("a7/{JOB}/upload"), format!("a7%2F{JOB}%2Fupload")] {
            for event in ["ObjectCreated:Put", "s3:ObjectCreated:Put"] {
                assert_eq!(uploaded_jobs(&notification(event, &key)), Some(vec![job]));
            }
        }
    }

    #[test]
    fn an_event_that_is_no_upload_starts_nothing() {
        for (event, key) in [
            ("ObjectRemoved:Delete", format!("a7/{JOB}/upload")),
            ("ObjectCreated:Put", format!("a7/{JOB}/source")),
            ("ObjectCreated:Put", "a+b/%ff".to_owned()),
        ] {
            assert_eq!(uploaded_jobs(&notification(event, &key)), Some(vec![]));
        }
        let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#;
        assert_eq!(uploaded_jobs(test), Some(vec![]));
    }

    #[test]
    fn other_messages_are_not_s3_s() {
        for body in ["", "{}", "[]", r#"{"type":"process_job/1","job_id":"x"}"#, r#"{"Event":"other"}"#] {
            assert_eq!(uploaded_jobs(body), None, "{body}");
        }
    }
}
