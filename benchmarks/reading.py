"""What radiologists marked in the scans of LIDC-IDRI: which marks are one nodule, and of how many readers."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging.insertion import InsertedNodule
from imaging.training.hits import READ_MM

__all__ = ["OUTLINED", "SMALLER", "readers_nodules"]

OUTLINED, SMALLER = "3 mm and more", "under 3 mm"  # as readers tell nodules (Armato 2011)


def readers_nodules(path: Path, patient: str) -> list[tuple[InsertedNodule, str, int]]:
    """Return what readers marked as nodules, each with its kind and how many of them did.

    Marks of one nodule lie within its radius and `READ_MM` of each other. Its diameter, mm, is the mean of
    those that outlined it; readers give none below 3 mm (Armato 2011, Med Phys 38:915), where 3 mm stands.
    """
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["patient"] == patient]
    groups: list[list[dict[str, str]]] = []
    for row in sorted(rows, key=lambda row: row["kind"]):  # those that are outlined first
        if row["kind"] == "non_nodule_ge3mm":
            continue
        for group in groups:
            reach_mm = _outlined_mm(group) / 2 + READ_MM
            if np.linalg.norm(_middle_mm(group) - _middle_mm([row])) < reach_mm:
                group.append(row)
                break
        else:
            groups.append([row])
    told = []
    for group in groups:
        x, y, z = _middle_mm(group).tolist()
        kind = OUTLINED if any(row["equiv_sphere_diam_mm"] for row in group) else SMALLER
        told.append(
            (InsertedNodule((x, y, z), _outlined_mm(group), 0.0), kind, len({r["reader"] for r in group}))
        )
    return told


def _middle_mm(group: list[dict[str, str]]) -> NDArray[np.float64]:
    return np.array([[float(row[f"{axis}_lps_mm"]) for axis in "xyz"] for row in group]).mean(axis=0)


def _outlined_mm(group: list[dict[str, str]]) -> float:
    sizes = [float(row["equiv_sphere_diam_mm"]) for row in group if row["equiv_sphere_diam_mm"]]
    return float(np.mean(sizes)) if sizes else 3.0
