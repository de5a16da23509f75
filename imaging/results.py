"""The results of a run as DICOM: written from the store, study by study, on the processes of one machine."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from imaging.dicom.files import Intake, StudyFiles
from imaging.pictures import Pictures
from imaging.pool import run_tasks
from imaging.worker import Limits, Lost
from records.errors import GeometryError
from records.store import open_store

__all__ = ["Written", "write_results"]


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of one study, or why nothing was.

    Attributes
    ----------
    details : str
        The traceback if writing failed, for the log.
    """

    study_uid: str
    paths: tuple[Path, ...]
    why_none: str
    details: str = ""


def write_results(
    intake: Intake,
    store: str | Path,
    folder: Path,
    *,
    workers: int,
    limits: Limits,
    progress: Callable[[int, int], object] | None = None,
) -> list[Written]:
    """Write report, segmentation and captures of every study of `intake` that is in the store.

    Parameters
    ----------
    intake : Intake
        What was screened.
    store : str or Path
        As `records.store.open_store` takes it; each worker opens it for itself.
    folder : Path
        Files go to a folder in it named by the Study Instance UID; those there already stay.

    Returns
    -------
    list of Written
        One a study, in the order of `intake`.
    """
    studies = intake.studies
    found: dict[int, Written] = {}
    work = partial(_write_one, store, folder)
    with closing(run_tasks(work, studies, workers=workers, limits=limits)) as ended:
        for one in ended:
            if isinstance(one, Lost):
                uid = studies[one.index].study.uid
                found[one.index] = Written(uid, (), one.sentence, one.details)
            else:
                found[one.index] = one.value
            if progress is not None:
                progress(len(found), len(studies))
    return [found[index] for index in sorted(found)]


def _write_one(store: str | Path, folder: Path, study: StudyFiles) -> Written:
    from imaging.dicom.evidence import EvidenceError
    from imaging.dicom.export import export_results

    uid = study.study.uid
    with open_store(store) as database:
        kept = next(iter(database.studies([uid])), None)
        packed = database.pictures(uid)
    if kept is None:
        return Written(uid, (), "the study is not in the store")
    pictures = Pictures.from_bytes(packed) if packed is not None else None
    try:
        exported = export_results(kept.screening, study, pictures, folder)
    except (EvidenceError, GeometryError) as error:
        return Written(uid, (), str(error))
    return Written(uid, exported.paths, exported.why_none)
