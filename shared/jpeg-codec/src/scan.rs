//! Reads one scan, MCU by MCU, from restart marker to restart marker, as far as it is needed.

use std::rc::Rc;

use super::{
    BLOCK, EarlyEnd, GoOn, KeptCoefficients,
    bits::{self, BitPosition, Bits, Window},
    check,
    coding::Coding,
    frame::{Channel, Frame},
    headers::{ScanHeader, Selected},
    huffman::{Differences, Skipper, Values},
    markers::next_marker,
    progressive,
};

impl ScanHeader<'_> {
    /// The bytes of the header and of the scan's reader.
    pub(super) fn bytes(&self) -> u64 {
        (size_of::<Self>() + bytes(self.coding, self.channels.len())) as u64
    }
}

/// The most bytes of a reader for a scan of so many channels.
const fn bytes(coding: Coding, channels: usize) -> usize {
    let codes = match coding {
        Coding::Baseline => size_of::<Differences>() + size_of::<Values>() + size_of::<Skipper>(),
        Coding::First(_) => size_of::<Differences>(),
        Coding::Refinement(_) => 0,
        Coding::Band(_) | Coding::BandRefinement(_) => size_of::<Values>(),
    };
    let blocks = bits::MOST_BLOCKS * size_of::<Block>();
    size_of::<Scan<'_>>() + bits::BYTES + blocks + channels * (size_of::<Part>() + codes)
}

/// The state of one channel of a scan.
pub(super) struct Part {
    /// The channel's index in the frame.
    channel: usize,
    pub(super) kept: KeptCoefficients,
    dc: Option<Rc<Differences>>,
    /// Decodes the AC coefficients that are kept, if any is.
    pub(super) values: Option<Rc<Values>>,
    /// Skips the AC coefficients that are not kept.
    rest: Option<Rc<Skipper>>,
    /// The number of following blocks that have nothing more in this band.
    pub(super) run: u32,
    /// The last DC coefficient; the next one is coded as the difference from it.
    last: i32,
    /// The channel's coefficients, taken over while they are being read.
    pub(super) coefficients: Vec<i16>,
    pub(super) nonzero: Vec<u64>,
}

impl Part {
    /// Reads the DC of a block, without its `low` lowest bits.
    #[inline(always)]
    fn read_dc(&mut self, bits: &mut Bits<'_>, at: usize, low: u8) -> Option<()> {
        self.last = self.last.wrapping_add(self.dc.as_ref()?.take(bits)?);
        let mean = self.last.wrapping_shl(low.into());
        *self.coefficients.get_mut(at * self.kept.count)? =
            mean.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        Some(())
    }

    /// Takes over a channel's coefficients, or gives them back.
    fn swap(&mut self, channels: &mut [Channel]) {
        let channel = &mut channels[self.channel];
        std::mem::swap(&mut self.coefficients, &mut channel.coefficients);
        std::mem::swap(&mut self.nonzero, &mut channel.nonzero);
    }
}

/// One block of an MCU: the channel that it belongs to, and its position among the MCU's blocks of that channel.
struct Block {
    part: usize,
    /// Blocks of the channel in an MCU, across and down.
    span: (usize, usize),
    offset: (usize, usize),
    /// The index of the next such block in its row of MCUs.
    at: usize,
}

/// The composition of a scan's MCUs (ITU T.81, A.2).
struct McuLayout {
    across: usize,
    down: usize,
    /// Rows of the scan's MCUs in one row of the picture's.
    rows: usize,
    blocks: Vec<Block>,
}

impl McuLayout {
    fn new(frame: &Frame, parts: &[Part]) -> Self {
        // In a scan with one channel, an MCU is one block, and no block is padding.
        if let [Part { channel, .. }] = *parts {
            let Channel { across, down, span, .. } = frame.channels[channel];
            let block = Block { part: 0, span: (1, 1), offset: (0, 0), at: 0 };
            return Self { across, down, rows: span, blocks: vec![block] };
        }
        let (h, v) = frame.most;
        let mut blocks = Vec::new();
        for (part, Part { channel, .. }) in parts.iter().enumerate() {
            let (h, v) = frame.channels[*channel].sampling;
            let span = (h as usize, v as usize);
            let offsets = (0..span.1).flat_map(|y| (0..span.0).map(move |x| (x, y)));
            blocks.extend(offsets.map(|offset| Block { part, span, offset, at: 0 }));
        }
        Self {
            across: frame.width.div_ceil(h * BLOCK) as usize,
            down: frame.height.div_ceil(v * BLOCK) as usize,
            rows: 1,
            blocks,
        }
    }
}

/// A scan that has been read up to some row of the picture's MCUs.
pub(super) struct Scan<'a> {
    coding: Coding,
    parts: Vec<Part>,
    layout: McuLayout,
    window: Window<'a>,
    /// The position of the next MCU.
    place: BitPosition,
    /// The next MCU, and the end of the current restart interval.
    next: usize,
    end: usize,
    /// MCUs between restart markers (0 if there are none), and the number of the next marker.
    restart: usize,
    expected: u8,
    /// Whether nothing more can be read before the next restart marker.
    lost: bool,
}

impl<'a> Scan<'a> {
    /// Creates the reader; `None` if a Huffman table is missing or invalid.
    pub(super) fn new(frame: &Frame, header: ScanHeader<'a>) -> Option<Self> {
        let ScanHeader { channels, coding, tables, data, at } = header;
        let mut parts: Vec<Part> = Vec::with_capacity(channels.len());
        for (index, &Selected { channel, dc, ac }) in channels.iter().enumerate() {
            let kept = frame.channels[channel].side.kept();
            // Channels with the same codes share one table.
            let before = || channels[..index].iter().zip(&parts);
            let with_dc = || before().filter(|(other, _)| other.dc == dc).map(|(_, part)| part);
            let with_ac = || before().filter(|(other, _)| other.ac == ac).map(|(_, part)| part);
            let (differs, reads, skips) = match coding {
                Coding::Baseline => (true, kept.count > 1, kept.count < 64),
                Coding::First(_) => (true, false, false),
                Coding::Refinement(_) => (false, false, false),
                Coding::Band(_) | Coding::BandRefinement(_) => (false, true, false),
            };
            let mut part = Part {
                channel,
                kept,
                dc: None,
                values: None,
                rest: None,
                run: 0,
                last: 0,
                coefficients: Vec::new(),
                nonzero: Vec::new(),
            };
            if differs {
                let known = with_dc().find_map(|part| part.dc.clone());
                part.dc = Some(shared(known, || tables.dc(dc).map(Differences::new))?);
            }
            if reads {
                let known = with_ac().find_map(|part| part.values.clone());
                part.values = Some(shared(known, || tables.ac(ac).map(Values::new))?);
            }
            if skips {
                let known = with_ac().find_map(|part| part.rest.clone());
                part.rest = Some(shared(known, || tables.ac(ac).map(Skipper::new))?);
            }
            parts.push(part);
        }
        let layout = McuLayout::new(frame, &parts);
        let mut window = Window::new(data);
        let place = window.start(at).place();
        let mut scan = Self {
            coding,
            parts,
            layout,
            window,
            place,
            next: 0,
            end: 0,
            restart: tables.restart,
            expected: 0,
            lost: false,
        };
        scan.end = scan.interval(0);
        Some(scan)
    }

    /// The end of the restart interval that begins at MCU `start`.
    fn interval(&self, start: usize) -> usize {
        let total = self.total();
        if self.restart == 0 { total } else { total.min(start + self.restart) }
    }

    fn total(&self) -> usize {
        self.layout.across * self.layout.down
    }

    /// Reads that row of the picture's MCUs into the channels. Returns whether it contained any data.
    pub(super) fn read(
        &mut self,
        row: usize,
        channels: &mut [Channel],
        go_on: GoOn<'_>,
    ) -> Result<bool, EarlyEnd> {
        self.parts.iter_mut().for_each(|part| part.swap(channels));
        let walk = Walk { row, channels, go_on };
        let seen = match self.coding {
            Coding::Baseline => walk.through(self, true, |part, bits, at| {
                part.read_dc(bits, at, 0)?;
                let mut next = 1;
                if let Some(values) = &part.values {
                    next = values.take_kept(bits, part.kept, part.kept.block(&mut part.coefficients, at)?);
                    bits.refill();
                }
                if next < 64 {
                    part.rest.as_ref()?.skip_from(next, bits);
                }
                Some(())
            }),
            Coding::First(low) => walk.through(self, true, |part, bits, at| part.read_dc(bits, at, low)),
            Coding::Refinement(low) => walk.through(self, false, |part, bits, at| {
                bits.refill();
                *part.coefficients.get_mut(at * part.kept.count)? |= (bits.peek::<1>() as i16) << low;
                bits.skip(1);
                Some(())
            }),
            Coding::Band(band) => {
                walk.through(self, false, |part, bits, at| progressive::read_first(part, band, bits, at))
            }
            Coding::BandRefinement(band) => {
                walk.through(self, false, |part, bits, at| progressive::read_refinement(part, band, bits, at))
            }
        };
        self.parts.iter_mut().for_each(|part| part.swap(channels));
        seen
    }
}

/// Returns the known value, or makes one.
fn shared<T>(known: Option<Rc<T>>, make: impl FnOnce() -> Option<T>) -> Option<Rc<T>> {
    known.or_else(|| make().map(Rc::new))
}

/// A row of the picture's MCUs that is being read.
struct Walk<'c> {
    row: usize,
    channels: &'c [Channel],
    go_on: GoOn<'c>,
}

impl Walk<'_> {
    /// Reads every MCU by calling `read` for each block. Where a scan begins (`anew`), a block that is incomplete is
    /// cleared. After damaged data, nothing is changed up to the next restart marker.
    ///
    /// This is a function of its own for each `read`, so that its variables stay in registers.
    #[inline(never)]
    fn through(
        self,
        scan: &mut Scan<'_>,
        anew: bool,
        read: impl Fn(&mut Part, &mut Bits<'_>, usize) -> Option<()>,
    ) -> Result<bool, EarlyEnd> {
        let McuLayout { across, rows, .. } = scan.layout;
        let total = scan.total();
        let until = total.min((self.row + 1) * rows * across);
        let mut seen = false;
        while scan.next < until {
            let Scan { parts, layout: McuLayout { blocks, .. }, window, .. } = scan;
            let mut bits = window.resume(scan.place);
            let end = until.min(scan.end);
            let mut next = if scan.lost { end } else { scan.next };
            'rows: while next < end {
                check(self.go_on)?;
                let (row, column) = (next / across - self.row * rows, next % across);
                for block in &mut *blocks {
                    let stride = self.channels[parts[block.part].channel].stride;
                    block.at = (row * block.span.1 + block.offset.1) * stride
                        + column * block.span.0
                        + block.offset.0;
                }
                let stop = across.min(column + end - next);
                for _ in column..stop {
                    if bits.is_low(blocks.len()) {
                        let place = bits.place();
                        bits = window.advance(place);
                    }
                    for block in &mut *blocks {
                        let part = &mut parts[block.part];
                        if read(part, &mut bits, block.at).is_none() || bits.exhausted() {
                            let partial = part.kept.block(&mut part.coefficients, block.at);
                            if let Some(partial) = partial.filter(|_| anew) {
                                partial.fill(0);
                            }
                            scan.lost = true;
                            break 'rows;
                        }
                        block.at += block.span.0;
                    }
                    seen = true;
                }
                next += stop - column;
            }
            scan.place = bits.place();
            scan.next = end;
            if end == scan.end && end < total {
                scan.restart();
            }
        }
        Ok(seen)
    }
}

impl Scan<'_> {
    /// Continues after the next restart marker, or at the scan's end if there is none.
    fn restart(&mut self) {
        let Some((lost, behind)) = next_restart(self.window.data, self.window.position(), self.expected)
        else {
            self.next = self.total();
            return;
        };
        self.next = self.end + lost * self.restart;
        self.expected = (self.expected + lost as u8 + 1) & 7;
        self.end = self.interval(self.next);
        self.lost = false;
        self.place = self.window.start(behind).place();
        self.parts.iter_mut().for_each(|part| (part.last, part.run) = (0, 0));
    }
}

/// Finds the restart marker at which to continue. Returns how many intervals were lost before it, and the offset of the
/// data after it. A marker one or two ahead of the expected one means that the intervals between are lost; one or two
/// behind, that it is a stray one; any other is taken for the expected one (as in libjpeg's `jpeg_resync_to_restart`).
/// `None` if the scan ends first.
fn next_restart(data: &[u8], mut at: usize, expected: u8) -> Option<(usize, usize)> {
    loop {
        let (marker, behind) = next_marker(data, at)?;
        at = behind;
        match marker {
            0xd0..=0xd7 => {}
            // Not a marker of the standard, but the result of damage.
            0x01..=0xbf => continue,
            _ => return None,
        }
        match (marker.wrapping_sub(0xd0)).wrapping_sub(expected) & 7 {
            lost @ 1..=2 => return Some((lost.into(), behind)),
            6..=7 => {}
            _ => return Some((0, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_and_stray_restarts_are_told_apart() {
        let data = [0, 0xff, 0xd1, 0, 0xff, 0xd2, 0xff, 0xd9];
        assert_eq!(next_restart(&data, 0, 1), Some((0, 3)), "the one expected");
        assert_eq!(next_restart(&data, 0, 7), Some((2, 3)), "two were lost");
        assert_eq!(next_restart(&data, 0, 2), Some((0, 6)), "a stray one first");
        assert_eq!(next_restart(&data, 6, 3), None, "the end");
        let data = [0, 0xff, 0x55, 0, 0xff, 0xd2, 0xff, 0x55, 0xff, 0xda];
        assert_eq!(next_restart(&data, 0, 2), Some((0, 6)), "no marker first");
        assert_eq!(next_restart(&data, 6, 3), None, "the next scan");
    }
}
