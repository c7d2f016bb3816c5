//! Whether something is at a path, without taking "cannot be looked at" for "not there".

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;

/// What is at a path, links followed; `None` where there is nothing.
///
/// ```
/// let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
/// assert!(pythia_files::found(here)?.is_some_and(|found| found.is_dir()));
/// assert!(pythia_files::found(&here.join("absent"))?.is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// A link to nothing, and what may be there and cannot be looked at.
pub fn found(path: &Path) -> io::Result<Option<Metadata>> {
    let absence = |error: &io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if !absence(&error) => Err(error),
        Err(error) => match fs::read_link(path) {
            Ok(target) => {
                let problem = format!("it is a link to {}, which is not there", target.display());
                Err(io::Error::new(error.kind(), problem))
            }
            Err(_) => Ok(None),
        },
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_nothing_and_a_loop_are_no_absence() {
        let folder = std::env::temp_dir().join(format!("pythia-files-found-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("create");
        fs::write(folder.join("file"), b"x").expect("write");
        std::os::unix::fs::symlink("nowhere", folder.join("dangling")).expect("link");
        std::os::unix::fs::symlink("loop", folder.join("loop")).expect("link");
        assert!(found(&folder.join("file")).expect("there").is_some_and(|found| found.is_file()));
        for absent in ["none", "file/below"] {
            assert!(found(&folder.join(absent)).expect("can be told").is_none(), "{absent}");
        }
        let dangling = found(&folder.join("dangling")).expect_err("a link").to_string();
        assert_eq!(dangling, "it is a link to nowhere, which is not there");
        assert!(found(&folder.join("loop")).is_err());
        fs::remove_dir_all(&folder).expect("remove");
    }
}
