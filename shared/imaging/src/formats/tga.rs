//! Truevision TGA, by its specification (version 2.0, 1991), and as Pillow shows it where that leaves a choice.
//!
//! The format has no signature at its beginning, and writers leave anything in the fields that are not used. A file
//! counts as TGA in one of three cases: its footer says so; every field of its header is as a careful writer leaves it;
//! or the fields that are used are valid and the picture is complete.
//!
//! `image` 0.25.10 is not used. It shows nothing of most files that are cut off. It does not read the extension area,
//! which tells what the fourth byte means, so that pictures become transparent whose writers left that byte empty.

use crate::{
    Deadline, Format, ImageError, alpha,
    decode::{Decoded, pixelwise},
    formats::Codec,
    header::Header,
    orient::Orientation,
    scan::{le16, le32},
};

/// Truevision TGA.
pub(crate) const FORMAT: Format =
    Format::new("TGA", &["image/x-tga", "image/tga", "image/targa", "image/x-targa"]);

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

const HEADER: usize = 18;
/// The signature at the end of version 2 files.
const MARK: &[u8] = b"TRUEVISION-XFILE.\0";
/// The length of the signature and the two offsets before it.
const FOOTER: usize = 26;

/// The contents of the header.
#[derive(Clone, Copy, Debug, PartialEq)]
struct TgaLayout {
    width: u32,
    height: u32,
    kind: PixelKind,
    run_lengths: bool,
    /// Bits of a stored pixel, which is an index if there is a colour map: 1, 8, 15, 16, 24 or 32.
    bits: u8,
    /// Bits of a pixel, or of a map's colour if there is a map, that the header declares as alpha.
    alpha_bits: u8,
    /// Whether rows are stored from top to bottom.
    from_top: bool,
    /// Whether rows are stored from right to left.
    from_right: bool,
    /// The colour map: the index of its first colour, the number of colours, and the bits of each.
    map: (u32, u32, u8),
    /// Offset of the colour map.
    start: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum PixelKind {
    Mapped,
    Colour,
    Grey,
}

/// Whether this is a TGA file (see the module).
pub(crate) fn recognises(bytes: &[u8]) -> bool {
    let Some(layout) = layout(bytes) else { return false };
    if bytes.ends_with(MARK) || layout.is_tidy(bytes) {
        return true;
    }
    !is_wide_text(bytes) && layout.is_whole(bytes)
}

/// Whether a header looks like UTF-16 text: characters below 256, the lower byte first. Some such texts are valid TGA
/// headers with something in every unused field.
fn is_wide_text(bytes: &[u8]) -> bool {
    let characters = bytes[..HEADER.min(bytes.len())].as_chunks::<2>().0;
    characters.iter().all(|&[low, high]| high == 0 && matches!(low, b'\t' | b'\n' | b'\r' | b' '..))
}

/// Reads the header.
///
/// # Errors
/// [`ImageError::Corrupt`] where it is cut off or contradicts itself.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, ImageError> {
    let layout = layout(bytes).ok_or_else(|| pixelwise::unreadable(FORMAT))?;
    // Rows stored from the bottom up and pixels stored from the right are treated as EXIF orientations.
    let orientation = match (layout.from_top, layout.from_right) {
        (true, false) => 1,
        (true, true) => 2,
        (false, true) => 3,
        (false, false) => 4,
    };
    Ok(Header {
        stored: (layout.width, layout.height),
        orientation: Orientation::from_exif(orientation).unwrap_or(Orientation::UPRIGHT),
        frames: 1,
        extra_bytes_per_pixel: 0,
        largest_frame: (0, 0),
    })
}

fn layout(bytes: &[u8]) -> Option<TgaLayout> {
    let [id, has_map, kind, ..] = *bytes.first_chunk::<HEADER>()?;
    let (bits, descriptor) = (bytes[16], bytes[17]);
    let map = (le16(bytes, 3)?, le16(bytes, 5)?, bytes[7]);
    let kind = match (kind, has_map, bits) {
        (1 | 9, 1, 8 | 16) if map.1 > 0 && matches!(map.2, 15 | 16 | 24 | 32) => PixelKind::Mapped,
        // A colour map is allowed beside direct colours, but has no use.
        (2 | 10, 0 | 1, 15 | 16 | 24 | 32) => PixelKind::Colour,
        (3 | 11, 0 | 1, 8 | 16) | (3, 0 | 1, 1) => PixelKind::Grey,
        _ => return None,
    };
    Some(TgaLayout {
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

impl TgaLayout {
    fn map_bytes(&self) -> usize {
        self.map.1 as usize * usize::from(self.map.2).div_ceil(8)
    }

    /// Bytes of a stored pixel of at least 8 bits.
    fn pixel_bytes(&self) -> usize {
        usize::from(self.bits).div_ceil(8)
    }

    /// Bytes of a row of one-bit pixels.
    fn row_of_bits(&self) -> usize {
        self.width.div_ceil(8) as usize
    }

    /// Whether unused fields are zero, used ones are consistent, and the file has at least some of the picture.
    fn is_tidy(&self, bytes: &[u8]) -> bool {
        let map_is_sane = match bytes[1] {
            0 => bytes[3..8].iter().all(|&byte| byte == 0),
            _ => self.map.1 > 0 && matches!(self.map.2, 15 | 16 | 24 | 32),
        };
        bytes[HEADER - 1] & 0xc0 == 0
            && map_is_sane
            && matches!(
                (self.bits, self.alpha_bits),
                (1, 0) | (8, 0 | 8) | (15, 0) | (16, 0 | 1 | 8) | (24, 0) | (32, 0 | 8)
            )
            && bytes.len() > self.start + self.map_bytes()
    }

    /// Whether all pixels are there, and no packet extends beyond the last of them.
    fn is_whole(&self, bytes: &[u8]) -> bool {
        let Some(mut data) = bytes.get(self.start + self.map_bytes()..) else { return false };
        let mut left = self.width as usize * self.height as usize;
        if left == 0 {
            return false;
        }
        if !self.run_lengths {
            let rows_of_bits = self.row_of_bits() * self.height as usize;
            return data.len() >= if self.bits == 1 { rows_of_bits } else { left * self.pixel_bytes() };
        }
        while left > 0 {
            let Some((&head, rest)) = data.split_first() else { return false };
            let pixels = usize::from(head & 0x7f) + 1;
            let stored = if head & 0x80 != 0 { 1 } else { pixels };
            let (Some(rest), Some(fewer)) =
                (rest.get(stored * self.pixel_bytes()..), left.checked_sub(pixels))
            else {
                return false;
            };
            (data, left) = (rest, fewer);
        }
        true
    }
}

/// Decodes the picture as far as the file goes.
pub(super) fn decode(bytes: &[u8], header: &Header, deadline: Deadline) -> Result<Decoded, ImageError> {
    let layout = layout(bytes).ok_or_else(|| pixelwise::unreadable(FORMAT))?;
    let rest = bytes.get(layout.start..).unwrap_or_default();
    let (map, data) = rest.split_at(layout.map_bytes().min(rest.len()));
    let alpha = Alpha::of(bytes, &layout);
    let reader = Reader { data, bytes: layout.pixel_bytes(), packet: None };
    let stored = Stored { reader, run_lengths: layout.run_lengths };
    let has_alpha = alpha != Alpha::None;
    let mut decoded = match layout.kind {
        PixelKind::Mapped => {
            let colours = colours(map, layout.map.2, alpha);
            let first = layout.map.0 as usize;
            let pixel = |raw: [u8; 4]| {
                let index = usize::from(u16::from_le_bytes([raw[0], raw[1]]));
                index.checked_sub(first).and_then(|at| colours.get(at)).copied().unwrap_or([0, 0, 0, 255])
            };
            pixelwise::fill(FORMAT, header, has_alpha, deadline, stored.map(pixel))?
        }
        PixelKind::Colour => pixelwise::fill(
            FORMAT,
            header,
            has_alpha,
            deadline,
            stored.map(|raw| colour(raw, layout.bits, alpha)),
        )?,
        PixelKind::Grey if layout.bits == 1 => pixelwise::fill(
            FORMAT,
            header,
            false,
            deadline,
            bits(data, &layout).map(|grey| [grey, grey, grey, 255]),
        )?,
        PixelKind::Grey if layout.bits == 16 => {
            let pixel = |[grey, a, ..]: [u8; 4]| [grey, grey, grey, if has_alpha { a } else { 255 }];
            pixelwise::fill(FORMAT, header, has_alpha, deadline, stored.map(pixel))?
        }
        PixelKind::Grey => pixelwise::fill(
            FORMAT,
            header,
            false,
            deadline,
            stored.map(|[grey, ..]| [grey, grey, grey, 255]),
        )?,
    };
    alpha.settle(&mut decoded.rgba);
    Ok(decoded)
}

/// How the stored alpha is to be used.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Alpha {
    None,
    Straight,
    Premultiplied,
    /// Alpha that the header does not declare, or a single bit of alpha, which some writers use with the opposite
    /// meaning. It is used if it leaves anything visible.
    Perhaps,
}

impl Alpha {
    /// Reads it from the extension area, which a version 2 file may have, or otherwise from the header.
    fn of(bytes: &[u8], layout: &TgaLayout) -> Self {
        /// The offset of the extension area's field for the type of alpha.
        const ATTRIBUTES: usize = 494;
        let stored = match layout.kind {
            PixelKind::Mapped => layout.map.2,
            PixelKind::Colour | PixelKind::Grey => layout.bits,
        };
        if !matches!(stored, 16 | 32) {
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

    /// Corrects the alpha of decoded pixels.
    fn settle(self, rgba: &mut [u8]) {
        let pixels = rgba.as_chunks_mut::<4>().0;
        match self {
            Self::Premultiplied => pixels.iter_mut().for_each(alpha::unpremultiply),
            Self::Perhaps if pixels.iter().all(|pixel| pixel[3] == 0) => {
                pixels.iter_mut().for_each(|pixel| pixel[3] = 255);
            }
            _ => {}
        }
    }
}

/// A colour of that many bits: blue, green, red and alpha, the lowest bits or bytes first. A single alpha bit is set
/// where the pixel is transparent, as in Pillow and ImageMagick.
fn colour([b, g, r, a]: [u8; 4], bits: u8, alpha: Alpha) -> [u8; 4] {
    let opaque = alpha == Alpha::None;
    match bits {
        15 | 16 => {
            let packed = u32::from(u16::from_le_bytes([b, g]));
            let channel = |shift: u32| pixelwise::to_eight_bits(packed >> shift & 31, 31);
            let a = if opaque || packed & 0x8000 == 0 { 255 } else { 0 };
            [channel(10), channel(5), channel(0), a]
        }
        24 => [r, g, b, 255],
        _ => [r, g, b, if opaque { 255 } else { a }],
    }
}

/// Pixels of one bit, the highest first; each row begins with a new byte.
fn bits(data: &[u8], layout: &TgaLayout) -> impl Iterator<Item = u8> {
    let width = layout.width as usize;
    let rows = data.chunks(layout.row_of_bits().max(1));
    rows.flat_map(move |row| {
        let bits = row.iter().flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1));
        bits.take(width).map(|bit| bit * u8::MAX)
    })
}

fn colours(map: &[u8], bits: u8, alpha: Alpha) -> Vec<[u8; 4]> {
    let bytes = usize::from(bits).div_ceil(8).max(1);
    map.chunks_exact(bytes).map(|raw| colour(padded(raw), bits, alpha)).collect()
}

/// Up to four bytes, padded with zeros.
fn padded(raw: &[u8]) -> [u8; 4] {
    let mut out = [0; 4];
    out.iter_mut().zip(raw).for_each(|(out, &raw)| *out = raw);
    out
}

/// Reads stored pixels, run-length encoded or not.
struct Reader<'a> {
    data: &'a [u8],
    /// Bytes of a stored pixel.
    bytes: usize,
    /// The number of pixels left in the packet, and their value if it is a run.
    packet: Option<(u8, Option<[u8; 4]>)>,
}

impl Reader<'_> {
    #[inline]
    fn raw(&mut self) -> Option<[u8; 4]> {
        let (raw, rest) = self.data.split_at_checked(self.bytes)?;
        self.data = rest;
        Some(padded(raw))
    }

    /// The next pixel of a packet. Packets may continue from one row to the next.
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
        assert!(recognises(bytes), "{bytes:?}");
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
        let fifteen = [head(2, [0; 5], 15, 0x20), vec![0, 0x80, 31, 0x80, 0xe0, 0x83, 0, 0x7c]].concat();
        assert_eq!(
            decoded(&fifteen).0,
            [[0, 0, 0, 255], [0, 0, 255, 255], [0, 255, 0, 255], [255, 0, 0, 255]]
        );
        let one_bit = [head(3, [0; 5], 1, 0x20), vec![0x80, 0x7f]].concat();
        assert_eq!(decoded(&one_bit).0, [255, 0, 0, 255].map(|v| [v, v, v, 255]), "each row has a byte");
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

    /// Pillow 13.0.0 gives the same for each.
    #[test]
    fn a_bit_of_alpha_is_set_where_nothing_is_seen() {
        let packed = |bits: [u16; 4]| bits.map(u16::to_le_bytes).concat();
        let (clear, seen) = (packed([0x8000, 0x801f, 0x03e0, 0x7c00]), packed([0, 0x1f, 0x3e0, 0x7c00]));
        let colours = |alpha: [u8; 4]| {
            let [a, b, c, d] = alpha;
            [[0, 0, 0, a], [0, 0, 255, b], [0, 255, 0, c], [255, 0, 0, d]]
        };
        for announced in [0x20, 0x21, 0x28] {
            let file = |pixels: &[u8]| [&head(2, [0; 5], 16, announced)[..], pixels].concat();
            assert_eq!(decoded(&file(&clear)).0, colours([0, 0, 255, 255]), "{announced}");
            assert_eq!(decoded(&file(&seen)).0, colours([255; 4]), "{announced}");
        }
        let mapped = [&head(1, [0, 0, 4, 0, 16], 8, 0x20)[..], &clear[..], &[0, 1, 2, 3]].concat();
        assert_eq!(decoded(&mapped).0, colours([0, 0, 255, 255]));
        // Some writers set the bit where the pixel is visible.
        let all = packed([0x8000, 0x801f, 0x83e0, 0xfc00]);
        assert_eq!(decoded(&[&head(2, [0; 5], 16, 0x21)[..], &all[..]].concat()).0, colours([255; 4]));
    }

    /// Pillow 13.0.0 gives the same for each.
    #[test]
    fn fields_that_are_not_used_may_have_anything_in_them() {
        let plain = [head(2, [0; 5], 24, 0x20), [3, 2, 1].repeat(4)].concat();
        let packed = [head(10, [0; 5], 24, 0x20), vec![0x81, 3, 2, 1, 1, 3, 2, 1, 3, 2, 1]].concat();
        let expected = [[1, 2, 3, 255]; 4];
        for file in [plain, packed] {
            // The colour map's first index, length and depth; the position of the picture on a screen; bits of alpha;
            // the interleaving of rows.
            for (at, value) in [
                (3, 9),
                (4, 1),
                (5, 200),
                (6, 3),
                (7, 24),
                (7, 255),
                (8, 7),
                (11, 7),
                (17, 0x28),
                (17, 0x21),
                (17, 0xe0),
            ] {
                let mut file = file.clone();
                file[at] = value;
                assert_eq!(decoded(&file).0, expected, "byte {at} is {value}");
                file.extend(b"and something behind it");
                assert_eq!(decoded(&file).0, expected, "byte {at} is {value}");
            }
        }
        for (bits, descriptor, pixel) in
            [(32, 0x21, &[3, 2, 1, 7][..]), (32, 0x2f, &[3, 2, 1, 7]), (16, 0x2f, &[5, 7])]
        {
            let kind = if bits == 16 { 3 } else { 2 };
            let file = [head(kind, [0; 5], bits, descriptor), pixel.repeat(4)].concat();
            let expected = if bits == 16 { [5, 5, 5, 7] } else { [1, 2, 3, 7] };
            assert_eq!(decoded(&file).0, [expected; 4], "{bits} bits, {descriptor:#x}");
        }
        let mut named = [head(3, [0; 5], 8, 0x2f), b"a name".to_vec(), vec![1, 2, 3, 4]].concat();
        named[0] = 6;
        assert_eq!(decoded(&named).0, [1, 2, 3, 4].map(|v| [v, v, v, 255]));
    }

    #[test]
    fn headers_that_no_tga_has_are_not_taken_for_one() {
        let good = [head(2, [0; 5], 24, 0x20), vec![0; 12]].concat();
        assert!(recognises(&good) && !recognises(&good[..18]) && !recognises(&good[..10]));
        for (at, value) in [(1, 2), (2, 4), (2, 0), (2, 32), (16, 0), (16, 25), (16, 8)] {
            let mut other = good.clone();
            other[at] = value;
            assert!(!recognises(&other), "byte {at} is {value}");
        }
        let wide = |text: &str| -> Vec<u8> { text.bytes().flat_map(|byte| [byte, 0]).collect() };
        for other in [
            &b"hello, world, this is text"[..],
            &[0; 64],
            b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x18\0\0\0\0\0\0\0",
            &wide(&"1\t2 5678 0".repeat(2000)),
            &wide(&"a\nb of lines ".repeat(2000)),
        ] {
            assert!(!recognises(other));
        }
    }

    #[test]
    fn a_header_with_something_in_unused_fields_needs_the_whole_picture() {
        let odd = |kind, data: &[u8]| {
            let mut file = [&head(kind, [0; 5], 24, 0x20)[..], data].concat();
            file[7] = 24;
            recognises(&file)
        };
        assert!(odd(2, &[0; 12]) && !odd(2, &[0; 11]) && !odd(2, &[]));
        assert!(odd(10, &[0x83, 1, 2, 3]) && !odd(10, &[0x83, 1, 2]) && !odd(10, &[0x82, 1, 2, 3]));
        assert!(!odd(10, &[0x84, 1, 2, 3]), "a packet goes on behind the last pixel");
        let empty = |at: usize| {
            let mut file = [head(2, [0; 5], 24, 0x2f), vec![0; 12]].concat();
            file[at] = 0;
            recognises(&file)
        };
        assert!(!empty(12) && !empty(14));
    }

    #[test]
    fn bytes_at_random_are_none_even_where_they_begin_as_one() {
        let mut state = 1_u64;
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let mut taken = [0; 2];
        for round in 0..100_000 {
            let mut bytes: Vec<u8> = (0..if round % 100 == 0 { 4000 } else { 200 }).map(|_| byte()).collect();
            taken[0] += u32::from(recognises(&bytes));
            let kind = [1, 2, 3, 9, 10, 11][usize::from(byte() % 6)];
            bytes[1] = u8::from(kind % 8 == 1);
            bytes[2] = kind;
            bytes[16] = if kind % 8 == 2 { 24 } else { 8 };
            taken[1] += u32::from(recognises(&bytes));
        }
        // Some of those with a TGA signature in front describe pictures of a few pixels, which are complete.
        assert!(taken[0] == 0 && taken[1] < 20, "{taken:?}");
    }
}
