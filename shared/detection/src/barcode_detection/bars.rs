//! How high the bars of a linear barcode are, of which a line across is known.

use super::turn::Turned;

/// Samples of a line at the most.
const SAMPLES: usize = 400;
/// What the line through the bars has in common with one that still crosses them: their correlation.
const ALIKE: f64 = 0.6;
/// Lines in a row that may look otherwise, where a bar is scratched or something lies on it.
const GAP: u32 = 3;
/// How far a line's bars may lie from those of the line before, in pixels: that of bars that lean by 20°.
const LEAN: f64 = 0.36;

/// The corners of a barcode that was read along the line from one place to another, in the order of a walk around it. `None` where
/// the line is too short to say.
pub(super) fn corners_of_bars(picture: &Turned, from: [f64; 2], to: [f64; 2]) -> Option<[[f64; 2]; 4]> {
    let along = [to[0] - from[0], to[1] - from[1]];
    let length = along[0].hypot(along[1]);
    if length < 8.0 {
        return None;
    }
    let forward = along.map(|it| it / length);
    let across = [-forward[1], forward[0]];
    // A place so far aside of the line, and so far along it: bars lean.
    let moved = |place: [f64; 2], (by, lean): (f64, f64)| {
        [0, 1].map(|axis| place[axis] + across[axis] * by + forward[axis] * lean)
    };
    let samples = (length as usize).clamp(8, SAMPLES);
    let line = |aside: (f64, f64)| -> Vec<f64> {
        let start = moved(from, aside);
        let place = |step: usize| {
            let part = (step as f64 + 0.5) / samples as f64;
            // ZXing's places are pixels' indices.
            [start[0] + 0.5 + along[0] * part, start[1] + 0.5 + along[1] * part]
        };
        (0..samples).map(|step| picture.sample(place(step))).collect()
    };
    let known = line((0.0, 0.0));
    let farthest = (picture.size.0 + picture.size.1) as u32;
    let reach = |direction: f64| {
        let (mut last, mut missed, mut lean) = ((0.0, 0.0), 0, 0.0);
        for step in 1..=farthest {
            let by = direction * f64::from(step);
            let leaning = [lean, lean - LEAN, lean + LEAN];
            let alike = leaning.map(|lean| correlation(&known, &line((by, lean))));
            let best =
                (1..3).fold(0, |best, other| if alike[other] > alike[best] + 1e-9 { other } else { best });
            if alike[best] >= ALIKE {
                lean = leaning[best];
                (last, missed) = ((by, lean), 0);
            } else {
                missed += 1;
                if missed > GAP {
                    break;
                }
            }
        }
        (last.0 + direction * 0.5, last.1)
    };
    let (before, behind) = (reach(-1.0), reach(1.0));
    // A barcode is a rectangle: its ends are as long as the line that was read, and at right angles to its bars. Where the
    // line crosses the bars at a slant, it was lost at about the middle of the true end.
    let middle = [(from[0] + to[0]) / 2.0, (from[1] + to[1]) / 2.0];
    let ends = [before, behind].map(|aside| moved(middle, aside));
    let bars = [0, 1].map(|axis| ends[1][axis] - ends[0][axis]);
    let height = bars[0].hypot(bars[1]);
    let bars = bars.map(|it| it / height);
    let reading = [bars[1], -bars[0]];
    let dot = |a: [f64; 2], b: [f64; 2]| a[0] * b[0] + a[1] * b[1];
    let [left, right] = [from, to].map(|end| dot(reading, end));
    let [top, bottom] = ends.map(|end| dot(bars, end));
    let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
    Some(corners.map(|(along, down)| [0, 1].map(|axis| reading[axis] * along + bars[axis] * down + 0.5)))
}

/// Pearson's; 0 for a line that is all of one grey.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let count = a.len() as f64;
    let mean = |line: &[f64]| line.iter().sum::<f64>() / count;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut only_a, mut only_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        both += a * b;
        only_a += a * a;
        only_b += b * b;
    }
    let scale = (only_a * only_b).sqrt();
    if scale > 0.0 { both / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{super::turn::turned, *};

    #[test]
    fn bars_are_as_high_as_they_are() {
        let (width, height) = (120, 80);
        let bar = |x: usize| (20..100).contains(&x) && (x / 3 * 7 % 5 < 2);
        let dark = |x: usize, y: usize| (15..62).contains(&y) && y != 40 && bar(x);
        let grey: Vec<u8> =
            (0..height).flat_map(|y| (0..width).map(move |x| if dark(x, y) { 20 } else { 240 })).collect();
        let picture = turned(&grey, (width, height), 0.0);
        let corners = corners_of_bars(&picture, [20.0, 30.0], [99.0, 30.0]).expect("a barcode");
        assert_eq!(corners, [[20.5, 15.0], [99.5, 15.0], [99.5, 62.0], [20.5, 62.0]]);
        assert!(corners_of_bars(&picture, [20.0, 30.0], [22.0, 30.0]).is_none());
    }

    #[test]
    fn a_code_that_is_read_at_a_slant_has_its_own_corners() {
        let (width, height) = (160, 120);
        let (sine, cosine) = 0.15f64.sin_cos();
        // Of a code of 80 × 40 around the middle: how far along it, and how far down its bars.
        let own = |x: f64, y: f64| {
            let (x, y) = (x - 80.0, y - 60.0);
            (x * cosine + y * sine, y * cosine - x * sine)
        };
        let dark = |x: usize, y: usize| {
            let (along, down) = own(x as f64 + 0.5, y as f64 + 0.5);
            along.abs() < 40.0 && down.abs() < 20.0 && ((along + 40.0) / 3.0) as usize * 7 % 5 < 2
        };
        let grey: Vec<u8> =
            (0..height).flat_map(|y| (0..width).map(move |x| if dark(x, y) { 20 } else { 240 })).collect();
        let picture = turned(&grey, (width, height), 0.0);
        let [from, to] = [-40.0, 40.0].map(|end| [79.5 + end / cosine, 59.5]);
        let corners = corners_of_bars(&picture, from, to).expect("a barcode");
        for (corner, expected) in
            corners.into_iter().zip([[-40.0, -20.0], [40.0, -20.0], [40.0, 20.0], [-40.0, 20.0]])
        {
            let (along, down) = own(corner[0], corner[1]);
            assert!((along - expected[0]).hypot(down - expected[1]) < 3.0, "{corner:?}: {along}, {down}");
        }
    }
}
