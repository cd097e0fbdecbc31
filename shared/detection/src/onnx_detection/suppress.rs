//! Non-maximum suppression: of boxes that lie on each other, the one that scores best.

use std::collections::HashMap;

use imaging::{Deadline, TimedOut};

use super::description::Suppression;

/// A box in pixels of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    /// Left, top, right, bottom; right of left and below top.
    pub(super) corners: [f64; 4],
    pub(super) score: f64,
    pub(super) class: usize,
    /// Which showing it was found in.
    pub(super) showing: usize,
    /// Whether that showing ends where the box does, and the picture goes on: there may be more of it.
    pub(super) cut: bool,
}

/// Boxes that are looked at between two looks at the clock.
const STRETCH: usize = 256;

/// The boxes that remain, strongest first.
///
/// What was cut comes last, and yields to what another tile saw of the same thing, however little that overlaps by area.
pub(super) fn suppress(
    mut found: Vec<Found>,
    how: Suppression,
    deadline: Deadline,
) -> Result<Vec<Found>, TimedOut> {
    // Boxes that overlap lie at most one such side apart, so in the same square of this side or in one beside it.
    let side = found.iter().map(Found::side).fold(1.0, f64::max);
    let square = |at: &Found| at.centre().map(|place| (place / side).floor() as i64);
    found.sort_by(|a, b| a.cut.cmp(&b.cut).then_with(|| a.before(b)));
    let mut kept: HashMap<[i64; 2], Vec<Found>> = HashMap::new();
    for (i, candidate) in found.into_iter().enumerate() {
        if i % STRETCH == 0 {
            deadline.check()?;
        }
        let [x, y] = square(&candidate);
        let near = (x - 1..=x + 1).flat_map(|x| (y - 1..=y + 1).map(move |y| [x, y]));
        let yields = near.filter_map(|at| kept.get(&at)).flatten().any(|other| {
            (how.across_classes || other.class == candidate.class) && candidate.overlap(other) > how.iou
        });
        if !yields {
            kept.entry([x, y]).or_default().push(candidate);
        }
    }
    let mut kept: Vec<_> = kept.into_values().flatten().collect();
    kept.sort_by(Found::before);
    Ok(kept)
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

    /// The order of a result: strongest first; of equals, from top to bottom and from left to right.
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

    /// Intersection over union; where one of the two was cut and the other seen in another tile, intersection over the
    /// smaller one.
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
        Suppression { iou, across_classes }
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
    fn what_was_cut_yields_to_what_was_seen_whole() {
        let whole = Found { showing: 1, ..found([0.0, 0.0, 40.0, 10.0], 0.6, 0) };
        let part = Found { cut: true, ..found([0.0, 0.0, 12.0, 10.0], 0.9, 0) };
        assert_eq!(scores(&[whole, part], how(0.5, false)), [0.6]);
        assert_eq!(scores(&[part], how(0.5, false)), [0.9], "alone it stays");
    }

    #[test]
    fn the_time_limit_holds() {
        let all = vec![found([0.0, 0.0, 1.0, 1.0], 0.5, 0)];
        let late = suppress(all, how(0.5, false), Deadline::after(std::time::Duration::ZERO));
        assert_eq!(late, Err(TimedOut));
    }

    /// The same without a grid.
    fn plainly(mut all: Vec<Found>, how: Suppression) -> Vec<Found> {
        all.sort_by(|a, b| a.cut.cmp(&b.cut).then_with(|| a.before(b)));
        let mut kept: Vec<Found> = Vec::new();
        for candidate in all {
            let same = |other: &&Found| how.across_classes || other.class == candidate.class;
            if !kept.iter().filter(same).any(|other| candidate.overlap(other) > how.iou) {
                kept.push(candidate);
            }
        }
        kept.sort_by(Found::before);
        kept
    }

    fn any_found() -> impl Strategy<Value = Found> {
        let corner = || (0.0..200.0f64, 0.0..200.0f64, 0.5..60.0f64, 0.5..60.0f64);
        (corner(), 0u8..10, 0usize..3, 0usize..2, any::<bool>()).prop_map(
            |((x, y, width, height), score, class, showing, cut)| Found {
                corners: [x, y, x + width, y + height],
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
        ) {
            let how = how(iou, across_classes);
            let kept = suppress(all.clone(), how, Deadline::none()).expect("in time");
            prop_assert_eq!(kept, plainly(all, how));
        }
    }
}
