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
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::{
    io::Stdout,
    sync::{Mutex, mpsc},
};

use crate::host::MakeEngine;

use super::wire::{ModelAnswer, Order, Reply, port_error, receive, send};

/// Both ends of the pipes to the parent.
struct Pipe {
    orders: mpsc::Receiver<(Order, Vec<Bytes>)>,
    replies: Stdout,
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
    let mut pipe = Pipe { orders, replies: tokio::io::stdout() };
    let Some((Order::Begin { limits, memory }, _)) = pipe.orders.recv().await else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the first order does not say how to begin"));
    };
    limit(memory)?;
    let pipe = Arc::new(Mutex::new(pipe));
    let engine = make(&limits, Arc::new(ModelsOfParent(pipe.clone())));
    loop {
        let order = pipe.lock().await.orders.recv().await;
        let Some((Order::Work { sha256, runs }, image)) = order else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an order asks for no work"));
        };
        let image = image.into_iter().next().unwrap_or_default();
        let (reply, bodies) = Reply::new(engine.run(image, &sha256, &runs).await);
        send(&mut pipe.lock().await.replies, &reply, &bodies).await?;
    }
}

/// Limits the memory of this process, so that exceeding it ends this process and not one that the system picks. No core
/// dump is written.
fn limit(memory: u64) -> io::Result<()> {
    let most = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::Core, most(0))?;
    Ok(setrlimit(Resource::Data, most(memory))?)
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
        let asked = send(&mut pipe.replies, &Reply::ReadModel { model, file, known, max_bytes }, &[]).await;
        asked.map_err(|error| port_error("asking for a model", true, error))?;
        match pipe.orders.recv().await {
            Some((Order::Model(answer), bodies)) => ModelAnswer::read(answer, bodies),
            _ => Err(port_error("asking for a model", true, "the parent answered something else")),
        }
    }
}
