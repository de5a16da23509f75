"""Examples to learn from: real lungs with nodules of known place and size.

Each example takes a scan, changes what differs between scanners and patients
(blur, sharpness, dose, body size, slice thickness), inserts nodules at random
sites, at vessels and at the pleura, and measures every candidate. What lies near
a mark of the readers is neither: the readers were not exhaustive.

A nodule that lies where most of its brightness was there before, inside a vessel or the wall, can't be told
from what it lies in: it is not learnt from either.

Thin slices are rare among the scans. But vessels branch alike at every scale: a thick scan shrunk to half its
size, with the blur and the noise of a scanner put back, has the texture of lung on thin slices.

Few patients have few diseases: into some of the scans emphysema or haze is painted before the nodules are
inserted. What is left of lung between holes looks like nodules to a network that has never seen it.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from imaging.candidates import MARGIN_MM, build_scale_space, find_candidates
from imaging.classifier import Stage, survivors
from imaging.disease.canvas import Canvas, Chest
from imaging.disease.opacities import emphysema, ground_glass
from imaging.features import describe
from imaging.geometry import points_mm
from imaging.insertion import (
    MOSTLY_NEW,
    InsertedNodule,
    ScannerBlur,
    draw_sites,
    images_of,
    insert_nodules,
    lobed_nodule,
    random_direction,
    shares_new,
)
from imaging.lungs import Lungs, segment_lungs
from imaging.patches import CUBES, SIDE
from imaging.resolution import noise_of
from imaging.training.rescanning import draw_look, reconstructed, rescanned
from imaging.training.turning import cut_turned_cubes
from records.model import Point, Volume

__all__ = ["Example", "Recipe", "chest_of", "make_example", "read_marks", "thicken"]

APART_MM = 9.0
SHARES = (0.5, 0.25, 0.25)  # random, at the pleura, at vessels
PLEURA_MM = 3.0
HIT_MM = 1.2  # a candidate this near the centre of a nodule, or within its radius, is that nodule
AMBIGUOUS_MM = 2.5  # past its edge nothing is learnt
GATE_SHARE = 0.35  # of what is no nodule: enough to learn sieve and gate from
BLUR_MM = (0.35, 0.75)  # of what is inserted
HOLES_A_LITRE = (60.0, 500.0)  # of emphysema; this and the next alike by ratio
SMALLEST_HOLE_MM, LARGEST_HOLE_MM = (1.5, 3.0), (4.0, 10.0)  # radii
EMPTIED = (0.5, 1.0)
HAZES_A_LITRE, HAZE_MM = (1.0, 10.0), (8.0, 40.0)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is inserted and how the scan is changed."""

    nodules: int = 300
    diameter_mm: tuple[float, float] = (1.2, 8.0)  # log-uniform, so that small ones are many
    hu: tuple[float, float] = (-200.0, 100.0)
    elongation: tuple[float, float] = (1.0, 1.35)
    lobed_share: float = 1 / 3  # bodies of two to four lobes; the others are ellipsoids
    zoom: tuple[float, float] = (0.88, 1.15)  # patients differ in size; see `rescanning`
    emphysema_share: float = 0.4  # of the examples
    haze_share: float = 0.15


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """Candidates of one changed scan.

    Attributes
    ----------
    features : (N, len(FEATURE_NAMES)) float32 ndarray
    cubes : (N + M, CUBES, SIDE, SIDE, SIDE) uint8 ndarray
        What the network looks at, and again, turned otherwise, the M with label 1; none at all where no
        network is asked.
    label : (N,) int8 ndarray
        1 nodule, 0 not, -1 not to be learnt from.
    """

    features: NDArray[np.float32]
    cubes: NDArray[np.uint8]
    label: NDArray[np.int8]


def read_marks(path: Path, patient: str) -> NDArray[np.float64]:
    """Return the nodules that readers marked, (M, 4): LPS mm and diameter (3 mm where they gave none)."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["patient"] == patient]
    kept = [row for row in rows if row["kind"] != "non_nodule_ge3mm"]
    columns = ("x_lps_mm", "y_lps_mm", "z_lps_mm")
    marks = [[*(float(row[c]) for c in columns), float(row["equiv_sphere_diam_mm"] or 3.0)] for row in kept]
    return np.array(marks, float).reshape(-1, 4)


def thicken(volume: Volume, slices: int) -> Volume:
    """Average neighbouring slices, as a scanner does that reconstructs thicker ones from the same data."""
    planes = len(volume.hu) // slices
    blocks = volume.hu[: planes * slices].reshape(planes, slices, *volume.hu.shape[1:])
    step_mm = volume.spacing_mm[0]
    shift = volume.axes[0] * step_mm * (slices - 1) / 2
    origin = np.asarray(volume.origin_mm) + shift
    return replace(
        volume,
        hu=np.rint(blocks.mean(axis=1)).astype(np.int16),
        origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
        spacing_mm=(step_mm * slices, *volume.spacing_mm[1:]),
        slice_thickness_mm=step_mm * slices,
        sop_instance_uids=volume.sop_instance_uids[:planes],
    )


def chest_of(volume: Volume) -> tuple[Volume, Lungs]:
    """Return the part of a scan around the lungs, and the lungs in it."""
    lungs = segment_lungs(volume)
    window, coarse = [], []
    axes = zip(lungs.box, lungs.block, volume.spacing_mm, lungs.coarse.shape, strict=True)
    for span, block, step, size in axes:
        margin = int(np.ceil(MARGIN_MM / step / block))
        first, last = max(span.start // block - margin, 0), min(span.stop // block + margin, size)
        coarse.append(slice(first, last))
        window.append(slice(first * block, last * block))
    hu = np.ascontiguousarray(volume.hu[tuple(window)])
    x, y, z = points_mm(volume, np.array([[w.start for w in window]], float))[0].tolist()
    chest = replace(volume, hu=hu, origin_mm=(x, y, z), sop_instance_uids=volume.sop_instance_uids[window[0]])
    part = tuple(coarse)
    shape = (hu.shape[0], hu.shape[1], hu.shape[2])
    return chest, replace(
        lungs,
        coarse=lungs.coarse[part],
        aerated=lungs.aerated[part],
        depth_mm=lungs.depth_mm[part],
        shape=shape,
    )


def _zoomed(volume: Volume, lungs: Lungs, zoom: float) -> tuple[Volume, Lungs]:
    """Make the patient larger or smaller; nothing is resampled."""
    x, y, z = (zoom * v for v in volume.origin_mm)
    p, r, c = (zoom * v for v in volume.spacing_mm)
    thickness_mm = None if volume.slice_thickness_mm is None else zoom * volume.slice_thickness_mm
    scan = replace(volume, origin_mm=(x, y, z), spacing_mm=(p, r, c), slice_thickness_mm=thickness_mm)
    return scan, replace(lungs, depth_mm=zoom * lungs.depth_mm, spacing_mm=(p, r, c))


def _sites(volume: Volume, lungs: Lungs, recipe: Recipe, rng: np.random.Generator) -> NDArray[np.float64]:
    inside = lungs.labels > 0
    counts = [round(share * recipe.nodules) for share in SHARES]
    places = draw_sites(volume, inside, counts[0], apart_mm=APART_MM, rng=rng)
    if counts[1]:
        index = np.argwhere(inside)
        depth = np.zeros(inside.shape, np.float32)
        depth[inside] = lungs.sample(lungs.depth_mm, index.astype(float), order=0)
        at_pleura = inside & (depth < PLEURA_MM)
        more = draw_sites(volume, at_pleura, counts[1], apart_mm=APART_MM, rng=rng, taken_mm=places)
        places = np.concatenate([places, more])
        vessels = inside & (depth > PLEURA_MM) & (volume.hu > -500)
        beside = ndimage.binary_dilation(vessels, iterations=2) & ~vessels & (depth > PLEURA_MM)
        more = draw_sites(volume, beside, counts[2], apart_mm=APART_MM, rng=rng, taken_mm=places)
        places = np.concatenate([places, more])
    return places


def _diseased(chest: Chest, recipe: Recipe, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return the HU of a chest with emphysema, with haze, with both, or as it is."""
    canvas = Canvas(chest, rng)
    litres = np.count_nonzero(chest.labels) * float(np.prod(chest.volume.spacing_mm)) / 1e6

    def drawn(a_litre: tuple[float, float]) -> int:
        return round(litres * float(np.exp(rng.uniform(*np.log(a_litre)))))

    if rng.random() < recipe.emphysema_share:
        radius_mm = float(rng.uniform(*SMALLEST_HOLE_MM)), float(rng.uniform(*LARGEST_HOLE_MM))
        emphysema(canvas, drawn(HOLES_A_LITRE), radius_mm, float(rng.uniform(*EMPTIED)))
    if rng.random() < recipe.haze_share:
        ground_glass(canvas, drawn(HAZES_A_LITRE), HAZE_MM)
    return canvas.hu


def _body(centre_mm: Point, recipe: Recipe, rng: np.random.Generator) -> InsertedNodule:
    low, high = np.log(recipe.diameter_mm)
    diameter_mm, hu = float(np.exp(rng.uniform(low, high))), float(rng.uniform(*recipe.hu))
    if rng.random() < recipe.lobed_share:
        return lobed_nodule(centre_mm, diameter_mm, hu, rng)
    elongation = float(rng.uniform(*recipe.elongation))
    return InsertedNodule(centre_mm, diameter_mm, hu, elongation, random_direction(rng))


def _grain_hu(volume: Volume, lungs: Lungs) -> float:
    """Return the noise of single voxels in the lungs."""
    planes = volume.hu[::4].astype(np.float32)
    detail = planes - np.stack([ndimage.uniform_filter(p, 3) for p in planes])
    return noise_of(detail, lungs.labels[::4] > 0)


def make_example(
    volume: Volume,
    lungs: Lungs,
    marks: NDArray[np.float64],
    recipe: Recipe,
    seed: int,
    stages: tuple[Stage, Stage] | None = None,
) -> Example:
    """Make one example.

    Parameters
    ----------
    volume, lungs
        A scan without miliary disease, from `chest_of`.
    marks : (M, 4) ndarray
        Real nodules: LPS mm, diameter mm.
    recipe : Recipe
    seed : int
        The same seed makes the same example.
    stages : (Stage, Stage), optional
        Sieve and gate: the candidates that pass both come back, but for those with label -1, with their
        cubes. Without them all nodules come back and a share of the rest.
    """
    rng = np.random.default_rng(seed)
    zoom = float(rng.uniform(*recipe.zoom))
    look = draw_look(rng)
    volume, lungs = _zoomed(replace(volume, hu=rescanned(volume, zoom, look, rng)), lungs, zoom)
    blur = ScannerBlur(float(rng.uniform(*BLUR_MM)), volume.slice_thickness_mm or volume.spacing_mm[0])
    grain_hu = _grain_hu(volume, lungs)
    volume = replace(volume, hu=_diseased(Chest(volume, lungs, blur, grain_hu), recipe, rng))
    places = _sites(volume, lungs, recipe, rng)
    truth = [_body((float(x), float(y), float(z)), recipe, rng) for x, y, z in places]
    images = images_of(volume, truth, blur)
    hu = insert_nodules(volume, truth, blur, noise_hu=grain_hu, rng=rng, images=images)
    space = build_scale_space(reconstructed(replace(volume, hu=hu), look, rng), lungs)
    noise_hu = noise_of(space.levels[0] - space.levels[1], space.inside)
    candidates = find_candidates(space, noise_hu)
    points = points_mm(volume, candidates.index + space.start)
    are_new = shares_new(volume, truth, images, lungs.labels > 0) >= MOSTLY_NEW
    label = _labels(points, truth, are_new, marks * zoom)
    if stages is None:
        some = np.flatnonzero((label == 1) | ((label == 0) & (rng.random(len(label)) < GATE_SHARE)))
        none = np.zeros((0, CUBES, SIDE, SIDE, SIDE), np.uint8)
        features = describe(space, candidates[some], noise_hu)
        return Example(features, none, label[some])
    kept, features = survivors(*stages, space, candidates, noise_hu)
    known = label[kept] >= 0
    kept, features = kept[known], features[known]
    cubes = cut_turned_cubes(space, candidates[np.concatenate([kept, kept[label[kept] == 1]])], rng)
    return Example(features, cubes, label[kept])


def _labels(
    points: NDArray[np.float64],
    truth: list[InsertedNodule],
    are_new: NDArray[np.bool_],
    marks: NDArray[np.float64],
) -> NDArray[np.int8]:
    """Call the candidate nearest to each new nodule a nodule, its neighbours nothing, the rest no nodule."""
    label = np.zeros(len(points), np.int8)
    tree = cKDTree(points)
    chosen = []
    for nodule, is_new in zip(truth, are_new.tolist(), strict=True):
        radius = nodule.diameter_mm / 2
        label[tree.query_ball_point(nodule.centre_mm, radius + AMBIGUOUS_MM)] = -1
        near = tree.query_ball_point(nodule.centre_mm, max(radius, HIT_MM))
        if near and is_new:
            chosen.append(min(near, key=lambda n: float(np.linalg.norm(points[n] - nodule.centre_mm))))
    for x, y, z, diameter_mm in marks:
        label[tree.query_ball_point((x, y, z), diameter_mm / 2 + 5.0)] = -1
    label[chosen] = 1
    return label
