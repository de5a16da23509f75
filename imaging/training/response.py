"""How a model answers to nodules of every visibility, and to lungs without any: what a census is read by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.census import MARK_EDGES, VISIBILITIES, Marks

__all__ = ["Trial", "measure_response", "measure_speckles"]

Floats = NDArray[np.float64]

FALSE_MARKS = (40.0, 20.0, 7.0, 2.0, 0.7)  # a clean lung, of the evidence from which each band begins
FOUND_WIDTH, MEASURED_WIDTH = 0.08, 0.10  # of the windows averaged over, logarithm of visibility
LEAST_IN_WINDOW = 4.0
WILD = 0.6  # a measured visibility further off is another thing's
LEAST_SPREAD = 0.06
FALSE_SPREAD = (0.6, 1.2)  # a handful of lungs tells their spread only so well
SHARED = 10.0  # marks that a band takes over from all bands together


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """How one test scan came out.

    Attributes
    ----------
    patient : str
    slices : str
        "thin" or "thick".
    nodules : int
        Inserted on purpose; 0 of a clean scan.
    diameter_mm, hu, visibility : (T,) ndarray
        Of the nodules that are there.
    clutter : float
        Of the scan (`imaging.census.Sight`).
    own : (T,) int ndarray
        The mark of each, -1 if it has none.
    marks : Marks
        All N, with
    probability : (N,) ndarray
        and
    is_false : (N,) bool ndarray
        Whether it lies at no nodule, neither inserted nor read.
    speckle_hu2 : float
        From `imaging.speckle.measure_speckle`; of a clean scan.
    """

    patient: str
    slices: str
    nodules: int
    diameter_mm: Floats
    hu: Floats
    visibility: Floats
    clutter: float
    own: NDArray[np.int64]
    marks: Marks
    probability: Floats
    is_false: NDArray[np.bool_]
    speckle_hu2: float

    @property
    def evidence(self) -> Floats:
        """Of the mark of each nodule; minus infinity where it has none."""
        return self._of_mark(self.marks.evidence, -np.inf)

    @property
    def found(self) -> Floats:
        """The probability of the mark of each nodule; 0 where it has none."""
        return self._of_mark(self.probability, 0.0)

    @property
    def measured(self) -> Floats:
        """Visibility of the mark of each nodule; not a number where it has none."""
        return self._of_mark(self.marks.visibility, np.nan)

    def _of_mark(self, values: Floats, none: float) -> Floats:
        return np.where(self.own >= 0, np.append(values, none)[self.own], none)


def measure_speckles(tested: Sequence[Trial]) -> dict[str, float]:
    """Return the table that `imaging.speckle.NormalSpeckle` reads."""
    clean = np.array([one.speckle_hu2 for one in tested if not one.nodules])
    return {"mean_hu2": round(float(clean.mean()), 1), "spread_hu2": round(float(clean.std(ddof=1)), 1)}


def measure_response(tested: Sequence[Trial]) -> dict[str, Any]:
    """Return the tables that `imaging.census.Response` reads.

    Parameters
    ----------
    tested : sequence of Trial
        Some of scans with nodules, some of clean ones.
    """
    clean = [one for one in tested if not one.nodules]
    edges = _edges(clean)
    visibility = np.log(np.concatenate([one.visibility for one in tested]))
    evidence = np.concatenate([one.evidence for one in tested])
    measured = np.concatenate([one.measured for one in tested])
    band = np.searchsorted(edges, evidence, side="right") - 1
    everyone = np.ones(len(band))
    found = [_averaged(visibility, band == b, everyone, FOUND_WIDTH) for b in range(len(edges))]
    seen = (band >= 0).astype(float)
    off = np.where(band >= 0, np.log(np.where(band >= 0, measured, 1.0)) - visibility, 0.0)
    bias = _averaged(visibility, off, seen, MEASURED_WIDTH)
    stray = np.clip(off - np.interp(visibility, np.log(VISIBILITIES), bias), -WILD, WILD)
    spread = np.sqrt(_averaged(visibility, stray**2, seen, MEASURED_WIDTH))
    totals = [np.log((_cells(one, edges).sum() + 0.5) / one.clutter) for one in clean]
    return {
        "edges": np.round(edges, 3).tolist(),
        "found": np.round(np.stack(found, axis=1), 4).tolist(),
        "bias": np.round(bias, 4).tolist(),
        "spread": np.round(np.maximum(spread, LEAST_SPREAD), 4).tolist(),
        "false_marks": np.round(_false_marks(clean, edges), 4).tolist(),
        "false_spread": round(float(np.clip(np.std(totals, ddof=1), *FALSE_SPREAD)), 3),
    }


def _edges(clean: Sequence[Trial]) -> Floats:
    """Return the evidence above which a clean scan has `FALSE_MARKS`, ascending.

    None lies below what every scan tells: of a clean lung only the likelier candidates are measured.
    """
    pooled = np.sort(np.concatenate([one.marks.evidence[one.is_false] for one in clean]))[::-1]
    at = [min(round(marks * len(clean)), len(pooled) - 1) for marks in FALSE_MARKS]
    told = max(one.marks.told for one in clean)
    return np.unique(np.maximum(pooled[at], told))


def _averaged(at: Floats, values: NDArray[Any], weight: Floats, width: float) -> Floats:
    """Return the weighted mean of values in a Gaussian window about each of `VISIBILITIES`.

    Where hardly any nodule lies in the window, what the neighbours say goes on.
    """
    grid = np.log(VISIBILITIES)
    windows = np.exp(-0.5 * ((at[None] - grid[:, None]) / width) ** 2) * weight
    within = windows.sum(axis=1)
    enough = within >= LEAST_IN_WINDOW
    return np.asarray(np.interp(grid, grid[enough], (windows @ values)[enough] / within[enough]))


def _cells(one: Trial, edges: Floats) -> Floats:
    """Return the false marks of a scan in each cell."""
    band, place = one.marks.cells(edges)
    out = np.zeros((len(edges), len(MARK_EDGES) - 1))
    inside = one.is_false & (band >= 0)
    np.add.at(out, (band[inside], place[inside]), 1.0)
    return out


def _false_marks(clean: Sequence[Trial], edges: Floats) -> Floats:
    """Return the false marks in each cell of a clean scan of usual clutter.

    The few of high evidence are spread over visibilities as all are.
    """
    cells = np.sum([_cells(one, edges) for one in clean], axis=0)
    clutter = sum(one.clutter for one in clean)
    law = cells.sum(axis=0) + 0.5
    law /= law.sum()
    bands = cells.sum(axis=1, keepdims=True)
    return np.asarray((cells + SHARED * law) / (bands + SHARED) * np.maximum(bands, 0.5) / clutter)
