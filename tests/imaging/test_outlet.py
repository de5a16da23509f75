"""A disk that is full, met for real: Linux has one at /dev/full."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from imaging.outlet import writing_to
from mipc import app
from records.errors import StoreError
from tests.shared import SAMPLES

FULL = Path("/dev/full")
needs_a_full_disk = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


@needs_a_full_disk
def test_a_full_disk_is_one_sentence(tmp_path):
    with (
        pytest.raises(StoreError, match=r"nothing more can be written to .*No space left"),
        writing_to(tmp_path),
    ):
        FULL.write_text("a page")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "out").write_text("a file is there already")
    with pytest.raises(StoreError, match="nothing can be written to"), writing_to(tmp_path / "out"):
        pass


def test_what_is_no_fault_of_the_disk_travels(tmp_path):
    with pytest.raises(FileNotFoundError), writing_to(tmp_path):
        (tmp_path / "nowhere").read_text()


@needs_a_full_disk
@pytest.mark.parametrize("command", ["screen", "track"])
def test_a_run_whose_log_finds_no_room_ends_with_a_sentence(tmp_path, command):
    (tmp_path / "log.jsonl").symlink_to(FULL)
    done = CliRunner().invoke(app, [command, str(SAMPLES / "few"), "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "No space left" in done.stderr
    assert "the same command goes on" in done.stderr
