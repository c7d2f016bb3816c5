//! Drives Chromium through its debugging pipe, with nothing but the standard library.
//!
//! Chromium reads JSON messages from file descriptor 3 and writes them to 4, each ended by a NUL byte. A shell lends it
//! our end of two ordinary pipes under those numbers, so no descriptor is passed by hand and no port is opened.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long any single answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lends standard input and output as 3 and 4; what Chromium prints goes where our errors go.
const LEND: &str = r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>&2"#;

/// No window, no sandbox (tests may run as root in a container), and nothing that talks to the network by itself.
const FLAGS: &[&str] = &[
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--force-color-profile=srgb",
    "about:blank",
];

/// A running browser; it ends when this is dropped.
pub(crate) struct Chromium {
    child: Child,
    to: Option<ChildStdin>,
    from: Receiver<Value>,
    calls: u64,
    events: Vec<Value>,
    profile: PathBuf,
}

impl Chromium {
    /// The program to run: the one that `PYTHIA_CHROMIUM` names, else one that is installed.
    ///
    /// # Panics
    /// If there is none: whoever runs an ignored test wants to know that it did not run.
    pub(crate) fn program() -> String {
        if let Ok(named) = std::env::var("PYTHIA_CHROMIUM") {
            assert!(runs(&named), "PYTHIA_CHROMIUM names {named}, which does not run");
            return named;
        }
        let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| runs(name));
        found.expect("no Chromium is installed; PYTHIA_CHROMIUM may name one").to_owned()
    }

    /// Starts `program` with a profile of its own in `profile`.
    pub(crate) fn start(program: &str, profile: &Path) -> Self {
        let log = std::fs::File::create(profile.with_extension("log")).expect("a file for what Chromium prints");
        let mut child = Command::new("sh")
            .args(["-c", LEND, program])
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(FLAGS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("a shell");
        let out = child.stdout.take().expect("a pipe");
        let (sender, from) = channel();
        std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            let mut message = Vec::new();
            while out.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let message = serde_json::from_slice(&std::mem::take(&mut message)).expect("Chromium speaks JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let to = child.stdin.take();
        Self { child, to, from, calls: 0, events: Vec::new(), profile: profile.to_owned() }
    }

    /// Calls a method, in a session if one is named, and waits for its result.
    pub(crate) fn call(&mut self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let to = self.to.as_mut().expect("an open pipe");
        to.write_all(format!("{message}\0").as_bytes()).expect("Chromium listens");
        let mut answer = self.wait(method, |message| message["id"] == id);
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].take()
    }

    /// Waits for an event; those that came before it are kept as well.
    pub(crate) fn event(&mut self, method: &str) -> Value {
        if let Some(at) = self.events.iter().position(|event| event["method"] == method) {
            return self.events[at].clone();
        }
        self.wait(method, |message| message["method"] == method)
    }

    /// All events so far, which are forgotten.
    pub(crate) fn take_events(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.events)
    }

    fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = self.from.recv_timeout(left).unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = wanted(&message);
            if message["id"].is_null() {
                self.events.push(message.clone());
            }
            if found {
                return message;
            }
        }
    }
}

impl Drop for Chromium {
    /// A closed pipe is how Chromium is told to end; one that does not is ended. Its profile goes with it.
    fn drop(&mut self) {
        drop(self.to.take());
        let ended = (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            !matches!(self.child.try_wait(), Ok(None))
        });
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

fn runs(program: &str) -> bool {
    let quiet = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}
