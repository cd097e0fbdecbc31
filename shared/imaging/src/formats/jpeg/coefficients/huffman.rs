//! Huffman codes (ITU T.81, annex C), as tables that answer most questions in one look.

use super::{Kept, bits::Bits};

/// Bits looked up at once for the code of a difference.
const SHORT: u32 = 10;
/// Bits looked up at once for one code and the value behind it.
const ONE: u32 = 11;
/// Bits looked up at once to pass over AC coefficients, several codes with what follows each.
const MANY: u32 = 12;
/// What is read where no code fits, as in damaged data: its bits and its symbol, as libjpeg has them (`jdhuff.c`). So
/// reading goes on, and falls into step with the data again as often as not.
const NO_CODE: (u8, u8) = (17, 0);

/// The codes as the file defines them.
#[derive(Clone)]
pub(super) struct Codes {
    /// By length less one: the first code beyond those of that length, and what to add to a code for its symbol's place.
    ends: [(u32, u32); 16],
    symbols: [u8; 256],
}

/// A code and what follows it: so many zeros (or a run of blocks, where the value has no bits), and a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Coded {
    pub(super) zeros: u32,
    /// Nought only where it has no bits.
    pub(super) value: i32,
}

impl Codes {
    /// From a table's definition: the count of each length, and the symbols.
    pub(super) fn new(definition: &[u8]) -> Option<Self> {
        let (counts, symbols) = definition.split_first_chunk::<16>()?;
        let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
        let mut codes = Self { ends: [(0, 0); 16], symbols: [0; 256] };
        codes.symbols.get_mut(..total)?.copy_from_slice(symbols.get(..total)?);
        let (mut code, mut place) = (0_u32, 0_u32);
        for (length, (&count, end)) in (1_u32..).zip(counts.iter().zip(&mut codes.ends)) {
            let first = code;
            code += u32::from(count);
            if code > 1 << length {
                return None;
            }
            *end = (code, place.wrapping_sub(first));
            place += u32::from(count);
            code <<= 1;
        }
        Some(codes)
    }

    /// Whatever `BITS` bits can show that begins with a whole code: its length and symbol.
    fn seen<const BITS: u32>(&self) -> impl Iterator<Item = (usize, (u8, u8))> {
        let (mut first, mut length) = (0, 0_u32);
        let lengths = self.ends.iter().take(BITS as usize).map(move |&(end, offset)| {
            length += 1;
            let codes = first..end;
            first = end << 1;
            (length, offset, codes)
        });
        lengths.flat_map(move |(length, offset, codes)| {
            codes.flat_map(move |code| {
                let symbol = self.symbols[code.wrapping_add(offset) as usize];
                let slots = code << (BITS - length)..(code + 1) << (BITS - length);
                slots.map(move |slot| (slot as usize, (length as u8, symbol)))
            })
        })
    }

    /// Length and symbol of the code at the top of 16 bits.
    #[cold]
    #[inline(never)]
    fn find(&self, top: usize) -> Option<(u8, u8)> {
        (1..=16_u8).zip(&self.ends).find_map(|(length, &(end, offset))| {
            let code = top as u32 >> (16 - length);
            (code < end).then(|| (length, self.symbols[code.wrapping_add(offset) as usize]))
        })
    }

    /// Takes one symbol, after a refill.
    #[inline(always)]
    fn symbol(&self, bits: &mut Bits<'_>) -> u8 {
        let (length, symbol) = self.find(bits.peek::<16>()).unwrap_or(NO_CODE);
        bits.skip(length.into());
        symbol
    }
}

/// Differences of DC coefficients.
pub(super) struct Differences {
    codes: Codes,
    /// By the next bits, the code's length and the bits of the difference behind it; 0 where the code is longer.
    sizes: [(u8, u8); 1 << SHORT],
}

impl Differences {
    pub(super) fn new(codes: Codes) -> Self {
        let mut sizes = [(0, 0); 1 << SHORT];
        for (seen, code) in codes.seen::<SHORT>() {
            // Sixteen and more bits are lossless JPEG's.
            if code.1 < 16 {
                sizes[seen] = code;
            }
        }
        Self { codes, sizes }
    }

    /// Takes one; there are the bits for a step of a [`Skipper`] then. `None` where it has more bits than there can be.
    #[inline(always)]
    pub(super) fn take(&self, bits: &mut Bits<'_>) -> Option<i32> {
        bits.refill();
        let (length, size) = self.sizes[bits.peek::<SHORT>()];
        if length == 0 {
            let size = Some(self.codes.symbol(bits)).filter(|size| *size < 16)?;
            let value = bits.signed(size.into());
            bits.refill();
            return Some(value);
        }
        Some(bits.signed_behind(length.into(), size.into()))
    }
}

/// Codes with the values behind them.
pub(super) struct Values {
    codes: Codes,
    one: [Look; 1 << ONE],
}

/// What the next bits begin with.
#[derive(Clone, Copy, Default)]
struct Look {
    /// The value that follows the code, if it is within what was looked at.
    value: i16,
    /// How many bits to use up: the code's, with the value's if that is known; 0 where the code is longer.
    bits: u8,
    /// The symbol. Its low half is how many bits of a value are still to come.
    symbol: u8,
}

impl Values {
    pub(super) fn new(codes: Codes) -> Self {
        let mut one = [Look::default(); 1 << ONE];
        for (seen, (length, symbol)) in codes.seen::<ONE>() {
            one[seen] = Look::new(seen, length, symbol);
        }
        Self { codes, one }
    }

    /// Takes one code with the value behind it, after a refill.
    #[inline(always)]
    pub(super) fn coded(&self, bits: &mut Bits<'_>) -> Coded {
        let look = self.one[bits.peek::<ONE>()];
        bits.skip(look.bits.into());
        let symbol = if look.bits == 0 { self.codes.symbol(bits) } else { look.symbol };
        let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let value = if size == 0 { look.value.into() } else { bits.signed(size) };
        Coded { zeros, value }
    }

    /// Takes the coefficients of a block that are kept and some between. Gives the first one that is left, beyond the last where
    /// the block is done.
    #[inline(always)]
    pub(super) fn low(&self, bits: &mut Bits<'_>, kept: Kept, block: &mut [i16]) -> u32 {
        let mut next = 1_u32;
        while next <= kept.last {
            bits.refill();
            let Coded { zeros, value } = self.coded(bits);
            if value == 0 && zeros < 15 {
                return 64;
            }
            next += zeros + 1;
            kept.put(block, next as usize - 1, value);
        }
        next
    }
}

impl Look {
    /// Of bits that begin with a code of that length.
    fn new(seen: usize, length: u8, symbol: u8) -> Self {
        let size = symbol & 15;
        let behind = ONE - u32::from(length);
        let Some(rest) = behind.checked_sub(size.into()).filter(|_| size > 0) else {
            return Self { value: 0, bits: length, symbol };
        };
        let value = (seen >> rest & ((1 << size) - 1)) as i16;
        let value = if value >> (size - 1) == 0 { value - (1 << size) + 1 } else { value };
        Self { value, bits: length + size, symbol: symbol & 0xf0 }
    }
}

/// What to do on seeing certain bits: pass over `bits` of them, and `coefficients` with them.
#[derive(Clone, Copy)]
struct Step {
    bits: u8,
    coefficients: u8,
}

/// Added to a step's coefficients where the block ends behind them; also what there is in all.
const END: u8 = 128;
/// The code is longer than what was looked at.
const UNKNOWN: Step = Step { bits: 0, coefficients: u8::MAX };

/// Passes over the AC coefficients of a block, whose values nobody needs.
pub(super) struct Skipper {
    codes: Codes,
    steps: [Step; 1 << MANY],
}

impl Skipper {
    pub(super) fn new(codes: Codes) -> Self {
        let mut one = [(0, 0); 1 << MANY];
        for (seen, code) in codes.seen::<MANY>() {
            one[seen] = code;
        }
        let steps = std::array::from_fn(|seen| Self::step(&one, seen));
        Self { codes, steps }
    }

    /// As many whole symbols as can be told from `seen`, each with its extra bits, of which the last one's may lie beyond
    /// it.
    fn step(one: &[(u8, u8); 1 << MANY], seen: usize) -> Step {
        let (mut used, mut coefficients) = (0_u32, 0_u8);
        while used < MANY {
            // What was not seen counts as zeros, which is why a code must end within what was.
            let (length, symbol) = one[seen << used & ((1 << MANY) - 1)];
            let length = u32::from(length);
            if length == 0 || used + length > MANY {
                break;
            }
            let Some(advance) = advance(symbol) else {
                return Step { bits: (used + length) as u8, coefficients: coefficients + END };
            };
            let total = length + u32::from(symbol & 15);
            // More coefficients than a block has would look like its end.
            if used > 0 && coefficients + advance > 63 {
                break;
            }
            used += total;
            coefficients += advance;
        }
        if used == 0 { UNKNOWN } else { Step { bits: used as u8, coefficients } }
    }

    /// Passes over the coefficients from that one on, where there are the bits for a step.
    #[inline(always)]
    pub(super) fn skip_from(&self, mut next: u32, bits: &mut Bits<'_>) {
        loop {
            // A refill is enough for two steps.
            for refill in [true, false] {
                let step = self.steps[bits.peek::<MANY>()];
                let after = next + u32::from(step.coefficients);
                if after < 64 {
                    bits.skip(step.bits.into());
                    next = after;
                    if refill {
                        bits.refill();
                    }
                } else if after == 64 || (128..192).contains(&after) {
                    bits.skip(step.bits.into());
                    return;
                } else {
                    // A long code, or symbols that belong to the next block already: one at a time.
                    bits.refill();
                    let symbol = self.codes.symbol(bits);
                    let Some(advance) = advance(symbol) else { return };
                    bits.skip((symbol & 15).into());
                    next += u32::from(advance);
                    if next >= 64 {
                        return;
                    }
                    bits.refill();
                    break;
                }
            }
        }
    }
}

/// The coefficients that an AC symbol stands for: zeros and the value behind them. `None` ends the block.
fn advance(symbol: u8) -> Option<u8> {
    const SIXTEEN_ZEROS: u8 = 0xf0;
    (symbol & 15 != 0 || symbol == SIXTEEN_ZEROS).then_some((symbol >> 4) + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::bits::Window, *};

    /// Codes of the given counts by length, as far as there is room for them.
    fn codes(counts: &[u8], symbols: &[u8]) -> Codes {
        let (mut free, mut kept) = (1_usize, [0_u8; 16]);
        let mut total = 0;
        for (kept, &count) in kept.iter_mut().zip(counts) {
            free *= 2;
            *kept = usize::from(count).min(free).min(symbols.len() - total) as u8;
            free -= usize::from(*kept);
            total += usize::from(*kept);
        }
        Codes::new(&[&kept[..], &symbols[..total]].concat()).expect("room for all")
    }

    /// The same, one symbol at a time.
    fn skip_block_plainly(codes: &Codes, bits: &mut Bits<'_>) {
        let mut next = 1_u32;
        while next < 64 {
            bits.refill();
            let (length, symbol) = codes.find(bits.peek::<16>()).unwrap_or((17, 0));
            bits.skip(length.into());
            let Some(advance) = advance(symbol) else { return };
            bits.skip((symbol & 15).into());
            next += u32::from(advance);
        }
    }

    #[test]
    fn definitions_that_cannot_be_are_refused() {
        assert!(Codes::new(&[0; 15]).is_none(), "cut short");
        assert!(Codes::new(&[&[3][..], &[0; 15], &[1, 2, 3]].concat()).is_none(), "three codes of one bit");
        assert!(Codes::new(&[&[1][..], &[0; 15]].concat()).is_none(), "a symbol is missing");
        assert!(Codes::new(&[0; 16]).is_some(), "no codes at all");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn passing_over_many_at_once_is_passing_over_each(
            counts in prop::collection::vec(0..9_u8, 16), symbols in prop::collection::vec(any::<u8>(), 100),
            small in any::<bool>(), data in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let symbols: Vec<u8> = symbols.iter().map(|s| if small { s & 0x13 } else { *s }).collect();
            let codes = codes(&counts, &symbols);
            let skipper = Skipper::new(codes.clone());
            let (mut fast, mut plain) = (Window::new(&data), Window::new(&data));
            let (mut fast, mut plain) = (fast.start(0), plain.start(0));
            while !plain.exhausted() {
                // As much is gone of what a refill makes sure of as a difference may take.
                for bits in [&mut fast, &mut plain] {
                    bits.refill();
                    bits.skip(SHORT + 15);
                }
                skipper.skip_from(1, &mut fast);
                skip_block_plainly(&codes, &mut plain);
                prop_assert_eq!(fast.exhausted(), plain.exhausted());
                fast.refill();
                plain.refill();
                prop_assert_eq!(fast.peek::<32>(), plain.peek::<32>());
            }
        }

        #[test]
        fn one_look_is_a_code_and_its_value(
            counts in prop::collection::vec(0..9_u8, 16), symbols in prop::collection::vec(any::<u8>(), 100),
            data in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let codes = codes(&counts, &symbols);
            let values = Values::new(codes.clone());
            let (mut fast, mut plain) = (Window::new(&data), Window::new(&data));
            let (mut fast, mut plain) = (fast.start(0), plain.start(0));
            while !plain.exhausted() {
                fast.refill();
                plain.refill();
                prop_assert_eq!(fast.peek::<32>(), plain.peek::<32>());
                let symbol = codes.symbol(&mut plain);
                let read =
                    Coded { zeros: u32::from(symbol >> 4), value: plain.signed((symbol & 15).into()) };
                prop_assert_eq!(values.coded(&mut fast), read);
            }
        }

        #[test]
        fn a_difference_is_a_code_and_its_value(
            counts in prop::collection::vec(0..9_u8, 16), symbols in prop::collection::vec(0..20_u8, 100),
            data in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let codes = codes(&counts, &symbols);
            let differences = Differences::new(codes.clone());
            let (mut fast, mut plain) = (Window::new(&data), Window::new(&data));
            let (mut fast, mut plain) = (fast.start(0), plain.start(0));
            while !plain.exhausted() {
                plain.refill();
                let size = Some(codes.symbol(&mut plain)).filter(|size| *size < 16);
                let read = size.map(|size| plain.signed(size.into()));
                prop_assert_eq!(differences.take(&mut fast), read);
                if read.is_none() {
                    break;
                }
                plain.refill();
                prop_assert_eq!(fast.peek::<27>(), plain.peek::<27>());
            }
        }
    }
}
