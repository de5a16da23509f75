"""The room on a screen: real mouse and key events, and pictures that show what they should."""

import logging
import time
from decimal import Decimal

import numpy as np
import pytest

pytest.importorskip("napari")

from tests.viewer.packs_by_hand import miliary_form
from tests.viewer.screen import PYDANTIC_1, SHIFT_MM, TARGET_MM, Hands, make_pack, needs_screen
from tests.viewer.test_measure import moved_by
from viewer.actions import ACTIONS
from viewer.pack import ReadingProtocol
from viewer.reading import Form

pytestmark = [
    needs_screen,
    pytest.mark.filterwarnings(PYDANTIC_1),
]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    from viewer.window.room import Room

    folder = tmp_path_factory.mktemp("screen")
    pack = make_pack(folder, protocol=ReadingProtocol(shows_marks=True))
    opened = Room(pack, folder / "packs" / "coordinator" / "marks" / "A")
    opened.window.resize(1600, 1000)
    Hands(opened).wait_until_active()
    yield opened
    opened.close()


@pytest.fixture
def hands(room):
    """Open the first case and put the hands at it."""
    first = room.session.desk.items[0]
    if room.session.desk.state(first) != "signed":
        room.session.desk.save_draft(first, Form())
    room.open(first)
    hands = Hands(room)
    hands.settle()
    return hands


@pytest.fixture
def target(room, hands):
    """Put the crosshair on the target and return its place on the screen's axes."""
    place = room.images.shown.clipped_mm(room.images.shown.place_mm(TARGET_MM))
    room.images.go_to(place)
    hands.settle()
    return place


def test_every_canvas_shows_a_picture(room, hands):
    """A blank canvas, Qt's way of failing without a screen, has one grey level."""
    for view in room.images.views:
        assert len(np.unique(hands.picture(view))) > 20


def test_the_target_is_where_the_patient_has_it(room, hands, target):
    """Soft tissue is white in the lung window, lung dark; 3 mm in and out of each end of each axis."""
    hands.key("X")
    for view, axes in zip(room.images.views, ((1, 2), (0, 2), (0, 1)), strict=True):
        for axis in axes:
            half = (15.0, 12.0, 20.0)[axis]
            for sign in (-1, 1):
                inside, outside = np.array(target), np.array(target)
                inside[axis] += sign * (half - 3)
                outside[axis] += sign * (half + 3)
                assert hands.grey_at(view, inside) > 200
                assert hands.grey_at(view, outside) < 110
    hands.key("X")


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
    yellow = (hands.picture(view) == (255, 214, 10)).all(axis=-1)
    assert yellow.sum() > 50


def test_the_ruler_is_drawn_by_keys_alone(room, hands, target):
    """From the middle 30 mm to the right and 10 mm up: hypotenuse 31.6 mm."""
    hands.keys("R", "Return", *["Ctrl+Shift+Right"] * 3, "Ctrl+Shift+Up", "Return")
    (ruler,) = room.images.rulers
    assert float(ruler.long_axis_mm) == pytest.approx(np.hypot(30, 10), abs=0.8)  # to the nearest voxel
    hands.keys("Del")
    assert room.images.rulers == []


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
    hands.keys("Ctrl+Z", "Ctrl+Z")
    assert room.session.form.lesions == ()
    hands.keys("Ctrl+Y")
    assert [lesion.lesion_id for lesion in room.session.form.lesions] == ["T1"]
    hands.keys("Ctrl+Z")


def test_a_click_takes_all_planes_to_the_place(room, hands, target):
    view = room.images.views[0]
    p, r, c = target
    hands.mouse(view, "press", view.to_pixels((p, r + 30, c + 20)))
    hands.mouse(view, "release", view.to_pixels((p, r + 30, c + 20)))
    assert room.images.place_mm == pytest.approx((p, r + 30, c + 20), abs=1.3)
    for other, axis in zip(room.images.views[1:], (1, 2), strict=True):
        assert other.model.dims.point[axis] == pytest.approx(room.images.place_mm[axis])


@pytest.mark.parametrize(
    ("keys", "axis", "voxels"),
    [
        pytest.param(["Up"], 0, -1, id="up-is-to-the-head"),
        pytest.param(["Down", "Down"], 0, 2, id="down"),
        pytest.param(["PgDown"], 0, 4, id="10-mm"),
        pytest.param(["C", "Down"], 1, 1, id="coronal"),
        pytest.param(["G", "Up"], 2, -1, id="sagittal"),
        pytest.param(["Shift+Right"], 2, 1, id="crosshair-right"),
        pytest.param(["Shift+Up"], 1, -1, id="crosshair-up"),
    ],
)
def test_keys_move_the_planes(room, hands, keys, axis, voxels):
    before = room.images.shown.index(room.images.place_mm)
    hands.keys(*keys)
    after = room.images.shown.index(room.images.place_mm)
    assert after[axis] - before[axis] == voxels
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def test_home_and_end(room, hands):
    hands.key("Home")
    assert room.images.shown.index(room.images.place_mm)[0] == 0
    hands.key("End")
    assert room.images.shown.index(room.images.place_mm)[0] == 59


def test_the_wheel_goes_through_slices_and_zooms_with_ctrl(room, hands):
    from qtpy.QtCore import Qt

    view = room.images.views[0]
    before = room.images.place_mm[0]
    hands.wheel(view, -1)
    assert room.images.place_mm[0] == pytest.approx(before + 2.5)
    zoom = view.model.scene.camera.zoom
    hands.wheel(view, 1, modifiers=Qt.KeyboardModifier.ControlModifier)
    assert view.model.scene.camera.zoom > zoom
    hands.key("Z")
    assert view.model.scene.camera.zoom == pytest.approx(zoom)


def test_windows_by_key_and_by_drag(room, hands):
    view = room.images.views[0]
    image = view.model.layers["scan"]
    for key, limits in (("M", [-160, 240]), ("B", [-500, 1300]), ("L", [-1350, 150])):
        hands.key(key)
        assert image.contrast_limits == pytest.approx(limits)
    hands.drag(view, (100, 100), (150, 120), button="right")
    assert (room.images.window.width_hu, room.images.window.centre_hu) == (1600, -640)
    assert room.images.place_mm == pytest.approx(room.images.place_mm)


def test_a_slab_shows_what_lies_beside_the_slice(room, hands, target):
    """6 mm beyond the target's edge: dark in a thin slice, bright in 15 mm."""
    view = room.images.views[0]
    hands.key("X")
    beyond = (target[0] + 15.0 + 6.0, target[1], target[2])
    room.images.go_to(beyond)
    assert hands.grey_at(view, beyond) < 110
    hands.keys("S", "S", "S")
    assert room.images.views[1].slab_mm == 15.0
    assert hands.grey_at(view, beyond) > 200
    hands.key("Shift+S")
    assert hands.grey_at(view, beyond) < 110
    hands.key("X")


def test_the_probe_reads_hounsfield_units(room, hands, target):
    hands.key("P")
    assert room.images.views[0].words_below.startswith("60 HU")
    assert "2 mm: 60 ± 0 HU" in room.images.views[0].words_below


def test_cine_plays_and_stops(room, hands):
    import time

    before = room.images.place_mm[0]
    hands.keys("]", "]", "Space")
    until = time.monotonic() + 10
    while room.images.place_mm[0] == before and time.monotonic() < until:
        hands.settle(1)
    assert room.images.place_mm[0] != before
    hands.keys("Space", "[", "[")
    stopped = room.images.place_mm[0]
    hands.settle(5)
    assert room.images.place_mm[0] == stopped


def test_every_action_has_a_method_a_key_and_a_line_of_help(room, hands):
    from qtpy.QtWidgets import QLabel

    hands.key("F1")
    assert room.help.isVisible()
    words = " ".join(label.text() for label in room.help.findChildren(QLabel))
    for action in ACTIONS:
        assert callable(getattr(room, f"do_{action.name}"))
        assert all(key.replace("&", "&amp;") in words for key in action.keys)
    hands.key("F1")
    assert not room.help.isVisible()


def test_letters_typed_into_a_field_are_text_not_actions(room, hands):
    hands.keys("Tab", "N")  # the reason is asked for then, and has the focus
    hands.type("low dose, breathing")
    assert room.session.form.answer("why_not_evaluable") == "low dose, breathing"
    assert room.images.window.name == "lung"
    hands.key("Esc")
    hands.key("M")
    assert room.images.window.name == "mediastinum"
    hands.keys("Ctrl+Z")  # all that was typed is one step
    assert room.session.form.answers == {"evaluable": "no"}
    hands.keys("Ctrl+Z")
    assert room.session.form.answers == {}


def test_what_is_missing_is_said_and_gone_to(room, hands):
    hands.keys("Ctrl+Return")
    assert "Not complete" in room.message.text()
    assert room.form.current == "evaluable"
    assert room.session.desk.done == 0


@pytest.fixture
def signed(room, hands):
    """Sign the first baseline; it stays so for the tests that follow."""
    desk, item = room.session.desk, room.session.desk.items[0]
    if desk.state(item) != "signed":
        from tests.viewer.test_collecting import baseline

        desk.sign(item, baseline(is_miliary=True))
    return hands


def test_the_baseline_opens_beside_its_follow_up_and_both_scroll_together(room, signed):
    """The follow-up lies 15 mm lower in the scanner and has slices twice as thick."""
    room.open(room.session.desk.items[1])
    signed.settle()
    assert room.session.form.is_baseline is False
    signed.key("F")
    beside = room.images.beside
    assert "Baseline" in beside.title
    assert beside.words_right.startswith("linked\nby position\naligning")
    for z in (50.0, 75.0, 100.0):
        room.images.go_to(room.images.shown.place_mm((TARGET_MM[0], TARGET_MM[1], z + SHIFT_MM)))
        there = beside.shown.point_mm(beside.place_mm)
        assert there == pytest.approx((TARGET_MM[0], TARGET_MM[1], z), abs=6.0)
    assert len(np.unique(signed.picture(beside))) > 20
    here = room.images.place_mm
    signed.keys("O", "PgDown")
    assert room.images.place_mm[0] == pytest.approx(here[0] + 10.0, abs=5.0)
    signed.keys("A", "K")
    assert beside.words_right == "LINK OFF"
    signed.key("K")
    until = time.monotonic() + 120
    while room._aligner.found is None and time.monotonic() < until:
        signed.settle(1)
        time.sleep(0.02)
    assert beside.words_right.startswith("linked\nby registration\n± ")
    room.images.go_to(room.images.shown.place_mm((*TARGET_MM[:2], TARGET_MM[2] + SHIFT_MM)))
    there = beside.shown.point_mm(beside.place_mm)
    assert there == pytest.approx(TARGET_MM, abs=3.5)  # to a slice of 2.5 mm
    room._aligner._known[room._aligner._asked] = moved_by(0.0, residual_mm=4.4)
    signed.keys("F", "F")
    assert beside.words_right == "linked\nby position\nnot aligned"
    assert "vessels lie 4.4 mm apart" in room.message.text()
    signed.key("K")
    fixed = beside.place_mm
    signed.keys("PgUp")
    assert beside.place_mm == fixed
    signed.keys("F")
    assert beside.shown is None


def test_the_follow_up_asks_for_the_lesions_of_the_baseline(room, signed):
    room.open(room.session.desk.items[1])
    names = [field.objectName() for field in room.form.tab_order()]
    assert "T1 size" not in names  # nothing is asked before the scan can be judged
    signed.keys("Tab", "Y")
    names = [field.objectName() for field in room.form.tab_order()]
    assert {"T1 seen", "T1 size", "N1 status"} <= set(names)
    assert not any("organ" in name for name in names)
    signed.key("Ctrl+Z")


def test_a_signed_read_is_locked_until_it_is_amended(room, signed):
    hands, item = signed, room.session.desk.items[0]
    room.open(item)
    assert not any(field.isEnabled() for field in room.form.tab_order())
    hands.keys("Ctrl+E")
    assert all(field.isEnabled() for field in room.form.tab_order())
    hands.keys("Tab", "Esc", "Ctrl+Return")
    assert room.panel.isVisible()
    hands.keys("Esc")
    assert not room.panel.isVisible()
    room.open(item)  # leaving without signing changes nothing
    assert room.session.desk.form(item).answer("confidence") == "5"


def test_marks_are_shown_after_signing_only_and_lie_on_the_target(room, signed):
    room.open(room.session.desk.items[2])
    signed.key("Ctrl+M")
    assert "after the read is signed" in room.message.text()
    assert "marks" not in room.images.views[0].model.layers
    room.open(room.session.desk.items[0])
    signed.key("Ctrl+M")
    marks = room.images.views[0].model.layers["marks"]
    assert room.images.shown.point_mm(tuple(marks.data[0])) == pytest.approx(TARGET_MM, abs=1e-3)
    room.images.go_to(tuple(marks.data[0]))
    signed.key("X")
    view = room.images.views[0]
    p, r, c = (float(value) for value in marks.data[0])
    x, y = view.to_pixels((p, r, c + 23.0))  # the ring: 20 mm of the nodule, and 3 mm around it
    around = (
        signed.picture(view)[round(y) - 3 : round(y) + 4, round(x) - 6 : round(x) + 7]
        .reshape(-1, 3)
        .astype(int)
    )
    assert (around[:, 0] - around[:, 2]).max() > 100  # orange
    signed.key("X")


def test_no_secret_is_in_window_words_or_log(room, signed, caplog, capfd):
    from qtpy.QtWidgets import QLabel, QLineEdit, QListWidget, QWidget

    with caplog.at_level(logging.DEBUG):
        for item in room.session.desk.items:
            room.open(item)
            signed.settle()
    words = [room.window.windowTitle(), room.viewer.title]
    for widget in room.window.findChildren(QWidget):
        words += [widget.windowTitle(), widget.toolTip(), widget.objectName()]
        if isinstance(widget, QLabel | QLineEdit):
            words.append(widget.text())
        if isinstance(widget, QListWidget):
            words += [widget.item(row).text() for row in range(widget.count())]
    words += [layer.name for view in room.images.views for layer in view.model.layers]
    said = "\n".join(words) + caplog.text + "".join(capfd.readouterr())
    for secret in ("CANARY", "2013-01-05", "20130105", str(room.session.desk.folder)):
        assert secret not in said


def test_answers_by_single_keys_go_on_to_the_next_field(room, hands):
    room.open(room.session.desk.items[2])
    hands.keys("Tab", *"YYYY", *"NNN", *"222333")
    hands.type("4.5")
    hands.key("Tab")
    hands.type("2,5")
    form = room.session.form
    expected = miliary_form(typical_mm="2,5")
    for name in (
        "criterion_pattern",
        "exclusion_lymphangitic",
        "profusion_right_upper",
        "largest_mm",
        "typical_mm",
    ):
        assert form.answer(name) == expected.answer(name) or name.startswith("profusion")
    assert form.answer("profusion_left_lower") == "3"
    assert form.label == "mipc"
    assert room.session.desk.form(room.session.item) == form  # on the disk already
