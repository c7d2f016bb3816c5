//! The hub's lists: branches of a repository, files of a commit.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{AnswerProblem, Commit, RemoteFile, RemoteName};

#[derive(Deserialize)]
struct Refs {
    branches: Vec<Branch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Branch {
    name: String,
    target_commit: String,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    oid: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// The branches in an answer of `/refs`. A branch whose name cannot be a file name cannot be requested, so it is left
/// out.
pub(super) fn branches(text: &[u8]) -> Result<BTreeMap<String, Commit>, AnswerProblem> {
    let refs: Refs = serde_json::from_slice(text)?;
    let nameable = refs.branches.into_iter().filter(|branch| branch.name.parse::<RemoteName>().is_ok());
    nameable.map(|branch| Ok((branch.name, branch.target_commit.parse()?))).collect()
}

/// The files in one page of an answer of `/tree`, added to those of earlier pages.
pub(super) fn add_files(text: &[u8], files: &mut BTreeMap<RemoteName, RemoteFile>) -> Result<(), AnswerProblem> {
    let nodes: Vec<Node> = serde_json::from_slice(text)?;
    for node in nodes.into_iter().filter(|node| node.kind == "file") {
        let file = file(node)?;
        if let Some(twice) = files.insert(file.name.clone(), file) {
            return Err(AnswerProblem::Twice { name: twice.name });
        }
    }
    Ok(())
}

/// A large file is known by the SHA-256 of its content, a small one by git's hash.
fn file(node: Node) -> Result<RemoteFile, AnswerProblem> {
    let name: RemoteName = node.path.parse()?;
    let size = node.size;
    let Some(lfs) = node.lfs else { return Ok(RemoteFile { name, size, hash: node.oid.parse()? }) };
    if lfs.size != size {
        return Err(AnswerProblem::TwoSizes { name, size, other: lfs.size });
    }
    Ok(RemoteFile { name, size, hash: lfs.oid.parse()? })
}

/// The query of the next page, from a `Link` header. The rest of that address is ignored, because all pages of a list
/// have the same address without the query.
pub(super) fn next_page(link: &str) -> Option<&str> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let address = next.split_once('<')?.1.split_once('>')?.0;
    address.split_once('?').map(|(_, query)| query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileHash;

    fn files(text: &str) -> Result<Vec<RemoteFile>, AnswerProblem> {
        let mut files = BTreeMap::new();
        add_files(text.as_bytes(), &mut files).map(|()| files.into_values().collect())
    }

    fn node(path: &str, oid: &str, more: &str) -> String {
        format!(r#"[{{"type": "file", "path": "{path}", "oid": "{oid}", "size": 7{more}}}]"#)
    }

    #[test]
    fn a_file_is_known_by_its_own_hash_or_that_of_large_storage() {
        let (short, long) = ("a".repeat(40), "b".repeat(64));
        let small = files(&node("config.json", &short, "")).unwrap();
        assert_eq!((small[0].size, small[0].hash.as_str()), (7, short.as_str()));
        let lfs = format!(r#", "lfs": {{"oid": "{long}", "size": 7, "pointerSize": 134}}"#);
        assert_eq!(files(&node("m.bin", &short, &lfs)).unwrap()[0].hash, FileHash::Sha256(long));
        let folder = format!(r#"[{{"type": "directory", "path": "../x", "oid": "{short}", "size": 0}}]"#);
        assert_eq!(files(&folder).unwrap(), []);
    }

    #[test]
    fn hostile_lists_are_refused() {
        let (short, long) = ("a".repeat(40), "b".repeat(64));
        for path in ["../x", "/abs", "a\\\\b", "a\\u0000b", ""] {
            assert!(matches!(files(&node(path, &short, "")), Err(AnswerProblem::Name(_))), "{path}");
        }
        for oid in ["../../x", "", &short[1..], &format!("/{}", &short[1..])] {
            assert!(matches!(files(&node("x", oid, "")), Err(AnswerProblem::Name(_))), "{oid}");
        }
        let lying = format!(r#", "lfs": {{"oid": "{long}", "size": 8}}"#);
        assert!(matches!(files(&node("x", &short, &lying)), Err(AnswerProblem::TwoSizes { .. })));
        let one = node("x", &short, "");
        let twice = format!("{},{}", &one[..one.len() - 1], &one[1..]);
        assert!(matches!(files(&twice), Err(AnswerProblem::Twice { .. })));
        let deep = "[".repeat(100_000);
        for text in ["", "{}", "[1]", "null", &deep] {
            assert!(matches!(files(text), Err(AnswerProblem::Json(_))), "{text:.20}");
        }
    }

    #[test]
    fn branches_that_cannot_be_named_are_left_out() {
        let commit = "c".repeat(40);
        let text = |name: &str, commit: &str| {
            format!(r#"{{"branches": [{{"name": "{name}", "ref": "x", "targetCommit": "{commit}"}}], "tags": []}}"#)
        };
        assert_eq!(branches(text("step1", &commit).as_bytes()).unwrap()["step1"].as_str(), commit);
        assert!(branches(text("../x", &commit).as_bytes()).unwrap().is_empty());
        assert!(matches!(branches(text("step1", "main").as_bytes()), Err(AnswerProblem::Name(_))));
    }

    #[test]
    fn the_next_page_is_a_query() {
        let link = r#"<https://hub.example/api/x?recursive=true&cursor=a%3D>; rel="next""#;
        assert_eq!(next_page(link), Some("recursive=true&cursor=a%3D"));
        assert_eq!(next_page(r#"<https://hub.example/api/x?a>; rel="prev""#), None);
        assert_eq!(next_page("rel=\"next\""), None);
    }
}
