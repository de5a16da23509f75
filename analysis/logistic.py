"""Logistic regression by maximum likelihood, with what estimated weights need from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from analysis.comparisons import Interval
from analysis.cox import Test
from analysis.design import design_matrix, require_complete
from analysis.errors import AnalysisError, Problem

__all__ = ["INTERCEPT", "LogisticFit", "fit_logistic", "limit_probabilities", "logistic"]

FloatArray = NDArray[np.float64]

INTERCEPT = "intercept"
MOST_ITERATIONS = 60
SURE = 1e-7  # a fitted probability this close to 0 or 1 while the likelihood is flat means separation


@dataclass(frozen=True, slots=True, eq=False)
class LogisticFit:
    """A fitted logistic model; the intercept is a coefficient like the others.

    Attributes
    ----------
    fitted : (N,) ndarray
        Probabilities.
    scores : (N, Q) ndarray
        Each row's share of the score.
    """

    coefficients: dict[str, float]
    se: dict[str, float]
    covariance: FloatArray
    log_likelihood: float
    n: int
    n_events: int
    iterations: int
    fitted: FloatArray = field(repr=False)
    x: FloatArray = field(repr=False)
    scores: FloatArray = field(repr=False)

    def odds_ratio(self, name: str, *, level: float = 0.95) -> Interval:
        """Return an odds ratio with Wald's interval."""
        value, half = self.coefficients[name], float(special.ndtri(0.5 + level / 2)) * self.se[name]
        low, middle, high = np.exp([value - half, value, value + half])
        return Interval(float(middle), float(low), float(high), level)

    def wald(self, name: str) -> Test:
        """Return Wald's test of one coefficient."""
        statistic = (self.coefficients[name] / self.se[name]) ** 2
        return Test(statistic, 1, float(special.chdtrc(1, statistic)))


def logistic(frame: pd.DataFrame, outcome: str, covariates: Sequence[str]) -> LogisticFit:
    """Fit a logistic model of a 0/1 column.

    Raises
    ------
    AnalysisError
        `SEPARATED` if some covariates foretell the outcome without error
        (use `firth_logistic`), `NOT_ESTIMABLE`, `MISSING_VALUES`.
    """
    require_complete(frame, [outcome])
    design = design_matrix(frame, covariates)
    x = np.column_stack([np.ones(len(frame)), design.values])
    return fit_logistic(x, frame[outcome].to_numpy(dtype=np.float64), (INTERCEPT, *design.names))


def fit_logistic(x: FloatArray, y: FloatArray, names: Sequence[str]) -> LogisticFit:
    """Fit a logistic model to a matrix whose first column is 1."""
    if not np.isin(y, (0.0, 1.0)).all():
        raise AnalysisError(Problem.BAD_INPUT, "the outcome of a logistic model is 0 or 1")
    if y.min() == y.max():
        raise AnalysisError(Problem.NO_EVENTS, "everybody has the same outcome")
    beta = np.zeros(x.shape[1])
    value = _log_likelihood(x, y, beta)
    last_step = False
    for iteration in range(1, MOST_ITERATIONS + 1):
        fitted = special.expit(x @ beta)
        information = x.T @ (x * (fitted * (1 - fitted))[:, None])
        gradient = x.T @ (y - fitted)
        if np.linalg.cond(information) > 1e15 or (
            iteration > 8 and (np.minimum(fitted, 1 - fitted) < SURE).any() and gradient @ gradient < 1e-4
        ):
            raise AnalysisError(Problem.SEPARATED, "the covariates foretell the outcome without error")
        step = np.linalg.solve(information, gradient)
        decrement = float(gradient @ step)
        following = _log_likelihood(x, y, beta + step)
        while following < value - 1e-9 and not last_step:
            step = step / 2
            following = _log_likelihood(x, y, beta + step)
        beta, value = beta + step, following
        if last_step:
            break
        last_step = decrement < 1e-9
    else:
        raise AnalysisError(Problem.SEPARATED, "the covariates foretell the outcome almost without error")
    fitted = special.expit(x @ beta)
    covariance = np.asarray(np.linalg.inv(x.T @ (x * (fitted * (1 - fitted))[:, None])), dtype=np.float64)
    errors = np.sqrt(np.diag(covariance))
    return LogisticFit(
        coefficients={name: float(b) for name, b in zip(names, beta, strict=True)},
        se={name: float(e) for name, e in zip(names, errors, strict=True)},
        covariance=covariance,
        log_likelihood=value,
        n=len(y),
        n_events=int(y.sum()),
        iterations=iteration,
        fitted=fitted,
        x=x,
        scores=(y - fitted)[:, None] * x,
    )


def limit_probabilities(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return fitted probabilities even where coefficients run to infinity, as they do in bootstrap samples.

    A level whose patients all have the outcome then has probability one, to
    eight digits; a column absent from the sample is no obstacle. A ridge too
    small to be seen keeps the steps finite.
    """
    beta, ridge = np.zeros(x.shape[1]), 1e-8 * np.eye(x.shape[1])
    for _ in range(25):
        fitted = special.expit(x @ beta)
        inner = (x * (fitted * (1 - fitted))[:, None]).T @ x + ridge
        step = np.linalg.solve(inner, x.T @ (y - fitted))
        beta = beta + step / max(1.0, float(np.abs(x @ step).max()) / 5.0)
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(special.expit(np.clip(x @ beta, -30, 30)))


def _log_likelihood(x: FloatArray, y: FloatArray, beta: FloatArray) -> float:
    eta = x @ beta
    return float(y @ eta - np.logaddexp(0.0, eta).sum())
