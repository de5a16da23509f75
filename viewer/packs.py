"""Packs out: from screened studies to one folder a reader, blinded by construction.

What is handed out is written anew from records that have no place for a secret
(`viewer.pack`) and by the de-identification of `imaging.dicom`; nothing is copied
over from the store. Everything that can tell who is who stays in the
coordinator's folder beside the packs.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from records.errors import ScreeningError
from records.ledger import Ledger
from records.model import Screening, Study, VerdictLabel
from records.store import open_kept_store
from viewer.desk import LEDGER_FILE
from viewer.pack import (
    PACK_FILE,
    BlindedCase,
    Pack,
    PackError,
    ReadingProtocol,
    TimePoint,
    digest_of_description,
    digest_of_images,
    images_of,
    save_pack,
)
from viewer.planning import Candidate, PlannedCase, draw_controls, plan_cases
from viewer.signing import OPEN
from viewer.studykey import COORDINATOR, KeyCase, KeyPoint, PackKey, StudyKey, save_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imaging.dicom import SeriesFiles

__all__ = [
    "Found",
    "LeftOut",
    "Prepared",
    "Scan",
    "are_labels",
    "find_scans",
    "prepare",
    "whole_or_nothing",
    "write_pack",
]

FLAGGED = (VerdictLabel.MIPC, VerdictLabel.INDETERMINATE)
FLAGGED_SCAN_MISSING = "is not read: another scan of this patient was flagged and is not handed out"
MOST_NAMED = 5  # of the studies left out, where no pack can be made at all
Progress = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Scan:
    """A study that can be read: who, when, its chosen series, and what the screening marked."""

    study_uid: str
    patient_id: str
    study_date: str
    is_flagged: bool
    series: "SeriesFiles"
    marks_mm: tuple[tuple[float, float, float, float], ...]  # x, y, z (LPS) and diameter


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A study that is not handed out: a code for programs, and a sentence."""

    study_uid: str
    code: str
    sentence: str

    def __str__(self) -> str:
        return f"study {self.study_uid} {self.sentence} ({self.code})"


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to hand out.

    Attributes
    ----------
    scans : tuple of Scan
    flagged : frozenset of str
        Patients of whom the store holds a flagged study, whether or not its images can be handed out.
    left_out : tuple of LeftOut
    """

    scans: tuple[Scan, ...]
    flagged: frozenset[str]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was handed out, and which studies were left out and why."""

    key: StudyKey
    left_out: tuple[LeftOut, ...]


def find_scans(inputs: Sequence[Path], store: str | Path) -> Found:
    """Return the screened studies whose images are in `inputs`, who was flagged, and why others are left out.

    Parameters
    ----------
    inputs : sequence of Path
        What `imaging.dicom.find_studies` takes.
    store : str or Path
        The study database that `mipc screen` wrote.
    """
    from imaging.dicom import choose_series, find_studies

    with open_kept_store(store) as opened:
        files = {study.study.uid: study for study in find_studies(inputs).studies}
        screenings = list(opened.screenings(sorted(files)))
        flagged = frozenset(
            _patient(one.study) for one in opened.all_screenings() if one.verdict.label in FLAGGED
        )
    scans: list[Scan] = []
    screened = {screening.study.uid for screening in screenings}
    left_out = [LeftOut(uid, "not_screened", "was not screened") for uid in files if uid not in screened]
    for screening in screenings:
        study = files[screening.study.uid]
        uid, verdict = study.study.uid, screening.verdict
        if verdict.label is VerdictLabel.NOT_EVALUABLE:
            code = verdict.reason or VerdictLabel.NOT_EVALUABLE
            left_out.append(LeftOut(uid, code, f"is not evaluable: {verdict.sentence}"))
            continue
        try:
            series = choose_series(study).series
        except ScreeningError as error:
            left_out.append(LeftOut(uid, error.reason, f"cannot be read: {error.sentence}"))
            continue
        if not study.study.is_dated:
            sentence = "has no valid date, so its place in time is not known"
            left_out.append(LeftOut(uid, "no_date", sentence))
            continue
        scans.append(_scan(screening, _patient(study.study), study.study.study_date, series))
    return Found(tuple(scans), flagged, tuple(left_out))


def _patient(study: Study) -> str:
    """Return who a study is of; those that name nobody are not one patient's."""
    return study.patient_id or study.uid


def _scan(screening: Screening, patient_id: str, study_date: str, series: "SeriesFiles") -> Scan:
    marks = ((*one.centre_mm, one.diameter_mm.value) for one in screening.nodules if one.reported)
    flagged = screening.verdict.label in FLAGGED
    return Scan(screening.study.uid, patient_id, study_date, flagged, series, tuple(marks))


def prepare(
    inputs: Sequence[Path],
    store: str | Path,
    out: Path,
    *,
    readers: Sequence[str],
    controls: int = 0,
    repeats: int = 0,
    seed: int = 0,
    protocol: ReadingProtocol | None = None,
    progress: Progress = lambda _: None,
) -> Prepared:
    """Write a pack a reader, and the coordinator's key.

    Parameters
    ----------
    inputs : sequence of Path
        The images.
    store : str or Path
        The study database.
    out : Path
        A new or empty folder.
    readers : sequence of str
        Short labels, such as A and B; they become folder names.
    controls, repeats : int
        Patients that were not flagged; patients that come again.
    progress : callable
        Called with a sentence for each case written.

    Raises
    ------
    PackError
        With a sentence on what to change.
    """
    if not are_labels(readers):
        raise PackError(
            "each reader needs a label of his own, of letters and digits only, such as --readers A,B"
        )
    if out.exists() and any(out.iterdir()):
        raise PackError(f"{out} is not empty; packs are never written over")
    out.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(out):
        found = find_scans(inputs, store)
        by_patient, patients, withheld = _draw(found, controls, seed)
        packs = []
        for reader in readers:
            cases = plan_cases(patients, reader, repeats, seed)
            packs.append(
                write_pack(out, reader, cases, by_patient, protocol or ReadingProtocol(), progress=progress)
            )
        key = StudyKey(seed, f"mipc {version('mipc')}", tuple(packs))
        save_key(key, out)
        Ledger(out / COORDINATOR / "ledger.jsonl").append(
            who="coordinator",
            action="prepare",
            after={"seed": seed, "packs": {pack.reader: pack.first_hash for pack in packs}},
        )
    return Prepared(key, (*found.left_out, *withheld))


def _draw(
    found: Found, controls: int, seed: int
) -> tuple[dict[str, tuple[Scan, ...]], tuple[Candidate, ...], list[LeftOut]]:
    """Return the scans by patient, who is read, and the scans that are not handed out.

    Only the images of those who are drawn are looked at; where one may not leave, it is drawn again without.
    A flagged patient whose flagged scans are not to be had is not read: there is nothing to
    confirm, and among the controls he would be one of whom the screening did say so.
    """
    withheld: dict[str, LeftOut] = {}
    seen: set[str] = set()
    while True:
        by_patient = _by_patient([scan for scan in found.scans if scan.study_uid not in withheld])
        shown = {name for name, own in by_patient.items() if any(one.is_flagged for one in own)}
        unseen = [
            LeftOut(scan.study_uid, "flagged_scan_missing", FLAGGED_SCAN_MISSING)
            for name in sorted(found.flagged - shown)
            for scan in by_patient.pop(name, ())
        ]
        candidates = [
            Candidate(name, tuple(one.study_uid for one in own), name in shown)
            for name, own in by_patient.items()
        ]
        try:
            patients = draw_controls(candidates, controls, seed)
        except PackError as error:
            not_read = [*found.left_out, *withheld.values(), *unseen]
            raise PackError(_with_left_out(str(error), not_read)) from error
        drawn = [scan for one in patients for scan in by_patient[one.patient_id]]
        kept_back = [_withheld(scan) for scan in drawn if scan.study_uid not in seen]
        seen |= {scan.study_uid for scan in drawn}
        if not any(kept_back):
            return by_patient, patients, [*withheld.values(), *unseen]
        withheld |= {one.study_uid: one for one in kept_back if one is not None}


def _withheld(scan: Scan) -> LeftOut | None:
    """Return why the images of a scan may not be handed out, None if they may."""
    from imaging.dicom.deidentify import WORDS, why_withheld

    why = why_withheld(scan.series, scan.patient_id)
    return (
        None if why is None else LeftOut(scan.study_uid, why, f"cannot be handed out: an image {WORDS[why]}")
    )


def _with_left_out(sentence: str, left_out: Sequence[LeftOut]) -> str:
    more = len(left_out) - MOST_NAMED
    named = [str(one) for one in left_out[:MOST_NAMED]] + [f"{more} more"] * (more > 0)
    return f"{sentence}; left out: {'; '.join(named)}" if named else sentence


@contextmanager
def whole_or_nothing(folder: Path) -> "Iterator[None]":
    """Take a folder away again if what is to be written into it fails half way."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def are_labels(readers: Sequence[str]) -> bool:
    """Whether these can be the labels of so many readers.

    They name folders, and many disks take a and A for one.

    >>> are_labels(["A", "B"]), are_labels(["A", "a"]), are_labels(["A", "Coordinator"])
    (True, False, False)
    """
    names = {label.casefold() for label in (*readers, COORDINATOR)}
    return all(label.isalnum() for label in readers) and 1 < len(names) == len(readers) + 1


def write_pack(
    out: Path,
    reader: str,
    cases: Sequence[PlannedCase],
    scans: Mapping[str, Sequence[Scan]],
    protocol: ReadingProtocol,
    *,
    progress: Progress = lambda _: None,
    finish: Callable[[BlindedCase, PlannedCase], BlindedCase] = lambda case, _: case,
) -> PackKey:
    """Write one reader's pack below `out`; return its key.

    Parameters
    ----------
    scans : mapping of patient to his scans in time order
    finish : callable
        What an adjudicator's pack adds to a case.
    """
    folder = out / reader
    folder.mkdir(parents=True)
    pack_id = str(uuid4())
    blinded, keys, digests = [], [], {}
    for number, planned in enumerate(cases, start=1):
        own = scans[planned.patient.patient_id]
        points = _write_case(out, reader, planned.code, own)
        if protocol.shows_marks:
            _keep_marks(out, reader, planned.code, own)
        blinded.append(finish(BlindedCase(planned.code, points), planned))
        keys.append(_key_case(planned, own, points))
        for point in points:
            digests[f"{planned.code}/{point.number}"] = digest_of_images(folder, planned.code, point.number)
        progress(f"pack {reader}: case {number} of {len(cases)}")
    save_pack(Pack(pack_id, reader, protocol, tuple(blinded)), folder)
    digests[PACK_FILE] = digest_of_description(folder)
    opening = Ledger(folder / LEDGER_FILE).append(
        who="coordinator", action=OPEN, subject=pack_id, after=digests, why="handed out to be read"
    )
    return PackKey(pack_id, reader, opening.hash, tuple(keys))


def _by_patient(scans: Sequence[Scan]) -> dict[str, tuple[Scan, ...]]:
    ordered = sorted(scans, key=lambda scan: (scan.patient_id, scan.study_date, scan.study_uid))
    return {name: tuple(own) for name, own in groupby(ordered, key=lambda scan: scan.patient_id)}


def _key_case(planned: PlannedCase, scans: Sequence[Scan], points: Sequence[TimePoint]) -> KeyCase:
    named = tuple(
        KeyPoint(number, scan.study_uid, scan.study_date, str(point.averaged_mm))
        for number, (scan, point) in enumerate(zip(scans, points, strict=True), start=1)
    )
    return KeyCase(planned.code, planned.patient.patient_id, planned.repeat_of, named)


def _write_case(out: Path, reader: str, code: str, scans: Sequence[Scan]) -> tuple[TimePoint, ...]:
    """Write the images of one case; the key of its pseudonym and shift is the case's own."""
    from imaging.dicom.deidentify import deidentify

    key_path = out / COORDINATOR / "pseudonyms" / f"{code}.json"
    first_day = date.fromisoformat(scans[0].study_date)
    points = []
    for number, scan in enumerate(scans, start=1):
        place = images_of(out / reader, code, number)
        with _loose_files(scan.series) as files, tempfile.TemporaryDirectory(dir=out) as scratch:
            done = deidentify(files, Path(scratch), key_path=key_path)
            if len(done.written) != len(files):
                fault = done.refused[0] if done.refused else "images are missing"
                raise PackError(
                    f"study {scan.study_uid} cannot be handed out: {fault}; "
                    "leave its images out, and prepare again"
                )
            place.mkdir(parents=True)
            for image, path in enumerate(sorted(done.written), start=1):
                shutil.move(path, place / f"{image:04d}.dcm")
        days = (date.fromisoformat(scan.study_date) - first_day).days
        points.append(_time_point(number, days, place, scan.series))
    return tuple(points)


def _time_point(number: int, days: int, place: Path, series: "SeriesFiles") -> TimePoint:
    from pydicom import dcmread

    first = dcmread(next(place.iterdir()), stop_before_pixels=True)
    shifted = str(first.StudyDate)
    described = series.description
    thickness_mm = described.slice_thickness_mm
    return TimePoint(
        number=number,
        day=days,
        date=f"{shifted[:4]}-{shifted[4:6]}-{shifted[6:8]}",
        slices=described.slices,
        slice_spacing_mm=_millimetres(described.slice_spacing_mm or thickness_mm or 0.0),
        slice_thickness_mm=None if thickness_mm is None else _millimetres(thickness_mm),
    )


def _millimetres(value: float) -> Decimal:
    return Decimal(str(round(value, 3)))


def _keep_marks(out: Path, reader: str, code: str, scans: Sequence[Scan]) -> None:
    """Keep the machine's marks with the coordinator, who hands them out after the reads are in.

    A scan without marks has a file too: so one that is not there was not handed out.
    """
    folder = out / COORDINATOR / "marks" / reader
    folder.mkdir(parents=True, exist_ok=True)
    for number, scan in enumerate(scans, start=1):
        (folder / f"{code}-{number}.json").write_text(json.dumps(scan.marks_mm), encoding="ascii")


@contextmanager
def _loose_files(series: "SeriesFiles") -> "Iterator[list[Path]]":
    """Yield the files of a series; those in an archive are laid out for as long as they are needed."""
    from imaging.dicom.sources import open_stored

    sources = sorted({frame.source for frame in series.frames})
    with tempfile.TemporaryDirectory() as scratch:
        paths = []
        for number, source in enumerate(sources):
            path = Path(source.path)
            if source.member:
                path = Path(scratch) / f"{number}.dcm"
                with open_stored(source) as packed, path.open("wb") as file:
                    shutil.copyfileobj(packed, file)
            paths.append(path)
        yield paths
