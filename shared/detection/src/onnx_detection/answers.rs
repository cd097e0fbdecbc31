//! What a model answers: boxes with a class and a score, from each layout of outputs.

use super::{
    description::{Boxes, Coordinates, Description, Output},
    model::{Array, Model, ModelError},
};

/// A box in pixels of the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Answer {
    /// Left, top, right, bottom.
    pub(super) corners: [f64; 4],
    pub(super) score: f64,
    pub(super) class: usize,
}

/// The boxes of at least that score. What is not a number is left out.
///
/// # Errors
/// [`ModelError::Disagrees`] where the outputs have not the shapes that the description says.
pub(super) fn read(model: &Model, outputs: &[Array], min_score: f64) -> Result<Vec<Answer>, ModelError> {
    let description = model.description();
    let classes = description.classes.len();
    let single = || match outputs {
        [only] => Ok(only),
        _ => {
            let layout = "this layout is of one output; of several, the layout is `separate`";
            Err(ModelError::Disagrees(format!("it has {} outputs, and {layout}", outputs.len())))
        }
    };
    let mut answers = Answers { description, min_score, found: Vec::new() };
    match &description.output {
        Output::Yolov5 { coordinates, logits } => {
            let [count, width] = sides(single()?, "[1, N, 5 + classes]", |[_, width]| width == 5 + classes)?;
            let values = &single()?.values;
            for row in values.chunks_exact(width).take(count) {
                let sure = probability(row[4], *logits);
                let best = best_of(row[5..].iter().copied());
                answers.add(&row[..4], Boxes::Cxcywh, *coordinates, best, |score| {
                    sure * probability(score, *logits)
                });
            }
        }
        Output::Yolov8 { coordinates, logits } => {
            let [_, count] = sides(single()?, "[1, 4 + classes, N]", |[height, _]| height == 4 + classes)?;
            let values = &single()?.values;
            for i in 0..count {
                let column = |row: usize| values[row * count + i];
                let best = best_of((4..4 + classes).map(column));
                let numbers = [0, 1, 2, 3].map(column);
                answers.add(&numbers, Boxes::Cxcywh, *coordinates, best, |score| probability(score, *logits));
            }
        }
        Output::EndToEnd { coordinates, first_class } => {
            let [count, width] = sides(single()?, "[1, N, 6]", |[_, width]| width == 6)?;
            for row in single()?.values.chunks_exact(width).take(count) {
                let Some(class) = answers.class(row[4], row[5], *first_class)? else { continue };
                answers.add(&row[..4], Boxes::Xyxy, *coordinates, Some((class, row[4])), f64::from);
            }
        }
        Output::Separate { boxes, scores, labels, form, coordinates, first_class, logits } => {
            let output = |name: &String| model.output(name).map(|place| &outputs[place]);
            let [count, _] = sides(output(boxes)?, "[N, 4]", |[_, width]| width == 4)?;
            let boxes = output(boxes)?.values.chunks_exact(4);
            let scores = output(scores)?;
            if let Some(labels) = labels {
                let labels = output(labels)?;
                let lengths = [scores.values.len(), labels.values.len()];
                if lengths != [count; 2] {
                    let [scores, labels] = lengths;
                    return Err(ModelError::Disagrees(format!(
                        "it gave {count} boxes, {scores} scores and {labels} labels"
                    )));
                }
                for ((numbers, score), label) in boxes.zip(&scores.values).zip(&labels.values) {
                    let score = probability(*score, *logits) as f32;
                    let Some(class) = answers.class(score, *label, *first_class)? else { continue };
                    answers.add(numbers, *form, *coordinates, Some((class, score)), f64::from);
                }
            } else {
                let all = first_class + classes;
                sides(scores, "[N, classes]", |sides| sides == [count, all])?;
                for (numbers, scores) in boxes.zip(scores.values.chunks_exact(all)) {
                    let best = best_of(scores[*first_class..].iter().copied());
                    answers.add(numbers, *form, *coordinates, best, |score| probability(score, *logits));
                }
            }
        }
    }
    Ok(answers.found)
}

struct Answers<'a> {
    description: &'a Description,
    min_score: f64,
    found: Vec<Answer>,
}

impl Answers<'_> {
    /// The class of a label, or none where the score is too low or the label is that of the background.
    fn class(&self, score: f32, label: f32, first: usize) -> Result<Option<usize>, ModelError> {
        let count = self.description.classes.len();
        let class = f64::from(label.round()) - first as f64;
        let counts = f64::from(score) >= self.min_score;
        if !counts || class < 0.0 {
            return Ok(None);
        }
        if class < count as f64 {
            return Ok(Some(class as usize));
        }
        Err(ModelError::Disagrees(format!(
            "it gave the label {label}, and the description names {count} classes from {first} on"
        )))
    }

    /// Adds a box whose class is the one that scores best, if that score is enough.
    fn add(
        &mut self,
        numbers: &[f32],
        form: Boxes,
        coordinates: Coordinates,
        best: Option<(usize, f32)>,
        score: impl Fn(f32) -> f64,
    ) {
        let Some((class, raw)) = best else { return };
        let score = score(raw);
        let [across, down] = coordinates.unit(&self.description.input);
        let &[a, b, c, d] = numbers else { return };
        let [a, b, c, d] = [a, b, c, d].map(f64::from);
        let [left, top, right, bottom] = match form {
            Boxes::Xyxy => [a, b, c, d],
            Boxes::Yxyx => [b, a, d, c],
            Boxes::Xywh => [a, b, a + c, b + d],
            Boxes::Cxcywh => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
        };
        let corners = [left * across, top * down, right * across, bottom * down];
        if score >= self.min_score && score.is_finite() && corners.iter().all(|at| at.is_finite()) {
            self.found.push(Answer { corners, score, class });
        }
    }
}

/// The two sides of an output, without a 1 in front, if they are as they should be.
fn sides(output: &Array, wanted: &str, fits: impl Fn([usize; 2]) -> bool) -> Result<[usize; 2], ModelError> {
    let found = match output.shape[..] {
        [1, height, width] | [height, width] => Some([height, width]),
        _ => None,
    };
    found.filter(|sides| fits(*sides)).ok_or_else(|| {
        ModelError::Disagrees(format!("an output has the shape {:?}, and should have {wanted}", output.shape))
    })
}

/// Which is the greatest, the first of equal ones; what is no number never is.
fn best_of(scores: impl Iterator<Item = f32>) -> Option<(usize, f32)> {
    scores
        .enumerate()
        .filter(|(_, score)| !score.is_nan())
        .reduce(|best, other| if other.1 > best.1 { other } else { best })
}

/// A score as a probability.
fn probability(score: f32, logits: bool) -> f64 {
    let score = f64::from(score);
    if logits { 1.0 / (1.0 + (-score).exp()) } else { score }
}
