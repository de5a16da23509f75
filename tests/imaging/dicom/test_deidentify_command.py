"""`mipc deidentify` as a user types it."""

import errno
import itertools
import json
import os
import stat

from typer.testing import CliRunner

import mipc
from imaging.dicom import find_studies
from tests.imaging.dicom.making import chest, edit, export, setting


def run(*arguments):
    done = CliRunner().invoke(mipc.app, ["deidentify", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def test_images_leave_without_names_and_the_key_stays(tmp_path):
    export(tmp_path / "in", chest(3))
    status, output, _ = run(tmp_path / "in", "--out", tmp_path / "out", "--key", tmp_path / "key.json")
    assert status == 0
    assert output.splitlines()[0] == f"3 images are in {tmp_path / 'out'}, 0 were kept back."
    (study,) = find_studies([tmp_path / "out"]).studies
    assert "Doe" not in study.study.patient_name
    assert stat.S_IMODE((tmp_path / "key.json").stat().st_mode) == 0o600


def test_a_disk_that_fills_leaves_whole_images_and_a_sentence(tmp_path, monkeypatch):
    """The image that found no room was half there, and the sentence was a traceback of the library."""
    export(tmp_path / "in", chest(4))
    real, calls = os.fsync, itertools.count()

    def fills(number):
        if next(calls) == 4:  # the key, three images, and the fourth
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(number)

    monkeypatch.setattr(os, "fsync", fills)
    command = [tmp_path / "in", "--out", tmp_path / "out", "--key", tmp_path / "key.json"]
    status, _, errors = run(*command)
    assert status == 2
    assert "No space left on device. What is finished is kept" in errors
    assert "Traceback" not in errors
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [path.suffix for path in left] == [".dcm"] * 3
    monkeypatch.undo()
    assert run(*command)[0] == 0
    (study,) = find_studies([tmp_path / "out"]).studies
    assert len(study.series[0].frames) == 4


def test_what_is_kept_back_is_said_without_a_name(tmp_path):
    paths = export(tmp_path / "in", chest(4))
    edit(paths[:2], setting(BurnedInAnnotation="YES"))
    command = [tmp_path / "in", "--out", tmp_path / "out", "--key", tmp_path / "key.json"]
    status, output, errors = run(*command)
    assert status == 0
    assert "has text burned into its pixels (and 1 like it)" in errors
    assert "Doe" not in output + errors
    _, output, _ = run(*command, "--json")
    summary = json.loads(output)
    assert (summary["written"], len(summary["refused"])) == (2, 2)


def test_nothing_written_is_status_1(tmp_path):
    edit(export(tmp_path / "in", chest(2)), setting(BurnedInAnnotation="YES"))
    status, *_ = run(tmp_path / "in", "--out", tmp_path / "out", "--key", tmp_path / "key.json")
    assert status == 1


def test_a_key_that_others_can_read_or_that_would_leave_is_refused(tmp_path):
    export(tmp_path / "in", chest(2))
    status, _, errors = run(
        tmp_path / "in", "--out", tmp_path / "out", "--key", tmp_path / "out" / "key.json"
    )
    assert status == 2
    assert errors == "mipc: the key must not lie in the folder that is handed out\n"
    (tmp_path / "key.json").write_text("{}")
    (tmp_path / "key.json").chmod(0o644)
    status, _, errors = run(tmp_path / "in", "--out", tmp_path / "out", "--key", tmp_path / "key.json")
    assert status == 2
    assert "can be read by others" in errors
