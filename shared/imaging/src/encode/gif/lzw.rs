//! LZW as GIF has it, which may write a colour for another that is close where that makes the file smaller.

use super::{PIXELS_PER_CHECK, palette::Palette};
use crate::{Deadline, TimedOut};

const CODES: usize = 4096;
const MAX_WIDTH: u32 = 12;

/// No node.
const NONE: u16 = 0;

/// What a difference may be for one colour to be written for another.
pub(super) struct Loss<'a> {
    pub(super) palette: &'a Palette,
    /// The largest squared distance; 0 is none.
    pub(super) most: f32,
}

/// The dictionary as a tree: each string's longer ones by one pixel, as a list.
struct Tree {
    child: Box<[u16; CODES]>,
    sibling: Box<[u16; CODES]>,
    pixel: Box<[u8; CODES]>,
}

impl Tree {
    fn new() -> Self {
        Self { child: Box::new([NONE; CODES]), sibling: Box::new([NONE; CODES]), pixel: Box::new([0; CODES]) }
    }

    /// The string that is this one and the pixel.
    fn exactly(&self, string: u16, pixel: u8) -> Option<u16> {
        let mut at = self.child[usize::from(string)];
        while at != NONE {
            if self.pixel[usize::from(at)] == pixel {
                return Some(at);
            }
            at = self.sibling[usize::from(at)];
        }
        None
    }

    /// The string that is this one and the pixel that differs least, if it is one that may be taken.
    fn nearly(&self, string: u16, pixel: u8, loss: &Loss<'_>) -> Option<u16> {
        let mut best = (loss.most, None);
        let mut at = self.child[usize::from(string)];
        while at != NONE {
            let distance = loss.palette.distance(pixel, self.pixel[usize::from(at)]);
            if distance <= best.0 {
                best = (distance, Some(at));
            }
            at = self.sibling[usize::from(at)];
        }
        best.1
    }

    fn add(&mut self, to: u16, pixel: u8, node: u16) {
        let at = usize::from(node);
        self.child[at] = NONE;
        self.pixel[at] = pixel;
        self.sibling[at] = std::mem::replace(&mut self.child[usize::from(to)], node);
    }
}

/// Codes as bytes.
#[derive(Default)]
struct Bits {
    out: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, code: u16, width: u32) {
        self.held |= u64::from(code) << self.count;
        self.count += width;
        while self.count >= 8 {
            self.out.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }
}

/// The codes of these pixels, none of which has more than so many bits.
pub(super) fn encode(
    pixels: &[u8],
    code_size: u32,
    loss: Option<&Loss<'_>>,
    deadline: Deadline,
) -> Result<Vec<u8>, TimedOut> {
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
        let longer =
            tree.exactly(string, pixel).or_else(|| loss.and_then(|loss| tree.nearly(string, pixel, loss)));
        if let Some(longer) = longer {
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
    // The decoder has one more string by now, which may make the last code wider.
    if u32::from(next) == 1 << width && width < MAX_WIDTH {
        width += 1;
    }
    bits.put(clear + 1, width);
    Ok(bits.finish())
}

impl Bits {
    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.out.push(self.held as u8);
        }
        self.out
    }
}
