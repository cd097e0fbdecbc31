//! How an algorithm is written, and the one adaptor that makes a [`Detector`] of each.
//!
//! An algorithm is the struct that its parameters are read into, with one method that searches a [`Scene`]. All that
//! algorithms have in common happens before, in [`Adaptor`]: the parameters are checked and completed, the struct is
//! read from them, and the region is cut out of the image.

use std::marker::PhantomData;

use algorithm::{Parameters, Rectangle, Specification};
use imaging::{Deadline, Image};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{DetectError, Detector, Findings, Means, Model, ModelError, window::Window};

/// An algorithm with its parameters: a struct with a field for each parameter that it reads, of the same name.
///
/// The parameters are in range and have their defaults when the struct is read, so that only a parameter without a
/// default is an `Option`. The region is no field: the [`Adaptor`] reads it.
pub(crate) trait Algorithm: DeserializeOwned {
    /// The algorithm's name, version and parameters, and the name of the result's list. It refers to a static, so that
    /// every use of it has the same address.
    const SPECIFICATION: &'static Specification;

    /// The most memory, in bytes, that a search of a window of that width and height takes beside the image. What
    /// depends on what the window shows is not in it: `detect` asks [`Scene::memory`] for that before it takes it.
    fn memory(&self, size: [usize; 2]) -> u64;

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
    /// The memory that may be taken beside the image.
    pub(crate) memory: Memory,
    model: Option<&'a Model>,
}

/// A limit on memory, which is asked before memory is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    most: u64,
    used: u64,
}

impl Memory {
    pub(crate) fn new(most: u64) -> Self {
        Self { most, used: 0 }
    }

    /// No limit.
    #[cfg(test)]
    pub(crate) fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// The limit of whoever works while so many bytes more are in use.
    pub(crate) fn beside(self, bytes: u64) -> Self {
        Self { used: self.used.saturating_add(bytes), ..self }
    }

    /// Checks that so many bytes may be taken.
    ///
    /// # Errors
    /// [`DetectError::Memory`].
    pub(crate) fn allows(self, bytes: u64) -> Result<(), DetectError> {
        if self.used.saturating_add(bytes) <= self.most {
            Ok(())
        } else {
            Err(DetectError::Memory { most: self.most })
        }
    }
}

/// The bytes of so many values of a size, for statements of memory.
pub(crate) fn bytes(count: usize, each: usize) -> u64 {
    (count as u64).saturating_mul(each as u64)
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

    fn memory(&self, size: [u32; 2], parameters: &Parameters) -> Result<u64, DetectError> {
        let parameters = A::SPECIFICATION.resolve(parameters)?.parameters;
        let algorithm: A = parameters.parse().map_err(DetectError::Inconsistent)?;
        Ok(algorithm.memory(size.map(|side| side as usize)))
    }

    fn detect_within(
        &self,
        image: &Image,
        parameters: &Parameters,
        model: Option<&Model>,
        means: &Means,
    ) -> Result<Findings, DetectError> {
        let parameters = A::SPECIFICATION.resolve(parameters)?.parameters;
        let algorithm: A = parameters.parse().map_err(DetectError::Inconsistent)?;
        let Region { region } = parameters.parse().map_err(DetectError::Inconsistent)?;
        let window = Window::of(image, region)?;
        let memory = Memory::new(means.memory);
        memory.allows(algorithm.memory([window.width, window.height]))?;
        let model = model.filter(|_| A::SPECIFICATION.model(&parameters).is_some());
        algorithm.detect(&Scene { window, deadline: means.deadline, memory, model })
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

        /// As many bytes as there are pixels.
        fn memory(&self, [width, height]: [usize; 2]) -> u64 {
            bytes(width * height, 1)
        }

        fn detect(&self, scene: &Scene<'_>) -> Result<Findings, DetectError> {
            scene.deadline.check()?;
            Ok(told(self.stride, scene))
        }
    }

    impl Algorithm for WithModel {
        const SPECIFICATION: &'static Specification = &WITH_MODEL;

        fn memory(&self, _: [usize; 2]) -> u64 {
            0
        }

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
    fn what_takes_more_memory_than_allowed_is_refused_and_a_region_takes_less() {
        let image = Image::new(7, 5, vec![0; 7 * 5 * 4]).expect("four bytes a pixel");
        let run = |parameters: serde_json::Value, memory: u64| {
            let parameters = serde_json::from_value(parameters).expect("an object");
            let means = Means { memory, ..Means::by(Deadline::none()) };
            Adaptor::<Plain>::new().detect_within(&image, &parameters, None, &means)
        };
        assert_eq!(run(json!({}), 35).expect("just enough").len(), 1);
        assert_eq!(run(json!({}), 34).expect_err("one byte less").code(), "detector_memory");
        let region = json!({"region": {"x": 2, "y": 1, "width": 4, "height": 3}});
        assert_eq!(run(region, 12).expect("just enough").len(), 1);
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
