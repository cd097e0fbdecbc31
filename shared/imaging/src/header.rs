//! The facts that a file's headers tell. They are read before any pixel, and checked before memory is allocated.

use crate::{ImageError, Limits, orient::Orientation};

/// The properties of an image that are known before it is decoded.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// Width and height in pixels as stored, before orientation.
    pub(crate) stored: (u32, u32),
    pub(crate) orientation: Orientation,
    pub(crate) frames: u32,
    /// Bytes per pixel that decoding the whole picture needs in addition to the RGBA result.
    pub(crate) extra_bytes_per_pixel: u64,
    /// The largest size that a frame's own header claims. It must be within the limits whatever the canvas's size. It
    /// is `(0, 0)` where frames have no size of their own.
    pub(crate) largest_frame: (u32, u32),
}

/// Bytes of one decoded pixel.
const RGBA: u64 = 4;

impl Header {
    /// The number of pixels of the canvas.
    fn area(&self) -> u64 {
        u64::from(self.stored.0) * u64::from(self.stored.1)
    }

    /// The number of pixels of the largest frame.
    fn largest_frame_area(&self) -> u64 {
        u64::from(self.largest_frame.0) * u64::from(self.largest_frame.1)
    }

    /// Checks the limits on frames and pixels.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), ImageError> {
        let (width, height) = self.stored;
        if width == 0 || height == 0 {
            return Err(ImageError::Empty);
        }
        limits.check_frames(self.frames)?;
        limits.check_pixels(width, height, self.frames)?;
        limits.check_pixels(self.largest_frame.0, self.largest_frame.1, 1)
    }

    /// Checks the limit on memory for decoding the whole picture. It is asked only when that is about to be done,
    /// because a view may need much less.
    pub(crate) fn check_memory(&self, limits: &Limits) -> Result<(), ImageError> {
        let turning = if self.orientation.swaps_sides() { 2 * self.canvas_bytes() } else { 0 };
        limits.check_memory(self.decoding_bytes().max(turning))
    }

    /// Bytes of the canvas as RGBA.
    pub(crate) fn canvas_bytes(&self) -> u64 {
        self.area() * RGBA
    }

    /// Bytes that decoding one picture holds: the canvas, and what the decoder takes beside it.
    pub(crate) fn decoding_bytes(&self) -> u64 {
        let beside = self.area().max(self.largest_frame_area()).saturating_mul(self.extra_bytes_per_pixel);
        self.canvas_bytes() + beside
    }
}
