//! WebP, still and animated.

use image::{ImageDecoder as _, codecs::webp::WebPDecoder};

use super::{Decoded, other};
use crate::{
    Deadline, Format, ImageError, Limits,
    deadline::TimedReader,
    exif,
    header::Header,
    orient::Orientation,
    scan::{Scan, le16, le24, le32},
};

/// Reads the headers.
///
/// # Errors
/// As [`Header::read`].
pub(crate) fn header(bytes: &[u8], limits: &Limits, deadline: Deadline) -> Result<Header, ImageError> {
    const RGBA: u64 = 4;
    let scan = scan(bytes);
    let decoder = open(bytes, limits, deadline)?;
    // Canvas and frame of an animation, or the planes of a lossy and the RGBA of a lossless picture.
    let beside = if scan.animated { 2 * RGBA } else { RGBA };
    Ok(Header {
        format: Format::WebP,
        stored: decoder.dimensions(),
        orientation: scan.exif.and_then(exif::orientation).unwrap_or(Orientation::UPRIGHT),
        frames: scan.frames,
        beside: other::beyond_rgba(&decoder) + beside,
        largest_frame: scan.largest_frame,
    })
}

fn open<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    deadline: Deadline,
) -> Result<WebPDecoder<TimedReader<'a>>, ImageError> {
    other::limited(WebPDecoder::new(TimedReader::new(bytes, deadline)), Format::WebP, limits)
}

/// Decodes the picture, or the first frame on its canvas.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Decoded, ImageError> {
    // The decoder would take memory for whatever length the chunk claims.
    let profile = scan(bytes).profile.map(<[u8]>::to_vec);
    other::decode(open(bytes, limits, deadline)?, header, limits, profile)
}

/// One frame for each `ANMF`, or one picture; EXIF and ICC only where they lie wholly inside the file, because
/// the decoder would allocate what a chunk merely claims.
fn scan(file: &[u8]) -> Scan<'_> {
    fn chunks<'a>(body: &'a [u8], mut visit: impl FnMut(&[u8], &'a [u8], bool)) {
        let mut at = 0_usize;
        while let (Some(kind), Some(length)) = (body.get(at..at + 4), le32(body, at + 4)) {
            let (start, length) = (at + 8, length as usize);
            let end = start.saturating_add(length);
            let whole = end <= body.len();
            visit(kind, body.get(start..end.min(body.len())).unwrap_or_default(), whole);
            at = end.saturating_add(length & 1);
        }
    }
    fn picture_size(kind: &[u8], data: &[u8]) -> Option<(u32, u32)> {
        match kind {
            b"VP8 " if data.get(3..6)? == [0x9d, 0x01, 0x2a] => {
                Some((le16(data, 6)? & 0x3fff, le16(data, 8)? & 0x3fff))
            }
            b"VP8L" if *data.first()? == 0x2f => {
                let bits = le32(data, 1)?;
                Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
            }
            b"ANMF" => Some((le24(data, 6)? + 1, le24(data, 9)? + 1)),
            _ => None,
        }
    }
    let mut scan = Scan::default();
    chunks(file.get(12..).unwrap_or_default(), |kind, data, whole| {
        if let Some((width, height)) = picture_size(kind, data) {
            scan.saw_frame(width, height);
        }
        match kind {
            b"EXIF" if whole => scan.exif = scan.exif.or(Some(data)),
            b"ICCP" if whole => scan.profile = scan.profile.or(Some(data)),
            b"ANMF" => {
                scan.animated = true;
                scan.frames = scan.frames.saturating_add(1);
                chunks(data.get(16..).unwrap_or_default(), |kind, data, _| {
                    if let Some((width, height)) = picture_size(kind, data) {
                        scan.saw_frame(width, height);
                    }
                });
            }
            _ => {}
        }
    });
    scan.frames = scan.frames.max(1);
    scan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_lies_ends_the_walk() {
        assert_eq!(scan(b"RIFF\0\0\0\0WEBPICCP\xff\xff\xff\xffabc").profile, None);
        assert_eq!(scan(b"RIFF").frames, 1);
    }
}
