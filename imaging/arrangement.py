"""How nodules lie to each other, to the pleura and to vessels, against chance inside these very lungs.

Blood-borne seeds fall anywhere; sarcoidosis follows lymphatics, at the pleura, fissures and vessels, in
clusters; what comes by the airways clusters about the lobules' centres and spares the pleura. Chance is what
as many places drawn at random in each zone of this patient's lungs show (Monte Carlo, seeded), so neither
the shape of the lungs nor a gradient from apex to base looks like a cluster.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from imaging.count import NORMAL_90
from imaging.geometry import Grid, index_of
from imaging.lungs import Lungs
from imaging.pattern import LARGE_MM
from imaging.zones import zone_numbers
from records.model import Arrangement, Estimate, Nodule

__all__ = ["describe_arrangement"]

LEAST_NODULES = 12  # fewer show no arrangement
SURE = 0.95  # probability of a nodule
LEAST_SURE = 50
NEAR_MM = 10.0  # within a secondary lobule and its neighbour
LEAST_PAIRS = (
    50.0  # by chance, within reach: they scatter by a seventh. Among fewer nodules one looks farther
)
PLEURAL_MM = 5.0
VASCULAR_MM = 3.0
DRAWS = 99
MOST_PLACES = 60_000  # drawn in all; profuse disease needs fewer draws to know chance as well
LEAST_DRAWS = 19

Points = NDArray[np.float64]


def describe_arrangement(
    nodules: Sequence[Nodule], grid: Grid, lungs: Lungs, vessel_mm: NDArray[np.float32]
) -> Arrangement | None:
    """Compare the nodules with chance.

    Parameters
    ----------
    nodules : sequence of Nodule
        Those that count.
    grid : Grid
        Of the scan.
    lungs : Lungs
    vessel_mm : (p, r, c) ndarray
        Distance to the vessels on the coarse grid of the lungs.

    Returns
    -------
    Arrangement or None
        None if there are fewer than 12 nodules to tell it from.
    """
    small = [n for n in nodules if n.diameter_mm.value < LARGE_MM]
    if len(small) < LEAST_NODULES:
        return None
    small = _surest(small)
    index = index_of(grid, np.array([n.centre_mm for n in small]))
    coarse = np.rint((index + 0.5) / np.asarray(lungs.block) - 0.5).astype(int)
    coarse = np.clip(coarse, 0, np.array(lungs.coarse.shape) - 1)
    zones = zone_numbers(lungs)
    numbers = zones[tuple(coarse.T)]
    inside = numbers > 0  # a centre just outside the coarse lung has no zone to be drawn in
    if np.count_nonzero(inside) < LEAST_NODULES:
        return None
    reach_mm = _reach_mm(lungs, int(np.count_nonzero(inside)))
    places = index[inside] * np.asarray(grid.spacing_mm)
    found = _statistics(places, coarse[inside], lungs, vessel_mm, reach_mm)
    rng = np.random.default_rng(0)
    homes = [np.argwhere(zones == number) for number in range(1, 7)]
    counts = [int(np.count_nonzero(numbers[inside] == number)) for number in range(1, 7)]
    draws = max(LEAST_DRAWS, min(DRAWS, MOST_PLACES // sum(counts)))
    drawn = []
    for _ in range(draws):
        chosen = [home[rng.integers(len(home), size=k)] for home, k in zip(homes, counts, strict=True) if k]
        voxels = np.concatenate(chosen)
        places = (voxels + rng.uniform(0, 1, voxels.shape)) * np.asarray(lungs.coarse_spacing_mm)
        drawn.append(_statistics(places, voxels, lungs, vessel_mm, reach_mm))
    return Arrangement(
        *(_ratio(f, np.array(d)) for f, d in zip(found, zip(*drawn, strict=True), strict=True))
    )


def _surest(nodules: list[Nodule]) -> list[Nodule]:
    """Return the nodules that are sure, but no fewer than the surer half, nor than `LEAST_SURE`.

    What is doubtful and no nodule lies along septa and vessels, in clusters.
    """
    ordered = sorted((n.probability for n in nodules), reverse=True)
    least = min(SURE, ordered[min(max(len(ordered) // 2, LEAST_SURE), len(ordered)) - 1])
    return [n for n in nodules if n.probability >= least]


def _reach_mm(lungs: Lungs, count: int) -> float:
    """Return how far a nodule is looked around from: as far as chance gives pairs enough to tell."""
    lung_mm3 = np.count_nonzero(lungs.coarse) * float(np.prod(lungs.coarse_spacing_mm))
    ball_mm3 = 2 * LEAST_PAIRS / count * lung_mm3 / count
    return max(NEAR_MM, float(np.cbrt(0.75 * ball_mm3 / np.pi)))


def _statistics(
    places_mm: Points,
    coarse: NDArray[np.int64],
    lungs: Lungs,
    vessel_mm: NDArray[np.float32],
    reach_mm: float,
) -> tuple[float, float, float, float]:
    """Return mean distance to the nearest neighbour, pairs, and how many lie at pleura and vessels."""
    tree = cKDTree(places_mm)
    nearest = tree.query(places_mm, k=2)[0][:, 1]
    pairs = (tree.count_neighbors(tree, reach_mm) - len(places_mm)) / 2
    voxels = tuple(coarse.T)
    pleural = np.count_nonzero(lungs.depth_mm[voxels] < PLEURAL_MM)
    vascular = np.count_nonzero(vessel_mm[voxels] < VASCULAR_MM)
    return float(nearest.mean()), float(pairs), float(pleural), float(vascular)


def _ratio(found: float, drawn: NDArray[np.float64]) -> Estimate:
    """Return found over the mean of chance, and how far chance alone might have carried it."""
    mean, spread = float(drawn.mean()), float(drawn.std(ddof=1))
    if mean <= 0:  # half an event is what chance might have shown
        mean = 0.5
    value = found / mean
    reach = NORMAL_90 * max(spread, 0.5 * mean / len(drawn)) / mean
    return Estimate(
        value, max(0.0, value - reach * max(1.0, value**0.5)), value + reach * max(1.0, value**0.5)
    )
