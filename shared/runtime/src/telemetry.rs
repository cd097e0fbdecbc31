//! Logs: one JSON object a line, for CloudWatch Logs Insights.

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    Layer as _,
    filter::{FilterFn, LevelFilter},
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
};

/// The crates whose events are logged at the level asked for. Everything else is logged from `warn` on: at finer levels
/// the SDKs print whole requests, and those carry images, addresses and tokens.
const OURS: [&str; 15] = [
    "aws",
    "darkroom",
    "detection",
    "docs",
    "http_api",
    "imaging",
    "jobs",
    "local",
    "notify",
    "onnx",
    "process",
    "recover",
    "runtime",
    "status",
    "submit",
];

/// Starts logging to standard output. `LOG_LEVEL` is the level of our own crates; unset or unreadable, it is `info`.
pub fn init() {
    init_on(std::io::stdout);
}

/// Starts logging to standard error, for a process that uses its standard output for something else.
pub fn init_on_standard_error() {
    init_on(std::io::stderr);
}

fn init_on<W>(writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = std::env::var("LOG_LEVEL").ok().and_then(|level| level.parse().ok()).unwrap_or(Level::INFO);
    tracing::subscriber::set_global_default(subscriber(level, writer)).unwrap_or_default();
}

fn subscriber<W>(level: Level, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // By whole crate names: a filter by prefix would take `aws_smithy_runtime` for `aws`.
    let ours = move |metadata: &Metadata<'_>| {
        let name = metadata.target().split("::").next().unwrap_or_default();
        *metadata.level() <= if OURS.contains(&name) { level } else { Level::WARN }
    };
    let filter = FilterFn::new(ours).with_max_level_hint(LevelFilter::from_level(level.max(Level::WARN)));
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_writer(writer)
        .with_filter(filter);
    tracing_subscriber::registry().with(lines)
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use jobs::error::{Chain, PortError};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_names_the_job_and_every_cause_and_other_crates_are_quiet() {
        let lines = Lines::default();
        let writer = lines.clone();
        tracing::subscriber::with_default(subscriber(Level::TRACE, move || writer.clone()), || {
            let _span = tracing::info_span!("job", job_id = 7).entered();
            let error = PortError { operation: "reading a job", retryable: true, cause: "throttled".into() };
            tracing::warn!(error = %Chain(&error), "a service failed");
            tracing::trace!(target: "aws_smithy_runtime", request = "hunter2");
        });
        let text = String::from_utf8(lines.0.lock().expect("not poisoned").clone()).expect("UTF-8");
        let line: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
        assert_eq!(line["error"], "reading a job failed: throttled");
        assert_eq!(line["spans"][0]["job_id"], 7);
    }
}
