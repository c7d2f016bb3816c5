//! The README's Rust program, compiled as a doctest. Its other code blocks are not Rust, and are left alone.
#![doc = include_str!("../../README.md")]
