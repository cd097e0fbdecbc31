//! EAN-13, EAN-8, UPC-A and UPC-E (ISO/IEC 15420). UPC-A is an EAN-13 that begins with 0.

use super::{Gauge, Reading, Symbology, Wanted};
use crate::barcode_detection::profile::Bars;

pub(super) struct Ean;

/// The digits of number set A, as the widths of a space, a bar, a space and a bar. Those of set B are the same
/// backwards; those of set C are the same with bars and spaces exchanged.
const SET_A: [[u8; 4]; 10] = [
    [3, 2, 1, 1],
    [2, 2, 2, 1],
    [2, 1, 2, 2],
    [1, 4, 1, 1],
    [1, 1, 3, 2],
    [1, 2, 3, 1],
    [1, 1, 1, 4],
    [1, 3, 1, 2],
    [1, 2, 1, 3],
    [3, 1, 1, 2],
];
/// The digits that are of set B, out of the six on the left, for each first digit of an EAN-13.
const FIRST_DIGITS: [u8; 10] = [
    0b00_0000, 0b00_1011, 0b00_1101, 0b00_1110, 0b01_0011, 0b01_1001, 0b01_1100, 0b01_0101, 0b01_0110,
    0b01_1010,
];
/// The digits that are of set B, out of the six of a UPC-E of number system 0, for each check digit. In system 1 the
/// others are of set B.
const CHECK_DIGITS: [u8; 10] = [
    0b11_1000, 0b11_0100, 0b11_0010, 0b11_0001, 0b10_1100, 0b10_0110, 0b10_0011, 0b10_1010, 0b10_1001,
    0b10_0101,
];
/// The light before a symbol, in modules. The standard asks for 7 to 11; print and photographs shorten it.
const QUIET: f32 = 5.0;
/// The width of a digit as a part of the expected one. On a bottle, the digits at the ends are narrower.
const DIGIT: std::ops::Range<f32> = 0.72..1.35;

/// The structure of a symbol: digits on either side of a middle guard, and an end guard.
struct Layout {
    left: usize,
    /// The widths of the middle guard, and of the end guard.
    middle: &'static [u8],
    right: usize,
    end: &'static [u8],
    /// The light after the symbol, in modules.
    quiet: f32,
}

const EAN_13: Layout = Layout { left: 6, middle: &[1; 5], right: 6, end: &[1; 3], quiet: 2.5 };
const EAN_8: Layout = Layout { left: 4, middle: &[1; 5], right: 4, end: &[1; 3], quiet: 3.5 };
const UPC_E: Layout = Layout { left: 6, middle: &[], right: 0, end: &[1; 6], quiet: 4.0 };
const START: [u8; 3] = [1; 3];

impl Symbology for Ean {
    fn formats(&self) -> &'static [&'static str] {
        &["ean_13", "ean_8", "upc_a", "upc_e"]
    }

    fn read(&self, bars: &Bars, start: usize, wanted: Wanted<'_>) -> Option<Reading> {
        // All of these symbols begin with light, and a bar, a space and a bar of one module each.
        let guard = bars.widths.get(start..start + START.len())?;
        let gauge = Gauge::of(guard, &START);
        if bars.space_before(start) < QUIET * gauge.module * 0.7 || gauge.error(guard, &START, true) > 0.3 {
            return None;
        }
        let ean_13 = || wanted("ean_13") || wanted("upc_a");
        let read = |layout: &Layout, say: fn(&Digits) -> Option<(&'static str, String)>, rows: usize| {
            let digits = layout.digits(bars, start)?;
            let (format, text) = say(&digits)?;
            Some(Reading { format, text, end: digits.end, error: digits.error, rows })
        };
        let reading = None
            .or_else(|| if ean_13() { read(&EAN_13, Digits::ean_13, 2) } else { None })
            .or_else(|| if wanted("ean_8") { read(&EAN_8, Digits::ean_8, 3) } else { None })
            .or_else(|| if wanted("upc_e") { read(&UPC_E, Digits::upc_e, 3) } else { None })?;
        match reading.format {
            "upc_a" if !wanted("upc_a") => {
                Some(Reading { format: "ean_13", text: format!("0{}", reading.text), ..reading })
            }
            format => wanted(format).then_some(reading),
        }
    }
}

/// The digits of a symbol.
struct Digits {
    digits: Vec<u8>,
    /// The digits on the left that are of set B, with one bit for each, the last one's lowest.
    set_b: u8,
    end: usize,
    error: f32,
}

impl Layout {
    fn digits(&self, bars: &Bars, start: usize) -> Option<Digits> {
        let left = start + START.len();
        let middle = left + 4 * self.left;
        let right = middle + self.middle.len();
        let end = right + 4 * self.right;
        let behind = end + self.end.len();
        let widths = bars.widths.get(..behind)?;
        let modules = START.len() + 7 * (self.left + self.right) + self.middle.len() + self.end.len();
        let module = widths[start..].iter().sum::<f32>() / modules as f32;
        if bars.space_before(start) < QUIET * module || bars.space_behind(behind - 1) < self.quiet * module {
            return None;
        }
        // The guards show how far ink has spread. The first one begins with a bar, the middle one with a space; so does
        // the end of UPC-E, which has no middle.
        let guards = [
            (start, &START[..], 1.0),
            (middle, self.middle, -1.0),
            (end, self.end, if end == middle { -1.0 } else { 1.0 }),
        ];
        let (mut beyond, mut count, mut error) = (0.0, 0.0, 0.0);
        for (at, guard, sign) in guards {
            let guard = &widths[at..at + guard.len()];
            let all = guard.iter().sum::<f32>() / (guard.len() as f32 * module);
            if !guard.is_empty() && !(0.6..1.6).contains(&all) {
                return None;
            }
            for (index, width) in guard.iter().enumerate() {
                let off = width / module - 1.0;
                beyond += sign * if index % 2 == 0 { off } else { -off };
                error += off * off;
                count += 1.0;
            }
        }
        let spread: f32 = beyond / count;
        if error / count > 0.3 + spread * spread {
            return None;
        }
        let gauge = Gauge { module, spread };

        let mut digits = Digits { digits: Vec::with_capacity(13), set_b: 0, end: behind - 1, error: 0.0 };
        for index in 0..self.left + self.right {
            let is_left = index < self.left;
            let at = if is_left { left + 4 * index } else { right + 4 * (index - self.left) };
            let widths = &widths[at..at + 4];
            let fitted = gauge.fitted(widths, 7);
            if !DIGIT.contains(&(fitted.module / module)) {
                return None;
            }
            let (digit, error) = fitted.nearest(widths, &SET_A, !is_left).unwrap_or((0, f32::MAX));
            let backwards = [widths[3], widths[2], widths[1], widths[0]];
            // A digit of set B ends with a bar, so backwards it begins with one.
            let set_b = if is_left { fitted.nearest(&backwards, &SET_A, true) } else { None };
            let (digit, error) = match set_b {
                Some((digit, less)) if less < error => {
                    digits.set_b |= 1 << (self.left - 1 - index);
                    (digit, less)
                }
                _ => (digit, error),
            };
            if error == f32::MAX {
                return None;
            }
            digits.digits.push(digit as u8);
            digits.error += error / (self.left + self.right) as f32;
        }
        Some(digits)
    }
}

impl Digits {
    fn ean_13(&self) -> Option<(&'static str, String)> {
        let first = FIRST_DIGITS.iter().position(|it| *it == self.set_b)? as u8;
        let mut digits = vec![first];
        digits.extend(&self.digits);
        is_checked(&digits).then(|| match first {
            0 => ("upc_a", text(&digits[1..])),
            _ => ("ean_13", text(&digits)),
        })
    }

    fn ean_8(&self) -> Option<(&'static str, String)> {
        (self.set_b == 0 && is_checked(&self.digits)).then(|| ("ean_8", text(&self.digits)))
    }

    /// The sets of the six digits encode the number system and the check digit. The check digit is that of the UPC-A
    /// that the symbol abbreviates.
    fn upc_e(&self) -> Option<(&'static str, String)> {
        let check = |sets: u8| CHECK_DIGITS.iter().position(|it| *it == sets);
        let (system, check) = match (check(self.set_b), check(0b11_1111 & !self.set_b)) {
            (Some(check), _) => (0, check as u8),
            (_, Some(check)) => (1, check as u8),
            _ => return None,
        };
        let &[a, b, c, d, e, f] = &self.digits[..] else { return None };
        let number = match f {
            0..=2 => [a, b, f, 0, 0, 0, 0, c, d, e],
            3 => [a, b, c, 0, 0, 0, 0, 0, d, e],
            4 => [a, b, c, d, 0, 0, 0, 0, 0, e],
            _ => [a, b, c, d, e, 0, 0, 0, 0, f],
        };
        let mut whole = vec![system];
        whole.extend(number);
        whole.push(check);
        let mut shown = vec![system];
        shown.extend(&self.digits);
        shown.push(check);
        is_checked(&whole).then(|| ("upc_e", text(&shown)))
    }
}

/// Whether the last digit is the check digit of the others. From the right, the weights are 1 and 3 in turn.
fn is_checked(digits: &[u8]) -> bool {
    let sum: u32 =
        digits.iter().rev().zip([1, 3].iter().cycle()).map(|(digit, by)| u32::from(*digit) * by).sum();
    sum.is_multiple_of(10)
}

fn text(digits: &[u8]) -> String {
    digits.iter().map(|digit| char::from(b'0' + digit)).collect()
}
