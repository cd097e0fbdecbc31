//! Limits on what one image may cost.

use crate::ImageError;

/// The most that an image may cost. Each limit has its own error. Those on bytes, frames and pixels are checked when a
/// source is opened; the one on memory is checked before pixels are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub max_bytes: u64,
    /// Pixels of the canvas times the number of frames.
    pub max_pixels: u64,
    /// Frames of an animation.
    pub max_frames: u32,
    /// Bytes that the decoder and the decoded pixels may take together.
    pub max_decoder_bytes: u64,
}

impl Default for Limits {
    /// 100 MB, 50 megapixels, 60 frames, 512 MiB: the defaults of the service.
    fn default() -> Self {
        Self { max_bytes: 100_000_000, max_pixels: 50_000_000, max_frames: 60, max_decoder_bytes: 512 << 20 }
    }
}

impl Limits {
    pub(crate) fn check_bytes(&self, bytes: &[u8]) -> Result<(), ImageError> {
        let bytes = bytes.len() as u64;
        if bytes > self.max_bytes {
            return Err(ImageError::TooLarge { bytes, max: self.max_bytes });
        }
        Ok(())
    }

    pub(crate) fn check_frames(&self, frames: u32) -> Result<(), ImageError> {
        if frames > self.max_frames {
            return Err(ImageError::TooManyFrames { frames, max: self.max_frames });
        }
        Ok(())
    }

    pub(crate) fn check_pixels(&self, width: u32, height: u32, frames: u32) -> Result<(), ImageError> {
        let pixels = (u64::from(width) * u64::from(height)).saturating_mul(u64::from(frames));
        if pixels > self.max_pixels {
            return Err(ImageError::TooManyPixels { width, height, frames, max: self.max_pixels });
        }
        Ok(())
    }

    pub(crate) fn check_memory(&self, bytes: u64) -> Result<(), ImageError> {
        if bytes > self.max_decoder_bytes {
            return Err(ImageError::DecoderMemory { max: self.max_decoder_bytes, source: None });
        }
        Ok(())
    }
}
