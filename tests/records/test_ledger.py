import errno
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from records.ledger import Head, Ledger, LedgerError, verify_ledger

DAY = datetime(2024, 3, 4, 12, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for number in range(1, 6):
        ledger.append(
            who="A",
            action="sign",
            subject=f"case {number}",
            after={"label": "mipc", "profusion": [0, 1, 2, 3, 3, 3]},
            why="my own read",
            at=DAY,
        )
    return ledger


def lines(ledger):
    return ledger.path.read_bytes().splitlines(keepends=True)


def seal(ledger):
    return ledger.path.with_name("ledger.jsonl.seal")


def test_an_entry_says_who_when_what_and_why(ledger):
    entry = ledger.append(
        who="B",
        action="amend",
        subject="case 1",
        before={"label": "mipc"},
        after={"label": "not_mipc"},
        why="slip",
    )
    last = ledger.entries()[-1]
    assert last == entry
    assert (last.number, last.who, last.action, last.why) == (6, "B", "amend", "slip")
    assert (last.before, last.after) == ({"label": "mipc"}, {"label": "not_mipc"})
    assert datetime.fromisoformat(last.at).tzinfo == UTC


def test_the_chain_can_be_recomputed_without_this_program(ledger):
    """Each hash is `sha256sum` of the line's JSON without its hash, keys sorted, no spaces."""
    previous = "0" * 64
    for line in lines(ledger):
        values = json.loads(line)
        shown = values.pop("hash")
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        found = subprocess.run(["sha256sum"], input=text.encode(), capture_output=True, check=True).stdout
        assert found.split()[0].decode() == shown
        assert values["previous"] == previous
        previous = shown


def test_an_untouched_ledger_verifies(ledger):
    check = verify_ledger(ledger.path)
    assert (len(check.entries), check.problems, check.notes) == (5, (), ())


def _edit(kept):
    kept[2] = kept[2].replace(b'"mipc"', b'"not_mipc"')


def _edit_and_rehash(kept):
    """Do what somebody does who knows how the hash is made, but not what follows."""
    import hashlib

    values = json.loads(kept[2])
    values["after"]["label"] = "not_mipc"
    del values["hash"]
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    values["hash"] = hashlib.sha256(text.encode()).hexdigest()
    kept[2] = json.dumps(values, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _swap(kept):
    kept[1], kept[3] = kept[3], kept[1]


def _remove(kept):
    del kept[1]


def _remove_the_first(kept):
    del kept[0]


def _cut_the_end(kept):
    del kept[-2:]


def _empty(kept):
    kept.clear()


def _repeat(kept):
    kept.insert(2, kept[1])


def _respace(kept):
    kept[0] = kept[0].replace(b'":', b'": ')


def _not_a_number(kept):
    kept[0] = kept[0].replace(b'"before":null', b'"before":NaN')


def _nest(kept):
    kept[0] = b"[" * 100_000 + b"\n"


def _second_key(kept):
    kept[0] = kept[0].replace(b'"who":"A"', b'"who":"B","who":"A"')


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        pytest.param(_edit, "line 3: the entry was changed", id="edited"),
        pytest.param(_edit_and_rehash, "line 4: expected entry 4 of this chain", id="edited-and-rehashed"),
        pytest.param(_swap, "line 2: expected entry 2", id="reordered"),
        pytest.param(_remove, "line 2: expected entry 2", id="one-removed"),
        pytest.param(_remove_the_first, "line 1: expected entry 1", id="first-removed"),
        pytest.param(_cut_the_end, "the end was cut off", id="truncated"),
        pytest.param(_empty, "the end was cut off", id="emptied"),
        pytest.param(_repeat, "line 3: expected entry 3", id="repeated"),
        pytest.param(_respace, "line 1: it is no entry", id="same-values-other-text"),
        pytest.param(_second_key, "line 1: it is no entry", id="a-key-twice"),
        pytest.param(_not_a_number, "line 1: it is no entry", id="not-a-number"),
        pytest.param(_nest, "line 1: it is no entry", id="nested-without-end"),
    ],
)
def test_tampering_is_seen_and_located(ledger, tamper, said):
    kept = lines(ledger)
    tamper(kept)
    ledger.path.write_bytes(b"".join(kept))
    (problem,) = verify_ledger(ledger.path).problems
    assert said in problem
    with pytest.raises(LedgerError, match=r"ledger\.jsonl"):
        ledger.append(who="A", action="sign")


def test_a_line_of_another_ledger_is_foreign(ledger, tmp_path):
    other = Ledger(tmp_path / "other" / "ledger.jsonl")
    for number in range(5):
        other.append(who="A", action="sign", subject=f"case {number}", at=DAY)
    kept = lines(ledger)
    kept[3] = lines(other)[3]
    ledger.path.write_bytes(b"".join(kept))
    assert "line 4: expected entry 4 of this chain" in verify_ledger(ledger.path).problems[0]


def test_a_lost_seal_is_a_problem(ledger):
    seal(ledger).unlink()
    assert "seal" in verify_ledger(ledger.path).problems[0]


@pytest.mark.parametrize(
    "text", ['{"count":-1,"hash":"x"}', '{"count":1e999,"hash":"x"}', "[" * 100_000, "5"]
)
def test_a_seal_that_is_none_is_a_problem(ledger, text):
    seal(ledger).write_text(text)
    assert "missing or no seal" in verify_ledger(ledger.path).problems[0]


def test_a_history_cut_with_its_seal_is_seen_by_who_collected_it(ledger):
    head = verify_ledger(ledger.path).head
    kept = lines(ledger)[:3]
    ledger.path.write_bytes(b"".join(kept))
    seal(ledger).write_text(json.dumps({"count": 3, "hash": json.loads(kept[-1])["hash"]}))
    assert verify_ledger(ledger.path).problems == ()  # nothing in the folder tells
    assert (
        "5 entries were collected before, 3 are there"
        in verify_ledger(ledger.path, known=(head,)).problems[0]
    )
    ledger.append(who="A", action="sign", subject="case 4", after={"label": "not_mipc"})
    ledger.append(who="A", action="sign", subject="case 5", after={"label": "not_mipc"})
    assert "history was rewritten" in verify_ledger(ledger.path, known=(head,)).problems[0]


def test_a_grown_ledger_agrees_with_what_was_collected_before(ledger):
    head = verify_ledger(ledger.path).head
    ledger.append(who="A", action="sign")
    assert head.count == 5
    assert verify_ledger(ledger.path, known=(Head(0, ""), head)).problems == ()


def no_room(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half_of_it(file, content, write=os.write):
    return write(file, content[: len(content) // 2])


@pytest.mark.parametrize(
    ("where", "disk"),
    [
        pytest.param("records.ledger.os.write", half_of_it, id="within-the-line"),
        pytest.param("records.ledger.os.fsync", no_room, id="on-the-way-to-the-disk"),
        pytest.param("records.ledger.replace_file", no_room, id="at-the-seal"),
    ],
)
def test_what_a_full_disk_refuses_was_not_written(ledger, monkeypatch, where, disk):
    before = lines(ledger)
    with monkeypatch.context() as patch:
        patch.setattr(where, disk)
        with pytest.raises(OSError, match="No space left"):
            ledger.append(who="A", action="sign", subject="case 6")
    assert lines(ledger) == before
    assert ledger.append(who="A", action="sign", subject="case 6").number == 6
    assert verify_ledger(ledger.path).notes == ()


@pytest.mark.skipif(sys.platform == "win32", reason="no flock there")
def test_a_network_folder_without_locks_is_written_to(ledger, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    assert ledger.append(who="A", action="sign", subject="case 6").number == 6


def test_a_line_cut_off_by_a_power_failure_is_not_tampering(ledger):
    with ledger.path.open("ab") as file:
        file.write(b'{"action":"sign","aft')
    check = verify_ledger(ledger.path)
    assert (len(check.entries), check.problems) == (5, ())
    assert "cut off" in check.notes[0]
    ledger.append(who="A", action="sign", subject="case 6")
    check = verify_ledger(ledger.path)
    assert (len(check.entries), check.problems, check.notes) == (6, (), ())


def test_an_entry_whose_seal_was_not_written_yet_is_kept(ledger):
    old = seal(ledger).read_bytes()
    ledger.append(who="A", action="sign", subject="case 6")
    seal(ledger).write_bytes(old)
    check = verify_ledger(ledger.path)
    assert (len(check.entries), check.problems) == (6, ())
    assert "stopped" in check.notes[0]


WRITER = """
import sys
from pathlib import Path
from records.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
number = 0
while True:
    entry = ledger.append(who="A", action="sign", subject=str(number), after="x" * 2000)
    print(entry.number, flush=True)
"""


def test_kill_9_loses_no_entry_that_was_reported(tmp_path):
    path = tmp_path / "ledger.jsonl"
    for pause_s in (0.0, 0.013, 0.031):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        reported = [writer.stdout.readline() for _ in range(10)]
        time.sleep(pause_s)
        os.kill(writer.pid, signal.SIGKILL)
        reported += writer.stdout.readlines()
        writer.stdout.close()
        writer.wait()
        check = verify_ledger(path)
        assert check.problems == ()
        assert len(check.entries) >= int(reported[-1])


def test_two_writers_take_turns(tmp_path):
    path = tmp_path / "ledger.jsonl"
    count = WRITER.replace("while True", "for number in range(25)")
    writers = [
        subprocess.Popen([sys.executable, "-c", count, str(path)], stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [writer.wait(timeout=300) for writer in writers] == [0, 0]
    check = verify_ledger(path)
    assert (len(check.entries), check.problems) == (50, ())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_can_be_flipped_unseen(ledger, place, bit):
    whole = b"".join(lines(ledger))
    place %= len(whole) - 1  # without the last newline, the last line is one that is being written
    spoiled = bytearray(whole)
    spoiled[place] ^= 1 << bit
    ledger.path.write_bytes(bytes(spoiled))
    check = verify_ledger(ledger.path)
    ledger.path.write_bytes(whole)
    assert check.problems


def test_a_folder_without_a_ledger_has_no_entries(tmp_path):
    check = verify_ledger(tmp_path / "ledger.jsonl")
    assert (check.entries, check.problems, check.notes) == ((), (), ())
