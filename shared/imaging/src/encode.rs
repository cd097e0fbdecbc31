//! Pixels as a file again. Nothing of the source's metadata is in it, so no place or camera is given away; without a
//! profile its colours are sRGB by every format's default.

pub(crate) mod gif;
pub(crate) mod webp;

use std::io::Write as _;

use image::{GenericImageView, Rgb, codecs::jpeg::JpegEncoder};
use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};

use crate::{
    Deadline, Format, Image, ImageError, Limits, animation::Animation, deadline::TimedWriter, header::Header,
};

const STEP: &str = "encode";

/// What a thumbnail is encoded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Lossless, with alpha.
    Png,
    /// Lossy, over white.
    Jpeg,
    /// Lossy, or lossless at quality 100; with alpha.
    Webp,
    /// 256 colours at most; a pixel is opaque or transparent.
    Gif,
}

impl Codec {
    /// Its media type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Png => Format::Png.content_type(),
            Self::Jpeg => Format::Jpeg.content_type(),
            Self::Webp => Format::WebP.content_type(),
            Self::Gif => Format::Gif.content_type(),
        }
    }

    /// Its file name extension, without a dot.
    pub(crate) fn extension(self) -> &'static str {
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
    /// How many frames it shows; 1 for a picture that does not move.
    pub frames: u32,
}

impl Encoded {
    /// A file of that codec, which shows pictures of the image's size.
    pub(crate) fn new(bytes: Vec<u8>, codec: Codec, image: &Image) -> Self {
        // An encoder joins what looks the same: how many frames there are, only the file knows.
        let frames = match codec {
            Codec::Png | Codec::Jpeg => 1,
            Codec::Gif => frames(&bytes, Format::Gif),
            Codec::Webp => frames(&bytes, Format::WebP),
        };
        let (content_type, extension) = (codec.content_type(), codec.extension());
        Self { bytes, width: image.width(), height: image.height(), content_type, extension, frames }
    }
}

/// The frames of a file of ours.
fn frames(bytes: &[u8], format: Format) -> u32 {
    let any = Limits { max_pixels: u64::MAX, max_frames: u32::MAX, ..Limits::default() };
    Header::read(bytes, format, &any, Deadline::none()).map_or(1, |header| header.frames)
}

/// Encodes an image. `quality`, 1–100, is that of JPEG and of WebP, where 100 is lossless.
pub(crate) fn encode(
    image: &Image,
    codec: Codec,
    quality: u8,
    deadline: Deadline,
) -> Result<Encoded, ImageError> {
    let bytes = match codec {
        Codec::Png => png(image, Compression::Balanced, deadline)?,
        Codec::Jpeg => jpeg(image, quality, deadline)?,
        Codec::Webp => webp::still(image, quality, deadline)?,
        Codec::Gif => gif::still(image, deadline)?,
    };
    Ok(Encoded::new(bytes, codec, image))
}

/// Encodes every frame where the codec can hold them, else the first.
pub(crate) fn encode_all(
    animation: &Animation,
    codec: Codec,
    quality: u8,
    deadline: Deadline,
) -> Result<Encoded, ImageError> {
    let first = animation.first()?;
    let bytes = match codec {
        Codec::Gif if animation.frames.len() > 1 => gif::animated(animation, deadline)?,
        Codec::Webp if animation.frames.len() > 1 => webp::animated(animation, quality, deadline)?,
        _ => return encode(first, codec, quality, deadline),
    };
    Ok(Encoded::new(bytes, codec, first))
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
    let mut encoder = JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100));
    let written = encoder.encode_image(&OverWhite(image));
    // A writer that was stopped is some failure of the encoder's own: the deadline is the reason.
    deadline.check()?;
    written.map_err(|error| ImageError::internal(STEP, error))?;
    Ok(out.into_inner())
}

/// The colours over white; of an opaque image, the colours.
struct OverWhite<'a>(&'a Image);

impl GenericImageView for OverWhite<'_> {
    type Pixel = Rgb<u8>;

    fn dimensions(&self) -> (u32, u32) {
        (self.0.width(), self.0.height())
    }

    #[inline]
    fn get_pixel(&self, x: u32, y: u32) -> Rgb<u8> {
        let at = y as usize * self.0.width() as usize + x as usize;
        let [r, g, b, alpha] = self.0.rgba().as_chunks().0[at];
        let over_white = |value: u8| {
            ((u32::from(value) * u32::from(alpha) + 255 * (255 - u32::from(alpha)) + 127) / 255) as u8
        };
        Rgb(if alpha == 255 { [r, g, b] } else { [r, g, b].map(over_white) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{animation::Frame, deadline::looks};

    /// Noise, of which no encoder makes short work.
    fn noise(side: u32, seed: u32) -> Image {
        let hash =
            |at: u32| (at ^ seed).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519);
        let rgba = (0..side * side).flat_map(|at| (hash(at) | 0xff00_0000).to_le_bytes()).collect();
        Image::new(side, side, rgba).expect("a picture")
    }

    /// The encoder looks at the clock at least so often, and stops wherever the time is up.
    fn stops(name: &str, least: u32, encode: impl Fn(Deadline) -> Result<Encoded, ImageError>) {
        let taken = looks::taken(|deadline| encode(deadline).expect(name));
        assert!(taken >= least, "{name}: {taken} looks");
        for passes in [0, 1, taken / 2, taken - 1] {
            let late = looks::passing_after(passes, &encode);
            assert!(matches!(late, Err(ImageError::TimeLimit(_))), "{name} at {passes} of {taken}: {late:?}");
        }
    }

    #[test]
    fn a_time_limit_stops_every_encoder_within_a_picture() {
        let image = noise(300, 1);
        for (codec, quality, least) in [
            (Codec::Png, 80, 5),
            (Codec::Jpeg, 80, 5),
            (Codec::Webp, 80, 15),
            (Codec::Webp, 100, 15),
            // Rows that are drawn, and pixels that are counted and written.
            (Codec::Gif, 80, 300 + 10),
        ] {
            let name = format!("{codec:?} of quality {quality}");
            stops(&name, least, |deadline| encode(&image, codec, quality, deadline));
        }
    }

    #[test]
    fn a_time_limit_stops_every_encoder_within_an_animation() {
        let frames = (1..4).map(|seed| Frame { image: noise(200, seed), delay: 50 }).collect();
        let animation = Animation { frames, plays: 0 };
        for (codec, quality, least) in
            [(Codec::Webp, 80, 45), (Codec::Webp, 100, 45), (Codec::Gif, 80, 3 * (200 + 4))]
        {
            let name = format!("{codec:?} of quality {quality}");
            stops(&name, least, |deadline| encode_all(&animation, codec, quality, deadline));
        }
    }
}
