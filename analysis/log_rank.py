"""Log-rank tests: stratified, with G-rho-gamma weights, for two or more groups."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from analysis.errors import AnalysisError, Problem
from analysis.kaplan_meier import checked_times

__all__ = ["LogRank", "log_rank", "log_rank_p"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LogRank:
    """Observed and expected events by group, and whether they differ."""

    groups: tuple[str, ...]
    n: tuple[int, ...]
    observed: tuple[float, ...]
    expected: tuple[float, ...]
    chi_squared: float
    df: int
    p_value: float


def log_rank(
    time: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    entry: ArrayLike | None = None,
    rho: float = 0.0,
    gamma: float = 0.0,
) -> LogRank:
    """Test whether groups share one survival curve.

    Parameters
    ----------
    time, event, entry : (N,) array_like
        As in `kaplan_meier`.
    group, strata : (N,) array_like
        What is compared, and within what.
    rho, gamma : float
        Events at t count S(t-)^rho (1 - S(t-))^gamma, with S the curve of all
        groups of the stratum: (0, 0) is the log-rank test, (1, 0) Peto and
        Peto's form of Wilcoxon's, (0, 1) looks for late differences
        (Harrington and Fleming 1982, Biometrika 69:553).

    Raises
    ------
    AnalysisError
        If there are fewer than two groups or no event, or nothing can vary: only
        one group is ever at risk at an event, or all at risk die at once.
    """
    stop, died, start, _ = checked_times(time, event, entry, None)
    names, member = np.unique(np.asarray(group), return_inverse=True)
    if len(names) < 2:
        raise AnalysisError(Problem.BAD_INPUT, "a log-rank test needs two or more groups")
    if not died.any():
        raise AnalysisError(Problem.NO_EVENTS, "there is no event to compare")
    layer = np.zeros(len(stop), dtype=int) if strata is None else np.unique(strata, return_inverse=True)[1]
    observed, expected = np.zeros(len(names)), np.zeros(len(names))
    covariance = np.zeros((len(names), len(names)))
    for number in range(int(layer.max()) + 1):
        inside = layer == number
        seen, foreseen, spread = _one_stratum(
            stop[inside], died[inside], start[inside], member[inside], len(names), rho, gamma
        )
        observed, expected, covariance = observed + seen, expected + foreseen, covariance + spread
    present = expected > 0
    gap = (observed - expected)[present][:-1]
    spread = covariance[np.ix_(present, present)][:-1, :-1]
    df = len(gap)
    if df == 0:
        raise AnalysisError(Problem.NOT_ESTIMABLE, "only one group is ever at risk at an event")
    try:
        statistic = float(gap @ np.linalg.solve(spread, gap))
    except np.linalg.LinAlgError as error:
        sentence = "at every event all who are at risk have it: nothing is left to chance"
        raise AnalysisError(Problem.NOT_ESTIMABLE, sentence) from error
    return LogRank(
        tuple(str(name) for name in names),
        tuple(int(n) for n in np.bincount(member)),
        tuple(float(x) for x in observed),
        tuple(float(x) for x in expected),
        statistic,
        df,
        float(special.chdtrc(df, statistic)),
    )


def log_rank_p(time: ArrayLike, event: ArrayLike, group: ArrayLike) -> float:
    """Return the p-value of `log_rank`, NaN where the data hold no test."""
    try:
        return log_rank(time, event, group).p_value
    except AnalysisError as error:
        if error.problem in (Problem.BAD_INPUT, Problem.NO_EVENTS, Problem.NOT_ESTIMABLE):
            return float("nan")
        raise


def _one_stratum(
    stop: FloatArray,
    died: NDArray[np.bool_],
    start: FloatArray,
    member: NDArray[np.int64],
    n_groups: int,
    rho: float,
    gamma: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return observed, expected and the covariance of their difference, summed over event times."""
    grid = np.unique(stop[died])
    if len(grid) == 0:
        return np.zeros(n_groups), np.zeros(n_groups), np.zeros((n_groups, n_groups))
    at_risk = np.empty((len(grid), n_groups))
    deaths = np.empty((len(grid), n_groups))
    for number in range(n_groups):
        mine = member == number
        out = np.searchsorted(np.sort(stop[mine]), grid, side="left")
        into = np.searchsorted(np.sort(start[mine]), grid, side="left")
        at_risk[:, number] = into - out
        fell = np.sort(stop[mine & died])
        deaths[:, number] = np.searchsorted(fell, grid, side="right") - np.searchsorted(
            fell, grid, side="left"
        )
    n, d = at_risk.sum(axis=1), deaths.sum(axis=1)
    before = np.concatenate([[1.0], np.cumprod(1 - d / n)[:-1]])
    weight = before**rho * (1 - before) ** gamma
    share = at_risk / n[:, None]
    spread = weight**2 * d * np.divide(n - d, n - 1, out=np.zeros(len(n)), where=n > 1)
    covariance = np.diag((spread[:, None] * share).sum(axis=0)) - (share * spread[:, None]).T @ share
    return (
        (weight[:, None] * deaths).sum(axis=0),
        ((weight * d)[:, None] * share).sum(axis=0),
        covariance,
    )
