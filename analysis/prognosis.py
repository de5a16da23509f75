"""Prognostic factors of overall survival: one by one, together, and what may be wrong with it.

The multivariable model is fitted to those with an EGFR result, weighted to stand
for everybody. Where it has no maximum Firth's penalty takes over; ratios that
rest on fewer than five patients or events are marked; covariates known only
after time zero are refused unless the plan forces them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.characteristics import levels_of
from analysis.comparisons import Interval
from analysis.cox import CoxFit, cox
from analysis.cox_checks import concordance, gronnesby_borgan
from analysis.errors import AnalysisError, Problem
from analysis.firth import firth_cox
from analysis.kaplan_meier import kaplan_meier
from analysis.log_rank import log_rank_p
from analysis.plan import Factor, Plan, Term
from analysis.sensitivity import FEWEST, support
from analysis.tables import Row, Table, format_interval, format_p
from analysis.time_zero import LATER_KNOWN
from analysis.weighted_cox import ErrorKind, WeightedCox, weighted_cox
from analysis.weighting import MissingnessWeights, missingness_weights
from analysis.zph import Zph, zph
from records.wording import counted

__all__ = ["Estimate", "Prognosis", "model_table", "prognosis", "side_by_side_errors"]

# Errors beside those of weights: the information's, and Firth's.
UNWEIGHTED, PROFILE = "model", "profile likelihood"
NOT_A_MODEL = (Problem.SEPARATED, Problem.NOT_ESTIMABLE, Problem.NO_EVENTS, Problem.NOT_CONVERGED)


@dataclass(frozen=True, slots=True)
class Estimate:
    """One adjusted hazard ratio, ready to be shown."""

    term: Term
    ratio: Interval
    p_value: float
    is_sparse: bool
    is_penalised: bool


@dataclass(frozen=True, slots=True, eq=False)
class Prognosis:
    """The multivariable model and its side shows; parts that could not be had are None with a reason."""

    estimates: tuple[Estimate, ...]
    weights: MissingnessWeights | None
    weighted: WeightedCox | None
    proportional: Zph | None
    notes: tuple[str, ...]
    refused: tuple[str, ...]
    n: int
    n_events: int
    error: str = ""  # the error of the estimates: of the plan, or what there was


def prognosis(cohort: pd.DataFrame, plan: Plan) -> Prognosis:
    """Fit the plan's model of overall survival.

    Parameters
    ----------
    cohort : DataFrame
        Patients with complete `os_months` and `os_event`.
    plan : Plan
    """
    notes: list[str] = []
    fixed = [term for term in plan.terms if term.column in LATER_KNOWN]
    later = [term.label for term in fixed]
    refused = () if plan.force_later_known else tuple(later)
    if later and plan.force_later_known:
        notes.append(
            f"{', '.join(later)}: known only after time zero and forced in as fixed; such hazard ratios are "
            "biased (immortal time). See the time-dependent and the landmark analyses."
        )
    wanted = [term for term in plan.terms if plan.force_later_known or term not in fixed]
    terms = [term for term in wanted if term.column in cohort and cohort[term.column].notna().any()]
    if len(terms) < len(wanted):
        absent = ", ".join(term.label for term in wanted if term not in terms)
        notes.append(f"Not in the data, and so not in the model: {absent}.")
    table = cohort.reset_index(drop=True)
    table = table.assign(_months=table["os_months"].astype(float), _died=table["os_event"].astype(float))
    for term in terms:
        table[f"_{term.name}"] = indicator(table, term)
    columns = {f"_{term.name}": term for term in terms}
    complete = table[list(columns)].notna().all(axis=1) if columns else pd.Series(False, index=table.index)
    for name in list(columns):
        if table.loc[complete, name].nunique() < 2:
            notes.append(f"{columns[name].label}: the same for everybody in the model, left out.")
            del columns[name]
    if not columns:
        return Prognosis((), None, None, None, (*notes, "No covariate is left for a model."), refused, 0, 0)
    table["_observed"] = complete
    weights, why = _weights(table, plan, complete)
    notes += why
    known = table[complete]
    n, n_events = len(known), int(known["_died"].sum())
    if n_events == 0:
        why_none = f"Nobody of the {counted(n, 'patient')} with all covariates died: no hazard ratio."
        return Prognosis((), weights, None, None, (*notes, why_none), refused, n, 0)
    sparse = {row.name for row in support(known, "_died", list(columns)) if row.is_sparse}
    try:
        estimates, weighted, curve, error = _fitted(table, known, columns, weights, plan, sparse, notes)
    except AnalysisError as found:
        if found.problem not in NOT_A_MODEL:
            raise
        weighted = curve = None
        estimates = _penalised(known, columns, weights, plan, sparse, f"Model: {_named(found)}", notes)
        error = PROFILE
    return Prognosis(estimates, weights, weighted, curve, tuple(notes), refused, n, n_events, error)


def model_table(
    cohort: pd.DataFrame, found: Prognosis, plan: Plan, *, name: str = "table5", title: str = ""
) -> Table:
    """Lay out factors one by one (median, log-rank) beside the adjusted hazard ratios."""
    by_level = {(e.term.factor, e.term.level): e for e in found.estimates}
    rows: list[Row] = []
    unshown: list[str] = []
    for factor in plan.prognostic:
        if factor.column in cohort and cohort[factor.column].notna().any():
            rows += _factor_rows(factor, cohort, by_level, plan)
            n = len(cohort) - int(levels_of(cohort[factor.column]).isin([k for k, _ in factor.levels]).sum())
            unshown += [f"{factor.label} ({n})"] if n else []
    columns = (
        ("n", "Patients n"),
        ("median_os_months", f"OS months ({plan.interval_name})"),
        ("univariate_p", "p-value (log-rank)"),
        ("hr", f"HR ({plan.interval_name})"),
        ("multivariate_p", "p-value"),
    )
    notes = [f"Medians by Kaplan-Meier with {plan.interval} intervals; NR: not reached."]
    if found.estimates:
        notes.append(
            f"Hazard ratios: Cox model of {counted(found.n, 'patient')} with "
            f"{counted(found.n_events, 'death')}, {plan.ties} ties, "
            f"errors: {found.error}."
        )
    notes += found.notes
    if unshown:
        notes.append(f"Patients in none of the levels shown, or unknown: {', '.join(unshown)}.")
    if any(e.is_sparse for e in found.estimates):
        notes.append(f"*: fewer than {FEWEST} patients or events on one side; not to be relied on.")
    if any(e.is_penalised for e in found.estimates):
        notes.append("P: Firth's penalised likelihood with profile interval.")
    if found.refused:
        notes.append(f"Refused as fixed, being known only after time zero: {', '.join(found.refused)}.")
    later = [f.label for f in plan.prognostic if f.column in LATER_KNOWN and f.column in cohort]
    if later:
        notes.append(
            f"{', '.join(later)}: known only after time zero; medians and p-values describe, and are biased "
            "by immortal time."
        )
    return Table(name, title or "Prognostic factors for overall survival", columns, tuple(rows), tuple(notes))


def indicator(table: pd.DataFrame, term: Term) -> pd.Series:
    """Return a term of the model as numbers; unknown, and untested for EGFR, is missing."""
    if not term.level:
        try:
            return table[term.column].astype(float)
        except ValueError as error:
            sentence = f"the term '{term.name}' needs a level: '{term.column}' does not hold numbers"
            raise AnalysisError(Problem.BAD_PLAN, sentence) from error
    levels = levels_of(table[term.column])
    if term.column == "egfr_status":
        levels = levels.where(levels != "not_tested")
    return (levels == term.level).astype(float).where(levels.notna())


def _weights(
    table: pd.DataFrame, plan: Plan, complete: "pd.Series[bool]"
) -> tuple[MissingnessWeights | None, list[str]]:
    if complete.all():
        return None, ["Nobody lacks a covariate: no weights."]
    predictors = [name for name in plan.missing_predictors if name in table and table[name].nunique() > 1]
    dropped = [name for name in predictors if table[name].isna().any()]
    used = [name for name in predictors if name not in dropped]
    useless = [name for name in plan.missing_predictors if name not in predictors]
    notes = [f"{', '.join(dropped)}: unknown for some, not used in the weights."] if dropped else []
    if useless:
        notes.append(f"{', '.join(useless)}: not in the data or the same for all, not used in the weights.")
    if not used:
        return None, [*notes, "No complete predictor of being tested: the tested are analysed unweighted."]
    try:
        made = missingness_weights(
            table.assign(**{name: table[name].astype(str) for name in used}),
            "_observed",
            used,
            kind=plan.weight_kind,
            truncate=plan.truncate,
        )
    except AnalysisError as error:
        if error.problem not in NOT_A_MODEL:
            raise
        return None, [*notes, f"Weights: {error.sentence}; the tested are analysed unweighted."]
    notes.append(
        f"{made.n_observed} of {len(table)} patients have every covariate known; weighted by the inverse "
        f"probability of that ({', '.join(used)}), they count as {made.effective_size:.1f}."
    )
    return made, notes


def _fitted(
    table: pd.DataFrame,
    known: pd.DataFrame,
    columns: dict[str, Term],
    weights: MissingnessWeights | None,
    plan: Plan,
    sparse: set[str],
    notes: list[str],
) -> tuple[tuple[Estimate, ...], WeightedCox | None, Zph | None, str]:
    if weights is None:
        fit = cox(known, "_months", "_died", list(columns), ties=plan.ties)
        ratios = {name: fit.hazard_ratio(name, level=plan.level) for name in columns}
        p_values = {name: fit.p_value(name) for name in columns}
        weighted, shown = None, UNWEIGHTED
    else:
        samples = plan.bootstrap if len(table) <= plan.largest_bootstrap else 0
        weighted = _with_bootstrap(table, list(columns), weights, plan, samples, notes)
        kind = plan.error if plan.error in weighted.errors else ErrorKind.M_ESTIMATION
        shown = kind.value
        ratios = {name: weighted.hazard_ratio(name, error=kind, level=plan.level) for name in columns}
        p_values = {name: weighted.p_value(name, error=kind) for name in columns}
        fit = weighted.fit
    estimates = tuple(
        Estimate(term, ratios[name], p_values[name], name in sparse, False) for name, term in columns.items()
    )
    notes.append(_goodness(fit))
    try:
        curve = zph(fit)
    except AnalysisError as error:
        curve = None
        notes.append(f"Test of proportional hazards not possible: {error.sentence}.")
    return estimates, weighted, curve, shown


def _with_bootstrap(
    table: pd.DataFrame,
    columns: list[str],
    weights: MissingnessWeights,
    plan: Plan,
    samples: int,
    notes: list[str],
) -> WeightedCox:
    """Fit with the bootstrap where it can be had."""
    try:
        return weighted_cox(
            table,
            "_months",
            "_died",
            columns,
            weights=weights,
            ties=plan.ties,
            bootstrap=samples,
            seed=plan.seed,
        )
    except AnalysisError as error:
        if not samples or "bootstrap" not in error.sentence:
            raise
        notes.append(f"No bootstrap error: {error.sentence}.")
        return weighted_cox(table, "_months", "_died", columns, weights=weights, ties=plan.ties)


def _goodness(fit: CoxFit) -> str:
    try:
        c = concordance(fit)
        ranks = f"Concordance {c.value:.3f} (SE {c.se:.3f})"
    except AnalysisError as error:
        ranks = f"Concordance not possible: {error.sentence}"
    try:
        fits = gronnesby_borgan(fit)
        said = f"Gronnesby-Borgan chi-squared {fits.statistic:.2f}, df {fits.df}, p {format_p(fits.p_value)}"
    except (AnalysisError, np.linalg.LinAlgError):
        said = "Gronnesby-Borgan test not possible"
    return f"{ranks}; {said}."


def _named(error: AnalysisError) -> str:
    """Return what went wrong with the terms by the names of the plan, not by those of our columns."""
    return error.sentence.replace("'_", "'")


def _penalised(
    known: pd.DataFrame,
    columns: dict[str, Term],
    weights: MissingnessWeights | None,
    plan: Plan,
    sparse: set[str],
    why: str,
    notes: list[str],
) -> tuple[Estimate, ...]:
    """Fit by Firth's penalised likelihood; no estimates, and a note, where that has no maximum."""
    table, name = known, None
    if weights is not None:
        table, name = known.assign(_weight=weights.weight[known.index]), "_weight"
    try:
        fit = firth_cox(
            table, "_months", "_died", list(columns), weights=name, ties=plan.ties, level=plan.level
        )
    except AnalysisError as error:
        if error.problem not in NOT_A_MODEL:
            raise
        notes.append(f"{why}; nor can Firth's penalised likelihood be had: {_named(error)}.")
        return ()
    notes.append(f"{why}; Firth's penalised likelihood is shown instead.")
    return tuple(
        Estimate(term, fit.ratio(column), fit.p_values[column], column in sparse, True)
        for column, term in columns.items()
    )


def _factor_rows(
    factor: Factor, cohort: pd.DataFrame, by_level: dict[tuple[str, str], Estimate], plan: Plan
) -> list[Row]:
    levels = levels_of(cohort[factor.column])
    shown = [(level, label) for level, label in factor.levels if (levels == level).any()]
    compared = cohort[levels.isin([level for level, _ in shown])]
    p_value = log_rank_p(
        compared["os_months"], compared["os_event"].astype(float), levels[compared.index].astype(str)
    )
    rows = [Row(factor.label, (factor.name, ""), is_heading=True)]
    for number, (level, label) in enumerate(shown):
        mine = cohort[levels == level]
        curve = kaplan_meier(
            mine["os_months"], mine["os_event"].astype(float), level=plan.level, interval=plan.interval
        )
        median = curve.median
        cells = {
            "n": str(len(mine)),
            "median_os_months": format_interval(median.value, median.low, median.high, decimals=1),
        }
        values = {"n": float(len(mine)), "median_os_months": median.value}
        if number == 0:
            cells["univariate_p"], values["univariate_p"] = format_p(p_value), p_value
        estimate = by_level.get((factor.name, level))
        if estimate is not None:
            mark = ("*" if estimate.is_sparse else "") + (" P" if estimate.is_penalised else "")
            r = estimate.ratio
            cells["hr"] = format_interval(r.value, r.low, r.high) + mark
            cells["multivariate_p"] = format_p(estimate.p_value)
            values |= {"hr": r.value, "hr_low": r.low, "hr_high": r.high, "multivariate_p": estimate.p_value}
        rows.append(Row(label, (factor.name, level), cells, values))
    return rows


def side_by_side_errors(found: Prognosis, plan: Plan) -> Table | None:
    """Lay the errors of the weighted model side by side, an interval each."""
    if found.weighted is None:
        return None
    kinds: Sequence[ErrorKind] = tuple(found.weighted.errors)
    rows = []
    for estimate in found.estimates:
        name = f"_{estimate.term.name}"
        cells = {}
        for kind in kinds:
            ratio = found.weighted.hazard_ratio(name, error=kind, level=plan.level)
            cells[kind.value] = (
                f"{format_interval(ratio.value, ratio.low, ratio.high)}, "
                f"p {format_p(found.weighted.p_value(name, error=kind))}"
            )
        rows.append(Row(estimate.term.label, (estimate.term.name, ""), cells))
    headings = {
        ErrorKind.NAIVE: "Naive (as SAS prints)",
        ErrorKind.ROBUST: "Robust",
        ErrorKind.M_ESTIMATION: "Weights counted as estimated",
        ErrorKind.BOOTSTRAP: f"Bootstrap ({found.weighted.replicates} samples)",
    }
    return Table(
        "table5_errors",
        "The same hazard ratios under four standard errors",
        tuple((kind.value, headings[kind]) for kind in kinds),
        tuple(rows),
        (
            f"Hazard ratio ({plan.interval_name}), p-value. "
            "The naive error takes weights for counts of patients.",
        ),
    )
