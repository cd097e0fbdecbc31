//! The messages between the two processes: each is a value, as JSON, followed by the bytes that belong to it.

use std::{borrow::Cow, io};

use bytes::Bytes;
use jobs::{
    algorithm::Run,
    error::{Cause, Chain, Failure, PortError},
    key::ModelKey,
    limits::Limits,
    ports::{Artifact, ModelFile, ModelRead, Output, WorkError, Worked},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The most bytes of a message: far more than the largest image that is taken and the largest result that is made.
const MOST_BYTES: u64 = 1 << 30;

/// A message of the parent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// The first message: the limits of the work, and of the memory in bytes.
    Begin { limits: Box<Limits>, memory: u64 },
    /// Work on this image, whose bytes follow.
    Work { sha256: String, runs: Vec<Run> },
    /// The answer to the [`Reply::ReadModel`] with this number; the file's bytes follow.
    Model { number: u64, answer: ModelAnswer },
}

/// A message of the child.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// A model's file is needed. The number tells the answer from one that comes after its question was given up.
    ReadModel { number: u64, model: ModelKey, file: ModelFile, known: Option<String>, max_bytes: u64 },
    /// The work is done; the bytes of the artifacts follow.
    Done(Done),
    /// The work failed.
    Failed(Error),
}

/// A [`ModelRead`] without the bytes, or the reason why there is none.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ModelAnswer {
    Missing,
    TooLarge(u64),
    Unchanged,
    Found { etag: String },
    Failed(Outage),
}

/// A [`Worked`] without the bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Done {
    content_type: String,
    width: u32,
    height: u32,
    frames: u32,
    outputs: Vec<Made>,
}

/// An [`Output`] without the bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    algorithm: String,
    /// Of each artifact the extension and the media type.
    artifacts: Vec<(String, String)>,
    details: serde_json::Map<String, serde_json::Value>,
}

/// A [`WorkError`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Error {
    Failed(Failure),
    AttemptFailed(Failure),
    Port(Outage),
}

/// A [`PortError`] without the operation, which each side names for itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outage {
    retryable: bool,
    cause: String,
}

impl ModelAnswer {
    pub(super) fn new(read: Result<ModelRead, PortError>) -> (Self, Vec<Bytes>) {
        match read {
            Ok(ModelRead::Missing) => (Self::Missing, Vec::new()),
            Ok(ModelRead::TooLarge(bytes)) => (Self::TooLarge(bytes), Vec::new()),
            Ok(ModelRead::Unchanged) => (Self::Unchanged, Vec::new()),
            Ok(ModelRead::Found { etag, body }) => (Self::Found { etag }, vec![body]),
            Err(error) => (Self::Failed(error.into()), Vec::new()),
        }
    }

    pub(super) fn read(self, bytes: Vec<Bytes>) -> Result<ModelRead, PortError> {
        Ok(match self {
            Self::Missing => ModelRead::Missing,
            Self::TooLarge(bytes) => ModelRead::TooLarge(bytes),
            Self::Unchanged => ModelRead::Unchanged,
            Self::Found { etag } => {
                ModelRead::Found { etag, body: bytes.into_iter().next().unwrap_or_default() }
            }
            Self::Failed(outage) => return Err(outage.of("reading a model")),
        })
    }
}

impl Reply {
    pub(super) fn new(worked: Result<Worked, WorkError>) -> (Self, Vec<Bytes>) {
        let worked = match worked {
            Ok(worked) => worked,
            Err(error) => return (Self::Failed(error.into()), Vec::new()),
        };
        let mut bodies = Vec::new();
        let outputs = worked.outputs.into_iter().map(|output| Made {
            algorithm: output.algorithm,
            artifacts: output
                .artifacts
                .into_iter()
                .map(|artifact| {
                    bodies.push(artifact.body);
                    (artifact.extension.into_owned(), artifact.content_type.into_owned())
                })
                .collect(),
            details: output.details,
        });
        let done = Done {
            content_type: worked.content_type.into_owned(),
            width: worked.width,
            height: worked.height,
            frames: worked.frames,
            outputs: outputs.collect(),
        };
        (Self::Done(done), bodies)
    }
}

impl Done {
    /// The same with the bytes, in the order in which they came; `None` if there are too few or too many.
    pub(super) fn with(self, bodies: Vec<Bytes>) -> Option<Worked> {
        let mut bodies = bodies.into_iter();
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for made in self.outputs {
            let mut artifacts = Vec::with_capacity(made.artifacts.len());
            for (extension, content_type) in made.artifacts {
                artifacts.push(Artifact {
                    extension: Cow::Owned(extension),
                    content_type: Cow::Owned(content_type),
                    body: bodies.next()?,
                });
            }
            outputs.push(Output { algorithm: made.algorithm, artifacts, details: made.details });
        }
        bodies.next().is_none().then_some(Worked {
            content_type: Cow::Owned(self.content_type),
            width: self.width,
            height: self.height,
            frames: self.frames,
            outputs,
        })
    }
}

impl From<PortError> for Outage {
    fn from(error: PortError) -> Self {
        Self { retryable: error.retryable, cause: Chain(&error).to_string() }
    }
}

impl Outage {
    fn of(self, operation: &'static str) -> PortError {
        port_error(operation, self.retryable, self.cause)
    }
}

impl From<WorkError> for Error {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Failed(failure) => Self::Failed(failure),
            WorkError::AttemptFailed(failure) => Self::AttemptFailed(failure),
            WorkError::Port(error) => Self::Port(error.into()),
        }
    }
}

impl From<Error> for WorkError {
    fn from(error: Error) -> Self {
        match error {
            Error::Failed(failure) => Self::Failed(failure),
            Error::AttemptFailed(failure) => Self::AttemptFailed(failure),
            Error::Port(outage) => Self::Port(outage.of("working on an image")),
        }
    }
}

pub(super) fn port_error(operation: &'static str, retryable: bool, cause: impl Into<Cause>) -> PortError {
    PortError { operation, retryable, cause: cause.into() }
}

/// Sends a message.
pub(super) async fn send<T: Serialize + Sync>(
    to: &mut (impl AsyncWrite + Unpin + Send),
    value: &T,
    bodies: &[Bytes],
) -> io::Result<()> {
    let lengths: Vec<_> = bodies.iter().map(Bytes::len).collect();
    let head = serde_json::to_vec(&(value, lengths))?;
    to.write_u64(head.len() as u64).await?;
    to.write_all(&head).await?;
    for body in bodies {
        to.write_all(body).await?;
    }
    to.flush().await
}

/// Receives a message. It is an error, too, if the other process has gone.
pub(super) async fn receive<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin + Send),
) -> io::Result<(T, Vec<Bytes>)> {
    let mut left = MOST_BYTES;
    let head = from.read_u64().await?;
    let head = body(from, head, &mut left).await?;
    let (value, lengths): (T, Vec<u64>) = serde_json::from_slice(&head)?;
    let mut bodies = Vec::new();
    for length in lengths {
        bodies.push(body(from, length, &mut left).await?);
    }
    Ok((value, bodies))
}

async fn body(from: &mut (impl AsyncRead + Unpin + Send), length: u64, left: &mut u64) -> io::Result<Bytes> {
    *left = left
        .checked_sub(length)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a message is too long"))?;
    // The sender's word is not trusted with more memory than this before the bytes are there.
    const AT_ONCE: u64 = 1 << 20;
    let mut body = Vec::with_capacity(usize::try_from(length.min(AT_ONCE)).unwrap_or_default());
    if from.take(length).read_to_end(&mut body).await? as u64 == length {
        Ok(body.into())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worked() -> Worked {
        let artifact = |extension: &'static str, body: &'static str| Artifact {
            extension: extension.into(),
            content_type: "application/json".into(),
            body: Bytes::from_static(body.as_bytes()),
        };
        let output = |name: &str, artifacts| Output {
            algorithm: name.to_owned(),
            artifacts,
            details: serde_json::Map::from_iter([("count".to_owned(), 3.into())]),
        };
        let outputs =
            vec![output("a", vec![artifact("json", "one"), artifact("png", "")]), output("b", vec![])];
        Worked { content_type: "image/png".into(), width: 4, height: 3, frames: 2, outputs }
    }

    #[tokio::test]
    async fn results_arrive_as_they_were_sent() {
        let (reply, bodies) = Reply::new(Ok(worked()));
        let mut pipe = Vec::new();
        send(&mut pipe, &reply, &bodies).await.expect("sent");
        let (received, bodies): (Reply, _) = receive(&mut &pipe[..]).await.expect("received");
        let Reply::Done(done) = received else { panic!("another message: {received:?}") };
        let arrived = done.with(bodies).expect("whole");
        assert_eq!(format!("{arrived:?}"), format!("{:?}", worked()));
    }

    #[tokio::test]
    async fn a_message_that_is_cut_or_longer_than_any_is_an_error() {
        let (reply, bodies) = Reply::new(Ok(worked()));
        let mut pipe = Vec::new();
        send(&mut pipe, &reply, &bodies).await.expect("sent");
        for length in 0..pipe.len() {
            receive::<Reply>(&mut &pipe[..length]).await.expect_err("cut");
        }
        let mut long = (MOST_BYTES + 1).to_be_bytes().to_vec();
        long.extend_from_slice(b"{}");
        receive::<Reply>(&mut &long[..]).await.expect_err("too long");
        let (Reply::Done(done), _) = Reply::new(Ok(worked())) else { panic!("another message") };
        assert!(done.with(vec![]).is_none(), "bytes are missing");
    }

    #[tokio::test]
    async fn failures_arrive_as_what_they_are() {
        let failure = Failure::new("corrupt_image", "The image is damaged.");
        for error in [
            WorkError::Failed(failure.clone()),
            WorkError::AttemptFailed(failure),
            WorkError::Port(port_error("reading a model", true, "throttled")),
        ] {
            let kind = std::mem::discriminant(&error);
            let (reply, bodies) = Reply::new(Err(error));
            let mut pipe = Vec::new();
            send(&mut pipe, &reply, &bodies).await.expect("sent");
            let (received, _) = receive(&mut &pipe[..]).await.expect("received");
            let Reply::Failed(error) = received else { panic!("another message") };
            assert_eq!(std::mem::discriminant(&WorkError::from(error)), kind);
        }
    }

    #[test]
    fn models_arrive_as_they_were_read() {
        let found = ModelRead::Found { etag: "1".to_owned(), body: Bytes::from_static(b"model") };
        for read in [ModelRead::Missing, ModelRead::TooLarge(7), ModelRead::Unchanged, found] {
            let expected = format!("{read:?}");
            let (answer, bodies) = ModelAnswer::new(Ok(read));
            assert_eq!(format!("{:?}", answer.read(bodies).expect("read")), expected);
        }
        let (answer, bodies) = ModelAnswer::new(Err(port_error("reading a model", true, "throttled")));
        assert!(answer.read(bodies).expect_err("a failure").retryable);
    }
}
