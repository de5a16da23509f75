"""Which marks are whose: what a detector's marks are worth beside the nodules that were put into a scan."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from imaging.insertion import InsertedNodule
from records.model import Nodule

__all__ = ["are_false", "near_read", "own_marks"]

HIT_MM = 1.5  # a mark this near the centre of a nodule, or within its radius, has found it
BESIDE_MM = 2.5  # past the edge of a nodule a mark is neither its own nor false
READ_MM = 5.0  # and past one that readers marked


def _tree(marks: Sequence[Nodule]) -> cKDTree:
    return cKDTree(np.array([mark.centre_mm for mark in marks]).reshape(-1, 3))


def own_marks(truth: Sequence[InsertedNodule], marks: Sequence[Nodule]) -> NDArray[np.int64]:
    """Return the most probable mark at each nodule, -1 where there is none."""
    tree = _tree(marks)
    near = [tree.query_ball_point(n.centre_mm, max(n.diameter_mm / 2, HIT_MM)) for n in truth]
    return np.array([max(some, key=lambda m: marks[m].probability) if some else -1 for some in near], int)


def near_read(marks: Sequence[Nodule], read: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which marks lie at one of the places read by people, (M, 4): LPS mm and diameter mm."""
    tree, out = _tree(marks), np.zeros(len(marks), bool)
    for x, y, z, diameter_mm in read.tolist():
        out[tree.query_ball_point((x, y, z), diameter_mm / 2 + READ_MM)] = True
    return out


def are_false(
    truth: Sequence[InsertedNodule], marks: Sequence[Nodule], read: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Say which marks lie at no nodule, neither at an inserted one nor at one that readers marked."""
    tree, out = _tree(marks), ~near_read(marks, read)
    for one in truth:
        out[tree.query_ball_point(one.centre_mm, one.diameter_mm / 2 + BESIDE_MM)] = False
    return out
