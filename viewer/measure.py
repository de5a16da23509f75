"""The ruler and the probe: millimetres in the patient, whatever the voxels are."""

from dataclasses import dataclass
from decimal import Decimal
from math import ceil, dist

import numpy as np

from records.model import Point
from viewer.layers import Display, Plane
from viewer.reading import Mark

__all__ = ["Probe", "Ruler", "perpendicular", "probe", "ruler_of"]

PROBE_RADIUS_MM = 2.0


@dataclass(frozen=True, slots=True)
class Ruler:
    """A long axis and, once it is drawn, the short axis across it.

    Attributes
    ----------
    points_mm : tuple of Point
        One to four places: the ends of the long axis, the ends of the short one.
    plane : Plane
        Where it was drawn.
    name : str
        The field it was written into, "" for none.
    """

    plane: Plane
    points_mm: tuple[Point, ...]
    name: str = ""

    @property
    def long_axis_mm(self) -> Decimal | None:
        """Length of the first line, to 0.1 mm."""
        return _length_mm(self.points_mm[:2])

    @property
    def short_axis_mm(self) -> Decimal | None:
        """Length of the second line, to 0.1 mm."""
        return _length_mm(self.points_mm[2:4])

    @property
    def middle_mm(self) -> Point:
        """The middle of the long axis."""
        p, r, c = (sum(values) / 2 for values in zip(*self.points_mm[:2], strict=True))
        return p, r, c

    @property
    def is_click(self) -> bool:
        """Whether the line drawn last has no length, and so is no measurement."""
        return _length_mm(self.points_mm[-2:]) == 0

    @property
    def is_complete(self) -> bool:
        """Whether both axes are drawn."""
        return len(self.points_mm) == 4

    def with_point(self, place_mm: Point) -> "Ruler":
        """Return the ruler with one more end; the short axis is kept at a right angle to the long one.

        RECIST 1.1 (3.1) takes the short axis of a node perpendicular to its longest diameter.
        """
        if len(self.points_mm) == 3:
            place_mm = perpendicular(self.points_mm[0], self.points_mm[1], self.points_mm[2], place_mm)
        return Ruler(self.plane, (*self.points_mm[:3], place_mm), self.name)

    def with_last(self, place_mm: Point) -> "Ruler":
        """Return the ruler with its last end moved."""
        return Ruler(self.plane, self.points_mm[:-1], self.name).with_point(place_mm)

    def mark(self, shown: Display) -> Mark:
        """Return the ruler as a read keeps it: in the patient, whatever way the scan is hung."""
        points_mm = tuple(shown.point_mm(place) for place in self.points_mm)
        is_as_scanned = self.plane.order[0] == shown.slice_axis
        slice_uid = shown.slice_uid(self.points_mm[0]) if is_as_scanned else ""
        return Mark(self.name, points_mm, slice_uid, self.plane)


def ruler_of(mark: Mark, shown: Display) -> Ruler:
    """Return the ruler that a read kept, on a scan as it is hung."""
    return Ruler(Plane(mark.plane), tuple(shown.place_mm(point) for point in mark.points_mm), mark.name)


@dataclass(frozen=True, slots=True)
class Probe:
    """Hounsfield units at a place, and over the disc of 2 mm around it in the plane."""

    hu: int
    mean_hu: float
    deviation_hu: float
    voxels: int


def probe(shown: Display, plane: Plane, place_mm: Point) -> Probe:
    """Return the Hounsfield units at `place_mm`."""
    centre = shown.index(place_mm)
    across, *within = plane.order
    where: list[slice] = []
    for axis in range(3):
        reach = 0 if axis == across else ceil(PROBE_RADIUS_MM / shown.spacing_mm[axis])
        where.append(slice(max(centre[axis] - reach, 0), min(centre[axis] + reach + 1, shown.hu.shape[axis])))
    box = shown.hu[tuple(where)].astype(np.float64)
    offsets = np.ogrid[tuple(where)]
    squares = sum(((offsets[axis] - centre[axis]) * shown.spacing_mm[axis]) ** 2 for axis in within)
    inside = box[np.broadcast_to(squares <= PROBE_RADIUS_MM**2, box.shape)]
    return Probe(int(shown.hu[centre]), float(inside.mean()), float(inside.std()), inside.size)


def perpendicular(start: Point, end: Point, first: Point, last: Point) -> Point:
    """Return `last` moved so that the line from `first` to it stands at a right angle on `start`-`end`."""
    along = np.subtract(end, start)
    length = float(along @ along)
    if length == 0:
        return last
    drawn = np.subtract(last, first)
    x, y, z = np.asarray(first) + drawn - along * float(drawn @ along) / length
    return float(x), float(y), float(z)


def _length_mm(points_mm: tuple[Point, ...]) -> Decimal | None:
    if len(points_mm) < 2:
        return None
    return Decimal(f"{dist(*points_mm):.1f}")
