//! How an algorithm is written, and the one adaptor that makes a [`Detector`] of each.
//!
//! An algorithm is the struct that its parameters are read into, with one method that searches a [`Scene`]. All that
//! algorithms have in common happens before, in [`Adaptor`]: the parameters are checked and completed, the struct is
//! read from them, and the region is cut out of the image.

use std::marker::PhantomData;

use algorithm::{Parameters, Rectangle, Specification};
use imaging::{Deadline, Image};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{DetectError, Detector, Findings, Model, ModelError, window::Window};

/// An algorithm with its parameters: a struct with a field for each parameter that it reads, of the same name.
///
/// The parameters are in range and have their defaults when the struct is read, so that only a parameter without a
/// default is an `Option`. The region is no field: the [`Adaptor`] reads it.
pub(crate) trait Algorithm: DeserializeOwned {
    /// The algorithm's name, version and parameters, and the name of the result's list. It refers to a static, so that
    /// every use of it has the same address.
    const SPECIFICATION: &'static Specification;

    /// Finds what the algorithm looks for in the scene's window, in the order that the result is to have. Coordinates
    /// of findings are those of the image ([`Window::place`]).
    ///
    /// # Errors
    /// [`DetectError::TimedOut`] when the deadline passes, which an implementation checks every few dozen rows; and any
    /// other [`DetectError`] that the algorithm meets.
    fn detect(&self, scene: &Scene<'_>) -> Result<Findings, DetectError>;
}

/// All that an algorithm sees of a job.
pub(crate) struct Scene<'a> {
    /// The pixels that are searched. Nothing outside the region can be reached through it.
    pub(crate) window: Window<'a>,
    /// When to give up.
    pub(crate) deadline: Deadline,
    model: Option<&'a Model>,
}

impl<'a> Scene<'a> {
    /// The model that the parameters name.
    ///
    /// # Errors
    /// [`ModelError::NotLoaded`] where the caller brought none, or where the specification has no parameter of the kind
    /// [`Model`](algorithm::Kind::Model).
    pub(crate) fn model(&self) -> Result<&'a Model, ModelError> {
        self.model.ok_or(ModelError::NotLoaded)
    }
}

/// The parameter that the adaptor reads itself ([`crate::window::REGION`]).
#[derive(Deserialize)]
struct Region {
    region: Option<Rectangle>,
}

/// Makes a [`Detector`] of an [`Algorithm`].
pub(crate) struct Adaptor<A>(PhantomData<fn() -> A>);

impl<A> Adaptor<A> {
    /// The adaptor of the algorithm `A`. It holds nothing.
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<A: Algorithm> Detector for Adaptor<A> {
    fn specification(&self) -> &'static Specification {
        A::SPECIFICATION
    }

    fn detect(
        &self,
        image: &Image,
        parameters: &Parameters,
        model: Option<&Model>,
        deadline: Deadline,
    ) -> Result<Findings, DetectError> {
        let parameters = A::SPECIFICATION.resolve(parameters)?.parameters;
        let algorithm: A = parameters.parse().map_err(DetectError::Inconsistent)?;
        let Region { region } = parameters.parse().map_err(DetectError::Inconsistent)?;
        let window = Window::of(image, region)?;
        let model = model.filter(|_| A::SPECIFICATION.model(&parameters).is_some());
        algorithm.detect(&Scene { window, deadline, model })
    }
}

#[cfg(test)]
mod tests {
    use algorithm::{Kind, Parameter};
    use serde_json::json;

    use super::*;
    use crate::{Array, Class, Column, Description, Digits, ModelSource, Network, Schema, window};

    const STRIDE: Parameter = Parameter {
        name: "stride",
        summary: "A number with a default.",
        unit: None,
        kind: Kind::Integer { min: 1, max: 9, default: Some(3) },
    };
    const MODEL: Parameter = Parameter { name: "model", summary: "A model.", unit: None, kind: Kind::Model };
    const PROBE: Specification = Specification {
        name: "probe",
        version: "1",
        summary: "Finds what it was given.",
        references: &[],
        parameters: &[],
        ordered: &[],
        dependent: None,
        list: Some("probes"),
    };
    static PLAIN: Specification = Specification { parameters: &[STRIDE, window::REGION], ..PROBE };
    static WITH_MODEL: Specification =
        Specification { parameters: &[STRIDE, MODEL, window::REGION], ..PROBE };

    const DIGITS: Digits = Digits::Decimals(0);
    static SCHEMA: Schema = Schema {
        list: "probes",
        class: Class { name: "Probe", color: [0; 3] },
        columns: &[
            Column { name: "stride", unit: None, digits: DIGITS },
            Column { name: "width", unit: None, digits: DIGITS },
            Column { name: "height", unit: None, digits: DIGITS },
            Column { name: "has_model", unit: None, digits: DIGITS },
        ],
        labels: &[],
        radius: None,
        opposite: None,
    };

    #[derive(Deserialize)]
    struct Plain {
        stride: u32,
    }

    #[derive(Deserialize)]
    struct WithModel {
        stride: u32,
    }

    /// One finding at the window's top left that tells everything that the algorithm was given.
    fn told(stride: u32, scene: &Scene<'_>) -> Findings {
        let mut findings = Findings::new(&SCHEMA);
        let [width, height] = scene.window.size().map(f64::from);
        let (x, y) = scene.window.place(0.0, 0.0);
        let has_model = if scene.model().is_ok() { 1.0 } else { 0.0 };
        findings.push(x, y, [f64::from(stride), width, height, has_model]);
        findings
    }

    impl Algorithm for Plain {
        const SPECIFICATION: &'static Specification = &PLAIN;

        fn detect(&self, scene: &Scene<'_>) -> Result<Findings, DetectError> {
            scene.deadline.check()?;
            Ok(told(self.stride, scene))
        }
    }

    impl Algorithm for WithModel {
        const SPECIFICATION: &'static Specification = &WITH_MODEL;

        fn detect(&self, scene: &Scene<'_>) -> Result<Findings, DetectError> {
            scene.model()?;
            Ok(told(self.stride, scene))
        }
    }

    struct Silent;

    impl Network for Silent {
        fn takes_bytes(&self) -> bool {
            false
        }

        fn outputs(&self) -> &[String] {
            &[]
        }

        fn run(&self, _: &[f32], _: Deadline) -> Result<Vec<Array>, DetectError> {
            Ok(Vec::new())
        }
    }

    fn model() -> Model {
        let description =
            br#"{"input": {"width": 8, "height": 8}, "output": {"layout": "yolov8"}, "classes": ["a"]}"#;
        let key = "a.onnx".parse().expect("a key");
        let source = ModelSource { key, sha256: String::new(), description_sha256: String::new() };
        Model::new(source, Description::read(description).expect("it is valid"), Silent)
    }

    fn detect<A: Algorithm>(
        parameters: serde_json::Value,
        model: Option<&Model>,
        deadline: Deadline,
    ) -> Result<Vec<f64>, DetectError> {
        let image = Image::new(7, 5, vec![0; 7 * 5 * 4]).expect("four bytes a pixel");
        let parameters = serde_json::from_value(parameters).expect("an object");
        let found = Adaptor::<A>::new().detect(&image, &parameters, model, deadline)?;
        Ok(found.entries().flat_map(|it| [&[it.x, it.y], it.values].concat()).collect())
    }

    #[test]
    fn an_algorithm_gets_complete_parameters_and_the_region_alone() {
        let found = |parameters| detect::<Plain>(parameters, None, Deadline::none()).expect("in range");
        assert_eq!(found(json!({})), [0.0, 0.0, 3.0, 7.0, 5.0, 0.0]);
        let region = json!({"x": 2, "y": 1, "width": 4, "height": 3});
        assert_eq!(found(json!({"stride": 9, "region": region})), [2.0, 1.0, 9.0, 4.0, 3.0, 0.0]);
    }

    #[test]
    fn invalid_parameters_a_region_outside_and_a_late_deadline_are_refused() {
        let code = |parameters, deadline| {
            detect::<Plain>(parameters, None, deadline).expect_err("it must be refused").code()
        };
        assert_eq!(code(json!({"stride": 10}), Deadline::none()), "invalid_parameters");
        let region = json!({"x": 4, "y": 0, "width": 4, "height": 1});
        assert_eq!(code(json!({"region": region}), Deadline::none()), "region_outside_image");
        assert_eq!(code(json!({}), Deadline::after(std::time::Duration::ZERO)), "time_limit");
    }

    #[test]
    fn only_an_algorithm_with_a_parameter_for_a_model_gets_one() {
        let model = model();
        let found = detect::<Plain>(json!({}), Some(&model), Deadline::none()).expect("in range");
        assert_eq!(found.last(), Some(&0.0));
        let given = json!({"model": "a.onnx"});
        let found =
            detect::<WithModel>(given.clone(), Some(&model), Deadline::none()).expect("there is a model");
        assert_eq!(found.last(), Some(&1.0));
        let missing = detect::<WithModel>(given, None, Deadline::none()).expect_err("it was not loaded");
        assert!(matches!(missing, DetectError::Model(ModelError::NotLoaded)), "{missing}");
    }
}
