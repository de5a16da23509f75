"""The third reader at the screen: both reads without names, where each measured, a decision by keys."""

import csv
import re
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("napari")

from analysis.reader_responses import reader_responses
from tests.viewer.screen import PYDANTIC_1, Hands, Rooms, needs_screen, words_of
from tests.viewer.study import CANARY, leaks, make_study, patient_id, secrets
from tests.viewer.test_collecting import baseline, later
from viewer.adjudication import adjudicate
from viewer.collecting import collect
from viewer.desk import Desk
from viewer.export import write_collection
from viewer.outcomes import final_responses
from viewer.packs import prepare
from viewer.reading import Mark
from viewer.studykey import load_key

pytestmark = [needs_screen, pytest.mark.filterwarnings(PYDANTIC_1)]

# Where each reader measured, LPS: within the small chest of `tests.imaging.dicom.making`, 80 and 60 mm apart.
MARKS = {"A": ((40.0, 90.0, 60.0), (120.0, 90.0, 60.0)), "B": ((60.0, 150.0, 60.0), (120.0, 150.0, 60.0))}


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """Open rooms on one disputed label (by B's clear read of patient 1) and one disputed response."""
    from viewer.window.room import Room

    def opening():
        folder = tmp_path_factory.mktemp("adjudication")
        images, store = make_study(folder, flagged=2, others=0, follow_ups=1)
        packs = folder / "packs"
        prepare([images], store, packs, readers=("A", "B"), seed=3)
        for reader, size_mm in (("A", 15), ("B", 24)):
            desk, key = Desk(packs / reader), load_key(packs)
            while (item := desk.next_open()) is not None:
                patient = key.case(reader, item.case.code).patient_id
                if item.time_point.number == 1:
                    form = baseline(is_miliary=(reader, patient) != ("B", patient_id(1)))
                else:
                    form = later(desk, item, size_mm)
                mark = Mark("T1", MARKS[reader], slice_uid="1.2.3.FROM.THE.PACK.OF.A.READER")
                desk.sign(item, replace(form, marks=(mark,)))
        collection = collect(packs)
        responses = reader_responses(collection.recist_reads())
        adjudicate(collection, packs, responses=responses, reader="C", seed=1)
        return Room(packs / "C")

    with closing(Rooms(opening)) as rooms:
        yield rooms


@pytest.fixture
def adjudicated(rooms):
    """Take a room in which nothing is decided, and put the hands at it."""
    room = rooms.room()
    packs = room.session.desk.folder.parent
    return room, Hands(room), packs, packs.parent / f"{CANARY}PATH"


def open_item(room, packs, patient, number):
    key = load_key(packs)
    item = next(
        one
        for one in room.session.desk.items
        if key.case("C", one.case.code).patient_id == patient and one.time_point.number == number
    )
    room.open(item)
    return item


def table(room) -> str:
    from qtpy.QtWidgets import QLabel

    labels = room.form.findChildren(QLabel, "earlier_reads")
    return "\n".join(re.sub("<[^>]+>|&nbsp;", " ", label.text()) for label in labels)


def test_both_reads_are_seen_side_by_side_without_names(adjudicated):
    room, hands, packs, images = adjudicated
    for item in room.session.desk.items:
        room.open(item)
        hands.settle()
        words = "\n".join(words_of(room))
        assert "Reader 1" in words
        assert not re.search(r"READER [AB]|[Rr]eader [AB]\b|\b[AB]-\d{3}|\b(PR|SD|PD|CR)\b", words)
    open_item(room, packs, patient_id(1), 1)
    said = table(room)
    assert "MIPC" in said
    assert "not MIPC" in said
    assert "not_mipc" not in said
    assert said.index("label") < said.index("evaluable") < said.index("profusion, right") < said.index("T1")
    grades = sorted(re.findall(r"upper \d, middle \d, lower \d", said[said.index("profusion, right") :])[:2])
    assert grades == ["upper 0, middle 0, lower 0", "upper 2, middle 2, lower 3"]
    assert leaks(packs / "C", [*secrets(images), b"FROM.THE.PACK"]) == []


def test_both_rulers_are_seen_where_each_reader_measured(adjudicated):
    room, hands, packs, _ = adjudicated
    open_item(room, packs, patient_id(0), 2)
    seen = {}
    for _ in range(2):
        hands.key("J")
        for line in room.images.views[0]._drawing().lines:
            name, length = re.fullmatch(r"Reader ([12]), T1 ([\d.]+) mm", line.text).groups()
            seen[name] = float(length)
    assert sorted(seen.values()) == [60.0, 80.0]
    yellow = (hands.picture(room.images.views[0]) == (255, 214, 10)).all(axis=-1)
    assert yellow.sum() > 50
    hands.keys("R", "Return", "Ctrl+Shift+Right", "Return")
    assert len(room.images.others) == 2  # his own ruler changes none of theirs
    assert [mark.name for mark in room.session.form.marks] == [""]
    hands.keys("Ctrl+Z")


def test_marks_are_not_shown_where_the_protocol_says_nothing_of_them(adjudicated):
    room, hands, packs, _ = adjudicated
    open_item(room, packs, patient_id(1), 1)
    hands.key("Ctrl+M")
    assert "shows no marks" in room.message.text()


def test_he_decides_by_keys_and_the_decision_flows_on_with_its_history(adjudicated, tmp_path):
    room, hands, packs, _ = adjudicated
    # The response: by choosing whose measurements stand, at the last scan.
    open_item(room, packs, patient_id(0), 1)
    assert "The decision is made at another one" in "\n".join(words_of(room))
    assert len(np.unique(hands.picture(room.images.views[0]))) > 20
    item = open_item(room, packs, patient_id(0), 2)
    sizes = [read.answers["T1"] for read in item.case.earlier_reads if read.time_point == 2]
    with_24 = next(str(number) for number, said in enumerate(sizes, start=1) if "24" in said)
    hands.keys("Ctrl+Return")
    assert "Not complete" in room.message.text()
    hands.keys("Esc", "Tab", with_24)
    hands.type("15 mm leaves a part out")
    hands.keys("Esc", "Ctrl+Return")
    assert "both reads of it" in room.panel.words.text()
    hands.key("Return")
    if room.session.desk.needs_passphrase:
        raise AssertionError("packs that were prepared without a passphrase ask for none")
    assert room.session.mode == "locked", room.message.text()
    # The label: by a read of the baseline.
    open_item(room, packs, patient_id(1), 1)
    hands.keys("Tab", "Y", *"YYY", *"NNN", *"223223")
    hands.type("4.5")
    hands.key("Tab")
    hands.type("2.5")
    hands.keys("Tab", "4", "Esc", "Ctrl+Return", "Return")
    assert room.session.mode == "locked", room.message.text()
    assert room.session.desk.next_open() is None

    collection = collect(packs)
    responses = reader_responses(collection.recist_reads())
    (final,) = final_responses(collection, responses)
    assert (final.patient_id, final.basis, final.stands) == (patient_id(0), "adjudicated", "B")
    write_collection(collection, tmp_path, responses)
    with (tmp_path / "labels.csv").open() as file:
        labels = {row["patient_id"]: (row["verdict"], row["basis"]) for row in csv.DictReader(file)}
    assert labels == {patient_id(0): ("mipc", "agreed"), patient_id(1): ("mipc", "adjudicated")}
    with (tmp_path / "label_history.csv").open() as file:
        history = [
            (row["reader"], row["label"])
            for row in csv.DictReader(file)
            if row["patient_id"] == patient_id(1)
        ]
    assert history == [("A", "mipc"), ("B", "not_mipc"), ("C", "mipc")]
