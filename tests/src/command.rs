//! The `pythia` binary.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use crate::{hub::MockHub, paths};

/// Path of the release binary, built once per run of the tests.
pub static PYTHIA: LazyLock<PathBuf> = LazyLock::new(|| PathBuf::from(once_per_run("pythia", build)));

/// Builds the binary. The whole workspace is named so that its crates get the features they were tested with; otherwise
/// Cargo would build the tensor library a second time.
fn build() -> String {
    let mut cargo = Command::new(env!("CARGO"));
    // Build scripts of dependencies watch the variables that Cargo sets for a test. Handed on, they would cause a
    // rebuild.
    let of_this_test = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_this_test)) {
        cargo.env_remove(name);
    }
    let features = [("gpu", cfg!(feature = "gpu")), ("cuda", cfg!(feature = "cuda"))];
    let features = features.iter().filter(|(_, is_on)| *is_on).flat_map(|(name, _)| ["--features", name]);
    let output = cargo
        .current_dir(paths::root())
        .args(["build", "--release", "--workspace", "--bin", "pythia", "--message-format", "json"])
        .args(features)
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "building the pythia binary failed");
    let text = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let binary = messages
        .filter(|message| message["target"]["name"] == "pythia")
        .find_map(|message| message["executable"].as_str().map(str::to_owned));
    binary.expect("cargo says where the pythia binary is")
}

/// Calls `make` once for all tests of a run and returns its answer to each. `cargo nextest` runs every test in a
/// process of its own; there the first process calls it, and the others wait and read the answer from a file.
pub fn once_per_run(name: &str, make: impl FnOnce() -> String) -> String {
    let Ok(run) = std::env::var("NEXTEST_RUN_ID") else { return make() };
    let folder = paths::scratches().join("runs");
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let path = folder.join(format!("{name}-{run}"));
    let file = File::options().create(true).append(true).open(&path).expect("a file can be made");
    file.lock().expect("a file can be locked");
    let known = std::fs::read_to_string(&path).expect("a file can be read");
    if known.is_empty() {
        let made = make();
        std::fs::write(&path, &made).expect("a file can be written");
        return made;
    }
    known
}

/// Exit code and output of a command that ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Finished {
    /// That of a finished process.
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Finished { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Fails unless the command succeeded.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Fails unless the command ended with a documented failure code, one screen of text and no panic.
    pub fn refused(self, words: &[&str]) -> Self {
        let code = self.code.expect("a refusal is no crash");
        assert!(code != 0 && code != 101, "exit code {code}\nstdout:\n{}\nstderr:\n{}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        assert!(self.err.lines().count() <= 25, "more than a screen:\n{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "no `{word}` in:\n{}", self.err);
        }
        self
    }
}

/// A `pythia` command in `folder`, without a terminal and without the caller's settings.
pub fn pythia(folder: &Path) -> Command {
    let mut command = Command::new(&*PYTHIA);
    command.current_dir(folder).stdin(Stdio::null()).env("NO_COLOR", "1").env("HF_HUB_OFFLINE", "1");
    command.env("HOME", folder).env_remove("HF_HOME").env_remove("HF_HUB_CACHE");
    command.env_remove("HUGGINGFACE_HUB_CACHE").env_remove("XDG_CACHE_HOME");
    // A proxy or a bundle of certificates of this machine has nothing to do with servers on it.
    for name in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
}

/// A `pythia` command in `folder` that may use this hub, with a cache in the folder.
pub fn pythia_with_hub(folder: &Path, hub: &MockHub) -> Command {
    let mut command = pythia(folder);
    command.env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", hub.endpoint()).env("HF_HUB_CACHE", folder.join("cache"));
    command
}

/// Runs `pythia` with these arguments to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Finished {
    Finished::of(pythia(folder).args(arguments).output().expect("the binary can be started"))
}

/// Starts `pythia` with these arguments and does not wait for it.
pub fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = pythia(folder);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary can be started")
}

/// Waits for a started command.
pub fn finish(child: Child) -> Finished {
    Finished::of(child.wait_with_output().expect("the child can be waited for"))
}

/// Sends a signal by its name (`INT`, `TERM`).
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.expect("kill can be started").success());
}

/// Repeats an attempt to observe a running command until it succeeds. On a busy machine the command may end before it
/// is observed; then `attempt` returns none. Its argument counts the attempts from 0.
pub fn until_caught<T>(what: &str, attempt: impl FnMut(usize) -> Option<T>) -> T {
    const ATTEMPTS: usize = 10;
    (0..ATTEMPTS).find_map(attempt).unwrap_or_else(|| panic!("{what} ended too soon {ATTEMPTS} times"))
}

/// Whether a started command is still at work.
pub fn is_running(child: &mut Child) -> bool {
    child.try_wait().expect("a child can be asked").is_none()
}

/// Waits until `ready`, or fails after `limit`.
pub fn wait_until(what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < limit, "{what} did not happen within {limit:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
