//! GIF, still and animated.

use image::{ImageDecoder as _, codecs::gif::GifDecoder};

use super::{Decoded, other};
use crate::{
    Deadline, Format, ImageError, Limits,
    deadline::TimedReader,
    header::Header,
    orient::Orientation,
    scan::{Scan, le16},
};

/// Reads the headers.
///
/// # Errors
/// As [`Header::read`].
pub(crate) fn header(bytes: &[u8], limits: &Limits, deadline: Deadline) -> Result<Header, ImageError> {
    let scan = scan(bytes);
    let stored = open(bytes, limits, deadline)?.dimensions();
    // A frame that is not the whole canvas is decoded on its own first.
    let (beside, largest_frame) =
        if scan.largest_frame == stored { (0, (0, 0)) } else { (4, scan.largest_frame) };
    Ok(Header {
        format: Format::Gif,
        stored,
        orientation: Orientation::UPRIGHT,
        frames: scan.frames.max(1),
        beside,
        largest_frame,
    })
}

fn open<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    deadline: Deadline,
) -> Result<GifDecoder<TimedReader<'a>>, ImageError> {
    other::limited(GifDecoder::new(TimedReader::new(bytes, deadline)), Format::Gif, limits)
}

/// Decodes the first frame, on its canvas.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Decoded, ImageError> {
    other::decode(open(bytes, limits, deadline)?, header, limits, None)
}

/// Calls `each` with the whole canvas and the milliseconds of every frame.
pub(crate) fn frames(
    bytes: &[u8],
    _header: &Header,
    limits: &Limits,
    deadline: Deadline,
    each: &mut dyn FnMut(&[u8], u32) -> Result<(), ImageError>,
) -> Result<u32, ImageError> {
    use image::AnimationDecoder as _;
    for frame in open(bytes, limits, deadline)?.into_frames() {
        let frame = frame.map_err(|error| ImageError::corrupt(Format::Gif, error))?;
        let (numerator, denominator) = frame.delay().numer_denom_ms();
        each(frame.buffer(), numerator / denominator.max(1))?;
    }
    Ok(0)
}

/// One frame for each image descriptor.
fn scan(file: &[u8]) -> Scan<'_> {
    fn color_table(flags: u8) -> usize {
        if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
    }
    fn after_sub_blocks(file: &[u8], mut at: usize) -> Option<usize> {
        loop {
            match *file.get(at)? {
                0 => return Some(at + 1),
                length => at += 1 + usize::from(length),
            }
        }
    }
    fn next_block(file: &[u8], at: usize, scan: &mut Scan<'_>) -> Option<usize> {
        match *file.get(at)? {
            0x21 => after_sub_blocks(file, at + 2),
            0x2c => {
                let flags = *file.get(at + 9)?;
                scan.saw_frame(le16(file, at + 5)?, le16(file, at + 7)?);
                scan.frames = scan.frames.saturating_add(1);
                after_sub_blocks(file, at + 10 + color_table(flags) + 1)
            }
            _ => None,
        }
    }
    let mut scan = Scan::default();
    let mut at = file.get(10).map(|&flags| 13 + color_table(flags));
    while let Some(start) = at {
        at = next_block(file, start, &mut scan);
    }
    scan.animated = scan.frames > 1;
    scan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gif_frames_are_counted_with_their_own_sizes() {
        let mut file = b"GIF89a\x04\0\x04\0\x80\0\0".to_vec();
        file.extend([0; 6]); // a global table of two colours
        file.extend(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0");
        for (width, flags, table) in [(2_u8, 0_u8, 0), (3, 0x80, 6)] {
            file.extend([0x21, 0xf9, 4, 0, 0, 0, 0, 0, 0x2c, 0, 0, 0, 0, width, 0, 2, 0, flags]);
            file.extend(vec![0; table]);
            file.extend([2, 2, 0x44, 1, 0]);
        }
        let ended = [&file[..], &[0x3b]].concat();
        let whole = scan(&ended);
        assert_eq!((whole.frames, whole.animated, whole.largest_frame), (2, true, (3, 2)));
        assert_eq!(scan(&file[..file.len() - 3]).frames, 2, "a cut-off frame counts");
        assert_eq!(scan(b"GIF89a").frames, 0);
    }
}
