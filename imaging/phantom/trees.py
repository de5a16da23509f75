"""Grow a tree that fills a lobe: bronchi with their arteries, and veins.

The method is volume division (Tawhai 2000, Ann Biomed Eng 28:793): the points to be
supplied are split in two by a plane through their centre that holds the parent branch,
and a branch grows part of the way to the centre of each half, until one point is left.
Radii then follow from the tips by Murray's law.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["Tree", "grow", "murray_radii", "smooth"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MURRAY_EXPONENT = 3.0  # Murray 1926, PNAS 12:207
GROWTH_FRACTION = 0.4  # of the way to the centre of what is supplied; Tawhai 2000
EARLY_FRACTION = 0.27  # while a branch supplies much of a lobe: segments part close to the hilum
EARLY_SHARE = 0.1
STEEPEST_ANGLE = np.deg2rad(60.0)  # between a branch and its parent; Tawhai 2000
TWIG_MM = 1.0  # a branch shorter than this is not worth drawing


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A branching tube: node 0 is the root, every other node ends the branch that began at its parent.

    Attributes
    ----------
    points_mm : (N, 3) ndarray
        Node positions, LPS.
    parents : (N,) ndarray of int
        Index of the parent, smaller than the node's own; -1 for the root.
    """

    points_mm: FloatArray
    parents: IntArray

    @property
    def tips(self) -> NDArray[np.bool_]:
        """(N,) truth: does the node end a branch that has no daughters."""
        tips = np.ones(len(self.parents), bool)
        tips[self.parents[1:]] = False
        return tips


@numba.njit(cache=True)
def _widest_axis(offsets):  # type: ignore[no-untyped-def]
    """Return the unit vector along which (N, 3) centred points spread most, by power iteration.

    LAPACK is avoided on purpose: its signs and last digits differ by processor, and the tree hangs on both.
    """
    products = np.zeros((3, 3))
    for n in range(len(offsets)):
        for i in range(3):
            for j in range(3):
                products[i, j] += offsets[n, i] * offsets[n, j]
    axis = np.array([0.6, 0.5, 0.62])
    for _ in range(12):
        turned = np.zeros(3)
        for i in range(3):
            for j in range(3):
                turned[i] += products[i, j] * axis[j]
        norm = np.sqrt(turned[0] ** 2 + turned[1] ** 2 + turned[2] ** 2)
        if norm == 0:
            return np.array([1.0, 0.0, 0.0])
        axis = turned / norm
    return axis


@numba.njit(cache=True)
def _turned_towards(parent, wanted):  # type: ignore[no-untyped-def]
    """Return `wanted`, turned back to at most `STEEPEST_ANGLE` from `parent` (unit vectors)."""
    cosine = np.sum(parent * wanted)
    if cosine >= np.cos(STEEPEST_ANGLE):
        return wanted
    across = wanted - cosine * parent
    length = np.sqrt(np.sum(across * across))
    if length < 1e-9:
        return parent
    return np.cos(STEEPEST_ANGLE) * parent + np.sin(STEEPEST_ANGLE) * across / length


@numba.njit(cache=True)
def _divide(targets, order, first, last, heading, share):  # type: ignore[no-untyped-def]
    """Sort `order[first:last]` across its widest axis perpendicular to `heading`; return where to cut it."""
    count = last - first
    offsets = np.empty((count, 3))
    for n in range(count):
        offsets[n] = targets[order[first + n]]
    middle = np.zeros(3)
    for n in range(count):
        middle += offsets[n]
    middle /= count
    for n in range(count):
        offsets[n] -= middle
        offsets[n] -= np.sum(offsets[n] * heading) * heading
    axis = _widest_axis(offsets)
    along = np.empty(count)
    for n in range(count):
        along[n] = np.sum(offsets[n] * axis)
    order[first:last] = order[first:last][np.argsort(along, kind="mergesort")]
    cut = int(np.round((share if count > 4 else 0.5) * count))
    return first + min(max(cut, 1), count - 1)


@numba.njit(cache=True)
def _grow(points, parents, stem, targets, shares):  # type: ignore[no-untyped-def]
    """Fill `points` and `parents` from node `stem` on; return how many nodes there are."""
    order = np.arange(len(targets))
    stack = [(stem - 1, 0, len(targets))]
    count = stem
    while len(stack) > 0:
        node, first, last = stack.pop()
        here = points[node]
        heading = here - points[parents[node]]
        heading = heading / max(np.sqrt(np.sum(heading * heading)), 1e-9)
        bounds = [first, last]
        if last - first > 1:
            bounds = [first, _divide(targets, order, first, last, heading, shares[node]), last]
        for part in range(len(bounds) - 1):
            start, stop = bounds[part], bounds[part + 1]
            centre = np.zeros(3)
            for n in range(start, stop):
                centre += targets[order[n]]
            wanted = centre / (stop - start) - here
            distance = np.sqrt(np.sum(wanted * wanted))
            is_last = stop - start == 1
            if is_last and distance < TWIG_MM:
                continue
            is_early = stop - start > EARLY_SHARE * len(targets)
            length = distance if is_last else (EARLY_FRACTION if is_early else GROWTH_FRACTION) * distance
            direction = _turned_towards(heading, wanted / max(distance, 1e-9))
            points[count] = here + max(length, TWIG_MM) * direction
            parents[count] = node
            count += 1
            if not is_last:
                stack.append((count - 1, start, stop))
    return count


def grow(stem_mm: FloatArray, targets_mm: FloatArray, *, rng: np.random.Generator) -> Tree:
    """Grow a tree from a stem until every target has a tip near it.

    Parameters
    ----------
    stem_mm : (M, 3) ndarray
        Points the first branch runs through, M >= 2, LPS; the tree divides at the last.
    targets_mm : (T, 3) ndarray
        Places to be supplied, one tip each (fewer where two are closer than a twig).
    rng : Generator
        Draws the unevenness of the divisions.

    Returns
    -------
    Tree
    """
    stem, most = len(stem_mm), len(stem_mm) + 2 * max(len(targets_mm), 1)
    points = np.zeros((most, 3))
    points[:stem] = stem_mm
    parents = np.full(most, -1, dtype=np.int64)
    parents[:stem] = np.arange(-1, stem - 1)
    if len(targets_mm) == 0:
        return Tree(points[:stem], parents[:stem])
    count = _grow(points, parents, stem, np.ascontiguousarray(targets_mm, float), rng.uniform(0.3, 0.7, most))
    return Tree(points[:count], parents[:count])


def murray_radii(tree: Tree, tip_radii_mm: FloatArray) -> FloatArray:
    """Return the radius of the branch that ends at each node, by Murray's law.

    Parameters
    ----------
    tree : Tree
    tip_radii_mm : (N,) ndarray
        Radius wanted at the tips; read only there.

    Returns
    -------
    (N,) ndarray
        Radius, mm: the cube of a parent's is the sum of the cubes of its daughters'.
    """
    cubes = np.where(tree.tips, tip_radii_mm**MURRAY_EXPONENT, 0.0)
    for node in range(len(cubes) - 1, 0, -1):
        cubes[tree.parents[node]] += cubes[node]
    return np.asarray(cubes ** (1 / MURRAY_EXPONENT))


def main_daughters(tree: Tree, radii_mm: FloatArray) -> IntArray:
    """Return the widest daughter of each node, or -1 at a tip."""
    daughters = np.full(len(tree.parents), -1, dtype=np.int64)
    for node in range(1, len(tree.parents)):
        parent = tree.parents[node]
        if daughters[parent] < 0 or radii_mm[node] > radii_mm[daughters[parent]]:
            daughters[parent] = node
    return daughters


def _tangents(tree: Tree, daughters: IntArray) -> FloatArray:
    """Return the unit direction of flow at each node: between the branch before and its main daughter."""
    arriving = np.zeros_like(tree.points_mm)
    arriving[1:] = tree.points_mm[1:] - tree.points_mm[tree.parents[1:]]
    arriving /= np.maximum(np.sqrt(np.sum(arriving**2, axis=1, keepdims=True)), 1e-9)
    tangents = arriving.copy()
    inner = daughters >= 0
    tangents[inner] += arriving[daughters[inner]]
    length = np.sqrt(np.sum(tangents**2, axis=1, keepdims=True))
    return np.asarray(tangents / np.maximum(length, 1e-9))


def smooth(tree: Tree, radii_mm: FloatArray, *, pieces: int = 4, tip_share: float = 0.4) -> FloatArray:
    """Return the tree as short straight tapering pieces along smooth curves.

    A branch is a cubic Hermite curve: it leaves its parent in a direction between the parent's own
    and its chord, and arrives in the direction of its main daughter, so that tubes do not kink.

    Parameters
    ----------
    tree : Tree
    radii_mm : (N,) ndarray
        Radius of the branch that ends at each node.
    pieces : int
        Pieces a branch.
    tip_share : float
        What is left of a tip's radius at its very end: a vessel thins out, it does not end as a ball.

    Returns
    -------
    (pieces * (N - 1), 8) ndarray
        Start and end point (mm, LPS), radius at start and at end.
    """
    daughters = main_daughters(tree, radii_mm)
    tangents = _tangents(tree, daughters)
    ends = np.arange(1, len(tree.parents))
    starts = tree.parents[1:]
    chord = tree.points_mm[ends] - tree.points_mm[starts]
    length = np.sqrt(np.sum(chord**2, axis=1, keepdims=True))
    is_main = (daughters[starts] == ends)[:, None]
    leaving = np.where(
        is_main, tangents[starts], 0.3 * tangents[starts] + 0.7 * chord / np.maximum(length, 1e-9)
    )
    radius_from = np.where(is_main[:, 0], radii_mm[ends], np.minimum(radii_mm[ends] * 1.1, radii_mm[starts]))
    onward = np.where(daughters >= 0, radii_mm[np.maximum(daughters, 0)], tip_share * radii_mm)
    radius_to = (radii_mm[ends] + onward[ends]) / 2
    ends_here = daughters[ends] < 0
    radius_from = np.where(is_main[:, 0], (radii_mm[starts] + radii_mm[ends]) / 2, radius_from)

    def at(t: float) -> FloatArray:
        h00, h10 = 2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t
        h01, h11 = -2 * t**3 + 3 * t**2, t**3 - t**2
        place = h00 * tree.points_mm[starts] + h01 * tree.points_mm[ends]
        place += length * (h10 * leaving + h11 * tangents[ends])
        radius = (1 - t) * radius_from + t * radius_to
        radius = np.where(ends_here, radius_from * (1 - (1 - tip_share) * t**2), radius)
        return np.column_stack([place, radius])

    knots = [at(i / pieces) for i in range(pieces + 1)]
    runs = [np.column_stack([a[:, :3], b[:, :3], a[:, 3], b[:, 3]]) for a, b in pairwise(knots)]
    return np.stack(runs, axis=1).reshape(-1, 8)


def kept_inside(
    points_mm: FloatArray, depth_mm: Callable[[FloatArray], FloatArray], *, margin_mm: float
) -> FloatArray:
    """Return points moved, where needed, to at least `margin_mm` inside.

    Parameters
    ----------
    points_mm : (N, 3) ndarray
    depth_mm : callable
        Depth of (N, 3) points below the surface, mm, negative outside.
    margin_mm : float
        Depth wanted.

    Returns
    -------
    (N, 3) ndarray
    """
    moved = points_mm.copy()
    step = 1.0
    for _ in range(8):
        shallow = np.flatnonzero(depth_mm(moved) < margin_mm)
        if len(shallow) == 0:
            break
        at = moved[shallow]
        slope = np.stack(
            [(depth_mm(at + step * e) - depth_mm(at - step * e)) / (2 * step) for e in np.eye(3)], axis=1
        )
        slope /= np.maximum(np.sqrt(np.sum(slope**2, axis=1, keepdims=True)), 0.3)
        lack = np.clip(margin_mm - depth_mm(at), 0, 6.0)
        moved[shallow] = at + lack[:, None] * slope
    return moved
