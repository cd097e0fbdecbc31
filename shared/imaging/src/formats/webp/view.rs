//! WebP, reduced while it is decoded.
//!
//! libwebp gives the rows of a lossy picture as it decodes them, before colour. Where much of it is left out, each channel is averaged
//! over boxes at its own resolution as it comes, without the filter that smooths the edges of blocks, and what is left goes
//! to the thumbnail's size in one step of Lanczos3; where there is alpha, colours are weighed by it. Where most of it is needed
//! the rows become pixels as libwebp's own do, and go into boxes like those of a PNG ([`whole`]). Only the rows and columns that
//! the crop needs are looked at. The rows of a lossless picture are read by a decoder of our own, and go into boxes, too.
//!
//! A 12 MP photograph at 100, 200, 400, 800 and 1600 pixels, against the whole picture reduced by Lanczos3 in floating point, as
//! `make bench-imaging` has it: 55.3, 56.7, 57.1, 53.9 and 57.7 dB (Pillow 13: 47.6, 49.2, 50.3, 53.9 and 57.7; libvips 8.18,
//! which has libwebp reduce it: 38.4 to 42.1). To 100×100 it takes 1 / 1.44 of libvips's and sharp's time, and 3.4 MB beside the file,
//! to 800×800 6.5 MB.

mod colours;
mod lossless;
mod planes;
mod weighted;
mod whole;

use webp_codec::Part;

use self::{
    planes::{LARGEST, Planes},
    weighted::Weighted,
};
use super::{Container, Picture};
use crate::{
    Deadline, Image, ImageError, Limits, colour,
    crop::Crop,
    header::Header,
    plane::{self, Plane},
    reduced::boxed::REACH,
    resize,
    resize::View,
};

/// Samples that a reduction leaves for each pixel of the thumbnail, across and down: with fewer, the box filter that it is would
/// show.
const MARGIN: f64 = 4.0;

/// Samples for each pixel of the thumbnail from which on each channel is reduced by itself, and the filter that smooths the edges of
/// blocks is not missed.
const SEPARATE: f64 = 16.0;

/// What the view shows, upright and in sRGB; `None` where that takes the whole picture.
///
/// # Errors
/// [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`]; what is wrong with a file is for the whole decoder to say.
pub(super) fn view(
    bytes: &[u8],
    header: &Header,
    view: View,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Image>, ImageError> {
    let file = Container::read(bytes);
    let Some(picture) = super::still(&file, header) else { return Ok(None) };
    let (width, height) = header.stored;
    let wanted = Wanted {
        crop: header.orientation.stored_crop(view.crop, width, height),
        size: header.orientation.upright_size(view.width, view.height),
    };
    limits.check_memory(u64::from(width) * u64::from(height) * picture.memory())?;
    let rgba = match (picture.lossless, picture.has_alpha) {
        (true, _) => lossless::view(&picture, wanted, limits, deadline),
        (false, true) => translucent(&picture, wanted, limits, deadline),
        (false, false) => opaque(&picture, wanted, limits, deadline),
    };
    let mut rgba = match rgba {
        Ok(Some(rgba)) => rgba,
        Ok(None) | Err(ImageError::Corrupt { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if let Some(profile) = file.scan.profile {
        colour::to_srgb(&mut rgba, profile, deadline)?;
    }
    let rgba = header.orientation.apply(rgba, wanted.size.0, wanted.size.1);
    let make = if picture.has_alpha { Image::new } else { Image::opaque };
    Ok(make(view.width, view.height, rgba))
}

/// A part of the stored picture, and the pixels to make of it.
#[derive(Clone, Copy)]
struct Wanted {
    crop: Crop,
    size: (u32, u32),
}

impl Wanted {
    /// Pixels of the picture for each that is wanted, across and down.
    fn samples(self) -> (f64, f64) {
        (self.crop.width / f64::from(self.size.0), self.crop.height / f64::from(self.size.1))
    }

    /// By how much the picture can be reduced so that so many samples are left for each pixel, across and down; 1 is not at all.
    fn reduction(self, left: f64) -> (usize, usize) {
        let (across, down) = self.samples();
        let side = |samples: f64| ((samples / left) as usize).clamp(1, LARGEST);
        (side(across), side(down))
    }

    /// What is to be decoded of a picture of this size: the crop with what the filter sees around it, and a sample of chrominance that
    /// is mixed into that, from an even place on.
    fn part(self, size: (u32, u32)) -> Part {
        const CHROMA: f64 = 2.0;
        let range = |start: f64, length: f64, samples: f64, side: u32| {
            let margin = REACH * samples.max(1.0) + CHROMA;
            let from = (start - margin).max(0.0) as u32 & !1;
            let to = ((start + length + margin).ceil() as u32).min(side);
            (from, to - from)
        };
        let (across, down) = self.samples();
        let (left, width) = range(self.crop.left, self.crop.width, across, size.0);
        let (top, height) = range(self.crop.top, self.crop.height, down, size.1);
        Part { left, top, width, height }
    }

    /// The crop in that part, of which `x` and `y` samples are left for a pixel.
    fn within(self, part: Part, (x, y): (f64, f64)) -> Crop {
        let Crop { left, top, width, height } = self.crop;
        let (left, top) = (left - f64::from(part.left), top - f64::from(part.top));
        Crop { left: left * x, top: top * y, width: width * x, height: height * y }
    }
}

/// A lossy picture without alpha: channel by channel if much of it is left out.
fn opaque(
    picture: &Picture<'_>,
    wanted: Wanted,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Vec<u8>>, ImageError> {
    let (across, down) = wanted.samples();
    if across.min(down) < SEPARATE {
        return whole::view(picture, wanted, limits, deadline).map(Some);
    }
    let part = wanted.part(picture.size);
    let (luma, chroma) = (wanted.reduction(MARGIN), wanted.reduction(MARGIN * 2.0));
    let mut planes = Planes::new((part.width as usize, part.height as usize), luma, chroma);
    let decoded = webp_codec::decode_rows(picture.data, part, false, &mut |rows| {
        planes.push(&rows);
        deadline.check().is_ok()
    });
    super::shown(decoded, limits, deadline)?;
    let [luma, blue, red] = planes.finish();
    let resampled = |plane: &Plane| {
        deadline.check()?;
        let samples = plane.samples.iter().map(|&sample| f32::from(sample));
        plane::resample(samples, (plane.width, plane.height), wanted.within(part, plane.scale), wanted.size)
    };
    Ok(Some(colours::opaque(&[resampled(&luma)?, resampled(&blue)?, resampled(&red)?])))
}

/// A lossy picture with alpha: in boxes of pixels if there are some to each.
fn translucent(
    picture: &Picture<'_>,
    wanted: Wanted,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Vec<u8>>, ImageError> {
    let part = wanted.part(picture.size);
    let (across, down) = wanted.reduction(MARGIN);
    let side = (across & !1, down & !1);
    if side.0 == 0 || side.1 == 0 {
        return whole::view(picture, wanted, limits, deadline).map(Some);
    }
    let mut weighted = Weighted::new((part.width as usize, part.height as usize), side);
    let decoded = webp_codec::decode_rows(picture.data, part, false, &mut |rows| {
        // Without its alpha, no picture has it for some rows only.
        let Some(alpha) = rows.alpha else { return false };
        weighted.push(&rows, alpha);
        deadline.check().is_ok()
    });
    super::shown(decoded, limits, deadline)?;
    let size = weighted.reduced();
    let crop = wanted.within(part, (1.0 / side.0 as f64, 1.0 / side.1 as f64));
    resize::resample_rgba(&weighted.finish(), size, crop, wanted.size, true, deadline).map(Some)
}
