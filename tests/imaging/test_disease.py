"""Simulated disease against geometry: what is painted has the mass, the place and the count it says."""

import numpy as np
import pytest

from imaging.disease import KINDS, Canvas, Chest, make_ill
from imaging.disease.kinds import Group
from imaging.disease.lobules import Patches, lymphangitic
from imaging.disease.miliary import miliary, nodules_at
from imaging.disease.opacities import EMPTY_HU, FLUID_HU, add_noise, effusion, emphysema, ground_glass, move
from imaging.geometry import index_of
from imaging.insertion import ScannerBlur
from tests.imaging.chests import SPACING_MM, box_lungs, box_volume

CHEST = Chest(box_volume(), box_lungs(), ScannerBlur(0.6, 2.0), 0.0)
NOISY = Chest(box_volume(15.0), box_lungs(), ScannerBlur(0.6, 2.0), 15.0)
LUNG = CHEST.labels > 0


def canvas(seed=1, chest=CHEST) -> Canvas:
    return Canvas(chest, np.random.default_rng(seed))


def added_mm3(after, tissue_hu: float) -> float:
    """Return how much tissue was added to lung of -850 HU."""
    rise = (after.astype(float) - CHEST.volume.hu)[LUNG].sum()
    return float(rise / (tissue_hu + 850) * np.prod(SPACING_MM))


def test_thousands_of_nodules_have_the_volume_of_their_balls():
    ill = canvas()
    deep = CHEST.depth_mm > 8
    ill.put_many(nodules_at(ill, ill.sites(deep, 120, 7.0), (2.0, 4.0), (0.0, 0.0)))
    balls = sum(np.pi / 6 * n.diameter_mm**3 for n in ill.nodules)
    assert len(ill.nodules) == 120
    assert added_mm3(ill.hu, 0.0) == pytest.approx(balls, rel=0.03)


def test_moulded_nodules_lie_where_they_say():
    ill = canvas()
    ill.put_many(nodules_at(ill, ill.sites(CHEST.depth_mm > 8, 1, 7.0), (4.0, 4.0), (0.0, 0.0)))
    rise = (ill.hu - CHEST.volume.hu).astype(float)
    centre = (np.argwhere(rise > 0) * rise[rise > 0][:, None]).sum(axis=0) / rise.sum()
    x, y, z = ill.nodules[0].centre_mm
    at = np.array([z + 48.0, y + 40.0, x + 70.0]) / SPACING_MM
    np.testing.assert_allclose(centre, at, atol=0.05)


def test_miliary_disease_graded_to_the_bases_is_denser_there():
    ill = canvas()
    miliary(ill, 400, (1.5, 3.0), base_over_apex=3.0)
    heights = np.array([n.centre_mm[2] for n in ill.nodules])
    assert np.sum(heights < -8) > 1.5 * np.sum(heights > 8)


def test_septa_have_the_mass_of_their_plates():
    # Everywhere involved: lobules of volume V have faces of area S/2 each; cells of a random tessellation
    # with n seeds in volume W have together 2.91 n^(1/3) W^(2/3) of faces (Moller 1992, Poisson-Voronoi);
    # seeds kept apart have up to a tenth less.
    ill = canvas()
    whole = Patches(LUNG.astype(np.float32))
    lymphangitic(ill, whole, (1.0, 1.0), 0)
    haze = 0.12 * (850 - 600)
    tissue = (ill.hu - CHEST.volume.hu).astype(float)[CHEST.depth_mm > 4] - haze
    thickness = tissue.mean() / (20 + 850)  # share of the lung in septa, and so faces a volume times 1 mm
    faces = 2.91 / (0.8 * 14.0 * 1.05)  # a dense random packing leaves about 1.05 times its least distance
    assert thickness == pytest.approx(faces * 1.0, rel=0.35)


def test_ground_glass_darkens_no_vessel():
    ill = canvas()
    ill.hu[20:28, 30, 10:50] = 30
    before = ill.hu.copy()
    ground_glass(ill, 20, (8.0, 14.0))
    assert (ill.hu >= before).all()
    assert (ill.hu[20:28, 30, 10:50] == 30).all()
    assert (ill.hu > before).any()


def test_holes_of_emphysema_are_nearly_air_and_leave_vessels_and_grain():
    ill = canvas(chest=NOISY)
    ill.hu[20:28, 30, 10:50] = 30
    emphysema(ill, 60, radius_mm=(8.0, 8.0), emptied=1.0)
    lung = ill.hu[NOISY.depth_mm > 0]
    holes = lung[lung < -915]
    share = 60 * 4 / 3 * np.pi * 8.0**3 / (LUNG.sum() * np.prod(SPACING_MM))  # some overlap or are cut off
    assert 0.4 * share < len(holes) / len(lung) < share
    assert np.median(holes) == pytest.approx(EMPTY_HU, abs=8)
    assert 1.48 * np.median(np.abs(holes - np.median(holes))) == pytest.approx(15.0, rel=0.35)
    assert (ill.hu[20:28, 30, 10:50] == 30).all()


def test_fluid_takes_its_share_of_one_lung():
    ill = canvas()
    effusion(ill, 0.25)
    filled = [float((ill.hu[CHEST.labels == side] > -100).mean()) for side in (1, 2)]
    assert min(filled) < 0.02
    assert 0.25 < max(filled) < 0.45  # the fluid and the lung pressed beside it


def test_fluid_holds_no_nodules_and_airless_lung_hides_its_own():
    ill = canvas()
    miliary(ill, 200, (2.0, 3.0))
    drawn = len(ill.nodules)
    effusion(ill, 0.25)
    places = index_of(CHEST.volume, np.array([n.centre_mm for n in ill.nodules]))
    there_hu = ill.hu[tuple(np.rint(places).astype(int).T)]
    assert len(ill.nodules) < drawn
    assert np.any(there_hu > 0)  # pressed beside the fluid
    assert not np.any(there_hu == FLUID_HU)


def test_noise_has_the_strength_asked_for():
    ill = canvas()
    add_noise(ill, 30.0)
    middle = (ill.hu - CHEST.volume.hu)[22:26].astype(float)
    assert middle[LUNG[22:26]].std() == pytest.approx(30.0, rel=0.08)


def test_motion_keeps_the_mass():
    ill = canvas()
    ill.hu[20:28, 30:34, 26:30] = 30
    before = ill.hu[:, 8:56, 8:48].astype(float).sum()
    move(ill, 2.0)
    assert ill.hu[:, 8:56, 8:48].astype(float).sum() == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize("kind", ["miliary_faint", "few", "perilymphatic", "tree_in_bud", "consolidation"])
def test_a_seed_paints_the_same_again_and_another_seed_does_not(kind):
    first, again, other = (make_ill(NOISY, kind, seed).volume.hu for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first != NOISY.volume.hu).any()


def test_there_are_all_three_groups_of_kinds():
    assert {kind.group for kind in KINDS.values()} == set(Group)
