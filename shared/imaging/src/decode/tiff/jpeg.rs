//! Chunks that are JPEGs, with tables that all of them share (Adobe's technical note 2 to TIFF 6.0; for what was
//! before it, see [`old_jpeg`](super::old_jpeg)).

use zune_core::{colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::{directory::tag, page::Page, pictures::Chunk};
use crate::{Deadline, Format, ImageError, Limits, deadline::TimedReader, decode::samples::UNSEEN};

/// Decodes a chunk, which is a file of its own by now; `None` where nothing of it can be shown.
///
/// # Errors
/// [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`]; [`ImageError::UnsupportedFeature`] for a kind of JPEG that
/// cannot be decoded.
pub(super) fn decode(
    page: &Page<'_>,
    file: &[u8],
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Chunk>, ImageError> {
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(TimedReader::new(file, deadline), options);
    if let Err(error) = decoder.decode_headers() {
        return refused(error);
    }
    let Some((info, space)) = decoder.info().zip(decoder.input_colorspace()) else { return Ok(None) };
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    let count = usize::from(info.components);
    // A chunk has its size from the TIFF. JPEGs round it up to whole blocks at most.
    let most = |side: u32| (side as usize).next_multiple_of(32);
    if count != page.samples_in_chunk() || width > most(page.chunk.0) || height > most(page.chunk.1) {
        return Ok(None);
    }
    limits.check_memory(memory(page, file, (width, height, count)))?;
    // The samples as they are: three without conversion are RGB to the decoder if an Adobe marker says CMYK.
    let space = if (count, space) == (3, ColorSpace::CMYK) { ColorSpace::RGB } else { space };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let mut samples = vec![UNSEEN; width * height * count];
    let result = decoder.decode_into(&mut samples);
    deadline.check()?;
    match result {
        Err(error) if samples.iter().all(|&sample| sample == UNSEEN) => refused(error),
        _ => Ok(Some(Chunk { row: width * count, samples })),
    }
}

/// Bytes that decoding takes: the page, the chunk's samples, and the coefficients of whole blocks, two bytes each, which are
/// kept where they come in several scans, progressive or not.
fn memory(page: &Page<'_>, file: &[u8], (width, height, count): (usize, usize, usize)) -> u64 {
    const BLOCKS: usize = 32;
    let area = |width: usize, height: usize| width as u64 * height as u64 * count as u64;
    let coefficients = area(width.next_multiple_of(BLOCKS), height.next_multiple_of(BLOCKS)) * 2;
    page.picture_bytes() + file.len() as u64 + area(width, height) + coefficients
}

fn refused(error: zune_jpeg::errors::DecodeErrors) -> Result<Option<Chunk>, ImageError> {
    match error {
        zune_jpeg::errors::DecodeErrors::Unsupported(_) => {
            Err(ImageError::UnsupportedFeature { format: Format::Tiff, source: error.into() })
        }
        _ => Ok(None),
    }
}

/// The chunk as a file of its own: the shared tables, less the mark of their end, and the chunk, less that of its
/// beginning.
pub(super) fn with_tables(page: &Page<'_>, packed: &[u8]) -> Vec<u8> {
    let tables = page.directory.entry(tag::JPEG_TABLES).map(|entry| entry.raw()).unwrap_or_default();
    let tables = tables.strip_suffix(&[0xff, 0xd9]).unwrap_or(tables);
    if !tables.starts_with(&[0xff, 0xd8]) {
        return packed.to_vec();
    }
    [tables, packed.strip_prefix(&[0xff, 0xd8]).unwrap_or(packed)].concat()
}
