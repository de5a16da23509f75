"""The image criteria of Wu 2013 (Eur Respir J 41:417), both sides of each boundary."""

import pytest

from imaging.protocol import load_protocol
from imaging.verdict import judge, not_evaluable
from records.errors import Reason
from records.model import Estimate, VerdictLabel
from tests.imaging.patterns import miliary

PROTOCOL = load_protocol()


def exactly(value):
    return Estimate(value, value, value)


MIPC, NOT, UNSURE = VerdictLabel.MIPC, VerdictLabel.NOT_MIPC, VerdictLabel.INDETERMINATE
RULES = [
    pytest.param({}, MIPC, id="plainly-miliary"),
    pytest.param({"nodule_count": exactly(50.0)}, MIPC, id="fifty-is-profuse"),
    pytest.param({"nodule_count": exactly(49.9)}, NOT, id="under-fifty-is-not"),
    pytest.param({"nodule_count": Estimate(60.0, 45.0, 80.0)}, UNSURE, id="interval-astride-fifty"),
    pytest.param({"fraction_le_5mm": exactly(0.5)}, MIPC, id="half-are-tiny"),
    pytest.param({"fraction_le_5mm": exactly(0.49)}, NOT, id="fewer-than-half-are-tiny"),
    pytest.param({"fraction_le_5mm": Estimate(0.5, 0.4, 0.6)}, UNSURE, id="share-of-tiny-uncertain"),
    pytest.param({"diameter_cv": 0.61}, NOT, id="sizes-all-over-the-place"),
    pytest.param({"roundness": 0.39}, NOT, id="branching-not-round"),
    pytest.param({"zones_occupied": 5}, MIPC, id="five-zones-are-diffuse"),
    pytest.param({"zones_occupied": 4}, NOT, id="four-zones-are-not"),
    pytest.param({"evenness": 0.74}, NOT, id="crowded-in-one-zone"),
    pytest.param({"balance": 0.24}, NOT, id="one-sided"),
    pytest.param({"balance": 0.25}, MIPC, id="a-quarter-of-the-density-on-the-other-side"),
    pytest.param({"ground_glass_fraction": 0.51}, NOT, id="multifocal-ground-glass"),
    pytest.param({"ground_glass_fraction": 0.50}, MIPC, id="half-ground-glass"),
    pytest.param({"septal_index": 0.16}, NOT, id="lymphangitic"),
    pytest.param({"septal_index": 0.15}, MIPC, id="septa-at-the-limit"),
    pytest.param({"lesions_ge_10mm": 1, "consolidation_ml": 40.0}, MIPC, id="primary-tumour-beside-it"),
]


@pytest.mark.parametrize(("changed", "label"), RULES)
def test_each_criterion_on_both_sides(changed, label):
    assert judge(miliary(**changed), PROTOCOL, 1.25).label is label


def test_an_empty_scan_is_negative_and_says_so():
    empty = miliary(
        nodule_count=Estimate(0.0, 0.0, 6.0),
        fraction_le_5mm=None,
        median_diameter_mm=None,
        diameter_cv=None,
        roundness=None,
    )
    verdict = judge(empty, PROTOCOL, 1.25)
    assert verdict.label is VerdictLabel.NOT_MIPC
    assert "0 nodules" in verdict.sentence
    assert verdict.reason is None


@pytest.mark.parametrize(
    ("slice_mm", "count", "label"),
    [
        pytest.param(3.0, exactly(400.0), MIPC, id="three-millimetres-may-be-positive"),
        pytest.param(3.1, exactly(400.0), UNSURE, id="thicker-is-never-confidently-positive"),
        pytest.param(5.0, Estimate(30.0, 20.0, 45.0), UNSURE, id="nor-negative-when-there-is-something"),
        pytest.param(5.0, Estimate(0.0, 0.0, 8.0), NOT, id="an-empty-thick-scan-is-negative"),
    ],
)
def test_thick_slices_answer_with_care(slice_mm, count, label):
    verdict = judge(miliary(nodule_count=count), PROTOCOL, slice_mm)
    assert verdict.label is label
    assert (verdict.reason is Reason.POOR_QUALITY) == (label is UNSURE)


def test_every_finding_names_its_source_and_a_sentence():
    verdict = judge(miliary(), PROTOCOL, 1.25)
    for finding in (*verdict.criteria, *verdict.exclusions):
        assert "Wu 2013" in finding.source
        assert finding.sentence.endswith(".")
    assert {f.name for f in verdict.criteria} == {
        "profuse",
        "tiny",
        "uniform",
        "round",
        "diffuse",
        "bilateral",
    }
    assert {f.name for f in verdict.exclusions} == {"unilateral", "ground_glass", "lymphangitic"}


def test_probability_ranks_the_plain_case_over_the_doubtful_over_the_negative():
    plain = judge(miliary(), PROTOCOL, 1.25).probability
    doubtful = judge(miliary(nodule_count=Estimate(60.0, 45.0, 80.0)), PROTOCOL, 1.25).probability
    negative = judge(miliary(nodule_count=exactly(5.0)), PROTOCOL, 1.25).probability
    assert plain > 0.5 > doubtful > negative


def test_what_cannot_be_judged_carries_its_code_and_sentence():
    verdict = not_evaluable(Reason.NO_CT, "the study holds no CT")
    assert verdict.label is VerdictLabel.NOT_EVALUABLE
    assert (verdict.reason, verdict.sentence) == (Reason.NO_CT, "the study holds no CT")
    assert verdict.probability is None
