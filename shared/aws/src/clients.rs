//! One HTTP client, one set of credentials, and a client for each service that a function uses.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{Builder, tls};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::{Bucket, JobsTable, Queue};

/// How long an API function waits for a service; its own timeout is 15 s.
pub const API_PATIENCE: Duration = Duration::from_secs(8);

/// How long a worker waits for a service; a lease allows 20 s for that.
pub const WORKER_PATIENCE: Duration = Duration::from_secs(15);

/// An HTTP client for the SDKs, on rustls and ring.
#[must_use]
pub fn http_client() -> SharedHttpClient {
    Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https()
}

/// Makes the adapters. Region, credentials and endpoints come from the environment (`AWS_REGION`,
/// `AWS_ENDPOINT_URL`, …), as for every AWS SDK.
#[derive(Debug)]
pub struct Clients(SdkConfig);

impl Clients {
    /// Reads the environment; nothing is connected to yet. A call fails if it has no answer within `patience`, tries
    /// included. `patience` must be less than the function's own timeout, so that the function can still report the
    /// failure.
    pub async fn from_env(patience: Duration) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(patience / 2)
            .operation_timeout(patience)
            .build();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts)
            .load()
            .await;
        Self(config)
    }

    /// The jobs table of this name.
    #[must_use]
    pub fn table(&self, name: impl Into<String>) -> JobsTable {
        JobsTable::new(aws_sdk_dynamodb::Client::new(&self.0), name.into())
    }

    /// A client of S3. A service of one's own answers at one address for all buckets; the SDK would otherwise ask at
    /// the bucket's name before that address, which no DNS knows.
    #[must_use]
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let own =
            ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].iter().any(|name| std::env::var_os(name).is_some());
        let config = aws_sdk_s3::config::Builder::from(&self.0).force_path_style(own).build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// The bucket of images and results, of this name.
    #[must_use]
    pub fn bucket(&self, name: impl Into<String>) -> Bucket {
        Bucket::new(self.s3(), "bucket", name.into())
    }

    /// The bucket of models, of this name.
    #[must_use]
    pub fn models_bucket(&self, name: impl Into<String>) -> Bucket {
        Bucket::new(self.s3(), "models_bucket", name.into())
    }

    /// The queue of jobs at this URL.
    #[must_use]
    pub fn jobs_queue(&self, url: impl Into<String>) -> Queue {
        Queue::new(aws_sdk_sqs::Client::new(&self.0), "jobs_queue", url.into())
    }

    /// The queue of callbacks at this URL.
    #[must_use]
    pub fn callbacks_queue(&self, url: impl Into<String>) -> Queue {
        Queue::new(aws_sdk_sqs::Client::new(&self.0), "callbacks_queue", url.into())
    }

    /// The dead-letter queue of the jobs queue, at this URL.
    #[must_use]
    pub fn jobs_dead_letters(&self, url: impl Into<String>) -> Queue {
        Queue::new(aws_sdk_sqs::Client::new(&self.0), "jobs_dead_letters", url.into())
    }

    /// The dead-letter queue of the callbacks queue, at this URL.
    #[must_use]
    pub fn callbacks_dead_letters(&self, url: impl Into<String>) -> Queue {
        Queue::new(aws_sdk_sqs::Client::new(&self.0), "callbacks_dead_letters", url.into())
    }
}
