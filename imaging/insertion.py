"""Nodules of known size and place, inserted into a scan by the physics of the scanner.

A nodule is a body of constant attenuation, slightly aspheric or of several lobes. Its
image is the share of each voxel's point-spread function that the body fills; there it
replaces the tissue of the scan, and brings noise of the scan's own strength:

    image = (1 - share) * scan + share * (nodule HU + noise)

Ground glass replaces air alone: what is denser shows through it.

The point-spread function is a Gaussian in the plane times a slice-sensitivity
profile along the patient (a box of the slice thickness, smoothed), after
Samei 2019 (Med Phys 46:e735, performance evaluation of CT systems).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.attenuation import GROUND_GLASS_HU
from imaging.geometry import index_of, points_mm
from records.model import Point, Volume

__all__ = [
    "MOSTLY_NEW",
    "InsertedNodule",
    "Lobe",
    "ScannerBlur",
    "blurred_share",
    "draw_sites",
    "images_of",
    "insert_nodules",
    "lobed_nodule",
    "nodule_share",
    "random_direction",
    "shares_new",
    "within",
]

Floats = NDArray[np.float64]
Float = TypeVar("Float", bound=np.floating[Any])
Image = tuple[Floats, tuple[slice, ...]]  # what of a nodule's image lies in the scan, and where
Body = Callable[[Floats, Floats, Floats], Floats]  # see `blurred_share`

OVERSAMPLING = 3
LOBES = (1, 3)  # beside the first
LOBE_SIZE, LOBE_AWAY = (0.5, 0.85), (0.6, 1.0)  # of the first one's radius
LOBE_GRID = 40  # samples a side for the volume of a lobed body
MOSTLY_NEW = 0.5  # of the brightness a nodule brings; below it, most was vessel, wall or hilum before


@dataclass(frozen=True, slots=True)
class Lobe:
    """One of the balls of a lobed body."""

    offset_mm: Point  # from the body's centre of mass, LPS
    radius_mm: float


@dataclass(frozen=True, slots=True)
class InsertedNodule:
    """The truth of one simulated nodule."""

    centre_mm: Point  # LPS
    diameter_mm: float  # of the ball of equal volume
    hu: float
    elongation: float = 1.0  # long axis over short, volume kept
    direction: Point = (0.0, 0.0, 1.0)  # unit vector of the long axis
    lobes: tuple[Lobe, ...] = ()  # the body is these balls together, and no ellipsoid


@dataclass(frozen=True, slots=True)
class ScannerBlur:
    """Point-spread function of a reconstruction."""

    in_plane_sigma_mm: float
    slice_thickness_mm: float

    def profile_sigma_mm(self) -> float:
        """Return the smoothing at the ends of the slice-sensitivity box, a quarter of its width."""
        return 0.25 * self.slice_thickness_mm


def insert_nodules(
    volume: Volume,
    nodules: list[InsertedNodule],
    blur: ScannerBlur,
    *,
    noise_hu: float,
    rng: np.random.Generator,
    images: list[Image] | None = None,
) -> NDArray[np.int16]:
    """Return the HU of `volume` with `nodules` inside.

    Parameters
    ----------
    volume : Volume
        The scan; it is not changed.
    nodules : list of InsertedNodule
        Bodies; where two overlap the later replaces the earlier.
    blur : ScannerBlur
        Of the reconstruction the scan came from.
    noise_hu : float
        Standard deviation of the scan's noise.
    rng : numpy Generator
        For the noise inside the nodules.
    images : list, optional
        Of the nodules, from `images_of`, where they are known.

    Returns
    -------
    (planes, rows, columns) int16 ndarray
    """
    hu = volume.hu.copy()
    images = images_of(volume, nodules, blur) if images is None else images
    for nodule, (share, window) in zip(nodules, images, strict=True):
        if share.size == 0:
            continue
        grain = ndimage.gaussian_filter(rng.standard_normal(share.shape), (0.0, 0.7, 0.7))
        grain *= noise_hu / max(float(grain.std()), 1e-6)
        tissue = hu[window].astype(np.float32)
        if nodule.hu < GROUND_GLASS_HU:
            share = np.where(tissue > nodule.hu, 0.0, share)
        # The tissue keeps (1 - share) of its own noise; what is missing to the full variance is added.
        missing = np.sqrt(1.0 - (1.0 - share) ** 2)
        hu[window] = np.rint((1.0 - share) * tissue + share * nodule.hu + missing * grain).astype(np.int16)
    return hu


def images_of(volume: Volume, nodules: list[InsertedNodule], blur: ScannerBlur) -> list[Image]:
    """Return for each nodule the share of each voxel's point-spread function inside it, and which voxels."""
    centres = index_of(volume, np.array([n.centre_mm for n in nodules], float).reshape(-1, 3))
    return [
        within(*nodule_share(volume, nodule, centre, blur), volume.hu.shape)
        for nodule, centre in zip(nodules, centres, strict=True)
    ]


def nodule_share(
    volume: Volume, nodule: InsertedNodule, centre: Floats, blur: ScannerBlur
) -> tuple[Floats, NDArray[np.int64]]:
    """Return the share of each voxel's point-spread function inside a nodule, and the window's first index.

    Parameters
    ----------
    volume : Volume
        The grid.
    nodule : InsertedNodule
    centre : (3,) ndarray
        Its centre as an index of the grid.
    blur : ScannerBlur
    """
    low, size = _window(nodule, centre, np.asarray(volume.spacing_mm), blur)
    return _filled_share(nodule, centre - low, tuple(size.tolist()), volume, blur), low


def shares_new(
    volume: Volume, nodules: list[InsertedNodule], images: list[Image], lungs: NDArray[np.bool_]
) -> Floats:
    """Return what each nodule adds to the scan, as a share of what it would add in air-filled lung, (N,).

    Sites are drawn in the mask of the lungs, where vessels, consolidation and the edge of hilum and wall
    lie too. A ball in the middle of a vessel adds nothing: no reader could tell that it is there.

    Parameters
    ----------
    volume : Volume
        The scan without them.
    nodules : list of InsertedNodule
    images : list
        Theirs, from `images_of`.
    lungs : (planes, rows, columns) bool ndarray
        The median of every fourth plane is the attenuation of air-filled lung.
    """
    lung_hu = float(np.median(volume.hu[::4][lungs[::4]]))
    out = np.empty(len(nodules))
    for n, (nodule, (share, window)) in enumerate(zip(nodules, images, strict=True)):
        before = volume.hu[window].astype(float)
        added_hu = np.sum(share * np.maximum(nodule.hu - before, 0.0))
        out[n] = added_hu / np.sum(share * (nodule.hu - lung_hu))
    return out


def within(
    share: NDArray[Float], low: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[NDArray[Float], tuple[slice, ...]]:
    """Return the part of a window that lies in an array of this shape, and where; empty where none does.

    Parameters
    ----------
    share : (p, r, c) ndarray
        Values in the window.
    low : (3,) ndarray
        Its first index in the array.
    shape : tuple of int
        Of the array.
    """
    start = np.clip(low, 0, shape)
    stop = np.clip(low + share.shape, start, shape)
    part = tuple(slice(a, b) for a, b in zip(start - low, stop - low, strict=True))
    return share[part], tuple(slice(a, b) for a, b in zip(start, stop, strict=True))


def _window(
    nodule: InsertedNodule, centre: Floats, spacing_mm: Floats, blur: ScannerBlur
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first index and the size of the window that a nodule's image needs."""
    reach_mm = _farthest_mm(nodule) + 3 * blur.in_plane_sigma_mm + 0.75 * blur.slice_thickness_mm
    low = np.floor(centre - reach_mm / spacing_mm).astype(np.int64)
    high = np.ceil(centre + reach_mm / spacing_mm).astype(np.int64) + 1
    return low, high - low


def _filled_share(
    nodule: InsertedNodule,
    centre: NDArray[np.float64],
    shape: tuple[int, ...],
    volume: Volume,
    blur: ScannerBlur,
) -> NDArray[np.float64]:
    """Return the share of each voxel's point-spread function inside the body."""
    spacing_mm = np.asarray(volume.spacing_mm)
    # A soft edge of one fine voxel keeps the volume exact below the fine grid.
    fine_mm = float((spacing_mm / _oversampling(spacing_mm)).max())
    form = _lobes if nodule.lobes else _ellipsoid
    return blurred_share(form(nodule, volume.axes, fine_mm), shape, centre, spacing_mm, blur)


def _farthest_mm(nodule: InsertedNodule) -> float:
    """Return how far from its centre a nodule reaches."""
    if nodule.lobes:
        return max(float(np.linalg.norm(lobe.offset_mm)) + lobe.radius_mm for lobe in nodule.lobes)
    return 0.5 * nodule.diameter_mm * float(nodule.elongation ** (2 / 3))


def _ellipsoid(nodule: InsertedNodule, axes: Floats, fine_mm: float) -> Body:
    along = axes @ np.asarray(nodule.direction)  # the long axis in array axes
    short_mm = 0.5 * nodule.diameter_mm * nodule.elongation ** (-1 / 3)
    long_mm = short_mm * nodule.elongation

    def body(p: Floats, r: Floats, c: Floats) -> Floats:
        projected = p * along[0] + r * along[1] + c * along[2]
        squared = p**2 + r**2 + c**2 - projected**2
        distance = np.sqrt(squared / short_mm**2 + projected**2 / long_mm**2)
        inside: Floats = np.clip(0.5 - (distance - 1.0) * short_mm / fine_mm, 0.0, 1.0)
        return inside

    return body


def _lobes(nodule: InsertedNodule, axes: Floats, fine_mm: float) -> Body:
    balls = [(axes @ np.asarray(lobe.offset_mm), lobe.radius_mm) for lobe in nodule.lobes]

    def body(p: Floats, r: Floats, c: Floats) -> Floats:
        depths_mm = [
            radius - np.sqrt((p - at[0]) ** 2 + (r - at[1]) ** 2 + (c - at[2]) ** 2) for at, radius in balls
        ]
        inside: Floats = np.clip(0.5 + np.max(depths_mm, axis=0) / fine_mm, 0.0, 1.0)
        return inside

    return body


def _oversampling(spacing_mm: Floats) -> NDArray[np.int64]:
    """Return fine samples a voxel; slices are sampled at least every 0.3 mm before the profile averages."""
    return np.array([max(OVERSAMPLING, int(np.ceil(spacing_mm[0] / 0.3))), OVERSAMPLING, OVERSAMPLING])


def blurred_share(
    body: Body,
    shape: tuple[int, ...],
    centre: Floats,
    spacing_mm: Floats,
    blur: ScannerBlur,
) -> Floats:
    """Return the share of each voxel's point-spread function inside a body of any form.

    Parameters
    ----------
    body : callable
        From open grids of (plane, row, column) millimetres to the share of each place inside, 0 to 1.
    shape : tuple of int
        Voxels of the window.
    centre : (3,) ndarray
        Index in the window where the body's own millimetres begin.
    spacing_mm : (3,) ndarray
        Of the scan.
    blur : ScannerBlur

    Returns
    -------
    (planes, rows, columns) ndarray
        Of `shape`.
    """
    factors = _oversampling(spacing_mm)
    axes_mm = [
        ((np.arange(n * f) + 0.5) / f - 0.5 - c) * step
        for n, f, c, step in zip(shape, factors, centre, spacing_mm, strict=True)
    ]
    fine = body(*np.meshgrid(*axes_mm, indexing="ij", sparse=True))
    fine_spacing = spacing_mm / factors
    sigma = blur.in_plane_sigma_mm / fine_spacing
    fine = ndimage.gaussian_filter1d(fine, sigma[1], axis=1, mode="constant")
    fine = ndimage.gaussian_filter1d(fine, sigma[2], axis=2, mode="constant")
    fine = ndimage.gaussian_filter1d(fine, blur.profile_sigma_mm() / fine_spacing[0], axis=0, mode="constant")
    width = max(1, round(blur.slice_thickness_mm / fine_spacing[0]))
    fine = ndimage.uniform_filter1d(fine, width, axis=0, mode="constant", origin=0)
    blocks = fine.reshape(*(x for n, f in zip(shape, factors, strict=True) for x in (n, f)))
    # One fine sample a voxel would do after the profile; the mean over the plane is the pixel itself.
    share: Floats = blocks[:, factors[0] // 2].mean(axis=(2, 4))
    return np.clip(share, 0.0, 1.0)


def random_direction(rng: np.random.Generator) -> Point:
    """Return a unit vector, all directions alike."""
    axis = rng.standard_normal(3)
    x, y, z = (axis / np.linalg.norm(axis)).tolist()
    return x, y, z


def lobed_nodule(centre_mm: Point, diameter_mm: float, hu: float, rng: np.random.Generator) -> InsertedNodule:
    """Return a nodule of two to four lobes drawn at random, of the volume of a ball of this diameter."""
    offsets, radii = [np.zeros(3)], [1.0]
    for _ in range(int(rng.integers(LOBES[0], LOBES[1] + 1))):
        offsets.append(rng.uniform(*LOBE_AWAY) * np.asarray(random_direction(rng)))
        radii.append(float(rng.uniform(*LOBE_SIZE)))
    reach = LOBE_AWAY[1] + LOBE_SIZE[1]
    step = 2 * reach / LOBE_GRID
    places = (np.indices((LOBE_GRID,) * 3).reshape(3, -1).T + 0.5) * step - reach
    balls = list(zip(offsets, radii, strict=True))
    inside = np.any([np.sum((places - at) ** 2, axis=1) < radius**2 for at, radius in balls], axis=0)
    middle = places[inside].mean(axis=0)
    scale = 0.5 * diameter_mm / float(np.cbrt(np.count_nonzero(inside) * step**3 * 3 / (4 * np.pi)))
    lobes = []
    for at, radius in balls:
        x, y, z = (scale * (at - middle)).tolist()
        lobes.append(Lobe((x, y, z), scale * radius))
    return InsertedNodule(centre_mm, diameter_mm, hu, lobes=tuple(lobes))


def draw_sites(
    volume: Volume,
    inside: NDArray[np.bool_],
    count: int,
    *,
    apart_mm: float,
    rng: np.random.Generator,
    taken_mm: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Draw places uniformly inside a mask, none nearer than `apart_mm` to another.

    Parameters
    ----------
    volume : Volume
        The grid of the mask.
    inside : (planes, rows, columns) bool ndarray
        Where a centre may lie.
    count : int
        Places wanted; fewer come back if the mask is too small for them.
    apart_mm : float
        Least distance between centres.
    rng : numpy Generator
    taken_mm : (N, 3) ndarray, optional
        Places already occupied, LPS mm.

    Returns
    -------
    (M, 3) ndarray
        LPS, mm; M is `count` or less.
    """
    voxels = np.flatnonzero(inside)
    if voxels.size == 0:
        return np.zeros((0, 3))
    placed = [] if taken_mm is None else list(np.asarray(taken_mm, float))
    first = len(placed)
    cells: dict[tuple[int, ...], list[NDArray[np.float64]]] = {}

    def cell(place: NDArray[np.float64]) -> tuple[int, ...]:
        return tuple(np.floor(place / apart_mm).astype(int).tolist())

    for place in placed:
        cells.setdefault(cell(place), []).append(place)
    draws = rng.choice(voxels, size=min(20 * count + 100, 4_000_000))
    indices = np.stack(np.unravel_index(draws, inside.shape), axis=1) + rng.uniform(
        -0.5, 0.5, (draws.size, 3)
    )
    for place in points_mm(volume, indices):
        if len(placed) - first == count:
            break
        home = cell(place)
        near = (
            other
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
            for k in (-1, 0, 1)
            for other in cells.get((home[0] + i, home[1] + j, home[2] + k), ())
        )
        if all(float(np.sum((place - other) ** 2)) >= apart_mm**2 for other in near):
            placed.append(place)
            cells.setdefault(home, []).append(place)
    return np.array(placed[first:]).reshape(-1, 3)
