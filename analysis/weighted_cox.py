"""A Cox model with estimated weights, and four answers to how sure it is.

*naive*: the inverse of the weighted information, which SAS PROC PHREG prints
with a WEIGHT statement; it takes weights for counts of patients and is wrong
here. *robust*: Lin and Wei's sandwich, right if the weights were known.
*m_estimation*: the sandwich of the stacked equations of both models, which
counts the weights as estimated (Stefanski and Boos 2002, Am Stat 56:29).
*bootstrap*: patients drawn anew, both models fitted again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from analysis.comparisons import Interval
from analysis.cox import CoxFit, cox, maximise
from analysis.design import design_matrix, require_complete
from analysis.errors import AnalysisError, Problem
from analysis.logistic import limit_probabilities
from analysis.risk_sets import Ties, arrange, score_residuals

if TYPE_CHECKING:
    from analysis.weighting import MissingnessWeights

__all__ = ["ErrorKind", "WeightedCox", "weighted_cox"]

FloatArray = NDArray[np.float64]

FEWEST_REPLICATES = 0.9  # of the bootstrap samples must have an estimate


class ErrorKind(StrEnum):
    """A way to the standard error of a weighted hazard ratio."""

    NAIVE = "naive"
    ROBUST = "robust"
    M_ESTIMATION = "m_estimation"
    BOOTSTRAP = "bootstrap"


@dataclass(frozen=True, slots=True, eq=False)
class WeightedCox:
    """A weighted Cox model with its errors side by side.

    Attributes
    ----------
    errors : dict of ErrorKind to dict of str to float
        Standard errors of the coefficients; the bootstrap only where asked for.
    covariances : dict of ErrorKind to (P, P) ndarray
    replicates, replicates_lost : int
        Bootstrap samples used, and those in which a model had no estimate.
    """

    fit: CoxFit
    errors: dict[ErrorKind, dict[str, float]]
    covariances: dict[ErrorKind, FloatArray]
    n_observed: int
    replicates: int
    replicates_lost: int

    @property
    def coefficients(self) -> dict[str, float]:
        """Log hazard ratios, the same whatever the error."""
        return self.fit.coefficients

    def hazard_ratio(
        self, name: str, *, error: ErrorKind | str = ErrorKind.M_ESTIMATION, level: float = 0.95
    ) -> Interval:
        """Return a hazard ratio with Wald's interval by one of the errors."""
        value = self.coefficients[name]
        half = float(special.ndtri(0.5 + level / 2)) * self.errors[ErrorKind(error)][name]
        low, middle, high = np.exp([value - half, value, value + half])
        return Interval(float(middle), float(low), float(high), level)

    def p_value(self, name: str, *, error: ErrorKind | str = ErrorKind.M_ESTIMATION) -> float:
        """Return Wald's two-sided p-value by one of the errors."""
        return float(2 * special.ndtr(-abs(self.coefficients[name] / self.errors[ErrorKind(error)][name])))


def weighted_cox(
    frame: pd.DataFrame,
    duration: str,
    event: str,
    covariates: Sequence[str],
    *,
    weights: "MissingnessWeights",
    strata: str | Sequence[str] | None = None,
    ties: Ties | str = Ties.EFRON,
    bootstrap: int = 0,
    seed: int = 1,
) -> WeightedCox:
    """Fit a Cox model to the observed patients, weighted, with four standard errors.

    Parameters
    ----------
    frame : DataFrame
        Everybody, a row a patient, as given to `missingness_weights`.
    duration, event, covariates, strata, ties
        As in `cox`; covariates must be complete among the observed.
    weights : MissingnessWeights
    bootstrap : int
        Bootstrap samples; 0 for none.
    seed : int
        Of the bootstrap.
    """
    if not frame.index.equals(weights.weight.index):
        raise AnalysisError(Problem.BAD_INPUT, "the weights were made for another table")
    seen = weights.weight.notna().to_numpy()
    observed = frame.loc[seen].assign(_weight=weights.weight[seen].to_numpy())
    fit = cox(observed, duration, event, covariates, weights="_weight", strata=strata, ties=ties)
    covariances = {
        ErrorKind.NAIVE: fit.covariance_model,
        ErrorKind.ROBUST: fit.covariance_robust,
        ErrorKind.M_ESTIMATION: _m_estimation(fit, weights, seen),
    }
    used = lost = 0
    if bootstrap:
        draws, lost = _bootstrap(
            frame, duration, event, covariates, weights, strata, Ties(ties), bootstrap, seed
        )
        used = len(draws)
        covariances[ErrorKind.BOOTSTRAP] = np.atleast_2d(np.cov(draws.T))
    errors = {
        kind: dict(zip(fit.coefficients, np.sqrt(np.diag(covariance)).tolist(), strict=True))
        for kind, covariance in covariances.items()
    }
    return WeightedCox(fit, errors, covariances, int(seen.sum()), used, lost)


def _m_estimation(fit: CoxFit, weights: "MissingnessWeights", seen: NDArray[np.bool_]) -> FloatArray:
    """Return the covariance of the coefficients with both models' equations stacked.

    The derivative of the Cox score by a patient's weight is the patient's score
    residual; by the weight model's coefficients it follows by the chain rule.
    """
    model = weights.model
    residuals = score_residuals(fit.sets, fit.sums)
    w, p = fit.sets.weight, model.fitted[seen]
    moves = -w * (1 - p)  # d weight / d linear predictor
    if weights.truncated_at is not None:
        low, high = weights.truncated_at
        moves = np.where((w <= low) | (w >= high), 0.0, moves)
    slope = residuals.T @ (moves[:, None] * model.x[seen])
    influence = model.scores @ model.covariance @ slope.T
    influence[seen] += w[:, None] * residuals
    influence = influence @ fit.covariance_model
    return np.asarray(influence.T @ influence)


def _bootstrap(
    frame: pd.DataFrame,
    duration: str,
    event: str,
    covariates: Sequence[str],
    weights: "MissingnessWeights",
    strata: str | Sequence[str] | None,
    ties: Ties,
    replicates: int,
    seed: int,
) -> tuple[FloatArray, int]:
    """Refit both models on samples of patients; return coefficients and how many samples had none."""
    random = np.random.default_rng(seed)
    seen = weights.weight.notna().to_numpy()
    layers = [strata] if isinstance(strata, str) else list(strata or ())
    require_complete(frame.loc[seen], [duration, event, *layers])
    design = design_matrix(frame.loc[seen], covariates)
    place = np.cumsum(seen) - 1
    z = weights.model.x
    stop = frame[duration].to_numpy(dtype=np.float64)
    died = frame[event].to_numpy(dtype=np.float64) == 1.0
    stratum = np.zeros(len(frame), dtype=np.int64)
    if layers:
        stratum = np.asarray(frame.groupby(layers, observed=True).ngroup(), dtype=np.int64)
    found, lost = [], 0
    for _ in range(replicates):
        rows = random.integers(0, len(frame), len(frame))
        tested = rows[seen[rows]]
        try:
            chance = limit_probabilities(z[rows], seen[rows].astype(np.float64))
            weight = 1 / chance[seen[rows]]
            if weights.kind == "stabilised":
                weight = weight * seen[rows].mean()
            if weights.truncated_at is not None:
                weight = np.clip(weight, *weights.truncated_at)
            x = design.values[place[tested]]
            start = np.full(len(tested), -np.inf)
            sets = arrange(
                x - x.mean(axis=0), stop[tested], died[tested], start, weight, stratum[tested], ties
            )
            found.append(maximise(sets, design.names)[0])
        except AnalysisError as error:
            if error.problem not in (Problem.SEPARATED, Problem.NOT_ESTIMABLE, Problem.NO_EVENTS):
                raise
            lost += 1
    if len(found) < FEWEST_REPLICATES * replicates:
        raise AnalysisError(
            Problem.NOT_ESTIMABLE, f"{lost} of {replicates} bootstrap samples had no estimate"
        )
    return np.array(found), lost
