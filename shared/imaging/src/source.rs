//! An image as it came, opened: identified, measured and within its limits.

use std::sync::OnceLock;

use crate::{
    Deadline, Format, Image, ImageError, Limits,
    formats::{self, Codec},
    header::Header,
};

/// An image file that has been identified and measured, and that is within its limits. Its pixels are decoded when
/// they are first asked for, once.
#[derive(Debug)]
pub struct Source {
    bytes: Vec<u8>,
    /// Bytes before the image.
    start: usize,
    pub(crate) codec: &'static Codec,
    pub(crate) header: Header,
    pub(crate) limits: Limits,
    pub(crate) deadline: Deadline,
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
        let (codec, start) = formats::identify(&bytes)?;
        let header = codec.read_header(&bytes[start..], limits, deadline)?;
        Ok(Self { bytes, start, codec, header, limits: limits.clone(), deadline, image: OnceLock::new() })
    }

    /// What kind of file it is.
    #[must_use]
    pub fn format(&self) -> Format {
        self.codec.format
    }

    /// Pixels across, upright.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.size().0
    }

    /// Pixels down, upright.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.size().1
    }

    /// Pixels across and down, upright.
    pub(crate) fn size(&self) -> (u32, u32) {
        self.header.orientation.upright_size(self.header.stored.0, self.header.stored.1)
    }

    /// Frames of an animation that can be shown; 1 for a still.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.header.frames
    }

    /// Frames that the file has, be they shown or not: of an AVIF sequence, whose first frame alone is shown, all.
    #[must_use]
    pub fn frames_in_file(&self) -> u32 {
        self.codec.frames_in_file.map_or(self.frames(), |count| count(self.file()))
    }

    /// The file as it came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the image begins, to its end.
    pub(crate) fn file(&self) -> &[u8] {
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
        let image = self.codec.picture(self.file(), &self.header, &self.limits, self.deadline)?;
        Ok(self.image.get_or_init(|| image))
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
