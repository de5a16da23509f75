"""A census of marks against crowds of nodules drawn by the laws it assumes, and against physics."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from imaging.background import CLASSES, EVEN
from imaging.census import Marks, estimate, take_census
from imaging.classifier import load_model
from imaging.resolution import Resolution
from imaging.response import MARK_EDGES, VISIBILITIES, Response
from imaging.sight import Sight
from imaging.zones import ZONES
from records.model import CountSource, Estimate
from tests.imaging.test_pattern import nodule

SIGHT = Sight(60.0)  # of a scan of 2.5 mm slices at usual dose
ALIKE = np.tile(1000.0 * EVEN, (len(ZONES), 1))  # six zones of like lung
EDGES = np.array([0.0, 2.0])
FALSE_EACH = np.array([9.0, 1.0])  # of a clean scan, in the two bands
SHARE_IN_BAND = 0.5  # of what is found


def found_share(visibility):
    """Half is found at a visibility of 4.3, which is 2.2 mm here."""
    return 1 / (1 + (np.asarray(visibility) / 4.3) ** -8)


def response() -> Response:
    bins = len(MARK_EDGES) - 1
    half = SHARE_IN_BAND * found_share(VISIBILITIES)
    return Response(
        edges=EDGES,
        found=np.stack([half, half], axis=1),
        behind=np.zeros(CLASSES),
        bias=np.zeros((len(VISIBILITIES), len(EDGES))),
        spread=np.full((len(VISIBILITIES), len(EDGES)), 0.07),
        false_marks=np.repeat(FALSE_EACH[:, None] / bins, bins, axis=1),
        false_spread=0.6,
        unexplained=0.12,
    )


def drawn(count, median_mm, spread, rng, sight=SIGHT) -> Marks:
    """Draw a crowd, what is found of it, and false marks as many as one lung in three has at most."""
    size = median_mm * np.exp(spread * rng.standard_normal(count))
    visibility = sight.visibility(size, np.zeros(count))
    seen = visibility[rng.random(count) < found_share(visibility)]
    evidence = np.where(rng.random(len(seen)) < SHARE_IN_BAND, 1.0, 3.0)
    measured = seen * np.exp(0.07 * rng.standard_normal(len(seen)))
    false = rng.poisson(FALSE_EACH * np.exp(0.4 * rng.standard_normal()))
    at = rng.integers(len(MARK_EDGES) - 1, size=false.sum())
    return Marks(
        np.concatenate([evidence, np.repeat([1.0, 3.0], false)]),
        np.concatenate([measured, 0.5 * (MARK_EDGES[at] + MARK_EDGES[at + 1])]),
        told=-9.0,
    )


@pytest.mark.parametrize("sigma_mm", [0.5, 0.7])
def test_the_least_mass_is_what_a_matched_filter_shows_at_one_standard_deviation(sigma_mm):
    sight = Sight.of(Resolution(sigma_mm, 2.5), (2.5, 0.7, 0.7), noise_hu=15.0)
    # Least squares for the mass of a point: the error is noise over the root of the summed square of its
    # image, here summed on a fine grid. 2.5 mm slices with smoothed ends: 0.38 * 2.5 mm.
    step = 0.1
    line = np.arange(-6, 6, step)
    x, y, z = np.meshgrid(line, line, line, indexing="ij", sparse=True)
    along_mm = 2.5 * np.sqrt(1 / 12 + 1 / 16)
    spread = np.exp(-0.5 * ((x**2 + y**2) / sigma_mm**2 + z**2 / along_mm**2))
    spread /= spread.sum() * step**3
    images = (spread**2).sum() * step**3 / (2.5 * 0.7 * 0.7)  # of all voxels
    assert sight.least_mass_hu_mm3 == pytest.approx(15.0 / np.sqrt(images), rel=0.01)


def test_noise_hides_nodules_but_no_forks_of_vessels():
    quiet, noisy = (Sight.of(Resolution(0.6, 2.5), (2.5, 0.7, 0.7), noise_hu=hu) for hu in (10.0, 40.0))
    assert noisy.least_mass_hu_mm3 == pytest.approx(4 * quiet.least_mass_hu_mm3)
    assert noisy.clutter == quiet.clutter
    fine = Sight.of(Resolution(0.6, 1.25), (1.25, 0.7, 0.7), noise_hu=10.0)
    assert fine.clutter == pytest.approx(2 * quiet.clutter)  # half the slice, half the mass


def test_equal_mass_is_equally_visible_and_visibility_grows_like_a_diameter():
    bright, faint = SIGHT.visibility(np.array([2.0, 2.0 * 2 ** (1 / 3)]), np.array([0.0, -425.0]))
    assert faint == pytest.approx(bright)
    once, twice = SIGHT.visibility(np.array([1.5, 3.0]), np.zeros(2))
    assert twice == pytest.approx(2 * once)


@pytest.mark.parametrize(
    ("count", "median_mm", "spread"),
    [
        pytest.param(25, 3.5, 0.25, id="few-and-plain"),
        pytest.param(120, 2.1, 0.25, id="faint-most-of-them-missed"),
        pytest.param(600, 2.6, 0.3, id="profuse"),
        pytest.param(5000, 2.8, 0.2, id="innumerable"),
    ],
)
def test_nine_of_ten_intervals_hold_the_number_of_nodules(count, median_mm, spread):
    rng = np.random.default_rng(count)
    found = [estimate(drawn(count, median_mm, spread, rng), SIGHT, response())[0] for _ in range(30)]
    held = sum(one.low <= count <= one.high for one in found)
    assert held >= 24  # of 30; with 0.9 each, fewer would come by chance once in 50
    ratio = np.median([one.value for one in found]) / count
    # Where three of four are missed, how rare such crowds are has a say too.
    assert 0.7 < ratio < 1.2


def test_the_less_is_seen_of_a_crowd_the_wider_is_the_interval():
    rng = np.random.default_rng(1)
    wide, narrow = (
        estimate(drawn(150, median_mm, 0.2, rng), SIGHT, response())[0] for median_mm in (1.9, 3.5)
    )
    assert wide.high / wide.low > 1.5 * narrow.high / narrow.low


def test_a_lung_without_marks_has_few_nodules_and_the_blinder_the_scan_the_more_there_may_be():
    none = Marks(np.zeros(0), np.zeros(0), told=-9.0)
    upper = [estimate(none, Sight(mass), response())[0] for mass in (30.0, 60.0, 120.0, 240.0)]
    assert [one.low for one in upper] == [0.0] * 4
    assert all(a.high < b.high for a, b in itertools.pairwise(upper))
    assert upper[1].high < 10


def test_more_false_marks_than_usual_are_not_taken_for_a_crowd():
    rng = np.random.default_rng(2)
    at = rng.integers(len(MARK_EDGES) - 1, size=27)
    marks = Marks(
        np.repeat([1.0, 3.0], [24, 3]), 0.5 * (MARK_EDGES[at] + MARK_EDGES[at + 1]), told=-9.0
    )  # three times what a clean lung has
    count, _ = estimate(marks, SIGHT, response())
    assert count.high < 50


def test_a_mark_of_strong_evidence_is_likelier_a_nodule():
    rng = np.random.default_rng(3)
    marks = drawn(40, 2.6, 0.2, rng)
    _, probability = estimate(marks, SIGHT, response())
    assert probability[marks.evidence > 2].mean() > probability[marks.evidence < 2].mean() > 0


def test_a_band_that_is_not_told_in_full_says_nothing():
    rng = np.random.default_rng(4)
    marks = drawn(200, 3.0, 0.2, rng)
    strong = marks.evidence > 2
    cut = Marks(marks.evidence[strong], marks.visibility[strong], told=1.0)
    count, _ = estimate(cut, SIGHT, response())
    assert count.low <= 200 <= count.high


def test_what_is_large_is_counted_one_by_one_and_only_where_reported():
    large = replace(nodule(diameter_mm=12.0), probability=0.9)
    census = take_census([large, large, replace(large, reported=False)], 0.0, SIGHT, response(), ALIKE)
    nothing = take_census([], 0.0, SIGHT, response(), ALIKE)
    assert census.count.value == pytest.approx(nothing.count.value + 2)
    assert census.worth.tolist() == [1.0, 1.0, 0.0]
    assert census.counts.tolist() == [True, True, False]
    assert census.source is CountSource.MARKS


def test_of_the_nodules_that_are_told_one_in_ten_is_reported():
    """Grain: hundreds of doubtful marks, as of a crowd too small to be seen, and three that are reported."""
    rare = -4.0  # what makes these marks, worth a log-odds of 1 by themselves, doubtful
    doubtful = [replace(nodule(diameter_mm=2.2), probability=0.047, reported=False)] * 400
    sure = [replace(nodule(diameter_mm=2.2), probability=0.9)] * 60
    told = take_census(doubtful + sure, rare, SIGHT, response(), ALIKE).count
    assert told.low > 50
    grain = take_census(doubtful + sure[:3], rare, SIGHT, response(), ALIKE)
    assert (grain.count.low, grain.count.value) == (30.0, 30.0)
    assert grain.count.high > 100
    assert grain.worth.sum() > 50  # how they lie is still known by all of them


def veiled(shares) -> Response:
    """Nodules before the densest class are hardly ever found."""
    return replace(response(), behind=np.array([0.0] * (CLASSES - 1) + [-3.0])).within(np.asarray(shares))


def test_in_lungs_half_of_which_is_airless_half_as_many_are_found():
    half = 0.5 * EVEN + 0.5 * np.eye(CLASSES)[-1]
    seen = np.array([8.0, 12.0])
    assert veiled(half).share_found(seen) == pytest.approx(0.5 * response().share_found(seen), rel=0.02)
    assert veiled(EVEN).share_found(seen) == pytest.approx(response().share_found(seen))


def test_nodules_of_a_zone_that_is_half_airless_are_made_up_for():
    """Three hundred nodules, fifty to a zone; in one zone half of the lung, and of the nodules, is hidden."""
    rng = np.random.default_rng(5)
    background = ALIKE.copy()
    background[0] = 500.0 * EVEN + 500.0 * np.eye(CLASSES)[-1]
    answers = replace(response(), behind=np.array([0.0] * (CLASSES - 1) + [-3.0]))
    plain = replace(nodule(diameter_mm=5.0), mean_hu=0.0, probability=0.95)
    marks = []
    for (side, zone), shown in zip(ZONES, (25, 50, 50, 50, 50, 50), strict=True):
        sizes = 5.0 * np.exp(0.15 * rng.standard_normal(shown))
        marks += [replace(plain, side=side, zone=zone, diameter_mm=Estimate(d, d, d)) for d in sizes.tolist()]
    told = take_census(marks, 0.0, SIGHT, answers, background)
    assert told.count.low < 300 < told.count.high
    in_zone = told.worth[:25].sum() / told.worth.sum()
    assert in_zone == pytest.approx(1 / 6, rel=0.2)


def test_the_shipped_card_knows_what_is_found_and_what_is_not():
    shipped = Response.of(load_model().card)
    share = shipped.share_found(np.array([2.0, 8.0]))
    assert share[0] < 0.1
    assert share[1] > 0.8
    assert np.all(np.diff(shipped.edges) > 0)
    assert shipped.false_marks.sum() > 0
