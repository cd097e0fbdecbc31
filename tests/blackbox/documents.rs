//! The commands that README, CONTRIBUTING and guide show, run as they stand.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// README, CONTRIBUTING and the pages of the guide.
fn documents() -> Vec<PathBuf> {
    let pages = fs::read_dir(root().join("functions/docs/guide")).unwrap().map(|entry| entry.unwrap().path());
    let mut documents: Vec<_> =
        pages.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    documents.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    documents.sort();
    documents
}

/// The fenced blocks of a document: the info string and the text of each.
fn blocks(markdown: &str) -> Vec<(String, String)> {
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in markdown.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(_), true) => inside = false,
            (Some(info), false) => {
                inside = true;
                blocks.push((info.trim().to_owned(), String::new()));
            }
            (None, true) => {
                let (_, text) = blocks.last_mut().unwrap();
                text.push_str(line);
                text.push('\n');
            }
            (None, false) => {}
        }
    }
    blocks
}

#[test]
fn every_block_names_what_it_is_in() {
    for document in documents() {
        for (info, text) in blocks(&fs::read_to_string(&document).unwrap()) {
            // An interactive zsh does not know comments, and takes the text after a # for arguments.
            let commented = text.lines().any(|line| info.starts_with("sh") && line.contains(" # "));
            assert!(!commented, "{}: a command has a comment behind it:\n{text}", document.display());
            let known = ["sh", "sh make", "json", "python", "text", "xml", "html", "yaml", "rust", "mermaid"];
            assert!(known.contains(&info.as_str()), "{}: ```{info}\n{text}", document.display());
        }
    }
}

/// Targets that CI does not run, because their builds take as long as all the rest together. `test-image` makes the
/// same image as `image`, of another binary.
const BY_HAND: [&str; 2] = ["image", "test-arm64"];

/// The commands of `make` blocks change the machine or its stack; `.ci/run` runs each of them that can be run there.
#[test]
fn every_make_command_that_is_shown_is_run_by_ci() {
    let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
    let commands =
        ci.lines().map(str::trim).filter(|line| !line.starts_with('#') && !line.starts_with("step "));
    let run: BTreeSet<_> = commands
        .flat_map(|line| line.split("make ").skip(1))
        .filter_map(|rest| rest.split_whitespace().find(|word| !word.starts_with('-')))
        .filter_map(|word| word.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next())
        .collect();
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for target in makefile.lines().filter_map(|line| line.split_once(": ").filter(|_| line.contains(" ## ")))
    {
        let is_run = run.contains(target.0) != BY_HAND.contains(&target.0);
        assert!(is_run, ".ci/run does not run make {}", target.0);
    }
    for document in documents() {
        for (info, text) in blocks(&fs::read_to_string(&document).unwrap()) {
            for line in text.lines().filter(|line| info == "sh make" && !line.is_empty()) {
                let command = line.split('#').next().unwrap().trim();
                let target = command.split_whitespace().find(|word| !word.contains('='));
                assert_eq!(target, Some("make"), "{}: {line} is no make command", document.display());
                let target = command.split_whitespace().filter(|word| !word.contains('=')).nth(1).unwrap();
                assert!(
                    run.contains(target) || BY_HAND.contains(&target),
                    "{}: .ci/run does not run make {target}",
                    document.display()
                );
            }
        }
    }
}

/// A folder that looks like the repository's root, so that files that a block writes do not land in the repository.
fn workplace(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("darkroom-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        symlink(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    folder
}

/// Runs a script, for three minutes at most, and ends whatever it leaves running. Returns whether it succeeded, and
/// what it printed.
fn run(script: &str, folder: &Path) -> (bool, String) {
    let log = folder.join("output-of-the-blocks");
    let file = fs::File::create(&log).unwrap();
    let mut bash = Command::new("bash")
        .args(["-c", script])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .process_group(0)
        .spawn()
        .unwrap();
    let started = Instant::now();
    let status = loop {
        match bash.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if started.elapsed() > Duration::from_secs(180) => break None,
            None => sleep(Duration::from_millis(50)),
        }
    };
    // The result is ignored, because the group may have ended.
    Command::new("kill").args(["-KILL", "--", &format!("-{}", bash.id())]).output().unwrap();
    bash.wait().unwrap();
    let printed = fs::read_to_string(&log).unwrap();
    let ending =
        status.map_or_else(|| "it took more than three minutes".to_owned(), |status| status.to_string());
    (status.is_some_and(|status| status.success()), format!("{ending}\n{printed}"))
}

#[test]
#[ignore = "needs a deployed stack"]
fn every_command_that_is_shown_works_as_it_stands() {
    let mut failures = Vec::new();
    for document in documents() {
        let markdown = fs::read_to_string(&document).unwrap();
        let shown: Vec<_> = blocks(&markdown).into_iter().filter(|(info, _)| info == "sh").collect();
        if shown.is_empty() {
            continue;
        }
        let name = document.file_stem().unwrap().to_str().unwrap();
        let folder = workplace(name);
        let mut script = "set -euo pipefail\n".to_owned();
        shown.iter().for_each(|(_, text)| script.push_str(text));
        let (succeeded, output) = run(&script, &folder);
        fs::remove_dir_all(&folder).unwrap();
        if !succeeded {
            failures.push(format!("{name}: {output}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
