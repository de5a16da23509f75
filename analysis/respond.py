"""`mipc respond`: from the files of a trial, or the reads of the viewer, to response tables."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

from analysis.adam import ADRS_COLUMNS, ADTTE_COLUMNS, adrs_rows, adtte_rows
from analysis.csvtable import read_table
from analysis.endpoints import Schedule
from analysis.errors import AnalysisError, Problem
from analysis.rates import Rate, disease_control_rate, eligible, objective_response_rate
from analysis.recist.checks import InputError, ProblemCode, RowProblem
from analysis.recist.course import baseline_of
from analysis.recist.irecist import best_immune_response, follow_immune, immune_progression_day
from analysis.recist.protocol import NotEvaluable, ResponseProtocol, response_protocol_text
from analysis.recist.results import Best
from analysis.recist.words import number
from analysis.response import (
    RESPONSE_COLUMNS,
    Judgement,
    courses_of,
    judge,
    response_rows,
    stated_differences,
)
from analysis.sdtm import StatedResponse, count_decimal_commas, read_rs, read_sdtm
from analysis.sdtm_reads import Course
from analysis.subjects import Subject, find_scans_after_death, read_subjects
from records.cells import TableWriter, guarded
from records.reads import Read, Response, reads_from_json
from records.wording import counted

__all__ = ["Inputs", "find_inputs", "in_words", "respond"]

DOMAIN_COLUMNS = {"tu": "TULNKID", "tr": "TRLNKID", "rs": "RSTESTCD"}  # what tells the domains apart
BEST_COLUMNS = (
    "USUBJID",
    "evaluator",
    "confirmation",
    "best_response",
    "date",
    "visit",
    "source",
    "came_from",
    "rule",
)
RATE_COLUMNS = ("evaluator", "confirmation", "rate", "count", "patients", "share", "low_95", "high_95")
IRECIST_COLUMNS = ("USUBJID", "evaluator", "VISITNUM", "date", "recist_response", "irecist_response", "rule")
IRECIST_BEST_COLUMNS = ("USUBJID", "evaluator", "irecist_best", "date", "progression_date")
COUNTED = {
    "patients": ("patient",),
    "evaluators": ("evaluator",),
    "time_points": ("time point",),
    "departures": ("departure",),
    "times_to_event": ("time to event", "times to event"),
    "decimal_commas": ("decimal comma",),
    "without_dates": ("without dates", "without dates"),
    "never_read": ("never read", "never read"),
    "stated_differences": ("stated difference",),
}
DIFFERENCE_COLUMNS = ("USUBJID", "VISITNUM", "evaluator", "test", "stated", "computed", "row")


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files of one study; either `reads`, or `tu` and `tr`."""

    tu: Path | None = None
    tr: Path | None = None
    rs: Path | None = None
    reads: Path | None = None


def find_inputs(paths: Sequence[Path]) -> Inputs:
    """Tell the files of a study apart by their columns, whatever their names.

    Parameters
    ----------
    paths : sequence of Path
        Files, or folders whose CSV and JSON files are looked at.

    Raises
    ------
    AnalysisError
        If TU and TR are not both there once, nor reads, or both are.
    """
    found: dict[str, list[Path]] = {}
    unreadable: list[str] = []
    for path in paths:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            if file.suffix.lower() == ".json":
                found.setdefault("reads", []).append(file)
            elif file.suffix.lower() == ".csv":
                table = read_table(file, [])
                unreadable += [str(said) for said in table.problems if not table.columns]
                for domain, column in DOMAIN_COLUMNS.items():
                    if column in table.columns:
                        found.setdefault(domain, []).append(file)
    twice = [name for name, files in found.items() if len(files) > 1]
    if twice:
        names = ", ".join(str(file) for name in twice for file in found[name])
        raise AnalysisError(Problem.BAD_INPUT, f"expected one file of a kind, found {names}")
    inputs = Inputs(**{name: files[0] for name, files in found.items()})
    names = ", ".join(sorted(found)).upper()
    if inputs.reads is None and (inputs.tu is None or inputs.tr is None):
        sentence = "expected CSV files of SDTM TU and TR, or reads as JSON; found "
        sentence += "; ".join([names or "none of them", *unreadable])
        raise AnalysisError(Problem.BAD_INPUT, sentence)
    if inputs.reads is not None and (inputs.tu is not None or inputs.tr is not None):
        sentence = f"expected CSV files of SDTM TU and TR, or reads as JSON, not both; found {names}"
        raise AnalysisError(Problem.BAD_INPUT, sentence)
    return inputs


def respond(
    inputs: Inputs,
    out: Path,
    *,
    subjects_file: Path | None = None,
    protocol: ResponseProtocol | None = None,
    schedule: Schedule | None = None,
    irecist: bool = False,
) -> dict[str, int]:
    """Judge a study and write its tables into a folder.

    Parameters
    ----------
    inputs : Inputs
    out : Path
        Gets `responses.csv`, `best_response.csv`, `rates.csv`, `adrs.csv`,
        `adtte.csv`, `departures.csv`, `protocol.toml`, and, where asked for or given,
        `irecist.csv`, `irecist_best.csv` and `stated_differences.csv`.
    subjects_file : Path, optional
        Dates of the patients; without it `adtte.csv` has no rows.
    protocol : ResponseProtocol, optional
    schedule : Schedule, optional
        When scans were due.
    irecist : bool
        Judge by iRECIST as well.

    Returns
    -------
    dict
        What was done, in numbers, for a program.

    Raises
    ------
    AnalysisError
        If there is no read, or (`InputError`) with every problem of every file; nothing is written then.
    OSError
        If a file cannot be read or written.
    """
    courses, subjects, stated = _read(inputs, subjects_file)
    judgement = judge(courses, subjects, protocol=protocol, schedule=schedule)
    out.mkdir(parents=True, exist_ok=True)
    _write_judgement(out, judgement, subjects, protocol or ResponseProtocol())
    files = [file for file in (inputs.tu, inputs.tr, inputs.rs, inputs.reads, subjects_file) if file]
    commas = {file.name: count_decimal_commas(file) for file in (inputs.tu, inputs.tr, inputs.rs) if file}
    text = _protocol_text(files, commas, protocol or ResponseProtocol(), schedule or Schedule())
    (out / "protocol.toml").write_text(text, encoding="utf-8")
    if irecist:
        _write(out / "irecist.csv", IRECIST_COLUMNS, _immune_rows(courses, protocol))
        _write(out / "irecist_best.csv", IRECIST_BEST_COLUMNS, _immune_best_rows(courses, subjects, protocol))
    summary = _summary(courses, judgement)
    if any(commas.values()):
        summary["decimal_commas"] = sum(commas.values())
    if subjects_file is not None:
        read = {course.subject_id for course in courses}
        summary["without_dates"] = len(read - set(subjects))
        summary["never_read"] = len(set(subjects) - read)
    if inputs.rs is not None:
        differences = stated_differences(judgement.points, stated)
        rows = [_difference_row(row, computed) for row, computed in differences]
        _write(out / "stated_differences.csv", DIFFERENCE_COLUMNS, rows)
        summary["stated_differences"] = len(rows)
    return summary


def _protocol_text(
    files: Sequence[Path], commas: Mapping[str, int], protocol: ResponseProtocol, schedule: Schedule
) -> str:
    """Return the choices in force, below what made the tables and from which files."""
    lines = [f"mipc {version('mipc')}"]
    lines += [f"{file.name}: sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]
    lines += [f"{name}: commas read as decimal points: {count}" for name, count in commas.items() if count]
    due = ", then ".join(
        f"every {counted(days, 'day')}" + (f" until day {until}" if until else "")
        for days, until in schedule.phases
    )
    lines.append(f"scans due {due}, {counted(schedule.window_days, 'day')} early or late")
    return "".join(f"# {line}\n" for line in lines) + response_protocol_text(protocol)


def _write_judgement(
    out: Path, judgement: Judgement, subjects: Mapping[str, Subject], protocol: ResponseProtocol
) -> None:
    _write(out / "responses.csv", RESPONSE_COLUMNS, response_rows(judgement.points, subjects))
    _write(out / "best_response.csv", BEST_COLUMNS, map(_best_row, judgement.best))
    _write(out / "rates.csv", RATE_COLUMNS, _rate_rows(judgement.best, protocol.not_evaluable))
    responses = adrs_rows((*judgement.points, *judgement.accepted), judgement.best)
    _write(out / "adrs.csv", ADRS_COLUMNS, responses)
    _write(out / "adtte.csv", ADTTE_COLUMNS, adtte_rows(judgement.times))
    _write(
        out / "departures.csv",
        ("where", "code", "sentence"),
        ((found.where, found.code, found.sentence) for found in judgement.departures),
    )


def _read(
    inputs: Inputs, subjects_file: Path | None
) -> tuple[tuple[Course, ...], dict[str, Subject], tuple[StatedResponse, ...]]:
    """Read all files; the problems of all are raised together."""
    problems: list[RowProblem] = []
    courses: tuple[Course, ...] = ()
    subjects: dict[str, Subject] = {}
    stated: tuple[StatedResponse, ...] = ()
    try:
        if inputs.reads is not None:
            courses = courses_of(_reads(inputs.reads))
        elif inputs.tu is not None and inputs.tr is not None:
            courses = read_sdtm(inputs.tu, inputs.tr, inputs.rs)
    except InputError as error:
        problems += error.problems
    try:
        if subjects_file is not None:
            subjects = read_subjects(subjects_file)
    except InputError as error:
        problems += error.problems
    problems += find_scans_after_death(courses, subjects)
    if problems:
        raise InputError(problems)
    if not courses:
        files = ", ".join(file.name for file in (inputs.tu, inputs.tr, inputs.reads) if file)
        raise AnalysisError(Problem.BAD_INPUT, f"there is no read in {files}, so nothing to judge")
    if inputs.rs is not None:
        stated = read_rs(inputs.rs)
    return courses, subjects, stated


def _reads(path: Path) -> tuple[Read, ...]:
    from cattrs import transform_error
    from cattrs.errors import BaseValidationError

    try:
        return reads_from_json(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        sentence = f"is not JSON in UTF-8: {error}"
        raise InputError([RowProblem(path.name, ProblemCode.UNREADABLE, sentence)]) from error
    except BaseValidationError as error:
        problems = [
            RowProblem(path.name, ProblemCode.UNREADABLE, sentence) for sentence in transform_error(error)
        ]
        raise InputError(problems) from error


def in_words(summary: Mapping[str, int]) -> str:
    """Return what `respond` counted as words.

    >>> in_words({"patients": 1, "times_to_event": 4, "never_read": 1})
    '1 patient, 4 times to event, 1 never read'
    """
    return ", ".join(counted(count, *COUNTED[name]) for name, count in summary.items())


def _summary(courses: Sequence[Course], judgement: Judgement) -> dict[str, int]:
    return {
        "patients": len({course.subject_id for course in courses}),
        "evaluators": len({course.evaluator for course in courses}),
        "time_points": len(judgement.points),
        "departures": len(judgement.departures),
        "times_to_event": len(judgement.times),
    }


def _best_row(best: Best) -> tuple[str, ...]:
    return (
        best.subject_id,
        best.evaluator,
        "required" if best.confirmed else "not required",
        best.response,
        best.day.isoformat() if best.day else "",
        best.visit,
        best.source,
        best.came_from,
        best.rule,
    )


def _rate_rows(best: Sequence[Best], not_evaluable: NotEvaluable) -> list[tuple[str, ...]]:
    """Return response and disease control rates by evaluator."""
    groups: dict[tuple[str, bool], list[Response]] = {}
    for one in best:
        groups.setdefault((one.evaluator, one.confirmed), []).append(one.response)
    rows = []
    for (evaluator, confirmed), responses in groups.items():
        counted = eligible(responses, not_evaluable)
        for name, rate_of in (
            ("objective response", objective_response_rate),
            ("disease control", disease_control_rate),
        ):
            cells = _rate_cells(rate_of(counted)) if counted else ("0", "0", "", "", "")
            rows.append((evaluator, "required" if confirmed else "not required", name, *cells))
    return rows


def _rate_cells(rate: Rate) -> tuple[str, ...]:
    return (str(rate.count), str(rate.patients), f"{rate.value:.4f}", f"{rate.low:.4f}", f"{rate.high:.4f}")


def _immune_rows(courses: Sequence[Course], protocol: ResponseProtocol | None) -> Iterable[tuple[str, ...]]:
    for course in courses:
        for read, point in zip(course.reads[1:], follow_immune(course.reads, protocol), strict=True):
            yield (
                course.subject_id,
                course.evaluator.label,
                number(read.visit_number),
                read.date,
                point.recist,
                point.response,
                point.rule,
            )


def _immune_best_rows(
    courses: Sequence[Course], subjects: Mapping[str, Subject], protocol: ResponseProtocol | None
) -> Iterable[tuple[str, ...]]:
    """Return best responses, up to a new therapy as those by RECIST, and whence progression dates."""
    for course in courses:
        said = [(point.day, point.response) for point in follow_immune(course.reads, protocol)]
        subject = subjects.get(course.subject_id, Subject(course.subject_id))
        until = subject.new_therapy or date.max
        start = subject.treatment_start or baseline_of(course.reads[0]).day
        best = best_immune_response([one for one in said if one[0] <= until], start, protocol)
        progressed = immune_progression_day(said)
        yield (
            course.subject_id,
            course.evaluator.label,
            best.response,
            best.day.isoformat() if best.day else "",
            progressed.isoformat() if progressed else "",
        )


def _difference_row(row: StatedResponse, computed: Response) -> tuple[str, ...]:
    visit = number(row.visit_number)
    return (row.subject_id, visit, row.evaluator.label, row.test, row.response, computed, row.source)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = TableWriter(file, lineterminator="\r\n")
        table.writerow(columns)
        table.writerows(map(guarded, row) for row in rows)
