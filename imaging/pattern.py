"""How the nodules lie in the lungs: the quantities that the criteria are judged on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from records.model import Arrangement, Attenuation, Estimate, Nodule, Pattern, Side, Zone, ZoneSummary

if TYPE_CHECKING:  # what judges and reports a pattern loads no compiled code and no statistics
    from imaging.census import Census
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
    census: "Census",
    texture: "Texture",
    arrangement: Arrangement | None,
    consolidation_ml: float,
) -> Pattern:
    """Measure the pattern.

    Parameters
    ----------
    nodules : sequence of Nodule
        All candidates.
    lungs : Lungs
    census : Census
        Which of them count, and how many nodules each stands for.
    texture, arrangement, consolidation_ml
        From `imaging.texture`, `imaging.arrangement` and `imaging.lesions`.
    """
    from imaging.zones import zone_volumes_ml

    counted = [n for n, counts in zip(nodules, census.counts, strict=True) if counts]
    small = [n for n in counted if n.diameter_mm.value < LARGE_MM]
    diameters = np.array([n.diameter_mm.value for n in counted])
    volumes = zone_volumes_ml(lungs)
    zones = _zones(nodules, census.worth, volumes)
    told = _adding_up_to(census.count.value, zones)
    by_side = {side: sum(z.nodule_count for z in told if z.side is side) for side in Side}

    def spread(over: Callable[[Sequence[ZoneSummary]], float]) -> Estimate:
        """Return a quantity of the zones, and its interval if the nodules were drawn again."""
        again = _drawn_zones(nodules, census.worth, volumes)
        return _interval(over(zones), np.array([over(z) for z in again]))

    return Pattern(
        nodule_count=census.count,
        count_right=by_side[Side.RIGHT],
        count_left=by_side[Side.LEFT],
        zones=told,
        zones_occupied=_occupied(zones),
        fraction_le_5mm=_share_at_most(diameters, TINY_MM),
        median_diameter_mm=float(np.median(diameters)) if counted else None,
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
        lesions_ge_10mm=len(counted) - len(small),
        consolidation_ml=consolidation_ml,
        count_source=census.source,
    )


def share_at_most(nodules: Sequence[Nodule], limit_mm: float) -> Estimate | None:
    """Return the share of the reported nodules whose diameter is at most `limit_mm`; None of none."""
    return _share_at_most(np.array([n.diameter_mm.value for n in nodules if n.reported]), limit_mm)


def _share_at_most(diameters: Floats, limit_mm: float) -> Estimate | None:
    from imaging.count import share_of

    return share_of(int((diameters <= limit_mm).sum()), len(diameters)) if len(diameters) else None


def _zones(nodules: Sequence[Nodule], worth: Floats, volumes: Volumes) -> tuple[ZoneSummary, ...]:
    """Share the estimated count out over the zones: each mark brings the nodules it stands for."""
    sums = {(side, zone): float(worth[_within(nodules, side, zone)].sum()) for side, zone in volumes}
    return tuple(ZoneSummary(*key, volumes[key], value) for key, value in sums.items())


def _adding_up_to(count: float, zones: tuple[ZoneSummary, ...]) -> tuple[ZoneSummary, ...]:
    """Return the zones with no more nodules than are told: how they lie is known by more marks than that."""
    share = min(1.0, count / max(sum(zone.nodule_count for zone in zones), 1e-9))
    return tuple(replace(zone, nodule_count=share * zone.nodule_count) for zone in zones)


def _drawn_zones(nodules: Sequence[Nodule], worth: Floats, volumes: Volumes) -> list[tuple[ZoneSummary, ...]]:
    """Return the zones as they might have come out: each mark is there as often as a Poisson law says."""
    rng = np.random.default_rng(0)
    times = rng.poisson(1.0, (RESAMPLES, len(nodules)))
    sums = np.array([times @ (worth * _within(nodules, side, zone)) for side, zone in volumes])
    return [
        tuple(ZoneSummary(*key, ml, float(n)) for (key, ml), n in zip(volumes.items(), draw, strict=True))
        for draw in sums.T
    ]


def _within(nodules: Sequence[Nodule], side: Side, zone: Zone) -> NDArray[np.bool_]:
    return np.array([n.side is side and n.zone is zone for n in nodules], bool)


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
