"""How common nodules are in this scan: one in a thousand candidates, or every second one.

A classifier answers for the mix of examples it learnt from. The mix of a scan is estimated from the
answers themselves, and they are corrected for it, by expectation maximisation (Saerens 2002,
Neural Comput 14:21). In a clean lung this takes doubtful marks away; in profuse disease, where most of what
looks doubtful is one more nodule, it keeps them.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEARNT_SHARE", "adapt"]

LEARNT_SHARE = (
    0.2  # of nodules among what passes the gate in the training examples, near vessels and pleura weighted in
)
ROUNDS = 200
CLOSE = 1e-7
LEAST_SHARE, MOST_SHARE = 1e-4, 0.95


def adapt(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities corrected for how common nodules are among these candidates.

    Parameters
    ----------
    probability : (N,) ndarray
        Of the judge, for all candidates of one scan that passed the gate.

    Returns
    -------
    (N,) ndarray
        In the same order: the correction is monotone.
    """
    share = LEARNT_SHARE
    adapted = probability
    for _ in range(ROUNDS):
        nodule = probability * share / LEARNT_SHARE
        other = (1 - probability) * (1 - share) / (1 - LEARNT_SHARE)
        adapted = nodule / (nodule + other)
        estimate = float(np.clip(adapted.mean(), LEAST_SHARE, MOST_SHARE)) if adapted.size else share
        if abs(estimate - share) < CLOSE:
            break
        share = estimate
    return adapted
