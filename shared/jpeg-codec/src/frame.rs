//! The frame header, and the coefficients of the frame.

use super::{BLOCK, Choice, Error, Sampling, Side};

/// The values of a quantisation table, in the order of the file.
pub(super) type Quantisers = [u16; 64];

pub(super) struct Frame {
    pub(super) progressive: bool,
    pub(super) width: u32,
    pub(super) height: u32,
    /// The largest sampling factors, across and down.
    pub(super) most: (u32, u32),
    pub(super) channels: Vec<Channel>,
}

pub(super) struct Channel {
    pub(super) id: u8,
    /// Sampling factors, across and down.
    pub(super) sampling: (u32, u32),
    /// The number of samples that each block is reduced to.
    pub(super) side: Side,
    /// The number of the channel's quantisation table.
    pub(super) table: usize,
    /// The quantisation table as it is when the channel's first scan begins.
    pub(super) quantisers: Option<Quantisers>,
    /// Blocks across and down, without those that only pad an MCU.
    pub(super) across: usize,
    pub(super) down: usize,
    /// Blocks from one row to the next, including padding.
    pub(super) stride: usize,
    /// Rows of blocks in a row of MCUs.
    pub(super) span: usize,
    /// The kept coefficients of each block in a row of MCUs, row by row.
    pub(super) coefficients: Vec<i16>,
    /// A bit mask for each of these blocks of a progressive picture: which coefficients are known not to be zero, kept
    /// or not, in the order of the file. It is empty if only the DC is read.
    pub(super) nonzero: Vec<u64>,
}

/// The frame header (ITU T.81, B.2.2) of a picture of one, three or four channels of 8 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHeader<'a> {
    pub(super) width: u32,
    /// Zero if the file tells the height after its first scan.
    pub(super) height: u32,
    /// The id, the sampling factors and the quantisation table's number of each channel.
    channels: &'a [[u8; 3]],
}

impl<'a> FrameHeader<'a> {
    pub(super) fn parse(segment: &'a [u8]) -> Result<Self, Error> {
        let &[precision, h0, h1, w0, w1, count, ref rest @ ..] = segment else {
            return Err(Error::Damaged("a frame header that is cut short"));
        };
        match precision {
            8 => {}
            12 => return Err(Error::Unsupported("12 bits a sample")),
            _ => return Err(Error::Damaged("samples of no such number of bits")),
        }
        match count {
            1 | 3 | 4 => {}
            0 => return Err(Error::Damaged("no channels")),
            _ => {
                return Err(Error::Unsupported("a number of channels that says nothing of their colours"));
            }
        }
        let channels = rest.as_chunks().0.get(..count.into());
        let channels = channels.ok_or(Error::Damaged("a frame header that is cut short"))?;
        let valid = |&[_, factors, _]: &[u8; 3]| {
            (1..=4).contains(&(factors >> 4)) && (1..=4).contains(&(factors & 15))
        };
        if !channels.iter().all(valid) {
            return Err(Error::Damaged("sampling factors that there cannot be"));
        }
        let (height, width) = (u16::from_be_bytes([h0, h1]), u16::from_be_bytes([w0, w1]));
        Ok(Self { width: width.into(), height: height.into(), channels })
    }

    /// The ids of the channels.
    pub(super) fn ids(&self) -> impl Iterator<Item = u8> {
        self.channels.iter().map(|&[id, ..]| id)
    }
}

impl Frame {
    /// Creates the frame of a header, with the size that the file says it has. `None` if the header says another, or if
    /// no reduction was chosen for a channel.
    pub(super) fn new(
        header: &FrameHeader<'_>,
        (width, height): (u32, u32),
        progressive: bool,
        choice: Choice<'_>,
    ) -> Option<Self> {
        if header.width != width || ![0, height].contains(&header.height) {
            return None;
        }
        let factors = |both: u8| (u32::from(both >> 4), u32::from(both & 15));
        let most = header.channels.iter().fold((1, 1), |(most_h, most_v), &[_, both, _]| {
            let (h, v) = factors(both);
            (most_h.max(h), most_v.max(v))
        });
        let single = header.channels.len() == 1;
        let channels = header.channels.iter().enumerate().map(|(index, &[id, both, table])| {
            let (h, v) = factors(both);
            let scale = (f64::from(h) / f64::from(most.0), f64::from(v) / f64::from(most.1));
            Some(Channel {
                id,
                sampling: (h, v),
                side: choice(Sampling { channel: index, scale, progressive })?,
                table: table.into(),
                quantisers: None,
                across: (width * h).div_ceil(most.0 * BLOCK) as usize,
                down: (height * v).div_ceil(most.1 * BLOCK) as usize,
                stride: (width.div_ceil(most.0 * BLOCK) * h) as usize,
                span: if single { 1 } else { v as usize },
                coefficients: Vec::new(),
                nonzero: Vec::new(),
            })
        });
        let channels = channels.collect::<Option<_>>()?;
        Some(Self { progressive, width, height, most, channels })
    }

    /// Whether only the DC of each block is needed.
    pub(super) fn is_shallow(&self) -> bool {
        self.channels.iter().all(|channel| channel.side == Side::One)
    }

    /// The number of rows of MCUs.
    pub(super) fn mcu_rows(&self) -> usize {
        let rows = self.channels.iter().map(|channel| channel.down.div_ceil(channel.span));
        rows.max().unwrap_or_default()
    }

    /// The bytes of the coefficients and the bit masks.
    pub(super) fn bytes(&self) -> u64 {
        let of = |channel: &Channel| {
            let each = channel.side.coefficients() * 2
                + if channel.tracks_nonzero(self.progressive) { 8 } else { 0 };
            (channel.blocks() * each) as u64
        };
        self.channels.iter().map(of).sum()
    }

    pub(super) fn make_room(&mut self) {
        for channel in &mut self.channels {
            channel.coefficients = vec![0; channel.blocks() * channel.side.coefficients()];
            channel.nonzero =
                vec![0; if channel.tracks_nonzero(self.progressive) { channel.blocks() } else { 0 }];
        }
    }

    /// Clears the coefficients of a row of MCUs for the next one.
    pub(super) fn clear(&mut self) {
        for channel in &mut self.channels {
            channel.coefficients.fill(0);
            channel.nonzero.fill(0);
        }
    }
}

impl Channel {
    /// The number of blocks in a row of MCUs.
    fn blocks(&self) -> usize {
        self.stride * self.span
    }

    /// Whether it must be known which coefficients are not zero.
    fn tracks_nonzero(&self, progressive: bool) -> bool {
        progressive && self.side != Side::One
    }
}
