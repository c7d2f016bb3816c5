//! The model, on the CPU or on the device that `PYTHIA_TEST_DEVICE` names: in one program, because a GPU's kernels are compiled anew
//! in each.

mod halves;
mod hook_contract;
mod parity;
mod training;
