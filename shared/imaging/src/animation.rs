//! Animations. Each frame is resampled to the thumbnail's size as soon as it is decoded, so only one full-size canvas
//! is in memory at a time.

use crate::{Deadline, Image, ImageError, Limits, colour, header::Header, pixels, resize, resize::View};

/// One frame as it is shown: the whole canvas, not only the part that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) image: Image,
    /// How long the frame is shown, in milliseconds.
    pub(crate) delay: u32,
}

/// Frames that all have the same size. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Animation {
    pub(crate) frames: Vec<Frame>,
    /// How often the animation is played; 0 means for ever.
    pub(crate) plays: u32,
}

/// The function that a decoder calls for every frame, with the whole canvas (straight-alpha RGBA as stored) and the
/// milliseconds for which it is shown.
pub(crate) type EachFrame<'a> = dyn FnMut(&[u8], u32) -> Result<(), ImageError> + 'a;

impl Animation {
    /// Wraps a picture that does not move.
    pub(crate) fn still(image: Image) -> Self {
        Self { frames: vec![Frame { image, delay: 0 }], plays: 1 }
    }

    /// Returns the first frame.
    pub(crate) fn first(&self) -> Result<&Image, ImageError> {
        let first = self.frames.first().ok_or_else(|| ImageError::internal("animation", "no frames"))?;
        Ok(&first.image)
    }

    /// Applies a function to the pixels of every frame.
    pub(crate) fn map(
        self,
        change: impl Fn(&mut [u8]) -> Result<(), ImageError>,
    ) -> Result<Self, ImageError> {
        let changed = |Frame { image, delay }| {
            let (width, height) = (image.width(), image.height());
            let mut rgba = image.into_rgba();
            change(&mut rgba)?;
            let image = Image::new(width, height, rgba)
                .ok_or_else(|| ImageError::internal("colour", "an empty result"))?;
            Ok(Frame { image, delay })
        };
        Ok(Self { frames: self.frames.into_iter().map(changed).collect::<Result<_, ImageError>>()?, ..self })
    }

    /// Converts every frame to sRGB, if there is an ICC profile to convert from.
    pub(crate) fn in_srgb(self, profile: Option<&[u8]>, deadline: Deadline) -> Result<Self, ImageError> {
        match profile {
            Some(profile) => self.map(|rgba| colour::to_srgb(rgba, profile, deadline)),
            None => Ok(self),
        }
    }

    /// Appends a frame. A frame equal to the previous one only makes that one last longer.
    fn push(&mut self, image: Image, delay: u32) {
        match self.frames.last_mut() {
            Some(last) if last.image == image => last.delay = last.delay.saturating_add(delay),
            _ => self.frames.push(Frame { image, delay }),
        }
    }
}

/// Resamples every frame to the view, in stored orientation and before the conversion to sRGB. `frames` runs the
/// decoder: it calls the given function for every frame and returns how often the animation is played.
///
/// # Errors
/// Those of `frames`.
pub(crate) fn of_frames(
    header: &Header,
    view: View,
    deadline: Deadline,
    frames: impl FnOnce(&mut EachFrame<'_>) -> Result<u32, ImageError>,
) -> Result<Animation, ImageError> {
    let mut animation = Animation { frames: Vec::new(), plays: 1 };
    animation.plays = frames(&mut |canvas: &[u8], delay: u32| {
        deadline.check()?;
        animation.push(resample_canvas(canvas, header, view, deadline)?, browser_delay(delay));
        Ok(())
    })?;
    Ok(animation)
}

/// Holds the memory of decoding and of all the frames' thumbnails against the limit. The error is that of the thumbnail
/// where decoding alone would fit, because a smaller thumbnail would then do.
///
/// # Errors
/// [`ImageError::DecoderMemory`] or [`ImageError::ThumbnailTooLarge`].
pub(crate) fn check_memory(
    decoding: u64,
    frames: u32,
    view: View,
    limits: &Limits,
) -> Result<(), ImageError> {
    const RGBA: u64 = 4;
    limits.check_memory(decoding)?;
    let View { width, height, .. } = view;
    let left = limits.max_decoder_bytes.saturating_sub(decoding);
    if (u64::from(width) * u64::from(height) * RGBA).saturating_mul(frames.into()) > left {
        let max = left / RGBA;
        return Err(ImageError::ThumbnailTooLarge { width, height, frames, max });
    }
    Ok(())
}

/// How long browsers show a frame, whatever its format: they take 10 ms and less for a mistake and show such a frame
/// for 100 ms (Chromium's `DeferredImageDecoder::FrameDurationAtIndex`, Firefox's `FrameTimeout::Normalized`, WebKit's
/// `ImageSource`).
fn browser_delay(delay: u32) -> u32 {
    if delay <= 10 { 100 } else { delay }
}

/// Resamples the part of a canvas that the view shows.
fn resample_canvas(
    canvas: &[u8],
    header: &Header,
    view: View,
    deadline: Deadline,
) -> Result<Image, ImageError> {
    let (width, height) = header.stored;
    let crop = header.orientation.stored_crop(view.crop, width, height);
    let (w, h) = header.orientation.upright_size(view.width, view.height);
    let has_alpha = !pixels::is_opaque(canvas);
    let rgba = resize::resample_rgba(canvas, header.stored, crop, (w, h), has_alpha, deadline)?;
    Image::new(view.width, view.height, header.orientation.apply(rgba, w, h))
        .ok_or_else(|| ImageError::internal("resize", "an empty result"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crop::Crop,
        formats::{self, Codec, gif, png, webp},
    };

    /// An animation, and the strip of its frames as Pillow shows them, one below the other.
    macro_rules! sample {
        ($name:literal) => {
            (
                $name,
                include_bytes!(concat!("../tests/promises/samples/animations/", $name)).as_slice(),
                include_bytes!(concat!("../tests/promises/samples/animations/", $name, ".strip.png"))
                    .as_slice(),
            )
        };
    }

    const DEFAULT_IMAGE: &[u8] = include_bytes!("../tests/promises/samples/animations/default-image.png");

    fn opened(bytes: &[u8]) -> Header {
        let codec = codec(bytes);
        codec.read_header(bytes, &Limits::default(), Deadline::none()).expect("good headers")
    }

    fn codec(bytes: &[u8]) -> &'static Codec {
        formats::identify(bytes).expect("a known kind").0
    }

    fn at_size(bytes: &[u8], size: Option<(u32, u32)>) -> Result<Animation, ImageError> {
        let header = opened(bytes);
        let (width, height) = size.unwrap_or(header.stored);
        let view = View { crop: Crop::whole(header.stored), width, height };
        codec(bytes).view_of_frames(bytes, &header, view, &Limits::default(), Deadline::none())
    }

    fn still(bytes: &[u8]) -> Image {
        codec(bytes)
            .picture(bytes, &opened(bytes), &Limits::default(), Deadline::none())
            .expect("a good file")
    }

    #[test]
    fn frames_are_composed_as_another_decoder_composes_them() {
        for (name, bytes, strip) in [
            sample!("disposal-0.gif"),
            sample!("disposal-1.gif"),
            sample!("disposal-2.gif"),
            sample!("disposal-3.gif"),
            sample!("interlaced.gif"),
            sample!("blend-0-dispose-0.png"),
            sample!("blend-0-dispose-1.png"),
            sample!("blend-0-dispose-2.png"),
            sample!("blend-1-dispose-0.png"),
            sample!("blend-1-dispose-1.png"),
            sample!("grey.png"),
        ] {
            let animation = at_size(bytes, None).expect("a good file");
            let strip = still(strip);
            let frame = animation.frames[0].image.rgba().len();
            let wanted: Vec<&[u8]> = strip.rgba().chunks(frame).collect();
            assert_eq!(animation.frames.len(), wanted.len(), "{name}");
            for (nth, (shown, wanted)) in animation.frames.iter().zip(wanted).enumerate() {
                for (shown, wanted) in
                    shown.image.rgba().as_chunks::<4>().0.iter().zip(wanted.as_chunks::<4>().0)
                {
                    let close = shown.iter().zip(wanted).all(|(a, b)| a.abs_diff(*b) <= 1);
                    assert!(
                        close || (shown[3], wanted[3]) == (0, 0),
                        "{name}, frame {nth}: {shown:?} {wanted:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn times_and_plays_are_the_files() {
        for (name, bytes, plays) in [
            // A GIF's loop count does not include the first showing.
            ("GIF", sample!("disposal-2.gif").1, 4),
            ("PNG", sample!("blend-1-dispose-1.png").1, 3),
        ] {
            let animation = at_size(bytes, None).expect("a good file");
            let delays: Vec<u32> = animation.frames.iter().map(|frame| frame.delay).collect();
            assert_eq!((delays, animation.plays), (vec![40, 50, 60, 70, 80], plays), "{name}");
        }
    }

    #[test]
    fn a_default_image_that_is_no_frame_is_left_out() {
        let animation = at_size(DEFAULT_IMAGE, None).expect("a good file");
        assert_eq!(animation.frames.len(), 4);
        let first = still(DEFAULT_IMAGE);
        assert!(animation.frames.iter().all(|frame| frame.image != first));
    }

    #[test]
    fn delays_that_browsers_take_for_a_mistake_become_a_tenth_of_a_second() {
        assert_eq!([0, 10, 11, 20, 5000].map(browser_delay), [100, 100, 11, 20, 5000]);
    }

    #[test]
    fn equal_thumbnails_in_a_row_are_one_that_is_shown_for_longer() {
        let (_, bytes, _) = sample!("disposal-2.gif");
        let dots = at_size(bytes, Some((1, 1))).expect("a good file");
        let all = at_size(bytes, None).expect("a good file");
        let duration = |animation: &Animation| animation.frames.iter().map(|frame| frame.delay).sum::<u32>();
        assert_eq!(duration(&dots), duration(&all));
        assert!(dots.frames.windows(2).all(|pair| pair[0].image != pair[1].image));
    }

    #[test]
    fn a_file_cut_short_anywhere_shows_its_first_frames_or_is_refused() {
        for (name, bytes, _) in [sample!("disposal-3.gif"), sample!("blend-0-dispose-2.png")] {
            let whole = at_size(bytes, None).expect("a good file");
            let mut most = 0;
            for end in 60..bytes.len() {
                let cut = &bytes[..end];
                let Ok((codec, _)) = formats::identify(cut) else { continue };
                let limits = Limits::default();
                let Ok(header) = codec.read_header(cut, &limits, Deadline::none()) else { continue };
                let (width, height) = header.stored;
                let view = View { crop: Crop::whole(header.stored), width, height };
                match codec.view_of_frames(cut, &header, view, &limits, Deadline::none()) {
                    Ok(shown) => {
                        let same =
                            shown.frames.iter().zip(&whole.frames).skip(1).all(|(a, b)| a.image == b.image);
                        assert!(same, "{name}, {end} bytes");
                        most = most.max(shown.frames.len());
                    }
                    Err(error) => {
                        assert!(matches!(error, ImageError::Corrupt { .. }), "{name}, {end} bytes: {error}");
                    }
                }
            }
            assert!(most >= whole.frames.len() - 1, "{name}: {most}");
        }
    }

    #[test]
    fn a_canvas_counts_for_what_its_format_holds() {
        for (codec, extra_bytes_per_pixel, bytes) in
            [(&png::CODEC, 0, 16), (&gif::CODEC, 1, 9), (&webp::CODEC, 8, 12)]
        {
            let (_, file, _) = sample!("disposal-2.gif");
            let header = Header {
                extra_bytes_per_pixel,
                stored: (100, 100),
                frames: 3,
                largest_frame: (90, 100),
                ..opened(file)
            };
            let view = View { crop: Crop::whole(header.stored), width: 10, height: 10 };
            let at = |max_decoder_bytes| {
                let animation = codec.animation.as_ref().expect("animations are read");
                let limits = Limits { max_decoder_bytes, ..Limits::default() };
                check_memory((animation.memory)(&header), header.frames, view, &limits)
            };
            let canvas = 100 * 100 * bytes;
            assert!(matches!(at(canvas - 1), Err(ImageError::DecoderMemory { .. })), "{codec:?}");
            let thumbnails = 10 * 10 * 4 * 3;
            for max in [canvas, canvas + thumbnails - 1] {
                assert!(matches!(at(max), Err(ImageError::ThumbnailTooLarge { .. })), "{codec:?}");
            }
            assert!(at(canvas + thumbnails).is_ok(), "{codec:?}");
        }
    }

    #[test]
    fn limits_hold_before_memory_is_taken() {
        let (_, bytes, _) = sample!("disposal-2.gif");
        let header = opened(bytes);
        let view = View { crop: Crop::whole(header.stored), width: 4096, height: 4096 };
        let refused = codec(bytes).view_of_frames(
            bytes,
            &header,
            view,
            &Limits { max_decoder_bytes: 1 << 20, ..Limits::default() },
            Deadline::none(),
        );
        assert!(matches!(refused, Err(ImageError::ThumbnailTooLarge { width: 4096, .. })), "{refused:?}");
        let late = codec(bytes).view_of_frames(
            bytes,
            &header,
            view,
            &Limits::default(),
            Deadline::after(std::time::Duration::ZERO),
        );
        assert!(matches!(late, Err(ImageError::TimeLimit(_))));
    }
}
