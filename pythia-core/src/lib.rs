//! GPT-NeoX as the Pythia suite publishes it: configuration, weights, model, tokenizer, suite and checkpoint store.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod config;
pub mod device;
mod f32_buffer;
pub mod model;
pub mod params;
pub mod store;
pub mod suite;
pub mod tokenizer;
mod vectors;
pub mod weights;

#[cfg(test)]
mod testing;
