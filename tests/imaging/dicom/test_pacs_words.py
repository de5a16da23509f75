"""The file of nodes, the registry's list and the questions, without any archive."""

import datetime as dt
import re

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from imaging.dicom.dimse import DimseArchive
from imaging.dicom.nodes import (
    DimseNode,
    NodesFileError,
    Ourselves,
    PacsError,
    Retrieve,
    Tls,
    WebNode,
    load_nodes,
)
from imaging.dicom.pacs import push
from imaging.dicom.pull import Missing, write_missing
from imaging.dicom.query import Query, StudyMatch, read_registry
from tests.imaging.dicom.making import chest, edit, export, setting

FILE = """
[mipc]
ae_title = "MIPC_NIGHT"
port = 11113

[nodes.hospital]
kind = "dimse"
host = "pacs.example.org"
port = 104
ae_title = "PACS"
retrieve = "move"
timeout_seconds = 30
tls = { ca = "ca.pem", checks_name = false }

[nodes.research]
kind = "dicomweb"
url = "https://archive.example.org/dicom-web/"
token_file = "token"
"""


def write(folder, text=FILE):
    (folder / "ca.pem").write_text("a certificate")
    (folder / "token").write_text("t0ken\n")
    (folder / "token").chmod(0o600)
    (folder / "nodes.toml").write_text(text)
    return folder / "nodes.toml"


def test_nodes_are_read_with_their_secrets(tmp_path):
    nodes = load_nodes(write(tmp_path))
    assert nodes.ourselves == Ourselves("MIPC_NIGHT", "0.0.0.0", 11113)
    assert nodes.named("hospital") == DimseNode(
        "hospital", "pacs.example.org", 104, "PACS", Retrieve.MOVE, 30.0,
        Tls(ca=tmp_path / "ca.pem", checks_name=False),
    )  # fmt: skip
    assert nodes.named("research") == WebNode(
        "research", "https://archive.example.org/dicom-web", token="t0ken"
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        pytest.param('kind = "dimse"', 'kind = "ftp"', "kind is dimse or dicomweb", id="kind"),
        pytest.param('host = "pacs.example.org"', "", "[nodes] hospital: host is missing", id="no-host"),
        pytest.param("port = 104", "port = 70000", "between 1 and 65535, not 70000", id="port"),
        pytest.param("port = 104", 'port = "104"', "wrong kind: '104'", id="port-as-text"),
        pytest.param("port = 104", "port = true", "wrong kind: True", id="port-as-truth"),
        pytest.param('"PACS"', '"A TITLE THAT IS TOO LONG"', "1 to 16 plain letters", id="ae-title"),
        pytest.param("retrieve =", "retreive =", "retreive is not known here", id="misspelt"),
        pytest.param('"move"', '"push"', "retrieve is get or move", id="retrieve"),
        pytest.param("timeout_seconds = 30", "timeout_seconds = 0", "between 0 and", id="timeout"),
        pytest.param('"ca.pem"', '"other.pem"', "which is not there", id="no-certificate"),
        pytest.param("https://", "archive/", "has to start with http", id="url"),
        pytest.param("[nodes.hospital]", "[nodes.hospital", "cannot be read", id="no-toml"),
        pytest.param(
            '[mipc]\nae_title = "MIPC_NIGHT"\nport = 11113', "mipc = 1", "has to be a table", id="table"
        ),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path, old, new, sentence):
    assert old in FILE
    with pytest.raises(NodesFileError, match=re.escape(sentence)):
        load_nodes(write(tmp_path, FILE.replace(old, new, 1)))


def test_a_secret_that_others_can_read_is_refused(tmp_path):
    path = write(tmp_path)
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(PacsError, match="can be read by others"):
        load_nodes(path)


def test_a_name_that_is_none_tells_which_there_are(tmp_path):
    with pytest.raises(PacsError, match="the file has: hospital, research"):
        load_nodes(write(tmp_path)).named("hospitl")
    with pytest.raises(PacsError, match="there is no file of archives"):
        load_nodes(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param("patient_id\nA1\nA2\n", ("A1", "A2"), id="plain"),
        pytest.param("name;Patient_ID;age\nx;007;3\ny; 8 ;4\n", ("007", "8"), id="semicolons-and-zeros"),
        pytest.param("\ufeffPatientID\tx\r\nA\t1\r\nA\t2\r\n\t3\r\n", ("A",), id="excel-twice-and-empty"),
        pytest.param("patient_id\n'=A1\n-7\n", ("=A1", "-7"), id="written-by-us"),
    ],
)
def test_a_registry_list_gives_each_number_once(tmp_path, text, numbers):
    (tmp_path / "list.csv").write_bytes(text.encode())
    assert read_registry(tmp_path / "list.csv") == numbers


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("name\nDoe\n", "no column patient_id", id="no-column"),
        pytest.param("patient_id\n\n", "no patient number", id="empty"),
        pytest.param("patient_id\nA*\n", "cannot be a patient number", id="a-pattern-would-match-everybody"),
        pytest.param("patient_id\nA\\B\n", "cannot be a patient number", id="a-backslash-parts-values"),
    ],
)
def test_a_list_that_is_none_is_a_sentence(tmp_path, text, sentence):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(PacsError, match=sentence):
        read_registry(tmp_path / "list.csv")


days = st.dates(dt.date(1990, 1, 1), dt.date(2030, 12, 31))


@given(day=days, first=st.none() | days, last=st.none() | days)
def test_a_study_fits_exactly_when_its_day_lies_between(day, first, last):
    match = StudyMatch("1.2", "P", day.isoformat(), "", "", ("CT",))
    between = (first is None or first <= day) and (last is None or day <= last)
    assert Query(first_day=first, last_day=last).fits(match) == between


def test_what_an_archive_does_not_say_is_not_held_against_a_study():
    silent = StudyMatch("1.2", "P", "", "", "", ())
    assert Query(first_day=dt.date(2020, 1, 1), modality="CT").fits(silent)
    assert not Query(patient_id="Q").fits(silent)
    assert (
        Query(first_day=dt.date(2020, 1, 2), last_day=dt.date(2020, 1, 3)).date_range == "20200102-20200103"
    )
    assert Query(last_day=dt.date(2020, 1, 3)).date_range == "-20200103"


def test_the_list_of_what_is_missing_can_be_read_as_csv(tmp_path):
    missing = [Missing("P,1", "1.2", "1.2.3", 5, 2, 'it said "no"'), Missing("=1", "1.2", "", 0, 0, "-")]
    write_missing(missing, tmp_path / "list.csv")
    assert (tmp_path / "list.csv").read_text() == (
        "patient_id,study_uid,series_uid,images_asked,images_delivered,reason\n"
        '"P,1",1.2,1.2.3,5,2,"it said ""no"""\n'
        "'=1,1.2,,0,0,'-\n"
    )


def test_certificates_that_cannot_be_used_are_a_sentence(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    node = DimseNode("hospital", "127.0.0.1", 1, "PACS", tls=Tls(tmp_path / "ca.pem"))
    with pytest.raises(PacsError, match="certificates for hospital cannot be used"):
        DimseArchive(node, Ourselves()).echo()


class Shelf:
    """An archive that has nothing and takes everything."""

    def find_instances(self, study_uid, series_uid):
        return frozenset()

    def store(self, paths):
        return ((path, "") for path in paths)


def test_a_file_that_no_archive_can_be_sent_does_not_hold_up_the_others(tmp_path):
    good, bare, nameless, kindless, cut = export(tmp_path, chest(5))
    cut.write_bytes(cut.read_bytes()[:-1000])
    image = pydicom.dcmread(good)
    elements = Dataset({element.tag: element for element in image})
    elements.save_as(bare, implicit_vr=False, little_endian=True, enforce_file_format=False)
    edit(nameless, setting(SOPInstanceUID=None))
    edit(kindless, setting(SOPClassUID=None))
    refused = dict(push(Shelf(), [good, bare, nameless, kindless, cut]))
    assert set(refused) == {bare, nameless, kindless, cut}
    assert "is cut off" in refused[cut]
    assert refused[bare] == f"{bare.name} lacks what no archive does without: file meta information"
    assert refused[nameless].endswith(": SOPInstanceUID")
    assert refused[kindless].endswith(": SOPClassUID")
