//! Every message on our queues. Messages are tagged and versioned, so that a release can read those that an older one
//! wrote.

use serde::{Deserialize, Serialize};

use crate::id::JobId;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Message {
    /// The job's image is stored or can be fetched: work on it.
    #[serde(rename = "process_job/1")]
    ProcessJob {
        /// The job.
        job_id: JobId,
    },
    /// The job has ended: tell its owner.
    #[serde(rename = "deliver_callback/1")]
    DeliverCallback {
        /// The job.
        job_id: JobId,
    },
}

impl Message {
    /// The job that the message is about.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        match self {
            Self::ProcessJob { job_id } | Self::DeliverCallback { job_id } => *job_id,
        }
    }
}

/// Reads a message of the object store's own, which announces uploads: their jobs, or `None` for any other message.
pub type ReadUploads = fn(&str) -> Option<Vec<JobId>>;

#[cfg(test)]
mod tests {
    use super::*;

    /// Bodies as released versions wrote them. A line is added for each new version; none is ever changed.
    #[test]
    fn every_body_ever_written_still_parses() {
        let job_id = "01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7".parse().expect("a job id");
        for (body, message) in [
            (
                r#"{"type":"process_job/1","job_id":"01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7"}"#,
                Message::ProcessJob { job_id },
            ),
            (
                r#"{"type":"deliver_callback/1","job_id":"01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7"}"#,
                Message::DeliverCallback { job_id },
            ),
        ] {
            assert_eq!(serde_json::from_str::<Message>(body).expect(body), message);
            assert_eq!(serde_json::to_string(&message).expect("serialises"), body);
        }
    }
}
