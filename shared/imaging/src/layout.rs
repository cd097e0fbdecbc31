//! Computes which part of the picture a thumbnail shows, at what size, and where on the thumbnail it lies.

use crate::{Fit, Gravity, ThumbnailOptions, crop::Crop, resize, resize::View};

/// Where the picture lies on the thumbnail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ThumbnailLayout {
    /// The part of the picture that is shown, and its size.
    pub(crate) view: View,
    /// The thumbnail's size; neither side is smaller than the view's.
    pub(crate) canvas: (u32, u32),
    /// Where the view's top left pixel lies on the canvas.
    pub(crate) at: (u32, u32),
}

impl ThumbnailLayout {
    /// The layout of a thumbnail of size `target`, for an upright picture of size `size`. `focus` says which part is
    /// kept where some is cut off: 0 is as far left or up as possible, 1 as far right or down.
    pub(crate) fn of(
        size: (u32, u32),
        target: (u32, u32),
        options: &ThumbnailOptions,
        focus: (f64, f64),
    ) -> Self {
        let (part, shown) = part_and_size(size, target, options);
        let crop = Crop {
            left: (f64::from(size.0) - part.0) * focus.0,
            top: (f64::from(size.1) - part.1) * focus.1,
            width: part.0,
            height: part.1,
        };
        let canvas = if options.fit == Fit::Inside { shown } else { target };
        // If an odd number of pixels is left over, the extra one goes right or below.
        let before = |over: u32, share: f64| (f64::from(over) * share) as u32;
        let (x, y) = options.gravity.anchor();
        let at = (before(canvas.0 - shown.0, x), before(canvas.1 - shown.1, y));
        Self { view: View { crop, width: shown.0, height: shown.1 }, canvas, at }
    }

    /// Whether the thumbnail shows every pixel of a picture of that size as it is, and nothing else.
    pub(crate) fn is_identity(&self, size: (u32, u32)) -> bool {
        let View { crop, width, height } = self.view;
        crop == Crop::whole(size) && (width, height) == size && self.canvas == size
    }

    /// The fractions of the picture's width and height that are shown; 1 is all of it.
    pub(crate) fn share(size: (u32, u32), target: (u32, u32), options: &ThumbnailOptions) -> (f64, f64) {
        let (part, _) = part_and_size(size, target, options);
        (part.0 / f64::from(size.0), part.1 / f64::from(size.1))
    }
}

/// The size of the part that is shown, in the picture's pixels, and its size on the thumbnail.
fn part_and_size(
    size: (u32, u32),
    target: (u32, u32),
    options: &ThumbnailOptions,
) -> ((f64, f64), (u32, u32)) {
    let whole = (f64::from(size.0), f64::from(size.1));
    let least = (size.0.min(target.0), size.1.min(target.1));
    let enlarged = size.0 < target.0 || size.1 < target.1;
    match (options.fit, options.enlarge) {
        // Covering the target would enlarge the picture, which is not allowed: show as much as fits, pixel by pixel.
        (Fit::Cover, Some(false)) if enlarged => ((least.0.into(), least.1.into()), least),
        (Fit::Cover, _) => {
            let crop = Crop::cover(size, target);
            ((crop.width, crop.height), target)
        }
        (Fit::Fill, Some(false)) => (whole, least),
        (Fit::Fill, _) => (whole, target),
        (Fit::Contain, Some(false)) | (Fit::Inside, None | Some(false)) => {
            (whole, resize::inside(size, target))
        }
        (Fit::Contain, _) | (Fit::Inside, Some(true)) => (whole, resize::contain(size, target)),
    }
}

impl Gravity {
    /// Where the kept part lies in the picture, or the picture on the canvas: 0 is left or top, 1 right or bottom.
    pub(crate) fn anchor(self) -> (f64, f64) {
        match self {
            Self::Centre | Self::Smart => (0.5, 0.5),
            Self::North => (0.5, 0.0),
            Self::Northeast => (1.0, 0.0),
            Self::East => (1.0, 0.5),
            Self::Southeast => (1.0, 1.0),
            Self::South => (0.5, 1.0),
            Self::Southwest => (0.0, 1.0),
            Self::West => (0.0, 0.5),
            Self::Northwest => (0.0, 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options(fit: Fit, gravity: Gravity, enlarge: Option<bool>) -> ThumbnailOptions {
        ThumbnailOptions { fit, gravity, enlarge, ..ThumbnailOptions::default() }
    }

    /// The crop (left, top, width, height), the size at which it is shown, and where it lies.
    fn layout(
        size: (u32, u32),
        target: (u32, u32),
        options: &ThumbnailOptions,
    ) -> ([f64; 4], (u32, u32), (u32, u32)) {
        let ThumbnailLayout { view: View { crop, width, height }, at, .. } =
            ThumbnailLayout::of(size, target, options, options.gravity.anchor());
        ([crop.left, crop.top, crop.width, crop.height], (width, height), at)
    }

    #[test]
    fn cover_keeps_the_part_that_gravity_names() {
        for (gravity, left) in [
            (Gravity::Centre, 50.0),
            (Gravity::Smart, 50.0),
            (Gravity::West, 0.0),
            (Gravity::Southeast, 100.0),
        ] {
            let (part, shown, at) = layout((200, 100), (50, 50), &options(Fit::Cover, gravity, None));
            assert_eq!((part, shown, at), ([left, 0.0, 100.0, 100.0], (50, 50), (0, 0)), "{gravity:?}");
        }
    }

    #[test]
    fn contain_lies_where_gravity_names() {
        for (gravity, at) in [
            (Gravity::Centre, (0, 12)),
            (Gravity::North, (0, 0)),
            (Gravity::Southwest, (0, 25)),
            (Gravity::East, (0, 12)),
        ] {
            let found = layout((200, 100), (50, 50), &options(Fit::Contain, gravity, None));
            assert_eq!(found, ([0.0, 0.0, 200.0, 100.0], (50, 25), at), "{gravity:?}");
        }
    }

    #[test]
    fn without_enlarging_what_is_small_is_padded() {
        let never = |fit| options(fit, Gravity::Southeast, Some(false));
        // The picture is higher than the box and narrower: it is cut above and padded on the left.
        let found = layout((30, 200), (100, 100), &never(Fit::Cover));
        assert_eq!(found, ([0.0, 100.0, 30.0, 100.0], (30, 100), (70, 0)));
        assert_eq!(layout((30, 200), (100, 100), &never(Fit::Fill)).1, (30, 100));
        assert_eq!(layout((30, 20), (100, 100), &never(Fit::Contain)).1, (30, 20));
        assert_eq!(layout((300, 200), (100, 100), &never(Fit::Contain)).1, (100, 67));
    }

    #[test]
    fn inside_grows_only_when_told_to() {
        let inside = |enlarge| {
            let options = options(Fit::Inside, Gravity::Centre, enlarge);
            ThumbnailLayout::of((30, 20), (90, 90), &options, (0.5, 0.5)).canvas
        };
        assert_eq!([None, Some(false), Some(true)].map(inside), [(30, 20), (30, 20), (90, 60)]);
    }

    proptest! {
        #[test]
        fn the_view_lies_on_the_canvas_and_shows_what_there_is(
            size in (1..5_000_u32, 1..5_000_u32),
            target in (1..4_097_u32, 1..4_097_u32),
            fit in prop::sample::select(&[Fit::Cover, Fit::Contain, Fit::Fill, Fit::Inside][..]),
            gravity in prop::sample::select(Gravity::ALL),
            enlarge in prop::option::of(any::<bool>()),
            focus in (0.0..=1.0, 0.0..=1.0),
        ) {
            let options = options(fit, gravity, enlarge);
            let ThumbnailLayout { view: View { crop, width, height }, canvas, at } =
                ThumbnailLayout::of(size, target, &options, focus);
            if fit != Fit::Inside {
                prop_assert_eq!(canvas, target);
            }
            prop_assert!(canvas.0 <= target.0 && canvas.1 <= target.1);
            prop_assert!(width > 0 && height > 0 && at.0 + width <= canvas.0 && at.1 + height <= canvas.1);
            prop_assert!(crop.left >= 0.0 && crop.top >= 0.0 && crop.width > 0.0 && crop.height > 0.0);
            let slip = 1e-9 * f64::from(size.0.max(size.1));
            prop_assert!(crop.left + crop.width <= f64::from(size.0) + slip);
            prop_assert!(crop.top + crop.height <= f64::from(size.1) + slip);
            if enlarge == Some(false) {
                prop_assert!(f64::from(width) <= crop.width.ceil() && f64::from(height) <= crop.height.ceil());
            }
        }
    }
}
