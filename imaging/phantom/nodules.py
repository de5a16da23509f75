"""Nodules of known place, size and density, scattered through the lungs at random."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imaging.phantom.anatomy import Anatomy
from records.model import Side

__all__ = ["NoduleSpec", "NoduleTruth", "place_nodules", "treated"]

FloatArray = NDArray[np.float64]

TRIES_PER_NODULE = 60  # the lungs fill about a seventh of the box that places are drawn from


@dataclass(frozen=True, slots=True)
class NoduleTruth:
    """A nodule that was drawn: a ball."""

    centre_mm: tuple[float, float, float]  # LPS
    diameter_mm: float
    hu: float
    side: Side


@dataclass(frozen=True, slots=True)
class NoduleSpec:
    """How many nodules to draw, where, and of what kind."""

    count: int
    diameter_mm: tuple[float, float] = (1.5, 5.0)
    hu: tuple[float, float] = (-60.0, 60.0)
    sides: tuple[Side, ...] = (Side.RIGHT, Side.LEFT)
    gap_mm: float = 1.0  # of lung between two nodules, so that they are discrete


def place_nodules(spec: NoduleSpec, anatomy: Anatomy, *, rng: np.random.Generator) -> tuple[NoduleTruth, ...]:
    """Scatter balls uniformly through the lungs, none touching another or crossing the pleura.

    Parameters
    ----------
    spec : NoduleSpec
    anatomy : Anatomy
    rng : Generator

    Returns
    -------
    tuple of NoduleTruth
        In the patient's own frame. Haematogenous nodules ignore vessels, so these may touch one.

    Raises
    ------
    ValueError
        If so many nodules do not fit.
    """
    grid = anatomy.grid
    low = np.asarray(grid.low_mm)
    high = low + grid.step_mm * (np.array(grid.shape[::-1]) - 1)
    centres, radii = np.empty((0, 3)), np.empty(0)
    placed: list[NoduleTruth] = []
    for _ in range(TRIES_PER_NODULE * spec.count + 1):
        if len(placed) == spec.count:
            return tuple(placed)
        place = low + (high - low) * rng.random(3)
        # Most nodules of a shower are small: a right-skewed draw between the two ends.
        diameter = spec.diameter_mm[0] + (spec.diameter_mm[1] - spec.diameter_mm[0]) * rng.beta(1.8, 2.6)
        hu = rng.uniform(*spec.hu)
        side = Side.RIGHT if place[0] < 2.0 else Side.LEFT
        radius = diameter / 2
        if side not in spec.sides or grid.sample(anatomy.lungs, place[None])[0] > -(radius + 0.5):
            continue
        gaps = np.sqrt(np.sum((centres - place) ** 2, axis=1)) - radii - radius
        if np.any(gaps < spec.gap_mm):
            continue
        centres, radii = np.vstack([centres, place]), np.append(radii, radius)
        x, y, z = place.tolist()
        placed.append(NoduleTruth((x, y, z), float(diameter), float(hu), side))
    raise ValueError(f"{spec.count} nodules do not fit: {len(placed)} were placed, {spec.gap_mm} mm apart")


def treated(
    nodules: tuple[NoduleTruth, ...], *, left: int, rng: np.random.Generator
) -> tuple[NoduleTruth, ...]:
    """Return what treatment leaves: the largest few, shrunken and faded; the rest are gone."""
    order = sorted(nodules, key=lambda n: -n.diameter_mm)[: 3 * left]
    chosen = [order[i] for i in np.sort(rng.choice(len(order), size=min(left, len(order)), replace=False))]
    return tuple(
        replace(n, diameter_mm=n.diameter_mm * rng.uniform(0.35, 0.5), hu=n.hu - rng.uniform(100, 250))
        for n in chosen
    )
