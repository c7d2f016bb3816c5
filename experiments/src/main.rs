//! The `pythia` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use experiments::cli::Cli;

// Large tensors are allocated and freed in every layer. The system's allocator returns their pages each time, and every
// new page costs a fault.
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
