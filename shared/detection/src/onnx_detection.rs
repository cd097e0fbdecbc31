//! `onnx_detection`: what a model of the user's own finds.
//!
//! The model is an object in the bucket of models, an ONNX file; a JSON beside it says what it is shown and what it answers
//! ([`description`]). The crate `onnx` makes a [`Network`] of the file. The picture, or its region, is resized to the
//! model's input, or shown to it in tiles that overlap ([`shown`]); the answers are read ([`answers`]), those that lie on
//! each other suppressed ([`suppress`]), and what remains is clipped to the region. A tile answers for what has its middle nearer to its own than to that of another, and a little
//! beyond: a thing no larger than three quarters of the overlap lies whole in each tile that answers for it, and where two do,
//! suppression leaves one. What a network makes of a thing near the border of a tile may still differ from what it makes of
//! it amid the whole picture.
//!
//! The same model, picture and parameters give the same findings on the same kind of processor; between kinds, sums are taken in
//! another order, which may show in a last digit. A picture of one colour holds nothing, whatever a model makes of it.

mod answers;
mod description;
mod model;
mod shown;
mod suppress;

use jobs::algorithm::{Kind, Parameter, Rectangle, Specification};
use serde::Deserialize;

use crate::{
    Class, Column, DetectError, Digits, Findings, Schema,
    algorithm::{Algorithm, Scene},
    window,
};
use answers::Answer;
pub use description::Description;
use description::Suppression;
pub use model::{Array, Cause, Model, ModelError, ModelSource, Network};
use shown::{Opaque, Showing, showings};
use suppress::{Found, suppress};

/// What `onnx_detection` takes and gives.
pub(crate) static SPECIFICATION: Specification = Specification {
    name: "onnx_detection",
    version: "3",
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

/// Of all showings, only so many of the strongest boxes are held against each other.
const MOST_FOUND: usize = 100_000;
/// A box that ends so near to the end of its tile, in pixels, may go on.
const NEAR: f64 = 2.0;

#[derive(Deserialize)]
pub(crate) struct Settings {
    min_score: Option<f64>,
    iou: Option<f64>,
    max_detections: usize,
}

impl Algorithm for Settings {
    const SPECIFICATION: &'static Specification = &SPECIFICATION;

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
        let picture = Opaque::new(window);
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

/// A box where it lies in the region, clipped to it; none where it is empty, or another tile's.
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
