"""What is left of a nodule, measured on two images at once: balls beside vessels, with known answers."""

import numpy as np
import pytest

from imaging.paired import measure_shares
from imaging.resolution import Resolution
from tests import phantoms

SHAPE, SPACING = (40, 80, 80), (1.25, 0.7, 0.7)
SHARP = Resolution(0.6, 1.25)


def image(balls=(), *, vessel=False, spacing=SPACING, noise_hu=0.0, shift_mm=0.0, seed=0):
    """Return lung of -850 HU with balls (place, diameter) and a vessel of 4 mm along x at y = 0."""
    shape = tuple(round(n * a / b) for n, a, b in zip(SHAPE, SPACING, spacing, strict=True))
    z, y, x = phantoms.centred_axes(shape, spacing)
    y = y - shift_mm
    share = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape))
    edge = 1.2  # mm over which a border rises: the scanner's blur
    for (px, py, pz), diameter_mm in balls:
        off = np.sqrt((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2)
        share = np.maximum(share, np.clip((diameter_mm / 2 - off) / edge + 0.5, 0, 1))
    if vessel:
        share = np.maximum(share, np.clip((2.0 - np.sqrt(y**2 + z**2) + 0 * x) / edge + 0.5, 0, 1))
    hu = -850 + 810 * share + noise_hu * np.random.default_rng(seed).standard_normal(share.shape)
    corner = tuple(-(n - 1) / 2 * s for n, s in zip(shape, spacing, strict=True))[::-1]
    return phantoms.volume(hu, spacing, origin_mm=corner)


def share_of(first, second, place, diameter_mm, resolutions=(SHARP, SHARP), off_mm=(0.0, 0.0, 0.0)):
    found = measure_shares(
        first, second, np.array([place]), np.array([diameter_mm / 2]), lambda p: p + off_mm, resolutions
    )
    return float(found.share[0]), float(found.volume_ratio[0])


FREE, TOUCHING = (10.0, 12.0, 2.0), (0.0, 3.5, 0.0)


@pytest.mark.parametrize("diameter_mm", [2.0, 3.0, 5.0])
@pytest.mark.parametrize("place", [FREE, TOUCHING], ids=["free", "touching-a-vessel"])
def test_a_nodule_that_stays_is_there_and_one_that_goes_is_gone(place, diameter_mm):
    with_it = image([(place, diameter_mm)], vessel=True, noise_hu=15.0)
    again = image([(place, diameter_mm)], vessel=True, noise_hu=15.0, seed=1)
    without = image(vessel=True, noise_hu=15.0, seed=2)
    kept, ratio = share_of(with_it, again, place, diameter_mm)
    gone, left = share_of(with_it, without, place, diameter_mm)
    assert kept == pytest.approx(1.0, abs=0.15)
    assert ratio == pytest.approx(1.0, abs=0.2)
    # Where it touches the vessel a part of it was vessel all along.
    assert gone < 0.35
    assert left < 0.2


def test_an_alignment_a_little_off_is_made_good_by_the_vessel():
    with_it, without = image([(TOUCHING, 3.0)], vessel=True), image(vessel=True)
    for off_mm in ((0.0, 1.4, 0.0), (0.0, -0.7, 0.9)):
        assert share_of(with_it, with_it, TOUCHING, 3.0, off_mm=off_mm)[0] == pytest.approx(1.0, abs=0.1)
        assert share_of(with_it, without, TOUCHING, 3.0, off_mm=off_mm)[0] < 0.35


@pytest.mark.parametrize(("became_mm", "ratio"), [(3.6, 1.2**3), (4.05, 1.35**3), (2.4, 0.8**3)])
def test_growth_is_measured_as_volume(became_mm, ratio):
    found = share_of(image([(FREE, 3.0)]), image([(FREE, became_mm)]), FREE, 3.0)
    assert found[1] == pytest.approx(ratio, rel=0.15)


def test_thick_slices_make_no_growth():
    thick = image([(FREE, 3.0)], spacing=(0.625, 0.7, 0.7))
    hu = thick.hu.astype(float)
    hu = hu[: len(hu) // 4 * 4].reshape(-1, 4, *hu.shape[1:]).mean(axis=1)
    origin = (*thick.origin_mm[:2], thick.origin_mm[2] + 1.5 * 0.625)
    second = phantoms.volume(hu, (2.5, 0.7, 0.7), origin_mm=origin)
    share, ratio = share_of(image([(FREE, 3.0)]), second, FREE, 3.0, (SHARP, Resolution(0.6, 2.5)))
    assert share == pytest.approx(1.0, abs=0.15)
    assert ratio == pytest.approx(1.0, abs=0.2)


def test_no_nodules_give_no_shares():
    volume = image()
    assert (
        measure_shares(volume, volume, np.zeros((0, 3)), np.zeros(0), lambda p: p, (SHARP, SHARP)).share.size
        == 0
    )
