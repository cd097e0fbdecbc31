//! The outline of a nucleus, a closed simple polygon, and its measures.

use super::split::{Cell, Frame};

/// A polygon with its measures. Lengths are in the units of its vertices.
pub(super) struct Outline {
    pub(super) vertices: Vec<[f64; 2]>,
    pub(super) area: f64,
    pub(super) perimeter: f64,
    pub(super) centroid: [f64; 2],
}

impl Outline {
    /// The outline of the pixels of a frame's cells that have the same label as the cell `first`, which is the first of
    /// them in reading order; all are connected by their sides. The square of a pixel reaches from (column, row) to
    /// (column + 1, row + 1) of a plane of width and height `plane`.
    ///
    /// The polygon goes through the middles of the pixels' sides, so that it cannot cross itself. It is then rounded,
    /// so that its length is that of a smooth curve and not that of a staircase. Where rounding would make it cross
    /// itself, which may happen where a nucleus is one pixel wide, it is left as it was.
    pub(super) fn of(cells: &[Cell], frame: Frame, first: usize, plane: [usize; 2]) -> Self {
        let traced = trace(cells, frame, first);
        let rounded = thinned(&rounded(&traced, plane.map(|length| length as f64)));
        Self::measured(if is_simple(&rounded) { rounded } else { traced })
    }

    /// 4π · area / perimeter²: 1 for a circle, less for whatever is not.
    pub(super) fn circularity(&self) -> f64 {
        (4.0 * std::f64::consts::PI * self.area / (self.perimeter * self.perimeter)).min(1.0)
    }

    fn measured(vertices: Vec<[f64; 2]>) -> Self {
        let (mut twice, mut moment, mut perimeter) = (0.0, [0.0; 2], 0.0);
        // Coordinates are taken relative to a vertex, because far from the origin digits would be lost.
        let [x0, y0] = vertices.first().copied().unwrap_or_default();
        for ([ax, ay], [bx, by]) in sides(&vertices) {
            let (ax, ay, bx, by) = (ax - x0, ay - y0, bx - x0, by - y0);
            let part = ax * by - bx * ay;
            twice += part;
            moment[0] += (ax + bx) * part;
            moment[1] += (ay + by) * part;
            perimeter += ((bx - ax).powi(2) + (by - ay).powi(2)).sqrt();
        }
        let centroid = [x0 + moment[0] / (3.0 * twice), y0 + moment[1] / (3.0 * twice)];
        Self { area: twice.abs() / 2.0, perimeter, centroid, vertices }
    }
}

fn sides(vertices: &[[f64; 2]]) -> impl Iterator<Item = ([f64; 2], [f64; 2])> {
    vertices.iter().copied().zip(vertices.iter().copied().cycle().skip(1))
}

/// The middles of the pixels' sides along the outer border, clockwise, beginning with the top of the first pixel.
fn trace(cells: &[Cell], frame: Frame, first: usize) -> Vec<[f64; 2]> {
    let label = cells[first].label();
    let stride = frame.stride.cast_signed();
    // A corner is named by the pixel to its lower right. For each direction (right, down, left, up): the step to the
    // next corner, the offsets from that corner of the pixels ahead to the right and to the left, and the step in the
    // plane.
    let ways = [
        (1, [0, -stride], [1.0, 0.0]),
        (stride, [-1, 0], [0.0, 1.0]),
        (-1, [-1 - stride, -1], [-1.0, 0.0]),
        (-stride, [-stride, -1 - stride], [0.0, -1.0]),
    ];
    let (mut corner, mut way) = (first, 0);
    let mut at = frame.pixel(first).map(|along| along as f64);
    let mut middles = Vec::new();
    loop {
        let (step, ahead, along) = ways[way];
        middles.push([at[0] + along[0] / 2.0, at[1] + along[1] / 2.0]);
        at = [at[0] + along[0], at[1] + along[1]];
        corner = corner.wrapping_add_signed(step);
        // The pixels around a corner are in the frame: its margin surrounds all pixels of the component.
        let inside = ahead.map(|offset| cells[corner.wrapping_add_signed(offset)].label() == label);
        way = match inside {
            [false, _] => way + 1,
            [true, false] => way,
            [true, true] => way + 3,
        } % ways.len();
        if corner == first && way == 0 {
            return middles;
        }
    }
}

/// Smooths a polygon: each vertex is moved towards its neighbours and then away from them again, several times, which
/// removes the staircase and keeps the area (Taubin 1995). The result stays within a plane of that size.
fn rounded(vertices: &[[f64; 2]], size: [f64; 2]) -> Vec<[f64; 2]> {
    const TURNS: usize = 4;
    /// The weights of both moves in one: half a step towards the middle of the neighbours, and half a step away from
    /// it.
    const WEIGHTS: [f64; 3] = [0.625, 0.25, -0.0625];
    /// Outlines of fewer vertices are left as they are, because little of them would remain.
    const LEAST: usize = 8;
    let n = vertices.len();
    let mut vertices = vertices.to_vec();
    let mut ring = Vec::with_capacity(n + 4);
    for _ in 0..if n < LEAST { 0 } else { TURNS } {
        ring.clear();
        ring.extend_from_slice(&vertices[n - 2..]);
        ring.extend_from_slice(&vertices);
        ring.extend_from_slice(&vertices[..2]);
        for (vertex, around) in vertices.iter_mut().zip(ring.array_windows()) {
            let [a, b, own, c, d] = around;
            let mixed =
                |k: usize| own[k] * WEIGHTS[0] + (b[k] + c[k]) * WEIGHTS[1] + (a[k] + d[k]) * WEIGHTS[2];
            *vertex = [mixed(0).clamp(0.0, size[0]), mixed(1).clamp(0.0, size[1])];
        }
    }
    vertices
}

/// Keeps every third vertex; of a short outline, every second or each; of a very long one, fewer.
fn thinned(vertices: &[[f64; 2]]) -> Vec<[f64; 2]> {
    const MOST: usize = 256;
    let by = match vertices.len() {
        0..16 => 1,
        16..64 => 2,
        long => long.div_ceil(MOST).max(3),
    };
    vertices.iter().copied().step_by(by).collect()
}

/// Whether the polygon goes around clockwise and no two of its sides touch, except neighbours in their common vertex.
fn is_simple(vertices: &[[f64; 2]]) -> bool {
    let sides: Vec<_> = sides(vertices).collect();
    let n = sides.len();
    let apart = |i: usize, j: usize| j == i + 1 || (i == 0 && j + 1 == n) || !touch(sides[i], sides[j]);
    let area: f64 = sides.iter().map(|([ax, ay], [bx, by])| ax * by - bx * ay).sum();
    n >= 3 && area > 0.0 && (is_star(vertices) || (0..n).all(|i| (i + 1..n).all(|j| apart(i, j))))
}

/// Whether the whole border is visible from the mean of the vertices and goes around it once, clockwise. Then the
/// polygon is simple, and its sides need not be compared with each other.
fn is_star(vertices: &[[f64; 2]]) -> bool {
    let mean = |k: usize| vertices.iter().map(|vertex| vertex[k]).sum::<f64>() / vertices.len() as f64;
    let [x, y] = [mean(0), mean(1)];
    let mut turns = 0;
    let goes_on = sides(vertices).all(|([ax, ay], [bx, by])| {
        turns += usize::from(ay < y && by >= y);
        (ax - x) * (by - y) > (bx - x) * (ay - y)
    });
    goes_on && turns == 1
}

fn touch((a, b): ([f64; 2], [f64; 2]), (c, d): ([f64; 2], [f64; 2])) -> bool {
    let apart = |k: usize| a[k].max(b[k]) < c[k].min(d[k]) || c[k].max(d[k]) < a[k].min(b[k]);
    if apart(0) || apart(1) {
        return false;
    }
    let side =
        |p: [f64; 2], q: [f64; 2], r: [f64; 2]| (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]);
    side(a, b, c) * side(a, b, d) <= 0.0 && side(c, d, a) * side(c, d, b) <= 0.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::nuclei_detection::regions::Run;

    /// Cells with the label 1 where `inside` says so, and the first of them in reading order.
    fn framed(
        width: usize,
        height: usize,
        inside: impl Fn(usize, usize) -> bool,
    ) -> (Vec<Cell>, Frame, usize) {
        let corner = |row: usize| Run { row: row as u32, start: 0, end: width as u32 };
        let frame = Frame::around(&[corner(0), corner(height - 1)]);
        let mut cells = vec![Cell::default(); frame.len()];
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            cells[frame.place(x, y)] = Cell::new(1, u32::from(inside(x, y)));
        }
        let first = cells.iter().position(|cell| cell.label() == 1).expect("something is inside");
        (cells, frame, first)
    }

    fn outline(width: usize, height: usize, inside: impl Fn(f64, f64) -> bool) -> Outline {
        let (cells, frame, first) = framed(width, height, |x, y| inside(x as f64 + 0.5, y as f64 + 0.5));
        Outline::of(&cells, frame, first, [width, height])
    }

    #[test]
    fn a_disc_is_measured_as_a_disc() {
        for radius in [4.0, 7.3, 12.0, 21.5] {
            let is = outline(60, 50, |x, y| (x - 30.2).hypot(y - 25.4) <= radius);
            let (area, perimeter) = (std::f64::consts::PI * radius * radius, std::f64::consts::TAU * radius);
            assert!((is.area / area - 1.0).abs() < 0.05, "radius {radius}: area {} of {area}", is.area);
            assert!(
                (is.perimeter / perimeter - 1.0).abs() < 0.03,
                "radius {radius}: {} of {perimeter}",
                is.perimeter
            );
            assert!((is.centroid[0] - 30.2).hypot(is.centroid[1] - 25.4) < 0.15, "{:?}", is.centroid);
            assert!(is.circularity() > 0.95, "radius {radius}: {}", is.circularity());
        }
        let long = outline(60, 50, |x, y| ((x - 30.0) / 24.0).hypot((y - 25.0) / 6.0) <= 1.0);
        assert!((0.4..0.6).contains(&long.circularity()), "{}", long.circularity());
    }

    /// Whether no two sides touch that are not neighbours.
    fn crosses_nowhere(vertices: &[[f64; 2]]) -> bool {
        let all: Vec<_> = sides(vertices).collect();
        let n = all.len();
        let mut pairs =
            (0..n).flat_map(|i| (i + 2..n).map(move |j| (i, j))).filter(|pair| *pair != (0, n - 1));
        !pairs.any(|(i, j)| touch(all[i], all[j]))
    }

    #[test]
    fn a_ring_is_a_star_and_a_pentagram_is_none() {
        let around = |step: f64| {
            let angle = |i: u32| std::f64::consts::TAU * f64::from(i) * step / 5.0;
            (0..5).map(|i| [angle(i).cos(), angle(i).sin()]).collect::<Vec<_>>()
        };
        assert!(is_star(&around(1.0)));
        assert!(!is_star(&around(2.0)), "twice around");
        assert!(!is_star(&around(-1.0)), "against the clock");
    }

    #[test]
    fn one_pixel_has_an_outline_around_its_centre() {
        let is = outline(1, 1, |_, _| true);
        assert_eq!(is.vertices, [[0.5, 0.0], [1.0, 0.5], [0.5, 1.0], [0.0, 0.5]]);
        assert_eq!((is.area, is.centroid), (0.5, [0.5, 0.5]));
    }

    proptest! {
        #[test]
        fn a_polygon_whose_border_is_visible_from_its_middle_is_simple(
            radii in proptest::collection::vec(1f64..9.0, 4..12), turns in 1usize..3,
            jitter in proptest::collection::vec(-0.4f64..0.4, 12),
        ) {
            let n = radii.len();
            let vertex = |(i, (radius, jitter)): (usize, (f64, f64))| {
                let angle = std::f64::consts::TAU * (i as f64 + jitter) * turns as f64 / n as f64;
                [radius * angle.cos(), radius * angle.sin()]
            };
            let vertices: Vec<_> = radii.into_iter().zip(jitter).enumerate().map(vertex).collect();
            prop_assert!(!is_star(&vertices) || crosses_nowhere(&vertices), "{:?}", vertices);
        }

        #[test]
        fn an_outline_is_simple_and_encloses_what_it_should(
            width in 3usize..16, pixels in proptest::collection::vec(any::<bool>(), 9..200),
        ) {
            let height = pixels.len() / width;
            prop_assume!(height > 0 && pixels[..width * height].contains(&true));
            let (mut cells, frame, first) = framed(width, height, |x, y| pixels[y * width + x]);
            // Finds the pixels that are connected with the first one, by flood filling.
            let mut open = vec![first];
            while let Some(at) = open.pop() {
                if cells[at].label() != 1 { continue }
                cells[at] = Cell::new(1, 2);
                open.extend([at - 1, at + 1, at - frame.stride, at + frame.stride]);
            }
            let traced = trace(&cells, frame, first);
            prop_assert!(crosses_nowhere(&traced));
            let count = cells.iter().filter(|cell| cell.label() == 2).count() as f64;
            let outer = Outline::measured(traced);
            prop_assert!(outer.area >= count - 0.5 - 1e-9, "{} pixels in {}", count, outer.area);
            let is = Outline::of(&cells, frame, first, [width, height]);
            prop_assert!(crosses_nowhere(&is.vertices));
            let inside = |[x, y]: [f64; 2]| x >= 0.0 && y >= 0.0 && x <= width as f64 && y <= height as f64;
            prop_assert!(is.vertices.iter().copied().all(inside) && inside(is.centroid));
        }
    }
}
