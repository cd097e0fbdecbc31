//! Logs: one JSON object a line, for CloudWatch Logs Insights.

use tracing_subscriber::EnvFilter;

/// Starts logging to standard output. `LOG_LEVEL` is a level or a filter in the syntax of `tracing`; unset or
/// unreadable, it is `info`.
pub fn init() {
    let filter = std::env::var("LOG_LEVEL")
        .ok()
        .and_then(|level| EnvFilter::try_new(level).ok())
        .unwrap_or_else(|| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_env_filter(filter)
        .init();
}
