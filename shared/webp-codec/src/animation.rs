//! Encodes animations as complete files. Of each frame only the changed part is stored, as small as libwebp can make
//! it.

use std::{marker::PhantomData, mem::MaybeUninit, ptr};

use libwebp_sys::{
    WEBP_MUX_ABI_VERSION, WebPAnimEncoder, WebPAnimEncoderAdd, WebPAnimEncoderAssemble,
    WebPAnimEncoderDelete, WebPAnimEncoderNewInternal, WebPAnimEncoderOptions,
    WebPAnimEncoderOptionsInitInternal, WebPConfig, WebPData, WebPDataClear,
};

use crate::{Error, MAX_SIDE, Quality, encode::Picture, watch::Watch};

/// The longest duration of a frame in milliseconds, which has 24 bits.
const MAX_DELAY: u32 = (1 << 24) - 1;

/// An animation that is being encoded.
pub struct Animation<'a> {
    encoder: *mut WebPAnimEncoder,
    /// From a `Box`, so that its address stays the same as long as the encoder lives: the encoder keeps the last
    /// picture's pointer to it, and calls it again when that picture is encoded once more at the end.
    watch: *mut Watch<'a>,
    _owned: PhantomData<Watch<'a>>,
    config: WebPConfig,
    size: (u32, u32),
    /// The start of the next frame in milliseconds. libwebp uses only differences, so it may wrap around.
    now: u32,
}

impl<'a> Animation<'a> {
    /// Creates an animation of frames of `width` × `height` pixels, which is played so many times; 0 is for ever.
    /// `go_on` is called from time to time while frames are encoded; once it has returned false it is not called again.
    ///
    /// # Errors
    /// [`Error::Size`] where a side is zero or longer than [`MAX_SIDE`]; [`Error::OutOfMemory`].
    pub fn new(
        size: (u32, u32),
        plays: u16,
        quality: Quality,
        go_on: &'a mut dyn FnMut() -> bool,
    ) -> Result<Self, Error> {
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
        if encoder.is_null() {
            return Err(Error::OutOfMemory);
        }
        let watch = Box::into_raw(Box::new(Watch::new(go_on)));
        Ok(Self { encoder, watch, _owned: PhantomData, config, size, now: 0 })
    }

    /// Adds a frame, as a complete picture, and its duration in milliseconds (at most 4 hours and 39 minutes). A frame
    /// that looks like the previous one only makes that one last longer.
    ///
    /// # Errors
    /// [`Error::Size`] where the buffer does not hold such a frame; [`Error::OutOfMemory`]; [`Error::Stopped`] where
    /// `go_on` returned false.
    pub fn add(&mut self, rgba: &[u8], delay: u32) -> Result<(), Error> {
        let mut picture = Picture::new(rgba, self.size, true)?;
        Watch::set(self.watch, &mut picture);
        // SAFETY: the encoder is alive, the picture and the configuration are valid; it keeps none of them, but for the
        // pointer to the watch, which outlives it and which no one else touches meanwhile.
        let added = unsafe {
            WebPAnimEncoderAdd(
                self.encoder,
                &raw mut picture.0,
                self.now.cast_signed(),
                &raw const self.config,
            )
        };
        if added == 0 {
            return Err(self.reason(picture.error()));
        }
        self.now = self.now.wrapping_add(delay.min(MAX_DELAY));
        Ok(())
    }

    /// Returns the file, without metadata. An animation that shows only one picture becomes a still.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is no frame; [`Error::OutOfMemory`]; [`Error::Stopped`] as [`add`](Self::add).
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
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
        if done { Ok(bytes) } else { Err(self.reason(Error::Refused(0))) }
    }

    /// Translates the encoder's error.
    fn reason(&mut self, refused: Error) -> Error {
        // SAFETY: the watch lives until this is dropped, and the encoder, which alone has the pointer too, is not
        // running.
        unsafe { &mut *self.watch }.reason(refused)
    }
}

impl Drop for Animation<'_> {
    fn drop(&mut self) {
        // SAFETY: the encoder came from `WebPAnimEncoderNewInternal`; it is freed once, here.
        unsafe { WebPAnimEncoderDelete(self.encoder) };
        // SAFETY: it came from a box; it is freed once, here, after the encoder that points to it.
        drop(unsafe { Box::from_raw(self.watch) });
    }
}
