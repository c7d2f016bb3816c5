//! Paths of the repository, the fixtures and the goldens; scratch folders.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The repository's root.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests lie inside the repository").to_path_buf()
}

/// The committed fixtures.
pub fn fixtures() -> PathBuf {
    root().join("tests/fixtures")
}

/// The folder of TransformerLens goldens: `PYTHIA_SHARED`, else `shared` beside the repository.
///
/// # Panics
/// When there is none. Tests that need it are ignored unless asked for.
pub fn shared() -> PathBuf {
    let folder = std::env::var_os("PYTHIA_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let there = folder.join("goldens").is_dir();
    assert!(there, "{} holds no goldens; set PYTHIA_SHARED to a folder that does", folder.display());
    folder
}

/// The folder that scratch folders lie in.
pub(crate) fn scratches() -> PathBuf {
    root().join("target/scratch")
}

/// An empty folder for one test. `name` must be the test's alone within its binary: binaries may run side by side.
pub fn scratch(name: &str) -> PathBuf {
    let binary = std::env::current_exe().expect("a test has a path");
    let stem = binary.file_stem().and_then(|stem| stem.to_str()).expect("a test has a plain name");
    let folder = scratches().join(stem.rsplit_once('-').map_or(stem, |(name, _)| name)).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("an old scratch folder can be removed");
    }
    std::fs::create_dir_all(&folder).expect("a scratch folder can be made");
    folder
}

/// Copies a folder with all it holds.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("its entries can be read").path();
        let target = to.join(entry.file_name().expect("an entry has a name"));
        if entry.is_dir() {
            copy_folder(&entry, &target);
        } else {
            std::fs::copy(&entry, &target).expect("a file can be copied");
        }
    }
}

/// Every file under `folder` with its bytes, by path relative to it.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let with_bytes = |name: PathBuf| {
        let bytes = std::fs::read(folder.join(&name)).expect("a file can be read");
        (name, bytes)
    };
    files(folder).into_iter().map(with_bytes).collect()
}

/// Every file under `folder`, by path relative to it.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut left = vec![folder.to_path_buf()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(&next).expect("the folder can be read") {
            let path = entry.expect("its entries can be read").path();
            if path.is_dir() {
                left.push(path);
            } else {
                out.push(path.strip_prefix(folder).expect("it lies inside").to_path_buf());
            }
        }
    }
    out.sort_unstable();
    out
}
