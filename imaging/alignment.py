"""Where a place of one scan lies in another scan of the same patient, and how well that is known.

The map has two parts: an affine one, for how the patient lies and how deeply he breathes, and a smooth
displacement on a grid over the lungs of the baseline scan, for the rest. It is two small arrays, so a single
point costs microseconds, and it is kept on disk as plain arrays.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

__all__ = ["Alignment", "Quality", "Warp", "invert"]

FloatArray = NDArray[np.float64]

LEAST_OVERLAP = 0.85  # Dice of the lungs; a moderate effusion on one side still leaves 0.9
MOST_RESIDUAL_MM = 2.0  # median; lungs of two patients: 4.2 to 4.7 mm, chance within the range searched
LEAST_FOUND_SHARE = 0.6  # of the vessel points; lungs of two patients: 0.20 to 0.30, of one 0.92 and more
LEAST_POINTS = 40
INVERSION_ROUNDS = 40


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """A displacement on a grid along the patient's axes, linear between its points, as at its edge beyond.

    Attributes
    ----------
    low_mm : (3,) ndarray
        The first grid point, LPS.
    step_mm : float
        Between grid points, along all axes.
    vectors_mm : (planes, rows, columns, 3) float32 ndarray
        Displacement (x, y, z) at each grid point; planes run along z, columns along x.
    """

    low_mm: FloatArray
    step_mm: float
    vectors_mm: NDArray[np.float32]

    def at(self, points_mm: FloatArray) -> FloatArray:
        """Return the displacement at (N, 3) points, (N, 3) mm."""
        index = ((points_mm - self.low_mm) / self.step_mm)[:, ::-1].T
        parts = (
            ndimage.map_coordinates(self.vectors_mm[..., axis], index, order=1, mode="nearest")
            for axis in range(3)
        )
        return np.stack(list(parts), axis=1).astype(np.float64)

    @property
    def grid_mm(self) -> FloatArray:
        """The grid points, (planes * rows * columns, 3), LPS."""
        index = np.indices(self.vectors_mm.shape[:3]).reshape(3, -1).T[:, ::-1]
        return np.asarray(self.low_mm + self.step_mm * index)

    def with_vectors(self, vectors_mm: FloatArray) -> "Warp":
        """Return a warp on the same grid."""
        return Warp(self.low_mm, self.step_mm, vectors_mm.reshape(self.vectors_mm.shape).astype(np.float32))


def invert(warp: Warp) -> Warp:
    """Return the displacement that leads back, on the same grid.

    Found by fixed-point iteration (Chen 2008, Med Phys 35:81), which converges where the displacement
    changes by less than a millimetre a millimetre.
    """
    goal = warp.grid_mm
    found = goal.copy()
    for _ in range(INVERSION_ROUNDS):
        change = goal - (found + warp.at(found))
        found += change
        if float(np.abs(change).max()) < 0.01:
            break
    return warp.with_vectors(found - goal)


@dataclass(frozen=True, slots=True)
class Quality:
    """How good an alignment is, measured on the images.

    Attributes
    ----------
    lung_overlap : float
        Dice coefficient of the follow-up's lungs and the baseline's, carried over.
    vessel_points : int
        Distinct places deep in the lungs that were looked for again; none of them shaped the alignment.
    found_share : float
        Of those, how many look alike at a place within the range searched, not at its border.
    residual_mm, residual_p95_mm : float or None
        Median and 95th percentile of how far off the found points lie; None if none was found.
    """

    lung_overlap: float
    vessel_points: int
    found_share: float
    residual_mm: float | None
    residual_p95_mm: float | None

    @property
    def fault(self) -> str:
        """What speaks against the alignment, a sentence; empty if it is good."""
        if self.lung_overlap < LEAST_OVERLAP:
            return (
                f"the lungs overlap by {self.lung_overlap:.2f} after alignment, "
                f"at least {LEAST_OVERLAP:.2f} is needed"
            )
        if self.vessel_points < LEAST_POINTS:
            return (
                f"only {self.vessel_points} distinct vessel points were found deep in the baseline's lungs, "
                f"at least {LEAST_POINTS} are needed to check the alignment"
            )
        if self.residual_mm is None or self.found_share < LEAST_FOUND_SHARE:
            return (
                f"only {100 * self.found_share:.0f} % of the vessel points look alike in both scans, "
                f"at least {100 * LEAST_FOUND_SHARE:.0f} % is needed: another patient, or lungs that changed"
            )
        if self.residual_mm > MOST_RESIDUAL_MM:
            return (
                f"vessels lie {self.residual_mm:.1f} mm apart after alignment (median), "
                f"at most {MOST_RESIDUAL_MM:.1f} mm is accepted"
            )
        return ""


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """The map between the lungs of two scans of one patient.

    Attributes
    ----------
    matrix : (3, 3) ndarray
    offset_mm : (3,) ndarray
        `follow_up = matrix @ (baseline + forward(baseline)) + offset_mm`.
    forward, backward : Warp
        Each leads back from where the other leads to; both on one grid over the baseline's lungs.
    quality : Quality
    """

    matrix: FloatArray
    offset_mm: FloatArray
    forward: Warp
    backward: Warp
    quality: Quality

    @property
    def is_good(self) -> bool:
        """Whether nodules may be matched by it."""
        return not self.quality.fault

    @property
    def reason(self) -> str:
        """Why the alignment is not good, a sentence; empty if it is."""
        return self.quality.fault

    def to_follow_up(self, points_mm: ArrayLike) -> FloatArray:
        """Return where places of the baseline scan lie in the follow-up.

        Parameters
        ----------
        points_mm : (N, 3) or (3,) array_like
            LPS, mm.

        Returns
        -------
        ndarray
            Of the same shape. Outside the lungs the map goes on smoothly and says little.
        """
        points = np.asarray(points_mm, np.float64)
        flat = points.reshape(-1, 3)
        moved = (flat + self.forward.at(flat)) @ self.matrix.T + self.offset_mm
        return np.asarray(moved.reshape(points.shape))

    def to_baseline(self, points_mm: ArrayLike) -> FloatArray:
        """Return where places of the follow-up scan lie in the baseline: `to_follow_up` undone."""
        points = np.asarray(points_mm, np.float64)
        flat = (points.reshape(-1, 3) - self.offset_mm) @ np.linalg.inv(self.matrix).T
        return np.asarray((flat + self.backward.at(flat)).reshape(points.shape))

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the alignment as plain arrays, for `numpy.savez`."""
        q = self.quality
        return {
            "matrix": self.matrix,
            "offset_mm": self.offset_mm,
            "grid_low_mm": self.forward.low_mm,
            "grid_step_mm": np.array(self.forward.step_mm),
            "forward_mm": self.forward.vectors_mm,
            "backward_mm": self.backward.vectors_mm,
            "quality": np.array(
                [
                    q.lung_overlap,
                    q.vessel_points,
                    q.found_share,
                    np.nan if q.residual_mm is None else q.residual_mm,
                    np.nan if q.residual_p95_mm is None else q.residual_p95_mm,
                ]
            ),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Alignment":
        """Return the alignment that `to_arrays` took apart; read them with `allow_pickle=False`.

        Raises
        ------
        ValueError
            If arrays are missing or of the wrong shape.
        """
        names = ("matrix", "offset_mm", "grid_low_mm", "grid_step_mm", "forward_mm", "backward_mm", "quality")
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(f"an alignment needs the arrays {', '.join(missing)}")
        matrix, offset, low = (np.asarray(arrays[name], np.float64) for name in names[:3])
        forward, backward = (np.asarray(arrays[name], np.float32) for name in names[4:6])
        measured = np.asarray(arrays["quality"], np.float64)
        is_map = forward.ndim == 4 and forward.shape[-1] == 3 and forward.shape == backward.shape
        shapes = (matrix.shape, offset.shape, low.shape, measured.shape)
        if not is_map or shapes != ((3, 3), (3,), (3,), (5,)):
            raise ValueError("the arrays are no alignment: their shapes do not fit")
        step = float(np.asarray(arrays["grid_step_mm"], np.float64).reshape(()))
        overlap, points, share, residual, high = measured.tolist()
        return cls(
            matrix,
            offset,
            Warp(low, step, forward),
            Warp(low, step, backward),
            Quality(
                overlap,
                int(points),
                share,
                None if np.isnan(residual) else residual,
                None if np.isnan(high) else high,
            ),
        )
