"""What RECIST 1.1 leaves to the protocol of a study, with the usual answers."""

import tomllib
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from analysis.errors import AnalysisError, Problem

__all__ = [
    "AfterCompleteResponse",
    "EarlyDeath",
    "NotEvaluable",
    "ProgressionDate",
    "ResponseProtocol",
    "StayingResponse",
    "read_response_protocol",
    "response_protocol_text",
]


class AfterCompleteResponse(StrEnum):
    """What a PR read after a CR means (RECIST 1.1, table 3, footnote a)."""

    PROGRESSION = "progression"  # the CR was true, so disease has come back
    REVISE_TO_PR = "revise_to_pr"  # small lesions were there all along: the CR was a PR


class StayingResponse(StrEnum):
    """When a PR goes on although the sum is above 70 % of baseline again (EORTC clarification)."""

    NEVER = "never"  # every time point is compared with baseline anew
    ONCE_CONFIRMED = "once_confirmed"
    AT_ONCE = "at_once"  # studies that do not ask for confirmation


class EarlyDeath(StrEnum):
    """Best response of a patient who died before the first time point (RECIST 1.1, 4.4.3: study specific)."""

    NOT_EVALUABLE = "not_evaluable"
    PROGRESSION = "progression"
    REPORT_APART = "report_apart"


class ProgressionDate(StrEnum):
    """The date of a progression by the sum of targets scanned on several days."""

    LAST_TARGET_SCAN = "last_target_scan"  # FDA guidance on cancer endpoints, table A
    FIRST_SCAN = "first_scan"  # the first scan of the time point that shows it


class NotEvaluable(StrEnum):
    """What a patient without an evaluable response counts as in a rate."""

    FAILURE = "failure"  # RECIST 1.1, 4.7: all eligible patients
    LEFT_OUT = "left_out"


@dataclass(frozen=True, slots=True)
class ResponseProtocol:
    """The choices of a study; the defaults are those of RECIST 1.1 and its clarifications.

    Attributes
    ----------
    confirmation_days : int
        Days from a CR or PR to the time point that confirms it, inclusive (4 weeks; 4.6.1).
    minimum_stable_days : int
        Days from the start to the first SD or non-CR/non-PD that counts, inclusive (6 weeks; 4.5.1).
    not_evaluable_between : int
        How many NE may lie between a response and its confirmation; PR-NE-PR is confirmed (4.4.3).
    stable_between : int
        How many SD may lie between a PR and its confirmation; RECIST has none.
    baseline_days : int
        Days before the start of treatment that a baseline may lie (4 weeks; 3.2).
    double_slice_for_nodes : bool
        Whether slices over 5 mm ask twice their thickness of nodes, too (EORTC leaves it open).
    not_evaluable : NotEvaluable
        What NE and patients without a time point are in rates.
    """

    confirmation_days: int = 28
    minimum_stable_days: int = 42
    not_evaluable_between: int = 1
    stable_between: int = 0
    after_complete_response: AfterCompleteResponse = AfterCompleteResponse.PROGRESSION
    staying_response: StayingResponse = StayingResponse.ONCE_CONFIRMED
    early_death: EarlyDeath = EarlyDeath.NOT_EVALUABLE
    progression_date: ProgressionDate = ProgressionDate.LAST_TARGET_SCAN
    baseline_days: int = 28
    double_slice_for_nodes: bool = False
    not_evaluable: NotEvaluable = NotEvaluable.FAILURE


def read_response_protocol(text: str) -> ResponseProtocol:
    """Read a protocol from TOML: a line a choice, by the names of `ResponseProtocol`; the rest as usual.

    Raises
    ------
    AnalysisError
        If the text is no TOML, or with everything in it that is no choice, or no answer to one.

    Examples
    --------
    >>> read_response_protocol('early_death = "progression"').early_death
    <EarlyDeath.PROGRESSION: 'progression'>
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AnalysisError(Problem.BAD_PLAN, f"the response protocol is not TOML: {error}") from error
    usual: dict[str, Any] = {field.name: field.default for field in fields(ResponseProtocol)}
    chosen: dict[str, Any] = {}
    problems = []
    for name, value in given.items():
        if name not in usual:
            problems.append(f"{name}: no such choice, expected one of {', '.join(usual)}")
            continue
        kind = type(usual[name])
        if issubclass(kind, StrEnum):
            if value in list(kind):
                chosen[name] = kind(value)
            else:
                problems.append(f"{name} = {value!r}, expected one of {', '.join(kind)}")
        elif type(value) is not kind or (kind is int and value < 0):
            wanted = "true or false" if kind is bool else "a whole number from 0"
            problems.append(f"{name} = {value!r}, expected {wanted}")
        else:
            chosen[name] = value
    if problems:
        raise AnalysisError(Problem.BAD_PLAN, "the response protocol: " + "; ".join(problems))
    return ResponseProtocol(**chosen)


def response_protocol_text(protocol: ResponseProtocol) -> str:
    """Return a protocol as TOML, every choice on a line, as `read_response_protocol` reads it.

    >>> read_response_protocol(response_protocol_text(ResponseProtocol())) == ResponseProtocol()
    True
    """
    return "".join(f"{field.name} = {_toml(getattr(protocol, field.name))}\n" for field in fields(protocol))


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
