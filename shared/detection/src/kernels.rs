//! Row kernels that detectors are built from. They work on slices of `f32`, allocate nothing, and are written so that
//! the compiler turns them into vector code on every target.

/// How many values a kernel keeps in registers at a time.
const LANES: usize = 16;

/// One half of the normalised Gaussian of that standard deviation in pixels, from the centre outwards: `radius + 1`
/// weights, cut off at four standard deviations, as `scipy.ndimage.gaussian_filter1d` has it.
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

/// Convolves with a symmetric kernel given by its half: `out[i] = Σ half[|k|] · views[radius + k][i]` for k from
/// −radius to radius.
///
/// The views are either neighbouring rows (a vertical pass) or one row at neighbouring offsets (a horizontal pass);
/// each is at least as long as `out`, and there are `2 · radius + 1`. Each pair k, −k is added before it is weighted,
/// the outermost first, so that a mirrored input gives the mirrored output to the last bit.
pub(crate) fn convolve(half: &[f32], views: &[&[f32]], out: &mut [f32]) {
    let radius = half.len() - 1;
    let mut at = 0;
    while at + LANES <= out.len() {
        let mut sum = [0.0f32; LANES];
        let centre = &views[radius][at..at + LANES];
        for (s, c) in sum.iter_mut().zip(centre) {
            *s = half[0] * c;
        }
        for k in (1..=radius).rev() {
            let before = &views[radius - k][at..at + LANES];
            let after = &views[radius + k][at..at + LANES];
            for ((s, b), a) in sum.iter_mut().zip(before).zip(after) {
                *s += half[k] * (b + a);
            }
        }
        out[at..at + LANES].copy_from_slice(&sum);
        at += LANES;
    }
    for i in at..out.len() {
        let mut sum = half[0] * views[radius][i];
        for k in (1..=radius).rev() {
            sum += half[k] * (views[radius - k][i] + views[radius + k][i]);
        }
        out[i] = sum;
    }
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

/// The maximum of each window of `length` neighbours: `window[i] = max(row[i..i + length])`, for every window that
/// lies inside `row`; the result is the front part of `window`. Both buffers are as long as `row` and are overwritten.
///
/// The span doubles from pass to pass (van Herk's recursion by powers of two): log₂(length) passes.
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

/// The larger one; both are numbers. `f32::max` would also have to think of NaN.
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
            let views: Vec<&[f32]> = (0..taps).map(|k| &row[k..]).collect();
            let mut out = vec![0.0; n];
            convolve(&half, &views, &mut out);
            for (i, is) in out.into_iter().enumerate() {
                let expected: f64 = (0..taps)
                    .map(|k| f64::from(half[k.abs_diff(half.len() - 1)]) * f64::from(row[i + k]))
                    .sum();
                prop_assert!((f64::from(is) - expected).abs() < 1e-4);
            }
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
