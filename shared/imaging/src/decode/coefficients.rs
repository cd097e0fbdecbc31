//! A JPEG from its coefficients: at a half, a quarter or an eighth of its size without decoding it, or whole, row by row.
//!
//! The DC coefficient of a block of 8 × 8 pixels is their mean (times eight), so the DC coefficients are the picture at an
//! eighth, reduced by a box filter. With the three lowest AC coefficients beside it a block has four samples, with the
//! fifteen lowest sixteen: the picture at a quarter and at a half, all of whose frequencies are still there.
//!
//! Baseline data must be read through to find where each block begins, but the other AC coefficients are only passed
//! over, several at one look into a table. Of progressive data, only those scans are read that hold a coefficient which is kept,
//! or on which the reading of one depends (a refinement needs to know which coefficients were not zero before: one
//! bit for each is remembered); the others are skipped by a search for the next marker. There is no full-size picture: memory
//! is two bytes for each coefficient kept, and eight for each block of a progressive picture of which more than the DC is
//! read.
//!
//! Either every channel comes as its own plane at its own resolution ([`decode`]), or the whole picture is handed on row by
//! row, each channel with a sample for each pixel ([`rows`]); of baseline data in one scan, no more than a row of MCUs is
//! then held. What is rare (arithmetic and lossless coding, 12 bits, tables that make no sense) is left to the plain decoder.
//!
//! At an eighth, luminance equals libjpeg-turbo's output at that scale (`jpeg_idct_1x1`), (dc × quantiser + 4) ÷ 8 + 128.
//! Complete pictures of one or three channels equal its output to the last bit (`jpeg_idct_islow`, fancy upsampling), so what
//! is found in them is what programs find that read JPEGs by libjpeg-turbo, as OpenCV and Pillow do.

mod bits;
mod huffman;
mod progressive;
mod rows;
mod scan;
#[cfg(test)]
mod tests;
mod transform;

pub(crate) use self::rows::Receiver;
use self::{
    huffman::Codes,
    rows::Rows,
    scan::{Band, Coding, Part},
};
use crate::{Deadline, ImageError, Limits, TimedOut, plane::Plane};

/// The side of a block.
pub(crate) const BLOCK: u32 = 8;
/// No encoder makes as many scans: some ten are usual.
const MOST_SCANS: usize = 1000;

/// Why nothing more is decoded.
enum Stop {
    /// Not for this decoder.
    Odd,
    /// Too late, or too much.
    Refused(ImageError),
    /// No more rows are wanted.
    Enough,
}

impl From<TimedOut> for Stop {
    fn from(late: TimedOut) -> Self {
        Self::Refused(late.into())
    }
}

/// A channel, for choosing what is made of it.
#[derive(Clone, Copy)]
pub(crate) struct Sampling {
    /// Which it is in the file.
    pub(crate) channel: usize,
    /// Samples for one pixel of the picture, across and down, at most one.
    pub(crate) scale: (f64, f64),
    /// Whether its coefficients come in several scans, of which those are skipped that hold nothing of what is wanted.
    pub(crate) progressive: bool,
}

/// Which reduction a channel is wanted at; `None` where none will do.
pub(crate) type Choice<'a> = &'a dyn Fn(Sampling) -> Option<Side>;

/// The channels of a JPEG of the given size, one, three or four, each at the reduction of its choice. `None` where it is a
/// matter for the plain decoder, which is also who says what is wrong with a file that shows nothing. Of data that is cut
/// short or damaged, what there is, the rest mid-grey.
///
/// # Errors
/// [`ImageError::DecoderMemory`], before the memory is taken, or [`ImageError::TimeLimit`].
pub(crate) fn decode(
    bytes: &[u8],
    size: (u32, u32),
    choice: Choice<'_>,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Vec<(Side, Plane)>>, ImageError> {
    let mut decoder = Decoder::new(bytes, choice, None, limits, deadline);
    match decoder.run(size) {
        Ok(()) => Ok(decoder.frame.filter(|frame| frame.seen).map(Frame::into_planes)),
        Err(Stop::Odd | Stop::Enough) => Ok(None),
        Err(Stop::Refused(error)) => Err(error),
    }
}

/// Gives the rows of a JPEG of the given size to their receiver, in order. False, whatever was given by then, where it is a
/// matter for the plain decoder. Of data that is cut short or damaged, what there is, the rest mid-grey.
///
/// # Errors
/// As [`decode`], and what the receiver fails with.
pub(crate) fn rows<'a>(
    bytes: &'a [u8],
    size: (u32, u32),
    limits: &'a Limits,
    deadline: Deadline,
    receiver: Receiver<'a>,
) -> Result<bool, ImageError> {
    let mut decoder = Decoder::new(bytes, &|_| Some(Side::Eight), Some(receiver), limits, deadline);
    let done = decoder.run(size).and_then(|()| match &mut decoder.frame {
        Some(frame) if frame.seen => frame.reach(frame.mcu_rows(), deadline),
        _ => Err(Stop::Odd),
    });
    match done {
        Ok(()) | Err(Stop::Enough) => Ok(decoder.frame.is_some_and(|frame| frame.seen)),
        Err(Stop::Odd) => Ok(false),
        Err(Stop::Refused(error)) => Err(error),
    }
}

/// Whether there is anything in the file's scans that can be read here.
///
/// # Errors
/// As [`decode`].
pub(crate) fn shows(
    bytes: &[u8],
    size: (u32, u32),
    limits: &Limits,
    deadline: Deadline,
) -> Result<bool, ImageError> {
    Ok(decode(bytes, size, &|_| Some(Side::One), limits, deadline)?.is_some())
}

/// How many samples are made of a block, across and down, from as many coefficients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The picture at an eighth.
    One,
    /// At a quarter.
    Two,
    /// At a half.
    Four,
    /// Not reduced.
    Eight,
}

impl Side {
    pub(crate) const REDUCED: [Self; 3] = [Self::One, Self::Two, Self::Four];

    pub(crate) const fn samples(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    const fn coefficients(self) -> usize {
        self.samples() * self.samples()
    }

    fn kept(self) -> Kept {
        static PLACES: [[u8; 64]; 4] =
            [places(Side::One), places(Side::Two), places(Side::Four), places(Side::Eight)];
        let places = &PLACES[self as usize];
        let last = (0..64).rev().find(|&at| places[at as usize] != u8::MAX).unwrap_or_default();
        Kept { places, last }
    }
}

/// Where in a block the coefficients go that are kept of it.
#[derive(Clone, Copy)]
struct Kept {
    /// By their place in the file; `u8::MAX` for those that are not kept.
    places: &'static [u8; 64],
    /// The last one in the file.
    last: u32,
}

impl Kept {
    /// A bit for each, in the order of the file.
    fn bits(self) -> u64 {
        (0..64).filter(|&at| self.places[at] != u8::MAX).fold(0, |kept, at| kept | 1 << at)
    }

    #[inline(always)]
    fn of(self, block: &mut [i16], at: usize) -> Option<&mut i16> {
        block.get_mut(usize::from(*self.places.get(at)?))
    }

    #[inline(always)]
    fn put(self, block: &mut [i16], at: usize, value: i32) {
        if let Some(place) = self.of(block, at) {
            *place = value.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        }
    }
}

/// Whether the picture is coded in a way that nobody reads here: arithmetic, lossless, hierarchical, or of more than 8 bits.
pub(crate) fn is_rare(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some((marker, behind)) = scan::next_marker(bytes, at) {
        at = match marker {
            0x01 | 0xd0..=0xd8 => behind,
            0xc0..=0xc2 => return bytes.get(behind + 2).is_some_and(|&precision| precision != 8),
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => return true,
            0xd9 | 0xda => return false,
            _ => behind + be16(bytes, behind).map_or(0, usize::from),
        };
    }
    false
}

/// What the frame header says, and the coefficients that it is about.
struct Frame<'a> {
    progressive: bool,
    width: u32,
    height: u32,
    /// The largest sampling factors, across and down.
    most: (u32, u32),
    channels: Vec<Channel>,
    /// Where rows of pixels go, if they are wanted.
    rows: Option<Rows<'a>>,
    /// Whether but one row of MCUs is held, which rows of pixels are made of before the next is read.
    flows: bool,
    /// How many rows of MCUs rows of pixels have been made of.
    made: usize,
    /// Whether anything of the picture has been decoded.
    seen: bool,
}

struct Channel {
    id: u8,
    /// Sampling factors, across and down.
    sampling: (u32, u32),
    /// What is made of each block.
    side: Side,
    /// The table that its quantisers are in.
    table: usize,
    /// The quantisers as they were when the first scan began.
    quantisers: Option<Quantisers>,
    /// The lowest bit of the coefficients that has been read.
    precision: Option<u8>,
    /// Blocks across and down, without those that only fill up an MCU.
    across: usize,
    down: usize,
    /// Blocks from a row to the next, and in all, with those.
    stride: usize,
    blocks: usize,
    /// Rows of blocks in a row of MCUs.
    span: usize,
    /// Of each block that is held, the coefficients that are kept, row by row; empty before the first scan.
    coefficients: Vec<i16>,
    /// Of each block of a progressive picture, which coefficients are known not to be zero, kept or not, in the order of the file; empty where only
    /// the DC is read.
    nonzero: Vec<u64>,
}

/// The quantisers in the order of the file.
type Quantisers = [u16; 64];

struct Decoder<'a> {
    data: &'a [u8],
    at: usize,
    quantisers: [Option<Quantisers>; 4],
    dc: [Option<Codes>; 4],
    ac: [Option<Codes>; 4],
    /// MCUs between restart markers, or none.
    restart: usize,
    frame: Option<Frame<'a>>,
    /// Where rows of pixels shall go; once there is a frame, it has this.
    receiver: Option<Receiver<'a>>,
    /// Of the scans to come, the last one first, whether each is read.
    plan: Option<Vec<bool>>,
    /// Scans so far.
    scans: usize,
    choice: Choice<'a>,
    limits: &'a Limits,
    deadline: Deadline,
}

impl<'a> Decoder<'a> {
    fn new(
        data: &'a [u8],
        choice: Choice<'a>,
        receiver: Option<Receiver<'a>>,
        limits: &'a Limits,
        deadline: Deadline,
    ) -> Self {
        Self {
            data,
            at: 0,
            quantisers: [None; 4],
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            restart: 0,
            frame: None,
            receiver,
            plan: None,
            scans: 0,
            choice,
            limits,
            deadline,
        }
    }

    /// Goes through the file until the picture is whole, or the file ends.
    fn run(&mut self, size: (u32, u32)) -> Result<(), Stop> {
        while let Some((marker, at)) = scan::next_marker(self.data, self.at) {
            self.deadline.check()?;
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
                    if self.is_whole() {
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
            let mut quantisers = [0; 64];
            for (place, quantiser) in quantisers.iter_mut().enumerate() {
                *quantiser = at(place)?;
            }
            *self.quantisers.get_mut(usize::from(which & 15))? = Some(quantisers);
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
        let mut frame = Frame::parse(segment, progressive, self.choice).ok_or(Stop::Odd)?;
        // A second frame, or another than the one whose limits were checked.
        if self.frame.is_some() || (frame.width, frame.height) != size {
            return Err(Stop::Odd);
        }
        if let Some(receiver) = self.receiver.take() {
            frame.rows = Some(Rows::new(&frame, receiver).ok_or(Stop::Odd)?);
        }
        self.frame = Some(frame);
        Ok(())
    }

    /// Reads a scan's header, and its data if there are coefficients in it that are kept.
    fn start_scan(&mut self, segment: &[u8]) -> Result<(), Stop> {
        self.scans += 1;
        if self.scans > MOST_SCANS {
            return Err(Stop::Odd);
        }
        let frame = self.frame.as_mut().ok_or(Stop::Odd)?;
        let shallow = frame.is_shallow();
        if frame.progressive && !shallow {
            let (data, at) = (self.data, self.at);
            let plan = self.plan.get_or_insert_with(|| progressive::plan(data, at, segment, frame));
            if plan.pop() != Some(true) {
                return Ok(());
            }
        }
        let (&count, rest) = segment.split_first().ok_or(Stop::Odd)?;
        let (named, rest) = rest.split_at_checked(usize::from(count) * 2).ok_or(Stop::Odd)?;
        let &[first, last, bits, ..] = rest else { return Err(Stop::Odd) };
        let (high, low) = (bits >> 4, bits & 15);
        let coding = match (frame.progressive, first, last, high) {
            (false, ..) => Coding::Baseline,
            (true, 1.., ..) if shallow => return Ok(()),
            (true, 1..=63, ..) if first <= last && last < 64 && count == 1 && low < 14 => {
                let band = Band { first: first.into(), last: last.into(), low };
                if high == 0 { Coding::Band(band) } else { Coding::BandRefinement(band) }
            }
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
            let part = Part::new(
                (which, channel.side),
                coding,
                codes(&self.dc, tables >> 4),
                codes(&self.ac, tables & 15),
            )
            .ok_or(Stop::Odd)?;
            // A channel comes once, unless some of it comes at a time.
            let again = !frame.progressive && channel.precision.is_some();
            if again || channel.quantisers.is_none() || parts.iter().any(|part: &Part| part.channel == which)
            {
                return Err(Stop::Odd);
            }
            parts.push(part);
        }
        if parts.is_empty() {
            return Err(Stop::Odd);
        }
        if frame.channels.iter().all(|channel| channel.coefficients.is_empty()) {
            let whole = matches!(coding, Coding::Baseline) && parts.len() == frame.channels.len();
            frame.flows = frame.rows.is_some() && whole;
            self.limits.check_memory(frame.memory()).map_err(Stop::Refused)?;
            frame.make_room();
        }
        let place = scan::Place { data: self.data, at: self.at, restart: self.restart };
        self.at = scan::decode(frame, &mut parts, coding, place, self.deadline)?;
        let precision = match coding {
            Coding::Baseline => 0,
            Coding::First(low) | Coding::Refinement(low) => low,
            Coding::Band(_) | Coding::BandRefinement(_) => return Ok(()),
        };
        for part in &parts {
            frame.channels[part.channel].precision = Some(precision);
        }
        Ok(())
    }

    /// Whether no scan to come can add anything.
    fn is_whole(&self) -> bool {
        match (&self.frame, &self.plan) {
            (_, Some(plan)) => !plan.contains(&true),
            (Some(frame), None) => frame.channels.iter().all(|channel| channel.precision == Some(0)),
            (None, None) => false,
        }
    }
}

impl Frame<'_> {
    fn parse(segment: &[u8], progressive: bool, choice: Choice<'_>) -> Option<Self> {
        let &[precision, h0, h1, w0, w1, count, ref rest @ ..] = segment else { return None };
        let (height, width) = (u32::from_be_bytes([0, 0, h0, h1]), u32::from_be_bytes([0, 0, w0, w1]));
        let named = rest.as_chunks::<3>().0.get(..count.into())?;
        let factors = |both: u8| (u32::from(both >> 4), u32::from(both & 15));
        let valid = |&[_, both, _]: &[u8; 3]| {
            let (h, v) = factors(both);
            (1..=4).contains(&h) && (1..=4).contains(&v)
        };
        if precision != 8
            || width == 0
            || height == 0
            || !matches!(count, 1 | 3 | 4)
            || !named.iter().all(valid)
        {
            return None;
        }
        let most = named.iter().fold((1, 1), |(most_h, most_v), &[_, both, _]| {
            let (h, v) = factors(both);
            (most_h.max(h), most_v.max(v))
        });
        let channels = named.iter().enumerate().map(|(index, &[id, both, table])| {
            let (h, v) = factors(both);
            let scale = (f64::from(h) / f64::from(most.0), f64::from(v) / f64::from(most.1));
            let across = (width * h).div_ceil(most.0 * BLOCK) as usize;
            let down = (height * v).div_ceil(most.1 * BLOCK) as usize;
            let stride = (width.div_ceil(most.0 * BLOCK) * h) as usize;
            let blocks = stride * (height.div_ceil(most.1 * BLOCK) * v) as usize;
            Some(Channel {
                id,
                sampling: (h, v),
                side: choice(Sampling { channel: index, scale, progressive })?,
                table: table.into(),
                quantisers: None,
                precision: None,
                across,
                down,
                stride,
                blocks,
                span: if count == 1 { 1 } else { v as usize },
                coefficients: Vec::new(),
                nonzero: Vec::new(),
            })
        });
        let channels = channels.collect::<Option<_>>()?;
        Some(Self {
            progressive,
            width,
            height,
            most,
            channels,
            rows: None,
            flows: false,
            made: 0,
            seen: false,
        })
    }

    /// Whether it takes nothing but the DC of each block.
    fn is_shallow(&self) -> bool {
        self.channels.iter().all(|channel| channel.side == Side::One)
    }

    /// Bytes that the coefficients, what is remembered of them and what is made of them take.
    fn memory(&self) -> u64 {
        let of = |channel: &Channel| {
            let (each, remembered) =
                (channel.side.coefficients() as u64, if self.remembers(channel) { 8 } else { 0 });
            let samples = if self.rows.is_some() { 0 } else { channel.blocks as u64 * each };
            self.held(channel) as u64 * (each * 2 + remembered) + samples
        };
        let rows = self.rows.as_ref().map_or(0, Rows::bytes);
        self.channels.iter().map(of).sum::<u64>() + rows
    }

    /// How many blocks of a channel are held at a time.
    fn held(&self, channel: &Channel) -> usize {
        if self.flows { channel.stride * channel.span } else { channel.blocks }
    }

    fn remembers(&self, channel: &Channel) -> bool {
        self.progressive && channel.side != Side::One
    }

    fn make_room(&mut self) {
        let room: Vec<_> = self.channels.iter().map(|it| (self.held(it), self.remembers(it))).collect();
        for (channel, (held, remembered)) in self.channels.iter_mut().zip(room) {
            channel.coefficients = vec![0; held * channel.side.coefficients()];
            channel.nonzero = vec![0; if remembered { held } else { 0 }];
        }
    }

    /// How many rows of MCUs there are.
    fn mcu_rows(&self) -> usize {
        let rows = self.channels.iter().map(|channel| channel.down.div_ceil(channel.span));
        rows.max().unwrap_or_default()
    }

    /// Makes rows of pixels of every row of MCUs before that one, and makes room for it where but one is held.
    fn reach(&mut self, row: usize, deadline: Deadline) -> Result<(), Stop> {
        let Self { rows: Some(rows), channels, flows, made, .. } = self else { return Ok(()) };
        while *made < row {
            deadline.check()?;
            rows.push(channels, if *flows { 0 } else { *made })?;
            if *flows {
                channels.iter_mut().for_each(|channel| channel.coefficients.fill(0));
            }
            *made += 1;
        }
        Ok(())
    }

    fn into_planes(self) -> Vec<(Side, Plane)> {
        let most = self.most;
        let planes = self.channels.into_iter().map(|channel| {
            let ((h, v), side) = (channel.sampling, channel.side.samples() as u32);
            let scale = |factor: u32, most: u32| f64::from(factor * side) / f64::from(most * BLOCK);
            let width = (self.width * h * side).div_ceil(most.0 * BLOCK);
            let height = (self.height * v * side).div_ceil(most.1 * BLOCK);
            let samples = transform::plane(&channel, (width, height));
            (channel.side, Plane { samples, width, height, scale: (scale(h, most.0), scale(v, most.1)) })
        });
        planes.collect()
    }
}

/// By a coefficient's place in the file: its column and row in the block (ITU T.81, figure A.6).
const ZIGZAG: [(u8, u8); 64] = {
    let mut order = [(0, 0); 64];
    let (mut x, mut y, mut place) = (0_u8, 0_u8, 0);
    while place < 64 {
        order[place] = (x, y);
        if (x + y).is_multiple_of(2) {
            if x == 7 {
                y += 1;
            } else if y == 0 {
                x += 1;
            } else {
                x += 1;
                y -= 1;
            }
        } else if y == 7 {
            x += 1;
        } else if x == 0 {
            y += 1;
        } else {
            x -= 1;
            y += 1;
        }
        place += 1;
    }
    order
};

/// Where in a block the coefficients go, by their place in the file; `u8::MAX` for those that are not kept.
const fn places(side: Side) -> [u8; 64] {
    let mut places = [u8::MAX; 64];
    let mut at = 0;
    while at < 64 {
        let (x, y) = ZIGZAG[at];
        if (x as usize) < side.samples() && (y as usize) < side.samples() {
            places[at] = y * side.samples() as u8 + x;
        }
        at += 1;
    }
    places
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
