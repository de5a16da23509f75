"""Nodules of two scans matched one to one: neighbours told apart, marks without a partner looked for."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.alignment import Alignment, Quality, Warp
from imaging.lungs import segment_lungs
from imaging.matching import Doubt, Fate, Scan, assign, gate_mm, match
from imaging.presence import look
from records.model import Side, Zone
from tests import phantoms
from tests.records.examples import nodule

GOOD = Quality(0.97, 200, 0.95, 0.3, 1.0)
SPACING = (2.0, 1.5, 1.5)


def shifted(shift_mm=(0.0, 0.0, 0.0), quality=GOOD):
    """Return an alignment that moves everything alike."""
    nowhere = Warp(np.array([-200.0, -200.0, -200.0]), 100.0, np.zeros((5, 5, 5, 3), np.float32))
    return Alignment(np.eye(3), np.array(shift_mm), nowhere, nowhere, quality)


SHAPE = (130, 160, 230)


def chest(balls=(), *, flooded_below_mm=None):
    """Return ellipsoid lungs with balls of soft tissue (place, diameter), the right base under water."""
    z, y, x = phantoms.centred_axes(SHAPE, SPACING)
    hu = np.full(SHAPE, -1000.0)
    hu[np.broadcast_to((x / 160) ** 2 + (y / 105) ** 2 <= 1, SHAPE)] = 40.0
    for middle_mm, half_mm in ((-75.0, 62.0), (78.0, 55.0)):
        lung = ((x - middle_mm) / half_mm) ** 2 + (y / 75) ** 2 + (z / 118) ** 2 <= 1
        hu[lung] = -850.0
        if flooded_below_mm is not None and middle_mm < 0:
            hu[lung & (z < flooded_below_mm)] = 10.0
    for (px, py, pz), diameter_mm in balls:
        depth_mm = diameter_mm / 2 - np.sqrt((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2)
        share = np.clip(depth_mm / 1.5 + 0.5, 0, 1)
        hu = hu + share * (30.0 - hu)
    corner = tuple(-(n - 1) / 2 * s for n, s in zip(SHAPE, SPACING, strict=True))[::-1]
    return phantoms.volume(hu, SPACING, origin_mm=corner)


@pytest.fixture(scope="module")
def lungs():
    return segment_lungs(chest())


def fates(traces):
    return {
        (t.baseline or t.follow_up).nodule_id: (t.fate, t.doubt) for t in traces
    }  # the tests below number marks of both scans apart


PLACES = {"stays": (-75.0, 10.0, 20.0), "goes": (-70.0, -20.0, 40.0), "comes": (78.0, 0.0, -10.0)}


def test_every_fate_is_told(lungs):
    before = chest([(PLACES["stays"], 6.0), (PLACES["goes"], 6.0)])
    after = chest([(PLACES["stays"], 6.0), (PLACES["comes"], 6.0)])
    traces = match(
        Scan(before, lungs, (nodule(1, PLACES["stays"], 6.0), nodule(2, PLACES["goes"], 6.0))),
        Scan(after, lungs, (nodule(11, PLACES["stays"], 6.0), nodule(12, PLACES["comes"], 6.0))),
        shifted(),
    )
    assert fates(traces) == {
        1: (Fate.PERSISTING, Doubt.NONE),
        2: (Fate.GONE, Doubt.NONE),
        12: (Fate.NEW, Doubt.NONE),
    }
    assert traces[0].follow_up.nodule_id == 11
    assert traces[1].contrast_share < 0.1


def test_a_nodule_that_the_detector_missed_is_neither_gone_nor_new(lungs):
    ball = chest([(PLACES["stays"], 6.0)])
    marked, missed = Scan(ball, lungs, (nodule(1, PLACES["stays"], 6.0),)), Scan(ball, lungs, ())
    for first, second in ((marked, missed), (missed, marked)):
        (trace,) = match(first, second, shifted())
        assert (trace.fate, trace.doubt) == (Fate.PERSISTING, Doubt.SEEN_NOT_MARKED)
        assert trace.contrast_share == pytest.approx(1.0, abs=0.02)


def test_a_candidate_below_the_operating_point_is_partner_enough(lungs):
    ball = chest([(PLACES["stays"], 6.0)])
    doubtful = nodule(21, PLACES["stays"], 5.5, reported=False)
    (trace,) = match(
        Scan(ball, lungs, (nodule(1, PLACES["stays"], 6.0),)), Scan(ball, lungs, (doubtful,)), shifted()
    )
    assert trace.follow_up is doubtful


def test_two_candidates_that_nobody_reported_are_no_match(lungs):
    ball = chest([(PLACES["stays"], 6.0)])
    marks = [nodule(n, PLACES["stays"], 6.0, reported=False) for n in (1, 2)]
    assert match(Scan(ball, lungs, (marks[0],)), Scan(ball, lungs, (marks[1],)), shifted()) == ()


def test_what_an_effusion_covers_cannot_be_assessed(lungs):
    low = (-75.0, 5.0, -60.0)
    before, after = chest([(low, 6.0)]), chest(flooded_below_mm=-40.0)
    (trace,) = match(Scan(before, lungs, (nodule(1, low, 6.0),)), Scan(after, lungs, ()), shifted())
    assert (trace.fate, trace.doubt) == (Fate.NOT_ASSESSABLE, Doubt.NO_AIR)


def test_what_lies_outside_the_other_scan_cannot_be_assessed(lungs):
    ball = chest([(PLACES["goes"], 6.0)])
    (trace,) = match(
        Scan(ball, lungs, (nodule(1, PLACES["goes"], 6.0),)), Scan(ball, lungs, ()), shifted((0, 0, 400.0))
    )
    assert (trace.fate, trace.doubt) == (Fate.NOT_ASSESSABLE, Doubt.OUTSIDE_COVERAGE)


@pytest.mark.parametrize("padding_hu", [-1024, -2000], ids=["padded-as-air", "padded-darker"])
def test_what_lies_outside_the_reconstructed_field_cannot_be_assessed(lungs, padding_hu):
    """A smaller field of view pads each plane: the grid goes on, the scan does not."""
    place = PLACES["comes"]
    before, after = chest([(place, 6.0)]), chest([(place, 6.0)])
    hu = after.hu.copy()
    hu[:, :, 150:] = padding_hu  # 20 mm beside the nodule's middle and all of it
    for first, second, marked in (
        (before, replace(after, hu=hu), True),
        (replace(after, hu=hu), before, False),
    ):
        marks = (nodule(1, place, 6.0),)
        scans = Scan(first, lungs, marks if marked else ()), Scan(second, lungs, () if marked else marks)
        (trace,) = match(*scans, shifted())
        assert (trace.fate, trace.doubt) == (Fate.NOT_ASSESSABLE, Doubt.OUTSIDE_COVERAGE)


def test_a_vessel_where_a_nodule_was_is_not_the_nodule(lungs):
    """The follow-up's candidate lies at the vessel that the nodule had touched; the nodule itself is gone."""
    place, vessel = (-75.0, 10.0, 20.0), [((-75.0 + x, 13.0, 20.0), 3.0) for x in range(-12, 13)]
    before, after = chest([*vessel, (place, 4.5)]), chest(vessel)
    beside = nodule(11, (-75.0, 12.0, 20.0), 3.5, reported=False)
    (trace,) = match(Scan(before, lungs, (nodule(1, place, 4.5),)), Scan(after, lungs, (beside,)), shifted())
    assert (trace.fate, trace.follow_up) == (Fate.GONE, None)
    assert trace.contrast_share < 0.5


def test_a_nodule_that_shrank_is_not_gone(lungs):
    before, after = chest([(PLACES["stays"], 6.0)]), chest([(PLACES["stays"], 4.2)])
    marks = (nodule(1, PLACES["stays"], 6.0),), (nodule(11, PLACES["stays"], 4.2),)
    (trace,) = match(Scan(before, lungs, marks[0]), Scan(after, lungs, marks[1]), shifted())
    assert trace.fate is Fate.PERSISTING
    assert trace.follow_up is marks[1][0]
    assert trace.volume_ratio == pytest.approx(0.343, abs=0.12)  # 0.7 in diameter


def test_a_new_nodule_has_its_place_and_zone_in_the_baseline(lungs):
    place = np.array(PLACES["comes"])
    moved_mm = np.array([3.0, -4.0, 6.0])
    after = chest([(tuple(place), 6.0)])
    (trace,) = match(
        Scan(chest(), lungs, ()), Scan(after, lungs, (nodule(5, tuple(place), 6.0),)), shifted(moved_mm)
    )
    assert trace.fate is Fate.NEW
    np.testing.assert_allclose(trace.baseline_mm, place - moved_mm, atol=1e-6)
    assert (trace.side, trace.zone) == (Side.LEFT, Zone.MIDDLE)


def test_a_bad_alignment_yields_no_matches(lungs):
    scan = Scan(chest(), lungs, ())
    with pytest.raises(ValueError, match="lungs overlap by"):
        match(scan, scan, shifted(quality=replace(GOOD, lung_overlap=0.5)))


def test_close_neighbours_are_matched_together_not_one_by_one():
    """The nearest partner of the first is the second's only one."""
    before = [nodule(1, (0.0, 0.0, 0.0)), nodule(2, (1.8, 0.0, 0.0))]
    after = [nodule(11, (-1.5, 0.0, 0.0)), nodule(12, (0.8, 0.0, 0.0))]
    pairs, distances = assign(before, after, np.array([n.centre_mm for n in before]), 2.0)
    assert pairs == [(0, 0), (1, 1)]
    assert distances == pytest.approx([1.5, 1.0])


@pytest.mark.parametrize(
    ("apart_mm", "is_matched"),
    [
        pytest.param(2.74, True, id="within-gate-and-a-quarter-of-the-size"),
        pytest.param(2.76, False, id="beyond"),
    ],
)
def test_nothing_is_matched_across_the_gate(apart_mm, is_matched):
    before, after = [nodule(1, (0.0, 0.0, 0.0), 3.0)], [nodule(2, (apart_mm, 0.0, 0.0), 3.0)]
    pairs, _ = assign(before, after, np.zeros((1, 3)), 2.0)
    assert bool(pairs) is is_matched


@pytest.mark.parametrize(
    ("residual_mm", "gate"),
    [pytest.param(0.1, 2.0, id="never-below-2"), pytest.param(2.4, 3.25, id="by-residual"),
     pytest.param(9.0, 5.0, id="never-over-5")],
)  # fmt: skip
def test_the_gate_follows_the_measured_residual(residual_mm, gate):
    assert gate_mm(shifted(quality=replace(GOOD, residual_p95_mm=residual_mm))) == pytest.approx(
        gate, abs=0.01
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.floats(0.0, 0.6))
def test_shuffled_and_shaken_nodules_find_themselves(seed, count, shake_mm):
    """In dense disease, 6 mm apart, nothing is confused that moved by less than a tenth of that."""
    rng = np.random.default_rng(seed)
    grid = 6.0 * np.stack(np.meshgrid(*[np.arange(4.0)] * 3), axis=-1).reshape(-1, 3)
    places = rng.permutation(grid)[:count]
    order = rng.permutation(count)
    before = [nodule(n, tuple(place), rng.uniform(2, 5)) for n, place in enumerate(places)]
    shaken = places + shake_mm * rng.uniform(-1, 1, places.shape)
    after = [nodule(n, tuple(shaken[n]), before[n].diameter_mm.value) for n in order]
    pairs, _ = assign(before, after, places, 2.5)
    assert len(pairs) == count
    assert all(before[one].nodule_id == after[other].nodule_id for one, other in pairs)
    back, _ = assign(after, before, shaken[order], 2.5)
    assert sorted((other, one) for one, other in back) == sorted(pairs)


def test_contrast_of_a_ball_is_what_was_drawn():
    volume = chest([(PLACES["stays"], 12.0)])
    seen = look(volume, np.array([PLACES["stays"], PLACES["goes"]]), np.array([6.0, 6.0]))
    # 30 HU in lung of -850; up to a third of the sampled points lie in the half-filled rim.
    assert 880 * 2 / 3 < seen.contrast_hu[0] < 880
    assert abs(seen.contrast_hu[1]) < 1
    assert seen.air_share.tolist() == [1.0, 1.0]
    assert seen.is_covered.all()


def test_a_ball_a_little_off_is_seen_within_the_slack():
    volume = chest([(PLACES["stays"], 4.0)])
    there_mm, aside_mm = np.array([PLACES["stays"]]), np.array([0.0, 1.5, 0.0])
    there, strict, slack = (
        look(volume, place, np.array([2.0]), slack_mm=mm).contrast_hu[0]
        for place, mm in ((there_mm, 0.0), (there_mm + aside_mm, 0.0), (there_mm + aside_mm, 1.5))
    )
    assert strict < 0.8 * there
    assert slack == pytest.approx(there, rel=1e-6)
