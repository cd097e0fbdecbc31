//! The routes for operators: liveness, readiness and metrics.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use jobs::{error::Chain, ports::Probe};
use local::Store;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use crate::metered;

/// The state that the answers are made from.
pub(crate) struct Vitals {
    pub probes: Vec<Arc<dyn Probe>>,
    pub stop: watch::Receiver<bool>,
    pub metrics: PrometheusHandle,
    pub local: Option<Store>,
}

/// The routes of every process.
pub(crate) fn router(vitals: Vitals) -> Router {
    Router::new()
        .route("/health/live", get(async || Json(serde_json::json!({"status": "ok"}))))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(vitals))
}

/// A process is ready if it reaches every store and queue and is not shutting down.
async fn ready(State(vitals): State<Arc<Vitals>>) -> Response {
    let answer = |code, status: &str| (code, Json(serde_json::json!({"status": status}))).into_response();
    if *vitals.stop.borrow() {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "draining");
    }
    let well = status::ask(&vitals.probes).await.into_values().all(|well| well);
    if well { answer(StatusCode::OK, "ok") } else { answer(StatusCode::SERVICE_UNAVAILABLE, "degraded") }
}

async fn metrics(State(vitals): State<Arc<Vitals>>) -> Response {
    if let Some(store) = &vitals.local {
        for (queue, name) in [(&store.queues.jobs, "jobs"), (&store.queues.callbacks, "callbacks")] {
            if let Err(error) = metered::measure(queue, name).await {
                tracing::warn!(name, error = %Chain(&error), "the queue was not measured");
            }
        }
    }
    vitals.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], vitals.metrics.render())
        .into_response()
}
