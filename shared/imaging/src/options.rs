//! The options of a thumbnail.

use algorithm::{Kind, Parameter, Specification, colour::Colour};
use serde::Deserialize;

use crate::{ImageError, Preset};

/// The longest side that can be asked for, in pixels.
pub const MAX_SIDE: u32 = 4096;

/// How the image is fitted into the requested size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Fills the size and cuts off the rest.
    #[default]
    Cover,
    /// Shows the whole image, padded to the size.
    Contain,
    /// Stretches the image to the size.
    Fill,
    /// Shows the whole image without padding: the thumbnail may be smaller than the size.
    Inside,
}

/// Which part of the image is kept where some is cut off, and where the image lies where it is padded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gravity {
    /// The middle.
    #[default]
    Centre,
    /// The top.
    North,
    /// The top right.
    Northeast,
    /// The right.
    East,
    /// The bottom right.
    Southeast,
    /// The bottom.
    South,
    /// The bottom left.
    Southwest,
    /// The left.
    West,
    /// The top left.
    Northwest,
    /// Keeps the part with the most points of interest. Where the image is padded, it lies in the middle.
    Smart,
}

impl Gravity {
    /// All variants.
    pub const ALL: &[Self] = &[
        Self::Centre,
        Self::North,
        Self::Northeast,
        Self::East,
        Self::Southeast,
        Self::South,
        Self::Southwest,
        Self::West,
        Self::Northwest,
        Self::Smart,
    ];
}

/// The requested file format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// An animation becomes a GIF if it was one, else a WebP. A still becomes a PNG if any of it is transparent, else a
    /// JPEG.
    Auto,
    /// Lossless, with alpha. Shows the first frame of an animation.
    #[default]
    Png,
    /// Lossy and opaque. Shows the first frame of an animation.
    Jpeg,
    /// Lossy with alpha, or lossless at quality 100; animated if the source is.
    Webp,
    /// 256 colours, of which one may be transparent; animated if the source is.
    Gif,
}

/// The requested presets, in order and without duplicates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<Preset>")]
pub struct Presets([Option<Preset>; Preset::ALL.len()]);

impl Presets {
    /// The presets, in order.
    pub fn iter(&self) -> impl Iterator<Item = Preset> {
        self.0.into_iter().flatten()
    }
}

impl From<Vec<Preset>> for Presets {
    fn from(given: Vec<Preset>) -> Self {
        given.into_iter().collect()
    }
}

impl FromIterator<Preset> for Presets {
    fn from_iter<T: IntoIterator<Item = Preset>>(given: T) -> Self {
        let mut presets = Self::default();
        for preset in given {
            if presets.iter().all(|other| other != preset)
                && let Some(free) = presets.0.iter_mut().find(|place| place.is_none())
            {
                *free = Some(preset);
            }
        }
        presets
    }
}

/// The options of a thumbnail. [`THUMBNAIL`] has their ranges and defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThumbnailOptions {
    /// Pixels across, 1–4096.
    pub width: u32,
    /// Pixels down, 1–4096.
    pub height: u32,
    /// How the image is fitted into that size.
    pub fit: Fit,
    /// Which part of the image is kept, or where it lies.
    pub gravity: Gravity,
    /// The colour behind the image. `None` leaves it transparent, and is white for JPEG.
    pub background: Option<Colour>,
    /// Whether the image may be enlarged. `None` allows it for all fits but [`Fit::Inside`].
    pub enlarge: Option<bool>,
    /// The file format.
    pub format: OutputFormat,
    /// JPEG's and WebP's quality, 1–100.
    pub quality: u8,
    /// Presets. Each gives a thumbnail of its own, with the preset's size, format and quality.
    pub preset: Presets,
}

impl Default for ThumbnailOptions {
    fn default() -> Self {
        Self {
            width: 100,
            height: 100,
            fit: Fit::default(),
            gravity: Gravity::default(),
            background: None,
            enlarge: None,
            format: OutputFormat::default(),
            quality: 85,
            preset: Presets::default(),
        }
    }
}

/// The description of the thumbnail algorithm. Submission validates against it and `GET /algorithms` shows it.
pub static THUMBNAIL: Specification = Specification {
    name: algorithm::THUMBNAIL,
    version: "8",
    summary: "A small version of the image: upright, sRGB, without metadata, exactly the size asked for.",
    references: &[
        "K. Turkowski, Filters for Common Resampling Tasks, Graphics Gems, 1990 (Lanczos3)",
        "T. Porter and T. Duff, Compositing Digital Images, SIGGRAPH 1984 (premultiplied alpha)",
        "E. Wallace, ThumbHash, 2023",
        "D. Ågren and others, BlurHash, Wolt, 2018",
        "B. Ottosson, A perceptual color space for image processing, 2020 (Oklab)",
    ],
    parameters: &[
        Parameter {
            name: "width",
            summary: "Pixels across.",
            unit: Some("px"),
            kind: Kind::Integer { min: 1, max: MAX_SIDE as i64, default: Some(100) },
        },
        Parameter {
            name: "height",
            summary: "Pixels down.",
            unit: Some("px"),
            kind: Kind::Integer { min: 1, max: MAX_SIDE as i64, default: Some(100) },
        },
        Parameter {
            name: "fit",
            summary: "cover crops, contain pads, fill stretches; inside keeps all of the image within the size and is \
                      the one that may be smaller than asked for.",
            unit: None,
            kind: Kind::Choice { values: &["cover", "contain", "fill", "inside"], default: Some("cover") },
        },
        Parameter {
            name: "gravity",
            summary: "Which part of the image cover keeps, and where the image lies on its padding; smart keeps what \
                      the detectors find interesting.",
            unit: None,
            kind: Kind::Choice {
                values: &[
                    "centre",
                    "north",
                    "northeast",
                    "east",
                    "southeast",
                    "south",
                    "southwest",
                    "west",
                    "northwest",
                    "smart",
                ],
                default: Some("centre"),
            },
        },
        Parameter {
            name: "background",
            summary: "What contain pads with and what is put behind a transparent image; when left out, nothing, \
                      and white behind JPEG.",
            unit: None,
            kind: Kind::Colour,
        },
        Parameter {
            name: "enlarge",
            summary: "Whether the image may be shown larger than it is: when left out, inside never does and the \
                      others do. With false, what is too small is padded to the size.",
            unit: None,
            kind: Kind::Flag { default: None },
        },
        Parameter {
            name: "format",
            summary: "The format of the thumbnail: gif and webp are animated if the image is. auto is GIF for an \
                      animated GIF and WebP for other animations; of what does not move, PNG if any of it is \
                      transparent, else JPEG.",
            unit: None,
            kind: Kind::Choice { values: &["auto", "png", "jpeg", "webp", "gif"], default: Some("png") },
        },
        Parameter {
            name: "quality",
            summary: "JPEG's and WebP's quality; WebP at 100 is lossless, and so is PNG always.",
            unit: None,
            kind: Kind::Integer { min: 1, max: 100, default: Some(85) },
        },
        Parameter {
            name: "preset",
            summary: "Emoji (whatsapp: a sticker) for chat services, animated if the image is and guaranteed within the service's limit: a \
                      thumbnail for each, whose width, height, format and quality are the preset's own.",
            unit: None,
            kind: Kind::Choices {
                values: &["slack", "discord", "teams", "mastodon", "mattermost", "zulip", "whatsapp"],
            },
        },
    ],
    ordered: &[],
    dependent: None,
    list: None,
};

impl ThumbnailOptions {
    /// Refuses options outside their ranges.
    pub(crate) fn check(&self) -> Result<(), ImageError> {
        let ranges = [
            ("width", self.width, MAX_SIDE),
            ("height", self.height, MAX_SIDE),
            ("quality", self.quality.into(), 100),
        ];
        match ranges.into_iter().find(|&(_, value, max)| !(1..=max).contains(&value)) {
            Some((name, _, max)) => Err(ImageError::Option { name, min: 1, max }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use algorithm::Parameters;
    use serde_json::{Value, json};

    use super::*;

    fn parse(given: &Value) -> ThumbnailOptions {
        let given = Parameters(given.as_object().expect("an object").clone());
        let run = THUMBNAIL.resolve(&given).expect("valid parameters");
        run.parameters.parse().expect("every valid parameter is an option")
    }

    #[test]
    fn the_specification_and_the_options_agree() {
        assert_eq!(parse(&json!({})), ThumbnailOptions::default());
        for parameter in THUMBNAIL.parameters {
            match parameter.kind {
                Kind::Choice { values, .. } | Kind::Choices { values } => {
                    let parsed = values.iter().map(|value| parse(&json!({ parameter.name: value })));
                    let parsed: Vec<_> = parsed.collect();
                    for (index, options) in parsed.iter().enumerate() {
                        assert!(!parsed[..index].contains(options), "{} means one thing", values[index]);
                    }
                }
                Kind::Flag { .. } => {
                    assert_ne!(
                        parse(&json!({ parameter.name: true })),
                        parse(&json!({ parameter.name: false }))
                    );
                }
                Kind::Colour => {
                    assert_ne!(parse(&json!({ parameter.name: "#123" })), ThumbnailOptions::default());
                }
                Kind::Integer { .. } | Kind::Number { .. } | Kind::Rectangle | Kind::Model => {}
            }
        }
        let presets: Vec<_> = parse(&json!({"preset": ["teams", "slack"]})).preset.iter().collect();
        assert_eq!(presets, [Preset::Teams, Preset::Slack]);
        let names = THUMBNAIL.parameters.iter().find(|parameter| parameter.name == "preset");
        let Some(Parameter { kind: Kind::Choices { values }, .. }) = names else { panic!("no presets") };
        assert_eq!(&Preset::ALL.map(Preset::name), values);
    }

    #[test]
    fn parameters_of_an_older_version_are_options_still() {
        let stored = Parameters::default();
        assert_eq!(stored.parse::<ThumbnailOptions>().expect("options"), ThumbnailOptions::default());
        let stored = json!({"width": 7, "height": 100, "fit": "fill", "format": "webp", "quality": 85});
        let stored = Parameters(stored.as_object().expect("an object").clone());
        let options: ThumbnailOptions = stored.parse().expect("options");
        assert_eq!((options.width, options.fit, options.gravity), (7, Fit::Fill, Gravity::Centre));
    }

    #[test]
    fn no_preset_comes_twice() {
        let twice: Presets =
            [Preset::Slack, Preset::Teams, Preset::Slack, Preset::Discord].into_iter().collect();
        assert_eq!(twice.iter().collect::<Vec<_>>(), [Preset::Slack, Preset::Teams, Preset::Discord]);
    }
}
