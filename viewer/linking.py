"""Where a place of one scan lies in another scan of the same patient, and how that is known.

Until the scans are aligned, and where that fails, the box around the lungs of one
scan is mapped onto that of the other, direction by direction: exact for a shift and
for a breath that stretches evenly, a few millimetres off elsewhere. The alignment
takes seconds, so it is made in a process of its own (`align_apart`).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from records.errors import ScreeningError
from records.model import Point
from viewer.layers import Display

if TYPE_CHECKING:
    from imaging.tracking import Alignment

__all__ = [
    "Link",
    "Linking",
    "align_apart",
    "link_by_alignment",
    "link_by_lungs",
    "link_by_position",
    "lung_box_mm",
]

Link: TypeAlias = Callable[[Point], Point]  # from LPS mm of one scan to LPS mm of the other

GRID_MM = 4.0
AIR_HU = -400
SMALLEST_PART = 0.1  # of the largest piece of air inside the body; less is bowel or trachea


NICENESS = 10  # the reader's own keys come first


@dataclass(frozen=True, slots=True)
class Linking:
    """The link between the scan on the screen and the one beside, both ways.

    Attributes
    ----------
    words : str
        How a place is found, as the reader is told.
    """

    there: Link
    back: Link
    words: str


def link_by_position(one: Display, other: Display) -> Linking:
    """Return the link that takes no time."""
    return Linking(link_by_lungs(one, other), link_by_lungs(other, one), "by position")


def link_by_alignment(alignment: "Alignment", *, is_earlier: bool) -> Linking:
    """Return the link of an alignment.

    Parameters
    ----------
    is_earlier : bool
        Whether the scan on the screen is the earlier one of the two.
    """

    def forth(point_mm: Point) -> Point:
        x, y, z = alignment.to_follow_up(point_mm)
        return float(x), float(y), float(z)

    def back(point_mm: Point) -> Point:
        x, y, z = alignment.to_baseline(point_mm)
        return float(x), float(y), float(z)

    residual_mm = alignment.quality.residual_mm
    words = "by registration" + ("" if residual_mm is None else f"\n± {residual_mm:.1f} mm")
    return Linking(forth, back, words) if is_earlier else Linking(back, forth, words)


def align_apart(sender: Connection, earlier: Path, later: Path) -> None:
    """Align the scans of two folders and send the alignment, or why there is none; for another process."""
    from imaging.dicom import choose_series, find_studies, read_volume
    from imaging.lungs import segment_lungs
    from imaging.tracking import align

    if hasattr(os, "nice"):
        os.nice(NICENESS)
    try:
        studies = [find_studies([folder]).studies[0] for folder in (earlier, later)]
        first, second = (read_volume(choose_series(study).series) for study in studies)
        sender.send(align(first, segment_lungs(first), second, segment_lungs(second)))
    except ScreeningError as error:
        sender.send(error.sentence)
    finally:
        sender.close()


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
