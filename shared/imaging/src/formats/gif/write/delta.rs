//! Finds the part of a frame that must be written, given what is on the screen. Nearly unchanged pixels are left, the
//! others are mapped to the palette, and what becomes transparent is cleared by disposing of the previous frame.

use super::{DITHER, HOLD, dither::Diffusion, palette::Palette};
use crate::{Deadline, TimedOut};

/// The pixels of a frame, each a colour or transparent.
pub(super) type Solid = [Option<[u8; 3]>];

/// A part of the screen, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) right: usize,
    pub(super) bottom: usize,
}

impl Area {
    const NOTHING: Self = Self { left: usize::MAX, top: usize::MAX, right: 0, bottom: 0 };

    pub(super) fn whole(width: usize, height: usize) -> Self {
        Self { left: 0, top: 0, right: width, bottom: height }
    }

    /// The smallest area that contains every pixel for which `holds` is true.
    pub(super) fn of(width: usize, height: usize, holds: impl Fn(usize) -> bool) -> Self {
        let mut area = Self::NOTHING;
        for y in 0..height {
            let row = y * width..(y + 1) * width;
            let Some(first) = row.clone().find(|&at| holds(at)) else { continue };
            let last = row.rev().find(|&at| holds(at)).unwrap_or(first);
            area = area.and(Self {
                left: first - y * width,
                top: y,
                right: last + 1 - y * width,
                bottom: y + 1,
            });
        }
        area
    }

    /// The smallest area that contains both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left >= self.right || self.top >= self.bottom
    }
}

/// The contents of the screen.
pub(super) struct Screen {
    width: usize,
    height: usize,
    /// The palette colour that each pixel shows; `None` if it is transparent.
    shown: Vec<Option<[u8; 3]>>,
    /// The original colour that each palette colour stands for.
    meant: Vec<[u8; 3]>,
    /// Whether something was cleared since the last frame, so that a frame must be written even if it draws nothing.
    cleared: bool,
}

/// The part of a frame to write.
pub(super) struct Delta {
    pub(super) area: Area,
    /// Palette indices, row by row; the index after the last colour is transparent.
    pub(super) indices: Vec<u8>,
    /// Whether the area is cleared before the next frame.
    pub(super) clear: bool,
}

/// The pixels of a frame; those with an alpha below a half are transparent.
pub(super) fn with_one_bit_alpha(rgba: &[u8]) -> Box<Solid> {
    rgba.as_chunks::<4>().0.iter().map(|&[r, g, b, a]| (a >= 128).then_some([r, g, b])).collect()
}

impl Screen {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            shown: vec![None; width * height],
            meant: vec![[0; 3]; width * height],
            cleared: false,
        }
    }

    /// Draws a frame on the screen and returns the part of it to write. `next` is the frame after it.
    pub(super) fn draw(
        &mut self,
        frame: &Solid,
        next: Option<&Solid>,
        palette: &mut Palette,
        whole: bool,
        deadline: Deadline,
    ) -> Result<Delta, TimedOut> {
        deadline.check()?;
        let (width, height) = (self.width, self.height);
        let new: Vec<bool> = (0..frame.len()).map(|at| self.differs(at, frame[at])).collect();
        let vanishes = |at: usize| frame[at].is_some() && next.is_some_and(|next| next[at].is_none());
        let gone = Area::of(width, height, vanishes);
        let mut area = Area::of(width, height, |at| new[at]).and(gone);
        if whole {
            area = Area::whole(width, height);
        } else if self.cleared && area.is_empty() {
            area = Area::whole(1, 1);
        }
        self.cleared = !gone.is_empty();
        let mut delta = Delta { area, indices: Vec::new(), clear: self.cleared };
        if area.is_empty() {
            return Ok(delta);
        }
        let across = area.right - area.left;
        let transparent = palette.transparent();
        delta.indices = vec![transparent; across * (area.bottom - area.top)];
        let mut diffusion = Diffusion::new(across, DITHER);
        for (y, row) in (area.top..area.bottom).zip(delta.indices.chunks_exact_mut(across)) {
            deadline.check()?;
            diffusion.row(|x, error| {
                let at = y * width + area.left + x;
                let Some(wanted) = frame[at].filter(|_| new[at]) else { return [0; 3] };
                self.meant[at] = wanted;
                let sought: [i32; 3] =
                    std::array::from_fn(|c| (i32::from(wanted[c]) + error[c]).clamp(0, 255));
                let index = palette.nearest(sought.map(|value| value as u8));
                let colour = palette.colours[usize::from(index)];
                if self.shown[at] != Some(colour) {
                    self.shown[at] = Some(colour);
                    row[x] = index;
                }
                std::array::from_fn(|c| sought[c] - i32::from(colour[c]))
            });
        }
        if delta.clear {
            for y in area.top..area.bottom {
                self.shown[y * width..][area.left..area.right].fill(None);
            }
        }
        Ok(delta)
    }

    /// Whether a pixel must be drawn.
    fn differs(&self, at: usize, wanted: Option<[u8; 3]>) -> bool {
        match (wanted, self.shown[at]) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(wanted), Some(_)) => wanted.iter().zip(self.meant[at]).any(|(a, b)| a.abs_diff(b) > HOLD),
        }
    }
}
