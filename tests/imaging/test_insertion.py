"""Inserted nodules against the ball's own volume and the blur's own width."""

from dataclasses import replace
from math import pi

import numpy as np
import pytest

from imaging.geometry import index_of
from imaging.insertion import (
    InsertedNodule,
    Lobe,
    ScannerBlur,
    draw_sites,
    images_of,
    insert_nodules,
    lobed_nodule,
    shares_new,
)
from records.model import Volume

AXIAL = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])


def lung(spacing_mm=(1.25, 0.7, 0.7), shape=(24, 44, 44), hu=-850) -> Volume:
    return Volume(
        np.full(shape, hu, np.int16),
        (0.0, 0.0, 0.0),
        AXIAL,
        spacing_mm,
        spacing_mm[0],
        "",
        "1.2",
        "1.3",
        ("1",) * shape[0],
    )


def middle(volume: Volume) -> tuple[float, float, float]:
    p, r, c = ((n - 1) / 2 * s for n, s in zip(volume.hu.shape, volume.spacing_mm, strict=True))
    return c, r, p


def inserted(volume, *nodules, blur=None, noise_hu=0.0, seed=0):
    blur = blur or ScannerBlur(0.6, volume.spacing_mm[0])
    return insert_nodules(volume, list(nodules), blur, noise_hu=noise_hu, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("spacing_mm", [(0.7, 0.7, 0.7), (1.25, 0.7, 0.7), (2.5, 0.8, 0.8)])
@pytest.mark.parametrize("diameter_mm", [2.0, 4.0, 8.0])
def test_contrast_adds_up_to_the_volume_of_the_ball(diameter_mm, spacing_mm):
    volume = lung(spacing_mm)
    image = inserted(volume, InsertedNodule(middle(volume), diameter_mm, 0.0))
    added = (image.astype(float) + 850).sum() / 850 * np.prod(spacing_mm)
    # Rounding to HU and sampling every 2.5 mm cost up to 3 % of a 2 mm ball.
    assert added == pytest.approx(pi / 6 * diameter_mm**3, rel=0.03)


def test_a_vessel_shows_through_ground_glass_and_not_through_a_solid_nodule():
    volume = lung((0.7, 0.7, 0.7), (44, 44, 44))
    hu = volume.hu.copy()
    hu[:, 21:24, 21:24] = 40
    volume = replace(volume, hu=hu)
    faint = inserted(volume, InsertedNodule(middle(volume), 8.0, -500.0))
    assert np.array_equal(faint[:, 21:24, 21:24], hu[:, 21:24, 21:24])
    assert faint[22, 22, 24] == pytest.approx(-500, abs=15)
    solid = inserted(volume, InsertedNodule(middle(volume), 8.0, -100.0))
    assert solid[22, 22, 22] == pytest.approx(-100, abs=5)


def test_an_elongated_body_keeps_its_volume_and_points_its_way():
    volume = lung((0.7, 0.7, 0.7), (44, 44, 44))
    image = inserted(volume, InsertedNodule(middle(volume), 5.0, 0.0, 2.0, (1.0, 0.0, 0.0)))
    share = (image.astype(float) + 850) / 850
    assert share.sum() * 0.343 == pytest.approx(pi / 6 * 125, rel=0.03)
    places = np.argwhere(share > 0.5)
    assert np.ptp(places[:, 2]) > 1.5 * np.ptp(places[:, 0])


@pytest.mark.parametrize("seed", range(6))
def test_a_lobed_body_has_the_volume_and_the_place_that_it_should(seed):
    volume = lung((0.7, 0.7, 0.7), (44, 44, 44))
    nodule = lobed_nodule(middle(volume), 5.0, 0.0, np.random.default_rng(seed))
    share = (inserted(volume, nodule).astype(float) + 850) / 850
    assert share.sum() * 0.343 == pytest.approx(pi / 6 * 125, rel=0.03)
    at = (np.argwhere(share > -1) * share.reshape(-1, 1)).sum(axis=0) / share.sum()
    assert at == pytest.approx(index_of(volume, np.array([nodule.centre_mm]))[0], abs=0.15)
    assert 2 <= len(nodule.lobes) <= 4


def test_a_lobed_body_lies_as_its_lobes_do_in_any_axes():
    """The same two balls, one left of the other, seen in a scan whose columns run from left to right."""
    seen = []
    for axes in (AXIAL, np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])):
        volume = replace(
            lung((0.7, 0.7, 0.7), (44, 44, 44)), axes=axes, origin_mm=(15.0 * (axes[2, 0] < 0), 0, 0)
        )
        centre = (7.0, 15.0, 15.0)
        lobes = (Lobe((0.0, 0.0, 0.0), 2.0), Lobe((3.5, 0.0, 0.0), 2.0))
        share = inserted(volume, InsertedNodule(centre, 5.0, 0.0, lobes=lobes)).astype(float) + 850
        places = np.argwhere(share > 400) * 0.7
        x_mm = volume.origin_mm[0] + axes[2, 0] * places[:, 2]
        seen.append((x_mm.min(), x_mm.max()))
    assert seen[0] == pytest.approx(seen[1], abs=0.75)
    assert seen[0] == pytest.approx((7.0 - 2.0, 7.0 + 5.5), abs=0.75)


def test_the_centre_of_a_large_nodule_has_its_attenuation():
    volume = lung()
    image = inserted(volume, InsertedNodule(middle(volume), 8.0, -60.0))
    p, r, c = np.rint(index_of(volume, np.array([middle(volume)]))[0]).astype(int)
    assert image[p, r, c] == pytest.approx(-60, abs=2)


def test_a_nodule_replaces_a_vessel_and_does_not_add_to_it():
    vessel = lung(hu=40)
    assert inserted(vessel, InsertedNodule(middle(vessel), 6.0, 40.0)).max() <= 41


def test_a_ball_half_sunk_in_a_vessel_adds_half_of_what_it_adds_in_air():
    volume = lung((0.7, 0.7, 0.7), (44, 44, 44))
    volume.hu[:, :, 22:] = 0  # as bright as the balls, from half a voxel beyond the middle on
    x, y, z = middle(volume)
    balls = [InsertedNodule((x + shift_mm, y, z), 6.0, 0.0) for shift_mm in (-10.0, 0.0, 10.0)]
    images = images_of(volume, balls, ScannerBlur(0.5, 0.7))
    shares = shares_new(volume, balls, images, volume.hu < -500)
    np.testing.assert_allclose(shares, [1.0, 0.5, 0.0], atol=0.02)


def test_noise_inside_the_nodule_is_that_of_the_scan():
    volume = lung((1.0, 0.7, 0.7), (30, 60, 60))
    image = inserted(volume, InsertedNodule(middle(volume), 14.0, 0.0), noise_hu=20.0)
    p, r, c = (n // 2 for n in image.shape)
    core = image[p - 4 : p + 4, r - 5 : r + 5, c - 5 : c + 5].astype(float)
    assert core.std() == pytest.approx(20, rel=0.15)


def test_the_scan_itself_is_not_changed_and_a_seed_gives_the_same_bytes():
    volume = lung()
    before = volume.hu.copy()
    nodule = InsertedNodule(middle(volume), 4.0, 0.0)
    first, again = (inserted(volume, nodule, noise_hu=15.0, seed=3) for _ in range(2))
    assert np.array_equal(volume.hu, before)
    assert np.array_equal(first, again)


def test_a_nodule_at_the_edge_of_the_scan_is_cut_off_there():
    volume = lung()
    image = inserted(volume, InsertedNodule((0.0, 0.0, 0.0), 6.0, 0.0))
    assert image.shape == volume.hu.shape
    assert image[0, 0, 0] > -200


def test_sites_lie_inside_and_apart():
    volume = lung()
    inside = np.zeros(volume.hu.shape, bool)
    inside[4:20, 5:40, 5:40] = True
    sites = draw_sites(volume, inside, 30, apart_mm=4.0, rng=np.random.default_rng(1))
    index = np.rint(index_of(volume, sites)).astype(int)
    assert inside[tuple(index.T)].all()
    gaps = np.linalg.norm(sites[:, None] - sites[None], axis=2) + 1e9 * np.eye(len(sites))
    assert gaps.min() >= 4.0


def test_too_small_a_place_takes_fewer():
    volume = lung()
    inside = np.zeros(volume.hu.shape, bool)
    inside[10, 20, 20] = True
    assert len(draw_sites(volume, inside, 5, apart_mm=4.0, rng=np.random.default_rng(1))) == 1
