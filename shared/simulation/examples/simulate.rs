//! Simulates for a while: `SIMULATE_SECONDS`, or until there were `SIMULATE_JOBS`, from `SIMULATE_SEED` on. Prints the
//! number of jobs a minute, and stops at the first run that breaks a promise, or with `SIMULATE_KEEP_GOING` goes on.
//! With `SIMULATE_LOG` it runs one seed and prints what happened to the job of that number.
#![allow(clippy::expect_used)]

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use simulation::{Run, run, run_logging};

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}

fn main() -> ExitCode {
    let first = number("SIMULATE_SEED").unwrap_or(1);
    if let Some(log) = number("SIMULATE_LOG") {
        let run = run_logging(first, usize::try_from(log).ok());
        println!("{run:#?}");
        return if run.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let jobs = number("SIMULATE_JOBS").unwrap_or(u64::MAX);
    let seconds = number("SIMULATE_SECONDS").unwrap_or(if jobs == u64::MAX { 60 } else { u64::MAX });
    let keep_going = env::var_os("SIMULATE_KEEP_GOING").is_some();
    let (begun, mut said) = (Instant::now(), Instant::now());
    let (mut sum, mut seed, mut failed) = (Run::default(), first, 0);
    while sum.jobs < jobs && begun.elapsed().as_secs() < seconds {
        let run = run(seed);
        if !run.broken.is_empty() {
            failed += 1;
            println!("seed {seed} broke a promise:");
            for text in &run.broken {
                println!("  {text}");
            }
        }
        sum = sum.and(&run);
        if failed > 0 && !keep_going {
            break;
        }
        seed += 1;
        if said.elapsed() > Duration::from_secs(60) {
            said = Instant::now();
            report(&sum, begun, first, seed);
        }
    }
    report(&sum, begun, first, seed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is shown"
)]
fn report(sum: &Run, begun: Instant, first: u64, next: u64) {
    let seconds = begun.elapsed().as_secs_f64();
    let a_minute = (sum.jobs as f64 / seconds * 60.0) as u64;
    println!(
        "{} jobs in seeds {first} to {}, {seconds:.0} s, {a_minute} a minute; {} calls, {} faults; at most {} messages \
         and {} writes a job, an image worked on at most {} times; {} callbacks repeated, {} images without a job",
        sum.jobs,
        next - 1,
        sum.calls,
        sum.faults,
        sum.most_messages,
        sum.most_writes,
        sum.most_runs,
        sum.repeated_callbacks,
        sum.orphans
    );
}
