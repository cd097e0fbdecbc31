//! Undoes PNG's five filters (PNG, third edition, 9.2).
//!
//! Each pixel depends on its left neighbour, so the latency of that dependency limits the speed of a single row. Up to
//! four rows with Paeth's filter, which is the most common one in photographs, are therefore processed at once: each is
//! one pixel behind the row above it, and one vector holds a pixel of each. This takes less than half the time
//! (`infra/bench/RESULTS.md`).

use fearless_simd::{Bytes, Level, Select, Simd, SimdBase, SimdFrom, SimdInt, dispatch, u8x16, u32x4};

/// The number of Paeth's filter, in a row's first byte.
pub(super) const PAETH: u8 = 4;

/// The most rows with Paeth's filter that are processed at once.
pub(super) const ROWS: usize = 4;

/// Bytes of a pixel in a vector of several pixels.
const PIXEL: usize = 4;

/// Undoes the filter of one row. `above` is the row before it, or zeros at the top; `raw` is the row without its filter
/// byte; all slices have the same length. `size` is the number of bytes of a pixel: 1, 2, 3, 4, 6 or 8. False if there
/// is no such filter.
pub(super) fn undo_row(filter: u8, size: usize, above: &[u8], raw: &[u8], out: &mut [u8]) -> bool {
    match (filter, size) {
        (0, _) => out.copy_from_slice(raw),
        (2, _) => {
            for ((out, raw), above) in out.iter_mut().zip(raw).zip(above) {
                *out = raw.wrapping_add(*above);
            }
        }
        (PAETH, 1..=4) => undo_paeth(size, above, [raw], [out]),
        (1 | 3, 1) => serial::<1>(filter, above, raw, out),
        (1 | 3, 2) => serial::<2>(filter, above, raw, out),
        (1 | 3, 3) => serial::<3>(filter, above, raw, out),
        (1 | 3, 4) => serial::<4>(filter, above, raw, out),
        (1 | 3 | PAETH, 6) => serial::<6>(filter, above, raw, out),
        (1 | 3 | PAETH, 8) => serial::<8>(filter, above, raw, out),
        _ => return false,
    }
    true
}

fn serial<const N: usize>(filter: u8, above: &[u8], raw: &[u8], out: &mut [u8]) {
    match filter {
        1 => sub::<N>(raw, out),
        3 => average::<N>(above, raw, out),
        _ => paeth::<N>(above, raw, out),
    }
}

fn sub<const N: usize>(raw: &[u8], out: &mut [u8]) {
    let mut left = [0_u8; N];
    for (out, raw) in out.as_chunks_mut::<N>().0.iter_mut().zip(raw.as_chunks::<N>().0) {
        for lane in 0..N {
            left[lane] = left[lane].wrapping_add(raw[lane]);
        }
        *out = left;
    }
}

fn average<const N: usize>(above: &[u8], raw: &[u8], out: &mut [u8]) {
    let mut left = [0_u8; N];
    let rows = raw.as_chunks::<N>().0.iter().zip(above.as_chunks::<N>().0);
    for (out, (raw, above)) in out.as_chunks_mut::<N>().0.iter_mut().zip(rows) {
        for lane in 0..N {
            let mean = (u16::from(left[lane]) + u16::from(above[lane])) / 2;
            left[lane] = raw[lane].wrapping_add(mean as u8);
        }
        *out = left;
    }
}

/// Paeth's filter in the form that computes no distances (from stb_image, in the public domain).
fn paeth<const N: usize>(above: &[u8], raw: &[u8], out: &mut [u8]) {
    let (mut left, mut corner) = ([0_i16; N], [0_i16; N]);
    let rows = raw.as_chunks::<N>().0.iter().zip(above.as_chunks::<N>().0);
    for (out, (raw, above)) in out.as_chunks_mut::<N>().0.iter_mut().zip(rows) {
        for lane in 0..N {
            let up = i16::from(above[lane]);
            let threshold = corner[lane] * 3 - (left[lane] + up);
            let (low, high) = (left[lane].min(up), left[lane].max(up));
            let not_high = if high <= threshold { low } else { corner[lane] };
            let nearest = if threshold <= low { high } else { not_high };
            out[lane] = raw[lane].wrapping_add(nearest as u8);
            (left[lane], corner[lane]) = (out[lane].into(), up);
        }
    }
}

/// Undoes Paeth's filter in up to [`ROWS`] successive rows; `above` is the row before the first. Pixels of more than
/// four bytes are processed one row after the other.
pub(super) fn undo_paeth<const COUNT: usize>(
    size: usize,
    above: &[u8],
    raw: [&[u8]; COUNT],
    out: [&mut [u8]; COUNT],
) {
    const { assert!(COUNT <= ROWS) };
    let level = Level::new();
    match size {
        1 => dispatch!(level, simd => undo_paeth_together::<_, 1, COUNT>(simd, above, raw, out)),
        2 => dispatch!(level, simd => undo_paeth_together::<_, 2, COUNT>(simd, above, raw, out)),
        3 => dispatch!(level, simd => undo_paeth_together::<_, 3, COUNT>(simd, above, raw, out)),
        4 => dispatch!(level, simd => undo_paeth_together::<_, 4, COUNT>(simd, above, raw, out)),
        _ => {
            let mut above = above;
            for (raw, out) in raw.into_iter().zip(out) {
                undo_row(PAETH, size, above, raw, out);
                above = out;
            }
        }
    }
}

/// The latest pixels of all rows.
struct Front<S: Simd> {
    left: u8x16<S>,
    corner: u8x16<S>,
}

impl<S: Simd> Front<S> {
    /// Advances by one pixel. `raw` has the filtered pixels of the rows, `above` the pixel above that of the first row.
    /// The pixel above that of another row is the one that the row above it computed just before.
    #[inline(always)]
    fn step(&mut self, simd: S, raw: [u32; ROWS], above: u32) -> [u32; ROWS] {
        let over_first = u32x4::simd_from(simd, [above, 0, 0, 0]).to_bytes();
        let over_others = simd.slide_u8x16::<{ 16 - PIXEL }>(u8x16::splat(simd, 0), self.left);
        let up = over_first | over_others;
        self.left = u32x4::simd_from(simd, raw).to_bytes() + nearest(self.left, up, self.corner);
        self.corner = up;
        u32x4::from_bytes(self.left).into()
    }
}

/// Paeth's predictor: of left, above and corner (above left), the one nearest to left + above − corner, preferred in
/// this order. If the corner lies between the other two, its distance from the higher one is the prediction's distance
/// from the lower one, and vice versa; if it lies outside, the nearest is the lower or the higher one.
#[inline(always)]
fn nearest<S: Simd>(left: u8x16<S>, above: u8x16<S>, corner: u8x16<S>) -> u8x16<S> {
    let (low, high) = (left.min(above), left.max(above));
    let (to_low, to_high) = (high.saturating_sub(corner), corner.saturating_sub(low));
    let is_low = to_high.saturating_sub(to_low).simd_ge(to_low);
    let is_high = to_low.saturating_sub(to_high).simd_ge(to_high);
    is_low.select(low, is_high.select(high, corner))
}

/// Processes pixels of `N` bytes. Pixels before a row begins are zero, and remain so; those computed after a row's end
/// are ignored.
#[inline(always)]
fn undo_paeth_together<S: Simd, const N: usize, const COUNT: usize>(
    simd: S,
    above: &[u8],
    raw: [&[u8]; COUNT],
    mut out: [&mut [u8]; COUNT],
) {
    let width = above.len() / N;
    let zero = u8x16::splat(simd, 0);
    let mut front = Front { left: zero, corner: zero };
    let mut pixels = [0; ROWS];

    // The columns in which every row has a pixel, and each pixel has enough bytes after it to fill its place in a
    // vector. Excess bytes belong to the next pixel, which is processed later.
    let begun = (COUNT - 1).min(width);
    let ended = width.saturating_sub(PIXEL.div_ceil(N) - 1).max(begun);
    let row_of = |x: usize, row: usize| x.checked_sub(row).map(|x| x * N);
    let mut edge = |front: &mut Front<S>, out: &mut [&mut [u8]; COUNT], x: usize| {
        for (row, raw) in raw.iter().enumerate() {
            pixels[row] = row_of(x, row).map_or(0, |at| pixel_or_zeros::<N>(raw, at));
        }
        let done = front.step(simd, pixels, pixel_or_zeros::<N>(above, x * N));
        for (row, out) in out.iter_mut().enumerate() {
            if let Some(place) = row_of(x, row).and_then(|at| out.get_mut(at..at + N)) {
                place.copy_from_slice(&done[row].to_le_bytes()[..N]);
            }
        }
    };
    for x in 0..begun {
        edge(&mut front, &mut out, x);
    }
    let mut pixels = [0; ROWS];
    for x in begun..ended {
        for row in 0..COUNT {
            pixels[row] = four_bytes(raw[row], (x - row) * N);
        }
        let done = front.step(simd, pixels, four_bytes(above, x * N));
        for row in 0..COUNT {
            let at = (x - row) * N;
            if let Some(place) = out[row].get_mut(at..at + PIXEL) {
                place.copy_from_slice(&done[row].to_le_bytes());
            }
        }
    }
    for x in ended..width + COUNT - 1 {
        edge(&mut front, &mut out, x);
    }
}

/// A pixel's bytes and those after it.
#[inline(always)]
fn four_bytes(row: &[u8], at: usize) -> u32 {
    row.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |&bytes| u32::from_le_bytes(bytes))
}

/// A pixel's bytes; zeros after the row's end.
fn pixel_or_zeros<const N: usize>(row: &[u8], at: usize) -> u32 {
    let pixel = row.get(at..at + N).unwrap_or_default();
    pixel.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition in the standard.
    fn plain(filter: u8, size: usize, above: &[u8], raw: &[u8]) -> Vec<u8> {
        let mut out = raw.to_vec();
        for at in 0..out.len() {
            let left = i32::from(at.checked_sub(size).map_or(0, |at| out[at]));
            let corner = i32::from(at.checked_sub(size).map_or(0, |at| above[at]));
            let up = i32::from(above[at]);
            let nearest = |p: i32| [left, up, corner].into_iter().min_by_key(|value| (value - p).abs());
            let predicted = match filter {
                0 => 0,
                1 => left,
                2 => up,
                3 => (left + up) / 2,
                _ => nearest(left + up - corner).expect("three values"),
            };
            out[at] = out[at].wrapping_add(predicted as u8);
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_filter_is_undone_as_the_standard_says(
            filter in 0..=4_u8, size in prop::sample::select(vec![1_usize, 2, 3, 4, 6, 8]), pixels in 1..40_usize,
            noise in prop::collection::vec(any::<u8>(), 1600),
        ) {
            let length = size * pixels;
            let [above, raw @ ..]: [&[u8]; 5] = std::array::from_fn(|row| &noise[row * 320..][..length]);
            let mut first = vec![0; length];
            prop_assert!(undo_row(filter, size, above, raw[0], &mut first));
            prop_assert_eq!(first, plain(filter, size, above, raw[0]));

            let mut expected = Vec::new();
            for raw in raw {
                expected.push(plain(PAETH, size, expected.last().map_or(above, Vec::as_slice), raw));
            }
            let mut four: [Vec<u8>; 4] = std::array::from_fn(|_| vec![0; length]);
            undo_paeth(size, above, raw, four.each_mut().map(Vec::as_mut_slice));
            prop_assert_eq!(&four[..], &expected[..]);
            let mut two: [Vec<u8>; 2] = std::array::from_fn(|_| vec![0; length]);
            undo_paeth(size, above, [raw[0], raw[1]], two.each_mut().map(Vec::as_mut_slice));
            prop_assert_eq!(&two[..], &expected[..2]);
            let [first, rest @ ..] = raw;
            let mut one = [vec![0; length]];
            undo_paeth(size, above, [first], one.each_mut().map(Vec::as_mut_slice));
            prop_assert_eq!(&one[..], &expected[..1]);
            let mut three: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; length]);
            undo_paeth(size, &expected[0], rest, three.each_mut().map(Vec::as_mut_slice));
            prop_assert_eq!(&three[..], &expected[1..]);
        }
    }

    #[test]
    fn there_is_no_sixth_filter() {
        assert!(!undo_row(5, 3, &[0; 3], &[0; 3], &mut [0; 3]));
    }
}
