//! Data Matrix codes (ISO/IEC 16022), found here as `rxing` finds them, with looks at the deadline; `rxing` follows the
//! edges and decodes.
//!
//! `rxing` has no time limit, and in a picture full of edges it follows each of them. Its search is done here step by
//! step, so that it can be stopped: lines go through the picture from all four sides, 16 px apart. Where one crosses
//! from black into white, that may be the left leg of an L. The leg is followed up and down, then the one at its
//! bottom, and then the dotted lines at the top and on the right, after Axel Waggershauser's detector in zxing-cpp.

use std::sync::{Arc, RwLock};

use imaging::{Deadline, TimedOut};
use rxing::{
    BarcodeFormat, DecodeHintValue, DecodeHints, Point, RXingResult,
    common::{
        BitMatrix, DecoderRXingResult, DefaultGridSampler, DetectorRXingResult as _, GridSampler as _,
        Quadrilateral,
        cpp_essentials::{
            BitMatrixCursorTrait as _, ByteMatrix, DMRegressionLine, EdgeTracer, RegressionLineTrait as _,
            intersect,
        },
    },
    datamatrix::{decoder::Decoder, detector::Detector},
    point,
};

use crate::pace::Looks;

/// The least size of a symbol in pixels: eight modules of two. Lines are as far apart.
const SMALLEST: i32 = 16;
/// The number of steps along lines between two checks of the deadline, and the number of steps that following edges
/// from one place counts for.
const STEPS_PER_CHECK: usize = 1 << 10;
const FOLLOWED: usize = 1 << 6;

/// The most modules along a side of a symbol.
const MOST_MODULES: f32 = 144.0;

/// A symbol that was sampled: its modules and its corners.
type Symbol = (BitMatrix, Vec<Point>);

/// The first Data Matrix in a picture that can be decoded: one of those found by their L, one around the middle of the
/// picture, or one that is all there is in it.
pub(super) fn read(bits: &BitMatrix, deadline: Deadline) -> Result<Option<RXingResult>, TimedOut> {
    let decoder = Decoder::new();
    let result = |decoded: &DecoderRXingResult, points: Vec<Point>| {
        let bytes = decoded.getRawBytes().clone();
        RXingResult::new(decoded.getText(), bytes, points, BarcodeFormat::DATA_MATRIX)
    };
    for (modules, corners) in symbols(bits, deadline)? {
        deadline.check()?;
        if let Ok(decoded) = decoder.decode(&modules) {
            return Ok(Some(result(&decoded, corners)));
        }
    }
    let around_the_middle = || {
        let found = Detector::new(bits).ok()?.detect().ok()?;
        let decoded = decoder.decode(found.getBits()).ok()?;
        Some(result(&decoded, found.getPoints().to_vec()))
    };
    Ok(around_the_middle())
}

/// What tells `rxing` that a picture is a code and nothing else; `None` where it would have more modules than any code
/// has. `rxing` would read all of them before it sees that.
pub(super) fn alone(bits: &BitMatrix) -> Option<DecodeHints> {
    let (first, last) = (bits.getTopLeftOnBit()?, bits.getBottomRightOnBit()?);
    let (left, top) = (first.x as u32, first.y as u32);
    let module = (left..bits.getWidth()).take_while(|x| bits.get(*x, top)).count() as f32;
    let is_small =
        [last.x - first.x, last.y - first.y].iter().all(|side| *side < (MOST_MODULES + 1.0) * module);
    is_small.then(|| DecodeHints::default().with(DecodeHintValue::PureBarcode(true)))
}

/// The symbols that lines from all four sides meet, in the order in which they are met.
fn symbols(bits: &BitMatrix, deadline: Deadline) -> Result<Vec<Symbol>, TimedOut> {
    let mut looks = Looks::each(STEPS_PER_CHECK, deadline);
    let mut symbols = Vec::new();
    let mut lines: [DMRegressionLine; 4] = Default::default();
    let (width, height) = (bits.getWidth(), bits.getHeight());
    // Remembers where edges were followed from one side, so that none is followed twice.
    let history = Arc::new(RwLock::new(ByteMatrix::new(width, height)));
    let centre = point((width / 2) as f32, (height / 2) as f32);
    for direction in [point(-1.0, 0.0), point(1.0, 0.0), point(0.0, -1.0), point(0.0, 1.0)] {
        deadline.check()?;
        if let Ok(mut history) = history.write() {
            history.clear(0);
        }
        let first = Point::centered(centre - centre * direction + SMALLEST / 2 * direction);
        let mut nth = 1;
        while nth <= width.max(height).cast_signed() + 1 {
            let beside = nth / 2 * SMALLEST * if nth % 2 == 1 { -1 } else { 1 };
            let aside = EdgeTracer::new(bits, first, direction).right();
            let mut line = EdgeTracer::new(bits, first + beside * aside, direction);
            line.history = Some(Arc::clone(&history));
            if !line.isInSelf() {
                break;
            }
            if let Some(symbol) = symbol_on(bits, &mut line, &mut lines, &mut looks)? {
                nth += SMALLEST;
                symbols.push(symbol);
            }
            nth += 1;
        }
    }
    Ok(symbols)
}

/// The next symbol that a line meets.
fn symbol_on(
    bits: &BitMatrix,
    line: &mut EdgeTracer<'_>,
    lines: &mut [DMRegressionLine; 4],
    looks: &mut Looks,
) -> Result<Option<Symbol>, TimedOut> {
    while line.step(None) {
        looks.count(1)?;
        if !line.edgeAtBack().isWhite() {
            continue;
        }
        looks.count(FOLLOWED)?;
        lines.iter_mut().for_each(DMRegressionLine::reset);
        match symbol_at(bits, line, lines) {
            Ok(Some(symbol)) => return Ok(Some(symbol)),
            Ok(None) => {}
            // `rxing` gives up the whole line where an edge cannot be followed for good.
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// The symbol whose left leg lies at the place that a line has come to, if there is one.
fn symbol_at(
    bits: &BitMatrix,
    line: &EdgeTracer<'_>,
    [left, bottom, right, top]: &mut [DMRegressionLine; 4],
) -> rxing::common::Result<Option<Symbol>> {
    let [mut top_left, mut bottom_left, mut bottom_right, mut top_right] = [Point::default(); 4];

    // Up the left leg.
    let mut tracer = line.clone();
    tracer.turnRight();
    tracer.state = 1;
    if !(tracer.traceLine(tracer.right(), left)? && tracer.traceCorner(&mut tracer.right(), &mut top_left)?) {
        return Ok(None);
    }
    left.reverse();
    let mut upper = tracer;

    // Down the left leg, and along the one at the bottom.
    tracer = line.clone();
    tracer.state = 1;
    tracer.setDirection(upper.right());
    if !tracer.traceLine(tracer.left(), left)? {
        return Ok(None);
    }
    if !left.isValid() {
        tracer.updateDirectionFromOrigin(top_left);
    }
    let up = tracer.back();
    if !tracer.traceCorner(&mut tracer.left(), &mut bottom_left)? {
        return Ok(None);
    }
    tracer.state = 2;
    if !tracer.traceLine(tracer.left(), bottom)? {
        return Ok(None);
    }
    if !bottom.isValid() {
        tracer.updateDirectionFromOrigin(bottom_left);
    }
    let ahead = *tracer.front();
    if !tracer.traceCorner(&mut tracer.left(), &mut bottom_right)? {
        return Ok(None);
    }
    let down_length = Point::distance(top_left, bottom_left) - 1.0;
    let across_length = Point::distance(bottom_left, bottom_right) - 1.0;
    let is_l = down_length >= 8.0
        && across_length >= 10.0
        && across_length >= down_length / 4.0
        && across_length <= down_length * 18.0;
    if !is_l {
        return Ok(None);
    }

    // The dotted lines, at the top half way, and on the right. A symbol has at least ten modules at its bottom.
    let longest = (across_length / 5.0 + 1.0) as i32;
    upper.setDirection(ahead);
    if !upper.traceGaps(upper.right(), top, longest, &mut DMRegressionLine::default())? {
        return Ok(None);
    }
    let longest = (top.length().cast_signed() / 3).min((down_length / 5.0) as i32) * 2;
    tracer.setDirection(up);
    tracer.state = 3;
    if !(tracer.traceGaps(tracer.left(), right, longest, top)?
        && tracer.traceCorner(&mut tracer.left(), &mut top_right)?)
    {
        return Ok(None);
    }
    let top_length = Point::distance(top_left, top_right) - 1.0;
    let right_length = Point::distance(top_right, bottom_right) - 1.0;
    let is_closed = (top_length - across_length).abs() / across_length < 0.5
        && (right_length - down_length).abs() / down_length < 0.5
        && top.points().len() >= 5
        && right.points().len() >= 5;
    if !(is_closed && upper.traceGaps(upper.right(), top, longest, right)?) {
        return Ok(None);
    }
    sampled(bits, [left, bottom, right, top])
}

/// The modules of the symbol between four lines.
fn sampled(
    bits: &BitMatrix,
    [left, bottom, right, top]: [&mut DMRegressionLine; 4],
) -> rxing::common::Result<Option<Symbol>> {
    for line in [&mut *left, &mut *bottom, &mut *top, &mut *right] {
        line.evaluate_max_distance(Some(1.0), None);
    }
    let bottom_left = intersect(bottom, left)?;
    let top_left = intersect(top, left)?;
    let top_right = intersect(top, right)?;
    let bottom_right = intersect(bottom, right)?;

    // The number of dots along a line, and how far it is from a whole number.
    let dots = |modules: f64| {
        let whole = if modules.is_normal() { (modules + 0.5) as i32 } else { 0 };
        let off = if modules.is_normal() { (modules - f64::from(whole)).abs() } else { f64::INFINITY };
        (whole, off)
    };
    let (mut across, off_across) = dots(top.modules(top_left, top_right)?);
    let (mut down, off_down) = dots(right.modules(bottom_right, top_right)?);
    // No rectangular symbol is nearly a square: such a one is a square of the size that is nearer to a whole number.
    if (across - down).abs() < 5 {
        down = if off_down < off_across { down } else { across };
        across = down;
    }
    let (across, down) = (2 * across, 2 * down);
    if !((10..=144).contains(&across) && (8..=144).contains(&down)) {
        return Ok(None);
    }

    // From the middles of the white pixels outside to the edge between white and black; less at the corner where both
    // dotted lines meet, which lean inwards.
    let moved = |from: Point, a: Point, b: Point, by: f32| {
        from + by * Point::normalized(Point::normalized(a - from) + Point::normalized(b - from))
    };
    let corners = Quadrilateral::with_points(
        moved(top_left, top_right, bottom_left, 0.5),
        moved(top_right, bottom_right, top_left, 0.3),
        moved(bottom_right, bottom_left, top_right, 0.5),
        moved(bottom_left, top_left, bottom_right, 0.5),
    );
    let (width, height) = (across as f32, down as f32);
    let modules =
        Quadrilateral::new(point(0.0, 0.0), point(width, 0.0), point(width, height), point(0.0, height));
    let (across, down) = (across.cast_unsigned(), down.cast_unsigned());
    let grid = DefaultGridSampler.sample_grid_detailed(bits, across, down, modules, corners);
    Ok(grid.ok().map(|(modules, _)| (modules, corners.points().to_vec())))
}
