"""iRECIST: a progression has to be confirmed before it is believed (Seymour 2017, Lancet Oncol 18:e143).

RECIST 1.1 judges every time point first; this module reads its answers again.
The first PD is unconfirmed (iUPD). It is confirmed (iCPD) by further growth of
what had progressed, or by a progression of something else; a time point at
which the disease shrank instead sets the bar back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from analysis.recist.course import follow
from analysis.recist.newlesions import judge_new_lesions
from analysis.recist.overall import overall_response
from analysis.recist.protocol import ResponseProtocol
from analysis.recist.results import NewLesion, TimePoint
from analysis.recist.targets import PROGRESSIVE_GROWTH_MM, PROGRESSIVE_SHARE
from analysis.recist.words import mm
from records.reads import LesionKind, NewLesionFinding, NonTargetStatus, Read, Response
from records.wording import counted

__all__ = [
    "ImmuneBest",
    "ImmunePoint",
    "ImmuneResponse",
    "best_immune_response",
    "follow_immune",
    "immune_progression_day",
]

FURTHER_GROWTH_MM = Decimal(5)  # of the targets, or of the measured new lesions
EARLIEST_CONFIRMATION = timedelta(weeks=4)
LATEST_CONFIRMATION = timedelta(weeks=8)
NEW_TARGETS, NEW_TARGETS_PER_ORGAN = 5, 2  # measured apart from the targets of the baseline
MEASURABLE_MM, MEASURABLE_NODE_MM = Decimal(10), Decimal(15)


class ImmuneResponse(StrEnum):
    """RECIST's words with the i that says they were assigned by iRECIST."""

    ICR = "iCR"
    IPR = "iPR"
    ISD = "iSD"
    NON_ICR_NON_IUPD = "NON-iCR/NON-iUPD"
    IUPD = "iUPD"
    ICPD = "iCPD"
    NED = "NED"
    NE = "NE"


I_RESPONSE = {
    Response.CR: ImmuneResponse.ICR,
    Response.PR: ImmuneResponse.IPR,
    Response.SD: ImmuneResponse.ISD,
    Response.NON_CR_NON_PD: ImmuneResponse.NON_ICR_NON_IUPD,
    Response.NE: ImmuneResponse.NE,
    Response.NED: ImmuneResponse.NED,
}
STABLE = (ImmuneResponse.ISD, ImmuneResponse.NON_ICR_NON_IUPD)
BEST_ORDER = (
    ImmuneResponse.ICR,
    ImmuneResponse.IPR,
    ImmuneResponse.ISD,
    ImmuneResponse.NON_ICR_NON_IUPD,
    ImmuneResponse.NED,
    ImmuneResponse.ICPD,
    ImmuneResponse.IUPD,
    ImmuneResponse.NE,
)


@dataclass(frozen=True, slots=True)
class ImmunePoint:
    """A time point by iRECIST, beside its response by RECIST 1.1."""

    day: date
    visit: str
    recist: Response
    response: ImmuneResponse
    rule: str


@dataclass(frozen=True, slots=True)
class ImmuneBest:
    """Best response by iRECIST, and the visit it comes from."""

    response: ImmuneResponse
    day: date | None


@dataclass(frozen=True, slots=True)
class _Burden:
    """What can grow further, at one time point."""

    target_mm: Decimal | None
    nontarget_progressive: bool
    nontarget_grew: bool
    new_lesions: frozenset[str]
    new_target_mm: Decimal
    new_nontarget_grew: bool


@dataclass(frozen=True, slots=True)
class _Accounted:
    """New lesions whose episode has passed: there again they are no news, unless they progress themselves."""

    names: frozenset[str]
    nadir_mm: Decimal | None  # smallest sum of those that are measured

    def with_those_of(self, burden: _Burden) -> "_Accounted":
        """Return these and the new lesions of a time point."""
        sums = [size for size in (self.nadir_mm, burden.new_target_mm) if size is not None]
        return _Accounted(self.names | burden.new_lesions, min(sums))

    def progressed(self, burden: _Burden) -> bool:
        """Whether the measured ones meet RECIST's progression against their own nadir."""
        if self.nadir_mm is None or not self.names:
            return False
        growth_mm = burden.new_target_mm - self.nadir_mm
        by_share = burden.new_target_mm >= PROGRESSIVE_SHARE * self.nadir_mm
        return by_share and growth_mm >= PROGRESSIVE_GROWTH_MM


@dataclass(frozen=True, slots=True)
class _Open:
    """An iUPD that waits for its confirmation, and the burden it was called at."""

    day: date
    burden: _Burden
    by_target: bool
    by_nontarget: bool
    by_new: bool


def follow_immune(reads: Iterable[Read], protocol: ResponseProtocol | None = None) -> tuple[ImmunePoint, ...]:
    """Judge all time points of one patient by one evaluator, by iRECIST.

    Parameters
    ----------
    reads : iterable of Read
        As for `course.follow`.
    protocol : ResponseProtocol, optional

    Returns
    -------
    tuple of ImmunePoint
        In the order of the visits, without the baseline.
    """
    ordered = sorted(reads, key=lambda read: read.visit_number)
    points = follow(ordered, protocol)
    waiting: _Open | None = None
    confirmed = False
    accounted = _Accounted(frozenset(), None)
    measured = _new_targets(ordered[1:])
    judged: list[ImmunePoint] = []
    for read, point in zip(ordered[1:], points, strict=True):
        burden = _burden(read, point, measured)
        if confirmed:
            response, rule = ImmuneResponse.ICPD, "progression was confirmed before"
        elif waiting is None:
            response, rule, waiting = _open(point, burden, accounted)
        else:
            response, rule = _judge_waiting(point, burden, waiting)
            if response is ImmuneResponse.ICPD:
                confirmed = True
            elif response not in (ImmuneResponse.IUPD, ImmuneResponse.NE):
                accounted = accounted.with_those_of(waiting.burden).with_those_of(burden)
                waiting = None
            elif response is ImmuneResponse.IUPD:
                waiting = _widen(waiting, point, burden)
        judged.append(ImmunePoint(point.day, point.visit, point.overall_response, response, rule))
    return tuple(judged)


def best_immune_response(
    responses: Sequence[tuple[date, ImmuneResponse]], start: date, protocol: ResponseProtocol | None = None
) -> ImmuneBest:
    """Return the best response by iRECIST; an unconfirmed progression does not end the search.

    Disease has to be stable for as long as by RECIST 1.1 (4.4.3), which iRECIST leaves as it is.

    Parameters
    ----------
    responses : sequence of (date, ImmuneResponse)
        In order of time; those after an iCPD are left out.
    start : datetime.date
        Start of treatment, or the baseline scan where that is not known.
    protocol : ResponseProtocol, optional
    """
    least_days = (protocol or ResponseProtocol()).minimum_stable_days
    until: list[tuple[date, ImmuneResponse]] = []
    for day, response in responses:
        is_early = response in STABLE and (day - start).days < least_days
        until.append((day, ImmuneResponse.NE if is_early else response))
        if response is ImmuneResponse.ICPD:
            break
    if not until:
        return ImmuneBest(ImmuneResponse.NE, None)
    day, response = min(until, key=lambda item: BEST_ORDER.index(item[1]))
    return ImmuneBest(response, day)


def immune_progression_day(responses: Sequence[tuple[date, ImmuneResponse]]) -> date | None:
    """Return the day progression dates from.

    That is the first iUPD of the episode that iCPD confirmed, or, if no later
    scan could tell, that of an iUPD nothing followed. An iUPD that was followed
    by iSD, iPR or iCR is none.
    """
    opened: date | None = None
    for day, response in responses:
        if response is ImmuneResponse.IUPD:
            opened = opened or day
        elif response is ImmuneResponse.ICPD:
            return opened or day
        elif response is not ImmuneResponse.NE:
            opened = None
    return opened


def _open(
    point: TimePoint, burden: _Burden, accounted: _Accounted
) -> tuple[ImmuneResponse, str, _Open | None]:
    """Judge a time point while no progression waits to be confirmed."""
    fresh = burden.new_lesions - accounted.names
    grown = accounted.progressed(burden)
    by_target = point.target_response is Response.PD
    by_nontarget = point.nontarget_response is Response.PD
    by_new = bool(fresh) or grown
    returned = point.overall_response is Response.PD and not burden.new_lesions
    if by_target or by_nontarget or by_new or returned:
        reasons = [
            words
            for words, holds in (
                ("the targets", by_target or (returned and not by_nontarget)),
                ("the non-targets", by_nontarget),
                (f"new lesions {', '.join(sorted(fresh))}", bool(fresh)),
                ("growth of the new lesions seen before", grown),
            )
            if holds
        ]
        waiting = _Open(point.day, burden, by_target or returned, by_nontarget, by_new)
        return ImmuneResponse.IUPD, f"iUPD by {' and '.join(reasons)}, to be confirmed", waiting
    response = _without_new_lesions(point)
    return response, f"{response} as by RECIST 1.1: {point.rule}", None


def _judge_waiting(point: TimePoint, burden: _Burden, waiting: _Open) -> tuple[ImmuneResponse, str]:
    """Judge a time point while an iUPD waits."""
    growth = _further_growth(point, burden, waiting)
    since = point.day - waiting.day
    if growth:
        if since < EARLIEST_CONFIRMATION:
            return (
                ImmuneResponse.IUPD,
                f"still iUPD: {growth}, but only {counted(since.days, 'day')} after the iUPD",
            )
        late = ", later than the 8 weeks asked for" if since > LATEST_CONFIRMATION else ""
        return ImmuneResponse.ICPD, f"iCPD: {growth}, {counted(since.days, 'day')} after the iUPD{late}"
    if point.overall_response is Response.NE:
        return ImmuneResponse.NE, f"NE, the iUPD of {waiting.day} still waits"
    if (
        point.target_response is Response.PD
        or point.nontarget_response is Response.PD
        or not _shrank(burden, waiting)
    ):
        return ImmuneResponse.IUPD, f"still iUPD: neither further growth nor shrinkage since {waiting.day}"
    response = _without_new_lesions(point)
    return response, f"{response}: the disease shrank since the iUPD of {waiting.day}; the bar is set back"


def _further_growth(point: TimePoint, burden: _Burden, waiting: _Open) -> str:
    """Say what confirms the progression, or nothing."""
    before = waiting.burden
    if waiting.by_target and burden.target_mm is not None and before.target_mm is not None:
        growth_mm = burden.target_mm - before.target_mm
        if growth_mm >= FURTHER_GROWTH_MM:
            return f"the targets grew by a further {mm(growth_mm)}"
    if waiting.by_nontarget and burden.nontarget_grew:
        return "the non-targets grew further"
    if waiting.by_new:
        growth_mm = burden.new_target_mm - before.new_target_mm
        if growth_mm >= FURTHER_GROWTH_MM:
            return f"the new lesions grew by {mm(growth_mm)}"
        if burden.new_nontarget_grew:
            return "a new lesion that is not measured grew"
    further = burden.new_lesions - before.new_lesions
    if further:
        return f"further new lesions {', '.join(sorted(further))}"
    if point.target_response is Response.PD and not waiting.by_target:
        return "the targets progressed as well"
    if point.nontarget_response is Response.PD and not waiting.by_nontarget:
        return "the non-targets progressed as well"
    return ""


def _shrank(burden: _Burden, waiting: _Open) -> bool:
    """Whether there is less disease than at the iUPD."""
    before = waiting.burden
    fewer = burden.new_lesions < before.new_lesions or burden.new_target_mm < before.new_target_mm
    targets = (
        burden.target_mm is not None and before.target_mm is not None and burden.target_mm < before.target_mm
    )
    nontargets = before.nontarget_progressive and not burden.nontarget_progressive
    return fewer or targets or nontargets


def _widen(waiting: _Open, point: TimePoint, burden: _Burden) -> _Open:
    """Keep the burden the iUPD was called at, and add what has newly progressed since (seen too early)."""
    return replace(
        waiting,
        by_target=waiting.by_target or point.target_response is Response.PD,
        by_nontarget=waiting.by_nontarget or point.nontarget_response is Response.PD,
        by_new=waiting.by_new or bool(burden.new_lesions),
    )


def _without_new_lesions(point: TimePoint) -> ImmuneResponse:
    """Return the response that targets and non-targets alone amount to; a new lesion forbids iCR."""
    response, _ = overall_response(point.target_response, point.nontarget_response, NewLesion.NO)
    if response is Response.CR and point.new_lesion is NewLesion.YES:
        response = Response.PR if point.target_response is not None else Response.NON_CR_NON_PD
    return I_RESPONSE[response]


def _burden(read: Read, point: TimePoint, measured: frozenset[str]) -> _Burden:
    _, _, proven = judge_new_lesions(read.new_lesions)
    names = frozenset(finding.lesion_id for finding in proven)
    return _Burden(
        target_mm=point.sum_mm,
        nontarget_progressive=point.nontarget_response is Response.PD,
        nontarget_grew=any(
            finding.grew_since_last
            for finding in read.non_targets
            if finding.status is not NonTargetStatus.NOT_ASSESSED
        ),
        new_lesions=names,
        new_target_mm=sum(
            (_size_mm(finding) or Decimal(0) for finding in proven if finding.lesion_id in measured),
            Decimal(0),
        ),
        new_nontarget_grew=any(
            finding.grew_since_last for finding in proven if finding.lesion_id not in measured
        ),
    )


def _new_targets(reads: Sequence[Read]) -> frozenset[str]:
    """Choose the new lesions that are measured: five in all, two an organ, the first and largest."""
    chosen: set[str] = set()
    per_organ: dict[str, int] = {}
    seen: set[str] = set()
    for read in reads:
        fresh = [finding for finding in read.new_lesions if finding.lesion_id not in seen]
        for finding in sorted(fresh, key=lambda finding: _size_mm(finding) or Decimal(0), reverse=True):
            seen.add(finding.lesion_id)
            limit_mm = MEASURABLE_NODE_MM if finding.kind is LesionKind.LYMPH_NODE else MEASURABLE_MM
            if (_size_mm(finding) or Decimal(0)) < limit_mm or len(chosen) == NEW_TARGETS:
                continue
            if per_organ.get(finding.organ, 0) < NEW_TARGETS_PER_ORGAN:
                chosen.add(finding.lesion_id)
                per_organ[finding.organ] = per_organ.get(finding.organ, 0) + 1
    return frozenset(chosen)


def _size_mm(finding: NewLesionFinding) -> Decimal | None:
    return finding.short_axis_mm if finding.kind is LesionKind.LYMPH_NODE else finding.long_axis_mm
