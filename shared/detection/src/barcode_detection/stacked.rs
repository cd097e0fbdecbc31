//! PDF417: found by its first and last bars, straightened, and read by `rxing`, which gives wrong places for a code
//! that is turned.

use imaging::{Deadline, TimedOut};
use rxing::BarcodeFormat;

use super::{linear::Guard, matrix, picture::Picture};
use crate::DetectError;

/// The width of a module, in pixels, in the picture that `rxing` reads, and the number of light modules around the
/// code.
const MODULE: f64 = 4.0;
const QUIET: f64 = 4.0;
/// The number of modules of a start pattern, with the space after its last bar, and of the narrowest and the widest
/// code.
const START_MODULES: f64 = 14.0;
const NARROWEST: f64 = 69.0;
const WIDEST: f64 = 583.0;
/// The most pixels of the picture that `rxing` reads.
const MOST_PIXELS: f64 = 8e6;

/// A code, and its corners in the order of a walk around it.
pub(super) struct Stacked {
    pub(super) text: String,
    pub(super) corners: [[f64; 2]; 4],
}

/// Reads the codes between each start and stop pattern that belong together.
pub(super) fn codes(
    picture: &Picture,
    guards: &[Guard],
    deadline: Deadline,
) -> Result<Vec<Stacked>, DetectError> {
    let mut codes = Vec::new();
    for start in guards.iter().filter(|guard| guard.is_start) {
        let stops = guards.iter().filter(|guard| !guard.is_start);
        let mut pairs: Vec<_> = stops.filter_map(|stop| Some((pair(start, stop)?, stop))).collect();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (modules, stop) in pairs {
            deadline.check()?;
            let corners = [start.corners[0], stop.corners[1], stop.corners[2], start.corners[3]];
            let Some(straight) = straightened(picture, corners, modules, deadline)? else { continue };
            if let Some(code) = matrix::single(straight, BarcodeFormat::PDF_417, deadline)? {
                codes.push(Stacked { text: code.text, corners });
                break;
            }
        }
    }
    Ok(codes)
}

/// The number of modules of the code between a start and a stop; `None` where they do not lie beside each other.
fn pair(start: &Guard, stop: &Guard) -> Option<f64> {
    let distance = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let [left, _, _, below] = start.corners;
    let [_, right, end, _] = stop.corners;
    let heights = [distance(left, below), distance(right, end)];
    let module = distance(start.corners[0], start.corners[1]) / START_MODULES;
    let along = [0, 1].map(|axis| (start.corners[1][axis] - left[axis]) / (START_MODULES * module));
    let way = [0, 1].map(|axis| (right[axis] + end[axis] - left[axis] - below[axis]) / 2.0);
    let ahead = way[0] * along[0] + way[1] * along[1];
    let aside = (way[1] * along[0] - way[0] * along[1]).abs();
    let modules = ahead / module;
    let alike = (0.7..1.43).contains(&(heights[0] / heights[1]));
    (alike && aside < heights[0].min(0.3 * ahead) && (0.8 * NARROWEST..1.2 * WIDEST).contains(&modules))
        .then_some(modules)
}

/// The picture between corners, straightened, with light around it.
fn straightened(
    picture: &Picture,
    corners: [[f64; 2]; 4],
    modules: f64,
    deadline: Deadline,
) -> Result<Option<Picture>, TimedOut> {
    let [top_left, top_right, bottom_right, bottom_left] = corners;
    let length = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let width = modules * MODULE;
    let height = width * (length(top_left, bottom_left) + length(top_right, bottom_right))
        / (length(top_left, top_right) + length(bottom_left, bottom_right));
    let quiet = QUIET * MODULE;
    let size = [width, height].map(|side| (side + 2.0 * quiet).round());
    if size[0] * size[1] > MOST_PIXELS || height < 3.0 * MODULE {
        return Ok(None);
    }
    let place = |x: f64, y: f64| {
        let (across, down) = ((x - quiet) / width, (y - quiet) / height);
        let inside = (0.0..=1.0).contains(&across) && (0.0..=1.0).contains(&down);
        inside.then(|| {
            [0, 1].map(|axis| {
                let upper = top_left[axis] + (top_right[axis] - top_left[axis]) * across;
                let lower = bottom_left[axis] + (bottom_right[axis] - bottom_left[axis]) * across;
                upper + (lower - upper) * down
            })
        })
    };
    let value = |x: f64, y: f64| place(x, y).map_or(u8::MAX, |place| picture.sample(place).round() as u8);
    Picture::drawn(size.map(|side| side as usize), value, deadline).map(Some)
}
