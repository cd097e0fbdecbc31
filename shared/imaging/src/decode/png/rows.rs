//! The rows of a PNG, one by one, without holding the picture.

use super::{
    chunks::Shape,
    inflate::Inflate,
    unfilter::{self, PAETH, ROWS},
};
use crate::{Deadline, ImageError, Limits, TimedOut};

/// Where Adam7's passes begin, and how far apart their pixels lie: across and down (PNG, third edition, 8.2).
const ADAM7: [[u32; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/// Pixels that lie evenly spaced in the picture and are stored as a picture of their own.
#[derive(Clone, Copy)]
struct Pass {
    left: u32,
    top: u32,
    across: u32,
    down: u32,
    width: u32,
    height: u32,
}

/// One row of a pass, or of the picture.
pub(crate) struct Row<'a> {
    /// Its place in the picture.
    pub(crate) y: u32,
    /// The place of its first pixel.
    pub(crate) left: u32,
    /// From one pixel to the next.
    pub(crate) step: u32,
    pub(crate) width: u32,
    /// Its samples, packed as PNG packs them.
    pub(super) data: &'a [u8],
}

/// Reads row after row.
pub(crate) struct Rows<'a> {
    shape: Shape,
    passes: Vec<Pass>,
    inflate: Inflate<'a>,
    /// The row last given, the next ones as far as they are ready, and room.
    lines: [Vec<u8>; 1 + ROWS],
    ready: usize,
    pass: usize,
    row: u32,
}

impl<'a> Rows<'a> {
    /// # Errors
    /// [`ImageError::DecoderMemory`] where a few rows are more than the limit allows.
    pub(super) fn new(
        file: &'a [u8],
        shape: Shape,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Self, ImageError> {
        let line = shape.row_bytes(shape.width);
        let whole = (line as u64 + 1).saturating_mul(u64::from(shape.height) * 2);
        let window = Inflate::window_bytes(line + 1, whole);
        limits.check_memory((line as u64).saturating_mul(1 + ROWS as u64).saturating_add(window as u64))?;
        Ok(Self {
            shape,
            passes: passes(&shape),
            inflate: Inflate::new(file, line + 1, whole, deadline),
            lines: std::array::from_fn(|_| vec![0; line]),
            ready: 0,
            pass: 0,
            row: 0,
        })
    }

    /// The next row; `None` after the last, or where the data is cut off or damaged.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, TimedOut> {
        while self.passes.get(self.pass).is_some_and(|pass| self.row == pass.height) {
            self.pass += 1;
            self.row = 0;
        }
        let Some(&pass) = self.passes.get(self.pass) else { return Ok(None) };
        let bytes = self.shape.row_bytes(pass.width);
        if self.row == 0 {
            self.lines[0][..bytes].fill(0);
        }
        if self.ready == 0 {
            self.ready = self.read(bytes, (pass.height - self.row) as usize)?;
            if self.ready == 0 {
                return Ok(None);
            }
        }
        self.ready -= 1;
        self.lines.rotate_left(1);
        let y = pass.top + self.row * pass.down;
        self.row += 1;
        Ok(Some(Row {
            y,
            left: pass.left,
            step: pass.across,
            width: pass.width,
            data: &self.lines[0][..bytes],
        }))
    }

    /// Reads the next row, and with luck some behind it (of as many as are `left`), into the lines behind the first; gives how many.
    fn read(&mut self, bytes: usize, left: usize) -> Result<usize, TimedOut> {
        let line = bytes + 1;
        if !self.inflate.ensure(line)? {
            return Ok(0);
        }
        let mut count = 0;
        while count < left.min(ROWS)
            && self.inflate.ensure((count + 1) * line)?
            && self.inflate.unread()[count * line] == PAETH
        {
            count += 1;
        }
        let [above, a, b, c, d] = self.lines.each_mut().map(|line| &mut line[..bytes]);
        let size = (self.shape.bits() / 8).max(1);
        let unread = self.inflate.unread();
        let raw = |row: usize| &unread[row * line + 1..][..bytes];
        match count {
            0 => {
                if !unfilter::one(unread[0], size, above, raw(0), a) {
                    return Ok(0);
                }
            }
            1 => unfilter::by_paeth(size, above, [raw(0)], [a]),
            2 => unfilter::by_paeth(size, above, [raw(0), raw(1)], [a, b]),
            3 => unfilter::by_paeth(size, above, [raw(0), raw(1), raw(2)], [a, b, c]),
            _ => unfilter::by_paeth(size, above, [raw(0), raw(1), raw(2), raw(3)], [a, b, c, d]),
        }
        let read = count.max(1);
        self.inflate.consume(read * line);
        Ok(read)
    }

    /// Whether the rows ended because there are no more.
    pub(crate) fn is_complete(&self) -> bool {
        self.pass == self.passes.len()
    }

    /// Of a pixel whose row did not come, the one of an earlier pass that stands for it until it does (as browsers
    /// show a picture that is still loading): the corner of its block, which may be missing as well.
    pub(super) fn stand_in(&self, x: u32, y: u32) -> Option<(u32, u32)> {
        let belongs = |pass: &Pass| x % pass.across == pass.left && y % pass.down == pass.top;
        let index = self.passes.iter().position(belongs)?;
        let pass = &self.passes[index];
        let came = index < self.pass || (index == self.pass && (y - pass.top) / pass.down < self.row);
        (!came).then_some((x - pass.left, y - pass.top))
    }
}

/// The picture itself, or Adam7's passes of it; those without pixels have no rows.
fn passes(shape: &Shape) -> Vec<Pass> {
    let (width, height) = (shape.width, shape.height);
    if !shape.interlaced {
        return vec![Pass { left: 0, top: 0, across: 1, down: 1, width, height }];
    }
    let passes = ADAM7.iter().map(|&[left, top, across, down]| {
        let pass = Pass {
            left,
            top,
            across,
            down,
            width: width.saturating_sub(left).div_ceil(across),
            height: height.saturating_sub(top).div_ceil(down),
        };
        if pass.width == 0 { Pass { height: 0, ..pass } } else { pass }
    });
    passes.collect()
}
