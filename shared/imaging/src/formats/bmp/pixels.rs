//! Decodes a bitmap's pixels: rows of indices or colours, and run-length encoding.

use super::{Bitmap, Packing};
use crate::{
    Deadline, ImageError,
    decode::{Decoded, pixelwise},
    header::Header,
};

/// The colour of an index beyond the table.
const BLACK: [u8; 4] = [0, 0, 0, 255];

/// Rows between two checks of the deadline.
const ROWS: usize = 64;

impl Bitmap {
    /// Decodes rows in the order in which they are stored, as far as the data goes. Returns as well where the pixels
    /// end, which may lie beyond the end of the data.
    pub(in crate::formats) fn decode(
        &self,
        table: &[u8],
        data: &[u8],
        header: &Header,
        deadline: Deadline,
    ) -> Result<(Decoded, usize), ImageError> {
        let (width, height) = (self.width as usize, header.stored.1 as usize);
        let mut rgba = vec![0; width * height * 4];
        let colours = self.colours(table);
        let out = rgba.as_chunks_mut::<4>().0;
        if self.packing == Packing::Runs {
            let runs = Runs { data, bits: self.bits, colours: &colours };
            let Shown { written, skipped, rest } = runs.decode(out, width, deadline)?;
            // Pixels that the runs skip are transparent; skipping them is legal and not damage.
            let decoded = pixelwise::decoded(self.format, rgba, skipped, written, written)?;
            return Ok((decoded, data.len() - rest));
        }
        let row_bytes = self.row_bytes(self.bits);
        let mut rows = 0;
        for (out, row) in out.chunks_exact_mut(width).zip(data.chunks(row_bytes)) {
            if rows % ROWS == 0 {
                deadline.check()?;
            }
            self.row(row, out, &colours);
            rows += usize::from(row.len() == row_bytes);
        }
        // The last row may be cut off; the part that is there is shown.
        let rows = rows.max(usize::from(!data.is_empty() && rows == 0));
        let alpha = self.masks[3] != 0;
        if alpha && rgba.as_chunks::<4>().0.iter().all(|pixel| pixel[3] == 0) {
            // The file has a mask for alpha, but never filled the alpha in.
            rgba.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel[3] = 255);
        }
        Ok((pixelwise::decoded(self.format, rgba, alpha, rows, height)?, row_bytes * height))
    }

    /// The colour table: blue, green, red, and in most versions an unused byte.
    fn colours(&self, table: &[u8]) -> Vec<[u8; 4]> {
        let colours = table.chunks_exact(self.colour_bytes).take(self.colours);
        colours.map(|colour| [colour[2], colour[1], colour[0], 255]).collect()
    }

    /// Decodes one row, or the part of it that is there.
    fn row(&self, row: &[u8], out: &mut [[u8; 4]], colours: &[[u8; 4]]) {
        let colour = |index: u8| colours.get(usize::from(index)).copied().unwrap_or(BLACK);
        match self.bits {
            bits @ (1 | 2 | 4 | 8) => {
                let mask = (0xff_u16 >> (8 - bits)) as u8;
                let indices =
                    row.iter().flat_map(|byte| (1..=8 / bits).map(move |at| byte >> (8 - at * bits) & mask));
                out.iter_mut().zip(indices).for_each(|(out, index)| *out = colour(index));
            }
            16 => {
                let channels = self.masks.map(Channel::of);
                let pixels = row.as_chunks().0.iter().map(|&raw| u32::from(u16::from_le_bytes(raw)));
                out.iter_mut()
                    .zip(pixels)
                    .for_each(|(out, raw)| *out = channels.each_ref().map(|c| c.value(raw)));
                self.make_opaque(out, row.len() / 2);
            }
            24 => {
                let pixels = row.as_chunks::<3>().0;
                out.iter_mut().zip(pixels).for_each(|(out, &[b, g, r])| *out = [r, g, b, 255]);
            }
            _ => {
                let channels = self.masks.map(Channel::of);
                let pixels = row.as_chunks().0.iter().map(|&raw| u32::from_le_bytes(raw));
                out.iter_mut()
                    .zip(pixels)
                    .for_each(|(out, raw)| *out = channels.each_ref().map(|c| c.value(raw)));
                self.make_opaque(out, row.len() / 4);
            }
        }
    }

    fn make_opaque(&self, out: &mut [[u8; 4]], pixels: usize) {
        if self.masks[3] == 0 {
            out.iter_mut().take(pixels).for_each(|pixel| pixel[3] = 255);
        }
    }
}

/// The bits of one channel.
struct Channel {
    mask: u32,
    shift: u32,
    max: u32,
}

impl Channel {
    fn of(mask: u32) -> Self {
        let shift = mask.trailing_zeros() % 32;
        Self { mask, shift, max: mask >> shift }
    }

    #[inline]
    fn value(&self, raw: u32) -> u8 {
        let value = (raw & self.mask) >> self.shift;
        if self.max == 255 { value as u8 } else { pixelwise::to_eight_bits(value, self.max) }
    }
}

/// A decoder for run-length encoding with 4, 8 or (OS/2) 24 bits.
struct Runs<'a> {
    data: &'a [u8],
    bits: u16,
    colours: &'a [[u8; 4]],
}

/// The code that ends a picture of runs.
const END: [u8; 2] = [0, 1];

/// What became of a picture of runs.
struct Shown {
    /// The number of pixels that were written.
    written: usize,
    /// Whether any pixel was skipped.
    skipped: bool,
    /// The number of bytes behind the picture.
    rest: usize,
}

impl Runs<'_> {
    /// Decodes onto a transparent picture, up to the code that ends it or the end of the data. Nothing but that code is
    /// read behind the last row.
    fn decode(mut self, out: &mut [[u8; 4]], width: usize, deadline: Deadline) -> Result<Shown, ImageError> {
        let (mut x, mut y, mut written, mut codes) = (0, 0, 0, 0_usize);
        while y * width < out.len() || self.data.starts_with(&END) {
            let Some([first, second]) = self.take() else { break };
            if codes.is_multiple_of(1 << 14) {
                deadline.check()?;
            }
            codes += 1;
            match (first, second) {
                (0, 0) => (x, y) = (0, y + 1),
                (0, 1) => break,
                (0, 2) => {
                    let Some([right, down]) = self.take() else { break };
                    (x, y) = (x + usize::from(right), y + usize::from(down));
                }
                _ => {
                    let rest = out.get_mut(y * width..).unwrap_or_default();
                    let row = rest.get_mut(x.min(width)..width).unwrap_or_default();
                    let (count, shown) = self.run(first, second, row);
                    x += count;
                    written += shown;
                }
            }
        }
        let skipped = out.iter().any(|pixel| pixel[3] == 0);
        Ok(Shown { written, skipped, rest: self.data.len() })
    }

    fn take(&mut self) -> Option<[u8; 2]> {
        let (&two, rest) = self.data.split_first_chunk()?;
        self.data = rest;
        Some(two)
    }

    /// Decodes a run of one colour or a sequence of literal colours; what exceeds the row is cut off. Returns the
    /// number of pixels that it covers and the number that were written.
    fn run(&mut self, first: u8, second: u8, row: &mut [[u8; 4]]) -> (usize, usize) {
        let count = usize::from(if first == 0 { second } else { first });
        let bytes = (count * usize::from(self.bits)).div_ceil(8);
        let long = match (first, self.bits) {
            // Literal colours, padded to an even number of bytes.
            (0, _) => bytes.next_multiple_of(2),
            // A run of a 24-bit colour; its first byte has been taken already.
            (_, 24) => 2,
            _ => 0,
        };
        let (data, rest) = self.data.split_at(long.min(self.data.len()));
        self.data = rest;
        let colour = |index: u8| self.colours.get(usize::from(index)).copied().unwrap_or(BLACK);
        let nibble = |byte: u8, at: usize| if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
        let pixel = |at: usize| match (first, self.bits) {
            (0, 4) => data.get(at / 2).map(|&byte| colour(nibble(byte, at))),
            (0, 8) => data.get(at).map(|&index| colour(index)),
            (0, _) => data.get(at * 3..).and_then(<[u8]>::first_chunk).map(|&[b, g, r]| [r, g, b, 255]),
            (_, 4) => Some(colour(nibble(second, at))),
            (_, 8) => Some(colour(second)),
            _ => data.first_chunk().map(|&[g, r]| [r, g, second, 255]),
        };
        let mut written = 0;
        for (out, pixel) in row.iter_mut().zip((0..count).map_while(pixel)) {
            *out = pixel;
            written += 1;
        }
        (count, written)
    }
}
