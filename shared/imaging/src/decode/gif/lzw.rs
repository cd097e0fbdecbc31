//! LZW as GIF has it: codes of growing width, the lowest bit first (CompuServe, Graphics Interchange Format 89a,
//! appendix F; T. Welch, A Technique for High-Performance Data Compression, 1984).
//!
//! A string of the dictionary is kept as the place where the output has it already, so that to write it is a copy of
//! eight bytes or so. That is two to five times as fast as walking chains of single bytes backwards, which is what
//! `weezl` does; the tests hold one against the other.

use super::blocks::SubBlocks;
use crate::{Deadline, TimedOut};

/// Codes have at most twelve bits.
const CODES: usize = 4096;
const MAX_WIDTH: u32 = 12;

/// Bytes copied at once. The output has as many to spare, so that a copy may run over.
const STEP: usize = 8;

/// Pixels between two looks at the clock.
const PIXELS_PER_CHECK: usize = 1 << 18;

/// A decoder, whose tables are used again for the next picture.
pub(super) struct Lzw {
    /// Where in the output each string begins, and its length.
    strings: Box<[(u32, u32); CODES]>,
    out: Vec<u8>,
}

/// The codes' bits.
struct Bits<'a> {
    pieces: SubBlocks<'a>,
    piece: &'a [u8],
    held: u64,
    count: u32,
}

impl Bits<'_> {
    /// The next code; `None` at the end.
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
        Self { strings: Box::new([(0, 0); CODES]), out: Vec::new() }
    }

    /// Decodes at most so many pixels: fewer where the codes end or make no sense any more.
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
    strings: &mut [(u32, u32); CODES],
    out: &mut [u8],
    pixels: usize,
    deadline: Deadline,
) -> Result<usize, TimedOut> {
    let clear = 1_usize << code_size;
    let end = clear + 1;
    let (mut width, mut next) = (u32::from(code_size) + 1, end + 1);
    // Where the last string was written; none after a clear code.
    let mut last: Option<(usize, usize)> = None;
    let (mut at, mut check) = (0, 0);
    while at < pixels {
        if at >= check {
            deadline.check()?;
            check = at + PIXELS_PER_CHECK;
        }
        let Some(code) = bits.code(width) else { break };
        if code == clear {
            (width, next, last) = (u32::from(code_size) + 1, end + 1, None);
            continue;
        }
        if code == end {
            break;
        }
        // This code completes a string: the last one and the first pixel of this one, which follows it in the output.
        if let Some((start, length)) = last
            && next < CODES
        {
            strings[next] = (start as u32, length as u32 + 1);
            next += 1;
            if next == 1 << width && width < MAX_WIDTH {
                width += 1;
            }
        }
        let length = if code < clear {
            let Ok(literal) = u8::try_from(code) else { break };
            out[at] = literal;
            1
        } else if code < next {
            let (start, length) = strings[code];
            copy(out, start as usize, at, (length as usize).min(pixels - at))
        } else {
            break;
        };
        last = Some((at, length));
        at += length;
    }
    Ok(at)
}

/// Copies so many bytes within the output, which has [`STEP`] to spare after them; gives the number back.
#[inline]
fn copy(out: &mut [u8], from: usize, to: usize, length: usize) -> usize {
    if from + length > to {
        // The string that this very code completes: it ends with its own first byte.
        for index in 0..length {
            out[to + index] = out[from + index];
        }
        return length;
    }
    for index in (0..length).step_by(STEP) {
        let mut eight = [0; STEP];
        eight.copy_from_slice(&out[from + index..][..STEP]);
        out[to + index..][..STEP].copy_from_slice(&eight);
    }
    length
}
