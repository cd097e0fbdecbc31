//! Helpers for the simple formats, which store pixels one after the other.

use super::Decoded;
use crate::{Deadline, Format, ImageError, header::Header};

/// Pixels between two checks of the deadline.
const BAND: usize = 1 << 16;

/// Fills the picture with pixels in the order in which they are stored. If they end early, the rest of the picture
/// stays transparent; if there are none at all, the file is corrupt.
pub(crate) fn fill(
    format: Format,
    header: &Header,
    may_have_alpha: bool,
    deadline: Deadline,
    mut pixels: impl Iterator<Item = [u8; 4]>,
) -> Result<Decoded, ImageError> {
    let total = header.stored.0 as usize * header.stored.1 as usize;
    let mut rgba = vec![0; total * 4];
    let mut seen = 0;
    for band in rgba.as_chunks_mut::<4>().0.chunks_mut(BAND) {
        deadline.check()?;
        for (to, pixel) in band.iter_mut().zip(&mut pixels) {
            *to = pixel;
            seen += 1;
        }
        if seen % BAND != 0 {
            break;
        }
    }
    decoded(format, rgba, may_have_alpha, seen, total)
}

/// Wraps a picture of which `seen` of `total` pixels or rows were in the file.
pub(crate) fn decoded(
    format: Format,
    rgba: Vec<u8>,
    may_have_alpha: bool,
    seen: usize,
    total: usize,
) -> Result<Decoded, ImageError> {
    if seen == 0 {
        return Err(ImageError::corrupt(format, "no pixel is there"));
    }
    Ok(Decoded { rgba, may_have_alpha: may_have_alpha || seen < total, profile: None })
}

/// The error for a header that cannot be read.
pub(crate) fn unreadable(format: Format) -> ImageError {
    ImageError::corrupt(format, "the header cannot be read")
}

/// Scales a sample of `0..=max` to 8 bits, rounded; larger values are clipped.
pub(crate) fn to_eight_bits(value: u32, max: u32) -> u8 {
    let (value, max) = (u64::from(value.min(max)), u64::from(max.max(1)));
    ((value * 255 + max / 2) / max) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_any_depth_fill_the_whole_range() {
        for max in [1, 3, 7, 15, 31, 63, 255, 1023, 65_535, u32::MAX] {
            assert_eq!((to_eight_bits(0, max), to_eight_bits(max, max)), (0, 255), "{max}");
        }
        assert_eq!(to_eight_bits(16, 31), 132);
        assert_eq!(to_eight_bits(500, 255), 255);
    }
}
