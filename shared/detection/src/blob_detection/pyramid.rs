//! A tile's grey at the image's resolution, at half of it, at a quarter, and so on: the input for the planes of a large
//! σ.
//!
//! Each level is the finer level smoothed by [`WEIGHTS`] and sampled at every second pixel of every second row. The
//! kernel for a level comes from the kernel for the image by [`half`]: it is chosen so that smoothing by the weights
//! and then by it is nearest to the one kernel, in the sense of least squares. The weights were chosen by the same
//! measure, for Laplacians of Gaussians of 4 to 9 px. The error that nine taps leave is small; most of it comes from
//! where the kernels are cut off, which a coarse grid cannot follow.

use std::ops::Range;

use super::{tiles::Tile, upsample};
use crate::{
    kernels::{self, Taps, mirrored},
    window::Window,
};

/// Half of the smoothing kernel, from the centre on. The whole kernel sums to 1.
const WEIGHTS: [f32; 5] = [0.230_378, 0.200_011, 0.125_467, 0.049_982, 0.009_351];
const REACH: usize = WEIGHTS.len() - 1;

/// The grey of a tile and of `margin` pixels around it, and its reductions.
pub(super) struct Pyramid<'a> {
    window: Window<'a>,
    pub(super) margin: usize,
    pub(super) levels: Vec<Level>,
    /// For each level, the largest radius of the filters on it; `None` where it has no filter.
    reaches: Vec<Option<usize>>,
    scratch: Scratch,
}

/// Values at every 2ⁿth pixel of every 2ⁿth row, counted from the window's top left.
pub(super) struct Level {
    rows: Range<isize>,
    /// The height of the window, if rows beyond it are looked up by mirroring. `None` if every row that is asked for is
    /// held, also those beyond the window.
    height: Option<usize>,
    /// The column of the first value of each row; it may lie outside the window.
    left: isize,
    stride: usize,
    pub(super) values: Vec<f32>,
}

#[derive(Default)]
struct Scratch {
    smooth: Vec<f32>,
    dealt: Vec<f32>,
}

impl<'a> Pyramid<'a> {
    /// Takes the level and the radius of each filter.
    pub(super) fn new(window: Window<'a>, filters: &[(usize, usize)]) -> Self {
        let count = 1 + filters.iter().map(|(level, _)| *level).max().unwrap_or(0);
        let reach =
            |level| filters.iter().filter(|filter| filter.0 == level).map(|(_, radius)| *radius).max();
        let reaches: Vec<Option<usize>> = (0..count).map(reach).collect();
        // How much is needed around a tile depends on where the tile ends relative to the coarsest grid, so all offsets
        // are tried.
        let beyond = |at: isize| {
            let asked = &asked(&(at..at + 1), &reaches)[0];
            (at - asked.start).max(asked.end - (at + 1)).unsigned_abs()
        };
        let margin = (0..1 << count).map(beyond).max().unwrap_or(0);
        let level = |level| Level {
            rows: 0..0,
            height: (level == 0).then_some(window.height),
            left: 0,
            stride: 0,
            values: Vec::new(),
        };
        // One pixel more is for the border around a tile.
        Self {
            window,
            margin: 1 + margin,
            levels: (0..count).map(level).collect(),
            reaches,
            scratch: Scratch::default(),
        }
    }

    pub(super) fn load(&mut self, tile: &Tile) {
        let [rows, columns] = [&tile.rows, &tile.columns]
            .map(|range| asked(&(range.start as isize - 1..range.end as isize + 1), &self.reaches));
        self.load_image(tile);
        for level in 1..self.levels.len() {
            let [finer, coarser] = &mut self.levels[level - 1..=level] else { unreachable!("two levels") };
            coarser.reduce(finer, [&rows[level], &columns[level]], &mut self.scratch);
        }
    }

    fn load_image(&mut self, tile: &Tile) {
        let image = &mut self.levels[0];
        let held = tile.grown(self.margin, &self.window);
        let width = tile.columns.len() + 2 * self.margin;
        let left = tile.columns.start as isize - self.margin as isize;
        let rows = held.rows.start as isize..held.rows.end as isize;
        let kept = image.move_to(rows, left, width);
        let inside =
            (held.columns.start as isize - left) as usize..(held.columns.end as isize - left) as usize;
        for (row, values) in held.rows.zip(image.values.chunks_exact_mut(image.stride)).skip(kept) {
            self.window.grey(row, held.columns.start, &mut values[inside.clone()]);
            for i in (0..inside.start).chain(inside.end..width) {
                let column = mirrored(left + i as isize, self.window.width);
                values[i] = values[(column as isize - left) as usize];
            }
        }
    }
}

impl Level {
    /// Makes room for other rows and columns, and returns how many of the first of these rows were held already.
    fn move_to(&mut self, rows: Range<isize>, left: isize, width: usize) -> usize {
        // If rows lay a multiple of 1 KiB apart, the values of one column would share a few sets of the cache and evict
        // each other.
        let stride = width.next_multiple_of(16);
        let stride = if stride.is_multiple_of(256) { stride + 16 } else { stride };
        let kept = if (left, stride) == (self.left, self.stride) && self.rows.contains(&rows.start) {
            let from = (rows.start - self.rows.start) as usize * stride;
            let kept = (self.rows.end.min(rows.end) - rows.start) as usize;
            self.values.copy_within(from..from + kept * stride, 0);
            kept
        } else {
            0
        };
        self.values.resize(rows.len() * stride, 0.0);
        (self.rows, self.left, self.stride) = (rows, left, stride);
        kept
    }

    /// Becomes the reduction of `finer`, at those rows and columns.
    fn reduce(&mut self, finer: &Self, [rows, columns]: [&Range<isize>; 2], scratch: &mut Scratch) {
        let kept = self.move_to(rows.clone(), columns.start, columns.len());
        let reach = REACH as isize;
        let Scratch { smooth, dealt } = scratch;
        // Even and odd columns are separated, so that the values under one tap for neighbouring outputs lie side by
        // side.
        let part = columns.len() + REACH;
        smooth.resize(2 * part, 0.0);
        dealt.resize(2 * part, 0.0);
        let left = finer.column(2 * columns.start - reach);
        let across: [usize; 2 * REACH + 1] = std::array::from_fn(|k| k % 2 * part + k / 2);
        for (row, out) in rows.clone().zip(self.values.chunks_exact_mut(self.stride)).skip(kept) {
            let down = finer.rows_from(2 * row - reach, 2 * REACH + 1);
            let asked = &mut smooth[..2 * part - 1];
            kernels::convolve_fused(&WEIGHTS, Taps { data: &finer.values, at: &down }.from(left), asked);
            let (even, odd) = dealt.split_at_mut(part);
            kernels::deal(smooth, even, odd);
            kernels::convolve_fused(&WEIGHTS, Taps { data: dealt, at: &across }, &mut out[..columns.len()]);
        }
    }

    /// The index of a column in a row.
    pub(super) fn column(&self, column: isize) -> usize {
        (column - self.left) as usize
    }

    /// The indices in `values` where `count` rows start, from row `first` on, which may lie outside the window.
    pub(super) fn rows_from(&self, first: isize, count: usize) -> Vec<usize> {
        let inside = |row: isize| self.height.map_or(row, |height| mirrored(row, height) as isize);
        (first..).take(count).map(|row| (inside(row) - self.rows.start) as usize * self.stride).collect()
    }
}

/// For each level, the points that are needed to make planes for the pixels in `range`.
fn asked(range: &Range<isize>, reaches: &[Option<usize>]) -> Vec<Range<isize>> {
    let mut grids = vec![range.clone()];
    for level in 1..reaches.len() {
        grids.push(upsample::coarser(&grids[level - 1]));
    }
    let mut asked: Vec<Range<isize>> = Vec::new();
    for (grid, reach) in grids.iter().zip(reaches).rev() {
        let below = asked.last().map(|range| {
            let reach = REACH as isize;
            2 * range.start - reach..2 * (range.end - 1) + reach + 1
        });
        let own = reach.map(|reach| grid.start - reach as isize..grid.end + reach as isize);
        let either = match (own, below) {
            (Some(a), Some(b)) => a.start.min(b.start)..a.end.max(b.end),
            (Some(range), None) | (None, Some(range)) => range,
            (None, None) => grid.clone(),
        };
        asked.push(either);
    }
    asked.reverse();
    asked
}

/// Converts a symmetric kernel for the image to one for a level of the pyramid, as its half from the centre on. The
/// change of its sum is made up for with `bell`, a wide kernel for the image that sums to 1, because in a picture the
/// slowly varying parts are much stronger than fine ones.
pub(super) fn half(kernel: &[f64], level: usize, bell: &[f64]) -> Vec<f32> {
    let coarse = |kernel: &[f64]| (0..level).fold(kernel.to_vec(), |kernel, _| coarser(&kernel));
    let (own, bell) = (coarse(kernel), coarse(bell));
    let missing = kernel.iter().sum::<f64>() - own.iter().sum::<f64>();
    let whole = own.iter().zip(bell).map(|(weight, bell)| weight + missing * bell);
    whole.skip(own.len() / 2).map(|weight| weight as f32).collect()
}

/// The kernel on every second pixel that, after [`WEIGHTS`], is nearest to `kernel`. Its normal equations form a band
/// matrix, with entries up to [`REACH`] from the diagonal, and are solved by Cholesky's method.
fn coarser(kernel: &[f64]) -> Vec<f64> {
    let radius = kernel.len() / 2;
    let coarse = radius.div_ceil(2);
    let weight = |at: isize| WEIGHTS.get(at.unsigned_abs()).map_or(0.0, |weight| f64::from(*weight));
    let reach = REACH as isize;
    let together =
        |apart: usize| (-reach..=reach).map(|at| weight(at) * weight(at - 2 * apart as isize)).sum::<f64>();
    let together: [f64; REACH + 1] = std::array::from_fn(together);
    let count = 2 * coarse + 1;
    // The rows of the factor's band: the diagonal first, then the entries to the left of it.
    let mut factor = vec![[0.0; REACH + 1]; count];
    let mut solution = vec![0.0; count];
    for i in 0..count {
        for apart in (0..=REACH.min(i)).rev() {
            let j = i - apart;
            let inner = (1..=REACH - apart).take_while(|k| *k <= j);
            let sum: f64 = inner.map(|k| factor[i][apart + k] * factor[j][k]).sum();
            let left = together[apart] - sum;
            factor[i][apart] = if apart == 0 { left.sqrt() } else { left / factor[j][0] };
        }
        let centre = 2 * (i as isize - coarse as isize) + radius as isize;
        let wanted: f64 = (-reach..=reach)
            .filter_map(|at| Some(weight(at) * kernel.get(usize::try_from(centre + at).ok()?)?))
            .sum();
        let known: f64 = (1..=REACH.min(i)).map(|k| factor[i][k] * solution[i - k]).sum();
        solution[i] = (wanted - known) / factor[i][0];
    }
    for i in (0..count).rev() {
        let known: f64 =
            (1..=REACH).take_while(|k| i + k < count).map(|k| factor[i + k][k] * solution[i + k]).sum();
        solution[i] = (solution[i] - known) / factor[i][0];
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_sum_to_one() {
        let sum = WEIGHTS[0] + 2.0 * WEIGHTS[1..].iter().sum::<f32>();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }

    /// A Gaussian that is wide enough loses hardly anything, on any level.
    #[test]
    fn a_coarser_kernel_after_the_weights_is_the_kernel() {
        for sigma in [5.0, 7.3, 10.0, 31.0] {
            let radius = (4.0 * sigma + 0.5) as usize;
            let bell = |k: usize| (-0.5 * (k.abs_diff(radius) as f64 / sigma).powi(2)).exp();
            let sum: f64 = (0..=2 * radius).map(bell).sum();
            let kernel: Vec<f64> = (0..=2 * radius).map(|k| bell(k) / sum).collect();
            let coarse = coarser(&kernel);
            let middle = coarse.len() / 2;
            let mut off = 0.0;
            let reach = (radius + 2 * REACH) as isize;
            for x in -reach..=reach {
                let is: f64 = (0..coarse.len())
                    .filter_map(|i| {
                        let at = (x - 2 * (i as isize - middle as isize)).unsigned_abs();
                        Some(coarse[i] * f64::from(*WEIGHTS.get(at)?))
                    })
                    .sum();
                let at = usize::try_from(x + radius as isize).ok();
                let expected = at.and_then(|at| kernel.get(at)).copied().unwrap_or(0.0);
                off += (is - expected).abs();
            }
            assert!(off < 2e-4, "sigma {sigma}: {off:e}");
        }
    }
}
