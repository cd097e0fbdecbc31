//! FAST-9 with its score, as OpenCV's `FAST` with non-maximum suppression.
//!
//! A pixel is a corner if at least nine consecutive pixels of the sixteen on a circle of radius 3 around it are all
//! brighter, or all darker, than itself by more than the threshold. Its score is the greatest threshold with which it
//! still is a corner. It is kept if its score is greater than those of all eight pixels around it. Pixels nearer than 3
//! to the border are no corners.

use imaging::{Deadline, TimedOut};

use crate::{kernels::wide, pace::Looks, peaks::rows_per_check, window::Window};

/// The circle's radius.
const MARGIN: usize = 3;
/// The pixels on the circle in order around it, as column and row counted from the pixel three to the left of the
/// centre and three above it.
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
/// The number of pixels that are worked on together.
const LANES: usize = 32;

/// Makes an array of eight values from an expression in their index. Written out, so that every place on the circle is
/// a constant.
macro_rules! eight {
    (|$k:ident| $of:expr) => {
        eight!(@ $k $of; 0 1 2 3 4 5 6 7)
    };
    (@ $k:ident $of:expr; $($number:literal)*) => {
        [$({
            const $k: usize = $number;
            $of
        }),*]
    };
}

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
            if row % rows_per_check(width) == 0 {
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

/// The number of corners that are sorted between two checks of the deadline.
const CORNERS_PER_CHECK: usize = 1 << 20;

/// The corners by score, descending; those of equal score keep their order (a counting sort).
pub(super) fn sorted(corners: &[Corner], deadline: Deadline) -> Result<Vec<Corner>, TimedOut> {
    let mut places = [0usize; 256];
    for corner in corners {
        places[usize::from(255 - corner.score)] += 1;
    }
    let mut start = 0;
    for place in &mut places {
        (*place, start) = (start, start + *place);
    }
    let mut sorted = corners.to_vec();
    let mut looks = Looks::each(CORNERS_PER_CHECK, deadline);
    for corner in corners {
        looks.count(1)?;
        let place = &mut places[usize::from(255 - corner.score)];
        sorted[*place] = *corner;
        *place += 1;
    }
    Ok(sorted)
}

/// The corners of a plane, row by row.
pub(super) fn corners(plane: &Plane, threshold: u8, deadline: Deadline) -> Result<Vec<Corner>, TimedOut> {
    let Plane { width, height, .. } = *plane;
    let mut found = Vec::new();
    if width <= 2 * MARGIN || height <= 2 * MARGIN {
        return Ok(found);
    }
    // The scores of the row above, of the row that is searched, and of the row below.
    let mut scores: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; width]);
    let mut peaks = vec![0; width];
    for row in MARGIN..=height - MARGIN {
        if row % rows_per_check(width) == 0 {
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
        maxima([above, middle, below], &mut peaks, |column| {
            found.push(Corner { column: column as u32, row: row as u32 - 1, score: middle[column] });
        });
    }
    Ok(found)
}

/// Calls `found` for each column whose score in the middle row is greater than the eight around it. `peaks` is a buffer
/// of a row's length and is overwritten.
fn maxima(rows: [&[u8]; 3], peaks: &mut [u8], mut found: impl FnMut(usize)) {
    let width = peaks.len();
    let [above, middle, below] = rows.map(|row| &row[..width]);
    wide(
        #[inline(always)]
        || {
            // The first and the last column have no corners: they are within the margin. So each column here has both
            // neighbours.
            for column in 1..width - 1 {
                let beside = middle[column - 1].max(middle[column + 1]);
                let over = above[column - 1].max(above[column]).max(above[column + 1]);
                let under = below[column - 1].max(below[column]).max(below[column + 1]);
                let others = beside.max(over).max(under);
                peaks[column] = if middle[column] > others { 255 } else { 0 };
            }
        },
    );
    for (block, peaks) in peaks.chunks(LANES).enumerate() {
        if peaks.iter().fold(0, |any, peak| any | peak) > 0 {
            let columns = peaks.iter().enumerate().filter(|(_, peak)| **peak > 0);
            columns.for_each(|(i, _)| found(block * LANES + i));
        }
    }
}

/// Writes the scores of the middle one of seven rows, 0 where there is no corner. The first and the last three columns
/// are left as they are.
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
                // The columns that are left are scored together with some that have been scored already.
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
    let centre = lanes(rows, at, [3, 3]);
    let out = &mut out[at..at + N];
    // An arc of nine contains at least one of any two opposite pixels, so each pair bounds the score. Four pairs are
    // tried first, then all eight: most pixels are ruled out without looking at arcs.
    let mut bounds = [[255; N]; 2];
    macro_rules! bound {
        ($($k:literal)*) => {
            $({
                let (a, b) = (lanes(rows, at, CIRCLE[$k]), lanes(rows, at, CIRCLE[$k + 8]));
                let (high, low) = (each(a, b, u8::max), each(a, b, u8::min));
                bounds[0] = each(bounds[0], each(high, centre, u8::saturating_sub), u8::min);
                bounds[1] = each(bounds[1], each(centre, low, u8::saturating_sub), u8::min);
            })*
            if !passes(each(bounds[0], bounds[1], u8::max), threshold) {
                out.fill(0);
                return;
            }
        };
    }
    bound!(0 2 4 6);
    bound!(1 3 5 7);
    let mut best = [0; N];
    if passes(bounds[0], threshold) {
        let brighter = greatest_arc::<N>(
            #[inline(always)]
            |k| each(lanes(rows, at, CIRCLE[k % 16]), centre, u8::saturating_sub),
        );
        best = brighter;
    }
    if passes(bounds[1], threshold) {
        let darker = greatest_arc::<N>(
            #[inline(always)]
            |k| each(centre, lanes(rows, at, CIRCLE[k % 16]), u8::saturating_sub),
        );
        best = each(best, darker, u8::max);
    }
    for (out, best) in out.iter_mut().zip(best) {
        *out = if best > threshold { best - 1 } else { 0 };
    }
}

/// Whether any of the bounds is above the threshold.
#[inline(always)]
fn passes<const N: usize>(bounds: [u8; N], threshold: u8) -> bool {
    bounds.iter().fold(0u8, |any, bound| any | bound.saturating_sub(threshold)) > 0
}

/// `N` pixels of one of the seven rows, beginning at column `at` moved to a place on the circle.
#[inline(always)]
fn lanes<const N: usize>(rows: [&[u8]; 7], at: usize, [column, row]: [usize; 2]) -> [u8; N] {
    let mut lanes = [0; N];
    lanes.copy_from_slice(&rows[row][at + column - MARGIN..][..N]);
    lanes
}

/// The greatest, over all arcs of nine, of the least difference on the arc.
#[inline(always)]
fn greatest_arc<const N: usize>(difference: impl Fn(usize) -> [u8; N]) -> [u8; N] {
    // The minima of two neighbours, then of four, then of eight. Those that start at odd places suffice: each run of
    // eight is part of two arcs, one with the pixel before it and one with the pixel after it.
    let two: [[u8; N]; 8] = eight!(|K| each(difference(2 * K + 1), difference(2 * K + 2), u8::min));
    let four: [[u8; N]; 8] = eight!(|K| each(two[K], two[(K + 1) % 8], u8::min));
    let arcs: [[u8; N]; 8] = eight!(|K| {
        let eight = each(four[K], four[(K + 2) % 8], u8::min);
        each(eight, each(difference(2 * K), difference(2 * K + 9), u8::max), u8::min)
    });
    let [a, b, c, d, e, f, g, h] = arcs;
    let first = each(each(a, b, u8::max), each(c, d, u8::max), u8::max);
    let second = each(each(e, f, u8::max), each(g, h, u8::max), u8::max);
    each(first, second, u8::max)
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

    /// The corners by definition, threshold by threshold: the reference for the fast ones.
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
            // A few distinct values make arcs and ties.
            let value = |i: u32| {
                let mixed = (i ^ seed).wrapping_mul(2_654_435_761).wrapping_add(seed);
                let byte = ((mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca77) >> 23) as u8;
                if few { byte / 86 * 120 } else { byte }
            };
            // Blocks of 2 × 2.
            let at = |i: usize| value((i % width / 2 + i / width / 2 * 997) as u32);
            let plane = Plane { width, height, values: (0..width * height).map(at).collect() };
            let is = corners(&plane, threshold, Deadline::none()).expect("no deadline");
            let mut by_score = is.clone();
            by_score.sort_by_key(|corner| std::cmp::Reverse(corner.score));
            prop_assert_eq!(sorted(&is, Deadline::none()).expect("no deadline"), by_score);
            prop_assert_eq!(is, plain(&plane, threshold));
        }
    }
}
