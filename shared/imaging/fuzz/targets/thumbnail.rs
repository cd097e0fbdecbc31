//! Any options and any bytes give either a thumbnail of the requested size, which is itself a valid file, or a typed
//! refusal.
#![no_main]

use imaging::{Deadline, Fit, Limits, PointOfInterest, Source, THUMBNAIL, Thumbnail, ThumbnailOptions};
use algorithm::{Kind, Parameters};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

#[path = "shared.rs"]
mod shared;

/// An input begins with so many bytes of options, two for each parameter of the specification in turn. The file
/// follows.
const OPTIONS: usize = 32;

/// The longest side. Longer ones take more time and find nothing new.
const SIDE: u16 = 300;

fuzz_target!(|data: &[u8]| {
    let Some((chosen, file)) = data.split_at_checked(OPTIONS) else { return };
    let options = options(chosen.as_chunks().0);
    let Some(source) = shared::open(file) else { return };
    match source.thumbnails(&options, &|_, _| Ok(INTERESTING.to_vec())) {
        Ok(made) => made.iter().for_each(|made| check(made, &options)),
        Err(error) => shared::check(&error),
    }
});

/// Points that a detector could have found.
const INTERESTING: [PointOfInterest; 2] =
    [PointOfInterest { x: 3.5, y: 9.0, weight: 1.0 }, PointOfInterest { x: 60.0, y: 2.0, weight: 0.5 }];

/// Makes options from two bytes for each parameter; zero leaves it at its default.
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
        Kind::Choices { values } => {
            let chosen = values.iter().enumerate().filter(|(bit, _)| raw >> (bit % 16) & 1 == 1);
            let chosen: Vec<_> = chosen.map(|(_, value)| *value).collect();
            if chosen.is_empty() { json!(values[0]) } else { json!(chosen) }
        }
        Kind::Colour => json!(format!("#{:08x}", u32::from(raw).wrapping_mul(0x9e37_79b9))),
        Kind::Flag { .. } => json!(raw % 2 == 1),
        Kind::Rectangle => {
            json!({"x": raw % 7, "y": raw % 5, "width": raw % SIDE + 1, "height": raw % 11 + 1})
        }
        Kind::Model => json!(format!("{raw}.onnx")),
    }
}

fn check(made: &Thumbnail, options: &ThumbnailOptions) {
    let Thumbnail { preset, file: made } = made;
    let size = (made.width, made.height);
    if let Some(preset) = preset {
        assert_eq!(size, preset.size());
        assert!(made.bytes.len() <= preset.max_bytes(made.frames), "{} bytes for {preset:?}", made.bytes.len());
    } else if options.fit == Fit::Inside {
        assert!(size.0 <= options.width && size.1 <= options.height, "{size:?} is not inside");
    } else {
        assert_eq!(size, (options.width, options.height));
    }
    let again =
        Source::open(made.bytes.clone(), &Limits::default(), Deadline::none()).expect("a file of ours");
    assert_eq!((again.width(), again.height()), size, "the file says another size");
    let image = again.image().expect("a picture of ours");
    assert_eq!((image.width(), image.height()), size);
}
