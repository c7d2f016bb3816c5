//! The server.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::send::Reply;
use super::{Fault, MockFile, MockRepo, Seen, json};

/// A fault for the next answers to requests whose path contains a text.
#[derive(Debug)]
struct Rule {
    part: String,
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct State {
    repos: Mutex<BTreeMap<String, MockRepo>>,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
    accepted: AtomicUsize,
    /// Requests that are still answered; at 0 the server closes every connection.
    left: AtomicUsize,
    /// Files per page of a tree.
    page: AtomicUsize,
    closing: AtomicBool,
    cdn: Mutex<String>,
}

/// A hub on the loopback interface, until dropped.
pub struct MockHub {
    state: Arc<State>,
    addresses: [SocketAddr; 2],
}

impl MockHub {
    /// Serves these repositories on a free port.
    pub fn start(repos: Vec<MockRepo>) -> Self {
        Self::start_at("127.0.0.1:0", repos).expect("the loopback interface can be listened at")
    }

    /// Serves these repositories at an address.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn start_at(address: &str, repos: Vec<MockRepo>) -> io::Result<Self> {
        let (hub, cdn) = (TcpListener::bind(address)?, TcpListener::bind("127.0.0.1:0")?);
        let addresses = [hub.local_addr()?, cdn.local_addr()?];
        let state = Arc::new(State::default());
        state.left.store(usize::MAX, Ordering::SeqCst);
        state.page.store(1000, Ordering::SeqCst);
        *lock(&state.cdn) = format!("http://{}", addresses[1]);
        *lock(&state.repos) = repos.into_iter().map(|repo| (repo.name.clone(), repo)).collect();
        for (listener, at_cdn) in [(hub, false), (cdn, true)] {
            let state = state.clone();
            thread::spawn(move || accept(&listener, &state, at_cdn));
        }
        Ok(Self { state, addresses })
    }

    /// Its address, for `HF_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addresses[0])
    }

    /// Applies a fault to the next `times` requests whose path contains `part`.
    pub fn fault(&self, part: &str, times: usize, fault: Fault) {
        lock(&self.state.rules).push(Rule { part: part.to_owned(), times, fault });
    }

    /// Removes all faults.
    pub fn heal(&self) {
        lock(&self.state.rules).clear();
        self.state.left.store(usize::MAX, Ordering::SeqCst);
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state.seen).clone()
    }

    /// How many requests have this in their path.
    pub fn count(&self, part: &str) -> usize {
        lock(&self.state.seen).iter().filter(|seen| seen.path.contains(part)).count()
    }

    /// Connections that were opened to either server.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Moves a branch to another commit.
    pub fn move_branch(&self, repo: &str, branch: &str, commit: &str) {
        if let Some(repo) = lock(&self.state.repos).get_mut(repo) {
            repo.branches.insert(branch.to_owned(), commit.to_owned());
        }
    }

    /// Answers so many more requests, then none.
    pub fn die_after(&self, requests: usize) {
        self.state.left.store(requests, Ordering::SeqCst);
    }

    /// Lists so many files on a page.
    pub fn page(&self, files: usize) {
        self.state.page.store(files, Ordering::SeqCst);
    }
}

impl Drop for MockHub {
    fn drop(&mut self) {
        self.state.closing.store(true, Ordering::SeqCst);
        for address in self.addresses {
            let _ = TcpStream::connect(address);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn accept(listener: &TcpListener, state: &Arc<State>, at_cdn: bool) {
    for connection in listener.incoming() {
        if state.closing.load(Ordering::SeqCst) {
            return;
        }
        state.accepted.fetch_add(1, Ordering::SeqCst);
        let state = state.clone();
        // Many tests close the connection in the middle of an answer, so errors of sending are ignored.
        thread::spawn(move || connection.and_then(|connection| converse(connection, &state, at_cdn)));
    }
}

fn converse(mut connection: TcpStream, state: &State, at_cdn: bool) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut from = BufReader::new(connection.try_clone()?);
    while let Some(seen) = Seen::read(&mut from, at_cdn)? {
        lock(&state.seen).push(seen.clone());
        let spend = |left: usize| if left == usize::MAX { Some(left) } else { left.checked_sub(1) };
        if state.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend).is_err() {
            return Ok(());
        }
        let fault = state.fault(&seen.path);
        let reply = Reply { bare: seen.method == "HEAD", ..state.reply(&seen, fault.as_ref()) };
        if !reply.send(&mut connection, fault)? {
            return Ok(());
        }
    }
    Ok(())
}

impl State {
    fn fault(&self, path: &str) -> Option<Fault> {
        let mut rules = lock(&self.rules);
        let rule = rules.iter_mut().find(|rule| rule.times > 0 && path.contains(&rule.part))?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }

    fn reply(&self, seen: &Seen, fault: Option<&Fault>) -> Reply {
        match fault {
            Some(Fault::Status(status, headers)) => {
                let bare = Reply::text(*status, "trouble");
                headers.iter().fold(bare, |reply, (name, value)| reply.with(name, value))
            }
            Some(Fault::Redirect(to)) => Reply::text(302, "elsewhere").with("Location", to),
            Some(Fault::Text(text)) => Reply::text(200, text),
            _ => self.good_reply(seen, fault).unwrap_or_else(|| Reply::text(404, "no such thing")),
        }
    }

    fn good_reply(&self, seen: &Seen, fault: Option<&Fault>) -> Option<Reply> {
        let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
        let repos = lock(&self.repos);
        if let Some(rest) = path.strip_prefix("/api/models/") {
            let (organisation, rest) = rest.split_once('/')?;
            let (name, what) = rest.split_once('/')?;
            let repo = repos.get(&format!("{organisation}/{name}"))?;
            return if what == "refs" {
                Some(Reply::text(200, &json::refs(repo)))
            } else {
                self.tree(repo, path, what.strip_prefix("tree/")?, query)
            };
        }
        let (id, rest) = path.strip_prefix('/')?.split_once("/resolve/")?;
        let (revision, name) = rest.split_once('/')?;
        let (commit, files) = files_of(repos.get(id)?, revision)?;
        let file = files.iter().find(|file| file.name == name)?;
        if file.is_large() && !seen.at_cdn {
            let to = format!("{}{path}?X-Signature=of-this-request", lock(&self.cdn));
            return Some(described(Reply::text(302, "elsewhere").with("Location", &to), commit, file));
        }
        Some(described(content(seen, file, fault), commit, file))
    }

    /// One page of a list of files.
    fn tree(&self, repo: &MockRepo, path: &str, revision: &str, query: &str) -> Option<Reply> {
        let (_, files) = files_of(repo, revision)?;
        let cursor = query.split('&').find_map(|part| part.strip_prefix("cursor=")).unwrap_or("0");
        let start = cursor.parse::<usize>().ok()?.min(files.len());
        let end = (start + self.page.load(Ordering::SeqCst)).min(files.len());
        let reply = Reply::text(200, &json::tree(&files[start..end]));
        let next = format!("<http://elsewhere.invalid{path}?recursive=true&cursor={end}>; rel=\"next\"");
        Some(if end < files.len() { reply.with("Link", &next) } else { reply })
    }
}

fn files_of<'a>(repo: &'a MockRepo, revision: &'a str) -> Option<(&'a str, &'a Vec<MockFile>)> {
    let commit = repo.branches.get(revision).map_or(revision, String::as_str);
    repo.commits.get(commit).map(|files| (commit, files))
}

/// The headers from which the Python client takes commit, hash and size of a file.
fn described(reply: Reply, commit: &str, file: &MockFile) -> Reply {
    let etag = format!("\"{}\"", file.oid);
    let reply = reply.with("X-Repo-Commit", commit).with("ETag", &etag);
    reply.with("X-Linked-Etag", &etag).with("X-Linked-Size", &file.size.to_string())
}

/// The file, or the part of it that is asked for.
fn content(seen: &Seen, file: &MockFile, fault: Option<&Fault>) -> Reply {
    let (body, size) = (file.body.clone(), file.body.size());
    let headers = vec![("Accept-Ranges".to_owned(), "bytes".to_owned())];
    let whole = Reply { status: 200, headers, body, part: (0, size), bare: false };
    match seen.range(size).filter(|_| fault != Some(&Fault::IgnoreRange)) {
        None => whole,
        Some((start, end)) if start >= end => Reply::text(416, "").with("Content-Range", &format!("bytes */{size}")),
        Some((start, end)) => {
            let start = if fault == Some(&Fault::WrongRange) { start - 1 } else { start };
            let range = format!("bytes {start}-{}/{size}", end - 1);
            Reply { status: 206, part: (start, end), ..whole }.with("Content-Range", &range)
        }
    }
}
