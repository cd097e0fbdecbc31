//! Reduces a picture while its rows arrive: they are averaged over boxes of whole pixels, and the few samples that
//! remain are resampled by Lanczos3. The picture itself is never held in memory.
//!
//! Sums are exact and rounded once. Colours are weighted by alpha, if there is any. Only the pixels that the view needs
//! are averaged. The boxes lie on whole pixels and the crop is kept in fractions of a box, so that nothing shifts. The
//! last box of a row or column may be cut off by the picture's edge; it is the mean of the pixels that it has.
//!
//! The boxes leave at least four samples for each pixel of a small thumbnail and three for each of a large one, across
//! and down, or two where more would mean no boxes at all. So many samples keep the result closer to a full-size
//! Lanczos3 reduction than libvips's and Pillow's `thumbnail` are (`infra/bench/RESULTS.md`).

use std::ops::Range;

use fearless_simd::{Level, Simd as _, dispatch};

use crate::{
    Deadline, ImageError, Limits, alpha,
    colour::Conversion,
    crop::Crop,
    decode::samples::{self, SampleLayout, Samples, UNSEEN},
    resize::Stream,
};

/// Samples that the boxes leave for each pixel of a small thumbnail, across and down.
const SAMPLES_FOR_SMALL: f64 = 4.0;
/// The same for a thumbnail of more than [`LARGE_PIXELS`] pixels, where the cost of resampling begins to matter.
const SAMPLES_FOR_LARGE: f64 = 3.0;
const LARGE_PIXELS: u64 = 1 << 17;
/// The fewest samples per pixel; boxes that leave these are still better than no boxes.
const FEWEST_SAMPLES: f64 = 2.0;

/// The largest box: a 32-bit sum holds 256 × 256 samples of 16 bits.
const LARGEST_BOX: u32 = 256;

/// How far Lanczos3 reaches beyond a crop, in pixels of the target.
pub(crate) const REACH: f64 = 3.0;

/// The boxes along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
struct BoxAxis {
    /// The size of a box in pixels.
    size: u32,
    /// The first pixel of the first box, and the pixel after the last box.
    first: u32,
    end: u32,
    /// The number of boxes.
    count: u32,
    /// The start and length of the crop, in boxes.
    start: f64,
    length: f64,
}

impl BoxAxis {
    fn new(pixels: u32, start: f64, length: f64, target: u32, samples: f64) -> Self {
        let scale = length / f64::from(target);
        let fitting = (scale / samples).floor().max((scale / FEWEST_SAMPLES).floor().min(2.0));
        let size = fitting.clamp(1.0, LARGEST_BOX.into()) as u32;
        let margin = REACH * scale.max(1.0) + f64::from(size);
        let first = ((start - margin).floor().max(0.0) as u32).min(pixels.saturating_sub(1));
        let end = ((start + length + margin).ceil() as u32).clamp(first + 1, pixels.max(first + 1));
        let count = (end - first).div_ceil(size);
        let start = ((start - f64::from(first)) / f64::from(size)).clamp(0.0, f64::from(count));
        let length = (length / f64::from(size)).min(f64::from(count) - start);
        Self { size, first, end, count, start, length }
    }

    /// The number of pixels in the box with this index.
    fn pixels(&self, index: u32) -> u32 {
        (self.end - self.first - index * self.size).min(self.size)
    }
}

/// The plan of a reduction: the pixels to average, and the target to resample to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BoxPlan {
    across: BoxAxis,
    down: BoxAxis,
    /// The size of the target, in stored orientation.
    target: (u32, u32),
    /// The top and height of the crop in pixels of the picture.
    top: f64,
    height: f64,
}

impl BoxPlan {
    /// Plans the reduction of a crop of a picture to a target size. All sizes are in stored orientation.
    pub(crate) fn new(stored: (u32, u32), crop: Crop, target: (u32, u32)) -> Self {
        let small = u64::from(target.0) * u64::from(target.1) <= LARGE_PIXELS;
        let samples = if small { SAMPLES_FOR_SMALL } else { SAMPLES_FOR_LARGE };
        Self {
            across: BoxAxis::new(stored.0, crop.left, crop.width, target.0, samples),
            down: BoxAxis::new(stored.1, crop.top, crop.height, target.1, samples),
            target,
            top: crop.top,
            height: crop.height,
        }
    }

    fn crop(&self) -> Crop {
        let (across, down) = (self.across, self.down);
        Crop { left: across.start, top: down.start, width: across.length, height: down.length }
    }

    fn boxes(&self) -> (u32, u32) {
        (self.across.count, self.down.count)
    }
}

/// Sums of samples (premultiplied, if there is alpha): column by column for one row of boxes, or box by box for the
/// whole plane.
enum Sums {
    /// 8-bit samples without alpha.
    Short(Vec<u16>),
    Long(Vec<u32>),
}

/// Takes a picture's rows and resamples them to a view.
pub(crate) struct Reducer {
    plan: BoxPlan,
    layout: SampleLayout,
    /// Whether rows come in any order, so that sums are kept for every box.
    scattered: bool,
    sums: Sums,
    /// The rows in the current sums, and the rows of boxes that were passed on.
    rows: u32,
    passed: u32,
    /// One row of boxes, in native byte order.
    line: Vec<u8>,
    stream: Stream,
    full: bool,
    conversion: Conversion,
    /// The part of the view that is done: straight-alpha RGBA in sRGB.
    rgba: Vec<u8>,
    /// The most bytes that all of this takes.
    bytes: u64,
}

impl Reducer {
    /// Creates a reducer. With `scattered`, rows may come in any order, as long as each pixel comes once; otherwise
    /// they must come from top to bottom. The conversion turns the result into sRGB. `held_beside` is the number of
    /// bytes that the caller holds.
    ///
    /// # Errors
    /// [`ImageError::DecoderMemory`] where both together exceed the limit.
    pub(crate) fn new(
        plan: BoxPlan,
        layout: SampleLayout,
        scattered: bool,
        conversion: Conversion,
        held_beside: u64,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Self, ImageError> {
        let samples = Self::sum_count(&plan, layout, scattered);
        let bytes = plan.across.count as usize * layout.channels * if layout.wide { 2 } else { 1 };
        let pixel = layout.channels * if layout.wide { 2 } else { 1 };
        let held = Stream::bytes(plan.boxes(), plan.crop(), plan.target, pixel);
        let target = u64::from(plan.target.0) * u64::from(plan.target.1) * 4;
        let bytes_held = samples * 4 + bytes as u64 + held + target;
        limits.check_memory(bytes_held + held_beside)?;
        let samples = samples as usize;
        let short = !layout.wide && !layout.has_alpha() && !scattered;
        let sums = if short { Sums::Short(vec![0; samples]) } else { Sums::Long(vec![0; samples]) };
        let kind = (layout.channels, layout.wide);
        let stream = Stream::new(plan.boxes(), plan.crop(), plan.target, kind, deadline);
        let line = vec![0; bytes];
        let rgba = Vec::with_capacity(plan.target.0 as usize * plan.target.1 as usize * 4);
        Ok(Self {
            plan,
            layout,
            scattered,
            sums,
            rows: 0,
            passed: 0,
            line,
            stream,
            full: false,
            conversion,
            rgba,
            bytes: bytes_held,
        })
    }

    fn sum_count(plan: &BoxPlan, layout: SampleLayout, scattered: bool) -> u64 {
        let (across, down) = (plan.across, plan.down);
        let pixels = if scattered {
            u64::from(across.count) * u64::from(down.count)
        } else {
            u64::from(across.end - across.first)
        };
        pixels * layout.channels as u64
    }

    /// The bytes of the sums for rows in any order.
    pub(crate) fn scattered_bytes(plan: &BoxPlan, layout: SampleLayout) -> u64 {
        Self::sum_count(plan, layout, true) * 4
    }

    /// Whether the view needs the picture's row `y`.
    pub(crate) fn wants(&self, y: u32) -> bool {
        !self.full && (self.plan.down.first..self.plan.down.end).contains(&y)
    }

    /// The first row of the picture that the view needs.
    pub(crate) fn first_row(&self) -> u32 {
        self.plan.down.first
    }

    /// The most bytes that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes rows of an opaque picture that are missing in the file, as mid-grey.
    pub(crate) fn push_unseen(&mut self, rows: Range<u32>) -> Result<(), ImageError> {
        let unseen = vec![UNSEEN; self.plan.across.end as usize * self.layout.channels];
        rows.into_iter().try_for_each(|y| self.push(y, Samples::Narrow(&unseen)))
    }

    /// Whether no more rows are needed.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Takes a whole row. Rows come in order.
    pub(crate) fn push(&mut self, y: u32, samples: Samples<'_>) -> Result<(), ImageError> {
        if !self.wants(y) {
            return Ok(());
        }
        let BoxAxis { first, end, .. } = self.plan.across;
        let part = first as usize * self.layout.channels..end as usize * self.layout.channels;
        if let (1, 1, Samples::Narrow(row), false) =
            (self.plan.across.size, self.plan.down.size, samples, self.layout.has_alpha())
        {
            // A box of one pixel is that pixel.
            if let Some(row) = row.get(part) {
                self.line.copy_from_slice(row);
            }
            return self.hand_on();
        }
        match (&mut self.sums, samples, self.layout.channels) {
            (Sums::Short(sums), Samples::Narrow(row), _) => {
                let row = row.get(part).unwrap_or_default();
                sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += u16::from(value));
            }
            (Sums::Long(sums), Samples::Narrow(row), 2) => {
                add_narrow::<2>(sums, row.get(part).unwrap_or_default());
            }
            (Sums::Long(sums), Samples::Narrow(row), _) => {
                add_narrow::<4>(sums, row.get(part).unwrap_or_default());
            }
            (Sums::Long(sums), Samples::Wide(row), channels) => {
                let row = row.get(part).unwrap_or_default();
                match channels {
                    2 => add_wide::<2>(sums, row),
                    4 => add_wide::<4>(sums, row),
                    _ => sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += u32::from(value)),
                }
            }
            (Sums::Short(_), Samples::Wide(_), _) => {}
        }
        self.rows += 1;
        if self.rows == self.plan.down.pixels(self.passed) {
            self.pass_on()?;
        }
        Ok(())
    }

    /// Takes pixels of a row that are `step` apart; the first is at `left`.
    pub(crate) fn scatter(&mut self, y: u32, (left, step): (u32, u32), samples: Samples<'_>) {
        let (across, down, channels) = (self.plan.across, self.plan.down, self.layout.channels);
        let Sums::Long(sums) = &mut self.sums else { return };
        if !(down.first..down.end).contains(&y) {
            return;
        }
        let row = ((y - down.first) / down.size) as usize * across.count as usize;
        let mut add = |index: usize, pixel: [u32; 4]| {
            let x = left + index as u32 * step;
            if (across.first..across.end).contains(&x) {
                let at = (row + ((x - across.first) / across.size) as usize) * channels;
                let place = sums.get_mut(at..at + channels).unwrap_or_default();
                place.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
            }
        };
        match samples {
            Samples::Narrow(samples) => {
                for (index, pixel) in samples.chunks_exact(channels).enumerate() {
                    add(index, weighed_narrow(pixel, self.layout));
                }
            }
            Samples::Wide(samples) => {
                for (index, pixel) in samples.chunks_exact(channels).enumerate() {
                    add(index, weighed_wide(pixel, self.layout));
                }
            }
        }
    }

    /// Rounds the sums of one row of boxes and passes it on.
    fn pass_on(&mut self) -> Result<(), ImageError> {
        let (layout, across) = (self.layout, self.plan.across);
        match &mut self.sums {
            Sums::Short(sums) => {
                fold(sums, layout, across, self.rows, &mut self.line);
                sums.fill(0);
            }
            Sums::Long(sums) => {
                fold(sums, layout, across, self.rows, &mut self.line);
                sums.fill(0);
            }
        }
        self.hand_on()
    }

    /// Passes a row of boxes to the resampler.
    fn hand_on(&mut self) -> Result<(), ImageError> {
        self.resample(self.passed)?;
        self.passed += 1;
        self.rows = 0;
        Ok(())
    }

    /// Passes the row of boxes with this index to the resampler, and keeps what comes out.
    fn resample(&mut self, index: u32) -> Result<(), ImageError> {
        self.full = self.stream.push(index, &self.line)?;
        let samples = self.stream.take();
        let pixel = self.layout.channels * if self.layout.wide { 2 } else { 1 };
        let made = self.rgba.len();
        self.rgba.resize(made + samples.len() / pixel * 4, 0);
        to_rgba(&samples, self.layout, &self.conversion, &mut self.rgba[made..]);
        Ok(())
    }

    /// Passes on the sums of scattered rows.
    fn gather(&mut self) -> Result<(), ImageError> {
        let (layout, plan) = (self.layout, self.plan);
        let Sums::Long(sums) = std::mem::replace(&mut self.sums, Sums::Long(Vec::new())) else {
            return Ok(());
        };
        let one = BoxAxis { size: 1, end: plan.across.first + plan.across.count, ..plan.across };
        let last = plan.across.pixels(plan.across.count - 1);
        let row = plan.across.count as usize * layout.channels;
        for (index, sums) in (0..).zip(sums.chunks_exact(row)) {
            let down = plan.down.pixels(index);
            fold(sums, layout, one, plan.across.size * down, &mut self.line);
            // The last box may have fewer pixels than the others.
            let (sums, size) = (&sums[row - layout.channels..], if layout.wide { 2 } else { 1 });
            let edge = self.line.len() - layout.channels * size;
            let one = BoxAxis { end: one.first + 1, count: 1, ..one };
            fold(sums, layout, one, last * down, &mut self.line[edge..]);
            self.resample(index)?;
        }
        Ok(())
    }

    /// Returns the view in stored orientation, as straight-alpha RGBA in sRGB, and whether all of it came. Missing
    /// parts are transparent.
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, bool), ImageError> {
        let came = self.plan.down.first + self.passed * self.plan.down.size + self.rows;
        if self.scattered {
            self.gather()?;
        }
        let complete = self.full;
        if !complete && self.rows > 0 {
            self.pass_on()?;
        }
        while !self.full && self.passed < self.plan.down.count {
            // The last row is repeated for what is missing, so that the edge does not darken.
            self.hand_on()?;
        }
        let mut rgba = self.rgba;
        if !complete {
            let scale = self.plan.height / f64::from(self.plan.target.1);
            let edge = (f64::from(came) - self.plan.top) / scale;
            for (y, row) in rgba.chunks_exact_mut(self.plan.target.0 as usize * 4).enumerate() {
                let covered = (edge - y as f64).clamp(0.0, 1.0);
                for pixel in row.as_chunks_mut::<4>().0 {
                    pixel[3] = (f64::from(pixel[3]) * covered).round() as u8;
                    if pixel[3] == 0 {
                        *pixel = [0; 4];
                    }
                }
            }
        }
        Ok((rgba, complete))
    }
}

/// Weights colours by alpha, and alpha by 255, so that both are in units of 1/255.
fn weighed_narrow(pixel: &[u8], layout: SampleLayout) -> [u32; 4] {
    let mut out = [0; 4];
    out.iter_mut().zip(pixel).for_each(|(out, &value)| *out = value.into());
    if layout.has_alpha() {
        let alpha = out[layout.channels - 1];
        out[layout.channels - 1] = 255;
        out.iter_mut().for_each(|value| *value *= alpha);
    }
    out
}

/// Weights colours by alpha, rounded to 16 bits so that the sums do not overflow.
fn weighed_wide(pixel: &[u16], layout: SampleLayout) -> [u32; 4] {
    let mut out = [0; 4];
    out.iter_mut().zip(pixel).for_each(|(out, &value)| *out = value.into());
    if layout.has_alpha() {
        let alpha = out[layout.channels - 1];
        for value in &mut out[..layout.channels - 1] {
            *value = by_alpha(*value, alpha);
        }
    }
    out
}

/// The product of two fractions of 65535, as one such fraction, exactly rounded.
fn by_alpha(value: u32, alpha: u32) -> u32 {
    let product = value * alpha + 32_768;
    (product + (product >> 16)) >> 16
}

fn add_narrow<const N: usize>(sums: &mut [u32], row: &[u8]) {
    for (sums, pixel) in sums.as_chunks_mut::<N>().0.iter_mut().zip(row.as_chunks::<N>().0) {
        let alpha = u32::from(pixel[N - 1]);
        for channel in 0..N - 1 {
            sums[channel] += u32::from(pixel[channel]) * alpha;
        }
        sums[N - 1] += 255 * alpha;
    }
}

fn add_wide<const N: usize>(sums: &mut [u32], row: &[u16]) {
    for (sums, pixel) in sums.as_chunks_mut::<N>().0.iter_mut().zip(row.as_chunks::<N>().0) {
        let alpha = u32::from(pixel[N - 1]);
        for channel in 0..N - 1 {
            sums[channel] += by_alpha(pixel[channel].into(), alpha);
        }
        sums[N - 1] += alpha;
    }
}

/// Sums the columns of each box and rounds to the mean. `rows` rows went into each sum.
fn fold<T: Copy + Into<u32>>(sums: &[T], layout: SampleLayout, across: BoxAxis, rows: u32, out: &mut [u8]) {
    match layout.channels {
        1 => fold_channels::<T, 1>(sums, layout, across, rows, out),
        2 => fold_channels::<T, 2>(sums, layout, across, rows, out),
        3 => fold_channels::<T, 3>(sums, layout, across, rows, out),
        _ => fold_channels::<T, 4>(sums, layout, across, rows, out),
    }
}

fn fold_channels<T: Copy + Into<u32>, const N: usize>(
    sums: &[T],
    layout: SampleLayout,
    across: BoxAxis,
    rows: u32,
    out: &mut [u8],
) {
    let unit = if layout.has_alpha() && !layout.wide { 255 } else { 1 };
    let boxes = sums.as_chunks::<N>().0.chunks(across.size as usize);
    let mean = |columns: &[[T; N]], reciprocal: Reciprocal| {
        let mut total = [0_u32; N];
        for column in columns {
            for channel in 0..N {
                total[channel] += column[channel].into();
            }
        }
        total.map(|total| reciprocal.of(total))
    };
    let whole = Reciprocal::new(across.size * rows * unit);
    let reciprocal = |columns: &[[T; N]]| match columns.len() as u32 {
        size if size == across.size => whole,
        size => Reciprocal::new(size * rows * unit),
    };
    if layout.wide {
        for (out, columns) in out.chunks_exact_mut(2 * N).zip(boxes) {
            let means = mean(columns, reciprocal(columns));
            for (out, mean) in out.as_chunks_mut::<2>().0.iter_mut().zip(means) {
                *out = (mean.min(65_535) as u16).to_ne_bytes();
            }
        }
    } else {
        let done = match across.size {
            2 if unit == 1 => fold_small::<T, N, 2>(sums, rows, out),
            3 if unit == 1 => fold_small::<T, N, 3>(sums, rows, out),
            4 if unit == 1 => fold_small::<T, N, 4>(sums, rows, out),
            _ => 0,
        };
        for (out, columns) in out.as_chunks_mut::<N>().0.iter_mut().zip(boxes).skip(done) {
            *out = mean(columns, reciprocal(columns)).map(|mean| mean.min(255) as u8);
        }
    }
}

/// Computes the means of whole boxes of at most four columns in 32-bit arithmetic, which the compiler vectorises.
/// Returns how many were computed; none if there are too many rows for that.
fn fold_small<T: Copy + Into<u32>, const N: usize, const SIZE: usize>(
    sums: &[T],
    rows: u32,
    out: &mut [u8],
) -> usize {
    /// A factor with this many fractional bits gives exact means of up to 181 bytes without overflow.
    const BITS: u32 = 23;
    let count = SIZE as u32 * rows;
    if !(1..=181).contains(&count) {
        return 0;
    }
    let (half, factor) = (count / 2, (1_u32 << BITS).div_ceil(count));
    let (boxes, out) = (sums.as_chunks::<N>().0.as_chunks::<SIZE>().0, out.as_chunks_mut::<N>().0);
    dispatch!(Level::new(), level => level.vectorize(
        #[inline(always)]
        || for (out, columns) in out.iter_mut().zip(boxes) {
            for (channel, out) in out.iter_mut().enumerate() {
                let total: u32 = columns.iter().map(|column| column[channel].into()).sum();
                *out = (((total + half) * factor) >> BITS) as u8;
            }
        }
    ));
    boxes.len().min(out.len())
}

/// Rounded division by a count, as a multiplication.
#[derive(Clone, Copy)]
struct Reciprocal {
    half: u64,
    factor: u64,
}

impl Reciprocal {
    fn new(count: u32) -> Self {
        let count = u64::from(count.max(1));
        Self { half: count / 2, factor: (1_u64 << 32).div_ceil(count) }
    }

    fn of(self, total: u32) -> u32 {
        // No mean exceeds 65535, so the product has 48 bits.
        (((u64::from(total) + self.half).wrapping_mul(self.factor)) >> 32) as u32
    }
}

/// Converts the resampler's output to straight-alpha RGBA in sRGB.
fn to_rgba(samples: &[u8], layout: SampleLayout, conversion: &Conversion, out: &mut [u8]) {
    let rgba = out.as_chunks_mut().0;
    if layout.wide {
        let samples: Vec<u16> =
            samples.as_chunks().0.iter().map(|&sample| u16::from_ne_bytes(sample)).collect();
        let mut wide = vec![[0_u16; 4]; rgba.len()];
        samples::spread(&samples, layout.channels, u16::MAX, &mut wide);
        if layout.has_alpha() {
            for pixel in &mut wide {
                let alpha = u32::from(pixel[3]);
                for value in &mut pixel[..3] {
                    let straight = (u32::from(*value) * 65_535 + alpha / 2).checked_div(alpha);
                    *value = straight.unwrap_or(0).min(65_535) as u16;
                }
            }
        }
        conversion.wide(&wide, rgba);
    } else {
        samples::spread(samples, layout.channels, u8::MAX, rgba);
        if layout.has_alpha() {
            rgba.iter_mut().for_each(alpha::unpremultiply);
        }
        conversion.narrow(out);
    }
}
