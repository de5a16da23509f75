"""What mipc respond wrote, entered into the patient table."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from analysis.clinical import read_clinical
from analysis.cohort_tables import response_table
from analysis.derivations import DAYS_PER_MONTH, derive
from analysis.dictionary import RESPONSES
from analysis.errors import AnalysisError
from analysis.kaplan_meier import kaplan_meier
from analysis.plan import Plan
from analysis.responses import with_responses
from mipc import app
from records.reads import Response

SDTM = Path(os.environ.get("MIPC_SHARED", Path(__file__).parents[3] / "shared")) / "clinical" / "sdtm"


def write(folder, best, points="", times="", series=""):
    (folder / "best_response.csv").write_text("USUBJID,evaluator,confirmation,best_response\n" + best)
    columns = "USUBJID,evaluator,VISITNUM,overall_response,sum_mm,baseline_mm\n"
    (folder / "responses.csv").write_text(columns + points)
    (folder / "adtte.csv").write_text("USUBJID,PARAMCD,ADT,AVALM,CNSR,EVALUATR,EVNTDESC\n" + times)
    (folder / "adrs.csv").write_text("USUBJID,PARAMCD,AVISITN,AVALC,EVALUATR,CAMEFROM\n" + series)


@pytest.fixture
def patients():
    rows = {"patient_id": ["a", "b", "c"], "best_response": ["", "PD", "PR"], "os_months": ["9", "8", "7"]}
    return derive(read_clinical(pd.DataFrame(rows)))


def test_responses_changes_and_endpoints_are_entered(tmp_path, patients):
    write(
        tmp_path,
        "a,R1,not required,PR\na,R1,required,SD\nb,R1,not required,NON-CR/NON-PD\nz,R1,not required,PD\n",
        "a,R1,2,SD,50,50\na,R1,3,PR,30,50\na,R1,4,NE,,50\na,R1,5,PD,45,50\n",
        "a,PFS,2020-05-01,4.5,0,R1,death\nb,PFS,2020-07-01,6.0,1,R1,no event\n"
        "a,PFS,2020-04-01,3.0,0,R2,death\n",
    )
    found = with_responses(patients, tmp_path)
    frame = found.frame.set_index("patient_id")
    assert frame["best_response"].tolist() == ["PR", "NPD", "PR"]
    assert frame.loc["a", "best_change_percent"] == pytest.approx(-40)
    assert frame["pfs_months"].tolist()[:2] == [4.5, 6.0]
    assert frame["pfs_event"].tolist()[:2] == [True, False]
    assert frame["pfs_event"].isna().tolist() == [False, False, True]
    assert frame.loc["a", "os_months"] == 9
    assert {(p.row, p.patient_id, p.value, p.sentence) for p in found.problems[len(patients.problems) :]} == {
        (0, "z", "z", "has responses, but is not in the table"),
        (4, "c", "PR", "not read: the table's response stands"),
    }
    assert with_responses(patients, tmp_path, confirmed=True).frame["best_response"].iloc[0] == "SD"


def test_several_evaluators_need_a_choice_unless_reads_were_accepted(tmp_path, patients):
    write(tmp_path, "a,R1,not required,PR\na,R2,not required,SD\n")
    with pytest.raises(AnalysisError, match="choose one: R1, R2"):
        with_responses(patients, tmp_path)
    assert with_responses(patients, tmp_path, evaluator="R2").frame["best_response"].iloc[0] == "SD"
    with pytest.raises(AnalysisError, match="no evaluator 'R3'"):
        with_responses(patients, tmp_path, evaluator="R3")
    write(tmp_path, "a,R1,not required,PR\na,ACCEPTED,not required,CR\n")
    assert with_responses(patients, tmp_path).frame["best_response"].iloc[0] == "CR"


def test_patients_never_read_are_told_apart_from_those_who_are_not_in_the_table(tmp_path, patients):
    write(tmp_path, "b,R1,not required,MISSING\nz,R1,not required,MISSING\nc,R1,not required,SD\n")
    found = with_responses(patients, tmp_path)
    assert found.frame["best_response"].tolist()[1:] == ["PD", "SD"]
    assert {(p.patient_id, p.sentence) for p in found.problems[len(patients.problems) :]} == {
        ("b", "not read: the table's response stands"),
        ("z", "has responses, but is not in the table"),
    }


@pytest.mark.parametrize("response", [one for one in Response if one is not Response.MISSING])
def test_every_best_response_has_its_column_in_the_table_of_responses(tmp_path, response):
    write(tmp_path, f"a,R1,not required,{response}\nb,R1,not required,PR\n")
    table = pd.DataFrame({"patient_id": ["a", "b"], "line1": ["gefitinib"] * 2, "os_months": ["9", "8"]})
    found = with_responses(derive(read_clinical(table)), tmp_path)
    (row,) = response_table(found.frame, Plan()).rows
    assert row.cells["n"] == "2"
    assert sum(int(row.cells.get(name, "0")) for name in RESPONSES) == 2


def test_responses_of_nobody_are_refused(tmp_path, patients):
    write(tmp_path, "")
    with pytest.raises(AnalysisError, match="responses of nobody"):
        with_responses(patients, tmp_path)


def test_tables_that_a_spreadsheet_saved_with_semicolons_are_read(tmp_path, patients):
    write(tmp_path, "a,R1,not required,PR\n", "a,R1,2,PR,30,50\n", "a,PFS,2020-05-01,4.5,0,R1,death\n")
    for path in tmp_path.iterdir():
        path.write_text("\ufeff" + path.read_text().replace(",", ";"), encoding="utf-8")
    frame = with_responses(patients, tmp_path).frame
    assert (frame["best_response"].iloc[0], frame["pfs_months"].iloc[0]) == ("PR", 4.5)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        pytest.param("best_response", "patient,best\na,PR\n", ": has no column USUBJID", id="other-columns"),
        pytest.param("best_response", "", ": is empty", id="empty"),
        pytest.param("responses", "USUBJID\xe9", ": is not a CSV file in UTF-8", id="latin-1"),
        pytest.param(
            "adtte",
            'USUBJID,PARAMCD,ADT,AVALM,CNSR,EVALUATR,EVNTDESC\na,PFS,2020-05-01,"4,5",0,R1,death\n',
            ", AVALM: '4,5' is no number",
            id="months-with-a-comma",
        ),
        pytest.param(
            "adtte",
            "USUBJID,PARAMCD,ADT,AVALM,CNSR,EVALUATR,EVNTDESC\na,PFS,01.05.2020,4.5,0,R1,death\n",
            ", ADT: '01.05.2020' is no day as YYYY-MM-DD",
            id="days-with-points",
        ),
        pytest.param(
            "responses",
            'USUBJID,evaluator,VISITNUM,overall_response,sum_mm,baseline_mm\na,R1,2,PR,"30,5",50\n',
            ", sum_mm: '30,5' is no number",
            id="sizes-with-a-comma",
        ),
    ],
)
def test_tables_that_are_not_as_respond_wrote_them_are_refused(tmp_path, patients, name, text, sentence):
    write(tmp_path, "a,R1,not required,PR\n")
    (tmp_path / f"{name}.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(AnalysisError, match=re.escape(f"{name}.csv{sentence}")):
        with_responses(patients, tmp_path)


def test_another_folder_is_refused(tmp_path, patients):
    with pytest.raises(AnalysisError, match=r"has no best_response\.csv"):
        with_responses(patients, tmp_path)


@pytest.mark.skipif(not SDTM.is_dir(), reason="needs the trial files: set MIPC_SHARED")
def test_what_respond_writes_is_what_analyse_reads(tmp_path):
    """Two subjects of pharmaversesdtm: CR (accepted) and PD."""
    done = CliRunner().invoke(app, ["respond", str(SDTM), "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    table = pd.DataFrame({"patient_id": ["01-701-1015", "01-701-1028"]})
    found = with_responses(derive(read_clinical(table)), tmp_path).frame
    assert found["best_response"].tolist() == ["CR", "PD"]
    # Accepted: radiologist 2 of the first, 95 mm to 7 mm; radiologist 1 of the second, 94.36 mm to 90.86 mm.
    assert found["best_change_percent"].tolist() == pytest.approx([-92.6, -3.7], abs=0.05)


@pytest.mark.skipif(not SDTM.is_dir(), reason="needs the trial files: set MIPC_SHARED")
@pytest.mark.parametrize(
    ("choice", "patients_counted", "not_evaluable", "word"),
    [("failure", 3, "1", "not evaluable"), ("left_out", 2, None, "not counted")],
)
def test_disease_control_is_the_same_rate_in_both_commands(
    tmp_path, choice, patients_counted, not_evaluable, word
):
    """Of two who were read one had disease controlled (CR and PD); a third was treated and never scanned."""
    names = ["01-701-1015", "01-701-1028", "never"]
    people = pd.DataFrame({"USUBJID": names, "TRTSDT": ["2014-01-02", "2013-07-19", "2013-07-19"]})
    people.to_csv(tmp_path / "people.txt", index=False)
    (tmp_path / "choice.toml").write_text(f'not_evaluable = "{choice}"')
    arguments = ["respond", str(SDTM), "--out", str(tmp_path), "--subjects", str(tmp_path / "people.txt")]
    arguments += ["--protocol", str(tmp_path / "choice.toml")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    rates = pd.read_csv(tmp_path / "rates.csv").set_index(["evaluator", "confirmation", "rate"])
    rate = rates.loc["ACCEPTED", "not required", "disease control"]
    assert (rate["count"], rate["patients"]) == (1, patients_counted)
    table = derive(read_clinical(pd.DataFrame({"patient_id": names, "line1": ["gefitinib"] * 3})))
    found = with_responses(table, tmp_path)
    (row,) = response_table(found.frame, Plan()).rows
    assert (row.cells["n"], row.cells["CR"], row.cells.get("NE")) == (
        str(patients_counted),
        "1",
        not_evaluable,
    )
    assert row.values["disease_control_rate"] == pytest.approx(rate["share"], abs=5e-5)
    assert [p.patient_id for p in found.problems if word in p.sentence] == ["never"]
    # The third belongs to the accepted series, whoever was not read.
    series = pd.read_csv(tmp_path / "adrs.csv").query("EVALUATR == 'ACCEPTED' and PARAMCD == 'BOR'")
    assert set(series["EVALTYPE"]) == {"ACCEPTED"}


def test_patients_without_a_known_response_are_counted_below_the_table():
    rows = {
        "patient_id": list("abcd"),
        "line1": ["gefitinib"] * 3 + [""],
        "best_response": ["PR", "", "", ""],
    }
    found = response_table(derive(read_clinical(pd.DataFrame(rows))).frame, Plan())
    assert found.notes[-1] == "Without a known response, and not counted: EGFR-TKI (2)."


def test_the_best_change_is_sought_up_to_progression(tmp_path, patients):
    """As the best response is: what shrinks after progression owes it to the next treatment."""
    write(
        tmp_path,
        "a,R1,not required,PD\nb,R1,not required,PD\n",
        "a,R1,2,PD,60,50\na,R1,3,PR,20,50\nb,R1,2,SD,45,50\nb,R1,3,PD,,50\nb,R1,4,PR,10,50\n",
    )
    found = with_responses(patients, tmp_path).frame["best_change_percent"]
    assert found.tolist()[:2] == pytest.approx([20, -10])


def test_the_change_of_accepted_reads_is_that_of_the_accepted_reader_at_each_visit(tmp_path, patients):
    write(
        tmp_path,
        "a,R1,not required,PR\na,ACCEPTED,not required,PR\n",
        "a,R1,2,SD,45,50\na,R1,3,PR,5,50\na,R2,2,SD,36,40\na,R2,3,PR,24,40\n",
        series="a,OVR,2,SD,ACCEPTED,R1\na,OVR,3,PR,ACCEPTED,R2\na,OVR,3,PR,R1,R1\n",
    )
    frame = patients.frame.assign(best_change_percent=[float("nan"), -15.0, 3.0])
    found = with_responses(replace(patients, frame=frame), tmp_path).frame["best_change_percent"]
    assert found.tolist() == pytest.approx([-40, -15, 3])


def test_one_day_is_one_time_whichever_table_tells_it(tmp_path):
    """Died on day 60, and left on day 60: both are at risk, so that half survive (Kaplan and Meier 1958)."""
    write(tmp_path, "a,R1,not required,PR\n")
    (tmp_path / "adtte.csv").write_text(
        "USUBJID,PARAMCD,ADT,AVAL,AVALU,AVALM,CNSR,EVALUATR,EVNTDESC\n"
        "a,OS,2020-03-01,61,DAYS,1.9713,0,,death\n"
    )
    rows = {"patient_id": ["a", "b"], "diagnosis_date": ["2020-01-01"] * 2}
    table = derive(read_clinical(pd.DataFrame(rows | {"last_contact_date": ["2020-02-01", "2020-03-01"]})))
    frame = with_responses(table, tmp_path).frame
    assert frame["os_months"].tolist() == [60 / DAYS_PER_MONTH] * 2
    assert kaplan_meier(frame["os_months"], frame["os_event"].astype(float)).survival[-1] == 0.5


def test_progression_and_death_are_told_apart_by_what_ended_the_time(tmp_path, patients):
    """A date of progression in the table says nothing any more of a time that was taken over."""
    write(
        tmp_path,
        "a,R1,not required,PR\n",
        times="a,PFS,2020-05-01,4.5,0,R1,progression\nb,PFS,2020-07-01,6.0,0,R1,death\n",
    )
    given = pd.to_datetime(["2020-01-01", "2020-02-02", "2020-03-03"])
    frame = patients.frame.assign(progression_date=given)
    found = with_responses(replace(patients, frame=frame), tmp_path).frame["progression_date"]
    assert found.iloc[0] == pd.Timestamp("2020-05-01")
    assert found.isna().tolist() == [False, True, False]
    assert found.iloc[2] == given[2]
