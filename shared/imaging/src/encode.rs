//! Encodes pixels as a file. None of the source's metadata is copied, so the file gives away no place or camera. It has
//! no ICC profile either: without one every format means sRGB.

use crate::{Deadline, Image, ImageError, animation::Animation, formats::Writer};

/// An encoded image file.
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
    /// How many frames the file shows; 1 for a still.
    pub frames: u32,
}

impl Encoded {
    /// Wraps a file whose pictures have the image's size.
    pub(crate) fn new(bytes: Vec<u8>, writer: &Writer, image: &Image) -> Self {
        let frames = (writer.frames)(&bytes);
        let (content_type, extension) = (writer.format.content_type(), writer.extension);
        Self { bytes, width: image.width(), height: image.height(), content_type, extension, frames }
    }
}

/// Encodes an image. `quality`, 1–100, is used by JPEG and by WebP, where 100 is lossless.
pub(crate) fn encode(
    image: &Image,
    writer: &Writer,
    quality: u8,
    deadline: Deadline,
) -> Result<Encoded, ImageError> {
    Ok(Encoded::new((writer.encode_still)(image, quality, deadline)?, writer, image))
}

/// Encodes every frame where the format can hold them, otherwise the first.
pub(crate) fn encode_all(
    animation: &Animation,
    writer: &Writer,
    quality: u8,
    deadline: Deadline,
) -> Result<Encoded, ImageError> {
    let first = animation.first()?;
    match writer.encode_animated {
        Some(animated) if animation.frames.len() > 1 => {
            Ok(Encoded::new(animated(animation, quality, deadline)?, writer, first))
        }
        _ => encode(first, writer, quality, deadline),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        animation::Frame,
        deadline::looks,
        formats::{gif, jpeg, png, webp},
    };

    /// Noise, which no encoder can encode quickly.
    fn noise(side: u32, seed: u32) -> Image {
        let hash =
            |at: u32| (at ^ seed).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519);
        let rgba = (0..side * side).flat_map(|at| (hash(at) | 0xff00_0000).to_le_bytes()).collect();
        Image::new(side, side, rgba).expect("a picture")
    }

    /// Asserts that the encoder checks the deadline at least `least` times, and stops at whichever check the time is
    /// up.
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
        for (writer, quality, least) in [
            (&png::WRITER, 80, 5),
            (&jpeg::WRITER, 80, 5),
            (&webp::WRITER, 80, 15),
            (&webp::WRITER, 100, 15),
            // Rows that are drawn, and pixels that are counted and written.
            (&gif::WRITER, 80, 300 + 10),
        ] {
            let name = format!("{} of quality {quality}", writer.format);
            stops(&name, least, |deadline| encode(&image, writer, quality, deadline));
        }
    }

    #[test]
    fn a_time_limit_stops_every_encoder_within_an_animation() {
        let frames = (1..4).map(|seed| Frame { image: noise(200, seed), delay: 50 }).collect();
        let animation = Animation { frames, plays: 0 };
        for (writer, quality, least) in
            [(&webp::WRITER, 80, 45), (&webp::WRITER, 100, 45), (&gif::WRITER, 80, 3 * (200 + 4))]
        {
            let name = format!("{} of quality {quality}", writer.format);
            stops(&name, least, |deadline| encode_all(&animation, writer, quality, deadline));
        }
    }
}
