"""A reader's desk: order of time points, drafts that survive kill -9, signatures that hold."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from records.ledger import Entry, Ledger, verify_ledger
from records.reads import LesionKind, LesionRole, Measurement, Seen
from tests.viewer.packs_by_hand import clear_form, make_desk, miliary_form
from viewer.collecting import verify_pack
from viewer.desk import LEDGER_FILE, Desk, State
from viewer.lesions import add_lesion, remove_lesion, with_measurement
from viewer.occupancy import Occupancy
from viewer.pack import PackError, ReadingProtocol
from viewer.passphrase import _scrypt, new_key, secret_of
from viewer.questions import FOLLOW_UP
from viewer.reading import Form, Mark, form_to_json
from viewer.signature import public_key_of, sign
from viewer.signing import AMEND, PASSPHRASE, REFUSED, SECOND_LOOK, SHOW_MARKS, SIGN


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


def test_a_read_is_signed_though_its_draft_cannot_be_removed(tmp_path, monkeypatch):
    """A virus scanner holds the draft for a moment."""

    def is_held(path, missing_ok=False):
        raise PermissionError(13, "Permission denied", str(path))

    desk = make_desk(tmp_path)
    item = desk.items[0]
    desk.save_draft(item, clear_form())
    monkeypatch.setattr(Path, "unlink", is_held)
    desk.sign(item, miliary_form())
    again = Desk(tmp_path)
    assert (again.state(item), again.form(item)) == (State.SIGNED, miliary_form())


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


def test_the_secret_is_that_of_scrypt():
    """RFC 7914, section 12: scrypt("pleaseletmein", "SodiumChloride", 16384, 8, 1), first 64 bytes."""
    published = (
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
    )
    assert _scrypt("pleaseletmein", b"SodiumChloride", n=16384, r=8, p=1, length=64).hex() == published
    secret = bytes.fromhex(published)[:32]
    cost = {"n": 16384, "r": 8, "p": 1}
    kept = {"salt": b"SodiumChloride".hex(), "public_key": public_key_of(secret).hex(), **cost}
    assert secret_of("pleaseletmein", kept) == secret
    assert secret_of("pleaseletmeout", kept) is None


def test_two_spellings_of_a_letter_are_one_passphrase():
    kept = new_key("b\u00e4renh\u00f6hle")
    assert secret_of("ba\u0308renho\u0308hle", kept) is not None


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


def test_a_follow_up_that_was_begun_takes_the_lesions_of_its_amended_baseline(tmp_path):
    desk = make_desk(tmp_path, cases=1, time_points=2, protocol=ReadingProtocol(shows_marks=True))
    first, second = desk.items
    names = ("lung", "liver")
    form = clear_form()
    for name in names:
        form = add_lesion(form, LesionRole.TARGET, organ=name, kind=LesionKind.SOFT_TISSUE)
    for number in (1, 2):
        form = with_measurement(form, Measurement(f"T{number}", Seen.MEASURED, Decimal(20 * number)))
    desk.sign(first, form)
    begun = desk.form(second)
    for number in (1, 2):
        begun = with_measurement(begun, Measurement(f"T{number}", Seen.MEASURED, Decimal(11 * number)))
        begun = replace(begun, marks=(*begun.marks, Mark(f"T{number}", ((0.0,) * 3, (11.0, 0.0, 0.0)))))
    desk.save_draft(second, begun)
    desk.amend(first, remove_lesion(form, "T1"), "that was a vessel")
    now = Desk(tmp_path).form(second)
    assert [one.lesion_id for one in now.lesions] == ["T2"]
    assert now.measurements == (Measurement("T2", Seen.MEASURED, Decimal(22)),)
    assert [one.name for one in now.marks] == ["T2"]


def test_the_second_look_is_a_read_apart(tmp_path):
    desk = make_desk(tmp_path, protocol=ReadingProtocol(asks_recist=False, shows_marks=True))
    item = desk.items[0]
    with pytest.raises(PackError, match="after signing"):
        desk.second_look(item, miliary_form())
    desk.sign(item, clear_form())
    with pytest.raises(PackError, match="were not shown"):
        desk.second_look(item, miliary_form())
    desk.show_marks(item)
    entry = desk.second_look(item, miliary_form())
    assert (entry.action, entry.before["label"], entry.after["label"]) == (SECOND_LOOK, "not_mipc", "mipc")
    assert Desk(tmp_path).form(item) == clear_form()


def test_marks_are_not_shown_unless_the_protocol_says_so(tmp_path):
    desk = make_desk(tmp_path)
    desk.sign(desk.items[0], miliary_form())
    with pytest.raises(PackError, match="no marks"):
        desk.second_look(desk.items[0], clear_form())
    with pytest.raises(PackError, match="no marks"):
        desk.show_marks(desk.items[0])


def test_a_read_stands_once_the_marks_were_shown(tmp_path):
    """What was read with the machine's marks in sight never replaces what was read without."""
    desk = make_desk(tmp_path, protocol=ReadingProtocol(asks_recist=False, shows_marks=True))
    first, second = desk.items
    for item in (first, second):
        desk.sign(item, clear_form())
    desk.show_marks(first)
    for one in (desk, Desk(tmp_path)):  # it is in the ledger, before anything is seen
        with pytest.raises(PackError, match="were shown, so its reads stand"):
            one.amend(first, miliary_form(), "saw them after all")
    Desk(tmp_path).amend(second, miliary_form(), "wrong case on screen")
    actions = [entry.action for entry in Ledger(tmp_path / LEDGER_FILE).entries()]
    assert actions == ["open pack", SIGN, SIGN, SHOW_MARKS, AMEND]


def test_marks_wait_for_the_last_scan_of_the_case(tmp_path):
    protocol = ReadingProtocol(asks_recist=False, shows_marks=True)
    desk = make_desk(tmp_path, cases=1, time_points=2, protocol=protocol)
    desk.sign(desk.items[0], clear_form())
    with pytest.raises(PackError, match="every scan of the case is signed; A-001  Follow-up 1 is not"):
        desk.show_marks(desk.items[0])


def test_two_windows_on_one_pack_do_not_sign_twice(tmp_path):
    one, other = make_desk(tmp_path), Desk(tmp_path)
    one.sign(one.items[0], clear_form())
    with pytest.raises(PackError, match="in another window"):
        other.sign(other.items[0], miliary_form())
    assert Desk(tmp_path).form(one.items[0]) == clear_form()


def test_what_is_not_asked_any_more_is_not_signed(tmp_path):
    """Criteria answered before the scan was found not to be evaluable are no findings."""
    desk = make_desk(tmp_path, protocol=ReadingProtocol())
    form = add_lesion(miliary_form(), LesionRole.TARGET, organ="lung", kind=LesionKind.SOFT_TISSUE)
    form = form.with_answer("evaluable", "no").with_answer("why_not_evaluable", "motion")
    desk.sign(desk.items[0], form)
    signed = Desk(tmp_path).form(desk.items[0])
    assert signed.answers == {"evaluable": "no", "why_not_evaluable": "motion"}
    assert signed.lesions == ()


@pytest.fixture
def signed_pack(tmp_path):
    """Sign three reads with a passphrase."""
    desk = make_desk(tmp_path, cases=3, protocol=ReadingProtocol(asks_recist=False, asks_passphrase=True))
    desk.set_passphrase("seven round stones")
    for item in desk.items:
        desk.sign(item, miliary_form(), passphrase="seven round stones")
    return tmp_path


def chain_anew(folder, change) -> None:
    """Do what a forger with this program does: change entries, then make every hash and the seal anew."""
    path = folder / LEDGER_FILE
    old = [Entry(**json.loads(line)) for line in path.read_bytes().splitlines()]
    path.unlink()
    path.with_name(path.name + ".seal").unlink()
    for entry in change(old):
        kept = {name: getattr(entry, name) for name in ("who", "action", "subject", "before", "after", "why")}
        Ledger(path).append(**kept, at=datetime.fromisoformat(entry.at))
    assert verify_ledger(path).problems == ()  # the chain alone cannot tell


def _edit(entries):
    after = {**entries[3].after, "label": "not_mipc"}
    return [*entries[:3], replace(entries[3], after=after), *entries[4:]]


def _reorder(entries):
    return [*entries[:2], entries[3], entries[2], *entries[4:]]


def _remove(entries):
    return [*entries[:2], *entries[3:]]


def _without_signature(entries):
    after = {name: value for name, value in entries[3].after.items() if name != "signature"}
    return [*entries[:3], replace(entries[3], after=after), *entries[4:]]


def _sign_with_another_key(entries):
    forged = sign(b"f" * 32, b"any text").hex()
    return [*entries[:3], replace(entries[3], after={**entries[3].after, "signature": forged}), *entries[4:]]


def _set_another_key(entries):
    """Put another public key first and leave the signatures."""
    after = {"key": {**entries[1].after["key"], "public_key": public_key_of(b"f" * 32).hex()}}
    return [entries[0], replace(entries[1], after=after), *entries[2:]]


def _second_passphrase(entries):
    return [*entries, replace(entries[1], number=9)]


def _without_key(entries):
    return [entries[0], replace(entries[1], after=None), *entries[2:]]


def _key_without_end(entries):
    """Make the next signature take all memory."""
    after = {"key": {**entries[1].after["key"], "n": 2**60}}
    return [entries[0], replace(entries[1], after=after), *entries[2:]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(_without_key, "entry 2 sets no passphrase", id="no-key"),
        pytest.param(_key_without_end, "entry 2 sets no passphrase", id="a-key-that-takes-all-memory"),
        pytest.param(_edit, "entry 4 is not signed", id="edited"),
        pytest.param(_reorder, "entry 3 is not signed", id="reordered"),
        pytest.param(_remove, "entry 3 is not signed", id="removed"),
        pytest.param(_without_signature, "entry 4 is not signed", id="signature-taken-away"),
        pytest.param(_sign_with_another_key, "entry 4 is not signed", id="signed-with-another-key"),
        pytest.param(_set_another_key, "entry 3 is not signed", id="another-key-put-first"),
        pytest.param(_second_passphrase, "entry 6 sets a second passphrase", id="second-passphrase"),
    ],
)
def test_a_chain_made_anew_does_not_verify(signed_pack, change, said):
    """Whoever can write the files can make all hashes; the signatures take the passphrase."""
    assert not [one for one in verify_pack(signed_pack).problems if "sign" in one or "passphrase" in one]
    chain_anew(signed_pack, change)
    problems = [one for one in verify_pack(signed_pack).problems if "sign" in one or "passphrase" in one]
    assert said in problems[0]


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
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ("[" * 100_000, "damaged"),
        ('{"format": 99}', "format 99"),
        ('{"format": 1}', "damaged"),
    ],
)
def test_a_spoiled_pack_is_one_sentence(tmp_path, text, said):
    (tmp_path / "pack.json").write_text(text)
    with pytest.raises(PackError, match=said):
        Desk(tmp_path)


def test_a_folder_that_is_no_pack_is_said(tmp_path):
    with pytest.raises(PackError, match="no pack"):
        Desk(tmp_path)


def test_a_pack_that_cannot_be_written_to_is_said(tmp_path):
    make_desk(tmp_path)
    (tmp_path / ".open").mkdir()  # as a disk that is read-only refuses to make the file
    with pytest.raises(PackError, match="nothing can be saved in the pack"):
        Occupancy(tmp_path)


def test_a_pack_that_asks_something_else_does_not_open(tmp_path):
    """All that is read with it would be refused when it is collected."""
    make_desk(tmp_path, protocol=ReadingProtocol(asks_passphrase=True))
    path = tmp_path / "pack.json"
    path.write_text(path.read_text().replace('"asks_passphrase": true', '"asks_passphrase": false'))
    with pytest.raises(PackError, match="not the one that was handed out; ask for the pack again"):
        Desk(tmp_path)


FORM = {"form": form_to_json(clear_form())}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        pytest.param([(SIGN, "A-009/1", FORM)], "entry 2 is no read of this pack", id="of-another-case"),
        pytest.param([(SIGN, ["A-001/1"], FORM)], "entry 2 is no read of this pack", id="of-no-text"),
        pytest.param([(SHOW_MARKS, "B-001/1", None)], "entry 2 is no read", id="marks-of-another-case"),
        pytest.param([(SIGN, "A-001/1", None)], "entry 2 holds no read", id="nothing"),
        pytest.param([(SIGN, "A-001/1", {"form": []})], "entry 2 holds no read", id="a-list"),
        pytest.param([(SIGN, "A-001/1", {"form": {"label": "mipc"}})], "holds no read", id="unknown-words"),
        pytest.param([(SIGN, "A-001/1", FORM)] * 2, "entry 3 signs A-001/1 a second time", id="twice"),
        pytest.param([(AMEND, "A-001/1", FORM)], "which was not signed", id="amended-unsigned"),
        pytest.param(
            [(SIGN, "A-001/1", FORM), (SHOW_MARKS, "A-001/1", None), (AMEND, "A-001/1", FORM)],
            "entry 4 amends A-001/1 after its marks were shown",
            id="amended-with-the-marks-in-sight",
        ),
    ],
)
def test_entries_that_the_room_does_not_write_are_found(tmp_path, entries, said):
    """Who writes entries by hand can make their hashes and the seal; without a passphrase that is all."""
    make_desk(tmp_path)
    for action, subject, after in entries:
        Ledger(tmp_path / LEDGER_FILE).append(who="A", action=action, subject=subject, after=after)
    assert any(said in problem for problem in verify_pack(tmp_path).problems)
    with pytest.raises(PackError, match=said):
        Desk(tmp_path)


def test_a_read_signed_by_somebody_else_is_found(tmp_path):
    make_desk(tmp_path)
    Ledger(tmp_path / LEDGER_FILE).append(who="B", action=SIGN, subject="A-001/1", after=FORM)
    with pytest.raises(PackError, match="entry 2 is no read of this pack"):
        Desk(tmp_path)


@pytest.mark.parametrize("text", ['{"answers": 3}', "{", "[]", "null", "5", "[" * 100_000])
def test_a_spoiled_draft_is_said(tmp_path, text):
    desk = make_desk(tmp_path)
    desk.save_draft(desk.items[0], miliary_form())
    (draft,) = (tmp_path / "drafts").iterdir()
    draft.write_text(text)
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
