//! LZW as GIF has it, of pixels for each of which several colours will do: those are written that make the file small
//! for what they are off by.
//!
//! Of all strings of the dictionary that the next pixels can be written as, the one is taken whose cost for each pixel
//! is least: its code's bits, at their price, and what its colours are off by. What is on the screen already is one of
//! a pixel's colours, so leaving a pixel as it is, writing a close colour for it and drawing it exactly are one
//! decision.

use super::lzw::{Bits, CODES, MAX_WIDTH};
use crate::{Deadline, TimedOut};

/// Strings that are followed at once. More make files hardly smaller: 1 % from here to four times as many.
const STRINGS: usize = 4;

/// Pixels between two looks at the clock.
const PIXELS_PER_CHECK: usize = 1 << 10;

/// A colour that will do for a pixel: its index, and by how much worse it is than the best one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Candidate {
    pub(super) index: u8,
    pub(super) cost: f32,
}

/// The colours that will do for each pixel, one after the other; each pixel has one at least.
#[derive(Default)]
pub(super) struct Candidates {
    all: Vec<Candidate>,
    /// Where each pixel's end.
    ends: Vec<u32>,
}

impl Candidates {
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.ends.clear();
    }

    /// Appends a pixel.
    pub(super) fn push(&mut self, candidates: &[Candidate]) {
        self.all.extend_from_slice(candidates);
        self.ends.push(self.all.len() as u32);
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn of(&self, pixel: usize) -> &[Candidate] {
        let start = pixel.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[start as usize..self.ends[pixel] as usize]
    }
}

/// The strings of the dictionary: from a string and a pixel to the longer one, in a hash table with open addressing.
struct Dictionary(Box<[u32]>);

impl Dictionary {
    /// A quarter is filled at most.
    const SLOTS: usize = 4 * CODES;

    fn new() -> Self {
        Self(vec![0; Self::SLOTS].into())
    }

    /// The slot of a string and a pixel: where they are, or where they would be.
    fn slot(&self, string: u16, pixel: u8) -> (usize, u32) {
        let key = u32::from(string) << 8 | u32::from(pixel);
        let mut slot = (key.wrapping_mul(0x9e37_79b1) >> 18) as usize;
        while self.0[slot] != 0 && self.0[slot] >> 12 != key {
            slot = (slot + 1) % Self::SLOTS;
        }
        (slot, key)
    }

    fn longer(&self, string: u16, pixel: u8) -> Option<u16> {
        let entry = self.0[self.slot(string, pixel).0];
        (entry != 0).then_some((entry & 0xfff) as u16)
    }

    /// Adds a string; gives its slot, unless it is there already.
    fn add(&mut self, string: u16, pixel: u8, longer: u16) -> Option<usize> {
        let (slot, key) = self.slot(string, pixel);
        if self.0[slot] != 0 {
            return None;
        }
        self.0[slot] = key << 12 | u32::from(longer);
        Some(slot)
    }

    /// Removes what was added last.
    fn remove(&mut self, slot: usize) {
        self.0[slot] = 0;
    }
}

/// A string that the next pixels may be written as.
#[derive(Clone, Copy)]
struct Reached {
    string: u16,
    cost: f32,
    /// How it was reached: a place in the steps.
    step: u32,
}

/// A pixel of a string: its index, and the step before.
#[derive(Clone, Copy)]
struct Step {
    index: u8,
    before: u32,
}

const START: u32 = u32::MAX;

/// The codes, and the index that each pixel has by them. `price` is what a bit may cost in the candidates' measure.
pub(super) fn encode(
    pixels: &Candidates,
    code_size: u32,
    price: f32,
    deadline: Deadline,
) -> Result<(Vec<u8>, Vec<u8>), TimedOut> {
    let clear = 1_u16 << code_size;
    let mut bits = Bits::default();
    let mut dictionary = Dictionary::new();
    let mut search = Search::default();
    let mut indices = Vec::with_capacity(pixels.len());
    let (mut width, mut next) = (code_size + 1, clear + 2);
    bits.put(clear, width);
    // The last string that was written and its first pixel: with the next one's first pixel it becomes a new one.
    let mut last: Option<(u16, u8)> = None;
    let mut checked = 0;
    while indices.len() < pixels.len() {
        if indices.len() >= checked {
            checked = indices.len() + PIXELS_PER_CHECK;
            deadline.check()?;
        }
        if last.is_some() && usize::from(next) >= CODES {
            bits.put(clear, width);
            dictionary.0.fill(0);
            (width, next, last) = (code_size + 1, clear + 2, None);
        }
        // If the next string begins as the last one did, the new one may be a part of it already.
        let tried = last.and_then(|(string, begun)| dictionary.add(string, begun, next));
        let found = search.best(pixels, indices.len(), &dictionary, price * width as f32);
        let first = search.write(found, &mut indices);
        if let Some((string, begun)) = last {
            if begun != first {
                tried.into_iter().for_each(|slot| dictionary.remove(slot));
                dictionary.add(string, first, next);
            }
            if u32::from(next) == 1 << width && width < MAX_WIDTH {
                width += 1;
            }
            next += 1;
        }
        bits.put(found.string, width);
        last = Some((found.string, first));
    }
    if last.is_some() && usize::from(next) < CODES && u32::from(next) == 1 << width && width < MAX_WIDTH {
        // The decoder has one more string by now, which may make the last code wider.
        width += 1;
    }
    bits.put(clear + 1, width);
    Ok((bits.finish(), indices))
}

#[derive(Default)]
struct Search {
    reached: Vec<Reached>,
    further: Vec<Reached>,
    steps: Vec<Step>,
}

impl Search {
    /// The string that costs least for each of its pixels, from this one on.
    fn best(&mut self, pixels: &Candidates, at: usize, dictionary: &Dictionary, code: f32) -> Reached {
        self.steps.clear();
        self.reached.clear();
        for &Candidate { index, cost } in pixels.of(at) {
            self.reached.push(Reached { string: index.into(), cost, step: self.steps.len() as u32 });
            self.steps.push(Step { index, before: START });
        }
        let (mut best, mut least) = (Reached { string: 0, cost: 0.0, step: START }, f32::INFINITY);
        for pixel in at.. {
            let length = (pixel + 1 - at) as f32;
            for reached in &self.reached {
                let each = (code + reached.cost) / length;
                if each < least {
                    (best, least) = (*reached, each);
                }
            }
            if pixel + 1 >= pixels.len() || self.reached.is_empty() {
                break;
            }
            self.further.clear();
            for reached in &self.reached {
                for &Candidate { index, cost } in pixels.of(pixel + 1) {
                    if let Some(string) = dictionary.longer(reached.string, index) {
                        let step = self.steps.len() as u32;
                        self.steps.push(Step { index, before: reached.step });
                        self.further.push(Reached { string, cost: reached.cost + cost, step });
                    }
                }
            }
            if self.further.len() > STRINGS {
                self.further.select_nth_unstable_by(STRINGS, |a, b| {
                    a.cost.total_cmp(&b.cost).then(a.string.cmp(&b.string))
                });
                self.further.truncate(STRINGS);
            }
            std::mem::swap(&mut self.reached, &mut self.further);
        }
        best
    }

    /// Appends a string's pixels; gives the first.
    fn write(&self, found: Reached, indices: &mut Vec<u8>) -> u8 {
        let from = indices.len();
        let mut at = found.step;
        while let Some(step) = self.steps.get(at as usize) {
            indices.push(step.index);
            at = step.before;
        }
        indices[from..].reverse();
        indices.get(from).copied().unwrap_or(0)
    }
}
