//! Doubles the resolution of planes that a Gaussian has smoothed.
//!
//! A plane that was smoothed by a Gaussian of at least 2.5 grid steps has next to nothing above the grid's band limit,
//! so that its values between the grid's points follow from those at them. The twelve weights (six, and the same
//! mirrored) minimise the squared error over the spectrum of a Laplacian of Gaussian of that σ, ω² · exp(−ω² · 2.5² /
//! 2), among weights that sum to 1. The error is smaller for wider ones, and for Gaussians.

use std::ops::Range;

use crate::kernels::{self, Taps};

/// The least standard deviation, in grid steps, of a Gaussian whose plane may be sampled on a grid.
pub(super) const LEAST_SIGMA: f64 = 2.5;

/// The weights of the points half a step away on either side, then of those one and a half steps away, and so on.
const WEIGHTS: [f32; 6] =
    [0.617_779_9, -0.161_390_24, 0.058_338_565, -0.018_413_294, 0.004_191_598, -0.000_506_539_53];
const REACH: isize = WEIGHTS.len() as isize;

/// The columns of a vertical pass, so few that the values in use stay in the first-level cache.
const COLUMNS: usize = 384;

/// The points of a grid that are needed to interpolate those in `range` of the grid twice as fine. Point i of a grid is
/// point 2 · i of the finer one.
pub(super) fn coarser(range: &Range<isize>) -> Range<isize> {
    let (first, last) = (range.start.div_euclid(2), (range.end - 1).div_euclid(2));
    first + 1 - REACH..last + REACH + 1
}

/// A rectangle of a grid's points, row by row.
#[derive(Clone, Debug, Default)]
pub(super) struct Grid {
    pub(super) rows: Range<isize>,
    pub(super) columns: Range<isize>,
    pub(super) values: Vec<f32>,
}

/// The buffers of one doubling.
#[derive(Default)]
pub(super) struct Scratch {
    wide: Vec<f32>,
    between: Vec<f32>,
}

/// Writes the points `rows` × `columns` of the grid twice as fine as `grid`, rows `stride` apart in `out`. `grid` must
/// have the points that [`coarser`] tells.
pub(super) fn double(
    grid: &Grid,
    [rows, columns]: [&Range<isize>; 2],
    out: &mut [f32],
    stride: usize,
    scratch: &mut Scratch,
) {
    let n = columns.len();
    scratch.wide.resize(grid.rows.len() * n, 0.0);
    for (from, to) in grid.values.chunks_exact(grid.columns.len()).zip(scratch.wide.chunks_exact_mut(n)) {
        double_row(from, grid.columns.start, to, columns.start, &mut scratch.between);
    }
    let mut at = [0; 2 * WEIGHTS.len()];
    for start in (0..n).step_by(COLUMNS) {
        let end = (start + COLUMNS).min(n);
        for (row, out) in rows.clone().zip(out.chunks_mut(stride)) {
            let (below, out) = ((row.div_euclid(2) - grid.rows.start) as usize, &mut out[start..end]);
            if row.rem_euclid(2) == 0 {
                out.copy_from_slice(&scratch.wide[below * n..][start..end]);
            } else {
                for (k, at) in at.iter_mut().enumerate() {
                    *at = (below + 1 + k - WEIGHTS.len()) * n;
                }
                let taps = Taps { data: &scratch.wide, at: &at };
                kernels::midpoints(&WEIGHTS, taps.from(start), out);
            }
        }
    }
}

/// Doubles one row: `from` starts at point `from_start` of its grid, `to` at point `to_start` of the finer one.
fn double_row(from: &[f32], from_start: isize, to: &mut [f32], to_start: isize, between: &mut Vec<f32>) {
    let first = to_start.div_euclid(2);
    // A pair is a point of the coarse grid and the point midway to the next. These are enough pairs to cover `to`,
    // which may begin with a point midway.
    let skip = to_start.rem_euclid(2) as usize;
    let pairs = (to.len() + skip).div_ceil(2);
    let below = (first - from_start) as usize;
    between.resize(pairs, 0.0);
    let at: [usize; 2 * WEIGHTS.len()] = std::array::from_fn(|k| below + 1 + k - WEIGHTS.len());
    // Where `to` ends on a point of the coarse grid, the point midway to the next is not needed, and its neighbours may
    // be missing.
    let asked = (to.len() + skip) / 2;
    kernels::midpoints(&WEIGHTS, Taps { data: from, at: &at }, &mut between[..asked]);
    let mut to = to;
    let mut i = 0;
    if skip == 1 {
        let Some((head, rest)) = to.split_first_mut() else { return };
        *head = between[0];
        to = rest;
        i = 1;
    }
    let on = &from[below + i..];
    kernels::merge(on, &between[i..], to);
    let middle = to.len() / 2;
    if let (1, Some(last)) = (to.len() % 2, to.last_mut()) {
        *last = on[middle];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape of a Laplacian of Gaussian of `sigma` grid steps, at any offset.
    fn bell(sigma: f64, x: f64, y: f64) -> f32 {
        let square = (x * x + y * y) / (sigma * sigma);
        ((1.0 - square / 2.0) * (-square / 2.0).exp()) as f32
    }

    #[test]
    fn points_between_those_of_a_smooth_grid_are_found() {
        for (sigma, rows, columns) in [(2.5, -7..31, -30..33), (2.5, -8..32, 1..2), (7.0, 5..6, 0..61)] {
            let (dx, dy) = (3.3, 2.2);
            let value = |row: isize, column: isize, step: f64| {
                bell(sigma, column as f64 * step - dx, row as f64 * step - dy)
            };
            let (coarse_rows, coarse_columns) = (coarser(&rows), coarser(&columns));
            let mut grid =
                Grid { rows: coarse_rows.clone(), columns: coarse_columns.clone(), values: Vec::new() };
            for row in coarse_rows {
                grid.values.extend(coarse_columns.clone().map(|column| value(row, column, 1.0)));
            }
            let stride = columns.len() + 3;
            let mut out = vec![f32::NAN; stride * rows.len()];
            double(&grid, [&rows, &columns], &mut out, stride, &mut Scratch::default());
            for (i, row) in rows.clone().enumerate() {
                for (j, column) in columns.clone().enumerate() {
                    let (is, expected) = (out[i * stride + j], value(row, column, 0.5));
                    assert!((is - expected).abs() < 6e-6, "{row} {column}: {is} is not {expected}");
                }
            }
        }
    }
}
