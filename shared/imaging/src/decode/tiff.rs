//! TIFF and BigTIFF, the first page.

use image::{ImageDecoder as _, codecs::tiff::TiffDecoder};

use super::{Decoded, other};
use crate::{
    Deadline, Format, ImageError, Limits, deadline::TimedReader, exif, header::Header, orient::Orientation,
    scan::Scan,
};

/// Reads the headers.
///
/// # Errors
/// As [`Header::read`].
pub(crate) fn header(bytes: &[u8], limits: &Limits, deadline: Deadline) -> Result<Header, ImageError> {
    const JPEG: u32 = 7;
    let mut decoder = open(bytes, limits, deadline)?;
    let orientation = decoder.orientation().ok().and_then(|it| Orientation::from_exif(it.to_exif().into()));
    let depth = u64::from(decoder.color_type().bytes_per_pixel());
    Ok(Header {
        format: Format::Tiff,
        stored: decoder.dimensions(),
        orientation: orientation.unwrap_or(Orientation::UPRIGHT),
        frames: 1,
        // The decoder's own buffer, with CMYK's fourth channel.
        beside: other::beyond_rgba(&decoder) + depth * 4 / 3 + 1,
        // BigTIFF's directory is not read here, so it is always looked through.
        largest_frame: match exif::tiff_compression(bytes) {
            None | Some(JPEG) => largest_jpeg(bytes),
            Some(_) => (0, 0),
        },
    })
}

fn open<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    deadline: Deadline,
) -> Result<TiffDecoder<TimedReader<'a>>, ImageError> {
    other::limited(TiffDecoder::new(TimedReader::new(bytes, deadline)), Format::Tiff, limits)
}

/// Decodes the first page.
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

/// The largest size that a JPEG inside claims. The TIFF decoder allocates what such a strip says of itself,
/// whatever the TIFF's own tags say.
fn largest_jpeg(file: &[u8]) -> (u32, u32) {
    let mut scan = Scan::default();
    for at in file.windows(9) {
        // Start of frame (baseline, extended, progressive), two bytes of length, 8 bits, height, width.
        if let [0xff, 0xc0..=0xc2, 0, 11..=20, 8, h0, h1, w0, w1] = *at {
            scan.saw_frame(u32::from_be_bytes([0, 0, w0, w1]), u32::from_be_bytes([0, 0, h0, h1]));
        }
    }
    scan.largest_frame
}
