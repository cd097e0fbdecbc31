//! The cost of looking for the finder patterns of QR codes. `rxing` has no time limit of its own: from each place of a
//! row that looks like a finder pattern it goes up and down for as long as the middle goes on, and it tries all triples
//! of the patterns that it finds. A picture made for the purpose, or a pattern by chance, would take hours. So the
//! patterns are counted first, in the black and white picture that `rxing` sees and by its criteria, both dark on light
//! and light on dark.

use imaging::{Deadline, TimedOut};
use rxing::common::BitMatrix;

/// The most finder patterns of a picture of QR codes. A picture with more is a pattern of another kind.
const MOST_FINDERS: f64 = 450.0;
/// The most pixels that may be followed upwards, in total, from places that look like a finder pattern in their row.
const MOST_STEPS: u64 = 1 << 28;
/// One row in this many is searched.
const ROWS: usize = 3;
/// The part of a module that widths may be off by: across and down, and along a diagonal.
const PART: f64 = 0.5;
const DIAGONAL_PART: f64 = 0.75;
/// The number of rows between two checks of the deadline.
const ROWS_PER_CHECK: usize = 64;

/// Whether a picture has so few finder patterns, and places that look like them, that `rxing` can try them all.
pub(super) fn are_few(bits: &BitMatrix, deadline: Deadline) -> Result<bool, TimedOut> {
    let (width, height) = (bits.width() as usize, bits.height() as usize);
    // For each column, the colour of this row's pixel, and the number of pixels from it upwards that have the same
    // colour.
    let mut heights: Vec<(bool, u32)> = vec![(false, 0); width];
    let mut edges = Vec::new();
    // The counts for patterns that are light in the middle, and for those that are dark.
    let (mut finders, mut steps) = ([0.0; 2], [0; 2]);
    for y in 0..height {
        if y % ROWS_PER_CHECK == 0 {
            deadline.check()?;
        }
        edges.clear();
        let mut before = None;
        for (x, (colour, height)) in heights.iter_mut().enumerate() {
            let is_dark = bits.get(x as u32, y as u32);
            (*colour, *height) = (is_dark, if *colour == is_dark { *height + 1 } else { 1 });
            if before.replace(is_dark) != Some(is_dark) {
                edges.push(x);
            }
        }
        edges.push(width);
        if y % ROWS > 0 {
            continue;
        }
        for place in edges.array_windows::<6>() {
            let widths: [usize; 5] = std::array::from_fn(|index| place[index + 1] - place[index]);
            if !is_finder(widths, PART) {
                continue;
            }
            let x = usize::midpoint(place[2], place[3]);
            let (is_dark, up) = heights[x];
            steps[usize::from(is_dark)] += u64::from(up);
            if let Some(height) = height_of(bits, [x, y], place[5] - place[0]) {
                // A pattern is met once in each row that crosses its middle, so each row counts as its part of the
                // whole.
                finders[usize::from(is_dark)] += ROWS as f64 / height.max(ROWS) as f64;
            }
        }
        if finders.iter().any(|count| *count > MOST_FINDERS) || steps.iter().any(|count| *count > MOST_STEPS)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether runs of pixels have about the lengths of those along a line through the middle of a finder pattern: one
/// module, one, three, one and one. Each may be off by `part` of its length.
fn is_finder(widths: [usize; 5], part: f64) -> bool {
    let module = widths.iter().sum::<usize>() as f64 / 7.0;
    let off = module * part + (0.5 / module).min(0.5);
    let fits = |(width, modules): (&usize, f64)| (*width as f64 - modules * module).abs() < modules * off;
    module >= 1.0 && widths.iter().zip([1.0, 1.0, 3.0, 1.0, 1.0]).all(fits)
}

/// The height of the middle of a finder pattern in the column of `place`, in which no run is longer than `most` pixels;
/// `None` where there is none.
fn height_of(bits: &BitMatrix, place: [usize; 2], most: usize) -> Option<usize> {
    let place = place.map(|it| it as i64);
    let (centre, height) = crossed(bits, place, [0, 1], most, PART)?;
    crossed(bits, [place[0], place[1] + centre], [1, 1], most, DIAGONAL_PART)?;
    Some(height)
}

/// If a line in the direction of `step` crosses a finder pattern, the distance in steps from `place`, which lies in its
/// middle, to its centre, and the length of its middle in steps.
fn crossed(
    bits: &BitMatrix,
    place: [i64; 2],
    step: [i64; 2],
    most: usize,
    part: f64,
) -> Option<(i64, usize)> {
    let at = |steps: i64| {
        let [x, y] = [0, 1].map(|axis| place[axis] + step[axis] * steps);
        let inside = (0..i64::from(bits.width())).contains(&x) && (0..i64::from(bits.height())).contains(&y);
        inside.then(|| bits.get(x as u32, y as u32))
    };
    let middle = at(0)?;
    // The number of pixels of a colour from `from` on, one way or the other.
    let run = |from: i64, way: i64, colour: bool| {
        (0..=most as i64).take_while(|by| at(from + way * by) == Some(colour)).count() as i64
    };
    let before = run(0, -1, middle);
    let ring = run(-before, -1, !middle);
    let outer = run(-before - ring, -1, middle);
    let behind = run(1, 1, middle);
    let other_ring = run(1 + behind, 1, !middle);
    let other_outer = run(1 + behind + other_ring, 1, middle);
    let long = before + behind;
    let widths = [outer, ring, long, other_ring, other_outer].map(|width| width as usize);
    is_finder(widths, part).then_some((1 - before + long / 2, long as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn few(width: u32, height: u32, is_dark: impl Fn(u32, u32) -> bool) -> bool {
        let mut bits = BitMatrix::new(width, height).expect("a size");
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            if is_dark(x, y) {
                bits.set(x, y);
            }
        }
        are_few(&bits, Deadline::none()).expect("no deadline")
    }

    /// Finder patterns side by side, with a module of light around each, and `module` pixels to a module.
    fn tile(module: u32, x: u32, y: u32) -> bool {
        let from_middle = |at: u32| (at / module % 8).abs_diff(3);
        let ring = from_middle(x).max(from_middle(y));
        ring == 3 || ring <= 1
    }

    #[test]
    fn too_many_finder_patterns_are_recognised_dark_on_light_and_light_on_dark() {
        for module in [1, 2, 5] {
            let side = |finders: u32| finders * 8 * module;
            for inverted in [false, true] {
                let is_dark = |x: u32, y: u32| tile(module, x, y) != inverted;
                assert!(few(side(20), side(18), is_dark), "{module} {inverted}: 360");
                assert!(!few(side(26), side(20), is_dark), "{module} {inverted}: 520");
            }
        }
    }

    #[test]
    fn tall_stripes_that_look_like_finder_patterns_in_their_rows_are_recognised() {
        let stripe = |x: u32, _: u32| matches!(x % 8, 0 | 2..=4 | 6);
        assert!(few(400, 400, stripe));
        assert!(!few(400, 20_000, stripe) && !few(400, 20_000, |x, y| !stripe(x, y)));
    }

    #[test]
    fn pictures_without_finder_patterns_are_never_too_much() {
        assert!(few(1, 1, |_, _| true) && few(3000, 2, |x, _| x % 2 == 0) && few(2, 3000, |_, y| y % 2 == 0));
        assert!(few(1500, 1500, |x, y| (x + y) % 2 == 0), "a chequerboard");
        // Xorshift (Marsaglia 2003).
        let mut state = 2_463_534_242_u32;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state & 4096 > 0
        });
        let noise: Vec<_> = noise.take(400 * 400).collect();
        assert!(few(400, 400, |x, y| noise[(y * 400 + x) as usize]), "noise");
    }
}
