"""Kaplan-Meier curves, their intervals, medians and restricted means.

Conventions are those of R's survival 3.5 and are tested against it: a subject
is at risk over (entry, time]; where a curve lies flat on exactly one half, the
median is the middle of that step; weights that are not counts get the
infinitesimal-jackknife variance instead of Greenwood's.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from analysis.comparisons import Interval
from analysis.errors import AnalysisError, Problem
from records.wording import counted

__all__ = ["IntervalKind", "RestrictedMean", "SurvivalCurve", "kaplan_meier", "restricted_mean"]

FloatArray = NDArray[np.float64]

ON_ONE_HALF = float(np.sqrt(np.finfo(float).eps))


class IntervalKind(StrEnum):
    """The scale on which a curve's confidence interval is symmetric."""

    LOG = "log"
    LOG_LOG = "log-log"
    PLAIN = "plain"
    LOGIT = "logit"
    ARCSIN = "arcsin"


@dataclass(frozen=True, slots=True, eq=False)
class SurvivalCurve:
    """A survival curve: one entry of each array a distinct time of event or censoring.

    Attributes
    ----------
    at_risk, events, censored : (T,) ndarray
        Sums of weights just before, at and at each time.
    at_risk_count : (T,) ndarray
        Subjects at risk, whatever their weights.
    survival, se, low, high : (T,) ndarray
        The curve just after each time, its standard error and limits (NaN where the curve is 0).
    """

    time: FloatArray
    at_risk: FloatArray
    events: FloatArray
    censored: FloatArray
    at_risk_count: NDArray[np.int64]
    survival: FloatArray
    se: FloatArray
    low: FloatArray
    high: FloatArray
    n: int
    n_events: int
    level: float
    interval: IntervalKind
    entry_times: FloatArray
    stop_times: FloatArray

    @property
    def median(self) -> Interval:
        """When half are still free of the event; NaN where a curve never falls to one half."""
        value, low, high = (self._half_time(y) for y in (self.survival, self.low, self.high))
        return Interval(value, low, high, self.level)

    def _half_time(self, heights: FloatArray) -> float:
        below = np.flatnonzero(np.isfinite(heights) & (heights < 0.5 + ON_ONE_HALF))
        if len(below) == 0:
            return float("nan")
        first = below[0]
        if abs(heights[first] - 0.5) < ON_ONE_HALF:
            lower = below[heights[below] < heights[first]]
            if len(lower):
                return float((self.time[first] + self.time[lower[0]]) / 2)
        return float(self.time[first])

    def survival_at(self, times: ArrayLike) -> FloatArray:
        """Return the curve's height at the given times (1 before the first event)."""
        which = np.searchsorted(self.time, np.asarray(times, dtype=np.float64), side="right")
        return np.asarray(np.concatenate([[1.0], self.survival])[which])

    def count_at_risk(self, times: ArrayLike) -> NDArray[np.int64]:
        """Return how many subjects, unweighted, are at risk just before the given times."""
        at = np.asarray(times, dtype=np.float64)
        entered = np.searchsorted(np.sort(self.entry_times), at, side="left")
        entered[at == 0] = int((self.entry_times <= 0).sum())
        left = np.searchsorted(np.sort(self.stop_times), at, side="left")
        return np.asarray(entered - left)


@dataclass(frozen=True, slots=True)
class RestrictedMean:
    """The mean time free of the event within `horizon`, with its sampling error."""

    mean: float
    se: float
    horizon: float
    level: float = 0.95

    @property
    def interval(self) -> Interval:
        """Normal interval."""
        half = float(special.ndtri(0.5 + self.level / 2)) * self.se
        return Interval(self.mean, self.mean - half, self.mean + half, self.level)


def kaplan_meier(
    time: ArrayLike,
    event: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    entry: ArrayLike | None = None,
    level: float = 0.95,
    interval: IntervalKind | str = IntervalKind.LOG,
) -> SurvivalCurve:
    """Estimate a survival curve.

    Parameters
    ----------
    time : (N,) array_like
        Time of event or censoring.
    event : (N,) array_like of bool
        Whether the event happened.
    weights : (N,) array_like, optional
        Case weights above 0. Fractional ones get the robust variance.
    entry : (N,) array_like, optional
        Time at which each subject came under observation.

    Raises
    ------
    AnalysisError
        If values are missing, weights not above 0, or a time not after its entry.

    Notes
    -----
    Kaplan and Meier 1958, J Am Stat Assoc 53:457; variance of Greenwood 1926.
    """
    stop, died, start, weight = checked_times(time, event, entry, weights)
    grid, place = np.unique(stop, return_inverse=True)
    events = _sum_by(place, weight * died, len(grid))
    censored = _sum_by(place, weight * ~died, len(grid))
    at_risk = _sums_at_risk(grid, start, stop, weight)
    remaining = np.where(np.isclose(events, at_risk, rtol=1e-12, atol=0), 0.0, at_risk - events)
    survival = np.asarray(np.cumprod(remaining / at_risk), dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        if (weight == np.floor(weight)).all():
            relative = np.sqrt(np.cumsum(events / (at_risk * remaining)))
        else:
            relative = _robust_relative_error(grid, start, stop, died, weight, at_risk, remaining)
        se = np.asarray(np.where(survival > 0, survival * relative, 0.0), dtype=np.float64)
    low, high = _limits(survival, se, level, IntervalKind(interval))
    counts = _sums_at_risk(grid, start, stop, np.ones(len(stop)))
    return SurvivalCurve(
        time=grid,
        at_risk=at_risk,
        events=events,
        censored=censored,
        at_risk_count=np.round(counts).astype(np.int64),
        survival=survival,
        se=se,
        low=low,
        high=high,
        n=len(stop),
        n_events=int(died.sum()),
        level=level,
        interval=IntervalKind(interval),
        entry_times=start,
        stop_times=stop,
    )


def restricted_mean(curve: SurvivalCurve, horizon: float) -> RestrictedMean:
    """Return the area under the curve up to `horizon` with Greenwood's standard error.

    Notes
    -----
    For a curve with fractional weights the weighted counts enter Greenwood's
    formula, as in R; such an error ignores that the weights were chosen.
    """
    if not horizon > 0:
        raise AnalysisError(Problem.BAD_INPUT, f"a restricted mean needs a horizon above 0, got {horizon}")
    if horizon > curve.time[-1] and curve.survival[-1] > 0:
        raise AnalysisError(
            Problem.NOT_ESTIMABLE,
            f"the curve ends at {curve.time[-1]:g}, before the horizon {horizon:g}: choose an earlier one",
        )
    keep = curve.time <= horizon
    edges = np.concatenate([[0.0], curve.time[keep], [horizon]])
    heights = np.concatenate([[1.0], curve.survival[keep]])
    areas = np.diff(edges) * heights
    after = np.cumsum(areas[::-1])[::-1][1:]  # area to the right of each kept time
    remaining = curve.at_risk[keep] - curve.events[keep]
    with np.errstate(divide="ignore", invalid="ignore"):
        jumps = np.where(remaining > 1e-12, curve.events[keep] / (curve.at_risk[keep] * remaining), 0.0)
    return RestrictedMean(float(areas.sum()), float(np.sqrt((after**2 * jumps).sum())), horizon, curve.level)


def checked_times(
    time: ArrayLike, event: ArrayLike, entry: ArrayLike | None, weights: ArrayLike | None
) -> tuple[FloatArray, NDArray[np.bool_], FloatArray, FloatArray]:
    """Return (stop, event, start, weight) as checked arrays; entry defaults to minus infinity."""
    stop = np.asarray(time, dtype=np.float64)
    raw = np.asarray(event, dtype=np.float64)
    start = np.full(len(stop), -np.inf) if entry is None else np.asarray(entry, dtype=np.float64)
    weight = np.ones(len(stop)) if weights is None else np.asarray(weights, dtype=np.float64)
    if len(stop) == 0:
        raise AnalysisError(Problem.BAD_INPUT, "there is no subject")
    if not len(stop) == len(raw) == len(start) == len(weight):
        raise AnalysisError(Problem.BAD_INPUT, "times, events, entries and weights differ in number")
    for name, values in (("time", stop), ("event", raw), ("weight", weight), ("entry", start)):
        if np.isnan(values).any():
            count = int(np.isnan(values).sum())
            raise AnalysisError(
                Problem.MISSING_VALUES, f"{counted(count, 'subject has', 'subjects have')} no {name}"
            )
    if not np.isin(raw, (0.0, 1.0)).all():
        raise AnalysisError(Problem.BAD_INPUT, "an event is 0 or 1")
    if (stop <= start).any():
        raise AnalysisError(
            Problem.BAD_INPUT,
            f"{counted(int((stop <= start).sum()), 'subject leaves', 'subjects leave')} before entering",
        )
    if entry is None and (stop < 0).any():
        raise AnalysisError(
            Problem.BAD_INPUT,
            f"{counted(int((stop < 0).sum()), 'subject has', 'subjects have')} a time below 0",
        )
    if not (weight > 0).all() or not np.isfinite(weight).all():
        raise AnalysisError(Problem.BAD_INPUT, "weights must be finite and above 0")
    return stop, raw == 1.0, start, weight


def _sum_by(place: NDArray[np.int64], values: FloatArray, length: int) -> FloatArray:
    return np.bincount(place, weights=values, minlength=length).astype(np.float64)


def _sums_at_risk(grid: FloatArray, start: FloatArray, stop: FloatArray, weight: FloatArray) -> FloatArray:
    """Sum weights over subjects with start < t <= stop, for every t of the grid."""
    still = _sum_from(grid, stop, weight)
    not_yet = _sum_from(grid, start, weight)
    return np.asarray(still - not_yet)


def _sum_from(grid: FloatArray, at: FloatArray, weight: FloatArray) -> FloatArray:
    """Sum weights over subjects whose `at` is t or later, for every t of the grid."""
    place = np.searchsorted(grid, at, side="right") - 1
    inside = place >= 0
    sums = np.bincount(place[inside], weights=weight[inside], minlength=len(grid))
    return np.asarray(np.cumsum(sums[::-1])[::-1])


def _robust_relative_error(
    grid: FloatArray,
    start: FloatArray,
    stop: FloatArray,
    died: NDArray[np.bool_],
    weight: FloatArray,
    at_risk: FloatArray,
    remaining: FloatArray,
) -> FloatArray:
    """Return the infinitesimal-jackknife error of log S(t).

    The derivative of log S(t) by the weight of subject i is
    G(min(t, stop)) - G(start) - [died by t] / (n - d) at its death, where G
    sums 1 / (n - d) - 1 / n; squares are summed over subjects with running sums.
    """
    gain = np.cumsum(1 / remaining - 1 / at_risk)
    before = np.concatenate([[0.0], gain])
    from_start = before[np.searchsorted(grid, start, side="right")]
    at_stop = np.searchsorted(grid, stop)
    settled = before[at_stop + 1] - from_start - np.where(died, 1 / remaining[at_stop], 0.0)
    gone = np.cumsum(np.bincount(at_stop, weights=(weight * settled) ** 2, minlength=len(grid)))
    squares = np.zeros(len(grid))
    for power, factor in ((0, gain**2), (1, -2 * gain), (2, np.ones(len(grid)))):
        values = weight**2 * from_start**power
        # still at risk just after t: start <= t < stop
        present = _sum_from(grid, stop, values) - np.bincount(at_stop, weights=values, minlength=len(grid))
        squares += factor * (present - _sum_strictly_after(grid, start, values))
    return np.asarray(np.sqrt(gone + squares))


def _sum_strictly_after(grid: FloatArray, at: FloatArray, weight: FloatArray) -> FloatArray:
    place = np.searchsorted(grid, at, side="left") - 1
    inside = place >= 0
    sums = np.bincount(place[inside], weights=weight[inside], minlength=len(grid))
    return np.asarray(np.cumsum(sums[::-1])[::-1])


def _limits(
    survival: FloatArray, se: FloatArray, level: float, kind: IntervalKind
) -> tuple[FloatArray, FloatArray]:
    z = float(special.ndtri(0.5 + level / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        s = np.where(survival > 0, survival, np.nan)
        if kind is IntervalKind.LOG:
            low, high = s * np.exp(-z * se / s), s * np.exp(z * se / s)
        elif kind is IntervalKind.LOG_LOG:
            half = z * se / (s * np.log(s))
            low, high = np.exp(np.log(s) * np.exp(-half)), np.exp(np.log(s) * np.exp(half))
        elif kind is IntervalKind.PLAIN:
            low, high = s - z * se, s + z * se
        elif kind is IntervalKind.LOGIT:
            half = z * se / (s * (1 - s))
            low, high = special.expit(special.logit(s) - half), special.expit(special.logit(s) + half)
        else:
            centre, half = np.arcsin(np.sqrt(s)), z * se / (2 * np.sqrt(s * (1 - s)))
            low = np.sin(np.clip(centre - half, 0, np.pi / 2)) ** 2
            high = np.sin(np.clip(centre + half, 0, np.pi / 2)) ** 2
    return np.clip(low, 0, 1), np.clip(high, 0, 1)
