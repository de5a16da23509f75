"""What must not happen: a lost answer, a picture of another case, two windows on one pack."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from pydicom import dcmread

pytest.importorskip("napari")

from tests.viewer.screen import PYDANTIC_1, Hands, make_pack, needs_screen
from tests.viewer.test_collecting import baseline
from viewer.desk import Desk
from viewer.pack import PackError, images_of

pytestmark = [needs_screen, pytest.mark.filterwarnings(PYDANTIC_1)]

# Somebody at the room who presses keys until the computer fails; each is acknowledged once the room took it.
READER = """
import itertools, sys
from pathlib import Path
from tests.viewer.screen import Hands
from viewer.window.room import Room

room = Room(Path(sys.argv[1]))
room.window.resize(1300, 800)
hands = Hands(room)
hands.wait_until_active()
hands.keys("Tab", "Y", "Ctrl+T", "Esc", "R")
view = room.images.views[0]
hands.drag(view, (200, 200), (260, 200))
hands.key("V")
hands.drag(view, (230, 180), (230, 220))
found = room.session.form.measurements[0]
print(len(room.session.form.marks[0].points_mm), found.long_axis_mm, found.short_axis_mm, flush=True)
room.form._fields["comment"].setFocus()
hands.settle()
for number in itertools.count(1):
    hands.type("abcdefghij"[number % 10])
    print(number, flush=True)
"""


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return make_pack(tmp_path_factory.mktemp("safety"))


def test_kill_9_of_the_room_loses_no_answer_and_no_ruler(tmp_path):
    """A real room, real keys, SIGKILL in the middle of typing; then the pack is opened again."""
    pack = make_pack(tmp_path)
    room = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", READER, str(pack)], stdout=subprocess.PIPE, text=True
    )
    assert room.stdout is not None
    ends, long_axis, short_axis = room.stdout.readline().split()
    typed = [room.stdout.readline() for _ in range(12)]
    os.kill(room.pid, signal.SIGKILL)
    typed += room.stdout.readlines()
    room.stdout.close()
    assert room.wait() == -signal.SIGKILL
    desk = Desk(pack)
    form = desk.form(desk.items[0])
    expected = "".join("abcdefghij"[number % 10] for number in range(1, len(typed) + 1))
    assert form.answer("comment").startswith(expected)
    assert len(form.answer("comment")) <= len(expected) + 1
    (mark,), (found,) = form.marks, form.measurements
    assert (str(len(mark.points_mm)), str(found.long_axis_mm), str(found.short_axis_mm)) == (
        ends, long_axis, short_axis,
    )  # fmt: skip
    assert ends == "4"


@pytest.fixture(scope="module")
def room(pack):
    from viewer.window.room import Room

    room = Room(pack)
    room.window.resize(1300, 800)
    yield room
    room.close()


@pytest.fixture
def opened(room):
    hands = Hands(room)
    hands.wait_until_active(for_seconds=1.0)  # a program that was killed may have had the keys
    return room, hands


def test_a_picture_of_another_case_is_never_left_on_the_screen(opened, pack, tmp_path):
    """The follow-up waits for its baseline, and a scan that cannot be read shows nothing."""
    room, hands = opened
    room.open(room.session.desk.items[0])
    assert len(np.unique(hands.picture(room.images.views[0]))) > 20
    hands.key("Ctrl+PgDown")
    assert "Sign the scan before" in room.message.text()
    assert room.images.shown is None
    for view in room.images.views:
        assert len(np.unique(hands.picture(view)[40:-40, 40:-40])) <= 2  # black, and nothing over it
    hidden = images_of(pack, "A-002", 1)
    aside = tmp_path / "aside"
    hands.key("Ctrl+PgUp")
    assert room.images.shown is not None
    room._scans.clear()
    hidden.rename(aside)
    hidden.mkdir()
    by_place = sorted(aside.iterdir(), key=lambda path: dcmread(path).ImagePositionPatient[2])
    for missing in (by_place[7], by_place[0]):  # amid the stack, and at an end, where no gap tells
        room._scans.clear()
        for path in aside.iterdir():
            (hidden / path.name).write_bytes(path.read_bytes())
        (hidden / missing.name).unlink()
        hands.keys("Ctrl+PgDown", "Ctrl+PgDown")
        assert room.session.item.title == "A-002  Baseline"
        assert "cannot be shown" in room.message.text()
        assert "not those that were handed out" in room.message.text()
        assert room.images.shown is None
        hands.keys("Ctrl+PgUp", "Ctrl+PgUp")
    hands.keys("Ctrl+PgDown", "Ctrl+PgDown")
    hands.keys("Up", "S", "R", "Return", "P", "F", "Z", "Ctrl+Right", "Space", "V", "J")  # nothing breaks
    room._change(baseline(is_miliary=True), "")
    hands.key("Ctrl+Return")  # nor is it signed what nobody could see
    assert "signed with its images on the screen" in room.message.text()
    assert not room.panel.isVisible()
    hands.key("Ctrl+Z")
    for path in hidden.iterdir():
        path.unlink()
    hidden.rmdir()
    aside.rename(hidden)


def test_what_cannot_be_saved_is_said(opened, pack):
    room, hands = opened
    drafts = pack / "drafts"
    aside = pack / "aside"
    if drafts.exists():
        drafts.rename(aside)
    drafts.write_text("a file where the folder should be")  # the disk refuses
    room.open(room.session.desk.items[2])
    hands.keys("Tab", "Y")
    assert room.message.text().startswith("NOT SAVED")
    assert room.session.form.answer("evaluable") == "yes"  # what was answered is still there
    drafts.unlink()
    if aside.exists():
        aside.rename(drafts)
    hands.keys("Y")
    assert Desk(pack).form(room.session.item).answer("criterion_pattern") == "yes"


def test_a_damaged_draft_is_said_and_the_case_on_the_screen_stays(opened, pack):
    room, _hands = opened
    (pack / "drafts").mkdir(exist_ok=True)
    draft = pack / "drafts" / "A-002-1.json"
    kept = draft.read_bytes() if draft.exists() else None
    draft.write_text("{")
    before = room.session.item
    room.open(room.session.desk.items[2])
    assert "cannot be opened" in room.message.text()
    assert room.session.item is before
    draft.unlink()
    if kept:
        draft.write_bytes(kept)


def test_a_pack_is_open_in_one_window_only(opened, pack):
    from viewer.window.room import Room

    with pytest.raises(PackError, match="open in another window"):
        Room(pack)


def test_a_signature_asked_for_one_read_is_not_given_to_another(opened, pack):
    """Its words name the case; a click on the worklist while they are read leads to another."""
    room, hands = opened
    desk, (first, _, other) = room.session.desk, room.session.desk.items
    desk.save_draft(other, baseline(is_miliary=False))
    room.open(first)
    room._change(baseline(is_miliary=True), "")
    hands.key("Ctrl+Return")
    assert first.title in room.panel.words.text()
    room.worklist._list.itemClicked.emit(room.worklist._list.item(2))
    assert not room.panel.isVisible()
    hands.key("Return")
    assert [desk.state(item) for item in (first, other)] == ["draft", "draft"]


def test_a_read_signed_elsewhere_meanwhile_is_not_signed_again(opened, pack):
    room, _hands = opened
    room.open(room.session.desk.items[2])
    room._change(baseline(is_miliary=True), "")
    elsewhere = Desk(pack)
    elsewhere._ledger.append(who="A", action="note")
    entries = len(elsewhere._ledger.entries())
    room._sign("", "")
    assert "in another window" in room.message.text()
    assert len(elsewhere._ledger.entries()) == entries
