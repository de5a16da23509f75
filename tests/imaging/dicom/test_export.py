"""What is exported refers to its images, says what was found, and is the same when made again."""

import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from highdicom.seg import segread
from highdicom.sr import srread
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from imaging.dicom.capture import mark
from imaging.dicom.codes import DIAMETER, MM
from imaging.dicom.content import number
from imaging.dicom.evidence import EvidenceError, gather_evidence
from imaging.dicom.export import export_results
from imaging.dicom.segmentation import draw_balls
from imaging.dicom.stack import build_stack
from imaging.pictures import Plane
from records.errors import Reason
from records.model import Verdict, VerdictLabel
from tests.imaging.dicom.making import UPRIGHT, chest, edit, export, setting
from tests.imaging.dicom.results import NODULES, screened
from tests.imaging.dicom.test_multiframe import enhanced
from tests.records import examples


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    screening, study, volume, pictures = screened(folder / "in")
    exported = export_results(screening, study, pictures, folder / "dicom")
    return {path.name: path for path in exported.paths}, screening, study, volume, pictures


def test_every_object_belongs_to_the_patient_and_the_study(results):
    files, _, study, _, _ = results
    assert list(files) == [
        "report.dcm",
        "segmentation.dcm",
        "marked_mip_axial.dcm",
        "marked_mip_coronal.dcm",
        "marked_mip_sagittal.dcm",
    ]
    objects = [pydicom.dcmread(path) for path in files.values()]
    assert {one.StudyInstanceUID for one in objects} == {study.study.uid}
    assert {str(one.PatientID) for one in objects} == {"P1"}
    assert {str(one.PatientName) for one in objects} == {"Doe^Jane"}
    assert len({one.SOPInstanceUID for one in objects}) == len(objects)
    assert len({one.SeriesInstanceUID for one in objects}) == 3
    assert all("0.1.0" in one.SoftwareVersions and "default" in one.ProtocolName for one in objects)


def test_the_report_refers_to_every_image_that_was_read(results):
    files, _, _, volume, _ = results
    (of_study,) = pydicom.dcmread(files["report.dcm"]).CurrentRequestedProcedureEvidenceSequence
    (of_series,) = of_study.ReferencedSeriesSequence
    said = {item.ReferencedSOPInstanceUID for item in of_series.ReferencedSOPSequence}
    assert said == set(volume.sop_instance_uids)


def test_highdicom_reads_each_nodule_on_its_slice_at_its_place(results):
    files, screening, _, volume, _ = results
    groups = srread(files["report.dcm"]).content.get_planar_roi_measurement_groups()
    assert len(groups) == len(NODULES)  # the candidate below the operating point is not among them
    for group, nodule, ((plane, row, column), diameter_mm) in zip(
        groups, screening.nodules, NODULES, strict=False
    ):
        centre, rim = group.roi.value
        np.testing.assert_allclose(centre, [column + 0.5, row + 0.5], atol=1e-4)
        assert np.hypot(*(rim - centre)) * 0.8 * 2 == pytest.approx(diameter_mm, abs=1e-4)
        image = group.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        assert image in {volume.sop_instance_uids[int(plane)], volume.sop_instance_uids[-int(-plane // 1)]}
        values = {one.name.meaning: one.value for one in group.get_measurements()}
        assert values["Diameter"] == diameter_mm
        assert values["Volume"] == pytest.approx(nodule.volume_mm3, abs=1e-4)
        assert values["Certainty of Finding"] == 93
        assert group.tracking_identifier == f"MIPC nodule {nodule.nodule_id}"


def test_criteria_and_verdict_are_coded(results):
    files, *_ = results
    (group,) = srread(files["report.dcm"]).content.get_image_measurement_groups()
    said = {one.name.meaning: one.value.meaning for one in group.get_qualitative_evaluations()}
    assert said == {
        "Miliary pattern": "Present",
        "Profusion": "Present",
        "Most nodules 5 mm or less": "Present",
        "Unilateral": "Absent",
        "Septal line(s)": "Indeterminate",
    }
    values = [(one.name.meaning, one.value) for one in group.get_measurements()]
    assert ("Number of lesions", 332) in values
    assert [value for name, value in values if name == "Profusion"] == [332, 270, 410]


@pytest.mark.parametrize("day", ["00000000", "20230231"])
def test_results_of_a_study_of_an_impossible_day_have_none(tmp_path, day):
    export(tmp_path / "in", chest(24, spacing_mm=(1.25, 0.8, 0.8)))
    for path in (tmp_path / "in").iterdir():
        edit(path, setting(StudyTime="235960", PatientBirthDate="19500229"))
        path.write_bytes(path.read_bytes().replace(b"20200102", day.encode()))
    screening, study, _, pictures = screened(tmp_path / "in", writes=False)
    paths = export_results(screening, study, pictures, tmp_path / "dicom").paths
    assert len(paths) == 5
    for one in map(pydicom.dcmread, paths):
        assert not one.StudyDate
        assert not one.StudyTime
        assert not one.PatientBirthDate


def test_a_reason_is_in_the_report_of_a_study_without_a_plain_verdict(tmp_path):
    verdict = Verdict(VerdictLabel.NOT_EVALUABLE, None, (), (), Reason.LUNGS_NOT_FOUND, "No lungs.")
    screening, study, *_ = screened(tmp_path / "in", nodules=(), verdict=verdict, pattern=None)
    (path,) = export_results(screening, study, None, tmp_path / "dicom").paths
    (group,) = srread(path).content.get_image_measurement_groups()
    said = {one.name.meaning: one.value.meaning for one in group.get_qualitative_evaluations()}
    assert said == {"Miliary pattern": "Not evaluated", "Reason for no plain verdict": "Lungs not found"}
    (count,) = group.get_measurements()
    assert (count.name.meaning, count.value) == ("Number of images", 24)


def test_the_count_refers_to_a_slice_where_nodules_are(tmp_path):
    """The slice with most centres on it, or all of the middle slice if nothing was found."""

    def source(path):
        verdict = pydicom.dcmread(path).ContentSequence[-1].ContentSequence[0]
        (count,) = [
            item
            for item in verdict.ContentSequence
            if item.ConceptNameCodeSequence[0].CodeMeaning == "Number of lesions"
        ]
        region = count.ContentSequence[0]
        return (
            region.GraphicType,
            list(region.GraphicData),
            region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID,
        )

    places = (((5.0, 20.0, 30.0), 4.0), ((9.2, 9.0, 10.0), 4.0), ((8.8, 12.5, 11.0), 4.0))
    several, study, volume, _ = screened(tmp_path / "in", nodules=places)
    path = export_results(several, study, None, tmp_path / "several").paths[0]
    assert source(path) == ("MULTIPOINT", [10.5, 9.5, 11.5, 13.0], volume.sop_instance_uids[9])
    none = replace(several, nodules=())
    path = export_results(none, study, None, tmp_path / "none").paths[0]
    kind, points, image = source(path)
    assert (kind, points[4:6], image) == ("POLYLINE", [48, 48], volume.sop_instance_uids[12])


def test_the_segmentation_holds_the_balls_and_only_their_slices(results):
    files, screening, study, volume, _ = results
    segmentation = segread(files["segmentation.dcm"])
    mask = segmentation.get_pixels_by_source_instance(
        list(volume.sop_instance_uids), segment_numbers=[1], ignore_spatial_locations=False,
        assert_missing_frames_are_empty=True,
    )[..., 0]  # fmt: skip
    expected = draw_balls(build_stack(study.series[0].frames), volume.hu.shape, screening.nodules[:-1])
    np.testing.assert_array_equal(mask, expected)
    assert segmentation.NumberOfFrames == np.count_nonzero(expected.any(axis=(1, 2)))


@pytest.mark.parametrize("diameter_mm", [6.0, 9.0])
def test_a_ball_has_the_volume_of_a_ball(tmp_path, diameter_mm):
    screening, study, volume, _ = screened(tmp_path, nodules=(((11.3, 20.2, 24.7), diameter_mm),))
    mask = draw_balls(build_stack(study.series[0].frames), volume.hu.shape, screening.nodules[:1])
    # Counting voxels of 0.8 x 0.8 x 1.25 mm errs by a few per cent at this size.
    assert mask.sum() * 0.8 * 0.8 * 1.25 == pytest.approx(np.pi / 6 * diameter_mm**3, rel=0.05)


def test_a_nodule_smaller_than_a_voxel_has_one(tmp_path):
    screening, study, volume, _ = screened(tmp_path, nodules=(((11.4, 20.4, 24.4), 0.3),))
    mask = draw_balls(build_stack(study.series[0].frames), volume.hu.shape, screening.nodules[:1])
    assert np.argwhere(mask).tolist() == [[11, 20, 24]]


def test_marks_are_round_the_nodules_and_leave_them_free(results):
    files, screening, _, _, pictures = results
    slab = pictures.slabs[pictures.first_looks[0]]
    shown = [nodule for nodule in screening.nodules if nodule.reported and slab.shows(nodule)]
    assert shown
    plain = np.asarray(Image.open(io.BytesIO(slab.jpeg)).convert("RGB")).astype(int)
    changed = np.abs(mark(slab, shown) - plain).max(axis=2) > 40
    for nodule in shown:
        column, row, _ = slab.locate(nodule.centre_mm)
        rows, columns = np.nonzero(changed)
        away_mm = np.hypot(rows - row, columns - column) * slab.pixel_mm
        ring_mm = nodule.diameter_mm.value / 2 + 2.0
        assert np.any(np.abs(away_mm - ring_mm) < 1.0)
        assert not np.any(away_mm < nodule.diameter_mm.value / 2)
    capture = pydicom.dcmread(files["marked_mip_axial.dcm"])
    np.testing.assert_array_equal(
        capture.pixel_array, mark(slab, [n for n in screening.nodules if n.reported])
    )


def test_a_capture_refers_to_the_images_of_its_slab(results):
    files, _, _, volume, pictures = results
    slab = pictures.slabs[pictures.first_looks[0]]
    heights = volume.origin_mm[2] + 1.25 * np.arange(24)
    inside = np.abs(heights - slab.centre_mm[2]) <= slab.thickness_mm / 2
    said = [
        item.ReferencedSOPInstanceUID
        for item in pydicom.dcmread(files["marked_mip_axial.dcm"]).SourceImageSequence
    ]
    assert said == [uid for uid, is_in in zip(volume.sop_instance_uids, inside, strict=True) if is_in]
    for plane, towards in (
        (Plane.AXIAL, ["L", "P"]),
        (Plane.CORONAL, ["L", "F"]),
        (Plane.SAGITTAL, ["P", "F"]),
    ):
        assert pydicom.dcmread(files[f"marked_mip_{plane}.dcm"]).PatientOrientation == towards


def test_the_same_result_has_the_same_identifiers_and_is_not_written_again(results, tmp_path):
    files, screening, study, _, pictures = results
    first = export_results(screening, study, pictures, tmp_path)
    assert [pydicom.dcmread(path).SOPInstanceUID for path in first.paths] == [
        pydicom.dcmread(path).SOPInstanceUID for path in files.values()
    ]
    before = {path: path.stat().st_mtime_ns for path in first.paths}
    again = export_results(replace(screening, seconds=99.0), study, pictures, tmp_path)
    assert sorted(again.paths) == sorted(first.paths)
    assert {path: path.stat().st_mtime_ns for path in again.paths} == before


def test_another_result_has_others_and_leaves_nothing_of_the_old(results, tmp_path):
    _, screening, study, _, pictures = results
    first = {
        path.name: pydicom.dcmread(path).SOPInstanceUID
        for path in export_results(screening, study, pictures, tmp_path).paths
    }
    fewer = replace(screening, nodules=screening.nodules[-1:])
    exported = export_results(fewer, study, pictures, tmp_path)
    assert set(exported.paths) == set((tmp_path / study.study.uid).iterdir())
    assert "segmentation.dcm" not in {path.name for path in exported.paths}
    second = {path.name: pydicom.dcmread(path).SOPInstanceUID for path in exported.paths}
    assert not set(first.values()) & set(second.values())


def test_a_study_without_a_readable_series_has_none_and_says_why(tmp_path):
    _, study, *_ = screened(tmp_path / "in")
    exported = export_results(examples.not_evaluable_screening(), study, None, tmp_path / "dicom")
    assert exported.paths == ()
    assert "no series of the study could be screened" in exported.why_none


@pytest.mark.parametrize(
    "spacing_mm", [pytest.param((2.5, 0.7, 0.9), id="tall"), pytest.param((2.5, 0.9, 0.7), id="wide")]
)
def test_pixels_that_are_not_square_give_an_ellipse_of_the_same_length(tmp_path, spacing_mm):
    volume = chest(24, spacing_mm=spacing_mm)
    screening, study, *_ = screened(tmp_path / "in", volume=volume, nodules=NODULES[:1])
    exported = export_results(screening, study, None, tmp_path / "dicom")
    (group,) = srread(exported.paths[0]).content.get_planar_roi_measurement_groups()
    assert group.roi.graphic_type.name == "ELLIPSE"
    points_mm = group.roi.value * [spacing_mm[2], spacing_mm[1]]
    for start, end in (points_mm[:2], points_mm[2:]):
        assert np.hypot(*(end - start)) == pytest.approx(4.0, abs=1e-4)
    long, short = (np.hypot(*(end - start)) for start, end in (group.roi.value[:2], group.roi.value[2:]))
    assert long > short


def test_an_oblique_stack_comes_back_where_it_was(tmp_path):
    turn = np.radians(20)
    tilted = UPRIGHT @ [[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    volume = chest(24, spacing_mm=(1.25, 0.8, 0.8), axes=tilted)
    screening, study, _, pictures = screened(tmp_path / "in", volume=volume, nodules=NODULES[:2])
    exported = export_results(screening, study, pictures, tmp_path / "dicom")
    groups = srread(exported.paths[0]).content.get_planar_roi_measurement_groups()
    np.testing.assert_allclose(groups[0].roi.value[0], [30.5, 20.5], atol=1e-3)
    direction = segread(exported.paths[1]).get_volume().direction  # its columns run along the array axes
    np.testing.assert_allclose(direction[:, 1:], tilted[1:].T, atol=1e-6)
    np.testing.assert_allclose(np.abs(direction[:, 0] @ tilted[0]), 1, atol=1e-6)
    towards = [list(pydicom.dcmread(path).PatientOrientation) for path in exported.paths[2:]]
    assert towards == [
        ["L", "PF"],
        ["L", "FA"],
        ["PF", "FA"],
    ]  # the lesser direction of 20 degrees comes second


def test_a_multi_frame_file_is_referred_to_frame_by_frame(tmp_path):
    order = [5, 3, 8, 0, 11, 1, 2, 10, 4, 9, 7, 6]
    (tmp_path / "in").mkdir()
    enhanced(tmp_path / "in", order=order)
    nodules = (((2.0, 20.0, 30.0), 14.0), ((9.2, 30.0, 12.0), 13.0))
    screening, study, volume, _ = screened(tmp_path / "in", writes=False, nodules=nodules)
    report, segmentation = export_results(screening, study, None, tmp_path / "dicom").paths
    groups = srread(report).content.get_planar_roi_measurement_groups()
    said = [group.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber for group in groups]
    assert said == [order.index(2) + 1, order.index(9) + 1]
    expected = draw_balls(build_stack(study.series[0].frames), volume.hu.shape, screening.nodules[:-1])
    numbers = [order.index(plane) + 1 for plane in range(12)]
    mask = segread(segmentation).get_pixels_by_source_frame(
        volume.sop_instance_uids[0], numbers, assert_missing_frames_are_empty=True
    )[..., 0]
    np.testing.assert_array_equal(mask, expected)


def test_a_capture_of_a_multi_frame_file_names_the_frames_of_its_slab(tmp_path):
    (tmp_path / "in").mkdir()
    enhanced(tmp_path / "in", order=range(11, -1, -1))
    screening, study, volume, pictures = screened(
        tmp_path / "in", writes=False, nodules=(((2.0, 20.0, 30.0), 14.0),)
    )
    exported = export_results(screening, study, pictures, tmp_path / "dicom")
    (item,) = pydicom.dcmread(exported.paths[2]).SourceImageSequence
    slab = pictures.slabs[pictures.first_looks[0]]
    heights = volume.origin_mm[2] + volume.spacing_mm[0] * np.arange(12)
    planes = np.flatnonzero(np.abs(heights - slab.centre_mm[2]) <= slab.thickness_mm / 2)
    assert len(planes) < 12
    assert list(item.ReferencedFrameNumber) == sorted((12 - planes).tolist())


def test_deflated_images_have_results_too(tmp_path):
    volume = chest(24, spacing_mm=(1.25, 0.8, 0.8))
    export(tmp_path / "in", volume, transfer_syntax=DeflatedExplicitVRLittleEndian)
    screening, study, _, pictures = screened(tmp_path / "in", writes=False)
    exported = export_results(screening, study, pictures, tmp_path / "dicom")
    assert str(pydicom.dcmread(exported.paths[0]).PatientName) == "Doe^Jane"


def test_values_no_archive_would_take_are_left_out(tmp_path):
    hostile = {"PatientSex": "X", "PatientBirthDate": "unknown", "StudyTime": "noon", "StudyID": "x" * 40}
    _, study, *_ = screened(tmp_path / "in")
    with pytest.warns(UserWarning, match="Invalid|exceeds"):
        edit(sorted((tmp_path / "in").iterdir()), setting(**hostile))
    header = gather_evidence(study.series[0]).headers[0]
    assert [header[keyword].value for keyword in hostile] == ["", "", "", ""]


def test_images_with_irregular_identifiers_cannot_be_referred_to(tmp_path):
    _, study, *_ = screened(tmp_path / "in")
    irregular = replace(study.series[0], study_uid="2.25.1")  # what intake puts in place of one that is none
    with pytest.raises(EvidenceError, match="break the rules of DICOM"):
        gather_evidence(irregular)


@pytest.mark.parametrize(
    ("value", "decimal"),
    [
        (4.0, "4"),
        (0.12345678, "0.1235"),
        (-850.25, "-850.25"),
        (1e12, "1e+12"),
        (123456789.12, "123456789.12"),
    ],
)
def test_decimal_strings_fit_their_16_characters(value, decimal):
    item = number("CONTAINS", DIAMETER, value, MM)
    dataset = pydicom.dcmread(io.BytesIO(item), force=True)
    (measured,) = dataset.MeasuredValueSequence
    assert str(measured.NumericValue) == decimal
    assert len(decimal) <= 16
