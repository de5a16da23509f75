"""Survival analysis against R 4.2, survival 3.5 (tests/reference/survival.R).

Tolerances are the issue's: 1e-8 relative for coefficients, model errors,
curves, log-rank, zph and restricted means, 1e-6 for robust errors.
"""

import numpy as np
import pandas as pd
import pytest

from analysis.kaplan_meier import kaplan_meier, restricted_mean
from analysis.survival import (
    baseline_hazard,
    concordance,
    deviance_residuals,
    gronnesby_borgan,
    log_rank,
    martingale_residuals,
    schoenfeld_residuals,
    score_contributions,
    zph,
)
from tests.analysis.survival_cases import (
    COVARIATES,
    CURVES,
    R_DATA_FITS,
    SYNTHETIC_FITS,
    assert_close,
    cox,
    curve_of,
    fit_months,
    fit_r_data,
)
from tests.reference import r


@pytest.fixture(scope="module")
def months():
    return r.data("months")


@pytest.fixture(scope="module")
def r_again(tmp_path_factory):
    """R's data sets, written by R, and what R says today."""
    folder = tmp_path_factory.mktemp("r")
    output = folder / "out.csv"
    r.run("survival.R", r.HERE, output, folder)
    return folder, r.read(output)


@r.needs_r
def test_r_still_says_what_was_kept(r_again):
    r.assert_same_values(r_again[1], r.kept("survival"))


def assert_fit_agrees(case, fit):
    kept = r.kept("survival")

    def expected(quantity):
        return [kept[case, quantity, name] for name in fit.coefficients]

    assert_close(list(fit.coefficients.values()), expected("coefficients"), 1e-8)
    assert_close(list(fit.se_model.values()), expected("se_model"), 1e-8)
    assert_close(list(fit.se_robust.values()), expected("se_robust"), 1e-6)
    assert_close([fit.log_likelihood, fit.log_likelihood_null], r.column(kept, case, "log_likelihood"), 1e-10)
    assert_close(fit.score.statistic, kept[case, "score", "1"], 1e-8)
    if fit.reports_robust:
        assert_close(fit.wald.statistic, kept[case, "wald", "1"], 1e-6)
        assert_close(fit.robust_score.statistic, kept[case, "robust_score", "1"], 1e-6)
    for transform in ("km", "rank", "identity", "log"):
        test = zph(fit, transform)
        found = [*(term.statistic for term in test.terms.values()), test.overall.statistic]
        assert_close(found, r.column(kept, case, f"zph_{transform}"), 1e-8)
    assert_close(martingale_residuals(fit)[:30], r.column(kept, case, "martingale"), 1e-8, 1e-12)
    assert_close(deviance_residuals(fit)[:20], r.column(kept, case, "deviance_first"), 1e-6, 1e-10)


@pytest.mark.parametrize("case", SYNTHETIC_FITS)
def test_fit_on_whole_months_agrees_with_r(case, months):
    if case.startswith("everything"):
        months = months.sample(frac=1, random_state=1).sort_index()
    assert_fit_agrees(case, fit_months(case, months))


@r.needs_r
@pytest.mark.parametrize("case", R_DATA_FITS)
def test_fit_on_data_of_r_agrees_with_r(case, r_again):
    assert_fit_agrees(case, fit_r_data(case, r_again[0]))


def assert_curve_agrees(case, curve, horizon):
    kept = r.kept("survival")
    where = np.searchsorted(curve.time, r.column(kept, case, "time"))
    for quantity in ("survival", "se", "low", "high"):
        assert_close(getattr(curve, quantity)[where], r.column(kept, case, quantity), 1e-8)
    median = curve.median
    assert_close([median.value, median.low, median.high], r.column(kept, case, "median"), 1e-12)
    mean = restricted_mean(curve, horizon)
    assert_close([mean.mean, mean.se], r.column(kept, case, "restricted_mean"), 1e-8)


@pytest.mark.parametrize("case", CURVES)
def test_curve_agrees_with_r(case, months):
    assert_curve_agrees(case, curve_of(case, months), 24)


@r.needs_r
@pytest.mark.parametrize(
    ("name", "time", "event", "horizon"),
    [("lung", "time", "death", 500), ("veteran", "time", "status", 300), ("mgus2", "futime", "death", 200)],
)
def test_curve_on_data_of_r_agrees_with_r(name, time, event, horizon, r_again):
    frame = pd.read_csv(r_again[0] / f"{name}.csv")
    assert_curve_agrees(name, kaplan_meier(frame[time], frame[event]), horizon)


@pytest.mark.parametrize("rho", [0, 1])
def test_log_rank_agrees_with_r(rho, months):
    found = log_rank(months["stop"], months["event"], months["stratum"], rho=rho)
    expected = r.column(r.kept("survival"), "groups", f"log_rank_rho_{rho}")
    assert_close([found.chi_squared, *found.observed, *found.expected], expected, 1e-8)
    found = log_rank(months["stop"], months["event"], months["sex"], strata=months["stratum"], rho=rho)
    assert_close(found.chi_squared, r.kept("survival")["strata", f"log_rank_rho_{rho}", "1"], 1e-8)


@r.needs_r
@pytest.mark.parametrize(
    ("name", "time", "event", "group"),
    [
        ("lung", "time", "death", "ph.ecog"),
        ("veteran", "time", "status", "celltype"),
        ("mgus2", "futime", "death", "sex"),
    ],
)
def test_log_rank_on_data_of_r_agrees_with_r(name, time, event, group, r_again):
    frame = pd.read_csv(r_again[0] / f"{name}.csv")
    found = log_rank(frame[time], frame[event], frame[group])
    assert_close(found.chi_squared, r.kept("survival")[name, "log_rank", "1"], 1e-8)


def test_residuals_and_checks_agree_with_r(months):
    kept, fit = r.kept("survival"), fit_months("plain-efron", months)

    def expected(quantity):
        return r.column(kept, "plain-efron", quantity)

    assert_close(score_contributions(fit)[:5].ravel(), expected("score_residuals"), 1e-8, 1e-12)
    # Schoenfeld residuals of tied events come in another order from R; months 1 has the first five.
    mine = np.sort(schoenfeld_residuals(fit)[: len(expected("schoenfeld")) // 3], axis=0)
    assert_close(mine, np.sort(expected("schoenfeld").reshape(-1, 3), axis=0), 1e-8, 1e-12)
    mine = np.sort(zph(fit).drift[:5], axis=0)
    assert_close(mine, np.sort(expected("drift").reshape(-1, 3), axis=0), 1e-8)
    baseline = baseline_hazard(fit, dict.fromkeys(COVARIATES, 0.0)).set_index("time")["hazard"]
    assert_close(baseline.loc[[1, 5, 12, 24]], expected("baseline"), 1e-8)
    found = gronnesby_borgan(fit, 4)
    assert_close(found.statistic, expected("gronnesby_borgan")[0], 1e-8)
    c = concordance(fit)
    assert_close([c.value, c.se], expected("concordance"), 1e-8)


def test_concordance_with_strata_and_weights_agrees_with_r(months):
    fit = cox(months, "stop", "event", COVARIATES[:2], strata="stratum", weights="weight")
    c = concordance(fit)
    assert_close([c.value, c.se], r.column(r.kept("survival"), "strata-weighted", "concordance"), 1e-8)
