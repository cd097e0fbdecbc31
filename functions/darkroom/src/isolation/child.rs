//! The child process, which does the work. It reads orders from its standard input, one at a time, and answers on its
//! standard output.

use std::{io, process, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use jobs::{
    error::PortError,
    key::ModelKey,
    ports::{ModelFile, ModelRead, ReadModels},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::Stdout,
    signal::unix::{SignalKind, signal},
    sync::{Mutex, mpsc},
};
use tracing::Instrument as _;

use crate::host::MakeEngine;

use super::wire::{ModelAnswer, Order, Reply, port_error, receive, send};

/// Both ends of the pipes to the parent.
struct Pipe {
    orders: mpsc::Receiver<(Order, Vec<Bytes>)>,
    replies: Stdout,
    /// How many questions were asked.
    questions: u64,
}

/// Works on what the parent sends, with the engine that `make` gives for its limits, until the parent has gone.
///
/// # Errors
/// If the parent sends an unexpected message, or the operating system refuses something.
pub(crate) async fn serve(make: MakeEngine) -> io::Result<()> {
    // The work is a task of its own, so that a panic ends this process. Unwinding from here would wait for the thread
    // that reads the orders.
    tokio::spawn(work(make)).await.map_err(io::Error::other)?
}

async fn work(make: MakeEngine) -> io::Result<()> {
    // A service manager signals all processes of a service. The parent brings the work to its end, and this process
    // ends with its input: a signal that has a handler does nothing else.
    let _handled = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()]
        .into_iter()
        .map(signal)
        .collect::<io::Result<Vec<_>>>()?;
    let (sender, orders) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut input = tokio::io::stdin();
        while let Ok(order) = receive(&mut input).await {
            if sender.send(order).await.is_err() {
                break;
            }
        }
        // The parent has gone, so nobody waits for the result.
        process::exit(0);
    });
    let mut pipe = Pipe { orders, replies: tokio::io::stdout(), questions: 0 };
    let Some((Order::Begin { limits, memory }, _)) = pipe.orders.recv().await else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the first order does not say how to begin"));
    };
    limit(memory)?;
    let pipe = Arc::new(Mutex::new(pipe));
    let engine = make(&limits, Arc::new(ModelsOfParent(pipe.clone())));
    loop {
        let order = pipe.lock().await.orders.recv().await;
        let (sha256, runs, image) = match order {
            Some((Order::Work { sha256, runs }, image)) => (sha256, runs, image),
            // The question was given up before this answer came.
            Some((Order::Model { .. }, _)) => continue,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "an order asks for no work")),
        };
        let image = image.into_iter().next().unwrap_or_default();
        // The row of the job has this checksum, too.
        let span = tracing::info_span!("image", sha256);
        let (reply, bodies) = Reply::new(engine.run(image, &sha256, &runs).instrument(span).await);
        send(&mut pipe.lock().await.replies, &reply, &bodies).await?;
    }
}

/// Limits the memory of this process, so that exceeding it ends this process alone. If the system runs out of memory
/// before that, it is asked to pick this process rather than its parent. No core dump is written.
fn limit(memory: u64) -> io::Result<()> {
    for (resource, most) in [(Resource::Core, 0), (Resource::Data, memory)] {
        // A limit from outside cannot be raised.
        let most = getrlimit(resource).maximum.map_or(most, |outer| outer.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    if cfg!(target_os = "linux")
        && let Err(error) = std::fs::write("/proc/self/oom_score_adj", "1000")
    {
        tracing::debug!(%error, "the system picks any process when it runs out of memory");
    }
    Ok(())
}

/// Models that the parent reads.
struct ModelsOfParent(Arc<Mutex<Pipe>>);

#[async_trait]
impl ReadModels for ModelsOfParent {
    async fn read_model(
        &self,
        model: &ModelKey,
        file: ModelFile,
        known: Option<&str>,
        max_bytes: u64,
    ) -> Result<ModelRead, PortError> {
        let (model, known) = (model.clone(), known.map(ToOwned::to_owned));
        let pipe = &mut *self.0.lock().await;
        pipe.questions += 1;
        let asked = pipe.questions;
        let question = Reply::ReadModel { number: asked, model, file, known, max_bytes };
        let sent = send(&mut pipe.replies, &question, &[]).await;
        sent.map_err(|error| port_error("asking for a model", true, error))?;
        loop {
            match pipe.orders.recv().await {
                Some((Order::Model { number, answer }, bodies)) if number == asked => {
                    return ModelAnswer::read(answer, bodies);
                }
                // The answer to a question that was given up.
                Some((Order::Model { .. }, _)) => {}
                _ => {
                    return Err(port_error("asking for a model", true, "the parent answered something else"));
                }
            }
        }
    }
}
