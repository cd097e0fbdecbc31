//! Pixels as a file again. Nothing of the source's metadata is in it, so no place or camera is given away; without a
//! profile its colours are sRGB by every format's default.

pub(crate) mod gif;

use std::io::Write as _;

use image::{
    ExtendedColorType, ImageEncoder as _,
    codecs::{jpeg::JpegEncoder, webp::WebPEncoder},
};
use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};
use serde::Deserialize;

use crate::{Deadline, Format, Image, ImageError, deadline::TimedWriter};

const STEP: &str = "encode";

/// The format of a thumbnail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// Lossless, with alpha.
    #[default]
    Png,
    /// Lossy, over white.
    Jpeg,
    /// Lossless, with alpha.
    Webp,
    /// 256 colours at most; a pixel is opaque or transparent.
    Gif,
}

impl OutputFormat {
    /// Its media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Png => Format::Png.content_type(),
            Self::Jpeg => Format::Jpeg.content_type(),
            Self::Webp => Format::WebP.content_type(),
            Self::Gif => Format::Gif.content_type(),
        }
    }

    /// Its file name extension, without a dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
            Self::Gif => "gif",
        }
    }
}

/// An encoded image: a whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The file.
    pub bytes: Vec<u8>,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Its media type.
    pub content_type: &'static str,
    /// Its file name extension, without a dot.
    pub extension: &'static str,
}

/// Encodes an image. `quality`, 1–100, is JPEG's alone.
pub(crate) fn encode(
    image: &Image,
    format: OutputFormat,
    quality: u8,
    deadline: Deadline,
) -> Result<Encoded, ImageError> {
    let bytes = match format {
        OutputFormat::Png => png(image, Compression::Balanced, deadline)?,
        OutputFormat::Jpeg => jpeg(image, quality, deadline)?,
        OutputFormat::Webp => webp(image)?,
        OutputFormat::Gif => gif::still(image)?,
    };
    Ok(Encoded {
        bytes,
        width: image.width(),
        height: image.height(),
        content_type: format.content_type(),
        extension: format.extension(),
    })
}

/// PNG of a picture that is large and looked at once or twice: time counts for more than bytes.
pub(crate) fn quick_png(image: &Image, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
    png(image, Compression::Fast, deadline)
}

/// PNG: RGB where every pixel is opaque, else RGBA. In pieces, because the encoder knows no clock.
fn png(image: &Image, compression: Compression, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
    const PIXELS: usize = 16 << 10;
    let fault = |error: EncodingError| ImageError::internal(STEP, error);
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, image.width(), image.height());
    encoder.set_color(if image.has_alpha() { ColorType::Rgba } else { ColorType::Rgb });
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(compression);
    encoder.set_filter(Filter::Adaptive);
    let mut writer = encoder.write_header().map_err(fault)?;
    let mut pixels = writer.stream_writer().map_err(fault)?;
    for piece in image.rgba().chunks(PIXELS * 4) {
        deadline.check()?;
        let written = if image.has_alpha() {
            pixels.write_all(piece)
        } else {
            let opaque: Vec<u8> =
                piece.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
            pixels.write_all(&opaque)
        };
        written.map_err(|error| ImageError::internal(STEP, error))?;
    }
    pixels.finish().map_err(fault)?;
    writer.finish().map_err(fault)?;
    Ok(out)
}

/// JPEG, composited over white.
fn jpeg(image: &Image, quality: u8, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
    let mut out = TimedWriter::new(deadline);
    let written = JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100)).write_image(
        &rgb(image),
        image.width(),
        image.height(),
        ExtendedColorType::Rgb8,
    );
    // A writer that was stopped is some failure of the encoder's own: the deadline is the reason.
    deadline.check()?;
    written.map_err(|error| ImageError::internal(STEP, error))?;
    Ok(out.into_inner())
}

/// WebP, lossless.
fn webp(image: &Image) -> Result<Vec<u8>, ImageError> {
    let mut out = Vec::new();
    let encoder = WebPEncoder::new_lossless(&mut out);
    let written = if image.has_alpha() {
        encoder.write_image(image.rgba(), image.width(), image.height(), ExtendedColorType::Rgba8)
    } else {
        encoder.write_image(&rgb(image), image.width(), image.height(), ExtendedColorType::Rgb8)
    };
    written.map_err(|error| ImageError::internal(STEP, error))?;
    Ok(out)
}

/// The colours over white; for an opaque image, the colours.
fn rgb(image: &Image) -> Vec<u8> {
    fn over_white(value: u8, alpha: u8) -> u8 {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    }
    let pixels = image.rgba().as_chunks::<4>().0;
    if image.has_alpha() {
        pixels
            .iter()
            .flat_map(|&[r, g, b, a]| [over_white(r, a), over_white(g, a), over_white(b, a)])
            .collect()
    } else {
        pixels.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect()
    }
}
