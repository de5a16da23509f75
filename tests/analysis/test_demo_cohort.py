"""The synthetic cohort has the paper's counts, and medians close to them."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from analysis.clinical import read_clinical
from analysis.cox import cox
from analysis.demo_cohort import demo_cohort
from analysis.demo_survival import FACTORS, HAZARD_RATIOS
from analysis.derivations import derive
from analysis.kaplan_meier import kaplan_meier
from analysis.printed_tables import Shape, read_tables
from tests.analysis.test_publication import PAPER, needs_paper


@cache
def synthetic():
    """Return one cohort, made once for all tests that read it."""
    return demo_cohort(3)


@pytest.fixture(scope="module")
def cohort():
    return synthetic()


@pytest.fixture(scope="module")
def derived(cohort):
    found = derive(read_clinical(cohort.astype(str)))
    assert found.problems == ()
    return found.frame


@pytest.fixture(scope="module")
def cases(derived):
    return derived[derived["mipc"].fillna(False)]


def count(frame, column, value):
    return int((frame[column] == value).fillna(False).sum())


@needs_paper
def test_every_printed_count_holds_exactly(derived, cases):
    tested = cases[cases["egfr_tested"]]
    groups = {
        "all_n": cases,
        "egfr_tested_n": tested,
        "egfr_mutation_n": cases[cases["egfr_status"] == "mutation"],
        "wild_type_n": cases[cases["egfr_status"] == "wild_type"],
        "mipc_n": tested,
        "without_mipc_n": derived[~derived["mipc"]],
    }
    columns = {
        "sex": "sex",
        "smoking": "smoking_group",
        "ecog_ps": "ecog_group",
        "tumour_type": "tumour_type",
    }
    checked = 0
    for table in (t for t in read_tables(PAPER) if t.shape is Shape.GROUPS):
        for group in table.groups:
            frame = groups[group]
            assert len(frame) == table.totals()[group]
            for variable, rows in table.variables().items():
                for row in rows:
                    if variable == "metastasis":
                        found = count(frame, f"metastasis_{row['level']}", True)
                    else:
                        found = count(frame, columns[variable], row["level"])
                    assert found == int(row[group]), (table.name, variable, row["level"], group)
                    checked += 1
    assert checked == 76


def test_the_other_counts_of_the_text_hold(derived, cases):
    assert len(derived) == 758
    assert cases["egfr_type"].value_counts().to_dict() == {
        "not_tested": 25, "del19": 21, "wild_type": 18, "l858r": 12, "other": 9,
    }  # fmt: skip
    others = derived[~derived["mipc"]]["egfr_type"].value_counts().to_dict()
    assert others == {"wild_type": 296, "del19": 165, "l858r": 149, "other": 63}
    assert cases["treatment_sequence"].value_counts().to_dict() == {
        "best_supportive_care": 5, "tki_only": 18, "chemotherapy_only": 5, "tki_then_chemotherapy": 25,
        "chemotherapy_then_tki": 15, "chemotherapy_then_chemotherapy": 17,
    }  # fmt: skip
    assert count(cases, "tki_use", True) == 71
    assert pd.crosstab(cases["first_line"], cases["best_response"]).loc["egfr_tki"].to_dict() == {
        "NPD": 1, "PD": 13, "PR": 29,
    }  # fmt: skip
    assert count(cases, "extrapulmonary_metastasis", True) == 70
    assert count(cases, "age_group", "under_65") == 54
    known = cases[cases["egfr_tested"]]
    assert count(known, "tki_use", True) == 55
    assert count(known[known["tki_use"]], "egfr_status", "mutation") == 38


def test_ages_have_the_printed_means_and_ranges(derived, cases):
    tested = cases[cases["egfr_tested"]]["age_years"]
    # Means are held to the 0.1 they are printed with.
    assert tested.mean() == pytest.approx(61.4, abs=0.08)
    assert (tested.min(), tested.max()) == (39.1, 87.7)
    assert cases["age_years"].mean() == pytest.approx(59.8, abs=0.08)
    others = derived[~derived["mipc"]]["age_years"]
    assert (round(others.mean(), 1), others.min(), others.max()) == (63.9, 24.8, 91.4)


def test_medians_come_close_to_the_printed_ones(cases):
    groups = {
        "sex": "sex", "old": "age_group", "smoker": "smoking_group", "frail": "ecog_group",
        "adenocarcinoma": "tumour_type", "spread": "extrapulmonary_metastasis", "stratum": "egfr_status",
    }  # fmt: skip
    levels = {
        ("old", "no"): "under_65", ("old", "yes"): "65_or_over", ("smoker", "no"): "nonsmoker",
        ("smoker", "yes"): "former_or_current", ("frail", "no"): "0-1", ("frail", "yes"): "2-4",
        ("adenocarcinoma", "no"): "nonadenocarcinoma", ("adenocarcinoma", "yes"): "adenocarcinoma",
        ("spread", "yes"): True, ("spread", "no"): False,
    }  # fmt: skip
    ratios = []
    for (factor, level), goal in FACTORS.items():
        mine = cases[cases[groups[factor]] == levels.get((factor, level), level)]
        found = kaplan_meier(mine["os_months"], mine["os_event"].astype(float)).median.value
        ratios.append(found / goal)
    # Four patients without adenocarcinoma have a median between two deaths: it may miss by more.
    assert np.abs(np.log(ratios)).mean() < 0.08
    assert np.abs(np.log(ratios)).max() < 0.35


def test_median_progression_free_survival_is_that_of_figure_2(cases):
    for arm, goal in (("egfr_tki", 5.8), ("chemotherapy", 2.9)):
        mine = cases[cases["first_line"] == arm]
        found = kaplan_meier(mine["pfs_months"], mine["pfs_event"].astype(float)).median.value
        assert found == pytest.approx(goal, rel=0.1)


def test_hazard_ratios_come_close_to_the_printed_ones(cases):
    """Of the model of Table 5 fitted to those with a result, unweighted."""
    tested = cases[cases["egfr_tested"]]
    table = pd.DataFrame(
        {
            "months": tested["os_months"],
            "died": tested["os_event"].astype(float),
            "adenocarcinoma": (tested["tumour_type"] == "adenocarcinoma").astype(int),
            "no_spread": (~tested["extrapulmonary_metastasis"].astype(bool)).astype(int),
            "mutated": (tested["egfr_status"] == "mutation").astype(int),
            "supportive": (tested["treatment_sequence"] == "best_supportive_care").astype(int),
            "tki_only": (tested["treatment_sequence"] == "tki_only").astype(int),
        }
    )
    fit = cox(table, "months", "died", list(HAZARD_RATIOS))
    for name, printed in HAZARD_RATIOS.items():
        # The printed intervals are as wide as a factor of 2 to 6.
        assert abs(fit.coefficients[name] - np.log(printed)) < np.log(2.2), name


def test_the_same_seed_gives_the_same_cohort():
    once = demo_cohort(5, exchanges=20)
    pd.testing.assert_frame_equal(once, demo_cohort(5, exchanges=20))
    assert not once.equals(demo_cohort(6, exchanges=20))
