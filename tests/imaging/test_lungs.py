"""Lungs drawn as ellipsoids in an elliptic body: their volumes and sides are known by formula."""

from dataclasses import replace
from math import pi

import numpy as np
import pytest

from imaging import dicom
from imaging.disease import Chest
from imaging.disease.canvas import Canvas
from imaging.disease.opacities import add_noise
from imaging.lungs import LEFT, RIGHT, segment_lungs
from records.errors import Reason, ScreeningError
from records.model import Volume
from tests.shared import CT, needs_ct

SPACING_MM = (2.5, 1.5, 1.5)
SHAPE = (120, 200, 240)
AXIAL = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
HALF_AXES_MM = (115.0, 75.0, 55.0)  # plane, row, column
LUNG_ML = 4 / 3 * pi * 115 * 75 * 55 / 1000


def grid_mm():
    return np.meshgrid(
        *((np.arange(n) - n / 2) * s for n, s in zip(SHAPE, SPACING_MM, strict=True)), indexing="ij"
    )


def ellipsoid(centre_mm, half_axes_mm):
    squares = [((g - c) / h) ** 2 for g, c, h in zip(grid_mm(), centre_mm, half_axes_mm, strict=True)]
    return sum(squares) <= 1


def chest(*, right=True, left=True, gap_mm=20.0, trachea=True) -> Volume:
    _, y, x = grid_mm()
    hu = np.where((y / 120) ** 2 + (x / 165) ** 2 <= 1, 40, -1000).astype(np.int16)
    off = HALF_AXES_MM[2] + gap_mm / 2
    if right:
        hu[ellipsoid((0, 0, -off), HALF_AXES_MM)] = -860
    if left:
        hu[ellipsoid((0, 0, off), HALF_AXES_MM)] = -860
    if trachea:
        z, y, x = grid_mm()
        hu[(np.hypot(x, y + 10) < 8) & (z > -20)] = -1000
    origin = (-SHAPE[2] / 2 * SPACING_MM[2], -SHAPE[1] / 2 * SPACING_MM[1], -SHAPE[0] / 2 * SPACING_MM[0])
    uids = tuple(str(n) for n in range(SHAPE[0]))
    return Volume(hu, origin, AXIAL, SPACING_MM, 2.5, "STANDARD", "1.2", "1.3", uids)


def test_volumes_are_those_of_the_ellipsoids():
    lungs = segment_lungs(chest())
    # A surface known to a quarter of a 3 mm voxel: 2 % of an ellipsoid of 75 mm.
    assert lungs.volume_ml(RIGHT) == pytest.approx(LUNG_ML, rel=0.04)
    assert lungs.volume_ml(LEFT) == pytest.approx(LUNG_ML, rel=0.04)


def test_right_is_right_when_the_columns_run_the_other_way():
    scan = chest()
    axes = AXIAL.copy()
    axes[2] *= -1
    mirrored = replace(
        scan, hu=np.ascontiguousarray(scan.hu[:, :, ::-1]), axes=axes, origin_mm=(178.5, -150, -150)
    )
    labels, flipped = segment_lungs(scan).labels, segment_lungs(mirrored).labels[:, :, ::-1]
    assert np.mean(labels == flipped) > 0.99
    assert labels[60, 100, 70] == flipped[60, 100, 70] == RIGHT


def test_the_trachea_is_no_lung():
    labels = segment_lungs(chest()).labels
    assert labels[80, 93, 120] == 0


def test_a_nodule_at_the_pleura_and_a_vessel_are_inside():
    scan = chest()
    hu = scan.hu.copy()
    hu[ellipsoid((0, 0, -115), (5, 5, 5))] = 40  # centred 5 mm inside the outer wall
    hu[ellipsoid((0, 0, -60), (40, 3, 3))] = 40
    labels = segment_lungs(replace(scan, hu=hu)).labels
    assert labels[60, 100, 120 - 115 * 2 // 3] == RIGHT
    assert labels[60, 100, 80] == RIGHT


def test_lungs_that_touch_are_parted():
    lungs = segment_lungs(chest(gap_mm=-6.0, trachea=False))
    assert lungs.volume_ml(RIGHT) == pytest.approx(lungs.volume_ml(LEFT), rel=0.05)
    assert lungs.labels[60, 100, 80] == RIGHT
    assert lungs.labels[60, 100, 160] == LEFT


def test_depth_is_the_distance_to_the_pleura():
    lungs = segment_lungs(chest())
    at_centre = lungs.sample(lungs.depth_mm, np.array([[60.0, 100.0, 76.7]]))[0]
    assert at_centre == pytest.approx(55, abs=3.0)  # one coarse voxel


def test_the_box_holds_both_lungs():
    lungs = segment_lungs(chest())
    labels = lungs.labels
    assert np.count_nonzero(labels[lungs.box]) == np.count_nonzero(labels)


def test_the_hollow_of_the_couch_is_no_lung():
    scan = chest()
    hu = scan.hu.copy()
    hu[:, 185:197, 20:220] = -300  # the shell
    hu[:, 187:195, 22:218] = -950
    lungs = segment_lungs(replace(scan, hu=hu))
    assert not lungs.labels[:, 185:197].any()
    assert lungs.volume_ml(RIGHT) == pytest.approx(LUNG_ML, rel=0.04)


def test_gas_in_the_bowel_is_no_lung():
    scan = chest()
    hu = scan.hu.copy()
    hu[ellipsoid((-135, -40, 60), (14, 30, 45))] = -1000  # 80 ml below the left lung
    labels = segment_lungs(replace(scan, hu=hu)).labels
    assert not labels[6, 73, 160]
    assert labels[60, 100, 160] == LEFT


def cut(scan: Volume, planes: slice) -> Volume:
    return replace(scan, hu=scan.hu[planes], sop_instance_uids=scan.sop_instance_uids[planes])


def beside(scan: Volume, cut_mm: float) -> Volume:
    """Let the field of view end so far inside the right lung."""
    outer_mm = 2 * HALF_AXES_MM[2] + 10
    first = round((SHAPE[2] / 2 * SPACING_MM[2] - outer_mm + cut_mm) / SPACING_MM[2])
    return replace(scan, hu=np.ascontiguousarray(scan.hu[:, :, first:]))


def in_a_circle(scan: Volume, radius_mm: float) -> Volume:
    """Pad what a scanner does not reconstruct."""
    _, y, x = grid_mm()
    return replace(scan, hu=np.where(np.hypot(x, y) <= radius_mm, scan.hu, -1024).astype(np.int16))


def without_air(scan: Volume) -> Volume:
    return replace(scan, hu=np.full_like(scan.hu, 40))


REFUSED = [
    pytest.param(
        lambda: cut(chest(), slice(60, None)), Reason.LUNGS_INCOMPLETE, "lower", id="upper-half-only"
    ),
    pytest.param(lambda: cut(chest(), slice(0, 60)), Reason.LUNGS_INCOMPLETE, "upper", id="lower-half-only"),
    pytest.param(lambda: cut(chest(), slice(30, 90)), Reason.LUNGS_INCOMPLETE, "cut off", id="middle-only"),
    pytest.param(lambda: chest(left=False), Reason.LUNGS_IMPLAUSIBLE, "one lung", id="left-lung-missing"),
    pytest.param(lambda: chest(right=False), Reason.LUNGS_IMPLAUSIBLE, "one lung", id="right-lung-missing"),
    pytest.param(lambda: beside(chest(), 40.0), Reason.LUNGS_INCOMPLETE, "sides", id="targeted-to-the-left"),
    pytest.param(
        lambda: beside(chest(), 100.0), Reason.LUNGS_IMPLAUSIBLE, "one lung", id="one-lung-and-a-strip"
    ),
    pytest.param(lambda: beside(chest(), 120.0), Reason.LUNGS_IMPLAUSIBLE, "one lung", id="one-lung"),
    pytest.param(lambda: in_a_circle(chest(), 80.0), Reason.LUNGS_INCOMPLETE, "sides", id="small-circle"),
    pytest.param(lambda: without_air(chest()), Reason.LUNGS_NOT_FOUND, "no air", id="abdomen"),
]


@pytest.mark.parametrize(("scan", "reason", "words"), REFUSED)
def test_what_cannot_be_two_whole_lungs_is_refused_by_name(scan, reason, words):
    with pytest.raises(ScreeningError, match=words) as refused:
        segment_lungs(scan())
    assert refused.value.reason is reason


@pytest.mark.parametrize("cut_mm", [1.5, 6.0, 12.0, 18.0])
def test_what_the_field_of_view_leaves_of_a_lung_is_all_kept(cut_mm):
    scan = beside(chest(), cut_mm)
    lungs = segment_lungs(scan)
    half = HALF_AXES_MM[2]
    cap_share = cut_mm**2 * (3 * half - cut_mm) / (4 * half**3)
    assert lungs.volume_ml(RIGHT) == pytest.approx(LUNG_ML * (1 - cap_share), rel=0.04)
    assert lungs.volume_ml(LEFT) == pytest.approx(LUNG_ML, rel=0.04)
    # The section of an ellipsoid at a depth, over the one through its middle; a voxel of 3 mm off at most.
    shares = [1 - (1 - (cut_mm + off_mm) / half) ** 2 for off_mm in (-1.5, 3.0)]
    assert shares[0] <= lungs.beside_share <= shares[1]


def test_a_lung_that_the_circle_of_reconstruction_cuts_is_kept_and_told():
    scan = in_a_circle(chest(), 118.0)
    lungs = segment_lungs(scan)
    _, y, x = grid_mm()
    off = HALF_AXES_MM[2] + 10
    for side, label in ((-1, RIGHT), (1, LEFT)):
        lung = ellipsoid((0, 0, side * off), HALF_AXES_MM) & (np.hypot(x, y) <= 118.0)
        kept_ml = np.count_nonzero(lung) * np.prod(SPACING_MM) / 1000
        assert lungs.volume_ml(label) == pytest.approx(kept_ml, rel=0.04)
    (note,) = lungs.notes
    assert "field of view" in note


def test_whole_lungs_have_no_note_even_where_the_chest_wall_is_cut():
    lungs = segment_lungs(beside(chest(), -6.0))
    assert lungs.beside_share == 0
    assert lungs.notes == ()
    assert lungs.volume_ml(RIGHT) == pytest.approx(LUNG_ML, rel=0.04)


def test_a_cushion_that_reaches_the_border_is_no_lung():
    scan = chest()
    hu = scan.hu.copy()
    hu[20:90, 40:160, 0:12] = -900  # 380 ml of foam beside the arm
    lungs = segment_lungs(replace(scan, hu=hu))
    assert lungs.beside_share == 0
    assert lungs.volume_ml(RIGHT) == pytest.approx(LUNG_ML, rel=0.04)


def test_a_cushion_over_an_arm_that_reaches_the_border_is_no_lung():
    scan = chest()
    hu = scan.hu.copy()
    hu[20:90, 40:160, 0:12] = -900
    hu[15:95, 162:190, 0:16] = 40
    lungs = segment_lungs(replace(scan, hu=hu))
    assert lungs.beside_share == 0
    assert lungs.volume_ml(RIGHT) == pytest.approx(LUNG_ML, rel=0.04)


@needs_ct
@pytest.mark.parametrize(("noise_hu", "seed"), [(15.0, 80_169), (30.0, 80_169), (60.0, 10_012)])
def test_noise_makes_no_lung_of_a_blanket(noise_hu, seed):
    scan = Chest.of(
        dicom.read_volume(dicom.choose_series(dicom.find_studies([CT / "lidc_0003"]).studies[0]).series)
    )
    canvas = Canvas(scan, np.random.default_rng(seed))
    add_noise(canvas, noise_hu)
    lungs = segment_lungs(canvas.volume)
    assert lungs.beside_share == 0
    for label in (RIGHT, LEFT):
        assert lungs.volume_ml(label) == pytest.approx(scan.lungs.volume_ml(label), rel=0.02)
