//! Stops an encoder: libwebp reports its progress, and a callback decides whether to go on.

use std::{
    any::Any,
    ffi::c_int,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use libwebp_sys::WebPPicture;

use crate::{Error, encode::Picture};

/// The callback that decides whether to go on. A picture for which it is set keeps a pointer to it.
pub(crate) struct Watch<'a> {
    go_on: &'a mut dyn FnMut() -> bool,
    stopped: bool,
    panic: Option<Box<dyn Any + Send>>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(go_on: &'a mut dyn FnMut() -> bool) -> Self {
        Self { go_on, stopped: false, panic: None }
    }

    /// Makes an encoder call it at every step of encoding the picture. The pointer must stay valid meanwhile.
    pub(crate) fn set(watch: *mut Self, picture: &mut Picture) {
        picture.0.user_data = watch.cast();
        picture.0.progress_hook = Some(progress);
    }

    /// Translates the encoder's error: [`Error::Stopped`] if the callback stopped it. A panic of the callback is
    /// resumed here, where it crosses no C frames.
    pub(crate) fn reason(&mut self, refused: Error) -> Error {
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
        if self.stopped { Error::Stopped } else { refused }
    }

    /// Calls the callback, until it returns false.
    fn go_on(&mut self) -> bool {
        if self.stopped {
            return false;
        }
        // A panic must not cross C frames.
        let answer = catch_unwind(AssertUnwindSafe(|| (self.go_on)()));
        let more = answer.unwrap_or_else(|panic| {
            self.panic = Some(panic);
            false
        });
        self.stopped = !more;
        more
    }
}

/// Called as the encoder makes progress, on the encoding thread, because no other threads are used.
unsafe extern "C" fn progress(_percent: c_int, picture: *const WebPPicture) -> c_int {
    // SAFETY: libwebp calls this with the picture that it encodes, or with its own view of it; nothing changes it
    // meanwhile.
    let Some(picture) = (unsafe { picture.as_ref() }) else { return 0 };
    // SAFETY: `user_data` is what `Watch::set` put there and libwebp copied with the rest: a `Watch` that outlives the
    // encoder, which nothing else refers to while the encoder runs.
    let Some(watch) = (unsafe { picture.user_data.cast::<Watch<'_>>().as_mut() }) else { return 0 };
    c_int::from(watch.go_on())
}
