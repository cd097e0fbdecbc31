//! One good resample: Lanczos3, each output pixel weighing every source pixel under its kernel (so nothing is skipped
//! when a large image becomes a small one), on premultiplied samples (so the colour of transparent pixels, which
//! nobody sees, does not bleed into the edges).

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image as Pixels, ImageRef},
};

use crate::{Image, ImageError, decode::eighth::Plane};

const STEP: &str = "resize";

/// The part of an image to resample, in pixels from its top left; fractions are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Crop {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Crop {
    /// All of it.
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

/// The largest size with the proportions of `size` that fits in `within`, of at least 1 × 1.
pub(crate) fn contain(size: (u32, u32), within: (u32, u32)) -> (u32, u32) {
    fn scaled(side: u32, to: u32, of: u32) -> u32 {
        let (side, to, of) = (u64::from(side), u64::from(to), u64::from(of));
        let rounded = (side * to + of / 2) / of;
        u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
    }
    let wider = u64::from(size.0) * u64::from(within.1) >= u64::from(within.0) * u64::from(size.1);
    if wider {
        (within.0, scaled(size.1, within.0, size.0).min(within.1))
    } else {
        (scaled(size.0, within.1, size.1).min(within.0), within.1)
    }
}

/// The same, but never larger than `size` itself.
pub(crate) fn inside(size: (u32, u32), within: (u32, u32)) -> (u32, u32) {
    if size.0 <= within.0 && size.1 <= within.1 { size } else { contain(size, within) }
}

/// A part of the image at another size.
pub(crate) fn resample(image: &Image, crop: Crop, width: u32, height: u32) -> Result<Image, ImageError> {
    if crop == Crop::whole((image.width(), image.height()))
        && (width, height) == (image.width(), image.height())
    {
        return Ok(image.clone());
    }
    let size = (image.width(), image.height());
    let rgba = convolved(image.rgba(), size, crop, (width, height), image.has_alpha())?;
    let resized =
        if image.has_alpha() { Image::new(width, height, rgba) } else { Image::opaque(width, height, rgba) };
    resized.ok_or_else(|| ImageError::internal(STEP, "an empty result"))
}

/// A part of straight-alpha RGBA pixels, which are `of` this size, at another size.
pub(crate) fn resample_rgba(
    rgba: &[u8],
    of: (u32, u32),
    crop: Crop,
    width: u32,
    height: u32,
) -> Result<Vec<u8>, ImageError> {
    if crop == Crop::whole(of) && (width, height) == of {
        return Ok(rgba.to_vec());
    }
    let has_alpha = rgba.as_chunks::<4>().0.iter().any(|pixel| pixel[3] != 255);
    convolved(rgba, of, crop, (width, height), has_alpha)
}

fn convolved(
    rgba: &[u8],
    of: (u32, u32),
    crop: Crop,
    (width, height): (u32, u32),
    has_alpha: bool,
) -> Result<Vec<u8>, ImageError> {
    let source = ImageRef::new(of.0, of.1, rgba, PixelType::U8x4)
        .map_err(|error| ImageError::internal(STEP, error))?;
    let mut target = Pixels::new(width, height, PixelType::U8x4);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .crop(crop.left, crop.top, crop.width, crop.height)
        .use_alpha(has_alpha);
    Resizer::new()
        .resize(&source, &mut target, &options)
        .map_err(|error| ImageError::internal(STEP, error))?;
    Ok(target.into_vec())
}

/// A part of one channel at another size. The crop is in the channel's own samples; where rounding takes it beyond the
/// last, it ends there.
pub(crate) fn resample_plane(
    plane: &Plane,
    crop: Crop,
    width: u32,
    height: u32,
) -> Result<Vec<u8>, ImageError> {
    let source = ImageRef::new(plane.width, plane.height, &plane.samples, PixelType::U8)
        .map_err(|error| ImageError::internal(STEP, error))?;
    let mut target = Pixels::new(width, height, PixelType::U8);
    let (across, down) = (f64::from(plane.width), f64::from(plane.height));
    let (left, top) = (crop.left.clamp(0.0, across), crop.top.clamp(0.0, down));
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3)).crop(
        left,
        top,
        crop.width.min(across - left),
        crop.height.min(down - top),
    );
    Resizer::new()
        .resize(&source, &mut target, &options)
        .map_err(|error| ImageError::internal(STEP, error))?;
    Ok(target.into_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_keep_proportions_and_no_side_vanishes() {
        assert_eq!(contain((4000, 3000), (100, 100)), (100, 75));
        assert_eq!(contain((1, 10_000), (100, 100)), (1, 100));
        assert_eq!(contain((10, 10), (200, 100)), (100, 100));
        assert_eq!(inside((10, 10), (200, 100)), (10, 10));
        assert_eq!(inside((300, 50), (200, 100)), (200, 33));
    }

    proptest! {
        #[test]
        fn a_contained_size_lies_in_its_box_and_touches_it(
            size in (1..100_000_u32, 1..100_000_u32), within in (1..4097_u32, 1..4097_u32),
        ) {
            let (w, h) = contain(size, within);
            prop_assert!((1..=within.0).contains(&w) && (1..=within.1).contains(&h));
            prop_assert!(w == within.0 || h == within.1);
            let (w, h) = inside(size, within);
            prop_assert!(w <= size.0 && h <= size.1 && w <= within.0 && h <= within.1 && w > 0 && h > 0);
        }
    }
}
