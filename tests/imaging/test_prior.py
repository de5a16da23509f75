import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from imaging.prior import adapt, log_odds

LEARNT_SHARE = 0.2


def answers(share, count=4000, seed=0):
    """Return what a calibrated judge, taught at `LEARNT_SHARE`, says of a scan with another share."""
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < share
    seen = rng.normal(np.where(truth, 1.5, -1.5), 1.0)
    nodule, other = LEARNT_SHARE * norm.pdf(seen, 1.5), (1 - LEARNT_SHARE) * norm.pdf(seen, -1.5)
    return nodule / (nodule + other), truth


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.6])
def test_the_sum_of_probabilities_is_the_number_of_nodules(share):
    probability, truth = answers(share)
    # Binomial noise of the draw and of the estimate.
    assert adapt(probability, LEARNT_SHARE)[0].sum() == pytest.approx(
        truth.sum(), abs=4 * np.sqrt(truth.sum())
    )


def test_in_a_clean_scan_doubtful_marks_go_and_in_a_full_one_they_stay():
    rare, _ = answers(0.002)
    common, _ = answers(0.7)
    assert (adapt(rare, LEARNT_SHARE)[0] >= 0.5).sum() < (rare >= 0.5).sum()
    assert (adapt(common, LEARNT_SHARE)[0] >= 0.5).sum() > (common >= 0.5).sum()


def test_a_single_nodule_in_a_clean_lung_is_not_argued_away():
    # 1,500 candidates, no doubt about any but one, for which the evidence is a thousand to one.
    odds = np.full(1500, 1e-4)
    odds[0] = 1000 * LEARNT_SHARE / (1 - LEARNT_SHARE)
    adapted, _ = adapt(odds / (1 + odds), LEARNT_SHARE)
    # Bayes by hand: seven in 1,500 beforehand, times a thousand.
    assert adapted[0] == pytest.approx(1 / (1 + (1500 / 7.24 - 1) / 1000), abs=0.01)
    assert adapted[1:].max() < 1e-4


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=50))
def test_the_order_never_changes(probabilities):
    probability = np.array(probabilities)
    adapted, commonness = adapt(probability, LEARNT_SHARE)
    assert np.all((adapted >= 0) & (adapted <= 1))
    assert log_odds(adapted) - commonness == pytest.approx(log_odds(probability), abs=1e-6)
    order = np.argsort(probability, kind="stable")
    assert np.all(np.diff(adapted[order]) >= -1e-12)


def test_no_candidates_no_answers():
    assert adapt(np.zeros(0), LEARNT_SHARE)[0].size == 0
