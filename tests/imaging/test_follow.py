"""Patients with several studies, from files to tables: who is compared with whom, and what is written."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from imaging.alignment import Alignment, Quality, Warp
from imaging.burden import burden_by_zone
from imaging.change_tables import BURDEN_COLUMNS, PAIR_COLUMNS, Pair, rows_of, values_of
from imaging.count import Recall
from imaging.dicom.files import Intake, StudyFiles
from imaging.follow import find_pairs, follow_pairs
from imaging.follow_kept import Compared, fingerprint, keep, kept, pair_name
from imaging.follow_output import log_failures
from imaging.protocol import PROTOCOL_FILE
from imaging.suggestion import Suggestion
from imaging.tracking import FollowUp
from imaging.worker import Limits
from mipc import app
from records.model import VerdictLabel
from records.store import StoredStudy, open_store
from tests.records.examples import miliary_screening, not_evaluable_screening
from tests.shared import SAMPLES

RECALL = Recall((2.5, 7.5), (1.0, 1.0))


def stocked(tmp_path, screenings):
    """Return an intake of these screenings' studies, and a store that holds them."""
    store = open_store(tmp_path / "mipc.db")
    for screening in screenings:
        store.save(StoredStudy.of(screening, "files"))
    studies = tuple(StudyFiles(screening.study, ()) for screening in screenings)
    return Intake(studies, 0, ()), store


def of(uid, date, patient="P-1", label=VerdictLabel.MIPC):
    screening = miliary_screening(uid, patient_id=patient, study_date=date)
    return replace(screening, verdict=replace(screening.verdict, label=label))


def paired(tmp_path, screenings, *, only_flagged=True):
    intake, store = stocked(tmp_path, screenings)
    with store:
        pairs, problems = find_pairs(intake, store, only_flagged=only_flagged)
    return [(pair.baseline.study.uid, pair.follow_up.study.uid) for pair in pairs], problems


def test_each_later_study_is_compared_with_the_first(tmp_path):
    studies = [
        of("1.3", "2024-09-01"),
        of("1.1", "2024-01-05"),
        of("1.2", "2024-03-02"),
        of("2.1", "2024-01-01", "P-2"),
    ]
    assert paired(tmp_path, studies) == ([("1.1", "1.2"), ("1.1", "1.3")], [])


def test_a_patient_of_whom_nothing_was_flagged_is_compared_only_when_asked(tmp_path):
    studies = [
        of(uid, date, label=VerdictLabel.NOT_MIPC)
        for uid, date in (("1.1", "2024-01-05"), ("1.2", "2024-03-02"))
    ]
    assert paired(tmp_path, studies) == ([], [])
    assert paired(tmp_path, studies, only_flagged=False)[0] == [("1.1", "1.2")]


def test_a_study_that_could_not_be_judged_is_passed_over(tmp_path):
    broken = not_evaluable_screening("1.1", patient_id="P-1", study_date="2024-01-01")
    studies = [broken, of("1.2", "2024-03-02"), of("1.3", "2024-05-02")]
    pairs, problems = paired(tmp_path, studies)
    assert pairs == [("1.2", "1.3")]
    (said,) = problems
    assert "2024-01-01 of patient P-1" in said
    assert broken.verdict.sentence in said


def test_a_patient_left_with_one_study_is_told_why(tmp_path):
    broken = not_evaluable_screening("1.1", patient_id="P-1", study_date="2024-01-01")
    pairs, problems = paired(tmp_path, [broken, of("1.2", "2024-03-02")])
    assert pairs == []
    assert broken.verdict.sentence in problems[0]


# What takes patients' names out of headers may leave 00000000 (PS3.5 6.2 knows no such DA).
@pytest.mark.parametrize("date", ["", "2024-01-05", "0000-00-00", "2024-02-30"])
def test_studies_that_no_date_tells_apart_are_not_compared_and_it_is_said(tmp_path, date):
    pairs, problems = paired(tmp_path, [of("1.1", "2024-01-05"), of("1.2", date)])
    assert pairs == []
    assert "P-1" in problems[0]


def test_nameless_patients_are_not_taken_for_one(tmp_path):
    pairs, problems = paired(tmp_path, [of("1.1", "2024-01-05", " "), of("1.2", "2024-03-05", " ")])
    assert pairs == []
    assert "2 studies have no Patient ID" in problems[0]


def unaligned(one, other):
    """Return what two scans of different lungs give: no nodule of either has a fate."""
    still = Warp(np.zeros(3), 10.0, np.zeros((2, 2, 2, 3), np.float32))
    alignment = Alignment(np.eye(3), np.zeros(3), still, still, Quality(0.97, 90, 0.08, 4.2, 5.0))
    burdens = burden_by_zone((), (one.nodules, other.nodules), (one.pattern, other.pattern), (RECALL, RECALL))
    return Pair(one, other, FollowUp(alignment, (), (), burdens, Suggestion(None, alignment.reason)))


def test_nodules_that_could_not_be_matched_are_not_counted_as_none():
    pair = unaligned(of("1.1", "2024-01-05"), of("1.2", "2024-03-02"))
    rows = rows_of(pair)
    (told,) = (dict(zip(PAIR_COLUMNS, row, strict=True)) for row in rows["follow_ups"])
    fates = ("persisting", "gone", "new", "not_assessable")
    assert {told[name] for name in (*fates, "grown", "shrunken", "reading")} == {""}
    assert told["is_aligned"] == "false"
    assert "8 % of the vessel points" in told["sentence"]
    for row in rows["burden"]:
        zone = dict(zip(BURDEN_COLUMNS, row, strict=True))
        assert {zone[name] for name in (*fates, "count_change", "volume_change")} == {""}
        assert zone["baseline_count"] != ""
    values = values_of(pair)
    assert {values[name] for name in ("fates", "grown", "shrunken", "volume_change")} == {None}


def read_rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def compared(number):
    rows = {name: [[f"{name} {number}"]] for name in ("follow_ups", "burden", "matches")}
    return Compared(rows, {"grown": number}, "new lesions", f"sentence {number}", b"\x89PNG")


def followed(tmp_path, screenings, *, resumes=True):
    """Follow up pairs whose images are nowhere: what was kept is all there can be."""
    intake, store = stocked(tmp_path, screenings)
    with store:
        pairs, _ = find_pairs(intake, store, only_flagged=True)
    folder = tmp_path / "follow_up"
    done = follow_pairs(
        pairs,
        tmp_path / "mipc.db",
        folder,
        resumes=resumes,
        workers=1,
        limits=Limits(60, None),
        progress=lambda done, total: None,
    )
    return {one.studies.follow_up.study.uid: one for one in done}


THREE = [of("1.1", "2024-01-05"), of("1.2", "2024-03-02"), of("1.3", "2024-05-02")]


def test_a_run_that_stopped_goes_on_with_the_pairs_that_are_left(tmp_path):
    keep(compared(2), tmp_path / "follow_up", pair_name("1.1", "1.2"), fingerprint(THREE[0], THREE[1]))
    found = followed(tmp_path, THREE)
    assert found["1.2"].compared == compared(2)
    assert found["1.3"].compared is None  # was tried, and its images are not there
    assert "the log has the details" in found["1.3"].why_none
    log_failures(list(found.values()), tmp_path)
    (line,) = (json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines())
    assert (line["baseline_study_uid"], line["follow_up_study_uid"]) == ("1.1", "1.3")
    assert "Traceback" in line["details"]
    assert followed(tmp_path, THREE, resumes=False)["1.2"].compared is None


def test_what_was_found_of_other_nodules_does_not_count(tmp_path):
    rescreened = replace(THREE[1], nodules=THREE[1].nodules[:-1])
    keep(compared(2), tmp_path / "follow_up", pair_name("1.1", "1.2"), fingerprint(THREE[0], rescreened))
    assert followed(tmp_path, THREE)["1.2"].compared is None


@pytest.mark.parametrize("damage", ["json", "png"])
def test_a_result_that_is_not_whole_does_not_count(tmp_path, damage):
    name, folder = pair_name("1.1", "1.2"), tmp_path / "follow_up"
    keep(compared(2), folder, name, "print")
    assert kept(folder, name, "print") == compared(2)
    if damage == "json":
        (folder / f"{name}.json").write_bytes((folder / f"{name}.json").read_bytes()[:-9])
    else:
        (folder / f"{name}.png").unlink()
    assert kept(folder, name, "print") is None


def test_a_cohort_is_followed_by_the_protocol_it_was_screened_by(tmp_path):
    """Three slices are too few to judge, which is quick; what counts is by whose thresholds they were not."""
    images, file = tmp_path / "images", tmp_path / "strict.toml"
    images.mkdir()
    for image in sorted((SAMPLES / "few").glob("*.dcm"))[:3]:
        shutil.copy(image, images)
    file.write_text(PROTOCOL_FILE.read_text().replace("mipc-default", "strict"))
    shared = [str(images), "--out", str(tmp_path / "out"), "--protocol", str(file)]
    assert CliRunner().invoke(app, ["screen", *shared]).exit_code == 0
    done = CliRunner().invoke(app, ["track", *shared, "--json"])
    assert done.exit_code == 1  # one study is nothing to follow
    assert json.loads(done.stdout)["protocol"]["name"] == "strict"
    assert "1 of 1 study is in the store already" in done.stderr
    file.write_text("name = 3")
    assert CliRunner().invoke(app, ["track", *shared]).exit_code == 2


def test_the_treated_sample_is_followed_from_the_files_to_the_tables(tmp_path):
    """`sample_dicoms/truth.csv`: 700 nodules before treatment, 15 shrunken ones after it, none new."""
    inputs = [str(SAMPLES / name) for name in ("miliary_treated", "miliary")]
    done = CliRunner().invoke(app, ["track", *inputs, "--out", str(tmp_path), "--json", "--workers", "2"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["follow_ups"]
    assert found["is_aligned"]
    assert found["reading"] == "consistent with non-progression"
    fates = found["fates"]
    assert fates["new"] <= 2
    assert fates["gone"] >= 0.9 * sum(fates.values())
    assert found["volume_change"] < -0.9
    assert found["volume_change_is_real"]
    folder = tmp_path / "follow_up"
    rows = {name: read_rows(folder / name) for name in ("burden.csv", "matches.csv")}
    assert [(row["side"], row["zone"]) for row in rows["burden.csv"]][:2] == [
        ("both", "all"),
        ("right", "upper"),
    ]
    assert len(rows["burden.csv"]) == 7
    assert len(rows["matches.csv"]) == sum(fates.values())
    (picture,) = folder.glob("*.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert found["sentence"] in page
    assert "data:image/png;base64," in page
    cohort = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert cohort.count(f'href="follow_up/index.html#{picture.stem}"') == 2
    # The same again takes what is kept: the picture is not drawn anew.
    drawn = picture.stat().st_mtime_ns
    again = CliRunner().invoke(app, ["track", *inputs, "--out", str(tmp_path), "--json", "--workers", "2"])
    assert json.loads(again.stdout)["follow_ups"] == [found]
    assert picture.stat().st_mtime_ns == drawn
    # One study alone is nothing to track; it is in the store already.
    alone = CliRunner().invoke(app, ["track", inputs[1], "--out", str(tmp_path)])
    assert alone.exit_code == 1
