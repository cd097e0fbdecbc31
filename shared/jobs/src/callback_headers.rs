//! Headers that a client asks to be sent with its callback, because its gateway needs them: an API key, for example, or
//! basic authentication. Their values are secrets.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use crate::{error::Refusal, secret::Secret, units::thousands};

/// The most headers of a callback.
pub const MAX_HEADERS: usize = 5;

/// The longest name, in characters.
pub const MAX_NAME: usize = 64;

/// The longest value, in characters.
pub const MAX_VALUE: usize = 1_024;

/// Headers as a client asks for them, in order and unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallbackHeaders(pub Vec<(String, Secret)>);

/// An object of names and texts. A name that comes twice stays twice, to be refused later.
impl<'de> Deserialize<'de> for CallbackHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = CallbackHeaders;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of header names and their values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut headers = Vec::new();
                while let Some(header) = map.next_entry()? {
                    headers.push(header);
                }
                Ok(CallbackHeaders(headers))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

impl CallbackHeaders {
    /// Checks the headers and returns them by their names in lower case. `bearer` says whether a token is sent in
    /// `Authorization`.
    ///
    /// # Errors
    /// [`Refusal`] for too many headers, or one that cannot be sent. It repeats no value, and no name except a reserved
    /// one.
    pub fn checked(self, bearer: bool) -> Result<BTreeMap<String, Secret>, Refusal> {
        if self.0.len() > MAX_HEADERS {
            return Err(refused(&format!("has at most {MAX_HEADERS} headers")));
        }
        let mut headers = BTreeMap::new();
        for (name, value) in self.0 {
            if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(is_token) {
                let text = format!(
                    "has names of 1 to {MAX_NAME} letters, digits and hyphens, or others of !#$%&'*+.^_`|~"
                );
                return Err(refused(&text));
            }
            let name = name.to_ascii_lowercase();
            if let Some(reason) = reason_to_refuse(&name, bearer) {
                return Err(refused(&format!("must not have `{name}`: {reason}")));
            }
            if !is_value(value.expose()) {
                let most = thousands(MAX_VALUE as u64);
                let text = format!(
                    "has values of 1 to {most} visible ASCII characters, with blanks only between them"
                );
                return Err(refused(&text));
            }
            if headers.insert(name, value).is_some() {
                return Err(refused("has a name twice; capital and small letters are the same in names"));
            }
        }
        Ok(headers)
    }
}

fn refused(what: &str) -> Refusal {
    Refusal::invalid("invalid_callback_headers", format!("`callback_headers` {what}."))
}

/// The characters of a field name ([RFC 9110, 5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2)).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_value(text: &str) -> bool {
    (1..=MAX_VALUE).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        && text.trim_matches(' ') == text
}

/// Why a callback cannot have a header of that name, in lower case.
fn reason_to_refuse(name: &str, bearer: bool) -> Option<&'static str> {
    match name {
        // The headers of one connection (RFC 9110, 7.6.1), and others that proxies treat as such.
        "connection"
        | "keep-alive"
        | "proxy-authenticate"
        | "proxy-authorization"
        | "proxy-connection"
        | "te"
        | "trailer"
        | "transfer-encoding"
        | "upgrade" => Some("it is about one connection, not about the callback"),
        "expect" => Some("it changes how the callback is sent"),
        "host" | "user-agent" => Some("the service sends its own"),
        "authorization" if bearer => Some("`callback_token` is sent in it; give one of the two"),
        _ if name.starts_with("content-") || name.starts_with("webhook-") => {
            Some("the service sends its own")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&str, &str)], bearer: bool) -> Result<BTreeMap<String, Secret>, Refusal> {
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())));
        CallbackHeaders(headers.collect()).checked(bearer)
    }

    #[test]
    fn headers_that_gateways_ask_for_are_taken_and_their_names_have_no_case() {
        let asked = [("X-Api-Key", "hunter2"), ("Authorization", "Basic dTpw"), ("cookie", "a=1; b=2")];
        let headers = check(&asked, false).expect("taken");
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["authorization", "cookie", "x-api-key"]);
        assert_eq!(headers["authorization"].expose(), "Basic dTpw");
        let longest = ("n".repeat(MAX_NAME), "v".repeat(MAX_VALUE));
        check(&[(&longest.0, &longest.1)], true).expect("as long as can be");
        assert!(check(&[], true).expect("none").is_empty());
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_refused_and_no_value_is_repeated() {
        let many: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(|name| (name, "hunter2")).to_vec();
        let (long_name, long_value) = ("n".repeat(MAX_NAME + 1), "hunter2".repeat(MAX_VALUE));
        let mut refused = vec![
            many,
            vec![("", "hunter2")],
            vec![("hunter2 x", "1")],
            vec![("x:", "hunter2")],
            vec![("ä", "hunter2")],
            vec![(&long_name, "hunter2")],
            vec![("x", "")],
            vec![("x", &long_value)],
            vec![("x", " hunter2")],
            vec![("x", "hunter2\r\nset-cookie: 1")],
            vec![("x", "hunter2\0")],
            vec![("x", "hunter2ä")],
            vec![("X-Key", "hunter2"), ("x-key", "hunter2")],
        ];
        for name in [
            "Connection",
            "Keep-Alive",
            "Proxy-Authorization",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Expect",
            "Host",
            "User-Agent",
            "Content-Type",
            "Content-Length",
            "content-encoding",
            "webhook-id",
            "Webhook-Anything",
        ] {
            refused.push(vec![(name, "hunter2")]);
        }
        for headers in refused {
            let refusal = check(&headers, false).expect_err("refused");
            assert_eq!(refusal.code, "invalid_callback_headers");
            assert!(refusal.message.starts_with("`callback_headers` "), "{}", refusal.message);
            assert!(!refusal.message.contains("hunter2"), "{}", refusal.message);
        }
        let refusal = check(&[("Authorization", "Basic dTpw")], true).expect_err("the token's");
        assert!(refusal.message.contains("`callback_token`"), "{}", refusal.message);
    }

    #[test]
    fn json_gives_an_object_of_texts_and_a_name_may_not_come_twice() {
        let read = |json: &str| serde_json::from_str::<CallbackHeaders>(json);
        let headers = read(r#"{"b": "1", "a": "2"}"#).expect("an object").checked(false).expect("taken");
        assert_eq!(headers.len(), 2);
        assert!(read(r#"{"a": "1", "a": "2"}"#).expect("an object").checked(false).is_err());
        for json in [r#"["a"]"#, r#"{"a": 1}"#, r#"{"a": null}"#, r#""a: 1""#] {
            read(json).expect_err(json);
        }
    }
}
