"""Many studies: what is left to do, done on the processes of one machine, kept as it ends."""

import hashlib
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Protocol as Interface

from imaging.dicom.files import StudyFiles
from imaging.pictures import Pictures
from imaging.pool import Finished, Limits, Lost, run_tasks
from records.model import Provenance, Screening, Verdict, VerdictLabel
from records.store import Store, StoredStudy

__all__ = ["Outcome", "Screened", "fingerprint", "screen_studies", "unfinished"]


class Screened(Interface):
    """What screening one study gives: a result, and pictures where there was something to draw."""

    @property
    def screening(self) -> Screening:
        """The result."""
        ...

    @property
    def pictures(self) -> Pictures | None:
        """The pictures."""
        ...


ScreenOne = Callable[[StudyFiles], Screened]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A study that is in the store now, and what went wrong in the program, for the log."""

    study: StudyFiles
    stored: StoredStudy
    details: str


def unfinished(studies: Sequence[StudyFiles], store: Store, provenance: Provenance) -> list[StudyFiles]:
    """Return the studies whose images this pipeline and protocol have not judged yet."""
    return [
        study for study in studies if not store.is_finished(study.study.uid, fingerprint(study), provenance)
    ]


def screen_studies(
    screen: ScreenOne,
    studies: Sequence[StudyFiles],
    store: Store,
    provenance: Provenance,
    *,
    workers: int,
    limits: Limits | None = None,
) -> Generator[Outcome, None, None]:
    """Screen studies in processes of their own and yield each once it is in the store.

    Parameters
    ----------
    screen : callable
        What screens one study; a fresh process has to be able to import it. It never raises for
        a failure it foresees.
    studies : sequence of StudyFiles
        What to screen; a worker reads its own files.
    store : Store
        Where each result is written as it ends, so that a killed run loses nothing finished.
    provenance : Provenance
        What a study that was lost is said to be lost by.
    workers, limits
        See `imaging.pool.run_tasks`.

    Yields
    ------
    Outcome
        One a study, in the order they end. Results do not depend on that order, nor on `workers`.
    """
    work = partial(_screen_one, screen)
    with closing(run_tasks(work, studies, workers=workers, limits=limits)) as ended:
        for one in ended:
            study = studies[one.index]
            if isinstance(one, Finished):
                stored, details = one.value, ""
            else:
                screening = _not_evaluable(study, one, provenance)
                stored, details = StoredStudy.of(screening, fingerprint(study)), one.details
            store.save(stored)
            yield Outcome(study, stored, details)


def fingerprint(study: StudyFiles) -> str:
    """Return a digest of the images of a study: the same wherever they lie and in whatever order.

    A study that grew, shrank or was repaired since it was screened has another one.
    """
    digest = hashlib.sha256()
    for series in sorted(study.series, key=lambda series: series.uid):
        images = sorted(
            f"{frame.sop_instance_uid} {frame.number} {frame.pixels_length}" for frame in series.frames
        )
        digest.update(repr((series.uid, images, len(series.damaged), series.copies)).encode())
    return digest.hexdigest()


def _screen_one(screen: ScreenOne, study: StudyFiles) -> StoredStudy:
    """Screen and pack one study, in a worker: only what is kept travels."""
    screened = screen(study)
    pictures = screened.pictures.to_bytes() if screened.pictures is not None else None
    return StoredStudy.of(screened.screening, fingerprint(study), pictures)


def _not_evaluable(study: StudyFiles, lost: Lost, provenance: Provenance) -> Screening:
    sentence = f"{lost.sentence} It was tried twice, the second time alone."
    return Screening(
        study=study.study,
        series=None,
        choice="",
        lungs=None,
        nodules=(),
        pattern=None,
        verdict=Verdict(VerdictLabel.NOT_EVALUABLE, None, (), (), lost.reason, sentence),
        provenance=provenance,
        seconds=lost.seconds,
    )
