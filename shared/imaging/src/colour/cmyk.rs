//! CMYK to sRGB.

use crate::{Deadline, ImageError};

/// Pixels converted between two looks at the clock.
const BAND: usize = 1 << 16;

/// The opaque RGBA pixels of as many CMYK ones, in which 255 is all of an ink: each channel is what its ink and black
/// leave of white.
pub(crate) fn cmyk_to_srgb(
    cmyk: &[u8],
    _profile: Option<&[u8]>,
    deadline: Deadline,
) -> Result<Vec<u8>, ImageError> {
    let mut rgba = cmyk.to_vec();
    for band in rgba.as_chunks_mut::<4>().0.chunks_mut(BAND) {
        deadline.check()?;
        for pixel in band {
            let [c, m, y, k] = pixel.map(|ink| u32::from(255 - ink));
            *pixel = [c * k, m * k, y * k, 255 * 255].map(|light| ((light + 127) / 255) as u8);
        }
    }
    Ok(rgba)
}
