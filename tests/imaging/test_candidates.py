"""Candidates in lungs drawn by hand: balls are found at their place and scale, tubes are not balls."""

from dataclasses import replace

import numpy as np
import pytest

from imaging.candidates import SCALES_MM, build_scale_space, find_candidates
from imaging.features import FEATURE_NAMES, QUICK_FEATURES, describe, describe_quickly
from imaging.geometry import points_mm
from imaging.insertion import InsertedNodule, ScannerBlur, insert_nodules
from imaging.lungs import Lungs
from imaging.resolution import noise_of
from records.model import Volume

AXIAL = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
SHAPE = (32, 64, 64)
SPACING_MM = (1.25, 0.7, 0.7)
BLUR = ScannerBlur(0.6, 1.25)


def lung(noise_hu=20.0, seed=0) -> Volume:
    hu = np.random.default_rng(seed).normal(-850, noise_hu, SHAPE).astype(np.int16)
    return Volume(hu, (0.0, 0.0, 0.0), AXIAL, SPACING_MM, 1.25, "", "1.2", "1.3", ("1",) * SHAPE[0])


def all_lung() -> Lungs:
    coarse = np.ones((16, 16, 16), np.uint8)
    deep = np.full(coarse.shape, 20.0, np.float32)
    return Lungs(coarse, coarse > 0, deep, (2, 4, 4), SHAPE, SPACING_MM)


def with_nodules(*nodules: InsertedNodule) -> Volume:
    volume = lung()
    rng = np.random.default_rng(1)
    return replace(volume, hu=insert_nodules(volume, list(nodules), BLUR, noise_hu=20.0, rng=rng))


def found_in(volume: Volume):
    space = build_scale_space(volume, all_lung())
    noise_hu = noise_of(space.levels[0] - space.levels[1], space.inside)
    candidates = find_candidates(space, noise_hu)
    return space, noise_hu, candidates, points_mm(volume, candidates.index + space.start)


@pytest.mark.parametrize("diameter_mm", [2.0, 3.0, 5.0, 8.0])
def test_a_ball_is_found_at_its_centre(diameter_mm):
    place = (22.3, 21.9, 19.2)
    _, _, _, points = found_in(with_nodules(InsertedNodule(place, diameter_mm, -40.0)))
    # The strongest response, within half a voxel.
    assert np.linalg.norm(points[0] - place) < 0.5


def test_the_scale_grows_with_the_ball():
    scales = []
    for diameter_mm in (2.0, 5.0, 9.0):
        _, _, candidates, _ = found_in(with_nodules(InsertedNodule((22.0, 22.0, 20.0), diameter_mm, -40.0)))
        scales.append(SCALES_MM[candidates.level[0]])
    assert scales == sorted(scales)
    assert scales[0] < scales[2]


def test_neighbours_a_diameter_apart_are_two():
    pair = [InsertedNodule((20.0, 22.0, 20.0), 3.0, 0.0), InsertedNodule((25.0, 22.0, 20.0), 3.0, 0.0)]
    _, _, _, points = found_in(with_nodules(*pair))
    for nodule in pair:
        assert np.linalg.norm(points[:2] - nodule.centre_mm, axis=1).min() < 0.6


def test_nothing_is_found_where_there_is_nothing():
    volume = replace(lung(), hu=np.full(SHAPE, -850, np.int16))
    _, _, candidates, _ = found_in(volume)
    assert len(candidates) == 0


def feature(name, space, noise_hu, candidates):
    return describe(space, candidates, noise_hu)[0, FEATURE_NAMES.index(name)]


def test_rays_tell_a_ball_from_a_tube():
    ball = found_in(with_nodules(InsertedNodule((22.0, 22.0, 20.0), 4.0, 0.0)))
    tube_volume = lung()
    _, r, c = np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, SPACING_MM, strict=True)), indexing="ij")
    tube_volume.hu[np.hypot(r - 22, c - 22) < 1.6] = 0
    tube = found_in(tube_volume)
    # Along a tube two opposite rays stay bright for 6.5 mm; from a ball none does.
    for name in ("unbroken_6.5mm_first", "unbroken_6.5mm_opposite"):
        assert feature(name, *tube[:3]) > 0.5 > feature(name, *ball[:3])
    assert feature("fill_0.5_elongation", *tube[:3]) > 2 > feature("fill_0.5_elongation", *ball[:3])
    assert feature("half_radius_q50_mm", *ball[:3]) == pytest.approx(2.0, abs=0.4)


def test_quick_features_are_the_first_of_all_features():
    space, noise_hu, candidates, _ = found_in(with_nodules(InsertedNodule((22.0, 22.0, 20.0), 4.0, 0.0)))
    quick, every = describe_quickly(space, candidates, noise_hu), describe(space, candidates, noise_hu)
    assert quick.shape[1] == QUICK_FEATURES
    assert np.array_equal(quick, every[:, :QUICK_FEATURES])
    assert every.shape[1] == len(FEATURE_NAMES) == len(set(FEATURE_NAMES))
    assert np.isfinite(every).all()


def test_threads_change_nothing(monkeypatch):
    volume = with_nodules(
        InsertedNodule((22.0, 22.0, 20.0), 4.0, 0.0), InsertedNodule((12.0, 30.0, 12.0), 2.0, 0.0)
    )
    results = []
    for threads in ("1", "2"):
        monkeypatch.setenv("MIPC_THREADS", threads)
        space, noise_hu, candidates, points = found_in(volume)
        results.append((points.tobytes(), describe(space, candidates, noise_hu).tobytes()))
    assert results[0] == results[1]
