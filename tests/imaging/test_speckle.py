"""The texture of many nodules against Campbell's theorem, in lungs of known shape."""

from dataclasses import replace

import numpy as np
import pytest

from imaging.background import CLASSES
from imaging.candidates import ScaleSpace, build_scale_space
from imaging.census import Census
from imaging.geometry import points_mm
from imaging.insertion import InsertedNodule, ScannerBlur, insert_nodules
from imaging.resolution import Resolution
from imaging.response import MARK_EDGES, VISIBILITIES, Response
from imaging.sight import Sight
from imaging.speckle import NormalSpeckle, crowding, energies, measure_speckle, recount
from records.model import CountSource, Estimate
from tests.imaging.chests import box_lungs, box_volume
from tests.imaging.test_pattern import nodule

LUNGS = box_lungs()
PLAIN = box_volume(noise_hu=15.0)
RESOLUTION = Resolution(0.6, 2.0)
FAR = np.full(LUNGS.coarse.shape, 50.0, np.float32)  # no vessel anywhere
LUNG_MM3 = 2 * 80.0 * 70.0 * 55.0
DIAMETER_MM = 2.8


def strewn(count: int, diameter_mm: float = DIAMETER_MM) -> ScaleSpace:
    """Strew balls of 0 HU at random in lung of -850 HU, wherever they fall."""
    rng = np.random.default_rng(count)
    voxels = np.argwhere(LUNGS.labels > 0)
    places = points_mm(
        PLAIN, voxels[rng.integers(len(voxels), size=count)] + rng.uniform(-0.5, 0.5, (count, 3))
    )
    balls = [InsertedNodule((x, y, z), diameter_mm, 0.0) for x, y, z in places.tolist()]
    blur = ScannerBlur(RESOLUTION.in_plane_sigma_mm, RESOLUTION.slice_thickness_mm)
    hu = insert_nodules(PLAIN, balls, blur, noise_hu=15.0, rng=rng)
    return build_scale_space(replace(PLAIN, hu=hu), LUNGS)


EMPTY_HU2 = measure_speckle(build_scale_space(PLAIN, LUNGS), LUNGS, FAR)


@pytest.mark.parametrize(("count", "diameter_mm"), [(400, 2.0), (400, 3.0), (1200, 2.8), (300, 4.5)])
def test_variance_grows_by_number_times_energy_over_volume(count, diameter_mm):
    each = energies(np.array([diameter_mm]), PLAIN, RESOLUTION)[0] * 850.0**2
    excess = measure_speckle(strewn(count, diameter_mm), LUNGS, FAR) - EMPTY_HU2
    # Campbell's theorem. A few hundred balls scatter by some percent, and of 1,200 one in seven lies in
    # another, which replaces it and does not add to it.
    assert excess == pytest.approx(count * each / LUNG_MM3, rel=0.2)


def test_energy_is_that_of_a_blurred_ball_through_both_filters():
    fine = replace(PLAIN, hu=np.zeros((1, 1, 1), np.int16), spacing_mm=(0.5, 0.5, 0.5))
    found = energies(np.array([3.0]), fine, Resolution(0.6, 0.5))[0]
    # Parseval: over all wave numbers, the transforms of ball, blur and both Gaussians, squared.
    k = np.linspace(1e-3, 12, 4000)
    r = 1.5
    ball = 4 * np.pi * (np.sin(k * r) - k * r * np.cos(k * r)) / k**3
    along = np.linspace(0, 1, 41)[:, None]
    blur = np.exp(-0.5 * k**2 * (0.6**2 * (1 - along**2) + 0.5**2 * (1 / 12 + 1 / 16) * along**2))
    band = np.exp(-0.5 * (0.9 * k) ** 2) - np.exp(-0.5 * (1.35 * k) ** 2)
    spectrum = (ball * band) ** 2 * np.trapezoid(blur**2, along[:, 0], axis=0)
    assert found == pytest.approx(np.trapezoid(spectrum * k**2, k) / (2 * np.pi**2), rel=0.08)


def test_vessels_are_left_out():
    near = np.where(np.arange(LUNGS.coarse.shape[2]) < 28, 0.0, 50.0).astype(np.float32)
    vessel_mm = np.broadcast_to(near, LUNGS.coarse.shape)
    hu = PLAIN.hu.copy()
    hu[:, ::8, 6:50:8] = 40  # bright rods through the right box alone
    ribbed = build_scale_space(replace(PLAIN, hu=hu), LUNGS)
    assert measure_speckle(ribbed, LUNGS, FAR) > 5 * EMPTY_HU2
    assert measure_speckle(ribbed, LUNGS, vessel_mm) == pytest.approx(EMPTY_HU2, rel=0.1)


def test_crowding_is_the_neighbours_within_a_diameter():
    # One in a cubic centimetre, and a ball of 3 mm radius has 113 mm3.
    assert crowding(500, 3.0, 500_000.0) == pytest.approx(0.113, abs=0.001)


def recounted(marked: int, space: ScaleSpace) -> Census:
    found = np.ones((len(VISIBILITIES), 1))
    flat = np.zeros((len(VISIBILITIES), 1))
    false = np.ones((1, len(MARK_EDGES) - 1))
    response = Response(np.zeros(1), found, np.zeros(CLASSES), flat, flat + 0.1, false, 0.6, 0.1)
    nodules = [nodule(diameter_mm=DIAMETER_MM, mean_hu=0.0)] * marked
    count = Estimate(float(marked), 0.9 * marked, 1.1 * marked)
    return recount(
        Census(count, np.ones(marked), np.ones(marked, bool)),
        nodules,
        measure_speckle(space, LUNGS, FAR),
        normal=NormalSpeckle(EMPTY_HU2, 1.0),
        response=response,
        sight=Sight(60.0),
        volume=PLAIN,
        lungs=LUNGS,
        space=space,
        resolution=RESOLUTION,
    )


def test_where_marks_merge_the_texture_counts_what_they_stand_for():
    there = 2400  # of which neighbours were taken for one
    census = recounted(1600, strewn(there))
    assert census.source is CountSource.TEXTURE
    assert census.count.low <= there <= census.count.high
    assert census.count.value > 1600
    assert census.worth.sum() == pytest.approx(census.count.value)


def test_where_marks_lie_apart_they_count_alone():
    census = recounted(300, strewn(300))
    assert census.source is CountSource.MARKS
    assert census.count.value == 300.0


def test_merging_marks_are_never_too_many():
    census = recounted(2000, strewn(400))
    assert census.count.value == 2000.0
    assert census.count.low == 1800.0
