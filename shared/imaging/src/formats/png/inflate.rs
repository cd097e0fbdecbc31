//! Decompresses the image data as it is needed, with `fdeflate` over a sliding window. The input is read from the
//! chunks where they lie in the file.
//!
//! `fdeflate` is used because it decompresses PNG data faster than zlib-rs and libdeflate (`infra/bench/RESULTS.md`).
//! Checksums are not computed: a picture with errors is better than none.

use fdeflate::Decompressor;

use super::{chunks::Chunks, unfilter::ROWS};
use crate::{Deadline, TimedOut};

/// The most bytes that deflate refers back to.
const HISTORY: usize = 32 << 10;

/// The fewest bytes that are decompressed at once, because the history is moved once for each batch.
const BATCH: usize = 128 << 10;

/// The most bytes of input and of output between two checks of the deadline.
const STEP: usize = 1 << 20;

/// The data of the IDAT chunks as a stream of bytes.
pub(super) struct Inflate<'a> {
    file: &'a [u8],
    input: Input<'a>,
    decoder: Decompressor,
    /// The history, followed by the unread bytes and by free space.
    window: Vec<u8>,
    read: usize,
    filled: usize,
    /// The number of bytes decompressed so far.
    produced: u64,
    /// Whether no more bytes will come.
    over: bool,
    deadline: Deadline,
}

impl<'a> Inflate<'a> {
    /// The bytes of the window for lines of that length. As many lines can be requested at once as are unfiltered
    /// together.
    pub(super) fn window_bytes(line: usize, whole: u64) -> usize {
        let lines = line.saturating_mul(ROWS).max(BATCH);
        HISTORY + usize::try_from(whole).map_or(lines, |whole| whole.min(lines))
    }

    pub(super) fn new(file: &'a [u8], line: usize, whole: u64, deadline: Deadline) -> Self {
        Self {
            file,
            input: Input::of(file),
            decoder: decompressor(),
            window: vec![0; Self::window_bytes(line, whole)],
            read: 0,
            filled: 0,
            produced: 0,
            over: false,
            deadline,
        }
    }

    /// The unread bytes.
    pub(super) fn unread(&self) -> &[u8] {
        &self.window[self.read..self.filled]
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.read = (self.read + bytes).min(self.filled);
    }

    /// Makes that many bytes (at most [`ROWS`] lines) available; false if the data ends before.
    pub(super) fn ensure(&mut self, wanted: usize) -> Result<bool, TimedOut> {
        while self.filled - self.read < wanted {
            if self.over {
                return Ok(false);
            }
            if self.window.len() - self.read < wanted || self.filled == self.window.len() {
                let from = self.read.min(self.filled.saturating_sub(HISTORY));
                self.window.copy_within(from..self.filled, 0);
                self.read -= from;
                self.filled -= from;
            }
            if self.filled == self.window.len() {
                return Ok(false);
            }
            self.refill()?;
        }
        Ok(true)
    }

    fn refill(&mut self) -> Result<(), TimedOut> {
        self.deadline.check()?;
        let input = self.input.get(STEP);
        let room = self.window.len().min(self.filled.saturating_add(STEP));
        match self.decoder.read(input, &mut self.window[..room], self.filled, false) {
            Ok((consumed, produced)) => {
                self.over = self.decoder.is_done() || (consumed == 0 && produced == 0);
                self.input.consume(consumed);
                self.filled += produced;
                self.produced += produced as u64;
                Ok(())
            }
            Err(_) => {
                self.over = true;
                self.salvage()
            }
        }
    }

    /// Recovers the bytes before the damage in a batch that failed, of which the decoder returns nothing: it
    /// decompresses the stream again up to that batch, and then byte by byte.
    fn salvage(&mut self) -> Result<(), TimedOut> {
        let (mut input, mut decoder) = (Input::of(self.file), decompressor());
        let mut scratch = vec![0; HISTORY + BATCH];
        let (mut filled, mut behind) = (0, self.produced);
        while behind > 0 {
            self.deadline.check()?;
            if filled == scratch.len() {
                scratch.copy_within(BATCH.., 0);
                filled = HISTORY;
            }
            let room = scratch.len().min(filled.saturating_add(usize::try_from(behind).unwrap_or(STEP)));
            let Ok((consumed, produced)) = decoder.read(input.get(STEP), &mut scratch[..room], filled, false)
            else {
                return Ok(());
            };
            if consumed == 0 && produced == 0 {
                return Ok(());
            }
            input.consume(consumed);
            filled += produced;
            behind = behind.saturating_sub(produced as u64);
        }
        for turn in 0_u32.. {
            if turn.is_multiple_of(1 << 12) {
                self.deadline.check()?;
            }
            match decoder.read(input.get(1), &mut self.window, self.filled, false) {
                Ok((0, 0)) | Err(_) => break,
                Ok((consumed, produced)) => {
                    input.consume(consumed);
                    self.filled += produced;
                }
            }
        }
        Ok(())
    }
}

fn decompressor() -> Decompressor {
    let mut decoder = Decompressor::new();
    decoder.ignore_adler32();
    decoder
}

/// The data of all IDAT chunks, concatenated.
struct Input<'a> {
    chunks: Chunks<'a>,
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn of(file: &'a [u8]) -> Self {
        Self { chunks: Chunks::of(file), rest: &[] }
    }

    /// The next bytes, at most `most`; none at the end.
    fn get(&mut self, most: usize) -> &'a [u8] {
        while self.rest.is_empty()
            && let Some(chunk) = self.chunks.find(|chunk| chunk.kind == *b"IDAT")
        {
            self.rest = chunk.data;
        }
        &self.rest[..self.rest.len().min(most)]
    }

    fn consume(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes.min(self.rest.len())..];
    }
}
