//! An image as it came, opened: identified, measured and within its limits.

use std::sync::OnceLock;

use jobs::colour::Colour;

use crate::{
    Deadline, Encoded, Fit, Format, Gravity, Image, ImageError, Interest, Limits, OutputFormat, Preset,
    Thumbnail, ThumbnailOptions, Thumbnails,
    animation::{self, Animation},
    canvas, decode,
    encode::{self, Codec},
    header::Header,
    interest,
    layout::Layout,
    orient::Orientation,
    placeholder::Placeholder,
    preset, reduced,
    thumbnail::View,
};

/// An image file that has been identified and measured, and that is within its limits. Its pixels are decoded when
/// they are first asked for, once.
#[derive(Debug)]
pub struct Source {
    bytes: Vec<u8>,
    /// Bytes before the image.
    start: usize,
    header: Header,
    limits: Limits,
    deadline: Deadline,
    image: OnceLock<Image>,
}

impl Source {
    /// Identifies the file by its content and reads its headers; no pixel is decoded and no memory taken for any. The
    /// deadline holds for everything that is asked of the source later, too.
    ///
    /// # Errors
    /// In this order: [`ImageError::Empty`], [`ImageError::TooLarge`], [`ImageError::UnknownFormat`] or
    /// [`ImageError::Unsupported`], then [`ImageError::TooManyFrames`] and [`ImageError::TooManyPixels`];
    /// [`ImageError::Corrupt`] or [`ImageError::UnsupportedFeature`] where the headers
    /// cannot be read; [`ImageError::TimeLimit`] at any point.
    pub fn open(bytes: Vec<u8>, limits: &Limits, deadline: Deadline) -> Result<Self, ImageError> {
        deadline.check()?;
        limits.check_bytes(&bytes)?;
        let format = Format::identify(&bytes)?;
        let start = format.start(&bytes);
        let header = Header::read(&bytes[start..], format, limits, deadline)?;
        Ok(Self { bytes, start, header, limits: limits.clone(), deadline, image: OnceLock::new() })
    }

    /// What kind of file it is.
    #[must_use]
    pub fn format(&self) -> Format {
        self.header.format
    }

    /// Pixels across, upright.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.header.orientation.upright_size(self.header.stored.0, self.header.stored.1).0
    }

    /// Pixels down, upright.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.header.orientation.upright_size(self.header.stored.0, self.header.stored.1).1
    }

    /// Frames of an animation that can be shown; 1 for a still.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.header.frames
    }

    /// Frames that the file has, be they shown or not: of an AVIF sequence, whose first frame alone is shown, all.
    #[must_use]
    pub fn frames_in_file(&self) -> u32 {
        match self.format() {
            Format::Avif => decode::avif::frames(self.file()),
            _ => self.frames(),
        }
    }

    /// The file as it came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the image begins, to its end.
    fn file(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The picture, upright, in sRGB, at full size; of an animation, the first frame. Decoded on the first call and
    /// kept.
    ///
    /// # Errors
    /// [`ImageError::Corrupt`], [`ImageError::UnsupportedFeature`], [`ImageError::DecoderMemory`] or
    /// [`ImageError::TimeLimit`].
    pub fn image(&self) -> Result<&Image, ImageError> {
        if let Some(image) = self.image.get() {
            return Ok(image);
        }
        let image = decode::decode(self.file(), &self.header, &self.limits, self.deadline)?;
        Ok(self.image.get_or_init(|| image))
    }

    /// The thumbnail, or one for each preset. The same bytes, options and points of interest give the same thumbnails,
    /// to the byte. Where they need no more, only a reduced picture is decoded; it is not that of
    /// [`image`](Self::image), so asking for both costs both. `interest` is asked for [`Gravity::Smart`] alone, and only
    /// where something is cut off; that costs a reduced picture more.
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
        let first = presets.next();
        let mut size = target(first, options);
        let mut picture = self.picture(size, first, options, interest)?;
        let placeholder = Placeholder::of(picture.shown.first()?);
        let first = Thumbnail { preset: first, file: self.encode(&picture, first, options)? };
        let mut others = Vec::new();
        for preset in presets {
            let preset = Some(preset);
            if target(preset, options) != size {
                size = target(preset, options);
                picture = self.picture(size, preset, options, interest)?;
            }
            others.push(Thumbnail { preset, file: self.encode(&picture, preset, options)? });
        }
        Ok(Thumbnails { first, others, placeholder })
    }

    /// The first of these alone, where nothing is of interest: [`Gravity::Smart`] is the centre then.
    ///
    /// # Errors
    /// As [`thumbnails`](Self::thumbnails).
    pub fn thumbnail(&self, options: &ThumbnailOptions) -> Result<Encoded, ImageError> {
        options.check()?;
        let preset = options.preset.iter().next();
        let picture = self.picture(target(preset, options), preset, options, &|_, _| Ok(Vec::new()))?;
        self.encode(&picture, preset, options)
    }

    /// The picture of that size, on its ground: every frame where they are wanted, else the first. And whether that is what
    /// the file shows, pixel by pixel.
    fn picture(
        &self,
        target: (u32, u32),
        preset: Option<Preset>,
        options: &ThumbnailOptions,
        interest: Interest<'_>,
    ) -> Result<Picture, ImageError> {
        let size = (self.width(), self.height());
        let focus = self.focus(target, options, interest)?;
        // A preset's size is what the place takes it for: nothing less will do.
        let within = ThumbnailOptions { fit: Fit::Contain, ..*options };
        let of_its_size = preset.is_some() && options.fit == Fit::Inside;
        let layout = Layout::of(size, target, if of_its_size { &within } else { options }, focus);
        let still = matches!(options.format, OutputFormat::Png | OutputFormat::Jpeg) && preset.is_none();
        let untouched = layout.is_identity(size)
            && options.background.is_none()
            && self.header.orientation == Orientation::UPRIGHT;
        let mut picture = if still || self.frames() == 1 {
            Animation::still(self.shown(layout.view)?)
        } else {
            self.check_frames(layout.canvas)?;
            animation::animated(self.file(), &self.header, layout.view, &self.limits, self.deadline)?
        };
        self.deadline.check()?;
        let ground = match (options.background.unwrap_or(Colour::TRANSPARENT), options.format, preset) {
            (ground, OutputFormat::Jpeg, None) => {
                Colour::new(canvas::over(ground.rgba(), Colour::WHITE.rgba()))
            }
            (ground, ..) => ground,
        };
        for frame in &mut picture.frames {
            canvas::place(&mut frame.image, &layout, ground, self.deadline)?;
        }
        Ok(Picture { shown: picture, untouched })
    }

    /// Where the part that is shown lies in what there is.
    fn focus(
        &self,
        target: (u32, u32),
        options: &ThumbnailOptions,
        interest: Interest<'_>,
    ) -> Result<(f64, f64), ImageError> {
        let size = (self.width(), self.height());
        let share = Layout::share(size, target, options);
        if options.gravity != Gravity::Smart || share == (1.0, 1.0) {
            return Ok(options.gravity.anchor());
        }
        let small = self.shown(View::within(size, interest::PICTURE))?;
        let points = interest(&small, self.deadline)?;
        Ok(interest::focus(&points, (small.width(), small.height()), share))
    }

    /// What the view shows of the picture; of an animation, of its first frame.
    fn shown(&self, view: View) -> Result<Image, ImageError> {
        self.deadline.check()?;
        // Whether the whole picture happens to be there already must not be told from the result.
        match reduced::view(self.file(), &self.header, view, &self.limits, self.deadline)? {
            Some(shown) => Ok(shown),
            None => view.from(self.image()?, self.deadline),
        }
    }

    /// Holds the frames of an animated thumbnail against the limit on memory, and their pixels against the limit on those of
    /// a source: each costs as much time to encode as to decode, and more.
    fn check_frames(&self, (width, height): (u32, u32)) -> Result<(), ImageError> {
        const RGBA: u64 = 4;
        let frames = self.frames();
        let max = self.limits.max_pixels.min(self.limits.max_decoder_bytes / RGBA);
        let each = u64::from(width) * u64::from(height);
        if each.saturating_mul(frames.into()) > max {
            return Err(ImageError::ThumbnailTooLarge { width, height, frames, max });
        }
        Ok(())
    }

    fn encode(
        &self,
        picture: &Picture,
        preset: Option<Preset>,
        options: &ThumbnailOptions,
    ) -> Result<Encoded, ImageError> {
        self.deadline.check()?;
        if let Some(preset) = preset {
            return self.emoji(picture, preset);
        }
        let picture = &picture.shown;
        let codec = match options.format {
            OutputFormat::Png => Codec::Png,
            OutputFormat::Jpeg => Codec::Jpeg,
            OutputFormat::Webp => Codec::Webp,
            OutputFormat::Gif => Codec::Gif,
            OutputFormat::Auto if picture.frames.len() > 1 => match self.format() {
                Format::Gif => Codec::Gif,
                _ => Codec::Webp,
            },
            OutputFormat::Auto if picture.first()?.has_alpha() => Codec::Png,
            OutputFormat::Auto => Codec::Jpeg,
        };
        encode::encode_all(picture, codec, options.quality, self.deadline)
    }

    /// The file for a preset: the one that came, without its metadata, where it is of the preset's size, within its limits
    /// and of the format that would be written anyway, so that it is made neither worse nor larger.
    fn emoji(&self, picture: &Picture, preset: Preset) -> Result<Encoded, ImageError> {
        let first = picture.shown.first()?;
        let (file, frames) = (self.file(), self.frames());
        let most = preset.max_bytes(frames);
        let came = match self.format() {
            _ if !picture.untouched || preset == Preset::Whatsapp => None,
            Format::Gif if frames > 1 && preset.max_frames().is_none_or(|most| frames as usize <= most) => {
                let kept = decode::gif::without_metadata(file, most, self.deadline)?;
                kept.map(|bytes| Encoded::new(bytes, Codec::Gif, first))
            }
            Format::Png if frames == 1 => {
                let kept = decode::png::without_metadata(file, most);
                kept.map(|bytes| Encoded::new(bytes, Codec::Png, first))
            }
            _ => None,
        };
        match came {
            Some(came) if frames > 1 => Ok(came),
            Some(came) => {
                let made = preset::within_budget(&picture.shown, preset, self.deadline)?;
                Ok(if came.bytes.len() <= made.bytes.len() { came } else { made })
            }
            None => preset::within_budget(&picture.shown, preset, self.deadline),
        }
    }
}

/// What a thumbnail shows.
struct Picture {
    shown: Animation,
    /// Whether that is what the file shows, pixel by pixel.
    untouched: bool,
}

/// The size of the thumbnail that is made for a preset, or without one.
fn target(preset: Option<Preset>, options: &ThumbnailOptions) -> (u32, u32) {
    preset.map_or((options.width, options.height), Preset::size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_can_move_to_the_thread_that_decodes_it() {
        fn shared_between_threads<T: Send + Sync + 'static>() {}
        shared_between_threads::<Source>();
        shared_between_threads::<ImageError>();
    }
}
