"""Best overall response, with and without confirmation (RECIST 1.1, 4.5, 4.6 and table 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from analysis.recist.protocol import AfterCompleteResponse, EarlyDeath, ResponseProtocol
from analysis.recist.results import Best, Source, TimePoint
from records.reads import Response
from records.wording import counted

__all__ = ["ORDER", "Visit", "best_of_course", "best_response", "first_response", "visits_of"]

STABLE = (Response.SD, Response.NON_CR_NON_PD)
ORDER = (  # best first
    Response.CR,
    Response.PR,
    Response.SD,
    Response.NON_CR_NON_PD,
    Response.NED,
    Response.PD,
    Response.NE,
)


@dataclass(frozen=True, slots=True)
class Visit:
    """A response and its day: all that the best response needs to know.

    `shows_disease` is False where no lesion was seen: after a CR such a PR is no return of disease, but a
    scan on which not everything was assessed, or a raised marker.
    """

    day: date
    response: Response
    name: str = ""
    shows_disease: bool = True


@dataclass(frozen=True, slots=True)
class _Candidate:
    response: Response
    visit: Visit
    rule: str


def visits_of(points: Sequence[TimePoint], *, until: date | None = None) -> tuple[Visit, ...]:
    """Return the visits that can count: up to the first progression, and up to the day `until`.

    A progression counts from the day it is dated to, so that a visit on which
    its new lesion was still equivocal does not count beside it.
    """
    visits: list[Visit] = []
    for point in points:
        if point.overall_response is Response.PD:
            progression_day = point.progression_day or point.day
            if until is None or progression_day <= until:
                visits = [visit for visit in visits if visit.day < progression_day]
                visits.append(Visit(progression_day, Response.PD, point.visit))
            break
        if until is None or point.day <= until:
            visits.append(Visit(point.day, point.overall_response, point.visit, point.shows_disease))
    return tuple(visits)


def best_of_course(
    points: Sequence[TimePoint],
    start: date,
    *,
    subject_id: str,
    evaluator: str,
    confirmed: bool,
    until: date | None = None,
    died: bool = False,
    protocol: ResponseProtocol | None = None,
) -> Best:
    """Return the best response of one patient by one evaluator.

    Parameters
    ----------
    points : sequence of TimePoint
        In order; none for a patient never seen after baseline.
    start : datetime.date
        Start of treatment, or the baseline scan where that is not known.
    subject_id, evaluator : str
        Whose it is.
    confirmed : bool
        Whether CR and PR have to be confirmed.
    until : datetime.date, optional
        Start of another anticancer therapy: later time points do not count.
    died : bool
        Whether the patient died; where no time point could be judged that is an early death.
    protocol : ResponseProtocol, optional
    """
    visits = visits_of(points, until=until)
    response, visit, rule = best_response(
        visits,
        start,
        confirmed=confirmed,
        has_targets=not points or points[0].target_response is not None,
        died_before_assessment=died,
        protocol=protocol,
    )
    if until is not None and visits != visits_of(points):
        rule += f"; what was seen after the new therapy of {until} does not count"
    return Best(
        subject_id=subject_id,
        evaluator=evaluator,
        response=response,
        confirmed=confirmed,
        day=visit.day if visit else None,
        visit=visit.name if visit else "",
        rule=rule,
        source=_source(points),
        came_from=", ".join(dict.fromkeys(point.evaluator.label for point in points)) or evaluator,
    )


def _source(points: Sequence[TimePoint]) -> Source:
    """Return whose word a series is: adjudicated if one of its time points is."""
    found = {point.source for point in points} or {Source.READER}
    return next(source for source in (Source.ADJUDICATED, Source.ACCEPTED, Source.READER) if source in found)


def best_response(
    visits: Sequence[Visit],
    start: date,
    *,
    confirmed: bool,
    has_targets: bool = True,
    died_before_assessment: bool = False,
    protocol: ResponseProtocol | None = None,
) -> tuple[Response, Visit | None, str]:
    """Return the best of a sequence of responses, the visit it comes from, and why.

    Parameters
    ----------
    visits : sequence of Visit
        In order of time; those after the first PD are left out here.
    start : datetime.date
        Start of treatment, from which the minimum duration of SD counts.
    confirmed : bool
        Whether CR and PR have to be confirmed (RECIST 1.1 asks for it where
        response is the primary endpoint of a non-randomised study).
    has_targets : bool
        A CR that was not confirmed counts as SD, or, without targets, as non-CR/non-PD.
    died_before_assessment : bool
        Whether the patient died before a time point could be judged.
    protocol : ResponseProtocol, optional
    """
    protocol = protocol or ResponseProtocol()
    visits = _until_progression(visits, protocol)
    judged = any(visit.response is not Response.NE for visit in visits)
    if died_before_assessment and not judged:
        return _early_death(protocol)
    if not visits:
        return Response.MISSING, None, "no time point after baseline"
    stable = Response.SD if has_targets else Response.NON_CR_NON_PD
    candidates = [
        candidate
        for index, visit in enumerate(visits)
        for candidate in _candidates(visits, index, visit, start, confirmed, stable, protocol)
    ]
    best = min(candidates, key=lambda candidate: ORDER.index(candidate.response))
    return best.response, best.visit, f"{best.response}: {best.rule}"


def first_response(
    visits: Sequence[Visit], *, confirmed: bool, protocol: ResponseProtocol | None = None
) -> date | None:
    """Return the day of the first CR or PR, the first that is confirmed later where that is asked for.

    Duration of response counts from here, whichever of the two came first
    (RECIST 1.1, 4.6.2), though a later CR be the best response.
    """
    protocol = protocol or ResponseProtocol()
    visits = _until_progression(visits, protocol)
    return next(
        (
            visit.day
            for index, visit in enumerate(visits)
            if visit.response.is_response
            and (not confirmed or _confirmations(visits, index, visit, protocol))
        ),
        None,
    )


def _until_progression(visits: Sequence[Visit], protocol: ResponseProtocol) -> tuple[Visit, ...]:
    """Cut after the first progression, and settle what a PR after a CR is (table 3, footnote a)."""
    kept: list[Visit] = []
    for visit in visits:
        had_complete = any(earlier.response is Response.CR for earlier in kept)
        if visit.response is Response.PR and had_complete and not visit.shows_disease:
            kept.append(Visit(visit.day, Response.NE, visit.name, shows_disease=False))
            continue
        if visit.response is Response.PR and had_complete:
            if protocol.after_complete_response is AfterCompleteResponse.PROGRESSION:
                kept.append(Visit(visit.day, Response.PD, visit.name))
                break
            kept = [
                Visit(earlier.day, Response.PR, earlier.name) if earlier.response is Response.CR else earlier
                for earlier in kept
            ]
        kept.append(visit)
        if visit.response is Response.PD:
            break
    return tuple(kept)


def _candidates(
    visits: Sequence[Visit],
    index: int,
    visit: Visit,
    start: date,
    confirmed: bool,
    stable: Response,
    protocol: ResponseProtocol,
) -> list[_Candidate]:
    """Return what one visit may be counted as."""
    response = visit.response
    if response in (Response.PD, Response.NE, Response.NED):
        return [_Candidate(response, visit, _where(visit))]
    found: list[_Candidate] = []
    if response.is_response:
        if not confirmed:
            return [_Candidate(response, visit, f"{_where(visit)}, no confirmation asked for")]
        found += _confirmations(visits, index, visit, protocol)
    days = (visit.day - start).days
    stable = stable if response.is_response else response
    unconfirmed = f"a {response} that was not confirmed, " if response.is_response else ""
    rule = f"{unconfirmed}{_where(visit)}, day {days} ({stable} needs {protocol.minimum_stable_days})"
    if days >= protocol.minimum_stable_days:
        found.append(_Candidate(stable, visit, rule))
    else:
        after_complete = any(earlier.response is Response.CR for earlier in visits[:index])
        if after_complete and response in STABLE:  # table 3: disease is back, and no SD lasted
            found.append(_Candidate(Response.PD, visit, f"{rule}, after a CR"))
        else:
            found.append(_Candidate(Response.NE, visit, rule))
    return found


def _confirmations(
    visits: Sequence[Visit], index: int, visit: Visit, protocol: ResponseProtocol
) -> list[_Candidate]:
    """Look for the visit that confirms a CR (by a CR) or a PR (by a PR or CR)."""
    found = []
    wanted = {
        Response.CR: (Response.CR,),
        Response.PR: (Response.PR, Response.CR),
    }[visit.response]
    not_evaluable = stable = 0
    for later in visits[index + 1 :]:
        if later.response in wanted and later.day - visit.day >= timedelta(days=protocol.confirmation_days):
            days = counted((later.day - visit.day).days, "day")
            rule = f"{_where(visit)}, confirmed by {later.response} {days} later{_at(later)}"
            found.append(_Candidate(visit.response, visit, rule))
            break
        if later.response is Response.NE:
            not_evaluable += 1
        elif later.response in STABLE and visit.response is Response.PR:
            stable += 1
        elif later.response not in wanted:
            break
        if not_evaluable > protocol.not_evaluable_between or stable > protocol.stable_between:
            break
    return found


def _early_death(protocol: ResponseProtocol) -> tuple[Response, None, str]:
    response = {
        EarlyDeath.NOT_EVALUABLE: Response.NE,
        EarlyDeath.PROGRESSION: Response.PD,
        EarlyDeath.REPORT_APART: Response.EARLY_DEATH,
    }[protocol.early_death]
    return response, None, f"{response}: death before the first time point that could be judged"


def _where(visit: Visit) -> str:
    return f"on {visit.day}{_at(visit)}"


def _at(visit: Visit) -> str:
    return f" ({visit.name})" if visit.name else ""
