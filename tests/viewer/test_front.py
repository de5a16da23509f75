"""The commands of `mipc review` where something is wrong: one sentence, and the exit status."""

import shutil
import sys

import pytest
from typer.testing import CliRunner

from mipc import app
from records.ledger import Ledger
from tests.viewer.packs_by_hand import make_desk, miliary_form
from viewer.desk import LEDGER_FILE
from viewer.signing import OPEN
from viewer.studykey import PackKey, StudyKey, save_key


def run(*arguments: object):
    return CliRunner().invoke(app, ["review", *(str(one) for one in arguments)])


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param(("verify",), "no pack", id="verify-something-else"),
        pytest.param(("agreement",), "no coordinator's key", id="agreement-without-a-key"),
        pytest.param(("adjudicate", "--reader", "C"), "no coordinator's key", id="adjudicate-without-a-key"),
        pytest.param(("collect", "--out", "out"), "no coordinator's key", id="collect-without-a-key"),
    ],
)
def test_a_folder_that_is_none_is_one_sentence(tmp_path, monkeypatch, command, said):
    monkeypatch.chdir(tmp_path)
    result = run(command[0], tmp_path, *command[1:])
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")
def test_without_a_screen_the_room_says_so(tmp_path, monkeypatch):
    make_desk(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    pytest.importorskip("napari")
    result = run("open", tmp_path)
    assert (result.exit_code, "needs a screen" in result.stderr) == (1, True)


def test_a_changed_read_is_found_offline(tmp_path):
    desk = make_desk(tmp_path)
    desk.sign(desk.items[0], miliary_form())
    path = tmp_path / LEDGER_FILE
    path.write_bytes(path.read_bytes().replace(b'"label":"mipc"', b'"label":"not_mipc"'))
    result = run("verify", tmp_path)
    assert result.exit_code == 1
    assert "line 2: the entry was changed" in result.stdout


def test_what_the_disk_refuses_is_one_sentence(tmp_path):
    make_desk(tmp_path / "A")
    (tmp_path / "file").write_text("")
    save_key(StudyKey(0, "", (PackKey("pack-A", "A", opening_hash(tmp_path / "A"), ()),)), tmp_path)
    result = run("collect", tmp_path, "--out", tmp_path / "out", "--pack", tmp_path / "file")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "file is no pack" in result.stderr
    result = run(
        "prepare",
        tmp_path,
        "--store",
        tmp_path / "no.db",
        "--readers",
        "A,B",
        "--out",
        tmp_path / "file" / "packs",
    )
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "a file stands where a folder has to be" in result.stderr


def opening_hash(folder) -> str:
    return Ledger(folder / LEDGER_FILE).entries()[0].hash


def test_every_pack_of_a_study_has_to_be_there_under_any_name(tmp_path):
    """The coordinator knows each pack by its number: a renamed one, a copy and one that is gone are told."""
    for reader in ("A", "B"):
        make_desk(tmp_path / reader, cases=0, reader=reader)
    packs = tuple(
        PackKey(f"pack-{reader}", reader, opening_hash(tmp_path / reader), ()) for reader in ("A", "B")
    )
    save_key(StudyKey(0, "", packs), tmp_path)
    assert run("verify", tmp_path).exit_code == 0
    (tmp_path / "A").rename(tmp_path / "A returned")
    assert run("verify", tmp_path).exit_code == 0
    (tmp_path / "B").rename(tmp_path / "A")
    assert "A: it is the pack of reader B" in run("verify", tmp_path).stdout
    (tmp_path / "A").rename(tmp_path / "B")
    make_desk(tmp_path / "other", cases=0, reader="X")
    assert "other: it is not a pack of this study" in run("verify", tmp_path).stdout
    shutil.rmtree(tmp_path / "other")
    shutil.copytree(tmp_path / "A returned", tmp_path / "A")
    assert "the pack of reader A is here twice" in run("verify", tmp_path).stdout
    shutil.rmtree(tmp_path / "A")
    for name in ("reads.jsonl", "reads.jsonl.seal"):  # history made anew, seal and all, under another name
        (tmp_path / "A returned" / name).unlink()
    Ledger(tmp_path / "A returned" / LEDGER_FILE).append(who="A", action=OPEN, subject="pack-A")
    assert "history was rewritten" in run("verify", tmp_path).stdout
    (tmp_path / "A returned" / "pack.json").write_text("{")
    shutil.rmtree(tmp_path / "B")
    result = run("verify", tmp_path)
    assert result.exit_code == 1
    assert "damaged" in result.stdout
    assert "the pack of reader B is not here" in result.stdout


@pytest.mark.parametrize("text", ["null", "[]", "5", "{}", "{"])
def test_a_damaged_key_is_one_sentence(tmp_path, text):
    make_desk(tmp_path / "A")
    (tmp_path / "coordinator").mkdir()
    (tmp_path / "coordinator" / "key.json").write_text(text)
    result = run("agreement", tmp_path)
    assert (result.exit_code, "key.json is damaged" in result.stderr) == (1, True)


def test_commands_of_the_room_do_not_load_napari():
    import subprocess

    code = "import sys, mipc, viewer.front, viewer.packs, viewer.collecting; print('napari' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
