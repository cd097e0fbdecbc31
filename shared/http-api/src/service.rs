//! How a request reaches a router, and what happens to its answer.
//!
//! API Gateway shows a function the path without the stage, or with a custom domain's base path; clients see the
//! stage or that base path. Here the two are told apart: routers see `/jobs/…`, and [`Links`] know what precedes it.

use std::{
    convert::Infallible,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    body::{Body, HttpBody as _},
    http::{HeaderValue, Method, Request, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use jobs::error::PortError;
use lambda_http::{RequestExt as _, request::RequestContext::ApiGatewayV1};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use tokio::time::timeout;
use tower::{ServiceExt as _, service_fn};
use tracing::Instrument as _;
use url::Url;

use crate::{Links, Problem, prefer::AnswerBy};

/// Answers API Gateway's requests with a router, for as long as Lambda keeps the process. `public_url` is the API's
/// address where the gateway's own context does not tell it (behind another proxy).
///
/// # Errors
/// When the runtime API cannot be reached.
pub async fn run(router: Router, public_url: Option<Url>) -> Result<(), lambda_http::Error> {
    let router = with_fallbacks(router);
    let base = public_url.map(|url| url.path().to_owned());
    lambda_http::run(service_fn(move |request: lambda_http::Request| {
        let (router, base) = (router.clone(), base.clone());
        async move {
            let within =
                request.lambda_context_ref().map_or(Duration::MAX, |context| left(context.deadline()));
            let (id, found) = match request.request_context_ref() {
                Some(ApiGatewayV1(context)) => (
                    context.request_id.clone().unwrap_or_default(),
                    split_base(context.path.as_deref(), context.resource_path.as_deref()),
                ),
                _ => (String::new(), None),
            };
            let mut request = request.map(Body::new);
            let mut links = Links::new(base.as_deref().unwrap_or_default());
            if let Some((found, path)) = found {
                if base.is_none() {
                    links = Links::new(&found);
                }
                set_path(request.uri_mut(), &path);
            }
            Ok::<_, Infallible>(answer(router, request, links, &id, within).await)
        }
    }))
    .await
}

/// How long a request may take that Lambda ends at `deadline`: all that it asks of services shares this time, and
/// some is left to say that it was not enough.
fn left(deadline: SystemTime) -> Duration {
    const MARGIN: Duration = Duration::from_secs(1);
    deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(MARGIN)
}

/// A router whose unknown routes and methods are problems too.
pub fn with_fallbacks(router: Router) -> Router {
    router
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "no_such_route", "There is no such route; see /docs.")
        })
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "The route does not take this method; see /docs.",
            )
        })
}

/// One request: its id in the log and in problems, its links, its answer, and how long it may take. Work that is cut
/// off then leaves a whole row, or an image without a row, which expires.
pub async fn answer(
    router: Router,
    mut request: Request<Body>,
    links: Links,
    id: &str,
    within: Duration,
) -> Response {
    let span = tracing::info_span!(
        "request", request_id = id, method = %request.method(), path = request.uri().path(),
        // Of the key that it was sent with, once that is known.
        key_id = tracing::field::Empty, owner = tracing::field::Empty
    );
    request.extensions_mut().insert(links);
    if let Some(by) = tokio::time::Instant::now().checked_add(within) {
        request.extensions_mut().insert(AnswerBy(by));
    }
    let asks_for_headers = request.method() == Method::HEAD;
    async {
        let started = Instant::now();
        let answered = timeout(within, router.oneshot(request)).await;
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(elapsed) => Problem::from(PortError {
                operation: "answering in time",
                retryable: true,
                cause: Box::new(elapsed),
            })
            .into_response(),
        };
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            tracing::info!(problem = ?problem, "refused");
            // What the routes said beside the problem stays: when to try again, what is left, how a key is sent.
            let mut headers = std::mem::take(response.headers_mut());
            headers.remove(header::CONTENT_LENGTH);
            headers.remove(header::CONTENT_TYPE);
            response = problem.into_details(id);
            response.headers_mut().extend(headers);
        }
        if let Ok(id) = HeaderValue::from_str(id) {
            response.headers_mut().insert("x-request-id", id);
        }
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // A cache before the service knows nothing of keys, and would show one owner's answer to another.
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(no_store);
        if asks_for_headers {
            response = without_content(response);
        }
        if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            // The router counts what is sent; here that says nothing of the content, which is elsewhere or not at all.
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(status = response.status().as_u16(), milliseconds, "answered");
        response
    }
    .instrument(span)
    .await
}

/// What `HEAD` is answered: the headers of `GET`, how long its content is among them ([RFC 9110, 9.3.2]).
///
/// [RFC 9110, 9.3.2]: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2
fn without_content(mut response: Response) -> Response {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(length.into());
    }
    *response.body_mut() = Body::empty();
    response
}

/// Splits the path that the client used into what precedes the API and the route, which has as many segments as the
/// resource that API Gateway matched.
fn split_base(path: Option<&str>, resource: Option<&str>) -> Option<(String, String)> {
    let segments: Vec<_> = path?.trim_matches('/').split('/').collect();
    let of_route = resource?.trim_matches('/').split('/').count();
    let (base, route) = segments.split_at(segments.len().checked_sub(of_route)?);
    let absolute =
        |segments: &[&str]| segments.iter().map(|segment| format!("/{segment}")).collect::<String>();
    // Pages and links repeat the base; a gateway's own has nothing but these characters.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    let base = absolute(base);
    base.chars().all(is_plain).then(|| (base, absolute(route)))
}

fn set_path(uri: &mut Uri, path: &str) {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    // API Gateway decodes what was escaped, and some of that cannot stand in a URI as it is.
    let path = percent_encode(path.as_bytes(), NOT_IN_PATHS);
    *uri = format!("{path}{query}").parse().unwrap_or_else(|_| Uri::from_static("/-"));
}

/// What is escaped in a path: control characters, what is not ASCII, and what would end the path.
const NOT_IN_PATHS: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`');

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use jobs::error::Refusal;

    use super::*;

    #[test]
    fn the_base_is_what_precedes_the_route() {
        let split = |path, resource| split_base(Some(path), Some(resource));
        let owned = |base: &str, route: &str| Some((base.to_owned(), route.to_owned()));
        assert_eq!(split("/v1/jobs", "/jobs"), owned("/v1", "/jobs"));
        assert_eq!(split("/v1/jobs/", "/jobs"), owned("/v1", "/jobs"));
        assert_eq!(split("/jobs/7", "/jobs/{id}"), owned("", "/jobs/7"));
        assert_eq!(split("/v1/\"><b>/docs/guide/index", "/docs/guide/{name}"), None);
        assert_eq!(
            split("/a/b/jobs/7/results/x.csv", "/jobs/{id}/results/{algorithm}"),
            owned("/a/b", "/jobs/7/results/x.csv")
        );
        assert_eq!(split("/jobs", "/jobs/{id}"), None);
    }

    #[test]
    fn a_route_keeps_its_query_and_what_cannot_stand_in_a_path_is_escaped() {
        let mut uri = Uri::from_static("https://example.com/v1/jobs?limit=2");
        set_path(&mut uri, "/jobs");
        assert_eq!(uri, "/jobs?limit=2");
        for (path, escaped) in [
            ("/jobs/a b", "/jobs/a%20b?limit=2"),
            ("/status/\n", "/status/%0A?limit=2"),
            ("/status/\u{e4}?#", "/status/%C3%A4%3F%23?limit=2"),
            ("/status/%2541", "/status/%2541?limit=2"),
        ] {
            set_path(&mut uri, path);
            assert_eq!(uri, escaped);
        }
    }

    #[tokio::test]
    async fn head_is_answered_as_get_without_the_content() {
        let router = Router::new()
            .route("/text", get(async || ([(header::ETAG, "\"7\"")], "twelve bytes")))
            .route("/problem", get(async || Problem::from(Refusal::no_such_job())))
            .route("/same", get(async || StatusCode::NOT_MODIFIED));
        for (path, status) in [("/text", 200), ("/problem", 404), ("/same", 304), ("/nowhere", 404)] {
            let ask = async |method: Method| {
                let request =
                    Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
                answer(with_fallbacks(router.clone()), request, Links::default(), "r-1", Duration::MAX).await
            };
            let (head, whole) = (ask(Method::HEAD).await, ask(Method::GET).await);
            assert_eq!((head.status().as_u16(), whole.status().as_u16()), (status, status), "{path}");
            let (headers, mut expected) = (head.headers().clone(), whole.headers().clone());
            let body = axum::body::to_bytes(whole.into_body(), 10_000).await.expect("a body");
            if status != 304 {
                expected.insert(header::CONTENT_LENGTH, body.len().into());
            }
            assert_eq!(headers, expected, "{path}");
            let nothing = axum::body::to_bytes(head.into_body(), 10_000).await.expect("a body");
            assert!(nothing.is_empty(), "{path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_longer_than_lambda_allows_is_answered_before_that() {
        let router =
            Router::new().route("/slow", get(async || tokio::time::sleep(Duration::from_secs(60)).await));
        let request = Request::builder().uri("/slow").body(Body::empty()).expect("a request");
        let within = Duration::from_secs(14);
        let response = answer(with_fallbacks(router), request, Links::default(), "r-1", within).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        let hour = SystemTime::now() + Duration::from_secs(3_600);
        assert!((3_500..3_600).contains(&left(hour).as_secs()));
        assert_eq!(left(SystemTime::UNIX_EPOCH), Duration::ZERO);
    }

    #[tokio::test]
    async fn an_unknown_route_is_a_problem_with_the_request_s_id() {
        let router = with_fallbacks(Router::new());
        let request = Request::builder().uri("/nowhere").body(Body::empty()).expect("a request");
        let response = answer(router, request, Links::default(), "r-1", Duration::MAX).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.expect("a body");
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(problem["code"], "no_such_route");
        assert_eq!(problem["request_id"], "r-1");
    }
}
