//! The `status` function.

use std::sync::Arc;

use aws::{API_PATIENCE, Clients};
use jobs::{access::Gate, browse::Browser, ports::SystemClock, quota::Meter};
use runtime::{config::Config, telemetry};
use status::App;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let clients = Clients::from_env(API_PATIENCE).await;
    let table = Arc::new(clients.table(config.resource("JOBS_TABLE")?));
    let bucket = Arc::new(clients.bucket(config.resource("BUCKET")?));
    let clock = Arc::new(SystemClock);
    let gate = Gate::new(config.access, table.clone(), clock.clone());
    let app = App {
        meter: Meter { usage: table.clone(), clock: clock.clone() },
        browser: Browser { jobs: table.clone(), lists: table.clone(), clock },
        objects: bucket.clone(),
        probes: vec![
            table,
            bucket,
            Arc::new(clients.models_bucket(config.resource("MODELS_BUCKET")?)),
            Arc::new(clients.jobs_queue(config.resource("JOBS_QUEUE_URL")?)),
            Arc::new(clients.jobs_dead_letters(config.resource("JOBS_DEAD_LETTERS_URL")?)),
            Arc::new(clients.callbacks_queue(config.resource("CALLBACKS_QUEUE_URL")?)),
            Arc::new(clients.callbacks_dead_letters(config.resource("CALLBACKS_DEAD_LETTERS_URL")?)),
        ],
        catalogue: detection::catalogue().into(),
    };
    http_api::service::run(status::router(app, gate), config.public_url).await
}
