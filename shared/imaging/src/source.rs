//! An image file that has been opened: its format is identified, its headers are read, and it is within the limits.

use std::sync::OnceLock;

use crate::{
    Deadline, Format, Image, ImageError, Limits,
    formats::{self, Codec},
    header::Header,
};

/// An image file whose format has been identified, whose headers have been read, and that is within its limits. Its
/// pixels are decoded once, when they are first asked for.
#[derive(Debug)]
pub struct Source {
    bytes: Vec<u8>,
    /// Offset of the image in the bytes.
    start: usize,
    pub(crate) codec: &'static Codec,
    pub(crate) header: Header,
    pub(crate) limits: Limits,
    pub(crate) deadline: Deadline,
    image: OnceLock<Image>,
}

impl Source {
    /// Identifies the file by its content and reads its headers, without decoding a pixel or allocating memory for any.
    /// The deadline also holds for everything that is asked of the source later.
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

    /// The file's format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.codec.format
    }

    /// Width in pixels, upright.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.size().0
    }

    /// Height in pixels, upright.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.size().1
    }

    /// Width and height in pixels, upright.
    pub(crate) fn size(&self) -> (u32, u32) {
        self.header.orientation.upright_size(self.header.stored.0, self.header.stored.1)
    }

    /// The number of frames that can be shown; 1 for a still.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.header.frames
    }

    /// The number of frames in the file, including those that are not shown. Of an AVIF sequence, only the first frame
    /// is shown.
    #[must_use]
    pub fn frames_in_file(&self) -> u32 {
        self.codec.frames_in_file.map_or(self.frames(), |count| count(self.file()))
    }

    /// The bytes of the file, unchanged.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes from the beginning of the image to the end of the file.
    pub(crate) fn file(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The picture at full size, upright and in sRGB; the first frame of an animation. It is decoded on the first call
    /// and kept.
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
