//! Planes of determinants of the Hessian: `doh`.
//!
//! The determinants are those of scikit-image's `_hessian_matrix_det`, after SURF: second derivatives are differences
//! of boxes, and the sum of a box comes from the four corners of an integral image. A box that would start outside the
//! image starts at its first row or column instead, and keeps its size; a box that would end outside ends at the last.
//!
//! The integral image is of whole numbers that wrap around, so that sums are exact. Grey is counted in units so large
//! that the sum of the largest box is below 2³¹, but never finer than 1/2,550,000: opaque 8-bit pixels have no finer
//! steps.
//!
//! In drawn pictures many places are exactly as strong as their neighbours, but for rounding, and which of them counts
//! as a maximum decides which blobs are pruned all over the image. So the response of each maximum is computed again as
//! scikit-image computes it, to the last bit: from an integral image in double precision, summed in NumPy's order, of
//! grey as NumPy's product gives it on processors with fused multiplication. That plane, as large as two float planes,
//! is the only one of the window's size.

use std::ops::Range;

use imaging::{Deadline, TimedOut};

use super::tiles::{Stack, Target, Tile};
use crate::{grey, peaks::rows_per_check, window::Window};

/// The determinant at each σ.
pub(super) struct Determinants<'a> {
    window: Window<'a>,
    filters: Vec<Filter>,
    /// The number of units of grey from black to white.
    units: f32,
    margin: usize,
    /// The part of the window that the integral image covers at the moment; sums start at its own top left.
    held: Tile,
    integral: Vec<u32>,
    grey: Vec<f32>,
    differences: [Vec<u32>; 3],
    /// The integral image of the whole window, as scikit-image computes it.
    sums: Vec<f64>,
}

/// The sizes of the boxes for one σ.
struct Filter {
    /// The side of the whole filter, a third of it, and the number of pixels on either side of its centre.
    size: isize,
    third: isize,
    half: isize,
}

impl Filter {
    #[allow(clippy::cast_possible_truncation, reason = "sigma is a small positive number")]
    fn new(sigma: f64) -> Self {
        let size = ((3.0 * sigma) as isize).max(1);
        Self { size, third: size / 3, half: (size - 1) / 2 }
    }
}

/// The extent of a box along one axis, from one corner to the other, relative to the pixel.
#[derive(Clone, Copy)]
struct Side {
    start: isize,
    length: isize,
}

impl Side {
    /// The indices of the two corners for the pixel at `place`, where the image has `length` pixels along this axis.
    fn at(self, place: usize, length: usize) -> [usize; 2] {
        let last = length as isize - 1;
        let start = (place as isize + self.start).clamp(0, last);
        [start.unsigned_abs(), (start + self.length).clamp(0, last).unsigned_abs()]
    }
}

/// The extents of all boxes for one σ, alike for rows and columns: those along a derivative's axis, that across it, and
/// those on either side of the centre for the mixed derivative.
struct Sides {
    along: [Side; 2],
    across: Side,
    before: Side,
    after: Side,
}

impl Filter {
    fn sides(&self) -> Sides {
        let Self { size, third, half } = *self;
        Sides {
            along: [Side { start: -half, length: size }, Side { start: -(third / 2), length: third }],
            across: Side { start: 1 - third, length: 2 * third - 1 },
            before: Side { start: -third, length: third },
            after: Side { start: 1, length: third },
        }
    }
}

impl<'a> Determinants<'a> {
    pub(super) fn new(window: Window<'a>, sigmas: &[f64], deadline: Deadline) -> Result<Self, TimedOut> {
        let filters: Vec<Filter> = sigmas.iter().map(|sigma| Filter::new(*sigma)).collect();
        let largest = filters.iter().map(|f| f.size).max().unwrap_or(1);
        let area = filters.iter().map(|f| f.size * (2 * f.third).max(1)).max().unwrap_or(1);
        let units = (f64::from(i32::MAX) / area as f64).min(f64::from(grey::UNITS)).floor() as f32;
        Ok(Self {
            window,
            filters,
            units,
            margin: largest.unsigned_abs() + 2,
            held: Tile { rows: 0..0, columns: 0..0 },
            integral: Vec::new(),
            grey: Vec::new(),
            differences: Default::default(),
            sums: integral_image(&window, deadline)?,
        })
    }

    /// A row of the integral image, from the first of its columns on.
    fn integral(&self, row: usize) -> &[u32] {
        let columns = self.held.columns.len();
        &self.integral[(row - self.held.rows.start) * columns..][..columns]
    }

    /// Prepares one row: differences of two rows of the integral image, combined for the derivatives to the right,
    /// down, and mixed. The sums of the boxes are then differences of two of their columns.
    fn take_differences(&mut self, sides: &Sides, row: usize) {
        let height = self.window.height;
        let mut differences = std::mem::take(&mut self.differences);
        let [right, down, mixed] = &mut differences;
        let pair = |side: Side| side.at(row, height).map(|row| self.integral(row));
        let [a, b] = pair(sides.across);
        right.clear();
        right.extend(a.iter().zip(b).map(|(a, b)| b.wrapping_sub(*a)));
        let [[a, b], [c, d]] = sides.along.map(pair);
        down.clear();
        down.extend(
            a.iter()
                .zip(b)
                .zip(c.iter().zip(d))
                .map(|((a, b), (c, d))| b.wrapping_sub(*a).wrapping_sub(d.wrapping_sub(*c).wrapping_mul(3))),
        );
        let [[a, b], [c, d]] = [sides.before, sides.after].map(pair);
        mixed.clear();
        mixed.extend(
            a.iter()
                .zip(b)
                .zip(c.iter().zip(d))
                .map(|((a, b), (c, d))| b.wrapping_sub(*a).wrapping_sub(d.wrapping_sub(*c))),
        );
        self.differences = differences;
    }

    /// The derivatives at one column of the prepared row, in units of grey: to the right, down, and mixed.
    fn derivatives(&self, sides: &Sides, column: usize) -> [u32; 3] {
        let width = self.window.width;
        let [right, down, mixed] = &self.differences;
        let sum = |of: &[u32], side: Side| {
            let [a, b] = side.at(column, width).map(|column| of[column - self.held.columns.start]);
            b.wrapping_sub(a)
        };
        let [whole, middle] = sides.along.map(|side| sum(right, side));
        [
            whole.wrapping_sub(middle.wrapping_mul(3)),
            sum(down, sides.across),
            sum(mixed, sides.after).wrapping_sub(sum(mixed, sides.before)),
        ]
    }

    /// The derivatives at any pixel, as scikit-image computes them: to the right, down, and mixed.
    fn exact_derivatives(&self, layer: usize, row: usize, column: usize) -> [f64; 3] {
        let Sides { along: [whole, middle], across, before, after } = self.filters[layer].sides();
        let (width, height) = (self.window.width, self.window.height);
        let sum = |down: Side, right: Side| {
            let [[top, bottom], [left, right]] = [down.at(row, height), right.at(column, width)];
            let at = |row: usize, column: usize| self.sums[row * width + column];
            (at(top, left) + at(bottom, right) - at(top, right) - at(bottom, left)).max(0.0)
        };
        let size = self.filters[layer].size as f64;
        let weight = 1.0 / size / size;
        [
            sum(across, whole) - 3.0 * sum(across, middle),
            sum(whole, across) - 3.0 * sum(middle, across),
            sum(before, after) + sum(after, before) - sum(before, before) - sum(after, after),
        ]
        .map(|derivative| -derivative * weight)
    }

    /// Writes one row of determinants.
    fn row(&self, filter: &Filter, sides: &Sides, columns: &Range<usize>, out: &mut [f32]) {
        // Converts a derivative in units to one in grey, averaged over the area of the filter.
        let scale = 1.0 / (self.units * (filter.size * filter.size) as f32);
        let determinant = |right: u32, down: u32, mixed: u32| {
            let right = right.cast_signed() as f32 * scale;
            let down = down.cast_signed() as f32 * scale;
            let mixed = mixed.cast_signed() as f32 * scale;
            right * down - 0.81 * (mixed * mixed)
        };
        // Away from the sides no box is moved or cut, and its corners lie at fixed offsets.
        let reach = (filter.size + 1).unsigned_abs();
        let first = columns.start.max(reach).min(columns.end);
        let last = columns.end.min(self.window.width.saturating_sub(reach + 1)).max(first);
        for column in (columns.start..first).chain(last..columns.end) {
            let [right, down, mixed] = self.derivatives(sides, column);
            out[column - columns.start] = determinant(right, down, mixed);
        }
        let n = last - first;
        let corners = |of: &'_ [u32], side: Side| -> [usize; 2] {
            debug_assert!(!of.is_empty());
            let at = first as isize + side.start - self.held.columns.start as isize;
            [at.unsigned_abs(), (at + side.length).unsigned_abs()]
        };
        if n == 0 {
            return;
        }
        let [right, down, mixed] = &self.differences;
        let [[w0, w1], [m0, m1]] = sides.along.map(|side| corners(right, side).map(|at| &right[at..at + n]));
        let [d0, d1] = corners(down, sides.across).map(|at| &down[at..at + n]);
        let [b0, b1] = corners(mixed, sides.before).map(|at| &mixed[at..at + n]);
        let [a0, a1] = corners(mixed, sides.after).map(|at| &mixed[at..at + n]);
        let out = &mut out[first - columns.start..][..n];
        for i in 0..n {
            let whole = w1[i].wrapping_sub(w0[i]);
            let middle = m1[i].wrapping_sub(m0[i]);
            let right = whole.wrapping_sub(middle.wrapping_mul(3));
            let down = d1[i].wrapping_sub(d0[i]);
            let mixed = a1[i].wrapping_sub(a0[i]).wrapping_sub(b1[i].wrapping_sub(b0[i]));
            out[i] = determinant(right, down, mixed);
        }
    }
}

impl Stack for Determinants<'_> {
    fn len(&self) -> usize {
        self.filters.len()
    }

    fn margin(&self) -> usize {
        self.margin
    }

    fn load(&mut self, tile: &Tile) {
        self.held = tile.grown(self.margin, &self.window);
        let columns = self.held.columns.len();
        self.grey.resize(columns, 0.0);
        self.integral.resize(columns * self.held.rows.len(), 0);
        let mut above: &[u32] = &vec![0; columns];
        for (row, integral) in self.held.rows.clone().zip(self.integral.chunks_exact_mut(columns)) {
            self.window.grey(row, self.held.columns.start, &mut self.grey);
            let mut sum = 0u32;
            for ((integral, above), grey) in integral.iter_mut().zip(above).zip(&self.grey) {
                sum = sum.wrapping_add((grey * self.units + 0.5) as u32);
                *integral = above.wrapping_add(sum);
            }
            above = integral;
        }
    }

    fn fill(&mut self, layer: usize, target: Target<'_>, deadline: Deadline) -> Result<(), TimedOut> {
        let Target { tile, out, stride } = target;
        let sides = self.filters[layer].sides();
        for ((i, row), out) in tile.rows.clone().enumerate().zip(out.chunks_mut(stride)) {
            if i % rows_per_check(tile.columns.len()) == 0 {
                deadline.check()?;
            }
            let out = &mut out[..tile.columns.len()];
            if self.filters[layer].third == 0 {
                // Such small filters have boxes without any pixels.
                out.fill(0.0);
                continue;
            }
            self.take_differences(&sides, row);
            self.row(&self.filters[layer], &sides, &tile.columns, out);
        }
        Ok(())
    }

    fn white(&self, _layer: usize) -> f64 {
        0.0
    }

    fn slack(&self, _layer: usize) -> f32 {
        2e-8
    }

    fn exact(&self, layer: usize, row: usize, column: usize) -> (f64, usize) {
        if self.filters[layer].third == 0 {
            return (0.0, 1);
        }
        let [right, down, mixed] = self.exact_derivatives(layer, row, column);
        (right * down - 0.81 * (mixed * mixed), 32)
    }

    fn is_exact_to_the_bit(&self) -> bool {
        true
    }

    /// Decides by the sign of the Laplacian.
    fn is_dark(&self, layer: usize, row: usize, column: usize) -> bool {
        let [right, down, _] = self.exact_derivatives(layer, row, column);
        right + down < 0.0
    }
}

/// The integral image, summed in the order of NumPy's `grey.cumsum(0).cumsum(1)`.
fn integral_image(window: &Window<'_>, deadline: Deadline) -> Result<Vec<f64>, TimedOut> {
    let mut sums = vec![0.0; window.width * window.height];
    let mut down = vec![0.0; window.width];
    let mut grey = vec![0.0; window.width];
    for (row, sums) in sums.chunks_exact_mut(window.width).enumerate() {
        if row % rows_per_check(window.width) == 0 {
            deadline.check()?;
        }
        window.exact_grey(row, &mut grey);
        let mut across = 0.0;
        for ((sum, down), grey) in sums.iter_mut().zip(&mut down).zip(&grey) {
            *down += grey;
            across += *down;
            *sum = across;
        }
    }
    Ok(sums)
}
