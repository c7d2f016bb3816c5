//! The top-level modules of a crate and the imports between them. A top-level module is a direct child of `src`: a
//! file, or a folder with all modules in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::Source;

/// One top-level module that names another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The module that imports.
    pub from: String,
    /// The module that is imported.
    pub to: String,
    /// File, line number and text of the import.
    pub at: String,
}

/// The top-level modules of one crate. `lib.rs` and `main.rs` are no modules, but a name that `lib.rs` re-exports
/// leads to the module that defines it.
#[derive(Clone, Debug)]
pub struct Modules {
    names: BTreeSet<String>,
    imports: Vec<Import>,
}

impl Modules {
    /// The modules of the files below `src`. `sources` must hold no modules of tests.
    ///
    /// # Panics
    /// If `lib.rs` re-exports by `*`: the names are not known then.
    pub fn of(sources: &[Source], src: &str) -> Self {
        let inside: Vec<(&str, &Source)> =
            sources.iter().filter_map(|source| Some((top_level(source, src)?, source))).collect();
        let names: BTreeSet<String> = inside.iter().map(|(module, _)| (*module).to_owned()).collect();
        let imports = inside.iter().flat_map(|(module, source)| imports(module, source, src));
        let lib = sources.iter().find(|source| source.path == format!("{src}/lib.rs"));
        let exported = lib.map(re_exports).unwrap_or_default();
        let to_module = |import: Import| {
            let to = if names.contains(&import.to) { import.to } else { exported.get(&import.to)?.clone() };
            Some(Import { to, ..import })
        };
        let imports = imports.filter_map(to_module);
        let imports = imports.filter(|import| names.contains(&import.to) && import.from != import.to).collect();
        Modules { names, imports }
    }

    /// The names of the modules.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Import cycles: sets of modules of which each imports each, directly or through others.
    pub fn cycles(&self) -> Vec<BTreeSet<String>> {
        let reach = self.reach();
        let cycle = |module: &String| -> BTreeSet<String> {
            reach[module].iter().filter(|other| reach[*other].contains(module)).cloned().collect()
        };
        let cycles: BTreeSet<BTreeSet<String>> = self.names.iter().map(cycle).filter(|all| all.len() > 1).collect();
        cycles.into_iter().collect()
    }

    /// The number of layers: the length of the longest chain of imports. A cycle counts as one layer.
    pub fn layers(&self) -> usize {
        let reach = self.reach();
        let mut layer: BTreeMap<&str, usize> = self.names.iter().map(|name| (name.as_str(), 1)).collect();
        for _ in &self.names {
            for Import { from, to, .. } in
                self.imports.iter().filter(|import| !reach[&import.to].contains(&import.from))
            {
                let above = layer[to.as_str()] + 1;
                layer.entry(from).and_modify(|layer| *layer = above.max(*layer));
            }
        }
        layer.into_values().max().unwrap_or(0)
    }

    /// The lines that import one of these modules into another of them.
    pub fn imports_among(&self, modules: &BTreeSet<String>) -> Vec<&str> {
        let inside = |import: &&Import| modules.contains(&import.from) && modules.contains(&import.to);
        let mut lines: Vec<&str> = self.imports.iter().filter(inside).map(|import| import.at.as_str()).collect();
        lines.dedup();
        lines
    }

    /// The lines that import a module from above their own. `order` goes from top to bottom and names every module.
    pub fn upward_imports(&self, order: &[&str]) -> Vec<&str> {
        let height = |module: &str| order.iter().position(|name| *name == module);
        let upward = |import: &&Import| height(&import.to) < height(&import.from);
        self.imports.iter().filter(upward).map(|import| import.at.as_str()).collect()
    }

    /// Each module with those that it imports, directly or through others.
    fn reach(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut reach: BTreeMap<String, BTreeSet<String>> =
            self.names.iter().map(|name| (name.clone(), BTreeSet::new())).collect();
        for Import { from, to, .. } in &self.imports {
            reach.entry(from.clone()).or_default().insert(to.clone());
        }
        for middle in &self.names {
            let further = reach[middle].clone();
            reach.values_mut().filter(|all| all.contains(middle)).for_each(|all| all.extend(further.clone()));
        }
        reach
    }
}

/// The top-level module of a file below `src`. Helpers of tests are left out.
fn top_level<'a>(source: &'a Source, src: &str) -> Option<&'a str> {
    let path = source.path.strip_prefix(src)?.trim_start_matches('/');
    let module = path.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main", "testing", "bin"].contains(&module) && !module.starts_with("tests")).then_some(module)
}

/// How many `super::` lead from a file to the crate's root.
fn depth(source: &Source, src: &str) -> usize {
    let path = source.path.trim_start_matches(src).trim_start_matches('/').trim_end_matches(".rs");
    path.trim_end_matches("/mod").split('/').count()
}

/// Every path of the file that begins at the crate's root, by its first segment.
fn imports(module: &str, source: &Source, src: &str) -> Vec<Import> {
    let lines: Vec<&str> = source.before_tests().collect();
    let code = without_comments(&lines);
    let root_by_super = "super::".repeat(depth(source, src));
    let mut found = Vec::new();
    for root in ["crate::", root_by_super.as_str()] {
        for (at, _) in code.match_indices(root).filter(|(at, _)| begins_path(&code[..*at])) {
            for (name, offset) in first_segments(&code[at + root.len()..]) {
                let line = code[..at + root.len() + offset].matches('\n').count();
                let at = format!("{}:{}: {}", source.path, line + 1, lines[line].trim());
                found.push(Import { from: module.to_owned(), to: name.to_owned(), at });
            }
        }
    }
    found
}

fn without_comments(lines: &[&str]) -> String {
    let code: Vec<&str> = lines.iter().map(|line| line.split("//").next().unwrap_or_default()).collect();
    code.join("\n")
}

/// Every name that `lib.rs` brings to the crate's root, with the top-level module that it comes from.
fn re_exports(lib: &Source) -> BTreeMap<String, String> {
    let code = without_comments(&lib.before_tests().collect::<Vec<_>>());
    let mut found = BTreeMap::new();
    for (at, _) in code.match_indices("use ") {
        let visibility = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        if !(visibility.is_empty() || visibility == "pub" || visibility.starts_with("pub(")) {
            continue;
        }
        let path = code[at + "use ".len()..].split(';').next().unwrap_or_default().trim();
        let path = path.trim_start_matches("crate::").trim_start_matches("self::");
        assert!(!path.contains('*'), "{}: name what `use {path}` re-exports", lib.path);
        let leaves = path.split(['{', '}', ',']).map(str::trim);
        for leaf in leaves.filter(|leaf| !leaf.is_empty() && !leaf.ends_with("::")) {
            let name = leaf.rsplit([':', ' ']).next().unwrap_or_default();
            found.insert(name.to_owned(), word(path).to_owned());
        }
    }
    found
}

/// Whether a path begins after `before`: neither a longer word nor a longer path ends there.
fn begins_path(before: &str) -> bool {
    !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
}

/// The names that a path goes on with, one or as many as stand in its braces, and where each is found.
fn first_segments(rest: &str) -> Vec<(&str, usize)> {
    let Some(inside) = rest.strip_prefix('{') else { return vec![(word(rest), 0)] };
    let (mut depth, mut start, mut names) = (1, Some(0), Vec::new());
    for (at, c) in inside.char_indices() {
        if start.is_some() && !c.is_whitespace() {
            names.push((word(&inside[at..]), at + 1));
            start = None;
        }
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => start = Some(at),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|(name, _)| !name.is_empty());
    names
}

/// The identifier that a text begins with.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(files: &[(&str, &str)]) -> Modules {
        let source = |(path, text): &(&str, &str)| Source { path: format!("a/src/{path}"), text: (*text).to_owned() };
        let sources: Vec<Source> = files.iter().map(source).collect();
        Modules::of(&sources, "a/src")
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn paths_of_every_spelling_are_imports() {
        let files = [
            ("lib.rs", "pub mod a;\npub use crate::b::B;"),
            (
                "a.rs",
                "use crate::{\n    b::{self, B},\n    c,\n};\nuse super::d;\n// use crate::e;\nlet x = crate::f::x();",
            ),
            ("b/mod.rs", "use super::c::C;\nuse other_crate::e;\npub(crate) mod deep;"),
            ("b/deep.rs", "use super::e;\nuse super::super::d::D;"),
            ("c.rs", "#[cfg(test)]\nmod tests {\n    use crate::a;\n}"),
            ("d.rs", ""),
            ("e.rs", ""),
            ("f.rs", ""),
            ("testing.rs", "use crate::a;"),
        ];
        let modules = modules(&files);
        assert_eq!(modules.names(), &set(&["a", "b", "c", "d", "e", "f"]));
        let arrows: BTreeSet<String> =
            modules.imports.iter().map(|import| format!("{}{}", import.from, import.to)).collect();
        assert_eq!(arrows, set(&["ab", "ac", "ad", "af", "bc", "bd"]));
        assert_eq!(modules.imports[1].at, "a/src/a.rs:3: c,");
        assert_eq!(modules.layers(), 3);
        assert!(modules.cycles().is_empty());
    }

    #[test]
    fn an_import_cycle_is_found_with_the_lines_that_close_it() {
        let files =
            [("a.rs", "use crate::b;"), ("b.rs", "use crate::{c, d};"), ("c.rs", "use crate::a;"), ("d.rs", "")];
        let modules = modules(&files);
        assert_eq!(modules.cycles(), [set(&["a", "b", "c"])]);
        let lines = ["a/src/a.rs:1: use crate::b;", "a/src/b.rs:1: use crate::{c, d};", "a/src/c.rs:1: use crate::a;"];
        assert_eq!(modules.imports_among(&modules.cycles()[0]), lines);
        assert_eq!(modules.layers(), 2, "a cycle is one layer");
    }

    #[test]
    fn a_name_that_the_root_re_exports_leads_to_its_module() {
        let lib = [
            "mod a;\n// pub use d::Commented;\npub use a::A;",
            "pub use b::{\n    deep::{Deep, Other as Renamed},\n    B,\n};",
            "pub(crate) use crate::c::c;\nuse self::d::Private;\npub use elsewhere::E;",
        ]
        .join("\n");
        let files = [
            ("lib.rs", lib.as_str()),
            ("a.rs", "use crate::{B, E};"),
            ("b/mod.rs", "pub(crate) mod deep;"),
            ("b/deep.rs", "use crate::Private;"),
            ("c.rs", "use super::Renamed;"),
            ("d.rs", "fn f() -> crate::A {}\nuse crate::Commented;"),
        ];
        let modules = modules(&files);
        let arrows: Vec<String> =
            modules.imports.iter().map(|import| format!("{}{}", import.from, import.to)).collect();
        assert_eq!(arrows, ["ab", "bd", "cb", "da"]);
        assert_eq!(modules.cycles(), [set(&["a", "b", "d"])], "no line of it names a module");
    }

    #[test]
    fn an_import_of_a_higher_module_is_found() {
        let modules = modules(&[("a.rs", "use crate::b;"), ("b.rs", "use crate::c;"), ("c.rs", "")]);
        assert!(modules.upward_imports(&["a", "b", "c"]).is_empty());
        assert_eq!(modules.upward_imports(&["b", "a", "c"]), ["a/src/a.rs:1: use crate::b;"]);
    }
}
