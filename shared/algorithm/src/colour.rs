//! A colour as clients write it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A colour in sRGB with straight alpha. Its text is `transparent`, `#rrggbb` or `#rrggbbaa` in lower case; `#rgb`,
/// `#rgba` and capitals are read, too. All fully transparent colours are one value, written `transparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Colour([u8; 4]);

/// A text that is no colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a colour is `transparent`, `#rrggbb` or `#rrggbbaa`")]
pub struct NotAColour;

impl Colour {
    /// No colour at all.
    pub const TRANSPARENT: Self = Self([0; 4]);

    /// Every text that is read, as a regular expression.
    pub const PATTERN: &str = "^(transparent|#[0-9A-Fa-f]{3}([0-9A-Fa-f]|[0-9A-Fa-f]{3}|[0-9A-Fa-f]{5})?)$";

    /// Opaque white.
    pub const WHITE: Self = Self([255; 4]);

    /// A colour of red, green, blue and alpha.
    #[must_use]
    pub fn new(rgba: [u8; 4]) -> Self {
        if rgba[3] == 0 { Self::TRANSPARENT } else { Self(rgba) }
    }

    /// Red, green, blue and alpha.
    #[must_use]
    pub fn rgba(self) -> [u8; 4] {
        self.0
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b, a] = self.0;
        match a {
            0 => f.write_str("transparent"),
            255 => write!(f, "#{r:02x}{g:02x}{b:02x}"),
            _ => write!(f, "#{r:02x}{g:02x}{b:02x}{a:02x}"),
        }
    }
}

impl FromStr for Colour {
    type Err = NotAColour;

    fn from_str(text: &str) -> Result<Self, NotAColour> {
        if text == "transparent" {
            return Ok(Self::TRANSPARENT);
        }
        let digits = text.strip_prefix('#').ok_or(NotAColour)?;
        let digits = digits.chars().map(|digit| digit.to_digit(16).ok_or(NotAColour));
        let digits = digits.map(|digit| digit.map(|digit| digit as u8)).collect::<Result<Vec<_>, _>>()?;
        match *digits {
            [r, g, b] => Ok(Self::new([r * 17, g * 17, b * 17, 255])),
            [r, g, b, a] => Ok(Self::new([r * 17, g * 17, b * 17, a * 17])),
            [r, s, g, h, b, c] => Ok(Self::new([r << 4 | s, g << 4 | h, b << 4 | c, 255])),
            [r, s, g, h, b, c, a, d] => Ok(Self::new([r << 4 | s, g << 4 | h, b << 4 | c, a << 4 | d])),
            _ => Err(NotAColour),
        }
    }
}

impl TryFrom<String> for Colour {
    type Error = NotAColour;

    fn try_from(text: String) -> Result<Self, NotAColour> {
        text.parse()
    }
}

impl From<Colour> for String {
    fn from(colour: Colour) -> Self {
        colour.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_one_is_written() {
        for (text, rgba, written) in [
            ("#FF8000", [255, 128, 0, 255], "#ff8000"),
            ("#ff800080", [255, 128, 0, 128], "#ff800080"),
            ("#f80", [255, 136, 0, 255], "#ff8800"),
            ("#f808", [255, 136, 0, 136], "#ff880088"),
            ("#ff8000ff", [255, 128, 0, 255], "#ff8000"),
            ("transparent", [0; 4], "transparent"),
            ("#ff800000", [0; 4], "transparent"),
        ] {
            let colour: Colour = text.parse().expect("a colour");
            assert_eq!((colour.rgba(), colour.to_string().as_str()), (rgba, written), "{text}");
            assert_eq!(written.parse(), Ok(colour));
        }
    }

    #[test]
    fn a_text_that_is_no_colour_is_refused() {
        for text in
            ["", "#", "red", "ff8000", "#ff", "#ff800", "#ff80000", "#ff80000000", "#gg8000", "#é80", " #fff"]
        {
            assert_eq!(text.parse::<Colour>(), Err(NotAColour), "{text}");
        }
    }
}
