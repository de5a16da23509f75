from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from imaging.disease import Chest
from imaging.geometry import point_mm
from imaging.insertion import InsertedNodule, ScannerBlur
from imaging.training import __main__ as training
from imaging.training.examples import Recipe, _body, _diseased, _labels, read_marks, thicken
from imaging.training.stacking import learn_verdicts
from records.model import Volume
from tests.imaging.chests import box_lungs, box_volume
from tests.shared import CT, needs_ct

AXIAL = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])


def ramp(planes=9) -> Volume:
    hu = np.broadcast_to(np.arange(planes, dtype=np.int16)[:, None, None] * 10, (planes, 4, 4)).copy()
    uids = tuple(str(n) for n in range(planes))
    return Volume(hu, (5.0, 6.0, -100.0), AXIAL, (1.25, 0.7, 0.7), 1.25, "", "1.2", "1.3", uids)


def test_thick_slices_are_means_of_thin_ones_and_lie_in_their_middle():
    thick = thicken(ramp(), 2)
    assert thick.hu[:, 0, 0].tolist() == [5, 25, 45, 65]  # the ninth slice has no partner
    assert thick.spacing_mm == (2.5, 0.7, 0.7)
    assert thick.slice_thickness_mm == 2.5
    assert point_mm(thick, (0, 0, 0)) == pytest.approx((5.0, 6.0, -100 + 1.25 / 2))
    assert len(thick.sop_instance_uids) == len(thick.hu)


def test_the_nearest_candidate_is_the_nodule_and_its_neighbours_are_nothing():
    nodule = InsertedNodule((0.0, 0.0, 0.0), 4.0, 0.0)
    points = np.array([[0.4, 0, 0], [1.5, 0, 0], [4.0, 0, 0], [5.0, 0, 0], [30.0, 0, 0], [60.0, 0, 0]])
    marks = np.array([[30.0, 3.0, 0.0, 6.0]])
    # On the nodule; inside it; within 2.5 mm of its edge; beyond; within 5 mm of a real mark's edge; beyond.
    is_new = np.array([True])
    assert _labels(points, [nodule], is_new, marks).tolist() == [1, -1, -1, 0, -1, 0]


def test_a_nodule_inside_a_vessel_is_not_learnt_from():
    nodule = InsertedNodule((0.0, 0.0, 0.0), 4.0, 0.0)
    points = np.array([[0.4, 0, 0], [30.0, 0, 0]])
    assert _labels(points, [nodule], np.array([False]), np.zeros((0, 4))).tolist() == [-1, 0]


def test_a_nodule_without_a_candidate_labels_nothing_a_nodule():
    nodule = InsertedNodule((0.0, 0.0, 0.0), 2.0, 0.0)
    assert _labels(np.array([[3.0, 0, 0]]), [nodule], np.array([True]), np.zeros((0, 4))).tolist() == [-1]


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.3, 70, 110), (1.0, 300, 300)])
def test_so_many_of_the_bodies_have_lobes_and_all_are_of_the_sizes_asked_for(share, least, most):
    recipe, rng = Recipe(lobed_share=share, diameter_mm=(2.0, 4.0)), np.random.default_rng(1)
    bodies = [_body((0.0, 0.0, 0.0), recipe, rng) for _ in range(300)]
    assert least <= sum(1 for body in bodies if body.lobes) <= most
    assert all(2.0 <= body.diameter_mm <= 4.0 for body in bodies)


@pytest.mark.parametrize(
    ("emphysema_share", "haze_share", "darker", "brighter"),
    [(0.0, 0.0, False, False), (1.0, 0.0, True, False), (0.0, 1.0, False, True)],
)
def test_lungs_of_an_example_have_the_disease_asked_for(emphysema_share, haze_share, darker, brighter):
    chest = Chest(box_volume(), box_lungs(), ScannerBlur(0.6, 2.0), 0.0)
    recipe = Recipe(emphysema_share=emphysema_share, haze_share=haze_share)
    change = _diseased(chest, recipe, np.random.default_rng(1)).astype(int) - chest.volume.hu
    assert ((change < 0).any(), (change > 0).any()) == (darker, brighter)
    assert not change[chest.depth_mm < -15].any()


@needs_ct
def test_marks_of_nodules_are_read_and_dismissed_ones_are_not():
    # The README of the scans: one 33 mm mass seen by four readers, and sites under 3 mm.
    marks = read_marks(CT / "lidc_marks.csv", "LIDC-IDRI-0001")
    assert len(marks) == 4 + 9
    assert (marks[:, 3] > 20).sum() == 4
    assert read_marks(CT / "lidc_marks.csv", "nobody").shape == (0, 4)


@pytest.mark.parametrize(("judge_weight", "expected"), [(0.4, 0.4), (-0.4, 0.0)])
def test_weights_are_those_that_labels_were_drawn_by_and_none_is_negative(judge_weight, expected):
    rng = np.random.default_rng(3)
    judge, network = rng.normal(0.0, 2.0, (2, 200_000))
    log_odds = -1.0 + judge_weight * judge + 0.8 * network
    label = (rng.random(judge.size) < 1 / (1 + np.exp(-log_odds))).astype(np.int8)
    verdicts = learn_verdicts(judge, network, label)
    assert verdicts.judge_weight == pytest.approx(expected, abs=0.02)
    assert verdicts.network_weight > 0.6
    if expected:
        assert (verdicts.constant, verdicts.network_weight) == pytest.approx((-1.0, 0.8), abs=0.03)
    assert verdicts.share == label.mean()


def train(*arguments):
    app = typer.Typer()
    app.command()(training.train)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_training_from_an_installed_package_ends_at_once(tmp_path, monkeypatch):
    """A wheel has no networks to go on from; examples that take an hour came first, then a traceback."""
    monkeypatch.setattr(training, "START", tmp_path / "start")
    monkeypatch.setattr(training, "make_all", lambda *_: pytest.fail("examples were made"))
    done = train(tmp_path, "--device", "cpu", "--kept", tmp_path / "kept")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mipc: training cannot start: ")
    assert "take a checkout of the repository" in done.stderr


def test_training_without_pytorch_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "find_spec", lambda _: None)
    monkeypatch.setattr(training, "make_all", lambda *_: pytest.fail("examples were made"))
    done = train(tmp_path, "--kept", tmp_path / "kept")
    assert (done.exit_code, done.stderr) == (
        2, "mipc: training cannot start: PyTorch is not installed (pip install 'mipc[network]')\n"
    )  # fmt: skip


def test_a_checkout_has_every_network_that_training_goes_on_from():
    found = {path.name for path in Path(training.__file__).with_name("start").iterdir()}
    patients = ("everybody", "lidc_0001", "lidc_0003", "lidc_0004", "lidc_0006")
    assert found == {f"{patient}_{number}.onnx" for patient in patients for number in (1, 2)}
