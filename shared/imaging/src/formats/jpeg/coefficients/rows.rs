//! The rows of a whole picture, from top to bottom, as the blocks for them come.
//!
//! Subsampled channels are enlarged as libjpeg-turbo enlarges them ("fancy upsampling", `jdsample.c`): where there is half as
//! much, three quarters of the nearer sample and a quarter of the farther one, across and down; otherwise each sample is
//! repeated. So a row waits for the row of blocks below, of whose samples it may need the first. Where there is no whole number of
//! pixels for a sample, which libjpeg-turbo refuses, a pixel is the sample that its middle lies in.

use fearless_simd::{Level, Simd as _, dispatch};

use super::{
    BLOCK, Stop,
    frame::{Channel, Frame},
    transform,
};
use crate::{
    ImageError,
    decode::upsample::{twice, weigh},
};

/// Is given a row's number and, for each channel, a sample for each pixel. Says whether more are wanted.
type Take<'a> = &'a mut dyn FnMut(u32, &[&[u8]]) -> Result<bool, ImageError>;

/// Who rows are for.
pub(crate) struct Receiver<'a> {
    /// How many channels there must be.
    pub(crate) channels: usize,
    /// The first row that is wanted.
    pub(crate) first: u32,
    /// Bytes that the caller holds beside.
    pub(crate) held: u64,
    pub(crate) take: Take<'a>,
}

/// Where rows go.
pub(super) struct Rows<'a> {
    channels: Vec<Lines>,
    /// For each channel, the row that is made.
    made: Vec<Vec<u8>>,
    /// Room for a row of weighed sums, with one more at either end.
    sums: Vec<u16>,
    /// The next row.
    next: usize,
    width: usize,
    height: usize,
    held: u64,
    take: Take<'a>,
}

/// The lines of a channel that are at hand.
struct Lines {
    samples: Vec<u8>,
    /// From one line to the next, in samples, of which `width` count.
    stride: usize,
    width: usize,
    /// How many lines the channel has in all.
    height: usize,
    /// Those that are at hand, and how many there may be: those of a row of MCUs and two from before.
    first: usize,
    end: usize,
    room: usize,
    /// Across and down.
    ratio: (Ratio, Ratio),
}

/// So many pixels for so many samples: for one, where that is a whole number.
#[derive(Clone, Copy)]
struct Ratio {
    pixels: usize,
    samples: usize,
}

impl Ratio {
    const ONE: Self = Self { pixels: 1, samples: 1 };

    /// That of a sampling factor, where the largest is `most`.
    fn new(factor: u32, most: u32) -> Self {
        let (pixels, samples) = if most.is_multiple_of(factor) { (most / factor, 1) } else { (most, factor) };
        Self { pixels: pixels as usize, samples: samples as usize }
    }

    /// The sample that the middle of a pixel lies in.
    fn sample(self, pixel: usize) -> usize {
        (2 * pixel + 1) * self.samples / (2 * self.pixels)
    }
}

impl<'a> Rows<'a> {
    /// `None` where there are other channels than there must be.
    pub(super) fn new(frame: &Frame, receiver: Receiver<'a>) -> Option<Self> {
        let Receiver { channels, first, held, take } = receiver;
        if frame.channels.len() != channels {
            return None;
        }
        let single = channels == 1;
        let lines = |channel: &Channel| {
            let ((h, v), most) = (channel.sampling, frame.most);
            let ratio = (Ratio::new(h, most.0), Ratio::new(v, most.1));
            Lines {
                samples: Vec::new(),
                stride: channel.stride * BLOCK as usize,
                width: (frame.width * h).div_ceil(most.0) as usize,
                height: (frame.height * v).div_ceil(most.1) as usize,
                first: 0,
                end: 0,
                room: channel.span * BLOCK as usize + 2,
                ratio: if single { (Ratio::ONE, Ratio::ONE) } else { ratio },
            }
        };
        let channels: Vec<_> = frame.channels.iter().map(lines).collect();
        let width = frame.width as usize;
        let made =
            channels.iter().map(|lines| vec![0; width.next_multiple_of(lines.ratio.0.pixels)]).collect();
        let sums = vec![0; width + 2];
        Some(Self {
            channels,
            made,
            sums,
            next: first as usize,
            width,
            height: frame.height as usize,
            held,
            take,
        })
    }

    /// Bytes that all this takes at most, and what the caller holds beside.
    pub(super) fn bytes(&self) -> u64 {
        let lines: usize = self.channels.iter().map(|lines| lines.stride * lines.room).sum();
        let made: usize = self.made.iter().map(Vec::len).sum();
        (lines + made + 2 * self.sums.len()) as u64 + self.held
    }

    /// Takes the blocks of the next row of MCUs, and hands on what rows they allow.
    pub(super) fn push(&mut self, channels: &[Channel]) -> Result<(), Stop> {
        for (lines, channel) in self.channels.iter_mut().zip(channels) {
            lines.forget(self.next);
            lines.extend(channel, self.next);
        }
        while self.next < self.height && self.channels.iter().all(|lines| lines.suffice(self.next)) {
            for (lines, row) in self.channels.iter().zip(&mut self.made) {
                lines.enlarged(self.next, row, &mut self.sums);
            }
            let rows: Vec<&[u8]> = self.made.iter().map(|row| &row[..self.width]).collect();
            if !(self.take)(self.next as u32, &rows).map_err(Stop::Refused)? {
                return Err(Stop::Enough);
            }
            self.next += 1;
        }
        Ok(())
    }
}

impl Lines {
    /// The line that is nearest to a row, and the next nearest, which is mixed in where there are half as many lines as rows.
    fn nearest(&self, row: usize) -> (usize, usize) {
        let near = self.ratio.1.sample(row);
        let far = match (self.ratio.1, row % 2) {
            (Ratio { pixels: 2, samples: 1 }, 0) => near.saturating_sub(1),
            (Ratio { pixels: 2, samples: 1 }, _) => (near + 1).min(self.height - 1),
            _ => near,
        };
        (near, far)
    }

    /// Whether there are the lines that a row is made of.
    fn suffice(&self, row: usize) -> bool {
        let (near, far) = self.nearest(row);
        near.max(far) < self.end
    }

    /// Drops the lines that no row from that one on is made of.
    fn forget(&mut self, row: usize) {
        let (near, far) = self.nearest(row);
        let first = near.min(far).clamp(self.first, self.end);
        self.samples.drain(..(first - self.first) * self.stride);
        self.first = first;
    }

    /// Adds the lines of the blocks of a row of MCUs, or passes over them where that row of pixels needs but later ones.
    fn extend(&mut self, channel: &Channel, next: usize) {
        let (near, far) = self.nearest(next);
        let end = self.end + channel.span * BLOCK as usize;
        if end <= near.min(far) {
            (self.first, self.end) = (end, end);
            return;
        }
        if self.samples.capacity() == 0 {
            self.samples.reserve_exact(self.room * self.stride);
        }
        for row in 0..channel.span {
            let start = self.samples.len();
            self.samples.resize(start + BLOCK as usize * self.stride, 0);
            transform::lines(channel, row, self.stride, &mut self.samples[start..]);
        }
        self.end = end;
    }

    fn line(&self, index: usize) -> &[u8] {
        &self.samples[(index - self.first) * self.stride..][..self.width]
    }

    /// A row with a sample for each pixel.
    fn enlarged(&self, row: usize, out: &mut [u8], sums: &mut [u16]) {
        let (near, far) = self.nearest(row);
        let (near, far) = (self.line(near), self.line(far));
        let sums = &mut sums[..self.width + 2];
        let (across, down) = self.ratio;
        // Of two samples libjpeg-turbo mixes but lines.
        let mixes = self.width > 2;
        dispatch!(Level::new(), level => level.vectorize(
            #[inline(always)]
            || match [across, down].map(|ratio| (ratio.pixels, ratio.samples)) {
                [(2, 1), (2, 1)] if mixes => {
                    weigh(near, far, sums);
                    twice::<8, 7, 4>(sums, out);
                }
                [(2, 1), (1, 1)] if mixes => {
                    near.iter().zip(&mut sums[1..]).for_each(|(sample, sum)| *sum = u16::from(*sample));
                    twice::<1, 2, 2>(sums, out);
                }
                [(1, 1), (2, 1)] => {
                    weigh(near, far, sums);
                    let half = 1 + (row % 2) as u16;
                    sums[1..].iter().zip(out).for_each(|(sum, out)| *out = ((*sum + half) >> 2) as u8);
                }
                [(1, 1), _] => out[..self.width].copy_from_slice(near),
                [(pixels, 1), _] => {
                    out.chunks_exact_mut(pixels).zip(near).for_each(|(out, sample)| out.fill(*sample));
                }
                _ => {
                    let pixels = out.iter_mut().enumerate();
                    pixels.for_each(|(x, out)| *out = near[across.sample(x).min(self.width - 1)]);
                }
            }
        ));
    }
}
