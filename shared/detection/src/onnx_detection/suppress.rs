//! Non-maximum suppression: of boxes that overlap, only the one with the best score is kept.

use std::collections::{BTreeMap, HashMap};

use imaging::{Deadline, TimedOut};

use super::description::Suppression;

/// A box in pixels of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    /// Left, top, right, bottom. Right is greater than left, and bottom than top.
    pub(super) corners: [f64; 4],
    pub(super) score: f64,
    pub(super) class: usize,
    /// The index of the showing in which it was found.
    pub(super) showing: usize,
    /// Whether the box ends where its showing does while the picture goes on, so that it may be only a part of a thing.
    pub(super) cut: bool,
}

/// The number of boxes between two checks of the deadline.
const STRETCH: usize = 256;

/// The boxes that are kept, strongest first.
///
/// Boxes that were cut are compared last. They yield to the box that another tile found for the same thing, however
/// small their overlap is in relation to the union.
///
/// A box is compared only with those whose centres are near enough for the sizes of both. For this, the kept boxes lie
/// in several grids, one for each power of two that their longer side is rounded up to, so that a large box among many
/// small ones costs little.
pub(super) fn suppress(
    mut found: Vec<Found>,
    how: Suppression,
    deadline: Deadline,
) -> Result<Vec<Found>, TimedOut> {
    found.sort_by(|a, b| a.cut.cmp(&b.cut).then_with(|| a.before(b)));
    let mut kept: BTreeMap<i32, Grid> = BTreeMap::new();
    for (i, candidate) in found.into_iter().enumerate() {
        if i % STRETCH == 0 {
            deadline.check()?;
        }
        let drops = |other: &Found| {
            (how.across_classes || other.class == candidate.class)
                && (!how.between_showings || other.showing != candidate.showing)
                && candidate.overlap(other) > how.iou
        };
        if !kept.values().any(|grid| grid.any_near(&candidate, drops)) {
            let size = candidate.side().max(1.0).log2().ceil();
            let grid = Grid { side: size.exp2(), squares: HashMap::new() };
            kept.entry(size as i32).or_insert(grid).put(candidate);
        }
    }
    let mut kept: Vec<_> = kept.into_values().flat_map(|grid| grid.squares.into_values().flatten()).collect();
    kept.sort_by(Found::before);
    Ok(kept)
}

/// Boxes whose longer side is at most that of a square of the grid, sorted by the square in which their centre lies.
struct Grid {
    side: f64,
    squares: HashMap<[i64; 2], Vec<Found>>,
}

impl Grid {
    fn put(&mut self, found: Found) {
        let square = found.centre().map(|at| (at / self.side).floor() as i64);
        self.squares.entry(square).or_default().push(found);
    }

    /// Whether `holds` is true of any box that may overlap `found`.
    fn any_near(&self, found: &Found, holds: impl Fn(&Found) -> bool) -> bool {
        // The centres of boxes that overlap are, along each axis, at most half the sum of both sides apart.
        let reach = (found.side() + self.side) / 2.0;
        let [[left, right], [top, bottom]] =
            found.centre().map(|at| [at - reach, at + reach].map(|end| (end / self.side).floor() as i64));
        let squares = (right - left + 1) * (bottom - top + 1);
        if squares > self.squares.len() as i64 {
            return self.squares.values().flatten().any(holds);
        }
        let near = (left..=right).flat_map(|x| (top..=bottom).map(move |y| [x, y]));
        near.filter_map(|at| self.squares.get(&at)).flatten().any(holds)
    }
}

impl Found {
    pub(super) fn centre(&self) -> [f64; 2] {
        let [left, top, right, bottom] = self.corners;
        [(left + right) / 2.0, (top + bottom) / 2.0]
    }

    fn side(&self) -> f64 {
        let [left, top, right, bottom] = self.corners;
        (right - left).max(bottom - top)
    }

    fn area(&self) -> f64 {
        let [left, top, right, bottom] = self.corners;
        (right - left) * (bottom - top)
    }

    /// The order of a result: strongest first, and boxes of equal score from top to bottom and from left to right.
    pub(super) fn before(&self, other: &Self) -> std::cmp::Ordering {
        let place = |found: &Self| [found.corners[1], found.corners[0], found.corners[3], found.corners[2]];
        other
            .score
            .total_cmp(&self.score)
            .then_with(|| {
                let places = place(self).into_iter().zip(place(other));
                places
                    .map(|(a, b)| a.total_cmp(&b))
                    .find(|order| order.is_ne())
                    .unwrap_or(std::cmp::Ordering::Equal)
            })
            .then_with(|| self.class.cmp(&other.class))
            .then_with(|| self.showing.cmp(&other.showing))
    }

    /// Intersection over union; if one of the boxes was cut and the other is from another tile, intersection over the
    /// smaller area.
    fn overlap(&self, other: &Self) -> f64 {
        let along = |axis: usize| {
            let end = self.corners[axis + 2].min(other.corners[axis + 2]);
            (end - self.corners[axis].max(other.corners[axis])).max(0.0)
        };
        let shared = along(0) * along(1);
        let part = self.showing != other.showing && (self.cut || other.cut);
        let all = if part { self.area().min(other.area()) } else { self.area() + other.area() - shared };
        shared / all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(corners: [f64; 4], score: f64, class: usize) -> Found {
        Found { corners, score, class, showing: 0, cut: false }
    }

    fn how(iou: f64, across_classes: bool) -> Suppression {
        Suppression { iou, across_classes, between_showings: false }
    }

    fn scores(found: &[Found], how: Suppression) -> Vec<f64> {
        let kept = suppress(found.to_vec(), how, Deadline::none()).expect("in time");
        kept.iter().map(|found| found.score).collect()
    }

    #[test]
    fn the_strongest_of_what_overlaps_remains_in_its_class() {
        let all = [
            found([0.0, 0.0, 10.0, 10.0], 0.5, 0),
            found([2.0, 0.0, 12.0, 10.0], 0.9, 0),
            found([2.0, 0.0, 12.0, 10.0], 0.7, 1),
            found([9.0, 9.0, 19.0, 19.0], 0.6, 0),
        ];
        assert_eq!(scores(&all, how(0.5, false)), [0.9, 0.7, 0.6]);
        assert_eq!(scores(&all, how(0.5, true)), [0.9, 0.6]);
        assert_eq!(scores(&all, how(0.7, false)), [0.9, 0.7, 0.6, 0.5], "8 of 12 columns are less than 0.7");
        assert_eq!(scores(&all, how(0.0, true)), [0.9], "0 suffers no overlap at all");
    }

    #[test]
    fn a_box_that_was_cut_yields_to_one_that_was_seen_whole() {
        let whole = Found { showing: 1, ..found([0.0, 0.0, 40.0, 10.0], 0.6, 0) };
        let part = Found { cut: true, ..found([0.0, 0.0, 12.0, 10.0], 0.9, 0) };
        assert_eq!(scores(&[whole, part], how(0.5, false)), [0.6]);
        assert_eq!(scores(&[part], how(0.5, false)), [0.9], "alone it stays");
    }

    #[test]
    fn boxes_that_a_model_has_suppressed_yield_only_to_other_showings() {
        let twice = [found([0.0, 0.0, 10.0, 10.0], 0.5, 0), found([0.0, 0.0, 10.0, 10.0], 0.9, 0)];
        let how = Suppression { between_showings: true, ..how(0.5, false) };
        assert_eq!(scores(&twice, how), [0.9, 0.5]);
        let other = Found { showing: 1, ..twice[0] };
        assert_eq!(scores(&[other, twice[1]], how), [0.9]);
    }

    #[test]
    fn large_boxes_among_many_small_ones_cost_little() {
        let small = |i: u32| {
            let (x, y) = (f64::from(i % 200) * 4.0, f64::from(i / 200) * 4.0);
            found([x, y, x + 3.0, y + 3.0], 0.5, 0)
        };
        let mut all: Vec<_> = (0..40_000).map(small).collect();
        all.extend((0..20).map(|i| found([f64::from(i), 0.0, 800.0, 800.0], 0.1, i as usize + 1)));
        let deadline = Deadline::after(std::time::Duration::from_secs(20));
        assert_eq!(suppress(all, how(0.5, false), deadline).expect("in time").len(), 40_020);
    }

    #[test]
    fn the_time_limit_holds() {
        let all = vec![found([0.0, 0.0, 1.0, 1.0], 0.5, 0)];
        let late = suppress(all, how(0.5, false), Deadline::after(std::time::Duration::ZERO));
        assert_eq!(late, Err(TimedOut));
    }

    /// The same suppression without grids: the reference.
    fn plainly(mut all: Vec<Found>, how: Suppression) -> Vec<Found> {
        all.sort_by(|a, b| a.cut.cmp(&b.cut).then_with(|| a.before(b)));
        let mut kept: Vec<Found> = Vec::new();
        for candidate in all {
            let same = |other: &&Found| {
                (how.across_classes || other.class == candidate.class)
                    && (!how.between_showings || other.showing != candidate.showing)
            };
            if !kept.iter().filter(same).any(|other| candidate.overlap(other) > how.iou) {
                kept.push(candidate);
            }
        }
        kept.sort_by(Found::before);
        kept
    }

    fn any_found() -> impl Strategy<Value = Found> {
        let corner = || (0.0..200.0f64, 0.0..200.0f64, -2.0..7.0f64, -2.0..7.0f64);
        (corner(), 0u8..10, 0usize..3, 0usize..2, any::<bool>()).prop_map(
            |((x, y, width, height), score, class, showing, cut)| Found {
                corners: [x, y, x + width.exp2(), y + height.exp2()],
                score: f64::from(score) / 10.0,
                class,
                showing,
                cut,
            },
        )
    }

    proptest! {
        #[test]
        fn the_grid_changes_nothing(
            all in proptest::collection::vec(any_found(), 0..60), iou in 0.0..1.0f64, across_classes in any::<bool>(),
            between_showings in any::<bool>(),
        ) {
            let how = Suppression { between_showings, ..how(iou, across_classes) };
            let kept = suppress(all.clone(), how, Deadline::none()).expect("in time");
            prop_assert_eq!(kept, plainly(all, how));
        }
    }
}
