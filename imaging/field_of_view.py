"""Lung that the sides of the field of view cut: it reaches the image's border, as the room does."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["cut_beside", "share_cut"]

ROOM_HU = -970.0  # the room's air, averaged over blocks, is darker, lung is not
# Noise that is cut off at -1024 HU makes the room brighter, by 10 to 20 HU, and single blocks of it more so.
NOISY_ROOM_HU, ROOM_SPREADS, DARKEST_LUNG_HU = -990.0, 3.5, -900.0
BESIDE_MM2 = 100.0  # of lung over or under air that reaches the border: that is lung too, not room
ROOM_SHARE = 0.4  # of what lies around: a blanket has 0.6, a lung with emphysema up to 0.2
TISSUE_HU = -200.0  # a chest wall that goes on beyond the image
LEAST_ML = 300.0  # of a lung cut in all its planes: a quarter of both lungs of an adult after full expiration


def cut_beside(
    hu: NDArray[np.float32],
    outside: NDArray[np.bool_],
    lungs: NDArray[np.bool_],
    step_mm: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Return what of the air that reaches its plane's border is lung: where the field of view ends in it.

    It is denser than the room's air and thicker than the seam of skin and cloth, and lies over or under lung.
    A lung that is cut in all its planes does not; there the chest wall reaches the border in most of them,
    and lies between lung and room; a blanket over arms that reach the border lies in the room.

    Parameters
    ----------
    hu : (p, r, c) float32 ndarray
        The coarse grid.
    outside : (p, r, c) bool ndarray
        Air that reaches its plane's border.
    lungs : (p, r, c) bool ndarray
        What is known to be lung.
    step_mm : (3,) ndarray
        Between coarse voxels.

    Returns
    -------
    (p, r, c) bool ndarray
    """
    noisy_hu = NOISY_ROOM_HU + ROOM_SPREADS * _noise_hu(hu, outside)
    dense = outside & (hu > np.clip(noisy_hu, ROOM_HU, DARKEST_LUNG_HU))
    beyond = np.zeros(lungs.shape, bool)
    beyond[1:] = lungs[:-1]
    beyond[:-1] |= lungs[1:]
    walls = _at_edges(hu > TISSUE_HU)
    pixel_mm2 = step_mm[1] * step_mm[2]
    if np.count_nonzero(dense & beyond) * pixel_mm2 < BESIDE_MM2 and not walls.any():
        return np.zeros(lungs.shape, bool)
    core = dense.copy()
    for axis in (1, 2):  # what is three voxels thick in its plane; at the edge of the image two do
        at, beside = np.moveaxis(core, axis, 0), np.moveaxis(core.copy(), axis, 0)
        at[1:] &= beside[:-1]
        at[:-1] &= beside[1:]
    parts, count = ndimage.label(core)
    is_lung = np.bincount(parts[beyond], minlength=count + 1) * pixel_mm2 >= BESIDE_MM2
    # What runs from the first slice to the last is the couch, which a narrow field of view cuts too.
    sizes_ml = np.bincount(parts.ravel(), minlength=count + 1) * np.prod(step_mm) / 1000
    sizes_ml[np.intersect1d(parts[0], parts[-1])] = 0
    for part in np.flatnonzero((sizes_ml >= LEAST_ML) & ~is_lung):
        there = _at_edges(parts == part)
        meets_wall = (np.count_nonzero(there & walls, axis=1) > there.sum(axis=1) / 2).any()
        is_lung[part] = bool(meets_wall) and _share_in_room(parts == part, outside & ~dense) < ROOM_SHARE
    is_lung[0] = False
    if not is_lung.any():
        return np.zeros(lungs.shape, bool)
    return np.asarray(dense & ndimage.binary_dilation(is_lung[parts], np.ones((1, 3, 3), bool)), bool)


def _share_in_room(part: NDArray[np.bool_], room: NDArray[np.bool_]) -> float:
    """Return how much of what lies around a part in its planes, a voxel away from its core, is the room."""
    square = np.ones((1, 3, 3), bool)
    rim = ndimage.binary_dilation(part, square)
    around = ndimage.binary_dilation(rim, square) & ~rim
    return int(np.count_nonzero(around & room)) / max(1, int(np.count_nonzero(around)))


def _noise_hu(hu: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    """Return the noise of a mask's voxels, by how much neighbours of a row differ."""
    differences = np.abs(np.diff(hu, axis=2))[inside[:, :, 1:] & inside[:, :, :-1]]
    return 1.48 / float(np.sqrt(2)) * float(np.median(differences)) if differences.size else 0.0


def _at_edges(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return in which planes a mask reaches each of the image's four edges, (4, planes)."""
    edges = (mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1])
    return np.array([edge.any(axis=1) for edge in edges])


def share_cut(labels: NDArray[np.uint8], empty: NDArray[np.bool_]) -> float:
    """Return a lung's area at the sides of the field of view over its largest section that lies alike.

    Of both lungs the larger share. The field of view ends where the image does, or where it is empty (outside
    the circle of reconstruction).

    Parameters
    ----------
    labels : (p, r, c) uint8 ndarray
        Of the lungs, from 1; 0 outside.
    empty : (p, r, c) bool ndarray
        What reaches its plane's border and is neither lung nor body.
    """
    shares = [0.0]
    for axis in (1, 2):
        beside = np.pad(np.moveaxis(empty, axis, 0), ((1, 1), (0, 0), (0, 0)), constant_values=True)
        for label in range(1, int(labels.max()) + 1):
            lung = np.moveaxis(labels == label, axis, 0)
            cut = np.count_nonzero(lung & beside[:-2]) + np.count_nonzero(lung & beside[2:])
            shares.append(cut / max(1, np.count_nonzero(lung, axis=(1, 2)).max()))
    return float(max(shares))
