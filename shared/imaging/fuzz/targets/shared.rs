//! Functions that both targets use.

use std::{panic, sync::Once, time::Duration};

use imaging::{Deadline, ImageError, Limits, Source};

/// The limits are small, so that a header with a large claim costs nothing, but large enough that decoders do some
/// work.
fn limits() -> Limits {
    Limits { max_bytes: 1 << 20, max_pixels: 1 << 18, max_frames: 8, max_decoder_bytes: 64 << 20 }
}

/// libFuzzer takes every panic for a crash. Those of the AV1 decoder are caught by `imaging`, which refuses the file.
fn let_the_decoder_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let crash = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if panic.location().is_none_or(|place| !place.file().contains("rusty_av1d")) {
                crash(panic);
            }
        }));
    });
}

pub fn open(bytes: &[u8]) -> Option<Source> {
    let_the_decoder_panic();
    let deadline = Deadline::after(Duration::from_secs(2));
    Source::open(bytes.to_vec(), &limits(), deadline).inspect_err(check).ok()
}

/// Checks an error: it has a code, and is never a fault of Darkroom.
pub fn check(error: &ImageError) {
    assert!(!matches!(error, ImageError::Internal { .. }), "{error:?}");
    assert!(!error.code().is_empty() && !error.to_string().is_empty());
}
