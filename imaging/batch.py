"""Many studies: what is left to do, done in processes on one machine or many, kept as it ends."""

import hashlib
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from typing import Protocol as Interface

from imaging.dicom.files import Frame, StudyFiles
from imaging.dicom.plain import may_be_ct
from imaging.pictures import Pictures
from imaging.worker import Finished, Lost, OutOfReachError
from records.errors import Reason, StoreError
from records.model import Provenance, Screening, Verdict, VerdictLabel
from records.stored import StoredStudy

if TYPE_CHECKING:  # a worker knows neither the store nor how thresholds are read
    from imaging.protocol import Protocol
    from records.store import Store

__all__ = ["Engine", "Outcome", "Screened", "fingerprint", "screen_here", "screen_studies", "unfinished"]


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


class Engine(Interface):
    """What runs the work: `imaging.pool.run_tasks` or `imaging.cluster.run_on_cluster`, with its settings."""

    def __call__(
        self, work: Callable[[StudyFiles], StoredStudy], tasks: Sequence[StudyFiles], /
    ) -> Generator[Finished[StoredStudy] | Lost, None, None]:
        """Yield what became of each task."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """A study that is in the store now, and what went wrong in the program, for the log."""

    study: StudyFiles
    stored: StoredStudy
    details: str


def unfinished(studies: Sequence[StudyFiles], store: "Store", provenance: Provenance) -> list[StudyFiles]:
    """Return the studies whose images this pipeline and protocol have not judged yet."""
    finished = store.finished([study.study.uid for study in studies], provenance)
    return [
        study
        for study in studies
        if study.study.uid not in finished or finished[study.study.uid] != fingerprint(study)
    ]


def screen_studies(
    screen: ScreenOne,
    studies: Sequence[StudyFiles],
    store: "Store",
    provenance: Provenance,
    engine: Engine,
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
    engine : Engine
        What runs it, on this machine or on many.

    Yields
    ------
    Outcome
        One a study, in the order they end. Results do not depend on that order, nor on what ran them.

    Raises
    ------
    StoreError
        If the store fails, or a machine screens by another pipeline than this one.
    """
    work = partial(_screen_one, screen)
    with closing(engine(work, studies)) as ended:
        for one in ended:
            study = studies[one.index]
            if isinstance(one, Finished):
                stored, details = one.value, ""
                _check_pipeline(stored.provenance, provenance)
            else:
                screening = _not_evaluable(study, one, provenance)
                stored, details = StoredStudy.of(screening, fingerprint(study)), one.details
            store.save(stored)
            yield Outcome(study, stored, details)


def fingerprint(study: StudyFiles) -> str:
    """Return a digest of the CT images of a study: the same wherever they lie and in whatever order.

    Reports, pictures and segmentations that come to a study, ours among them, leave it as it is.
    A study that grew, shrank or was repaired since it was screened, in its files or in what its headers
    say of place, values or kind, or of whose it is and of what day, has another one.
    """
    of = study.study
    digest = hashlib.sha256(repr((of.patient_id, of.patient_name, of.study_date, of.description)).encode())
    for series in sorted(filter(may_be_ct, study.series), key=lambda series: series.uid):
        images = sorted(map(_identity, series.frames))
        kinds = sorted({repr((one.rescale, one.reconstruction, one.format)) for one in series.frames})
        said = (series.description_text, series.protocol, series.body_part, series.modality)
        digest.update(
            repr((series.uid, said, images, kinds, len(series.damaged), series.copies)).encode("utf-8")
        )
    return digest.hexdigest()


def _identity(frame: Frame) -> tuple[object, ...]:
    """Return which image a frame is and where it lies."""
    place = (frame.position_mm or (), frame.orientation or (), frame.pixel_spacing_mm or ())
    which = (frame.sop_instance_uid, frame.number, frame.pixels_length or 0)
    return (*which, *place, frame.frame_of_reference_uid)


def screen_here(protocol: "Protocol", study: StudyFiles) -> Screened:
    """Screen one study in a worker; the pipeline is loaded there and not where progress is shown."""
    from imaging.filters import load_compiler
    from imaging.screen import screen_study

    threading.Thread(target=load_compiler).start()  # beside the reading of files
    return screen_study(study, protocol)


def _screen_one(screen: ScreenOne, study: StudyFiles) -> StoredStudy:
    """Screen and pack one study, in a worker: only what is kept travels."""
    screened = screen(study)
    if screened.screening.verdict.reason is Reason.UNREADABLE_PIXELS:
        _check_in_reach(study)
    pictures = screened.pictures.to_bytes() if screened.pictures is not None else None
    return StoredStudy.of(screened.screening, fingerprint(study), pictures)


def _check_in_reach(study: StudyFiles) -> None:
    """Tell files that are damaged, which they stay, from files that cannot be opened now or on this machine.

    Raises
    ------
    OutOfReachError
        If one cannot be opened.
    """
    for path in {frame.source.path for series in study.series for frame in series.frames}:
        try:
            open(path, "rb").close()
        except OSError as error:
            raise OutOfReachError(
                f"Its files cannot be opened where it was to be screened ({error.strerror})."
            ) from error


def _check_pipeline(found: Provenance, expected: Provenance) -> None:
    if found != expected:
        theirs, ours = (
            f"mipc {made.program_version}, model {made.model_version}" for made in (found, expected)
        )
        raise StoreError(f"a worker screens by {theirs}, and this is {ours}: install the same everywhere")


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
