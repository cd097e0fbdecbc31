//! `poi_detection`: corners by the structure tensor.
//!
//! With equal parameters the answer is that of scikit-image 0.26's
//! `corner_peaks(corner_harris(grey, k=k, sigma=sigma), min_distance, threshold_rel=threshold, num_peaks=…)`, or of
//! `corner_shi_tomasi`, and then refined to a fraction of a pixel:
//!
//! 1. Grey in 0 to 1 (see `grey`). Beyond the image it is 0, as in scikit-image (`mode="constant"`): an image's own
//!    border is a step, which takes part in the maximum that `threshold` is relative to.
//! 2. Sobel derivatives r (down) and c (right); the products rr, rc, cc, each smoothed by a Gaussian of `sigma`.
//! 3. The response, of the tensor [[rr, rc], [rc, cc]]: Harris, det − k · trace²; Shi–Tomasi, the smaller eigenvalue.
//! 4. Peaks (see `peaks`): maxima of a square, above `threshold` times the greatest response, `min_distance` away from
//!    each other and from the border, in descending order of response; the first `max_points`.
//! 5. A quadratic through the 3 × 3 neighbourhood moves each by at most half a pixel.
//!
//! An image of one colour has no corners, whatever its border looks like.
//!
//! Steps 1 to 3 run over the rows of vertical strips that fit the cache; the only plane of the image's size is the
//! response. Step 4 adds at most one more.

use imaging::{Deadline, Image, TimedOut};
use jobs::algorithm::{Kind, Parameter, Parameters, Rectangle, Specification};
use serde::Deserialize;

use crate::{
    Class, Column, DetectError, Detector, Digits, Findings, Schema,
    kernels::{self, Taps},
    peaks::{self, Peak, ROWS_PER_CHECK, Response},
    window::{self, Window},
};

/// What `poi_detection` takes and gives.
pub(crate) static SPECIFICATION: Specification = Specification {
    name: "poi_detection",
    version: "1",
    summary: "Finds points of interest: corners, with sub-pixel positions, strongest first.",
    references: &[
        "C. Harris, M. Stephens: A combined corner and edge detector, Alvey Vision Conference 1988, \
         doi:10.5244/C.2.23",
        "J. Shi, C. Tomasi: Good features to track, CVPR 1994, doi:10.1109/CVPR.1994.323794",
        "scikit-image 0.26: corner_harris, corner_shi_tomasi, corner_peaks",
    ],
    parameters: &[
        Parameter {
            name: "method",
            summary: "The corner measure: Harris (det − k·trace²) or Shi–Tomasi (the smaller eigenvalue).",
            unit: None,
            kind: Kind::Choice { values: &["harris", "shi_tomasi"], default: Some("harris") },
        },
        Parameter {
            name: "max_points",
            summary: "At most so many points: those of the strongest response.",
            unit: None,
            kind: Kind::Integer { min: 1, max: 10_000, default: Some(500) },
        },
        Parameter {
            name: "min_distance",
            summary: "Points are farther than this from each other, and at least this far from the border.",
            unit: Some("px"),
            kind: Kind::Integer { min: 1, max: 500, default: Some(10) },
        },
        Parameter {
            name: "sigma",
            summary: "Standard deviation of the Gaussian that smooths the structure tensor: the scale of a corner.",
            unit: Some("px"),
            kind: Kind::Number { min: 0.5, max: 10.0, default: Some(1.5) },
        },
        Parameter {
            name: "threshold",
            summary: "The least response, as a part of the greatest one in the image.",
            unit: None,
            kind: Kind::Number { min: 0.0, max: 1.0, default: Some(0.001) },
        },
        Parameter {
            name: "k",
            summary: "Harris only: the larger, the fewer edges pass for corners.",
            unit: None,
            kind: Kind::Number { min: 0.01, max: 0.25, default: Some(0.05) },
        },
        window::REGION,
    ],
    list: Some("points"),
};

static SCHEMA: Schema = Schema {
    list: "points",
    class: Class { name: "Point of interest", color: [240, 228, 66] },
    columns: &[Column { name: "response", unit: None, digits: Digits::Significant(6) }],
    radius: None,
};

/// See the module.
pub(crate) struct Algorithm;

#[derive(Deserialize)]
struct Settings {
    method: Method,
    max_points: usize,
    min_distance: usize,
    sigma: f64,
    threshold: f32,
    k: f32,
    region: Option<Rectangle>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    Harris,
    ShiTomasi,
}

impl Detector for Algorithm {
    fn specification(&self) -> &'static Specification {
        &SPECIFICATION
    }

    fn detect(
        &self,
        image: &Image,
        parameters: &Parameters,
        deadline: Deadline,
    ) -> Result<Findings, DetectError> {
        let run = SPECIFICATION.resolve(parameters)?;
        let settings: Settings = run.parameters.parse().map_err(DetectError::Inconsistent)?;
        let window = Window::of(image, settings.region)?;
        let mut findings = Findings::new(&SCHEMA);
        if window.is_of_one_colour() {
            return Ok(findings);
        }
        let response = respond(window, &settings, deadline)?;
        let Settings { min_distance, threshold, max_points, .. } = settings;
        for peak in peaks::find(&response, min_distance, threshold, max_points, deadline)? {
            let (x, y) = position(&response, &peak);
            let (x, y) = window.place(x, y);
            findings.push(x, y, [f64::from(peak.response)]);
        }
        Ok(findings)
    }
}

fn position(response: &Response, peak: &Peak) -> (f64, f64) {
    let (dx, dy) = response.refine(peak);
    (f64::from(peak.column) + 0.5 + dx, f64::from(peak.row) + 0.5 + dy)
}

/// The response of the whole window.
fn respond(window: Window<'_>, settings: &Settings, deadline: Deadline) -> Result<Response, TimedOut> {
    let k = settings.k;
    match settings.method {
        Method::Harris => {
            tensor_response(window, settings.sigma, deadline, |rr, rc, cc| harris(rr, rc, cc, k))
        }
        Method::ShiTomasi => tensor_response(window, settings.sigma, deadline, shi_tomasi),
    }
}

fn harris(rr: f32, rc: f32, cc: f32, k: f32) -> f32 {
    let trace = rr + cc;
    rr * cc - rc * rc - k * (trace * trace)
}

/// The smaller eigenvalue; 0 where it is lost in the rounding of the larger one, as along a straight edge.
fn shi_tomasi(rr: f32, rc: f32, cc: f32) -> f32 {
    const ROUNDING: f32 = 4e-6;
    let (trace, difference) = (rr + cc, rr - cc);
    let smaller = (trace - (difference * difference + 4.0 * (rc * rc)).sqrt()) / 2.0;
    if smaller > ROUNDING * trace { smaller } else { 0.0 }
}

/// Columns of a strip: the rows in use at a time stay in a core's second-level cache at the usual sigmas.
const STRIP: usize = 2048;
/// Twice the greatest radius of the Gaussian, and the centre.
const MAX_TAPS: usize = 2 * 40 + 1;

/// Structure tensor and measure in one pass over the image, strip by strip, row by row.
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
        // Row y of the products is made in the turn that smooths row y − radius.
        for row in 0..height + strip.radius {
            if row % ROWS_PER_CHECK == 0 {
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

/// The rows at work in one vertical strip: its columns with `radius` more on either side for the Gaussian, and in the
/// grey rows one more for Sobel's kernel. What lies outside the image stays 0.
struct Strip<'a> {
    window: Window<'a>,
    half: &'a [f32],
    radius: usize,
    /// How many columns come out.
    columns: usize,
    /// The part of a grey row that lies in the image, and the image's column where it starts.
    grey_inside: std::ops::Range<usize>,
    grey_column: usize,
    /// The part of a row of products that lies in the image.
    inside: std::ops::Range<usize>,
    /// Grey of the rows y − 1, y, y + 1 for the row y of products that comes next.
    grey: [Vec<f32>; 3],
    /// The latest `2 · radius + 1` rows of each product, row y in place y mod (2 · radius + 1).
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

    /// Moves the three rows of grey on by one: `row` becomes the last.
    fn take_grey(&mut self, row: usize) {
        self.grey.rotate_left(1);
        let last = &mut self.grey[2];
        if row < self.window.height {
            self.window.grey(row, self.grey_column, &mut last[self.grey_inside.clone()]);
        } else {
            last.fill(0.0);
        }
    }

    /// Puts row `row` of the products in its place: zeros below the image.
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

    /// The smoothed products of row `row`, when the products up to row `row + radius` have been taken.
    fn smoothed(&mut self, row: usize) -> [&[f32]; 3] {
        let length = self.down.len();
        let taps = 2 * self.radius + 1;
        let down = &mut self.down;
        for (product, smoothed) in self.products.iter().zip(&mut self.smoothed) {
            let mut at = [0; MAX_TAPS];
            for (k, at) in at[..taps].iter_mut().enumerate() {
                // Row `row − radius + k`; those above the image are places not yet filled, which hold zeros.
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
    use proptest::prelude::*;

    use super::*;

    fn image(width: u32, height: u32, rgba: Vec<u8>) -> Image {
        Image::new(width, height, rgba).expect("four bytes a pixel")
    }

    /// The response as its definition reads, in f64 and without any separation: the reference for the fast one.
    fn plain(image: &Image, method: Method, sigma: f64, k: f64) -> Vec<f64> {
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
                match method {
                    Method::Harris => rr * cc - rc * rc - k * (rr + cc).powi(2),
                    Method::ShiTomasi => (rr + cc - ((rr - cc).powi(2) + 4.0 * rc * rc).sqrt()) / 2.0,
                }
            })
            .collect()
    }

    fn settings(method: Method, sigma: f64, k: f32) -> Settings {
        Settings { method, max_points: 1, min_distance: 1, sigma, threshold: 0.0, k, region: None }
    }

    fn compare(image: &Image, method: Method, sigma: f64, k: f32) {
        let fast = respond(Window::whole(image), &settings(method, sigma, k), Deadline::none())
            .expect("no deadline");
        let plain = plain(image, method, sigma, f64::from(k));
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
            let method = if harris { Method::Harris } else { Method::ShiTomasi };
            compare(&image(width, height, rgba), method, sigma, k);
        }
    }

    /// Strips meet without a seam, also where the Gaussian is wider than what is left for the last strip.
    #[test]
    fn strips_join() {
        let (width, height) = (2 * STRIP as u32 + 3, 7);
        let noise = (0..4 * width * height).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let image = image(width, height, noise);
        for sigma in [0.5, 1.5, 10.0] {
            compare(&image, Method::Harris, sigma, 0.05);
            compare(&image, Method::ShiTomasi, sigma, 0.05);
        }
    }

    #[test]
    fn the_specification_and_the_settings_agree() {
        let run = SPECIFICATION.resolve(&Parameters::default()).expect("defaults are valid");
        let settings: Settings = run.parameters.parse().expect("the settings read every parameter");
        assert_eq!((settings.max_points, settings.min_distance), (500, 10));
        assert!(kernels::gaussian(10.0).len() * 2 - 1 <= MAX_TAPS, "the greatest sigma fits the taps");
        assert_eq!(SPECIFICATION.list, Some(SCHEMA.list));
    }
}
