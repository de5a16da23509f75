"""How far two readers agree: classes (kappa and its kin) and sizes (ICC, Bland-Altman)."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isnan, nan, sqrt

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

ADDED_CASES = 2  # spread evenly over a table, for its interval: Agresti & Min 2005, Stat Med 24:729
LIMIT = 1.96  # standard deviations from the bias to a limit of agreement
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
    error is nan where the cases show no spread, as when readers agree on all:
    an error of 0 would call two cases certain. The interval is there all the same.
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
    readers' differences with those between cases. The interval is nan where it rests on one case or on
    none: with fewer than three cases, or where readers differ in no other.
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
    does not assume kappa to be 0; its interval is that of the table with two cases more
    (`_with_interval`). Kappa falls with skewed margins at the same agreement: read it beside
    `pabak` and `ac1`.
    """
    counts = _counts(table)
    weight = _weight_matrix(len(counts), weights)
    name = "kappa" if weights is Weights.NOMINAL else f"{weights} kappa"
    return _with_interval(name, lambda shares: _kappa_and_variance(shares, weight), counts, confidence)


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
    cases, readers fixed. The interval is that of the table with two cases more (`_with_interval`).
    """
    return _with_interval("AC1", _ac1_and_variance, _counts(table), confidence)


def icc_agreement(sizes: ArrayLike, *, confidence: float = 0.95) -> IntraclassCorrelation:
    """ICC(2,1): absolute agreement of single measurements by readers drawn from many.

    Parameters
    ----------
    sizes : (cases, readers) array_like
        Without gaps.
    confidence : float

    Notes
    -----
    Shrout & Fleiss 1979, Psychol Bull 86:420. The interval is over cases like these, for
    these readers (`_jackknife`): two say little of all readers there may be, whom the interval of
    McGraw & Wong 1996 is meant for.
    """
    return _icc("ICC(2,1)", _agreement_of, sizes, confidence)


def icc_consistency(sizes: ArrayLike, *, confidence: float = 0.95) -> IntraclassCorrelation:
    """ICC(3,1): consistency of single measurements by just these readers; a constant bias is forgiven.

    Notes
    -----
    Shrout & Fleiss 1979, Psychol Bull 86:420; the interval as that of `icc_agreement`.
    """
    return _icc("ICC(3,1)", _consistency_of, sizes, confidence)


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
    Bland & Altman 1986, Lancet i:307, and 1999, Stat Methods Med Res 8:135; exact intervals of
    the limits by the noncentral t distribution (Carkeet 2015, Optom Vis Sci 92:e71).
    """
    from scipy.stats import nct, t

    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != other.shape or one.ndim != 1 or len(one) < 3:
        raise AnalysisError(
            Problem.BAD_INPUT,
            f"expected two lists of at least 3 sizes, got {one.shape} and {other.shape}",
        )
    differences, means = other - one, (one + other) / 2
    n = len(differences)
    bias, deviation = float(differences.mean()), float(differences.std(ddof=1))
    low, high = bias - LIMIT * deviation, bias + LIMIT * deviation
    quantile = float(t.ppf(0.975, n - 1))
    if np.ptp(differences) <= ROUNDING * float(np.abs([one, other]).max()):
        quantile = nan  # three equal differences do not make a fourth certain
        near = far = nan
    else:
        near, far = (float(nct.ppf(p, n - 1, LIMIT * sqrt(n))) * deviation / sqrt(n) for p in (0.025, 0.975))
    of_bias = quantile * deviation / sqrt(n)
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
        low_interval=(bias - far, bias - near),
        high_interval=(bias + near, bias + far),
        repeatability=LIMIT * sqrt(2) * within,
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


def _kappa_and_variance(shares: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Return kappa, and its variance times the number of cases (Fleiss, Cohen & Everitt 1969)."""
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed = float((weight * shares).sum())
    chance = float(rows @ weight @ columns)
    if np.isclose(chance, 1.0):
        return nan, nan
    value = (observed - chance) / (1 - chance)
    expected = (weight @ columns)[:, None] + (rows @ weight)[None, :]
    spread = float((shares * (weight - expected * (1 - value)) ** 2).sum())
    return value, (spread - (value - chance * (1 - value)) ** 2) / (1 - chance) ** 2


def _ac1_and_variance(shares: FloatArray) -> tuple[float, float]:
    """Return AC1, and its variance times the number of cases (Gwet 2008)."""
    classes = len(shares)
    mean_share = (shares.sum(axis=1) + shares.sum(axis=0)) / 2
    observed = float(np.trace(shares))
    chance = float((mean_share * (1 - mean_share)).sum()) / (classes - 1)
    value = (observed - chance) / (1 - chance)
    # How one case pulls the coefficient: agreement on it, less the chance its two classes carry.
    case_chance = (2 - mean_share[:, None] - mean_share[None, :]) / 2 / (classes - 1)
    agree = np.eye(classes)
    pull = (agree - chance) / (1 - chance) - 2 * (1 - value) * (case_chance - chance) / (1 - chance)
    return value, float((shares * (pull - value) ** 2).sum())


def _with_interval(
    name: str,
    value_and_variance: Callable[[FloatArray], tuple[float, float]],
    counts: FloatArray,
    confidence: float,
) -> Coefficient:
    """Return a coefficient with its error, and the interval of the table with two cases more.

    Two cases, spread evenly over all cells (half a case each of a 2 x 2 table: Agresti &
    Min 2005, Stat Med 24:729), keep the large-sample interval near its level where few cases are
    positive; alone it holds kappa in 81 to 90 % of such studies of 10 to 50 (`benchmarks.agreement`),
    and there is none where readers agree on all. The estimate is that of the table as it is.
    """
    from scipy.stats import norm

    cases = int(counts.sum())
    value, variance = value_and_variance(counts / cases)
    if isnan(value):
        return Coefficient(name, nan, nan, nan, nan, cases)
    error = nan if variance < ROUNDING else sqrt(variance / cases)
    more = counts + ADDED_CASES / counts.size
    centre, variance = value_and_variance(more / more.sum())
    reach = float(norm.ppf(0.5 + confidence / 2)) * sqrt(variance / more.sum())
    low, high = max(min(centre - reach, value), -1.0), min(max(centre + reach, value), 1.0)
    return Coefficient(name, value, error, low, high, cases)


def _icc(
    name: str, value_of: Callable[[FloatArray], float], sizes: ArrayLike, confidence: float
) -> IntraclassCorrelation:
    values = _sizes(sizes)
    low, high = _jackknife(value_of, values, confidence)
    return IntraclassCorrelation(name, value_of(values), low, high, *values.shape)


def _agreement_of(values: FloatArray) -> float:
    by_case, by_reader, error = _mean_squares(values)
    n, k = values.shape
    if error == 0 and (by_reader == 0 or by_case == 0):
        # Readers who never differ; not defined if the cases do not, either.
        return 1.0 if by_case > 0 else nan
    whole = by_case + (k - 1) * error + k * (by_reader - error) / n
    return (by_case - error) / whole if whole else nan  # nan: two cases whose sizes two readers exchange


def _consistency_of(values: FloatArray) -> float:
    by_case, _, error = _mean_squares(values)
    k: int = values.shape[1]
    if error == 0:
        return 1.0 if by_case > 0 else nan
    return (by_case - error) / (by_case + (k - 1) * error)


def _jackknife(
    value_of: Callable[[FloatArray], float], values: FloatArray, confidence: float
) -> tuple[float, float]:
    """Return the interval of an ICC: of its Fisher z, with each case left out in turn.

    Arvesen & Schmitz 1970, Biometrics 26:677. Sizes of lesions are skewed, which the F distribution
    does not forgive: where cases have a log standard deviation of 0.5 and readers no bias, McGraw and
    Wong's interval (1996, Psychol Methods 1:30) holds the truth in 83 to 92 %, this one in 89 to 93 %,
    and both in about 95 % of normal sizes (`benchmarks.agreement`).
    """
    from scipy.stats import t

    n, k = values.shape
    if n < 3:
        return nan, nan
    found = np.array([value_of(values), *(value_of(np.delete(values, case, axis=0)) for case in range(n))])
    if not ((found > -1 / (k - 1)) & (found < 1)).all():  # nan too
        return nan, nan
    z = np.log((1 + (k - 1) * found) / (1 - found)) / 2
    pseudo = n * z[0] - (n - 1) * z[1:]
    reach = float(t.ppf(0.5 + confidence / 2, n - 1)) * pseudo.std(ddof=1) / sqrt(n)
    ends = np.exp(np.clip(2 * (pseudo.mean() + np.array([-reach, reach])), -700, 700))
    low, high = 1 - k / (ends + k - 1)
    return float(min(low, found[0])), float(max(high, found[0]))


def _sizes(sizes: ArrayLike) -> FloatArray:
    """Check sizes, cases by readers."""
    values = np.asarray(sizes, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 2:
        raise _bad_input(f"expected cases by readers, at least 2 of each, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise _bad_input("a size is missing; an ICC needs every reader's size of every case")
    return values


def _mean_squares(values: FloatArray) -> tuple[float, float, float]:
    """Return the mean squares between cases, between readers, and of the rest."""
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
    return by_case, by_reader, error
