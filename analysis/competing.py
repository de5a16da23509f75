"""Competing risks: Aalen-Johansen curves and the model of Fine and Gray.

Someone who dies without progression cannot progress any more; one minus
Kaplan-Meier would count that death as if progression could still follow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from analysis.cox import CoxFit, cox
from analysis.design import require_complete
from analysis.errors import AnalysisError, Problem
from analysis.risk_sets import Ties

__all__ = ["CumulativeIncidence", "aalen_johansen", "fine_gray", "fine_gray_rows"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CumulativeIncidence:
    """Probability of having had each kind of event by each time.

    Attributes
    ----------
    time : (T,) ndarray
    incidence, se, low, high : dict of int to (T,) ndarray
        By cause; intervals symmetric on the log scale, errors by the
        infinitesimal jackknife, as in R's multi-state `survfit`.
    """

    time: FloatArray
    incidence: dict[int, FloatArray]
    se: dict[int, FloatArray]
    low: dict[int, FloatArray]
    high: dict[int, FloatArray]
    n: int
    level: float

    def at(self, cause: int, times: ArrayLike) -> FloatArray:
        """Return the incidence of a cause by the given times."""
        which = np.searchsorted(self.time, np.asarray(times, dtype=np.float64), side="right")
        return np.asarray(np.concatenate([[0.0], self.incidence[cause]])[which])


def aalen_johansen(
    time: ArrayLike, cause: ArrayLike, *, weights: ArrayLike | None = None, level: float = 0.95
) -> CumulativeIncidence:
    """Estimate cumulative incidences (Aalen and Johansen 1978, Scand J Stat 5:141).

    Parameters
    ----------
    time : (N,) array_like
    cause : (N,) array_like of int
        0 censored, otherwise which event ended observation.
    weights : (N,) array_like, optional
    """
    stop = np.asarray(time, dtype=np.float64)
    ended = _causes(cause, stop)
    weight = np.ones(len(stop)) if weights is None else np.asarray(weights, dtype=np.float64)
    grid, place = np.unique(stop, return_inverse=True)
    at_risk = np.cumsum(np.bincount(place, weights=weight)[::-1])[::-1].astype(np.float64)
    kinds = [int(kind) for kind in np.unique(ended) if kind != 0]
    deaths = {
        kind: np.bincount(place, weights=weight * (ended == kind), minlength=len(grid)).astype(np.float64)
        for kind in kinds
    }
    everything = np.asarray(np.sum(list(deaths.values()), axis=0), dtype=np.float64)
    remaining = at_risk - everything
    survival = np.cumprod(np.where(remaining > 1e-12 * at_risk, remaining / at_risk, 0.0))
    before = np.concatenate([[1.0], survival[:-1]])
    incidence = {kind: np.cumsum(before * deaths[kind] / at_risk) for kind in kinds}
    # Patients of one time and one fate have the same influence.
    fates, fate_of = np.unique(np.column_stack([place, ended]), axis=0, return_inverse=True)
    squares = np.bincount(fate_of.ravel(), weights=weight**2)
    se = {}
    for kind in kinds:
        influence = _influence(fates, kind, deaths[kind], everything, at_risk, remaining, before)
        se[kind] = np.sqrt(squares @ influence**2)
    z = float(special.ndtri(0.5 + level / 2))
    low, high = {}, {}
    for kind in kinds:
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.exp(z * se[kind] / incidence[kind])
        low[kind], high[kind] = incidence[kind] / spread, np.minimum(1.0, incidence[kind] * spread)
    return CumulativeIncidence(grid, incidence, se, low, high, len(stop), level)


def fine_gray(
    frame: pd.DataFrame,
    duration: str,
    cause: str,
    covariates: Sequence[str],
    *,
    of_interest: int = 1,
    ties: Ties | str = Ties.EFRON,
) -> CoxFit:
    """Fit the subdistribution hazard of one cause (Fine and Gray 1999, J Am Stat Assoc 94:496).

    Patients with the other event stay at risk with the weight of not yet being
    censored; robust errors count each patient once. As R's `finegray` followed
    by a weighted `coxph`.
    """
    require_complete(frame, [duration, cause, *covariates])
    rows = fine_gray_rows(frame[duration], frame[cause], of_interest=of_interest)
    wide = frame[list(covariates)].iloc[rows["patient"]].reset_index(drop=True)
    table = pd.concat([wide, rows.add_prefix("_fg_")], axis=1)
    return cox(
        table,
        "_fg_stop",
        "_fg_event",
        covariates,
        entry="_fg_start",
        weights="_fg_weight",
        cluster="_fg_patient",
        ties=ties,
    )


def fine_gray_rows(time: ArrayLike, cause: ArrayLike, *, of_interest: int = 1) -> pd.DataFrame:
    """Return rows (start, stop] with weights, from which a Cox model gives the subdistribution hazard.

    Returns
    -------
    DataFrame
        Columns patient (position), start, stop, event, weight.
    """
    stop = np.asarray(time, dtype=np.float64)
    ended = _causes(cause, stop)
    if not (ended == of_interest).any():
        raise AnalysisError(Problem.NO_EVENTS, f"nobody has event {of_interest}")
    events = np.unique(stop[ended == of_interest])
    uncensored = _still_uncensored(stop, ended)
    at_events = uncensored(events)
    # Runs of event times between which nobody is censored share one row.
    first_of_run = np.flatnonzero(np.diff(at_events, prepend=-1.0))
    last_of_run = np.append(first_of_run[1:], len(events)) - 1
    plain = pd.DataFrame(
        {
            "patient": np.arange(len(stop)),
            "start": 0.0,
            "stop": stop,
            "event": (ended == of_interest).astype(int),
            "weight": 1.0,
        }
    )
    plain.loc[plain["stop"] == 0, "start"] = -1.0
    later = []
    for patient in np.flatnonzero((ended != 0) & (ended != of_interest)):
        runs = np.flatnonzero(events[last_of_run] > stop[patient])
        if len(runs) == 0:
            continue
        ends = events[last_of_run[runs]]
        later.append(
            pd.DataFrame(
                {
                    "patient": patient,
                    "start": np.concatenate([[stop[patient]], ends[:-1]]),
                    "stop": ends,
                    "event": 0,
                    "weight": at_events[first_of_run[runs]] / uncensored(stop[patient : patient + 1])[0],
                }
            )
        )
    rows = pd.concat([plain, *later], ignore_index=True)
    return rows[rows["weight"] > 0].reset_index(drop=True)


def _still_uncensored(stop: FloatArray, ended: NDArray[np.int64]) -> Callable[[FloatArray], FloatArray]:
    """Return the left-continuous curve of not being censored; events come before censorings."""
    grid = np.unique(stop[ended == 0])
    gone = np.searchsorted(np.sort(stop[ended == 0]), grid, side="right") - np.searchsorted(
        np.sort(stop[ended == 0]), grid, side="left"
    )
    past_event = np.searchsorted(np.sort(stop[ended != 0]), grid, side="right")
    past_censoring = np.searchsorted(np.sort(stop[ended == 0]), grid, side="left")
    at_risk = len(stop) - past_event - past_censoring
    curve = np.concatenate([[1.0], np.cumprod(1 - gone / at_risk)])

    def before(times: FloatArray) -> FloatArray:
        return np.asarray(curve[np.searchsorted(grid, times, side="left")])

    return before


def _causes(cause: ArrayLike, stop: FloatArray) -> NDArray[np.int64]:
    raw = np.asarray(cause, dtype=np.float64)
    if np.isnan(raw).any() or np.isnan(stop).any():
        raise AnalysisError(Problem.MISSING_VALUES, "times and causes must be complete")
    if len(raw) != len(stop) or (raw < 0).any() or (raw != np.round(raw)).any():
        raise AnalysisError(Problem.BAD_INPUT, "a cause is 0 (censored), 1, 2 ..., one a patient")
    if not (raw > 0).any():
        raise AnalysisError(Problem.NO_EVENTS, "nobody has an event")
    return raw.astype(np.int64)


def _influence(
    fates: NDArray[np.int64],
    kind: int,
    deaths: FloatArray,
    everything: FloatArray,
    at_risk: FloatArray,
    remaining: FloatArray,
    before: FloatArray,
) -> FloatArray:
    """Return the derivative of the incidence by the weight of one patient of each fate; (F, T).

    The curve moves through survival just before each time, and through the
    hazard of the cause at that time.
    """
    moments = np.arange(len(at_risk))
    where, fate = fates[:, :1], fates[:, 1:]
    present = (moments <= where).astype(np.float64)
    with np.errstate(divide="ignore"):
        left = np.where(remaining > 1e-12 * at_risk, 1 / np.maximum(remaining, 1e-300), 0.0)
    # d log S: what is gained by being at risk, lost at the own event.
    log_steps = present * (left - 1 / at_risk) - ((moments == where) & (fate != 0)) * left
    log_before = np.cumsum(log_steps, axis=1) - log_steps
    own = ((moments == where) & (fate == kind)) - present * (deaths / at_risk)
    return np.asarray(np.cumsum(before * (log_before * deaths / at_risk + own / at_risk), axis=1))
