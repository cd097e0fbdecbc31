//! The `process` function.

use std::sync::Arc;

use aws::{Clients, Queues, WORKER_PATIENCE, upload_event::uploaded_jobs};
use jobs::{ports::SystemClock, process::Processor};
use process::{ImageEngine, Worker};
use runtime::{config::Config, outbound::Outbound, sqs, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let clients = Clients::from_env(WORKER_PATIENCE).await;
    let table = Arc::new(clients.table(config.resource("JOBS_TABLE")?));
    let bucket = Arc::new(clients.bucket(config.resource("BUCKET")?));
    let models = Arc::new(clients.models_bucket(config.resource("MODELS_BUCKET")?));
    let jobs_queue = clients.jobs_queue(config.resource("JOBS_QUEUE_URL")?);
    let callbacks_queue = clients.callbacks_queue(config.resource("CALLBACKS_QUEUE_URL")?);
    let processor = Processor {
        jobs: table.clone(),
        writer: table,
        sources: bucket.clone(),
        objects: bucket,
        queue: Arc::new(Queues { jobs: Some(jobs_queue.clone()), callbacks: Some(callbacks_queue) }),
        fetcher: Arc::new(Outbound::new(config.networks, config.limits.clone())),
        engine: Arc::new(ImageEngine::new(&config.limits, models)),
        clock: Arc::new(SystemClock),
        limits: config.limits,
    };
    sqs::run(Arc::new(Worker::new(processor, uploaded_jobs)), Arc::new(jobs_queue)).await
}
