"""Runs the Polars code under every figure of a report and compares its result with the figure's CSV.

    python tests/report/lines.py out/demo

Needs polars. The data of a figure may lack rows that tie with its last curve; they never have a row that the code does
not give.
"""

import ast
import os
import sys
from html.parser import HTMLParser
from pathlib import Path

import polars as pl


class Lines(HTMLParser):
    """The text of each figure's fold "Polars (Python)", by the figure's id."""

    def __init__(self):
        super().__init__()
        self.figure, self.summary, self.code, self.wanted = None, False, False, False
        self.found = {}

    def handle_starttag(self, tag, attrs):
        if tag == "figure":
            self.figure = dict(attrs)["id"]
        self.summary = self.summary or tag == "summary"
        self.code = self.code or tag == "pre"

    def handle_endtag(self, tag):
        # The lines stand behind their figure, so the last one that began is theirs.
        if tag == "summary":
            self.summary = False
        elif tag == "pre":
            self.code = False
            self.wanted = False

    def handle_data(self, data):
        if self.summary and data.startswith("Polars ("):
            self.wanted = data == "Polars (Python)"
        elif self.code and self.wanted and self.figure:
            self.found[self.figure] = self.found.get(self.figure, "") + data


def value_of(lines):
    """What the last expression of the lines gives."""
    tree = ast.parse(lines)
    last = ast.Expression(tree.body.pop().value)
    scope = {}
    exec(compile(tree, "lines", "exec"), scope)
    return eval(compile(last, "lines", "eval"), scope)


def rows(frame, columns):
    def cell(value):
        return round(value, 9) if isinstance(value, float) else value

    return {tuple(cell(value) for value in row) for row in frame.select(columns).rows()}


def main():
    folder = Path(sys.argv[1])
    page = Lines()
    page.feed((folder / "report.html").read_text(encoding="utf-8"))
    assert page.found, "no lines in the page"
    os.chdir(folder)
    checked = 0
    for figure, lines in page.found.items():
        if "scan_csv" in lines:
            continue  # the published curves are not in the folder
        frame = value_of(lines)
        data = pl.read_csv(Path("figures") / f"{figure}.csv", schema_overrides=frame.schema)
        have, given = rows(data, data.columns), rows(frame, data.columns)
        lacking = f"{figure}: the code does not give {len(have - given)} of {data.height} rows"
        assert data.height > 0 and have <= given, lacking
        assert frame.height <= 2 * data.height, f"{figure}: the code gives {frame.height} rows of {data.height}"
        checked += 1
    assert checked > 0, "every figure is one of published curves, so no code was run"
    print(f"the code under {checked} figures gives their data")
    if checked < len(page.found):
        print(f"left out: {len(page.found) - checked} figures with published curves")


main()
