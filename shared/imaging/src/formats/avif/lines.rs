//! Reads a picture row by row from decoded planes.

use super::{
    Grid, Primary,
    av1::{self, Planes, Wanted},
    matrix::Matrix,
    properties::Part,
    rows::{Channel, Rows},
};
use crate::{Deadline, ImageError, Limits, colour::Conversion, header::Header};

/// A picture that is not a grid, for reading row by row.
pub(crate) struct AvifPicture<'a>(Primary<'a>);

impl<'a> AvifPicture<'a> {
    /// Opens the picture; `None` if it is a grid, or does not match the header.
    pub(crate) fn open(bytes: &'a [u8], header: &Header, limits: &Limits) -> Option<Self> {
        let picture = Primary::find(bytes, limits).ok()?;
        let alone = |table: &Grid| table.items.len() == 1;
        let alone = alone(&picture.colour) && picture.alpha.as_ref().is_none_or(|(table, _)| alone(table));
        let size = (picture.part.width as u32, picture.part.height as u32);
        (alone && size == header.stored).then_some(Self(picture))
    }

    /// Channels per pixel: 3, or 4 with alpha.
    pub(crate) fn channels(&self) -> usize {
        if self.0.alpha.is_some() { 4 } else { 3 }
    }

    /// Decodes the colours, and the alpha if there is any, with or without the loop filters. `None` if either cannot be
    /// shown.
    ///
    /// # Errors
    /// [`ImageError::TimeLimit`] or [`ImageError::DecoderMemory`].
    pub(crate) fn planes(
        &self,
        filtered: bool,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Option<Decoding>, ImageError> {
        let decode = |table: &Grid, held| {
            let Some(item) = table.items.first().copied() else { return Ok(None) };
            let Some(data) = self.0.meta.data(item) else { return Ok(None) };
            let wanted = Wanted { filtered, ..self.0.wanted(item, table.cell) };
            let planes = av1::decode(&data, wanted, held, limits, deadline)?;
            Ok::<_, ImageError>(planes.map(|planes| (item, planes)))
        };
        let alpha = match &self.0.alpha {
            Some((table, premultiplied)) => match decode(table, 0)? {
                Some((item, planes)) => Some((item, planes, *premultiplied)),
                None => return Ok(None),
            },
            None => None,
        };
        let held = alpha.as_ref().map_or(0, |(_, planes, _)| planes.bytes);
        Ok(decode(&self.0.colour, held)?.map(|colour| Decoding { colour, alpha }))
    }

    /// Returns a reader of the decoded picture's rows.
    pub(crate) fn lines<'p>(&self, planes: &'p Decoding) -> Lines<'p> {
        let of = |item, planes: &'p Planes, colours| {
            let code_points = self.0.code_points(item, planes, colours);
            (Rows::new(planes, Matrix::of(&code_points, planes.bits)), code_points)
        };
        let (colour, code_points) = of(planes.colour.0, &planes.colour.1, true);
        let alpha = planes.alpha.as_ref().map(|(item, planes, _)| of(*item, planes, false).0);
        Lines {
            to_srgb: self.0.to_srgb(&planes.colour.1, &code_points),
            premultiplied: planes.alpha.as_ref().is_some_and(|(.., premultiplied)| *premultiplied),
            part: self.0.part,
            rgba: vec![[0, 0, 0, 255]; self.0.part.width],
            packed: Vec::new(),
            colour,
            alpha,
        }
    }
}

/// Decoded planes with their items: those of the colours, and those of the alpha, with whether the colours are
/// premultiplied by it.
pub(crate) struct Decoding {
    colour: (u32, Planes),
    alpha: Option<(u32, Planes, bool)>,
}

/// Reads the rows of the part that is shown, in sRGB.
pub(crate) struct Lines<'a> {
    colour: Rows<'a>,
    alpha: Option<Rows<'a>>,
    to_srgb: Conversion,
    premultiplied: bool,
    part: Part,
    rgba: Vec<[u8; 4]>,
    packed: Vec<u8>,
}

impl Lines<'_> {
    /// Reads a row, with as many channels as the picture has.
    pub(crate) fn line(&mut self, y: u32) -> &[u8] {
        let (row, skip) = (self.part.top + y as usize, self.part.left);
        let channel = Channel::Colour { to_srgb: &self.to_srgb, premultiplied: self.premultiplied };
        if let Some(alpha) = &mut self.alpha {
            alpha.convert(row, Channel::Alpha, skip, &mut self.rgba);
            self.colour.convert(row, channel, skip, &mut self.rgba);
            return self.rgba.as_flattened();
        }
        self.colour.convert(row, channel, skip, &mut self.rgba);
        self.packed.clear();
        self.packed.extend(self.rgba.iter().flat_map(|[r, g, b, _]| [r, g, b]));
        &self.packed
    }
}
