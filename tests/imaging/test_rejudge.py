"""A cohort judged again, a verdict explained, thresholds moved: all from the store, with no image at hand."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from imaging.explain import as_text
from imaging.pictures import draw
from imaging.protocol import PROTOCOL_FILE, load_protocol
from imaging.rejudge import rejudge
from imaging.thresholds import FACTORS, tabulate, varied
from imaging.verdict import judge
from mipc import app
from records.model import Estimate, VerdictLabel
from records.store import StoredStudy, open_store
from tests.imaging.patterns import miliary
from tests.imaging.test_pictures import chest
from tests.records import examples

PROTOCOL = load_protocol()


def screened(uid, **changed):
    """Return a screening judged by the shipped protocol."""
    pattern = miliary(**changed)
    series = replace(examples.series(), slice_thickness_mm=1.25, slice_spacing_mm=1.25)
    screening = replace(examples.miliary_screening(uid), series=series, pattern=pattern)
    lungs = replace(screening.lungs, noise_hu=12.0)
    return replace(screening, lungs=lungs, verdict=judge(pattern, PROTOCOL, 1.25, 12.0))


COHORT = [
    screened("1.1"),
    screened("1.2", nodule_count=Estimate(90.0, 70.0, 120.0)),
    screened("1.3", nodule_count=Estimate(10.0, 6.0, 16.0)),
]


@pytest.fixture
def store(tmp_path):
    where = tmp_path / "mipc.db"
    with open_store(where) as database:
        for screening in COHORT:
            database.save(StoredStudy.of(screening, "images"))
    return where


@pytest.fixture
def stricter(tmp_path):
    file = tmp_path / "strict.toml"
    text = PROTOCOL_FILE.read_text().replace("least_nodules = 50.0", "least_nodules = 150.0")
    file.write_text(text.replace('name = "mipc-default"', 'name = "strict"'))
    return file


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_same_protocol_gives_the_same_verdicts():
    for screening in COHORT:
        assert rejudge(screening, PROTOCOL) == replace(
            screening, provenance=rejudge(screening, PROTOCOL).provenance
        )


def test_a_stricter_protocol_moves_the_one_between_and_says_why(store, stricter, tmp_path):
    out = tmp_path / "again"
    done = run("rejudge", "--store", store, "--protocol", stricter, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    (change,) = told["changes"]
    assert (change["study_uid"], change["before"], change["after"]) == ("1.2", "mipc", "not_mipc")
    assert "profuse: yes by 50, no by 150" in change["why"]
    assert told["verdicts"] == {"mipc": 1, "not_mipc": 2}
    assert (out / "changes.csv").read_text().count("\n") == 2
    with open_store(out / "mipc.db") as again, open_store(store) as before:
        labels = {s.study.uid: s.verdict.label for s in again.all_screenings()}
        assert labels["1.2"] is VerdictLabel.NOT_MIPC
        assert {s.provenance.protocol_name for s in again.all_screenings()} == {"strict"}
        kept = {s.study.uid: s.verdict.label for s in before.all_screenings()}
        assert kept["1.2"] is VerdictLabel.MIPC  # the old store is as it was


def test_many_changes_are_counted_and_each_is_told_with_its_day(stricter, tmp_path):
    where, out = tmp_path / "mipc.db", tmp_path / "again"
    with open_store(where) as database:
        for number in range(14):
            between = screened(f"1.{number}", nodule_count=Estimate(90.0, 70.0, 120.0))
            database.save(StoredStudy.of(between, "images"))
    done = run("rejudge", "--store", where, "--protocol", stricter, "--out", out)
    assert done.stdout.count("P-001, 2008-03-14: mipc -> not_mipc. profuse") == 12
    assert f"  and 2 more, in {out / 'changes.csv'}\n" in done.stdout
    assert done.stderr == "Judging again: 14/14 studies · 14 changed side\n"


def test_another_limit_of_tiny_is_taken_from_the_nodules(tmp_path):
    file = tmp_path / "tiny.toml"
    file.write_text(
        PROTOCOL_FILE.read_text().replace("largest_diameter_mm = 5.0", "largest_diameter_mm = 2.0")
    )
    again = rejudge(COHORT[0], load_protocol(file))
    reported = [n for n in COHORT[0].nodules if n.reported]
    share = sum(n.diameter_mm.value <= 2.0 for n in reported) / len(reported)
    (tiny,) = (f for f in again.verdict.criteria if f.name == "tiny")
    assert tiny.value.value == pytest.approx(share)
    assert "2 mm or less" in tiny.sentence
    # What is kept is still the share of 5 mm or less, as its name says: judged back, all is as it was.
    assert again.pattern == COHORT[0].pattern
    assert rejudge(again, PROTOCOL) == rejudge(COHORT[0], PROTOCOL)


@pytest.mark.parametrize("way", ["as-it-is", "by-a-link", "by-dots", "as-a-url"])
def test_a_store_is_not_judged_into_itself(store, stricter, way):
    linked = store.parent / "linked.db"
    linked.symlink_to(store)
    (store.parent / "beside").mkdir()
    named = {
        "as-it-is": store,
        "by-a-link": linked,
        "by-dots": store.parent / "beside" / ".." / store.name,
        "as-a-url": f"sqlite:///{store}",
    }
    before = store.read_bytes()
    done = run("rejudge", "--store", named[way], "--protocol", stricter, "--out", store.parent)
    assert done.exit_code == 2
    assert "another folder" in done.output
    assert store.read_bytes() == before


@pytest.mark.parametrize("command", [("explain", "1.1"), ("rejudge",)])
def test_a_store_that_is_not_there_is_said_and_not_made(tmp_path, command):
    done = run(*command, "--store", tmp_path / "typo.db", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "there is no store" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("explain", "1.1"), ("rejudge",)])
def test_pictures_that_are_damaged_are_one_sentence(store, tmp_path, command):
    with open_store(store) as database:
        database.save(StoredStudy.of(COHORT[0], "images", b"PK half a zip"))
    done = run(*command, "--store", store, "--out", tmp_path / "out")
    assert isinstance(done.exception, SystemExit)
    assert "is damaged" in done.output


def test_the_page_says_that_studies_were_not_all_screened_alike(store, stricter, tmp_path):
    assert run("rejudge", "--store", store, "--protocol", stricter, "--out", tmp_path / "one").exit_code == 0
    assert "screened alike" not in (tmp_path / "one" / "report.html").read_text()
    other = replace(COHORT[2], provenance=replace(COHORT[2].provenance, model_version="of last year"))
    with open_store(store) as database:
        database.save(StoredStudy.of(other, "images"))
    assert run("rejudge", "--store", store, "--protocol", stricter, "--out", tmp_path / "two").exit_code == 0
    page = " ".join((tmp_path / "two" / "report.html").read_text().split())
    assert "2 by mipc 0.1.0, model none, protocol strict; 1 by mipc 0.1.0, model of last year" in page
    footer = page[page.index("<footer>") :]
    assert footer.count("model none") == footer.count("model of last year") == 1


def test_a_spreadsheet_runs_nothing_of_the_changes(stricter, tmp_path):
    """A cell that begins with = + - or @ is run (OWASP, CSV Injection)."""
    study = replace(COHORT[1].study, patient_id="=1+1")
    with open_store(tmp_path / "mipc.db") as database:
        database.save(StoredStudy.of(replace(COHORT[1], study=study), "images"))
    stricter.write_text(stricter.read_text().replace('"strict"', '"@strict"'))
    out = tmp_path / "again"
    done = run("rejudge", "--store", tmp_path / "mipc.db", "--protocol", stricter, "--out", out)
    assert done.exit_code == 0, done.output
    with (out / "changes.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["patient_id"], row["after"]) == ("'=1+1", "not_mipc")
    assert row["protocol"].startswith("'@strict@")
    assert row["program_version"] == COHORT[1].provenance.program_version
    assert row["model_version"] == COHORT[1].provenance.model_version


def test_explain_prints_the_paragraph_every_finding_and_what_made_it(store, tmp_path):
    done = run("explain", "1.2", "--store", store, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    for finding in (*COHORT[1].verdict.criteria, *COHORT[1].verdict.exclusions):
        assert f"  {finding.name} " in done.output
    assert COHORT[1].verdict.sentence[:60] in done.output
    assert "times what chance gives" in done.output
    assert "There is no picture of it." in done.output


def test_explain_draws_the_picture(store, tmp_path):
    volume, lungs = chest([((0.0, 0.0, 0.0), 4.0)])
    volume.hu[:] += np.random.default_rng(3).integers(-120, 120, volume.hu.shape, dtype=np.int16)
    with open_store(store) as database:
        pictures = draw(volume, lungs, COHORT[0].nodules).to_bytes()
        database.save(StoredStudy.of(COHORT[0], "images", pictures))
    told = json.loads(run("explain", "1.1", "--store", store, "--out", tmp_path, "--json").output)
    with Image.open(told["picture"]) as picture:
        assert picture.width > picture.height
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    assert told["paragraph"] == COHORT[0].verdict.sentence
    assert told["criteria"][0]["threshold"] == 50.0


def of_patient(patient_id, uid):
    screening = screened(uid)
    return replace(screening, study=replace(screening.study, patient_id=patient_id))


def test_explain_asks_for_more_where_several_fit(store):
    done = run("explain", "1.", "--store", store)
    assert done.exit_code == 1
    assert "3 studies fit 1.: 1.1 (P-001, 2008-03-14), 1.2 (P-001" in done.output


def test_explain_names_some_of_many_that_fit_and_counts_the_others(store):
    with open_store(store) as database:
        for number in range(4, 10):
            database.save(StoredStudy.of(screened(f"1.{number}"), "images"))
    done = run("explain", "P-001", "--store", store)
    assert done.exit_code == 1
    assert done.output.count("(P-001, 2008-03-14)") == 5
    assert "and 4 more; give one whole UID" in done.output


@pytest.mark.parametrize(
    ("asked", "uid"),
    [
        pytest.param("1", "1.4", id="a-patient-before-the-beginning-of-every-uid"),
        pytest.param("1.1", "1.1", id="a-study-before-a-patient-named-so"),
        pytest.param("1.3", "1.3", id="a-study-before-those-that-begin-with-it"),
        pytest.param("1.9", "1.90", id="the-beginning-of-one"),
    ],
)
def test_explain_takes_what_fits_exactly(store, asked, uid):
    with open_store(store) as database:
        for one in (of_patient("1", "1.4"), of_patient("1.1", "1.90"), of_patient("P-002", "1.30")):
            database.save(StoredStudy.of(one, "images"))
    done = run("explain", asked, "--store", store, "--json", "--out", store.parent)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["study_uid"] == uid


def test_the_text_names_larger_lesions_as_candidates_for_the_primary():
    large = replace(COHORT[0].nodules[0], diameter_mm=Estimate(24.0, 22.0, 26.0), reported=True)
    text = as_text(replace(COHORT[0], nodules=(large,)))
    assert "candidates for the primary tumour" in text
    assert "24 mm" in text


def test_moving_a_threshold_counts_who_would_change():
    rows = tabulate([varied(s) for s in COHORT], COHORT[0].verdict.criteria + COHORT[0].verdict.exclusions)
    profuse = next(row for row in rows if row.name == "profuse_least_nodules")
    assert profuse.values == tuple(50.0 * factor for factor in FACTORS)
    # 90 (70 to 120) nodules: profuse by 25, 37.5, 50 and 62.5, and astride 75.
    assert profuse.miliary == (2, 2, 2, 2, 1)
    assert profuse.indeterminate == (0, 0, 0, 0, 1)
    # Nothing measures more than six zones of six, or an evenness above one.
    beyond = {row.name: max(row.values) for row in rows}
    assert beyond["diffuse_least_zones"] == 6.0
    assert beyond["diffuse_least_evenness"] == 1.0
    unmoved = FACTORS.index(1.0)
    assert {row.miliary[unmoved] for row in rows} == {2}
