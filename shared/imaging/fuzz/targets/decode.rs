//! Any bytes give a picture or a typed refusal, within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "shared.rs"]
mod shared;

fuzz_target!(|data: &[u8]| {
    let Some(source) = shared::open(data) else { return };
    let size = (source.width(), source.height());
    match source.image() {
        Ok(image) => assert_eq!((image.width(), image.height()), size, "the size that the header promised"),
        Err(error) => shared::check(&error),
    }
});
