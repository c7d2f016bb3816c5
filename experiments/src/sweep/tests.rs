//! Where weights are changes no byte of a result.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use pythia_hub::Lock;

use super::*;
use crate::checkpoint::fetch::HubFetcher;
use crate::checkpoint::hub_access::HubAccess;
use crate::checkpoint::residency::Residency;
use crate::config;
use crate::plan::disk::Disk;
use crate::testing::{self, Scratch};

/// A table for every probe of the sweep.
fn probes() -> String {
    let prompts = "prompts = { n = 2, half_len = 6 }";
    let pairs = "pairs = { task = 'induction', n = 3, half_len = 5 }";
    let probe = |(kind, input, more): (&str, &str, &str)| format!("[[probe]]\nkind = '{kind}'\n{input}\n{more}\n");
    let probes = [
        ("head_scores", prompts, ""),
        ("induction_loss", prompts, ""),
        ("activation_patching", pairs, "hooks = ['resid_pre', 'z', 'mlp_out']"),
        ("path_patching", pairs, ""),
        ("ablation", pairs, "metrics = ['logit_diff', 'loss', 'kl']"),
        ("cross_checkpoint", pairs, "source_step = 512\nweights = ['heads', 'mlps', 'blocks']"),
    ];
    probes.map(probe).concat()
}

fn resolved(scratch: &Scratch, overrides: &[&str]) -> ResolvedExperiment {
    let models = scratch.0.display();
    let head = format!("name = 't'\nseed = 3\nprepend_bos = true\nmodels = ['{models}/tiny']\nsteps = [1, 1000]\n");
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    let experiment = config::parse("t.toml", &(head + &probes()), &overrides).expect("right");
    ResolvedExperiment::open(experiment, &Lock::default(), &scratch.0).expect("right")
}

/// Runs the experiment with its weights in one place, and returns the outcome and every results file.
fn run(resolved: &ResolvedExperiment, out: PathBuf, residency: Residency) -> (Outcome, BTreeMap<PathBuf, Vec<u8>>) {
    run_on(&crate::checkpoint::load::RunsOn::cpu(), resolved, out, residency)
}

fn run_on(
    runs_on: &crate::checkpoint::load::RunsOn,
    resolved: &ResolvedExperiment,
    out: PathBuf,
    residency: Residency,
) -> (Outcome, BTreeMap<PathBuf, Vec<u8>>) {
    let disk = Disk { out, offline: true };
    let hub = HubAccess::open(&resolved.experiment, &disk.out.join("t.toml"), true).expect("a hub");
    let folder = Folder::create(&disk.out).expect("folder");
    let mut plan = Plan::make(resolved, &disk, None);
    plan.residency = residency;
    let (pair_counts, timeline) = (PairCounts::of(resolved), Timeline::start());
    let sweep = Sweep {
        resolved,
        plan: &plan,
        runs_on,
        folder: &folder,
        pair_counts: &pair_counts,
        fetcher: &HubFetcher::new(&hub.client, &hub.cache, 0),
        writing: WriteLock::default(),
        timeline,
    };
    let mut progress = Progress::new("t", plan.cells.len());
    let outcome = sweep.run(&mut Journal::open(&folder).expect("journal"), &mut progress).expect("runs");
    let files = plan.cells.iter().flat_map(|cell| &cell.parts).map(|part| &part.file);
    let read = |file: &PathBuf| Some((file.clone(), fs::read(disk.out.join(file)).ok()?));
    (outcome, files.filter_map(read).collect())
}

#[test]
fn results_do_not_depend_on_where_the_weights_are() {
    let scratch = Scratch::new("residency");
    testing::suite(&scratch.0.join("tiny"), &[1, 512, 1000]);
    for profile in ["weights=as_published", "weights=tl2"] {
        let resolved = resolved(&scratch, &[profile]);
        let of = |residency: Residency| run(&resolved, scratch.0.join(format!("{profile} {residency}")), residency);
        let (outcome, expected) = of(Residency::ResidentAhead);
        assert_eq!((outcome.done, outcome.failed.len()), (2, 0), "{:?}", outcome.failed);
        assert_eq!(expected.len(), 2 * (2 + 4 * 2), "every table of every probe: {:?}", expected.keys());
        for residency in &Residency::ALL[1..] {
            let (outcome, found) = of(*residency);
            assert_eq!((outcome.done, outcome.failed.len()), (2, 0), "{residency}: {:?}", outcome.failed);
            assert!(found == expected, "{profile}, {residency}");
        }
    }
}

#[test]
fn a_checkpoint_that_breaks_while_it_is_open_fails_alone() {
    let scratch = Scratch::new("residency-broken");
    testing::suite(&scratch.0.join("tiny"), &[1, 512, 1000]);
    let resolved = resolved(&scratch, &[]);
    let weights = scratch.0.join("tiny/step1/model.safetensors");
    let whole = fs::read(&weights).expect("read");
    // A value that is no number, in the last tensor of the last block.
    let mut bytes = whole.clone();
    let at = bytes.len() - 4 * (12 * 8 + 2 * 8) - 2;
    bytes[at..at + 2].copy_from_slice(&[0x80, 0x7F]);
    fs::write(&weights, bytes).expect("write");
    for residency in Residency::ALL {
        let (outcome, _) = run(&resolved, scratch.0.join(format!("{residency}")), residency);
        assert_eq!((outcome.done, outcome.failed.len()), (1, 1), "{residency}: {:?}", outcome.failed);
        assert_eq!(outcome.failed[0].name, "tiny step1");
    }
}

#[test]
#[ignore = "needs a GPU, or a driver that stands in for one"]
fn results_do_not_depend_on_where_the_weights_are_on_a_gpu() {
    let scratch = Scratch::new("residency-gpu");
    testing::suite(&scratch.0.join("tiny"), &[1, 512, 1000]);
    let compute = pythia_core::device::DeviceName::Wgpu(0).open().expect("a GPU");
    let runs_on = crate::checkpoint::load::RunsOn { compute, dtype: burn::tensor::DType::F32 };
    let resolved = resolved(&scratch, &["device=wgpu"]);
    let of = |residency: Residency| run_on(&runs_on, &resolved, scratch.0.join(residency.to_string()), residency);
    let (outcome, expected) = of(Residency::ResidentAhead);
    assert_eq!((outcome.done, outcome.failed.len()), (2, 0), "{:?}", outcome.failed);
    for residency in &Residency::ALL[1..] {
        let (outcome, found) = of(*residency);
        assert_eq!((outcome.done, outcome.failed.len()), (2, 0), "{residency}: {:?}", outcome.failed);
        assert!(found == expected, "{residency}");
    }
}
