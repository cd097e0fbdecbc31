//! Truevision TGA, by its specification (version 2.0, 1991). The format has no mark at its beginning: a file is one
//! where its header says only what a writer would say.

use super::{Decoded, pixelwise};
use crate::{
    Deadline, Format, ImageError,
    header::Header,
    orient::Orientation,
    scan::{le16, le32},
};

const HEADER: usize = 18;
/// What version 2 files end with.
const MARK: &[u8] = b"TRUEVISION-XFILE.\0";
/// The mark and the two offsets before it.
const FOOTER: usize = 26;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Layout {
    width: u32,
    height: u32,
    kind: Kind,
    run_lengths: bool,
    /// Bits of a stored pixel, which is an index where there is a map: 8, 15, 16, 24 or 32.
    bits: u8,
    /// Bits of a pixel, of the map where there is one, that are alpha.
    alpha_bits: u8,
    /// Whether the first row is the topmost.
    from_top: bool,
    /// Whether a row's first pixel is its rightmost.
    from_right: bool,
    /// The colour map: the index of its first colour, how many there are, and the bits of each.
    map: (u32, u32, u8),
    /// Where the colour map begins.
    start: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Mapped,
    Colour,
    Grey,
}

/// Whether this is a TGA file: by its footer, or else by a header in which every field is as it must be.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    let Some(layout) = layout(bytes) else { return false };
    if bytes.ends_with(MARK) {
        return true;
    }
    let descriptor = bytes[HEADER - 1];
    let map_is_sane = match bytes[1] {
        0 => bytes[3..8].iter().all(|&byte| byte == 0),
        _ => layout.map.1 > 0 && matches!(layout.map.2, 15 | 16 | 24 | 32),
    };
    let data = layout.start + layout.map_bytes();
    descriptor & 0xc0 == 0
        && map_is_sane
        && matches!(
            (layout.bits, layout.alpha_bits),
            (8, 0 | 8) | (15, 0) | (16, 0 | 1 | 8) | (24, 0) | (32, 0 | 8)
        )
        && bytes.len() > data
}

/// Reads the header.
///
/// # Errors
/// [`ImageError::Corrupt`] where it is cut off or says what cannot be.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, ImageError> {
    let layout = layout(bytes).ok_or_else(|| pixelwise::unreadable(Format::Tga))?;
    // Rows from the bottom and pixels from the right are what EXIF calls orientations.
    let orientation = match (layout.from_top, layout.from_right) {
        (true, false) => 1,
        (true, true) => 2,
        (false, true) => 3,
        (false, false) => 4,
    };
    Ok(Header {
        format: Format::Tga,
        stored: (layout.width, layout.height),
        orientation: Orientation::from_exif(orientation).unwrap_or(Orientation::UPRIGHT),
        frames: 1,
        beside: 0,
        largest_frame: (0, 0),
    })
}

fn layout(bytes: &[u8]) -> Option<Layout> {
    let [id, has_map, kind, ..] = *bytes.first_chunk::<HEADER>()?;
    let (bits, descriptor) = (bytes[16], bytes[17]);
    let map = (le16(bytes, 3)?, le16(bytes, 5)?, bytes[7]);
    let kind = match (kind, has_map, bits) {
        (1 | 9, 1, 8 | 16) if map.1 > 0 && matches!(map.2, 15 | 16 | 24 | 32) => Kind::Mapped,
        // A map beside full colours is allowed, and of no use.
        (2 | 10, 0 | 1, 15 | 16 | 24 | 32) => Kind::Colour,
        (3 | 11, 0 | 1, 8 | 16) => Kind::Grey,
        _ => return None,
    };
    Some(Layout {
        width: le16(bytes, 12)?,
        height: le16(bytes, 14)?,
        kind,
        run_lengths: bytes[2] & 8 != 0,
        bits,
        alpha_bits: descriptor & 15,
        from_top: descriptor & 0x20 != 0,
        from_right: descriptor & 0x10 != 0,
        map: if has_map == 1 { map } else { (0, 0, 0) },
        start: HEADER + usize::from(id),
    })
}

impl Layout {
    fn map_bytes(&self) -> usize {
        self.map.1 as usize * usize::from(self.map.2).div_ceil(8)
    }
}

/// Decodes the picture as far as it goes.
pub(super) fn decode(bytes: &[u8], header: &Header, deadline: Deadline) -> Result<Decoded, ImageError> {
    let layout = layout(bytes).ok_or_else(|| pixelwise::unreadable(Format::Tga))?;
    let rest = bytes.get(layout.start..).unwrap_or_default();
    let (map, data) = rest.split_at(layout.map_bytes().min(rest.len()));
    let alpha = Alpha::of(bytes, &layout);
    let reader = Reader { data, bytes: usize::from(layout.bits).div_ceil(8), packet: None };
    let stored = Stored { reader, run_lengths: layout.run_lengths };
    let has_alpha = alpha != Alpha::None;
    let mut decoded = match layout.kind {
        Kind::Mapped => {
            let colours = colours(map, layout.map.2, alpha);
            let first = layout.map.0 as usize;
            let pixel = |raw: [u8; 4]| {
                let index = usize::from(u16::from_le_bytes([raw[0], raw[1]]));
                index.checked_sub(first).and_then(|at| colours.get(at)).copied().unwrap_or([0, 0, 0, 255])
            };
            pixelwise::fill(header, has_alpha, deadline, stored.map(pixel))?
        }
        Kind::Colour => {
            pixelwise::fill(header, has_alpha, deadline, stored.map(|raw| colour(raw, layout.bits, alpha)))?
        }
        Kind::Grey if layout.bits == 16 => {
            let pixel = |[grey, a, ..]: [u8; 4]| [grey, grey, grey, if has_alpha { a } else { 255 }];
            pixelwise::fill(header, has_alpha, deadline, stored.map(pixel))?
        }
        Kind::Grey => {
            pixelwise::fill(header, false, deadline, stored.map(|[grey, ..]| [grey, grey, grey, 255]))?
        }
    };
    alpha.settle(&mut decoded.rgba);
    Ok(decoded)
}

/// What the stored alpha is good for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Alpha {
    None,
    Straight,
    Premultiplied,
    /// Alpha that the header does not own up to, or a single bit of it, which many set to nothing: used where it is
    /// not all zero.
    Perhaps,
}

impl Alpha {
    /// By the extension area, which a version 2 file may have, or else by the header.
    fn of(bytes: &[u8], layout: &Layout) -> Self {
        /// Where the extension area says what its alpha is.
        const ATTRIBUTES: usize = 494;
        let stored = match layout.kind {
            Kind::Mapped => layout.map.2,
            Kind::Colour | Kind::Grey => layout.bits,
        };
        let possible = match (layout.kind, stored) {
            (Kind::Grey, 16) | (_, 32) => true,
            (_, 16) => layout.alpha_bits > 0,
            _ => false,
        };
        if !possible {
            return Self::None;
        }
        let footer = bytes.len().checked_sub(FOOTER).filter(|_| bytes.ends_with(MARK));
        let extension = footer.and_then(|at| le32(bytes, at)).filter(|&at| at > 0);
        match extension.and_then(|at| bytes.get((at as usize).checked_add(ATTRIBUTES)?)) {
            Some(0..=2) => Self::None,
            Some(3) => Self::Straight,
            Some(4) => Self::Premultiplied,
            _ if layout.alpha_bits > 0 && stored == 32 => Self::Straight,
            _ => Self::Perhaps,
        }
    }

    /// Makes the alpha of decoded pixels what it should be.
    fn settle(self, rgba: &mut [u8]) {
        let pixels = rgba.as_chunks_mut::<4>().0;
        match self {
            Self::Premultiplied => pixels.iter_mut().for_each(super::samples::unpremultiply),
            Self::Perhaps if pixels.iter().all(|pixel| pixel[3] == 0) => {
                pixels.iter_mut().for_each(|pixel| pixel[3] = 255);
            }
            _ => {}
        }
    }
}

/// A colour of that many bits: blue, green, red and alpha, the lowest bits or bytes first.
fn colour([b, g, r, a]: [u8; 4], bits: u8, alpha: Alpha) -> [u8; 4] {
    let opaque = alpha == Alpha::None;
    match bits {
        15 | 16 => {
            let packed = u32::from(u16::from_le_bytes([b, g]));
            let channel = |shift: u32| pixelwise::to_eight_bits(packed >> shift & 31, 31);
            let a = if opaque || packed & 0x8000 != 0 { 255 } else { 0 };
            [channel(10), channel(5), channel(0), a]
        }
        24 => [r, g, b, 255],
        _ => [r, g, b, if opaque { 255 } else { a }],
    }
}

fn colours(map: &[u8], bits: u8, alpha: Alpha) -> Vec<[u8; 4]> {
    let bytes = usize::from(bits).div_ceil(8).max(1);
    map.chunks_exact(bytes).map(|raw| colour(padded(raw), bits, alpha)).collect()
}

/// Up to four bytes, the rest zero.
fn padded(raw: &[u8]) -> [u8; 4] {
    let mut out = [0; 4];
    out.iter_mut().zip(raw).for_each(|(out, &raw)| *out = raw);
    out
}

/// Stored pixels as bytes, packed or not.
struct Reader<'a> {
    data: &'a [u8],
    /// Bytes of a stored pixel.
    bytes: usize,
    /// How many more pixels of the packet there are, and their value where they are all the same.
    packet: Option<(u8, Option<[u8; 4]>)>,
}

impl Reader<'_> {
    #[inline]
    fn raw(&mut self) -> Option<[u8; 4]> {
        let (raw, rest) = self.data.split_at_checked(self.bytes)?;
        self.data = rest;
        Some(padded(raw))
    }

    /// The next pixel of a packet; packets may go on from one row to the next.
    #[inline]
    fn unpacked(&mut self) -> Option<[u8; 4]> {
        let (left, same) = match self.packet.take() {
            Some(packet) => packet,
            None => {
                let (&head, rest) = self.data.split_first()?;
                self.data = rest;
                (head & 0x7f, if head & 0x80 != 0 { Some(self.raw()?) } else { None })
            }
        };
        let pixel = match same {
            Some(pixel) => pixel,
            None => self.raw()?,
        };
        self.packet = left.checked_sub(1).map(|left| (left, same));
        Some(pixel)
    }
}

struct Stored<'a> {
    reader: Reader<'a>,
    run_lengths: bool,
}

impl Iterator for Stored<'_> {
    type Item = [u8; 4];

    #[inline]
    fn next(&mut self) -> Option<[u8; 4]> {
        if self.run_lengths { self.reader.unpacked() } else { self.reader.raw() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of 2×2 pixels.
    fn head(kind: u8, map: [u8; 5], bits: u8, descriptor: u8) -> Vec<u8> {
        let mut out = vec![0, u8::from(map != [0; 5]), kind];
        out.extend(map);
        out.extend([0, 0, 0, 0, 2, 0, 2, 0, bits, descriptor]);
        out
    }

    fn decoded(bytes: &[u8]) -> (Vec<[u8; 4]>, Header) {
        assert!(is_one(bytes), "{bytes:?}");
        let header = header(bytes).expect("a header");
        let decoded = decode(bytes, &header, Deadline::none()).expect("a picture");
        (decoded.rgba.as_chunks().0.to_vec(), header)
    }

    #[test]
    fn every_depth_is_read() {
        let grey = [head(3, [0; 5], 8, 0x20), vec![1, 2, 3, 4]].concat();
        assert_eq!(decoded(&grey).0, [1, 2, 3, 4].map(|v| [v, v, v, 255]));
        let grey_alpha = [head(3, [0; 5], 16, 0x28), vec![1, 9, 2, 9, 3, 9, 4, 0]].concat();
        assert_eq!(decoded(&grey_alpha).0, [[1, 1, 1, 9], [2, 2, 2, 9], [3, 3, 3, 9], [4, 4, 4, 0]]);
        let fifteen = [head(2, [0; 5], 16, 0x21), vec![0, 0x80, 31, 0x80, 0xe0, 0x83, 0, 0x7c]].concat();
        assert_eq!(decoded(&fifteen).0, [[0, 0, 0, 255], [0, 0, 255, 255], [0, 255, 0, 255], [255, 0, 0, 0]]);
        let colour = [head(2, [0; 5], 24, 0x20), [3, 2, 1].repeat(4)].concat();
        assert_eq!(decoded(&colour).0, [[1, 2, 3, 255]; 4]);
        let mapped = [head(1, [5, 0, 2, 0, 24], 8, 0x20), vec![3, 2, 1, 6, 5, 4], vec![5, 6, 5, 9]].concat();
        let (one, two) = ([1, 2, 3, 255], [4, 5, 6, 255]);
        assert_eq!(decoded(&mapped).0, [one, two, one, [0, 0, 0, 255]], "the first colour's index is 5");
    }

    #[test]
    fn packets_run_on_from_row_to_row_and_the_origin_is_an_orientation() {
        let packed = [head(10, [0; 5], 24, 0), vec![0x82, 3, 2, 1, 0, 9, 8, 7]].concat();
        let (pixels, header) = decoded(&packed);
        assert_eq!(pixels, [[1, 2, 3, 255], [1, 2, 3, 255], [1, 2, 3, 255], [7, 8, 9, 255]]);
        assert_eq!(Some(header.orientation), Orientation::from_exif(4));
    }

    #[test]
    fn alpha_that_nobody_announced_counts_where_there_is_any() {
        let bytes = |alpha: u8, descriptor| {
            [head(2, [0; 5], 32, descriptor), [3, 2, 1, 0].repeat(3), vec![3, 2, 1, alpha]].concat()
        };
        assert_eq!(decoded(&bytes(0, 0x20)).0, [[1, 2, 3, 255]; 4], "all zero means none");
        assert_eq!(decoded(&bytes(7, 0x20)).0[2..], [[1, 2, 3, 0], [1, 2, 3, 7]]);
        assert_eq!(decoded(&bytes(0, 0x28)).0, [[1, 2, 3, 0]; 4], "announced, it is believed");
    }

    #[test]
    fn what_a_tga_would_not_say_is_none() {
        let good = [head(2, [0; 5], 24, 0x20), vec![0; 12]].concat();
        assert!(is_one(&good) && !is_one(&good[..18]) && !is_one(&good[..10]));
        for (at, value) in [(1, 2), (2, 4), (2, 0), (5, 1), (7, 24), (16, 25), (16, 8), (17, 0xc0), (17, 3)] {
            let mut other = good.clone();
            other[at] = value;
            assert!(!is_one(&other), "byte {at} is {value}");
        }
        for other in [
            &b"hello, world, this is text"[..],
            &[0; 64],
            b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x18\0\0\0\0\0\0\0",
        ] {
            assert!(!is_one(other));
        }
    }
}
