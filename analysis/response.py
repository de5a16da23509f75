"""Responses by RECIST 1.1, from reads: the public face of `analysis.recist`.

courses = read_sdtm(Path("tu.csv"), Path("tr.csv"), Path("rs.csv"))
judgement = judge(courses)
for row in response_rows(judgement.points): ...
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import groupby

from analysis.csvtable import paused_collection
from analysis.endpoints import (
    Follow,
    Schedule,
    TimeToEvent,
    duration_of_response,
    follow_up,
    overall_survival,
    progression_free_survival,
    progression_free_survival_ema,
    progression_free_survival_fda,
    time_to_progression,
)
from analysis.recist.best import Visit, best_of_course, best_response, first_response, visits_of
from analysis.recist.checks import (
    InputError,
    ProblemCode,
    RowProblem,
    find_departures,
    find_problems,
    find_problems_between_readers,
)
from analysis.recist.course import Baseline, baseline_of, follow
from analysis.recist.irecist import (
    ImmuneBest,
    ImmunePoint,
    ImmuneResponse,
    best_immune_response,
    follow_immune,
    immune_progression_day,
)
from analysis.recist.measurability import Measurability, judge_measurability
from analysis.recist.overall import overall_response
from analysis.recist.protocol import (
    AfterCompleteResponse,
    EarlyDeath,
    ProgressionDate,
    ResponseProtocol,
    StayingResponse,
)
from analysis.recist.readers import (
    Adjudication,
    Basis,
    DiscrepancyRates,
    accepted_points,
    adjudicate,
    adjudication_rate,
    disagree,
    discrepancy_rates,
)
from analysis.recist.results import Best, NewLesion, Source, TimePoint
from analysis.recist.words import number
from analysis.sdtm import StatedResponse
from analysis.sdtm_reads import Course
from analysis.subjects import Subject
from records.reads import Read, Response

__all__ = [
    "Adjudication",
    "AfterCompleteResponse",
    "Baseline",
    "Basis",
    "Best",
    "DiscrepancyRates",
    "EarlyDeath",
    "ImmuneBest",
    "ImmunePoint",
    "ImmuneResponse",
    "InputError",
    "Judgement",
    "Measurability",
    "NewLesion",
    "ProblemCode",
    "ProgressionDate",
    "Response",
    "ResponseProtocol",
    "RowProblem",
    "Source",
    "StayingResponse",
    "TimePoint",
    "Visit",
    "accepted_points",
    "adjudicate",
    "adjudication_rate",
    "baseline_of",
    "best_immune_response",
    "best_response",
    "courses_of",
    "disagree",
    "discrepancy_rates",
    "find_departures",
    "find_problems",
    "first_response",
    "follow",
    "follow_immune",
    "immune_progression_day",
    "judge",
    "judge_measurability",
    "overall_response",
    "response_rows",
    "stated_differences",
    "visits_of",
]

RESPONSE_COLUMNS = (
    "USUBJID",
    "VISITNUM",
    "date",
    "evaluator",
    "target_response",
    "nontarget_response",
    "new_lesion",
    "overall_response",
    "sum_mm",
    "nadir_mm",
    "baseline_mm",
    "rule",
    "new_therapy",  # of the patient, who is censored there: later time points count in no best response
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that follows from the reads of a study.

    `accepted` holds the time points of the accepted readers; `best` the best
    response with and without confirmation, by every evaluator and for the
    accepted series; `times` the times to events of patients whose dates are known.
    """

    points: tuple[TimePoint, ...]
    accepted: tuple[TimePoint, ...]
    best: tuple[Best, ...]
    times: tuple[TimeToEvent, ...]
    departures: tuple[RowProblem, ...]


def courses_of(reads: Iterable[Read]) -> tuple[Course, ...]:
    """Sort the reads of the viewer by patient and evaluator, and check them.

    Raises
    ------
    InputError
        With all problems of all reads.
    """
    by_course: dict[tuple[str, str, str], list[Read]] = {}
    for read in reads:
        evaluator = read.evaluator
        by_course.setdefault((read.subject_id, evaluator.role, evaluator.identifier), []).append(read)
    problems = [problem for of_one in by_course.values() for problem in find_problems(of_one)]
    problems += find_problems_between_readers(read for of_one in by_course.values() for read in of_one)
    if problems:
        raise InputError(problems)
    return tuple(
        Course(
            of_one[0].subject_id,
            of_one[0].evaluator,
            tuple(sorted(of_one, key=lambda read: read.visit_number)),
        )
        for of_one in by_course.values()
    )


def judge(
    courses: Sequence[Course],
    subjects: Mapping[str, Subject] | None = None,
    *,
    protocol: ResponseProtocol | None = None,
    schedule: Schedule | None = None,
) -> Judgement:
    """Judge all time points, best responses and times to events of a study.

    Parameters
    ----------
    courses : sequence of Course
        Checked: from `read_sdtm` or `courses_of`.
    subjects : mapping of str to Subject, optional
        All patients of the study: one without any read is never assessed, by every evaluator.
        Without it the minimum duration of SD counts from the baseline scan and there are no times.
    protocol : ResponseProtocol, optional
    schedule : Schedule, optional
        When scans were due, for FDA's rule on missed visits.

    Returns
    -------
    Judgement
    """
    with paused_collection():
        return _judge(courses, subjects or {}, protocol or ResponseProtocol(), schedule)


def _judge(
    courses: Sequence[Course],
    subjects: Mapping[str, Subject],
    protocol: ResponseProtocol,
    schedule: Schedule | None,
) -> Judgement:
    by_course = {(course.subject_id, course.evaluator): follow(course.reads, protocol) for course in courses}
    points = tuple(point for of_one in by_course.values() for point in of_one)
    accepted = accepted_points(points)
    best: list[Best] = []
    times: list[TimeToEvent] = []
    departures = list(_without_dates(courses, subjects)) if subjects else []
    for course in courses:
        subject = subjects.get(course.subject_id, Subject(course.subject_id))
        baseline = course.reads[0]
        departures += find_departures(baseline, subject.treatment_start, protocol)
        label = course.evaluator.label
        of_one = by_course[course.subject_id, course.evaluator]
        start = subject.treatment_start or baseline_of(baseline).day
        best += _both(of_one, subject, label, start, protocol)
        scans = replace(follow_up(of_one), came_from=label)
        times += _times(subject, scans, _first_response(of_one, subject, protocol), schedule)
    starts = _starts(courses, subjects)
    by_patient = groupby(accepted, key=lambda point: point.subject_id)
    series = {subject_id: tuple(group) for subject_id, group in by_patient}
    for subject_id in starts if series else ():  # a patient of whom nothing was accepted counts as well
        subject = subjects.get(subject_id, Subject(subject_id))
        of_one = series.get(subject_id, ())
        both = _both(of_one, subject, Source.ACCEPTED.value, starts[subject_id], protocol)
        best += both if of_one else [replace(one, source=Source.ACCEPTED) for one in both]
        scans = replace(follow_up(of_one), came_from=Source.ACCEPTED.value)
        times += _times(subject, scans, _first_response(of_one, subject, protocol), schedule)
    labels = dict.fromkeys(course.evaluator.label for course in courses)
    if series:
        labels[Source.ACCEPTED.value] = None
    for subject in subjects.values():
        if subject.subject_id not in starts:
            for label in labels:
                both = _both((), subject, label, subject.treatment_start or date.max, protocol)
                is_series = label == Source.ACCEPTED.value
                best += [replace(one, source=Source.ACCEPTED) for one in both] if is_series else both
                scans = replace(follow_up((), has_baseline=False), came_from=label)
                times += _times(subject, scans, None, schedule)
    return Judgement(points, accepted, tuple(best), tuple(times), tuple(departures))


def response_rows(
    points: Iterable[TimePoint], subjects: Mapping[str, Subject] | None = None
) -> list[tuple[str, ...]]:
    """Return a row a time point and evaluator, in the order of `RESPONSE_COLUMNS`.

    Parameters
    ----------
    subjects : mapping of str to Subject, optional
        Whose new therapy is named.
    """
    therapies = {name: subject.new_therapy for name, subject in (subjects or {}).items()}
    return [
        (
            point.subject_id,
            number(point.visit_number),
            point.date_text,
            point.evaluator.label,
            point.target_response or "",
            point.nontarget_response or "",
            point.new_lesion,
            point.overall_response,
            _length(point.sum_mm),
            _length(point.nadir_mm),
            _length(point.baseline_mm),
            point.rule,
            str(therapies.get(point.subject_id) or ""),
        )
        for point in points
    ]


def stated_differences(
    points: Iterable[TimePoint], stated: Iterable[StatedResponse]
) -> list[tuple[StatedResponse, Response]]:
    """Return where a reader's own response (RS) is not what his measurements give."""
    computed = {(point.subject_id, point.evaluator, point.visit_number): point for point in points}
    differences = []
    for row in stated:
        point = computed.get((row.subject_id, row.evaluator, row.visit_number))
        if point is None:
            continue
        ours = {
            "OVRLRESP": point.overall_response,
            "TRGRESP": point.target_response,
            "NTRGRESP": point.nontarget_response,
        }.get(row.test)
        if ours is not None and ours != row.response:
            differences.append((row, ours))
    return differences


def _both(
    points: Sequence[TimePoint], subject: Subject, evaluator: str, start: date, protocol: ResponseProtocol
) -> list[Best]:
    """Return the best response without and with confirmation."""
    return [
        best_of_course(
            points,
            start,
            subject_id=subject.subject_id,
            evaluator=evaluator,
            confirmed=confirmed,
            until=subject.new_therapy,
            died=subject.death is not None,
            protocol=protocol,
        )
        for confirmed in (False, True)
    ]


def _first_response(points: Sequence[TimePoint], subject: Subject, protocol: ResponseProtocol) -> date | None:
    return first_response(visits_of(points, until=subject.new_therapy), confirmed=True, protocol=protocol)


def _times(
    subject: Subject, scans: Follow, responded: date | None, schedule: Schedule | None
) -> list[TimeToEvent]:
    """Return all times of one patient by one evaluator; without a start there is none."""
    by_fda = progression_free_survival_fda(subject, scans, schedule)
    times = (
        overall_survival(subject),
        progression_free_survival(subject, scans),
        by_fda,
        progression_free_survival_ema(subject, scans),
        time_to_progression(subject, scans),
        duration_of_response(subject, responded, by_fda),
    )
    return [time for time in times if time is not None]


def _without_dates(courses: Sequence[Course], subjects: Mapping[str, Subject]) -> Iterator[RowProblem]:
    """Yield the patients who were read and whose dates are not among those of the others."""
    spelled = {name.casefold(): name for name in subjects}
    for name in dict.fromkeys(course.subject_id for course in courses):
        if name not in subjects:
            sentence = (
                f"{name} has reads and no dates: no times to events, and SD counts from the baseline scan"
            )
            other = spelled.get(name.casefold())
            sentence += f"; the dates have {other}" if other else ""
            yield RowProblem("", ProblemCode.NO_DATES, sentence)


def _starts(courses: Sequence[Course], subjects: Mapping[str, Subject]) -> dict[str, date]:
    starts: dict[str, date] = {}
    for course in courses:
        subject = subjects.get(course.subject_id)
        known = subject.treatment_start if subject else None
        day = known or baseline_of(course.reads[0]).day
        starts[course.subject_id] = min(day, starts.get(course.subject_id, day))
    return starts


def _length(value: Decimal | None) -> str:
    return "" if value is None else number(value)
