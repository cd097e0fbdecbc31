//! Planes of Gaussians: `log` and `dog`.
//!
//! The kernels are those of `scipy.ndimage`: sampled, and cut off at four standard deviations. So is the border, where
//! the image is mirrored (d c b a | a b c d | d c b a). The Laplacian is the sum of two separable kernels; their
//! vertical passes share their additions, and their horizontal passes are done in one.
//!
//! A plane of a large σ varies slowly, so it is sampled on a coarser grid: from σ = 5 on at every second pixel of every
//! second row, from σ = 10 on at every fourth, and so on. It is brought to the image's resolution by `upsample`. A
//! coarse grid is filtered from an image of its own resolution (`pyramid`), with a kernel that, together with the
//! filter that made that image, is nearest to scipy's. This has an error: cutting off the kernels leaves a trace of
//! finer detail, most of it in noise. [`Stack::slack`] bounds it. So that no candidate and no candidate's rank depends
//! on the error, the response of each candidate is computed again in double precision, and so are the neighbours that
//! are as high to within the slack.

use std::ops::Range;

use imaging::{Deadline, TimedOut};

use super::{
    pyramid::{self, Level, Pyramid},
    tiles::{Stack, Target, Tile},
    upsample::{self, Grid},
};
use crate::{
    kernels::{self, Taps},
    window::Window,
};

/// The rows of a grid that are filtered together, and the columns of a vertical pass, so few that the values in use
/// stay in the first-level cache.
const ROWS: usize = 32;
const COLUMNS: usize = 64;

/// The scale-normalised Laplacians: −σ² times the Laplacian of the Gaussian, at each σ.
pub(super) struct Laplacians<'a> {
    pyramid: Pyramid<'a>,
    filters: Vec<Filter>,
    scratch: Scratch,
}

impl<'a> Laplacians<'a> {
    pub(super) fn new(window: Window<'a>, sigmas: &[f64]) -> Self {
        let filters: Vec<Filter> = sigmas.iter().map(|sigma| Filter::laplacian(*sigma)).collect();
        Self { pyramid: pyramid_for(window, &filters), filters, scratch: Scratch::default() }
    }
}

impl Stack for Laplacians<'_> {
    fn len(&self) -> usize {
        self.filters.len()
    }

    fn margin(&self) -> usize {
        self.pyramid.margin
    }

    fn load(&mut self, tile: &Tile) {
        self.pyramid.load(tile);
    }

    fn fill(&mut self, layer: usize, target: Target<'_>, deadline: Deadline) -> Result<(), TimedOut> {
        self.filters[layer].apply(&self.pyramid, target, &mut self.scratch, deadline)
    }

    /// It is not 0, because the kernel of the second derivative, cut off, does not quite sum to 0.
    fn white(&self, layer: usize) -> f64 {
        let Filter { smooth, second, .. } = &self.filters[layer];
        2.0 * smooth.iter().sum::<f64>() * second.iter().sum::<f64>()
    }

    fn slack(&self, layer: usize) -> f32 {
        self.filters[layer].slack()
    }

    fn exact(&self, layer: usize, row: usize, column: usize) -> (f64, usize) {
        let filter = &self.filters[layer];
        (filter.at(&self.pyramid, row, column), 2 * filter.smooth.len().pow(2))
    }

    fn is_dark(&self, _layer: usize, _row: usize, _column: usize) -> bool {
        false
    }
}

/// The differences of each Gaussian and the next coarser one, divided by `ratio` − 1.
pub(super) struct Differences<'a> {
    pyramid: Pyramid<'a>,
    filters: Vec<Filter>,
    scale: f64,
    /// The Gaussian that the next plane subtracts from, for the tile and its border.
    finer: Vec<f32>,
    scratch: Scratch,
}

impl<'a> Differences<'a> {
    /// Takes one σ more than there will be planes.
    pub(super) fn new(window: Window<'a>, sigmas: &[f64], ratio: f64) -> Self {
        let filters: Vec<Filter> = sigmas.iter().map(|sigma| Filter::gaussian(*sigma)).collect();
        let pyramid = pyramid_for(window, &filters);
        Self { pyramid, filters, scale: 1.0 / (ratio - 1.0), finer: Vec::new(), scratch: Scratch::default() }
    }
}

impl Stack for Differences<'_> {
    fn len(&self) -> usize {
        self.filters.len() - 1
    }

    fn margin(&self) -> usize {
        self.pyramid.margin
    }

    fn load(&mut self, tile: &Tile) {
        self.pyramid.load(tile);
    }

    fn fill(&mut self, layer: usize, target: Target<'_>, deadline: Deadline) -> Result<(), TimedOut> {
        let Target { tile, out, stride } = target;
        let columns = tile.columns.len();
        let finer = &mut self.finer;
        if layer == 0 {
            finer.resize(columns * tile.rows.len(), 0.0);
            let target = Target { tile, out: finer, stride: columns };
            self.filters[0].apply(&self.pyramid, target, &mut self.scratch, deadline)?;
        }
        let coarser = Target { tile, out: &mut *out, stride };
        self.filters[layer + 1].apply(&self.pyramid, coarser, &mut self.scratch, deadline)?;
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
        let [finer, coarser] = filters.map(|filter| filter.at(&self.pyramid, row, column));
        let cost = filters.map(|filter| filter.smooth.len().pow(2)).iter().sum();
        ((finer - coarser) * self.scale, cost)
    }

    fn is_dark(&self, _layer: usize, _row: usize, _column: usize) -> bool {
        false
    }
}

/// The pyramid that the planes of these filters are made from.
fn pyramid_for<'a>(window: Window<'a>, filters: &[Filter]) -> Pyramid<'a> {
    let asked: Vec<_> = filters.iter().map(|filter| (filter.level, filter.radius())).collect();
    Pyramid::new(window, &asked)
}

/// A Gaussian of one σ, or its Laplacian.
struct Filter {
    /// The level of the pyramid that the plane is made from. The plane is sampled at every 2ˡᵉᵛᵉˡth pixel of every
    /// 2ˡᵉᵛᵉˡth row.
    level: usize,
    /// The kernels at the image's resolution: the Gaussian, and −σ² times its second derivative, which is empty for a
    /// filter that is no Laplacian.
    smooth: Vec<f64>,
    second: Vec<f64>,
    /// The same kernels at the level's resolution, as halves from the centre.
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
        let level = (sigma / upsample::LEAST_SIGMA).log2().max(0.0) as usize;
        let half_smooth = pyramid::half(&smooth, level, &smooth);
        Self { level, half_smooth, smooth, second: Vec::new(), half_second: Vec::new() }
    }

    fn laplacian(sigma: f64) -> Self {
        let mut filter = Self::gaussian(sigma);
        let radius = filter.smooth.len() / 2;
        let distance = |k: usize| k.abs_diff(radius) as f64 / sigma;
        let second = filter.smooth.iter().enumerate().map(|(k, weight)| weight * (1.0 - distance(k).powi(2)));
        filter.second = second.collect();
        filter.half_second = pyramid::half(&filter.second, filter.level, &filter.smooth);
        filter
    }

    /// The radius of the kernels in pixels of the level.
    fn radius(&self) -> usize {
        self.half_smooth.len() - 1
    }

    /// The most by which the difference of two of the plane's values may be wrong. On the image's own resolution that
    /// is rounding; on a coarser grid, and between its points, it is a trace of the image's finer detail, of which a
    /// Gaussian's cut leaves less than its second derivative's.
    fn slack(&self) -> f32 {
        match (self.level, self.second.is_empty()) {
            (0, _) => 2e-6,
            (_, true) => 2e-5,
            (_, false) => 2e-4,
        }
    }

    /// Writes the plane's values for a tile.
    fn apply(
        &self,
        pyramid: &Pyramid<'_>,
        target: Target<'_>,
        scratch: &mut Scratch,
        deadline: Deadline,
    ) -> Result<(), TimedOut> {
        let signed = |range: &Range<usize>| range.start as isize..range.end as isize;
        let Target { tile, out, stride } = target;
        let mut ranges = vec![[signed(&tile.rows), signed(&tile.columns)]];
        for i in 0..self.level {
            ranges.push(ranges[i].each_ref().map(upsample::coarser));
        }
        let Some([rows, columns]) = ranges.pop() else { return Ok(()) };
        let level = &pyramid.levels[self.level];
        if ranges.is_empty() {
            return self.filter(level, [&rows, &columns], out, stride, &mut scratch.filter, deadline);
        }
        let Scratch { filter, grids: [grid, finer], doubling } = scratch;
        grid.values.resize(rows.len() * columns.len(), 0.0);
        self.filter(level, [&rows, &columns], &mut grid.values, columns.len(), filter, deadline)?;
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

    /// Writes the plane's values on the grid of its level.
    fn filter(
        &self,
        level: &Level,
        [rows, columns]: [&Range<isize>; 2],
        out: &mut [f32],
        stride: usize,
        scratch: &mut FilterScratch,
        deadline: Deadline,
    ) -> Result<(), TimedOut> {
        let taps = 2 * self.radius() + 1;
        let reach = self.radius() as isize;
        // The columns under the kernel, from the first tap of the first value to the last tap of the last one.
        let span = columns.len() - 1 + taps;
        let left = level.column(columns.start - reach);
        let across: Vec<usize> = (0..taps).collect();
        let FilterScratch { smooth, second } = scratch;
        smooth.resize(span * ROWS, 0.0);
        second.resize(if self.second.is_empty() { 0 } else { span * ROWS }, 0.0);
        for (start, out) in rows.clone().step_by(ROWS).zip(out.chunks_mut(stride * ROWS)) {
            deadline.check()?;
            let rows = (rows.end - start).unsigned_abs().min(ROWS);
            let down = level.rows_from(start - reach, rows - 1 + taps);
            for block in (0..span).step_by(COLUMNS) {
                let length = COLUMNS.min(span - block);
                for i in 0..rows {
                    let taps = Taps { data: &level.values, at: &down[i..i + taps] }.from(left + block);
                    let place = i * span + block..i * span + block + length;
                    if self.second.is_empty() {
                        kernels::convolve_fused(&self.half_smooth, taps, &mut smooth[place]);
                    } else {
                        let out = [&mut smooth[place.clone()], &mut second[place]];
                        kernels::convolve_both([&self.half_smooth, &self.half_second], taps, out);
                    }
                }
            }
            for (i, out) in out.chunks_mut(stride).take(rows).enumerate() {
                let out = &mut out[..columns.len()];
                let row = i * span..(i + 1) * span;
                let smooth = Taps { data: &smooth[row.clone()], at: &across };
                if self.second.is_empty() {
                    kernels::convolve_fused(&self.half_smooth, smooth, out);
                } else {
                    let second = Taps { data: &second[row], at: &across };
                    kernels::convolve_sum([&self.half_second, &self.half_smooth], [smooth, second], out);
                }
            }
        }
        Ok(())
    }

    /// The plane's value at one pixel, in double precision.
    fn at(&self, pyramid: &Pyramid<'_>, row: usize, column: usize) -> f64 {
        let image = &pyramid.levels[0];
        let radius = (self.smooth.len() / 2) as isize;
        let left = image.column(column as isize - radius);
        let starts = image.rows_from(row as isize - radius, self.smooth.len());
        let part = |start: usize| &image.values[start + left..][..self.smooth.len()];
        let rows: Vec<&[f32]> = starts.into_iter().map(part).collect();
        if self.second.is_empty() {
            kernels::separable(&rows, [&self.smooth], [&self.smooth], &mut Default::default())
        } else {
            let (smooth, second) = (&self.smooth[..], &self.second[..]);
            kernels::separable(&rows, [second, smooth], [smooth, second], &mut Default::default())
        }
    }
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
}

#[cfg(test)]
mod tests {
    use imaging::Image;

    use super::*;

    /// Compares planes made on a coarse grid with sums in double precision. Noise has the most detail that could leave
    /// a trace; here it has a quarter of the full contrast. The tile begins at no multiple of the grids.
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
                assert!(2.0 * worst <= f64::from(stack.slack(layer)), "plane {layer} is {worst:e} off");
            }
        }
    }
}
