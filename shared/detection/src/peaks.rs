//! Peaks of a response plane, as scikit-image's `feature.corner_peaks` defines them.

use imaging::Deadline;

use crate::{
    DetectError,
    algorithm::{Memory, bytes},
    kernels, pace,
};

/// The number of rows of that width between two checks of the deadline.
pub(crate) fn rows_per_check(width: usize) -> usize {
    const PIXELS: usize = 1 << 20;
    (PIXELS / width.max(1)).clamp(1, 64)
}

/// The bytes that a candidate may take: as such, and as a point that each of two spacings has admitted.
const CANDIDATE: usize = 3 * size_of::<Peak>() + 2 * size_of::<u32>();

/// A plane of responses, row by row, with its extremes.
pub(crate) struct Response {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) values: Vec<f32>,
    pub(crate) min: f32,
    pub(crate) max: f32,
}

/// A peak: its pixel, and the response there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Peak {
    pub(crate) column: u32,
    pub(crate) row: u32,
    pub(crate) response: f32,
}

/// `corner_peaks(response, min_distance, threshold_rel=threshold, exclude_border=True, num_peaks=max_points)`:
///
/// - a peak is a pixel that is the maximum of the square of `2 · min_distance + 1` pixels around it;
/// - its response is greater than `threshold · max` and than the plane's minimum;
/// - it is at least `min_distance` pixels away from every side of the plane;
/// - peaks come by response, descending, equal ones by row, then by column;
/// - of two peaks no more than `min_distance` apart (Chebyshev) the first stays.
///
/// Only equal responses can be that near to each other, so the last rule thins plateaus. As in scikit-image it is
/// applied twice, first to peaks less than `min_distance` apart and then to those at most that far apart; on a plateau
/// this gives other peaks than applying it once.
pub(crate) fn find(
    plane: &Response,
    min_distance: usize,
    threshold: f32,
    max_points: usize,
    memory: Memory,
    deadline: Deadline,
) -> Result<Vec<Peak>, DetectError> {
    let threshold = kernels::larger(plane.min, threshold * plane.max);
    let mut candidates = maxima(plane, min_distance, threshold, memory, deadline)?;
    let order = |a: &Peak, b: &Peak| {
        b.response.total_cmp(&a.response).then((a.row, a.column).cmp(&(b.row, b.column)))
    };
    pace::sort(&mut candidates, order, deadline)?;
    let mut nearer = Spaced::new(plane, min_distance, min_distance.saturating_sub(1));
    let mut spaced = Spaced::new(plane, min_distance, min_distance);
    for (i, candidate) in candidates.iter().enumerate() {
        if i % 4096 == 0 {
            deadline.check()?;
        }
        if nearer.admit(candidate) && spaced.admit(candidate) && spaced.admitted.len() == max_points {
            break;
        }
    }
    Ok(spaced.admitted)
}

/// Every pixel above `threshold` that is the maximum of the square of `2 · reach + 1` pixels around it, if that square
/// lies inside the plane.
///
/// The maximum filter is separable: along the rows by doubling spans, down the columns by van Herk's method (prefix
/// maxima of one group of rows against suffix maxima of the group before; 1992, doi:10.1016/0167-8655(92)90069-C). The
/// cost does not depend on the image's content; the buffer has `2 · reach + 1` rows, never more than the plane.
fn maxima(
    plane: &Response,
    reach: usize,
    threshold: f32,
    memory: Memory,
    deadline: Deadline,
) -> Result<Vec<Peak>, DetectError> {
    let mut found = Vec::new();
    let length = 2 * reach + 1;
    if plane.width < length || plane.height < length {
        return Ok(found);
    }
    let n = plane.width - 2 * reach;
    let mut group = vec![0.0f32; length * n];
    let mut prefix = vec![0.0f32; n];
    let (mut window, mut spare) = (Vec::with_capacity(plane.width), Vec::with_capacity(plane.width));
    for (row, values) in plane.values.chunks_exact(plane.width).enumerate() {
        if row % rows_per_check(plane.width) == 0 {
            deadline.check()?;
            memory.allows(bytes(found.len(), CANDIDATE))?;
        }
        let in_row = kernels::windowed_max(values, length, &mut window, &mut spare);
        let place = row % length;
        if place == 0 {
            prefix.copy_from_slice(in_row);
        } else {
            kernels::raise(&mut prefix, in_row);
        }
        if row + 1 >= length {
            let centre_row = row - reach;
            let centre = &plane.values[centre_row * plane.width + reach..][..n];
            let suffix = if place + 1 == length { &prefix } else { &group[(place + 1) * n..(place + 2) * n] };
            push_maxima(centre, &prefix, suffix, threshold, |i, response| {
                found.push(Peak { column: (reach + i) as u32, row: centre_row as u32, response });
            });
        }
        group[place * n..(place + 1) * n].copy_from_slice(in_row);
        if place + 1 == length {
            for earlier in (0..place).rev() {
                let (before, after) = group.split_at_mut((earlier + 1) * n);
                kernels::raise(&mut before[earlier * n..], &after[..n]);
            }
        }
    }
    Ok(found)
}

/// Calls `push` for each i where `centre[i]` is above the threshold and not below `first[i]` or `second[i]`.
fn push_maxima(
    centre: &[f32],
    first: &[f32],
    second: &[f32],
    threshold: f32,
    mut push: impl FnMut(usize, f32),
) {
    const BLOCK: usize = 32;
    let peak = |c: f32, a: f32, b: f32| (c >= a) & (c >= b) & (c > threshold);
    let blocks = centre.chunks(BLOCK).zip(first.chunks(BLOCK)).zip(second.chunks(BLOCK));
    for (block, ((c, a), b)) in blocks.enumerate() {
        let any = c.iter().zip(a).zip(b).fold(false, |any, ((c, a), b)| any | peak(*c, *a, *b));
        if any {
            for (i, ((c, a), b)) in c.iter().zip(a).zip(b).enumerate() {
                if peak(*c, *a, *b) {
                    push(block * BLOCK + i, *c);
                }
            }
        }
    }
}

/// Points that are admitted one by one if they are more than `apart` pixels (Chebyshev) from all points before them. A
/// grid of cells finds the rivals of a point: they lie in its own cell and the eight around it.
struct Spaced {
    apart: usize,
    cell: usize,
    columns: usize,
    /// The latest point of each cell: its index in `admitted` plus one, or 0 for none.
    latest: Vec<u32>,
    /// For each point, the point before it in its cell, in the same notation.
    earlier: Vec<u32>,
    admitted: Vec<Peak>,
}

impl Spaced {
    fn new(plane: &Response, min_distance: usize, apart: usize) -> Self {
        let cell = min_distance.max(8);
        let columns = plane.width / cell + 1;
        let cells = columns * (plane.height / cell + 1);
        Self { apart, cell, columns, latest: vec![0; cells], earlier: Vec::new(), admitted: Vec::new() }
    }

    fn admit(&mut self, candidate: &Peak) -> bool {
        let (column, row) = (candidate.column as usize / self.cell, candidate.row as usize / self.cell);
        let rows = self.latest.len() / self.columns;
        for r in row.saturating_sub(1)..(row + 2).min(rows) {
            for c in column.saturating_sub(1)..(column + 2).min(self.columns) {
                let mut rival = self.latest[r * self.columns + c] as usize;
                while let Some(i) = rival.checked_sub(1) {
                    let other = &self.admitted[i];
                    let far = other.column.abs_diff(candidate.column).max(other.row.abs_diff(candidate.row));
                    if far as usize <= self.apart {
                        return false;
                    }
                    rival = self.earlier[i] as usize;
                }
            }
        }
        self.earlier.push(self.latest[row * self.columns + column]);
        self.admitted.push(*candidate);
        self.latest[row * self.columns + column] = u32::try_from(self.admitted.len()).unwrap_or(u32::MAX);
        true
    }
}

impl Response {
    /// The place between the pixels where the response peaks: the offset (dx, dy) from the centre of `peak`, each
    /// within ±0.5.
    ///
    /// It is the maximum of the quadratic that has the first and second differences of the 3 × 3 neighbourhood (Brown &
    /// Lowe, "Invariant features from interest point groups", BMVC 2002): with gradient g and Hessian H, −H⁻¹ g, where
    /// g = ((E − W)/2, (S − N)/2), Hxx = E − 2C + W, Hyy = S − 2C + N, Hxy = (SE − SW − NE + NW)/4. Where H is not
    /// negative definite, the offset is 0. A peak on the plane's edge stays where it is.
    pub(crate) fn refine(&self, peak: &Peak) -> (f64, f64) {
        let inside = |at: usize, end: usize| at >= 1 && at + 1 < end;
        let (column, row) = (peak.column as usize, peak.row as usize);
        if !inside(column, self.width) || !inside(row, self.height) {
            return (0.0, 0.0);
        }
        let at = row * self.width + column;
        let row = |start: usize| [0, 1, 2].map(|i| f64::from(self.values[start - 1 + i]));
        let [[nw, n, ne], [w, c, e], [sw, s, se]] = [at - self.width, at, at + self.width].map(row);
        let (gx, gy) = ((e - w) / 2.0, (s - n) / 2.0);
        let (hxx, hyy) = (e - 2.0 * c + w, s - 2.0 * c + n);
        let hxy = ((se - sw) - (ne - nw)) / 4.0;
        let determinant = hxx * hyy - hxy * hxy;
        let curvature = hxx + hyy;
        if !(hxx < 0.0 && determinant > 1e-9 * curvature * curvature) {
            return (0.0, 0.0);
        }
        let dx = (hxy * gy - hyy * gx) / determinant;
        let dy = (hxy * gx - hxx * gy) / determinant;
        (dx.clamp(-0.5, 0.5), dy.clamp(-0.5, 0.5))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plane(width: usize, values: Vec<f32>) -> Response {
        let (min, max) = kernels::extremes(&values);
        Response { width, height: values.len() / width, values, min, max }
    }

    /// `corner_peaks` by its definition, in quadratic time: the reference for the fast one.
    fn plain(plane: &Response, m: usize, threshold: f32, max_points: usize) -> Vec<Peak> {
        let threshold = plane.min.max(threshold * plane.max);
        let mut found = Vec::new();
        for row in m..plane.height.saturating_sub(m) {
            for column in m..plane.width.saturating_sub(m) {
                let response = plane.values[row * plane.width + column];
                let highest = (row - m..=row + m)
                    .flat_map(|r| &plane.values[r * plane.width + column - m..=r * plane.width + column + m])
                    .all(|other| *other <= response);
                if highest && response > threshold {
                    found.push(Peak { column: column as u32, row: row as u32, response });
                }
            }
        }
        found.sort_by(|a, b| b.response.total_cmp(&a.response));
        for near in [m - 1, m] {
            let mut kept: Vec<Peak> = Vec::new();
            for peak in found {
                let apart = |k: &Peak| k.column.abs_diff(peak.column).max(k.row.abs_diff(peak.row));
                if kept.iter().all(|k| apart(k) as usize > near) {
                    kept.push(peak);
                }
            }
            found = kept;
        }
        found.truncate(max_points);
        found
    }

    proptest! {
        #[test]
        fn peaks_are_those_of_the_definition(
            width in 1usize..60,
            // A few distinct values make plateaus and ties.
            values in proptest::collection::vec(prop_oneof![0i16..4, 0i16..2000], 1..2500),
            m in 1usize..14,
            threshold in 0f32..1.0,
            max_points in 1usize..60,
        ) {
            let rows = values.len() / width;
            let values: Vec<f32> = values.into_iter().take(rows * width).map(f32::from).collect();
            prop_assume!(!values.is_empty());
            let plane = plane(width, values);
            let is = find(&plane, m, threshold, max_points, Memory::unlimited(), Deadline::none()).expect("no limit");
            prop_assert_eq!(is, plain(&plane, m, threshold, max_points));
        }

        #[test]
        fn refinement_finds_the_top_of_a_quadratic(
            dx in -0.45f64..0.45, dy in -0.45f64..0.45, a in 0.5f64..3.0, b in 0.5f64..3.0, c in -0.4f64..0.4,
        ) {
            let value = |x: f64, y: f64| {
                let (x, y) = (x - dx, y - dy);
                (100.0 - a * x * x - b * y * y - c * x * y) as f32
            };
            let values = (0..9).map(|i| value(f64::from(i % 3) - 1.0, f64::from(i / 3) - 1.0)).collect();
            let plane = plane(3, values);
            let (x, y) = plane.refine(&Peak { column: 1, row: 1, response: plane.values[4] });
            prop_assert!((x - dx).abs() < 1e-3 && (y - dy).abs() < 1e-3, "{} {}", x - dx, y - dy);
        }
    }
}
