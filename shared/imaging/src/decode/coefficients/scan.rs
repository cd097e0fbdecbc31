//! One scan: block after block, MCU after MCU, from restart marker to restart marker.

use super::{
    BLOCK, Channel, Frame, Kept, Side, Stop,
    bits::{Bits, Window},
    huffman::{Codes, Skipper},
    progressive,
};
use crate::Deadline;

/// Some of the AC coefficients, by their places in the file, without so many of their lowest bits.
#[derive(Clone, Copy)]
pub(super) struct Band {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) low: u8,
}

/// How the coefficients are coded in a scan.
#[derive(Clone, Copy)]
pub(super) enum Coding {
    /// The DC whole, with the AC coefficients behind it.
    Baseline,
    /// All bits of the DC but so many of the lowest.
    First(u8),
    /// This one bit of the DC.
    Refinement(u8),
    /// AC coefficients, the first time.
    Band(Band),
    /// One more bit of AC coefficients.
    BandRefinement(Band),
}

/// What a scan needs to know of one of its channels.
pub(super) struct Part {
    /// Which it is in the frame.
    pub(super) channel: usize,
    side: Side,
    pub(super) kept: Kept,
    dc: Option<Codes>,
    ac: Option<Skipper>,
    /// The codes of a band.
    pub(super) bands: Option<Codes>,
    /// Blocks to come that have nothing more in this band.
    pub(super) run: u32,
    /// The last coefficient, which the next one is the difference to.
    last: i32,
}

impl Part {
    /// `None` where the codes that this coding takes are not defined.
    pub(super) fn new(
        (channel, side): (usize, Side),
        coding: Coding,
        dc: Option<Codes>,
        ac: Option<Codes>,
    ) -> Option<Self> {
        let kept = side.kept();
        let mut part = Self { channel, side, kept, dc: None, ac: None, bands: None, run: 0, last: 0 };
        match coding {
            Coding::Baseline => (part.dc, part.ac) = (Some(dc?), Some(Skipper::new(ac?))),
            Coding::First(_) => part.dc = Some(dc?),
            Coding::Refinement(_) => {}
            Coding::Band(_) | Coding::BandRefinement(_) => part.bands = Some(ac?),
        }
        Some(part)
    }

    #[inline(always)]
    fn difference(&mut self, bits: &mut Bits<'_>) -> Option<i32> {
        self.last = self.last.wrapping_add(self.dc.as_ref()?.difference(bits)?);
        Some(self.last)
    }
}

/// Where a scan's data begins, and the MCUs between its restart markers.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) data: &'a [u8],
    pub(super) at: usize,
    pub(super) restart: usize,
}

/// Decodes a scan into the frame. Gives where the scan's data ends at the earliest.
pub(super) fn decode(
    frame: &mut Frame<'_>,
    parts: &mut [Part],
    coding: Coding,
    place: Place<'_>,
    deadline: Deadline,
) -> Result<usize, Stop> {
    match coding {
        Coding::Baseline => walk(frame, parts, place, true, deadline, |part, bits, block, _| {
            let mean = coefficient(part.difference(bits)?);
            let codes = part.ac.as_ref()?;
            block[0] = mean;
            if part.side == Side::One {
                return codes.skip_from(1, bits);
            }
            block[1..].fill(0);
            codes.low_block(bits, part.kept, block)
        }),
        Coding::First(low) => walk(frame, parts, place, true, deadline, |part, bits, block, _| {
            block[0] = coefficient(part.difference(bits)?.wrapping_shl(low.into()));
            Some(())
        }),
        Coding::Refinement(low) => walk(frame, parts, place, false, deadline, |_, bits, block, _| {
            bits.refill();
            block[0] |= (bits.peek::<1>() as i16) << low;
            bits.skip(1);
            Some(())
        }),
        Coding::Band(band) => walk(frame, parts, place, false, deadline, |part, bits, block, nonzero| {
            progressive::first(part, band, bits, block, nonzero)
        }),
        Coding::BandRefinement(band) => {
            walk(frame, parts, place, false, deadline, |part, bits, block, nonzero| {
                progressive::refine(part, band, bits, block, nonzero)
            })
        }
    }
}

fn coefficient(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// One block of an MCU: whose it is, and where it lies among those that the MCU has of that channel.
struct Block {
    part: usize,
    /// How many coefficients are kept of it.
    kept: usize,
    /// Blocks of the channel in an MCU, across and down.
    span: (usize, usize),
    offset: (usize, usize),
}

/// How a scan's MCUs are made up (ITU T.81, A.2).
struct Layout {
    across: usize,
    down: usize,
    blocks: Vec<Block>,
}

impl Layout {
    fn new(frame: &Frame<'_>, parts: &[Part]) -> Self {
        // A channel alone has one block to an MCU, and none that only fill up.
        if let [Part { channel, .. }] = *parts {
            let Channel { across, down, side, .. } = frame.channels[channel];
            let block = Block { part: 0, kept: side.coefficients(), span: (1, 1), offset: (0, 0) };
            return Self { across, down, blocks: vec![block] };
        }
        let (h, v) = frame.most;
        let mut blocks = Vec::new();
        for (part, Part { channel, .. }) in parts.iter().enumerate() {
            let Channel { sampling: (h, v), side, .. } = frame.channels[*channel];
            let (span, kept) = ((h as usize, v as usize), side.coefficients());
            let offsets = (0..span.1).flat_map(|y| (0..span.0).map(move |x| (x, y)));
            blocks.extend(offsets.map(|offset| Block { part, kept, span, offset }));
        }
        Self {
            across: frame.width.div_ceil(h * BLOCK) as usize,
            down: frame.height.div_ceil(v * BLOCK) as usize,
            blocks,
        }
    }
}

/// Reads every MCU: `read` has each block as it was before, or where a scan begins `anew` shall leave nothing of a block that is
/// not whole. Behind damaged data, everything is left as it is up to the next restart marker.
fn walk(
    frame: &mut Frame<'_>,
    parts: &mut [Part],
    place: Place<'_>,
    anew: bool,
    deadline: Deadline,
    read: impl Fn(&mut Part, &mut Bits<'_>, &mut [i16], &mut u64) -> Option<()>,
) -> Result<usize, Stop> {
    let layout = Layout::new(frame, parts);
    let (total, flows) = (layout.across * layout.down, frame.flows);
    let mut window = Window::new(place.data);
    let (mut start, mut expected, mut at, mut nothing) = (0, 0, place.at, 0);
    loop {
        let end = if place.restart == 0 { total } else { total.min(start + place.restart) };
        let mut bits = window.start(at);
        parts.iter_mut().for_each(|part| (part.last, part.run) = (0, 0));

        let (mut row, mut column) = (start / layout.across, start % layout.across);
        if flows {
            frame.reach(row, deadline)?;
        }
        'interval: for _ in start..end {
            if column == layout.across {
                (row, column) = (row + 1, 0);
                deadline.check()?;
                if flows {
                    frame.reach(row, deadline)?;
                }
            }
            if bits.is_low(layout.blocks.len()) {
                let place = bits.place();
                bits = window.advance(place);
            }
            for block in &layout.blocks {
                let part = &mut parts[block.part];
                let channel = &mut frame.channels[part.channel];
                let x = column * block.span.0 + block.offset.0;
                let y = if flows { 0 } else { row * block.span.1 } + block.offset.1;
                let place = y * channel.stride + x;
                let known = channel.coefficients.get_mut(place * block.kept..);
                let Some(known) = known.and_then(|it| it.get_mut(..block.kept)) else { break 'interval };
                let nonzero = channel.nonzero.get_mut(place).unwrap_or(&mut nothing);
                if read(part, &mut bits, known, nonzero).is_none() || bits.exhausted() {
                    if anew {
                        known.fill(0);
                    }
                    break 'interval;
                }
            }
            frame.seen = true;
            column += 1;
        }

        at = window.position();
        if end == total {
            return Ok(at);
        }
        deadline.check()?;
        let Some((lost, behind)) = next_restart(place.data, at, expected) else { return Ok(at) };
        start = end + lost * place.restart;
        expected = (expected + lost as u8 + 1) & 7;
        at = behind;
        if start >= total {
            return Ok(at);
        }
    }
}

/// The restart marker to go on at: how many intervals were lost before it, and where the data behind it begins. A
/// marker one or two ahead means that those between are lost; one or two behind, that it is a stray; anything else is
/// taken for the one expected (as libjpeg's `jpeg_resync_to_restart` has it). `None` where the scan ends first.
fn next_restart(data: &[u8], mut at: usize, expected: u8) -> Option<(usize, usize)> {
    loop {
        let (marker, behind) = next_marker(data, at)?;
        if !(0xd0..=0xd7).contains(&marker) {
            return None;
        }
        at = behind;
        match (marker.wrapping_sub(0xd0)).wrapping_sub(expected) & 7 {
            lost @ 1..=2 => return Some((lost.into(), behind)),
            6..=7 => {}
            _ => return Some((0, behind)),
        }
    }
}

/// The next marker at or behind a place, past anything else; with where it ends.
pub(super) fn next_marker(data: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        // Whole runs first: a loop that the compiler makes vectors of.
        while let Some(run) = data.get(at..).and_then(<[u8]>::first_chunk::<64>)
            && !run.iter().fold(false, |found, &byte| found | (byte == 0xff))
        {
            at += 64;
        }
        at += data.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        match *data.get(at + 1)? {
            0xff => at += 1,
            0 => at += 2,
            marker => return Some((marker, at + 2)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_past_stuffing_and_fill() {
        let mut data = vec![7; 100];
        data.extend([0xff, 0, 0xff, 0xff, 0xd3, 1, 0xff]);
        assert_eq!(next_marker(&data, 0), Some((0xd3, 105)));
        assert_eq!(next_marker(&data, 105), None);
        assert_eq!(next_marker(&data, 999), None);
    }

    #[test]
    fn lost_and_stray_restarts_are_told_apart() {
        let data = [0, 0xff, 0xd1, 0, 0xff, 0xd2, 0xff, 0xd9];
        assert_eq!(next_restart(&data, 0, 1), Some((0, 3)), "the one expected");
        assert_eq!(next_restart(&data, 0, 7), Some((2, 3)), "two were lost");
        assert_eq!(next_restart(&data, 0, 2), Some((0, 6)), "a stray one first");
        assert_eq!(next_restart(&data, 6, 3), None, "the end");
    }
}
