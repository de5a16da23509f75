"""Long and short axis of a nodule, on the axial slice where it is longest, as RECIST 1.1 measures.

The outline is where brightness falls to half between nodule and lung, told to a fraction of a pixel;
for a body wide compared with the scanner's blur that is its true edge. Nodules under `LEAST_MM` are
not so wide: there the fitted ball stands alone.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform
from skimage.measure import find_contours, points_in_poly

__all__ = ["LEAST_MM", "axial_axes_mm"]

LEAST_MM = 6.0  # Fleischner 2017: from here on both axes are worth telling
REACH = 1.6  # of the radius: what hangs on the nodule farther out is not part of it
HIGH_SHARE = 0.6  # of the radius, above and below the centre, where slices are looked at


def axial_axes_mm(
    image: NDArray[np.int16],
    index: NDArray[np.float64],
    radius_mm: float,
    level_hu: float,
    spacing_mm: tuple[float, float, float],
) -> tuple[float, float] | None:
    """Measure the longest axial diameter and the extent perpendicular to it.

    Parameters
    ----------
    image : (planes, rows, columns) int16 ndarray
        HU; planes are axial.
    index : (3,) float ndarray
        (plane, row, column) of the centre.
    radius_mm : float
        Of the ball that was fitted.
    level_hu : float
        Halfway between nodule and surroundings.
    spacing_mm : tuple of float
        Distance between voxels.

    Returns
    -------
    tuple of float or None
        Long and short axis, mm; None where no outline closes around the centre.
    """
    planes_away = int(HIGH_SHARE * radius_mm / spacing_mm[0])
    middle = int(np.clip(round(float(index[0])), 0, len(image) - 1))
    found = []
    for plane in range(max(middle - planes_away, 0), min(middle + planes_away + 1, len(image))):
        outline = _outline_mm(image[plane], index[1:], REACH * radius_mm, level_hu, spacing_mm[1:])
        axes = _axes_of(outline) if outline is not None else None
        if axes is not None:
            found.append(axes)
    return max(found, default=None)


def _outline_mm(
    plane: NDArray[np.int16],
    centre: NDArray[np.float64],
    reach_mm: float,
    level_hu: float,
    pixel_mm: tuple[float, float],
) -> NDArray[np.float64] | None:
    """Return the closed outline around the centre, (N, 2) mm from it, cut off at `reach_mm`."""
    window = []
    for place, step, size in zip(centre.tolist(), pixel_mm, plane.shape, strict=True):
        away = reach_mm / step + 2
        window.append(slice(max(int(place - away), 0), min(int(place + away) + 1, size)))
    here = plane[tuple(window)].astype(float)
    offset = centre - [w.start for w in window]
    rows, columns = np.ogrid[: here.shape[0], : here.shape[1]]
    distance_mm = np.hypot((rows - offset[0]) * pixel_mm[0], (columns - offset[1]) * pixel_mm[1])
    here = np.where(distance_mm > reach_mm, np.minimum(here, level_hu - 100.0), here)
    for outline in find_contours(np.pad(here, 1, constant_values=level_hu - 100.0), level_hu):
        if points_in_poly([offset + 1], outline)[0]:
            out: NDArray[np.float64] = (outline - 1 - offset) * pixel_mm
            return out
    return None


def _axes_of(outline_mm: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the largest distance between two points of an outline, and its extent across that line."""
    try:
        corners = outline_mm[ConvexHull(outline_mm).vertices]
    except QhullError:  # a line has no inside
        return None
    distance = squareform(pdist(corners))
    first, second = np.unravel_index(distance.argmax(), distance.shape)
    along = (corners[second] - corners[first]) / distance.max()
    across = corners @ np.array([-along[1], along[0]])
    return float(distance.max()), float(np.ptp(across))
