//! From the image to a mask of nuclei, and the density of the background around them.
//!
//! Let D be the density in which nuclei are looked for, S be D smoothed by a Gaussian, B the opening of S by a disc
//! larger than any nucleus, and h = S − B. A pixel is nucleus where it is on a hill or on a plateau.
//!
//! - On a hill, h is more than half the threshold, because a nucleus that reaches the threshold on its plateau has half
//!   of it at its edge; and S is not hollow. Curvature changes its sign at an edge, however strong the stain is. Two
//!   measures of it must agree, each less than [`FLATNESS`] · h: σ²∇²S, which separates nuclei that touch, and σ²(∇²S +
//!   S_nn) / 2, where S_nn is the second derivative along the gradient. The zero of the Laplacian lies outside a curved
//!   edge and that of S_nn as far inside it, so that of their sum is hardly displaced (Verbeek and van Vliet 1994).
//! - On a plateau, h is more than the threshold and more than [`PLATEAU`] of the highest place within 3σ. Without this,
//!   the inside of a large nucleus would be lost: it is flat, and chromatin makes it hollow in places.
//!
//! Every step is local, so the work is done tile by tile, with as much around a tile as the filters reach. The division
//! into tiles does not change the result.

use std::ops::Range;

use imaging::{Deadline, TimedOut};

use super::{
    opening::{Grid, Octagon},
    stains::{Reduced, Tables},
};
use crate::kernels::{self, Taps, larger, mirrored, wide};

/// The most that a surface may be hollow and still be nucleus, as a part of its height.
const FLATNESS: f32 = 0.05;

/// The least height of a plateau, as a part of the highest place near it.
const PLATEAU: f32 = 0.75;

/// The mask and the background of a window, at the resolution in which nuclei are looked for.
pub(super) struct Field {
    pub(super) width: usize,
    /// 1 where there is nucleus, else 0.
    pub(super) mask: Vec<u8>,
    /// B, in steps of 1 / [`STEPS`].
    pub(super) background: Vec<i16>,
}

/// The resolution of the opening, which works in whole steps. A step is much less than the density of one step of a
/// byte, and 16 bits hold the greatest density that occurs.
pub(super) const STEPS: f32 = 4096.0;

/// The parameters of the mask. Lengths are in pixels of the reduction.
#[derive(Clone, Copy)]
pub(super) struct Filters {
    pub(super) sigma: f64,
    /// 0 where no background is to be subtracted.
    pub(super) background_radius: usize,
    pub(super) threshold: f32,
    /// The numbers of rows and columns of a tile.
    pub(super) tile: [usize; 2],
}

/// A rectangle of the reduction.
#[derive(Clone, Default)]
struct Part {
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Part {
    fn grown(&self, by: usize, image: &Reduced<'_>) -> Self {
        let grow =
            |range: &Range<usize>, end: usize| range.start.saturating_sub(by)..(range.end + by).min(end);
        Self { rows: grow(&self.rows, image.height), columns: grow(&self.columns, image.width) }
    }
}

/// Computes the field, tile by tile.
pub(super) fn field(
    image: &Reduced<'_>,
    density: &Tables<1>,
    filters: Filters,
    deadline: Deadline,
) -> Result<Field, TimedOut> {
    let area = image.width * image.height;
    let mut field = Field { width: image.width, mask: vec![0; area], background: vec![0; area] };
    let half = kernels::gaussian(filters.sigma);
    let around = Octagon::of(filters.plateau_radius());
    let disc = Octagon::of(filters.background_radius);
    let reach = (2 * disc.radius()).max(around.radius()).max(1);
    let [rows, columns] = filters.tile;
    let (mut smooth, mut opened, mut highest) = (Smooth::default(), Grid::default(), Grid::default());
    // Tiles are visited downwards first, so that rows which tiles above each other share are smoothed once.
    for left in (0..image.width).step_by(columns) {
        for top in (0..image.height).step_by(rows) {
            let tile = Part {
                rows: top..(top + rows).min(image.height),
                columns: left..(left + columns).min(image.width),
            };
            smooth.fill(image, density, &half, tile.grown(reach, image), deadline)?;
            if disc.radius() > 0 {
                smooth.around(&tile, 2 * disc.radius(), 1, &mut opened);
                disc.erode(&mut opened, deadline)?;
                smooth.turn(&mut opened, &tile, disc.radius());
                disc.erode(&mut opened, deadline)?;
                for (row, opened) in tile.rows.clone().zip(opened.values.chunks_exact(opened.width)) {
                    let target = &mut field.background[row * image.width..][tile.columns.clone()];
                    target.iter_mut().zip(opened).for_each(|(target, opened)| *target = -*opened);
                }
            }
            smooth.around(&tile, around.radius(), -1, &mut highest);
            around.erode(&mut highest, deadline)?;
            deadline.check()?;
            mark(&smooth, &highest, &tile, filters, &mut field);
        }
    }
    Ok(field)
}

impl Filters {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    fn plateau_radius(&self) -> usize {
        (3.0 * self.sigma).round() as usize
    }
}

/// S in a part of the image.
#[derive(Default)]
struct Smooth {
    grid: Grid<f32>,
    part: Part,
    /// The intermediate results: a row of the density, and rows that have been smoothed along themselves only, with
    /// their indices.
    density: Vec<f32>,
    across: Vec<f32>,
    rows: Range<usize>,
}

impl Smooth {
    /// Moves to another part of the image. Rows that it shares with the previous part are kept, if that part has the
    /// same columns. The image is mirrored at its border.
    fn fill(
        &mut self,
        image: &Reduced<'_>,
        density: &Tables<1>,
        half: &[f32],
        part: Part,
        deadline: Deadline,
    ) -> Result<(), TimedOut> {
        /// The columns of a vertical pass, so few that the values in use stay in the first-level cache.
        const COLUMNS: usize = 128;
        let radius = half.len() - 1;
        let wide = part.grown(radius, image);
        let (width, count) = (part.columns.len(), wide.columns.len());
        if part.columns != self.part.columns || !self.part.rows.contains(&part.rows.start) {
            (self.rows, self.part.rows) = (0..0, 0..0);
        }
        let at_hand = move_up(&mut self.across, width, &self.rows, &wide.rows);
        // The column of the first value of a row of the density, left of the part by the radius of the kernel.
        let first = part.columns.start as isize - radius as isize;
        let inside = (wide.columns.start as isize - first).unsigned_abs();
        self.density.resize(width + 2 * radius, 0.0);
        let taps: Vec<usize> = (0..=2 * radius).collect();
        let rows = wide.rows.clone().zip(self.across.chunks_exact_mut(width));
        for (row, out) in rows.skip(at_hand) {
            deadline.check()?;
            let own = &mut self.density[inside..inside + count];
            image.fill(density, row, wide.columns.start, own);
            for i in (0..inside).chain(inside + count..width + 2 * radius) {
                // A place beyond the border is within the radius of it, and so is its mirror image, which is therefore
                // at hand.
                let column = mirrored(first + i as isize, image.width);
                self.density[i] = self.density[(column as isize - first) as usize];
            }
            kernels::convolve_fused(half, Taps { data: &self.density, at: &taps }, out);
        }
        let at_hand = move_up(&mut self.grid.values, width, &self.part.rows, &part.rows);
        (self.grid.width, self.grid.height) = (width, part.rows.len());
        let above = part.rows.start as isize - radius as isize;
        let down: Vec<usize> = (above..above + (part.rows.len() + 2 * radius) as isize)
            .map(|row| (mirrored(row, image.height) - wide.rows.start) * width)
            .collect();
        for start in (0..width).step_by(COLUMNS) {
            deadline.check()?;
            let end = (start + COLUMNS).min(width);
            let rows = part.rows.clone().zip(self.grid.values.chunks_exact_mut(width));
            for (row, out) in rows.skip(at_hand) {
                let at = &down[row - part.rows.start..][..taps.len()];
                let taps = Taps { data: &self.across, at }.from(start);
                kernels::convolve_fused(half, taps, &mut out[start..end]);
            }
        }
        (self.part, self.rows) = (part, wide.rows);
        Ok(())
    }

    /// Fills `grid` with S in a tile and `by` pixels around it, in steps and times `sign`. Places beyond the image get
    /// a value that erosion ignores.
    fn around(&self, tile: &Part, by: usize, sign: i16, grid: &mut Grid<i16>) {
        let (width, height) = (tile.columns.len() + 2 * by, tile.rows.len() + 2 * by);
        grid.reset(width, height, i16::MAX);
        let shared = |own: &Range<usize>, tile: &Range<usize>| {
            // The start in S, the start in the grid, and the number of values that both have.
            let start = own.start.max(tile.start.saturating_sub(by));
            (start - own.start, start + by - tile.start, own.end.min(tile.end + by) - start)
        };
        let (left, right, columns) = shared(&self.part.columns, &tile.columns);
        let (top, down, rows) = shared(&self.part.rows, &tile.rows);
        for row in 0..rows {
            let from = &self.grid.values[(top + row) * self.grid.width + left..][..columns];
            quantise(from, sign, &mut grid.values[(down + row) * width + right..][..columns]);
        }
    }

    /// Prepares an eroded grid for dilation by another erosion: negates its values, and gives places beyond the image a
    /// value that erosion ignores.
    fn turn(&self, grid: &mut Grid<i16>, tile: &Part, by: usize) {
        let inside = |own: &Range<usize>, tile: &Range<usize>, length: usize| {
            (own.start + by).saturating_sub(tile.start)..(own.end + by - tile.start).min(length)
        };
        let columns = inside(&self.part.columns, &tile.columns, grid.width);
        let rows = inside(&self.part.rows, &tile.rows, grid.height);
        for (row, values) in grid.values.chunks_exact_mut(grid.width).enumerate() {
            let end = if rows.contains(&row) { columns.clone() } else { 0..0 };
            values[..end.start].fill(i16::MAX);
            values[end.end..].fill(i16::MAX);
            values[end].iter_mut().for_each(|value| *value = -*value);
        }
    }
}

/// Prepares a buffer of the rows `there` for the rows `wanted`, which end no earlier: moves the rows that both have to
/// the front, and returns their number.
fn move_up(values: &mut Vec<f32>, width: usize, there: &Range<usize>, wanted: &Range<usize>) -> usize {
    let shared = wanted.start.max(there.start)..there.end;
    if !shared.is_empty() {
        values.copy_within((shared.start - there.start) * width..there.len() * width, 0);
    }
    values.resize(width * wanted.len(), 0.0);
    shared.len()
}

/// Converts values from 0 to [`MOST`](super::stains::MOST) to steps, rounded, and times `sign`.
#[allow(clippy::cast_possible_truncation, reason = "the lower bits are the rounded number")]
fn quantise(values: &[f32], sign: i16, out: &mut [i16]) {
    /// 1.5 · 2²³: floats near it are one apart, so adding it rounds, and its own lower bits are 0.
    const ROUNDS: f32 = 12_582_912.0;
    wide(
        #[inline(always)]
        || {
            for (out, value) in out.iter_mut().zip(values) {
                *out = (STEPS * value + ROUNDS).to_bits() as i16 * sign;
            }
        },
    );
}

/// Marks the pixels of a tile that are nucleus.
fn mark(smooth: &Smooth, highest: &Grid<i16>, tile: &Part, filters: Filters, field: &mut Field) {
    let Smooth { grid: smooth, part, .. } = smooth;
    let width = tile.columns.len();
    let left = tile.columns.start - part.columns.start;
    let bend = (filters.sigma * filters.sigma / 2.0) as f32;
    // Rows of S with one value more at either end. Beyond the border, the pixel at the border is repeated.
    let mut rows = [vec![0.0; width + 2], vec![0.0; width + 2], vec![0.0; width + 2]];
    let fill = |row: usize, out: &mut [f32]| {
        let own = &smooth.values[(row - part.rows.start) * smooth.width..][..smooth.width];
        out[1..=width].copy_from_slice(&own[left..left + width]);
        out[0] = own[left.saturating_sub(1)];
        out[width + 1] = own[(left + width).min(own.len() - 1)];
    };
    fill(tile.rows.start.saturating_sub(1).max(part.rows.start), &mut rows[1]);
    fill(tile.rows.start, &mut rows[2]);
    for (row, highest) in tile.rows.clone().zip(highest.values.chunks_exact(width)) {
        rows.rotate_left(1);
        fill((row + 1).min(part.rows.end - 1), &mut rows[2]);
        let at = row * field.width + tile.columns.start;
        let background = &field.background[at..at + width];
        let mask = &mut field.mask[at..at + width];
        mark_row([&rows[0], &rows[1], &rows[2]], background, highest, bend, filters.threshold, mask);
    }
}

/// Marks the pixels of a row from three rows of S, which have one value more at either end, from B, and from the lowest
/// value of −S around each pixel.
fn mark_row(
    rows: [&[f32]; 3],
    background: &[i16],
    lowest: &[i16],
    bend: f32,
    threshold: f32,
    mask: &mut [u8],
) {
    /// Added to the squared slope, so that where there is hardly any slope its direction counts for nothing.
    const FLAT: f32 = 1e-9;
    let n = mask.len();
    let [above, own, below] = rows.map(|row| &row[..n + 2]);
    let (background, lowest) = (&background[..n], &lowest[..n]);
    wide(
        #[inline(always)]
        || {
            for i in 0..n {
                let centre = own[i + 1];
                let across = (own[i] + own[i + 2]) - 2.0 * centre;
                let down = (above[i + 1] + below[i + 1]) - 2.0 * centre;
                let corners = (above[i] + below[i + 2]) - (above[i + 2] + below[i]);
                let (dx, dy) = (own[i + 2] - own[i], below[i + 1] - above[i + 1]);
                let (xx, yy) = (dx * dx, dy * dy);
                let along = (xx * across + yy * down) + 0.5 * (dx * dy) * corners;
                let laplacian = across + down;
                let sloped = laplacian + along / ((xx + yy) + FLAT);
                let hollow = larger(2.0 * laplacian, sloped);
                let ground = f32::from(background[i]) / STEPS;
                let height = centre - ground;
                let hill = (height > threshold / 2.0) & (bend * hollow < FLATNESS * height);
                let summit = -f32::from(lowest[i]) / STEPS - ground;
                let plateau = (height > threshold) & (height > PLATEAU * summit);
                mask[i] = u8::from(hill | plateau);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::nuclei_detection::stains::MOST;

    proptest! {
        #[test]
        fn a_quantity_is_rounded_to_steps(values in proptest::collection::vec(0f32..=MOST, 0..70), up in any::<bool>()) {
            let sign = if up { 1 } else { -1 };
            let mut steps = vec![0; values.len()];
            quantise(&values, sign, &mut steps);
            for (value, steps) in values.iter().zip(steps) {
                prop_assert_eq!(f32::from(steps), f32::from(sign) * (value * STEPS).round_ties_even());
            }
        }
    }
}
