//! The `pythia` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use experiments::cli::Cli;

// Large tensors come and go with every layer; the system's allocator returns them each time and faults the pages anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit().into()
        }
    }
}
