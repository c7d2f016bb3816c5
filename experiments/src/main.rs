//! The `pythia` command.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use experiments::commands::Cli;
use experiments::place;

// Large tensors come and go with every layer; the system's allocator returns them each time and faults the pages anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // A stderr that is closed or full must not change the exit code.
            let _ = writeln!(std::io::stderr(), "{}", failure.report(place::color()));
            failure.exit().into()
        }
    }
}
