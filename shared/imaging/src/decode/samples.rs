//! Conversion of samples of other widths and channel counts to 8-bit RGBA.

/// The grey that stands for the missing part of an opaque picture whose data ends early, as in browsers.
pub(crate) const UNSEEN: u8 = 128;

/// The channels and width of a row's samples: grey, grey and alpha, RGB, or straight-alpha RGBA, with 8 or 16 bits
/// each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SampleLayout {
    /// The number of channels, 1 to 4.
    pub(crate) channels: usize,
    /// Whether samples have 16 bits.
    pub(crate) wide: bool,
}

impl SampleLayout {
    pub(crate) fn has_alpha(self) -> bool {
        matches!(self.channels, 2 | 4)
    }

    pub(crate) fn is_grey(self) -> bool {
        self.channels <= 2
    }
}

/// Interleaved samples of pixels, laid out as their [`SampleLayout`] says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Samples<'a> {
    /// 8 bits each.
    Narrow(&'a [u8]),
    /// 16 bits each.
    Wide(&'a [u16]),
}

/// Expands a row of pixels with 1 to 4 channels to RGBA. `out` has one element for each pixel.
pub(crate) fn spread<T: Copy>(samples: &[T], channels: usize, opaque: T, out: &mut [[T; 4]]) {
    match channels {
        1 => out.iter_mut().zip(samples).for_each(|(out, &y)| *out = [y, y, y, opaque]),
        2 => {
            let pixels = samples.as_chunks::<2>().0;
            out.iter_mut().zip(pixels).for_each(|(out, &[y, a])| *out = [y, y, y, a]);
        }
        3 => {
            let pixels = samples.as_chunks::<3>().0;
            out.iter_mut().zip(pixels).for_each(|(out, &[r, g, b])| *out = [r, g, b, opaque]);
        }
        _ => out.iter_mut().zip(samples.as_chunks::<4>().0).for_each(|(out, pixel)| *out = *pixel),
    }
}

/// Rounds a 16-bit sample to the nearest 8-bit one.
pub(crate) fn narrow(value: u16) -> u8 {
    ((u32::from(value) * 255 + 32_767) / 65_535) as u8
}

/// Converts the first `pixels` groups of `N` bytes to RGBA in place. Where the result is longer it goes backwards, so
/// that it never overwrites bytes that it has yet to read. The buffer must be large enough for both.
pub(crate) fn to_rgba<const N: usize>(
    buffer: &mut [u8],
    pixels: usize,
    convert: impl Fn([u8; N]) -> [u8; 4],
) {
    let mut one = |index: usize| {
        let from = buffer.get(index * N..).and_then(<[u8]>::first_chunk).copied();
        let to = buffer.get_mut(index * 4..).and_then(<[u8]>::first_chunk_mut);
        if let (Some(from), Some(to)) = (from, to) {
            *to = convert(from);
        }
    };
    if N < 4 {
        (0..pixels).rev().for_each(&mut one);
    } else {
        (0..pixels).for_each(&mut one);
    }
}

/// Rounds a pixel's 16-bit samples to 8 bits.
pub(crate) fn from_u16<const N: usize>(raw: &[[u8; 2]]) -> [u8; N] {
    let mut out = [0; N];
    for (out, &raw) in out.iter_mut().zip(raw) {
        *out = narrow(u16::from_ne_bytes(raw));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_and_narrowing_in_place_lose_nothing() {
        let mut rgb = [1, 2, 3, 4, 5, 6, 0, 0];
        to_rgba(&mut rgb, 2, |[r, g, b]| [r, g, b, 255]);
        assert_eq!(rgb, [1, 2, 3, 255, 4, 5, 6, 255]);
        let mut wide: Vec<u8> = (0..16).collect();
        to_rgba(&mut wide, 2, |[a, _, b, _, c, _, d, _]: [u8; 8]| [a, b, c, d]);
        assert_eq!(wide[..8], [0, 2, 4, 6, 8, 10, 12, 14]);
    }

    #[test]
    fn sixteen_bits_round_to_the_nearest_eight() {
        let raw = [0, 128, 129, 257 * 7 + 128, 257 * 7 + 129, 65_535].map(u16::to_ne_bytes);
        assert_eq!(from_u16::<6>(&raw), [0, 0, 1, 7, 8, 255]);
    }
}
