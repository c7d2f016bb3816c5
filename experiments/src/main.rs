//! The `pythia` command.
#![forbid(unsafe_code)]

fn main() {}
