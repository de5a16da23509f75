"""Written series are valid CT Image Storage, and the same input gives the same bytes."""

import re
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from imaging.dicom import derive_uid
from imaging.dicom.uids import is_uid
from imaging.dicom.write import write_series
from records.model import Study, Volume

STUDY = Study(derive_uid("written"), "P1", "Röntgen^Wilhelm", "2020-01-02", "CT chest")
HEADFIRST_SUPINE = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])


def volume(planes: int = 4) -> Volume:
    hu = np.random.default_rng(7).integers(-1024, 3000, (planes, 48, 40), dtype=np.int16)
    return Volume(
        hu, (-7.0, -8.4, -120.5), HEADFIRST_SUPINE, (1.25, 0.7, 0.7), 1.25, "STANDARD", "", "", ("",) * planes
    )


@pytest.mark.parametrize(
    "transfer_syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ],
)
def test_pydicom_reads_back_the_hounsfield_units(tmp_path, transfer_syntax):
    paths = write_series(
        volume(),
        tmp_path,
        study=STUDY,
        series_number=3,
        description="thin",
        transfer_syntax=transfer_syntax,
    )
    for path, expected in zip(paths, volume().hu, strict=True):
        image = pydicom.dcmread(path)
        assert image.file_meta.TransferSyntaxUID == transfer_syntax
        np.testing.assert_array_equal(pydicom.pixels.apply_rescale(image.pixel_array, image), expected)


def test_the_same_input_gives_the_same_bytes(tmp_path):
    first, second = (
        write_series(volume(), tmp_path / name, study=STUDY, series_number=1, description="thin")
        for name in ("a", "b")
    )
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_planes_climb_and_instance_numbers_descend(tmp_path):
    paths = write_series(volume(), tmp_path, study=STUDY, series_number=1, description="thin")
    images = [pydicom.dcmread(path) for path in paths]
    assert [image.ImagePositionPatient[2] for image in images] == [-120.5, -119.25, -118.0, -116.75]
    assert [image.InstanceNumber for image in images] == [4, 3, 2, 1]
    assert len({image.SOPInstanceUID for image in images}) == 4


def test_a_synthetic_image_says_so_and_a_copy_does_not(tmp_path):
    made, copied = (
        pydicom.dcmread(
            write_series(
                volume(1), tmp_path, study=STUDY, series_number=n, description="x", synthetic=synthetic
            )[0]
        )
        for n, synthetic in ((1, True), (2, False))
    )
    assert "Synthetic" in made.ImageComments
    assert made.ContentQualification == "RESEARCH"
    assert "ImageComments" not in copied


def test_a_value_that_does_not_fit_is_refused(tmp_path):
    bright = volume(1)
    bright.hu[0, 0, 0] = 32_000
    with pytest.raises(ValueError, match="31743 HU, got 32000"):
        write_series(bright, tmp_path, study=STUDY, series_number=1, description="x")


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize("transfer_syntax", [ExplicitVRLittleEndian, JPEGLSLossless])
def test_dciodvfy_finds_no_fault(tmp_path, transfer_syntax):
    paths = write_series(
        volume(1),
        tmp_path,
        study=STUDY,
        series_number=1,
        description="x",
        mas=80,
        transfer_syntax=transfer_syntax,
    )
    said = subprocess.run(["dciodvfy", paths[0]], capture_output=True, text=True, check=False).stderr
    assert said.split() == ["CTImage"], said


def test_derived_uids_are_valid_and_depend_on_every_seed():
    uids = {derive_uid(*seeds) for seeds in [("a",), ("a", "b"), ("b", "a"), ("a", "b", "c")]}
    assert len(uids) == 4
    assert all(is_uid(uid) and re.fullmatch(r"2\.25\.(0|[1-9][0-9]*)", uid) for uid in uids)


@pytest.mark.parametrize("text", ["", "..", "1..2", "../../x", "1.2/3", "1.2\n", "1." + "2" * 63, "١.2"])
def test_what_could_leave_a_folder_is_no_uid(text):
    assert not is_uid(text)
