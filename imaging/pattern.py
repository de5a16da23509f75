"""How the nodules lie in the lungs: the quantities that the criteria are judged on."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from records.model import Arrangement, Attenuation, Estimate, Nodule, Pattern, Side, Zone, ZoneSummary

if TYPE_CHECKING:  # what judges and reports a pattern loads no compiled code and no statistics
    from imaging.count import Recall
    from imaging.lungs import Lungs
    from imaging.texture import Texture

__all__ = ["describe_pattern", "share_at_most"]

LARGE_MM = 10.0  # RECIST 1.1 measurable, and a candidate for the primary tumour
TINY_MM = 5.0
OCCUPIED_SHARE = 0.1  # of the mean density
OCCUPIED_LEAST = 1.0  # estimated nodules
RESAMPLES = 200

Floats = NDArray[np.float64]
Volumes = dict[tuple[Side, Zone], float]


def describe_pattern(
    nodules: Sequence[Nodule],
    lungs: "Lungs",
    recall: "Recall",
    texture: "Texture",
    arrangement: Arrangement | None,
    consolidation_ml: float,
) -> Pattern:
    """Measure the pattern.

    Parameters
    ----------
    nodules : sequence of Nodule
        All candidates; only the reported ones count.
    lungs : Lungs
    recall : Recall
        Of the model at this slice thickness.
    texture, arrangement, consolidation_ml
        From `imaging.texture`, `imaging.arrangement` and `imaging.lesions`.
    """
    from imaging.count import estimate_count
    from imaging.zones import zone_volumes_ml

    reported = [n for n in nodules if n.reported]
    small = [n for n in reported if n.diameter_mm.value < LARGE_MM]
    diameters = np.array([n.diameter_mm.value for n in reported])
    weights = 1.0 / recall.at(diameters) if reported else np.zeros(0)
    volumes = zone_volumes_ml(lungs)
    count = estimate_count(weights, recall.false_marks)
    zones = _zones(reported, weights, volumes, count.value, recall.false_marks)
    by_side = {side: sum(z.nodule_count for z in zones if z.side is side) for side in Side}

    def spread(over: Callable[[Sequence[ZoneSummary]], float]) -> Estimate:
        """Return a quantity of the zones, and its interval if the nodules were drawn again."""
        again = _drawn_zones(reported, weights, volumes, count.value, recall.false_marks)
        return _interval(over(zones), np.array([over(z) for z in again]))

    return Pattern(
        nodule_count=count,
        count_right=by_side[Side.RIGHT],
        count_left=by_side[Side.LEFT],
        zones=zones,
        zones_occupied=_occupied(zones),
        fraction_le_5mm=share_at_most(nodules, TINY_MM),
        median_diameter_mm=float(np.median(diameters)) if reported else None,
        diameter_cv=_resampled(small, lambda d: float(d.std() / d.mean()), "diameter")
        if len(small) > 1
        else None,
        roundness=_resampled(small, lambda r: float(np.median(r)), "roundness") if small else None,
        balance=spread(_balance),
        evenness=spread(_evenness),
        ground_glass_fraction=_share_of(small, Attenuation.GROUND_GLASS),
        septal_index=texture.septal_index,
        haze_fraction=texture.haze_fraction,
        arrangement=arrangement,
        lesions_ge_10mm=len(reported) - len(small),
        consolidation_ml=consolidation_ml,
    )


def share_at_most(nodules: Sequence[Nodule], limit_mm: float) -> Estimate | None:
    """Return the share of the reported nodules whose diameter is at most `limit_mm`; None of none."""
    from imaging.count import share_of

    diameters = np.array([n.diameter_mm.value for n in nodules if n.reported])
    return share_of(int((diameters <= limit_mm).sum()), len(diameters)) if len(diameters) else None


def _zones(
    reported: Sequence[Nodule], weights: Floats, volumes: Volumes, count: float, false_marks: float
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


def _drawn_zones(
    reported: Sequence[Nodule], weights: Floats, volumes: Volumes, count: float, false_marks: float
) -> list[tuple[ZoneSummary, ...]]:
    """Return the zones as they might have come out: each zone's marks drawn again from a Poisson law."""
    rng = np.random.default_rng(0)
    total_ml = sum(volumes.values())
    sums = []
    for (side, zone), volume_ml in volumes.items():
        here = np.array([n.side is side and n.zone is zone for n in reported], bool)
        found = rng.poisson(np.count_nonzero(here), RESAMPLES)
        weight = float(weights[here].mean()) if here.any() else 1.0
        sums.append(np.maximum(0.0, found - false_marks * volume_ml / total_ml) * weight)
    return [
        tuple(ZoneSummary(*key, ml, float(n)) for (key, ml), n in zip(volumes.items(), draw, strict=True))
        for draw in np.array(sums).T
    ]


def _interval(value: float, again: Floats) -> Estimate:
    from imaging.count import INTERVAL

    low, high = np.quantile(again, ((1 - INTERVAL) / 2, (1 + INTERVAL) / 2))
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def _resampled(nodules: Sequence[Nodule], over: Callable[[Floats], float], what: str) -> Estimate:
    """Return a quantity of diameters or roundnesses with its bootstrap interval."""
    values = np.array([n.diameter_mm.value if what == "diameter" else n.roundness for n in nodules])
    rng = np.random.default_rng(0)
    again = [over(values[rng.integers(len(values), size=len(values))]) for _ in range(RESAMPLES)]
    return _interval(over(values), np.array(again))


def _share_of(nodules: Sequence[Nodule], attenuation: Attenuation) -> Estimate:
    from imaging.count import share_of

    if not nodules:
        return Estimate(0.0, 0.0, 0.0)
    return share_of(sum(n.attenuation is attenuation for n in nodules), len(nodules))


def _occupied(zones: Sequence[ZoneSummary]) -> int:
    mean = 1000 * sum(z.nodule_count for z in zones) / max(sum(z.volume_ml for z in zones), 1.0)
    return sum(z.nodule_count >= OCCUPIED_LEAST and z.density_per_l >= OCCUPIED_SHARE * mean for z in zones)


def _balance(zones: Sequence[ZoneSummary]) -> float:
    """Return the density of the emptier lung over that of the fuller; 1 if both are empty."""
    densities = []
    for side in Side:
        here = [z for z in zones if z.side is side]
        densities.append(sum(z.nodule_count for z in here) / max(sum(z.volume_ml for z in here), 1.0))
    return min(densities) / max(densities) if max(densities) > 0 else 1.0


def _evenness(zones: Sequence[ZoneSummary]) -> float:
    """Return the entropy of the densities over its maximum (Pielou 1966, J Theor Biol 13:131)."""
    densities = [z.density_per_l for z in zones]
    total = sum(densities)
    if total <= 0:
        return 1.0
    shares = [d / total for d in densities if d > 0]
    return abs(float(sum(s * np.log(s) for s in shares) / np.log(len(densities))))
