//! Local maxima in a stack of planes: places that none of their 26 neighbours surpasses, as scikit-image's
//! `peak_local_max` finds them with a footprint of 3 × 3 × 3. Neighbours outside the image or the stack do not count. A
//! place whose neighbours within its plane are all equal to it is no maximum, because the plane is flat there.
//!
//! The values of a plane are known to within some slack. A neighbour surpasses a place only by more than the slack;
//! neighbours within it are reported as rivals, to be compared more closely.

use std::ops::Range;

use super::tiles::{Target, Tile};
use crate::{kernels::wide, window::Window};

/// A tile of a plane with a border of one pixel: the neighbouring tile's values where the window goes on, −∞ where it
/// ends.
#[derive(Default)]
pub(super) struct Plane {
    rows: Range<usize>,
    columns: Range<usize>,
    stride: usize,
    values: Vec<f32>,
}

impl Plane {
    /// Makes room for a tile, with −∞ along the sides where the window ends.
    pub(super) fn shape(&mut self, tile: &Tile, window: &Window<'_>) {
        self.rows = tile.rows.clone();
        self.columns = tile.columns.clone();
        self.stride = tile.columns.len() + 2;
        self.values.resize(self.stride * (tile.rows.len() + 2), 0.0);
        let last = self.values.len() - self.stride;
        if tile.rows.start == 0 {
            self.values[..self.stride].fill(f32::NEG_INFINITY);
        }
        if tile.rows.end == window.height {
            self.values[last..].fill(f32::NEG_INFINITY);
        }
        let (at_left, at_right) = (tile.columns.start == 0, tile.columns.end == window.width);
        for row in self.values.chunks_exact_mut(self.stride) {
            if at_left {
                row[0] = f32::NEG_INFINITY;
            }
            if at_right {
                row[row.len() - 1] = f32::NEG_INFINITY;
            }
        }
    }

    /// The place where a stack writes the values of `grown`, which is the tile with its neighbours inside the window.
    pub(super) fn target<'a>(&'a mut self, grown: &'a Tile) -> Target<'a> {
        let above = self.rows.start - grown.rows.start;
        let before = self.columns.start - grown.columns.start;
        let start = (1 - above) * self.stride + 1 - before;
        Target { tile: grown, out: &mut self.values[start..], stride: self.stride }
    }

    /// Becomes another plane inverted: `white` minus each of its values.
    pub(super) fn invert(&mut self, plane: &Self, white: f32) {
        self.rows = plane.rows.clone();
        self.columns = plane.columns.clone();
        self.stride = plane.stride;
        self.values.clear();
        let inverted = |v: &f32| if *v == f32::NEG_INFINITY { *v } else { white - v };
        self.values.extend(plane.values.iter().map(inverted));
    }
}

/// A place that no neighbour surpasses by more than the slack.
pub(super) struct Maximum {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) value: f32,
    /// The neighbours that may be greater, because they are within the slack, as steps in planes, rows and columns.
    pub(super) rivals: Vec<[i8; 3]>,
}

/// Calls `found` for each maximum of `plane` above `floor`, row by row. `beside` are the planes before and after it.
pub(super) fn maxima(
    beside: [Option<&Plane>; 2],
    plane: &Plane,
    floor: f32,
    slack: f32,
    mut found: impl FnMut(Maximum),
) {
    let Plane { rows, columns, stride, values } = plane;
    let mut blocks = Vec::new();
    for (i, row) in rows.clone().enumerate() {
        let three = [0, 1, 2].map(|below| &values[(i + below) * stride..][..*stride]);
        in_row(three, floor, slack, &mut blocks, |j| {
            let value = three[1][j + 1];
            let square = |plane: &Plane| {
                [0, 1, 2].map(|below| {
                    let at = (i + below) * plane.stride + j;
                    [plane.values[at], plane.values[at + 1], plane.values[at + 2]]
                })
            };
            let surpassed = |plane: &&Plane| square(plane).as_flattened().iter().any(|v| *v - slack > value);
            let flat = square(plane).as_flattened().iter().all(|other| *other == value);
            if flat || beside.iter().flatten().any(surpassed) {
                return;
            }
            let mut rivals = Vec::new();
            for (step, plane) in [(-1, beside[0]), (0, Some(plane)), (1, beside[1])] {
                let Some(plane) = plane else { continue };
                for (down, row) in (-1..).zip(square(plane)) {
                    let near = (-1..).zip(row).filter(|(_, v)| *v + slack >= value);
                    let steps = near.map(|(right, _)| [step, down, right]);
                    rivals.extend(steps.filter(|step| *step != [0; 3]));
                }
            }
            found(Maximum { row, column: columns.start + j, value, rivals });
        });
    }
}

/// The number of columns that are examined together.
const BLOCK: usize = 32;

/// A block of columns with at least one peak: where it starts, and which of its columns are peaks.
type Block = (usize, [bool; BLOCK]);

/// Calls `found` for each column of the middle row whose value is above `floor` and not below any of the eight around
/// it by more than `slack`. The rows have one value more at either end. `blocks` is overwritten.
fn in_row(rows: [&[f32]; 3], floor: f32, slack: f32, blocks: &mut Vec<Block>, mut found: impl FnMut(usize)) {
    let columns = rows[1].len() - 2;
    let whole = columns - columns % BLOCK;
    blocks.clear();
    wide(
        #[inline(always)]
        || {
            for start in (0..whole).step_by(BLOCK) {
                let block = rows.map(|row| &row[start..start + BLOCK + 2]);
                let high = block[1][1..=BLOCK].iter().fold(false, |any, c| any | (*c > floor));
                if high {
                    let mut peaks = [false; BLOCK];
                    for (j, peak) in peaks.iter_mut().enumerate() {
                        *peak = is_peak(block, j, floor, slack);
                    }
                    if peaks.iter().fold(false, |any, peak| any | peak) {
                        blocks.push((start, peaks));
                    }
                }
            }
        },
    );
    for (start, peaks) in blocks {
        peaks.iter().enumerate().filter(|(_, peak)| **peak).for_each(|(j, _)| found(*start + j));
    }
    (whole..columns).filter(|j| is_peak(rows, *j, floor, slack)).for_each(found);
}

#[inline(always)]
fn is_peak([above, middle, below]: [&[f32]; 3], j: usize, floor: f32, slack: f32) -> bool {
    let c = middle[j + 1] + slack;
    (middle[j + 1] > floor)
        & (c >= middle[j])
        & (c >= middle[j + 2])
        & (c >= above[j])
        & (c >= above[j + 1])
        & (c >= above[j + 2])
        & (c >= below[j])
        & (c >= below[j + 1])
        & (c >= below[j + 2])
}
