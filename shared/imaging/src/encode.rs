//! Pixels as a file again. Nothing of the source's metadata is in it, so no place or camera is given away; without a
//! profile its colours are sRGB by every format's default.

pub(crate) mod gif;

use image::{
    ExtendedColorType, ImageEncoder as _,
    codecs::{
        jpeg::JpegEncoder,
        png::{CompressionType, FilterType, PngEncoder},
        webp::WebPEncoder,
    },
};
use serde::Deserialize;

use crate::{Format, Image, ImageError};

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
pub(crate) fn encode(image: &Image, format: OutputFormat, quality: u8) -> Result<Encoded, ImageError> {
    let bytes = match format {
        OutputFormat::Png => png(image, CompressionType::Default)?,
        OutputFormat::Jpeg => jpeg(image, quality)?,
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
pub(crate) fn quick_png(image: &Image) -> Result<Vec<u8>, ImageError> {
    png(image, CompressionType::Fast)
}

/// PNG: RGB where every pixel is opaque, else RGBA.
fn png(image: &Image, compression: CompressionType) -> Result<Vec<u8>, ImageError> {
    let mut out = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut out, compression, FilterType::Adaptive);
    let written = if image.has_alpha() {
        encoder.write_image(image.rgba(), image.width(), image.height(), ExtendedColorType::Rgba8)
    } else {
        encoder.write_image(&rgb(image), image.width(), image.height(), ExtendedColorType::Rgb8)
    };
    written.map_err(|error| ImageError::internal(STEP, error))?;
    Ok(out)
}

/// JPEG, composited over white.
fn jpeg(image: &Image, quality: u8) -> Result<Vec<u8>, ImageError> {
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100))
        .write_image(&rgb(image), image.width(), image.height(), ExtendedColorType::Rgb8)
        .map_err(|error| ImageError::internal(STEP, error))?;
    Ok(out)
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
