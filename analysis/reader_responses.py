"""From reads to what each reader's measurements of a patient come to, for readers to be compared."""

from collections.abc import Iterable

from analysis.endpoints import follow_up
from analysis.recist.best import best_of_course, first_response, visits_of
from analysis.recist.course import baseline_of, follow
from analysis.response import courses_of
from analysis.sdtm_reads import Course
from records.reads import Read
from records.responses import ReaderResponse

__all__ = ["reader_responses"]


def reader_responses(reads: Iterable[Read]) -> tuple[ReaderResponse, ...]:
    """Return the best response and its dates of each patient by each reader.

    The minimum duration of SD counts from the baseline scan: readers are blinded to
    the treatment, and it is the same scan for both.

    Raises
    ------
    InputError
        With all problems of all reads.
    """
    return tuple(_of_course(course) for course in courses_of(reads))


def _of_course(course: Course) -> ReaderResponse:
    points = follow(course.reads)
    reader = course.evaluator.label
    best = best_of_course(
        points,
        baseline_of(course.reads[0]).day,
        subject_id=course.subject_id,
        evaluator=reader,
        confirmed=False,
    )
    responded = first_response(visits_of(points), confirmed=False)
    progressed = follow_up(points).progression
    return ReaderResponse(
        subject_id=course.subject_id,
        reader=reader,
        best=best.response,
        responded=responded.isoformat() if responded else "",
        progressed=progressed.isoformat() if progressed else "",
    )
