//! A grey picture, with values between its pixels.

use std::ops::Range;

use imaging::{Deadline, TimedOut};

use crate::pace::Looks;

/// The number of pixels that are drawn, or painted over, between two checks of the deadline.
const DRAWN_PER_CHECK: usize = 1 << 18;

/// A picture of 8-bit grey. The centre of its first pixel lies at (0.5, 0.5).
#[derive(Clone)]
pub(super) struct Picture {
    pub(super) grey: Vec<u8>,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Picture {
    /// Makes a picture whose pixels have the values that `value` gives for their centres.
    pub(super) fn drawn(
        [width, height]: [usize; 2],
        value: impl Fn(f64, f64) -> u8,
        deadline: Deadline,
    ) -> Result<Self, TimedOut> {
        let mut grey = Vec::with_capacity(width * height);
        let mut looks = Looks::each(DRAWN_PER_CHECK, deadline);
        for y in 0..height {
            looks.count(width)?;
            grey.extend((0..width).map(|x| value(x as f64 + 0.5, y as f64 + 0.5)));
        }
        Ok(Self { grey, width, height })
    }

    /// The value at a place, interpolated linearly between the centres of pixels. Beyond the picture, the pixels at its
    /// border repeat.
    pub(super) fn sample(&self, [x, y]: [f64; 2]) -> f32 {
        let (x, y) = ((x - 0.5).max(0.0), (y - 0.5).max(0.0));
        let (column, row) = (x as usize, y as usize);
        let (right, down) = ((x - column as f64) as f32, (y - row as f64) as f32);
        let pairs = if column + 1 < self.width && row + 1 < self.height {
            let at = row * self.width + column;
            let pair =
                |at: usize| self.grey.get(at..at + 2).map_or([0.0; 2], |it| [it[0].into(), it[1].into()]);
            [pair(at), pair(at + self.width)]
        } else {
            let pixel = |column: usize, row: usize| {
                let at = row.min(self.height - 1) * self.width + column.min(self.width - 1);
                f32::from(self.grey[at])
            };
            [row, row + 1].map(|row| [pixel(column, row), pixel(column + 1, row)])
        };
        let [upper, lower] = pairs.map(|[left, next]: [f32; 2]| left + (next - left) * right);
        upper + (lower - upper) * down
    }

    /// Adds to each of `out` the value at a place of a line, times `by`: the first at `start`, each of the others a
    /// step farther on.
    pub(super) fn add_line(&self, start: [f64; 2], step: [f64; 2], by: f32, out: &mut [f32]) {
        /// The bits of a place's fraction, so many that the rounding of steps does not add up to a hundredth of a
        /// pixel.
        const BITS: u32 = 32;
        let Some(last) = out.len().checked_sub(1) else { return };
        let end = [0, 1].map(|axis| start[axis] + step[axis] * last as f64);
        let is_inside = [start, end].iter().all(|[x, y]| {
            (0.5..self.width as f64 - 0.51).contains(x) && (0.5..self.height as f64 - 0.51).contains(y)
        });
        if !is_inside {
            for (index, out) in out.iter_mut().enumerate() {
                *out += by * self.sample([0, 1].map(|axis| start[axis] + step[axis] * index as f64));
            }
            return;
        }
        let fixed = |it: f64| (it * (1_i64 << BITS) as f64).round() as i64;
        let (mut x, mut y) = (fixed(start[0] - 0.5), fixed(start[1] - 0.5));
        let (right, down) = (fixed(step[0]), fixed(step[1]));
        let by = by / (256.0 * 256.0);
        for out in out {
            // A line that ends at the border may, by rounding, end slightly beyond it.
            let (inside_x, inside_y) = (x.max(0), y.max(0));
            let at = (inside_y >> BITS) as usize * self.width + (inside_x >> BITS) as usize;
            let pair = |at: usize| match self.grey.get(at..at + 2) {
                Some(&[left, right]) => [left, right].map(u32::from),
                _ => [0; 2],
            };
            let part = |it: i64| (it >> (BITS - 8) & 255) as u32;
            let (part_x, part_y) = (part(inside_x), part(inside_y));
            let [upper, lower] =
                [pair(at), pair(at + self.width)].map(|[left, right]| left * (256 - part_x) + right * part_x);
            *out += by * (upper * (256 - part_y) + lower * part_y) as f32;
            x += right;
            y += down;
        }
    }

    /// The picture at half the size: the mean of each square of four pixels. A last odd row or column is dropped.
    /// `None` if nothing would be left.
    pub(super) fn halved(&self) -> Option<Self> {
        let (width, height) = (self.width / 2, self.height / 2);
        if width == 0 || height == 0 {
            return None;
        }
        let mut grey = Vec::with_capacity(width * height);
        for rows in self.grey.chunks_exact(2 * self.width) {
            let (upper, lower) = rows.split_at(self.width);
            let (upper, lower) = (upper.as_chunks::<2>().0, lower.as_chunks::<2>().0);
            grey.extend(upper.iter().zip(lower).map(|(a, b)| {
                let sum = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
                ((sum + 2) / 4) as u8
            }));
        }
        Some(Self { grey, width, height })
    }

    /// A part of the picture.
    pub(super) fn part(&self, columns: Range<usize>, rows: Range<usize>) -> Self {
        let (width, height) = (columns.len(), rows.len());
        let row = |y: usize| &self.grey[y * self.width..][columns.clone()];
        Self { grey: rows.flat_map(row).copied().collect(), width, height }
    }

    /// Paints white the polygon with these corners, clockwise as seen, and a few pixels around it. Fewer than three
    /// corners stand for the box around them.
    pub(super) fn paint_over(&mut self, corners: &[[f64; 2]], deadline: Deadline) -> Result<(), TimedOut> {
        const BEYOND: f64 = 3.0;
        let ends = |axis: usize, end: usize| {
            let (low, high) = corners.iter().fold((f64::MAX, f64::MIN), |(low, high), corner| {
                (low.min(corner[axis]), high.max(corner[axis]))
            });
            ((low - BEYOND).max(0.0) as usize, ((high + BEYOND).ceil().max(0.0) as usize).min(end))
        };
        let ((left, right), (top, bottom)) = (ends(0, self.width), ends(1, self.height));
        let next = corners.iter().cycle().skip(1);
        let sides: Vec<_> = corners.iter().zip(next).filter(|_| corners.len() > 2).collect();
        let mut looks = Looks::each(DRAWN_PER_CHECK, deadline);
        for y in top..bottom {
            looks.count(right.saturating_sub(left))?;
            for x in left..right {
                let outside = |(from, to): &(&[f64; 2], &[f64; 2])| {
                    let (along, up) = (to[0] - from[0], to[1] - from[1]);
                    let aside = along * (y as f64 + 0.5 - from[1]) - up * (x as f64 + 0.5 - from[0]);
                    aside < -BEYOND * along.hypot(up)
                };
                if !sides.iter().any(outside) {
                    self.grey[y * self.width + x] = u8::MAX;
                }
            }
        }
        Ok(())
    }

    /// Whether a place lies within the picture.
    pub(super) fn holds(&self, [x, y]: [f64; 2]) -> bool {
        (0.0..=self.width as f64).contains(&x) && (0.0..=self.height as f64).contains(&y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_pixels_it_is_linear_and_beyond_the_border_goes_on() {
        let picture = Picture { grey: vec![0, 100, 50, 150], width: 2, height: 2 };
        let at = |x: f64, y: f64| picture.sample([x, y]);
        assert_eq!([at(0.5, 0.5), at(1.5, 0.5), at(1.0, 0.5), at(1.0, 1.0)], [0.0, 100.0, 50.0, 75.0]);
        assert_eq!([at(0.0, 0.5), at(-9.0, 0.0), at(2.0, 9.0), at(1e9, 1.0)], [0.0, 0.0, 150.0, 125.0]);
    }

    #[test]
    fn a_line_has_the_values_of_its_places_inside_and_beyond() {
        let grey = (0..20_u8 * 12).map(|at| at.wrapping_mul(37)).collect();
        let picture = Picture { grey, width: 20, height: 12 };
        for (start, step) in [([0.5, 0.5], [1.0, 0.0]), ([3.2, 9.7], [0.8, -0.6]), ([-2.0, 3.0], [1.3, 0.4])]
        {
            let mut line = [5.0; 12];
            picture.add_line(start, step, 2.0, &mut line);
            for (index, value) in line.into_iter().enumerate() {
                let place = [0, 1].map(|axis| start[axis] + step[axis] * index as f64);
                let expected = 5.0 + 2.0 * picture.sample(place);
                assert!((value - expected).abs() < 4.0, "{place:?}: {value}, not {expected}");
            }
        }
    }

    #[test]
    fn a_line_that_ends_at_the_border_ends_there() {
        // The value of a pixel tells its position.
        let grey = (0..600 * 600).map(|at| (at % 600 / 5 + at / 600 / 5) as u8).collect();
        let picture = Picture { grey, width: 600, height: 600 };
        for thousandths in 1..200 {
            // One line goes left and up to the top border, the other down and left to the left border, as far as they
            // fit.
            let slope = f64::from(thousandths) / 997.0 / 2.0;
            let samples = (590.0 / 1.3) as usize;
            for (start, step) in [
                ([599.0, 0.5 + slope * (samples - 1) as f64], [-1.3, -slope]),
                ([0.5 + slope * (samples - 1) as f64, 3.0], [-slope, 1.3]),
            ] {
                let mut line = vec![0.0; samples];
                picture.add_line(start, step, 1.0, &mut line);
                for (index, value) in line.into_iter().enumerate() {
                    let place = [0, 1].map(|axis| start[axis] + step[axis] * index as f64);
                    let expected = picture.sample(place);
                    assert!((value - expected).abs() < 0.05, "{place:?}: {value}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn the_area_within_corners_is_painted_over() {
        let mut picture = Picture { grey: vec![0; 400], width: 20, height: 20 };
        let corners = [[10.0, 5.0], [15.0, 10.0], [10.0, 15.0], [5.0, 10.0]];
        picture.paint_over(&corners, Deadline::none()).expect("no deadline");
        let white = |x: usize, y: usize| picture.grey[y * 20 + x] == 255;
        assert!(white(10, 10) && white(10, 3) && white(3, 10), "inside, and a little beyond");
        assert!(!white(3, 3) && !white(16, 16) && !white(10, 0), "outside");
    }

    #[test]
    fn half_a_picture_is_the_means_of_its_squares() {
        let grey = vec![10, 20, 99, 30, 40, 99, 0, 1, 99, 1, 0, 99, 7, 7, 7];
        let half = Picture { grey, width: 3, height: 5 }.halved().expect("it is large enough");
        assert_eq!((half.grey, half.width, half.height), (vec![25, 1], 1, 2));
        assert!(Picture { grey: vec![1; 9], width: 9, height: 1 }.halved().is_none());
    }
}
