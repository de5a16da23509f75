"""An archive over DICOM networking: C-ECHO, C-FIND, C-GET, C-MOVE, C-STORE (PS3.4, PS3.7), by pynetdicom."""

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from imaging.dicom.classes import CT_CLASSES
from imaging.dicom.nodes import DimseNode, Ourselves, PacsError, Retrieve
from imaging.dicom.query import Keep, Query, SeriesMatch, StudyMatch
from imaging.dicom.values import iso_date
from records.wording import counted

__all__ = ["DimseArchive"]

NATIVE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
PACKED = [
    JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1, RLELossless, JPEGLossless, HTJ2KLossless, JPEG2000,
    JPEGLSNearLossless, JPEGExtended12Bit, JPEGBaseline8Bit, DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
]  # fmt: skip
A_FEW = 200  # missing instances up to here are asked for by their UIDs, more as the whole series
REJECTED = frozenset({1, 2})  # for good, for now (PS3.8 9.3.4)
PENDING = frozenset({0xFF00, 0xFF01})
SUCCESS, NOT_ASKED_FOR, NO_SPACE = 0x0000, 0x0124, 0xA700
REFUSALS = {
    3: "it does not know our AE title {ours!r}; have it added there",
    7: "it is not called {theirs!r}; correct ae_title of the node",
}  # reasons of a rejection by the service user (PS3.8 9.3.4)
FAILURES = {
    0xA801: "it does not know where to send images to; have AE title {ours!r}, this host and port {port} "
    "added there",
    0xA700: "it is out of resources",
    0xA701: "it is out of resources",
    0xA702: "it could not send the images",
    0x0124: "it does not allow it",
}  # PS3.4 C.4


class DimseArchive:
    """An archive that speaks DICOM networking; see `imaging.dicom.query.Archive`."""

    def __init__(self, node: DimseNode, ourselves: Ourselves) -> None:
        self._node, self._ourselves = node, ourselves
        self._asking: Association | None = None  # kept open for one question after another

    def echo(self) -> None:
        """Ask whether it is there and lets us in."""
        status = self._question().send_c_echo()
        if "Status" not in status or status.Status != SUCCESS:
            raise self._failed("did not answer an echo")

    def find_studies(self, query: Query) -> list[StudyMatch]:
        """Return the studies that fit."""
        found = [
            StudyMatch(
                study_uid=_text(row, "StudyInstanceUID"),
                patient_id=_text(row, "PatientID"),
                study_date=iso_date(_text(row, "StudyDate")),
                description=_text(row, "StudyDescription"),
                accession=_text(row, "AccessionNumber"),
                modalities=_texts(row, "ModalitiesInStudy"),
            )
            for row in self._find("STUDY", {**query.keys, "StudyInstanceUID": ""})
        ]
        return [match for match in found if match.study_uid and query.fits(match)]

    def find_series(self, study_uid: str) -> list[SeriesMatch]:
        """Return the series of a study."""
        keys = {
            "StudyInstanceUID": study_uid,
            "SeriesInstanceUID": "",
            "Modality": "",
            "SeriesDescription": "",
        }
        return [
            SeriesMatch(
                study_uid,
                _text(row, "SeriesInstanceUID"),
                _text(row, "Modality"),
                _text(row, "SeriesDescription"),
            )
            for row in self._find("SERIES", keys)
        ]

    def find_instances(self, study_uid: str, series_uid: str) -> frozenset[str]:
        """Return the SOP Instance UIDs of a series."""
        keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid, "SOPInstanceUID": ""}
        return frozenset(_text(row, "SOPInstanceUID") for row in self._find("IMAGE", keys)) - {""}

    def retrieve(self, study_uid: str, series_uid: str, wanted: frozenset[str], keep: Keep) -> None:
        """Have instances sent, by C-GET or C-MOVE as the node says."""
        asked = Dataset()
        asked.QueryRetrieveLevel = "SERIES" if len(wanted) > A_FEW else "IMAGE"
        asked.StudyInstanceUID, asked.SeriesInstanceUID = study_uid, series_uid
        if len(wanted) <= A_FEW:
            asked.SOPInstanceUID = sorted(wanted)
        receiver = _Receiver(wanted, keep)
        if self._node.retrieve is Retrieve.MOVE:
            self._move(asked, receiver)
        else:
            self._get(asked, receiver)
        if receiver.failure is not None:
            raise receiver.failure

    def store(self, paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """Send files."""
        kinds = {path: _kind(path) for path in paths}
        ae = self._entity()
        for sop_class, syntax in sorted(set(kinds.values())):
            ae.add_requested_context(sop_class, syntax)
        with self._associated(ae) as association:
            accepted = {
                (context.abstract_syntax, context.transfer_syntax[0])
                for context in association.accepted_contexts
            }
            for path in paths:
                if kinds[path] not in accepted:
                    yield path, "the archive does not take this kind of object"
                    continue
                status = association.send_c_store(path)
                if "Status" not in status:
                    raise self._failed(
                        "ended the connection, or did not answer in time, while images were sent"
                    )
                warned = status.Status >> 12 == 0xB  # stored, with something coerced (PS3.4 B.2.3)
                yield path, "" if status.Status == SUCCESS or warned else _refusal(status)

    def close(self) -> None:
        """Release the connection."""
        if self._asking is not None and self._asking.is_established:
            self._asking.release()
        self._asking = None

    def _question(self) -> Association:
        """Return an open connection to ask on, a new one if the archive closed the last."""
        if self._asking is None or not self._asking.is_established:
            ae = self._entity()
            ae.add_requested_context(Verification)
            ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
            self._asking = self._associate(ae)
        return self._asking

    def _find(self, level: str, keys: Mapping[str, str]) -> list[Dataset]:
        asked = Dataset()
        asked.SpecificCharacterSet = "ISO_IR 192"
        asked.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(asked, keyword, value)
        rows: list[Dataset] = []
        try:
            answers = list(self._question().send_c_find(asked, StudyRootQueryRetrieveInformationModelFind))
        except ValueError as error:  # pynetdicom: no accepted presentation context
            raise self._failed("does not answer queries (C-FIND)") from error
        for status, row in answers:
            if "Status" not in status:
                raise self._failed(
                    "ended the connection, or did not answer in time, during a query; it may not know our AE "
                    f"title {self._ourselves.ae_title!r}, or not let it ask"
                )
            if status.Status in PENDING and row is not None:
                rows.append(row)
            elif status.Status not in PENDING and status.Status != SUCCESS:
                raise self._failed(f"could not answer a query: {_refusal(status)}")
        return rows

    def _get(self, asked: Dataset, receiver: "_Receiver") -> None:
        ae = self._entity()
        model = StudyRootQueryRetrieveInformationModelGet
        ae.add_requested_context(model)
        for sop_class in sorted(CT_CLASSES):
            ae.add_requested_context(sop_class, NATIVE)
            for syntax in PACKED:  # each a context of its own, so that it can come as it is stored
                ae.add_requested_context(sop_class, syntax)
        roles = [build_role(sop_class, scp_role=True) for sop_class in sorted(CT_CLASSES)]
        handlers = [(evt.EVT_C_STORE, receiver.receive)]
        with self._associated(ae, ext_neg=roles, evt_handlers=handlers) as association:
            if not any(context.abstract_syntax == model for context in association.accepted_contexts):
                raise self._failed('does not send images on request (C-GET); set retrieve = "move"')
            self._follow(association.send_c_get(asked, model), receiver)

    def _move(self, asked: Dataset, receiver: "_Receiver") -> None:
        ae = self._entity()
        model = StudyRootQueryRetrieveInformationModelMove
        ae.add_requested_context(model)
        for sop_class in sorted(CT_CLASSES):
            ae.add_supported_context(sop_class, [*NATIVE, *PACKED])
        ae.add_supported_context(Verification)
        ae.require_called_aet = True
        here = (self._ourselves.host, self._ourselves.port)
        handlers = [(evt.EVT_C_STORE, receiver.receive)]
        try:
            server = ae.start_server(here, block=False, evt_handlers=handlers)
        except OSError as error:
            raise PacsError(
                f"we cannot listen at port {here[1]} for what is sent: {error.strerror}"
            ) from error
        try:
            with self._associated(ae) as association:
                self._follow(association.send_c_move(asked, self._ourselves.ae_title, model), receiver)
        finally:
            server.shutdown()

    def _follow(self, answers: Iterator[tuple[Dataset, Dataset | None]], receiver: "_Receiver") -> None:
        """Read the progress of a transfer to its end."""
        last = Dataset()
        for answer in answers:
            last = answer[0]
        if "Status" not in last:
            raise self._failed(
                f"ended the connection, or did not answer in time, after {receiver.count} of "
                f"{counted(len(receiver.wanted), 'image')}; the same command goes on from there"
            )
        if last.Status != SUCCESS and receiver.count < len(receiver.wanted):
            images = counted(len(receiver.wanted), "image")
            raise self._failed(f"sent {receiver.count} of {images}: {self._why(last)}")

    def _why(self, status: Dataset) -> str:
        sentence = FAILURES.get(status.Status)
        if sentence is None:
            return _refusal(status)
        return sentence.format(ours=self._ourselves.ae_title, port=self._ourselves.port)

    def _entity(self) -> AE:
        ae = AE(self._ourselves.ae_title)
        seconds = self._node.timeout_seconds
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = seconds
        ae.maximum_pdu_size = 65536
        return ae

    @contextmanager
    def _associated(self, ae: AE, **options: Any) -> Iterator[Association]:
        association = self._associate(ae, **options)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _associate(self, ae: AE, *, evt_handlers: Sequence[Any] = (), **options: Any) -> Association:
        node = self._node
        options["evt_handlers"] = [*evt_handlers, (evt.EVT_CONN_OPEN, self._lose_patience)]
        try:
            association = ae.associate(
                node.host, node.port, ae_title=node.ae_title, tls_args=self._tls(), **options
            )
        except OSError as error:  # the host has no address
            where = f"{node.host}, port {node.port}"
            raise self._failed(f"cannot be reached at {where}: {error.strerror or error}") from error
        if association.is_established:
            return association
        raise PacsError(f"{node.name} {self._why_not(association)}")

    def _lose_patience(self, event: evt.Event) -> None:
        """Limit the wait for the rest of a message too: without, pynetdicom waits for ever."""
        event.assoc.dul.socket.socket.settimeout(self._node.timeout_seconds)

    def _why_not(self, association: Association) -> str:
        """Return why no association came about."""
        node = self._node
        answer = _answer(association)
        if answer is not None and answer.result in REJECTED:
            reason = REFUSALS.get(answer.diagnostic) if answer.result_source == 1 else None
            said = reason or f"{answer.reason_str}"
            return "refuses us: " + said.format(ours=self._ourselves.ae_title, theirs=node.ae_title)
        if answer is not None and not association.accepted_contexts:
            return "offers nothing of what we ask for (no presentation context was accepted)"
        where = f"{node.host}, port {node.port}"
        try:
            with suppress(TimeoutError), socket.create_connection((node.host, node.port), timeout=5):
                secure = "with" if node.tls else "without"
                return (
                    f"is reached at {where}, but does not speak DICOM {secure} TLS there, or did not answer "
                    f"within {node.timeout_seconds:g} seconds"
                )
        except OSError as error:
            return f"cannot be reached at {where}: {error.strerror or error}"
        return f"cannot be reached at {where}: no answer"

    def _tls(self) -> tuple[ssl.SSLContext, str | None] | None:
        tls = self._node.tls
        if tls is None:
            return None
        try:
            context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
            context.check_hostname = tls.checks_name
            if tls.certificate:
                context.load_cert_chain(tls.certificate, tls.key)
        except (ssl.SSLError, OSError) as error:
            raise PacsError(f"the certificates for {self._node.name} cannot be used: {error}") from error
        return context, self._node.host if tls.checks_name else None

    def _failed(self, what: str) -> PacsError:
        return PacsError(f"{self._node.name} {what}")


class _Receiver:
    """What arrives: images that were asked for are kept, others refused."""

    def __init__(self, wanted: frozenset[str], keep: Keep) -> None:
        self.wanted, self._keep = wanted, keep
        self.count = 0
        self.failure: OSError | PacsError | None = None

    def receive(self, event: evt.Event) -> int:
        """Take one C-STORE; return its status."""
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid not in self.wanted:
            return NOT_ASKED_FOR
        try:
            self._keep(uid, event.encoded_dataset())
        except (OSError, PacsError) as error:
            self.failure = error  # told by the thread that asked
            return NO_SPACE
        self.count += 1
        return SUCCESS


def _answer(association: Association) -> A_ASSOCIATE | None:
    """Return what the archive answered to the request of an association, None if it did not.

    pynetdicom takes a connection for one that never was if it is refused and closed before it looks;
    the refusal is then still in the queue of what was received.
    """
    for answer in (association.acceptor.primitive, association.dul.peek_next_pdu()):
        if isinstance(answer, A_ASSOCIATE):
            return answer
    return None


def _kind(path: Path) -> tuple[str, str]:
    """Return what a file is and how it is encoded."""
    file = dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
    return str(file.SOPClassUID), str(file.file_meta.TransferSyntaxUID)


def _refusal(status: Dataset) -> str:
    comment = str(status.get("ErrorComment", "")).strip()
    return f"status {status.Status:#06x}" + (f", {comment!r}" if comment else "")


def _texts(row: Dataset, keyword: str) -> tuple[str, ...]:
    value = row.get(keyword)
    values = value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]
    return tuple(str(one).strip() for one in values if one not in (None, ""))


def _text(row: Dataset, keyword: str) -> str:
    return next(iter(_texts(row, keyword)), "")
