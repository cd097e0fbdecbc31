//! Reads the bits of entropy-coded data, without stuffed zeros and up to the next marker.

/// Data bytes that a window holds.
const WINDOW: usize = 1 << 15;
/// Zero bytes after the end of the data: more than a block can take.
const PADDING: usize = 512;
/// Bytes that a window takes.
pub(super) const BYTES: usize = WINDOW + PADDING;
/// Bytes that are searched for 0xFF at once.
const RUN: usize = 32;
/// The most bytes of a block: 64 codes of 16 bits, each with 16 more bits.
const BLOCK_BYTES: usize = 256;
/// The most blocks of an MCU, which a window must be able to hold: four channels with factors of 4 × 4.
pub(super) const MOST_BLOCKS: usize = 64;
const _: () = assert!(MOST_BLOCKS * BLOCK_BYTES + RUN < WINDOW);

/// A window of entropy-coded data up to the next marker, without the zeros that are stuffed after each 0xFF.
pub(super) struct Window<'a> {
    pub(super) data: &'a [u8],
    /// Offset of the next byte to load; never beyond a marker.
    at: usize,
    bytes: Box<[u8]>,
    end: usize,
    /// Whether the data ends at `end`.
    ended: bool,
}

impl<'a> Window<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, bytes: vec![0; BYTES].into(), end: 0, ended: false }
    }

    /// Moves the window to that offset of the data.
    pub(super) fn start(&mut self, at: usize) -> Bits<'_> {
        (self.at, self.end, self.ended) = (at, 0, false);
        self.fill();
        self.resume(BitPosition::default())
    }

    /// Loads more data, and continues from a reader's position.
    pub(super) fn advance(&mut self, mut place: BitPosition) -> Bits<'_> {
        let used = place.at.min(self.end);
        self.bytes.copy_within(used..self.end, 0);
        self.end -= used;
        place.at -= used;
        self.fill();
        self.resume(place)
    }

    /// An offset before which the next marker does not lie.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Continues from a reader's position.
    pub(super) fn resume(&self, place: BitPosition) -> Bits<'_> {
        let end = if self.ended { self.end } else { usize::MAX };
        Bits { bytes: &self.bytes, place, end }
    }

    fn fill(&mut self) {
        while !self.ended && self.end + RUN <= WINDOW {
            let run = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<RUN>);
            let room = self.bytes.get_mut(self.end..).and_then(<[u8]>::first_chunk_mut);
            let (Some(run), Some(room)) = (run, room) else { break };
            *room = *run;
            let plain = if run.iter().fold(false, |found, &byte| found | (byte == 0xff)) {
                run.iter().take_while(|&&byte| byte != 0xff).count()
            } else {
                RUN
            };
            self.at += plain;
            self.end += plain;
            if plain < RUN {
                self.take();
            }
        }
        while !self.ended && self.end < WINDOW && self.data.len() < self.at + RUN {
            self.take();
        }
        if self.ended {
            self.bytes[self.end..self.end + PADDING].fill(0);
        }
    }

    /// Loads one byte and drops what is stuffed after it.
    fn take(&mut self) {
        let byte = match self.data.get(self.at..).unwrap_or_default() {
            [0xff, 0xff, ..] => {
                self.at += 1;
                return;
            }
            [0xff, 0, ..] => {
                self.at += 1;
                0xff
            }
            [] | [0xff, ..] => {
                self.ended = true;
                return;
            }
            [byte, ..] => *byte,
        };
        self.at += 1;
        self.bytes[self.end] = byte;
        self.end += 1;
    }
}

/// A reader's position within a window.
#[derive(Clone, Copy, Default)]
pub(super) struct BitPosition {
    /// The next byte to load.
    at: usize,
    /// The bits that were loaded and not used yet, from the top. Bits below the upper `left` ones are either zero or
    /// the bits that follow anyway.
    word: u64,
    left: u32,
}

/// Reads bits, the most significant first. It never fails: beyond the end it returns zeros, and
/// [`exhausted`](Self::exhausted) tells that it did.
pub(super) struct Bits<'w> {
    bytes: &'w [u8],
    place: BitPosition,
    /// The end of the data, if it lies within the window.
    end: usize,
}

impl Bits<'_> {
    pub(super) fn place(&self) -> BitPosition {
        self.place
    }

    /// Whether the window may end within the next `blocks` blocks.
    #[inline(always)]
    pub(super) fn is_low(&self, blocks: usize) -> bool {
        self.place.at + blocks * BLOCK_BYTES > WINDOW - RUN && self.end == usize::MAX
    }

    /// Whether bits beyond the end of the data were used.
    #[inline(always)]
    pub(super) fn exhausted(&self) -> bool {
        let BitPosition { at, left, .. } = self.place;
        at > self.end && (at - self.end) * 8 > left as usize
    }

    /// Loads bytes until at least 56 bits can be used.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        let place = &mut self.place;
        let next = self.bytes.get(place.at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        place.word |= u64::from_be_bytes(next) >> place.left;
        place.at += ((63 - place.left) >> 3) as usize;
        place.left |= 56;
    }

    /// Returns the next `N` bits without using them up.
    #[inline(always)]
    pub(super) fn peek<const N: u32>(&self) -> usize {
        (self.place.word >> (64 - N)) as usize
    }

    /// Uses up `count` bits. Between two refills, no more may be used than a refill guarantees.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        let place = &mut self.place;
        debug_assert!(count <= place.left, "a refill makes sure of as many bits");
        place.word <<= count & 63;
        place.left = place.left.wrapping_sub(count) & 63;
    }

    /// Takes `count` bits, at most 16.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let value = (self.place.word >> 1 >> (63 - count)) as u32;
        self.skip(count);
        value
    }

    /// Takes `count` bits, at most 15, as a signed number in JPEG's encoding (ITU T.81, F.2.2.1, EXTEND).
    #[inline(always)]
    pub(super) fn signed(&mut self, count: u32) -> i32 {
        self.signed_behind(0, count)
    }

    /// The same after skipping `length` bits.
    #[inline(always)]
    pub(super) fn signed_behind(&mut self, length: u32, count: u32) -> i32 {
        let behind = self.place.word << length;
        self.skip(length + count);
        let value = (behind >> 1 >> (63 - count)) as i32;
        // All ones if the first bit is not set; this avoids a branch.
        let negative = !((behind as i64 >> 63) as i32);
        value - (negative & ((1 << count) - 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The data without stuffing up to a marker, and where the marker begins, in the simplest way.
    fn plainly(data: &[u8]) -> (Vec<u8>, usize) {
        let (mut bytes, mut at) = (Vec::new(), 0);
        loop {
            match data[at..] {
                [0xff, 0xff, ..] => at += 1,
                [0xff, 0, ..] => {
                    bytes.push(0xff);
                    at += 2;
                }
                [] | [0xff, ..] => return (bytes, at),
                [byte, ..] => {
                    bytes.push(byte);
                    at += 1;
                }
            }
        }
    }

    #[test]
    fn stuffed_zeros_go_and_markers_stop_it() {
        let mut window = Window::new(&[0xff, 0x00, 0x12, 0xff, 0xff, 0xd9, 0x77]);
        let mut bits = window.start(0);
        bits.refill();
        assert_eq!(bits.peek::<32>(), 0xff12_0000);
        bits.skip(16);
        assert!(!bits.exhausted());
        bits.skip(1);
        assert!(bits.exhausted());
        assert_eq!(window.position(), 4, "the marker's own two bytes are left");
    }

    #[test]
    fn numbers_are_extended_as_the_standard_says() {
        let mut window = Window::new(&[0b0100_0110, 0b1100_0111]);
        let mut bits = window.start(0);
        bits.refill();
        let read = [1, 1, 2, 2, 2, 2, 3, 3, 0].map(|count| bits.signed(count));
        assert_eq!(read, [-1, 1, -3, -2, 2, 3, -7, 7, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn windows_show_what_there_is(
            mut data in prop::collection::vec(any::<u8>(), 0..400), stuffed in prop::collection::vec(0..400_usize, 0..20),
            repeats in prop::sample::select(vec![1_usize, 400]), steps in prop::collection::vec(1..28_u32, 1..40),
        ) {
            for at in stuffed {
                if let Some(pair) = data.get_mut(at..at + 2) {
                    pair.copy_from_slice(&[0xff, 0]);
                }
            }
            let data = data.repeat(repeats);
            let (plain, end) = plainly(&data);
            let mut window = Window::new(&data);
            let mut bits = window.start(0);
            let mut used = 0_usize;
            for step in steps.into_iter().cycle() {
                bits.refill();
                let eight = plain.iter().copied().chain([0; 8]).skip(used / 8).take(8);
                let word = eight.fold(0_u64, |word, byte| word << 8 | u64::from(byte)) << (used % 8);
                if used < plain.len() * 8 {
                    prop_assert_eq!(bits.peek::<16>() as u64, word >> 48);
                }
                bits.skip(step);
                used += step as usize;
                prop_assert_eq!(bits.exhausted(), used > plain.len() * 8);
                if bits.exhausted() {
                    break;
                }
                if bits.is_low(1) {
                    let place = bits.place();
                    bits = window.advance(place);
                }
            }
            prop_assert_eq!(window.position(), end);
        }
    }
}
