//! The default folder of the public hub's cache.

use std::env;
use std::path::{Path, PathBuf};

use super::folder::at_home;

/// Root of the public hub's cache, the folder that holds `models--ORGANISATION--NAME`; [`find`](super::find) has the
/// order of the variables.
pub(super) fn default_cache() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(|value| at_home(Path::new(&value)));
    let caches = || set("XDG_CACHE_HOME").unwrap_or_else(|| env::home_dir().unwrap_or_default().join(".cache"));
    let home = || set("HF_HOME").unwrap_or_else(|| caches().join("huggingface"));
    set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(|| home().join("hub"))
}
