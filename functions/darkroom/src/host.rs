//! Puts the parts of a process together, runs them, and shuts them down.

use std::{io, net::SocketAddr, path::Path, process, sync::Arc, time::Duration};

use ::process::{ImageEngine, Worker};
use axum::Router;
use http_api::{Links, service::with_fallbacks};
use jobs::{
    access::{Access, Gate},
    browse::Browser,
    error::Chain,
    hosts::Hosts,
    limits::Limits,
    notify::Notifier,
    ports::{Clock as _, Engine, FetchImages, PostCallbacks, ReadModels, SystemClock, WriteJobs},
    process::Processor,
    quota::Meter,
    recover::Recoverer,
    submit::Submitter,
};
use notify::Courier;
use recover::{DeadLetters, sweep};
use runtime::{
    config::{Config, ConfigError},
    outbound::Outbound,
    telemetry,
};
use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use url::Url;

use crate::{
    arguments::{Arguments, Command, Common, StoreKind},
    check::{self, CheckError},
    isolation::{self, EngineProcesses, OVERRUN},
    keys::{self, KeysError},
    machine,
    metered::{self, Metered, Turns},
    objects,
    poller::{Ending, Poller, repeat},
    probes::{self, Vitals},
    server::Server,
    stores::Ports,
};

/// How often a local store is swept.
const SWEEP: Duration = Duration::from_secs(600);

/// How often overdue jobs are recovered.
const RECOVERY: Duration = Duration::from_secs(60);

/// How long one recovery may take.
const RECOVERING: Duration = Duration::from_secs(50);

/// Why a process does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable of the environment is missing or invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The local store cannot be used.
    #[error(transparent)]
    Store(#[from] local::OpenError),
    /// The port is in use, or the address is not this machine's.
    #[error("cannot listen on {0}: {1}; name another port in PORT, or another address in HOST")]
    Listen(SocketAddr, #[source] io::Error),
    /// The links of callbacks would lead nowhere.
    #[error("the environment variable PUBLIC_URL is not set: callbacks link to results below it")]
    PublicUrl,
    /// The operating system refuses something that every process needs.
    #[error("the process cannot be set up: {0}")]
    System(#[source] io::Error),
    /// The metrics were set up already.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The service that was checked is not as it should be.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A key was not made, listed or revoked.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// The tasks of a process.
#[derive(Clone, Copy)]
struct Role {
    api: bool,
    worker: bool,
    notify: bool,
    recover: bool,
}

/// Makes the engine that works on images within limits, with the models that it may read.
pub type MakeEngine = fn(&Limits, Arc<dyn ReadModels>) -> Arc<dyn Engine>;

/// Runs a command: a process, until a signal ends it, or a check of one.
///
/// # Errors
/// [`Error`], with a sentence that says what to change or what is wrong.
pub fn run(arguments: Arguments) -> Result<(), Error> {
    run_with(arguments, |limits, models| Arc::new(ImageEngine::new(limits, models)))
}

/// Runs a command with another engine, which the processes that work on images make for themselves.
///
/// # Errors
/// As for [`run`].
pub fn run_with(arguments: Arguments, make_engine: MakeEngine) -> Result<(), Error> {
    let is_engine = matches!(arguments.command, Command::Engine);
    let mut system = if is_engine {
        // The standard output of this process is for its parent.
        telemetry::init_on_standard_error();
        Builder::new_current_thread()
    } else {
        telemetry::init();
        Builder::new_multi_thread()
    };
    let system = system.enable_all().build().map_err(StartError::System)?;
    let ended = system.block_on(run_command(arguments.command, make_engine));
    // Jobs that still run on threads of their own were given back, so nobody waits for them.
    system.shutdown_background();
    ended
}

async fn run_command(command: Command, make_engine: MakeEngine) -> Result<(), Error> {
    const NONE: Role = Role { api: false, worker: false, notify: false, recover: false };
    let (common, role, folder) = match &command {
        Command::Serve(serve) => {
            let folder = (serve.store == StoreKind::Local).then_some(&*serve.data_dir);
            (&serve.common, Role { api: true, worker: true, notify: true, recover: true }, folder)
        }
        Command::Api(common) => (common, Role { api: true, ..NONE }, None),
        Command::Worker(common) => (common, Role { worker: true, ..NONE }, None),
        Command::Notify(common) => (common, Role { notify: true, ..NONE }, None),
        Command::Recover(common) => (common, Role { recover: true, ..NONE }, None),
        Command::Health(service) => return Ok(check::health(service).await?),
        Command::Check(service) => {
            println!("{}", check::check(service).await?);
            return Ok(());
        }
        Command::Keys(asked) => {
            println!("{}", keys::run(asked).await?);
            return Ok(());
        }
        Command::Engine => return Ok(isolation::serve(make_engine).await.map_err(StartError::System)?),
    };
    Ok(run_until_signalled(common, role, folder).await?)
}

async fn run_until_signalled(common: &Common, role: Role, folder: Option<&Path>) -> Result<(), StartError> {
    let config = Config::from_env()?;
    let metrics = metered::start()?;
    let address = SocketAddr::new(common.host, common.port);
    let listener = TcpListener::bind(address).await.map_err(|error| StartError::Listen(address, error))?;
    let address = listener.local_addr().map_err(StartError::System)?;
    let public_url = match &config.public_url {
        Some(url) => url.clone(),
        // A process that only delivers callbacks does not know where the API answers.
        None if role.notify && !role.api => return Err(StartError::PublicUrl),
        None => {
            Url::parse(&format!("http://localhost:{}", address.port())).map_err(|_| StartError::PublicUrl)?
        }
    };
    let (ports, place) = match folder {
        Some(folder) => (Ports::local(folder, public_url.clone()).await?, format!("in {}", folder.display())),
        None => (Ports::aws(&config).await?, "in AWS services".to_owned()),
    };
    let jobs_at_once = common.jobs_at_once.map_or_else(machine::jobs_at_once, usize::from);
    announce(address, &public_url, &place, role, jobs_at_once, &config);

    let (stop, stopped) = watch::channel(false);
    let grace = Duration::from_secs(common.grace_seconds.into());
    let mut parts = JoinSet::new();
    if role.worker {
        let (interrupt, interrupted) = watch::channel(false);
        let consumer = Arc::new(worker(&ports, &config, jobs_at_once, interrupted));
        // While images are worked on, as many more are fetched or read.
        let poller =
            Poller { name: "jobs", queue: ports.jobs_queue.clone(), consumer, at_once: 2 * jobs_at_once };
        parts.spawn(poller.run(Ending { stop: stopped.clone(), interrupt, grace }));
    }
    if role.notify {
        let consumer = Arc::new(courier(&ports, &config, &public_url));
        let at_once = common.callbacks_at_once.into();
        let poller = Poller { name: "callbacks", queue: ports.callbacks_queue.clone(), consumer, at_once };
        // A callback that is under way is not interrupted, because a receiver that takes too long is given up anyway.
        let (interrupt, _) = watch::channel(false);
        parts.spawn(poller.run(Ending { stop: stopped.clone(), interrupt, grace }));
    }
    if role.recover {
        let recoverer = recoverer(&ports, &config);
        let letters = Arc::new(DeadLetters { recoverer: recoverer.clone(), uploads: ports.uploads });
        for (queue, name) in ports.dead_letters.iter().zip(["jobs_dead_letters", "callbacks_dead_letters"]) {
            let poller = Poller { name, queue: queue.clone(), consumer: letters.clone(), at_once: 1 };
            let (interrupt, _) = watch::channel(false);
            parts.spawn(poller.run(Ending { stop: stopped.clone(), interrupt, grace }));
        }
        parts.spawn(repeat(RECOVERY, stopped.clone(), move || {
            let recoverer = recoverer.clone();
            async move {
                metered::recovered(sweep(&recoverer, SystemClock.now() + RECOVERING).await);
            }
        }));
    }
    if let Some(store) = ports.local.clone() {
        parts.spawn(repeat(SWEEP, stopped.clone(), move || {
            let store = store.clone();
            async move {
                if let Err(error) = store.sweep().await {
                    tracing::warn!(error = %Chain(&error), "the store was not swept; trying again later");
                }
            }
        }));
    }
    let server = server(&ports, &config, common, role, &public_url, metrics, stopped.clone());
    parts.spawn(server.run(listener, stopped, grace));

    signalled().await.map_err(StartError::System)?;
    eprintln!("darkroom: finishing what has begun, for {} seconds at the most", grace.as_secs());
    stop.send_replace(true);
    tokio::spawn(async {
        if signalled().await.is_ok() {
            process::exit(1);
        }
    });
    while parts.join_next().await.is_some() {}
    Ok(())
}

/// Logs at the start how the process is set up.
fn announce(
    address: SocketAddr,
    public_url: &Url,
    place: &str,
    role: Role,
    jobs_at_once: usize,
    config: &Config,
) {
    let base = public_url.as_str().trim_end_matches('/');
    eprintln!("darkroom {} listens on http://{address}", env!("CARGO_PKG_VERSION"));
    eprintln!("  jobs and images: {place}, kept for {} days", config.limits.retention.as_secs() / 86_400);
    if role.worker {
        eprintln!("  images worked on at the same time: {jobs_at_once}");
    }
    if role.api {
        match config.access {
            Access::Open => eprintln!(
                "  access: open; whoever reaches this address sees and deletes every job (ACCESS=keys asks for keys)"
            ),
            Access::Keys => eprintln!("  access: with a key; darkroom keys create NAME makes one"),
        }
        eprintln!("  documentation: {base}/docs and {base}/docs/guide");
        eprintln!("  try it: curl -F image=@photo.jpg {base}/jobs");
    }
}

/// The next SIGTERM or SIGINT.
async fn signalled() -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn worker(ports: &Ports, config: &Config, at_once: usize, interrupted: watch::Receiver<bool>) -> Worker {
    // A job that was fetched while others are worked on waits for one of them at the longest, which may overrun its
    // time limit, and so may the job itself.
    let limits = Limits { turn: config.limits.job + 2 * OVERRUN, ..config.limits.clone() };
    let memory = machine::memory_of_a_job();
    let engine: Arc<dyn Engine> =
        Arc::new(EngineProcesses::new(limits.clone(), memory, ports.models.clone()));
    let fetcher: Arc<dyn FetchImages> = Arc::new(Outbound::new(config.networks.clone(), limits.clone()));
    let writer: Arc<dyn WriteJobs> = ports.writer.clone();
    let processor = Processor {
        jobs: ports.jobs.clone(),
        writer: Arc::new(Metered(writer)),
        sources: ports.sources.clone(),
        objects: ports.objects.clone(),
        queue: ports.sender.clone(),
        fetcher: Arc::new(Metered(fetcher)),
        engine: Arc::new(Turns::new(engine, at_once)),
        clock: Arc::new(SystemClock),
        limits,
    };
    Worker::interruptible(processor, ports.uploads, interrupted)
}

fn recoverer(ports: &Ports, config: &Config) -> Recoverer {
    let writer: Arc<dyn WriteJobs> = ports.writer.clone();
    Recoverer {
        jobs: ports.jobs.clone(),
        writer: Arc::new(Metered(writer)),
        due: ports.due.clone(),
        sources: ports.sources.clone(),
        objects: ports.objects.clone(),
        queue: ports.sender.clone(),
        clock: Arc::new(SystemClock),
        limits: config.limits.clone(),
    }
}

fn courier(ports: &Ports, config: &Config, public_url: &Url) -> Courier {
    let poster: Arc<dyn PostCallbacks> =
        Arc::new(Outbound::new(config.networks.clone(), config.limits.clone()));
    Courier::new(Notifier {
        jobs: ports.jobs.clone(),
        writer: ports.writer.clone(),
        poster: Arc::new(Metered(poster)),
        queue: ports.sender.clone(),
        hosts: Hosts::default(),
        clock: Arc::new(SystemClock),
        limits: config.limits.clone(),
        describe: notify::describe(Links::new(public_url.as_str())),
    })
}

fn server(
    ports: &Ports,
    config: &Config,
    common: &Common,
    role: Role,
    public_url: &Url,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    stop: watch::Receiver<bool>,
) -> Server {
    let vitals = Vitals { probes: ports.probes.clone(), stop, metrics, local: ports.local.clone() };
    let mut router: Router = probes::router(vitals);
    if role.api {
        let catalogue: Arc<[_]> = detection::catalogue().into();
        let clock = Arc::new(SystemClock);
        let gate = Gate::new(config.access, ports.keys.clone(), clock.clone());
        let meter = Meter { usage: ports.usage.clone(), clock: clock.clone() };
        let submitter = Submitter {
            meter: meter.clone(),
            jobs: ports.jobs.clone(),
            writer: ports.writer.clone(),
            once: ports.once.clone(),
            objects: ports.objects.clone(),
            presigner: ports.presigner.clone(),
            queue: ports.sender.clone(),
            urls: Arc::new(Outbound::new(config.networks.clone(), config.limits.clone())),
            clock: clock.clone(),
            catalogue: catalogue.clone(),
            identify: submit::identify,
            media_types: submit::media_types(),
            limits: config.limits.clone(),
        };
        let app = status::App {
            meter,
            browser: Browser { jobs: ports.jobs.clone(), lists: ports.lists.clone(), clock },
            objects: ports.sources.clone(),
            probes: ports.probes.clone(),
            catalogue,
        };
        router = router
            .merge(submit::router(submitter, gate.clone()))
            .merge(status::router(app, gate))
            .merge(docs::router());
    }
    if let Some(store) = &ports.local {
        router = router.merge(objects::router(store.objects.clone()));
    }
    Server {
        router: with_fallbacks(router),
        base: public_url.path().trim_end_matches('/').to_owned(),
        requests: Arc::new(Semaphore::new(common.requests_at_once.into())),
    }
}
