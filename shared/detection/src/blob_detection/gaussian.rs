//! Planes of Gaussians: `log` and `dog`.
//!
//! The kernels are those of `scipy.ndimage`, sampled and cut off at four standard deviations, and so is the border: the
//! image mirrored (d c b a | a b c d | d c b a). The Laplacian is the sum of two separable kernels, whose vertical
//! passes share their additions and whose horizontal passes are one.
//!
//! A plane of a large σ varies slowly. From σ = 5 on it is made on every second pixel of every second row, from 10 on every
//! fourth, and so on, and brought to the image's resolution by `upsample`. On that grid it is exact; between, the error is
//! some 10⁻⁵: the kernels' cut leaves a trace of finer detail (up to 10⁻⁴ only in noise of black and white pixels). So that
//! no candidate and no place in their order hangs on that, candidates are then looked at in double precision, and so are
//! neighbours that are as high but for it.

use std::ops::Range;

use imaging::{Deadline, TimedOut};

use super::{
    tiles::{Stack, Target, Tile},
    upsample::{self, Grid},
};
use crate::{
    kernels::{self, Taps},
    window::Window,
};

/// Rows of a grid that are filtered together, and columns of a vertical pass: what is in use stays in the first-level
/// cache.
const ROWS: usize = 32;
const COLUMNS: usize = 64;

/// −σ² times the Laplacian of the Gaussian, at each σ.
pub(super) struct Laplacians<'a> {
    grey: Grey<'a>,
    filters: Vec<Filter>,
    scratch: Scratch,
}

impl<'a> Laplacians<'a> {
    pub(super) fn new(window: Window<'a>, sigmas: &[f64]) -> Self {
        let filters: Vec<Filter> = sigmas.iter().map(|sigma| Filter::laplacian(*sigma)).collect();
        Self { grey: Grey::new(window, &filters), filters, scratch: Scratch::default() }
    }
}

impl Stack for Laplacians<'_> {
    fn len(&self) -> usize {
        self.filters.len()
    }

    fn margin(&self) -> usize {
        self.grey.margin
    }

    fn load(&mut self, tile: &Tile) {
        self.grey.load(tile);
    }

    fn fill(&mut self, layer: usize, target: Target<'_>, deadline: Deadline) -> Result<(), TimedOut> {
        self.filters[layer].apply(&self.grey, target, &mut self.scratch, deadline)
    }

    /// Not 0: the second derivative's kernel, cut off, does not quite sum to 0.
    fn white(&self, layer: usize) -> f64 {
        let Filter { smooth, second, .. } = &self.filters[layer];
        2.0 * smooth.iter().sum::<f64>() * second.iter().sum::<f64>()
    }

    fn slack(&self, layer: usize) -> f32 {
        self.filters[layer].slack()
    }

    fn exact(&self, layer: usize, row: usize, column: usize) -> (f64, usize) {
        let filter = &self.filters[layer];
        (filter.at(&self.grey, row, column), 2 * filter.smooth.len().pow(2))
    }

    fn is_dark(&self, _layer: usize, _row: usize, _column: usize) -> bool {
        false
    }
}

/// The differences of one Gaussian and the next, over `ratio` − 1.
pub(super) struct Differences<'a> {
    grey: Grey<'a>,
    filters: Vec<Filter>,
    scale: f64,
    /// The Gaussian that the next plane starts from, for the tile's ring.
    finer: Vec<f32>,
    scratch: Scratch,
}

impl<'a> Differences<'a> {
    /// One σ more than there will be planes.
    pub(super) fn new(window: Window<'a>, sigmas: &[f64], ratio: f64) -> Self {
        let filters: Vec<Filter> = sigmas.iter().map(|sigma| Filter::gaussian(*sigma)).collect();
        let grey = Grey::new(window, &filters);
        Self { grey, filters, scale: 1.0 / (ratio - 1.0), finer: Vec::new(), scratch: Scratch::default() }
    }
}

impl Stack for Differences<'_> {
    fn len(&self) -> usize {
        self.filters.len() - 1
    }

    fn margin(&self) -> usize {
        self.grey.margin
    }

    fn load(&mut self, tile: &Tile) {
        self.grey.load(tile);
    }

    fn fill(&mut self, layer: usize, target: Target<'_>, deadline: Deadline) -> Result<(), TimedOut> {
        let Target { tile, out, stride } = target;
        let columns = tile.columns.len();
        let finer = &mut self.finer;
        if layer == 0 {
            finer.resize(columns * tile.rows.len(), 0.0);
            let target = Target { tile, out: finer, stride: columns };
            self.filters[0].apply(&self.grey, target, &mut self.scratch, deadline)?;
        }
        let coarser = Target { tile, out: &mut *out, stride };
        self.filters[layer + 1].apply(&self.grey, coarser, &mut self.scratch, deadline)?;
        let scale = self.scale as f32;
        for (out, finer) in out.chunks_mut(stride).zip(finer.chunks_exact_mut(columns)) {
            for (out, finer) in out.iter_mut().zip(finer) {
                let coarser = *out;
                *out = (*finer - coarser) * scale;
                *finer = coarser;
            }
        }
        Ok(())
    }

    fn white(&self, _layer: usize) -> f64 {
        0.0
    }

    fn slack(&self, layer: usize) -> f32 {
        self.filters[layer].slack().max(self.filters[layer + 1].slack()) * self.scale as f32
    }

    fn exact(&self, layer: usize, row: usize, column: usize) -> (f64, usize) {
        let filters = [&self.filters[layer], &self.filters[layer + 1]];
        let [finer, coarser] = filters.map(|filter| filter.at(&self.grey, row, column));
        let cost = filters.map(|filter| filter.smooth.len().pow(2)).iter().sum();
        ((finer - coarser) * self.scale, cost)
    }

    fn is_dark(&self, _layer: usize, _row: usize, _column: usize) -> bool {
        false
    }
}

/// A Gaussian of one σ, or its Laplacian.
struct Filter {
    /// The plane is made on every so manyth pixel: 2 to the power of `doublings`.
    step: isize,
    doublings: usize,
    radius: usize,
    /// The Gaussian, and −σ² times its second derivative (empty without Laplacian): whole, and in halves from the centre.
    smooth: Vec<f64>,
    second: Vec<f64>,
    half_smooth: Vec<f32>,
    half_second: Vec<f32>,
}

impl Filter {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sigma is a small positive number"
    )]
    fn gaussian(sigma: f64) -> Self {
        let radius = (4.0 * sigma + 0.5) as usize;
        let distance = |k: usize| k.abs_diff(radius) as f64;
        let bell = |k: usize| (-0.5 / (sigma * sigma) * distance(k).powi(2)).exp();
        let sum: f64 = (0..=2 * radius).map(bell).sum();
        let smooth: Vec<f64> = (0..=2 * radius).map(|k| bell(k) / sum).collect();
        let doublings = (sigma / upsample::LEAST_SIGMA).log2().max(0.0) as usize;
        Self {
            step: 1 << doublings,
            doublings,
            radius,
            half_smooth: smooth[radius..].iter().map(|w| *w as f32).collect(),
            smooth,
            second: Vec::new(),
            half_second: Vec::new(),
        }
    }

    fn laplacian(sigma: f64) -> Self {
        let mut filter = Self::gaussian(sigma);
        let distance = |k: usize| k.abs_diff(filter.radius) as f64 / sigma;
        let second = filter.smooth.iter().enumerate().map(|(k, weight)| weight * (1.0 - distance(k).powi(2)));
        filter.second = second.collect();
        filter.half_second = filter.second[filter.radius..].iter().map(|w| *w as f32).collect();
        filter
    }

    /// How far the plane's values may be off: by rounding, and between the points of a grid by a trace of the image's
    /// finer detail, which a Gaussian's cut leaves less of than its second derivative's.
    fn slack(&self) -> f32 {
        match (self.doublings, self.second.is_empty()) {
            (0, _) => 1e-6,
            (_, true) => 5e-6,
            (_, false) => 4e-5,
        }
    }

    /// How far the plane looks around a pixel.
    fn reach(&self) -> usize {
        let mut range = 0..1;
        (0..self.doublings).for_each(|_| range = upsample::coarser(&range));
        let grid = range.end.max(1 - range.start).unsigned_abs();
        // A tile may start anywhere between the grid's points.
        self.radius + (grid + usize::from(self.doublings > 0)) * self.step.unsigned_abs()
    }

    /// Writes the plane of a tile.
    fn apply(
        &self,
        grey: &Grey<'_>,
        target: Target<'_>,
        scratch: &mut Scratch,
        deadline: Deadline,
    ) -> Result<(), TimedOut> {
        let signed = |range: &Range<usize>| range.start as isize..range.end as isize;
        let Target { tile, out, stride } = target;
        let mut ranges = vec![[signed(&tile.rows), signed(&tile.columns)]];
        for i in 0..self.doublings {
            ranges.push(ranges[i].each_ref().map(upsample::coarser));
        }
        let Some([rows, columns]) = ranges.pop() else { return Ok(()) };
        if ranges.is_empty() {
            return self.filter(grey, [&rows, &columns], out, stride, &mut scratch.filter, deadline);
        }
        let Scratch { filter, grids: [grid, finer], doubling } = scratch;
        grid.values.resize(rows.len() * columns.len(), 0.0);
        self.filter(grey, [&rows, &columns], &mut grid.values, columns.len(), filter, deadline)?;
        (grid.rows, grid.columns) = (rows, columns);
        while let Some([rows, columns]) = ranges.pop() {
            if ranges.is_empty() {
                upsample::double(grid, [&rows, &columns], out, stride, doubling);
                break;
            }
            finer.values.resize(rows.len() * columns.len(), 0.0);
            upsample::double(grid, [&rows, &columns], &mut finer.values, columns.len(), doubling);
            (finer.rows, finer.columns) = (rows, columns);
            std::mem::swap(grid, finer);
            deadline.check()?;
        }
        Ok(())
    }

    /// Writes the values at every `step`th row and column, of which `rows` and `columns` are the numbers.
    fn filter(
        &self,
        grey: &Grey<'_>,
        [rows, columns]: [&Range<isize>; 2],
        out: &mut [f32],
        stride: usize,
        scratch: &mut FilterScratch,
        deadline: Deadline,
    ) -> Result<(), TimedOut> {
        let step = self.step;
        let taps = 2 * self.radius + 1;
        let reach = self.radius as isize;
        // The columns under the kernel, from the first tap of the first value to the last one of the last.
        let span = step.unsigned_abs() * (columns.len() - 1) + taps;
        let left = (step * columns.start - reach - grey.left) as usize;
        let across = Deal::new(span, step.unsigned_abs(), taps);
        let FilterScratch { smooth, second, dealt } = scratch;
        smooth.resize(span * ROWS, 0.0);
        second.resize(if self.second.is_empty() { 0 } else { span * ROWS }, 0.0);
        dealt.iter_mut().for_each(|dealt| dealt.resize(across.len(), 0.0));
        for (start, out) in rows.clone().step_by(ROWS).zip(out.chunks_mut(stride * ROWS)) {
            deadline.check()?;
            let rows = (rows.end - start).unsigned_abs().min(ROWS);
            let down = grey.rows_from(step * start - reach, step.unsigned_abs() * (rows - 1) + taps);
            for block in (0..span).step_by(COLUMNS) {
                let length = COLUMNS.min(span - block);
                for i in 0..rows {
                    let at = &down[i * step.unsigned_abs()..][..taps];
                    let taps = Taps { data: &grey.values, at }.from(left + block);
                    let place = i * span + block..i * span + block + length;
                    if self.second.is_empty() {
                        kernels::convolve(&self.half_smooth, taps, &mut smooth[place]);
                    } else {
                        let out = [&mut smooth[place.clone()], &mut second[place]];
                        kernels::convolve_both([&self.half_smooth, &self.half_second], taps, out);
                    }
                }
            }
            for (i, out) in out.chunks_mut(stride).take(rows).enumerate() {
                let out = &mut out[..columns.len()];
                let [dealt_smooth, dealt_second] = &mut *dealt;
                let smooth = across.deal(&smooth[i * span..][..span], dealt_smooth);
                if self.second.is_empty() {
                    kernels::convolve(&self.half_smooth, smooth, out);
                } else {
                    let second = across.deal(&second[i * span..][..span], dealt_second);
                    kernels::convolve_sum([&self.half_second, &self.half_smooth], [smooth, second], out);
                }
            }
        }
        Ok(())
    }

    /// The value at one pixel, in double precision.
    fn at(&self, grey: &Grey<'_>, row: usize, column: usize) -> f64 {
        let radius = self.radius as isize;
        let left = (column as isize - radius - grey.left) as usize;
        let starts = grey.rows_from(row as isize - radius, self.smooth.len());
        let part = |start: usize| &grey.values[start + left..][..self.smooth.len()];
        let rows: Vec<&[f32]> = starts.into_iter().map(part).collect();
        if self.second.is_empty() {
            kernels::separable(&rows, [&self.smooth], [&self.smooth], &mut Default::default())
        } else {
            let (smooth, second) = (&self.smooth[..], &self.second[..]);
            kernels::separable(&rows, [second, smooth], [smooth, second], &mut Default::default())
        }
    }
}

/// A row dealt out so that every `step`th value and those under the same tap of its neighbours lie side by side.
struct Deal {
    step: usize,
    /// Values of each of the `step` parts.
    part: usize,
    /// Where the values under each tap start.
    at: Vec<usize>,
}

impl Deal {
    fn new(span: usize, step: usize, taps: usize) -> Self {
        let part = span.div_ceil(step);
        Self { step, part, at: (0..taps).map(|k| k % step * part + k / step).collect() }
    }

    fn len(&self) -> usize {
        if self.step == 1 { 0 } else { self.part * self.step }
    }

    fn deal<'a>(&'a self, row: &'a [f32], dealt: &'a mut [f32]) -> Taps<'a> {
        if self.step == 1 {
            return Taps { data: row, at: &self.at };
        }
        match self.step {
            2 => deal_by::<2>(row, dealt, self.part),
            4 => deal_by::<4>(row, dealt, self.part),
            _ => {
                for (k, part) in dealt.chunks_exact_mut(self.part).enumerate() {
                    for (to, from) in part.iter_mut().zip(row[k.min(row.len())..].iter().step_by(self.step)) {
                        *to = *from;
                    }
                }
            }
        }
        Taps { data: dealt, at: &self.at }
    }
}

/// [`Deal::deal`] for a step that is known: `part` values each.
fn deal_by<const STEP: usize>(row: &[f32], dealt: &mut [f32], part: usize) {
    kernels::wide(
        #[inline(always)]
        || {
            let (whole, rest) = row.as_chunks::<STEP>();
            for (k, part) in dealt.chunks_exact_mut(part).enumerate().take(STEP) {
                for (to, from) in part.iter_mut().zip(whole) {
                    *to = from[k];
                }
                if let (Some(to), Some(from)) = (part.get_mut(whole.len()), rest.get(k)) {
                    *to = *from;
                }
            }
        },
    );
}

#[derive(Default)]
struct Scratch {
    filter: FilterScratch,
    grids: [Grid; 2],
    doubling: upsample::Scratch,
}

#[derive(Default)]
struct FilterScratch {
    smooth: Vec<f32>,
    second: Vec<f32>,
    dealt: [Vec<f32>; 2],
}

/// The grey of a tile and of `margin` pixels around it: mirrored to the left and right of the window, and above and below
/// it by looking the rows up.
struct Grey<'a> {
    window: Window<'a>,
    margin: usize,
    /// The window's rows that are held.
    rows: Range<usize>,
    /// The window's column of the first value of each row; may lie outside.
    left: isize,
    stride: usize,
    values: Vec<f32>,
}

impl<'a> Grey<'a> {
    fn new(window: Window<'a>, filters: &[Filter]) -> Self {
        // One more for the ring around a tile.
        let margin = 1 + filters.iter().map(Filter::reach).max().unwrap_or(0);
        Self { window, margin, rows: 0..0, left: 0, stride: 0, values: Vec::new() }
    }

    fn load(&mut self, tile: &Tile) {
        let held = tile.grown(self.margin, &self.window);
        let left = tile.columns.start as isize - self.margin as isize;
        let width = tile.columns.len() + 2 * self.margin;
        // Rows a multiple of the cache's ways apart would evict each other.
        let stride =
            width.next_multiple_of(16) + if width.next_multiple_of(16).is_multiple_of(256) { 16 } else { 0 };
        let same_columns = (left, stride) == (self.left, self.stride);
        let kept = if same_columns && self.rows.contains(&held.rows.start) {
            let kept = held.rows.start..self.rows.end.min(held.rows.end);
            let from = (kept.start - self.rows.start) * stride;
            self.values.copy_within(from..from + kept.len() * stride, 0);
            kept.len()
        } else {
            0
        };
        self.values.resize(held.rows.len() * stride, 0.0);
        (self.rows, self.left, self.stride) = (held.rows.clone(), left, stride);
        let inside =
            (held.columns.start as isize - left) as usize..(held.columns.end as isize - left) as usize;
        for (row, values) in held.rows.zip(self.values.chunks_exact_mut(stride)).skip(kept) {
            self.window.grey(row, held.columns.start, &mut values[inside.clone()]);
            for i in (0..inside.start).chain(inside.end..width) {
                let column = mirrored(left + i as isize, self.window.width);
                values[i] = values[(column as isize - left) as usize];
            }
        }
    }

    /// Where in `values` so many rows start, from row `first` on, which may lie outside the window.
    fn rows_from(&self, first: isize, count: usize) -> Vec<usize> {
        let start = |row: isize| (mirrored(row, self.window.height) - self.rows.start) * self.stride;
        (first..).take(count).map(start).collect()
    }
}

/// The place inside 0 .. length that lies at `place` when what is inside is mirrored at both ends, again and again.
fn mirrored(place: isize, length: usize) -> usize {
    let within = place.rem_euclid(2 * length as isize) as usize;
    within.min(2 * length - 1 - within)
}

#[cfg(test)]
mod tests {
    use imaging::Image;

    use super::*;

    /// A plane on a coarse grid, brought up to the image's, against the sum in double precision; noise has the most detail
    /// that could leave a trace, here of a quarter of the full contrast. Tiles begin anywhere.
    #[test]
    fn planes_are_known_to_within_their_slack() {
        let mix = |i: u32| i.wrapping_mul(2_654_435_761) ^ (i.wrapping_mul(0x85eb_ca77) >> 13);
        let rgba = (0..170 * 150u32)
            .flat_map(|i| [if mix(i) & 1 == 0 { 96 } else { 160 }; 3].into_iter().chain([255]));
        let image = Image::new(170, 150, rgba.collect()).expect("four bytes a pixel");
        let sigmas = [1.0, 3.0, 4.9, 5.0, 7.0, 9.9, 10.0, 16.0, 30.0];
        let window = Window::whole(&image);
        let mut stacks: [Box<dyn Stack>; 2] =
            [Box::new(Laplacians::new(window, &sigmas)), Box::new(Differences::new(window, &sigmas, 1.6))];
        for stack in &mut stacks {
            let tile = Tile { rows: 31..90, columns: 17..170 };
            stack.load(&tile);
            for layer in 0..stack.len() {
                let mut out = vec![0.0; tile.rows.len() * tile.columns.len()];
                let target = Target { tile: &tile, out: &mut out, stride: tile.columns.len() };
                stack.fill(layer, target, Deadline::none()).expect("no deadline");
                let mut worst = 0.0f64;
                for (row, out) in tile.rows.clone().zip(out.chunks(tile.columns.len())).step_by(3) {
                    for (column, is) in tile.columns.clone().zip(out).step_by(2) {
                        worst = worst.max((stack.exact(layer, row, column).0 - f64::from(*is)).abs());
                    }
                }
                println!("plane {layer}: {worst:.2e} of {:.0e}", stack.slack(layer));
                assert!(worst <= f64::from(stack.slack(layer)), "plane {layer} is {worst:e} off");
            }
        }
    }
}
