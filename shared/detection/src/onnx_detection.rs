//! `onnx_detection`: the objects that a model of the user's own detects.
//!
//! The model is an ONNX file in the bucket of models. A JSON beside it describes its input and its output
//! ([`description`]). The crate `onnx` makes a [`Network`] of the file.
//!
//! 1. The picture, or its region, is resized to the model's input, or presented to it in tiles that overlap
//!    ([`shown`]).
//! 2. The outputs are read as boxes ([`answers`]).
//! 3. Each box is moved to its place in the region and clipped to it.
//! 4. Of boxes that overlap, only the best one is kept ([`suppress`]).
//!
//! A tile answers for the boxes whose centre is nearer to its own middle than to that of another tile, and for those a
//! little beyond. So a thing no larger than three quarters of the overlap lies wholly within each tile that answers for
//! it; where two tiles do, suppression leaves one box. Still, a network may judge a thing near the border of a tile
//! differently from one in the midst of a picture.
//!
//! The same model, picture and parameters give the same findings on the same kind of processor. Other kinds add in
//! another order, which may change a last digit. A picture of one colour has no findings, whatever the model would find
//! in it.

mod answers;
mod description;
mod model;
mod shown;
mod suppress;

use algorithm::{Kind, Parameter, Rectangle, Specification};
use serde::Deserialize;

use crate::{
    Class, Column, DetectError, Digits, Findings, Schema,
    algorithm::{Algorithm, Scene, bytes},
    window,
};
use answers::Answer;
pub use description::Description;
use description::Suppression;
pub use model::{Array, Cause, Model, ModelError, ModelSource, Network};
use shown::{Opaque, Showing, showings};
use suppress::{Found, suppress};

/// The parameters and the result of `onnx_detection`.
pub(crate) static SPECIFICATION: Specification = Specification {
    name: "onnx_detection",
    version: "4",
    summary: "Finds what a model of your own is trained to find: class, score and box of each, strongest first.",
    references: &[
        "ONNX, as tract 0.23 runs it",
        "the layouts of outputs of YOLOv5, YOLOv8 and torchvision.models.detection",
    ],
    parameters: &[
        Parameter {
            name: "model",
            summary: "The model's key in the bucket of models; the description lies beside it, with .json in place of .onnx.",
            unit: None,
            kind: Kind::Model,
        },
        Parameter {
            name: "min_score",
            summary: "The least score of a finding; without it, what the description says.",
            unit: None,
            kind: Kind::Number { min: 0.0, max: 1.0, default: None },
        },
        Parameter {
            name: "iou",
            summary: "Of two findings whose intersection is more than this part of their union, the weaker is dropped; \
                      without it, what the description says.",
            unit: None,
            kind: Kind::Number { min: 0.0, max: 1.0, default: None },
        },
        Parameter {
            name: "max_detections",
            summary: "At most so many are found, the strongest.",
            unit: None,
            kind: Kind::Integer { min: 1, max: 100_000, default: Some(10_000) },
        },
        window::REGION,
    ],
    ordered: &[],
    dependent: None,
    list: Some("detections"),
};

static SCHEMA: Schema = Schema {
    list: "detections",
    class: Class { name: "Detection", color: [240, 228, 66] },
    columns: &[
        Column { name: "width", unit: Some("px"), digits: Digits::Decimals(2) },
        Column { name: "height", unit: Some("px"), digits: Digits::Decimals(2) },
        Column { name: "score", unit: None, digits: Digits::Decimals(4) },
    ],
    labels: &["class"],
    radius: None,
    opposite: None,
};

/// The number of boxes, the strongest of all showings, that are compared for suppression.
const MOST_FOUND: usize = 100_000;
/// The bytes that a network may hold, of weights and of results: see the crate `onnx`.
const NETWORK: u64 = 512 << 20;
/// A box that ends within this many pixels of its tile's end may be a part of a larger thing.
const NEAR: f64 = 2.0;

#[derive(Deserialize)]
pub(crate) struct Settings {
    min_score: Option<f64>,
    iou: Option<f64>,
    max_detections: usize,
}

impl Algorithm for Settings {
    const SPECIFICATION: &'static Specification = &SPECIFICATION;

    fn memory(&self, [width, height]: [usize; 2]) -> u64 {
        // The picture over white, where it is not opaque. What the model takes is limited by itself.
        let boxes = bytes(2 * MOST_FOUND, size_of::<Found>() + size_of::<Answer>());
        bytes(width.saturating_mul(height), 4).saturating_add(boxes).saturating_add(NETWORK)
    }

    fn detect(&self, scene: &Scene<'_>) -> Result<Findings, DetectError> {
        let Scene { window, deadline, .. } = *scene;
        let model = scene.model()?;
        deadline.check()?;
        let mut findings = Findings::new(&SCHEMA);
        findings.made_by(model.source().clone());
        if window.is_of_one_colour() {
            return Ok(findings);
        }
        let size = window.size();
        let description = model.description();
        let min_score = self.min_score.unwrap_or(description.min_score);
        let suppression =
            Suppression { iou: self.iou.unwrap_or(description.suppression.iou), ..description.suppression };
        let picture = Opaque::new(window, deadline)?;
        let mut pixels = vec![0.0; description.shape().iter().product()];
        let mut all = Vec::new();
        for (i, showing) in showings(&description.input, size)?.enumerate() {
            deadline.check()?;
            picture
                .show(&showing, &description.input, model.scale(), &mut pixels)
                .ok_or(DetectError::Unshown)?;
            let outputs = model.network().run(&pixels, deadline)?;
            let answers = answers::read(model, &outputs, min_score)?;
            let found = answers.iter().filter_map(|answer| place(answer, &showing, i, size)).collect();
            all.extend(suppress(found, suppression, deadline)?);
            if all.len() > MOST_FOUND {
                all.sort_by(Found::before);
                all.truncate(MOST_FOUND);
            }
        }
        let kept = suppress(all, suppression, deadline)?;
        for found in kept.iter().take(self.max_detections) {
            let [left, top, right, bottom] = found.corners;
            let [x, y] = found.centre();
            let (x, y) = window.place(x, y);
            let outline = [[left, top], [right, top], [right, bottom], [left, bottom]].map(|[x, y]| {
                let (x, y) = window.place(x, y);
                [x as f32, y as f32]
            });
            findings.push_outlined(x, y, [right - left, bottom - top, found.score], &outline);
            findings.label([description.classes[found.class].clone()]);
        }
        Ok(findings)
    }
}

/// A model's box in pixels of the region, clipped to it; none where it is empty, or where another tile answers for it.
fn place(answer: &Answer, showing: &Showing, index: usize, size: [u32; 2]) -> Option<Found> {
    let [left, top, right, bottom] = answer.corners;
    let ((left, top), (right, bottom)) = (showing.place(left, top), showing.place(right, bottom));
    let centre = [(left + right) / 2.0, (top + bottom) / 2.0];
    let owned = centre.iter().zip(showing.own).all(|(at, [from, to])| (from..to).contains(at));
    let [across, down] = size.map(f64::from);
    let corners =
        [left.clamp(0.0, across), top.clamp(0.0, down), right.clamp(0.0, across), bottom.clamp(0.0, down)];
    let is_box = corners[0] < corners[2] && corners[1] < corners[3];
    let Rectangle { x, y, width, height } = showing.part;
    let sides = [(0, across, x, width), (1, down, y, height)];
    let cut = sides.into_iter().any(|(axis, end, start, length)| {
        let (first, last) = (f64::from(start), f64::from(start) + f64::from(length));
        (first > 0.0 && corners[axis] < first + NEAR) || (last < end && corners[axis + 2] > last - NEAR)
    });
    (owned && is_box).then_some(Found {
        corners,
        score: answer.score,
        class: answer.class,
        showing: index,
        cut,
    })
}
