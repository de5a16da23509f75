"""Cox's proportional hazards model, to the digits of R's survival 3.5.

Weights, strata, clusters, delayed entry and (start, stop] rows, Efron's and
Breslow's ties, model and robust standard errors. lifelines ignores ties in its
robust errors (22 % off on whole months), so the solver is our own; it is a
Newton iteration on the sums of `analysis.risk_sets`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from analysis.comparisons import Interval
from analysis.design import Design, design_matrix, require_complete
from analysis.errors import AnalysisError, Problem
from analysis.kaplan_meier import checked_times
from analysis.risk_sets import RiskSets, Sums, Ties, arrange, information, score, score_residuals, sum_up

__all__ = ["CoxFit", "Test", "cox"]

FloatArray = NDArray[np.float64]

MOST_ITERATIONS = 50
CLOSE = 1e-9  # Newton decrement after which one more step gives all digits
NO_ERROR = 1e-20  # of the model's variance: what rounding leaves of none, far below what data show
FLAT = 1e-6  # decrement below which a coefficient still on the move has no maximum
ON_THE_MOVE = 0.3  # a step by this, times the covariate's range


@dataclass(frozen=True, slots=True)
class Test:
    """A chi-squared test of all coefficients."""

    __test__ = False

    statistic: float
    df: int
    p_value: float


@dataclass(frozen=True, slots=True, eq=False)
class CoxFit:
    """A fitted Cox model.

    Attributes
    ----------
    coefficients, se_model, se_robust : dict of str to float
        Log hazard ratios and their errors: from the information, and from the
        sum of squared influences of subjects or clusters (Lin and Wei 1989,
        J Am Stat Assoc 84:1074).
    log_likelihood, log_likelihood_null : float
        Partial log-likelihood at the estimate and at zero.
    covariance_model, covariance_robust : (P, P) ndarray
    reports_robust : bool
        Whether intervals use the robust error: there are weights or clusters.
    rows, sets, sums, cluster
        What residuals and tests of the fit are computed from.
    """

    coefficients: dict[str, float]
    se_model: dict[str, float]
    se_robust: dict[str, float]
    log_likelihood: float
    log_likelihood_null: float
    covariance_model: FloatArray
    covariance_robust: FloatArray
    n: int
    n_events: int
    ties: Ties
    iterations: int
    reports_robust: bool
    likelihood_ratio: Test
    wald: Test
    score: Test
    robust_score: Test | None
    design: Design = field(repr=False)
    means: FloatArray = field(repr=False)
    sets: RiskSets = field(repr=False)
    sums: Sums = field(repr=False)
    cluster: NDArray[np.int64] | None = field(repr=False)

    @property
    def beta(self) -> FloatArray:
        """Coefficients in the order of the covariates."""
        return np.array(list(self.coefficients.values()))

    @property
    def covariance(self) -> FloatArray:
        """The covariance that is reported."""
        return self.covariance_robust if self.reports_robust else self.covariance_model

    def se(self, name: str) -> float:
        """Return the standard error that is reported."""
        return (self.se_robust if self.reports_robust else self.se_model)[name]

    def hazard_ratio(self, name: str, *, level: float = 0.95) -> Interval:
        """Return a hazard ratio with Wald's interval."""
        value, half = self.coefficients[name], float(special.ndtri(0.5 + level / 2)) * self.se(name)
        low, middle, high = np.exp([value - half, value, value + half])
        return Interval(float(middle), float(low), float(high), level)

    def p_value(self, name: str) -> float:
        """Return Wald's two-sided p-value."""
        return float(2 * special.ndtr(-abs(self.coefficients[name] / self.se(name))))


def cox(
    frame: pd.DataFrame,
    duration: str,
    event: str,
    covariates: Sequence[str],
    *,
    weights: str | None = None,
    entry: str | None = None,
    strata: str | Sequence[str] | None = None,
    cluster: str | None = None,
    ties: Ties | str = Ties.EFRON,
) -> CoxFit:
    """Fit a Cox model.

    Parameters
    ----------
    frame : DataFrame
        A row a subject, or a row a (entry, duration] interval of a subject;
        name the subject as `cluster` then.
    duration, event, weights, entry, cluster : str
        Columns: end of observation, whether it ended with the event, case
        weight, start of observation, whose rows belong together.
    covariates : sequence of str
        Numbers, truths or categories; see `analysis.design.design_matrix`.
    strata : str or sequence of str
        Columns whose combinations have baseline hazards of their own.
    ties : Ties
        Efron or Breslow.

    Raises
    ------
    AnalysisError
        `MISSING_VALUES`, `NO_EVENTS`, `NOT_ESTIMABLE`, or `SEPARATED` where a
        coefficient runs away to infinity (use `firth_cox`).
    """
    design = design_matrix(frame, covariates)
    sets, groups = observed(frame, duration, event, design, weights, entry, strata, cluster, Ties(ties))
    beta, sums, iterations = maximise(sets, design.names)
    return _describe(design, sets, groups, beta, sums, iterations, Ties(ties), weights is not None)


def observed(
    frame: pd.DataFrame,
    duration: str,
    event: str,
    design: Design,
    weights: str | None,
    entry: str | None,
    strata: str | Sequence[str] | None,
    cluster: str | None,
    ties: Ties,
) -> tuple[RiskSets, NDArray[np.int64] | None]:
    """Return the risk sets of a table's columns, and the cluster of each row."""
    layers = [strata] if isinstance(strata, str) else list(strata or ())
    named = [name for name in (duration, event, weights, entry, cluster) if name is not None]
    require_complete(frame, [*named, *layers])
    stop, died, start, weight = checked_times(
        frame[duration].to_numpy(dtype=np.float64),
        frame[event].to_numpy(dtype=np.float64),
        None if entry is None else frame[entry].to_numpy(dtype=np.float64),
        None if weights is None else frame[weights].to_numpy(dtype=np.float64),
    )
    if not died.any():
        raise AnalysisError(Problem.NO_EVENTS, f"nobody has the event '{event}'")
    stratum = np.zeros(len(frame), dtype=np.int64)
    if layers:
        stratum = np.asarray(frame.groupby(layers, observed=True).ngroup(), dtype=np.int64)
    groups = None if cluster is None else np.asarray(pd.factorize(frame[cluster])[0], dtype=np.int64)
    centred = design.values - design.values.mean(axis=0)
    return arrange(centred, stop, died, start, weight, stratum, ties), groups


def maximise(
    sets: RiskSets, names: Sequence[str], start: FloatArray | None = None
) -> tuple[FloatArray, Sums, int]:
    """Climb to the maximum of the partial likelihood, from zero or `start`; refuse where there is none."""
    beta = np.zeros(sets.x.shape[1]) if start is None else start
    sums = sum_up(sets, beta)
    ranges = np.ptp(sets.x, axis=0)
    last_step = False
    for iteration in range(1, MOST_ITERATIONS + 1):
        gradient = score(sets, sums)
        step = _solve(information(sets, sums), gradient, names)
        decrement = float(gradient @ step)
        running = (decrement < FLAT) & (np.abs(step) * ranges > ON_THE_MOVE)
        if running.any() or (np.abs(beta * ranges) > 500).any():
            raise AnalysisError(
                Problem.SEPARATED, f"the hazard ratio of {_names(names, running)} has no finite estimate"
            )
        trial = sum_up(sets, beta + step)
        halvings = 0
        while not last_step and not trial.log_likelihood >= sums.log_likelihood - 1e-9 and halvings < 30:
            step, halvings = step / 2, halvings + 1
            trial = sum_up(sets, beta + step)
        beta, sums = beta + step, trial
        if last_step:
            return beta, sums, iteration
        last_step = decrement < CLOSE
    raise AnalysisError(Problem.NOT_CONVERGED, f"the Cox model did not settle in {MOST_ITERATIONS} steps")


def _solve(matrix: FloatArray, vector: FloatArray, names: Sequence[str]) -> FloatArray:
    """Solve a positive definite system, scaled; name the covariate that makes it singular."""
    diagonal = np.diag(matrix)
    lost = ~(diagonal > 0)
    if not lost.any():
        scale = np.sqrt(diagonal)
        scaled = matrix / np.outer(scale, scale)
        if np.linalg.eigvalsh(scaled)[0] > 1e-12:
            return np.asarray(np.linalg.solve(scaled, vector / scale) / scale)
    raise AnalysisError(Problem.NOT_ESTIMABLE, f"the events say nothing of {_names(names, lost)}")


def _names(names: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    picked = [name for name, yes in zip(names, chosen, strict=True) if yes]
    return ", ".join(f"'{name}'" for name in picked) or "one of the covariates"


def by_cluster(rows: FloatArray, cluster: NDArray[np.int64] | None) -> FloatArray:
    """Sum rows over clusters; without clusters every row is one."""
    if cluster is None:
        return rows
    total = np.zeros((int(cluster.max()) + 1, rows.shape[1]))
    np.add.at(total, cluster, rows)
    return total


def _describe(
    design: Design,
    sets: RiskSets,
    cluster: NDArray[np.int64] | None,
    beta: FloatArray,
    sums: Sums,
    iterations: int,
    ties: Ties,
    weighted: bool,
) -> CoxFit:
    covariance = np.asarray(np.linalg.inv(information(sets, sums)), dtype=np.float64)
    influence = by_cluster(sets.weight[:, None] * score_residuals(sets, sums), cluster) @ covariance
    robust = influence.T @ influence
    null = sum_up(sets, np.zeros_like(beta))
    gradient = score(sets, null)
    reports_robust = weighted or cluster is not None
    shown = robust if reports_robust else covariance
    lost = ~(np.diag(shown) > NO_ERROR * np.diag(covariance))
    if lost.any():  # as where all events are at one time: rounding is left, which would pass for certainty
        sentence = f"patients do not differ enough for a robust error of {_names(design.names, lost)}"
        raise AnalysisError(Problem.NOT_ESTIMABLE, sentence)
    robust_score = None
    if reports_robust:
        shares = by_cluster(sets.weight[:, None] * score_residuals(sets, null), cluster)
        total = shares.sum(axis=0)
        robust_score = _test(float(total @ _solve(shares.T @ shares, total, design.names)), len(beta))
    return CoxFit(
        coefficients=_named(design, beta),
        se_model=_named(design, np.sqrt(np.diag(covariance))),
        se_robust=_named(design, np.sqrt(np.diag(robust))),
        log_likelihood=sums.log_likelihood,
        log_likelihood_null=null.log_likelihood,
        covariance_model=covariance,
        covariance_robust=robust,
        n=len(sets.stop),
        n_events=len(sets.event_rows),
        ties=ties,
        iterations=iterations,
        reports_robust=reports_robust,
        likelihood_ratio=_test(2 * (sums.log_likelihood - null.log_likelihood), len(beta)),
        wald=_test(float(beta @ _solve(shown, beta, design.names)), len(beta)),
        score=_test(float(gradient @ np.linalg.solve(information(sets, null), gradient)), len(beta)),
        robust_score=robust_score,
        design=design,
        means=design.values.mean(axis=0),
        sets=sets,
        sums=sums,
        cluster=cluster,
    )


def _named(design: Design, values: FloatArray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(design.names, values, strict=True)}


def _test(statistic: float, df: int) -> Test:
    return Test(statistic, df, float(special.chdtrc(df, statistic)))
