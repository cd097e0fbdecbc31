//! Decompression of chunks by rows: uncompressed, PackBits, LZW, deflate, zstd and fax. Each returns as much as it can
//! before an error or the end.

use std::{borrow::Cow, io::Read as _};

use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder, errors::FrameDecoderError};
use weezl::{BitOrder, LzwStatus, decode::Configuration};

use super::{
    BYTES,
    fax::Fax,
    page::{Compression, Page},
};
use crate::{Deadline, ImageError, Limits};

/// A decompressor for the data of a chunk.
pub(super) struct Unpacked<'a> {
    packed: Cow<'a, [u8]>,
    /// The number of packed bytes that were read.
    read: usize,
    state: State,
}

enum State {
    Plain,
    PackBits {
        /// Bytes left of the run or of the literals.
        left: usize,
        /// The byte that a run repeats.
        run: Option<u8>,
    },
    Lzw(Box<weezl::decode::Decoder>),
    Deflate(Box<Decompress>),
    Zstd(Box<Zstd>),
    Fax(Box<Fax>),
}

impl<'a> Unpacked<'a> {
    /// Creates a decompressor for a chunk, with `room` bytes of memory; `None` if the chunk is a picture of its own,
    /// which is not unpacked by rows.
    pub(super) fn new(page: &Page<'_>, packed: &'a [u8], room: u64) -> Option<Self> {
        let state = match page.compression {
            Compression::None => State::Plain,
            Compression::PackBits => State::PackBits { left: 0, run: None },
            Compression::Lzw => State::Lzw(Box::new(lzw(packed).build())),
            Compression::Deflate => State::Deflate(Box::new(Decompress::new(true))),
            Compression::Fax(kind) => State::Fax(Box::new(Fax::new(kind, page.chunk.0))),
            Compression::Zstd => State::Zstd(Box::new(Zstd::new(room))),
            Compression::Jpeg | Compression::OldJpeg | Compression::WebP | Compression::Jpeg2000 { .. } => {
                return None;
            }
        };
        let packed = if page.reversed {
            Cow::Owned(packed.iter().map(|byte| byte.reverse_bits()).collect())
        } else {
            Cow::Borrowed(packed)
        };
        Some(Self { packed, read: 0, state })
    }

    /// Unpacks one row into `out`; false if the data ends before it is full. Within long rows it checks the deadline.
    ///
    /// # Errors
    /// [`ImageError::TimeLimit`], or [`ImageError::DecoderMemory`] where the packed data demands more than `room`.
    pub(super) fn fill(
        &mut self,
        out: &mut [u8],
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<bool, ImageError> {
        match &mut self.state {
            State::Fax(fax) => return Ok(fax.row(&self.packed, out)),
            State::Zstd(zstd) => return zstd.fill(&self.packed, &mut self.read, out, limits, deadline),
            _ => {}
        }
        for (nth, piece) in out.chunks_mut(BYTES).enumerate() {
            if nth > 0 {
                deadline.check()?;
            }
            if !self.piece(piece) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Unpacks into all of `out`, continuing where the last piece ended; false if the data ends before.
    fn piece(&mut self, out: &mut [u8]) -> bool {
        let packed = self.packed.get(self.read..).unwrap_or_default();
        match &mut self.state {
            State::Plain => {
                let Some((now, _)) = packed.split_at_checked(out.len()) else { return false };
                out.copy_from_slice(now);
                self.read += out.len();
                true
            }
            State::PackBits { left, run } => {
                let (read, filled) = unpack_bits(packed, left, run, out);
                self.read += read;
                filled
            }
            State::Lzw(decoder) => {
                let mut filled = 0;
                while filled < out.len() {
                    let packed = self.packed.get(self.read..).unwrap_or_default();
                    let step = decoder.decode_bytes(packed, &mut out[filled..]);
                    self.read += step.consumed_in;
                    filled += step.consumed_out;
                    if !matches!(step.status, Ok(LzwStatus::Ok)) || step.consumed_in + step.consumed_out == 0
                    {
                        break;
                    }
                }
                filled == out.len()
            }
            State::Deflate(decoder) => {
                let mut filled = 0;
                while filled < out.len() {
                    let packed = self.packed.get(self.read..).unwrap_or_default();
                    let (before_in, before_out) = (decoder.total_in(), decoder.total_out());
                    let status = decoder.decompress(packed, &mut out[filled..], FlushDecompress::None);
                    let read = (decoder.total_in() - before_in) as usize;
                    let written = (decoder.total_out() - before_out) as usize;
                    self.read += read;
                    filled += written;
                    if !matches!(status, Ok(Status::Ok)) || read + written == 0 {
                        break;
                    }
                }
                filled == out.len()
            }
            // These are unpacked by rows, in `fill`.
            State::Zstd(_) | State::Fax(_) => false,
        }
    }
}

/// A zstd frame (RFC 8878), decoded by `ruzstd`.
struct Zstd {
    decoder: FrameDecoder,
    begun: bool,
    ended: bool,
}

impl Zstd {
    /// The most memory of the decoder, in windows: its buffer is twice as long as the window, and half of that exists
    /// in addition while it grows.
    const WINDOWS: u64 = 3;
    /// The further memory of the decoder: blocks, their literals and sequences, and tables.
    const BESIDE: u64 = 4 << 20;
    /// Blocks between two checks of the deadline, each of at most 128 KB.
    const BLOCKS: usize = 16;

    fn new(room: u64) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(room.saturating_sub(Self::BESIDE) / Self::WINDOWS);
        Self { decoder, begun: false, ended: false }
    }

    /// Like [`Unpacked::fill`]; `read` is the number of bytes of `packed` that were read.
    fn fill(
        &mut self,
        packed: &[u8],
        read: &mut usize,
        out: &mut [u8],
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<bool, ImageError> {
        let mut rest = packed.get(*read..).unwrap_or_default();
        if !self.begun {
            self.begun = true;
            match self.decoder.init(&mut rest) {
                Ok(()) => {}
                Err(error @ FrameDecoderError::WindowSizeTooBig { .. }) => {
                    let max = limits.max_decoder_bytes;
                    return Err(ImageError::DecoderMemory { max, source: Some(error.into()) });
                }
                Err(_) => self.ended = true,
            }
        }
        let mut filled = 0;
        for block in 1.. {
            // Reading from memory cannot fail; if it did, it would count as no bytes.
            filled += self.decoder.read(&mut out[filled..]).unwrap_or_default();
            if filled == out.len() || self.ended {
                break;
            }
            if block % Self::BLOCKS == 0 {
                deadline.check()?;
            }
            let one = BlockDecodingStrategy::UptoBlocks(1);
            // After damage, nothing more is decoded; bytes that were decoded before are still returned.
            self.ended = !matches!(self.decoder.decode_blocks(&mut rest, one), Ok(false));
        }
        *read = packed.len() - rest.len();
        Ok(filled == out.len())
    }
}

/// Some writers before TIFF 5.0 stored the lowest bit of a code first. The first code shows it, because that is always
/// 256.
fn lzw(packed: &[u8]) -> Configuration {
    let configuration = match packed {
        [0, second, ..] if second & 1 == 1 => Configuration::new(BitOrder::Lsb, 8),
        _ => Configuration::with_tiff_size_switch(BitOrder::Msb, 8),
    };
    configuration.with_yield_on_full_buffer(true)
}

/// Decodes Apple's PackBits. Returns the number of bytes read, and whether `out` is full.
fn unpack_bits(packed: &[u8], left: &mut usize, run: &mut Option<u8>, out: &mut [u8]) -> (usize, bool) {
    let (mut read, mut filled) = (0, 0);
    while filled < out.len() {
        if *left == 0 {
            let Some(&head) = packed.get(read) else { break };
            read += 1;
            match head.cast_signed() {
                -128 => continue,
                literals @ 0.. => (*left, *run) = (literals as usize + 1, None),
                negative => {
                    let Some(&byte) = packed.get(read) else { break };
                    read += 1;
                    (*left, *run) = (usize::from(negative.unsigned_abs()) + 1, Some(byte));
                }
            }
        }
        let now = (*left).min(out.len() - filled);
        let to = &mut out[filled..filled + now];
        if let Some(byte) = *run {
            to.fill(byte);
        } else if let Some(literals) = packed.get(read..read + now) {
            to.copy_from_slice(literals);
            read += now;
        } else {
            break;
        }
        *left -= now;
        filled += now;
    }
    (read, filled == out.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pack_bits_go_on_where_they_were_left() {
        // Apple's own example.
        let packed =
            [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let expected = [
            0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22, 0xaa, 0xaa,
            0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        ];
        for step in 1..=expected.len() {
            let (mut read, mut left, mut run, mut all) = (0, 0, None, Vec::new());
            while all.len() < expected.len() {
                let mut out = vec![0; step.min(expected.len() - all.len())];
                let (now, full) = unpack_bits(&packed[read..], &mut left, &mut run, &mut out);
                assert!(full, "{step}");
                read += now;
                all.extend(out);
            }
            assert_eq!(all, expected, "{step} at a time");
            assert!(!unpack_bits(&packed[read..], &mut left, &mut run, &mut [0]).1, "and no more");
        }
    }
}
