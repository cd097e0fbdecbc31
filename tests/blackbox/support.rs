//! A client of the stack, servers for it to talk to, and pictures.

use std::{
    env, fs,
    io::Cursor,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use aws::{API_PATIENCE, Clients};
use axum::{Router, extract::Request, response::IntoResponse};
use bytes::Bytes;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use serde_json::Value;
use tokio::sync::Notify;

/// How long a job may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A variable that names part of the deployed stack.
pub(crate) fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `make test` deploys a stack and names it"))
}

/// A client of the stack's API.
pub(crate) struct Api {
    base: String,
    pub(crate) client: Client,
}

impl Api {
    pub(crate) fn new() -> Self {
        static PROVIDER: OnceLock<()> = OnceLock::new();
        PROVIDER.get_or_init(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self { base: variable("API_URL"), client }
    }

    /// A request to a route, such as `/jobs`.
    pub(crate) fn request(&self, method: Method, route: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{route}", self.base))
    }

    pub(crate) fn get(&self, route: &str) -> RequestBuilder {
        self.request(Method::GET, route)
    }

    pub(crate) fn post(&self, route: &str) -> RequestBuilder {
        self.request(Method::POST, route)
    }

    /// Follows a link of an answer, which is an absolute path.
    pub(crate) fn follow(&self, link: &Value) -> RequestBuilder {
        let link = link.as_str().unwrap_or_else(|| panic!("a link, not {link}"));
        assert!(link.starts_with('/'), "an absolute path, not {link}");
        let base = reqwest::Url::parse(&self.base).unwrap();
        self.client.get(base.join(link).unwrap())
    }

    /// Follows a link to a picture, as a page that shows it does.
    pub(crate) fn picture(&self, link: &Value) -> RequestBuilder {
        self.follow(link).header(header::ACCEPT, "image/avif,image/webp,image/png,image/*;q=0.8,*/*;q=0.5")
    }

    /// Posts JSON.
    pub(crate) async fn post_json(&self, route: &str, body: &Value) -> Response {
        let request = self.post(route).header(header::CONTENT_TYPE, "application/json");
        request.body(body.to_string()).send().await.unwrap()
    }

    /// Posts an image as the body and returns the job.
    pub(crate) async fn submit(&self, query: &str, image: Vec<u8>) -> Value {
        let request = self.post(&format!("/jobs?{query}")).header(header::CONTENT_TYPE, "image/png");
        let response = request.body(image).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        json(response).await
    }

    /// The job, once it has ended and its callback is delivered.
    pub(crate) async fn settled(&self, job: &Value) -> Value {
        let started = Instant::now();
        loop {
            let job = self.ended(job).await;
            if job["callback"]["state"] == "delivered" {
                return job;
            }
            assert!(started.elapsed() < PATIENCE, "the callback is still {}", job["callback"]);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The job, once it has ended.
    pub(crate) async fn ended(&self, job: &Value) -> Value {
        let id = id(job);
        let started = Instant::now();
        loop {
            let response = self.get(&format!("/jobs/{id}")).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let asked_back = response.headers().contains_key(header::RETRY_AFTER);
            let job = json(response).await;
            let over = ["succeeded", "failed"].contains(&job["status"].as_str().unwrap());
            assert_eq!(asked_back, !over, "Retry-After goes with a job that has not ended");
            if over {
                return job;
            }
            assert!(started.elapsed() < PATIENCE, "still {}: {job}", job["status"]);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Puts a file into the models bucket, or into the models folder of `darkroom serve`, as the operator of the stack
/// does.
pub(crate) async fn put_model(key: &str, body: impl Into<Bytes>) {
    if let Ok(folder) = env::var("MODELS_DIR") {
        let path = Path::new(&folder).join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        return fs::write(path, body.into()).unwrap();
    }
    let client = Clients::from_env(API_PATIENCE).await.s3();
    let put = client.put_object().bucket(variable("MODELS_BUCKET")).key(key);
    put.body(body.into().into()).send().await.unwrap();
}

/// Deletes a file that [`put_model`] put.
pub(crate) async fn delete_model(key: &str) {
    if let Ok(folder) = env::var("MODELS_DIR") {
        return fs::remove_file(Path::new(&folder).join(key)).unwrap();
    }
    let client = Clients::from_env(API_PATIENCE).await.s3();
    client.delete_object().bucket(variable("MODELS_BUCKET")).key(key).send().await.unwrap();
}

/// A client of SQS itself, for operations that no port offers.
pub(crate) async fn sqs() -> aws_sdk_sqs::Client {
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest());
    aws_sdk_sqs::Client::new(&config.http_client(aws::http_client()).load().await)
}

/// Waits until a queue has neither waiting nor hidden messages.
pub(crate) async fn queue_is_empty(variable_of_url: &str) {
    use aws_sdk_sqs::types::QueueAttributeName::{
        ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible,
    };
    let client = sqs().await;
    let started = Instant::now();
    loop {
        let attributes = client
            .get_queue_attributes()
            .queue_url(variable(variable_of_url))
            .attribute_names(ApproximateNumberOfMessages)
            .attribute_names(ApproximateNumberOfMessagesNotVisible)
            .send()
            .await
            .unwrap();
        if attributes.attributes.unwrap().values().all(|count| count == "0") {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "the queue never emptied");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) fn id(job: &Value) -> &str {
    job["job_id"].as_str().unwrap_or_else(|| panic!("a job, not {job}"))
}

pub(crate) async fn json(response: Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("JSON, not {text}"))
}

/// Asserts that an answer is a problem with this status and code, and returns it.
pub(crate) async fn problem(response: Response, status: u16, code: &str) -> Value {
    let (found, headers) = (response.status(), response.headers().clone());
    let problem = json(response).await;
    assert_eq!((found.as_u16(), problem["code"].as_str()), (status, Some(code)), "{problem}");
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(problem["status"], status);
    for member in ["type", "title", "detail", "request_id"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {problem}");
    }
    problem
}

/// A picture with corners: a light square on a dark ground, its top left corner at a quarter of each side.
pub(crate) fn picture(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| {
        let inside = (width / 4..width * 3 / 4).contains(&x) && (height / 4..height * 3 / 4).contains(&y);
        if inside { Rgb([230, 220, 200]) } else { Rgb([20, 30, 40]) }
    })
    .into()
}

pub(crate) fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).unwrap();
    file.into_inner()
}

pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    encode(&picture(width, height), ImageFormat::Png)
}

/// Starts a server on this machine for as long as the test runs, and returns its address.
pub(crate) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// A request that the receiver of callbacks got.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) headers: header::HeaderMap,
    pub(crate) body: Bytes,
}

/// A receiver of callbacks that answers with the given statuses in order, the last one for ever.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    arrived: Arc<Notify>,
}

impl Receiver {
    pub(crate) async fn answering(statuses: &'static [u16]) -> Self {
        let (received, arrived) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let (store, notify) = (received.clone(), arrived.clone());
        let hook = move |request: Request| {
            let (store, notify) = (store.clone(), notify.clone());
            async move {
                let headers = request.headers().clone();
                let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
                let count = {
                    let mut store = store.lock().unwrap();
                    store.push(Received { headers, body });
                    store.len()
                };
                notify.notify_waiters();
                let status = statuses[(count - 1).min(statuses.len() - 1)];
                axum::http::StatusCode::from_u16(status).unwrap().into_response()
            }
        };
        let url = serve(Router::new().fallback(hook)).await;
        Self { url: format!("{url}/hook"), received, arrived }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Waits until this many callbacks were received, and returns them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Received> {
        let waiting = async {
            loop {
                let arrival = self.arrived.notified();
                if self.received().len() >= count {
                    return self.received();
                }
                arrival.await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the callback never came")
    }
}
