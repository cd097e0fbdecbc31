//! The description of an algorithm: its name, its parameters and its results. A submission is checked against it,
//! `GET /algorithms` shows it, and a worker runs by it.

pub mod colour;
mod model_key;
pub mod units;

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::colour::Colour;

pub use model_key::{ModelKey, NotAModelKey};

/// The algorithm that runs when a submission names none, and whose result is an image at a route of its own.
pub const THUMBNAIL: &str = "thumbnail";

/// The static description of one algorithm. An algorithm's own file owns it; nothing else repeats a name, a range
/// or a default.
#[derive(Debug)]
pub struct Specification {
    /// The name that a submission asks for.
    pub name: &'static str,
    /// Changes whenever the same source and parameters would give another output.
    pub version: &'static str,
    /// A description for clients, in one sentence.
    pub summary: &'static str,
    /// The papers or formulas that it implements.
    pub references: &'static [&'static str],
    /// Every parameter it takes.
    pub parameters: &'static [Parameter],
    /// Pairs of parameters, both numbers, of which the first may not be greater than the second.
    pub ordered: &'static [[&'static str; 2]],
    /// Computes the defaults that depend on other parameters. It is given the parameters with all other defaults filled
    /// in.
    pub dependent: Option<DependentDefaults>,
    /// The name of the list in its result JSON (`points`, `blobs`, …); none for an image.
    pub list: Option<&'static str>,
}

/// Defaults, by name, that follow from other parameters.
pub type DependentDefaults = fn(&Parameters) -> Vec<(&'static str, Value)>;

/// One parameter of an algorithm.
#[derive(Debug)]
pub struct Parameter {
    /// The key in a submission's `parameters`.
    pub name: &'static str,
    /// A description for clients, in one sentence.
    pub summary: &'static str,
    /// `px`, `µm`, …; none for a pure number or a choice.
    pub unit: Option<&'static str>,
    /// Its type, range and default.
    pub kind: Kind,
}

/// The type, range and default of a parameter. Bounds are inclusive.
#[derive(Debug)]
pub enum Kind {
    /// A whole number.
    Integer {
        /// The least value accepted.
        min: i64,
        /// The greatest value accepted.
        max: i64,
        /// The value if a submission gives none; `None` leaves the parameter out.
        default: Option<i64>,
    },
    /// A finite number.
    Number {
        /// The least value accepted.
        min: f64,
        /// The greatest value accepted.
        max: f64,
        /// The value if a submission gives none; `None` leaves the parameter out.
        default: Option<f64>,
    },
    /// One of a few words.
    Choice {
        /// The words accepted.
        values: &'static [&'static str],
        /// The value if a submission gives none; `None` leaves the parameter out.
        default: Option<&'static str>,
    },
    /// Several of a few words, each at most once, given as one word or as a list. Left out if a submission gives none.
    Choices {
        /// The words accepted.
        values: &'static [&'static str],
    },
    /// A [`Colour`]. Left out if a submission gives none.
    Colour,
    /// Yes or no.
    Flag {
        /// The value if a submission gives none; `None` leaves the parameter out.
        default: Option<bool>,
    },
    /// A [`Rectangle`]. Left out if a submission gives none.
    Rectangle,
    /// A [`ModelKey`]. The submission must give it.
    Model,
}

/// A part of an image: an object with these four members, in pixels, all of which must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rectangle {
    /// How many pixels lie to the left of it.
    pub x: u32,
    /// How many pixels lie above it.
    pub y: u32,
    /// How many columns it has; never 0 in parameters that were resolved.
    pub width: u32,
    /// How many rows it has; never 0 in parameters that were resolved.
    pub height: u32,
}

impl Rectangle {
    /// Reads a submission's value; `None` if it is not a rectangle, or is an empty one.
    fn read(value: &Value) -> Option<Self> {
        // Serde would also take a list of four numbers, but only the object is documented.
        let rectangle: Self = value.is_object().then(|| Self::deserialize(value).ok())??;
        (rectangle.width > 0 && rectangle.height > 0).then_some(rectangle)
    }

    fn to_value(self) -> Value {
        json!({"x": self.x, "y": self.y, "width": self.width, "height": self.height})
    }
}

/// Parameters of an algorithm: as a client sent them or, after [`Specification::resolve`], checked and complete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Parameters(pub Map<String, Value>);

impl Parameters {
    /// The parameters as the algorithm's own struct.
    ///
    /// # Errors
    /// When the map does not fit `T`: after [`Specification::resolve`] that means that the struct and the
    /// specification disagree.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&Value::Object(self.0.clone()))
    }
}

/// One algorithm that a job runs, with its version and its complete parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The algorithm's name.
    pub name: String,
    /// The version it had when the job was accepted.
    pub version: String,
    /// Every parameter, defaults included.
    pub parameters: Parameters,
}

/// Why parameters were refused. Each sentence names the parameter and says what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// The algorithm has no parameter of that name.
    #[error("the algorithm {algorithm} has no parameter `{name}`; it takes {known}")]
    Unknown {
        /// The algorithm asked for.
        algorithm: &'static str,
        /// The name that was given.
        name: String,
        /// The names of the parameters that it has.
        known: String,
    },
    /// A required parameter was not given.
    #[error("the algorithm {algorithm} needs the parameter `{name}`, {expected}")]
    Missing {
        /// The algorithm asked for.
        algorithm: &'static str,
        /// The parameter.
        name: &'static str,
        /// The type and range accepted.
        expected: String,
    },
    /// The value's type or range is wrong.
    #[error("the parameter `{algorithm}.{name}` must be {expected}")]
    Invalid {
        /// The algorithm asked for.
        algorithm: &'static str,
        /// The parameter.
        name: &'static str,
        /// The type and range accepted.
        expected: String,
    },
}

impl Specification {
    /// Checks the parameters of a submission and fills in the defaults.
    ///
    /// ```
    /// use algorithm::{Kind, Parameter, Specification};
    ///
    /// static BLUR: Specification = Specification {
    ///     name: "blur",
    ///     version: "1",
    ///     summary: "Blurs a picture.",
    ///     references: &[],
    ///     parameters: &[Parameter {
    ///         name: "radius",
    ///         summary: "How far.",
    ///         unit: Some("px"),
    ///         kind: Kind::Integer { min: 1, max: 9, default: Some(3) },
    ///     }],
    ///     ordered: &[],
    ///     dependent: None,
    ///     list: None,
    /// };
    /// let run = BLUR.resolve(&serde_json::from_str("{}")?)?;
    /// assert_eq!(run.parameters.0["radius"], 3);
    /// let refused = BLUR.resolve(&serde_json::from_str(r#"{"radius": 10}"#)?).unwrap_err();
    /// assert_eq!(refused.to_string(), "the parameter `blur.radius` must be a whole number from 1 to 9");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ParameterError`] for the first parameter that is unknown, missing, of the wrong type, out of range, or greater
    /// than another that it must not exceed.
    pub fn resolve(&self, given: &Parameters) -> Result<Run, ParameterError> {
        if let Some(name) = given.0.keys().find(|name| !self.parameters.iter().any(|p| p.name == *name)) {
            return Err(ParameterError::Unknown {
                algorithm: self.name,
                name: shortened(name),
                known: self.known_parameters(),
            });
        }
        let mut resolved = Map::new();
        for parameter in self.parameters {
            let value = match given.0.get(parameter.name) {
                None | Some(Value::Null) if parameter.kind.is_required() => {
                    return Err(ParameterError::Missing {
                        algorithm: self.name,
                        name: parameter.name,
                        expected: parameter.kind.to_string(),
                    });
                }
                None | Some(Value::Null) => parameter.kind.default_value(),
                Some(value) => Some(parameter.kind.accept(value).ok_or_else(|| ParameterError::Invalid {
                    algorithm: self.name,
                    name: parameter.name,
                    expected: parameter.kind.to_string(),
                })?),
            };
            if let Some(value) = value {
                resolved.insert(parameter.name.to_owned(), value);
            }
        }
        let mut parameters = Parameters(resolved);
        for (name, value) in self.dependent.map_or_else(Vec::new, |defaults| defaults(&parameters)) {
            parameters.0.entry(name).or_insert(value);
        }
        self.check_order(given, &parameters)?;
        Ok(Run { name: self.name.to_owned(), version: self.version.to_owned(), parameters })
    }

    /// Checks that the first parameter of each `ordered` pair does not exceed the second. The error blames the first if
    /// it was given, otherwise the second.
    fn check_order(&self, given: &Parameters, resolved: &Parameters) -> Result<(), ParameterError> {
        for [low, high] in self.ordered {
            let [least, most] = [low, high].map(|name| resolved.0.get(*name).and_then(Value::as_f64));
            if let (Some(least), Some(most)) = (least, most)
                && least > most
            {
                let (name, expected) = match given.0.get(*low) {
                    None | Some(Value::Null) => (high, format!("at least `{low}`, which is {least}")),
                    Some(_) => (low, format!("at most `{high}`, which is {most}")),
                };
                return Err(ParameterError::Invalid { algorithm: self.name, name, expected });
            }
        }
        Ok(())
    }

    /// The model that the parameters name, if this algorithm runs models.
    #[must_use]
    pub fn model(&self, parameters: &Parameters) -> Option<ModelKey> {
        let parameter = self.parameters.iter().find(|parameter| matches!(parameter.kind, Kind::Model))?;
        parameters.0.get(parameter.name)?.as_str()?.parse().ok()
    }

    fn known_parameters(&self) -> String {
        if self.parameters.is_empty() {
            return "none".to_owned();
        }
        self.parameters.iter().map(|p| format!("`{}`", p.name)).collect::<Vec<_>>().join(", ")
    }
}

/// A name as a message repeats it: whole, where it is no longer than such names are.
fn shortened(name: &str) -> String {
    const MOST: usize = 40;
    match name.char_indices().nth(MOST) {
        None => name.to_owned(),
        Some((end, _)) => format!("{}…", &name[..end]),
    }
}

impl Kind {
    /// Whether a submission must give it.
    #[must_use]
    pub fn is_required(&self) -> bool {
        matches!(self, Self::Model)
    }

    /// The value used if a submission gives none.
    #[must_use]
    pub fn default_value(&self) -> Option<Value> {
        match *self {
            Self::Integer { default, .. } => default.map(Value::from),
            Self::Number { default, .. } => default.map(Value::from),
            Self::Choice { default, .. } => default.map(Value::from),
            Self::Choices { .. } | Self::Colour | Self::Rectangle | Self::Model => None,
            Self::Flag { default } => default.map(Value::from),
        }
    }

    /// The value in its canonical form, or `None` if its type or range is wrong.
    fn accept(&self, value: &Value) -> Option<Value> {
        match *self {
            Self::Integer { min, max, .. } => {
                value.as_i64().filter(|v| (min..=max).contains(v)).map(Value::from)
            }
            Self::Number { min, max, .. } => {
                value.as_f64().filter(|v| (min..=max).contains(v)).map(Value::from)
            }
            Self::Choice { values, .. } => value.as_str().filter(|v| values.contains(v)).map(Value::from),
            Self::Choices { values } => chosen(value, values).map(Value::from),
            Self::Colour => value.as_str()?.parse::<Colour>().ok().map(|colour| colour.to_string().into()),
            Self::Flag { .. } => value.as_bool().map(Value::from),
            Self::Rectangle => Rectangle::read(value).map(Rectangle::to_value),
            Self::Model => value.as_str()?.parse::<ModelKey>().ok().map(|key| key.as_str().into()),
        }
    }

    /// Reads a text of a query string as a JSON value of this kind. A text that does not parse stays a string, which
    /// `resolve` then refuses with a message that names the range.
    #[must_use]
    pub fn read_text(&self, text: &str) -> Value {
        let read = match self {
            Self::Integer { .. } => text.parse::<i64>().ok().map(Value::from),
            // JSON has no infinities and no NaN, so those stay strings too.
            Self::Number { .. } => {
                text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from)
            }
            Self::Choice { .. } | Self::Model => None,
            Self::Choices { .. } => Some(text.split(',').map(str::trim).collect()),
            // In a URL `#` has to be written as `%23`, which is easily forgotten, so it may be left out.
            Self::Colour => format!("#{text}").parse::<Colour>().ok().map(|colour| colour.to_string().into()),
            Self::Flag { .. } => text.parse::<bool>().ok().map(Value::from),
            Self::Rectangle => rectangle_of(text).map(Rectangle::to_value),
        };
        read.unwrap_or_else(|| Value::from(text))
    }
}

/// Reads `x,y,width,height`, the form of a rectangle in a query.
fn rectangle_of(text: &str) -> Option<Rectangle> {
    let mut numbers = text.split(',').map(|number| number.trim().parse::<u32>().ok());
    let mut next = || numbers.next().flatten();
    let rectangle = Rectangle { x: next()?, y: next()?, width: next()?, height: next()? };
    numbers.next().is_none().then_some(rectangle)
}

/// Reads a word or a list of words as a list; `None` unless each is one of `values` and none comes twice.
fn chosen(value: &Value, values: &[&str]) -> Option<Vec<Value>> {
    let given = match value {
        Value::Array(given) if !given.is_empty() => given.as_slice(),
        Value::String(_) => std::slice::from_ref(value),
        _ => return None,
    };
    let known = |word: &Value| word.as_str().is_some_and(|word| values.contains(&word));
    let fresh = |index: usize| !given[..index].contains(&given[index]);
    (given.iter().all(known) && (0..given.len()).all(fresh)).then(|| given.to_vec())
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer { min, max, .. } => write!(f, "a whole number from {min} to {max}"),
            Self::Number { min, max, .. } => write!(f, "a number from {min} to {max}"),
            Self::Choice { values, .. } => write!(f, "one of {}", values.join(", ")),
            Self::Choices { values } => write!(f, "one or several of {}, each once", values.join(", ")),
            Self::Colour => f.write_str("transparent, #rrggbb or #rrggbbaa"),
            Self::Flag { .. } => f.write_str("true or false"),
            Self::Rectangle => f.write_str(
                "a rectangle in whole pixels, {\"x\": …, \"y\": …, \"width\": …, \"height\": …}, not empty \
                 (in a query: x,y,width,height)",
            ),
            Self::Model => f.write_str(ModelKey::FORM),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static BLUR: Specification = Specification {
        name: "blur",
        version: "1",
        summary: "Blurs.",
        references: &[],
        list: None,
        ordered: &[["sigma", "radius"]],
        dependent: Some(|parameters| {
            let is_fast = parameters.0.get("fast") == Some(&json!(true));
            if is_fast { vec![("sigma", json!(0.5))] } else { Vec::new() }
        }),
        parameters: &[
            Parameter {
                name: "radius",
                summary: "How far.",
                unit: Some("px"),
                kind: Kind::Integer { min: 1, max: 9, default: Some(3) },
            },
            Parameter {
                name: "sigma",
                summary: "How much.",
                unit: Some("px"),
                kind: Kind::Number { min: 0.5, max: 4.0, default: None },
            },
            Parameter {
                name: "edge",
                summary: "What lies beyond.",
                unit: None,
                kind: Kind::Choice { values: &["wrap", "clamp"], default: Some("clamp") },
            },
            Parameter {
                name: "channels",
                summary: "What is blurred.",
                unit: None,
                kind: Kind::Choices { values: &["red", "green", "blue"] },
            },
            Parameter { name: "tint", summary: "What is added.", unit: None, kind: Kind::Colour },
            Parameter {
                name: "fast",
                summary: "Whether it may be rough.",
                unit: None,
                kind: Kind::Flag { default: None },
            },
            Parameter { name: "part", summary: "Where.", unit: Some("px"), kind: Kind::Rectangle },
        ],
    };

    const NOTHING: Specification = Specification {
        name: "nothing",
        version: "1",
        summary: "Does nothing.",
        references: &[],
        list: None,
        ordered: &[],
        dependent: None,
        parameters: &[],
    };

    fn given(value: Value) -> Parameters {
        let Value::Object(parameters) = value else { panic!("an object") };
        Parameters(parameters)
    }

    #[test]
    fn silence_takes_every_default() {
        let run = BLUR.resolve(&Parameters::default()).expect("defaults are valid");
        assert_eq!(run.parameters, given(json!({"radius": 3, "edge": "clamp"})));
        assert_eq!((run.name.as_str(), run.version.as_str()), ("blur", "1"));
    }

    #[test]
    fn bounds_are_inclusive_and_whole_numbers_widen() {
        let run = BLUR.resolve(&given(json!({"radius": 9, "sigma": 4, "edge": "wrap"}))).expect("in range");
        assert_eq!(run.parameters, given(json!({"radius": 9, "sigma": 4.0, "edge": "wrap"})));
    }

    #[test]
    fn a_default_may_depend_on_what_else_is_given() {
        for (given_as, sigma) in [
            (json!({"fast": true}), json!(0.5)),
            (json!({"fast": true, "sigma": 2}), json!(2.0)),
            (json!({"fast": false}), Value::Null),
        ] {
            let run = BLUR.resolve(&given(given_as)).expect("valid");
            assert_eq!(run.parameters.0.get("sigma").unwrap_or(&Value::Null), &sigma);
            assert_eq!(BLUR.resolve(&run.parameters).expect("valid"), run, "resolving twice changes nothing");
        }
    }

    #[test]
    fn a_value_that_contradicts_another_parameter_or_its_default_is_refused() {
        for (given_as, most) in [(json!({"sigma": 3.5}), 3), (json!({"sigma": 2, "radius": 1}), 1)] {
            let error = BLUR.resolve(&given(given_as)).expect_err("must be refused");
            let expected = format!("the parameter `blur.sigma` must be at most `radius`, which is {most}");
            assert_eq!(error.to_string(), expected);
        }
        BLUR.resolve(&given(json!({"sigma": 2, "radius": 2}))).expect("equal is not greater");
        static SHARPEN: Specification =
            Specification { ordered: &[["radius", "sigma"]], parameters: BLUR.parameters, ..NOTHING };
        let error = SHARPEN.resolve(&given(json!({"sigma": 2}))).expect_err("the default is more");
        assert_eq!(error.to_string(), "the parameter `nothing.sigma` must be at least `radius`, which is 3");
    }

    #[test]
    fn words_colours_and_flags_get_their_canonical_form() {
        for (given_as, resolved) in [
            (json!({"channels": "red"}), json!({"channels": ["red"]})),
            (json!({"channels": ["blue", "red"]}), json!({"channels": ["blue", "red"]})),
            (json!({"tint": "#F80"}), json!({"tint": "#ff8800"})),
            (json!({"tint": "#ff880000"}), json!({"tint": "transparent"})),
            (json!({"fast": false}), json!({"fast": false})),
            (
                json!({"part": {"height": 4, "width": 3, "y": 2, "x": 0}}),
                json!({"part": {"x": 0, "y": 2, "width": 3, "height": 4}}),
            ),
            (json!({"fast": null, "tint": null, "channels": null, "part": null}), json!({})),
        ] {
            let mut run = BLUR.resolve(&given(given_as)).expect("valid");
            run.parameters.0.retain(|name, _| !["radius", "edge"].contains(&name.as_str()));
            assert_eq!(run.parameters, given(resolved));
        }
    }

    #[test]
    fn a_value_out_of_range_or_of_another_type_is_refused_with_the_range() {
        for (parameters, expected) in [
            (json!({"radius": 0}), "the parameter `blur.radius` must be a whole number from 1 to 9"),
            (json!({"radius": 2.5}), "the parameter `blur.radius` must be a whole number from 1 to 9"),
            (json!({"radius": "2"}), "the parameter `blur.radius` must be a whole number from 1 to 9"),
            (json!({"sigma": 4.5}), "the parameter `blur.sigma` must be a number from 0.5 to 4"),
            (json!({"edge": "mirror"}), "the parameter `blur.edge` must be one of wrap, clamp"),
            (json!({"tint": "red"}), "the parameter `blur.tint` must be transparent, #rrggbb or #rrggbbaa"),
            (json!({"fast": "true"}), "the parameter `blur.fast` must be true or false"),
            (
                json!({"channels": []}),
                "the parameter `blur.channels` must be one or several of red, green, blue, each once",
            ),
            (
                json!({"blend": 1}),
                "the algorithm blur has no parameter `blend`; \
                 it takes `radius`, `sigma`, `edge`, `channels`, `tint`, `fast`, `part`",
            ),
        ] {
            let error = BLUR.resolve(&given(parameters)).expect_err("must be refused");
            assert_eq!(error.to_string(), expected);
        }
        for channels in [json!(["red", "red"]), json!(["pink"]), json!([1]), json!(""), json!(["red", null])]
        {
            BLUR.resolve(&given(json!({ "channels": channels }))).expect_err("must be refused");
        }
        for part in [
            json!({"x": 0, "y": 0, "width": 1}),
            json!({"x": 0, "y": 0, "width": 1, "height": 0}),
            json!({"x": -1, "y": 0, "width": 1, "height": 1}),
            json!({"x": 0.5, "y": 0, "width": 1, "height": 1}),
            json!({"x": 0, "y": 0, "width": 1, "height": 5_000_000_000_u64}),
            json!({"x": 0, "y": 0, "width": 1, "height": 1, "depth": 1}),
            json!([0, 0, 1, 1]),
            json!("0,0,1,1"),
        ] {
            let error = BLUR.resolve(&given(json!({ "part": part }))).expect_err("must be refused");
            assert!(
                error.to_string().starts_with("the parameter `blur.part` must be a rectangle"),
                "{error}"
            );
        }
    }

    #[test]
    fn text_of_a_query_string_is_read_by_kind() {
        let [radius, sigma, edge, channels, tint, fast, part] = BLUR.parameters else {
            panic!("seven parameters")
        };
        assert_eq!(radius.kind.read_text("7"), json!(7));
        assert_eq!(radius.kind.read_text("seven"), json!("seven"));
        assert_eq!(sigma.kind.read_text("1.5"), json!(1.5));
        for text in ["NaN", "inf", "-inf"] {
            assert_eq!(sigma.kind.read_text(text), json!(text), "refused later, not taken for silence");
        }
        assert_eq!(edge.kind.read_text("wrap"), json!("wrap"));
        assert_eq!(channels.kind.read_text("red, blue"), json!(["red", "blue"]));
        assert_eq!(channels.kind.read_text(""), json!([""]), "refused later");
        for text in ["ff8800", "#ff8800", "f80"] {
            let read = BLUR.resolve(&given(json!({"tint": tint.kind.read_text(text)}))).expect("a colour");
            assert_eq!(read.parameters.0["tint"], "#ff8800", "{text}");
        }
        assert_eq!(tint.kind.read_text("transparent"), json!("transparent"));
        assert_eq!(fast.kind.read_text("true"), json!(true));
        assert_eq!(fast.kind.read_text("yes"), json!("yes"), "refused later");
        let rectangle = json!({"x": 1, "y": 2, "width": 30, "height": 40});
        assert_eq!(part.kind.read_text("1, 2,30,40"), rectangle);
        for text in ["1,2,30", "1,2,30,40,50", "1,2,-3,4", "all"] {
            assert_eq!(part.kind.read_text(text), json!(text), "refused later");
        }
    }

    #[test]
    fn a_required_parameter_is_asked_for() {
        static RECOGNISE: Specification = Specification {
            name: "recognise",
            version: "1",
            summary: "Recognises.",
            references: &[],
            list: None,
            ordered: &[],
            dependent: None,
            parameters: &[Parameter { name: "by", summary: "What.", unit: None, kind: Kind::Model }],
        };
        for silent in [json!({}), json!({"by": null})] {
            let error = RECOGNISE.resolve(&given(silent)).expect_err("it must be given");
            assert!(matches!(error, ParameterError::Missing { name: "by", .. }), "{error}");
            assert!(
                error
                    .to_string()
                    .starts_with("the algorithm recognise needs the parameter `by`, the key of a model"),
                "{error}"
            );
        }
        for wrong in [json!("../cat.onnx"), json!("cat"), json!(7)] {
            let error = RECOGNISE.resolve(&given(json!({ "by": wrong }))).expect_err("no key");
            assert!(matches!(error, ParameterError::Invalid { name: "by", .. }), "{error}");
        }
        let by = RECOGNISE.parameters[0].kind.read_text("pets/cat.onnx");
        let run = RECOGNISE.resolve(&given(json!({ "by": by }))).expect("a key");
        assert_eq!(run.parameters, given(json!({"by": "pets/cat.onnx"})));
        let key = RECOGNISE.model(&run.parameters).expect("it runs a model");
        assert_eq!(key.as_str(), "pets/cat.onnx");
        assert_eq!(BLUR.model(&given(json!({"by": "pets/cat.onnx"}))), None);
    }
}
