"""When a change of size is more than the error of measuring twice.

A fitted diameter has an interval from its own fit. How far two fits of an unchanged nodule lie apart was
measured on pairs without change (`python -m benchmarks.tracking --zero`; docs/tracking.md): two scans of
one patient, moved and with other noise, and one acquisition seen through two kernels. From them come the
factor on the fit's own error and the error that no fit knows of.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from records.model import Estimate, Nodule

__all__ = ["REPEATABILITY_MM", "SizeChange", "size_change"]

NORMAL_90, NORMAL_95 = 1.645, 1.960
FIT_FACTOR = 0.7  # on the error of both fits together: holds the largest of 872 unchanged nodules
FLOOR_MM = 0.12  # kernel, noise, place on the grid: standard deviation of a difference
REPEATABILITY_MM = 0.3  # 95 % of differences of unchanged nodules of 2 to 5 mm are smaller
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
    """

    value_mm: Estimate
    limit_mm: float

    @property
    def is_real(self) -> bool:
        """Whether it is more than measurement error."""
        return abs(self.value_mm.value) > self.limit_mm


def size_change(baseline: Nodule, follow_up: Nodule, compared: int) -> SizeChange:
    """Return how a nodule's diameter changed, and what is told apart from error.

    Parameters
    ----------
    baseline, follow_up : Nodule
    compared : int
        Nodules sized in both scans. Of five hundred, twenty-five unchanged ones would exceed a limit that
        holds for 95 %: the limit is set so that one in twenty pairs of scans shows any (Bonferroni 1936).
    """
    sizes = (baseline.diameter_mm, follow_up.diameter_mm)
    one_mm, other_mm = ((size.high - size.low) / (2 * NORMAL_90) for size in sizes)
    fits_mm = float(np.hypot(one_mm, other_mm))
    error_mm = float(np.hypot(FIT_FACTOR * fits_mm, FLOOR_MM))
    change_mm = follow_up.diameter_mm.value - baseline.diameter_mm.value
    reach_mm = NORMAL_90 * error_mm
    rarely = float(stats.norm.isf(FALSE_ALARMS / (2 * max(compared, 1))))
    return SizeChange(Estimate(change_mm, change_mm - reach_mm, change_mm + reach_mm), rarely * error_mm)
