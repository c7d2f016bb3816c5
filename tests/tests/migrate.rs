//! `pythia migrate` on the experiment files as they were shipped with the old keys.

use std::{collections::BTreeSet, fs, path::Path};

use pythia_tests::{
    command::{Finished, run},
    paths,
};

/// The old keys that the shipped files have. `prepend_bos` of the whole experiment is no old key.
const OLD_KEYS: [&str; 4] = ["batch", "half_len", "tokens", "prepend_bos"];

/// The shipped files that have old keys.
const WITH_OLD_KEYS: [&str; 3] = ["induction-nano.toml", "induction-pythia-70m.toml", "lens-nano.toml"];

/// The old files by name, with their text.
fn old_files() -> Vec<(String, String)> {
    let folder = paths::fixtures().join("experiments-v3");
    let entries = fs::read_dir(folder).expect("the old files are committed");
    let mut files: Vec<(String, String)> = entries
        .map(|entry| {
            let path = entry.expect("the folder can be listed").path();
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).expect("the file can be read"))
        })
        .collect();
    files.sort();
    assert!(files.len() >= 7, "{files:?}");
    files
}

/// Writes the text to `old.toml` in a folder of its own and migrates that.
fn migrated(folder: &Path, text: &str, arguments: &[&str]) -> Finished {
    fs::write(folder.join("old.toml"), text).expect("a file can be written");
    run(folder, &[&["migrate", "old.toml"], arguments].concat())
}

fn key_of(line: &str) -> &str {
    line.split('=').next().unwrap_or_default().trim()
}

/// The lines of the probes that have an old key, by their number from 1.
fn old_lines(text: &str) -> Vec<(usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let in_probes = numbered.skip_while(|(_, line)| *line != "[[probe]]");
    in_probes.filter(|(_, line)| OLD_KEYS.contains(&key_of(line))).collect()
}

fn comment_of(line: &str) -> Option<&str> {
    line.find('#').map(|at| line[at..].trim_end())
}

#[test]
fn shipped_files_change_in_their_old_keys_alone() {
    let folder = paths::scratch("migrate-lines");
    for (name, old) in old_files() {
        let output = migrated(&folder, &old, &[]).ok();
        let (new, changes) = (output.out, output.err);
        let (expected, at_old_keys) = (old_lines(&old), old_lines(&new));
        assert_eq!(!expected.is_empty(), WITH_OLD_KEYS.contains(&name.as_str()), "{name}");
        assert!(at_old_keys.is_empty(), "{name}: {at_old_keys:?}");

        let told: Vec<&str> = changes.lines().collect();
        assert_eq!(told.len(), expected.len(), "{name}: {changes}");
        for (told, (number, line)) in told.iter().zip(&expected) {
            assert!(told.starts_with(&format!("old.toml:{number}: `{}` is `prompts.", key_of(line))), "{name}: {told}");
        }

        let moved: Vec<&str> = expected.iter().filter_map(|(_, line)| comment_of(line)).collect();
        let kept = |line: &&str| !OLD_KEYS.contains(&key_of(line)) || *line == "prepend_bos = true";
        let untouched: Vec<&str> = old.lines().filter(kept).collect();
        let is_new = |line: &&str| line.starts_with("prompts = {") || moved.contains(line);
        let rest: Vec<&str> = new.lines().filter(|line| !is_new(line)).collect();
        assert_eq!(rest, untouched, "{name}");
        for comment in old.lines().filter_map(comment_of) {
            assert!(new.contains(comment), "{name}: {comment}");
        }
    }
}

#[test]
fn migrating_twice_changes_nothing_and_check_tells_old_files_from_new() {
    let folder = paths::scratch("migrate-twice");
    for (name, old) in old_files() {
        let is_old = WITH_OLD_KEYS.contains(&name.as_str());
        let check = migrated(&folder, &old, &["--check"]);
        assert_eq!((check.code, check.out.as_str()), (Some(if is_old { 2 } else { 0 }), ""), "{name}: {}", check.err);
        assert_eq!(check.err.is_empty(), !is_old, "{name}: {}", check.err);

        let new = migrated(&folder, &old, &[]).ok().out;
        assert_eq!(new != old, is_old, "{name}");
        let again = migrated(&folder, &new, &[]).ok();
        assert_eq!((again.out, again.err), (new.clone(), String::new()), "{name}");
        assert_eq!(migrated(&folder, &new, &["--check"]).ok().err, "", "{name}");
    }
    // Byte for byte: no line break is added at the end.
    assert_eq!(migrated(&folder, "name = 'a'", &[]).ok().out, "name = 'a'");
}

#[test]
fn write_replaces_the_file_and_leaves_no_other() {
    let folder = paths::scratch("migrate-write");
    for (name, old) in old_files() {
        let printed = migrated(&folder, &old, &[]).ok();
        let output = migrated(&folder, &old, &["--write"]).ok();
        assert_eq!((output.out.as_str(), output.err), ("", printed.err), "{name}");
        let files = paths::contents(&folder);
        assert_eq!(files.keys().collect::<Vec<_>>(), [Path::new("old.toml")], "{name}");
        assert_eq!(files[Path::new("old.toml")], printed.out.into_bytes(), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn write_keeps_permissions_and_links() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = paths::scratch("migrate-link");
    let (file, link) = (folder.join("file.toml"), folder.join("link.toml"));
    fs::write(&file, "[[probe]]\nkind = 'token_loss'\nbatch = 1\n").expect("a file can be written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("permissions can be set");
    symlink("file.toml", &link).expect("a link can be made");
    run(&folder, &["migrate", "link.toml", "--write"]).ok();
    assert!(fs::read_to_string(&file).expect("it is text").contains("prompts = { n = 1 }"));
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());
}

#[test]
fn shipped_files_are_their_old_versions_migrated() {
    let folder = paths::scratch("migrate-shipped");
    let today = paths::root().join("experiments/configs");
    let old = old_files();
    let names = |folder: &Path| -> BTreeSet<String> {
        paths::contents(folder).into_keys().map(|name| name.display().to_string()).collect()
    };
    assert_eq!(names(&today), old.iter().map(|(name, _)| name.clone()).collect());
    for (name, old) in old {
        // Paths counted from where the command ran.
        let old = old.replace("./data/nano", "../../data/nano");
        let read = |text: &str| text.parse::<toml::Table>().expect("it is TOML");
        let shipped = fs::read_to_string(today.join(&name)).expect("the file can be read");
        assert_eq!(read(&migrated(&folder, &old, &[]).ok().out), read(&shipped), "{name}");
    }
}

#[test]
fn a_file_that_cannot_be_migrated_is_refused_and_unchanged() {
    let folder = paths::scratch("migrate-refused");
    let both = "[[probe]]\nkind = 'logit_lens'\nprompts = { n = 2 }\nbatch = 3\n";
    for (text, words) in [
        (both, ["old.toml:4:1", "`batch` is the old spelling of `prompts.n`, and this probe has both"]),
        ("seed = 1\nbatch = = 4\n", ["old.toml:2:9", "batch = = 4"]),
        ("[[probe]]\nkind = 'token_loss'\nbatch = 1\nbatch = 2\n", ["old.toml:4:1", "duplicate key"]),
    ] {
        let output = migrated(&folder, text, &["--write"]).refused(&words);
        assert_eq!(output.code, Some(2), "{}", output.err);
        assert_eq!(fs::read_to_string(folder.join("old.toml")).expect("it is text"), text);
    }
    run(&folder, &["migrate", "absent.toml"]).refused(&["cannot read absent.toml"]);
    fs::write(folder.join("latin1.toml"), b"# caf\xe9\n").expect("a file can be written");
    run(&folder, &["migrate", "latin1.toml"]).refused(&["cannot read latin1.toml", "UTF-8"]);
}
