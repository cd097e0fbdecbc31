//! The canvas on which an animation's frames are drawn.

use crate::alpha;

/// A rectangle on the canvas. It may reach beyond the canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) left: u32,
    pub(crate) top: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Area {
    pub(crate) fn pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }
}

/// How a frame is disposed of before the next one is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Disposal {
    #[default]
    Keep,
    /// The frame's area becomes transparent.
    Clear,
    /// The frame's area becomes what it was before the frame.
    Restore,
}

/// The canvas of an animation, in straight-alpha RGBA. It starts transparent.
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    pub(crate) rgba: Vec<u8>,
    /// The pixels under the last frame, if that frame is to be undone.
    kept: Vec<u8>,
    last: Option<(Area, Disposal)>,
}

impl Canvas {
    pub(crate) fn new((width, height): (u32, u32)) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self { width, height, rgba: vec![0; width * height * 4], kept: Vec::new(), last: None }
    }

    /// Disposes of the last frame, and remembers how the next one wants to be disposed of.
    pub(crate) fn begin(&mut self, area: Area, disposal: Disposal) {
        if let Some((last, how)) = self.last {
            self.dispose(last, how);
        }
        if disposal == Disposal::Restore {
            self.keep(area);
        }
        self.last = Some((area, disposal));
    }

    /// The pixels of row `y` of the area, as far as they lie on the canvas.
    pub(crate) fn row(&mut self, area: Area, y: usize) -> &mut [[u8; 4]] {
        let (left, y) = (self.width.min(area.left as usize), y + area.top as usize);
        if y >= self.height {
            return &mut [];
        }
        let across = (self.width - left).min(area.width as usize);
        &mut self.rgba.as_chunks_mut::<4>().0[y * self.width + left..][..across]
    }

    /// Draws a frame's pixels on its area. With `blend` they are composited over what is there, otherwise they replace
    /// it.
    pub(crate) fn lay(&mut self, area: Area, pixels: &[[u8; 4]], blend: bool) {
        let rows = pixels.chunks(area.width.max(1) as usize).take(area.height as usize);
        for (y, from) in rows.enumerate() {
            for (under, &above) in self.row(area, y).iter_mut().zip(from) {
                *under = if blend { laid_over(above, *under) } else { above };
            }
        }
    }

    /// The rows of the area that lie on the canvas.
    fn rows(&self, area: Area) -> std::ops::Range<usize> {
        0..(area.height as usize).min(self.height.saturating_sub(area.top as usize))
    }

    fn keep(&mut self, area: Area) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.clear();
        for y in self.rows(area) {
            kept.extend_from_slice(self.row(area, y).as_flattened());
        }
        self.kept = kept;
    }

    fn dispose(&mut self, area: Area, how: Disposal) {
        match how {
            Disposal::Keep => {}
            Disposal::Clear => {
                for y in self.rows(area) {
                    self.row(area, y).fill([0; 4]);
                }
            }
            Disposal::Restore => {
                let kept = std::mem::take(&mut self.kept);
                let mut rest = kept.as_chunks::<4>().0;
                for y in self.rows(area) {
                    let row = self.row(area, y);
                    let (was, others) = rest.split_at(rest.len().min(row.len()));
                    row[..was.len()].copy_from_slice(was);
                    rest = others;
                }
                self.kept = kept;
            }
        }
    }
}

/// Composites one pixel over another. Over a fully transparent pixel the upper one is kept as it is, even if it is
/// itself transparent.
fn laid_over(above: [u8; 4], below: [u8; 4]) -> [u8; 4] {
    if above[3] == u8::MAX || below[3] == 0 { above } else { alpha::over(above, below) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(canvas: &Canvas) -> Vec<u8> {
        canvas.rgba.iter().copied().step_by(4).collect()
    }

    #[test]
    fn frames_are_kept_cleared_or_undone_within_the_canvas() {
        let mut canvas = Canvas::new((3, 2));
        let mut draw = |area: Area, disposal: Disposal, colour: u8| {
            canvas.begin(area, disposal);
            for y in 0..area.height as usize {
                canvas.row(area, y).fill([colour; 4]);
            }
            shown(&canvas)
        };
        let area = |left, top, width, height| Area { left, top, width, height };
        assert_eq!(draw(area(0, 0, 3, 2), Disposal::Keep, 1), [1, 1, 1, 1, 1, 1]);
        assert_eq!(draw(area(1, 1, 9, 9), Disposal::Restore, 2), [1, 1, 1, 1, 2, 2]);
        assert_eq!(draw(area(0, 0, 1, 1), Disposal::Clear, 3), [3, 1, 1, 1, 1, 1]);
        assert_eq!(draw(area(7, 7, 1, 1), Disposal::Restore, 4), [0, 1, 1, 1, 1, 1]);
        assert_eq!(draw(area(2, 0, u32::MAX, 1), Disposal::Keep, 5), [0, 1, 5, 1, 1, 1]);
    }

    #[test]
    fn pixels_are_composited_with_straight_alpha() {
        for (above, below, expected) in [
            ([200, 0, 0, 128], [0, 200, 0, 128], [134, 66, 0, 192]),
            ([20, 90, 200, 128], [255; 4], [137, 172, 227, 255]),
            ([1, 2, 3, 255], [9; 4], [1, 2, 3, 255]),
            ([1, 2, 3, 0], [9; 4], [9; 4]),
            // A pixel over nothing keeps its colour, even where it cannot be seen.
            ([1, 2, 3, 4], [9, 9, 9, 0], [1, 2, 3, 4]),
            ([9, 9, 9, 0], [0; 4], [9, 9, 9, 0]),
        ] {
            assert_eq!(laid_over(above, below), expected);
        }
        assert_eq!(laid_over([100, 100, 100, 1], [100, 100, 100, 254])[..3], [100; 3]);
    }

    #[test]
    fn a_frame_that_lies_over_the_edge_is_cut_there() {
        let mut canvas = Canvas::new((3, 2));
        let at = |left, top| Area { left, top, width: 2, height: 2 };
        canvas.begin(at(2, 1), Disposal::Clear);
        canvas.lay(at(2, 1), &[[7; 4]; 4], false);
        let filled: Vec<bool> = canvas.rgba.as_chunks::<4>().0.iter().map(|pixel| pixel[3] != 0).collect();
        assert_eq!(filled, [false, false, false, false, false, true]);
        canvas.begin(at(8, 8), Disposal::Keep);
        canvas.lay(at(8, 8), &[[7; 4]; 4], true);
        assert!(canvas.rgba.iter().all(|&value| value == 0));
    }
}
