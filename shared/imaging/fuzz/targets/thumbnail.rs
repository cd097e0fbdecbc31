//! Any options and any bytes end as a thumbnail of the promised size, which is a good file itself, or as a typed
//! refusal.
#![no_main]

use imaging::{Deadline, Encoded, Fit, Limits, Source, THUMBNAIL, ThumbnailOptions};
use jobs::algorithm::{Kind, Parameters};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

#[path = "shared.rs"]
mod shared;

/// An input is this many bytes of options, two for each parameter of the specification in turn, and then the file.
const OPTIONS: usize = 32;

/// Longer sides than this say nothing new and take long.
const SIDE: u16 = 300;

fuzz_target!(|data: &[u8]| {
    let Some((chosen, file)) = data.split_at_checked(OPTIONS) else { return };
    let options = options(chosen.as_chunks().0);
    let Some(source) = shared::open(file) else { return };
    match source.thumbnail(&options) {
        Ok(made) => check(&made, &options),
        Err(error) => shared::check(&error),
    }
});

/// Every parameter that the specification has or will have: zero leaves it at its default.
fn options(chosen: &[[u8; 2]]) -> ThumbnailOptions {
    let mut given = Map::new();
    for (parameter, &bytes) in THUMBNAIL.parameters.iter().zip(chosen) {
        let Some(raw) = u16::from_le_bytes(bytes).checked_sub(1) else { continue };
        given.insert(parameter.name.to_owned(), value(&parameter.kind, raw));
    }
    let resolved = THUMBNAIL.resolve(&Parameters(given)).expect("a value of each parameter's own kind");
    resolved.parameters.parse().expect("options and specification agree")
}

fn value(kind: &Kind, raw: u16) -> Value {
    match *kind {
        Kind::Integer { min, max, .. } => json!((min + i64::from(raw % SIDE)).min(max)),
        Kind::Number { min, max, .. } => json!(min + (max - min) * f64::from(raw) / f64::from(u16::MAX)),
        Kind::Choice { values, .. } => json!(values[usize::from(raw) % values.len()]),
    }
}

fn check(made: &Encoded, options: &ThumbnailOptions) {
    let (size, asked) = ((made.width, made.height), (options.width, options.height));
    if options.fit == Fit::Inside {
        assert!(size.0 <= asked.0 && size.1 <= asked.1, "{size:?} is not inside {asked:?}");
    } else {
        assert_eq!(size, asked);
    }
    let again =
        Source::open(made.bytes.clone(), &Limits::default(), Deadline::none()).expect("a file of ours");
    assert_eq!((again.width(), again.height()), size, "the file says another size");
    let image = again.image().expect("a picture of ours");
    assert_eq!((image.width(), image.height()), size);
}
