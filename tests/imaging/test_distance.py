"""Distances against SciPy's exact transform, and against arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from imaging.distance import distance_mm

steps_mm = st.tuples(*[st.sampled_from([0.7, 1.0, 2.5])] * 3)


@given(mask=arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=7)), step_mm=steps_mm)
def test_distances_are_those_of_scipy(mask, step_mm):
    mask[0, 0, 0] = False  # SciPy defines none where nothing lies outside
    expected = ndimage.distance_transform_edt(mask, sampling=step_mm)
    assert distance_mm(mask, np.array(step_mm)) == pytest.approx(expected, rel=1e-12)


@given(mask=arrays(bool, (5, 6, 7)), within_mm=st.floats(0.1, 9.0))
def test_a_limit_changes_nothing_within_it(mask, within_mm):
    mask[0, 0, 0] = False
    step_mm = np.array([2.0, 0.7, 1.1])
    whole, limited = distance_mm(mask, step_mm), distance_mm(mask, step_mm, within_mm)
    near = whole <= within_mm
    assert (limited[near] == whole[near]).all()
    assert (limited[~near] > within_mm).all()


def test_the_middle_of_a_slab_is_half_its_thickness_from_the_outside():
    mask = np.zeros((9, 5, 5), bool)
    mask[2:7] = True
    depth_mm = distance_mm(mask, np.array([2.0, 1.0, 1.0]))
    assert depth_mm[:, 2, 2].tolist() == [0, 0, 2, 4, 6, 4, 2, 0, 0]


def test_where_nothing_lies_outside_distance_is_infinite():
    assert np.isinf(distance_mm(np.ones((3, 4, 5), bool), np.ones(3))).all()
