//! Code 93 (AIM USS-93).

use super::{Gauge, Reading, Symbology, Wanted, ascii::shifted};
use crate::barcode_detection::profile::Bars;

pub(super) struct Code93;

/// The letters a to d stand for the shifts ($), (%), (/) and (+), the asterisk for the start and the stop.
const ALPHABET: &[u8; 48] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%abcd*";
/// The widths of the characters: three bars and three spaces in turn, of nine modules together.
const CHARACTERS: [[u8; 6]; 48] = super::code_128::unpacked([
    131112, 111213, 111312, 111411, 121113, 121212, 121311, 111114, 131211, 141111, 211113, 211212, 211311,
    221112, 221211, 231111, 112113, 112212, 112311, 122112, 132111, 111123, 111222, 111321, 121122, 131121,
    212112, 212211, 211122, 211221, 221121, 222111, 112122, 112221, 122121, 123111, 121131, 311112, 311211,
    321111, 112131, 113121, 211131, 121221, 312111, 311121, 122211, 111141,
]);
const START: usize = 47;
/// The light before and after the symbol, in modules. The standard asks for 10.
const QUIET: f32 = 5.0;
/// The width of a character as a part of that of the one before it.
const WIDTH: std::ops::Range<f32> = 0.8..1.25;

impl Symbology for Code93 {
    fn formats(&self) -> &'static [&'static str] {
        &["code_93"]
    }

    fn read(&self, bars: &Bars, start: usize, _: Wanted<'_>) -> Option<Reading> {
        let first = bars.widths.get(start..start + 6)?;
        let mut gauge = Gauge::of(first, &CHARACTERS[START]);
        let mut error = gauge.error(first, &CHARACTERS[START], true);
        if error > super::MOST_ERROR || bars.space_before(start) < QUIET * gauge.module {
            return None;
        }
        let (mut values, mut at) = (Vec::new(), start + 6);
        loop {
            let widths = bars.widths.get(at..at + 6)?;
            let fitted = gauge.fitted(widths, 9);
            if !WIDTH.contains(&(fitted.module / gauge.module)) {
                return None;
            }
            let (value, own) = fitted.nearest(widths, &CHARACTERS, true)?;
            (gauge, error, at) = (fitted, error + own, at + 6);
            if value == START {
                break;
            }
            values.push(value);
        }
        // The stop is followed by a bar of one module.
        let last = bars.widths.get(at)? / gauge.module;
        if !(0.4..2.0).contains(&last) || bars.space_behind(at) < QUIET * gauge.module {
            return None;
        }
        let characters = values.len() + 2;
        let (data, checks) = values.split_at(values.len().checked_sub(2).filter(|count| *count > 0)?);
        if check(data, 20) != checks[0] || check(&values[..=data.len()], 15) != checks[1] {
            return None;
        }
        let text = text(data)?;
        let rows = if data.len() < 3 { 3 } else { 2 };
        Some(Reading { format: "code_93", text, end: at, error: error / characters as f32, rows })
    }
}

/// The check character for values. From the right, their weights are 1, 2 and so on up to `most`, and then 1 again.
fn check(values: &[usize], most: usize) -> usize {
    values.iter().rev().enumerate().map(|(at, value)| (at % most + 1) * value).sum::<usize>() % 47
}

fn text(values: &[usize]) -> Option<String> {
    let mut text = String::with_capacity(values.len());
    let mut characters = values.iter().map(|value| char::from(ALPHABET[*value]));
    while let Some(character) = characters.next() {
        let shift = match character {
            'a' => '$',
            'b' => '%',
            'c' => '/',
            'd' => '+',
            _ => {
                text.push(character);
                continue;
            }
        };
        text.push(shifted(shift, characters.next()?)?);
    }
    Some(text)
}
