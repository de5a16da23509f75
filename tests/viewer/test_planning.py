import pytest
from hypothesis import given
from hypothesis import strategies as st

from viewer.pack import PackError
from viewer.planning import Candidate, draw_controls, plan_cases


def patients(flagged: int, others: int) -> list[Candidate]:
    return [
        Candidate(f"P{number:03d}", (f"1.{number}",), number < flagged) for number in range(flagged + others)
    ]


sizes = st.integers(1, 40)


@given(count=sizes, seed=st.integers(0, 2**31), reader=st.sampled_from("AB"), data=st.data())
def test_everybody_is_read_once_and_repeats_once_more(count, seed, reader, data):
    repeats = data.draw(st.integers(0, count))
    cases = plan_cases(patients(count, 0), reader, repeats, seed)
    assert len(cases) == count + repeats
    first = [case for case in cases if not case.repeat_of]
    assert {case.patient.patient_id for case in first} == {f"P{number:03d}" for number in range(count)}
    assert len({case.code for case in cases}) == len(cases)


@given(count=sizes, seed=st.integers(0, 2**31), data=st.data())
def test_a_repeat_comes_after_its_first_reading_and_not_soon(count, seed, data):
    cases = plan_cases(patients(count, 0), "A", data.draw(st.integers(0, count)), seed)
    places = {case.code: place for place, case in enumerate(cases)}
    for case in cases:
        if case.repeat_of:
            gap = places[case.code] - places[case.repeat_of] - 1
            assert cases[places[case.repeat_of]].patient == case.patient
            assert gap >= min(count // 3, count - 1)


def test_the_seed_decides_and_each_reader_has_an_order_of_his_own():
    group = patients(12, 0)
    assert plan_cases(group, "A", 3, 7) == plan_cases(list(reversed(group)), "A", 3, 7)
    orders = {
        (reader, seed): [case.patient.patient_id for case in plan_cases(group, reader, 3, seed)]
        for reader in "AB"
        for seed in (7, 8)
    }
    assert len({tuple(order) for order in orders.values()}) == 4


def test_both_readers_have_the_same_patients_twice():
    again = [
        {case.patient.patient_id for case in plan_cases(patients(12, 0), reader, 3, 7) if case.repeat_of}
        for reader in "AB"
    ]
    assert again[0] == again[1]
    assert len(again[0]) == 3


def test_controls_are_drawn_and_all_flagged_are_kept():
    drawn = draw_controls(patients(5, 20), 7, seed=1)
    assert sum(one.is_flagged for one in drawn) == 5
    assert len(drawn) == 12
    assert draw_controls(patients(5, 20), 7, seed=2) != drawn


@pytest.mark.parametrize(
    ("group", "controls", "said"),
    [
        pytest.param(patients(0, 3), 1, "nothing to confirm", id="nobody-flagged"),
        pytest.param(patients(2, 3), 4, "has 3 patients", id="too-few-controls"),
    ],
)
def test_what_cannot_be_drawn_is_said(group, controls, said):
    with pytest.raises(PackError, match=said):
        draw_controls(group, controls, seed=0)


def test_more_repeats_than_patients_are_refused():
    with pytest.raises(PackError, match="3 repeats"):
        plan_cases(patients(2, 0), "A", 3, 0)
