//! The ports that the handlers use: on a folder of this machine, or on AWS services.

use std::{path::Path, sync::Arc};

use aws::{Clients, WORKER_PATIENCE};
use jobs::{
    message::ReadUploads,
    ports::{
        CountUsage, DeferMessages, ListDue, ListJobs, PresignUploads, Probe, ReadJobs, ReadKeys, ReadModels,
        ReadObjects, ReceiveMessages, SendMessages, WriteJobs, WriteObjects, WriteOnce,
    },
};
use local::{DeadLetters, Store};
use runtime::config::{Config, ConfigError};
use url::Url;

/// A queue that is received from.
pub(crate) trait Inbox: ReceiveMessages + DeferMessages {}

impl<T: ReceiveMessages + DeferMessages> Inbox for T {}

/// Every port, on one kind of store.
#[derive(Clone)]
pub(crate) struct Ports {
    pub jobs: Arc<dyn ReadJobs>,
    pub lists: Arc<dyn ListJobs>,
    pub writer: Arc<dyn WriteJobs>,
    pub once: Arc<dyn WriteOnce>,
    pub due: Arc<dyn ListDue>,
    pub keys: Arc<dyn ReadKeys>,
    pub usage: Arc<dyn CountUsage>,
    pub sources: Arc<dyn ReadObjects>,
    pub objects: Arc<dyn WriteObjects>,
    pub presigner: Arc<dyn PresignUploads>,
    pub models: Arc<dyn ReadModels>,
    pub sender: Arc<dyn SendMessages>,
    pub jobs_queue: Arc<dyn Inbox>,
    /// Reads the object store's own messages in the jobs queue.
    pub uploads: ReadUploads,
    pub callbacks_queue: Arc<dyn Inbox>,
    /// The dead-letter queues of both queues.
    pub dead_letters: [Arc<dyn Inbox>; 2],
    pub probes: Vec<Arc<dyn Probe>>,
    /// The local store itself, where it is one.
    pub local: Option<Store>,
}

impl Ports {
    /// The ports on a folder.
    pub(crate) async fn local(folder: &Path, public_url: Url) -> Result<Self, local::OpenError> {
        let store = Store::open(folder, public_url).await?;
        let jobs = Arc::new(store.jobs.clone());
        let objects = Arc::new(store.objects.clone());
        let models = Arc::new(store.models.clone());
        let jobs_queue = Arc::new(store.queues.jobs.clone());
        let callbacks_queue = Arc::new(store.queues.callbacks.clone());
        let jobs_dead_letters = Arc::new(DeadLetters::of(&store.queues.jobs));
        let callbacks_dead_letters = Arc::new(DeadLetters::of(&store.queues.callbacks));
        Ok(Self {
            jobs: jobs.clone(),
            lists: jobs.clone(),
            writer: jobs.clone(),
            once: jobs.clone(),
            due: jobs.clone(),
            keys: jobs.clone(),
            usage: jobs.clone(),
            sources: objects.clone(),
            objects: objects.clone(),
            presigner: objects.clone(),
            models: models.clone(),
            sender: Arc::new(store.queues.clone()),
            jobs_queue: jobs_queue.clone(),
            // The route of uploads queues Darkroom's own message.
            uploads: |_| None,
            callbacks_queue: callbacks_queue.clone(),
            dead_letters: [jobs_dead_letters.clone(), callbacks_dead_letters.clone()],
            probes: vec![
                jobs,
                objects,
                models,
                jobs_queue,
                jobs_dead_letters,
                callbacks_queue,
                callbacks_dead_letters,
            ],
            local: Some(store),
        })
    }

    /// The ports on the services that the environment names, as the template does for the functions.
    pub(crate) async fn aws(config: &Config) -> Result<Self, ConfigError> {
        let clients = Clients::from_env(WORKER_PATIENCE).await;
        let table = Arc::new(clients.table(config.resource("JOBS_TABLE")?));
        let bucket = Arc::new(clients.bucket(config.resource("BUCKET")?));
        let models = Arc::new(clients.models_bucket(config.resource("MODELS_BUCKET")?));
        let jobs_queue = clients.jobs_queue(config.resource("JOBS_QUEUE_URL")?);
        let callbacks_queue = clients.callbacks_queue(config.resource("CALLBACKS_QUEUE_URL")?);
        let sender = aws::Queues { jobs: Some(jobs_queue.clone()), callbacks: Some(callbacks_queue.clone()) };
        let (jobs_queue, callbacks_queue) = (Arc::new(jobs_queue), Arc::new(callbacks_queue));
        let jobs_dead_letters =
            Arc::new(clients.jobs_dead_letters(config.resource("JOBS_DEAD_LETTERS_URL")?));
        let callbacks_dead_letters =
            Arc::new(clients.callbacks_dead_letters(config.resource("CALLBACKS_DEAD_LETTERS_URL")?));
        Ok(Self {
            jobs: table.clone(),
            lists: table.clone(),
            writer: table.clone(),
            once: table.clone(),
            due: table.clone(),
            keys: table.clone(),
            usage: table.clone(),
            sources: bucket.clone(),
            objects: bucket.clone(),
            presigner: bucket.clone(),
            models: models.clone(),
            sender: Arc::new(sender),
            jobs_queue: jobs_queue.clone(),
            uploads: aws::upload_event::uploaded_jobs,
            callbacks_queue: callbacks_queue.clone(),
            dead_letters: [jobs_dead_letters.clone(), callbacks_dead_letters.clone()],
            probes: vec![
                table,
                bucket,
                models,
                jobs_queue,
                jobs_dead_letters,
                callbacks_queue,
                callbacks_dead_letters,
            ],
            local: None,
        })
    }
}
