//! Prepares the model's input: the picture resized to it, or tiles of the picture as they are.

use algorithm::Rectangle;
use imaging::{Deadline, TimedOut};

use super::{
    description::{Align, Channels, Fit, Input, Layout},
    model::ModelError,
};
use crate::{pace::Looks, window::Window};

/// The number of pixels that are composited between two checks of the deadline.
const PIXELS_PER_CHECK: usize = 1 << 20;

/// The most tiles that a region is cut into.
const MOST_TILES: u64 = 10_000;

/// One run of the model: a part of the picture, and the part of the input that shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Showing {
    /// The part of the region, in whole pixels from its top left.
    pub(super) part: Rectangle,
    /// The place of that part in the input, in pixels of the input: left, top, width and height.
    pub(super) at: [u32; 4],
    /// The range, across and down, in which the centres of this showing's findings must lie. Findings farther out are
    /// left to the neighbouring tile, which sees more around them.
    pub(super) own: [[f64; 2]; 2],
}

impl Showing {
    /// Converts a place in the input to the place in the region that it shows.
    pub(super) fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let Rectangle { x: left, y: top, width, height } = self.part;
        let [at_left, at_top, at_width, at_height] = self.at.map(f64::from);
        (
            f64::from(left) + (x - at_left) * f64::from(width) / at_width,
            f64::from(top) + (y - at_top) * f64::from(height) / at_height,
        )
    }
}

/// All showings of a region of that size, from left to right and from top to bottom.
///
/// # Errors
/// [`ModelError::TooManyTiles`] where the region would have to be cut into more than [`MOST_TILES`].
pub(super) fn showings(
    input: &Input,
    size: [u32; 2],
) -> Result<impl Iterator<Item = Showing> + use<>, ModelError> {
    let [width, height] = [input.width, input.height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    let everything = [[f64::NEG_INFINITY, f64::INFINITY]; 2];
    let part = Rectangle { x: 0, y: 0, width: size[0], height: size[1] };
    let whole = match input.fit {
        Fit::Stretch => Some(Showing { part, at: [0, 0, width, height], own: everything }),
        Fit::Letterbox => {
            let scale =
                (f64::from(width) / f64::from(part.width)).min(f64::from(height) / f64::from(part.height));
            let within = |side: u32, most: u32| ((f64::from(side) * scale + 0.5) as u32).clamp(1, most);
            let (across, down) = (within(part.width, width), within(part.height, height));
            let (left, top) = match input.align {
                Align::Centre => ((width - across) / 2, (height - down) / 2),
                Align::TopLeft => (0, 0),
            };
            Some(Showing { part, at: [left, top, across, down], own: everything })
        }
        Fit::Tile => None,
    };
    let [columns, rows] = [(part.width, width), (part.height, height)]
        .map(|(length, side)| Axis::new(length, side, input.overlap()));
    let tiles = u64::from(columns.count) * u64::from(rows.count);
    if whole.is_none() && tiles > MOST_TILES {
        return Err(ModelError::TooManyTiles { tiles, most: MOST_TILES });
    }
    let rows_shown = if whole.is_some() { 0 } else { rows.count };
    let tile = move |row: Piece, column: Piece| Showing {
        part: Rectangle { x: column.start, y: row.start, width: column.length, height: row.length },
        at: [0, 0, column.length, row.length],
        own: [column.own, row.own],
    };
    let row = move |y: u32| (0..columns.count).map(move |x| tile(rows.piece(y), columns.piece(x)));
    Ok(whole.into_iter().chain((0..rows_shown).flat_map(row)))
}

/// An axis that is covered with pieces of equal length, spread evenly. Each shares at least the overlap with the next.
#[derive(Clone, Copy)]
struct Axis {
    length: u32,
    side: u32,
    overlap: u32,
    count: u32,
}

/// A piece of an axis, and the range of centres that it answers for.
struct Piece {
    start: u32,
    length: u32,
    own: [f64; 2],
}

impl Axis {
    fn new(length: u32, side: u32, overlap: u32) -> Self {
        let count = if length <= side { 1 } else { (length - overlap).div_ceil(side - overlap) };
        Self { length, side, overlap, count }
    }

    fn piece(self, i: u32) -> Piece {
        let last = self.count - 1;
        let (side, spare) = (self.side.min(self.length), self.length.saturating_sub(self.side));
        let begin = |i: u32| (u64::from(spare) * u64::from(i) / u64::from(last.max(1))) as u32;
        // Two tiles do not place a thing at exactly the same pixel. Near the middle of what they share both answer for
        // it, and suppression drops one of the findings; without the slack, neither might answer for it.
        let slack = f64::from(self.overlap) / 8.0;
        let middle = |i: u32| (f64::from(begin(i) + side) + f64::from(begin(i + 1))) / 2.0;
        let from = if i == 0 { f64::NEG_INFINITY } else { middle(i - 1) - slack };
        let to = if i == last { f64::INFINITY } else { middle(i) + slack };
        Piece { start: begin(i), length: side, own: [from, to] }
    }
}

/// The picture as models see it, without transparency.
pub(super) struct Opaque<'a> {
    window: Window<'a>,
    /// The window composited over white, if any of it is transparent.
    composed: Option<Vec<u8>>,
}

impl<'a> Opaque<'a> {
    /// Composites a window over white where it is not opaque.
    pub(super) fn new(window: Window<'a>, deadline: Deadline) -> Result<Self, TimedOut> {
        let on_white = |value: u8, alpha: u8| {
            let (value, alpha) = (u32::from(value), u32::from(alpha));
            ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        let mut looks = Looks::each(PIXELS_PER_CHECK, deadline);
        let mut is_opaque = true;
        for row in 0..window.height {
            looks.count(window.width)?;
            is_opaque &= window.row(row).iter().all(|pixel| pixel[3] == 255);
        }
        if is_opaque {
            return Ok(Self { window, composed: None });
        }
        let mut rgba = Vec::with_capacity(4 * window.width * window.height);
        for row in 0..window.height {
            looks.count(window.width)?;
            let over_white =
                |[r, g, b, a]: &[u8; 4]| [on_white(*r, *a), on_white(*g, *a), on_white(*b, *a), 255];
            rgba.extend(window.row(row).iter().flat_map(over_white));
        }
        Ok(Self { window, composed: Some(rgba) })
    }

    /// Writes the samples of the model's input to `out`, in the model's order. `None` where the picture cannot be
    /// resampled.
    pub(super) fn show(&self, showing: &Showing, input: &Input, scale: f32, out: &mut [f32]) -> Option<()> {
        let [left, top, width, height] = showing.at;
        let pixels = self.resample(showing.part, (width, height))?;
        let shown = pixels.as_chunks::<4>().0;
        let samples = Samples::new(input, scale);
        let area = input.width * input.height;
        for channel in 0..input.channels.count() {
            let table = samples.table(channel);
            let mut put = |index: usize, value: f32| match input.layout {
                Layout::Nchw => out[channel * area + index] = value,
                Layout::Nhwc => out[index * input.channels.count() + channel] = value,
            };
            let beside = samples.value(&table, channel, input.pad);
            (0..area).for_each(|index| put(index, beside));
            for (y, row) in shown.chunks_exact(width as usize).enumerate() {
                let start = (top as usize + y) * input.width + left as usize;
                for (x, [r, g, b, _]) in row.iter().enumerate() {
                    put(start + x, samples.value(&table, channel, [*r, *g, *b]));
                }
            }
        }
        Some(())
    }

    /// A part of the region at that size, as Pillow's `BILINEAR` makes it. Pixels beside the part have no influence.
    fn resample(&self, part: Rectangle, target: (u32, u32)) -> Option<Vec<u8>> {
        match &self.composed {
            Some(rgba) => imaging::bilinear(rgba, self.window.size().into(), part, target).ok(),
            None => self.window.resample(part, target),
        }
    }
}

/// Converts samples to the numbers of the model's input.
struct Samples<'a> {
    input: &'a Input,
    scale: f32,
}

impl<'a> Samples<'a> {
    fn new(input: &'a Input, scale: f32) -> Self {
        Self { input, scale }
    }

    /// The number for each of the 256 values of a channel.
    fn table(&self, channel: usize) -> [f32; 256] {
        let (mean, std) = self.input.normalisation(channel);
        std::array::from_fn(|value| (value as f32 * self.scale - mean) / std)
    }

    /// The number for a channel of a pixel.
    fn value(&self, table: &[f32; 256], channel: usize, [r, g, b]: [u8; 3]) -> f32 {
        let sample = match (self.input.channels, channel) {
            // These are the weights and the rounding of Pillow and OpenCV.
            (Channels::Grey, _) => {
                ((u32::from(r) * 299 + u32::from(g) * 587 + u32::from(b) * 114 + 500) / 1000) as u8
            }
            (Channels::Rgb, 0) | (Channels::Bgr, 2) => r,
            (_, 1) => g,
            _ => b,
        };
        table[usize::from(sample)]
    }
}

#[cfg(test)]
mod tests {
    use imaging::Image;

    use super::*;

    fn input(json: &str) -> Input {
        serde_json::from_str(json).expect("an input")
    }

    fn all(input: &Input, size: [u32; 2]) -> Vec<Showing> {
        showings(input, size).expect("not too many").collect()
    }

    /// The input's samples for a picture of one grey with a red top left pixel.
    fn shown(input: &Input, scale: f32, width: u32, height: u32) -> Vec<f32> {
        let mut rgba = [50, 50, 50, 255].repeat((width * height) as usize);
        rgba[..3].copy_from_slice(&[250, 10, 20]);
        let image = Image::new(width, height, rgba).expect("an image");
        let showing = all(input, [width, height])[0];
        let mut out = vec![0.0; input.shape().iter().product()];
        Opaque::new(Window::whole(&image), Deadline::none())
            .expect("no deadline")
            .show(&showing, input, scale, &mut out)
            .expect("it fits");
        out
    }

    #[test]
    fn a_letterbox_keeps_the_proportions_and_leads_back() {
        let centred = input(r#"{"width": 64, "height": 64}"#);
        let [showing] = all(&centred, [200, 100])[..] else { panic!("one showing") };
        assert_eq!(showing.at, [0, 16, 64, 32]);
        assert_eq!(showing.place(0.0, 16.0), (0.0, 0.0));
        assert_eq!(showing.place(64.0, 48.0), (200.0, 100.0));
        let cornered = input(r#"{"width": 64, "height": 64, "align": "top_left"}"#);
        assert_eq!(all(&cornered, [100, 200])[0].at, [0, 0, 32, 64]);
        assert_eq!(all(&centred, [10_000, 1])[0].at, [0, 31, 64, 1], "never empty");
        let stretched = input(r#"{"width": 64, "height": 32, "fit": "stretch"}"#);
        assert_eq!(all(&stretched, [3, 500])[0].at, [0, 0, 64, 32]);
    }

    #[test]
    fn tiles_cover_everything_and_share_what_they_must() {
        let tiled = input(r#"{"width": 64, "height": 48, "fit": "tile", "overlap": 16}"#);
        assert_eq!(all(&tiled, [64, 48]).len(), 1, "what fits is one");
        assert_eq!(all(&tiled, [30, 20])[0].at, [0, 0, 30, 20]);
        for width in 65..400 {
            let tiles = all(&tiled, [width, 10]);
            assert_eq!((tiles[0].part.x, tiles[0].own[0][0]), (0, f64::NEG_INFINITY));
            let last = tiles.last().expect("several");
            assert_eq!((last.part.x + 64, last.own[0][1]), (width, f64::INFINITY));
            for pair in tiles.windows(2) {
                assert!(pair[0].part.x + 64 >= pair[1].part.x + 16, "{width}: {pair:?}");
                assert!(pair[0].own[0][1] > pair[1].own[0][0], "no place is nobody's");
            }
            assert_eq!(tiles.len(), (width as usize - 16).div_ceil(48), "no more than are needed");
        }
    }

    #[test]
    fn more_tiles_than_are_sensible_are_refused_before_any_is_made() {
        let tiled = input(r#"{"width": 32, "height": 32, "fit": "tile", "overlap": 16}"#);
        assert_eq!(all(&tiled, [1616, 1616]).len(), 10_000);
        let error = showings(&tiled, [1617, 1616]).map(Iterator::count).expect_err("one column more");
        assert_eq!(error.code(), "too_many_tiles");
        assert!(error.to_string().contains("10,100 tiles"), "{error}");
        assert!(showings(&tiled, [u32::MAX; 2]).is_err());
        let whole = input(r#"{"width": 32, "height": 32}"#);
        assert_eq!(all(&whole, [u32::MAX; 2]).len(), 1, "a letterbox is one showing");
    }

    #[test]
    fn samples_are_scaled_and_shifted_in_the_models_order() {
        let planes = input(r#"{"width": 2, "height": 1, "pad": [0, 1, 2]}"#);
        let expected = [250.0, 50.0, 10.0, 50.0, 20.0, 50.0];
        assert_eq!(shown(&planes, 1.0, 2, 1), expected);
        let mixed = input(r#"{"width": 2, "height": 1, "layout": "nhwc", "channels": "bgr"}"#);
        assert_eq!(shown(&mixed, 1.0, 2, 1), [20.0, 10.0, 250.0, 50.0, 50.0, 50.0]);
        let normalised = input(r#"{"width": 2, "height": 1, "mean": [1, 2, 3], "std": [2, 4, 8]}"#);
        assert_eq!(shown(&normalised, 0.5, 2, 1), [62.0, 12.0, 0.75, 5.75, 0.875, 2.75]);
        let grey = input(r#"{"width": 2, "height": 1, "channels": "grey"}"#);
        assert_eq!(shown(&grey, 1.0, 2, 1), [83.0, 50.0]);
        let padded = input(r#"{"width": 2, "height": 3, "fit": "tile", "pad": [7, 8, 9]}"#);
        assert_eq!(shown(&padded, 1.0, 2, 1)[..6], [250.0, 50.0, 7.0, 7.0, 7.0, 7.0]);
    }

    #[test]
    fn transparent_pixels_are_shown_on_white() {
        let image = Image::new(2, 1, vec![9, 9, 9, 255, 100, 0, 0, 51]).expect("an image");
        let region = Rectangle { x: 1, y: 0, width: 1, height: 1 };
        let window = Window::of(&image, Some(region)).expect("it lies inside");
        let input = input(r#"{"width": 1, "height": 1}"#);
        let mut out = [0.0; 3];
        let showing = all(&input, [1, 1])[0];
        let picture = Opaque::new(window, Deadline::none()).expect("no deadline");
        picture.show(&showing, &input, 1.0, &mut out).expect("it fits");
        assert_eq!(out, [224.0, 204.0, 204.0]);
    }
}
