"""Residuals of a Cox model, its fit, its ranking of patients, its baseline."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from analysis.cox import CoxFit, Test, by_cluster
from analysis.errors import AnalysisError, Problem
from analysis.risk_sets import (
    arrange,
    exposure,
    information,
    score,
    score_residuals,
    sum_by_moment,
    sum_up,
)

__all__ = [
    "Concordance",
    "baseline_hazard",
    "concordance",
    "deviance_residuals",
    "dfbeta",
    "gronnesby_borgan",
    "martingale_residuals",
    "schoenfeld_residuals",
    "score_contributions",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Concordance:
    """How often the patient at higher predicted risk has the event first.

    Attributes
    ----------
    value, se : float
        Harrell's C, ties of risk counting one half, and its infinitesimal-jackknife error.
    concordant, discordant, tied_risk : float
        Weighted pairs that can be told apart in time.
    """

    value: float
    se: float
    concordant: float
    discordant: float
    tied_risk: float


def martingale_residuals(fit: CoxFit) -> FloatArray:
    """Return events seen less events expected, a row of the data each."""
    gathered = exposure(fit.sets, fit.sums, fit.sums.hazard)
    return np.asarray(fit.sets.died - fit.sums.risk / fit.sets.weight * gathered)


def deviance_residuals(fit: CoxFit) -> FloatArray:
    """Return martingale residuals made symmetric (Therneau 1990, Biometrika 77:147)."""
    martingale = martingale_residuals(fit)
    expected = fit.sets.died - martingale
    logs = np.where(fit.sets.died, np.log(np.where(fit.sets.died, np.maximum(expected, 1e-300), 1.0)), 0.0)
    return np.asarray(np.sign(martingale) * np.sqrt(-2 * (martingale + logs)))


def score_contributions(fit: CoxFit) -> FloatArray:
    """Return score residuals, (N, P), not weighted."""
    return score_residuals(fit.sets, fit.sums)


def dfbeta(fit: CoxFit) -> FloatArray:
    """Return how far each row, weighted, moves the coefficients; clusters summed."""
    weighted = fit.sets.weight[:, None] * score_residuals(fit.sets, fit.sums)
    return np.asarray(by_cluster(weighted, fit.cluster) @ fit.covariance_model)


def schoenfeld_residuals(fit: CoxFit) -> FloatArray:
    """Return covariates less their risk-set means, an event each, by stratum and time."""
    sets = fit.sets
    typical = sum_by_moment(sets, fit.sums.means) / np.bincount(sets.moment)[:, None]
    return np.asarray(sets.x[sets.event_rows] - typical[sets.moment])


def baseline_hazard(fit: CoxFit, at: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Return the cumulative hazard of one patient: columns stratum, time, hazard.

    `at` gives the patient's covariates by name; those left out are at their
    mean (of truths too, where R 3.5 takes 0).
    """
    sets, sums = fit.sets, fit.sums
    wanted = at or {}
    centred = [wanted.get(name, mean) - mean for name, mean in zip(fit.design.names, fit.means, strict=True)]
    scale = np.exp((sets.x @ fit.beta).max() - np.array(centred) @ fit.beta)
    increments = sum_by_moment(sets, sums.hazard) / scale
    table = pd.DataFrame({"stratum": sets.moment_stratum, "time": sets.moment_time, "hazard": increments})
    table["hazard"] = table.groupby("stratum")["hazard"].cumsum()
    return table


def gronnesby_borgan(fit: CoxFit, groups: int | None = None) -> Test:
    """Compare events seen and expected in groups of rising risk.

    Parameters
    ----------
    fit : CoxFit
    groups : int, optional
        Default: one a forty events, at least 2 and at most 10 (May and Hosmer
        2004, Lifetime Data Anal 10:283).

    Notes
    -----
    Computed as the score test of adding indicators of the groups, which it
    equals (May and Hosmer 1998, Lifetime Data Anal 4:109).
    """
    sets = fit.sets
    count = groups if groups is not None else int(np.clip(fit.n_events // 40, 2, 10))
    eta = sets.x @ fit.beta
    cuts = np.quantile(eta, np.arange(1, count) / count)
    member = np.searchsorted(cuts, eta, side="left")
    labels = np.unique(member)
    if len(labels) < 2:
        raise AnalysisError(Problem.NOT_ESTIMABLE, "the risks are too alike to be grouped")
    indicators = (member[:, None] == labels[1:]).astype(np.float64)
    wide = np.column_stack([sets.x, indicators - indicators.mean(axis=0)])
    bigger = arrange(wide, sets.stop, sets.died, sets.start, sets.weight, sets.stratum, fit.ties)
    sums = sum_up(bigger, np.concatenate([fit.beta, np.zeros(len(labels) - 1)]))
    gradient = score(bigger, sums)
    statistic = float(gradient @ np.linalg.solve(information(bigger, sums), gradient))
    df = len(labels) - 1
    return Test(statistic, df, float(special.chdtrc(df, statistic)))


def concordance(fit: CoxFit) -> Concordance:
    """Return Harrell's C of a fit, within strata.

    A pair counts where one has the event while the other is at risk and later
    leaves; weights multiply. Computed by counting inversions level by level
    of a merge, so that 100 000 patients take seconds.

    Raises
    ------
    AnalysisError
        If the fit has delayed entry, for which no pairs are counted here, or no
        pair can be told apart in time.
    """
    sets = fit.sets
    if np.isfinite(sets.start).any() and (sets.start > 0).any():
        raise AnalysisError(Problem.BAD_INPUT, "concordance is not computed with delayed entry")
    eta = np.round(sets.x @ fit.beta, 12)
    better = np.zeros(len(eta))  # weight of partners that make a concordant, less a discordant, pair
    usable = np.zeros(len(eta))
    tied = np.zeros(len(eta))
    for number in np.unique(sets.stratum):
        rows = np.flatnonzero(sets.stratum == number)
        parts = _pair_counts(sets.stop[rows], sets.died[rows], eta[rows], sets.weight[rows])
        better[rows], usable[rows], tied[rows] = parts
    weight = sets.weight
    difference, pairs = float(weight @ better) / 2, float(weight @ usable) / 2
    even = float(weight @ tied) / 2
    if pairs == 0:
        raise AnalysisError(Problem.NOT_ESTIMABLE, "no two patients can be told apart in time")
    value = (difference / pairs + 1) / 2
    influence = weight * (better - difference / pairs * usable) / (2 * pairs)
    summed = by_cluster(influence[:, None], fit.cluster)
    concordant = (pairs - even + difference) / 2
    return Concordance(value, float(np.sqrt((summed**2).sum())), concordant, pairs - even - concordant, even)


def _pair_counts(
    stop: FloatArray, died: NDArray[np.bool_], eta: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return, for each subject, weights of partners: concordant less discordant, usable, tied in risk.

    Times are ordered so that an event comes before a censoring at the same
    time; two events at one time are no pair.
    """
    key = stop.astype(np.float64)
    slots = np.unique(np.column_stack([key, ~died]), axis=0, return_inverse=True)[1].ravel()
    rank = np.unique(eta, return_inverse=True)[1].ravel()
    events = np.flatnonzero(died)
    # As the one with the event, against all who stay longer; then as the one who stays, against events.
    higher, equal, total = _compare(slots[events], rank[events], slots, rank, weight)
    better = np.zeros(len(stop))
    usable, tied = np.zeros(len(stop)), np.zeros(len(stop))
    lower = total - higher - equal
    better[events], usable[events], tied[events] = lower - higher, total, equal
    # The events that came before j are those who come "later" once both orders are turned round.
    higher, equal, total = _compare(-slots, -rank, -slots[events], -rank[events], weight[events])
    # Turned round, "higher" partners are those of lower risk: they make j the discordant one.
    lower = total - higher - equal
    better += lower - higher
    usable += total
    tied += equal
    return better, usable, tied


def _compare(
    at: NDArray[np.int64],
    rank: NDArray[np.int64],
    others_at: NDArray[np.int64],
    others_rank: NDArray[np.int64],
    weight: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """For each query sum the weights of others later in `at`: those of higher, of equal rank, and all."""
    n = len(others_at)
    order = np.lexsort((others_rank, others_at))
    sorted_at, sorted_rank, sorted_weight = others_at[order], others_rank[order], weight[order]
    first_later = np.searchsorted(sorted_at, at, side="right")
    running = np.concatenate([[0.0], np.cumsum(sorted_weight)])
    total = running[-1] - running[first_later]
    higher, equal = np.zeros(len(at)), np.zeros(len(at))
    span = int(max(rank.max(initial=0), sorted_rank.max(initial=0)))
    floor = int(min(rank.min(initial=0), sorted_rank.min(initial=0)))
    width = span - floor + 3
    # Places count from 1, so that the suffix [at, n] is a union of aligned blocks, the smallest leftmost.
    left, place, level = first_later + 1, np.arange(1, n + 1), 1
    while level <= n:
        takes = ((left & level) != 0) & (left <= n)
        block = place // level
        by_block = np.lexsort((sorted_rank, block))
        composite = block[by_block] * width + (sorted_rank[by_block] - floor + 1)
        sums = np.concatenate([[0.0], np.cumsum(sorted_weight[by_block])])
        mine = (left[takes] // level) * width
        value = rank[takes] - floor + 1
        below = np.searchsorted(composite, mine + value, side="left")
        upto = np.searchsorted(composite, mine + value, side="right")
        end = np.searchsorted(composite, mine + width, side="left")
        equal[takes] += sums[upto] - sums[below]
        higher[takes] += sums[end] - sums[upto]
        left = np.where(takes, left + level, left)
        level *= 2
    return higher, equal, total
