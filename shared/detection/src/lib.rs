//! Detection: finds things in images, by algorithms that state their formula.
//!
//! The crate is pure and synchronous: pixels and parameters go in, [`Findings`] come out. It knows no AWS, no HTTP, and
//! no clock but the [`imaging::Deadline`] that the caller brings. Each algorithm is a file (`algorithm` tells its
//! shape), and [`detectors`] lists them.
//!
//! - Coordinates are `f64` pixels of the upright full-size image, origin at the top left of the top-left pixel, x to
//!   the right, y down: the centre of pixel (column i, row j) is (i + 0.5, j + 0.5).
//! - The same image and parameters give the same findings, and the same findings give the same bytes in every [`Form`].
//! - Every detector has the parameter `region` (see `window`), and nothing outside the region has any influence.
//! - Memory: a detector states what it takes for a window of a size ([`Detector::memory`]), and is refused before it
//!   takes more than its [`Means`] allow. Most work in tiles or strips and hold less than a plane of the image's size.
//!
//! ```
//! use imaging::{Deadline, Image};
//!
//! // A bright disc of radius 8 around the centre of the pixel in column 24 and row 32.
//! let rgba = (0..64 * 64).flat_map(|index| {
//!     let (x, y) = (index % 64 - 24, index / 64 - 32);
//!     let level = if x * x + y * y < 64 { 255 } else { 0 };
//!     [level, level, level, 255]
//! });
//! let image = Image::new(64, 64, rgba.collect()).expect("four bytes a pixel");
//!
//! let blobs = detection::detector("blob_detection").expect("an algorithm of that name");
//! let found = blobs.detect(&image, &serde_json::from_str(r#"{"polarity": "bright"}"#)?, None, Deadline::none())?;
//! let blob = found.entries().next().expect("the disc");
//! assert_eq!((blob.x, blob.y), (24.5, 32.5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
mod pace;
mod peaks;
mod poi_detection;
mod registry;
mod window;

use ::algorithm::{ParameterError, Parameters, Rectangle, Specification, units};
use imaging::{Deadline, Image, ImageError, TimedOut};

pub use findings::{Class, Column, Digits, Entry, Findings, Schema};
pub use forms::{Context, Form};
pub use interest::interest;
pub use onnx_detection::{Array, Cause, Description, Model, ModelError, ModelSource, Network};
pub use registry::{catalogue, detector, detectors};

/// What a run may take of a job.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    /// When to give up.
    pub deadline: Deadline,
    /// The most memory that a detector may take beside the image, in bytes.
    pub memory: u64,
    /// The most bytes of one form of the result.
    pub file_bytes: u64,
}

impl Means {
    /// What a job may take by default, until the deadline.
    #[must_use]
    pub fn by(deadline: Deadline) -> Self {
        Self { deadline, memory: 768 << 20, file_bytes: 32_000_000 }
    }
}

/// A detector. Implementations hold no state: everything that varies is an argument.
pub trait Detector: Send + Sync {
    /// The name, version and parameters, and the name of the result's list.
    fn specification(&self) -> &'static Specification;

    /// The most memory, in bytes, that searching a window of that width and height takes beside the image, apart from
    /// what depends on what the window shows: [`detect`](Self::detect) holds that against its means as it goes.
    ///
    /// # Errors
    /// [`DetectError::InvalidParameters`] for parameters that the specification forbids.
    fn memory(&self, size: [u32; 2], parameters: &Parameters) -> Result<u64, DetectError>;

    /// Finds what the algorithm looks for, in the order that the result is to have.
    ///
    /// `image` is the upright full-size image. `parameters` may be as they were submitted, or resolved already: either
    /// way they are checked against the specification and completed with its defaults. `model` is the one that they
    /// name, if the specification has a parameter of the kind [`Model`](::algorithm::Kind::Model); other detectors
    /// ignore it.
    ///
    /// # Errors
    /// [`DetectError::InvalidParameters`] for parameters that the specification forbids; [`DetectError::OutsideImage`]
    /// for a region that is not within the image; [`DetectError::Memory`] before more memory is taken than `means`
    /// allow; [`DetectError::TimedOut`] when their deadline passes, which is checked every few dozen rows;
    /// [`DetectError::Model`] where the model cannot be used.
    fn detect_within(
        &self,
        image: &Image,
        parameters: &Parameters,
        model: Option<&Model>,
        means: &Means,
    ) -> Result<Findings, DetectError>;

    /// [`detect_within`](Self::detect_within) what a job may take by default.
    ///
    /// # Errors
    /// The same.
    fn detect(
        &self,
        image: &Image,
        parameters: &Parameters,
        model: Option<&Model>,
        deadline: Deadline,
    ) -> Result<Findings, DetectError> {
        self.detect_within(image, parameters, model, &Means::by(deadline))
    }
}

/// The reason why there are no findings. Trying again does not help with any of them.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// A parameter is unknown, of another type or out of range.
    #[error(transparent)]
    InvalidParameters(#[from] ParameterError),
    /// The region to be searched is not within the image.
    #[error(
        "the region of {} × {} px at ({}, {}) is not within the image, which has {} × {} px",
        region.width, region.height, region.x, region.y, image[0], image[1]
    )]
    OutsideImage {
        /// The region, as it was given.
        region: Rectangle,
        /// The image's width and height.
        image: [u32; 2],
    },
    /// The search takes more memory than is allowed.
    #[error(
        "the search takes more than the {} of memory that it may: send a smaller image, or name a region",
        units::bytes(*most)
    )]
    Memory {
        /// The most bytes that are allowed.
        most: u64,
    },
    /// A form of the result has more bytes than are allowed.
    #[error(
        "the result's {form} has more than {}: ask for fewer findings, or name a region",
        units::bytes(*most)
    )]
    ResultTooLarge {
        /// The form, by its file extension.
        form: &'static str,
        /// The most bytes that are allowed.
        most: u64,
    },
    /// The deadline passed during the detection.
    #[error("the detection took longer than its time limit: send a smaller image")]
    TimedOut(#[from] TimedOut),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The picture could not be resampled for a model. This is a fault of the detector.
    #[error("the image could not be shown to the model")]
    Unshown,
    /// The overlay could not be encoded.
    #[error("the overlay could not be encoded")]
    Encode(#[from] ImageError),
    /// A specification and the struct that its parameters are read into disagree. This is a fault of the detector.
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
            Self::Memory { .. } => "detector_memory",
            Self::ResultTooLarge { .. } => "result_too_large",
            Self::TimedOut(_) => "time_limit",
            Self::Model(error) => error.code(),
            Self::Encode(error) => error.code(),
            Self::Unshown | Self::Inconsistent(_) => "internal_error",
        }
    }
}
