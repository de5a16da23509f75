"""A screened study with a secret in every place that could hold one."""

import base64
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from imaging.dicom import derive_uid
from records.model import Screening, Study, Verdict, VerdictLabel
from records.store import StoredStudy, open_store
from tests.imaging.dicom.making import chest, edit, export, setting
from tests.records.examples import miliary_screening
from viewer.desk import Desk, Item
from viewer.reading import Form

CANARY = "CANARY"  # begins every secret that is text
DATES = ("2013-01-15", "2013-04-20")


def patient_id(number: int) -> str:
    return f"{CANARY}ID{number:02d}"


def screening(study: Study, label: VerdictLabel) -> Screening:
    made = miliary_screening(study.uid)
    said = Verdict(
        label, 0.918273, made.verdict.criteria, made.verdict.exclusions, None, f"{CANARY}VERDICT {label}"
    )
    return dataclasses.replace(made, study=study, verdict=said, choice=f"{CANARY}CHOICE")


def make_study(
    folder: Path, flagged: int, others: int, follow_ups: int = 0, *, planes: int = 24
) -> tuple[Path, Path]:
    """Write scans and a store; the first `follow_ups` flagged patients have a second scan."""
    images, store = folder / f"{CANARY}PATH", folder / "mipc.db"
    with open_store(store) as opened:
        for number in range(flagged + others):
            label = VerdictLabel.MIPC if number < flagged else VerdictLabel.NOT_MIPC
            for visit in range(2 if number < follow_ups else 1):
                study = Study(
                    derive_uid("test", "reading", str(number), str(visit)),
                    patient_id(number),
                    f"{CANARY}NAME^Jane",
                    DATES[visit],
                    f"{CANARY}EGFR L858R CT CHEST",
                )
                place = images / f"{CANARY}FOLDER{number}" / str(visit)
                paths = export(place, chest(planes), study=study, description=f"thin {CANARY}SERIES")
                edit(paths, _plant)
                opened.save(StoredStudy.of(screening(study, label), "fingerprint"))
    return images, store


def _plant(image) -> None:
    setting(
        AccessionNumber=f"{CANARY}ACC",
        InstitutionName=f"{CANARY}INST",
        ReferringPhysicianName=f"{CANARY}DOC^Jim",
        OperatorsName=f"{CANARY}OPERATOR^Joe",
        PatientBirthDate="19510203",
        PatientComments=f"{CANARY}COMMENT gefitinib",
        ImageComments=f"{CANARY}NOTE",
        StationName=f"{CANARY}STATION",
        ProtocolName=f"{CANARY}PROTOCOL",
        DeviceSerialNumber=f"{CANARY}SERIAL",
        ContrastBolusAgent=f"{CANARY}AGENT",
        StudyID=f"{CANARY}STUDY",
    )(image)
    block = image.private_block(0x0099, f"{CANARY}PRIVATE", create=True)
    block.add_new(0x01, "LO", f"{CANARY}VALUE")
    # Inside sequences, in the file's own header, in its first 128 bytes, behind its end, in an overlay.
    request = Dataset()
    request.RequestedProcedureDescription = f"{CANARY}REQUEST osimertinib"
    request.private_block(0x0099, f"{CANARY}DEEP", create=True).add_new(0x01, "UN", b"CANARYDEEPVALUE")
    image.RequestAttributesSequence = [request]
    image.ContentSequence = [request]
    image.OtherPatientIDs = f"{CANARY}OTHERID"
    image.PatientAddress = f"{CANARY}STREET"
    image.AdditionalPatientHistory = f"{CANARY}HISTORY exon 19"
    image.FrameComments = f"{CANARY}FRAME"
    image.add_new(0x60004000, "LT", f"{CANARY}OVERLAY")
    image.add_new(0xFFFCFFFC, "OB", b"CANARYPADDING ")
    image.file_meta.SourceApplicationEntityTitle = f"{CANARY}AE"
    image.file_meta.PrivateInformationCreatorUID = "1.2.3.999"
    image.file_meta.PrivateInformation = b"CANARYMETA"
    image.preamble = b"CANARYPREAMBLE".ljust(128, b"\0")


def upstream_words(images: Path) -> list[str]:
    """Return every text that must not be found: planted, dates in both spellings, UIDs, the verdict."""
    from imaging.dicom import find_studies

    texts = [CANARY, "L858R", "exon 19", "gefitinib", "osimertinib", "19510203", "0.918273", "1.2.3.999"]
    for date in DATES:
        texts += [date, date.replace("-", "")]
    for study in find_studies([images]).studies:
        texts += [study.study.uid, *(series.uid for series in study.series)]
        texts += [study.series[0].frames[0].sop_instance_uid, study.series[0].frame_of_reference_uid]
    return texts


def secrets(images: Path) -> list[bytes]:
    """Return them as bytes, and the planted ones in other spellings."""
    spelled = [CANARY.encode("utf-16-le"), CANARY.lower().encode(), base64.b64encode(b"CANARY")[:8]]
    return [text.encode() for text in upstream_words(images)] + spelled


def leaks(folder: Path, texts: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Return where in a folder, in names or contents, any of the texts is found."""
    found = []
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder)).encode()
        content = path.read_bytes() if path.is_file() else b""
        found += [(str(path), text) for text in texts if text in name or text in content]
    return found


def sign_all(desk: Desk, form_of) -> None:
    """Sign every item with the form that `form_of(item)` gives."""
    item: Item | None
    while (item := desk.next_open()) is not None:
        form: Form = form_of(item)
        desk.sign(item, form)
