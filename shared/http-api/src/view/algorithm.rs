//! Algorithms and their parameters.

use jobs::{
    algorithm::{Kind, Parameter, Specification},
    colour::Colour,
    key::ModelKey,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Every algorithm there is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Algorithms)]
pub struct AlgorithmsView {
    /// The algorithms.
    pub algorithms: Vec<AlgorithmView>,
}

/// One algorithm.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Algorithm)]
pub struct AlgorithmView {
    /// What a submission calls it.
    name: &'static str,
    /// Changes when its output does.
    version: &'static str,
    summary: &'static str,
    /// The papers or formulas it implements.
    references: &'static [&'static str],
    /// The name of the list in its result; null for an image.
    list: Option<&'static str>,
    parameters: Vec<ParameterView>,
}

/// One parameter. Bounds are inclusive.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Parameter)]
struct ParameterView {
    name: &'static str,
    summary: &'static str,
    /// `px`, …; null for a pure number or a choice.
    unit: Option<&'static str>,
    /// `integer`, `number`, `boolean`, `string`, `array` (in a query: words separated by commas), or `object` (a
    /// rectangle with the members x, y, width and height, all whole numbers; in a query these, separated by commas).
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum: Option<Value>,
    /// The words accepted; of an array, those that it may hold.
    #[serde(rename = "enum", skip_serializing_if = "Option::is_none")]
    values: Option<&'static [&'static str]>,
    /// The form of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<&'static str>,
    /// Whether it must be given.
    required: bool,
    default: Option<Value>,
}

impl AlgorithmView {
    /// The description of an algorithm.
    #[must_use]
    pub fn new(specification: &'static Specification) -> Self {
        Self {
            name: specification.name,
            version: specification.version,
            summary: specification.summary,
            references: specification.references,
            list: specification.list,
            parameters: specification.parameters.iter().map(ParameterView::new).collect(),
        }
    }
}

impl ParameterView {
    fn new(parameter: &'static Parameter) -> Self {
        let (kind, minimum, maximum, values) = match parameter.kind {
            Kind::Integer { min, max, .. } => ("integer", Some(min.into()), Some(max.into()), None),
            Kind::Number { min, max, .. } => ("number", Some(min.into()), Some(max.into()), None),
            Kind::Choice { values, .. } => ("string", None, None, Some(values)),
            Kind::Choices { values } => ("array", None, None, Some(values)),
            Kind::Colour | Kind::Model => ("string", None, None, None),
            Kind::Flag { .. } => ("boolean", None, None, None),
            Kind::Rectangle => ("object", None, None, None),
        };
        let pattern = match parameter.kind {
            Kind::Colour => Some(Colour::PATTERN),
            Kind::Model => Some(ModelKey::PATTERN),
            _ => None,
        };
        Self {
            name: parameter.name,
            summary: parameter.summary,
            unit: parameter.unit,
            kind,
            minimum,
            maximum,
            values,
            pattern,
            required: parameter.kind.is_required(),
            default: parameter.kind.default_value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_parameter_says_what_it_takes() {
        static SPECIFICATION: Specification = Specification {
            name: "paint",
            version: "1",
            summary: "Paints.",
            references: &[],
            ordered: &[],
            dependent: None,
            list: None,
            parameters: &[
                Parameter { name: "colour", summary: "Which.", unit: None, kind: Kind::Colour },
                Parameter {
                    name: "walls",
                    summary: "Where.",
                    unit: None,
                    kind: Kind::Choices { values: &["north", "south"] },
                },
                Parameter {
                    name: "twice",
                    summary: "Or once.",
                    unit: None,
                    kind: Kind::Flag { default: Some(false) },
                },
                Parameter { name: "part", summary: "Of it.", unit: Some("px"), kind: Kind::Rectangle },
                Parameter { name: "after", summary: "Whose.", unit: None, kind: Kind::Model },
            ],
        };
        let view = serde_json::to_value(AlgorithmView::new(&SPECIFICATION)).expect("serialises");
        let [colour, walls, twice, part, after] = [0, 1, 2, 3, 4].map(|index| &view["parameters"][index]);
        assert_eq!((&colour["type"], &colour["default"]), (&json!("string"), &Value::Null));
        assert!(colour["pattern"].as_str().is_some_and(|pattern| pattern.contains("transparent")));
        assert_eq!((&walls["type"], &walls["enum"]), (&json!("array"), &json!(["north", "south"])));
        assert_eq!((&twice["type"], &twice["default"]), (&json!("boolean"), &json!(false)));
        assert_eq!((&part["type"], &part["default"]), (&json!("object"), &Value::Null));
        assert_eq!((&after["type"], &after["required"]), (&json!("string"), &json!(true)));
        assert_eq!(after["pattern"], ModelKey::PATTERN);
        assert_eq!(part["required"], false);
    }
}
