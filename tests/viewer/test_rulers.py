"""The ruler on a screen: its millimetres against a phantom of known size, and that no measurement is lost."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

pytest.importorskip("napari")

from tests.viewer.screen import PYDANTIC_1, SHIFT_MM, TARGET_AXES_MM, TARGET_MM, needs_screen
from viewer.desk import Desk

pytestmark = [needs_screen, pytest.mark.filterwarnings(PYDANTIC_1)]


def test_the_ruler_reads_the_phantom_in_millimetres(room, hands, target):
    """40 x 24 mm by the mouse, to a pixel of the screen; the pixels of the scan are not square."""
    view = room.images.views[0]
    p, r, c = target
    hands.key("R")
    hands.drag(view, view.to_pixels((p, r, c - 20)), view.to_pixels((p, r, c + 20)))
    hands.drag(view, view.to_pixels((p, r - 12, c + 2)), view.to_pixels((p, r + 12, c + 9)))
    (ruler,) = room.images.rulers
    pixel_mm = 1 / view.model.scene.camera.zoom
    assert float(ruler.long_axis_mm) == pytest.approx(40.0, abs=pixel_mm)
    assert float(ruler.short_axis_mm) == pytest.approx(24.0, abs=pixel_mm)
    assert ruler.points_mm[2][2] == pytest.approx(ruler.points_mm[3][2], abs=1e-6)  # at a right angle
    yellow = (hands.picture(view) == (255, 214, 10)).all(axis=-1)
    assert yellow.sum() > 50


def test_the_ruler_is_drawn_by_keys_alone(room, hands, target):
    """From the middle 30 mm to the right and 10 mm up: hypotenuse 31.6 mm."""
    hands.keys("R", "Return", *["Ctrl+Shift+Right"] * 3, "Ctrl+Shift+Up", "Return")
    (ruler,) = room.images.rulers
    assert float(ruler.long_axis_mm) == pytest.approx(np.hypot(30, 10), abs=0.8)  # to the nearest voxel
    hands.keys("Del")
    assert room.images.rulers == []


def test_a_case_opens_whole_while_a_ruler_is_being_drawn(room, hands, target):
    """By keys or with the button down: the form is that of the case on the screen."""
    from qtpy.QtWidgets import QLabel

    view = room.images.views[0]
    hands.keys("R", "Return", "Ctrl+PgDown", "Ctrl+PgDown")
    assert "A-002" in room.form.findChild(QLabel).text()
    assert (room.images.rulers, room.images.is_drawing) == ([], False)
    hands.key("R")
    hands.mouse(view, "press", (300, 300))
    hands.mouse(view, "move", (340, 300))
    hands.keys("Ctrl+PgUp", "Ctrl+PgUp")
    hands.mouse(view, "release", (340, 300))
    assert "A-001" in room.form.findChild(QLabel).text()
    assert (room.images.rulers, room.session.form.marks) == ([], ())


def test_a_click_with_the_ruler_measures_nothing(room, hands, target):
    """Nor does the next line become the short axis of a long one that has no length."""
    view = room.images.views[0]
    p, r, c = target
    here, there = view.to_pixels((p, r, c - 20)), view.to_pixels((p, r, c + 20))
    hands.key("R")
    hands.drag(view, here, here)
    hands.keys("Return", "Return")
    assert room.images.rulers == []
    assert room.session.form.marks == ()
    hands.drag(view, here, there)
    hands.drag(view, here, here)  # a click is no short axis,
    hands.drag(view, here, there)  # nor is a line along the long one
    (ruler,) = room.images.rulers
    assert (len(ruler.points_mm), len(room.session.form.marks)) == (2, 1)
    assert abs(ruler.long_axis_mm - Decimal(40)) < 1


def test_the_ruler_goes_into_the_field_and_its_place_is_kept(room, hands, target):
    hands.keys("Tab", "Y", "Ctrl+T")
    assert room.form.current == "T1 organ"
    hands.keys("Esc", "R")
    view = room.images.views[0]
    p, r, c = target
    hands.drag(view, view.to_pixels((p, r, c - 20)), view.to_pixels((p, r, c + 20)))
    hands.keys("V")
    (found,) = room.session.form.measurements
    assert abs(found.long_axis_mm - Decimal(40)) < 1
    (mark,) = room.session.form.marks
    assert mark.name == "T1"
    assert mark.points_mm[0] == pytest.approx((TARGET_MM[0] - 20, TARGET_MM[1], TARGET_MM[2]), abs=2.0)
    assert mark.slice_uid in room.images.shown.slice_uids
    hands.keys("Ctrl+Z", "Ctrl+Z", "Ctrl+Z")  # the value, the line, the lesion
    assert room.session.form.lesions == ()
    assert room.images.rulers == []
    hands.keys("Ctrl+Y")
    assert [lesion.lesion_id for lesion in room.session.form.lesions] == ["T1"]
    hands.keys("Ctrl+Z")


@pytest.mark.parametrize(("plane", "axes"), [(1, (2, 0)), (2, (1, 0))], ids=["coronal", "sagittal"])
def test_the_ruler_reads_millimetres_in_the_other_planes(room, hands, target, plane, axes):
    """40 or 24 mm along the body, 30 mm up and down it; slices are 2.5 mm apart, pixels 1.25 and 1 mm."""
    view = room.images.views[plane]
    lengths = {2: TARGET_AXES_MM[0], 1: TARGET_AXES_MM[1], 0: TARGET_AXES_MM[2]}
    hands.key("R")
    for axis in axes:
        ends = [np.array(target), np.array(target)]
        for end, sign in zip(ends, (-1, 1), strict=True):
            end[axis] += sign * lengths[axis] / 2
        hands.drag(view, *(view.to_pixels(tuple(end)) for end in ends))
    (ruler,) = room.images.rulers
    pixel_mm = 1 / view.model.scene.camera.zoom
    assert float(ruler.long_axis_mm) == pytest.approx(lengths[axes[0]], abs=pixel_mm)
    assert float(ruler.short_axis_mm) == pytest.approx(lengths[axes[1]], abs=pixel_mm)
    assert [mark.slice_uid for mark in room.session.form.marks] == [""]  # no image was scanned there


def test_the_millimetres_are_live(room, hands, target):
    """While the button is down, the words beside the line are those of where the mouse is."""
    view = room.images.views[0]
    p, r, c = target
    hands.key("R")
    hands.mouse(view, "press", view.to_pixels((p, r, c)))
    for length in (8.0, 16.0, 12.0):
        hands.mouse(view, "move", view.to_pixels((p, r, c + length)))
        (line,) = view._drawing().lines
        assert float(line.text.removesuffix(" mm")) == pytest.approx(length, abs=0.5)
        (end_x, end_y) = view.to_pixels((p, r, c + length))
        words = hands.picture(view)[round(end_y) - 20 : round(end_y), round(end_x) + 8 : round(end_x) + 60]
        assert (
            (words[..., 0] > 200) & (words[..., 2] < 90)
        ).sum() > 20  # written in yellow, where the end is
    hands.mouse(view, "release", view.to_pixels((p, r, c + 12.0)))
    hands.key("Ctrl+Z")
    assert room.images.rulers == []


def test_a_line_on_another_slice_or_after_r_is_another_ruler(room, hands, target):
    view = room.images.views[0]

    def drag(length):
        p, r, c = room.images.place_mm
        hands.drag(view, view.to_pixels((p, r, c)), view.to_pixels((p, r, c + length)))

    hands.key("R")
    drag(20)
    hands.key("PgUp")
    drag(10)
    hands.key("R")
    drag(15)
    assert [round(ruler.long_axis_mm) for ruler in room.images.rulers] == [20, 10, 15]
    assert all(ruler.short_axis_mm is None for ruler in room.images.rulers)


def test_no_ruler_is_lost_by_going_away(room, hands, target):
    """Drawn and taken into no field: it is on the disk, comes back with the case, and can be undone."""
    view = room.images.views[0]
    p, r, c = target
    hands.key("R")
    hands.drag(view, view.to_pixels((p, r, c - 20)), view.to_pixels((p, r, c + 20)))
    (drawn,) = room.images.rulers
    other = Desk(room.session.desk.folder)
    assert len(other.form(other.items[0]).marks) == 1
    hands.keys("Ctrl+PgDown", "Ctrl+PgDown")
    assert room.session.item.title == "A-002  Baseline"
    assert room.images.rulers == []
    hands.keys("Ctrl+PgUp", "Ctrl+PgUp")
    (back,) = room.images.rulers
    assert np.array(back.points_mm) == pytest.approx(np.array(drawn.points_mm))
    hands.key("R")
    hands.drag(view, view.to_pixels((p, r - 10, c)), view.to_pixels((p, r - 10, c + 5)))
    assert len(room.images.rulers) == 2
    hands.key("Ctrl+Z")
    assert len(room.images.rulers) == 1
    hands.key("Ctrl+Y")
    assert len(room.images.rulers) == 2
    hands.keys("Del", "Del")
    assert room.session.form.marks == ()


def test_a_ruler_stays_on_the_slice_where_it_was_begun(room, hands, target):
    """RECIST measures within a plane; slices are 2.5 mm apart, so three of them would make 21.4 mm of 20."""
    view = room.images.views[0]
    hands.keys("R", "Return", "Down", "Down", "Down", *["Ctrl+Shift+Right"] * 2, "Return", "Home")
    hands.keys("R")
    p, r, c = room.images.place_mm
    start, end = view.to_pixels((p, r, c)), view.to_pixels((p, r, c + 20))
    hands.mouse(view, "press", start)
    hands.wheel(view, -3)
    hands.mouse(view, "move", end)
    hands.mouse(view, "release", end)
    assert room.images.place_mm[0] > p  # the wheel turned
    for ruler in room.images.rulers:
        assert {place[0] for place in ruler.points_mm} == {ruler.points_mm[0][0]}
        assert float(ruler.long_axis_mm) == pytest.approx(20, abs=0.8)
    assert len(room.images.rulers) == 2


def measure_target(room, hands, target):
    """Name a target, draw its long axis of 40 mm, and put it into the form; return the view."""
    view = room.images.views[0]
    p, r, c = target
    hands.keys("Tab", "Y", "Ctrl+T", "Esc", "R")
    hands.drag(view, view.to_pixels((p, r, c - 20)), view.to_pixels((p, r, c + 20)))
    hands.key("V")
    return view


def test_what_was_typed_over_a_ruler_stands_when_another_is_removed(room, hands, target):
    view = measure_target(room, hands, target)
    p, r, c = target
    size = room.form.lesions.field("T1")
    size.setFocus()
    hands.app.focusWidget().selectAll()
    hands.type("28")
    hands.keys("Esc", "R")
    hands.drag(view, view.to_pixels((p, r - 10, c)), view.to_pixels((p, r - 10, c + 5)))
    hands.key("Del")
    (found,) = room.session.form.measurements
    assert (found.long_axis_mm, size.value()) == (Decimal(28), "28")


def test_the_short_axis_drawn_later_goes_into_the_field_too(room, hands, target):
    view = measure_target(room, hands, target)
    p, r, c = target
    hands.drag(view, view.to_pixels((p, r - 12, c)), view.to_pixels((p, r + 12, c)))
    (found,) = room.session.form.measurements
    assert (round(found.long_axis_mm), round(found.short_axis_mm)) == (40, 24)
    (line, _) = view._drawing().lines
    assert line.text.startswith("T1 ")
    hands.key("Ctrl+Del")
    assert room.images.rulers == []  # it went with its lesion


def test_at_a_follow_up_the_baseline_shows_where_it_was_measured(room, hands, target):
    """J brings both scans to the target: the baseline to its ruler, the follow-up to the same place."""
    from tests.viewer.test_collecting import baseline
    from viewer.layers import Plane
    from viewer.measure import Ruler

    p, r, c = target
    desk = room.session.desk
    ruler = Ruler(Plane.AXIAL, ((p, r, c - 20), (p, r, c + 20)), "T1")
    form = replace(baseline(is_miliary=True), marks=(ruler.mark(room.images.shown),))
    desk.sign(desk.items[0], form)
    room.open(desk.items[1])
    hands.keys("Tab", "Y")
    while room.form.current != "T1 size":
        hands.key("Tab")
    hands.keys("Esc", "J")
    beside = room.images.beside
    assert beside.shown.point_mm(beside.place_mm) == pytest.approx(TARGET_MM, abs=1.5)
    (line,) = beside._drawing().lines
    assert line.text == "T1 40.0 mm"
    here = room.images.shown.point_mm(room.images.place_mm)
    assert here == pytest.approx((*TARGET_MM[:2], TARGET_MM[2] + SHIFT_MM), abs=6.0)  # by position
    hands.key("R")
    view = room.images.views[0]
    p, r, c = room.images.shown.place_mm((*TARGET_MM[:2], TARGET_MM[2] + SHIFT_MM))
    room.images.go_to((p, r, c))
    hands.settle()
    hands.drag(view, view.to_pixels((p, r, c - 10)), view.to_pixels((p, r, c + 10)))
    hands.key("V")
    found = {one.lesion_id: one for one in room.session.form.measurements}["T1"]
    assert found.long_axis_mm == pytest.approx(Decimal(20), abs=Decimal("0.6"))  # half the size
