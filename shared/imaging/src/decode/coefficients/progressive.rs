//! The AC coefficients of progressive pictures (ITU T.81, G.1.2.2 and G.1.2.3): those that are kept are, of the others
//! only whether they are zero.

use super::{
    Frame, Kept, MOST_SCANS, be16,
    bits::Bits,
    huffman::Coded,
    scan::{Band, Part, next_marker},
};

/// Of the scans from this one on, the last one first, whether each must be read for the sake of the coefficients that are kept: it
/// holds one, or a scan behind it that does so refines others along with it.
pub(super) fn plan(data: &[u8], mut at: usize, first: &[u8], frame: &Frame<'_>) -> Vec<bool> {
    let mut scans = vec![header(first)];
    while let Some((marker, behind)) = next_marker(data, at)
        && scans.len() < MOST_SCANS
    {
        at = behind;
        match marker {
            0x01 | 0xd0..=0xd8 => continue,
            0xd9 => break,
            _ => {}
        }
        let Some(end) = be16(data, at).map(|length| at + usize::from(length)) else { break };
        let Some(segment) = data.get(at + 2..end) else { break };
        if marker == 0xda {
            scans.push(header(segment));
        }
        at = end;
    }
    let mut needed = [1; 256];
    for channel in &frame.channels {
        needed[usize::from(channel.id)] = channel.side.kept().bits();
    }
    let plan = scans.into_iter().rev().map(|(channel, band, refines)| {
        let needed = &mut needed[usize::from(channel)];
        let read = band == 1 || *needed & band != 0;
        if read && refines {
            *needed |= band;
        }
        read
    });
    plan.collect()
}

/// A scan's first channel, its coefficients, and whether it refines them. What makes no sense is read, and found out then.
fn header(segment: &[u8]) -> (u8, u64, bool) {
    let count = segment.first().map_or(0, |&count| usize::from(count));
    let channel = segment.get(1).copied().unwrap_or_default();
    match segment.get(1 + count * 2..) {
        Some(&[first @ 0..=63, last @ 0..=63, bits, ..]) if first <= last => {
            (channel, u64::MAX >> (63 - last) & u64::MAX << first, bits >> 4 != 0)
        }
        _ => (channel, 1, false),
    }
}

/// A first scan of a band: the values, all bits but so many of the lowest.
pub(super) fn first(
    part: &mut Part,
    band: Band,
    bits: &mut Bits<'_>,
    block: &mut [i16],
    nonzero: &mut u64,
) -> Option<()> {
    if part.run > 0 {
        part.run -= 1;
        return Some(());
    }
    let mut at = band.first;
    while at <= band.last {
        bits.refill();
        let Coded { zeros, value } = part.bands.as_ref()?.coded(bits)?;
        if value == 0 && zeros < 15 {
            part.run = (1 << zeros) - 1 + bits.take(zeros);
            break;
        }
        at += zeros as usize;
        if value != 0 {
            *nonzero |= 1_u64.checked_shl(at as u32)?;
            part.kept.put(block, at, value.wrapping_shl(band.low.into()));
        }
        at += 1;
    }
    Some(())
}

/// A scan that adds one bit to a band: to every coefficient that was not zero, and new ones between.
pub(super) fn refine(
    part: &mut Part,
    band: Band,
    bits: &mut Bits<'_>,
    block: &mut [i16],
    nonzero: &mut u64,
) -> Option<()> {
    let mut at = band.first;
    while part.run == 0 && at <= band.last {
        bits.refill();
        // A new one is 1 or −1, in the place that this bit has.
        let Coded { zeros, value } = part.bands.as_ref()?.coded(bits)?;
        if value == 0 && zeros < 15 {
            part.run = (1 << zeros) + bits.take(zeros);
            break;
        }
        // The new one comes behind so many coefficients that are still zero.
        let mut zeros = zeros;
        while at <= band.last {
            if *nonzero >> at & 1 == 1 {
                correct(part.kept, block, at, band.low, bits);
            } else if zeros == 0 {
                break;
            } else {
                zeros -= 1;
            }
            at += 1;
        }
        if at <= band.last && value != 0 {
            *nonzero |= 1 << at;
            part.kept.put(block, at, value.signum() << band.low);
        }
        at += 1;
    }
    if part.run > 0 {
        part.run -= 1;
        for at in at..=band.last {
            if *nonzero >> at & 1 == 1 {
                correct(part.kept, block, at, band.low, bits);
            }
        }
    }
    Some(())
}

/// One more bit of a coefficient, away from zero.
#[inline(always)]
fn correct(kept: Kept, block: &mut [i16], at: usize, low: u8, bits: &mut Bits<'_>) {
    bits.refill();
    if bits.take(1) == 0 {
        return;
    }
    if let Some(value) = kept.of(block, at) {
        let bit = 1_i16 << low;
        if *value & bit == 0 {
            *value = value.saturating_add(if *value < 0 { -bit } else { bit });
        }
    }
}
