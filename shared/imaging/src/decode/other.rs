//! What the kinds that go through the `image` crate share.

use image::{ColorType, ImageDecoder, ImageResult, Limits as DecoderLimits};

use super::{Decoded, samples};
use crate::{Format, ImageError, Limits, header::Header};

/// Our limits in the decoders' words: what a decoder may take for itself, in bytes.
pub(super) fn decoder_limits(limits: &Limits) -> DecoderLimits {
    let mut own = DecoderLimits::no_limits();
    own.max_alloc = Some(limits.max_decoder_bytes);
    own
}

/// The decoder, held to the limits.
pub(super) fn limited<D: ImageDecoder>(
    decoder: ImageResult<D>,
    format: Format,
    limits: &Limits,
) -> Result<D, ImageError> {
    decoder
        .and_then(|mut decoder| decoder.set_limits(decoder_limits(limits)).map(|()| decoder))
        .map_err(|error| refusal(error, format, limits.max_decoder_bytes))
}

/// Bytes of one pixel as the decoder gives it, beyond those of RGBA.
pub(super) fn beyond_rgba(decoder: &impl ImageDecoder) -> u64 {
    u64::from(decoder.color_type().bytes_per_pixel()).saturating_sub(4)
}

/// Decodes the whole picture, or the first frame on its canvas.
pub(super) fn decode(
    decoder: impl ImageDecoder,
    header: &Header,
    limits: &Limits,
    profile: Option<Vec<u8>>,
) -> Result<Decoded, ImageError> {
    let format = header.format;
    let pixels = header.stored.0 as usize * header.stored.1 as usize;
    let color = decoder.color_type();
    let size = usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX);
    if decoder.dimensions() != header.stored || size != pixels * usize::from(color.bytes_per_pixel()) {
        return Err(ImageError::Corrupt { format, source: None });
    }
    let mut buffer = vec![0; size.max(pixels * 4)];
    decoder
        .read_image(&mut buffer[..size])
        .map_err(|error| refusal(error, format, limits.max_decoder_bytes))?;
    if !into_rgba(&mut buffer, pixels, color) {
        let source = format!("{color:?} samples").into();
        return Err(ImageError::UnsupportedFeature { format, source });
    }
    buffer.truncate(pixels * 4);
    buffer.shrink_to_fit();
    Ok(Decoded { rgba: buffer, may_have_alpha: color.has_alpha(), profile })
}

/// Turns samples of any kind, in native byte order, into RGBA; false where the kind is not known.
fn into_rgba(buffer: &mut [u8], pixels: usize, color: ColorType) -> bool {
    use samples::{from_f32, from_u16, to_rgba};
    match color {
        ColorType::L8 => to_rgba(buffer, pixels, |[y]| [y, y, y, 255]),
        ColorType::La8 => to_rgba(buffer, pixels, |[y, a]| [y, y, y, a]),
        ColorType::Rgb8 => to_rgba(buffer, pixels, |[r, g, b]| [r, g, b, 255]),
        ColorType::Rgba8 => {}
        ColorType::L16 => to_rgba(buffer, pixels, |raw: [u8; 2]| {
            let [y] = from_u16(raw.as_chunks().0);
            [y, y, y, 255]
        }),
        ColorType::La16 => to_rgba(buffer, pixels, |raw: [u8; 4]| {
            let [y, a] = from_u16(raw.as_chunks().0);
            [y, y, y, a]
        }),
        ColorType::Rgb16 => to_rgba(buffer, pixels, |raw: [u8; 6]| {
            let [r, g, b] = from_u16(raw.as_chunks().0);
            [r, g, b, 255]
        }),
        ColorType::Rgba16 => to_rgba(buffer, pixels, |raw: [u8; 8]| from_u16(raw.as_chunks().0)),
        ColorType::Rgb32F => to_rgba(buffer, pixels, |raw: [u8; 12]| {
            let [r, g, b] = from_f32(raw.as_chunks().0);
            [r, g, b, 255]
        }),
        ColorType::Rgba32F => to_rgba(buffer, pixels, |raw: [u8; 16]| from_f32(raw.as_chunks().0)),
        _ => return false,
    }
    true
}

fn refusal(error: image::ImageError, format: Format, max: u64) -> ImageError {
    match error {
        image::ImageError::Limits(_) => ImageError::DecoderMemory { max, source: Some(error.into()) },
        image::ImageError::Unsupported(_) => ImageError::UnsupportedFeature { format, source: error.into() },
        _ => ImageError::corrupt(format, error),
    }
}
