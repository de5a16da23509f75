"""Competing risks against R's multi-state survfit and finegray (tests/reference/competing.R)."""

import numpy as np
import pytest

from analysis.competing import aalen_johansen, fine_gray, fine_gray_rows
from analysis.errors import AnalysisError, Problem
from analysis.kaplan_meier import kaplan_meier
from tests.reference import r

TIMES = [1, 3, 6, 12, 20, 30]


@pytest.fixture(scope="module")
def months():
    return r.data("months")


@r.needs_r
def test_r_still_says_what_was_kept(tmp_path):
    r.assert_same_values(
        r.read(r.run("competing.R", r.HERE, tmp_path / "out.csv")), r.kept("competing"), 1e-9
    )


@pytest.mark.parametrize("cause", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_incidence_and_its_error_agree_with_r(cause, weighted, months):
    curve = aalen_johansen(months["stop"], months["cause"], weights=months["weight"] if weighted else None)
    case = f"curve{'-weighted' if weighted else ''}-{cause}"
    where = np.searchsorted(curve.time, TIMES)
    for quantity in ("incidence", "se", "low", "high"):
        expected = r.column(r.kept("competing"), case, quantity)
        assert getattr(curve, quantity)[cause][where] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("cause", [1, 2])
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_subdistribution_model_agrees_with_r(cause, ties, months):
    fit = fine_gray(months, "stop", "cause", ["age", "sex", "dose"], of_interest=cause, ties=ties)
    kept, case = r.kept("competing"), f"{ties}-{cause}"
    assert list(fit.coefficients.values()) == pytest.approx(r.column(kept, case, "coefficients"), rel=1e-8)
    assert list(fit.se_robust.values()) == pytest.approx(r.column(kept, case, "se_robust"), rel=1e-6)


def test_incidences_and_survival_add_up_to_one(months):
    curve = aalen_johansen(months["stop"], months["cause"])
    alive = kaplan_meier(months["stop"], months["event"]).survival
    assert curve.incidence[1] + curve.incidence[2] + alive == pytest.approx(np.ones(len(alive)))
    assert (curve.at(1, [0, 12, 30]) <= 1 - kaplan_meier(months["stop"], months["cause"] == 1).survival_at(
        [0, 12, 30]
    )).all()  # fmt: skip


def test_without_a_competing_event_it_is_one_minus_kaplan_meier(months):
    one = np.where(months["cause"] == 1, 1, 0)
    curve, km = aalen_johansen(months["stop"], one), kaplan_meier(months["stop"], one)
    assert curve.incidence[1] == pytest.approx(1 - km.survival)
    assert curve.se[1] == pytest.approx(km.se, rel=0.05)


def test_those_with_the_other_event_stay_at_risk_less_and_less():
    rows = fine_gray_rows([1, 2, 3, 4, 5], [2, 1, 0, 1, 1])
    other = rows[rows["patient"] == 0]
    # One of three uncensored leaves at 3: the weight falls to two thirds for the events at 4 and 5.
    assert other["stop"].tolist() == [1, 2, 5]
    assert other["weight"].tolist() == pytest.approx([1, 1, 2 / 3])


@pytest.mark.parametrize(
    ("cause", "problem"), [([0, 0, 0], Problem.NO_EVENTS), ([1, np.nan, 0], Problem.MISSING_VALUES)]
)
def test_causes_that_say_nothing_are_refused(cause, problem):
    with pytest.raises(AnalysisError) as caught:
        aalen_johansen([1, 2, 3], cause)
    assert caught.value.problem is problem
