//! Asking a running service: whether it is ready, and whether a job goes through from end to end.

use std::time::Duration;

use image::{RgbImage, codecs::jpeg::JpegEncoder};
use jobs::error::{Cause, Chain};
use reqwest::{
    Client, Response, StatusCode,
    header::{self, HeaderMap, HeaderValue},
    redirect::Policy,
};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::arguments;

/// The longest that one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// How long the job may take.
const JOB: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(200);

/// The way in which a service failed the check.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no answer.
    #[error("{0} gives no answer: {1}")]
    Unreachable(Url, String),
    /// The answer has another status than it should have.
    #[error("{url} answers {status}, not {expected}: {body}")]
    Status {
        /// The URL that was requested.
        url: Url,
        /// The answer's status.
        status: StatusCode,
        /// The status that was expected.
        expected: StatusCode,
        /// The body of the answer.
        body: String,
    },
    /// The job has ended otherwise, or has not ended.
    #[error("the job is {status} after {seconds} s: {error}")]
    Job {
        /// Its status.
        status: String,
        /// How long it was waited for.
        seconds: u64,
        /// Why it failed, as far as is known.
        error: String,
    },
    /// The answer is not what the documentation says.
    #[error("the answer of {0} is not as documented: {1}")]
    Answer(Url, String),
    /// The check itself cannot be made.
    #[error("the check cannot be made: {0}")]
    Own(#[source] Cause),
}

/// Asks whether a service is ready.
///
/// # Errors
/// [`CheckError`] where it is not.
pub(crate) async fn health(asked: &arguments::Service) -> Result<(), CheckError> {
    let service = Service::new(asked)?;
    service.get("/health/ready", StatusCode::OK).await.map(drop)
}

/// Submits a small picture to a service, waits for its job, fetches the thumbnail and deletes the job.
/// Returns a sentence about how it went.
///
/// # Errors
/// [`CheckError`] at the first step that goes otherwise.
pub(crate) async fn check(asked: &arguments::Service) -> Result<String, CheckError> {
    let service = Service::new(asked)?;
    let started = Instant::now();
    let url = service.route("/jobs");
    let submitted = service
        .client
        .post(url.clone())
        .header(header::CONTENT_TYPE, "image/jpeg")
        .body(picture()?)
        .send()
        .await;
    let job = json(&url, expected(&url, submitted, StatusCode::ACCEPTED).await?).await?;
    let id = job["job_id"].as_str().ok_or_else(|| CheckError::Answer(url, "it has no job_id".to_owned()))?;
    let route = format!("/jobs/{id}");
    loop {
        let job = json(&service.route(&route), service.get(&route, StatusCode::OK).await?).await?;
        match job["status"].as_str() {
            Some("succeeded") => break,
            Some("queued" | "processing") if started.elapsed() < JOB => sleep(PAUSE).await,
            status => {
                let status = status.unwrap_or("without a status").to_owned();
                let error = job["error"].to_string();
                return Err(CheckError::Job { status, seconds: started.elapsed().as_secs(), error });
            }
        }
    }
    let url = service.route(&format!("{route}/thumbnail"));
    let thumbnail = service.get(&format!("{route}/thumbnail"), StatusCode::OK).await?;
    let content_type = thumbnail.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if content_type != Some("image/png") {
        return Err(CheckError::Answer(url, format!("the thumbnail is {content_type:?}, not image/png")));
    }
    let body = thumbnail.bytes().await.map_err(|error| unreachable(&url, &error))?;
    // A PNG's width and height stand in its first chunk.
    if body.get(16..24) != Some(&[0, 0, 0, 100, 0, 0, 0, 100]) {
        return Err(CheckError::Answer(url, "the thumbnail is not 100 × 100".to_owned()));
    }
    let took = started.elapsed().as_millis();
    let url = service.route(&route);
    expected(&url, service.client.delete(url.clone()).send().await, StatusCode::NO_CONTENT).await?;
    Ok(format!("{} made a thumbnail of {} bytes in {took} ms", service.base, body.len()))
}

struct Service {
    base: Url,
    client: Client,
}

impl Service {
    fn new(asked: &arguments::Service) -> Result<Self, CheckError> {
        runtime::outbound::install_tls();
        let mut headers = HeaderMap::new();
        if let Some(key) = &asked.key {
            let mut value = HeaderValue::from_str(key).map_err(|error| CheckError::Own(error.into()))?;
            value.set_sensitive(true);
            headers.insert("x-api-key", value);
        }
        let client = Client::builder()
            // A key goes to no other host.
            .redirect(Policy::none())
            .default_headers(headers)
            .timeout(ANSWER)
            .no_proxy()
            .build()
            .map_err(|error| CheckError::Own(error.into()))?;
        Ok(Self { base: asked.url.clone(), client })
    }

    fn route(&self, route: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{route}", self.base.path().trim_end_matches('/')));
        url
    }

    async fn get(&self, route: &str, status: StatusCode) -> Result<Response, CheckError> {
        let url = self.route(route);
        expected(&url, self.client.get(url.clone()).send().await, status).await
    }
}

async fn expected(
    url: &Url,
    answer: reqwest::Result<Response>,
    expected: StatusCode,
) -> Result<Response, CheckError> {
    let answer = answer.map_err(|error| unreachable(url, &error))?;
    if answer.status() == expected {
        return Ok(answer);
    }
    let status = answer.status();
    let body = answer.text().await.unwrap_or_default().chars().take(500).collect();
    Err(CheckError::Status { url: url.clone(), status, expected, body })
}

fn unreachable(url: &Url, error: &reqwest::Error) -> CheckError {
    CheckError::Unreachable(url.clone(), Chain(error).to_string())
}

async fn json(url: &Url, answer: Response) -> Result<Value, CheckError> {
    let text = answer.text().await.map_err(|error| unreachable(url, &error))?;
    serde_json::from_str(&text).map_err(|error| CheckError::Answer(url.clone(), error.to_string()))
}

/// A gradient, as a JPEG.
fn picture() -> Result<Vec<u8>, CheckError> {
    let gradient = RgbImage::from_fn(320, 240, |x, y| {
        let level = |value: u32| u8::try_from(value % 256).unwrap_or_default();
        image::Rgb([level(x), level(y), level(x + y)])
    });
    let mut file = Vec::new();
    gradient
        .write_with_encoder(JpegEncoder::new_with_quality(&mut file, 90))
        .map_err(|error| CheckError::Own(error.into()))?;
    Ok(file)
}
