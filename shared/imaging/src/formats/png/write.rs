//! Writes PNG: RGB if every pixel is opaque, otherwise RGBA.

use std::io::Write as _;

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};

use crate::{Deadline, Image, ImageError};

const STEP: &str = "encode";

impl Image {
    /// Encodes the image as PNG, without metadata. It is meant for large pictures that are viewed once or twice, so it
    /// prefers speed to size.
    ///
    /// # Errors
    /// [`ImageError::Internal`], which cannot occur for valid pixels.
    pub fn encode_png(&self) -> Result<Vec<u8>, ImageError> {
        self.encode_png_within(Deadline::none())
    }

    /// [`encode_png`](Self::encode_png), if there is time.
    ///
    /// # Errors
    /// [`ImageError::TimeLimit`]. [`ImageError::Internal`] cannot occur for valid pixels.
    pub fn encode_png_within(&self, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
        write(self, Compression::Fast, deadline)
    }
}

/// Encodes a picture, as small as is worth the time.
///
/// # Errors
/// [`ImageError::TimeLimit`]. [`ImageError::Internal`] cannot occur for valid pixels.
pub(super) fn encode_still(image: &Image, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
    write(image, Compression::Balanced, deadline)
}

/// Encodes a picture piece by piece, because the encoder does not check the deadline.
fn write(image: &Image, compression: Compression, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
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
