"""A chest of two boxes in soft tissue: lungs small and plain enough for arithmetic to follow."""

import numpy as np
from scipy import ndimage

from imaging.lungs import Lungs
from records.model import Volume

__all__ = ["box_lungs", "box_volume"]

AXIAL = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
SHAPE = (48, 64, 112)
SPACING_MM = (2.0, 1.25, 1.25)
BLOCK = (1, 2, 2)


def box_lungs() -> Lungs:
    """Return two lungs of 40 planes of 2 mm, 56 x 44 pixels of 1.25 mm."""
    coarse = np.zeros((48, 32, 56), np.uint8)
    coarse[4:44, 2:30, 3:25] = 1
    coarse[4:44, 2:30, 31:53] = 2
    step_mm = (2.0, 2.5, 2.5)
    inside = ndimage.distance_transform_edt(coarse > 0, sampling=step_mm)
    outside = ndimage.distance_transform_edt(coarse == 0, sampling=step_mm)
    depth = np.where(coarse > 0, inside - 1.0, 1.0 - outside).astype(np.float32)
    return Lungs(coarse, coarse > 0, depth, BLOCK, SHAPE, SPACING_MM)


def box_volume(noise_hu: float = 0.0) -> Volume:
    """Return the scan: lung at -850 HU, soft tissue at 40."""
    labels = box_lungs().labels
    rng = np.random.default_rng(0)
    hu = np.where(labels > 0, -850.0, 40.0) + noise_hu * rng.standard_normal(labels.shape)
    uids = tuple(f"1.{k}" for k in range(SHAPE[0]))
    origin = (-70.0, -40.0, -48.0)
    return Volume(np.rint(hu).astype(np.int16), origin, AXIAL, SPACING_MM, 2.0, "", "1.2", "1.3", uids)
