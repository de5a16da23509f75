"""How a model answers to nodules of every visibility, and to lungs without any: what a census is read by."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from imaging.background import CLASSES, USUAL
from imaging.census import Marks, estimate
from imaging.count import INTERVAL, NORMAL_90
from imaging.response import MARK_EDGES, VISIBILITIES, Response
from imaging.sight import Sight

__all__ = ["Condition", "Trial", "measure_response", "measure_speckles"]

Floats = NDArray[np.float64]

FALSE_MARKS = (40.0, 20.0, 7.0)  # a clean lung, of the evidence from which each band begins
FOUND_WIDTH, MEASURED_WIDTH = 0.08, 0.15  # of the windows averaged over, logarithm of visibility
LEAST_IN_WINDOW = 4.0
STEADY = 10.0  # nodules of a band as a whole that are added to each window
WILD = 0.2  # a measured visibility further off is another thing's
LEAST_SPREAD = 0.03
FALSE_SPREAD = (0.9, 1.4)  # four patients tell their spread only so well
SHARED = 10.0  # marks that a band takes over from all bands together
TAME = 0.15  # spread of what lies behind nodules, of the logarithm, where few nodules tell
UNEXPLAINED = (0.15, 0.40)  # fifteen crowds tell it only so well: 74 simulated studies asked for 0.14


class Condition(StrEnum):
    """What a test scan is."""

    PLAIN = "plain"  # a scan as it is, with nodules of all sizes and contrasts or none
    CROWD = "crowd"  # with nodules as of one disease
    EMPHYSEMA = "emphysema"
    NOISE = "noise"


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
    condition : Condition
        Of the lungs or the nodules.
    diameter_mm, hu, visibility : (T,) ndarray
        Of the nodules that are there.
    behind : (T,) int ndarray
        Class of the lung that each was put into (`imaging.background`).
    lung : (C,) ndarray
        How much of the lungs lies in each class.
    sight : Sight
        Of the scan.
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
    condition: Condition
    diameter_mm: Floats
    hu: Floats
    visibility: Floats
    behind: NDArray[np.int64]
    lung: Floats
    sight: Sight
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
    """Return the table that `imaging.speckle.NormalSpeckle` reads, of lungs as they are."""
    plain = [one for one in tested if not one.nodules and one.condition is Condition.PLAIN]
    clean = np.array([one.speckle_hu2 for one in plain])
    return {"mean_hu2": round(float(clean.mean()), 1), "spread_hu2": round(float(clean.std(ddof=1)), 1)}


def measure_response(tested: Sequence[Trial]) -> dict[str, Any]:
    """Return the tables that `imaging.response.Response` reads.

    Parameters
    ----------
    tested : sequence of Trial
        Some of scans with nodules, some of clean ones, of three patients at least.
    """
    return _tables(tested) | {"unexplained": round(_unexplained(tested), 3)}


def _tables(tested: Sequence[Trial]) -> dict[str, Any]:
    clean = [one for one in tested if not one.nodules]
    edges = _edges(clean)
    visibility = np.log(np.concatenate([one.visibility for one in tested]))
    evidence = np.concatenate([one.evidence for one in tested])
    measured = np.concatenate([one.measured for one in tested])
    class_behind = np.concatenate([one.behind for one in tested])
    band = np.searchsorted(edges, evidence, side="right") - 1
    behind = _behind(visibility, class_behind, band >= 0)
    seen_as = visibility + behind[class_behind]
    everyone = np.ones(len(band))
    found = [_averaged(seen_as, band == b, everyone, FOUND_WIDTH) for b in range(len(edges))]
    off = np.where(band >= 0, np.log(np.where(band >= 0, measured, 1.0)) - visibility, 0.0)
    bias, spread = [], []
    for b in range(len(edges)):
        inside = ((band == b) & (np.abs(off) < WILD)).astype(float)
        bias.append(_averaged(visibility, off, inside, MEASURED_WIDTH, STEADY))
        stray = off - np.interp(visibility, np.log(VISIBILITIES), bias[-1])
        spread.append(np.sqrt(_averaged(visibility, stray**2, inside, MEASURED_WIDTH, STEADY)))
    totals = [np.log((_cells(one, edges).sum() + 0.5) / one.sight.clutter) for one in clean]
    return {
        "edges": np.round(edges, 3).tolist(),
        "found": np.round(np.stack(found, axis=1), 4).tolist(),
        "behind": np.round(behind, 3).tolist(),
        "bias": np.round(np.stack(bias, axis=1), 4).tolist(),
        "spread": np.round(np.maximum(np.stack(spread, axis=1), LEAST_SPREAD), 4).tolist(),
        "false_marks": np.round(_false_marks(clean, edges), 4).tolist(),
        "false_spread": round(float(np.clip(np.std(totals, ddof=1), *FALSE_SPREAD)), 3),
    }


def _behind(visibility: Floats, class_behind: NDArray[np.int64], is_found: NDArray[np.bool_]) -> Floats:
    """Return by how much nodules before each class of lung are found as if they were more visible, (C,).

    A logistic curve over the logarithm of visibility is moved for each class; the class that most of the
    lungs lie in stays where it is.
    """
    before = np.eye(CLASSES)[class_behind]

    def misfit(at: Floats) -> tuple[float, Floats]:
        steepness, middle, moved = at[0], at[1], at[2:]
        where = visibility - middle + before @ moved
        logit = steepness * where
        wrong = 1 / (1 + np.exp(-logit)) - is_found
        down = np.concatenate([[wrong @ where, -steepness * wrong.sum()], steepness * (wrong @ before)])
        down[2:] += moved / TAME**2
        value = (np.logaddexp(0, logit) - is_found * logit).sum() + 0.5 * (moved / TAME) @ (moved / TAME)
        return float(value), down

    start = np.concatenate([[6.0, float(np.median(visibility))], np.zeros(CLASSES)])
    moved = minimize(misfit, start, jac=True).x[2:]
    return np.asarray(moved - moved[USUAL])


def _unexplained(tested: Sequence[Trial]) -> float:
    """Return how far the censuses of each patient are off when read by what the others taught.

    So far that with what their own intervals account for, nine of ten crowds are held; a patient never tells
    of himself. The spread of the logarithm.
    """
    excess = []
    for patient in sorted({one.patient for one in tested if one.condition is Condition.CROWD}):
        others = _tables([one for one in tested if one.patient != patient])
        response = Response.of({"response": others | {"unexplained": UNEXPLAINED[0]}})
        for one in tested:
            if one.patient == patient and one.condition is Condition.CROWD:
                count, _ = estimate(one.marks, one.sight, response.within(one.lung))
                told = np.log(count.high / count.low) / (2 * NORMAL_90)
                off = np.log(count.value / len(one.own)) / NORMAL_90
                excess.append(off**2 - told**2 + UNEXPLAINED[0] ** 2)
    if not excess:
        return UNEXPLAINED[1]
    squared = np.quantile(excess, INTERVAL)
    return float(np.sqrt(np.clip(squared, UNEXPLAINED[0] ** 2, UNEXPLAINED[1] ** 2)))


def _edges(clean: Sequence[Trial]) -> Floats:
    """Return the evidence above which a clean scan has `FALSE_MARKS`, ascending.

    None lies below what every scan tells: of a clean lung only the likelier candidates are measured.
    """
    pooled = np.sort(np.concatenate([one.marks.evidence[one.is_false] for one in clean]))[::-1]
    at = [min(round(marks * len(clean)), len(pooled) - 1) for marks in FALSE_MARKS]
    told = max(one.marks.told for one in clean)
    return np.unique(np.maximum(pooled[at], told))


def _averaged(at: Floats, values: NDArray[Any], weight: Floats, width: float, steady: float = 0.0) -> Floats:
    """Return the weighted mean of values in a Gaussian window about each of `VISIBILITIES`.

    Where hardly any nodule lies in the window, what the neighbours say goes on; with `steady`, so many of the
    mean of all are added to every window.
    """
    grid = np.log(VISIBILITIES)
    windows = np.exp(-0.5 * ((at[None] - grid[:, None]) / width) ** 2) * weight
    within = windows.sum(axis=1) + steady
    total = windows @ values + steady * float(weight @ values) / max(float(weight.sum()), 1e-9)
    enough = within >= LEAST_IN_WINDOW
    return np.asarray(np.interp(grid, grid[enough], total[enough] / within[enough]))


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
    clutter = sum(one.sight.clutter for one in clean)
    law = cells.sum(axis=0) + 0.5
    law /= law.sum()
    bands = cells.sum(axis=1, keepdims=True)
    return np.asarray((cells + SHARED * law) / (bands + SHARED) * np.maximum(bands, 0.5) / clutter)
