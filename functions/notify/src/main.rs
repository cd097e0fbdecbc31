//! The `notify` function.

use std::sync::Arc;

use aws::{Clients, Queues, WORKER_PATIENCE};
use http_api::Links;
use jobs::{hosts::Hosts, notify::Notifier, ports::SystemClock};
use notify::Courier;
use runtime::{
    config::{Config, ConfigError},
    outbound::Outbound,
    sqs, telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let clients = Clients::from_env(WORKER_PATIENCE).await;
    let table = Arc::new(clients.table(config.resource("JOBS_TABLE")?));
    let callbacks_queue = clients.callbacks_queue(config.resource("CALLBACKS_QUEUE_URL")?);
    let public_url = config.public_url.ok_or(ConfigError::Missing("PUBLIC_URL"))?;
    let notifier = Notifier {
        jobs: table.clone(),
        writer: table,
        poster: Arc::new(Outbound::new(config.networks, config.limits.clone())),
        queue: Arc::new(Queues { jobs: None, callbacks: Some(callbacks_queue.clone()) }),
        hosts: Hosts::default(),
        clock: Arc::new(SystemClock),
        limits: config.limits,
        describe: notify::describe(Links::new(public_url.as_str())),
    };
    sqs::run(Arc::new(Courier::new(notifier)), Arc::new(callbacks_queue)).await
}
