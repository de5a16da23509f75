"""Sharp, noisy scans are softened to a soft-tissue kernel, and nothing else is touched."""

import numpy as np
import pytest
from scipy import ndimage

from imaging.resolution import measure_resolution
from imaging.softening import SOFT_MM, softened
from records.model import Volume

AXIAL = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
PLANES, SIDE, PIXEL_MM = 40, 200, 0.7
LUNG = (slice(None), slice(50, 150), slice(30, 95))


def body(blur_mm: float, noise_hu: float) -> Volume:
    """Return a block of tissue with two lungs of straight walls, blurred in the plane, with white noise."""
    hu = np.full((PLANES, SIDE, SIDE), 40.0)
    hu[LUNG] = hu[:, 50:150, 105:170] = -850.0
    hu[20] = 40.0
    hu = ndimage.gaussian_filter(hu, (0, blur_mm / PIXEL_MM, blur_mm / PIXEL_MM))
    hu += np.random.default_rng(1).normal(0, noise_hu, hu.shape)
    uids = tuple(str(n) for n in range(PLANES))
    spacing_mm = (1.25, PIXEL_MM, PIXEL_MM)
    return Volume(
        np.rint(hu).astype(np.int16), (0.0, 0.0, 0.0), AXIAL, spacing_mm, 1.25, "", "1.2", "1.3", uids
    )


def noise_hu(volume: Volume) -> float:
    return float(volume.hu[2:18, 60:140, 45:80].std())


def test_a_sharp_kernel_is_softened_until_its_noise_is_usual():
    sharp = body(0.2, 60.0)
    soft = softened(sharp)
    assert noise_hu(soft) < 0.65 * noise_hu(sharp)
    assert softened(soft) is soft
    assert measure_resolution(sharp).in_plane_sigma_mm < measure_resolution(soft).in_plane_sigma_mm < SOFT_MM
    assert soft.spacing_mm == sharp.spacing_mm
    assert soft.sop_instance_uids == sharp.sop_instance_uids


def test_no_more_is_taken_than_noise_asks_for():
    barely = softened(body(0.2, 32.0))
    assert (
        measure_resolution(barely).in_plane_sigma_mm
        < measure_resolution(softened(body(0.2, 60.0))).in_plane_sigma_mm
    )


def test_slices_are_not_mixed():
    soft = softened(body(0.2, 60.0))
    assert soft.hu[(20, *LUNG[1:])].mean() == pytest.approx(40.0, abs=3.0)
    assert soft.hu[19, 60:140, 45:80].mean() == pytest.approx(-850.0, abs=3.0)


@pytest.mark.parametrize(
    ("blur_mm", "noise"),
    [
        pytest.param(0.2, 15.0, id="sharp-and-quiet"),
        pytest.param(0.8, 60.0, id="soft-and-noisy"),
        pytest.param(0.6, 10.0, id="soft-and-quiet"),
    ],
)
def test_other_scans_are_looked_at_as_they_are(blur_mm, noise):
    volume = body(blur_mm, noise)
    assert softened(volume) is volume


def test_a_scan_without_air_filled_lung_is_left_to_those_who_say_so():
    solid = body(0.2, 60.0)
    solid.hu[:] = np.random.default_rng(1).normal(40, 60, solid.hu.shape).astype(np.int16)
    assert softened(solid) is solid
