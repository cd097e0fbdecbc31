//! The thumbnail: what can be asked for, and how it is made.

use jobs::algorithm::{Kind, Parameter, Specification};
use serde::Deserialize;

use crate::{
    Deadline, Encoded, Image, ImageError, OutputFormat, encode,
    resize::{self, Crop},
};

/// The longest side that can be asked for, in pixels.
pub const MAX_SIDE: u32 = 4096;

/// How the image meets the size that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Fills the size and cuts off what is over, equally on both sides.
    #[default]
    Cover,
    /// Shows all of it, and pads to the size: transparent, or white in JPEG.
    Contain,
    /// Stretches to the size.
    Fill,
    /// Shows all of it, no larger than the size and no larger than it is; the one that may be smaller.
    Inside,
}

/// What a thumbnail shall be. [`THUMBNAIL`] has the ranges and the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThumbnailOptions {
    /// Pixels across, 1–4096.
    pub width: u32,
    /// Pixels down, 1–4096.
    pub height: u32,
    /// How the image meets that size.
    pub fit: Fit,
    /// The file format.
    pub format: OutputFormat,
    /// JPEG quality, 1–100; the others are lossless.
    pub quality: u8,
}

impl Default for ThumbnailOptions {
    fn default() -> Self {
        Self { width: 100, height: 100, fit: Fit::default(), format: OutputFormat::default(), quality: 85 }
    }
}

/// The thumbnail as an algorithm: what submission validates against and `GET /algorithms` shows.
pub static THUMBNAIL: Specification = Specification {
    name: jobs::algorithm::THUMBNAIL,
    version: "1",
    summary: "A small version of the image: upright, sRGB, without metadata, exactly the size asked for.",
    references: &[
        "K. Turkowski, Filters for Common Resampling Tasks, Graphics Gems, 1990 (Lanczos3)",
        "T. Porter and T. Duff, Compositing Digital Images, SIGGRAPH 1984 (premultiplied alpha)",
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
            summary: "cover crops, contain pads (transparent, or white in JPEG), fill stretches; inside keeps all \
                      of the image, is never enlarged and may be smaller than asked for.",
            unit: None,
            kind: Kind::Choice { values: &["cover", "contain", "fill", "inside"], default: Some("cover") },
        },
        Parameter {
            name: "format",
            summary: "The format of the thumbnail; png and webp are lossless and keep transparency.",
            unit: None,
            kind: Kind::Choice { values: &["png", "jpeg", "webp"], default: Some("png") },
        },
        Parameter {
            name: "quality",
            summary: "JPEG quality; the other formats are lossless.",
            unit: None,
            kind: Kind::Integer { min: 1, max: 100, default: Some(85) },
        },
    ],
    list: None,
};

impl ThumbnailOptions {
    fn check(&self) -> Result<(), ImageError> {
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

/// What a thumbnail shows: a part of the upright picture, in its pixels, at a size in the thumbnail's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View {
    pub(crate) crop: Crop,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl View {
    /// What a thumbnail of an upright picture of that size shall show.
    pub(crate) fn of(size: (u32, u32), options: &ThumbnailOptions) -> Result<Self, ImageError> {
        options.check()?;
        let target = (options.width, options.height);
        let (crop, (width, height)) = match options.fit {
            Fit::Cover => (Crop::cover(size, target), target),
            Fit::Fill => (Crop::whole(size), target),
            Fit::Inside => (Crop::whole(size), resize::inside(size, target)),
            Fit::Contain => (Crop::whole(size), resize::contain(size, target)),
        };
        Ok(Self { crop, width, height })
    }

    /// That, from the whole upright picture.
    pub(crate) fn from(self, image: &Image, deadline: Deadline) -> Result<Image, ImageError> {
        resize::resample(image, self.crop, self.width, self.height, deadline)
    }
}

/// Makes a thumbnail of what it shall show.
pub(crate) fn finish(
    shown: Image,
    options: &ThumbnailOptions,
    deadline: Deadline,
) -> Result<Encoded, ImageError> {
    let fitted = if options.fit == Fit::Contain {
        padded(shown, (options.width, options.height))
            .ok_or_else(|| ImageError::internal("pad", "an empty result"))?
    } else {
        shown
    };
    deadline.check()?;
    encode::encode(&fitted, options.format, options.quality, deadline)
}

/// The image in the middle of a transparent canvas that is at least as large.
fn padded(image: Image, (width, height): (u32, u32)) -> Option<Image> {
    if (width, height) == (image.width(), image.height()) {
        return Some(image);
    }
    let left = (width.checked_sub(image.width())? / 2) as usize;
    let top = (height.checked_sub(image.height())? / 2) as usize;
    let (row, shown) = (width as usize * 4, image.width() as usize * 4);
    let mut canvas = vec![0; row * height as usize];
    let rows = canvas.chunks_exact_mut(row).skip(top);
    for (to, from) in rows.zip(image.rgba().chunks_exact(shown)) {
        to[left * 4..][..shown].copy_from_slice(from);
    }
    Image::new(width, height, canvas)
}

#[cfg(test)]
mod tests {
    use jobs::algorithm::Parameters;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_specification_and_the_options_agree() {
        let run = THUMBNAIL.resolve(&Parameters::default()).expect("defaults");
        assert_eq!(run.parameters.parse::<ThumbnailOptions>().expect("options"), ThumbnailOptions::default());
        for parameter in THUMBNAIL.parameters {
            let Kind::Choice { values, .. } = parameter.kind else { continue };
            for value in values {
                let given = json!({ parameter.name: value });
                let given = Parameters(given.as_object().expect("an object").clone());
                let run = THUMBNAIL.resolve(&given).expect("a choice");
                run.parameters.parse::<ThumbnailOptions>().expect("every choice is an option");
            }
        }
    }
}
