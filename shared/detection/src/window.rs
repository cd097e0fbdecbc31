//! The pixels that a detector searches: those of the whole image, or of the region that was asked for.
//!
//! A region is searched as if it were an image of its own. Pixels outside it have no influence, not even on the
//! smoothing at its border. So the findings in a region are those in an image that was cut out along it, moved to the
//! region's place.

use algorithm::{Kind, Parameter, Rectangle};
use imaging::Image;

use crate::{DetectError, grey};

/// The parameter that every detector has. [`Adaptor`](crate::algorithm::Adaptor) reads it.
pub(crate) const REGION: Parameter = Parameter {
    name: "region",
    summary: "The rectangle that is searched, all of it within the image; without it, the whole image. Nothing \
              outside it is looked at, and coordinates stay those of the whole image.",
    unit: Some("px"),
    kind: Kind::Rectangle,
};

/// A rectangle of an image; neither of its sides is zero.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    image: &'a Image,
    region: Rectangle,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl<'a> Window<'a> {
    /// The region of an image, or the whole image if there is no region.
    ///
    /// # Errors
    /// [`DetectError::OutsideImage`] where a part of the region lies outside the image.
    pub(crate) fn of(image: &'a Image, region: Option<Rectangle>) -> Result<Self, DetectError> {
        let [width, height] = [image.width(), image.height()];
        let region = region.unwrap_or(Rectangle { x: 0, y: 0, width, height });
        let fits = |start: u32, length: u32, end: u32| {
            length > 0 && start.checked_add(length).is_some_and(|reach| reach <= end)
        };
        if !(fits(region.x, region.width, width) && fits(region.y, region.height, height)) {
            return Err(DetectError::OutsideImage { region, image: [width, height] });
        }
        Ok(Window { image, region, width: region.width as usize, height: region.height as usize })
    }

    /// The whole of an image.
    #[cfg(test)]
    pub(crate) fn whole(image: &'a Image) -> Self {
        Self::of(image, None).unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// Width and height.
    pub(crate) fn size(&self) -> [u32; 2] {
        [self.region.width, self.region.height]
    }

    /// A part of the window resampled to the width and height `target`, as Pillow's `BILINEAR` does it, in RGBA. Pixels
    /// beside the part have no influence. `None` where the part is not within the window, or cannot be resampled.
    pub(crate) fn resample(&self, part: Rectangle, target: (u32, u32)) -> Option<Vec<u8>> {
        let [width, height] = self.size();
        if part.x.checked_add(part.width)? > width || part.y.checked_add(part.height)? > height {
            return None;
        }
        let size = (self.image.width(), self.image.height());
        let part = Rectangle { x: self.region.x + part.x, y: self.region.y + part.y, ..part };
        imaging::bilinear(self.image.rgba(), size, part, target).ok()
    }

    /// A row of pixels; `row` counts from the window's top.
    pub(crate) fn row(&self, row: usize) -> &'a [[u8; 4]] {
        let pixels = self.image.rgba().as_chunks::<4>().0;
        let start = (self.region.y as usize + row) * self.image.width() as usize + self.region.x as usize;
        &pixels[start..][..self.width]
    }

    /// Fills `out` with the grey (see `grey`) of a row's pixels from `column` on.
    pub(crate) fn grey(&self, row: usize, column: usize, out: &mut [f32]) {
        grey::luma(self.row(row)[column..].as_flattened(), out);
    }

    /// Fills `out` with the grey of a row's pixels in double precision (see `grey`).
    pub(crate) fn exact_grey(&self, row: usize, out: &mut [f64]) {
        grey::exact(self.row(row).as_flattened(), out);
    }

    /// Fills `out` with the grey of a row's pixels, rounded to 0 to 255.
    pub(crate) fn bytes(&self, row: usize, out: &mut [u8]) {
        grey::bytes(self.row(row).as_flattened(), out);
    }

    /// Whether all pixels are equal. The search ends at the first one that differs.
    pub(crate) fn is_of_one_colour(&self) -> bool {
        let first = self.row(0)[0];
        (0..self.height).all(|row| self.row(row).iter().all(|pixel| *pixel == first))
    }

    /// Converts a place in the window to a place in the image.
    pub(crate) fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (x + f64::from(self.region.x), y + f64::from(self.region.y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(width: u32, height: u32) -> Image {
        let rgba = (0..width * height).flat_map(|i| [i as u8, 0, 0, 255]).collect();
        Image::new(width, height, rgba).expect("four bytes a pixel")
    }

    fn rectangle([x, y, width, height]: [u32; 4]) -> Rectangle {
        Rectangle { x, y, width, height }
    }

    #[test]
    fn a_region_is_the_pixels_in_it() {
        let image = numbered(7, 5);
        let window = Window::of(&image, Some(rectangle([2, 1, 3, 4]))).expect("it lies inside");
        assert_eq!((window.width, window.height), (3, 4));
        let rows: Vec<Vec<u8>> = (0..4).map(|y| window.row(y).iter().map(|p| p[0]).collect()).collect();
        assert_eq!(rows, [[9, 10, 11], [16, 17, 18], [23, 24, 25], [30, 31, 32]]);
        assert_eq!(window.place(0.5, 1.5), (2.5, 2.5));
        let whole = Window::whole(&image);
        assert_eq!((whole.width, whole.height, whole.row(4)[6][0]), (7, 5, 34));
    }

    #[test]
    fn a_part_is_resampled_from_the_window_and_never_from_beyond_it() {
        let image = numbered(7, 5);
        let window = Window::of(&image, Some(rectangle([2, 1, 3, 4]))).expect("it lies inside");
        let same = window.resample(rectangle([1, 2, 2, 2]), (2, 2)).expect("it lies inside");
        assert_eq!(same.iter().step_by(4).collect::<Vec<_>>(), [&24, &25, &31, &32]);
        for beyond in [[1, 0, 3, 4], [0, 1, 3, 4], [u32::MAX, 0, 1, 1]] {
            assert_eq!(window.resample(rectangle(beyond), (1, 1)), None, "{beyond:?}");
        }
    }

    #[test]
    fn a_region_that_reaches_beyond_the_image_is_refused() {
        let image = numbered(7, 5);
        for region in [[7, 0, 1, 1], [0, 900, 1, 1], [0, 0, 8, 5], [5, 0, 3, 5], [0, 4, 7, 2], [u32::MAX; 4]]
        {
            let refused = Window::of(&image, Some(rectangle(region))).err().expect("it must be refused");
            assert_eq!(refused.code(), "region_outside_image");
            assert!(refused.to_string().contains("7 × 5"), "{refused}");
        }
    }
}
