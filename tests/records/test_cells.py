"""Cells that a spreadsheet does not run, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.cells import guarded, unguarded

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
