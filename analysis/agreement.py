"""How far two readers agree: classes (kappa and its kin) and sizes (ICC, Bland-Altman)."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.comparisons import clopper_pearson
from analysis.errors import AnalysisError, Problem

__all__ = [
    "BlandAltman",
    "Coefficient",
    "IntraclassCorrelation",
    "Weights",
    "ac1",
    "bland_altman",
    "cohen_kappa",
    "cross_table",
    "icc_agreement",
    "icc_consistency",
    "pabak",
    "raw_agreement",
]

FloatArray = NDArray[np.float64]

ROUNDING = 1e-9  # of a size or a spread: far below what cases show, far above what floats lose


class Weights(StrEnum):
    """How far apart classes are; quadratic only where they are in order (CR < PR < SD < PD)."""

    NOMINAL = "nominal"
    LINEAR = "linear"
    QUADRATIC = "quadratic"


@dataclass(frozen=True, slots=True)
class Coefficient:
    """An agreement with its interval.

    `value` is nan, with its interval, where it is not defined: kappa of two
    readers who put every case into one and the same class. The large-sample
    interval is nan, with its error, where the cases show no spread, as when
    readers agree on all: an error of 0 would call two cases certain.
    """

    name: str
    value: float
    standard_error: float
    low: float
    high: float
    cases: int


@dataclass(frozen=True, slots=True)
class IntraclassCorrelation:
    """An ICC of single measurements with its interval, and the subjects and readers it rests on.

    `value` is nan, with its interval, where the cases do not differ: an ICC compares the
    readers' differences with those between cases. The interval is nan where readers never differ.
    """

    name: str
    value: float
    low: float
    high: float
    cases: int
    readers: int


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """Limits of agreement of two measurements of the same things.

    Attributes
    ----------
    bias : float
        Mean of second minus first.
    low, high : float
        Limits that hold 95 % of the differences, bias -/+ 1.96 standard deviations.
    bias_interval, low_interval, high_interval : tuple of float
        95 % intervals of the three; nan where all differences are one.
    repeatability : float
        1.96 sqrt(2) within-case standard deviations: two readings differ by less in 95 %.
    slope : float
        Of the differences on the means; away from 0 where disagreement grows with size.
    """

    cases: int
    bias: float
    standard_deviation: float
    low: float
    high: float
    bias_interval: tuple[float, float]
    low_interval: tuple[float, float]
    high_interval: tuple[float, float]
    repeatability: float
    slope: float


def cross_table(
    first: Sequence[Hashable], second: Sequence[Hashable], classes: Sequence[Hashable]
) -> NDArray[np.int64]:
    """Count how often the first reader said the row's class and the second the column's.

    Parameters
    ----------
    first, second : sequence
        One class a case, in the same order.
    classes : sequence
        All classes, in their order; also those nobody used.

    Raises
    ------
    AnalysisError
        If the readers read different numbers of cases, or said a class that is not listed.
    """
    if len(first) != len(second):
        raise _bad_input(f"the readers read {len(first)} and {len(second)} cases")
    place = {name: index for index, name in enumerate(classes)}
    unknown = {name for name in (*first, *second) if name not in place}
    if unknown:
        raise AnalysisError(Problem.BAD_INPUT, f"no such class: {', '.join(sorted(map(str, unknown)))}")
    table = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for one, other in zip(first, second, strict=True):
        table[place[one], place[other]] += 1
    return table


def raw_agreement(table: ArrayLike, *, confidence: float = 0.95) -> Coefficient:
    """Share of cases on which the readers agree, with the exact interval of Clopper and Pearson."""
    counts = _counts(table)
    cases = int(counts.sum())
    agreed = int(np.trace(counts))
    exact = clopper_pearson(agreed, cases, level=confidence)
    error = sqrt(exact.value * (1 - exact.value) / cases)
    return Coefficient("agreement", exact.value, error, exact.low, exact.high, cases)


def cohen_kappa(
    table: ArrayLike, *, weights: Weights = Weights.NOMINAL, confidence: float = 0.95
) -> Coefficient:
    """Cohen's kappa, plain or weighted.

    Parameters
    ----------
    table : (K, K) array_like of int
        Cases by class of the first (row) and the second reader (column).
    weights : Weights
    confidence : float

    Notes
    -----
    Standard error of Fleiss, Cohen & Everitt 1969, Psychol Bull 72:323, that
    does not assume kappa to be 0. Kappa falls with skewed margins at the same
    agreement: read it beside `pabak` and `ac1`.
    """
    counts = _counts(table)
    cases = int(counts.sum())
    shares = counts / cases
    weight = _weight_matrix(len(shares), weights)
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed = float((weight * shares).sum())
    chance = float(rows @ weight @ columns)
    name = "kappa" if weights is Weights.NOMINAL else f"{weights} kappa"
    if np.isclose(chance, 1.0):
        return Coefficient(name, nan, nan, nan, nan, cases)
    value = (observed - chance) / (1 - chance)
    expected = (weight @ columns)[:, None] + (rows @ weight)[None, :]
    spread = float((shares * (weight - expected * (1 - value)) ** 2).sum())
    variance = (spread - (value - chance * (1 - value)) ** 2) / (cases * (1 - chance) ** 2)
    return _with_interval(name, value, variance, cases, confidence)


def pabak(table: ArrayLike, *, confidence: float = 0.95) -> Coefficient:
    """Prevalence- and bias-adjusted kappa: what kappa would be with even margins.

    Notes
    -----
    Byrt, Bishop & Carlin 1993, J Clin Epidemiol 46:423; for more than two
    classes the coefficient of Brennan & Prediger 1981. It is a line in the share of
    agreement, so the exact interval of that share (Clopper & Pearson 1934) is its own.
    """
    counts = _counts(table)
    cases = int(counts.sum())
    classes = len(counts)
    observed = float(np.trace(counts)) / cases
    value = (observed - 1 / classes) / (1 - 1 / classes)
    share = raw_agreement(counts, confidence=confidence)
    low, high = ((limit - 1 / classes) / (1 - 1 / classes) for limit in (share.low, share.high))
    return Coefficient("PABAK", value, share.standard_error / (1 - 1 / classes), low, high, cases)


def ac1(table: ArrayLike, *, confidence: float = 0.95) -> Coefficient:
    """Gwet's AC1, which keeps its value where nearly all cases are of one class.

    Notes
    -----
    Gwet 2008, Br J Math Stat Psychol 61:29; variance over a random sample of
    cases, readers fixed.
    """
    counts = _counts(table)
    cases = int(counts.sum())
    shares = counts / cases
    classes = len(shares)
    mean_share = (shares.sum(axis=1) + shares.sum(axis=0)) / 2
    observed = float(np.trace(shares))
    chance = float((mean_share * (1 - mean_share)).sum()) / (classes - 1)
    value = (observed - chance) / (1 - chance)
    # How one case pulls the coefficient: agreement on it, less the chance its two classes carry.
    case_chance = (2 - mean_share[:, None] - mean_share[None, :]) / 2 / (classes - 1)
    agree = np.eye(classes)
    pull = (agree - chance) / (1 - chance) - 2 * (1 - value) * (case_chance - chance) / (1 - chance)
    variance = float((shares * (pull - value) ** 2).sum()) / cases
    return _with_interval("AC1", value, variance, cases, confidence)


def icc_agreement(sizes: ArrayLike, *, confidence: float = 0.95) -> IntraclassCorrelation:
    """ICC(2,1): absolute agreement of single measurements by readers drawn from many.

    Parameters
    ----------
    sizes : (cases, readers) array_like
        Without gaps.
    confidence : float

    Notes
    -----
    Shrout & Fleiss 1979, Psychol Bull 86:420; interval of McGraw & Wong 1996, Psychol Methods 1:30.
    """
    from scipy.stats import f

    values, by_case, by_reader, error = _mean_squares(sizes)
    n, k = values.shape
    if error == 0 and (by_reader == 0 or by_case == 0):
        return IntraclassCorrelation("ICC(2,1)", *_perfect(by_case), n, k)
    whole = by_case + (k - 1) * error + k * (by_reader - error) / n
    if whole == 0:  # two cases whose sizes two readers exchange
        return IntraclassCorrelation("ICC(2,1)", nan, nan, nan, n, k)
    value = (by_case - error) / whole
    tail = (1 - confidence) / 2
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    freedom = (a * by_reader + b * error) ** 2 / (
        (a * by_reader) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    )
    upper = f.ppf(1 - tail, n - 1, freedom)
    lower = f.ppf(1 - tail, freedom, n - 1)
    rest = k * by_reader + (k * n - k - n) * error
    low = n * (by_case - upper * error) / (upper * rest + n * by_case)
    high = n * (lower * by_case - error) / (rest + n * lower * by_case)
    return IntraclassCorrelation("ICC(2,1)", float(value), float(low), float(high), n, k)


def icc_consistency(sizes: ArrayLike, *, confidence: float = 0.95) -> IntraclassCorrelation:
    """ICC(3,1): consistency of single measurements by just these readers; a constant bias is forgiven.

    Notes
    -----
    Shrout & Fleiss 1979, Psychol Bull 86:420.
    """
    from scipy.stats import f

    values, by_case, _, error = _mean_squares(sizes)
    n, k = values.shape
    if error == 0:
        return IntraclassCorrelation("ICC(3,1)", *_perfect(by_case), n, k)
    value = (by_case - error) / (by_case + (k - 1) * error)
    tail = (1 - confidence) / 2
    ratio = by_case / error
    lower = ratio / f.ppf(1 - tail, n - 1, (n - 1) * (k - 1))
    upper = ratio * f.ppf(1 - tail, (n - 1) * (k - 1), n - 1)
    low, high = (lower - 1) / (lower + k - 1), (upper - 1) / (upper + k - 1)
    return IntraclassCorrelation("ICC(3,1)", float(value), float(low), float(high), n, k)


def bland_altman(first: ArrayLike, second: ArrayLike) -> BlandAltman:
    """Limits of agreement of two readers' sizes.

    Parameters
    ----------
    first, second : (N,) array_like
        The same cases, in the same order and unit; at least three.

    Raises
    ------
    AnalysisError
        If the lengths differ, or there are fewer than three cases.

    Notes
    -----
    Bland & Altman 1986, Lancet i:307, with their approximate standard error of
    a limit, sqrt(3/n) standard deviations, and 1999, Stat Methods Med Res 8:135.
    """
    from scipy.stats import t

    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != other.shape or one.ndim != 1 or len(one) < 3:
        raise AnalysisError(
            Problem.BAD_INPUT,
            f"expected two lists of at least 3 sizes, got {one.shape} and {other.shape}",
        )
    differences, means = other - one, (one + other) / 2
    n = len(differences)
    bias, deviation = float(differences.mean()), float(differences.std(ddof=1))
    low, high = bias - 1.96 * deviation, bias + 1.96 * deviation
    quantile = float(t.ppf(0.975, n - 1))
    if np.ptp(differences) <= ROUNDING * float(np.abs([one, other]).max()):
        quantile = nan  # three equal differences do not make a fourth certain
    of_bias = quantile * deviation / sqrt(n)
    of_limit = quantile * deviation * sqrt(3 / n)
    within = sqrt(float((differences**2).mean()) / 2)
    spread = float(((means - means.mean()) ** 2).sum())
    slope = float(((means - means.mean()) * differences).sum()) / spread if spread else nan
    return BlandAltman(
        cases=n,
        bias=bias,
        standard_deviation=deviation,
        low=low,
        high=high,
        bias_interval=(bias - of_bias, bias + of_bias),
        low_interval=(low - of_limit, low + of_limit),
        high_interval=(high - of_limit, high + of_limit),
        repeatability=1.96 * sqrt(2) * within,
        slope=slope,
    )


def _bad_input(sentence: str) -> AnalysisError:
    return AnalysisError(Problem.BAD_INPUT, sentence)


def _counts(table: ArrayLike) -> FloatArray:
    counts = np.asarray(table, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or len(counts) < 2:
        raise AnalysisError(
            Problem.BAD_INPUT, f"expected a square table of at least 2 classes, got shape {counts.shape}"
        )
    if (counts < 0).any() or not np.isfinite(counts).all() or counts.sum() == 0:
        raise _bad_input("a table of agreement holds counts of at least one case")
    return counts


def _weight_matrix(classes: int, weights: Weights) -> FloatArray:
    """Return 1 on the diagonal, less the farther apart two classes are."""
    places = np.arange(classes, dtype=np.float64)
    distance = np.abs(places[:, None] - places[None, :])
    if weights is Weights.NOMINAL:
        return np.eye(classes)
    power = 1 if weights is Weights.LINEAR else 2
    return np.asarray(1 - (distance / (classes - 1)) ** power)


def _with_interval(name: str, value: float, variance: float, cases: int, confidence: float) -> Coefficient:
    from scipy.stats import norm

    if variance * cases < ROUNDING:
        return Coefficient(name, float(value), nan, nan, nan, cases)
    error = sqrt(variance)
    reach = float(norm.ppf(0.5 + confidence / 2)) * error
    low, high = max(value - reach, -1.0), min(value + reach, 1.0)
    return Coefficient(name, float(value), error, float(low), float(high), cases)


def _perfect(by_case: float) -> tuple[float, float, float]:
    """Return the ICC of readers who never differ; not defined if the cases do not, either."""
    return (1.0 if by_case > 0 else nan, nan, nan)


def _mean_squares(sizes: ArrayLike) -> tuple[FloatArray, float, float, float]:
    """Return the sizes and the mean squares between cases, between readers, and of the rest."""
    values = np.asarray(sizes, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 2:
        raise AnalysisError(
            Problem.BAD_INPUT, f"expected cases by readers, at least 2 of each, got shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise AnalysisError(
            Problem.BAD_INPUT, "a size is missing; an ICC needs every reader's size of every case"
        )
    n, k = values.shape
    grand = values.mean()
    by_case = k * ((values.mean(axis=1) - grand) ** 2).sum() / (n - 1)
    by_reader = n * ((values.mean(axis=0) - grand) ** 2).sum() / (k - 1)
    residual = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0, keepdims=True) + grand
    error = (residual**2).sum() / ((n - 1) * (k - 1))
    # What rounding leaves of equal sizes is no variance.
    floor = (ROUNDING * float(np.abs(values).max())) ** 2
    squares = (float(square) if square > floor else 0.0 for square in (by_case, by_reader, error))
    by_case, by_reader, error = squares
    return values, by_case, by_reader, error
