//! Environment variables and the home folder, and the variables in paths.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Where variables are read: the environment of this process, or values that a test gives. A variable that is empty
/// counts as not set.
///
/// ```
/// use std::path::Path;
/// use pythia_files::{Environment, PathError};
///
/// let environment = Environment::of([("SCRATCH", "/scratch/me")], Some("/users/me"));
/// assert_eq!(environment.expand(Path::new("$SCRATCH/a/${SCRATCH}"))?, Path::new("/scratch/me/a//scratch/me"));
/// assert_eq!(environment.expand(Path::new("~/a"))?, Path::new("/users/me/a"));
/// let unknown = environment.expand(Path::new("$BIG/a"));
/// assert_eq!(unknown, Err(PathError::UnknownVariable { name: "BIG".into() }));
/// # Ok::<(), PathError>(())
/// ```
#[derive(Clone)]
pub struct Environment {
    values: Option<Arc<BTreeMap<OsString, OsString>>>,
    home: Option<PathBuf>,
}

/// A path with a variable or a `~` that stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathError {
    /// A variable that is not set.
    UnknownVariable {
        /// Its name.
        name: String,
    },
    /// `${` without its `}`.
    NoBrace,
    /// `~` where no home folder is known.
    NoHome,
    /// `~NAME`, the home folder of somebody else.
    OtherHome {
        /// As written.
        found: String,
    },
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVariable { name } => write!(f, "the environment variable {name} is not set"),
            Self::NoBrace => f.write_str("`${` has no `}`"),
            Self::NoHome => f.write_str("`~` is the home folder, and none is known: HOME is not set"),
            Self::OtherHome { found } => write!(f, "{found}: only `~` itself is replaced, by your home folder"),
        }
    }
}

impl std::error::Error for PathError {}

impl Environment {
    /// The environment of this process. A variable is read when it is asked for.
    pub fn of_process() -> Self {
        Self { values: None, home: env::home_dir().filter(|home| !home.as_os_str().is_empty()) }
    }

    /// These variables alone, and a home folder.
    pub fn of<N: Into<OsString>, V: Into<OsString>>(
        values: impl IntoIterator<Item = (N, V)>,
        home: Option<&str>,
    ) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { values: Some(Arc::new(values)), home: home.map(PathBuf::from) }
    }

    /// The value of a variable.
    pub fn var(&self, name: &str) -> Option<OsString> {
        let value = match &self.values {
            Some(values) => values.get(OsStr::new(name)).cloned(),
            // A name with these characters is none, and the system's function panics.
            None if name.is_empty() || name.contains(['=', '\0']) => None,
            None => env::var_os(name),
        };
        value.filter(|value| !value.is_empty())
    }

    /// The home folder.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The path with `~` at its beginning, `$NAME` and `${NAME}` replaced. A `$` before anything else stays.
    ///
    /// # Errors
    /// [`PathError`], for a variable that is not set among others.
    pub fn expand(&self, path: &Path) -> Result<PathBuf, PathError> {
        self.replaced(path, &|name, _| Err(PathError::UnknownVariable { name: name.to_owned() }))
    }

    /// The same for the values of variables that Python programs read too, by the rules of its `expanduser` and
    /// `expandvars`: what stands for nothing stays as it is written.
    pub fn expand_known(&self, path: &Path) -> PathBuf {
        let kept = self.replaced(path, &|_, written| Ok(written.to_owned()));
        kept.unwrap_or_else(|_| path.to_owned())
    }

    fn replaced(&self, path: &Path, unknown: &Unknown<'_>) -> Result<PathBuf, PathError> {
        let (mut out, mut separate) = (OsString::new(), false);
        for (index, part) in path.components().enumerate() {
            if separate {
                out.push(std::path::MAIN_SEPARATOR_STR);
            }
            separate = !matches!(part, Component::RootDir | Component::Prefix(_));
            match (part, part.as_os_str().to_str()) {
                (Component::Normal(_), Some("~")) if index == 0 => out.push(self.home().ok_or(PathError::NoHome)?),
                (Component::Normal(_), Some(text)) if index == 0 && text.starts_with('~') => {
                    return Err(PathError::OtherHome { found: text.to_owned() });
                }
                (Component::Normal(_), Some(text)) => out.push(self.variables(text, unknown)?),
                // What is no text in UTF-8 has no variables.
                _ => out.push(part),
            }
        }
        Ok(out.into())
    }

    fn variables(&self, text: &str, unknown: &Unknown<'_>) -> Result<OsString, PathError> {
        let (mut out, mut rest) = (OsString::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            out.push(before);
            let (name, length) = variable(after)?;
            let written = &rest[before.len()..before.len() + 1 + length];
            match self.var(name) {
                _ if name.is_empty() => out.push(written),
                Some(value) => out.push(value),
                None => out.push(unknown(name, written)?),
            }
            rest = &after[length..];
        }
        out.push(rest);
        Ok(out)
    }
}

/// What stands in the place of a variable that is not set, from its name and as it is written.
type Unknown<'a> = dyn Fn(&str, &str) -> Result<String, PathError> + 'a;

/// The name of the variable at the beginning of the text behind a `$`, and its length with braces.
fn variable(text: &str) -> Result<(&str, usize), PathError> {
    if let Some(inner) = text.strip_prefix('{') {
        let (name, _) = inner.split_once('}').ok_or(PathError::NoBrace)?;
        return Ok((name, name.len() + 2));
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    Ok((&text[..end], end))
}

impl fmt::Debug for Environment {
    /// Shows no values: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("home", &self.home).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(path: &str) -> Result<PathBuf, PathError> {
        let values = [("BIG", "/big/me"), ("RUN", "a b"), ("EMPTY", "")];
        Environment::of(values, Some("/users/me")).expand(Path::new(path))
    }

    #[test]
    fn home_and_variables_are_replaced() {
        for (written, expected) in [
            ("~", "/users/me"),
            ("~/x", "/users/me/x"),
            ("x/~", "x/~"),
            ("./x", "./x"),
            ("../x/./y", "../x/y"),
            ("$BIG/x", "/big/me/x"),
            ("${BIG}x", "/big/mex"),
            ("data/$RUN-1/y", "data/a b-1/y"),
            ("/a/b$", "/a/b$"),
            ("$-/$", "$-/$"),
            ("", ""),
        ] {
            assert_eq!(expand(written).unwrap(), Path::new(expected), "{written}");
        }
        for (written, word) in [
            ("$NONE/x", "NONE is not set"),
            ("$EMPTY/x", "EMPTY is not set"),
            ("x/${NONE}", "NONE"),
            ("${BIG/x", "no `}`"),
            ("~you/x", "~you"),
        ] {
            let error = expand(written).unwrap_err().to_string();
            assert!(error.contains(word), "{written}: {error}");
        }
        assert_eq!(Environment::of([("A", "a")], None).expand(Path::new("~/x")), Err(PathError::NoHome));
    }

    #[test]
    fn as_python_reads_them_unknown_names_stay() {
        let environment = Environment::of([("A", "/a")], Some("/h"));
        let known = |path: &str| environment.expand_known(Path::new(path));
        assert_eq!(known("$A/${B}/$C"), Path::new("/a/${B}/$C"));
        assert_eq!(known("~you/x"), Path::new("~you/x"));
        assert_eq!(known("${A/x"), Path::new("${A/x"));
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_stay() {
        use std::os::unix::ffi::OsStringExt;
        let odd = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
        let environment = Environment::of([("A", OsString::from_vec(b"/\xfe".to_vec()))], Some("/h"));
        assert_eq!(environment.expand(&odd(b"~/\xff/$A")).unwrap(), odd(b"/h/\xff//\xfe"));
        assert!(environment.var("A").is_some());
        assert_eq!(Environment::of_process().var("A=B"), None);
    }
}
