//! Reads the chunks of a PNG, except for the pixels.
//!
//! The reader is as forgiving as browsers, and a little more: a chunk that claims to be longer than the file ends with
//! the file, an ancillary chunk with a wrong checksum is skipped, and image data counts wherever it lies.

use super::FORMAT;
use crate::{
    Deadline, ImageError, TimedOut,
    scan::{Scan, be32},
};

/// Bytes before the first chunk.
const SIGNATURE: usize = 8;

/// Chunks that are walked over between two checks of the deadline.
const CHUNKS_PER_CHECK: usize = 1024;

/// A chunk, as far as the file has it.
#[derive(Clone, Copy)]
pub(super) struct Chunk<'a> {
    pub(super) kind: [u8; 4],
    pub(super) data: &'a [u8],
    /// Type and data, over which the checksum is computed.
    summed: &'a [u8],
    /// `None` if the file ends before it.
    pub(super) checksum: Option<u32>,
}

impl Chunk<'_> {
    /// Whether the chunk is complete and its checksum is right.
    pub(super) fn is_sound(&self) -> bool {
        self.checksum == Some(crc32fast::hash(self.summed))
    }
}

/// Iterates over the chunks up to IEND, or to the end of the file.
#[derive(Clone)]
pub(super) struct Chunks<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Chunks<'a> {
    pub(super) fn of(file: &'a [u8]) -> Self {
        Self { file, at: SIGNATURE }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let length = be32(self.file, self.at)? as usize;
        let kind = *self.file.get(self.at + 4..)?.first_chunk()?;
        let start = self.at + 8;
        let end = start.saturating_add(length).min(self.file.len());
        let chunk = Chunk {
            kind,
            data: self.file.get(start..end)?,
            summed: self.file.get(start - 4..end)?,
            checksum: be32(self.file, start.saturating_add(length)),
        };
        self.at = if kind == *b"IEND" { self.file.len() } else { end.saturating_add(4) };
        Some(chunk)
    }
}

/// IHDR's colour type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColourType {
    Grey,
    Rgb,
    Indexed,
    GreyAlpha,
    Rgba,
}

/// The layout of the image data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) colour: ColourType,
    /// Bits per sample, 1–16.
    pub(super) depth: u8,
    pub(super) interlaced: bool,
}

impl Shape {
    /// Parses IHDR's thirteen bytes; `None` if the standard does not allow the values.
    fn read(header: &[u8]) -> Option<Self> {
        let &[depth, colour, 0, 0, interlace @ 0..=1] = header.get(8..13)?.first_chunk::<5>()? else {
            return None;
        };
        let colour = match (colour, depth) {
            (0, 1 | 2 | 4 | 8 | 16) => ColourType::Grey,
            (2, 8 | 16) => ColourType::Rgb,
            (3, 1 | 2 | 4 | 8) => ColourType::Indexed,
            (4, 8 | 16) => ColourType::GreyAlpha,
            (6, 8 | 16) => ColourType::Rgba,
            _ => return None,
        };
        let (width, height) = (be32(header, 0)?, be32(header, 4)?);
        (width > 0 && height > 0).then_some(Self { width, height, colour, depth, interlaced: interlace == 1 })
    }

    /// Bits per pixel.
    pub(super) fn bits(&self) -> usize {
        let samples = match self.colour {
            ColourType::Grey | ColourType::Indexed => 1,
            ColourType::GreyAlpha => 2,
            ColourType::Rgb => 3,
            ColourType::Rgba => 4,
        };
        samples * usize::from(self.depth)
    }

    /// Bytes of so many pixels, without the filter byte.
    pub(super) fn row_bytes(&self, pixels: u32) -> usize {
        (pixels as usize).saturating_mul(self.bits()).div_ceil(8)
    }
}

/// The contents of the other chunks. The first chunk of each type counts, and for those about colour only what comes
/// before the image data.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PngInfo<'a> {
    pub(super) palette: Option<&'a [u8]>,
    pub(super) transparency: Option<&'a [u8]>,
    pub(super) cicp: Option<&'a [u8]>,
    pub(super) profile: Option<&'a [u8]>,
    pub(super) srgb: Option<&'a [u8]>,
    pub(super) gamma: Option<&'a [u8]>,
    pub(super) chromaticities: Option<&'a [u8]>,
    pub(super) light: Option<&'a [u8]>,
    pub(super) has_data: bool,
}

impl<'a> PngInfo<'a> {
    /// Reads the chunks up to the image data.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub(super) fn read(file: &'a [u8], deadline: Deadline) -> Result<Self, TimedOut> {
        let mut info = Self::default();
        for (nth, chunk) in Chunks::of(file).enumerate() {
            if nth.is_multiple_of(CHUNKS_PER_CHECK) {
                deadline.check()?;
            }
            let place = match &chunk.kind {
                b"IDAT" => {
                    info.has_data = true;
                    break;
                }
                // Without a palette there is nothing to show, so it is used even if its checksum is wrong.
                b"PLTE" => {
                    info.palette = info.palette.or(Some(chunk.data));
                    continue;
                }
                b"tRNS" => &mut info.transparency,
                b"cICP" => &mut info.cicp,
                b"iCCP" => &mut info.profile,
                b"sRGB" => &mut info.srgb,
                b"gAMA" => &mut info.gamma,
                b"cHRM" => &mut info.chromaticities,
                b"cLLI" => &mut info.light,
                _ => continue,
            };
            if place.is_none() {
                // A checksum takes as long as the chunk is, and those of all chunks may be wrong.
                deadline.check()?;
                *place = chunk.is_sound().then_some(chunk.data);
            }
        }
        Ok(info)
    }
}

/// The size that IHDR states, whatever else is wrong with it.
pub(super) fn size(file: &[u8]) -> Option<(u32, u32)> {
    (file.get(12..16)? == b"IHDR").then_some((be32(file, 16)?, be32(file, 20)?))
}

/// Reads the layout of the image data.
///
/// # Errors
/// [`ImageError::Corrupt`] where IHDR is not the first chunk, is incomplete, or has values that the standard does not
/// allow.
pub(super) fn shape(file: &[u8]) -> Result<Shape, ImageError> {
    let corrupt = |what: &'static str| ImageError::corrupt(FORMAT, what);
    let header = Chunks::of(file).next().filter(|chunk| chunk.kind == *b"IHDR");
    let header = header.ok_or_else(|| corrupt("no IHDR"))?;
    if !header.is_sound() {
        return Err(corrupt("IHDR's checksum is wrong"));
    }
    Shape::read(header.data).ok_or_else(|| corrupt("IHDR describes no PNG"))
}

/// Counts frames by `acTL` or `fcTL`, whichever gives more, and finds `eXIf`.
///
/// # Errors
/// [`TimedOut`].
pub(super) fn scan(file: &[u8], deadline: Deadline) -> Result<Scan<'_>, TimedOut> {
    let (mut scan, mut announced, mut controls) = (Scan::default(), 0, 0_u32);
    for (nth, chunk) in Chunks::of(file).enumerate() {
        if nth.is_multiple_of(CHUNKS_PER_CHECK) {
            deadline.check()?;
        }
        match &chunk.kind {
            b"acTL" if !scan.animated => {
                // The specification's numbers end here (PNG, third edition, 7.1): a chunk with a greater one is
                // invalid, and what is left is a still picture.
                if let Some(count) = be32(chunk.data, 0).filter(|count| i32::try_from(*count).is_ok()) {
                    scan.animated = true;
                    announced = count;
                }
            }
            b"fcTL" => controls = controls.saturating_add(1),
            b"eXIf" => scan.exif = scan.exif.or(Some(chunk.data)),
            _ => {}
        }
    }
    scan.frames = if scan.animated { announced.max(controls).max(1) } else { 1 };
    Ok(scan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(file: &[u8]) -> u32 {
        scan(file, Deadline::none()).expect("no deadline").frames
    }

    #[test]
    fn an_animation_of_more_frames_than_there_are_numbers_is_a_still_picture() {
        let file = |announced: u32| {
            let control =
                [&8_u32.to_be_bytes()[..], b"acTL", &announced.to_be_bytes(), &[0; 4], &[0; 4]].concat();
            [b"\x89PNG\r\n\x1a\n", &control[..]].concat()
        };
        for (announced, scanned) in [(0x8000_0001, 1), (u32::MAX, 1), (0x7fff_ffff, 0x7fff_ffff), (3, 3)] {
            assert_eq!(frames(&file(announced)), scanned, "{announced}");
        }
    }

    #[test]
    fn a_length_that_lies_ends_the_walk() {
        assert_eq!(frames(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffacTL"), 1);
    }

    #[test]
    fn headers_with_values_unknown_to_the_standard_are_corrupt() {
        let shape = |depth, colour, compression, filter, interlace| {
            Shape::read(&[0, 0, 0, 7, 0, 0, 0, 5, depth, colour, compression, filter, interlace])
        };
        let rgba = shape(16, 6, 0, 0, 1).expect("a picture");
        assert_eq!((rgba.width, rgba.height, rgba.bits(), rgba.row_bytes(7)), (7, 5, 64, 56));
        let bits = shape(2, 3, 0, 0, 0).expect("a picture");
        assert_eq!((bits.row_bytes(7), bits.row_bytes(0)), (2, 0));
        for wrong in [
            shape(8, 1, 0, 0, 0),
            shape(8, 9, 0, 0, 0),
            shape(0, 2, 0, 0, 0),
            shape(3, 0, 0, 0, 0),
            shape(16, 3, 0, 0, 0),
            shape(4, 6, 0, 0, 0),
            shape(8, 2, 1, 0, 0),
            shape(8, 2, 0, 1, 0),
            shape(8, 2, 0, 0, 2),
        ] {
            assert_eq!(wrong, None);
        }
    }
}
