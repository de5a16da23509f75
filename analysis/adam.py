"""Tables shaped like ADaM: ADRS for responses, ADTTE for times to events.

The columns carry ADaM's names and meanings; the tables are for analysis, not
for submission, so identifiers of a study and treatment arms are left to the
caller to merge.
"""

from collections.abc import Iterable
from datetime import date

from analysis.endpoints import Parameter, TimeToEvent
from analysis.recist.dates import parse_date
from analysis.recist.results import Best, Source, TimePoint
from analysis.recist.words import number
from records.reads import Response

__all__ = ["ADRS_COLUMNS", "ADTTE_COLUMNS", "adrs_rows", "adtte_rows"]

ADRS_COLUMNS = (
    "USUBJID",
    "PARAMCD",
    "PARAM",
    "AVISITN",
    "AVISIT",
    "ADT",
    "ADTF",
    "AVALC",
    "AVAL",
    "EVALUATR",
    "EVALTYPE",
    "CAMEFROM",
    "ANL01FL",
    "RULE",
)
ADTTE_COLUMNS = (
    "USUBJID",
    "PARAMCD",
    "PARAM",
    "STARTDT",
    "ADT",
    "AVAL",
    "AVALU",
    "AVALM",
    "CNSR",
    "EVNTDESC",
    "EVALUATR",
    "RULE",
)
AVAL = {  # the order admiralonco numbers best responses by
    Response.CR: "1",
    Response.PR: "2",
    Response.SD: "3",
    Response.NON_CR_NON_PD: "4",
    Response.PD: "5",
    Response.NE: "6",
    Response.MISSING: "7",
}
PARAMETER_WORDS = {
    Parameter.OS: "Overall survival from diagnosis",
    Parameter.PFS: "Progression-free survival, objective or clinical sign",
    Parameter.PFS_FDA: "Progression-free survival, FDA primary censoring",
    Parameter.PFS_EMA: "Progression-free survival, EMA sensitivity",
    Parameter.TTP: "Time to progression",
    Parameter.DOR: "Duration of response",
}


def adrs_rows(points: Iterable[TimePoint], best: Iterable[Best]) -> list[tuple[str, ...]]:
    """Return responses by time point (OVR) and best responses (BOR, and CBOR with confirmation).

    `ANL01FL` is Y up to and including the first progression of an evaluator.
    EVALTYPE is READER, ACCEPTED or ADJUDICATED, CAMEFROM the reader.
    """
    rows: list[tuple[str, ...]] = []
    progressed: set[tuple[str, bool, str]] = set()
    for point in points:
        # Accepted and adjudicated time points are one series: the one that counts.
        evaluator = point.evaluator.label if point.source is Source.READER else Source.ACCEPTED.value
        key = (point.subject_id, point.source is Source.READER, evaluator)
        flag = "" if key in progressed else "Y"
        if point.overall_response is Response.PD:
            progressed.add(key)
        rows.append(
            (
                point.subject_id,
                "OVR",
                "Overall response at the time point",
                number(point.visit_number),
                point.visit,
                point.day.isoformat(),
                parse_date(point.date_text).missing,
                point.overall_response,
                AVAL.get(point.overall_response, ""),
                evaluator,
                point.source,
                point.evaluator.label,
                flag,
                point.rule,
            )
        )
    for one in best:
        rows.append(
            (
                one.subject_id,
                "CBOR" if one.confirmed else "BOR",
                "Best overall response" + (", confirmed" if one.confirmed else ""),
                "",
                one.visit,
                _iso(one.day),
                "",
                one.response,
                AVAL.get(one.response, ""),
                one.evaluator,
                one.source,
                one.came_from,
                "Y",
                one.rule,
            )
        )
    return rows


def adtte_rows(times: Iterable[TimeToEvent]) -> list[tuple[str, ...]]:
    """Return a row a patient, parameter and evaluator.

    `AVAL` counts the start as day 1, as ADaM does; `AVALM` is months of 30.4375
    days from the start. `CNSR` is 0 for an event. A time that no scan decides (OS) is there once.
    """
    rows = dict.fromkeys(
        (
            time.subject_id,
            time.parameter.value,
            PARAMETER_WORDS[time.parameter],
            time.start.isoformat(),
            time.end.isoformat(),
            str(time.days + 1),
            "DAYS",
            f"{time.months:.4f}",
            "0" if time.is_event else "1",
            time.rule.value,
            time.came_from,
            time.sentence,
        )
        for time in times
    )
    return list(rows)


def _iso(day: date | None) -> str:
    return day.isoformat() if day else ""
