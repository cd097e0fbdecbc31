//! The errors between here and the server of an image, worded so that a client knows where the fault is.

use std::{error::Error as StdError, io, time::Duration};

use jobs::{
    error::Failure,
    ports::FetchError,
    units::{bytes, thousands},
};
use reqwest::{
    StatusCode,
    header::{CONTENT_RANGE, HeaderMap},
};
use rustls::CertificateError;

use super::{
    NotPermitted, Unresolved,
    coding::{CodingError, MOST_CODINGS},
    private,
};

fn retryable(code: &'static str, text: impl Into<String>) -> FetchError {
    FetchError::Retryable { failure: Failure::new(code, text), after: None }
}

/// Why a request got no answer. `connect` is how long connecting may take.
pub(super) fn unanswered(error: &reqwest::Error, connect: Duration) -> FetchError {
    let mut kind = None;
    for cause in causes(error) {
        if cause.is::<NotPermitted>() {
            return private("image_url").into();
        }
        if cause.is::<Unresolved>() {
            let text = "The name of the server in `image_url` was not found; check its spelling, or try again later.";
            return retryable("source_unreachable", text);
        }
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return insecure(error);
        }
        if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            let text = "The server of `image_url` answered with something that is not HTTP.";
            return retryable("source_unreachable", text);
        }
        kind = cause.downcast_ref::<io::Error>().map(io::Error::kind).or(kind);
    }
    if error.is_builder() {
        let text = "The server of `image_url` redirects to an address that cannot be asked.";
        return Failure::new("source_refused", text).into();
    }
    if !error.is_connect() {
        let text = "The server of `image_url` ended the connection without an answer.";
        return retryable("source_incomplete", text);
    }
    let text = match kind {
        _ if error.is_timeout() => format!(
            "The server of `image_url` did not take the connection within {} seconds.",
            connect.as_secs()
        ),
        Some(io::ErrorKind::ConnectionRefused) => {
            "The server of `image_url` refused the connection; check the port, or try again later.".to_owned()
        }
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
            "There is no way through the network to the server of `image_url`.".to_owned()
        }
        _ => "The server of `image_url` could not be connected to.".to_owned(),
    };
    retryable("source_unreachable", text)
}

/// An error and all its causes. The error that an [`io::Error`] wraps is not its source, so it is looked up separately.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error: &&'a (dyn StdError + 'static)| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// Whether a request was not made because its address is not permitted.
pub(super) fn is_not_permitted(error: &reqwest::Error) -> bool {
    causes(error).any(<dyn StdError + 'static>::is::<NotPermitted>)
}

/// Why TLS failed. An invalid certificate is permanent, because it stays invalid for longer than a job is tried.
fn insecure(error: &rustls::Error) -> FetchError {
    let rustls::Error::InvalidCertificate(reason) = error else {
        let text =
            "No secure connection to the server of `image_url` came about; does it speak TLS at that port?";
        return retryable("source_tls", text);
    };
    let reason = match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name"
        }
        CertificateError::Revoked => "it was revoked",
        CertificateError::UnknownIssuer => {
            "no authority that is trusted has issued it, or the server leaves out those between"
        }
        _ => "it cannot be checked",
    };
    let text = format!("The certificate of the server of `image_url` is not valid: {reason}.");
    Failure::new("source_tls", text).into()
}

/// Why a status other than 2xx is not followed.
pub(super) fn refused(status: StatusCode, after: Option<Duration>) -> FetchError {
    let reason = status.canonical_reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let answered = format!("The server of `image_url` answered {}{reason}.", status.as_u16());
    if status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
    {
        FetchError::Retryable { failure: Failure::new("source_unavailable", answered), after }
    } else {
        Failure::new("source_refused", answered).into()
    }
}

/// A redirect that names no address which can be followed.
pub(super) fn leads_nowhere(status: StatusCode) -> FetchError {
    let text = format!(
        "The server of `image_url` answered {} without an address that is followed: http(s), but not from https to \
         http, to a port below 1024 other than 80 and 443, or with a user name.",
        status.as_u16()
    );
    Failure::new("source_refused", text).into()
}

/// More redirects than are followed.
pub(super) fn too_many_redirects(most: u8) -> FetchError {
    let text = format!("The server of `image_url` redirects more than {most} times.");
    Failure::new("too_many_redirects", text).into()
}

/// The time for fetching passed before there was an answer, or after this much of it.
pub(super) fn too_slow(limit: Duration, received: Option<(u64, Option<u64>)>) -> FetchError {
    let seconds = limit.as_secs();
    let text = match received {
        None => format!("The server of `image_url` did not answer within {seconds} seconds."),
        Some(received) => {
            let so_much = of(received);
            format!("The server of `image_url` sent too slowly: {so_much} within {seconds} seconds.")
        }
    };
    retryable("source_timeout", text)
}

/// The answer ended before it was whole, after this much of it.
pub(super) fn broke_off(received: (u64, Option<u64>)) -> FetchError {
    let text = format!("The server of `image_url` broke off within the image, after {}.", of(received));
    retryable("source_incomplete", text)
}

fn of((received, announced): (u64, Option<u64>)) -> String {
    match announced {
        Some(announced) => format!("{} of {}", thousands(received), bytes(announced)),
        None => bytes(received),
    }
}

/// Refuses an answer that is only a part of the image.
///
/// # Errors
/// [`FetchError`] if the status or the headers say that it is a part.
pub(super) fn require_whole(status: StatusCode, headers: &HeaderMap) -> Result<(), FetchError> {
    let range = headers.get(CONTENT_RANGE).filter(|_| status == StatusCode::PARTIAL_CONTENT);
    let is_whole = range.is_none_or(|range| {
        let range = range.to_str().ok().and_then(|range| range.trim().strip_prefix("bytes "));
        let bounds = range.and_then(|range| range.split_once('/'));
        bounds.is_some_and(|(part, whole)| {
            let last: Option<u64> = part.strip_prefix("0-").and_then(|last| last.parse().ok());
            last.and_then(|last| last.checked_add(1)).is_some_and(|end| whole.parse() == Ok(end))
        })
    });
    if is_whole {
        Ok(())
    } else {
        let text =
            "The server of `image_url` sent a part of the image (206), although the whole was asked for.";
        Err(retryable("source_incomplete", text))
    }
}

/// The image has more bytes than are fetched.
pub(super) fn too_large(limit: u64) -> FetchError {
    let text =
        format!("The image at `image_url` has more than {}; POST /uploads may take more.", bytes(limit));
    Failure::new("image_too_large", text).into()
}

/// A content coding that is not known, or that the content is not in. `limit` is the most bytes, `fetch` the time.
pub(super) fn undecoded(error: &CodingError, limit: u64, fetch: Duration) -> FetchError {
    const READ: &str = "identity, gzip, deflate and br are read";
    let text = match error {
        CodingError::TooLarge => return too_large(limit),
        CodingError::Incomplete(coding) => {
            let text =
                format!("The server of `image_url` broke off within the image: its {coding} is cut off.");
            return retryable("source_incomplete", text);
        }
        CodingError::TimedOut => {
            let text =
                format!("The image at `image_url` was not decompressed within {} seconds.", fetch.as_secs());
            return retryable("source_timeout", text);
        }
        CodingError::Unknown(Some(name)) => {
            format!("The server of `image_url` sent the content coding `{name}`; {READ}.")
        }
        CodingError::Unknown(None) => {
            format!("The server of `image_url` sent a content coding that is no word; {READ}.")
        }
        CodingError::TooMany => {
            format!("The server of `image_url` sent more than {MOST_CODINGS} content codings.")
        }
        CodingError::Invalid(coding) => {
            format!("The server of `image_url` says that its answer is {coding}, and it is not.")
        }
    };
    Failure::new("source_encoding", text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error as it comes out of a handshake: TLS's own within one of the transport.
    fn shaken(error: rustls::Error) -> io::Error {
        io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn a_certificate_s_fault_is_named_and_not_tried_again() {
        for (fault, words) in [
            (CertificateError::Expired, "has expired"),
            (CertificateError::NotValidYet, "not valid yet"),
            (CertificateError::NotValidForName, "for another name"),
            (CertificateError::UnknownIssuer, "no authority that is trusted"),
            (CertificateError::Revoked, "was revoked"),
            (CertificateError::BadEncoding, "cannot be checked"),
        ] {
            let error = shaken(rustls::Error::InvalidCertificate(fault));
            let found = causes(&error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
            let FetchError::Permanent(failure) = insecure(found.expect("it is in there")) else {
                panic!("a certificate is no better in ten seconds");
            };
            assert_eq!(failure.code, "source_tls");
            assert!(failure.message.contains(words), "{}", failure.message);
        }
        let error = insecure(&rustls::Error::HandshakeNotComplete);
        assert!(matches!(error, FetchError::Retryable { .. }));
    }
}
