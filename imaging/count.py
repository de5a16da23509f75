"""How many nodules there are: what was found, less false marks, over the share that is found.

The share depends on size and slice thickness, and was measured on lungs the model had not seen. True and
false marks are Poisson counts; the share itself differs between scans, the more so the smaller it is.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from records.model import Estimate

__all__ = ["RECALL_UNCERTAINTY", "Recall", "estimate_count"]

LEAST_RECALL = 0.25  # fewer than one in four found, and the estimate would be mostly correction
INTERVAL = 0.90
RECALL_UNCERTAINTY = 0.15  # relative, of the share found, between scanners where nearly all are found ...
UNSURE_SPREAD = 0.35  # ... and added for what is missed: half of it where half is


class Recall:
    """The share of nodules found at the operating point, by diameter.

    Parameters
    ----------
    edges_mm : sequence of (low, high)
        Ranges of diameter, ascending.
    shares : sequence of float
        Measured on simulated nodules in lungs the model had not seen.
    false_marks : float
        A scan, at the same operating point.
    """

    def __init__(
        self, edges_mm: Sequence[Sequence[float]], shares: Sequence[float], false_marks: float
    ) -> None:
        self.middles_mm = [(low + high) / 2 for low, high in edges_mm]
        self.shares = [max(share, LEAST_RECALL) for share in shares]
        self.false_marks = false_marks

    def at(self, diameter_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share found at each diameter; beyond the ends as at the ends."""
        return np.interp(diameter_mm, self.middles_mm, self.shares)


def estimate_count(weights: NDArray[np.float64], false_marks: float) -> Estimate:
    """Estimate how many nodules there are, with a 90 % interval.

    Parameters
    ----------
    weights : (N,) ndarray
        How many nodules each mark stands for: 1 over the share found.
    false_marks : float
        Expected among them.
    """
    found = len(weights)
    weight = float(weights.mean()) if found else 1.0
    value = max(0.0, (found - false_marks) * weight)
    tail = (1 - INTERVAL) / 2
    low = stats.gamma.ppf(tail, found) if found else 0.0
    high = stats.gamma.ppf(1 - tail, found + 1)
    spread = 1 + RECALL_UNCERTAINTY + UNSURE_SPREAD * (1 - 1 / weight)
    lowest = max(0.0, float(low) - false_marks) * weight / spread
    return Estimate(value, min(value, lowest), max(value, float(high) * weight * spread))
