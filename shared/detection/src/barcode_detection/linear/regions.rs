//! Regions of parallel bars and their direction, by the structure tensor of small cells.
//!
//! The gradients of parallel bars have one direction and its opposite, whatever the widths of the bars. The structure
//! tensor (Förstner and Gülch 1987; Bigün and Granlund 1987) sums the products of a cell's gradients; its larger
//! eigenvector is that direction, and the coherence tells to what extent all gradients lie along it.

use imaging::{Deadline, TimedOut};

use super::{super::picture::Picture, Corners, is_within};
use crate::peaks::rows_per_check;

/// The side of a cell in pixels.
const CELL: usize = 8;
/// The least mean of the squared gradient. The gradient's unit is twice the step of grey from one pixel to the next.
const ENERGY: f32 = 30.0;
/// The least coherence: 0 where all directions are equally frequent, 1 where there is only one.
const COHERENCE: f32 = 0.5;
/// The least cosine of twice the angle between the directions of two neighbouring cells of a region: 14° at most.
const ALIKE: f32 = 0.88;
/// The number of cells between two checks of the deadline.
const CELLS_PER_CHECK: usize = 1 << 16;
/// The fewest cells of a region.
const FEWEST: usize = 4;

/// A rectangle of parallel bars: its middle, its direction, and its extents across the bars and along them.
pub(super) struct Region {
    pub(super) middle: [f64; 2],
    /// The direction across the bars, in radians from the x axis towards the y axis, within ±90°.
    pub(super) angle: f64,
    /// Half the extents, across the bars and along them.
    pub(super) half: [f64; 2],
}

/// Sums of products of gradients: `xx`, `yy` and `xy`.
type Tensor = [f32; 3];

/// The regions of a picture. Cells whose centres lie within the `known` corners, or at most `beyond` outside them,
/// belong to none.
pub(super) fn regions(
    picture: &Picture,
    known: &[Corners],
    beyond: f64,
    deadline: Deadline,
) -> Result<Vec<Region>, TimedOut> {
    deadline.check()?;
    let (across, down) = (picture.width / CELL, picture.height / CELL);
    let tensors = tensors(picture, across, down, deadline)?;
    let mut directions: Vec<Option<[f32; 2]>> =
        smoothed(&tensors, across, down).iter().map(direction).collect();
    for corners in known {
        deadline.check()?;
        let cells = |axis: usize, count: usize| {
            let (low, high) = corners.iter().fold((f64::MAX, f64::MIN), |(low, high), corner| {
                (low.min(corner[axis]), high.max(corner[axis]))
            });
            let cell = |place: f64| (place / CELL as f64) as usize;
            cell(low - beyond)..(cell(high + beyond) + 1).min(count)
        };
        for row in cells(1, down) {
            for at in cells(0, across).map(|column| row * across + column) {
                if directions[at].is_some() && is_within(corners, centre(at, across), beyond) {
                    directions[at] = None;
                }
            }
        }
    }
    let mut regions = Vec::new();
    let (mut cells, mut next) = (Vec::new(), Vec::new());
    for seed in 0..directions.len() {
        if seed.is_multiple_of(CELLS_PER_CHECK) {
            deadline.check()?;
        }
        let Some(first) = directions[seed].take() else { continue };
        cells.clear();
        next.push((seed, first));
        while let Some((at, own)) = next.pop() {
            cells.push(at);
            let (column, row) = (at % across, at / across);
            for y in row.saturating_sub(1)..(row + 2).min(down) {
                for x in column.saturating_sub(1)..(column + 2).min(across) {
                    let neighbour = &mut directions[y * across + x];
                    let alike = |it: &mut [f32; 2]| own[0] * it[0] + own[1] * it[1] > ALIKE;
                    if let Some(theirs) = neighbour.take_if(alike) {
                        next.push((y * across + x, theirs));
                    }
                }
            }
        }
        if cells.len() >= FEWEST {
            regions.push(region(&cells, &tensors, across));
        }
    }
    Ok(regions)
}

fn centre(at: usize, across: usize) -> [f64; 2] {
    [at % across, at / across].map(|it| (it * CELL + CELL / 2) as f64)
}

/// The tensor of each cell. The gradients are differences within squares of four pixels, which show bars of a single
/// pixel, too.
fn tensors(
    picture: &Picture,
    across: usize,
    down: usize,
    deadline: Deadline,
) -> Result<Vec<Tensor>, TimedOut> {
    let width = picture.width;
    let mut tensors = vec![[0.0; 3]; across * down];
    // The squares of the last row of pixels would reach beyond the picture, and so would those of the last column.
    for y in 0..(down * CELL).min(picture.height - 1) {
        if y % rows_per_check(width) == 0 {
            deadline.check()?;
        }
        let (upper, lower) = (&picture.grey[y * width..][..width], &picture.grey[(y + 1) * width..][..width]);
        let row = &mut tensors[y / CELL * across..][..across];
        for (x, tensor) in row.iter_mut().enumerate() {
            let columns = x * CELL..((x + 1) * CELL + 1).min(width);
            let (a, b) = (&upper[columns.clone()], &lower[columns]);
            let (mut xx, mut yy, mut xy) = (0_i32, 0_i32, 0_i32);
            for ((a, a_next), (b, b_next)) in a.iter().zip(&a[1..]).zip(b.iter().zip(&b[1..])) {
                let [a, a_next, b, b_next] = [a, a_next, b, b_next].map(|it| i32::from(*it));
                let (falling, rising) = (b_next - a, a_next - b);
                let (gx, gy) = (falling + rising, falling - rising);
                xx += gx * gx;
                yy += gy * gy;
                xy += gx * gy;
            }
            *tensor = [tensor[0] + xx as f32, tensor[1] + yy as f32, tensor[2] + xy as f32];
        }
    }
    Ok(tensors)
}

/// The sum of each tensor and those of its eight neighbours.
fn smoothed(tensors: &[Tensor], across: usize, down: usize) -> Vec<Tensor> {
    let mut smooth = vec![[0.0; 3]; tensors.len()];
    for row in 0..down {
        for column in 0..across {
            let mut sum = [0.0; 3];
            for y in row.saturating_sub(1)..(row + 2).min(down) {
                for tensor in &tensors[y * across..][column.saturating_sub(1)..(column + 2).min(across)] {
                    sum = [sum[0] + tensor[0], sum[1] + tensor[1], sum[2] + tensor[2]];
                }
            }
            smooth[row * across + column] = sum;
        }
    }
    smooth
}

/// The direction of a tensor, as the unit vector of twice its angle, so that opposite directions are the same; `None`
/// where it has no direction.
fn direction([xx, yy, xy]: &Tensor) -> Option<[f32; 2]> {
    let (energy, double) = (xx + yy, [xx - yy, 2.0 * xy]);
    let length = double[0].hypot(double[1]);
    let least = ENERGY * (9 * CELL * CELL) as f32;
    (energy > least && length > COHERENCE * energy).then(|| double.map(|it| it / length))
}

fn region(cells: &[usize], tensors: &[Tensor], across: usize) -> Region {
    let [xx, yy, xy] = cells.iter().fold([0.0_f64; 3], |sum, &at| {
        let tensor = tensors[at].map(f64::from);
        [sum[0] + tensor[0], sum[1] + tensor[1], sum[2] + tensor[2]]
    });
    let angle = (2.0 * xy).atan2(xx - yy) / 2.0;
    let (sine, cosine) = angle.sin_cos();
    let (mut low, mut high) = ([f64::MAX; 2], [f64::MIN; 2]);
    for &at in cells {
        let [x, y] = centre(at, across);
        for (axis, place) in [x * cosine + y * sine, y * cosine - x * sine].into_iter().enumerate() {
            low[axis] = low[axis].min(place - (CELL / 2) as f64);
            high[axis] = high[axis].max(place + (CELL / 2) as f64);
        }
    }
    let [along, aside] = [0, 1].map(|axis| (low[axis] + high[axis]) / 2.0);
    let middle = [along * cosine - aside * sine, along * sine + aside * cosine];
    Region { middle, angle, half: [0, 1].map(|axis| (high[axis] - low[axis]) / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bars of eight pixels with spaces of four, in a rectangle of 120 × 60 around (100, 90), turned by `degrees`.
    fn bars(degrees: f64) -> Picture {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let grey = (0..180 * 200).map(|at| {
            let (x, y) = ((at % 200) as f64 - 99.5, (at / 200) as f64 - 89.5);
            let (along, aside) = (x * cosine + y * sine, y * cosine - x * sine);
            let dark = along.abs() < 60.0 && aside.abs() < 30.0 && (along + 60.0) as usize % 12 % 8 < 4;
            if dark { 30 } else { 220 }
        });
        Picture { grey: grey.collect(), width: 200, height: 180 }
    }

    #[test]
    fn bars_make_one_region_whichever_way_they_are_turned() {
        for degrees in (-80..=90).step_by(10).map(f64::from) {
            let found = regions(&bars(degrees), &[], 0.0, Deadline::none()).expect("no deadline");
            let largest = found.iter().max_by(|a, b| a.half[0].total_cmp(&b.half[0])).expect("a region");
            let off = (largest.angle.to_degrees() - degrees).rem_euclid(180.0);
            assert!(off.min(180.0 - off) < 6.0, "{degrees}°: {}", largest.angle.to_degrees());
            let [x, y] = largest.middle;
            assert!((x - 100.0).hypot(y - 90.0) < 8.0, "{degrees}°: {x}, {y}");
            let [across, along] = largest.half;
            assert!(
                (across - 60.0).abs() < 24.0 && (along - 30.0).abs() < 24.0,
                "{degrees}°: {across} × {along}"
            );
        }
    }

    #[test]
    fn known_codes_and_noise_make_no_region() {
        let found = |picture: &Picture, known: &[Corners]| {
            regions(picture, known, 14.0, Deadline::none()).expect("no deadline").len()
        };
        // First a part of the bars is known, turned as they are, then all of them.
        let around = |[along, aside]: [f64; 2]| {
            [[-along, -aside], [along, -aside], [along, aside], [-along, aside]].map(|[x, y]| {
                let (sine, cosine) = 30_f64.to_radians().sin_cos();
                [100.0 + x * cosine - y * sine, 90.0 + x * sine + y * cosine]
            })
        };
        assert!(found(&bars(30.0), &[around([20.0, 5.0])]) > 0);
        assert_eq!(found(&bars(30.0), &[around([60.0, 30.0])]), 0);
        // Xorshift (Marsaglia 2003).
        let mut state = 2_463_534_242_u32;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 24) as u8
        });
        let noise = noise.take(200 * 180).collect();
        assert_eq!(found(&Picture { grey: noise, width: 200, height: 180 }, &[]), 0);
    }
}
