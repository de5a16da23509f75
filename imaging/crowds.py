"""Laws that the sizes of a crowd of nodules may follow.

No scan shows the smallest: they are counted by the law of those that it shows. Sizes that come of growth
are log-normal, a few doubling the rest; those of seeds of one age lie evenly between a least and a largest,
and have more small ones beside the same large ones. A census tries both.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from imaging.response import VISIBILITIES

__all__ = ["MEDIANS_MM", "crowds"]

Floats = NDArray[np.float64]

MEDIANS_MM = np.geomspace(1.1, 6.5, 16)
LOG_SPREADS = (0.15, 0.3, 0.45)  # all alike ... a few doubling the rest
EVEN_WIDTHS = (0.2, 0.35, 0.5)  # from the median to either end, over the median


def crowds(solid: float) -> tuple[Floats, Floats]:
    """Return all crowds that are tried: the logarithm of the median of each, and its shares.

    Parameters
    ----------
    solid : float
        Visibility of a solid nodule of 1 mm in this scan.

    Returns
    -------
    (K,) ndarray
        Logarithm of the median, mm.
    (K, V) ndarray
        Share of the nodules at each of `VISIBILITIES`.
    """
    true = np.log(VISIBILITIES)
    ends = np.concatenate([[-np.inf], (true[1:] + true[:-1]) / 2, [np.inf]])
    medians, shares = [], []
    for median_mm in MEDIANS_MM:
        off = ends - np.log(solid * median_mm)
        for spread in LOG_SPREADS:
            shares.append(np.diff(ndtr(off / spread)))
        for width in EVEN_WIDTHS:
            shares.append(np.diff(np.clip((np.exp(off) - 1 + width) / (2 * width), 0, 1)))
        medians += [np.log(median_mm)] * (len(LOG_SPREADS) + len(EVEN_WIDTHS))
    return np.array(medians), np.array(shares)
