#!/usr/bin/env python3
"""What is linked into `pythia`: a bill of materials (CycloneDX, JSON) and the licences' texts.

    release/inventory.py TARGET OUT

writes OUT/pythia.cdx.json and OUT/THIRD_PARTY.txt for a build with the GPU backend. Both list the crates whose code is
in the binary: not build scripts, macros or tests, and nothing of other systems. The same sources give the same bytes.
"""

import hashlib
import json
import re
import subprocess
import sys
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Texts of licences as crates name their files. Crates that bring C have those of the C below their own.
TEXTS = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
# Folders whose texts are about something that is not compiled, and file types that are not texts.
NOT_LINKED = {"test", "tests", "testdata", "benches", "examples", "doc", "docs", "contrib", "target", ".git"}
NOT_TEXTS = {".rs", ".c", ".h", ".py", ".json", ".toml", ".html", ".png", ".svg"}


def cargo(*arguments):
    command = ["cargo", *arguments, "--locked"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(target):
    """Name and version of each crate in the binary, with the features that the build has."""
    edges = "normal,no-proc-macro"
    tree = cargo(
        "tree", "--package", "experiments", "--features", "gpu", "--edges", edges, "--target", target,
        "--prefix", "none", "--format", "{p}",
    )
    return {tuple(line.split()[:2]) for line in tree.splitlines() if line}


def packages(target):
    """The packages in the binary as `cargo metadata` describes them, this project's own first."""
    metadata = json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", target, "--features", "gpu"))
    wanted = linked(target)
    found = [package for package in metadata["packages"] if (package["name"], "v" + package["version"]) in wanted]
    assert len(found) == len(wanted), "cargo tree and cargo metadata disagree"
    return sorted(found, key=lambda package: (package["source"] is not None, package["name"], package["version"]))


def checksums():
    """SHA-256 of each package's archive, from Cargo.lock."""
    lock = (ROOT / "Cargo.lock").read_text()
    row = r'name = "([^"]+)"\nversion = "([^"]+)"\nsource = "[^"]+"\nchecksum = "([0-9a-f]{64})"'
    return {(name, version): checksum for name, version, checksum in re.findall(row, lock)}


def licence(package):
    """The SPDX expression. Old manifests write `/` for OR."""
    expression = package["license"]
    assert expression, f"{package['name']} names no licence"
    return re.sub(r"\s*/\s*", " OR ", expression)


def texts(package):
    """Path below the package and text of each of its licence files."""
    folder = Path(package["manifest_path"]).parent
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if TEXTS.match(path.name) and path.suffix not in NOT_TEXTS and not NOT_LINKED & set(below.parts[:-1]):
            if path.is_file():
                yield below.as_posix(), path.read_text(errors="replace").strip().replace("\r\n", "\n")


def component(package, archives):
    name, version = package["name"], package["version"]
    row = {
        "type": "library", "name": name, "version": version, "bom-ref": f"{name}@{version}",
        "licenses": [{"expression": licence(package)}],
    }
    if package["source"]:
        row["purl"] = f"pkg:cargo/{name}@{version}"
    if archive := archives.get((name, version)):
        row["hashes"] = [{"alg": "SHA-256", "content": archive}]
    if package["repository"]:
        row["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return row


def bill_of_materials(found, target):
    archives = checksums()
    ours = next(package for package in found if package["name"] == "experiments")
    rows = [component(package, archives) for package in found if package is not ours]
    program = {
        "type": "application", "name": "pythia", "version": ours["version"], "bom-ref": "pythia",
        "licenses": [{"expression": licence(ours)}],
        "properties": [{"name": "target", "value": target}, {"name": "features", "value": "gpu"}],
    }
    content = {"components": rows, "metadata": {"component": program}}
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": f"urn:uuid:{serial}", "version": 1}
    return {**head, **content}


def third_party(found):
    """Each text once, below the packages that have it."""
    asked = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    rustc = asked.stdout.strip()
    rows, users, bodies = [], {}, {}
    for package in found:
        if package["source"] is None:
            continue
        name, own = f"{package['name']} {package['version']}", list(texts(package))
        where = package["repository"] or package["homepage"] or "no address is given"
        rows.append(f"{name}: {licence(package)} ({where})" + ("" if own else "; the package has no text of it"))
        for path, text in own:
            key = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
            bodies.setdefault(key, text)
            users.setdefault(key, []).append(f"{name} ({path})")
    line = "=" * 100
    head = (
        "Software of others that is part of the program `pythia`\n\n"
        "Each package with its licence and the address of its sources. The texts follow below the list. Where a\n"
        "package has no text, the text of that licence is below another package's name. The standard library of\n"
        f"{rustc} is part of the program too, under MIT OR Apache-2.0.\n\n" + "\n".join(rows) + "\n"
    )
    parts = [f"{line}\n" + "\n".join(users[key]) + f"\n{line}\n\n{bodies[key]}\n" for key in users]
    return "\n".join([head, *parts])


def main(target, out):
    found = packages(target)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    bill = json.dumps(bill_of_materials(found, target), indent=1, ensure_ascii=False)
    (out / "pythia.cdx.json").write_text(bill + "\n", encoding="utf-8")
    (out / "THIRD_PARTY.txt").write_text(third_party(found), encoding="utf-8")
    print(f"{len(found)} packages are linked into the program for {target}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: release/inventory.py TARGET OUT")
    main(*sys.argv[1:])
