//! Reads bits, the lowest of each byte first.

/// A bit reader. Beyond the end of the data it returns zeros; callers check from time to time whether that happened
/// ([`is_over`](Self::is_over)), and not at each read.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The number of bytes that were loaded into the window.
    at: usize,
    /// The next bits. At least `count` of them are valid.
    window: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, window: 0, count: 0 }
    }

    /// Makes at least 56 bits available.
    #[inline(always)]
    pub(super) fn fill(&mut self) {
        if let Some(bytes) = self.data.get(self.at..).and_then(|rest| rest.first_chunk()) {
            // Bits beyond `count` may be in the window already; they are the same ones.
            self.window |= u64::from_le_bytes(*bytes) << self.count;
            self.at += (63 - self.count) as usize / 8;
            self.count |= 56;
        } else {
            *self = self.filled_near_the_end();
        }
    }

    #[cold]
    fn filled_near_the_end(mut self) -> Self {
        while self.count < 56 {
            let byte = self.data.get(self.at).copied().unwrap_or(0);
            self.window |= u64::from(byte) << self.count;
            self.at += 1;
            self.count += 8;
        }
        self
    }

    /// The next bits, in the lowest places. Bits above the available ones are undefined.
    #[inline(always)]
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// The number of available bits.
    #[inline(always)]
    pub(super) fn ready(&self) -> u32 {
        self.count
    }

    /// Skips at most 63 available bits.
    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        self.window >>= bits;
        self.count = self.count.wrapping_sub(bits);
    }

    /// Takes a number of at most 32 available bits.
    #[inline(always)]
    pub(super) fn take(&mut self, bits: u32) -> u32 {
        let value = (self.window & ((1 << bits) - 1)) as u32;
        self.skip(bits);
        value
    }

    /// Reads a number of at most 32 bits.
    #[inline]
    pub(super) fn read(&mut self, bits: u32) -> u32 {
        self.fill();
        self.take(bits)
    }

    /// Reads one bit as a boolean.
    pub(super) fn flag(&mut self) -> bool {
        self.read(1) == 1
    }

    /// Whether more bits were read than there are.
    pub(super) fn is_over(&self) -> bool {
        self.at * 8 - self.count as usize > self.data.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn bits_come_in_order_and_then_zeros(
            data in prop::collection::vec(any::<u8>(), 0..40),
            sizes in prop::collection::vec(0_u32..=32, 0..40),
        ) {
            let mut bits = Bits::new(&data);
            let mut at = 0;
            for size in sizes {
                let bit = |at: usize| data.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
                let expected: u64 = (0..size as usize).map(|place| u64::from(bit(at + place)) << place).sum();
                prop_assert_eq!(u64::from(bits.read(size)), expected);
                at += size as usize;
                prop_assert_eq!(bits.is_over(), at > data.len() * 8);
            }
        }
    }
}
