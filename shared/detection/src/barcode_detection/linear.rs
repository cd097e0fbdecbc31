//! Linear barcodes: regions of parallel bars are found, many lines across each are read, and a code is what the lines
//! agree on.
//!
//! 1. [`regions`]: the structure tensor tells where bars stand and in which direction, at the picture's size and at
//!    halves of it.
//! 2. [`profile`](super::profile): the edges along lines that cross a region at right angles to its bars, to fractions
//!    of a pixel.
//! 3. [`symbology`]: the text that the widths between edges stand for, forwards and backwards. Each symbology is a
//!    file.
//! 4. [`agreed`]: the texts that enough lines agree on and few contradict, with their corners ([`outline`]).

mod outline;
mod regions;
mod symbology;

use std::collections::HashMap;

use imaging::{Deadline, TimedOut};

use self::{
    outline::{Lean, outline},
    regions::{Region, regions},
    symbology::{Reading, START_TEXT, SYMBOLOGIES, Wanted},
};
use super::{
    picture::Picture,
    profile::{Bars, Line, SHORTEST, bars, sharpen},
};
use crate::DetectError;

/// A picture is halved as long as its shorter side does not become less than this.
const SMALLEST: usize = 48;
/// The number of lines across a region, as far as its height allows; lines are not closer to each other than a pixel,
/// nor farther apart than `FARTHEST`.
const LINES: f64 = 24.0;
const FARTHEST: f64 = 5.0;
/// One line in this many is read first.
const SPARSE: usize = 4;
/// The light beside a region that its lines extend into, in pixels and as a part of the region's extent.
const MARGIN: f64 = 32.0;
const MARGIN_PART: f64 = 0.15;
/// The number of lines that must look like those of a symbol for a region to be read in other ways, too.
const PROMISING: usize = 1;
/// The least height of bars, in pixels and as a part of the symbol's length. Lower ones arise by chance.
const LOWEST: f64 = 4.0;
const LOWEST_PART: f64 = 0.012;
/// The distance in pixels around a code that has been read within which bars are taken for its own: regions blur that
/// far.
const KNOWN: f64 = 14.0;
/// The most codes that are read. A page has fewer.
const MOST_CODES: usize = 1000;
/// The number of bars of a line between two checks of the deadline.
const BARS_PER_CHECK: usize = 64;
/// The number of lines on which the stop of a PDF417 is looked for from its start on, and the width of the widest code
/// in widths of its start.
const PARTNER_LINES: u32 = 12;
const WIDEST_IN_GUARDS: f64 = 45.0;
/// Where a bar is scratched or bent, one code may be read twice. Of two readings with the same text, one that lies
/// within this part of the other's length beside it is taken for a part of the other.
const PART: f64 = 0.05;
/// The direction of bars is measured on this many lines together; they cover this part of a region's height, and extend
/// at most so many pixels to either side of its middle.
const LANES: u32 = 12;
const LANES_PART: f64 = 0.6;
const LANES_HALF: f64 = 400.0;
/// The most by which a region's direction is off, in degrees.
const FARTHEST_OFF: i32 = 6;
/// The number of rows that are needed to tell how bars lean, and the least mean square of their distances, in pixels
/// squared.
const LEANING_ROWS: usize = 5;
const LEANING_SPREAD: f64 = 9.0;
/// The largest angle between upright bars and the nearest row or column of pixels, in degrees.
const UPRIGHT: f64 = 15.0;
/// Regions within this angle of upright are first read exactly along rows or columns, in degrees.
const NEARLY: f64 = 3.0;

/// One way of reading a region.
struct Pass {
    /// The number of pixels across a line whose mean is taken.
    thickness: usize,
    sharpened: f32,
    /// The distance from one sample to the next, in pixels.
    step: f64,
    way: Way,
    inverted: bool,
}

/// The direction of lines.
enum Way {
    /// At right angles to the bars.
    Across,
    /// Along the nearest row or column of pixels. Where the border of the picture cuts slanted bars short, such a line
    /// crosses more of them.
    Straight,
}

/// The ways of reading a region, tried in this order until one gives a code.
const PASSES: [Pass; 7] = [
    Pass { thickness: 3, sharpened: 0.0, step: 1.0, way: Way::Across, inverted: false },
    Pass { thickness: 3, sharpened: 1.0, step: 1.0, way: Way::Across, inverted: false },
    Pass { thickness: 1, sharpened: 0.8, step: 0.5, way: Way::Across, inverted: false },
    Pass { thickness: 1, sharpened: 0.4, step: 1.0, way: Way::Straight, inverted: false },
    Pass { thickness: 9, sharpened: 0.0, step: 1.0, way: Way::Across, inverted: false },
    Pass { thickness: 7, sharpened: 2.5, step: 1.0, way: Way::Across, inverted: false },
    Pass { thickness: 3, sharpened: 0.0, step: 1.0, way: Way::Across, inverted: true },
];

/// The corners of a code, in the order of a walk around it.
type Corners = [[f64; 2]; 4];

/// A linear code.
pub(super) struct Linear {
    pub(super) format: &'static str,
    pub(super) text: String,
    pub(super) corners: Corners,
    /// The number of lines that agree.
    rows: usize,
    /// One of those lines, and how the bars lean against it.
    row: Row,
    lean: Lean,
}

/// A reading of one line.
#[derive(Clone)]
struct Row {
    line: Line,
    /// The edges of its bars and spaces, in pixels from the line's start.
    edges: Vec<f32>,
    reading: Reading,
}

/// The first or the last bars of a PDF417.
pub(super) struct Guard {
    pub(super) is_start: bool,
    /// In the order of a walk around it, beginning with the corner before its first bar.
    pub(super) corners: [[f64; 2]; 4],
}

/// The linear codes of a picture, and the first and last bars of PDF417. Codes that are neither nearly upright nor lie
/// on their side are read only where `turned` is set.
pub(super) fn codes(
    picture: &Picture,
    wanted: Wanted<'_>,
    turned: bool,
    deadline: Deadline,
) -> Result<(Vec<Linear>, Vec<Guard>), DetectError> {
    let mut found = found(picture, wanted, turned, deadline)?;
    let mut partners = Vec::new();
    for guard in found.iter().filter(|code| code.format == "pdf417") {
        partners.extend(partner(picture, guard, deadline)?);
    }
    found.extend(partners);
    let (guards, codes): (Vec<_>, Vec<_>) =
        without_parts(found).into_iter().partition(|code| code.format == "pdf417");
    let guard = |code: Linear| Guard { is_start: code.text == START_TEXT, corners: code.corners };
    Ok((codes, guards.into_iter().map(guard).collect()))
}

/// Looks for the stop of a PDF417 whose start is known, or for the start whose stop is known, on lines that go on from
/// it. By itself it is narrow, and may be hidden in a region of other things.
fn partner(picture: &Picture, guard: &Linear, deadline: Deadline) -> Result<Vec<Linear>, TimedOut> {
    let [start, end, _, below] = guard.corners;
    let towards = if guard.text == START_TEXT { 1.0 } else { -1.0 };
    let length = guard.length();
    let along = [0, 1].map(|axis| (end[axis] - start[axis]) / length);
    let down = [0, 1].map(|axis| below[axis] - start[axis]);
    let only = |format: &str| format == "pdf417";
    let mut rows = Vec::new();
    for part in 1..=PARTNER_LINES {
        let part = f64::from(part) / f64::from(PARTNER_LINES + 1);
        let place = |by: f64| [0, 1].map(|axis| start[axis] + down[axis] * part + along[axis] * by);
        // The line goes from before the guard to the end of the widest code, as far as the picture goes.
        let first = place(if towards > 0.0 { -0.3 * length } else { 1.3 * length });
        let most = WIDEST_IN_GUARDS * length;
        let is_inside = |by: f64| picture.holds([0, 1].map(|axis| first[axis] + towards * along[axis] * by));
        let samples = (0..most as usize).take_while(|by| is_inside(*by as f64)).count();
        if samples < 2 {
            continue;
        }
        let far = [0, 1].map(|axis| first[axis] + towards * along[axis] * (samples - 1) as f64);
        let line = Line { start: if towards > 0.0 { first } else { far }, along, step: 1.0, samples };
        let (mut profile, mut extremes) = (Vec::new(), Vec::new());
        line.profile(picture, 3, &mut profile, deadline)?;
        let open = (samples as f64) < most - 1.0;
        read_line(&bars(&profile, [open; 2], &mut extremes), line, &only, &mut rows, deadline)?;
    }
    agreed(picture, rows, 0.0, deadline)
}

/// All codes in the regions of a picture and of its halves.
fn found(
    whole: &Picture,
    wanted: Wanted<'_>,
    turned: bool,
    deadline: Deadline,
) -> Result<Vec<Linear>, TimedOut> {
    let mut found: Vec<Linear> = Vec::new();
    let mut half: Option<Picture> = None;
    let mut scale = 1.0;
    loop {
        let picture = half.as_ref().unwrap_or(whole);
        let reduced = |code: &Linear| code.corners.map(|corner| corner.map(|it| it / scale));
        let known: Vec<Corners> = found.iter().map(reduced).collect();
        for region in regions(picture, &known, KNOWN, deadline)? {
            let aside = region.angle.to_degrees().rem_euclid(90.0);
            if !turned && aside.min(90.0 - aside) > UPRIGHT {
                continue;
            }
            let codes = read(picture, &region, wanted, deadline)?;
            for code in codes {
                found.push(code.enlarged(scale, whole, deadline)?);
            }
            if found.len() >= MOST_CODES {
                return Ok(found);
            }
        }
        half = picture.halved().filter(|half| half.width.min(half.height) >= SMALLEST);
        if half.is_none() {
            return Ok(found);
        }
        scale *= 2.0;
    }
}

/// Drops each code that lies on another one that more lines agree on: it is the same code, or a chance reading of its
/// bars.
fn without_parts(mut codes: Vec<Linear>) -> Vec<Linear> {
    codes.sort_by_key(|code| std::cmp::Reverse(code.rows));
    let mut kept: Vec<Linear> = Vec::with_capacity(codes.len());
    for code in codes {
        let lies_on = |other: &Linear| {
            let same = other.format == code.format && other.text == code.text;
            let beyond = if same { PART * other.length() } else { 0.0 };
            is_within(&other.corners, code.centre(), beyond) || is_within(&code.corners, other.centre(), 0.0)
        };
        if !kept.iter().any(lies_on) {
            kept.push(code);
        }
    }
    kept
}

impl Linear {
    /// Converts a code to the whole picture, which is `scale` times as large as the one in which it was read, and
    /// measures there to a pixel where its bars end.
    fn enlarged(mut self, scale: f64, whole: &Picture, deadline: Deadline) -> Result<Self, TimedOut> {
        if scale == 1.0 {
            return Ok(self);
        }
        self.corners.iter_mut().flatten().for_each(|it| *it *= scale);
        self.row.line.start = self.row.line.start.map(|it| it * scale);
        self.row.edges.iter_mut().for_each(|it| *it *= scale as f32);
        let finer = outline(whole, &self.row, self.lean, deadline)?;
        let is_near = |corners: &[[f64; 2]; 4]| {
            let pairs = corners.iter().zip(&self.corners);
            pairs.clone().all(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]) < 4.0 * scale)
        };
        if let Some(corners) = finer.filter(is_near) {
            self.corners = corners;
        }
        Ok(self)
    }

    fn centre(&self) -> [f64; 2] {
        [0, 1].map(|axis| self.corners.iter().map(|corner| corner[axis]).sum::<f64>() / 4.0)
    }

    /// The length of the lines across the code.
    fn length(&self) -> f64 {
        let [from, to, ..] = self.corners;
        (to[0] - from[0]).hypot(to[1] - from[1])
    }
}

/// The codes of a region, by the first way of reading that finds any.
fn read(
    picture: &Picture,
    region: &Region,
    wanted: Wanted<'_>,
    deadline: Deadline,
) -> Result<Vec<Linear>, TimedOut> {
    const QUARTER: f64 = std::f64::consts::FRAC_PI_2;
    let straight = (region.angle / QUARTER).round() * QUARTER;
    let is_straight = (region.angle - straight).abs().to_degrees() < NEARLY;
    let mut angle = region.angle;
    for (index, pass) in PASSES.iter().enumerate() {
        if index == 1 {
            deadline.check()?;
            angle = sharpest(picture, region);
        }
        let angles = match pass.way {
            Way::Across if is_straight => &[straight, angle][..],
            Way::Across => &[angle],
            Way::Straight if is_straight => &[],
            Way::Straight => &[straight],
        };
        for angle in angles {
            let mut rows = Vec::new();
            let promising = look(picture, region, *angle, pass, wanted, &mut rows, deadline)?;
            let codes = agreed(picture, rows, (region.angle - angle).tan(), deadline)?;
            if !codes.is_empty() || promising < PROMISING {
                return Ok(codes);
            }
        }
    }
    Ok(Vec::new())
}

/// The angle at which the lines of a region, taken together, show its bars most sharply. The structure tensor tells the
/// direction of fine bars only to a few degrees.
fn sharpest(picture: &Picture, region: &Region) -> f64 {
    let mut profile = Vec::new();
    let mut sharpness = |angle: f64| {
        profile.clear();
        for lane in 0..LANES {
            let aside = LANES_PART * region.half[1] * (2.0 * f64::from(lane) / f64::from(LANES - 1) - 1.0);
            let half = region.half[0].min(LANES_HALF);
            let (sine, cosine) = angle.sin_cos();
            let start = [
                region.middle[0] - sine * aside - cosine * half,
                region.middle[1] + cosine * aside - sine * half,
            ];
            profile.resize(2 * half as usize, 0.0);
            picture.add_line(start, [cosine, sine], 1.0, &mut profile);
        }
        profile.windows(2).map(|pair| (pair[1] - pair[0]) * (pair[1] - pair[0])).sum::<f32>()
    };
    let best = (-FARTHEST_OFF..=FARTHEST_OFF)
        .map(|degrees| region.angle + f64::from(degrees).to_radians())
        .map(|angle| (sharpness(angle), angle))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(region.angle, |(_, angle)| angle)
}

/// Reads the lines of a region, and returns the number of those that have as many bars as a symbol.
fn look(
    picture: &Picture,
    region: &Region,
    angle: f64,
    pass: &Pass,
    wanted: Wanted<'_>,
    rows: &mut Vec<Row>,
    deadline: Deadline,
) -> Result<usize, TimedOut> {
    let [along, aside] = region.half;
    let step = (2.0 * aside / LINES).clamp(1.0, FARTHEST).floor();
    let along = along + MARGIN.max(MARGIN_PART * 2.0 * along);
    let (mut profile, mut sharp, mut extremes) = (Vec::new(), Vec::new(), Vec::new());
    let mut promising = 0;
    // A few lines are read first; if none of them looks like that of a symbol, the others are skipped.
    let lines = (2.0 * aside / step) as usize + 1;
    let few = (0..lines).step_by(SPARSE).collect::<Vec<_>>();
    let others = (0..lines).filter(|index| index % SPARSE > 0);
    for index in few.iter().copied().chain(others) {
        if index == 1 && promising == 0 {
            break;
        }
        deadline.check()?;
        let aside = index as f64 * step - aside;
        let Some((line, open)) = line(picture, region.middle, angle, pass.step, [along, aside]) else {
            continue;
        };
        line.profile(picture, pass.thickness, &mut profile, deadline)?;
        if pass.inverted {
            profile.iter_mut().for_each(|it| *it = 255.0 - *it);
        }
        let profile = if pass.sharpened > 0.0 {
            sharpen(&profile, pass.sharpened, &mut sharp);
            &sharp
        } else {
            &profile
        };
        let bars = bars(profile, open, &mut extremes);
        if !bars.may_be_a_symbol() {
            continue;
        }
        promising += 1;
        read_line(&bars, line, wanted, rows, deadline)?;
        let length = (line.samples - 1) as f64 * line.step;
        let backwards = Line { start: line.place(length, 0.0), along: line.along.map(|it| -it), ..line };
        read_line(&bars.reversed(line.samples), backwards, wanted, rows, deadline)?;
    }
    Ok(promising)
}

/// The line at that angle which extends `half` to either side of its middle, `aside` beside the region's middle, as far
/// as it lies in the picture; and for either end whether the picture cuts it off.
fn line(
    picture: &Picture,
    middle: [f64; 2],
    angle: f64,
    step: f64,
    [half, aside]: [f64; 2],
) -> Option<(Line, [bool; 2])> {
    let (sine, cosine) = angle.sin_cos();
    let mut middle = [middle[0] - sine * aside, middle[1] + cosine * aside];
    // Along rows and columns through the centres of pixels, no value needs to be interpolated.
    if sine.abs().min(cosine.abs()) < 1e-9 {
        middle = middle.map(|it| it.floor() + 0.5);
    }
    let (mut from, mut to, mut open) = (-half.floor(), half.floor(), [false; 2]);
    for (at, by, end) in [(middle[0], cosine, picture.width), (middle[1], sine, picture.height)] {
        let (low, high) = (0.5, end as f64 - 0.5);
        if by.abs() < 1e-9 {
            if at < low || at > high {
                return None;
            }
            continue;
        }
        let ends = [(low - at) / by, (high - at) / by];
        let (first, last) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        if first > from {
            (from, open[0]) = (first, true);
        }
        if last < to {
            (to, open[1]) = (last, true);
        }
    }
    let samples = ((to - from) / step + 1e-6).floor() + 1.0;
    if samples < SHORTEST as f64 {
        return None;
    }
    let start = [middle[0] + cosine * from, middle[1] + sine * from];
    Some((Line { start, along: [cosine, sine], step, samples: samples as usize }, open))
}

/// Reads all symbols along a line in one direction.
fn read_line(
    bars: &Bars,
    line: Line,
    wanted: Wanted<'_>,
    rows: &mut Vec<Row>,
    deadline: Deadline,
) -> Result<(), TimedOut> {
    let (mut start, mut checked) = (0, 0);
    while start < bars.widths.len() {
        if start >= checked {
            checked = start + BARS_PER_CHECK;
            deadline.check()?;
        }
        let light = bars.space_before(start) / bars.widths[start];
        let readings = SYMBOLOGIES
            .iter()
            .filter(|it| light >= it.light() && it.formats().iter().any(|format| wanted(format)))
            .filter_map(|symbology| symbology.read(bars, start, wanted));
        let Some(reading) = readings.min_by(|a, b| a.error.total_cmp(&b.error)) else {
            start += 2;
            continue;
        };
        let end = reading.end;
        let edges = bars.edges[start..=end + 1].iter().map(|edge| (edge - 0.5) * line.step as f32).collect();
        rows.push(Row { line, edges, reading });
        start = end + 2;
    }
    Ok(())
}

/// The codes that enough rows agree on, where bars lean by about `lean` pixels for each pixel away from a row.
fn agreed(picture: &Picture, rows: Vec<Row>, lean: f64, deadline: Deadline) -> Result<Vec<Linear>, TimedOut> {
    let mut codes = Vec::new();
    let (mut rows, mut alike) = numbered(rows);
    while !rows.is_empty() && codes.len() < MOST_CODES {
        deadline.check()?;
        let best = (0..rows.len()).max_by(|a, b| {
            let ((one, first), (other, second)) = (&rows[*a], &rows[*b]);
            alike[*one].cmp(&alike[*other]).then(second.reading.error.total_cmp(&first.reading.error))
        });
        let (says, row) = rows.swap_remove(best.unwrap_or_default());
        alike[says] -= 1;
        let Some(about) = outline(picture, &row, Lean::About(lean), deadline)? else { continue };
        let (within, others): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|(_, other)| is_within(&about, other.middle(), 2.0));
        rows = others;
        within.iter().for_each(|(says, _)| alike[*says] -= 1);
        let (same, differing): (Vec<_>, Vec<_>) = within.into_iter().partition(|(other, _)| *other == says);
        let same: Vec<Row> = same.into_iter().map(|(_, row)| row).collect();
        let lean = leaning(&row, &same).map_or(Lean::About(lean), Lean::Exactly);
        let Some(corners) = outline(picture, &row, lean, deadline)? else { continue };
        let agree = same.len() + 1;
        let [top, right, _, left] = corners;
        let side = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        let is_high = side(top, left) >= LOWEST.max(LOWEST_PART * side(top, right));
        if is_high && agree >= row.reading.rows && agree > differing.len() {
            let (format, text) = (row.reading.format, row.reading.text.clone());
            codes.push(Linear { format, text, corners, rows: agree, row, lean });
        }
    }
    Ok(codes)
}

/// Gives rows with the same text and format the same number, and counts the rows of each number.
fn numbered(rows: Vec<Row>) -> (Vec<(usize, Row)>, Vec<usize>) {
    let mut numbers: HashMap<(&'static str, String), usize> = HashMap::new();
    let mut counts = Vec::new();
    let number = |row: Row| {
        let says = (row.reading.format, row.reading.text.clone());
        let number = *numbers.entry(says).or_insert(counts.len());
        if number == counts.len() {
            counts.push(0);
        }
        counts[number] += 1;
        (number, row)
    };
    let rows = rows.into_iter().map(number).collect();
    (rows, counts)
}

impl Row {
    /// The place midway between its first and its last edge.
    fn middle(&self) -> [f64; 2] {
        let middle = f64::from(self.edges[0] + self.edges[self.edges.len() - 1]) / 2.0;
        self.line.place(middle, 0.0)
    }
}

/// The distance that bars move along a row for each pixel away from it, by the least squares of the middles of other
/// rows of the same symbol; `None` where there are few of those, or all are near.
fn leaning(row: &Row, others: &[Row]) -> Option<f64> {
    let ([x, y], middle) = (row.line.along, row.middle());
    let places: Vec<[f64; 2]> = others
        .iter()
        .chain([row])
        .map(|other| {
            let [right, down] = [0, 1].map(|axis| other.middle()[axis] - middle[axis]);
            [right * x + down * y, down * x - right * y]
        })
        .collect();
    let mean = [0, 1].map(|axis| places.iter().map(|place| place[axis]).sum::<f64>() / places.len() as f64);
    let (mut both, mut square) = (0.0, 0.0);
    for [along, aside] in &places {
        both += (along - mean[0]) * (aside - mean[1]);
        square += (aside - mean[1]) * (aside - mean[1]);
    }
    (places.len() >= LEANING_ROWS && square > LEANING_SPREAD * places.len() as f64).then(|| both / square)
}

/// Whether a place lies within the convex shape with these corners, or at most `beyond` outside it.
fn is_within(corners: &Corners, [x, y]: [f64; 2], beyond: f64) -> bool {
    let asides = [0, 1, 2, 3].map(|index| {
        let (from, to) = (corners[index], corners[(index + 1) % 4]);
        let (along, up) = (to[0] - from[0], to[1] - from[1]);
        (along * (y - from[1]) - up * (x - from[0])) / along.hypot(up).max(1e-9)
    });
    asides.iter().all(|aside| *aside >= -beyond) || asides.iter().all(|aside| *aside <= beyond)
}
