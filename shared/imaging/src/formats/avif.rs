//! AVIF: the primary picture of the file, or the first frame of a sequence that has no primary picture. [`boxes`] finds
//! it, [`av1`] decodes it, [`rows`] converts it to RGBA.
//!
//! Only the base picture is shown. Gain maps and other auxiliary pictures except alpha are ignored, and so is EXIF's
//! orientation, as the standard demands. `clap`, `irot` and `imir` are applied, in this order.

mod av1;
mod boxes;
mod lines;
mod matrix;
mod properties;
mod rows;
mod sequence;
mod stream;
mod view;

use super::refused::{HEIC, brands};
use av1::{Planes, Wanted};
use boxes::Meta;
pub(crate) use lines::AvifPicture;
use matrix::Matrix;
use properties::{CodePoints, Part, Property};
use rows::{Channel, Rows};

use crate::{
    Deadline, Format, ImageError, Limits,
    colour::Conversion,
    decode::{Decoded, pixelwise},
    formats::Codec,
    header::Header,
    orient::Orientation,
};

/// AVIF, as a still or a sequence. The primary picture is shown, or else the first frame.
pub(crate) const FORMAT: Format = Format::new("AVIF", &["image/avif", "image/avif-sequence"]);

pub(crate) static CODEC: Codec = Codec {
    format: FORMAT,
    recognises,
    header: |bytes, limits, _| header(bytes, limits),
    decode,
    view: Some(view::view),
    animation: None,
    frames_in_file: Some(frames),
    writer: None,
};

/// Whether a file is AVIF by its brands. If its major brand is HEIC's, it is HEIC, whatever else it claims to be
/// compatible with.
fn recognises(bytes: &[u8]) -> bool {
    brands(bytes).is_some_and(|brands| {
        let heic = brands.first().is_some_and(|major| HEIC.contains(&major));
        !heic && brands.iter().any(|brand| matches!(brand, b"avif" | b"avis"))
    })
}

/// Rows between two checks of the deadline.
const ROWS: usize = 64;

/// Bytes of a decoded pixel.
const RGBA: u64 = 4;

/// Reads the headers.
///
/// # Errors
/// As [`Codec::read_header`].
pub(crate) fn header(bytes: &[u8], limits: &Limits) -> Result<Header, ImageError> {
    let picture = Primary::find(bytes, limits)?;
    Ok(Header {
        stored: (picture.part.width as u32, picture.part.height as u32),
        orientation: picture.orientation,
        frames: 1,
        // The decoder's memory is known only when a cell is about to be decoded, and is checked then.
        extra_bytes_per_pixel: 0,
        largest_frame: picture.size,
    })
}

/// The number of frames in the file: those of its sequence, of which only the first is shown, or one.
pub(crate) fn frames(bytes: &[u8]) -> u32 {
    sequence::frames(bytes).unwrap_or(1).max(1)
}

/// Decodes the picture. Cells of a grid that cannot be decoded are transparent. If the alpha cannot be decoded, the
/// picture is opaque.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Decoded, ImageError> {
    let picture = Primary::find(bytes, limits)?;
    if (picture.part.width as u32, picture.part.height as u32) != header.stored {
        return Err(pixelwise::unreadable(FORMAT));
    }
    let mut rgba = vec![[0, 0, 0, 255]; picture.part.width * picture.part.height];
    let mut canvas = PixelTarget { pixels: &mut rgba, part: picture.part, limits, deadline };
    let mut premultiplied = false;
    if let Some((table, multiplied)) = &picture.alpha {
        if picture.draw(table, None, &mut canvas)? > 0 {
            premultiplied = *multiplied;
        } else {
            canvas.pixels.fill([0, 0, 0, 255]);
        }
    }
    let shown = picture.draw(&picture.colour, Some(premultiplied), &mut canvas)?;
    let total = picture.colour.items.len();
    pixelwise::decoded(FORMAT, rgba.into_flattened(), picture.alpha.is_some(), shown, total)
}

/// The picture to show, as the file describes it.
struct Primary<'a> {
    meta: Meta<'a>,
    /// Width and height before the clean aperture is applied.
    size: (u32, u32),
    /// The part of the picture to show.
    part: Part,
    orientation: Orientation,
    code_points: Option<CodePoints>,
    profile: Option<&'a [u8]>,
    /// The peak luminance in cd/m².
    brightest: Option<f64>,
    colour: Grid,
    /// The alpha, and whether the colours are premultiplied by it.
    alpha: Option<(Grid, bool)>,
}

/// A grid of pictures that make up one; mostly it is a single picture.
struct Grid {
    items: Vec<u32>,
    columns: usize,
    /// Width and height of each cell.
    cell: (u32, u32),
}

/// The destination of decoded pixels.
struct PixelTarget<'a> {
    pixels: &'a mut [[u8; 4]],
    /// The part of the picture that the pixels represent.
    part: Part,
    limits: &'a Limits,
    deadline: Deadline,
}

impl<'a> Primary<'a> {
    fn find(bytes: &'a [u8], limits: &Limits) -> Result<Self, ImageError> {
        let meta = Meta::read(bytes).or_else(|| sequence::first_frame(bytes));
        let meta = meta.ok_or_else(|| pixelwise::unreadable(FORMAT))?;
        let item = meta.primary;
        if meta.asks_too_much(item) {
            return Err(unsupported("a property that must be known"));
        }
        let size = meta.size(item).ok_or_else(|| pixelwise::unreadable(FORMAT))?;
        if size.0 == 0 || size.1 == 0 {
            return Err(ImageError::Empty);
        }
        limits.check_pixels(size.0, size.1, 1)?;
        let mut part = Part { left: 0, top: 0, width: size.0 as usize, height: size.1 as usize };
        let (mut turn, mut mirror, mut code_points, mut profile, mut brightest) = (0, None, None, None, None);
        for property in meta.properties(item) {
            match property {
                Property::Turn(quarters) => turn = quarters,
                Property::Mirror(axis) => mirror = Some(axis),
                Property::CodePoints(it) => code_points = Some(it),
                Property::Profile(it) => profile = Some(it),
                Property::Brightest(it) => brightest = Some(f64::from(it)),
                Property::Part(aperture) => part = aperture.within(size).unwrap_or(part),
                _ => {}
            }
        }
        let colour = Grid::of(&meta, item, size, limits)?;
        let alpha = alpha(&meta, item, size, &colour, limits)?;
        let orientation = properties::orientation(turn, mirror);
        Ok(Self { meta, size, part, orientation, code_points, profile, brightest, colour, alpha })
    }

    /// Draws either the colours, which may be premultiplied by the alpha that is already in the canvas, or the alpha.
    /// Returns how many of the grid's pictures could be shown.
    fn draw(
        &self,
        table: &Grid,
        colours: Option<bool>,
        canvas: &mut PixelTarget<'_>,
    ) -> Result<usize, ImageError> {
        let held = canvas.pixels.len() as u64 * RGBA;
        let (across, down) = (table.cell.0 as usize, table.cell.1 as usize);
        let mut shown = 0;
        for (index, &item) in table.items.iter().enumerate() {
            canvas.deadline.check()?;
            let place = (index % table.columns * across, index / table.columns * down);
            let planes = match self.meta.data(item) {
                Some(data) => {
                    let held = held.saturating_add(data.len() as u64);
                    av1::decode(&data, self.wanted(item, table.cell), held, canvas.limits, canvas.deadline)?
                }
                None => None,
            };
            match planes {
                Some(planes) => {
                    shown += 1;
                    self.convert(item, &planes, place, colours, canvas)?;
                }
                None => {
                    for row in 0..down {
                        canvas.line(place, row).0.iter_mut().take(across).for_each(|pixel| *pixel = [0; 4]);
                    }
                }
            }
        }
        Ok(shown)
    }

    fn wanted(&self, item: u32, size: (u32, u32)) -> Wanted {
        let mut wanted = Wanted { size, operating_point: 0, layer: None, filtered: true };
        for property in self.meta.properties(item) {
            match property {
                Property::OperatingPoint(point) => wanted.operating_point = point,
                // The highest number means no particular layer.
                Property::Layer(layer) => wanted.layer = Some(layer).filter(|&layer| layer != u16::MAX),
                _ => {}
            }
        }
        wanted
    }

    /// Converts a decoded picture and writes it to its place.
    fn convert(
        &self,
        item: u32,
        planes: &Planes,
        place: (usize, usize),
        colours: Option<bool>,
        canvas: &mut PixelTarget<'_>,
    ) -> Result<(), ImageError> {
        let code_points = self.code_points(item, planes, colours.is_some());
        let to_srgb = match colours {
            Some(_) => self.to_srgb(planes, &code_points),
            None => Conversion::None,
        };
        let channel = colours
            .map_or(Channel::Alpha, |premultiplied| Channel::Colour { to_srgb: &to_srgb, premultiplied });
        let mut rows = Rows::new(planes, Matrix::of(&code_points, planes.bits));
        for row in 0..planes.height {
            if row % ROWS == 0 {
                canvas.deadline.check()?;
            }
            let (line, skip) = canvas.line(place, row);
            rows.convert(row, channel, skip, line);
        }
        Ok(())
    }

    /// The colour description of an item's samples: from the whole picture's properties, the item's own, or the AV1
    /// stream.
    fn code_points(&self, item: u32, planes: &Planes, colours: bool) -> CodePoints {
        let own = self.meta.properties(item).find_map(|property| match property {
            Property::CodePoints(code_points) => Some(code_points),
            _ => None,
        });
        let stated = if colours { self.code_points.or(own) } else { own };
        stated.unwrap_or(planes.code_points)
    }

    /// Chooses the conversion to sRGB: by the ICC profile, or else by the code points; what is unspecified is taken for
    /// sRGB's. The camera curves of BT.709, BT.601 and BT.2020 are taken for sRGB's as well, as browsers do, because
    /// pictures that never had another curve are labelled with them.
    fn to_srgb(&self, planes: &Planes, code_points: &CodePoints) -> Conversion {
        const UNSAID: u16 = 2;
        let layout = rows::layout(planes);
        let by_code_points = || {
            let primaries = if code_points.primaries == UNSAID { 1 } else { code_points.primaries };
            let transfer = if matches!(code_points.transfer, 1 | UNSAID | 6 | 14 | 15) {
                13
            } else {
                code_points.transfer
            };
            let points = [u8::try_from(primaries).ok()?, u8::try_from(transfer).ok()?, 0, 1];
            Conversion::cicp(points, self.brightest, layout)
        };
        let by_profile = self.profile.and_then(|profile| Conversion::icc(profile, layout));
        by_profile.or_else(by_code_points).unwrap_or(Conversion::None)
    }
}

/// The alpha of an item, and whether the colours are premultiplied by it. In a grid, the cells may have alpha instead
/// of the whole.
fn alpha(
    meta: &Meta<'_>,
    item: u32,
    size: (u32, u32),
    colour: &Grid,
    limits: &Limits,
) -> Result<Option<(Grid, bool)>, ImageError> {
    if let Some((alpha, multiplied)) = meta.alpha(item) {
        if meta.size(alpha).is_some_and(|other| other != size) {
            return Err(unsupported("alpha of another size"));
        }
        return Ok(Some((Grid::of(meta, alpha, size, limits)?, multiplied)));
    }
    let of_cells: Option<Vec<_>> = colour.items.iter().map(|&cell| meta.alpha(cell)).collect();
    Ok(of_cells.map(|cells| {
        let items = cells.iter().map(|(alpha, _)| *alpha).collect();
        (Grid { items, ..*colour }, cells.iter().all(|(_, multiplied)| *multiplied))
    }))
}

impl Grid {
    fn of(meta: &Meta<'_>, item: u32, size: (u32, u32), limits: &Limits) -> Result<Self, ImageError> {
        match meta.kind(item) {
            Some(kind) if &kind == b"av01" => Ok(Self { items: vec![item], columns: 1, cell: size }),
            Some(kind) if &kind == b"grid" => {
                let data = meta.data(item).ok_or_else(|| corrupt("a grid without data"))?;
                let [_, _, rows, columns, ..] = *data else { return Err(corrupt("a grid without data")) };
                let (rows, columns) = (usize::from(rows) + 1, usize::from(columns) + 1);
                let mut items = meta.parts(item);
                let cell = items.first().and_then(|&first| meta.size(first));
                let Some(cell) = cell.filter(|_| items.len() >= rows * columns) else {
                    return Err(corrupt("a grid without pictures"));
                };
                limits.check_pixels(cell.0, cell.1, 1)?;
                items.truncate(rows * columns);
                // The last cell of a row may reach beyond the picture, but no cell may lie outside.
                let fits = |count: usize, cell: u32, whole: u32| {
                    let (count, cell, whole) = (count as u64, u64::from(cell), u64::from(whole));
                    (count - 1) * cell < whole && whole <= count * cell
                };
                if !fits(columns, cell.0, size.0) || !fits(rows, cell.1, size.1) {
                    return Err(corrupt("a grid of another size"));
                }
                Ok(Self { items, columns, cell })
            }
            kind => Err(unsupported(format!("an item of kind {kind:?}"))),
        }
    }
}

impl PixelTarget<'_> {
    /// The destination of a row of the picture at `place`, and how many pixels of the row must be skipped.
    fn line(&mut self, place: (usize, usize), row: usize) -> (&mut [[u8; 4]], usize) {
        let Part { left, top, width, height } = self.part;
        let Some(y) = (place.1 + row).checked_sub(top).filter(|&y| y < height) else { return (&mut [], 0) };
        let line = &mut self.pixels[y * width..][..width];
        (&mut line[place.0.saturating_sub(left).min(width)..], left.saturating_sub(place.0))
    }
}

fn corrupt(what: &'static str) -> ImageError {
    ImageError::corrupt(FORMAT, what)
}

fn unsupported(what: impl Into<crate::error::Cause>) -> ImageError {
    ImageError::UnsupportedFeature { format: FORMAT, source: what.into() }
}
