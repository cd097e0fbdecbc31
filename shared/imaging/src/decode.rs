//! From a file's bytes to upright RGBA pixels.
//!
//! Lossy WebP goes to libwebp, AVIF's AV1 to `rusty_av1d` and JPEG 2000 within TIFFs to `hayro-jpeg2000`; the others are read here,
//! because the libraries for them show nothing of a file that is cut off. All decode into one buffer that is large enough for the RGBA result,
//! and the samples are widened or narrowed where they lie: the peak is one picture, not two. `coefficients` gives a JPEG's
//! channels at a half, a quarter or an eighth of its size, too, for what needs no more.

pub(crate) mod canvas;
pub(crate) mod pixelwise;
pub(crate) mod samples;
pub(crate) mod upsample;

use crate::{Deadline, Image, ImageError, Limits, colour, formats, header::Header};

/// Pixels as stored: not yet upright, not yet sRGB.
pub(crate) struct Decoded {
    /// Straight-alpha RGBA, row by row.
    pub(crate) rgba: Vec<u8>,
    /// Whether the file can hold transparency; if not, no pixel needs to be asked.
    pub(crate) may_have_alpha: bool,
    /// The embedded ICC profile.
    pub(crate) profile: Option<Vec<u8>>,
}

/// The picture, upright and in sRGB; of an animation, the first frame on its canvas. An APNG shows its default image,
/// which is what the format has it for.
///
/// # Errors
/// [`ImageError::Corrupt`], [`ImageError::UnsupportedFeature`], [`ImageError::DecoderMemory`] or
/// [`ImageError::TimeLimit`].
pub(crate) fn decode(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Image, ImageError> {
    deadline.check()?;
    header.check_memory(limits)?;
    let decoded = (formats::codec(header.format).decode)(bytes, header, limits, deadline);
    deadline.check()?;
    let Decoded { mut rgba, may_have_alpha, profile } = decoded?;
    if let Some(profile) = profile {
        colour::to_srgb(&mut rgba, &profile, deadline)?;
    }
    let (stored_width, stored_height) = header.stored;
    let (width, height) = header.orientation.upright_size(stored_width, stored_height);
    let rgba = header.orientation.apply(rgba, stored_width, stored_height);
    deadline.check()?;
    let image =
        if may_have_alpha { Image::new(width, height, rgba) } else { Image::opaque(width, height, rgba) };
    image.ok_or(ImageError::Corrupt { format: header.format, source: None })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageFormat, RgbImage};

    use super::*;
    use crate::{Source, deadline::looks};

    /// Noise, which no format makes small.
    fn file(format: ImageFormat, side: u32) -> Vec<u8> {
        let noise = RgbImage::from_fn(side, side, |x, y| {
            let hash = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519);
            image::Rgb([(hash >> 8) as u8, (hash >> 16) as u8, (hash >> 24) as u8])
        });
        let mut out = Cursor::new(Vec::new());
        DynamicImage::from(noise).write_to(&mut out, format).expect("an encoder's own format");
        out.into_inner()
    }

    fn picture(bytes: &[u8], deadline: Deadline) -> Result<Image, ImageError> {
        Source::open(bytes.to_vec(), &Limits::default(), deadline)?.image().cloned()
    }

    #[test]
    fn a_time_limit_stops_every_decoder_within_a_picture() {
        for (format, side) in [
            (ImageFormat::Jpeg, 800),
            (ImageFormat::Png, 800),
            (ImageFormat::Gif, 800),
            (ImageFormat::WebP, 800),
            (ImageFormat::Tiff, 800),
            (ImageFormat::Bmp, 800),
            (ImageFormat::Ico, 256),
            (ImageFormat::Qoi, 800),
            (ImageFormat::Pnm, 800),
            (ImageFormat::Tga, 800),
        ] {
            let looks = |side| {
                let bytes = file(format, side);
                looks::taken(|deadline| picture(&bytes, deadline).expect("a good file"))
            };
            // What is looked at before and after is the same for both.
            let (small, taken) = (looks(8), looks(side));
            assert!(taken > small, "{format:?}: {small} looks, and {taken}");
            let bytes = file(format, side);
            for passes in [0, 1, small, taken / 2, taken - 2, taken - 1] {
                let late = looks::passing_after(passes, |deadline| picture(&bytes, deadline));
                let stopped = matches!(late, Err(ImageError::TimeLimit(_)));
                assert!(stopped, "{format:?} at {passes} of {taken}: {:?}", late.err());
            }
        }
    }

    #[test]
    fn a_time_limit_stops_animations_within_every_format() {
        for (name, bytes) in [
            ("GIF", &include_bytes!("../tests/promises/samples/animated.gif")[..]),
            ("PNG", include_bytes!("../tests/promises/samples/animated.png")),
            ("WebP", include_bytes!("../tests/promises/samples/animated.webp")),
            ("AVIF", include_bytes!("../tests/promises/samples/avif/420.avif")),
        ] {
            let thumbnail = |deadline| {
                let source = Source::open(bytes.to_vec(), &Limits::default(), deadline)?;
                source.thumbnail(&crate::ThumbnailOptions::default())
            };
            let taken = looks::taken(|deadline| thumbnail(deadline).expect(name));
            for passes in 0..taken {
                let late = looks::passing_after(passes, thumbnail);
                let stopped = matches!(late, Err(ImageError::TimeLimit(_)));
                assert!(stopped, "{name} at {passes} of {taken}: {:?}", late.err());
            }
        }
    }
}
