import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from imaging.batch import fingerprint, screen_studies, unfinished
from imaging.dicom import find_studies
from imaging.dicom.write import write_series
from imaging.patience import EngineError
from imaging.pool import run_tasks
from imaging.worker import warm_up
from records.errors import Reason, StoreError
from records.model import VerdictLabel
from records.store import open_store
from tests.imaging import toy_screen, toys
from tests.imaging.dicom.making import edit, setting
from tests.imaging.test_pictures import chest
from tests.records.examples import PROVENANCE
from tests.waiting import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).resolve().parents[2]
MIXED = ("miliary", "thick", "raise broken", "miliary", "kill", "thick", "hang", "hold 4096", "miliary")


@pytest.fixture(scope="module", autouse=True)
def warm_server():
    """Let the server that workers are forked from import the toys once."""
    warm_up("tests.imaging.toy_screen")


def events(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def screened(folder):
    """Return which studies were screened, in order, over all runs into a folder."""
    return [event["study_uid"] for event in events(folder) if event["event"] == "study"]


def outputs(folder):
    """Return what a batch leaves, without the seconds it took."""
    tables = [
        [line.split(",") for line in (folder / name).read_text("utf-8").splitlines()]
        for name in ("studies.csv", "nodules.csv")
    ]
    seconds = tables[0][0].index("seconds")
    for row in tables[0]:
        row[seconds] = ""
    return tables, (folder / "report.html").read_text("utf-8")


def test_each_study_that_goes_wrong_costs_only_itself_and_is_the_same_for_any_workers(tmp_path):
    """Results are those of the studies, whatever ran beside them and in whatever order."""
    studies = toy_screen.studies(*MIXED)
    stock = toy_screen.run_batch(tmp_path / "two", studies, workers=2)
    assert stock.labels == {VerdictLabel.MIPC: 3, VerdictLabel.NOT_EVALUABLE: 6}
    reasons = {reason: count for (_, reason), count in stock.reasons.items()}
    assert reasons == {
        Reason.TOO_THICK: 2,
        Reason.CRASHED: 2,
        Reason.TIMED_OUT: 1,
        Reason.OUT_OF_MEMORY: 1,
    }
    toy_screen.run_batch(tmp_path / "one", studies, workers=1)
    toy_screen.run_batch(tmp_path / "four", studies[::-1], workers=4)
    assert outputs(tmp_path / "one") == outputs(tmp_path / "two")
    rows = [[sorted(table) for table in outputs(tmp_path / name)[0]] for name in ("two", "four")]
    assert rows[0] == rows[1]
    assert outputs(tmp_path / "two")[1] == outputs(tmp_path / "four")[1]


def test_the_same_command_again_does_nothing_twice_and_writes_the_same(tmp_path):
    studies = toy_screen.studies(*["miliary", "thick"] * 4)
    toy_screen.run_batch(tmp_path / "out", studies)
    first = outputs(tmp_path / "out")
    for name in ("studies.csv", "nodules.csv", "report.html"):
        (tmp_path / "out" / name).unlink()
    toy_screen.run_batch(tmp_path / "out", studies, workers=1)
    assert outputs(tmp_path / "out") == first
    assert len(screened(tmp_path / "out")) == 8


def test_a_study_that_crashed_gets_another_try_and_the_others_do_not(tmp_path):
    studies = toy_screen.studies("miliary", "exit", "thick")
    toy_screen.run_batch(tmp_path, studies)
    toy_screen.run_batch(tmp_path, studies)
    assert sorted(screened(tmp_path)) == ["1.2.0", "1.2.1", "1.2.1", "1.2.2"]


@pytest.mark.parametrize(
    ("changes", "resumes"),
    [
        pytest.param({}, False, id="no-resume"),
        pytest.param({"program_version": "0.2.0"}, True, id="another-program"),
        pytest.param({"model_version": "2"}, True, id="another-model"),
        pytest.param({"protocol_sha256": "cd" * 32}, True, id="another-protocol"),
    ],
)
def test_no_resume_and_another_pipeline_screen_everything_again(tmp_path, changes, resumes):
    studies = toy_screen.studies("miliary", "thick")
    toy_screen.run_batch(tmp_path, studies)
    toy_screen.run_batch(tmp_path, studies)
    assert len(screened(tmp_path)) == 2
    changed = dataclasses.replace(PROVENANCE, **changes)
    toy_screen.run_batch(tmp_path, studies, provenance=changed, resumes=resumes)
    assert len(screened(tmp_path)) == 4
    with open_store(tmp_path / "mipc.db") as store:
        kept = list(store.all_screenings())
    assert [screening.provenance for screening in kept] == [changed] * 2  # in place of the old, not beside
    toy_screen.run_batch(tmp_path, studies, provenance=changed)
    assert len(screened(tmp_path)) == 4


def test_a_run_without_workers_gives_up_no_study(tmp_path, monkeypatch):
    """Studies that nothing could be started for are left undone, not said to have crashed."""
    (tmp_path / "code").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "code")
    work = toys.dying_work(tmp_path / "code", range(3, 1000))  # the first two workers live: 64 studies each
    studies = toy_screen.studies(*["thick"] * 200)
    with pytest.raises(EngineError, match="the same command goes on from here"):
        toy_screen.run_batch(tmp_path / "out", studies, screen=work)
    assert len(screened(tmp_path / "out")) == 128
    assert events(tmp_path / "out")[-1]["event"] == "stopped"
    with open_store(tmp_path / "out" / "mipc.db") as store:
        assert {kept.verdict.reason for kept in store.all_screenings()} == {Reason.TOO_THICK}
    stock = toy_screen.run_batch(tmp_path / "out", studies)
    assert stock.labels == {VerdictLabel.NOT_EVALUABLE: 200}
    assert [reason for _, reason in stock.reasons] == [Reason.TOO_THICK]
    done = screened(tmp_path / "out")
    assert len(done) == len(set(done)) == 200


def test_results_are_in_the_store_before_they_are_told(tmp_path):
    studies = toy_screen.studies(*["miliary"] * 5)
    with open_store(tmp_path / "mipc.db") as store:
        engine = partial(run_tasks, workers=2)
        for outcome in screen_studies(toy_screen.screen, studies, store, PROVENANCE, engine):
            assert outcome.study not in unfinished(studies, store, PROVENANCE)


def test_the_log_has_the_traceback_and_not_the_patient(tmp_path):
    toy_screen.run_batch(tmp_path, toy_screen.studies("raise cannot read /in/DOE_JANE/P-0.dcm"))
    text = (tmp_path / "log.jsonl").read_text()
    [event] = [event for event in events(tmp_path) if event["event"] == "study"]
    assert "ValueError: cannot read /in/[patient]_[patient]/[patient].dcm" in event["details"]
    assert "Traceback" in event["details"]
    assert not any(word in text.lower() for word in ("doe", "jane", "p-0"))


def test_files_that_cannot_be_opened_are_another_thing_than_files_that_are_damaged(tmp_path):
    """A folder that is not there tonight is no finding: the study gets another try."""
    volume, _ = chest([], shape=(6, 16, 16))
    [study] = toy_screen.studies("unreadable")
    files = write_series(volume, tmp_path / "in", study=study.study, series_number=1, description="thin")
    studies = find_studies([tmp_path / "in"]).studies
    files[2].rename(tmp_path / "elsewhere")
    stock = toy_screen.run_batch(tmp_path / "out", studies)
    assert list(stock.reasons) == [(VerdictLabel.NOT_EVALUABLE, Reason.CRASHED)]
    assert "cannot be opened where it was to be screened (No such file" in stock.first[0].verdict.sentence
    (tmp_path / "elsewhere").rename(files[2])
    for _ in range(2):
        stock = toy_screen.run_batch(tmp_path / "out", studies)
        assert list(stock.reasons) == [(VerdictLabel.NOT_EVALUABLE, Reason.UNREADABLE_PIXELS)]
    assert len(screened(tmp_path / "out")) == 2


def test_a_worker_of_another_pipeline_ends_the_run(tmp_path):
    studies = toy_screen.studies("miliary")
    engine = partial(run_tasks, workers=1)
    other = dataclasses.replace(PROVENANCE, model_version="of last year")
    with (
        open_store(tmp_path / "mipc.db") as store,
        pytest.raises(StoreError, match=r"model of last year, and this is .*install the same everywhere"),
    ):
        list(screen_studies(partial(toy_screen.screen, provenance=other), studies, store, PROVENANCE, engine))


PROGRAM = textwrap.dedent("""
    import sys
    from pathlib import Path
    from imaging.worker import warm_up
    warm_up("tests.imaging.toy_screen")
    from tests.imaging import toy_screen, toys

    folder, first, store, *descriptions = sys.argv[1:]
    studies = toy_screen.studies(*descriptions)[int(first):]
    toy_screen.run_batch(Path(folder), studies, store=store, limits=toy_screen.PATIENT)
    print("ended", flush=True)
""")


def start_batch(folder, descriptions, *, first=0, store="", **redirected):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(first), store, *descriptions],
        cwd=ROOT,
        # Undo what a shell does to a program it starts in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | redirected,
    )


def wait_for_studies(folder, count):
    log = folder / "log.jsonl"
    wait_until(lambda: log.exists() and log.read_text().count('"study_uid"') >= count)


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT], ids=["kill-9", "Ctrl-C"])
def test_a_run_that_is_stopped_goes_on_where_it_stopped(tmp_path, stop):
    """Every study is there in the end, and each was screened once but for those in hand."""
    count = 200
    descriptions = ["miliary"] * 190 + [f"await {tmp_path / 'go'}"] * 10  # so that it can't be done before
    batch = start_batch(tmp_path, descriptions)
    wait_for_studies(tmp_path, 5)
    batch.send_signal(stop)
    batch.communicate(timeout=PATIENCE_SECONDS)
    assert batch.returncode != 0
    assert 5 <= len(screened(tmp_path)) < count
    (tmp_path / "go").touch()
    batch = start_batch(tmp_path, descriptions)
    output, errors = batch.communicate(timeout=PATIENCE_SECONDS)
    assert output == "ended\n", errors
    rows = (tmp_path / "studies.csv").read_text().splitlines()[1:]
    assert sorted(row.split(",")[0] for row in rows) == sorted(f"1.2.{number}" for number in range(count))
    done = screened(tmp_path)
    assert len(set(done)) == len(done)
    # A study may be stored, and the program stopped before it wrote so into the log.
    assert count - 1 <= len(done) <= count


def test_progress_is_redrawn_on_a_terminal_without_a_name(tmp_path):
    """Studies done, flagged, not evaluable, the rate and the time left, while it runs."""
    ours, theirs = os.openpty()
    waits = [[f"await {tmp_path / name}"] * 2 for name in ("first", "second")]  # both workers
    descriptions = ["miliary"] * 20 + waits[0] + ["miliary"] * 20 + waits[1] + ["miliary"] * 16
    batch = start_batch(
        tmp_path, descriptions, stdout=subprocess.DEVNULL, stderr=theirs, text=False,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "140"},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    with suppress(OSError):  # the end of a terminal
        while piece := os.read(ours, 65536):
            said += piece
            for done, name in ((b"20/60 ", "first"), (b"42/60 ", "second")):
                if done in said:
                    (tmp_path / name).touch()
    os.close(ours)
    assert batch.wait(timeout=PATIENCE_SECONDS) == 0
    line = r"(\d+)/60 studies · (\d+) flagged · 0 not evaluable · \d+ an hour · \d+:\d\d left"
    lines = re.findall(line, said.decode())
    seen = {int(done) for done, _ in lines}
    assert {20, 42, 60} <= seen
    assert max(seen) == 60
    assert all(done == flagged for done, flagged in lines)
    assert b"doe" not in said.lower()


def test_two_runs_at_once_share_a_store(tmp_path, store_url):
    """A team screens two exports that overlap: each table is whole, and a study is one row of the store."""
    runs = [
        start_batch(tmp_path / name, ["miliary"] * last, first=first, store=store_url)
        for name, first, last in (("a", 0, 40), ("b", 20, 60))
    ]
    said = [run.communicate(timeout=PATIENCE_SECONDS) for run in runs]
    assert [output for output, _ in said] == ["ended\n"] * 2, said
    for name, numbers in (("a", range(40)), ("b", range(20, 60))):
        rows = (tmp_path / name / "studies.csv").read_text().splitlines()[1:]
        assert [row.split(",")[0] for row in rows] == [f"1.2.{number}" for number in numbers]
    with open_store(store_url) as store:
        kept = sorted(screening.study.uid for screening in store.all_screenings())
    assert kept == sorted(f"1.2.{number}" for number in range(60))


def test_a_fingerprint_is_the_images_and_not_where_they_lie(tmp_path):
    volume, _ = chest([], shape=(6, 16, 16))
    [study] = toy_screen.studies("miliary")
    files = write_series(volume, tmp_path / "a", study=study.study, series_number=1, description="thin")
    [found] = find_studies([tmp_path / "a"]).studies
    shutil.copytree(tmp_path / "a", tmp_path / "b" / "deeper")
    [moved] = find_studies([tmp_path / "b"]).studies
    files[2].unlink()
    [shrunk] = find_studies([tmp_path / "a"]).studies
    assert fingerprint(moved) == fingerprint(found)
    assert fingerprint(shrunk) != fingerprint(found)


def test_results_that_come_back_with_a_study_leave_it_finished(tmp_path):
    """Results in the folder that is read made each run screen every study again, and write others."""
    volume, _ = chest([], shape=(6, 16, 16))
    [study] = toy_screen.studies("miliary")
    write_series(volume, tmp_path / "ct", study=study.study, series_number=1, description="thin")
    [found] = find_studies([tmp_path]).studies
    pictures = write_series(
        volume, tmp_path / "out", study=study.study, series_number=2, description="marked"
    )
    edit(pictures, setting(SOPClassUID=SecondaryCaptureImageStorage, Modality="OT"))
    [again] = find_studies([tmp_path]).studies
    assert len(again.series) == 2
    assert fingerprint(again) == fingerprint(found)


@pytest.mark.parametrize(
    "mended",
    [
        {"RescaleIntercept": -1024},
        {"ImagePositionPatient": [0, 0, 0.5]},
        {"PixelSpacing": [0.7, 0.7]},
        {"SeriesDescription": "lung"},
        {"ImageType": ["ORIGINAL", "PRIMARY"]},
        {"PatientID": "P2"},
        {"PatientName": "Roe^Richard"},
        {"StudyDate": "20200203"},
        {"StudyDescription": "CT thorax"},
    ],
    ids=lambda mended: next(iter(mended)),
)
def test_a_study_whose_headers_were_mended_is_screened_again(tmp_path, mended):
    """What could not be judged for a header, or was another patient's, is sent again with the same pixels."""
    volume, _ = chest([], shape=(6, 16, 16))
    [study] = toy_screen.studies("miliary")
    files = write_series(volume, tmp_path, study=study.study, series_number=1, description="MIP")
    edit(files, setting(RescaleIntercept=0))
    [found] = find_studies([tmp_path]).studies
    edit(files, setting(**mended))
    [again] = find_studies([tmp_path]).studies
    assert fingerprint(again) != fingerprint(found)
