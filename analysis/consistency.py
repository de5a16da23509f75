"""Check that printed tables agree with themselves and with each other.

Sums and ranges within a table; the same group of patients, or a group and its
parts, across tables; hazard ratios against their limits and p-values.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import numpy as np
from scipy import special

from analysis.errors import AnalysisError
from analysis.printed_tables import PrintedNumber, PrintedTable, Shape
from records.wording import counted

__all__ = [
    "Finding",
    "FindingKind",
    "check_groups",
    "check_hazards",
    "check_means",
    "check_wide",
    "cross_check",
]

Z_95 = 1.959963984540054
FEW = 5  # a hazard ratio resting on fewer patients than this, or this many, is fragile
MOST_ROWS = 0.8  # of shared rows must fit for two columns to be taken for the same patients


class FindingKind(StrEnum):
    """What an audit says of a number."""

    SUM = "sum does not add up"
    CONTRADICTION = "numbers contradict each other"
    FRAGILE = "rests on very few"
    NOT_RECOMPUTABLE = "cannot be recomputed from counts"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing an audit found, with where."""

    kind: FindingKind
    place: str
    sentence: str


def check_groups(table: PrintedTable) -> Iterator[Finding]:
    """Check that the levels of each variable add up to the size of each group."""
    totals = table.totals()
    for variable, rows in table.variables().items():
        sums = {group: sum(int(row[group]) for row in rows) for group in table.groups}
        off = [group for group in table.groups if sums[group] != totals[group]]
        place = f"{table.name}: {variable}"
        is_one = len(rows) > 1 and sum(bool(row.get("paper_p")) for row in rows) == 1  # one p for all levels
        found = ", ".join(f"{sums[group]} of {totals[group]}" for group in table.groups)
        if off and is_one and all(sums[group] <= totals[group] for group in off):
            yield Finding(FindingKind.NOTE, place, f"levels add up to {found}: the rest taken for unknown")
        elif off and len(off) == len(table.groups) and not is_one:
            yield Finding(
                FindingKind.NOTE, place, f"levels add up to {found}: taken for findings a patient may share"
            )
        elif off:
            for group in off:
                sentence = f"{group}: levels add up to {sums[group]}, the group has {totals[group]}"
                yield Finding(FindingKind.SUM, place, sentence)
        for row in rows:
            for group in table.groups:
                if int(row[group]) > totals[group]:
                    sentence = f"{row['level']}: {row[group]} of {totals[group]} in {group}"
                    yield Finding(FindingKind.CONTRADICTION, place, sentence)


def check_means(table: PrintedTable) -> Iterator[Finding]:
    """Check means against ranges, and the p-value of a t-test against the spread it implies.

    No standard deviation is printed: the p-value tells which pooled one was
    used, and the printed range which are possible.
    """
    totals, groups = table.totals(), table.groups
    rows = {(row["variable"], row["level"]): row for row in table.rows}
    for variable in dict.fromkeys(row["variable"] for row in table.rows if row["level"] == "mean"):
        place = f"{table.name}: {variable}"
        means, lows, highs = (rows.get((variable, level)) for level in ("mean", "min", "max"))
        if means is None or lows is None or highs is None:
            continue
        cells = [PrintedNumber.parse(row[group]) for row in (means, lows, highs) for group in groups]
        if any(cell is None for cell in cells):
            continue
        for group in groups:
            if not float(lows[group]) <= float(means[group]) <= float(highs[group]):
                sentence = f"{group}: mean {means[group]} outside {lows[group]} to {highs[group]}"
                yield Finding(FindingKind.CONTRADICTION, place, sentence)
        p = printed_p(means.get("paper_p", ""))
        if p is None or len(groups) != 2 or p.is_bound or not 0 < p.value < 1:
            continue
        n = np.array([totals[group] for group in groups], dtype=float)
        mean = np.array([float(means[group]) for group in groups])
        slack = np.array([cell.half_unit for cell in cells[:2] if cell is not None])
        if groups[0].startswith("all"):
            if n[0] <= n[1]:
                continue
            slack = np.array([slack[1], (n * slack).sum() / (n[0] - n[1])])
            n, mean = _remainder(n, mean)
        if n.sum() < 3:
            continue
        difference = abs(float(mean[1] - mean[0]))
        spread = _implied_sd(difference, n, p.value)
        # Rounding may have made the difference, and the p-value's last place hides the rest of it.
        least = _implied_sd(max(0.0, difference - float(slack.sum())), n, max(p.low, 1e-12))
        widest = max(float(highs[group]) - float(lows[group]) for group in groups)
        # No two samples spread wider than with half their values at either end of the range.
        verdict = "possible" if least <= widest / 2 * np.sqrt(n.sum() / (n.sum() - 2)) else "impossible"
        kind = FindingKind.NOTE if verdict == "possible" else FindingKind.CONTRADICTION
        sentence = (
            f"p {p.text} from means {mean[0]:.1f} (n {n[0]:.0f}) and {mean[1]:.1f} (n {n[1]:.0f}) implies a "
            f"pooled standard deviation of {spread:.1f}, {verdict} in a range of {widest:.1f}"
        )
        yield Finding(kind, place, sentence)


def check_wide(table: PrintedTable) -> Iterator[Finding]:
    """Check that each row of a wide table adds up."""
    label, total, categories = wide_columns(table)
    for row in table.rows:
        counted = sum(int(row[name]) for name in categories)
        if total and counted != int(row[total]):
            sentence = f"{row[label]}: categories add up to {counted}, {total} is {row[total]}"
            yield Finding(FindingKind.SUM, table.name, sentence)


def check_hazards(table: PrintedTable) -> Iterator[Finding]:
    """Check hazard ratios against their limits, their p-values, and how many they rest on."""
    for row in table.rows:
        place = f"{table.name}: {row['factor']}, {row['level']}"
        parsed = [PrintedNumber.parse(row.get(name, "")) for name in ("hr", "hr_low", "hr_high")]
        ratio, low, high = parsed
        if ratio is None or low is None or high is None or not np.isfinite(high.value):
            continue
        if not 0 <= low.value <= ratio.value <= high.value or ratio.value == 0:
            sentence = f"{ratio.text} does not lie between its limits, {low.text} and {high.text}"
            yield Finding(FindingKind.CONTRADICTION, place, sentence)
            continue
        centre = PrintedNumber(ratio.value, ratio.decimals, False, ratio.text)
        least = np.sqrt(max(low.low, 1e-12) * high.low)
        most = np.sqrt(low.high * high.high)
        if most < centre.low or least > centre.high:
            sentence = f"{ratio.text} is not the middle of {low.text} to {high.text} on the log scale"
            yield Finding(FindingKind.CONTRADICTION, place, sentence)
        p = printed_p(row.get("multivariate_p", ""))
        if p is not None:
            yield from _check_p(place, ratio, low, high, p)
        if row.get("n", "").isdigit() and int(row["n"]) <= FEW:
            sentence = f"hazard ratio {ratio.text} ({low.text} to {high.text}) rests on {_patients(row['n'])}"
            yield Finding(FindingKind.FRAGILE, place, sentence)
        elif any(int(other["n"]) <= FEW for other in _levels(table, row) if other.get("n", "").isdigit()):
            smallest = min(int(other["n"]) for other in _levels(table, row))
            sentence = f"hazard ratio {ratio.text} is against a level of {_patients(smallest)}"
            yield Finding(FindingKind.FRAGILE, place, sentence)


def cross_check(tables: Iterable[PrintedTable]) -> Iterator[Finding]:
    """Compare columns that stand for the same patients, or for a group and its two parts."""
    columns = list(_columns(tables))
    for first, second in combinations(columns, 2):
        if first.table == second.table or first.total != second.total:
            continue
        shared = sorted(set(first.counts) & set(second.counts))
        off = [key for key in shared if first.counts[key] != second.counts[key]]
        if len(shared) < 4 or len(off) > (1 - MOST_ROWS) * len(shared):
            continue
        yield from _report(
            f"{first.name} and {second.name}", "the same patients", shared, off, first, [second]
        )
    for whole in columns:
        for one, other in combinations(columns, 2):
            if one.table != other.table or one.table == whole.table or one.total + other.total != whole.total:
                continue
            shared = sorted(set(whole.counts) & set(one.counts) & set(other.counts))
            off = [key for key in shared if one.counts[key] + other.counts[key] != whole.counts[key]]
            if len(shared) < 4 or len(off) > (1 - MOST_ROWS) * len(shared):
                continue
            parts = f"{one.name} and {other.name}"
            yield from _report(f"{whole.name}", f"the sum of {parts}", shared, off, whole, [one, other])


def printed_p(text: str) -> PrintedNumber | None:
    """Return a printed p-value; None where there is none, or a word such as NS."""
    try:
        return PrintedNumber.parse(text)
    except AnalysisError:
        return None


def wide_columns(table: PrintedTable) -> tuple[str, str | None, list[str]]:
    """Return the label column, the total column, and the columns of categories of a wide table."""
    label = table.columns[0]
    total = next((name for name in ("total", "n") if name in table.columns), None)
    categories = [
        name for name in table.columns[1:] if name != total and all(row[name].isdigit() for row in table.rows)
    ]
    return label, total, categories


@dataclass(frozen=True, slots=True)
class _Column:
    table: str
    name: str
    total: int
    counts: dict[tuple[str, str], int]


def _columns(tables: Iterable[PrintedTable]) -> Iterator[_Column]:
    for table in tables:
        if table.shape is Shape.GROUPS:
            totals = table.totals()
            for group in table.groups:
                counts = {
                    (variable, row["level"]): int(row[group])
                    for variable, rows in table.variables().items()
                    for row in rows
                }
                yield _Column(table.name, f"{table.name} {group}", totals[group], counts)
        elif table.shape is Shape.HAZARDS and all(row.get("n", "").isdigit() for row in table.rows):
            counts = {(row["factor"], row["level"]): int(row["n"]) for row in table.rows}
            sums = [sum(int(r["n"]) for r in table.rows if r["factor"] == factor) for factor, _ in counts]
            yield _Column(table.name, f"{table.name} n", max(sums), counts)


def _report(
    subject: str,
    relation: str,
    shared: list[tuple[str, str]],
    off: list[tuple[str, str]],
    whole: _Column,
    parts: list[_Column],
) -> Iterator[Finding]:
    for key in off:
        numbers = " + ".join(str(part.counts[key]) for part in parts)
        sentence = f"{key[0]}, {key[1]}: {whole.counts[key]} against {numbers} (taken for {relation})"
        yield Finding(FindingKind.CONTRADICTION, subject, sentence)
    if not off:
        yield Finding(
            FindingKind.NOTE, subject, f"{relation}: of {counted(len(shared), 'shared row')} all agree"
        )


def _patients(number: str | int) -> str:
    return counted(int(number), "patient")


def _remainder(n: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From (everybody, part) to (part, rest)."""
    rest = n[0] - n[1]
    return np.array([n[1], rest]), np.array([mean[1], (n[0] * mean[0] - n[1] * mean[1]) / rest])


def _implied_sd(difference: float, n: np.ndarray, p: float) -> float:
    t = float(special.stdtrit(n.sum() - 2, 1 - p / 2))
    return abs(difference) / (t * float(np.sqrt((1 / n).sum())))


def _check_p(
    place: str, ratio: PrintedNumber, low: PrintedNumber, high: PrintedNumber, p: PrintedNumber
) -> Iterator[Finding]:
    """Check a p-value against Wald's of the printed ratio and limits, allowing for their rounding."""
    narrowest = np.log(max(high.low, 1e-12) / low.high)  # as rounding allows: none at all, perhaps
    widest = np.log(high.high / max(low.low, 1e-12))
    logs = np.log([max(ratio.low, 1e-12), ratio.high])
    smallest = 0.0 if logs[0] < 0 < logs[1] else float(np.abs(logs).min())
    z_low = smallest * 2 * Z_95 / widest
    z_high = float(np.abs(logs).max()) * 2 * Z_95 / narrowest if narrowest > 0 else np.inf
    p_high, p_low = (float(2 * special.ndtr(-z)) for z in (z_low, z_high))
    fits = p_low < p.value if p.is_bound else p_low <= p.high and p.low <= p_high
    if not fits:
        sentence = (
            f"p {p.text}, but {ratio.text} ({low.text} to {high.text}) gives "
            f"{p_low:.2g} to {p_high:.2g} by Wald"
        )
        yield Finding(FindingKind.CONTRADICTION, place, sentence)
    if (low.low > 1 or high.high < 1) != (p.value < 0.05) and not p.is_bound:
        sentence = f"p {p.text} and the limits {low.text} to {high.text} disagree about significance"
        yield Finding(FindingKind.CONTRADICTION, place, sentence)


def _levels(table: PrintedTable, row: dict[str, str]) -> list[dict[str, str]]:
    return [other for other in table.rows if other["factor"] == row["factor"]]
