//! The properties of items: ISO/IEC 23008-12 (HEIF), 23000-22 (MIAF) and the AV1 Image File Format.

use crate::{orient::Orientation, scan::be32};

/// A property of an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Property<'a> {
    /// Width and height in pixels.
    Size(u32, u32),
    /// The colour description of the samples.
    CodePoints(CodePoints),
    Profile(&'a [u8]),
    /// The peak luminance of the picture, in cd/m².
    Brightest(u16),
    /// Counterclockwise quarter turns.
    Turn(u8),
    /// 0 mirrors top to bottom, 1 left to right.
    Mirror(u8),
    /// The clean aperture: the part to show.
    Part(Aperture),
    /// Marks the item as the alpha of another.
    Alpha,
    /// The operating point of the AV1 stream to decode.
    OperatingPoint(u8),
    /// The layer of the AV1 stream to decode.
    Layer(u16),
    /// A known property that changes nothing here.
    Idle,
    Other,
}

/// Code points of ITU-T H.273.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CodePoints {
    pub(super) primaries: u16,
    pub(super) transfer: u16,
    pub(super) matrix: u16,
    pub(super) full_range: bool,
}

/// The clean aperture's width and height, and the offset of its centre from the picture's, as fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Aperture([u32; 8]);

/// A part of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl<'a> Property<'a> {
    pub(super) fn read(kind: [u8; 4], content: &'a [u8]) -> Self {
        const ALPHA: [&[u8]; 2] =
            [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"];
        let byte = |at: usize| content.get(at).copied().unwrap_or(0);
        let short = |at: usize| u16::from_be_bytes([byte(at), byte(at + 1)]);
        match &kind {
            b"ispe" => Self::Size(be32(content, 4).unwrap_or(0), be32(content, 8).unwrap_or(0)),
            b"irot" => Self::Turn(byte(0) & 3),
            b"imir" => Self::Mirror(byte(0) & 1),
            b"clap" => {
                Self::Part(Aperture(std::array::from_fn(|index| be32(content, index * 4).unwrap_or(0))))
            }
            b"auxC" if ALPHA.iter().any(|name| content.get(4..).is_some_and(|it| it.starts_with(name))) => {
                Self::Alpha
            }
            b"a1op" => Self::OperatingPoint(byte(0) & 31),
            b"lsel" => Self::Layer(short(0)),
            b"clli" => Self::Brightest(short(0)),
            b"colr" if content.starts_with(b"nclx") => Self::CodePoints(CodePoints {
                primaries: short(4),
                transfer: short(6),
                matrix: short(8),
                full_range: byte(10) & 0x80 != 0,
            }),
            b"colr" if content.starts_with(b"prof") || content.starts_with(b"rICC") => {
                Self::Profile(content.get(4..).unwrap_or_default())
            }
            b"av1C" | b"pixi" | b"pasp" | b"auxC" | b"colr" | b"a1lx" | b"mdcv" | b"cclv" | b"amve" => {
                Self::Idle
            }
            _ => Self::Other,
        }
    }
}

impl Aperture {
    /// The aperture's part of a picture of this size, if it consists of whole pixels within the picture.
    pub(super) fn within(self, size: (u32, u32)) -> Option<Part> {
        let [width, under_width, height, under_height, right, under_right, down, under_down] = self.0;
        let (left, width) = span(size.0, (width, under_width), (right.cast_signed(), under_right))?;
        let (top, height) = span(size.1, (height, under_height), (down.cast_signed(), under_down))?;
        Some(Part { left, top, width, height })
    }
}

/// The start and length of the aperture along one axis, where its centre is `offset` from the centre of the whole.
fn span(whole: u32, length: (u32, u32), offset: (i32, u32)) -> Option<(usize, usize)> {
    let length = length.0.checked_div(length.1).filter(|&whole| whole > 0 && whole * length.1 == length.0)?;
    if offset.1 == 0 {
        return None;
    }
    // Computes (whole - length) / 2 + offset over one denominator.
    let (whole, long) = (i128::from(whole), i128::from(length));
    let under = 2 * i128::from(offset.1);
    let over = (whole - long) * i128::from(offset.1) + 2 * i128::from(offset.0);
    let start = (over % under == 0).then_some(over / under)?;
    let inside = start >= 0 && start + long <= whole;
    inside.then_some((usize::try_from(start).ok()?, length as usize))
}

/// EXIF's number for counterclockwise quarter turns followed by an optional mirroring.
pub(super) fn orientation(turn: u8, mirror: Option<u8>) -> Orientation {
    let number = match (turn, mirror) {
        (0, None) => 1,
        (1, None) => 8,
        (2, None) => 3,
        (_, None) => 6,
        (0, Some(0)) | (2, Some(1)) => 4,
        (0, Some(_)) | (2, Some(0)) => 2,
        (1, Some(0)) | (3, Some(1)) => 5,
        _ => 7,
    };
    Orientation::from_exif(number).unwrap_or(Orientation::UPRIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(size: (u32, u32), fractions: [i32; 8]) -> Option<[usize; 4]> {
        let part = Aperture(fractions.map(i32::cast_unsigned)).within(size)?;
        Some([part.left, part.top, part.width, part.height])
    }

    #[test]
    fn an_aperture_is_measured_from_the_middle() {
        assert_eq!(part((100, 50), [100, 1, 50, 1, 0, 1, 0, 1]), Some([0, 0, 100, 50]));
        assert_eq!(part((100, 50), [40, 1, 20, 1, -30, 1, 15, 1]), Some([0, 30, 40, 20]));
        assert_eq!(part((100, 50), [99, 1, 98, 2, 1, 2, -1, 2]), Some([1, 0, 99, 49]), "halves");
    }

    #[test]
    fn an_aperture_that_makes_no_sense_is_left_out_of_account() {
        for fractions in [
            [0, 1, 50, 1, 0, 1, 0, 1],
            [100, 0, 50, 1, 0, 1, 0, 1],
            [101, 1, 50, 1, 0, 1, 0, 1],
            [40, 1, 20, 1, 31, 1, 0, 1],
            [40, 1, 20, 1, 0, 0, 0, 1],
            [41, 1, 20, 1, 0, 1, 0, 1],
            [85, 2, 20, 1, 0, 1, 0, 1],
            [-1, 1, -1, 1, i32::MIN, -1, 0, 1],
        ] {
            assert_eq!(part((100, 50), fractions), None, "{fractions:?}");
        }
    }
}
