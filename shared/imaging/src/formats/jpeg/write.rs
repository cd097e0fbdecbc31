//! JPEG, by the encoder of `image`.

use image::{GenericImageView, Rgb, codecs::jpeg::JpegEncoder};

use crate::{Deadline, Image, ImageError, deadline::TimedWriter};

/// A picture, composited over white.
///
/// # Errors
/// [`ImageError::TimeLimit`], and [`ImageError::Internal`], which valid pixels do not bring about.
pub(super) fn still(image: &Image, quality: u8, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
    let mut out = TimedWriter::new(deadline);
    let mut encoder = JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100));
    let written = encoder.encode_image(&OverWhite(image));
    // A writer that was stopped is some failure of the encoder's own: the deadline is the reason.
    deadline.check()?;
    written.map_err(|error| ImageError::internal("encode", error))?;
    Ok(out.into_inner())
}

/// The colours over white; of an opaque image, the colours.
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
