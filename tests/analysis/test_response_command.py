"""`mipc respond`: files in, tables out, one sentence for what is wrong."""

import csv
import hashlib
import json
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from analysis.recist.protocol import EarlyDeath, ResponseProtocol, read_response_protocol
from analysis.response import RESPONSE_COLUMNS
from mipc import app
from records.reads import reads_to_json
from tests.analysis.recist_cases import sums

TU = "USUBJID,VISITNUM,VISIT,TULOC,TUORRES,TULNKID\nP1,1,BASELINE,LIVER,TARGET,T01\n"
TR_HEADER = "USUBJID,VISITNUM,VISIT,TRLNKID,TRTESTCD,TRORRES,TRORRESU,TRDTC\n"
TR = TR_HEADER + "".join(
    f"P1,{number},WEEK {6 * number - 6},T01,LDIAM,{size},mm,{day}\n"
    for number, size, day in ((1, 100, "2024-01-01"), (2, 70, "2024-02-12"), (3, 84, "2024-03-25"))
)
RS = "USUBJID,VISITNUM,RSTESTCD,RSORRES,RSACPTFL\nP1,2,OVRLRESP,PR,Y\nP1,3,OVRLRESP,SD,Y\n"
SUBJECTS = "USUBJID,DIAGDT,TRTSDT,DTHDT\nP1,2023-12-01,2024-01-01,2024-06-01\n"


@pytest.fixture
def folder(tmp_path):
    for name, text in (("tu.csv", TU), ("tr.csv", TR), ("rs.csv", RS), ("people.txt", SUBJECTS)):
        (tmp_path / name).write_text(text)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, ["respond", *map(str, arguments)])


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def numbers_as_in(folder, separator, change):
    """Write the trial's files as a spreadsheet of another country does."""
    for name, text in (("tu.csv", TU), ("tr.csv", TR.replace(",70,", ",69.5,"))):
        rows = list(csv.reader(text.splitlines()))
        with (folder / name).open("w", newline="") as file:
            csv.writer(file, delimiter=separator).writerows([[change(cell) for cell in row] for row in rows])


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_decimal_commas_make_the_same_tables_and_are_told(folder, separator):
    """The same trial twice: sizes and visit numbers with points, and with commas."""
    numbers_as_in(folder, ",", str)
    assert run(folder, "--out", folder / "points").exit_code == 0
    numbers_as_in(folder, separator, lambda cell: cell.replace("69.5", "69,5"))
    done = run(folder, "--out", folder / "commas", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["decimal_commas"] == 1
    for name in ("responses.csv", "best_response.csv", "adrs.csv"):
        assert (folder / "commas" / name).read_text() == (folder / "points" / name).read_text()
    assert "69.5" in (folder / "commas" / "responses.csv").read_text()
    assert "# tr.csv: commas read as decimal points: 1\n" in (folder / "commas" / "protocol.toml").read_text()


@pytest.mark.parametrize("cells", [("70,125", "84"), ("69,5", "84.0")], ids=["thousands", "beside-points"])
def test_commas_that_leave_a_doubt_are_refused_by_their_row(folder, cells):
    change = dict(zip(("69.5", "84"), cells, strict=True))
    numbers_as_in(folder, ";", lambda cell: change.get(cell, cell))
    done = run(folder, "--out", folder / "out")
    assert done.exit_code == 1
    assert (
        f"tr.csv row 3: T01: the size '{cells[0]}' is not a number; the column does not tell" in done.stderr
    )
    assert not (folder / "out").exists()


def test_trial_files_become_tables(folder):
    done = run(folder, "--out", folder / "out", "--subjects", folder / "people.txt", "--irecist", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["time_points"] == 2
    rows = table(folder / "out" / "responses.csv")
    assert tuple(rows[0]) == RESPONSE_COLUMNS
    assert [row["overall_response"] for row in rows] == ["PR", "PD"]
    assert (rows[1]["sum_mm"], rows[1]["nadir_mm"], rows[1]["baseline_mm"]) == ("84", "70", "100")
    assert "20 %" in rows[1]["rule"]
    best = {
        (row["evaluator"], row["confirmation"]): row["best_response"]
        for row in table(folder / "out" / "best_response.csv")
    }
    assert best["INVESTIGATOR", "not required"] == "PR"
    assert best["INVESTIGATOR", "required"] == "SD"
    assert best["ACCEPTED", "not required"] == "PR"
    times = {(row["PARAMCD"], row["EVALUATR"]): row for row in table(folder / "out" / "adtte.csv")}
    assert times["OS", ""]["AVAL"] == "184"
    assert times["PFS", "INVESTIGATOR"]["ADT"] == "2024-03-25"
    assert [row["irecist_response"] for row in table(folder / "out" / "irecist.csv")] == ["iPR", "iUPD"]
    (immune,) = table(folder / "out" / "irecist_best.csv")
    assert (immune["irecist_best"], immune["progression_date"]) == ("iPR", "2024-03-25")
    stated = table(folder / "out" / "stated_differences.csv")
    assert [(row["stated"], row["computed"], row["row"]) for row in stated] == [("SD", "PD", "rs.csv row 3")]
    assert {row["PARAMCD"] for row in table(folder / "out" / "adrs.csv")} == {"OVR", "BOR", "CBOR"}


def test_what_was_seen_after_a_new_therapy_counts_in_neither_best_response(folder):
    """The best response of a treatment ends with it, by iRECIST too (Seymour 2017, Lancet Oncol 18:e143)."""
    (folder / "people.txt").write_text("USUBJID,TRTSDT,NEWTRTDT\nP1,2024-01-01,2024-03-01\n")
    (folder / "tr.csv").write_text(TR.replace(",70,", ",95,").replace(",84,", ",40,"))
    done = run(folder, "--out", folder / "out", "--subjects", folder / "people.txt", "--irecist")
    assert done.exit_code == 0, done.output
    assert table(folder / "out" / "irecist.csv")[1]["irecist_response"] == "iPR"
    best = {row["best_response"] for row in table(folder / "out" / "best_response.csv")}
    assert best == {"SD"}
    (immune,) = table(folder / "out" / "irecist_best.csv")
    assert (immune["irecist_best"], immune["date"]) == ("iSD", "2024-02-12")


def test_one_patient_is_no_patients(folder):
    done = run(folder, "--out", folder / "out")
    assert done.stdout.startswith("1 patient, 1 evaluator, 2 time points, ")


def test_reads_of_the_viewer_become_tables(tmp_path):
    (tmp_path / "reads.json").write_text(reads_to_json(sums(100, 70, 84)))
    assert run(tmp_path / "reads.json", "--out", tmp_path / "out").exit_code == 0
    rows = table(tmp_path / "out" / "responses.csv")
    assert [row["overall_response"] for row in rows] == ["PR", "PD"]


def test_protocol_days_can_be_chosen(folder):
    run(folder, "--out", folder / "out", "--stable-days", 43)
    best = {row["confirmation"]: row["best_response"] for row in table(folder / "out" / "best_response.csv")}
    assert best["required"] == "PD"


def test_protocol_file_says_what_recist_leaves_open(folder):
    (folder / "more.txt").write_text(SUBJECTS + "P2,2024-01-01,2024-01-05,\n")
    (folder / "respond.toml").write_text('not_evaluable = "left_out"\nminimum_stable_days = 43\n')
    for options, patients in (((), "2"), (("--protocol", folder / "respond.toml"), "1")):
        done = run(folder, "--out", folder / "out", "--subjects", folder / "more.txt", *options)
        assert done.exit_code == 0, done.output
        rates = {
            (row["evaluator"], row["confirmation"], row["rate"]): row
            for row in table(folder / "out" / "rates.csv")
        }
        assert rates["INVESTIGATOR", "not required", "objective response"]["patients"] == patients
    best = {
        (row["USUBJID"], row["confirmation"]): row["best_response"]
        for row in table(folder / "out" / "best_response.csv")
        if row["evaluator"] == "INVESTIGATOR"
    }
    assert best == {
        ("P1", "required"): "PD",
        ("P1", "not required"): "PR",
        ("P2", "required"): "MISSING",
        ("P2", "not required"): "MISSING",
    }


def test_tables_say_by_what_program_choices_and_files_they_were_made(folder):
    (folder / "respond.toml").write_text('early_death = "progression"\ndouble_slice_for_nodes = true\n')
    options = ("--protocol", folder / "respond.toml", "--stable-days", 40, "--scan-days", 56)
    run(folder, "--out", folder / "out", "--subjects", folder / "people.txt", *options)
    text = (folder / "out" / "protocol.toml").read_text()
    assert read_response_protocol(text) == ResponseProtocol(
        early_death=EarlyDeath.PROGRESSION, double_slice_for_nodes=True, minimum_stable_days=40
    )
    for name in ("tu.csv", "tr.csv", "rs.csv", "people.txt"):
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert f"# {name}: sha256 {digest}\n" in text
    assert text.startswith(f"# mipc {version('mipc')}\n")
    assert "# scans due every 56 days, 7 days early or late\n" in text
    again = run(folder, "--out", folder / "again", "--protocol", folder / "out" / "protocol.toml")
    assert again.exit_code == 0, again.output


def test_protocol_file_tells_all_that_is_wrong_with_it(folder):
    (folder / "respond.toml").write_text('early_death = "soon"\nstable = 3\nbaseline_days = -1\n')
    done = run(folder, "--out", folder / "out", "--protocol", folder / "respond.toml")
    assert done.exit_code == 1
    for words in ("early_death = 'soon'", "stable: no such choice", "baseline_days = -1"):
        assert words in done.stderr
    assert not (folder / "out").exists()


def test_patients_of_one_table_alone_are_named_and_counted(folder):
    """A number spelled in small letters makes two patients of one: neither is silent."""
    (folder / "people.txt").write_text(SUBJECTS.replace("P1", "p1"))
    done = run(folder, "--out", folder / "out", "--subjects", folder / "people.txt", "--json")
    summary = json.loads(done.stdout)
    assert (summary["patients"], summary["without_dates"], summary["never_read"]) == (1, 1, 1)
    (departure,) = table(folder / "out" / "departures.csv")
    assert departure["code"] == "no_dates"
    assert departure["sentence"].startswith("P1 has reads and no dates: ")
    assert departure["sentence"].endswith("; the dates have p1")
    assert {row["USUBJID"] for row in table(folder / "out" / "adtte.csv")} == {"p1"}


def test_scan_after_death_is_refused(folder):
    (folder / "people.txt").write_text(SUBJECTS.replace("2024-06-01", "2024-03-24"))
    done = run(folder, "--out", folder / "out", "--subjects", folder / "people.txt")
    assert done.exit_code == 1
    assert "WEEK 12 of 2024-03-25 comes after the death, 2024-03-24" in done.stderr


def test_bad_rows_are_told_together_and_nothing_is_written(folder):
    (folder / "tr.csv").write_text(TR + "P1,4,WEEK 18,T01,LDIAM,-5,mm,2024-02-01\n")
    (folder / "people.txt").write_text(SUBJECTS + "P1,,,\n")
    done = run(folder, "--out", folder / "out", "--subjects", folder / "people.txt")
    assert done.exit_code == 1
    for words in ("tr.csv row 5", "-5 mm", "2024-02-01 comes after", "people.txt row 3", "3 problems"):
        assert words in done.stderr
    assert not (folder / "out").exists()


def test_a_new_therapy_before_the_first_is_refused(folder):
    """It would censor progression-free survival before it begins."""
    (folder / "people.txt").write_text("USUBJID,TRTSDT,NEWTRTDT\nP1,2024-01-01,2023-12-01\n")
    done = run(folder, "--out", folder / "out", "--subjects", folder / "people.txt")
    assert done.exit_code == 1
    assert "people.txt row 2: P1: TRTSDT 2024-01-01 comes after NEWTRTDT 2023-12-01" in done.stderr


def test_a_protocol_in_other_letters_is_named(folder):
    (folder / "respond.toml").write_bytes("# für alle\n".encode("latin-1"))
    done = run(folder, "--out", folder / "out", "--protocol", folder / "respond.toml")
    assert done.exit_code == 1
    assert done.stderr.startswith("mipc: respond.toml is not text in UTF-8")


def test_what_follows_a_new_therapy_is_seen_not_to_count(folder):
    """The nadir, 20 mm, comes after the second line began; up to then the best is -30 %."""
    more = "P1,4,WEEK 18,T01,LDIAM,20,mm,2024-05-06\n"
    (folder / "tr.csv").write_text(TR.replace(",84,", ",72,") + more)
    (folder / "people.txt").write_text("USUBJID,TRTSDT,NEWTRTDT\nP1,2024-01-01,2024-04-20\n")
    out = folder / "out"
    assert run(folder, "--out", out, "--subjects", folder / "people.txt").exit_code == 0
    assert {row["new_therapy"] for row in table(out / "responses.csv")} == {"2024-04-20"}
    (best,) = (
        row
        for row in table(out / "best_response.csv")
        if (row["evaluator"], row["confirmation"]) == ("INVESTIGATOR", "not required")
    )
    assert best["rule"].endswith("what was seen after the new therapy of 2024-04-20 does not count")
    times = {row["PARAMCD"]: row for row in table(out / "adtte.csv") if row["EVALUATR"] == "INVESTIGATOR"}
    assert "new therapy on 2024-04-20" in times["PFSFDA"]["RULE"]
    (folder / "clinical.csv").write_text("patient_id,os_months,os_event\nP1,5,1\n")
    chosen = ["--responses", out, "--evaluator", "INVESTIGATOR", "--out", folder / "analysis"]
    done = CliRunner().invoke(app, ["analyse", *map(str, [folder / "clinical.csv", *chosen])])
    assert done.exit_code == 0, done.output
    (row,) = table(folder / "analysis" / "analysis_dataset.csv")
    assert row["best_change_percent"] == "-30.0"


def test_a_spreadsheet_runs_nothing_of_the_responses_and_patients_stay_the_same(folder):
    for name, text in (("tu.csv", TU), ("tr.csv", TR), ("rs.csv", RS), ("people.txt", SUBJECTS)):
        (folder / name).write_text(text.replace("P1,", "=P1,"))
    (folder / "people.txt").write_text(SUBJECTS.replace("P1,", "'=P1,"))  # one of them was written by us
    out = folder / "out"
    done = run(folder, "--out", out, "--subjects", folder / "people.txt")
    assert done.exit_code == 0, done.output
    for name in ("responses", "best_response", "adrs", "adtte"):
        assert {row["USUBJID"] for row in table(out / f"{name}.csv")} == {"'=P1"}, name
    (folder / "clinical.csv").write_text("patient_id,os_months,os_event\n=P1,5,1\n")
    arguments = ["analyse", folder / "clinical.csv", "--responses", out, "--out", folder / "analysis"]
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    (row,) = table(folder / "analysis" / "analysis_dataset.csv")
    assert (row["patient_id"], row["best_response"], row["best_change_percent"]) == ("'=P1", "PR", "-30.0")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        pytest.param("tr.csv", None, "found RS, TU", id="tr-missing"),
        pytest.param("again.csv", TU, "one file of a kind", id="two-tu"),
        pytest.param("tu.csv", "", "found RS, TR; tu.csv: is empty", id="tu-empty"),
        pytest.param("reads.json", "[]", "not both; found READS, RS, TR, TU", id="reads-beside-sdtm"),
    ],
)
def test_inputs_that_cannot_be_used(folder, name, text, words):
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text)
    done = run(folder, "--out", folder / "out")
    assert done.exit_code == 1
    assert words in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("{", "not JSON", id="not-json"),
        pytest.param('[{"subject_id": 3}]', "required field missing", id="not-reads"),
        pytest.param("[]", "there is no read in reads.json", id="none-yet"),
    ],
)
def test_reads_that_are_none(tmp_path, text, words):
    (tmp_path / "reads.json").write_text(text)
    done = run(tmp_path, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert words in done.stderr
    assert not (tmp_path / "out").exists()


def test_wrong_usage(tmp_path):
    assert run(tmp_path / "nowhere", "--out", tmp_path).exit_code == 2
