//! URLs that carry the right to read or write one object for a while, signed with a key that only this service has.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jobs::{key::ObjectKey, ports::ReadMethod, submit::hexadecimal};
use sha2::Sha256;
use time::OffsetDateTime;
use url::Url;

/// The name of a method in HTTP.
pub(crate) fn name(method: ReadMethod) -> &'static str {
    match method {
        ReadMethod::Get => "GET",
        ReadMethod::Head => "HEAD",
    }
}

/// The properties that an upload must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms<'a> {
    /// Its media type.
    pub content_type: &'a str,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of its bytes in Base64, as the header `x-amz-checksum-sha256` has it.
    pub checksum: Option<&'a str>,
}

/// Signs URLs, and checks those that it signed.
#[derive(Clone)]
pub struct Signer {
    base: Url,
    key: Hmac<Sha256>,
}

/// A URL that does not grant the request: it was never signed, has been changed, or has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address was not signed for this, or its time is over")]
pub struct NotGranted;

impl Signer {
    /// Signs URLs below `base`, with a key of at least 16 bytes.
    pub(crate) fn new(base: Url, key: &[u8]) -> Option<Self> {
        let key = (key.len() >= 16).then(|| Hmac::new_from_slice(key).ok()).flatten()?;
        Some(Self { base, key })
    }

    /// The MAC over everything that a URL grants, each part on a line of its own.
    fn mac(&self, method: &str, key: &ObjectKey, expires: i64, terms: Option<Terms<'_>>) -> Hmac<Sha256> {
        let mut mac = self.key.clone();
        mac.update(format!("{method}\n{key}\n{expires}\n").as_bytes());
        if let Some(Terms { content_type, bytes, checksum }) = terms {
            mac.update(format!("{bytes}\n{content_type}").as_bytes());
            if let Some(checksum) = checksum {
                mac.update(format!("\n{checksum}").as_bytes());
            }
        }
        mac
    }

    pub(crate) fn sign(
        &self,
        method: &str,
        key: &ObjectKey,
        validity: Duration,
        terms: Option<Terms<'_>>,
    ) -> Url {
        let expires = (OffsetDateTime::now_utc() + validity).unix_timestamp();
        let mac = self.mac(method, key, expires, terms).finalize().into_bytes();
        let signature = hexadecimal(&mac);
        let mut url = self.base.clone();
        let path = format!("{}/objects/{key}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url.query_pairs_mut()
            .append_pair("expires", &expires.to_string())
            .append_pair("signature", &signature);
        url
    }

    /// Whether a signed URL allows a download, or to ask for its headers alone.
    ///
    /// # Errors
    /// [`NotGranted`].
    pub fn check_download(
        &self,
        method: ReadMethod,
        key: &ObjectKey,
        expires: i64,
        signature: &str,
    ) -> Result<(), NotGranted> {
        self.check(name(method), key, expires, None, signature)
    }

    /// Whether a signed URL allows an upload like that.
    ///
    /// # Errors
    /// [`NotGranted`].
    pub fn check_upload(
        &self,
        key: &ObjectKey,
        expires: i64,
        terms: Terms<'_>,
        signature: &str,
    ) -> Result<(), NotGranted> {
        self.check("PUT", key, expires, Some(terms), signature)
    }

    fn check(
        &self,
        method: &str,
        key: &ObjectKey,
        expires: i64,
        terms: Option<Terms<'_>>,
        signature: &str,
    ) -> Result<(), NotGranted> {
        let signature = bytes_of(signature).ok_or(NotGranted)?;
        self.mac(method, key, expires, terms).verify_slice(&signature).map_err(|_| NotGranted)?;
        if expires <= OffsetDateTime::now_utc().unix_timestamp() {
            return Err(NotGranted);
        }
        Ok(())
    }
}

fn bytes_of(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        hexadecimal.chars().map(|digit| digit.to_digit(16).and_then(|digit| digit.try_into().ok())).collect();
    Some(digits?.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn signer() -> Signer {
        let base = Url::parse("https://images.example.com/v1").expect("a URL");
        Signer::new(base, &[7; 32]).expect("long enough")
    }

    fn key() -> ObjectKey {
        ObjectKey::Upload("01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7".parse().expect("a job id"))
    }

    fn query(url: &Url, name: &str) -> String {
        url.query_pairs().find(|(found, _)| found == name).expect("there").1.into_owned()
    }

    #[test]
    fn a_signature_grants_what_was_signed_and_nothing_else() {
        let terms = Terms { content_type: "image/png", bytes: 5, checksum: Some("c2hhMjU2") };
        let url = signer().sign("PUT", &key(), MINUTE, Some(terms));
        assert_eq!(url.path(), format!("/v1/objects/{}", key()));
        let expires: i64 = query(&url, "expires").parse().expect("a number");
        let signature = query(&url, "signature");
        let upload = |key: &ObjectKey, expires, content_type, bytes, signature: &str| {
            let terms = Terms { content_type, bytes, ..terms };
            signer().check_upload(key, expires, terms, signature)
        };
        assert_eq!(upload(&key(), expires, "image/png", 5, &signature), Ok(()));
        let other = ObjectKey::Source(key().job());
        for refused in [
            upload(&other, expires, "image/png", 5, &signature),
            upload(&key(), expires + 1, "image/png", 5, &signature),
            upload(&key(), expires, "image/gif", 5, &signature),
            upload(&key(), expires, "image/png", 6, &signature),
            upload(&key(), expires, "image/png", 5, &signature[2..]),
            upload(&key(), expires, "image/png", 5, "not hexadecimal"),
            upload(&key(), expires, "image/png", 5, ""),
            signer().check_upload(&key(), expires, Terms { checksum: None, ..terms }, &signature),
            signer().check_download(ReadMethod::Get, &key(), expires, &signature),
        ] {
            assert_eq!(refused, Err(NotGranted));
        }
    }

    #[test]
    fn a_grant_ends() {
        let url = signer().sign("GET", &key(), Duration::ZERO, None);
        let expires = query(&url, "expires").parse().expect("a number");
        let check = |method| signer().check_download(method, &key(), expires, &query(&url, "signature"));
        assert_eq!(check(ReadMethod::Get), Err(NotGranted));
    }

    #[test]
    fn a_grant_is_for_one_method() {
        let url = signer().sign("HEAD", &key(), MINUTE, None);
        let expires = query(&url, "expires").parse().expect("a number");
        let check = |method| signer().check_download(method, &key(), expires, &query(&url, "signature"));
        assert_eq!(check(ReadMethod::Head), Ok(()));
        assert_eq!(check(ReadMethod::Get), Err(NotGranted));
    }

    #[test]
    fn another_key_signs_otherwise_and_a_short_one_does_not() {
        let url = signer().sign("GET", &key(), MINUTE, None);
        let other = Signer::new(signer().base, &[8; 32]).expect("long enough");
        let expires = query(&url, "expires").parse().expect("a number");
        let refused = other.check_download(ReadMethod::Get, &key(), expires, &query(&url, "signature"));
        assert_eq!(refused, Err(NotGranted));
        assert!(Signer::new(signer().base, &[7; 15]).is_none());
    }
}
