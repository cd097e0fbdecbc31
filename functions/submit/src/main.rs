//! The `submit` function.

use std::sync::Arc;

use aws::{API_PATIENCE, Clients, Queues};
use jobs::{access::Gate, ports::SystemClock, quota::Meter, submit::Submitter};
use runtime::{config::Config, outbound::Outbound, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let clients = Clients::from_env(API_PATIENCE).await;
    let table = Arc::new(clients.table(config.resource("JOBS_TABLE")?));
    let bucket = Arc::new(clients.bucket(config.resource("BUCKET")?));
    let jobs_queue = clients.jobs_queue(config.resource("JOBS_QUEUE_URL")?);
    let callbacks_queue = clients.callbacks_queue(config.resource("CALLBACKS_QUEUE_URL")?);
    let clock = Arc::new(SystemClock);
    let gate = Gate::new(config.access, table.clone(), clock.clone());
    let submitter = Submitter {
        meter: Meter { usage: table.clone(), clock: clock.clone() },
        jobs: table.clone(),
        writer: table.clone(),
        once: table,
        objects: bucket.clone(),
        presigner: bucket,
        queue: Arc::new(Queues { jobs: Some(jobs_queue), callbacks: Some(callbacks_queue) }),
        urls: Arc::new(Outbound::new(config.networks, config.limits.clone())),
        clock,
        catalogue: detection::catalogue().into(),
        identify: submit::identify,
        media_types: submit::media_types(),
        limits: config.limits,
    };
    http_api::service::run(submit::router(submitter, gate), config.public_url).await
}
