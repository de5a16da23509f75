"""Packs out: who is in them, that they can be read, and that nothing else is."""

import shutil
import zipfile

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.uid import DeflatedExplicitVRLittleEndian
from typer.testing import CliRunner

from imaging.dicom import find_studies, read_volume
from imaging.dicom.export import export_results
from records.errors import StoreError
from records.model import VerdictLabel
from records.store import StoredStudy, open_store
from tests.imaging.dicom.making import chest, edit, export, setting
from tests.imaging.dicom.results import screened
from tests.viewer.study import DATES, leaks, make_study, patient_id, screening, secrets
from viewer.commands import review
from viewer.desk import Desk
from viewer.pack import PackError, ReadingProtocol, images_of, load_pack
from viewer.packs import _loose_files, prepare
from viewer.studykey import COORDINATOR, load_key


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"), flagged=4, others=3, follow_ups=2)


@pytest.fixture(scope="module")
def packs(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "packs"
    protocol = ReadingProtocol(shows_marks=True)
    prepare([study[0]], study[1], out, readers=("A", "B"), controls=2, repeats=1, seed=5, protocol=protocol)
    return out


def test_no_secret_is_anywhere_a_reader_can_look(study, packs):
    texts = secrets(study[0])
    assert len(leaks(study[0], texts)) > 100  # the search finds them where they were planted
    assert leaks(packs / COORDINATOR, texts)  # and the coordinator keeps them
    for reader in "AB":
        assert leaks(packs / reader, texts) == []


def planted_places(image: pydicom.FileDataset) -> list[str]:
    """Return each place of a DICOM file that holds a planted text, sequences and file header included."""
    found = []
    for place, dataset in (("header", image.file_meta), ("image", image)):
        for element in dataset.iterall():
            value = element.value
            text = value if isinstance(value, bytes) else str(value).encode()
            if b"CANARY" in text or b"CANARY" in element.name.encode():
                found.append(f"{place} {element.tag}")
    return [*found, *(["preamble"] if b"CANARY" in (image.preamble or b"") else [])]


def test_every_planted_place_is_seen_before_and_none_after(study, packs):
    """The search by elements; what stays is counted on the way in, so that it cannot be blind."""
    before = planted_places(pydicom.dcmread(next(study[0].rglob("*.dcm"))))
    assert len(before) >= 28
    assert {"preamble", "header (0002,0016)", "header (0002,0102)"} <= set(before)
    for reader in "AB":
        for path in (packs / reader / "images").rglob("*.dcm"):
            image = pydicom.dcmread(path)
            assert planted_places(image) == []
            assert not [element.tag for element in image.iterall() if element.tag.is_private]


def test_results_of_the_screening_among_the_images_stay_behind(tmp_path):
    """SR, SEG and captures that `mipc screen` wrote beside the scans are not handed out."""
    images, store = make_study(tmp_path, flagged=1, others=0)
    screened_study, study, _, pictures = screened(images, writes=False)
    results = export_results(screened_study, study, pictures, images / "results").paths
    assert {str(pydicom.dcmread(path).Modality) for path in results} == {"SR", "SEG", "OT"}
    prepare([images], store, tmp_path / "packs", readers=("A",))
    handed_out = [pydicom.dcmread(path) for path in (tmp_path / "packs" / "A").rglob("*.dcm")]
    assert {str(image.Modality) for image in handed_out} == {"CT"}
    assert len({str(image.SeriesInstanceUID) for image in handed_out}) == 1
    assert leaks(tmp_path / "packs" / "A", secrets(images)) == []


def test_another_program_reads_the_pack(packs):
    """SimpleITK, with GDCM, which shares nothing with this project's reader."""
    code = load_pack(packs / "A").cases[0].code
    (series,) = find_studies([images_of(packs / "A", code, 1)]).studies[0].series
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(images_of(packs / "A", code, 1))))
    assert np.array_equal(SimpleITK.GetArrayFromImage(reader.Execute()), read_volume(series).hu)


def test_a_reader_cannot_tell_a_control_a_flag_or_a_repeat(packs):
    """Every case has the same kinds of files and values; only times and sizes differ."""
    for reader in "AB":
        pack = load_pack(packs / reader)
        text = (packs / reader / "pack.json").read_text()
        for word in (*VerdictLabel, "flag", "control", "repeat", "seed", "probability", "nodule"):
            assert word not in text
        assert len(pack.cases) == 7
        assert all(not case.earlier_reads for case in pack.cases)
        assert {path.name for path in (packs / reader).iterdir()} == {
            "pack.json", "images", "reads.jsonl", "reads.jsonl.seal",
        }  # fmt: skip


def test_the_two_readers_share_no_identifier(packs):
    seen = []
    for reader in "AB":
        studies = find_studies([packs / reader / "images"]).studies
        seen.append({study.study.uid for study in studies} | {study.study.patient_id for study in studies})
        assert len(seen[-1]) == len(studies) + len({study.study.patient_id for study in studies})
    assert not seen[0] & seen[1]


def test_a_repeat_has_other_names_and_dates_but_the_same_pixels(packs):
    pack = load_key(packs).packs[0]
    (again,) = [case for case in pack.cases if case.repeat_of]
    volumes, names = [], []
    for code in (again.code, again.repeat_of):
        (study,) = find_studies([images_of(packs / "A", code, 1)]).studies
        volumes.append(read_volume(study.series[0]).hu)
        names.append((study.study.patient_id, study.study.study_date, study.study.uid))
    assert np.array_equal(*volumes)
    assert all(one != other for one, other in zip(*names, strict=True))


def test_follow_ups_stay_together_in_time_order_with_shifted_dates(packs):
    key = load_key(packs).packs[0]
    codes = {case.code: case for case in key.cases}
    pack = load_pack(packs / "A")
    with_follow_up = [case for case in pack.cases if len(case.time_points) == 2]
    assert {codes[case.code].patient_id for case in with_follow_up} == {patient_id(0), patient_id(1)}
    for case in with_follow_up:
        first, second = case.time_points
        assert (first.day, second.day) == (0, 95)  # 15 January to 20 April 2013
        assert first.date not in DATES
        shown = [
            pydicom.dcmread(
                next(images_of(packs / "A", case.code, point.number).iterdir()), stop_before_pixels=True
            )
            for point in case.time_points
        ]
        assert [str(image.StudyDate) for image in shown] == [
            point.date.replace("-", "") for point in case.time_points
        ]
        assert shown[0].PatientID == shown[1].PatientID


def test_the_pixels_handed_out_are_those_of_the_scan(study, packs):
    key = load_key(packs)
    originals = {one.study.uid: one for one in find_studies([study[0]]).studies}
    case = key.packs[1].cases[0]
    given = read_volume(find_studies([images_of(packs / "B", case.code, 1)]).studies[0].series[0])
    original = read_volume(originals[case.time_points[0].study_uid].series[0])
    assert np.array_equal(given.hu, original.hu)
    assert given.origin_mm == original.origin_mm
    assert given.spacing_mm == original.spacing_mm


def test_a_new_pack_opens_unread(packs):
    desk = Desk(packs / "A")
    assert desk.done == 0
    assert desk.next_open() == desk.items[0]


def test_the_key_can_be_read_by_its_owner_only(packs):
    assert (packs / COORDINATOR).stat().st_mode & 0o077 == 0


def test_marks_stay_with_the_coordinator(packs):
    """Those of every scan, also where there are none: a file says nothing of who was flagged."""
    kept = {path.stem for path in (packs / COORDINATOR / "marks" / "A").iterdir()}
    assert kept == {item.subject.replace("/", "-") for item in Desk(packs / "A").items}
    assert not list((packs / "A").rglob("*mark*"))


def test_images_in_an_archive_are_read_where_they_are(study, tmp_path):
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in study[0].rglob("*.dcm"):
            packed.write(path, str(path.relative_to(study[0])))
    prepare([archive], study[1], tmp_path / "packs", readers=("A",), seed=5)
    assert leaks(tmp_path / "packs" / "A", secrets(study[0])) == []
    assert len(load_pack(tmp_path / "packs" / "A").cases) == 4


def test_deflated_images_of_an_archive_are_laid_out_as_they_are_stored(tmp_path):
    paths = export(tmp_path / "loose", chest(3), transfer_syntax=DeflatedExplicitVRLittleEndian)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    (series,) = find_studies([tmp_path / "in.zip"]).studies[0].series
    with _loose_files(series) as laid_out:
        assert {pydicom.dcmread(path).SOPInstanceUID for path in laid_out} == {
            pydicom.dcmread(path).SOPInstanceUID for path in paths
        }


@pytest.mark.parametrize(
    ("readers", "said"),
    [
        (("A", "A"), "label of his own"),
        ((), "label of his own"),
        (("../A",), "letters"),
        (("coordinator",), "letters"),
        (("Coordinator", "B"), "label of his own"),  # many disks take both for one folder
        (("A", "a"), "label of his own"),
    ],
)
def test_bad_labels_are_refused(study, tmp_path, readers, said):
    with pytest.raises(PackError, match=said):
        prepare([study[0]], study[1], tmp_path / "packs", readers=readers)


def test_packs_are_never_written_over(study, packs):
    with pytest.raises(PackError, match="not empty"):
        prepare([study[0]], study[1], packs, readers=("A",))


def test_a_store_that_is_not_there_is_said_and_not_made(study, tmp_path):
    with pytest.raises(StoreError, match=r"there is no store .*mpic\.db"):
        prepare([study[0]], tmp_path / "mpic.db", tmp_path / "packs", readers=("A",))
    assert not (tmp_path / "mpic.db").exists()


def test_a_study_of_a_day_that_there_is_not_is_left_out(tmp_path):
    images, store = make_study(tmp_path, flagged=2, others=0)
    edit(sorted((images / "CANARYFOLDER1").rglob("*.dcm")), setting(StudyDate="20130230"))
    done = prepare([images], store, tmp_path / "packs", readers=("A",))
    (said,) = done.left_out
    assert said.code == "no_date"
    assert "has no valid date" in said.sentence
    assert [case.patient_id for case in done.key.packs[0].cases] == [patient_id(0)]


def test_a_study_with_text_burned_into_its_pixels_is_left_out_and_the_others_go_on(tmp_path):
    images, store = make_study(tmp_path, flagged=3, others=2)
    for number in (1, 3):  # a patient to be confirmed, and a control; one image of each says so
        edit(next((images / f"CANARYFOLDER{number}").rglob("*.dcm")), setting(BurnedInAnnotation="YES"))
    arguments = ["prepare", images, "--store", store, "--readers", "A,B", "--controls", "1", "--out"]
    done = CliRunner().invoke(review, list(map(str, [*arguments, tmp_path / "packs"])))
    assert done.exit_code == 0, done.output
    for pack in load_key(tmp_path / "packs").packs:
        assert {case.patient_id for case in pack.cases} == {patient_id(number) for number in (0, 2, 4)}
    said = [line for line in done.stdout.splitlines() if line.startswith("left out: ")]
    assert said
    for line in said:
        assert line.endswith("an image has text burned into its pixels (burned_in_text)")
    done = CliRunner().invoke(review, list(map(str, [*arguments[:-2], "2", "--out", tmp_path / "two"])))
    assert done.exit_code == 1
    assert "2 controls were asked for, the store has 1 patient not flagged; left out: study" in done.stderr
    assert "burned_in_text" in done.stderr
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("fate", ["burned-in text", "no date", "not among the images"])
def test_who_has_a_flagged_scan_that_cannot_be_read_is_no_control(tmp_path, fate):
    """Patient 1 was flagged on his second scan alone; there are two others to draw, and he is not drawn."""
    images, store = make_study(tmp_path, flagged=2, others=2, follow_ups=2)
    second = images / "CANARYFOLDER1" / "1"
    (study,) = find_studies([images / "CANARYFOLDER1" / "0"]).studies
    with open_store(store) as opened:
        opened.save(StoredStudy.of(screening(study.study, VerdictLabel.NOT_MIPC), "fingerprint"))
    if fate == "burned-in text":
        edit(sorted(second.rglob("*.dcm"))[:1], setting(BurnedInAnnotation="YES"))
    elif fate == "no date":
        edit(sorted(second.rglob("*.dcm")), setting(StudyDate="20130230"))
    else:
        shutil.rmtree(second)
    for seed in range(3):
        out = tmp_path / f"packs{seed}"
        done = prepare([images], store, out, readers=("A",), controls=2, seed=seed)
        assert {case.patient_id for case in done.key.packs[0].cases} == {patient_id(n) for n in (0, 2, 3)}
        assert (study.study.uid, "flagged_scan_missing") in {(o.study_uid, o.code) for o in done.left_out}
    with pytest.raises(PackError, match="3 controls were asked for, the store has 2 patients not flagged"):
        prepare([images], store, tmp_path / "more", readers=("A",), controls=3)


def test_who_has_a_flagged_scan_left_is_read_without_the_other(tmp_path):
    images, store = make_study(tmp_path, flagged=1, others=0, follow_ups=1)
    edit(sorted((images / "CANARYFOLDER0" / "1").rglob("*.dcm"))[:1], setting(BurnedInAnnotation="YES"))
    done = prepare([images], store, tmp_path / "packs", readers=("A",))
    (case,) = done.key.packs[0].cases
    assert [point.study_date for point in case.time_points] == [DATES[0]]
    assert [one.code for one in done.left_out] == ["burned_in_text"]


def test_packs_that_fail_half_way_leave_nothing_behind(study, tmp_path):
    def fail_at_the_second_pack(sentence):
        if sentence.startswith("pack B"):
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        prepare(
            [study[0]], study[1], tmp_path / "packs", readers=("A", "B"), progress=fail_at_the_second_pack
        )
    assert not (tmp_path / "packs").exists()


def test_studies_that_were_not_screened_are_named(study, tmp_path):
    with open_store(tmp_path / "empty.db"):
        pass
    with pytest.raises(PackError, match="nothing to confirm"):
        prepare([study[0]], tmp_path / "empty.db", tmp_path / "packs", readers=("A",))
