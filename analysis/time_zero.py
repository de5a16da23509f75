"""Immortal time: a covariate that is known only after follow-up has begun.

Whoever "received a TKI at some time" lived long enough to receive it; compared
as if known from the start, the treatment gets the credit for that time (Suissa
2008, Am J Epidemiol 167:492). Two honest analyses: let the covariate change when
it does, or begin at a landmark and compare those alive by what was known then
(Anderson 1983, J Clin Oncol 1:710).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.cox import CoxFit, cox
from analysis.design import require_columns, require_complete
from analysis.errors import AnalysisError, Problem
from analysis.log_rank import LogRank, log_rank
from analysis.risk_sets import Ties

__all__ = [
    "LATER_KNOWN",
    "Landmark",
    "landmark",
    "split_at_exposure",
    "time_dependent_cox",
]

# Derived columns that only the future fills, and the column saying when it did.
LATER_KNOWN = {
    "tki_use": "tki_months",
    "treatment_sequence": "line2_months",
    "first_line": "line1_months",
    "best_response": "response_months",
}


@dataclass(frozen=True, slots=True, eq=False)
class Landmark:
    """Survival from a landmark on, of those who reached it.

    Attributes
    ----------
    at : float
        The landmark, in the unit of time.
    n, n_before : int
        Patients still followed, and those who had died or left before.
    test : LogRank
    fit : CoxFit
        Time counts from the landmark.
    """

    at: float
    n: int
    n_before: int
    test: LogRank
    fit: CoxFit


def split_at_exposure(
    frame: pd.DataFrame, duration: str, event: str, exposed_at: str, *, patient: str = "patient_id"
) -> pd.DataFrame:
    """Cut each patient's time into before and after the exposure.

    Parameters
    ----------
    frame : DataFrame
        A row a patient.
    exposed_at : str
        Time of the exposure, missing for those never exposed. One at or before
        time 0 means exposed from the start; one at or after the end, never.

    Returns
    -------
    DataFrame
        The columns of `frame`, with `start`, `stop`, `event_here` and `exposed`.
    """
    require_columns(frame, [exposed_at, patient])
    require_complete(frame, [duration, event, patient])
    at, end = frame[exposed_at].astype(float), frame[duration].astype(float)
    changes = (at > 0) & (at < end)
    first = frame.assign(
        start=0.0,
        stop=at.where(changes, end),
        event_here=frame[event].astype(int).where(~changes, 0),
        exposed=((at <= 0) & at.notna()).astype(int),
    )
    second = frame[changes].assign(
        start=at[changes], stop=end[changes], event_here=frame.loc[changes, event].astype(int), exposed=1
    )
    return pd.concat([first, second], ignore_index=True)


def time_dependent_cox(
    frame: pd.DataFrame,
    duration: str,
    event: str,
    exposed_at: str,
    covariates: Sequence[str] = (),
    *,
    patient: str = "patient_id",
    ties: Ties | str = Ties.EFRON,
) -> CoxFit:
    """Fit a Cox model in which the exposure counts from when it began; its coefficient is `exposed`."""
    rows = split_at_exposure(frame, duration, event, exposed_at, patient=patient)
    rows = rows[rows["stop"] > rows["start"]]
    return cox(
        rows,
        "stop",
        "event_here",
        ["exposed", *covariates],
        entry="start",
        cluster=patient,
        ties=ties,
    )


def landmark(
    frame: pd.DataFrame,
    duration: str,
    event: str,
    exposed_at: str,
    at: float,
    covariates: Sequence[str] = (),
    *,
    ties: Ties | str = Ties.EFRON,
) -> Landmark:
    """Compare from a landmark on those exposed by then with those not, among those still followed.

    Raises
    ------
    AnalysisError
        If nobody, or only one group, has reached the landmark.
    """
    require_complete(frame, [duration, event])
    reached = frame[frame[duration] > at]
    exposed = (reached[exposed_at].astype(float) <= at).astype(int)
    if len(reached) == 0 or exposed.nunique() < 2:
        raise AnalysisError(
            Problem.NOT_ESTIMABLE, f"at the landmark {at:g} there are no two groups to compare"
        )
    table = reached.assign(exposed=exposed, _from_landmark=reached[duration] - at)
    test = log_rank(table["_from_landmark"], table[event].astype(int), np.where(exposed == 1, "yes", "no"))
    fit = cox(
        table.assign(_died=table[event].astype(int)),
        "_from_landmark",
        "_died",
        ["exposed", *covariates],
        ties=ties,
    )
    return Landmark(at, len(reached), len(frame) - len(reached), test, fit)
