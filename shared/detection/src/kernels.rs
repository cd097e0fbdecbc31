//! Row kernels that detectors are built from. They work on slices of `f32`, allocate nothing or reuse the caller's
//! buffers, and are written so that the compiler vectorises them on every target.
//!
//! [`wide`] compiles a kernel once for each level of vector instructions that a processor may have. The results are the
//! same to the last bit on all of them: additions keep their order, and are fused with multiplications either on every
//! processor or on none.

use fearless_simd::{Level, Simd as _, dispatch};

/// Runs a kernel with the widest vector instructions of this processor. The kernel and everything that it calls must be
/// inlined.
#[inline(always)]
pub(crate) fn wide<T>(kernel: impl FnOnce() -> T) -> T {
    dispatch!(Level::new(), level => level.vectorize(kernel))
}

/// The number of values that a kernel keeps in registers at a time.
const LANES: usize = 32;

/// One half of the normalised Gaussian with a standard deviation of `sigma` pixels, from the centre outwards: `radius +
/// 1` weights, cut off at four standard deviations, as in `scipy.ndimage.gaussian_filter1d`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sigma is a small positive number"
)]
pub(crate) fn gaussian(sigma: f64) -> Vec<f32> {
    let radius = (4.0 * sigma + 0.5) as u32;
    let bell = |i: u32| (-0.5 * f64::from(i).powi(2) / (sigma * sigma)).exp();
    let sum: f64 = (0..=radius).map(|i| if i == 0 { 1.0 } else { 2.0 * bell(i) }).sum();
    (0..=radius).map(|i| (bell(i) / sum) as f32).collect()
}

/// The positions of the values under a kernel: those under tap k start at `data[at[k]]`. The taps are either
/// neighbouring rows (a vertical pass) or neighbouring offsets in one row (a horizontal pass).
#[derive(Clone, Copy)]
pub(crate) struct Taps<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) at: &'a [usize],
}

impl<'a> Taps<'a> {
    /// The same taps, `start` values farther on in the data.
    pub(crate) fn from(self, start: usize) -> Self {
        Self { data: &self.data[start..], at: self.at }
    }

    #[inline(always)]
    fn lanes<const N: usize>(&self, tap: usize, start: usize) -> &'a [f32] {
        &self.data[tap + start..][..N]
    }
}

/// `sum + weight · value`, computed in one step and rounded only once where `FUSED`.
#[inline(always)]
fn add<const FUSED: bool>(sum: f32, weight: f32, value: f32) -> f32 {
    if FUSED { weight.mul_add(value, sum) } else { sum + weight * value }
}

/// The sums under `KERNELS` symmetric kernels at once, for `N` neighbours from `start` on. The two taps that are
/// equally far from the centre are added before they are weighted, the outermost pair first, so that a mirrored input
/// gives the mirrored output to the last bit.
#[inline(always)]
fn fold<const N: usize, const KERNELS: usize, const FUSED: bool>(
    halves: [&[f32]; KERNELS],
    taps: Taps<'_>,
    start: usize,
) -> [[f32; N]; KERNELS] {
    let radius = halves[0].len() - 1;
    let mut sums = [[0.0f32; N]; KERNELS];
    let (before, rest) = taps.at.split_at(radius);
    let (centre, after) = rest.split_at(1);
    for (k, (before, after)) in before.iter().zip(after.iter().rev()).enumerate() {
        let mut weights = [0.0; KERNELS];
        for (weight, half) in weights.iter_mut().zip(halves) {
            *weight = half[radius - k];
        }
        let (before, after) = (taps.lanes::<N>(*before, start), taps.lanes::<N>(*after, start));
        for i in 0..N {
            let both = before[i] + after[i];
            for kernel in 0..KERNELS {
                sums[kernel][i] = add::<FUSED>(sums[kernel][i], weights[kernel], both);
            }
        }
    }
    let centre = taps.lanes::<N>(centre[0], start);
    for kernel in 0..KERNELS {
        for i in 0..N {
            sums[kernel][i] = add::<FUSED>(sums[kernel][i], halves[kernel][0], centre[i]);
        }
    }
    sums
}

/// Runs `$many` for each whole block of [`LANES`] between 0 and `$length`, then `$one` for each place that is left.
macro_rules! in_blocks {
    ($length:expr, |$many_at:ident| $many:expr, |$one_at:ident| $one:expr) => {{
        let mut $many_at = 0;
        while $many_at + LANES <= $length {
            $many;
            $many_at += LANES;
        }
        for $one_at in $many_at..$length {
            $one;
        }
    }};
}

/// Convolves with a symmetric kernel given by its half: `out[i] = Σ half[|k|] · data[at[radius + k] + i]` for k from
/// −radius to radius; there are `2 · radius + 1` taps.
pub(crate) fn convolve(half: &[f32], taps: Taps<'_>, out: &mut [f32]) {
    convolve_as::<false>(half, taps, out);
}

/// [`convolve`] with fused multiply-add, which rounds once for each tap. It is faster on processors that have the
/// instruction, as those of Lambda do, and gives the same result on those that do not.
pub(crate) fn convolve_fused(half: &[f32], taps: Taps<'_>, out: &mut [f32]) {
    convolve_as::<true>(half, taps, out);
}

fn convolve_as<const FUSED: bool>(half: &[f32], taps: Taps<'_>, out: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            in_blocks!(
                out.len(),
                |at| out[at..at + LANES].copy_from_slice(&fold::<LANES, 1, FUSED>([half], taps, at)[0]),
                |at| out[at] = fold::<1, 1, FUSED>([half], taps, at)[0][0]
            );
        },
    );
}

/// [`convolve_fused`] with two kernels of the same size at once.
pub(crate) fn convolve_both(halves: [&[f32]; 2], taps: Taps<'_>, [a, b]: [&mut [f32]; 2]) {
    wide(
        #[inline(always)]
        || {
            in_blocks!(
                a.len().min(b.len()),
                |at| {
                    let sums = fold::<LANES, 2, true>(halves, taps, at);
                    a[at..at + LANES].copy_from_slice(&sums[0]);
                    b[at..at + LANES].copy_from_slice(&sums[1]);
                },
                |at| [[a[at]], [b[at]]] = fold::<1, 2, true>(halves, taps, at)
            );
        },
    );
}

/// The sum of two convolutions, each as [`convolve_fused`] makes it.
pub(crate) fn convolve_sum(halves: [&[f32]; 2], taps: [Taps<'_>; 2], out: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            in_blocks!(
                out.len(),
                |at| {
                    let [a] = fold::<LANES, 1, true>([halves[0]], taps[0], at);
                    let [b] = fold::<LANES, 1, true>([halves[1]], taps[1], at);
                    let out = &mut out[at..at + LANES];
                    for i in 0..LANES {
                        out[i] = a[i] + b[i];
                    }
                },
                |at| {
                    let [[a]] = fold::<1, 1, true>([halves[0]], taps[0], at);
                    let [[b]] = fold::<1, 1, true>([halves[1]], taps[1], at);
                    out[at] = a + b;
                }
            );
        },
    );
}

/// Interpolates the value midway between the two middle taps of an even number of taps. `weights[0]` is the weight of
/// the two middle taps, `weights[1]` that of the next two outwards, and so on.
pub(crate) fn midpoints<const HALF: usize>(weights: &[f32; HALF], taps: Taps<'_>, out: &mut [f32]) {
    #[inline(always)]
    fn sum<const N: usize, const HALF: usize>(
        weights: &[f32; HALF],
        taps: Taps<'_>,
        start: usize,
    ) -> [f32; N] {
        let mut sum = [0.0f32; N];
        let (before, after) = taps.at.split_at(HALF);
        for (weight, (before, after)) in weights.iter().rev().zip(before.iter().zip(after.iter().rev())) {
            let (before, after) = (taps.lanes::<N>(*before, start), taps.lanes::<N>(*after, start));
            for i in 0..N {
                sum[i] += weight * (before[i] + after[i]);
            }
        }
        sum
    }
    wide(
        #[inline(always)]
        || {
            in_blocks!(
                out.len(),
                |at| out[at..at + LANES].copy_from_slice(&sum::<LANES, HALF>(weights, taps, at)),
                |at| [out[at]] = sum::<1, HALF>(weights, taps, at)
            );
        },
    );
}

/// Deals the values of a row out in turn: the first to `even`, the second to `odd`, and so on.
pub(crate) fn deal(row: &[f32], even: &mut [f32], odd: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            for ((pair, even), odd) in row.as_chunks::<2>().0.iter().zip(even).zip(odd) {
                [*even, *odd] = *pair;
            }
        },
    );
}

/// The inverse of [`deal`].
pub(crate) fn merge(even: &[f32], odd: &[f32], row: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            for ((pair, even), odd) in row.as_chunks_mut::<2>().0.iter_mut().zip(even).zip(odd) {
                *pair = [*even, *odd];
            }
        },
    );
}

/// The sum of separable convolutions at one place, in double precision and always in the same order: for each of
/// `KERNELS` pairs, Σ `down[k]` · Σ `across[i]` · `rows[k][i]`. There are as many rows as each has values, and the
/// kernels, which are symmetric, have as many weights. `scratch` is overwritten.
pub(crate) fn separable<const KERNELS: usize>(
    rows: &[&[f32]],
    down: [&[f64]; KERNELS],
    across: [&[f64]; KERNELS],
    scratch: &mut [Vec<f64>; KERNELS],
) -> f64 {
    wide(
        #[inline(always)]
        || {
            let length = rows.len();
            let radius = length / 2;
            for (sums, down) in scratch.iter_mut().zip(down) {
                sums.clear();
                sums.extend(rows[radius].iter().map(|value| f64::from(*value) * down[radius]));
            }
            for k in 0..radius {
                let (above, below) = (&rows[k][..length], &rows[length - 1 - k][..length]);
                for (sums, down) in scratch.iter_mut().zip(down) {
                    let (sums, weight) = (&mut sums[..length], down[k]);
                    for i in 0..length {
                        sums[i] += (f64::from(above[i]) + f64::from(below[i])) * weight;
                    }
                }
            }
            let mut total = 0.0;
            for (sums, across) in scratch.iter().zip(across) {
                let mut parts = [0.0; 8];
                let ((sums, sums_left), (across, across_left)) =
                    (sums.as_chunks::<8>(), across.as_chunks::<8>());
                for (sums, across) in sums.iter().zip(across) {
                    for i in 0..8 {
                        parts[i] += sums[i] * across[i];
                    }
                }
                total += parts.iter().sum::<f64>();
                total += sums_left.iter().zip(across_left).map(|(a, b)| a * b).sum::<f64>();
            }
            total
        },
    )
}

/// The Sobel derivatives of the middle one of three rows, down (`dr`) and to the right (`dc`), as
/// `scipy.ndimage.sobel` scales them: the weights are 1, 2, 1 across and −1, 0, 1 along.
///
/// The rows have one value more than `dr` and `dc` at either end.
pub(crate) fn sobel(rows: [&[f32]; 3], dr: &mut [f32], dc: &mut [f32]) {
    let n = dr.len().min(dc.len());
    let [above, middle, below] = rows.map(|row| &row[..n + 2]);
    for i in 0..n {
        let left = below[i] - above[i];
        let right = below[i + 2] - above[i + 2];
        dr[i] = 2.0 * (below[i + 1] - above[i + 1]) + (left + right);
        let up = above[i + 2] - above[i];
        let down = below[i + 2] - below[i];
        dc[i] = 2.0 * (middle[i + 2] - middle[i]) + (up + down);
    }
}

/// The maximum of each window of `length` neighbours: `window[i] = max(row[i..i + length])`, for every window that lies
/// inside `row`. The result is the front part of `window`; `window` and `spare` are overwritten.
///
/// The span doubles from pass to pass, so it takes log₂(length) passes.
pub(crate) fn windowed_max<'a>(
    row: &[f32],
    length: usize,
    window: &'a mut Vec<f32>,
    spare: &'a mut Vec<f32>,
) -> &'a [f32] {
    window.clear();
    window.extend_from_slice(row);
    let mut span = 1;
    while span < length {
        let step = span.min(length - span);
        let n = window.len().saturating_sub(step);
        spare.clear();
        spare.extend(window.iter().zip(&window[step.min(window.len())..]).map(|(a, b)| larger(*a, *b)));
        std::mem::swap(window, spare);
        debug_assert_eq!(window.len(), n);
        span += step;
    }
    window
}

/// The index in 0 .. length that `place` falls on when the values are mirrored at both ends again and again (d c b a |
/// a b c d | d c b a).
pub(crate) fn mirrored(place: isize, length: usize) -> usize {
    if (0..length as isize).contains(&place) {
        return place.unsigned_abs();
    }
    let within = place.rem_euclid(2 * length as isize) as usize;
    within.min(2 * length - 1 - within)
}

/// The larger one of two numbers. Unlike `f32::max` it need not handle NaN, which makes it faster.
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// `into[i] = max(into[i], row[i])`.
pub(crate) fn raise(into: &mut [f32], row: &[f32]) {
    for (a, b) in into.iter_mut().zip(row) {
        *a = larger(*a, *b);
    }
}

/// The smallest and the largest value of a row; (∞, −∞) for an empty one.
pub(crate) fn extremes(row: &[f32]) -> (f32, f32) {
    let mut low = [f32::INFINITY; LANES];
    let mut high = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            low[i] = if chunk[i] < low[i] { chunk[i] } else { low[i] };
            high[i] = larger(chunk[i], high[i]);
        }
    }
    let low = low.iter().chain(rest).copied().fold(f32::INFINITY, f32::min);
    let high = high.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    (low, high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_gaussian_is_normalised_and_cut_at_four_sigma() {
        for (sigma, radius) in [(0.5, 2), (1.5, 6), (2.0, 8), (10.0, 40)] {
            let half = gaussian(sigma);
            assert_eq!(half.len(), radius + 1, "sigma {sigma}");
            let sum = half[0] + 2.0 * half[1..].iter().sum::<f32>();
            assert!((sum - 1.0).abs() < 1e-6, "sigma {sigma} sums to {sum}");
        }
    }

    proptest! {
        #[test]
        fn convolution_is_the_weighted_sum(
            row in proptest::collection::vec(-10f32..10.0, 9..120),
            half in proptest::collection::vec(-1f32..1.0, 1..5),
        ) {
            let taps = 2 * half.len() - 1;
            let n = row.len() + 1 - taps;
            let at: Vec<usize> = (0..taps).collect();
            let mut outs = [const { Vec::new() }; 5];
            outs.iter_mut().for_each(|out| out.resize(n, 0.0));
            let [plain, fused, one, other, sum] = &mut outs;
            let taps_of = Taps { data: &row, at: &at };
            convolve(&half, taps_of, plain);
            convolve_fused(&half, taps_of, fused);
            convolve_both([&half, &half], taps_of, [one, other]);
            convolve_sum([&half, &half], [taps_of; 2], sum);
            for i in 0..n {
                let expected: f64 = (0..taps)
                    .map(|k| f64::from(half[k.abs_diff(half.len() - 1)]) * f64::from(row[i + k]))
                    .sum();
                for (out, times) in outs.iter().zip([1.0, 1.0, 1.0, 1.0, 2.0]) {
                    prop_assert!((f64::from(out[i]) - times * expected).abs() < 2e-4);
                }
            }
        }

        #[test]
        fn a_row_that_was_dealt_is_merged_again(row in proptest::collection::vec(-10f32..10.0, 0..70)) {
            let half = row.len() / 2;
            let (mut even, mut odd, mut merged) = (vec![0.0; half], vec![0.0; half], vec![0.0; 2 * half]);
            deal(&row, &mut even, &mut odd);
            prop_assert!(even.iter().zip(&odd).zip(row.chunks(2)).all(|((a, b), pair)| pair == [*a, *b]));
            merge(&even, &odd, &mut merged);
            prop_assert_eq!(&merged, &row[..2 * half]);
        }

        #[test]
        fn separable_is_the_weighted_sum(
            values in proptest::collection::vec(-10f32..10.0, 19 * 19), radius in 0usize..10,
            halves in proptest::collection::vec(-1f64..1.0, 40),
        ) {
            let length = 2 * radius + 1;
            let kernel = |k: usize| -> Vec<f64> { (0..length).map(|i| halves[10 * k + i.abs_diff(radius)]).collect() };
            let [a, b, c, d] = [0, 1, 2, 3].map(kernel);
            let rows: Vec<&[f32]> = values.chunks(19).map(|row| &row[..length]).take(length).collect();
            let is = separable(&rows, [&a, &b], [&c, &d], &mut Default::default());
            let mut expected = 0.0;
            for i in 0..length {
                for j in 0..length {
                    expected += (a[i] * c[j] + b[i] * d[j]) * f64::from(rows[i][j]);
                }
            }
            prop_assert!((is - expected).abs() < 1e-9, "{} is not {}", is, expected);
        }

        #[test]
        fn windowed_max_is_the_maximum_of_each_window(
            row in proptest::collection::vec(-10f32..10.0, 1..200),
            length in 1usize..220,
        ) {
            let (mut window, mut spare) = (Vec::new(), Vec::new());
            let is = windowed_max(&row, length, &mut window, &mut spare).to_vec();
            let expected: Vec<f32> =
                row.windows(length).map(|w| w.iter().copied().fold(f32::NEG_INFINITY, f32::max)).collect();
            prop_assert_eq!(is, expected);
        }

        #[test]
        fn extremes_are_least_and_greatest(row in proptest::collection::vec(-10f32..10.0, 0..70)) {
            let low = row.iter().copied().fold(f32::INFINITY, f32::min);
            let high = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            prop_assert_eq!(extremes(&row), (low, high));
        }
    }
}
