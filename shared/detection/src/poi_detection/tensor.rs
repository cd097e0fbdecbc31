//! The structure tensor and the corner measures that come from it. They are computed over the rows of vertical strips
//! that fit the cache; the only plane of the image's size is the response.

use imaging::{Deadline, TimedOut};

use crate::{
    kernels::{self, Taps},
    peaks::{Response, rows_per_check},
    window::Window,
};

/// The corner measure, a function of the tensor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Measure {
    /// det − k · trace².
    Harris {
        /// The larger, the fewer edges pass for corners.
        k: f32,
    },
    /// The smaller eigenvalue.
    ShiTomasi,
}

/// The response of the whole window.
pub(super) fn respond(
    window: Window<'_>,
    measure: Measure,
    sigma: f64,
    deadline: Deadline,
) -> Result<Response, TimedOut> {
    match measure {
        Measure::Harris { k } => tensor_response(window, sigma, deadline, |rr, rc, cc| harris(rr, rc, cc, k)),
        Measure::ShiTomasi => tensor_response(window, sigma, deadline, shi_tomasi),
    }
}

fn harris(rr: f32, rc: f32, cc: f32, k: f32) -> f32 {
    let trace = rr + cc;
    rr * cc - rc * rc - k * (trace * trace)
}

/// The smaller eigenvalue. It is 0 where it is within the rounding error of the larger one, as along a straight edge.
fn shi_tomasi(rr: f32, rc: f32, cc: f32) -> f32 {
    const ROUNDING: f32 = 4e-6;
    let (trace, difference) = (rr + cc, rr - cc);
    let smaller = (trace - (difference * difference + 4.0 * (rc * rc)).sqrt()) / 2.0;
    if smaller > ROUNDING * trace { smaller } else { 0.0 }
}

/// The columns of a strip, so few that the rows in use at a time stay in a core's second-level cache at the usual
/// sigmas.
const STRIP: usize = 2048;
/// The taps of the widest Gaussian: twice its radius, and the centre.
const MAX_TAPS: usize = 2 * 40 + 1;

/// The structure tensor and the measure in one pass over the window, strip by strip, row by row.
fn tensor_response(
    window: Window<'_>,
    sigma: f64,
    deadline: Deadline,
    measure: impl Fn(f32, f32, f32) -> f32,
) -> Result<Response, TimedOut> {
    let Window { width, height, .. } = window;
    let half = kernels::gaussian(sigma);
    let mut values = vec![0.0f32; width * height];
    let mut range = (f32::INFINITY, f32::NEG_INFINITY);
    for start in (0..width).step_by(STRIP) {
        let mut strip = Strip::new(window, start, (start + STRIP).min(width), &half);
        // When the products of row y have been made, row y − radius can be smoothed.
        for row in 0..height + strip.radius {
            if row % rows_per_check(strip.columns) == 0 {
                deadline.check()?;
            }
            strip.take_products(row);
            if let Some(row) = row.checked_sub(strip.radius) {
                let out = &mut values[row * width + start..][..strip.columns];
                let [rr, rc, cc] = strip.smoothed(row);
                for (((out, rr), rc), cc) in out.iter_mut().zip(rr).zip(rc).zip(cc) {
                    *out = measure(*rr, *rc, *cc);
                }
                let (min, max) = kernels::extremes(out);
                range = (range.0.min(min), range.1.max(max));
            }
        }
    }
    Ok(Response { width, height, values, min: range.0, max: range.1 })
}

/// The rows in use of one vertical strip: its columns with `radius` more on either side for the Gaussian, and in the
/// grey rows one more for Sobel's kernel. Values outside the image stay 0.
struct Strip<'a> {
    window: Window<'a>,
    half: &'a [f32],
    radius: usize,
    /// The number of columns of the response that the strip gives.
    columns: usize,
    /// The part of a grey row that lies in the image, and the image's column where that part starts.
    grey_inside: std::ops::Range<usize>,
    grey_column: usize,
    /// The part of a row of products that lies in the image.
    inside: std::ops::Range<usize>,
    /// Grey of the rows y − 1, y and y + 1, where y is the row of products that is made next.
    grey: [Vec<f32>; 3],
    /// The latest `2 · radius + 1` rows of each product; row y is in place y mod (2 · radius + 1).
    products: [Vec<f32>; 3],
    down: Vec<f32>,
    right: Vec<f32>,
    smoothed: [Vec<f32>; 3],
}

impl<'a> Strip<'a> {
    fn new(window: Window<'a>, start: usize, end: usize, half: &'a [f32]) -> Self {
        let width = window.width;
        let radius = half.len() - 1;
        let columns = end - start;
        let length = columns + 2 * radius;
        // The part of `start − margin .. end + margin` that lies in the image, counted from its own start.
        let inside = |margin: usize| {
            margin.saturating_sub(start)..columns + 2 * margin - (end + margin).saturating_sub(width)
        };
        let mut strip = Self {
            window,
            half,
            radius,
            columns,
            grey_inside: inside(radius + 1),
            grey_column: start.saturating_sub(radius + 1),
            inside: inside(radius),
            grey: std::array::from_fn(|_| vec![0.0; length + 2]),
            products: std::array::from_fn(|_| vec![0.0; length * (2 * radius + 1)]),
            down: vec![0.0; length],
            right: vec![0.0; length],
            smoothed: std::array::from_fn(|_| vec![0.0; columns]),
        };
        strip.take_grey(0);
        strip
    }

    /// Moves the three rows of grey on by one; `row` becomes the last of them.
    fn take_grey(&mut self, row: usize) {
        self.grey.rotate_left(1);
        let last = &mut self.grey[2];
        if row < self.window.height {
            self.window.grey(row, self.grey_column, &mut last[self.grey_inside.clone()]);
        } else {
            last.fill(0.0);
        }
    }

    /// Makes row `row` of the products and puts it in its place. Rows below the image are 0.
    fn take_products(&mut self, row: usize) {
        let length = self.down.len();
        let taps = 2 * self.radius + 1;
        let place = (row % taps) * length..(row % taps + 1) * length;
        if row >= self.window.height {
            for product in &mut self.products {
                product[place.clone()].fill(0.0);
            }
            return;
        }
        self.take_grey(row + 1);
        let [rr, rc, cc] = &mut self.products;
        let (rr, rc, cc) = (&mut rr[place.clone()], &mut rc[place.clone()], &mut cc[place]);
        let [above, middle, below] = &self.grey;
        kernels::sobel([above, middle, below], &mut self.down, &mut self.right);
        let inside = self.inside.clone();
        let derivatives = self.down[inside.clone()].iter().zip(&self.right[inside.clone()]);
        let products = rr[inside.clone()].iter_mut().zip(&mut rc[inside.clone()]).zip(&mut cc[inside]);
        for (((rr, rc), cc), (down, right)) in products.zip(derivatives) {
            *rr = down * down;
            *rc = down * right;
            *cc = right * right;
        }
    }

    /// The smoothed products of row `row`. The products up to row `row + radius` must have been taken.
    fn smoothed(&mut self, row: usize) -> [&[f32]; 3] {
        let length = self.down.len();
        let taps = 2 * self.radius + 1;
        let down = &mut self.down;
        for (product, smoothed) in self.products.iter().zip(&mut self.smoothed) {
            let mut at = [0; MAX_TAPS];
            for (k, at) in at[..taps].iter_mut().enumerate() {
                // This is row `row − radius + k`. The places of rows above the image have not been filled yet and hold
                // zeros.
                *at = (row + taps - self.radius + k) % taps * length;
            }
            kernels::convolve(self.half, Taps { data: product, at: &at[..taps] }, down);
            at = std::array::from_fn(|k| k);
            kernels::convolve(self.half, Taps { data: down, at: &at[..taps] }, smoothed);
        }
        let [rr, rc, cc] = &self.smoothed;
        [rr, rc, cc]
    }
}

#[cfg(test)]
mod tests {
    use imaging::Image;
    use proptest::prelude::*;

    use super::*;

    fn image(width: u32, height: u32, rgba: Vec<u8>) -> Image {
        Image::new(width, height, rgba).expect("four bytes a pixel")
    }

    /// The response by its definition, in f64 and without any separation: the reference for the fast one.
    fn plain(image: &Image, measure: Measure, sigma: f64) -> Vec<f64> {
        let (w, h) = (i64::from(image.width()), i64::from(image.height()));
        let grey = |x: i64, y: i64| {
            if x < 0 || y < 0 || x >= w || y >= h {
                return 0.0;
            }
            let [r, g, b, a] =
                image.rgba().as_chunks::<4>().0[(y * w + x) as usize].map(|v| f64::from(v) / 255.0);
            let over_white = |c: f64| 1.0 - a + a * c;
            0.2125 * over_white(r) + 0.7154 * over_white(g) + 0.0721 * over_white(b)
        };
        let gradient = |x: i64, y: i64| {
            if x < 0 || y < 0 || x >= w || y >= h {
                return (0.0, 0.0);
            }
            let across = [(-1, 1.0), (0, 2.0), (1, 1.0)];
            let r = across.map(|(i, wi)| wi * (grey(x + i, y + 1) - grey(x + i, y - 1)));
            let c = across.map(|(i, wi)| wi * (grey(x + 1, y + i) - grey(x - 1, y + i)));
            (r.into_iter().sum::<f64>(), c.into_iter().sum::<f64>())
        };
        let gradients: Vec<(f64, f64)> = (0..w * h).map(|i| gradient(i % w, i / w)).collect();
        let radius = (4.0 * sigma + 0.5) as i64;
        let bell = |i: i64| (-0.5 * (i * i) as f64 / (sigma * sigma)).exp();
        let sum: f64 = (-radius..=radius).map(bell).sum();
        (0..w * h)
            .map(|i| {
                let (x, y) = (i % w, i / w);
                let (mut rr, mut rc, mut cc) = (0.0, 0.0, 0.0);
                for v in (y - radius).max(0)..(y + radius + 1).min(h) {
                    for u in (x - radius).max(0)..(x + radius + 1).min(w) {
                        let weight = bell(u - x) * bell(v - y) / (sum * sum);
                        let (r, c) = gradients[(v * w + u) as usize];
                        rr += weight * r * r;
                        rc += weight * r * c;
                        cc += weight * c * c;
                    }
                }
                match measure {
                    Measure::Harris { k } => rr * cc - rc * rc - f64::from(k) * (rr + cc).powi(2),
                    Measure::ShiTomasi => (rr + cc - ((rr - cc).powi(2) + 4.0 * rc * rc).sqrt()) / 2.0,
                }
            })
            .collect()
    }

    fn compare(image: &Image, measure: Measure, sigma: f64) {
        let fast = respond(Window::whole(image), measure, sigma, Deadline::none()).expect("no deadline");
        let plain = plain(image, measure, sigma);
        let scale = plain.iter().fold(0f64, |scale, v| scale.max(v.abs()));
        for (i, (is, expected)) in fast.values.iter().zip(&plain).enumerate() {
            assert!((f64::from(*is) - expected).abs() <= 1e-5 * scale, "pixel {i}: {is} is not {expected}");
        }
        assert_eq!((fast.min, fast.max), kernels::extremes(&fast.values));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_fast_response_is_the_plain_one(
            (width, height, rgba) in (1u32..40, 1u32..30).prop_flat_map(|(w, h)| {
                (Just(w), Just(h), proptest::collection::vec(any::<u8>(), (4 * w * h) as usize))
            }),
            harris in any::<bool>(), sigma in 0.5f64..4.0, k in 0.01f32..0.25,
        ) {
            let measure = if harris { Measure::Harris { k } } else { Measure::ShiTomasi };
            compare(&image(width, height, rgba), measure, sigma);
        }
    }

    /// Strips meet without a seam, also where the Gaussian is wider than what is left for the last strip.
    #[test]
    fn strips_join() {
        let (width, height) = (2 * STRIP as u32 + 3, 7);
        let noise = (0..4 * width * height).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let image = image(width, height, noise);
        for sigma in [0.5, 1.5, 10.0] {
            compare(&image, Measure::Harris { k: 0.05 }, sigma);
            compare(&image, Measure::ShiTomasi, sigma);
        }
    }

    #[test]
    fn the_greatest_sigma_fits_the_taps() {
        assert!(kernels::gaussian(10.0).len() * 2 - 1 <= MAX_TAPS);
    }
}
