//! Writes WebP, still and animated, with libwebp (`webp-codec`).

use webp_codec::{Error, Quality};

use crate::{Deadline, Image, ImageError, TimedOut, animation::Animation};

/// The quality that stands for lossless encoding; lower values are lossy.
const LOSSLESS: u8 = 100;

/// Encodes a still with its alpha. The quality is 1–99, or 100 for lossless.
///
/// # Errors
/// [`ImageError::TimeLimit`] or [`ImageError::Internal`].
pub(crate) fn encode_still(image: &Image, quality: u8, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
    deadline.check()?;
    let size = (image.width(), image.height());
    let go_on = &mut || deadline.check().is_ok();
    webp_codec::encode(image.rgba(), size, webp_quality(quality), go_on).map_err(failed)
}

/// Encodes every frame with its exact duration, and the number of plays. Equal frames are joined. The quality is 1–99,
/// or 100 for lossless.
///
/// # Errors
/// [`ImageError::TimeLimit`] or [`ImageError::Internal`].
pub(crate) fn encode_animated(
    animation: &Animation,
    quality: u8,
    deadline: Deadline,
) -> Result<Vec<u8>, ImageError> {
    let Some(first) = animation.frames.first() else {
        return Err(ImageError::internal("encode", "no frames"));
    };
    let size = (first.image.width(), first.image.height());
    let plays = u16::try_from(animation.plays).unwrap_or(u16::MAX);
    let go_on = &mut || deadline.check().is_ok();
    let mut encoder =
        webp_codec::Animation::new(size, plays, webp_quality(quality), go_on).map_err(failed)?;
    for frame in &animation.frames {
        deadline.check()?;
        encoder.add(frame.image.rgba(), frame.delay).map_err(failed)?;
    }
    let mut file = encoder.finish().map_err(failed)?;
    if animation.frames.iter().any(|frame| frame.image.has_alpha()) {
        declare_alpha(&mut file);
    }
    Ok(file)
}

/// Sets the header's alpha flag (RFC 9649, 2.7.1.1). libwebp sets it if a frame has alpha. But opaque frames that leave
/// part of the canvas free show the background there, too, and readers that rely on the flag would show black.
fn declare_alpha(file: &mut [u8]) {
    const ALPHA: u8 = 0x10;
    if let Some([b'V', b'P', b'8', b'X', _, _, _, _, flags]) = file.get_mut(12..21) {
        *flags |= ALPHA;
    }
}

fn webp_quality(quality: u8) -> Quality {
    if quality >= LOSSLESS { Quality::Lossless } else { Quality::Lossy(quality) }
}

fn failed(error: Error) -> ImageError {
    match error {
        Error::Stopped => TimedOut.into(),
        other => ImageError::internal("encode", other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Deadline, Limits, animation::Frame, formats::webp};

    fn plain(colour: [u8; 4]) -> Image {
        Image::new(40, 30, colour.repeat(40 * 30)).expect("an image")
    }

    #[test]
    fn an_animation_is_shown_as_long_and_as_often_as_it_was() {
        let colours = [[200, 30, 30, 255], [30, 200, 30, 255], [30, 200, 30, 255], [30, 30, 200, 128]];
        let frames = colours.into_iter().zip([70, 0, 41, 5000]);
        let frames = frames.map(|(colour, delay)| Frame { image: plain(colour), delay }).collect();
        for quality in [60, 100] {
            let file = encode_animated(
                &Animation { frames: Clone::clone(&frames), plays: 7 },
                quality,
                Deadline::none(),
            )
            .expect("a file");
            let header = webp::header(&file).expect("a header");
            let mut shown = Vec::new();
            let plays = webp::frames::frames(
                &file,
                &header,
                &Limits::default(),
                Deadline::none(),
                &mut |rgba, delay| {
                    shown.push(([rgba[0], rgba[1], rgba[2], rgba[3]], delay));
                    Ok(())
                },
            );
            assert_eq!((plays.expect("frames"), header.stored), (7, (40, 30)));
            // Two equal frames are joined.
            assert_eq!(
                shown.iter().map(|(_, delay)| *delay).collect::<Vec<_>>(),
                [70, 41, 5000],
                "{quality}"
            );
            for ((given, _), shown) in shown.iter().zip([colours[0], colours[1], colours[3]]) {
                assert!(
                    given.iter().zip(shown).all(|(a, b)| a.abs_diff(b) <= 6),
                    "{quality}: {given:?} {shown:?}"
                );
            }
        }
    }

    #[test]
    fn canvas_left_free_by_opaque_frames_sets_the_alpha_flag() {
        let framed = |colour: [u8; 4], alpha: u8| {
            let pixel = |x: usize| if (8..32).contains(&x) { colour } else { [0, 0, 0, alpha] };
            let rgba = (0..30).flat_map(|_| (0..40).flat_map(pixel)).collect();
            Frame { image: Image::new(40, 30, rgba).expect("an image"), delay: 50 }
        };
        for (alpha, quality) in [(0, 60), (0, 100), (255, 60)] {
            let frames =
                [[200, 30, 30, 255], [30, 200, 30, 255]].map(|colour| framed(colour, alpha)).to_vec();
            let file =
                encode_animated(&Animation { frames, plays: 0 }, quality, Deadline::none()).expect("a file");
            assert_eq!(
                (&file[12..16], file[20] & 0x10 != 0),
                (&b"VP8X"[..], alpha == 0),
                "{alpha} {quality}"
            );
        }
    }

    #[test]
    fn quality_counts_and_a_hundred_loses_nothing() {
        let wave =
            |x: u32, y: u32| [(x * x % 251) as u8, (x * y % 241) as u8, (y * 8) as u8, 255 - (x as u8)];
        let rgba = (0..30).flat_map(|y| (0..40).flat_map(move |x| wave(x, y))).collect();
        let image = Image::new(40, 30, rgba).expect("an image");
        let size = |quality| encode_still(&image, quality, Deadline::none()).expect("a file").len();
        assert!(size(5) < size(60) && size(60) < size(99));
        let file = encode_still(&image, LOSSLESS, Deadline::none()).expect("a file");
        let header = webp::header(&file).expect("a header");
        let back =
            webp::CODEC.picture(&file, &header, &Limits::default(), Deadline::none()).expect("a picture");
        assert_eq!(back, image);
    }
}
