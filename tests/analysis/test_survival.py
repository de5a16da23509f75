"""Laws and refusals of the survival module; its digits are in test_survival_against_r."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError, Problem
from analysis.survival import concordance, cox, kaplan_meier, log_rank, restricted_mean
from tests.reference import r

# Freireich 1963 (Blood 21:699), weeks in remission; the classic of survival analysis.
SIX_MP = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
SIX_MP_RELAPSE = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def freireich():
    arms = ["6-MP"] * 21 + ["placebo"] * 21
    return pd.DataFrame({"weeks": SIX_MP + PLACEBO, "relapse": SIX_MP_RELAPSE + [1] * 21, "arm": arms})


def test_freireich_trial_has_its_published_numbers():
    """R survival: `survdiff(Surv(weeks, relapse) ~ arm)` 16.79; `coxph` 1.572 (0.412); medians 23, 8."""
    frame = freireich()
    assert log_rank(frame["weeks"], frame["relapse"], frame["arm"]).chi_squared == pytest.approx(
        16.79, abs=5e-3
    )
    fit = cox(frame, "weeks", "relapse", ["arm"])
    assert fit.coefficients["arm[placebo]"] == pytest.approx(1.5721, abs=5e-5)
    assert fit.se_model["arm[placebo]"] == pytest.approx(0.4124, abs=5e-5)
    assert kaplan_meier(SIX_MP, SIX_MP_RELAPSE).median.value == 23
    assert kaplan_meier(PLACEBO, [1] * 21).median.value == 8


@pytest.mark.parametrize("weighted", [True, False])
def test_events_all_at_one_time_are_not_called_certain(weighted):
    """R: `coxph(Surv(rep(5, 20), rep(1, 20)) ~ sex + age, lung[1:20, ], weights = ..., robust = TRUE)`.

    It prints coefficients of 0 with robust errors of 1.8e-17 and 1.0e-18, rounding that is left of none;
    the model's errors without weights are 0.5354 and 0.0359.
    """
    sex = [1, 1, 1, 1, 1, 1, 2, 2, 1, 1, 1, 2, 2, 1, 1, 1, 1, 1, 2, 1]
    age = [74, 68, 56, 57, 60, 74, 68, 71, 53, 61, 57, 68, 68, 60, 57, 67, 70, 63, 56, 57]
    frame = pd.DataFrame({"months": 5.0, "died": 1, "sex": sex, "age": age, "w": [1.0, 2.0] * 10})
    if weighted:
        with pytest.raises(AnalysisError, match="robust error of 'sex', 'age'") as found:
            cox(frame, "months", "died", ["sex", "age"], weights="w")
        assert found.value.problem is Problem.NOT_ESTIMABLE
    else:
        fit = cox(frame, "months", "died", ["sex", "age"])
        assert [fit.beta[0], fit.beta[1]] == pytest.approx([0, 0], abs=1e-12)
        assert [fit.se("sex"), fit.se("age")] == pytest.approx([0.535360, 0.035904], abs=5e-7)


def test_a_flat_median_is_the_middle_of_the_step():
    assert kaplan_meier([1, 2, 5, 9], [1, 1, 1, 1]).median.value == 3.5


def test_numbers_at_risk_are_patients_and_not_weights():
    curve = kaplan_meier([2, 4, 6], [1, 1, 0], weights=[2.5, 2.5, 2.5])
    assert curve.count_at_risk([0, 2, 3, 6, 7]).tolist() == [3, 3, 2, 1, 0]
    assert curve.at_risk.tolist() == [7.5, 5.0, 2.5]


def test_restricted_mean_without_censoring_is_the_mean_of_capped_times():
    times = np.array([1.0, 3.0, 4.0, 8.0, 12.0])
    found = restricted_mean(kaplan_meier(times, np.ones(5)), 6.0)
    capped = np.minimum(times, 6)
    assert found.mean == pytest.approx(capped.mean())
    # Greenwood's variance is the one with n in the denominator.
    assert found.se == pytest.approx(capped.std() / np.sqrt(5))


def test_restricted_mean_beyond_the_curve_is_refused():
    with pytest.raises(AnalysisError, match="ends at 6"):
        restricted_mean(kaplan_meier([2, 4, 6], [1, 1, 0]), 7)


survival_data = st.lists(
    st.tuples(st.integers(1, 8), st.booleans(), st.integers(0, 3), st.integers(0, 1)),
    min_size=12,
    max_size=40,
)


def fit_or_reject(frame, duration, event, covariates, **options):
    """Fit, or tell hypothesis that these data have no finite estimate."""
    try:
        return cox(frame, duration, event, covariates, **options)
    except AnalysisError as error:
        if error.problem in (Problem.SEPARATED, Problem.NOT_ESTIMABLE):
            reject()
        raise


def varied(rows):
    frame = pd.DataFrame(rows, columns=["months", "died", "x", "z"]).astype(float)
    frame.loc[0:3, "died"] = 1.0
    frame.loc[0:3, "months"] = [1.0, 2.0, 2.0, 5.0]
    frame.loc[0:7, "x"] = [0, 2, 1, 3, 1, 0, 3, 1]
    frame.loc[0:7, "z"] = [1, 0, 1, 0, 0, 1, 0, 1]
    return frame


@settings(max_examples=40, deadline=None)
@given(rows=survival_data, seed=st.integers(0, 99))
def test_weights_of_two_are_the_patients_twice_under_breslow(rows, seed):
    frame = varied(rows)
    frame["weight"] = np.random.default_rng(seed).integers(1, 4, len(frame)).astype(float)
    weighted = fit_or_reject(frame, "months", "died", ["x", "z"], weights="weight", ties="breslow")
    repeated = frame.loc[frame.index.repeat(frame["weight"].astype(int))]
    plain = cox(repeated, "months", "died", ["x", "z"], ties="breslow")
    assert weighted.beta == pytest.approx(plain.beta, rel=1e-7, abs=1e-9)
    assert weighted.covariance_model == pytest.approx(plain.covariance_model, rel=1e-7)
    assert concordance(weighted).value == pytest.approx(concordance(plain).value, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(rows=survival_data, cut=st.integers(1, 7), ties=st.sampled_from(["efron", "breslow"]))
def test_splitting_follow_up_changes_nothing(rows, cut, ties):
    frame = varied(rows).assign(start=0.0, patient=range(len(rows)))
    early, late = frame.copy(), frame[frame["months"] > cut].assign(start=float(cut))
    early.loc[early["months"] > cut, "died"] = 0.0
    early["months"] = early["months"].clip(upper=cut)
    split = pd.concat([early, late])
    options = {"entry": "start", "cluster": "patient", "ties": ties}
    whole = fit_or_reject(frame, "months", "died", ["x", "z"], **options)
    halves = cox(split, "months", "died", ["x", "z"], **options)
    assert halves.beta == pytest.approx(whole.beta, rel=1e-8, abs=1e-10)
    assert halves.covariance_robust == pytest.approx(whole.covariance_robust, rel=1e-7)


@settings(max_examples=40, deadline=None)
@given(rows=survival_data)
def test_score_test_of_a_cox_model_is_the_log_rank_test_without_ties(rows):
    frame = varied(rows)
    frame["months"] = np.argsort(np.argsort(frame["months"], kind="stable")) + 1.0
    found = log_rank(frame["months"], frame["died"], frame["z"])
    fit = fit_or_reject(frame, "months", "died", ["z"])
    assert fit.score.statistic == pytest.approx(found.chi_squared, rel=1e-9)


@given(rows=survival_data)
def test_a_curve_falls_from_one_and_stays_inside_its_limits(rows):
    frame = varied(rows)
    curve = kaplan_meier(frame["months"], frame["died"], interval="log-log")
    assert (np.diff(curve.survival) <= 0).all()
    inside = np.isfinite(curve.low)
    assert (curve.low[inside] <= curve.survival[inside]).all()
    assert (curve.survival[inside] <= curve.high[inside]).all()


def test_concordance_counts_pairs_as_a_double_loop_does():
    months = r.data("months")
    fit = cox(months, "stop", "event", ["sex", "age"], weights="weight")
    eta = np.round(fit.sets.x @ fit.beta, 12)
    time, died, weight = (months[name].to_numpy() for name in ("stop", "event", "weight"))
    agree = pairs = 0.0
    for i in np.flatnonzero(died):
        later = (time > time[i]) | ((time == time[i]) & (died == 0))
        pairs += weight[i] * weight[later].sum()
        agree += weight[i] * (weight[later] @ ((eta[later] < eta[i]) + 0.5 * (eta[later] == eta[i])))
    assert concordance(fit).value == pytest.approx(agree / pairs, rel=1e-12)


def test_everybody_dead_on_one_side_is_called_separated():
    frame = pd.DataFrame(
        {"t": [1, 2, 3, 4, 5, 6, 7, 8], "d": [1, 1, 1, 0, 0, 0, 0, 0], "x": [1, 1, 1, 0, 0, 0, 0, 1]}
    )
    with pytest.raises(AnalysisError, match="'x' has no finite estimate") as caught:
        cox(frame, "t", "d", ["x"])
    assert caught.value.problem is Problem.SEPARATED


@pytest.mark.parametrize(
    ("change", "options", "problem"),
    [
        pytest.param({"age": [60, None, 70, 50]}, {}, Problem.MISSING_VALUES, id="missing-value"),
        pytest.param({"died": [0, 0, 0, 0]}, {}, Problem.NO_EVENTS, id="no-event"),
        pytest.param({"died": [0, 2, 0, 0]}, {}, Problem.BAD_INPUT, id="event-coded-1-2"),
        pytest.param({"age": [60, 60, 60, 60]}, {}, Problem.NOT_ESTIMABLE, id="constant-covariate"),
        pytest.param({"w": [1, 1, 0, 1]}, {"weights": "w"}, Problem.BAD_INPUT, id="weight-of-zero"),
        pytest.param({"s": [9, 0, 0, 0]}, {"entry": "s"}, Problem.BAD_INPUT, id="leaves-before-entry"),
        pytest.param({}, {"cluster": "nobody"}, Problem.MISSING_COLUMN, id="no-such-column"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_its_reason(change, options, problem):
    frame = pd.DataFrame({"t": [3, 5, 8, 9], "died": [1, 1, 1, 0], "age": [60, 55, 70, 50]}).assign(**change)
    with pytest.raises(AnalysisError) as caught:
        cox(frame, "t", "died", ["age"], **options)
    assert caught.value.problem is problem


def test_a_copied_covariate_is_named():
    frame = pd.DataFrame({"t": [3, 5, 8, 9], "d": 1, "age": [60, 55, 70, 50]}).assign(
        years=lambda f: 2 * f.age
    )
    with pytest.raises(AnalysisError, match="'years' follows exactly"):
        cox(frame, "t", "d", ["age", "years"])
