import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.geometry import index_of, point_mm, voxel_mm3
from records.model import Volume


def volume(axes, spacing_mm=(1.25, 0.7, 0.8), origin_mm=(-100.0, -120.0, -300.0)) -> Volume:
    hu = np.zeros((4, 5, 6), np.int16)
    return Volume(hu, origin_mm, np.asarray(axes, float), spacing_mm, 1.25, "", "1.2", "1.3", ("1",) * 4)


AXIAL = [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_first_voxel_lies_at_the_origin():
    assert point_mm(volume(AXIAL), (0, 0, 0)) == (-100.0, -120.0, -300.0)


def test_a_step_along_each_axis_is_its_spacing():
    # DICOM PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1, for an axial image: columns run to x, rows to y.
    assert point_mm(volume(AXIAL), (2, 3, 4)) == pytest.approx((-100 + 4 * 0.8, -120 + 3 * 0.7, -300 + 2.5))


@given(
    st.tuples(*[st.floats(-10, 10) for _ in range(3)]),
    st.tuples(*[st.floats(-3.0, 3.0) for _ in range(3)]),
)
def test_index_and_point_undo_each_other_in_any_orientation(index, angles):
    a, b, c = angles
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turn = turn @ np.array([[np.cos(c), 0, np.sin(c)], [0, 1, 0], [-np.sin(c), 0, np.cos(c)]])
    oblique = volume(turn)
    back = index_of(oblique, np.array([point_mm(oblique, index)]))
    assert back[0] == pytest.approx(index, abs=1e-9)


def test_a_voxel_has_the_volume_of_its_box():
    assert voxel_mm3(volume(AXIAL)) == pytest.approx(1.25 * 0.7 * 0.8)
