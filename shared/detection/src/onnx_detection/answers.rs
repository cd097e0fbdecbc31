//! Reads a model's outputs, in each of the supported layouts, as boxes with a class and a score.

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

/// The number of boxes, the strongest, that are kept of one run of the model.
const MOST_KEPT: usize = 30_000;
/// The most boxes in an output: ten times what usual detectors give.
const MOST_CANDIDATES: usize = 1_000_000;
/// The most by which rounding may make a probability greater than 1.
const SLACK: f64 = 1e-3;

/// The strongest boxes with at least the score `min_score`, strongest first; equal ones are in the model's order. Boxes
/// whose numbers are not finite are left out.
///
/// # Errors
/// [`ModelError::Disagrees`] where the outputs do not have the shapes of the description, or scores are no
/// probabilities.
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
            check_count(count)?;
            for row in single()?.values.chunks_exact(width) {
                let sure = probability(row[4], *logits);
                let best = best_of(row[5..].iter().copied());
                answers.add(&row[..4], Boxes::Cxcywh, *coordinates, best, |score| {
                    sure * probability(score, *logits)
                })?;
            }
        }
        Output::Yolov8 { coordinates, logits } => {
            let [_, count] = sides(single()?, "[1, 4 + classes, N]", |[height, _]| height == 4 + classes)?;
            check_count(count)?;
            let values = &single()?.values;
            for i in 0..count {
                let column = |row: usize| values[row * count + i];
                let best = best_of((4..4 + classes).map(column));
                let numbers = [0, 1, 2, 3].map(column);
                answers
                    .add(&numbers, Boxes::Cxcywh, *coordinates, best, |score| probability(score, *logits))?;
            }
        }
        Output::EndToEnd { coordinates, first_class } => {
            let [count, width] = sides(single()?, "[1, N, 6]", |[_, width]| width == 6)?;
            check_count(count)?;
            for row in single()?.values.chunks_exact(width) {
                let Some(class) = answers.class(row[4], row[5], *first_class)? else { continue };
                answers.add(&row[..4], Boxes::Xyxy, *coordinates, Some((class, row[4])), f64::from)?;
            }
        }
        Output::Separate { boxes, scores, labels, form, coordinates, first_class, logits } => {
            let output = |name: &String| model.output(outputs, name);
            let [count, _] = sides(output(boxes)?, "[N, 4]", |[_, width]| width == 4)?;
            check_count(count)?;
            let boxes = output(boxes)?.values.chunks_exact(4);
            let scores = output(scores)?;
            if let Some(labels) = labels {
                let (scores, labels) = (&scores.values, &output(labels)?.values);
                let lengths = [scores.len(), labels.len()];
                if lengths != [count; 2] {
                    let [scores, labels] = lengths;
                    return Err(ModelError::Disagrees(format!(
                        "it gave {count} boxes, {scores} scores and {labels} labels"
                    )));
                }
                for ((numbers, score), label) in boxes.zip(scores).zip(labels) {
                    let score = probability(*score, *logits) as f32;
                    let Some(class) = answers.class(score, *label, *first_class)? else { continue };
                    answers.add(numbers, *form, *coordinates, Some((class, score)), f64::from)?;
                }
            } else {
                let first = *first_class as usize;
                let all = first + classes;
                sides(scores, "[N, classes]", |sides| sides == [count, all])?;
                for (numbers, scores) in boxes.zip(scores.values.chunks_exact(all)) {
                    let best = best_of(scores[first..].iter().copied());
                    answers.add(numbers, *form, *coordinates, best, |score| probability(score, *logits))?;
                }
            }
        }
    }
    answers.keep_strongest();
    Ok(answers.found)
}

fn check_count(count: usize) -> Result<(), ModelError> {
    if count <= MOST_CANDIDATES {
        return Ok(());
    }
    Err(ModelError::Disagrees(format!("it gave {count} boxes, and at most {MOST_CANDIDATES} are looked at")))
}

struct Answers<'a> {
    description: &'a Description,
    min_score: f64,
    found: Vec<Answer>,
}

impl Answers<'_> {
    /// The class of a label; none where the score is too low, or where the label is the background's or not a number.
    fn class(&self, score: f32, label: f32, first: u32) -> Result<Option<usize>, ModelError> {
        let count = self.description.classes.len();
        let class = f64::from(label.round()) - f64::from(first);
        let counts = f64::from(score) >= self.min_score;
        if !counts || class.is_nan() || class < 0.0 {
            return Ok(None);
        }
        if class < count as f64 {
            return Ok(Some(class as usize));
        }
        Err(ModelError::Disagrees(format!(
            "it gave the label {label}, and the description names {count} classes from {first} on"
        )))
    }

    /// Adds a box with the class that scores best, if that score is high enough.
    fn add(
        &mut self,
        numbers: &[f32],
        form: Boxes,
        coordinates: Coordinates,
        best: Option<(usize, f32)>,
        score: impl Fn(f32) -> f64,
    ) -> Result<(), ModelError> {
        let Some((class, raw)) = best else { return Ok(()) };
        let score = score(raw);
        if score > 1.0 + SLACK {
            return Err(ModelError::Disagrees(format!(
                "it gave the score {score}, and a score is at most 1: scores that still need a sigmoid are `logits`"
            )));
        }
        let [across, down] = coordinates.unit(&self.description.input);
        let &[a, b, c, d] = numbers else { return Ok(()) };
        let [a, b, c, d] = [a, b, c, d].map(f64::from);
        let [left, top, right, bottom] = match form {
            Boxes::Xyxy => [a, b, c, d],
            Boxes::Yxyx => [b, a, d, c],
            Boxes::Xywh => [a, b, a + c, b + d],
            Boxes::Cxcywh => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
        };
        let corners = [left * across, top * down, right * across, bottom * down];
        if score >= self.min_score && corners.iter().all(|at| at.is_finite()) {
            self.found.push(Answer { corners, score, class });
            if self.found.len() == 2 * MOST_KEPT {
                self.keep_strongest();
            }
        }
        Ok(())
    }

    fn keep_strongest(&mut self) {
        self.found.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.found.truncate(MOST_KEPT);
    }
}

/// The two sides of an output, without a leading 1, if they are as they should be.
fn sides(output: &Array, wanted: &str, fits: impl Fn([usize; 2]) -> bool) -> Result<[usize; 2], ModelError> {
    let found = match output.shape[..] {
        [1, height, width] | [height, width] => Some([height, width]),
        _ => None,
    };
    found.filter(|sides| fits(*sides)).ok_or_else(|| {
        ModelError::Disagrees(format!("an output has the shape {:?}, and should have {wanted}", output.shape))
    })
}

/// The index and the value of the greatest score, the first of equal ones; scores that are not numbers are skipped.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn description(classes: usize) -> Description {
        let classes: Vec<_> = (0..classes).map(|i| i.to_string()).collect();
        let json = serde_json::json!({
            "input": {"width": 64, "height": 64},
            "output": {"layout": "end_to_end"},
            "classes": classes,
        });
        Description::read(json.to_string().as_bytes()).expect("valid")
    }

    fn add(answers: &mut Answers<'_>, left: f32, score: f32) -> Result<(), ModelError> {
        let numbers = [left, 0.0, left + 1.0, 1.0];
        answers.add(&numbers, Boxes::Xyxy, Coordinates::Pixels, Some((0, score)), f64::from)
    }

    #[test]
    fn only_the_strongest_are_kept_however_many_there_are() {
        let description = description(1);
        let mut answers = Answers { description: &description, min_score: 0.0, found: Vec::new() };
        for i in 0..5 * MOST_KEPT {
            add(&mut answers, i as f32, (i % 1000) as f32 / 1000.0).expect("a score");
            assert!(answers.found.len() < 2 * MOST_KEPT);
        }
        answers.keep_strongest();
        assert_eq!(answers.found.len(), MOST_KEPT);
        // A fifth of all is kept.
        assert!(answers.found.iter().all(|answer| answer.score > 0.799));
        assert!(answers.found.is_sorted_by(|a, b| a.score >= b.score));
        let error = check_count(MOST_CANDIDATES + 1).expect_err("too many");
        assert_eq!(error.code(), "model_mismatch");
        assert!(check_count(MOST_CANDIDATES).is_ok());
    }

    #[test]
    fn scores_that_are_no_probabilities_are_named() {
        let description = description(1);
        let mut answers = Answers { description: &description, min_score: 0.5, found: Vec::new() };
        add(&mut answers, 0.0, 1.0005).expect("rounded");
        add(&mut answers, 0.0, f32::NAN).expect("left out");
        for score in [1.01, 7.0, f32::INFINITY] {
            let error = add(&mut answers, 0.0, score).expect_err("no probability");
            assert_eq!(error.code(), "model_mismatch");
            assert!(error.to_string().contains("`logits`"), "{error}");
        }
        assert_eq!(answers.found.len(), 1);
    }

    #[test]
    fn a_label_that_is_no_class_is_told_from_one_that_is_no_number() {
        let description = description(2);
        let answers = Answers { description: &description, min_score: 0.5, found: Vec::new() };
        let class = |score, label| answers.class(score, label, 1);
        assert_eq!(class(0.9, 2.0).expect("a class"), Some(1));
        for (score, label) in
            [(0.9, 0.0), (0.9, f32::NAN), (0.9, f32::NEG_INFINITY), (0.1, 7.0), (f32::NAN, 1.0)]
        {
            assert_eq!(class(score, label).expect("left out"), None, "{score} {label}");
        }
        for label in [3.0, f32::INFINITY] {
            assert_eq!(class(0.9, label).expect_err("no class").code(), "model_mismatch");
        }
    }
}
