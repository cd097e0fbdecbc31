//! Chat services' emoji: a size in pixels and a size in bytes that a file must keep to.

use serde::Deserialize;

use crate::{
    Deadline, Encoded, ImageError, OutputFormat,
    animation::Animation,
    encode::{self, gif},
};

/// A chat service that takes emoji.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// 128×128, 128 KB, 50 frames.
    Slack,
    /// 128×128, 256 KB.
    Discord,
    /// 128×128, less than 256 KB.
    Teams,
}

impl Preset {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Slack, Self::Discord, Self::Teams];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Teams => "teams",
        }
    }

    /// Pixels across and down.
    #[must_use]
    pub fn size(self) -> (u32, u32) {
        (128, 128)
    }

    /// The most bytes that a file may have.
    #[must_use]
    pub fn max_bytes(self) -> usize {
        match self {
            Self::Slack => 128_000,
            Self::Discord | Self::Teams => 255_999,
        }
    }
}

/// The best-looking file within the preset's budget: PNG of what does not move, else GIF.
pub(crate) fn within_budget(
    animation: &Animation,
    preset: Preset,
    deadline: Deadline,
) -> Result<Encoded, ImageError> {
    deadline.check()?;
    let first = animation.frames.first().ok_or_else(|| ImageError::internal("preset", "no frames"))?;
    if animation.frames.len() > 1 {
        let bytes = gif::animated(animation, gif::MAX_COLOURS)?;
        if bytes.len() <= preset.max_bytes() {
            return Ok(Encoded {
                bytes,
                width: first.image.width(),
                height: first.image.height(),
                content_type: OutputFormat::Gif.content_type(),
                extension: OutputFormat::Gif.extension(),
            });
        }
    }
    encode::encode(&first.image, OutputFormat::Png, 100)
}
