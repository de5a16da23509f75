import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydicom import dcmread
from typer.main import get_command
from typer.testing import CliRunner

from imaging.dicom import derive_uid
from imaging.dicom.write import write_series
from mipc import app
from records.model import Study
from tests.imaging.test_pictures import chest
from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[1]
MIPC = [sys.executable, "-m", "mipc"]


def mipc(*arguments):
    """Run the command here and return its exit status, standard output and standard error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.stdout, result.stderr


def mipc_in_a_process(*arguments):
    """Run the command as a user does."""
    command = [*MIPC, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    return done.returncode, done.stdout, done.stderr


def write_short_study(folder, *, patient_id="P-1", name="Doe^Jane", slices=6):
    """Write a CT of a few small slices: a study that is refused before any lung is looked for."""
    volume, _ = chest([], shape=(slices, 16, 16))
    study = Study(derive_uid("test", patient_id), patient_id, name, "2008-03-14", "CHEST")
    return write_series(volume, folder, study=study, series_number=1, description="thin")


@pytest.fixture(scope="module")
def screened(tmp_path_factory):
    """Screen two short studies, a hostile name among them, and files that are none."""
    folder = tmp_path_factory.mktemp("command")
    write_short_study(folder / "in" / "one")
    for path in write_short_study(folder / "in" / "two", patient_id="P-2"):
        dataset = dcmread(path)
        dataset.PatientName = "<script>alert(1)</script>../../x"
        dataset.save_as(path)
    (folder / "in" / "notes.txt").write_text("not an image")
    (folder / "in" / "empty.dcm").touch()
    status, output, errors = mipc_in_a_process("screen", folder / "in", "--out", folder / "out", "--json")
    return folder, status, output, errors


def test_studies_that_cannot_be_judged_are_results_and_not_failures(screened):
    folder, status, _, errors = screened
    assert status == 0, errors
    written = {path.name for path in (folder / "out").iterdir()}
    assert {"studies.csv", "nodules.csv", "report.html", "mipc.db", "studies", "log.jsonl"} <= written
    assert "not_evaluable" in (folder / "out" / "studies.csv").read_text()
    assert len(list((folder / "out" / "studies").iterdir())) == 2


def test_json_is_all_there_is_on_standard_output(screened):
    folder, _, output, _ = screened
    summary = json.loads(output)
    assert summary["studies"] == 2
    assert summary["verdicts"] == {"not_evaluable": 2}
    assert sum(summary["reasons"].values()) == 2
    assert summary["report"] == str(folder / "out" / "report.html")
    assert summary["other_files"] + len(summary["problems"]) == 2
    assert set(summary["protocol"]) == {"name", "sha256"}
    assert summary["program_version"]
    assert summary["model_version"]


def test_no_patient_is_named_in_the_log(screened):
    folder, *_ = screened
    text = (folder / "out" / "log.jsonl").read_text()
    assert "Doe" not in text
    assert "script" not in text
    assert [json.loads(line)["event"] for line in text.splitlines()] == ["start", "study", "study", "end"]


def test_the_same_command_again_screens_nothing_and_says_where_the_report_is(screened):
    folder, *_ = screened
    before = (folder / "out" / "studies.csv").read_bytes()
    status, output, errors = mipc("screen", folder / "in", "--out", folder / "out")
    assert status == 0
    assert "2 of 2 studies are in the store already" in errors
    assert (folder / "out" / "studies.csv").read_bytes() == before
    assert f"Report: {folder / 'out' / 'report.html'}" in output
    assert "not evaluable" in output
    events = [json.loads(line) for line in (folder / "out" / "log.jsonl").read_text().splitlines()]
    assert [event["to_screen"] for event in events if event["event"] == "start"][-1] == 0


def test_a_terminal_that_lacks_a_letter_shows_another(screened):
    """The dots of the last lines ended the run in a traceback, after all was done."""
    folder, *_ = screened
    done = subprocess.run(
        [*MIPC, "screen", str(folder / "in"), "--out", str(folder / "out")],
        cwd=ROOT,
        capture_output=True,
        encoding="ascii",
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert " ? model " in done.stdout


def test_other_thresholds_are_seen_and_kept_with_the_result(screened, tmp_path):
    folder, *_ = screened
    shipped = (ROOT / "imaging" / "protocol.toml").read_text()
    protocol = tmp_path / "strict.toml"
    protocol.write_text(shipped + "\n# ours\n")
    status, output, errors = mipc(
        "screen", folder / "in", "--out", folder / "out", "--protocol", protocol, "--json"
    )
    assert status == 0, errors
    digest = json.loads(output)["protocol"]["sha256"]
    with sqlite3.connect(folder / "out" / "mipc.db") as store:
        kept = store.execute("SELECT DISTINCT protocol_sha256 FROM mipc_studies").fetchall()
    store.close()
    assert kept == [(digest,)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["{in}/no such folder", "--out", "{out}"], "does not exist", id="no-such-input"),
        pytest.param(["{in}"], "--out", id="no-out"),
        pytest.param(["--out", "{out}"], "INPUT", id="no-input"),
        pytest.param(["{in}", "--out", "{out}", "--workers", "-1"], "workers", id="fewer-than-no-workers"),
        pytest.param(["{in}", "--out", "{out}", "--protocol", "{in}/x.toml"], "protocol", id="no-protocol"),
        pytest.param(["{in}", "--out", "{out}", "--store", "mysql://x/y"], "not mysql", id="no-such-store"),
        pytest.param(["{in}", "--out", "{in}/notes.txt"], "cannot be used|written", id="out-is-a-file"),
    ],
)
def test_wrong_usage_is_a_sentence_and_status_2(screened, tmp_path, arguments, sentence):
    folder, *_ = screened
    places = {"{in}": str(folder / "in"), "{out}": str(tmp_path / "out")}
    filled = []
    for argument in arguments:
        for name, place in places.items():
            argument = argument.replace(name, place)
        filled.append(argument)
    status, _, errors = mipc("screen", *filled)
    assert status == 2
    said = " ".join(errors.replace("│", " ").split())  # in a box that breaks long lines
    assert any(part in said for part in sentence.split("|"))
    assert "Traceback" not in errors


# By command, what is to be read: NONE is not there, HERE is a folder, TABLE a file.
READS = {
    "screen": [
        "NONE --out OUT", "HERE --out OUT --protocol NONE", "pacs:NODE --out OUT --nodes NONE",
        "pacs:NODE --out OUT --registry NONE", "HERE --out OUT --push NODE --nodes NONE",
    ],
    "track": ["NONE --out OUT", "HERE --out OUT --protocol NONE"],
    "explain": ["1.2 --store NONE", "1.2 --store sqlite:///NONE", "1.2 --store TABLE"],
    "rejudge": [
        "--store NONE --out OUT", "--store sqlite:///NONE --out OUT", "--store TABLE --out OUT",
        "--store TABLE --protocol NONE --out OUT",
    ],
    "respond": ["NONE --out OUT", "HERE --out OUT --subjects NONE", "HERE --out OUT --protocol NONE"],
    "analyse": [
        "NONE --out OUT", "TABLE --out OUT --labels NONE", "TABLE --out OUT --labels sqlite:///NONE",
        "TABLE --out OUT --mapping NONE", "TABLE --out OUT --plan NONE", "TABLE --out OUT --paper NONE",
        "TABLE --out OUT --responses NONE", "TABLE --out OUT --labels HERE",
    ],
    "audit-tables": ["NONE", "HERE --claims NONE"],
    "deidentify": ["NONE --out OUT --key KEY"],
    "pacs check": ["NODE --nodes NONE"],
    "pacs find": ["NODE --nodes NONE", "NODE --registry NONE"],
    "pacs pull": ["NODE --out OUT --nodes NONE", "NODE --out OUT --registry NONE"],
    "pacs push": ["NODE NONE", "NODE HERE --nodes NONE"],
    "review prepare": [
        "NONE --store TABLE --readers A,B --out OUT", "HERE --store NONE --readers A,B --out OUT",
        "HERE --store TABLE --readers A,B --out OUT",
    ],
    "review open": ["NONE", "HERE --marks NONE"],
    "review collect": ["NONE --out OUT", "HERE --out OUT --pack NONE"],
    "review agreement": ["NONE", "HERE --pack NONE"],
    "review adjudicate": ["NONE", "HERE --pack NONE"],
    "review verify": ["NONE"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "arguments"), [(command, one) for command, lines in READS.items() for one in lines]
)
def test_what_is_to_be_read_and_is_not_there_is_wrong_usage(tmp_path, command, arguments):
    (tmp_path / "here").mkdir()
    (tmp_path / "table.csv").write_text("patient_id,os_months,os_event\na,5,1\n")
    names = {"NONE": "none", "HERE": "here", "TABLE": "table.csv", "OUT": "out", "KEY": "key.json"}
    for name, path in names.items():
        arguments = arguments.replace(name, str(tmp_path / path))
    status, output, errors = mipc(*command.split(), *arguments.split())
    assert (status, output) == (2, ""), errors
    assert errors
    assert not (tmp_path / "none").exists()


def test_every_command_that_reads_is_among_them():
    def names(group, before=""):
        for name, one in group.commands.items():
            yield from names(one, f"{name} ") if hasattr(one, "commands") else [before + name]

    assert set(names(get_command(app))) == {*READS, "demo-cohort"}


# What is written: OUT is a place that cannot be written, WELL one that can.
WRITES = [
    "screen IMAGES --out OUT", "screen IMAGES --out WELL --store OUT", "track IMAGES --out OUT",
    "screen pacs:NODE --nodes NODES --out OUT",
    "rejudge --store STORE --out OUT",
    "respond READS --out OUT",
    "analyse TABLE --out OUT", "audit-tables PRINTED --out OUT", "demo-cohort --out OUT",
    "deidentify IMAGES --out OUT --key WELL", "deidentify IMAGES --out WELL --key OUT",
    "review prepare IMAGES --store STORE --readers A,B --out OUT",
]  # fmt: skip
SDTM = {
    "tu.csv": "USUBJID,VISITNUM,VISIT,TULOC,TUORRES,TULNKID\nP1,1,BASELINE,LIVER,TARGET,T01\n",
    "tr.csv": "USUBJID,VISITNUM,VISIT,TRLNKID,TRTESTCD,TRORRES,TRORRESU,TRDTC\n"
    "P1,1,BASELINE,T01,LDIAM,50,mm,2024-01-01\nP1,2,WEEK 6,T01,LDIAM,30,mm,2024-02-12\n",
}


@pytest.fixture(scope="module")
def inputs(screened, tmp_path_factory):
    """Something for every command to read, all of it well."""
    folder, *_ = screened
    place = tmp_path_factory.mktemp("inputs")
    for name in ("reads", "printed"):
        (place / name).mkdir()
    for name, text in SDTM.items():
        (place / "reads" / name).write_text(text)
    printed = "row,both,neither,total\nmen,5,5,10\nwomen,6,4,10\n"
    (place / "printed" / "table_1.csv").write_text(printed)
    nodes = '[nodes.NODE]\nkind = "dimse"\nae_title = "N"\nhost = "127.0.0.1"\nport = 1\n'
    (place / "nodes.toml").write_text(nodes)
    status, _, errors = mipc("demo-cohort", "--out", place / "table.csv")
    assert status == 0, errors
    return {
        "IMAGES": folder / "in", "STORE": folder / "out" / "mipc.db", "READS": place / "reads",
        "PRINTED": place / "printed", "TABLE": place / "table.csv", "NODES": place / "nodes.toml",
    }  # fmt: skip


@pytest.mark.parametrize("line", WRITES)
def test_what_cannot_be_written_is_one_sentence_and_status_2(inputs, tmp_path, line):
    """A file stands where a folder has to be: that no one may do, root and any system included."""
    (tmp_path / "file").write_text("ours")
    places = {**inputs, "OUT": tmp_path / "file" / "out", "WELL": tmp_path / "well"}
    status, output, errors = mipc(*[places.get(word, word) for word in line.split()])
    assert (status, output) == (2, ""), errors
    *_, said = errors.splitlines()
    assert said.startswith("mipc: ")
    assert str(tmp_path / "file") in said
    assert sum(one.startswith("mipc: ") for one in errors.splitlines()) == 1
    assert (tmp_path / "file").read_text() == "ours"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("line", ["audit-tables PRINTED --out /dev/full", "demo-cohort --out /dev/full"])
def test_a_full_disk_is_one_sentence_and_status_2(inputs, line):
    status, output, errors = mipc(*[inputs.get(word, word) for word in line.split()])
    assert (status, output) == (2, "")
    assert errors == "mipc: nothing more can be written: No space left on device\n"


def test_nothing_usable_is_status_1_and_says_what_was_there(tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "cut.dcm").write_bytes(b"\0" * 128 + b"DICM")
    status, output, errors = mipc("screen", tmp_path, "--out", tmp_path / "out")
    assert status == 1
    assert output == ""
    assert "nothing to screen" in errors
    assert "cut.dcm" in errors
    assert "Traceback" not in errors


def hears_ctrl_c() -> None:
    """Undo what a shell does to a program it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


# In the server that workers are forked from: the first worker does its 64 studies, and the next never starts.
ONE_WORKER = """
import os, sys, time

if any("forkserver" in word for word in sys.orig_argv):
    forks = []
    os.register_at_fork(
        before=lambda: forks.append("one more"),
        after_in_child=lambda: time.sleep(3600) if len(forks) > 1 else None,
    )
"""


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(tmp_path):
    count = 80  # more than can be done before the signal comes
    (tmp_path / "sitecustomize.py").write_text(ONE_WORKER)
    for number in range(count):
        write_short_study(tmp_path / "in" / str(number), patient_id=f"P-{number}")
    command = [*MIPC, "screen", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--workers", "1"]
    log = tmp_path / "out" / "log.jsonl"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=-1, stderr=-1, text=True, preexec_fn=hears_ctrl_c
    ) as process:
        while process.poll() is None and not (log.exists() and '"study"' in log.read_text()):
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert "the same command goes on where this one stopped" in errors
    assert "Traceback" not in errors
    status, output, _ = mipc("screen", tmp_path / "in", "--out", tmp_path / "out", "--json")
    assert status == 0
    assert json.loads(output)["studies"] == count
    assert len({json.loads(line).get("study_uid") for line in log.read_text().splitlines()} - {None}) == count


def test_ctrl_c_is_said_where_nothing_is_kept(monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("analysis.front.run_demo", interrupted)
    done = CliRunner().invoke(app, ["demo-cohort", "--out", str(tmp_path / "demo.csv")])
    assert (done.exit_code, done.stderr) == (130, "mipc: stopped\n")


def test_help_says_all_that_is_written_for_it():
    """Words in square brackets are markup to rich, which prints "Processes ." for them."""
    wide = {"COLUMNS": "200"}
    for command, said in (
        ("screen", "Processes (one a core)."),
        ("audit-tables", "(the claims', or expected_"),
    ):
        assert said in CliRunner().invoke(app, [command, "--help"], env=wide).stdout
    for name, command in get_command(app).commands.items():
        for one in (command, *getattr(command, "commands", {}).values()):
            for parameter in one.params:
                assert "[" not in (getattr(parameter, "help", None) or ""), (name, one.name, parameter.name)


def test_the_version_is_told():
    status, output, _ = mipc_in_a_process("--version")
    assert status == 0
    assert output.startswith("mipc ")


def test_workers_that_cannot_be_started_end_the_run_with_a_sentence(tmp_path):
    """The server that they are forked from dies as it starts. No study is blamed; the next run does them."""
    write_short_study(tmp_path / "in")
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif any('forkserver' in word for word in sys.orig_argv):\n    os._exit(9)\n"
    )
    command = [*MIPC, "screen", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 2
    *_, said = done.stderr.splitlines()
    assert said.startswith("mipc: no process to do the work can be started, in 6 tries. The ")
    assert said.endswith("the same command goes on from here.")
    assert "Traceback" not in done.stderr
    assert "crashed" not in (tmp_path / "out" / "log.jsonl").read_text()
    status, output, _ = mipc("screen", tmp_path / "in", "--out", tmp_path / "out", "--json")
    assert (status, json.loads(output)["reasons"]) == (0, {"too_few_slices": 1})
