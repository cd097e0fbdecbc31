//! `barcode_detection`: barcodes and two-dimensional codes with what they say, by `rxing`, the port of ZXing to Rust.
//!
//! Codes of two dimensions are found at every angle; what has been read is painted over and the rest read again, for ZXing finds one where
//! there are many. Linear codes are looked for at every 15°, in narrow and wide pieces that overlap ([`linear`]): ZXing reads
//! along lines, and what lies beside a code on the same line confuses it. It marks a linear code by the ends of that line
//! alone; how high the bars are is looked up in the picture ([`bars`]), and where they are no higher than a line, there was no
//! code. Of linear codes that lie on each other, the one that was read most often is there. PDF417, Aztec and MaxiCode are
//! left out: rxing 0.9.3 places the first wrongly where it is turned, and finds the others in the middle of a picture only.
//!
//! Nearly all of the time goes to linear codes; pictures of more than 4 MP are reduced for these.
//!
//! What is read depends on nothing but the pixels and the parameters. The deadline is looked at between pieces.

mod bars;
mod linear;
mod turn;

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use imaging::{Deadline, Image};
use jobs::algorithm::{Kind, Parameter, Parameters, Rectangle, Specification};
use rxing::{
    BarcodeFormat, BinaryBitmap, DecodeHintValue, DecodeHints, Luma8LuminanceSource,
    MultiUseMultiFormatReader, RXingResult,
    common::HybridBinarizer,
    multi::{GenericMultipleBarcodeReader, MultipleBarcodeReader},
};
use serde::Deserialize;

use crate::{
    Class, DetectError, Detector, Findings, Model, Schema,
    window::{self, Window},
};
use turn::{Turned, reduced, turned};

/// What `barcode_detection` takes and gives.
pub(crate) static SPECIFICATION: Specification = Specification {
    name: "barcode_detection",
    version: "3",
    summary: "Reads barcodes and two-dimensional codes: what they say, their format and their corners, from top to bottom.",
    references: &[
        "ISO/IEC 18004 (QR code), 16022 (Data Matrix), 15420 (EAN, UPC), 15417 (Code 128) and their like",
        "rxing 0.9, after ZXing",
    ],
    parameters: &[
        Parameter {
            name: "formats",
            summary: "Which formats are looked for; without it, all of them.",
            unit: None,
            kind: Kind::Choices { values: &WORDS },
        },
        Parameter {
            name: "turned",
            summary: "Whether linear barcodes are looked for at every angle, or only where they stand nearly upright or lie \
                      on their side, which takes a fifth of the time.",
            unit: None,
            kind: Kind::Flag { default: Some(true) },
        },
        window::REGION,
    ],
    ordered: &[],
    dependent: None,
    list: Some("barcodes"),
};

static SCHEMA: Schema = Schema {
    list: "barcodes",
    class: Class { name: "Barcode", color: [86, 180, 233] },
    columns: &[],
    labels: &["format", "text"],
    radius: None,
    opposite: None,
};

/// The words for the formats, what `rxing` calls them, and whether they are bars beside each other.
const FORMATS: [(&str, BarcodeFormat, bool); 11] = [
    ("codabar", BarcodeFormat::CODABAR, true),
    ("code_39", BarcodeFormat::CODE_39, true),
    ("code_93", BarcodeFormat::CODE_93, true),
    ("code_128", BarcodeFormat::CODE_128, true),
    ("data_matrix", BarcodeFormat::DATA_MATRIX, false),
    ("ean_8", BarcodeFormat::EAN_8, true),
    ("ean_13", BarcodeFormat::EAN_13, true),
    ("itf", BarcodeFormat::ITF, true),
    ("qr_code", BarcodeFormat::QR_CODE, false),
    ("upc_a", BarcodeFormat::UPC_A, true),
    ("upc_e", BarcodeFormat::UPC_E, true),
];
const WORDS: [&str; FORMATS.len()] = {
    let mut words = [""; FORMATS.len()];
    let mut i = 0;
    while i < words.len() {
        words[i] = FORMATS[i].0;
        i += 1;
    }
    words
};

/// A page has no more codes than that, or not all of them are read.
const MOST_ROUNDS: usize = 100;

/// From one angle at which linear codes are looked for to the next, in degrees: a line must cross all bars of a code, which is easily
/// eight times as wide as high.
const STEP: usize = 15;
/// A picture of more pixels is reduced by a whole factor before linear codes are looked for: a page of A4 has a module of
/// Code 128 in four pixels at 300 dpi.
const LINEAR_PIXELS: usize = 4_000_000;

#[derive(Deserialize)]
struct Settings {
    formats: Option<Vec<String>>,
    turned: bool,
    region: Option<Rectangle>,
}

/// A code that was read, in pixels of the window.
struct Code {
    format: &'static str,
    /// Whether it is bars beside each other.
    linear: bool,
    /// How often it was read.
    readings: usize,
    text: String,
    corners: Vec<[f64; 2]>,
}

impl Code {
    /// What a result says, at corners that are clockwise in a picture; unless its format has no name here, or they span nothing.
    fn new(result: &RXingResult, corners: &[[f64; 2]], picture: &Turned) -> Option<Self> {
        let (format, _, linear) =
            *FORMATS.iter().find(|(_, format, _)| format == result.getBarcodeFormat())?;
        let corners: Vec<_> = corners.iter().map(|corner| picture.back(*corner)).collect();
        let corners = clockwise_from_the_top_left(corners);
        let text = result.getText().to_owned();
        (corners.len() > 2).then_some(Self { format, linear, readings: 1, text, corners })
    }

    fn enlarged(mut self, factor: f64) -> Self {
        self.corners.iter_mut().flatten().for_each(|it| *it *= factor);
        self
    }

    fn centre(&self) -> [f64; 2] {
        let count = self.corners.len().max(1) as f64;
        [0, 1].map(|axis| self.corners.iter().map(|corner| corner[axis]).sum::<f64>() / count)
    }

    /// Whether the other is the same one, or a part of it, read again: it says the same, and the middle of one lies near the other.
    fn is(&self, other: &Self) -> bool {
        self.format == other.format
            && self.text == other.text
            && (self.is_near(other.centre()) || other.is_near(self.centre()))
    }

    /// Whether a place lies within the box around the corners, or a quarter of its longer side beyond it.
    fn is_near(&self, place: [f64; 2]) -> bool {
        let sides = self.sides();
        let near = sides.iter().fold(8.0_f64, |near, (low, high)| near.max((high - low) / 4.0));
        sides.iter().zip(place).all(|((low, high), at)| (low - near..=high + near).contains(&at))
    }

    /// Whether a place lies within the corners, which are those of a convex shape and clockwise in a picture.
    fn holds(&self, [x, y]: [f64; 2]) -> bool {
        let next = self.corners.iter().cycle().skip(1);
        self.corners.iter().zip(next).all(|(a, b)| (b[0] - a[0]) * (y - a[1]) >= (b[1] - a[1]) * (x - a[0]))
    }

    /// Whether the other lies where this one does: of two linear codes, one is then made of bars of the other.
    fn lies_on(&self, other: &Self) -> bool {
        self.linear && other.linear && (self.holds(other.centre()) || other.holds(self.centre()))
    }

    /// The box around the corners: from where to where, across and down.
    fn sides(&self) -> [(f64, f64); 2] {
        [0, 1].map(|axis| {
            self.corners.iter().fold((f64::MAX, f64::MIN), |(low, high), corner| {
                (low.min(corner[axis]), high.max(corner[axis]))
            })
        })
    }

    fn area(&self) -> f64 {
        let next = self.corners.iter().cycle().skip(1);
        let twice: f64 = self.corners.iter().zip(next).map(|(a, b)| a[0] * b[1] - a[1] * b[0]).sum();
        twice.abs() / 2.0
    }
}

/// See the module.
pub(crate) struct Algorithm;

impl Detector for Algorithm {
    fn specification(&self) -> &'static Specification {
        &SPECIFICATION
    }

    fn detect(
        &self,
        image: &Image,
        parameters: &Parameters,
        _: Option<&Model>,
        deadline: Deadline,
    ) -> Result<Findings, DetectError> {
        let run = SPECIFICATION.resolve(parameters)?;
        let settings: Settings = run.parameters.parse().map_err(DetectError::Inconsistent)?;
        let window = Window::of(image, settings.region)?;
        let wanted = |linear: bool| -> Option<DecodeHints> {
            let wanted = FORMATS.iter().filter(|(word, _, bars)| {
                *bars == linear
                    && settings.formats.as_ref().is_none_or(|words| words.iter().any(|wanted| wanted == word))
            });
            let formats: HashSet<_> = wanted.map(|(_, format, _)| *format).collect();
            let some = !formats.is_empty();
            some.then(|| DecodeHints::default().with(DecodeHintValue::PossibleFormats(formats)))
        };
        let squares = wanted(false).map(|hints| {
            hints.with(DecodeHintValue::TryHarder(true)).with(DecodeHintValue::AlsoInverted(true))
        });
        let bars = wanted(true);

        let mut grey = vec![0; window.width * window.height];
        for (row, out) in grey.chunks_exact_mut(window.width).enumerate() {
            window.bytes(row, out);
        }
        let size = (window.width, window.height);
        let mut found = Vec::new();
        if let Some(hints) = &squares {
            found.extend(squares_of(turned(&grey, size, 0.0), hints, deadline)?);
        }
        if let Some(hints) = &bars {
            let factor =
                (1..).find(|factor| size.0 * size.1 / (factor * factor) <= LINEAR_PIXELS).unwrap_or(1);
            let (grey, size) = reduced(grey, size, factor);
            for degrees in (0..180).step_by(if settings.turned { STEP } else { 90 }) {
                let codes = linear::codes(turned(&grey, size, f64::from(degrees)), hints, deadline)?;
                found.extend(codes.into_iter().map(|code| code.enlarged(factor as f64)));
            }
        }
        let mut codes: Vec<Code> = Vec::new();
        for code in found {
            let Some(known) = codes.iter_mut().find(|known| known.is(&code)) else {
                codes.push(code);
                continue;
            };
            let readings = known.readings + 1;
            // A line that crosses the bars at a slant sees less of them.
            if known.area() < code.area() {
                *known = code;
            }
            known.readings = readings;
        }
        let mut codes = without_chance(codes);
        codes.sort_by(|a, b| {
            let ([ax, ay], [bx, by]) = (a.centre(), b.centre());
            ay.total_cmp(&by).then(ax.total_cmp(&bx)).then_with(|| a.text.cmp(&b.text))
        });

        let mut findings = Findings::new(&SCHEMA);
        for code in codes {
            let place = |[x, y]: [f64; 2]| {
                window.place(x.clamp(0.0, window.width as f64), y.clamp(0.0, window.height as f64))
            };
            let outline: Vec<[f32; 2]> =
                code.corners.iter().map(|corner| place(*corner)).map(|(x, y)| [x as f32, y as f32]).collect();
            let (x, y) = place(code.centre());
            findings.push_outlined(x, y, [], &outline);
            findings.label([code.format.to_owned(), code.text]);
        }
        Ok(findings)
    }
}

/// Without what was made of a part of another code's bars by chance. A code is read at several angles, and what is there by
/// chance at few.
fn without_chance(mut codes: Vec<Code>) -> Vec<Code> {
    codes.sort_by_key(|code| std::cmp::Reverse((code.readings, code.text.chars().count())));
    let mut kept: Vec<Code> = Vec::with_capacity(codes.len());
    for code in codes {
        if !kept.iter().any(|other| other.lies_on(&code)) {
            kept.push(code);
        }
    }
    kept
}

/// The codes of two dimensions of a picture.
fn squares_of(
    mut picture: Turned,
    hints: &DecodeHints,
    deadline: Deadline,
) -> Result<Vec<Code>, DetectError> {
    let mut codes = Vec::new();
    for _ in 0..MOST_ROUNDS {
        deadline.check()?;
        let results = guarded(|| {
            let mut bitmap = bitmap(picture.grey.clone(), picture.size)?;
            let mut reader = GenericMultipleBarcodeReader::new(MultiUseMultiFormatReader::default());
            reader.decode_multiple_with_hints(&mut bitmap, hints).ok()
        });
        let Some(results) = results.filter(|results| !results.is_empty()) else { break };
        for result in results {
            let corners = hull(points(&result));
            codes.extend(Code::new(&result, &corners, &picture));
            picture.paint_over(&corners);
        }
    }
    Ok(codes)
}

/// A picture as ZXing takes it; `None` where a side is zero.
fn bitmap(
    grey: Vec<u8>,
    (width, height): (usize, usize),
) -> Option<BinaryBitmap<HybridBinarizer<Luma8LuminanceSource>>> {
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    Some(BinaryBitmap::new(HybridBinarizer::new(Luma8LuminanceSource::new(grey, width, height).ok()?)))
}

/// What ZXing reads. It is a library of forty thousand lines that indexes as it goes: what it stumbles over it has not read.
fn guarded<T>(read: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok().flatten()
}

/// The places that a result names, as far as they are any.
fn points(result: &RXingResult) -> Vec<[f64; 2]> {
    let points = result.getPoints().iter().map(|point| [f64::from(point.x), f64::from(point.y)]);
    points.filter(|point| point.iter().all(|it| it.is_finite())).collect()
}

/// The corners of the smallest convex polygon around the points, clockwise as seen (Andrew's monotone chain).
fn hull(points: impl IntoIterator<Item = [f64; 2]>) -> Vec<[f64; 2]> {
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

/// The same polygon, beginning with the corner nearest to the image's top left.
fn clockwise_from_the_top_left(mut corners: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    let order = |corner: &[f64; 2]| corner[0] + corner[1];
    let first = (0..corners.len()).min_by(|a, b| order(&corners[*a]).total_cmp(&order(&corners[*b])));
    corners.rotate_left(first.unwrap_or_default());
    corners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hull_has_the_outermost_points_only_and_goes_round_once() {
        let points = vec![[0.0, 0.0], [4.0, 0.0], [2.0, 0.0], [2.0, 1.0], [4.0, 3.0], [0.0, 3.0]];
        let corners = clockwise_from_the_top_left(hull(points));
        assert_eq!(corners, [[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 3.0]]);
        assert!(hull(vec![[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]).len() < 3, "a line is no polygon");
        assert!(hull(Vec::new()).is_empty());
    }

    #[test]
    fn formats_are_in_alphabetical_order_of_their_kind_and_named_once() {
        let mut words = WORDS.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), FORMATS.len());
    }
}
