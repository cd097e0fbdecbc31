//! Checks which module uses which. The source is read as text, because the compiler allows circular dependencies.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The lowest layer: these modules use only each other within the crate.
const GROUND: [&str; 10] =
    ["crop", "deadline", "error", "exif", "format", "header", "limits", "orient", "pixels", "scan"];

/// The modules by their paths, such as `formats::gif::lzw`, with the text of their files without tests.
fn sources() -> BTreeMap<String, String> {
    fn collect(folder: &Path, path: &str, all: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let path = if path.is_empty() { name.clone() } else { format!("{path}::{name}") };
            if name == "tests" {
                continue;
            }
            if file.is_dir() {
                collect(&file, &path, all);
            } else {
                let text = fs::read_to_string(&file).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                let lines = code.lines().map(|line| line.split("//").next().unwrap());
                all.insert(path, lines.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut all);
    all
}

/// The paths in a `use` declaration: `a::{b, c::d}` names `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let Some((prefix, group)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let group = &group[..group.rfind('}').expect("a closed group")];
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(letter);
    }
    let named = parts.iter().filter(|part| !part.trim().is_empty());
    named.flat_map(|part| paths(&format!("{}{}", prefix.trim(), part.trim()))).collect()
}

/// The modules that each module names, in a `use` or in a path that begins with `crate`.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources();
    // Public items are re-exported at the crate's root: `crate::Image` belongs to the module `pixels`.
    let mut at_root = BTreeMap::new();
    for declaration in sources["lib"].split("pub use ").skip(1) {
        for path in paths(declaration.split(';').next().unwrap()) {
            let (module, item) = path.split_once("::").unwrap();
            at_root.insert(item.to_owned(), module.to_owned());
        }
    }
    let module_of = |path: &[String]| {
        let mut path = path.to_vec();
        if let Some(module) = path.first().and_then(|first| at_root.get(first)) {
            path = vec![module.clone()];
        }
        while !path.is_empty() && !sources.contains_key(&path.join("::")) {
            path.pop();
        }
        path.join("::")
    };
    let mut uses = BTreeMap::new();
    for (module, text) in sources.iter().filter(|(module, _)| *module != "lib") {
        let mut named: Vec<String> = Vec::new();
        for declaration in text.split("use ").skip(1) {
            if ["crate::", "super::", "self::"].iter().any(|start| declaration.starts_with(start)) {
                named.extend(paths(declaration.split(';').next().unwrap()));
            }
        }
        for path in text.split("crate::").skip(1) {
            let end = path.find(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':');
            named.push(format!("crate::{}", &path[..end.unwrap_or(path.len())]));
        }
        let used = named.iter().map(|path| {
            let mut parts: Vec<String> = path.split("::").map(|part| part.trim().to_owned()).collect();
            let mut base: Vec<String> = module.split("::").map(str::to_owned).collect();
            match parts.remove(0).as_str() {
                "crate" => base.clear(),
                "super" => {
                    base.pop();
                    while parts.first().is_some_and(|part| part == "super") {
                        parts.remove(0);
                        base.pop();
                    }
                }
                _ => {}
            }
            base.extend(parts);
            module_of(&base)
        });
        // A module uses its own submodules, and these may use what it shares with them.
        let is_own = |used: &String| used.starts_with(&format!("{module}::"));
        uses.insert(
            module.clone(),
            used.filter(|used| !used.is_empty() && used != module && !is_own(used)).collect(),
        );
    }
    uses
}

/// Every module that one depends on, directly or indirectly.
fn reached(uses: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut left = vec![from.to_owned()];
    while let Some(module) = left.pop() {
        for used in uses.get(&module).into_iter().flatten() {
            if reached.insert(used.clone()) {
                left.push(used.clone());
            }
        }
    }
    reached
}

#[test]
fn no_circle_has_more_than_two_modules() {
    let uses = uses();
    assert!(
        uses["thumbnail"].contains("formats") && uses["formats::gif::whole"].contains("formats::gif::lzw")
    );
    for module in uses.keys() {
        let circle: Vec<_> = reached(&uses, module)
            .into_iter()
            .filter(|other| reached(&uses, other).contains(module))
            .collect();
        assert!(circle.len() <= 2, "{module} is in a circle: {circle:?}");
    }
}

#[test]
fn the_lowest_layer_uses_no_other_module() {
    for (module, uses) in uses().iter().filter(|(module, _)| GROUND.contains(&module.as_str())) {
        let above: Vec<_> = uses.iter().filter(|used| !GROUND.contains(&used.as_str())).collect();
        assert!(above.is_empty(), "{module} uses {above:?}");
    }
}
