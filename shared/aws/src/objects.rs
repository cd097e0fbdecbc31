//! Images, results and models in S3.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    operation::{get_object::GetObjectError, head_object::HeadObjectError},
    presigning::{PresignedRequest, PresigningConfig},
    primitives::ByteStream,
    types::{Delete, ObjectIdentifier},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use jobs::{
    error::PortError,
    id::JobId,
    key::{ModelKey, ObjectKey, job_prefix},
    ports::{
        Attempts, ModelFile, ModelRead, ObjectInfo, PresignUploads, Probe, Read, ReadMethod, ReadModels,
        ReadObjects, UploadTerms, UploadTicket, WriteObjects,
    },
};
use url::Url;

use crate::error::{broken, port_error};

/// A bucket: that of images and results, or that of models.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    role: &'static str,
    name: String,
}

impl Bucket {
    /// The bucket of that name; `role` is its name in health checks.
    pub(crate) fn new(client: Client, role: &'static str, name: String) -> Self {
        Self { client, role, name }
    }
}

fn info(bytes: Option<i64>, content_type: Option<String>, etag: Option<String>) -> ObjectInfo {
    ObjectInfo {
        bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
        content_type: content_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
        etag: etag.unwrap_or_default().trim_matches('"').to_owned(),
    }
}

fn presigned_url(operation: &'static str, request: &PresignedRequest) -> Result<Url, PortError> {
    Url::parse(request.uri()).map_err(|error| broken(operation, error))
}

#[async_trait]
impl ReadObjects for Bucket {
    async fn read(&self, key: &ObjectKey, max_bytes: u64) -> Result<Read, PortError> {
        const OPERATION: &str = "reading an object";
        let got = self.client.get_object().bucket(&self.name).key(key.to_string()).send().await;
        let object = match got {
            Ok(object) => object,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
                return Ok(Read::Missing);
            }
            Err(error) => return Err(port_error(OPERATION)(error)),
        };
        let info = info(object.content_length, object.content_type, object.e_tag);
        if info.bytes > max_bytes {
            return Ok(Read::TooLarge(info.bytes));
        }
        let body = object.body.collect().await.map_err(|error| PortError {
            operation: OPERATION,
            retryable: true,
            cause: Box::new(error),
        })?;
        Ok(Read::Found(info, body.into_bytes()))
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, PortError> {
        match self.client.head_object().bucket(&self.name).key(key.to_string()).send().await {
            Ok(head) => Ok(Some(info(head.content_length, head.content_type, head.e_tag))),
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(None),
            Err(error) => Err(port_error("describing an object")(error)),
        }
    }

    async fn presign(
        &self,
        method: ReadMethod,
        key: &ObjectKey,
        validity: Duration,
    ) -> Result<Url, PortError> {
        const OPERATION: &str = "signing a download";
        let terms = PresigningConfig::expires_in(validity).map_err(|error| broken(OPERATION, error))?;
        let (client, key) = (&self.client, key.to_string());
        let request = match method {
            ReadMethod::Get => {
                // S3 sends no `X-Content-Type-Options`, so a browser is told to keep the file and not to show it.
                let get = client.get_object().bucket(&self.name).key(key);
                let get = get.response_content_disposition("attachment");
                get.presigned(terms).await.map_err(port_error(OPERATION))?
            }
            ReadMethod::Head => {
                let head = client.head_object().bucket(&self.name).key(key);
                head.presigned(terms).await.map_err(port_error(OPERATION))?
            }
        };
        presigned_url(OPERATION, &request)
    }
}

#[async_trait]
impl ReadModels for Bucket {
    async fn read_model(
        &self,
        model: &ModelKey,
        file: ModelFile,
        known: Option<&str>,
        max_bytes: u64,
    ) -> Result<ModelRead, PortError> {
        const OPERATION: &str = "reading a model";
        let request = self.client.get_object().bucket(&self.name).key(file.key(model));
        let got = request.set_if_none_match(known.map(|etag| format!("\"{etag}\""))).send().await;
        let object = match got {
            Ok(object) => object,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
                return Ok(ModelRead::Missing);
            }
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 304) => {
                return Ok(ModelRead::Unchanged);
            }
            Err(error) => return Err(port_error(OPERATION)(error)),
        };
        let info = info(object.content_length, object.content_type, object.e_tag);
        if info.bytes > max_bytes {
            return Ok(ModelRead::TooLarge(info.bytes));
        }
        let body = object.body.collect().await.map_err(|error| PortError {
            operation: OPERATION,
            retryable: true,
            cause: Box::new(error),
        })?;
        Ok(ModelRead::Found { etag: info.etag, body: body.into_bytes() })
    }
}

#[async_trait]
impl WriteObjects for Bucket {
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &str) -> Result<(), PortError> {
        self.client
            .put_object()
            .bucket(&self.name)
            .key(key.to_string())
            .content_type(content_type)
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(port_error("storing an object"))?;
        Ok(())
    }

    async fn put_new(&self, key: &ObjectKey, body: Bytes, content_type: &str) -> Result<bool, PortError> {
        let put = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key.to_string())
            .content_type(content_type)
            .if_none_match("*")
            .body(ByteStream::from(body));
        match put.send().await {
            Ok(_) => Ok(true),
            // 412 means that there is an object already. 409, below, means that another one is being stored: a retry
            // may help.
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 412) => {
                Ok(false)
            }
            Err(error) => {
                let contended = error.raw_response().is_some_and(|answer| answer.status().as_u16() == 409);
                let error = port_error("storing a new object")(error);
                Err(PortError { retryable: error.retryable || contended, ..error })
            }
        }
    }

    async fn delete_results(&self, job: JobId, of: Attempts) -> Result<(), PortError> {
        self.delete_those(job, |key| key.parse().is_ok_and(|key| of.stored(&key))).await
    }

    async fn delete_all(&self, job: JobId) -> Result<(), PortError> {
        self.delete_those(job, |_| true).await
    }
}

impl Bucket {
    /// Removes those of a job's objects whose keys fit.
    async fn delete_those(
        &self,
        job: JobId,
        fits: impl Fn(&str) -> bool + Send + Sync,
    ) -> Result<(), PortError> {
        const OPERATION: &str = "deleting a job's objects";
        // A job has a handful of objects, far fewer than the thousand that one listing and one deletion take.
        let listed = self
            .client
            .list_objects_v2()
            .bucket(&self.name)
            .prefix(job_prefix(job))
            .send()
            .await
            .map_err(port_error(OPERATION))?;
        let identifiers = listed
            .contents()
            .iter()
            .filter_map(|object| object.key())
            .filter(|key| fits(key))
            .map(|key| ObjectIdentifier::builder().key(key).build())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| broken(OPERATION, error))?;
        if identifiers.is_empty() {
            return Ok(());
        }
        let delete = Delete::builder()
            .set_objects(Some(identifiers))
            .quiet(true)
            .build()
            .map_err(|error| broken(OPERATION, error))?;
        let deleted = self
            .client
            .delete_objects()
            .bucket(&self.name)
            .delete(delete)
            .send()
            .await
            .map_err(port_error(OPERATION))?;
        match deleted.errors().first() {
            None => Ok(()),
            Some(error) => Err(PortError {
                operation: OPERATION,
                retryable: true,
                cause: error.code().unwrap_or("an object was not deleted").into(),
            }),
        }
    }
}

#[async_trait]
impl PresignUploads for Bucket {
    async fn presign_put(
        &self,
        key: &ObjectKey,
        terms: &UploadTerms,
        validity: Duration,
    ) -> Result<UploadTicket, PortError> {
        const OPERATION: &str = "signing an upload";
        let length = i64::try_from(terms.bytes).map_err(|error| broken(OPERATION, error))?;
        let request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key.to_string())
            .content_type(&terms.content_type)
            .content_length(length)
            .if_none_match("*")
            .set_checksum_sha256(terms.sha256.map(|digest| BASE64_STANDARD.encode(digest)))
            .presigned(PresigningConfig::expires_in(validity).map_err(|error| broken(OPERATION, error))?)
            .await
            .map_err(port_error(OPERATION))?;
        let url = presigned_url(OPERATION, &request)?;
        let mut headers: Vec<_> =
            request.headers().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        headers.sort();
        Ok(UploadTicket { url, headers })
    }
}

#[async_trait]
impl Probe for Bucket {
    fn name(&self) -> &'static str {
        self.role
    }

    async fn probe(&self) -> Result<(), PortError> {
        self.client
            .head_bucket()
            .bucket(&self.name)
            .send()
            .await
            .map_err(port_error("describing the bucket"))?;
        Ok(())
    }
}
