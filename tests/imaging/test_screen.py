"""The whole pipeline on real and synthetic chests, with the answers that a person would give."""

import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from imaging import dicom
from imaging.classifier import load_model
from imaging.insertion import InsertedNodule, ScannerBlur, draw_sites, insert_nodules
from imaging.lungs import RIGHT, segment_lungs
from imaging.protocol import load_protocol
from imaging.resolution import voxel_noise_hu
from imaging.screen import Screened, find_nodules, screen_study, slice_mm
from imaging.verdict import judge
from records.errors import Reason
from records.model import Side, VerdictLabel
from tests.shared import CT, SAMPLES, needs_ct

PROTOCOL = load_protocol()
REAL = ["lidc_0001", "lidc_0003", "lidc_0004", "lidc_0006", "ricord_000082"]


def study_in(folder) -> dicom.StudyFiles:
    (study,) = dicom.find_studies([folder]).studies
    return study


@cache
def screened(folder) -> Screened:
    """Screen a study once, however many tests ask for it."""
    return screen_study(study_in(folder), PROTOCOL)


@needs_ct
@pytest.mark.parametrize("name", REAL)
def test_real_lungs_without_miliary_disease_are_negative(name):
    screening = screened(CT / name).screening
    assert screening.verdict.label is VerdictLabel.NOT_MIPC, screening.verdict.sentence


@needs_ct
def test_the_upper_half_of_a_scan_is_not_evaluable(tmp_path):
    frames = [frame for series in study_in(CT / "lidc_0004").series for frame in series.frames]
    frames.sort(key=lambda frame: frame.position_mm[2])
    for frame in frames[len(frames) // 2 :]:
        shutil.copy(frame.source.path, tmp_path)
    screening = screen_study(study_in(tmp_path), PROTOCOL).screening
    assert screening.verdict.label is VerdictLabel.NOT_EVALUABLE
    assert screening.verdict.reason is Reason.LUNGS_INCOMPLETE


LARGE_MM = [6.0, 7.0, 8.0, 9.0, 9.5, 10.0, 10.5, 11.0, 12.0, 14.0, 17.0, 20.0, 25.0]


def test_balls_of_every_size_are_told_and_sized_as_machined_spheres_of_a_phantom_are():
    volume = dicom.read_volume(dicom.choose_series(study_in(SAMPLES / "few")).series)
    lungs = segment_lungs(volume)
    index = np.argwhere(lungs.labels > 0)
    inner = np.zeros(volume.hu.shape, bool)
    inner[tuple(index[lungs.sample(lungs.depth_mm, index.astype(float)) > 14].T)] = True
    rng = np.random.default_rng(5)
    sites = draw_sites(volume, inner, len(LARGE_MM), apart_mm=32.0, rng=rng)
    balls = [
        InsertedNodule((x, y, z), d, 30.0) for (x, y, z), d in zip(sites.tolist(), LARGE_MM, strict=True)
    ]
    blur = ScannerBlur(0.55, slice_mm(volume))
    hu = insert_nodules(volume, balls, blur, noise_hu=14.0, rng=rng)
    found = [n for n in find_nodules(replace(volume, hu=hu), load_model()).nodules if n.reported]
    places = np.array([n.centre_mm for n in found])
    for ball in balls:
        away_mm = np.linalg.norm(places - np.array(ball.centre_mm), axis=1)
        (nearest,) = [n for n, away in zip(found, away_mm, strict=True) if away < ball.diameter_mm / 2]
        assert nearest.diameter_mm.value == pytest.approx(ball.diameter_mm, abs=0.5, rel=0.04)


@needs_ct
@pytest.mark.parametrize("name", ["lidc_0001", "lidc_0004", "ricord_000082"])
def test_400_micronodules_make_it_miliary_in_both_lungs_and_not_in_one(name):
    volume = dicom.read_volume(dicom.choose_series(study_in(CT / name)).series)
    labels = segment_lungs(volume).labels
    noise_hu = voxel_noise_hu(volume.hu[::8])
    answers = {}
    for where, inside in (("both", labels > 0), ("right", labels == RIGHT)):
        rng = np.random.default_rng(11)
        sites = draw_sites(volume, inside, 400, apart_mm=5.0, rng=rng)
        nodules = [
            InsertedNodule((x, y, z), rng.uniform(1.5, 5.0), rng.uniform(-150, 60))
            for x, y, z in sites.tolist()
        ]
        blur = ScannerBlur(0.55, slice_mm(volume))
        hu = insert_nodules(volume, nodules, blur, noise_hu=noise_hu, rng=rng)
        found = find_nodules(replace(volume, hu=hu), load_model())
        answers[where] = judge(found.pattern, PROTOCOL, slice_mm(volume)).label
        if where == "right":
            sides = [n.side for n in found.nodules if n.reported]
            assert sides.count(Side.RIGHT) > 5 * sides.count(Side.LEFT)
    assert answers["both"] is VerdictLabel.MIPC
    assert answers["right"] is VerdictLabel.NOT_MIPC


SAMPLE_ANSWERS = [
    pytest.param("miliary", VerdictLabel.MIPC, id="miliary"),
    pytest.param("miliary_treated", VerdictLabel.NOT_MIPC, id="after-treatment"),
    pytest.param("normal", VerdictLabel.NOT_MIPC, id="normal"),
    pytest.param("few", VerdictLabel.NOT_MIPC, id="few"),
    pytest.param("one_sided", VerdictLabel.NOT_MIPC, id="one-sided"),
    pytest.param("several_series", VerdictLabel.NOT_MIPC, id="several-series"),
]


@pytest.mark.parametrize(("folder", "label"), SAMPLE_ANSWERS)
def test_the_samples_have_their_answers(folder, label):
    screening = screened(SAMPLES / folder).screening
    assert screening.verdict.label is label, screening.verdict.sentence


def test_the_thin_series_is_read_and_the_others_are_explained():
    screening = screened(SAMPLES / "several_series").screening
    assert screening.series is not None
    assert screening.series.slice_spacing_mm == pytest.approx(2.5)
    assert len(screening.choice.splitlines()) == 3


def shown_in_a_circle(folder, to, radius_mm) -> None:
    """Write a study's series again as a series of its own, reconstructed in a smaller circle."""
    uid = generate_uid()
    for path in sorted(folder.glob("*.dcm")):
        data = dcmread(path)
        data.decompress()
        rows, columns = np.indices((data.Rows, data.Columns))
        spacing_mm = [float(step) for step in data.PixelSpacing]
        away_mm = np.hypot(
            (rows - data.Rows / 2) * spacing_mm[0], (columns - data.Columns / 2) * spacing_mm[1]
        )
        pixels = data.pixel_array.copy()
        pixels[..., away_mm > radius_mm] = pixels.min()
        data.PixelData = pixels.tobytes()
        data.SeriesInstanceUID, data.SOPInstanceUID, data.SeriesNumber = uid, generate_uid(), 1
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.save_as(to / f"again-{path.name}")


def test_lungs_that_the_field_of_view_cuts_a_little_are_judged_with_a_note(tmp_path):
    shown_in_a_circle(SAMPLES / "miliary", tmp_path, 118.0)
    screening = screen_study(study_in(tmp_path), PROTOCOL).screening
    assert screening.verdict.label is VerdictLabel.MIPC, screening.verdict.sentence
    assert "the sides of the field of view cut off some lung" in screening.choice


def test_the_next_best_series_is_taken_where_the_best_shows_too_little_lung(tmp_path):
    shown_in_a_circle(SAMPLES / "miliary", tmp_path, 90.0)
    alone = screen_study(study_in(tmp_path), PROTOCOL).screening
    assert alone.verdict.reason is Reason.LUNGS_INCOMPLETE
    assert "sides of the field of view" in alone.verdict.sentence
    for path in (SAMPLES / "miliary").glob("*.dcm"):
        shutil.copy(path, tmp_path)
    screening = screen_study(study_in(tmp_path), PROTOCOL).screening
    assert screening.verdict.label is VerdictLabel.MIPC
    assert "was better but could not be used: the lungs are cut off at the sides" in screening.choice


def test_a_result_names_what_made_it_and_where_each_nodule_is():
    screening, pictures = screened(SAMPLES / "few").screening, screened(SAMPLES / "few").pictures
    assert screening.provenance.protocol_sha256 == PROTOCOL.sha256
    assert screening.provenance.model_version == load_model().version
    assert pictures is not None
    images = {
        frame.sop_instance_uid for series in study_in(SAMPLES / "few").series for frame in series.frames
    }
    assert {nodule.sop_instance_uid for nodule in screening.nodules} <= images
    assert [n.nodule_id for n in screening.nodules] == list(range(1, len(screening.nodules) + 1))
