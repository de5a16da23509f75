"""The share of nodules that is reported, by which what two scans report is compared (`imaging.burden`).

It depends on size and slice thickness, and on how many there are: where nodules are common, what is doubtful
is one more of them (`imaging.prior`). It was measured on solid nodules in lungs the model had not seen. How
many nodules one scan holds is told by all its marks (`imaging.census`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv  # the quantiles of a beta law

from records.model import Estimate

__all__ = ["INTERVAL", "NORMAL_90", "RECALL_UNCERTAINTY", "Recall", "share_of"]

LEAST_RECALL = 0.25  # fewer than one in four found, and the estimate would be mostly correction
INTERVAL = 0.90
NORMAL_90 = 1.645  # standard deviations to each side of a normal law that hold as much
RECALL_UNCERTAINTY = 0.15  # relative, of the share found, between scanners


@dataclass(frozen=True, slots=True)
class Recall:
    """The share of nodules found at the operating point, by diameter.

    Attributes
    ----------
    middles_mm : tuple of float
        Diameters, ascending.
    shares : tuple of float
        Found of each, measured on simulated nodules in lungs the model had not seen.
    false_marks : float
        A scan, at the same operating point.
    """

    middles_mm: tuple[float, ...]
    shares: tuple[float, ...]
    false_marks: float

    def at(self, diameter_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share found at each diameter; beyond the ends as at the ends."""
        return np.interp(diameter_mm, self.middles_mm, np.maximum(self.shares, LEAST_RECALL))

    @classmethod
    def among(cls, card: Mapping[str, Any], slices: str, found: int) -> "Recall":
        """Return the recall in a scan in which so many nodules were reported.

        Parameters
        ----------
        card : mapping
            The model's card: `recall` by slices, a row for each number of nodules that were there.
        slices : str
            "thin" or "thick".
        found : int
            Reported in this scan; beyond the numbers measured as at their ends.
        """
        measured = card["recall"][slices]
        clean = float(card["false_marks_a_scan"])
        # By logarithm: ten more are much to ten, and little to a thousand.
        reported = np.log1p([row["reported"] for row in measured])
        by_size = np.array([row["shares"] for row in measured]).T
        shares = [float(np.interp(np.log1p(found), reported, size)) for size in by_size]
        false = [clean, *(row["false_marks"] for row in measured)]
        false_marks = float(np.interp(np.log1p(found), [np.log1p(clean), *reported], false))
        middles = [(low + high) / 2 for low, high in card["recall_diameters_mm"]]
        return cls(tuple(middles), tuple(shares), false_marks)


def share_of(hits: int, total: int) -> Estimate:
    """Return a share with its Jeffreys interval (Brown 2001, Stat Sci 16:101)."""
    tail = (1 - INTERVAL) / 2
    low, high = betaincinv(hits + 0.5, total - hits + 0.5, (tail, 1 - tail))
    return Estimate(hits / total, float(low) if hits else 0.0, float(high) if hits < total else 1.0)
