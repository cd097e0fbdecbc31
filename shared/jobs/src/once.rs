//! Requests that are sent again under the same `Idempotency-Key` are served once.

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{
    access::Owner,
    error::{Reason, Refusal},
    id::JobId,
    submit::hexadecimal,
};

/// The longest key that is taken, in bytes.
pub const MAX_KEY: usize = 255;

/// A request's key and what it asked for, as hashes: neither the key nor the request can be read from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    key: String,
    request: String,
    until: OffsetDateTime,
}

/// The earlier use of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// The job.
    pub job: JobId,
    /// The hash of the request.
    pub request: String,
}

impl RequestKey {
    /// The key of an owner's request with these contents, valid until `until`. Each owner has keys of its own, and so
    /// have the callers of a service that is open, together.
    ///
    /// # Errors
    /// [`Refusal`] for a key that is empty, too long or has others than visible ASCII characters.
    pub fn new(
        key: &str,
        owner: Option<&Owner>,
        contents: &Fingerprint,
        until: OffsetDateTime,
    ) -> Result<Self, Refusal> {
        if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Refusal::invalid(
                "invalid_idempotency_key",
                format!("`Idempotency-Key` must be 1 to {MAX_KEY} visible ASCII characters without blanks."),
            ));
        }
        let request = hexadecimal(&contents.0.clone().finalize());
        // A blank is in no owner's name and in no key.
        let owned = owner.map_or_else(|| key.to_owned(), |owner| format!("{owner} {key}"));
        Ok(Self { key: hexadecimal(&Sha256::digest(owned)), request, until })
    }

    /// The hash of the key, in lowercase hexadecimal.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The hash of the request, in lowercase hexadecimal.
    #[must_use]
    pub fn request(&self) -> &str {
        &self.request
    }

    /// When the key expires.
    #[must_use]
    pub fn until(&self) -> OffsetDateTime {
        self.until
    }

    /// Checks that the earlier use of the key was for the same request.
    ///
    /// # Errors
    /// [`Refusal`] where another request has the key.
    pub fn check(&self, earlier: &Earlier) -> Result<(), Refusal> {
        if earlier.request == self.request {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::KeyReused,
            "idempotency_key_reused",
            "Another request had this `Idempotency-Key`: give each request a key of its own, and the same key only to \
             the same request sent again.",
        ))
    }
}

/// A hash of everything that tells one request from another.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// Adds a part. Its length is hashed too, so that the same bytes in other parts give another hash.
    pub fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str, parts: &[&str]) -> Result<RequestKey, Refusal> {
        let mut fingerprint = Fingerprint::default();
        for part in parts {
            fingerprint.add(part.as_bytes());
        }
        RequestKey::new(text, None, &fingerprint, OffsetDateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_key_is_visible_ascii_and_not_kept_as_it_is() {
        let longest = "k".repeat(MAX_KEY);
        for text in ["a", "0199-…".trim_end_matches('…'), &longest] {
            let key = key(text, &["body"]).expect(text);
            assert_eq!((key.key().len(), key.request().len()), (64, 64));
            assert!(!format!("{key:?}").contains(&format!("\"{text}\"")));
        }
        for text in ["", "a b", "ä", "a\n", &"k".repeat(MAX_KEY + 1)] {
            assert_eq!(key(text, &[]).expect_err(text).code, "invalid_idempotency_key");
        }
    }

    #[test]
    fn each_owner_has_keys_of_its_own() {
        let of = |owner: Option<&str>| {
            let owner = owner.map(|owner| owner.parse().expect("a name"));
            RequestKey::new("k", owner.as_ref(), &Fingerprint::default(), OffsetDateTime::UNIX_EPOCH)
                .expect("a key")
        };
        assert_eq!(of(Some("a")), of(Some("a")));
        assert!(of(Some("a")) != of(Some("b")) && of(Some("a")) != of(None));
        assert_eq!(of(None), key("k", &[]).expect("a key"));
    }

    #[test]
    fn the_same_request_is_known_again_and_another_is_refused() {
        let first = key("k", &["image", "100"]).expect("a key");
        let earlier =
            Earlier { job: JobId::new(OffsetDateTime::UNIX_EPOCH), request: first.request().to_owned() };
        assert_eq!(key("k", &["image", "100"]).expect("a key").check(&earlier), Ok(()));
        for parts in [&["image", "101"][..], &["image100"], &["image1", "00"], &[]] {
            let refused = key("k", parts).expect("a key").check(&earlier).expect_err("another request");
            assert_eq!((refused.reason, refused.code), (Reason::KeyReused, "idempotency_key_reused"));
        }
    }
}
