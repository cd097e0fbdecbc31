//! PNG, GIF, WebP, TIFF and BMP, by the `image` crate.

use image::{
    ColorType, ImageDecoder, ImageResult, Limits as DecoderLimits,
    codecs::{bmp::BmpDecoder, gif::GifDecoder, png::PngDecoder, tiff::TiffDecoder, webp::WebPDecoder},
};

use super::{Decoded, samples};
use crate::{Deadline, Format, ImageError, Limits, deadline::TimedReader, header::Header, scan};

/// Reads the headers. `max_alloc` is what the decoder may take for itself, in bytes.
pub(crate) fn open(
    bytes: &[u8],
    format: Format,
    max_alloc: u64,
    deadline: Deadline,
) -> Result<Box<dyn ImageDecoder + '_>, ImageError> {
    let mut limits = DecoderLimits::no_limits();
    limits.max_alloc = Some(max_alloc);
    let reader = TimedReader::new(bytes, deadline);
    let opened = match format {
        Format::Png => boxed(PngDecoder::with_limits(reader, limits.clone())),
        Format::Gif => boxed(GifDecoder::new(reader)),
        Format::WebP => boxed(WebPDecoder::new(reader)),
        Format::Tiff => boxed(TiffDecoder::new(reader)),
        Format::Bmp => boxed(BmpDecoder::new(reader)),
        Format::Jpeg => boxed(image::codecs::jpeg::JpegDecoder::new(reader)),
    };
    let limited = opened.and_then(|mut decoder| decoder.set_limits(limits).map(|()| decoder));
    limited.map_err(|error| refusal(error, format, max_alloc))
}

fn boxed<'a>(decoder: ImageResult<impl ImageDecoder + 'a>) -> ImageResult<Box<dyn ImageDecoder + 'a>> {
    Ok(Box::new(decoder?))
}

/// Decodes the whole picture, or the first frame on its canvas.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Decoded, ImageError> {
    let format = header.format;
    let pixels = header.stored.0 as usize * header.stored.1 as usize;
    let mut decoder = open(bytes, format, limits.max_decoder_bytes, deadline)?;
    let color = decoder.color_type();
    let size = usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX);
    if decoder.dimensions() != header.stored || size != pixels * usize::from(color.bytes_per_pixel()) {
        return Err(ImageError::Corrupt { format, source: None });
    }
    let profile = match format {
        // The WebP decoder would take memory for whatever length the chunk claims.
        Format::WebP => scan::webp(bytes).profile.map(<[u8]>::to_vec),
        _ => decoder.icc_profile().ok().flatten(),
    };
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
