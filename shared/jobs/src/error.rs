//! Errors, classed by whose fault they are. The class decides what happens next, in one place for each caller.

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::codes;

/// A boxed cause.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Why a job failed, in the words that its owner sees: a stable code and a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// Stable, `snake_case`, fit to branch on.
    pub code: Cow<'static, str>,
    /// One sentence that may be shown: it has no secrets and no texts of other programs.
    pub message: String,
}

impl Failure {
    /// A failure with its code and sentence.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(codes::is_known(code), "{code} is not in `codes`");
        Self { code: Cow::Borrowed(code), message: message.into() }
    }
}

/// An error's text as a sentence: errors are written without a capital and a full stop, so that they can be joined.
#[must_use]
pub fn sentence(error: &dyn StdError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).chain((!text.ends_with('.')).then_some('.')).collect()
    })
}

/// An error with its causes, each behind a colon, for the log: log lines would otherwise show the outermost alone.
pub struct Chain<'a>(pub &'a (dyn StdError + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// A store, queue or other service behind a port did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed")]
pub struct PortError {
    /// The operation that failed, for the log.
    pub operation: &'static str,
    /// Whether asking again may help: throttled, timed out, not reachable. Otherwise something is wrong with the
    /// deployment or the data (access denied, a row that does not parse).
    pub retryable: bool,
    /// The service's own error, for the log only.
    #[source]
    pub cause: Cause,
}

/// A conditional write that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another writer was first (or the row is gone): read again and decide anew.
    #[error("another writer was first")]
    Conflict,
    /// The store failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Why a client's request was not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client's fault: sending it again unchanged will not help.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Our fault: the cause is logged, and the client does not see it.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Why a request was refused. Each has a stable code and its own sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind of refusal.
    pub reason: Reason,
    /// Stable, `snake_case`, fit to branch on.
    pub code: &'static str,
    /// A sentence that says what is wrong and what would be right.
    pub message: String,
    /// When the same request may be served, if it ever is.
    pub retry_after: Option<Duration>,
}

/// The kinds of refusal, which an HTTP function turns into a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The request is not well-formed, or asks for something impossible.
    Invalid,
    /// The thing that it names does not exist.
    NotFound,
    /// It is larger than this route accepts.
    TooLarge,
    /// Its media type, or its image's format, is not accepted.
    UnsupportedType,
    /// It is well-formed, but must not be done (a private address).
    Forbidden,
    /// Its idempotency key belongs to another request.
    KeyReused,
    /// The job is not in a state that allows it.
    Conflict,
    /// It has no key, or none that holds.
    NoKey,
    /// Its key does not allow it.
    OutOfScope,
    /// Its owner has used as much as is allowed.
    OverQuota,
}

impl Refusal {
    /// A refusal with its code and sentence.
    pub fn new(reason: Reason, code: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(codes::is_known(code), "{code} is not in `codes`");
        Self { reason, code, message: message.into(), retry_after: None }
    }

    /// Refuses a request that is not well-formed.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Reason::Invalid, code, message)
    }

    /// There is no such job.
    #[must_use]
    pub fn no_such_job() -> Self {
        Self::new(
            Reason::NotFound,
            "job_not_found",
            "There is no job with this id: it never existed, was deleted, or has expired.",
        )
    }
}

impl From<crate::algorithm::ParameterError> for Refusal {
    fn from(error: crate::algorithm::ParameterError) -> Self {
        let code = match error {
            crate::algorithm::ParameterError::Unknown { .. } => "unknown_parameter",
            crate::algorithm::ParameterError::Missing { .. } => "missing_parameter",
            crate::algorithm::ParameterError::Invalid { .. } => "invalid_parameter",
        };
        Self::invalid(code, sentence(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_becomes_a_sentence() {
        let error = |text: &str| Cause::from(text.to_owned());
        assert_eq!(sentence(&*error("the image is empty")), "The image is empty.");
        assert_eq!(sentence(&*error("Ärger.")), "Ärger.");
        assert_eq!(sentence(&*error("")), "");
    }

    #[test]
    fn a_chain_shows_every_cause() {
        let error = PortError { operation: "reading a job", retryable: false, cause: "access denied".into() };
        assert_eq!(Chain(&Error::Port(error)).to_string(), "reading a job failed: access denied");
    }
}
