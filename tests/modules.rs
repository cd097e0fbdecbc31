//! Checks which crate and which module of `imaging` uses which. The source is read as text, because the compiler allows
//! circular dependencies among modules. `make guide` draws the pictures of both in ARCHITECTURE.md.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use testing::generated::{keep, regenerated};

/// Which of some things uses which others.
type Uses = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// The lowest layer: these modules use only each other within the crate.
const GROUND: [&str; 11] =
    ["alpha", "crop", "deadline", "error", "exif", "format", "header", "limits", "orient", "pixels", "scan"];

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
    collect(&root().join("shared/imaging/src"), "", &mut all);
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
fn uses() -> Uses {
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
fn reached(uses: &Uses, from: &str) -> BTreeSet<String> {
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

/// The manifests of the workspace's crates, by the folder that each lies in.
fn manifests() -> Vec<(String, String)> {
    let folders = ["functions", "shared"].map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let folders = folders.into_iter().flatten().map(|entry| entry.unwrap());
    let named = folders.map(|folder| (folder.file_name().into_string().unwrap(), folder.path()));
    named.filter_map(|(name, path)| Some((name, fs::read_to_string(path.join("Cargo.toml")).ok()?))).collect()
}

/// The name of the package that a manifest describes.
fn package(manifest: &str) -> &str {
    manifest.split("name = \"").nth(1).unwrap().split('"').next().unwrap()
}

#[test]
fn a_crate_has_the_name_of_its_folder() {
    let manifests = manifests();
    assert!(manifests.len() > 10, "{} crates were found", manifests.len());
    for (folder, manifest) in &manifests {
        assert_eq!(package(manifest), folder);
    }
}

/// The workspace's crates, but for those of tests, and which each is built from.
fn crates() -> Uses {
    let mut crates: Uses = manifests()
        .iter()
        .map(|(_, text)| {
            let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
            let dependencies = dependencies.split("\n[").next().unwrap().lines();
            let names = dependencies.filter_map(|line| line.split(['.', ' ']).next());
            (package(text).to_owned(), names.map(str::to_owned).collect())
        })
        .collect();
    crates.retain(|name, _| !["testing", "simulation"].contains(&name.as_str()));
    let known: BTreeSet<_> = crates.keys().cloned().collect();
    crates.values_mut().for_each(|used| used.retain(|name| known.contains(name)));
    crates
}

/// The modules at the root of `imaging`, each with all that is below it; the ground is one.
fn modules_at_root() -> Uses {
    let place = |path: &str| {
        let first = path.split("::").next().unwrap();
        if GROUND.contains(&first) { "ground".to_owned() } else { first.to_owned() }
    };
    let mut uses_at_root = Uses::new();
    for (module, used) in uses() {
        let own = place(&module);
        let others = used.iter().map(|other| place(other)).filter(|other| *other != own);
        uses_at_root.entry(own.clone()).or_default().extend(others);
    }
    uses_at_root
}

/// A picture in Mermaid: an arrow from each thing to what it uses, unless a longer way leads there.
fn picture(uses: &Uses) -> String {
    let mut picture = "```mermaid\ngraph TD\n".to_owned();
    for (user, used) in uses {
        let direct = used.iter().filter(|one| {
            !used.iter().any(|other| other != *one && other != user && reached(uses, other).contains(*one))
        });
        direct.for_each(|one| writeln!(picture, "    {user} --> {one}").unwrap());
    }
    picture + "```\n"
}

#[test]
fn the_pictures_of_crates_and_modules_are_those_of_the_code() {
    let file = root().join("ARCHITECTURE.md");
    let (made, pictures) = regenerated(&fs::read_to_string(&file).unwrap(), |name| match name {
        "crates" => picture(&crates()),
        "modules of imaging" => picture(&modules_at_root()),
        _ => panic!("nothing generates {name:?}"),
    });
    assert_eq!(pictures, ["crates", "modules of imaging"]);
    keep(&file, &made);
}

#[test]
fn the_modules_at_the_root_of_imaging_are_in_no_circle() {
    let uses = modules_at_root();
    for module in uses.keys() {
        assert!(!reached(&uses, module).contains(module), "{module} leads to itself");
    }
}
