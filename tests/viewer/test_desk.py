"""A reader's desk: order of time points, drafts that survive kill -9, signatures that hold."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from records.ledger import Ledger, verify_ledger
from tests.viewer.packs_by_hand import clear_form, make_desk, miliary_form
from viewer.desk import AMEND, LEDGER_FILE, PASSPHRASE, REFUSED, SECOND_LOOK, SIGN, Desk, State
from viewer.pack import PackError, ReadingProtocol
from viewer.passphrase import is_passphrase
from viewer.questions import FOLLOW_UP
from viewer.reading import Form


def test_a_draft_is_there_when_the_desk_is_opened_again(tmp_path):
    desk = make_desk(tmp_path)
    form = Form().with_answer("comment", "half way")
    desk.save_draft(desk.items[1], form)
    again = Desk(tmp_path)
    assert again.form(again.items[1]) == form
    assert [again.state(item) for item in again.items] == [State.UNREAD, State.DRAFT]
    assert again.next_open() == again.items[0]


TYPIST = """
import sys
from pathlib import Path
from viewer.desk import Desk
desk = Desk(Path(sys.argv[1]))
form = desk.form(desk.items[0])
number = 0
while True:
    number += 1
    form = form.with_answer("comment", f"{number} " + "x" * 20000)
    desk.save_draft(desk.items[0], form)
    print(number, flush=True)
"""


def test_kill_9_loses_no_change(tmp_path):
    """Everything that was acknowledged is there, and the file is whole, wherever the kill falls."""
    make_desk(tmp_path)
    for pause_s in (0.0, 0.007, 0.019):
        typist = subprocess.Popen(
            [sys.executable, "-c", TYPIST, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert typist.stdout is not None
        typed = [typist.stdout.readline() for _ in range(5)]
        time.sleep(pause_s)
        os.kill(typist.pid, signal.SIGKILL)
        typed += typist.stdout.readlines()
        typist.stdout.close()
        typist.wait()
        desk = Desk(tmp_path)
        comment = desk.form(desk.items[0]).answer("comment")
        assert int(comment.split()[0]) >= int(typed[-1])
        assert len(comment.split()[1]) == 20000


def test_signing_states_its_meaning_and_locks(tmp_path):
    desk = make_desk(tmp_path)
    item = desk.items[0]
    desk.save_draft(item, miliary_form())
    entry = desk.sign(item, miliary_form())
    assert (entry.action, entry.who, entry.subject, entry.after["label"]) == (SIGN, "A", "A-001/1", "mipc")
    assert "I am reader A" in entry.why
    assert "final" in entry.why
    assert not list((tmp_path / "drafts").iterdir())
    again = Desk(tmp_path)
    assert again.state(item) is State.SIGNED
    assert again.form(item) == miliary_form()
    with pytest.raises(PackError, match="is signed"):
        again.save_draft(item, clear_form())
    with pytest.raises(PackError, match="is signed"):
        again.sign(item, clear_form())


def test_a_passphrase_signs_and_a_wrong_one_is_kept_on_record(tmp_path):
    desk = make_desk(tmp_path, protocol=ReadingProtocol(asks_recist=False, asks_passphrase=True))
    first, second = desk.items
    with pytest.raises(PackError, match="choose the passphrase"):
        desk.sign(first, miliary_form(), passphrase="seven round stones")
    with pytest.raises(PackError, match="at least 8"):
        desk.set_passphrase("stones ")
    chosen = desk.set_passphrase("seven round stones")
    assert "seven" not in (tmp_path / LEDGER_FILE).read_text()
    entry = desk.sign(first, miliary_form(), passphrase="seven round stones")
    assert entry.after["passphrase_entry"] == chosen.number
    again = Desk(tmp_path)
    for wrong in ("", "seven round stone"):
        with pytest.raises(PackError, match="not the passphrase"):
            again.sign(second, miliary_form(), passphrase=wrong)
    assert again.state(second) is State.UNREAD
    with pytest.raises(PackError, match="already"):
        again.set_passphrase("eight flat stones")
    with pytest.raises(PackError, match="not the passphrase"):
        again.amend(first, clear_form(), "slip", passphrase="eight flat stones")
    assert again.sign(second, miliary_form(), passphrase="seven round stones").who == "A"
    actions = [one.action for one in Ledger(tmp_path / LEDGER_FILE).entries()]
    assert actions == ["open pack", PASSPHRASE, SIGN, REFUSED, REFUSED, REFUSED, SIGN]


def test_the_hash_is_that_of_scrypt():
    """RFC 7914, section 12: scrypt("pleaseletmein", "SodiumChloride", 16384, 8, 1), first 64 bytes."""
    published = (
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
    )
    kept = {"salt": b"SodiumChloride".hex(), "hash": published, "n": 16384, "r": 8, "p": 1}
    assert is_passphrase("pleaseletmein", kept)
    assert not is_passphrase("pleaseletmeout", kept)


def test_an_incomplete_read_cannot_be_signed(tmp_path):
    desk = make_desk(tmp_path)
    with pytest.raises(PackError, match="confidence: not answered"):
        desk.sign(desk.items[0], miliary_form().with_answer("confidence", ""))
    assert desk.state(desk.items[0]) is State.UNREAD


def test_an_amendment_is_a_new_version_with_a_reason(tmp_path):
    desk = make_desk(tmp_path)
    item = desk.items[0]
    with pytest.raises(PackError, match="nothing to amend"):
        desk.amend(item, miliary_form(), "slip")
    desk.sign(item, miliary_form())
    with pytest.raises(PackError, match="reason"):
        desk.amend(item, clear_form(), " ")
    with pytest.raises(PackError, match="nothing was changed"):
        desk.amend(item, miliary_form(), "slip")
    entry = desk.amend(item, clear_form(), "wrong case on screen")
    assert entry.action == AMEND
    assert (entry.before["label"], entry.after["label"]) == ("mipc", "not_mipc")
    assert "wrong case on screen" in entry.why
    assert Desk(tmp_path).form(item) == clear_form()


def test_a_follow_up_waits_for_its_baseline(tmp_path):
    desk = make_desk(tmp_path, cases=1, time_points=3)
    assert [desk.state(item) for item in desk.items] == [State.UNREAD, State.WAITING, State.WAITING]
    later = Form(
        is_baseline=False, answers={question.name: "1" for question in FOLLOW_UP} | {"evaluable": "yes"}
    )
    with pytest.raises(PackError, match="after the time point before"):
        desk.sign(desk.items[1], later)
    desk.sign(desk.items[0], miliary_form())
    assert [desk.state(item) for item in desk.items] == [State.SIGNED, State.UNREAD, State.WAITING]
    assert desk.next_open() == desk.items[1]
    assert not desk.form(desk.items[1]).is_baseline


def test_the_second_look_is_a_read_apart(tmp_path):
    desk = make_desk(tmp_path, protocol=ReadingProtocol(asks_recist=False, shows_marks=True))
    item = desk.items[0]
    with pytest.raises(PackError, match="after signing"):
        desk.second_look(item, miliary_form())
    desk.sign(item, clear_form())
    entry = desk.second_look(item, miliary_form())
    assert (entry.action, entry.before["label"], entry.after["label"]) == (SECOND_LOOK, "not_mipc", "mipc")
    assert Desk(tmp_path).form(item) == clear_form()


def test_marks_are_not_shown_unless_the_protocol_says_so(tmp_path):
    desk = make_desk(tmp_path)
    desk.sign(desk.items[0], miliary_form())
    with pytest.raises(PackError, match="no marks"):
        desk.second_look(desk.items[0], clear_form())


def test_a_desk_with_changed_reads_does_not_open(tmp_path):
    desk = make_desk(tmp_path)
    desk.sign(desk.items[0], miliary_form())
    path = tmp_path / LEDGER_FILE
    path.write_bytes(path.read_bytes().replace(b'"label":"mipc"', b'"label":"not_mipc"'))
    with pytest.raises(PackError, match="changed outside"):
        Desk(tmp_path)


def test_the_reads_of_another_pack_are_refused(tmp_path):
    make_desk(tmp_path / "a", reader="A")
    make_desk(tmp_path / "b", reader="B")
    for name in (LEDGER_FILE, LEDGER_FILE + ".seal"):
        (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
    with pytest.raises(PackError, match="does not belong"):
        Desk(tmp_path / "a")


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "damaged"), ("[]", "damaged"), ('{"format": 99}', "format 99"), ('{"format": 1}', "damaged")],
)
def test_a_spoiled_pack_is_one_sentence(tmp_path, text, said):
    (tmp_path / "pack.json").write_text(text)
    with pytest.raises(PackError, match=said):
        Desk(tmp_path)


def test_a_folder_that_is_no_pack_is_said(tmp_path):
    with pytest.raises(PackError, match="no pack"):
        Desk(tmp_path)


def test_a_spoiled_draft_is_said(tmp_path):
    desk = make_desk(tmp_path)
    desk.save_draft(desk.items[0], miliary_form())
    (draft,) = (tmp_path / "drafts").iterdir()
    draft.write_text(json.dumps({"answers": 3}))
    with pytest.raises(PackError, match="draft"):
        desk.form(desk.items[0])


def test_signatures_form_one_chain(tmp_path):
    desk = make_desk(tmp_path, cases=3)
    for item in desk.items:
        desk.sign(item, miliary_form())
    assert [entry.subject for entry in Ledger(tmp_path / LEDGER_FILE).entries()] == [
        "pack-A",
        "A-001/1",
        "A-002/1",
        "A-003/1",
    ]
    assert verify_ledger(tmp_path / LEDGER_FILE).problems == ()
