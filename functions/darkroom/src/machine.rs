//! The processors and the memory of the machine or the container.

use std::{fs, num::NonZero, path::Path, thread::available_parallelism};

/// The memory that one job is given, in bytes: as much as the function has, for the largest image that is taken.
const JOB: u64 = 1_769 << 20;

/// How many images can be worked on at the same time: one for each processor, as far as the memory is enough, and at
/// least one.
pub(crate) fn jobs_at_once() -> usize {
    let processors = available_parallelism().map_or(1, NonZero::get);
    let enough_for =
        memory(Path::new("/")).map_or(1, |bytes| usize::try_from(bytes / JOB).unwrap_or(usize::MAX));
    processors.min(enough_for).max(1)
}

/// The most memory that a process which works on an image may take, in bytes: [`JOB`], or all there is if that is less.
pub(crate) fn memory_of_a_job() -> u64 {
    memory(Path::new("/")).unwrap_or(JOB).min(JOB)
}

/// The memory in bytes: the limit of the container if it has one, otherwise the memory of the machine.
fn memory(root: &Path) -> Option<u64> {
    let of_container = ["sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|file| fs::read_to_string(root.join(file)).ok()?.trim().parse().ok())
        .min();
    let of_machine = fs::read_to_string(root.join("proc/meminfo")).ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
    });
    of_container.into_iter().chain(of_machine).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, content).expect("written");
        }
        root
    }

    #[test]
    fn the_memory_is_the_container_s_or_else_the_machine_s() {
        let meminfo = ("proc/meminfo", "MemFree: 7 kB\nMemTotal:       2048 kB\n");
        for (files, expected) in [
            (vec![], None),
            (vec![meminfo], Some(2 << 20)),
            (vec![meminfo, ("sys/fs/cgroup/memory.max", "max\n")], Some(2 << 20)),
            (vec![meminfo, ("sys/fs/cgroup/memory.max", "1048576\n")], Some(1 << 20)),
            (
                vec![meminfo, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")],
                Some(2 << 20),
            ),
        ] {
            assert_eq!(memory(machine(&files).path()), expected, "{files:?}");
        }
    }
}
