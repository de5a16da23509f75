"""Is there something where a nodule should be? Asked of the image, not of the detector.

A detector misses one nodule in four and marks a few that are none, and not the same ones in every scan: by
its marks alone disease would come and go. So a mark without a partner is looked for in the other image: how
far its place stands out from the lung around, there and here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.geometry import index_of
from records.model import Volume

__all__ = ["Look", "look"]

FloatArray = NDArray[np.float64]

LEAST_RADIUS_MM = 1.0  # a smaller ball holds too few voxels to average
SHELL_MM = (2.0, 3.0, 4.0)  # from the nodule's edge, where its own blur has ended
DIRECTIONS = 40
AIR_HU = -500.0  # parenchyma that holds air is darker
PADDING_HU = -1023.0  # and no parenchyma is as dark as what fills a plane outside the reconstructed field
MOST_PADDING = 0.25  # of a shell


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What an image shows at some places, an entry a place.

    Attributes
    ----------
    contrast_hu : (N,) ndarray
        Mean over the nodule's ball, above the parenchyma around it; the largest within the slack.
    air_share : (N,) ndarray
        Of the shell around it.
    is_covered : (N,) bool ndarray
        The place and all around it lie inside the image, and inside the field that was reconstructed.
    """

    contrast_hu: FloatArray
    air_share: FloatArray
    is_covered: NDArray[np.bool_]


def look(
    volume: Volume,
    centres_mm: FloatArray,
    radii_mm: FloatArray,
    *,
    to_image: Callable[[FloatArray], FloatArray] = lambda points_mm: points_mm,
    slack_mm: float = 0.0,
) -> Look:
    """Look at some places of an image.

    Parameters
    ----------
    volume : Volume
    centres_mm : (N, 3) ndarray
        LPS.
    radii_mm : (N,) ndarray
        Of the balls to look at.
    to_image : callable
        Where (M, 3) places lie in the image; the places themselves if it is left out.
    slack_mm : float
        How far off the ball may be: it is moved so far along each axis, to both sides.
    """
    count = len(centres_mm)
    if not count:
        return Look(np.zeros(0), np.zeros(0), np.zeros(0, bool))
    shell = np.concatenate([_directions(DIRECTIONS)] * len(SHELL_MM))
    reach = np.repeat(SHELL_MM, DIRECTIONS)
    around = centres_mm[:, None] + shell * (radii_mm[:, None] + reach)[..., None]
    around_hu, covered = _read(volume, around.reshape(-1, 3), to_image)
    around_hu = around_hu.reshape(count, -1)
    # Vessels and chest wall cross the shell: the parenchyma is its darker half.
    parenchyma_hu = np.quantile(around_hu, 0.3, axis=1)
    ball = _ball() * np.maximum(radii_mm, LEAST_RADIUS_MM)[:, None, None]
    shifts = np.vstack([np.zeros(3), np.eye(3), -np.eye(3)]) * slack_mm if slack_mm else np.zeros((1, 3))
    inside = centres_mm[:, None, None] + shifts[:, None] + ball[:, None]
    inside_hu, _ = _read(volume, inside.reshape(-1, 3), to_image)
    ball_hu = inside_hu.reshape(count, len(shifts), -1).mean(axis=2).max(axis=1)
    return Look(
        ball_hu - parenchyma_hu,
        (around_hu < AIR_HU).mean(axis=1),
        np.asarray(
            covered.reshape(count, -1).all(axis=1) & ((around_hu <= PADDING_HU).mean(axis=1) <= MOST_PADDING),
            bool,
        ),
    )


def _read(
    volume: Volume, points_mm: FloatArray, to_image: Callable[[FloatArray], FloatArray]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the HU at (M, 3) places, linearly interpolated, and whether each lies in the image."""
    index = index_of(volume, to_image(points_mm))
    hu = ndimage.map_coordinates(volume.hu, index.T, output=np.float64, order=1, mode="nearest")
    covered = np.all((index >= 0) & (index <= np.array(volume.hu.shape) - 1), axis=1)
    return np.asarray(hu), covered


def _directions(count: int) -> FloatArray:
    """Return unit vectors spread evenly over the sphere, on a spiral by the golden angle."""
    height = 1 - (2 * np.arange(count) + 1) / count
    turn = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    flat = np.sqrt(1 - height * height)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), height], axis=1)


def _ball() -> FloatArray:
    """Return points that fill the unit ball evenly."""
    line = np.linspace(-0.8, 0.8, 5)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(points[np.linalg.norm(points, axis=1) <= 1.0])
