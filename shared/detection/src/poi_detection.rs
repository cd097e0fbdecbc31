//! `poi_detection`: corners, by the structure tensor or by the circle around a pixel.
//!
//! `harris` and `shi_tomasi` give, with equal parameters, the result of scikit-image 0.26's
//! `corner_peaks(corner_harris(grey, k=k, sigma=sigma), min_distance, threshold_rel=threshold, num_peaks=…)`, or the
//! same with `corner_shi_tomasi`:
//!
//! 1. Grey from 0 to 1 (see `grey`). Beyond the image it is 0, as in scikit-image (`mode="constant"`). The border of
//!    the image is therefore a step, which takes part in the maximum that `threshold` is relative to.
//! 2. Sobel derivatives r (down) and c (right); the products rr, rc and cc, each smoothed by a Gaussian of `sigma`.
//! 3. The response, a function of the tensor [[rr, rc], [rc, cc]] (`tensor`): det − k · trace² for Harris, the smaller
//!    eigenvalue for Shi–Tomasi.
//! 4. Peaks (see `peaks`): maxima of a square, above `threshold` times the greatest response, `min_distance` away from
//!    each other and from the border, in descending order of response; the first `max_points`.
//! 5. With `subpixel`, a quadratic through the 3 × 3 neighbourhood moves each peak by at most half a pixel. Without it,
//!    points are at the centres of their pixels, as in scikit-image.
//!
//! `fast` and `orb` work on the same grey, rounded to 0 to 255 (see `fast` and `orb`). They give the results of OpenCV
//! 5's `FAST(grey, fast_threshold, true)` and of its `ORB`, with `max_points` for `nfeatures`, in descending order of
//! response. Coordinates are OpenCV's with half a pixel added to each, because OpenCV counts from the centre of the
//! first pixel.
//!
//! An image of one colour has no corners, whatever its border looks like.
//!
//! `harris`, `shi_tomasi` and `fast` are faster than OpenCV's, and `orb` is about as fast (`infra/bench`). All of them
//! hold little more than one float plane beside the image.

mod fast;
mod orb;
mod tensor;

use algorithm::{Kind, Parameter, Parameters, Specification};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Class, Column, DetectError, Digits, Findings, Schema,
    algorithm::{Algorithm, Scene, bytes},
    peaks, window,
};

use tensor::Measure;

/// The parameters and the result of `poi_detection`.
pub(crate) static SPECIFICATION: Specification = Specification {
    name: "poi_detection",
    version: "4",
    summary: "Finds points of interest: corners, strongest first.",
    references: &[
        "C. Harris, M. Stephens: A combined corner and edge detector, Alvey Vision Conference 1988, \
         doi:10.5244/C.2.23",
        "J. Shi, C. Tomasi: Good features to track, CVPR 1994, doi:10.1109/CVPR.1994.323794",
        "E. Rosten, T. Drummond: Machine learning for high-speed corner detection, ECCV 2006, doi:10.1007/11744023_34",
        "E. Rublee, V. Rabaud, K. Konolige, G. Bradski: ORB: an efficient alternative to SIFT or SURF, ICCV 2011, \
         doi:10.1109/ICCV.2011.6126544",
        "scikit-image 0.26: corner_harris, corner_shi_tomasi, corner_peaks",
        "OpenCV 5: FAST, ORB",
    ],
    parameters: &[
        Parameter {
            name: "method",
            summary: "The corner measure: Harris (det − k·trace²), Shi–Tomasi (the smaller eigenvalue), FAST-9 (an arc \
                      of nine of the sixteen pixels on a circle, all brighter or all darker than its centre), or ORB \
                      (oriented FAST over a pyramid, by Harris's measure).",
            unit: None,
            kind: Kind::Choice { values: &["harris", "shi_tomasi", "fast", "orb"], default: Some("harris") },
        },
        Parameter {
            name: "max_points",
            summary: "At most so many points: those of the strongest response. orb shares them out among the levels.",
            unit: None,
            kind: Kind::Integer { min: 1, max: 100_000, default: Some(500) },
        },
        Parameter {
            name: "min_distance",
            summary: "harris and shi_tomasi: points are farther than this from each other, and at least this far \
                      from the border.",
            unit: Some("px"),
            kind: Kind::Integer { min: 1, max: 500, default: Some(10) },
        },
        Parameter {
            name: "sigma",
            summary: "harris and shi_tomasi: standard deviation of the Gaussian that smooths the structure tensor, \
                      the scale of a corner.",
            unit: Some("px"),
            kind: Kind::Number { min: 0.5, max: 10.0, default: Some(1.5) },
        },
        Parameter {
            name: "threshold",
            summary: "harris and shi_tomasi: the least response, as a part of the greatest one in the image.",
            unit: None,
            kind: Kind::Number { min: 0.0, max: 1.0, default: Some(0.001) },
        },
        Parameter {
            name: "k",
            summary: "harris: the larger, the fewer edges pass for corners.",
            unit: None,
            kind: Kind::Number { min: 0.01, max: 0.25, default: Some(0.05) },
        },
        Parameter {
            name: "subpixel",
            summary: "harris and shi_tomasi: whether each point is moved to where its response peaks between the \
                      centres of pixels, by at most half a pixel.",
            unit: None,
            kind: Kind::Flag { default: Some(false) },
        },
        Parameter {
            name: "fast_threshold",
            summary: "fast and orb: by more than so many of 255 levels of grey the arc differs from its centre. \
                      Without it, 10 (fast) or 20 (orb).",
            unit: None,
            kind: Kind::Integer { min: 1, max: 254, default: None },
        },
        Parameter {
            name: "scale_factor",
            summary: "orb: so many times each level of the pyramid is smaller than the one before.",
            unit: None,
            kind: Kind::Number { min: 1.05, max: 4.0, default: Some(1.2) },
        },
        Parameter {
            name: "levels",
            summary: "orb: so many levels the pyramid has; those too small for a patch of 31 px have no points.",
            unit: None,
            kind: Kind::Integer { min: 1, max: 16, default: Some(8) },
        },
        window::REGION,
    ],
    ordered: &[],
    dependent: Some(by_method),
    list: Some("points"),
};

const CLASS: Class = Class { name: "Point of interest", color: [240, 228, 66] };
const RESPONSE: Column = Column { name: "response", unit: None, digits: Digits::Significant(6) };

static SCHEMA: Schema =
    Schema { list: "points", class: CLASS, columns: &[RESPONSE], labels: &[], radius: None, opposite: None };

static ORB_SCHEMA: Schema = Schema {
    list: "points",
    class: CLASS,
    columns: &[
        RESPONSE,
        // It is measured from the x axis towards the y axis: clockwise, as seen.
        Column { name: "angle", unit: Some("deg"), digits: Digits::Decimals(2) },
        // The level of the pyramid, and the size of its pixels in pixels of the image.
        Column { name: "octave", unit: None, digits: Digits::Decimals(0) },
        Column { name: "scale", unit: None, digits: Digits::Decimals(4) },
        // The radius of the patch whose angle is given.
        Column { name: "radius", unit: Some("px"), digits: Digits::Decimals(3) },
    ],
    labels: &[],
    // Discs of many levels would hide the image and each other, so they are not drawn.
    radius: None,
    opposite: None,
};

/// The default of `fast_threshold`, which depends on the method.
fn by_method(parameters: &Parameters) -> Vec<(&'static str, Value)> {
    let threshold = match parameters.0.get("method").and_then(Value::as_str) {
        Some("fast") => 10,
        Some("orb") => 20,
        _ => return Vec::new(),
    };
    vec![("fast_threshold", threshold.into())]
}

#[derive(Deserialize)]
pub(crate) struct Settings {
    method: Method,
    max_points: usize,
    min_distance: usize,
    sigma: f64,
    threshold: f32,
    k: f32,
    subpixel: bool,
    /// Only `fast` and `orb` use it, and for them it has a default.
    #[serde(default)]
    fast_threshold: u8,
    scale_factor: f32,
    levels: usize,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    Harris,
    ShiTomasi,
    Fast,
    Orb,
}

impl Algorithm for Settings {
    const SPECIFICATION: &'static Specification = &SPECIFICATION;

    fn memory(&self, [width, height]: [usize; 2]) -> u64 {
        let pixels = width.saturating_mul(height);
        let planes = match self.method {
            // The response, and the rows of the maximum filter, which may be as many as the plane has.
            Method::Harris | Method::ShiTomasi => 2 * size_of::<f32>(),
            // The grey, and of every fourth pixel at most a corner, which is sorted into another place.
            Method::Fast => 1 + 2 * CORNER / 4,
            // The grey of two levels, and of every fourth pixel at most a corner, and the same with its response.
            Method::Orb => 2 + (2 * CORNER + size_of::<f32>()).div_ceil(4),
        };
        bytes(pixels, planes).saturating_add(ROWS)
    }

    fn detect(&self, scene: &Scene<'_>) -> Result<Findings, DetectError> {
        match self.method {
            Method::Harris => tensor_corners(self, Measure::Harris { k: self.k }, scene),
            Method::ShiTomasi => tensor_corners(self, Measure::ShiTomasi, scene),
            Method::Fast => fast_corners(self, scene),
            Method::Orb => orb_keypoints(self, scene),
        }
    }
}

/// The bytes of a corner of FAST, and those of the rows in use and of the points that are wanted.
const CORNER: usize = size_of::<fast::Corner>();
const ROWS: u64 = 32 << 20;

fn tensor_corners(settings: &Settings, measure: Measure, scene: &Scene<'_>) -> Result<Findings, DetectError> {
    let Scene { window, deadline, .. } = *scene;
    let mut findings = Findings::new(&SCHEMA);
    if window.is_of_one_colour() {
        return Ok(findings);
    }
    let Settings { sigma, min_distance, threshold, max_points, .. } = *settings;
    let response = tensor::respond(window, measure, sigma, deadline)?;
    let memory = scene.memory.beside(bytes(response.values.len(), 2 * size_of::<f32>()).saturating_add(ROWS));
    for peak in peaks::find(&response, min_distance, threshold, max_points, memory, deadline)? {
        let (dx, dy) = if settings.subpixel { response.refine(&peak) } else { (0.0, 0.0) };
        let (x, y) = window.place(f64::from(peak.column) + 0.5 + dx, f64::from(peak.row) + 0.5 + dy);
        findings.push(x, y, [f64::from(peak.response)]);
    }
    Ok(findings)
}

fn fast_corners(settings: &Settings, scene: &Scene<'_>) -> Result<Findings, DetectError> {
    let Scene { window, deadline, .. } = *scene;
    let grey = fast::Plane::of(window, deadline)?;
    let corners = fast::corners(&grey, settings.fast_threshold, deadline)?;
    let mut findings = Findings::new(&SCHEMA);
    for corner in fast::sorted(&corners, deadline)?.iter().take(settings.max_points) {
        let (x, y) = window.place(f64::from(corner.column) + 0.5, f64::from(corner.row) + 0.5);
        findings.push(x, y, [f64::from(corner.score)]);
    }
    Ok(findings)
}

fn orb_keypoints(settings: &Settings, scene: &Scene<'_>) -> Result<Findings, DetectError> {
    let Scene { window, deadline, .. } = *scene;
    let pyramid = orb::Settings {
        max_points: settings.max_points,
        threshold: settings.fast_threshold,
        scale_factor: settings.scale_factor,
        levels: settings.levels,
    };
    let mut findings = Findings::new(&ORB_SCHEMA);
    for keypoint in orb::keypoints(fast::Plane::of(window, deadline)?, &pyramid, deadline)? {
        let (x, y) = window.place(keypoint.x, keypoint.y);
        let [response, angle, scale] = [keypoint.response, keypoint.angle, keypoint.scale].map(f64::from);
        findings.push(x, y, [response, angle, f64::from(keypoint.level), scale, orb::RADIUS * scale]);
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_and_the_settings_agree() {
        let run = SPECIFICATION.resolve(&Parameters::default()).expect("defaults are valid");
        let settings: Settings = run.parameters.parse().expect("the settings read every parameter");
        assert_eq!((settings.max_points, settings.min_distance), (500, 10));
        assert_eq!((SPECIFICATION.list, ORB_SCHEMA.list), (Some(SCHEMA.list), SCHEMA.list));
    }
}
