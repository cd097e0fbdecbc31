//! Views of an AVIF that is not a grid. The rows of the decoded planes go into boxes ([`boxed`](crate::reduced::boxed))
//! one by one, so the picture is never held as RGBA. For small thumbnails, the loop filters are left out.

use super::AvifPicture;
use crate::{
    Deadline, Image, ImageError, Limits,
    colour::Conversion,
    decode::samples::{SampleLayout, Samples},
    header::Header,
    reduced::boxed::{BoxPlan, Reducer},
    resize::View,
};

/// The reduction, in pixels per pixel of the thumbnail, from which the loop filters make no visible difference.
const UNFILTERED: f64 = 8.0;

/// Rows between two checks of the deadline.
const ROWS: u32 = 64;

/// Decodes the part of the picture that the view shows, upright and in sRGB; `None` where only decoding the whole
/// picture gives it.
///
/// # Errors
/// [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`]. A damaged file is not an error here: decoding the whole
/// picture reports it.
pub(super) fn view(
    bytes: &[u8],
    header: &Header,
    view: View,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Image>, ImageError> {
    let Some(picture) = AvifPicture::open(bytes, header, limits) else { return Ok(None) };
    let (width, height) = header.stored;
    let crop = header.orientation.stored_crop(view.crop, width, height);
    let (across, down) = header.orientation.upright_size(view.width, view.height);
    let layout = SampleLayout { channels: picture.channels(), wide: false };
    let mut reducer = Reducer::new(
        BoxPlan::new(header.stored, crop, (across, down)),
        layout,
        false,
        Conversion::None,
        0,
        limits,
        deadline,
    )?;
    let scale = (crop.width / f64::from(across)).min(crop.height / f64::from(down));
    let Some(planes) = picture.planes(scale < UNFILTERED, limits, deadline)? else { return Ok(None) };
    let mut lines = picture.lines(&planes);
    for y in 0..height {
        if y % ROWS == 0 {
            deadline.check()?;
        }
        if reducer.is_full() {
            break;
        }
        if reducer.wants(y) {
            reducer.push(y, Samples::Narrow(lines.line(y)))?;
        }
    }
    let (rgba, _) = reducer.finish()?;
    let rgba = header.orientation.apply(rgba, across, down);
    let make = if layout.has_alpha() { Image::new } else { Image::opaque };
    Ok(make(view.width, view.height, rgba))
}
