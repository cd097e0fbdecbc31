//! Two-dimensional codes, read by `rxing`: QR codes, Data Matrix and, around each bullseye that `aztec` finds, Aztec
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

use super::{finders, picture::Picture};
use crate::DetectError;

/// The most rounds of reading. A page has fewer codes; of a picture with more, some are not read.
const MOST_ROUNDS: usize = 100;

/// A code that was read.
pub(super) struct Matrix {
    pub(super) text: String,
    /// The corners, clockwise in a picture.
    pub(super) corners: Vec<[f64; 2]>,
}

/// Tells `rxing` to look for one format, thoroughly. With several formats it is a matter of chance which it finds
/// first.
fn hints(format: BarcodeFormat) -> DecodeHints {
    DecodeHints::default()
        .with(DecodeHintValue::PossibleFormats(HashSet::from([format])))
        .with(DecodeHintValue::TryHarder(true))
        .with(DecodeHintValue::AlsoInverted(true))
}

/// The QR codes or Data Matrix codes of a picture. `rxing` may find only some of them at a time, so those that have
/// been read are painted over and the picture is read again.
pub(super) fn codes(
    picture: &mut Picture,
    format: BarcodeFormat,
    deadline: Deadline,
) -> Result<Vec<Matrix>, DetectError> {
    let mut codes = Vec::new();
    if format == BarcodeFormat::QR_CODE {
        let few = bitmap(picture.grey.clone(), picture.width, picture.height)
            .map(|bitmap| finders::are_few(bitmap.get_black_matrix(), deadline))
            .transpose()?;
        if few != Some(true) {
            return Ok(codes);
        }
    }
    let hints = hints(format);
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
            codes.push(Matrix { text: result.getText().to_owned(), corners });
        }
    }
    Ok(codes)
}

/// Reads a picture of a single code. The corners are the convex hull of the places that `rxing` names.
pub(super) fn single(picture: Picture, format: BarcodeFormat) -> Option<Matrix> {
    let result = guarded(|| {
        let mut bitmap = bitmap(picture.grey, picture.width, picture.height)?;
        MultiUseMultiFormatReader::default().decode_with_hints(&mut bitmap, &hints(format)).ok()
    })?;
    Some(Matrix { text: result.getText().to_owned(), corners: hull(points(&result)) })
}

/// Converts a picture for `rxing`; `None` where a side is zero.
fn bitmap(
    grey: Vec<u8>,
    width: usize,
    height: usize,
) -> Option<BinaryBitmap<HybridBinarizer<Luma8LuminanceSource>>> {
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    Some(BinaryBitmap::new(HybridBinarizer::new(Luma8LuminanceSource::new(grey, width, height).ok()?)))
}

/// Calls `rxing`. It is a large library that indexes as it goes, so that a damaged code may make it panic; then nothing
/// has been read.
fn guarded<T>(read: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok().flatten()
}

/// The places that a result names, without those that are not finite.
fn points(result: &RXingResult) -> Vec<[f64; 2]> {
    let points = result.getPoints().iter().map(|point| [f64::from(point.x), f64::from(point.y)]);
    points.filter(|point| point.iter().all(|it| it.is_finite())).collect()
}

/// The corners of the convex hull of the points, clockwise as seen (Andrew's monotone chain).
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
