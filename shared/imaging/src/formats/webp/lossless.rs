//! Lossless pictures (`VP8L`), row by row and without holding them, by RFC 9649 (WebP Image Format, 2024), 3.
//!
//! libwebp holds a lossless picture whole, four bytes for each pixel, before a thumbnail has one row of it. That is not needed:
//! a copy comes from at most 2²⁰ pixels before, so a ring of that many (4 MB) is all that is kept ([`pixels`]); a predictor needs
//! the row above, and the other transforms need none ([`transforms`], [`predict`]). The data is read as libwebp reads it, to the bit,
//! and what is damaged or cut off is shown at least as far as libwebp shows it; tests hold that on what encoders write and on streams
//! that none would.
//!
//! Pictures of 12 megapixels to 100×100, in milliseconds of the processor, and what that takes beside the file:
//!
//! | picture | here | by libwebp 1.6.0 |
//! |---|---|---|
//! | a photograph with fine noise | 160 ms, 6.7 MB | 283 ms, 96 MB |
//! | a soft one | 137 ms, 7.1 MB | 188 ms |
//! | one of 200 colours | 46 ms, 7.0 MB | 106 ms |
//! | the first with an alpha channel | 206 ms, 7.5 MB | 294 ms, 50 MB |
//!
//! Memory is counted before it is taken ([`Memory`]). What goes with blocks (which group of codes, which predictor, how colours are
//! correlated) is kept in 2, 1 and 3 bytes a block, which is 16 pixels at the least; groups of codes that no block has are not
//! kept, and a code takes as much as the longest of its words asks for ([`tables`]).

mod bits;
mod codes;
mod pixels;
mod predict;
mod tables;
mod transforms;

#[cfg(test)]
mod tests;

use self::{bits::Bits, pixels::Pixels, transforms::Transform};
use super::{Picture, corrupt, unseen};
use crate::{Deadline, ImageError, Limits, TimedOut, decode::samples};

/// The whole picture, as far as it can be shown, which is some way at least.
///
/// # Errors
/// [`ImageError::Corrupt`], [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`].
pub(super) fn pixels(
    picture: &Picture<'_>,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Vec<u8>, ImageError> {
    let width = picture.size.0;
    let bytes = u64::from(width) * u64::from(picture.size.1) * 4;
    let mut rows = Rows::open(picture, bytes, limits, deadline)?;
    let channels = picture.layout().channels;
    let mut rgba = vec![0; bytes as usize];
    for line in rgba.as_chunks_mut::<4>().0.chunks_exact_mut(width as usize) {
        let Some(row) = rows.next()? else { break };
        samples::spread(row, channels, 255, line);
    }
    let shown = rows.shown();
    if shown == 0 {
        return Err(corrupt());
    }
    if !picture.has_alpha {
        unseen(&mut rgba, width, shown);
    }
    Ok(rgba)
}

/// Why reading ended early.
enum Fault {
    /// The data is wrong, or ends early.
    Data,
    /// For another reason.
    Refused(ImageError),
}

impl From<TimedOut> for Fault {
    fn from(late: TimedOut) -> Self {
        Self::Refused(late.into())
    }
}

/// Memory that is taken, within the limit.
struct Memory<'a> {
    limits: &'a Limits,
    taken: u64,
}

impl Memory<'_> {
    /// To be asked before so many bytes are taken.
    fn take(&mut self, bytes: u64) -> Result<(), Fault> {
        self.taken += bytes;
        self.limits.check_memory(self.taken).map_err(Fault::Refused)
    }

    fn give_back(&mut self, bytes: u64) {
        self.taken -= bytes;
    }

    fn taken(&self) -> u64 {
        self.taken
    }
}

/// Reads row after row.
pub(crate) struct Rows<'a> {
    bits: Bits<'a>,
    pixels: Pixels,
    transforms: Vec<Transform>,
    /// Pixels across as they are stored; a line has room for those that are shown, which may be more.
    stored: usize,
    height: u32,
    row: u32,
    line: Vec<u32>,
    /// The samples of a row: straight RGBA, or RGB where the picture says that it is opaque.
    samples: Vec<u8>,
    has_alpha: bool,
}

impl<'a> Rows<'a> {
    /// Reads what comes before the pixels, for someone who takes so many bytes beside this.
    ///
    /// # Errors
    /// [`ImageError::Corrupt`] where that is not whole; [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`].
    pub(crate) fn open(
        picture: &Picture<'a>,
        held: u64,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Self, ImageError> {
        let memory = Memory { limits, taken: held };
        Self::read(picture, memory, deadline).map_err(|fault| match fault {
            Fault::Data => corrupt(),
            Fault::Refused(error) => error,
        })
    }

    fn read(picture: &Picture<'a>, mut memory: Memory<'_>, deadline: Deadline) -> Result<Self, Fault> {
        const CHUNK: usize = 8;
        const HEADER: usize = 5;
        let data = picture.data.get(CHUNK + HEADER..).unwrap_or_default();
        let mut bits = Bits::new(data);
        let (width, height) = picture.size;
        let channels = if picture.has_alpha { 4 } else { 3 };
        memory.take(u64::from(width) * (4 + channels))?;
        let (transforms, stored) = Transform::read_all(&mut bits, picture.size, &mut memory, deadline)?;
        let pixels = Pixels::read(&mut bits, (stored, height), true, &mut memory, deadline)?;
        Ok(Self {
            bits,
            pixels,
            transforms,
            stored: stored as usize,
            height,
            row: 0,
            line: vec![0; width as usize],
            samples: vec![0; width as usize * channels as usize],
            has_alpha: picture.has_alpha,
        })
    }

    /// The next row: straight RGBA, or RGB where the picture says that it is opaque. `None` after the last, or where the data is cut
    /// off or wrong.
    ///
    /// # Errors
    /// [`ImageError::TimeLimit`].
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, ImageError> {
        if self.row == self.height {
            return Ok(None);
        }
        match self.pixels.row(&mut self.bits, &mut self.line[..self.stored]) {
            Ok(()) => {}
            Err(Fault::Data) => {
                self.height = self.row;
                return Ok(None);
            }
            Err(Fault::Refused(error)) => return Err(error),
        }
        let mut width = self.stored;
        for transform in self.transforms.iter_mut().rev() {
            width = transform.undo(self.row as usize, &mut self.line, width);
        }
        self.row += 1;
        if self.has_alpha {
            for (out, pixel) in self.samples.as_chunks_mut::<4>().0.iter_mut().zip(&self.line) {
                *out = pixel.rotate_left(8).to_be_bytes();
            }
        } else {
            for (out, pixel) in self.samples.as_chunks_mut::<3>().0.iter_mut().zip(&self.line) {
                let [_, r, g, b] = pixel.to_be_bytes();
                *out = [r, g, b];
            }
        }
        Ok(Some(&self.samples))
    }

    /// How many rows came.
    pub(crate) fn shown(&self) -> u32 {
        self.row
    }
}
