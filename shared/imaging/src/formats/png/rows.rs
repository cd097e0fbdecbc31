//! Reads the rows of a PNG one by one, without holding the picture.

use super::{
    chunks::Shape,
    inflate::Inflate,
    unfilter::{self, PAETH, ROWS},
};
use crate::{Deadline, ImageError, Limits, TimedOut};

/// The first pixel of each of Adam7's passes, and the distance of its pixels, across and down (PNG, third edition,
/// 8.2).
const ADAM7: [[u32; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/// Evenly spaced pixels that are stored like a picture of their own.
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
    /// The row's position in the picture.
    pub(crate) y: u32,
    /// The position of its first pixel.
    pub(crate) left: u32,
    /// The distance from one pixel to the next.
    pub(crate) step: u32,
    pub(crate) width: u32,
    /// The samples, packed as in PNG.
    pub(super) data: &'a [u8],
}

/// Reads row after row.
pub(crate) struct Rows<'a> {
    shape: Shape,
    passes: Vec<Pass>,
    inflate: Inflate<'a>,
    /// The row that was returned last, the next ones as far as they are ready, and free lines.
    lines: Vec<Vec<u8>>,
    ready: usize,
    pass: usize,
    row: u32,
}

impl<'a> Rows<'a> {
    /// [`ImageError::DecoderMemory`] where a few rows exceed the limit.
    pub(super) fn new(
        file: &'a [u8],
        shape: Shape,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Self, ImageError> {
        let line = shape.row_bytes(shape.width);
        let whole = (line as u64 + 1).saturating_mul(u64::from(shape.height) * 2);
        let window = Inflate::window_bytes(line + 1, whole);
        let lines = 1 + ROWS.min(shape.height as usize);
        limits.check_memory((line as u64).saturating_mul(lines as u64).saturating_add(window as u64))?;
        Ok(Self {
            shape,
            passes: passes(&shape),
            inflate: Inflate::new(file, line + 1, whole, deadline),
            lines: vec![vec![0; line]; lines],
            ready: 0,
            pass: 0,
            row: 0,
        })
    }

    /// Returns the next row; `None` after the last, or where the data is cut off or damaged.
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

    /// Reads the next row, and possibly some of the rows after it (of which there are `left`), into the lines after the
    /// first. Returns how many were read.
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
        let size = (self.shape.bits() / 8).max(1);
        let unread = self.inflate.unread();
        let raw = |row: usize| &unread[row * line + 1..][..bytes];
        let mut lines = self.lines.iter_mut().map(|line| &mut line[..bytes]);
        let above = lines.next().unwrap_or_default();
        let mut out = || lines.next().unwrap_or_default();
        match count {
            0 | 1 => {
                if !unfilter::undo_row(unread[0], size, above, raw(0), out()) {
                    return Ok(0);
                }
            }
            2 => unfilter::undo_paeth(size, above, [raw(0), raw(1)], [out(), out()]),
            3 => unfilter::undo_paeth(size, above, [raw(0), raw(1), raw(2)], [out(), out(), out()]),
            _ => {
                let rows = [out(), out(), out(), out()];
                unfilter::undo_paeth(size, above, [raw(0), raw(1), raw(2), raw(3)], rows);
            }
        }
        let read = count.max(1);
        self.inflate.consume(read * line);
        Ok(read)
    }

    /// Whether the rows ended because all were read.
    pub(crate) fn is_complete(&self) -> bool {
        self.pass == self.passes.len()
    }

    /// For a pixel whose row is missing, the pixel of an earlier pass that is shown instead, as browsers do while a
    /// picture loads: the corner of its block, which may be missing as well.
    pub(super) fn stand_in(&self, x: u32, y: u32) -> Option<(u32, u32)> {
        let belongs = |pass: &Pass| x % pass.across == pass.left && y % pass.down == pass.top;
        let index = self.passes.iter().position(belongs)?;
        let pass = &self.passes[index];
        let came = index < self.pass || (index == self.pass && (y - pass.top) / pass.down < self.row);
        (!came).then_some((x - pass.left, y - pass.top))
    }
}

/// The picture itself as one pass, or Adam7's passes. Passes without pixels have no rows.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::chunks::ColourType, *};

    /// A PNG whose rows have these filters, and the unfiltered rows in the order of the file.
    fn file(shape: Shape, filters: &[u8], noise: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let (mut data, mut rows) = (Vec::new(), Vec::new());
        let (mut filters, mut noise) = (filters.iter().cycle(), noise.iter().cycle());
        for pass in passes(&shape) {
            let bytes = shape.row_bytes(pass.width);
            let mut above = vec![0; bytes];
            for _ in 0..pass.height {
                let filter = *filters.next().expect("a filter");
                let raw: Vec<u8> = noise.by_ref().take(bytes).copied().collect();
                let mut row = vec![0; bytes];
                unfilter::undo_row(filter, (shape.bits() / 8).max(1), &above, &raw, &mut row);
                data.push(filter);
                data.extend(&raw);
                above.clone_from(&row);
                rows.push(row);
            }
        }
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, data) in [(b"IDAT", fdeflate::compress_to_vec(&data)), (b"IEND", Vec::new())] {
            file.extend((data.len() as u32).to_be_bytes());
            file.extend(kind);
            file.extend(data);
            file.extend([0; 4]);
        }
        (file, rows)
    }

    fn read(file: &[u8], shape: Shape) -> Vec<Vec<u8>> {
        let mut rows = Rows::new(file, shape, &Limits::default(), Deadline::none()).expect("within limits");
        let mut read = Vec::new();
        while let Some(row) = rows.next().expect("no deadline") {
            read.push(row.data.to_vec());
        }
        read
    }

    const KINDS: [(ColourType, u8); 5] = [
        (ColourType::Grey, 1),
        (ColourType::Grey, 8),
        (ColourType::GreyAlpha, 8),
        (ColourType::Rgb, 8),
        (ColourType::Rgba, 16),
    ];

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_read_together_are_those_read_one_by_one(
            size in (1..40_u32, 1..14_u32), kind in prop::sample::select(KINDS.to_vec()), interlaced in any::<bool>(),
            filters in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 3, 4, 4, 4, 4, 4]), 1..20),
            noise in prop::collection::vec(any::<u8>(), 1..500), kept in 0.0..1.0_f64,
        ) {
            let shape = Shape { width: size.0, height: size.1, colour: kind.0, depth: kind.1, interlaced };
            let (file, rows) = file(shape, &filters, &noise);
            prop_assert_eq!(&read(&file, shape), &rows);
            let cut = read(&file[..(file.len() as f64 * kept) as usize], shape);
            prop_assert_eq!(&cut[..], &rows[..cut.len()]);
        }
    }

    #[test]
    fn lines_longer_than_what_is_inflated_at_once_are_read() {
        let shape = Shape { width: 12_000, height: 9, colour: ColourType::Rgba, depth: 8, interlaced: false };
        let (file, rows) = file(shape, &[PAETH], &[7, 1, 0, 0, 250, 3, 0]);
        assert!(read(&file, shape) == rows);
    }
}
