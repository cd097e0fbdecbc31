//! Animations: every frame at the thumbnail's size, with one canvas in memory at a time.

use crate::{
    Deadline, Format, Image, ImageError, Limits,
    decode::{self, apng, gif},
    header::Header,
    resize,
    thumbnail::View,
};

/// A frame as it is shown: all of it, not what changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) image: Image,
    /// Milliseconds until the next one.
    pub(crate) delay: u32,
}

/// Frames of one size, of which there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Animation {
    pub(crate) frames: Vec<Frame>,
    /// How often it is shown; 0 is for ever.
    pub(crate) plays: u32,
}

impl Animation {
    /// A picture that does not move.
    pub(crate) fn still(image: Image) -> Self {
        Self { frames: vec![Frame { image, delay: 0 }], plays: 1 }
    }

    /// Appends a frame; one like the last is the last one shown for longer.
    fn push(&mut self, image: Image, delay: u32) {
        match self.frames.last_mut() {
            Some(last) if last.image == image => last.delay = last.delay.saturating_add(delay),
            _ => self.frames.push(Frame { image, delay }),
        }
    }
}

/// What the view shows of each frame, upright and in sRGB; of a file that does not move, the one picture.
///
/// # Errors
/// [`ImageError::Corrupt`] where there is no frame at all, [`ImageError::UnsupportedFeature`],
/// [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`].
pub(crate) fn animated(
    bytes: &[u8],
    header: &Header,
    view: View,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Animation, ImageError> {
    deadline.check()?;
    check_memory(header, view, limits)?;
    let mut animation = Animation { frames: Vec::new(), plays: 1 };
    let mut each = |canvas: &[u8], delay: u32| {
        deadline.check()?;
        animation.push(shown(canvas, header, view)?, as_played(delay));
        Ok(())
    };
    let plays = match header.format {
        Format::Gif => gif::frames(bytes, header, deadline, &mut each)?,
        Format::Png => apng::frames(bytes, header, limits, deadline, &mut each)?,
        _ => return Ok(Animation::still(view.from(&decode::decode(bytes, header, limits, deadline)?)?)),
    };
    animation.plays = plays;
    if animation.frames.is_empty() {
        return Err(ImageError::Corrupt { format: header.format, source: None });
    }
    Ok(animation)
}

/// A canvas, what it was before, a frame in the decoder's own samples, and every thumbnail.
fn check_memory(header: &Header, view: View, limits: &Limits) -> Result<(), ImageError> {
    const RGBA: u64 = 4;
    let area = |(w, h)| u64::from(w) * u64::from(h);
    let canvas = area(header.stored) * (3 * RGBA + header.beside);
    let thumbnails = area((view.width, view.height)) * RGBA * u64::from(header.frames);
    limits.check_memory(canvas.saturating_add(thumbnails))
}

/// How long browsers show a frame: Chromium, Firefox and WebKit take 10 ms and less for a slip, and make it 100 ms.
fn as_played(delay: u32) -> u32 {
    if delay <= 10 { 100 } else { delay }
}

/// What the view shows of a canvas.
fn shown(canvas: &[u8], header: &Header, view: View) -> Result<Image, ImageError> {
    let (width, height) = header.stored;
    let crop = header.orientation.stored_crop(view.crop, width, height);
    let (w, h) = header.orientation.upright_size(view.width, view.height);
    let rgba = resize::resample_rgba(canvas, header.stored, crop, w, h)?;
    Image::new(view.width, view.height, header.orientation.apply(rgba, w, h))
        .ok_or_else(|| ImageError::internal("resize", "an empty result"))
}
