"""Tables as a paper prints them, read from CSV files.

Three shapes are known. *Groups*: `variable, level`, then a column of counts a
group (`NAME_n`), and optionally `paper_p, paper_test`. *Wide*: a row a group, a
column a category, `total` or `n`, and optionally rates and p-values.
*Hazards*: `factor, level, n`, with hazard ratios, limits and p-values.
"""

import csv
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from analysis.errors import AnalysisError, Problem

__all__ = ["PrintedNumber", "PrintedTable", "Shape", "read_tables"]

TOTAL = "total"
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
        If there is none, or one has rows of unequal length.
    """
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        raise AnalysisError(Problem.BAD_INPUT, f"{folder} holds no CSV file")
    tables = []
    for path in paths:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if any(cell.strip() for cell in line)]
        if len(lines) < 2:
            raise AnalysisError(Problem.BAD_INPUT, f"{path.name} has no rows")
        header = [cell.strip() for cell in lines[0]]
        for number, line in enumerate(lines[1:], start=2):
            if len(line) != len(header):
                raise AnalysisError(
                    Problem.BAD_INPUT,
                    f"{path.name}, row {number}: expected {len(header)} cells, found {len(line)}",
                )
        rows = tuple(dict(zip(header, (cell.strip() for cell in line), strict=True)) for line in lines[1:])
        tables.append(PrintedTable(path.stem, tuple(header), rows))
    return tuple(tables)
