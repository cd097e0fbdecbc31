//! A JPEG at an eighth or a quarter of its size, without decoding it.
//!
//! The DC coefficient of a block of 8 × 8 pixels is their mean (times eight), so the DC coefficients are the picture at an
//! eighth, reduced by a box filter. With the three lowest AC coefficients beside it, a block has four samples: the picture
//! at a quarter, all of whose frequencies are still there.
//!
//! Baseline data must be read through to find where each block begins, but the other AC coefficients are only passed
//! over, several at one look into a table. Of progressive data only the DC scans are read, for an eighth; the others are
//! skipped by a search for the next marker. There is no full-size picture: memory is two bytes for each coefficient kept.
//!
//! Every channel comes as its own plane at its own resolution. What is rare (arithmetic and lossless coding, 12 bits, four
//! channels, tables that make no sense) is left to the plain decoder: [`decode`] then gives nothing.
//!
//! At an eighth, luminance equals libjpeg-turbo's output at that scale (`jpeg_idct_1x1`), (dc × quantiser + 4) ÷ 8 + 128.

mod bits;
mod huffman;
mod scan;
#[cfg(test)]
mod tests;

use self::{
    huffman::Codes,
    scan::{Coding, Part},
};
use crate::{Deadline, TimedOut};

/// The side of a block.
pub(crate) const BLOCK: u32 = 8;

/// One channel of the picture.
#[derive(Debug, PartialEq)]
pub(crate) struct Plane {
    /// Row by row, without gaps.
    pub(crate) samples: Vec<u8>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Samples for one pixel of the picture, across and down. The last sample of a row or column may reach beyond the
    /// picture: `width` is the picture's times this, rounded up.
    pub(crate) scale: (f64, f64),
}

/// Why there are no planes.
enum Stop {
    /// Not for this decoder.
    Odd,
    Late(TimedOut),
}

impl From<TimedOut> for Stop {
    fn from(late: TimedOut) -> Self {
        Self::Late(late)
    }
}

/// The channels of a JPEG of the given size, one or three, from `N` coefficients of each block: 1 gives an eighth, 4 a
/// quarter, which progressive files do not have. `None` where it is a matter for the plain
/// decoder, which is also who says what is wrong with a file that shows nothing. Of data that is cut short or damaged,
/// what there is, the rest mid-grey.
///
/// # Errors
/// [`TimedOut`].
pub(crate) fn decode<const N: usize>(
    bytes: &[u8],
    size: (u32, u32),
    deadline: Deadline,
) -> Result<Option<Vec<Plane>>, TimedOut> {
    let mut decoder = Decoder::<'_, N> {
        data: bytes,
        at: 0,
        quantisers: [None; 4],
        dc: [const { None }; 4],
        ac: [const { None }; 4],
        restart: 0,
        frame: None,
        seen: false,
        deadline,
    };
    match decoder.run(size) {
        Ok(()) if decoder.seen => Ok(decoder.frame.map(Frame::into_planes)),
        Ok(()) | Err(Stop::Odd) => Ok(None),
        Err(Stop::Late(late)) => Err(late),
    }
}

/// What the frame header says, and the coefficients that it is about.
struct Frame<const N: usize> {
    progressive: bool,
    width: u32,
    height: u32,
    /// The largest sampling factors, across and down.
    most: (u32, u32),
    channels: Vec<Channel<N>>,
}

struct Channel<const N: usize> {
    id: u8,
    /// Sampling factors, across and down.
    sampling: (u32, u32),
    /// The table that its quantiser is in.
    table: usize,
    /// The quantisers as they were when the first scan began.
    quantisers: Option<Quantisers>,
    /// The lowest bit of the coefficients that has been read.
    precision: Option<u8>,
    /// Blocks across and down, without those that only fill up an MCU.
    across: usize,
    down: usize,
    /// Of each block, the coefficients that are kept.
    blocks: Vec<[i16; N]>,
}

/// The quantisers of the coefficients that may be kept: none, the first across, the first down, the first of both.
type Quantisers = [u16; 4];

struct Decoder<'a, const N: usize> {
    data: &'a [u8],
    at: usize,
    quantisers: [Option<Quantisers>; 4],
    dc: [Option<Codes>; 4],
    ac: [Option<Codes>; 4],
    /// MCUs between restart markers, or none.
    restart: usize,
    frame: Option<Frame<N>>,
    /// Whether anything of the picture has been decoded.
    seen: bool,
    deadline: Deadline,
}

impl<'a, const N: usize> Decoder<'a, N> {
    /// Goes through the file until the picture is whole, or the file ends.
    fn run(&mut self, size: (u32, u32)) -> Result<(), Stop> {
        while let Some((marker, at)) = scan::next_marker(self.data, self.at) {
            self.at = at;
            match marker {
                0x01 | 0xd0..=0xd8 => continue,
                0xd9 => break,
                _ => {}
            }
            let Some(segment) = self.segment() else { break };
            match marker {
                0xc0..=0xc2 => self.start_frame(segment, marker == 0xc2, size)?,
                0xc4 => self.define_codes(segment).ok_or(Stop::Odd)?,
                // Lossless, hierarchical, arithmetic; a height that comes later.
                0xc3 | 0xc5..=0xcf | 0xdc => return Err(Stop::Odd),
                0xda => {
                    self.start_scan(segment)?;
                    let whole = |channel: &Channel<N>| channel.precision == Some(0);
                    if self.frame.as_ref().is_some_and(|frame| frame.channels.iter().all(whole)) {
                        break;
                    }
                }
                0xdb => self.define_quantisers(segment).ok_or(Stop::Odd)?,
                0xdd => self.restart = usize::from(be16(segment, 0).ok_or(Stop::Odd)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// A segment's content, by its length; moves on behind it.
    fn segment(&mut self) -> Option<&'a [u8]> {
        let end = self.at + usize::from(be16(self.data, self.at)?);
        let segment = self.data.get(self.at + 2..end)?;
        self.at = end;
        Some(segment)
    }

    fn define_quantisers(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&which, rest)) = segment.split_first() {
            let wide = which >> 4 != 0;
            let (table, rest) = rest.split_at_checked(if wide { 128 } else { 64 })?;
            let at = |place: usize| {
                if wide { be16(table, place * 2) } else { table.get(place).map(|&value| value.into()) }
            };
            // The order of the file is a zigzag.
            let kept = [at(0)?, at(1)?, at(2)?, at(4)?];
            *self.quantisers.get_mut(usize::from(which & 15))? = Some(kept);
            segment = rest;
        }
        Some(())
    }

    fn define_codes(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&which, rest)) = segment.split_first() {
            let (codes, rest) = Codes::parse(rest)?;
            let tables = if which >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *tables.get_mut(usize::from(which & 15))? = Some(codes);
            segment = rest;
        }
        Some(())
    }

    fn start_frame(&mut self, segment: &[u8], progressive: bool, size: (u32, u32)) -> Result<(), Stop> {
        let frame = Frame::parse(segment, progressive).ok_or(Stop::Odd)?;
        // A second frame, or another than the one whose limits were checked.
        if self.frame.is_some() || (frame.width, frame.height) != size || (N > 1 && progressive) {
            return Err(Stop::Odd);
        }
        self.frame = Some(frame);
        Ok(())
    }

    /// Reads a scan's header, and its data if there are DC coefficients in it.
    fn start_scan(&mut self, segment: &[u8]) -> Result<(), Stop> {
        let frame = self.frame.as_mut().ok_or(Stop::Odd)?;
        let (&count, rest) = segment.split_first().ok_or(Stop::Odd)?;
        let (named, rest) = rest.split_at_checked(usize::from(count) * 2).ok_or(Stop::Odd)?;
        let &[first, last, bits, ..] = rest else { return Err(Stop::Odd) };
        let (high, low) = (bits >> 4, bits & 15);
        let coding = match (frame.progressive, first, last, high) {
            (false, ..) => Coding::Baseline,
            (true, 1.., ..) => return Ok(()),
            (true, 0, 1.., _) => return Err(Stop::Odd),
            (true, 0, 0, 0) if low < 14 => Coding::First(low),
            (true, 0, 0, _) if low < 14 => Coding::Refinement(low),
            _ => return Err(Stop::Odd),
        };
        let mut parts = Vec::with_capacity(named.len() / 2);
        for &[id, tables] in named.as_chunks::<2>().0 {
            let which = frame.channels.iter().position(|channel| channel.id == id).ok_or(Stop::Odd)?;
            let channel = &mut frame.channels[which];
            if channel.quantisers.is_none() {
                channel.quantisers = self.quantisers.get(channel.table).copied().flatten();
            }
            let codes = |of: &[Option<Codes>; 4], which: u8| of.get(usize::from(which)).cloned().flatten();
            let part = Part::new(which, coding, codes(&self.dc, tables >> 4), codes(&self.ac, tables & 15))
                .ok_or(Stop::Odd)?;
            if channel.quantisers.is_none() || parts.iter().any(|part: &Part| part.channel == which) {
                return Err(Stop::Odd);
            }
            parts.push(part);
        }
        if parts.is_empty() {
            return Err(Stop::Odd);
        }
        let place = scan::Place { data: self.data, at: self.at, restart: self.restart };
        let (seen, at) = scan::decode(frame, &mut parts, coding, place, self.deadline)?;
        self.seen |= seen;
        self.at = at;
        let low = if let Coding::Baseline = coding { 0 } else { low };
        for part in &parts {
            frame.channels[part.channel].precision = Some(low);
        }
        Ok(())
    }
}

impl<const N: usize> Frame<N> {
    fn parse(segment: &[u8], progressive: bool) -> Option<Self> {
        let &[precision, h0, h1, w0, w1, count, ref rest @ ..] = segment else { return None };
        let (height, width) = (u32::from_be_bytes([0, 0, h0, h1]), u32::from_be_bytes([0, 0, w0, w1]));
        let named = rest.as_chunks::<3>().0.get(..count.into())?;
        let factors = |both: u8| (u32::from(both >> 4), u32::from(both & 15));
        let valid = |&[_, both, _]: &[u8; 3]| {
            let (h, v) = factors(both);
            (1..=4).contains(&h) && (1..=4).contains(&v)
        };
        if precision != 8 || width == 0 || height == 0 || !matches!(count, 1 | 3) || !named.iter().all(valid)
        {
            return None;
        }
        let most = named.iter().fold((1, 1), |(most_h, most_v), &[_, both, _]| {
            let (h, v) = factors(both);
            (most_h.max(h), most_v.max(v))
        });
        let channels = named.iter().map(|&[id, both, table]| {
            let (h, v) = factors(both);
            let across = (width * h).div_ceil(most.0 * BLOCK) as usize;
            let down = (height * v).div_ceil(most.1 * BLOCK) as usize;
            Channel {
                id,
                sampling: (h, v),
                table: table.into(),
                quantisers: None,
                precision: None,
                across,
                down,
                blocks: vec![[0; N]; across * down],
            }
        });
        Some(Self { progressive, width, height, most, channels: channels.collect() })
    }

    fn into_planes(self) -> Vec<Plane> {
        let (side, most) = (if N > 1 { 2 } else { 1 }, self.most);
        let scale = |factor: u32, most: u32| f64::from(factor * side) / f64::from(most * BLOCK);
        let planes = self.channels.into_iter().map(|channel| {
            let (h, v) = channel.sampling;
            let width = (self.width * h * side).div_ceil(most.0 * BLOCK);
            let height = (self.height * v * side).div_ceil(most.1 * BLOCK);
            let quantisers = channel.quantisers.unwrap_or_default();
            let mut samples = Vec::with_capacity(width as usize * height as usize);
            let rows = channel.blocks.chunks_exact(channel.across);
            for (row, y) in
                rows.flat_map(|row| (0..side as usize).map(move |y| (row, y))).take(height as usize)
            {
                let row = row.iter().flat_map(|block| {
                    let reduced = reduced(block, quantisers);
                    (0..side as usize).map(move |x| reduced[y * 2 + x])
                });
                samples.extend(row.take(width as usize));
            }
            Plane { samples, width, height, scale: (scale(h, most.0), scale(v, most.1)) }
        });
        planes.collect()
    }
}

/// The samples of a block, two rows of two: the inverse transform of its four lowest coefficients, which at that size is
/// sums and differences. Where there is only one coefficient, all four are the mean.
fn reduced<const N: usize>(block: &[i16; N], quantisers: Quantisers) -> [u8; 4] {
    let mut values = [0_i64; 4];
    for (value, (&coefficient, quantiser)) in values.iter_mut().zip(block.iter().zip(quantisers)) {
        *value = i64::from(coefficient) * i64::from(quantiser);
    }
    let [mean, across, down, both] = values;
    let (left, right) = (down + both, down - both);
    [mean + across + left, mean - across + right, mean + across - left, mean - across - right]
        .map(|sum| (((sum + 4) >> 3) + 128).clamp(0, 255) as u8)
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
