//! The default folder of the public hub's cache.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::folder::at_home;

/// Root of the public hub's cache, the folder that holds `models--ORGANISATION--NAME`; [`find`](super::find) has the
/// order of the variables.
pub(super) fn default_cache() -> PathBuf {
    cache_of(|name| env::var_os(name))
}

fn cache_of(get: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let set = |name| get(name).filter(|value| !value.is_empty()).map(|value| at_home(Path::new(&value)));
    let caches = || set("XDG_CACHE_HOME").unwrap_or_else(|| env::home_dir().unwrap_or_default().join(".cache"));
    let home = || set("HF_HOME").unwrap_or_else(|| caches().join("huggingface"));
    set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(|| home().join("hub"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_hubs_python_client_has_it() {
        let cache = |vars: &[(&str, &str)]| cache_of(|name| Some(vars.iter().find(|(key, _)| *key == name)?.1.into()));
        let home = env::home_dir().unwrap();
        assert_eq!(cache(&[]), home.join(".cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/hf")]), home.join("hf/hub"));
        assert_eq!(cache(&[("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old")]), Path::new("/old"));
        assert_eq!(cache(&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "~/new")]), home.join("new"));
        assert_eq!(cache(&[("HF_HUB_CACHE", "")]), home.join(".cache/huggingface/hub"));
    }
}
