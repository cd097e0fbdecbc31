//! Samples of other widths and counts, made RGBA where they lie.

/// Turns the first `pixels` groups of `N` bytes into as many RGBA groups, in place. Where the result is the longer
/// one it goes backwards, and so never overwrites what it has yet to read. The buffer must hold either form.
pub(super) fn to_rgba<const N: usize>(
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

/// 16-bit samples, rounded to 8.
pub(super) fn from_u16<const N: usize>(raw: &[[u8; 2]]) -> [u8; N] {
    let mut out = [0; N];
    for (out, &raw) in out.iter_mut().zip(raw) {
        let value = u32::from(u16::from_ne_bytes(raw));
        *out = ((value * 255 + 32_767) / 65_535) as u8;
    }
    out
}

/// Samples from 0 to 1, rounded to 8 bits; what lies outside is clipped, and no number is black.
pub(super) fn from_f32<const N: usize>(raw: &[[u8; 4]]) -> [u8; N] {
    let mut out = [0; N];
    for (out, &raw) in out.iter_mut().zip(raw) {
        *out = (f32::from_ne_bytes(raw) * 255.0).round() as u8;
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

    #[test]
    fn floats_outside_the_range_are_clipped() {
        let raw = [-1.0, 0.5, 7.0, f32::NAN].map(f32::to_ne_bytes);
        assert_eq!(from_f32::<4>(&raw), [0, 128, 255, 0]);
    }
}
