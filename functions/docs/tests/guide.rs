//! The guide's tables are made from the code. `make guide` writes them anew.
#![allow(clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
    time::Duration,
};

use docs::guide::PAGES;
use imaging::Preset;
use jobs::{
    algorithm::{Kind, Parameter, Specification},
    codes::{CODES, Shown},
    limits::Limits,
    units::{self, thousands},
};

use testing::generated::{keep, regenerated};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().and_then(Path::parent).expect("the repository")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A table in Markdown. A bar in a cell would end it.
fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(N));
    for row in rows {
        let cells = row.map(|cell| cell.replace('|', "\\|"));
        writeln!(text, "| {} |", cells.join(" | ")).expect("text is written");
    }
    text
}

fn specification(name: &str) -> &'static Specification {
    let mut all = detection::catalogue().into_iter();
    all.find(|one| one.name == name).unwrap_or_else(|| panic!("there is no algorithm {name}"))
}

fn default_of(parameter: &Parameter) -> String {
    let text = match &parameter.kind {
        Kind::Integer { default, .. } => default.map(|value| value.to_string()),
        Kind::Number { default, .. } => default.map(|value| value.to_string()),
        Kind::Choice { default, .. } => default.map(str::to_owned),
        Kind::Flag { default } => default.map(|value| value.to_string()),
        Kind::Model => return "must be given".to_owned(),
        Kind::Choices { .. } | Kind::Colour | Kind::Rectangle => None,
    };
    text.map_or_else(|| "none".to_owned(), |value| format!("`{value}`"))
}

fn parameters(name: &str) -> String {
    table(
        ["parameter", "value", "default", "governs"],
        specification(name).parameters.iter().map(|parameter| {
            let unit = parameter.unit.map(|unit| format!(", in {unit}")).unwrap_or_default();
            [
                format!("`{}`", parameter.name),
                format!("{}{unit}", parameter.kind),
                default_of(parameter),
                parameter.summary.to_owned(),
            ]
        }),
    )
}

fn algorithms() -> String {
    let rows = detection::catalogue().into_iter().map(|one| {
        let list = one.list.map_or_else(|| "an image".to_owned(), |list| format!("`{list}`"));
        [format!("`{}`", one.name), one.version.to_owned(), one.summary.to_owned(), list]
    });
    table(["algorithm", "version", "does", "gives"], rows)
}

fn errors() -> String {
    let rows = CODES.iter().map(|code| {
        let (status, job) = match code.shown {
            Shown::Answer(status) => (status.to_string(), ""),
            Shown::Job => (String::new(), "yes"),
            Shown::Either(status) => (status.to_string(), "yes"),
        };
        [format!("`{}`", code.code), status, job.to_owned(), code.when.to_owned()]
    });
    table(["code", "HTTP status", "ends a job", "when"], rows)
}

fn presets() -> String {
    let rows = Preset::ALL.into_iter().map(|preset| {
        let (width, height) = preset.size();
        let frames = preset.max_frames().map_or_else(|| "any".to_owned(), |most| most.to_string());
        let bytes = |frames| thousands(preset.max_bytes(frames) as u64);
        let (moving, still) = (bytes(2), bytes(1));
        let bytes =
            if moving == still { moving } else { format!("{moving}; {still} where it does not move") };
        [format!("`{}`", preset.name()), format!("{width} × {height}"), bytes, frames]
    });
    table(["preset", "pixels", "bytes at most", "frames at most"], rows)
}

/// Each limit with its variable, its default as the variable has it and as messages write it, and what it holds. A
/// limit that is not here does not compile.
fn limit_rows() -> Vec<(&'static str, u64, String, &'static str)> {
    let Limits {
        inline_bytes,
        upload_bytes,
        fetch_bytes,
        pixels,
        frames,
        decoder_bytes,
        detector_bytes,
        result_bytes,
        redirects,
        model_bytes,
        connect,
        fetch,
        job,
        // No limit of a deployment: how long `darkroom` lets a job wait for a processor.
        turn: _,
        attempts,
        upload_validity,
        retention,
        deadline,
        patience,
    } = Limits::default();
    let bytes = |variable, value, what| (variable, value, units::bytes(value), what);
    let count = |variable, value: u64, what| (variable, value, thousands(value), what);
    let seconds = |variable, value: Duration, what| {
        (variable, value.as_secs(), format!("{} s", thousands(value.as_secs())), what)
    };
    let days = retention.as_secs() / 86_400;
    vec![
        bytes("MAX_INLINE_BYTES", inline_bytes, "an image in a request"),
        bytes("MAX_UPLOAD_BYTES", upload_bytes, "a pre-signed upload"),
        bytes("MAX_FETCH_BYTES", fetch_bytes, "what is fetched from an `image_url`, compressed or not"),
        ("MAX_PIXELS", pixels, units::pixels(pixels), "an image's pixels, summed over its frames"),
        count("MAX_FRAMES", frames.into(), "an animation's frames"),
        bytes("MAX_DECODER_BYTES", decoder_bytes, "memory that decoding may take"),
        bytes("MAX_DETECTOR_BYTES", detector_bytes, "memory that a detector may take beside the image"),
        bytes("MAX_RESULT_BYTES", result_bytes, "one file of a result"),
        count("MAX_REDIRECTS", redirects.into(), "redirects that are followed to an image"),
        bytes("MAX_MODEL_BYTES", model_bytes, "a model"),
        seconds("CONNECT_TIMEOUT_SECONDS", connect, "connecting to a host"),
        seconds("FETCH_TIMEOUT_SECONDS", fetch, "fetching an image, in all"),
        seconds("JOB_TIMEOUT_SECONDS", job, "the work on a job, fetching excluded"),
        count("MAX_ATTEMPTS", attempts.into(), "starts of a job before it is given up"),
        seconds("UPLOAD_VALIDITY_SECONDS", upload_validity, "how long a pre-signed upload URL works"),
        seconds("DEADLINE_SECONDS", deadline, "how long a job has to end, unless its submission says so"),
        seconds(
            "PATIENCE_SECONDS",
            patience,
            "how long a message has to have its effect before it is sent again",
        ),
        (
            "RETENTION_DAYS",
            days,
            format!("{days} days"),
            "how long a job, its image and its results are kept",
        ),
    ]
}

fn limits() -> String {
    let template = read("template.yaml");
    let rows = limit_rows().into_iter().map(|(variable, _, default, what)| {
        let prefix = format!("{variable}: !Ref ");
        let parameter = template
            .lines()
            .find_map(|line| line.trim().strip_prefix(&prefix))
            .map_or_else(|| "none".to_owned(), |name| format!("`{name}`"));
        [what.to_owned(), default, format!("`{variable}`"), parameter]
    });
    table(["what is limited", "default", "variable of the functions", "parameter of the template"], rows)
}

/// The template's parameters, read from its text: each a name, and below it its default and description.
fn template() -> String {
    let text = read("template.yaml");
    let section = text.split_once("\nParameters:\n").and_then(|(_, rest)| rest.split_once("\nConditions:"));
    let (section, _) = section.expect("the template's parameters");
    let mut rows: Vec<[String; 3]> = Vec::new();
    for line in section.lines() {
        if let Some(name) = line.strip_prefix("  ").filter(|name| !name.starts_with(' ')) {
            rows.push([format!("`{}`", name.trim_end_matches(':')), String::new(), String::new()]);
        } else if let (Some((key, value)), Some(row)) = (line.trim().split_once(": "), rows.last_mut()) {
            match key {
                "Default" if value != "''" => row[1] = format!("`{value}`"),
                "Description" => value.clone_into(&mut row[2]),
                _ => {}
            }
        }
    }
    table(["parameter", "default", "governs"], rows)
}

/// Where the black-box suite has run: the file in `infra/hosts` that says what came of it, the host, and the command.
const SEEN: [(&str, &str, &str); 3] = [
    ("ministack", "MiniStack", "`make test`"),
    ("localstack", "LocalStack 4.14.0, without Docker", "`EMULATOR=localstack make test`"),
    ("serve", "`darkroom serve`", "`make test`"),
];

/// The day on which a host was seen, and what each test came to. `infra/seen` writes it.
fn seen(file: &str) -> (String, BTreeMap<String, String>) {
    let text = read(&format!("infra/hosts/{file}.txt"));
    let (day, rest) = text.split_once('\n').expect("a day, and tests");
    let outcomes = rest.lines().map(|line| {
        let (outcome, test) = line.split_once(' ').expect("an outcome and a test");
        (test.to_owned(), outcome.to_owned())
    });
    (day.to_owned(), outcomes.collect())
}

fn hosts() -> String {
    let never = |host: &str, command: &str| [host, command, "never", "", ""].map(str::to_owned);
    let rows = SEEN.map(|(file, host, command)| {
        let (day, outcomes) = seen(file);
        let count = |outcome: &str| outcomes.values().filter(|one| *one == outcome).count().to_string();
        [host.to_owned(), command.to_owned(), day, count("passed"), count("failed")]
    });
    let aws = never("AWS", "`make deploy`");
    let chart = never("the chart, in a cluster", "`helm install`, `helm test`");
    let rows = [aws].into_iter().chain(rows).chain([chart]);
    table(["host", "runs there by", "seen on", "tests passed", "tests failed"], rows)
}

fn tests_on_hosts() -> String {
    let outcomes = SEEN.map(|(file, ..)| seen(file).1);
    let tests: BTreeSet<_> = outcomes.iter().flat_map(BTreeMap::keys).collect();
    let rows = tests.into_iter().map(|test| {
        let [one, two, three] =
            outcomes.each_ref().map(|host| host.get(test).map_or("not run", String::as_str).to_owned());
        [format!("`{test}`"), one, two, three]
    });
    table(["test", "MiniStack", "LocalStack", "`darkroom serve`"], rows)
}

fn differences() -> String {
    let text = read("infra/hosts/localstack.differences");
    let rows = text.lines().map(|line| {
        let (test, why) = line.split_once(": ").expect("a test and why it fails");
        [format!("`{test}`"), why.to_owned()]
    });
    table(["test", "on LocalStack"], rows)
}

fn generated(what: &str) -> String {
    match what.split_once(' ').unwrap_or((what, "")) {
        ("parameters", name) => parameters(name),
        ("algorithms", "") => algorithms(),
        ("errors", "") => errors(),
        ("presets", "") => presets(),
        ("limits", "") => limits(),
        ("template", "") => template(),
        ("hosts", "") => hosts(),
        ("tests", "on hosts") => tests_on_hosts(),
        ("differences", "") => differences(),
        _ => panic!("nothing generates {what:?}"),
    }
}

#[test]
fn the_guides_tables_say_what_the_code_does() {
    let mut tables = Vec::new();
    for page in PAGES {
        let file = format!("functions/docs/guide/{}.md", page.name);
        let written = read(&file);
        let (made, of_page) = regenerated(&written, generated);
        tables.extend(of_page);
        keep(&root().join(&file), &made);
    }
    for specification in detection::catalogue() {
        let name = format!("parameters {}", specification.name);
        assert!(tables.contains(&name), "no page of `PAGES` has <!-- generated: {name} -->");
    }
    let others =
        ["algorithms", "errors", "presets", "limits", "template", "hosts", "tests on hosts", "differences"];
    for name in others {
        assert!(tables.iter().any(|table| table == name), "no page has the table of {name}");
    }
}

#[test]
fn every_page_is_served_and_every_file_in_the_folder_is_a_page() {
    let mut files: Vec<_> = fs::read_dir(root().join("functions/docs/guide"))
        .expect("the guide")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
        .collect();
    files.sort();
    let mut pages: Vec<_> = PAGES.iter().map(|page| page.name.to_owned()).collect();
    pages.sort();
    assert_eq!(files, pages);
}

#[test]
fn the_guide_lists_every_route() {
    let description = serde_json::to_value(docs::description()).expect("JSON");
    let page = read("functions/docs/guide/submitting.md");
    let (table, _) =
        page.split_once("Every route that takes `GET`").expect("the table of routes, and what follows it");
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys().filter(|method| *method != "head") {
            let route = format!("`{} {path}`", method.to_uppercase());
            assert!(table.contains(&route), "{route}");
        }
    }
}

#[test]
fn the_limits_variables_and_defaults_are_those_of_the_configuration_and_the_template() {
    let configuration = read("shared/runtime/src/config.rs");
    let template = read("template.yaml");
    for (variable, default, ..) in limit_rows() {
        assert!(configuration.contains(&format!("\"{variable}\"")), "{variable} is read");
        let Some((_, parameter)) = template.split_once(&format!("{variable}: !Ref ")) else { continue };
        let parameter = parameter.lines().next().expect("a name");
        let (_, block) = template.split_once(&format!("\n  {parameter}:\n")).expect("the parameter");
        let value = block.lines().find_map(|line| line.trim().strip_prefix("Default: ")).expect("a default");
        assert_eq!(
            value,
            default.to_string(),
            "{parameter} and the limit that it sets have the same default"
        );
    }
}

/// All source files of functions and libraries, and the template.
fn sources() -> String {
    fn gather(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                gather(&path, text);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("jobs/src/codes.rs")
            {
                *text += &fs::read_to_string(&path).expect("a source file");
            }
        }
    }
    let mut text = read("template.yaml");
    for part in ["functions", "shared"] {
        for package in fs::read_dir(root().join(part)).expect("packages") {
            let source = package.expect("an entry").path().join("src");
            if source.is_dir() {
                gather(&source, &mut text);
            }
        }
    }
    text
}

#[test]
fn every_code_of_the_list_is_given_somewhere_and_stands_in_it_once() {
    let sources = sources();
    for (index, code) in CODES.iter().enumerate() {
        assert!(sources.contains(&format!("\"{}\"", code.code)), "{} is given by nothing", code.code);
        assert!(CODES[..index].iter().all(|other| other.code != code.code), "{} stands twice", code.code);
    }
}
