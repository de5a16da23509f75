"""The benchmark of the verdict asks each question once, and its figures are what they are called."""

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.patterns import SCANS, SEED, THICK, TUNED_ON, plan, sensitivity_at
from imaging.disease import KINDS


@pytest.mark.parametrize(("studies", "thick"), [(300, False), (20, True)])
def test_every_study_planned_is_another(studies, thick):
    tasks = plan(studies, SEED, thick)
    assert len({task.uid for task in tasks}) == studies
    assert {(task.scan, task.slices) for task in tasks} == set(THICK if thick else SCANS)


def test_the_seed_measured_with_is_none_that_was_tuned_on():
    assert SEED not in TUNED_ON
    tuned = {task.uid for seed in TUNED_ON for task in plan(300, seed, False)}
    assert tuned.isdisjoint(task.uid for task in plan(300, SEED, False))


def test_two_parts_are_the_whole_and_hold_every_kind():
    tasks = plan(300, SEED, False)
    parts = tasks[0::2], tasks[1::2]
    assert sorted(t.uid for part in parts for t in part) == sorted(t.uid for t in tasks)
    assert all({t.kind for t in part} == set(KINDS) for part in parts)


def cases(margins: list[float]) -> list[Any]:
    return [SimpleNamespace(margin=margin) for margin in margins]


@pytest.mark.parametrize(
    ("specificity", "expected"),
    [
        pytest.param(1.0, "0.250", id="only-what-lies-above-all-who-are-well"),
        pytest.param(0.9, "0.500", id="one-of-ten-may-lie-above"),
        pytest.param(0.8, "0.750", id="two-of-ten-may"),
    ],
)
def test_sensitivity_at_a_specificity_is_that_of_the_lowest_threshold_that_keeps_it(specificity, expected):
    well = cases([-3.0, -2.0, -1.0, -0.5, -0.4, -0.3, -0.2, -0.1, 0.4, 0.8])
    ill = cases([-0.5, 0.1, 0.6, 0.9])
    assert sensitivity_at(ill, well, specificity).startswith(f"{expected} [")
