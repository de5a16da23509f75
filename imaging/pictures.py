"""Pictures of a scan: slab maximum intensity projections through the lungs.

Nodules stand out and vessels run on in a 10 mm MIP (Gruden 2002, AJR 179:1051), so a
reader sees the whole lungs in some thirty pictures a plane. Each picture knows where
in the patient it lies; marks are laid over it later and can be taken off.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imaging.geometry import points_mm
from records.errors import StoreError
from records.model import Nodule, Point, Volume
from records.stored import UNREADABLE

__all__ = ["SLAB_MM", "Pictures", "Plane", "Slab", "draw"]

SLAB_MM = 10.0
WINDOW_HU = (-1350.0, 150.0)  # lung window: level -600, width 1500
MARGIN_MM = 8.0  # of chest wall shown around the lungs
SMALLEST_PIXEL_MM = 0.7  # finer would cost bytes and show no more
JPEG_QUALITY = 87
PAGE_BYTES = 2_200_000  # of pictures a study; base64 makes 2.9 MB of them


class Plane(StrEnum):
    """How a slab is looked at; the patient's right is on the left, as in every reading room."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"


@dataclass(frozen=True, slots=True)
class Slab:
    """One picture and its place in the patient.

    Attributes
    ----------
    centre_mm : Point
        Centre of the picture's top left pixel, half way through the slab (LPS).
    right, down : Point
        Unit vectors (LPS) to the next pixel in a row, and in a column.
    pixel_mm : float
        Side of a pixel; pixels are square.
    width, height : int
        Pixels.
    thickness_mm : float
        Of the slab.
    jpeg : bytes
        The picture, 8-bit grey.
    """

    plane: Plane
    centre_mm: Point
    right: Point
    down: Point
    pixel_mm: float
    width: int
    height: int
    thickness_mm: float
    jpeg: bytes

    @property
    def depth_mm(self) -> float:
        """Place along the plane's normal, so that slabs of a plane can be told in order."""
        return float(np.dot(self.centre_mm, np.cross(self.right, self.down)))

    def locate(self, point_mm: Point) -> tuple[float, float, float]:
        """Return (column, row) of a place in the picture, and its distance from the slab's middle, mm."""
        offset = np.subtract(point_mm, self.centre_mm)
        across = np.cross(self.right, self.down)
        return (
            float(offset @ self.right) / self.pixel_mm,
            float(offset @ self.down) / self.pixel_mm,
            float(offset @ across),
        )

    def shows(self, nodule: Nodule) -> bool:
        """Return whether a nodule reaches into the slab."""
        reach_mm = self.thickness_mm / 2 + nodule.diameter_mm.value / 2
        return abs(self.locate(nodule.centre_mm)[2]) <= reach_mm


@dataclass(frozen=True, slots=True)
class Pictures:
    """The slabs of a scan and, for each plane, the one to look at first."""

    slabs: tuple[Slab, ...]  # axial from the head down, coronal from the front, sagittal from the right
    first_looks: tuple[int, ...]  # one index into `slabs` a plane

    def of(self, plane: Plane) -> tuple[Slab, ...]:
        """Return the slabs of a plane, in order."""
        return tuple(slab for slab in self.slabs if slab.plane is plane)

    def to_bytes(self) -> bytes:
        """Return a zip archive of the JPEG files and a table of where they lie."""
        table = [{**asdict(slab), "jpeg": f"{number:03}.jpg"} for number, slab in enumerate(self.slabs)]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(
                _entry("slabs.json"), json.dumps({"slabs": table, "first_looks": self.first_looks})
            )
            for row, slab in zip(table, self.slabs, strict=True):
                archive.writestr(_entry(row["jpeg"]), slab.jpeg)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, packed: bytes) -> Self:
        """Return the pictures that `to_bytes` packed.

        Raises
        ------
        StoreError
            If they are damaged, or another version packed them.
        """
        try:
            return cls._unpacked(packed)
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
            raise StoreError(UNREADABLE) from error

    @classmethod
    def _unpacked(cls, packed: bytes) -> Self:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            table = json.loads(archive.read("slabs.json"))
            slabs = tuple(
                Slab(
                    plane=Plane(row["plane"]),
                    centre_mm=_point(row["centre_mm"]),
                    right=_point(row["right"]),
                    down=_point(row["down"]),
                    pixel_mm=row["pixel_mm"],
                    width=row["width"],
                    height=row["height"],
                    thickness_mm=row["thickness_mm"],
                    jpeg=archive.read(row["jpeg"]),
                )
                for row in table["slabs"]
            )
        return cls(slabs, tuple(table["first_looks"]))


def draw(volume: Volume, lungs: NDArray[np.uint8], nodules: Sequence[Nodule]) -> Pictures:
    """Draw axial, coronal and sagittal slabs, end to end through the lungs.

    Parameters
    ----------
    volume : Volume
        CT in Hounsfield units.
    lungs : (planes, rows, columns) uint8 ndarray
        0 outside the lungs.
    nodules : sequence of Nodule
        The first look at each plane is where most of the reported ones are.

    Raises
    ------
    ValueError
        If there is no lung to draw.
    """
    box = _LungBox.around(volume, lungs)
    slabs = tuple(slab for plane in Plane for slab in box.slabs(plane, JPEG_QUALITY))
    size = sum(len(slab.jpeg) for slab in slabs)
    if size > PAGE_BYTES:  # a noisy scan packs badly
        quality = max(30, int(JPEG_QUALITY * PAGE_BYTES / size) - 10)
        slabs = tuple(slab for plane in Plane for slab in box.slabs(plane, quality))
    reported = [nodule for nodule in nodules if nodule.reported]
    return Pictures(slabs, tuple(_first_look(slabs, plane, reported) for plane in Plane))


@dataclass(frozen=True, slots=True, eq=False)
class _LungBox:
    """The part of a volume around the lungs; its axes run head to feet, front to back, right to left.

    Attributes
    ----------
    hu : (Z, Y, X) int16 ndarray
        A view of the volume.
    centre_mm : Point
        Centre of voxel (0, 0, 0).
    axes : (3, 3) ndarray
        Row i is the unit vector along axis i, close to (-z, +y, +x).
    spacing_mm : tuple
        Along (Z, Y, X).
    """

    hu: NDArray[np.int16]
    centre_mm: Point
    axes: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]

    @classmethod
    def around(cls, volume: Volume, lungs: NDArray[np.uint8]) -> Self:
        """Cut the box out of a volume of any orientation."""
        starts, stops = _bounds(lungs, volume.spacing_mm)
        order, flips = _turn(volume.axes)
        corner = np.where(
            flips, stops - 1, starts
        )  # what becomes voxel (0, 0, 0), in array axes of the volume
        box = volume.hu[tuple(slice(start, stop) for start, stop in zip(starts, stops, strict=True))]
        box = np.flip(box, tuple(np.flatnonzero(flips))).transpose(order)
        signs = np.where(flips, -1.0, 1.0)[:, None]
        x, y, z = points_mm(volume, corner[None].astype(np.float64))[0]
        spacing = np.asarray(volume.spacing_mm)[order]
        return cls(
            hu=box,
            centre_mm=(float(x), float(y), float(z)),
            axes=(volume.axes * signs)[order],
            spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        )

    def slabs(self, plane: Plane, quality: int) -> list[Slab]:
        """Return the slabs of one plane, end to end."""
        across, down, right = {
            Plane.AXIAL: (0, 1, 2),
            Plane.CORONAL: (1, 0, 2),
            Plane.SAGITTAL: (2, 0, 1),
        }[plane]
        extent_mm = self.hu.shape[across] * self.spacing_mm[across]
        count = max(1, int(np.ceil(extent_mm / SLAB_MM)))
        # Slab k holds the voxels whose centre lies in its 10 mm; spacing is never coarser than that.
        starts = np.ceil(np.arange(count) * SLAB_MM / self.spacing_mm[across] - 0.5).astype(int)
        starts = np.unique(starts.clip(0, self.hu.shape[across] - 1))
        stops = np.append(starts[1:], self.hu.shape[across])
        projections = _projections(self.hu, starts, stops, across)
        pixel_mm = max(self.spacing_mm[2], SMALLEST_PIXEL_MM)
        return [
            self._slab(
                plane,
                grey=_window(projections[number]),
                axes=(across, down, right),
                middle=(start + stop - 1) / 2,
                thickness_mm=(stop - start) * self.spacing_mm[across],
                pixel_mm=pixel_mm,
                quality=quality,
            )
            for number, (start, stop) in enumerate(zip(starts, stops, strict=True))
        ]

    def _slab(
        self,
        plane: Plane,
        *,
        grey: NDArray[np.uint8],
        axes: tuple[int, int, int],
        middle: float,
        thickness_mm: float,
        pixel_mm: float,
        quality: int,
    ) -> Slab:
        """Scale one projection to square pixels, encode it and say where it lies."""
        across, down, right = axes
        height = max(1, round(grey.shape[0] * self.spacing_mm[down] / pixel_mm))
        width = max(1, round(grey.shape[1] * self.spacing_mm[right] / pixel_mm))
        image = Image.fromarray(grey)
        if (width, height) != image.size:
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        centre = (
            np.asarray(self.centre_mm)
            + self.axes[across] * middle * self.spacing_mm[across]
            # A resized picture keeps its outer edge, so its first pixel's centre moves.
            + self.axes[down] * (pixel_mm - self.spacing_mm[down]) / 2
            + self.axes[right] * (pixel_mm - self.spacing_mm[right]) / 2
        )
        return Slab(
            plane=plane,
            centre_mm=_point(centre),
            right=_point(self.axes[right]),
            down=_point(self.axes[down]),
            pixel_mm=pixel_mm,
            width=width,
            height=height,
            thickness_mm=float(thickness_mm),
            jpeg=buffer.getvalue(),
        )


def _bounds(
    lungs: NDArray[np.uint8], spacing_mm: Sequence[float]
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return the first voxel, and the one after the last, of the lungs and their margin."""
    footprint: NDArray[np.bool_] = np.any(lungs, axis=0)
    if not footprint.any():
        raise ValueError("there is no lung to draw")
    lines: list[NDArray[np.bool_]] = [
        np.any(lungs, axis=(1, 2)),
        np.any(footprint, axis=1),
        np.any(footprint, axis=0),
    ]
    starts, stops = [], []
    for line, step_mm in zip(lines, spacing_mm, strict=True):
        inside = np.flatnonzero(line)
        margin = round(MARGIN_MM / step_mm)
        starts.append(max(0, int(inside[0]) - margin))
        stops.append(min(len(line), int(inside[-1]) + 1 + margin))
    return np.array(starts), np.array(stops)


def _turn(axes: NDArray[np.float64]) -> tuple[list[int], NDArray[np.bool_]]:
    """Return which array axis runs along z, y and x, and which of the volume's axes must be reversed."""
    towards_z = int(np.argmax(np.abs(axes[:, 2])))
    rest = [axis for axis in range(3) if axis != towards_z]
    towards_y = max(rest, key=lambda axis: abs(axes[axis, 1]))
    towards_x = next(axis for axis in rest if axis != towards_y)
    flips = np.zeros(3, dtype=bool)
    flips[towards_z] = axes[towards_z, 2] > 0  # pictures have the head at the top
    flips[towards_y] = axes[towards_y, 1] < 0
    flips[towards_x] = axes[towards_x, 0] < 0
    return [towards_z, towards_y, towards_x], flips


def _projections(
    hu: NDArray[np.int16], starts: NDArray[np.int_], stops: NDArray[np.int_], across: int
) -> list[NDArray[np.int16]]:
    """Return the maximum of each slab along an axis."""
    if across == int(np.argmin(np.abs(hu.strides))):  # along the memory, where `reduceat` is the faster
        together = np.maximum.reduceat(hu, starts, axis=across)
        return [np.take(together, number, axis=across) for number in range(len(starts))]
    before: tuple[slice, ...] = (slice(None),) * across
    return [hu[*before, start:stop].max(axis=across) for start, stop in zip(starts, stops, strict=True)]


def _window(hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    low, high = WINDOW_HU
    return ((np.clip(hu, low, high) - low) * (255 / (high - low)) + 0.5).astype(np.uint8)


def _first_look(slabs: Sequence[Slab], plane: Plane, nodules: Sequence[Nodule]) -> int:
    """Return the slab of a plane with most nodules; among equals the one with most lung.

    Lung is where a picture has detail, and detail is what takes bytes.
    """
    numbers = [number for number, slab in enumerate(slabs) if slab.plane is plane]
    return max(numbers, key=lambda number: (sum(map(slabs[number].shows, nodules)), len(slabs[number].jpeg)))


def _point(values: Sequence[float] | NDArray[np.float64]) -> Point:
    x, y, z = values
    return float(x), float(y), float(z)


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name)  # dated 1980: the same pictures are the same bytes
