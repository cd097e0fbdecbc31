//! The keypoints of ORB, as OpenCV's `ORB` finds them: patches of 31 px, scored by Harris's measure.
//!
//! 1. A pyramid: each level is the level before, reduced bilinearly with weights in steps of 1/256
//!    (`INTER_LINEAR_EXACT`).
//! 2. The corners of FAST on each level (see `fast`) that are at least 31 px from the border. Twice as many as the
//!    level's share are kept, by score, with all that have the same score as the last.
//! 3. Of those, the level's share, by Harris's response over 7 × 7 px. The shares fall from level to level by the scale
//!    factor, in proportion to the levels' side lengths.
//! 4. The angle, from the centre of a disc around the keypoint to the disc's centre of mass.
//!
//! As in OpenCV, a level's pixel (column, row) is placed at (column · scale, row · scale) of the image. That is up to
//! (scale − 1) / 2 px to the left of and above its centre.

use imaging::{Deadline, TimedOut};

use super::fast::{self, Corner, Plane};
use crate::{
    pace::{self, Looks},
    peaks::rows_per_check,
};

/// Half the size of a patch, in pixels of its level.
pub(super) const RADIUS: f64 = 15.5;

/// Corners nearer than this to a level's border are no keypoints.
const BORDER: usize = 31;
/// Harris's response is summed over a square that reaches this far from its centre.
const REACH: usize = 3;
const HARRIS_K: f32 = 0.04;
/// Half the width of the disc in each of its rows, from the middle row outwards.
const DISC: [usize; 16] = [15, 15, 15, 15, 14, 14, 14, 13, 13, 12, 11, 10, 9, 8, 6, 3];

/// The number of corners between two checks of the deadline.
const CORNERS_PER_CHECK: usize = 4096;

/// The parameters of `poi_detection` that ORB reads.
pub(super) struct Settings {
    pub(super) max_points: usize,
    pub(super) threshold: u8,
    pub(super) scale_factor: f32,
    pub(super) levels: usize,
}

/// A keypoint, in pixels of the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Keypoint {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) response: f32,
    /// From the x axis towards the y axis, 0 to 360 degrees.
    pub(super) angle: f32,
    pub(super) level: u8,
    pub(super) scale: f32,
}

/// The keypoints by response, descending; those of equal response by level, row and column.
pub(super) fn keypoints(
    image: Plane,
    settings: &Settings,
    deadline: Deadline,
) -> Result<Vec<Keypoint>, TimedOut> {
    let (width, height) = (image.width, image.height);
    let mut plane = image;
    let mut found = Vec::new();
    for (level, wanted) in (0u8..).zip(shares(settings)) {
        let scale = f64::from(settings.scale_factor).powi(i32::from(level)) as f32;
        let [width, height] = [width, height].map(|side| reduced(side, scale));
        if width <= 2 * BORDER || height <= 2 * BORDER {
            break;
        }
        if level > 0 {
            plane = reduce(&plane, width, height, deadline)?;
        }
        let best = best(&plane, wanted, settings.threshold, deadline)?;
        let mut looks = Looks::each(CORNERS_PER_CHECK, deadline);
        for (corner, response) in best {
            looks.count(1)?;
            let place = |at: u32| f64::from(at as f32 * scale) + 0.5;
            let (x, y) = (place(corner.column), place(corner.row));
            found.push(Keypoint { x, y, response, angle: angle(&plane, &corner), level, scale });
        }
    }
    found.sort_by(|a, b| b.response.total_cmp(&a.response));
    found.truncate(settings.max_points);
    Ok(found)
}

/// Each level's share of the keypoints.
fn shares(settings: &Settings) -> Vec<usize> {
    let Settings { max_points, levels, .. } = *settings;
    let factor = (1.0 / f64::from(settings.scale_factor)) as f32;
    let all = f64::from(factor).powi(levels as i32) as f32;
    let mut share = max_points as f32 * (1.0 - factor) / (1.0 - all);
    let mut left = max_points;
    let mut shares = Vec::with_capacity(levels);
    for _ in 1..levels {
        let wanted = whole(share);
        shares.push(wanted);
        left = left.saturating_sub(wanted);
        share *= factor;
    }
    shares.push(left);
    shares
}

/// The length of a side on a level of the pyramid.
fn reduced(side: usize, scale: f32) -> usize {
    whole(side as f32 * (1.0 / scale))
}

/// The nearest whole number; the even one if two are equally near.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number")]
fn whole(value: f32) -> usize {
    value.round_ties_even() as usize
}

/// The best corners of a level, with their responses by Harris.
fn best(
    plane: &Plane,
    wanted: usize,
    threshold: u8,
    deadline: Deadline,
) -> Result<Vec<(Corner, f32)>, TimedOut> {
    let mut corners = fast::corners(plane, threshold, deadline)?;
    let inside = |at: u32, side: usize| (BORDER..side - BORDER).contains(&(at as usize));
    corners.retain(|corner| inside(corner.column, plane.width) && inside(corner.row, plane.height));
    let least = score_of(&corners, 2 * wanted);
    corners.retain(|corner| corner.score >= least);
    let mut scored = Vec::with_capacity(corners.len());
    for corners in corners.chunks(CORNERS_PER_CHECK) {
        deadline.check()?;
        scored.extend(corners.iter().map(|corner| (*corner, harris(plane, corner))));
    }
    let place = |(corner, _): &(Corner, f32)| (corner.row, corner.column);
    pace::sort(&mut scored, |a, b| b.1.total_cmp(&a.1).then_with(|| place(a).cmp(&place(b))), deadline)?;
    scored.truncate(wanted);
    Ok(scored)
}

/// The score of the corner that is `count`th by score; 0 where there are fewer.
fn score_of(corners: &[Corner], count: usize) -> u8 {
    let mut of_score = [0usize; 256];
    for corner in corners {
        of_score[usize::from(corner.score)] += 1;
    }
    let mut above = 0;
    for (score, more) in (0u8..=255).zip(of_score).rev() {
        above += more;
        if above >= count {
            return score;
        }
    }
    0
}

/// Harris's response over the square around a corner. The derivatives are Sobel's, scaled so that white is 1.
fn harris(plane: &Plane, corner: &Corner) -> f32 {
    let (column, row) = (corner.column as usize, corner.row as usize);
    let (mut a, mut b, mut c) = (0i32, 0i32, 0i32);
    for row in row - REACH..=row + REACH {
        let [above, middle, below] = [row - 1, row, row + 1]
            .map(|row| &plane.row(row)[column - REACH - 1..column + REACH + 2])
            .map(|row| std::array::from_fn::<i32, { 2 * REACH + 3 }, _>(|i| i32::from(row[i])));
        for i in 1..2 * REACH + 2 {
            let right = (middle[i + 1] - middle[i - 1]) * 2
                + (above[i + 1] - above[i - 1])
                + (below[i + 1] - below[i - 1]);
            let down =
                (below[i] - above[i]) * 2 + (below[i - 1] - above[i - 1]) + (below[i + 1] - above[i + 1]);
            a += right * right;
            b += down * down;
            c += right * down;
        }
    }
    let scale = 1.0 / (4.0 * (2 * REACH + 1) as f32 * 255.0);
    let [a, b, c] = [a, b, c].map(|sum| sum as f32);
    (a * b - c * c - HARRIS_K * (a + b) * (a + b)) * (scale * scale * scale * scale)
}

/// The direction from a corner to the centre of mass of the disc around it, in degrees.
fn angle(plane: &Plane, corner: &Corner) -> f32 {
    let (column, row) = (corner.column as usize, corner.row as usize);
    let (mut right, mut down) = (0i32, 0i32);
    for (v, reach) in DISC.into_iter().enumerate() {
        let across = |row: usize| &plane.row(row)[column - reach..=column + reach];
        let (above, below) = (across(row - v), across(row + v));
        let mut difference = 0;
        for ((u, above), below) in (-(reach as i32)..).zip(above).zip(below) {
            let (above, below) = (i32::from(*above), i32::from(*below));
            difference += below - above;
            right += u * if v == 0 { below } else { above + below };
        }
        down += v as i32 * difference;
    }
    let degrees = (down as f32).atan2(right as f32).to_degrees();
    if degrees < 0.0 { degrees + 360.0 } else { degrees }
}

/// For each value along a reduced side, the index of the first of the two values that it lies between, and the second's
/// weight in 256ths.
fn weights(from: usize, to: usize) -> Vec<(usize, u32)> {
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|i| {
            let place = (scale * (i as f64 + 0.5) - 0.5).clamp(0.0, (from - 1) as f64);
            (place as usize, (place.fract() * 256.0).round_ties_even() as u32)
        })
        .collect()
}

/// Reduces a level of the pyramid to the next one, of that width and height.
fn reduce(plane: &Plane, width: usize, height: usize, deadline: Deadline) -> Result<Plane, TimedOut> {
    let (columns, rows) = (weights(plane.width, width), weights(plane.height, height));
    let mut values = vec![0; width * height];
    let next = |at: usize, side: usize| (at + 1).min(side - 1);
    // Two rows of the finer level, reduced across, in 256ths; each with its index.
    let mut held = [const { (usize::MAX, Vec::new()) }; 2];
    for (i, (out, (row, weight))) in values.chunks_exact_mut(width).zip(rows).enumerate() {
        if i % rows_per_check(plane.width) == 0 {
            deadline.check()?;
        }
        if held[1].0 == row {
            held.swap(0, 1);
        }
        for (held, row) in held.iter_mut().zip([row, next(row, plane.height)]) {
            if held.0 != row {
                held.0 = row;
                let from = plane.row(row);
                let between = |(at, weight): &(usize, u32)| {
                    u32::from(from[*at]) * (256 - weight) + u32::from(from[next(*at, from.len())]) * weight
                };
                held.1.clear();
                held.1.extend(columns.iter().map(between));
            }
        }
        let [(_, above), (_, below)] = &held;
        for ((out, above), below) in out.iter_mut().zip(above).zip(below) {
            *out = ((above * (256 - weight) + below * weight + (1 << 15)) >> 16) as u8;
        }
    }
    Ok(Plane { width, height, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_shared_out_as_in_opencv() {
        let settings = Settings { max_points: 500, threshold: 20, scale_factor: 1.2, levels: 8 };
        assert_eq!(shares(&settings), [109, 90, 75, 63, 52, 44, 36, 31]);
        assert_eq!(shares(&Settings { levels: 1, ..settings }), [500]);
    }

    #[test]
    fn the_angle_points_to_where_it_is_brighter() {
        let toward = |bright: &dyn Fn(usize, usize) -> bool| {
            let value = |i: usize| if bright(i % 41, i / 41) { 200 } else { 50 };
            let plane = Plane { width: 41, height: 41, values: (0..41 * 41).map(value).collect() };
            angle(&plane, &Corner { column: 20, row: 20, score: 1 })
        };
        for (is, expected) in [
            (toward(&|x, _| x > 20), 0.0),
            (toward(&|x, y| x > 20 && y > 20), 45.0),
            (toward(&|_, y| y > 20), 90.0),
            (toward(&|x, _| x < 20), 180.0),
            (toward(&|_, y| y < 20), 270.0),
        ] {
            assert!((is - expected).abs() < 0.01, "{is} is not {expected}");
        }
    }

    #[test]
    fn a_level_keeps_one_colour_and_a_ramp() {
        let value = |i: usize| (i % 120 * 2) as u8;
        let ramp = Plane { width: 120, height: 70, values: (0..120 * 70).map(value).collect() };
        let level = reduce(&ramp, 100, 58, Deadline::none()).expect("no deadline");
        for (column, is) in level.row(30).iter().enumerate() {
            let expected = ((column as f64 + 0.5) * 1.2 - 0.5) * 2.0;
            assert!((f64::from(*is) - expected).abs() <= 0.6, "{column}: {is} is not {expected}");
        }
        let flat = Plane { width: 90, height: 80, values: vec![137; 90 * 80] };
        let level = reduce(&flat, 75, 67, Deadline::none()).expect("no deadline");
        assert!(level.values.iter().all(|v| *v == 137));
    }
}
