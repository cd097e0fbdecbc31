//! Every key in the buckets. Nothing else builds or takes apart a key, but `template.yaml`, whose roles and
//! notification name parts of them.

use std::{fmt, str::FromStr};

pub use algorithm::{ModelKey, NotAModelKey};

use crate::id::JobId;

/// An object in the bucket. The text form is `{two hex digits}/{job id}/…`: the digits come from the id's random
/// tail, because a UUIDv7 starts with the time and every new key would share a prefix, and so one S3 partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKey {
    /// The image as it was sent in the request (`Origin::Upload`), or as it was fetched (`Origin::Url`).
    Source(JobId),
    /// The image as its owner uploaded it through a pre-signed URL (`Origin::PresignedUpload`). No other key ends in
    /// `upload`, so that the bucket can notify of uploads only.
    Upload(JobId),
    /// One form of one algorithm's result.
    Result {
        /// The job.
        job: JobId,
        /// The attempt that stored it. It is in the key so that a worker that was taken for dead cannot overwrite the
        /// results of another. `None` in objects of older releases.
        attempt: Option<u64>,
        /// The algorithm's name.
        algorithm: String,
        /// `json`, `geojson`, `csv`, `png`, `slack.gif`, …: everything after the first dot, because an algorithm's name
        /// has none.
        extension: String,
    },
}

/// A text that is not an object key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an object key of Darkroom")]
pub struct NotAnObjectKey;

/// The prefix of everything that a job owns.
#[must_use]
pub fn job_prefix(job: JobId) -> String {
    format!("{:02x}/{job}/", job.random_byte())
}

impl ObjectKey {
    /// The job that owns the object.
    #[must_use]
    pub fn job(&self) -> JobId {
        match self {
            Self::Source(job) | Self::Upload(job) | Self::Result { job, .. } => *job,
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&job_prefix(self.job()))?;
        match self {
            Self::Source(_) => f.write_str("source"),
            Self::Upload(_) => f.write_str("upload"),
            Self::Result { attempt: None, algorithm, extension, .. } => {
                write!(f, "results/{algorithm}.{extension}")
            }
            Self::Result { attempt: Some(attempt), algorithm, extension, .. } => {
                write!(f, "results/{attempt}/{algorithm}.{extension}")
            }
        }
    }
}

impl FromStr for ObjectKey {
    type Err = NotAnObjectKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '/');
        let (_, id, rest) = (parts.next(), parts.next(), parts.next());
        let job: JobId = id.and_then(|id| id.parse().ok()).ok_or(NotAnObjectKey)?;
        let key = match rest.ok_or(NotAnObjectKey)? {
            "source" => Self::Source(job),
            "upload" => Self::Upload(job),
            result => {
                let name = result.strip_prefix("results/").ok_or(NotAnObjectKey)?;
                let (attempt, name) = match name.split_once('/') {
                    Some((attempt, name)) => (Some(attempt.parse().map_err(|_| NotAnObjectKey)?), name),
                    None => (None, name),
                };
                let (algorithm, extension) = name.split_once('.').ok_or(NotAnObjectKey)?;
                Self::Result {
                    job,
                    attempt,
                    algorithm: algorithm.to_owned(),
                    extension: extension.to_owned(),
                }
            }
        };
        if key.to_string() == text { Ok(key) } else { Err(NotAnObjectKey) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> JobId {
        "01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7".parse().expect("a job id")
    }

    #[test]
    fn keys_read_as_documented_and_round_trip() {
        let result = ObjectKey::Result {
            job: job(),
            attempt: None,
            algorithm: "poi_detection".to_owned(),
            extension: "csv".to_owned(),
        };
        let emoji = ObjectKey::Result {
            job: job(),
            attempt: Some(12),
            algorithm: "thumbnail".to_owned(),
            extension: "slack.gif".to_owned(),
        };
        for (key, text) in [
            (emoji, "a7/01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7/results/12/thumbnail.slack.gif"),
            (ObjectKey::Source(job()), "a7/01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7/source"),
            (ObjectKey::Upload(job()), "a7/01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7/upload"),
            (result, "a7/01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7/results/poi_detection.csv"),
        ] {
            assert_eq!(key.to_string(), text);
            assert_eq!(text.parse(), Ok(key));
        }
    }

    #[test]
    fn foreign_keys_are_refused() {
        for text in [
            "",
            "a7",
            "a7/fake/source",
            "00/01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7/source",
            "a7/01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7/other",
            "a7/01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7/results/thumbnail",
            "a7/01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7/results/x/thumbnail.png",
            "a7/01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7/results/01/thumbnail.png",
            "a7/01990C2F-7C1E-7D3B-8A51-3F2F6F1D2AA7/source",
        ] {
            assert_eq!(text.parse::<ObjectKey>(), Err(NotAnObjectKey), "{text}");
        }
    }
}
