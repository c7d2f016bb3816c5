//! Errors of requests to the hub.

use core::time::Duration;
use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::name::NameError;
use super::settings::SettingsError;
use super::{Commit, FileHash, RemoteFile, RemoteName, Repo};

/// A failed request to the hub. Addresses are given without query and credentials.
///
/// ```
/// use pythia_hub::{Endpoint, Hub, HubError, Settings};
///
/// let mut settings = Settings::new(Endpoint::default(), "cache".into());
/// settings.offline = true;
/// let error = Hub::new(settings).branches(&"EleutherAI/pythia-70m".parse()?).unwrap_err();
/// assert!(matches!(error, HubError::Offline { .. }) && !error.is_temporary());
/// # Ok::<(), pythia_hub::NameError>(())
/// ```
#[derive(Debug, Error)]
pub enum HubError {
    /// A variable that a connection needs cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The client is offline, and the cache does not have the file.
    #[error("offline: {url} was not asked for")]
    Offline {
        /// The requested address.
        url: String,
    },
    /// [`Hub::stop`](super::Hub::stop) was called.
    #[error("stopped")]
    Stopped,
    /// No attempt got a connection that lasted.
    #[error("{url} cannot be reached: {problem} ({attempts} attempts)")]
    Unreachable {
        /// The requested address.
        url: String,
        /// The last attempt's problem.
        problem: String,
        /// Attempts that were made.
        attempts: u32,
    },
    /// The certificate of the server is not trusted.
    #[error("{url} is not trusted: {problem}")]
    Untrusted {
        /// The requested address.
        url: String,
        /// What is wrong with its certificate.
        problem: String,
    },
    /// The server was busy (429, 5xx) at every attempt.
    #[error("{url} answers {status}{}", asks_to_wait(*after))]
    Busy {
        /// The requested address.
        url: String,
        /// Its answer.
        status: u16,
        /// The wait that it asks for.
        after: Option<Duration>,
    },
    /// The server refuses.
    #[error("{url} answers {status}")]
    Status {
        /// The requested address.
        url: String,
        /// Its answer.
        status: u16,
    },
    /// A redirect that is not followed: too many, no address, or from https to http.
    #[error("{url} redirects to {to:?}, which is not followed: {why}")]
    Redirect {
        /// The requested address.
        url: String,
        /// Where it leads, without query.
        to: String,
        /// Why it is not followed.
        why: &'static str,
    },
    /// An answer of an unexpected form.
    #[error("{url}: {problem}")]
    Answer {
        /// The requested address.
        url: String,
        /// What is wrong with it.
        problem: AnswerProblem,
    },
    /// A file has another size than the hub's list says.
    #[error("{at} has {found} bytes, and the hub's list says {}", at.file.size)]
    Size {
        /// The file as it is listed.
        at: Box<FileAt>,
        /// Bytes that the server has or sent. If it sent more than the listed size, one more than that.
        found: u64,
    },
    /// A file has another hash than the hub's list says.
    #[error("{at} has the hash {found}, and the hub's list says {}", at.file.hash)]
    Hash {
        /// The file as it is listed.
        at: Box<FileAt>,
        /// Hash of what arrived.
        found: FileHash,
    },
    /// A range that cannot be read.
    #[error("bytes {start}..{end} of {name} cannot be read: {why}")]
    Range {
        /// File at the hub that the range is part of.
        name: RemoteName,
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// Why it cannot be read.
        why: &'static str,
    },
    /// A name that cannot be used as a path, because it could lead out of the cache's folder.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The cache cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// A file of a commit, as the hub lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAt {
    /// Repository that contains the file.
    pub repo: Repo,
    /// Commit in which the hub lists it.
    pub commit: Commit,
    /// Name, size and hash as listed.
    pub file: RemoteFile,
}

impl fmt::Display for FileAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}, commit {},", self.file.name, self.repo, self.commit)
    }
}

/// Why an answer is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AnswerProblem {
    /// Not the JSON of the hub's interface.
    #[error("not the expected JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Longer than any such answer.
    #[error("the answer goes on after {max} bytes")]
    TooLarge {
        /// Bytes that are read.
        max: u64,
    },
    /// A list that never ends.
    #[error("the list goes on after {max} pages")]
    TooManyPages {
        /// Pages that are read.
        max: usize,
    },
    /// A name that cannot be used as a path, because it could lead out of the cache's folder.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A list with the same file twice.
    #[error("{name} is listed twice")]
    Twice {
        /// File that is listed twice.
        name: RemoteName,
    },
    /// A list that gives a file two sizes.
    #[error("{name} is listed with {size} bytes and with {other}")]
    TwoSizes {
        /// File that is listed with both sizes.
        name: RemoteName,
        /// One size.
        size: u64,
        /// Another size of the same file.
        other: u64,
    },
    /// The content is encoded, which was not requested.
    #[error("the content is encoded as {found:?}")]
    Encoded {
        /// Value of the header `Content-Encoding`.
        found: String,
    },
}

fn asks_to_wait(after: Option<Duration>) -> String {
    after.map_or(String::new(), |after| format!(", asks to wait {} s", after.as_secs()))
}

impl HubError {
    /// Whether the same call may succeed later without any change.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Stopped | Self::Unreachable { .. } | Self::Busy { .. })
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Settings(error) => error.remedy(),
            Self::Offline { .. } => "unset HF_HUB_OFFLINE, or fetch it where there is a connection".to_owned(),
            Self::Stopped => "run the same command again: what arrived is kept".to_owned(),
            Self::Unreachable { .. } => {
                "check the connection, HF_ENDPOINT and the proxy variables; then run the same command again: \
                 what arrived is kept"
                    .to_owned()
            }
            Self::Untrusted { .. } => {
                "check HF_ENDPOINT and this machine's date; where a proxy of your institution signs certificates, \
                 point SSL_CERT_FILE to its certificate"
                    .to_owned()
            }
            Self::Busy { after: Some(after), .. } => {
                format!("run the same command again in {} s: what arrived is kept", after.as_secs().max(1))
            }
            Self::Busy { .. } => "run the same command again later: what arrived is kept".to_owned(),
            Self::Status { status: 401 | 403, .. } => {
                "check HF_TOKEN, and on the hub's page whether it asks for consent".to_owned()
            }
            Self::Status { .. } => {
                "check the name of the model and HF_ENDPOINT; a pinned commit may have been removed from the hub"
                    .to_owned()
            }
            Self::Redirect { .. } | Self::Answer { .. } => {
                "check HF_ENDPOINT: this is not how the hub answers".to_owned()
            }
            Self::Size { .. } | Self::Hash { .. } => {
                "nothing was kept; if it happens again, the hub or a proxy before it gives other content than it \
                 lists"
                    .to_owned()
            }
            Self::Range { .. } => "fetch the whole file instead".to_owned(),
            Self::Name(_) => "check the name".to_owned(),
            Self::Io { source, .. } => io_remedy(source),
        }
    }
}

/// What to do when the cache cannot be read or written.
pub(super) fn io_remedy(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on the disk, or set --cache-max or --min-free"
        }
        io::ErrorKind::FileTooLarge => "the system limits the size of files: see `ulimit -f`",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "point HF_HUB_CACHE to a folder that can be written"
        }
        _ => "check the disk and HF_HUB_CACHE",
    };
    remedy.to_owned()
}
