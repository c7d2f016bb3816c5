//! The hub's lists.

use serde_json::{Value, json};

use super::{MockFile, MockRepo};

/// `/api/models/ID/refs`.
pub(super) fn refs(repo: &MockRepo) -> String {
    let branch = |(name, commit): (&String, &String)| {
        let full = format!("refs/heads/{name}");
        json!({"name": name, "ref": full, "targetCommit": commit})
    };
    let branches: Vec<Value> = repo.branches.iter().map(branch).collect();
    json!({"branches": branches, "tags": [], "converts": []}).to_string()
}

/// `/api/models/ID/tree/COMMIT`, one page of it.
pub(super) fn tree(files: &[MockFile]) -> String {
    let nodes: Vec<Value> = files.iter().map(node).collect();
    Value::from(nodes).to_string()
}

fn node(file: &MockFile) -> Value {
    let MockFile { name, size, oid, .. } = file;
    if file.is_large() {
        let pointer = format!("{:0>40}", &oid[..8]);
        let lfs = json!({"oid": oid, "size": size, "pointerSize": 134});
        json!({"type": "file", "oid": pointer, "size": size, "path": name, "lfs": lfs})
    } else {
        json!({"type": "file", "oid": oid, "size": size, "path": name})
    }
}
