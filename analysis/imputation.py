"""Multiple imputation of a yes/no result, as the sensitivity analysis of weighting.

The missing result is drawn from a logistic model of it given the covariates, the
event indicator and the Nelson-Aalen cumulative hazard (White and Royston 2009,
Stat Med 28:1982); the coefficients of that model are drawn first, so that its
own uncertainty counts. Estimates are pooled by Rubin's rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from analysis.comparisons import Interval
from analysis.cox import maximise, observed
from analysis.design import design_matrix, require_complete
from analysis.errors import AnalysisError, Problem
from analysis.firth import firth_logistic
from analysis.risk_sets import Ties, information

__all__ = ["Pooled", "PooledCox", "impute_binary", "imputed_cox", "nelson_aalen", "pool"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pooled:
    """An estimate over imputed data sets.

    Attributes
    ----------
    value, se, df : float
        Mean of the estimates, total error, degrees of freedom (Barnard and Rubin 1999).
    missing_information : float
        Share of the information about the estimate that is missing (lambda).
    """

    value: float
    se: float
    df: float
    missing_information: float

    @property
    def p_value(self) -> float:
        """Two-sided p-value from Student's t."""
        return float(2 * special.stdtr(self.df, -abs(self.value / self.se)))

    def ratio(self, *, level: float = 0.95) -> Interval:
        """Return exp(value) with its interval."""
        half = float(special.stdtrit(self.df, 0.5 + level / 2)) * self.se
        low, middle, high = np.exp([self.value - half, self.value, self.value + half])
        return Interval(float(middle), float(low), float(high), level)


@dataclass(frozen=True, slots=True)
class PooledCox:
    """A Cox model over imputed data sets."""

    terms: dict[str, Pooled]
    imputations: int
    n: int
    n_imputed: int


def pool(estimates: Sequence[float], variances: Sequence[float], complete_df: float = np.inf) -> Pooled:
    """Pool estimates by Rubin's rules.

    Parameters
    ----------
    estimates, variances : (M,) sequence of float
        From each imputed data set.
    complete_df : float
        Degrees of freedom had nothing been missing.
    """
    m = len(estimates)
    if m < 2:
        raise AnalysisError(Problem.BAD_INPUT, f"pooling needs 2 or more imputations, got {m}")
    within, between = float(np.mean(variances)), float(np.var(estimates, ddof=1))
    total = within + (1 + 1 / m) * between
    share = (1 + 1 / m) * between / total
    old = (m - 1) / share**2 if share > 0 else np.inf
    if np.isinf(complete_df):
        return Pooled(float(np.mean(estimates)), float(np.sqrt(total)), old, share)
    seen = (complete_df + 1) / (complete_df + 3) * complete_df * (1 - share)
    df = seen if np.isinf(old) else old * seen / (old + seen)
    return Pooled(float(np.mean(estimates)), float(np.sqrt(total)), float(df), share)


def nelson_aalen(time: FloatArray, event: FloatArray) -> FloatArray:
    """Return every subject's cumulative hazard at its own time."""
    place = np.unique(time, return_inverse=True)[1]
    deaths = np.bincount(place, weights=event)
    at_risk = np.cumsum(np.bincount(place)[::-1])[::-1]
    return np.asarray(np.cumsum(deaths / at_risk)[place])


def impute_binary(
    frame: pd.DataFrame,
    column: str,
    predictors: Sequence[str],
    duration: str,
    event: str,
    *,
    imputations: int = 20,
    seed: int = 1,
) -> list[pd.Series]:
    """Draw the missing values of a 0/1 column several times.

    Firth's penalty keeps the model of the result finite in small samples.
    """
    require_complete(frame, [*predictors, duration, event])
    if imputations < 2:
        raise AnalysisError(Problem.BAD_INPUT, f"pooling needs 2 or more imputations, got {imputations}")
    time, died = (frame[name].to_numpy(dtype=np.float64) for name in (duration, event))
    table = frame[list(predictors)].assign(_event=died, _hazard=nelson_aalen(time, died))
    known = frame[column].notna()
    if known.all() or not known.any():
        raise AnalysisError(Problem.BAD_INPUT, f"'{column}' is not missing for some and known for others")
    table[column] = frame[column].astype(float)
    columns = [name for name in (*predictors, "_event", "_hazard") if table.loc[known, name].nunique() > 1]
    fit = firth_logistic(table.loc[known], column, columns, with_limits=False)
    design = design_matrix(table, columns)
    untold = [name for name in design.names if name not in fit.coefficients]
    if untold:
        raise AnalysisError(
            Problem.NOT_ESTIMABLE,
            f"nobody with {', '.join(untold)} has a result: nothing tells what theirs are",
        )
    x = np.column_stack([np.ones(len(frame)), design.values])[~known.to_numpy()]
    random = np.random.default_rng(seed)
    centre, root = np.array(list(fit.coefficients.values())), np.linalg.cholesky(fit.covariance)
    drawn = []
    for _ in range(imputations):
        chance = special.expit(x @ (centre + root @ random.standard_normal(len(centre))))
        filled = table[column].copy()
        filled[~known] = (random.random(len(chance)) < chance).astype(float)
        drawn.append(filled)
    return drawn


def imputed_cox(
    frame: pd.DataFrame,
    duration: str,
    event: str,
    covariates: Sequence[str],
    *,
    column: str,
    predictors: Sequence[str],
    imputations: int = 20,
    seed: int = 1,
    ties: Ties | str = Ties.EFRON,
) -> PooledCox:
    """Fit a Cox model to everybody, with `column` imputed, and pool by Rubin's rules.

    `predictors` should hold the model's other covariates and whatever else
    foretells the result or its absence.
    """
    drawn = impute_binary(frame, column, predictors, duration, event, imputations=imputations, seed=seed)
    estimates, variances = [], []
    beta = None
    for values in drawn:
        table = frame.assign(**{column: values})
        design = design_matrix(table, covariates)
        sets, _ = observed(table, duration, event, design, None, None, None, None, Ties(ties))
        beta, sums, _ = maximise(sets, design.names, beta)
        estimates.append(beta)
        variances.append(np.diag(np.linalg.inv(information(sets, sums))))
    complete_df = float(len(sets.event_rows) - len(design.names))
    by_draw = np.array(estimates), np.array(variances)
    terms = {
        name: pool(by_draw[0][:, j].tolist(), by_draw[1][:, j].tolist(), complete_df)
        for j, name in enumerate(design.names)
    }
    return PooledCox(terms, imputations, len(frame), int(frame[column].isna().sum()))
