"""Does a hazard ratio stay the same over time? The test of R's `cox.zph` since survival 3.0.

A score test of adding covariate times g(t) to the model, at the fitted
coefficients (Grambsch and Therneau 1994, Biometrika 81:515, without the
approximation of a constant variance); lifelines tests something else.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.stats import rankdata

from analysis.cox import CoxFit, Test
from analysis.errors import AnalysisError, Problem
from analysis.kaplan_meier import kaplan_meier
from analysis.risk_sets import information, score, sum_by_moment

__all__ = ["Transform", "Zph", "zph"]

FloatArray = NDArray[np.float64]


class Transform(StrEnum):
    """The g(t) against which a coefficient may drift."""

    KM = "km"
    RANK = "rank"
    IDENTITY = "identity"
    LOG = "log"


@dataclass(frozen=True, slots=True, eq=False)
class Zph:
    """Tests of proportional hazards, a term each and all together.

    Attributes
    ----------
    terms : dict of str to Test
    time, transformed : (E,) ndarray
        Every event's time, and g of it.
    drift : (E, P) ndarray
        Scaled Schoenfeld residuals plus the coefficient: smoothed over g(t)
        they draw the log hazard ratio as it changes.
    """

    terms: dict[str, Test]
    overall: Test
    transform: Transform
    time: FloatArray
    transformed: FloatArray
    drift: FloatArray


def zph(fit: CoxFit, transform: Transform | str = Transform.KM) -> Zph:
    """Test whether hazards are proportional.

    Parameters
    ----------
    fit : CoxFit
    transform : Transform
        1 minus the Kaplan-Meier curve of everybody (just before t, without
        weights), the rank of t among all times, t itself, or its logarithm.

    Raises
    ------
    AnalysisError
        If g is the same at every event: nothing can be seen to drift.
    """
    sets, sums, p = fit.sets, fit.sums, len(fit.beta)
    g = _transform(fit, Transform(transform))
    if np.ptp(g) == 0:
        raise AnalysisError(Problem.NOT_ESTIMABLE, "a drift needs events at two or more times")
    drift_of_event = g[sets.moment] - g[sets.moment].mean()
    drift = drift_of_event[np.flatnonzero(np.diff(sets.moment, prepend=-1))]
    gradient = score(sets, sums, drift)
    blocks = [information(sets, sums, drift**k) for k in (0, 1, 2)]
    whole = np.block([[blocks[0], blocks[1]], [blocks[1], blocks[2]]])
    terms = {name: _test(whole, gradient, np.array(columns), p) for name, columns in fit.design.terms}
    everything = _test(whole, gradient, np.arange(p), p)
    deaths = np.bincount(sets.moment)[:, None]
    typical = sum_by_moment(sets, sums.means) / deaths
    schoenfeld = sets.x[sets.event_rows] - typical[sets.moment]
    scaled = schoenfeld @ np.linalg.inv(blocks[0]) * len(sets.moment) + fit.beta
    return Zph(terms, everything, Transform(transform), sets.moment_time[sets.moment], g[sets.moment], scaled)


def _test(whole: FloatArray, gradient: FloatArray, columns: NDArray[np.int64], p: int) -> Test:
    keep = np.concatenate([np.arange(p), p + columns])
    u = np.concatenate([np.zeros(p), gradient[columns]])
    statistic = float(u @ np.linalg.solve(whole[np.ix_(keep, keep)], u))
    return Test(statistic, len(columns), float(special.chdtrc(len(columns), statistic)))


def _transform(fit: CoxFit, transform: Transform) -> FloatArray:
    """Return g at every moment."""
    sets = fit.sets
    if transform is Transform.IDENTITY:
        return sets.moment_time
    if transform is Transform.LOG:
        return np.log(sets.moment_time)
    if transform is Transform.RANK:
        place = np.searchsorted(np.sort(sets.stop), sets.moment_time)
        return np.asarray(rankdata(sets.stop)[np.argsort(sets.stop, kind="stable")][place])
    entry = sets.start if np.isfinite(sets.start).all() else None
    curve = kaplan_meier(sets.stop, sets.died, entry=entry)
    before = np.concatenate([[1.0], curve.survival])
    return 1.0 - before[np.searchsorted(curve.time, sets.moment_time, side="left")]
