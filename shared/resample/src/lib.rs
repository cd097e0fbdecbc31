//! Resampling by `fast_image_resize`, compiled once.
//!
//! That library is generic: every crate that calls it compiles its kernels, 30 for each type of view and pixel, and a
//! call that chooses the pixel type at run time brings in all 16 types. These kernels are most of the code that a
//! thumbnail needs to be compiled. This crate has functions that are not generic, so `imaging` and `detection` are
//! compiled without the kernels. Where possible, a view is a [`TypedImage`], the type of the library's own buffers,
//! which needs no additional kernels.

pub use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use fast_image_resize::{
    ImageBufferError, ImageView, PixelTrait,
    images::{Image, TypedCroppedImage, TypedImage, TypedImageRef},
    pixels::{F32, U8, U8x2, U8x3, U8x4, U16, U16x2, U16x3, U16x4},
};

/// The reason why nothing was resampled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are fewer samples than the size requires, or they are not aligned.
    #[error("the samples do not fit their size")]
    Samples(#[from] ImageBufferError),
    /// The part reaches beyond the picture.
    #[error("the part is not within the picture")]
    Part(#[from] fast_image_resize::CropBoxError),
    /// The crop in the options does not lie within the source.
    #[error("the crop is not within the source")]
    Options(#[from] fast_image_resize::ResizeError),
    /// The pixel type does not have one to four channels of 8 or 16 bits.
    #[error("pixels of that kind are not resampled")]
    Kind,
}

/// Pixels row by row without gaps, `width` across and `height` down.
#[derive(Debug)]
pub struct Pixels<S> {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The samples: at least as many as the size requires.
    pub samples: S,
}

/// Resamples pixels of one to four channels of 8 or 16 bits (in native byte order). The source is not changed.
///
/// # Errors
/// [`Error`] where the source is smaller than its stated size, the crop does not lie within it, or the pixel type is
/// another.
pub fn resample(
    resizer: &mut Resizer,
    pixel: PixelType,
    Pixels { width, height, samples }: Pixels<&mut [u8]>,
    target: (u32, u32),
    options: &ResizeOptions,
) -> Result<Vec<u8>, Error> {
    macro_rules! by_kind {
        ($($kind:ident),*) => {
            match pixel {
                $(PixelType::$kind => {
                    let source = TypedImage::<$kind>::from_buffer(width, height, samples)?;
                    convolve(resizer, &source, target, options)
                })*
                _ => Err(Error::Kind),
            }
        };
    }
    by_kind!(U8, U8x2, U8x3, U8x4, U16, U16x2, U16x3, U16x4)
}

/// Resamples a part of 8-bit RGBA pixels (left, top, width and height in whole pixels). Pixels beside the part are not
/// read.
///
/// # Errors
/// [`Error`] where the source is smaller than its stated size, or the part or the crop does not lie within it.
pub fn resample_part(
    resizer: &mut Resizer,
    Pixels { width, height, samples }: Pixels<&[u8]>,
    [left, top, columns, rows]: [u32; 4],
    target: (u32, u32),
    options: &ResizeOptions,
) -> Result<Vec<u8>, Error> {
    let whole = TypedImageRef::<U8x4>::from_buffer(width, height, samples)?;
    let part = TypedCroppedImage::new(whole, left, top, columns, rows)?;
    convolve(resizer, &part, target, options)
}

/// Resamples one channel of floating-point samples, without rounding.
///
/// # Errors
/// [`Error`] where the source is smaller than its stated size, or the crop does not lie within it.
pub fn resample_plane(
    source: Pixels<Vec<f32>>,
    target: (u32, u32),
    options: &ResizeOptions,
) -> Result<Vec<f32>, Error> {
    let samples = source.samples.into_iter().map(F32::new).collect();
    let source = TypedImage::from_pixels(source.width, source.height, samples)
        .map_err(|_| ImageBufferError::InvalidBufferSize)?;
    let mut resampled = TypedImage::new(target.0, target.1);
    Resizer::new().resize_typed(&source, &mut resampled, options)?;
    Ok(resampled.pixels().iter().map(|sample| sample.0).collect())
}

fn convolve<P: PixelTrait>(
    resizer: &mut Resizer,
    source: &impl ImageView<Pixel = P>,
    (width, height): (u32, u32),
    options: &ResizeOptions,
) -> Result<Vec<u8>, Error> {
    let mut target = Image::new(width, height, P::pixel_type());
    let mut view = TypedImage::<P>::from_buffer(width, height, target.buffer_mut())?;
    resizer.resize_typed(source, &mut view, options)?;
    Ok(target.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triangle() -> ResizeOptions {
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false)
    }

    #[test]
    fn one_colour_stays_that_colour_in_every_kind() {
        let kinds = [PixelType::U8, PixelType::U8x2, PixelType::U8x3, PixelType::U8x4];
        let wide = [PixelType::U16, PixelType::U16x2, PixelType::U16x3, PixelType::U16x4];
        for kind in kinds.into_iter().chain(wide) {
            let mut samples = vec![77; 16 * 8 * kind.size()];
            let source = Pixels { width: 16, height: 8, samples: samples.as_mut_slice() };
            let target = resample(&mut Resizer::new(), kind, source, (5, 3), &triangle()).expect("resamples");
            assert_eq!(target, vec![77; 5 * 3 * kind.size()], "{kind:?}");
        }
    }

    #[test]
    fn nothing_beside_a_part_is_looked_at() {
        let mut rgba = vec![255; 8 * 8 * 4];
        for row in rgba.chunks_exact_mut(8 * 4) {
            row[2 * 4..6 * 4].fill(9);
        }
        let picture = Pixels { width: 8, height: 8, samples: rgba.as_slice() };
        let part = resample_part(&mut Resizer::new(), picture, [2, 0, 4, 8], (3, 3), &triangle());
        assert_eq!(part.expect("resamples"), vec![9; 3 * 3 * 4]);
    }

    #[test]
    fn sources_smaller_than_they_say_and_parts_beyond_them_are_refused() {
        let (mut resizer, options) = (Resizer::new(), triangle());
        let short = Pixels { width: 8, height: 8, samples: &mut [0; 8 * 7][..] };
        assert!(matches!(
            resample(&mut resizer, PixelType::U8, short, (2, 2), &options),
            Err(Error::Samples(_))
        ));
        let other = Pixels { width: 1, height: 1, samples: &mut [0; 4][..] };
        assert!(matches!(resample(&mut resizer, PixelType::I32, other, (2, 2), &options), Err(Error::Kind)));
        let whole = Pixels { width: 2, height: 2, samples: &[0; 16][..] };
        assert!(matches!(
            resample_part(&mut resizer, whole, [1, 0, 2, 2], (2, 2), &options),
            Err(Error::Part(_))
        ));
        let plane = Pixels { width: 2, height: 2, samples: vec![0.0; 3] };
        assert!(matches!(resample_plane(plane, (1, 1), &options), Err(Error::Samples(_))));
    }
}
