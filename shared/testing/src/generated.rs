//! Documents that are made from the code, wholly or in part, and kept in the repository. `make guide` writes them anew.

use std::{env, fmt::Write as _, fs, path::Path};

const END: &str = "<!-- end of generated -->";

/// Makes the generated parts of a document anew, and names them: each is between `<!-- generated: NAME -->` and
/// `<!-- end of generated -->`.
///
/// # Panics
/// Where a part has no end.
pub fn regenerated(markdown: &str, generated: impl Fn(&str) -> String) -> (String, Vec<String>) {
    let (mut text, mut parts) = (String::new(), Vec::new());
    let mut rest = markdown;
    while let Some((before, after)) = rest.split_once("<!-- generated: ") {
        let (what, after) = after.split_once(" -->").expect("a mark that ends");
        let (_, after) = after.split_once(END).unwrap_or_else(|| panic!("{what} has no end"));
        write!(text, "{before}<!-- generated: {what} -->\n\n{}\n{END}", generated(what))
            .expect("text is written");
        parts.push(what.to_owned());
        rest = after;
    }
    (text + rest, parts)
}

/// Writes a file if `UPDATE_GUIDE` is set, and otherwise compares it.
///
/// # Panics
/// Where the kept file has another content.
pub fn keep(file: &Path, made: &str) {
    if env::var_os("UPDATE_GUIDE").is_some() {
        fs::write(file, made).expect("the file is written");
        return;
    }
    let kept = fs::read_to_string(file).expect("the kept file");
    let differs = kept.lines().zip(made.lines()).find(|(kept, made)| kept != made);
    assert!(kept == made, "{} is old (`make guide` writes it anew): {differs:?}", file.display());
}
