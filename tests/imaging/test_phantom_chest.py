"""Synthetic chests: the anatomy's figures, the truth against the voxels, what a seed decides."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from imaging.phantom import Breath, ChestSpec, NoduleSpec, NoduleTruth, draw_patient, scan, treated
from imaging.phantom.anatomy import draw_physique
from records.model import Side

COARSE = ChestSpec(spacing_mm=(2.5, 1.5, 1.5), matrix=240, nodules=NoduleSpec(150))
SMALL = ChestSpec(spacing_mm=(6.0, 3.0, 3.0), matrix=120)


@pytest.fixture(scope="module")
def patient():
    return draw_patient(4)


@pytest.fixture(scope="module")
def phantom(patient):
    return scan(patient, COARSE)


def litres(mask, spacing_mm) -> float:
    return float(mask.sum() * np.prod(spacing_mm) / 1e6)


def test_lungs_have_the_volume_of_an_adult_s_the_right_larger(phantom):
    right, left = (litres(phantom.lungs == side, COARSE.spacing_mm) for side in (1, 2))
    # Full inspiration, an average man: 4-6 l (Kauczor 1998: CT 5.6 +- 1.2 l); the right has 52-56 % of it.
    assert 4.0 < right + left < 6.5
    assert 0.51 < right / (right + left) < 0.57


def test_the_right_lung_lies_at_low_x(phantom):
    columns = [np.nonzero(phantom.lungs == side)[2].mean() for side in (1, 2)]
    assert columns[0] < columns[1]


def test_tissues_have_their_hounsfield_units(phantom):
    hu = phantom.volume.hu
    parenchyma = (phantom.lungs > 0) & ~phantom.vessels & ~phantom.airways
    assert np.median(hu[parenchyma]) == pytest.approx(-860, abs=20)
    trachea = phantom.airways[-30:-5]
    assert np.median(hu[-30:-5][trachea]) < -960
    vessels = phantom.vessels & (phantom.lungs > 0)
    assert np.percentile(hu[vessels], 90) == pytest.approx(40, abs=30)


def test_the_dependent_lung_is_denser(phantom):
    hu, lungs = phantom.volume.hu, phantom.lungs > 0
    rows = np.nonzero(lungs)[1]
    front, back = np.percentile(rows, [15, 85]).astype(int)
    gain = np.median(hu[:, back:][lungs[:, back:]]) - np.median(hu[:, :front][lungs[:, :front]])
    assert 10 < gain < 50  # some 20-40 HU lying down (Verschakelen 1993)


def test_vessels_are_thousands_of_branches_that_stay_in_their_lobe(patient):
    trees = patient.branches.trees
    assert sum(len(one.radii_mm) for one in trees) > 20_000
    lobes = {lobe.name: lobe.field for lobe in patient.anatomy.lobes}
    for one in trees:
        thin = one.tree.points_mm[one.radii_mm < 2.0]
        depth = patient.anatomy.grid.sample(lobes[one.lobe], thin)
        # Away from the hilum no branch ends outside its lobe, so none crosses a fissure or the pleura.
        assert np.mean(depth < 0) > 0.995


def test_no_lung_is_far_from_a_vessel(patient):
    pieces = np.concatenate([patient.branches.arteries, patient.branches.veins])
    anatomy = patient.anatomy
    points = np.random.default_rng(0).uniform((-130, -90, -170), (130, 100, 95), (20_000, 3))
    points = points[anatomy.grid.sample(anatomy.lungs, points) < 0]
    away, _ = cKDTree(pieces[:, 3:6]).query(points)
    assert np.percentile(away, 99) < 10.0  # of any place, the last millimetres under the pleura included
    assert np.median(away) < 4.0


def test_bronchi_are_drawn_down_to_two_millimetres(patient):
    radii = patient.branches.lumens[:, 6:]
    assert 1.5 < 2 * radii.min() < 2.2
    assert 13.0 < 2 * radii.max() < 22.0  # the trachea: 13-27 mm in men (Breatnach 1984)


def test_nodules_lie_in_their_lung_apart_from_each_other(patient, phantom):
    nodules = phantom.patient_nodules
    assert len(nodules) == 150
    centres = np.array([n.centre_mm for n in nodules])
    radii = np.array([n.diameter_mm for n in nodules]) / 2
    assert np.all(patient.anatomy.grid.sample(patient.anatomy.lungs, centres) < -radii)
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2) - radii[:, None] - radii[None]
    assert gaps[~np.eye(150, dtype=bool)].min() >= 1.0
    assert all((n.side is Side.RIGHT) == (n.centre_mm[0] < 2.0) for n in nodules)


def clear_place(patient) -> tuple[float, float, float]:
    """Return a place in the left lung away from vessels, bronchi, fissure and pleura."""
    branches, anatomy = patient.branches, patient.anatomy
    pieces = np.concatenate([branches.arteries, branches.veins, branches.walls])
    points = np.random.default_rng(1).uniform((40, -60, -90), (115, 80, 60), (4000, 3))
    away, _ = cKDTree((pieces[:, :3] + pieces[:, 3:6]) / 2).query(points)
    is_deep = anatomy.grid.sample(anatomy.lungs, points) < -6
    is_off_fissure = np.abs(anatomy.grid.sample(anatomy.oblique, points)) > 6
    best = np.argmax(np.where(is_deep & is_off_fissure, away, 0))
    assert away[best] > 4.0
    x, y, z = points[best].tolist()
    return x, y, z


def test_a_nodule_is_where_the_truth_says_and_weighs_what_it_should(patient):
    # The difference of two noiseless scans is the nodule alone.
    spec = replace(COARSE, noise_hu=0.0)
    wanted = NoduleTruth(clear_place(patient), 5.0, 20.0, Side.LEFT)
    before, after = (scan(patient, replace(spec, nodules=n)) for n in ((), (wanted,)))
    change = after.volume.hu.astype(float) - before.volume.hu
    index = [np.sum(i * change) / change.sum() for i in np.ogrid[tuple(map(slice, change.shape))]]
    centre = np.array(after.volume.origin_mm) + (np.array(index) * spec.spacing_mm)[::-1]
    np.testing.assert_allclose(centre, after.nodules[0].centre_mm, atol=0.05)
    around = before.volume.hu[change > 50].mean()
    mass = change.sum() * np.prod(spec.spacing_mm)
    # Rounding to whole HU and a little lung texture: 3 %.
    assert mass == pytest.approx((20.0 - around) * np.pi / 6 * 5.0**3, rel=0.03)


def test_the_same_seed_gives_the_same_voxels_and_another_gives_another_patient(patient):
    first, again = scan(patient, SMALL), scan(draw_patient(4), SMALL)
    np.testing.assert_array_equal(first.volume.hu, again.volume.hu)
    assert draw_physique(np.random.default_rng([5, 1])) != patient.anatomy.physique


def test_a_second_acquisition_differs_by_noise_alone(patient):
    first, second = (scan(patient, replace(SMALL, acquisition=n, noise_hu=20.0)) for n in (0, 1))
    np.testing.assert_array_equal(first.lungs, second.lungs)
    middle = slice(40, 80)
    change = (second.volume.hu.astype(float) - first.volume.hu)[15:30, middle, middle]
    assert change.std() == pytest.approx(np.sqrt(2) * 20.0, rel=0.25)  # more or less by slice and place
    assert abs(change.mean()) < 1.0


def test_a_shallower_breath_leaves_less_air_and_carries_the_nodules_along(patient):
    nodules = scan(patient, replace(SMALL, nodules=NoduleSpec(20))).patient_nodules
    deep, shallow = (
        scan(patient, replace(SMALL, nodules=nodules, breath=Breath(depth=d))) for d in (0.0, -0.1)
    )
    spacing = SMALL.spacing_mm
    assert litres(shallow.lungs > 0, spacing) < 0.93 * litres(deep.lungs > 0, spacing)
    rise = [b.centre_mm[2] - a.centre_mm[2] for a, b in zip(deep.nodules, shallow.nodules, strict=True)]
    lowest = int(np.argmin([n.centre_mm[2] for n in deep.nodules]))
    assert min(rise) > 0
    assert int(np.argmax(rise)) == lowest
    assert [n.diameter_mm for n in deep.nodules] == [n.diameter_mm for n in shallow.nodules]


def test_emphysema_empties_the_share_asked_for(patient):
    spec = replace(SMALL, spacing_mm=(3.0, 2.0, 2.0), matrix=180, noise_hu=0.0)
    healthy, ill = (scan(patient, replace(spec, emphysema=share)) for share in (0.0, 0.25))
    lungs = healthy.lungs > 0
    assert np.mean(healthy.volume.hu[lungs] < -950) < 0.01
    # The holes have soft edges, so the share below -950 HU is somewhat smaller than the share of holes.
    assert 0.08 < np.mean(ill.volume.hu[lungs] < -950) < 0.25


def test_nodules_that_do_not_fit_are_refused(patient):
    crowd = NoduleSpec(400, diameter_mm=(35.0, 40.0))
    with pytest.raises(ValueError, match="400 nodules do not fit"):
        scan(patient, replace(SMALL, nodules=crowd))


def test_treatment_leaves_few_small_faint_nodules_where_they_were(phantom):
    left = treated(phantom.patient_nodules, left=15, rng=np.random.default_rng(0))
    before = {n.centre_mm: n for n in phantom.patient_nodules}
    assert len(left) == 15
    assert all(n.diameter_mm <= 0.5 * before[n.centre_mm].diameter_mm for n in left)
    assert all(n.hu <= before[n.centre_mm].hu - 100 for n in left)
