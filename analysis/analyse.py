"""From a clinical table, a plan and imaging labels to everything a paper prints.

`analyse` is the whole path on one page: who is in, what is compared, what is
drawn. It opens no file; `analysis.report` writes what it returns.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.characteristics import levels_of
from analysis.clinical import Clinical, TableProblem
from analysis.cohort_tables import cohort_tables
from analysis.derivations import DAYS_PER_MONTH
from analysis.errors import AnalysisError, Problem
from analysis.figures import (
    ForestRow,
    draw_flow,
    draw_forest,
    draw_survival,
    draw_swimmer,
    draw_waterfall,
)
from analysis.flow import Flow, choose
from analysis.kaplan_meier import SurvivalCurve, kaplan_meier
from analysis.log_rank import log_rank_p
from analysis.plan import Plan, in_words
from analysis.prognosis import Prognosis, model_table, prognosis
from analysis.side_tables import probability_table, side_tables
from analysis.tables import Table, format_p
from records.model import VerdictLabel
from records.wording import counted

__all__ = ["Analysis", "Figure", "analyse", "with_labels"]

MOST_LANES = 200  # a waterfall or a swimmer of more patients is not drawn


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A figure that knows how to draw itself on axes; size in inches."""

    name: str
    title: str
    draw: Callable[[Any], None]
    size: tuple[float, float] = (6.0, 4.2)


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """All results: tables, figures, who was left out, what was wrong with the data, the methods in words."""

    plan: Plan
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    flow: Flow
    problems: tuple[TableProblem, ...]
    methods: str
    cohort: pd.DataFrame
    prognosis: Prognosis


def with_labels(clinical: Clinical, labels: pd.DataFrame) -> Clinical:
    """Enter imaging verdicts as the truth `mipc`; what cannot be joined or judged is a problem.

    Parameters
    ----------
    clinical : Clinical
    labels : DataFrame
        Columns `patient_id` and `verdict`, as in `studies.csv`. A patient with
        several studies is MIPC if any says so, and unknown only if all are.

    Raises
    ------
    AnalysisError
        If a column is absent or there twice, or a verdict is none.
    """
    absent = {"patient_id", "verdict"} - set(labels.columns)
    if absent:
        raise AnalysisError(Problem.MISSING_COLUMN, f"the labels have no column {', '.join(sorted(absent))}")
    twice = [name for name in ("patient_id", "verdict") if list(labels.columns).count(name) > 1]
    if twice:
        raise AnalysisError(Problem.BAD_INPUT, f"the labels have two columns {twice[0]!r}")
    judged = labels.assign(patient_id=labels["patient_id"].astype(str).str.strip())
    verdicts = judged["verdict"].astype(str).str.strip()
    strange = sorted(set(verdicts) - {"", *VerdictLabel})
    if strange:
        sentence = f"the labels hold {', '.join(map(repr, strange))}; a verdict is {', '.join(VerdictLabel)}"
        raise AnalysisError(Problem.BAD_INPUT, sentence)
    said = verdicts.map({VerdictLabel.MIPC: True, VerdictLabel.NOT_MIPC: False}).astype("boolean")
    by_patient = said.groupby(judged["patient_id"]).max()
    frame = clinical.frame.copy()
    found = frame["patient_id"].map(by_patient).astype("boolean")
    problems = list(clinical.problems)
    for row in np.flatnonzero(found.isna().to_numpy()):
        patient = str(frame["patient_id"].iloc[row])
        why = "no verdict could be given" if patient in set(by_patient.index) else "no labelled study"
        problems.append(TableProblem(int(frame["table_row"].iloc[row]), patient, "mipc", "", why))
    strangers = sorted(set(by_patient.index) - set(frame["patient_id"]) - {""})
    problems += [
        TableProblem(0, name, "patient_id", name, "labelled, but not in the table") for name in strangers
    ]
    nameless = int((judged["patient_id"] == "").sum())
    if nameless:
        sentence = f"studies labelled without a patient's number: {nameless}"
        problems.append(TableProblem(0, "", "patient_id", "", sentence))
    return Clinical(frame.assign(mipc=found), tuple(problems), clinical.n_read)


def analyse(clinical: Clinical, plan: Plan) -> Analysis:
    """Analyse a derived patient table by a plan.

    Parameters
    ----------
    clinical : Clinical
        From `read_clinical` and `derive`, with labels entered where there are any.
    plan : Plan

    Raises
    ------
    AnalysisError
        If nobody is of interest, or nobody of interest has follow-up.
    """
    frame = clinical.frame
    if {"first_line_start_date", "diagnosis_date"} <= set(frame):
        start = frame["first_line_start_date"] - pd.to_datetime(frame["diagnosis_date"])
        frame = frame.assign(line1_months=start.dt.days / DAYS_PER_MONTH)
    flow = Flow(()).then("rows in the table", clinical.n_read, "")
    flow = flow.then("patients", len(frame), "no identifier, or a second row")
    cohort, others = frame, frame.iloc[:0]
    if plan.cohort in frame:
        label = _of_interest(frame[plan.cohort])
        others = frame[(label == False).fillna(False)]  # noqa: E712
        without = f"without {plan.cohort}"
        unknown = int(label.isna().sum())
        if unknown:
            without += f" ({len(others)}) or unknown ({unknown})"
        cohort, flow = choose(frame, flow, [(f"with {plan.cohort}", label, without)])
    everybody = cohort
    followed, flow = choose(
        cohort,
        flow,
        [("with follow-up", cohort["os_months"].notna() & cohort["os_event"].notna(), "no usable follow-up")],
    )
    if len(followed) == 0:
        raise AnalysisError(Problem.MISSING_VALUES, "no patient of interest has usable follow-up")
    tables = list(cohort_tables(everybody, others, plan))
    found = prognosis(followed, plan)
    tables.append(model_table(followed, found, plan))
    tables += side_tables(followed, everybody, found, plan)
    chance = probability_table(frame, plan)
    tables += [] if chance is None else [chance]
    figures = tuple(_figures(followed, everybody, found, flow, plan))
    return Analysis(
        plan, tuple(tables), figures, flow, clinical.problems, _methods(plan, found), followed, found
    )


def _of_interest(label: pd.Series) -> pd.Series:
    """Return the truth that makes the cohort; where it holds for nobody, everybody is not meant."""
    if label.dropna().empty or label.dropna().isin([True, False]).all():
        truth = label.astype("boolean")
    else:
        raise AnalysisError(Problem.BAD_PLAN, f"the cohort's column '{label.name}' does not hold yes or no")
    if not truth.any():
        unknown = int(truth.isna().sum())
        raise AnalysisError(
            Problem.BAD_INPUT,
            f"'{label.name}' is yes for nobody ({unknown} of {len(truth)} unknown); without that column "
            "everybody is analysed",
        )
    return truth


def _figures(
    cohort: pd.DataFrame, everybody: pd.DataFrame, found: Prognosis, flow: Flow, plan: Plan
) -> Iterator[Figure]:
    """Draw survival of those followed for it; progression, as tables do, of all of whom it is known."""
    yield Figure("flow", "Flow of patients", lambda axes: draw_flow(axes, flow), (6.0, 1.2 * len(flow.steps)))
    if "first_line" in everybody and "pfs_months" in everybody:
        treated = everybody[everybody["first_line"].isin(["egfr_tki", "chemotherapy"])]
        names = {"egfr_tki": "EGFR-TKI", "chemotherapy": "Chemotherapy"}
        yield from _curves(
            "figure2", "Progression-free survival by first line", treated, "first_line", names, plan, "pfs"
        )
        tki = everybody[(everybody["first_line"] == "egfr_tki")]
        status = {"mutation": "EGFR mutation", "wild_type": "Wild type"}
        yield from _curves(
            "figureS1",
            "Progression-free survival on a first-line TKI",
            tki,
            "egfr_status",
            status,
            plan,
            "pfs",
        )
    spread = {"yes": "Extrapulmonary metastasis", "no": "None"}
    yield from _curves(
        "figure3", "Overall survival by metastasis", cohort, "extrapulmonary_metastasis", spread, plan, "os"
    )
    status = {"mutation": "EGFR mutation", "wild_type": "Wild type"}
    yield from _curves(
        "figure4", "Overall survival by EGFR status", cohort, "egfr_status", status, plan, "os"
    )
    if found.estimates:
        rows = [ForestRow(e.term.label, e.ratio, "*" if e.is_sparse else "") for e in found.estimates]
        size = (6.0, 1.2 + 0.45 * len(rows))
        yield Figure("forest", "Adjusted hazard ratios", lambda axes: draw_forest(axes, rows), size)
    yield from _weighted_curves(cohort, found, plan)
    if len(cohort) <= MOST_LANES:
        if "best_change_percent" in cohort and cohort["best_change_percent"].notna().any():
            yield Figure("waterfall", "Best change of tumour size", lambda axes: draw_waterfall(axes, cohort))
        yield Figure(
            "swimmer", "Follow-up of each patient", lambda axes: draw_swimmer(axes, cohort), (6.0, 8.0)
        )


def _curves(
    name: str, title: str, frame: pd.DataFrame, column: str, names: dict[str, str], plan: Plan, endpoint: str
) -> Iterator[Figure]:
    if column not in frame or f"{endpoint}_months" not in frame:
        return
    table = frame[frame[f"{endpoint}_months"].notna() & frame[f"{endpoint}_event"].notna()]
    levels = levels_of(table[column])
    curves: dict[str, SurvivalCurve] = {}
    for level, label in names.items():
        mine = table[levels == level]
        if len(mine):
            event = mine[f"{endpoint}_event"].astype(float)
            curves[label] = kaplan_meier(
                mine[f"{endpoint}_months"], event, level=plan.level, interval=plan.interval
            )
    if not curves:
        return
    compared = table[levels.isin(list(names))]
    p_value = log_rank_p(
        compared[f"{endpoint}_months"],
        compared[f"{endpoint}_event"].astype(float),
        levels[compared.index].astype(str),
    )
    text = f"log-rank p {format_p(p_value)}" if p_value == p_value else ""
    outcome = "Overall survival" if endpoint == "os" else "Progression-free survival"
    yield Figure(name, title, lambda axes: draw_survival(axes, curves, outcome=outcome, p_text=text))


def _weighted_curves(cohort: pd.DataFrame, found: Prognosis, plan: Plan) -> Iterator[Figure]:
    """Draw weighted survival by EGFR status over unweighted numbers at risk."""
    if found.weights is None or "egfr_status" not in cohort:
        return
    weight = found.weights.weight.to_numpy()
    curves = {}
    for status, label in (("mutation", "EGFR mutation"), ("wild_type", "Wild type")):
        mine = (cohort["egfr_status"] == status).to_numpy() & ~np.isnan(weight)
        if mine.any():
            event = cohort.loc[mine, "os_event"].astype(float)
            curves[label] = kaplan_meier(
                cohort.loc[mine, "os_months"],
                event,
                weights=weight[mine],
                level=plan.level,
                interval=plan.interval,
            )
    if curves:
        title = "Overall survival by EGFR status, weighted (numbers at risk: patients)"
        yield Figure("figure4_weighted", title, lambda axes: draw_survival(axes, curves))


def _methods(plan: Plan, found: Prognosis) -> str:
    means = "unpaired t-tests" if plan.equal_variances else "Welch's t-tests"
    text = [
        f"Counts were compared by the rule '{plan.counts}' (chi-squared without continuity correction, or "
        f"Fisher's exact test), means by {means}. Survival curves are Kaplan-Meier estimates with "
        f"{100 * plan.level:g}% intervals ({plan.interval}), compared by log-rank tests.",
    ]
    if found.estimates:
        text.append(
            f"A Cox model ({plan.ties} ties) of overall survival was fitted to "
            f"{counted(found.n, 'patient')} with {counted(found.n_events, 'death')}."
        )
    if found.weights is not None and found.estimates:
        predictors = [in_words(plan, name) for name in found.weights.covariates]
        text.append(
            f"Patients without an EGFR result were accounted for by {found.weights.kind} inverse-probability "
            f"weights from a logistic model of having a result ({', '.join(predictors)}); "
            f"printed errors: {found.error}, others in a table of their own; multiple imputation is the "
            "sensitivity analysis."
        )
    if found.refused:
        text.append(
            f"Covariates known only after time zero ({', '.join(found.refused)}) were not entered as fixed."
        )
    text.append("Two-sided p-values below 0.05 were called significant; none was adjusted for multiplicity.")
    return " ".join(text)
