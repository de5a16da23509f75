"""Audit a paper's printed tables: `mipc audit-tables FOLDER`.

Every p-value that printed counts allow is computed under each test a package
offers; the test the paper used is told from the digits, held against the one
it names and the one its rule asks for. What the text says beside the tables can
be given as claims in a TOML file (see `wu2013.toml` in this package).
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.comparisons import CountRule
from analysis.consistency import (
    Finding,
    FindingKind,
    check_groups,
    check_hazards,
    check_means,
    check_wide,
    cross_check,
    wide_columns,
)
from analysis.csvtable import text_of
from analysis.errors import AnalysisError, Problem
from analysis.printed_tables import PrintedNumber, PrintedTable, Shape, read_tables
from analysis.recompute import Recomputed, recompute

__all__ = ["Audit", "Claims", "audit_folder", "audit_tables", "read_claims"]

CountArray = NDArray[np.int64]
NO_SHAPE = "no columns 'variable, level', 'factor, level, hr', 'total', 'n' or p-values"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a paper's text says in numbers: parsed from TOML, keys as in `wu2013.toml`."""

    name: str
    rule: CountRule
    content: dict[str, list[dict[str, Any]]]

    def fits(self, tables: Sequence[PrintedTable]) -> bool:
        """Whether the tables hold the cells by which the claims know their paper."""
        by_name = {table.name: table for table in tables}
        for cell in self.content.get("match", []):
            table = by_name.get(cell["table"])
            rows = [] if table is None else [r for r in table.rows if r[table.columns[0]] == cell["variable"]]
            if not any(row.get(cell["column"]) == cell["value"] for row in rows):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Audit:
    """All an audit found."""

    source: str
    rule: CountRule
    p_values: tuple[Recomputed, ...]
    findings: tuple[Finding, ...]

    def of_kind(self, kind: FindingKind) -> tuple[Finding, ...]:
        """Return findings of one kind."""
        return tuple(finding for finding in self.findings if finding.kind is kind)

    @property
    def departures(self) -> tuple[Recomputed, ...]:
        """Printed p-values whose digits are another test's than the rule's."""
        return tuple(p for p in self.p_values if p.departs_from_rule)

    @property
    def irreproducible(self) -> tuple[Recomputed, ...]:
        """Printed p-values that no test gives."""
        return tuple(p for p in self.p_values if not p.matches)


def audit_folder(folder: Path, *, claims: Claims | None = None, rule: CountRule | None = None) -> Audit:
    """Audit the tables of a folder, with `claims.toml` beside them or a known paper's claims.

    Parameters
    ----------
    folder : Path
    claims : Claims, optional
    rule : CountRule, optional
        In place of the rule that the claims name.

    Raises
    ------
    AnalysisError
        If a table cannot be read, or none is of a known shape.
    """
    tables = read_tables(folder)
    if not any(table.is_known for table in tables):
        names = ", ".join(table.name for table in tables)
        raise AnalysisError(Problem.BAD_INPUT, f"{folder} holds no printed table: {NO_SHAPE} ({names})")
    if claims is None:
        claims = _known_claims(folder, tables)
    rule = rule or (claims.rule if claims else CountRule.EXPECTED_BELOW_5)
    return audit_tables(tables, claims=claims, rule=rule, source=folder.name)


def audit_tables(
    tables: Sequence[PrintedTable],
    *,
    claims: Claims | None = None,
    rule: CountRule = CountRule.EXPECTED_BELOW_5,
    source: str = "tables",
) -> Audit:
    """Audit printed tables.

    Parameters
    ----------
    tables : sequence of PrintedTable
    claims : Claims, optional
        Numbers of the text.
    rule : CountRule
        The rule by which the paper says it chose its tests.
    """
    p_values: list[Recomputed] = []
    findings: list[Finding] = []
    for table in tables:
        try:
            found, notes = _audit_table(table, rule)
        except AnalysisError as error:
            error.add_note(f"in table {table.name}")
            raise
        p_values += found
        findings += notes
    findings += cross_check(tables)
    if claims is not None:
        try:
            p_values += [_claimed_p_value(claim, rule) for claim in claims.content.get("p_value", [])]
            findings += _claimed_numbers(claims)
        except KeyError as error:
            raise AnalysisError(Problem.BAD_INPUT, f"a claim has no {error}") from error
    return Audit(claims.name if claims else source, rule, tuple(p_values), tuple(findings))


def _audit_table(table: PrintedTable, rule: CountRule) -> tuple[list[Recomputed], list[Finding]]:
    """Return what one table's counts give, and what is wrong within it."""
    if not table.is_known:
        return [], [Finding(FindingKind.NOT_RECOMPUTABLE, table.name, f"{NO_SHAPE}: nothing was checked")]
    if table.shape is Shape.GROUPS:
        found, notes = _group_p_values(table, rule)
        return found, [*notes, *check_groups(table), *check_means(table)]
    if table.shape is Shape.WIDE:
        found, notes = _wide_p_values(table, rule)
        return found, [*check_wide(table), *notes]
    return [], [*check_hazards(table), *_survival_p_values(table)]


def read_claims(text: str) -> Claims:
    """Read claims from TOML.

    Raises
    ------
    AnalysisError
        If the text is no TOML, or its rule is unknown.
    """
    try:
        content = tomllib.loads(text)
        rule = CountRule(content.pop("rule", CountRule.EXPECTED_BELOW_5))
    except ValueError as error:
        raise AnalysisError(Problem.BAD_INPUT, f"the claims cannot be read: {error}") from error
    return Claims(str(content.pop("name", "claims")), rule, content)


def _known_claims(folder: Path, tables: Sequence[PrintedTable]) -> Claims | None:
    beside = folder / "claims.toml"
    if beside.exists():
        return read_claims(text_of(beside))
    known = read_claims(resources.files("analysis").joinpath("wu2013.toml").read_text(encoding="utf-8"))
    return known if known.fits(tables) else None


def _number(text: str) -> PrintedNumber:
    number = PrintedNumber.parse(text)
    if number is None:
        raise AnalysisError(Problem.BAD_INPUT, "a claimed p-value is empty")
    return number


def _recomputed(
    place: str, counts: Sequence[CountArray], text: str, rule: CountRule, claimed: str = ""
) -> Recomputed | Finding:
    """Recompute a p-value from the first of several readings of its counts that gives it, or say why not."""
    try:
        printed = _number(text)
        if not 0 <= printed.value <= 1:
            return Finding(FindingKind.CONTRADICTION, place, f"p {text} is no probability")
        tried = [recompute(place, table, printed, rule=rule, claimed=claimed) for table in counts]
    except AnalysisError as error:
        return Finding(FindingKind.NOT_RECOMPUTABLE, place, f"p {text}: {error.sentence}")
    return next((p for p in tried if p.matches), tried[0])


def _group_p_values(table: PrintedTable, rule: CountRule) -> tuple[list[Recomputed], list[Finding]]:
    """Recompute a variable's p-value from its levels, or each finding's from those with and without it.

    Where levels add up to less than the group, the rest may be unknown or
    without the finding: the reading that gives the printed digits is kept.
    """
    recomputed: list[Recomputed] = []
    findings: list[Finding] = []
    if "paper_p" not in table.columns:
        return recomputed, findings
    if not table.groups:
        return recomputed, [Finding(FindingKind.NOT_RECOMPUTABLE, table.name, "no column of counts (NAME_n)")]
    totals, groups = table.totals(), table.groups
    sizes = np.array([totals[group] for group in groups])
    for variable, rows in table.variables().items():
        counts = np.array([[int(row[group]) for group in groups] for row in rows])
        with_p = [number for number, row in enumerate(rows) if row["paper_p"]]
        is_whole = len(with_p) == 1 and len(rows) > 1 and (counts.sum(axis=0) <= sizes).all()
        for number in with_p:
            readings = [np.array([counts[number], sizes - counts[number]])]
            if is_whole:
                readings = [counts] if (counts.sum(axis=0) == sizes).all() else [counts, *readings]
            row = rows[number]
            name = f"{table.name}: {variable}" + ("" if is_whole else f", {row['level']}")
            compared = [_against_the_rest(cells, groups).T for cells in readings]
            found = _recomputed(name, compared, row["paper_p"], rule, row.get("paper_test", ""))
            if isinstance(found, Finding):
                findings.append(found)
            else:
                recomputed.append(found)
    return recomputed, findings


def _against_the_rest(cells: CountArray, groups: Sequence[str]) -> CountArray:
    """Where the first column is everybody, compare the others with those who are in none of them."""
    if not groups[0].startswith("all"):
        return cells
    return np.column_stack([cells[:, 1:], cells[:, 0] - cells[:, 1:].sum(axis=1)])


def _wide_p_values(table: PrintedTable, rule: CountRule) -> tuple[list[Recomputed], list[Finding]]:
    """Recompute the p-value of a wide table, of the categories its printed rate counts if it has one."""
    _, total, categories = wide_columns(table)
    counts = np.array([[int(row[name]) for name in categories] for row in table.rows])
    recomputed: list[Recomputed] = []
    findings: list[Finding] = []
    rates = [name for name in table.columns if name.endswith("_rate")]
    cells = counts
    for rate in rates:
        part = _counted_by(table, rate, counts, total)
        if part is None:
            findings.append(
                Finding(
                    FindingKind.CONTRADICTION, table.name, f"no sum of categories gives the printed {rate}"
                )
            )
            continue
        names = " + ".join(categories[i] for i in part)
        findings.append(Finding(FindingKind.NOTE, table.name, f"{rate} counts {names}"))
        inside = counts[:, part].sum(axis=1)
        cells = np.column_stack([inside, counts.sum(axis=1) - inside])
    for name in (n for n in table.columns if n == "paper_p" or n.endswith("_p")):
        printed = [row[name] for row in table.rows if row[name]]
        if name == "paper_p" and printed:
            found = _recomputed(table.name, [cells], printed[0], rule)
            if isinstance(found, Finding):
                findings.append(found)
            else:
                recomputed.append(found)
            if len(printed) > 1:
                sentence = f"p {', '.join(printed[1:])}: of which rows is not said"
                findings.append(Finding(FindingKind.NOT_RECOMPUTABLE, table.name, sentence))
        elif printed:
            sentence = f"{name} {printed[0]} needs each patient's follow-up"
            findings.append(Finding(FindingKind.NOT_RECOMPUTABLE, table.name, sentence))
    return recomputed, findings


def _counted_by(table: PrintedTable, rate: str, counts: CountArray, total: str | None) -> list[int] | None:
    """Return the smallest set of categories whose share is the printed rate in every row."""
    sizes = counts.sum(axis=1) if total is None else np.array([int(row[total]) for row in table.rows])
    printed = [PrintedNumber.parse(row[rate]) for row in table.rows]
    for size in range(1, counts.shape[1] + 1):
        for part in combinations(range(counts.shape[1]), size):
            shares = counts[:, part].sum(axis=1) / sizes
            if all(p is None or p.agrees_with(float(s)) for p, s in zip(printed, shares, strict=True)):
                return list(part)
    return None


def _survival_p_values(table: PrintedTable) -> Iterator[Finding]:
    factors = [row["factor"] for row in table.rows if row.get("univariate_p")]
    if factors:
        sentence = f"log-rank p-values of {', '.join(factors)} need each patient's follow-up"
        yield Finding(FindingKind.NOT_RECOMPUTABLE, table.name, sentence)


def _claimed_p_value(claim: dict[str, Any], rule: CountRule) -> Recomputed:
    """Recompute a p-value of the text under each way to read it; keep the reading that comes nearest."""
    printed = _number(claim["p"])
    tried = []
    for reading in claim["readings"]:
        place = claim["place"] + (f" ({reading['as']})" if "as" in reading else "")
        tried.append(recompute(place, np.array(reading["counts"]), printed, rule=rule))
    return min(tried, key=lambda p: (not p.matches, abs(p.by_test[p.rule_test] - printed.value)))


def _claimed_numbers(claims: Claims) -> Iterator[Finding]:
    for claim in claims.content.get("sum", []):
        added = sum(claim["parts"])
        if added != claim["whole"]:
            parts = " + ".join(str(part) for part in claim["parts"])
            after = f"; {claim['note']}" if "note" in claim else ""
            sentence = f"{parts} = {added}, printed {claim['whole']}{after}"
            yield Finding(FindingKind.SUM, claim["place"], sentence)
    for claim in claims.content.get("share", []):
        printed = _number(claim["percent"])
        if not claim["whole"]:
            sentence = f"{printed.text} %: {claim.get('note', 'no counts are printed')}"
            yield Finding(FindingKind.NOT_RECOMPUTABLE, claim["place"], sentence)
        elif not printed.agrees_with(100 * claim["part"] / claim["whole"]):
            share = 100 * claim["part"] / claim["whole"]
            sentence = f"{claim['part']} of {claim['whole']} is {share:.1f} %, printed {printed.text} %"
            yield Finding(FindingKind.CONTRADICTION, claim["place"], sentence)
    for claim in claims.content.get("same", []):
        said = "; ".join(f"{where}: {what}" for where, what in claim["said"])
        if len({what for _, what in claim["said"]}) > 1:
            yield Finding(FindingKind.CONTRADICTION, claim["what"], said)
