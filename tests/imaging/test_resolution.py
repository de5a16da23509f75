"""The blur of a scan against edges drawn with a kernel that is known."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import ndtr

from imaging.resolution import measure_resolution
from records.model import Volume

PIXEL_MM = 0.7
CORE_MM = 0.55


def lungs(*, sharpened=0.0, detail_mm=0.7, rim_hu=0.0, noise_hu=12.0):
    """Draw two round lungs in soft tissue as a kernel shows them; the outer 2 mm are `rim_hu` brighter."""
    fine = 2
    y, x = np.mgrid[:400, :600] * (PIXEL_MM / fine)
    inside_mm = np.max([40 - np.hypot(y - 70, x - at) for at in (60, 150)], axis=0)
    plane = np.where(inside_mm > 0, -850.0 + rim_hu * (inside_mm < 2), 40.0)
    pixels = fine / PIXEL_MM
    seen = ndimage.gaussian_filter(plane, CORE_MM * pixels)
    seen += sharpened * (seen - ndimage.gaussian_filter(seen, detail_mm * pixels))
    rng = np.random.default_rng(1)
    planes = seen[::fine, ::fine] + rng.normal(0, noise_hu, (6, 200, 300))
    hu = np.clip(np.rint(planes), -1024, 3071).astype(np.int16)
    uids = tuple(str(n) for n in range(len(hu)))
    spacing_mm = (20.0, PIXEL_MM, PIXEL_MM)
    return Volume(hu, (0.0, 0.0, 0.0), np.eye(3), spacing_mm, 1.25, "", "1.2", "1.3", uids)


def test_a_soft_kernel_is_a_gaussian():
    found = measure_resolution(lungs())
    assert found.in_plane_sigma_mm == pytest.approx(CORE_MM, rel=0.15)
    assert found.sharp is None


def test_a_rim_of_emphysema_makes_no_kernel_sharp():
    assert measure_resolution(lungs(rim_hu=-60.0)).sharp is None


@pytest.mark.parametrize(("sharpened", "detail_mm"), [(1.5, 0.7), (2.5, 0.7), (1.2, 1.0)])
def test_a_sharp_kernel_shows_an_edge_as_is_measured(sharpened, detail_mm):
    found = measure_resolution(lungs(sharpened=sharpened, detail_mm=detail_mm))
    t = np.arange(-3.0, 3.1, 0.25)

    def edge(share, core_mm, ring_mm):
        return (1 + share) * ndtr(t / core_mm) - share * ndtr(t / ring_mm)

    drawn = edge(sharpened, CORE_MM, np.hypot(CORE_MM, detail_mm))
    told = edge(found.sharp.overshoot, found.sharp.core_sigma_mm, found.sharp.ring_sigma_mm)
    # What is left is what reading between pixels blurs.
    gaussian = ndtr(t / found.in_plane_sigma_mm)
    assert np.abs(told - drawn).max() < 0.6 * np.abs(gaussian - drawn).max()


def test_a_scan_without_edges_is_taken_for_a_usual_one():
    nothing = lungs()
    nothing.hu[:] = 0
    assert measure_resolution(nothing).in_plane_sigma_mm == 0.6
