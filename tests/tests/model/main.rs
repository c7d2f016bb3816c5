//! The model, on the CPU or on the device that `PYTHIA_TEST_DEVICE` names. One program, because every program
//! compiles a GPU's kernels anew.

mod halves;
mod hook_contract;
mod parity;
mod training;
