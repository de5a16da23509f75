"""Two reads of the same cases, judged: every question and every size, and the cases to talk about."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from statistics import median
from typing import Any

from analysis.agreement import (
    BlandAltman,
    Coefficient,
    IntraclassCorrelation,
    Weights,
    ac1,
    bland_altman,
    cohen_kappa,
    cross_table,
    icc_agreement,
    pabak,
    raw_agreement,
)
from records.paired import PairedClasses, PairedDates, PairedReads, PairedSizes
from records.wording import counted

__all__ = [
    "DateAgreement",
    "QuestionAgreement",
    "ReaderAgreement",
    "SizeAgreement",
    "as_json_text",
    "as_text",
    "as_values",
    "judge_agreement",
]

FEWEST_SIZES = 3  # limits of agreement need a spread


@dataclass(frozen=True, slots=True)
class QuestionAgreement:
    """How far both reads agree on one question; `classes` in their order."""

    name: str
    classes: tuple[str, ...]
    table: tuple[tuple[int, ...], ...]
    coefficients: tuple[Coefficient, ...]
    discordant: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SizeAgreement:
    """How far both reads agree on one size, mm.

    There is no `icc` where all cases have one size: it compares readers with cases.
    """

    name: str
    icc: IntraclassCorrelation | None
    limits: BlandAltman


@dataclass(frozen=True, slots=True)
class DateAgreement:
    """How far both reads agree on a day.

    Attributes
    ----------
    same : Coefficient
        Share of cases with the same day, or none, by both.
    days_apart : float or None
        Median distance where both named a day.
    """

    name: str
    same: Coefficient
    days_apart: float | None
    discordant: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReaderAgreement:
    """Two readers, or one reader twice."""

    first: str
    second: str
    questions: tuple[QuestionAgreement, ...]
    sizes: tuple[SizeAgreement, ...]
    dates: tuple[DateAgreement, ...] = ()


def judge_agreement(pair: PairedReads) -> ReaderAgreement:
    """Judge every question that both answered, and every size with three cases or more.

    Ordered answers (grades) take quadratic weights beside the plain coefficients.
    """
    return ReaderAgreement(
        pair.first,
        pair.second,
        tuple(_judge_question(question) for question in pair.classes if question.cases),
        tuple(_judge_size(size) for size in pair.sizes if len(size.cases) >= FEWEST_SIZES),
        tuple(_judge_date(day) for day in pair.dates if day.cases),
    )


def _judge_question(question: PairedClasses) -> QuestionAgreement:
    table = cross_table(question.first, question.second, question.classes)
    coefficients = [raw_agreement(table), cohen_kappa(table), pabak(table), ac1(table)]
    if question.is_ordered:
        coefficients.append(cohen_kappa(table, weights=Weights.QUADRATIC))
    rows = tuple(tuple(int(count) for count in row) for row in table)
    return QuestionAgreement(question.name, question.classes, rows, tuple(coefficients), question.discordant)


def _judge_size(size: PairedSizes) -> SizeAgreement:
    both = list(zip(size.first_mm, size.second_mm, strict=True))
    cases_differ = len({one + other for one, other in both}) > 1
    icc = icc_agreement(both) if cases_differ else None
    return SizeAgreement(size.name, icc, bland_altman(size.first_mm, size.second_mm))


def _judge_date(day: PairedDates) -> DateAgreement:
    same = raw_agreement([[len(day.cases) - len(day.discordant), len(day.discordant)], [0, 0]])
    apart = [
        abs((date.fromisoformat(other) - date.fromisoformat(one)).days)
        for one, other in zip(day.first, day.second, strict=True)
        if one and other
    ]
    return DateAgreement(day.name, same, median(apart) if apart else None, day.discordant)


def as_json_text(judged: Sequence[ReaderAgreement]) -> str:
    """Return agreements as JSON."""
    return json.dumps(as_values(judged), allow_nan=False)


def as_values(judged: Sequence[ReaderAgreement]) -> list[dict[str, Any]]:
    """Return agreements as JSON values; what is not defined is null."""
    return [_without_nan(asdict(one)) for one in judged]


def as_text(judged: Sequence[ReaderAgreement]) -> str:
    """Return agreements as lines to read: an estimate with its 95 % interval."""
    lines: list[str] = []
    for one in judged:
        is_empty = not (one.questions or one.sizes or one.dates)
        level = "" if is_empty else "; in brackets: 95 % intervals"
        lines += ["", f"Reader {one.first} and {one.second}{level}"]
        if is_empty:
            lines.append("  no case is signed by both yet")
        for question in one.questions:
            cases = question.coefficients[0].cases
            lines.append(f"  {question.name.replace('_', ' ')} ({_cases(cases)})")
            lines += [f"    {_words(coefficient)}" for coefficient in question.coefficients]
            if question.discordant:
                lines.append(f"    discordant: {', '.join(question.discordant)}")
        for size in one.sizes:
            limits, icc = size.limits, size.icc
            lines.append(f"  {size.name.replace('_', ' ')} ({_cases(limits.cases)})")
            if icc is not None:
                lines.append(f"    {icc.name} {icc.value:.2f} {_interval(icc.low, icc.high)}")
            lines.append(f"    bias {_millimetres(limits.bias, limits.bias_interval)}")
            low, high = (
                _millimetres(limit, interval)
                for limit, interval in (
                    (limits.low, limits.low_interval),
                    (limits.high, limits.high_interval),
                )
            )
            lines.append(f"    limits of agreement {low} and {high}")
        for day in one.dates:
            lines.append(f"  {day.name.replace('_', ' ')} ({_cases(day.same.cases)})")
            lines.append(f"    same day or none: {_words(day.same)}")
            if day.days_apart is not None:
                days = "1 day" if day.days_apart == 1 else f"{day.days_apart:g} days"
                lines.append(f"    median {days} apart where both name one")
            if day.discordant:
                lines.append(f"    discordant: {', '.join(day.discordant)}")
    return "\n".join(lines[1:])


def _cases(number: int) -> str:
    return counted(number, "case")


def _millimetres(value: float, interval: tuple[float, float]) -> str:
    """Return a difference with its interval; differences that are all one tell none."""
    low, high = interval
    return f"{value:+.1f} mm" + ("" if low != low else f" ({low:+.1f} to {high:+.1f})")


def _words(coefficient: Coefficient) -> str:
    if coefficient.value != coefficient.value:
        return f"{coefficient.name} not defined (all in one class)"
    return f"{coefficient.name} {coefficient.value:.2f} {_interval(coefficient.low, coefficient.high)}"


def _interval(low: float, high: float) -> str:
    """Return an interval in brackets; cases without any spread do not tell one."""
    return "(interval not estimable: too little spread)" if low != low else f"({low:.2f} to {high:.2f})"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and value != value else value
