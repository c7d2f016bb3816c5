//! Variables that cannot be used, and what to do about them.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::UrlError;

/// A variable that cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// `HF_ENDPOINT` is no address.
    #[error("HF_ENDPOINT: {0}")]
    Endpoint(#[from] UrlError),
    /// A variable of a proxy is not an address. Its value is not shown, because addresses of proxies can contain
    /// passwords.
    #[error(
        "{variable} is not the address of a proxy that can be used (http://, https://, socks5://, socks5h://, \
         socks4:// or socks4a://)"
    )]
    Proxy {
        /// Name of the environment variable.
        variable: &'static str,
    },
    /// A token has characters that a header cannot contain. It is not shown.
    #[error("the token of {from} holds characters that no token has")]
    Token {
        /// Variable or file.
        from: String,
    },
    /// A variable that is not text in UTF-8.
    #[error("{variable} is not text in UTF-8")]
    NotText {
        /// Name of the environment variable.
        variable: &'static str,
    },
    /// The file of the token exists and cannot be read.
    #[error("the token in {} cannot be read: {source}", path.display())]
    Io {
        /// File with the token.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A bundle of certificates cannot be read.
    #[error("{variable}: {} cannot be read: {source}", path.display())]
    Bundle {
        /// Name of the environment variable.
        variable: &'static str,
        /// File or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A bundle holds no certificates.
    #[error("{variable}: {} holds no certificates in PEM form", path.display())]
    NoCertificates {
        /// Name of the environment variable.
        variable: &'static str,
        /// File or folder.
        path: PathBuf,
    },
}

impl SettingsError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Io { path, .. } => {
                format!("change the permissions of {}, or set HF_HUB_DISABLE_IMPLICIT_TOKEN=1", path.display())
            }
            Self::Token { from } => format!("correct {from}: a token is one word, such as hf_…"),
            Self::Bundle { variable, .. } | Self::NoCertificates { variable, .. } => {
                format!("point {variable} to a PEM file of certificate authorities, or unset it")
            }
            Self::Endpoint(_) => "correct HF_ENDPOINT, or unset it for the public hub".to_owned(),
            Self::Proxy { variable } | Self::NotText { variable } => format!("correct {variable}, or unset it"),
        }
    }
}
