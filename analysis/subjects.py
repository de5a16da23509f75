"""The dates of a patient that no scan tells: diagnosis, treatment, progression at the bedside, death."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from analysis.csvtable import Table, read_table
from analysis.recist.checks import InputError, ProblemCode, RowProblem
from analysis.recist.dates import parse_date
from analysis.sdtm_reads import Course

__all__ = ["Subject", "find_scans_after_death", "read_subjects"]

COLUMNS = {  # field -> columns it may stand in, as ADSL or a registry names them
    "diagnosis": ("DIAGDT", "DIAGNOSIS_DATE"),
    "treatment_start": ("TRTSDT", "FIRST_LINE_DATE"),
    "new_therapy": ("NEWTRTDT", "NEW_THERAPY_DATE"),
    "clinical_progression": ("CLINPDDT", "CLINICAL_PROGRESSION_DATE"),
    "death": ("DTHDT", "DEATH_DATE"),
    "last_known_alive": ("LSTALVDT", "LAST_CONTACT_DATE"),
}
NOT_BEFORE_DIAGNOSIS = ("treatment_start", "death")
NOT_AFTER_DEATH = ("treatment_start", "new_therapy", "clinical_progression", "last_known_alive")


@dataclass(frozen=True, slots=True)
class Subject:
    """A patient's dates; None where it did not happen or is not known.

    Attributes
    ----------
    treatment_start : date or None
        Start of first-line treatment, or randomisation in a trial that has one.
    new_therapy : date or None
        Start of the next anticancer treatment.
    clinical_progression : date or None
        First sign of progression at the bedside, symptomatic deterioration
        included. RECIST does not call it PD; the paper counts it.
    died_of_progression : bool or None
        None: not known.
    """

    subject_id: str
    diagnosis: date | None = None
    treatment_start: date | None = None
    new_therapy: date | None = None
    clinical_progression: date | None = None
    death: date | None = None
    last_known_alive: date | None = None
    died_of_progression: bool | None = None


def read_subjects(path: Path) -> dict[str, Subject]:
    """Read patients' dates from a CSV file, a row a patient.

    Columns are USUBJID and any of DIAGDT, TRTSDT, NEWTRTDT, CLINPDDT, DTHDT,
    LSTALVDT (ISO 8601, to the day) and DTHPDFL (Y, N): whether progression was
    the cause of death.

    Raises
    ------
    InputError
        With all problems of the file.
    OSError
        If it cannot be opened.
    """
    table = read_table(path, ["USUBJID"])
    problems = list(table.problems)
    subjects: dict[str, Subject] = {}
    dates = {name: list(_dates(table, columns, problems)) for name, columns in COLUMNS.items()}
    causes = list(table.column("DTHPDFL"))
    for index, subject_id in enumerate(table.column("USUBJID")):
        where = table.place(index)
        if not subject_id:
            problems.append(RowProblem(where, ProblemCode.MISSING_VALUE, "has no USUBJID"))
            continue
        if subject_id in subjects:
            problems.append(RowProblem(where, ProblemCode.DUPLICATE_ROW, f"{subject_id} is there twice"))
        if causes[index] not in ("", "Y", "N"):
            sentence = f"DTHPDFL {causes[index]!r}, expected Y, N or nothing"
            problems.append(RowProblem(where, ProblemCode.UNKNOWN_CODE, sentence))
        subject = Subject(
            subject_id,
            **{name: column[index] for name, column in dates.items()},
            died_of_progression={"Y": True, "N": False}.get(causes[index]),
        )
        problems += _out_of_order(where, subject)
        subjects[subject_id] = subject
    if problems:
        raise InputError(problems)
    return subjects


def find_scans_after_death(
    courses: Iterable[Course], subjects: Mapping[str, Subject]
) -> Iterator[RowProblem]:
    """Yield the reads of scans that are dated after their patient's death."""
    for course in courses:
        subject = subjects.get(course.subject_id)
        if subject is None or subject.death is None:
            continue
        for read in course.reads:
            if parse_date(read.date).first > subject.death:
                sentence = (
                    f"{course.subject_id}, {course.evaluator.label}: {read.visit or read.visit_number} of "
                    f"{read.date} comes after the death, {subject.death}"
                )
                yield RowProblem(read.source, ProblemCode.DATES_OUT_OF_ORDER, sentence)


def _dates(table: Table, columns: tuple[str, ...], problems: list[RowProblem]) -> list[date | None]:
    found: list[date | None] = []
    for index, text in enumerate(table.column(*columns)):
        day = None
        if text:
            try:
                read = parse_date(text)
                if read.missing:
                    raise ValueError(f"{text!r} is not a full date; a time to an event needs the day")
                day = read.first
            except ValueError as error:
                problems.append(RowProblem(table.place(index), ProblemCode.BAD_DATE, f"{columns[0]} {error}"))
        found.append(day)
    return found


def _out_of_order(where: str, subject: Subject) -> list[RowProblem]:
    pairs = [
        *(("diagnosis", name) for name in NOT_BEFORE_DIAGNOSIS),
        ("treatment_start", "new_therapy"),
        *((name, "death") for name in NOT_AFTER_DEATH),
    ]
    problems = []
    for earlier, later in pairs:
        first, last = getattr(subject, earlier), getattr(subject, later)
        if first is not None and last is not None and first > last:
            sentence = (
                f"{subject.subject_id}: {COLUMNS[earlier][0]} {first} comes after {COLUMNS[later][0]} {last}"
            )
            problems.append(RowProblem(where, ProblemCode.DATES_OUT_OF_ORDER, sentence))
    return problems
