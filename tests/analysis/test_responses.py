"""What mipc respond wrote, entered into the patient table."""

import os
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from analysis.clinical import read_clinical
from analysis.derivations import derive
from analysis.errors import AnalysisError
from analysis.responses import with_responses
from mipc import app

SDTM = Path(os.environ.get("MIPC_SHARED", Path(__file__).parents[3] / "shared")) / "clinical" / "sdtm"


def write(folder, best, points="", times=""):
    (folder / "best_response.csv").write_text("USUBJID,evaluator,confirmation,best_response\n" + best)
    (folder / "responses.csv").write_text("USUBJID,evaluator,sum_mm,baseline_mm\n" + points)
    (folder / "adtte.csv").write_text("USUBJID,PARAMCD,AVALM,CNSR,EVALUATR,EVNTDESC\n" + times)


@pytest.fixture
def patients():
    rows = {"patient_id": ["a", "b", "c"], "best_response": ["", "PD", "PR"], "os_months": ["9", "8", "7"]}
    return derive(read_clinical(pd.DataFrame(rows)))


def test_responses_changes_and_endpoints_are_entered(tmp_path, patients):
    write(
        tmp_path,
        "a,R1,not required,PR\na,R1,required,SD\nb,R1,not required,NON-CR/NON-PD\nz,R1,not required,PD\n",
        "a,R1,50,50\na,R1,30,50\na,R1,,50\na,R1,45,50\n",
        "a,PFS,4.5,0,R1,death\nb,PFS,6.0,1,R1,no event\na,PFS,3.0,0,R2,death\n",
    )
    found = with_responses(patients, tmp_path)
    frame = found.frame.set_index("patient_id")
    assert frame["best_response"].tolist() == ["PR", "NPD", "PR"]
    assert frame.loc["a", "best_change_percent"] == pytest.approx(-40)
    assert frame["pfs_months"].tolist()[:2] == [4.5, 6.0]
    assert frame["pfs_event"].tolist()[:2] == [True, False]
    assert frame["pfs_event"].isna().tolist() == [False, False, True]
    assert frame.loc["a", "os_months"] == 9
    assert ("z", "has reads, but is not in the table") in {(p.patient_id, p.sentence) for p in found.problems}
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
