//! Makes thumbnails, step by step. [`ThumbnailMaker::picture`] and [`ThumbnailMaker::encode`] list the steps:
//!
//! | step | module |
//! |---|---|
//! | choose the part of the picture that is shown, its size, and its place on the thumbnail | `layout`, `interest` |
//! | decode that part at that size, upright and in sRGB; every frame, if an animation is wanted | `formats` |
//! | add background and padding | `canvas` |
//! | encode a file, or the best one within a preset's limits | `encode`, `budget` |

use std::collections::BTreeMap;

use algorithm::colour::Colour;
use serde::Serialize;

use crate::{
    Encoded, Fit, Gravity, Image, ImageError, Interest, OutputFormat, Preset, Source, ThumbnailOptions,
    alpha,
    animation::Animation,
    budget, canvas, encode,
    formats::{Writer, gif, jpeg, png, webp},
    interest,
    layout::ThumbnailLayout,
    orient::Orientation,
    placeholder::Placeholder,
    resize::View,
};

/// One thumbnail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// The preset that it was made for.
    pub preset: Option<Preset>,
    /// The encoded thumbnail.
    pub file: Encoded,
}

/// The thumbnails of one picture, and a placeholder to show until they are loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Thumbnails {
    /// The first, or only, thumbnail.
    pub first: Thumbnail,
    /// The thumbnails of the other presets, in the requested order.
    pub others: Vec<Thumbnail>,
    /// The placeholder of the first thumbnail's picture; of an animation, of its first frame.
    pub placeholder: Placeholder,
}

impl Thumbnails {
    /// All thumbnails, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &Thumbnail> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// All thumbnails, owned.
    pub fn into_all(self) -> impl Iterator<Item = Thumbnail> {
        std::iter::once(self.first).chain(self.others)
    }

    /// What the client is told: size, type and frames of the first thumbnail, its placeholder, and under `presets` the
    /// same facts for each preset.
    #[must_use]
    pub fn summary(&self) -> impl Serialize {
        let named = self.iter().filter_map(|thumbnail| Some((thumbnail.preset?.name(), &thumbnail.file)));
        Summary {
            first: Facts::of(&self.first.file),
            placeholder: &self.placeholder,
            presets: named.map(|(name, file)| (name, Facts::of(file))).collect(),
        }
    }
}

#[derive(Serialize)]
struct Summary<'a> {
    #[serde(flatten)]
    first: Facts,
    #[serde(flatten)]
    placeholder: &'a Placeholder,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    presets: BTreeMap<&'static str, Facts>,
}

#[derive(Serialize)]
struct Facts {
    width: u32,
    height: u32,
    bytes: usize,
    content_type: &'static str,
    frames: u32,
}

impl Facts {
    fn of(file: &Encoded) -> Self {
        let Encoded { ref bytes, width, height, content_type, extension: _, frames } = *file;
        Self { width, height, bytes: bytes.len(), content_type, frames }
    }
}

impl Source {
    /// Makes the thumbnail, or one for each preset. The same bytes, options and points of interest give the same
    /// thumbnails, to the byte.
    ///
    /// Where a reduced picture is enough, only that is decoded. It is not derived from [`image`](Self::image), so
    /// asking for both costs both. `interest` is called only for [`Gravity::Smart`], and only if something is cut off;
    /// it costs another reduced picture.
    ///
    /// # Errors
    /// Those of [`image`](Self::image), [`ImageError::Option`] for an option outside its range, and
    /// [`ImageError::ThumbnailTooLarge`].
    pub fn thumbnails(
        &self,
        options: &ThumbnailOptions,
        interest: Interest<'_>,
    ) -> Result<Thumbnails, ImageError> {
        options.check()?;
        let mut presets = options.preset.iter();
        let mut making = ThumbnailMaker { source: self, options, preset: presets.next() };
        let mut picture = making.picture(interest)?;
        let placeholder = Placeholder::of(picture.shown.first()?);
        let first = Thumbnail { preset: making.preset, file: making.encode(&picture)? };
        let mut others = Vec::new();
        for preset in presets {
            let before = making.preset.replace(preset);
            // Presets of the same size share a picture.
            if before.map(Preset::size) != Some(preset.size()) {
                picture = making.picture(interest)?;
            }
            others.push(Thumbnail { preset: making.preset, file: making.encode(&picture)? });
        }
        Ok(Thumbnails { first, others, placeholder })
    }

    /// Makes only the first thumbnail, without points of interest: [`Gravity::Smart`] then keeps the centre.
    ///
    /// # Errors
    /// As [`thumbnails`](Self::thumbnails).
    pub fn thumbnail(&self, options: &ThumbnailOptions) -> Result<Encoded, ImageError> {
        options.check()?;
        let making = ThumbnailMaker { source: self, options, preset: options.preset.iter().next() };
        making.encode(&making.picture(&|_, _| Ok(Vec::new()))?)
    }
}

/// The inputs of one thumbnail.
struct ThumbnailMaker<'a> {
    source: &'a Source,
    options: &'a ThumbnailOptions,
    preset: Option<Preset>,
}

/// The picture of a thumbnail, before it is encoded.
struct ThumbnailPicture {
    shown: Animation,
    /// Whether it shows exactly the pixels of the file.
    is_unchanged: bool,
}

impl ThumbnailMaker<'_> {
    /// Makes the thumbnail's picture on its background: every frame if an animation is wanted, otherwise the first.
    fn picture(&self, interest: Interest<'_>) -> Result<ThumbnailPicture, ImageError> {
        let layout = self.layout(interest)?;
        let mut shown = self.decode(&layout)?;
        self.source.deadline.check()?;
        for frame in &mut shown.frames {
            canvas::place(&mut frame.image, &layout, self.background(), self.source.deadline)?;
        }
        Ok(ThumbnailPicture { shown, is_unchanged: self.is_unchanged(&layout) })
    }

    /// Computes which part of the picture is shown, its size, and its place.
    fn layout(&self, interest: Interest<'_>) -> Result<ThumbnailLayout, ImageError> {
        let focus = self.focus(interest)?;
        // `inside` can give a smaller size than asked for, but a preset's service accepts only the preset's size.
        let padded = ThumbnailOptions { fit: Fit::Contain, ..*self.options };
        let is_padded = self.preset.is_some() && self.options.fit == Fit::Inside;
        let options = if is_padded { &padded } else { self.options };
        Ok(ThumbnailLayout::of(self.source.size(), self.target(), options, focus))
    }

    /// Computes where in the picture the part lies that is shown.
    fn focus(&self, interest: Interest<'_>) -> Result<(f64, f64), ImageError> {
        let size = self.source.size();
        let share = ThumbnailLayout::share(size, self.target(), self.options);
        if self.options.gravity != Gravity::Smart || share == (1.0, 1.0) {
            return Ok(self.options.gravity.anchor());
        }
        let small = self.first_frame(View::within(size, interest::PICTURE))?;
        let points = interest(&small, self.source.deadline)?;
        Ok(interest::focus(&points, (small.width(), small.height()), share))
    }

    /// The size of the thumbnail.
    fn target(&self) -> (u32, u32) {
        self.preset.map_or((self.options.width, self.options.height), Preset::size)
    }

    /// Decodes what the layout shows: every frame if an animation is wanted, otherwise the first.
    fn decode(&self, layout: &ThumbnailLayout) -> Result<Animation, ImageError> {
        let Source { codec, header, limits, deadline, .. } = self.source;
        let still =
            matches!(self.options.format, OutputFormat::Png | OutputFormat::Jpeg) && self.preset.is_none();
        if still || self.source.frames() == 1 {
            return Ok(Animation::still(self.first_frame(layout.view)?));
        }
        self.check_frames(layout.canvas)?;
        codec.view_of_frames(self.source.file(), header, layout.view, limits, *deadline)
    }

    /// Decodes the part of the picture, or of an animation's first frame, that the view shows.
    fn first_frame(&self, view: View) -> Result<Image, ImageError> {
        let Source { codec, header, limits, deadline, .. } = self.source;
        deadline.check()?;
        // A picture that was already decoded is not used instead: the result must not depend on that.
        match codec.view_of_picture(self.source.file(), header, view, limits, *deadline)? {
            Some(shown) => Ok(shown),
            None => view.of(self.source.image()?, *deadline),
        }
    }

    /// Checks the frames of an animated thumbnail against the limit on memory and against the limit on a source's
    /// pixels, because encoding a pixel takes at least as much time as decoding one.
    fn check_frames(&self, (width, height): (u32, u32)) -> Result<(), ImageError> {
        const RGBA: u64 = 4;
        let Source { limits, .. } = self.source;
        let frames = self.source.frames();
        let max = limits.max_pixels.min(limits.max_decoder_bytes / RGBA);
        let each = u64::from(width) * u64::from(height);
        if each.saturating_mul(frames.into()) > max {
            return Err(ImageError::ThumbnailTooLarge { width, height, frames, max });
        }
        Ok(())
    }

    /// The colour behind the picture.
    fn background(&self) -> Colour {
        let background = self.options.background.unwrap_or(Colour::TRANSPARENT);
        let is_opaque = self.options.format == OutputFormat::Jpeg && self.preset.is_none();
        if is_opaque { Colour::new(alpha::over(background.rgba(), Colour::WHITE.rgba())) } else { background }
    }

    /// Whether the thumbnail shows exactly the pixels of the file.
    fn is_unchanged(&self, layout: &ThumbnailLayout) -> bool {
        layout.is_identity(self.source.size())
            && self.options.background.is_none()
            && self.source.header.orientation == Orientation::UPRIGHT
    }

    /// Encodes the thumbnail.
    fn encode(&self, picture: &ThumbnailPicture) -> Result<Encoded, ImageError> {
        self.source.deadline.check()?;
        match self.preset {
            Some(preset) => self.encode_for_preset(picture, preset),
            None => {
                let writer = self.writer(&picture.shown)?;
                encode::encode_all(&picture.shown, writer, self.options.quality, self.source.deadline)
            }
        }
    }

    /// Chooses the encoder where no preset does.
    fn writer(&self, shown: &Animation) -> Result<&'static Writer, ImageError> {
        Ok(match self.options.format {
            OutputFormat::Png => &png::WRITER,
            OutputFormat::Jpeg => &jpeg::WRITER,
            OutputFormat::Webp => &webp::WRITER,
            OutputFormat::Gif => &gif::WRITER,
            OutputFormat::Auto if shown.frames.len() > 1 => {
                // An animation stays in its own format if animations can be written in that.
                let own = self.source.codec.writer;
                own.filter(|writer| writer.encode_animated.is_some()).unwrap_or(&webp::WRITER)
            }
            OutputFormat::Auto if shown.first()?.has_alpha() => &png::WRITER,
            OutputFormat::Auto => &jpeg::WRITER,
        })
    }

    /// Makes the file for a preset. The uploaded file, without its metadata, is used if it has the preset's size and
    /// format and is within its limits, because encoding it anew would only make it worse or larger.
    fn encode_for_preset(&self, picture: &ThumbnailPicture, preset: Preset) -> Result<Encoded, ImageError> {
        let made = || budget::best_file(&picture.shown, preset, self.source.deadline);
        match self.source_without_metadata(picture, preset)? {
            Some(came) if self.source.frames() > 1 => Ok(came),
            Some(came) => {
                let made = made()?;
                Ok(if came.bytes.len() <= made.bytes.len() { came } else { made })
            }
            None => made(),
        }
    }

    /// The uploaded file without its metadata, if it can be used for the preset.
    fn source_without_metadata(
        &self,
        picture: &ThumbnailPicture,
        preset: Preset,
    ) -> Result<Option<Encoded>, ImageError> {
        let Source { header, deadline, .. } = self.source;
        let frames = self.source.frames();
        let is_too_long = frames > 1 && preset.max_frames().is_some_and(|most| frames as usize > most);
        if !picture.is_unchanged || preset == Preset::Whatsapp || is_too_long {
            return Ok(None);
        }
        let Some(writer) = self.source.codec.writer else { return Ok(None) };
        let Some(kept) = writer.strip_metadata else { return Ok(None) };
        let kept = kept(self.source.file(), header, preset.max_bytes(frames), *deadline)?;
        let first = picture.shown.first()?;
        Ok(kept.map(|bytes| Encoded::new(bytes, writer, first)))
    }
}
