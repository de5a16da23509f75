"""Cubes cut from lungs whose grey values are known at every point."""

import numpy as np
import pytest
from scipy import ndimage

from imaging.candidates import SCALES_MM, TISSUE_HU, Candidates, ScaleSpace, smoothed
from imaging.patches import COARSE_MM, CUBES, FINE_MM, SIDE, cut_cubes

SPACING_MM = (1.25, 0.7, 0.8)
SHAPE = (40, 70, 60)


def space_of(hu):
    levels = tuple((hu + shift).astype(np.float32) for shift in (0, 50))
    none = np.zeros(3, np.int64)
    return ScaleSpace(hu.astype(np.int16), levels[0], levels, none, np.ones(SHAPE, bool), SPACING_MM)


def candidates_at(*places):
    index = np.array(places, float).reshape(-1, 3)
    return Candidates(index, np.zeros(len(index), np.int64), np.zeros(len(index)))


def grey(hu):
    low, high = TISSUE_HU
    return np.clip((hu - low) / (high - low), 0, 1) * 255


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_samples_lie_as_many_millimetres_apart_along_every_axis(axis):
    # A ramp of 10 HU a millimetre along one axis; linear interpolation gives it exactly, HU are whole.
    ramp = np.rint(np.arange(SHAPE[axis]) * SPACING_MM[axis] * 10) - 900
    lines = ramp.reshape([-1 if a == axis else 1 for a in range(3)])
    hu = np.broadcast_to(lines, SHAPE).copy()
    place = (20.0, 33.5, 29.25)
    cubes = cut_cubes(space_of(hu), candidates_at(place))[0]
    offsets = np.arange(SIDE) - (SIDE - 1) / 2
    for cube, step_mm, shift in ((0, FINE_MM, 0), (1, FINE_MM, 0), (2, COARSE_MM, 50)):
        at_mm = place[axis] * SPACING_MM[axis] + offsets * step_mm
        inside = (at_mm >= 0) & (at_mm <= (SHAPE[axis] - 1) * SPACING_MM[axis])
        line = np.moveaxis(cubes[cube], axis, 0)[:, 3, 5]
        # Half a grey value of rounding, and half a HU of the ramp's own.
        assert line[inside] == pytest.approx(grey(at_mm * 10 - 900 + shift)[inside], abs=0.8)


def test_what_is_brighter_than_tissue_is_white_and_what_is_darker_black():
    assert cut_cubes(space_of(np.full(SHAPE, 900)), candidates_at((20, 30, 30))).min() == 255
    assert cut_cubes(space_of(np.full(SHAPE, -1200)), candidates_at((20, 30, 30))).max() == 0


def seen(hu):
    """Return the scale space of lung without a wall."""
    lung = np.clip(hu, *TISSUE_HU).astype(np.float32)
    levels = smoothed(lung, SCALES_MM[:2], SPACING_MM)
    everywhere = np.ones(SHAPE, bool)
    return ScaleSpace(
        np.rint(hu).astype(np.int16), lung, levels, np.zeros(3, np.int64), everywhere, SPACING_MM
    )


@pytest.mark.parametrize("diameter_mm", [3.0, 5.0])
def test_a_calcified_nodule_looks_as_a_solid_one_does_there(diameter_mm):
    place = (20.2, 34.6, 30.3)
    away_mm = np.linalg.norm(
        [(g - at) * s for g, at, s in zip(np.indices(SHAPE), place, SPACING_MM, strict=True)], axis=0
    )
    ball = ndimage.gaussian_filter(
        (away_mm < diameter_mm / 2).astype(float), 0.6 / np.asarray(SPACING_MM), mode="nearest"
    )
    vessel = np.zeros(SHAPE)
    vessel[:, 20:23, 30:33] = 1.0
    shares = np.maximum(ball, 0.4 * vessel)
    brightest = np.sort(shares[19:22, 34:37, 29:32].ravel())[-3:].mean()
    calcified, solid = (-850 + shares * hu / brightest for hu in (2000.0, 950.0))
    cubes = [cut_cubes(seen(hu), candidates_at(place))[0].astype(float) for hu in (calcified, solid)]
    assert np.abs(cubes[0] - cubes[1]).max() <= 2  # of 255
    assert np.count_nonzero(grey(calcified) == 255) > 3 * np.count_nonzero(grey(solid) > 254)


def test_at_the_border_the_edge_goes_on():
    cubes = cut_cubes(space_of(np.full(SHAPE, -450)), candidates_at((0, 0, 0), (39, 69, 59)))
    assert cubes.shape == (2, CUBES, SIDE, SIDE, SIDE)
    assert set(np.unique(cubes[:, :2])) == {128}


def test_no_candidates_no_cubes():
    assert cut_cubes(space_of(np.zeros(SHAPE)), candidates_at()).shape == (0, CUBES, SIDE, SIDE, SIDE)
