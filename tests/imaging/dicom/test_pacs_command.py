"""`mipc pacs` and `mipc screen pacs:NODE` against a real Orthanc, as a user types them."""

import contextlib
import csv
import json
import shutil

import pydicom
import pytest
from typer.testing import CliRunner

import mipc
from imaging import archives
from imaging.dicom import derive_uid
from records.model import Study
from tests.imaging.dicom.making import chest, export
from tests.orthanc import DICOM_PORT, WEB_PORT, needs_orthanc, running_orthanc

pytestmark = needs_orthanc

NODES = f"""
[mipc]
host = "127.0.0.1"

[nodes.hospital]
kind = "dimse"
host = "127.0.0.1"
port = {DICOM_PORT}
ae_title = "ORTHANC"
timeout_seconds = 120

[nodes.gone]
kind = "dicomweb"
url = "http://127.0.0.1:4000"

[nodes.web]
kind = "dicomweb"
url = "http://127.0.0.1:{WEB_PORT}/dicom-web"
user = "reader"
password_file = "password"
timeout_seconds = 120
"""
PATIENTS = ("P-1", "P-2")


def run(folder, *arguments):
    """Run a command in this process, which is in the archive's network."""
    done = CliRunner().invoke(mipc.app, [*map(str, arguments), "--nodes", str(folder / "nodes.toml")])
    return done.exit_code, done.stdout, done.stderr


def test_all_dicom_of_a_folder_is_sent_whatever_it_is_called(tmp_path, monkeypatch, capsys):
    first, second, *_ = export(tmp_path / "in" / "deep", chest(2))
    second.rename(second.with_name("IM000002"))
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    shutil.copy(first, tmp_path / "in" / "DICOMDIR")
    sent = []
    monkeypatch.setattr(archives, "open_archive", lambda nodes, name: contextlib.nullcontext())
    monkeypatch.setattr(archives, "push", lambda archive, paths, progress: sent.extend(paths) or [])
    assert archives.push_command(None, "web", [tmp_path / "in"]) == 0
    assert [path.name for path in sent] == [first.name, "IM000002"]
    assert capsys.readouterr().out == "web has 2 of 2 files.\n"


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Push two studies of 100 images from the command line."""
    folder = tmp_path_factory.mktemp("command")
    (folder / "nodes.toml").write_text(NODES)
    (folder / "password").write_text("secret")
    (folder / "password").chmod(0o600)
    (folder / "patients.csv").write_text("patient_id\nP-1\nP-2\nP-3\n")
    volume = chest(100, size=32, spacing_mm=(2.5, 10.0, 10.0))
    for number in PATIENTS:
        study = Study(derive_uid("command", number), number, "Doe^Jane", "2020-01-02", "CT CHEST")
        export(folder / "in" / number, volume, study=study)
    with running_orthanc(folder / "orthanc") as archive, archive.entered():
        status, output, errors = run(folder, "pacs", "push", "web", folder / "in")
        assert (status, output) == (0, "web has 200 of 200 files.\n"), errors
        yield folder


def test_an_archive_is_checked(filled):
    assert run(filled, "pacs", "check", "hospital")[:2] == (0, "hospital answers.\n")
    status, _, errors = run(filled, "pacs", "check", "clinic")
    assert status == 2
    assert "no node is called 'clinic'; the file has: gone, hospital, web" in errors


def test_studies_are_listed_for_people_and_programs(filled):
    status, output, _ = run(filled, "pacs", "find", "web", "--from", "2020-01-01", "--description", "*chest*")
    assert status == 0
    assert "2 studies" in output
    _, output, _ = run(filled, "pacs", "find", "hospital", "--patient", "P-2", "--json")
    (found,) = json.loads(output)
    assert (found["patient_id"], found["study_date"]) == ("P-2", "2020-01-02")
    assert run(filled, "pacs", "find", "hospital", "--until", "2019-12-31")[0] == 1


def test_a_registry_is_pulled_and_what_is_missing_is_listed(filled, tmp_path):
    command = ["pacs", "pull", "web", "--registry", filled / "patients.csv", "--out", tmp_path]
    status, output, errors = run(filled, *command)
    assert status == 0
    assert output.startswith("200 images of 2 studies")
    assert "not delivered: patient P-3: the archive has no such study" in errors
    with (tmp_path / "not_delivered.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["patient_id"] == "P-3"
    _, output, _ = run(filled, *command, "--json")
    assert json.loads(output)["fetched"] == 0


def test_a_mistake_is_a_sentence_and_no_traceback(filled, tmp_path):
    (tmp_path / "list.csv").write_text("name\nDoe\n")
    status, _, errors = run(filled, "pacs", "find", "web", "--registry", tmp_path / "list.csv")
    assert status == 1
    assert errors.startswith("mipc: list.csv has no column patient_id")
    assert run(filled, "pacs", "find", "web", "--from", "yesterday")[0] == 2


def test_screening_fetches_and_sends_back_in_one_go(filled, tmp_path):
    """Screen chests whose lungs are none, so that the results are reports with a reason."""
    command = [
        "screen", "pacs:hospital", "--registry", filled / "patients.csv", "--out", tmp_path,
        "--workers", "1", "--json", "--push",
    ]  # fmt: skip
    status, _, errors = run(filled, *command, "gone")
    assert status == 1
    assert "mipc: gone cannot be reached at http://127.0.0.1:4000, or ended the connection" in errors
    command.append("hospital")
    status, output, errors = run(filled, *command)
    assert status == 0, errors
    assert "2 of 2 studies are in the store already" in errors  # only the sending was left to do
    summary = json.loads(output)
    assert summary["studies"] == 2
    assert set(summary["reasons"]) <= {"lungs_not_found", "lungs_incomplete", "lungs_implausible"}, summary
    assert "patient P-3" in (tmp_path / "not_delivered.csv").read_text() or "P-3" in errors
    reports = [pydicom.dcmread(path) for path in tmp_path.glob("dicom/*/report.dcm")]
    assert {str(report.PatientID) for report in reports} == set(PATIENTS)
    _, output, _ = run(filled, "pacs", "find", "hospital", "--modality", "SR", "--json")
    assert {match["patient_id"] for match in json.loads(output)} == set(PATIENTS)
    _, output, _ = run(filled, *command)
    assert json.loads(output)["studies"] == 2  # our own reports in the archive are not fetched as images
