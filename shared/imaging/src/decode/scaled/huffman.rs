//! Huffman codes (ITU T.81, annex C), as tables that answer most questions in one look.

use super::{bits::Bits, places};

/// Bits looked up at once for one code.
const ONE: u32 = 9;
/// Bits looked up at once to pass over AC coefficients, several codes with what follows each.
const MANY: u32 = 12;

/// The codes as the file defines them.
#[derive(Clone)]
pub(super) struct Codes {
    /// By length less one: the first code beyond those of that length, and what to add to a code for its symbol's place.
    ends: [(u32, u32); 16],
    symbols: Vec<u8>,
    /// By the next nine bits: length and symbol; length 0 where the code is longer.
    one: Box<[(u8, u8); 1 << ONE]>,
}

impl Codes {
    /// Reads a table's definition: the count of each length, and the symbols. Gives what is left of the segment, too.
    pub(super) fn parse(segment: &[u8]) -> Option<(Self, &[u8])> {
        let (counts, rest) = segment.split_first_chunk::<16>()?;
        let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
        let (symbols, rest) = rest.split_at_checked(total)?;
        if total > 256 {
            return None;
        }
        let mut codes =
            Self { ends: [(0, 0); 16], symbols: symbols.to_vec(), one: Box::new([(0, 0); 1 << ONE]) };
        let (mut code, mut place) = (0_u32, 0_u32);
        for (length, (&count, end)) in (1_u32..).zip(counts.iter().zip(&mut codes.ends)) {
            let first = code;
            code += u32::from(count);
            if code > 1 << length {
                return None;
            }
            *end = (code, place.wrapping_sub(first));
            if length <= ONE {
                let span = 1_usize << (ONE - length);
                let own = symbols.get(place as usize..).unwrap_or_default().iter().take(count.into());
                let slots = codes.one.get_mut(first as usize * span..).unwrap_or_default();
                for (slots, &symbol) in slots.chunks_exact_mut(span).zip(own) {
                    slots.fill((length as u8, symbol));
                }
            }
            place += u32::from(count);
            code <<= 1;
        }
        Some((codes, rest))
    }

    /// Length and symbol of the code at the top of 16 bits.
    fn find(&self, top: usize) -> Option<(u8, u8)> {
        (1..=16_u8).zip(&self.ends).find_map(|(length, &(end, offset))| {
            let code = top as u32 >> (16 - length);
            let symbol = (code < end).then(|| self.symbols.get(code.wrapping_add(offset) as usize))??;
            Some((length, *symbol))
        })
    }

    /// Takes one symbol, after a refill; `None` where no code fits.
    #[inline(always)]
    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let (mut length, mut symbol) = self.one[bits.peek::<ONE>()];
        if length == 0 {
            (length, symbol) = self.find(bits.peek::<16>())?;
        }
        bits.skip(length.into());
        Some(symbol)
    }

    /// Takes a difference of DC coefficients.
    #[inline(always)]
    pub(super) fn difference(&self, bits: &mut Bits<'_>) -> Option<i32> {
        bits.refill();
        let size = self.symbol(bits)?;
        // Sixteen is lossless JPEG's.
        (size < 16).then(|| bits.signed(size.into()))
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
    steps: Box<[Step; 1 << MANY]>,
}

impl Skipper {
    pub(super) fn new(codes: Codes) -> Self {
        let mut steps = Box::new([UNKNOWN; 1 << MANY]);
        for (seen, step) in steps.iter_mut().enumerate() {
            *step = Self::step(&codes, seen);
        }
        Self { codes, steps }
    }

    /// As many whole symbols as can be told from `seen`, each with its extra bits, of which the last one's may lie beyond
    /// it.
    fn step(codes: &Codes, seen: usize) -> Step {
        let (mut used, mut coefficients) = (0_u32, 0_u8);
        while used < MANY {
            // What was not seen counts as zeros, which is why a code must end within what was.
            let top = (seen << used & ((1 << MANY) - 1)) << (16 - MANY);
            let Some((length, symbol)) = codes.find(top) else { break };
            let length = u32::from(length);
            if used + length > MANY {
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

    /// Takes the coefficients of the lowest frequencies and passes over the others. `None` where no code fits.
    #[inline(always)]
    pub(super) fn low_block<const N: usize>(&self, bits: &mut Bits<'_>, block: &mut [i16; N]) -> Option<()> {
        // The last one that is kept.
        let last = [0, 4, 24][N.ilog2() as usize / 2];
        let mut next = 1_u32;
        while next <= last {
            bits.refill();
            let symbol = self.codes.symbol(bits)?;
            let Some(advance) = advance(symbol) else { return Some(()) };
            next += u32::from(advance);
            let value = bits.signed((symbol & 15).into());
            if let Some(place) = const { places::<N>() }
                .get(next as usize - 1)
                .and_then(|&place| block.get_mut(usize::from(place)))
            {
                *place = value.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
            }
        }
        self.skip_from(next, bits)
    }

    /// Passes over the coefficients from that one on; `None` where no code fits.
    #[inline(always)]
    fn skip_from(&self, mut next: u32, bits: &mut Bits<'_>) -> Option<()> {
        while next < 64 {
            bits.refill();
            let step = self.steps[bits.peek::<MANY>()];
            let after = next + u32::from(step.coefficients);
            if after < 64 {
                bits.skip(step.bits.into());
                next = after;
            } else if after == 64 || (128..192).contains(&after) {
                bits.skip(step.bits.into());
                return Some(());
            } else {
                // A long code, or symbols that belong to the next block already: one at a time.
                let symbol = self.codes.symbol(bits)?;
                let Some(advance) = advance(symbol) else { return Some(()) };
                bits.skip((symbol & 15).into());
                next += u32::from(advance);
            }
        }
        Some(())
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

    use super::*;

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
        Codes::parse(&[&kept[..], &symbols[..total]].concat()).expect("room for all").0
    }

    /// The same, one symbol at a time.
    fn skip_block_plainly(codes: &Codes, bits: &mut Bits<'_>) -> Option<()> {
        let mut next = 1_u32;
        while next < 64 {
            bits.refill();
            let (length, symbol) = codes.find(bits.peek::<16>())?;
            bits.skip(length.into());
            let Some(advance) = advance(symbol) else { return Some(()) };
            bits.skip((symbol & 15).into());
            next += u32::from(advance);
        }
        Some(())
    }

    #[test]
    fn definitions_that_cannot_be_are_refused() {
        assert!(Codes::parse(&[0; 15]).is_none(), "cut short");
        assert!(Codes::parse(&[&[3][..], &[0; 15], &[1, 2, 3]].concat()).is_none(), "three codes of one bit");
        assert!(Codes::parse(&[&[1][..], &[0; 15]].concat()).is_none(), "a symbol is missing");
        assert!(Codes::parse(&[0; 16]).is_some(), "no codes at all");
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
            let (mut fast, mut plain) = (Bits::new(&data, 0), Bits::new(&data, 0));
            while !plain.exhausted() {
                let (a, b) = (skipper.skip_from(1, &mut fast), skip_block_plainly(&codes, &mut plain));
                prop_assert_eq!(a, b);
                prop_assert_eq!(fast.exhausted(), plain.exhausted());
                if a.is_none() {
                    break;
                }
                fast.refill();
                plain.refill();
                prop_assert_eq!(fast.peek::<32>(), plain.peek::<32>());
            }
        }
    }
}
