"""What a reader can see, hover over, hear read out, save or find in a log holds no secret."""

import logging

import pytest

pytest.importorskip("napari")

from tests.viewer.screen import PYDANTIC_1, Hands, needs_screen, words_of
from tests.viewer.study import leaks, make_study, secrets, upstream_words
from viewer.desk import Desk
from viewer.pack import ReadingProtocol
from viewer.packs import prepare

pytestmark = [needs_screen, pytest.mark.filterwarnings(PYDANTIC_1)]


@pytest.fixture(scope="module")
def blinded(tmp_path_factory):
    """Open a pack of a study with a secret in every place, and read it a little."""
    from tests.viewer.test_collecting import baseline
    from viewer.window.room import Room

    folder = tmp_path_factory.mktemp("CANARYstudy")
    images, store = make_study(folder, flagged=1, others=1, follow_ups=1)
    packs = tmp_path_factory.mktemp("out") / "packs"
    prepare([images], store, packs, readers=("A", "B"), controls=1, seed=2, protocol=ReadingProtocol())
    for reader in "AB":
        desk = Desk(packs / reader)
        form = baseline(True).with_answer("comment", "REMARKOFB") if reader == "B" else baseline(True)
        desk.sign(next(item for item in desk.items if len(item.case.time_points) == 2), form)
    room = Room(packs / "A")
    room.window.resize(1200, 800)
    hands = Hands(room)
    hands.wait_until_active()
    yield room, hands, packs, images
    room.close()


def test_no_secret_is_in_window_words_or_log(blinded, caplog, capfd):
    room, hands, packs, images = blinded
    words: list[str] = []
    with caplog.at_level(logging.DEBUG):
        for item in room.session.desk.items:
            room.open(item)
            hands.keys("F1", "F1", "P", "S", "F", "J", "V", "Ctrl+Return", "Esc", "Ctrl+M", "Ctrl+E")
            hands.settle()
            words += words_of(room)
    said = "\n".join(words) + caplog.text + "".join(capfd.readouterr())
    assert "Reader A" in said
    assert "Follow-up 1" in said  # the search reads what is on the screen
    for secret in (*upstream_words(images), "REMARKOFB", "A-001/1/", str(packs)):
        assert secret not in said


def test_the_search_of_the_window_finds_what_is_planted_there(blinded):
    """In each kind of place, so that a leak there could not pass unseen."""
    from qtpy.QtWidgets import QLabel, QLineEdit, QListWidget, QPlainTextEdit, QPushButton

    room, *_ = blinded
    label, line, text = QLabel("CANARY0"), QLineEdit("CANARY1"), QPlainTextEdit("CANARY2")
    button, rows = QPushButton("CANARY3"), QListWidget()
    rows.addItem("CANARY4")
    line.setPlaceholderText("CANARY5")
    label.setToolTip("CANARY6")
    text.setAccessibleName("CANARY7")
    planted = [label, line, text, button, rows]
    for widget in planted:
        widget.setParent(room.window)
    title, room.images.views[1].title = room.images.views[1].title, "CANARY8"
    room.window.setWindowTitle("CANARY9")
    found = "\n".join(words_of(room))
    assert [number for number in range(10) if f"CANARY{number}" not in found] == []
    room.images.views[1].title = title
    room.window.setWindowTitle(room.viewer.title)
    for widget in planted:
        widget.setParent(None)
        widget.deleteLater()


def test_a_screenshot_says_nothing_beside_its_picture(blinded, tmp_path):
    """Both ways there are: of Qt, and of napari; PNG texts, EXIF and every byte."""
    from PIL import Image

    room, hands, packs, images = blinded
    hands.settle()
    room.window.grab().save(str(tmp_path / "qt.png"))
    room.viewer.screenshot(str(tmp_path / "napari.png"), canvas_only=False)
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as picture:
            said = {key: value for key, value in picture.info.items() if isinstance(value, str | bytes)}
        assert set(said) <= {"Software"}  # napari names itself
        with Image.open(path) as picture:
            assert not picture.getexif()
    assert leaks(tmp_path, [*secrets(images), str(packs).encode()]) == []


def test_nothing_is_kept_on_the_readers_computer(blinded):
    """Napari remembers files that were opened; the room opens none that way."""
    from napari.settings import get_settings

    _room, _hands, packs, _images = blinded
    history = get_settings().application
    kept = [*history.open_history, *history.save_history]
    assert not [path for path in kept if "CANARY" in path or str(packs) in path]
