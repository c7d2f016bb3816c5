//! Questions that a model can be asked.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
