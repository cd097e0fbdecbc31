//! Grey opening with an octagon, which approximates that with a disc of the same radius.
//!
//! An octagon is the Minkowski sum of four line segments. The least value along a segment of a given length takes
//! log₂(length) passes over whole rows, because the span doubles from pass to pass.

use std::ops::Range;

use imaging::{Deadline, TimedOut};

use crate::kernels::wide;

/// A rectangle of values, row by row.
#[derive(Default)]
pub(super) struct Grid<T> {
    pub(super) values: Vec<T>,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl<T: Copy> Grid<T> {
    /// Gives it that size, with `value` everywhere.
    pub(super) fn reset(&mut self, width: usize, height: usize, value: T) {
        (self.width, self.height) = (width, height);
        self.values.clear();
        self.values.resize(width * height, value);
    }
}

/// An octagon around a pixel. It reaches `straight` pixels to each side by its horizontal and vertical segments, and
/// twice `slanted` by its diagonal ones.
#[derive(Clone, Copy)]
pub(super) struct Octagon {
    straight: usize,
    slanted: usize,
}

impl Octagon {
    /// The octagon of that radius whose sides are as equal as possible.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    pub(super) fn of(radius: usize) -> Self {
        let even = (radius as f64 * (1.0 - std::f64::consts::FRAC_1_SQRT_2)).round() as usize;
        // With diagonal segments alone, every other pixel would be left out.
        let slanted = even.min(radius.saturating_sub(1) / 2);
        Self { straight: radius - 2 * slanted, slanted }
    }

    pub(super) fn radius(self) -> usize {
        self.straight + 2 * self.slanted
    }

    /// Replaces the grid by the least value in each octagon that lies wholly inside it: it shrinks by the radius on
    /// every side.
    pub(super) fn erode(self, grid: &mut Grid<i16>, deadline: Deadline) -> Result<(), TimedOut> {
        let (straight, slanted) = (2 * self.straight + 1, 2 * self.slanted + 1);
        deadline.check()?;
        for row in grid.values.chunks_exact_mut(grid.width) {
            lower_along(row, straight);
        }
        let (mut columns, mut rows) = (0..grid.width + 1 - straight, 0..grid.height);
        for (dx, length) in [(0, straight), (1, slanted), (-1, slanted)] {
            for by in spans(length) {
                deadline.check()?;
                lower(grid, &mut columns, &mut rows, (dx * by as isize, by));
            }
        }
        shrink(grid, &columns, &rows);
        Ok(())
    }
}

/// The offsets, pass by pass, for the least of `length` neighbours: the span doubles as long as more is needed.
fn spans(length: usize) -> impl Iterator<Item = usize> {
    let mut span = 1;
    std::iter::from_fn(move || {
        let by = span.min(length - span);
        span += by;
        (by > 0).then_some(by)
    })
}

/// Lowers each value of a row to the least of the `length` values from it on, where there are so many.
fn lower_along(row: &mut [i16], length: usize) {
    /// The number of values that are read before any of them is written.
    const BLOCK: usize = 64;
    wide(
        #[inline(always)]
        || {
            let mut count = row.len();
            for by in spans(length) {
                count -= by;
                let whole = count - count % BLOCK;
                for start in (0..whole).step_by(BLOCK) {
                    let mut ahead = [0; BLOCK];
                    ahead.copy_from_slice(&row[start + by..][..BLOCK]);
                    for (own, ahead) in row[start..][..BLOCK].iter_mut().zip(ahead) {
                        *own = (*own).min(ahead);
                    }
                }
                for i in whole..count {
                    row[i] = row[i].min(row[i + by]);
                }
            }
        },
    );
}

/// Lowers each value to the one `dx` columns beside it and `dy` rows below it. `columns` and `rows` are the part of the
/// grid that is valid, before and after.
fn lower(
    grid: &mut Grid<i16>,
    columns: &mut Range<usize>,
    rows: &mut Range<usize>,
    (dx, dy): (isize, usize),
) {
    let beside = dx.unsigned_abs();
    let (left, right) = (columns.start..columns.end - beside, columns.start + beside..columns.end);
    let (from, to) = if dx < 0 { (left, right) } else { (right, left) };
    *columns = to.clone();
    rows.end -= dy;
    for row in rows.clone() {
        let (before, after) = grid.values.split_at_mut((row + dy) * grid.width);
        take_lower(&mut before[row * grid.width..][to.clone()], &after[from.clone()]);
    }
}

fn take_lower(into: &mut [i16], from: &[i16]) {
    wide(
        #[inline(always)]
        || {
            for (a, b) in into.iter_mut().zip(from) {
                *a = (*a).min(*b);
            }
        },
    );
}

/// Moves the valid part of the grid to the front.
fn shrink(grid: &mut Grid<i16>, columns: &Range<usize>, rows: &Range<usize>) {
    let width = columns.len();
    for (to, row) in rows.clone().enumerate() {
        let from = row * grid.width + columns.start;
        grid.values.copy_within(from..from + width, to * width);
    }
    (grid.width, grid.height) = (width, rows.len());
    grid.values.truncate(width * grid.height);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covers(octagon: Octagon, dx: isize, dy: isize) -> bool {
        let (r, s) =
            (octagon.radius() as isize, (octagon.straight + octagon.straight + 2 * octagon.slanted) as isize);
        dx.abs() <= r && dy.abs() <= r && dx.abs() + dy.abs() <= s
    }

    #[test]
    fn an_octagon_is_nearly_a_disc() {
        for radius in 0..60 {
            let octagon = Octagon::of(radius);
            assert_eq!(octagon.radius(), radius);
            let reach = radius as isize;
            let area = (-reach..=reach)
                .flat_map(|y| (-reach..=reach).map(move |x| (x, y)))
                .filter(|(x, y)| covers(octagon, *x, *y))
                .count();
            let disc = std::f64::consts::PI * (radius as f64 + 0.5).powi(2);
            assert!((area as f64 / disc - 1.0).abs() < 0.35, "radius {radius}: {area} of {disc}");
        }
    }

    proptest! {
        #[test]
        fn eroding_gives_the_least_value_of_each_octagon(
            radius in 0usize..9, wide in 1usize..9, high in 1usize..9, seed in any::<u32>(),
        ) {
            let (width, height) = (wide + 2 * radius, high + 2 * radius);
            let value = |i: usize| ((i as u32 ^ seed).wrapping_mul(0x9e37_79b1) >> 16) as i16;
            let values: Vec<i16> = (0..width * height).map(value).collect();
            let mut grid = Grid { values: values.clone(), width, height };
            let octagon = Octagon::of(radius);
            octagon.erode(&mut grid, Deadline::none()).expect("no deadline");
            prop_assert_eq!((grid.width, grid.height), (wide, high));
            let reach = radius as isize;
            for (i, is) in grid.values.iter().enumerate() {
                let (x, y) = ((i % wide + radius) as isize, (i / wide + radius) as isize);
                let expected = (-reach..=reach)
                    .flat_map(|dy| (-reach..=reach).map(move |dx| (dx, dy)))
                    .filter(|(dx, dy)| covers(octagon, *dx, *dy))
                    .map(|(dx, dy)| values[(y + dy) as usize * width + (x + dx) as usize])
                    .min()
                    .expect("the octagon has a middle");
                prop_assert_eq!(*is, expected);
            }
        }
    }
}
