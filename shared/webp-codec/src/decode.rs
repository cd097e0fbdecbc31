//! Decodes whole pictures to RGBA, at full size or reduced.

use std::{marker::PhantomData, ptr};

use libwebp_sys::{
    VP8StatusCode as Status, WEBP_CSP_MODE, WebPBitstreamFeatures, WebPDecoderConfig, WebPGetFeatures,
    WebPIDecode, WebPIDecodedArea, WebPIDecoder, WebPIDelete, WebPIUpdate, WebPRGBABuffer,
};

use crate::{End, Error, MAX_SIDE, Outcome};

/// The longest side that a header can state. A lossless picture's may be one pixel longer than libwebp can encode.
const LONGEST: u32 = MAX_SIDE + 1;

/// The contents of a picture's own header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Whether it has an alpha channel.
    pub has_alpha: bool,
    /// Whether it is a lossless picture (`VP8L`).
    pub lossless: bool,
}

/// Reads a picture's header.
#[must_use]
pub fn features(picture: &[u8]) -> Option<Features> {
    // SAFETY: all zeros is a value of this struct of numbers.
    let mut found: WebPBitstreamFeatures = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer and the length are of one slice, `found` is valid for writing, and neither is kept.
    let status = unsafe { WebPGetFeatures(picture.as_ptr(), picture.len(), &raw mut found) };
    let side = |pixels: i32| u32::try_from(pixels).ok().filter(|pixels| (1..=LONGEST).contains(pixels));
    let known = status == Status::VP8_STATUS_OK && matches!(found.format, 1 | 2);
    known.then_some(Features {
        width: side(found.width)?,
        height: side(found.height)?,
        has_alpha: found.has_alpha != 0,
        lossless: found.format == 2,
    })
}

/// Bytes that the decoder is given between two calls of `go_on`.
const SLICE: usize = 64 << 10;

/// Decodes a picture into `rgba`, as straight-alpha RGBA, row by row, with `width` × `height` pixels. If that is less
/// than the picture's size, each pixel is the mean of those that it stands for, for lossless pictures weighted by their
/// alpha. Rows that the data does not reach keep their contents. `go_on` is called from time to time.
///
/// # Errors
/// [`Error::NotAPicture`], [`Error::Size`] where the buffer has another length or the size is larger than the
/// picture's, and [`Error::OutOfMemory`].
pub fn decode_rgba(
    picture: &[u8],
    (width, height): (u32, u32),
    rgba: &mut [u8],
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Outcome, Error> {
    let features = features(picture).ok_or(Error::NotAPicture)?;
    // Check against the picture's size first, so that the product cannot overflow.
    let fits = width <= features.width && height <= features.height;
    if !fits || width == 0 || height == 0 || rgba.len() != width as usize * height as usize * 4 {
        return Err(Error::Size);
    }
    let mut config = config()?;
    config.options.use_scaling = i32::from((width, height) != (features.width, features.height));
    config.options.scaled_width = width.cast_signed();
    config.options.scaled_height = height.cast_signed();
    let mut decoder = Decoder::new(picture, &mut config, rgba, width)?;
    let mut fed = 0;
    loop {
        // libwebp reads a lossless picture's header again each time until it is complete, so the amount is doubled
        // until then.
        fed += if decoder.rows() == 0 { fed.max(SLICE) } else { SLICE };
        fed = fed.min(picture.len());
        if !go_on() {
            return Ok(Outcome { rows: decoder.rows(), end: End::Stopped });
        }
        let end = decoder.update(fed);
        if end != End::CutOff || fed == picture.len() {
            let rows = decoder.rows();
            drop(decoder);
            if features.lossless && !features.has_alpha {
                // The fourth channel of a picture without alpha has no meaning.
                let shown = rgba.as_chunks_mut::<4>().0.iter_mut().take(rows as usize * width as usize);
                shown.for_each(|pixel| pixel[3] = 255);
            }
            return Ok(Outcome { rows, end });
        }
    }
}

/// libwebp's default configuration.
pub(crate) fn config() -> Result<WebPDecoderConfig, Error> {
    WebPDecoderConfig::new().map_err(|()| Error::Refused(0))
}

/// libwebp's incremental decoder, with everything that it keeps pointers to: the picture, the configuration and the
/// place for the result.
pub(crate) struct Decoder<'a> {
    decoder: *mut WebPIDecoder,
    picture: &'a [u8],
    _pointed_to: PhantomData<&'a mut WebPDecoderConfig>,
}

impl<'a> Decoder<'a> {
    /// Creates a decoder that has no data yet. Its result is RGBA with `width` pixels in a row.
    pub(crate) fn new(
        picture: &'a [u8],
        config: &'a mut WebPDecoderConfig,
        rgba: &'a mut [u8],
        width: u32,
    ) -> Result<Self, Error> {
        config.output.colorspace = WEBP_CSP_MODE::MODE_RGBA;
        config.output.is_external_memory = 1;
        config.output.u.RGBA =
            WebPRGBABuffer { rgba: rgba.as_mut_ptr(), stride: width.cast_signed() * 4, size: rgba.len() };
        // SAFETY: no data is given yet. The configuration is valid, and it and the buffer that it names are borrowed
        // for as long as the decoder lives. Whether the result fits the buffer is checked by the library.
        let decoder = unsafe { WebPIDecode(ptr::null(), 0, &raw mut *config) };
        if decoder.is_null() {
            return Err(Error::OutOfMemory);
        }
        Ok(Self { decoder, picture, _pointed_to: PhantomData })
    }

    pub(crate) fn as_ptr(&self) -> *mut WebPIDecoder {
        self.decoder
    }

    /// Decodes as much as possible of the picture's first `fed` bytes. `fed` must grow with each call.
    pub(crate) fn update(&mut self, fed: usize) -> End {
        let data = &self.picture[..fed];
        // SAFETY: the decoder is alive. It keeps the pointer, to a slice that is borrowed for as long.
        let status = unsafe { WebPIUpdate(self.decoder, data.as_ptr(), data.len()) };
        match status {
            Status::VP8_STATUS_OK => End::Whole,
            Status::VP8_STATUS_SUSPENDED | Status::VP8_STATUS_NOT_ENOUGH_DATA => End::CutOff,
            Status::VP8_STATUS_OUT_OF_MEMORY => End::OutOfMemory,
            Status::VP8_STATUS_USER_ABORT => End::Stopped,
            _ => End::Damaged,
        }
    }

    /// The number of rows of the result that are complete.
    fn rows(&self) -> u32 {
        let mut rows = 0;
        let none = ptr::null_mut();
        // SAFETY: the decoder is alive, `rows` is valid for writing, and null means that the value is not wanted. What
        // is returned is not looked at.
        unsafe { WebPIDecodedArea(self.decoder, none, none, none, &raw mut rows) };
        u32::try_from(rows).unwrap_or(0)
    }
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        // SAFETY: the decoder came from `WebPIDecode`, and this is the one place where it is given back.
        unsafe { WebPIDelete(self.decoder) };
    }
}
