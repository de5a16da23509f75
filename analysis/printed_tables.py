"""Tables as a paper prints them, read from CSV files.

Three shapes are known. *Groups*: `variable, level`, then a column of counts a
group (`NAME_n`; `35 (58)` counts 35), and optionally `paper_p, paper_test`. *Wide*: a row a group, a
column a category, `total` or `n`, and optionally rates and p-values.
*Hazards*: `factor, level, n`, with hazard ratios, limits and p-values.
"""

import csv
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from analysis.csvtable import separator_of, text_of
from analysis.errors import AnalysisError, Problem
from records.cells import unguarded
from records.wording import counted

__all__ = ["PrintedNumber", "PrintedTable", "Shape", "read_tables"]

TOTAL = "total"
COUNT_AND_SHARE = re.compile(r"^(\d+)\s*\([^()]*\)$")
WORDS = ("variable", "level", "factor", "n", "total", "hr", "hr_low", "hr_high", "paper_p", "paper_test")
MEASURES = ("mean", "median", "min", "max", "sd")  # levels that are not counts


class Shape(StrEnum):
    """How a printed table is laid out."""

    GROUPS = "groups"
    WIDE = "wide"
    HAZARDS = "hazards"


@dataclass(frozen=True, slots=True)
class PrintedNumber:
    """A number with the digits it was printed with.

    Attributes
    ----------
    value : float
    decimals : int
        Places after the point.
    is_bound : bool
        Printed as "< value".
    """

    value: float
    decimals: int
    is_bound: bool
    text: str

    @classmethod
    def parse(cls, text: str) -> "PrintedNumber | None":
        """Return the number, or None where nothing is printed."""
        stripped = text.strip()
        digits = stripped.lstrip("<").strip()
        if not digits:
            return None
        try:
            value = float(digits)
        except ValueError:
            raise AnalysisError(Problem.BAD_INPUT, f"{text!r} is not a number") from None
        decimals = len(digits.partition(".")[2])
        return cls(value, decimals, stripped.startswith("<"), stripped)

    @property
    def half_unit(self) -> float:
        """Half of the last printed place."""
        return 0.5 * 10.0**-self.decimals

    @property
    def low(self) -> float:
        """The least number that rounds to this."""
        return self.value - self.half_unit

    @property
    def high(self) -> float:
        """The largest number that rounds to this."""
        return self.value + self.half_unit

    def agrees_with(self, value: float) -> bool:
        """Whether a computed number would be printed so."""
        if self.is_bound:
            return value < self.value
        return abs(value - self.value) <= self.half_unit * (1 + 1e-6)


@dataclass(frozen=True, slots=True)
class PrintedTable:
    """One table: its columns and its rows as text."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]

    @property
    def shape(self) -> Shape:
        """How it is laid out."""
        if {"factor", "level", "hr"} <= set(self.columns):
            return Shape.HAZARDS
        if {"variable", "level"} <= set(self.columns):
            return Shape.GROUPS
        return Shape.WIDE

    @property
    def is_known(self) -> bool:
        """Whether anything in it can be checked: a wide table by sizes, rates or p-values of its rows."""
        ends = ("_rate", "_p")
        return self.shape is not Shape.WIDE or any(
            name in ("n", TOTAL) or name.endswith(ends) for name in self.columns
        )

    @property
    def groups(self) -> tuple[str, ...]:
        """Columns of counts, a group each."""
        return tuple(name for name in self.columns if name.endswith("_n"))

    def totals(self) -> dict[str, int]:
        """Return the size of each group, from the row `total`."""
        for row in self.rows:
            if row["variable"] == TOTAL:
                return {group: int(row[group]) for group in self.groups}
        raise AnalysisError(Problem.BAD_INPUT, f"{self.name} has no row 'total'")

    def variables(self) -> dict[str, list[dict[str, str]]]:
        """Return rows of counts by variable, in order, without the total."""
        found: dict[str, list[dict[str, str]]] = {}
        for row in self.rows:
            if row["variable"] != TOTAL and row["level"] not in MEASURES:
                found.setdefault(row["variable"], []).append(row)
        return found


def read_tables(folder: Path) -> tuple[PrintedTable, ...]:
    """Read every CSV file of a folder.

    Raises
    ------
    AnalysisError
        If there is none, one is no CSV in UTF-8, has rows of unequal length or
        two columns of one name, or a count in it is none.
    """
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        raise AnalysisError(Problem.BAD_INPUT, f"{folder} holds no CSV file")
    return tuple(_read(path) for path in paths)


def _read(path: Path) -> PrintedTable:
    text = text_of(path)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator_of(text))
    lines = [
        (number, [unguarded(cell.strip()) for cell in line])
        for number, line in enumerate(reader, start=1)
        if any(cell.strip() for cell in line)
    ]
    if len(lines) < 2:
        raise AnalysisError(Problem.BAD_INPUT, f"{path.name} has no rows")
    header = [name.lower() if name.lower() in WORDS else name for name in lines[0][1]]
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise AnalysisError(Problem.BAD_INPUT, f"{path.name} has two columns {twice!r}")
    for number, line in lines[1:]:
        if len(line) != len(header):
            sentence = (
                f"{path.name}, row {number}: expected {counted(len(header), 'cell')}, found {len(line)}"
            )
            raise AnalysisError(Problem.BAD_INPUT, sentence)
    rows = [dict(zip(header, line, strict=True)) for _, line in lines[1:]]
    table = PrintedTable(path.stem, tuple(header), tuple(rows))
    for (number, _), row in zip(lines[1:], rows, strict=True):
        for name in header if table.shape is Shape.WIDE else (*table.groups, "n"):
            if name in row:
                row[name] = COUNT_AND_SHARE.sub(r"\1", row[name])
        for name in _counted(table, row):
            if not row[name].isdigit():
                sentence = f"{path.name}, row {number}: {name} {row[name]!r} is no count"
                raise AnalysisError(Problem.BAD_INPUT, sentence)
    return table


def _counted(table: PrintedTable, row: dict[str, str]) -> tuple[str, ...]:
    """Return the columns of a row that have to hold counts."""
    if table.shape is Shape.GROUPS and row["level"] not in MEASURES:
        return table.groups
    return ("total",) if table.shape is Shape.WIDE and "total" in row else ()
