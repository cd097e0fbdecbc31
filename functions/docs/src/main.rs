//! The `docs` function.

use runtime::{config::Config, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let config = Config::from_env()?;
    http_api::service::run(docs::router(), config.public_url).await
}
