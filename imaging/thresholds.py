"""How the verdicts of a cohort would move with each threshold: judged again from what was found.

A finding keeps what was measured and its interval, so no pixel and no protocol is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from imaging.rules import CRITERIA, EXCLUSIONS, Rule, compare
from imaging.verdict import label_of
from records.errors import Reason
from records.model import Finding, Pattern, Screening, VerdictLabel

__all__ = ["FACTORS", "WORDS", "ThresholdRow", "tabulate", "varied"]

FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5)
RULES: tuple[Rule, ...] = (*CRITERIA, *EXCLUSIONS)
THRESHOLDS = tuple(dict.fromkeys(rule.threshold for rule in RULES))
WORDS = {
    "profuse_least_nodules": "Profuse: nodules, at least",
    "tiny_least_fraction": "Tiny: share of nodules that are, at least",
    "uniform_largest_cv": "Uniform: spread of diameters over their mean, at most",
    "round_least_roundness": "Round: shortest over longest axis, at least",
    "diffuse_least_zones": "Diffuse: zones of six, at least",
    "diffuse_least_evenness": "Even: evenness of the zones, at least",
    "bilateral_least_balance": "Bilateral: emptier lung over fuller, at least",
    "random_largest_clustering": "Random: near pairs over those of chance, at most",
    "ground_glass_largest_fraction": "Ground glass: share of nodules, at most",
    "ground_glass_largest_haze": "Haze: share of the lungs, at most",
    "lymphangitic_largest_septal_index": "Lymphangitic: share of the inner lung in sheets, at most",
}  # by the protocol's entry
MOST = {"share": 1.0, "ratio": 1.0, "of lung": 1.0, "of 6 zones": 6.0}  # by unit: no measurement goes beyond

Labels = tuple[VerdictLabel, ...]


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """One threshold: its value, and how many studies are miliary or indeterminate with it moved.

    Attributes
    ----------
    name : str
        As the protocol calls it.
    values : tuple of float
        The threshold times each of `FACTORS`, at most what can be measured.
    miliary, indeterminate : tuple of int
        Studies, in the same order.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    miliary: tuple[int, ...]
    indeterminate: tuple[int, ...]


def varied(screening: Screening) -> Labels:
    """Return the labels of a study with each threshold in turn times each of `FACTORS`.

    What is wrong with the scan stays wrong: a poor scan keeps its label, and so does one not evaluable.
    """
    verdict, pattern = screening.verdict, screening.pattern
    if pattern is None or not verdict.criteria or verdict.reason is Reason.POOR_QUALITY:
        return (verdict.label,) * (len(THRESHOLDS) * len(FACTORS))
    return tuple(
        label_of(
            _moved(CRITERIA, verdict.criteria, threshold, factor, pattern),
            _moved(EXCLUSIONS, verdict.exclusions, threshold, factor, pattern),
        )
        for threshold in THRESHOLDS
        for factor in FACTORS
    )


def _moved(
    rules: Sequence[Rule], findings: Sequence[Finding], threshold: str, factor: float, pattern: Pattern
) -> list[Finding]:
    """Return the findings, those of one threshold judged again with it moved."""
    of = {rule.name: rule for rule in rules if rule.threshold == threshold}
    return [
        replace(f, holds=compare(of[f.name], f.value, _times(f, factor), pattern)) if f.name in of else f
        for f in findings
    ]


def _times(finding: Finding, factor: float) -> float:
    return min(factor * finding.threshold, MOST.get(finding.unit, inf))


def tabulate(labels: Sequence[Labels], examples: Sequence[Finding]) -> list[ThresholdRow]:
    """Return a row a threshold.

    Parameters
    ----------
    labels : sequence of tuple
        From `varied`, one a study.
    examples : sequence of Finding
        Of one study: they know the thresholds and their units.
    """
    known = {f.name: f for f in examples}
    rows = []
    for number, threshold in enumerate(THRESHOLDS):
        names = [rule.name for rule in RULES if rule.threshold == threshold and rule.name in known]
        if not names:
            continue
        places = range(number * len(FACTORS), (number + 1) * len(FACTORS))
        columns = [[of_study[place] for of_study in labels] for place in places]
        rows.append(
            ThresholdRow(
                threshold,
                known[names[0]].unit,
                tuple(_times(known[names[0]], factor) for factor in FACTORS),
                tuple(column.count(VerdictLabel.MIPC) for column in columns),
                tuple(column.count(VerdictLabel.INDETERMINATE) for column in columns),
            )
        )
    return rows
