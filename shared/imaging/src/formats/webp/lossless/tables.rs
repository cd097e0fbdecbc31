//! Lookup tables for prefix codes (RFC 9649, 3.7.2.1).
//!
//! A table has two levels. The first is indexed by the next eight bits, or fewer if the longest code is shorter; for
//! longer codes, its entry refers to the second level. An entry of 16 bits is a symbol followed by four bits for the
//! length of its code. The longest code has 15 bits, and the largest alphabet, 2,328 symbols, needs tables of fewer
//! than 4,096 entries.

use super::bits::Bits;

/// The most bits of a code.
pub(super) const LONGEST: usize = 15;

/// Bits that index the first level.
const ROOT: u32 = 8;

/// A code: the index of its table among all tables, and a mask for the bits that index its first level. The mask is
/// zero if there is only one symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Code {
    start: u32,
    mask: u16,
}

impl Code {
    /// Reads a symbol; at least 15 bits must be available.
    #[inline(always)]
    pub(super) fn symbol(self, tables: &[u16], bits: &mut Bits<'_>) -> u32 {
        let entry = |at: usize| u32::from(tables.get(self.start as usize + at).copied().unwrap_or(0));
        let window = bits.window();
        let mut found = entry(window as usize & usize::from(self.mask));
        if found & 15 > ROOT {
            let beyond = (1 << ((found & 15) - ROOT)) - 1;
            found = entry((found >> 4) as usize + ((window >> ROOT) as usize & beyond));
        }
        bits.skip(found & 15);
        found >> 4
    }

    /// The symbol, if there is only one.
    pub(super) fn only(self, tables: &[u16]) -> Option<u32> {
        let entry = tables.get(self.start as usize)?;
        (self.mask == 0).then_some(u32::from(entry >> 4))
    }
}

/// The shape of a code's table, computed from the lengths of the code words.
pub(super) struct Shape {
    /// The number of words of each length.
    counts: [u32; LONGEST + 1],
    root: u32,
    /// The entries of the first level, and of both levels.
    first: usize,
    pub(super) entries: usize,
    /// For each prefix as long as the first level's index, the length of the longest word that begins with it.
    longest: [u8; 1 << ROOT],
}

impl Shape {
    /// Computes the shape; `None` if words of these lengths (0 for no word, at most 15) do not form a complete code:
    /// there are none, too many, or too few. A single word may have any length.
    pub(super) fn of(lengths: &[u8]) -> Option<Self> {
        let mut counts = [0; LONGEST + 1];
        for &length in lengths {
            counts[usize::from(length) & LONGEST] += 1;
        }
        counts[0] = 0;
        let words: u32 = counts.iter().sum();
        let mut shape = Self { counts, root: 0, first: 1, entries: 1, longest: [0; 1 << ROOT] };
        if words == 1 {
            return Some(shape);
        }
        let taken: u32 = counts.iter().enumerate().map(|(length, count)| count << (LONGEST - length)).sum();
        if taken != 1 << LONGEST {
            return None;
        }
        let most = counts.iter().rposition(|&count| count > 0)? as u32;
        shape.root = most.min(ROOT);
        shape.first = 1 << shape.root;
        shape.entries = shape.first;
        let mut words = words_of(&counts);
        for length in ROOT + 1..=most {
            for _ in 0..counts[length as usize] {
                let prefix = next(&mut words, length) >> (length - ROOT);
                shape.longest[prefix as usize & 255] = length as u8;
            }
        }
        shape.entries +=
            shape.longest.iter().filter(|&&most| most > 0).map(|most| 1 << (most - 8)).sum::<usize>();
        Some(shape)
    }

    /// Fills the code's table, which has `entries` zeros and begins at `start` among all tables.
    pub(super) fn fill(&self, lengths: &[u8], start: usize, table: &mut [u16]) -> Code {
        let code = Code { start: start as u32, mask: (self.first - 1) as u16 };
        let entry = |symbol: usize, length: u32| (symbol << 4) as u16 | length as u16;
        if self.root == 0 {
            let symbol = lengths.iter().position(|&length| length > 0).unwrap_or(0);
            table.iter_mut().for_each(|place| *place = entry(symbol, 0));
            return code;
        }
        let mut room = self.first;
        let mut places = [0; 1 << ROOT];
        for (prefix, &most) in self.longest.iter().enumerate().filter(|&(_, &most)| most > 0) {
            places[prefix] = room;
            if let Some(link) = table.get_mut(usize::from((prefix as u8).reverse_bits())) {
                *link = entry(room, most.into());
            }
            room += 1 << (most - 8);
        }
        let mut words = words_of(&self.counts);
        for (symbol, &length) in lengths.iter().enumerate().filter(|&(_, &length)| length > 0) {
            let length = u32::from(length);
            let word = next(&mut words, length);
            // The first bit of a word is its highest, but the lowest of a table index.
            let bits = (word.reverse_bits() >> (32 - length)) as usize;
            let (from, step, end) = if length <= self.root {
                (bits, 1 << length, self.first)
            } else {
                let prefix = (word >> (length - ROOT)) as usize & 255;
                let place = places[prefix];
                (place + (bits >> ROOT), 1 << (length - ROOT), place + (1 << (self.longest[prefix] - 8)))
            };
            for place in table.get_mut(..end).unwrap_or_default().iter_mut().skip(from).step_by(step) {
                *place = entry(symbol, length);
            }
        }
        code
    }
}

/// The first word of each length.
fn words_of(counts: &[u32; LONGEST + 1]) -> [u32; LONGEST + 1] {
    let mut words = [0; LONGEST + 1];
    for length in 1..=LONGEST {
        words[length] = (words[length - 1] + counts[length - 1]) << 1;
    }
    words
}

/// Returns the next word of that length.
fn next(words: &mut [u32; LONGEST + 1], length: u32) -> u32 {
    let word = &mut words[length as usize & LONGEST];
    *word += 1;
    *word - 1
}
