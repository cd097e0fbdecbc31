//! The description of the API is kept in a file, so that a change of the contract is seen as one.
#![allow(clippy::expect_used)]

use std::{env, fs, path::Path};

/// `make guide` writes it anew.
#[test]
fn the_description_is_the_one_that_is_kept() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let description = serde_json::to_string_pretty(&docs::description()).expect("JSON") + "\n";
    if env::var_os("UPDATE_GUIDE").is_some() {
        fs::write(&file, &description).expect("written");
    }
    let kept = fs::read_to_string(&file).expect("the kept description");
    let differs = kept.lines().zip(description.lines()).find(|(kept, now)| kept != now);
    assert!(kept == description, "openapi.json is old (`make guide`): {differs:?}");
}
