//! One channel of a picture, at its own resolution.

use resample::{FilterType, Pixels, ResizeAlg, ResizeOptions};

use crate::{ImageError, crop::Crop};

/// The samples of a channel.
#[derive(Debug, PartialEq)]
pub(crate) struct Plane {
    /// Row by row, without gaps.
    pub(crate) samples: Vec<u8>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Samples per pixel of the picture, across and down. The last sample of a row or column may reach beyond the
    /// picture: `width` is the picture's width times this, rounded up.
    pub(crate) scale: (f64, f64),
}

impl Plane {
    /// Converts a part of the picture to this channel's samples.
    pub(crate) fn within(&self, crop: Crop) -> Crop {
        let (x, y) = self.scale;
        Crop { left: crop.left * x, top: crop.top * y, width: crop.width * x, height: crop.height * y }
    }
}

/// Resamples a part of one channel by Lanczos3, without rounding. The crop is in the channel's own samples; where
/// rounding takes it beyond the last one, it is cut there.
pub(crate) fn resample(
    samples: impl Iterator<Item = f32>,
    (width, height): (u32, u32),
    crop: Crop,
    target: (u32, u32),
) -> Result<Vec<f32>, ImageError> {
    const STEP: &str = "resize";
    let (across, down) = (f64::from(width), f64::from(height));
    let (left, top) = (crop.left.clamp(0.0, across), crop.top.clamp(0.0, down));
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3)).crop(
        left,
        top,
        crop.width.min(across - left),
        crop.height.min(down - top),
    );
    resample::resample_plane(Pixels { width, height, samples: samples.collect() }, target, &options)
        .map_err(|error| ImageError::internal(STEP, error))
}
