//! Named places in a GPT-NeoX model, and what can be done there.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
