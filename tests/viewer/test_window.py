"""The room on a screen: real mouse and key events, and pictures that show what they should."""

import errno
import re
import time
from html import escape

import numpy as np
import pytest

pytest.importorskip("napari")

from tests.viewer.packs_by_hand import miliary_form
from tests.viewer.screen import PYDANTIC_1, SHIFT_MM, TARGET_MM, needs_screen
from tests.viewer.test_collecting import later
from tests.viewer.test_measure import moved_by
from viewer.actions import ACTIONS
from viewer.pack import images_of

pytestmark = [
    needs_screen,
    pytest.mark.filterwarnings(PYDANTIC_1),
]


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


@pytest.mark.parametrize(
    ("key_presses", "slab_mm", "reach_mm"),
    [
        pytest.param(0, 1.0, 0.0, id="thin"),
        pytest.param(1, 5.0, 2.5, id="5-mm"),
        pytest.param(2, 10.0, 5.0, id="10-mm"),
        pytest.param(3, 15.0, 7.5, id="15-mm"),
    ],
)
def test_a_slab_shows_what_lies_half_its_thickness_beside_the_slice(
    room, hands, target, key_presses, slab_mm, reach_mm
):
    """The target ends 15 mm from its middle; a slab shows it from half its thickness away, and no farther."""
    view = room.images.views[0]
    hands.keys("X", *["S"] * key_presses)
    assert [one.slab_mm for one in room.images.views] == [slab_mm] * 3
    for beyond_mm in (2.5, 5.0, 7.5, 10.0):
        place = (target[0] + 15.0 + beyond_mm, target[1], target[2])
        room.images.go_to(place)
        grey = hands.grey_at(view, place)
        if beyond_mm < reach_mm:
            assert grey > 200
        elif beyond_mm > reach_mm + 2.5:  # to a slice
            assert grey < 110
    hands.keys("Shift+S", "X")
    assert room.images.views[0].slab_mm == 1.0


def test_the_probe_reads_hounsfield_units(room, hands, target):
    hands.key("P")
    assert room.images.views[0].words_below.startswith("60 HU")
    assert "2 mm: 60 ± 0 HU" in room.images.views[0].words_below


def test_cine_plays_and_stops(room, hands):
    before = room.images.place_mm[0]
    hands.keys("]", "]", "Space")
    until = time.monotonic() + 120
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
        assert escape(action.sentence) in words
    page = room.help.rect()
    for label in room.help.findChildren(QLabel):
        assert page.contains(label.geometry())
        assert label.heightForWidth(label.width()) <= label.height()  # nothing is cut off
    hands.key("F1")
    assert not room.help.isVisible()


def test_every_key_does_its_action_and_nothing_else(room, hands, monkeypatch):
    """Real key events; Qt drops a key that two shortcuts claim, napari's own among them."""
    done = []
    for action in ACTIONS:
        monkeypatch.setattr(room, f"do_{action.name}", lambda name=action.name: done.append(name))
    for action in ACTIONS:
        for key in action.keys:
            hands.key(key)
            assert done == [action.name], f"{key} did {done}"
            done.clear()


def test_the_keys_of_napari_do_not_touch_the_scan(room, hands):
    """Napari would delete a layer, turn the view or show a grid; the room takes its keys away."""
    from napari.utils.shortcuts import default_shortcuts
    from qtpy.QtGui import QKeySequence

    own = {QKeySequence(key)[0] for action in ACTIONS for key in action.keys}
    bindings = {str(binding) for bindings in default_shortcuts.values() for binding in bindings}
    pressed = [
        key for key in sorted(bindings) if (found := QKeySequence(key)).count() and found[0] not in own
    ]
    assert len(pressed) > 20
    place, order = room.images.place_mm, room.viewer.dims.order
    for key in pressed:
        hands.key(key)
    assert [layer.name for layer in room.viewer.layers] == ["scan"]
    assert room.viewer.layers["scan"].visible
    assert (room.viewer.dims.ndisplay, room.viewer.dims.order) == (2, order)
    assert not room.viewer.canvas.grid.enabled
    assert room.images.place_mm == place
    assert room.window.isActiveWindow()


def test_in_the_light_theme_the_images_stay_on_black_and_words_are_legible(room, hands):
    """White around a CT blinds the reader and hides what is written there; the form takes the theme."""
    from qtpy.QtGui import QColor

    from viewer.window.fields import COLOURS

    dark = room.viewer.theme
    try:
        room.viewer.theme = "light"
        for view in room.images.views:
            corner = hands.picture(view)[60:70, 10:20]
            assert corner.max() == 0
        form = room.form.grab().toImage()
        paper = QColor(form.pixel(form.width() // 2, form.height() - 40)).lightness()
        assert paper > 150
    finally:
        room.viewer.theme = dark
    hands.settle()
    for colour in COLOURS.values():
        for ground in ("#262930", "#ffffff"):  # napari's themes
            assert contrast(QColor(colour), QColor(ground)) > 3.0


def contrast(one, other) -> float:
    """Return the contrast ratio of WCAG 2.1, 1.4.3; large or short words need 3 to 1."""

    def luminance(colour):
        parts = (colour.redF(), colour.greenF(), colour.blueF())
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_double_click_is_two_clicks_and_does_not_zoom(room, hands):
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    view = room.images.views[0]
    zoom = view.model.scene.camera.zoom
    QTest.mouseDClick(view.canvas, Qt.MouseButton.LeftButton, pos=QPoint(300, 300))
    hands.settle(5)
    assert view.model.scene.camera.zoom == zoom


def test_letters_and_scale_bar_are_those_of_the_patient(room, hands, target):
    """R is at the left of an axial picture; the bar has the length it says, at the zoom of the picture."""
    hands.key("X")
    view = room.images.views[0]
    picture = hands.picture(view)
    drawing = view._drawing()
    letters = drawing.letters
    assert (letters.left, letters.right, letters.top, letters.bottom) == ("R", "L", "A", "P")
    row = picture[view.canvas.height() - 14, :200]  # the letter below is in the middle
    ink = (row == (235, 235, 225)).all(axis=-1)
    begin, end = np.flatnonzero(ink)[[0, -1]]
    assert ink[begin : end + 1].all()
    assert (end - begin + 1) / view.model.scene.camera.zoom == pytest.approx(drawing.scale_bar_mm, rel=0.02)
    hands.key("X")


def test_a_click_on_the_worklist_opens_the_case(room, hands):
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QListWidget

    rows = room.worklist.findChild(QListWidget)
    assert [rows.item(place).text()[3:] for place in range(rows.count())] == [
        "A-001  Baseline", "A-001  Follow-up 1", "A-002  Baseline",
    ]  # fmt: skip
    QTest.mouseClick(
        rows.viewport(), Qt.MouseButton.LeftButton, pos=rows.visualItemRect(rows.item(2)).center()
    )
    assert room.session.item.title == "A-002  Baseline"
    assert room.images.views[0].title == "A-002  Baseline\nAxial"


def test_letters_typed_into_a_field_are_text_not_actions(room, hands):
    hands.keys("Tab", "N")  # the reason is asked for then, and has the focus
    hands.type("low dose, breathing")
    assert room.session.form.answer("why_not_evaluable") == "low dose, breathing"
    assert room.images.window.name == "lung"
    hands.keys("Esc", "R", "Tab", "Return")
    assert room.form.current == "comment"  # Enter goes on, and puts no end of the ruler anywhere
    assert room.images.rulers == []
    hands.keys("Esc", "Esc")
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
    until = time.monotonic() + 600
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


def test_another_scan_that_is_not_what_was_handed_out_is_not_put_beside(room, signed):
    room.open(room.session.desk.items[1])
    image = min(images_of(room.session.desk.folder, "A-001", 1).iterdir())
    whole = image.read_bytes()
    image.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # one bit of a pixel
    room._scans.clear()
    signed.key("F")
    said, beside = room.message.text(), room.images.beside.shown
    image.write_bytes(whole)
    assert said.startswith("The other scan cannot be shown: the images of A-001/1 are not")
    assert beside is None
    assert room.images.shown is not None


def test_another_scan_with_a_damaged_draft_is_not_put_beside(room, signed):
    baseline, follow_up, _ = room.session.desk.items
    room.open(baseline)
    draft = room.session.desk._draft_path(follow_up)
    draft.parent.mkdir(exist_ok=True)
    kept = draft.read_bytes() if draft.exists() else None
    draft.write_text("{")
    signed.key("F")
    draft.unlink() if kept is None else draft.write_bytes(kept)
    assert "the draft" in room.message.text()
    assert room.images.beside.shown is None


def test_the_follow_up_asks_for_the_lesions_of_the_baseline(room, signed):
    from qtpy.QtWidgets import QLabel

    room.open(room.session.desk.items[1])
    names = [field.objectName() for field in room.form.tab_order()]
    assert "T1 size" not in names  # nothing is asked before the scan can be judged
    signed.keys("Tab", "Y")
    names = [field.objectName() for field in room.form.tab_order()]
    assert {"T1 seen", "T1 size", "N1 status"} <= set(names)
    assert not any("organ" in name for name in names)
    words = "\n".join(label.text() for label in room.form.findChildren(QLabel))
    assert "before: 30 x 20 mm" in words
    assert not re.search(r"\b(CR|PR|SD|PD|NE|NED|response|nadir|sum)\b|%", words)  # left to the engine
    signed.key("Ctrl+Z")


def test_why_a_non_target_was_not_assessed_is_never_a_size(room, signed):
    """A reason typed first, be it a number, is kept as one; what the field shows is what is kept."""
    room.open(room.session.desk.items[1])
    signed.keys("Tab", "Y")
    reason = room.form.lesions.field("N1 size")
    reason.setFocus()
    signed.type("3 motion")
    (judged,) = room.session.form.non_targets
    assert (judged.status, judged.reason) == ("NOT ASSESSED", "3 motion")
    assert room.session.form.measurements == ()
    room.form.lesions.field("N1 status").setFocus()
    signed.type("p")
    (judged,) = room.session.form.non_targets
    assert (judged.status, judged.reason, reason.value()) == ("PRESENT", "", "")
    size = room.form.lesions.field("T1 size")
    size.setFocus()
    signed.type("motion")
    assert size.value() == "motion"
    room.form.lesions.field("T1 seen").setFocus()
    signed.type("n")
    (found,) = room.session.form.measurements
    assert (found.seen, found.reason, size.value()) == ("NOT ASSESSED", "", "")
    room.session.desk._draft_path(room.session.item).unlink()


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


def test_marks_that_cannot_be_noted_are_not_shown(room, signed, monkeypatch):
    def no_room():
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(room.session, "start_second_look", no_room)
    signed.key("Ctrl+M")
    assert "cannot be shown, since that cannot be noted: No space left" in room.message.text()


def test_marks_are_shown_after_signing_only_and_lie_on_the_target(room, signed):
    hands, desk = signed, room.session.desk
    baseline, follow_up, other = desk.items
    room.open(other)
    hands.key("Ctrl+M")
    assert "after the read is signed" in room.message.text()
    room.open(baseline)
    if desk.state(follow_up) != "signed":
        hands.key("Ctrl+M")
        assert "every scan of the case is signed" in room.message.text()
        desk.sign(follow_up, later(desk, follow_up))
    assert "marks" not in room.images.views[0].model.layers
    hands.key("Ctrl+M")
    marks = room.images.views[0].model.layers["marks"]
    assert room.images.shown.point_mm(tuple(marks.data[0])) == pytest.approx(TARGET_MM, abs=1e-3)
    room.images.go_to(tuple(marks.data[0]))
    hands.key("X")
    view = room.images.views[0]
    p, r, c = (float(value) for value in marks.data[0])
    x, y = view.to_pixels((p, r, c + 23.0))  # the ring: 20 mm of the nodule, and 3 mm around it
    around = hands.picture(view)[round(y) - 3 : round(y) + 4, round(x) - 6 : round(x) + 7]
    around = around.reshape(-1, 3).astype(int)
    assert (around[:, 0] - around[:, 2]).max() > 100  # orange
    hands.key("X")

    first = desk.form(baseline)
    hands.keys("Tab", *["Tab"] * 3)  # to the third criterion
    assert room.form.current == "criterion_size"
    hands.keys("N", "Esc", "Ctrl+Return")
    assert "Not complete" in room.message.text()  # the largest has 4.5 mm, so it is at odds
    room._change(room.session.form.with_answer("comment", "larger ones at the base"), "comment")
    hands.keys("Esc", "Ctrl+Return")
    assert "kept beside your first" in room.panel.words.text()
    hands.key("Return")
    assert desk.form(baseline) == first
    assert desk.second(baseline).label == "not_mipc"
    hands.key("Ctrl+E")
    assert "were shown, so its reads stand" in room.message.text()
    room.open(other)
    assert "marks" not in room.images.views[0].model.layers
