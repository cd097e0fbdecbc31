//! The models that jobs name. They are read from their bucket when they have changed, and kept ready between jobs.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use detection::{DetectError, Model, ModelSource};
use imaging::Deadline;
use jobs::{
    error::{Chain, Failure},
    key::ModelKey,
    ports::{ModelFile, ModelRead, ReadModels, WorkError},
    submit::sha256_hex,
    units,
};

/// The most models that are kept ready. Ready, a model takes about as much memory as its file, so all of them together
/// have no more bytes than the largest one may have.
const MOST_READY: usize = 4;

/// The most bytes of a description.
const DESCRIPTION_BYTES: u64 = 1 << 20;

/// Reads models and keeps those that were used last.
#[derive(Clone)]
pub(crate) struct Models {
    store: Arc<dyn ReadModels>,
    max_bytes: u64,
    ready: Arc<Mutex<VecDeque<Ready>>>,
}

/// A model that was used lately. The one used last comes first.
#[derive(Clone)]
struct Ready {
    model: Model,
    /// The tags of the model's file and of the description.
    etags: [String; 2],
    bytes: u64,
}

/// A model that is ready, or whose files have been read.
pub(crate) enum Pending {
    Ready(Model),
    Files { key: ModelKey, files: [(String, Bytes); 2] },
}

impl Models {
    /// Models from a store, each of at most `max_bytes`.
    pub(crate) fn new(store: Arc<dyn ReadModels>, max_bytes: u64) -> Self {
        Self { store, max_bytes, ready: Arc::default() }
    }

    /// Reads a model's files, unless the model is ready and they have not changed.
    ///
    /// # Errors
    /// [`WorkError::Failed`] where there is no such model, a larger one than is taken, or one that must not be read;
    /// [`WorkError::AttemptFailed`] where it was not read within `patience`; [`WorkError::Port`] where it cannot be
    /// read this time.
    pub(crate) async fn read(&self, key: ModelKey, patience: Duration) -> Result<Pending, WorkError> {
        let name = key.as_str().to_owned();
        match tokio::time::timeout(patience, self.read_patiently(key)).await {
            // Access is denied, the key of its encryption cannot be used, or it is archived: a retry helps with none of
            // these.
            Ok(Err(WorkError::Port(error))) if !error.retryable => {
                tracing::error!(error = %Chain(&error), "a model cannot be read");
                let text =
                    format!("{name} must not be read: give the worker access to it, or put it there anew.");
                Err(Failure::new("model_unreadable", text).into())
            }
            Ok(read) => read,
            Err(_) => {
                let text = format!("{name} was not read within {} s: try a smaller one.", patience.as_secs());
                Err(WorkError::AttemptFailed(Failure::new("model_unreadable", text)))
            }
        }
    }

    async fn read_patiently(&self, key: ModelKey) -> Result<Pending, WorkError> {
        let known = self.known(&key);
        let tag = |place: usize| known.as_ref().map(|ready| ready.etags[place].as_str());
        let description = self.read_file(&key, ModelFile::Description, tag(1), DESCRIPTION_BYTES).await?;
        let model = self.read_file(&key, ModelFile::Model, tag(0), self.max_bytes).await?;
        let (model, description) = match (model, description, known) {
            (None, None, Some(ready)) => return Ok(Pending::Ready(ready.model)),
            (model, description, _) => (model, description),
        };
        // If only one of the files has changed, the other one was not read and is needed now.
        let model = self.read_if_none(model, &key, ModelFile::Model, self.max_bytes).await?;
        let description =
            self.read_if_none(description, &key, ModelFile::Description, DESCRIPTION_BYTES).await?;
        Ok(Pending::Files { key, files: [model, description] })
    }

    /// The file if it was read already; otherwise it is read now, whether or not it has changed.
    async fn read_if_none(
        &self,
        read: Option<(String, Bytes)>,
        key: &ModelKey,
        file: ModelFile,
        most: u64,
    ) -> Result<(String, Bytes), WorkError> {
        let read = match read {
            None => self.read_file(key, file, None, most).await?,
            some => some,
        };
        read.ok_or_else(|| not_found(key, file).into())
    }

    /// A file with its tag, or `None` if it has the known tag.
    async fn read_file(
        &self,
        key: &ModelKey,
        file: ModelFile,
        known: Option<&str>,
        most: u64,
    ) -> Result<Option<(String, Bytes)>, WorkError> {
        match self.store.read_model(key, file, known, most).await? {
            ModelRead::Found { etag, body } => Ok(Some((etag, body))),
            ModelRead::Unchanged => Ok(None),
            ModelRead::Missing => Err(not_found(key, file).into()),
            ModelRead::TooLarge(bytes) => {
                let (bytes, most) = (units::bytes(bytes), units::bytes(most));
                let text = format!("{} has {bytes}; at most {most} are taken.", file.key(key));
                Err(Failure::new("model_too_large", text).into())
            }
        }
    }

    /// The model, made ready if it is not. That takes processor time, so it is not for an asynchronous thread.
    ///
    /// # Errors
    /// Those of [`onnx::load`].
    pub(crate) fn ready(&self, pending: Pending, deadline: Deadline) -> Result<Model, DetectError> {
        let (key, [(model_tag, model), (description_tag, description)]) = match pending {
            Pending::Ready(model) => return Ok(model),
            Pending::Files { key, files } => (key, files),
        };
        let etags = [model_tag, description_tag];
        // Another algorithm of the same job may have made it ready meanwhile.
        if let Some(ready) = self.known(&key).filter(|ready| ready.etags == etags) {
            return Ok(ready.model);
        }
        let source =
            ModelSource { key, sha256: sha256_hex(&model), description_sha256: sha256_hex(&description) };
        let bytes = model.len() as u64;
        let model = onnx::load(source, &model, &description, deadline)?;
        self.keep(Ready { model: model.clone(), etags, bytes });
        Ok(model)
    }

    /// The ready model of that key, which becomes the one used last.
    fn known(&self, key: &ModelKey) -> Option<Ready> {
        let mut all = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let place = all.iter().position(|ready| ready.model.source().key == *key)?;
        let ready = all.remove(place)?;
        all.push_front(ready.clone());
        Some(ready)
    }

    fn keep(&self, ready: Ready) {
        let mut all = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.model.source().key != ready.model.source().key);
        all.push_front(ready);
        while all.len() > MOST_READY || all.iter().map(|ready| ready.bytes).sum::<u64>() > self.max_bytes {
            all.pop_back();
        }
    }
}

fn not_found(key: &ModelKey, file: ModelFile) -> Failure {
    let file = file.key(key);
    Failure::new(
        "model_not_found",
        format!("There is no {file} in the bucket of models: put it there, or name another."),
    )
}
