//! What is left of a key's quota, in the headers of the answer to every POST ([RateLimit header fields]).
//!
//! [RateLimit header fields]: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method},
    middleware::Next,
    response::Response,
};
use http_api::Caller;
use jobs::{error::Chain, quota::Left, submit::Submitter};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// A day, in seconds.
const WINDOW: u64 = 86_400;

pub(crate) async fn tell(State(submitter): State<Arc<Submitter>>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().cloned();
    let is_submission = request.method() == Method::POST;
    let mut response = next.run(request).await;
    let Some(Caller(caller)) = caller.filter(|_| is_submission) else { return response };
    let left = submitter.meter.left(&caller).await.unwrap_or_else(|error| {
        tracing::warn!(error = %Chain(&error), "what is left of a quota is not told");
        None
    });
    if let Some(left) = left {
        write(&left, response.headers_mut());
    }
    response
}

fn write(left: &Left, headers: &mut HeaderMap) {
    let resets_in = left.resets_in.as_secs();
    let policy = |(name, most, _)| {
        let unit = if name == "bytes" { ";qu=\"content-bytes\"" } else { "" };
        format!("\"{name}\";q={most};w={WINDOW}{unit}")
    };
    let policies: Vec<_> = left.parts().map(policy).collect();
    let limits: Vec<_> =
        left.parts().map(|(name, _, left)| format!("\"{name}\";r={left};t={resets_in}")).collect();
    for (name, values) in [(POLICY, policies), (LIMIT, limits)] {
        if let Ok(value) = HeaderValue::from_str(&values.join(", ")) {
            headers.insert(name, value);
        }
    }
}
