//! Whether the service is there, and on request, whether everything that it stands on is.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use http_api::{Problem, extract::ApiQuery};
use jobs::error::Chain;
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
    get, path = "/health", tag = "service", operation_id = "get_health",
    params(HealthQuery),
    responses(
        (status = 200, description = "It is there, and so is all that was asked.", body = HealthView),
        (status = 503, description = "Something that was asked did not answer.", body = HealthView)
    )
)]
pub(crate) async fn get_health(
    State(app): State<Arc<App>>,
    ApiQuery(HealthQuery { deep }): ApiQuery<HealthQuery>,
) -> Result<Response, Problem> {
    let mut checks = BTreeMap::new();
    if deep.is_some_and(|deep| deep != "0") {
        let mut asked = JoinSet::new();
        for probe in &app.probes {
            let probe = probe.clone();
            asked.spawn(async move { (probe.name(), probe.probe().await) });
        }
        for (name, answer) in asked.join_all().await {
            if let Err(error) = &answer {
                tracing::error!(error = %Chain(&error), "a health check failed");
            }
            checks.insert(name, if answer.is_ok() { "ok" } else { "unavailable" });
        }
    }
    let well = checks.values().all(|answer| *answer == "ok");
    let (code, status) =
        if well { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "degraded") };
    let view = HealthView { status, version: env!("CARGO_PKG_VERSION"), checks };
    Ok((code, Json(view)).into_response())
}
