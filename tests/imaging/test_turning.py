"""Turned cubes against truth that does not turn: a ball stays a ball, a level a level, a rod points away."""

import numpy as np
import pytest

from imaging.candidates import TISSUE_HU, Candidates, ScaleSpace
from imaging.patches import CUBES, SIDE, cut_cubes
from imaging.training.turning import cut_turned_cubes

SPACING_MM = (1.25, 0.7, 0.7)
SHAPE = (41, 81, 81)
MIDDLE = (20.0, 40.0, 40.0)


def space_of(hu) -> ScaleSpace:
    grey = np.asarray(hu, np.float32)
    return ScaleSpace(
        np.asarray(hu, np.int16), grey, (grey, grey), np.zeros(3, np.int64), np.ones(SHAPE, bool), SPACING_MM
    )


def candidates(count: int) -> Candidates:
    return Candidates(np.tile(MIDDLE, (count, 1)), np.zeros(count, np.int64), np.ones(count))


def distances_mm():
    axes = [(np.arange(n) - m) * s for n, m, s in zip(SHAPE, MIDDLE, SPACING_MM, strict=True)]
    return np.meshgrid(*axes, indexing="ij")


def test_a_level_stays_a_level_however_it_is_turned():
    turned = cut_turned_cubes(space_of(np.full(SHAPE, -450)), candidates(20), np.random.default_rng(1))
    assert turned.shape == (20, CUBES, SIDE, SIDE, SIDE)
    low, high = TISSUE_HU
    assert (turned == round((-450 - low) / (high - low) * 255)).all()


def test_a_ball_keeps_its_brightness_within_the_change_of_size():
    p, r, c = distances_mm()
    space = space_of(-900 + 900 * np.exp(-0.5 * (p**2 + r**2 + c**2) / 1.5**2))
    plain = cut_cubes(space, candidates(1))[0, 0].astype(float)
    turned = cut_turned_cubes(space, candidates(60), np.random.default_rng(2))[:, 0].astype(float)
    mass = (turned - turned.min()).sum(axis=(1, 2, 3)) / (plain - plain.min()).sum()
    # Samples a tenth nearer to each other see a ball a tenth larger: exp(+-0.3) at most in volume.
    assert np.exp(-0.32) < mass.min() < 0.85
    assert 1.15 < mass.max() < np.exp(0.32)


def test_a_rod_along_the_table_stays_and_one_across_turns():
    p, r, c = distances_mm()
    for across_mm, stays in ((np.hypot(r, c), True), (np.hypot(p, r), False)):
        space = space_of(-900 + 900 * np.exp(-0.5 * across_mm**2))
        turned = cut_turned_cubes(space, candidates(40), np.random.default_rng(3))[:, 0].astype(float)
        # How alike the cubes of the same place are.
        alike = np.corrcoef(turned.reshape(40, -1))[0, 1:]
        assert (alike.min() > 0.8) == stays


@pytest.mark.parametrize("count", [0, 3])
def test_the_same_seed_turns_alike(count):
    space = space_of(np.random.default_rng(4).integers(-1000, 100, SHAPE))
    one, two = (cut_turned_cubes(space, candidates(count), np.random.default_rng(5)) for _ in range(2))
    assert (one == two).all()
