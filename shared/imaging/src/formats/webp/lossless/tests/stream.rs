//! Random streams that no encoder would write: transforms in any order, every predictor, caches of all sizes, groups of
//! codes, and codes of every kind.

mod prefix;

use self::prefix::Code;

/// The values of green, and the lengths of copies that follow them.
const VALUES: u32 = 256;
const LENGTHS: u32 = 24;

/// A random stream of a small picture, header included.
pub(super) fn random(seed: u64) -> Vec<u8> {
    let mut stream = Stream { bytes: Vec::new(), free: 0, state: seed };
    let (width, height) = (1 + stream.below(70), 1 + stream.below(40));
    let alpha = stream.below(2);
    for (value, bits) in [(0x2f, 8), (width - 1, 14), (height - 1, 14), (alpha, 1), (0, 3)] {
        stream.put(value, bits);
    }
    let mut kinds = vec![0, 1, 2, 3];
    let mut stored = width;
    while !kinds.is_empty() && stream.below(4) > 0 {
        let kind = kinds.remove(stream.below(kinds.len() as u32) as usize);
        stream.put(1, 1);
        stream.put(kind, 2);
        match kind {
            0 | 1 => {
                let side = stream.side();
                stream.picture(stored.div_ceil(side), height.div_ceil(side));
            }
            2 => {}
            _ => {
                let (most, packed) = [(2, 8), (4, 4), (16, 2), (256, 1)][stream.below(4) as usize];
                let colours = most - stream.below(most / 2);
                stream.put(colours - 1, 8);
                stream.picture(colours, 1);
                stored = stored.div_ceil(packed);
            }
        }
    }
    stream.put(0, 1);
    stream.shown(stored, height);
    stream.bytes
}

/// More pixels than the greatest distance, followed by copies from that far back, at every column.
pub(super) fn far() -> Vec<u8> {
    const SIDE: u32 = 1050;
    let mut stream = Stream { bytes: Vec::new(), free: 0, state: 1 };
    for (value, bits) in [(0x2f, 8), (SIDE - 1, 14), (SIDE - 1, 14), (0, 1), (0, 3)] {
        stream.put(value, bits);
    }
    // No transform, no cache, and one group.
    stream.put(0, 3);
    let long = VALUES + 16;
    let code = |used: &[u32], symbols: usize| {
        let mut lengths = vec![0; symbols];
        used.iter().for_each(|&symbol| lengths[symbol as usize] = used.len().ilog2().max(1));
        Code::new(lengths)
    };
    let green = code(&[3, 90, 200, long], 280);
    let one = code(&[77], 256);
    let far = code(&[2, 39], 40);
    for code in [&green, &one, &one, &one, &far] {
        stream.put_code(code);
    }
    let (mut at, end) = (0, SIDE * SIDE);
    while at < end {
        let (length, bits) = stream.number(long - VALUES);
        if at < 1 << 20 || length > end - at {
            let value = stream.one_of(&[3, 90, 200]);
            stream.put_symbol(&green, value);
            at += 1;
        } else {
            stream.put_symbol(&green, long);
            stream.put(bits.0, bits.1);
            stream.put_symbol(&far, 39);
            stream.put((1 << 18) - 1, 18);
            at += length;
        }
    }
    stream.bytes
}

struct Stream {
    bytes: Vec<u8>,
    /// The number of unused bits in the last byte.
    free: u32,
    state: u64,
}

/// The group of codes of each block.
struct Groups {
    side: u32,
    across: u32,
    of: Vec<u32>,
}

impl Stream {
    /// A random number below `end`.
    fn below(&mut self, end: u32) -> u32 {
        // SplitMix64 (Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, 2014).
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 32) as u32 % end
    }

    fn one_of(&mut self, symbols: &[u32]) -> u32 {
        symbols[self.below(symbols.len() as u32) as usize]
    }

    fn put(&mut self, value: u32, bits: u32) {
        for bit in 0..bits {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << (8 - self.free);
            }
            self.free -= 1;
        }
    }

    /// Writes a block size of 4 to 32, and returns it.
    fn side(&mut self) -> u32 {
        let bits = self.below(4);
        self.put(bits, 3);
        4 << bits
    }

    /// Writes the picture that is shown.
    fn shown(&mut self, width: u32, height: u32) {
        let cache = self.cache();
        let several = self.below(2);
        self.put(several, 1);
        let groups = (several == 1).then(|| self.groups(width, height));
        self.pixels(width, height, cache, groups.as_ref());
    }

    /// Writes any other picture.
    fn picture(&mut self, width: u32, height: u32) {
        let cache = self.cache();
        self.pixels(width, height, cache, None);
    }

    /// Writes the colour cache, and returns its size.
    fn cache(&mut self) -> u32 {
        let bits = if self.below(2) == 0 { 1 + self.below(11) } else { 0 };
        self.put(u32::from(bits > 0), 1);
        if bits == 0 {
            return 0;
        }
        self.put(bits, 4);
        1 << bits
    }

    /// Writes a picture of literal pixels that refer to groups.
    fn groups(&mut self, width: u32, height: u32) -> Groups {
        let side = self.side();
        let (across, down) = (width.div_ceil(side), height.div_ceil(side));
        self.put(0, 1);
        // Some of the groups up to the last may be used by no block.
        let most = [1, 3, 12, 60][self.below(4) as usize];
        let green = self.code(280, |symbol| symbol < most);
        self.put_code(&green);
        for symbols in [1, 256, 256, 40] {
            let zero = Code::new(std::iter::once(1).chain(std::iter::repeat_n(0, symbols - 1)).collect());
            self.put_code(&zero);
        }
        let mut of = Vec::new();
        for _ in 0..across * down {
            let group = self.one_of(&green.used);
            self.put_symbol(&green, group);
            of.push(group);
        }
        Groups { side, across, of }
    }

    fn pixels(&mut self, width: u32, height: u32, cache: u32, groups: Option<&Groups>) {
        let count = groups.and_then(|groups| groups.of.iter().max()).map_or(1, |most| most + 1);
        let codes: Vec<[Code; 5]> = (0..count).map(|_| self.codes(cache)).collect();
        let (mut at, end) = (0, width * height);
        while at < end {
            let (x, y) = (at % width, at / width);
            let group =
                groups.map_or(0, |it| it.of[(y / it.side * it.across + x / it.side) as usize]) as usize;
            let [greens, others @ .., distances] = &codes[group];
            let mut green = self.one_of(&greens.used);
            if (VALUES..VALUES + LENGTHS).contains(&green) {
                let (length, length_bits) = self.number(green - VALUES);
                let distance = self.one_of(&distances.used);
                let (far, distance_bits) = self.number(distance);
                let reach = if far <= 120 { 7 * width + 8 } else { far - 120 };
                if reach <= at && length <= end - at {
                    self.put_symbol(greens, green);
                    self.put(length_bits.0, length_bits.1);
                    self.put_symbol(distances, distance);
                    self.put(distance_bits.0, distance_bits.1);
                    at += length;
                    continue;
                }
                // The first symbol of every green code is a value.
                green = greens.used[0];
            }
            self.put_symbol(greens, green);
            if green < VALUES {
                for code in others {
                    let symbol = self.one_of(&code.used);
                    self.put_symbol(code, symbol);
                }
            }
            at += 1;
        }
    }

    /// A random length or distance of a symbol, and its extra bits.
    fn number(&mut self, symbol: u32) -> (u32, (u32, u32)) {
        if symbol < 4 {
            return (symbol + 1, (0, 0));
        }
        let bits = (symbol - 2) / 2;
        let more = self.below(1 << bits);
        (((2 + symbol % 2) << bits) + more + 1, (more, bits))
    }

    /// Writes the codes of one group.
    fn codes(&mut self, cache: u32) -> [Code; 5] {
        [VALUES + LENGTHS + cache, 256, 256, 256, 40].map(|symbols| {
            let code = self.code(symbols, |_| true);
            self.put_code(&code);
            code
        })
    }
}
