//! SDK errors as port errors.

use std::error::Error as StdError;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use jobs::error::PortError;

/// Turns an SDK's error into a port's. A retry may help if the connection failed, the service failed (5xx) or the call
/// was throttled; everything else is a fault of the deployment.
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

/// A port error for data that is not as it should be, which no retry would change.
pub(crate) fn broken(
    operation: &'static str,
    cause: impl Into<Box<dyn StdError + Send + Sync>>,
) -> PortError {
    PortError { operation, retryable: false, cause: cause.into() }
}
