//! Sweeps over checkpoints of a hub.
//!
//! - [`pins`]: what is pinned, verified and planned;
//! - [`defects`]: checkpoints that are not what their names say;
//! - [`settings`]: settings of connections, the cache's folder, paths of experiments;
//! - [`jobs`]: limits of a job, two processes on one folder, words that are no text;
//! - [`local`]: folders with checkpoints that are broken or misnamed;
//! - [`transfer`]: budgets of the cache, servers that stop answering, corrupt bytes.

mod defects;
mod jobs;
mod local;
mod pins;
mod settings;
mod transfer;

use std::path::{Path, PathBuf};

use pythia_core::weights;
use pythia_tests::command::{self, Finished};
use pythia_tests::hub::{Body, MockFile, MockHub, MockRepo};
use pythia_tests::{paths, random, suite, tables};

const CELLS_FAILED: i32 = 1;
const USAGE: i32 = 2;
const BAD_INPUT: i32 = 3;
const RESOURCES: i32 = 4;
const TEMPORARY: i32 = 75;

const MODEL: &str = "EleutherAI/pythia-14m";

/// Weights of the suite's tiny shape; equal seeds are equal weights.
fn weights_of(seed: u64) -> Vec<u8> {
    let config = suite::config();
    weights::to_safetensors(&config, &random::params(&config, seed))
}

fn file(name: &str, bytes: impl Into<Vec<u8>>) -> MockFile {
    MockFile::new(name, Body::Bytes(bytes.into()))
}

/// A branch with the tiny shape's configuration and these other files.
fn branch(repo: MockRepo, step: u32, mut files: Vec<MockFile>) -> MockRepo {
    files.push(file("config.json", suite::config().to_json()));
    files.push(file(".gitattributes", "*.bin lfs"));
    repo.branch(&format!("step{step}"), files)
}

/// A model with these steps, each with the weights of its seed.
fn model(steps: &[(u32, u64)]) -> MockRepo {
    let add = |repo, &(step, seed): &(u32, u64)| branch(repo, step, vec![file("model.safetensors", weights_of(seed))]);
    steps.iter().fold(MockRepo::new(MODEL), add)
}

/// A folder with an experiment over these steps of the model.
fn experiment(name: &str, steps: &[u32]) -> PathBuf {
    let folder = paths::scratch(name);
    let text = suite::EXPERIMENT.replace("./tiny", "pythia-14m").replace("\"all\"", &format!("{steps:?}"));
    std::fs::write(folder.join("exp.toml"), text).unwrap();
    folder
}

fn run(folder: &Path, hub: &MockHub, arguments: &[&str]) -> Finished {
    Finished::of(command::pythia_with_hub(folder, hub).args(arguments).output().unwrap())
}

/// The words of a column of the table of checkpoints, by ascending step.
fn checkpoints(out: &Path, column: &str) -> Vec<String> {
    tables::texts(&tables::read(out, "checkpoints"), column)
}

const STEPS: [u32; 5] = [0, 1, 2, 512, 1000];
/// Steps 0 and 1 have the same weights, as in every model of the suite.
const SEEDS: [(u32, u64); 5] = [(0, 1), (1, 1), (2, 2), (512, 3), (1000, 4)];
