//! Writes the files that the fuzz targets start from.

use std::{env, fs, path::Path};

use crate::support::every_file;

/// The options that the target `thumbnail` reads before the file; zeros are the defaults.
const OPTIONS: [u8; 32] = [0; 32];

/// The largest seed in bytes. Larger files slow the fuzzer down and find little.
const MAX_BYTES: usize = 64 << 10;

/// `make fuzz` sets the folder; other runs of the tests write nothing.
#[test]
#[ignore = "writes files for `make fuzz`"]
fn every_small_file_is_a_seed() {
    let Some(folder) = env::var_os("FUZZ_SEEDS") else { return };
    let mut files = every_file();
    add_samples(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promises/samples"), &mut files);
    for (target, before) in [("decode", &[][..]), ("thumbnail", &OPTIONS)] {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder).expect("a folder");
        for (name, bytes) in files.iter().filter(|(_, bytes)| bytes.len() <= MAX_BYTES) {
            fs::write(folder.join(name), [before, bytes].concat()).expect("a file");
        }
    }
}

fn add_samples(folder: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("the samples") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            add_samples(&path, files);
        } else if path.extension().is_some_and(|extension| extension != "py") {
            let name = format!("{}-{}", files.len(), path.file_name().expect("a name").display());
            files.push((name, fs::read(&path).expect("a sample")));
        }
    }
}
