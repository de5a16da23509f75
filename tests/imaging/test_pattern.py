import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.census import Census
from imaging.lungs import Lungs
from imaging.pattern import describe_pattern, share_at_most
from imaging.texture import Texture
from records.model import Attenuation, Estimate, Nodule, Pattern, Side, Zone


def lungs() -> Lungs:
    """Two boxes of 30 x 20 x 10 coarse voxels of 2.5 mm."""
    coarse = np.zeros((34, 24, 28), np.uint8)
    coarse[2:32, 2:22, 2:12] = 1
    coarse[2:32, 2:22, 16:26] = 2
    depth = np.where(coarse > 0, 5.0, -5.0).astype(np.float32)
    return Lungs(coarse, coarse > 0, depth, (1, 1, 1), coarse.shape, (2.5, 2.5, 2.5))


def nodule(side=Side.RIGHT, zone=Zone.UPPER, diameter_mm=3.0, *, reported=True, **changed) -> Nodule:
    values = {
        "nodule_id": 1,
        "centre_mm": (0.0, 0.0, 0.0),
        "diameter_mm": Estimate(diameter_mm, diameter_mm - 0.3, diameter_mm + 0.3),
        "volume_mm3": 14.0,
        "mean_hu": -20.0,
        "attenuation": Attenuation.SOLID,
        "roundness": 0.9,
        "probability": 0.95,
        "reported": reported,
        "side": side,
        "zone": zone,
        "pleura_distance_mm": 10.0,
        "sop_instance_uid": "1.2",
        "slice_index": 3,
    }
    return Nodule(**{**values, **changed})


def described(nodules, worth=1.0, interval=None) -> Pattern:
    """Describe nodules each of which stands for so many."""
    counts = np.array([n.reported for n in nodules], bool)
    total = worth * float(counts.sum())
    census = Census(interval or Estimate(total, total, total), worth * counts, counts)
    texture = Texture(Estimate(0.01, 0.009, 0.011), 0.0)
    return describe_pattern(nodules, lungs(), census, texture, None, consolidation_ml=0.0)


def everywhere(each: int) -> list[Nodule]:
    return [nodule(side, zone) for side in Side for zone in Zone for _ in range(each)]


def test_nodules_in_every_zone_are_even_and_balanced():
    pattern = described(everywhere(10))
    assert pattern.zones_occupied == 6
    assert pattern.evenness.value == pytest.approx(1.0)
    assert pattern.balance.value == pytest.approx(1.0)
    assert pattern.nodule_count.value == pytest.approx(60)
    assert pattern.count_right == pytest.approx(30)


def test_zones_hold_the_nodules_that_are_told_and_lie_as_all_marks_do():
    pattern = described(everywhere(10), worth=5.0, interval=Estimate(30.0, 30.0, 4000.0))
    assert pattern.zones_occupied == 6
    assert [zone.nodule_count for zone in pattern.zones] == [pytest.approx(5.0)] * 6
    assert pattern.count_right == pytest.approx(15.0)


def test_one_zone_alone_has_no_evenness():
    pattern = described([nodule()] * 20)
    assert pattern.zones_occupied == 1
    assert pattern.evenness.value == pytest.approx(0.0, abs=1e-12)
    assert pattern.balance.value == 0.0


def test_zones_are_thirds_of_the_height():
    volumes = {(z.side, z.zone): z.volume_ml for z in described([]).zones}
    # 10 planes of 20 x 10 voxels of 2.5 mm.
    assert volumes == {(s, z): pytest.approx(10 * 200 * 2.5**3 / 1000) for s in Side for z in Zone}


def test_what_is_not_reported_does_not_count():
    assert described([nodule(reported=False)] * 30).nodule_count.value == 0


def test_the_count_is_that_of_the_census():
    assert described(everywhere(10), interval=Estimate(90.0, 70.0, 120.0)).nodule_count.high == 120.0


def test_a_zone_holds_what_its_marks_stand_for():
    nodules = [nodule(Side.LEFT, Zone.LOWER)] * 30 + [nodule(Side.RIGHT, Zone.UPPER)] * 10
    pattern = described(nodules, worth=1.5)
    held = {(z.side, z.zone): z.nodule_count for z in pattern.zones if z.nodule_count}
    assert held == {(Side.LEFT, Zone.LOWER): 45.0, (Side.RIGHT, Zone.UPPER): 15.0}
    assert (pattern.count_right, pattern.count_left) == (15.0, 45.0)


def test_a_mark_nobody_reports_still_tells_where_nodules_lie():
    doubtful = [nodule(Side.LEFT, zone, reported=False) for zone in Zone] * 5
    census = Census(Estimate(9.0, 3.0, 20.0), np.full(15, 0.6), np.zeros(15, bool))
    pattern = describe_pattern(
        doubtful, lungs(), census, Texture(Estimate(0.01, 0.009, 0.011), 0.0), None, consolidation_ml=0.0
    )
    assert pattern.count_left == pytest.approx(9.0)
    assert pattern.median_diameter_mm is None  # none of them counts as one


def test_share_of_tiny_counts_five_millimetres_as_tiny():
    pattern = described([nodule(diameter_mm=5.0)] * 3 + [nodule(diameter_mm=5.01)])
    assert pattern.fraction_le_5mm is not None
    assert pattern.fraction_le_5mm.value == 0.75


def test_another_diameter_can_be_called_tiny():
    share = share_at_most([nodule(diameter_mm=3.0)] * 3 + [nodule(diameter_mm=4.5)], 4.0)
    assert share is not None
    assert share.value == 0.75


def test_few_nodules_leave_the_balance_uncertain_and_many_do_not():
    few = described([nodule(Side.RIGHT)] * 6 + [nodule(Side.LEFT)] * 3).balance
    many = described([nodule(Side.RIGHT)] * 600 + [nodule(Side.LEFT)] * 300).balance
    assert few.value == pytest.approx(many.value)
    assert few.low < 0.25 < many.low


def test_large_lesions_count_apart_and_do_not_spread_the_sizes():
    pattern = described([*everywhere(5), nodule(diameter_mm=32.0)])
    assert pattern.lesions_ge_10mm == 1
    assert pattern.diameter_cv.value == pytest.approx(0.0)


def test_nothing_found_measures_nothing():
    pattern = described([])
    assert pattern.fraction_le_5mm is None
    assert pattern.median_diameter_mm is None
    assert pattern.roundness is None


@given(st.lists(st.tuples(st.sampled_from(Side), st.sampled_from(Zone), st.floats(1.0, 9.0)), max_size=40))
def test_shares_stay_shares_and_intervals_hold_their_value(spread):
    pattern = described([nodule(side, zone, d) for side, zone, d in spread])
    for part in (pattern.balance, pattern.evenness, pattern.ground_glass_fraction):
        assert -1e-12 <= part.low <= part.value <= part.high <= 1 + 1e-12
    count = pattern.nodule_count
    assert count.low <= count.value <= count.high
    if pattern.fraction_le_5mm:
        share = pattern.fraction_le_5mm
        assert 0 <= share.low <= share.value <= share.high <= 1
