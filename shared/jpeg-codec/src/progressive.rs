//! Reads the AC coefficients of progressive pictures (ITU T.81, G.1.2.2 and G.1.2.3). Of those that are not kept, only
//! whether they are zero is stored.

use super::{
    KeptCoefficients,
    bits::Bits,
    coding::{Band, Coding},
    frame::Frame,
    headers::{ScanHeader, Selected},
    huffman::Coded,
    scan::Part,
};

/// Selects the scans that must be read: those that contain a kept coefficient, and those without which a later needed
/// scan could not be read, because it refines their coefficients together with kept ones.
pub(super) fn needed<'a>(scans: Vec<ScanHeader<'a>>, frame: &Frame) -> Vec<ScanHeader<'a>> {
    let mut kept: Vec<u64> = frame.channels.iter().map(|channel| channel.side.kept().bits()).collect();
    let mut needed: Vec<_> = scans
        .into_iter()
        .rev()
        .filter(|scan| {
            let (band, refines) = match scan.coding {
                Coding::Baseline | Coding::First(_) | Coding::Refinement(_) => return true,
                Coding::Band(band) => (band.bits(), false),
                Coding::BandRefinement(band) => (band.bits(), true),
            };
            // A scan of AC coefficients has exactly one channel.
            scan.channels.iter().any(|&Selected { channel, .. }| {
                let kept = &mut kept[channel];
                let read = *kept & band != 0;
                if read && refines {
                    *kept |= band;
                }
                read
            })
        })
        .collect();
    needed.reverse();
    needed
}

/// Reads a block in the first scan of a band: the values without their lowest bits.
pub(super) fn read_first(part: &mut Part, band: Band, bits: &mut Bits<'_>, place: usize) -> Option<()> {
    if part.run > 0 {
        part.run -= 1;
        return Some(());
    }
    let Part { kept, values, run, coefficients, nonzero, .. } = part;
    let (values, block) = (values.as_ref()?, kept.block(coefficients, place)?);
    let nonzero = nonzero.get_mut(place)?;
    let mut at = band.first;
    while at <= band.last {
        bits.refill();
        let Coded { zeros, value } = values.coded(bits);
        if value == 0 && zeros < 15 {
            *run = (1 << zeros) - 1 + bits.take(zeros);
            break;
        }
        at += zeros as usize;
        if value != 0 {
            *nonzero |= 1_u64.checked_shl(at as u32)?;
            kept.put(block, at, value.wrapping_shl(band.low.into()));
        }
        at += 1;
    }
    Some(())
}

/// Reads a block in a refinement scan: one more bit for every coefficient that was not zero, and new coefficients
/// between them.
pub(super) fn read_refinement(part: &mut Part, band: Band, bits: &mut Bits<'_>, place: usize) -> Option<()> {
    let Part { kept, values, run, coefficients, nonzero, .. } = part;
    let (values, block) = (values.as_ref()?, kept.block(coefficients, place)?);
    let nonzero = nonzero.get_mut(place)?;
    let mut at = band.first;
    while *run == 0 && at <= band.last {
        bits.refill();
        // A new coefficient is 1 or −1 at this bit's position.
        let Coded { zeros, value } = values.coded(bits);
        if value == 0 && zeros < 15 {
            *run = (1 << zeros) + bits.take(zeros);
            break;
        }
        // The new coefficient comes after so many that stay zero.
        let mut zeros = zeros;
        while at <= band.last {
            if *nonzero >> at & 1 == 1 {
                correct(*kept, block, at, band.low, bits);
            } else if zeros == 0 {
                break;
            } else {
                zeros -= 1;
            }
            at += 1;
        }
        if at <= band.last && value != 0 {
            *nonzero |= 1 << at;
            kept.put(block, at, value.signum() << band.low);
        }
        at += 1;
    }
    if *run > 0 {
        *run -= 1;
        for at in at..=band.last {
            if *nonzero >> at & 1 == 1 {
                correct(*kept, block, at, band.low, bits);
            }
        }
    }
    Some(())
}

/// Reads one more bit of a coefficient, which moves it away from zero.
#[inline(always)]
fn correct(kept: KeptCoefficients, block: &mut [i16], at: usize, low: u8, bits: &mut Bits<'_>) {
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
