"""A patient followed by one reader: every time point judged in its turn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from analysis.recist.dates import parse_date
from analysis.recist.newlesions import judge_new_lesion, judge_new_lesions
from analysis.recist.nontargets import is_still_diseased, judge_nontargets
from analysis.recist.overall import overall_response
from analysis.recist.protocol import ProgressionDate, ResponseProtocol
from analysis.recist.results import NewLesion, TimePoint
from analysis.recist.targets import Reference, TargetState, judge_targets, measure_targets
from records.reads import (
    Certainty,
    Lesion,
    LesionRole,
    NewLesionFinding,
    NonTargetStatus,
    Read,
    Response,
)

__all__ = ["Baseline", "baseline_of", "follow"]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a patient starts with."""

    targets: tuple[Lesion, ...]
    nontargets: tuple[Lesion, ...]
    sum_mm: Decimal | None  # None without targets
    visit: str
    day: date


@dataclass(slots=True)
class _Memory:
    """What a time point has to know of those before it."""

    reference: Reference | None
    had_complete_response: bool = False
    last_day: date | None = None
    first_seen: dict[str, date] = field(default_factory=dict)  # findings that were not there at baseline


def baseline_of(read: Read) -> Baseline:
    """Return the baseline that the first read of a patient lays down."""
    targets = tuple(lesion for lesion in read.lesions if lesion.role is LesionRole.TARGET)
    nontargets = tuple(lesion for lesion in read.lesions if lesion.role is LesionRole.NON_TARGET)
    state = measure_targets(targets, read.measurements)
    return Baseline(
        targets=targets,
        nontargets=nontargets,
        sum_mm=state.measured_mm if targets else None,
        visit=read.visit,
        day=parse_date(read.date).first,
    )


def follow(reads: Iterable[Read], protocol: ResponseProtocol | None = None) -> tuple[TimePoint, ...]:
    """Judge all time points of one patient by one evaluator.

    Parameters
    ----------
    reads : iterable of Read
        In any order; the one with the lowest visit number is the baseline. They
        are taken to be without contradictions (`checks.find_problems`).
    protocol : ResponseProtocol, optional

    Returns
    -------
    tuple of TimePoint
        In the order of the visits, without the baseline.
    """
    protocol = protocol or ResponseProtocol()
    first, *later = sorted(reads, key=lambda read: read.visit_number)
    baseline = baseline_of(first)
    memory = _Memory(
        reference=None
        if baseline.sum_mm is None
        else Reference(baseline.sum_mm, baseline.sum_mm, f"baseline, {first.visit}"),
        last_day=baseline.day,
    )
    return tuple(_judge(read, baseline, memory, protocol) for read in later)


def _judge(read: Read, baseline: Baseline, memory: _Memory, protocol: ResponseProtocol) -> TimePoint:
    day = parse_date(read.date).not_before(memory.last_day)
    state = measure_targets(baseline.targets, read.measurements)
    reference = memory.reference
    target, target_words = (
        (None, "no target lesions") if reference is None else judge_targets(state, reference)
    )
    nontarget, nontarget_words = judge_nontargets(baseline.nontargets, read.non_targets, read.markers_normal)
    new_lesion, new_words, proven = judge_new_lesions(read.new_lesions)
    overall, table = overall_response(target, nontarget, new_lesion)

    diseased = _diseased(read, baseline, state)
    returned = diseased if memory.had_complete_response else ()
    if returned and overall is not Response.PD:
        overall, table = Response.PD, f"disease is back after a complete response: {', '.join(returned)}"

    progression_day, dating = (None, "")
    if overall is Response.PD:
        progression_day, dating = _date_progression(
            read, day, target, nontarget, proven, bool(returned), memory, protocol
        )
    point = TimePoint(
        subject_id=read.subject_id,
        evaluator=read.evaluator,
        visit_number=read.visit_number,
        visit=read.visit,
        date_text=read.date,
        day=day,
        target_response=target,
        nontarget_response=nontarget,
        new_lesion=new_lesion,
        overall_response=overall,
        sum_mm=state.measured_mm if reference is not None and state.is_complete else None,
        nadir_mm=None if reference is None else reference.nadir_mm,
        baseline_mm=baseline.sum_mm,
        rule=f"{overall} ({table}): {target_words}; {nontarget_words}; {new_words}.{dating}",
        last_scan_day=_last_scan_day(read, day),
        progression_day=progression_day,
        accepted=read.accepted,
        adjudicated=read.adjudicated,
        shows_disease=bool(diseased) or new_lesion is NewLesion.YES,
    )
    _remember(memory, read, point, state, protocol)
    return point


def _remember(
    memory: _Memory, read: Read, point: TimePoint, state: TargetState, protocol: ResponseProtocol
) -> None:
    if memory.reference is not None and state.is_complete and point.target_response is not None:
        memory.reference = memory.reference.after(
            state.measured_mm, read.visit, point.day, point.target_response, protocol
        )
    if point.overall_response is Response.CR:
        memory.had_complete_response = True
    elif point.overall_response is Response.PD:
        memory.had_complete_response = False
    memory.last_day = point.day
    for finding in read.new_lesions:
        if judge_new_lesion(finding)[0] is not NewLesion.NO:  # a node that was normal was not seen first then
            memory.first_seen.setdefault(finding.lesion_id, _day_of(finding.date, point.day))


def _diseased(read: Read, baseline: Baseline, state: TargetState) -> tuple[str, ...]:
    """Name the lesions of the baseline that show disease; after a complete response any is progression."""
    findings = {finding.lesion_id: finding for finding in read.non_targets}
    nontargets = tuple(
        lesion.lesion_id
        for lesion in baseline.nontargets
        if lesion.lesion_id in findings and is_still_diseased(lesion, findings[lesion.lesion_id])
    )
    return state.diseased + nontargets


def _date_progression(
    read: Read,
    day: date,
    target: Response | None,
    nontarget: Response | None,
    proven: Sequence[NewLesionFinding],
    returned: bool,
    memory: _Memory,
    protocol: ResponseProtocol,
) -> tuple[date, str]:
    """Return the earliest day that any part of the progression dates from, and a remark."""
    days = [_day_of(finding.date, day) for finding in proven]
    remark = ""
    for finding in proven:
        first_seen = memory.first_seen.get(finding.lesion_id)
        if first_seen is not None and first_seen < day and finding.certainty is Certainty.UNEQUIVOCAL:
            days.append(first_seen)
            remark = f" {finding.lesion_id} was first seen on {first_seen}: the progression dates from there."
    if nontarget is Response.PD:
        days += [
            _day_of(finding.date, day)
            for finding in read.non_targets
            if finding.status is NonTargetStatus.UNEQUIVOCAL_PROGRESSION
        ]
    if target is Response.PD or (returned and not days):
        scans = [_day_of(measurement.date, day) for measurement in read.measurements]
        take = max if protocol.progression_date is ProgressionDate.LAST_TARGET_SCAN else min
        days.append(take(scans, default=day))
    return min(days, default=day), remark


def _last_scan_day(read: Read, day: date) -> date:
    texts = [measurement.date for measurement in read.measurements]
    texts += [finding.date for finding in read.non_targets]
    texts += [finding.date for finding in read.new_lesions]
    return max((_day_of(text, day) for text in texts), default=day)


def _day_of(text: str, day: date) -> date:
    return parse_date(text).not_before(day) if text else day
