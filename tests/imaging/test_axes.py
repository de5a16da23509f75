"""Axes of ellipsoids drawn with the scanner's blur, whose axes are known."""

import numpy as np
import pytest
from scipy import ndimage

from imaging.axes import axial_axes_mm

SPACING_MM = (1.25, 0.7, 0.7)
SHAPE = (40, 80, 80)
CENTRE = np.array([20.3, 39.6, 40.2])
LUNG_HU, NODULE_HU = -850.0, 30.0
LEVEL_HU = (LUNG_HU + NODULE_HU) / 2


def ellipsoid(half_axes_mm, turn_deg=0.0, vessel_mm=0.0):
    """Return a blurred ellipsoid, turned in the plane, with a vessel leaving it along the columns."""
    fine = 3
    places = [(np.arange(n * fine) + 0.5) / fine - 0.5 for n in SHAPE]
    p, r, c = np.meshgrid(*places, indexing="ij", sparse=True)
    z, y, x = ((a - m) * s for a, m, s in zip((p, r, c), CENTRE, SPACING_MM, strict=True))
    turn = np.deg2rad(turn_deg)
    along, across = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
    long, short, high = half_axes_mm
    body = (along / long) ** 2 + (across / short) ** 2 + (z / high) ** 2 < 1
    body |= (np.hypot(y, z) < vessel_mm) & (x > 0)
    share = body.astype(np.float32).reshape(SHAPE[0], fine, SHAPE[1], fine, SHAPE[2], fine).mean((1, 3, 5))
    share = ndimage.gaussian_filter(share, [0.6 / s for s in SPACING_MM])
    return np.rint(LUNG_HU + (NODULE_HU - LUNG_HU) * share).astype(np.int16)


@pytest.mark.parametrize("turn_deg", [0, 30, 90])
@pytest.mark.parametrize("axes_mm", [(7.0, 6.0), (12.0, 8.0), (25.0, 15.0)])
def test_axes_of_an_ellipsoid(axes_mm, turn_deg):
    long, short = axes_mm
    image = ellipsoid((long / 2, short / 2, short / 2), turn_deg)
    radius_mm = (long * short * short) ** (1 / 3) / 2
    measured = axial_axes_mm(image, CENTRE, radius_mm, LEVEL_HU, SPACING_MM)
    # A blur of 0.6 mm takes about its square over the radius of curvature off each end.
    assert measured == pytest.approx((long, short), abs=0.5)


def test_a_vessel_that_leaves_the_nodule_does_not_lengthen_it_beyond_reach():
    image = ellipsoid((5.0, 5.0, 5.0), vessel_mm=1.0)
    long, short = axial_axes_mm(image, CENTRE, 5.0, LEVEL_HU, SPACING_MM)
    assert long < 1.3 * 10.0 + 0.7
    assert short == pytest.approx(10.0, abs=0.5)


def test_lung_without_a_nodule_has_no_outline():
    image = np.full(SHAPE, -850, np.int16)
    assert axial_axes_mm(image, CENTRE, 4.0, LEVEL_HU, SPACING_MM) is None
