//! Placeholders that are shown until a picture is loaded: two short texts from which a client draws a blurred picture,
//! and the picture's dominant colours.
//!
//! All of it is computed from at most [`SAMPLES`] × [`SAMPLES`] pixels taken at even distances, so that a large picture
//! costs no more than a small one, and little compared with decoding (`infra/bench/RESULTS.md`).

mod blurhash;
mod colours;

use algorithm::colour::Colour;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;

use crate::{Image, alpha};

/// The most pixels that are sampled along a side.
const SAMPLES: u32 = 128;

/// The longest side of the picture from which the texts are computed. They hold at most seven waves along a side.
const REDUCED: u32 = 32;

/// What is shown in place of a picture until it is loaded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Placeholder {
    /// [ThumbHash](https://evanw.github.io/thumbhash/), in Base64: proportions, colours and transparency.
    pub thumbhash: String,
    /// [BlurHash](https://blurha.sh) of the picture over white: 4 × 3 components, or 3 × 4 if it is higher than wide.
    pub blurhash: String,
    /// The dominant colours, at most five, most frequent first; none if nothing of the picture is visible.
    pub colours: Vec<DominantColour>,
}

/// A colour that much of a picture has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DominantColour {
    /// The colour, opaque.
    pub colour: Colour,
    /// The part of the visible pixels that have this colour or one close to it, 0–1, to four digits.
    pub share: f64,
}

impl Placeholder {
    /// The placeholder of a picture.
    pub(crate) fn of(image: &Image) -> Self {
        let sampled = sampled(image);
        let reduced = sampled.fit_within(REDUCED);
        let (width, height) = (reduced.width() as usize, reduced.height() as usize);
        Self {
            thumbhash: BASE64_STANDARD.encode(thumbhash::rgba_to_thumb_hash(width, height, reduced.rgba())),
            blurhash: blurhash::encode(&over_white(&reduced), reduced.width()),
            colours: colours::dominant(sampled.rgba()),
        }
    }
}

/// Samples one pixel from the middle of each cell of an even grid; a small picture is returned as it is.
fn sampled(image: &Image) -> Image {
    let (width, height) = (image.width(), image.height());
    let (across, down) = (width.min(SAMPLES), height.min(SAMPLES));
    if (across, down) == (width, height) {
        return image.clone();
    }
    let middle = |cell: u32, cells: u32, of: u32| ((2 * cell + 1) * of / (2 * cells)) as usize;
    let pixels = image.rgba().as_chunks::<4>().0;
    let rows = (0..down).map(|row| &pixels[middle(row, down, height) * width as usize..]);
    let taken = rows.flat_map(|row| (0..across).flat_map(|column| row[middle(column, across, width)]));
    // There is a pixel for each cell, so this cannot fail; if it did, the picture itself would be the right result.
    Image::new(across, down, taken.collect()).unwrap_or_else(|| image.clone())
}

/// Composites the pixels over white.
fn over_white(image: &Image) -> Vec<[u8; 3]> {
    let pixels = image.rgba().as_chunks::<4>().0;
    let over = pixels.iter().map(|&pixel| alpha::over(pixel, Colour::WHITE.rgba()));
    over.map(|[r, g, b, _]| [r, g, b]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A picture that was also given to the reference implementations.
    pub(super) fn drawn(width: u32, height: u32, alpha: bool) -> Image {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let rgba = pixels.flat_map(|(x, y)| {
            let a = if alpha { ((x * 19 + y * 23 + x * y) % 256) as u8 } else { 255 };
            [(x * 37 % 256) as u8, (y * 61 % 256) as u8, ((x * y * 3 + 40) % 256) as u8, a]
        });
        Image::new(width, height, rgba.collect()).expect("a picture")
    }

    /// The hashes come from ThumbHash's own JavaScript (npm, 0.1.1).
    #[test]
    fn thumbhash_is_the_references() {
        for ((width, height, alpha), expected) in [
            ((32, 24, false), "3PcFFYYjNBVnd3dweCh3cYqvSEL3"),
            ((24, 32, true), "3deBDAIHA1SGipaCsvfsBHl3SFaBoGdUCQ=="),
            ((9, 32, true), "27eFEQoHBIZ4aHgbnl9weIR5IkY5WHA="),
        ] {
            let found = Placeholder::of(&drawn(width, height, alpha)).thumbhash;
            assert_eq!(found, expected, "{width}×{height}, alpha: {alpha}");
        }
    }

    #[test]
    fn a_larger_picture_has_the_placeholder_of_a_smaller_one_like_it() {
        let quarters = |side: u32| {
            let pixels = (0..side).flat_map(|y| (0..side).map(move |x| (2 * x / side, 2 * y / side)));
            let rgba = pixels.flat_map(|(right, below)| match (right, below) {
                (0, 0) => [200, 40, 40, 255],
                (_, 0) => [40, 160, 40, 255],
                _ => [40, 40, 200, 255],
            });
            Image::new(side, side, rgba.collect()).expect("a picture")
        };
        let [small, large] = [32, 1000].map(|side| Placeholder::of(&quarters(side)));
        assert_eq!(small.colours, large.colours);
        assert_eq!(small.colours[0].colour.rgba(), [40, 40, 200, 255]);
    }

    #[test]
    fn it_reads_as_documented() {
        let red = Image::new(2, 1, vec![255, 0, 0, 255, 255, 0, 0, 255]).expect("a picture");
        let json = serde_json::to_value(Placeholder::of(&red)).expect("serialises");
        assert_eq!(json["colours"], serde_json::json!([{"colour": "#ff0000", "share": 1.0}]));
        assert!(json["thumbhash"].is_string() && json["blurhash"].is_string());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_picture_has_one_and_always_the_same(
            width in 1..180_u32, height in 1..180_u32, seed: u32, opaque: bool,
        ) {
            let mut state = seed;
            let rgba = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let [_, r, g, b] = state.to_be_bytes();
                [r, g, b, if opaque { 255 } else { r & g }]
            });
            let rgba = rgba.take((width * height) as usize).flatten().collect();
            let image = Image::new(width, height, rgba).expect("a picture");
            let found = Placeholder::of(&image);
            prop_assert!(found.thumbhash.len() <= 36 && found.blurhash.len() == 28, "{:?}", found);
            prop_assert!(found.colours.len() <= 5);
            prop_assert!(found.colours.is_sorted_by(|a, b| a.share >= b.share));
            let total: f64 = found.colours.iter().map(|colour| colour.share).sum();
            prop_assert!(total <= 1.001 && found.colours.iter().all(|colour| colour.share > 0.0));
            prop_assert_eq!(Placeholder::of(&image), found);
        }
    }
}
