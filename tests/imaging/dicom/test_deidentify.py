"""Nothing that tells who a scan is of leaves the hospital, and what has to be measured does."""

import dataclasses
import datetime as dt
import shutil
import stat
import subprocess
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.config import disable_value_validation
from pydicom.datadict import DicomDictionary, RepeatersDictionary, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    SecondaryCaptureImageStorage,
)

from imaging.dicom import choose_series, derive_uid, find_studies, read_volume
from imaging.dicom.deidentify import deidentify
from imaging.dicom.profile import KEPT, UIDS
from imaging.dicom.relink import RelinkError, open_key
from records.errors import SeriesError
from tests.imaging.dicom.making import STUDY, chest, edit, export, setting

IMAGES = 2
SECRET = "Zqxjkv"  # in no vocabulary, in no number
SECRET_DAY, SECRET_TIME, SECRET_UID, SECRET_NUMBER = "19770707", "131719", "1.2.840.7391.5.1.7", "73915173"
SECRETS = (SECRET, SECRET_DAY, SECRET_TIME, SECRET_UID, SECRET_NUMBER)
TEXT_VRS = {"AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
BYTE_VRS = {"OB", "OW", "OF", "OD", "OL", "OV", "UN"}
# Without these it is no CT, or no file: what they say is checked by reading what comes out.
NEEDED = {
    *"TransferSyntaxUID SOPClassUID StudyInstanceUID SeriesInstanceUID SOPInstanceUID ImageType".split(),
    *"Modality PhotometricInterpretation SpecificCharacterSet RescaleType".split(),
    *(keyword for keyword, check in KEPT.items() if check is KEPT["Rows"]),
}
TABLE = Path(__file__).parents[2] / "reference" / "ps3_15_table_e1_1.txt"


def secret_for(vr):
    """Return what to plant where a value representation can carry it, None where it carries no text."""
    vr = vr[:2]  # "OB or OW"
    if vr in TEXT_VRS:
        return SECRET
    if vr in BYTE_VRS:
        return SECRET.encode().ljust(8)
    if vr == "SQ":
        return [secret_item()]
    others = {"DA": SECRET_DAY, "TM": SECRET_TIME, "DT": SECRET_DAY + SECRET_TIME, "UI": SECRET_UID}
    return (others | {"DS": SECRET_NUMBER, "IS": SECRET_NUMBER}).get(vr)


def secret_item():
    """Return a nested data set with the secret in it, and in what is nested in it."""
    item, deeper = Dataset(), Dataset()
    item.PatientName = item.PersonName = item.TextValue = item.CodeMeaning = SECRET
    item.StudyDate = SECRET_DAY
    item.private_block(0x0029, SECRET, create=True).add_new(1, "LO", SECRET)
    deeper.OtherPatientNames = deeper.UnformattedTextValue = SECRET
    item.ReferencedPatientSequence = item.ContentSequence = [deeper]
    return item


def places():
    """Yield tag and value representation of every attribute of the dictionary where something can stand.

    Groups 0 to 4 are the message, the file (below) and the media directory; 7FE0 holds the pixels.
    """
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if keyword not in NEEDED and 4 < tag >> 16 and tag >> 16 != 0x7FE0:
            yield tag, vr[:2]
    for mask, (vr, *_) in RepeatersDictionary.items():  # curves and overlays; also elements that repeat
        for digits in ("00", "1E"):
            tag = int(mask.replace("xxxx", "00" + digits).replace("xx", digits).replace("x", "0"), 16)
            if tag >> 16 != 0x7F00 and tag not in DicomDictionary:
                yield tag, vr[:2]


def plant(image) -> None:
    """Put the secret wherever it can stand."""
    for tag, vr in places():
        value = secret_for(vr)
        if value is not None:
            image.add_new(tag, vr, value)
    image.PatientID = SECRET + "-1"
    block = image.private_block(0x0029, SECRET, create=True)
    block.add_new(1, "LO", SECRET)
    block.add_new(2, "OB", SECRET.encode())
    block.add_new(3, "SQ", [secret_item()])
    image.add_new(0x00291099, "UN", SECRET.encode())
    image.file_meta.SourceApplicationEntityTitle = SECRET
    image.file_meta.PrivateInformationCreatorUID = SECRET_UID
    image.file_meta.PrivateInformation = SECRET.encode()
    image.file_meta.ImplementationVersionName = SECRET
    image.preamble = SECRET.encode().ljust(128, b"\0")
    image.BurnedInAnnotation = "NO"


def table_of_the_standard():
    """Return keyword to action of the basic profile."""
    actions = {}
    for line in TABLE.read_text().splitlines():
        action, *tags = line.split()
        if action != "#":
            actions |= {int(tag, 16): action for tag in tags}
    return actions


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    """Return a study with the secret in some 10,000 places an image."""
    folder = tmp_path_factory.mktemp("planted") / SECRET
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")  # pydicom: the secret is no code string
        paths = export(folder, chest(IMAGES))
        edit(paths, plant)
    for number, path in enumerate(paths):
        path.rename(path.with_name(f"{SECRET}{number}.dcm"))
    return folder


def test_a_secret_in_every_attribute_of_the_dictionary_stays_behind(planted, tmp_path):
    """Text, dates, times, UIDs, numbers, bytes, nested, private, overlays, curves, file meta, file names."""
    planted_bytes = next(planted.iterdir()).read_bytes()
    for secret, least in zip(SECRETS, (3000, 300, 100, 80, 300), strict=True):
        assert planted_bytes.count(secret.encode()) > least
    result = deidentify([planted], tmp_path / "out", key_path=tmp_path / "key.json")
    assert len(result.written) == IMAGES
    for path in (tmp_path / "out").rglob("*"):
        assert SECRET.lower() not in str(path.relative_to(tmp_path)).lower()
        if path.is_file():
            content = path.read_bytes().lower()
            assert [secret for secret in SECRETS if secret.lower().encode() in content] == []
    assert not any(secret in " ".join(result.refused + result.unsure) for secret in SECRETS)


@pytest.mark.parametrize(
    "named",
    [
        pytest.param({"RescaleType": "MGML"}, id="iodine-in-mg-ml"),
        pytest.param({"RescaleType": "Z_EFF"}, id="atomic-numbers"),
        pytest.param({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "MINIP"]}, id="minip"),
        pytest.param({"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 MIP"]}, id="mip-of-siemens"),
        pytest.param(
            {"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "MAT_REMOVED"]}, id="virtual-non-contrast"
        ),
        pytest.param({"SeriesDescription": "3D VRT Doe"}, id="rendering"),
        pytest.param({"SeriesDescription": "Doe, Lung PBV"}, id="map-of-blood"),
    ],
)
def test_what_is_not_screened_is_not_screened_without_its_name(tmp_path, named):
    """Rescale Type was left out, which says Hounsfield units, and so was what tells a picture from a scan."""
    edit(export(tmp_path / "in", chest(12)), setting(**named))
    deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    reasons = []
    for folder in ("in", "out"):
        [study] = find_studies([tmp_path / folder]).studies
        with pytest.raises(SeriesError) as refused:
            choose_series(study)
        reasons.append(refused.value.reason)
    assert reasons[0] is reasons[1]


# The options of table E.1-1 that we apply, and the attributes of the table that are therefore not removed.
RETAINED = {
    **dict.fromkeys("PatientSex PatientAge PatientSize PatientWeight".split(), "113108"),
    **dict.fromkeys("SmokingStatus PregnancyStatus".split(), "113108"),
    **dict.fromkeys("StudyDate SeriesDate AcquisitionDate ContentDate".split(), "113107"),
    **dict.fromkeys("StudyDescription SeriesDescription".split(), "113105"),
}


def test_the_standards_table_is_kept_to_attribute_by_attribute(planted, tmp_path):
    """620 attributes: gone, emptied or replaced, unless an option that is recorded lets them stay."""

    def describe(image):
        image.PatientSex, image.PatientAge, image.PatientSize, image.PatientWeight = "F", "067Y", "1.7", "70"
        image.SmokingStatus, image.PregnancyStatus = "YES", 1
        image.StudyDescription = image.SeriesDescription = "CHEST thin"
        image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = SECRET_DAY
        image.FrameOfReferenceUID = SECRET_UID

    copy = shutil.copytree(planted, tmp_path / "in")
    with disable_value_validation():
        edit(sorted(copy.iterdir()), describe)
    original = pydicom.dcmread(min(copy.iterdir()))
    result = deidentify([copy], tmp_path / "out", key_path=tmp_path / "key.json")
    image = pydicom.dcmread(result.written[0])
    recorded = {code.CodeValue for code in image.DeidentificationMethodCodeSequence}
    table = table_of_the_standard()
    assert len(table) == 620
    stayed = set()
    for tag, action in table.items():
        keyword = keyword_for_tag(tag)
        found = image.file_meta.get(tag) if tag >> 16 == 2 else image.get(tag)
        if found is None or found.value in ("", None):
            assert action != "U" or keyword not in UIDS, f"{keyword} is needed to tell images apart"
        elif keyword in RETAINED:
            stayed.add(keyword)
            assert RETAINED[keyword] in recorded
            assert RETAINED[keyword] != "113107" or found.value != SECRET_DAY
        else:
            assert action in ("U", "Z", "Z/D"), f"{keyword} had to go"
            assert found.value != original.get(tag, original.file_meta.get(tag)).value, keyword
    assert stayed == set(RETAINED)
    assert not [
        element for element in image if element.tag >> 16 in (*range(0x5000, 0x5020), *range(0x6000, 0x6020))
    ]


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


def test_which_energy_is_shown_stays(tmp_path):
    """Of several energies the same is chosen before and after."""
    energy = Dataset()
    energy.MonoenergeticEnergyEquivalent = 70.0
    values = {
        "MultienergyCTCharacteristicsSequence": [energy],
        "ImageType": ["DERIVED", "PRIMARY", "AXIAL", "VMI"],
        "SeriesDescription": f"Thorax {SECRET} 70 keV",
    }
    edit(export(tmp_path / "in", chest(12)), setting(**values))
    deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    (study,) = find_studies([tmp_path / "out"]).studies
    choice = choose_series(study)
    assert choice.series.description_text == "Thorax 70 keV"
    made = choice.series.frames[0].reconstruction
    assert (made.energy_kev, made.image_type[-1]) == (70.0, "VMI")


def test_deflated_images_in_an_archive_leave_too(tmp_path):
    paths = export(tmp_path / "loose", chest(3), transfer_syntax=DeflatedExplicitVRLittleEndian)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    result = deidentify([tmp_path / "in.zip"], tmp_path / "out", key_path=tmp_path / "key.json")
    assert (len(result.written), result.refused) == (3, ())


def test_bits_above_the_image_stay_behind(tmp_path):
    def overlay(image):
        image.PixelRepresentation = 0
        image.BitsStored, image.HighBit = 12, 11
        image.PixelData = (image.pixel_array.astype("<u2") & 0x0FFF | 0x4000).astype("<u2").tobytes()

    edit(export(tmp_path / "in", chest(12)), overlay)
    result = deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    assert pydicom.dcmread(result.written[0]).pixel_array.max() < 4096


def test_patients_without_a_number_are_not_made_one(tmp_path):
    for number in (1, 2):
        study = dataclasses.replace(STUDY, uid=derive_uid(str(number)), patient_id="")
        export(tmp_path / "in" / str(number), chest(3), study=study)
    deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    studies = find_studies([tmp_path / "out"]).studies
    assert len({study.study.patient_id for study in studies}) == 2
    assert set(open_key(tmp_path / "key.json").patients.values()) == {derive_uid("1"), derive_uid("2")}


def test_nothing_leaves_that_no_key_can_lead_back(tmp_path):
    export(tmp_path / "in", chest(3))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "file" / "key.json")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("days", [("20200102", "20200413"), ("2020.01.02", "2020.04.13")])
def test_two_studies_of_a_patient_keep_their_distance_in_days(tmp_path, days):
    for number, day in enumerate(days):
        paths = export(tmp_path / "in" / str(number), chest(12))
        change = setting(StudyDate=day, StudyInstanceUID=f"1.2.{number}", SOPInstanceUID=f"1.3.{number}")
        with disable_value_validation():  # dates had dots before DICOM 3
            edit(paths, change)
    deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    found = sorted(
        dt.date.fromisoformat(study.study.study_date) for study in find_studies([tmp_path / "out"]).studies
    )
    assert found[1] - found[0] == dt.date(2020, 4, 13) - dt.date(2020, 1, 2)
    assert found[0] < dt.date(2020, 1, 2)


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
            setting(SOPClassUID=SecondaryCaptureImageStorage),
            "is no CT or Enhanced CT",
            id="secondary-capture",
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


def test_an_image_of_another_patient_does_not_leave_under_the_name_of_its_study(tmp_path):
    paths = export(tmp_path / "in", chest(4))
    edit(paths[2], setting(PatientID="P2"))
    result = deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    assert len(result.written) == 3
    assert sum("names another patient than its study" in sentence for sentence in result.refused) == 1
    assert set(open_key(tmp_path / "key.json").patients.values()) == {"P1"}


def test_a_second_file_of_one_identifier_is_told(tmp_path):
    paths = export(tmp_path / "in", chest(3))
    shutil.copy(paths[1], tmp_path / "in" / "again.dcm")
    result = deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    assert len(result.written) == 3
    (refused,) = result.refused
    assert refused.endswith("series 2: 1 file bears the identifier of another one")


def test_images_that_do_not_say_whether_text_is_burned_in_are_named_and_not_vouched_for(tmp_path):
    """Nobody looked at the pixels: that is the Clean Pixel Data Option, which is not claimed."""
    paths = export(tmp_path / "in", chest(12))
    edit(paths[:6], setting(BurnedInAnnotation="NO"))
    edit(paths[6:], lambda image: image.pop("BurnedInAnnotation", None))
    result = deidentify([tmp_path / "in"], tmp_path / "out", key_path=tmp_path / "key.json")
    said = [pydicom.dcmread(path).get("BurnedInAnnotation") for path in result.written]
    assert sorted(map(str, said)) == ["NO"] * 6 + ["None"] * 6
    (unsure,) = result.unsure
    assert unsure.endswith("series 2: its images do not say whether text is burned into their pixels")


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
