//! Produces the rows of a whole picture from top to bottom, as their blocks arrive.
//!
//! Subsampled channels are enlarged like in libjpeg-turbo ("fancy upsampling", `jdsample.c`): at a ratio of two, by
//! three quarters of the nearer sample and one quarter of the farther one, across and down; at other ratios each sample
//! is repeated. A row therefore waits for the row of blocks below it, whose first samples it may need. At ratios that
//! are no whole number, which libjpeg-turbo refuses, each pixel takes the sample in which its centre lies.

use fearless_simd::{Level, Simd as _, dispatch};

use super::{
    BLOCK, EarlyEnd,
    frame::{Channel, Frame},
    transform,
    upsample::{twice, weigh},
};

/// Receives a row's number and one sample per pixel for each channel. Returns whether more rows are wanted; an error
/// ends decoding.
pub type Take<'a, E> = &'a mut dyn FnMut(u32, &[&[u8]]) -> Result<bool, E>;

/// The receiver of rows.
pub struct Receiver<'a, E> {
    /// The required number of channels.
    pub channels: usize,
    /// The first row that is wanted.
    pub first: u32,
    /// Bytes that the caller holds.
    pub held: u64,
    /// Receives the rows.
    pub take: Take<'a, E>,
}

/// Passes a row on, or ends.
type Pass<'a> = &'a mut dyn FnMut(u32, &[&[u8]]) -> Result<(), EarlyEnd>;

/// The rows of a picture in the making.
pub(super) struct Rows<'a> {
    channels: Vec<Lines>,
    /// The current row of each channel.
    made: Vec<Vec<u8>>,
    /// A buffer for a row of weighted sums, with one more at either end.
    sums: Vec<u16>,
    /// The number of the next row.
    next: usize,
    width: usize,
    height: usize,
    pass: Pass<'a>,
}

/// The lines of a channel that are in memory.
struct Lines {
    samples: Vec<u8>,
    /// Samples from one line to the next, of which `width` are used.
    stride: usize,
    width: usize,
    /// The number of lines of the whole channel.
    height: usize,
    /// The lines in memory, and the most that there may be: those of a row of MCUs and two from before.
    first: usize,
    end: usize,
    room: usize,
    /// The ratios across and down.
    ratio: (Ratio, Ratio),
}

/// So many pixels for so many samples; for one sample, if the ratio is a whole number.
#[derive(Clone, Copy)]
struct Ratio {
    pixels: usize,
    samples: usize,
}

impl Ratio {
    const ONE: Self = Self { pixels: 1, samples: 1 };

    /// The ratio of a channel with this sampling factor, if `most` is the largest.
    fn new(factor: u32, most: u32) -> Self {
        let (pixels, samples) = if most.is_multiple_of(factor) { (most / factor, 1) } else { (most, factor) };
        Self { pixels: pixels as usize, samples: samples as usize }
    }

    /// The sample in which the centre of a pixel lies.
    fn sample(self, pixel: usize) -> usize {
        (2 * pixel + 1) * self.samples / (2 * self.pixels)
    }
}

impl<'a> Rows<'a> {
    /// Creates the rows; `None` if the number of channels is not the required one.
    pub(super) fn new(frame: &Frame, channels: usize, first: u32, pass: Pass<'a>) -> Option<Self> {
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
        Some(Self { channels, made, sums, next: first as usize, width, height: frame.height as usize, pass })
    }

    /// The most bytes that all of this takes.
    pub(super) fn bytes(&self) -> u64 {
        let lines: usize = self.channels.iter().map(|lines| lines.stride * lines.room).sum();
        let made: usize = self.made.iter().map(Vec::len).sum();
        (lines + made + 2 * self.sums.len()) as u64
    }

    /// Takes the blocks of the next row of MCUs, and passes on the rows that they complete.
    pub(super) fn push(&mut self, channels: &[Channel]) -> Result<(), EarlyEnd> {
        for (lines, channel) in self.channels.iter_mut().zip(channels) {
            lines.forget(self.next);
            lines.extend(channel, self.next);
        }
        while self.next < self.height && self.channels.iter().all(|lines| lines.suffice(self.next)) {
            for (lines, row) in self.channels.iter().zip(&mut self.made) {
                lines.enlarged(self.next, row, &mut self.sums);
            }
            let rows: Vec<&[u8]> = self.made.iter().map(|row| &row[..self.width]).collect();
            (self.pass)(self.next as u32, &rows)?;
            self.next += 1;
        }
        Ok(())
    }
}

impl Lines {
    /// The line nearest to a row, and the one to mix in, if there are half as many lines as rows.
    fn nearest(&self, row: usize) -> (usize, usize) {
        let near = self.ratio.1.sample(row);
        let far = match (self.ratio.1, row % 2) {
            (Ratio { pixels: 2, samples: 1 }, 0) => near.saturating_sub(1),
            (Ratio { pixels: 2, samples: 1 }, _) => (near + 1).min(self.height - 1),
            _ => near,
        };
        (near, far)
    }

    /// Whether the lines that a row needs are in memory.
    fn suffice(&self, row: usize) -> bool {
        let (near, far) = self.nearest(row);
        near.max(far) < self.end
    }

    /// Drops the lines that neither this row nor later ones need.
    fn forget(&mut self, row: usize) {
        let (near, far) = self.nearest(row);
        let first = near.min(far).clamp(self.first, self.end);
        self.samples.drain(..(first - self.first) * self.stride);
        self.first = first;
    }

    /// Adds the lines of a row of MCUs, or skips them if row `next` needs only later ones.
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

    /// Makes a row with one sample per pixel.
    fn enlarged(&self, row: usize, out: &mut [u8], sums: &mut [u16]) {
        let (near, far) = self.nearest(row);
        let (near, far) = (self.line(near), self.line(far));
        let sums = &mut sums[..self.width + 2];
        let (across, down) = self.ratio;
        // With only two samples across, libjpeg-turbo mixes lines but not columns.
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
