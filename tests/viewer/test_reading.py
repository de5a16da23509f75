"""The form without a window: the label, what is missing, what is at odds, and that nothing is lost."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.model import Side, VerdictLabel, Zone
from tests.viewer.packs_by_hand import clear_form, miliary_form
from viewer.questions import BASELINE, CRITERIA, EXCLUSIONS, FOLLOW_UP, Kind, zone_name
from viewer.reading import Fault, Form, Mark, can_sign, form_from_json, form_to_json, problems_of_answers

RIGHT = {zone_name(Side.RIGHT, zone): "0" for zone in Zone}


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        pytest.param({}, VerdictLabel.MIPC, id="all-three-criteria"),
        pytest.param({"criterion_size": "no"}, VerdictLabel.NOT_MIPC, id="one-criterion-fails"),
        pytest.param({"exclusion_lymphangitic": "yes"}, VerdictLabel.NOT_MIPC, id="an-exclusion-applies"),
        pytest.param({"criterion_pattern": "unsure"}, VerdictLabel.INDETERMINATE, id="a-criterion-is-open"),
        pytest.param(
            {"exclusion_ground_glass": "unsure"}, VerdictLabel.INDETERMINATE, id="an-exclusion-is-open"
        ),
        pytest.param(
            {"criterion_pattern": "unsure", "criterion_size": "no"},
            VerdictLabel.NOT_MIPC,
            id="one-no-decides",
        ),
        pytest.param({"evaluable": "no"}, VerdictLabel.NOT_EVALUABLE, id="the-scan-cannot-be-judged"),
    ],
)
def test_the_label_follows_from_the_criteria(changes, label):
    """Wu 2013: all three criteria, none of the three exclusions."""
    assert miliary_form(**changes).label is label


def test_there_is_no_label_while_a_criterion_is_open():
    for question in (*CRITERIA, *EXCLUSIONS):
        assert miliary_form().with_answer(question.name, "").label is None


@pytest.mark.parametrize("form", [miliary_form(), clear_form()])
def test_a_complete_read_has_no_problems(form):
    assert not list(problems_of_answers(form))
    assert can_sign(form, ())


def test_an_empty_form_misses_every_question_once():
    problems = list(problems_of_answers(Form()))
    assert {problem.fault for problem in problems} == {Fault.MISSING}
    assert [problem.field for problem in problems] == [
        "evaluable"
    ]  # the rest is asked of a scan that can be judged


def test_a_scan_that_cannot_be_judged_needs_only_its_reason():
    form = Form().with_answer("evaluable", "no")
    assert [problem.field for problem in problems_of_answers(form)] == ["why_not_evaluable"]
    assert not list(problems_of_answers(form.with_answer("why_not_evaluable", "motion")))


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        pytest.param(RIGHT, "criterion_pattern", "the right lung is graded 0", id="one-lung-is-empty"),
        pytest.param(
            {"typical_mm": "5.1"}, "typical_mm", "larger than the largest", id="typical-over-largest"
        ),
        pytest.param(
            {"typical_mm": "5.1", "largest_mm": "9"},
            "criterion_size",
            "typical nodule has 5.1 mm",
            id="not-tiny",
        ),
        pytest.param(
            {"criterion_size": "no"}, "criterion_size", "largest nodule has 4.5 mm", id="tiny-after-all"
        ),
        pytest.param(
            {"criterion_number": "no"}, "criterion_number", "innumerable", id="countable-yet-innumerable"
        ),
        pytest.param(
            {"exclusion_unilateral": "yes"}, "exclusion_unilateral", "both lungs", id="not-unilateral"
        ),
    ],
)
def test_answers_at_odds_are_said_beside_the_field(changes, field, said):
    form = miliary_form(**changes)
    problems = [problem for problem in problems_of_answers(form) if problem.field == field]
    assert [problem.fault for problem in problems] == [Fault.INCONSISTENT]
    assert said in problems[0].sentence
    assert not can_sign(form, problems)
    assert can_sign(form.with_answer("comment", "seen again, it is so"), problems)


def test_5_mm_is_still_tiny():
    assert not list(problems_of_answers(miliary_form(typical_mm="5.0", largest_mm="5.0")))


def test_nodules_without_a_size_are_incomplete():
    form = miliary_form().with_answer("typical_mm", "").with_answer("largest_mm", "")
    assert [(one.field, one.fault) for one in problems_of_answers(form)] == [
        ("largest_mm", Fault.MISSING),
        ("typical_mm", Fault.MISSING),
    ]


@pytest.mark.parametrize("text", ["0", "-3", "4 mm", "NaN", "Infinity", "301", "1e9"])
def test_a_size_is_a_length_in_millimetres(text):
    problems = [
        one for one in problems_of_answers(miliary_form(largest_mm=text)) if one.field == "largest_mm"
    ]
    assert [problem.fault for problem in problems] == [Fault.INVALID]


def test_a_decimal_comma_is_read():
    assert miliary_form(largest_mm="4,5").size_mm("largest_mm") == Decimal("4.5")


def test_every_choice_has_a_key_of_its_own_and_every_name_is_unique():
    for table in (BASELINE, FOLLOW_UP):
        assert len({question.name for question in table}) == len(table)
        for question in table:
            keys = [choice.key for choice in question.choices]
            assert len(set(keys)) == len(keys)
            assert bool(keys) == (question.kind is Kind.CHOICE)


points = st.tuples(*[st.floats(-500, 500)] * 3)


@given(
    answers=st.dictionaries(
        st.sampled_from([question.name for question in BASELINE]), st.text(min_size=1, max_size=20)
    ),
    marks=st.lists(st.builds(Mark, st.text(max_size=5), st.lists(points, max_size=4).map(tuple)), max_size=3),
)
def test_a_saved_form_loads_equal(answers, marks):
    form = Form(answers=answers, marks=tuple(marks))
    assert form_from_json(json.loads(json.dumps(form_to_json(form)))) == form


@given(st.lists(st.tuples(st.sampled_from([question.name for question in BASELINE]), st.text(max_size=5))))
def test_no_answer_whatever_makes_the_checks_fail(changes):
    form = Form(answers={"evaluable": "yes"})
    for name, value in changes:
        form = form.with_answer(name, value)
    problems = list(problems_of_answers(form))
    assert can_sign(form, problems) in (True, False)
