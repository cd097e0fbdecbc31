//! The description beside a model: a small JSON that states the model's input and output.
//!
//! Only `input.width`, `input.height`, `output` and `classes` are required. The guide documents the members. Unknown
//! members are refused, so that a misspelt one is not silently left at its default.

use serde::Deserialize;

use super::model::ModelError;

/// The longest side of an input, and the most pixels: 1448 × 1448, for instance, or 2048 × 1024. A network keeps some
/// hundred bytes for each pixel.
const MOST_SIDE: usize = 2048;
const MOST_PIXELS: usize = 2 << 20;
/// The shortest side of a tile. With shorter ones, a picture would have too many tiles.
const LEAST_TILE: usize = 32;
/// The most classes, which is also the greatest label that the first class may have, and the most characters of a
/// class's name.
const MOST_CLASSES: usize = 10_000;
const MOST_NAME: usize = 100;

/// A description that has been read and checked.
#[derive(Debug)]
pub struct Description {
    pub(super) input: Input,
    pub(super) output: Output,
    pub(super) classes: Vec<String>,
    /// The least score of a finding, unless the parameters give one.
    pub(super) min_score: f64,
    pub(super) suppression: Suppression,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    input: Input,
    output: Output,
    classes: Vec<String>,
    #[serde(default = "quarter")]
    min_score: f64,
    #[serde(default)]
    nms: Suppression,
}

/// The input: how a picture is presented to the model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    pub(super) width: usize,
    pub(super) height: usize,
    #[serde(default)]
    pub(super) fit: Fit,
    /// The number of pixels that tiles share with their neighbours; a quarter of the shorter side if it is left out.
    overlap: Option<u32>,
    /// The colour of the padding beside the picture: red, green and blue from 0 to 255.
    #[serde(default = "grey")]
    pub(super) pad: [u8; 3],
    #[serde(default)]
    pub(super) align: Align,
    #[serde(default)]
    pub(super) layout: Layout,
    #[serde(default)]
    pub(super) channels: Channels,
    /// The factor that a sample, 0 to 255, is multiplied by first. If it is left out, 1/255, or 1 for a model that
    /// takes bytes.
    pub(super) scale: Option<f32>,
    /// The number that is then subtracted from each channel, in the model's order of channels.
    #[serde(default)]
    mean: Vec<f32>,
    /// The number that each channel is divided by at last.
    #[serde(default)]
    std: Vec<f32>,
}

/// The way in which a picture is fitted to an input of another size.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fit {
    /// Resized as a whole with its proportions, and padded.
    #[default]
    Letterbox,
    /// Resized as a whole without regard to its proportions.
    Stretch,
    /// Cut into tiles that are not resized.
    Tile,
}

/// The position of a picture within its padding.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Align {
    #[default]
    Centre,
    TopLeft,
}

/// The order of an input's axes.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Layout {
    #[default]
    Nchw,
    Nhwc,
}

/// The channels of an input, in their order.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Channels {
    #[default]
    Rgb,
    Bgr,
    /// One channel: 0.299 R + 0.587 G + 0.114 B.
    Grey,
}

/// The output: its layout, and the meaning of its numbers.
#[derive(Debug, Deserialize)]
#[serde(tag = "layout", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Output {
    /// `[1, N, 5 + classes]`: x, y, width, height, the probability of any object, and a score for each class.
    Yolov5 {
        #[serde(default)]
        coordinates: Coordinates,
        #[serde(default)]
        logits: bool,
    },
    /// `[1, 4 + classes, N]`: x, y, width, height, and a score for each class.
    Yolov8 {
        #[serde(default)]
        coordinates: Coordinates,
        #[serde(default)]
        logits: bool,
    },
    /// `[1, N, 6]`: left, top, right, bottom, score and class.
    EndToEnd {
        #[serde(default)]
        coordinates: Coordinates,
        #[serde(default)]
        first_class: u32,
    },
    /// One output of boxes, `[N, 4]`, and one of scores: either `[N]` with an output of labels, `[N]`, or `[N,
    /// classes]` without one. Each may have a leading 1.
    Separate {
        boxes: String,
        scores: String,
        labels: Option<String>,
        #[serde(default)]
        form: Boxes,
        #[serde(default)]
        coordinates: Coordinates,
        #[serde(default)]
        first_class: u32,
        #[serde(default)]
        logits: bool,
    },
}

/// The meaning of the four numbers of a box.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Boxes {
    /// Left, top, right, bottom.
    #[default]
    Xyxy,
    /// Top, left, bottom, right.
    Yxyx,
    /// Left, top, width, height.
    Xywh,
    /// The centre's x and y, width, height.
    Cxcywh,
}

/// The unit of coordinates.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Coordinates {
    /// Pixels of the input.
    #[default]
    Pixels,
    /// Parts of the input's width and height, which count as 1.
    Normalised,
}

/// Non-maximum suppression.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Suppression {
    /// Of two findings whose intersection is more than this part of their union, the weaker one is dropped.
    pub(super) iou: f64,
    /// Whether a finding may be dropped for one of another class.
    pub(super) across_classes: bool,
    /// Whether a finding may be dropped only for one of another showing, because the model has suppressed those of one
    /// showing itself.
    #[serde(skip)]
    pub(super) between_showings: bool,
}

impl Default for Suppression {
    fn default() -> Self {
        Self { iou: 0.45, across_classes: false, between_showings: false }
    }
}

fn quarter() -> f64 {
    0.25
}

fn grey() -> [u8; 3] {
    [114; 3]
}

impl Description {
    /// Reads and checks a description.
    ///
    /// # Errors
    /// [`ModelError::Description`].
    pub fn read(json: &[u8]) -> Result<Self, ModelError> {
        let written: Written =
            serde_json::from_slice(json).map_err(|error| ModelError::Description(error.to_string()))?;
        let Written { input, output, classes, min_score, nms } = written;
        let refuse = |what: &str| Err(ModelError::Description(what.to_owned()));
        let pixels = input.width.saturating_mul(input.height);
        if ![input.width, input.height].iter().all(|side| (1..=MOST_SIDE).contains(side))
            || pixels > MOST_PIXELS
        {
            return refuse(&format!(
                "`input.width` and `input.height` must be from 1 to {MOST_SIDE}, and at most {MOST_PIXELS} pixels in all"
            ));
        }
        let shorter = input.width.min(input.height);
        if input.fit == Fit::Tile && shorter < LEAST_TILE {
            return refuse(&format!(
                "`input.width` and `input.height` must be at least {LEAST_TILE} where `input.fit` is `tile`"
            ));
        }
        if input.overlap() as usize > shorter / 2 {
            return refuse("`input.overlap` must be at most half of the shorter side");
        }
        if output.first_class() as usize > MOST_CLASSES {
            return refuse(&format!("`output.first_class` must be at most {MOST_CLASSES}"));
        }
        let channels = input.channels.count();
        let fits = |values: &[f32]| values.is_empty() || values.len() == channels;
        if !fits(&input.mean) || !fits(&input.std) {
            return refuse(&format!(
                "`input.mean` and `input.std` must have {channels} numbers, one a channel"
            ));
        }
        let divides = |value: &f32| value.is_normal();
        if !input.std.iter().all(divides)
            || !input.scale.iter().all(divides)
            || !input.mean.iter().all(|m| m.is_finite())
        {
            return refuse(
                "`input.scale` and `input.std` must not be 0, and no number beyond what 32 bits hold",
            );
        }
        if !(1..=MOST_CLASSES).contains(&classes.len())
            || !classes.iter().all(|name| (1..=MOST_NAME).contains(&name.chars().count()))
            || classes.iter().any(|name| name.chars().any(char::is_control))
        {
            return refuse(&format!(
                "`classes` must be 1 to {MOST_CLASSES} names of 1 to {MOST_NAME} characters each"
            ));
        }
        if !(0.0..=1.0).contains(&min_score) || !(0.0..=1.0).contains(&nms.iou) {
            return refuse("`min_score` and `nms.iou` must be from 0 to 1");
        }
        let suppression = Suppression { between_showings: output.is_suppressed(), ..nms };
        Ok(Self { input, output, classes, min_score, suppression })
    }

    /// The shape of the model's input.
    #[must_use]
    pub fn shape(&self) -> [usize; 4] {
        self.input.shape()
    }
}

impl Input {
    /// The least number of pixels that a tile shares with its neighbour.
    pub(super) fn overlap(&self) -> u32 {
        self.overlap.unwrap_or((self.width.min(self.height) / 4) as u32)
    }

    /// The number that is subtracted from a channel after scaling, and the one that it is divided by then.
    pub(super) fn normalisation(&self, channel: usize) -> (f32, f32) {
        let of = |values: &[f32], default| values.get(channel).copied().unwrap_or(default);
        (of(&self.mean, 0.0), of(&self.std, 1.0))
    }

    /// The shape of the model's input.
    pub(super) fn shape(&self) -> [usize; 4] {
        match self.layout {
            Layout::Nchw => [1, self.channels.count(), self.height, self.width],
            Layout::Nhwc => [1, self.height, self.width, self.channels.count()],
        }
    }
}

impl Output {
    /// The label of the first class.
    fn first_class(&self) -> u32 {
        match self {
            Self::Yolov5 { .. } | Self::Yolov8 { .. } => 0,
            Self::EndToEnd { first_class, .. } | Self::Separate { first_class, .. } => *first_class,
        }
    }

    /// Whether the model itself suppresses overlapping boxes within one run.
    fn is_suppressed(&self) -> bool {
        matches!(self, Self::EndToEnd { .. } | Self::Separate { labels: Some(_), .. })
    }
}

impl Channels {
    pub(super) fn count(self) -> usize {
        if self == Self::Grey { 1 } else { 3 }
    }
}

impl Coordinates {
    /// The factors that turn an x and a y into pixels of the input.
    pub(super) fn unit(self, input: &Input) -> [f64; 2] {
        match self {
            Self::Pixels => [1.0; 2],
            Self::Normalised => [input.width as f64, input.height as f64],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn whole() -> Value {
        json!({
            "input": {"width": 640, "height": 480},
            "output": {"layout": "yolov8"},
            "classes": ["cat", "dog"],
        })
    }

    fn read(description: &Value) -> Result<Description, ModelError> {
        Description::read(description.to_string().as_bytes())
    }

    #[test]
    fn silence_means_the_documented_defaults() {
        let description = read(&whole()).expect("valid");
        assert_eq!(description.input.shape(), [1, 3, 480, 640]);
        assert_eq!((description.input.overlap(), description.input.pad), (120, [114; 3]));
        assert_eq!(description.input.normalisation(2), (0.0, 1.0));
        assert_eq!((description.min_score, description.suppression.iou), (0.25, 0.45));
        assert!(matches!(
            description.output,
            Output::Yolov8 { coordinates: Coordinates::Pixels, logits: false }
        ));
    }

    #[test]
    fn an_impossible_value_is_refused_with_its_name() {
        for (pointer, value, named) in [
            ("/input/width", json!(0), "input.width"),
            ("/input/height", json!(4096), "input.height"),
            ("/input/overlap", json!(241), "input.overlap"),
            ("/input/overlap", json!(u32::MAX), "input.overlap"),
            ("/input/overlap", json!(u64::MAX), "u32"),
            ("/input", json!({"width": 31, "height": 480, "fit": "tile"}), "input.width"),
            ("/output", json!({"layout": "end_to_end", "first_class": 10_001}), "output.first_class"),
            ("/output", json!({"layout": "end_to_end", "first_class": u64::MAX}), "u32"),
            ("/input/mean", json!([0.5]), "input.mean"),
            ("/input/std", json!([1, 0, 1]), "input.std"),
            ("/input/scale", json!(0), "input.scale"),
            ("/input/fit", json!("crop"), "crop"),
            ("/input/widht", json!(1), "widht"),
            ("/output/layout", json!("yolov1"), "yolov1"),
            ("/output/boxes", json!("boxes"), "boxes"),
            ("/classes", json!([]), "classes"),
            ("/classes", json!(["a\nb"]), "classes"),
            ("/min_score", json!(1.5), "min_score"),
            ("/nms", json!({"iou": -1}), "nms.iou"),
            ("/threshold", json!(1), "threshold"),
        ] {
            let mut description = whole();
            let (parent, member) = pointer.rsplit_once('/').expect("a member");
            description.pointer_mut(parent).expect("there")[member] = value;
            let error = read(&description).expect_err(pointer);
            assert_eq!(error.code(), "invalid_model_description");
            assert!(error.to_string().contains(named), "{pointer}: {error}");
        }
        let error = Description::read(b"{").expect_err("no JSON");
        assert_eq!(error.code(), "invalid_model_description");
    }
}
