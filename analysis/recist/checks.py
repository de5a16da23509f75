"""What makes reads unusable, and what departs from RECIST but can be judged.

Every check looks at all reads and goes on after a find, so that one run tells
everything that is wrong with a file.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from analysis.errors import AnalysisError, Problem
from analysis.recist.dates import PartialDate, parse_date
from analysis.recist.measurability import NODE_PATHOLOGICAL_MM, judge_measurability
from analysis.recist.protocol import ResponseProtocol
from analysis.recist.targets import TOO_SMALL_MM, lesion_size_mm
from analysis.recist.words import mm, number
from records.reads import (
    Lesion,
    LesionRole,
    Measurement,
    NewLesionFinding,
    NonTargetFinding,
    NonTargetStatus,
    Read,
    Seen,
)
from records.wording import counted

__all__ = [
    "LARGEST_MM",
    "InputError",
    "ProblemCode",
    "RowProblem",
    "find_departures",
    "find_problems",
    "find_problems_between_readers",
]

LARGEST_MM = Decimal(1000)  # no lesion is a metre long: a unit must be wrong
MAX_TARGETS = 5  # RECIST 1.1, 3.2
MAX_TARGETS_PER_ORGAN = 2


class ProblemCode(StrEnum):
    """What is wrong, for a program."""

    # not usable: refused
    MISSING_COLUMN = "missing_column"
    MISSING_VALUE = "missing_value"
    UNKNOWN_CODE = "unknown_code"
    UNKNOWN_UNIT = "unknown_unit"
    NOT_A_NUMBER = "not_a_number"
    NEGATIVE_SIZE = "negative_size"
    IMPLAUSIBLE_SIZE = "implausible_size"
    SHORT_AXIS_LONGER = "short_axis_longer"
    DUPLICATE_ROW = "duplicate_row"
    DUPLICATE_MEASUREMENT = "duplicate_measurement"
    DUPLICATE_VISIT = "duplicate_visit"
    UNKNOWN_LESION = "unknown_lesion"
    CONTRADICTION = "contradiction"
    BAD_DATE = "bad_date"
    DATES_OUT_OF_ORDER = "dates_out_of_order"
    TARGET_AFTER_BASELINE = "target_after_baseline"
    TOO_MANY_TARGETS = "too_many_targets"
    TOO_MANY_IN_ORGAN = "too_many_in_organ"
    BASELINE_NOT_MEASURED = "baseline_not_measured"
    UNREADABLE = "unreadable"
    # departs from RECIST 1.1: said, and judged all the same
    NOT_MEASURABLE = "not_measurable"
    NODE_IS_NORMAL = "node_is_normal"
    BASELINE_TOO_EARLY = "baseline_too_early"
    BASELINE_AFTER_START = "baseline_after_start"
    NO_DATES = "no_dates"


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One thing that is wrong: where, a code, and a sentence."""

    where: str  # tr.csv row 12
    code: ProblemCode
    sentence: str

    def __str__(self) -> str:
        return f"{self.where}: {self.sentence}" if self.where else self.sentence


class InputError(AnalysisError):
    """Reads or tables that cannot be used; all problems at once, in `problems`."""

    def __init__(self, problems: Sequence[RowProblem]) -> None:
        self.problems = tuple(problems)
        found = counted(len(self.problems), "problem")
        sentence = "\n".join([f"{found} in the input:", *map(str, self.problems)])
        super().__init__(Problem.BAD_INPUT, sentence)


def find_problems(reads: Iterable[Read]) -> list[RowProblem]:
    """Return all that makes the reads of one patient by one evaluator unusable.

    Parameters
    ----------
    reads : iterable of Read
        In any order.

    Returns
    -------
    list of RowProblem
        Empty if `follow` can judge them.
    """
    reads = list(reads)
    nameless = [
        RowProblem(
            read.source, ProblemCode.NOT_A_NUMBER, f"{read.subject_id}: {read.visit_number} numbers no visit"
        )
        for read in reads
        if not read.visit_number.is_finite()
    ]
    ordered = sorted(
        (read for read in reads if read.visit_number.is_finite()), key=lambda read: read.visit_number
    )
    if nameless or not ordered:
        return nameless
    problems = [
        *_visits_out_of_order(ordered),
        *_bad_baseline(ordered[0]),
        *_lesions_after_baseline(ordered),
    ]
    targets = {lesion.lesion_id: lesion for lesion in ordered[0].lesions if lesion.role is LesionRole.TARGET}
    nontargets = {
        lesion.lesion_id: lesion for lesion in ordered[0].lesions if lesion.role is LesionRole.NON_TARGET
    }
    for read in ordered:
        problems += _bad_dates(read)
        problems += _bad_measurements(read, targets)
        problems += _bad_merges(read)
        problems += _bad_findings(read, nontargets, targets)
    return problems


def find_problems_between_readers(reads: Iterable[Read]) -> list[RowProblem]:
    """Return where two readers of one patient both stand accepted at one visit.

    Parameters
    ----------
    reads : iterable of Read
        Of any patients, by any evaluators.
    """
    accepted: dict[tuple[str, Decimal], Read] = {}
    problems = []
    for read in reads:
        if not read.accepted:
            continue
        other = accepted.setdefault((read.subject_id, read.visit_number), read)
        if other.evaluator != read.evaluator:
            sentence = f"{_who(read)} is accepted, and so is {other.evaluator.label}; one response can count"
            problems.append(RowProblem(read.source, ProblemCode.CONTRADICTION, sentence))
    return problems


def find_departures(
    baseline: Read, treatment_start: date | None = None, protocol: ResponseProtocol | None = None
) -> list[RowProblem]:
    """Return where a baseline departs from RECIST 1.1, section 3; its responses can be judged all the same.

    Parameters
    ----------
    baseline : Read
    treatment_start : datetime.date, optional
        Without it the age of the baseline is not looked at.
    protocol : ResponseProtocol, optional
    """
    protocol = protocol or ResponseProtocol()
    found = []
    sizes = {measurement.lesion_id: measurement for measurement in baseline.measurements}
    for lesion in baseline.lesions:
        measurement = sizes.get(lesion.lesion_id)
        if lesion.role is not LesionRole.TARGET or measurement is None:
            continue
        judged = judge_measurability(
            lesion.kind,
            long_axis_mm=measurement.long_axis_mm,
            short_axis_mm=measurement.short_axis_mm,
            method=lesion.method,
            slice_thickness_mm=baseline.slice_thickness_mm,
            irradiation=lesion.irradiation,
            double_slice_for_nodes=protocol.double_slice_for_nodes,
        )
        if not judged.is_measurable:
            sentence = f"target {lesion.lesion_id} of {baseline.subject_id} is no target: {judged.sentence}"
            found.append(RowProblem(measurement.source, ProblemCode.NOT_MEASURABLE, sentence))
    for finding in baseline.non_targets:
        size_mm = finding.short_axis_mm
        if size_mm is not None and size_mm < NODE_PATHOLOGICAL_MM:
            sentence = (
                f"non-target node {finding.lesion_id} of {baseline.subject_id} has a short axis of "
                f"{mm(size_mm)}; under 10 mm a node is normal"
            )
            found.append(RowProblem(finding.source, ProblemCode.NODE_IS_NORMAL, sentence))
    if treatment_start is not None:
        found += _age_of_baseline(baseline, treatment_start, protocol)
    return found


def _age_of_baseline(baseline: Read, start: date, protocol: ResponseProtocol) -> Iterator[RowProblem]:
    day = parse_date(baseline.date)
    if (start - day.last).days > protocol.baseline_days:
        yield RowProblem(
            baseline.source,
            ProblemCode.BASELINE_TOO_EARLY,
            f"the baseline of {baseline.subject_id}, {baseline.date}, lies "
            f"{counted((start - day.last).days, 'day')} before treatment ({start}); "
            f"expected at most {protocol.baseline_days}",
        )
    if day.first > start:
        yield RowProblem(
            baseline.source,
            ProblemCode.BASELINE_AFTER_START,
            f"the baseline of {baseline.subject_id}, {baseline.date}, lies after treatment began ({start})",
        )


def _visits_out_of_order(ordered: Sequence[Read]) -> Iterator[RowProblem]:
    last: tuple[PartialDate, Read] | None = None
    for read in ordered:
        try:
            day = parse_date(read.date)
        except ValueError as error:
            yield RowProblem(read.source, ProblemCode.BAD_DATE, f"{_who(read)}: {error}")
            continue
        if last is not None:
            before, earlier = last
            if earlier.visit_number == read.visit_number:
                yield RowProblem(read.source, ProblemCode.DUPLICATE_VISIT, f"{_who(read)} is there twice")
            if day.last < before.first:
                yield RowProblem(
                    read.source,
                    ProblemCode.DATES_OUT_OF_ORDER,
                    f"{_who(read)} of {read.date} comes after {_visit(earlier)} of {earlier.date}",
                )
        last = day, read


def _bad_baseline(baseline: Read) -> Iterator[RowProblem]:
    for new in baseline.new_lesions:
        words = "is new at the first visit: what is there at baseline is target or non-target"
        yield _refusal(baseline, new, ProblemCode.CONTRADICTION, words)
    targets = [lesion for lesion in baseline.lesions if lesion.role is LesionRole.TARGET]
    who = f"{baseline.subject_id}, {baseline.evaluator.label}"
    if len(targets) > MAX_TARGETS:
        extra = targets[MAX_TARGETS]
        names = ", ".join(lesion.lesion_id for lesion in targets)
        yield RowProblem(
            extra.source,
            ProblemCode.TOO_MANY_TARGETS,
            f"{who} has {len(targets)} targets ({names}); RECIST 1.1 has at most {MAX_TARGETS}",
        )
    per_organ = Counter(lesion.organ for lesion in targets)
    for organ, count in per_organ.items():
        if count > MAX_TARGETS_PER_ORGAN:
            inside = [lesion for lesion in targets if lesion.organ == organ]
            names = ", ".join(lesion.lesion_id for lesion in inside)
            yield RowProblem(
                inside[MAX_TARGETS_PER_ORGAN].source,
                ProblemCode.TOO_MANY_IN_ORGAN,
                f"{who} has {count} targets in one organ, {organ.lower()} ({names}); RECIST 1.1 has at most "
                f"{MAX_TARGETS_PER_ORGAN}",
            )
    measured = {measurement.lesion_id: measurement for measurement in baseline.measurements}
    for lesion in targets:
        measurement = measured.get(lesion.lesion_id)
        size_mm = None if measurement is None else lesion_size_mm(lesion, measurement)
        if not size_mm:
            axis = "short axis" if lesion.is_node else "longest diameter"
            yield RowProblem(
                lesion.source,
                ProblemCode.BASELINE_NOT_MEASURED,
                f"{who}: target {lesion.lesion_id} has no {axis} at baseline to compare with",
            )


def _lesions_after_baseline(ordered: Sequence[Read]) -> Iterator[RowProblem]:
    known = {lesion.lesion_id: lesion for lesion in ordered[0].lesions}
    for lesion_id, count in Counter(lesion.lesion_id for lesion in ordered[0].lesions).items():
        if count > 1:
            yield RowProblem(
                known[lesion_id].source,
                ProblemCode.DUPLICATE_ROW,
                f"{_who(ordered[0])}: lesion {lesion_id} is named {count} times",
            )
    for read in ordered[1:]:
        for lesion in read.lesions:
            if lesion.role is LesionRole.NEW:
                continue
            before = known.get(lesion.lesion_id)
            if before is None:
                yield RowProblem(
                    lesion.source,
                    ProblemCode.TARGET_AFTER_BASELINE,
                    f"{_who(read)}: {lesion.role.lower()} {lesion.lesion_id} appears after baseline; what "
                    "was not there at baseline is a new lesion",
                )
            elif before.role is not lesion.role:
                yield RowProblem(
                    lesion.source,
                    ProblemCode.CONTRADICTION,
                    f"{_who(read)}: {lesion.lesion_id} is {lesion.role.lower()} here, "
                    f"{before.role.lower()} at baseline",
                )


def _bad_dates(read: Read) -> Iterator[RowProblem]:
    parts: tuple[Measurement | NonTargetFinding | NewLesionFinding, ...] = (
        *read.measurements,
        *read.non_targets,
        *read.new_lesions,
    )
    for part in parts:
        if part.date:
            try:
                parse_date(part.date)
            except ValueError as error:
                yield _refusal(read, part, ProblemCode.BAD_DATE, f"has a date that is none: {error}")


def _bad_merges(read: Read) -> Iterator[RowProblem]:
    """Follow each merged lesion to the one that stands for both; in a circle every one would count 0."""
    measured = {measurement.lesion_id: measurement for measurement in read.measurements}
    for measurement in read.measurements:
        passed: set[str] = set()
        at: Measurement | None = measurement
        while at is not None and at.seen is Seen.MERGED and at.lesion_id not in passed:
            passed.add(at.lesion_id)
            at = measured.get(at.merged_into)
        if at is None or measurement.seen is not Seen.MERGED:
            continue
        if at.seen is Seen.MERGED and at.merged_into != at.lesion_id:
            words = f"merged with {measurement.merged_into}, and that with it: no lesion has the size of both"
            yield _refusal(read, measurement, ProblemCode.CONTRADICTION, words)
        elif at.seen is Seen.ABSENT:
            words = f"merged with {at.lesion_id}, which is absent"
            yield _refusal(read, measurement, ProblemCode.CONTRADICTION, words)


def _bad_size(size_mm: Decimal | None) -> tuple[ProblemCode, str] | None:
    """Return what is wrong with a size whatever it is of, or None."""
    if size_mm is None:
        return None
    if not size_mm.is_finite():
        return ProblemCode.NOT_A_NUMBER, f"has a size of {size_mm}, which is no number"
    if size_mm < 0:
        return ProblemCode.NEGATIVE_SIZE, f"has a size of {mm(size_mm)}"
    if size_mm > LARGEST_MM:
        return ProblemCode.IMPLAUSIBLE_SIZE, f"has a size of {mm(size_mm)}, more than a metre"
    return None


def _bad_measurements(read: Read, targets: dict[str, Lesion]) -> Iterator[RowProblem]:
    seen: set[str] = set()
    for measurement in read.measurements:
        lesion_id = measurement.lesion_id
        if lesion_id in seen:
            sentence = f"{_who(read)}, {lesion_id} is measured twice"
            yield RowProblem(measurement.source, ProblemCode.DUPLICATE_MEASUREMENT, sentence)
        seen.add(lesion_id)
        if lesion_id not in targets:
            sentence = f"{_who(read)}, {lesion_id} is measured but is no target at baseline"
            yield RowProblem(measurement.source, ProblemCode.UNKNOWN_LESION, sentence)
            continue
        wrong = list(filter(None, map(_bad_size, _sizes_of(measurement))))
        for code, words in wrong:
            yield _refusal(read, measurement, code, words)
        if not any(code is ProblemCode.NOT_A_NUMBER for code, _ in wrong):
            yield from _contradictions(read, measurement, targets)


def _sizes_of(measurement: Measurement) -> tuple[Decimal | None, ...]:
    return (measurement.long_axis_mm, measurement.short_axis_mm, *measurement.fragments_mm)


def _contradictions(read: Read, measurement: Measurement, targets: dict[str, Lesion]) -> Iterator[RowProblem]:
    long_mm, short_mm = measurement.long_axis_mm, measurement.short_axis_mm
    if long_mm is not None and short_mm is not None and short_mm > long_mm:
        words = f"has a short axis, {mm(short_mm)}, longer than its longest diameter, {mm(long_mm)}"
        yield _refusal(read, measurement, ProblemCode.SHORT_AXIS_LONGER, words)
    if measurement.seen is Seen.MERGED and (
        measurement.merged_into not in targets or measurement.merged_into == measurement.lesion_id
    ):
        words = f"merged with {measurement.merged_into or 'nothing'}, which is no other target"
        yield _refusal(read, measurement, ProblemCode.UNKNOWN_LESION, words)
    if measurement.seen is Seen.ABSENT and any(_sizes_of(measurement)):
        words = f"is absent, and measured at {mm(next(filter(None, _sizes_of(measurement))))}"
        yield _refusal(read, measurement, ProblemCode.CONTRADICTION, words)
    counts = short_mm if targets[measurement.lesion_id].is_node else long_mm
    if measurement.seen is Seen.TOO_SMALL and counts is not None and counts > TOO_SMALL_MM:
        words = f"is too small to measure, and measured at {mm(counts)}"
        yield _refusal(read, measurement, ProblemCode.CONTRADICTION, words)


def _refusal(
    read: Read,
    part: Measurement | NonTargetFinding | NewLesionFinding,
    code: ProblemCode,
    words: str,
) -> RowProblem:
    return RowProblem(part.source, code, f"{_who(read)}: {part.lesion_id} {words}")


def _bad_findings(
    read: Read, nontargets: dict[str, Lesion], targets: dict[str, Lesion]
) -> Iterator[RowProblem]:
    seen: set[str] = set()
    for finding in read.non_targets:
        size_mm = finding.short_axis_mm
        if finding.lesion_id in seen:
            yield _refusal(read, finding, ProblemCode.DUPLICATE_MEASUREMENT, "is assessed twice")
        seen.add(finding.lesion_id)
        if finding.lesion_id not in nontargets:
            words = "is assessed but is no non-target at baseline"
            yield _refusal(read, finding, ProblemCode.UNKNOWN_LESION, words)
        if wrong := _bad_size(size_mm):
            yield _refusal(read, finding, *wrong)
            continue
        is_absent = finding.status is NonTargetStatus.ABSENT
        if is_absent and size_mm is not None and size_mm >= NODE_PATHOLOGICAL_MM:
            words = f"is absent, and its short axis is {mm(size_mm)}"
            yield _refusal(read, finding, ProblemCode.CONTRADICTION, words)
    named: set[str] = set()
    for new in read.new_lesions:
        if new.lesion_id in named:
            yield _refusal(read, new, ProblemCode.DUPLICATE_MEASUREMENT, "is told of twice")
        named.add(new.lesion_id)
        if new.lesion_id in targets or new.lesion_id in nontargets:
            yield _refusal(read, new, ProblemCode.CONTRADICTION, "is new here, and was there at baseline")
        for size in (new.long_axis_mm, new.short_axis_mm):
            if wrong := _bad_size(size):
                yield _refusal(read, new, *wrong)


def _visit(read: Read) -> str:
    return read.visit or f"visit {number(read.visit_number)}"


def _who(read: Read) -> str:
    return f"{read.subject_id}, {read.evaluator.label}, {_visit(read)}"
