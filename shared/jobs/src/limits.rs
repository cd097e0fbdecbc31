//! Every limit of the service and its default, in one place.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::job::{Job, Terms};

/// The wait `first`, doubled `times` times, and at most `longest`.
#[must_use]
pub fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(longest)
}

/// The longest that a job waits for the effect of a message before it is sent again.
const LONGEST_PATIENCE: Duration = Duration::from_secs(3_600);

/// How far the clocks of two machines may be apart.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

/// How long after its URL has expired an upload may still arrive, because the upload or its event takes that long.
const UPLOAD_GRACE: Duration = Duration::from_secs(300);

/// The limits of a deployment. The defaults are the documented ones; `runtime::Config` reads others from the
/// environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// The most bytes of an image sent in the request itself. Lambda takes 6 MB of payload, base64 included.
    pub inline_bytes: u64,
    /// The most bytes of a pre-signed upload.
    pub upload_bytes: u64,
    /// The most bytes fetched from an `image_url`.
    pub fetch_bytes: u64,
    /// The most pixels, summed over frames.
    pub pixels: u64,
    /// The most frames.
    pub frames: u32,
    /// The most memory that a decoder may take, in bytes.
    pub decoder_bytes: u64,
    /// The most memory that a detector may take beside the image, in bytes. With an image of the most pixels, its file
    /// and its thumbnail, this leaves room in a function of 1,769 MB.
    pub detector_bytes: u64,
    /// The most bytes of one file of a result: what is stored in the time that storing has.
    pub result_bytes: u64,
    /// The most redirects followed to an image.
    pub redirects: u8,
    /// The most bytes of a model.
    pub model_bytes: u64,
    /// How long connecting to a host may take.
    pub connect: Duration,
    /// How long fetching an image may take in all.
    pub fetch: Duration,
    /// How long the work on one job may take, fetching excluded.
    pub job: Duration,
    /// How long a claimed job may wait for a free processor. Zero in Lambda, where a function works on one job at a
    /// time.
    pub turn: Duration,
    /// How often a job may be started before it is given up, so that the job of an image that kills its worker ends
    /// too.
    pub attempts: u32,
    /// How long a pre-signed upload URL works.
    pub upload_validity: Duration,
    /// How long a job and its objects are kept.
    pub retention: Duration,
    /// How long a job has to end, unless its owner says otherwise.
    pub deadline: Duration,
    /// How long a message has to have its effect before it is sent again.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inline_bytes: 4_500_000,
            upload_bytes: 100_000_000,
            fetch_bytes: 25_000_000,
            pixels: 50_000_000,
            frames: 60,
            decoder_bytes: 512 << 20,
            detector_bytes: 768 << 20,
            result_bytes: 32_000_000,
            redirects: 3,
            model_bytes: 100_000_000,
            connect: Duration::from_secs(5),
            fetch: Duration::from_secs(20),
            job: Duration::from_secs(60),
            turn: Duration::ZERO,
            attempts: 3,
            upload_validity: Duration::from_secs(3_600),
            retention: Duration::from_secs(30 * 24 * 3_600),
            deadline: Duration::from_secs(24 * 3_600),
            patience: Duration::from_secs(300),
        }
    }
}

impl Limits {
    /// The duration of a lease: the longest that fetching, waiting for a processor and working may take, some time to
    /// store the results, and the most that the clocks of two machines may be apart.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.fetch + self.turn + self.job + Duration::from_secs(20) + CLOCK_DIFFERENCE
    }

    /// When a job is given up. The row of an older release does not say, so it follows from the limits.
    #[must_use]
    pub fn deadline_of(&self, job: &Job) -> OffsetDateTime {
        let longest = self.deadline + self.upload_validity + UPLOAD_GRACE;
        job.deadline().unwrap_or_else(|| job.created_at() + longest)
    }

    /// How long a message has to have its effect if it was sent again `times` times before. It gets longer each time,
    /// because the queue may simply be long, and every further message makes it longer.
    #[must_use]
    pub fn patience_after(&self, times: u32) -> Duration {
        doubled(self.patience, times, LONGEST_PATIENCE.max(self.patience))
    }

    /// The terms of a job whose image is at hand.
    #[must_use]
    pub fn terms(&self, deadline: Option<Duration>) -> Terms {
        // The callback needs time too before the row expires.
        let deadline = deadline.unwrap_or(self.deadline).min(self.retention / 2);
        Terms { retention: self.retention, deadline, patience: self.patience }
    }

    /// The terms of a job that waits for its upload. The time for the upload is added to its deadline.
    #[must_use]
    pub fn upload_terms(&self, deadline: Option<Duration>) -> Terms {
        let patience = self.upload_validity + UPLOAD_GRACE;
        let terms = self.terms(deadline);
        Terms { deadline: (terms.deadline + patience).min(self.retention / 2), patience, ..terms }
    }

    /// How long a worker, or an upload that was granted, may still write to the objects of a job that is deleted now.
    #[must_use]
    pub fn until_untouched(&self) -> Duration {
        (self.lease() + self.patience).max(self.upload_validity + UPLOAD_GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_to_an_hour() {
        let limits = Limits::default();
        let minutes: Vec<_> = (0..6).map(|times| limits.patience_after(times).as_secs() / 60).collect();
        assert_eq!(minutes, [5, 10, 20, 40, 60, 60]);
        assert_eq!(limits.patience_after(u32::MAX), LONGEST_PATIENCE);
    }

    #[test]
    fn a_job_that_is_kept_for_a_day_ends_and_is_told_of_within_it() {
        let limits = Limits { retention: Duration::from_secs(24 * 3_600), ..Limits::default() };
        for terms in [limits.terms(None), limits.upload_terms(Some(Duration::from_secs(1 << 20)))] {
            assert!(terms.deadline <= limits.retention / 2);
            assert!(terms.patience < terms.deadline);
        }
    }
}
