//! The keys of models.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The key of a model in the models bucket: an ONNX file. Its description has the same name with the extension `.json`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelKey(String);

/// A text that is not a model's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {}", ModelKey::FORM)]
pub struct NotAModelKey;

impl ModelKey {
    /// The pattern of every key, without the limit of its length.
    pub const PATTERN: &str = r"^[A-Za-z0-9_=-][A-Za-z0-9._=-]*(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*\.onnx$";

    /// The pattern and the limit in words.
    pub const FORM: &str = "the key of a model: letters, digits, `.`, `_`, `-` and `=`, in folders separated by `/`, none \
                            of which begins with a `.`; at most 200 characters that end in .onnx";

    const MOST: usize = 200;
    const EXTENSION: &str = ".onnx";

    /// The key as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of the model's description.
    #[must_use]
    pub fn description(&self) -> String {
        let stem = self.0.strip_suffix(Self::EXTENSION).unwrap_or(&self.0);
        format!("{stem}.json")
    }
}

impl TryFrom<String> for ModelKey {
    type Error = NotAModelKey;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_safe = |letter: char| letter.is_ascii_alphanumeric() || "._=-".contains(letter);
        let names_something =
            |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(is_safe);
        let fits = text.len() <= Self::MOST
            && text.ends_with(Self::EXTENSION)
            && text.split('/').all(names_something);
        fits.then_some(Self(text)).ok_or(NotAModelKey)
    }
}

impl FromStr for ModelKey {
    type Err = NotAModelKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl From<ModelKey> for String {
    fn from(key: ModelKey) -> Self {
        key.0
    }
}

impl fmt::Display for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_lies_beside_its_description() {
        for (text, description) in
            [("cells.onnx", "cells.json"), ("team-a/v=2/yolo.v8_n.onnx", "team-a/v=2/yolo.v8_n.json")]
        {
            let key: ModelKey = text.parse().expect("a key");
            assert_eq!((key.as_str(), key.description().as_str()), (text, description));
            assert_eq!(serde_json::from_value::<ModelKey>(text.into()).expect("a key"), key);
        }
    }

    #[test]
    fn a_path_that_may_lead_elsewhere_is_no_key_of_a_model() {
        let long = format!("{}.onnx", "a".repeat(196));
        for text in [
            "",
            ".onnx",
            "cells",
            "cells.json",
            "cells.ONNX",
            "/cells.onnx",
            "a//cells.onnx",
            "../cells.onnx",
            "a/../cells.onnx",
            "a/.onnx",
            "./cells.onnx",
            "a b.onnx",
            "a\nb.onnx",
            "zellen-ä.onnx",
            "a%2e.onnx",
            "a?b.onnx",
            "cells.onnx/",
            &long,
        ] {
            assert_eq!(text.parse::<ModelKey>(), Err(NotAModelKey), "{text}");
        }
        assert!(long[1..].parse::<ModelKey>().is_ok());
    }
}
