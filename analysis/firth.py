"""Firth's penalised likelihood for sparse data, Cox and logistic.

Where no event, or nothing but events, falls on one side of a covariate, the
likelihood has no maximum: the paper printed such a hazard ratio as 106. Half
the log determinant of the information, added to the log-likelihood, gives a
finite, less biased estimate (Firth 1993, Biometrika 80:27; Heinze and Schemper
2001, Biometrics 57:114 for Cox, 2002, Stat Med 21:2409 for logistic). Intervals
follow the profile of the penalised likelihood; Wald's would be of no use there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import brentq

from analysis.comparisons import Interval
from analysis.cox import observed
from analysis.design import design_matrix, require_complete
from analysis.errors import AnalysisError, Problem
from analysis.logistic import INTERCEPT
from analysis.risk_sets import (
    RiskSets,
    Sums,
    Ties,
    exposure,
    information,
    over_risk_sets,
    score,
    sum_by_moment,
    sum_up,
)

__all__ = ["FirthFit", "firth_cox", "firth_logistic"]

FloatArray = NDArray[np.float64]

TOO_FEW = "the events are too few to tell the covariates apart"
MOST_ITERATIONS = 200
FARTHEST = 60.0  # a profile limit this many log units per covariate range away is called infinite


@dataclass(frozen=True, slots=True, eq=False)
class FirthFit:
    """A penalised fit.

    Attributes
    ----------
    coefficients, se : dict of str to float
        Estimates, and Wald errors from the information (for orientation only).
    low, high : dict of str to float
        Profile penalised-likelihood limits, possibly infinite.
    p_values : dict of str to float
        Penalised likelihood-ratio tests.
    covariance : (P, P) ndarray
        Inverse information at the estimate.
    """

    coefficients: dict[str, float]
    se: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    p_values: dict[str, float]
    log_likelihood: float
    penalised_log_likelihood: float
    covariance: FloatArray
    n: int
    n_events: int
    level: float

    def ratio(self, name: str) -> Interval:
        """Return the hazard or odds ratio with its profile interval."""
        values = np.exp([self.coefficients[name], self.low[name], self.high[name]])
        return Interval(float(values[0]), float(values[1]), float(values[2]), self.level)


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """Value, gradient and information of a penalised log-likelihood at given coefficients."""

    at: Callable[[FloatArray], tuple[float, FloatArray, FloatArray]]
    ranges: FloatArray
    size: int


def firth_cox(
    frame: pd.DataFrame,
    duration: str,
    event: str,
    covariates: Sequence[str],
    *,
    weights: str | None = None,
    entry: str | None = None,
    strata: str | Sequence[str] | None = None,
    ties: Ties | str = Ties.EFRON,
    level: float = 0.95,
) -> FirthFit:
    """Fit a Cox model by Firth's penalised partial likelihood; arguments as `cox`."""
    design = design_matrix(frame, covariates)
    sets, _ = observed(frame, duration, event, design, weights, entry, strata, None, Ties(ties))

    def at(beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        sums = sum_up(sets, beta)
        inner = information(sets, sums)
        if not np.isfinite(sums.log_likelihood) or not np.isfinite(inner).all():
            return -np.inf, beta, inner
        sign, log_determinant = np.linalg.slogdet(inner)
        if sign <= 0:
            return -np.inf, beta, inner
        pull = np.einsum("jk,kjl->l", np.linalg.inv(inner), _information_slope(sets, sums))
        return sums.log_likelihood + log_determinant / 2, score(sets, sums) + pull / 2, inner

    model = _Model(at, np.ptp(sets.x, axis=0), len(design.names))
    return _fit(
        model,
        design.names,
        lambda beta: sum_up(sets, beta).log_likelihood,
        len(frame),
        int(sets.died.sum()),
        level,
    )


def firth_logistic(
    frame: pd.DataFrame,
    outcome: str,
    covariates: Sequence[str],
    *,
    level: float = 0.95,
    with_limits: bool = True,
) -> FirthFit:
    """Fit a logistic model of a 0/1 column by Firth's penalised likelihood.

    Without `with_limits` the profile is not walked: limits and p-values are absent.
    """
    require_complete(frame, [outcome])
    design = design_matrix(frame, covariates)
    y = frame[outcome].to_numpy(dtype=np.float64)
    if not np.isin(y, (0.0, 1.0)).all():
        raise AnalysisError(Problem.BAD_INPUT, "the outcome of a logistic model is 0 or 1")
    x = np.column_stack([np.ones(len(frame)), design.values])

    def plain(beta: FloatArray) -> float:
        eta = x @ beta
        return float(y @ eta - np.logaddexp(0.0, eta).sum())

    def at(beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        fitted = special.expit(x @ beta)
        weight = fitted * (1 - fitted)
        inner = (x * weight[:, None]).T @ x
        sign, log_determinant = np.linalg.slogdet(inner)
        if sign <= 0:
            return -np.inf, beta, inner
        leverage = weight * ((x @ np.linalg.inv(inner)) * x).sum(axis=1)
        gradient = x.T @ (y - fitted + leverage * (0.5 - fitted))
        return plain(beta) + log_determinant / 2, gradient, inner

    ranges = np.concatenate([[1.0], np.ptp(design.values, axis=0)])
    model = _Model(at, ranges, x.shape[1])
    names = (INTERCEPT, *design.names)
    return _fit(model, names, plain, len(y), int(y.sum()), level, with_limits=with_limits)


def _information_slope(sets: RiskSets, sums: Sums) -> FloatArray:
    """Return the derivative of the information by each coefficient; (P, P, P), the last is which."""
    p = sets.x.shape[1]
    gathered = exposure(sets, sums, sums.hazard)
    weighted_means = exposure(sets, sums, sums.hazard[:, None] * sums.means)
    slope = np.empty((p, p, p))
    outer = (sets.x[:, :, None] * sets.x[:, None, :]).reshape(len(sets.x), p * p)
    rows = np.column_stack([sums.risk, sums.risk[:, None] * outer])
    dying = sum_by_moment(sets, rows[sets.event_rows])[sets.moment]
    left = over_risk_sets(sets, rows)[sets.moment] - sets.fraction[:, None] * dying
    second = (left[:, 1:] / left[:, :1]).reshape(-1, p, p)
    spread = second - sums.means[:, :, None] * sums.means[:, None, :]
    for j in range(p):
        factor = sums.risk * (gathered * sets.x[:, j] - weighted_means[:, j])
        first = (sets.x * factor[:, None]).T @ sets.x
        cross = (spread[:, :, j] * sets.mean_weight[:, None]).T @ sums.means
        slope[:, :, j] = first - cross - cross.T
    return slope


def _fit(
    model: _Model,
    names: Sequence[str],
    plain: Callable[[FloatArray], float],
    n: int,
    n_events: int,
    level: float,
    *,
    with_limits: bool = True,
) -> FirthFit:
    beta, top = _climb(model, np.zeros(model.size), np.ones(model.size, dtype=bool))
    covariance = np.asarray(np.linalg.inv(model.at(beta)[2]), dtype=np.float64)
    if not (np.diag(covariance) > 0).all():
        raise AnalysisError(Problem.NOT_ESTIMABLE, TOO_FEW)
    errors = np.sqrt(np.diag(covariance))
    threshold = float(special.chdtri(1, 1 - level)) / 2
    low, high, p_values = {}, {}, {}
    for j, name in enumerate(names if with_limits else ()):
        low[name] = _profile_limit(model, beta, top - threshold, j, -errors[j])
        high[name] = _profile_limit(model, beta, top - threshold, j, errors[j])
        without = _profile(model, beta, j, 0.0)
        p_values[name] = float(special.chdtrc(1, max(0.0, 2 * (top - without))))
    return FirthFit(
        coefficients={name: float(b) for name, b in zip(names, beta, strict=True)},
        se={name: float(e) for name, e in zip(names, errors, strict=True)},
        low=low,
        high=high,
        p_values=p_values,
        log_likelihood=plain(beta),
        penalised_log_likelihood=top,
        covariance=covariance,
        n=n,
        n_events=n_events,
        level=level,
    )


def _climb(model: _Model, start: FloatArray, free: NDArray[np.bool_]) -> tuple[FloatArray, float]:
    """Maximise over the free coefficients, from `start`."""
    beta = start.copy()
    value, gradient, inner = model.at(beta)
    if not free.any():
        return beta, value
    for _ in range(MOST_ITERATIONS):
        step = np.zeros(model.size)
        try:
            step[free] = np.linalg.solve(inner[np.ix_(free, free)], gradient[free])
        except np.linalg.LinAlgError as error:
            raise AnalysisError(Problem.NOT_ESTIMABLE, TOO_FEW) from error
        step /= max(1.0, float((np.abs(step) * model.ranges).max()) / 5.0)
        size = float(gradient @ step)
        following = model.at(beta + step)
        # The information is not the curvature of the penalised likelihood: a secant mends the length.
        slope = float(following[1] @ step) if np.isfinite(following[0]) else 0.0
        if abs(slope) > 0.3 * size:
            step = step * float(np.clip(size / (size - slope), 0.1, 4.0)) if slope < size else 4 * step
            following = model.at(beta + step)
        halvings = 0
        while not following[0] >= value - 1e-12 * (1 + abs(value)) and halvings < 40:
            step, halvings = step / 2, halvings + 1
            following = model.at(beta + step)
        beta = beta + step
        value, gradient, inner = following
        if size < 1e-20 or (size < 1e-13 and halvings):
            return beta, value
    raise AnalysisError(Problem.NOT_CONVERGED, "the penalised likelihood did not settle")


def _profile(model: _Model, beta: FloatArray, j: int, value: float) -> float:
    start, free = beta.copy(), np.ones(model.size, dtype=bool)
    start[j], free[j] = value, False
    return _climb(model, start, free)[1]


def _profile_limit(model: _Model, beta: FloatArray, target: float, j: int, step: float) -> float:
    """Walk from the estimate until the profile has fallen to the target, then close in."""
    near, far = float(beta[j]), float(beta[j] + 2 * step)
    while _profile(model, beta, j, far) > target:
        near, step = far, step * 1.6
        far = near + step
        if abs(far - beta[j]) * model.ranges[j] > FARTHEST:
            return float(np.sign(step) * np.inf)
    root = brentq(lambda b: _profile(model, beta, j, b) - target, near, far, xtol=1e-10, rtol=1e-12)
    return float(root)
