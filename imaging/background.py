"""What nodules have behind them: how dense each part of the lungs is, beside what these lungs mostly are.

A nodule in airy lung stands out; in dependent lung, beside a vessel or at the edge of a consolidation it
is found as if it were smaller, and in airless lung not at all. How much of a lung is so dense differs from
patient to patient and from apex to base. So the lungs are sorted, zone by zone, into classes of attenuation,
on blocks of about 2.5 mm.
"""

import numpy as np
from numpy.typing import NDArray

from imaging.filters import block_mean
from imaging.lungs import Lungs
from imaging.zones import ZONES, zone_numbers
from records.model import Volume

__all__ = ["CLASSES", "EVEN", "USUAL", "background_by_zone", "background_of"]

EDGES_HU = np.array([-40.0, -15.0, 15.0, 50.0, 100.0, 200.0, 400.0])  # over the median of the lungs
CLASSES = len(EDGES_HU) + 1
USUAL = 2  # the class that the median lies in
EVEN = np.eye(CLASSES)[USUAL]  # shares of lungs that are alike everywhere


def background_of(volume: Volume, lungs: Lungs) -> NDArray[np.int64]:
    """Return the class of each coarse voxel, (p, r, c)."""
    hu = block_mean(volume.hu, lungs.block)
    usual_hu = np.median(hu[lungs.coarse > 0])
    return np.searchsorted(EDGES_HU, hu - usual_hu, side="right")


def background_by_zone(volume: Volume, lungs: Lungs) -> NDArray[np.float64]:
    """Return how many coarse voxels of each of the six zones lie in each class, (6, `CLASSES`)."""
    zones = zone_numbers(lungs)
    inside = zones > 0
    cells = (zones[inside].astype(np.int64) - 1) * CLASSES + background_of(volume, lungs)[inside]
    counts = np.bincount(cells, minlength=len(ZONES) * CLASSES)
    return np.asarray(counts.reshape(len(ZONES), CLASSES), np.float64)
