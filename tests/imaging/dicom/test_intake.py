"""Whatever a hospital hands over is read, counted or named; nothing vanishes and nothing escapes."""

import dataclasses
import os
import pickle
import shutil
import struct
import subprocess
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from imaging.dicom import ProblemCode, choose_series, find_studies, read_volume
from imaging.dicom.classes import MEDIA_DIRECTORY
from imaging.dicom.headers import HeaderError, read_header
from imaging.dicom.sources import Source
from records.errors import Reason, SeriesError
from tests.imaging.dicom.making import STUDY, chest, edit, export, only_series, only_study, setting


def problems(folder: Path) -> dict[str, ProblemCode]:
    return {Path(problem.path).name: problem.code for problem in find_studies([folder]).problems}


def test_any_depth_and_any_name(tmp_path):
    paths = export(tmp_path / "a", chest(12))
    deep = tmp_path / "x" / "y" / "z"
    deep.mkdir(parents=True)
    for number, path in enumerate(paths[::2]):
        path.rename(deep / f"IMG{number}.hello.txt")
    study = only_study(tmp_path)
    assert study.study == STUDY
    assert len(study.series[0].frames) == 12


def test_single_files_and_a_file_given_twice(tmp_path):
    paths = export(tmp_path, chest(12))
    (study,) = find_studies([*paths, paths[3], tmp_path]).studies
    assert len(study.series[0].frames) == 12
    assert study.series[0].copies == 0


def test_the_order_of_inputs_does_not_matter(tmp_path):
    paths = export(tmp_path / "a", chest(12)) + export(tmp_path / "b", chest(12), series_number=3)
    assert find_studies(paths) == find_studies(paths[::-1]) == find_studies([tmp_path])


def test_other_files_are_counted_and_claims_are_named(tmp_path):
    export(tmp_path, chest(12))
    (tmp_path / "README.txt").write_text("hello")
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.4")
    (tmp_path / "text.dcm").write_text("not at all " * 50)
    (tmp_path / "empty.dcm").touch()
    intake = find_studies([tmp_path])
    assert intake.other_files == 2
    assert {problem.code: problem.sentence for problem in intake.problems} == {
        ProblemCode.NOT_DICOM: "text.dcm is not a DICOM file",
        ProblemCode.EMPTY: "empty.dcm is empty (0 bytes)",
    }
    assert len(intake.studies) == 1


def test_an_input_that_is_not_there_is_a_problem(tmp_path):
    assert problems(tmp_path / "nowhere") == {"nowhere": ProblemCode.MISSING}


def test_a_link_to_nowhere_and_a_pipe_do_not_stop_it(tmp_path):
    (tmp_path / "dangling.dcm").symlink_to(tmp_path / "gone")
    (tmp_path / "circle").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.dcm")
    assert problems(tmp_path) == {"dangling.dcm": ProblemCode.MISSING}


def test_a_name_too_long_to_ask_for_is_a_problem(tmp_path):
    assert list(problems(tmp_path / ("a" * 300)).values()) == [ProblemCode.MISSING]


def test_a_link_to_a_folder_elsewhere_is_named(tmp_path):
    """A cohort put together of links would be read as an empty folder."""
    export(tmp_path / "archive", chest(2))
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "patient").symlink_to(tmp_path / "archive")
    assert problems(tmp_path / "cohort") == {"patient": ProblemCode.UNREADABLE}
    (problem,) = find_studies([tmp_path / "cohort"]).problems
    assert problem.sentence == "patient is a link to another folder and is not followed; give that folder too"
    assert problems(tmp_path) == {}


@pytest.mark.parametrize("kept_bytes", [200, 600, 1100])
def test_a_file_cut_in_its_header_is_named(tmp_path, kept_bytes):
    paths = export(tmp_path, chest(12))
    paths[5].write_bytes(paths[5].read_bytes()[:kept_bytes])
    assert problems(tmp_path) == {paths[5].name: ProblemCode.TRUNCATED}


def test_a_study_of_cut_files_still_comes_out(tmp_path):
    for path in export(tmp_path, chest(12)):
        path.write_bytes(path.read_bytes()[:-100])
    series = only_series(tmp_path)
    assert series.frames == ()
    assert len(series.damaged) == 12
    assert "4,608 bytes of pixel data expected, 4,508 found" in series.damaged[0].sentence


def test_progress_counts_to_the_end(tmp_path):
    export(tmp_path, chest(12))
    seen = []
    find_studies([tmp_path], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(12, 12)]


def test_a_study_is_small_and_travels(tmp_path):
    export(tmp_path, chest(100))
    study = only_study(tmp_path)
    sent = pickle.dumps(study)
    assert len(sent) < 100 * 300  # bytes an image
    assert pickle.loads(sent) == study


def test_a_file_without_preamble_is_read(tmp_path):
    named = dataclasses.replace(STUDY, patient_name="Röntgen^Wilhelm")
    for path in export(tmp_path, chest(12), study=named):
        bare = pydicom.Dataset(pydicom.dcmread(path))
        pydicom.dcmwrite(path, bare, implicit_vr=True, little_endian=True)
    study = only_study(tmp_path)
    assert study.study == named
    np.testing.assert_array_equal(read_volume(study.series[0]).hu, chest(12).hu)


# ---- names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("<script>alert(1)</script>", "<script>alert(1)</script>", id="markup-is-kept-as-text"),
        pytest.param("../../x", "../../x", id="path"),
        pytest.param("A" * 10_000, "A" * 256, id="10,000-characters"),
        pytest.param("Doe\0^Jane", "Doe^Jane", id="nul"),
        pytest.param("Doe\x1b[31m^Jane", "Doe[31m^Jane", id="terminal-escape"),
    ],
)
def test_a_hostile_name_is_text(tmp_path, name, expected):
    paths = export(tmp_path, chest(12))
    for path in paths:
        raw_patient_name(path, name.encode())
    study = only_study(tmp_path)
    assert study.study.patient_name == expected
    assert read_volume(study.series[0]).hu.shape == (12, 48, 48)


def raw_patient_name(path: Path, value: bytes) -> None:
    """Put bytes where a library would refuse them."""
    data = path.read_bytes()
    at = data.index(b"\x10\x00\x10\x00PN")
    (length,) = struct.unpack_from("<H", data, at + 6)
    value += b" " * (len(value) % 2)
    path.write_bytes(data[: at + 6] + struct.pack("<H", len(value)) + value + data[at + 8 + length :])


# PS3.5 6.2: a DA is a day of the Gregorian calendar; programs that take names out leave zeros.
@pytest.mark.parametrize("day", ["00000000", "20230231", "20231301", "2023    ", "x0230101"])
def test_a_day_that_there_is_not_is_no_date(tmp_path, day):
    for path in export(tmp_path, chest(12)):
        path.write_bytes(path.read_bytes().replace(b"20200102", day.encode()))
    study = only_study(tmp_path)
    assert (study.study.study_date, study.study.is_dated) == ("", False)
    assert read_volume(study.series[0]).hu.shape[0] == 12


@pytest.mark.parametrize(
    ("character_set", "encoded", "expected"),
    [
        ("ISO_IR 100", "Röntgen^Wilhelm".encode("latin-1"), "Röntgen^Wilhelm"),
        ("ISO_IR 192", "Скворцов^Ю".encode(), "Скворцов^Ю"),
        ("ISO_IR 144", "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
        ("NONSENSE", b"Doe^Jane", "Doe^Jane"),
    ],
)
def test_names_in_their_character_set(tmp_path, character_set, encoded, expected):
    (path,) = export(tmp_path, chest(1))
    data = path.read_bytes().replace(b"ISO_IR 192", character_set.ljust(10).encode())
    path.write_bytes(data)
    raw_patient_name(path, encoded)
    assert only_study(tmp_path).study.patient_name == expected


@pytest.mark.parametrize("uid", ["../../etc", "1..2", "1.2.3/../4", "x" * 64])
def test_an_identifier_that_is_none_cannot_name_a_folder(tmp_path, uid):
    paths = export(tmp_path, chest(12))
    for path in paths:
        data = path.read_bytes()
        value = STUDY.uid.encode()
        path.write_bytes(data.replace(value, uid.encode().ljust(len(value), b"\0")[: len(value)]))
    study = only_study(tmp_path)
    assert study.study.uid.startswith("2.25.")
    assert read_volume(study.series[0]).hu.shape[0] == 12


def in_another_series(image):
    image.SeriesInstanceUID += ".9"
    image.SOPInstanceUID += ".9"
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda image: None, id="the-same-images-twice"),
        pytest.param(in_another_series, id="a-series-of-each"),
    ],
)
def test_a_study_of_two_patients_is_refused(tmp_path, change):
    """One of them would have had the result of the other's scan, and the other none."""
    export(tmp_path / "one", chest(12))
    paths = export(tmp_path / "other", chest(12))
    edit(paths, change)
    edit(paths, setting(PatientID="P2"))
    (problem,) = find_studies([tmp_path]).problems
    assert problem.sentence.endswith("names 2 patient IDs; it is not screened")
    with pytest.raises(SeriesError, match="whose they are has to be put right first") as refused:
        choose_series(only_study(tmp_path))
    assert refused.value.reason is Reason.UNREADABLE_PIXELS


def test_a_picture_that_names_another_patient_does_not_speak_for_the_ct(tmp_path):
    """Some programs write their pictures under a number of their own."""
    export(tmp_path / "ct", chest(12))
    (picture, *others) = export(tmp_path / "picture", chest(12))
    edit(picture, in_another_series)
    edit(picture, setting(PatientID="A1", SOPInstanceUID="1.1", SOPClassUID=SecondaryCaptureImageStorage))
    for path in others:
        path.unlink()
    (problem,) = find_studies([tmp_path]).problems
    assert problem.sentence.endswith("names 2 patient IDs; that of its CT images is used")
    assert only_study(tmp_path).study.patient_id == "P1"
    assert choose_series(only_study(tmp_path)).series.modality == "CT"


def test_an_image_that_names_no_patient_names_no_other(tmp_path):
    paths = export(tmp_path, chest(12))
    edit(paths[1:], setting(PatientID=""))
    assert find_studies([tmp_path]).problems == ()
    assert only_study(tmp_path).study.patient_id == "P1"
    assert choose_series(only_study(tmp_path)).series.number == 2


# ---- archives


def zipped(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_a_zip_archive_gives_the_volume_of_its_folder(tmp_path):
    paths = export(tmp_path / "dicom", chest(12))
    archive = zipped(tmp_path / "export.zip", {f"a/{path.name}": path.read_bytes() for path in paths})
    (study,) = find_studies([archive]).studies
    np.testing.assert_array_equal(read_volume(study.series[0]).hu, chest(12).hu)


def test_names_in_an_archive_lead_nowhere(tmp_path):
    paths = export(tmp_path / "dicom", chest(12))
    hostile = ["../../escape.dcm", "/tmp/absolute.dcm", "C:\\windows.dcm"]
    files = {name: path.read_bytes() for name, path in zip(hostile, paths, strict=False)}
    archive = zipped(tmp_path / "x.zip", files)
    before = sorted(tmp_path.rglob("*"))
    (study,) = find_studies([archive]).studies
    assert len(study.series[0].frames) == 3
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_bomb_is_refused_unread(tmp_path):
    archive = zipped(tmp_path / "bomb.zip", {"a.dcm": bytes(200 * 2**20)})
    assert archive.stat().st_size < 300_000
    intake = find_studies([archive])
    (problem,) = intake.problems
    assert problem.code is ProblemCode.ARCHIVE_REFUSED
    assert "would expand to 209,715,200; at most 100-fold is accepted" in problem.sentence


def test_a_bomb_of_many_members_is_refused(tmp_path):
    archive = zipped(tmp_path / "bomb.zip", {f"{n}.dcm": bytes(10 * 2**20) for n in range(10)})
    assert problems(archive) == {"bomb.zip": ProblemCode.ARCHIVE_REFUSED}


def test_a_member_cannot_grow_beyond_what_its_directory_says(tmp_path):
    (path,) = export(tmp_path / "dicom", chest(1))
    archive = zipped(tmp_path / "liar.zip", {"a.dcm": path.read_bytes()})
    data = archive.read_bytes()
    size = struct.pack("<I", path.stat().st_size)
    archive.write_bytes(data.replace(size, struct.pack("<I", 3000)))
    assert problems(archive) == {"liar.zip > a.dcm": ProblemCode.DAMAGED}


def test_an_archive_that_is_cut_off_is_named(tmp_path):
    (path,) = export(tmp_path / "dicom", chest(1))
    archive = zipped(tmp_path / "cut.zip", {"a.dcm": path.read_bytes()})
    archive.write_bytes(archive.read_bytes()[:-30])
    assert problems(archive) == {"cut.zip": ProblemCode.ARCHIVE_REFUSED}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_in_an_archive_are_named(tmp_path):
    """The last one was read for both: a scan that misses an image, and nobody was told."""
    paths = export(tmp_path / "in", chest(12))
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for number, path in enumerate(paths):
            archive.write(path, f"CT/IM{number % 11}")
    (problem,) = find_studies([tmp_path / "export.zip"]).problems
    assert problem.code is ProblemCode.ARCHIVE_REFUSED
    assert problem.sentence.endswith("1 of its 12 files bears the name of another one")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_file_twice_in_an_archive_is_one(tmp_path):
    paths = export(tmp_path / "in", chest(12))
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for path in (*paths, paths[0]):
            archive.write(path, path.name)
    assert len(only_series(tmp_path / "export.zip").frames) == 12


def test_an_encrypted_archive_is_named(tmp_path):
    archive = zipped(tmp_path / "locked.zip", {"a.dcm": b"x"})
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag of the central directory
    archive.write_bytes(data)
    (problem,) = find_studies([archive]).problems
    assert "encrypted" in problem.sentence


@pytest.mark.parametrize(
    ("magic", "name"),
    [
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"\xfd7zXZ\0", "xz"),
        (bytes(257) + b"ustar\x0000", "tar"),
    ],
)
def test_other_archives_are_named_not_skipped(tmp_path, magic, name):
    (tmp_path / "export.bin").write_bytes(magic + bytes(100))
    (problem,) = find_studies([tmp_path]).problems
    assert problem.sentence == f"export.bin is a {name} archive; unpack it first, only zip is read"


def test_the_image_of_a_disc_is_named_not_skipped(tmp_path):
    """A CD copied as one file holds studies as a folder does (ISO 9660: a volume descriptor at 32 KiB)."""
    (tmp_path / "patient.iso").write_bytes(bytes(32768) + b"\1CD001\1" + bytes(2041))
    (problem,) = find_studies([tmp_path]).problems
    assert problem.code is ProblemCode.ARCHIVE_REFUSED
    assert "disc image" in problem.sentence


def test_an_archive_in_an_archive_is_named_not_skipped(tmp_path):
    (path,) = export(tmp_path / "in", chest(1))
    inner = zipped(tmp_path / "in" / "patient.zip", {"1.dcm": path.read_bytes()}).read_bytes()
    files = {"patient.zip": inner, "letter.docx": inner, "1.tar": bytes(257) + b"ustar\x0000" + bytes(300)}
    intake = find_studies([zipped(tmp_path / "all.zip", files)])
    assert [problem.sentence for problem in intake.problems] == [
        "1.tar is a tar archive in an archive; unpack it first",
        "patient.zip is a zip archive in an archive; unpack it first",
    ]
    assert intake.other_files == 1


def test_a_deflated_bomb_is_refused(tmp_path):
    (path,) = export(tmp_path, chest(1), transfer_syntax=DeflatedExplicitVRLittleEndian)
    data = path.read_bytes()
    start = 132 + 12 + struct.unpack_from("<I", data, 140)[0]
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = deflater.compress(zlib.decompress(data[start:], -zlib.MAX_WBITS) + bytes(150 * 2**20))
    path.write_bytes(data[:start] + bomb + deflater.flush())
    (problem,) = find_studies([tmp_path]).problems
    assert problem.code is ProblemCode.ARCHIVE_REFUSED
    assert "at most 100-fold" in problem.sentence


# ---- DICOMDIR


@pytest.fixture
def cd(tmp_path) -> Path:
    """Make a CD as dcmtk writes it."""
    if shutil.which("dcmmkdir") is None:
        pytest.skip("dcmtk is not installed")
    for number, path in enumerate(export(tmp_path / "IMAGES", chest(12))):
        path.rename(path.with_name(f"IM{number:06d}"))
    names = [f"IMAGES/{path.name}" for path in sorted((tmp_path / "IMAGES").iterdir())]
    subprocess.run(["dcmmkdir", "+I", *names], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_a_dicomdir_leads_to_its_images(cd):
    (study,) = find_studies([cd / "DICOMDIR"]).studies
    np.testing.assert_array_equal(read_volume(study.series[0]).hu, chest(12).hu)


def test_a_dicomdir_among_its_images_is_no_study_and_no_problem(cd):
    intake = find_studies([cd])
    assert len(intake.studies) == 1
    assert intake.problems == ()


def test_a_dicomdir_names_a_file_that_is_not_there(cd):
    (cd / "IMAGES" / "IM000004").unlink()
    assert problems(cd / "DICOMDIR") == {"IM000004": ProblemCode.MISSING}


def test_a_dicomdir_copied_to_lower_case(cd):
    (cd / "IMAGES").rename(cd / "other")
    (cd / "other").rename(cd / "images")
    for path in list((cd / "images").iterdir()):
        path.rename(path.with_name(path.name.lower()))
    (study,) = find_studies([cd / "DICOMDIR"]).studies
    assert len(study.series[0].frames) == 12


def test_a_dicomdir_with_a_name_too_long_to_ask_for(tmp_path):
    record = Dataset()
    with disable_value_validation():
        record.ReferencedFileID = ["IMAGES", "A" * 300]
    directory = Dataset()
    directory.DirectoryRecordSequence = [record]
    directory.file_meta = FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = MEDIA_DIRECTORY
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2"
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with disable_value_validation():
        directory.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    assert problems(tmp_path / "DICOMDIR") == {"A" * 300: ProblemCode.MISSING}


def test_a_dicomdir_that_points_outside_is_refused(cd):
    data = (cd / "DICOMDIR").read_bytes()
    (cd / "DICOMDIR").write_bytes(data.replace(b"IMAGES\\IM000004", b"../..\\x/passwd "))
    intake = find_studies([cd / "DICOMDIR"])
    assert [problem.code for problem in intake.problems] == [ProblemCode.DAMAGED]
    assert "outside its folder" in intake.problems[0].sentence
    assert len(intake.studies[0].series[0].frames) == 11


# ---- bytes nobody foresaw


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_change_of_bytes_stops_the_intake(tmp_path, data):
    path = tmp_path / "image.dcm"
    if not path.exists():
        export(tmp_path / "good", chest(1))[0].rename(path)
        (tmp_path / "original").write_bytes(path.read_bytes())
    raw = bytearray((tmp_path / "original").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(raw), 1800) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
    intake = find_studies([path])
    assert len(intake.studies) + len(intake.problems) + intake.other_files >= 1


def test_a_file_that_cannot_be_read_now_is_not_damaged(tmp_path):
    """One that was fetched away since its folder was listed, or for which there is no file handle left."""
    with pytest.raises(HeaderError, match=r"gone\.dcm cannot be read now: No such file") as caught:
        read_header(Source(str(tmp_path / "gone.dcm")))
    assert caught.value.code is ProblemCode.UNREADABLE


@pytest.mark.parametrize("matrix", [{"Rows": 40}, {"Columns": 24}], ids=str)
def test_an_image_of_more_pixels_than_its_header_says_is_damaged(tmp_path, matrix):
    """The upper part of it was read as the whole."""
    paths = export(tmp_path, chest(12))
    edit(paths, setting(**matrix))
    (first, *_) = find_studies([tmp_path]).problems
    assert "4,608 bytes of pixel data, its header says" in first.sentence
    with pytest.raises(SeriesError, match="bytes of pixel data"):
        choose_series(only_study(tmp_path))


def test_a_few_bytes_behind_the_pixels_are_padding(tmp_path):
    paths = export(tmp_path, chest(12))
    edit(paths, lambda image: setattr(image, "PixelData", image.PixelData + bytes(16)))
    assert find_studies([tmp_path]).problems == ()


def test_sequences_nested_beyond_reason_do_not_stop_it(tmp_path):
    (path,) = export(tmp_path, chest(1))
    data = path.read_bytes()
    at = data.index(b"\x08\x00\x05\x00CS")
    opened = b"\x08\x00\x10\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    path.write_bytes(data[:at] + opened * 5000 + data[at:])
    assert problems(tmp_path) == {path.name: ProblemCode.DAMAGED}


def test_a_picture_with_shared_colours_is_not_cut_off(tmp_path):
    def colour(image):
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        image.SamplesPerPixel, image.PhotometricInterpretation = 3, "YBR_FULL_422"
        image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
        image.PixelData = bytes(48 * 48 * 2)

    edit(export(tmp_path, chest(1)), colour)
    assert find_studies([tmp_path]).problems == ()


def test_a_structure_set_is_a_study_without_ct(tmp_path):
    (path,) = export(tmp_path, chest(1))
    edit(path, structure_set)
    study = only_study(tmp_path)
    assert study.study == STUDY
    assert study.series[0].other_objects == 1
    with pytest.raises(Exception, match="holds no CT image"):
        choose_series(study)


def structure_set(image):
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = pydicom.uid.RTStructureSetStorage
    image.Modality = "RTSTRUCT"
    del image.PixelData, image.Rows, image.Columns
