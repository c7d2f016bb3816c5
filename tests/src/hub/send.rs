//! Sends an answer, correct or with a fault.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::{Body, Fault};

/// An answer before it is sent: part of a body, with its headers.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    /// First byte, and one past the last.
    pub(super) part: (u64, u64),
    /// `HEAD`: only the headers.
    pub(super) bare: bool,
}

impl Reply {
    pub(super) fn text(status: u16, text: &str) -> Self {
        let body = Body::Bytes(text.as_bytes().to_vec());
        Self { status, headers: Vec::new(), part: (0, body.size()), body, bare: false }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends it; `false` when the connection is to be closed.
    pub(super) fn send(mut self, to: &mut TcpStream, fault: Option<Fault>) -> io::Result<bool> {
        let length = self.part.1 - self.part.0;
        match fault {
            None => self.plain(to, length),
            Some(Fault::Truncate(at)) => {
                self.head(to, Some(length))?;
                self.pour(to, at.min(length)).map(|()| false)
            }
            Some(Fault::TruncateUnsaid(at)) => {
                self.headers.push(("Connection".into(), "close".into()));
                self.head(to, None)?;
                self.pour(to, at.min(length)).map(|()| false)
            }
            Some(Fault::TruncateChunked(at)) => self.chunked(to, at.min(length), 0),
            Some(Fault::Chunked) => self.chunked(to, length, 0),
            Some(Fault::More(extra)) => self.chunked(to, length, extra),
            Some(Fault::ShortLength(at)) => self.plain(to, at.min(length)),
            Some(Fault::LongLength(extra)) => {
                self.head(to, Some(length + extra))?;
                self.pour(to, length)?;
                to.write_all(&vec![b'x'; extra as usize]).map(|()| true)
            }
            Some(Fault::Flip(at)) => self.flipped(to, length, at),
            Some(Fault::Drip(bytes, pause)) => self.drip(to, length, bytes, pause),
            Some(Fault::Hang(at)) => {
                self.head(to, Some(length))?;
                self.pour(to, at.min(length))?;
                // Waits until the client closes the connection.
                let _ = to.read(&mut [0]);
                Ok(false)
            }
            Some(Fault::Garbage) => to.write_all(b"SSH-2.0-nothing\r\n\r\n").map(|()| false),
            Some(Fault::Close) => Ok(false),
            Some(Fault::Headers(headers)) => {
                self.headers.extend(headers);
                self.plain(to, length)
            }
            // The server applied these when it made the reply.
            Some(Fault::Status(..) | Fault::Redirect(_) | Fault::Text(_) | Fault::IgnoreRange | Fault::WrongRange) => {
                self.plain(to, length)
            }
        }
    }

    fn plain(&self, to: &mut TcpStream, length: u64) -> io::Result<bool> {
        self.head(to, Some(length))?;
        if !self.bare {
            self.pour(to, length)?;
        }
        Ok(true)
    }

    /// The whole answer with one bit of the byte at `at` changed.
    fn flipped(&mut self, to: &mut TcpStream, length: u64, at: u64) -> io::Result<bool> {
        self.head(to, Some(length))?;
        self.pour(to, at)?;
        let mut byte = [0];
        self.body.from(self.part.0 + at)?.read_exact(&mut byte)?;
        to.write_all(&[byte[0] ^ 1])?;
        self.part.0 += at + 1;
        self.pour(to, length - at - 1).map(|()| true)
    }

    fn chunked(&mut self, to: &mut TcpStream, length: u64, extra: u64) -> io::Result<bool> {
        self.headers.push(("Transfer-Encoding".into(), "chunked".into()));
        self.head(to, None)?;
        let mut rest = self.body.from(self.part.0)?.take(length).chain(io::repeat(b'x').take(extra));
        let mut buffer = vec![0; 100_000];
        loop {
            let read = rest.read(&mut buffer)?;
            write!(to, "{read:x}\r\n")?;
            to.write_all(&buffer[..read])?;
            to.write_all(b"\r\n")?;
            if read == 0 {
                return Ok(true);
            }
        }
    }

    fn drip(&self, to: &mut TcpStream, length: u64, bytes: usize, pause: Duration) -> io::Result<bool> {
        self.head(to, Some(length))?;
        let mut rest = self.body.from(self.part.0)?.take(length);
        let mut buffer = vec![0; bytes];
        loop {
            match rest.read(&mut buffer)? {
                0 => return Ok(true),
                read => to.write_all(&buffer[..read])?,
            }
            thread::sleep(pause);
        }
    }

    fn head(&self, to: &mut TcpStream, length: Option<u64>) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Whatever\r\n", self.status);
        let length = length.map(|length| ("Content-Length".to_owned(), length.to_string()));
        for (name, value) in self.headers.iter().chain(&length) {
            head += &format!("{name}: {value}\r\n");
        }
        to.write_all((head + "\r\n").as_bytes())
    }

    /// Sends the first `bytes` bytes of the part.
    fn pour(&self, to: &mut TcpStream, bytes: u64) -> io::Result<()> {
        let mut rest = self.body.from(self.part.0)?.take(bytes);
        loop {
            // Without a copy, so that a benchmark measures the client.
            let part = rest.fill_buf()?;
            if part.is_empty() {
                break;
            }
            to.write_all(part)?;
            let sent = part.len();
            rest.consume(sent);
        }
        Ok(())
    }
}
