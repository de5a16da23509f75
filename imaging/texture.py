"""Plates in the lung: thickened septa show as sheets, where vessels are tubes and nodules balls."""

import numpy as np
from numpy.typing import NDArray

from imaging.candidates import SCALES_MM, Candidates, ScaleSpace
from imaging.features import FEATURE_NAMES, describe_quickly
from imaging.lungs import Lungs

__all__ = ["septal_index"]

SAMPLES = 20_000
DEPTH_MM = 6.0  # from the pleura and the hilum, which are sheets themselves
BAND = 1  # of the scales: a septum with its blur is about 2 mm thick
LEAST_BEND_HU = 40.0
PLATE = 0.35  # second over first curvature: 0 sheet, 1 tube


def septal_index(space: ScaleSpace, lungs: Lungs, noise_hu: float) -> float:
    """Return the share of the inner lung that lies in plate-like structures.

    A random but seeded sample of places is looked at: 20,000 give the share to a tenth of itself.
    """
    rng = np.random.default_rng(0)
    inside = np.argwhere(lungs.depth_mm > DEPTH_MM)
    if len(inside) == 0:
        return 0.0
    coarse = inside[rng.integers(len(inside), size=SAMPLES)] + rng.uniform(-0.5, 0.5, (SAMPLES, 3))
    index = (coarse + 0.5) * np.asarray(lungs.block) - 0.5 - space.start
    points = Candidates(index, np.full(SAMPLES, BAND), np.zeros(SAMPLES))
    quick = describe_quickly(space, points, noise_hu)

    def column(name: str) -> NDArray[np.float32]:
        return quick[:, FEATURE_NAMES.index(name)]

    scale = SCALES_MM[BAND]
    bend_hu = column(f"hessian_{scale}mm_strength") * np.exp(column("log_contrast"))
    plates = (bend_hu > LEAST_BEND_HU) & (np.abs(column(f"hessian_{scale}mm_second")) < PLATE)
    return float(plates.mean())
