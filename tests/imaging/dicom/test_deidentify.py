"""Nothing that tells who a scan is of leaves the hospital, and what has to be measured does."""

import datetime as dt
import shutil
import stat
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, SecondaryCaptureImageStorage

from imaging.dicom import choose_series, find_studies, read_volume
from imaging.dicom.deidentify import deidentify
from imaging.dicom.relink import RelinkError, open_key
from tests.imaging.dicom.making import STUDY, chest, edit, export, setting

SECRET = "Zqxjkv"  # in no vocabulary, in no number
TEXT_VRS = {"AE", "AS", "CS", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"}
NEEDED = {"TransferSyntaxUID", "SOPClassUID", "ImageType", "Modality", "PhotometricInterpretation"}


def text_attributes():
    """Return every attribute of the dictionary that holds text, but those without which it is no CT."""
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if vr in TEXT_VRS and keyword and keyword not in NEEDED and tag >> 16 not in (0, 2, 4):
            yield tag, vr, keyword


def plant(image) -> None:
    """Put the secret wherever text can stand."""
    for tag, vr, keyword in text_attributes():
        if keyword in {"StudyInstanceUID", "SpecificCharacterSet", "RescaleType", "PatientID"}:
            continue
        image.add_new(tag, vr, SECRET)
    image.PatientID = SECRET + "-1"
    nested = Dataset()
    nested.PatientName = nested.PersonName = SECRET
    deeper = Dataset()
    deeper.OtherPatientNames = SECRET
    nested.ReferencedPatientSequence = [deeper]
    image.RequestAttributesSequence = [nested]
    # A sequence that is let through, with what is not inside.
    measures = Dataset()
    measures.PatientComments = SECRET
    measures.PixelSpacing = [1, 1]
    image.PixelMeasuresSequence = [measures]
    block = image.private_block(0x0029, SECRET, create=True)
    block.add_new(1, "LO", SECRET)
    block.add_new(2, "OB", SECRET.encode())
    image.add_new(0x60000022, "LO", SECRET)  # overlay description
    image.add_new(0x60003000, "OW", SECRET.encode())
    image.add_new(0x00291099, "UN", SECRET.encode())
    image.file_meta.SourceApplicationEntityTitle = SECRET
    image.file_meta.PrivateInformationCreatorUID = "1.2.3"
    image.file_meta.PrivateInformation = SECRET.encode()
    image.preamble = SECRET.encode().ljust(128, b"\0")
    image.BurnedInAnnotation = "NO"


@pytest.fixture
def planted(tmp_path) -> Path:
    """Return a study with the secret in some 2,000 places."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom: the secret is no code string
        paths = export(tmp_path / SECRET, chest(12))
        edit(paths, plant)
    for number, path in enumerate(paths):
        path.rename(path.with_name(f"{SECRET}{number}.dcm"))
    return tmp_path / SECRET


def test_a_secret_in_every_text_attribute_stays_behind(planted, tmp_path):
    assert next(planted.iterdir()).read_bytes().count(SECRET.encode()) > 1500
    result = deidentify([planted], tmp_path / "out", key_path=tmp_path / "key.json")
    assert len(result.written) == 12
    for path in (tmp_path / "out").rglob("*"):
        assert SECRET.lower() not in str(path.relative_to(tmp_path)).lower()
        if path.is_file():
            assert SECRET.lower().encode() not in path.read_bytes().lower()
    assert SECRET not in " ".join(result.refused)


def test_only_what_the_profile_names_leaves(planted, tmp_path):
    result = deidentify([planted], tmp_path / "out", key_path=tmp_path / "key.json")
    image = pydicom.dcmread(result.written[0])
    assert not any(element.tag.is_private for element in image)
    assert image.PatientIdentityRemoved == "YES"
    assert [code.CodeValue for code in image.DeidentificationMethodCodeSequence] == [
        "113100",
        "113105",
        "113107",
        "113108",
    ]


def test_the_volume_is_the_same(tmp_path):
    export(tmp_path / "in", chest(12))
    result = deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    assert result.refused == ()
    (study,) = find_studies([tmp_path / "out"]).studies
    volume = read_volume(choose_series(study).series)
    np.testing.assert_array_equal(volume.hu, chest(12).hu)
    assert volume.origin_mm == chest(12).origin_mm
    assert volume.kernel == "STANDARD"
    assert study.study.patient_id.startswith("MIPC-")
    assert study.study.uid != STUDY.uid


def test_bits_above_the_image_stay_behind(tmp_path):
    def overlay(image):
        image.PixelRepresentation = 0
        image.BitsStored, image.HighBit = 12, 11
        image.PixelData = (image.pixel_array.astype("<u2") & 0x0FFF | 0x4000).astype("<u2").tobytes()

    edit(export(tmp_path / "in", chest(12)), overlay)
    result = deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    assert pydicom.dcmread(result.written[0]).pixel_array.max() < 4096


def test_two_studies_of_a_patient_keep_their_distance_in_days(tmp_path):
    for number, day in enumerate(["20200102", "20200413"]):
        paths = export(tmp_path / "in" / str(number), chest(12))
        edit(paths, setting(StudyDate=day, StudyInstanceUID=f"1.2.{number}", SOPInstanceUID=f"1.3.{number}"))
    deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    days = sorted(
        dt.date.fromisoformat(study.study.study_date) for study in find_studies([tmp_path / "out"]).studies
    )
    assert days[1] - days[0] == dt.date(2020, 4, 13) - dt.date(2020, 1, 2)
    assert days[0] < dt.date(2020, 1, 2)


def test_a_second_run_gives_the_same_names_and_the_key_leads_back(tmp_path):
    export(tmp_path / "in", chest(12))
    key_path = tmp_path / "secret" / "key.json"
    first = deidentify([tmp_path / "in"], tmp_path / "one", key_path=key_path)
    second = deidentify([tmp_path / "in"], tmp_path / "two", key_path=key_path)
    assert [path.read_bytes() for path in first.written] == [path.read_bytes() for path in second.written]
    key = open_key(key_path)
    (study,) = find_studies([tmp_path / "one"]).studies
    assert key.patients[study.study.patient_id] == "P1"
    assert key.studies[study.study.uid] == STUDY.uid


def test_the_key_is_its_owners_only(tmp_path):
    export(tmp_path / "in", chest(12))
    key_path = tmp_path / "key.json"
    deidentify([tmp_path / "in"], tmp_path / "out", key_path=key_path)
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    key_path.chmod(0o644)
    with pytest.raises(RelinkError, match="can be read by others"):
        deidentify([tmp_path / "in"], tmp_path / "out", key_path=key_path)
    key_path.chmod(0o600)
    key_path.write_text("{}")
    with pytest.raises(RelinkError, match="is not a key file"):
        open_key(key_path)


def test_the_key_does_not_travel_with_the_images(tmp_path):
    with pytest.raises(ValueError, match="must not lie in the folder"):
        deidentify([tmp_path], tmp_path / "out", key_path=tmp_path / "out" / "key.json")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(setting(BurnedInAnnotation="YES"), "burned into its pixels", id="burned-in"),
        pytest.param(
            setting(ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"]), "may show names", id="screenshot"
        ),
        pytest.param(
            setting(SOPClassUID=SecondaryCaptureImageStorage), "is no CT image", id="secondary-capture"
        ),
        pytest.param(lambda image: image.__delattr__("PixelData"), "truncated", id="no-pixels"),
    ],
)
def test_what_may_show_a_name_is_refused_and_reported(tmp_path, change, sentence):
    paths = export(tmp_path / "in", chest(12))
    edit(paths[4], change)
    result = deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    assert len(result.written) == 11
    (refused,) = result.refused
    assert sentence in refused


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_fault_in_what_comes_out(tmp_path):
    export(tmp_path / "in", chest(12))
    result = deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    said = subprocess.run(["dciodvfy", result.written[0]], capture_output=True, text=True, check=False).stderr
    assert "Error" not in said, said


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PatientAge", "067Y", "067Y"),
        ("PatientAge", "093Y", "090Y"),
        ("PatientSex", "F", "F"),
        ("PatientWeight", "71.5", "71.5"),
        ("SeriesDescription", "CHEST thin 1.25 mm Dr. Meyer", "CHEST thin 1.25 mm"),
        ("ConvolutionKernel", "Br59d", "Br59d"),
        ("ConvolutionKernel", "Meyer", None),
        ("Manufacturer", "GE MEDICAL SYSTEMS", "GE MEDICAL SYSTEMS"),
        ("InstitutionName", "St. Elsewhere", None),
        ("AcquisitionTime", "101112", None),
    ],
)
def test_characteristics_stay_and_names_go(tmp_path, keyword, value, expected):
    edit(export(tmp_path / "in", chest(2)), setting(**{keyword: value}))
    result = deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    found = pydicom.dcmread(result.written[0]).get(keyword)
    assert found == expected or str(found) == expected


def test_enhanced_ct_keeps_its_geometry_only(tmp_path):
    from tests.imaging.dicom.test_multiframe import enhanced

    expected = enhanced(tmp_path / "in")
    path = tmp_path / "in" / "enhanced.dcm"

    def hide(image):
        image.PerFrameFunctionalGroupsSequence[0].FrameContentSequence[0].FrameComments = SECRET

    edit(path, hide)
    result = deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    (written,) = result.written
    assert SECRET.encode() not in written.read_bytes()
    assert pydicom.dcmread(written).SOPClassUID == EnhancedCTImageStorage
    (study,) = find_studies([tmp_path / "out"]).studies
    np.testing.assert_array_equal(read_volume(study.series[0]).hu, expected)
