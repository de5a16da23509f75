"""Every kind of simulated study: what is drawn, whether it is miliary, and what it can be mistaken for."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from imaging.disease.canvas import Canvas, Chest
from imaging.disease.lobules import Patches, lymphangitic, perilymphatic, tree_in_bud
from imaging.disease.miliary import few, large_metastases, mass, mass_with_satellites, miliary, one_lung
from imaging.disease.opacities import add_noise, consolidation, effusion, emphysema, ground_glass, move
from records.model import Volume

__all__ = ["KINDS", "Group", "Ill", "Kind", "make_ill"]


class Group(StrEnum):
    """What a study is to the benchmark."""

    MILIARY = "miliary"
    NORMAL = "normal"  # without nodules to speak of
    MIMIC = "mimic"  # nodular or diffuse, and not miliary carcinomatosis


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of study."""

    group: Group
    paint: Callable[[Canvas], None]
    share: float = 1.0  # how often it is drawn beside the others


@dataclass(frozen=True, slots=True, eq=False)
class Ill:
    """A simulated study and its truth."""

    volume: Volume
    kind: str
    group: Group
    nodules: int  # inserted ones under 10 mm
    median_diameter_mm: float | None


def make_ill(chest: Chest, kind: str, seed: int) -> Ill:
    """Paint one kind of disease into a chest; the same seed paints the same."""
    canvas = Canvas(chest, np.random.default_rng([seed, *kind.encode()]))
    KINDS[kind].paint(canvas)
    sizes = [n.diameter_mm for n in canvas.nodules if n.diameter_mm < 10]
    median = float(np.median(sizes)) if sizes else None
    return Ill(canvas.volume, kind, KINDS[kind].group, len(sizes), median)


def _faint(canvas: Canvas) -> None:
    miliary(canvas, 120, (1.5, 3.0), (-300.0, -50.0))


def _typical(canvas: Canvas) -> None:
    low = canvas.rng.uniform(1.5, 2.2)
    miliary(canvas, int(canvas.rng.integers(250, 1500)), (low, low + canvas.rng.uniform(0.8, 2.5)))


def _graded(canvas: Canvas) -> None:
    miliary(canvas, int(canvas.rng.integers(250, 1000)), (1.5, 4.0), base_over_apex=canvas.rng.uniform(2, 4))


def _innumerable(canvas: Canvas) -> None:
    count = int(np.exp(canvas.rng.uniform(np.log(3000), np.log(12000))))
    miliary(canvas, count, (1.8, 3.8), apart_mm=1.8)


def _with_mass(canvas: Canvas) -> None:
    _typical(canvas)
    mass(canvas, canvas.rng.uniform(20, 50))


def _with_effusion(canvas: Canvas) -> None:
    _typical(canvas)
    effusion(canvas, canvas.rng.uniform(0.08, 0.25))


def _with_septa(canvas: Canvas) -> None:
    _typical(canvas)
    patches = Patches.drawn(canvas, 4, (20.0, 35.0), 0.3)
    lymphangitic(canvas, patches, (0.6, 1.0), 0)


def _normal(canvas: Canvas) -> None:
    pass


def _noise(canvas: Canvas) -> None:
    add_noise(canvas, canvas.rng.uniform(25, 70))


def _motion(canvas: Canvas) -> None:
    move(canvas, canvas.rng.uniform(1.5, 4.0))


def _emphysema(canvas: Canvas) -> None:
    emphysema(canvas, int(canvas.rng.integers(400, 1200)))


def _few(canvas: Canvas) -> None:
    few(canvas, int(canvas.rng.integers(3, 31)), (2.0, 7.0))


def _one_lung(canvas: Canvas) -> None:
    one_lung(canvas, int(canvas.rng.integers(150, 700)), (1.5, 4.0))


def _large(canvas: Canvas) -> None:
    large_metastases(canvas, int(canvas.rng.integers(20, 61)))


def _ground_glass(canvas: Canvas) -> None:
    if canvas.rng.random() < 0.5:
        ground_glass(canvas, int(canvas.rng.integers(15, 60)), (6.0, 18.0))
    else:
        ground_glass(canvas, int(canvas.rng.integers(150, 500)), (4.0, 8.0), (-720.0, -550.0))


def _lymphangitic(canvas: Canvas) -> None:
    patches = Patches.drawn(
        canvas, int(canvas.rng.integers(5, 14)), (30.0, 55.0), canvas.rng.uniform(0.2, 0.6)
    )
    lymphangitic(canvas, patches, (0.8, 1.8), int(canvas.rng.integers(60, 250)))


def _perilymphatic(canvas: Canvas) -> None:
    patches = Patches.drawn(
        canvas, int(canvas.rng.integers(10, 30)), (14.0, 30.0), canvas.rng.uniform(0.6, 0.9)
    )
    perilymphatic(canvas, patches, int(canvas.rng.integers(150, 600)))


def _tree_in_bud(canvas: Canvas) -> None:
    patches = Patches.drawn(
        canvas, int(canvas.rng.integers(5, 14)), (18.0, 35.0), canvas.rng.uniform(0.2, 0.6)
    )
    tree_in_bud(canvas, patches, int(canvas.rng.integers(60, 180)))


def _satellites(canvas: Canvas) -> None:
    mass_with_satellites(canvas, canvas.rng.uniform(25, 50), int(canvas.rng.integers(4, 16)))


def _consolidation(canvas: Canvas) -> None:
    for _ in range(int(canvas.rng.integers(1, 4))):
        consolidation(canvas, (22.0, 45.0))


def _effusion(canvas: Canvas) -> None:
    effusion(canvas, canvas.rng.uniform(0.1, 0.35))


KINDS: dict[str, Kind] = {
    "miliary_faint": Kind(Group.MILIARY, _faint),
    "miliary_typical": Kind(Group.MILIARY, _typical, 2.0),
    "miliary_graded": Kind(Group.MILIARY, _graded),
    "miliary_innumerable": Kind(Group.MILIARY, _innumerable),
    "miliary_with_mass": Kind(Group.MILIARY, _with_mass),
    "miliary_with_effusion": Kind(Group.MILIARY, _with_effusion),
    "miliary_with_septa": Kind(Group.MILIARY, _with_septa),
    "normal": Kind(Group.NORMAL, _normal, 0.5),
    "noise": Kind(Group.NORMAL, _noise),
    "motion": Kind(Group.NORMAL, _motion),
    "emphysema": Kind(Group.NORMAL, _emphysema),
    "few": Kind(Group.MIMIC, _few, 1.5),
    "one_lung": Kind(Group.MIMIC, _one_lung),
    "large_metastases": Kind(Group.MIMIC, _large),
    "ground_glass": Kind(Group.MIMIC, _ground_glass, 1.5),
    "lymphangitic": Kind(Group.MIMIC, _lymphangitic, 1.5),
    "perilymphatic": Kind(Group.MIMIC, _perilymphatic, 1.5),
    "tree_in_bud": Kind(Group.MIMIC, _tree_in_bud, 1.5),
    "mass_with_satellites": Kind(Group.MIMIC, _satellites),
    "consolidation": Kind(Group.MIMIC, _consolidation),
    "effusion": Kind(Group.MIMIC, _effusion),
}
