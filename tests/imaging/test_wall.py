"""The chest wall taken out of lungs drawn by hand, where wall, lung and nodule are known."""

import numpy as np
import pytest
from scipy import ndimage

from imaging.wall import without_wall

SPACING_MM = (1.25, 0.7, 0.7)
BLOCK = (2, 4, 4)
SHAPE = (32, 80, 80)
LUNG_HU, WALL_HU = -850.0, 40.0
SURFACE_MM = 20.0  # the wall ends here, along the columns


def columns_mm():
    p, r, c = np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, SPACING_MM, strict=True)), indexing="ij")
    return p, r, c


def chest(surface_mm, *, blur_mm=0.65, ball=None):
    """Return a blurred scan with wall where the columns are below `surface_mm`, and the coarse depth."""
    p, r, c = columns_mm()
    solid = c < surface_mm
    if ball is not None:
        (bp, br, bc), radius = ball
        solid = solid | ((p - bp) ** 2 + (r - br) ** 2 + (c - bc) ** 2 < radius**2)
    hu = np.where(solid, WALL_HU, LUNG_HU).astype(np.float32)
    hu = ndimage.gaussian_filter(hu, [blur_mm / s for s in SPACING_MM])
    depth = (c - surface_mm)[::2, ::4, ::4].astype(np.float32)
    return np.rint(hu).astype(np.int16), depth


def cleaned(hu, depth):
    return without_wall(hu, depth, BLOCK, np.zeros(3, np.int64), SPACING_MM)


def test_a_flat_wall_leaves_lung_on_both_sides_of_its_surface():
    hu, depth = chest(SURFACE_MM)
    clean = cleaned(hu, depth)[4:-4, 8:-8, 4:-4]
    # The step was 890 HU; what is left of it is less than a tenth.
    assert np.abs(clean - LUNG_HU).max() < 89


def test_a_curved_wall_is_taken_out_as_well():
    _, r, _ = columns_mm()
    # A rib of 10 mm radius bulges into the lung.
    bulge = np.sqrt(np.maximum(100.0 - (r - 28.0) ** 2, 0.0)) - 6.0
    hu, depth = chest(SURFACE_MM + np.maximum(bulge, 0.0))
    clean = cleaned(hu, depth)[4:-4, 8:-8, 4:-4]
    assert np.quantile(clean, 0.999) < LUNG_HU + 0.35 * (WALL_HU - LUNG_HU)


@pytest.mark.parametrize("radius_mm", [1.25, 2.0])
def test_a_nodule_on_the_pleura_stands_free(radius_mm):
    centre = (20.0, 28.0, SURFACE_MM + radius_mm)
    hu, depth = chest(SURFACE_MM, ball=(centre, radius_mm))
    bare, _ = chest(SURFACE_MM)
    clean, without = cleaned(hu, depth), cleaned(bare, depth)
    place = tuple(round(x / s) for x, s in zip(centre, SPACING_MM, strict=True))
    # At its centre the nodule keeps most of its brightness, and it is the brightest thing there is.
    kept = (clean[place] - without[place]) / (hu[place] - bare[place])
    assert kept > 0.7
    assert clean.max() == pytest.approx(clean[place], abs=120)


def test_what_is_deep_in_the_lung_stays_as_it_is():
    hu, depth = chest(SURFACE_MM, ball=((20.0, 28.0, 40.0), 6.0))
    clean = cleaned(hu, depth)
    assert np.array_equal(clean[:, :, 45:], hu[:, :, 45:].astype(np.float32))


def test_threads_change_nothing(monkeypatch):
    hu, depth = chest(SURFACE_MM, ball=((20.0, 28.0, 21.0), 2.0))
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("MIPC_THREADS", threads)
        results.append(cleaned(hu, depth).tobytes())
    assert results[0] == results[1]
