//! The parent process: an engine that hands images to child processes.

use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::process::crashed;
use async_trait::async_trait;
use bytes::Bytes;
use jobs::{
    algorithm::Run,
    error::{Chain, Failure},
    limits::Limits,
    ports::{Engine, ReadModels, WorkError, Worked},
};
use tokio::{
    io::BufReader,
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::wire::{ModelAnswer, Order, Reply, port_error, receive, send};

/// How long a process may exceed the time limit of a job before it is killed: algorithms check their limit only now and
/// then.
const OVERTIME: Duration = Duration::from_secs(10);

/// How long a killed process is waited for.
const ENDING: Duration = Duration::from_secs(5);

/// How long a process whose pipes broke is given to end by itself.
const ENDING_BY_ITSELF: Duration = Duration::from_millis(500);

/// How much longer than the time limit of a job its turn may take, in whole seconds.
pub(crate) const OVERRUN: Duration = Duration::from_secs(OVERTIME.as_secs() + ENDING.as_secs() + 1);

/// An engine whose work is done by processes, one for each image that is worked on at the time.
pub(crate) struct EngineProcesses {
    limits: Limits,
    memory: u64,
    models: Arc<dyn ReadModels>,
    idle: Mutex<Vec<Process>>,
}

impl EngineProcesses {
    /// An engine whose processes have `memory` bytes of memory each, and may read these models.
    pub(crate) fn new(limits: Limits, memory: u64, models: Arc<dyn ReadModels>) -> Self {
        Self { limits, memory, models, idle: Mutex::default() }
    }

    /// An idle process, or else a new one.
    async fn take(&self) -> io::Result<Process> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut process) = idle else { return Process::start(&self.limits, self.memory).await };
            if process.child.try_wait()?.is_none() {
                return Ok(process);
            }
            tracing::warn!("a process that waited for work has ended");
        }
    }
}

#[async_trait]
impl Engine for EngineProcesses {
    async fn run(&self, image: Bytes, sha256: &str, runs: &[Run]) -> Result<Worked, WorkError> {
        let started = self.take().await;
        let mut process =
            started.map_err(|error| port_error("starting a process for an image", true, error))?;
        let order = Order::Work { sha256: sha256.to_owned(), runs: runs.to_vec() };
        match timeout(self.limits.job + OVERTIME, process.work(order, image, &*self.models, &self.limits))
            .await
        {
            Ok(Ok(worked)) => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(process);
                worked
            }
            Ok(Err(error)) => {
                let status = process.end().await;
                tracing::error!(error = %Chain(&error), ?status, "the process that worked on the image was lost");
                Err(WorkError::AttemptFailed(if is_of_memory(status) { exhausted() } else { crashed() }))
            }
            Err(_) => {
                process.end().await;
                tracing::error!("the work on an image does not end; its process was killed");
                Err(WorkError::AttemptFailed(exhausted()))
            }
        }
    }
}

/// Whether a process that ended so had probably no more memory: Rust aborts a program that gets none, and the system
/// kills one that takes too much. Other aborts cannot be told from these.
fn is_of_memory(status: Option<ExitStatus>) -> bool {
    const SIGABRT: i32 = 6;
    const SIGKILL: i32 = 9;
    status.and_then(|status| status.signal()).is_some_and(|signal| [SIGABRT, SIGKILL].contains(&signal))
}

/// The failure of work that took too much memory or time.
fn exhausted() -> Failure {
    Failure::new(
        "out_of_memory_or_timeout",
        "The work on the image ran out of memory or time. Submit a smaller or simpler image.",
    )
}

/// A process that works on one image at a time. Dropped, it is killed.
struct Process {
    child: Child,
    orders: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Process {
    async fn start(limits: &Limits, memory: u64) -> io::Result<Self> {
        // On Linux this is the running program, even if its file has been replaced.
        let program =
            if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe()? };
        let mut child = Command::new(program)
            .arg0("darkroom")
            .arg("engine")
            .env_clear()
            .envs(std::env::var_os("LOG_LEVEL").map(|level| ("LOG_LEVEL", level)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What the process logs goes where this one's log goes.
            .stderr(io::stdout())
            // A signal from the terminal is meant for the parent, which shuts the work down.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (Some(orders), Some(replies)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a process was started without its pipes"));
        };
        let mut process = Self { child, orders, replies: BufReader::new(replies) };
        let begin = Order::Begin { limits: Box::new(limits.clone()), memory };
        send(&mut process.orders, &begin, &[]).await?;
        Ok(process)
    }

    /// Works on an image. After an error the process cannot be used any more.
    async fn work(
        &mut self,
        order: Order,
        image: Bytes,
        models: &dyn ReadModels,
        limits: &Limits,
    ) -> io::Result<Result<Worked, WorkError>> {
        let (patience, most) = (limits.job, limits.model_bytes);
        send(&mut self.orders, &order, &[image]).await?;
        loop {
            let (reply, bodies) = receive(&mut self.replies).await?;
            match reply {
                Reply::ReadModel { number, model, file, known, max_bytes } => {
                    let reading = models.read_model(&model, file, known.as_deref(), max_bytes.min(most));
                    // The child gives a question up after as long.
                    let read = timeout(patience, reading)
                        .await
                        .unwrap_or_else(|elapsed| Err(port_error("reading a model", true, elapsed)));
                    let (answer, bodies) = ModelAnswer::new(read);
                    send(&mut self.orders, &Order::Model { number, answer }, &bodies).await?;
                }
                Reply::Done(done) => {
                    let whole = done.with(bodies);
                    return whole.map(Ok).ok_or_else(|| io::ErrorKind::InvalidData.into());
                }
                Reply::Failed(error) => return Ok(Err(error.into())),
            }
        }
    }

    /// Ends the process, if it has not ended by itself, and returns how it ended.
    async fn end(&mut self) -> Option<ExitStatus> {
        // If the pipes broke, the process is about to end by itself, and its own status tells more than that of a kill.
        if let Ok(Ok(status)) = timeout(ENDING_BY_ITSELF, self.child.wait()).await {
            return Some(status);
        }
        if let Err(error) = self.child.start_kill() {
            tracing::warn!(error = %Chain(&error), "a process was not killed");
        }
        let _ = timeout(ENDING, self.child.wait()).await;
        None
    }
}
