//! What a frame header says (ITU T.81, B.2.2), and the coefficients that it is about.

use super::{BLOCK, Choice, Sampling, Side};

/// The quantisers in the order of the file.
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
    /// What is made of each block.
    pub(super) side: Side,
    /// The table that its quantisers are in.
    pub(super) table: usize,
    /// The quantisers as they are when its first scan begins.
    pub(super) quantisers: Option<Quantisers>,
    /// Blocks across and down, without those that only fill up an MCU.
    pub(super) across: usize,
    pub(super) down: usize,
    /// Blocks from a row to the next, with those.
    pub(super) stride: usize,
    /// Rows of blocks in a row of MCUs.
    pub(super) span: usize,
    /// Of each block of a row of MCUs, the coefficients that are kept, row by row.
    pub(super) coefficients: Vec<i16>,
    /// Of each such block of a progressive picture, which coefficients are known not to be zero, kept or not, in the order of the
    /// file; empty where only the DC is read.
    pub(super) nonzero: Vec<u64>,
}

impl Frame {
    pub(super) fn parse(segment: &[u8], progressive: bool, choice: Choice<'_>) -> Option<Self> {
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
            Some(Channel {
                id,
                sampling: (h, v),
                side: choice(Sampling { channel: index, scale, progressive })?,
                table: table.into(),
                quantisers: None,
                across: (width * h).div_ceil(most.0 * BLOCK) as usize,
                down: (height * v).div_ceil(most.1 * BLOCK) as usize,
                stride: (width.div_ceil(most.0 * BLOCK) * h) as usize,
                span: if count == 1 { 1 } else { v as usize },
                coefficients: Vec::new(),
                nonzero: Vec::new(),
            })
        });
        let channels = channels.collect::<Option<_>>()?;
        Some(Self { progressive, width, height, most, channels })
    }

    /// Whether it takes nothing but the DC of each block.
    pub(super) fn is_shallow(&self) -> bool {
        self.channels.iter().all(|channel| channel.side == Side::One)
    }

    /// How many rows of MCUs there are.
    pub(super) fn mcu_rows(&self) -> usize {
        let rows = self.channels.iter().map(|channel| channel.down.div_ceil(channel.span));
        rows.max().unwrap_or_default()
    }

    /// Bytes that the coefficients and what is remembered of them take.
    pub(super) fn bytes(&self) -> u64 {
        let of = |channel: &Channel| {
            let each =
                channel.side.coefficients() * 2 + if channel.remembers(self.progressive) { 8 } else { 0 };
            (channel.blocks() * each) as u64
        };
        self.channels.iter().map(of).sum()
    }

    pub(super) fn make_room(&mut self) {
        for channel in &mut self.channels {
            channel.coefficients = vec![0; channel.blocks() * channel.side.coefficients()];
            channel.nonzero = vec![0; if channel.remembers(self.progressive) { channel.blocks() } else { 0 }];
        }
    }

    /// Forgets a row of MCUs, for the next.
    pub(super) fn clear(&mut self) {
        for channel in &mut self.channels {
            channel.coefficients.fill(0);
            channel.nonzero.fill(0);
        }
    }
}

impl Channel {
    /// Blocks in a row of MCUs.
    fn blocks(&self) -> usize {
        self.stride * self.span
    }

    /// Whether it must be known which coefficients are not zero.
    fn remembers(&self, progressive: bool) -> bool {
        progressive && self.side != Side::One
    }
}
