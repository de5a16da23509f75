"""The commands of `mipc review` where something is wrong: one sentence, and the exit status."""

import sys

import pytest
from typer.testing import CliRunner

from mipc import app
from tests.viewer.packs_by_hand import make_desk, miliary_form
from viewer.desk import LEDGER_FILE


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


def test_commands_of_the_room_do_not_load_napari():
    import subprocess

    code = "import sys, mipc, viewer.front, viewer.packs, viewer.collecting; print('napari' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
