//! Writes JPEG, with the encoder of `image`.

use image::{GenericImageView, Rgb, codecs::jpeg::JpegEncoder};

use crate::{Deadline, Image, ImageError, deadline::TimedWriter};

/// Encodes a picture, composited over white.
///
/// # Errors
/// [`ImageError::TimeLimit`]. [`ImageError::Internal`] cannot occur for valid pixels.
pub(super) fn encode_still(image: &Image, quality: u8, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
    let mut out = TimedWriter::new(deadline);
    let mut encoder = JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100));
    let written = encoder.encode_image(&OverWhite(image));
    // A stopped writer makes the encoder report an error of its own; the deadline is the real reason.
    deadline.check()?;
    written.map_err(|error| ImageError::internal("encode", error))?;
    Ok(out.into_inner())
}

/// The image composited over white; an opaque image is used as it is.
struct OverWhite<'a>(&'a Image);

impl GenericImageView for OverWhite<'_> {
    type Pixel = Rgb<u8>;

    fn dimensions(&self) -> (u32, u32) {
        (self.0.width(), self.0.height())
    }

    #[inline]
    fn get_pixel(&self, x: u32, y: u32) -> Rgb<u8> {
        let at = y as usize * self.0.width() as usize + x as usize;
        let [r, g, b, alpha] = self.0.rgba().as_chunks().0[at];
        let over_white = |value: u8| {
            ((u32::from(value) * u32::from(alpha) + 255 * (255 - u32::from(alpha)) + 127) / 255) as u8
        };
        Rgb(if alpha == 255 { [r, g, b] } else { [r, g, b].map(over_white) })
    }
}
