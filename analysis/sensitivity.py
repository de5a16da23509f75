"""How much could be hidden, and how little an estimate may rest on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.comparisons import Interval
from analysis.errors import AnalysisError, Problem

__all__ = ["FEWEST", "EValue", "Support", "e_value", "support"]

FEWEST = 5  # patients or events behind a hazard ratio; with fewer it is flagged


@dataclass(frozen=True, slots=True)
class EValue:
    """How strongly an unmeasured confounder would have to go with both exposure and outcome.

    Attributes
    ----------
    estimate : float
        To move the estimate to 1.
    limit : float
        To move the nearer confidence limit to 1; 1 if the interval holds 1.
    """

    estimate: float
    limit: float


@dataclass(frozen=True, slots=True)
class Support:
    """Patients and events on each side of a covariate that splits patients in two."""

    name: str
    patients: tuple[int, int]
    events: tuple[int, int]

    @property
    def is_sparse(self) -> bool:
        """Whether a side has fewer than 5 patients or events."""
        return min(*self.patients, *self.events) < FEWEST


def e_value(ratio: Interval, *, outcome_is_common: bool = True) -> EValue:
    """Return the E-value of a hazard ratio (VanderWeele and Ding 2017, Ann Intern Med 167:268).

    Parameters
    ----------
    ratio : Interval
        Hazard ratio with its limits.
    outcome_is_common : bool
        More than 15 % have the event by the end of follow-up; the hazard ratio
        is then brought to a risk ratio first.

    Examples
    --------
    >>> round(e_value(Interval(0.80, 0.71, 0.91), outcome_is_common=False).estimate, 2)
    1.81
    """
    if not ratio.value > 0:
        raise AnalysisError(Problem.BAD_INPUT, f"a hazard ratio is above 0, got {ratio.value:g}")
    estimate = _bias_needed(_risk_ratio(ratio.value, outcome_is_common))
    nearer = ratio.high if ratio.value < 1 else ratio.low
    crosses = nearer >= 1 if ratio.value < 1 else nearer <= 1
    limit = (
        1.0 if crosses or not np.isfinite(nearer) else _bias_needed(_risk_ratio(nearer, outcome_is_common))
    )
    return EValue(estimate, limit)


def support(frame: pd.DataFrame, event: str, covariates: Sequence[str]) -> tuple[Support, ...]:
    """Count patients and events on both sides of every covariate, each level of a category on its own."""
    died = frame[event].astype(float)
    rows = []
    for covariate in covariates:
        series = frame[covariate]
        if series.dropna().nunique() > 2 and pd.api.types.is_numeric_dtype(series):
            continue
        categories = sorted(series.dropna().unique(), key=str)
        for level in categories[1:] if len(categories) == 2 else categories:
            inside = series == level
            outside = series.notna() & ~inside
            name = covariate if pd.api.types.is_numeric_dtype(series) else f"{covariate}[{level}]"
            rows.append(
                Support(
                    name,
                    (int(outside.sum()), int(inside.sum())),
                    (int(died[outside].sum()), int(died[inside].sum())),
                )
            )
    return tuple(rows)


def _risk_ratio(hazard_ratio: float, outcome_is_common: bool) -> float:
    if not outcome_is_common:
        return hazard_ratio
    return float((1 - 0.5 ** np.sqrt(hazard_ratio)) / (1 - 0.5 ** np.sqrt(1 / hazard_ratio)))


def _bias_needed(risk_ratio: float) -> float:
    upward = max(risk_ratio, 1 / risk_ratio)
    return float(upward + np.sqrt(upward * (upward - 1)))
