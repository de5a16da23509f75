"""Studies come from and go to a real Orthanc, over three ways, and what goes wrong has a sentence."""

import datetime as dt
import gc
import logging
import shutil
import ssl
import subprocess
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pydicom
import pytest
import requests
from pydicom.uid import MRImageStorage
from pynetdicom import AE

from imaging.dicom import choose_series, derive_uid, find_studies, read_volume
from imaging.dicom.export import export_results
from imaging.dicom.nodes import DimseNode, Nodes, Ourselves, PacsError, Retrieve, Tls, WebNode
from imaging.dicom.pacs import open_archive, push
from imaging.dicom.pull import pull
from imaging.dicom.query import Query
from records.model import Study
from tests.imaging.dicom.making import STUDY, chest, export
from tests.imaging.dicom.results import screened
from tests.orthanc import DICOM_PORT, WEB_PORT, needs_orthanc, running_orthanc, wire

# pynetdicom forgets a socket that could not connect without closing it.
FORGOTTEN = "ignore:Exception ignored in. <s(ocket|sl):pytest.PytestUnraisableExceptionWarning"
pytestmark = [needs_orthanc, pytest.mark.filterwarnings(FORGOTTEN)]

IMAGES = 24  # of 5 kB
HERE = "127.0.0.1"
GET = DimseNode("hospital", HERE, DICOM_PORT, "ORTHANC", timeout_seconds=120)
MOVE = replace(GET, retrieve=Retrieve.MOVE)
WEB = WebNode("web", f"http://{HERE}:{WEB_PORT}/dicom-web", "reader", "secret", timeout_seconds=120)
WAYS = [pytest.param(GET, id="c-get"), pytest.param(MOVE, id="c-move"), pytest.param(WEB, id="dicomweb")]

FIRST = Study(derive_uid("pacs", "1"), "P-1", "Doe^Jane", "2020-01-02", "CT CHEST")
SECOND = Study(derive_uid("pacs", "2"), "P-2", "Roe^Richard", "2021-05-06", "CT ABDOMEN")


def opened(node, **ours):
    return open_archive(Nodes(Ourselves(host=HERE, **ours), {"it": node}), "it")


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    """Run an archive that holds two studies."""
    folder = tmp_path_factory.mktemp("orthanc")
    paths = [
        path
        for study in (FIRST, SECOND)
        for path in export(folder / study.patient_id, chest(IMAGES), study=study)
    ]
    with running_orthanc(folder / "orthanc") as archive:
        with archive.entered(), opened(GET) as it:
            assert push(it, paths) == []
        yield archive


@pytest.fixture(autouse=True)
def swept(caplog):
    """Have forgotten sockets found here, and not in a test of something else."""
    caplog.set_level(logging.CRITICAL + 1, "pynetdicom")  # a traceback that is kept keeps its socket
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:  # an association's holds its socket until it ends
        thread.join(timeout=60)
    gc.collect()


@pytest.fixture
def network(orthanc):
    with orthanc.entered():
        yield orthanc


@pytest.mark.parametrize("node", WAYS)
@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param(Query(), [FIRST, SECOND], id="all"),
        pytest.param(Query(patient_id="P-1"), [FIRST], id="patient"),
        pytest.param(Query(patient_id="P-*"), [], id="a-number-is-no-pattern"),
        pytest.param(Query(first_day=dt.date(2020, 1, 3)), [SECOND], id="from-a-day"),
        pytest.param(Query(last_day=dt.date(2020, 1, 2)), [FIRST], id="until-a-day-inclusive"),
        pytest.param(
            Query(first_day=dt.date(2020, 1, 2), last_day=dt.date(2020, 1, 2)), [FIRST], id="on-a-day"
        ),
        pytest.param(Query(description="*chest*"), [FIRST], id="description-in-any-case"),
        pytest.param(Query(modality="MR"), [], id="modality"),
        pytest.param(Query(accession="A1"), [], id="accession"),
    ],
)
def test_studies_are_found_by_what_is_known_of_them(network, node, query, found):
    with opened(node) as archive:
        matches = archive.find_studies(query)
    others = [match for match in matches if match.study_uid not in (FIRST.uid, SECOND.uid)]  # pushed by tests
    assert all(match.patient_id == "P1" for match in others)
    days = {match.study_uid: match.study_date for match in matches if match not in others}
    assert days == {study.uid: study.study_date for study in found}


@pytest.mark.parametrize("node", WAYS)
def test_what_is_pulled_is_what_was_there(network, node, tmp_path):
    with opened(node) as archive:
        done = pull(archive, [Query(patient_id="P-1"), Query(patient_id="nobody")], tmp_path)
    assert (done.studies, done.images, done.fetched, done.stopped) == (1, IMAGES, IMAGES, "")
    (study,) = find_studies([tmp_path]).studies
    assert study.study == FIRST
    np.testing.assert_array_equal(read_volume(choose_series(study).series).hu, chest(IMAGES).hu)
    (missing,) = done.missing
    assert (missing.patient_id, missing.sentence) == ("nobody", "the archive has no such study")


@pytest.mark.parametrize("node", WAYS)
def test_a_pull_fetches_only_what_is_missing(network, node, tmp_path):
    with opened(node) as archive:
        pull(archive, [Query(patient_id="P-1")], tmp_path)
        files = sorted(tmp_path.rglob("*.dcm"))
        times = {path: path.stat().st_mtime_ns for path in files[3:]}
        for path in files[:3]:
            path.unlink()
        done = pull(archive, [Query(patient_id="P-1")], tmp_path)
    assert (done.images, done.fetched, done.missing) == (IMAGES, 3, [])
    assert {path: path.stat().st_mtime_ns for path in files[3:]} == times


@pytest.mark.parametrize("node", [GET, WEB], ids=["c-store", "stow-rs"])
def test_results_are_pushed_once_and_found_again(network, node, tmp_path):
    screening, study, _, pictures = screened(tmp_path / "in", nodules=(((5.0, 20.0, 30.0), 4.0),))
    own = derive_uid("pushed by", node.name)
    paths = export_results(screening, study, pictures, tmp_path / "dicom").paths
    for path in paths:
        result = pydicom.dcmread(path)
        result.StudyInstanceUID, result.SOPInstanceUID = own, derive_uid(own, path.name)
        result.file_meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
        result.save_as(path)
    sent = []
    with opened(node) as archive:
        assert push(archive, paths, progress=lambda done, _: sent.append(done)) == []
        assert len(sent) == len(paths)
        assert sorted(one.modality for one in archive.find_series(own)) == ["OT", "SEG", "SR"]
        assert push(archive, paths, progress=lambda done, _: sent.append(done)) == []
    assert len(sent) == len(paths)  # nothing went out the second time


@pytest.mark.parametrize("node", [GET, WEB], ids=["c-store", "stow-rs"])
@pytest.mark.parametrize("fault", ["cut_sent_after", "stall_sent_after"])
def test_an_archive_that_is_gone_while_it_is_sent_to_gets_only_the_rest_later(network, node, fault, tmp_path):
    study = replace(STUDY, uid=derive_uid("sent", node.name, fault))
    paths = export(tmp_path, chest(IMAGES), study=study)
    sentence, seconds = ("ended the connection", 120) if fault == "cut_sent_after" else ("did not answer", 4)
    with wire(5005, WEB_PORT if node is WEB else DICOM_PORT, **{fault: 60_000}):
        with (
            opened(replace(_through(node, 5005), timeout_seconds=seconds)) as archive,
            pytest.raises(PacsError, match=f"{node.name} .*{sentence}"),
        ):
            push(archive, paths)
    sent = []
    with opened(node) as archive:
        (series,) = archive.find_series(study.uid)
        there = archive.find_instances(study.uid, series.series_uid)
        assert 0 < len(there) < IMAGES
        assert push(archive, paths, progress=lambda done, _: sent.append(done)) == []
        assert len(archive.find_instances(study.uid, series.series_uid)) == IMAGES
    assert len(sent) == IMAGES - len(there)


def test_an_archive_that_falls_silent_amid_a_large_image_is_given_up(network, tmp_path):
    """More than the buffers of a connection hold: it is the sending that waits, and not for an answer."""
    path = export(tmp_path, chest(1), study=replace(STUDY, uid=derive_uid("large")))[0]
    image = pydicom.dcmread(path)
    image.Rows = image.Columns = 4096
    image.PixelData = bytes(2 * 4096 * 4096)
    image.save_as(path)
    with wire(5006, WEB_PORT, stall_sent_after=60_000):
        with (
            opened(replace(_through(WEB, 5006), timeout_seconds=2)) as archive,
            pytest.raises(PacsError, match="web did not answer within 2 seconds"),
        ):
            push(archive, [path])


def test_what_is_no_dicom_file_is_not_sent(network, tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    with opened(GET) as archive:
        ((_, why),) = push(archive, [tmp_path / "notes.txt"])
    assert why == "notes.txt is not a DICOM file"


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        pytest.param(replace(GET, ae_title="WRONG"), "it is not called 'WRONG'", id="wrong-ae-title"),
        pytest.param(replace(GET, port=4000), "cannot be reached at 127.0.0.1, port 4000", id="nobody-there"),
        pytest.param(replace(GET, host="nowhere.invalid"), "cannot be reached at nowhere", id="no-such-host"),
        pytest.param(
            replace(GET, port=WEB_PORT, timeout_seconds=3), "not speak DICOM without TLS", id="not-dicom"
        ),
        pytest.param(replace(WEB, password="guessed"), "does not accept our user name", id="password"),
        pytest.param(
            replace(WEB, url=f"http://{HERE}:{WEB_PORT}/wado"), "the url of the node is wrong", id="wrong-url"
        ),
        pytest.param(
            replace(WEB, url=f"http://{HERE}:{WEB_PORT}/app/explorer.html"), "wrong", id="a-web-page"
        ),
        pytest.param(replace(WEB, url=f"http://{HERE}:4000/"), "cannot be reached", id="no-web-server"),
    ],
)
def test_an_archive_that_cannot_be_asked_is_a_sentence(network, node, sentence):
    with opened(node) as archive, pytest.raises(PacsError, match=node.name) as failure:
        archive.find_studies(Query())
    assert sentence in str(failure.value)


def test_a_refusal_is_read_however_soon_the_archive_closes(network):
    """One in a hundred came before pynetdicom looked, and was told as "does not speak DICOM"."""
    for _ in range(200):
        with opened(replace(GET, ae_title="WRONG")) as archive, pytest.raises(PacsError) as failure:
            archive.echo()
        assert "refuses us: it is not called 'WRONG'" in str(failure.value)


def test_an_archive_that_does_not_know_us_says_so(network, tmp_path):
    with opened(GET, ae_title="STRANGER") as archive, pytest.raises(PacsError) as failure:
        archive.find_studies(Query())  # Orthanc takes the association, and ends it at the first question
    assert str(failure.value).startswith("hospital ended the connection")
    assert "may not know our AE title 'STRANGER'" in str(failure.value)
    with opened(replace(MOVE), ae_title="MIPC", port=11113) as archive:  # the archive sends to 11112
        done = pull(archive, [Query(patient_id="P-1")], tmp_path)
    assert done.images == 0
    assert "sent 0 of 24 images" in done.missing[0].sentence


@pytest.mark.parametrize(
    ("refuses", "sentence"),
    [
        pytest.param(
            {"require_calling_aet": ["SOMEBODY"]},
            "refuses us: it does not know our AE title 'MIPC'; have it added there",
            id="calling-title",
        ),
        pytest.param(
            {"require_called_aet": True}, "refuses us: it is not called 'ORTHANC'; correct", id="called-title"
        ),
        pytest.param({}, "offers nothing of what we ask for", id="nothing-offered"),
    ],
)
def test_a_refused_association_says_which_title_is_wrong(network, refuses, sentence):
    """Orthanc refuses no caller's title; another archive does, and says so in the reason (PS3.8 9.3.4)."""
    strict = AE("STRICT")
    strict.add_supported_context(MRImageStorage)
    for name, value in refuses.items():
        setattr(strict, name, value)
    server = strict.start_server((HERE, 5006), block=False)
    try:
        with opened(replace(GET, port=5006)) as archive, pytest.raises(PacsError) as failure:
            archive.echo()
    finally:
        server.shutdown()
    assert f"hospital {sentence}" in str(failure.value)


@pytest.mark.parametrize("node", WAYS)
def test_an_archive_that_is_gone_half_way_leaves_whole_images_and_a_list(network, node, tmp_path):
    if node is MOVE:  # images come on a connection of their own: the wire is between the archive and us
        with wire(11112, 11113, cut_sent_after=60_000):
            done = _pull(node, tmp_path, port=11113)
    else:
        with wire(5000, WEB_PORT if node is WEB else DICOM_PORT, cut_after=60_000):
            cut = (
                replace(node, url=f"http://{HERE}:5000/dicom-web")
                if node is WEB
                else replace(node, port=5000)
            )
            done = _pull(cut, tmp_path)
    kept = list(tmp_path.rglob("*.dcm"))
    assert 0 < len(kept) < IMAGES
    assert list(tmp_path.rglob("*.arriving")) == []
    (missing,) = done.missing
    assert (missing.asked, missing.delivered) == (IMAGES, len(kept))
    assert any(word in missing.sentence for word in ("ended the connection", "cut off", "sent "))
    resumed = _pull(node, tmp_path)
    assert (resumed.images, resumed.fetched, resumed.missing) == (IMAGES, IMAGES - len(kept), [])


class Truncating(BaseHTTPRequestHandler):
    """Hand on what the archive answers, but images only in part, as if that were all of it."""

    def do_GET(self):
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        answer = requests.get(
            f"http://{HERE}:{WEB_PORT}{self.path}", headers=headers, timeout=120, proxies={"http": ""}
        )
        body = answer.content
        if answer.headers["Content-Type"].startswith("multipart"):
            body = body[: int(len(body) * self.server.share)]
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.mark.parametrize(
    ("share", "whole"),
    [
        pytest.param(0.5, 11, id="in-pixels"),
        pytest.param(2 / 3, 15, id="in-a-boundary"),
        pytest.param(0.752, 18, id="in-a-header"),
    ],
)
def test_a_truncated_multipart_keeps_the_whole_images_and_names_the_rest(network, tmp_path, share, whole):
    with ThreadingHTTPServer((HERE, 5003), Truncating) as server:
        server.share = share
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = _pull(_through(WEB, 5003), tmp_path)
        server.shutdown()
    kept = list(tmp_path.rglob("*.dcm"))
    assert whole <= len(kept) <= IMAGES
    assert all(len(pydicom.dcmread(path).PixelData) == 48 * 48 * 2 for path in kept)
    (missing,) = done.missing
    assert (missing.asked, missing.delivered) == (IMAGES, len(kept))
    assert "cut off" in missing.sentence
    assert _pull(WEB, tmp_path).fetched == IMAGES - len(kept)


def _through(node, port):
    """Return the node as it is reached over a wire."""
    return replace(node, url=f"http://{HERE}:{port}/dicom-web") if node is WEB else replace(node, port=port)


def _pull(node, folder, **ours):
    with opened(node, **ours) as archive:
        return pull(archive, [Query(patient_id="P-1")], folder)


@pytest.mark.parametrize("node", WAYS)
def test_an_archive_that_falls_silent_is_given_up(network, node, tmp_path):
    if node is MOVE:
        with wire(11112, 11113, stall_sent_after=60_000):
            done = _pull(replace(node, timeout_seconds=4), tmp_path, port=11113)
    else:
        with wire(5001, WEB_PORT if node is WEB else DICOM_PORT, stall_after=60_000):
            done = _pull(replace(_through(node, 5001), timeout_seconds=4), tmp_path)
    assert "did not answer" in done.missing[0].sentence
    assert _pull(node, tmp_path).images == IMAGES


def test_a_token_is_sent_and_no_password_with_it(network):
    with wire(5002, WEB_PORT) as line:
        node = WebNode("web", f"http://{HERE}:5002/dicom-web", token="t0ken", timeout_seconds=120)
        with opened(node) as archive, pytest.raises(PacsError, match="does not accept our"):
            archive.echo()
    assert b"Authorization: Bearer t0ken" in line.seen
    assert b"Basic" not in line.seen


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Make an authority and a certificate each for the archive and for us."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA", "-days", "2")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("archive", "us"):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", "names",
        )  # fmt: skip
    return folder


def test_tls_holds_to_certificates_on_both_sides(certificates, tmp_path):
    tls = Tls(certificates / "ca.pem", certificates / "us.pem", certificates / "us.key")
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(certificates / "archive.pem"),
        "DicomTlsPrivateKey": str(certificates / "archive.key"),
        "DicomTlsTrustedCertificates": str(certificates / "ca.pem"),
    }
    paths = export(tmp_path / "in", chest(4), study=FIRST)
    with running_orthanc(tmp_path / "orthanc", **settings) as it, it.entered():
        with opened(replace(GET, tls=tls)) as archive:
            assert push(archive, paths) == []
            assert pull(archive, [Query(patient_id="P-1")], tmp_path / "out").images == 4
        for wrong in (None, Tls(), Tls(certificates / "ca.pem")):
            node = replace(GET, tls=wrong, timeout_seconds=3)
            with opened(node) as archive, pytest.raises(PacsError, match="does not speak DICOM with"):
                archive.echo()


def test_an_archive_on_the_web_is_held_to_its_certificate(network, certificates, tmp_path):
    """Debian's Orthanc resets HTTPS connections itself; a proxy before it is what hospitals run too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "archive.pem", certificates / "archive.key")
    node = replace(WEB, url=f"https://{HERE}:5004/dicom-web", ca=certificates / "ca.pem")
    with ThreadingHTTPServer((HERE, 5004), Truncating) as server:
        server.share = 1
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert _pull(node, tmp_path).images == IMAGES
        with opened(replace(node, ca=None)) as archive, pytest.raises(PacsError, match="certificate"):
            archive.echo()
        server.shutdown()
