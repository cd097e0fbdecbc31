//! The `recover` function.

use std::{sync::Arc, time::Duration};

use aws::{Clients, Queues, WORKER_PATIENCE, upload_event::uploaded_jobs};
use jobs::{
    ports::{Clock as _, SystemClock},
    recover::Recoverer,
};
use lambda_runtime::{LambdaEvent, service_fn};
use recover::{DeadLetters, Event, sweep};
use runtime::{config::Config, sqs, telemetry};
use serde_json::Value;
use time::OffsetDateTime;
use tracing::Instrument as _;

/// How long before the end of its timeout the function stops by itself.
const MARGIN: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let config = Config::from_env()?;
    let clients = Clients::from_env(WORKER_PATIENCE).await;
    let table = Arc::new(clients.table(config.resource("JOBS_TABLE")?));
    let bucket = Arc::new(clients.bucket(config.resource("BUCKET")?));
    let queues = Queues {
        jobs: Some(clients.jobs_queue(config.resource("JOBS_QUEUE_URL")?)),
        callbacks: Some(clients.callbacks_queue(config.resource("CALLBACKS_QUEUE_URL")?)),
    };
    let recoverer = Recoverer {
        jobs: table.clone(),
        writer: table.clone(),
        due: table,
        sources: bucket.clone(),
        objects: bucket,
        queue: Arc::new(queues),
        clock: Arc::new(SystemClock),
        limits: config.limits,
    };
    let letters = Arc::new(DeadLetters { recoverer: recoverer.clone(), uploads: uploaded_jobs });
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Event>| {
        let (recoverer, letters) = (recoverer.clone(), letters.clone());
        async move {
            let span = tracing::info_span!("recovery", request_id = event.context.request_id);
            let until = OffsetDateTime::from(event.context.deadline()) - MARGIN;
            let answer = async {
                match event.payload.dead_letters {
                    Some(records) => {
                        serde_json::to_value(sqs::batch(&*letters, None, records).await).unwrap_or_default()
                    }
                    None => {
                        sweep(&recoverer, until.max(SystemClock.now())).await;
                        Value::Null
                    }
                }
            }
            .instrument(span)
            .await;
            Ok::<_, lambda_runtime::Error>(answer)
        }
    }))
    .await
}
