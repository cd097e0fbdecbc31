//! Lossless pictures: each row goes into boxes ([`boxed`](super::super::boxed)) as it comes, and those below the crop are not
//! decoded at all.

use super::Wanted;
use crate::{
    Deadline, ImageError, Limits,
    colour::Conversion,
    decode::{
        samples::Samples,
        webp::{Picture, Rows, UNSEEN},
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
    let mut rows = Rows::open(picture, 0, limits, deadline)?;
    let plan = Plan::new(picture.size, wanted.crop, wanted.size);
    let mut reducer = Reducer::new(plan, rows.layout(), false, Conversion::None, limits, deadline)?;
    while !reducer.is_full() {
        let y = rows.shown();
        let Some(row) = rows.next()? else { break };
        reducer.push(y, Samples::Narrow(row))?;
    }
    if rows.shown() == 0 {
        return Ok(None);
    }
    if !reducer.is_full() && !picture.has_alpha {
        let [r, g, b, _] = UNSEEN;
        let unseen = [r, g, b].repeat(picture.size.0 as usize);
        for y in rows.shown()..picture.size.1 {
            reducer.push(y, Samples::Narrow(&unseen))?;
        }
    }
    Ok(Some(reducer.finish()?.0))
}
