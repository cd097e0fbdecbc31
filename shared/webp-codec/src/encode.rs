//! Encodes stills as complete files.

use std::mem::MaybeUninit;

use libwebp_sys::{
    WebPConfig, WebPEncode, WebPEncodingError, WebPMemoryWrite, WebPMemoryWriter, WebPMemoryWriterClear,
    WebPMemoryWriterInit, WebPPicture, WebPPictureFree, WebPPictureImportRGBA, WebPPreset,
};

use crate::{Error, MAX_SIDE, watch::Watch};

/// The quality of an encoded picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// From 0, the smallest file, to 100, the best picture. Alpha is lossless.
    Lossy(u8),
    /// All visible pixels are kept exactly.
    Lossless,
}

/// libwebp's default compromise between speed and size.
const METHOD: i32 = 4;

impl Quality {
    pub(crate) fn config(self) -> Result<WebPConfig, Error> {
        const LOSSLESS_EFFORT: f32 = 75.0;
        let quality = match self {
            Self::Lossy(quality) => f32::from(quality.min(100)),
            Self::Lossless => LOSSLESS_EFFORT,
        };
        let preset = WebPPreset::WEBP_PRESET_DEFAULT;
        let mut config = WebPConfig::new_with_preset(preset, quality).map_err(|()| Error::Refused(0))?;
        config.lossless = i32::from(self == Self::Lossless);
        config.method = METHOD;
        Ok(config)
    }
}

/// Encodes straight-alpha RGBA pixels, row by row, as a complete file without metadata. `go_on` is called from time to
/// time, but not while the alpha of a lossy picture is compressed.
///
/// # Errors
/// [`Error::Size`] where a side is zero or longer than [`MAX_SIDE`], or the buffer has another length;
/// [`Error::OutOfMemory`]; [`Error::Stopped`] where `go_on` returned false.
pub fn encode(
    rgba: &[u8],
    size: (u32, u32),
    quality: Quality,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<u8>, Error> {
    let config = quality.config()?;
    let mut picture = Picture::new(rgba, size, quality == Quality::Lossless)?;
    let mut writer = Writer::new();
    picture.0.writer = Some(WebPMemoryWrite);
    picture.0.custom_ptr = (&raw mut writer.0).cast();
    let mut watch = Watch::new(go_on);
    Watch::set(&raw mut watch, &mut picture);
    // SAFETY: both are valid; the picture's writer is libwebp's own, and `custom_ptr` is what it takes. The watch
    // outlives the call, and no one else touches it meanwhile.
    let encoded = unsafe { WebPEncode(&raw const config, &raw mut picture.0) };
    if encoded == 0 { Err(watch.reason(picture.error())) } else { Ok(writer.to_vec()) }
}

/// A picture in libwebp's memory.
pub(crate) struct Picture(pub(crate) WebPPicture);

impl Picture {
    /// Copies the pixels, as ARGB or in the encoder's own colour space.
    pub(crate) fn new(rgba: &[u8], (width, height): (u32, u32), argb: bool) -> Result<Self, Error> {
        let side = |pixels: u32| (1..=MAX_SIDE).contains(&pixels);
        if !side(width) || !side(height) || rgba.len() != width as usize * height as usize * 4 {
            return Err(Error::Size);
        }
        let mut picture = Self(WebPPicture::new().map_err(|()| Error::Refused(0))?);
        picture.0.use_argb = i32::from(argb);
        (picture.0.width, picture.0.height) = (width.cast_signed(), height.cast_signed());
        // SAFETY: the picture is initialised and has a size, and the slice holds that many rows of that stride; it is
        // copied.
        let taken = unsafe { WebPPictureImportRGBA(&raw mut picture.0, rgba.as_ptr(), picture.0.width * 4) };
        if taken == 0 { Err(picture.error()) } else { Ok(picture) }
    }

    /// The reason why libwebp refused it.
    pub(crate) fn error(&self) -> Error {
        match self.0.error_code {
            WebPEncodingError::VP8_ENC_ERROR_OUT_OF_MEMORY
            | WebPEncodingError::VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY => Error::OutOfMemory,
            other => Error::Refused(other as i32),
        }
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: the picture is initialised; what it owns is freed once, here.
        unsafe { WebPPictureFree(&raw mut self.0) };
    }
}

/// A file in libwebp's memory.
struct Writer(WebPMemoryWriter);

impl Writer {
    fn new() -> Self {
        let mut writer = MaybeUninit::uninit();
        // SAFETY: valid for writing; the function sets every field.
        unsafe { WebPMemoryWriterInit(writer.as_mut_ptr()) };
        // SAFETY: it was just initialised.
        Self(unsafe { writer.assume_init() })
    }

    fn to_vec(&self) -> Vec<u8> {
        if self.0.mem.is_null() {
            return Vec::new();
        }
        // SAFETY: the writer owns `size` bytes there, all of them written, and no one changes them here.
        unsafe { std::slice::from_raw_parts(self.0.mem, self.0.size) }.to_vec()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: the writer is initialised; what it owns is freed once, here.
        unsafe { WebPMemoryWriterClear(&raw mut self.0) };
    }
}
