//! The two hashes by which the hub knows content.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::FileHash;

/// Large enough that reading does not show beside hashing, small enough for the processor's second cache.
const BUFFER: usize = 256 << 10;

/// A hash that is being computed.
#[derive(Clone, Debug)]
pub(super) enum Hasher {
    Sha256(Sha256),
    Git(Sha1),
}

impl Hasher {
    /// The hash of the same kind as `like`, of content with `size` bytes; git writes the size before the content.
    pub(super) fn new(like: &FileHash, size: u64) -> Self {
        match like {
            FileHash::Sha256(_) => Self::Sha256(Sha256::new()),
            FileHash::Git(_) => Self::Git(Sha1::new_with_prefix(format!("blob {size}\0"))),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Git(hasher) => hasher.update(bytes),
        }
    }

    pub(super) fn finish(self) -> FileHash {
        match self {
            Self::Sha256(hasher) => FileHash::Sha256(hex(&hasher.finalize())),
            Self::Git(hasher) => FileHash::Git(hex(&hasher.finalize())),
        }
    }

    /// Hashes the rest of a reader and returns its number of bytes.
    pub(super) fn update_from(&mut self, from: &mut impl Read) -> io::Result<u64> {
        let mut buffer = vec![0; BUFFER];
        let mut total = 0;
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(total),
                Ok(read) => {
                    self.update(&buffer[..read]);
                    total += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The hash of a file's content, of the same kind as `like`.
pub(super) fn hash_of(path: &Path, like: &FileHash) -> io::Result<FileHash> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new(like, file.metadata()?.len());
    hasher.update_from(&mut file)?;
    Ok(hasher.finish())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn both_hashes_are_the_published_ones() {
        let dir = TempDir::new();
        let path = dir.write("x", "hello\n");
        // `git hash-object` and `sha256sum` of the same six bytes.
        let git: FileHash = "ce013625030ba8dba906f756967f9e9ca394464a".parse().unwrap();
        let sha: FileHash = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03".parse().unwrap();
        assert_eq!((hash_of(&path, &git).unwrap(), hash_of(&path, &sha).unwrap()), (git, sha));
    }
}
