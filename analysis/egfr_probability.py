"""How likely is an EGFR mutation, given the imaging label, sex, smoking and histology.

Two answers side by side: Firth's penalised logistic model with its intercept
corrected so that the mean probability is the rate seen (FLIC: Puhr 2017, Stat
Med 36:2302; Firth's own probabilities lean towards one half), and the plain
share among patients of the same stratum with a Jeffreys (beta-binomial) interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import brentq

from analysis.comparisons import Interval
from analysis.design import Design, design_matrix, require_columns
from analysis.errors import AnalysisError, Problem
from analysis.firth import FirthFit, firth_logistic

__all__ = ["Calibration", "EgfrModel", "egfr_model"]

FloatArray = NDArray[np.float64]

# What a bootstrap sample may be without: it then tells nothing of the optimism.
NO_SAMPLE = (Problem.NOT_ESTIMABLE, Problem.SEPARATED, Problem.NO_EVENTS, Problem.NOT_CONVERGED)
PREDICTORS = ("mipc", "sex", "smoking_group", "tumour_type")


@dataclass(frozen=True, slots=True)
class Calibration:
    """How predicted and seen rates agree.

    Attributes
    ----------
    slope : float
        Of the seen on the predicted log odds; 1 is perfect, below 1 too extreme.
    slope_corrected : float
        Less the optimism found by the bootstrap (Harrell 1996, Stat Med 15:361).
    brier : float
        Mean squared error of the probabilities.
    discrimination : float
        Area under the ROC curve.
    groups : tuple of (n, mean predicted, seen rate)
        By rising prediction.
    """

    slope: float
    slope_corrected: float
    brier: float
    discrimination: float
    groups: tuple[tuple[int, float, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class EgfrModel:
    """The fitted tool."""

    fit: FirthFit
    intercept: float
    predictors: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    frame: pd.DataFrame
    outcome: str
    calibration: Calibration

    def probability(self, patient: Mapping[str, object], *, level: float = 0.95) -> Interval:
        """Return the probability of a mutation for a patient, with Wald's interval on the logit.

        Raises
        ------
        AnalysisError
            If a predictor is absent or has a level the cohort did not have.
        """
        row = [1.0]
        for name in self.predictors:
            if name not in patient:
                raise AnalysisError(Problem.MISSING_VALUES, f"the patient has no '{name}'")
            value = str(patient[name])
            if value not in self.levels[name]:
                known = ", ".join(self.levels[name])
                raise AnalysisError(Problem.BAD_INPUT, f"'{name}' is one of {known}, got {value!r}")
            row += [float(value == level_name) for level_name in self.levels[name][1:]]
        x = np.array(row)
        beta = np.array(list(self.fit.coefficients.values()))
        beta[0] = self.intercept
        centre = float(x @ beta)
        half = float(special.ndtri(0.5 + level / 2) * np.sqrt(x @ self.fit.covariance @ x))
        low, middle, high = special.expit([centre - half, centre, centre + half])
        return Interval(float(middle), float(low), float(high), level)

    def seen(self, patient: Mapping[str, object], *, level: float = 0.95) -> tuple[int, int, Interval | None]:
        """Return mutated and all among the cohort's patients just like this one, with Jeffreys's interval."""
        alike = np.ones(len(self.frame), dtype=bool)
        for name in self.predictors:
            alike &= (self.frame[name].astype(str) == str(patient[name])).to_numpy()
        n, k = int(alike.sum()), int(self.frame.loc[alike, self.outcome].sum())
        if n == 0:
            return 0, 0, None
        tail = (1 - level) / 2
        low = 0.0 if k == 0 else float(special.betaincinv(k + 0.5, n - k + 0.5, tail))
        high = 1.0 if k == n else float(special.betaincinv(k + 0.5, n - k + 0.5, 1 - tail))
        return k, n, Interval(k / n, low, high, level)


def egfr_model(
    frame: pd.DataFrame,
    *,
    outcome: str = "egfr_mutated",
    predictors: Sequence[str] = PREDICTORS,
    bootstrap: int = 50,
    seed: int = 1,
) -> EgfrModel:
    """Fit the tool to patients with a result.

    Parameters
    ----------
    frame : DataFrame
        Complete in predictors and outcome (0/1); predictors are categories.
    bootstrap : int
        Samples for the optimism of the calibration slope.
    """
    require_columns(frame, [*predictors, outcome])
    table = frame[[*predictors, outcome]].copy()
    for name in predictors:
        table[name] = table[name].astype(str)
    used = [name for name in predictors if table[name].nunique() > 1]
    fit, intercept, design = _fit(table, outcome, used)
    y = table[outcome].to_numpy(dtype=np.float64)
    predicted = _predict(design.values, fit, intercept)
    levels = {name: tuple(sorted(table[name].unique())) for name in used}
    calibration = _calibration(table, outcome, used, y, predicted, bootstrap, seed)
    return EgfrModel(fit, intercept, tuple(used), levels, table, outcome, calibration)


def _fit(table: pd.DataFrame, outcome: str, predictors: Sequence[str]) -> tuple[FirthFit, float, Design]:
    rate = float(table[outcome].mean())
    if rate in (0.0, 1.0):
        raise AnalysisError(Problem.NO_EVENTS, "everybody has the same result")
    fit = firth_logistic(table, outcome, predictors, with_limits=False)
    design = design_matrix(table, predictors)
    slope_part = design.values @ np.array(list(fit.coefficients.values()))[1:]
    intercept = float(brentq(lambda a: special.expit(a + slope_part).mean() - rate, -30, 30))
    return fit, intercept, design


def _predict(x: FloatArray, fit: FirthFit, intercept: float) -> FloatArray:
    return np.asarray(special.expit(intercept + x @ np.array(list(fit.coefficients.values()))[1:]))


def _slope(y: FloatArray, predicted: FloatArray) -> float:
    """Return the slope of a logistic model of the outcome on the predicted log odds."""
    from analysis.logistic import fit_logistic

    x = np.column_stack([np.ones(len(y)), special.logit(predicted)])
    return fit_logistic(x, y, ("intercept", "slope")).coefficients["slope"]


def _calibration(
    table: pd.DataFrame,
    outcome: str,
    predictors: Sequence[str],
    y: FloatArray,
    predicted: FloatArray,
    bootstrap: int,
    seed: int,
) -> Calibration:
    random = np.random.default_rng(seed)
    optimism = []
    whole = design_matrix(table, predictors)
    for _ in range(bootstrap):
        sample = table.iloc[random.integers(0, len(table), len(table))]
        try:
            fit, intercept, design = _fit(sample, outcome, predictors)
            if design.names != whole.names:
                continue
            apparent = _slope(sample[outcome].to_numpy(dtype=float), _predict(design.values, fit, intercept))
            optimism.append(apparent - _slope(y, _predict(whole.values, fit, intercept)))
        except AnalysisError as error:
            if error.problem not in NO_SAMPLE:
                raise
    slope = _slope(y, predicted)
    corrected = slope - float(np.mean(optimism)) if optimism else float("nan")
    return Calibration(
        slope,
        corrected,
        float(((predicted - y) ** 2).mean()),
        _area(y, predicted),
        _groups(y, predicted),
    )


def _area(y: FloatArray, predicted: FloatArray) -> float:
    """Return the probability that a mutated patient is predicted above an unmutated one, ties half."""
    from scipy.stats import rankdata

    mutated = y == 1
    ranks = rankdata(predicted)
    n1, n0 = int(mutated.sum()), int((~mutated).sum())
    return float((ranks[mutated].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def _groups(y: FloatArray, predicted: FloatArray) -> tuple[tuple[int, float, float], ...]:
    cuts = np.unique(np.quantile(predicted, [0.2, 0.4, 0.6, 0.8]))
    member = np.searchsorted(cuts, predicted, side="left")
    rows = []
    for number in np.unique(member):
        inside = member == number
        rows.append((int(inside.sum()), float(predicted[inside].mean()), float(y[inside].mean())))
    return tuple(rows)
