//! `darkroom` with an engine that fails on some images as badly as a decoder can: `tests/serve.rs` shows that neither
//! the service nor any other job suffers from it. The last words of an image file say how.

use std::{hint, process::ExitCode, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use clap::Parser as _;
use darkroom::{Arguments, run_with};
use jobs::{
    algorithm::Run,
    ports::{Engine, WorkError, Worked},
};
use process::ImageEngine;
use rustix::process::{Signal, getpid, kill_process};

struct Poisoned(ImageEngine);

#[async_trait]
impl Engine for Poisoned {
    async fn run(&self, image: Bytes, sha256: &str, runs: &[Run]) -> Result<Worked, WorkError> {
        if image.ends_with(b"poison: panic") {
            assert_eq!(sha256, "", "the image is poisoned");
        } else if image.ends_with(b"poison: crash") {
            // The signal that ends a decoder in C after an illegal instruction.
            kill_process(getpid(), Signal::ILL).unwrap_or_default();
        } else if image.ends_with(b"poison: memory") {
            let mut taken = Vec::new();
            loop {
                taken.push(hint::black_box(vec![1_u8; 64 << 20]));
            }
        } else if image.ends_with(b"poison: endless") {
            let endless = || while hint::black_box(true) {};
            tokio::task::spawn_blocking(endless).await.unwrap_or_default();
        }
        self.0.run(image, sha256, runs).await
    }
}

fn main() -> ExitCode {
    match run_with(Arguments::parse(), |limits, models| Arc::new(Poisoned(ImageEngine::new(limits, models))))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
