"""When a change of size is more than the error of measuring twice.

A nodule's size changes by what both images together say of it (`imaging.paired`); two fits, each of one
scan, part ways by millimetres where a nodule touches something. How far apart an unchanged nodule lies was
measured on pairs without change (`python -m benchmarks.tracking --zero`, `--kernels`; docs/tracking.md). A
change is real if both ways of measuring say so. Where the images together say nothing, the fits are asked.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from records.model import Estimate, Nodule

__all__ = ["SizeChange", "size_change"]

NORMAL_90, NORMAL_95 = 1.645, 1.960
FIT_FACTOR = 0.7  # on the error of both fits together: holds the largest of 872 unchanged nodules
FLOOR_MM = 0.12  # kernel, noise, place on the grid: standard deviation of a difference
PAIRED_FLOOR_MM = 0.10  # standard deviation of a difference that both images tell together, from ...
PAIRED_SHARE = 0.03  # ... pairs without change, with a share of the diameter for motions that are larger
FALSE_ALARMS = 0.05  # a pair of scans without change shows any real change of size as rarely as this


@dataclass(frozen=True, slots=True)
class SizeChange:
    """Change of diameter, follow-up less baseline.

    Attributes
    ----------
    value_mm : Estimate
        With the interval that measuring twice leaves (90 %).
    limit_mm : float
        What a change has to exceed to be real, as many nodules as were compared.
    fitted_mm : float
        The difference of the two fits.
    """

    value_mm: Estimate
    limit_mm: float
    fitted_mm: float

    @property
    def is_real(self) -> bool:
        """Whether it is more than measurement error, whichever way it is measured."""
        value = self.value_mm.value
        return value * self.fitted_mm > 0 and min(abs(value), abs(self.fitted_mm)) > self.limit_mm


def size_change(
    baseline: Nodule, follow_up: Nodule, compared: int, volume_ratio: float | None = None
) -> SizeChange:
    """Return how a nodule's diameter changed, and what is told apart from error.

    Parameters
    ----------
    baseline, follow_up : Nodule
    compared : int
        Nodules sized in both scans. Of five hundred, twenty-five unchanged ones would exceed a limit that
        holds for 95 %: the limit is set so that one in twenty pairs of scans shows any (Bonferroni 1936).
    volume_ratio : float, optional
        Follow-up over baseline, from both images together.
    """
    sizes = (baseline.diameter_mm, follow_up.diameter_mm)
    fitted_mm = sizes[1].value - sizes[0].value
    if volume_ratio is None:
        one_mm, other_mm = ((size.high - size.low) / (2 * NORMAL_90) for size in sizes)
        change_mm, error_mm = fitted_mm, float(np.hypot(FIT_FACTOR * np.hypot(one_mm, other_mm), FLOOR_MM))
    else:
        change_mm = sizes[0].value * (volume_ratio ** (1 / 3) - 1)
        error_mm = float(np.hypot(PAIRED_SHARE * sizes[0].value, PAIRED_FLOOR_MM))
    reach_mm = NORMAL_90 * error_mm
    rarely = float(stats.norm.isf(FALSE_ALARMS / (2 * max(compared, 1))))
    change = Estimate(change_mm, change_mm - reach_mm, change_mm + reach_mm)
    return SizeChange(change, rarely * error_mm, fitted_mm)
