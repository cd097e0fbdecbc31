//! The binary `darkroom`.

use std::process::ExitCode;

use clap::Parser as _;
use darkroom::{Arguments, run};

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("darkroom: {error}");
            ExitCode::FAILURE
        }
    }
}
