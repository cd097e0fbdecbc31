//! Views of a WebP, which is reduced while it is decoded.
//!
//! libwebp delivers the rows of a lossy picture as it decodes them, before they are converted to RGB. For a strong
//! reduction, each channel is averaged over boxes at its own resolution as it arrives, without the loop filter, and the
//! means are resampled to the thumbnail's size in one step of Lanczos3; if there is alpha, colours are weighted by it.
//! For a weak reduction, the rows are converted to pixels exactly as libwebp does, and go into boxes like those of a
//! PNG ([`whole`]). Only the rows and columns that the crop needs are processed. The rows of a lossless picture come
//! from Darkroom's own decoder, and go into boxes, too.
//!
//! The results are closer to a full-size Lanczos3 reduction than those of Pillow and libvips, in less time and memory
//! (`infra/bench/RESULTS.md`).

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
use super::{Container, WebpPicture};
use crate::{
    Deadline, Image, ImageError, Limits, colour,
    crop::Crop,
    header::Header,
    plane::{self, Plane},
    reduced::boxed::REACH,
    resize,
    resize::View,
};

/// The samples that boxes leave for each pixel of the thumbnail, across and down. With fewer, the box filter would
/// become visible.
const MARGIN: f64 = 4.0;

/// The samples per pixel of the thumbnail from which each channel is reduced by itself, and leaving out the loop filter
/// makes no visible difference.
const SEPARATE: f64 = 16.0;

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
    let file = Container::read(bytes);
    let Some(picture) = super::still_picture(&file, header) else { return Ok(None) };
    let (width, height) = header.stored;
    let wanted = Wanted {
        crop: header.orientation.stored_crop(view.crop, width, height),
        size: header.orientation.upright_size(view.width, view.height),
    };
    limits.check_memory(u64::from(width) * u64::from(height) * picture.memory())?;
    let rgba = match (picture.lossless, picture.has_alpha) {
        (true, _) => lossless::view(&picture, wanted, limits, deadline),
        (false, true) => view_with_alpha(&picture, wanted, limits, deadline),
        (false, false) => view_of_opaque(&picture, wanted, limits, deadline),
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

/// A part of the stored picture, and the size to resample it to.
#[derive(Clone, Copy)]
struct Wanted {
    crop: Crop,
    size: (u32, u32),
}

impl Wanted {
    /// Pixels of the picture per pixel of the result, across and down.
    fn samples(self) -> (f64, f64) {
        (self.crop.width / f64::from(self.size.0), self.crop.height / f64::from(self.size.1))
    }

    /// The sides of boxes that leave `left` samples for each pixel of the result, across and down; 1 for no reduction.
    fn reduction(self, left: f64) -> (usize, usize) {
        let (across, down) = self.samples();
        let side = |samples: f64| ((samples / left) as usize).clamp(1, LARGEST);
        (side(across), side(down))
    }

    /// The part of a picture of this size to decode: the crop, the pixels around it that the filter needs, and the
    /// chroma sample that upsampling mixes in. Its left and top are even.
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

    /// The crop within that part, after a reduction by `x` and `y`.
    fn within(self, part: Part, (x, y): (f64, f64)) -> Crop {
        let Crop { left, top, width, height } = self.crop;
        let (left, top) = (left - f64::from(part.left), top - f64::from(part.top));
        Crop { left: left * x, top: top * y, width: width * x, height: height * y }
    }
}

/// Decodes a lossy picture without alpha; for a strong reduction, channel by channel.
fn view_of_opaque(
    picture: &WebpPicture<'_>,
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
    super::checked_outcome(decoded, limits, deadline)?;
    let [luma, blue, red] = planes.finish();
    let resampled = |plane: &Plane| {
        deadline.check()?;
        let samples = plane.samples.iter().map(|&sample| f32::from(sample));
        plane::resample(samples, (plane.width, plane.height), wanted.within(part, plane.scale), wanted.size)
    };
    Ok(Some(colours::to_opaque_rgba(&[resampled(&luma)?, resampled(&blue)?, resampled(&red)?])))
}

/// Decodes a lossy picture with alpha; averaged over boxes, if these have more than one pixel.
fn view_with_alpha(
    picture: &WebpPicture<'_>,
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
        // A picture with alpha has it for all rows.
        let Some(alpha) = rows.alpha else { return false };
        weighted.push(&rows, alpha);
        deadline.check().is_ok()
    });
    super::checked_outcome(decoded, limits, deadline)?;
    let size = weighted.reduced();
    let crop = wanted.within(part, (1.0 / side.0 as f64, 1.0 / side.1 as f64));
    resize::resample_rgba(&weighted.finish(), size, crop, wanted.size, true, deadline).map(Some)
}
