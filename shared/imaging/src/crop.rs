//! A rectangular part of a picture.

/// The part of an image to resample, in pixels from its top left. Its edges may lie within pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Crop {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Crop {
    /// The whole picture.
    pub(crate) fn whole(size: (u32, u32)) -> Self {
        Self { left: 0.0, top: 0.0, width: size.0.into(), height: size.1.into() }
    }

    /// The largest central part of an image of size `of` with the proportions of `size`.
    pub(crate) fn cover(of: (u32, u32), size: (u32, u32)) -> Self {
        let (width, height) = (f64::from(of.0), f64::from(of.1));
        let proportion = f64::from(size.0) / f64::from(size.1);
        let (w, h) = ((height * proportion).min(width), (width / proportion).min(height));
        Self { left: (width - w) / 2.0, top: (height - h) / 2.0, width: w, height: h }
    }
}
