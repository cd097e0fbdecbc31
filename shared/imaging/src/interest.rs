//! Smart cropping: chooses the part of a picture that is worth keeping. The caller says what is interesting
//! ([`Interest`]); this module slides the window to where most of it is.

use crate::{Deadline, Image, TimedOut};

/// A place in a picture that attracts attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PointOfInterest {
    /// Pixels from the left edge.
    pub x: f64,
    /// Pixels from the top edge.
    pub y: f64,
    /// How much it attracts, relative to the others. A weight that is not above 0 counts for nothing.
    pub weight: f64,
}

/// Finds the points of interest of a picture. The same picture must give the same points.
pub type Interest<'a> = &'a dyn Fn(&Image, Deadline) -> Result<Vec<PointOfInterest>, TimedOut>;

/// The longest side, in pixels, of the reduced picture in which the points are searched. A photograph of twelve
/// megapixels has about 500 pixels at an eighth of its size, which costs little to decode; this is a third of that.
pub(crate) const PICTURE: u32 = 160;

/// How many positions of the window are tried along each side, in addition to the middle one.
const STEPS: u32 = 128;

/// How much less a point at the window's border counts than one in its middle. A subject should not be cut in two where
/// there is room around it.
const FALL: f64 = 0.5;

/// How much less a point at the edge of the picture counts than one in its middle, where photographers put their
/// subject. With 0.1, a mast won over the rocket beside it, and clothes over the face.
const PULL: f64 = 0.5;

/// Where to put a window that shows `share` of a picture's width and height: 0 is as far left or up as possible, 1 as
/// far right or down. Both directions are treated on their own; in practice the window spans one of them.
pub(crate) fn focus(points: &[PointOfInterest], size: (u32, u32), share: (f64, f64)) -> (f64, f64) {
    let along = |length: u32, place: fn(&PointOfInterest) -> f64| {
        let length = f64::from(length);
        let known = points.iter().filter(|point| point.weight.is_finite() && point.weight > 0.0);
        known.map(|point| (place(point) / length, point.weight)).collect::<Vec<_>>()
    };
    (slide(&along(size.0, |point| point.x), share.0), slide(&along(size.1, |point| point.y), share.1))
}

/// Places the window along one side. Each point is its position, as a fraction of the length, and its weight.
fn slide(points: &[(f64, f64)], share: f64) -> f64 {
    if share >= 1.0 {
        return 0.5;
    }
    let worth = |place: f64| {
        let centre = (1.0 - share) * place + share / 2.0;
        let seen: f64 = points
            .iter()
            .map(|&(at, weight)| {
                let from_centre = (at - centre).abs() / (share / 2.0);
                if from_centre <= 1.0 { weight * (1.0 - FALL * from_centre * from_centre) } else { 0.0 }
            })
            .sum();
        seen * (1.0 - PULL * (2.0 * place - 1.0).powi(2))
    };
    // From the middle outwards, so that the most central of equally good positions wins.
    let mut best = (worth(0.5), 0.5);
    for step in 1..=STEPS / 2 {
        for place in [STEPS / 2 - step, STEPS / 2 + step] {
            let place = f64::from(place) / f64::from(STEPS);
            let worth = worth(place);
            if worth > best.0 {
                best = (worth, place);
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(x: f64, weight: f64) -> PointOfInterest {
        PointOfInterest { x, y: 0.0, weight }
    }

    #[test]
    fn nothing_found_is_the_middle() {
        assert_eq!(focus(&[], (256, 100), (0.4, 1.0)), (0.5, 0.5));
        let nothing = [point(0.0, 0.0), point(0.0, f64::NAN), point(0.0, -1.0), point(f64::NAN, 1.0)];
        assert_eq!(focus(&nothing, (256, 100), (0.4, 1.0)), (0.5, 0.5));
    }

    #[test]
    fn the_same_everywhere_is_about_the_middle() {
        let points: Vec<_> = (0..256).map(|x| point(f64::from(x) + 0.5, 1.0)).collect();
        let (place, _) = focus(&points, (256, 100), (0.4, 1.0));
        assert!((place - 0.5).abs() < 0.05, "{place}");
    }

    #[test]
    fn the_window_goes_to_the_heavier_side() {
        let points = [point(20.0, 1.0), point(230.0, 1.5), point(236.0, 1.5)];
        assert!(focus(&points, (256, 100), (0.4, 1.0)).0 > 0.9);
        assert!(focus(&points[..1], (256, 100), (0.4, 1.0)).0 < 0.1);
    }

    #[test]
    fn the_window_goes_to_the_very_end_only_for_twice_as_much() {
        let aside = |weight: f64| focus(&[point(128.0, 1.0), point(256.0, weight)], (256, 100), (0.2, 1.0)).0;
        assert_eq!(aside(1.5), 0.5);
        assert!(aside(4.5) > 0.9);
    }

    #[test]
    fn points_found_lie_well_inside_the_window() {
        // The window is 64 wide. With the point at 96 in its middle it starts at 64, a third of the way.
        let (place, _) = focus(&[point(96.0, 1.0)], (256, 100), (0.25, 1.0));
        assert!((place - 1.0 / 3.0).abs() < 0.05, "{place}");
    }

    proptest! {
        #[test]
        fn whatever_is_found_the_window_stays_in_the_picture(
            points in proptest::collection::vec((-10.0..300.0, -10.0..300.0, -1.0..1e9), 0..40),
            share in (0.001..=1.0, 0.001..=1.0),
        ) {
            let points: Vec<_> =
                points.into_iter().map(|(x, y, weight)| PointOfInterest { x, y, weight }).collect();
            let (x, y) = focus(&points, (256, 256), share);
            prop_assert!((0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y));
            prop_assert_eq!(focus(&points, (256, 256), share), (x, y));
        }
    }
}
