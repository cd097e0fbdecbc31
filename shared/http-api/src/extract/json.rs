//! JSON bodies, and what is said of one that is not what a route takes.
//!
//! What came is never repeated, be it a name or a value: it may be a secret in the wrong place. So the sentences are
//! made of the route's own schema and of the place in the body, not of what the reader of JSON says.

use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};
use utoipa::{
    PartialSchema,
    openapi::{
        RefOr, Schema,
        schema::{AdditionalProperties, Object, SchemaType, Type},
    },
};

use super::too_large;
use crate::Problem;

/// The most bytes of a JSON body, or of options in another form: ten times what a request has in which every option has
/// the longest value that is taken.
pub const MAX_JSON: usize = 128 << 10;

/// A text without the byte order mark that some programs put before UTF-8.
#[must_use]
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Reads a JSON body as `T`. It is UTF-8, with or without a byte order mark (RFC 8259, 8.1).
///
/// # Errors
/// A problem that says where the JSON is not what it should be.
///
/// ```
/// # use http_api::extract::json;
/// #[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
/// struct Request {
///     width: u32,
/// }
/// let request: Request = json(br#"{"width": 7}"#)?;
/// assert_eq!(request.width, 7);
/// let problem = json::<Request>(br#"{"width": "wide"}"#).unwrap_err();
/// assert_eq!(problem.detail(), "The JSON is not a request of this route: `width` must be a whole number.");
/// # Ok::<(), http_api::Problem>(())
/// ```
pub fn json<T: DeserializeOwned + PartialSchema>(body: &[u8]) -> Result<T, Problem> {
    if body.len() > MAX_JSON {
        return Err(too_large());
    }
    let body = without_mark(body);
    if matches!(body, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]) {
        return Err(no_json("it must be in UTF-8, and this is UTF-16 or UTF-32"));
    }
    // Serde would take a list for an object whose fields come in order.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(no_request("it must be an object"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        match error.classify() {
            Category::Eof => no_json(&format!("it ends too early, in {place}")),
            Category::Syntax | Category::Io => no_json(&format!("look at {place}")),
            Category::Data => match mismatch(&T::schema(), body) {
                Some(mismatch) => no_request(&mismatch),
                None => {
                    no_request(&format!("look at what ends in {place}; /openapi.json says what fits there"))
                }
            },
        }
    })
}

fn no_json(why: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_json", format!("The body is not JSON: {why}."))
}

fn no_request(why: &str) -> Problem {
    let text = format!("The JSON is not a request of this route: {why}.");
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", text)
}

/// How a body differs from an object's schema, as far as the names of its members and their types tell.
fn mismatch(schema: &RefOr<Schema>, body: &[u8]) -> Option<String> {
    let RefOr::T(Schema::Object(schema)) = schema else { return None };
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
        return Some("it must be an object".to_owned());
    };
    if let Some(missing) = schema.required.iter().find(|name| !members.contains_key(*name)) {
        return Some(format!("`{missing}` is missing"));
    }
    if is_closed(schema) && members.keys().any(|name| !schema.properties.contains_key(name)) {
        let names: Vec<_> = schema.properties.keys().map(|name| format!("`{name}`")).collect();
        return Some(format!("it has a member that is none of {}", names.join(", ")));
    }
    members.iter().find_map(|(name, value)| {
        let types = types_of(schema.properties.get(name)?)?;
        let fits = types.iter().any(|one| fits(one, value));
        let all: Vec<_> = types.iter().map(name_of).collect();
        (!fits).then(|| format!("`{name}` must be {}", all.join(" or ")))
    })
}

/// Whether an object may have the members that its schema names, and no others.
fn is_closed(schema: &Object) -> bool {
    matches!(schema.additional_properties.as_deref(), Some(AdditionalProperties::FreeForm(false)))
}

/// The types that a member may have, if its schema names them itself.
fn types_of(schema: &RefOr<Schema>) -> Option<&[Type]> {
    let schema_type = match schema {
        RefOr::T(Schema::Object(object)) => &object.schema_type,
        RefOr::T(Schema::Array(array)) => &array.schema_type,
        _ => return None,
    };
    match schema_type {
        SchemaType::Type(one) => Some(std::slice::from_ref(one)),
        SchemaType::Array(types) => Some(types),
        SchemaType::AnyValue => None,
    }
}

fn fits(one: &Type, value: &Value) -> bool {
    match one {
        Type::Object => value.is_object(),
        Type::String => value.is_string(),
        Type::Integer => value.is_u64() || value.is_i64(),
        Type::Number => value.is_number(),
        Type::Boolean => value.is_boolean(),
        Type::Array => value.is_array(),
        Type::Null => value.is_null(),
    }
}

fn name_of(one: &Type) -> &'static str {
    match one {
        Type::Object => "an object",
        Type::String => "a text",
        Type::Integer => "a whole number",
        Type::Number => "a number",
        Type::Boolean => "true or false",
        Type::Array => "a list",
        Type::Null => "null",
    }
}

#[cfg(test)]
mod tests {
    use jobs::secret::Secret;
    use serde::Deserialize;
    use utoipa::ToSchema;

    use super::*;

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Request {
        #[schema(value_type = Option<String>)]
        token: Option<Secret>,
        width: u8,
        #[serde(default)]
        steps: Vec<u8>,
    }

    #[test]
    fn a_byte_order_mark_may_stand_before_json() {
        let request: Request = json(b"\xef\xbb\xbf {\"width\": 7}").expect("JSON");
        assert_eq!((request.width, request.token, request.steps), (7, None, vec![]));
        let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        json::<Request>(&utf16).expect_err("no UTF-8");
    }

    #[test]
    fn a_problem_says_what_was_expected_and_not_what_came() {
        for (body, code, detail) in [
            (r#"{"width": 1,"#, "invalid_json", "it ends too early, in line 1, column 12."),
            (r#"{"width": 1, hunter2}"#, "invalid_json", "look at line 1, column 14."),
            (r#"{}"#, "invalid_request", "`width` is missing."),
            ("\u{feff}{}", "invalid_request", "`width` is missing."),
            (r#"{"width": 1, "token": 12345}"#, "invalid_request", "`token` must be a text or null."),
            (r#"{"width": 1.5}"#, "invalid_request", "`width` must be a whole number."),
            (r#"{"width": 1, "steps": "hunter2"}"#, "invalid_request", "`steps` must be a list."),
            (r#""hunter2, expected x""#, "invalid_request", "it must be an object."),
            (r#" [1, 2]"#, "invalid_request", "it must be an object."),
            (
                r#"{"hunter2": 1, "width": 1}"#,
                "invalid_request",
                "it has a member that is none of `steps`, `token`, `width`.",
            ),
            (
                r#"{"width": 256}"#,
                "invalid_request",
                "look at what ends in line 1, column 13; /openapi.json says what fits there.",
            ),
            ("\0{\0}", "invalid_json", "it must be in UTF-8, and this is UTF-16 or UTF-32."),
        ] {
            let problem = json::<Request>(body.as_bytes()).expect_err(body);
            assert_eq!(problem, Problem::new(StatusCode::BAD_REQUEST, code, problem.detail()));
            assert!(problem.detail().ends_with(detail), "{body}: {}", problem.detail());
            assert!(!problem.detail().contains("hunter2") && !problem.detail().contains("12345"));
        }
    }
}
