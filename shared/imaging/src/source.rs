//! An image as it came, opened: identified, measured and within its limits.

use std::sync::OnceLock;

use crate::{
    Deadline, Encoded, Format, Image, ImageError, Limits, ThumbnailOptions, decode,
    header::Header,
    reduced,
    thumbnail::{self, View},
};

/// An image file that has been identified and measured, and that is within its limits. Its pixels are decoded when
/// they are first asked for, once.
#[derive(Debug)]
pub struct Source {
    bytes: Vec<u8>,
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
        let header = Header::read(&bytes, format, limits, deadline)?;
        Ok(Self { bytes, header, limits: limits.clone(), deadline, image: OnceLock::new() })
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

    /// Frames of an animation; 1 for a still.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.header.frames
    }

    /// The file as it came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
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
        let image = decode::decode(&self.bytes, &self.header, &self.limits, self.deadline)?;
        Ok(self.image.get_or_init(|| image))
    }

    /// A thumbnail. The same bytes and options give the same thumbnail, to the byte. Where it needs no more, only a
    /// reduced picture is decoded; it is not that of [`image`](Self::image), so asking for both costs both.
    ///
    /// # Errors
    /// Those of [`image`](Self::image), and [`ImageError::Option`] for an option outside its range.
    pub fn thumbnail(&self, options: &ThumbnailOptions) -> Result<Encoded, ImageError> {
        let view = View::of((self.width(), self.height()), options)?;
        self.deadline.check()?;
        // Whether the whole picture happens to be there already must not be told from the result.
        let shown = match reduced::view(&self.bytes, &self.header, view, &self.limits, self.deadline)? {
            Some(shown) => shown,
            None => view.from(self.image()?, self.deadline)?,
        };
        self.deadline.check()?;
        thumbnail::finish(shown, options, self.deadline)
    }
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
