"""A paper's printed tables and ours, cell by cell, with the reason where they differ."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.comparisons import CountRule
from analysis.errors import AnalysisError
from analysis.printed_tables import PrintedNumber, PrintedTable, Shape
from analysis.publication import audit_tables
from analysis.recompute import Recomputed
from analysis.tables import Row, Table, format_p

__all__ = ["CellComparison", "side_by_side"]

SURVIVAL = (
    "median_os_months",
    "univariate_p",
    "hr",
    "hr_low",
    "hr_high",
    "multivariate_p",
    "median_pfs_months",
    "pfs_p",
)
NAMES = {"partial_response": "PR", "non_progressive_disease": "NPD", "progressive_disease": "PD"}


@dataclass(frozen=True, slots=True)
class CellComparison:
    """One cell: what is printed, what we have, whether they agree to the printed digits, and why not."""

    table: str
    row: str
    column: str
    printed: str
    ours: str
    is_same: bool
    reason: str


def side_by_side(printed: Sequence[PrintedTable], ours: Sequence[Table]) -> tuple[CellComparison, ...]:
    """Compare every printed number that has a counterpart among our tables."""
    audited = {p.place: p for p in audit_tables(printed, rule=CountRule.EXPECTED_BELOW_5).p_values}
    by_name = {table.name: table for table in ours}
    found: list[CellComparison] = []
    for table in printed:
        if table.name in by_name:
            found += _compare(table, by_name[table.name], audited)
    return tuple(found)


def _compare(printed: PrintedTable, ours: Table, audited: dict[str, Recomputed]) -> Iterator[CellComparison]:
    rows = {row.key: row for row in ours.rows}
    keys = printed.columns[:2] if printed.shape is not Shape.WIDE else printed.columns[:1]
    for line in printed.rows:
        key = (line[keys[0]], line[keys[1]] if len(keys) > 1 else "")
        row = rows.get(key)
        for column in printed.columns[len(keys) :]:
            number = _number(line[column])
            if number is None:
                continue
            where = ", ".join(part for part in key if part)
            yield _cell(printed, where, column, number, row, audited)


def _cell(
    printed: PrintedTable,
    where: str,
    column: str,
    number: PrintedNumber,
    row: Row | None,
    audited: dict[str, Recomputed],
) -> CellComparison:
    value = None if row is None else row.values.get(NAMES.get(column, column))
    if value is None:
        text = "reference" if column == "hr" and number.value == 1 else ""
        reason = "the reference level" if text else "not printed here"
        return CellComparison(printed.name, where, column, number.text, text, bool(text), reason)
    shown = format_p(value) if column.endswith("_p") else f"{value:.{max(number.decimals, 1)}f}"
    if number.decimals == 0 and (column.endswith("_n") or column in ("n", "total")):
        shown = f"{value:.0f}"
    same = number.agrees_with(value)
    reason = "" if same else _reason(printed, where, column, audited)
    return CellComparison(printed.name, where, column, number.text, shown, same, reason)


def _reason(printed: PrintedTable, where: str, column: str, audited: dict[str, Recomputed]) -> str:
    if column in SURVIVAL:
        return "rests on each patient's follow-up, which is not printed"
    if column == "paper_p" and where.startswith("age_years"):
        return "rests on each patient's age, of which mean and range are printed"
    place = f"{printed.name}: {where}" if printed.shape is Shape.GROUPS else printed.name
    for name in (place, place.rsplit(",", 1)[0]):
        p = audited.get(name)
        if p is not None and p.departs_from_rule:
            return f"the paper used {p.used} where its rule asks for {p.rule_test}"
        if p is not None and not p.matches:
            return "no test gives the printed number from the printed counts"
    return "differs"


def _number(text: str) -> PrintedNumber | None:
    try:
        return PrintedNumber.parse(text)
    except AnalysisError:  # a name, such as that of a test
        return None
