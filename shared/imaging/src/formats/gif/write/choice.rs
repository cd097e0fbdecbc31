//! LZW encoding of pixels for each of which several colours are acceptable. It writes those that give a small file for
//! a small error.
//!
//! Among the dictionary's strings that the next pixels can be written as, it takes the one with the least cost per
//! pixel: the bits of its code, at the price of a bit, and the error of its colours. The colour that is already on the
//! screen is one of a pixel's candidates. Leaving a pixel as it is, writing a close colour and drawing it exactly are
//! thus one decision.

use super::lzw::{Bits, CODES, MAX_WIDTH};
use crate::{Deadline, TimedOut};

/// Strings that are followed at the same time. More of them hardly make files smaller (`infra/bench/RESULTS.md`).
const STRINGS: usize = 4;

/// Pixels between two checks of the deadline.
const PIXELS_PER_CHECK: usize = 1 << 10;

/// A colour that is acceptable for a pixel: its index, and its error beyond that of the best one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Candidate {
    pub(super) index: u8,
    pub(super) cost: f32,
}

/// The candidates of each pixel, one pixel after the other. Each pixel has at least one.
#[derive(Default)]
pub(super) struct Candidates {
    all: Vec<Candidate>,
    /// The end of each pixel's candidates.
    ends: Vec<u32>,
}

impl Candidates {
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.ends.clear();
    }

    /// Appends the candidates of a pixel.
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

/// The dictionary's strings, as a hash table with open addressing: it maps a string and a pixel to the longer string.
struct Dictionary(Box<[u32]>);

impl Dictionary {
    /// At most a quarter of the slots is used.
    const SLOTS: usize = 4 * CODES;

    fn new() -> Self {
        Self(vec![0; Self::SLOTS].into())
    }

    /// The slot of a string and a pixel, or the free one where they would go.
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

    /// Adds a string. Returns its slot, unless it was there already.
    fn add(&mut self, string: u16, pixel: u8, longer: u16) -> Option<usize> {
        let (slot, key) = self.slot(string, pixel);
        if self.0[slot] != 0 {
            return None;
        }
        self.0[slot] = key << 12 | u32::from(longer);
        Some(slot)
    }

    /// Removes the string that was added last.
    fn remove(&mut self, slot: usize) {
        self.0[slot] = 0;
    }
}

/// A string as which the next pixels may be written.
#[derive(Clone, Copy)]
struct Reached {
    string: u16,
    cost: f32,
    /// The last step on the way to it.
    step: u32,
}

/// A pixel of a string: its index, and the step before it.
#[derive(Clone, Copy)]
struct Step {
    index: u8,
    before: u32,
}

const START: u32 = u32::MAX;

/// Returns the codes, and the index that they give each pixel. `price` is what a bit costs, in the unit of the
/// candidates' errors.
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
    // The last string that was written and its first pixel. Together with the next string's first pixel they become a
    // new string.
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
        // The new string may already be used by the next code, if that begins with the same pixel.
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
        // The decoder has one more string by now, so the last code may be wider.
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
    /// The string with the least cost per pixel, from this pixel on.
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

    /// Appends a string's pixels and returns the first.
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
