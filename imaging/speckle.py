"""How many nodules there are where they merge: told from the strength of the lung's texture at their size.

Blobs strewn at random add up to a noise whose variance is their number in a unit of volume times the energy
of one of them (Campbell 1909; Rice 1944, Bell Syst Tech J 23:282), whether or not they can be told apart. So
the image is filtered to their size, its variance over the lung outside vessels is taken, that of lungs
without nodules is taken away, and what is left is divided by the energy of a nodule of this scan, drawn on
its own grid through its own blur and filters. Normal lungs differ by as much as some hundred nodules make:
it can tell thousands, which is where marks merge.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.candidates import SCALES_MM, ScaleSpace
from imaging.census import Census
from imaging.count import NORMAL_90
from imaging.filters import gaussian
from imaging.insertion import InsertedNodule, ScannerBlur, nodule_share
from imaging.lungs import Lungs
from imaging.resolution import Resolution
from imaging.response import Response
from imaging.sight import Sight
from records.model import CountSource, Estimate, Nodule, Volume

__all__ = ["NormalSpeckle", "crowding", "energies", "measure_speckle", "recount"]

Floats = NDArray[np.float64]

BAND = 1  # 0.9 less 1.35 mm: answers to balls of 2 to 4 mm
SAMPLES = 60_000
DEPTH_MM = 4.0  # from the pleura
VESSEL_MM = 3.0  # from vessels, whose forks and walls are stronger than any texture
CROWDED = 0.2  # neighbours within a diameter: every fifth nodule touches another
DIAMETERS_MM = np.array([1.5, 2.0, 3.0, 4.0, 6.0, 8.0])
OFFSETS = ((0.0, 0.0, 0.0), (0.5, 0.25, 0.4), (0.25, 0.5, 0.1))  # of the centre from a voxel's
MARGIN = 8  # voxels around a drawn nodule, past which the filters answer nothing
LEAST_FOUND = 0.25  # a size of which fewer are found would count by its few chance marks
UNSURE = 0.25  # relative: nodules overlap, and their sizes are those of marks


@dataclass(frozen=True, slots=True)
class NormalSpeckle:
    """The texture of lungs without nodules: mean and spread between lungs, HU squared."""

    mean_hu2: float
    spread_hu2: float

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> "NormalSpeckle":
        """Return what a model's card tells."""
        return cls(float(card["speckle"]["mean_hu2"]), float(card["speckle"]["spread_hu2"]))


def measure_speckle(space: ScaleSpace, lungs: Lungs, vessel_mm: NDArray[np.float32]) -> float:
    """Return the variance of the filtered lung outside vessels, HU squared, at places drawn at random."""
    inside = np.argwhere((lungs.depth_mm > DEPTH_MM) & (vessel_mm > VESSEL_MM))
    if not len(inside):
        return 0.0
    rng = np.random.default_rng(0)
    coarse = inside[rng.integers(len(inside), size=SAMPLES)]
    places = (coarse + rng.uniform(0, 1, coarse.shape)) * np.asarray(lungs.block) - 0.5 - space.start
    index = tuple(np.clip(np.rint(places).astype(int), 0, np.array(space.lung.shape) - 1).T)
    return float(np.var(space.levels[BAND][index] - space.levels[BAND + 1][index], dtype=np.float64))


def energies(diameter_mm: Floats, volume: Volume, resolution: Resolution) -> Floats:
    """Return the energy of balls of unit contrast, mm^3: their filtered image squared, over all space.

    Parameters
    ----------
    diameter_mm : (N,) ndarray
    volume : Volume
        Its grid counts.
    resolution : Resolution
    """
    blur = ScannerBlur(resolution.in_plane_sigma_mm, resolution.slice_thickness_mm)
    drawn = [np.mean([_energy(d, off, volume, blur) for off in OFFSETS]) for d in DIAMETERS_MM.tolist()]
    return np.asarray(np.exp(np.interp(np.log(diameter_mm), np.log(DIAMETERS_MM), np.log(drawn))))


def _energy(
    diameter_mm: float, offset: tuple[float, float, float], volume: Volume, blur: ScannerBlur
) -> float:
    nodule = InsertedNodule((0.0, 0.0, 0.0), diameter_mm, 0.0)
    share, _ = nodule_share(volume, nodule, np.array(offset), blur)
    image = np.pad(share.astype(np.float32), MARGIN)
    # Step by step as `build_scale_space` does: on coarse slices that is not the same as at once.
    levels = [gaussian(image, SCALES_MM[0], volume.spacing_mm)]
    for before, after in itertools.pairwise(SCALES_MM[: BAND + 2]):
        levels.append(gaussian(levels[-1], float(np.sqrt(after**2 - before**2)), volume.spacing_mm))
    filtered = (levels[BAND] - levels[BAND + 1]).astype(np.float64)
    return float((filtered**2).sum() * np.prod(volume.spacing_mm))


def crowding(count: float, diameter_mm: float, lung_mm3: float) -> float:
    """Return how many others lie by chance within a diameter of a nodule: nearer ones touch."""
    return count / lung_mm3 * 4 / 3 * np.pi * diameter_mm**3


def recount(
    census: Census,
    nodules: Sequence[Nodule],
    speckle_hu2: float,
    *,
    normal: NormalSpeckle,
    response: Response,
    sight: Sight,
    volume: Volume,
    lungs: Lungs,
    space: ScaleSpace,
    resolution: Resolution,
) -> Census:
    """Return the census, its count read from the texture if nodules are so many that they merge.

    Parameters
    ----------
    census : Census
        Of the marks.
    nodules : sequence of Nodule
        All candidates.
    speckle_hu2 : float
        From `measure_speckle`.
    normal : NormalSpeckle
    response, sight : Response, Sight
        Tell how many nodules of each size a mark stands for.
    volume, lungs, space, resolution
        Of the scan.
    """
    counted = [n for n, counts in zip(nodules, census.counts, strict=True) if counts]
    diameters = np.array([n.diameter_mm.value for n in counted])
    lung_mm3 = float(np.count_nonzero(lungs.coarse) * np.prod(lungs.coarse_spacing_mm))
    if not counted or crowding(census.count.value, float(np.median(diameters)), lung_mm3) < CROWDED:
        return census
    hu = np.array([n.mean_hu for n in counted])
    contrast = np.maximum(hu - float(np.median(space.hu[space.inside])), 0.0)
    stands_for = 1.0 / np.maximum(response.share_found(sight.visibility(diameters, hu)), LEAST_FOUND)
    each = float(np.average(contrast**2 * energies(diameters, volume, resolution), weights=stands_for))
    value = max(0.0, speckle_hu2 - normal.mean_hu2) * lung_mm3 / each
    off = NORMAL_90 * float(np.hypot(normal.spread_hu2 * lung_mm3 / each, UNSURE * value))
    # Where marks merge they are too few, never too many.
    count = Estimate(
        max(value, census.count.value),
        max(value - off, census.count.low),
        max(value + off, census.count.high),
    )
    worth = census.worth * (count.value / census.count.value)
    return replace(census, count=count, worth=worth, source=CountSource.TEXTURE)
