//! SDK errors as port errors.

use std::error::Error as StdError;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use jobs::error::PortError;

/// Turns an SDK's error into a port's. Whether asking again may help follows from what failed: the way there, the
/// service itself (5xx), or its patience (throttling); everything else is a fault of the deployment.
pub(crate) fn port_error<E>(operation: &'static str) -> impl FnOnce(SdkError<E, HttpResponse>) -> PortError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    move |error| PortError { operation, retryable: is_retryable(&error), cause: Box::new(error) }
}

fn is_retryable<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    const THROTTLED: [&str; 8] = [
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    ];
    match error {
        SdkError::ServiceError(context) => {
            context.raw().status().is_server_error()
                || context.err().code().is_some_and(|code| THROTTLED.contains(&code))
        }
        SdkError::ConstructionFailure(_) => false,
        _ => true,
    }
}

/// A port error for something that is wrong with the data, not with the way to it.
pub(crate) fn broken(
    operation: &'static str,
    cause: impl Into<Box<dyn StdError + Send + Sync>>,
) -> PortError {
    PortError { operation, retryable: false, cause: cause.into() }
}
