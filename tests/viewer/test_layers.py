"""Every scan is hung alike, and every voxel keeps its place in the patient."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.geometry import point_mm
from records.model import Volume
from viewer.actions import ACTIONS
from viewer.layers import SLABS_MM, WINDOWS, Letters, Plane, Window, display, next_slab_mm

UP, BACK, LEFT = (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)


def volume(axes, shape=(4, 5, 6), spacing_mm=(2.5, 0.7, 0.8)) -> Volume:
    hu = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    uids = tuple(f"1.{plane}" for plane in range(shape[0]))
    return Volume(hu, (-10.0, 20.0, -30.0), np.array(axes, float), spacing_mm, 2.5, "", "", "", uids)


WAYS = [
    np.array(axes) * np.array(signs)[:, None]
    for axes in permutations([UP, BACK, LEFT])
    for signs in product((1, -1), repeat=3)
]


@pytest.mark.parametrize("axes", WAYS)
def test_every_voxel_keeps_its_place_in_the_patient(axes):
    """All 48 ways images can lie: head first or feet first, supine or prone, axial, coronal or sagittal."""
    made = volume(axes)
    shown = display(made)
    for index in ((0, 0, 0), (3, 4, 5), (1, 2, 3)):
        found = np.argwhere(shown.hu == made.hu[index])
        assert len(found) == 1
        place = tuple(found[0] * np.array(shown.spacing_mm))
        assert shown.point_mm(place) == pytest.approx(point_mm(made, index))
        assert shown.place_mm(point_mm(made, index)) == pytest.approx(place)
        assert shown.index(place) == tuple(found[0])
        assert shown.slice_uid(place) == f"1.{index[0]}"


@pytest.mark.parametrize("axes", WAYS)
def test_every_scan_is_hung_alike(axes):
    shown = display(volume(axes))
    assert shown.letters(Plane.AXIAL) == Letters(top="A", bottom="P", left="R", right="L")
    assert shown.letters(Plane.CORONAL) == Letters(top="H", bottom="F", left="R", right="L")
    assert shown.letters(Plane.SAGITTAL) == Letters(top="H", bottom="F", left="A", right="P")


@pytest.mark.parametrize(
    ("degrees", "right"), [pytest.param(10, "L", id="nearly-straight"), pytest.param(30, "LP", id="turned")]
)
def test_an_oblique_plane_has_two_letters(degrees, right):
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    turned = display(volume([UP, (-sine, cosine, 0), (cosine, sine, 0)]))
    assert turned.letters(Plane.AXIAL).right == right


def test_turning_copies_nothing():
    made = volume([UP, BACK, LEFT])
    assert np.shares_memory(display(made).hu, made.hu)


def test_a_place_outside_has_the_voxel_at_the_edge():
    shown = display(volume([UP, BACK, LEFT]))
    assert shown.index((-50.0, 1.4, 500.0)) == (0, 2, 5)
    assert shown.clipped_mm((-50.0, 1.5, 500.0)) == pytest.approx((0.0, 1.4, 4.0))


def test_windows_are_the_usual_ones():
    """Lung -600/1500, mediastinum 40/400, bone 400/1800: common presets, here as black and white."""
    assert {name: window.limits_hu for name, window in WINDOWS.items()} == {
        "lung": (-1350.0, 150.0),
        "mediastinum": (-160.0, 240.0),
        "bone": (-500.0, 1300.0),
    }


@given(st.lists(st.tuples(st.floats(-500, 500), st.floats(-500, 500)), max_size=20))
def test_no_drag_loses_the_picture(drags):
    window = Window("lung", -600.0, 1500.0)
    for right, down in drags:
        window = window.dragged(right, down)
    low, high = window.limits_hu
    assert high - low >= 10
    assert -1200 <= window.centre_hu <= 2000


def test_the_slab_goes_round():
    seen = [SLABS_MM[0]]
    for _ in SLABS_MM:
        seen.append(next_slab_mm(seen[-1]))
    assert seen == [1.0, 5.0, 10.0, 15.0, 1.0]


def test_no_two_actions_share_a_key():
    keys = [key for action in ACTIONS for key in action.keys]
    assert len(set(keys)) == len(keys)
    assert len({action.name for action in ACTIONS}) == len(ACTIONS)
