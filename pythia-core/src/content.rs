//! What a file is instead of what its name says.

use thiserror::Error;

/// What the first bytes of a file show it to be, where it should be JSON or weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WrongContent {
    /// Nothing.
    #[error("it is empty; copy or download it again")]
    Empty,
    /// The place holder that Git leaves where Git LFS did not fetch a large file.
    #[error("it is a Git LFS pointer, not the file itself; run `git lfs pull` in its repository")]
    LfsPointer,
    /// A page that a server sent instead of the file.
    #[error("it is a web page that a server sent instead of the file; download it again, with a token if it needs one")]
    Html,
    /// A JSON text where weights are expected, as servers send errors.
    #[error("it is a JSON text, such as a server's error, not weights; look into it, then download the file again")]
    Json,
    /// A safetensors file under the name of another format.
    #[error("it is a safetensors file; name it model.safetensors")]
    Safetensors,
    /// A PyTorch file under the name of another format.
    #[error("it is a PyTorch file; name it pytorch_model.bin")]
    Pytorch,
    /// A file of llama.cpp.
    #[error("it is a GGUF file, which is not read here; use the model's safetensors or PyTorch files")]
    Gguf,
    /// A file of Keras.
    #[error("it is an HDF5 file, which is not read here; use the model's safetensors or PyTorch files")]
    Hdf5,
    /// Text in two bytes per character.
    #[error("it is UTF-16 text; save it as UTF-8")]
    Utf16,
    /// Bytes that are no text.
    #[error("it is not UTF-8 text")]
    NotUtf8,
}

/// The head of a Git LFS pointer.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// How a server begins a page or an error, in lower case.
const PAGES: [&[u8]; 3] = [b"<!doctype", b"<html", b"<?xml"];

impl WrongContent {
    /// What the bytes are if they are neither JSON nor weights.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let is_page =
            |start: &&[u8]| trimmed(bytes).get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
        match bytes {
            [] => Some(Self::Empty),
            _ if bytes.starts_with(LFS) => Some(Self::LfsPointer),
            _ if PAGES.iter().any(is_page) => Some(Self::Html),
            [b'G', b'G', b'U', b'F', ..] => Some(Self::Gguf),
            [0x89, b'H', b'D', b'F', ..] => Some(Self::Hdf5),
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some(Self::Utf16),
            _ => None,
        }
    }

    /// What the bytes are if they are no safetensors file.
    pub(crate) fn instead_of_safetensors(bytes: &[u8]) -> Option<Self> {
        // The length of a header ends with bytes of 0, which no text has.
        let is_json = trimmed(bytes).starts_with(b"{") && !bytes.iter().take(8).any(|byte| *byte == 0);
        let other = || bytes.starts_with(b"PK\x03\x04").then_some(Self::Pytorch);
        Self::of(bytes).or_else(|| is_json.then_some(Self::Json)).or_else(other)
    }

    /// What the bytes are if they are no PyTorch file.
    pub(crate) fn instead_of_pytorch(bytes: &[u8]) -> Option<Self> {
        // The length of the header, and then the header itself.
        let is_safetensors = bytes.get(8..10) == Some(b"{\"") && !bytes.starts_with(b"PK");
        let is_json = trimmed(bytes).starts_with(b"{\"");
        let other = || is_safetensors.then_some(Self::Safetensors).or(is_json.then_some(Self::Json));
        Self::of(bytes).or_else(other)
    }
}

/// The bytes without a byte order mark and white space at their head.
fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_is_shows_in_its_first_bytes() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n";
        assert_eq!(WrongContent::of(pointer), Some(WrongContent::LfsPointer));
        for page in [&b"<!DOCTYPE html>"[..], b"\n <HTML lang=en>", b"<?xml version='1.0'?><Error/>"] {
            assert_eq!(WrongContent::of(page), Some(WrongContent::Html));
        }
        assert_eq!(WrongContent::of(b""), Some(WrongContent::Empty));
        assert_eq!(WrongContent::of(b"{\"a\": \"<html\"}"), None);
        for text in [&b"{\"error\":\"not found\"}"[..], b" {\n  \"message\": 1}", b"{}"] {
            assert_eq!(WrongContent::instead_of_safetensors(text), Some(WrongContent::Json));
        }
        assert_eq!(WrongContent::instead_of_safetensors(b"{\"\0\0\0\0\0\0{\"a\""), None, "a header of 8,827 bytes");
        assert_eq!(WrongContent::instead_of_pytorch(b"{\"error\":1}"), Some(WrongContent::Json));
        assert_eq!(WrongContent::instead_of_safetensors(b"PK\x03\x04"), Some(WrongContent::Pytorch));
        assert_eq!(WrongContent::instead_of_pytorch(b"\x02\0\0\0\0\0\0\0{\"a\""), Some(WrongContent::Safetensors));
        assert_eq!(WrongContent::instead_of_pytorch(b"PK\x03\x04"), None);
    }
}
