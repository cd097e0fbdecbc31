//! Animations: each frame laid on the canvas where and how it says.

use super::{Container, corrupt, pixels};
use crate::{Deadline, ImageError, Limits, animation::EachFrame, header::Header};

/// What there is of the first frame, on its canvas.
pub(super) fn first(
    file: &Container<'_>,
    size: (u32, u32),
    limits: &Limits,
    deadline: Deadline,
) -> Result<Vec<u8>, ImageError> {
    let frame = file.frames().next().ok_or_else(corrupt)?;
    let picture = frame.picture.ok_or_else(corrupt)?;
    let (rgba, _) = pixels(&picture, limits, deadline)?;
    let mut canvas = Canvas::new(size);
    canvas.lay(&rgba, Area::of(frame.left, frame.top, picture.size), false);
    Ok(canvas.rgba)
}

/// Calls `each` with the whole canvas and the milliseconds of every frame, and returns how often it plays. The background is
/// transparent, whatever colour the file names: no browser shows that.
///
/// # Errors
/// Those of `each`; [`ImageError::Corrupt`] where there is no whole frame, [`ImageError::DecoderMemory`] or
/// [`ImageError::TimeLimit`].
pub(crate) fn frames(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
    each: &mut EachFrame<'_>,
) -> Result<u32, ImageError> {
    let file = Container::read(bytes);
    let mut canvas = Canvas::new(header.stored);
    let (mut shown, mut disposed) = (false, None);
    for frame in file.frames() {
        let Some(picture) = frame.picture else { break };
        let rgba = match pixels(&picture, limits, deadline) {
            Ok((rgba, true)) => rgba,
            Ok((_, false)) | Err(ImageError::Corrupt { .. }) => break,
            Err(error) => return Err(error),
        };
        if let Some(area) = disposed.take() {
            canvas.clear(area);
        }
        let area = Area::of(frame.left, frame.top, picture.size);
        canvas.lay(&rgba, area, frame.blends && picture.has_alpha);
        disposed = frame.disposes.then_some(area);
        each(&canvas.rgba, frame.delay)?;
        shown = true;
    }
    if shown { Ok(file.plays) } else { Err(corrupt()) }
}

/// A frame's place, in pixels.
#[derive(Clone, Copy)]
struct Area {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Area {
    fn of(left: u32, top: u32, (width, height): (u32, u32)) -> Self {
        Self { left: left as usize, top: top as usize, width: width as usize, height: height as usize }
    }
}

/// Straight-alpha RGBA pixels, transparent to begin with.
struct Canvas {
    rgba: Vec<u8>,
    width: usize,
}

impl Canvas {
    fn new((width, height): (u32, u32)) -> Self {
        let width = width as usize;
        Self { rgba: vec![0; width * height as usize * 4], width }
    }

    /// The rows of an area, as far as they lie on the canvas.
    fn rows(&mut self, area: Area) -> impl Iterator<Item = &mut [[u8; 4]]> {
        let (left, right) = (area.left.min(self.width), (area.left + area.width).min(self.width));
        let rows = self.rgba.as_chunks_mut::<4>().0.chunks_exact_mut(self.width);
        rows.skip(area.top).take(area.height).map(move |row| &mut row[left..right])
    }

    fn clear(&mut self, area: Area) {
        self.rows(area).for_each(|row| row.fill([0; 4]));
    }

    fn lay(&mut self, rgba: &[u8], area: Area, blend: bool) {
        let from = rgba.as_chunks::<4>().0.chunks_exact(area.width);
        for (to, from) in self.rows(area).zip(from) {
            if blend {
                to.iter_mut().zip(from).for_each(|(below, above)| *below = over(*above, *below));
            } else {
                to.copy_from_slice(&from[..to.len()]);
            }
        }
    }
}

/// A straight-alpha pixel over another (Porter and Duff).
fn over(above: [u8; 4], below: [u8; 4]) -> [u8; 4] {
    match (above[3], below[3]) {
        (255, _) | (_, 0) => above,
        (0, _) => below,
        (alpha, beneath) => {
            // Shares of the result in units of 1/255 of an alpha level: at most 255 × 255 together.
            let one = u32::from(alpha) * 255;
            let other = u32::from(beneath) * (255 - u32::from(alpha));
            let sum = one + other;
            let mix = |channel: usize| {
                let (a, b) = (u32::from(above[channel]), u32::from(below[channel]));
                ((a * one + b * other + sum / 2) / sum) as u8
            };
            [mix(0), mix(1), mix(2), ((sum + 127) / 255) as u8]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_over_half_is_three_quarters() {
        assert_eq!(over([200, 0, 0, 128], [0, 200, 0, 128]), [134, 66, 0, 192]);
        assert_eq!(over([1, 2, 3, 255], [9; 4]), [1, 2, 3, 255]);
        assert_eq!(over([1, 2, 3, 0], [9; 4]), [9; 4]);
        assert_eq!(over([1, 2, 3, 4], [9, 9, 9, 0]), [1, 2, 3, 4]);
        assert_eq!(over([100, 100, 100, 1], [100, 100, 100, 254])[..3], [100; 3]);
    }

    #[test]
    fn a_frame_that_lies_over_the_edge_is_cut_there() {
        let mut canvas = Canvas::new((3, 2));
        canvas.lay(&[7; 16], Area::of(2, 1, (2, 2)), false);
        let filled: Vec<bool> = canvas.rgba.as_chunks::<4>().0.iter().map(|pixel| pixel[3] != 0).collect();
        assert_eq!(filled, [false, false, false, false, false, true]);
        canvas.lay(&[7; 16], Area::of(8, 8, (2, 2)), true);
        canvas.clear(Area::of(2, 1, (2, 2)));
        assert!(canvas.rgba.iter().all(|&value| value == 0));
    }
}
