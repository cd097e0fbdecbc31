//! Two-dimensional codes, read by `rxing`: QR codes, Data Matrix and, around each bullseye that `aztec` finds, Aztec
//! codes.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use imaging::{Deadline, TimedOut};
use rxing::{
    BarcodeFormat, Binarizer, BinaryBitmap, DecodeHintValue, DecodeHints, Exceptions, Luma8LuminanceSource,
    MultiUseMultiFormatReader, Point, RXingResult, Reader,
    common::{BitMatrix, DetectorRXingResult as _, HybridBinarizer},
    datamatrix::DataMatrixReader,
    multi::{GenericMultipleBarcodeReader, MultipleBarcodeReader as _},
    qrcode::{
        QRCodeReader,
        cpp_port::{
            decoder::Decode,
            detector::{FindFinderPatterns, GenerateFinderPatternSets, SampleQR},
        },
    },
};

use super::{data_matrix, finders, picture::Picture};
use crate::DetectError;

/// The most rounds of reading. A page has fewer codes; of a picture with more, some are not read.
const MOST_ROUNDS: usize = 100;

/// The longest side of a picture that is read at once. The time that `rxing` takes for a straight edge grows with the
/// square of its length.
const LONGEST: usize = 1 << 15;

/// A code that was read.
pub(super) struct Matrix {
    pub(super) text: String,
    /// The corners, clockwise in a picture.
    pub(super) corners: Vec<[f64; 2]>,
}

/// The QR codes or Data Matrix codes of a picture. One with a longer side than [`LONGEST`] is read in pieces that share
/// as much as the shorter side is long, so that each code lies wholly in one.
pub(super) fn codes(
    picture: &mut Picture,
    format: BarcodeFormat,
    deadline: Deadline,
) -> Result<Vec<Matrix>, DetectError> {
    let (long, short) = (picture.width.max(picture.height), picture.width.min(picture.height));
    if long <= LONGEST {
        return codes_in(picture, format, deadline);
    }
    let mut codes = Vec::new();
    let step = LONGEST.saturating_sub(short).max(LONGEST / 2);
    for start in (0..long.saturating_sub(LONGEST - step)).step_by(step) {
        let piece = start..(start + LONGEST).min(long);
        let is_wide = picture.width > picture.height;
        let (mut part, place) = if is_wide {
            (picture.part(piece, 0..short), [start, 0])
        } else {
            (picture.part(0..short, piece), [0, start])
        };
        for mut code in codes_in(&mut part, format, deadline)? {
            for corner in &mut code.corners {
                *corner = [0, 1].map(|axis| corner[axis] + place[axis] as f64);
            }
            picture.paint_over(&code.corners, deadline)?;
            codes.push(code);
        }
    }
    Ok(codes)
}

/// The codes of a picture. `rxing` may find only some of them at a time, so those that have
/// been read are painted over and the picture is read again.
fn codes_in(
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
    for _ in 0..MOST_ROUNDS {
        deadline.check()?;
        let results = guarded(deadline, || {
            let mut bitmap = bitmap(picture.grey.clone(), picture.width, picture.height)?;
            let mut reader = GenericMultipleBarcodeReader::new(Patient { format, deadline });
            reader.decode_multiple(&mut bitmap).ok()
        })?;
        let Some(results) = results.filter(|results| !results.is_empty()) else { break };
        for result in results {
            let corners = hull(points(&result));
            picture.paint_over(&corners, deadline)?;
            codes.push(Matrix { text: result.getText().to_owned(), corners });
        }
    }
    Ok(codes)
}

/// Reads a picture of a single code. The corners are the convex hull of the places that `rxing` names.
pub(super) fn single(
    picture: Picture,
    format: BarcodeFormat,
    deadline: Deadline,
) -> Result<Option<Matrix>, TimedOut> {
    let result = guarded(deadline, || {
        let mut bitmap = bitmap(picture.grey, picture.width, picture.height)?;
        Patient { format, deadline }.decode(&mut bitmap).ok()
    })?;
    Ok(result.map(|result| Matrix { text: result.getText().to_owned(), corners: hull(points(&result)) }))
}

/// Reads one code of a format, dark on light or else light on dark, as `rxing`'s `MultiUseMultiFormatReader` does, and
/// looks at the deadline between the steps. Once it has passed, nothing is found.
struct Patient {
    format: BarcodeFormat,
    deadline: Deadline,
}

impl Reader for Patient {
    fn decode<B: Binarizer>(&mut self, image: &mut BinaryBitmap<B>) -> rxing::common::Result<RXingResult> {
        if let Some(result) = self.read(image) {
            return Ok(result);
        }
        image.invert();
        let result = self.read(image);
        image.invert();
        result.ok_or(Exceptions::NOT_FOUND)
    }

    fn decode_with_hints<B: Binarizer>(
        &mut self,
        image: &mut BinaryBitmap<B>,
        _: &DecodeHints,
    ) -> rxing::common::Result<RXingResult> {
        self.decode(image)
    }
}

impl Patient {
    /// A code that is dark on light.
    fn read<B: Binarizer>(&self, image: &mut BinaryBitmap<B>) -> Option<RXingResult> {
        self.deadline.check().ok()?;
        match self.format {
            BarcodeFormat::QR_CODE => {
                let found = qr_code(image.get_black_matrix(), self.deadline).ok()?;
                found.or_else(|| QRCodeReader::new().decode_with_hints(image, &self.hints()).ok())
            }
            BarcodeFormat::DATA_MATRIX => {
                let found = data_matrix::read(image.get_black_matrix(), self.deadline).ok()?;
                found.or_else(|| {
                    let hints = data_matrix::alone(image.get_black_matrix())?;
                    DataMatrixReader.decode_with_hints(image, &hints).ok()
                })
            }
            _ => MultiUseMultiFormatReader::default().decode_with_hints(image, &self.hints()).ok(),
        }
    }

    /// Tells `rxing` to look for one format, thoroughly, and no longer than there is time where it names places as it
    /// goes.
    fn hints(&self) -> DecodeHints {
        let deadline = self.deadline;
        let look = move |_: Point| {
            if deadline.check().is_err() {
                resume_unwind(Box::new(TimedOut));
            }
        };
        DecodeHints::default()
            .with(DecodeHintValue::PossibleFormats(HashSet::from([self.format])))
            .with(DecodeHintValue::TryHarder(true))
            .with(DecodeHintValue::NeedResultPointCallback(Arc::new(look)))
    }
}

/// The first QR code that can be decoded of those that finder patterns, three at a time, may belong to: the search of
/// `rxing`'s `QrReader`, with a look at the deadline for each three.
fn qr_code(bits: &BitMatrix, deadline: Deadline) -> Result<Option<RXingResult>, TimedOut> {
    let mut finders = FindFinderPatterns(bits, true, 0);
    for three in GenerateFinderPatternSets(&mut finders) {
        deadline.check()?;
        let Ok(sampled) = SampleQR(bits, &three) else { continue };
        let Ok(decoded) = Decode(sampled.getBits()) else { continue };
        if decoded.isValid() {
            let corners = sampled.getPoints();
            return Ok(Some(RXingResult::with_decoder_result(decoded, corners, BarcodeFormat::QR_CODE)));
        }
    }
    Ok(None)
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
///
/// # Errors
/// [`TimedOut`] if the deadline has passed meanwhile.
fn guarded<T>(deadline: Deadline, read: impl FnOnce() -> Option<T>) -> Result<Option<T>, TimedOut> {
    let result = catch_unwind(AssertUnwindSafe(read)).ok().flatten();
    deadline.check()?;
    Ok(result)
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
