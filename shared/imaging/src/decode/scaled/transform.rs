//! From coefficients to samples: the inverse cosine transform of as many points as coefficients are kept.

use super::{Channel, Kept, Quantisers, Side};

/// A channel's samples, cut to a plane of that size.
pub(super) fn plane(channel: &Channel, size: (u32, u32)) -> Vec<u8> {
    match channel.side {
        Side::One => plane_of::<1, 1>(channel, size),
        Side::Two => plane_of::<4, 2>(channel, size),
        Side::Four => plane_of::<16, 4>(channel, size),
    }
}

fn plane_of<const N: usize, const SIDE: usize>(channel: &Channel, size: (u32, u32)) -> Vec<u8> {
    let (width, height) = (size.0 as usize, size.1 as usize);
    let factors = factors::<N>(&channel.quantisers.unwrap_or([0; 64]), channel.side.kept());
    let mut lines = [const { Vec::new() }; SIDE];
    let mut samples = Vec::with_capacity(width * height);
    let blocks = channel.coefficients.as_chunks::<N>().0;
    for (row, top) in blocks.chunks_exact(channel.stride).zip((0..height).step_by(SIDE)) {
        lines.iter_mut().for_each(Vec::clear);
        for block in &row[..channel.across] {
            let reduced = inverse(block, &factors);
            for (line, part) in lines.iter_mut().zip(reduced.as_chunks::<SIDE>().0) {
                line.extend_from_slice(part);
            }
        }
        for line in lines.iter().take(height - top) {
            samples.extend_from_slice(&line[..width]);
        }
    }
    samples
}

/// The quantisers of the coefficients that are kept, in their places.
fn factors<const N: usize>(quantisers: &Quantisers, kept: Kept) -> [i32; N] {
    let mut factors = [0; N];
    for (place, &quantiser) in kept.places.iter().zip(quantisers) {
        if let Some(factor) = factors.get_mut(usize::from(*place)) {
            *factor = quantiser.into();
        }
    }
    factors
}

/// The samples of a block: the inverse transform of `N` points of its `N` lowest coefficients, row by row. What is larger than any
/// encoder writes wraps around.
#[inline(always)]
pub(super) fn inverse<const N: usize>(block: &[i16; N], factors: &[i32; N]) -> [u8; N] {
    let mut values = [0_i32; N];
    for (value, (&coefficient, factor)) in values.iter_mut().zip(block.iter().zip(factors)) {
        *value = i32::from(coefficient).wrapping_mul(*factor);
    }
    match *values.as_slice() {
        [mean] => [sample(mean); N],
        [mean, across, down, both] => {
            // At that size it is sums and differences.
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
        _ => four_by_four(&values),
    }
}

fn sample(eightfold: i32) -> u8 {
    ((eightfold.wrapping_add(4) >> 3) + 128).clamp(0, 255) as u8
}

/// Four points, across and down: even and odd coefficients apart, in eighths of what the orthonormal transform gives.
fn four_by_four<const N: usize>(values: &[i32; N]) -> [u8; N] {
    let mut rows = [[0_f32; 4]; 4];
    for (row, values) in rows.iter_mut().zip(values.chunks_exact(4)) {
        for (value, &coefficient) in row.iter_mut().zip(values) {
            *value = coefficient as f32;
        }
    }
    let across = four(four(rows));
    let mut out = [0; N];
    for (out, value) in out.iter_mut().zip(across.as_flattened()) {
        *out = (value * 0.125 + 128.5).clamp(0.0, 255.0) as u8;
    }
    out
}

/// The transform of each column, as a row: done twice, the rows are rows again.
fn four([a, b, c, d]: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
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

    /// By the definition (ITU T.81, A.3.3), for four points instead of eight.
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

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn four_points_are_those_of_the_definition(block in prop::array::uniform16(-300..300_i16)) {
            let fast = inverse(&block, &[1; 16]);
            for (fast, plain) in fast.iter().zip(plainly(&block)) {
                prop_assert!((f64::from(*fast) - plain).abs() <= 0.51, "{} {}", fast, plain);
            }
        }
    }
}
