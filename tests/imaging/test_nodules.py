"""Which of the candidates are told: inside a mass they are the mass, beside airless lung they are nodules."""

import numpy as np
import pytest

from imaging.candidates import build_scale_space, find_candidates
from imaging.classifier import load_model, score
from imaging.geometry import points_mm
from imaging.insertion import InsertedNodule, ScannerBlur, insert_nodules
from imaging.lesions import Lesions
from imaging.nodules import grain_of, measure_nodules
from imaging.resolution import Resolution, noise_of
from records.model import Nodule
from tests.imaging.chests import SPACING_MM, box_lungs, box_volume

PLACES = np.array([[12, 20, 28], [24, 32, 30], [34, 24, 84], [20, 40, 80]], float)


@pytest.fixture(scope="module")
def scored():
    volume, lungs = box_volume(noise_hu=12.0), box_lungs()
    truth = [InsertedNodule(tuple(place), 5.0, 0.0) for place in points_mm(volume, PLACES).tolist()]
    blur = ScannerBlur(0.55, SPACING_MM[0])
    hu = insert_nodules(volume, truth, blur, noise_hu=12.0, rng=np.random.default_rng(1))
    volume.hu[:] = hu
    space = build_scale_space(volume, lungs)
    noise_hu = noise_of(space.levels[0] - space.levels[1], space.inside)
    return volume, lungs, space, score(load_model(), space, find_candidates(space, noise_hu), noise_hu)


def reported_with(scored, label: int) -> list[Nodule]:
    """Measure as if the larger structures' map said `label` everywhere."""
    volume, lungs, space, found = scored
    lesions = Lesions((), np.full(lungs.coarse.shape, label, np.int32), 0.0)
    resolution = Resolution(0.55, SPACING_MM[0])
    nodules = measure_nodules(volume, lungs, space, found, lesions, resolution, grain_of(space), 0.5)
    return [n for n in nodules if n.reported]


@pytest.mark.parametrize("label", [0, -1], ids=["aerated", "counted as airless lung"])
def test_every_nodule_is_told_where_no_mass_is(scored, label):
    told = points_mm(scored[0], PLACES)
    centres = np.array([n.centre_mm for n in reported_with(scored, label)])
    assert len(centres) == len(told)
    assert np.linalg.norm(told[:, None] - centres[None], axis=2).min(axis=1).max() < 1.0


def test_what_lies_in_a_mass_is_the_mass(scored):
    assert reported_with(scored, 1) == []
