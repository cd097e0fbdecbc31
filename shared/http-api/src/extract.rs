//! Extractors whose refusals are problems.

use std::collections::HashSet;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
};
use jobs::{error::Refusal, id::JobId};
use serde::de::DeserializeOwned;

use crate::Problem;

/// The job that a path names in its parameter `id`; a text that is no id names no job.
#[derive(Clone, Copy, Debug)]
pub struct JobPath(pub JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        #[derive(serde::Deserialize)]
        struct Parameters {
            id: String,
        }
        let parameters = Path::<Parameters>::from_request_parts(parts, state).await.ok();
        parameters
            .and_then(|Path(Parameters { id })| id.parse().ok())
            .map(Self)
            .ok_or_else(|| Refusal::no_such_job().into())
    }
}

/// The query string as `T`, in which nothing is given twice.
#[derive(Clone, Copy, Debug)]
pub struct ApiQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(texts) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|error| invalid_query(&error.body_text()))?;
        each_once(&texts)?;
        let Query(value) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|error| invalid_query(&error.body_text()))?;
        Ok(Self(value))
    }
}

fn invalid_query(text: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", format!("{text}."))
}

/// Refuses names and texts of which a name comes twice.
///
/// # Errors
/// A problem that says which.
pub fn each_once(texts: &[(String, String)]) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    match texts.iter().find(|(name, _)| !seen.insert(name)) {
        None => Ok(()),
        Some((name, _)) => Err(given_twice(name)),
    }
}

/// What is given twice could mean either.
#[must_use]
pub fn given_twice(name: &str) -> Problem {
    let text = format!("`{name}` is given more than once; where several are meant, separate them by commas.");
    Problem::new(StatusCode::BAD_REQUEST, "duplicate_parameter", text)
}

/// The whole body.
#[derive(Clone, Debug)]
pub struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let text = "The body is larger than any request of this route needs to be.";
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", text)
            } else {
                let text = "The body broke off; send it again.";
                Problem::new(StatusCode::BAD_REQUEST, "unreadable_body", text)
            }
        })
    }
}

/// A text without the byte order mark that some programs put before UTF-8.
#[must_use]
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Reads a JSON body as `T`. It is UTF-8, with or without a byte order mark (RFC 8259, 8.1).
///
/// # Errors
/// A problem that says where the JSON is not what it should be.
pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let body = without_mark(body);
    if matches!(body, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]) {
        let text = "The body is not JSON: it must be in UTF-8, and this is UTF-16 or UTF-32.";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_json", text));
    }
    // Serde would take a list for an object whose fields come in order.
    if body.trim_ascii_start().starts_with(b"[") {
        let text = "The JSON is not a request of this route: expected an object, not a list.";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_request", text));
    }
    serde_json::from_slice(body).map_err(|error| {
        let (code, what) = if error.is_data() {
            ("invalid_request", "The JSON is not a request of this route")
        } else {
            ("invalid_json", "The body is not JSON")
        };
        Problem::new(
            StatusCode::BAD_REQUEST,
            code,
            format!("{what}: {}.", without_values(&error.to_string())),
        )
    })
}

/// What serde says of JSON that does not fit, without the value that it found: that may be a secret in the wrong place.
/// Rust's names for things become JSON's.
fn without_values(text: &str) -> String {
    let expected = text.rfind(", expected ").map_or(text, |at| &text[at + 2..]);
    let Some((what, place)) =
        expected.strip_prefix("expected ").and_then(|rest| rest.split_once(" at line "))
    else {
        return expected.to_owned();
    };
    let what = match what {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "a sequence" => "a list",
        "a map" => "an object",
        what if what.starts_with("struct ") => "an object",
        what => what,
    };
    format!("expected {what} at line {place}")
}

#[cfg(test)]
mod tests {
    use jobs::secret::Secret;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Request {
        token: Option<Secret>,
        width: u8,
    }

    #[test]
    fn a_byte_order_mark_may_stand_before_json() {
        let request: Request = json(b"\xef\xbb\xbf {\"width\": 7}").expect("JSON");
        assert_eq!((request.width, request.token), (7, None));
        let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        json::<Request>(&utf16).expect_err("no UTF-8");
    }

    #[test]
    fn a_problem_says_what_was_expected_and_not_what_came() {
        for (body, code, detail) in [
            (
                r#"{"width": 1,"#,
                "invalid_json",
                "The body is not JSON: EOF while parsing a value at line 1 column 12.",
            ),
            (r#"{}"#, "invalid_request", "missing field `width` at line 1 column 2."),
            (r#"{"token": 12345}"#, "invalid_request", "expected a string at line 1 column 15."),
            (r#""hunter2, expected x""#, "invalid_request", "expected an object at line 1 column 21."),
            (r#" [1, 2]"#, "invalid_request", "expected an object, not a list."),
            (r#"{"hunter2": 1}"#, "invalid_request", "expected `token` or `width` at line 1 column 10."),
            (r#"{"width": 256}"#, "invalid_request", "expected a whole number at line 1 column 13."),
            ("\u{feff}{}", "invalid_request", "missing field `width` at line 1 column 2."),
            ("\0{\0}", "invalid_json", "it must be in UTF-8, and this is UTF-16 or UTF-32."),
        ] {
            let problem = json::<Request>(body.as_bytes()).expect_err(body);
            assert_eq!(problem, Problem::new(StatusCode::BAD_REQUEST, code, problem.detail()));
            assert!(problem.detail().ends_with(detail), "{body}: {}", problem.detail());
            assert!(!problem.detail().contains("hunter2") && !problem.detail().contains("12345"));
        }
    }
}
