//! What must agree across files.
#![allow(clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// Every `Path: …, Method: …` of the template's API events.
fn routes_of_template() -> BTreeSet<(String, String)> {
    let template = fs::read_to_string(root().join("template.yaml")).expect("template.yaml");
    template
        .lines()
        .filter_map(|line| {
            let (_, event) = line.split_once("Type: Api, Properties: {RestApiId: !Ref Api, Path: ")?;
            let (path, method) = event.split_once(", Method: ")?;
            Some((path.trim_matches('\'').to_owned(), method.trim_end_matches('}').trim().to_lowercase()))
        })
        .collect()
}

#[test]
fn the_template_routes_what_the_description_describes() {
    let description: Value =
        serde_json::from_str(&docs::description().to_json().expect("serialises")).expect("JSON");
    let mut described = BTreeSet::new();
    for (path, item) in description["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("a path item").keys() {
            described.insert((path.clone(), method.clone()));
        }
    }
    // The documentation does not describe itself.
    let own = ["/openapi.json", "/docs", "/docs/{file}", "/docs/guide", "/docs/guide/{name}"];
    for path in own {
        assert!(routes_of_template().contains(&(path.to_owned(), "get".to_owned())), "{path} is routed");
    }
    let routed: BTreeSet<_> =
        routes_of_template().into_iter().filter(|(path, _)| !own.contains(&path.as_str())).collect();
    assert!(routed.len() > 10, "{routed:?}");
    assert_eq!(routed, described);
}

/// The targets of a document's links and pictures, without those elsewhere on the web.
fn links_of(markdown: &str) -> Vec<&str> {
    let targets = markdown.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.starts_with("https://")).collect()
}

#[test]
fn what_documents_link_to_is_there() {
    let pages = fs::read_dir(root().join("functions/docs/guide")).expect("the guide");
    let mut documents: Vec<_> = pages.map(|page| page.expect("an entry").path()).collect();
    documents.extend(
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)),
    );
    for document in documents.iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = fs::read_to_string(document).expect("a document");
        for target in links_of(&text) {
            let file = target.split('#').next().unwrap_or_default();
            let path = document.parent().expect("a folder").join(file);
            assert!(path.exists(), "{} links to {target}", document.display());
        }
    }
}

/// The packages that a package is built from, itself included.
fn dependencies_of(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn the_domain_and_the_pixels_know_neither_aws_nor_http_servers() {
    for package in ["jobs", "imaging", "detection", "onnx"] {
        let dependencies = dependencies_of(package);
        assert!(dependencies.iter().any(|name| name == "serde"), "the list is read: {dependencies:?}");
        let strangers: Vec<_> = dependencies
            .iter()
            .filter(|name| {
                ["aws", "lambda", "axum", "hyper", "tokio"].iter().any(|stranger| name.starts_with(stranger))
            })
            .collect();
        assert!(strangers.is_empty(), "{package} depends on {strangers:?}");
    }
}

#[test]
fn one_tls_stack_and_no_c_library_beside_it_but_libwebp() {
    let dependencies: BTreeSet<_> =
        ["submit", "process", "notify", "status", "docs"].into_iter().flat_map(dependencies_of).collect();
    for stranger in ["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls", "s2n-tls"] {
        assert!(!dependencies.contains(stranger), "{stranger}");
    }
    // Lossy and animated WebP, and reduced decoding: nothing in Rust does those under a licence that deny.toml allows.
    // `linux-raw-sys` is Rust: the numbers of the kernel's interface. `tract-linalg` compiles
    // assembly and, on arm64 where the compiler knows SVE, a few C files of its own with `cc`; it links no library.
    let native: Vec<_> =
        dependencies.iter().filter(|name| name.ends_with("-sys") && *name != "linux-raw-sys").collect();
    assert_eq!(native, ["libwebp-sys"]);
}

#[test]
fn what_runs_models_is_linked_by_the_worker_alone() {
    let functions = fs::read_dir(root().join("functions")).expect("the functions");
    let linking: Vec<_> = functions
        .map(|function| function.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|function| dependencies_of(function).iter().any(|name| name == "tract-onnx"))
        .collect();
    assert_eq!(linking, ["process"], "any other binary would have 13 MB more");
}
