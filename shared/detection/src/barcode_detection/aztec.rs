//! Aztec codes (ISO/IEC 24778): found here by their bullseye, and read by `rxing`, which looks for one only in the
//! middle of a picture.
//!
//! A bullseye is a set of squares within each other. A line through its middle crosses bars and spaces of equal width,
//! whichever way the code is turned: at least nine of them, of which the outermost may run into the data.

use imaging::Deadline;
use rxing::BarcodeFormat;

use super::{
    matrix,
    matrix::Matrix,
    picture::Picture,
    profile::{self, Bars},
};
use crate::DetectError;

/// One row in this many is searched: the innermost square is at least that high.
const ROWS: usize = 2;
/// The number of bars and spaces across the smaller bullseye.
const RINGS: usize = 9;
/// The width of a module, in pixels, in the picture that `rxing` reads.
const MODULE: f64 = 4.0;
/// The number of modules from the middle to the farthest corner: of the largest code with the small bullseye, and of
/// the largest code of all.
const RADII: [f64; 2] = [22.0, 110.0];
/// The most bullseyes that are read. A pattern of squares may have any number of them; a page has fewer.
const MOST: usize = 200;

/// The middle of a bullseye, and the width of its modules in pixels.
struct Bullseye {
    middle: [f64; 2],
    module: f64,
    /// The distance between the row that showed it and the middle that its column shows.
    off: f64,
}

/// The Aztec codes of a picture.
pub(super) fn codes(picture: &Picture, deadline: Deadline) -> Result<Vec<Matrix>, DetectError> {
    let mut codes: Vec<Matrix> = Vec::new();
    for Bullseye { middle, module, .. } in bullseyes(picture, deadline)? {
        deadline.check()?;
        let is_known = |code: &Matrix| {
            let [low, high] = [f64::min, f64::max].map(|pick| {
                [0, 1].map(|axis| code.corners.iter().map(|it| it[axis]).reduce(pick).unwrap_or_default())
            });
            (0..2).all(|axis| (low[axis]..=high[axis]).contains(&middle[axis]))
        };
        if codes.iter().any(is_known) {
            continue;
        }
        let scale = module / MODULE;
        for radius in RADII {
            let side = (2.0 * radius * MODULE) as usize | 1;
            let half = side as f64 / 2.0;
            let place = |at: [f64; 2]| [0, 1].map(|axis| middle[axis] + (at[axis] - half) * scale);
            let value = |x: f64, y: f64| {
                let place = place([x, y]);
                if picture.holds(place) { picture.sample(place).round() as u8 } else { u8::MAX }
            };
            let around = Picture::drawn([side; 2], value, deadline)?;
            if let Some(mut code) = matrix::single(around, BarcodeFormat::AZTEC, deadline)? {
                code.corners.iter_mut().for_each(|corner| *corner = place(*corner));
                codes.push(code);
                break;
            }
        }
    }
    Ok(codes)
}

/// The bullseyes of a picture, as the rows and then the columns through their middles show them.
fn bullseyes(picture: &Picture, deadline: Deadline) -> Result<Vec<Bullseye>, DetectError> {
    let mut found: Vec<Bullseye> = Vec::new();
    let (mut values, mut extremes) = (Vec::new(), Vec::new());
    // A code has more modules than its bullseye, each of a pixel at least.
    if picture.height < RINGS || picture.width < RINGS {
        return Ok(found);
    }
    for row in (0..picture.height).step_by(ROWS) {
        deadline.check()?;
        let y = row as f64 + 0.5;
        values.clear();
        values.extend(picture.grey[row * picture.width..][..picture.width].iter().map(|it| f32::from(*it)));
        let bars = profile::bars(&values, [true; 2], &mut extremes);
        for first in (0..bars.widths.len().saturating_sub(RINGS - 1)).step_by(2) {
            let Some((x, across)) = rings(&bars, first) else { continue };
            let Some((middle, down)) = column(picture, [x, y], across) else { continue };
            // Parallel slanted bars look like a bullseye in rows and in columns, but not along both diagonals.
            let diagonals =
                [-1.0, 1.0].map(|way| is_crossed(picture, [x, middle], way, f64::midpoint(across, down)));
            if diagonals != [true; 2] {
                continue;
            }
            let bullseye = Bullseye {
                middle: [x, middle],
                module: f64::midpoint(across, down),
                off: (middle - y).abs(),
            };
            // A bullseye is found in several rows; the one nearest to its middle shows it best.
            let same = |it: &&mut Bullseye| (it.middle[0] - x).hypot(it.middle[1] - y) < 3.0 * it.module;
            match found.iter_mut().find(same) {
                Some(known) if known.off > bullseye.off => *known = bullseye,
                Some(_) => {}
                None => found.push(bullseye),
            }
            if found.len() == MOST {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// If the bars and spaces from index `first` on may be those across a bullseye, the middle of them and the width of a
/// module.
fn rings(bars: &Bars, first: usize) -> Option<(f64, f64)> {
    let widths = bars.widths.get(first..first + RINGS)?;
    let [outer, inner @ .., last] = widths else { return None };
    let mean = inner.iter().sum::<f32>() / inner.len() as f32;
    let is_alike = inner.iter().all(|width| (0.6..1.5).contains(&(width / mean)));
    let middle = (bars.edges[first + 1] + bars.edges[first + RINGS - 1]) / 2.0;
    (is_alike && outer.min(*last) > 0.6 * mean).then_some((middle.into(), mean.into()))
}

/// The middle of a bullseye in the column through a place, and the width of its modules there.
fn column(picture: &Picture, [x, y]: [f64; 2], module: f64) -> Option<(f64, f64)> {
    let reach = (2.0 * module * (RINGS + 2) as f64).ceil();
    let from = (y - reach).max(0.5);
    let samples = ((y + reach).min(picture.height as f64 - 0.5) - from).floor() as usize + 1;
    let mut values = vec![0.0; samples];
    picture.add_line([x, from], [0.0, 1.0], 1.0, &mut values);
    let bars = profile::bars(&values, [false; 2], &mut Vec::new());
    (0..bars.widths.len().saturating_sub(RINGS - 1)).step_by(2).find_map(|first| {
        let (middle, down) = rings(&bars, first)?;
        let middle = from - 0.5 + middle;
        let fits = (middle - y).abs() < 1.5 * module && (0.45..2.2).contains(&(down / module));
        fits.then_some((middle, down))
    })
}

/// Whether a diagonal through a place, which goes up or down by a pixel for each pixel to the right, crosses the middle
/// of a bullseye there.
fn is_crossed(picture: &Picture, [x, y]: [f64; 2], way: f64, module: f64) -> bool {
    let step = [1.0, way].map(|it| it * std::f64::consts::FRAC_1_SQRT_2);
    let reach = (2.0 * module * (RINGS + 2) as f64).ceil();
    let mut values = vec![0.0; 2 * reach as usize + 1];
    picture.add_line([x - step[0] * reach, y - step[1] * reach], step, 1.0, &mut values);
    let bars = profile::bars(&values, [false; 2], &mut Vec::new());
    (0..bars.widths.len().saturating_sub(RINGS - 1)).step_by(2).any(|first| {
        rings(&bars, first).is_some_and(|(middle, width)| {
            (middle - 0.5 - reach).abs() < 1.5 * module && (0.45..2.2).contains(&(width / module))
        })
    })
}
