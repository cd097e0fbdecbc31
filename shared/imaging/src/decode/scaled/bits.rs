//! The bits of entropy-coded data: stuffed zeros taken out, stopping before any marker.

/// A reader of bits, first bit first. It never fails: past the end it gives zeros, and [`exhausted`](Self::exhausted)
/// tells that it did.
///
/// It is `Copy`, and its slow part takes and returns it by value, so that the fast part's fields stay in registers.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte to take in.
    at: usize,
    /// The bits taken in and not yet used, from the top. Below `left` bits lies nothing but what comes next anyway.
    word: u64,
    left: u32,
    /// Zeros put in past the end, all told.
    padding: u32,
}

/// Bits that [`Bits::refill`] makes sure of: the longest code (16) with the most that may follow it (15).
const ENOUGH: u32 = 32;

/// Whether any of eight bytes is 0xFF.
fn has_ff(word: u64) -> bool {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let inverted = !word;
    inverted.wrapping_sub(LOW) & word & (LOW << 7) != 0
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8], at: usize) -> Self {
        Self { data, at, word: 0, left: 0, padding: 0 }
    }

    /// Where the bytes not yet taken in begin: never beyond a marker.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Whether bits were used that the data does not have.
    #[inline(always)]
    pub(super) fn exhausted(&self) -> bool {
        self.left < self.padding
    }

    /// Takes in bytes until at least 32 bits can be used.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if self.left >= ENOUGH {
            return;
        }
        if let Some(&bytes) = self.data.get(self.at..).and_then(<[u8]>::first_chunk) {
            let next = u64::from_be_bytes(bytes);
            if !has_ff(next) {
                self.word |= next >> self.left;
                let taken = (63 - self.left) / 8;
                self.at += taken as usize;
                self.left += taken * 8;
                return;
            }
        }
        *self = self.refilled_bytewise();
    }

    #[cold]
    #[inline(never)]
    fn refilled_bytewise(mut self) -> Self {
        while self.left <= 55 {
            let byte = match (self.data.get(self.at), self.data.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 1;
                    0xff
                }
                (Some(0xff), Some(0xff)) => {
                    self.at += 1;
                    continue;
                }
                (Some(0xff), _) | (None, _) => {
                    self.padding = self.padding.saturating_add(63 - self.left);
                    self.left = 63;
                    return self;
                }
                (Some(&byte), _) => byte,
            };
            self.at += 1;
            self.word |= u64::from(byte) << (56 - self.left);
            self.left += 8;
        }
        self
    }

    /// The next `N` bits, unused.
    #[inline(always)]
    pub(super) fn peek<const N: u32>(&self) -> usize {
        (self.word >> (64 - N)) as usize
    }

    /// Uses up `count` bits; no more between two refills than a refill makes sure of.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.word <<= count & 63;
        self.left = self.left.saturating_sub(count);
    }

    /// Takes `count` bits, at most 16.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let value = (self.word >> 1 >> (63 - count)) as u32;
        self.skip(count);
        value
    }

    /// Takes `count` bits, at most 16, as the signed number that JPEG means by them (ITU T.81, F.2.2.1, EXTEND).
    #[inline(always)]
    pub(super) fn signed(&mut self, count: u32) -> i32 {
        if count == 0 {
            return 0;
        }
        let value = (self.word >> 1 >> (63 - count)) as i32;
        let negative = self.word >> 63 == 0;
        self.skip(count);
        if negative { value - (1 << count) + 1 } else { value }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stuffed_zeros_go_and_markers_stop_it() {
        let mut bits = Bits::new(&[0xff, 0x00, 0x12, 0xff, 0xff, 0xd9, 0x77], 0);
        bits.refill();
        assert_eq!(bits.peek::<32>(), 0xff12_0000);
        assert_eq!(bits.position(), 4, "the marker's own two bytes are left");
        bits.skip(16);
        assert!(!bits.exhausted());
        bits.skip(1);
        assert!(bits.exhausted());
    }

    #[test]
    fn numbers_are_extended_as_the_standard_says() {
        let mut bits = Bits::new(&[0b0100_0110, 0b1100_0111], 0);
        let read: Vec<i32> = [1, 1, 2, 2, 2, 2, 3, 3, 0]
            .map(|count| {
                bits.refill();
                bits.signed(count)
            })
            .to_vec();
        assert_eq!(read, [-1, 1, -3, -2, 2, 3, -7, 7, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn fast_and_slow_taking_in_agree(
            mut data in prop::collection::vec(any::<u8>(), 0..64), high in prop::collection::vec(0..64_usize, 0..6),
            steps in prop::collection::vec(1..31_u32, 0..40),
        ) {
            for at in high {
                if let Some(byte) = data.get_mut(at) {
                    *byte = 0xff;
                }
            }
            let (mut bits, mut plain) = (Bits::new(&data, 0), Bits::new(&data, 0));
            for step in steps {
                bits.refill();
                if plain.left < ENOUGH {
                    plain = plain.refilled_bytewise();
                }
                prop_assert_eq!(bits.peek::<32>(), plain.peek::<32>());
                bits.skip(step);
                plain.skip(step);
                prop_assert_eq!(bits.exhausted(), plain.exhausted());
            }
        }
    }
}
