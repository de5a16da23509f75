"""A room on a phantom, and hands at it."""

from contextlib import closing

import pytest

from tests.viewer.screen import TARGET_MM, Hands, Rooms, make_pack
from viewer.pack import ReadingProtocol
from viewer.reading import Form


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """Open rooms on two cases, the first with a follow-up, marks handed out."""
    pytest.importorskip("napari")
    from viewer.window.room import Room

    def opening():
        folder = tmp_path_factory.mktemp("screen")
        pack = make_pack(folder, protocol=ReadingProtocol(shows_marks=True))
        return Room(pack, folder / "packs" / "coordinator" / "marks" / "A")

    with closing(Rooms(opening)) as rooms:
        yield rooms


@pytest.fixture
def room(rooms, request):
    """Take a room in which nothing is signed, or for tests that ask for it the first baseline."""
    return rooms.room(may_be_signed=["A-001/1"] if "signed" in request.fixturenames else [])


@pytest.fixture
def hands(room):
    """Open the first case, without a word from a test before, and put the hands at it."""
    first, *others = room.session.desk.items
    if room.session.desk.state(first) != "signed":
        room.session.desk.save_draft(first, Form())
    room.open(first)
    for item in others:
        room.session.desk._draft_path(item).unlink(missing_ok=True)
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


@pytest.fixture
def signed(room, hands):
    """Sign the first baseline; it stays so for the tests that follow and ask for it."""
    desk, item = room.session.desk, room.session.desk.items[0]
    if desk.state(item) != "signed":
        from tests.viewer.test_collecting import baseline

        desk.sign(item, baseline(is_miliary=True))
    return hands
