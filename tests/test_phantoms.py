"""The tests' own shapes against their formulas."""

import numpy as np
import pytest

from tests import phantoms

SPACINGS = [(0.7, 0.7, 0.7), (1.25, 0.7, 0.7), (2.5, 0.8, 0.8)]


@pytest.mark.parametrize("spacing_mm", SPACINGS)
@pytest.mark.parametrize("radius_mm", [1.5, 3.0, 6.0])
def test_ball_has_the_volume_of_a_ball(radius_mm, spacing_mm):
    ball = phantoms.ball(radius_mm=radius_mm, spacing_mm=spacing_mm, centre_mm=(0.3, -0.2, 0.1))
    # 125 points a voxel: a 1.5 mm ball at 2.5 mm slices errs by up to 1.5 %.
    assert ball.sum() * np.prod(spacing_mm) == pytest.approx(4 / 3 * np.pi * radius_mm**3, rel=0.015)


def test_ball_lies_where_it_was_put():
    ball = phantoms.ball(radius_mm=4.0, spacing_mm=(1.0, 0.5, 0.5), centre_mm=(0.4, -0.3, 1.1))
    axes = phantoms.centred_axes(ball.shape, (1.0, 0.5, 0.5))
    centre = [float((axis * ball).sum() / ball.sum()) for axis in axes]
    assert centre == pytest.approx([0.4, -0.3, 1.1], abs=0.02)


@pytest.mark.parametrize("spacing_mm", [(5.0, 2.0, 2.0), (2.5, 3.0, 3.0)])
def test_simple_lungs_have_their_volumes_and_sides(spacing_mm):
    lungs = phantoms.simple_lungs(spacing_mm)
    litre = np.prod(spacing_mm) / 1000
    assert (lungs.labels == 1).sum() * litre == pytest.approx(lungs.right_ml, rel=0.01)
    assert (lungs.labels == 2).sum() * litre == pytest.approx(lungs.left_ml, rel=0.01)
    columns = np.nonzero(lungs.labels == 1)[2]
    assert columns.max() < lungs.labels.shape[2] / 2  # the right lung has the smaller x
