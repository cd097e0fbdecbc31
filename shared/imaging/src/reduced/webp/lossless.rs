//! Lossless pictures: each row goes into boxes ([`boxed`](super::super::boxed)) as it comes, and those below the crop are not
//! decoded at all.

use super::Wanted;
use crate::{
    Deadline, ImageError, Limits,
    colour::Conversion,
    decode::{
        samples::{Layout, Samples},
        webp::{Picture, Rows},
    },
    reduced::boxed::{Plan, Reducer},
    resize::Crop,
};

/// What is wanted of the picture; not where it would have to be kept as it is. Rows that are missing are what they are in the whole
/// picture: transparent where it has an alpha channel, and grey otherwise.
pub(super) fn view(
    picture: &Picture<'_>,
    wanted: Wanted,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Vec<u8>>, ImageError> {
    if wanted.crop == Crop::whole(picture.size) && wanted.size == picture.size {
        // Nothing is resampled, so nothing shall be premultiplied and rounded.
        return Ok(None);
    }
    let plan = Plan::new(picture.size, wanted.crop, wanted.size);
    let layout = Layout { channels: if picture.has_alpha { 4 } else { 3 }, wide: false };
    let mut reducer = Reducer::new(plan, layout, false, Conversion::None, 0, limits, deadline)?;
    let mut rows = Rows::open(picture, reducer.bytes(), limits, deadline)?;
    while !reducer.is_full() {
        let y = rows.shown();
        let Some(row) = rows.next()? else { break };
        reducer.push(y, Samples::Narrow(row))?;
    }
    if rows.shown() == 0 {
        return Ok(None);
    }
    if !reducer.is_full() && !picture.has_alpha {
        reducer.push_unseen(rows.shown()..picture.size.1)?;
    }
    Ok(Some(reducer.finish()?.0))
}
