"""Figures, drawn on the axes they are given from the records the tables are made of.

Colours are those of Okabe and Ito (2008), told apart by the colour-blind, and
every curve has a dash of its own as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparisons import Interval
from analysis.flow import Flow
from analysis.kaplan_meier import SurvivalCurve

__all__ = [
    "COLOURS",
    "ForestRow",
    "draw_flow",
    "draw_forest",
    "draw_survival",
    "draw_swimmer",
    "draw_waterfall",
    "save",
]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)))
RESPONSE_COLOURS = {"CR": "#009E73", "PR": "#0072B2", "SD": "#56B4E9", "NPD": "#E69F00", "PD": "#D55E00"}
UNKNOWN = "#999999"
MOST_DECADES = 1e2  # a log axis this wide has room for its powers of ten alone


@dataclass(frozen=True, slots=True)
class ForestRow:
    """A hazard ratio with its name."""

    label: str
    ratio: Interval
    note: str = ""


def draw_survival(
    axes: Any,
    curves: Mapping[str, SurvivalCurve],
    *,
    unit: str = "months",
    outcome: str = "Overall survival",
    p_text: str = "",
) -> None:
    """Draw Kaplan-Meier curves, censoring ticks, and the unweighted numbers at risk below."""
    longest = max(float(curve.time[-1]) for curve in curves.values())
    ticks = _nice_ticks(longest)
    for number, (name, curve) in enumerate(curves.items()):
        colour, dash = COLOURS[number % 7], DASHES[number % 7]
        time, height = np.concatenate([[0.0], curve.time]), np.concatenate([[1.0], curve.survival])
        axes.step(time, height, where="post", color=colour, linestyle=dash, label=f"{name} (n={curve.n})")
        lost = curve.censored > 0
        axes.plot(curve.time[lost], curve.survival[lost], "|", color=colour, markersize=7)
        line = -0.26 - 0.07 * number
        axes.text(
            -0.05, line, name, transform=axes.transAxes, ha="right", va="center", fontsize=8, color=colour
        )
        for tick, count in zip(ticks, curve.count_at_risk(ticks), strict=True):
            place = axes.get_xaxis_transform()
            axes.text(tick, line, str(count), transform=place, ha="center", va="center", fontsize=8)
    axes.text(-0.05, -0.19, "At risk", transform=axes.transAxes, ha="right", va="center", fontsize=8)
    axes.set_xticks(ticks)
    axes.set_xlim(0, longest * 1.02 or 1.0)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"Time, {unit}")
    axes.set_ylabel(outcome)
    # Where a legend would be.
    is_high = any(curve.survival_at(0.5 * longest) > 0.5 for curve in curves.values())
    axes.legend(
        frameon=False,
        fontsize=8,
        title=p_text or None,
        title_fontsize=8,
        loc="lower left" if is_high else "upper right",
    )


def draw_forest(axes: Any, rows: Sequence[ForestRow]) -> None:
    """Draw hazard ratios with their limits on a log axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    finite = [x for row in rows for x in (row.ratio.low, row.ratio.high, row.ratio.value) if 0 < x < np.inf]
    low, high = max(min(finite, default=0.1), 1e-3), min(max(finite, default=10.0), 1e4)
    for place, row in enumerate(reversed(rows)):
        left, right = max(row.ratio.low, low / 2), min(row.ratio.high, high * 2)
        axes.plot([left, right], [place, place], "-", color=COLOURS[0])
        axes.plot([row.ratio.value], [place], "s", color=COLOURS[0])
        text = f"{row.ratio.value:.2f} ({row.ratio.low:.2f}–{row.ratio.high:.2f}){row.note}"
        axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.axvline(1.0, color="#666666", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlim(low / 2, high * 2)
    steps = (1.0, 2.0, 5.0) if high / low < MOST_DECADES else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(rows)), [row.label for row in reversed(rows)])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel("Hazard ratio (log scale)")


def draw_waterfall(axes: Any, patients: pd.DataFrame) -> None:
    """Draw best change of the sum of diameters, a bar a patient."""
    known = patients.dropna(subset=["best_change_percent"])
    shown = known.sort_values("best_change_percent", ascending=False, kind="stable")
    response = shown["best_response"] if "best_response" in shown else pd.Series("", index=shown.index)
    colours = [RESPONSE_COLOURS.get(str(r), UNKNOWN) for r in response]
    axes.bar(range(len(shown)), shown["best_change_percent"], color=colours)
    for edge in (20, -30):
        axes.axhline(edge, color="#666666", linewidth=0.8, linestyle=":")
    axes.set_ylabel("Best change of the sum of diameters, %")
    axes.set_xticks([])
    _response_legend(axes, response, "upper right")


def draw_swimmer(axes: Any, patients: pd.DataFrame) -> None:
    """Draw follow-up, progression and death, a lane a patient."""
    shown = patients.sort_values("os_months", kind="stable").reset_index(drop=True)
    response = shown["best_response"] if "best_response" in shown else pd.Series("", index=shown.index)
    colours = [RESPONSE_COLOURS.get(str(r), UNKNOWN) for r in response]
    axes.barh(range(len(shown)), shown["os_months"], color=colours, height=0.8)
    died = shown["os_event"].fillna(False).astype(bool)
    axes.plot(shown["os_months"][died], np.flatnonzero(died), "x", color="black", markersize=4, label="death")
    alive = np.flatnonzero(~died)
    axes.plot(shown["os_months"][~died], alive, ">", color="black", markersize=4, label="alive")
    if {"line1_months", "pfs_months", "progression_date"} <= set(shown.columns):
        seen = shown["progression_date"].notna()
        at = (shown["line1_months"] + shown["pfs_months"])[seen]
        axes.plot(at, np.flatnonzero(seen), "D", color="white", markersize=3, markeredgecolor="black",
                  label="progression")  # fmt: skip
    axes.set_yticks([])
    axes.set_ylim(-1, len(shown))
    axes.set_xlim(left=0)
    axes.set_xlabel("Time from diagnosis, months")
    _response_legend(axes, response, "lower right")


def draw_flow(axes: Any, flow: Flow) -> None:
    """Draw the flow of patients: a box a step, who was left out beside the arrow."""
    axes.axis("off")
    count = len(flow.steps)
    for number, step in enumerate(flow.steps):
        y = 1 - (number + 0.5) / count
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "black"}
        axes.text(0.3, y, f"{step.name}\nn = {step.n}", ha="center", va="center", bbox=box, fontsize=9)
        if number:
            start = 1 - (number - 0.5) / count
            axes.annotate("", xy=(0.3, y + 0.32 / count), xytext=(0.3, start - 0.32 / count),
                          arrowprops={"arrowstyle": "->"})  # fmt: skip
            if step.n_excluded:
                text = f"{step.n_excluded} left out:\n{step.reason}"
                axes.text(0.62, (y + start) / 2, text, ha="left", va="center", fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def save(figure: Any, stem: Path, formats: Sequence[str]) -> tuple[Path, ...]:
    """Write a figure in several formats; the same figure gives the same bytes of SVG."""
    import matplotlib as mpl

    paths = []
    with mpl.rc_context({"svg.hashsalt": "mipc", "svg.fonttype": "none"}):
        for suffix in formats:
            path = stem.with_suffix(f".{suffix}")
            metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix, {})
            figure.savefig(path, format=suffix, bbox_inches="tight", metadata=metadata, dpi=200)
            paths.append(path)
    return tuple(paths)


def new_figure(width: float = 6.0, height: float = 4.2) -> tuple[Any, Any]:
    """Return a figure and its axes, outside pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _nice_ticks(longest: float) -> np.ndarray:
    step = next((s for s in (1, 2, 3, 6, 12, 24, 60, 120, 240) if longest / s <= 8), longest / 6)
    return np.asarray(np.arange(0, longest + 1e-9, step))


def _response_legend(axes: Any, response: pd.Series, place: str) -> None:
    from matplotlib.patches import Patch

    seen = [name for name in RESPONSE_COLOURS if (response == name).any()]
    handles = [Patch(color=RESPONSE_COLOURS[name], label=name) for name in seen]
    if not response.isin(seen).all():
        handles.append(Patch(color=UNKNOWN, label="another, or none"))
    old = axes.get_legend_handles_labels()[0]
    axes.legend(handles=[*handles, *old], frameon=False, fontsize=8, loc=place)
