"""Branching tubes against Murray's law and the geometry of what they supply."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.phantom.trees import STEEPEST_ANGLE, Tree, grow, kept_inside, murray_radii, smooth

STEM = np.array([[0.0, 0.0, -30.0], [0.0, 0.0, -22.0]])


def cloud(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-20, 20, (count, 3))


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 200), seed=st.integers(0, 1000))
def test_the_cube_of_a_parents_radius_is_the_sum_of_its_daughters_cubes(count, seed):
    tree = grow(STEM, cloud(count, seed), rng=np.random.default_rng(seed))
    radii = murray_radii(tree, np.random.default_rng(seed).uniform(0.3, 0.5, len(tree.parents)))
    daughters = np.zeros(len(radii))
    np.add.at(daughters, tree.parents[1:], radii[1:] ** 3)
    inner = ~tree.tips
    # Murray 1926: flow goes with the cube of the radius, and flow is conserved.
    np.testing.assert_allclose(radii[inner] ** 3, daughters[inner], rtol=1e-9)


def test_a_symmetric_division_narrows_by_the_cube_root_of_two():
    fork = Tree(np.array([[0, 0, 0], [0, 0, 5.0], [3, 0, 9.0], [-3, 0, 9.0]]), np.array([-1, 0, 1, 1]))
    radii = murray_radii(fork, np.full(4, 1.0))
    assert radii[1] == pytest.approx(2 ** (1 / 3))


def test_every_place_has_a_tip_near_it():
    targets = cloud(400, 3)
    tree = grow(STEM, targets, rng=np.random.default_rng(3))
    tips = tree.points_mm[tree.tips]
    nearest = np.sqrt(((targets[:, None] - tips[None]) ** 2).sum(axis=2)).min(axis=1)
    # A last branch may turn no more than 60 degrees, so it can miss; the points lie about 3 mm apart.
    assert np.quantile(nearest, 0.95) < 6.0
    assert np.median(nearest) < 2.0


def test_no_branch_turns_back_on_its_parent():
    tree = grow(STEM, cloud(300, 5), rng=np.random.default_rng(5))
    flow = np.zeros_like(tree.points_mm)
    flow[1:] = tree.points_mm[1:] - tree.points_mm[tree.parents[1:]]
    flow[1:] /= np.linalg.norm(flow[1:], axis=1, keepdims=True)
    later = np.flatnonzero(tree.parents > 0)
    cosine = np.sum(flow[later] * flow[tree.parents[later]], axis=1)
    assert cosine.min() >= np.cos(STEEPEST_ANGLE) - 1e-9


def test_a_smoothed_tube_is_unbroken_and_thins_to_its_tips():
    tree = grow(STEM, cloud(60, 7), rng=np.random.default_rng(7))
    radii = murray_radii(tree, np.full(len(tree.parents), 0.4))
    pieces = smooth(tree, radii, pieces=4).reshape(-1, 4, 8)
    np.testing.assert_allclose(
        pieces[:, :-1, 3:6], pieces[:, 1:, :3]
    )  # each piece starts where the last ended
    np.testing.assert_allclose(pieces[:, 0, :3], tree.points_mm[tree.parents[1:]], atol=1e-9)
    np.testing.assert_allclose(pieces[:, -1, 3:6], tree.points_mm[1:], atol=1e-9)
    ends = tree.tips[1:]
    assert np.all(pieces[ends, -1, 7] < 0.5 * radii[1:][ends])
    assert np.all(pieces[ends, :, 7] < pieces[ends, :, 6])


def test_the_main_course_of_a_tube_has_no_kink():
    tree = grow(STEM, cloud(60, 9), rng=np.random.default_rng(9))
    radii = murray_radii(tree, np.full(len(tree.parents), 0.4))
    pieces = smooth(tree, radii, pieces=12).reshape(-1, 12, 8)
    flow = pieces[..., 3:6] - pieces[..., :3]
    flow /= np.linalg.norm(flow, axis=-1, keepdims=True)
    turn = np.degrees(np.arccos(np.clip(np.sum(flow[:, 1:] * flow[:, :-1], axis=-1), -1, 1)))
    # Straight branches turn by up to 60 degrees at a node; twelve pieces of a smooth curve share it out.
    assert np.quantile(turn, 0.99) < 15.0


def test_a_strayed_point_is_brought_back_inside():
    def depth(points):
        return 10.0 - np.linalg.norm(points, axis=1)  # a ball of 10 mm

    points = np.array([[0.0, 0, 0], [9.9, 0, 0], [0, 14.0, 0], [0, 0, -11.0]])
    moved = kept_inside(points, depth, margin_mm=1.5)
    np.testing.assert_allclose(moved[0], points[0])
    np.testing.assert_allclose(depth(moved[1:]), 1.5, atol=0.2)


def test_the_same_seed_grows_the_same_tree():
    one = grow(STEM, cloud(200, 1), rng=np.random.default_rng(4))
    other = grow(STEM, cloud(200, 1), rng=np.random.default_rng(4))
    np.testing.assert_array_equal(one.points_mm, other.points_mm)
    np.testing.assert_array_equal(one.parents, other.parents)
