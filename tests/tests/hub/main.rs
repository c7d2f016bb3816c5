//! The hub's client against a hub that misbehaves: the cache gets no bad content, nothing is written outside it, and
//! the client either fails with a clear error or retries with success.
//!
//! - [`lists`]: lists of branches and files, pins, and ranges of files;
//! - [`content`]: bytes that are cut, changed or not what was listed;
//! - [`network`]: servers that are busy, refuse, hang or redirect;
//! - [`hostile`]: names and headers that try to write elsewhere.

mod content;
mod hostile;
mod lists;
mod network;

use pythia_hub::HubError;
use pythia_tests::hub::setup::{HubSetup, weights_body};
use pythia_tests::hub::{Fault, Seen};

/// Part of the path of every request to the second server, which sends the bytes of weights.
const AT_CDN: &str = "model.safetensors?X-";

fn ranges(setup: &HubSetup) -> Vec<String> {
    setup.mock.seen().into_iter().filter_map(|seen: Seen| seen.headers.get("range").cloned()).collect()
}

/// The weights arrive despite one fault.
fn arrives_after(test: &str, fault: Fault) -> HubSetup {
    let setup = HubSetup::new(test);
    setup.mock.fault(AT_CDN, 1, fault);
    let path = setup.fetch().unwrap();
    assert_eq!(std::fs::read(path).unwrap(), weights_body("step0").bytes());
    setup.assert_clean();
    assert_eq!((setup.blobs(), setup.unfinished()), (1, 0));
    setup
}

/// The weights do not arrive as long as the fault lasts, and nothing of them is kept.
fn never_arrives(test: &str, fault: Fault) -> (HubSetup, HubError) {
    let setup = HubSetup::new(test);
    setup.mock.fault(AT_CDN, usize::MAX, fault);
    let error = setup.fetch().unwrap_err();
    setup.assert_clean();
    assert_eq!(setup.blobs(), 0);
    assert!(!error.remedy().is_empty());
    (setup, error)
}
