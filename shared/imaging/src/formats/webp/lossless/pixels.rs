//! Decodes stored pixels row by row: literals, copies of earlier pixels, and recent colours (RFC 9649, 3.6.2).
//!
//! A copy refers back at most 1,048,456 pixels, so only that many are kept, in a ring in which each pixel replaces the
//! one 2²⁰ before it.

use super::{
    Memory, ReadFault,
    bits::Bits,
    codes::{CodeGroup, Codes, LENGTHS, StoredChannels, VALUES},
};
use crate::Deadline;

/// The most pixels that are kept.
const MOST: u64 = 1 << 20;

/// The most bits of an index into the colour cache.
const CACHE_BITS: u32 = 11;

/// Pixels between two checks of the deadline.
const PER_LOOK: usize = 1 << 16;

/// The distances that stand for nearby pixels: columns to the left (negative to the right), and rows up.
#[rustfmt::skip]
const NEAR: [(i8, u8); 120] = [
    (0, 1), (1, 0), (1, 1), (-1, 1), (0, 2), (2, 0), (1, 2), (-1, 2), (2, 1), (-2, 1), (2, 2), (-2, 2), (0, 3), (3, 0), (1, 3),
    (-1, 3), (3, 1), (-3, 1), (2, 3), (-2, 3), (3, 2), (-3, 2), (0, 4), (4, 0), (1, 4), (-1, 4), (4, 1), (-4, 1), (3, 3), (-3, 3),
    (2, 4), (-2, 4), (4, 2), (-4, 2), (0, 5), (3, 4), (-3, 4), (4, 3), (-4, 3), (5, 0), (1, 5), (-1, 5), (5, 1), (-5, 1), (2, 5),
    (-2, 5), (5, 2), (-5, 2), (4, 4), (-4, 4), (3, 5), (-3, 5), (5, 3), (-5, 3), (0, 6), (6, 0), (1, 6), (-1, 6), (6, 1), (-6, 1),
    (2, 6), (-2, 6), (6, 2), (-6, 2), (4, 5), (-4, 5), (5, 4), (-5, 4), (3, 6), (-3, 6), (6, 3), (-6, 3), (0, 7), (7, 0), (1, 7),
    (-1, 7), (5, 5), (-5, 5), (7, 1), (-7, 1), (4, 6), (-4, 6), (6, 4), (-6, 4), (2, 7), (-2, 7), (7, 2), (-7, 2), (3, 7), (-3, 7),
    (7, 3), (-7, 3), (5, 6), (-5, 6), (6, 5), (-6, 5), (8, 0), (4, 7), (-4, 7), (7, 4), (-7, 4), (8, 1), (8, 2), (6, 6), (-6, 6),
    (8, 3), (5, 7), (-5, 7), (7, 5), (-7, 5), (8, 4), (6, 7), (-6, 7), (7, 6), (-7, 6), (8, 5), (7, 7), (-7, 7), (8, 6), (8, 7),
];

/// Reads an auxiliary picture, and passes its rows to `each`.
pub(super) fn read(
    bits: &mut Bits<'_>,
    size: (u32, u32),
    memory: &mut Memory<'_>,
    deadline: Deadline,
    each: &mut dyn FnMut(&[u32]),
) -> Result<(), ReadFault> {
    let before = memory.taken();
    let mut pixels = Pixels::read(bits, size, false, memory, deadline)?;
    let mut line = vec![0; size.0 as usize];
    for _ in 0..size.1 {
        pixels.row(bits, &mut line)?;
        each(&line);
    }
    memory.give_back(memory.taken() - before);
    Ok(())
}

/// Reads pixels.
pub(super) struct Pixels {
    width: usize,
    height: usize,
    codes: Codes,
    cache: Option<Box<Cache>>,
    kept: PixelRing,
    /// The number of pixels still to be copied, and their distance.
    copy: usize,
    distance: usize,
    deadline: Deadline,
    /// Pixels until the next check of the deadline.
    unwatched: usize,
}

impl Pixels {
    /// Reads the part before the pixels.
    pub(super) fn read(
        bits: &mut Bits<'_>,
        (width, height): (u32, u32),
        shown: bool,
        memory: &mut Memory<'_>,
        deadline: Deadline,
    ) -> Result<Self, ReadFault> {
        let cached = bits.flag();
        let cache = if cached { bits.read(4) } else { 0 };
        if cached && !(1..=CACHE_BITS).contains(&cache) {
            return Err(ReadFault::Data);
        }
        let codes = Codes::read(bits, (width, height), cache, shown, memory, deadline)?;
        let kept = (u64::from(width) * u64::from(height)).next_power_of_two().min(MOST);
        memory.take(4 * (kept + u64::from(width) + (1 << CACHE_BITS)))?;
        Ok(Self {
            width: width as usize,
            height: height as usize,
            codes,
            cache: cached.then(|| Box::new(Cache { colours: [0; 1 << CACHE_BITS], shift: 32 - cache })),
            kept: PixelRing { ring: vec![0; kept as usize], at: 0 },
            copy: 0,
            distance: 1,
            deadline,
            unwatched: 0,
        })
    }

    /// Reads the next row. The caller asks only for rows that exist.
    pub(super) fn row(&mut self, bits: &mut Bits<'_>, out: &mut [u32]) -> Result<(), ReadFault> {
        if self.unwatched < self.width {
            self.deadline.check()?;
            self.unwatched += PER_LOOK;
        }
        self.unwatched -= self.width;
        let start = self.kept.at;
        let good = match self.cache.take() {
            Some(mut cache) => {
                let good = self.fill(bits, &mut *cache);
                self.cache = Some(cache);
                good
            }
            None => self.fill(bits, &mut NoCache),
        };
        if good.is_none() || bits.is_over() {
            return Err(ReadFault::Data);
        }
        self.kept.show(start, out);
        Ok(())
    }

    /// Reads a row of pixels into the ring; `None` if the data is invalid.
    fn fill(&mut self, bits: &mut Bits<'_>, cache: &mut impl Recent) -> Option<()> {
        let start = self.kept.at;
        let (y, end) = (start / self.width, start + self.width);
        self.copy -= self.kept.copy(self.copy.min(self.width), self.distance, cache);
        while self.kept.at < end {
            let (group, until) = self.codes.at(self.kept.at - start, y)?;
            let until = end.min(start.saturating_add(until));
            while self.kept.at < until {
                let tables = &self.codes.tables;
                let length = match group.kind {
                    StoredChannels::All => self.kept.read::<3>(group, tables, until, bits, cache),
                    StoredChannels::Opaque => self.kept.read::<2>(group, tables, until, bits, cache),
                    StoredChannels::Green => self.kept.read::<0>(group, tables, until, bits, cache),
                };
                let Some(length) = length else { break };
                self.copy = number(length, bits);
                bits.fill();
                let distance = group.distance.symbol(tables, bits);
                self.distance = distance_of(number(distance, bits), self.width);
                let at = self.kept.at;
                if self.distance > at || self.copy > self.width * self.height - at {
                    return None;
                }
                self.copy -= self.kept.copy(self.copy.min(end - at), self.distance, cache);
            }
        }
        Some(())
    }
}

/// The most recent pixels, as many as a copy can refer to.
struct PixelRing {
    /// The ring; its length is a power of two.
    ring: Vec<u32>,
    /// The number of pixels that were read.
    at: usize,
}

impl PixelRing {
    /// Reads stored pixels up to a place. Returns the symbol of a length, if one comes before. `CHANNELS` channels are
    /// stored in addition to green.
    #[inline(always)]
    fn read<const CHANNELS: u8>(
        &mut self,
        group: &CodeGroup,
        tables: &[u16],
        until: usize,
        bits: &mut Bits<'_>,
        cache: &mut impl Recent,
    ) -> Option<u32> {
        // Local copies stay in registers.
        let (mut reader, mut at, group) = (*bits, self.at, *group);
        let ring = &mut self.ring[..];
        let mask = ring.len() - 1;
        let mut length = None;
        while at < until {
            reader.fill();
            let green = group.green.symbol(tables, &mut reader);
            let pixel = if green < VALUES {
                let mut pixel = green << 8 | group.fixed;
                if CHANNELS >= 2 {
                    pixel |= group.red.symbol(tables, &mut reader) << 16;
                    pixel |= group.blue.symbol(tables, &mut reader);
                }
                if CHANNELS >= 3 {
                    if reader.ready() < 15 {
                        reader.fill();
                    }
                    pixel |= group.alpha.symbol(tables, &mut reader) << 24;
                }
                pixel
            } else if let Some(place) = green.checked_sub(VALUES + LENGTHS) {
                cache.get(place)
            } else {
                length = Some(green - VALUES);
                break;
            };
            if let Some(place) = ring.get_mut(at & mask) {
                *place = pixel;
            }
            cache.put(pixel);
            at += 1;
        }
        (*bits, self.at) = (reader, at);
        length
    }

    /// Copies pixels from that distance. Returns how many were copied.
    fn copy(&mut self, count: usize, distance: usize, cache: &mut impl Recent) -> usize {
        let mask = self.ring.len() - 1;
        let (from, to) = (self.at.wrapping_sub(distance) & mask, self.at & mask);
        if distance >= count && from.max(to) + count <= self.ring.len() {
            self.ring.copy_within(from..from + count, to);
            self.ring[to..to + count].iter().for_each(|&pixel| cache.put(pixel));
        } else {
            for step in 0..count {
                let pixel = self.ring[(from + step) & mask];
                self.ring[(to + step) & mask] = pixel;
                cache.put(pixel);
            }
        }
        self.at += count;
        count
    }

    /// Copies the pixels from `start` on to `out`.
    fn show(&self, start: usize, out: &mut [u32]) {
        let from = start & (self.ring.len() - 1);
        let (before, after) = out.split_at_mut(out.len().min(self.ring.len() - from));
        before.copy_from_slice(&self.ring[from..from + before.len()]);
        after.copy_from_slice(&self.ring[..after.len()]);
    }
}

/// Converts a stored distance to pixels, in a picture of this width.
fn distance_of(stored: usize, width: usize) -> usize {
    match NEAR.get(stored - 1) {
        Some(&(left, up)) => (usize::from(up) * width).saturating_add_signed(isize::from(left)).max(1),
        None => stored - NEAR.len(),
    }
}

/// Reads a length or a distance, at least 1. The symbol gives its magnitude, and the bits after it the exact value.
fn number(symbol: u32, bits: &mut Bits<'_>) -> usize {
    if symbol < 4 {
        return symbol as usize + 1;
    }
    let more = (symbol - 2) / 2;
    (((2 + symbol % 2) << more) + bits.read(more) + 1) as usize
}

/// The colour cache.
trait Recent {
    fn put(&mut self, pixel: u32);
    fn get(&self, place: u32) -> u32;
}

struct Cache {
    colours: [u32; 1 << CACHE_BITS],
    shift: u32,
}

impl Recent for Cache {
    #[inline(always)]
    fn put(&mut self, pixel: u32) {
        let place = pixel.wrapping_mul(0x1e35_a7bd) >> self.shift;
        self.colours[place as usize % (1 << CACHE_BITS)] = pixel;
    }

    #[inline(always)]
    fn get(&self, place: u32) -> u32 {
        self.colours[place as usize % (1 << CACHE_BITS)]
    }
}

/// Used if there is no cache: no symbol then refers to one.
struct NoCache;

impl Recent for NoCache {
    #[inline(always)]
    fn put(&mut self, _pixel: u32) {}

    fn get(&self, _place: u32) -> u32 {
        0
    }
}

/// A value for each block of a picture.
pub(super) struct Blocks<T> {
    /// The side of a block, as a power of two.
    pub(super) bits: u32,
    pub(super) across: usize,
    pub(super) of: Vec<T>,
}

impl<T> Blocks<T> {
    pub(super) fn read(
        bits: &mut Bits<'_>,
        (width, height): (u32, u32),
        memory: &mut Memory<'_>,
        deadline: Deadline,
        from: impl Fn(u32) -> T,
    ) -> Result<Self, ReadFault> {
        let side = bits.read(3) + 2;
        let size = (width.div_ceil(1 << side), height.div_ceil(1 << side));
        let count = size.0 as usize * size.1 as usize;
        memory.take(count as u64 * size_of::<T>() as u64)?;
        let mut of = Vec::with_capacity(count);
        read(bits, size, memory, deadline, &mut |row| {
            of.extend(row.iter().map(|&pixel| from(pixel)));
        })?;
        Ok(Self { bits: side, across: size.0 as usize, of })
    }

    /// The values of the blocks in which that row of pixels lies.
    pub(super) fn row(&self, y: usize) -> &[T] {
        let from = (y >> self.bits) * self.across;
        self.of.get(from..from + self.across).unwrap_or_default()
    }
}
