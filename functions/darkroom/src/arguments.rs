//! The command line. Each option can also be given in the environment, as is usual for containers.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use jobs::access::{Owner, Scope};
use url::Url;

/// Image jobs: hand in an image, get a job; poll it, fetch its thumbnail and what was detected, or be called back.
///
/// Limits and everything else that the functions take from the environment is taken from there: MAX_PIXELS,
/// RETENTION_DAYS, ALLOWED_NETWORKS and so on; the guide's page about limits lists them.
#[derive(Clone, Debug, Parser)]
#[command(name = "darkroom", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What one process does.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Answers requests, works on jobs, delivers callbacks and recovers what is overdue, all in one process.
    Serve(Serve),
    /// Answers requests only; on AWS services.
    Api(Common),
    /// Works on jobs only; on AWS services.
    Worker(Common),
    /// Delivers callbacks only; on AWS services.
    Notify(Common),
    /// Recovers what is overdue, every minute, and what the queues gave up; on AWS services.
    Recover(Common),
    /// Asks a running service whether it is ready, for containers without a shell.
    Health(Service),
    /// Sends a small picture through a running service, from the submission to the thumbnail, and says how it went.
    Check(Service),
    /// Makes, lists and revokes the keys of a service that asks for keys (ACCESS=keys). It may run meanwhile.
    Keys(Keys),
    /// Works on the images that the process which started this one sends. `serve` and `worker` start it by themselves.
    #[command(hide = true)]
    Engine,
}

/// The service that is asked.
#[derive(Args, Clone, Debug)]
pub struct Service {
    /// Its address, stage or base path included.
    #[arg(env = "DARKROOM_URL", default_value = "http://127.0.0.1:8000")]
    pub url: Url,
    /// A key with the scopes submit, read and delete, where the service asks for one. It is better given in the
    /// environment than on the command line, which other users of the machine can see.
    #[arg(long, env = "DARKROOM_KEY", hide_env_values = true)]
    pub key: Option<String>,
}

/// The options of `keys`.
#[derive(Args, Clone, Debug)]
pub struct Keys {
    /// What to do with them.
    #[command(subcommand)]
    pub command: KeysCommand,
    /// Where they are.
    #[command(flatten)]
    pub store: KeyStore,
}

/// Where keys are kept.
#[derive(Args, Clone, Debug)]
pub struct KeyStore {
    /// Where the service keeps its jobs; with `aws`, JOBS_TABLE names the table.
    #[arg(long, env = "STORE", value_enum, default_value_t = StoreKind::Local, global = true)]
    pub store: StoreKind,
    /// The folder of a local store.
    #[arg(long, env = "DATA_DIR", value_name = "FOLDER", default_value = "./data", global = true)]
    pub data_dir: PathBuf,
}

/// What is done with keys.
#[derive(Clone, Debug, Subcommand)]
pub enum KeysCommand {
    /// Makes a key, and prints it.
    Create(NewKey),
    /// Lists the keys, without their texts, which are not kept.
    List,
    /// Revokes a key.
    Revoke {
        /// Its id, or the beginning of it: four hexadecimal digits at least.
        #[arg(value_parser = beginning_of_an_id)]
        id: String,
    },
}

/// Reads the beginning of a key's id. One that is too short, or empty because a variable was not set, would name any
/// key.
fn beginning_of_an_id(text: &str) -> Result<String, &'static str> {
    let fits = text.len() >= 4 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if fits { Ok(text.to_owned()) } else { Err("an id has four hexadecimal digits at least") }
}

/// A key to be made.
#[derive(Args, Clone, Debug)]
pub struct NewKey {
    /// Whose it is. All keys of one owner see the same jobs.
    pub owner: Owner,
    /// What it allows: `submit`, `read`, `delete` or, with everybody's jobs, `admin`.
    #[arg(long, value_delimiter = ',', default_value = "submit,read,delete")]
    pub scopes: Vec<Scope>,
    /// How many days it holds; for ever, unless said otherwise.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: Option<u32>,
    /// The most jobs that its owner may hand in on a day (UTC).
    #[arg(long, value_name = "COUNT")]
    pub jobs_a_day: Option<u64>,
    /// The most bytes of images that its owner may hand in on a day (UTC), those fetched from addresses left out.
    #[arg(long, value_name = "COUNT")]
    pub bytes_a_day: Option<u64>,
    /// The most jobs of its owner that have not ended.
    #[arg(long, value_name = "COUNT")]
    pub jobs_at_once: Option<u64>,
}

/// The options of `serve`.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// Where jobs and images are kept.
    #[arg(long, env = "STORE", value_enum, default_value_t = StoreKind::Local)]
    pub store: StoreKind,
    /// The folder of a local store; it is made where there is none.
    #[arg(long, env = "DATA_DIR", value_name = "FOLDER", default_value = "./data")]
    pub data_dir: PathBuf,
    /// The others.
    #[command(flatten)]
    pub common: Common,
}

/// Where jobs and images are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    /// In a folder of this machine.
    Local,
    /// In DynamoDB, S3 and SQS, or what speaks their API (AWS_ENDPOINT_URL), as the functions.
    Aws,
}

/// The options of every process.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The address to listen on: 0.0.0.0 for all networks of the machine.
    #[arg(long, env = "HOST", value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// The port to listen on. `worker`, `notify` and `recover` answer for their health and metrics there.
    #[arg(long, env = "PORT", default_value_t = 8000)]
    pub port: u16,
    /// How many images are worked on at the same time; by default, what the processors and the memory are enough for.
    #[arg(long, env = "JOBS_AT_ONCE", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs_at_once: Option<u16>,
    /// How many callbacks are delivered at the same time.
    #[arg(long, env = "CALLBACKS_AT_ONCE", value_name = "COUNT", default_value_t = 20,
        value_parser = clap::value_parser!(u16).range(1..))]
    pub callbacks_at_once: u16,
    /// How many requests are answered at the same time; more are told to come again.
    #[arg(long, env = "REQUESTS_AT_ONCE", value_name = "COUNT", default_value_t = 100,
        value_parser = clap::value_parser!(u16).range(1..))]
    pub requests_at_once: u16,
    /// How long requests and jobs may go on after SIGTERM, in seconds; what is not done by then is given back.
    #[arg(long, env = "GRACE_SECONDS", value_name = "SECONDS", default_value_t = 20)]
    pub grace_seconds: u16,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn serve_needs_nothing() {
        let Command::Serve(serve) = Arguments::parse_from(["darkroom", "serve"]).command else {
            panic!("another command");
        };
        assert_eq!((serve.store, serve.common.port), (StoreKind::Local, 8000));
        assert!(serve.common.host.is_loopback());
    }

    #[test]
    fn an_argument_that_cannot_be_is_refused_by_name() {
        for (arguments, named) in [
            (vec!["darkroom"], "Usage"),
            (vec!["darkroom", "serve", "--port", "70000"], "--port"),
            (vec!["darkroom", "serve", "--store", "disk"], "--store"),
            (vec!["darkroom", "worker", "--jobs-at-once", "0"], "--jobs-at-once"),
            (vec!["darkroom", "api", "--data-dir", "x"], "--data-dir"),
            (vec!["darkroom", "check", "localhost"], "relative URL"),
            (vec!["darkroom", "keys", "create", "team a"], "a name has"),
            (vec!["darkroom", "keys", "revoke", ""], "four hexadecimal digits"),
            (vec!["darkroom", "keys", "revoke", "xyz12"], "four hexadecimal digits"),
            (vec!["darkroom", "keys", "create", "a", "--scopes", "all"], "a scope is"),
        ] {
            let error = Arguments::try_parse_from(&arguments).expect_err("refused");
            assert!(error.to_string().contains(named), "{arguments:?}: {error}");
        }
    }
}
