//! The first and the last bars of PDF417 (ISO/IEC 15438), which go from its top to its bottom. They tell where such a
//! code lies; the text is read by `rxing`.

use super::{Gauge, Reading, Symbology, Wanted};
use crate::barcode_detection::profile::Bars;

pub(super) struct Pdf417;

const START: [u8; 7] = [8, 1, 1, 1, 1, 1, 1];
const STOP: [u8; 9] = [7, 1, 1, 3, 1, 1, 1, 2, 1];
/// The light before the start and after the stop, in modules. The standard asks for 2.
const QUIET: f32 = 1.5;
/// The largest error. It may be small, because no other symbology has widths like these.
const MOST_ERROR: f32 = 0.12;

/// The texts that stand for a start and for a stop.
pub(in super::super) const START_TEXT: &str = "start";
const STOP_TEXT: &str = "stop";

impl Symbology for Pdf417 {
    fn formats(&self) -> &'static [&'static str] {
        &["pdf417"]
    }

    fn light(&self) -> f32 {
        0.1
    }

    fn read(&self, bars: &Bars, start: usize, _: Wanted<'_>) -> Option<Reading> {
        let reading = |pattern: &[u8], text: &str, is_quiet: &dyn Fn(f32) -> bool| {
            let end = start + pattern.len() - 1;
            let widths = bars.widths.get(start..=end)?;
            if widths[0] < 3.0 * widths[1] {
                return None;
            }
            let gauge = Gauge::of(widths, pattern);
            let error = gauge.error(widths, pattern, true);
            let is_one = error < MOST_ERROR && is_quiet(gauge.module);
            is_one.then(|| Reading { format: "pdf417", text: text.to_owned(), end, error, rows: 3 })
        };
        // A start is followed by a space of three modules.
        let begins = |module: f32| {
            let behind = bars.space_behind(start + START.len() - 1) / module;
            bars.space_before(start) >= QUIET * module && (2.3..3.7).contains(&behind)
        };
        let ends = |module: f32| bars.space_behind(start + STOP.len() - 1) >= QUIET * module;
        reading(&START, START_TEXT, &begins).or_else(|| reading(&STOP, STOP_TEXT, &ends))
    }
}
