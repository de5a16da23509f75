"""A pipeline of no thought, for batches: the study's description says what becomes of it."""

import dataclasses
import time
from dataclasses import dataclass
from functools import partial

from imaging.console import Display
from imaging.dicom import Intake, StudyFiles
from imaging.pictures import Pictures
from imaging.run import Run, screen_intake
from imaging.worker import Limits
from records.errors import Reason
from records.model import Screening, Study
from records.store import open_store
from tests.imaging import toys
from tests.records.examples import PROVENANCE, miliary_screening, not_evaluable_screening

SECONDS = 0.03
LIMITS = Limits(seconds=3.0, memory_bytes=2**28)
PATIENT = Limits(seconds=600.0, memory_bytes=2**28)  # for studies that wait for a file


@dataclass(frozen=True)
class Screened:
    screening: Screening
    pictures: Pictures | None


def studies(*descriptions):
    """Return studies without files, one a description."""
    return tuple(
        StudyFiles(Study(f"1.2.{number}", f"P-{number}", "Doe^Jane", "2008-03-14", text), ())
        for number, text in enumerate(descriptions)
    )


def screen(study, provenance=PROVENANCE):
    """Judge by the description: miliary, thick, or something that goes wrong or waits."""
    description = study.study.description
    if description == "thick":
        screening = not_evaluable_screening(study.study.uid)
    elif description == "unreadable":
        screening = not_evaluable_screening(study.study.uid, Reason.UNREADABLE_PIXELS)
    elif description == "miliary":
        time.sleep(SECONDS)
        screening = miliary_screening(study.study.uid)
    else:
        toys.misbehave(eval_words(description))
        screening = miliary_screening(study.study.uid)
    return Screened(dataclasses.replace(screening, study=study.study, provenance=provenance), None)


def eval_words(description):
    """Return the task that "raise some text" or "hold 4096" names."""
    verb, _, rest = description.partition(" ")
    return (verb, int(rest) if rest.isdigit() else rest) if rest else (verb,)


def run_batch(
    folder,
    studies,
    *,
    workers=2,
    resumes=True,
    provenance=PROVENANCE,
    limits=LIMITS,
    scheduler="",
    screen=screen,
    store="",
):
    """Run a batch of toy studies into `folder`, as the command does, and return what it counted."""
    folder.mkdir(exist_ok=True)
    work = partial(screen, provenance=provenance)
    run = Run(folder, work, provenance, workers, limits, resumes, scheduler)
    with open_store(store or folder / "mipc.db") as database, Display() as display:
        return screen_intake(Intake(studies, 0, ()), database, run, display)
