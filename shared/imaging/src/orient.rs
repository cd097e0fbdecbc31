//! Turns pictures upright, by EXIF orientation.

use crate::crop::Crop;

/// One of the eight EXIF orientations: how the stored rows and columns lie in the upright picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orientation(u8);

/// Side of a square tile in pixels: a tile of 32×32 RGBA fits in the L1 cache together with its transpose.
const TILE: usize = 32;

impl Orientation {
    /// As stored.
    pub(crate) const UPRIGHT: Self = Self(1);

    /// The orientation of EXIF's number, 1–8.
    pub(crate) fn from_exif(value: u32) -> Option<Self> {
        u8::try_from(value).ok().filter(|value| (1..=8).contains(value)).map(Self)
    }

    /// Whether width and height change places.
    pub(crate) fn swaps_sides(self) -> bool {
        self.0 >= 5
    }

    /// The upright size of a picture stored at this size.
    pub(crate) fn upright_size(self, width: u32, height: u32) -> (u32, u32) {
        if self.swaps_sides() { (height, width) } else { (width, height) }
    }

    /// Maps a part of the upright picture to the picture stored at this size.
    pub(crate) fn stored_crop(self, crop: Crop, width: u32, height: u32) -> Crop {
        let mut crop = crop;
        if self.swaps_sides() {
            crop = Crop { left: crop.top, top: crop.left, width: crop.height, height: crop.width };
        }
        if matches!(self.0, 2 | 3 | 7 | 8) {
            crop.left = f64::from(width) - crop.left - crop.width;
        }
        if matches!(self.0, 3 | 4 | 6 | 7) {
            crop.top = f64::from(height) - crop.top - crop.height;
        }
        crop
    }

    /// Turns a picture stored at this size upright.
    pub(crate) fn apply(self, mut rgba: Vec<u8>, width: u32, height: u32) -> Vec<u8> {
        let (width, height) = (width as usize, height as usize);
        if width == 0 || height == 0 {
            return rgba;
        }
        let pixels = rgba.as_chunks_mut::<4>().0;
        match self.0 {
            2 => pixels.chunks_exact_mut(width).for_each(<[_]>::reverse),
            3 => pixels.reverse(),
            4 => {
                let (upper, lower) = pixels.split_at_mut(height / 2 * width);
                for (a, b) in upper.chunks_exact_mut(width).zip(lower.chunks_exact_mut(width).rev()) {
                    a.swap_with_slice(b);
                }
            }
            5 => return transposed(pixels, width, height, |x, y| (y, x)),
            6 => return transposed(pixels, width, height, |x, y| (y, height - 1 - x)),
            7 => return transposed(pixels, width, height, |x, y| (width - 1 - y, height - 1 - x)),
            8 => return transposed(pixels, width, height, |x, y| (width - 1 - y, x)),
            _ => {}
        }
        rgba
    }
}

/// Transposes a picture. `from` maps an upright position to the stored one. It goes tile by tile, so that neither
/// picture is accessed a whole cache line for every pixel.
fn transposed(
    stored: &[[u8; 4]],
    width: usize,
    height: usize,
    from: impl Fn(usize, usize) -> (usize, usize),
) -> Vec<u8> {
    let mut upright = vec![0; width * height * 4];
    let out = upright.as_chunks_mut::<4>().0;
    for top in (0..width).step_by(TILE) {
        for left in (0..height).step_by(TILE) {
            for y in top..(top + TILE).min(width) {
                for x in left..(left + TILE).min(height) {
                    let (stored_x, stored_y) = from(x, y);
                    out[y * height + x] = stored[stored_y * width + stored_x];
                }
            }
        }
    }
    upright
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pictures are the letters of a 3×2 image, row by row, as EXIF's table places row 0 and column 0.
    #[test]
    fn each_orientation_places_row_and_column_zero_where_exif_says() {
        for (value, upright) in [
            (1, ["abc", "def"].as_slice()),
            (2, &["cba", "fed"]),
            (3, &["fed", "cba"]),
            (4, &["def", "abc"]),
            (5, &["ad", "be", "cf"]),
            (6, &["da", "eb", "fc"]),
            (7, &["fc", "eb", "da"]),
            (8, &["cf", "be", "ad"]),
        ] {
            let stored: Vec<u8> = b"abcdef".iter().flat_map(|&letter| [letter; 4]).collect();
            let turned = Orientation(value).apply(stored, 3, 2);
            let letters: Vec<u8> = turned.as_chunks::<4>().0.iter().map(|pixel| pixel[0]).collect();
            assert_eq!(letters, upright.concat().as_bytes(), "orientation {value}");
        }
    }

    #[test]
    fn a_crop_before_turning_is_the_crop_after_it() {
        let (width, height) = (7_u32, 5_u32);
        let stored: Vec<u8> = (0..width * height).flat_map(u32::to_le_bytes).collect();
        let cut = |rgba: &[u8], row: u32, crop: Crop| -> Vec<u8> {
            let (left, top) = (crop.left as usize, crop.top as usize);
            let rows = rgba.chunks_exact(row as usize * 4).skip(top).take(crop.height as usize);
            rows.flat_map(|row| row[left * 4..][..crop.width as usize * 4].to_vec()).collect()
        };
        for value in 1..=8 {
            let orientation = Orientation(value);
            let crop = Crop { left: 1.0, top: 2.0, width: 4.0, height: 2.0 };
            let upright = orientation.apply(stored.clone(), width, height);
            let after = cut(&upright, orientation.upright_size(width, height).0, crop);
            let before = orientation.stored_crop(crop, width, height);
            let part = cut(&stored, width, before);
            let turned = orientation.apply(part, before.width as u32, before.height as u32);
            assert_eq!(turned, after, "orientation {value}");
        }
    }

    #[test]
    fn tiles_cover_sides_that_are_no_multiple_of_them() {
        let (width, height) = (TILE * 2 + 5, TILE + 3);
        let stored: Vec<u8> = (0..width * height).flat_map(|i| (i as u32).to_le_bytes()).collect();
        let (w, h) = (width as u32, height as u32);
        let there = Orientation(6).apply(stored.clone(), w, h);
        assert_ne!(there, stored);
        assert_eq!(Orientation(8).apply(there, h, w), stored, "a quarter turn and back");
    }
}
