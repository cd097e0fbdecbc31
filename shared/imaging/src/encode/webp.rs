//! WebP, still and animated, by libwebp (`webp-codec`).

use webp_codec::{Error, Quality};

use super::STEP;
use crate::{Image, ImageError, animation::Animation};

/// What stands for "every pixel as it is"; less is lossy.
const LOSSLESS: u8 = 100;

/// A picture that does not move, with its alpha as it is. Quality is 1–99, or 100 for lossless.
///
/// # Errors
/// [`ImageError::Internal`].
pub(crate) fn still(image: &Image, quality: u8) -> Result<Vec<u8>, ImageError> {
    let size = (image.width(), image.height());
    webp_codec::encode(image.rgba(), size, meaning(quality)).map_err(failed)
}

/// Every frame for exactly as long as it is shown (those alike in one), and as often. Quality is 1–99, or 100 for lossless.
///
/// # Errors
/// [`ImageError::Internal`].
pub(crate) fn animated(animation: &Animation, quality: u8) -> Result<Vec<u8>, ImageError> {
    let Some(first) = animation.frames.first() else {
        return Err(ImageError::internal(STEP, "no frames"));
    };
    let size = (first.image.width(), first.image.height());
    let plays = u16::try_from(animation.plays).unwrap_or(u16::MAX);
    let mut encoder = webp_codec::Animation::new(size, plays, meaning(quality)).map_err(failed)?;
    for frame in &animation.frames {
        encoder.add(frame.image.rgba(), frame.delay).map_err(failed)?;
    }
    encoder.finish().map_err(failed)
}

fn meaning(quality: u8) -> Quality {
    if quality >= LOSSLESS { Quality::Lossless } else { Quality::Lossy(quality) }
}

fn failed(error: Error) -> ImageError {
    ImageError::internal(STEP, error)
}
