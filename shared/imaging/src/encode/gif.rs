//! GIF, still and animated.
//!
//! One palette serves all frames; of each frame only the part is written that differs from what is on the screen, in
//! which pixels that are as good as the same are left transparent, so that what stands still does not shimmer. The
//! palette is our own because it takes a few milliseconds for all frames together and needs no dependency; the codes
//! are, because they can write one colour for another that is close, which is what brings noisy animations into a
//! chat service's budget.

mod delta;
mod dither;
mod lzw;
mod palette;
#[cfg(test)]
mod tests;
mod timing;
mod write;

use delta::{Screen, Solid, solid};
use lzw::Loss;
use palette::{Histogram, Palette};
use write::{File, Picture};

use super::STEP;
use crate::{Deadline, Image, ImageError, TimedOut, animation::Animation};

/// The most colours that a picture can have.
pub(crate) const MAX_COLOURS: u16 = 256;

/// Pixels between two looks at the clock.
const PIXELS_PER_CHECK: usize = 1 << 14;

/// What may be given up for a smaller file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Look {
    /// Colours, 2–256, the transparent one among them.
    pub(crate) colours: u16,
    /// How much of the error is carried on to the neighbours, in sixteenths.
    pub(crate) dither: u8,
    /// How far each channel of a pixel may go before it is drawn anew.
    pub(crate) hold: u8,
    /// How far a colour may be from the one that is written for it, squared.
    pub(crate) loss: f32,
}

impl Look {
    /// As good as it gets in so many colours.
    pub(crate) fn of(colours: u16) -> Self {
        Self { colours, dither: 14, hold: 2, loss: 0.0 }
    }
}

/// A picture that does not move.
///
/// # Errors
/// [`ImageError::TimeLimit`], and [`ImageError::Internal`], which valid pixels do not bring about.
pub(crate) fn still(image: &Image, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
    animated(&Animation::still(image.clone()), MAX_COLOURS, deadline)
}

/// Every frame, in at most so many colours (2–256), the transparent one among them.
///
/// # Errors
/// [`ImageError::TimeLimit`], and [`ImageError::Internal`], which valid frames do not bring about.
pub(crate) fn animated(
    animation: &Animation,
    colours: u16,
    deadline: Deadline,
) -> Result<Vec<u8>, ImageError> {
    looking(animation, &Look::of(colours), deadline)
}

/// The same, with what is given up said in full.
pub(crate) fn looking(animation: &Animation, look: &Look, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
    let failed = |error| ImageError::internal(STEP, error);
    let first = animation.frames.first().ok_or_else(|| ImageError::internal(STEP, "no frames"))?;
    let width = u16::try_from(first.image.width()).map_err(failed)?;
    let height = u16::try_from(first.image.height()).map_err(failed)?;
    let schedule = timing::schedule(animation.frames.iter().map(|frame| frame.delay));
    let pixels = |index: usize| animation.frames.get(index).map(|frame| solid(frame.image.rgba()));

    let mut palette = palette(animation, look.colours, deadline)?;
    let mut file = File::new(width, height, &palette, repeats(animation.plays));
    let mut screen = Screen::new(width.into(), height.into());
    let mut pending: Option<Part> = None;
    let mut following = schedule.first().and_then(|&(index, _)| pixels(index));
    for (nth, &(_, delay)) in schedule.iter().enumerate() {
        deadline.check()?;
        let Some(frame) = following.take() else { break };
        following = schedule.get(nth + 1).and_then(|&(index, _)| pixels(index));
        let delta = screen.draw(&frame, following.as_deref(), &mut palette, look, nth == 0, deadline)?;
        match &mut pending {
            Some(part) if delta.area.is_empty() => part.delay = part.delay.saturating_add(delay),
            _ => {
                if let Some(part) = pending.replace(Part { delta, delay }) {
                    write(&mut file, &part, &palette, look, deadline)?;
                }
            }
        }
    }
    if let Some(part) = pending {
        write(&mut file, &part, &palette, look, deadline)?;
    }
    Ok(file.finish())
}

/// How often to show the animation after the first time.
fn repeats(plays: u32) -> Option<u16> {
    match plays {
        0 => Some(0),
        1 => None,
        plays => Some(u16::try_from(plays - 1).unwrap_or(u16::MAX)),
    }
}

/// The colours for all frames.
fn palette(animation: &Animation, colours: u16, deadline: Deadline) -> Result<Palette, ImageError> {
    let mut histogram = Histogram::new();
    for frame in &animation.frames {
        let solid: Box<Solid> = solid(frame.image.rgba());
        for pixels in solid.chunks(PIXELS_PER_CHECK) {
            deadline.check()?;
            pixels.iter().flatten().for_each(|&colour| histogram.add(colour));
        }
    }
    Ok(histogram.palette(usize::from(colours.clamp(2, MAX_COLOURS)) - 1))
}

/// A part of the screen, until it is known for how long it is shown.
struct Part {
    delta: delta::Delta,
    delay: u16,
}

fn write(
    file: &mut File,
    part: &Part,
    palette: &Palette,
    look: &Look,
    deadline: Deadline,
) -> Result<(), TimedOut> {
    let most = part.delta.indices.iter().copied().max().unwrap_or(0);
    let code_size = (u8::BITS - most.leading_zeros()).max(2);
    let loss = Loss { palette, most: look.loss };
    let codes = lzw::encode(&part.delta.indices, code_size, (look.loss > 0.0).then_some(&loss), deadline)?;
    file.picture(&Picture {
        area: part.delta.area,
        delay: part.delay,
        clear: part.delta.clear,
        transparent: palette.transparent(),
        code_size,
        codes: &codes,
    });
    Ok(())
}
