//! Animations as whole files: each frame is only what has changed, as small as the library can make it.

use std::{mem::MaybeUninit, ptr};

use libwebp_sys::{
    WEBP_MUX_ABI_VERSION, WebPAnimEncoder, WebPAnimEncoderAdd, WebPAnimEncoderAssemble,
    WebPAnimEncoderDelete, WebPAnimEncoderNewInternal, WebPAnimEncoderOptions,
    WebPAnimEncoderOptionsInitInternal, WebPConfig, WebPData, WebPDataClear,
};

use crate::{Error, MAX_SIDE, Quality, encode::Picture};

/// The longest that one frame can be shown, in milliseconds: 24 bits hold it.
const MAX_DELAY: u32 = (1 << 24) - 1;

/// An animation that is being encoded.
pub struct Animation {
    encoder: *mut WebPAnimEncoder,
    config: WebPConfig,
    size: (u32, u32),
    /// When the next frame is shown, in milliseconds; libwebp only looks at differences, so that it may wrap around.
    now: u32,
}

impl Animation {
    /// An animation of frames of `width` × `height` pixels, shown so many times; 0 is for ever.
    ///
    /// # Errors
    /// [`Error::Size`] where a side is zero or longer than [`MAX_SIDE`]; [`Error::OutOfMemory`].
    pub fn new(size: (u32, u32), plays: u16, quality: Quality) -> Result<Self, Error> {
        if ![size.0, size.1].iter().all(|side| (1..=MAX_SIDE).contains(side)) {
            return Err(Error::Size);
        }
        let config = quality.config()?;
        let mut options = MaybeUninit::<WebPAnimEncoderOptions>::uninit();
        // SAFETY: valid for writing; where the function succeeds it has set every field.
        let known = unsafe {
            WebPAnimEncoderOptionsInitInternal(options.as_mut_ptr(), WEBP_MUX_ABI_VERSION.cast_signed())
        };
        if known == 0 {
            return Err(Error::Refused(0));
        }
        // SAFETY: it was just initialised.
        let mut options = unsafe { options.assume_init() };
        options.anim_params.loop_count = plays.into();
        options.anim_params.bgcolor = 0;
        // SAFETY: the options are valid and are copied.
        let encoder = unsafe {
            WebPAnimEncoderNewInternal(
                size.0.cast_signed(),
                size.1.cast_signed(),
                &raw const options,
                WEBP_MUX_ABI_VERSION.cast_signed(),
            )
        };
        if encoder.is_null() { Err(Error::OutOfMemory) } else { Ok(Self { encoder, config, size, now: 0 }) }
    }

    /// Adds a frame, all of it as it is shown, and for how many milliseconds (4 hours and 39 minutes at most). What looks
    /// like the one before makes that one last longer.
    ///
    /// # Errors
    /// [`Error::Size`] where the buffer does not hold such a frame; [`Error::OutOfMemory`].
    pub fn add(&mut self, rgba: &[u8], delay: u32) -> Result<(), Error> {
        let mut picture = Picture::new(rgba, self.size, true)?;
        // SAFETY: the encoder is alive, the picture and the configuration are valid; it keeps none of them.
        let added = unsafe {
            WebPAnimEncoderAdd(
                self.encoder,
                &raw mut picture.0,
                self.now.cast_signed(),
                &raw const self.config,
            )
        };
        if added == 0 {
            return Err(picture.error());
        }
        self.now = self.now.wrapping_add(delay.min(MAX_DELAY));
        Ok(())
    }

    /// The file, without metadata. An animation that shows but one picture is a still one.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is no frame; [`Error::OutOfMemory`].
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        // SAFETY: the encoder is alive; no picture means that the last one ends now, and takes no configuration.
        let ended =
            unsafe { WebPAnimEncoderAdd(self.encoder, ptr::null_mut(), self.now.cast_signed(), ptr::null()) };
        let mut file = WebPData::default();
        // SAFETY: the encoder is alive and `file` is valid and empty.
        let assembled = unsafe { WebPAnimEncoderAssemble(self.encoder, &raw mut file) };
        let done = ended != 0 && assembled != 0 && !file.bytes.is_null();
        let bytes = if done {
            // SAFETY: the library has put that many bytes there, and no one changes them.
            unsafe { std::slice::from_raw_parts(file.bytes, file.size) }.to_vec()
        } else {
            Vec::new()
        };
        // SAFETY: what `file` owns is freed once, here; an empty one owns nothing.
        unsafe { WebPDataClear(&mut file) };
        if done { Ok(bytes) } else { Err(Error::Refused(0)) }
    }
}

impl Drop for Animation {
    fn drop(&mut self) {
        // SAFETY: the encoder came from `WebPAnimEncoderNewInternal`; it is freed once, here.
        unsafe { WebPAnimEncoderDelete(self.encoder) };
    }
}
