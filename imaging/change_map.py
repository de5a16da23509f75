"""One picture of a pair of scans: where nodules are gone, new, growing, and how much there is in each zone.

Both lungs are seen from the front as an X-ray of the lungs alone would show them, with every nodule that
either scan reported on it. Colours are told apart by colour-blind eyes (Okabe and Ito 2008), and each fate
has its own shape.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from imaging.burden import ZoneBurden
from imaging.filters import block_mean
from imaging.geometry import points_mm
from imaging.matching import Fate, Trace
from imaging.tracking import FollowUp, Observed
from records.model import Point

__all__ = ["draw_change_map"]

INK, SOFT, PAPER = "#1c2430", "#66717f", "#ffffff"
GREY, BLUE, RED, ORANGE, SKY = "#9aa3ad", "#0072B2", "#D55E00", "#E69F00", "#56B4E9"


@dataclass(frozen=True, slots=True)
class _Kind:
    """How nodules of one fate are drawn."""

    name: str
    colour: str
    marker: str
    is_filled: bool


PERSISTING = _Kind("persisting", GREY, "o", False)
GROWN = _Kind("grown", ORANGE, "^", True)
SHRUNKEN = _Kind("shrunken", SKY, "v", True)
GONE = _Kind("gone", BLUE, "o", False)
NEW = _Kind("new", RED, "D", True)
UNCLEAR = _Kind("not assessable", SOFT, "x", True)
KINDS = (PERSISTING, GONE, SHRUNKEN, UNCLEAR, GROWN, NEW)


def draw_change_map(
    baseline: Observed, follow_up: Observed, change: FollowUp, titles: tuple[str, str]
) -> bytes:
    """Draw the change map.

    Parameters
    ----------
    baseline, follow_up : Observed
    change : FollowUp
    titles : (str, str)
        Above the two scans, such as their dates.

    Returns
    -------
    bytes
        A PNG file; the same pair gives the same bytes.
    """
    figure = Figure(figsize=(12.0, 8.2), dpi=110, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.add_gridspec(2, 1, height_ratios=(3.1, 1.0))
    films = rows[0].subgridspec(1, 2)
    kinds = [_kind(trace, n, change) for n, trace in enumerate(change.traces)]
    for number, (scan, title) in enumerate(zip((baseline, follow_up), titles, strict=True)):
        axes = figure.add_subplot(films[0, number])
        _draw_film(axes, scan)
        places = [trace.follow_up_mm if number else trace.baseline_mm for trace in change.traces]
        left_out = GONE if number else NEW
        _draw_marks(axes, places, change.traces, kinds, left_out)
        axes.set_title(title, fontsize=11, color=INK, loc="left")
    _draw_zones(figure.add_subplot(rows[1]), change.zones[1:])
    if change.alignment.is_good:  # else nothing was matched: a legend would say that nothing is gone or new
        _draw_legend(figure, kinds)
    figure.suptitle(change.suggestion.reading.value if change.suggestion.reading else "nothing is suggested",
                    fontsize=14, color=INK, x=0.01, ha="left")  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _kind(trace: Trace, number: int, change: FollowUp) -> _Kind:
    if trace.fate is Fate.GONE:
        return GONE
    if trace.fate is Fate.NEW:
        return NEW
    if trace.fate is Fate.NOT_ASSESSABLE:
        return UNCLEAR
    size = change.sizes[number]
    if size is None or not size.is_real:
        return PERSISTING
    return GROWN if size.value_mm.value > 0 else SHRUNKEN


def _draw_film(axes: Axes, scan: Observed) -> None:
    """Draw the lungs alone, seen from the front: the patient's right is on the left."""
    hu = block_mean(scan.volume.hu, scan.lungs.block)
    inside = scan.lungs.coarse > 0
    tissue = np.where(inside, np.clip(hu, -1000, 0) + 1000.0, 0.0)
    index = np.argwhere(inside)
    places = points_mm(scan.volume, index * np.array(scan.lungs.block) + (np.array(scan.lungs.block) - 1) / 2)
    low, high = places.min(axis=0) - 8, places.max(axis=0) + 8
    # A pixel as wide as a coarse voxel along each direction, or rows would be filled unevenly.
    steps = np.abs(scan.volume.axes).T @ np.array(scan.lungs.coarse_spacing_mm)
    shape = np.ceil((high - low) / steps).astype(int) + 1
    column = np.rint((places[:, 0] - low[0]) / steps[0]).astype(int)
    row = np.rint((places[:, 2] - low[2]) / steps[2]).astype(int)
    film = np.zeros((shape[2], shape[0]))
    np.add.at(film, (row, column), tissue[inside])
    depth = np.zeros_like(film)
    np.add.at(depth, (row, column), 1.0)
    shown = _stretched(film, depth)
    left, bottom = low[0] - steps[0] / 2, low[2] - steps[2] / 2
    extent = (left, left + shape[0] * steps[0], bottom, bottom + shape[2] * steps[2])
    axes.imshow(shown, cmap="gray", origin="lower", extent=extent, vmin=0, vmax=1, interpolation="bilinear")
    axes.text(0.02, 0.97, "R", transform=axes.transAxes, color="white", va="top", fontsize=10)
    axes.text(0.98, 0.97, "L", transform=axes.transAxes, color="white", va="top", ha="right", fontsize=10)
    axes.set_xlim(extent[:2])
    axes.set_ylim(extent[2:])
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def _stretched(film: NDArray[np.float64], depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of tissue as dark greys, so that marks stand out."""
    filled = depth > 0
    if not filled.any():
        return film
    top = float(np.quantile(film[filled], 0.995))
    return np.where(filled, 0.08 + 0.5 * np.clip(film / max(top, 1.0), 0, 1), 0.0)


def _draw_marks(
    axes: Axes, places: Sequence[Point], traces: Sequence[Trace], kinds: Sequence[_Kind], left_out: _Kind
) -> None:
    for kind in KINDS:
        if kind is left_out:
            continue
        chosen = [n for n, one in enumerate(kinds) if one is kind]
        if not chosen:
            continue
        sizes = np.array([_diameter_mm(traces[n]) for n in chosen])
        area = np.clip(sizes, 2.0, 12.0) ** 2 * 2.2
        x, z = np.array([places[n][0] for n in chosen]), np.array([places[n][2] for n in chosen])
        inside = kind.colour if kind.is_filled else "none"
        axes.scatter(
            x, z, s=area, marker=kind.marker, facecolors=inside, edgecolors=kind.colour, linewidths=1.1
        )


def _diameter_mm(trace: Trace) -> float:
    nodule = trace.follow_up or trace.baseline
    return nodule.diameter_mm.value if nodule else 0.0


def _draw_zones(axes: Axes, zones: Sequence[ZoneBurden]) -> None:
    """Draw the volume in each zone, before and after, with what is uncertain of it."""
    place = np.arange(len(zones))
    for number, (name, colour) in enumerate((("baseline", GREY), ("follow-up", INK))):
        volumes = [(zone.follow_up if number else zone.baseline).volume_mm3 for zone in zones]
        value = np.array([volume.value for volume in volumes])
        error = np.array([[v.value - v.low for v in volumes], [v.high - v.value for v in volumes]])
        axes.bar(place + 0.38 * (number - 0.5), value, 0.34, color=colour, label=name)
        axes.errorbar(
            place + 0.38 * (number - 0.5), value, error, fmt="none", ecolor=SOFT, elinewidth=1, capsize=2
        )
    top = max((max(z.baseline.volume_mm3.high, z.follow_up.volume_mm3.high) for z in zones), default=1.0)
    for n, zone in enumerate(zones):
        if zone.volume_change is not None:
            change = zone.volume_change
            weight = "bold" if change.is_real else "normal"
            axes.text(n, 1.06 * top, f"{100 * change.value.value:+.0f} %", ha="center", fontsize=9,
                      color=INK if change.is_real else SOFT, fontweight=weight)  # fmt: skip
    axes.set_ylim(0, 1.22 * max(top, 1e-6))
    axes.set_xticks(place, [f"{z.side} {z.zone}" for z in zones], fontsize=9, color=INK)
    axes.set_ylabel("mm³ of micronodules", fontsize=9, color=SOFT)
    axes.tick_params(colors=SOFT, labelsize=8)
    axes.tick_params(axis="x", length=0, labelsize=9)
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_legend(figure: Figure, kinds: Sequence[_Kind]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="none", marker=kind.marker, markersize=7, color=kind.colour,
               markerfacecolor=kind.colour if kind.is_filled else "none",
               label=f"{kind.name} {sum(one is kind for one in kinds)}")
        for kind in (PERSISTING, GROWN, SHRUNKEN, GONE, NEW, UNCLEAR)
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=10)
