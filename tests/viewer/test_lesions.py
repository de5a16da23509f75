"""RECIST 1.1 as it is entered, against the engine that judges it."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analysis.recist.checks import find_problems
from analysis.response import follow, judge_measurability
from records.reads import (
    Certainty,
    Evaluator,
    LesionKind,
    LesionRole,
    Measurement,
    NonTargetStatus,
    Seen,
)
from tests.viewer.packs_by_hand import clear_form, miliary_form
from viewer.lesions import (
    add_lesion,
    add_new_lesion,
    follow_up_form,
    problems_of_lesions,
    recist_read,
    remove_lesion,
    with_measurement,
    with_status,
)
from viewer.reading import Fault

THIN, THICK = Decimal("1.25"), Decimal("7.5")


def target(form, organ="lung", kind=LesionKind.SOFT_TISSUE, long_mm="20", short_mm="16"):
    form = add_lesion(form, LesionRole.TARGET, organ=organ, kind=kind)
    name = form.lesions[-1].lesion_id
    return with_measurement(form, Measurement(name, Seen.MEASURED, Decimal(long_mm), Decimal(short_mm)))


def sentences(form, thickness_mm=THIN):
    return [(one.field, one.fault, one.sentence) for one in problems_of_lesions(form, thickness_mm)]


def baseline():
    form = target(target(miliary_form(), long_mm="32"), organ="mediastinum", kind=LesionKind.LYMPH_NODE)
    return add_lesion(form, LesionRole.NON_TARGET, organ="lung", kind=LesionKind.MILIARY)


def test_lesions_are_named_in_their_order_and_names_are_used_again():
    form = target(target(target(clear_form()), organ="liver"), organ="liver")
    assert [lesion.lesion_id for lesion in form.lesions] == ["T1", "T2", "T3"]
    form = target(remove_lesion(form, "T2"), organ="adrenal")
    assert {lesion.lesion_id: lesion.organ for lesion in form.lesions} == {
        "T1": "lung",
        "T3": "liver",
        "T2": "adrenal",
    }


def test_a_good_baseline_has_no_problems():
    assert sentences(baseline()) == []


@pytest.mark.parametrize(
    ("kind", "long_mm", "short_mm", "thickness_mm", "is_target"),
    [
        pytest.param(LesionKind.SOFT_TISSUE, "10", "8", THIN, True, id="10-mm"),
        pytest.param(LesionKind.SOFT_TISSUE, "9.9", "8", THIN, False, id="under-10-mm"),
        pytest.param(LesionKind.SOFT_TISSUE, "10", "8", Decimal(5), True, id="10-mm-at-5-mm-slices"),
        pytest.param(LesionKind.SOFT_TISSUE, "14.9", "8", THICK, False, id="under-twice-a-thick-slice"),
        pytest.param(LesionKind.SOFT_TISSUE, "15", "8", THICK, True, id="twice-a-thick-slice"),
        pytest.param(LesionKind.LYMPH_NODE, "30", "15", THIN, True, id="node-15-mm-short"),
        pytest.param(LesionKind.LYMPH_NODE, "30", "14.9", THIN, False, id="node-under-15-mm-short"),
        pytest.param(LesionKind.MILIARY, "30", "20", THIN, False, id="miliary-is-never-a-target"),
        pytest.param(LesionKind.EFFUSION, "30", "20", THIN, False, id="nor-an-effusion"),
        pytest.param(LesionKind.BONE_SOFT_TISSUE, "12", "8", THIN, True, id="bone-with-soft-tissue"),
    ],
)
def test_what_can_be_a_target_is_what_the_engine_calls_measurable(
    kind, long_mm, short_mm, thickness_mm, is_target
):
    """RECIST 1.1, 3.1; the engine in `analysis` was written apart from the form."""
    form = target(clear_form(), kind=kind, long_mm=long_mm, short_mm=short_mm)
    assert (sentences(form, thickness_mm) == []) == is_target
    judged = judge_measurability(
        kind, long_axis_mm=Decimal(long_mm), short_axis_mm=Decimal(short_mm), slice_thickness_mm=thickness_mm
    )
    assert judged.is_measurable == is_target


def test_five_targets_and_two_an_organ_at_most():
    form = clear_form()
    for organ in ("lung", "lung", "liver", "liver", "adrenal"):
        form = target(form, organ=organ)
    assert sentences(form) == []
    assert "6 targets, at most 5" in sentences(target(form, organ="kidney"))[0][2]
    assert "3 targets in lung" in sentences(target(remove_lesion(form, "T5"), organ="lung"))[0][2]


def test_all_nodes_are_one_organ():
    form = clear_form()
    for organ in ("neck", "mediastinum", "groin"):
        form = target(form, organ=organ, kind=LesionKind.LYMPH_NODE)
    assert "3 targets in lymph nodes" in sentences(form)[0][2]


def test_miliary_disease_is_a_non_target():
    form = remove_lesion(baseline(), "N1")
    assert ("non_targets", Fault.INCONSISTENT) in [problem[:2] for problem in sentences(form)]
    form = add_lesion(clear_form(), LesionRole.NON_TARGET, organ="lung", kind=LesionKind.MILIARY)
    assert ("non_targets", Fault.INCONSISTENT) in [problem[:2] for problem in sentences(form)]


def test_a_short_axis_is_not_longer_than_the_long_one():
    assert "longer than the long" in sentences(target(clear_form(), long_mm="12", short_mm="13"))[0][2]


def test_every_lesion_is_found_again_at_a_follow_up():
    form = follow_up_form(baseline(), baseline())
    assert [(field, fault) for field, fault, _ in sentences(form)] == [
        ("T1", Fault.MISSING),
        ("T2", Fault.MISSING),
        ("N1", Fault.MISSING),
    ]
    form = with_measurement(form, Measurement("T1", Seen.MEASURED, Decimal("4.5")))  # any size counts now
    form = with_measurement(form, Measurement("T2", Seen.ABSENT))
    form = with_status(form, "N1", NonTargetStatus.PRESENT)
    assert sentences(form) == []


def test_what_was_not_assessed_says_why():
    form = follow_up_form(baseline(), baseline())
    form = with_measurement(form, Measurement("T1", Seen.NOT_ASSESSED))
    form = with_measurement(form, Measurement("T2", Seen.MERGED))
    form = with_status(form, "N1", NonTargetStatus.NOT_ASSESSED)
    said = {field: sentence for field, _, sentence in sentences(form)}
    assert said == {
        "T1": "why it was not assessed",
        "T2": "the lesion it grew together with is named",
        "N1": "why it was not assessed",
    }


def test_a_new_lesion_is_carried_to_the_next_time_point():
    first = add_new_lesion(
        follow_up_form(baseline(), baseline()),
        Certainty.EQUIVOCAL,
        organ="liver",
        kind=LesionKind.SOFT_TISSUE,
    )
    second = follow_up_form(baseline(), first)
    assert [new.lesion_id for new in second.new_lesions] == ["NEW1"]
    assert second.measurements == ()
    assert remove_lesion(second, "NEW1").new_lesions == ()


def test_the_engine_takes_what_the_form_gives():
    """32 + 16 mm at baseline, 20 + 10 mm later: 37.5 % less, PR by table 1 of RECIST 1.1."""
    later = with_status(follow_up_form(baseline(), baseline()), "N1", NonTargetStatus.PRESENT)
    later = with_measurement(later, Measurement("T1", Seen.MEASURED, Decimal(20), Decimal(11)))
    later = with_measurement(later, Measurement("T2", Seen.MEASURED, Decimal(14), Decimal(10)))
    reader = Evaluator("INDEPENDENT ASSESSOR", "READER A")
    dates = ("2013-01-05", "2013-04-05")
    reads = [
        recist_read(
            form,
            subject_id="P1",
            evaluator=reader,
            number=number,
            visit=f"V{number}",
            date=date,
            slice_thickness_mm=THIN,
        )
        for number, (form, date) in enumerate(zip((baseline(), later), dates, strict=True), start=1)
    ]
    assert list(find_problems(reads)) == []
    assert [point.overall_response for point in follow(reads)] == ["PR"]


def test_a_follow_up_that_cannot_be_judged_is_ne():
    later = follow_up_form(baseline(), baseline()).with_answer("evaluable", "no")
    later = later.with_answer("why_not_evaluable", "no images of the lungs")
    reader = Evaluator("INDEPENDENT ASSESSOR", "READER A")
    reads = [
        recist_read(
            form,
            subject_id="P1",
            evaluator=reader,
            number=number,
            visit=f"V{number}",
            date=date,
            slice_thickness_mm=THIN,
        )
        for number, (form, date) in enumerate(((baseline(), "2013-01-05"), (later, "2013-04-05")), start=1)
    ]
    assert [point.overall_response for point in follow(reads)] == ["NE"]


SIZES = st.sampled_from(["0", "0.5", "5", "9.9", "10", "14.9", "15", "20", "300", "301"]).map(Decimal)
ORGANS = st.sampled_from(["lung", "mediastinum", "liver", ""])


def measurements(name, others):
    return st.builds(
        Measurement,
        st.just(name),
        st.sampled_from(Seen),
        st.none() | SIZES,
        st.none() | SIZES,
        merged_into=st.sampled_from(["", "T1", "T2", "T9", *others]),
        reason=st.sampled_from(["", "artefact"]),
    ).map(
        # As the window makes them: what was not measured has no length, what did not merge no other lesion.
        lambda one: replace(
            one,
            long_axis_mm=one.long_axis_mm if one.seen is Seen.MEASURED else None,
            short_axis_mm=one.short_axis_mm if one.seen is Seen.MEASURED else None,
            merged_into=one.merged_into if one.seen is Seen.MERGED else "",
        )
    )


@st.composite
def courses(draw):
    """Draw a baseline and a follow-up as a careless reader would fill them in."""
    first = clear_form()
    for _ in range(draw(st.integers(0, 4))):
        role = draw(st.sampled_from([LesionRole.TARGET, LesionRole.NON_TARGET]))
        kinds = [LesionKind.SOFT_TISSUE, LesionKind.LYMPH_NODE, LesionKind.EFFUSION]
        first = add_lesion(first, role, organ=draw(ORGANS), kind=draw(st.sampled_from(kinds)))
    later = follow_up_form(first, first)
    names = [lesion.lesion_id for lesion in first.lesions]
    for lesion in first.lesions:
        if lesion.role is LesionRole.TARGET:
            measured = measurements(lesion.lesion_id, names)
            first, later = with_measurement(first, draw(measured)), with_measurement(later, draw(measured))
        else:
            status = draw(st.sampled_from(NonTargetStatus))
            later = with_status(later, lesion.lesion_id, status, draw(st.sampled_from(["", "artefact"])))
    if draw(st.booleans()):
        later = add_new_lesion(
            later, draw(st.sampled_from(Certainty)), organ=draw(ORGANS), kind=kinds_new(draw)
        )
    if draw(st.booleans()):
        later = later.with_answer("evaluable", "no").with_answer("why_not_evaluable", "motion")
    return first, later


def kinds_new(draw):
    return draw(st.sampled_from(LesionKind))


@settings(max_examples=400, deadline=None)
@given(courses())
def test_what_the_form_lets_through_the_engine_can_judge(course):
    """A read that can be signed must never stop the collection of all others."""
    assume(all(not list(problems_of_lesions(form, THIN)) for form in course))
    reader = Evaluator("INDEPENDENT ASSESSOR", "READER A")
    dates = ("2013-01-05", "2013-04-05")
    reads = [
        recist_read(
            form, subject_id="P1", evaluator=reader, number=number, visit=f"V{number}", date=date,
            slice_thickness_mm=THIN,
        )
        for number, (form, date) in enumerate(zip(course, dates, strict=True), start=1)
    ]  # fmt: skip
    assert find_problems(reads) == []
    assert len(follow(reads)) == 1


def test_a_node_counts_as_a_node_wherever_it_lies():
    """Two nodes and one mass in the mediastinum are two organs, in the form and in the engine."""
    form = clear_form()
    for kind in (LesionKind.LYMPH_NODE, LesionKind.LYMPH_NODE, LesionKind.SOFT_TISSUE):
        form = target(form, organ="mediastinum", kind=kind)
    assert sentences(form) == []
    read = recist_read(
        form, subject_id="P1", evaluator=Evaluator("INDEPENDENT ASSESSOR"), number=1, visit="V1",
        date="2013-01-05", slice_thickness_mm=THIN,
    )  # fmt: skip
    assert find_problems([read]) == []
    assert [lesion.organ for lesion in read.lesions] == ["lymph nodes", "lymph nodes", "mediastinum"]
    assert read.lesions[0].location == "mediastinum"


@pytest.mark.parametrize(
    ("into", "said"),
    [
        ("", "is named"),
        ("T9", "T9 is no other target; there is T2"),
        ("T1", "T1 is no other target"),
        ("T2", None),
    ],
)
def test_a_lesion_merges_with_another_target(into, said):
    form = follow_up_form(baseline(), baseline())
    form = with_measurement(form, Measurement("T1", Seen.MERGED, merged_into=into))
    problems = [one.sentence for one in problems_of_lesions(form, THIN) if one.field == "T1"]
    assert problems == [] if said is None else said in problems[0]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Seen.MEASURED, []),
        (Seen.NOT_ASSESSED, []),
        (Seen.ABSENT, ["T2 is absent: one lesion has the size of both"]),
        (Seen.MERGED, ["T2 is merged: one lesion has the size of both"]),
    ],
)
def test_of_lesions_that_merge_one_has_the_size_of_both(seen, said):
    """The engine refuses the others, and with them the collection of all reads."""
    form = with_measurement(
        follow_up_form(baseline(), baseline()), Measurement("T1", Seen.MERGED, merged_into="T2")
    )
    whole = Measurement("T2", seen, reason="artefact", merged_into="T1" if seen is Seen.MERGED else "")
    form = with_measurement(form, whole)
    assert [one.sentence for one in problems_of_lesions(form, THIN) if one.field == "T1"] == said


@pytest.mark.parametrize("size", ["0", "300.1", "999"])
def test_a_target_has_a_length_a_chest_can_hold(size):
    form = with_measurement(
        follow_up_form(baseline(), baseline()), Measurement("T1", Seen.MEASURED, Decimal(size))
    )
    assert "up to 300" in next(one.sentence for one in problems_of_lesions(form, THIN) if one.field == "T1")
