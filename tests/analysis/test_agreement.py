"""Agreement of readers against R (tests/reference/agreement.R) and published examples."""

import shutil
import subprocess
from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.agreement import (
    Weights,
    ac1,
    bland_altman,
    cohen_kappa,
    cross_table,
    icc_agreement,
    icc_consistency,
    pabak,
    raw_agreement,
)
from analysis.errors import AnalysisError
from benchmarks.agreement import of_labels, of_sizes
from tests.reference import r

TABLES = {
    "abstractors": [[13, 0, 0], [0, 20, 7], [0, 4, 56]],  # Gwet 2014, handbook; irrCAC's cont3x3abstractors
    "skewed": [[118, 5], [2, 0]],  # Gwet 2008: 94 % agreement, kappa below 0
    "responses": [[4, 1, 0, 0], [2, 30, 5, 1], [0, 6, 22, 4], [0, 0, 3, 20]],
}
SHROUT = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI_WRIGHT = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def has_packages():
    if shutil.which("Rscript") is None:
        return False
    asked = 'quit(status = !all(c("vcd", "psych") %in% rownames(installed.packages())))'
    return subprocess.run(["Rscript", "--vanilla", "-e", asked], check=False).returncode == 0


def test_r_still_says_what_was_kept(tmp_path):
    if not has_packages():
        pytest.skip("needs R with vcd and psych: bash tests/system-packages.sh")
    again = r.read(r.run("agreement.R", r.HERE, tmp_path / "out.csv"))
    r.assert_same_values(again, r.kept("agreement"))


@pytest.mark.parametrize("case", TABLES)
@pytest.mark.parametrize(
    ("weights", "name"),
    [
        (Weights.NOMINAL, "Unweighted Equal-Spacing"),
        (Weights.LINEAR, "Weighted Equal-Spacing"),
        (Weights.QUADRATIC, "Weighted Fleiss-Cohen"),
    ],
)
def test_kappa_agrees_with_r(case, weights, name):
    expected = {
        quantity: value
        for (one, quantity, kind), value in r.kept("agreement").items()
        if (one, kind) == (case, name)
    }
    found = cohen_kappa(TABLES[case], weights=weights)
    assert found.value == pytest.approx(expected["value"], rel=1e-12)
    assert found.standard_error == pytest.approx(expected["error"], rel=1e-12)
    assert (found.low, found.high) == pytest.approx((expected["low"], min(expected["high"], 1)), rel=1e-9)


@pytest.mark.parametrize(
    "table", [[[1, 0], [0, 1]], [[118, 5], [2, 0]], [[20, 0], [0, 0]], [[5, 1], [0, 24]]]
)
def test_the_interval_of_ac1_rests_on_half_a_case_more_in_every_cell(table):
    """Its error by the delta method of any textbook, with slopes by finite differences of Gwet's formula."""

    def value(cells):
        (a, b), (c, d) = np.reshape(cells, (2, 2)) / np.sum(cells)
        share = (2 * a + b + c) / 2
        chance = 2 * share * (1 - share)
        return (a + d - chance) / (1 - chance)

    more = np.add(table, 0.5).ravel()
    total = more.sum()
    slopes = [(value(more + step) - value(more - step)) / 2e-4 * total for step in np.eye(4) * 1e-4]
    shares = more / total
    error = ((shares @ np.square(slopes) - (shares @ slopes) ** 2) / total) ** 0.5
    low, high = value(more) - 1.959964 * error, value(more) + 1.959964 * error
    found = ac1(table)
    assert found.value == pytest.approx(value(np.ravel(table)))
    expected = (min(low, found.value), min(max(high, found.value), 1))
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("cases", [10, 20])
def test_intervals_of_labels_hold_the_truth_in_small_studies(cases):
    """All 286 or 1771 tables, each by its probability; large-sample intervals hold 0.83 of few positives."""
    for (study, name), (ours, _, share) in of_labels(cases).items():
        assert 0.915 < ours, (study, name)
        assert share < 1  # ours is there in every sample in which the coefficient is


@pytest.mark.parametrize("skew", [pytest.param(0.0, id="normal"), pytest.param(0.5, id="skewed")])
def test_intervals_of_sizes_hold_the_truth_in_small_studies(skew):
    """600 seeded studies of 12 cases: 0.95 less three errors of 0.009; 0.90 for the ICC of skewed sizes."""
    icc, limit = of_sizes(12, 600, skew=skew, seed=4)
    assert icc > (0.87 if skew else 0.92)
    assert 0.92 < limit < 0.98


def test_chance_corrected_coefficients_agree_with_irrcac():
    """The vignette of irrCAC 1.0: AC1 0.8493305 (0.04321747), Brennan-Prediger 0.835 (0.04693346)."""
    found = ac1(TABLES["abstractors"])
    assert (found.value, found.standard_error) == pytest.approx((0.8493305, 0.04321747), abs=5e-8)
    found = pabak(TABLES["abstractors"])
    assert (found.value, found.standard_error) == pytest.approx((0.835, 0.04693346), abs=5e-8)


def test_skewed_margins_sink_kappa_and_not_ac1():
    """Gwet 2008, 118 and 5, 2 and 0: agreement 0.944, kappa -0.023, AC1 0.941 (irrCAC 0.4.4 for Python)."""
    table = TABLES["skewed"]
    assert raw_agreement(table).value == 0.944
    assert cohen_kappa(table).value == pytest.approx(-0.02339, abs=5e-6)
    assert ac1(table).value == pytest.approx(0.94078, abs=5e-6)
    assert ac1(table).standard_error == pytest.approx(0.02296, abs=5e-6)
    assert pabak(table).value == pytest.approx(2 * 0.944 - 1)


def test_raw_agreement_has_the_exact_interval():
    """R: binom.test(89, 100)$conf.int."""
    found = raw_agreement(TABLES["abstractors"])
    assert (found.value, found.low, found.high) == pytest.approx((0.89, 0.8116989, 0.9437930), abs=5e-8)


@pytest.mark.parametrize(
    ("icc", "name", "published"),
    [
        pytest.param(icc_agreement, "ICC2", 0.29, id="icc-2-1"),
        pytest.param(icc_consistency, "ICC3", 0.71, id="icc-3-1"),
    ],
)
def test_icc_agrees_with_shrout_and_fleiss_and_r(icc, name, published):
    kept = r.kept("agreement")
    found = icc(SHROUT)
    assert round(found.value, 2) == published
    expected = [kept["shrout", quantity, name] for quantity in ("value", "low", "high")]
    assert [found.value, found.low, found.high] == pytest.approx(expected, rel=1e-9)
    found = icc(np.column_stack([WRIGHT, MINI_WRIGHT]))
    expected = [kept["wright", quantity, name] for quantity in ("low", "high")]
    assert [found.low, found.high] == pytest.approx(expected, rel=1e-9)


def test_bland_altman_of_two_flow_meters():
    """Bland & Altman 1986: mean difference 2.1, deviation 38.8 l/min, n = 17; interval -22.0 to 17.8.

    The paper takes the large meter less the mini meter, and two standard
    deviations where 1.96 are taken here.
    """
    found = bland_altman(MINI_WRIGHT, WRIGHT)
    assert (round(found.bias, 1), round(found.standard_deviation, 1)) == (-2.1, 38.8)
    assert tuple(round(limit, 1) for limit in found.bias_interval) == (-22.0, 17.8)
    assert found.high - found.low == pytest.approx(2 * 1.96 * found.standard_deviation)
    kept = r.kept("agreement")
    for interval, limit in ((found.low_interval, "lower limit"), (found.high_interval, "upper limit")):
        expected = [kept["wright", limit, end] for end in ("low", "high")]
        assert interval == pytest.approx(expected, rel=1e-6)


def test_bias_that_grows_with_size_shows_in_the_slope():
    sizes = np.linspace(10, 60, 20)
    assert bland_altman(sizes, sizes * 1.1).slope == pytest.approx(0.1 / 1.05)


def test_constant_bias_is_forgiven_by_consistency_alone():
    sizes = np.column_stack([np.arange(10.0, 20), np.arange(10.0, 20) + 3])
    assert icc_consistency(sizes).value == 1
    assert icc_agreement(sizes).value < 1


def test_one_class_leaves_kappa_undefined():
    found = cohen_kappa([[20, 0], [0, 0]])
    assert isnan(found.value)
    assert ac1([[20, 0], [0, 0]]).value == 1


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([[5.0, 5.0]] * 3, id="all-sizes-equal"),
        pytest.param([[4.7, 4.9]] * 7, id="each-reader-has-one-size"),  # sums of tenths leave a rest
        pytest.param([[1.0, 2.0], [2.0, 1.0]], id="two-cases-exchanged"),
    ],
)
def test_an_icc_without_cases_that_differ_is_not_defined(sizes):
    found = icc_agreement(sizes)
    assert isnan(found.value)
    assert isnan(found.low)


@given(
    st.lists(st.integers(1, 400), min_size=2, max_size=12),
    st.integers(-20, 20),
    st.lists(st.integers(-3, 3), min_size=12, max_size=12),
)
def test_an_icc_never_fails_and_never_exceeds_1(tenths, bias, noise):
    """Sizes in tenths of a millimetre, read again with a bias and with noise."""
    sizes = [[one / 10, (one + bias + more) / 10] for one, more in zip(tenths, noise, strict=False)]
    for icc in (icc_agreement, icc_consistency):
        assert not icc(sizes).value > 1 + 1e-12
        assert not icc(sizes).high > 1 + 1e-12


@pytest.mark.parametrize("factor", [0.1, 1 / 3, 7.3])
def test_readers_who_never_differ_agree_perfectly_whatever_the_rounding(factor):
    sizes = [[size * factor] * 3 for size in (1, 2, 4, 7, 11)]
    assert icc_agreement(sizes).value == icc_consistency(sizes).value == 1


def test_identical_cases_leave_icc_undefined():
    assert isnan(icc_agreement([[5, 5], [5, 5]]).value)
    assert icc_agreement([[5, 5], [6, 6]]).value == 1


def test_cross_table_counts_pairs():
    table = cross_table(["PR", "PD", "PR"], ["PR", "SD", "PR"], ["PR", "SD", "PD"])
    assert table.tolist() == [[2, 0, 0], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        pytest.param(lambda: cross_table(["PR"], [], ["PR"]), "1 and 0 cases", id="lengths"),
        pytest.param(lambda: cross_table(["PR"], ["XX"], ["PR"]), "XX", id="unknown-class"),
        pytest.param(lambda: cohen_kappa([[1, 2, 3]]), "square table", id="not-square"),
        pytest.param(lambda: cohen_kappa([[0, 0], [0, 0]]), "at least one case", id="nobody"),
        pytest.param(lambda: ac1([[1, -1], [0, 1]]), "counts", id="negative"),
        pytest.param(lambda: icc_agreement([[1, 2]]), "at least 2 of each", id="one-case"),
        pytest.param(lambda: icc_agreement([[1, 2], [3, np.nan]]), "missing", id="gap"),
        pytest.param(lambda: bland_altman([1, 2], [1, 2]), "at least 3", id="two-cases"),
    ],
)
def test_what_cannot_be_computed_is_refused(action, message):
    with pytest.raises(AnalysisError, match=message):
        action()


counts = arrays(np.int64, (3, 3), elements=st.integers(0, 40)).filter(lambda table: table.sum() > 0)


@given(table=counts)
def test_agreement_does_not_depend_on_who_is_first(table):
    for coefficient in (cohen_kappa, ac1, pabak, raw_agreement):
        forth, back = coefficient(table), coefficient(table.T)
        np.testing.assert_allclose(
            [forth.value, forth.standard_error], [back.value, back.standard_error], rtol=1e-9, atol=1e-12
        )


@given(table=counts, order=st.permutations(range(3)))
def test_order_of_unordered_classes_changes_nothing(table, order):
    shuffled = table[np.ix_(order, order)]
    for coefficient in (cohen_kappa, ac1, pabak):
        np.testing.assert_allclose(
            coefficient(shuffled).value, coefficient(table).value, rtol=1e-9, atol=1e-12
        )


@given(diagonal=st.lists(st.integers(1, 30), min_size=2, max_size=5))
def test_full_agreement_is_one(diagonal):
    table = np.diag(diagonal)
    for coefficient in (cohen_kappa, ac1, pabak, raw_agreement):
        assert coefficient(table).value == pytest.approx(1)


@given(table=arrays(np.int64, (3, 3), elements=st.integers(0, 3)).filter(lambda table: table.sum() > 0))
def test_no_table_of_few_cases_is_certain(table):
    """R's vcd and psych say 1 to 1 of two cases that agree; a share of two is known to 0.16 at best."""
    for found in (raw_agreement(table), cohen_kappa(table), pabak(table), ac1(table)):
        assert isnan(found.low) == isnan(found.high)
        assert isnan(found.low) or found.high - found.low > 0.01
        assert isnan(found.low) or -1 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("coefficient", [cohen_kappa, ac1])
@pytest.mark.parametrize("table", [[[1, 0], [0, 1]], [[40, 0], [0, 60]]])
def test_full_agreement_has_an_interval_but_no_large_sample_error(coefficient, table):
    found = coefficient(table)
    assert (found.value, found.high) == (1, 1)
    assert found.low < 1 - 1 / np.sum(table)
    assert isnan(found.standard_error)


@pytest.mark.parametrize(
    ("table", "interval"),
    [
        ([[1, 0], [0, 1]], (-0.683772234, 1)),
        ([[20, 5], [10, 15]], (0.1078353487, 0.6427643087)),
        (TABLES["abstractors"], (0.7175483017, 0.9156894696)),
    ],
)
def test_pabak_has_the_exact_interval_of_its_share(table, interval):
    """R: `(binom.test(agreed, cases)$conf.int - 1 / k) / (1 - 1 / k)` for k classes."""
    found = pabak(table)
    assert (found.low, found.high) == pytest.approx(interval, rel=1e-9)


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([[5.0, 5.0], [6.0, 6.0], [9.0, 9.5], [12.0, 12.0]], id="readers-differ-on-one"),
        pytest.param([[5.0, 5.5], [6.0, 6.0]], id="two-cases"),
    ],
)
def test_an_icc_that_rests_on_one_case_has_no_interval(sizes):
    assert 0 < icc_agreement(sizes).value < 1
    assert isnan(icc_agreement(sizes).low)


def test_readers_who_never_differ_have_no_interval_of_sizes():
    sizes = np.array([[5.0, 5.0], [6.0, 6.0], [9.0, 9.0]])
    for icc in (icc_agreement(sizes), icc_consistency(sizes)):
        assert icc.value == 1
        assert isnan(icc.low)
    limits = bland_altman(*sizes.T)
    assert (limits.bias, limits.low) == (0, 0)
    assert isnan(limits.bias_interval[0])


@given(sizes=arrays(np.float64, (6, 2), elements=st.floats(1, 100, width=32)), shift=st.floats(-50, 50))
def test_shift_of_both_readers_changes_no_agreement(sizes, shift):
    plain, shifted = (bland_altman(*pair.T) for pair in (sizes, sizes + shift))
    assert shifted.bias == pytest.approx(plain.bias, abs=1e-9)
    assert shifted.repeatability == pytest.approx(plain.repeatability, abs=1e-9)
