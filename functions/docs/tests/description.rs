//! The description of the API is kept in a file, so that a change of the contract is seen as one.
#![allow(clippy::expect_used)]

use std::path::Path;

use testing::generated::keep;

#[test]
fn the_description_is_the_one_that_is_kept() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    keep(&file, &(serde_json::to_string_pretty(&docs::description()).expect("JSON") + "\n"));
}
