//! A grey picture, turned.

/// A picture turned by an angle, on as much white as that takes.
pub(super) struct Turned {
    pub(super) grey: Vec<u8>,
    /// Its width and height.
    pub(super) size: (usize, usize),
    /// Sine and cosine of the angle.
    turn: (f64, f64),
    /// The middle of the picture as it was, and turned.
    middles: [[f64; 2]; 2],
}

impl Turned {
    /// A place of the turned picture, in the picture as it was.
    pub(super) fn back(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let ((sine, cosine), [before, after]) = (self.turn, self.middles);
        let (x, y) = (x - after[0], y - after[1]);
        [x * cosine + y * sine + before[0], y * cosine - x * sine + before[1]]
    }

    /// Makes white what lies within corners, clockwise as seen, or a few pixels beyond them; less than three stand for the
    /// box around them.
    pub(super) fn paint_over(&mut self, corners: &[[f64; 2]]) {
        const BEYOND: f64 = 3.0;
        let ends = |axis: usize, end: usize| {
            let (low, high) = corners.iter().fold((f64::MAX, f64::MIN), |(low, high), corner| {
                (low.min(corner[axis]), high.max(corner[axis]))
            });
            ((low - BEYOND).max(0.0) as usize, ((high + BEYOND).ceil().max(0.0) as usize).min(end))
        };
        let ((left, right), (top, bottom)) = (ends(0, self.size.0), ends(1, self.size.1));
        let next = corners.iter().cycle().skip(1);
        let sides: Vec<_> = corners.iter().zip(next).filter(|_| corners.len() > 2).collect();
        for y in top..bottom {
            for x in left..right {
                let outside = |(from, to): &(&[f64; 2], &[f64; 2])| {
                    let (along, up) = (to[0] - from[0], to[1] - from[1]);
                    let aside = along * (y as f64 + 0.5 - from[1]) - up * (x as f64 + 0.5 - from[0]);
                    aside < -BEYOND * along.hypot(up)
                };
                if !sides.iter().any(outside) {
                    self.grey[y * self.size.0 + x] = u8::MAX;
                }
            }
        }
    }

    /// The sample at a place between pixels' centres, linearly; white beyond the picture.
    pub(super) fn sample(&self, place: [f64; 2]) -> f64 {
        sample(&self.grey, self.size, place)
    }
}

/// The means of squares of so many pixels; what does not fill one at the right and at the bottom is left out.
pub(super) fn reduced(
    grey: Vec<u8>,
    (width, height): (usize, usize),
    factor: usize,
) -> (Vec<u8>, (usize, usize)) {
    if factor == 1 {
        return (grey, (width, height));
    }
    let size = (width / factor, height / factor);
    let mut out = Vec::with_capacity(size.0 * size.1);
    for rows in grey.chunks_exact(width * factor) {
        let mean = |x: usize| {
            let columns = x * factor..(x + 1) * factor;
            let sum: usize = rows
                .chunks_exact(width)
                .flat_map(|row| &row[columns.clone()])
                .map(|&it| usize::from(it))
                .sum();
            ((sum + factor * factor / 2) / (factor * factor)) as u8
        };
        out.extend((0..size.0).map(mean));
    }
    (out, size)
}

/// Turns a picture clockwise by so many degrees.
pub(super) fn turned(grey: &[u8], size: (usize, usize), degrees: f64) -> Turned {
    let (width, height) = (size.0 as f64, size.1 as f64);
    if degrees == 0.0 {
        let middle = [width / 2.0, height / 2.0];
        return Turned { grey: grey.to_vec(), size, turn: (0.0, 1.0), middles: [middle; 2] };
    }
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let across = (width * cosine.abs() + height * sine.abs()).ceil();
    let down = (width * sine.abs() + height * cosine.abs()).ceil();
    let mut turned = Turned {
        grey: Vec::with_capacity(across as usize * down as usize),
        size: (across as usize, down as usize),
        turn: (sine, cosine),
        middles: [[width / 2.0, height / 2.0], [across / 2.0, down / 2.0]],
    };
    for y in 0..turned.size.1 {
        let start = turned.back([0.5, y as f64 + 0.5]);
        let row = (0..turned.size.0).map(|x| {
            let place = [start[0] + x as f64 * cosine, start[1] - x as f64 * sine];
            // Rounded, as it is not negative.
            (sample(grey, size, place) + 0.5) as u8
        });
        turned.grey.extend(row);
    }
    turned
}

fn sample(grey: &[u8], (width, height): (usize, usize), [x, y]: [f64; 2]) -> f64 {
    const WHITE: f64 = 255.0;
    let (x, y) = (x - 0.5, y - 0.5);
    // Inside, which is nearly everywhere, a cast is the floor.
    let (column, row) = (x.max(0.0) as usize, y.max(0.0) as usize);
    let [upper, lower] = if x >= 0.0 && y >= 0.0 && column + 1 < width && row + 1 < height {
        let pair = |row: usize| {
            let at = row * width + column;
            grey.get(at..at + 2).map_or([WHITE; 2], |pair| [pair[0], pair[1]].map(f64::from))
        };
        [pair(row), pair(row + 1)]
    } else {
        let pixel = |x: f64, y: f64| {
            if x < 0.0 || y < 0.0 || x >= width as f64 || y >= height as f64 {
                return WHITE;
            }
            grey.get(y as usize * width + x as usize).map_or(WHITE, |&grey| grey.into())
        };
        let (left, top) = (x.floor(), y.floor());
        [top, top + 1.0].map(|y| [pixel(left, y), pixel(left + 1.0, y)])
    };
    let part = |at: f64, whole: usize| if at >= 0.0 { at - whole as f64 } else { at - at.floor() };
    let (right_part, lower_part) = (part(x, column), part(y, row));
    let along = |[left, right]: [f64; 2]| left * (1.0 - right_part) + right * right_part;
    along(upper) * (1.0 - lower_part) + along(lower) * lower_part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_turned_is_the_picture_elsewhere() {
        let (width, height) = (60, 40);
        let smooth = |x: usize, y: usize| (20 + 3 * x + y) as u8;
        let grey: Vec<u8> = (0..height).flat_map(|y| (0..width).map(move |x| smooth(x, y))).collect();
        for degrees in [0.0, 30.0, 60.0, 90.0, 120.0, 150.0] {
            let turned = turned(&grey, (width, height), degrees);
            assert_eq!(turned.grey.len(), turned.size.0 * turned.size.1);
            let mut seen = 0;
            for y in 0..turned.size.1 {
                for x in 0..turned.size.0 {
                    let [before_x, before_y] = turned.back([x as f64 + 0.5, y as f64 + 0.5]);
                    let inside = |at: f64, end: usize| at > 1.0 && at < end as f64 - 1.0;
                    if inside(before_x, width) && inside(before_y, height) {
                        let expected = 20.0 + 3.0 * (before_x - 0.5) + before_y - 0.5;
                        let got = f64::from(turned.grey[y * turned.size.0 + x]);
                        assert!((got - expected).abs() <= 0.6, "{degrees}: {got} {expected}");
                        seen += 1;
                    }
                }
            }
            assert!(seen > (width - 3) * (height - 3) - 200, "{degrees}: {seen}");
        }
    }

    #[test]
    fn between_pixels_it_is_linear_and_white_beyond() {
        let grey = [0, 100, 50, 150];
        let at = |x: f64, y: f64| sample(&grey, (2, 2), [x, y]);
        assert_eq!([at(0.5, 0.5), at(1.5, 0.5), at(1.0, 0.5), at(1.0, 1.0)], [0.0, 100.0, 50.0, 75.0]);
        assert_eq!([at(0.0, 0.5), at(2.0, 1.5), at(-3.0, 1.0), at(1.0, 9.0)], [127.5, 202.5, 255.0, 255.0]);
    }

    #[test]
    fn reduced_pixels_are_the_means_of_their_squares() {
        let grey = vec![10, 20, 99, 30, 40, 99, 0, 1, 99, 1, 0, 99, 7, 7, 7];
        assert_eq!(reduced(grey.clone(), (3, 5), 2), (vec![25, 1], (1, 2)));
        assert_eq!(reduced(grey.clone(), (3, 5), 1), (grey, (3, 5)));
    }

    #[test]
    fn what_lies_within_corners_is_painted_over() {
        let mut picture = turned(&[0; 400], (20, 20), 0.0);
        picture.paint_over(&[[10.0, 5.0], [15.0, 10.0], [10.0, 15.0], [5.0, 10.0]]);
        let white = |x: usize, y: usize| picture.grey[y * 20 + x] == 255;
        assert!(white(10, 10) && white(10, 3) && white(3, 10), "inside, and a little beyond");
        assert!(!white(3, 3) && !white(16, 16) && !white(10, 0), "outside");
    }

    #[test]
    fn there_and_back_is_the_same_place() {
        let turned = turned(&[0; 12], (4, 3), 30.0);
        let corner = turned.back([turned.size.0 as f64 / 2.0, turned.size.1 as f64 / 2.0]);
        assert!((corner[0] - 2.0).abs() < 1e-9 && (corner[1] - 1.5).abs() < 1e-9, "{corner:?}");
    }
}
