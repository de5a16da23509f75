"""A screening run: from what was handed over to a store, tables and a report."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from imaging.batch import Engine, ScreenOne, screen_studies, unfinished
from imaging.cluster import run_on_cluster
from imaging.console import Display, Stock, Tally
from imaging.dicom import Intake, StudyFiles, find_studies
from imaging.follow import find_pairs
from imaging.journal import LOG, Journal, without_patient
from imaging.patience import EngineError
from imaging.pool import run_tasks
from imaging.report import CohortRow, load_templates, write_cohort_page, write_study_page
from imaging.tables import Tables
from imaging.worker import Limits
from records.errors import StoreError
from records.model import Provenance
from records.store import Store
from records.wording import counted

__all__ = ["Run", "read_inputs", "screen_intake", "summary_values"]


@dataclass(frozen=True, slots=True)
class Run:
    """How a run is to be made.

    Attributes
    ----------
    folder : Path
        Where tables, pages and the log go.
    screen : callable
        What screens one study.
    workers : int
        Processes on this machine.
    resumes : bool
        Whether results that are in the store already count.
    scheduler : str
        Address of a dask scheduler whose workers screen instead; "" for this machine.
    follows_all : bool
        Whether all patients with several studies are followed up, or those that were flagged.
    """

    folder: Path
    screen: ScreenOne
    provenance: Provenance
    workers: int
    limits: Limits
    resumes: bool = True
    scheduler: str = ""
    follows_all: bool = False

    def engine(self, display: Display) -> Engine:
        """Return what runs the studies."""
        if self.scheduler:
            return partial(run_on_cluster, self.scheduler, limits=self.limits, say=display.say)
        return partial(run_tasks, workers=self.workers, limits=self.limits)


def read_inputs(inputs: Sequence[Path], display: Display) -> Intake:
    """Index the headers of what was handed over, showing how far it is."""
    return find_studies(
        inputs,
        progress=lambda done, total: display.show("Reading headers", done, total, f"{done}/{total} files"),
    )


def screen_intake(intake: Intake, store: Store, run: Run, display: Display) -> Stock:
    """Screen what is not in the store yet, then write tables and pages of all that was asked for.

    Parameters
    ----------
    intake : Intake
        From `read_inputs`.
    store : Store
        Holds each study as soon as it is done; a run that is stopped goes on from there.

    Raises
    ------
    StoreError, EngineError
        If the store, the cluster or every process fails; the log then ends with "stopped".
    """
    began = time.monotonic()
    todo = unfinished(intake.studies, store, run.provenance) if run.resumes else list(intake.studies)
    kept = len(intake.studies) - len(todo)
    if kept:
        studies = counted(len(intake.studies), "study", "studies")
        display.say(f"{kept} of {studies} {'is' if kept == 1 else 'are'} in the store already.")
    with Journal(run.folder / LOG) as journal:
        journal.write(
            "start",
            studies=len(intake.studies),
            to_screen=len(todo),
            other_files=intake.other_files,
            problems=_count_problems(intake),
            workers=run.scheduler or run.workers,
            **_made_by(run.provenance),
        )
        try:
            _screen(todo, store, run, display, journal)
            stock = _write_outputs(store, run, intake)
        except (EngineError, StoreError) as error:
            journal.write("stopped", error=type(error).__name__)
            raise
        journal.write("end", seconds=round(time.monotonic() - began, 2), **_counts(stock))
    return stock


def summary_values(stock: Stock, intake: Intake, run: Run, store: Store) -> dict[str, object]:
    """Return what a program reads of a run (`--json`)."""
    return {
        **_made_by(run.provenance),
        "studies": len(intake.studies),
        **_counts(stock),
        "other_files": intake.other_files,
        "problems": [
            {"path": problem.path, "code": problem.code.value, "sentence": problem.sentence}
            for problem in intake.problems
        ],
        "report": str(run.folder / "report.html"),
        "studies_csv": str(run.folder / "studies.csv"),
        "nodules_csv": str(run.folder / "nodules.csv"),
        "store": store.name,
    }


def _screen(todo: Sequence[StudyFiles], store: Store, run: Run, display: Display, journal: Journal) -> None:
    """Screen studies; each is stored, logged and has its page before the next is looked at."""
    if not todo:
        return
    tally = Tally(len(todo))
    outcomes = screen_studies(run.screen, todo, store, run.provenance, run.engine(display))
    with closing(outcomes):
        display.show("Screening", 0, len(todo), tally.line())
        threading.Thread(target=load_templates).start()
        for outcome in outcomes:
            stored = outcome.stored
            tally.labels[stored.verdict] += 1
            display.show("Screening", tally.done, len(todo), tally.line())
            journal.write(
                "study",
                study_uid=stored.study_uid,
                verdict=stored.verdict.value,
                probability=stored.probability,
                reason=stored.reason and stored.reason.value,
                seconds=round(stored.seconds, 2),
                details=without_patient(outcome.details, outcome.study.study),
            )
            write_study_page(stored, store, run.folder)


def _write_outputs(store: Store, run: Run, intake: Intake) -> Stock:
    """Write tables, cohort page and what study pages are missing, from the store alone."""
    stock = Stock()
    rows = []
    with Tables(run.folder) as tables:
        for stored in store.studies([study.study.uid for study in intake.studies]):
            screening = stored.screening
            write_study_page(stored, store, run.folder)
            tables.add(screening)
            stock.add(screening)
            rows.append(CohortRow.of(screening))
    pairs, _ = find_pairs(intake, store, only_flagged=not run.follows_all)
    write_cohort_page(
        rows,
        run.folder,
        run.provenance,
        problems=intake.problems,
        other_files=intake.other_files,
        follow_ups={pair.follow_up.study.uid: pair.name for pair in pairs}
        | {pair.baseline.study.uid: pair.name for pair in reversed(pairs)},
    )
    return stock


def _made_by(made: Provenance) -> dict[str, object]:
    return {
        "program_version": made.program_version,
        "model_version": made.model_version,
        "protocol": {"name": made.protocol_name, "sha256": made.protocol_sha256},
    }


def _counts(stock: Stock) -> dict[str, object]:
    reasons: Counter[str] = Counter()
    for (_, reason), count in stock.reasons.items():
        reasons[reason.value] += count
    return {
        "verdicts": {label.value: count for label, count in sorted(stock.labels.items())},
        "reasons": dict(sorted(reasons.items())),
    }


def _count_problems(intake: Intake) -> dict[str, int]:
    return dict(Counter(problem.code.value for problem in intake.problems))
