"""Several readers: whose response counts, and where each came from."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from analysis.errors import AnalysisError
from analysis.response import (
    Adjudication,
    Basis,
    InputError,
    Source,
    accepted_points,
    adjudicate,
    adjudication_rate,
    courses_of,
    disagree,
    discrepancy_rates,
    follow,
    judge,
    response_rows,
)
from records.reads import Evaluator, Measurement, Read, Response, Seen, reads_from_json, reads_to_json
from tests.analysis.recist_cases import INTERVAL_DAYS, START, read, target

ONE, TWO = (Evaluator("INDEPENDENT ASSESSOR", f"READER {number}") for number in (1, 2))
THREE = Evaluator("ADJUDICATOR")
LESION = target("T01")


def reads_by(evaluator, *sizes, accepted=()):
    return [
        read(
            visit,
            lesions=[LESION] if visit == 0 else [],
            sizes={LESION: size},
            evaluator=evaluator,
            accepted=visit in accepted,
        )
        for visit, size in enumerate(sizes)
    ]


FIRST, SECOND = follow(reads_by(ONE, 100, 60, 80)), follow(reads_by(TWO, 100, 65, 66))


def choice(chosen, basis, visit=""):
    return Adjudication("P1", THREE.label, chosen, basis, visit)


def test_every_reader_has_his_own_baseline_and_nadir():
    judged = judge(courses_of(reads_by(ONE, 100, 60, 72) + reads_by(TWO, 80, 70, 72)))
    rows = {(point.evaluator, point.visit): point for point in judged.points}
    assert rows[ONE, "WEEK 12"].overall_response is Response.PD
    assert rows[TWO, "WEEK 12"].overall_response is Response.SD
    assert (rows[TWO, "WEEK 12"].baseline_mm, rows[TWO, "WEEK 12"].nadir_mm) == (80, 70)


def test_accepted_response_keeps_the_reader_it_came_from():
    reads = reads_by(ONE, 100, 60, 72, accepted=(1,)) + reads_by(TWO, 80, 70, 72, accepted=(2,))
    judged = judge(courses_of(reads))
    assert [(point.overall_response, point.evaluator, point.source) for point in judged.accepted] == [
        (Response.PR, ONE, Source.ACCEPTED),
        (Response.SD, TWO, Source.ACCEPTED),
    ]
    best = [one for one in judged.best if one.source is Source.ACCEPTED]
    assert [one.response for one in best] == [Response.PR, Response.SD]
    assert best[0].came_from == "READER 1, READER 2"


def test_two_accepted_readers_of_one_visit_are_refused():
    reads = reads_by(ONE, 100, 60, accepted=(1,)) + reads_by(TWO, 80, 70, accepted=(1,))
    with pytest.raises(InputError, match="READER 2, WEEK 6 is accepted, and so is READER 1"):
        courses_of(reads)


def test_patient_of_whom_nothing_was_accepted_counts_in_the_accepted_series():
    unread = [replace(one, subject_id="P2") for one in reads_by(ONE, 100)]
    judged = judge(courses_of(reads_by(ONE, 100, 60, accepted=(1,)) + unread))
    best = {
        one.subject_id: (one.response, one.source)
        for one in judged.best
        if one.evaluator == "ACCEPTED" and not one.confirmed
    }
    assert best == {"P1": (Response.PR, Source.ACCEPTED), "P2": (Response.MISSING, Source.ACCEPTED)}


def test_nothing_accepted_gives_no_accepted_series():
    assert accepted_points(FIRST + SECOND) == ()


@pytest.mark.parametrize(
    ("basis", "differ"),
    [
        pytest.param(Basis.TIME_POINT, True, id="time-points-differ"),
        pytest.param(Basis.BEST_RESPONSE, False, id="best-response-is-the-same"),
        pytest.param(Basis.PROGRESSION_DATE, True, id="progression-date-differs"),
    ],
)
def test_disagreement(basis, differ):
    assert disagree(FIRST, SECOND, basis) is differ


def test_agreement_needs_no_adjudicator():
    final = adjudicate({ONE: FIRST, TWO: SECOND}, [], Basis.BEST_RESPONSE)
    assert [point.evaluator for point in final] == [ONE, ONE]
    assert {point.source for point in final} == {Source.ADJUDICATED}


def test_adjudicator_chooses_one_reader_for_the_date_of_progression():
    choices = [choice(TWO, Basis.PROGRESSION_DATE)]
    final = adjudicate({ONE: FIRST, TWO: SECOND}, choices, Basis.PROGRESSION_DATE)
    assert [point.evaluator for point in final] == [TWO, TWO]


def test_adjudicator_chooses_one_reader_by_time_point():
    choices = [choice(TWO, Basis.TIME_POINT, "WEEK 12")]
    final = adjudicate({ONE: FIRST, TWO: SECOND}, choices, Basis.TIME_POINT)
    assert [(point.evaluator, point.overall_response) for point in final] == [
        (ONE, Response.PR),
        (TWO, Response.PR),
    ]


@pytest.mark.parametrize(
    ("choices", "basis", "message"),
    [
        pytest.param([], Basis.PROGRESSION_DATE, "nobody adjudicated", id="no-choice"),
        pytest.param([], Basis.TIME_POINT, "WEEK 12: PD against PR", id="no-choice-by-visit"),
        pytest.param([choice(THREE, Basis.TIME_POINT)], Basis.TIME_POINT, "did not read", id="third-opinion"),
    ],
)
def test_adjudication_that_cannot_be_done(choices, basis, message):
    with pytest.raises(AnalysisError, match=message):
        adjudicate({ONE: FIRST, TWO: SECOND}, choices, basis)


def test_adjudication_is_between_two():
    with pytest.raises(AnalysisError, match="2 readers, got 1"):
        adjudicate({ONE: FIRST}, [], Basis.TIME_POINT)


def test_adjudication_rate():
    pairs = [(FIRST, SECOND), (FIRST, FIRST), (SECOND, SECOND), (SECOND, FIRST)]
    assert adjudication_rate(pairs, Basis.PROGRESSION_DATE) == 0.5


def test_discrepancy_rates_of_site_and_centre():
    """Amit 2011: a1 = 5 same date, a2 = 2 site later, a3 = 3 earlier, b = 4 site only, c = 1 centre only.

    EDR = (b + a3) / (a + b) = 7 / 14; LDR = (c + a2) / (b + c + a2 + a3) = 3 / 10.
    """
    early, late = date(2024, 1, 1), date(2024, 3, 1)
    pairs = (
        [(early, early)] * 5
        + [(late, early)] * 2
        + [(early, late)] * 3
        + [(early, None)] * 4
        + [(None, early)]
        + [(None, None)] * 6
    )
    rates = discrepancy_rates(pairs)
    assert (rates.early, rates.late) == (7 / 14, 3 / 10)


def test_discrepancy_rates_without_progression_are_not_defined():
    assert discrepancy_rates([(None, None)]).early is None


def test_rows_have_the_columns_that_the_table_promises():
    row = response_rows(FIRST)[0]
    assert row[:11] == (
        "P1",
        "1",
        (START + timedelta(days=INTERVAL_DAYS)).isoformat(),
        "READER 1",
        "PR",
        "",
        "N",
        "PR",
        "60",
        "100",
        "100",
    )


def test_reads_survive_the_way_through_json():
    lesion = target("T01")
    faint = Measurement("T01", Seen.MEASURED, Decimal("0.1"), fragments_mm=(Decimal("12.30"),))
    reads = (*reads_by(ONE, 100, "60.7"), read(2, sizes={lesion: faint}, markers_normal=False))
    again = reads_from_json(reads_to_json(reads))
    assert again == reads
    assert follow(again) == follow(reads)
    assert isinstance(again[0], Read)
