"""Millimetres and Hounsfield units against arithmetic and phantoms of known size."""

from decimal import Decimal
from functools import cache
from math import cos, dist, hypot, radians, sin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.alignment import Warp
from imaging.tracking import Alignment, Quality
from records.model import Volume
from tests.viewer.test_layers import BACK, LEFT, UP
from viewer.layers import Plane, display
from viewer.linking import link_by_alignment, link_by_lungs, lung_box_mm
from viewer.measure import Ruler, perpendicular, probe


def ruler(*places):
    made = Ruler(Plane.AXIAL, ())
    for place in places:
        made = made.with_point(place)
    return made


@pytest.mark.parametrize("spacing_mm", [(0.7, 0.7, 0.7), (1.25, 0.6, 0.6), (5.0, 0.8, 0.9)])
def test_a_line_between_voxels_has_its_length_in_the_patient(spacing_mm):
    start, end = np.array([3, 10, 20]), np.array([7, 40, 60])
    made = ruler(*(tuple(index * np.array(spacing_mm)) for index in (start, end)))
    p, r, c = (end - start) * np.array(spacing_mm)
    assert made.long_axis_mm == Decimal(f"{hypot(p, r, c):.1f}")
    assert made.short_axis_mm is None


def test_3_4_5():
    assert ruler((0.0, 0.0, 0.0), (0.0, 30.0, 40.0)).long_axis_mm == Decimal("50.0")


def test_the_short_axis_stands_at_a_right_angle():
    made = ruler((0.0, 0.0, 0.0), (0.0, 0.0, 20.0), (0.0, 0.0, 8.0), (0.0, 7.0, 15.0))
    assert made.points_mm[3] == pytest.approx((0.0, 7.0, 8.0))
    assert (made.long_axis_mm, made.short_axis_mm) == (Decimal("20.0"), Decimal("7.0"))
    assert made.is_complete


places = st.tuples(*[st.floats(-300, 300).map(lambda value: round(value, 3))] * 3)


@given(start=places, end=places, first=places, last=places)
def test_a_right_angle_is_kept_and_shortens_at_most(start, end, first, last):
    foot = perpendicular(start, end, first, last)
    along = np.subtract(end, start)
    across = np.subtract(foot, first)
    assert abs(along @ across) <= 1e-6 * max(1.0, np.linalg.norm(along) * np.linalg.norm(across)) + 1e-6
    if any(along):
        assert dist(first, foot) <= dist(first, last) + 1e-9


@given(start=places, end=places, angle=st.floats(0, 360), shift=places)
def test_a_length_does_not_change_when_the_patient_moves(start, end, angle, shift):
    turn = np.array(
        [
            [1, 0, 0],
            [0, cos(radians(angle)), -sin(radians(angle))],
            [0, sin(radians(angle)), cos(radians(angle))],
        ]
    )
    moved = ruler(*(tuple(turn @ place + shift) for place in (start, end)))
    assert float(moved.long_axis_mm) == pytest.approx(float(ruler(start, end).long_axis_mm), abs=0.11)


@cache
def ball(radius_mm=6.0, spacing_mm=(2.0, 0.5, 0.8), inside=40, outside=-850):
    shape = (12, 60, 40)
    grid = np.stack(np.mgrid[:12, :60, :40], axis=-1) * spacing_mm
    centre = np.array([6, 30, 20]) * spacing_mm
    hu = np.where(np.linalg.norm(grid - centre, axis=-1) < radius_mm, inside, outside).astype(np.int16)
    made = Volume(hu, (0, 0, 0), np.array([UP, BACK, LEFT]), spacing_mm, None, "", "", "", ("",) * shape[0])
    return display(made), tuple(np.array([11 - 6, 30, 20]) * spacing_mm)


def test_the_probe_reads_the_voxel_and_the_disc_around_it():
    shown, centre = ball()
    read = probe(shown, Plane.AXIAL, centre)
    assert (read.hu, read.mean_hu, read.deviation_hu) == (40, 40.0, 0.0)
    # Places i * 0.5 by j * 0.8 mm within 2 mm, counted by hand: 9 + 2 * 7 + 2 * 5.
    assert read.voxels == 33


def test_the_probe_at_an_edge_mixes_both_sides():
    shown, centre = ball()
    edge = (centre[0], centre[1] + 6.0, centre[2])
    read = probe(shown, Plane.AXIAL, edge)
    assert -850 < read.mean_hu < 40
    assert read.deviation_hu > 300


@given(place=places, plane=st.sampled_from(Plane))
def test_the_probe_reads_anywhere(place, plane):
    shown, _ = ball()
    assert probe(shown, plane, place).voxels >= 1


def chest(scale=1.0, shift_mm=(0.0, 0.0, 0.0), spacing_mm=(5.0, 2.0, 2.0)):
    """Two lungs as ellipsoids in a body in air; the right one is around (-70, 0, 150) before the move."""
    shape = tuple(round(length / step) for length, step in zip((340, 300, 360), spacing_mm, strict=True))
    z, y, x = (np.arange(count) * step for count, step in zip(shape, spacing_mm, strict=True))
    x, y = x - 180, y - 150
    z = z[:, None, None] - shift_mm[2]
    y = y[None, :, None] - shift_mm[1]
    x = x[None, None, :] - shift_mm[0]
    hu = np.full(shape, -1000)
    hu[np.broadcast_to((x / 165) ** 2 + (y / 120) ** 2 < 1, shape)] = 40
    for centre in (-70, 70):
        lung = ((x - centre) / 50) ** 2 + (y / 80) ** 2 + ((z - 150 * scale) / (120 * scale)) ** 2 < 1
        hu[lung] = -850
    uids = ("",) * shape[0]
    made = Volume(
        hu.astype(np.int16), (-180, -150, 0), np.array([UP, BACK, LEFT]), spacing_mm, None, "", "", "", uids
    )
    return display(made)


def test_the_lungs_are_boxed():
    box = lung_box_mm(chest(spacing_mm=(2.0, 2.0, 2.0)))
    assert box == pytest.approx(np.array([[-120, -80, 30], [120, 80, 270]]), abs=4.0)


@pytest.mark.parametrize("thick_mm", [1.25, 5.0])
def test_a_place_is_found_again_after_a_shift_and_a_breath(thick_mm):
    """A lung 15 % longer and 12 mm away: the same share of its height is the same place."""
    before, after = chest(), chest(scale=1.15, shift_mm=(6.0, -4.0, 12.0), spacing_mm=(thick_mm, 2.0, 2.0))
    link = link_by_lungs(before, after)
    for z in (60.0, 150.0, 240.0):
        assert link((-70.0, 0.0, z)) == pytest.approx((-64.0, -4.0, 1.15 * z + 12.0), abs=5.0)
    back = link_by_lungs(after, before)
    assert back(link((-70.0, 10.0, 100.0))) == pytest.approx((-70.0, 10.0, 100.0), abs=1e-6)


def moved_by(z_mm: float, residual_mm: float = 0.4) -> Alignment:
    """Return the alignment of a follow-up that lies so much higher."""
    still = Warp(np.zeros(3), 50.0, np.zeros((2, 2, 2, 3), np.float32))
    quality = Quality(0.97, 200, 0.95, residual_mm, 2 * residual_mm)
    return Alignment(np.eye(3), np.array([0.0, 0.0, z_mm]), still, still, quality)


def test_an_alignment_leads_both_ways_whichever_scan_is_on_the_screen():
    from_baseline = link_by_alignment(moved_by(12.0), is_earlier=True)
    from_follow_up = link_by_alignment(moved_by(12.0), is_earlier=False)
    point = (-70.0, 10.0, 100.0)
    assert from_baseline.there(point) == from_follow_up.back(point) == pytest.approx((-70.0, 10.0, 112.0))
    assert from_baseline.back(point) == from_follow_up.there(point) == pytest.approx((-70.0, 10.0, 88.0))
    assert from_baseline.words == "by registration\n± 0.4 mm"


def test_without_lungs_both_lie_alike():
    shown, centre = ball()
    assert lung_box_mm(shown) is None
    assert link_by_lungs(shown, chest())(centre) == centre
