//! Views of lossless pictures: each row goes into boxes ([`boxed`](super::super::boxed)) as it comes, and rows below
//! the crop are not decoded.

use super::Wanted;
use crate::{
    Deadline, ImageError, Limits,
    colour::Conversion,
    decode::samples::Samples,
    formats::webp::{Rows, WebpPicture},
    reduced::boxed::{BoxPlan, Reducer},
};

/// Decodes the wanted part of the picture; `None` if nothing of it can be shown. Missing rows are the same as in the
/// whole picture: transparent if it has an alpha channel, otherwise grey.
pub(super) fn view(
    picture: &WebpPicture<'_>,
    wanted: Wanted,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Vec<u8>>, ImageError> {
    let plan = BoxPlan::new(picture.size, wanted.crop, wanted.size);
    let mut reducer = Reducer::new(plan, picture.layout(), false, Conversion::None, 0, limits, deadline)?;
    let mut rows = Rows::open(picture, reducer.bytes(), limits, deadline)?;
    while !reducer.is_full() {
        let y = rows.rows_read();
        let Some(row) = rows.next()? else { break };
        reducer.push(y, Samples::Narrow(row))?;
    }
    if rows.rows_read() == 0 {
        return Ok(None);
    }
    if !reducer.is_full() && !picture.has_alpha {
        reducer.push_unseen(rows.rows_read()..picture.size.1)?;
    }
    Ok(Some(reducer.finish()?.0))
}
