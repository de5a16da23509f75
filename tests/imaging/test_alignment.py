"""Two scans laid over each other: known motions found, another patient refused, arrays kept."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.alignment import Alignment, Quality, Warp, invert
from imaging.geometry import points_mm
from imaging.lungs import segment_lungs
from imaging.phantom import Breath, ChestSpec, NoduleSpec, draw_patient, scan
from imaging.phantom.motion import draw_motion, moved
from imaging.tracking import align
from imaging.vesselpoints import Raster, find_again, find_distinct, sample
from tests import phantoms

SPEC = ChestSpec(spacing_mm=(3.0, 1.8, 1.8), matrix=200, nodules=NoduleSpec(150))
GOOD = Quality(0.97, 200, 0.95, 0.4, 1.2)


@pytest.fixture(scope="module")
def patient():
    return draw_patient(80)


@pytest.fixture(scope="module")
def baseline(patient):
    return scan(patient, SPEC)


@pytest.fixture(scope="module")
def lungs(baseline):
    return segment_lungs(baseline.volume)


@pytest.fixture(scope="module")
def thicker(patient):
    """Scan the patient again: thicker, noisier, less breath, lying differently, written the other way."""
    spec = replace(SPEC, spacing_mm=(4.0, 1.6, 1.6), matrix=220, acquisition=1, noise_hu=20.0)
    breath = Breath(depth=-0.06, shift_mm=(9.0, -12.0, 15.0), turn_deg=5.0)
    phantom = scan(patient, replace(spec, breath=breath))
    volume = phantom.volume
    far = points_mm(volume, np.array([[0.0, volume.hu.shape[1] - 1, volume.hu.shape[2] - 1]]))[0]
    turned = replace(
        volume,
        hu=np.ascontiguousarray(volume.hu[:, ::-1, ::-1]),
        origin_mm=tuple(far.tolist()),
        axes=volume.axes * np.array([[1.0], [-1.0], [-1.0]]),
    )
    return replace(phantom, volume=turned)


@pytest.fixture(scope="module")
def thicker_alignment(baseline, lungs, thicker):
    return align(baseline.volume, lungs, thicker.volume, segment_lungs(thicker.volume))


def landmarks(phantom):
    return np.array([nodule.centre_mm for nodule in phantom.nodules])


def test_another_breath_and_thickness_is_found(baseline, thicker, thicker_alignment):
    truth = landmarks(thicker)
    assert np.median(np.linalg.norm(landmarks(baseline) - truth, axis=1)) > 15
    off_mm = np.linalg.norm(thicker_alignment.to_follow_up(landmarks(baseline)) - truth, axis=1)
    assert np.median(off_mm) < 0.8
    assert np.quantile(off_mm, 0.95) < 2.0
    assert thicker_alignment.is_good
    assert thicker_alignment.reason == ""


def test_the_quality_is_measured_where_the_error_is_known(baseline, thicker, thicker_alignment):
    quality = thicker_alignment.quality
    off_mm = np.linalg.norm(thicker_alignment.to_follow_up(landmarks(baseline)) - landmarks(thicker), axis=1)
    assert quality.lung_overlap > 0.95
    assert quality.residual_mm == pytest.approx(float(np.median(off_mm)), abs=0.5)


def test_a_smooth_motion_of_15_mm_is_found(baseline, lungs):
    inside = points_mm(baseline.volume, np.argwhere(baseline.lungs[::4, ::6, ::6] > 0) * [4.0, 6.0, 6.0])
    motion = draw_motion(inside, peak_mm=15.0, rng=np.random.default_rng(5))
    follow_up = moved(baseline.volume, motion)
    alignment = align(baseline.volume, lungs, follow_up, segment_lungs(follow_up))
    truth = motion.to_follow_up(inside)
    off_mm = np.linalg.norm(alignment.to_follow_up(inside) - truth, axis=1)
    assert np.linalg.norm(inside - truth, axis=1).max() > 14
    # Deep in the lungs vessels hold it; at the pleura only the surface does.
    assert np.median(off_mm) < 1.0
    assert alignment.is_good


def test_there_and_back_is_where_it_began(baseline, thicker_alignment):
    places = landmarks(baseline)
    back = thicker_alignment.to_baseline(thicker_alignment.to_follow_up(places))
    np.testing.assert_allclose(back, places, atol=0.1)  # linear interpolation on a grid of 5 mm


def test_one_point_is_as_good_as_many(baseline, thicker_alignment):
    places = landmarks(baseline)
    alone = thicker_alignment.to_follow_up(places[3])
    assert alone.shape == (3,)
    np.testing.assert_allclose(alone, thicker_alignment.to_follow_up(places)[3], atol=1e-9)


def test_another_patient_is_refused_with_a_reason(baseline, lungs):
    other = scan(draw_patient(4), replace(SPEC, nodules=()))
    alignment = align(baseline.volume, lungs, other.volume, segment_lungs(other.volume))
    assert not alignment.is_good
    assert "vessel" in alignment.reason


def test_lungs_without_vessels_are_no_good_alignment_however_well_their_surfaces_fit():
    """The surface can't tell how far the inside has turned; pleura beside a point would vouch for it."""
    z, y, x = phantoms.centred_axes((110, 130, 190), (2.4, 1.8, 1.8))
    hu = np.full((110, 130, 190), -1000.0)
    hu[np.broadcast_to((x / 160) ** 2 + (y / 105) ** 2 <= 1, hu.shape)] = 40.0
    for middle_mm, half_mm in ((-75.0, 62.0), (78.0, 55.0)):
        hu[((x - middle_mm) / half_mm) ** 2 + (y / 75) ** 2 + (z / 118) ** 2 <= 1] = -850.0
    noise = np.random.default_rng(0).normal(0, 15, hu.shape)
    smooth = phantoms.volume(hu + noise, (2.4, 1.8, 1.8))
    smooth_lungs = segment_lungs(smooth)
    alignment = align(smooth, smooth_lungs, smooth, smooth_lungs)
    assert alignment.quality.lung_overlap > 0.95
    assert not alignment.is_good
    assert "distinct vessel points" in alignment.reason


def test_the_number_of_threads_changes_nothing(baseline, lungs, thicker, thicker_alignment, monkeypatch):
    monkeypatch.setenv("MIPC_THREADS", "1")
    alone = align(baseline.volume, lungs, thicker.volume, segment_lungs(thicker.volume)).to_arrays()
    for name, array in thicker_alignment.to_arrays().items():
        np.testing.assert_array_equal(array, alone[name], err_msg=name)


def test_an_alignment_is_kept_as_plain_arrays(tmp_path, baseline, thicker_alignment):
    file = tmp_path / "alignment.npz"
    np.savez(file, **thicker_alignment.to_arrays())
    with np.load(file, allow_pickle=False) as arrays:
        again = Alignment.from_arrays(arrays)
    places = landmarks(baseline)
    np.testing.assert_array_equal(again.to_follow_up(places), thicker_alignment.to_follow_up(places))
    np.testing.assert_array_equal(again.to_baseline(places), thicker_alignment.to_baseline(places))
    assert again.quality == thicker_alignment.quality


def test_arrays_that_are_no_alignment_are_refused(thicker_alignment):
    arrays = thicker_alignment.to_arrays()
    with pytest.raises(ValueError, match="needs the arrays matrix"):
        Alignment.from_arrays({name: a for name, a in arrays.items() if name != "matrix"})
    with pytest.raises(ValueError, match="do not fit"):
        Alignment.from_arrays({**arrays, "backward_mm": arrays["backward_mm"][1:]})


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        pytest.param(GOOD, "", id="good"),
        pytest.param(replace(GOOD, lung_overlap=0.85), "", id="overlap-at-the-limit"),
        pytest.param(replace(GOOD, lung_overlap=0.849), "lungs overlap by", id="overlap-below"),
        pytest.param(replace(GOOD, vessel_points=40), "", id="points-at-the-limit"),
        pytest.param(replace(GOOD, vessel_points=39), "only 39 distinct", id="points-below"),
        pytest.param(replace(GOOD, found_share=0.6), "", id="share-at-the-limit"),
        pytest.param(replace(GOOD, found_share=0.59), "only 59 %", id="share-below"),
        pytest.param(replace(GOOD, residual_mm=2.0), "", id="residual-at-the-limit"),
        pytest.param(replace(GOOD, residual_mm=2.1), "2.1 mm apart", id="residual-above"),
        pytest.param(replace(GOOD, found_share=0.0, residual_mm=None), "only 0 %", id="none-found"),
    ],
)
def test_each_fault_has_its_sentence(quality, words):
    assert words in quality.fault
    assert bool(quality.fault) == bool(words)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(1.0, 12.0))
def test_a_smooth_warp_can_be_undone(seed, size_mm):
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in (12, 10, 11)), indexing="ij")
    phases = rng.uniform(0, 2 * np.pi, (3, 3))
    waves = [np.sin(3 * x + a) * np.sin(3 * y + b) * np.sin(3 * z + c) for a, b, c in phases]
    warp = Warp(np.array([-5.0, 3.0, 80.0]), 10.0, (size_mm * np.stack(waves, axis=-1)).astype(np.float32))
    back = invert(warp)
    inside = warp.low_mm + 40.0 + 20.0 * rng.random((50, 3))
    there = inside + warp.at(inside)
    np.testing.assert_allclose(there + back.at(there), inside, atol=0.6)  # 10 mm between grid points


def blobs(shift_mm=(0.0, 0.0, 0.0)):
    """Return Gaussian blobs of 6 mm in soft grey, a volume and their centres."""
    shape, spacing = (40, 70, 60), (2.0, 1.0, 1.2)
    z, y, x = phantoms.centred_axes(shape, spacing)
    centres = np.array([(x0, y0, z0) for x0 in (-14, 0, 14) for y0 in (-14, 2, 14) for z0 in (-15, 0, 15)])
    hu = np.full(shape, -850.0)
    for x0, y0, z0 in centres + np.array(shift_mm):
        hu += 700 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2 + (z - z0) ** 2) / (2 * 2.5**2))
    corner = tuple(-(n - 1) / 2 * s for n, s in zip(shape, spacing, strict=True))[::-1]
    return phantoms.volume(hu, spacing, origin_mm=corner), centres


def test_offsets_of_blobs_are_found_to_a_fifth_of_a_step():
    shift_mm = (2.1, -1.4, 0.8)
    one, centres = blobs()
    raster = Raster((-30.0, -32.0, -36.0), 1.5, (49, 44, 41))
    image, other = sample(one, raster), sample(blobs(shift_mm)[0], raster)
    places = find_distinct(image, np.full(raster.shape, 50.0, np.float32), raster)
    off_mm = np.linalg.norm(raster.points_mm(places)[:, None] - centres[None], axis=2).min(axis=1)
    assert len(places) >= 10
    assert off_mm.max() < 2.5
    found = find_again(image, other, places, raster)
    assert found.is_found.all()
    np.testing.assert_allclose(found.offset_mm, np.tile(shift_mm, (len(places), 1)), atol=0.3)


def test_a_place_that_is_gone_is_not_found():
    raster = Raster((-30.0, -32.0, -36.0), 1.5, (49, 44, 41))
    image = sample(blobs()[0], raster)
    places = find_distinct(image, np.full(raster.shape, 50.0, np.float32), raster)
    noise = np.random.default_rng(1).normal(-850, 20, raster.shape).astype(np.float32)
    assert find_again(image, noise, places, raster).is_found.mean() < 0.2
