"""Patients with several studies: which scans are compared, and what comparing two of them gives.

The first usable study of a patient is the baseline, each later one a follow-up. Screening has found the
nodules already and the store holds them; the images are read again to lay the lungs over each other.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from imaging.dicom.files import Intake, StudyFiles
from imaging.follow_kept import Compared, fingerprint, keep, kept, pair_name
from imaging.pool import run_tasks
from imaging.worker import Limits, Lost
from records.errors import ScreeningError
from records.model import Screening, Study, VerdictLabel
from records.store import Store, open_store

if TYPE_CHECKING:
    from imaging.tracking import Observed

__all__ = ["Followed", "PairOfStudies", "find_pairs", "follow_pairs"]

FLAGGED = (VerdictLabel.MIPC, VerdictLabel.INDETERMINATE)


@dataclass(frozen=True, slots=True)
class PairOfStudies:
    """Two studies of a patient, the earlier one first."""

    baseline: StudyFiles
    follow_up: StudyFiles

    @property
    def name(self) -> str:
        """What its files are called."""
        return pair_name(self.baseline.study.uid, self.follow_up.study.uid)


@dataclass(frozen=True, slots=True)
class _Screened:
    study: Study
    is_flagged: bool
    why_not: str  # it can't be compared; "" if it can


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """What became of comparing a pair: what was found, or why there is nothing.

    Attributes
    ----------
    details : str
        The traceback of a comparison that failed, for the log.
    """

    studies: PairOfStudies
    compared: Compared | None
    why_none: str
    details: str = ""


def find_pairs(intake: Intake, store: Store, *, only_flagged: bool) -> tuple[list[PairOfStudies], list[str]]:
    """Return the pairs of studies to compare, and a sentence on each patient whose studies can't be.

    Parameters
    ----------
    intake : Intake
    store : Store
        Holds the screenings.
    only_flagged : bool
        Only patients of whom at least one study is, or may be, miliary.
    """
    files = {study.study.uid: study for study in intake.studies}
    screened = []
    for one in store.screenings(list(files)):
        can_be = one.pattern is not None and one.series is not None
        why_not = "" if can_be else one.verdict.sentence
        screened.append(_Screened(one.study, one.verdict.label in FLAGGED, why_not))
    screened.sort(key=lambda one: (one.study.patient_id, one.study.study_date, one.study.uid))
    pairs, problems = [], []
    for patient, group in groupby(screened, key=lambda one: one.study.patient_id):
        studies = list(group)
        if len(studies) < 2 or (only_flagged and not any(one.is_flagged for one in studies)):
            continue
        if not patient.strip():
            problems.append(
                f"{len(studies)} studies have no Patient ID and are not compared: whose they are is not known"
            )
            continue
        problems += [
            f"the study of {one.study.study_date or 'no date'} of patient {patient} is not compared: "
            f"{one.why_not}"
            for one in studies
            if one.why_not
        ]
        studies = [one for one in studies if not one.why_not]
        if len(studies) < 2:
            continue
        dates = [one.study.study_date for one in studies]
        if len(set(dates)) < len(dates) or not all(one.study.is_dated for one in studies):
            problems.append(
                f"the studies of patient {patient} are not compared: their dates are "
                f"{', '.join(day or 'none' for day in dates)}, so they can't be put in order"
            )
            continue
        first = files[studies[0].study.uid]
        pairs += [PairOfStudies(first, files[one.study.uid]) for one in studies[1:]]
    return pairs, problems


def follow_pairs(
    pairs: Sequence[PairOfStudies],
    store: str | Path,
    folder: Path,
    *,
    resumes: bool,
    workers: int,
    limits: Limits,
    progress: Callable[[int, int], object],
) -> list[Followed]:
    """Compare pairs of studies in processes of their own; each is kept as soon as it is done.

    Parameters
    ----------
    pairs : sequence of PairOfStudies
    store : str or Path
        As `records.store.open_store` takes it; each worker opens it for itself.
    folder : Path
        Where what was found is kept.
    resumes : bool
        Whether what is kept there counts, if it rests on the same screenings.

    Returns
    -------
    list of Followed
        One a pair, in their order.
    """
    found: dict[str, Followed] = {}
    prints: dict[str, str] = {}
    with open_store(store) as database:
        for pair in pairs:
            before, after = database.screenings([pair.baseline.study.uid, pair.follow_up.study.uid])
            prints[pair.name] = fingerprint(before, after)
            if resumes and (compared := kept(folder, pair.name, prints[pair.name])):
                found[pair.name] = Followed(pair, compared, "")
    todo = [pair for pair in pairs if pair.name not in found]
    with closing(run_tasks(partial(_follow, store), todo, workers=workers, limits=limits)) as ended:
        for one in ended:
            pair = todo[one.index]
            if isinstance(one, Lost):
                found[pair.name] = Followed(pair, None, one.sentence, one.details)
            else:
                found[pair.name] = one.value
                if one.value.compared:
                    keep(one.value.compared, folder, pair.name, prints[pair.name])
            progress(len(found), len(pairs))
    return [found[pair.name] for pair in pairs]


def _follow(store: str | Path, studies: PairOfStudies) -> Followed:
    """Compare one pair, in a worker; what draws and aligns is loaded there."""
    from imaging.change_map import draw_change_map
    from imaging.change_tables import Pair, rows_of, values_of
    from imaging.tracking import track

    files = (studies.baseline, studies.follow_up)
    with open_store(store) as database:
        before, after = database.screenings([one.study.uid for one in files])
    try:
        scans = [_observe(one, screening) for one, screening in zip(files, (before, after), strict=True)]
    except ScreeningError as error:
        return Followed(studies, None, error.sentence)
    change = track(*scans)
    titles = (f"Baseline {before.study.study_date}", f"Follow-up {after.study.study_date}")
    picture = draw_change_map(scans[0], scans[1], change, titles)
    pair = Pair(before, after, change)
    found = change.suggestion
    reading = found.reading.value if found.reading else ""
    return Followed(studies, Compared(rows_of(pair), values_of(pair), reading, found.sentence, picture), "")


def _observe(files: StudyFiles, screening: Screening) -> "Observed":
    """Read again the series that was screened, and find its lungs again.

    Raises
    ------
    ScreeningError
        If the images can't be read any more.
    """
    from imaging import dicom
    from imaging.classifier import load_model
    from imaging.lungs import segment_lungs
    from imaging.screen import recall_of, slice_mm
    from imaging.tracking import Observed

    assert screening.series is not None, "only screened studies are compared"
    assert screening.pattern is not None, "only screened studies are compared"
    volume = dicom.read_volume(next(one for one in files.series if one.uid == screening.series.uid))
    recall = recall_of(load_model(), slice_mm(volume), screening.nodules)
    return Observed(volume, segment_lungs(volume), screening.nodules, screening.pattern, recall)
