//! How an encoder is stopped: libwebp reports progress, and whoever asked for the picture says whether to go on.

use std::{
    any::Any,
    ffi::c_int,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use libwebp_sys::WebPPicture;

use crate::{Error, encode::Picture};

/// Whoever is asked whether to go on. A picture that it is set for keeps a pointer to it.
pub(crate) struct Watch<'a> {
    go_on: &'a mut dyn FnMut() -> bool,
    stopped: bool,
    panic: Option<Box<dyn Any + Send>>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(go_on: &'a mut dyn FnMut() -> bool) -> Self {
        Self { go_on, stopped: false, panic: None }
    }

    /// Has an encoder ask at every step of the picture, for as long as `watch` points to one.
    pub(crate) fn set(watch: *mut Self, picture: &mut Picture) {
        picture.0.user_data = watch.cast();
        picture.0.progress_hook = Some(progress);
    }

    /// What the encoder's refusal means: what was asked for, where it was told to stop. A panic of whoever was asked goes on
    /// here, now that there is no C frame to cross.
    pub(crate) fn meaning(&mut self, refused: Error) -> Error {
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
        if self.stopped { Error::Stopped } else { refused }
    }

    /// Asks, until the answer is no.
    fn go_on(&mut self) -> bool {
        if self.stopped {
            return false;
        }
        // A panic must not cross the C frames.
        let answer = catch_unwind(AssertUnwindSafe(|| (self.go_on)()));
        let more = answer.unwrap_or_else(|panic| {
            self.panic = Some(panic);
            false
        });
        self.stopped = !more;
        more
    }
}

/// Called as the encoder gets on, on the thread that encodes: no other is asked for.
unsafe extern "C" fn progress(_percent: c_int, picture: *const WebPPicture) -> c_int {
    // SAFETY: libwebp calls this with the picture that it encodes, or with its own view of it; nothing changes it meanwhile.
    let Some(picture) = (unsafe { picture.as_ref() }) else { return 0 };
    // SAFETY: `user_data` is what `Watch::set` put there and libwebp copied with the rest: a `Watch` that outlives the
    // encoder, which nothing else refers to while the encoder runs.
    let Some(watch) = (unsafe { picture.user_data.cast::<Watch<'_>>().as_mut() }) else { return 0 };
    c_int::from(watch.go_on())
}
