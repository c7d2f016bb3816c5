//! Everything that can go wrong with one answer.

use std::time::Duration;

/// How one answer differs from a correct one. Offsets count bytes of the correct body.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The connection is closed after so many bytes, though the header promised all.
    Truncate(u64),
    /// No length in the header, and the connection is closed after so many bytes.
    TruncateUnsaid(u64),
    /// In chunks, and the last chunk comes after so many bytes, as if the body ended there.
    TruncateChunked(u64),
    /// The header says that there are only so many bytes, and so many come.
    ShortLength(u64),
    /// So many bytes more than there should be, in chunks.
    More(u64),
    /// So many bytes more than there should be, and the header says so.
    LongLength(u64),
    /// In chunks, all of it: not a fault, but another way to send.
    Chunked,
    /// One bit of this byte is wrong.
    Flip(u64),
    /// Another status, with these headers.
    Status(u16, Vec<(String, String)>),
    /// A redirect to this place.
    Redirect(String),
    /// So many bytes at a time, with a pause after each.
    Drip(usize, Duration),
    /// After so many bytes nothing more comes, and the connection stays open.
    Hang(u64),
    /// The range of the request is ignored: the whole body, status 200.
    IgnoreRange,
    /// Another range than was asked for.
    WrongRange,
    /// Something that is not HTTP.
    Garbage,
    /// The connection is closed without an answer.
    Close,
    /// This text instead of the body.
    Text(String),
    /// Additional headers; the body is as it should be.
    Headers(Vec<(String, String)>),
}
