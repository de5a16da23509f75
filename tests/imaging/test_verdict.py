"""The image criteria of Wu 2013 (Eur Respir J 41:417), both sides of each boundary."""

from dataclasses import replace
from math import exp, log
from statistics import NormalDist

import pytest

from imaging.protocol import load_protocol
from imaging.verdict import judge, margin, not_evaluable
from records.errors import Reason
from records.model import Arrangement, CountSource, Estimate, VerdictLabel
from tests.imaging.patterns import miliary

PROTOCOL = load_protocol()


def exactly(value):
    return Estimate(value, value, value)


MIPC, NOT, UNSURE = VerdictLabel.MIPC, VerdictLabel.NOT_MIPC, VerdictLabel.INDETERMINATE


def at(value, reach=0.0):
    return Estimate(value, value - reach, value + reach)


def arranged(clustering):
    chance = Estimate(1.0, 0.9, 1.1)
    return Arrangement(chance, clustering, chance, chance)


RULES = [
    pytest.param({}, MIPC, id="plainly-miliary"),
    pytest.param({"nodule_count": at(50.0)}, MIPC, id="fifty-is-profuse"),
    pytest.param({"nodule_count": at(49.9)}, NOT, id="under-fifty-is-not"),
    pytest.param({"nodule_count": Estimate(60.0, 45.0, 80.0)}, UNSURE, id="interval-astride-fifty"),
    pytest.param({"fraction_le_5mm": at(0.5)}, MIPC, id="half-are-tiny"),
    pytest.param({"fraction_le_5mm": at(0.49)}, NOT, id="fewer-than-half-are-tiny"),
    pytest.param({"fraction_le_5mm": at(0.5, 0.1)}, UNSURE, id="share-of-tiny-uncertain"),
    pytest.param({"diameter_cv": at(0.61)}, NOT, id="sizes-all-over-the-place"),
    pytest.param({"diameter_cv": at(0.6, 0.02)}, UNSURE, id="spread-of-sizes-uncertain"),
    pytest.param({"roundness": at(0.39)}, NOT, id="branching-not-round"),
    pytest.param({"zones_occupied": 5}, MIPC, id="five-zones-are-diffuse"),
    pytest.param({"zones_occupied": 4}, NOT, id="four-zones-are-not"),
    pytest.param({"evenness": at(0.74)}, NOT, id="crowded-in-one-zone"),
    pytest.param({"balance": at(0.24)}, NOT, id="one-sided"),
    pytest.param({"balance": at(0.25)}, MIPC, id="a-quarter-of-the-density-on-the-other-side"),
    pytest.param({"balance": at(0.25, 0.05)}, UNSURE, id="one-sidedness-uncertain"),
    pytest.param({"ground_glass_fraction": at(0.51)}, NOT, id="multifocal-ground-glass"),
    pytest.param({"ground_glass_fraction": at(0.50)}, MIPC, id="half-ground-glass"),
    pytest.param({"arrangement": arranged(Estimate(2.2, 1.9, 2.5))}, NOT, id="in-clusters"),
    pytest.param({"arrangement": arranged(Estimate(1.6, 1.3, 1.9))}, UNSURE, id="clusters-uncertain"),
    pytest.param({"lesions_ge_10mm": 1, "consolidation_ml": 40.0}, MIPC, id="primary-tumour-beside-it"),
]


@pytest.mark.parametrize("value", [55.0, 62.0, 66.0, 67.0, 70.0, 90.0])
def test_an_answer_counts_where_it_is_nine_in_ten_sure(value):
    spread = 0.22  # of the logarithm of the count; its 90 % interval is 1.645 of that to each side
    count = Estimate(value, value * exp(-1.645 * spread), value * exp(1.645 * spread))
    verdict = judge(miliary(nodule_count=count), PROTOCOL, 1.25)
    sure = 1 - NormalDist(log(value), spread).cdf(log(50.0))
    assert verdict.label is (MIPC if sure >= 0.9 else UNSURE)
    (profuse,) = (f for f in verdict.criteria if f.name == "profuse")
    assert ("is at least 90 % sure" in profuse.sentence) is (sure >= 0.9 and count.low < 50)


def test_thickened_septa_on_both_sides_of_the_limit():
    limit = PROTOCOL.lymphangitic_largest_septal_index
    assert judge(miliary(septal_index=at(limit)), PROTOCOL, 1.25).label is MIPC
    assert judge(miliary(septal_index=at(1.01 * limit)), PROTOCOL, 1.25).label is NOT


def test_hazy_lungs_on_both_sides_of_the_limit():
    limit = PROTOCOL.ground_glass_largest_haze
    assert judge(miliary(haze_fraction=at(limit)), PROTOCOL, 1.25).label is MIPC
    assert judge(miliary(haze_fraction=at(1.01 * limit)), PROTOCOL, 1.25).label is NOT


def test_lungs_that_ten_more_hounsfield_units_would_make_hazy_are_left_open():
    limit = PROTOCOL.ground_glass_largest_haze
    verdict = judge(miliary(haze_fraction=Estimate(0.9 * limit, 0.8 * limit, 1.1 * limit)), PROTOCOL, 1.25)
    assert verdict.label is VerdictLabel.INDETERMINATE
    assert "full inspiration" in verdict.sentence


def test_lungs_that_may_be_breathed_out_or_hazy_are_left_open_and_said_to_be_both():
    verdict = judge(miliary(haze_fraction=Estimate(0.11, 0.013, 0.87)), PROTOCOL, 1.25)
    assert verdict.label is VerdictLabel.INDETERMINATE
    assert "1 % of them are in ground glass if they are breathed out, 87 % if not" in verdict.sentence
    assert "full inspiration" in verdict.sentence


def test_a_count_read_from_texture_says_so():
    merged = miliary(nodule_count=Estimate(9000.0, 6000.0, 13000.0), count_source=CountSource.TEXTURE)
    verdict = judge(merged, PROTOCOL, 1.25)
    assert verdict.label is VerdictLabel.MIPC
    assert "They merge, so this is read from the texture of the lungs." in verdict.sentence
    assert "texture" not in judge(miliary(), PROTOCOL, 1.25).sentence


@pytest.mark.parametrize(
    ("count", "said"),
    [
        pytest.param(Estimate(100.0, 40.0, 161.0), True, id="far-wider-than-a-count-that-is-seen"),
        pytest.param(Estimate(100.0, 40.0, 160.0), False, id="as-wide-as-counts-are"),
        pytest.param(Estimate(19.0, 2.0, 40.0), False, id="few-nodules-have-wide-intervals-anyway"),
    ],
)
def test_a_count_made_up_for_what_is_not_seen_says_so(count, said):
    verdict = judge(miliary(nodule_count=count), PROTOCOL, 1.25)
    assert ("near the limit of what this scan shows" in verdict.sentence) is said


def test_an_answer_with_the_limit_inside_its_interval_says_on_which_side_it_lies():
    judged = judge(miliary(fraction_le_5mm=Estimate(0.1, 0.0, 0.51)), PROTOCOL, slice_mm=1.25)
    found = next(finding for finding in judged.criteria if finding.name == "tiny")
    assert found.holds is False
    assert found.sentence.endswith("That it lies below 50 % is at least 90 % sure.")


def test_a_doubtful_answer_names_what_would_settle_it():
    verdict = judge(miliary(nodule_count=Estimate(60.0, 45.0, 80.0)), PROTOCOL, 1.25)
    assert verdict.reason is Reason.NEAR_THRESHOLD
    assert "To settle it: a reconstruction of 1.25 mm or less" in verdict.sentence
    (profuse,) = (f for f in verdict.criteria if f.holds is None)
    assert profuse.settled_by


def test_a_noisy_scan_is_indeterminate_unless_it_is_plainly_empty():
    noisy = PROTOCOL.quality_largest_noise_hu + 1
    assert judge(miliary(), PROTOCOL, 1.25, noisy).reason is Reason.POOR_QUALITY
    assert judge(miliary(nodule_count=at(0.0)), PROTOCOL, 1.25, noisy).label is NOT


def test_the_probability_is_moved_to_the_prevalence_by_bayes():
    rare = judge(miliary(), PROTOCOL, 1.25).probability
    even = judge(miliary(), replace(PROTOCOL, probability_prevalence=0.5), 1.25).probability
    prior = PROTOCOL.probability_prevalence
    assert rare / (1 - rare) == pytest.approx(even / (1 - even) * prior / (1 - prior), rel=1e-6)


def test_the_margin_is_that_of_the_weakest_rule():
    # Steps from the threshold to what plainly miliary disease measures: 0.25 to 1 for the balance, 50 to 200
    # nodules (a factor, so 25 is half a step down) for the count.
    assert margin(miliary(balance=at(0.25)), PROTOCOL) == pytest.approx(0.0)
    assert margin(miliary(balance=at(0.1)), PROTOCOL) == pytest.approx(-0.2)
    assert margin(miliary(nodule_count=at(25.0)), PROTOCOL) == pytest.approx(-0.5)
    assert margin(miliary(nodule_count=at(0.0)), PROTOCOL) < -2


# A protocol may ask for what plainly miliary disease measures (200 nodules, 6 zones), or for more.
STRICT = [
    pytest.param("profuse_least_nodules", 200.0, "nodule_count", at(201.0), at(199.0), id="200-nodules"),
    pytest.param("profuse_least_nodules", 300.0, "nodule_count", at(400.0), at(250.0), id="300-nodules"),
    pytest.param("diffuse_least_zones", 6.0, "zones_occupied", 6, 5, id="6-zones"),
    pytest.param(
        "random_largest_clustering",
        0.9,
        "arrangement",
        arranged(at(0.8)),
        arranged(at(1.0)),
        id="0.9-of-chance",
    ),
    pytest.param("ground_glass_largest_haze", 0.0, "haze_fraction", exactly(0.0), exactly(0.1), id="no-haze"),
]


@pytest.mark.parametrize(("threshold", "limit", "what", "better", "worse"), STRICT)
def test_the_margin_changes_its_sign_at_the_threshold_however_strict(threshold, limit, what, better, worse):
    strict = replace(PROTOCOL, **{threshold: limit})
    assert margin(miliary(**{what: better}), strict) >= 0 > margin(miliary(**{what: worse}), strict)


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
        arrangement=None,
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
        pytest.param(3.0, Estimate(0.0, 0.0, 8.0), NOT, id="an-empty-scan-at-the-limit-is-negative"),
        pytest.param(3.1, Estimate(0.0, 0.0, 8.0), UNSURE, id="an-empty-scan-past-it-proves-nothing"),
    ],
)
def test_thick_slices_answer_with_care(slice_mm, count, label):
    verdict = judge(miliary(nodule_count=count), PROTOCOL, slice_mm)
    assert verdict.label is label
    assert (verdict.reason is Reason.POOR_QUALITY) == (label is UNSURE)


def test_every_finding_names_its_source_and_a_sentence():
    verdict = judge(miliary(), PROTOCOL, 1.25)
    for finding in (*verdict.criteria, *verdict.exclusions):
        assert "Wu 2013" in finding.source, finding.name
        assert finding.sentence.endswith(".")
    assert {f.name for f in verdict.criteria} == {
        "profuse",
        "tiny",
        "uniform",
        "round",
        "diffuse",
        "even",
        "bilateral",
        "random",
    }
    assert {f.name for f in verdict.exclusions} == {"unilateral", "ground_glass", "haze", "lymphangitic"}


def test_probability_ranks_the_plain_case_over_the_doubtful_over_the_negative():
    plain = judge(miliary(), PROTOCOL, 1.25).probability
    doubtful = judge(miliary(nodule_count=Estimate(60.0, 45.0, 80.0)), PROTOCOL, 1.25).probability
    negative = judge(miliary(nodule_count=exactly(5.0)), PROTOCOL, 1.25).probability
    assert plain > doubtful > negative


def test_what_cannot_be_judged_carries_its_code_and_sentence():
    verdict = not_evaluable(Reason.NO_CT, "the study holds no CT")
    assert verdict.label is VerdictLabel.NOT_EVALUABLE
    assert (verdict.reason, verdict.sentence) == (Reason.NO_CT, "the study holds no CT")
    assert verdict.probability is None
