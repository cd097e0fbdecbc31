//! GIF, still and animated.
//!
//! There are two ways to one. [`animated`] and [`still`] are quick, as good as GIF gets, and dithered: for thumbnails of
//! any size. [`within`] makes the best of a number of bytes: for emoji. In both a frame has a palette of its own where
//! that of all frames will not do, and of each frame only the part is written that differs from what is on the screen,
//! in which pixels that are as good as the same are left transparent, so that what stands still does not shimmer.
//! Palettes and codes are our own: they take a few milliseconds, need no dependency, and are what [`within`] chooses by.
//!
//! GIF's alpha is one bit. A pixel is shown where its alpha is a half or more, in its own colour, unmixed with whatever
//! is behind: edges are clean on any ground, without a fringe and without dithered holes.

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

use delta::{Screen, Solid, solid};
use file::{File, Picture};
use palette::{Histogram, MOST, Palette};

pub(crate) use self::budget::within;
use crate::{Deadline, Image, ImageError, TimedOut, animation::Animation};

/// Pixels between two looks at the clock.
const PIXELS_PER_CHECK: usize = 1 << 14;

/// How much of the error is carried on to the neighbours, in sixteenths.
const DITHER: u8 = 14;

/// How far each channel of a pixel may go before it is drawn anew.
const HOLD: u8 = 2;

/// By how much the error of the shared colours must exceed that of a frame's own for these to be worth their bytes.
const WORSE: f64 = 1.25;

/// A picture that does not move.
///
/// # Errors
/// [`ImageError::TimeLimit`], and [`ImageError::Internal`], which valid pixels do not bring about.
pub(crate) fn still(image: &Image, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
    animated(&Animation::still(image.clone()), deadline)
}

/// Every frame.
///
/// # Errors
/// [`ImageError::TimeLimit`], and [`ImageError::Internal`], which valid frames do not bring about.
pub(crate) fn animated(animation: &Animation, deadline: Deadline) -> Result<Vec<u8>, ImageError> {
    let failed = |error| ImageError::internal("encode", error);
    let first = animation.first()?;
    let width = u16::try_from(first.width()).map_err(failed)?;
    let height = u16::try_from(first.height()).map_err(failed)?;
    let schedule = timing::schedule(animation.frames.iter().map(|frame| frame.delay));
    let pixels = |index: usize| animation.frames.get(index).map(|frame| solid(frame.image.rgba()));

    let mut all = Histogram::new();
    for frame in &animation.frames {
        count(&mut all, &solid(frame.image.rgba()), deadline)?;
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
        let mut own = own(&shared, &frame, animation.frames.len(), deadline)?;
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

/// The palette of a frame's own, where the one that all share will not do.
fn own(
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

/// How often to show the animation after the first time.
fn repeats(plays: u32) -> Option<u16> {
    match plays {
        0 => Some(0),
        1 => None,
        plays => Some(u16::try_from(plays - 1).unwrap_or(u16::MAX)),
    }
}

/// A part of the screen, until it is known for how long it is shown.
struct Part {
    delta: delta::Delta,
    delay: u16,
    transparent: u8,
    /// Its own colours; `None` for the shared ones.
    own: Option<Vec<[u8; 3]>>,
}

fn write(file: &mut File, part: &Part, deadline: Deadline) -> Result<(), TimedOut> {
    let most = part.delta.indices.iter().copied().max().unwrap_or(0);
    let code_size = (u8::BITS - most.leading_zeros()).max(2);
    file.picture(&Picture {
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
