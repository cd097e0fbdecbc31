//! Signed uploads and downloads of a local store, in the place of S3.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use http_api::Problem;
use jobs::{key::ObjectKey, ports::ReadMethod};
use local::{CHECKSUM, NotGranted, Objects, Terms};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

/// How much of a file is read at once, in bytes.
const CHUNK: usize = 64 << 10;

/// The routes that signed URLs lead to.
pub(crate) fn router(objects: Objects) -> Router {
    Router::new()
        .route("/objects/{*key}", get(download).put(upload))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(objects))
}

/// The query of a signed URL.
#[derive(Debug, Deserialize)]
struct Grant {
    expires: i64,
    signature: String,
}

fn not_granted(_: NotGranted) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "upload_not_granted",
        "The address was not signed for this request: use the method and the headers that came with it, within its time.",
    )
}

/// Reads the grant of a request. One that cannot be read grants nothing.
fn grant_of(key: &str, query: Result<Query<Grant>, QueryRejection>) -> Result<(ObjectKey, Grant), Problem> {
    match (key.parse(), query) {
        (Ok(key), Ok(Query(grant))) => Ok((key, grant)),
        _ => Err(not_granted(NotGranted)),
    }
}

async fn upload(
    State(objects): State<Arc<Objects>>,
    Path(key): Path<String>,
    query: Result<Query<Grant>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let (key, grant) = grant_of(&key, query)?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = text(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let checksum = text(CHECKSUM);
    let bytes = text(header::CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
    let bytes: u64 = bytes.ok_or_else(|| not_granted(NotGranted))?;
    objects
        .signer()
        .check_upload(&key, grant.expires, Terms { content_type, bytes, checksum }, &grant.signature)
        .map_err(not_granted)?;
    let mut incoming = objects.begin().await?;
    let mut body = body.into_data_stream();
    while let Some(chunk) = next(&mut body).await? {
        incoming.write(&chunk).await?;
    }
    if incoming.bytes() != bytes {
        return Err(unreadable());
    }
    if checksum.is_some_and(|checksum| checksum != incoming.checksum()) {
        let text = "The file is not the one whose SHA-256 was announced; ask for an upload of this one.";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "upload_changed", text));
    }
    if objects.keep_upload(incoming, key.job(), content_type).await? {
        Ok(StatusCode::OK)
    } else {
        let text = "The job has its image already; an address takes one upload.";
        Err(Problem::new(StatusCode::PRECONDITION_FAILED, "already_uploaded", text))
    }
}

fn unreadable() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "unreadable_body", "The body did not arrive whole; send it again.")
}

async fn next(body: &mut axum::body::BodyDataStream) -> Result<Option<bytes::Bytes>, Problem> {
    let mut body = std::pin::Pin::new(body);
    std::future::poll_fn(|context| futures_core::Stream::poll_next(body.as_mut(), context))
        .await
        .transpose()
        .map_err(|_| unreadable())
}

async fn download(
    State(objects): State<Arc<Objects>>,
    Path(key): Path<String>,
    query: Result<Query<Grant>, QueryRejection>,
    method: Method,
) -> Result<Response, Problem> {
    let (key, grant) = grant_of(&key, query)?;
    let method = if method == Method::HEAD { ReadMethod::Head } else { ReadMethod::Get };
    objects.signer().check_download(method, &key, grant.expires, &grant.signature).map_err(not_granted)?;
    let Some((info, file)) = objects.open(&key).await? else {
        return Err(Problem::from(jobs::error::Refusal::no_such_job()));
    };
    let headers = [
        (header::CONTENT_TYPE, info.content_type),
        (header::CONTENT_LENGTH, info.bytes.to_string()),
        (header::ETAG, format!("\"{}\"", info.etag)),
        (header::CACHE_CONTROL, "private, max-age=900".to_owned()),
        // As S3 is told to say it.
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
    ];
    Ok((headers, Body::from_stream(ReaderStream::with_capacity(file, CHUNK))).into_response())
}

#[cfg(test)]
mod tests {
    use axum::{
        body::to_bytes,
        http::{HeaderValue, Request},
    };
    use jobs::id::JobId;
    use local::Store;
    use testing::contract::{self, SignedAnswer};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn signed_urls_allow_what_was_signed() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = "http://darkroom.example".parse().expect("a URL");
        let objects = Store::open(folder.path(), base).await.expect("a store").objects;
        let routes = router(objects.clone());
        let key = ObjectKey::Upload(JobId::new(std::time::SystemTime::now().into()));
        contract::signed_urls_allow_what_was_signed(&objects, key, async |method, url, headers, content| {
            let mut request = Request::builder().method(method).uri(url.as_str());
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let request = request.header(header::CONTENT_LENGTH, content.len()).body(Body::from(content));
            let answer = routes.clone().oneshot(request.expect("a request")).await.expect("an answer");
            let text = |name| answer.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            SignedAnswer {
                status: answer.status().as_u16(),
                content_type: text(header::CONTENT_TYPE).map(str::to_owned),
                content_disposition: text(header::CONTENT_DISPOSITION).map(str::to_owned),
                content_length: text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
                content: to_bytes(answer.into_body(), usize::MAX).await.expect("whole"),
            }
        })
        .await;
    }
}
