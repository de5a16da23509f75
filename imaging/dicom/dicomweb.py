"""An archive over DICOMweb: QIDO-RS, WADO-RS and STOW-RS (PS3.18), by dicomweb-client."""

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from imaging.dicom.headers import broken
from imaging.dicom.nodes import PacsError, WebNode
from imaging.dicom.query import Keep, Query, SeriesMatch, StudyMatch
from imaging.dicom.values import iso_date

__all__ = ["WebArchive"]

PAGE = 500  # matches asked for at a time; a server may give fewer
A_FEW = 20  # missing instances up to here are asked for one by one, more as the whole series
AGAIN = "the same command goes on from here"
STATUS = {
    401: "does not accept our user name, password or token",
    403: "does not allow it",
    404: "does not have it (or the url of the node is wrong)",
}


class WebArchive:
    """An archive that speaks DICOMweb; see `imaging.dicom.query.Archive`."""

    def __init__(self, node: WebNode) -> None:
        self._node = node
        session = requests.Session()
        session.trust_env = False  # the file of nodes alone says who is asked, and with which password
        session.verify = str(node.ca) if node.ca else True
        if node.user:
            session.auth = (node.user, node.password)
        if node.token:
            session.headers["Authorization"] = f"Bearer {node.token}"
        self._session = session
        self._client = DICOMwebClient(node.url, session=session, timeout=node.timeout_seconds)
        self._client.set_http_retry_params(retry=False)
        logging.getLogger("dicomweb_client").setLevel(logging.ERROR)  # patients' numbers are in its addresses

    def echo(self) -> None:
        """Ask for one study, whichever."""
        with self._sentences():
            self._client.search_for_studies(limit=1)

    def find_studies(self, query: Query) -> list[StudyMatch]:
        """Return the studies that fit."""
        keys = {keyword: value for keyword, value in query.keys.items() if value}
        fields = ["StudyDescription", "ModalitiesInStudy"]
        found = [
            StudyMatch(
                study_uid=_text(row, "0020000D"),
                patient_id=_text(row, "00100020"),
                study_date=iso_date(_text(row, "00080020")),
                description=_text(row, "00081030"),
                accession=_text(row, "00080050"),
                modalities=_texts(row, "00080061"),
            )
            for row in self._pages(self._client.search_for_studies, search_filters=keys, fields=fields)
        ]
        return [match for match in found if match.study_uid and query.fits(match)]

    def find_series(self, study_uid: str) -> list[SeriesMatch]:
        """Return the series of a study."""
        rows = self._pages(self._client.search_for_series, study_instance_uid=study_uid)
        return [
            SeriesMatch(study_uid, _text(row, "0020000E"), _text(row, "00080060"), _text(row, "0008103E"))
            for row in rows
        ]

    def find_instances(self, study_uid: str, series_uid: str) -> frozenset[str]:
        """Return the SOP Instance UIDs of a series."""
        rows = self._pages(
            self._client.search_for_instances, study_instance_uid=study_uid, series_instance_uid=series_uid
        )
        return frozenset(_text(row, "00080018") for row in rows) - {""}

    def retrieve(self, study_uid: str, series_uid: str, wanted: frozenset[str], keep: Keep) -> None:
        """Have instances sent in the transfer syntax they are stored in."""
        as_stored: Any = (("application/dicom", "*"),)
        with self._sentences("while sending images; "):
            if len(wanted) > A_FEW:
                parts = self._client.iter_series(study_uid, series_uid, media_types=as_stored)
            else:
                parts = (
                    self._client.retrieve_instance(study_uid, series_uid, uid, media_types=as_stored)
                    for uid in sorted(wanted)
                )
            for uid, file in self._files(parts):
                if uid in wanted:
                    keep(uid, file)

    def store(self, paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """Send files, one a request, so that one that is refused does not take others along."""
        for path in paths:
            with self._sentences():
                try:
                    answer = self._client.store_instances([dcmread(path)])
                except requests.HTTPError as error:
                    if _status(error) in (400, 409, 415):
                        yield path, f"refused (HTTP {_status(error)})"
                        continue
                    raise
            failed = answer.get("FailedSOPSequence")
            yield path, f"refused (failure {failed[0].FailureReason:#06x})" if failed else ""

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _files(self, parts: Iterator[Dataset]) -> Iterator[tuple[str, bytes]]:
        """Yield each part of an answer as SOP Instance UID and file; the last may be cut off anywhere."""
        while True:
            try:
                dataset = next(parts, None)
                if dataset is None:
                    return
                uid, buffer = str(dataset.get("SOPInstanceUID", "")), io.BytesIO()
                dataset.save_as(buffer, enforce_file_format=True)
            except requests.RequestException:
                raise
            except broken() as error:
                sentence = f"{self._node.name} sent images that are cut off or damaged; {AGAIN}"
                raise PacsError(sentence) from error
            yield uid, buffer.getvalue()

    def _pages(self, search: Any, **asked: Any) -> Iterator[dict[str, Any]]:
        """Yield all matches, page by page, whether or not the server knows what a page is."""
        seen: set[str] = set()
        offset = 0
        while True:
            with self._sentences():
                rows = search(limit=PAGE, offset=offset, **asked)
            fresh = [row for row in rows if str(row) not in seen]
            seen.update(str(row) for row in fresh)
            yield from fresh
            if not fresh or len(rows) < PAGE:
                return
            offset += len(rows)

    @property
    def _too_slow(self) -> str:
        return f"did not answer within {self._node.timeout_seconds:g} seconds"

    @contextmanager
    def _sentences(self, doing: str = "") -> Iterator[None]:
        """Turn what went wrong into a sentence that names the node."""
        name = self._node.name
        try:
            yield
        except requests.HTTPError as error:
            status = _status(error)
            why = STATUS.get(status, f"answered with an error (HTTP {status})")
            raise PacsError(f"{name} {why}") from error
        except requests.Timeout as error:
            raise PacsError(f"{name} {self._too_slow} {doing}{AGAIN}") from error
        except requests.exceptions.SSLError as error:
            raise PacsError(f"the certificate of {name} does not hold for {self._node.url}") from error
        except requests.exceptions.ChunkedEncodingError as error:
            raise PacsError(f"{name} ended the connection {doing}{AGAIN}") from error
        except requests.ConnectionError as error:
            if _ran_out_of_time(error):
                raise PacsError(f"{name} {self._too_slow} {doing}{AGAIN}") from error
            raise PacsError(
                f"{name} cannot be reached at {self._node.url}, or ended the connection; {AGAIN}"
            ) from error
        except requests.exceptions.JSONDecodeError as error:
            raise PacsError(f"{name} answers something that is not DICOMweb at {self._node.url}") from error


def _ran_out_of_time(error: requests.ConnectionError) -> bool:
    """Say whether a connection ended as the far end fell silent, amid an answer or amid what it was sent."""
    cause = error.args[0] if error.args else None
    amid_sending = isinstance(cause, ProtocolError) and any(isinstance(a, TimeoutError) for a in cause.args)
    return isinstance(cause, ReadTimeoutError) or amid_sending


def _status(error: requests.HTTPError) -> int:
    return error.response.status_code if error.response is not None else 0


def _texts(row: dict[str, Any], tag: str) -> tuple[str, ...]:
    """Return the values of an attribute in DICOM JSON (PS3.18 F.2)."""
    values = row.get(tag, {}).get("Value") or []
    return tuple(str(value).strip() for value in values if value is not None)


def _text(row: dict[str, Any], tag: str) -> str:
    return next(iter(_texts(row, tag)), "")
