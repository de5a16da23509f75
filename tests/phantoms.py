"""Shapes whose volume, place and contrast are known by formula, for everybody's tests.

Lengths are millimetres; arrays are `(plane, row, column)`; places are LPS, with the middle of the array at
the origin unless a test moves it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from records.model import Volume

Spacing = tuple[float, float, float]
SUBSAMPLES = 5  # a side of a voxel: a share is right to about a hundredth


def volume(hu, spacing_mm: Spacing, *, origin_mm=(0.0, 0.0, 0.0), thickness_mm=None) -> Volume:
    """Return an axial volume of these HU."""
    hu = np.asarray(np.rint(hu), np.int16)
    return Volume(
        hu=hu,
        origin_mm=origin_mm,
        axes=np.eye(3)[::-1].copy(),
        spacing_mm=spacing_mm,
        slice_thickness_mm=spacing_mm[0] if thickness_mm is None else thickness_mm,
        kernel="STANDARD",
        series_uid="2.25.1",
        frame_of_reference_uid="2.25.2",
        sop_instance_uids=tuple(f"2.25.3.{n}" for n in range(len(hu))),
    )


def centred_axes(shape, spacing_mm: Spacing):
    """Return coordinates along (plane, row, column), mm, zero in the middle, shaped to broadcast."""
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing_mm, strict=True)]
    return axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]


def shape_for(extent_mm, spacing_mm: Spacing) -> tuple[int, int, int]:
    """Return the smallest shape that spans `extent_mm` (plane, row, column)."""
    return tuple(int(np.ceil(e / s)) + 1 for e, s in zip(extent_mm, spacing_mm, strict=True))


def ellipsoid(
    *, radii_mm, spacing_mm: Spacing, shape=None, centre_mm=(0.0, 0.0, 0.0), margin_mm=4.0
) -> NDArray[np.float64]:
    """Return the share of each voxel inside an ellipsoid; `radii_mm` and `centre_mm` follow the array axes.

    Summed and multiplied by the voxel volume it gives 4/3 pi abc to within 1 % for radii over a voxel.
    """
    if shape is None:
        shape = shape_for([2 * (r + margin_mm) for r in radii_mm], spacing_mm)
    axes = centred_axes(shape, spacing_mm)
    steps = (np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5
    share = np.zeros(shape)
    for a in steps:
        for b in steps:
            for c in steps:
                reach = sum(
                    ((axis + step * width - centre) / radius) ** 2
                    for axis, step, width, centre, radius in zip(
                        axes, (a, b, c), spacing_mm, centre_mm, radii_mm, strict=True
                    )
                )
                share += reach <= 1
    return share / SUBSAMPLES**3


def ball(
    *, radius_mm: float, spacing_mm: Spacing, shape=None, centre_mm=(0.0, 0.0, 0.0), margin_mm=4.0
) -> NDArray[np.float64]:
    """Return the share of each voxel inside a ball."""
    return ellipsoid(
        radii_mm=(radius_mm,) * 3,
        spacing_mm=spacing_mm,
        shape=shape,
        centre_mm=centre_mm,
        margin_mm=margin_mm,
    )


@dataclass(frozen=True, slots=True, eq=False)
class SimpleLungs:
    """A body of two lungs: `volume`, and `labels` 0 none, 1 right, 2 left."""

    volume: Volume
    labels: NDArray[np.uint8]
    right_ml: float  # by formula
    left_ml: float


def simple_lungs(
    spacing_mm: Spacing = (5.0, 2.0, 2.0), *, lung_hu: float = -850.0, scale: float = 1.0
) -> SimpleLungs:
    """Return two ellipsoid lungs in an elliptic column of tissue, with a trachea above, in air.

    The right lung has half axes of 120, 75 and 62 mm (2.34 l), the left 115, 72 and 55 mm (1.91 l).
    """
    right, left = np.array([120.0, 75.0, 62.0]) * scale, np.array([115.0, 72.0, 55.0]) * scale
    shape = shape_for((300 * scale, 260 * scale, 360 * scale), spacing_mm)
    z, y, x = centred_axes(shape, spacing_mm)
    hu = np.full(shape, -1000.0)
    body = (x / (165 * scale)) ** 2 + (y / (110 * scale)) ** 2 <= 1
    hu[np.broadcast_to(body, shape)] = 40.0
    labels = np.zeros(shape, np.uint8)
    # The patient's right is at low x.
    for label, radii, sideways in ((1, right, -75.0), (2, left, 78.0)):
        share = ellipsoid(
            radii_mm=tuple(radii), spacing_mm=spacing_mm, shape=shape, centre_mm=(0.0, 0.0, sideways * scale)
        )
        hu += share * (lung_hu - hu)
        labels[share >= 0.5] = label
    trachea = (x**2 + (y - 10 * scale) ** 2 <= (9 * scale) ** 2) & (z >= 40 * scale)
    hu[np.broadcast_to(trachea, shape)] = -990.0
    corner = tuple(-(n - 1) / 2 * s for n, s in zip(shape, spacing_mm, strict=True))[::-1]
    return SimpleLungs(
        volume(hu, spacing_mm, origin_mm=corner),
        labels,
        *(float(4 / 3 * np.pi * np.prod(radii) / 1000) for radii in (right, left)),
    )
