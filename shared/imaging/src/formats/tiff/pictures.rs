//! Chunks that are pictures of their own, in JPEG, WebP or JPEG 2000, and are decoded whole.

use super::{
    chunk::Chunk,
    jpeg, jpeg2000,
    page::{Compression, Page},
};
use crate::{Deadline, ImageError, Limits, formats::webp};

/// Decodes a chunk; `None` if nothing of it can be shown.
///
/// # Errors
/// [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`]; [`ImageError::UnsupportedFeature`] for a kind of JPEG or
/// JPEG 2000 that is not supported.
pub(super) fn decode(
    page: &Page<'_>,
    packed: &[u8],
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Chunk>, ImageError> {
    match (page.compression, &page.old_jpeg) {
        (Compression::WebP, _) => web_p(page, packed, limits, deadline),
        (Compression::Jpeg2000 { .. }, _) => jpeg2000::decode(page, packed, limits, deadline),
        (_, Some(old)) => match old.file(page, packed) {
            Some(file) => jpeg::decode(page, &file, limits, deadline),
            None => Ok(None),
        },
        _ => jpeg::decode(page, &jpeg::with_tables(page, packed), limits, deadline),
    }
}

/// Decodes a WebP chunk, of three samples, or four with alpha.
fn web_p(
    page: &Page<'_>,
    packed: &[u8],
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Chunk>, ImageError> {
    let count = page.samples_in_chunk();
    let Some(picture) = webp::only_picture(packed) else { return Ok(None) };
    let (width, height) = picture.size;
    if !matches!(count, 3 | 4) || width > page.chunk.0 || height > page.chunk.1 {
        return Ok(None);
    }
    // The memory of the chunk's picture, of the page, and of a copy of the samples that are shown.
    let pixels = u64::from(width) * u64::from(height);
    limits.check_memory(page.picture_bytes() + pixels * (8 + picture.memory()))?;
    let mut samples = match webp::picture(&picture, limits, deadline) {
        Ok(rgba) => rgba,
        Err(ImageError::Corrupt { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if count == 3 {
        samples = samples.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
    }
    Ok(Some(Chunk { row: width as usize * count, samples }))
}
