"""Arrangements against chance, on patterns whose answer is known beforehand."""

import numpy as np
import pytest

from imaging.arrangement import describe_arrangement
from imaging.geometry import points_mm
from records.model import Arrangement, Attenuation, Estimate, Nodule, Side, Zone
from tests.imaging.chests import BLOCK, box_lungs, box_volume

LUNGS = box_lungs()
VOLUME = box_volume()
FAR = np.full(LUNGS.coarse.shape, 50.0, np.float32)  # no vessel anywhere


def nodules_at(voxels, probability=0.9) -> list[Nodule]:
    """Return reported nodules at places of the coarse grid."""
    index = (np.asarray(voxels, float) + 0.5) * BLOCK - 0.5
    return [
        Nodule(
            n, (x, y, z), Estimate(3.0, 2.7, 3.3), 14.0, -20.0, Attenuation.SOLID, 0.9, probability, True,
            Side.RIGHT, Zone.UPPER, 10.0, "1.2", 3,
        )
        for n, (x, y, z) in enumerate(points_mm(VOLUME, index).tolist())
    ]  # fmt: skip


def drawn(where, count, seed=1):
    homes = np.argwhere(where)
    rng = np.random.default_rng(seed)
    return homes[rng.integers(len(homes), size=count)] + rng.uniform(-0.5, 0.5, (count, 3))


def described(voxels, vessel_mm=FAR) -> Arrangement:
    found = describe_arrangement(nodules_at(voxels), VOLUME, LUNGS, vessel_mm)
    assert found is not None
    return found


def test_random_places_look_like_chance():
    found = described(drawn(LUNGS.coarse > 0, 300))
    assert found.nearest.value == pytest.approx(1.0, abs=0.1)
    assert found.clustering.low < 1.0 < found.clustering.high
    assert found.pleural.value == pytest.approx(1.0, abs=0.2)


def test_a_gradient_from_apex_to_base_is_no_cluster():
    low, high = LUNGS.coarse.copy(), LUNGS.coarse.copy()
    low[24:], high[:24] = 0, 0
    found = described(np.concatenate([drawn(low > 0, 240), drawn(high > 0, 60, seed=2)]))
    assert found.clustering.value < 1.3  # the middle zone holds the step; pooled over the lungs it is 1.36


def test_clusters_hold_many_pairs_and_near_neighbours():
    centres = drawn(LUNGS.depth_mm > 6, 15)
    rng = np.random.default_rng(3)
    found = described(np.repeat(centres, 12, axis=0) + rng.normal(0, 0.8, (180, 3)))
    assert found.clustering.low > 3.0
    assert found.nearest.high < 0.6


def test_doubtful_marks_in_clusters_beside_sure_nodules_at_random_are_no_cluster():
    sure = nodules_at(drawn(LUNGS.coarse > 0, 200), 0.99)
    rng = np.random.default_rng(3)
    strung = np.repeat(drawn(LUNGS.depth_mm > 6, 15), 12, axis=0) + rng.normal(0, 0.8, (180, 3))
    found = describe_arrangement([*nodules_at(strung, 0.6), *sure], VOLUME, LUNGS, FAR)
    assert found is not None
    assert found.clustering.high < 1.3  # without the difference 3.4


def test_sure_nodules_in_clusters_are_not_hidden_by_doubtful_marks_at_random():
    rng = np.random.default_rng(3)
    clusters = np.repeat(drawn(LUNGS.depth_mm > 6, 15), 12, axis=0) + rng.normal(0, 0.8, (180, 3))
    marks = [*nodules_at(clusters, 0.99), *nodules_at(drawn(LUNGS.coarse > 0, 150), 0.6)]
    found = describe_arrangement(marks, VOLUME, LUNGS, FAR)
    assert found is not None
    assert found.clustering.low > 3.0


def test_fifty_nodules_are_all_asked_how_doubtful_they_be():
    rng = np.random.default_rng(3)
    clusters = np.repeat(drawn(LUNGS.depth_mm > 6, 3), 12, axis=0) + rng.normal(0, 0.8, (36, 3))
    found = describe_arrangement(
        [*nodules_at(clusters, 0.6), *nodules_at(drawn(LUNGS.coarse > 0, 14), 0.99)], VOLUME, LUNGS, FAR
    )
    assert found is not None
    assert found.clustering.low > 2.0


def test_a_lattice_keeps_its_distance():
    # Clark and Evans: neighbours on a regular lattice lie about twice as far as by chance.
    places = np.argwhere(LUNGS.coarse > 0)
    lattice = places[(places[:, 0] % 6 == 0) & (places[:, 1] % 5 == 0) & (places[:, 2] % 5 == 0)]
    assert described(lattice).nearest.low > 1.5


def test_what_lies_at_the_pleura_is_counted_there():
    shell = (LUNGS.depth_mm > 0) & (LUNGS.depth_mm < 4)
    found = described(drawn(shell, 200))
    within = LUNGS.coarse > 0
    expected = 1 / np.mean(LUNGS.depth_mm[within] < 5)
    assert found.pleural.value == pytest.approx(expected, rel=0.15)


def test_what_lies_at_vessels_is_counted_there():
    near = FAR.copy()
    near[:, 10:12, :] = 1.0
    found = described(drawn((near < 3) & (LUNGS.coarse > 0), 100), near)
    assert found.vascular.value == pytest.approx(28 / 2, rel=0.2)


def test_a_handful_shows_no_arrangement():
    assert describe_arrangement(nodules_at(drawn(LUNGS.coarse > 0, 11)), VOLUME, LUNGS, FAR) is None
