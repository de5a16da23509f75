"""Six zones: a third of the height of each lung."""

import numpy as np
from numpy.typing import NDArray

from imaging.lungs import LEFT, RIGHT, Lungs
from records.model import Side, Zone

__all__ = ["ZONES", "zone_numbers", "zone_volumes_ml"]

ZONES = tuple((side, zone) for side in Side for zone in Zone)  # numbered from 1 in this order
FROM_BELOW = (Zone.LOWER, Zone.MIDDLE, Zone.UPPER)


def zone_numbers(lungs: Lungs) -> NDArray[np.uint8]:
    """Return the number of each coarse voxel's zone, 0 outside the lungs."""
    numbers = np.zeros(lungs.coarse.shape, np.uint8)
    for side, label in ((Side.RIGHT, RIGHT), (Side.LEFT, LEFT)):
        inside = lungs.coarse == label
        filled = np.flatnonzero(inside.any(axis=(1, 2)))
        low, high = int(filled[0]), int(filled[-1]) + 1
        share = (np.arange(low, high) + 0.5 - low) / (high - low)
        for plane, third in zip(range(low, high), np.minimum((3 * share).astype(int), 2), strict=True):
            numbers[plane][inside[plane]] = 1 + ZONES.index((side, FROM_BELOW[third]))
    return numbers


def zone_volumes_ml(lungs: Lungs) -> dict[tuple[Side, Zone], float]:
    """Return the volume of each zone."""
    voxels = np.bincount(zone_numbers(lungs).ravel(), minlength=7)[1:]
    voxel_ml = float(np.prod(lungs.coarse_spacing_mm)) / 1000
    return {zone: float(n) * voxel_ml for zone, n in zip(ZONES, voxels, strict=True)}
