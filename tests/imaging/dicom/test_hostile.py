"""What hospitals really send: each fault ends in its code, and the study beside it is read."""

import shutil

import numpy as np
import pydicom
import pytest

from imaging.dicom import choose_series, derive_uid, find_studies, read_volume
from records.errors import Reason, ScreeningError
from records.model import Study
from tests.imaging.dicom.making import chest, edit, export, setting
from tests.shared import CT, needs_ct

GOOD = Study(derive_uid("good"), "P2", "Roe^Richard", "2020-02-03", "CT chest")


def truncate(paths):
    for path in paths:
        path.write_bytes(path.read_bytes()[:3000])


def truncate_one(paths):
    paths[9].write_bytes(paths[9].read_bytes()[:-1])


def empty_one(paths):
    paths[9].write_bytes(b"")


def text_for_one(paths):
    paths[9].write_text("this was an image")


def structure_set(paths):
    for path in paths[1:]:
        path.unlink()

    def change(image):
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = pydicom.uid.RTStructureSetStorage
        image.Modality = "RTSTRUCT"
        del image.PixelData, image.Rows, image.Columns

    edit(paths[0], change)


def single_slice(paths):
    for path in paths[1:]:
        path.unlink()


def shuffle(paths):
    names = [path.with_name(f"{number}.bin") for number, path in enumerate(paths)]
    for place, path in zip(np.random.default_rng(3).permutation(len(paths)), paths, strict=True):
        path.rename(names[place])


def reverse(paths):
    for number, path in enumerate(reversed(paths)):
        edit(path, setting(InstanceNumber=len(paths) - number, SliceLocation=-5 * number))
        path.rename(path.with_name(f"{number:04d}.dcm"))


def delete_every_fifth(paths):
    for path in paths[4::5]:
        path.unlink()


def one_slice_twice(paths):
    shutil.copy(paths[7], paths[7].with_name("again.dcm"))


def one_slice_twice_by_another_name(paths):
    again = paths[7].with_name("again.dcm")
    shutil.copy(paths[7], again)
    edit(again, setting(SOPInstanceUID=derive_uid("again"), InstanceNumber=99))


def one_slice_of_another_matrix(paths):
    def crop(image):
        image.PixelData = np.ascontiguousarray(image.pixel_array[:, :44]).tobytes()
        image.Columns = 44

    edit(paths[11], crop)


def short_pixel_data(paths):
    edit(paths[6], lambda image: setattr(image, "PixelData", image.PixelData[:-400]))


def no_rescale(paths):
    edit(paths, setting(RescaleIntercept=None, RescaleSlope=None, RescaleType=None))


def two_patients(paths):
    edit(paths[12:], setting(PatientID="P1"))
    edit(paths[:12], setting(PatientID="P0"))


def two_scans(paths):
    for path in paths:
        again = path.with_name(f"again-{path.name}")
        shutil.copy(path, again)
        edit(again, setting(SOPInstanceUID=derive_uid("again", path.name)))


def no_rows(paths):
    edit(paths, setting(Rows=0))


def pixels_without_distance(paths):
    edit(paths, setting(PixelSpacing=None))


def pixels_of_no_size(paths):
    edit(paths, setting(PixelSpacing=[0, 0]))


def pixels_of_negative_size(paths):
    edit(paths, setting(PixelSpacing=[-6, -6]))


def tilted(paths):
    angle = np.radians(12)
    edit(
        paths, setting(ImageOrientationPatient=[1, 0, 0, 0, round(np.cos(angle), 8), round(np.sin(angle), 8)])
    )


FAULTS = [
    (truncate, Reason.UNREADABLE_PIXELS),
    (truncate_one, Reason.UNREADABLE_PIXELS),
    (empty_one, Reason.SLICES_MISSING),
    (text_for_one, Reason.SLICES_MISSING),
    (structure_set, Reason.NO_CT),
    (single_slice, Reason.TOO_FEW_SLICES),
    (delete_every_fifth, Reason.SLICES_MISSING),
    (one_slice_of_another_matrix, Reason.MIXED_GEOMETRY),
    (short_pixel_data, Reason.UNREADABLE_PIXELS),
    (no_rescale, Reason.NOT_HU),
    (tilted, Reason.GANTRY_TILT),
    (two_patients, Reason.UNREADABLE_PIXELS),
    (two_scans, Reason.MIXED_GEOMETRY),
    (no_rows, Reason.UNREADABLE_PIXELS),
    (pixels_without_distance, Reason.MIXED_GEOMETRY),
    (pixels_of_no_size, Reason.MIXED_GEOMETRY),
    (pixels_of_negative_size, Reason.MIXED_GEOMETRY),
]
HANDLED = [shuffle, reverse, one_slice_twice, one_slice_twice_by_another_name]


@pytest.mark.parametrize(("spoil", "reason"), FAULTS, ids=[spoil.__name__ for spoil, _ in FAULTS])
def test_a_fault_has_its_code_and_the_next_study_is_read(tmp_path, spoil, reason):
    spoil(export(tmp_path / "bad"))
    export(tmp_path / "good", chest(14), study=GOOD)
    outcomes = {}
    for study in find_studies([tmp_path]).studies:
        try:
            outcomes[study.study.patient_id] = read_volume(choose_series(study).series).hu.shape
        except ScreeningError as error:
            outcomes[study.study.patient_id] = error.reason
    assert outcomes == {"P1": reason, "P2": (14, 48, 48)}


@pytest.mark.parametrize("spoil", HANDLED)
def test_what_can_be_put_right_is(tmp_path, spoil):
    spoil(export(tmp_path))
    (study,) = find_studies([tmp_path]).studies
    volume = read_volume(choose_series(study).series)
    np.testing.assert_array_equal(volume.hu, chest().hu)
    assert bool(volume.notes) == ("twice" in spoil.__name__)


@needs_ct
def test_the_real_scans_are_what_their_readme_says():
    """Slices and spacing as shared/ct/README.md lists them."""
    intake = find_studies([CT])
    found = {}
    for study in intake.studies:
        choice = choose_series(study)
        series = choice.series.description
        found[study.study.patient_id[-6:]] = (series.slices, round(series.slice_spacing_mm, 2))
    assert found == {
        "I-0001": (133, 2.5),
        "I-0003": (140, 2.5),
        "I-0004": (241, 1.25),
        "I-0006": (133, 2.5),
        "000082": (255, 1.25),
    }
    assert intake.problems == ()


@needs_ct
@pytest.mark.parametrize("folder", ["lidc_0001", "ricord_000082"])
def test_simpleitk_reads_the_same_voxels_in_the_same_places(tmp_path, folder):
    """An independent reader of JPEG-LS, JPEG Lossless, geometry and rescale: every third slice of it."""
    import SimpleITK as sitk  # noqa: N813

    paths = sorted(path for path in (CT / folder).iterdir() if path.suffix == ".dcm")
    for path in paths[::3]:
        (tmp_path / path.name).symlink_to(path)
    (study,) = find_studies([tmp_path]).studies
    volume = read_volume(study.series[0])
    for plane in (0, 7, len(volume.hu) - 1):
        frame = next(
            frame
            for frame in study.series[0].frames
            if frame.sop_instance_uid == volume.sop_instance_uids[plane]
        )
        image = sitk.ReadImage(frame.source.path)
        np.testing.assert_array_equal(volume.hu[plane], np.maximum(sitk.GetArrayFromImage(image)[0], -1024))
        place = image.TransformIndexToPhysicalPoint((100, 200, 0))
        ours = np.array(volume.origin_mm) + np.array([plane, 200, 100]) * volume.spacing_mm @ volume.axes
        np.testing.assert_allclose(ours, place, atol=0.01)


@needs_ct
def test_a_real_scan_with_every_fifth_slice_deleted(tmp_path):
    paths = sorted((CT / "lidc_0004").glob("*.dcm"))
    for number, path in enumerate(paths):
        if number % 5 != 4:
            (tmp_path / path.name).symlink_to(path)
    (study,) = find_studies([tmp_path]).studies
    with pytest.raises(ScreeningError) as caught:
        choose_series(study)
    assert caught.value.reason is Reason.SLICES_MISSING
    assert "slices missing: 48 of 241" in caught.value.sentence


@needs_ct
def test_the_upper_half_of_a_real_scan_is_read(tmp_path):
    # Whether the lungs are whole is for the lungs to say, not for the headers.
    paths = sorted((CT / "lidc_0004").glob("*.dcm"))
    for path in paths:
        if pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2] > -175:
            (tmp_path / path.name).symlink_to(path)
    (study,) = find_studies([tmp_path]).studies
    assert choose_series(study).series.description.slices == 120
