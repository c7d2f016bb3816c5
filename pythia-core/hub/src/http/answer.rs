//! Answers of servers: their headers, redirects, and what a request that got no answer means.

use std::io::{self, Read};

use ureq::http::{HeaderMap, Response};
use ureq::{Body, BodyReader};

use crate::retry::AttemptError;
use crate::url::{Url, harmless};
use crate::{AnswerProblem, HubError};

/// Bytes read of a redirect's body, so that its connection can be used again.
const MAX_PAGE: u64 = 64 << 10;
/// What the HTTP library says of answers that are none of a SOCKS server.
const SOCKS: [&str; 3] = ["invalid response version", "invalid response code", "invalid reserved byte"];

/// The head of an answer. Its body is not read yet.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) url: Url,
    headers: HeaderMap,
    pub(crate) body: BodyReader<'static>,
}

impl Answer {
    pub(crate) fn new(url: &Url, answer: Response<Body>) -> Self {
        let (parts, body) = answer.into_parts();
        Self { status: parts.status.as_u16(), url: url.clone(), headers: parts.headers, body: body.into_reader() }
    }

    /// A header's value, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)?.to_str().ok().map(|value| value.trim().to_owned())
    }

    /// The length of the body, if the header has it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// The start of a part of a file, and the length of the file if the header has it: `bytes 5-9/10`.
    pub(crate) fn range(&self) -> Option<(u64, Option<u64>)> {
        let header = self.header("content-range")?;
        let (part, total) = header.strip_prefix("bytes ")?.split_once('/')?;
        Some((part.split_once('-')?.0.trim().parse().ok()?, total.trim().parse().ok()))
    }

    pub(crate) fn problem(&self, problem: AnswerProblem) -> AttemptError {
        HubError::Answer { url: self.url.shown(), problem }.into()
    }
}

/// The address that a redirect refers to.
pub(crate) fn redirect(mut answer: Answer) -> Result<Url, AttemptError> {
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
pub(crate) fn broken(url: &Url, error: ureq::Error) -> AttemptError {
    let untrusted = |problem| HubError::Untrusted { url: url.shown(), problem }.into();
    match error {
        ureq::Error::Rustls(problem) => untrusted(problem.to_string()),
        ureq::Error::Tls(problem) => untrusted(problem.to_owned()),
        ureq::Error::Io(problem) if SOCKS.contains(&problem.to_string().as_str()) => {
            AttemptError::Broken(format!("the proxy does not answer as a SOCKS server does: {problem}"))
        }
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
