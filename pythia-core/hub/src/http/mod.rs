//! Requests to servers: single attempts, and attempts repeated within the limits of [`RetryPolicy`].

mod answer;

use std::io::Read;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use answer::{broken, redirect};

use super::retry::{AttemptError, LEAST, Pace, Retry, Wait};
use super::url::Url;
use super::{AnswerProblem, Clock, Connection, HubError, RetryPolicy, Settings, wait};
pub(crate) use answer::Answer;

const MAX_REDIRECTS: usize = 5;
/// What TLS says of a certificate that no known authority has signed.
const UNKNOWN: &str = "UnknownIssuer";
/// The longest sleep between two checks for a stop.
const NAP: Duration = Duration::from_millis(200);

/// Sends requests, waits between attempts, and knows which server may see the token.
pub(crate) struct Http {
    settings: Settings,
    /// How servers are reached, once a connection was needed.
    connection: OnceLock<Connection>,
    roots: OnceLock<Roots>,
    agent: Agent,
    clock: Box<dyn Clock>,
    /// The time until which the server asked for no requests. All threads that share a client wait.
    closed_until: Mutex<Duration>,
    stopped: AtomicBool,
}

/// The authorities that https servers are checked against.
struct Roots {
    first: RootCerts,
    /// Those that are asked about a server of which the first know nothing.
    second: OnceLock<Option<RootCerts>>,
    /// Whether the second have been the ones that know the servers.
    is_second: AtomicBool,
}

impl Http {
    pub(crate) fn new(settings: Settings, clock: Box<dyn Clock>) -> Self {
        let RetryPolicy { connect, stall, .. } = settings.retry;
        // Without this line the library would read proxies from the environment.
        let config = Agent::config_builder().proxy(None);
        // Redirects are followed by hand, because the token must not follow them.
        let config = config.max_redirects(0).max_redirects_will_error(false).http_status_as_error(false);
        let config = config.timeout_resolve(Some(connect)).timeout_connect(Some(connect));
        let config = config.timeout_recv_response(Some(stall)).timeout_per_read(Some(stall));
        let agent =
            config.input_buffer_size(512 << 10).user_agent(concat!("pythia/", env!("CARGO_PKG_VERSION"))).build();
        let (connection, roots, agent) = (OnceLock::new(), OnceLock::new(), agent.into());
        let (closed_until, stopped) = (Mutex::default(), AtomicBool::new(false));
        Self { settings, connection, roots, agent, clock, closed_until, stopped }
    }

    /// How servers are reached. Read when it is first asked for.
    ///
    /// # Errors
    /// [`HubError::Settings`]; [`HubError::Offline`] if no connection may be opened anyway.
    pub(crate) fn connection(&self) -> Result<&Connection, HubError> {
        if let Some(connection) = self.connection.get() {
            return Ok(connection);
        }
        match self.settings.connection() {
            Ok(connection) => Ok(self.connection.get_or_init(|| connection)),
            Err(_) if self.settings.offline => Err(HubError::Offline { url: "the hub".to_owned() }),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads all that requests to the endpoint need.
    pub(crate) fn check_settings(&self) -> Result<(), HubError> {
        let Connection { endpoint, proxies, .. } = self.connection()?;
        let url = endpoint.url("/");
        proxies.before(&url)?;
        if url.is_https() { self.roots().map(drop) } else { Ok(()) }
    }

    fn roots(&self) -> Result<&Roots, HubError> {
        if let Some(roots) = self.roots.get() {
            return Ok(roots);
        }
        let first = self.connection()?.certificates.first()?;
        Ok(self.roots.get_or_init(|| Roots { first, second: OnceLock::new(), is_second: AtomicBool::new(false) }))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.agent.clone().shutdown();
    }

    /// Repeats a request until there is an answer or an error that ends the attempts.
    pub(crate) fn insist<T>(&self, url: &Url, mut ask: impl FnMut() -> Result<T, AttemptError>) -> Result<T, HubError> {
        let mut retry = self.retry(url);
        loop {
            self.before_attempt()?;
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.wait(retry.after(failure)?)?,
            }
        }
    }

    pub(crate) fn retry<'a>(&self, url: &'a Url) -> Retry<'a> {
        Retry::new(self.settings.retry, url)
    }

    /// Waits as long as a server asked for. Fails if the client was stopped.
    pub(crate) fn before_attempt(&self) -> Result<(), HubError> {
        self.sleep(self.closed_for())
    }

    /// Waits for the next attempt. A wait that the server asks for holds for all threads, which wait before their
    /// next attempt.
    pub(crate) fn wait(&self, wait: Wait) -> Result<(), HubError> {
        match wait {
            Wait::ForServer(time) => {
                self.close(time);
                Ok(())
            }
            Wait::Backoff(time) => self.sleep(time),
        }
    }

    /// One attempt at a file or at bytes `range` of it. Follows redirects.
    pub(crate) fn get(&self, url: &Url, range: Option<Range<u64>>) -> Result<Answer, AttemptError> {
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
    pub(crate) fn small(&self, url: &Url, max: u64) -> Result<(Vec<u8>, Option<String>), HubError> {
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
    pub(crate) fn pour(&self, answer: &mut Answer, max: u64, take: &mut dyn FnMut(&[u8])) -> Result<u64, AttemptError> {
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
    pub(crate) fn read(&self, answer: &mut Answer, into: &mut [u8], pace: &mut Pace) -> Result<usize, AttemptError> {
        let read = answer.body.read(into);
        self.unless_stopped()?;
        let read = read.map_err(|error| broken(&answer.url, ureq::Error::from(error)))?;
        if read > 0 && pace.is_too_slow(read as u64, self.clock.elapsed(), self.settings.retry.stall) {
            return Err(AttemptError::Broken(format!("fewer than {LEAST} bytes in {:?}", self.settings.retry.stall)));
        }
        Ok(read)
    }

    pub(crate) fn pace(&self) -> Pace {
        Pace::new(self.clock.elapsed())
    }

    fn ask(&self, url: &Url, range: Option<&Range<u64>>) -> Result<Answer, AttemptError> {
        if self.settings.offline {
            return Err(HubError::Offline { url: url.shown() }.into());
        }
        let answer = if url.is_https() { self.ask_trusted(url, range) } else { self.ask_with(url, range, None) };
        self.unless_stopped()?;
        answer
    }

    /// Asks a server that the first or the second authorities know.
    fn ask_trusted(&self, url: &Url, range: Option<&Range<u64>>) -> Result<Answer, AttemptError> {
        let roots = self.roots()?;
        if !roots.is_second.load(Ordering::Relaxed) {
            match self.ask_with(url, range, Some(&roots.first)) {
                Err(AttemptError::Final(HubError::Untrusted { problem, .. })) if problem.contains(UNKNOWN) => {}
                answer => return answer,
            }
        }
        let certificates = || self.connection.get().and_then(|connection| connection.certificates.second());
        let Some(second) = roots.second.get_or_init(certificates) else {
            return Err(HubError::Untrusted { url: url.shown(), problem: UNKNOWN.to_owned() }.into());
        };
        let answer = self.ask_with(url, range, Some(second));
        roots.is_second.store(answer.is_ok(), Ordering::Relaxed);
        answer
    }

    fn ask_with(
        &self,
        url: &Url,
        range: Option<&Range<u64>>,
        roots: Option<&RootCerts>,
    ) -> Result<Answer, AttemptError> {
        let Connection { endpoint, token, proxies, .. } = self.connection()?;
        // A compressed body has another length than the lists say.
        let mut request = self.agent.get(url.full()).header("accept-encoding", "identity");
        if let Some(token) = token.as_ref().filter(|_| endpoint.is_home_of(url)) {
            request = request.header("authorization", token.header());
        }
        if let Some(range) = range {
            request = request.header("range", format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        }
        let mut config = request.config().proxy(proxies.before(url).map_err(HubError::from)?);
        if let Some(roots) = roots {
            config = config.tls_config(TlsConfig::builder().root_certs(roots.clone()).build());
        }
        let answer = config.build().call();
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
    pub(crate) fn sleep(&self, time: Duration) -> Result<(), HubError> {
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
