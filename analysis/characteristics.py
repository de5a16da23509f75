"""Tables of who the patients are: groups compared, each p-value naming its test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.comparisons import (
    CountTest,
    MeanTest,
    compare_counts,
    compare_means,
    compare_several_means,
    summarise,
)
from analysis.errors import AnalysisError, Problem
from analysis.plan import Factor, Plan
from analysis.tables import Row, Table, format_p

__all__ = ["Group", "characteristics", "compare_kept", "cross_table", "levels_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A column of a table: its key, its heading, its patients."""

    key: str
    heading: str
    frame: pd.DataFrame


def levels_of(series: pd.Series) -> pd.Series:
    """Return the levels of a column as text; truths are yes and no, unknown stays missing."""
    if pd.api.types.is_bool_dtype(series) or series.dtype == "boolean":
        return series.astype("boolean").map({True: "yes", False: "no"}).astype(object)
    return series.astype(object).where(series.notna())


def characteristics(
    name: str,
    title: str,
    groups: Sequence[Group],
    compared: Sequence[pd.DataFrame],
    plan: Plan,
    *,
    factors: Sequence[Factor] | None = None,
    notes: Sequence[str] = (),
) -> Table:
    """Describe groups side by side.

    Parameters
    ----------
    groups : sequence of Group
        The columns.
    compared : sequence of DataFrame
        The disjoint groups the p-values compare, which may differ from the columns.
    factors : sequence of Factor, optional
        Default: the plan's; those the table does not have are left out, and said so.
    """
    wanted = plan.factors if factors is None else factors
    have = groups[0].frame.columns
    rows = [Row("Total", ("total", ""), {g.key: str(len(g.frame)) for g in groups},
                {g.key: float(len(g.frame)) for g in groups})]  # fmt: skip
    absent: list[str] = []
    unknown: dict[str, int] = {}
    for factor in wanted:
        if factor.findings:
            shown = [(level, label) for level, label in factor.levels if factor.column + level in have]
            rows += _findings(factor, shown, groups, compared, plan)
            absent += [factor.label] if not shown else []
            for level, label in shown:
                unknown[label] = _unknown(factor.column + level, groups)
        elif factor.column not in have or all(g.frame[factor.column].isna().all() for g in groups):
            absent.append(factor.label)
        elif factor.levels:
            rows += _levels(factor, groups, compared, plan)
            unknown[factor.label] = _unknown(factor.column, groups)
        else:
            rows += _number(factor, groups, compared, plan)
            unknown[factor.label] = _unknown(factor.column, groups)
    columns = (*((g.key, g.heading) for g in groups), ("paper_p", "p-value"), ("paper_test", "Test"))
    after = [*notes, _conventions(plan)]
    after += (
        [f"Unknown for some: {', '.join(f'{k} ({v})' for k, v in unknown.items() if v)}."]
        if any(unknown.values())
        else []
    )
    after += [f"Not in the data: {', '.join(absent)}."] if absent else []
    return Table(name, title, columns, tuple(rows), tuple(after))


def cross_table(
    name: str,
    title: str,
    frame: Mapping[tuple[str, str], pd.Series],
    levels: Sequence[tuple[str, str]],
    plan: Plan,
) -> Table:
    """Count levels of one column (across) in groups (down, by key and label), with a test of the whole."""
    rows = []
    counts = []
    for (key, label), series in frame.items():
        found = levels_of(series).value_counts()
        line = [int(found.get(level, 0)) for level, _ in levels]
        counts.append(line)
        total = sum(line)
        cells = {
            level: f"{n} ({100 * n / total:.0f})" if total else str(n)
            for (level, _), n in zip(levels, line, strict=True)
        }
        values = {level: float(n) for (level, _), n in zip(levels, line, strict=True)}
        rows.append(Row(label, (key, ""), {**cells, "total": str(total)}, {**values, "total": float(total)}))
    test = compare_kept(np.array(counts), plan)
    notes = [_conventions(plan)]
    if test is not None:
        notes.insert(
            0, f"Groups compared over all columns: p {format_p(test.p_value)} ({test.test}, {test.reason})."
        )
    return Table(name, title, (*levels, ("total", "Total")), tuple(rows), tuple(notes))


def compare_kept(table: np.ndarray, plan: Plan) -> CountTest | None:
    """Test a table without its empty rows and columns; None where nothing is left to compare."""
    kept = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if min(kept.shape, default=0) < 2:
        return None
    return compare_counts(kept, plan.counts)


def _unknown(column: str, groups: Sequence[Group]) -> int:
    """Count the patients of all groups of whom a column is not known; one group may hold those of another."""
    return len(set().union(*(g.frame.index[g.frame[column].isna()] for g in groups)))


def _levels(
    factor: Factor, groups: Sequence[Group], compared: Sequence[pd.DataFrame], plan: Plan
) -> list[Row]:
    counts = [levels_of(frame[factor.column]).value_counts() for frame in compared]
    table = np.array([[int(count.get(level, 0)) for level, _ in factor.levels] for count in counts])
    p_cells, p_values = _p_cells(compare_kept(table, plan) if len(compared) > 1 else None)
    rows = [Row(factor.label, (factor.name, ""), is_heading=True)]
    shown = {g.key: levels_of(g.frame[factor.column]).value_counts() for g in groups}
    for number, (level, label) in enumerate(factor.levels):
        cells, values = _share_cells({key: int(count.get(level, 0)) for key, count in shown.items()}, groups)
        first = number == 0
        rows.append(
            Row(
                label,
                (factor.name, level),
                {**cells, **(p_cells if first else {})},
                {**values, **(p_values if first else {})},
            )
        )
    return rows


def _findings(
    factor: Factor,
    shown: Sequence[tuple[str, str]],
    groups: Sequence[Group],
    compared: Sequence[pd.DataFrame],
    plan: Plan,
) -> list[Row]:
    rows = [Row(factor.label, (factor.name, ""), is_heading=True)] if shown else []
    for level, label in shown:
        column = factor.column + level
        pairs = []
        for frame in compared:
            known = frame[column].dropna().astype(bool)
            pairs.append([int(known.sum()), int((~known).sum())])
        p_cells, p_values = _p_cells(compare_kept(np.array(pairs), plan) if len(compared) > 1 else None)
        counts = {g.key: int(g.frame[column].fillna(False).astype(bool).sum()) for g in groups}
        cells, values = _share_cells(counts, groups)
        rows.append(Row(label, (factor.name, level), {**cells, **p_cells}, {**values, **p_values}))
    return rows


def _number(
    factor: Factor, groups: Sequence[Group], compared: Sequence[pd.DataFrame], plan: Plan
) -> list[Row]:
    cells: dict[str, str] = {}
    values: dict[str, float] = {}
    lows: dict[str, float] = {}
    highs: dict[str, float] = {}
    if not pd.api.types.is_numeric_dtype(groups[0].frame[factor.column]):
        sentence = f"the factor '{factor.name}' needs levels: '{factor.column}' does not hold numbers"
        raise AnalysisError(Problem.BAD_PLAN, sentence)
    for group in groups:
        known = group.frame[factor.column].dropna().astype(float)
        if len(known) == 0:
            continue
        cells[group.key] = f"{known.mean():.1f} ({known.min():.1f}–{known.max():.1f})"
        values[group.key] = float(known.mean())
        lows[group.key], highs[group.key] = float(known.min()), float(known.max())
    p_cells, p_values = _p_cells(_mean_test(factor, compared, plan))
    text = {key: f"{value:.1f}" for key, value in {**lows}.items()}
    return [
        Row(factor.label, (factor.name, "mean"), {**cells, **p_cells}, {**values, **p_values}),
        Row("  least", (factor.name, "min"), text, lows),
        Row("  greatest", (factor.name, "max"), {k: f"{v:.1f}" for k, v in highs.items()}, highs),
    ]


def _mean_test(factor: Factor, compared: Sequence[pd.DataFrame], plan: Plan) -> MeanTest | None:
    if len(compared) < 2:
        return None
    try:
        groups = [summarise(frame[factor.column].dropna().astype(float)) for frame in compared]
        if len(groups) == 2:
            return compare_means(groups[0], groups[1], equal_variances=plan.equal_variances)
        return compare_several_means(groups)
    except AnalysisError as error:
        if error.problem in (Problem.BAD_INPUT, Problem.NOT_ESTIMABLE):
            return None
        raise


def _share_cells(
    counts: Mapping[str, int], groups: Sequence[Group]
) -> tuple[dict[str, str], dict[str, float]]:
    sizes = {g.key: len(g.frame) for g in groups}
    cells = {key: f"{n} ({100 * n / sizes[key]:.0f})" if sizes[key] else str(n) for key, n in counts.items()}
    return cells, {key: float(n) for key, n in counts.items()}


def _p_cells(test: CountTest | MeanTest | None) -> tuple[dict[str, str], dict[str, float]]:
    if test is None:
        return {}, {}
    return {"paper_p": format_p(test.p_value), "paper_test": test.test.value}, {"paper_p": test.p_value}


def _conventions(plan: Plan) -> str:
    means = "unpaired t-test (pooled variances)" if plan.equal_variances else "Welch's t-test"
    return (
        f"Data are n (%) or mean (range). Counts by the rule '{plan.counts}' (chi-squared without continuity "
        f"correction, or Fisher's exact test), means by {means}; each p-value names its test."
    )
