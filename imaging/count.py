"""The share of nodules that is reported, by which what two scans report is compared (`imaging.burden`).

It depends on size and slice thickness, and on how many there are: where nodules are common, what is doubtful
is one more of them (`imaging.prior`). It was measured on solid nodules in lungs the model had not seen. How
many nodules one scan holds is told by all its marks (`imaging.census`); the recall tells which sizes they
have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    missed : float
        How many are missed in this scan, over what these shares say.
    """

    middles_mm: tuple[float, ...]
    shares: tuple[float, ...]
    missed: float = 1.0

    def at(self, diameter_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share found at each diameter; beyond the ends as at the ends."""
        measured = np.interp(diameter_mm, self.middles_mm, np.maximum(self.shares, LEAST_RECALL))
        return np.asarray(1.0 / (1.0 + self.missed * (1.0 / measured - 1.0)))

    def adding_up_to(self, there: float, diameter_mm: NDArray[np.float64]) -> "Recall":
        """Return the recall by which what was reported stands for so many nodules.

        How many are missed differs from scan to scan, with noise and slices; which sizes, hardly.

        Parameters
        ----------
        there : float
            Nodules there are; where that is fewer than were reported, none is missed.
        diameter_mm : (N,) ndarray
            Of what was reported.
        """
        usual = float(np.sum(1.0 / replace(self, missed=1.0).at(diameter_mm) - 1.0))
        return replace(self, missed=max(0.0, there - len(diameter_mm)) / usual if usual > 0 else 0.0)

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
        # By logarithm: ten more are much to ten, and little to a thousand.
        reported = np.log1p([row["reported"] for row in measured])
        by_size = np.array([row["shares"] for row in measured]).T
        shares = [float(np.interp(np.log1p(found), reported, size)) for size in by_size]
        middles = [(low + high) / 2 for low, high in card["recall_diameters_mm"]]
        return cls(tuple(middles), tuple(shares))


def share_of(hits: int, total: int) -> Estimate:
    """Return a share with its Jeffreys interval (Brown 2001, Stat Sci 16:101)."""
    tail = (1 - INTERVAL) / 2
    low, high = betaincinv(hits + 0.5, total - hits + 0.5, (tail, 1 - tail))
    return Estimate(hits / total, float(low) if hits else 0.0, float(high) if hits < total else 1.0)
