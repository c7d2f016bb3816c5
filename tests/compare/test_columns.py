"""Tests of columns.py on small tables of their own: `python test_columns.py`."""

import contextlib
import io
import json
import struct
import tempfile
import unittest
from pathlib import Path

import polars as pl

import columns

TABLE = {
    "model": ["tiny"] * 4,
    "step": [0, 0, 0, None],
    "null": [0.5, 0.25, None, float("nan")],
    "value": [1.0, None, -0.0, 3.0],
}
METADATA = {
    "pythia.kind": "head_scores", "pythia.seed": "7", "pythia.config_hash": "old", "pythia.donor_weights_hash": "{}",
}
V4 = Path(__file__).with_name("renames_v4.json")


def next_up(value):
    """The float whose bits are one more."""
    return struct.unpack("<d", struct.pack("<Q", struct.unpack("<Q", struct.pack("<d", value))[0] + 1))[0]


class Folders(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)
        for out in ("before", "after"):
            self.write(out)

    def write(self, out, change=None, metadata=None, name="head_scores/tiny/step000000.parquet"):
        path = self.root / out / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pl.DataFrame({name: list(values) for name, values in TABLE.items()})
        table = change(table) if change else table
        table.write_parquet(path, metadata=METADATA if metadata is None else metadata)

    def compare(self, renames=None):
        arguments = [str(self.root / "before"), str(self.root / "after")]
        if renames is not None:
            path = self.root / "map.json"
            path.write_text(json.dumps(renames), encoding="utf-8")
            arguments += ["--map", str(path)]
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = columns.main(arguments)
        return code, said.getvalue()

    def differs(self, *words, renames=None):
        code, said = self.compare(renames)
        self.assertEqual(code, 1, said)
        for word in words:
            self.assertIn(word, said)

    def test_equal_folders_pass_and_are_counted(self):
        code, said = self.compare()
        self.assertEqual(code, 0, said)
        self.assertIn("head_scores: 1 files, 4 rows x 4 columns, 16 values", said)

    def test_one_bit_differs(self):
        bit = pl.Series("value", [1.0, None, -0.0, next_up(3.0)])
        self.write("after", lambda table: table.with_columns(bit))
        self.differs("value, row 3: 3.0 (0x1.8000000000000p+1) before and 3.0000000000000004")

    def test_signs_of_zero_and_payloads_of_nan_differ(self):
        self.write("after", lambda table: table.with_columns(value=pl.Series([1.0, None, 0.0, 3.0])))
        self.differs("value, row 2: -0.0")
        negative_nan = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000000))[0]
        self.write("after", lambda table: table.with_columns(null=pl.Series([0.5, 0.25, None, negative_nan])))
        self.differs("null, row 3: nan")

    def test_a_null_that_moved_differs(self):
        self.write("after", lambda table: table.with_columns(value=pl.Series([1.0, -0.0, None, 3.0])))
        self.differs("value, row 1: None before and -0.0")

    def test_whole_numbers_and_texts_differ(self):
        self.write("after", lambda table: table.with_columns(step=pl.Series([0, 0, 1, None])))
        self.differs("step, row 2: 0 before and 1 after")
        self.write("after", lambda table: table.with_columns(model=pl.Series(["tiny", "tinY", "tiny", "tiny"])))
        self.differs("model, row 1: 'tiny' before and 'tinY' after")

    def test_a_type_differs(self):
        self.write("after", lambda table: table.with_columns(pl.col("step").cast(pl.Float64)))
        self.differs("step is Int64 before and Float64 after")

    def test_a_row_is_missing(self):
        self.write("after", lambda table: table.head(3))
        self.differs("4 rows before and 3 after")

    def test_order_of_rows_and_columns_counts(self):
        self.write("after", lambda table: table.reverse())
        self.differs("row 0")
        self.write("after", lambda table: table.select("step", "model", "null", "value"))
        self.differs("columns ['model', 'step', 'null', 'value'] before, renamed, and ['step', 'model'")

    def test_a_renamed_column_needs_the_map_and_the_map_needs_it(self):
        rename = {"columns": {"head_scores": {"null": "uniform"}}}
        self.differs("columns", renames=rename)
        self.write("after", lambda table: table.rename({"null": "uniform"}))
        self.differs("columns")
        self.differs("columns", renames={"columns": {"token_loss": {"null": "uniform"}}})
        self.assertEqual(self.compare(rename)[0], 0)
        self.assertEqual(self.compare({"columns": {"*": {"null": "uniform"}}})[0], 0)

    def test_the_map_of_version_four(self):
        after = {"pythia.kind": "head_scores", "pythia.seed": "7", "pythia.config_hash": "new",
                 "pythia.source_weights_hash": "{}"}
        self.write("after", lambda table: table.rename({"null": "uniform"}), after)
        code, said = self.compare(json.loads(V4.read_text(encoding="utf-8")))
        self.assertEqual(code, 0, said)

    def test_metadata_differs(self):
        self.write("after", metadata=METADATA | {"pythia.seed": "8"})
        self.differs("metadata pythia.seed: '7' before and '8' after")
        self.write("after", metadata=METADATA | {"pythia.more": "x"})
        self.differs("metadata pythia.more: None before")
        self.assertEqual(self.compare({"metadata_ignored": ["pythia.more"]})[0], 0)

    def test_missing_and_added_files(self):
        self.write("before", name="token_loss/tiny/step000000.parquet")
        self.differs("there is no token_loss/tiny/step000000.parquet after")
        self.write("after", name="losses/tiny/step000000.parquet")
        self.differs("there was none before")
        self.assertEqual(self.compare({"tables": {"token_loss": "losses"}})[0], 0)

    def test_nothing_to_compare(self):
        for path in self.root.rglob("*.parquet"):
            path.unlink()
        self.differs("nothing was compared")

    def test_wrong_usage(self):
        for renames in ({"colums": {}}, None):
            if renames is None:
                (self.root / "after").rename(self.root / "gone")
            with self.assertRaises(SystemExit) as exit, contextlib.redirect_stderr(io.StringIO()):
                self.compare(renames)
            self.assertEqual(exit.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
