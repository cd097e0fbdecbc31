//! Findings drawn on the image, to be seen at a glance: bright rings and outlines with a dark halo, so that they stand
//! out on light and on dark ground, and for people with any colour vision.

use algorithm::Rectangle;
use imaging::{Deadline, Image, ImageError};

use crate::{DetectError, Entry, Findings};

/// The longest side of an overlay, in pixels.
const MAX_SIDE: u32 = 2048;
/// The longest side that is reduced with all of its pixels. Reducing takes some fifty bytes for each pixel along it,
/// and an image with a longer side is a line.
const LONGEST: u32 = 1 << 20;
/// The number of marks between two checks of the deadline.
const MARKS_PER_CHECK: usize = 64;
const HALO: [u8; 3] = [0, 0, 0];
/// The border of the region that was searched.
const BORDER: [u8; 3] = [255, 255, 255];

/// The size of the overlay for an image of that width and height.
pub(crate) fn size(image: (u32, u32)) -> (u32, u32) {
    Image::size_within(image, MAX_SIDE)
}

/// Draws the overlay: the image reduced to fit [`MAX_SIDE`], a border around the region that was searched, and a mark
/// for each finding. The border lies lowest, then all halos, then all marks; where marks overlap, that of the earlier
/// finding is on top.
///
/// # Errors
/// [`DetectError::TimedOut`] when the deadline passes, which is checked every few hundred marks.
pub(crate) fn draw(
    findings: &Findings,
    image: &Image,
    region: Option<Rectangle>,
    deadline: Deadline,
) -> Result<Image, DetectError> {
    let thinned = thinned(image);
    let reduced =
        thinned.as_ref().unwrap_or(image).fitted(MAX_SIDE, deadline).map_err(|error| match error {
            ImageError::TimeLimit(late) => DetectError::TimedOut(late),
            other => DetectError::Encode(other),
        })?;
    let (width, height) = (reduced.width(), reduced.height());
    let scale = [f64::from(width) / f64::from(image.width()), f64::from(height) / f64::from(image.height())]
        .map(|s| s as f32);
    let place = |[x, y]: [f32; 2]| [x * scale[0], y * scale[1]];
    let mark = Mark::fitting(width, height, findings.len(), typical_size(findings) * scale[0]);
    let mut canvas = Canvas { width, height, rgba: reduced.rgba().to_vec() };
    if let Some(region) = region {
        let mark = Mark::fitting(width, height, 1, f32::INFINITY);
        // The border runs between pixels, so a thinner stroke would cover none of them fully.
        let border = mark.stroke.max(1.0);
        let halo = border + mark.halo - mark.stroke;
        let corners = corners(region).map(place);
        for (stroke, color, alpha) in [(halo, HALO, 0.75), (border, BORDER, 1.0)] {
            for (nth, from) in corners.into_iter().enumerate() {
                canvas.line(from, corners[(nth + 1) % corners.len()], Pen { stroke, color, alpha });
            }
        }
    }
    for (stroke, own, alpha) in [(mark.halo, Some(HALO), 0.75), (mark.stroke, None, 1.0)] {
        for (i, entry) in findings.entries().enumerate().rev() {
            if i.is_multiple_of(MARKS_PER_CHECK) {
                deadline.check()?;
            }
            let color = own.unwrap_or_else(|| findings.schema().color(&entry));
            if entry.outline.is_empty() {
                let radius = entry.radius.map_or(mark.radius, |radius| (radius as f32 * scale[0]).max(2.0));
                canvas.ring(place([entry.x as f32, entry.y as f32]), radius, Pen { stroke, color, alpha });
            } else {
                let next = entry.outline.iter().cycle().skip(1);
                for (from, to) in entry.outline.iter().zip(next) {
                    canvas.line(place(*from), place(*to), Pen { stroke, color, alpha });
                }
            }
        }
    }
    Ok(Image::new(width, height, canvas.rgba).unwrap_or(reduced))
}

/// Some of an image's pixels, in rows and columns as far apart as each other, where a side is longer than [`LONGEST`];
/// `None` for any other image.
fn thinned(image: &Image) -> Option<Image> {
    let by = image.width().max(image.height()).div_ceil(LONGEST) as usize;
    if by < 2 {
        return None;
    }
    let pixels = image.rgba().as_chunks::<4>().0;
    let rows = pixels.chunks_exact(image.width() as usize).step_by(by);
    let rgba: Vec<u8> = rows.flat_map(|row| row.iter().step_by(by)).flatten().copied().collect();
    let [width, height] = [image.width(), image.height()].map(|side| side.div_ceil(by as u32));
    Image::new(width, height, rgba)
}

/// The corners of a region, in order around it.
fn corners(Rectangle { x, y, width, height }: Rectangle) -> [[f32; 2]; 4] {
    let [left, top] = [x, y].map(|start| start as f32);
    let [right, bottom] = [x.saturating_add(width), y.saturating_add(height)].map(|end| end as f32);
    [[left, top], [right, top], [right, bottom], [left, bottom]]
}

/// The sizes of marks, in pixels of the overlay.
struct Mark {
    /// The distance from the centre of a ring to the middle of its stroke.
    radius: f32,
    /// Half the width of the bright stroke.
    stroke: f32,
    /// Half the width of the dark stroke below the bright one.
    halo: f32,
}

impl Mark {
    /// Chooses sizes for a number of findings, most of which have about the given size. A mark is large enough to be
    /// seen when the whole image is on a screen, and small enough to leave the image visible where there are many
    /// findings and to leave the inside of small ones free.
    fn fitting(width: u32, height: u32, count: usize, size: f32) -> Self {
        let side = width.max(height) as f32;
        let room = (width as f32 * height as f32 / count.max(1) as f32).sqrt();
        let radius = (side / 180.0).min(0.3 * room).min(0.25 * size).clamp(3.0, 12.0);
        let stroke = (radius * 0.19).clamp(0.65, 2.0);
        Self { radius, stroke, halo: stroke + (radius * 0.16).clamp(0.8, 1.8) }
    }
}

/// The median of the findings' longer sides, in pixels of the image; infinite if most are points.
fn typical_size(findings: &Findings) -> f32 {
    let side = |entry: Entry<'_>| match entry.radius {
        Some(radius) => 2.0 * radius as f32,
        None if entry.outline.is_empty() => f32::INFINITY,
        None => {
            let along = |k: usize| {
                let [low, high] =
                    entry.outline.iter().fold([f32::INFINITY, f32::NEG_INFINITY], |ends, vertex| {
                        [ends[0].min(vertex[k]), ends[1].max(vertex[k])]
                    });
                high - low
            };
            along(0).max(along(1))
        }
    };
    let mut sides: Vec<f32> = findings.entries().map(side).collect();
    let middle = sides.len() / 2;
    if sides.is_empty() { f32::INFINITY } else { *sides.select_nth_unstable_by(middle, f32::total_cmp).1 }
}

/// How a stroke is drawn.
#[derive(Clone, Copy)]
struct Pen {
    /// Half its width in pixels.
    stroke: f32,
    color: [u8; 3],
    /// Its opacity, 0 to 1.
    alpha: f32,
}

struct Canvas {
    width: u32,
    height: u32,
    rgba: Vec<u8>,
}

impl Canvas {
    fn ring(&mut self, [cx, cy]: [f32; 2], radius: f32, pen: Pen) {
        let width = pen.stroke + 1.0;
        let (outer, inner) = (radius + width, (radius - width).max(0.0));
        let chord = |radius: f32, dy: f32| (radius * radius - dy * dy).max(0.0).sqrt();
        // Only the pixels between the two circles are visited, row by row, and not the inside of a large disc.
        for y in (cy - outer).floor().max(0.0) as u32..((cy + outer).ceil() as u32).min(self.height) {
            let (top, bottom) = (y as f32, y as f32 + 1.0);
            let nearest = (cy - cy.clamp(top, bottom)).abs();
            let farthest = (cy - top).abs().max((cy - bottom).abs());
            let (outer, inner) = (chord(outer, nearest), chord(inner, farthest));
            let distance = |x: f32, y: f32| ((x - cx).hypot(y - cy) - radius).abs();
            let left_end = if inner > 0.0 { (cx - inner).ceil() } else { cx.floor() };
            self.stroke([cx - outer, top], [left_end, bottom], pen, distance);
            let right_start = if inner > 0.0 { (cx + inner).floor().max(left_end) } else { left_end };
            self.stroke([right_start, top], [cx + outer, bottom], pen, distance);
        }
    }

    fn line(&mut self, [ax, ay]: [f32; 2], [bx, by]: [f32; 2], pen: Pen) {
        let reach = pen.stroke + 1.0;
        let (dx, dy) = (bx - ax, by - ay);
        let length = (dx * dx + dy * dy).max(f32::MIN_POSITIVE);
        let low = [ax.min(bx) - reach, ay.min(by) - reach];
        let high = [ax.max(bx) + reach, ay.max(by) + reach];
        self.stroke(low, high, pen, |x, y| {
            let along = (((x - ax) * dx + (y - ay) * dy) / length).clamp(0.0, 1.0);
            (x - ax - along * dx).hypot(y - ay - along * dy)
        });
    }

    /// Colours every pixel between `low` and `high` by the part of it that lies within the stroke. `distance` gives the
    /// distance from the centre of a pixel to the middle of the stroke.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, as it should here"
    )]
    fn stroke(&mut self, low: [f32; 2], high: [f32; 2], pen: Pen, distance: impl Fn(f32, f32) -> f32) {
        for y in low[1].floor() as u32..(high[1].ceil() as u32).min(self.height) {
            for x in low[0].floor() as u32..(high[0].ceil() as u32).min(self.width) {
                let covered = (pen.stroke + 0.5 - distance(x as f32 + 0.5, y as f32 + 0.5)).clamp(0.0, 1.0);
                if covered > 0.0 {
                    self.blend(x, y, pen.color, covered * pen.alpha);
                }
            }
        }
    }

    /// Composites a colour over the pixel ("source over"), on straight alpha.
    fn blend(&mut self, x: u32, y: u32, color: [u8; 3], alpha: f32) {
        let at = 4 * (y as usize * self.width as usize + x as usize);
        let Some([r, g, b, a]) = self.rgba.get_mut(at..at + 4).and_then(|p| <&mut [u8; 4]>::try_from(p).ok())
        else {
            return;
        };
        let below = f32::from(*a) / 255.0 * (1.0 - alpha);
        let total = alpha + below;
        for (channel, new) in [r, g, b].into_iter().zip(color) {
            *channel = ((f32::from(new) * alpha + f32::from(*channel) * below) / total).round() as u8;
        }
        *a = (total * 255.0).round() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, Column, Digits, Schema};

    static SCHEMA: Schema = Schema {
        list: "points",
        class: Class { name: "Point", color: [240, 228, 66] },
        columns: &[],
        labels: &[],
        radius: None,
        opposite: None,
    };

    fn drawn_on(findings: &Findings, image: &Image, region: Option<Rectangle>) -> Image {
        draw(findings, image, region, Deadline::none()).expect("no deadline")
    }

    fn pixel(image: &Image, x: u32, y: u32) -> &[u8] {
        &image.rgba()[4 * (y * image.width() + x) as usize..][..4]
    }

    #[test]
    fn a_ring_lies_around_its_point_and_leaves_it_visible() {
        let white = Image::new(100, 80, vec![255; 100 * 80 * 4]).expect("an image");
        let mut findings = Findings::new(&SCHEMA);
        findings.push(50.5, 40.5, []);
        let drawn = drawn_on(&findings, &white, None);
        assert_eq!((drawn.width(), drawn.height()), (100, 80));
        assert_eq!(pixel(&drawn, 50, 40), [255; 4]);
        assert_eq!(pixel(&drawn, 53, 40), [240, 228, 66, 255]);
        assert!(pixel(&drawn, 54, 40)[0] < 128, "a dark halo outside the ring: {:?}", pixel(&drawn, 54, 40));
        assert_eq!(pixel(&drawn, 60, 40), [255; 4]);
    }

    #[test]
    fn the_inside_of_small_outlines_is_left_free_on_a_large_image() {
        let white = Image::new(1600, 1200, vec![255; 1600 * 1200 * 4]).expect("an image");
        let mut findings = Findings::new(&SCHEMA);
        for (x, y) in [(100.5, 100.5), (800.5, 700.5), (1500.5, 30.5)] {
            let square = [[x, y], [x + 6.0, y], [x + 6.0, y + 6.0], [x, y + 6.0]];
            findings.push_outlined(f64::from(x) + 3.0, f64::from(y) + 3.0, [], &square);
        }
        let drawn = drawn_on(&findings, &white, None);
        assert_eq!(pixel(&drawn, 803, 703), [255; 4]);
        assert_eq!(pixel(&drawn, 803, 700), [240, 228, 66, 255]);
    }

    #[test]
    fn marks_at_the_corners_and_on_nothing_stay_inside() {
        let clear = Image::new(9, 1, vec![0; 36]).expect("an image");
        let mut findings = Findings::new(&SCHEMA);
        findings.push(0.0, 0.0, []);
        findings.push_outlined(9.0, 1.0, [], &[[0.0, 0.0], [9.0, 1.0], [-4.0, 1e9]]);
        let drawn = drawn_on(&findings, &clear, None);
        assert_eq!(pixel(&drawn, 3, 0)[3], 255, "what is drawn is opaque on clear ground");
    }

    #[test]
    fn the_overlay_of_a_line_is_a_line() {
        let line = Image::new(2 * LONGEST + 1, 1, [9, 80, 200, 255].repeat(2 * LONGEST as usize + 1));
        let line = line.expect("an image");
        let drawn = drawn_on(&Findings::new(&SCHEMA), &line, None);
        assert_eq!((drawn.width(), drawn.height()), size((line.width(), 1)));
        assert_eq!(pixel(&drawn, 1000, 0), [9, 80, 200, 255]);
    }

    #[test]
    fn opposites_are_told_apart_by_their_colours() {
        static OPPOSITES: Schema = Schema {
            list: "blobs",
            class: Class { name: "Blob", color: [240, 228, 66] },
            columns: &[Column { name: "polarity", unit: None, digits: Digits::Decimals(0) }],
            labels: &[],
            radius: None,
            opposite: Some((0, [86, 180, 233])),
        };
        let grey = Image::new(100, 80, [128, 128, 128, 255].repeat(100 * 80)).expect("an image");
        let mut findings = Findings::new(&OPPOSITES);
        findings.push(20.5, 40.5, [1.0]);
        findings.push(70.5, 40.5, [-1.0]);
        let drawn = drawn_on(&findings, &grey, None);
        assert_eq!(pixel(&drawn, 23, 40), [240, 228, 66, 255]);
        assert_eq!(pixel(&drawn, 73, 40), [86, 180, 233, 255]);
    }

    #[test]
    fn the_region_has_a_border_where_it_lies_and_the_rest_is_as_it_was() {
        let region = |x, y, width, height| Some(Rectangle { x, y, width, height });
        let grey = |width: u32, height: u32| {
            Image::new(width, height, [128, 128, 128, 255].repeat((width * height) as usize))
                .expect("an image")
        };
        let findings = Findings::new(&SCHEMA);
        let drawn = drawn_on(&findings, &grey(100, 80), region(20, 10, 50, 40));
        for (x, y) in [(20, 10), (45, 10), (69, 30), (45, 49), (20, 30)] {
            assert!(pixel(&drawn, x, y)[0] > 200, "({x}, {y}): {:?}", pixel(&drawn, x, y));
        }
        for (x, y) in [(45, 30), (10, 30), (85, 30), (45, 65), (5, 5)] {
            assert_eq!(pixel(&drawn, x, y), [128, 128, 128, 255], "({x}, {y})");
        }
        // Half as large, and the border with it.
        let reduced = drawn_on(&findings, &grey(4096, 200), region(1000, 50, 2000, 100));
        assert_eq!((reduced.width(), reduced.height()), size((4096, 200)));
        assert_eq!((reduced.width(), reduced.height()), (2048, 100));
        assert!(pixel(&reduced, 500, 50)[0] > 200 && pixel(&reduced, 1500, 50)[0] > 200);
        assert_eq!(pixel(&reduced, 1000, 50), [128, 128, 128, 255]);
        // At the image's own edge it is half of it that is seen.
        let whole = drawn_on(&findings, &grey(100, 80), region(0, 0, 100, 80));
        assert!(pixel(&whole, 0, 40)[0] > 128 && pixel(&whole, 99, 79)[0] > 128);
    }
}
