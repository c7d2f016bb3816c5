//! Where the paths of an experiment lead: one rule for every key that names a file or a folder.

use std::path::{Path, PathBuf};

use pythia_core::store::{ModelRef, StoreError};
use pythia_files::{Environment, PathError};

use super::problem::Problem;

/// What the paths in an experiment file count from. In each of them `~` at the beginning, `$NAME` and `${NAME}` are
/// replaced; a relative path of the file counts from the folder of the file, and one of the command line from where the
/// command runs.
#[derive(Clone, Debug)]
pub(crate) struct PathRule {
    /// The folder of the experiment file.
    folder: PathBuf,
    environment: Environment,
}

impl PathRule {
    /// The rule for the paths in this file.
    pub(crate) fn of(file: &Path, environment: Environment) -> Self {
        Self { folder: file.parent().unwrap_or(Path::new("")).to_owned(), environment }
    }

    /// Where a path leads. `is_option`: it stands in an option of the command line.
    pub(super) fn path(&self, written: &Path, is_option: bool) -> Result<PathBuf, PathError> {
        // What is no path stays none: `Path::join` would make a folder of it.
        if written.as_os_str().is_empty() {
            return Ok(PathBuf::new());
        }
        let path = self.environment.expand(written)?;
        Ok(if is_option { path } else { self.folder.join(path) })
    }

    /// The model that a name or a path means. A variable may hold either.
    pub(super) fn model(&self, written: &str, is_option: bool) -> Result<ModelRef, Problem> {
        let wrong = |error| Problem::Path { key: "models", written: written.into(), error };
        let expanded = self.environment.expand(Path::new(written)).map_err(wrong)?;
        // `Path` leaves out a `./` in the middle, which is not the name of a model, and one at the end.
        let text = if written.contains(['$', '~']) { expanded.to_str() } else { Some(written) };
        let Some(text) = text else { return Ok(ModelRef::Folder(expanded)) };
        let base = if is_option { Path::new("") } else { &self.folder };
        match ModelRef::named(text, base) {
            Ok(ModelRef::Folder(folder)) => Ok(ModelRef::Folder(base.join(folder))),
            Ok(model) => Ok(model),
            Err(StoreError::Name(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    fn rule() -> PathRule {
        let environment = Environment::of([("BIG", "/big/me"), ("MODEL", "pythia-70m"), ("REL", "./near")], Some("/h"));
        PathRule::of(Path::new("a/b/exp.toml"), environment)
    }

    #[test]
    fn paths_count_from_the_file_and_options_from_the_working_folder() {
        for (written, of_file, of_option) in [
            ("x", "a/b/x", "x"),
            ("./x", "a/b/./x", "./x"),
            ("../x", "a/b/../x", "../x"),
            ("/x", "/x", "/x"),
            ("~/x", "/h/x", "/h/x"),
            ("$BIG/x", "/big/me/x", "/big/me/x"),
            ("${REL}/x", "a/b/near/x", "./near/x"),
            ("", "", ""),
        ] {
            assert_eq!(rule().path(Path::new(written), false).expect("a path"), Path::new(of_file), "{written}");
            assert_eq!(rule().path(Path::new(written), true).expect("a path"), Path::new(of_option), "{written}");
        }
        let error = rule().path(Path::new("$NOWHERE/x"), false).expect_err("not set");
        assert_eq!(error, PathError::UnknownVariable { name: "NOWHERE".into() });
        let here = PathRule::of(Path::new("exp.toml"), Environment::of([("A", "a")], None));
        assert_eq!(here.path(Path::new("x"), false).expect("a path"), Path::new("x"));
    }

    #[test]
    fn models_are_names_or_paths_by_the_same_rule() {
        let folder = |path: &str| ModelRef::Folder(path.into());
        let suite: ModelRef = "pythia-70m".parse().expect("a model");
        for (written, expected) in [
            ("pythia-70m", suite.clone()),
            ("$MODEL", suite),
            ("./x", folder("a/b/x")),
            ("..", folder("a/b/..")),
            ("~", folder("/h")),
            ("~/x", folder("/h/x")),
            ("$BIG/x", folder("/big/me/x")),
            ("$REL/x", folder("a/b/near/x")),
        ] {
            assert_eq!(rule().model(written, false).expect("a model"), expected, "{written}");
        }
        assert_eq!(rule().model("./x", true).expect("a model"), folder("./x"));
        let problem = rule().model("$NOWHERE/x", false).expect_err("not set").to_string();
        assert_eq!(problem, "`models` names `$NOWHERE/x`: the environment variable NOWHERE is not set");
        assert!(matches!(rule().model("x/y", false), Err(Problem::Model(_))));
    }

    #[test]
    fn a_folder_that_is_there_needs_no_dot() {
        let scratch = Scratch::new("model-folder");
        for folder in ["data/nano", "EleutherAI/pythia-70m"] {
            std::fs::create_dir_all(scratch.0.join(folder)).expect("create");
        }
        let rule = PathRule::of(&scratch.0.join("exp.toml"), Environment::of([("A", "data")], None));
        let nano = ModelRef::Folder(scratch.0.join("data/nano"));
        assert_eq!(rule.model("data/nano", false).expect("a folder"), nano);
        assert_eq!(rule.model("$A/nano", false).expect("a folder"), nano);
        // Paths of options count from elsewhere.
        assert!(matches!(rule.model("data/nano", true), Err(Problem::Model(_))));
        let two = rule.model("EleutherAI/pythia-70m", false).expect_err("both").to_string();
        assert!(two.contains("write pythia-70m for the model, ./EleutherAI/pythia-70m for the folder"), "{two}");
        assert!(rule.model("EleutherAI/pythia-160m", false).is_ok());
    }
}
