//! PNG, APNG included.

use image::{ImageDecoder as _, codecs::png::PngDecoder};

use super::{Decoded, other};
use crate::{
    Deadline, Format, ImageError, Limits,
    deadline::TimedReader,
    exif,
    header::Header,
    orient::Orientation,
    scan::{Scan, be32},
};

/// Reads the headers.
///
/// # Errors
/// As [`Header::read`].
pub(crate) fn header(bytes: &[u8], limits: &Limits, deadline: Deadline) -> Result<Header, ImageError> {
    let scan = scan(bytes);
    let mut header = Header {
        format: Format::Png,
        stored: (1, 1),
        orientation: scan.exif.and_then(exif::orientation).unwrap_or(Orientation::UPRIGHT),
        frames: scan.frames,
        beside: 0,
        largest_frame: (0, 0),
    };
    if let Some(size) = size(bytes) {
        // The decoder takes memory for a row as soon as it has the header.
        header.stored = size;
        header.check(limits)?;
    }
    let decoder = open(bytes, limits, deadline)?;
    header.stored = decoder.dimensions();
    header.beside = other::beyond_rgba(&decoder);
    Ok(header)
}

fn open<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    deadline: Deadline,
) -> Result<PngDecoder<TimedReader<'a>>, ImageError> {
    let decoder = PngDecoder::with_limits(TimedReader::new(bytes, deadline), other::decoder_limits(limits));
    other::limited(decoder, Format::Png, limits)
}

/// Decodes the picture; of an APNG, its default image.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Decoded, ImageError> {
    let mut decoder = open(bytes, limits, deadline)?;
    let profile = decoder.icc_profile().ok().flatten();
    other::decode(decoder, header, limits, profile)
}

/// PNG: the size in IHDR, which is read here so that a huge claim is refused for what it is.
fn size(file: &[u8]) -> Option<(u32, u32)> {
    (file.get(12..16)? == b"IHDR").then_some((be32(file, 16)?, be32(file, 20)?))
}

/// Frames by `acTL` or `fcTL`, whichever says more, and `eXIf` wherever it lies.
fn scan(file: &[u8]) -> Scan<'_> {
    let (mut scan, mut announced, mut controls, mut at) = (Scan::default(), 0, 0_u32, 8_usize);
    while let (Some(length), Some(kind)) = (be32(file, at), file.get(at + 4..at + 8)) {
        let end = (at + 8).saturating_add(length as usize);
        match kind {
            b"acTL" if !scan.animated => {
                scan.animated = true;
                announced = be32(file, at + 8).unwrap_or(0);
            }
            b"fcTL" => controls = controls.saturating_add(1),
            b"eXIf" => scan.exif = scan.exif.or_else(|| file.get(at + 8..end)),
            b"IEND" => break,
            _ => {}
        }
        at = end.saturating_add(4);
    }
    scan.frames = if scan.animated { announced.max(controls).max(1) } else { 1 };
    scan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_lies_ends_the_walk() {
        assert_eq!(scan(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffacTL").frames, 1);
    }
}
