"""Inverse-probability weights for a result that some patients do not have.

Patients are tested for EGFR or not, and those who are differ from those who are
not. A logistic model of being tested gives each tested patient the weight
1 / P(tested), so that together they stand for everybody (Robins, Rotnitzky and
Zhao 1994, J Am Stat Assoc 89:846). How sure the weighted hazard ratios are is
a question of its own: see `analysis.weighted_cox`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.design import design_matrix, require_complete
from analysis.errors import AnalysisError, Problem
from analysis.logistic import LogisticFit, logistic
from analysis.weighted_cox import ErrorKind, WeightedCox, weighted_cox

__all__ = [
    "Balance",
    "ErrorKind",
    "MissingnessWeights",
    "WeightKind",
    "WeightedCox",
    "effective_sample_size",
    "missingness_weights",
    "weighted_cox",
]

FloatArray = NDArray[np.float64]

SLIM_CHANCE = 0.05  # below this probability of being tested a patient stands for 20 others
IMBALANCE = 0.1  # a standardised difference above this is worth a look (Austin 2009, Stat Med 28:3083)


class WeightKind(StrEnum):
    """What a tested patient's weight is."""

    PLAIN = "plain"  # 1 / P(tested | covariates)
    STABILISED = "stabilised"  # P(tested) / P(tested | covariates): mean 1, same hazard ratios


@dataclass(frozen=True, slots=True)
class Balance:
    """How a covariate's mean among the tested compares with everybody's, before and after weighting.

    Standardised differences are in standard deviations of everybody.
    """

    covariate: str
    mean_all: float
    mean_observed: float
    mean_weighted: float
    difference_before: float
    difference_after: float

    @property
    def is_balanced(self) -> bool:
        """Whether the weighted difference is small."""
        return abs(self.difference_after) <= IMBALANCE


@dataclass(frozen=True, slots=True, eq=False)
class MissingnessWeights:
    """Weights of the observed, and what can be said against them.

    Attributes
    ----------
    model : LogisticFit
        Of being observed.
    probability : Series
        Of being observed, everybody, by the table's index.
    weight : Series
        Of the observed; NaN for the others.
    truncated_at : (low, high) or None
        Weights outside were set to these.
    balance : tuple of Balance
    effective_size : float
        How many equally weighted patients would say as much (Kish 1965).
    slim_chances : int
        Patients whose probability of being observed is below 5 %.
    """

    observed: str
    covariates: tuple[str, ...]
    kind: WeightKind
    model: LogisticFit = field(repr=False)
    probability: pd.Series
    weight: pd.Series
    truncated_at: tuple[float, float] | None
    balance: tuple[Balance, ...]
    effective_size: float
    slim_chances: int

    @property
    def n_observed(self) -> int:
        """Patients with the result."""
        return int(self.weight.notna().sum())


def missingness_weights(
    frame: pd.DataFrame,
    observed: str,
    covariates: Sequence[str],
    *,
    kind: WeightKind | str = WeightKind.PLAIN,
    truncate: tuple[float, float] | None = None,
) -> MissingnessWeights:
    """Weight those with a result so that they stand for everybody.

    Parameters
    ----------
    frame : DataFrame
        A row a patient.
    observed : str
        Column saying whether the patient has the result.
    covariates : sequence of str
        What being tested may depend on; complete.
    kind : WeightKind
    truncate : (float, float), optional
        Percentiles of the weights, such as (1, 99), beyond which they are cut:
        less variance for some bias.

    Raises
    ------
    AnalysisError
        If everybody or nobody is observed, or covariates tell without error
        who is (then the unobserved cannot be stood for: positivity fails).
    """
    require_complete(frame, [observed])
    table = frame.assign(**{observed: frame[observed].astype(float)})
    model = logistic(table, observed, covariates)
    seen = table[observed].to_numpy() == 1.0
    raw = np.where(seen, 1 / model.fitted, np.nan)
    if WeightKind(kind) is WeightKind.STABILISED:
        raw = raw * seen.mean()
    limits = None
    if truncate is not None:
        low, high = np.percentile(raw[seen], truncate)
        limits = (float(low), float(high))
        raw = np.clip(raw, low, high)
    return MissingnessWeights(
        observed=observed,
        covariates=tuple(covariates),
        kind=WeightKind(kind),
        model=model,
        probability=pd.Series(model.fitted, index=frame.index),
        weight=pd.Series(raw, index=frame.index),
        truncated_at=limits,
        balance=_balance(table, seen, raw, covariates),
        effective_size=effective_sample_size(raw[seen]),
        slim_chances=int((model.fitted < SLIM_CHANCE).sum()),
    )


def effective_sample_size(weights: FloatArray) -> float:
    """Return (sum w)^2 / sum w^2."""
    if len(weights) == 0 or not (weights > 0).all():
        raise AnalysisError(Problem.BAD_INPUT, "weights must be above 0")
    return float(weights.sum() ** 2 / (weights**2).sum())


def _balance(
    frame: pd.DataFrame, seen: NDArray[np.bool_], weight: FloatArray, covariates: Sequence[str]
) -> tuple[Balance, ...]:
    design = design_matrix(frame, covariates)
    rows = []
    for name, values in zip(design.names, design.values.T, strict=True):
        spread = float(values.std(ddof=1))
        everybody, tested = float(values.mean()), float(values[seen].mean())
        weighted = float(np.average(values[seen], weights=weight[seen]))
        before, after = (tested - everybody) / spread, (weighted - everybody) / spread
        rows.append(Balance(name, everybody, tested, weighted, before, after))
    return tuple(rows)
