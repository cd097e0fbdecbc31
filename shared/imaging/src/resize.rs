//! Resampling by Lanczos3. Each output pixel weighs every source pixel under its kernel, so that nothing is skipped
//! when a large image becomes small. Samples are premultiplied, so that the invisible colour of transparent pixels does
//! not bleed into the edges.
//!
//! Large pictures are resampled in bands of target rows, with a check of the deadline before each. A band is identical
//! to the same rows of a whole resample. Of a picture with alpha, only the rows and columns that a band needs are
//! premultiplied, into a buffer of the band's size.

use algorithm::Rectangle;
use resample::{FilterType, PixelType, Pixels, ResizeAlg, ResizeOptions, Resizer};

use crate::{Deadline, Image, ImageError, alpha::unpremultiply, crop::Crop};

const STEP: &str = "resize";

/// The largest size with the proportions of `size` that fits in `within`, of at least 1 × 1.
pub(crate) fn contain(size: (u32, u32), within: (u32, u32)) -> (u32, u32) {
    fn scaled(side: u32, to: u32, of: u32) -> u32 {
        let (side, to, of) = (u64::from(side), u64::from(to), u64::from(of));
        let rounded = (side * to + of / 2) / of;
        u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
    }
    let wider = u64::from(size.0) * u64::from(within.1) >= u64::from(within.0) * u64::from(size.1);
    if wider {
        (within.0, scaled(size.1, within.0, size.0).min(within.1))
    } else {
        (scaled(size.0, within.1, size.1).min(within.0), within.1)
    }
}

/// The same, but never larger than `size` itself.
pub(crate) fn inside(size: (u32, u32), within: (u32, u32)) -> (u32, u32) {
    if size.0 <= within.0 && size.1 <= within.1 { size } else { contain(size, within) }
}

/// How far Lanczos3 reaches, in pixels of the target, or of the source if that is enlarged.
const REACH: f64 = 3.0;

/// Bytes of source rows that a band may need, and of target rows that it may have. Smaller bands take more time,
/// because the weights are computed anew for each band and neighbouring bands need the same rows; larger ones take more
/// memory (`infra/bench/RESULTS.md`).
const BAND: u64 = 7 << 17;

/// The fewest target rows of a band.
const LEAST: u32 = 32;

/// How one axis is resampled.
#[derive(Clone, Copy, Debug)]
struct SampledAxis {
    /// The number of source samples.
    source: u32,
    start: f64,
    /// Source samples per target sample.
    scale: f64,
}

impl SampledAxis {
    /// The range of source samples that the target's samples `from..to` need: the first one, and the one after the
    /// last.
    fn needed(self, from: u32, to: u32) -> (u32, u32) {
        let reach = REACH * self.scale.max(1.0) + 1.0;
        let first = (self.start + f64::from(from) * self.scale - reach).floor().max(0.0);
        let last = (self.start + f64::from(to) * self.scale + reach).ceil().max(1.0);
        let last = (last as u32).min(self.source);
        ((first as u32).min(last.saturating_sub(1)), last)
    }
}

/// The plan of resampling a crop of a source to a target, in bands of target rows.
#[derive(Clone, Copy, Debug)]
struct BandPlan {
    across: SampledAxis,
    down: SampledAxis,
    width: u32,
    height: u32,
    pixel: PixelType,
    /// Target rows in a band.
    band: u32,
}

impl BandPlan {
    fn new(source: (u32, u32), crop: Crop, (width, height): (u32, u32), pixel: PixelType) -> Self {
        let axis = |source, start, length: f64, target| SampledAxis {
            source,
            start,
            scale: length / f64::from(target),
        };
        let across = axis(source.0, crop.left, crop.width, width);
        let down = axis(source.1, crop.top, crop.height, height);
        let rows = |across: u32| BAND as f64 / (f64::from(across) * pixel.size() as f64);
        let band = (rows(source.0) / down.scale.max(f64::MIN_POSITIVE) - 2.0 * REACH)
            .min(rows(width))
            .clamp(LEAST.into(), height.max(LEAST).into());
        Self { across, down, width, height, pixel, band: band as u32 }
    }

    /// The resampler's options for the target rows `from..to`, if it is given a part of the source that is `source`
    /// large and begins at column `left` and row `first` of the whole.
    fn options(
        &self,
        source: (u32, u32),
        (left, first): (u32, u32),
        (from, to): (u32, u32),
    ) -> ResizeOptions {
        let (width, height) = (f64::from(source.0), f64::from(source.1));
        let start = (self.across.start - f64::from(left)).clamp(0.0, width);
        let top = (self.down.start + f64::from(from) * self.down.scale - f64::from(first)).clamp(0.0, height);
        ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
            .crop(
                start,
                top,
                (f64::from(self.width) * self.across.scale).min(width - start),
                (f64::from(to - from) * self.down.scale).min(height - top),
            )
            .use_alpha(false)
    }
}

/// Resamples a part of RGBA pixels by a triangle filter as wide as the reduction demands, which is Pillow's `BILINEAR`.
/// No pixel beside the part is read, and alpha is resampled like a colour.
///
/// # Errors
/// [`ImageError`] where the part reaches beyond the picture, which is `size` across and down.
pub fn bilinear(
    rgba: &[u8],
    size: (u32, u32),
    part: Rectangle,
    target: (u32, u32),
) -> Result<Vec<u8>, ImageError> {
    let options =
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false);
    let picture = Pixels { width: size.0, height: size.1, samples: rgba };
    let part = [part.x, part.y, part.width, part.height];
    resample::resample_part(&mut Resizer::new(), picture, part, target, &options)
        .map_err(|error| ImageError::internal(STEP, error))
}

/// Resamples a part of the image.
///
/// # Errors
/// [`ImageError::TimeLimit`].
pub(crate) fn resample(
    image: &Image,
    crop: Crop,
    width: u32,
    height: u32,
    deadline: Deadline,
) -> Result<Image, ImageError> {
    let size = (image.width(), image.height());
    if crop == Crop::whole(size) && (width, height) == size {
        return Ok(image.clone());
    }
    let rgba = resample_rgba(image.rgba(), size, crop, (width, height), image.has_alpha(), deadline)?;
    let resized =
        if image.has_alpha() { Image::new(width, height, rgba) } else { Image::opaque(width, height, rgba) };
    resized.ok_or_else(|| ImageError::internal(STEP, "an empty result"))
}

/// Resamples a part of straight-alpha RGBA pixels, which are `size` large. With `has_alpha` false, alpha is not looked
/// at.
///
/// # Errors
/// [`ImageError::TimeLimit`].
pub(crate) fn resample_rgba(
    rgba: &[u8],
    size: (u32, u32),
    crop: Crop,
    target: (u32, u32),
    has_alpha: bool,
    deadline: Deadline,
) -> Result<Vec<u8>, ImageError> {
    let (width, height) = target;
    if crop == Crop::whole(size) && target == size {
        return Ok(rgba.to_vec());
    }
    let plan = BandPlan::new(size, crop, (width, height), PixelType::U8x4);
    let (mut resizer, mut out) = (Resizer::new(), Vec::with_capacity(width as usize * height as usize * 4));
    let columns = plan.across.needed(0, width);
    let mut premultiplied = Vec::new();
    for from in (0..height).step_by(plan.band as usize) {
        deadline.check()?;
        let to = (from + plan.band).min(height);
        let (first, last) = plan.down.needed(from, to);
        let row = size.0 as usize * 4;
        let rows = &rgba[first as usize * row..last as usize * row];
        let band = (width, to - from);
        let resampled = if has_alpha {
            premultiplied.clear();
            for row in rows.as_chunks::<4>().0.chunks_exact(size.0 as usize) {
                let part = &row[columns.0 as usize..columns.1 as usize];
                premultiplied.extend(part.iter().flat_map(|&pixel| premultiply(pixel)));
            }
            let held = (columns.1 - columns.0, last - first);
            let options = plan.options(held, (columns.0, first), (from, to));
            let source = Pixels { width: held.0, height: held.1, samples: premultiplied.as_mut_slice() };
            resample::resample(&mut resizer, PixelType::U8x4, source, band, &options)
        } else {
            let held = (size.0, last - first);
            let options = plan.options(held, (0, first), (from, to));
            let source = Pixels { width: held.0, height: held.1, samples: rows };
            resample::resample_part(&mut resizer, source, [0, 0, held.0, held.1], band, &options)
        };
        out.extend(resampled.map_err(|error| ImageError::internal(STEP, error))?);
    }
    if has_alpha {
        out.as_chunks_mut().0.iter_mut().for_each(unpremultiply);
    }
    Ok(out)
}

fn premultiply([r, g, b, a]: [u8; 4]) -> [u8; 4] {
    let by = |value: u8| ((u32::from(value) * u32::from(a) + 127) / 255) as u8;
    [by(r), by(g), by(b), a]
}

/// Resamples rows as they come, and holds no more of them than a band needs.
pub(crate) struct Stream {
    plan: BandPlan,
    /// Pixels in a row of the source.
    width: u32,
    /// The rows that are held. The first is row `first` of the source.
    held: Vec<u8>,
    first: u32,
    count: u32,
    done: u32,
    resizer: Resizer,
    out: Vec<u8>,
    deadline: Deadline,
}

impl Stream {
    /// Creates a stream for a source of that size, with that many channels (premultiplied) of 8 bits, or of 16 in
    /// native byte order where they are `wide`. The crop is in the source's samples and lies within it.
    pub(crate) fn new(
        source: (u32, u32),
        crop: Crop,
        target: (u32, u32),
        (channels, wide): (usize, bool),
        deadline: Deadline,
    ) -> Self {
        let pixel = match (channels, wide) {
            (1, false) => PixelType::U8,
            (2, false) => PixelType::U8x2,
            (3, false) => PixelType::U8x3,
            (_, false) => PixelType::U8x4,
            (1, true) => PixelType::U16,
            (2, true) => PixelType::U16x2,
            (3, true) => PixelType::U16x3,
            (_, true) => PixelType::U16x4,
        };
        let plan = BandPlan::new(source, crop, target, pixel);
        let bands = (0..target.1).step_by(plan.band as usize);
        let rows = bands.map(|from| {
            let (first, last) = plan.down.needed(from, (from + plan.band).min(target.1));
            last - first
        });
        let (width, rows) = (source.0, rows.max().unwrap_or(1));
        let held = vec![0; width as usize * rows as usize * pixel.size()];
        let (first, _) = plan.down.needed(0, plan.band.min(target.1));
        let resizer = Resizer::new();
        Self { plan, width, held, first, count: 0, done: 0, resizer, out: Vec::new(), deadline }
    }

    /// The most bytes that such a stream holds.
    pub(crate) fn bytes(source: (u32, u32), crop: Crop, target: (u32, u32), pixel: usize) -> u64 {
        let scale = crop.height / f64::from(target.1);
        let least = (f64::from(LEAST) + 2.0 * REACH) * scale.max(1.0) + 4.0;
        let row = u64::from(source.0) * pixel as u64;
        let made = u64::from(LEAST) * u64::from(target.0) * pixel as u64;
        BAND.max((least as u64).min(source.1.into()) * row) + BAND.max(made) + row
    }

    /// Takes row `y` of the source. All rows from the first that is needed must come in order. Returns true once no
    /// more are needed.
    pub(crate) fn push(&mut self, y: u32, row: &[u8]) -> Result<bool, ImageError> {
        if self.done == self.plan.height {
            return Ok(true);
        }
        if y < self.first {
            return Ok(false);
        }
        let at = self.count as usize * row.len();
        let place = self.held.get_mut(at..at + row.len());
        place.ok_or_else(|| ImageError::internal(STEP, "a row too many"))?.copy_from_slice(row);
        self.count += 1;
        while self.done < self.plan.height {
            let to = (self.done + self.plan.band).min(self.plan.height);
            let (_, last) = self.plan.down.needed(self.done, to);
            if self.first + self.count < last {
                break;
            }
            self.deadline.check()?;
            let size = (self.width, self.count);
            let options = self.plan.options(size, (0, self.first), (self.done, to));
            let target = (self.plan.width, to - self.done);
            let source = Pixels { width: size.0, height: size.1, samples: self.held.as_mut_slice() };
            let band = resample::resample(&mut self.resizer, self.plan.pixel, source, target, &options)
                .map_err(|error| ImageError::internal(STEP, error))?;
            if self.out.is_empty() {
                self.out = band;
            } else {
                self.out.extend(band);
            }
            self.done = to;
            if to < self.plan.height {
                // Rows that the next band needs as well are kept.
                let (next, _) = self.plan.down.needed(to, (to + self.plan.band).min(self.plan.height));
                let gone = next.saturating_sub(self.first).min(self.count);
                let kept = gone as usize * row.len()..self.count as usize * row.len();
                self.held.copy_within(kept, 0);
                self.first = next;
                self.count -= gone;
            }
        }
        Ok(self.done == self.plan.height)
    }

    /// Returns the target samples that were computed since the last call.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

/// The part of the upright picture that a thumbnail shows, in the picture's pixels, and its size on the thumbnail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View {
    pub(crate) crop: Crop,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl View {
    /// A view of the whole of a picture of that size, with no side longer than `max_side`.
    pub(crate) fn within(size: (u32, u32), max_side: u32) -> Self {
        let (width, height) = inside(size, (max_side, max_side));
        Self { crop: Crop::whole(size), width, height }
    }

    /// Resamples the whole upright picture to the view.
    pub(crate) fn of(self, image: &Image, deadline: Deadline) -> Result<Image, ImageError> {
        resample(image, self.crop, self.width, self.height, deadline)
    }
}

impl Image {
    /// The size that [`fit_within`](Self::fit_within) gives an image of this size.
    #[must_use]
    pub fn size_within(size: (u32, u32), max_side: u32) -> (u32, u32) {
        inside(size, (max_side.max(1), max_side.max(1)))
    }

    /// Reduces the whole image so that neither side exceeds `max_side` (at least 1), in proportion; it is never
    /// enlarged. Overlays are drawn on the result.
    #[must_use]
    pub fn fit_within(&self, max_side: u32) -> Self {
        // Resampling valid pixels to a valid size does not fail; if it did, the image itself would be the right result.
        self.fitted(max_side, Deadline::none()).unwrap_or_else(|_| self.clone())
    }

    /// [`fit_within`](Self::fit_within), if there is time.
    ///
    /// # Errors
    /// [`ImageError::TimeLimit`].
    pub fn fitted(&self, max_side: u32, deadline: Deadline) -> Result<Self, ImageError> {
        let size = (self.width(), self.height());
        let (width, height) = Self::size_within(size, max_side);
        resample(self, Crop::whole(size), width, height, deadline)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_keep_proportions_and_no_side_vanishes() {
        assert_eq!(contain((4000, 3000), (100, 100)), (100, 75));
        assert_eq!(contain((1, 10_000), (100, 100)), (1, 100));
        assert_eq!(contain((10, 10), (200, 100)), (100, 100));
        assert_eq!(inside((10, 10), (200, 100)), (10, 10));
        assert_eq!(inside((300, 50), (200, 100)), (200, 33));
    }

    proptest! {
        #[test]
        fn a_contained_size_lies_in_its_box_and_touches_it(
            size in (1..100_000_u32, 1..100_000_u32), within in (1..4097_u32, 1..4097_u32),
        ) {
            let (w, h) = contain(size, within);
            prop_assert!((1..=within.0).contains(&w) && (1..=within.1).contains(&h));
            prop_assert!(w == within.0 || h == within.1);
            let (w, h) = inside(size, within);
            prop_assert!(w <= size.0 && h <= size.1 && w <= within.0 && h <= within.1 && w > 0 && h > 0);
        }
    }
}
