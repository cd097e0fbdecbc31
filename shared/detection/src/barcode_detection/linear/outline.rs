//! The corners of a symbol of which one line across has been read: how far its bars go, and in which direction.

use imaging::{Deadline, TimedOut};

use super::{super::picture::Picture, Row};

/// The number of lines across a symbol between two checks of the deadline.
const STEPS_PER_CHECK: usize = 256;

/// The least correlation of a line with the one that was read, for it to cross the same bars.
const ALIKE: f64 = 0.6;
/// The least correlation, in size, of a line's values with an alternation of equal bars and spaces, for it to cross
/// bars at all.
const BARS: f64 = 0.4;
/// The least strength of the bars on a line, as a part of that nearer to the line that was read. Where bars end within
/// a pixel, they have half their strength.
const STRONG: f64 = 0.5;
/// The number of consecutive lines that may look different, where bars are scratched or something lies on them; and the
/// same as a part of the symbol's length.
const GAP: usize = 4;
const GAP_PART: f64 = 0.02;
/// The most that the bars may move along the line from one line to the next, in pixels.
const LEAN: f64 = 0.3;
/// The gain in correlation for which a movement of the bars is accepted.
const BETTER: f64 = 0.004;
/// The most by which the bars at both ends are longer than the others, as a part of the symbol's length: those of EAN
/// are longer.
const LONGER: f64 = 0.16;

/// The places at which lines across a symbol are compared: the middles of its bars and spaces, and the light on either
/// side.
struct Probe {
    /// Along the line.
    places: Vec<f64>,
    /// The values there on the line that was read, less their mean.
    reference: Vec<f64>,
}

impl Probe {
    fn of(places: Vec<f64>, look: impl Fn(f64) -> f64) -> Self {
        let mut reference: Vec<f64> = places.iter().map(|place| look(*place)).collect();
        let mean = reference.iter().sum::<f64>() / reference.len() as f64;
        reference.iter_mut().for_each(|it| *it -= mean);
        Self { places, reference }
    }

    /// The correlation of another line with the one that was read, and the strength of its bars relative to that
    /// line's.
    fn compare(&self, look: impl Fn(f64) -> f64) -> (f64, f64) {
        let seen: Vec<f64> = self.places.iter().map(|place| look(*place)).collect();
        let mean = seen.iter().sum::<f64>() / seen.len() as f64;
        let (mut own, mut theirs, mut both) = (0.0, 0.0, 0.0);
        for (seen, reference) in seen.iter().zip(&self.reference) {
            let seen = seen - mean;
            own += reference * reference;
            theirs += seen * seen;
            both += seen * reference;
        }
        let alike = both / (own * theirs).sqrt();
        if alike.is_finite() { (alike, both / own) } else { (0.0, 0.0) }
    }
}

/// A coordinate system around the middle of the line that was read: along the line, and along the bars.
#[derive(Clone, Copy)]
struct Frame {
    origin: [f64; 2],
    along: [f64; 2],
    down: [f64; 2],
}

impl Frame {
    fn place(self, along: f64, aside: f64) -> [f64; 2] {
        [0, 1].map(|axis| self.origin[axis] + self.along[axis] * along + self.down[axis] * aside)
    }
}

/// The place where bars end on one side of the line that was read.
#[derive(Clone, Copy, Default)]
struct End {
    /// The distance from the line.
    aside: f64,
    /// The distance that the bars have moved along the line there, for each pixel away from it.
    lean: f64,
}

/// The distance that bars move along the line for each pixel away from it.
#[derive(Clone, Copy)]
pub(super) enum Lean {
    /// An estimate, to be refined by measuring.
    About(f64),
    Exactly(f64),
}

/// The corners of the symbol that a row has read, in the order of a walk around it; `None` where there are no bars.
///
/// # Errors
/// [`TimedOut`] when the deadline passes.
pub(super) fn outline(
    picture: &Picture,
    row: &Row,
    lean: Lean,
    deadline: Deadline,
) -> Result<Option<[[f64; 2]; 4]>, TimedOut> {
    let (Some(first), Some(last)) = (row.edges.first(), row.edges.last()) else { return Ok(None) };
    let (first, last) = (f64::from(*first), f64::from(*last));
    let middle = (first + last) / 2.0;
    let [x, y] = row.line.along;
    let slanted = Frame { origin: row.line.place(middle, 0.0), along: [x, y], down: [-y, x] };
    let edges: Vec<f64> = row.edges.iter().map(|edge| f64::from(*edge) - middle).collect();
    let lean = match lean {
        Lean::About(lean) => measured_lean(picture, slanted, &edges, lean, deadline)?,
        Lean::Exactly(lean) => lean,
    };

    // Lines are taken at right angles to the bars, unless the picture would cut them short.
    let (sine, cosine) = (-lean.atan()).sin_cos();
    let along = [x * cosine - y * sine, y * cosine + x * sine];
    let upright = Frame { along, down: [-along[1], along[0]], ..slanted };
    let half = (last - middle) * cosine;
    let is_inside = [-half, half].iter().all(|end| picture.holds(upright.place(*end, 0.0)));
    let (frame, edges) = if is_inside {
        (upright, edges.iter().map(|edge| edge * cosine).collect())
    } else {
        (Frame { down: [x * lean - y, y * lean + x], ..slanted }, edges)
    };

    let Some(half) = edges.last() else { return Ok(None) };
    let length = 2.0 * half;
    let places = places(&edges);
    // The row was a mean of several lines, so this one line may lie beside the bars.
    let pattern =
        Probe { reference: places.iter().zip([1.0, -1.0].iter().cycle()).map(|it| *it.1).collect(), places };
    if pattern.compare(|along| picture.sample(frame.place(along, 0.0)).into()).0.abs() < BARS {
        return Ok(None);
    }
    let places = pattern.places;
    let (left, right) = places.split_at(places.len() / 2);
    let ends = |places: &[f64]| {
        let probe = Probe::of(places.to_vec(), |along| picture.sample(frame.place(along, 0.0)).into());
        let end = |down: f64| reach(picture, frame, &probe, down, length, deadline);
        Ok([end(-1.0)?, end(1.0)?])
    };
    let (left, right) = (ends(left)?, ends(right)?);
    let corner = |along: f64, end: usize| {
        let [left, right] = [left[end], right[end]];
        let [longer_left, longer_right] = longer(picture, frame, &edges, [left, right], length);
        let is_left = along < 0.0;
        let aside = if longer_left != 0.0 {
            if is_left { left.aside + longer_left } else { right.aside + longer_right }
        } else if (left.aside - right.aside).abs() > 0.08 * length {
            if left.aside.abs() > right.aside.abs() { left.aside } else { right.aside }
        } else {
            // Each half's end is measured at the middle of that half.
            (left.aside + right.aside) / 2.0 + (right.aside - left.aside) / half * along
        };
        frame.place(along + aside * if is_left { left.lean } else { right.lean }, aside)
    };
    let corners = [corner(-half, 0), corner(*half, 0), corner(*half, 1), corner(-half, 1)];
    Ok(corners.iter().flatten().all(|it| it.is_finite()).then_some(corners))
}

/// The middles of bars and spaces, and a place in the light on either side.
fn places(edges: &[f64]) -> Vec<f64> {
    let module = (edges[edges.len() - 1] - edges[0]) / (2.0 * edges.len() as f64);
    let mut places = vec![edges[0] - 2.0 * module];
    places.extend(edges.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0));
    places.push(edges[edges.len() - 1] + 2.0 * module);
    places
}

/// Follows the bars to a line `aside`. Returns the shift along the line with the best correlation, out of the expected
/// shift and one on either side of it, with that correlation and the strength of the bars.
fn followed(picture: &Picture, frame: Frame, probe: &Probe, shift: f64, aside: f64) -> (f64, f64, f64) {
    let at = |shift: f64| {
        let (alike, strong) = probe.compare(|along| picture.sample(frame.place(along + shift, aside)).into());
        (shift, alike, strong)
    };
    [shift - LEAN, shift + LEAN]
        .map(at)
        .into_iter()
        .fold(at(shift), |best, other| if other.1 > best.1 + BETTER { other } else { best })
}

/// Measures how far the bars move from one line to the next, beginning with the estimate `lean`.
fn measured_lean(
    picture: &Picture,
    frame: Frame,
    edges: &[f64],
    lean: f64,
    deadline: Deadline,
) -> Result<f64, TimedOut> {
    let probe = Probe::of(places(edges), |along| picture.sample(frame.place(along, 0.0)).into());
    let (mut count, mut sums) = (1.0, [0.0; 4]);
    for down in [-1.0, 1.0] {
        let (mut shift, mut missed) = (0.0, 0);
        for step in 1..picture.width + picture.height {
            if step % STEPS_PER_CHECK == 0 {
                deadline.check()?;
            }
            let aside = down * step as f64;
            let (better, alike, _) = followed(picture, frame, &probe, shift + down * lean, aside);
            if alike < ALIKE || !picture.holds(frame.place(better, aside)) {
                missed += 1;
                if missed > GAP {
                    break;
                }
                shift += down * lean;
                continue;
            }
            (shift, missed) = (better, 0);
            count += 1.0;
            let terms = [aside, shift, aside * aside, aside * shift];
            sums = std::array::from_fn(|index| sums[index] + terms[index]);
        }
    }
    let [aside, shift, square, product] = sums;
    let spread = count * square - aside * aside;
    // Too few lines do not tell.
    Ok(if count < 6.0 || spread <= 0.0 { lean } else { (count * product - aside * shift) / spread })
}

/// Follows the bars up or down from the line that was read to their end.
fn reach(
    picture: &Picture,
    frame: Frame,
    probe: &Probe,
    down: f64,
    length: f64,
    deadline: Deadline,
) -> Result<End, TimedOut> {
    let gap = GAP.max((GAP_PART * length) as usize);
    let (mut end, mut missed, mut usual) = (0.5, 0, 1.0_f64);
    // These are the step, the shift and the strength of the last line that correlated.
    let (mut last, mut shift, mut before) = (0, 0.0, 1.0);
    for step in 1..picture.width + picture.height {
        if step % STEPS_PER_CHECK == 0 {
            deadline.check()?;
        }
        let aside = down * step as f64;
        if !picture.holds(frame.place(shift, aside)) {
            break;
        }
        let (moved, alike, strong) = followed(picture, frame, probe, shift, aside);
        if alike >= ALIKE && strong >= STRONG * usual {
            (last, shift, missed, before) = (step, moved, 0, strong);
            usual += (strong - usual) / 8.0;
            end = step as f64 + 0.5;
            continue;
        }
        if missed == 0 {
            // The bars fall to half their strength between the last line and this one.
            let part = (before - STRONG * usual) / (before - strong.max(0.0)).max(1e-6);
            end = last as f64 + part.clamp(0.0, 1.0);
        }
        missed += 1;
        if missed > gap {
            break;
        }
    }
    Ok(End { aside: down * end, lean: shift / (down * (last as f64).max(1.0)) })
}

/// The distance that the bars at both ends go farther than the others; zeros where they do not, or only one of them
/// does.
fn longer(picture: &Picture, frame: Frame, edges: &[f64], ends: [End; 2], length: f64) -> [f64; 2] {
    let middles: Vec<f64> = edges.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
    let count = middles.len();
    if count < 8 {
        return [0.0; 2];
    }
    let sides = [[0, 1, 2], [count - 1, count - 2, count - 3]].map(|side| side.map(|index| middles[index]));
    let mut farther = [0.0; 2];
    for ((side, end), farther) in sides.iter().zip(ends).zip(&mut farther) {
        let down = end.aside.signum();
        // The mean of a few pixels along the bars has less noise.
        let look = |along: f64, aside: f64| {
            let near = [-1.0, 0.0, 1.0].map(|by| {
                let aside = aside + by;
                f64::from(picture.sample(frame.place(along + end.lean * aside, aside)))
            });
            near.iter().sum::<f64>() / 3.0
        };
        // This place is well within the bars, away from their ends.
        let inside = end.aside / 2.0;
        let [bar, space, next] = side.map(|along| look(along, inside));
        let level = (bar.max(next) + space) / 2.0;
        let mut missed = 0;
        for step in 1..=(LONGER * length) as usize {
            let aside = end.aside + down * (step as f64 - 0.5);
            let [bar, space, next] = side.map(|along| look(along, aside));
            if bar < level && next < level && space > level {
                (*farther, missed) = (down * step as f64, 0);
            } else {
                missed += 1;
                if missed > GAP {
                    break;
                }
            }
        }
    }
    let [left, right] = farther.map(f64::abs);
    if left.min(right) < 1.5 || (left - right).abs() > 3.0 + 0.25 * left.min(right) {
        [0.0; 2]
    } else {
        farther
    }
}
