//! Fax compression: rows of black and white, coded as run lengths (ITU-T T.4, "group 3") or as changes from the
//! previous row (the two-dimensional coding of T.4, and T.6, "group 4"). White pixels become 0, black ones 1.
//!
//! The codes are those of ITU-T T.4 (2003), tables 2, 3a, 3b and 4.

use super::page::FaxKind;

/// A decoder for the rows of a fax.
pub(super) struct Fax {
    kind: FaxKind,
    width: usize,
    /// The number of bits that were read.
    read: usize,
    /// The columns in which the colour changes in the previous row: first to black, then to white, and so on.
    before: Vec<usize>,
    /// The same for the current row.
    changes: Vec<usize>,
    ended: bool,
}

/// A row ends before its last pixel.
struct Broken;

impl Fax {
    pub(super) fn new(kind: FaxKind, width: u32) -> Self {
        Self { kind, width: width as usize, read: 0, before: Vec::new(), changes: Vec::new(), ended: false }
    }

    /// Decodes one row; false if there are no more.
    pub(super) fn row(&mut self, packed: &[u8], out: &mut [u8]) -> bool {
        if self.ended || self.read >= packed.len() * 8 {
            return false;
        }
        std::mem::swap(&mut self.before, &mut self.changes);
        self.changes.clear();
        let mut bits = Bits { packed, read: self.read };
        let whole = match self.kind {
            FaxKind::Rows { align } => {
                bits.read = bits.read.next_multiple_of(align);
                self.runs(&mut bits).is_ok()
            }
            FaxKind::Group4 => self.differences(&mut bits).is_ok(),
            FaxKind::Group3 { two_dimensional } => self.line(&mut bits, two_dimensional),
        };
        self.read = bits.read;
        self.ended = !whole;
        if self.changes.is_empty() && !whole {
            return false;
        }
        self.draw(out);
        true
    }

    /// Decodes a line of group 3. If it is damaged, it is shown as far as it goes, and the next line is searched.
    fn line(&mut self, bits: &mut Bits<'_>, two_dimensional: bool) -> bool {
        let mut ends = 0;
        while bits.end_of_line() {
            ends += 1;
            if two_dimensional && bits.peek(1) == 1 && ends > 1 {
                bits.read += 1;
            }
        }
        if ends > 1 && self.read > 0 {
            // Two end-of-line codes in a row end the page.
            return false;
        }
        let one_dimensional = !two_dimensional || ends == 0 || bits.take(1) == 1;
        let row = if one_dimensional { self.runs(bits) } else { self.differences(bits) };
        if row.is_err() {
            while bits.left() > 0 && bits.peek(12) != 1 {
                bits.read += 1;
            }
        }
        true
    }

    /// Decodes a row of run lengths, white first.
    fn runs(&mut self, bits: &mut Bits<'_>) -> Result<(), Broken> {
        let (mut at, mut black) = (0, false);
        while at < self.width {
            at += bits.run(black)?;
            self.change(at)?;
            black = !black;
        }
        Ok(())
    }

    /// Decodes a row of differences to the previous one.
    fn differences(&mut self, bits: &mut Bits<'_>) -> Result<(), Broken> {
        // The position before the first pixel is imaginary, so that a change at the first pixel counts.
        let (mut at, mut black, mut near) = (None, false, 0);
        while at.unwrap_or(0) < self.width {
            let (first, second) = self.next_changes(at, black, &mut near);
            match bits.mode()? {
                Mode::Pass => at = Some(second),
                Mode::Horizontal => {
                    let one = at.unwrap_or(0) + bits.run(black)?;
                    let two = one + bits.run(!black)?;
                    self.change(one)?;
                    self.change(two)?;
                    at = Some(two);
                }
                Mode::Vertical(offset) => {
                    let here = first.checked_add_signed(offset).ok_or(Broken)?;
                    if here < at.unwrap_or(0) {
                        return Err(Broken);
                    }
                    self.change(here)?;
                    black = !black;
                    at = Some(here);
                }
            }
        }
        Ok(())
    }

    /// The next change in the previous row to the opposite of the current colour, and the change after it.
    fn next_changes(&self, at: Option<usize>, black: bool, near: &mut usize) -> (usize, usize) {
        let change = |index: usize| self.before.get(index).copied().unwrap_or(self.width);
        if (*near % 2 == 1) != black {
            *near = if *near > 0 { *near - 1 } else { 1 };
        }
        while at.is_some_and(|at| change(*near) <= at) && change(*near) < self.width {
            *near += 2;
        }
        (change(*near), change(*near + 1))
    }

    /// Records a change of colour. A row with more changes than pixels, which runs of length zero can produce, is
    /// invalid.
    fn change(&mut self, at: usize) -> Result<(), Broken> {
        if self.changes.len() > self.width + 2 {
            return Err(Broken);
        }
        self.changes.push(at.min(self.width));
        Ok(())
    }

    fn draw(&self, out: &mut [u8]) {
        out.fill(0);
        for run in self.changes.chunks(2) {
            let end = run.get(1).copied().unwrap_or(self.width).min(out.len() * 8);
            for at in run[0]..end {
                out[at / 8] |= 0x80 >> (at % 8);
            }
        }
    }
}

/// The meaning of a two-dimensional code.
enum Mode {
    Pass,
    Horizontal,
    Vertical(isize),
}

/// Reads bits, the highest of a byte first; after the end it returns zeros.
struct Bits<'a> {
    packed: &'a [u8],
    read: usize,
}

impl Bits<'_> {
    fn left(&self) -> usize {
        (self.packed.len() * 8).saturating_sub(self.read)
    }

    /// The next bits, at most 16.
    fn peek(&self, count: usize) -> usize {
        let rest = self.packed.get(self.read / 8..).unwrap_or_default();
        let byte = |at: usize| rest.get(at).copied().map_or(0, usize::from);
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        word >> (24 - count - self.read % 8) & ((1 << count) - 1)
    }

    fn take(&mut self, count: usize) -> usize {
        let bits = self.peek(count);
        self.read += count;
        bits
    }

    /// Reads an end-of-line code and the fill bits before it, if they come next.
    fn end_of_line(&mut self) -> bool {
        if self.peek(11) != 0 {
            return false;
        }
        let start = self.read;
        while self.left() > 0 {
            if self.take(1) == 1 {
                return true;
            }
        }
        self.read = start;
        false
    }

    /// Reads a run length: any number of codes for multiples of 64, and one for the remainder.
    fn run(&mut self, black: bool) -> Result<usize, Broken> {
        let table: &[(u16, u8)] = if black { &BLACK } else { &WHITE };
        let mut length = 0_usize;
        loop {
            let (run, bits) = table[self.peek(LONGEST)];
            if bits == 0 || self.left() == 0 {
                return Err(Broken);
            }
            self.read += usize::from(bits);
            length = length.saturating_add(run.into());
            if run < 64 {
                return Ok(length);
            }
        }
    }

    fn mode(&mut self) -> Result<Mode, Broken> {
        let (mode, bits) = match self.peek(7) {
            0b100_0000.. => (Mode::Vertical(0), 1),
            0b011_0000.. => (Mode::Vertical(1), 3),
            0b010_0000.. => (Mode::Vertical(-1), 3),
            0b001_0000.. => (Mode::Horizontal, 3),
            0b000_1000.. => (Mode::Pass, 4),
            0b000_0110.. => (Mode::Vertical(2), 6),
            0b000_0100.. => (Mode::Vertical(-2), 6),
            0b000_0011 => (Mode::Vertical(3), 7),
            0b000_0010 => (Mode::Vertical(-3), 7),
            // The end of the page, or an extension that nobody uses.
            _ => return Err(Broken),
        };
        if self.left() == 0 {
            return Err(Broken);
        }
        self.read += bits;
        Ok(mode)
    }
}

/// The length of the longest code in bits.
const LONGEST: usize = 13;

/// For all values of so many bits: the run length of the code that they begin with, and the code's length, or 0 if
/// there is none.
type Table = [(u16, u8); 1 << LONGEST];

static WHITE: Table = table(WHITE_ENDS, WHITE_MULTIPLES);
static BLACK: Table = table(BLACK_ENDS, BLACK_MULTIPLES);

/// Builds the table of a colour: codes for 0–63, for 64–1728 in steps of 64, and the longer ones that both colours
/// share.
const fn table(ends: &str, multiples: &str) -> Table {
    let mut table = [(0, 0); 1 << LONGEST];
    enter(&mut table, ends, 0, 1);
    enter(&mut table, multiples, 64, 64);
    enter(&mut table, LONG_MULTIPLES, 1792, 64);
    table
}

/// Enters codes for ascending run lengths. They are written as digits, separated by single spaces.
const fn enter(table: &mut Table, codes: &str, first: u16, step: u16) {
    let text = codes.as_bytes();
    let (mut at, mut run) = (0, first);
    while at < text.len() {
        let (mut code, mut bits) = (0, 0);
        while at < text.len() && text[at] != b' ' {
            code = code << 1 | (text[at] - b'0') as usize;
            bits += 1;
            at += 1;
        }
        let spare = LONGEST - bits;
        let mut rest = 0;
        while rest < 1 << spare {
            table[code << spare | rest] = (run, bits as u8);
            rest += 1;
        }
        run += step;
        at += 1;
    }
}

const WHITE_ENDS: &str = "00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 \
110101 101010 101011 0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 \
00000010 00000011 00011010 00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 \
00101010 00101011 00101100 00101101 00000100 00000101 00001010 00001011 01010010 01010011 01010100 01010101 \
00100100 00100101 01011000 01011001 01011010 01011011 01001010 01001011 00110010 00110011 00110100";

const WHITE_MULTIPLES: &str = "11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 \
011001100 011001101 011010010 011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 \
011011011 010011000 010011001 010011010 011000 010011011";

const BLACK_ENDS: &str = "0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 \
00000111 000011000 0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 \
00000010111 00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 000001101001 000001101010 \
000001101011 000011010010 000011010011 000011010100 000011010101 000011010110 000011010111 000001101100 \
000001101101 000011011010 000011011011 000001010100 000001010101 000001010110 000001010111 000001100100 \
000001100101 000001010010 000001010011 000000100100 000000110111 000000111000 000000100111 000000101000 \
000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111";

const BLACK_MULTIPLES: &str = "0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 \
0000001101100 0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011 \
0000001110100 0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 \
0000001011010 0000001011011 0000001100100 0000001100101";

const LONG_MULTIPLES: &str = "00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 \
000000010110 000000010111 000000011100 000000011101 000000011110 000000011111";

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes from binary digits; spaces are ignored.
    fn bytes(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            digits.bytes().filter(|digit| *digit != b' ').map(|digit| digit - b'0').collect();
        digits
            .chunks(8)
            .map(|byte| byte.iter().enumerate().fold(0, |all, (at, bit)| all | bit << (7 - at)))
            .collect()
    }

    fn rows(kind: FaxKind, width: u32, packed: &[u8]) -> Vec<String> {
        let mut fax = Fax::new(kind, width);
        let mut out = vec![0; (width as usize).div_ceil(8)];
        let mut rows = Vec::new();
        while fax.row(packed, &mut out) {
            let bit = |at: u32| if out[at as usize / 8] << (at % 8) & 0x80 == 0 { '.' } else { '#' };
            rows.push((0..width).map(bit).collect());
        }
        rows
    }

    #[test]
    fn no_code_is_the_beginning_of_another() {
        for (ends, multiples) in [(WHITE_ENDS, WHITE_MULTIPLES), (BLACK_ENDS, BLACK_MULTIPLES)] {
            let all: Vec<&str> =
                [ends, multiples, LONG_MULTIPLES].iter().flat_map(|codes| codes.split(' ')).collect();
            assert_eq!(all.len(), 64 + 27 + 13);
            for (index, one) in all.iter().enumerate() {
                assert!(
                    all.iter()
                        .skip(index + 1)
                        .all(|other| !one.starts_with(other) && !other.starts_with(one))
                );
            }
        }
    }

    #[test]
    fn run_lengths_are_read_with_and_without_ends_of_lines() {
        // White 3, black 2, white 5; then white 0, black 10.
        let (one, two) = ("1000 11 1100", "00110101 0000100");
        let plain = [bytes(one), bytes(two)].concat();
        let expected = ["...##.....", "##########"];
        assert_eq!(rows(FaxKind::Rows { align: 8 }, 10, &plain), expected);
        let end = "000000000001";
        let lines = bytes(&format!("{end}{one}0000{end}{two}{}", end.repeat(6)));
        assert_eq!(rows(FaxKind::Group3 { two_dimensional: false }, 10, &lines), expected);
    }

    #[test]
    fn a_row_is_told_by_its_differences_to_the_one_before() {
        // Horizontal mode, 3 white and 2 black, then to the end; then one right, one left, and pass mode.
        let first = "001 1000 11 1";
        let second = "011 010 1";
        let third = "0001 1";
        let page = bytes(&format!("{first}{second}{third}000000000001000000000001"));
        let expected = ["...##.....", "....#.....", ".........."];
        // The second row's black ends one column before the first row's, at 5 − 1 = 4, which leaves no black at all.
        let second_row = "..........";
        let read = rows(FaxKind::Group4, 10, &page);
        assert_eq!(read[0], expected[0]);
        assert_eq!(read.len(), 3);
        assert_eq!(read[1], second_row);
        assert_eq!(read[2], expected[2]);
    }
}
