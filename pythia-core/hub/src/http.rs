//! Requests to servers: single attempts, and attempts repeated within the limits of [`RetryPolicy`].

use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body, BodyReader};

use super::retry::{AttemptError, LEAST, Pace, Retry, Wait};
use super::url::{Url, harmless};
use super::{AnswerProblem, Clock, HubError, RetryPolicy, Settings, wait};

const MAX_REDIRECTS: usize = 5;
/// Bytes read of a redirect's body, so that its connection can be used again.
const MAX_PAGE: u64 = 64 << 10;
/// The longest sleep between two checks for a stop.
const NAP: Duration = Duration::from_millis(200);

/// Sends requests, waits between attempts, and knows which server may see the token.
pub(super) struct Http {
    settings: Settings,
    agent: Agent,
    clock: Box<dyn Clock>,
    /// The time until which the server asked for no requests. All threads that share a client wait.
    closed_until: Mutex<Duration>,
    stopped: AtomicBool,
}

/// The head of an answer. Its body is not read yet.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) url: Url,
    headers: HeaderMap,
    body: BodyReader<'static>,
}

impl Http {
    pub(super) fn new(settings: Settings, clock: Box<dyn Clock>) -> Self {
        let RetryPolicy { connect, stall, .. } = settings.retry;
        // Without this line the library would read proxies from the environment.
        let config = Agent::config_builder().proxy(None);
        // Redirects are followed by hand, because the token must not follow them.
        let config = config.max_redirects(0).max_redirects_will_error(false).http_status_as_error(false);
        let config = config.timeout_resolve(Some(connect)).timeout_connect(Some(connect));
        let config = config.timeout_recv_response(Some(stall)).timeout_per_read(Some(stall));
        let agent =
            config.input_buffer_size(512 << 10).user_agent(concat!("pythia/", env!("CARGO_PKG_VERSION"))).build();
        let (agent, closed_until, stopped) = (agent.into(), Mutex::default(), AtomicBool::new(false));
        Self { settings, agent, clock, closed_until, stopped }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.agent.clone().shutdown();
    }

    /// Repeats a request until there is an answer or an error that ends the attempts.
    pub(super) fn insist<T>(&self, url: &Url, mut ask: impl FnMut() -> Result<T, AttemptError>) -> Result<T, HubError> {
        let mut retry = self.retry(url);
        loop {
            self.before_attempt()?;
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.wait(retry.after(failure)?)?,
            }
        }
    }

    pub(super) fn retry<'a>(&self, url: &'a Url) -> Retry<'a> {
        Retry::new(self.settings.retry, url)
    }

    /// Waits as long as a server asked for. Fails if the client was stopped.
    pub(super) fn before_attempt(&self) -> Result<(), HubError> {
        self.sleep(self.closed_for())
    }

    /// Waits for the next attempt. A wait that the server asks for holds for all threads, which wait before their
    /// next attempt.
    pub(super) fn wait(&self, wait: Wait) -> Result<(), HubError> {
        match wait {
            Wait::ForServer(time) => {
                self.close(time);
                Ok(())
            }
            Wait::Backoff(time) => self.sleep(time),
        }
    }

    /// One attempt at a file or at bytes `range` of it. Follows redirects.
    pub(super) fn get(&self, url: &Url, range: Option<Range<u64>>) -> Result<Answer, AttemptError> {
        let mut at = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.ask(&at, range.as_ref())?;
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                return self.checked(answer);
            }
            at = redirect(answer)?;
        }
        Err(HubError::Redirect { url: url.shown(), to: at.shown(), why: "too many redirects" }.into())
    }

    /// The body of an answer and its `link` header. A body of more than `max` bytes is an error.
    pub(super) fn small(&self, url: &Url, max: u64) -> Result<(Vec<u8>, Option<String>), HubError> {
        self.insist(url, || {
            let mut answer = self.get(url, None)?;
            let mut bytes = Vec::new();
            self.pour(&mut answer, max + 1, &mut |part| bytes.extend_from_slice(part))?;
            if bytes.len() as u64 > max {
                return Err(answer.problem(AnswerProblem::TooLarge { max }));
            }
            Ok((bytes, answer.header("link")))
        })
    }

    /// Reads up to `max` bytes of a body into `take`, part by part.
    pub(super) fn pour(&self, answer: &mut Answer, max: u64, take: &mut dyn FnMut(&[u8])) -> Result<u64, AttemptError> {
        let mut buffer = vec![0; max.min(256 << 10) as usize];
        let (mut got, mut pace) = (0, self.pace());
        while got < max {
            let room = buffer.len().min((max - got) as usize);
            let read = self.read(answer, &mut buffer[..room], &mut pace)?;
            if read == 0 {
                break;
            }
            take(&buffer[..read]);
            got += read as u64;
        }
        Ok(got)
    }

    /// Reads a body once; zero at its end.
    pub(super) fn read(&self, answer: &mut Answer, into: &mut [u8], pace: &mut Pace) -> Result<usize, AttemptError> {
        let read = answer.body.read(into);
        self.unless_stopped()?;
        let read = read.map_err(|error| broken(&answer.url, ureq::Error::from(error)))?;
        if read > 0 && pace.is_too_slow(read as u64, self.clock.elapsed(), self.settings.retry.stall) {
            return Err(AttemptError::Broken(format!("fewer than {LEAST} bytes in {:?}", self.settings.retry.stall)));
        }
        Ok(read)
    }

    pub(super) fn pace(&self) -> Pace {
        Pace::new(self.clock.elapsed())
    }

    fn ask(&self, url: &Url, range: Option<&Range<u64>>) -> Result<Answer, AttemptError> {
        if self.settings.offline {
            return Err(HubError::Offline { url: url.shown() }.into());
        }
        // A compressed body has another length than the lists say.
        let mut request = self.agent.get(url.full()).header("accept-encoding", "identity");
        if let Some(token) = self.settings.token.as_ref().filter(|_| self.settings.endpoint.is_home_of(url)) {
            request = request.header("authorization", token.header());
        }
        if let Some(range) = range {
            request = request.header("range", format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        }
        let proxy = self.settings.proxies.before(url);
        let answer = request.config().proxy(proxy).build().call();
        self.unless_stopped()?;
        answer.map(|answer| Answer::new(url, answer)).map_err(|error| broken(url, error))
    }

    /// The answer, if its status and encoding are the requested ones.
    fn checked(&self, answer: Answer) -> Result<Answer, AttemptError> {
        match answer.status {
            200 | 206 | 416 => match answer.header("content-encoding") {
                Some(found) if found != "identity" => Err(answer.problem(AnswerProblem::Encoded { found })),
                _ => Ok(answer),
            },
            status @ (408 | 425 | 429 | 500 | 502 | 503 | 504) => {
                let after = wait::asked(|name| answer.header(name), self.clock.today());
                Err(AttemptError::Busy { status, after })
            }
            status => Err(HubError::Status { url: answer.url.shown(), status }.into()),
        }
    }

    fn unless_stopped(&self) -> Result<(), HubError> {
        if self.stopped.load(Ordering::SeqCst) { Err(HubError::Stopped) } else { Ok(()) }
    }

    /// Waits, unless the client is stopped.
    pub(super) fn sleep(&self, time: Duration) -> Result<(), HubError> {
        let end = self.clock.elapsed().saturating_add(time);
        loop {
            self.unless_stopped()?;
            let left = end.saturating_sub(self.clock.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            self.clock.sleep(left.min(NAP));
        }
    }

    /// Lets no thread send a request before this time is over.
    fn close(&self, time: Duration) {
        let until = self.clock.elapsed().saturating_add(time);
        let mut closed = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        *closed = (*closed).max(until);
    }

    fn closed_for(&self) -> Duration {
        let closed = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        closed.saturating_sub(self.clock.elapsed())
    }
}

impl Answer {
    fn new(url: &Url, answer: Response<Body>) -> Self {
        let (parts, body) = answer.into_parts();
        Self { status: parts.status.as_u16(), url: url.clone(), headers: parts.headers, body: body.into_reader() }
    }

    /// A header's value, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)?.to_str().ok().map(|value| value.trim().to_owned())
    }

    /// The length of the body, if the header has it.
    pub(super) fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// The start of a part of a file, and the length of the file if the header has it: `bytes 5-9/10`.
    pub(super) fn range(&self) -> Option<(u64, Option<u64>)> {
        let header = self.header("content-range")?;
        let (part, total) = header.strip_prefix("bytes ")?.split_once('/')?;
        Some((part.split_once('-')?.0.trim().parse().ok()?, total.trim().parse().ok()))
    }

    pub(super) fn problem(&self, problem: AnswerProblem) -> AttemptError {
        HubError::Answer { url: self.url.shown(), problem }.into()
    }
}

/// The address that a redirect refers to.
fn redirect(mut answer: Answer) -> Result<Url, AttemptError> {
    let location = answer.header("location").unwrap_or_default();
    let refused = |why| HubError::Redirect { url: answer.url.shown(), to: harmless(&location), why };
    let next = answer.url.join(&location).ok_or_else(|| refused("it is no address"))?;
    if answer.url.is_https() && !next.is_https() {
        return Err(refused("it leads from https to http").into());
    }
    let _ = io::copy(&mut answer.body.by_ref().take(MAX_PAGE), &mut io::sink());
    Ok(next)
}

/// The kind of a failure of the HTTP library. Only texts that cannot contain whole addresses are passed on.
fn broken(url: &Url, error: ureq::Error) -> AttemptError {
    let untrusted = |problem| HubError::Untrusted { url: url.shown(), problem }.into();
    match error {
        ureq::Error::Rustls(problem) => untrusted(problem.to_string()),
        ureq::Error::Tls(problem) => untrusted(problem.to_owned()),
        // TLS reports an invalid certificate in this form during its handshake.
        ureq::Error::Io(problem) if problem.kind() == io::ErrorKind::InvalidData => untrusted(problem.to_string()),
        ureq::Error::Io(problem) => AttemptError::Broken(problem.to_string()),
        ureq::Error::Timeout(what) => AttemptError::Broken(format!("no answer in time ({what})")),
        ureq::Error::HostNotFound => AttemptError::Broken("no such host".to_owned()),
        ureq::Error::Protocol(problem) => AttemptError::Broken(format!("not HTTP: {problem}")),
        ureq::Error::ConnectProxyFailed(_) => AttemptError::Broken("the proxy refuses to connect".to_owned()),
        ureq::Error::LargeResponseHeader(found, max) => {
            AttemptError::Broken(format!("{found} bytes of headers, at most {max}"))
        }
        ureq::Error::ConnectionFailed => AttemptError::Broken("no connection".to_owned()),
        _ => AttemptError::Broken("the request failed".to_owned()),
    }
}
