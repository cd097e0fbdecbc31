//! FAST-9 with its score, as OpenCV's `FAST` with suppression of what is no maximum.
//!
//! A pixel is a corner where nine neighbours or more of the sixteen on a circle of radius 3 around it are all brighter or
//! all darker than itself by more than the threshold. Its score is the greatest threshold with which it still is one. It
//! stays where its score is greater than those of all eight pixels around it. Pixels nearer than 3 to the border are none.

use imaging::{Deadline, TimedOut};

use crate::{kernels::wide, peaks::ROWS_PER_CHECK, window::Window};

/// The circle's radius.
const MARGIN: usize = 3;
/// The pixels on the circle in order around it, as columns and rows counted from three to the left and above.
const CIRCLE: [[usize; 2]; 16] = [
    [3, 6],
    [4, 6],
    [5, 5],
    [6, 4],
    [6, 3],
    [6, 2],
    [5, 1],
    [4, 0],
    [3, 0],
    [2, 0],
    [1, 1],
    [0, 2],
    [0, 3],
    [0, 4],
    [1, 5],
    [2, 6],
];
/// Pixels that are worked together.
const LANES: usize = 32;

/// A plane of grey, 0 to 255, row by row.
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<u8>,
}

impl Plane {
    /// The grey of a window.
    pub(super) fn of(window: Window<'_>, deadline: Deadline) -> Result<Self, TimedOut> {
        let Window { width, height, .. } = window;
        let mut values = vec![0; width * height];
        for (row, values) in values.chunks_exact_mut(width).enumerate() {
            if row % ROWS_PER_CHECK == 0 {
                deadline.check()?;
            }
            window.bytes(row, values);
        }
        Ok(Self { width, height, values })
    }

    pub(super) fn row(&self, row: usize) -> &[u8] {
        &self.values[row * self.width..][..self.width]
    }
}

/// A corner: its pixel, and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Corner {
    pub(super) column: u32,
    pub(super) row: u32,
    pub(super) score: u8,
}

/// The corners, row by row.
pub(super) fn corners(plane: &Plane, threshold: u8, deadline: Deadline) -> Result<Vec<Corner>, TimedOut> {
    let Plane { width, height, .. } = *plane;
    let mut found = Vec::new();
    if width <= 2 * MARGIN || height <= 2 * MARGIN {
        return Ok(found);
    }
    // Scores of the row before, the row in question, and the one after it.
    let mut scores: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; width]);
    for row in MARGIN..=height - MARGIN {
        if row % ROWS_PER_CHECK == 0 {
            deadline.check()?;
        }
        scores.rotate_left(1);
        if row < height - MARGIN {
            let rows = std::array::from_fn(|i| plane.row(row - MARGIN + i));
            score_row(rows, threshold, &mut scores[2]);
        } else {
            scores[2].fill(0);
        }
        let [above, middle, below] = &scores;
        maxima([above, middle, below], |column| {
            found.push(Corner { column: column as u32, row: row as u32 - 1, score: middle[column] });
        });
    }
    Ok(found)
}

/// Calls `found` for each column whose score in the middle row is greater than the eight around it.
fn maxima(rows: [&[u8]; 3], mut found: impl FnMut(usize)) {
    let [above, middle, below] = rows;
    for (block, scores) in middle.chunks(LANES).enumerate() {
        if scores.iter().fold(0, |any, score| any | score) == 0 {
            continue;
        }
        for (i, score) in scores.iter().enumerate().filter(|(_, score)| **score > 0) {
            // Nothing is that near the border, so there are neighbours.
            let column = block * LANES + i;
            let around = column - 1..column + 2;
            let others = above[around.clone()].iter().chain(&below[around]);
            if middle[column - 1] < *score
                && middle[column + 1] < *score
                && others.fold(0, |greatest, other| greatest.max(*other)) < *score
            {
                found(column);
            }
        }
    }
}

/// The scores of the middle one of seven rows, 0 where there is no corner; the three at either end are left alone.
fn score_row(rows: [&[u8]; 7], threshold: u8, out: &mut [u8]) {
    wide(
        #[inline(always)]
        || {
            let end = out.len() - MARGIN;
            let mut at = MARGIN;
            while at + LANES <= end {
                score::<LANES>(rows, at, threshold, out);
                at += LANES;
            }
            if at < end && end >= MARGIN + LANES {
                // What is left, together with some that are known.
                score::<LANES>(rows, end - LANES, threshold, out);
            } else {
                (at..end).for_each(|at| score::<1>(rows, at, threshold, out));
            }
        },
    );
}

/// The scores of `N` pixels from column `at` on.
#[inline(always)]
fn score<const N: usize>(rows: [&[u8]; 7], at: usize, threshold: u8, out: &mut [u8]) {
    let lanes = |[column, row]: [usize; 2]| -> [u8; N] {
        let mut lanes = [0; N];
        lanes.copy_from_slice(&rows[row][at + column - MARGIN..][..N]);
        lanes
    };
    let centre = lanes([3, 3]);
    let out = &mut out[at..at + N];
    // Of two pixels opposite each other any arc has one, which bounds what it can score.
    let mut bounds = [[255; N]; 2];
    for k in [0, 2, 4, 6] {
        let (a, b) = (lanes(CIRCLE[k]), lanes(CIRCLE[k + 8]));
        let (high, low) = (each(a, b, u8::max), each(a, b, u8::min));
        bounds[0] = each(bounds[0], each(high, centre, u8::saturating_sub), u8::min);
        bounds[1] = each(bounds[1], each(centre, low, u8::saturating_sub), u8::min);
    }
    let bound = each(bounds[0], bounds[1], u8::max);
    if bound.iter().fold(0u8, |any, bound| any | bound.saturating_sub(threshold)) == 0 {
        out.fill(0);
        return;
    }
    let brighter = greatest_arc::<N>(|k| each(lanes(CIRCLE[k % 16]), centre, u8::saturating_sub));
    let darker = greatest_arc::<N>(|k| each(centre, lanes(CIRCLE[k % 16]), u8::saturating_sub));
    let best = each(brighter, darker, u8::max);
    for (out, best) in out.iter_mut().zip(best) {
        *out = if best > threshold { best - 1 } else { 0 };
    }
}

/// The greatest, over all arcs of nine, of the least difference on the arc.
#[inline(always)]
fn greatest_arc<const N: usize>(difference: impl Fn(usize) -> [u8; N]) -> [u8; N] {
    // The least of two neighbours, of four, of eight: those that start at odd places are enough, as two arcs share each.
    let two: [[u8; N]; 8] = lists(|i| each(difference(2 * i + 1), difference(2 * i + 2), u8::min));
    let four: [[u8; N]; 8] = lists(|i| each(two[i], two[(i + 1) % 8], u8::min));
    let mut greatest = [0; N];
    for i in 0..8 {
        let eight = each(four[i], four[(i + 2) % 8], u8::min);
        let ninth = each(difference(2 * i), difference(2 * i + 9), u8::max);
        greatest = each(greatest, each(eight, ninth, u8::min), u8::max);
    }
    greatest
}

#[inline(always)]
fn lists<const N: usize>(of: impl Fn(usize) -> [u8; N]) -> [[u8; N]; 8] {
    let mut lists = [[0; N]; 8];
    for (i, list) in lists.iter_mut().enumerate() {
        *list = of(i);
    }
    lists
}

#[inline(always)]
fn each<const N: usize>(a: [u8; N], b: [u8; N], of: impl Fn(u8, u8) -> u8) -> [u8; N] {
    let mut all = [0; N];
    for i in 0..N {
        all[i] = of(a[i], b[i]);
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, threshold by threshold.
    fn plain(plane: &Plane, threshold: u8) -> Vec<Corner> {
        let is_corner = |column: usize, row: usize, threshold: i32| {
            let centre = i32::from(plane.row(row)[column]);
            let circle = CIRCLE.map(|[x, y]| i32::from(plane.row(row + y - 3)[column + x - 3]));
            (0..16).any(|start| {
                let arc = |holds: &dyn Fn(i32) -> bool| (start..start + 9).all(|k| holds(circle[k % 16]));
                arc(&|v| v > centre + threshold) || arc(&|v| v < centre - threshold)
            })
        };
        let score = |column: usize, row: usize| {
            if column < 3 || row < 3 || column + 3 >= plane.width || row + 3 >= plane.height {
                return 0;
            }
            (i32::from(threshold)..255).take_while(|t| is_corner(column, row, *t)).last().unwrap_or(0)
        };
        let mut corners = Vec::new();
        for row in 3..plane.height.saturating_sub(3) {
            for column in 3..plane.width.saturating_sub(3) {
                let own = score(column, row);
                let others = (row - 1..row + 2).flat_map(|r| (column - 1..column + 2).map(move |c| (c, r)));
                let greatest = others.filter(|p| *p != (column, row)).map(|(c, r)| score(c, r)).max();
                if Some(own) > greatest {
                    corners.push(Corner { column: column as u32, row: row as u32, score: own as u8 });
                }
            }
        }
        corners
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn corners_are_those_of_the_definition(
            width in 1usize..60, height in 1usize..14, threshold in 1u8..120, seed in any::<u32>(), few in any::<bool>(),
        ) {
            // Few grey values make arcs and ties.
            let value = |i: u32| {
                let mixed = (i ^ seed).wrapping_mul(2_654_435_761).wrapping_add(seed);
                let byte = ((mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca77) >> 23) as u8;
                if few { byte / 86 * 120 } else { byte }
            };
            // Blocks of 2 × 2.
            let at = |i: usize| value((i % width / 2 + i / width / 2 * 997) as u32);
            let plane = Plane { width, height, values: (0..width * height).map(at).collect() };
            let is = corners(&plane, threshold, Deadline::none()).expect("no deadline");
            prop_assert_eq!(is, plain(&plane, threshold));
        }
    }
}
