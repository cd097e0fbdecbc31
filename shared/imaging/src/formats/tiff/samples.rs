//! Converts unpacked rows to 8-bit samples, and puts each to its place among the four bytes of its pixel, from where
//! `colour_space` takes them. The last of the four bytes is alpha, or the black of CMYK; if that leaves no room for
//! alpha, it is kept separately.

use std::cell::Cell;

use super::page::{ColourSpace, Page, Predictor, SampleKind};
use crate::decode::pixelwise::to_eight_bits;

/// The destination of a sample.
#[derive(Clone, Copy)]
enum SampleTarget {
    /// One of the pixel's four bytes.
    Byte(usize),
    /// All four bytes, which hold one float.
    Float,
    /// The separate alpha.
    Beside,
}

/// Converts the rows of a page to samples.
pub(super) struct Samples<'a> {
    page: &'a Page<'a>,
    /// Whether samples are little-endian.
    little: bool,
    /// Whether each pixel's four bytes hold one float, because the values of black and white are not known yet.
    pub(super) open_range: bool,
    /// The value of white for colours in floats.
    pub(super) white: f64,
    /// The greatest float so far.
    pub(super) greatest: Cell<f64>,
}

impl<'a> Samples<'a> {
    pub(super) fn of(page: &'a Page<'a>) -> Self {
        Self {
            page,
            // Undoing the float predictor leaves the highest byte first.
            little: page.directory.file().little() && page.predictor != Predictor::Float,
            open_range: page.is_open_range(),
            white: 1.0,
            greatest: Cell::new(0.0),
        }
    }

    /// The destination of a sample: one of a pixel's four bytes, or the separate alpha; `None` if it is not shown.
    fn place(&self, sample: usize) -> Option<SampleTarget> {
        if self.page.alpha.is_some_and(|(alpha, _)| sample == alpha) {
            return Some(if self.page.has_alpha_beside() {
                SampleTarget::Beside
            } else {
                SampleTarget::Byte(3)
            });
        }
        let shown = match self.page.colour {
            ColourSpace::Grey { .. } if self.open_range => {
                return (sample == 0).then_some(SampleTarget::Float);
            }
            ColourSpace::Grey { .. } | ColourSpace::Palette => 1,
            ColourSpace::Cmyk => 4,
            ColourSpace::Rgb | ColourSpace::YCbCr | ColourSpace::Lab { .. } => 3,
        };
        (sample < shown).then_some(SampleTarget::Byte(sample))
    }

    /// Undoes the predictor in place. A row of floats then has the highest byte of each first.
    pub(super) fn unpredict(&self, row: &mut [u8], scratch: &mut Vec<u8>) {
        let samples = self.page.samples_in_chunk();
        match (self.page.predictor, self.page.bits) {
            (Predictor::None, _) => {}
            (Predictor::Horizontal, 8) => {
                for at in samples..row.len() {
                    row[at] = row[at].wrapping_add(row[at - samples]);
                }
            }
            (Predictor::Horizontal, 16) => self.sum::<2>(row, samples, |one, other, little| {
                let read = if little { u16::from_le_bytes } else { u16::from_be_bytes };
                let sum = read(one).wrapping_add(read(other));
                if little { sum.to_le_bytes() } else { sum.to_be_bytes() }
            }),
            (Predictor::Horizontal, 32) => self.sum::<4>(row, samples, |one, other, little| {
                let read = if little { u32::from_le_bytes } else { u32::from_be_bytes };
                let sum = read(one).wrapping_add(read(other));
                if little { sum.to_le_bytes() } else { sum.to_be_bytes() }
            }),
            (Predictor::Horizontal, _) => self.sum::<8>(row, samples, |one, other, little| {
                let read = if little { u64::from_le_bytes } else { u64::from_be_bytes };
                let sum = read(one).wrapping_add(read(other));
                if little { sum.to_le_bytes() } else { sum.to_be_bytes() }
            }),
            (Predictor::Float, bits) => {
                for at in samples..row.len() {
                    row[at] = row[at].wrapping_add(row[at - samples]);
                }
                scratch.clear();
                scratch.extend_from_slice(row);
                let bytes = bits as usize / 8;
                let values = row.len() / bytes;
                for (value, out) in row.chunks_exact_mut(bytes).enumerate() {
                    for (byte, out) in out.iter_mut().enumerate() {
                        *out = scratch[byte * values + value];
                    }
                }
            }
        }
    }

    fn sum<const N: usize>(
        &self,
        row: &mut [u8],
        samples: usize,
        add: impl Fn([u8; N], [u8; N], bool) -> [u8; N],
    ) {
        let values = row.as_chunks_mut::<N>().0;
        for at in samples..values.len() {
            values[at] = add(values[at], values[at - samples], self.little);
        }
    }

    /// Puts a row's samples to their places. `first` is the index of the sample with which the row's chunk begins.
    /// `alpha` is the separate alpha, or empty if there is none.
    pub(super) fn put(&self, row: &[u8], first: usize, out: &mut [[u8; 4]], alpha: &mut [u8]) {
        if first == 0 {
            // Opaque, unless a sample says otherwise.
            alpha.fill(u8::MAX);
            if !self.open_range && self.page.colour != ColourSpace::Cmyk {
                out.iter_mut().for_each(|pixel| pixel[3] = u8::MAX);
            }
        }
        let count = self.page.samples_in_chunk();
        for sample in 0..count {
            let indices = (0..out.len()).map(|pixel| pixel * count + sample);
            match self.place(first + sample) {
                Some(SampleTarget::Byte(place)) => {
                    let targets = out.iter_mut().map(|pixel| &mut pixel[place]);
                    let is_index = place == 0 && self.page.colour == ColourSpace::Palette;
                    self.put_one(row, targets.zip(indices), is_index);
                }
                Some(SampleTarget::Beside) => self.put_one(row, alpha.iter_mut().zip(indices), false),
                Some(SampleTarget::Float) => {
                    let pixels = out.iter_mut().zip(indices);
                    pixels.for_each(|(pixel, at)| *pixel = (self.number(row, at) as f32).to_ne_bytes());
                }
                None => {}
            }
        }
    }

    /// Puts one sample of each pixel to its place, as 8 bits. An index is not scaled.
    fn put_one<'o>(&self, row: &[u8], targets: impl Iterator<Item = (&'o mut u8, usize)>, is_index: bool) {
        let page = self.page;
        match (page.kind, page.bits) {
            (SampleKind::Float, _) => {
                let mut greatest = self.greatest.get();
                for (target, at) in targets {
                    let value = self.number(row, at);
                    greatest = greatest.max(value);
                    *target = (value / self.white * 255.0).round() as u8;
                }
                self.greatest.set(greatest);
            }
            // Bytes are taken as unsigned even if the tag says signed, because many writers say so without meaning it.
            (_, 8) => targets.for_each(|(target, at)| *target = row.get(at).copied().unwrap_or(0)),
            (_, bits) if is_index => {
                targets.for_each(|(target, at)| *target = self.whole(row, at, bits) as u8);
            }
            (_, 16) if matches!(page.colour, ColourSpace::Lab { .. }) => {
                targets.for_each(|(target, at)| *target = (self.whole(row, at, 16) >> 8) as u8);
            }
            (SampleKind::Unsigned, bits) => {
                let max = if bits >= 32 { u32::MAX } else { (1 << bits) - 1 };
                let spare = bits.saturating_sub(32);
                targets.for_each(|(target, at)| {
                    *target = to_eight_bits((self.whole(row, at, bits) >> spare) as u32, max);
                });
            }
            // Zero is black, and negative values are black, too.
            (SampleKind::Signed, bits) => {
                let max = (1_u64 << (bits - 1)) - 1;
                let spare = bits.saturating_sub(33);
                targets.for_each(|(target, at)| {
                    let value = self.whole(row, at, bits);
                    let value = if value > max { 0 } else { value };
                    *target = to_eight_bits((value >> spare) as u32, (max >> spare).max(1) as u32);
                });
            }
        }
    }

    /// One sample as a whole number; zero beyond the end of the row.
    #[inline]
    fn whole(&self, row: &[u8], at: usize, bits: u32) -> u64 {
        match bits {
            16 => {
                let raw = bytes(row, at);
                u64::from(if self.little { u16::from_le_bytes(raw) } else { u16::from_be_bytes(raw) })
            }
            32 => {
                let raw = bytes(row, at);
                u64::from(if self.little { u32::from_le_bytes(raw) } else { u32::from_be_bytes(raw) })
            }
            64 => {
                let raw = bytes(row, at);
                if self.little { u64::from_le_bytes(raw) } else { u64::from_be_bytes(raw) }
            }
            24 => {
                let [a, b, c] = bytes(row, at);
                u64::from(if self.little {
                    u32::from_le_bytes([a, b, c, 0])
                } else {
                    u32::from_be_bytes([0, a, b, c])
                })
            }
            // Other depths are packed with the highest bit first, whatever the byte order.
            _ => {
                let (start, bits) = (at * bits as usize, bits as usize);
                let byte = |at: usize| row.get(at).copied().map_or(0, u128::from);
                let word = (0..9).fold(0, |word, next| word << 8 | byte(start / 8 + next));
                (word >> (72 - bits - start % 8) & ((1 << bits) - 1)) as u64
            }
        }
    }

    /// The numeric value of a sample; zero if it is not a number.
    fn number(&self, row: &[u8], at: usize) -> f64 {
        let bits = self.page.bits;
        let whole = self.whole(row, at, bits);
        let value = match (self.page.kind, bits) {
            (SampleKind::Unsigned, _) => whole as f64,
            // The highest of the stored bits is the sign.
            (SampleKind::Signed, _) => {
                (whole << (64 - bits)).cast_signed() as f64 / 2_f64.powi(64 - bits.cast_signed())
            }
            (SampleKind::Float, 16) => half(whole as u16),
            (SampleKind::Float, 24) => small(whole as u32),
            (SampleKind::Float, 32) => f32::from_bits(whole as u32).into(),
            (SampleKind::Float, _) => f64::from_bits(whole),
        };
        if value.is_finite() { value } else { 0.0 }
    }
}

fn bytes<const N: usize>(row: &[u8], at: usize) -> [u8; N] {
    row.get(at * N..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

/// Decodes a 16-bit float: 5 bits of exponent, 10 of fraction.
fn half(raw: u16) -> f64 {
    parts(raw >> 15 != 0, (raw >> 10 & 31).into(), f64::from(raw & 0x3ff) / 1024.0, 15, 31)
}

/// Decodes a 24-bit float, as Photoshop writes it: 7 bits of exponent, 16 of fraction.
fn small(raw: u32) -> f64 {
    parts(raw >> 23 != 0, (raw >> 16 & 127).cast_signed(), f64::from(raw & 0xffff) / 65_536.0, 63, 127)
}

fn parts(negative: bool, exponent: i32, fraction: f64, bias: i32, infinite: i32) -> f64 {
    let size = match exponent {
        0 => fraction * 2_f64.powi(1 - bias),
        _ if exponent == infinite => f64::INFINITY,
        _ => (1.0 + fraction) * 2_f64.powi(exponent - bias),
    };
    if negative { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_floats_are_what_their_bits_say() {
        assert_eq!([0x3c00, 0x3800, 0xc000, 0x0001, 0].map(half), [1.0, 0.5, -2.0, 2_f64.powi(-24), 0.0]);
        assert!(half(0x7c00).is_infinite());
        assert_eq!([0x3f_0000, 0x3e_8000, 0xbf_0000].map(small), [1.0, 0.75, -1.0]);
    }
}
