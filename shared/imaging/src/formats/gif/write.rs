//! Writes GIF, still and animated.
//!
//! There are two encoders. [`encode_animated`] and [`encode_still`] are fast, dithered, and of the best quality that
//! GIF allows; they are for thumbnails of any size. [`within`] makes the best file of at most a given number of bytes;
//! it is for emoji. Both give a frame its own palette where the shared one is not good enough. Both write only the part
//! of a frame that differs from the screen, and leave nearly unchanged pixels in it transparent, so that still areas do
//! not flicker. Palettes and LZW codes are Darkroom's own, because [`within`] bases its choices on them.
//!
//! GIF's alpha has one bit. A pixel is opaque if its alpha is at least a half. It keeps its own colour and is not mixed
//! with a background, so edges are clean on any background, without fringes and without dithered holes.

mod budget;
mod choice;
mod delta;
mod dither;
mod file;
mod lzw;
mod palette;
#[cfg(test)]
mod tests;
mod timing;

use delta::{Screen, Solid, with_one_bit_alpha};
use file::{File, WrittenPicture};
use palette::{Histogram, MOST, Palette};

pub(crate) use self::budget::within;
use crate::{Deadline, Image, ImageError, TimedOut, animation::Animation};

/// Pixels between two checks of the deadline.
const PIXELS_PER_CHECK: usize = 1 << 14;

/// The part of the error that is diffused to the neighbours, in sixteenths.
const DITHER: u8 = 14;

/// How far each channel of a pixel may deviate before the pixel is drawn again.
const HOLD: u8 = 2;

/// The ratio of errors, shared palette to own palette, from which the own palette is worth its bytes.
const WORSE: f64 = 1.25;

/// Encodes a still.
///
/// # Errors
/// [`ImageError::TimeLimit`]. [`ImageError::Internal`] cannot occur for valid pixels.
pub(crate) fn encode_still(image: &Image, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
    encode_animated(&Animation::still(image.clone()), deadline)
}

/// Encodes every frame of an animation.
///
/// # Errors
/// [`ImageError::TimeLimit`]. [`ImageError::Internal`] cannot occur for valid frames.
pub(crate) fn encode_animated(animation: &Animation, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
    let failed = |error| ImageError::internal("encode", error);
    let first = animation.first()?;
    let width = u16::try_from(first.width()).map_err(failed)?;
    let height = u16::try_from(first.height()).map_err(failed)?;
    let schedule = timing::schedule(animation.frames.iter().map(|frame| frame.delay));
    let pixels =
        |index: usize| animation.frames.get(index).map(|frame| with_one_bit_alpha(frame.image.rgba()));

    let mut all = Histogram::new();
    for frame in &animation.frames {
        count(&mut all, &with_one_bit_alpha(frame.image.rgba()), deadline)?;
    }
    let mut shared = all.palette(MOST);
    let mut file = File::new(width, height, &shared.colours, repeats(animation.plays));
    let mut screen = Screen::new(width.into(), height.into());
    let mut pending: Option<Part> = None;
    let mut following = schedule.first().and_then(|&(index, _)| pixels(index));
    for (nth, &(_, delay)) in schedule.iter().enumerate() {
        deadline.check()?;
        let Some(frame) = following.take() else { break };
        following = schedule.get(nth + 1).and_then(|&(index, _)| pixels(index));
        let mut own = own_palette(&shared, &frame, animation.frames.len(), deadline)?;
        let palette = own.as_mut().unwrap_or(&mut shared);
        let delta = screen.draw(&frame, following.as_deref(), palette, nth == 0, deadline)?;
        match &mut pending {
            Some(part) if delta.area.is_empty() => part.delay = part.delay.saturating_add(delay),
            _ => {
                let transparent = palette.transparent();
                let own = own.map(|palette| palette.colours);
                if let Some(part) = pending.replace(Part { delta, delay, transparent, own }) {
                    write(&mut file, &part, deadline)?;
                }
            }
        }
    }
    if let Some(part) = pending {
        write(&mut file, &part, deadline)?;
    }
    Ok(file.finish())
}

/// A palette for this frame alone, if the shared one is not good enough.
fn own_palette(
    shared: &Palette,
    frame: &Solid,
    frames: usize,
    deadline: Deadline,
) -> Result<Option<Palette>, TimedOut> {
    if shared.exact || frames < 2 {
        return Ok(None);
    }
    let mut histogram = Histogram::new();
    count(&mut histogram, frame, deadline)?;
    let palette = histogram.palette(MOST);
    let worse = histogram.error(&shared.colours) > WORSE * histogram.error(&palette.colours);
    Ok(worse.then_some(palette))
}

fn count(histogram: &mut Histogram, frame: &Solid, deadline: Deadline) -> Result<(), TimedOut> {
    for pixels in frame.chunks(PIXELS_PER_CHECK) {
        deadline.check()?;
        pixels.iter().flatten().for_each(|&colour| histogram.add(colour, 1.0));
    }
    Ok(())
}

/// The repeat count to write: how often the animation is played after the first time.
fn repeats(plays: u32) -> Option<u16> {
    match plays {
        0 => Some(0),
        1 => None,
        plays => Some(u16::try_from(plays - 1).unwrap_or(u16::MAX)),
    }
}

/// A changed part of the screen, kept until its delay is known.
struct Part {
    delta: delta::Delta,
    delay: u16,
    transparent: u8,
    /// The part's own palette; `None` for the shared one.
    own: Option<Vec<[u8; 3]>>,
}

fn write(file: &mut File, part: &Part, deadline: Deadline) -> Result<(), TimedOut> {
    let most = part.delta.indices.iter().copied().max().unwrap_or(0);
    let code_size = (u8::BITS - most.leading_zeros()).max(2);
    file.picture(&WrittenPicture {
        area: part.delta.area,
        delay: part.delay,
        clear: part.delta.clear,
        own: part.own.as_deref(),
        transparent: part.transparent,
        code_size,
        codes: &lzw::encode(&part.delta.indices, code_size, deadline)?,
    });
    Ok(())
}
