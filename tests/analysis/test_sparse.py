"""Firth's penalised likelihood and plain logistic regression (tests/reference/sparse.R)."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError, Problem
from analysis.firth import firth_cox, firth_logistic
from analysis.logistic import logistic
from tests.reference import r

NAMES = ["decades", "sex", "flag"]


@pytest.fixture(scope="module")
def sparse():
    """Sixty patients; none of those flagged has the event."""
    frame = r.data("months").head(60).copy()
    frame["decades"] = (frame["age"] - 60) / 10
    frame["flag"] = ((frame["event"] == 0) & (frame["dose"] > 2)).astype(float)
    return frame


@r.needs_r
def test_r_still_says_what_was_kept(tmp_path):
    # R's numerical maximiser gives seven digits, its root finder five.
    again = r.read(r.run("sparse.R", r.HERE, tmp_path / "out.csv"))
    r.assert_same_values(again, r.kept("sparse"), 1e-5)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_penalised_cox_is_the_maximum_r_finds(ties, sparse):
    found = firth_cox(sparse, "stop", "event", NAMES, ties=ties)
    kept = r.kept("sparse")
    expected = r.column(kept, f"cox-{ties}", "coefficients")
    assert list(found.coefficients.values()) == pytest.approx(expected, rel=1e-6)
    assert found.penalised_log_likelihood == pytest.approx(kept[f"cox-{ties}", "penalised", "1"], rel=1e-9)


def test_profile_limits_and_tests_are_those_r_finds(sparse):
    kept = r.kept("sparse")
    for case, found in (
        ("cox-efron", firth_cox(sparse, "stop", "event", NAMES)),
        ("logistic", firth_logistic(sparse, "event", NAMES)),
    ):
        place = str(1 + list(found.coefficients).index("flag"))
        limits = r.column(kept, case, f"limits_{place}")
        assert [found.low["flag"], found.high["flag"]] == pytest.approx(limits, rel=1e-4)
        assert found.p_values["flag"] == pytest.approx(kept[case, f"p_{place}", "1"], rel=1e-6)


def test_penalised_logistic_is_the_maximum_r_finds(sparse):
    found = firth_logistic(sparse, "event", NAMES)
    expected = r.column(r.kept("sparse"), "logistic", "coefficients")
    assert list(found.coefficients.values()) == pytest.approx(expected, rel=1e-6)


def test_plain_logistic_agrees_with_r(sparse):
    found, kept = logistic(sparse, "event", NAMES[:2]), r.kept("sparse")
    assert list(found.coefficients.values()) == pytest.approx(r.column(kept, "glm", "coefficients"), rel=1e-8)
    assert list(found.se.values()) == pytest.approx(r.column(kept, "glm", "se"), rel=1e-8)
    assert found.log_likelihood == pytest.approx(kept["glm", "log_likelihood", "1"], rel=1e-10)


def test_a_separated_logistic_model_is_refused(sparse):
    with pytest.raises(AnalysisError) as caught:
        logistic(sparse, "event", NAMES)
    assert caught.value.problem is Problem.SEPARATED


@settings(max_examples=30, deadline=None)
@given(a=st.integers(0, 12), b=st.integers(0, 12), c=st.integers(0, 12), d=st.integers(0, 12))
def test_penalised_odds_ratio_of_a_two_by_two_table_adds_half_to_every_cell(a, b, c, d):
    """For a saturated model Firth's estimate is that of the table with 0.5 added (Heinze 2002, 3.1)."""
    if 0 in (a + b, c + d):
        return
    frame = pd.DataFrame({"y": [1] * a + [0] * b + [1] * c + [0] * d, "x": [1] * (a + b) + [0] * (c + d)})
    expected = np.log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)))
    found = firth_logistic(frame, "y", ["x"])
    assert found.coefficients["x"] == pytest.approx(expected, abs=1e-8)
    assert found.low["x"] < found.coefficients["x"] < found.high["x"]
