//! Converts coefficients to samples, by an inverse cosine transform of as many points as coefficients are kept.
//!
//! The transform of eight points is that of libjpeg's `jidctint`, by Loeffler, Ligtenberg and Moschytz (Practical fast
//! 1-D DCT algorithms with 11 multiplications, ICASSP 1989, doi:10.1109/ICASSP.1989.266596), with its constants and its
//! rounding: columns first, with thirteen fractional bits, two of which are kept for the rows.

use fearless_simd::{Level, Simd as _, dispatch};

use super::{Side, frame::Channel};

/// Writes the samples of one row of blocks of a channel as lines that are `stride` apart.
pub(super) fn lines(channel: &Channel, row: usize, stride: usize, lines: &mut [u8]) {
    match channel.side {
        Side::One => lines_of::<1, 1>(channel, row, stride, lines),
        Side::Two => lines_of::<4, 2>(channel, row, stride, lines),
        Side::Four => lines_of::<16, 4>(channel, row, stride, lines),
        Side::Eight => lines_of::<64, 8>(channel, row, stride, lines),
    }
}

fn lines_of<const N: usize, const SIDE: usize>(
    channel: &Channel,
    row: usize,
    stride: usize,
    lines: &mut [u8],
) {
    let factors = factors::<N>(channel);
    let blocks = &channel.coefficients.as_chunks::<N>().0[row * channel.stride..][..channel.across];
    dispatch!(Level::new(), level => level.vectorize(
        #[inline(always)]
        || {
            for (x, block) in blocks.iter().enumerate() {
                let samples = inverse(block, &factors);
                for (line, samples) in lines.chunks_exact_mut(stride).zip(samples.as_chunks::<SIDE>().0) {
                    line[x * SIDE..][..SIDE].copy_from_slice(samples);
                }
            }
        }
    ));
}

/// The quantisers of the kept coefficients, in their storage order.
fn factors<const N: usize>(channel: &Channel) -> [i32; N] {
    let mut factors = [0; N];
    let quantisers = channel.quantisers.unwrap_or([0; 64]);
    for (place, quantiser) in channel.side.kept().places.iter().zip(quantisers) {
        if let Some(factor) = factors.get_mut(usize::from(*place)) {
            *factor = quantiser.into();
        }
    }
    factors
}

/// The samples of a block, row by row: the inverse transform of `N` points of its `N` lowest coefficients. Values
/// larger than any encoder writes wrap around.
#[inline(always)]
fn inverse<const N: usize>(block: &[i16; N], factors: &[i32; N]) -> [u8; N] {
    let mut values = [0_i32; N];
    for (value, (&coefficient, factor)) in values.iter_mut().zip(block.iter().zip(factors)) {
        *value = i32::from(coefficient).wrapping_mul(*factor);
    }
    match *values.as_slice() {
        [mean] => [sample(mean); N],
        [mean, across, down, both] => {
            // With two points, the transform consists of sums and differences.
            let (top, bottom) = (mean.wrapping_add(down), mean.wrapping_sub(down));
            let (right, left) = (across.wrapping_add(both), across.wrapping_sub(both));
            let sums = [
                top.wrapping_add(right),
                top.wrapping_sub(right),
                bottom.wrapping_add(left),
                bottom.wrapping_sub(left),
            ];
            let mut out = [0; N];
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sample(sum);
            }
            out
        }
        _ if N == 64 => eight_by_eight(&values),
        _ => four_by_four(&values),
    }
}

fn sample(eightfold: i32) -> u8 {
    ((eightfold.wrapping_add(4) >> 3) + 128).clamp(0, 255) as u8
}

/// Transforms eight points down and across. Eight columns, and then eight rows, are processed in parallel.
#[inline(always)]
fn eight_by_eight<const N: usize>(values: &[i32; N]) -> [u8; N] {
    let mut out = [0; N];
    let Some((mean, others)) = values.split_first() else { return out };
    if others.iter().fold(0, |any, value| any | value) == 0 {
        return [sample(*mean); N];
    }
    let mut rows = [[0; 8]; 8];
    rows.as_flattened_mut().copy_from_slice(values);
    let rows = transposed(columns_of_eight::<11>(rows));
    let samples = transposed(columns_of_eight::<18>(rows));
    for (out, value) in out.iter_mut().zip(samples.as_flattened()) {
        *out = value.wrapping_add(128).clamp(0, 255) as u8;
    }
    out
}

#[inline(always)]
fn transposed(rows: [[i32; 8]; 8]) -> [[i32; 8]; 8] {
    std::array::from_fn(|x| std::array::from_fn(|y| rows[y][x]))
}

/// Transforms each column, and rounds away `LESS` bits.
#[inline(always)]
fn columns_of_eight<const LESS: u32>(rows: [[i32; 8]; 8]) -> [[i32; 8]; 8] {
    type Row = [i32; 8];
    #[inline(always)]
    fn with(a: Row, b: Row, one: impl Fn(i32, i32) -> i32) -> Row {
        std::array::from_fn(|x| one(a[x], b[x]))
    }
    let add = |a, b| with(a, b, i32::wrapping_add);
    let less = |a, b| with(a, b, i32::wrapping_sub);
    let times = |a: Row, factor: i32| a.map(|value| value.wrapping_mul(factor));
    let rounded = |a: Row| a.map(|value| value.wrapping_add(1 << (LESS - 1)) >> LESS);
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;

    // In units of 2⁻¹³: 0.541196100, 1.847759065, 0.765366865.
    let both = times(add(r2, r6), 4433);
    let (inner, outer) = (less(both, times(r6, 15_137)), add(both, times(r2, 6270)));
    let (sum, difference) = (times(add(r0, r4), 1 << 13), times(less(r0, r4), 1 << 13));
    let even = [add(sum, outer), add(difference, inner), less(difference, inner), less(sum, outer)];

    // 1.175875602; 0.899976223, 2.562915447; 1.961570560, 0.390180644; 0.298631336, 2.053119869, 3.072711026,
    // 1.501321110.
    let (a, b) = (add(r7, r3), add(r5, r1));
    let both = times(add(a, b), 9633);
    let (a, b) = (less(both, times(a, 16_069)), less(both, times(b, 3196)));
    let (far, near) = (times(add(r7, r1), -7373), times(add(r5, r3), -20_995));
    let odd = [
        add(times(r1, 12_299), add(far, b)),
        add(times(r3, 25_172), add(near, a)),
        add(times(r5, 16_819), add(near, b)),
        add(times(r7, 2446), add(far, a)),
    ];

    let first = |i: usize| rounded(add(even[i], odd[i]));
    let last = |i: usize| rounded(less(even[i], odd[i]));
    [first(0), first(1), first(2), first(3), last(3), last(2), last(1), last(0)]
}

/// Transforms four points across and down, with even and odd coefficients apart, in eighths of the orthonormal
/// transform's values.
fn four_by_four<const N: usize>(values: &[i32; N]) -> [u8; N] {
    let mut rows = [[0_f32; 4]; 4];
    for (row, values) in rows.iter_mut().zip(values.chunks_exact(4)) {
        for (value, &coefficient) in row.iter_mut().zip(values) {
            *value = coefficient as f32;
        }
    }
    let across = columns_of_four(columns_of_four(rows));
    let mut out = [0; N];
    for (out, value) in out.iter_mut().zip(across.as_flattened()) {
        *out = (value * 0.125 + 128.5).clamp(0.0, 255.0) as u8;
    }
    out
}

/// Transforms each column and returns it as a row, so that doing it twice restores the order.
fn columns_of_four([a, b, c, d]: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    // √2 cos π/8 and √2 sin π/8.
    const LARGE: f32 = 1.306_563;
    const SMALL: f32 = 0.541_196_1;
    std::array::from_fn(|x| {
        let (sum, difference) = (a[x] + c[x], a[x] - c[x]);
        let (outer, inner) = (b[x] * LARGE + d[x] * SMALL, b[x] * SMALL - d[x] * LARGE);
        [sum + outer, difference + inner, difference - inner, sum - outer]
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition (ITU T.81, A.3.3), for four points instead of eight.
    fn plainly(block: &[i16; 16]) -> Vec<f64> {
        let basis = |u: usize, x: usize| {
            let scale = if u == 0 { 0.5 } else { 0.5_f64.sqrt() };
            scale * ((2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / 8.0).cos()
        };
        let at = |x: usize, y: usize| -> f64 {
            let terms = (0..16).map(|i| f64::from(block[i]) * basis(i % 4, x) * basis(i / 4, y));
            terms.sum::<f64>() / 2.0 + 128.0
        };
        (0..16).map(|i| at(i % 4, i / 4).clamp(0.0, 255.0)).collect()
    }

    /// The definition, for eight points.
    fn plainly_whole(block: &[i16; 64]) -> Vec<f64> {
        let basis = |u: usize, x: usize| {
            let scale = if u == 0 { 0.5_f64.sqrt() } else { 1.0 };
            scale * ((2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0).cos()
        };
        let at = |x: usize, y: usize| -> f64 {
            let terms = (0..64).map(|i| f64::from(block[i]) * basis(i % 8, x) * basis(i / 8, y));
            terms.sum::<f64>() / 4.0 + 128.0
        };
        (0..64).map(|i| at(i % 8, i / 8).clamp(0.0, 255.0)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn eight_points_are_those_of_the_definition_nearly(
            block in prop::array::uniform32(-100..100_i16), places in prop::collection::vec(0..64_usize, 32),
        ) {
            let mut whole = [0; 64];
            places.into_iter().zip(block).for_each(|(place, value)| whole[place] = value);
            for (is, plain) in inverse(&whole, &[1; 64]).iter().zip(plainly_whole(&whole)) {
                prop_assert!((f64::from(*is) - plain).abs() <= 0.6, "{} {}", is, plain);
            }
        }

        #[test]
        fn four_points_are_those_of_the_definition(block in prop::array::uniform16(-300..300_i16)) {
            let fast = inverse(&block, &[1; 16]);
            for (fast, plain) in fast.iter().zip(plainly(&block)) {
                prop_assert!((f64::from(*fast) - plain).abs() <= 0.51, "{} {}", fast, plain);
            }
        }
    }
}
