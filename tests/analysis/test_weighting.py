"""Weights for missing results and the four errors (tests/reference/weighting.R), multiple imputation."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import AnalysisError, Problem
from analysis.imputation import imputed_cox, nelson_aalen, pool
from analysis.logistic import limit_probabilities
from analysis.weighting import ErrorKind, effective_sample_size, missingness_weights, weighted_cox
from benchmarks.analysis import coverage
from tests.reference import r

MODEL = ["egfr", "age", "frail"]


@pytest.fixture(scope="module")
def cohort():
    return r.data("missing")


@r.needs_r
def test_r_still_says_what_was_kept(tmp_path):
    again = r.read(r.run("weighting.R", r.HERE, tmp_path / "out.csv"))
    # The slope by finite differences is good to eight digits.
    r.assert_same_values(again, r.kept("weighting"), 1e-7)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_weighted_model_and_its_errors_agree_with_r(ties, cohort):
    weights = missingness_weights(cohort, "tested", ["male", "frail"])
    kept = r.kept("weighting")
    found = list(weights.model.coefficients.values())
    assert found == pytest.approx(r.column(kept, "model", "coefficients"), rel=1e-8)
    fit = weighted_cox(cohort, "months", "died", MODEL, weights=weights, ties=ties)
    assert list(fit.coefficients.values()) == pytest.approx(r.column(kept, ties, "coefficients"), rel=1e-8)
    for kind, rel in (("naive", 1e-8), ("robust", 1e-6), ("m_estimation", 1e-6)):
        expected = r.column(kept, ties, kind)
        assert list(fit.errors[ErrorKind(kind)].values()) == pytest.approx(expected, rel=rel)


def test_bootstrap_error_is_near_that_of_m_estimation(cohort):
    weights = missingness_weights(cohort, "tested", ["male", "frail"])
    fit = weighted_cox(cohort, "months", "died", ["egfr"], weights=weights, bootstrap=300)
    ratio = fit.errors[ErrorKind.BOOTSTRAP]["egfr"] / fit.errors[ErrorKind.M_ESTIMATION]["egfr"]
    # 300 samples give an error to 4 %; small samples make the bootstrap's a little larger.
    assert 0.88 < ratio < 1.25
    assert fit.replicates == 300


def test_intervals_of_the_weighted_ratio_hold_the_truth_as_often_as_they_say():
    """The benchmark, 1000 cohorts: m-estimation 95.7 %, robust 95.9, naive 87.1, unweighted 63.9."""
    found = coverage(200, 500, seed=3)
    # The binomial error of 200 cohorts is 1.5 %.
    assert 0.915 <= found["m_estimation"] <= 0.985
    assert found["naive"] < 0.92


def test_weighting_balances_what_the_model_of_being_tested_holds(cohort):
    weights = missingness_weights(cohort, "tested", ["male", "frail"])
    for row in weights.balance:
        assert abs(row.difference_before) > 0.1
        assert row.is_balanced
    assert weights.n_observed == cohort["tested"].sum()
    assert weights.effective_size < weights.n_observed


def test_stabilised_weights_leave_the_hazard_ratio_and_its_honest_errors_alone(cohort):
    fits = [
        weighted_cox(
            cohort,
            "months",
            "died",
            MODEL,
            weights=missingness_weights(cohort, "tested", ["male"], kind=kind),
        )
        for kind in ("plain", "stabilised")
    ]
    assert fits[0].coefficients == pytest.approx(fits[1].coefficients, rel=1e-9)
    for kind in (ErrorKind.ROBUST, ErrorKind.M_ESTIMATION):
        assert fits[0].errors[kind] == pytest.approx(fits[1].errors[kind], rel=1e-7)
    # Only the naive error believes in the size of the weights.
    assert fits[0].errors[ErrorKind.NAIVE]["egfr"] < fits[1].errors[ErrorKind.NAIVE]["egfr"]


def test_truncation_cuts_the_weights_at_its_percentiles(cohort):
    weights = missingness_weights(cohort, "tested", ["age", "male"], truncate=(5, 95))
    assert weights.truncated_at is not None
    assert weights.weight.max() == weights.truncated_at[1]
    whole = missingness_weights(cohort, "tested", ["age", "male"])
    assert weights.effective_size > whole.effective_size


def test_probabilities_have_their_limit_where_coefficients_have_none():
    """Level 1 is always tested, level 2 three times of four, level 3 is not in the sample."""
    x = np.array([[1, 0, 0]] * 4 + [[1, 1, 0]] * 3, dtype=float)
    y = np.array([1, 1, 1, 0, 1, 1, 1], dtype=float)
    found = limit_probabilities(x, y)
    assert found[:4] == pytest.approx(0.75, abs=1e-6)
    assert found[4:] == pytest.approx(1.0, abs=1e-6)


def test_a_covariate_that_tells_who_is_tested_is_refused(cohort):
    frame = cohort.assign(consent=cohort["tested"])
    with pytest.raises(AnalysisError) as caught:
        missingness_weights(frame, "tested", ["consent"])
    assert caught.value.problem is Problem.SEPARATED


def test_weights_of_another_table_are_refused(cohort):
    weights = missingness_weights(cohort, "tested", ["male"])
    with pytest.raises(AnalysisError, match="another table"):
        weighted_cox(cohort.iloc[::-1], "months", "died", ["egfr"], weights=weights)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=20))
def test_effective_size_never_exceeds_the_number_and_ignores_scale(values):
    weights = np.array(values)
    size = effective_sample_size(weights)
    assert size <= len(values) * (1 + 1e-12)
    assert effective_sample_size(3 * weights) == pytest.approx(size)


def test_pooling_follows_rubins_rules():
    """By hand: mean 2, within 0.5, between 1, total 0.5 + 4/3; lambda 8/11, df 2 / lambda^2."""
    found = pool([1.0, 2.0, 3.0], [0.4, 0.5, 0.6])
    assert found.value == pytest.approx(2.0)
    assert found.se**2 == pytest.approx(0.5 + 4 / 3)
    assert found.missing_information == pytest.approx(8 / 11)
    assert found.df == pytest.approx(2 / (8 / 11) ** 2)
    # Barnard and Rubin: never more degrees of freedom than the complete data had.
    assert pool([1.0, 2.0, 3.0], [0.4, 0.5, 0.6], 20.0).df < 3.78


def test_nelson_aalen_by_hand():
    assert nelson_aalen(np.array([2.0, 1.0, 2.0, 3.0]), np.array([1.0, 1.0, 0.0, 1.0])) == pytest.approx(
        [1 / 4 + 1 / 3, 1 / 4, 1 / 4 + 1 / 3, 1 / 4 + 1 / 3 + 1]
    )


def test_imputation_and_weighting_tell_the_same_story(cohort):
    pooled = imputed_cox(
        cohort, "months", "died", MODEL, column="egfr", predictors=["male", "age", "frail"], imputations=20
    )
    weights = missingness_weights(cohort, "tested", ["male", "frail"])
    weighted = weighted_cox(cohort, "months", "died", MODEL, weights=weights)
    gap = abs(pooled.terms["egfr"].value - weighted.coefficients["egfr"])
    assert gap < weighted.errors[ErrorKind.M_ESTIMATION]["egfr"]
    assert pooled.n_imputed == cohort["egfr"].isna().sum()
    assert 0 < pooled.terms["egfr"].missing_information < 1


def test_imputation_is_the_same_for_the_same_seed(cohort):
    def once(seed):
        return imputed_cox(
            cohort, "months", "died", ["egfr"], column="egfr", predictors=["male"], imputations=3, seed=seed
        ).terms["egfr"]

    assert once(4) == once(4)
    assert once(4) != once(5)


def test_missing_covariates_of_the_tested_are_refused(cohort):
    frame = cohort.assign(age=cohort["age"].where(cohort.index > 3))
    weights = missingness_weights(cohort, "tested", ["male"])
    with pytest.raises(AnalysisError) as caught:
        weighted_cox(frame, "months", "died", MODEL, weights=weights)
    assert caught.value.problem is Problem.MISSING_VALUES
    assert isinstance(weights.weight, pd.Series)
