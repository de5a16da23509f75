"""Objective response rate and disease control rate, with exact intervals."""

from collections.abc import Iterable
from dataclasses import dataclass

from analysis.recist.protocol import NotEvaluable
from records.reads import Response

__all__ = ["NotEvaluable", "Rate", "disease_control_rate", "eligible", "objective_response_rate"]

RESPONDED = (Response.CR, Response.PR)
CONTROLLED = (Response.CR, Response.PR, Response.SD, Response.NON_CR_NON_PD)
NOT_EVALUABLE = (Response.NE, Response.MISSING)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of patients with its Clopper-Pearson interval."""

    count: int
    patients: int
    low: float
    high: float
    confidence: float

    @property
    def value(self) -> float:
        """The share."""
        return self.count / self.patients


def eligible(best: Iterable[Response], not_evaluable: NotEvaluable) -> list[Response]:
    """Return the best responses of the patients that count."""
    responses = list(best)
    if not_evaluable is NotEvaluable.LEFT_OUT:
        return [response for response in responses if response not in NOT_EVALUABLE]
    return responses


def objective_response_rate(
    best: Iterable[Response],
    *,
    not_evaluable: NotEvaluable = NotEvaluable.FAILURE,
    confidence: float = 0.95,
) -> Rate:
    """Return the share of CR and PR.

    Parameters
    ----------
    best : iterable of Response
        Best response of every eligible patient.
    not_evaluable : NotEvaluable
    confidence : float
    """
    return _rate(best, RESPONDED, not_evaluable, confidence)


def disease_control_rate(
    best: Iterable[Response],
    *,
    not_evaluable: NotEvaluable = NotEvaluable.FAILURE,
    confidence: float = 0.95,
) -> Rate:
    """Return the share of CR, PR, SD and non-CR/non-PD (the paper's NPD).

    An SD or non-CR/non-PD that did not last is not one by then: see
    `analysis.recist.best`.
    """
    return _rate(best, CONTROLLED, not_evaluable, confidence)


def _rate(
    best: Iterable[Response], counted: tuple[Response, ...], policy: NotEvaluable, confidence: float
) -> Rate:
    from analysis.comparisons import clopper_pearson

    responses = eligible(best, policy)
    count = sum(response in counted for response in responses)
    interval = clopper_pearson(count, len(responses), level=confidence)
    return Rate(count, len(responses), interval.low, interval.high, confidence)
