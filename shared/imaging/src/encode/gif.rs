//! GIF, still and animated.

use gif::{Encoder, Frame, Repeat};

use super::STEP;
use crate::{Image, ImageError, animation::Animation};

/// The most colours that a frame can have.
pub(crate) const MAX_COLOURS: u16 = 256;

/// A picture that does not move.
pub(crate) fn still(image: &Image) -> Result<Vec<u8>, ImageError> {
    animated(&Animation::still(image.clone()), MAX_COLOURS)
}

/// Every frame, in at most so many colours (2–256), the transparent one among them.
pub(crate) fn animated(animation: &Animation, _colours: u16) -> Result<Vec<u8>, ImageError> {
    let failed = |error: gif::EncodingError| ImageError::internal(STEP, error);
    let Some(first) = animation.frames.first() else {
        return Err(ImageError::internal(STEP, "no frames"));
    };
    let side = |pixels: u32| u16::try_from(pixels).map_err(|error| ImageError::internal(STEP, error));
    let (width, height) = (side(first.image.width())?, side(first.image.height())?);
    let mut encoder = Encoder::new(Vec::new(), width, height, &[]).map_err(failed)?;
    match animation.plays {
        0 => encoder.set_repeat(Repeat::Infinite).map_err(failed)?,
        plays => encoder
            .set_repeat(Repeat::Finite(u16::try_from(plays - 1).unwrap_or(u16::MAX)))
            .map_err(failed)?,
    }
    for shown in &animation.frames {
        let mut rgba = shown.image.rgba().to_vec();
        let mut frame = Frame::from_rgba_speed(width, height, &mut rgba, 10);
        frame.delay = u16::try_from(shown.delay / 10).unwrap_or(u16::MAX);
        frame.dispose = gif::DisposalMethod::Background;
        encoder.write_frame(&frame).map_err(failed)?;
    }
    encoder.into_inner().map_err(failed)
}
