"""Fetching studies from an archive, so that what is interrupted goes on and what is missing is named.

What has arrived is its own record: a file an image, whole or not there. A second run
asks the archive what it has, looks what is here, and fetches the rest.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imaging.dicom.headers import HeaderError, read_header
from imaging.dicom.nodes import PacsError
from imaging.dicom.query import Archive, Query, SeriesMatch, StudyMatch
from imaging.dicom.sources import Source
from imaging.dicom.uids import is_uid
from records.cells import TableWriter, guarded
from records.files import replace_file

__all__ = ["Missing", "Pulled", "find", "pull", "write_missing"]

TRIES = 2
GONE = "not asked for any more: {0}"

Progress = Callable[[str, int, int], object]  # what is done, how far, of how many


@dataclass(frozen=True, slots=True)
class Missing:
    """What was asked for and not delivered."""

    patient_id: str
    study_uid: str
    series_uid: str
    asked: int  # images
    delivered: int
    sentence: str


@dataclass
class Pulled:
    """What a pull came to."""

    studies: int = 0
    images: int = 0  # that are here now
    fetched: int = 0  # of them, by this run
    missing: list[Missing] = field(default_factory=list)
    stopped: str = ""  # why the run ended before its end


def find(archive: Archive, queries: Sequence[Query], *, progress: Progress | None = None) -> list[StudyMatch]:
    """Return the studies that fit any of `queries`, each once, in a fixed order."""
    found: dict[str, StudyMatch] = {}
    for number, query in enumerate(queries, start=1):
        for match in archive.find_studies(query):
            found[match.study_uid] = match
        if progress is not None:
            progress("Asking", number, len(queries))
    return sorted(found.values(), key=lambda match: (match.patient_id, match.study_date, match.study_uid))


def pull(
    archive: Archive, queries: Sequence[Query], folder: Path, *, progress: Progress | None = None
) -> Pulled:
    """Fetch all series of the asked modality of all studies that fit.

    Parameters
    ----------
    archive : Archive
        Whom to ask.
    queries : sequence of Query
        What for; all of one modality.
    folder : Path
        Images go to `study/series/image.dcm` in it; those that are there are not fetched again.
    progress : callable, optional
        Called with what is being done, how far it is, and of how many.

    Returns
    -------
    Pulled
        A series that fails is tried once more; if the archive is gone, the rest is listed as missing.

    Raises
    ------
    PacsError
        If the archive cannot even be asked what it has.
    """
    studies = find(archive, queries, progress=progress)
    done = Pulled(studies=len(studies))
    known = {match.patient_id for match in studies}
    for query in queries:
        if query.patient_id and query.patient_id not in known:
            done.missing.append(Missing(query.patient_id, "", "", 0, 0, "the archive has no such study"))
    for number, study in enumerate(studies, start=1):
        if done.stopped:
            done.missing.append(_never_asked(study, done.stopped))
            continue
        _pull_study(archive, study, queries[0].modality, folder, done)
        if progress is not None:
            progress("Fetching", number, len(studies))
    return done


def write_missing(missing: Sequence[Missing], path: Path) -> None:
    """Write what was asked for and not delivered as CSV, a row a series; only the heading if nothing is."""
    text = io.StringIO()
    rows = TableWriter(text, lineterminator="\n")
    rows.writerow(["patient_id", "study_uid", "series_uid", "images_asked", "images_delivered", "reason"])
    for one in missing:
        cells = (one.patient_id, one.study_uid, one.series_uid, one.asked, one.delivered, one.sentence)
        rows.writerow(map(guarded, cells))
    replace_file(path, text.getvalue().encode("utf-8"))


def _pull_study(archive: Archive, study: StudyMatch, modality: str, folder: Path, done: Pulled) -> None:
    try:
        series = [
            one for one in archive.find_series(study.study_uid) if one.modality == modality or not modality
        ]
    except PacsError as error:
        done.missing.append(_never_asked(study, str(error)))
        done.stopped = _gone(archive)
        return
    if not series:
        sentence = f"the study has no {modality} series"
        done.missing.append(Missing(study.patient_id, study.study_uid, "", 0, 0, sentence))
    for one in series:
        if done.stopped:
            done.missing.append(
                Missing(study.patient_id, one.study_uid, one.series_uid, 0, 0, GONE.format(done.stopped))
            )
        else:
            _pull_series(archive, study, one, folder, done)


def _pull_series(
    archive: Archive, study: StudyMatch, series: SeriesMatch, folder: Path, done: Pulled
) -> None:
    """Fetch what is missing of one series; what stays missing is noted."""
    wanted: frozenset[str] = frozenset()
    sentence = ""
    place = None
    for _ in range(TRIES):
        try:
            wanted = archive.find_instances(series.study_uid, series.series_uid)
            place = _Place(folder, series, wanted)
            before = len(place.here())
            try:
                if place.absent():
                    archive.retrieve(series.study_uid, series.series_uid, place.absent(), place.keep)
            finally:
                done.fetched += len(place.here()) - before
        except PacsError as error:
            sentence = str(error)
        if place is not None and not place.absent():
            break
    here = len(place.here()) if place is not None else 0
    done.images += here
    if place is None or place.absent():
        reason = (
            sentence or (place.fault if place else "") or "the archive did not send it, and did not say why"
        )
        done.missing.append(
            Missing(study.patient_id, series.study_uid, series.series_uid, len(wanted), here, reason)
        )
        done.stopped = _gone(archive)


def _gone(archive: Archive) -> str:
    """Return why the archive cannot be asked any more, "" if it can."""
    try:
        archive.echo()
    except PacsError as error:
        return str(error)
    return ""


def _never_asked(study: StudyMatch, sentence: str) -> Missing:
    return Missing(study.patient_id, study.study_uid, "", 0, 0, GONE.format(sentence))


class _Place:
    """The folder of a series, and what of it is there."""

    def __init__(self, folder: Path, series: SeriesMatch, wanted: frozenset[str]) -> None:
        bad = [uid for uid in (series.study_uid, series.series_uid, *wanted) if not is_uid(uid)]
        if bad:
            raise PacsError(f"the archive names something {bad[0][:80]!r}, which is no identifier of DICOM")
        self._series, self._wanted = series, wanted
        self._folder = folder / series.study_uid / series.series_uid
        self.fault = ""

    def here(self) -> frozenset[str]:
        """Return what has arrived."""
        return frozenset(path.stem for path in self._files()) & self._wanted

    def absent(self) -> frozenset[str]:
        """Return what has not."""
        return self._wanted - self.here()

    def keep(self, uid: str, file: bytes) -> None:
        """Write an image, unless it is cut off or not what was asked for."""
        self._folder.mkdir(parents=True, exist_ok=True)
        arriving = self._folder / f"{uid}.arriving"
        arriving.write_bytes(file)
        try:
            header = read_header(Source(str(arriving)))
            fault = header.damage
            if (header.study.uid, header.series.uid, header.sop_instance_uid) != (
                self._series.study_uid,
                self._series.series_uid,
                uid,
            ):
                fault = "the archive sent another image than it was asked for"
        except HeaderError as error:
            fault = error.sentence
        if fault:
            self.fault = fault
            arriving.unlink()
        else:
            arriving.replace(self._folder / f"{uid}.dcm")

    def _files(self) -> Iterator[Path]:
        return self._folder.glob("*.dcm")
