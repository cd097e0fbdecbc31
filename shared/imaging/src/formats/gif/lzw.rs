//! The LZW decoder for GIF: codes of growing width, the lowest bit first (CompuServe, Graphics Interchange Format 89a,
//! appendix F; T. Welch, A Technique for High-Performance Data Compression, 1984).
//!
//! The dictionary holds the first eight bytes of every string, so that nearly every code takes one store and no branch
//! that is hard to predict; the rest of a longer string is copied from where it already is in the output. The tests
//! compare the result with that of `weezl`.

use super::blocks::SubBlocks;
use crate::{Deadline, TimedOut};

/// The most codes, and the most bits of a code.
const CODES: usize = 4096;
const MAX_WIDTH: u32 = 12;

/// Bytes that are written at once. The output has that many spare bytes, so that a string may exceed it.
const STEP: usize = 8;

/// Pixels between two checks of the deadline.
const PIXELS_PER_CHECK: usize = 1 << 18;

/// A decoder, whose tables are reused for the next picture.
pub(super) struct Lzw {
    strings: Strings,
    out: Vec<u8>,
}

/// The dictionary, as separate arrays, so that the parts that every code needs lie close together.
struct Strings {
    /// The first eight bytes of each string; the first byte is the lowest.
    heads: Box<[u64; CODES]>,
    /// The length of each string in bytes; 0 for codes without a string.
    lengths: Box<[u16; CODES]>,
    /// The offset of each string in the output; unused for literals.
    places: Box<[u32; CODES]>,
}

impl Strings {
    fn new() -> Self {
        Self { heads: Box::new([0; CODES]), lengths: Box::new([0; CODES]), places: Box::new([0; CODES]) }
    }

    /// Resets the dictionary: the first `literals` codes become literals, up to 256, and the others get no string.
    fn start(&mut self, literals: usize) {
        for (code, (head, length)) in self.heads.iter_mut().zip(self.lengths.iter_mut()).enumerate() {
            let known = code < literals && code <= u8::MAX.into();
            (*head, *length) = (code as u64, known.into());
        }
    }
}

/// A string that lies in the output.
#[derive(Clone, Copy)]
struct Text {
    head: u64,
    length: usize,
    place: usize,
}

impl Text {
    /// The string extended by one byte.
    #[inline(always)]
    fn and(self, byte: u64) -> Self {
        let head = if self.length < STEP { self.head | byte << (8 * self.length) } else { self.head };
        Self { head, length: self.length + 1, place: self.place }
    }

    #[inline(always)]
    fn first(self) -> u64 {
        self.head & 255
    }
}

/// Reads codes from the sub-blocks.
struct Bits<'a> {
    pieces: SubBlocks<'a>,
    piece: &'a [u8],
    held: u64,
    count: u32,
}

impl Bits<'_> {
    /// Returns the next code; `None` at the end.
    #[inline]
    fn code(&mut self, width: u32) -> Option<usize> {
        if self.count < width {
            self.fill();
            if self.count < width {
                return None;
            }
        }
        let code = self.held & ((1 << width) - 1);
        self.held >>= width;
        self.count -= width;
        Some(code as usize)
    }

    #[inline]
    fn fill(&mut self) {
        if let Some(&eight) = self.piece.first_chunk() {
            self.held |= u64::from_le_bytes(eight) << self.count;
            let taken = (63 - self.count) / 8;
            self.piece = &self.piece[taken as usize..];
            self.count += taken * 8;
            return;
        }
        while self.count <= 56 {
            let Some((&byte, rest)) = self.piece.split_first() else {
                let Some(piece) = self.pieces.next() else { return };
                self.piece = piece;
                continue;
            };
            self.held |= u64::from(byte) << self.count;
            self.count += 8;
            self.piece = rest;
        }
    }
}

impl Lzw {
    pub(super) fn new() -> Self {
        Self { strings: Strings::new(), out: Vec::new() }
    }

    /// Decodes at most `pixels` pixels; fewer if the codes end or become invalid.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub(super) fn decode(
        &mut self,
        pieces: SubBlocks<'_>,
        code_size: u8,
        pixels: usize,
        deadline: Deadline,
    ) -> Result<&[u8], TimedOut> {
        self.out.clear();
        if !(1..MAX_WIDTH).contains(&code_size.into()) {
            return Ok(&self.out);
        }
        self.out.resize(pixels.saturating_add(STEP), 0);
        let bits = Bits { pieces, piece: &[], held: 0, count: 0 };
        let written = decode(bits, code_size, &mut self.strings, &mut self.out, pixels, deadline)?;
        Ok(&self.out[..written])
    }
}

fn decode(
    mut bits: Bits<'_>,
    code_size: u8,
    strings: &mut Strings,
    out: &mut [u8],
    pixels: usize,
    deadline: Deadline,
) -> Result<usize, TimedOut> {
    let clear = 1_usize << code_size;
    let end = clear + 1;
    strings.start(clear);
    let (mut width, mut next) = (u32::from(code_size) + 1, end + 1);
    // There is no last string after a clear code.
    let mut last: Option<Text> = None;
    let (mut at, mut check) = (0, 0);
    while at < pixels {
        if at >= check {
            deadline.check()?;
            check = at + PIXELS_PER_CHECK;
        }
        let Some(code) = bits.code(width) else { break };
        let text = if code < next {
            let (head, length) = (strings.heads[code], strings.lengths[code].into());
            Text { head, length, place: strings.places[code] as usize }
        } else if let Some(last) = last
            && code == next
            && next < CODES
        {
            // The code for the string that it completes itself: the last string and its first byte.
            last.and(last.first())
        } else {
            break;
        };
        if text.length == 0 {
            if code != clear {
                break;
            }
            (width, next, last) = (u32::from(code_size) + 1, end + 1, None);
            continue;
        }
        // Each code adds a string: the last string and the first byte of this one, which follows it in the output.
        if let Some(last) = last
            && next < CODES
        {
            let Text { head, length, place } = last.and(text.first());
            (strings.heads[next], strings.lengths[next]) = (head, length as u16);
            strings.places[next] = place as u32;
            next += 1;
            if next == 1 << width && width < MAX_WIDTH {
                width += 1;
            }
        }
        out[at..][..STEP].copy_from_slice(&text.head.to_le_bytes());
        let length = text.length.min(pixels - at);
        for index in (STEP..length).step_by(STEP) {
            let mut eight = [0; STEP];
            eight.copy_from_slice(&out[text.place + index..][..STEP]);
            out[at + index..][..STEP].copy_from_slice(&eight);
        }
        last = Some(Text { head: text.head, length, place: at });
        at += length;
    }
    Ok(at)
}
