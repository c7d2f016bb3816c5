//! Where things lie.

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests lie inside the repository").to_path_buf()
}

/// The committed fixtures.
pub fn fixtures() -> PathBuf {
    root().join("tests/fixtures")
}

/// The folder of goldens: `PYTHIA_SHARED`, else `shared` beside the repository; `None` where there is none.
pub fn shared() -> Option<PathBuf> {
    let folder = match std::env::var_os("PYTHIA_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => root().join("../shared"),
    };
    folder.join("goldens").is_dir().then_some(folder)
}

/// [`shared`], and a line on standard output where it is absent.
pub fn shared_or_say_so(test: &str) -> Option<PathBuf> {
    let folder = shared();
    if folder.is_none() {
        println!("{test}: no folder of goldens (PYTHIA_SHARED), so only the committed fixtures were compared");
    }
    folder
}

/// An empty folder for one test, under the build's own scratch folder; `name` must be the test's alone.
pub fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/scratch").join(name);
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
pub fn contents(folder: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut out = std::collections::BTreeMap::new();
    let mut left = vec![folder.to_path_buf()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(&next).expect("the folder can be read") {
            let path = entry.expect("its entries can be read").path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("it lies inside").to_path_buf();
                out.insert(name, std::fs::read(&path).expect("a file can be read"));
            }
        }
    }
    out
}
