//! The open bitstream units of an AV1 stream (AV1 specification, 5.3) and its sequence header (5.5): enough to compute
//! what decoding a picture will take before it is decoded.

use super::properties::CodePoints;

/// The code point for "unspecified".
const UNSAID: u16 = 2;

/// The type of a unit with a sequence header.
pub(super) const SEQUENCE_HEADER: u8 = 1;
/// The types of units that begin a picture: a frame header, with or without its data.
pub(super) const PICTURES: [u8; 2] = [3, 6];

/// Splits data into open bitstream units, each with its type, its header and its content. A unit without a length
/// extends to the end.
pub(super) fn units(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let &head = data.first()?;
        let mut start = if head & 4 == 0 { 1 } else { 2 };
        let mut end = data.len();
        if head & 2 != 0 {
            let (mut length, mut shift) = (0_u64, 0);
            loop {
                let &byte = data.get(start)?;
                start += 1;
                length |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
                if shift > 49 {
                    return None;
                }
            }
            end = usize::try_from(length).ok()?.saturating_add(start).min(data.len());
        }
        let (unit, rest) = data.split_at(end);
        data = rest;
        Some((head >> 3 & 15, unit, unit.get(start..)?))
    })
}

/// Whether there is chroma, and if so whether it is subsampled across and down.
pub(super) type Chroma = Option<(bool, bool)>;

/// The properties of the pictures that follow a sequence header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sequence {
    /// Whether the operating point has several layers, each of which refines the previous one.
    pub(super) layered: bool,
    /// Bits per sample: 8, 10 or 12.
    pub(super) bits: u8,
    pub(super) chroma: Chroma,
    pub(super) code_points: CodePoints,
    /// Whether film grain may be added, which the decoder does in a copy.
    pub(super) grain: bool,
}

impl Sequence {
    /// Reads the content of a sequence header; `None` if it is cut off.
    pub(super) fn read(content: &[u8], operating_point: u8) -> Option<Self> {
        let mut bits = Bits { bytes: content, at: 0 };
        let profile = bits.take(3)?;
        bits.take(1)?;
        let reduced = bits.flag()?;
        let layers =
            if reduced { bits.take(5).map(|_| 0)? } else { operating_points(&mut bits, operating_point)? };
        let (width, height) = (bits.take(4)? + 1, bits.take(4)? + 1);
        bits.take(width)?;
        bits.take(height)?;
        if !reduced && bits.flag()? {
            bits.take(7)?;
        }
        bits.take(3)?;
        if !reduced {
            tools(&mut bits)?;
        }
        bits.take(3)?;
        let (depth, chroma, code_points) = colour(&mut bits, profile)?;
        let layered = (layers >> 8).count_ones() > 1;
        Some(Self { layered, bits: depth, chroma, code_points, grain: bits.flag()? })
    }

    /// Bytes of a picture of this size, as the decoder lays it out.
    pub(super) fn picture(&self, (width, height): (u32, u32)) -> u64 {
        let side = |side: u32| u64::from(side).next_multiple_of(128);
        let halves = match self.chroma {
            None => 2,
            Some((true, true)) => 3,
            Some((true, false)) => 4,
            Some(_) => 6,
        };
        let bytes = if self.bits > 8 { 2 } else { 1 };
        let copies = if self.grain { 2 } else { 1 };
        // Alignment makes each row longer by at most 64 samples.
        (side(width) + 64) * side(height) * halves / 2 * bytes * copies
    }
}

/// The layers of the operating point.
fn operating_points(bits: &mut Bits<'_>, wanted: u8) -> Option<u32> {
    let mut delay = None;
    if bits.flag()? {
        bits.take(32)?;
        bits.take(32)?;
        if bits.flag()? {
            bits.skip_uvlc()?;
        }
        if bits.flag()? {
            delay = Some(bits.take(5)? + 1);
            bits.take(32)?;
            bits.take(10)?;
        }
    }
    let display_delay = bits.flag()?;
    let mut layers = 0;
    for point in 0..=bits.take(5)? {
        let all = bits.take(12)?;
        if point == u32::from(wanted) || point == 0 {
            layers = all;
        }
        if bits.take(5)? > 7 {
            bits.take(1)?;
        }
        if let Some(delay) = delay
            && bits.flag()?
        {
            bits.take(delay)?;
            bits.take(delay)?;
            bits.take(1)?;
        }
        if display_delay && bits.flag()? {
            bits.take(4)?;
        }
    }
    Some(layers)
}

fn tools(bits: &mut Bits<'_>) -> Option<()> {
    bits.take(4)?;
    let order = bits.flag()?;
    if order {
        bits.take(2)?;
    }
    // The flag is set either by each picture or for all of them.
    let content_tools = bits.flag()? || bits.flag()?;
    if content_tools && !bits.flag()? {
        bits.take(1)?;
    }
    if order {
        bits.take(3)?;
    }
    Some(())
}

fn colour(bits: &mut Bits<'_>, profile: u32) -> Option<(u8, Chroma, CodePoints)> {
    let high = bits.flag()?;
    let depth = match (high, profile == 2 && high && bits.flag()?) {
        (_, true) => 12,
        (true, _) => 10,
        _ => 8,
    };
    let grey = profile != 1 && bits.flag()?;
    let mut codes = [UNSAID; 3];
    if bits.flag()? {
        for code in &mut codes {
            *code = u16::try_from(bits.take(8)?).ok()?;
        }
    }
    let [primaries, transfer, matrix] = codes;
    let code_points = |full_range| CodePoints { primaries, transfer, matrix, full_range };
    if grey {
        return Some((depth, None, code_points(bits.flag()?)));
    }
    if codes == [1, 13, 0] {
        bits.take(1)?;
        return Some((depth, Some((false, false)), code_points(true)));
    }
    let full_range = bits.flag()?;
    let chroma = match profile {
        0 => (true, true),
        1 => (false, false),
        _ if depth == 12 => {
            let across = bits.flag()?;
            (across, across && bits.flag()?)
        }
        _ => (true, false),
    };
    if chroma == (true, true) {
        bits.take(2)?;
    }
    bits.take(1)?;
    Some((depth, Some(chroma), code_points(full_range)))
}

/// Reads bits, the highest of a byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// Reads a number of up to 32 bits.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    /// Skips a number in variable-length code: the zeros before the first one tell how many bits follow it.
    fn skip_uvlc(&mut self) -> Option<()> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros < 32 {
            self.take(zeros)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! sample {
        ($name:literal) => {
            include_bytes!(concat!("../../../tests/promises/samples/avif/", $name)).as_slice()
        };
    }

    fn header(file: &[u8]) -> &[u8] {
        let data = file.windows(4).position(|at| at == b"mdat").expect("data") + 4;
        units(&file[data..]).find(|(kind, ..)| *kind == SEQUENCE_HEADER).expect("a sequence header").2
    }

    #[test]
    fn a_sequence_header_tells_depth_and_layout() {
        for (name, file, bits, chroma) in [
            ("4:2:0", sample!("420.avif"), 8, Some((true, true))),
            ("4:2:2", sample!("422.avif"), 8, Some((true, false))),
            ("4:4:4", sample!("444.avif"), 8, Some((false, false))),
            ("grey", sample!("grey.avif"), 8, None),
            ("10 bits", sample!("10.avif"), 10, Some((true, true))),
            ("12 bits", sample!("12.avif"), 12, Some((true, true))),
        ] {
            let content = header(file);
            let sequence = Sequence::read(content, 0).expect(name);
            assert_eq!((sequence.bits, sequence.chroma), (bits, chroma), "{name}");
            assert!(!sequence.layered && !sequence.grain && sequence.code_points.full_range, "{name}");
            assert_eq!(Sequence::read(&content[..content.len() / 2], 0), None, "{name}, cut off");
        }
        assert!(!Sequence::read(header(sample!("narrow.avif")), 0).expect("a header").code_points.full_range);
    }

    #[test]
    fn a_picture_is_reckoned_as_the_decoder_lays_it_out() {
        let of = |file| Sequence::read(header(file), 0).expect("a header").picture((1000, 300));
        // Sides are rounded up to multiples of 128, and rows are a little longer.
        let luma = (1024 + 64) * 384;
        assert_eq!(of(sample!("grey.avif")), luma);
        assert_eq!(of(sample!("420.avif")), luma * 3 / 2);
        assert_eq!(of(sample!("12.avif")), luma * 3);
        assert_eq!(of(sample!("444.avif")), luma * 3);
    }

    #[test]
    fn units_end_where_they_say_or_where_the_data_does() {
        let lengths = |data: &[u8]| {
            units(data).map(|(_, unit, content)| (unit.len(), content.len())).collect::<Vec<_>>()
        };
        assert_eq!(lengths(b"\x12\0\x0a\x02ab"), [(2, 0), (4, 2)]);
        assert_eq!(lengths(b"\x0a\x09ab"), [(4, 2)], "cut off");
        assert_eq!(lengths(b"\x08abc"), [(4, 3)], "to the end");
        assert_eq!(lengths(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), [], "a length of no sense");
        assert_eq!(lengths(b"\x0a"), []);
    }
}
