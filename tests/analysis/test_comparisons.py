"""Comparisons of groups, against R's stats package (tests/reference/counts.R)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.comparisons import (
    CountRule,
    TestName,
    chi_squared,
    clopper_pearson,
    compare_counts,
    compare_means,
    compare_several_means,
    odds_ratio,
    odds_ratio_conditional,
    summarise,
    wilson,
)
from analysis.errors import AnalysisError, Problem
from analysis.fisher import fisher_exact, fisher_simulated
from tests.reference import r

TABLES = {
    str(number): cells.pivot(index="row", columns="column", values="count").to_numpy()
    for number, cells in r.data("counts").groupby("table")
}
X = [61.2, 48.0, 70.3, 55.5, 66.6, 59.1, 80.2]
Y = [63.9, 51.2, 58.8, 60.4, 77.0]
Z = [40.5, 52.2, 49.9, 61.0]


@r.needs_r
def test_r_still_says_what_was_kept(tmp_path):
    again = r.read(r.run("counts.R", r.HERE, tmp_path / "out.csv"))
    r.assert_same_values(again, r.kept("counts"))


@pytest.mark.parametrize("number", TABLES)
def test_counts_agree_with_r(number):
    kept, table = r.kept("counts"), TABLES[number]
    statistic, p_value = chi_squared(table)
    assert statistic == pytest.approx(kept[number, "chi_squared", "1"], rel=1e-12)
    assert p_value == pytest.approx(kept[number, "chi_squared_p", "1"], rel=1e-10)
    assert chi_squared(table, yates=True)[1] == pytest.approx(kept[number, "yates_p", "1"], rel=1e-10)
    assert fisher_exact(table) == pytest.approx(kept[number, "fisher_p", "1"], rel=1e-10)


@pytest.mark.parametrize("number", [number for number, table in TABLES.items() if table.shape == (2, 2)])
def test_exact_odds_ratio_agrees_with_r(number):
    found = odds_ratio_conditional(TABLES[number])
    # R's uniroot stops at about four digits.
    assert found.value == pytest.approx(r.kept("counts")[number, "conditional_odds", "1"], rel=1e-3)
    limits = r.column(r.kept("counts"), number, "conditional_limit")
    assert [found.low, found.high] == pytest.approx(limits, rel=1e-3)


@pytest.mark.parametrize(("events", "n"), [(0, 12), (3, 17), (42, 60), (85, 85), (85, 3612)])
def test_intervals_of_a_proportion_agree_with_r(events, n):
    for name, interval in (("clopper_pearson", clopper_pearson), ("wilson", wilson)):
        found = interval(events, n)
        expected = r.column(r.kept("counts"), f"{events}/{n}", name)
        assert [found.low, found.high] == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("equal", [True, False])
def test_t_test_from_summaries_agrees_with_r_on_the_data(equal):
    found = compare_means(summarise(X), summarise(Y), equal_variances=equal)
    expected = r.column(r.kept("counts"), "means", f"t_{str(equal).upper()}")
    assert found.difference is not None
    got = [found.statistic, found.df, found.p_value, found.difference.low, found.difference.high]
    assert got == pytest.approx(expected, rel=1e-10)


def test_anova_agrees_with_r():
    found = compare_several_means([summarise(X), summarise(Y), summarise(Z)])
    assert found.p_value == pytest.approx(r.kept("counts")["means", "anova_p", "1"], rel=1e-10)


@pytest.mark.parametrize(
    ("rule", "table", "test"),
    [
        pytest.param("expected_below_5", [[20, 20], [5, 5]], TestName.CHI_SQUARED, id="expected-exactly-5"),
        pytest.param("expected_below_5", [[21, 20], [5, 4]], TestName.FISHER, id="expected-just-below-5"),
        pytest.param("expected_below_5", [[80, 4], [400, 200]], TestName.CHI_SQUARED, id="small-observed"),
        pytest.param("observed_below_5", [[80, 4], [400, 200]], TestName.FISHER, id="misreading-of-the-rule"),
        pytest.param("cochran", [[4, 40, 40], [4, 41, 41]], TestName.FISHER, id="two-of-six-below-5"),
        pytest.param("cochran", [[4, 40, 40, 20], [9, 90, 90, 40]], TestName.CHI_SQUARED, id="one-of-eight"),
        pytest.param("chi_squared", [[1, 2], [3, 4]], TestName.CHI_SQUARED, id="asked-for"),
        pytest.param("yates", [[1, 2], [3, 4]], TestName.CHI_SQUARED_YATES, id="yates-asked-for"),
    ],
)
def test_rule_chooses_the_test(rule, table, test):
    assert compare_counts(table, rule).test is test


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ([[1, 2], [0, 0]], Problem.EMPTY_MARGIN),
        ([[1, -2], [3, 4]], Problem.BAD_INPUT),
        ([[1.5, 2], [3, 4]], Problem.BAD_INPUT),
        ([[1, 2]], Problem.BAD_INPUT),
    ],
)
def test_what_is_no_table_of_counts_is_refused(table, problem):
    with pytest.raises(AnalysisError) as caught:
        compare_counts(table)
    assert caught.value.problem is problem


def test_a_table_too_large_to_sum_is_simulated_and_says_so():
    table = np.random.default_rng(5).poisson(40, (4, 5))
    found = compare_counts(table, CountRule.FISHER)
    assert found.test is TestName.FISHER_SIMULATED
    # On counts of 40 the exact p-value is close to that of chi-squared.
    assert found.p_value == pytest.approx(chi_squared(table)[1], abs=0.03)


def test_simulation_comes_close_to_the_sum():
    table = TABLES["17"]
    exact = fisher_exact(table)
    noise = np.sqrt(exact * (1 - exact) / 50_000)
    assert fisher_simulated(table, draws=50_000) == pytest.approx(exact, abs=5 * noise)


def test_a_zero_cell_leaves_the_odds_ratio_without_limits():
    found = odds_ratio([[5, 0], [3, 4]])
    assert found.value == np.inf
    assert np.isnan(found.low)


small_tables = st.lists(st.lists(st.integers(1, 12), min_size=3, max_size=3), min_size=2, max_size=3)


@settings(max_examples=40, deadline=None)
@given(table=small_tables, seed=st.integers(0, 1000))
def test_exact_p_value_does_not_depend_on_the_order_of_rows_and_columns(table, seed):
    counts = np.array(table)
    random = np.random.default_rng(seed)
    shuffled = counts[random.permutation(len(counts))][:, random.permutation(3)]
    assert fisher_exact(shuffled) == pytest.approx(fisher_exact(counts), rel=1e-9)
    assert fisher_exact(counts.T) == pytest.approx(fisher_exact(counts), rel=1e-9)


@given(n=st.integers(1, 400), share=st.floats(0, 1))
def test_intervals_hold_the_estimate_and_mirror(n, share):
    events = round(share * n)
    for interval in (wilson, clopper_pearson):
        found, mirror = interval(events, n), interval(n - events, n)
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.low == pytest.approx(1 - mirror.high, abs=1e-9)
