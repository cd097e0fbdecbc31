//! Decodes lossless pictures (`VP8L`) row by row without holding them, by RFC 9649 (WebP Image Format, 2024), 3.
//!
//! libwebp holds a whole lossless picture, at four bytes per pixel, before a thumbnail gets the first row. That is not
//! necessary: a copy refers back at most 2²⁰ pixels, so a ring of that many (4 MB) is enough ([`pixels`]); a predictor
//! needs the row above, and the other transforms need no other row ([`transforms`], [`predict`]). Data is decoded
//! bit-exactly as by libwebp, and damaged or truncated data is shown at least as far as libwebp shows it. Tests check
//! that with what encoders write and with streams that none would write. This decoder takes less time than libwebp, and
//! a small part of its memory (`infra/bench/RESULTS.md`).
//!
//! Memory is counted before it is allocated ([`Memory`]). The data of blocks (the group of codes, the predictor, the
//! correlation of colours) takes 2, 1 and 3 bytes per block of at least 16 pixels. Groups of codes that no block uses
//! are not kept, and the size of a code's table depends on its longest code word ([`tables`]).

mod bits;
mod codes;
mod pixels;
mod predict;
mod tables;
mod transforms;

#[cfg(test)]
mod tests;

use self::{bits::Bits, pixels::Pixels, transforms::Transform};
use super::{WebpPicture, corrupt, grey_from};
use crate::{Deadline, ImageError, Limits, TimedOut, decode::samples};

/// Decodes the whole picture as far as possible. At least some pixels can be shown.
///
/// # Errors
/// [`ImageError::Corrupt`], [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`].
pub(super) fn pixels(
    picture: &WebpPicture<'_>,
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
    let shown = rows.rows_read();
    if shown == 0 {
        return Err(corrupt());
    }
    if !picture.has_alpha {
        grey_from(&mut rgba, width, shown);
    }
    Ok(rgba)
}

/// The reason why reading ended early.
enum ReadFault {
    /// The data is invalid, or ends early.
    Data,
    /// A limit or the deadline was exceeded.
    Refused(ImageError),
}

impl From<TimedOut> for ReadFault {
    fn from(late: TimedOut) -> Self {
        Self::Refused(late.into())
    }
}

/// Counts allocated memory against the limit.
struct Memory<'a> {
    limits: &'a Limits,
    taken: u64,
}

impl Memory<'_> {
    /// Must be called before so many bytes are allocated.
    fn take(&mut self, bytes: u64) -> Result<(), ReadFault> {
        self.taken += bytes;
        self.limits.check_memory(self.taken).map_err(ReadFault::Refused)
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
    /// The width of the stored pixels. A line has room for those that are shown, which may be more.
    stored: usize,
    height: u32,
    row: u32,
    line: Vec<u32>,
    /// The samples of a row: straight-alpha RGBA, or RGB if the picture states that it is opaque.
    samples: Vec<u8>,
    has_alpha: bool,
}

impl<'a> Rows<'a> {
    /// Reads the part before the pixels. `held` is the number of bytes that the caller holds.
    ///
    /// # Errors
    /// [`ImageError::Corrupt`] where that part is incomplete; [`ImageError::DecoderMemory`] or
    /// [`ImageError::TimeLimit`].
    pub(crate) fn open(
        picture: &WebpPicture<'a>,
        held: u64,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Self, ImageError> {
        let memory = Memory { limits, taken: held };
        Self::read(picture, memory, deadline).map_err(|fault| match fault {
            ReadFault::Data => corrupt(),
            ReadFault::Refused(error) => error,
        })
    }

    fn read(
        picture: &WebpPicture<'a>,
        mut memory: Memory<'_>,
        deadline: Deadline,
    ) -> Result<Self, ReadFault> {
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

    /// Returns the next row: straight-alpha RGBA, or RGB if the picture states that it is opaque. `None` after the
    /// last, or where the data is cut off or invalid.
    ///
    /// # Errors
    /// [`ImageError::TimeLimit`].
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, ImageError> {
        if self.row == self.height {
            return Ok(None);
        }
        match self.pixels.row(&mut self.bits, &mut self.line[..self.stored]) {
            Ok(()) => {}
            Err(ReadFault::Data) => {
                self.height = self.row;
                return Ok(None);
            }
            Err(ReadFault::Refused(error)) => return Err(error),
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

    /// The number of rows that were read.
    pub(crate) fn rows_read(&self) -> u32 {
        self.row
    }
}
