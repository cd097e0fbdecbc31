//! The LZW encoder for GIF.

use super::PIXELS_PER_CHECK;
use crate::{Deadline, TimedOut};

/// The most codes of a dictionary, and the most bits of a code.
pub(super) const CODES: usize = 4096;
pub(super) const MAX_WIDTH: u32 = 12;

/// The value for "no node".
const NONE: u16 = 0;

/// The dictionary as a tree: the children of each string extend it by one pixel, and are linked as a list.
struct Tree {
    child: Box<[u16; CODES]>,
    sibling: Box<[u16; CODES]>,
    pixel: Box<[u8; CODES]>,
}

impl Tree {
    fn new() -> Self {
        Self { child: Box::new([NONE; CODES]), sibling: Box::new([NONE; CODES]), pixel: Box::new([0; CODES]) }
    }

    /// The string that consists of this one and the pixel.
    fn longer(&self, string: u16, pixel: u8) -> Option<u16> {
        let mut at = self.child[usize::from(string)];
        while at != NONE {
            if self.pixel[usize::from(at)] == pixel {
                return Some(at);
            }
            at = self.sibling[usize::from(at)];
        }
        None
    }

    fn add(&mut self, to: u16, pixel: u8, node: u16) {
        let at = usize::from(node);
        self.child[at] = NONE;
        self.pixel[at] = pixel;
        self.sibling[at] = std::mem::replace(&mut self.child[usize::from(to)], node);
    }
}

/// Packs codes into bytes.
#[derive(Default)]
pub(super) struct Bits {
    out: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    pub(super) fn put(&mut self, code: u16, width: u32) {
        self.held |= u64::from(code) << self.count;
        self.count += width;
        while self.count >= 8 {
            self.out.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }
}

/// Encodes pixels, each of which has at most `code_size` bits.
pub(super) fn encode(pixels: &[u8], code_size: u32, deadline: Deadline) -> Result<Vec<u8>, TimedOut> {
    let clear = 1_u16 << code_size;
    let mut tree = Tree::new();
    let mut bits = Bits::default();
    let (mut width, mut next) = (code_size + 1, clear + 2);
    bits.put(clear, width);
    let mut rest = pixels.iter();
    let Some(&first) = rest.next() else {
        bits.put(clear + 1, width);
        return Ok(bits.finish());
    };
    let mut string = u16::from(first);
    for (nth, &pixel) in rest.enumerate() {
        if nth.is_multiple_of(PIXELS_PER_CHECK) {
            deadline.check()?;
        }
        if let Some(longer) = tree.longer(string, pixel) {
            string = longer;
            continue;
        }
        bits.put(string, width);
        if usize::from(next) < CODES {
            tree.add(string, pixel, next);
            if u32::from(next) == 1 << width && width < MAX_WIDTH {
                width += 1;
            }
            next += 1;
        } else {
            bits.put(clear, width);
            tree.child.fill(NONE);
            (width, next) = (code_size + 1, clear + 2);
        }
        string = u16::from(pixel);
    }
    bits.put(string, width);
    // The decoder has one more string by now, so the last code may be wider.
    if u32::from(next) == 1 << width && width < MAX_WIDTH {
        width += 1;
    }
    bits.put(clear + 1, width);
    Ok(bits.finish())
}

impl Bits {
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.out.push(self.held as u8);
        }
        self.out
    }
}
