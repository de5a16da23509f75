"""What the small drawings of a report show, as numbers that a template places."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from records.model import Nodule, Pattern, Side, Zone, ZoneSummary

__all__ = ["LUNG_PATHS", "Histogram", "ZoneBox", "density_step", "histogram", "ordered_zones", "zone_map"]

# Nodules a litre at which the shade of a zone changes: none, a few, a chestful. A normal chest has
# a handful in its 5 l, a hundred through both lungs are 20 a litre.
DENSITY_STEPS = (0.0, 5.0, 20.0, 50.0, 100.0)

BIN_MM = 0.5
LARGEST_MM = 12.0  # larger ones share the last bar
LIMIT_MM = 5.0  # "most of 5 mm or less"

CHART_LEFT, CHART_RIGHT, CHART_TOP, CHART_BASE = 40.0, 552.0, 16.0, 220.0

# Outlines of the right and the left lung, 420 x 300, drawn by hand.
LUNG_PATHS = (
    "M132 10C96 8 60 52 40 110C22 165 14 225 16 285C60 268 122 266 180 282"
    "C186 232 187 192 179 150C172 110 179 60 166 30C158 15 146 10 132 10Z",
    "M288 10C324 8 360 52 380 110C398 165 406 225 404 285C362 268 322 268 284 282"
    "C264 262 250 238 247 207C245 182 239 168 241 150C248 110 241 60 254 30C262 15 274 10 288 10Z",
)

ZONE_TEXTS = {  # where a zone's number stands
    (Side.RIGHT, Zone.UPPER): (118, 66),
    (Side.RIGHT, Zone.MIDDLE): (106, 148),
    (Side.RIGHT, Zone.LOWER): (100, 236),
    (Side.LEFT, Zone.UPPER): (302, 66),
    (Side.LEFT, Zone.MIDDLE): (316, 148),
    (Side.LEFT, Zone.LOWER): (330, 236),
}


@dataclass(frozen=True, slots=True)
class ZoneBox:
    """A third of a lung on the zone map."""

    side: str
    count: float
    density: float
    step: int
    x: int
    y: int
    text_x: int
    text_y: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of the histogram, in the units of its chart."""

    x: float
    y: float
    width: float
    height: float
    over: bool  # beyond the limit of a micronodule
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A number on the axis."""

    x: float
    name: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Diameters of the reported nodules."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    limit_x: float
    total: int
    highest: int


def density_step(density_per_l: float) -> int:
    """Return the shade, 0 to 5, of a density.

    >>> [density_step(density) for density in (0.0, 4.0, 5.0, 99.0, 100.0)]
    [0, 1, 2, 4, 5]
    """
    if density_per_l <= 0:
        return 0
    return 1 + sum(density_per_l >= step for step in DENSITY_STEPS[1:])


def ordered_zones(pattern: Pattern) -> list[ZoneSummary]:
    """Return the zones right then left, upper to lower, whatever their order in the record."""
    sides, zones = list(Side), list(Zone)
    return sorted(pattern.zones, key=lambda zone: (sides.index(zone.side), zones.index(zone.zone)))


def zone_map(pattern: Pattern) -> list[ZoneBox]:
    """Return the boxes of the zone map; the right lung is on the left."""
    return [
        ZoneBox(
            side=zone.side.value,
            count=zone.nodule_count,
            density=zone.density_per_l,
            step=density_step(zone.density_per_l),
            x=8 if zone.side is Side.RIGHT else 222,
            y=5 + 95 * list(Zone).index(zone.zone),
            text_x=ZONE_TEXTS[zone.side, zone.zone][0],
            text_y=ZONE_TEXTS[zone.side, zone.zone][1],
        )
        for zone in ordered_zones(pattern)
    ]


def histogram(nodules: Sequence[Nodule]) -> Histogram:
    """Return the histogram of nodule diameters, in bars of half a millimetre."""
    diameters_mm = np.minimum([nodule.diameter_mm.value for nodule in nodules], LARGEST_MM)
    edges_mm = np.arange(0.0, LARGEST_MM + 2 * BIN_MM, BIN_MM)
    counts, _ = np.histogram(diameters_mm, edges_mm)
    highest = max(1, int(counts.max()))
    scale = (CHART_RIGHT - CHART_LEFT) / edges_mm[-1]
    bars = tuple(
        Bar(
            x=round(CHART_LEFT + edge * scale + 1, 1),
            y=round(CHART_BASE - (CHART_BASE - CHART_TOP) * count / highest, 1),
            width=round(BIN_MM * scale - 2, 1),
            height=round((CHART_BASE - CHART_TOP) * count / highest, 1),
            over=bool(edge >= LIMIT_MM),
            title=_bar_title(edge, count),
        )
        for edge, count in zip(edges_mm[:-1].tolist(), counts.tolist(), strict=True)
        if count
    )
    ticks = tuple(Tick(round(CHART_LEFT + mm * scale, 1), str(mm)) for mm in range(0, 13, 2))
    return Histogram(bars, ticks, round(CHART_LEFT + LIMIT_MM * scale, 1), len(nodules), highest)


def _bar_title(edge_mm: float, count: int) -> str:
    of = "nodule" if count == 1 else "nodules"
    if edge_mm >= LARGEST_MM:
        return f"{count} {of} of {LARGEST_MM:g} mm or more"
    return f"{count} {of} of {edge_mm:g} to {edge_mm + BIN_MM:g} mm"
