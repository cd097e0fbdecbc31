//! Keys: who sends a request, and whether that is allowed.

use axum::{
    Router,
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use jobs::{
    access::{self, Gate, Scope},
    error::Error,
    secret::Secret,
};
use utoipa::openapi::{
    OpenApi,
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

use crate::Problem;

/// The header that a key may be in, beside `Authorization`.
const KEY: &str = "x-api-key";

/// The caller of a request that the gate has let in.
#[derive(Clone, Debug)]
pub struct Caller(pub access::Caller);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Without a gate nobody is known, so the request fails instead of being served as anybody's.
        parts.extensions.get().cloned().ok_or_else(|| Problem::internal("a route has no gate"))
    }
}

/// Puts a gate before a router's routes: what reads takes a key with the scope `read`, what deletes one with `delete`,
/// and everything else one with `submit`. Only the routes in `open`, asked without a query,
/// take none.
pub fn guarded(router: Router, gate: Gate, open: &'static [&'static str]) -> Router {
    router.route_layer(from_fn_with_state((gate, open), admit))
}

async fn admit(
    State((gate, open)): State<(Gate, &'static [&'static str])>,
    mut request: Request,
    next: Next,
) -> Response {
    // What an open route does by its query may cost more than it does by itself.
    if open.contains(&request.uri().path()) && request.uri().query().is_none() {
        return next.run(request).await;
    }
    let admitted = match gate.admit(key_of(request.headers()).as_ref()).await {
        Ok(caller) => caller
            .require(scope_of(request.method()))
            .map(|()| caller)
            .map_err(|refusal| Error::from(refusal).into()),
        Err(error) => Err(Problem::from(error)),
    };
    match admitted {
        Ok(caller) => {
            if let access::Caller::Holder(key) = &caller {
                let span = tracing::Span::current();
                span.record("key_id", key.id()).record("owner", tracing::field::display(&key.owner));
            }
            request.extensions_mut().insert(Caller(caller));
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn scope_of(method: &Method) -> Scope {
    if [Method::GET, Method::HEAD].contains(method) {
        Scope::Read
    } else if method == Method::DELETE {
        Scope::Delete
    } else {
        Scope::Submit
    }
}

/// The key that a request was sent with.
fn key_of(headers: &HeaderMap) -> Option<Secret> {
    let text = |name| headers.get(name).map(HeaderValue::as_bytes);
    let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, key) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
    });
    // What is no text is no key that there is, and is refused as such.
    text(KEY)
        .filter(|key| !key.is_empty())
        .or(bearer)
        .map(|key| Secret::new(String::from_utf8_lossy(key).into_owned()))
}

/// Says in a description how a key is sent, and that a service may be open.
pub fn describe(description: &mut OpenApi) {
    let components = description.components.get_or_insert_default();
    let text = "A key, if the service asks for one (`ACCESS=keys`).";
    let bearer = SecurityScheme::Http(
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build(),
    );
    components.add_security_scheme("bearer", bearer);
    components.add_security_scheme(
        "key",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(KEY, text))),
    );
    let either = ["bearer", "key"].map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new()));
    description.security = Some([SecurityRequirement::default()].into_iter().chain(either).collect());
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc, time::Duration};

    use axum::{body::Body, http::StatusCode, routing::get};
    use jobs::{
        access::{Access, Key, Quota},
        ports::{Clock as _, WriteKeys as _},
    };
    use testing::memory::{ManualClock, MemoryJobs};

    use super::*;
    use crate::{Links, service};

    async fn ask(router: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        let router = service::with_fallbacks(router.clone());
        service::answer(router, request, Links::default(), "r-1", Duration::MAX).await
    }

    fn routes(access: Access, keys: MemoryJobs, clock: ManualClock) -> Router {
        let shown =
            async |Caller(caller): Caller| caller.owner().map_or("anyone".to_owned(), ToString::to_string);
        let router = Router::new()
            .route("/jobs", get(shown).post(shown).delete(shown))
            .route("/health", get(async || "ok"));
        guarded(router, Gate::new(access, Arc::new(keys), Arc::new(clock)), &["/health"])
    }

    async fn key(keys: &MemoryJobs, clock: &ManualClock, scopes: &[Scope]) -> (Key, String) {
        let owner = "team-a".parse().expect("a name");
        let end = clock.now() + Duration::from_secs(3_600);
        let (key, text) = Key::new(
            owner,
            BTreeSet::from_iter(scopes.iter().copied()),
            Quota::default(),
            clock.now(),
            Some(end),
        );
        keys.write_key(&key).await.expect("written");
        (key, text.expose().to_owned())
    }

    #[tokio::test]
    async fn an_open_service_lets_everybody_in() {
        let router = routes(Access::Open, MemoryJobs::default(), ManualClock::default());
        for headers in [&[][..], &[("x-api-key", "dk_nonsense")]] {
            assert_eq!(ask(&router, Method::DELETE, "/jobs", headers).await.status(), StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn a_service_with_keys_lets_in_whoever_has_one_that_holds() {
        let (keys, clock) = (MemoryJobs::default(), ManualClock::default());
        let (stored, text) = key(&keys, &clock, &[Scope::Read]).await;
        let router = routes(Access::Keys, keys.clone(), clock.clone());
        let bearer = format!("bEaReR  {text} ");
        for headers in [[("x-api-key", text.as_str())], [("authorization", &bearer)]] {
            let answer = ask(&router, Method::GET, "/jobs", &headers).await;
            assert_eq!(answer.status(), StatusCode::OK);
            let body = axum::body::to_bytes(answer.into_body(), 100).await.expect("a body");
            assert_eq!(&body[..], b"team-a");
        }
        let basic = format!("Basic {text}");
        for headers in [
            &[][..],
            &[("authorization", basic.as_str())],
            &[("authorization", text.as_str())],
            &[("x-api-key", "")],
            &[("x-api-key", &text[..40])],
            &[("x-api-key", &"x".repeat(100_000))],
            &[("x-api-key", "\u{e4}")],
            &[("x-api-key", stored.hash.as_str())],
        ] {
            let answer = ask(&router, Method::GET, "/jobs", headers).await;
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{headers:?}");
            assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Bearer");
        }
        let both = [("x-api-key", ""), ("authorization", bearer.as_str())];
        assert_eq!(ask(&router, Method::GET, "/jobs", &both).await.status(), StatusCode::OK);
        assert_eq!(ask(&router, Method::GET, "/health", &[]).await.status(), StatusCode::OK);
        assert_eq!(ask(&router, Method::GET, "/health?deep=1", &[]).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&router, Method::GET, "/nowhere", &[]).await.status(), StatusCode::NOT_FOUND);
        let held = [("x-api-key", text.as_str())];
        for method in [Method::POST, Method::DELETE] {
            assert_eq!(ask(&router, method, "/jobs", &held).await.status(), StatusCode::FORBIDDEN);
        }

        keys.remove_key(&stored.hash).await.expect("removed");
        clock.advance(Duration::from_secs(61));
        let revoked = ask(&router, Method::GET, "/jobs", &held).await;
        assert_eq!(revoked.status(), StatusCode::UNAUTHORIZED, "a minute later at the latest");
        keys.write_key(&stored).await.expect("written");
        assert_eq!(ask(&router, Method::GET, "/jobs", &held).await.status(), StatusCode::OK);
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(
            ask(&router, Method::GET, "/jobs", &held).await.status(),
            StatusCode::UNAUTHORIZED,
            "ended"
        );
    }
}
