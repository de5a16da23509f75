"""Which of the candidates are told: inside a mass they are the mass, beside airless lung they are nodules."""

import numpy as np
import pytest

from imaging.candidates import build_scale_space, find_candidates
from imaging.classifier import load_model, score
from imaging.geometry import points_mm
from imaging.insertion import InsertedNodule, ScannerBlur, insert_nodules
from imaging.lesions import Lesions
from imaging.nodules import _one_each, grain_of, measure_nodules
from imaging.resolution import Resolution, noise_of
from imaging.sizing import Fits
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


def fits_at(*rows: tuple[float, float, float]) -> Fits:
    """Balls on the line of columns: (column mm, radius mm, misfit)."""
    across, radius, misfit = np.array(rows, float).T
    index = np.stack([np.zeros(len(rows)), np.zeros(len(rows)), across], axis=1)
    none = np.zeros(len(rows))
    return Fits(index, radius, radius, radius, none, none, misfit)


@pytest.mark.parametrize(
    ("rows", "probability", "kept"),
    [
        pytest.param(
            [(1.3, 2.1, 0.09), (0.0, 3.0, 0.05)],
            [0.99, 0.98],
            [1],
            id="the-ball-that-holds-it-and-fits-better",
        ),
        pytest.param([(1.3, 2.1, 0.09), (0.0, 3.0, 0.05)], [0.99, 0.30], [0], id="unless-it-is-no-nodule"),
        pytest.param([(1.3, 2.1, 0.05), (0.0, 3.0, 0.09)], [0.99, 0.98], [0], id="unless-it-fits-worse"),
        pytest.param([(0.0, 3.0, 0.05), (1.3, 2.1, 0.03)], [0.99, 0.98], [0], id="not-a-smaller-one"),
        pytest.param(
            [(0.0, 1.5, 0.05), (3.2, 1.6, 0.04)], [0.99, 0.98], [0, 1], id="neighbours-that-touch-are-two"
        ),
    ],
)
def test_of_one_nodule_the_fit_that_explains_it_is_kept(rows, probability, kept):
    alone, likely = _one_each(fits_at(*rows), np.array(probability), (1.0, 1.0, 1.0))
    assert np.flatnonzero(alone).tolist() == kept
    assert likely[kept[0]] == max(probability)
