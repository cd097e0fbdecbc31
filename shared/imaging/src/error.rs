//! The reasons for refusing an image. Each is named by its meaning and safe to show; the cause is kept for the log.

use std::borrow::Cow;

use algorithm::units;

use crate::{Format, TimedOut};

/// A decoder's or encoder's own error, for the log only.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an image could not be used. Every reason is permanent: the same bytes and limits give the same error again.
///
/// `Display` is a sentence for the client that says what to do. A decoder's own text is only in `source`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file has no bytes, or the image no pixels.
    #[error("the image is empty: it has no bytes or no pixels; send the whole file")]
    Empty,
    /// The first bytes belong to no kind of image that is known.
    #[error("this is not an image of a known kind; send {readable}")]
    UnknownFormat {
        /// The names of the formats that are read: `JPEG, PNG, … or TGA`.
        readable: String,
    },
    /// The format is recognised, but not decoded.
    #[error("{kind} is not supported: {advice}")]
    Unsupported {
        /// The format's name: `HEIC`, `PDF`, …
        kind: &'static str,
        /// The advice on what to do instead.
        advice: &'static str,
    },
    /// The format is supported, but the file uses a feature that the decoder lacks (arithmetic coding, an unusual
    /// sample layout, …).
    #[error("this {format} file uses a feature that is not supported: save it as PNG or baseline JPEG")]
    UnsupportedFeature {
        /// The kind of file.
        format: Format,
        /// The decoder's own error.
        source: Cause,
    },
    /// The format is supported, but not the compression that the file uses, whether it has a name or only a number.
    #[error(
        "this {format} file is compressed with {compression}, which is not supported: save it as PNG or baseline JPEG"
    )]
    UnsupportedCompression {
        /// The kind of file.
        format: Format,
        /// The name of the compression, or its number in the file.
        compression: Cow<'static, str>,
    },
    /// The file has more bytes than allowed.
    #[error("the image has {}, more than the {} allowed: send a smaller file", units::bytes(*bytes), units::bytes(*max))]
    TooLarge {
        /// The size of the file.
        bytes: u64,
        /// [`Limits::max_bytes`](crate::Limits::max_bytes).
        max: u64,
    },
    /// The image has more pixels than allowed, over all frames.
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
    /// The animation has more frames than allowed.
    #[error("the animation has {frames} frames, more than the {max} allowed: send a shorter one")]
    TooManyFrames {
        /// The number of frames in the file.
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
        /// The decoder's own error, where the decoder was the one to notice.
        source: Option<Cause>,
    },
    /// The file is damaged, or cut short where nothing can be shown.
    #[error("the {format} file is damaged or incomplete: send it again, or export it anew")]
    Corrupt {
        /// The kind of file.
        format: Format,
        /// The decoder's own error.
        source: Option<Cause>,
    },
    /// The time limit passed while the image was worked on.
    #[error("the image took longer than its time limit: send a smaller one")]
    TimeLimit(#[from] TimedOut),
    /// The frames of an animated thumbnail take more memory than allowed.
    #[error(
        "an animated thumbnail of {width}×{height} pixels in {frames} frames has more than the {} allowed in all: ask for a smaller one, or for png or jpeg",
        units::pixels(*max)
    )]
    ThumbnailTooLarge {
        /// The thumbnail's width in pixels.
        width: u32,
        /// The thumbnail's height in pixels.
        height: u32,
        /// The number of frames.
        frames: u32,
        /// The most pixels allowed: [`Limits::max_pixels`](crate::Limits::max_pixels), or as many as fit in
        /// [`Limits::max_decoder_bytes`](crate::Limits::max_decoder_bytes), whichever is less.
        max: u64,
    },
    /// A thumbnail option is outside its range.
    #[error("{name} must be from {min} to {max}")]
    Option {
        /// The option's name.
        name: &'static str,
        /// The least value accepted.
        min: u32,
        /// The greatest value accepted.
        max: u32,
    },
    /// A step failed that cannot fail on valid pixels: a defect of Darkroom.
    #[error("the thumbnail could not be made: this is a fault of the service, which has been recorded")]
    Internal {
        /// The name of the step.
        step: &'static str,
        /// The error of the step.
        source: Cause,
    },
}

impl ImageError {
    /// The stable name of this error, for clients to branch on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty_image",
            Self::UnknownFormat { .. } => "unknown_format",
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

    /// A corrupt file, with the decoder's error.
    pub(crate) fn corrupt(format: Format, source: impl Into<Cause>) -> Self {
        Self::Corrupt { format, source: Some(source.into()) }
    }

    /// The failure of a step that should not fail.
    pub(crate) fn internal(step: &'static str, source: impl Into<Cause>) -> Self {
        Self::Internal { step, source: source.into() }
    }
}
