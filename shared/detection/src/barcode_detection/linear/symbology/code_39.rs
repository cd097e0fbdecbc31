//! Code 39 (ISO/IEC 16388), and its pairs of characters that stand for all of ASCII.

use super::{Reading, Symbology, TwoWidths, Wanted, ascii::shifted};
use crate::barcode_detection::profile::Bars;

pub(super) struct Code39;

const ALPHABET: &[u8; 44] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%*";
/// The bars and spaces that are wide, out of five bars and four spaces in turn, for each character of the alphabet.
const WIDE: [u16; 44] = [
    0b0_0011_0100,
    0b1_0010_0001,
    0b0_0110_0001,
    0b1_0110_0000,
    0b0_0011_0001,
    0b1_0011_0000,
    0b0_0111_0000,
    0b0_0010_0101,
    0b1_0010_0100,
    0b0_0110_0100,
    0b1_0000_1001,
    0b0_0100_1001,
    0b1_0100_1000,
    0b0_0001_1001,
    0b1_0001_1000,
    0b0_0101_1000,
    0b0_0000_1101,
    0b1_0000_1100,
    0b0_0100_1100,
    0b0_0001_1100,
    0b1_0000_0011,
    0b0_0100_0011,
    0b1_0100_0010,
    0b0_0001_0011,
    0b1_0001_0010,
    0b0_0101_0010,
    0b0_0000_0111,
    0b1_0000_0110,
    0b0_0100_0110,
    0b0_0001_0110,
    0b1_1000_0001,
    0b0_1100_0001,
    0b1_1100_0000,
    0b0_1001_0001,
    0b1_1001_0000,
    0b0_1101_0000,
    0b0_1000_0101,
    0b1_1000_0100,
    0b0_1100_0100,
    0b0_1010_1000,
    0b0_1010_0010,
    0b0_1000_1010,
    0b0_0010_1010,
    0b0_1001_0100,
];
const START: usize = 43;
/// The light before and after the symbol, in narrow widths. The standard asks for 10.
const QUIET: f32 = 5.0;
/// The largest gap between two characters, in narrow widths. The standard allows 3, or 5.3 where they are small.
const MOST_GAP: f32 = 5.5;
/// The weight with which the expected widths are updated by each character.
const LEARN: f32 = 0.25;
/// The width of a character as a part of that of the one before it.
const WIDTH: std::ops::Range<f32> = 0.8..1.25;

impl Symbology for Code39 {
    fn formats(&self) -> &'static [&'static str] {
        &["code_39"]
    }

    fn read(&self, bars: &Bars, start: usize, _: Wanted<'_>) -> Option<Reading> {
        let first = bars.widths.get(start..start + 9)?;
        let mut widths = TwoWidths::of(first, WIDE[START])?;
        let mut error = widths.error(first, WIDE[START]);
        if error > super::MOST_OF_TWO || bars.space_before(start) < QUIET * widths.narrow() {
            return None;
        }
        let (mut text, mut at, mut length) = (String::new(), start + 10, first.iter().sum::<f32>());
        loop {
            let character = bars.widths.get(at..at + 9)?;
            let (gap, now) = (bars.widths[at - 1], character.iter().sum::<f32>());
            if gap > MOST_GAP * widths.narrow() || !WIDTH.contains(&(now / length)) {
                return None;
            }
            widths = widths.scaled(now / length);
            length = now;
            let (value, own) = widths.nearest(character, &WIDE, 0.0)?;
            widths = widths.learning(character, WIDE[value], LEARN);
            error += own;
            if value == START {
                break;
            }
            text.push(ALPHABET[value].into());
            at += 10;
        }
        let end = at + 8;
        let characters = text.len();
        if characters < 2 || bars.space_behind(end) < QUIET * widths.narrow() {
            return None;
        }
        let text = full_ascii(&text).unwrap_or(text);
        let rows = if characters < 5 { 4 } else { 3 };
        Some(Reading { format: "code_39", text, end, error: error / (characters + 2) as f32, rows })
    }
}

/// A text decoded as Full ASCII; `None` where it has no pair, or a shift without its letter: then it is not meant as
/// such.
fn full_ascii(text: &str) -> Option<String> {
    let mut characters = text.chars().peekable();
    let (mut whole, mut pairs) = (String::with_capacity(text.len()), 0);
    while let Some(character) = characters.next() {
        whole.push(if "$%/+".contains(character) {
            pairs += 1;
            shifted(character, characters.next()?)?
        } else {
            character
        });
    }
    (pairs > 0).then_some(whole)
}
