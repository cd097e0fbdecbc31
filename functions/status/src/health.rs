//! Whether the service is there, and on request, whether everything that it stands on is.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use http_api::{Problem, extract::ApiQuery, problem::ProblemDetails};
use jobs::{error::Chain, ports::Probe};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use utoipa::{IntoParams, ToSchema};

use crate::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HealthQuery {
    /// `1` also asks each store and queue.
    deep: Option<String>,
}

/// How the service is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthView {
    /// `ok`, or `degraded` when something that was asked did not answer.
    status: &'static str,
    /// The service's version.
    version: &'static str,
    /// What was asked, and `ok` or `unavailable`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    checks: BTreeMap<&'static str, &'static str>,
}

/// Ask for health
#[utoipa::path(
    get, path = "/health", tag = "service", operation_id = "get_health", security(()),
    params(HealthQuery),
    responses(
        (status = 200, description = "It is there, and so is all that was asked.", body = HealthView),
        (status = 400, description = "Refused; `code` says why.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 429, description = "There are too many requests at the moment.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 503, description = "Something that was asked did not answer, or not in time.", content(
            (HealthView = "application/json"),
            (ProblemDetails = "application/problem+json")
        ))
    )
)]
pub(crate) async fn get_health(
    State(app): State<Arc<App>>,
    ApiQuery(HealthQuery { deep }): ApiQuery<HealthQuery>,
) -> Result<Response, Problem> {
    let asked = if deep.is_some_and(|deep| deep != "0") { ask(&app.probes).await } else { BTreeMap::new() };
    let well = asked.values().all(|well| *well);
    let checks =
        asked.into_iter().map(|(name, well)| (name, if well { "ok" } else { "unavailable" })).collect();
    let (code, status) =
        if well { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "degraded") };
    let view = HealthView { status, version: env!("CARGO_PKG_VERSION"), checks };
    Ok((code, Json(view)).into_response())
}

/// Asks each of some stores and queues, all at the same time, whether it answers. What does not is logged.
pub async fn ask(probes: &[Arc<dyn Probe>]) -> BTreeMap<&'static str, bool> {
    let mut asked = JoinSet::new();
    for probe in probes {
        let probe = probe.clone();
        asked.spawn(async move { (probe.name(), probe.probe().await) });
    }
    let answers = asked.join_all().await.into_iter().map(|(name, answer)| {
        if let Err(error) = &answer {
            tracing::error!(name, error = %Chain(&error), "a health check failed");
        }
        (name, answer.is_ok())
    });
    answers.collect()
}
