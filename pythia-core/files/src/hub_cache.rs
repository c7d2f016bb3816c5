//! Where the hub's Python client and all who share its cache keep their files.

use std::path::{Path, PathBuf};

use crate::Environment;

/// The folder of the hub's tools: `HF_HOME`, `XDG_CACHE_HOME/huggingface` or `~/.cache/huggingface`, whichever is set
/// first. It holds the cache and the token, where no variable says otherwise.
pub fn hub_home(environment: &Environment) -> PathBuf {
    let home = || environment.home().unwrap_or(Path::new("")).join(".cache");
    let caches = || folder(environment, "XDG_CACHE_HOME").unwrap_or_else(home);
    folder(environment, "HF_HOME").unwrap_or_else(|| caches().join("huggingface"))
}

/// Root of the hub's cache, the folder that holds `models--ORGANISATION--NAME`: `HF_HUB_CACHE`,
/// `HUGGINGFACE_HUB_CACHE`, or `hub` in [`hub_home`]. `~` and `$NAME` in the values are replaced as Python does.
///
/// ```
/// use std::path::Path;
/// use pythia_files::{Environment, hub_cache};
///
/// let environment = Environment::of([("HF_HOME", "$SCRATCH/hf"), ("SCRATCH", "/scratch/me")], Some("/users/me"));
/// assert_eq!(hub_cache(&environment), Path::new("/scratch/me/hf/hub"));
/// ```
pub fn hub_cache(environment: &Environment) -> PathBuf {
    let older = || folder(environment, "HUGGINGFACE_HUB_CACHE");
    folder(environment, "HF_HUB_CACHE").or_else(older).unwrap_or_else(|| hub_home(environment).join("hub"))
}

fn folder(environment: &Environment, name: &str) -> Option<PathBuf> {
    environment.var(name).map(|value| environment.expand_known(Path::new(&value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_python_client_has_it() {
        let cache = |vars: &[(&str, &str)]| hub_cache(&Environment::of(vars.iter().copied(), Some("/h")));
        assert_eq!(cache(&[]), Path::new("/h/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/hf")]), Path::new("/h/hf/hub"));
        assert_eq!(cache(&[("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old")]), Path::new("/old"));
        let both =
            [("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "$ROOT/${SUB}/$NONE"), ("ROOT", "/r"), ("SUB", "s")];
        assert_eq!(cache(&both), Path::new("/r/s/$NONE"));
        assert_eq!(cache(&[("HF_HUB_CACHE", "")]), Path::new("/h/.cache/huggingface/hub"));
    }
}
