//! Detection: what is in an image, found by algorithms that state their formula.
//!
//! Pure and synchronous: pixels and parameters in, [`Findings`] out; no AWS, no HTTP, no clock but the
//! [`imaging::Deadline`] that the caller brings. One [`Detector`] is one file; [`detectors`] lists them.
//!
//! - Coordinates are `f64` pixels of the upright full-size image, origin at the top left of the top-left pixel, x to
//!   the right, y down: the centre of pixel (column i, row j) is (i + 0.5, j + 0.5).
//! - The same image and parameters give the same findings, and the same findings the same bytes in every [`Form`].
//! - Every detector has the parameter `region` (see `window`), outside of which it looks at nothing.
//! - Memory: a detector may hold a few float planes of the image's size beside the image itself, at most eight; most
//!   work in tiles or strips and hold less than one.

mod algorithm;
mod barcode_detection;
mod blob_detection;
mod findings;
mod forms;
mod grey;
mod interest;
mod kernels;
mod nuclei_detection;
mod onnx_detection;
mod overlay;
mod peaks;
mod poi_detection;
mod registry;
mod window;

use imaging::{Deadline, Image, ImageError, TimedOut};
use jobs::algorithm::{ParameterError, Parameters, Rectangle, Specification};

pub use findings::{Class, Column, Digits, Entry, Findings, Schema};
pub use forms::{Context, Form};
pub use interest::interest;
pub use onnx_detection::{Array, Cause, Description, Model, ModelError, ModelSource, Network};
pub use registry::{catalogue, detector, detectors};

/// One algorithm. Implementations hold no state: everything that varies comes in as an argument.
pub trait Detector: Send + Sync {
    /// Name, version, parameters and the name of the result's list.
    fn specification(&self) -> &'static Specification;

    /// Finds what the algorithm looks for, in the order that the result is to have.
    ///
    /// `image` is the upright full-size image. `parameters` may be as they came or resolved: they are checked against
    /// the specification and completed with its defaults either way. `model` is the one that they name, for a
    /// specification with a parameter of the kind [`Model`](jobs::algorithm::Kind::Model); other detectors do not look at it.
    ///
    /// # Errors
    /// [`DetectError::InvalidParameters`] for what the specification forbids, [`DetectError::TimedOut`] when the
    /// deadline passes, which is looked at every few dozen rows; [`DetectError::Model`] where the model does not serve.
    fn detect(
        &self,
        image: &Image,
        parameters: &Parameters,
        model: Option<&Model>,
        deadline: Deadline,
    ) -> Result<Findings, DetectError>;
}

/// Why there are no findings. None of these goes away by trying again.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// A parameter is unknown, of another type or out of range.
    #[error(transparent)]
    InvalidParameters(#[from] ParameterError),
    /// The region that was to be searched lies outside the image, or reaches beyond it.
    #[error(
        "the region of {} × {} px at ({}, {}) is not within the image, which has {} × {} px",
        region.width, region.height, region.x, region.y, image[0], image[1]
    )]
    OutsideImage {
        /// As it was given.
        region: Rectangle,
        /// The image's width and height.
        image: [u32; 2],
    },
    /// The deadline passed while it ran.
    #[error("the detection took longer than its time limit: send a smaller image")]
    TimedOut(#[from] TimedOut),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The picture could not be resampled for a model: a fault of the detector.
    #[error("the image could not be shown to the model")]
    Unshown,
    /// The overlay could not be encoded.
    #[error("the overlay could not be encoded")]
    Encode(#[from] ImageError),
    /// A specification and the struct that reads its parameters disagree: a fault of the detector.
    #[error("the algorithm could not read its own parameters")]
    Inconsistent(#[source] serde_json::Error),
}

impl DetectError {
    /// The stable code that clients see.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidParameters(_) => "invalid_parameters",
            Self::OutsideImage { .. } => "region_outside_image",
            Self::TimedOut(_) => "time_limit",
            Self::Model(error) => error.code(),
            Self::Encode(error) => error.code(),
            Self::Unshown | Self::Inconsistent(_) => "internal_error",
        }
    }
}
