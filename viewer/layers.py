"""A volume turned so that every plane is shown as radiologists hang it, and what is said around it.

The patient's right is on the left of the screen, the front is up in an axial
plane, the head is up in the others, however the scan was made. Turning is done by
views of the same memory; `Display` keeps where each voxel lies in the patient.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from records.model import Point, Volume

__all__ = [
    "SLABS_MM",
    "WINDOWS",
    "Display",
    "Letters",
    "Plane",
    "Window",
    "display",
    "next_slab_mm",
]

FloatArray = NDArray[np.float64]

# Display axis 0 runs to the feet, 1 to the back, 2 to the patient's left (LPS directions).
HANGING = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
DIRECTIONS = (("L", "R"), ("P", "A"), ("H", "F"))  # along and against x, y, z
OBLIQUE = 0.26  # sine of 15 degrees: from there a second letter is shown
SLABS_MM = (1.0, 5.0, 10.0, 15.0)  # thin to judge, 10 to find


class Plane(StrEnum):
    """A way to cut."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"

    @property
    def order(self) -> tuple[int, int, int]:
        """Display axes: across the plane, down the screen, along the screen."""
        return {Plane.AXIAL: (0, 1, 2), Plane.CORONAL: (1, 0, 2), Plane.SAGITTAL: (2, 0, 1)}[self]


@dataclass(frozen=True, slots=True)
class Window:
    """Which Hounsfield units become grey."""

    name: str
    centre_hu: float
    width_hu: float

    @property
    def limits_hu(self) -> tuple[float, float]:
        """Black and white."""
        return self.centre_hu - self.width_hu / 2, self.centre_hu + self.width_hu / 2

    def dragged(self, right_px: float, down_px: float) -> "Window":
        """Return the window after a drag: to the right is wider, down is brighter; 2 HU a pixel."""
        width = min(max(self.width_hu + 2 * right_px, 10.0), 4000.0)
        centre = min(max(self.centre_hu - 2 * down_px, -1200.0), 2000.0)
        return Window("own", centre, width)


LUNG = Window("lung", -600.0, 1500.0)
MEDIASTINUM = Window("mediastinum", 40.0, 400.0)
BONE = Window("bone", 400.0, 1800.0)
WINDOWS = {window.name: window for window in (LUNG, MEDIASTINUM, BONE)}


@dataclass(frozen=True, slots=True)
class Letters:
    """Where the edges of a plane lie in the patient: R, L, A, P, H, F, two letters if oblique."""

    top: str
    bottom: str
    left: str
    right: str


@dataclass(frozen=True, slots=True, eq=False)
class Display:
    """A volume as it is hung.

    Attributes
    ----------
    hu : (p, r, c) int16 ndarray
        A view: axis 0 from head to feet, 1 from front to back, 2 from the patient's right to the left.
    spacing_mm : Point
        Along the axes of `hu`.
    origin_mm : Point
        Centre of voxel (0, 0, 0), LPS.
    axes : (3, 3) float ndarray
        Row i is the unit vector, in LPS, along axis i.
    slice_axis : int
        The axis along which the scanner's images follow each other.
    slice_uids : tuple of str
        Their SOP Instance UIDs, in the order of that axis.
    """

    hu: NDArray[np.int16]
    spacing_mm: Point
    origin_mm: Point
    axes: FloatArray
    slice_axis: int
    slice_uids: tuple[str, ...]

    @property
    def size_mm(self) -> Point:
        """Distance from the first to the last voxel centre, along the axes."""
        p, r, c = ((count - 1) * step for count, step in zip(self.hu.shape, self.spacing_mm, strict=True))
        return p, r, c

    def point_mm(self, place_mm: Point) -> Point:
        """Return where in the patient (LPS) a place lies that is given in mm along the axes."""
        x, y, z = np.asarray(self.origin_mm) + np.asarray(place_mm) @ self.axes
        return float(x), float(y), float(z)

    def place_mm(self, point_mm: Point) -> Point:
        """Return a point of the patient (LPS) in mm along the axes."""
        p, r, c = self.axes @ (np.asarray(point_mm) - np.asarray(self.origin_mm))
        return float(p), float(r), float(c)

    def index(self, place_mm: Point) -> tuple[int, int, int]:
        """Return the voxel nearest to a place; places outside have the voxel at the edge."""
        p, r, c = (
            min(max(round(place / step), 0), count - 1)
            for place, step, count in zip(place_mm, self.spacing_mm, self.hu.shape, strict=True)
        )
        return p, r, c

    def clipped_mm(self, place_mm: Point) -> Point:
        """Return the centre of the voxel nearest to a place."""
        p, r, c = (index * step for index, step in zip(self.index(place_mm), self.spacing_mm, strict=True))
        return p, r, c

    def slice_uid(self, place_mm: Point) -> str:
        """Return the image of the scanner that holds a place."""
        return self.slice_uids[self.index(place_mm)[self.slice_axis]]

    def letters(self, plane: Plane) -> Letters:
        """Return the letters at the four edges of a plane."""
        _, down, along = plane.order
        return Letters(
            top=_letter(-self.axes[down]),
            bottom=_letter(self.axes[down]),
            left=_letter(-self.axes[along]),
            right=_letter(self.axes[along]),
        )


def display(volume: Volume) -> Display:
    """Return a volume as it is hung, whatever way its images lie.

    Each axis is taken for the direction of the patient it comes closest to, and
    turned where it runs the other way; nothing is resampled.
    """
    order = max(
        permutations(range(3)),
        key=lambda axes: sum(abs(float(volume.axes[axis] @ HANGING[i])) for i, axis in enumerate(axes)),
    )
    origin_mm = np.asarray(volume.origin_mm, dtype=np.float64)
    axes, turned = [], []
    for shown, axis in enumerate(order):
        direction = volume.axes[axis]
        is_turned = bool(direction @ HANGING[shown] < 0)
        if is_turned:
            length_mm = (volume.hu.shape[axis] - 1) * volume.spacing_mm[axis]
            origin_mm = origin_mm + length_mm * direction
        axes.append(-direction if is_turned else direction)
        turned.append(slice(None, None, -1 if is_turned else 1))
    slice_axis = order.index(0)
    p, r, c = (volume.spacing_mm[axis] for axis in order)
    x, y, z = origin_mm
    return Display(
        hu=volume.hu.transpose(order)[tuple(turned)],
        spacing_mm=(p, r, c),
        origin_mm=(float(x), float(y), float(z)),
        axes=np.array(axes, dtype=np.float64),
        slice_axis=slice_axis,
        slice_uids=volume.sop_instance_uids[turned[slice_axis]],
    )


def next_slab_mm(now_mm: float) -> float:
    """Return the next thicker slab, and thin again after the thickest.

    >>> next_slab_mm(1.0), next_slab_mm(15.0)
    (5.0, 1.0)
    """
    return next((slab for slab in SLABS_MM if slab > now_mm), SLABS_MM[0])


def _letter(direction: FloatArray) -> str:
    """Return the letters of a direction, the strongest first (DICOM PS3.3 C.7.6.1.1.1)."""
    parts = sorted(
        zip(np.abs(direction), np.sign(direction), DIRECTIONS, strict=True), key=lambda part: -part[0]
    )
    letters = [along if sign > 0 else against for size, sign, (along, against) in parts if size > OBLIQUE]
    return "".join(letters)
