//! The data bit by bit, the lowest of each byte first.

/// Reads bits. What lies beyond the end of the data is zeros: whoever reads asks now and then whether it came to that
/// ([`is_over`](Self::is_over)), rather than each time.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// Bytes that are in the window, or were.
    at: usize,
    /// The next bits, of which `count` are known to be there.
    window: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, window: 0, count: 0 }
    }

    /// Makes at least 56 bits ready.
    #[inline(always)]
    pub(super) fn fill(&mut self) {
        if let Some(bytes) = self.data.get(self.at..).and_then(|rest| rest.first_chunk()) {
            // Bits beyond `count` may be there already: they are the same ones.
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

    /// The next bits, in the lowest places; above those that are ready stands anything.
    #[inline(always)]
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// How many bits are ready.
    #[inline(always)]
    pub(super) fn ready(&self) -> u32 {
        self.count
    }

    /// Passes over bits that are ready, at most 63.
    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        self.window >>= bits;
        self.count = self.count.wrapping_sub(bits);
    }

    /// A number of that many bits, at most 32, that are ready.
    #[inline(always)]
    pub(super) fn take(&mut self, bits: u32) -> u32 {
        let value = (self.window & ((1 << bits) - 1)) as u32;
        self.skip(bits);
        value
    }

    /// A number of that many bits, at most 32.
    #[inline]
    pub(super) fn read(&mut self, bits: u32) -> u32 {
        self.fill();
        self.take(bits)
    }

    /// One bit as an answer.
    pub(super) fn flag(&mut self) -> bool {
        self.read(1) == 1
    }

    /// Whether more was read than there is.
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
