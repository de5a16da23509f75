"""Cells that a spreadsheet does not run nor part, there and back."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.cells import TableWriter, guarded, unguarded

TEXTS = st.text() | st.text("'=+-@\t\r\n＝１7.e() ", max_size=8)


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1+1", "\r=1", "\n=1", "＝1+1", "-", "-１"],
)
def test_what_a_spreadsheet_would_run_stands_behind_a_quote(cell):
    assert guarded(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["-7", "+1", "-12.50", "-1e-05", "-0.20 (-0.41–0.02)", "7=7", "", "'twas"])
def test_a_number_is_no_formula(cell):
    assert guarded(cell) == cell


@given(TEXTS)
def test_every_text_comes_back(text):
    assert unguarded(guarded(text)) == text


@given(st.lists(st.lists(TEXTS.filter(lambda text: "\0" not in text), min_size=2, max_size=4), max_size=4))
def test_rows_come_back_as_python_reads_them(rows):
    file = io.StringIO(newline="")
    TableWriter(file).writerows(rows)
    assert list(csv.reader(io.StringIO(file.getvalue(), newline=""))) == rows


@pytest.mark.parametrize("cell", ["profuse=no;tiny=yes", "a\tb"])
def test_what_a_spreadsheet_would_part_is_quoted(cell):
    """LibreOffice 7 parts at tabs, commas and semicolons unless told otherwise."""
    file = io.StringIO()
    TableWriter(file).writerow(["P-1", cell, 2.5])
    assert file.getvalue() == f'P-1,"{cell}",2.5\n'
