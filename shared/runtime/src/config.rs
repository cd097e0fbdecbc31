//! Configuration from the environment, read once at the start. If something is missing, the function names it and
//! stops.

use std::{str::FromStr, time::Duration};

use ipnet::IpNet;
use jobs::{access::Access, limits::Limits};
use url::Url;

use crate::networks::Networks;

/// The configuration of a deployment.
#[derive(Clone, Debug)]
pub struct Config {
    variables: fn(&str) -> Option<String>,
    /// Whether the service asks for keys.
    pub access: Access,
    /// The limits of this deployment.
    pub limits: Limits,
    /// The networks that outbound HTTP may connect to, besides the public internet.
    pub networks: Networks,
    /// The API's address, if it is not the one that API Gateway tells.
    pub public_url: Option<Url>,
}

/// A variable that is missing or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// It is set to something else than it should be. Its value is not repeated: it may be a secret put there by
    /// mistake.
    #[error("the environment variable {0} is not {1}")]
    Invalid(&'static str, &'static str),
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for the first variable that cannot be read.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from(|name| std::env::var(name).ok())
    }

    fn from(variables: fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let environment = Environment(variables);
        let default = Limits::default();
        let limits = Limits {
            inline_bytes: environment.number("MAX_INLINE_BYTES", default.inline_bytes)?,
            upload_bytes: environment.number("MAX_UPLOAD_BYTES", default.upload_bytes)?,
            fetch_bytes: environment.number("MAX_FETCH_BYTES", default.fetch_bytes)?,
            pixels: environment.number("MAX_PIXELS", default.pixels)?,
            frames: environment.number("MAX_FRAMES", default.frames)?,
            decoder_bytes: environment.number("MAX_DECODER_BYTES", default.decoder_bytes)?,
            detector_bytes: environment.number("MAX_DETECTOR_BYTES", default.detector_bytes)?,
            result_bytes: environment.number("MAX_RESULT_BYTES", default.result_bytes)?,
            redirects: environment.number("MAX_REDIRECTS", default.redirects)?,
            model_bytes: environment.number("MAX_MODEL_BYTES", default.model_bytes)?,
            connect: environment.seconds("CONNECT_TIMEOUT_SECONDS", default.connect)?,
            fetch: environment.seconds("FETCH_TIMEOUT_SECONDS", default.fetch)?,
            job: environment.seconds("JOB_TIMEOUT_SECONDS", default.job)?,
            turn: default.turn,
            attempts: environment.number("MAX_ATTEMPTS", default.attempts)?,
            upload_validity: environment.seconds("UPLOAD_VALIDITY_SECONDS", default.upload_validity)?,
            retention: environment.days("RETENTION_DAYS", default.retention)?,
            deadline: environment.seconds("DEADLINE_SECONDS", default.deadline)?,
            patience: environment.seconds("PATIENCE_SECONDS", default.patience)?,
        };
        let networks = Networks::allowing(environment.list("ALLOWED_NETWORKS")?);
        let public_url = environment.parsed("PUBLIC_URL", "an absolute URL")?;
        let access = environment.parsed("ACCESS", "open or keys")?.unwrap_or_default();
        Ok(Self { variables, access, limits, networks, public_url })
    }

    /// The name or URL of a resource, from the variable that the template sets.
    ///
    /// # Errors
    /// [`ConfigError::Missing`].
    pub fn resource(&self, variable: &'static str) -> Result<String, ConfigError> {
        Environment(self.variables).text(variable).ok_or(ConfigError::Missing(variable))
    }
}

struct Environment(fn(&str) -> Option<String>);

impl Environment {
    /// A variable's text; empty counts as unset, because a template cannot leave a variable out.
    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn parsed<T: FromStr>(&self, name: &'static str, what: &'static str) -> Result<Option<T>, ConfigError> {
        self.text(name).map(|text| text.parse().map_err(|_| ConfigError::Invalid(name, what))).transpose()
    }

    fn number<T: FromStr>(&self, name: &'static str, default: T) -> Result<T, ConfigError> {
        Ok(self.parsed(name, "a whole number in range")?.unwrap_or(default))
    }

    fn seconds(&self, name: &'static str, default: Duration) -> Result<Duration, ConfigError> {
        Ok(self.parsed(name, "a whole number of seconds")?.map_or(default, Duration::from_secs))
    }

    fn days(&self, name: &'static str, default: Duration) -> Result<Duration, ConfigError> {
        let days: Option<u32> = self.parsed(name, "a whole number of days")?;
        Ok(days.map_or(default, |days| Duration::from_secs(u64::from(days) * 24 * 3_600)))
    }

    fn list(&self, name: &'static str) -> Result<Vec<IpNet>, ConfigError> {
        let text = self.text(name).unwrap_or_default();
        text.split(',')
            .map(str::trim)
            .filter(|network| !network.is_empty())
            .map(|network| {
                network.parse().map_err(|_| {
                    ConfigError::Invalid(name, "a list of networks such as 10.1.0.0/16,fd00::/8")
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn silence_means_the_documented_limits() {
        let config = Config::from(|_| None).expect("nothing to misread");
        assert_eq!(config.limits.inline_bytes, 4_500_000);
        assert_eq!(config.public_url, None);
        assert!(matches!(config.resource("JOBS_TABLE"), Err(ConfigError::Missing("JOBS_TABLE"))));
    }

    #[test]
    fn variables_are_read() {
        let config = Config::from(|name| match name {
            "MAX_PIXELS" => Some("1000".to_owned()),
            "JOB_TIMEOUT_SECONDS" => Some(" 5 ".to_owned()),
            "ALLOWED_NETWORKS" => Some("127.0.0.1/32, ::1/128".to_owned()),
            "PUBLIC_URL" => Some("https://images.example.com/v1".to_owned()),
            "JOBS_TABLE" => Some("jobs".to_owned()),
            "MAX_FRAMES" => Some(String::new()),
            _ => None,
        })
        .expect("valid");
        assert_eq!((config.limits.pixels, config.limits.frames), (1_000, 60));
        assert_eq!(config.limits.job, Duration::from_secs(5));
        assert!(config.networks.permit(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(config.resource("JOBS_TABLE").expect("set"), "jobs");
    }

    #[test]
    fn a_variable_that_cannot_be_read_is_named_and_its_value_not_repeated() {
        let error = Config::from(|name| (name == "MAX_PIXELS").then(|| "hunter2".to_owned()))
            .expect_err("not a number");
        assert_eq!(error.to_string(), "the environment variable MAX_PIXELS is not a whole number in range");
    }
}
