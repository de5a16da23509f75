import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from sqlalchemy import URL, create_engine, make_url, text

from records.errors import Reason, StoreError
from records.store import SCHEMA_VERSION, StoredStudy, open_store
from tests.records import strategies
from tests.records.examples import PROVENANCE, miliary_screening, not_evaluable_screening

ROOT = Path(__file__).resolve().parents[2]


def test_what_was_saved_comes_back(store_url):
    screening = miliary_screening()
    with open_store(store_url) as store:
        store.save(StoredStudy.of(screening, "f", b"pictures"))
    with open_store(store_url) as store:
        assert list(store.screenings([screening.study.uid])) == [screening]
        assert store.pictures(screening.study.uid) == b"pictures"


def test_any_screening_can_be_kept_in_any_database(store_url):
    with open_store(store_url) as store:

        @settings(max_examples=30, deadline=None)
        @given(strategies.screenings)
        def keep(screening):
            store.save(StoredStudy.of(screening, "f"))
            assert list(store.screenings([screening.study.uid])) == [screening]

        keep()


@pytest.mark.parametrize("uid", ["1.2\0.3", "x" * 10_000, "\udc80", "'; DROP TABLE mipc_studies; --"])
def test_a_hostile_study_uid_is_only_a_key(store_url, uid):
    with open_store(store_url) as store:
        store.save(StoredStudy.of(miliary_screening("1.2.3"), "f"))
        store.save(StoredStudy.of(miliary_screening(uid), "f"))
        assert [found.study.uid for found in store.screenings([uid, "1.2.3"])] == [uid, "1.2.3"]


def test_the_same_study_twice_is_one_row_the_last(store_url):
    with open_store(store_url) as store:
        store.save(StoredStudy.of(miliary_screening("1.2.3"), "f", b"pictures"))
        store.save(StoredStudy.of(not_evaluable_screening("1.2.3"), "f"))
        assert list(store.screenings(["1.2.3"])) == [not_evaluable_screening("1.2.3")]
        assert store.pictures("1.2.3") is None


def test_screenings_come_in_the_order_asked_for_and_unknown_ones_are_left_out(store_url):
    uids = [f"1.2.{number}" for number in range(250)]
    with open_store(store_url) as store:
        for uid in uids[::7]:
            store.save(StoredStudy.of(not_evaluable_screening(uid), "f"))
        found = [screening.study.uid for screening in store.screenings(uids[::-1])]
    assert found == uids[::7][::-1]


@pytest.mark.parametrize(
    ("changes", "is_finished"),
    [
        pytest.param({}, True, id="same-pipeline-and-protocol"),
        pytest.param({"program_version": "0.2.0"}, False, id="another-program"),
        pytest.param({"model_version": "b"}, False, id="another-model"),
        pytest.param({"protocol_sha256": "cd" * 32}, False, id="other-thresholds"),
        pytest.param({"protocol_name": "renamed"}, True, id="same-thresholds-under-another-name"),
    ],
)
def test_a_result_counts_for_the_pipeline_that_made_it(store_url, changes, is_finished):
    with open_store(store_url) as store:
        store.save(StoredStudy.of(miliary_screening("1.2.3"), "f"))
        found = store.finished(["1.2.3"], dataclasses.replace(PROVENANCE, **changes))
        assert found == ({"1.2.3": "f"} if is_finished else {})


def test_what_is_finished_is_told_with_the_images_it_was_judged_by(store_url):
    uids = [f"1.2.{number}" for number in range(1200)]  # more than one question holds
    with open_store(store_url) as store:
        for uid in uids[::100]:
            store.save(StoredStudy.of(not_evaluable_screening(uid), f"images of {uid}"))
        assert store.finished(uids, PROVENANCE) == {uid: f"images of {uid}" for uid in uids[::100]}


@pytest.mark.parametrize(
    ("reason", "is_finished"),
    [
        (Reason.TOO_THICK, True),
        (Reason.UNREADABLE_PIXELS, True),
        (Reason.CRASHED, False),
        (Reason.TIMED_OUT, False),
        (Reason.OUT_OF_MEMORY, False),
    ],
)
def test_a_study_that_was_never_judged_gets_another_try(store_url, reason, is_finished):
    with open_store(store_url) as store:
        store.save(StoredStudy.of(not_evaluable_screening("1.2.3", reason), "f"))
        assert ("1.2.3" in store.finished(["1.2.3"], PROVENANCE)) is is_finished


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        pytest.param(SCHEMA_VERSION + 1, "a newer mipc .schema 2, this one reads schema 1", id="newer"),
        pytest.param(SCHEMA_VERSION - 1, "an older mipc .schema 0, this one reads schema 1", id="older"),
        pytest.param(None, "another mipc .schema None", id="none"),
    ],
)
def test_a_store_of_another_schema_is_refused_and_left_as_it_was(store_url, schema, said):
    with open_store(store_url) as store:
        store.save(StoredStudy.of(miliary_screening("1.2.3"), "f"))
    change = f"UPDATE mipc_schema SET version = {schema}" if schema is not None else "DELETE FROM mipc_schema"
    speak(store_url, change)
    for _ in range(2):
        with pytest.raises(StoreError, match=f"{said}.*use that version, or another --store"):
            open_store(store_url)
    speak(store_url, "DELETE FROM mipc_schema", f"INSERT INTO mipc_schema VALUES ({SCHEMA_VERSION})")
    with open_store(store_url) as store:
        assert list(store.screenings(["1.2.3"])) == [miliary_screening("1.2.3")]


def speak(store_url, *statements):
    """Change a database behind the program's back."""
    url = make_url(store_url) if "://" in store_url else URL.create("sqlite", database=store_url)
    engine = create_engine(
        url.set(drivername={"postgresql": "postgresql+psycopg"}.get(url.drivername, "sqlite"))
    )
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def test_a_result_of_another_record_layout_says_what_to_do(tmp_path):
    path = tmp_path / "mipc.db"
    kept = StoredStudy.of(miliary_screening("1.2.3"), "f")
    with open_store(path) as store:
        store.save(dataclasses.replace(kept, result=zlib.compress(b'{"study": {}}')))
        with pytest.raises(StoreError, match="--no-resume"):
            list(store.screenings(["1.2.3"]))


@pytest.mark.parametrize(
    "damage",
    [
        "result = substr(result, 1, 50)",
        "result = x'00'",
        "verdict = 'perhaps'",
        "reason = 'none that we know'",
    ],
)
def test_a_damaged_result_says_what_to_do(tmp_path, damage):
    path = tmp_path / "mipc.db"
    with open_store(path) as store:
        store.save(StoredStudy.of(miliary_screening("1.2.3"), "f"))
    speak(str(path), f"UPDATE mipc_studies SET {damage}")
    with (
        open_store(path) as store,
        pytest.raises(StoreError, match=r"study 1\.2\.3: .*damaged: screen it again"),
    ):
        list(store.screenings(["1.2.3"]))


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("mysql://host/x", "not mysql://"),
        ("postgresql://u:secret@127.0.0.1:1/x", r"\*\*\*@127.0.0.1:1/x cannot be used: .*refused"),
        ("postgresql://u@host:not_a_port/x", "cannot be read"),
    ],
)
def test_a_store_out_of_reach_is_one_sentence_without_the_password(where, sentence):
    if where.startswith("postgresql"):
        pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match=sentence) as caught:
        open_store(where)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to have a header " * 4)
    with pytest.raises(StoreError, match="not a database"):
        open_store(path)


WRITER = textwrap.dedent("""
    import sys
    from records.store import StoredStudy, open_store
    from tests.records.examples import miliary_screening, not_evaluable_screening

    where, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open_store(where) as store:
        for number in range(count):
            store.save(StoredStudy.of(not_evaluable_screening(f"1.{name}.{number}"), "f"))
            store.save(StoredStudy.of(miliary_screening("1.2.3"), name, b"p" * 100_000))
            print(number, flush=True)
""")


def start_writer(where, name, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, where, name, str(count)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_that_write_at_once_lose_nothing(store_url):
    """Three processes make the same new store and write, each its own studies and all the same one."""
    names, count = ["1", "2", "3"], 8
    writers = [start_writer(store_url, name, count) for name in names]
    for writer in writers:
        writer.communicate(timeout=300)
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    with open_store(store_url) as store:
        own = [f"1.{name}.{number}" for name in names for number in range(count)]
        assert [found.study.uid for found in store.screenings(own)] == own
        assert list(store.screenings(["1.2.3"])) == [miliary_screening("1.2.3")]


OPENER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from records.store import open_store

    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    for number in range(rounds):
        print(number, flush=True)
        sys.stdin.readline()
        open_store(folder / f"{number}.db").close()
""")


def test_processes_that_make_the_same_new_store_wait_for_each_other(tmp_path):
    rounds = 30
    command = [sys.executable, "-c", OPENER, str(tmp_path), str(rounds)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    openers = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for _ in range(rounds):
        for opener in openers:
            opener.stdout.readline()
        for opener in openers:  # all of them stand before the same file that is not there yet
            if opener.poll() is None:
                opener.stdin.write("\n")
                opener.stdin.flush()
    for opener in openers:
        opener.communicate(timeout=300)
    assert [opener.returncode for opener in openers] == [0, 0, 0, 0]


@pytest.mark.parametrize("pause_seconds", [0.0, 0.013, 0.031])
def test_a_killed_writer_loses_nothing_it_had_finished(store_url, pause_seconds):
    writer = start_writer(store_url, "1", 10_000)
    for _ in range(5):
        finished = int(writer.stdout.readline())
    time.sleep(pause_seconds)
    os.kill(writer.pid, signal.SIGKILL)
    rest, _ = writer.communicate(timeout=300)
    finished = int(rest.split()[-1]) if rest.split() else finished
    with open_store(store_url) as store:
        own = [f"1.1.{number}" for number in range(finished + 1)]
        assert [found.study.uid for found in store.screenings(own)] == own
        assert store.pictures("1.2.3") == b"p" * 100_000
        store.save(StoredStudy.of(miliary_screening("1.2.3"), "f", b"after"))
        assert store.pictures("1.2.3") == b"after"
