"""How the nodules lie in the lungs: the quantities that the criteria are judged on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from imaging.lungs import LEFT, RIGHT, Lungs
from records.model import Attenuation, Estimate, Nodule, Pattern, Side, Zone, ZoneSummary

__all__ = ["Recall", "describe_pattern"]

LARGE_MM = 10.0  # RECIST 1.1 measurable, and a candidate for the primary tumour
TINY_MM = 5.0
LEAST_RECALL = 0.25  # fewer than one in four found, and the estimate would be mostly correction
RECALL_UNCERTAINTY = 0.15  # relative, between scanners
INTERVAL = 0.90
OCCUPIED_SHARE = 0.1  # of the mean density
OCCUPIED_LEAST = 1.0  # estimated nodules


class Recall:
    """The share of nodules found at the operating point, by diameter.

    Parameters
    ----------
    edges_mm : sequence of (low, high)
        Ranges of diameter, ascending.
    shares : sequence of float
        Measured on simulated nodules in lungs the model had not seen.
    false_marks : float
        A scan, at the same operating point.
    """

    def __init__(
        self, edges_mm: Sequence[Sequence[float]], shares: Sequence[float], false_marks: float
    ) -> None:
        self.middles_mm = [(low + high) / 2 for low, high in edges_mm]
        self.shares = [max(share, LEAST_RECALL) for share in shares]
        self.false_marks = false_marks

    def at(self, diameter_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share found at each diameter; beyond the ends as at the ends."""
        return np.interp(diameter_mm, self.middles_mm, self.shares)


def describe_pattern(
    nodules: Sequence[Nodule], lungs: Lungs, recall: Recall, septal_index: float, consolidation_ml: float
) -> Pattern:
    """Measure the pattern.

    Parameters
    ----------
    nodules : sequence of Nodule
        All candidates; only the reported ones count.
    lungs : Lungs
    recall : Recall
        Of the model at this slice thickness.
    septal_index, consolidation_ml : float
        From `imaging.texture` and `imaging.lesions`.
    """
    reported = [n for n in nodules if n.reported]
    diameters = np.array([n.diameter_mm.value for n in reported])
    weights = 1.0 / recall.at(diameters) if reported else np.zeros(0)
    volumes = _zone_volumes_ml(lungs)
    count = _count(weights, recall.false_marks)
    zones = _zones(reported, weights, volumes, count.value, recall.false_marks)
    by_side = {side: sum(z.nodule_count for z in zones if z.side is side) for side in Side}
    ml_of = {side: sum(z.volume_ml for z in zones if z.side is side) for side in Side}
    small = [n for n in reported if n.diameter_mm.value < LARGE_MM]
    sizes = np.array([n.diameter_mm.value for n in small])
    return Pattern(
        nodule_count=count,
        count_right=by_side[Side.RIGHT],
        count_left=by_side[Side.LEFT],
        zones=zones,
        zones_occupied=_occupied(zones),
        fraction_le_5mm=_share(diameters <= TINY_MM) if reported else None,
        median_diameter_mm=float(np.median(diameters)) if reported else None,
        diameter_cv=float(sizes.std() / sizes.mean()) if len(sizes) > 1 else None,
        roundness=float(np.median([n.roundness for n in small])) if small else None,
        balance=_ratio([by_side[s] / max(ml_of[s], 1.0) for s in Side]),
        evenness=_evenness([z.density_per_l for z in zones]),
        ground_glass_fraction=(
            sum(n.attenuation is Attenuation.GROUND_GLASS for n in reported) / len(reported)
            if reported
            else 0.0
        ),
        septal_index=septal_index,
        lesions_ge_10mm=sum(n.diameter_mm.value >= LARGE_MM for n in reported),
        consolidation_ml=consolidation_ml,
    )


def _zone_volumes_ml(lungs: Lungs) -> dict[tuple[Side, Zone], float]:
    voxel_ml = float(np.prod(lungs.coarse_spacing_mm)) / 1000
    volumes = {}
    for side, label in ((Side.RIGHT, RIGHT), (Side.LEFT, LEFT)):
        areas = np.count_nonzero(lungs.coarse == label, axis=(1, 2))
        filled = np.flatnonzero(areas)
        low, high = int(filled[0]), int(filled[-1]) + 1
        share = (np.arange(low, high) + 0.5 - low) / (high - low)
        third = np.minimum((3 * share).astype(int), 2)
        for index, zone in ((2, Zone.UPPER), (1, Zone.MIDDLE), (0, Zone.LOWER)):
            volumes[side, zone] = float(areas[low:high][third == index].sum()) * voxel_ml
    return volumes


def _zones(
    reported: Sequence[Nodule],
    weights: NDArray[np.float64],
    volumes: dict[tuple[Side, Zone], float],
    count: float,
    false_marks: float,
) -> tuple[ZoneSummary, ...]:
    """Share the estimated count out over the zones.

    False marks fall anywhere, so each zone loses its share of them; what is left adds up to the count.
    """
    total_ml = sum(volumes.values())
    left = {}
    for (side, zone), volume_ml in volumes.items():
        here = np.array([n.side is side and n.zone is zone for n in reported], bool)
        found = int(here.sum())
        true_share = max(0.0, found - false_marks * volume_ml / total_ml) / max(found, 1)
        left[side, zone] = true_share * float(weights[here].sum())
    scale = count / sum(left.values()) if sum(left.values()) > 0 else 0.0
    return tuple(ZoneSummary(*key, volumes[key], scale * value) for key, value in left.items())


def _count(weights: NDArray[np.float64], false_marks: float) -> Estimate:
    """Estimate how many nodules there are, from how many were reported.

    True and false marks are Poisson counts; each true mark stands for 1/recall nodules.
    """
    found = len(weights)
    weight = float(weights.mean()) if found else 1.0
    value = max(0.0, (found - false_marks) * weight)
    tail = (1 - INTERVAL) / 2
    low = stats.gamma.ppf(tail, found) if found else 0.0
    high = stats.gamma.ppf(1 - tail, found + 1)
    lowest = max(0.0, float(low) - false_marks) * weight / (1 + RECALL_UNCERTAINTY)
    return Estimate(value, min(value, lowest), max(value, float(high) * weight * (1 + RECALL_UNCERTAINTY)))


def _share(truths: NDArray[np.bool_]) -> Estimate:
    """Return a share with its Jeffreys interval (Brown 2001, Stat Sci 16:101)."""
    hits, total = int(truths.sum()), len(truths)
    tail = (1 - INTERVAL) / 2
    low = float(stats.beta.ppf(tail, hits + 0.5, total - hits + 0.5)) if hits else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 0.5, total - hits + 0.5)) if hits < total else 1.0
    return Estimate(hits / total, low, high)


def _occupied(zones: Sequence[ZoneSummary]) -> int:
    mean = 1000 * sum(z.nodule_count for z in zones) / max(sum(z.volume_ml for z in zones), 1.0)
    return sum(z.nodule_count >= OCCUPIED_LEAST and z.density_per_l >= OCCUPIED_SHARE * mean for z in zones)


def _ratio(densities: Sequence[float]) -> float:
    return min(densities) / max(densities) if max(densities) > 0 else 1.0


def _evenness(densities: Sequence[float]) -> float:
    """Return the entropy of the densities over its maximum (Pielou 1966, J Theor Biol 13:131)."""
    total = sum(densities)
    if total <= 0:
        return 1.0
    shares = [d / total for d in densities if d > 0]
    return abs(float(sum(s * np.log(s) for s in shares) / np.log(len(densities))))
