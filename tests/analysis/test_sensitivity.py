"""Immortal time, E-values, sparse support and the EGFR probability tool."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.comparisons import Interval
from analysis.cox import cox
from analysis.egfr_probability import egfr_model
from analysis.errors import AnalysisError
from analysis.imputation import imputed_cox
from analysis.sensitivity import e_value, support
from analysis.time_zero import landmark, split_at_exposure, time_dependent_cox
from tests.reference import r


def waiting_cohort(n=1500, seed=5):
    """Patients whose treatment does nothing, given to those who live to receive it."""
    random = np.random.default_rng(seed)
    death, waiting = random.exponential(12, n), random.exponential(8, n)
    frame = pd.DataFrame(
        {"patient_id": range(n), "months": np.minimum(death, 60), "died": (death < 60).astype(int)}
    )
    frame["tki_months"] = np.where(waiting < death, waiting, np.nan)
    frame["tki_use"] = (waiting < death).astype(int)
    return frame


def test_a_useless_treatment_looks_good_as_fixed_and_useless_as_time_dependent():
    frame = waiting_cohort()
    as_fixed = cox(frame, "months", "died", ["tki_use"])
    assert as_fixed.hazard_ratio("tki_use").high < 0.7
    honest = time_dependent_cox(frame, "months", "died", "tki_months")
    assert honest.hazard_ratio("exposed").low < 1 < honest.hazard_ratio("exposed").high
    from_landmark = landmark(frame, "months", "died", "tki_months", 6.0)
    ratio = from_landmark.fit.hazard_ratio("exposed")
    assert ratio.low < 1 < ratio.high
    assert from_landmark.n + from_landmark.n_before == len(frame)


@pytest.mark.parametrize(
    ("exposed_at", "rows"),
    [
        pytest.param(None, [(0, 10, 1, 0)], id="never"),
        pytest.param(0.0, [(0, 10, 1, 1)], id="from-the-start"),
        pytest.param(4.0, [(0, 4, 0, 0), (4, 10, 1, 1)], id="on-the-way"),
        pytest.param(10.0, [(0, 10, 1, 0)], id="at-the-end"),
    ],
)
def test_time_is_cut_at_the_exposure(exposed_at, rows):
    frame = pd.DataFrame({"patient_id": ["a"], "t": [10.0], "d": [1], "x": [exposed_at]})
    found = split_at_exposure(frame, "t", "d", "x")[["start", "stop", "event_here", "exposed"]]
    assert [tuple(row) for row in found.to_numpy()] == rows


def test_a_landmark_that_nobody_reaches_in_two_groups_is_refused():
    with pytest.raises(AnalysisError, match="no two groups"):
        landmark(waiting_cohort(50), "months", "died", "tki_months", 500.0)


@pytest.mark.parametrize(
    ("ratio", "common", "estimate", "limit"),
    [
        # VanderWeele and Ding 2017: 3.9 (1.8 to 8.7) gives 7.26, 3.0; 0.80 (0.71 to 0.91) 1.81, 1.43.
        pytest.param(Interval(3.9, 1.8, 8.7), False, 7.26, 3.0, id="harm"),
        pytest.param(Interval(0.80, 0.71, 0.91), False, 1.81, 1.43, id="benefit"),
        pytest.param(Interval(1.2, 0.9, 1.6), False, 1.69, 1.0, id="interval-holds-1"),
        # By hand: HR 4 is RR 0.75 / (1 - sqrt 0.5) = 2.5607, HR 2.25 is 0.6464 / 0.3700 = 1.7470.
        pytest.param(Interval(4, 2.25, 7.1), True, 4.560, 2.889, id="hazard-ratio-of-a-common-outcome"),
    ],
)
def test_e_values_are_the_published_ones(ratio, common, estimate, limit):
    found = e_value(ratio, outcome_is_common=common)
    assert found.estimate == pytest.approx(estimate, abs=0.006)
    assert found.limit == pytest.approx(limit, abs=0.006)


@given(st.floats(0.05, 20))
def test_an_e_value_does_not_depend_on_which_group_comes_first(value):
    ratio, mirrored = Interval(value, value / 2, value * 2), Interval(1 / value, 0.5 / value, 2 / value)
    assert e_value(ratio).estimate == pytest.approx(e_value(mirrored).estimate)
    assert e_value(ratio).estimate >= 1


def test_sides_of_fewer_than_five_are_called_sparse():
    frame = pd.DataFrame(
        {"died": [1] * 12, "group": ["a"] * 4 + ["b"] * 8, "x": [0, 1] * 6, "age": range(12)}
    )
    found = {row.name: row for row in support(frame, "died", ["group", "x", "age"])}
    assert found["group[b]"].is_sparse
    assert found["group[b]"].patients == (4, 8)
    assert not found["x"].is_sparse
    assert "age" not in found


@pytest.fixture(scope="module")
def probability_model():
    random = np.random.default_rng(8)
    n = 700
    frame = pd.DataFrame(
        {
            "mipc": random.choice(["yes", "no"], n, p=[0.2, 0.8]),
            "sex": random.choice(["female", "male"], n),
            "smoking_group": random.choice(["nonsmoker", "former_or_current"], n),
            "tumour_type": "adenocarcinoma",
        }
    )
    eta = 0.8 * (frame["mipc"] == "yes") + 0.5 * (frame["sex"] == "female") - 0.4
    frame["egfr_mutated"] = (random.random(n) < 1 / (1 + np.exp(-eta))).astype(int)
    return frame, egfr_model(frame, bootstrap=30)


def test_mean_probability_is_the_rate_seen(probability_model):
    frame, model = probability_model
    predicted = [model.probability(row).value for row in frame.to_dict("records")]
    assert np.mean(predicted) == pytest.approx(frame["egfr_mutated"].mean(), abs=1e-9)


def test_probabilities_are_calibrated_and_near_the_truth(probability_model):
    _, model = probability_model
    patient = {"mipc": "yes", "sex": "female", "smoking_group": "nonsmoker", "tumour_type": "adenocarcinoma"}
    found = model.probability(patient)
    truth = 1 / (1 + np.exp(-0.9))
    assert found.low < truth < found.high
    assert 0.6 < model.calibration.slope_corrected < 1.3
    assert 0.5 < model.calibration.discrimination < 0.8
    k, n, share = model.seen(patient)
    assert share.low < k / n < share.high


def test_unknown_levels_and_missing_predictors_are_refused(probability_model):
    _, model = probability_model
    with pytest.raises(AnalysisError, match="'sex' is one of female, male, got 'm'"):
        model.probability({"mipc": "yes", "sex": "m", "smoking_group": "nonsmoker"})
    with pytest.raises(AnalysisError, match="no 'mipc'"):
        model.probability({"sex": "male"})


def test_weights_and_time_dependence_go_together():
    """Splitting at a time without effect leaves the coefficients of R's fixed fit alone."""
    months = r.data("months").assign(patient_id=range(240), never=np.nan)
    split = split_at_exposure(months, "stop", "event", "never")
    fit = cox(split, "stop", "event_here", ["age", "sex", "dose"], entry="start", cluster="patient_id")
    expected = r.column(r.kept("survival"), "plain-efron", "coefficients")
    assert list(fit.coefficients.values()) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("imputations", [0, 1])
def test_one_imputation_tells_nothing_of_what_is_missing(imputations):
    table = pd.DataFrame({"t": [1.0, 2, 3, 4], "d": [1, 1, 0, 1], "x": [1.0, 0.0, 1.0, np.nan]})
    with pytest.raises(AnalysisError, match=f"2 or more imputations, got {imputations}"):
        imputed_cox(table, "t", "d", ["x"], column="x", predictors=[], imputations=imputations)
