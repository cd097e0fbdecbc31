//! Models in a folder, into which the operator of the service puts them.

use std::{
    io,
    path::PathBuf,
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use jobs::{
    error::PortError,
    key::ModelKey,
    ports::{ModelFile, ModelRead, Probe, ReadModels},
};

use crate::database::failed;

/// The folder of models.
#[derive(Clone, Debug)]
pub struct ModelsFolder(pub(crate) PathBuf);

/// The tag of a file, which changes with it: the time of the last write, and the size.
fn tag(metadata: &std::fs::Metadata) -> io::Result<String> {
    let written = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Ok(format!("{:x}-{:x}", written.as_nanos(), metadata.len()))
}

#[async_trait]
impl ReadModels for ModelsFolder {
    async fn read_model(
        &self,
        model: &ModelKey,
        file: ModelFile,
        known: Option<&str>,
        max_bytes: u64,
    ) -> Result<ModelRead, PortError> {
        const OPERATION: &str = "reading a model";
        // No part of a key starts with a dot, so it cannot lead out of the folder.
        let path = self.0.join(file.key(model));
        let metadata = match tokio::fs::metadata(&path).await {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(_) => return Ok(ModelRead::Missing),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(ModelRead::Missing);
            }
            Err(error) => return Err(failed(OPERATION, error)),
        };
        let etag = tag(&metadata).map_err(|error| failed(OPERATION, error))?;
        if known == Some(etag.as_str()) {
            return Ok(ModelRead::Unchanged);
        }
        if metadata.len() > max_bytes {
            return Ok(ModelRead::TooLarge(metadata.len()));
        }
        let body = tokio::fs::read(&path).await.map_err(|error| failed(OPERATION, error))?;
        Ok(ModelRead::Found { etag, body: body.into() })
    }
}

#[async_trait]
impl Probe for ModelsFolder {
    fn name(&self) -> &'static str {
        "models_bucket"
    }

    async fn probe(&self) -> Result<(), PortError> {
        tokio::fs::metadata(&self.0).await.map_err(|error| failed("probing the models", error))?;
        Ok(())
    }
}
