//! Huffman codes (ITU T.81, annex C), as tables that decode most codes with one lookup.

use super::{KeptCoefficients, bits::Bits};

/// Bits of the lookup for the code of a DC difference.
const SHORT: u32 = 10;
/// Bits of the lookup for one code with the value after it.
const ONE: u32 = 11;
/// Bits of the lookup that skips several AC codes with their values.
const MANY: u32 = 12;
/// The number of bits and the symbol that are read where no code matches, as in damaged data; the same as in libjpeg
/// (`jdhuff.c`). Reading thus continues, and often synchronises with the data again.
const NO_CODE: (u8, u8) = (17, 0);

/// Huffman codes as the file defines them.
#[derive(Clone)]
pub(super) struct Codes {
    /// For each length minus one: the first code after those of that length, and what to add to a code to get its
    /// symbol's index.
    ends: [(u32, u32); 16],
    symbols: [u8; 256],
}

/// A decoded code and its value: the number of zeros before the value (or a run of blocks, if the value has no bits),
/// and the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Coded {
    pub(super) zeros: u32,
    /// Zero only if it has no bits.
    pub(super) value: i32,
}

impl Codes {
    /// Parses a table definition: the number of codes of each length, and the symbols.
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

    /// All values of `BITS` bits that begin with a complete code, each with the code's length and symbol.
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

    /// Takes one symbol. There must have been a refill.
    #[inline(always)]
    fn symbol(&self, bits: &mut Bits<'_>) -> u8 {
        let (length, symbol) = self.find(bits.peek::<16>()).unwrap_or(NO_CODE);
        bits.skip(length.into());
        symbol
    }
}

/// Decodes differences of DC coefficients.
pub(super) struct Differences {
    codes: Codes,
    /// Indexed by the next bits: the code's length, and the number of bits of the difference after it; length 0 if the
    /// code is longer.
    sizes: [(u8, u8); 1 << SHORT],
}

impl Differences {
    pub(super) fn new(codes: Codes) -> Self {
        let mut sizes = [(0, 0); 1 << SHORT];
        for (seen, code) in codes.seen::<SHORT>() {
            // Differences of sixteen and more bits occur in lossless JPEG only.
            if code.1 < 16 {
                sizes[seen] = code;
            }
        }
        Self { codes, sizes }
    }

    /// Takes one difference, and leaves enough bits for one step of a [`Skipper`]. `None` if it has more bits than
    /// allowed.
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

/// Decodes codes with the values after them.
pub(super) struct Values {
    codes: Codes,
    one: [Look; 1 << ONE],
}

/// The result of a lookup.
#[derive(Clone, Copy, Default)]
struct Look {
    /// The value after the code, if it lies within the lookup's bits.
    value: i16,
    /// The number of bits to use up: those of the code, and of the value if that is known; 0 if the code is longer.
    bits: u8,
    /// The symbol. Its low half is the number of value bits that are still to be read.
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

    /// Takes one code with its value. There must have been a refill.
    #[inline(always)]
    pub(super) fn coded(&self, bits: &mut Bits<'_>) -> Coded {
        let look = self.one[bits.peek::<ONE>()];
        bits.skip(look.bits.into());
        let symbol = if look.bits == 0 { self.codes.symbol(bits) } else { look.symbol };
        let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let value = if size == 0 { look.value.into() } else { bits.signed(size) };
        Coded { zeros, value }
    }

    /// Takes the kept coefficients of a block and those between them. Returns the index of the first remaining
    /// coefficient, which is beyond the last if the block is finished.
    #[inline(always)]
    pub(super) fn take_kept(&self, bits: &mut Bits<'_>, kept: KeptCoefficients, block: &mut [i16]) -> u32 {
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
    /// The entry for bits that begin with a code of that length.
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

/// An entry of the skip table: uses up `bits`, and skips `coefficients`.
#[derive(Clone, Copy)]
struct Step {
    bits: u8,
    coefficients: u8,
}

/// Added to a step's coefficients if the block ends after them; also the number of coefficients that ends any block.
const END: u8 = 128;
/// The entry for codes that are longer than the lookup.
const UNKNOWN: Step = Step { bits: 0, coefficients: u8::MAX };

/// Skips the AC coefficients of a block.
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

    /// As many complete symbols as `seen` contains, each with its value bits; those of the last may lie beyond it.
    fn step(one: &[(u8, u8); 1 << MANY], seen: usize) -> Step {
        let (mut used, mut coefficients) = (0_u32, 0_u8);
        while used < MANY {
            // Unseen bits count as zeros, so a code must end within the seen ones.
            let (length, symbol) = one[seen << used & ((1 << MANY) - 1)];
            let length = u32::from(length);
            if length == 0 || used + length > MANY {
                break;
            }
            let Some(advance) = advance(symbol) else {
                return Step { bits: (used + length) as u8, coefficients: coefficients + END };
            };
            let total = length + u32::from(symbol & 15);
            // More coefficients than a block has would be mistaken for its end.
            if used > 0 && coefficients + advance > 63 {
                break;
            }
            used += total;
            coefficients += advance;
        }
        if used == 0 { UNKNOWN } else { Step { bits: used as u8, coefficients } }
    }

    /// Skips the coefficients from `next` on. There must be enough bits for one step.
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
                    // A long code, or symbols that may belong to the next block: take one at a time.
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

/// The number of coefficients that an AC symbol covers: zeros and the value after them. `None` ends the block.
fn advance(symbol: u8) -> Option<u8> {
    const SIXTEEN_ZEROS: u8 = 0xf0;
    (symbol & 15 != 0 || symbol == SIXTEEN_ZEROS).then_some((symbol >> 4) + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::bits::Window, *};

    /// Codes with the given number per length, as far as the code space allows.
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

    /// Skips a block one symbol at a time.
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
                // The bits that a refill guarantees, minus those that a difference may take.
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
