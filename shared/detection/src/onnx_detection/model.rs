//! A model: its network and its description.

use std::{fmt, sync::Arc};

use algorithm::{ModelKey, units};
use imaging::Deadline;

use super::description::Description;
use crate::DetectError;

/// A network that was read for one shape of its input and is ready to be run. The crate `onnx` makes them: the code
/// that runs networks is large, and only the worker links it.
pub trait Network: Send + Sync {
    /// Whether the samples of its input are bytes, 0 to 255. Otherwise they are numbers that need not be whole.
    fn takes_bytes(&self) -> bool;

    /// The names of its outputs, in their order.
    fn outputs(&self) -> &[String];

    /// Runs the network on an input with these samples, in the order of [`Description::shape`] with the last axis
    /// fastest, and returns all outputs in their order.
    ///
    /// # Errors
    /// [`ModelError`] where it cannot be run, [`DetectError::TimedOut`] when the deadline passes.
    fn run(&self, samples: &[f32], deadline: Deadline) -> Result<Vec<Array>, DetectError>;
}

/// An output of a network: the lengths of its axes, and its numbers with the last axis fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Array {
    /// An output of that shape; none where there are not as many numbers as its axes need.
    #[must_use]
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Option<Self> {
        let count = shape.iter().try_fold(1usize, |count, length| count.checked_mul(*length))?;
        (count == values.len()).then_some(Self { shape, values })
    }
}

/// A network with its description, ready to be run. A clone shares both and costs next to nothing.
#[derive(Clone)]
pub struct Model(Arc<Parts>);

struct Parts {
    source: ModelSource,
    description: Description,
    network: Box<dyn Network>,
}

/// The identity of the model that made findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSource {
    /// Its key in the bucket of models.
    pub key: ModelKey,
    /// SHA-256 of the model's file, in hex.
    pub sha256: String,
    /// SHA-256 of the description beside it, in hex.
    pub description_sha256: String,
}

/// The reason why a model cannot be used. Trying again does not help with any of them.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The algorithm needs a model and was given none.
    #[error("the model was not loaded")]
    NotLoaded,
    /// The JSON beside the model does not describe one.
    #[error("the model's description cannot be used: {0}")]
    Description(String),
    /// The file is no ONNX model, or a damaged one.
    #[error("the model cannot be read: it must be one whole ONNX file, its weights included")]
    Unreadable(#[source] Cause),
    /// It uses operators that the service does not have.
    #[error("the model cannot be run: it uses operators that are not supported: {0}")]
    Unsupported(String),
    /// Its operators do not fit each other, or one of them failed.
    #[error("the model cannot be run: its operators do not fit each other, or use what is not supported")]
    Unusable(#[source] Cause),
    /// It does not agree with its description.
    #[error("the model and its description disagree: {0}")]
    Disagrees(String),
    /// It needs more memory than it may take.
    #[error(
        "the model is too large: a step of it and its weights take {}, and at most {} are given",
        units::bytes(*bytes as u64), units::bytes(*most as u64)
    )]
    TooLarge {
        /// The bytes that it needs.
        bytes: usize,
        /// The bytes that it may take.
        most: usize,
    },
    /// It has more operators than are run.
    #[error("the model is too large: it has more than {most} operators")]
    TooManyOperators {
        /// How many are run.
        most: usize,
    },
    /// The region would have to be cut into too many tiles.
    #[error(
        "the region would be shown in {} tiles, and at most {} are: name a smaller region, or a larger input",
        units::thousands(*tiles), units::thousands(*most)
    )]
    TooManyTiles {
        /// The number of tiles that it would take.
        tiles: u64,
        /// The most tiles that are allowed.
        most: u64,
    },
}

impl ModelError {
    /// The stable code that clients see.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotLoaded => "internal_error",
            Self::Description(_) => "invalid_model_description",
            Self::Unreadable(_) | Self::Unsupported(_) | Self::Unusable(_) => "invalid_model",
            Self::Disagrees(_) => "model_mismatch",
            Self::TooLarge { .. } | Self::TooManyOperators { .. } => "model_too_large",
            Self::TooManyTiles { .. } => "too_many_tiles",
        }
    }
}

/// The message of the library that reads and runs models. It is for the log only.
#[derive(Debug)]
pub struct Cause(pub String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

impl Model {
    /// A model from its parts.
    #[must_use]
    pub fn new(source: ModelSource, description: Description, network: impl Network + 'static) -> Self {
        Self(Arc::new(Parts { source, description, network: Box::new(network) }))
    }

    /// The identity of the model.
    #[must_use]
    pub fn source(&self) -> &ModelSource {
        &self.0.source
    }

    pub(super) fn description(&self) -> &Description {
        &self.0.description
    }

    pub(super) fn network(&self) -> &dyn Network {
        &*self.0.network
    }

    /// The factor that samples of the picture, 0 to 255, are multiplied by.
    pub(super) fn scale(&self) -> f32 {
        let default = if self.0.network.takes_bytes() { 1.0 } else { 1.0 / 255.0 };
        self.0.description.input.scale.unwrap_or(default)
    }

    /// The output of that name.
    pub(super) fn output<'a>(&self, outputs: &'a [Array], name: &str) -> Result<&'a Array, ModelError> {
        let names = self.0.network.outputs();
        let named = names.iter().zip(outputs).find(|(known, _)| *known == name);
        named.map(|(_, output)| output).ok_or_else(|| {
            let known = names.join(", ");
            ModelError::Disagrees(format!("it has no output {name}; it has {known}"))
        })
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Model").field(&self.0.source).finish()
    }
}
