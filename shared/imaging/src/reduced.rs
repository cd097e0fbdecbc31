//! What a thumbnail shows, without the whole picture: only as much of the file is decoded as the thumbnail needs.

pub(crate) mod boxed;

use crate::{Deadline, Image, ImageError, Limits, formats, header::Header, resize::Crop, resize::View};

/// What the view shows, upright and in sRGB; `None` where that takes the whole picture.
///
/// # Errors
/// [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`]; what is wrong with a file is for the whole decoder to say.
pub(crate) fn view(
    bytes: &[u8],
    header: &Header,
    view: View,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Image>, ImageError> {
    let size = header.orientation.upright_size(header.stored.0, header.stored.1);
    if view.crop == Crop::whole(size) && (view.width, view.height) == size {
        // Nothing is resampled, so nothing shall be premultiplied and rounded.
        return Ok(None);
    }
    match formats::codec(header.format).view {
        Some(read) => read(bytes, header, view, limits, deadline),
        None => Ok(None),
    }
}
