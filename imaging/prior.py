"""How common nodules are in this scan: one in a thousand candidates, or every second one.

A classifier answers for the mix of examples it learnt from. The mix of a scan is estimated from the
answers themselves, and they are corrected for it, by expectation maximisation (Saerens 2002,
Neural Comput 14:21). In a clean lung this takes doubtful marks away; in profuse disease, where most of what
looks doubtful is one more nodule, it keeps them.

A lung with a single nodule gives no mix to estimate: left to itself the estimate sinks to nothing, and
takes that nodule along. But nobody's lungs are that clean: in 1,018 chests of LIDC-IDRI, 7,371 places were
marked as nodules by one reader of four at least (Armato 2011, Med Phys 38:915). A scan is not taken to
hold fewer.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["adapt", "log_odds", "probability_of"]

ROUNDS = 200
CLOSE = 1e-7
ORDINARY = 7371 / 1018  # nodules in a chest, ill or not
MOST_SHARE = 0.95
SMALLEST = 1e-12  # of probabilities that have log-odds


def log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log-odds of (N,) probabilities; of certainty, those of one in a million million."""
    sure = np.clip(probability, SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(sure / (1 - sure)))


def probability_of(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities of (N,) log-odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def adapt(probability: NDArray[np.float64], learnt_share: float) -> tuple[NDArray[np.float64], float]:
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
    float
        What it added to each log-odds: without it, a candidate is judged by itself alone.
    """
    share = _share_of(probability, learnt_share)
    commonness = float(np.log(share / learnt_share) - np.log((1 - share) / (1 - learnt_share)))
    return _corrected(probability, share, learnt_share), commonness


def _share_of(probability: NDArray[np.float64], learnt_share: float) -> float:
    """Return the share of nodules among these candidates."""
    share = learnt_share
    least = min(ORDINARY / max(probability.size, 1), learnt_share)
    for _ in range(ROUNDS if probability.size else 0):
        mean = float(_corrected(probability, share, learnt_share).mean())
        estimate = float(np.clip(mean, least, MOST_SHARE))
        if abs(estimate - share) < CLOSE:
            break
        share = estimate
    return share


def _corrected(probability: NDArray[np.float64], share: float, learnt_share: float) -> NDArray[np.float64]:
    nodule = probability * share / learnt_share
    other = (1 - probability) * (1 - share) / (1 - learnt_share)
    return np.asarray(nodule / (nodule + other))
