//! Chunks that are JPEGs, with shared tables (Adobe's technical note 2 to TIFF 6.0; for JPEG before that, see
//! [`old_jpeg`](super::old_jpeg)).

use jpeg_codec::Receiver;

use super::{FORMAT, chunk::Chunk, directory::tag, page::Page};
use crate::{Deadline, ImageError, Limits, formats::jpeg};

/// Decodes a chunk that is a complete JPEG file; `None` if nothing of it can be shown. The samples are returned as
/// stored, whatever the JPEG says of their colours, because the TIFF defines their meaning.
///
/// # Errors
/// [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`]; [`ImageError::UnsupportedFeature`] for a kind of JPEG
/// that is not supported.
pub(super) fn decode(
    page: &Page<'_>,
    file: &[u8],
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Chunk>, ImageError> {
    let info = match jpeg::read_info(file, deadline) {
        Ok(info) => info,
        Err(ImageError::UnsupportedFeature { source, .. }) => {
            return Err(ImageError::UnsupportedFeature { format: FORMAT, source });
        }
        Err(ImageError::Corrupt { .. } | ImageError::Empty) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (width, height) = (info.size.0 as usize, info.size.1 as usize);
    let count = info.channels.count();
    // The TIFF defines a chunk's size. The JPEG may round it up to whole MCUs at most.
    let most = |side: u32| (side as usize).next_multiple_of(32);
    if count != page.samples_in_chunk() || width > most(page.chunk.0) || height > most(page.chunk.1) {
        return Ok(None);
    }
    let row = width * count;
    let held = page.picture_bytes() + (file.len() + row * height) as u64;
    limits.check_memory(held)?;
    let mut samples = vec![0; row * height];
    let mut take = |y: u32, channels: &[&[u8]]| {
        let out = &mut samples[y as usize * row..][..row];
        for (index, channel) in channels.iter().enumerate() {
            let places = out.iter_mut().skip(index).step_by(count);
            places.zip(*channel).for_each(|(place, sample)| *place = *sample);
        }
        Ok(true)
    };
    let receiver = Receiver { channels: count, first: 0, held, take: &mut take };
    let seen = jpeg::rows(file, info.size, limits, deadline, receiver)?;
    Ok(seen.then_some(Chunk { row, samples }))
}

/// The chunk as a complete file: the shared tables without their end marker, followed by the chunk without its start
/// marker.
pub(super) fn with_tables(page: &Page<'_>, packed: &[u8]) -> Vec<u8> {
    let tables = page.directory.entry(tag::JPEG_TABLES).map(|entry| entry.raw()).unwrap_or_default();
    let tables = tables.strip_suffix(&[0xff, 0xd9]).unwrap_or(tables);
    if !tables.starts_with(&[0xff, 0xd8]) {
        return packed.to_vec();
    }
    [tables, packed.strip_prefix(&[0xff, 0xd8]).unwrap_or(packed)].concat()
}
