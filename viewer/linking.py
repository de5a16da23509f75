"""Where a place of one scan lies in another scan of the same patient.

`Link` is what the window asks for. The one made here maps the box around the
lungs of one scan onto that of the other, direction by direction: exact for a shift
and for a breath that stretches evenly, a few millimetres off elsewhere. A
registration can take its place without a change to the window.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from records.model import Point
from viewer.layers import Display

__all__ = ["Link", "link_by_lungs", "lung_box_mm"]

Link: TypeAlias = Callable[[Point], Point]  # from LPS mm of one scan to LPS mm of the other

GRID_MM = 4.0
AIR_HU = -400
SMALLEST_PART = 0.1  # of the largest piece of air inside the body; less is bowel or trachea


def link_by_lungs(one: Display, other: Display) -> Link:
    """Return the link from one scan to another.

    Where the lungs of either cannot be told, both are taken to lie alike in the
    patient's coordinates.
    """
    here, there = lung_box_mm(one), lung_box_mm(other)
    if here is None or there is None:
        return lambda point_mm: point_mm
    scale = (there[1] - there[0]) / (here[1] - here[0])

    def link(point_mm: Point) -> Point:
        x, y, z = there[0] + (np.asarray(point_mm) - here[0]) * scale
        return float(x), float(y), float(z)

    return link


def lung_box_mm(shown: Display) -> NDArray[np.float64] | None:
    """Return the lowest and the highest LPS coordinates of the lungs, (2, 3), or None if there are none.

    Air that touches the edge of an image lies outside the body. On a 4 mm grid.
    """
    steps = tuple(max(1, round(GRID_MM / spacing)) for spacing in shown.spacing_mm)
    air = shown.hu[tuple(slice(None, None, step) for step in steps)] < AIR_HU
    flat = ndimage.generate_binary_structure(3, 1)
    flat[[0, 2]] = False  # within each image: a lung cut by the last image stays inside
    labels, _ = ndimage.label(air, flat)
    edge = np.unique(np.concatenate([labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()]))
    inside = air & ~np.isin(labels, edge)
    labels, count = ndimage.label(inside)
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    kept = np.flatnonzero(sizes >= SMALLEST_PART * sizes.max()) + 1
    where = np.argwhere(np.isin(labels, kept)) * np.asarray(steps) * np.asarray(shown.spacing_mm)
    corners = np.stack([where.min(axis=0), where.max(axis=0)])
    points = np.array([shown.point_mm((float(p), float(r), float(c))) for p, r, c in corners])
    box = np.sort(points, axis=0)
    return box if bool((box[1] - box[0] > 0).all()) else None
