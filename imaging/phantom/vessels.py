"""Bronchi, pulmonary arteries and pulmonary veins of one patient.

Bronchi and arteries share a skeleton, grown lobe by lobe; an artery runs beside its bronchus, on one
side of it all the way, and alone where the bronchus is too narrow to see. Veins grow on their own from
the left atrium and drain the places between.
"""

from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
from numpy.typing import NDArray

from imaging.phantom.anatomy import Anatomy, Lobe
from imaging.phantom.trees import Tree, grow, kept_inside, murray_radii, smooth

__all__ = ["Branches", "TerminalVessels", "grow_branches"]

FloatArray = NDArray[np.float64]
Point = tuple[float, float, float]

SUPPLY_MM = 7.2  # distance between neighbouring tips: several to a secondary lobule (10-25 mm wide)
TIP_RADIUS_MM = (
    0.41  # the artery of a whole lobule is about 1 mm wide, of an acinus 0.5 (Webb 2006, Radiology 239:322)
)
VEIN_TIP_RADIUS_MM = 0.39
BRONCHUS_TO_ARTERY = 0.82  # lumen over artery; 0.65-1 in health
NARROWEST_BRONCHUS_MM = 1.0  # lumen radius: CT shows bronchi down to about 2 mm
MARGIN_MM = 1.2  # between a vessel and the pleura or a fissure
TIP_DEPTH_MM = 3.0  # a vessel ends no nearer to the pleura: it is too thin to see by then
STEM_SPREAD_MM = 2.5  # how much the hila of two patients differ


@dataclass(frozen=True, slots=True)
class _Stem:
    """Where a lobe's bronchus, its artery's last central point, and its vein begin."""

    bronchus_mm: tuple[Point, Point]
    vein_mm: tuple[Point, Point]


_STEMS = {
    "right upper": _Stem(((-27, 13, -16), (-46, 11, -10)), ((-26, 8, -38), (-44, -6, -28))),
    "right middle": _Stem(((-36, 14, -42), (-52, -6, -54)), ((-26, 8, -38), (-46, -12, -56))),
    "right lower": _Stem(((-36, 14, -42), (-46, 24, -62)), ((-24, 22, -60), (-42, 34, -76))),
    "left upper": _Stem(((41, 16, -24), (57, 4, -18)), ((32, 10, -38), (50, -10, -28))),
    "left lower": _Stem(((41, 16, -24), (50, 30, -50)), ((30, 24, -58), (46, 36, -72))),
}
_TRACHEA = ((0.0, -4.0, 140.0), (0.0, 2.0, 70.0), (0.0, 10.0, 2.0))
_MAIN_BRONCHI = {
    True: ((-12.0, 12.0, -7.0), (-27.0, 13.0, -16.0)),
    False: ((18.0, 13.0, -9.0), (41.0, 16.0, -24.0)),
}
_INTERMEDIUS = (-36.0, 14.0, -42.0)


@dataclass(frozen=True, slots=True, eq=False)
class TerminalVessels:
    """One grown tree and its radii, before it is smoothed and drawn."""

    lobe: str
    tree: Tree
    radii_mm: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Branches:
    """All tubes of the lungs as tapering pieces, (N, 8): start, end, radius at start and at end; mm, LPS."""

    lumens: FloatArray
    walls: FloatArray
    arteries: FloatArray
    veins: FloatArray
    trees: tuple[TerminalVessels, ...]  # artery and vein of each lobe, in order


def _targets(anatomy: Anatomy, lobe: Lobe, rng: np.random.Generator, pitch_mm: float) -> FloatArray:
    """Return places to be supplied: a jittered lattice through the lobe, (N, 3)."""
    grid = anatomy.grid
    low = np.asarray(grid.low_mm)
    high = low + grid.step_mm * (np.array(grid.shape[::-1]) - 1)
    counts = ((high - low) / pitch_mm).astype(int)
    lattice = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), axis=-1).reshape(-1, 3)
    points = low + pitch_mm * (lattice + rng.random(lattice.shape))
    return points[grid.sample(lobe.field, points) < -TIP_DEPTH_MM]


@numba.njit(cache=True)
def _offsets(points, parents, start):  # type: ignore[no-untyped-def]
    """Return a unit vector across each branch that turns as little as it can from the root on."""
    across = np.zeros_like(points)
    across[0] = start
    for node in range(1, len(parents)):
        flow = points[node] - points[parents[node]]
        flow = flow / max(np.sqrt(np.sum(flow * flow)), 1e-9)
        before = across[parents[node]]
        kept = before - np.sum(before * flow) * flow
        length = np.sqrt(np.sum(kept * kept))
        if length < 0.1:  # the branch heads straight along the old offset
            kept = np.cross(flow, before + np.array([0.3, 0.2, 0.1]))
            length = np.sqrt(np.sum(kept * kept))
        across[node] = kept / length
    return across


def _wall_mm(lumen_radius_mm: FloatArray) -> FloatArray:
    """Return the thickness of a bronchus's wall: relatively more when small."""
    return 0.13 * lumen_radius_mm + 0.32


def _lobe_tree(
    anatomy: Anatomy,
    lobe: Lobe,
    stem: tuple[tuple[float, float, float], ...],
    rng: np.random.Generator,
    pitch: float,
) -> Tree:
    """Grow one tree and bring what strayed back into its lobe."""
    stem_mm = np.array(stem, float)
    stem_mm[-1] += STEM_SPREAD_MM * rng.standard_normal(3)
    grown = grow(stem_mm, _targets(anatomy, lobe, rng, pitch), rng=rng)
    first = len(stem_mm)

    def depth(points: FloatArray) -> FloatArray:
        return -anatomy.grid.sample(lobe.field, points)

    inside = kept_inside(grown.points_mm[first:], depth, margin_mm=MARGIN_MM)
    return Tree(np.concatenate([stem_mm, inside]), grown.parents)


def _central_bronchi(roots: dict[str, float]) -> FloatArray:
    """Return the trachea, main bronchi and bronchus intermedius as lumen pieces, sized by Murray's law."""

    def sum_of(*names: str) -> float:
        return float(np.cbrt(sum(roots[name] ** 3 for name in names)))

    intermedius = sum_of("right middle", "right lower")
    right = sum_of("right upper", "right middle", "right lower")
    left = sum_of("left upper", "left lower")
    trachea = float(np.cbrt(right**3 + left**3))
    runs = [
        (_TRACHEA, trachea, trachea),
        ((_TRACHEA[-1], *_MAIN_BRONCHI[True]), right, right),
        ((_MAIN_BRONCHI[True][-1], _INTERMEDIUS), intermedius, intermedius),
        ((_TRACHEA[-1], *_MAIN_BRONCHI[False]), left, left),
    ]
    return np.array([[*a, *b, ra, rb] for points, ra, rb in runs for a, b in pairwise(points)])


def _bronchi_and_artery(tree: Tree, radii_mm: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Return lumen pieces and artery pieces of one lobe, and the lobar bronchus's lumen radius."""
    lumen = BRONCHUS_TO_ARTERY * radii_mm
    visible = np.clip((lumen - NARROWEST_BRONCHUS_MM) / 0.5, 0.0, 1.0)
    across = _offsets(tree.points_mm, tree.parents, np.array([0.2, -0.75, 0.63]))
    apart = visible * (lumen + _wall_mm(lumen) + 0.95 * radii_mm)
    beside = Tree(tree.points_mm + apart[:, None] * across, tree.parents)
    pieces = 4
    bronchi = smooth(tree, lumen, pieces=pieces)
    widths = np.repeat(lumen[1:], pieces)
    return bronchi[widths >= NARROWEST_BRONCHUS_MM], smooth(beside, radii_mm, pieces=pieces), float(lumen[1])


def grow_branches(anatomy: Anatomy, *, rng: np.random.Generator) -> Branches:
    """Grow every bronchus, artery and vein of a patient.

    Parameters
    ----------
    anatomy : Anatomy
    rng : Generator

    Returns
    -------
    Branches
    """
    lumens, arteries, veins, trees, roots = [], [], [], [], {}
    for lobe in anatomy.lobes:
        stem = _STEMS[lobe.name]
        tree = _lobe_tree(anatomy, lobe, stem.bronchus_mm, rng, SUPPLY_MM)
        radii = murray_radii(tree, TIP_RADIUS_MM * rng.uniform(0.85, 1.15, len(tree.parents)))
        bronchi, artery, roots[lobe.name] = _bronchi_and_artery(tree, radii)
        lumens.append(bronchi)
        arteries.append(artery)
        drain = _lobe_tree(anatomy, lobe, stem.vein_mm, rng, 1.06 * SUPPLY_MM)
        drained = murray_radii(drain, VEIN_TIP_RADIUS_MM * rng.uniform(0.85, 1.15, len(drain.parents)))
        veins.append(smooth(drain, drained))
        trees += [TerminalVessels(lobe.name, tree, radii), TerminalVessels(lobe.name, drain, drained)]
    lumens.append(_central_bronchi(roots))
    tubes = np.concatenate(lumens)
    walls = tubes.copy()
    walls[:, 6:] += _wall_mm(tubes[:, 6:])
    return Branches(tubes, walls, np.concatenate(arteries), np.concatenate(veins), tuple(trees))
