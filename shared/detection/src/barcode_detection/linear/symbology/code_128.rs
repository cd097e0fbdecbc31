//! Code 128 and GS1-128 (ISO/IEC 15417).

use super::{Gauge, Reading, Symbology, Wanted};
use crate::barcode_detection::profile::Bars;

pub(super) struct Code128;

/// The widths of the symbol characters: three bars and three spaces in turn, of eleven modules together.
const CHARACTERS: [[u8; 6]; 106] = unpacked([
    212222, 222122, 222221, 121223, 121322, 131222, 122213, 122312, 132212, 221213, 221312, 231212, 112232,
    122132, 122231, 113222, 123122, 123221, 223211, 221132, 221231, 213212, 223112, 312131, 311222, 321122,
    321221, 312212, 322112, 322211, 212123, 212321, 232121, 111323, 131123, 131321, 112313, 132113, 132311,
    211313, 231113, 231311, 112133, 112331, 132131, 113123, 113321, 133121, 313121, 211331, 231131, 213113,
    213311, 213131, 311123, 311321, 331121, 312113, 312311, 332111, 314111, 221411, 431111, 111224, 111422,
    121124, 121421, 141122, 141221, 112214, 112412, 122114, 122411, 142112, 142211, 241211, 221114, 413111,
    241112, 134111, 111242, 121142, 121241, 114212, 124112, 124211, 411212, 421112, 421211, 212141, 214121,
    412121, 111143, 111341, 131141, 114113, 114311, 411113, 411311, 113141, 114131, 311141, 411131, 211412,
    211214, 211232,
]);
const STOP: [u8; 7] = [2, 3, 3, 1, 1, 1, 2];
const START_A: u8 = 103;
const START_C: u8 = 105;
/// The light before and after the symbol, in modules. The standard asks for 10.
const QUIET: f32 = 4.5;
/// The width of a character as a part of that of the one before it.
const WIDTH: std::ops::Range<f32> = 0.8..1.25;

/// Splits each number into its six decimal digits, the first one first.
pub(super) const fn unpacked<const N: usize>(packed: [u32; N]) -> [[u8; 6]; N] {
    let mut widths = [[0; 6]; N];
    let mut index = 0;
    while index < N {
        let (mut rest, mut at) = (packed[index], 6);
        while at > 0 {
            at -= 1;
            widths[index][at] = (rest % 10) as u8;
            rest /= 10;
        }
        index += 1;
    }
    widths
}

impl Symbology for Code128 {
    fn formats(&self) -> &'static [&'static str] {
        &["code_128"]
    }

    fn read(&self, bars: &Bars, start: usize, _: Wanted<'_>) -> Option<Reading> {
        let first = bars.widths.get(start..start + 6)?;
        let nearest = (START_A..=START_C)
            .map(|value| {
                let pattern = &CHARACTERS[usize::from(value)];
                let gauge = Gauge::of(first, pattern);
                (value, gauge, gauge.error(first, pattern, true))
            })
            .min_by(|a, b| a.2.total_cmp(&b.2))?;
        let (value, mut gauge, mut error) = nearest;
        if error > super::MOST_ERROR || bars.space_before(start) < QUIET * gauge.module {
            return None;
        }
        let (mut values, mut at) = (vec![value], start + 6);
        loop {
            let stop = bars.widths.get(at..at + STOP.len())?;
            let fitted = gauge.fitted(stop, 13);
            let own = fitted.error(stop, &STOP, true);
            let quiet = bars.space_behind(at + STOP.len() - 1) >= QUIET * fitted.module;
            if quiet && own < super::MOST_ERROR && WIDTH.contains(&(fitted.module / gauge.module)) {
                error += own;
                break;
            }
            let widths = bars.widths.get(at..at + 6)?;
            let fitted = gauge.fitted(widths, 11);
            if !WIDTH.contains(&(fitted.module / gauge.module)) {
                return None;
            }
            let (value, own) = fitted.nearest(widths, &CHARACTERS, true)?;
            values.push(value as u8);
            (gauge, error, at) = (fitted, error + own, at + 6);
        }
        let check = values.pop().filter(|_| values.len() > 1)?;
        let sum: usize = values.iter().enumerate().map(|(at, value)| at.max(1) * usize::from(*value)).sum();
        if sum % 103 != usize::from(check) {
            return None;
        }
        let text = text(&values)?;
        let error = error / (values.len() + 2) as f32;
        let rows = if values.len() < 5 { 3 } else { 2 };
        Some(Reading { format: "code_128", text, end: at + STOP.len() - 1, error, rows })
    }
}

/// The code sets.
#[derive(Clone, Copy, PartialEq)]
enum Set {
    A,
    B,
    C,
}

/// The text of symbol characters, of which the first is the start character; `None` where it is empty, or where a start
/// character comes again.
///
/// FNC1 becomes U+001D, which separates fields. It is dropped where it marks the data as GS1's or another industry's:
/// in the first place, or after one letter or two digits. FNC2 and FNC3 are instructions to readers and are dropped.
fn text(values: &[u8]) -> Option<String> {
    let (first, values) = values.split_first()?;
    let mut set = [Set::A, Set::B, Set::C][usize::from(first.checked_sub(START_A)?)];
    let mut text = String::new();
    // FNC4 adds 128 to the next character; twice, to all characters until the next two.
    let (mut shifted, mut high, mut next_high) = (None, false, false);
    for &value in values {
        let now = shifted.take().unwrap_or(set);
        match (now, value) {
            (_, 103..) => return None,
            (_, 102) => {
                let chars = text.chars().count();
                let is_letter = chars == 1 && text.chars().all(|it| it.is_ascii_alphabetic());
                let is_number = chars == 2 && text.chars().all(|it| it.is_ascii_digit());
                if !(text.is_empty() || is_letter || is_number) {
                    text.push('\u{1d}');
                }
            }
            (Set::C, 0..100) => {
                text.extend([value / 10, value % 10].map(|digit| char::from(b'0' + digit)));
            }
            (Set::C, 100) | (Set::A, 100) => set = Set::B,
            (Set::C, _) | (Set::B, 101) => set = Set::A,
            (_, 99) => set = Set::C,
            (_, 98) => shifted = Some(if now == Set::A { Set::B } else { Set::A }),
            (_, 96 | 97) => {}
            (Set::A, 101) | (Set::B, 100) => {
                if next_high {
                    high = !high;
                }
                next_high = !next_high;
            }
            (Set::A, 64..) => push(&mut text, value - 64, high != std::mem::take(&mut next_high)),
            (Set::A | Set::B, _) => push(&mut text, value + 32, high != std::mem::take(&mut next_high)),
        }
    }
    (!text.is_empty()).then_some(text)
}

/// Appends a character of ASCII or, where `high`, of the upper half of Latin-1.
fn push(text: &mut String, code: u8, high: bool) {
    text.push(char::from(if high { code | 0x80 } else { code }));
}
