"""Tables 1 to 4, the responses, and S1 to S3: who the patients are and what they were given."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.characteristics import Group, characteristics, compare_kept, cross_table, levels_of
from analysis.comparisons import clopper_pearson
from analysis.dictionary import RESPONSES
from analysis.kaplan_meier import kaplan_meier
from analysis.log_rank import log_rank_p
from analysis.plan import Factor, Plan, in_words
from analysis.tables import Row, Table, format_interval, format_p
from records.wording import counted

__all__ = ["cohort_tables", "response_table"]

TYPES = (
    ("wild_type", "Wild type"),
    ("l858r", "L858R"),
    ("del19", "del-19"),
    ("other", "Other"),
    ("unspecified", "Not specified"),
)
CONTROLLED = ("CR", "PR", "SD", "NPD")
STATUS = (("mutation", "EGFR mutation"), ("wild_type", "Wild type"), ("not_tested", "Not tested"))


def cohort_tables(cohort: pd.DataFrame, others: pd.DataFrame, plan: Plan) -> Iterator[Table]:
    """Yield every table that the columns at hand allow.

    Parameters
    ----------
    cohort, others : DataFrame
        Derived patients of interest, and those they are compared with (may be empty).
    plan : Plan
    """
    if "egfr_status" not in cohort:
        everybody = Group("all_n", "Patients", cohort)
        yield characteristics("table1", "Table 1. Clinical characteristics", [everybody], [], plan)
    else:
        yield from _by_result(cohort, others, plan)
    symptoms = [str(name) for name in cohort.columns if str(name).startswith("symptom_")]
    symptoms += ["weight_loss"] if "weight_loss" in cohort and cohort["weight_loss"].notna().any() else []
    if symptoms:
        yield _symptoms(cohort, symptoms)
    if "best_response" in cohort and "first_line" in cohort and cohort["best_response"].notna().any():
        yield response_table(cohort, plan)
    if "treatment_sequence" in cohort and "egfr_status" in cohort:
        yield _sequences(cohort, plan)


def response_table(cohort: pd.DataFrame, plan: Plan) -> Table:
    """Lay out best responses to the first line, with the disease control rate and its exact interval."""
    rows, controlled, unknown = [], [], []
    progression = _followed_for_progression(cohort)
    arms = [arm for arm in ("egfr_tki", "chemotherapy") if (cohort["first_line"] == arm).any()]
    used = [r for r in RESPONSES if (cohort["best_response"] == r).any()]
    for arm in arms:
        everybody = cohort.loc[cohort["first_line"] == arm, "best_response"]
        mine = everybody.dropna()
        unknown += [f"{in_words(plan, 'first_line', arm)} ({n})"] if (n := len(everybody) - len(mine)) else []
        counts = {r: int((mine == r).sum()) for r in used}
        total, under_control = len(mine), sum(counts.get(r, 0) for r in CONTROLLED)
        controlled.append([under_control, total - under_control])
        cells = {"n": str(total)} | {r: str(n) for r, n in counts.items()}
        values = {"n": float(total)} | {r: float(n) for r, n in counts.items()}
        if total:
            rate = clopper_pearson(under_control, total, level=plan.level)
            cells["disease_control_rate"] = format_interval(rate.value, rate.low, rate.high)
            values["disease_control_rate"] = rate.value
        followed = progression[progression["first_line"] == arm]
        if len(followed):
            event = followed["pfs_event"].astype(float)
            curve = kaplan_meier(followed["pfs_months"], event, level=plan.level, interval=plan.interval)
            median = curve.median
            cells["median_pfs_months"] = format_interval(median.value, median.low, median.high, decimals=1)
            values["median_pfs_months"] = median.value
        rows.append(Row(in_words(plan, "first_line", arm), (arm, ""), cells, values))
    notes = ["Disease control: CR, PR, SD and nonprogressive disease (NPD); exact interval."]
    notes += [f"Without a known response, and not counted: {', '.join(unknown)}."] if unknown else []
    table = np.array(controlled)
    if len(rows) == 2:
        cells, values = {**rows[0].cells}, {**rows[0].values}
        test = compare_kept(table, plan)
        if test is not None:
            cells |= {"paper_p": format_p(test.p_value), "paper_test": test.test.value}
            values["paper_p"] = test.p_value
        both = progression[progression["first_line"].isin(arms)]
        p_value = log_rank_p(both["pfs_months"], both["pfs_event"].astype(float), both["first_line"])
        if p_value == p_value:
            cells["pfs_p"], values["pfs_p"] = format_p(p_value), p_value
        rows[0] = Row(rows[0].label, rows[0].key, cells, values)
    columns = (
        ("n", "n"),
        *((r, r) for r in used),
        ("disease_control_rate", f"Disease control ({plan.interval_name})"),
    )
    after: tuple[tuple[str, str], ...] = (("paper_p", "p-value"), ("paper_test", "Test"))
    if len(progression):
        after = (
            *after,
            ("median_pfs_months", f"PFS months ({plan.interval_name})"),
            ("pfs_p", "p-value (log-rank)"),
        )
    title = "Response to first-line systemic treatment"
    return Table("response", title, (*columns, *after), tuple(rows), tuple(notes))


def _followed_for_progression(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return the patients whose progression-free survival is known: its time, and how it ended."""
    if not {"pfs_months", "pfs_event"} <= set(cohort.columns):
        return cohort.iloc[:0].assign(pfs_months=0.0, pfs_event=False)
    return cohort[cohort["pfs_months"].notna() & cohort["pfs_event"].notna()]


def _by_result(cohort: pd.DataFrame, others: pd.DataFrame, plan: Plan) -> Iterator[Table]:
    tested, untested = cohort[cohort["egfr_tested"]], cohort[~cohort["egfr_tested"]]
    compared = [tested, untested] if len(tested) and len(untested) else []
    yield characteristics(
        "table1",
        "Table 1. Clinical characteristics",
        [Group("all_n", "Patients", cohort), Group("egfr_tested_n", "EGFR tested", tested)],
        compared,
        plan,
        factors=_without_effusion(plan),
        notes=["p-values compare patients with and without an EGFR result."],
    )
    mutated = tested[tested["egfr_status"] == "mutation"]
    wild = tested[tested["egfr_status"] == "wild_type"]
    if len(mutated) and len(wild):
        yield characteristics(
            "table2",
            "Table 2. EGFR mutation status",
            [Group("egfr_mutation_n", "EGFR mutation", mutated), Group("wild_type_n", "Wild type", wild)],
            [mutated, wild],
            plan,
            factors=_without_effusion(plan),
        )
        yield _mutations(mutated)
    known = others[others["egfr_tested"]] if len(others) else others
    if len(known) and len(tested):
        yield characteristics(
            "table3",
            "Table 3. Patients with and without MIPC, EGFR known",
            [Group("mipc_n", "With MIPC", tested), Group("without_mipc_n", "Without MIPC", known)],
            [tested, known],
            plan,
        )
        yield _types(tested, known, plan)


def _without_effusion(plan: Plan) -> list[Factor]:
    """Return the plan's factors with sites outside the pleura only, as Tables 1 and 2 have them."""
    kept = []
    for factor in plan.factors:
        levels = tuple(level for level in factor.levels if level[0] != "malignant_pleural_effusion")
        kept.append(Factor(factor.name, factor.label, factor.column, levels, factor.findings))
    return kept


def _types(tested: pd.DataFrame, known: pd.DataFrame, plan: Plan) -> Table:
    table = cross_table(
        "table4",
        "Table 4. EGFR mutation types",
        {
            ("mipc", "With MIPC"): tested["egfr_type"],
            ("without_mipc", "Without MIPC"): known["egfr_type"],
        },
        [level for level in TYPES if (pd.concat([tested, known])["egfr_type"] == level[0]).any()],
        plan,
    )
    comparisons = []
    for level, label in (("mutation", "any mutation"), ("l858r", "L858R"), ("del19", "del-19")):
        column = "egfr_status" if level == "mutation" else "egfr_type"
        for against, rest in (("all others", None), ("wild type", "wild_type")):
            counts = []
            for frame in (tested, known):
                inside = int((frame[column] == level).sum())
                outside = len(frame) - inside if rest is None else int((frame["egfr_type"] == rest).sum())
                counts.append([inside, outside])
            test = None if level == "mutation" and rest else compare_kept(np.array(counts), plan)
            if test is not None:
                comparisons.append(f"{label} against {against}: p {format_p(test.p_value)} ({test.test})")
    said = ("; ".join(comparisons) + ".",) if comparisons else ()
    return Table(table.name, table.title, table.columns, table.rows, (*table.notes, *said))


def _mutations(mutated: pd.DataFrame) -> Table:
    found = mutated["egfr_mutations"].value_counts()
    rows = tuple(
        Row(str(name), (str(name), ""), {"n": f"{n} ({100 * n / len(mutated):.0f})"}, {"n": float(n)})
        for name, n in found.items()
    )
    note = f"{counted(len(mutated), 'patient')} with a mutation; compound results keep all their parts."
    return Table("tableS2", "Table S2. EGFR mutations found", (("n", "n (%)"),), rows, (note,))


def _symptoms(cohort: pd.DataFrame, symptoms: list[str]) -> Table:
    rows = []
    for name in symptoms:
        known = cohort[name].dropna().astype(bool)
        label = name.removeprefix("symptom_").replace("_", " ").capitalize()
        share = f"{int(known.sum())} ({100 * known.mean():.0f})" if len(known) else "0"
        rows.append(Row(label, (name, ""), {"n": share, "known": str(len(known))}, {"n": float(known.sum())}))
    ordered = tuple(sorted(rows, key=lambda row: -row.values["n"]))
    return Table(
        "tableS1", "Table S1. Symptoms at diagnosis", (("n", "n (%)"), ("known", "Known for")), ordered
    )


def _sequences(cohort: pd.DataFrame, plan: Plan) -> Table:
    rows = []
    counts = pd.crosstab(levels_of(cohort["treatment_sequence"]), levels_of(cohort["egfr_status"]))
    for sequence, line in counts.iterrows():
        values = {status: float(line.get(status, 0)) for status, _ in STATUS}
        values["total"] = float(line.sum())
        cells = {key: f"{value:.0f}" for key, value in values.items()}
        label = in_words(plan, "treatment_sequence", str(sequence))
        rows.append(Row(label, (str(sequence), ""), cells, values))
    return Table(
        "tableS3",
        "Table S3. Treatment sequences and EGFR status",
        (*STATUS, ("total", "Total")),
        tuple(rows),
        ("First and second line of systemic treatment.",),
    )
