//! The rooms of a crate and the imports between them. A room is a direct child of `src`: a file, or a folder with all
//! modules in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::Source;

/// One room that names another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The room that imports.
    pub from: String,
    /// The room that is imported.
    pub to: String,
    /// File, line number and text of the import.
    pub at: String,
}

/// The rooms of one crate. `lib.rs` and `main.rs` are none: what they re-export is no import.
#[derive(Clone, Debug)]
pub struct Rooms {
    names: BTreeSet<String>,
    imports: Vec<Import>,
}

impl Rooms {
    /// The rooms of the files below `src`, which must hold no modules of tests.
    pub fn of(sources: &[Source], src: &str) -> Self {
        let inside: Vec<(&str, &Source)> =
            sources.iter().filter_map(|source| Some((room(source, src)?, source))).collect();
        let names: BTreeSet<String> = inside.iter().map(|(room, _)| (*room).to_owned()).collect();
        let imports = inside.iter().flat_map(|(room, source)| imports(room, source, src));
        let imports = imports.filter(|import| names.contains(&import.to) && import.from != import.to).collect();
        Rooms { names, imports }
    }

    /// The names of the rooms.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Sets of rooms of which each imports each, directly or through others.
    pub fn rings(&self) -> Vec<BTreeSet<String>> {
        let reach = self.reach();
        let ring = |room: &String| -> BTreeSet<String> {
            reach[room].iter().filter(|other| reach[*other].contains(room)).cloned().collect()
        };
        let rings: BTreeSet<BTreeSet<String>> = self.names.iter().map(ring).filter(|ring| ring.len() > 1).collect();
        rings.into_iter().collect()
    }

    /// How many rooms stand above one another at most; a ring counts as one.
    pub fn floors(&self) -> usize {
        let reach = self.reach();
        let mut floor: BTreeMap<&str, usize> = self.names.iter().map(|name| (name.as_str(), 1)).collect();
        for _ in &self.names {
            for Import { from, to, .. } in
                self.imports.iter().filter(|import| !reach[&import.to].contains(&import.from))
            {
                let above = floor[to.as_str()] + 1;
                floor.entry(from).and_modify(|floor| *floor = above.max(*floor));
            }
        }
        floor.into_values().max().unwrap_or(0)
    }

    /// The imports between these rooms.
    pub fn among(&self, rooms: &BTreeSet<String>) -> Vec<&str> {
        let inside = |import: &&Import| rooms.contains(&import.from) && rooms.contains(&import.to);
        self.imports.iter().filter(inside).map(|import| import.at.as_str()).collect()
    }

    /// The imports of a room that stands higher in `order`, which goes from top to bottom and names every room.
    pub fn upward(&self, order: &[&str]) -> Vec<&str> {
        let height = |room: &str| order.iter().position(|name| *name == room);
        let upward = |import: &&Import| height(&import.to) < height(&import.from);
        self.imports.iter().filter(upward).map(|import| import.at.as_str()).collect()
    }

    /// Each room with those that it imports, directly or through others.
    fn reach(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut reach: BTreeMap<String, BTreeSet<String>> =
            self.names.iter().map(|name| (name.clone(), BTreeSet::new())).collect();
        for Import { from, to, .. } in &self.imports {
            reach.entry(from.clone()).or_default().insert(to.clone());
        }
        for middle in &self.names {
            let further = reach[middle].clone();
            reach.values_mut().filter(|rooms| rooms.contains(middle)).for_each(|rooms| rooms.extend(further.clone()));
        }
        reach
    }
}

/// The room that a file below `src` lies in. Aids of tests are none.
fn room<'a>(source: &'a Source, src: &str) -> Option<&'a str> {
    let path = source.path.strip_prefix(src)?.trim_start_matches('/');
    let room = path.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main", "testing", "bin"].contains(&room) && !room.starts_with("tests")).then_some(room)
}

/// How many `super::` lead from a file to the crate's root.
fn depth(source: &Source, src: &str) -> usize {
    let path = source.path.trim_start_matches(src).trim_start_matches('/').trim_end_matches(".rs");
    path.trim_end_matches("/mod").split('/').count()
}

/// Every path of the file that begins at the crate's root, by its first segment.
fn imports(room: &str, source: &Source, src: &str) -> Vec<Import> {
    let lines: Vec<&str> = source.before_tests().collect();
    let code: Vec<&str> = lines.iter().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let root_by_super = "super::".repeat(depth(source, src));
    let mut found = Vec::new();
    for root in ["crate::", root_by_super.as_str()] {
        for (at, _) in code.match_indices(root).filter(|(at, _)| begins_path(&code[..*at])) {
            for (name, offset) in first_segments(&code[at + root.len()..]) {
                let line = code[..at + root.len() + offset].matches('\n').count();
                let at = format!("{}:{}: {}", source.path, line + 1, lines[line].trim());
                found.push(Import { from: room.to_owned(), to: name.to_owned(), at });
            }
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

    fn rooms(files: &[(&str, &str)]) -> Rooms {
        let source = |(path, text): &(&str, &str)| Source { path: format!("a/src/{path}"), text: (*text).to_owned() };
        let sources: Vec<Source> = files.iter().map(source).collect();
        Rooms::of(&sources, "a/src")
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
        let rooms = rooms(&files);
        assert_eq!(rooms.names(), &set(&["a", "b", "c", "d", "e", "f"]));
        let arrows: BTreeSet<String> =
            rooms.imports.iter().map(|import| format!("{}{}", import.from, import.to)).collect();
        assert_eq!(arrows, set(&["ab", "ac", "ad", "af", "bc", "bd"]));
        assert_eq!(rooms.imports[1].at, "a/src/a.rs:3: c,");
        assert_eq!(rooms.floors(), 3);
        assert!(rooms.rings().is_empty());
    }

    #[test]
    fn a_ring_is_found_with_the_lines_that_close_it() {
        let files =
            [("a.rs", "use crate::b;"), ("b.rs", "use crate::{c, d};"), ("c.rs", "use crate::a;"), ("d.rs", "")];
        let rooms = rooms(&files);
        assert_eq!(rooms.rings(), [set(&["a", "b", "c"])]);
        let lines = ["a/src/a.rs:1: use crate::b;", "a/src/b.rs:1: use crate::{c, d};", "a/src/c.rs:1: use crate::a;"];
        assert_eq!(rooms.among(&rooms.rings()[0]), lines);
        assert_eq!(rooms.floors(), 2, "a ring is one floor");
    }

    #[test]
    fn an_import_of_a_higher_room_is_found() {
        let rooms = rooms(&[("a.rs", "use crate::b;"), ("b.rs", "use crate::c;"), ("c.rs", "")]);
        assert!(rooms.upward(&["a", "b", "c"]).is_empty());
        assert_eq!(rooms.upward(&["b", "a", "c"]), ["a/src/a.rs:1: use crate::b;"]);
    }
}
