//! Everything that the headers tell: read before any pixel, checked before any memory is taken.

use crate::{Format, ImageError, Limits, orient::Orientation};

/// What is known of an image before it is decoded.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) format: Format,
    /// Pixels across and down, as stored: before orientation.
    pub(crate) stored: (u32, u32),
    pub(crate) orientation: Orientation,
    pub(crate) frames: u32,
    /// Bytes for each pixel that decoding the whole picture takes beyond its RGBA.
    pub(crate) extra_bytes_per_pixel: u64,
    /// The size that a frame claims for itself, which must be within the limits whatever the canvas says.
    pub(crate) largest_frame: (u32, u32),
}

/// Bytes of one decoded pixel.
const RGBA: u64 = 4;

impl Header {
    /// Pixels of the canvas.
    pub(crate) fn area(&self) -> u64 {
        u64::from(self.stored.0) * u64::from(self.stored.1)
    }

    /// Pixels of the largest frame.
    pub(crate) fn largest_frame_area(&self) -> u64 {
        u64::from(self.largest_frame.0) * u64::from(self.largest_frame.1)
    }

    /// Holds frames and pixels against the limits.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), ImageError> {
        let (width, height) = self.stored;
        if width == 0 || height == 0 {
            return Err(ImageError::Empty);
        }
        limits.check_frames(self.frames)?;
        limits.check_pixels(width, height, self.frames)?;
        limits.check_pixels(self.largest_frame.0, self.largest_frame.1, 1)
    }

    /// Holds what decoding the whole picture takes against the limit on memory: asked before that is done, and not
    /// where less is enough.
    pub(crate) fn check_memory(&self, limits: &Limits) -> Result<(), ImageError> {
        let canvas = self.area();
        let decoding =
            canvas * RGBA + canvas.max(self.largest_frame_area()).saturating_mul(self.extra_bytes_per_pixel);
        let turning = if self.orientation.swaps_sides() { canvas * 2 * RGBA } else { 0 };
        limits.check_memory(decoding.max(turning))
    }
}
