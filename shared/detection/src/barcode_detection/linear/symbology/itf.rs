//! Interleaved 2 of 5 (ISO/IEC 16390).

use super::{Reading, Symbology, Wanted};
use crate::barcode_detection::profile::Bars;

pub(super) struct Itf;

/// The bars that are wide, out of the five of a digit; likewise the spaces.
const WIDE: [u8; 10] =
    [0b00110, 0b10001, 0b01001, 0b11000, 0b00101, 0b10100, 0b01100, 0b00011, 0b10010, 0b01010];
/// The light before and after the symbol, in narrow widths. The standard asks for 10. The symbology has no check, and
/// parts of other symbols look like it, so light is needed.
const QUIET: f32 = 6.0;
/// The least width that counts as wide, as a part of the middle between wide and narrow.
const APART: f32 = 1.12;
/// The least number of digits. Shorter symbols are found by chance almost anywhere.
const FEWEST: usize = 6;

impl Symbology for Itf {
    fn formats(&self) -> &'static [&'static str] {
        &["itf"]
    }

    fn read(&self, bars: &Bars, start: usize, _: Wanted<'_>) -> Option<Reading> {
        let first = bars.widths.get(start..start + 4)?;
        let mut narrow = first.iter().sum::<f32>() / 4.0;
        let near = |width: f32, of: f32| (0.5..1.6).contains(&(width / of));
        // Ink spreads from bars into spaces, so bars are compared with bars, and spaces with spaces.
        let alike =
            near(first[0], first[2]) && near(first[1], first[3]) && near(first[0] + first[1], 2.0 * narrow);
        if !alike || bars.space_before(start) < QUIET * narrow || (first[0] / first[1]).ln().abs() > 1.1 {
            return None;
        }
        let (mut text, mut at, mut error, mut length) = (String::new(), start + 4, 0.0, None);
        let end = loop {
            if let Some(end) = stop(bars, at, narrow) {
                break end;
            }
            let pair = bars.widths.get(at..at + 10)?;
            let now: f32 = pair.iter().sum();
            // A pair of digits has the width of ten narrow elements, plus four times the difference of wide and narrow.
            let is_wide_enough = (12.5..26.0).contains(&(now / narrow));
            if !is_wide_enough || length.is_some_and(|before| !(0.7..1.43).contains(&(now / before))) {
                return None;
            }
            length = Some(now);
            let mut narrows = 0.0;
            for parity in 0..2 {
                let (digit, own_narrow, own) = digit(std::array::from_fn(|index| pair[2 * index + parity]))?;
                text.push(char::from(b'0' + digit));
                error += own;
                narrows += own_narrow;
            }
            narrow = narrows / 2.0;
            at += 10;
        };
        let digits = text.len();
        (digits >= FEWEST).then(|| Reading {
            format: "itf",
            end,
            error: error / digits as f32,
            rows: if digits < 10 { 4 } else { 3 },
            text,
        })
    }
}

/// The index of the last bar of a stop pattern that begins with the bar `at`: a wide bar, a narrow space, a narrow bar,
/// and light.
fn stop(bars: &Bars, at: usize, narrow: f32) -> Option<usize> {
    let &[wide, space, bar] = bars.widths.get(at..at + 3)? else { return None };
    let fits = (1.5..4.5).contains(&(wide / narrow)) && wide > 1.35 * bar;
    let narrows = [space, bar].iter().all(|it| (0.4..1.7).contains(&(it / narrow)));
    (fits && narrows && bars.space_behind(at + 2) >= QUIET * narrow).then_some(at + 2)
}

/// The digit of five bars or five spaces, of which the two widest are the wide ones; the width of the narrow ones; and
/// the distance of all from two widths.
fn digit(widths: [f32; 5]) -> Option<(u8, f32, f32)> {
    let mut sorted = widths;
    sorted.sort_by(f32::total_cmp);
    let [_, _, narrow, wide, _] = sorted;
    let middle = (narrow + wide) / 2.0;
    if wide < APART * middle {
        return None;
    }
    let wides = widths.iter().fold(0, |wides, width| wides << 1 | u8::from(*width > middle));
    let digit = WIDE.iter().position(|it| *it == wides)? as u8;
    let [narrows, wider] = [&sorted[..3], &sorted[3..]].map(|them| {
        let mean = them.iter().sum::<f32>() / them.len() as f32;
        (mean, them.iter().map(|it| (it - mean) * (it - mean)).sum::<f32>())
    });
    let error = (narrows.1 + wider.1) / (5.0 * narrows.0 * narrows.0);
    (error < super::MOST_ERROR && (1.5..4.5).contains(&(wider.0 / narrows.0)))
        .then_some((digit, narrows.0, error))
}
