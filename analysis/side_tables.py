"""What stands beside the main model: weights, proportionality, imputation, time zero, competing risks."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from analysis.competing import aalen_johansen, fine_gray
from analysis.derivations import DAYS_PER_MONTH, SAME_DAYS
from analysis.egfr_probability import PREDICTORS, egfr_model
from analysis.errors import AnalysisError, Problem
from analysis.imputation import imputed_cox
from analysis.kaplan_meier import kaplan_meier, restricted_mean
from analysis.logistic import LogisticFit
from analysis.plan import Plan, in_words
from analysis.prognosis import Prognosis, indicator, side_by_side_errors
from analysis.sensitivity import e_value
from analysis.tables import Row, Table, format_interval, format_p
from analysis.time_zero import landmark, time_dependent_cox
from records.wording import counted

__all__ = ["probability_table", "side_tables"]

NO_RESULT = (
    Problem.SEPARATED,
    Problem.NOT_ESTIMABLE,
    Problem.NO_EVENTS,
    Problem.NOT_CONVERGED,
    Problem.MISSING_VALUES,
    Problem.MISSING_COLUMN,
    Problem.BAD_INPUT,
)
ONE_YEAR = 12.0  # months
LARGEST_FINE_GRAY = 5_000  # patients; the expanded table grows with patients times events


def side_tables(
    cohort: pd.DataFrame, everybody: pd.DataFrame, found: Prognosis, plan: Plan
) -> Iterator[Table]:
    """Yield the tables that can be had; one that cannot says why in its notes.

    Parameters
    ----------
    cohort, everybody : DataFrame
        Patients of interest who are followed for survival, and all of them: progression may be known of more.
    """
    errors = side_by_side_errors(found, plan)
    if errors is not None:
        yield errors
    if found.weights is not None:
        yield _balance(found, plan)
    if found.proportional is not None:
        yield _proportional(found, plan)
    if found.estimates:
        yield _hidden(found, plan)
    if "egfr_status" in cohort and "egfr_tested" in cohort and (~cohort["egfr_tested"]).any():
        yield _imputed(cohort, found, plan)
    if "tki_months" in cohort and cohort["tki_months"].notna().any():
        yield _time_zero(cohort, plan)
    yield from _competing(everybody, plan)
    yield from _restricted(cohort, plan)


def probability_table(frame: pd.DataFrame, plan: Plan) -> Table | None:
    """Return the probability of an EGFR mutation for every kind of patient, or None without enough data."""
    title = "Probability of an EGFR mutation"
    columns = (("predicted", f"Probability ({plan.interval_name})"), ("seen", f"Seen ({plan.interval_name})"))
    if "egfr_tested" not in frame:
        return None
    known = frame[frame["egfr_tested"]].copy()
    known["egfr_mutated"] = (known["egfr_status"] == "mutation").astype(int)
    have = [name for name in PREDICTORS if name in known and known[name].nunique() > 1]
    n_tested = len(known)
    known = known.dropna(subset=have)
    if not have or known["egfr_mutated"].nunique() < 2:
        return None
    if "mipc" in have:
        known["mipc"] = known["mipc"].map({True: "yes", False: "no"})
    try:
        model = egfr_model(known, predictors=have, bootstrap=50 if len(known) <= 5000 else 0, seed=plan.seed)
    except AnalysisError as error:
        if error.problem not in NO_RESULT:
            raise
        return Table("egfr_probability", title, columns, (), (f"Not possible: {error.sentence}.",))
    rows = []
    for values, _ in known.groupby(list(model.predictors), observed=True):
        patient = dict(zip(model.predictors, values, strict=True))
        predicted = model.probability(patient, level=plan.level)
        k, n, share = model.seen(patient, level=plan.level)
        seen = "" if share is None else f"{k}/{n}: {format_interval(share.value, share.low, share.high)}"
        cells = {"predicted": format_interval(predicted.value, predicted.low, predicted.high), "seen": seen}
        key = ", ".join(f"{name} {value}" for name, value in patient.items())
        rows.append(Row(_patient_words(plan, patient), (key, ""), cells, {"predicted": predicted.value}))
    c = model.calibration
    slope = (
        f"{c.slope_corrected:.2f} corrected for optimism"
        if c.slope_corrected == c.slope_corrected
        else "as seen"
    )
    notes = (
        f"Firth's logistic model with corrected intercept; calibration slope {c.slope:.2f} ({slope}), Brier "
        f"score {c.brier:.3f}, area under the ROC curve {c.discrimination:.3f}.",
        "Seen: mutated of all with these values, Jeffreys interval.",
        f"{counted(len(known), 'patient')} with an EGFR result; "
        f"{counted(n_tested - len(known), 'more with one is', 'more with one are')} left out, as "
        f"{', '.join(in_words(plan, name) for name in have)} are not all known.",
    )
    return Table("egfr_probability", title, columns, tuple(rows), notes)


def _patient_words(plan: Plan, patient: Mapping[str, object]) -> str:
    """Say what a kind of patient is.

    >>> _patient_words(Plan(), {"mipc": "no", "sex": "female", "smoking_group": "nonsmoker"})
    'Without MIPC, female, nonsmokers'
    """
    words = []
    for column, level in patient.items():
        if column == "mipc":
            words.append("With MIPC" if level == "yes" else "Without MIPC")
        else:
            said = in_words(plan, column, str(level))
            words.append(said[:1].lower() + said[1:] if words else said)
    return ", ".join(words)


def _covariate_words(plan: Plan, name: str) -> str:
    """Say what a column of a design stands for: `column[level]`, or a number's column.

    >>> _covariate_words(Plan(), "ecog_group[2-4]"), _covariate_words(Plan(), "age_years")
    ('ECOG PS: 2–4', 'Age, years')
    """
    column, _, level = name.rstrip("]").partition("[")
    return in_words(plan, column) + (f": {in_words(plan, column, level)}" if level else "")


def _balance(found: Prognosis, plan: Plan) -> Table:
    assert found.weights is not None
    w = found.weights
    rows = tuple(
        Row(
            _covariate_words(plan, b.covariate),
            (b.covariate, ""),
            {
                "all": f"{b.mean_all:.3f}",
                "observed": f"{b.mean_observed:.3f}",
                "weighted": f"{b.mean_weighted:.3f}",
                "before": f"{b.difference_before:+.3f}",
                "after": f"{b.difference_after:+.3f}",
                "odds": _odds(w.model, b.covariate),
            },
        )
        for b in w.balance
    )
    chances = w.probability
    notes = (
        f"Effective sample size {w.effective_size:.1f} of {w.n_observed}. Probability of a result: least "
        f"{chances.min():.3f}, median {chances.median():.3f}, greatest {chances.max():.3f}; below 5 %: "
        f"{counted(w.slim_chances, 'patient')}. "
        f"Weights {w.weight.min():.2f} to {w.weight.max():.2f}, {w.kind}.",
        "Standardised differences are in standard deviations of everybody; above 0.1 is worth a look.",
    )
    columns = (
        ("odds", "Odds ratio of a result (95% CI), p"),
        ("all", "Mean, everybody"),
        ("observed", "Mean, with result"),
        ("weighted", "Mean, weighted"),
        ("before", "Difference before"),
        ("after", "Difference after"),
    )
    return Table("weights", "Who has an EGFR result: balance and positivity", columns, rows, notes)


def _odds(model: LogisticFit, name: str) -> str:
    ratio = model.odds_ratio(name)
    return f"{format_interval(ratio.value, ratio.low, ratio.high)}, p {format_p(model.wald(name).p_value)}"


def _proportional(found: Prognosis, plan: Plan) -> Table:
    assert found.proportional is not None
    tests = {name.lstrip("_"): test for name, test in found.proportional.terms.items()}
    tests["All together"] = found.proportional.overall
    labels = {term.name: term.label for term in plan.terms}
    rows = tuple(
        Row(
            labels.get(name, name),
            (name, ""),
            {"chi": f"{t.statistic:.2f}", "df": str(t.df), "p": format_p(t.p_value)},
        )
        for name, t in tests.items()
    )
    columns = (("chi", "Chi-squared"), ("df", "df"), ("p", "p-value"))
    note = "Score test of a drift with 1 minus Kaplan-Meier, as cox.zph of survival 3.x."
    return Table("proportional_hazards", "Are hazards proportional?", columns, rows, (note,))


def _hidden(found: Prognosis, plan: Plan) -> Table:
    rows = []
    for estimate in found.estimates:
        r = estimate.ratio
        e = e_value(r)
        cells = {
            "hr": format_interval(r.value, r.low, r.high),
            "estimate": f"{e.estimate:.2f}",
            "limit": f"{e.limit:.2f}",
        }
        rows.append(Row(estimate.term.label, (estimate.term.name, ""), cells))
    columns = (
        ("hr", f"HR ({plan.interval_name})"),
        ("estimate", "E-value"),
        ("limit", "E-value of the nearer limit"),
    )
    note = "Risk ratio that an unmeasured confounder needs with exposure and outcome to explain it all."
    return Table("e_values", "How much could be hidden", columns, tuple(rows), (note,))


def _imputed(cohort: pd.DataFrame, found: Prognosis, plan: Plan) -> Table:
    title = "EGFR status imputed instead of weighted"
    columns = (("hr", f"HR ({plan.interval_name})"), ("p", "p-value"), ("lambda", "Missing information"))
    table = cohort.reset_index(drop=True)
    table = table.assign(
        _months=table["os_months"].astype(float),
        _died=table["os_event"].astype(float),
        egfr_mutation=(table["egfr_status"] == "mutation").astype(float).where(table["egfr_tested"]),
    )
    names = {}
    for estimate in found.estimates:
        if estimate.term.column != "egfr_status" and not estimate.is_sparse:
            table[f"_{estimate.term.name}"] = indicator(table, estimate.term)
            names[f"_{estimate.term.name}"] = estimate.term.label
    covariates = ["egfr_mutation", *names]
    predictors = [p for p in plan.missing_predictors if p in table and table[p].nunique() > 1]
    try:
        pooled = imputed_cox(
            table.assign(**{p: table[p].astype(str) for p in predictors}),
            "_months",
            "_died",
            covariates,
            column="egfr_mutation",
            predictors=[*predictors, *names],
            imputations=plan.imputations,
            seed=plan.seed,
            ties=plan.ties,
        )
    except AnalysisError as error:
        if error.problem not in NO_RESULT:
            raise
        return Table("imputed", title, columns, (), (f"Not possible: {error.sentence}.",))
    rows = []
    for name, term in pooled.terms.items():
        ratio = term.ratio(level=plan.level)
        cells = {
            "hr": format_interval(ratio.value, ratio.low, ratio.high),
            "p": format_p(term.p_value),
            "lambda": f"{term.missing_information:.2f}",
        }
        rows.append(Row(names.get(name, "EGFR mutation"), (name, ""), cells, {"hr": ratio.value}))
    note = (
        f"{counted(pooled.imputations, 'imputation')} of {counted(pooled.n_imputed, 'result')}, "
        f"{counted(pooled.n, 'patient')}; Rubin's "
        "rules. Covariates resting on fewer than five are left out."
    )
    return Table("imputed", title, columns, tuple(rows), (note,))


def _time_zero(cohort: pd.DataFrame, plan: Plan) -> Table:
    table = cohort.assign(_died=cohort["os_event"].astype(float))
    rows = []
    try:
        fit = time_dependent_cox(table, "os_months", "_died", "tki_months", ties=plan.ties)
        r = fit.hazard_ratio("exposed", level=plan.level)
        cells = {
            "n": str(int((table["os_months"] > 0).sum())),  # a time of 0 has no part in it
            "hr": format_interval(r.value, r.low, r.high),
            "p": format_p(fit.p_value("exposed")),
        }
        rows.append(Row("TKI, from the day it began", ("time_dependent", ""), cells, {"hr": r.value}))
    except AnalysisError as error:
        if error.problem not in NO_RESULT:
            raise
        rows.append(Row("TKI, from the day it began", ("time_dependent", ""), {"hr": error.sentence}))
    for at in plan.landmarks_months:
        name = f"TKI by {at:g} months, among those followed then"
        try:
            seen = landmark(table, "os_months", "_died", "tki_months", at, ties=plan.ties)
            r = seen.fit.hazard_ratio("exposed", level=plan.level)
            cells = {
                "n": str(seen.n),
                "hr": format_interval(r.value, r.low, r.high),
                "p": format_p(seen.test.p_value),
            }
            rows.append(Row(name, ("landmark", f"{at:g}"), cells, {"hr": r.value}))
        except AnalysisError as error:
            if error.problem not in NO_RESULT:
                raise
            rows.append(Row(name, ("landmark", f"{at:g}"), {"hr": error.sentence}))
    columns = (("n", "Patients"), ("hr", f"HR ({plan.interval_name})"), ("p", "p-value"))
    note = "As if known from the start, a TKI gets the credit for the time a patient lived to receive it."
    return Table("immortal_time", "Use of a TKI without immortal time", columns, tuple(rows), (note,))


def _competing(cohort: pd.DataFrame, plan: Plan) -> Iterator[Table]:
    need = {"pfs_months", "pfs_event", "progression_date", "first_line"}
    if not need <= set(cohort.columns):
        return
    table = cohort[(cohort["pfs_months"] > 0) & cohort["pfs_event"].notna()]
    table = table[table["first_line"].isin(["egfr_tki", "chemotherapy"])]
    ended = table["pfs_event"].astype(bool)
    cause = np.where(~ended, 0, np.where(_ended_by_death(table), 2, 1))
    if not (cause == 1).any() or len(table) > LARGEST_FINE_GRAY:
        return
    rows = []
    for arm, label in (("egfr_tki", "EGFR-TKI first"), ("chemotherapy", "Chemotherapy first")):
        mine = (table["first_line"] == arm).to_numpy()
        if not (cause[mine] > 0).any():
            continue
        curve = aalen_johansen(table["pfs_months"][mine], cause[mine], level=plan.level)
        cells = {"n": str(int(mine.sum()))}
        for kind, key in ((1, "progression"), (2, "death")):
            at = int(np.searchsorted(curve.time, ONE_YEAR, side="right")) - 1
            if (
                curve.time[-1] < ONE_YEAR
                and sum(float(part[-1]) for part in curve.incidence.values()) < 1 - 1e-9
            ):
                cells[key] = f"followed for {curve.time[-1]:.1f} months only"
            elif kind not in curve.incidence or at < 0:
                cells[key] = "0.00 (nobody)"
            else:
                numbers = (curve.incidence[kind][at], curve.low[kind][at], curve.high[kind][at])
                cells[key] = format_interval(*map(float, numbers))
        rows.append(Row(label, (arm, ""), cells))
    notes = ["Cumulative incidence at 12 months (Aalen-Johansen): death before progression competes."]
    try:
        model = table.assign(_cause=cause, _tki=(table["first_line"] == "egfr_tki").astype(float))
        fit = fine_gray(model, "pfs_months", "_cause", ["_tki"], ties=plan.ties)
        r = fit.hazard_ratio("_tki", level=plan.level)
        notes.append(
            f"Subdistribution hazard ratio of progression, TKI against chemotherapy (Fine and Gray): "
            f"{format_interval(r.value, r.low, r.high)}, p {format_p(fit.p_value('_tki'))}."
        )
    except AnalysisError as error:
        if error.problem not in NO_RESULT:
            raise
        notes.append(f"Fine and Gray: {error.sentence}.")
    columns = (
        ("n", "n"),
        ("progression", f"Progression ({plan.interval_name})"),
        ("death", f"Death without ({plan.interval_name})"),
    )
    yield Table("competing", "Progression with death as a competing risk", columns, tuple(rows), tuple(notes))


def _ended_by_death(table: pd.DataFrame) -> "pd.Series[bool]":
    """Return of whom a time without progression that had an event ended with death.

    That is whoever died then: progression without its day is not the death of one who lives on.
    """
    died = table["os_event"].fillna(False).astype(bool) & table["progression_date"].isna()
    if "line1_months" not in table:
        return died
    later = (table["os_months"] - table["line1_months"] - table["pfs_months"]) * DAYS_PER_MONTH
    return died & ~(later > SAME_DAYS)


def _restricted(cohort: pd.DataFrame, plan: Plan) -> Iterator[Table]:
    if "egfr_status" not in cohort:
        return
    rows = []
    for status, label in (("mutation", "EGFR mutation"), ("wild_type", "Wild type")):
        mine = cohort[cohort["egfr_status"] == status]
        if len(mine) == 0:
            continue
        curve = kaplan_meier(mine["os_months"], mine["os_event"].astype(float), level=plan.level)
        try:
            found = restricted_mean(curve, plan.horizon_months)
        except AnalysisError as error:
            rows.append(Row(label, (status, ""), {"mean": error.sentence}))
            continue
        text = format_interval(found.mean, found.interval.low, found.interval.high, decimals=1)
        rows.append(Row(label, (status, ""), {"mean": text, "n": str(len(mine))}, {"mean": found.mean}))
    columns = (
        ("n", "n"),
        ("mean", f"Months alive of the first {plan.horizon_months:g} ({plan.interval_name})"),
    )
    if rows:
        yield Table("restricted_mean", "Restricted mean survival", columns, tuple(rows))
