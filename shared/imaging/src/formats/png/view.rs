//! Views of a PNG. Every row down to the end of the crop must be decompressed, but none must be kept: each goes into
//! boxes ([`boxed`](crate::reduced::boxed)) as it comes. Adam7's rows go into the sums of all boxes at once, which
//! accept any order, unless these sums would be large. Decompression takes most of the time and cannot be avoided
//! (`infra/bench/RESULTS.md`).

use super::PngPicture;
use crate::{
    Deadline, Image, ImageError, Limits,
    header::Header,
    reduced::boxed::{BoxPlan, Reducer},
    resize::View,
};

/// The most bytes that the sums of an interlaced picture may take; beyond that the whole picture is decoded.
const MOST_SUMS: u64 = 8 << 20;

/// Decodes the part of the picture that the view shows, upright and in sRGB; `None` where only decoding the whole
/// picture gives it. Missing rows are transparent.
///
/// [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`]. A damaged file is not an error here: decoding the whole
/// picture reports it.
pub(super) fn view(
    bytes: &[u8],
    header: &Header,
    view: View,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Image>, ImageError> {
    let Ok(picture) = PngPicture::read(bytes, deadline) else { return Ok(None) };
    let (width, height) = header.stored;
    let crop = header.orientation.stored_crop(view.crop, width, height);
    let (across, down) = header.orientation.upright_size(view.width, view.height);
    let plan = BoxPlan::new(header.stored, crop, (across, down));
    let mut unpack = picture.unpack();
    let (layout, interlaced) = (unpack.layout(), picture.is_interlaced());
    if interlaced && Reducer::scattered_bytes(&plan, layout) > MOST_SUMS {
        return Ok(None);
    }
    let mut rows = picture.rows(limits, deadline)?;
    let mut reducer = Reducer::new(plan, layout, interlaced, picture.conversion(), 0, limits, deadline)?;
    let mut shown = false;
    while !reducer.is_full()
        && let Some(row) = rows.next()?
    {
        shown = true;
        if interlaced {
            reducer.scatter(row.y, (row.left, row.step), unpack.samples(&row));
        } else if reducer.wants(row.y) {
            reducer.push(row.y, unpack.samples(&row))?;
        }
    }
    // Pixels of earlier passes stand in for those of missing passes, which requires the whole picture.
    if !shown || (interlaced && !rows.is_complete()) {
        return Ok(None);
    }
    let (rgba, complete) = reducer.finish()?;
    let rgba = header.orientation.apply(rgba, across, down);
    Ok(if layout.has_alpha() || !complete {
        Image::new(view.width, view.height, rgba)
    } else {
        Image::opaque(view.width, view.height, rgba)
    })
}
