//! Codes of two dimensions, by `rxing`: QR codes, Data Matrix and, around each bullseye that is found here, Aztec
//! codes.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use imaging::Deadline;
use rxing::{
    BarcodeFormat, BinaryBitmap, DecodeHintValue, DecodeHints, Luma8LuminanceSource,
    MultiUseMultiFormatReader, RXingResult, Reader,
    common::HybridBinarizer,
    multi::{GenericMultipleBarcodeReader, MultipleBarcodeReader},
};

use super::{picture::Picture, profile};
use crate::DetectError;

/// A page has no more codes than that, or not all of them are read.
const MOST_ROUNDS: usize = 100;

/// A picture of more finder patterns is none of QR codes, but a pattern: ZXing tries each three of them, which
/// takes hours.
const MOST_FINDERS: f64 = 450.0;
/// Rows from one that is looked at for finder patterns to the next.
const FINDER_ROWS: usize = 3;

/// A code that was read.
pub(super) struct Matrix {
    pub(super) format: BarcodeFormat,
    pub(super) text: String,
    /// The corners, clockwise in a picture.
    pub(super) corners: Vec<[f64; 2]>,
}

/// What is looked for, and that it is looked for hard.
fn hints(formats: impl IntoIterator<Item = BarcodeFormat>) -> DecodeHints {
    let formats: HashSet<_> = formats.into_iter().collect();
    DecodeHints::default()
        .with(DecodeHintValue::PossibleFormats(formats))
        .with(DecodeHintValue::TryHarder(true))
        .with(DecodeHintValue::AlsoInverted(true))
}

/// The QR codes and Data Matrix codes of a picture: what has been read is painted over and the rest read again, for
/// ZXing finds one where there are many.
pub(super) fn codes(
    mut picture: Picture,
    formats: &[BarcodeFormat],
    deadline: Deadline,
) -> Result<Vec<Matrix>, DetectError> {
    let mut formats = formats.to_vec();
    if formats.contains(&BarcodeFormat::QR_CODE) && !are_finders_few(&picture, deadline)? {
        formats.retain(|format| *format != BarcodeFormat::QR_CODE);
    }
    let hints = hints(formats.iter().copied());
    let mut codes = Vec::new();
    if formats.is_empty() {
        return Ok(codes);
    }
    for _ in 0..MOST_ROUNDS {
        deadline.check()?;
        let results = guarded(|| {
            let mut bitmap = bitmap(picture.grey.clone(), picture.width, picture.height)?;
            let mut reader = GenericMultipleBarcodeReader::new(MultiUseMultiFormatReader::default());
            reader.decode_multiple_with_hints(&mut bitmap, &hints).ok()
        });
        let Some(results) = results.filter(|results| !results.is_empty()) else { break };
        for result in results {
            let corners = hull(points(&result));
            picture.paint_over(&corners);
            codes.push(Matrix {
                format: *result.getBarcodeFormat(),
                text: result.getText().to_owned(),
                corners,
            });
        }
    }
    Ok(codes)
}

/// Whether there are no more finder patterns than the codes of a page have. They are counted by rows that cross
/// them: dark, light, dark, light and dark, of one module each and three in the middle.
fn are_finders_few(picture: &Picture, deadline: Deadline) -> Result<bool, DetectError> {
    let (mut values, mut extremes, mut count) = (Vec::new(), Vec::new(), 0.0);
    for (index, row) in picture.grey.chunks_exact(picture.width).step_by(FINDER_ROWS).enumerate() {
        if index % 32 == 0 {
            deadline.check()?;
        }
        values.clear();
        values.extend(row.iter().map(|it| f32::from(*it)));
        let bars = profile::bars(&values, [true; 2], &mut extremes);
        for widths in bars.widths.windows(5).step_by(2) {
            let module = widths.iter().sum::<f32>() / 7.0;
            let fits =
                |(width, modules): (&f32, f32)| (width / module - modules).abs() < 0.4 * modules.min(1.5);
            if widths.iter().zip([1.0, 1.0, 3.0, 1.0, 1.0]).all(fits) {
                // The rows that cross one are as many as its middle is high.
                count += FINDER_ROWS as f64 / f64::from(3.0 * module).max(FINDER_ROWS as f64);
            }
        }
        if count > MOST_FINDERS {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a picture of one code says, and the places that ZXing names.
pub(super) fn single(picture: Picture, format: BarcodeFormat) -> Option<Matrix> {
    let result = guarded(|| {
        let mut bitmap = bitmap(picture.grey, picture.width, picture.height)?;
        MultiUseMultiFormatReader::default().decode_with_hints(&mut bitmap, &hints([format])).ok()
    })?;
    let text = result.getText().to_owned();
    Some(Matrix { format: *result.getBarcodeFormat(), text, corners: hull(points(&result)) })
}

/// A picture as ZXing takes it; `None` where a side is zero.
fn bitmap(
    grey: Vec<u8>,
    width: usize,
    height: usize,
) -> Option<BinaryBitmap<HybridBinarizer<Luma8LuminanceSource>>> {
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    Some(BinaryBitmap::new(HybridBinarizer::new(Luma8LuminanceSource::new(grey, width, height).ok()?)))
}

/// What ZXing reads. It is a library of forty thousand lines that indexes as it goes: what it stumbles over it has
/// not read.
fn guarded<T>(read: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok().flatten()
}

/// The places that a result names, as far as they are any.
fn points(result: &RXingResult) -> Vec<[f64; 2]> {
    let points = result.getPoints().iter().map(|point| [f64::from(point.x), f64::from(point.y)]);
    points.filter(|point| point.iter().all(|it| it.is_finite())).collect()
}

/// The corners of the smallest convex polygon around the points, clockwise as seen (Andrew's monotone chain).
pub(super) fn hull(points: impl IntoIterator<Item = [f64; 2]>) -> Vec<[f64; 2]> {
    let mut points: Vec<[f64; 2]> = points.into_iter().collect();
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    let half = |points: &mut dyn Iterator<Item = [f64; 2]>| {
        let mut chain: Vec<[f64; 2]> = Vec::new();
        for point in points {
            while let [.., a, b] = chain[..]
                && (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0]) <= 1e-6
            {
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop();
        chain
    };
    let mut corners = half(&mut points.iter().copied());
    corners.extend(half(&mut points.iter().rev().copied()));
    corners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hull_has_the_outermost_points_only_and_goes_round_once() {
        let points = vec![[0.0, 0.0], [4.0, 0.0], [2.0, 0.0], [2.0, 1.0], [4.0, 3.0], [0.0, 3.0]];
        assert_eq!(hull(points), [[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 3.0]]);
        assert!(hull(vec![[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]).len() < 3, "a line is no polygon");
        assert!(hull(Vec::new()).is_empty());
    }
}
