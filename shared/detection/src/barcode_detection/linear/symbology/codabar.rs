//! Codabar (AIM USS-Codabar, EN 798).

use super::{Reading, Symbology, TwoWidths, Wanted};
use crate::barcode_detection::profile::Bars;

pub(super) struct Codabar;

const ALPHABET: &[u8; 20] = b"0123456789-$:/.+ABCD";
/// The bars and spaces that are wide, out of four bars and three spaces in turn, for each character of the alphabet.
const WIDE: [u16; 20] = [
    0b000_0011, 0b000_0110, 0b000_1001, 0b110_0000, 0b001_0010, 0b100_0010, 0b010_0001, 0b010_0100,
    0b011_0000, 0b100_1000, 0b000_1100, 0b001_1000, 0b100_0101, 0b101_0001, 0b101_0100, 0b001_0101,
    0b001_1010, 0b010_1001, 0b000_1011, 0b000_1110,
];
/// The indices of the letters that a symbol begins and ends with.
const LETTERS: std::ops::Range<usize> = 16..20;
/// The light before and after the symbol, in narrow widths. The standard asks for 10.
const QUIET: f32 = 5.5;
/// The weight of a character's own widths against those of the characters before it, and the weight with which these
/// are updated by it. In print after the first specification, the wide spaces of letters are narrower than those of
/// digits.
const OWN: f32 = 0.5;
const LEARN: f32 = 0.25;
/// The largest gap between two characters, in narrow widths.
const MOST_GAP: f32 = 5.0;
/// The least number of characters between the letters. Shorter symbols are found by chance almost anywhere.
const FEWEST: usize = 3;

impl Symbology for Codabar {
    fn formats(&self) -> &'static [&'static str] {
        &["codabar"]
    }

    fn read(&self, bars: &Bars, start: usize, _: Wanted<'_>) -> Option<Reading> {
        let first = bars.widths.get(start..start + 7)?;
        let letters = LETTERS.filter_map(|letter| {
            let widths = TwoWidths::of(first, WIDE[letter])?;
            Some((letter, widths, widths.error(first, WIDE[letter])))
        });
        let (letter, mut widths, mut error) = letters.min_by(|a, b| a.2.total_cmp(&b.2))?;
        if error > super::MOST_OF_TWO || bars.space_before(start) < QUIET * widths.narrow() {
            return None;
        }
        let (mut text, mut at) = (String::from(char::from(ALPHABET[letter])), start + 8);
        loop {
            let character = bars.widths.get(at..at + 7)?;
            if bars.widths[at - 1] > MOST_GAP * widths.narrow() {
                return None;
            }
            let (value, own) = widths.nearest(character, &WIDE, OWN)?;
            widths = widths.learning(character, WIDE[value], LEARN);
            error += own;
            text.push(ALPHABET[value].into());
            if LETTERS.contains(&value) {
                break;
            }
            at += 8;
        }
        let end = at + 6;
        if text.len() < FEWEST + 2 || bars.space_behind(end) < QUIET * widths.narrow() {
            return None;
        }
        let rows = if text.len() < 8 { 4 } else { 3 };
        let error = error / text.len() as f32;
        Some(Reading { format: "codabar", text, end, error, rows })
    }
}
