//! Of a PNG every row must be decompressed, but none must be kept: each goes into boxes ([`boxed`](crate::reduced::boxed)) as it comes, and
//! those below the crop are not decompressed at all. Adam7's rows go into the sums of all boxes at once, for those do not
//! ask for an order, unless the sums would be large. The floor is decompression: 71 % of the time that a photograph of 12 MP takes
//! to 100×100; unfiltering and boxes are most of the rest.

use super::Picture;
use crate::{
    Deadline, Image, ImageError, Limits,
    header::Header,
    reduced::boxed::{Plan, Reducer},
    resize::View,
};

/// The most bytes that the sums of an interlaced picture may take; the whole picture is decoded otherwise.
const MOST_SUMS: u64 = 8 << 20;

/// What the view shows, upright and in sRGB; `None` where that takes the whole picture. Rows that are missing are
/// transparent.
///
/// # Errors
/// [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`]; what is wrong with a file is for the whole decoder to
/// say.
pub(super) fn view(
    bytes: &[u8],
    header: &Header,
    view: View,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Image>, ImageError> {
    let Ok(picture) = Picture::read(bytes) else { return Ok(None) };
    let (width, height) = header.stored;
    let crop = header.orientation.stored_crop(view.crop, width, height);
    let (across, down) = header.orientation.upright_size(view.width, view.height);
    let plan = Plan::new(header.stored, crop, (across, down));
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
    // Where passes are missing, pixels of the earlier ones stand in for theirs: that takes the whole picture.
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
