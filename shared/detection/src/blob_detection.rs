//! `blob_detection`: bright and dark spots of any size in a range, by scale-space extrema.
//!
//! With equal parameters the result is that of scikit-image 0.26's `blob_log`, `blob_dog` and `blob_doh` on the same
//! grey (see `grey`), in the same order:
//!
//! 1. A stack of planes, one for each scale (`gaussian`, `hessian`). For σ, `log` is −σ² times the Laplacian of the
//!    Gaussian; `dog` is the difference of the Gaussians of σ and of σ · `sigma_ratio`, divided by `sigma_ratio` − 1;
//!    and `doh` is the determinant of the Hessian, by box filters on an integral image. At the border the image is
//!    mirrored (`log`, `dog`), or the boxes are moved back inside (`doh`).
//! 2. A candidate is a place that no neighbour surpasses, in its plane or in the planes above and below (`extrema`),
//!    and that is above the threshold: `threshold`, or `threshold_rel` times the greatest candidate, whichever is
//!    greater.
//! 3. Of two candidates whose discs share more than `overlap` of the smaller one, the one with the smaller σ is removed
//!    (`prune`).
//! 4. The remaining candidates are the blobs, in descending order of response.
//!
//! `polarity` is not part of scikit-image. For `log` and `dog`, `dark` gives the blobs of the inverted image, and
//! `both` gives the two lists together, each pruned by itself. The determinant finds bright and dark blobs alike; for
//! `doh`, `bright` and `dark` keep the candidates whose Laplacian has that sign.
//!
//! The stack is never held as a whole. The image is divided into tiles of about a thousand pixels across, with as much
//! around each as the kernels reach, and three planes of a tile's stack are held at a time. So memory does not grow
//! with the image (except for `doh`, see `hessian`). The division into tiles does not change the result.
//!
//! All three methods are many times as fast as scikit-image's (`infra/bench`). Beside the image, `log` and `dog` hold
//! less than one float plane, `doh` less than three.

mod candidates;
mod extrema;
mod gaussian;
mod hessian;
mod prune;
mod pyramid;
mod tiles;
mod upsample;

use algorithm::{Kind, Parameter, Parameters, Specification};
use imaging::Deadline;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Class, Column, DetectError, Digits, Findings, Schema,
    algorithm::{Algorithm, Scene, bytes},
    window::{self, Window},
};

use candidates::{Candidate, Candidates};
use tiles::Stack;

/// The parameters and the result of `blob_detection`.
pub(crate) static SPECIFICATION: Specification = Specification {
    name: "blob_detection",
    version: "4",
    summary: "Finds blobs: bright or dark spots with their sizes, strongest first.",
    references: &[
        "T. Lindeberg: Feature detection with automatic scale selection, International Journal of Computer Vision 30, \
         1998, doi:10.1023/A:1008045108935",
        "D. Lowe: Distinctive image features from scale-invariant keypoints, International Journal of Computer Vision \
         60, 2004, doi:10.1023/B:VISI.0000029664.99615.94",
        "H. Bay, A. Ess, T. Tuytelaars, L. Van Gool: Speeded-up robust features (SURF), Computer Vision and Image \
         Understanding 110, 2008, doi:10.1016/j.cviu.2007.09.014",
        "scikit-image 0.26: blob_log, blob_dog, blob_doh",
    ],
    parameters: &[
        Parameter {
            name: "method",
            summary: "Laplacian of Gaussian (most accurate), difference of Gaussians, or determinant of the Hessian \
                      by box filters (fastest; not below a σ of 3).",
            unit: None,
            kind: Kind::Choice { values: &["log", "dog", "doh"], default: Some("log") },
        },
        Parameter {
            name: "min_sigma",
            summary: "The smallest blobs: standard deviation of the finest Gaussian, at most max_sigma.",
            unit: Some("px"),
            kind: Kind::Number { min: 0.5, max: MAX_SIGMA, default: Some(3.0) },
        },
        Parameter {
            name: "max_sigma",
            summary: "The largest blobs: standard deviation of the coarsest Gaussian.",
            unit: Some("px"),
            kind: Kind::Number { min: 0.5, max: MAX_SIGMA, default: Some(10.0) },
        },
        Parameter {
            name: "num_sigma",
            summary: "log and doh: so many scales, evenly spaced from min_sigma to max_sigma.",
            unit: None,
            kind: Kind::Integer { min: 1, max: 50, default: Some(8) },
        },
        Parameter {
            name: "sigma_ratio",
            summary: "dog: the ratio of one scale to the one before.",
            unit: None,
            kind: Kind::Number { min: 1.05, max: 3.0, default: Some(1.6) },
        },
        Parameter {
            name: "threshold",
            summary: "The least response. Without it, 0 if threshold_rel is given, else 0.05 (log, dog) or 0.001 (doh).",
            unit: None,
            kind: Kind::Number { min: 0.0, max: 10.0, default: None },
        },
        Parameter {
            name: "threshold_rel",
            summary: "The least response, as a part of the greatest one. With threshold, the greater of both holds.",
            unit: None,
            kind: Kind::Number { min: 0.0, max: 1.0, default: None },
        },
        Parameter {
            name: "overlap",
            summary: "Of two blobs that share more than this part of the smaller one's area, the smaller goes.",
            unit: None,
            kind: Kind::Number { min: 0.0, max: 1.0, default: Some(0.5) },
        },
        Parameter {
            name: "polarity",
            summary: "Bright blobs on darker ground, dark ones on brighter, or both. Without it, as in scikit-image: \
                      bright for log and dog, both for doh.",
            unit: None,
            kind: Kind::Choice { values: &["bright", "dark", "both"], default: None },
        },
        Parameter {
            name: "max_blobs",
            summary: "At most so many blobs: those of the strongest response.",
            unit: None,
            kind: Kind::Integer { min: 1, max: 100_000, default: Some(100_000) },
        },
        window::REGION,
    ],
    ordered: &[["min_sigma", "max_sigma"]],
    dependent: Some(by_method),
    list: Some("blobs"),
};

const MAX_SIGMA: f64 = 100.0;

static SCHEMA: Schema = Schema {
    list: "blobs",
    class: Class { name: "Blob", color: [240, 228, 66] },
    columns: &[
        Column { name: "sigma", unit: Some("px"), digits: Digits::Decimals(4) },
        Column { name: "radius", unit: Some("px"), digits: Digits::Decimals(3) },
        Column { name: "response", unit: None, digits: Digits::Significant(6) },
        // It is 1 for a bright blob and −1 for a dark one.
        Column { name: "polarity", unit: None, digits: Digits::Decimals(0) },
    ],
    labels: &[],
    radius: Some(1),
    // The colour of dark blobs.
    opposite: Some((3, [86, 180, 233])),
};

/// The defaults of the threshold and of the polarity, as in scikit-image for each method.
fn by_method(parameters: &Parameters) -> Vec<(&'static str, Value)> {
    let given = |name: &str| parameters.0.get(name);
    let (threshold, polarity) = match given("method").and_then(Value::as_str) {
        Some("doh") => (0.001, "both"),
        _ => (0.05, "bright"),
    };
    let threshold = if given("threshold_rel").is_some() { 0.0 } else { threshold };
    vec![("threshold", threshold.into()), ("polarity", polarity.into())]
}

#[derive(Deserialize)]
pub(crate) struct Settings {
    method: Method,
    min_sigma: f64,
    max_sigma: f64,
    num_sigma: usize,
    sigma_ratio: f64,
    /// An absolute threshold; `threshold_rel` is relative to the greatest response.
    threshold: f64,
    threshold_rel: Option<f64>,
    overlap: f64,
    polarity: Polarity,
    max_blobs: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    Log,
    Dog,
    Doh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Polarity {
    Bright,
    Dark,
    Both,
}

impl Algorithm for Settings {
    const SPECIFICATION: &'static Specification = &SPECIFICATION;

    fn memory(&self, [width, height]: [usize; 2]) -> u64 {
        let pixels = width.saturating_mul(height);
        // The image summed up; only this method has it.
        let plane = if self.method == Method::Doh { size_of::<f64>() } else { 0 };
        // Candidates of both polarities, twice as many as are kept; one polarity after the other is pruned then.
        let most = pixels.saturating_mul(self.num_sigma).min(candidates::MOST);
        let candidates = bytes(4 * most, size_of::<Candidate>());
        let discs = bytes(most, size_of::<Candidate>() + size_of::<prune::Disc>() + 2 * size_of::<Blob>());
        let pairs = bytes(most.saturating_mul(most).min(prune::MOST_PAIRS), size_of::<prune::Pair>());
        let searched = bytes(pixels, plane);
        candidates.saturating_add(searched.max(discs.saturating_add(pairs))).saturating_add(AROUND_TILES)
    }

    fn detect(&self, scene: &Scene<'_>) -> Result<Findings, DetectError> {
        let Scene { window, deadline, .. } = *scene;
        let mut findings = Findings::new(&SCHEMA);
        if window.is_of_one_colour() {
            return Ok(findings);
        }
        for blob in find(window, self, deadline)?.into_iter().take(self.max_blobs) {
            let (x, y) = window.place(f64::from(blob.column) + 0.5, f64::from(blob.row) + 0.5);
            findings.push(x, y, [blob.sigma, blob.radius, blob.response, blob.polarity]);
        }
        Ok(findings)
    }
}

/// A blob in the window: its pixel, and its values in the result.
#[derive(Clone, Copy)]
struct Blob {
    row: u32,
    column: u32,
    sigma: f64,
    radius: f64,
    response: f64,
    /// 1 for a bright blob, −1 for a dark one.
    polarity: f64,
}

/// The bytes of a tile's planes, with as much around it as the widest filters reach.
const AROUND_TILES: u64 = 48 << 20;

fn find(window: Window<'_>, settings: &Settings, deadline: Deadline) -> Result<Vec<Blob>, DetectError> {
    let sigmas = settings.sigmas();
    let mut blobs = Vec::new();
    for candidates in candidates(window, settings, &sigmas, deadline)?.into_iter().flatten() {
        let candidates = candidates.sorted(deadline)?;
        let kept: Vec<Candidate> = match (settings.method, settings.polarity) {
            (Method::Doh, Polarity::Bright) => candidates.into_iter().filter(|c| !c.is_dark).collect(),
            (Method::Doh, Polarity::Dark) => candidates.into_iter().filter(|c| c.is_dark).collect(),
            _ => candidates,
        };
        blobs.extend(prune(&kept, &sigmas, settings, deadline)?);
    }
    // The sort is stable: blobs of equal response stay by polarity, row and column.
    blobs.sort_by(|a, b| b.response.total_cmp(&a.response));
    Ok(blobs)
}

/// The maxima of the stack, and those of the inverted image's stack, as far as they are wanted.
fn candidates(
    window: Window<'_>,
    settings: &Settings,
    sigmas: &[f64],
    deadline: Deadline,
) -> Result<[Option<Candidates>; 2], DetectError> {
    let mut log;
    let mut dog;
    let mut doh;
    let stack: &mut dyn Stack = match settings.method {
        Method::Log => {
            log = gaussian::Laplacians::new(window, sigmas);
            &mut log
        }
        Method::Dog => {
            dog = gaussian::Differences::new(window, sigmas, settings.sigma_ratio);
            &mut dog
        }
        Method::Doh => {
            doh = hessian::Determinants::new(window, sigmas, deadline)?;
            &mut doh
        }
    };
    let side = |wanted: bool| wanted.then(|| Candidates::above(settings.threshold, settings.threshold_rel));
    let [mut bright, mut dark] = settings.sides().map(side);
    tiles::search(&window, stack, &mut bright, &mut dark, deadline)?;
    Ok([bright, dark])
}

fn prune(
    candidates: &[Candidate],
    sigmas: &[f64],
    settings: &Settings,
    deadline: Deadline,
) -> Result<Vec<Blob>, DetectError> {
    let sigma = |c: &Candidate| sigmas[c.layer as usize];
    let disc =
        |c: &Candidate| prune::Disc { row: f64::from(c.row), column: f64::from(c.column), sigma: sigma(c) };
    let discs: Vec<prune::Disc> = candidates.iter().map(disc).collect();
    let stays = prune::survivors(&discs, settings.overlap, deadline)?;
    let radius = if settings.method == Method::Doh { 1.0 } else { std::f64::consts::SQRT_2 };
    let blob = |c: &Candidate| Blob {
        row: c.row,
        column: c.column,
        sigma: sigma(c),
        radius: radius * sigma(c),
        response: c.response,
        polarity: if c.is_dark { -1.0 } else { 1.0 },
    };
    Ok(candidates.iter().zip(stays).filter(|(_, stays)| *stays).map(|(c, _)| blob(c)).collect())
}

impl Settings {
    /// The scales, ascending: `numpy.linspace`, and for `dog` a geometric series with one more than there are planes.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    fn sigmas(&self) -> Vec<f64> {
        let (least, greatest) = (self.min_sigma, self.max_sigma);
        if self.method == Method::Dog {
            let planes = ((greatest / least).ln() / self.sigma_ratio.ln() + 1.0) as i32;
            return (0..=planes).map(|i| least * self.sigma_ratio.powi(i)).collect();
        }
        let step = (greatest - least) / (self.num_sigma.max(2) - 1) as f64;
        let mut sigmas: Vec<f64> = (0..self.num_sigma).map(|i| least + i as f64 * step).collect();
        if let [_, .., last] = &mut sigmas[..] {
            *last = greatest;
        }
        sigmas
    }

    /// Whether the maxima of the image's stack are wanted, and whether those of the inverted image's stack are.
    fn sides(&self) -> [bool; 2] {
        match (self.method, self.polarity) {
            (Method::Doh, _) | (_, Polarity::Bright) => [true, false],
            (_, Polarity::Dark) => [false, true],
            (_, Polarity::Both) => [true, true],
        }
    }
}
