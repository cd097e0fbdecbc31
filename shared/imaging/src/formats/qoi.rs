//! QOI, by its specification (<https://qoiformat.org/qoi-specification.pdf>), which has one page.
//!
//! The crate `qoi` 0.4.1, by which `image` reads it, gives the same pixels. It is not used, because it shows nothing of
//! a file that is cut off or lacks only its end mark, and neither does `zune-qoi` 0.5.2.

use crate::{
    Deadline, Format, ImageError,
    decode::{Decoded, pixelwise},
    formats::Codec,
    header::Header,
    orient::Orientation,
    scan::be32,
};

/// The "quite OK image" format.
pub(crate) const FORMAT: Format = Format::new("QOI", &["image/qoi", "image/x-qoi"]);

pub(crate) static CODEC: Codec = Codec {
    format: FORMAT,
    recognises,
    header: |bytes, _, _| header(bytes),
    decode: |bytes, header, _, deadline| decode(bytes, header, deadline),
    view: None,
    animation: None,
    frames_in_file: None,
    writer: None,
};

const HEADER: usize = 14;
const END: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];

/// Whether this is the beginning of a QOI file.
fn recognises(bytes: &[u8]) -> bool {
    bytes.starts_with(b"qoif")
}

/// Reads the header.
///
/// # Errors
/// [`ImageError::Corrupt`] where it is cut off or has invalid values.
fn header(bytes: &[u8]) -> Result<Header, ImageError> {
    let size = || Some((be32(bytes, 4)?, be32(bytes, 8)?));
    match (size(), bytes.get(12..HEADER)) {
        (Some(stored), Some([3 | 4, 0 | 1])) => Ok(Header {
            stored,
            orientation: Orientation::UPRIGHT,
            frames: 1,
            extra_bytes_per_pixel: 0,
            largest_frame: (0, 0),
        }),
        _ => Err(pixelwise::unreadable(FORMAT)),
    }
}

/// Decodes the picture as far as the file goes.
fn decode(bytes: &[u8], header: &Header, deadline: Deadline) -> Result<Decoded, ImageError> {
    let may_have_alpha = bytes.get(12) == Some(&4);
    let data = bytes.get(HEADER..).unwrap_or_default();
    let pixels = Pixels {
        data: data.strip_suffix(&END).unwrap_or(data),
        seen: [[0; 4]; 64],
        pixel: [0, 0, 0, 255],
        repeats: 0,
    };
    pixelwise::fill(FORMAT, header, may_have_alpha, deadline, pixels)
}

/// The decoder's state.
struct Pixels<'a> {
    data: &'a [u8],
    /// The colours seen before, indexed by their hashes.
    seen: [[u8; 4]; 64],
    pixel: [u8; 4],
    /// How many more times the pixel is repeated.
    repeats: u8,
}

impl Iterator for Pixels<'_> {
    type Item = [u8; 4];

    #[inline]
    fn next(&mut self) -> Option<[u8; 4]> {
        if self.repeats > 0 {
            self.repeats -= 1;
            return Some(self.pixel);
        }
        let [r, g, b, a] = self.pixel;
        let (pixel, rest) = match *self.data {
            [0xfe, r, g, b, ref rest @ ..] => ([r, g, b, a], rest),
            [0xff, r, g, b, a, ref rest @ ..] => ([r, g, b, a], rest),
            [0xfe | 0xff, ..] => return None,
            [index @ 0x00..=0x3f, ref rest @ ..] => (self.seen[usize::from(index)], rest),
            [delta @ 0x40..=0x7f, ref rest @ ..] => {
                let step = |shift: u8| ((delta >> shift) & 3).wrapping_sub(2);
                let pixel = [r.wrapping_add(step(4)), g.wrapping_add(step(2)), b.wrapping_add(step(0)), a];
                (pixel, rest)
            }
            [green @ 0x80..=0xbf, other, ref rest @ ..] => {
                let green = (green & 0x3f).wrapping_sub(32);
                let step = |value: u8| green.wrapping_add(value).wrapping_sub(8);
                let red = step(other >> 4);
                let pixel = [r.wrapping_add(red), g.wrapping_add(green), b.wrapping_add(step(other & 15)), a];
                (pixel, rest)
            }
            [run @ 0xc0..=0xfd, ref rest @ ..] => {
                self.repeats = run & 0x3f;
                (self.pixel, rest)
            }
            _ => return None,
        };
        self.data = rest;
        self.pixel = pixel;
        let [r, g, b, a] = pixel.map(usize::from);
        self.seen[(r * 3 + g * 5 + b * 7 + a * 11) % 64] = pixel;
        Some(pixel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_gives_the_pixel_that_the_specification_says() {
        let data = [
            0xfe,
            100,
            150,
            200,                        // a colour
            0x40 | 3 << 4 | 2 << 2 | 1, // +1, 0, -1
            0x80 | 42,
            5 << 4 | 10, // green +10, red 10 - 3, blue 10 + 2
            0xc0 | 1,    // the same twice
            0xff,
            1,
            2,
            3,
            4,                                                   // a colour with alpha
            (100 * 3 + 150 * 5 + 200 * 7 + 255 * 11) as u8 % 64, // the first again
            0x80,                                                // cut off
        ];
        let pixels =
            Pixels { data: &data, seen: [[0; 4]; 64], pixel: [0, 0, 0, 255], repeats: 0 }.collect::<Vec<_>>();
        let third = [108, 160, 211, 255];
        assert_eq!(
            pixels,
            [
                [100, 150, 200, 255],
                [101, 150, 199, 255],
                third,
                third,
                third,
                [1, 2, 3, 4],
                [100, 150, 200, 255]
            ]
        );
    }
}
