//! A file's bytes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha1::Sha1;
use sha2::{Digest, Sha256};

const BLOCK: u64 = 1 << 20;

/// A file's bytes: from memory, from disk, or computed.
#[derive(Clone, Debug)]
pub enum Body {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// A file on disk.
    File {
        /// Its path.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// Blocks of a mebibyte of noise, each with its number in front.
    Pattern {
        /// Seed of the noise.
        seed: u64,
        /// Its size in bytes.
        size: u64,
    },
}

impl Body {
    /// The file at `path`.
    pub fn file(path: &Path) -> io::Result<Self> {
        Ok(Self::File { path: path.to_owned(), size: path.metadata()?.len() })
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } | Self::Pattern { size, .. } => *size,
        }
    }

    /// A reader from `offset` to the end.
    pub fn from(&self, offset: u64) -> io::Result<Box<dyn BufRead + '_>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(&bytes[(offset as usize).min(bytes.len())..]),
            Self::File { path, size } => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                Box::new(BufReader::with_capacity(BLOCK as usize, file.take(size.saturating_sub(offset))))
            }
            Self::Pattern { seed, size } => Box::new(Pattern { block: noise(*seed), at: offset, end: *size }),
        })
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.from(0).and_then(|mut reader| reader.read_to_end(&mut bytes)).expect("a body can be read");
        bytes
    }

    /// SHA-256 in hex, the hub's name for the content of a large file.
    pub fn sha256(&self) -> String {
        self.hash(Sha256::new())
    }

    /// SHA-1 of git's blob in hex, the hub's name for the content of a small file.
    pub fn git_sha1(&self) -> String {
        self.hash(Sha1::new_with_prefix(format!("blob {}\0", self.size())))
    }

    fn hash<D: Digest>(&self, mut hasher: D) -> String {
        let mut reader = self.from(0).expect("a body can be read");
        let mut buffer = vec![0; BLOCK as usize];
        loop {
            match reader.read(&mut buffer).expect("a body can be read") {
                0 => break,
                read => hasher.update(&buffer[..read]),
            }
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

struct Pattern {
    block: Vec<u8>,
    at: u64,
    end: u64,
}

impl Read for Pattern {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Pattern {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let (number, start) = (self.at / BLOCK, self.at % BLOCK);
        self.block[..8].copy_from_slice(&number.to_le_bytes());
        let end = BLOCK.min(start + self.end.saturating_sub(self.at));
        Ok(&self.block[start as usize..end as usize])
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes as u64;
    }
}

/// A block of noise (splitmix64).
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let word = |_| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)).to_le_bytes()
    };
    (0..BLOCK / 8).flat_map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_the_same_wherever_one_begins() {
        let body = Body::Pattern { seed: 3, size: 2 * BLOCK + 77 };
        let all = body.bytes();
        assert_eq!(all.len() as u64, body.size());
        assert_ne!(all[..1 << 20], all[1 << 20..2 << 20]);
        for offset in [0, 5, BLOCK - 1, BLOCK, 2 * BLOCK + 76, 2 * BLOCK + 77] {
            let mut rest = Vec::new();
            body.from(offset).unwrap().read_to_end(&mut rest).unwrap();
            assert_eq!(rest, all[offset as usize..], "{offset}");
        }
        let same = Body::Bytes(all);
        assert_eq!((same.sha256(), same.git_sha1()), (body.sha256(), body.git_sha1()));
    }
}
