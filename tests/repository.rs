//! Checks that span several files.
#![allow(clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode},
};
use http_api::{Links, service};
use jobs::{
    access::{Access, Gate},
    browse::Browser,
    limits::Limits,
    quota::Meter,
    submit::Submitter,
};
use serde_json::Value;
use testing::memory::{ManualClock, MemoryJobs, MemoryObjects, MemoryQueue, MemoryUrlCheck};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

fn template() -> String {
    fs::read_to_string(root().join("template.yaml")).expect("template.yaml")
}

/// The template's resources: the name of each, and its text.
fn resources() -> Vec<(String, String)> {
    let template = template();
    let (_, resources) = template.split_once("\nResources:\n").expect("resources");
    let (resources, _) = resources.split_once("\nOutputs:\n").expect("outputs behind them");
    let mut all: Vec<(String, String)> = Vec::new();
    for line in resources.lines() {
        let name = line.strip_prefix("  ").and_then(|line| line.strip_suffix(':'));
        match (name.filter(|name| name.chars().all(char::is_alphanumeric)), all.last_mut()) {
            (Some(name), _) => all.push((name.to_owned(), String::new())),
            (None, Some((_, text))) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    all
}

/// Every `Path: …, Method: …` of the template's API events, with the function that answers.
fn events_of_template() -> BTreeSet<(String, String, String)> {
    let mut events = BTreeSet::new();
    for (resource, text) in resources() {
        for line in text.lines() {
            let event = line.split_once("Type: Api, Properties: {RestApiId: !Ref Api, Path: ");
            let Some((path, method)) = event.and_then(|(_, event)| event.split_once(", Method: ")) else {
                continue;
            };
            let path = path.trim_matches('\'').to_owned();
            let method = method.trim_end_matches('}').trim().to_lowercase();
            assert!(events.insert((path, method, resource.clone())), "a route stands there twice: {line}");
        }
    }
    events
}

fn routes_of_template() -> BTreeSet<(String, String)> {
    events_of_template().into_iter().map(|(path, method, _)| (path, method)).collect()
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
    // Nor does it say of each route that takes `GET` that it takes `HEAD`, but of all at once.
    let routed: BTreeSet<_> = routes_of_template()
        .into_iter()
        .filter(|(path, method)| !own.contains(&path.as_str()) && method != "head")
        .collect();
    assert!(routed.len() > 10, "{routed:?}");
    assert_eq!(routed, described);
    assert!(description["info"]["description"].as_str().is_some_and(|text| text.contains("`HEAD`")));
}

#[test]
fn head_is_routed_wherever_get_is_and_to_the_same_function() {
    let of = |wanted: &str| -> BTreeSet<_> {
        let events = events_of_template().into_iter();
        events.filter(|(_, method, _)| method == wanted).map(|(path, _, function)| (path, function)).collect()
    };
    assert!(of("get").len() > 10);
    assert_eq!(of("head"), of("get"));
}

/// The functions' routers, by the names of the functions in the template.
fn routers() -> BTreeMap<&'static str, Router> {
    let (jobs, objects) = (Arc::new(MemoryJobs::default()), Arc::new(MemoryObjects::default()));
    let clock = Arc::new(ManualClock::default());
    let gate = Gate::new(Access::Open, jobs.clone(), clock.clone());
    let meter = Meter { usage: jobs.clone(), clock: clock.clone() };
    let submitter = Submitter {
        meter: meter.clone(),
        jobs: jobs.clone(),
        writer: jobs.clone(),
        once: jobs.clone(),
        objects: objects.clone(),
        presigner: objects.clone(),
        queue: Arc::new(MemoryQueue::default()),
        urls: Arc::new(MemoryUrlCheck),
        clock: clock.clone(),
        catalogue: detection::catalogue().into(),
        identify: submit::identify,
        media_types: submit::media_types(),
        limits: Limits::default(),
    };
    let app = status::App {
        meter,
        browser: Browser { jobs: jobs.clone(), lists: jobs, clock },
        objects,
        probes: Vec::new(),
        catalogue: detection::catalogue().into(),
    };
    BTreeMap::from([
        ("SubmitFunction", submit::router(submitter, gate.clone())),
        ("StatusFunction", status::router(app, gate)),
        ("DocsFunction", docs::router()),
    ])
}

#[tokio::test]
async fn the_routers_answer_what_the_template_routes() {
    let routers = routers();
    for (path, method, function) in events_of_template() {
        let path =
            path.replace("{file}", "swagger-ui.css").replace("{name}", "submitting").replace(['{', '}'], "");
        let router = service::with_fallbacks(routers[function.as_str()].clone());
        let ask = async |method: &str| {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let request =
                Request::builder().method(method).uri(&path).body(Body::empty()).expect("a request");
            let response =
                service::answer(router.clone(), request, Links::default(), "r-1", Duration::MAX).await;
            let status = response.status();
            let body = to_bytes(response.into_body(), 10_000_000).await.expect("a body");
            (status, String::from_utf8_lossy(&body).into_owned())
        };
        let (status, body) = ask(&method).await;
        assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        if method == "head" {
            assert_eq!((status, body.as_str()), (ask("get").await.0, ""), "{path}");
        } else {
            assert!(!body.contains("no_such_route"), "{method} {path}: {body}");
        }
    }
}

#[test]
fn health_asks_every_store_and_queue_of_the_template() {
    let resources = resources();
    let text_of = |wanted: &str| {
        let found = resources.iter().find(|(name, _)| name == wanted);
        found.map_or_else(|| panic!("there is no {wanted}"), |(_, text)| text.as_str())
    };
    let (asks, may) = (text_of("StatusFunction"), text_of("StatusRole"));
    let kinds = ["AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue"];
    let stores: Vec<_> = resources
        .iter()
        .filter(|(_, text)| kinds.iter().any(|kind| text.contains(&format!("    Type: {kind}\n"))))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(stores.len(), 7, "{stores:?}");
    for store in stores {
        assert!(asks.contains(&format!(": !Ref {store}\n")), "{store} is named to the function");
        assert!(may.contains(&format!("!GetAtt {store}.Arn")), "{store} may be asked");
    }
}

/// The targets of a document's links and pictures, without those elsewhere on the web.
fn links_of(markdown: &str) -> Vec<&str> {
    let targets = markdown.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.starts_with("https://")).collect()
}

#[test]
fn the_links_of_documents_lead_somewhere() {
    let pages = fs::read_dir(root().join("functions/docs/guide")).expect("the guide");
    let mut documents: Vec<_> = pages.map(|page| page.expect("an entry").path()).collect();
    documents.extend(
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
            .map(|name| root().join(name)),
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

/// The paths of all tracked files that `git ls-files` names for a pattern, and that are there.
fn tracked(pattern: &str) -> Vec<String> {
    let output = Command::new("git").args(["ls-files", "-z", pattern]).current_dir(root()).output();
    let output = output.expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("names in UTF-8");
    // A file may have been removed without its removal being staged yet.
    names.split_terminator('\0').filter(|file| root().join(file).exists()).map(str::to_owned).collect()
}

#[test]
fn the_tests_that_documents_name_exist() {
    let sources: String = tracked("*.rs")
        .iter()
        .map(|file| fs::read_to_string(root().join(file)).expect("a source file"))
        .collect();
    let mut named = 0;
    for document in ["ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(document)).expect("a document");
        for name in text.split('`').skip(1).step_by(2) {
            let name = name.rsplit("::").next().unwrap_or(name);
            let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            // So many words are in the name of a test alone.
            if is_name && name.matches('_').count() >= 4 {
                assert!(
                    sources.contains(&format!("fn {name}(")),
                    "{document} names {name}, which is nowhere"
                );
                named += 1;
            }
        }
    }
    assert!(named > 40, "{named} names were found");
}

/// `infra/seen` notes what each test came to on a host; `make hosts` takes the notes into the repository.
#[test]
fn the_lists_of_hosts_name_tests_that_exist_and_explain_every_failure() {
    let read =
        |path: &str| fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    for host in ["ministack", "localstack", "serve"] {
        let seen = read(&format!("infra/hosts/{host}.txt"));
        let mut failed = BTreeSet::new();
        for line in seen.lines().skip(1) {
            let (outcome, test) = line.split_once(' ').expect("an outcome and a test");
            let (module, name) = test.split_once("::").expect("a module and a test");
            let exists = read(&format!("tests/blackbox/{module}.rs")).contains(&format!("fn {name}()"));
            assert!(
                exists,
                "infra/hosts/{host}.txt: there is no test {test}; `make test`, then `make hosts`"
            );
            if outcome != "passed" {
                failed.insert(test);
            }
        }
        let explained = fs::read_to_string(root().join(format!("infra/hosts/{host}.differences")));
        let explained = explained.unwrap_or_default();
        let explained: BTreeSet<_> = explained.lines().filter_map(|line| line.split(": ").next()).collect();
        assert_eq!(
            failed, explained,
            "infra/hosts/{host}.differences explains what failed there, and nothing else"
        );
    }
}

/// The attributes that each index of the jobs table has beside its keys, in a text that makes the table.
fn projections(text: &str) -> BTreeMap<String, String> {
    let indexes = text.split("IndexName").skip(1).map(|index| {
        let plain: String = index.chars().filter(|c| !c.is_whitespace()).collect();
        let name = plain.trim_start_matches([':', '=']).split("KeySchema").next();
        let projected = plain.split_once("NonKeyAttributes").and_then(|(_, rest)| rest.split(']').next());
        let kind = plain.split_once("ProjectionType").and_then(|(_, rest)| rest.split(['}', ',']).next());
        let all = format!("{} {}", kind.unwrap_or_default(), projected.unwrap_or_default());
        (name.unwrap_or_default().trim_end_matches(',').to_owned(), all.replace([':', '=', '['], ""))
    });
    indexes.collect()
}

#[test]
fn no_index_has_what_is_secret_and_both_tables_are_alike() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("a file");
    let (template, script) = (read("template.yaml"), read("infra/docker/resources.sh"));
    let of_template = projections(&template);
    assert_eq!(of_template.len(), 5, "{of_template:?}");
    assert_eq!(of_template, projections(&script));
    for (index, projected) in of_template {
        let kept = projected.starts_with("INCLUDE ") || projected == "KEYS_ONLY ";
        assert!(kept && !projected.contains("secrets"), "{index}: {projected}");
    }
}

#[test]
fn every_action_of_a_workflow_is_pinned_by_its_commit() {
    let mut pinned = 0;
    for workflow in fs::read_dir(root().join(".github/workflows")).expect("the workflows") {
        let workflow = workflow.expect("an entry").path();
        let text = fs::read_to_string(&workflow).expect("a workflow");
        let uses =
            text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: "));
        for action in uses.filter(|action| !action.starts_with("./")) {
            let (_, version) = action.split_once('@').expect("a version");
            let (commit, tag) = version.split_once(" # ").unwrap_or((version, ""));
            let is_commit = commit.len() == 40 && commit.chars().all(|digit| digit.is_ascii_hexdigit());
            assert!(is_commit && tag.starts_with('v'), "{}: {action}", workflow.display());
            pinned += 1;
        }
    }
    assert!(pinned > 5, "{pinned} actions were found");
}

/// `rustfmt` leaves comments as they are, so their width is checked here.
#[test]
fn comments_are_at_most_120_columns_wide() {
    let files = tracked("*.rs");
    assert!(files.len() > 100, "{} files were found", files.len());
    let mut wide = Vec::new();
    for file in files {
        let text = fs::read_to_string(root().join(&file)).expect("a source file");
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim_start().starts_with("//") && line.chars().count() > 120 {
                wide.push(format!("{file}:{number}"));
            }
        }
    }
    assert!(wide.is_empty(), "these comments are wider:\n{}", wide.join("\n"));
}

#[test]
fn the_chart_has_the_version_of_the_workspace() {
    let chart = fs::read_to_string(root().join("infra/helm/darkroom/Chart.yaml")).expect("the chart");
    for name in ["version", "appVersion"] {
        let line = format!("\n{name}: {}\n", env!("CARGO_PKG_VERSION"));
        assert!(chart.contains(&line), "{name} of the chart");
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
fn the_release_profile_names_only_what_is_released() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let (_, profile) = manifest.split_once("\n[profile.release.package]\n").expect("the release profile");
    let entries = profile.lines().take_while(|line| !line.starts_with('['));
    let named: BTreeSet<_> =
        entries.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
    assert!(named.contains("imaging"), "the list is read: {named:?}");
    let released = ["darkroom", "submit", "process", "notify", "recover", "status", "docs"];
    let built: BTreeSet<_> = released.into_iter().flat_map(dependencies_of).collect();
    let tested: Vec<_> = named.into_iter().filter(|name| !built.contains(*name)).collect();
    assert!(tested.is_empty(), "only tests or builds use {tested:?}");
}

#[test]
fn the_domain_and_the_pixels_know_neither_aws_nor_http_servers() {
    for package in ["algorithm", "jobs", "imaging", "detection", "onnx"] {
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
fn one_tls_stack_and_no_c_library_beside_it_but_libwebp_and_for_one_machine_sqlite() {
    let functions = ["submit", "process", "notify", "recover", "status", "docs"];
    let of_functions: BTreeSet<_> = functions.into_iter().flat_map(dependencies_of).collect();
    let mut dependencies: BTreeSet<_> = dependencies_of("darkroom").into_iter().collect();
    dependencies.extend(of_functions.iter().cloned());
    for stranger in ["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls", "s2n-tls"] {
        assert!(!dependencies.contains(stranger), "{stranger}");
    }
    // Lossy and animated WebP, and reduced decoding: nothing in Rust does those under a licence that deny.toml allows.
    // `linux-raw-sys` is Rust: the numbers of the kernel's interface. `tract-linalg` compiles
    // assembly and, on arm64 where the compiler knows SVE, a few C files of its own with `cc`; it links no library.
    let native = |names: &BTreeSet<String>| -> Vec<String> {
        names.iter().filter(|name| name.ends_with("-sys") && *name != "linux-raw-sys").cloned().collect()
    };
    assert_eq!(native(&of_functions), ["libwebp-sys"]);
    assert_eq!(native(&dependencies), ["libsqlite3-sys", "libwebp-sys"]);
}

#[test]
fn only_the_worker_and_the_program_with_every_function_link_tract() {
    let functions = fs::read_dir(root().join("functions")).expect("the functions");
    let linking: BTreeSet<_> = functions
        .map(|function| function.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|function| dependencies_of(function).iter().any(|name| name == "tract-onnx"))
        .collect();
    assert_eq!(
        linking.iter().map(String::as_str).collect::<Vec<_>>(),
        ["darkroom", "process"],
        "any other binary would have 13 MB more"
    );
}
