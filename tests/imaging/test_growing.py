"""Regions against SciPy's labels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from imaging.growing import grow_below, reaches_border

hu = arrays(np.float32, (4, 5, 6), elements=st.integers(0, 3).map(float))


@given(values=hu, allowed=arrays(bool, (4, 5, 6)), below=st.integers(1, 4))
def test_a_region_is_the_part_that_scipy_labels(values, allowed, below):
    parts, count = ndimage.label(allowed & (values < below))
    for part in range(1, count + 1):
        place = tuple(np.argwhere(parts == part)[-1].tolist())
        region, size = grow_below(values, allowed, below, place, 1000)
        assert (region == (parts == part)).all()
        assert size == np.count_nonzero(region)


def test_a_region_too_large_is_given_up():
    empty = np.zeros((5, 5, 5), np.float32)
    everywhere = np.ones((5, 5, 5), bool)
    assert grow_below(empty, everywhere, 1.0, (2, 2, 2), 124)[1] == 125
    region, size = grow_below(empty, everywhere, 1.0, (2, 2, 2), 125)
    assert size == 125
    assert region.all()


@given(mask=arrays(bool, (3, 6, 7)))
def test_what_reaches_the_border_touches_a_frame_around_its_plane(mask):
    for plane, reached in zip(mask, reaches_border(mask), strict=True):
        parts, _ = ndimage.label(np.pad(plane, 1, constant_values=True))
        assert (reached == (plane & (parts == parts[0, 0])[1:-1, 1:-1])).all()
