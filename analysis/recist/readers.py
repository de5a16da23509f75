"""Whose response counts: each reader's, the accepted one, the adjudicated one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from analysis.errors import AnalysisError, Problem
from analysis.recist.best import ORDER
from analysis.recist.results import Source, TimePoint
from records.reads import Evaluator, Response

__all__ = [
    "Adjudication",
    "Basis",
    "DiscrepancyRates",
    "accepted_points",
    "adjudicate",
    "adjudication_rate",
    "disagree",
    "discrepancy_rates",
]


class Basis(StrEnum):
    """What an adjudicator decides on."""

    TIME_POINT = "time point"
    BEST_RESPONSE = "best response"
    PROGRESSION_DATE = "progression date"


@dataclass(frozen=True, slots=True)
class Adjudication:
    """An adjudicator's choice of one of two readers; never a third opinion.

    `visit` is named only where a time point was decided.
    """

    subject_id: str
    adjudicator: str
    chosen: Evaluator
    basis: Basis
    visit: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DiscrepancyRates:
    """How site and centre disagree on progression (Amit 2011, Eur J Cancer 47:1772).

    Attributes
    ----------
    early : float or None
        Of the progressions the site called, the share it called alone or before the centre.
    late : float or None
        Of all disagreements on progression or its date, the share where the site was later or called none.
    """

    early: float | None
    late: float | None


def accepted_points(points: Iterable[TimePoint]) -> tuple[TimePoint, ...]:
    """Return the time points whose reader the data mark as accepted, or an adjudicator chose.

    Every response keeps the reader it was computed from: his own baseline and
    nadir, never a mixture of two readers' millimetres.
    """
    chosen = [
        replace(point, source=Source.ADJUDICATED if point.adjudicated else Source.ACCEPTED)
        for point in points
        if point.accepted
    ]
    return tuple(sorted(chosen, key=lambda point: (point.subject_id, point.visit_number)))


def disagree(first: Sequence[TimePoint], second: Sequence[TimePoint], basis: Basis) -> bool:
    """Whether two readers of one patient disagree on what is adjudicated.

    For a best response, compare `Best` records instead; here it stands for the
    unconfirmed best of the overall responses.
    """
    if basis is Basis.PROGRESSION_DATE:
        return _first_progression(first) != _first_progression(second)
    if basis is Basis.TIME_POINT:
        ours = {point.visit_number: point.overall_response for point in first}
        return ours != {point.visit_number: point.overall_response for point in second}
    return _plain_best(first) is not _plain_best(second)


def adjudicate(
    readers: Mapping[Evaluator, Sequence[TimePoint]], adjudications: Sequence[Adjudication], basis: Basis
) -> tuple[TimePoint, ...]:
    """Return the final time points of one patient.

    Where the two readers agree, the first one's stand. Where they do not, the
    reader whom the adjudicator chose is taken over: whole for a best response
    or a date of progression, by visit for time points.

    Parameters
    ----------
    readers : mapping of Evaluator to sequence of TimePoint
        Exactly two readers of one patient.
    adjudications : sequence of Adjudication
        For this patient.
    basis : Basis

    Raises
    ------
    AnalysisError
        If there are not two readers, a choice names another one, or a
        disagreement was not adjudicated.
    """
    if len(readers) != 2:
        raise AnalysisError(Problem.BAD_INPUT, f"adjudication is between 2 readers, got {len(readers)}")
    (first_reader, first), (_, second) = readers.items()
    for choice in adjudications:
        if choice.chosen not in readers:
            raise AnalysisError(
                Problem.BAD_INPUT,
                f"the adjudicator of {choice.subject_id} chose {choice.chosen.label}, who did not read; "
                f"readers are {', '.join(reader.label for reader in readers)}",
            )
    if basis is Basis.TIME_POINT:
        return _adjudicate_visits(readers, first, second, adjudications)
    chosen = first_reader
    if disagree(first, second, basis):
        choices = [choice for choice in adjudications if choice.basis is basis]
        if not choices:
            raise AnalysisError(
                Problem.BAD_INPUT,
                f"{first[0].subject_id}: readers disagree on the {basis}, nobody adjudicated",
            )
        chosen = choices[-1].chosen
    return tuple(replace(point, source=Source.ADJUDICATED) for point in readers[chosen])


def _adjudicate_visits(
    readers: Mapping[Evaluator, Sequence[TimePoint]],
    first: Sequence[TimePoint],
    second: Sequence[TimePoint],
    adjudications: Sequence[Adjudication],
) -> tuple[TimePoint, ...]:
    choices = {choice.visit: choice.chosen for choice in adjudications if choice.basis is Basis.TIME_POINT}
    by_visit = {reader: {point.visit_number: point for point in points} for reader, points in readers.items()}
    others = {point.visit_number: point for point in second}
    final = []
    for point in first:
        other = others.get(point.visit_number)
        taken = point
        if other is not None and other.overall_response is not point.overall_response:
            if point.visit not in choices:
                raise AnalysisError(
                    Problem.BAD_INPUT,
                    f"{point.subject_id}, {point.visit}: {point.overall_response} against "
                    f"{other.overall_response}, nobody adjudicated",
                )
            taken = by_visit[choices[point.visit]][point.visit_number]
        final.append(replace(taken, source=Source.ADJUDICATED))
    return tuple(final)


def adjudication_rate(
    pairs: Iterable[tuple[Sequence[TimePoint], Sequence[TimePoint]]], basis: Basis
) -> float:
    """Return the share of patients whose two readers disagree."""
    answers = [disagree(first, second, basis) for first, second in pairs]
    if not answers:
        raise AnalysisError(Problem.BAD_INPUT, "no patient was read by two readers")
    return sum(answers) / len(answers)


def discrepancy_rates(pairs: Iterable[tuple[date | None, date | None]]) -> DiscrepancyRates:
    """Return the early and the late discrepancy rate.

    Parameters
    ----------
    pairs : iterable of (site, centre)
        A pair a patient: the days of progression by the site and by the centre, None for no progression.
    """
    earlier = later = same = site_only = centre_only = 0
    for site, centre in pairs:
        if site and centre:
            earlier += site < centre
            later += site > centre
            same += site == centre
        site_only += bool(site and not centre)
        centre_only += bool(centre and not site)
    called = earlier + later + same + site_only
    differing = earlier + later + site_only + centre_only
    return DiscrepancyRates(
        early=(site_only + earlier) / called if called else None,
        late=(centre_only + later) / differing if differing else None,
    )


def _first_progression(points: Sequence[TimePoint]) -> date | None:
    return next((point.progression_day for point in points if point.overall_response is Response.PD), None)


def _plain_best(points: Sequence[TimePoint]) -> Response | None:
    until: list[Response] = []
    for point in points:
        until.append(point.overall_response)
        if point.overall_response is Response.PD:
            break
    return min(until, key=ORDER.index, default=None)
