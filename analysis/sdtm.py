"""Reads from CDISC SDTM: what a lesion is (TU), what was measured (TR), what readers said (RS).

Every evaluator of a file makes reads of his own, with his own baseline. A
lesion that split into pieces has measurements under `T01.1`, `T01.2`, one made
of two that merged under `T01/T02`; both stay tied to the lesions of the
baseline.
"""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from analysis.csvtable import DECIMAL_COMMA, Table, paused_collection, read_table
from analysis.recist.checks import (
    LARGEST_MM,
    InputError,
    ProblemCode,
    RowProblem,
    find_problems,
    find_problems_between_readers,
)
from analysis.recist.dates import parse_date
from analysis.recist.words import number as plain
from analysis.sdtm_drafts import Files, Key, LesionDraft, parts_of
from analysis.sdtm_reads import Course, make_course
from analysis.sdtm_words import (
    FLAGS,
    IGNORED_TR_TESTS,
    NOT_ASSESSED_WORDS,
    RS_TESTS,
    SIZE_TESTS,
    STATE_TESTS,
    TOO_SMALL_WORDS,
    TU_TESTS,
    UNITS_MM,
    WHOLE_VISIT_TEST,
    any_of,
    kind_of,
    method_of,
    organ_of,
)
from records.reads import (
    Evaluator,
    Lesion,
    LesionRole,
    Response,
    Seen,
    millimetres,
)

__all__ = ["Course", "StatedResponse", "count_decimal_commas", "read_rs", "read_sdtm"]

TU_REQUIRED = ("USUBJID", "VISITNUM", "TULNKID", "TUORRES")
TR_REQUIRED = ("USUBJID", "VISITNUM", "TRLNKID", "TRTESTCD", "TRORRES", "TRDTC")
RS_REQUIRED = ("USUBJID", "VISITNUM", "RSTESTCD", "RSORRES")
NUMBERS = ("VISITNUM", "TRORRES", "TRSTRESN")  # in which a spreadsheet may have put decimal commas

TU_COLUMNS = tuple(
    "USUBJID TUEVAL TUEVALID VISITNUM VISIT TULNKID TUTESTCD TUORRES TULOC TUMETHOD TUDTC TUACPTFL".split()
)
TR_COLUMNS = tuple(
    "USUBJID TREVAL TREVALID VISITNUM VISIT TRLNKID TRTESTCD TRORRES TRORRESU "
    "TRSTRESN TRSTRESU TRSTAT TRREASND TRDTC TRACPTFL".split()
)
RS_COLUMNS = tuple("USUBJID RSEVAL RSEVALID VISITNUM RSTESTCD RSORRES RSACPTFL".split())


@dataclass(frozen=True, slots=True)
class StatedResponse:
    """A response that a reader stated himself (domain RS)."""

    subject_id: str
    evaluator: Evaluator
    visit_number: Decimal
    test: str  # OVRLRESP, TRGRESP, NTRGRESP ...
    response: str
    accepted: bool
    source: str


def read_sdtm(tu: Path, tr: Path, rs: Path | None = None) -> tuple[Course, ...]:
    """Read the domains TU and TR, and the accepted flags of RS if there is one.

    Parameters
    ----------
    tu, tr : Path
        CSV files with the columns of SDTM.
    rs : Path, optional

    Returns
    -------
    tuple of Course
        One a patient and evaluator, by patient, in the order of the file.

    Raises
    ------
    InputError
        With all problems of all files.
    OSError
        If a file cannot be opened.
    """
    with paused_collection():
        return _read_sdtm(tu, tr, rs)


def _read_sdtm(tu: Path, tr: Path, rs: Path | None) -> tuple[Course, ...]:
    files = Files()
    _take_lesions(files, _read_domain(tu, TU_REQUIRED))
    _take_measurements(files, _read_domain(tr, TR_REQUIRED))
    if rs is not None:
        stated, problems = _stated(_read_domain(rs, RS_REQUIRED))
        files.problems += problems
        _take_accepted(files, stated)
    courses = [make_course(files, key) for key in files.visits]
    files.problems += [problem for course in courses for problem in find_problems(course.reads)]
    files.problems += find_problems_between_readers(read for course in courses for read in course.reads)
    if files.problems:
        raise InputError(_in_order(files.problems))
    return tuple(sorted(courses, key=lambda course: course.subject_id))


def read_rs(path: Path) -> tuple[StatedResponse, ...]:
    """Read the responses that the readers stated themselves.

    Raises
    ------
    InputError
        With all problems of the file.
    """
    stated, problems = _stated(_read_domain(path, RS_REQUIRED))
    if problems:
        raise InputError(problems)
    return tuple(stated)


def count_decimal_commas(path: Path) -> int:
    """Return how many numbers of a domain are read as decimals with a comma."""
    return read_table(path, ()).with_points(*NUMBERS)


def _read_domain(path: Path, required: tuple[str, ...]) -> Table:
    table = read_table(path, required)
    table.with_points(*NUMBERS)
    return table


def _take_lesions(files: Files, table: Table) -> None:
    """Take the rows of TU."""
    files.problems += table.problems
    columns = zip(*map(table.column, TU_COLUMNS), strict=True)
    for index, row in enumerate(columns):
        subject, role, identifier, number, visit, link, test, word, location, method, day, flag = row
        where = table.place(index)
        at = _visit_number(files, where, number)
        if at is None or not (subject and link):
            _refuse_missing(files, where, USUBJID=subject, VISITNUM=number, TULNKID=link)
            continue
        if test and test not in TU_TESTS:
            files.refuse(where, ProblemCode.UNKNOWN_CODE, f"TUTESTCD {test!r}, expected {any_of(TU_TESTS)}")
        _check_flag(files, where, "TUACPTFL", flag)
        try:
            lesion_role = LesionRole(word.upper())
        except ValueError:
            expected = any_of(tuple(LesionRole))
            files.refuse(where, ProblemCode.UNKNOWN_CODE, f"TUORRES {word!r}, expected {expected}")
            continue
        key = (subject, role or "INVESTIGATOR", identifier)
        lesions = files.lesions.setdefault(key, {})
        if parts_of(link, lesions):
            continue  # a piece, or a whole, of lesions named before
        lesion = Lesion(
            lesion_id=link,
            role=lesion_role,
            organ=organ_of(location),
            kind=kind_of(location),
            method=method_of(method),
            location=location,
            source=where,
        )
        draft = files.visit(key, at, visit, where)
        if day and _is_date(files, where, "TUDTC", day):
            draft.dates.add(day)
        draft.named.append(lesion)
        lesions.setdefault(link, lesion)


def _take_measurements(files: Files, table: Table) -> None:
    """Take the rows of TR."""
    files.problems += table.problems
    columns = zip(*map(table.column, TR_COLUMNS), strict=True)
    draft = before = None
    for index, row in enumerate(columns):
        subject, role, identifier, number, visit, link, test, *result, reason, day, flag = row
        if test in IGNORED_TR_TESTS:
            continue
        where = table.place(index)
        if draft is None or row[:5] != before:  # the rows of a visit mostly stand together
            at, before = _visit_number(files, where, number), row[:5]
            key = (subject, role or "INVESTIGATOR", identifier)
            draft = files.visit(key, at, visit, where) if subject and at is not None else None
        if draft is None or not (link or test == WHOLE_VISIT_TEST):
            _refuse_missing(files, where, USUBJID=subject, VISITNUM=number, TRLNKID=link)
            continue
        if day and day not in draft.dates and _is_date(files, where, "TRDTC", day):
            draft.dates.add(day)
        if flag:
            draft.accepted = draft.accepted or flag == "Y"
            _check_flag(files, where, "TRACPTFL", flag)
        if test == WHOLE_VISIT_TEST:
            continue
        lesion = draft.lesions.get(link)
        if lesion is None:
            lesion = draft.lesions[link] = LesionDraft(where, day, tests=test)
        elif test in lesion.tests.split():
            name = f"{subject}, {identifier or role}, {visit or number}"
            sentence = f"{name}: {test} of {link} is there twice (first seen in {lesion.source})"
            files.refuse(where, ProblemCode.DUPLICATE_MEASUREMENT, sentence)
            continue
        else:
            lesion.tests += f" {test}"
        lesion.reason = lesion.reason or reason
        _take_result(files, where, lesion, test, link, result)


def _take_result(
    files: Files, where: str, lesion: LesionDraft, test: str, link: str, result: list[str]
) -> None:
    """Take what one row of TR says of a lesion."""
    if test in SIZE_TESTS:
        size = _size(*result)
        if isinstance(size, RowProblem):
            files.refuse(where, size.code, f"{link}: {size.sentence}")
            return
        if test != "LPERP":
            lesion.long_axis = size
        if test == "LPERP" or (test == "DIAMETER" and lesion.short_axis is None):
            lesion.short_axis = size
    elif test in STATE_TESTS:
        word, *_, status = result
        lesion.state = word.upper() or ("NOT EVALUABLE" if status == "NOT DONE" else "")
        if not lesion.state:
            files.refuse(where, ProblemCode.MISSING_VALUE, f"{test} of {link} has no result")
    else:
        sentence = f"TRTESTCD {test!r}, expected {any_of((*SIZE_TESTS, *STATE_TESTS))}"
        files.refuse(where, ProblemCode.UNKNOWN_CODE, sentence)


@lru_cache(maxsize=65536)
def _size(word: str, unit: str, std: str, std_unit: str, status: str) -> Decimal | Seen | RowProblem:
    """Return a length in mm, or how the lesion was found instead, or what is wrong with the row."""
    upper = word.upper()
    if upper in TOO_SMALL_WORDS:
        return Seen.TOO_SMALL
    if upper in NOT_ASSESSED_WORDS or (status == "NOT DONE" and not word):
        return Seen.NOT_ASSESSED
    if status == "NOT DONE":
        return RowProblem("", ProblemCode.CONTRADICTION, f"NOT DONE, and the result is {word!r}")
    if upper == "ABSENT":
        return Seen.ABSENT
    if not word and not std:
        return RowProblem(
            "", ProblemCode.MISSING_VALUE, "has no size, and no TRSTAT that says it was not done"
        )
    sizes = [_to_mm(*pair) for pair in ((word, unit), (std, std_unit or unit)) if pair[0]]
    problem = next((size for size in sizes if isinstance(size, RowProblem)), None)
    if problem is None and sizes[0] != sizes[-1]:
        sentence = f"TRORRES {word} {unit} is not TRSTRESN {std} {std_unit}"
        return RowProblem("", ProblemCode.CONTRADICTION, sentence)
    return problem or sizes[0]


def _to_mm(text: str, unit: str) -> Decimal | RowProblem:
    """Return a length in mm, or what is wrong with it."""
    factor = UNITS_MM.get(unit.lower())
    if factor is None:
        return RowProblem("", ProblemCode.UNKNOWN_UNIT, f"a size in {unit!r}, expected mm or cm")
    try:
        size = millimetres(Decimal(text) * factor)
    except InvalidOperation:
        why = ""
        if re.fullmatch(DECIMAL_COMMA, text):
            why = "; the column does not tell whether the comma is a decimal one"
        return RowProblem("", ProblemCode.NOT_A_NUMBER, f"the size {text!r} is not a number{why}")
    if not size.is_finite():
        return RowProblem("", ProblemCode.NOT_A_NUMBER, f"the size {text!r} is not a number")
    if size > LARGEST_MM:
        return RowProblem("", ProblemCode.IMPLAUSIBLE_SIZE, f"a size of {text} {unit}, more than a metre")
    return size


def _stated(table: Table) -> tuple[list[StatedResponse], list[RowProblem]]:
    """Take the rows of RS."""
    files = Files(problems=list(table.problems))
    stated = []
    columns = zip(*map(table.column, RS_COLUMNS), strict=True)
    for index, (subject, role, identifier, number, test, response, flag) in enumerate(columns):
        where = table.place(index)
        at = _visit_number(files, where, number)
        if at is None or not subject:
            _refuse_missing(files, where, USUBJID=subject, VISITNUM=number)
            continue
        if test not in RS_TESTS:
            files.refuse(where, ProblemCode.UNKNOWN_CODE, f"RSTESTCD {test!r}, expected {any_of(RS_TESTS)}")
        elif test.endswith("RESP") and response not in (*Response, ""):
            expected = any_of(tuple(Response))
            files.refuse(where, ProblemCode.UNKNOWN_CODE, f"response {response!r}, expected {expected}")
        _check_flag(files, where, "RSACPTFL", flag)
        evaluator = Evaluator(role or "INVESTIGATOR", identifier)
        stated.append(StatedResponse(subject, evaluator, at, test, response, flag == "Y", where))
    return stated, files.problems


def _take_accepted(files: Files, stated: list[StatedResponse]) -> None:
    """Mark the visits whose overall response RS accepts.

    An evaluator who measured nothing is an adjudicator: he chooses the reader who stated his response.
    """
    overall = [row for row in stated if row.test == "OVRLRESP"]
    by_visit: dict[tuple[str, Decimal], list[StatedResponse]] = {}
    for row in overall:
        by_visit.setdefault((row.subject_id, row.visit_number), []).append(row)
    for row in overall:
        if not row.accepted:
            continue
        if own := files.visits.get(_key(row)):
            if draft := own.get(row.visit_number):
                draft.accepted = True
        else:
            _take_choice(files, row, by_visit[row.subject_id, row.visit_number])


def _take_choice(files: Files, choice: StatedResponse, stated: list[StatedResponse]) -> None:
    """Mark the first independent reader who stated what the adjudicator chose."""
    for row in stated:
        draft = files.visits.get(_key(row), {}).get(row.visit_number)
        if draft and row.response == choice.response and row.evaluator.role != "INVESTIGATOR":
            draft.accepted = draft.adjudicated = True
            return
    readers = ", ".join(f"{row.evaluator.label} {row.response}" for row in stated if row is not choice)
    sentence = (
        f"{choice.subject_id}, visit {plain(choice.visit_number)}: {choice.evaluator.label} measured nothing "
        f"and chose {choice.response}, which no independent reader stated ({readers or 'none did'})"
    )
    files.refuse(choice.source, ProblemCode.CONTRADICTION, sentence)


def _key(row: StatedResponse) -> Key:
    return (row.subject_id, row.evaluator.role, row.evaluator.identifier)


def _refuse_missing(files: Files, where: str, **values: str) -> None:
    """Name the keys a row does not have."""
    absent = [name for name, value in values.items() if not value]
    if absent:
        files.refuse(where, ProblemCode.MISSING_VALUE, f"has no {', '.join(absent)}")


def _check_flag(files: Files, where: str, column: str, flag: str) -> None:
    if flag not in FLAGS:
        files.refuse(where, ProblemCode.UNKNOWN_CODE, f"{column} {flag!r}, expected 'Y' or nothing")


@lru_cache(maxsize=4096)
def _decimal(text: str) -> Decimal | None:
    """Return a finite number, or None."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _visit_number(files: Files, where: str, text: str) -> Decimal | None:
    number = _decimal(text)
    if number is None and text:
        files.refuse(where, ProblemCode.NOT_A_NUMBER, f"VISITNUM {text!r} is not a number")
    return number


def _is_date(files: Files, where: str, column: str, text: str) -> bool:
    try:
        parse_date(text)
    except ValueError as error:
        files.refuse(where, ProblemCode.BAD_DATE, f"{column} {error}")
        return False
    return True


def _in_order(problems: list[RowProblem]) -> list[RowProblem]:
    """Sort by file, then row; a problem found twice is said once."""

    def place(problem: RowProblem) -> tuple[str, int]:
        name, _, row = problem.where.rpartition(" row ")
        return (name or problem.where, int(row) if row.isdigit() else 0)

    unique = dict.fromkeys(problems)
    return [problem for _, group in groupby(sorted(unique, key=place), key=place) for problem in group]
