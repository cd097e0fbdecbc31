//! The prefix codes of a picture: their stored lengths, and which block uses which (RFC 9649, 3.7.2).

use super::{
    Memory, ReadFault,
    bits::Bits,
    pixels::Blocks,
    tables::{Code, Shape},
};
use crate::Deadline;

/// The symbols of green: values first, then lengths of copies; indices into the colour cache follow.
pub(super) const VALUES: u32 = 256;
pub(super) const LENGTHS: u32 = 24;
const DISTANCES: usize = 40;

/// The largest alphabet: green's, with the largest colour cache.
const MOST_SYMBOLS: usize = 280 + (1 << 11);

/// The order in which the lengths of the code for lengths are stored.
const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Groups between two checks of the deadline.
const PER_LOOK: usize = 64;

/// The codes for the pixels of some blocks.
#[derive(Clone, Copy, Default)]
pub(super) struct CodeGroup {
    pub(super) green: Code,
    pub(super) red: Code,
    pub(super) blue: Code,
    pub(super) alpha: Code,
    pub(super) distance: Code,
    /// The channels that are constant in these blocks.
    pub(super) fixed: u32,
    pub(super) kind: StoredChannels,
}

/// The channels of a pixel that are stored.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum StoredChannels {
    #[default]
    All,
    Opaque,
    Green,
}

/// All codes of a picture.
pub(super) struct Codes {
    pub(super) tables: Vec<u16>,
    groups: Vec<CodeGroup>,
    /// The group of each block.
    blocks: Option<Blocks<u16>>,
}

impl Codes {
    /// Reads the codes of a picture of that size. Only the picture that is shown may have several groups.
    pub(super) fn read(
        bits: &mut Bits<'_>,
        (width, height): (u32, u32),
        cache: u32,
        shown: bool,
        memory: &mut Memory<'_>,
        deadline: Deadline,
    ) -> Result<Self, ReadFault> {
        let mut blocks = None;
        // For each stored group, its index among those that are kept, which are those that a block uses.
        let mut kept = vec![Some(0)];
        if shown && bits.flag() {
            let found = Blocks::read(bits, (width, height), memory, deadline, |pixel| (pixel >> 8) as u16)?;
            kept = used(&found.of, memory)?;
            blocks = Some(found);
        }
        let count = kept.iter().flatten().count();
        memory.take(count as u64 * size_of::<CodeGroup>() as u64)?;
        let mut codes = Self { tables: Vec::new(), groups: Vec::with_capacity(count), blocks };
        let mut lengths = Lengths { of: [0; MOST_SYMBOLS], table: Vec::with_capacity(128) };
        for (index, place) in kept.iter().enumerate() {
            if index % PER_LOOK == 0 {
                deadline.check()?;
            }
            let end = codes.tables.len();
            let group = codes.group(bits, &mut lengths, cache, memory)?;
            if bits.is_over() {
                return Err(ReadFault::Data);
            }
            match place {
                Some(_) => codes.groups.push(group),
                None => codes.tables.truncate(end),
            }
        }
        if let Some(blocks) = &mut codes.blocks {
            for group in &mut blocks.of {
                *group = kept.get(usize::from(*group)).copied().flatten().unwrap_or(0);
            }
            memory.give_back(kept.len() as u64 * size_of::<Option<u16>>() as u64);
        }
        Ok(codes)
    }

    fn group(
        &mut self,
        bits: &mut Bits<'_>,
        lengths: &mut Lengths,
        cache: u32,
        memory: &mut Memory<'_>,
    ) -> Result<CodeGroup, ReadFault> {
        let green = (VALUES + LENGTHS) as usize + if cache > 0 { 1 << cache } else { 0 };
        let mut codes = [Code::default(); 5];
        for (code, symbols) in codes.iter_mut().zip([green, 256, 256, 256, DISTANCES]) {
            lengths.read(bits, symbols)?;
            let lengths = &lengths.of[..symbols];
            let shape = Shape::of(lengths).ok_or(ReadFault::Data)?;
            let start = self.tables.len();
            self.reserve(shape.entries, memory)?;
            self.tables.resize(start + shape.entries, 0);
            *code = shape.fill(lengths, start, &mut self.tables[start..]);
        }
        let [green, red, blue, alpha, distance] = codes;
        let only = |code: Code| code.only(&self.tables);
        let (fixed, kind) = match (only(red), only(blue), only(alpha)) {
            (Some(red), Some(blue), Some(alpha)) => (alpha << 24 | red << 16 | blue, StoredChannels::Green),
            (_, _, Some(alpha)) => (alpha << 24, StoredChannels::Opaque),
            _ => (0, StoredChannels::All),
        };
        Ok(CodeGroup { green, red, blue, alpha, distance, fixed, kind })
    }

    /// Makes room for a table. While the tables are moved, both places count.
    fn reserve(&mut self, entries: usize, memory: &mut Memory<'_>) -> Result<(), ReadFault> {
        const LEAST: usize = 4096;
        let (held, needed) = (self.tables.capacity(), self.tables.len() + entries);
        if needed > held {
            let room = needed.max(held + held / 2).max(LEAST);
            memory.take(room as u64 * 2)?;
            self.tables.reserve_exact(room - self.tables.len());
            memory.give_back(held as u64 * 2);
        }
        Ok(())
    }

    /// The codes of a pixel, and the column at which the next block begins.
    #[inline]
    pub(super) fn at(&self, x: usize, y: usize) -> Option<(&CodeGroup, usize)> {
        let (group, until) = match &self.blocks {
            Some(Blocks { bits, across, of }) => {
                let block = (y >> bits) * across + (x >> bits);
                (of.get(block).copied().unwrap_or(0), ((x >> bits) + 1) << bits)
            }
            None => (0, usize::MAX),
        };
        Some((self.groups.get(usize::from(group))?, until))
    }
}

/// For each group up to the last that is used: its index among the used groups.
fn used(groups: &[u16], memory: &mut Memory<'_>) -> Result<Vec<Option<u16>>, ReadFault> {
    let count = usize::from(groups.iter().copied().max().unwrap_or(0)) + 1;
    memory.take(count as u64 * size_of::<Option<u16>>() as u64)?;
    let mut used = vec![None; count];
    groups.iter().for_each(|&group| used[usize::from(group)] = Some(0));
    for (place, used) in (0..=u16::MAX).zip(used.iter_mut().flatten()) {
        *used = place;
    }
    Ok(used)
}

/// The lengths of a code's words, and the table of the code in which they are stored.
struct Lengths {
    of: [u8; MOST_SYMBOLS],
    table: Vec<u16>,
}

impl Lengths {
    fn read(&mut self, bits: &mut Bits<'_>, symbols: usize) -> Result<(), ReadFault> {
        self.of[..symbols.max(256)].fill(0);
        if !bits.flag() {
            return self.read_normal(bits, symbols);
        }
        self.read_simple(bits);
        Ok(())
    }

    /// Reads a code of one or two symbols. Symbols that the alphabet does not have are ignored.
    fn read_simple(&mut self, bits: &mut Bits<'_>) {
        let two = bits.flag();
        let size = if bits.flag() { 8 } else { 1 };
        self.of[bits.read(size) as usize] = 1;
        if two {
            self.of[bits.read(8) as usize] = 1;
        }
    }

    fn read_normal(&mut self, bits: &mut Bits<'_>, symbols: usize) -> Result<(), ReadFault> {
        let count = bits.read(4) as usize + 4;
        let mut first = [0; ORDER.len()];
        for &place in ORDER.iter().take(count) {
            first[place] = bits.read(3) as u8;
        }
        let shape = Shape::of(&first).ok_or(ReadFault::Data)?;
        self.table.clear();
        self.table.resize(shape.entries, 0);
        let code = shape.fill(&first, 0, &mut self.table);
        let mut left = symbols;
        if bits.flag() {
            let size = 2 + 2 * bits.read(3);
            left = 2 + bits.read(size) as usize;
            if left > symbols {
                return Err(ReadFault::Data);
            }
        }
        let (mut at, mut last) = (0, 8);
        while at < symbols && left > 0 {
            left -= 1;
            bits.fill();
            let length = code.symbol(&self.table, bits) as u8;
            let (value, repeat) = match length {
                16 => (last, 3 + bits.take(2) as usize),
                17 => (0, 3 + bits.take(3) as usize),
                18 => (0, 11 + bits.take(7) as usize),
                _ => (length, 1),
            };
            if value != 0 {
                last = value;
            }
            let end = at + repeat;
            if end > symbols {
                return Err(ReadFault::Data);
            }
            self.of[at..end].fill(value);
            at = end;
        }
        Ok(())
    }
}
