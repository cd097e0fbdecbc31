//! Every limit of the service and its default, in one place.

use std::time::Duration;

/// What a deployment accepts. The defaults are the documented ones; `runtime::Config` reads others from the
/// environment.
#[derive(Clone, Debug)]
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
    /// How long a job that is claimed may wait for a processor: no time in a function, which takes one job after another.
    pub turn: Duration,
    /// How often a job may be started before it is given up: an image that kills its worker must end too.
    pub attempts: u32,
    /// How long a pre-signed upload URL works.
    pub upload_validity: Duration,
    /// How long a job and its objects are kept.
    pub retention: Duration,
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
            redirects: 3,
            model_bytes: 100_000_000,
            connect: Duration::from_secs(5),
            fetch: Duration::from_secs(20),
            job: Duration::from_secs(60),
            turn: Duration::ZERO,
            attempts: 3,
            upload_validity: Duration::from_secs(3_600),
            retention: Duration::from_secs(30 * 24 * 3_600),
        }
    }
}

impl Limits {
    /// How long a claim on a job lasts: fetching, waiting for a processor and working at their longest, and some time to
    /// store the results.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.fetch + self.turn + self.job + Duration::from_secs(20)
    }
}
