//! Why an image was refused: named by meaning, safe to show, with the cause kept for the log.

use std::borrow::Cow;

use jobs::units;

use crate::{Format, TimedOut};

/// A decoder's or encoder's own error, for the log only.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an image could not be used. Every one is permanent: the same bytes and limits give the same error again.
///
/// `Display` is a sentence for the client that says what to do; a decoder's text is only in `source`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// No bytes, or no pixels.
    #[error("the image is empty: it has no bytes or no pixels; send the whole file")]
    Empty,
    /// The first bytes belong to no kind of image that is known.
    #[error(
        "this is not an image of a known kind; send JPEG, PNG, GIF, WebP, AVIF, TIFF, BMP, ICO, QOI, PNM or TGA"
    )]
    UnknownFormat,
    /// A kind that is recognised and refused.
    #[error("{kind} is not supported: {advice}")]
    Unsupported {
        /// What it is: `HEIC`, `PDF`, …
        kind: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// A supported kind, with a feature that the decoder lacks (arithmetic coding, an unusual sample layout, …).
    #[error("this {format} file uses a feature that is not supported: save it as PNG or baseline JPEG")]
    UnsupportedFeature {
        /// The kind of file.
        format: Format,
        /// What the decoder said.
        source: Cause,
    },
    /// A supported kind, packed in a way that is known or unknown and not decoded.
    #[error(
        "this {format} file is compressed with {compression}, which is not supported: save it as PNG or baseline JPEG"
    )]
    UnsupportedCompression {
        /// The kind of file.
        format: Format,
        /// What it is called, or the file's number for it.
        compression: Cow<'static, str>,
    },
    /// More bytes than allowed.
    #[error("the image has {}, more than the {} allowed: send a smaller file", units::bytes(*bytes), units::bytes(*max))]
    TooLarge {
        /// What it has.
        bytes: u64,
        /// [`Limits::max_bytes`](crate::Limits::max_bytes).
        max: u64,
    },
    /// More pixels than allowed, over all frames.
    #[error(
        "the image has {width}×{height} pixels in {frames} frame(s), more than the {} allowed in all: send a smaller one",
        units::pixels(*max)
    )]
    TooManyPixels {
        /// Pixels across, as the file claims.
        width: u32,
        /// Pixels down, as the file claims.
        height: u32,
        /// Frames of that size.
        frames: u32,
        /// [`Limits::max_pixels`](crate::Limits::max_pixels).
        max: u64,
    },
    /// More frames than allowed.
    #[error("the animation has {frames} frames, more than the {max} allowed: send a shorter one")]
    TooManyFrames {
        /// What it has.
        frames: u32,
        /// [`Limits::max_frames`](crate::Limits::max_frames).
        max: u32,
    },
    /// Decoding would take more memory than allowed.
    #[error(
        "decoding the image would take more than the {} of memory allowed: send a smaller one, or 8 bits a channel",
        units::bytes(*max)
    )]
    DecoderMemory {
        /// [`Limits::max_decoder_bytes`](crate::Limits::max_decoder_bytes).
        max: u64,
        /// The decoder's own refusal, where it was the one to notice.
        source: Option<Cause>,
    },
    /// The file is damaged, or cut short where nothing can be shown.
    #[error("the {format} file is damaged or incomplete: send it again, or export it anew")]
    Corrupt {
        /// The kind of file.
        format: Format,
        /// What the decoder said.
        source: Option<Cause>,
    },
    /// The time limit passed while the image was worked on.
    #[error("the image took longer than its time limit: send a smaller one")]
    TimeLimit(#[from] TimedOut),
    /// An animated thumbnail whose frames take more memory than allowed.
    #[error(
        "an animated thumbnail of {width}×{height} pixels in {frames} frames has more than the {} allowed in all: ask for a smaller one, or for png or jpeg",
        units::pixels(*max)
    )]
    ThumbnailTooLarge {
        /// Its pixels across.
        width: u32,
        /// Its pixels down.
        height: u32,
        /// Its frames.
        frames: u32,
        /// The most pixels: [`Limits::max_pixels`](crate::Limits::max_pixels), or as many as
        /// [`Limits::max_decoder_bytes`](crate::Limits::max_decoder_bytes) hold where that is less.
        max: u64,
    },
    /// A thumbnail option outside its range.
    #[error("{name} must be from {min} to {max}")]
    Option {
        /// The option.
        name: &'static str,
        /// The least value accepted.
        min: u32,
        /// The greatest value accepted.
        max: u32,
    },
    /// A step that cannot fail on valid pixels failed: a defect of ours.
    #[error("the thumbnail could not be made: this is a fault of the service, which has been recorded")]
    Internal {
        /// The step.
        step: &'static str,
        /// What it said.
        source: Cause,
    },
}

impl ImageError {
    /// The stable name of this error, for clients to branch on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty_image",
            Self::UnknownFormat => "unknown_format",
            Self::Unsupported { .. }
            | Self::UnsupportedFeature { .. }
            | Self::UnsupportedCompression { .. } => "unsupported_format",
            Self::TooLarge { .. } => "image_too_large",
            Self::TooManyPixels { .. } => "too_many_pixels",
            Self::TooManyFrames { .. } => "too_many_frames",
            Self::DecoderMemory { .. } => "decoder_memory",
            Self::Corrupt { .. } => "corrupt_image",
            Self::TimeLimit(_) => "time_limit",
            Self::ThumbnailTooLarge { .. } => "thumbnail_too_large",
            Self::Option { .. } => "invalid_parameter",
            Self::Internal { .. } => "internal_error",
        }
    }

    /// A corrupt file, with what the decoder said.
    pub(crate) fn corrupt(format: Format, source: impl Into<Cause>) -> Self {
        Self::Corrupt { format, source: Some(source.into()) }
    }

    /// A step that should not have failed.
    pub(crate) fn internal(step: &'static str, source: impl Into<Cause>) -> Self {
        Self::Internal { step, source: source.into() }
    }
}
