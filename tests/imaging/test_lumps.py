"""Large nodules stand out from the air around them; vessels, forks and walls do not.

Bodies are drawn by arithmetic into two lungs that are boxes, blurred as a scanner does.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from imaging.filters import block_mean
from imaging.lesions import find_lesions
from imaging.lumps import Lump, find_lumps
from imaging.lungs import Lungs
from records.model import Volume
from tests.imaging.chests import AXIAL

SPACING_MM = (1.25, 0.8, 0.8)
BLOCK = (2, 3, 3)
COARSE = (40, 40, 80)
BLUR_MM = 0.6
MIDDLE = (50.0, 48.0, 48.0)  # mm, of the right lung's box
WALL_MM = 36 * BLOCK[1] * SPACING_MM[1] - SPACING_MM[1] / 2  # where that box ends, along rows and columns
Body = Callable[[NDArray[np.float64]], NDArray[np.bool_]]


def chest_with(
    *bodies: Body, noise_hu: float = 10.0, body_hu: float = 40.0, lung_hu: float = -850.0
) -> tuple[Volume, Lungs]:
    """Return a scan of two lungs in soft tissue with bodies in them, and the lungs."""
    coarse = np.zeros(COARSE, np.uint8)
    coarse[4:36, 4:36, 4:36] = 1
    coarse[4:36, 4:36, 44:76] = 2
    shape = tuple(n * b for n, b in zip(COARSE, BLOCK, strict=True))
    dense = coarse == 0
    for axis, block in enumerate(BLOCK):
        dense = dense.repeat(block, axis=axis)
    places = np.stack(
        np.meshgrid(*(np.arange(n) * d for n, d in zip(shape, SPACING_MM, strict=True)), indexing="ij")
    )
    hu = np.where(dense, 40.0, lung_hu)
    for body in bodies:
        hu[body(places) & ~dense] = body_hu
    hu = ndimage.gaussian_filter(hu, BLUR_MM / np.array(SPACING_MM))
    hu += noise_hu * np.random.default_rng(0).standard_normal(shape)
    uids = tuple(str(n) for n in range(shape[0]))
    volume = Volume(np.rint(hu).astype(np.int16), (0, 0, 0), AXIAL, SPACING_MM, 1.25, "", "1.2", "1.3", uids)
    depth = np.where(coarse > 0, 5.0, -5.0).astype(np.float32)
    return volume, Lungs(coarse, coarse > 0, depth, BLOCK, shape, SPACING_MM)


def ball(centre_mm: tuple[float, float, float], diameter_mm: float) -> Body:
    centre = np.array(centre_mm)[:, None, None, None]
    return lambda places: ((places - centre) ** 2).sum(axis=0) <= (diameter_mm / 2) ** 2


def vessel(
    centre_mm: tuple[float, float, float], direction: tuple[float, float, float], width_mm: float
) -> Body:
    """Return an endless cylinder through a place."""
    along = np.array(direction) / np.linalg.norm(direction)

    def inside(places: NDArray[np.float64]) -> NDArray[np.bool_]:
        away = places - np.array(centre_mm)[:, None, None, None]
        axial = np.tensordot(along, away, axes=1)
        return np.asarray((away**2).sum(axis=0) - axial**2 <= (width_mm / 2) ** 2)

    return inside


def half_vessel(direction: tuple[float, float, float], width_mm: float) -> Body:
    """Return a cylinder that starts at the middle of the lung."""
    whole = vessel(MIDDLE, direction, width_mm)
    along = np.array(direction)
    return lambda places: (
        whole(places) & (np.tensordot(along, places - np.array(MIDDLE)[:, None, None, None], 1) >= 0)
    )


def lumps_in(*bodies: Body) -> tuple[Lump, ...]:
    volume, lungs = chest_with(*bodies)
    return find_lumps(volume.hu, block_mean(volume.hu, lungs.block), lungs)


@pytest.mark.parametrize("lung_hu", [-900.0, -850.0, -800.0])
@pytest.mark.parametrize("above_hu", [200.0, 300.0, 400.0])
@pytest.mark.parametrize("diameter_mm", [11.0, 14.0, 20.0, 28.0])
def test_a_ball_of_ground_glass_is_told_and_sized(diameter_mm, above_hu, lung_hu):
    volume, lungs = chest_with(ball(MIDDLE, diameter_mm), body_hu=lung_hu + above_hu, lung_hu=lung_hu)
    (lesion,) = find_lesions(volume, lungs).found
    assert lesion.diameter_mm == pytest.approx(diameter_mm, abs=0.3)
    assert lesion.mean_hu == pytest.approx(lung_hu + above_hu, abs=25)
    assert np.linalg.norm(np.array(lesion.index) * SPACING_MM - MIDDLE) < 2.0  # a coarse voxel has 2.4 mm


HAZY_AND_NO_BALL = [
    pytest.param([vessel(MIDDLE, (1.0, 0.3, 0.2), 10.0)], -600.0, id="band"),
    pytest.param([lambda places: places[1] > WALL_MM - 15], -650.0, id="dependent-lung"),
    pytest.param([lambda places: np.abs(places[0] - MIDDLE[0]) < 6], -600.0, id="layer"),
    pytest.param(
        [ball((MIDDLE[0] + dz, MIDDLE[1] + dy, MIDDLE[2] + dx), 3.2)
         for dz in (-6, 0, 6) for dy in (-6, 0, 6) for dx in (-6, 0, 6)], 40.0, id="micronodules",
    ),
    pytest.param(
        [vessel((MIDDLE[0], MIDDLE[1] + dy, MIDDLE[2] + dx), (1.0, 0.0, 0.0), 2.4)
         for dy in (-5, 0, 5) for dx in (-5, 0, 5)], 40.0, id="vessels-side-by-side",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("bodies", "body_hu"), HAZY_AND_NO_BALL)
def test_what_is_hazy_and_no_ball_is_no_lump(bodies, body_hu):
    volume, lungs = chest_with(*bodies, body_hu=body_hu)
    assert not find_lumps(volume.hu, block_mean(volume.hu, lungs.block), lungs)


def test_what_the_edge_of_the_image_cuts_is_told_inside_the_image():
    volume, lungs = chest_with(ball(MIDDLE, 18.0))
    block = lungs.block[2]
    first = round((MIDDLE[2] + 4.8) / SPACING_MM[2] / block)  # a cap of 4 mm is left
    hu = np.ascontiguousarray(volume.hu[:, :, first * block :])
    coarse, depth_mm = lungs.coarse[:, :, first:], lungs.depth_mm[:, :, first:]
    rest = replace(lungs, coarse=coarse, aerated=coarse > 0, depth_mm=depth_mm, shape=hu.shape)
    lumps = find_lumps(hu, block_mean(hu, rest.block), rest)
    assert lumps
    for lump in lumps:
        assert lump.index[2] >= -0.5
        assert lump.radius_mm < 9
    for lesion in find_lesions(replace(volume, hu=hu), rest).found:
        assert lesion.mean_hu > -100  # tissue, some lung beside it


@pytest.mark.parametrize("diameter_mm", [8.0, 9.0, 10.0, 11.0, 12.0, 15.0, 20.0, 25.0, 30.0])
def test_a_ball_is_found_and_sized(diameter_mm):
    (lump,) = lumps_in(ball(MIDDLE, diameter_mm))
    assert np.linalg.norm(np.array(lump.index) * SPACING_MM - MIDDLE) < 1.5
    assert 2 * lump.radius_mm == pytest.approx(diameter_mm, rel=0.05)
    assert lump.free > 0.95


@pytest.mark.parametrize("diameter_mm", [10.0, 14.0, 20.0])
@pytest.mark.parametrize("sunk", [0.0, 0.25])
def test_a_ball_on_the_wall_is_found(diameter_mm, sunk):
    (lump,) = lumps_in(ball((50.0, WALL_MM - (0.5 - sunk) * diameter_mm, 48.0), diameter_mm))
    assert 2 * lump.radius_mm == pytest.approx(diameter_mm, rel=0.2)


@pytest.mark.parametrize("diameter_mm", [14.0, 20.0, 28.0])
def test_a_ball_in_a_corner_of_the_wall_is_found(diameter_mm):
    away_mm = WALL_MM - 0.4 * diameter_mm
    (lump,) = lumps_in(ball((50.0, away_mm, away_mm), diameter_mm))
    assert 2 * lump.radius_mm == pytest.approx(diameter_mm, rel=0.2)


@pytest.mark.parametrize("width_mm", [10.0, 14.0, 20.0])
@pytest.mark.parametrize("sunk", [0.25, 0.5, 0.75])
def test_a_rib_that_bulges_is_no_lump(width_mm, sunk):
    assert lumps_in(vessel((50.0, WALL_MM - (0.5 - sunk) * width_mm, 48.0), (1, 0, 0.5), width_mm)) == ()


@pytest.mark.parametrize("diameter_mm", [10.0, 16.0, 24.0])
def test_a_ball_on_a_vessel_is_found(diameter_mm):
    (lump,) = lumps_in(ball(MIDDLE, diameter_mm), vessel(MIDDLE, (1, 1, 0), diameter_mm / 3))
    assert 2 * lump.radius_mm == pytest.approx(diameter_mm, rel=0.1)


@pytest.mark.parametrize("width_mm", [7.0, 9.0, 12.0, 16.0])
@pytest.mark.parametrize("direction", [(1, 0, 0), (0, 1, 1), (1, 1, 0.4)])
def test_a_vessel_is_no_lump(width_mm, direction):
    assert lumps_in(vessel(MIDDLE, direction, width_mm)) == ()


@pytest.mark.parametrize("width_mm", [7.0, 10.0, 14.0])
def test_a_fork_is_no_lump(width_mm):
    arms = ((0, 1, 0), (0, -0.5, 0.866), (0, -0.5, -0.866))
    found = np.array([lump.index for lump in lumps_in(*(half_vessel(arm, width_mm) for arm in arms))])
    assert not any(np.linalg.norm(found.reshape(-1, 3) * SPACING_MM - MIDDLE, axis=1) < 2 * width_mm)


def test_walls_alone_hold_no_lump():
    assert lumps_in() == ()


def test_a_ball_of_ten_millimetres_and_more_is_a_lesion():
    volume, lungs = chest_with(ball(MIDDLE, 12.0), ball((50.0, 48.0, 150.0), 8.0))
    lesions = find_lesions(volume, lungs)
    (large,) = lesions.found
    assert large.diameter_mm == pytest.approx(12.0, abs=0.6)
    assert lesions.consolidation_ml == 0.0


def test_a_lesion_half_sunk_in_the_wall_has_about_half_its_surface_in_air():
    free, sunk = ball(MIDDLE, 20.0), ball((50.0, WALL_MM - 1.0, 48.0), 20.0)
    shares = [find_lesions(*chest_with(body)).found[0].in_air for body in (free, sunk)]
    assert shares[0] > 0.95
    # A little more than half: the ball that stands out most lies a little off the wall.
    assert 0.5 <= shares[1] < 0.65
