//! Names that a server sends, as types that hold checked names only: repositories, commits, hashes and files.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longer names of files are refused; the suite's longest has 33 bytes.
const MAX_NAME: usize = 255;

/// A text that is not a valid name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not a commit.
    #[error("{found:?} is not a commit (40 hexadecimal digits)")]
    Commit {
        /// What was found, cut to a readable length.
        found: String,
    },
    /// Not a hash of a file.
    #[error("{found:?} is not a hash of a file (64 hexadecimal digits of a SHA-256, or 40 of a git blob)")]
    Hash {
        /// What was found, cut to a readable length.
        found: String,
    },
    /// Not a name that may become part of a path.
    #[error("{found:?} is not a clean relative file name")]
    File {
        /// What was found, cut to a readable length.
        found: String,
    },
    /// Not the name of a repository.
    #[error("{found:?} is not the name of a repository (ORGANISATION/NAME)")]
    Repo {
        /// What was found, cut to a readable length.
        found: String,
    },
}

/// A repository of the hub, `ORGANISATION/NAME`.
///
/// ```
/// let repo: pythia_hub::Repo = "EleutherAI/pythia-70m".parse()?;
/// assert_eq!(repo.folder(), "models--EleutherAI--pythia-70m");
/// assert!("../etc".parse::<pythia_hub::Repo>().is_err());
/// # Ok::<(), pythia_hub::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repo(String);

impl Repo {
    /// The folder of the cache that holds it, `models--ORGANISATION--NAME`.
    pub fn folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }

    /// The name without the organisation.
    pub fn short(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Repo {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |part: &str| is_plain(part) && !part.contains("--");
        match text.split_once('/') {
            Some((organisation, name)) if plain(organisation) && plain(name) => Ok(Self(text.to_owned())),
            _ => Err(NameError::Repo { found: cut(text) }),
        }
    }
}

/// A commit of a repository: 40 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Commit(String);

impl Commit {
    /// All 40 hexadecimal digits, lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Commit {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_hex(text, 40) { Ok(Self(text.to_owned())) } else { Err(NameError::Commit { found: cut(text) }) }
    }
}

/// The hash by which the hub knows a file's content.
///
/// ```
/// use pythia_hub::FileHash;
///
/// assert!(matches!("0".repeat(64).parse()?, FileHash::Sha256(_)));
/// assert!(matches!("0".repeat(40).parse()?, FileHash::Git(_)));
/// # Ok::<(), pythia_hub::NameError>(())
/// ```
///
/// Its digits are the name of the content in the cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FileHash {
    /// SHA-256 of a large file, 64 digits.
    Sha256(String),
    /// SHA-1 of a small file as git hashes blobs (`blob LENGTH\0` stands before the content), 40 digits.
    Git(String),
}

impl FileHash {
    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::Git(digits) => digits,
        }
    }
}

impl FromStr for FileHash {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            _ if is_hex(text, 64) => Ok(Self::Sha256(text.to_owned())),
            _ if is_hex(text, 40) => Ok(Self::Git(text.to_owned())),
            _ => Err(NameError::Hash { found: cut(text) }),
        }
    }
}

/// The relative path of a file in a repository: plain names joined by `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemoteName(String);

impl RemoteName {
    /// The relative path, with `/` between its parts.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a path on this system, relative.
    pub(crate) fn to_path(&self) -> PathBuf {
        self.0.split('/').collect()
    }
}

impl FromStr for RemoteName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // Dotfiles such as .gitattributes are real, `.` and `..` are not names.
        let clean = |part: &str| is_plain(part.strip_prefix('.').unwrap_or(part));
        if text.len() <= MAX_NAME && text.split('/').all(clean) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::File { found: cut(text) })
        }
    }
}

/// A file of a commit as the hub lists it.
///
/// ```
/// use pythia_hub::{Commit, NameError, RemoteFile, RemoteName};
///
/// let name: RemoteName = "model.safetensors".parse()?;
/// let file = RemoteFile { name, size: 166_029_852, hash: "0".repeat(64).parse()? };
/// assert!(file.is_weights());
/// let commit: Commit = "c".repeat(40).parse()?;
/// assert_eq!(commit.as_str().len(), 40);
/// assert!(matches!("../../etc/passwd".parse::<RemoteName>(), Err(NameError::File { .. })));
/// # Ok::<(), NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteFile {
    /// Its name.
    pub name: RemoteName,
    /// Its bytes.
    pub size: u64,
    /// The hash of its content.
    pub hash: FileHash,
}

impl RemoteFile {
    /// Whether the file has weights, in either format, whole or a shard. An index has none.
    pub fn is_weights(&self) -> bool {
        let name = self.name.as_str();
        name.ends_with(".safetensors") || name.ends_with(".bin")
    }
}

macro_rules! text_of {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.as_str().to_owned()
            }
        }
    )*};
}

text_of!(Repo, Commit, FileHash, RemoteName);

/// Letters, digits, `-`, `_` and `.` without a leading dot. No system reads such a name as a path.
fn is_plain(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The beginning of a text for messages, because the texts of a server can be long.
fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        let hostile = [
            "",
            ".",
            "..",
            "../x",
            "a/../b",
            "/etc/passwd",
            "a//b",
            "a\\b",
            "a\0b",
            "C:x",
            "a b",
            "a/",
            "~",
            "...",
            "a/./b",
            "config.json\n",
        ];
        for text in hostile {
            assert!(text.parse::<RemoteName>().is_err(), "{text:?}");
            assert!(text.parse::<Commit>().is_err() && text.parse::<FileHash>().is_err(), "{text:?}");
            assert!(text.parse::<Repo>().is_err(), "{text:?}");
        }
        assert!("x".repeat(256).parse::<RemoteName>().is_err());
        for text in ["config.json", ".gitattributes", "logs/run-1.txt", "model-00001-of-00002.safetensors"] {
            assert_eq!(text.parse::<RemoteName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn hashes_know_their_kind() {
        let (long, short) = ("ab".repeat(32), "0f".repeat(20));
        assert_eq!(long.parse(), Ok(FileHash::Sha256(long.clone())));
        assert_eq!(short.parse(), Ok(FileHash::Git(short.clone())));
        assert!(short.parse::<Commit>().is_ok());
        for text in [long.to_uppercase(), format!("{short}0"), short[1..].to_owned(), format!("../{}", &short[3..])] {
            assert!(text.parse::<FileHash>().is_err() && text.parse::<Commit>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_repository_has_a_folder() {
        let repo: Repo = "EleutherAI/pythia-70m".parse().unwrap();
        assert_eq!((repo.folder().as_str(), repo.short()), ("models--EleutherAI--pythia-70m", "pythia-70m"));
        assert!("a/b/c".parse::<Repo>().is_err() && "a--b/c".parse::<Repo>().is_err());
    }

    #[test]
    fn json_is_held_to_the_same() {
        let file = r#"{"name": "../x", "size": 1, "hash": "00"}"#;
        assert!(serde_json::from_str::<RemoteFile>(file).is_err());
    }
}
