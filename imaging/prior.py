"""How common nodules are in this scan: one in a thousand candidates, or every second one.

A classifier answers for the mix of examples it learnt from. The mix of a scan is estimated from the
answers themselves, and they are corrected for it, by expectation maximisation (Saerens 2002,
Neural Comput 14:21). In a clean lung this takes doubtful marks away; in profuse disease, where most of what
looks doubtful is one more nodule, it keeps them.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["adapt"]

ROUNDS = 200
CLOSE = 1e-7
LEAST_SHARE, MOST_SHARE = 1e-4, 0.95


def adapt(probability: NDArray[np.float64], learnt_share: float) -> NDArray[np.float64]:
    """Return the probabilities corrected for how common nodules are among these candidates.

    Parameters
    ----------
    probability : (N,) ndarray
        Of all candidates of one scan that were judged.
    learnt_share : float
        Of nodules among the examples that the probabilities were learnt from.

    Returns
    -------
    (N,) ndarray
        In the same order: the correction is monotone.
    """
    share = learnt_share
    adapted = probability
    for _ in range(ROUNDS):
        nodule = probability * share / learnt_share
        other = (1 - probability) * (1 - share) / (1 - learnt_share)
        adapted = nodule / (nodule + other)
        estimate = float(np.clip(adapted.mean(), LEAST_SHARE, MOST_SHARE)) if adapted.size else share
        if abs(estimate - share) < CLOSE:
            break
        share = estimate
    return adapted
