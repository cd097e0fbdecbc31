//! Reduces a lossy picture with an alpha channel while its rows arrive. Each box of pixels becomes their mean, weighted
//! by alpha, so that the arbitrary colour of transparent pixels does not count.

use webp_codec::{Plane, Rows};

use super::colours;

/// The current row of boxes, and the finished ones. The sides of boxes are even, so that boxes contain whole chroma
/// samples.
pub(super) struct Weighted {
    size: (usize, usize),
    side: (usize, usize),
    columns: Vec<Column>,
    rows: usize,
    rgba: Vec<u8>,
}

/// Sums over two columns of pixels, which share one chroma sample. For a box of 256 × 256 they fit in 32 bits.
#[derive(Clone, Copy, Default)]
struct Column {
    alpha: u32,
    luma: u32,
    blue: u32,
    red: u32,
}

impl Weighted {
    /// Creates the boxes for a part of this size in pixels, reduced by these even numbers.
    pub(super) fn new(size: (usize, usize), side: (usize, usize)) -> Self {
        let columns = vec![Column::default(); size.0.div_ceil(2)];
        Self { size, side, columns, rows: 0, rgba: Vec::new() }
    }

    /// The size of the result in pixels.
    pub(super) fn reduced(&self) -> (u32, u32) {
        (self.size.0.div_ceil(self.side.0) as u32, self.size.1.div_ceil(self.side.1) as u32)
    }

    pub(super) fn push(&mut self, rows: &Rows<'_>, alpha: Plane<'_>) {
        let mut pixels = rows.luma.rows().zip(alpha.rows());
        for (blue, red) in rows.blue.rows().zip(rows.red.rows()) {
            let Some(upper) = pixels.next() else { return };
            self.add(upper, blue, red);
            // With an odd number of rows, the last one has no other below it.
            if let Some(lower) = pixels.next() {
                self.add(lower, blue, red);
            }
            if self.rows >= self.side.1 {
                self.close();
            }
        }
    }

    fn add(&mut self, (luma, alpha): (&[u8], &[u8]), blue: &[u8], red: &[u8]) {
        let pairs = luma.chunks(2).zip(alpha.chunks(2)).zip(blue.iter().zip(red));
        for (column, ((luma, alpha), (&blue, &red))) in self.columns.iter_mut().zip(pairs) {
            let weight: u32 = alpha.iter().map(|&alpha| u32::from(alpha)).sum();
            column.alpha += weight;
            column.luma +=
                luma.iter().zip(alpha).map(|(&luma, &alpha)| u32::from(luma) * u32::from(alpha)).sum::<u32>();
            column.blue += u32::from(blue) * weight;
            column.red += u32::from(red) * weight;
        }
        self.rows += 1;
    }

    fn close(&mut self) {
        let mut left = self.size.0;
        for columns in self.columns.chunks(self.side.0 / 2) {
            let across = left.min(self.side.0);
            left -= across;
            let sum = |channel: fn(&Column) -> u32| columns.iter().map(channel).sum::<u32>();
            let weight = sum(|it| it.alpha);
            if weight == 0 {
                self.rgba.extend([0; 4]);
                continue;
            }
            let mean = |channel| sum(channel) as f32 / weight as f32;
            let rgb = colours::from_yuv(mean(|it| it.luma), mean(|it| it.blue), mean(|it| it.red));
            let pixels = (across * self.rows) as u32;
            self.rgba.extend(rgb);
            self.rgba.push(((weight + pixels / 2) / pixels) as u8);
        }
        self.columns.fill(Column::default());
        self.rows = 0;
    }

    /// Returns straight-alpha RGBA. Missing pixels are transparent.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.rows > 0 {
            self.close();
        }
        let (width, height) = self.reduced();
        self.rgba.resize(width as usize * height as usize * 4, 0);
        self.rgba
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_boxes_fit_their_sums() {
        let side = super::super::planes::LARGEST;
        let mut weighted = Weighted::new((side, side), (side, side));
        let (full, half) = (vec![255; side], vec![255; side / 2]);
        (0..side).for_each(|_| weighted.add((&full, &full), &half, &half));
        assert_eq!(weighted.finish()[3], 255);
    }

    #[test]
    fn only_what_can_be_seen_counts() {
        // Two by three pixels: the left ones are opaque white, the right ones transparent with arbitrary colours.
        let mut weighted = Weighted::new((2, 3), (2, 2));
        for alpha in [[255, 0], [255, 0]] {
            weighted.add((&[235, 16], &alpha), &[128], &[128]);
        }
        weighted.close();
        weighted.add((&[235, 16], &[51, 0]), &[128], &[128]);
        assert_eq!(weighted.reduced(), (1, 2));
        assert_eq!(weighted.finish(), [255, 255, 255, 128, 255, 255, 255, 26]);
    }
}
