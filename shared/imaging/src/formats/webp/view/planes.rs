//! Reduces the channels of a lossy picture, each on its own, to the means of boxes of pixels while its rows arrive.

use webp_codec::Rows;

use crate::plane::Plane;

/// The largest box, across and down. Sums of larger ones would overflow.
pub(super) const LARGEST: usize = 256;

/// Luma and chroma of an opaque picture.
pub(super) struct Planes {
    luma: Boxes,
    blue: Boxes,
    red: Boxes,
}

impl Planes {
    /// Creates the boxes for a part of this size in pixels; the sides of boxes are in samples of luma and of chroma.
    pub(super) fn new(part: (usize, usize), luma: (usize, usize), chroma: (usize, usize)) -> Self {
        let half = (part.0.div_ceil(2), part.1.div_ceil(2));
        Self { luma: Boxes::new(part, luma), blue: Boxes::new(half, chroma), red: Boxes::new(half, chroma) }
    }

    pub(super) fn push(&mut self, rows: &Rows<'_>) {
        for (boxes, plane) in
            [(&mut self.luma, rows.luma), (&mut self.blue, rows.blue), (&mut self.red, rows.red)]
        {
            plane.rows().for_each(|row| boxes.push(row));
        }
    }

    /// Returns the three planes. Missing samples are mid-grey.
    pub(super) fn finish(self) -> [Plane; 3] {
        const GREY: (u8, u8) = (126, 128);
        [self.luma.finish(GREY.0, 1.0), self.blue.finish(GREY.1, 0.5), self.red.finish(GREY.1, 0.5)]
    }
}

/// One channel, reduced by a whole number in each direction.
struct Boxes {
    size: (usize, usize),
    side: (usize, usize),
    /// The sums over the rows of the current row of boxes, for each column, and the number of these rows.
    sums: Vec<u16>,
    rows: usize,
    means: Vec<u8>,
}

impl Boxes {
    fn new(size: (usize, usize), side: (usize, usize)) -> Self {
        let means = Vec::with_capacity(size.0.div_ceil(side.0) * size.1.div_ceil(side.1));
        Self { size, side, sums: vec![0; size.0], rows: 0, means }
    }

    fn push(&mut self, row: &[u8]) {
        for (sum, &sample) in self.sums.iter_mut().zip(row) {
            *sum += u16::from(sample);
        }
        self.rows += 1;
        if self.rows == self.side.1 {
            self.close();
        }
    }

    /// Appends the means of the current row of boxes. At the right and bottom edges, boxes have fewer samples.
    fn close(&mut self) {
        let rows = self.rows as u32;
        self.means.extend(self.sums.chunks(self.side.0).map(|sums| {
            let (sum, count) =
                (sums.iter().map(|&sum| u32::from(sum)).sum::<u32>(), sums.len() as u32 * rows);
            ((sum + count / 2) / count) as u8
        }));
        self.sums.fill(0);
        self.rows = 0;
    }

    /// Returns the plane, filled with `unseen` where rows are missing. `scale` is the number of samples per pixel
    /// before the reduction.
    fn finish(mut self, unseen: u8, scale: f64) -> Plane {
        if self.rows > 0 {
            self.close();
        }
        let (width, height) = (self.size.0.div_ceil(self.side.0), self.size.1.div_ceil(self.side.1));
        self.means.resize(width * height, unseen);
        Plane {
            samples: self.means,
            width: width as u32,
            height: height as u32,
            scale: (scale / self.side.0 as f64, scale / self.side.1 as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_the_mean_of_what_it_holds_even_at_the_edges() {
        let mut boxes = Boxes::new((5, 3), (2, 2));
        for row in [[1, 3, 10, 20, 7], [5, 7, 30, 40, 9], [100, 200, 0, 1, 255]] {
            boxes.push(&row);
        }
        let plane = boxes.finish(99, 1.0);
        assert_eq!((plane.width, plane.height, plane.scale), (3, 2, (0.5, 0.5)));
        assert_eq!(plane.samples, [4, 25, 8, 150, 1, 255]);
    }

    #[test]
    fn the_largest_boxes_of_the_brightest_samples_fit_their_sums() {
        let mut boxes = Boxes::new((LARGEST, LARGEST), (LARGEST, LARGEST));
        (0..LARGEST).for_each(|_| boxes.push(&[255; LARGEST]));
        assert_eq!(boxes.finish(0, 1.0).samples, [255]);
    }

    #[test]
    fn rows_that_never_came_are_unseen() {
        let mut boxes = Boxes::new((2, 4), (1, 1));
        boxes.push(&[1, 2]);
        assert_eq!(boxes.finish(9, 1.0).samples, [1, 2, 9, 9, 9, 9, 9, 9]);
        let mut boxes = Boxes::new((2, 4), (2, 2));
        boxes.push(&[1, 2]);
        assert_eq!(boxes.finish(9, 1.0).samples, [2, 9]);
    }
}
