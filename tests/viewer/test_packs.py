"""Packs out: who is in them, that they can be read, and that nothing else is."""

import zipfile

import numpy as np
import pydicom
import pytest

from imaging.dicom import find_studies, read_volume
from records.model import VerdictLabel
from tests.viewer.study import DATES, leaks, make_study, patient_id, secrets
from viewer.desk import Desk
from viewer.pack import PackError, ReadingProtocol, images_of, load_pack
from viewer.packs import prepare
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
    assert list((packs / COORDINATOR / "marks" / "A").iterdir())
    assert not list((packs / "A").rglob("*mark*"))


def test_images_in_an_archive_are_read_where_they_are(study, tmp_path):
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in study[0].rglob("*.dcm"):
            packed.write(path, str(path.relative_to(study[0])))
    prepare([archive], study[1], tmp_path / "packs", readers=("A",), seed=5)
    assert leaks(tmp_path / "packs" / "A", secrets(study[0])) == []
    assert len(load_pack(tmp_path / "packs" / "A").cases) == 4


@pytest.mark.parametrize(
    ("readers", "said"),
    [
        (("A", "A"), "label of his own"),
        ((), "label of his own"),
        (("../A",), "letters"),
        (("coordinator",), "letters"),
    ],
)
def test_bad_labels_are_refused(study, tmp_path, readers, said):
    with pytest.raises(PackError, match=said):
        prepare([study[0]], study[1], tmp_path / "packs", readers=readers)


def test_packs_are_never_written_over(study, packs):
    with pytest.raises(PackError, match="not empty"):
        prepare([study[0]], study[1], packs, readers=("A",))


def test_studies_that_were_not_screened_are_named(study, tmp_path):
    from records.store import open_store

    with open_store(tmp_path / "empty.db"):
        pass
    with pytest.raises(PackError, match="nothing to confirm"):
        prepare([study[0]], tmp_path / "empty.db", tmp_path / "packs", readers=("A",))
