//! Animated PNG.

use image::{AnimationDecoder as _, codecs::png::PngDecoder};

use crate::{Deadline, Format, ImageError, Limits, deadline::TimedReader, header::Header};

/// Calls `each` with the whole canvas and the milliseconds of every frame.
pub(crate) fn frames(
    bytes: &[u8],
    _header: &Header,
    _limits: &Limits,
    deadline: Deadline,
    each: &mut dyn FnMut(&[u8], u32) -> Result<(), ImageError>,
) -> Result<u32, ImageError> {
    let corrupt = |error| ImageError::corrupt(Format::Png, error);
    let decoder = PngDecoder::new(TimedReader::new(bytes, deadline)).map_err(corrupt)?;
    for frame in decoder.apng().map_err(corrupt)?.into_frames() {
        let frame = frame.map_err(corrupt)?;
        let (numerator, denominator) = frame.delay().numer_denom_ms();
        each(frame.buffer(), numerator / denominator.max(1))?;
    }
    Ok(0)
}
