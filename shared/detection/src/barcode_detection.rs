//! `barcode_detection`: barcodes and two-dimensional codes, with their text, format and corners.
//!
//! Linear codes are read by [`linear`], which looks for parallel bars at every angle and reads many lines across them.
//! QR codes, Data Matrix and Aztec codes are read by `rxing`, the port of ZXing to Rust ([`matrix`]). So is PDF417,
//! after it has been found by its first and last bars and straightened ([`stacked`]).
//!
//! The result depends on nothing but the pixels and the parameters.

mod aztec;
mod data_matrix;
mod finders;
mod linear;
mod matrix;
mod picture;
mod profile;
mod stacked;

use algorithm::{Kind, Parameter, Specification};
use imaging::Deadline;
use rxing::BarcodeFormat;
use serde::Deserialize;

use crate::{
    Class, DetectError, Findings, Schema,
    algorithm::{Algorithm, Scene, bytes},
    window::{self, Window},
};
use matrix::hull;
use picture::Picture;

/// The parameters and the result of `barcode_detection`.
pub(crate) static SPECIFICATION: Specification = Specification {
    name: "barcode_detection",
    version: "5",
    summary: "Reads barcodes and two-dimensional codes: what they say, their format and their corners, from top to bottom.",
    references: &[
        "ISO/IEC 15420 (EAN, UPC), 15417 (Code 128), 16388 (Code 39), 16390 (ITF), AIM USS-93, USS-Codabar",
        "Förstner, Gülch 1987: A fast operator for detection and precise location of distinct points",
        "rxing 0.9, after ZXing, for QR code, Data Matrix, PDF417 and Aztec",
    ],
    parameters: &[
        Parameter {
            name: "formats",
            summary: "Which formats are looked for; without it, all of them.",
            unit: None,
            kind: Kind::Choices { values: &FORMATS },
        },
        Parameter {
            name: "turned",
            summary: "Whether linear barcodes and PDF417 are looked for at every angle, or only where they stand nearly \
                      upright or lie on their side.",
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

/// The words for the formats.
const FORMATS: [&str; 13] = [
    "aztec",
    "codabar",
    "code_39",
    "code_93",
    "code_128",
    "data_matrix",
    "ean_8",
    "ean_13",
    "itf",
    "pdf417",
    "qr_code",
    "upc_a",
    "upc_e",
];
/// The formats that are found as parallel bars.
const BARS: [&str; 10] =
    ["codabar", "code_39", "code_93", "code_128", "ean_8", "ean_13", "itf", "pdf417", "upc_a", "upc_e"];

#[derive(Deserialize)]
pub(crate) struct Settings {
    formats: Option<Vec<String>>,
    turned: bool,
}

/// A code that was read, in pixels of the window.
struct Code {
    format: &'static str,
    text: String,
    corners: Vec<[f64; 2]>,
}

impl Code {
    /// A code with these corners, sorted into the order of a walk around them; `None` where they span no area.
    fn new(format: &'static str, text: String, corners: &[[f64; 2]]) -> Option<Self> {
        let corners = clockwise_from_the_top_left(hull(corners.iter().copied()));
        (corners.len() > 2).then_some(Self { format, text, corners })
    }

    fn centre(&self) -> [f64; 2] {
        let count = self.corners.len().max(1) as f64;
        [0, 1].map(|axis| self.corners.iter().map(|corner| corner[axis]).sum::<f64>() / count)
    }

    /// Whether the other is the same code, or a part of it, read again: it has the same format and text, and the centre
    /// of one lies near the other.
    fn is(&self, other: &Self) -> bool {
        self.format == other.format
            && self.text == other.text
            && (self.is_near(other.centre()) || other.is_near(self.centre()))
    }

    /// Whether a place lies within the bounding box of the corners, or at most a quarter of its longer side outside it.
    fn is_near(&self, place: [f64; 2]) -> bool {
        let sides = [0, 1].map(|axis| {
            self.corners.iter().fold((f64::MAX, f64::MIN), |(low, high), corner| {
                (low.min(corner[axis]), high.max(corner[axis]))
            })
        });
        let near = sides.iter().fold(8.0_f64, |near, (low, high)| near.max((high - low) / 4.0));
        sides.iter().zip(place).all(|((low, high), at)| (low - near..=high + near).contains(&at))
    }

    /// Whether a place lies within the polygon of the corners.
    fn holds(&self, [x, y]: [f64; 2]) -> bool {
        let next = self.corners.iter().cycle().skip(1);
        self.corners.iter().zip(next).all(|(a, b)| (b[0] - a[0]) * (y - a[1]) >= (b[1] - a[1]) * (x - a[0]))
    }
}

impl Algorithm for Settings {
    const SPECIFICATION: &'static Specification = &SPECIFICATION;

    fn memory(&self, [width, height]: [usize; 2]) -> u64 {
        // The grey, the grey without the codes that have been read, what `rxing` holds of it, and its halves.
        let planes = bytes(width.saturating_mul(height), 6);
        let line = if width.min(height) < SHALLOWEST { 0 } else { width.max(height) };
        planes.saturating_add(bytes(line, LINE)).saturating_add(STRAIGHT)
    }

    fn detect(&self, scene: &Scene<'_>) -> Result<Findings, DetectError> {
        let window = scene.window;
        let mut codes = codes(&picture(&window), self, scene.deadline)?;
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

/// In a picture with a shorter side than this no line is looked at: neither regions of bars nor bullseyes fit.
const SHALLOWEST: usize = 8;
/// The bytes of a sample of a line, with its bars and spaces; and those of pictures of single codes.
const LINE: usize = 64;
const STRAIGHT: u64 = 64 << 20;

/// The grey of a window.
fn picture(window: &Window) -> Picture {
    let mut grey = vec![0; window.width * window.height];
    for (row, out) in grey.chunks_exact_mut(window.width).enumerate() {
        window.bytes(row, out);
    }
    Picture { grey, width: window.width, height: window.height }
}

/// The codes of all wanted formats.
fn codes(picture: &Picture, settings: &Settings, deadline: Deadline) -> Result<Vec<Code>, DetectError> {
    let wanted =
        |format: &str| settings.formats.as_ref().is_none_or(|words| words.iter().any(|word| word == format));
    let mut codes: Vec<Code> = Vec::new();
    let mut rest = picture.clone();
    for (word, format) in [("qr_code", BarcodeFormat::QR_CODE), ("data_matrix", BarcodeFormat::DATA_MATRIX)] {
        let found = if wanted(word) { matrix::codes(&mut rest, format, deadline)? } else { Vec::new() };
        for code in found.into_iter().filter_map(|code| Code::new(word, code.text, &code.corners)) {
            // A code that was read and painted over may leave a rest that is read again.
            if !codes.iter().any(|known| known.is(&code)) {
                codes.push(code);
            }
        }
    }
    drop(rest);
    if wanted("aztec") {
        let found = aztec::codes(picture, deadline)?;
        codes.extend(found.into_iter().filter_map(|code| Code::new("aztec", code.text, &code.corners)));
    }
    if BARS.iter().any(|format| wanted(format)) {
        let (linear, guards) = linear::codes(picture, &wanted, settings.turned, deadline)?;
        let stacked = stacked::codes(picture, &guards, deadline)?;
        codes.extend(stacked.into_iter().filter_map(|code| Code::new("pdf417", code.text, &code.corners)));
        let linear = linear.into_iter().filter_map(|code| Code::new(code.format, code.text, &code.corners));
        // A linear code found within a two-dimensional one is a part of that code, misread.
        let linear: Vec<_> =
            linear.filter(|code| !codes.iter().any(|other| other.holds(code.centre()))).collect();
        codes.extend(linear);
    }
    Ok(codes)
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
    fn formats_are_in_alphabetical_order_of_their_kind_and_named_once() {
        let mut words = FORMATS.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), FORMATS.len());
    }
}
