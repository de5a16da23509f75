"""Every p-value that a table of counts could have been given, and which one was printed."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.comparisons import CountRule, TestName, chi_squared, compare_counts, expected_counts
from analysis.fisher import fisher_exact
from analysis.printed_tables import PrintedNumber

__all__ = ["Candidate", "Recomputed", "recompute"]

CountArray = NDArray[np.int64]

ALPHA = 0.05


class Candidate(StrEnum):
    """A test that statistical packages print beside a table of counts."""

    CHI_SQUARED = "chi-squared"
    CHI_SQUARED_YATES = "chi-squared (Yates)"
    FISHER = "Fisher"
    LIKELIHOOD_RATIO = "likelihood ratio"
    LINEAR = "linear-by-linear"
    FISHER_ONE_SIDED = "Fisher, one-sided"
    FISHER_MID_P = "Fisher, mid-P"
    LOGISTIC_WALD = "logistic regression (Wald)"


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A printed p-value beside all that its counts allow.

    Attributes
    ----------
    place : str
        Where it was printed.
    table : tuple of tuple of int
        The counts.
    by_test : dict of Candidate to float
    rule_test : Candidate
        What the stated rule asks for.
    smallest_expected : float
    claimed : Candidate or None
        The test the paper says it used.
    """

    place: str
    table: tuple[tuple[int, ...], ...]
    printed: PrintedNumber
    by_test: dict[Candidate, float]
    rule_test: Candidate
    smallest_expected: float
    claimed: Candidate | None

    @property
    def matches(self) -> tuple[Candidate, ...]:
        """Tests that give the printed digits."""
        return tuple(test for test, p in self.by_test.items() if self.printed.agrees_with(p))

    @property
    def used(self) -> Candidate | None:
        """The test most likely used: the one the paper names, else the rule's, else the first that fits."""
        for preferred in (self.claimed, self.rule_test):
            if preferred in self.matches:
                return preferred
        return self.matches[0] if self.matches else None

    @property
    def departs_from_rule(self) -> bool:
        """Whether the printed digits are another test's than the rule's."""
        return bool(self.matches) and self.rule_test not in self.matches

    @property
    def nearest(self) -> Candidate:
        """The test whose p-value comes closest."""
        return min(self.by_test, key=lambda test: abs(self.by_test[test] - self.printed.value))

    @property
    def changes_the_conclusion(self) -> bool:
        """Whether the rule's test and the printed p-value fall on two sides of 0.05."""
        if self.rule_test in self.matches:
            return False
        by_rule, printed = self.by_test[self.rule_test], self.printed.value
        if self.printed.is_bound:
            return printed <= ALPHA <= by_rule  # "< 0.1" is no word on 0.05
        return (by_rule < ALPHA) != (printed < ALPHA)


def recompute(
    place: str,
    table: CountArray,
    printed: PrintedNumber,
    *,
    rule: CountRule = CountRule.EXPECTED_BELOW_5,
    claimed: str = "",
) -> Recomputed:
    """Compute the p-value of a table under every test.

    Parameters
    ----------
    place : str
        Where the p-value is printed.
    table : (R, C) int ndarray
    printed : PrintedNumber
    rule : CountRule
        The paper's stated rule.
    claimed : str
        The test the paper names, as it names it.
    """
    by_rule = compare_counts(table, rule)
    by_test = {
        Candidate.CHI_SQUARED: chi_squared(table)[1],
        Candidate.CHI_SQUARED_YATES: chi_squared(table, yates=True)[1],
        Candidate.FISHER: compare_counts(table, CountRule.FISHER).p_value,
        Candidate.LIKELIHOOD_RATIO: _likelihood_ratio(table),
    }
    if table.shape == (2, 2):
        more: dict[Candidate, Callable[[CountArray], float]] = {
            Candidate.LINEAR: _linear,
            Candidate.FISHER_ONE_SIDED: _one_sided,
            Candidate.FISHER_MID_P: _mid_p,
        }
        if table.min() > 0:
            more[Candidate.LOGISTIC_WALD] = _wald
        by_test |= {test: function(table) for test, function in more.items()}
    exact = (TestName.FISHER, TestName.FISHER_SIMULATED)
    return Recomputed(
        place=place,
        table=tuple(tuple(int(n) for n in row) for row in table),
        printed=printed,
        by_test=by_test,
        rule_test=Candidate.FISHER if by_rule.test in exact else Candidate(by_rule.test.value),
        smallest_expected=by_rule.smallest_expected,
        claimed=_named(claimed),
    )


def _named(text: str) -> Candidate | None:
    lowered = text.lower()
    if "fisher" in lowered:
        return Candidate.FISHER
    if "chi" in lowered:
        return Candidate.CHI_SQUARED_YATES if "yates" in lowered else Candidate.CHI_SQUARED
    return None


def _likelihood_ratio(table: CountArray) -> float:
    expected = expected_counts(table)
    statistic = 2 * float(special.xlogy(table, table / expected).sum())
    return float(special.chdtrc((table.shape[0] - 1) * (table.shape[1] - 1), max(0.0, statistic)))


def _linear(table: CountArray) -> float:
    """Mantel and Haenszel's (N - 1) / N times chi-squared, as SPSS prints it."""
    n = int(table.sum())
    return float(special.chdtrc(1, chi_squared(table)[0] * (n - 1) / n))


def _tails(table: CountArray) -> tuple[float, float, float]:
    from scipy.stats import hypergeom

    (a, b), (c, d) = table.tolist()
    law = hypergeom(a + b + c + d, a + b, a + c)
    return float(law.cdf(a)), float(law.sf(a - 1)), float(law.pmf(a))


def _one_sided(table: CountArray) -> float:
    low, high, _ = _tails(table)
    return min(low, high)


def _mid_p(table: CountArray) -> float:
    return fisher_exact(table) - _tails(table)[2] / 2


def _wald(table: CountArray) -> float:
    (a, b), (c, d) = table.tolist()
    z = float(np.log(a * d / (b * c)) / np.sqrt(1 / a + 1 / b + 1 / c + 1 / d))
    return float(2 * special.ndtr(-abs(z)))
