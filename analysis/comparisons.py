"""Compare groups: counts, proportions and means, each result naming the test it came from.

The default rule for counts is the one of Wu 2013 (Eur Respir J 41:417): Pearson's
chi-squared test without continuity correction, "except those with an expected
frequency of less than five", which get Fisher's exact test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from analysis.errors import AnalysisError, Problem
from analysis.fisher import fisher_exact, fisher_simulated

__all__ = [
    "CountRule",
    "CountTest",
    "GroupSummary",
    "Interval",
    "MeanTest",
    "TestName",
    "chi_squared",
    "clopper_pearson",
    "compare_counts",
    "compare_means",
    "compare_several_means",
    "expected_counts",
    "odds_ratio",
    "odds_ratio_conditional",
    "summarise",
    "wilson",
]

FloatArray = NDArray[np.float64]
CountArray = NDArray[np.int64]

SMALL_EXPECTED = 5.0  # Cochran 1954, Biometrics 10:417
LARGEST_EXACT_TOTAL = 20_000  # beyond it an r x c exact test is simulated at once


class TestName(StrEnum):
    """The test a p-value came from."""

    __test__ = False  # pytest: not a test class

    CHI_SQUARED = "chi-squared"
    CHI_SQUARED_YATES = "chi-squared (Yates)"
    FISHER = "Fisher"
    FISHER_SIMULATED = "Fisher (simulated)"
    T_POOLED = "t-test"
    T_WELCH = "Welch t-test"
    ANOVA = "one-way ANOVA"
    NONE = "none"


class CountRule(StrEnum):
    """How the test for a table of counts is chosen."""

    EXPECTED_BELOW_5 = "expected_below_5"  # Fisher if any expected count is below 5
    OBSERVED_BELOW_5 = "observed_below_5"  # Fisher if any observed count is below 5: common, and not the rule
    COCHRAN = "cochran"  # Fisher if a fifth of expected counts is below 5, or one below 1
    CHI_SQUARED = "chi_squared"
    FISHER = "fisher"
    YATES = "yates"


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence limits."""

    value: float
    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class CountTest:
    """Whether the columns of a table of counts are spread alike.

    Attributes
    ----------
    statistic : float or None
        Pearson's chi-squared; None for an exact test.
    smallest_expected : float
        The count that decides the rule.
    reason : str
        Why this test.
    """

    test: TestName
    p_value: float
    statistic: float | None
    df: int
    smallest_expected: float
    reason: str


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """Size, mean and standard deviation of a group; enough for a t-test."""

    n: int
    mean: float
    sd: float
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class MeanTest:
    """Whether two means differ; `difference` is first minus second, with its interval."""

    test: TestName
    p_value: float
    statistic: float
    df: float
    difference: Interval | None


def compare_counts(table: ArrayLike, rule: CountRule | str = CountRule.EXPECTED_BELOW_5) -> CountTest:
    """Test whether rows and columns of a table of counts are independent.

    Parameters
    ----------
    table : (R, C) array_like of int
        Counts; empty rows and columns are refused, for they say nothing.
    rule : CountRule
        How the test is chosen.

    Raises
    ------
    AnalysisError
        If the table is not a table of counts, or has an empty row or column.

    Examples
    --------
    >>> result = compare_counts([[35, 25], [9, 16]])
    >>> result.test.value, round(result.p_value, 3)
    ('chi-squared', 0.06)
    """
    counts = _counts(table)
    expected = expected_counts(counts)
    chosen, reason = _choose(counts, expected, CountRule(rule))
    df = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    smallest = float(expected.min())
    if chosen is not TestName.FISHER:
        statistic, p_value = chi_squared(counts, yates=chosen is TestName.CHI_SQUARED_YATES)
        return CountTest(chosen, p_value, statistic, df, smallest, reason)
    if counts.shape != (2, 2) and counts.sum() > LARGEST_EXACT_TOTAL:
        chosen, p_value = TestName.FISHER_SIMULATED, fisher_simulated(counts)
    else:
        try:
            p_value = fisher_exact(counts)
        except AnalysisError as error:
            if error.problem is not Problem.TOO_LARGE:
                raise
            chosen, p_value = TestName.FISHER_SIMULATED, fisher_simulated(counts)
    return CountTest(chosen, p_value, None, df, smallest, reason)


def expected_counts(table: ArrayLike) -> FloatArray:
    """Return the counts expected if rows and columns were independent."""
    counts = np.asarray(table, dtype=np.float64)
    return np.asarray(np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum())


def chi_squared(table: ArrayLike, *, yates: bool = False) -> tuple[float, float]:
    """Return Pearson's chi-squared statistic and its p-value.

    `yates` takes half a count (never more than the deviation itself) off every
    deviation of a 2 x 2 table; on larger tables it does nothing.
    """
    counts = _counts(table)
    expected = expected_counts(counts)
    deviation = np.abs(counts - expected)
    if yates and counts.shape == (2, 2):
        deviation = deviation - min(0.5, float(deviation.min()))
    statistic = float((deviation**2 / expected).sum())
    df = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    return statistic, float(special.chdtrc(df, statistic))


def wilson(events: int, n: int, *, level: float = 0.95) -> Interval:
    """Return a proportion with Wilson's score interval (1927, J Am Stat Assoc 22:209)."""
    _check_share(events, n)
    z = _normal_quantile(level)
    share = events / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if events == 0 else float(centre - half)
    high = 1.0 if events == n else float(centre + half)
    return Interval(share, low, high, level)


def clopper_pearson(events: int, n: int, *, level: float = 0.95) -> Interval:
    """Return a proportion with the exact interval (Clopper and Pearson 1934, Biometrika 26:404)."""
    _check_share(events, n)
    tail = (1 - level) / 2
    low = 0.0 if events == 0 else float(special.betaincinv(events, n - events + 1, tail))
    high = 1.0 if events == n else float(special.betaincinv(events + 1, n - events, 1 - tail))
    return Interval(events / n, low, high, level)


def odds_ratio(table: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the sample odds ratio of a 2 x 2 table with Woolf's interval.

    A zero cell makes the ratio 0 or infinite and its interval unknown: the
    limits are then NaN rather than the fruit of an added half.
    """
    (a, b), (c, d) = _two_by_two(table).tolist()
    if min(a, b, c, d) == 0:
        value = float("nan") if a * d == b * c == 0 else (np.inf if b * c == 0 else 0.0)
        return Interval(float(value), float("nan"), float("nan"), level)
    value = a * d / (b * c)
    half = _normal_quantile(level) * float(np.sqrt(1 / a + 1 / b + 1 / c + 1 / d))
    return Interval(value, float(value * np.exp(-half)), float(value * np.exp(half)), level)


def odds_ratio_conditional(table: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the conditional maximum-likelihood odds ratio with its exact interval (as R's `fisher.test`)."""
    from scipy.stats.contingency import odds_ratio as conditional

    result = conditional(_two_by_two(table), kind="conditional")
    limits = result.confidence_interval(confidence_level=level)
    return Interval(float(result.statistic), float(limits.low), float(limits.high), level)


def summarise(values: ArrayLike) -> GroupSummary:
    """Return size, mean, standard deviation and range of the values."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2 or not np.isfinite(x).all():
        raise AnalysisError(Problem.BAD_INPUT, f"a mean needs 2 or more finite values, got {len(x)}")
    return GroupSummary(len(x), float(x.mean()), float(x.std(ddof=1)), float(x.min()), float(x.max()))


def compare_means(
    first: GroupSummary, second: GroupSummary, *, equal_variances: bool = True, level: float = 0.95
) -> MeanTest:
    """Compare two means by an unpaired t-test.

    Parameters
    ----------
    first, second : GroupSummary
        From the data (`summarise`) or as a paper prints them.
    equal_variances : bool
        True pools the variances (Student); False does not (Welch 1947, Biometrika 34:28).
    """
    mean_variances = first.sd**2 / first.n, second.sd**2 / second.n
    if equal_variances:
        df = float(first.n + second.n - 2)
        pooled = ((first.n - 1) * first.sd**2 + (second.n - 1) * second.sd**2) / df
        error = float(np.sqrt(pooled * (1 / first.n + 1 / second.n)))
    else:
        error = float(np.sqrt(sum(mean_variances)))
        df = sum(mean_variances) ** 2 / (
            mean_variances[0] ** 2 / (first.n - 1) + mean_variances[1] ** 2 / (second.n - 1)
        )
    if error == 0:
        raise AnalysisError(Problem.NOT_ESTIMABLE, "the values do not vary: no t-test can be done")
    difference = first.mean - second.mean
    statistic = difference / error
    half = float(special.stdtrit(df, 0.5 + level / 2)) * error
    name = TestName.T_POOLED if equal_variances else TestName.T_WELCH
    p_value = float(2 * special.stdtr(df, -abs(statistic)))
    interval = Interval(difference, difference - half, difference + half, level)
    return MeanTest(name, p_value, statistic, df, interval)


def compare_several_means(groups: Sequence[GroupSummary]) -> MeanTest:
    """Compare the means of two or more groups by one-way analysis of variance."""
    n = np.array([group.n for group in groups], dtype=np.float64)
    means = np.array([group.mean for group in groups])
    sds = np.array([group.sd for group in groups])
    between_df, within_df = len(groups) - 1, float(n.sum() - len(groups))
    grand = (n * means).sum() / n.sum()
    within = ((n - 1) * sds**2).sum() / within_df
    if within == 0:
        raise AnalysisError(Problem.NOT_ESTIMABLE, "the values do not vary within groups")
    statistic = float((n * (means - grand) ** 2).sum() / between_df / within)
    p_value = float(special.fdtrc(between_df, within_df, statistic))
    return MeanTest(TestName.ANOVA, p_value, statistic, within_df, None)


def _choose(counts: CountArray, expected: FloatArray, rule: CountRule) -> tuple[TestName, str]:
    smallest = f"smallest expected count {expected.min():.2f}"
    if rule is CountRule.CHI_SQUARED:
        return TestName.CHI_SQUARED, f"asked for; {smallest}"
    if rule is CountRule.YATES:
        return TestName.CHI_SQUARED_YATES, f"asked for; {smallest}"
    if rule is CountRule.FISHER:
        return TestName.FISHER, f"asked for; {smallest}"
    if rule is CountRule.OBSERVED_BELOW_5:
        exact, reason = bool(counts.min() < SMALL_EXPECTED), f"smallest observed count {counts.min()}"
    elif rule is CountRule.COCHRAN:
        share = float((expected < SMALL_EXPECTED).mean())
        exact, reason = share > 0.2 or bool(expected.min() < 1), f"{share:.0%} of expected counts below 5"
    else:
        exact, reason = bool(expected.min() < SMALL_EXPECTED), smallest
    return (TestName.FISHER if exact else TestName.CHI_SQUARED), reason


def _counts(table: ArrayLike) -> CountArray:
    raw = np.asarray(table, dtype=np.float64)
    if raw.ndim != 2 or min(raw.shape) < 2:
        raise AnalysisError(Problem.BAD_INPUT, f"a table needs 2 or more rows and columns, got {raw.shape}")
    if not np.isfinite(raw).all() or (raw < 0).any() or (raw != np.round(raw)).any():
        raise AnalysisError(Problem.BAD_INPUT, "counts must be whole numbers, zero or more")
    counts = raw.astype(np.int64)
    if (counts.sum(axis=0) == 0).any() or (counts.sum(axis=1) == 0).any():
        raise AnalysisError(Problem.EMPTY_MARGIN, "a row or column of the table is empty: nothing to compare")
    return counts


def _two_by_two(table: ArrayLike) -> CountArray:
    counts = np.asarray(table, dtype=np.int64)
    if counts.shape != (2, 2):
        raise AnalysisError(Problem.BAD_INPUT, f"an odds ratio needs a 2 x 2 table, got {counts.shape}")
    return counts


def _check_share(events: int, n: int) -> None:
    if not 0 <= events <= n or n < 1:
        raise AnalysisError(Problem.BAD_INPUT, f"a proportion needs 0 <= events <= n, got {events} of {n}")


def _normal_quantile(level: float) -> float:
    return float(special.ndtri(0.5 + level / 2))
