"""Where the vessels are: what is bright, hangs together and is too large for a micronodule."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.candidates import ScaleSpace
from imaging.distance import distance_mm
from imaging.lungs import Lungs

__all__ = ["vessel_distance_mm"]

BAND = 1
VESSEL_HU = -560.0  # of a vessel of 2 mm after smoothing
LEAST_MM3 = 500.0  # a ball of 10 mm
FAR_MM = 10.0  # three times what lies "at a vessel" (imaging.arrangement)
STEP = 2  # every second voxel of a plane is enough


def vessel_distance_mm(space: ScaleSpace, lungs: Lungs) -> NDArray[np.float32]:
    """Return the distance of each coarse voxel of the lungs to a vessel, mm, exact up to `FAR_MM`."""
    bright = (space.levels[BAND][:, ::STEP, ::STEP] > VESSEL_HU) & space.inside[:, ::STEP, ::STEP]
    parts, count = ndimage.label(bright)
    sizes = np.bincount(parts.ravel(), minlength=count + 1) * float(np.prod(space.spacing_mm)) * STEP**2
    sizes[0] = 0.0
    places = np.argwhere((sizes >= LEAST_MM3)[parts]) * [1, STEP, STEP] + space.start
    coarse = np.minimum(places // np.asarray(lungs.block), np.array(lungs.coarse.shape) - 1)
    vessels = np.zeros(lungs.coarse.shape, bool)
    vessels[tuple(coarse.T)] = True
    return distance_mm(~vessels, np.asarray(lungs.coarse_spacing_mm), FAR_MM).astype(np.float32)
