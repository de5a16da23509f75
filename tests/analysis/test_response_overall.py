"""Non-targets, new lesions, and tables 1 and 2 of RECIST 1.1, every row."""

from datetime import date
from decimal import Decimal

import pytest

from analysis.response import (
    NewLesion,
    ProgressionDate,
    ResponseProtocol,
    courses_of,
    follow,
    judge,
    overall_response,
)
from records.reads import (
    Certainty,
    LesionKind,
    Measurement,
    NewLesionFinding,
    NonTargetStatus,
    PetEvidence,
    Response,
    Seen,
)
from tests.analysis.recist_cases import last, non_target, read, status, sums, target

CR, PR, SD, PD, NE = Response.CR, Response.PR, Response.SD, Response.PD, Response.NE
NON, NED = Response.NON_CR_NON_PD, Response.NED
NO, YES, MAYBE = NewLesion.NO, NewLesion.YES, NewLesion.EQUIVOCAL
ANY = (CR, NON, PD, NE, None)

TABLE_1 = [  # Eisenhauer 2009, table 1: target, non-target, new lesion, overall
    pytest.param(CR, CR, NO, CR, id="CR-CR-no"),
    pytest.param(CR, NON, NO, PR, id="CR-nonCRnonPD-no"),
    pytest.param(CR, NE, NO, PR, id="CR-NE-no"),
    pytest.param(PR, CR, NO, PR, id="PR-CR-no"),
    pytest.param(PR, NON, NO, PR, id="PR-nonPD-no"),
    pytest.param(PR, NE, NO, PR, id="PR-NE-no"),
    pytest.param(SD, CR, NO, SD, id="SD-CR-no"),
    pytest.param(SD, NON, NO, SD, id="SD-nonPD-no"),
    pytest.param(SD, NE, NO, SD, id="SD-NE-no"),
    pytest.param(NE, CR, NO, NE, id="NE-CR-no"),
    pytest.param(NE, NON, NO, NE, id="NE-nonPD-no"),
    pytest.param(NE, NE, NO, NE, id="NE-NE-no"),
    # no non-target disease at baseline: as if it were CR
    pytest.param(CR, None, NO, CR, id="CR-none-no"),
    pytest.param(PR, None, NO, PR, id="PR-none-no"),
    pytest.param(SD, None, NO, SD, id="SD-none-no"),
    pytest.param(NE, None, NO, NE, id="NE-none-no"),
    # an equivocal new lesion does not count
    pytest.param(CR, CR, MAYBE, CR, id="CR-CR-equivocal"),
    pytest.param(SD, NON, MAYBE, SD, id="SD-nonPD-equivocal"),
]
TABLE_2 = [  # Eisenhauer 2009, table 2: non-target, new lesion, overall
    pytest.param(CR, NO, CR, id="CR-no"),
    pytest.param(NON, NO, NON, id="nonCRnonPD-no-is-the-papers-NPD"),
    pytest.param(NE, NO, NE, id="NE-no"),
    pytest.param(PD, NO, PD, id="unequivocal-PD-no"),
    pytest.param(PD, YES, PD, id="unequivocal-PD-yes"),
    pytest.param(CR, YES, PD, id="CR-yes"),
    pytest.param(NON, YES, PD, id="nonCRnonPD-yes"),
    pytest.param(NE, YES, PD, id="NE-yes"),
    pytest.param(NON, MAYBE, NON, id="nonCRnonPD-equivocal"),
    pytest.param(None, NO, NED, id="nothing-at-baseline-no"),
    pytest.param(None, YES, PD, id="nothing-at-baseline-yes"),
]


@pytest.mark.parametrize(("targets", "non_targets", "new", "expected"), TABLE_1)
def test_table_1(targets, non_targets, new, expected):
    assert overall_response(targets, non_targets, new)[0] is expected


@pytest.mark.parametrize("non_targets", ANY)
@pytest.mark.parametrize("new", list(NewLesion))
def test_table_1_target_progression_any_any_is_pd(non_targets, new):
    assert overall_response(PD, non_targets, new)[0] is PD


@pytest.mark.parametrize("targets", [CR, PR, SD, PD, NE])
@pytest.mark.parametrize("new", list(NewLesion))
def test_table_1_any_non_target_progression_any_is_pd(targets, new):
    assert overall_response(targets, PD, new)[0] is PD


@pytest.mark.parametrize("targets", [CR, PR, SD, PD, NE, None])
@pytest.mark.parametrize("non_targets", ANY)
def test_table_1_any_any_new_lesion_is_pd(targets, non_targets):
    assert overall_response(targets, non_targets, YES)[0] is PD


@pytest.mark.parametrize(("non_targets", "new", "expected"), TABLE_2)
def test_table_2(non_targets, new, expected):
    assert overall_response(None, non_targets, new)[0] is expected


@pytest.mark.parametrize("non_targets", ANY)
@pytest.mark.parametrize("new", list(NewLesion))
def test_without_targets_there_is_no_pr_and_no_sd(non_targets, new):
    assert overall_response(None, non_targets, new)[0] not in (PR, SD)


# Non-target lesions from findings

MILIARY, NODE = non_target("NT01"), non_target("NT02", LesionKind.LYMPH_NODE, "LYMPH NODE")
GONE, THERE = NonTargetStatus.ABSENT, NonTargetStatus.PRESENT
WORSE, UNSEEN = NonTargetStatus.UNEQUIVOCAL_PROGRESSION, NonTargetStatus.NOT_ASSESSED


def miliary_patient(*findings, markers=None, new=()):
    """Return the last time point of a patient with miliary disease and a node, no targets."""
    first = read(0, lesions=[MILIARY, NODE])
    return last([first, read(1, non_targets=findings, markers_normal=markers, new=new)])


@pytest.mark.parametrize(
    ("findings", "markers", "expected"),
    [
        pytest.param((status("NT01", GONE), status("NT02", GONE)), None, CR, id="all-gone"),
        pytest.param(
            (status("NT01", GONE), status("NT02", THERE, short_axis_mm=Decimal("9.9"))),
            None,
            CR,
            id="node-of-9.9-mm-is-normal",
        ),
        pytest.param(
            (status("NT01", GONE), status("NT02", THERE, short_axis_mm=Decimal(10))),
            None,
            NON,
            id="node-of-10-mm-persists",
        ),
        pytest.param((status("NT01", GONE), status("NT02", GONE)), True, CR, id="markers-normal"),
        pytest.param((status("NT01", GONE), status("NT02", GONE)), False, NON, id="markers-raised"),
        pytest.param((status("NT01", THERE), status("NT02", GONE)), None, NON, id="one-persists"),
        pytest.param((status("NT01", WORSE), status("NT02", GONE)), None, PD, id="unequivocal-progression"),
        pytest.param((status("NT01", THERE), status("NT02", UNSEEN)), None, NE, id="one-not-assessed"),
        pytest.param((status("NT01", THERE),), None, NE, id="one-not-mentioned"),
        pytest.param((status("NT01", WORSE),), None, PD, id="progression-though-one-not-assessed"),
    ],
)
def test_non_target_response(findings, markers, expected):
    point = miliary_patient(*findings, markers=markers)
    assert point.nontarget_response is expected
    assert point.overall_response is expected
    assert (point.target_response, point.sum_mm, point.nadir_mm, point.baseline_mm) == (None,) * 4


def test_raised_markers_keep_gone_targets_from_cr():
    lesion = target("T01")
    reads = [
        read(0, lesions=[lesion], sizes={lesion: 20}),
        read(1, sizes={lesion: 0}, markers_normal=False),
    ]
    assert last(reads).overall_response is PR


@pytest.mark.parametrize(
    ("percent", "doubted"),
    [pytest.param("72.9", True, id="burden-up-72.9"), pytest.param("73", False, id="burden-up-73")],
)
def test_called_progression_is_held_against_the_measured_burden(percent, doubted):
    """73 % in volume equals 20 % in diameter (RECIST 1.1, 4.3.4); the reader's word still counts."""
    finding = status("NT01", WORSE, burden_change_percent=Decimal(percent))
    point = miliary_patient(finding, status("NT02", THERE))
    assert point.overall_response is PD
    assert ("look again" in point.rule) is doubted


def test_miliary_patient_is_non_progressive_until_a_new_lesion():
    same = (status("NT01", THERE), status("NT02", THERE))
    reads = [read(0, lesions=[MILIARY, NODE])] + [read(visit, non_targets=same) for visit in (1, 2)]
    reads.append(
        read(3, non_targets=same, new=[NewLesionFinding("N1", Certainty.UNEQUIVOCAL, organ="LIVER")])
    )
    assert [point.overall_response for point in follow(reads)] == [NON, NON, PD]


def test_unconfirmed_complete_response_of_a_miliary_patient_counts_as_non_progression():
    reads = [read(0, lesions=[MILIARY])]
    reads += [read(visit, non_targets=[status("NT01", word)]) for visit, word in ((1, GONE), (2, UNSEEN))]
    confirmed = [one for one in judge(courses_of(reads)).best if one.confirmed]
    assert [one.response for one in confirmed] == [NON]


def test_patient_without_any_disease_at_baseline():
    reads = [
        read(0),
        read(1),
        read(2, new=[NewLesionFinding("N1", Certainty.UNEQUIVOCAL)]),
    ]
    assert [point.overall_response for point in follow(reads)] == [NED, PD]


def test_non_target_back_after_complete_response_is_progression():
    reads = [
        read(0, lesions=[MILIARY]),
        read(1, non_targets=[status("NT01", GONE)]),
        read(2, non_targets=[status("NT01", THERE)]),
    ]
    assert [point.overall_response for point in follow(reads)] == [CR, PD]
    assert "back after a complete response" in follow(reads)[-1].rule


# New lesions


def new_lesion(certainty=Certainty.UNEQUIVOCAL, **rest):
    return NewLesionFinding("N1", certainty, **rest)


@pytest.mark.parametrize(
    ("finding", "answer", "overall"),
    [
        pytest.param(new_lesion(), YES, PD, id="unequivocal"),
        pytest.param(new_lesion(Certainty.EQUIVOCAL), MAYBE, SD, id="equivocal"),
        pytest.param(
            new_lesion(kind=LesionKind.LYMPH_NODE, short_axis_mm=Decimal(10)), YES, PD, id="node-10-mm"
        ),
        pytest.param(
            new_lesion(kind=LesionKind.LYMPH_NODE, short_axis_mm=Decimal("9.9")), NO, SD, id="node-9.9-mm"
        ),
        pytest.param(new_lesion(long_axis_mm=Decimal(4)), YES, PD, id="a-mass-of-4-mm-is-new"),
        pytest.param(new_lesion(region_scanned_at_baseline=False), YES, PD, id="region-not-scanned-before"),
        pytest.param(
            new_lesion(pet=PetEvidence.NEGATIVE_AT_BASELINE), YES, PD, id="pet-negative-then-positive"
        ),
        pytest.param(new_lesion(pet=PetEvidence.NEW_SITE_ON_CT), YES, PD, id="pet-new-site-confirmed-by-ct"),
        pytest.param(new_lesion(pet=PetEvidence.NOT_ON_CT), MAYBE, SD, id="pet-not-on-ct-is-followed"),
        pytest.param(new_lesion(pet=PetEvidence.KNOWN_SITE_ON_CT), NO, SD, id="pet-on-a-known-site"),
    ],
)
def test_new_lesion(finding, answer, overall):
    lesion = target("T01")
    point = last([read(0, lesions=[lesion], sizes={lesion: 30}), read(1, sizes={lesion: 30}, new=[finding])])
    assert (point.new_lesion, point.overall_response) == (answer, overall)


def test_small_new_node_asks_to_look_again():
    """EORTC: a node that grows from 9 to 11 mm may not be disease; look again, above all under 15 mm."""
    lesion = target("T01")
    first = read(0, lesions=[lesion], sizes={lesion: 30})
    found = {
        size: last(
            [
                first,
                read(
                    1,
                    sizes={lesion: 30},
                    new=[new_lesion(kind=LesionKind.LYMPH_NODE, short_axis_mm=Decimal(size))],
                ),
            ]
        ).rule
        for size in (11, 15)
    }
    assert "look again" in found[11]
    assert "look again" not in found[15]


def equivocal_then(later_certainty, pet=None):
    lesion = target("T01")
    return follow(
        [
            read(0, lesions=[lesion], sizes={lesion: 30}),
            read(1, sizes={lesion: 20}, new=[new_lesion(Certainty.EQUIVOCAL, pet=pet)]),
            read(2, sizes={lesion: 20}, new=[new_lesion(later_certainty)]),
        ]
    )


def test_equivocal_lesion_proven_later_dates_from_when_it_was_first_seen():
    before, after = equivocal_then(Certainty.UNEQUIVOCAL)
    assert (before.overall_response, before.new_lesion) == (PR, MAYBE)
    assert after.overall_response is PD
    assert after.progression_day == before.day
    assert str(before.day) in after.rule


@pytest.mark.parametrize(
    ("first_mm", "week"),
    [
        pytest.param("9.9", 12, id="normal-at-9.9-mm"),
        pytest.param("10", 6, id="equivocal-at-10-mm"),
    ],
)
def test_new_node_dates_from_when_it_was_disease(first_mm, week):
    """EORTC: a node under 10 mm is normal, so progression can't date from the scan that showed it small."""
    lesion = target("T01")
    node = [
        new_lesion(certainty, kind=LesionKind.LYMPH_NODE, short_axis_mm=Decimal(size))
        for certainty, size in ((Certainty.EQUIVOCAL, first_mm), (Certainty.UNEQUIVOCAL, "12"))
    ]
    reads = [read(0, lesions=[lesion], sizes={lesion: 30})]
    reads += [read(number, sizes={lesion: 30}, new=[one]) for number, one in enumerate(node, start=1)]
    before, after = follow(reads)
    assert (before.overall_response, after.overall_response) == (SD, PD)
    assert after.progression_day == {6: before, 12: after}[week].day


def test_equivocal_lesion_that_stays_equivocal_is_no_progression():
    assert [point.overall_response for point in equivocal_then(Certainty.EQUIVOCAL)] == [PR, PR]


def test_pet_finding_proven_on_ct_later_dates_from_the_pet():
    before, after = equivocal_then(Certainty.UNEQUIVOCAL, PetEvidence.NOT_ON_CT)
    assert (before.new_lesion, after.progression_day) == (MAYBE, before.day)


# Which day a progression dates from

CHEST, ABDOMEN = "2024-02-12", "2024-02-20"


def two_scans(chest_mm, abdomen_mm, protocol=None, **rest):
    """Return a visit whose two targets were scanned on different days."""
    lung, liver = target("T01"), target("T02")
    sizes = {
        lung: Measurement("T01", Seen.MEASURED, Decimal(chest_mm)),
        liver: Measurement("T02", Seen.MEASURED, Decimal(abdomen_mm), date=ABDOMEN),
    }
    first = read(0, lesions=[lung, liver], sizes={lung: 30, liver: 30})
    return last([first, read(1, sizes=sizes, day=CHEST, **rest)], protocol)


def test_progression_by_sum_dates_from_the_last_target_scan():
    """FDA guidance 2018, appendix: date of the last radiological assessment of measured lesions."""
    assert two_scans(50, 50).progression_day == date.fromisoformat(ABDOMEN)


def test_progression_by_sum_dates_from_the_first_scan_where_the_protocol_says_so():
    protocol = ResponseProtocol(progression_date=ProgressionDate.FIRST_SCAN)
    assert two_scans(50, 50, protocol).progression_day == date.fromisoformat(CHEST)


def test_progression_by_new_lesion_dates_from_its_own_scan():
    point = two_scans(50, 50, new=[new_lesion(date=CHEST)])
    assert point.progression_day == date.fromisoformat(CHEST)


def test_last_scan_day_is_that_of_the_last_component():
    point = two_scans(30, 30)
    assert (point.day, point.last_scan_day) == (date.fromisoformat(CHEST), date.fromisoformat(ABDOMEN))


def test_time_points_after_progression_are_still_judged():
    assert [point.overall_response for point in follow(sums(100, 50, 60, 55))] == [PR, PD, PR]
