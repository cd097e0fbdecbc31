//! One scan: block after block, MCU after MCU, from restart marker to restart marker, as far as it is wanted.

use std::rc::Rc;

use super::{
    BLOCK, Kept, Stop,
    bits::{self, Bits, Place, Window},
    coding::Coding,
    frame::{Channel, Frame},
    headers::{Header, Selected},
    huffman::{Differences, Skipper, Values},
    markers::next_marker,
    progressive,
};
use crate::Deadline;

impl Header<'_> {
    /// Bytes that it takes, with what reads the scan.
    pub(super) fn bytes(&self) -> u64 {
        (size_of::<Self>() + bytes(self.coding, self.channels.len())) as u64
    }
}

/// Bytes that reading a scan of so many channels takes at most.
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

/// What a scan needs to know of one of its channels.
pub(super) struct Part {
    /// Which it is in the frame.
    channel: usize,
    pub(super) kept: Kept,
    dc: Option<Rc<Differences>>,
    /// What AC coefficients are read by, where any is kept.
    pub(super) values: Option<Rc<Values>>,
    /// What those are passed over by that are not kept.
    rest: Option<Rc<Skipper>>,
    /// Blocks to come that have nothing more in this band.
    pub(super) run: u32,
    /// The last DC coefficient: the next one is coded as its difference to it.
    last: i32,
    /// The channel's, while they are read into.
    pub(super) coefficients: Vec<i16>,
    pub(super) nonzero: Vec<u64>,
}

impl Part {
    /// Takes the DC of a block, without so many of its lowest bits.
    #[inline(always)]
    fn mean(&mut self, bits: &mut Bits<'_>, at: usize, low: u8) -> Option<()> {
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

/// One block of an MCU: whose it is, and where it lies among those that the MCU has of that channel.
struct Block {
    part: usize,
    /// Blocks of the channel in an MCU, across and down.
    span: (usize, usize),
    offset: (usize, usize),
    /// Where in its row of MCUs the next one lies.
    at: usize,
}

/// How a scan's MCUs are made up (ITU T.81, A.2).
struct Layout {
    across: usize,
    down: usize,
    /// Rows of the scan's MCUs in a row of the picture's.
    rows: usize,
    blocks: Vec<Block>,
}

impl Layout {
    fn new(frame: &Frame, parts: &[Part]) -> Self {
        // A channel alone has one block to an MCU, and none that only fill up.
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
    layout: Layout,
    window: Window<'a>,
    /// Where the next MCU begins.
    place: Place,
    /// The next MCU, and the first one behind the next restart marker or the scan's end.
    next: usize,
    end: usize,
    /// MCUs between restart markers, or none, and the number of the next marker.
    restart: usize,
    expected: u8,
    /// Whether nothing can be read up to the next restart marker.
    lost: bool,
}

impl<'a> Scan<'a> {
    /// `None` where the codes that it takes are not defined, or make no sense.
    pub(super) fn new(frame: &Frame, header: Header<'a>) -> Option<Self> {
        let Header { channels, coding, tables, data, at } = header;
        let mut parts: Vec<Part> = Vec::with_capacity(channels.len());
        for (index, &Selected { channel, dc, ac }) in channels.iter().enumerate() {
            let kept = frame.channels[channel].side.kept();
            // Channels that share their codes have one table of them.
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
        let layout = Layout::new(frame, &parts);
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

    /// Where the interval ends that begins at that MCU.
    fn interval(&self, start: usize) -> usize {
        let total = self.total();
        if self.restart == 0 { total } else { total.min(start + self.restart) }
    }

    fn total(&self) -> usize {
        self.layout.across * self.layout.down
    }

    /// Reads that row of the picture's MCUs into the channels. Says whether there was anything in it.
    pub(super) fn read(
        &mut self,
        row: usize,
        channels: &mut [Channel],
        deadline: Deadline,
    ) -> Result<bool, Stop> {
        self.parts.iter_mut().for_each(|part| part.swap(channels));
        let walk = Walk { row, channels, deadline };
        let seen = match self.coding {
            Coding::Baseline => walk.through(self, true, |part, bits, at| {
                part.mean(bits, at, 0)?;
                let mut next = 1;
                if let Some(values) = &part.values {
                    next = values.low(bits, part.kept, part.kept.block(&mut part.coefficients, at)?);
                    bits.refill();
                }
                if next < 64 {
                    part.rest.as_ref()?.skip_from(next, bits);
                }
                Some(())
            }),
            Coding::First(low) => walk.through(self, true, |part, bits, at| part.mean(bits, at, low)),
            Coding::Refinement(low) => walk.through(self, false, |part, bits, at| {
                bits.refill();
                *part.coefficients.get_mut(at * part.kept.count)? |= (bits.peek::<1>() as i16) << low;
                bits.skip(1);
                Some(())
            }),
            Coding::Band(band) => {
                walk.through(self, false, |part, bits, at| progressive::first(part, band, bits, at))
            }
            Coding::BandRefinement(band) => {
                walk.through(self, false, |part, bits, at| progressive::refine(part, band, bits, at))
            }
        };
        self.parts.iter_mut().for_each(|part| part.swap(channels));
        seen
    }
}

/// What is known, or else made.
fn shared<T>(known: Option<Rc<T>>, make: impl FnOnce() -> Option<T>) -> Option<Rc<T>> {
    known.or_else(|| make().map(Rc::new))
}

/// A row of the picture's MCUs, to be read.
struct Walk<'c> {
    row: usize,
    channels: &'c [Channel],
    deadline: Deadline,
}

impl Walk<'_> {
    /// Reads every MCU: `read` has the place of each block. Where a scan begins `anew`, nothing is left of a block that is
    /// not whole. Behind damaged data, everything is left as it is up to the next restart marker.
    ///
    /// On its own for each `read`, so that what it has in hand stays in registers.
    #[inline(never)]
    fn through(
        self,
        scan: &mut Scan<'_>,
        anew: bool,
        read: impl Fn(&mut Part, &mut Bits<'_>, usize) -> Option<()>,
    ) -> Result<bool, Stop> {
        let Layout { across, rows, .. } = scan.layout;
        let total = scan.total();
        let until = total.min((self.row + 1) * rows * across);
        let mut seen = false;
        while scan.next < until {
            let Scan { parts, layout: Layout { blocks, .. }, window, .. } = scan;
            let mut bits = window.resume(scan.place);
            let end = until.min(scan.end);
            let mut next = if scan.lost { end } else { scan.next };
            'rows: while next < end {
                self.deadline.check()?;
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
    /// Goes on behind the next restart marker; where there is none, to the scan's end.
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

/// The restart marker to go on at: how many intervals were lost before it, and where the data behind it begins. A
/// marker one or two ahead means that those between are lost; one or two behind, that it is a stray; anything else is
/// taken for the one expected (as libjpeg's `jpeg_resync_to_restart` has it). `None` where the scan ends first.
fn next_restart(data: &[u8], mut at: usize, expected: u8) -> Option<(usize, usize)> {
    loop {
        let (marker, behind) = next_marker(data, at)?;
        at = behind;
        match marker {
            0xd0..=0xd7 => {}
            // None that there is, but what damage made of something else.
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
