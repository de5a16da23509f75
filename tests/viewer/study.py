"""A screened study with a secret in every place that could hold one."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

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


def make_study(folder: Path, flagged: int, others: int, follow_ups: int = 0) -> tuple[Path, Path]:
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
                paths = export(place, chest(), study=study, description=f"thin {CANARY}SERIES")
                edit(paths, _plant)
                opened.save(StoredStudy.of(screening(study, label), "fingerprint"))
    return images, store


def _plant(image) -> None:
    setting(
        AccessionNumber=f"{CANARY}ACC",
        InstitutionName=f"{CANARY}INST",
        ReferringPhysicianName=f"{CANARY}DOC",
        OperatorsName=f"{CANARY}OPERATOR",
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


def secrets(images: Path) -> list[bytes]:
    """Return every text that must not be found: planted, dates in both spellings, UIDs, the verdict."""
    from imaging.dicom import find_studies

    texts = [CANARY, "L858R", "gefitinib", "19510203", "0.918273", "not_evaluable_screening"]
    for date in DATES:
        texts += [date, date.replace("-", "")]
    for study in find_studies([images]).studies:
        texts += [study.study.uid, *(series.uid for series in study.series)]
        texts += [study.series[0].frames[0].sop_instance_uid, study.series[0].frame_of_reference_uid]
    return [text.encode() for text in texts] + [CANARY.encode("utf-16-le"), CANARY.lower().encode()]


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
