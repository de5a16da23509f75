"""Burden and its change from traces with a known answer; what is real, and what is suggested."""

from dataclasses import replace

import numpy as np
import pytest

from imaging.burden import burden_by_zone
from imaging.count import Recall
from imaging.matching import Doubt, Fate, Trace
from imaging.repeatability import size_change
from imaging.suggestion import Reading, least_new, suggest
from records.model import Estimate, Side, Zone, ZoneSummary
from tests.records.examples import nodule, pattern

PERFECT = Recall((2.5, 7.5), (1.0, 1.0))
HALF = Recall((2.5, 7.5), (0.5, 0.5))
PLACE = (-70.0, 10.0, 150.0)


def trace(fate, before_mm=None, after_mm=None, number=1, doubt=Doubt.NONE):
    one = nodule(number, PLACE, before_mm) if before_mm else None
    other = nodule(number, PLACE, after_mm) if after_mm else None
    return Trace(fate, doubt, one, other, PLACE, PLACE, Side.RIGHT, Zone.MIDDLE, None, None)


def counted(marks, there=None):
    """Count what is reported, each mark for as many nodules as add up to `there`."""
    each = 1.0 if there is None else there.value / len(marks)
    zones = tuple(
        ZoneSummary(side, zone, 700.0, each * sum(m.side is side and m.zone is zone for m in marks))
        for side in Side
        for zone in Zone
    )
    number = float(len(marks))
    return replace(pattern(), nodule_count=there or Estimate(number, number, number), zones=zones)


def whole(traces, recalls=(PERFECT, PERFECT), there=(None, None)):
    marks = tuple(
        [getattr(t, name) for t in traces if getattr(t, name)] for name in ("baseline", "follow_up")
    )
    patterns = tuple(counted(*one) for one in zip(marks, there, strict=True))
    return burden_by_zone(traces, marks, patterns, recalls)


def test_half_gone_is_half_the_burden_whatever_the_recall():
    traces = [trace(Fate.PERSISTING, 3.0, 3.0, n) for n in range(100)]
    traces += [trace(Fate.GONE, 3.0, None, n) for n in range(100, 200)]
    all_there = Estimate(400.0, 400.0, 400.0), Estimate(200.0, 200.0, 200.0)
    for recalls, there in (((PERFECT, PERFECT), (None, None)), ((HALF, HALF), all_there)):
        both = whole(traces, recalls, there)[0]
        for change in (both.count_change, both.volume_change):
            assert change.value.value == pytest.approx(-0.5)
            assert change.value.low < -0.5 < change.value.high < -0.3
            assert change.is_real


def test_growth_of_a_fifth_in_diameter_is_73_percent_in_volume():
    both = whole([trace(Fate.PERSISTING, 3.0, 3.6, n) for n in range(80)])[0]
    assert both.volume_change.value.value == pytest.approx(1.2**3 - 1)
    assert both.count_change.value.value == pytest.approx(0.0)
    assert both.volume_change.is_real
    assert not both.count_change.is_real


@pytest.mark.parametrize("assumed", [PERFECT, HALF])
def test_a_follow_up_that_shows_half_of_everything_gives_the_true_change(assumed):
    """Of 50 nodules 25 are marked again, of 20 new ones 10: 70 of 50, whatever recall is assumed."""
    traces = [trace(Fate.PERSISTING, 3.0, 3.0, n) for n in range(25)]
    traces += [trace(Fate.PERSISTING, 3.0, None, n, Doubt.SEEN_NOT_MARKED) for n in range(25, 50)]
    traces += [trace(Fate.NEW, None, 3.0, n) for n in range(50, 60)]
    there = Estimate(70.0, 70.0, 70.0) if assumed is HALF else None  # twice as many as are reported
    both = whole(traces, (PERFECT, assumed), (None, there))[0]
    assert both.count_change.value.value == pytest.approx(0.4)
    assert both.volume_change.value.value == pytest.approx(0.4)


def test_false_marks_stay_and_do_not_damp_the_change():
    """Fifty nodules are gone, and of a hundred marks that stay every second is a vessel."""
    sure = [trace(Fate.GONE, 3.0, None, n) for n in range(50)]
    doubtful = [trace(Fate.PERSISTING, 3.0, 3.0, n) for n in range(50, 150)]
    doubtful = [
        replace(
            one,
            baseline=replace(one.baseline, probability=0.5),
            follow_up=replace(one.follow_up, probability=0.5),
        )
        for one in doubtful
    ]
    sure = [replace(one, baseline=replace(one.baseline, probability=1.0)) for one in sure]
    both = whole(sure + doubtful)[0]
    assert both.count_change.value.value == pytest.approx(-0.5)
    assert both.volume_change.value.value == pytest.approx(-0.5)


def test_volume_changes_by_what_both_images_say_not_by_two_fits():
    """The thick scan's fits are a fifth too large in diameter; the images together see no growth."""
    traces = [replace(trace(Fate.PERSISTING, 3.0, 3.6, n), volume_ratio=1.0) for n in range(60)]
    assert whole(traces)[0].volume_change.value.value == pytest.approx(0.0)


def test_where_nothing_persists_the_totals_stand():
    traces = [trace(Fate.GONE, 3.0, None, n) for n in range(50)] + [trace(Fate.NEW, None, 3.0, 99)] * 10
    both = whole(traces)[0]
    assert both.count_change.value.value == pytest.approx(-0.8)
    assert both.count_change.is_real


def test_of_fifty_that_are_gone_a_few_might_not_be():
    """Three of n: of 50 none is left, so that with 95 % fewer than 5.8 % are (Hanley 1983, table 1)."""
    both = whole([trace(Fate.GONE, 3.0, None, n) for n in range(50)])[0]
    for change in (both.count_change, both.volume_change):
        assert change.value.value == -1.0
        assert change.value.high == pytest.approx(-1 + 0.058, abs=0.001)
        assert change.is_real


def test_what_cannot_be_assessed_changes_nothing():
    traces = [trace(Fate.PERSISTING, 3.0, 3.0, n) for n in range(50)]
    unclear = [trace(Fate.NOT_ASSESSABLE, 4.0, None, n, Doubt.NO_AIR) for n in range(50, 90)]
    assert whole(traces + unclear)[0].volume_change.value.value == pytest.approx(0.0)


def test_a_mass_is_no_micronodule():
    traces = [trace(Fate.PERSISTING, 3.0, 3.0, n) for n in range(50)] + [trace(Fate.GONE, 30.0, None, 99)]
    both = whole(traces)[0]
    assert both.volume_change.value.value == pytest.approx(0.0)
    assert both.baseline.count.value == pytest.approx(50)


def test_the_zones_add_up_and_the_others_are_empty():
    zones = whole([trace(Fate.PERSISTING, 3.0, 3.0, n) for n in range(40)])
    assert sum(zone.baseline.count.value for zone in zones[1:]) == pytest.approx(
        zones[0].baseline.count.value
    )
    here = [zone for zone in zones[1:] if zone.baseline.count.value > 0]
    assert [(zone.side, zone.zone) for zone in here] == [(Side.RIGHT, Zone.MIDDLE)]
    assert sum(zone.volume_change is None for zone in zones) == 5


SMALL_MISSED = Recall((2.0, 4.0), (0.5, 1.0))


def test_what_is_missed_has_the_sizes_that_are_missed():
    """Of 150 nodules 100 are reported, half of 2 mm, half of 4; none of 4 mm is ever missed."""
    traces = [trace(Fate.PERSISTING, d, d, n) for n, d in enumerate([2.0, 4.0] * 50)]
    there = Estimate(150.0, 120.0, 200.0)
    both = whole(traces, (SMALL_MISSED, SMALL_MISSED), (there, there))[0]
    assert both.baseline.count == there
    small, large = (np.pi / 6 * d**3 for d in (2.0, 4.0))
    volume = both.baseline.volume_mm3
    assert volume.value == pytest.approx(100 * small + 50 * large)
    # By the count alone 50 of 2 mm more, 30 less; and a hundred nodules of two sizes are a sample.
    assert volume.low < 70 * small + 50 * large
    assert volume.high > 150 * small + 50 * large
    assert volume.low > 0.75 * volume.value
    assert volume.high < 1.35 * volume.value


def test_where_fewer_are_there_than_reported_some_of_these_are_false():
    traces = [trace(Fate.PERSISTING, 3.0, 3.0, n) for n in range(90)]
    there = Estimate(60.0, 45.0, 81.0)
    both = whole(traces, (HALF, HALF), (there, there))[0]
    assert both.baseline.count == there
    assert both.baseline.volume_mm3.value == pytest.approx(60 * np.pi / 6 * 27)
    assert both.count_change.value.value == pytest.approx(0.0)


def test_larger_lesions_are_counted_and_are_no_burden():
    traces = kept(50) + [trace(Fate.PERSISTING, 12.0, 12.0, 99)] * 2
    there = Estimate(52.0, 42.0, 72.0)
    zones = whole(traces, there=(there, there))
    assert zones[0].baseline.count == Estimate(50.0, 40.0, 70.0)
    assert sum(zone.baseline.count.value for zone in zones[1:]) == pytest.approx(50.0)


def test_a_zone_without_marks_may_still_hold_some():
    zones = whole(kept(40))
    empty = [zone.baseline for zone in zones[1:] if zone.baseline.count.value == 0]
    assert len(empty) == 5
    # 3.0 is the upper end of a Poisson count of none (exact, one-sided 95 %: -ln 0.05).
    assert all(zone.count.high == pytest.approx(-np.log(0.05)) for zone in empty)
    assert all(zone.volume_mm3.high == pytest.approx(zone.count.high * np.pi / 6 * 27) for zone in empty)


def test_the_interval_of_a_zone_is_wider_than_that_of_both_lungs():
    there = Estimate(40.0, 30.0, 60.0)
    zones = whole(kept(40), there=(there, there))
    here = next(zone.baseline.count for zone in zones[1:] if zone.baseline.count.value > 0)
    assert here.value == pytest.approx(40.0)
    assert here.low < 30.0
    assert here.high > 60.0


def sized(diameter_mm, error_mm=0.3):
    one = nodule(1, PLACE, diameter_mm)
    return replace(one, diameter_mm=Estimate(diameter_mm, diameter_mm - error_mm, diameter_mm + error_mm))


def test_a_change_is_real_only_beyond_measurement_error():
    assert not size_change(sized(3.0), sized(3.4), 1).is_real
    assert size_change(sized(3.0), sized(4.0), 1).is_real
    assert size_change(sized(4.0), sized(3.0), 1).value_mm.value == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("after_mm", "ratio", "is_real"),
    [
        pytest.param(4.0, 1.0, False, id="a-fit-alone-grew"),
        pytest.param(3.0, 2.2, False, id="the-images-alone-grew"),
        pytest.param(3.9, 2.2, True, id="both-grew"),
        pytest.param(2.1, 0.35, True, id="both-shrank"),
        pytest.param(2.1, 2.2, False, id="they-contradict-each-other"),
    ],
)
def test_a_change_is_real_if_the_fits_and_both_images_together_say_so(after_mm, ratio, is_real):
    change = size_change(sized(3.0), sized(after_mm), 100, ratio)
    assert change.is_real is is_real
    assert change.value_mm.value == pytest.approx(3.0 * (ratio ** (1 / 3) - 1))


def test_the_more_are_compared_the_more_a_change_has_to_be():
    limits = [size_change(sized(3.0), sized(3.0), compared).limit_mm for compared in (1, 20, 500)]
    assert limits == sorted(limits)
    # Two-sided 5 % of one and of 500: 1.960 and 3.891 standard deviations.
    assert limits[2] / limits[0] == pytest.approx(3.891 / 1.960, rel=1e-3)


def test_unchanged_nodules_with_the_error_that_is_assumed_show_no_change():
    rng = np.random.default_rng(3)
    error_mm = float(np.hypot(0.7 * np.hypot(0.3, 0.3) / 1.645, 0.12))
    alarms = [
        any(size_change(sized(3.0), sized(3.0 + x), 300).is_real for x in rng.normal(0, error_mm, 300))
        for _ in range(60)
    ]
    assert np.mean(alarms) < 0.15  # one pair of scans in twenty


def kept(count, after_mm=3.0):
    return [trace(Fate.PERSISTING, 3.0, after_mm, n) for n in range(count)]


@pytest.mark.parametrize(
    ("traces", "reading"),
    [
        pytest.param(kept(100), Reading.NON_PROGRESSION, id="nothing-changed"),
        pytest.param(
            kept(20) + [trace(Fate.GONE, 3.0, None, 50)] * 80, Reading.NON_PROGRESSION, id="most-gone"
        ),
        pytest.param(kept(100) + [trace(Fate.NEW, None, 3.0, 200)] * 3, Reading.NON_PROGRESSION, id="3-new"),
        pytest.param(kept(100) + [trace(Fate.NEW, None, 3.0, 200)] * 4, Reading.NEW_LESIONS, id="4-new"),
        pytest.param(kept(100, 3.59), Reading.NON_PROGRESSION, id="71-percent-more"),
        pytest.param(kept(100, 3.61), Reading.UNEQUIVOCAL_INCREASE, id="74-percent-more"),
        pytest.param(
            kept(10) + [trace(Fate.NOT_ASSESSABLE, 3.0, None, 50)] * 11, None, id="more-than-half-unclear"
        ),
        pytest.param([], Reading.NON_PROGRESSION, id="no-nodules"),
    ],
)
def test_the_reading_follows_from_the_numbers(traces, reading):
    found = suggest(traces, whole(traces)[0])
    assert found.reading is reading
    assert found.sentence
    assert not {"CR", "PR", "SD", "PD"} & set(found.sentence.split())


@pytest.mark.parametrize(
    ("lesion", "reading"),
    [
        pytest.param(trace(Fate.NEW, None, 9.9), Reading.NON_PROGRESSION, id="9.9-mm-new"),
        pytest.param(trace(Fate.NEW, None, 10.0), None, id="10-mm-new"),
        pytest.param(trace(Fate.PERSISTING, 20.0, 24.9), Reading.NON_PROGRESSION, id="only-4.9-mm-more"),
        pytest.param(trace(Fate.PERSISTING, 20.0, 25.0), None, id="5-mm-and-a-quarter-more"),
        pytest.param(trace(Fate.PERSISTING, 26.0, 31.2), None, id="exactly-a-fifth-in-floats"),
        pytest.param(trace(Fate.PERSISTING, 30.0, 35.9), Reading.NON_PROGRESSION, id="5.9-mm-no-fifth"),
        pytest.param(trace(Fate.GONE, 30.0, None), Reading.NON_PROGRESSION, id="a-mass-that-is-gone"),
        pytest.param(
            trace(Fate.NOT_ASSESSABLE, None, 20.0, doubt=Doubt.OUTSIDE_COVERAGE),
            Reading.NON_PROGRESSION,
            id="a-mass-outside-the-baseline",
        ),
    ],
)
def test_beside_a_mass_that_progresses_there_is_no_word_of_non_progression(lesion, reading):
    """A new lesion, or a fifth and 5 mm more, is progression (RECIST 1.1, 4.3); from 10 mm on by hand."""
    traces = [*kept(100), lesion]
    found = suggest(traces, whole(traces)[0])
    assert found.reading is reading
    assert ("measured by hand" in found.sentence) == (reading is None)


def test_four_new_marks_are_more_than_chance():
    assert least_new() == 4  # Poisson with mean 0.58: P(3 or more) 0.021, P(4 or more) 0.003
