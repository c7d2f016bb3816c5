"""Compares the tables of two output folders bit for bit, after renames.

    python columns.py BEFORE AFTER [--map renames_v4.json]

BEFORE and AFTER are output folders of `pythia run`, or their `results` folders. Every Parquet file below BEFORE must
have its counterpart below AFTER and the other way round, with the same columns in the same order, the same types, the
same rows and the same metadata. Floats are equal when their bits are, so 0.0 differs from -0.0 and each NaN from other
NaNs; nulls must be in the same places. Prints what was compared per table, and every difference by file, column and
row. Exit code 1 when anything differs, is missing or is not there to compare, 2 on wrong usage.

The map is a JSON object of renames from BEFORE to AFTER, all parts optional:

    {"tables": {"old": "new"},                   folders below `results`
     "columns": {"KIND": {"old": "new"}},        by kind of probe, from the file's metadata; "*" holds for every kind
     "metadata": {"old": "new"},                 keys of the file's metadata
     "metadata_ignored": ["key"]}                keys, in their new spelling, that are not compared

A rename must apply: a column under its old name in AFTER, or under its new name in BEFORE, is a difference.
Needs Python 3.10 and polars 2.1.
"""

import argparse
import json
import sys
from array import array
from collections import defaultdict
from pathlib import Path

import polars as pl

PARTS = ("tables", "columns", "metadata", "metadata_ignored")
SHOWN = 20


def results(folder):
    """The folder of tables, given it or the output folder around it."""
    inner = folder / "results"
    return inner if inner.is_dir() else folder


def files(folder):
    """Every part of every table, by path below `folder`."""
    return {path.relative_to(folder) for path in folder.rglob("*.parquet")}


def bits(column):
    """The values of a column without nulls as bytes, a float by its bits."""
    if column.dtype == pl.Float64:
        return array("d", column.to_list())
    if column.dtype == pl.Float32:
        return array("f", column.to_list())
    return column.to_list()


def row_of_difference(before, after):
    """The first row in which two columns of one type and length differ, or None."""
    if before.is_null().to_list() != after.is_null().to_list():
        pairs = zip(before.is_null(), after.is_null(), strict=True)
        return next(row for row, (a, b) in enumerate(pairs) if a != b)
    present = before.is_not_null().arg_true().to_list()
    a, b = bits(before.drop_nulls()), bits(after.drop_nulls())
    if isinstance(a, array):
        if a.tobytes() == b.tobytes():
            return None
        size = a.itemsize
        a, b = a.tobytes(), b.tobytes()
        ends = ((at * size, (at + 1) * size) for at in range(len(present)))
        return next(row for row, (start, end) in zip(present, ends) if a[start:end] != b[start:end])
    return next((row for row, x, y in zip(present, a, b, strict=True) if x != y), None)


def shown(value):
    """A value as it is told: a float with its bits."""
    return f"{value!r} ({value.hex()})" if isinstance(value, float) else repr(value)


class Comparison:
    """Two folders, the renames between them, and what was found."""

    def __init__(self, before, after, renames):
        self.before, self.after, self.renames = results(before), results(after), renames
        self.differences = []
        self.compared = defaultdict(lambda: [0, 0, 0, 0])

    def run(self):
        """Compares everything; the differences stand in `differences`."""
        old, new = files(self.before), files(self.after)
        renamed = {path: self.counterpart(path) for path in old}
        for path in sorted(old):
            if renamed[path] in new:
                self.file(path, renamed[path])
            else:
                self.differ(path, f"there is no {renamed[path]} after")
        for path in sorted(new - set(renamed.values())):
            self.differ(path, "there was none before")
        if not self.compared:
            self.differences.append(f"nothing was compared: no Parquet file in {self.before} has its counterpart")

    def counterpart(self, path):
        """The path of a part after the renames."""
        table, *rest = path.parts
        return Path(self.renames.get("tables", {}).get(table, table), *rest)

    def differ(self, path, what):
        self.differences.append(f"{path}: {what}")

    def columns(self, kind):
        """The renames of a kind's columns."""
        columns = self.renames.get("columns", {})
        return columns.get("*", {}) | columns.get(kind, {})

    def file(self, old, new):
        """One part of a table."""
        metadata = self.metadata(old, new)
        kind = metadata.get("pythia.kind", old.parts[0])
        before, after = pl.read_parquet(self.before / old), pl.read_parquet(self.after / new)
        renames = self.columns(kind)
        names = [renames.get(name, name) for name in before.columns]
        if names != after.columns:
            return self.differ(new, f"columns {names} before, renamed, and {after.columns} after")
        before.columns = names
        if before.height != after.height:
            return self.differ(new, f"{before.height} rows before and {after.height} after")
        for name in names:
            self.column(new, before[name], after[name])
        counts = self.compared[new.parts[0]]
        for at, number in enumerate((1, before.height, before.height * before.width)):
            counts[at] += number
        counts[3] = max(counts[3], before.width)

    def column(self, path, before, after):
        if before.dtype != after.dtype:
            return self.differ(path, f"{before.name} is {before.dtype} before and {after.dtype} after")
        row = row_of_difference(before, after)
        if row is not None:
            values = f"{shown(before[row])} before and {shown(after[row])} after"
            self.differ(path, f"{before.name}, row {row}: {values}")

    def metadata(self, old, new):
        """Compares the metadata of a part and returns that of before."""
        before = pl.read_parquet_metadata(self.before / old)
        after = pl.read_parquet_metadata(self.after / new)
        renames = self.renames.get("metadata", {})
        ignored = set(self.renames.get("metadata_ignored", [])) | {"ARROW:schema"}
        expected = {renames.get(key, key): value for key, value in before.items()}
        for key in sorted((expected.keys() | after.keys()) - ignored):
            if expected.get(key) != after.get(key):
                self.differ(new, f"metadata {key}: {expected.get(key)!r} before and {after.get(key)!r} after")
        return before

    def report(self):
        """What was compared, and what differs."""
        for table, (parts, rows, values, width) in sorted(self.compared.items()):
            print(f"{table}: {parts} files, {rows} rows x {width} columns, {values} values")
        values = sum(counts[2] for counts in self.compared.values())
        for difference in self.differences[:SHOWN]:
            print(f"DIFFERENT {difference}")
        if len(self.differences) > SHOWN:
            print(f"... and {len(self.differences) - SHOWN} differences more")
        print(f"{len(self.compared)} tables, {values} values compared, {len(self.differences)} differences")


def read_map(path):
    """The renames, checked for keys that mean nothing."""
    renames = json.loads(path.read_text(encoding="utf-8")) if path else {}
    unknown = sorted(renames.keys() - set(PARTS))
    if unknown:
        raise ValueError(f"{path} has the keys {unknown}; known are {list(PARTS)}")
    return renames


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="an output folder, or its results")
    parser.add_argument("after", type=Path, help="an output folder, or its results")
    parser.add_argument("--map", type=Path, help="JSON file of renames")
    arguments = parser.parse_args(arguments)
    for folder in (arguments.before, arguments.after):
        if not folder.is_dir():
            parser.error(f"{folder} is no folder")
    try:
        renames = read_map(arguments.map)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    comparison = Comparison(arguments.before, arguments.after, renames)
    comparison.run()
    comparison.report()
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
