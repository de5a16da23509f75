"""The audit of printed tables: on made-up papers with known faults, and on Wu 2013 where at hand."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from analysis.audit_report import as_markdown
from analysis.comparisons import CountRule
from analysis.consistency import FindingKind
from analysis.errors import AnalysisError
from analysis.printed_tables import PrintedNumber, read_tables
from analysis.publication import audit_folder, audit_tables, read_claims
from analysis.recompute import Candidate, recompute
from mipc import app

SHARED = Path(os.environ.get("MIPC_SHARED", Path(__file__).parents[3] / "shared"))
PAPER = SHARED / "paper" / "tables"
needs_paper = pytest.mark.skipif(not PAPER.is_dir(), reason="needs the paper's tables: set MIPC_SHARED")


def write(folder, name, text):
    (folder / f"{name}.csv").write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n")


@pytest.fixture
def folder(tmp_path):
    """Write a paper of two arms: `sex` is right, `smoking` does not add up, `stage` departs from the rule."""
    write(
        tmp_path,
        "table1",
        """variable,level,drug_n,placebo_n,paper_p,paper_test
        total,,40,40,,
        age,mean,61.0,66.0,0.010,t-test
        age,min,40,45,,
        age,max,80,90,,
        sex,female,25,15,0.025,chi-squared
        sex,male,15,25,,
        smoking,never,30,20,0.013,chi-squared
        smoking,ever,10,20,,
        stage,early,36,30,0.077,chi-squared
        stage,late,4,10,,
        site,bone,9,9,0.999,chi-squared
        site,brain,4,8,0.210,Fisher""",
    )
    write(
        tmp_path,
        "table2",
        """factor,level,n,median_os_months,univariate_p,hr,hr_low,hr_high,multivariate_p
        sex,female,40,12.0,0.5,1,,,
        sex,male,40,11.0,,1.50,1.10,2.05,0.0110
        stage,early,66,14.0,0.01,1,,,
        stage,late,14,7.0,,2.00,1.20,2.20,0.4000
        site,none,77,14.0,0.01,1,,,
        site,liver,3,2.0,,40.00,10.00,160.00,<0.0001""",
    )
    return tmp_path


def by_place(audit):
    return {p.place: p for p in audit.p_values}


def test_p_values_are_traced_to_their_tests(folder):
    found = by_place(audit_folder(folder))
    assert found["table1: sex"].used is Candidate.CHI_SQUARED
    assert not found["table1: sex"].departs_from_rule
    # 30/10 against 20/20: chi-squared 0.0209, nowhere near 0.013.
    assert not found["table1: smoking"].matches
    # 4 of 40 against 8 of 40: expected 6, so the rule asks for chi-squared (0.21); Fisher's would be 0.35.
    assert found["table1: site, brain"].rule_test is Candidate.CHI_SQUARED


def test_the_digits_of_another_test_than_the_one_named_are_seen(folder):
    text = as_markdown(audit_folder(folder))
    assert "said to be Fisher, the digits are chi-squared's" in text


def test_a_rule_can_be_held_against_the_paper(folder):
    audit = audit_folder(folder, rule=CountRule.OBSERVED_BELOW_5)
    assert "table1: stage" in {p.place for p in audit.departures}


def test_levels_that_do_not_add_up_in_one_group_are_found(tmp_path):
    write(
        tmp_path,
        "t",
        """variable,level,a_n,b_n
        total,,40,40
        sex,female,25,15
        sex,male,15,24""",
    )
    (finding,) = audit_folder(tmp_path).of_kind(FindingKind.SUM)
    assert finding.sentence == "b_n: levels add up to 39, the group has 40"


def test_hazard_ratios_are_held_against_limits_p_values_and_numbers(folder):
    audit = audit_folder(folder)
    wrong = {f.place for f in audit.of_kind(FindingKind.CONTRADICTION)}
    assert "table2: stage, late" in wrong
    assert "table2: sex, male" not in wrong
    (fragile,) = audit.of_kind(FindingKind.FRAGILE)
    assert fragile.sentence == "hazard ratio 40.00 (10.00 to 160.00) rests on 3 patients"


def test_spread_implied_by_a_t_test_is_told(folder):
    notes = [f.sentence for f in audit_folder(folder).findings if f.place == "table1: age"]
    # t(78, 0.01) = 2.6403, 5 / (2.6403 sqrt(2 / 40)) = 8.47.
    assert any("standard deviation of 8.5, possible" in note for note in notes)


def test_parts_of_a_group_in_another_table_are_recognised_and_checked(tmp_path):
    rows = [("sex", "f"), ("sex", "m"), ("ps", "0"), ("ps", "1"), ("m", "bone"), ("m", "brain")]
    yes, no = [10, 14, 12, 12, 5, 3], [9, 7, 8, 8, 2, 4]
    lines = ["total,,24,16", *(f"{v},{x},{a},{b}" for (v, x), a, b in zip(rows, yes, no, strict=True))]
    write(tmp_path, "parts", "variable,level,yes_n,no_n\n" + "\n".join(lines))
    both = [a + b for a, b in zip(yes, no, strict=True)]
    both[-1] += 1
    lines = ["total,,40,90", *(f"{v},{x},{a},9" for (v, x), a in zip(rows, both, strict=True))]
    write(tmp_path, "whole", "variable,level,tested_n,other_n\n" + "\n".join(lines))
    found = [
        f for f in audit_folder(tmp_path).of_kind(FindingKind.CONTRADICTION) if f.place.startswith("whole")
    ]
    assert [f.sentence for f in found if "m, brain" in f.sentence] == [
        "m, brain: 8 against 3 + 4 (taken for the sum of parts yes_n and parts no_n)"
    ]


def test_a_rate_is_traced_to_the_categories_it_counts(tmp_path):
    write(
        tmp_path,
        "response",
        """arm,n,pr,sd,pd,control_rate,paper_p
        drug,40,20,8,12,0.70,0.003
        none,40,8,7,25,0.38,""",
    )
    audit = audit_folder(tmp_path)
    assert [f.sentence for f in audit.of_kind(FindingKind.NOTE)] == ["control_rate counts pr + sd"]
    assert audit.p_values[0].table == ((28, 12), (15, 25))


def test_claims_beside_the_tables_are_read(folder):
    (folder / "claims.toml").write_text(
        'name = "P"\n[[sum]]\nplace = "text"\nparts = [1, 2]\nwhole = 4\n'
        '[[share]]\nplace = "abstract"\npart = 1\nwhole = 3\npercent = "34"\n'
    )
    found = {f.sentence for f in audit_folder(folder).findings}
    assert "1 + 2 = 3, printed 4" in found
    assert "1 of 3 is 33.3 %, printed 34 %" in found


def test_unreadable_claims_and_tables_are_refused(tmp_path):
    with pytest.raises(AnalysisError, match="cannot be read"):
        read_claims("name = ")
    with pytest.raises(AnalysisError, match="holds no CSV"):
        read_tables(tmp_path)
    write(tmp_path, "t", "variable,level,a_n\ntotal,,1,1")
    with pytest.raises(AnalysisError, match="row 2: expected 3 cells, found 4"):
        read_tables(tmp_path)


@given(
    a=st.integers(1, 60),
    b=st.integers(1, 60),
    c=st.integers(1, 60),
    d=st.integers(1, 60),
    places=st.integers(2, 4),
)
def test_a_p_value_printed_by_the_rule_never_departs_from_it(a, b, c, d, places):
    table = np.array([[a, b], [c, d]])
    blank = PrintedNumber.parse("0.5")
    truth = recompute("t", table, blank)
    printed = PrintedNumber.parse(f"{truth.by_test[truth.rule_test]:.{places}f}")
    again = recompute("t", table, printed)
    assert again.rule_test in again.matches
    assert not again.departs_from_rule


@needs_paper
def test_wu_2013_is_audited_in_full():
    """Each number was also computed by hand with R: `chisq.test(m, correct = FALSE)`, `fisher.test(m)`."""
    audit = audit_folder(PAPER)
    assert len(audit.p_values) == 28
    assert {p.place for p in audit.departures} == {
        "table1: metastasis, others",  # expected 3.53: Fisher's 0.324; printed chi-squared's 0.315
        "table2: sex",  # expected 7.50: chi-squared's 0.0455, significant; printed Fisher's 0.052
        "text: mutation by smoking",
        "text: mutation by sex",
    }
    assert [p.place.split(":")[0] for p in audit.irreproducible] == ["table 4, note", "text"]
    assert by_place(audit)["table2: sex"].changes_the_conclusion
    rates = [f.sentence for f in audit.findings if f.place == "response"]
    assert "disease_control_rate counts partial_response + non_progressive_disease" in rates
    sums = [f.sentence for f in audit.of_kind(FindingKind.SUM)]
    assert "35 + 21 = 56, printed 55" in sums
    fragile = [f.sentence for f in audit.of_kind(FindingKind.FRAGILE)]
    assert "hazard ratio 106.19 (18.24 to 618.11) rests on 5 patients" in fragile


@needs_paper
def test_a_changed_cell_of_wu_2013_is_noticed(tmp_path):
    for path in PAPER.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "table2.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    row = next(r for r in rows if r[1] == "bone")
    row[2] = str(int(row[2]) + 1)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found = audit_tables(read_tables(tmp_path)).of_kind(FindingKind.CONTRADICTION)
    assert any("bone: 37 against 29 + 9" in finding.sentence for finding in found)


def test_the_command_prints_the_report_and_its_json(folder, tmp_path):
    runner = CliRunner()
    plain = runner.invoke(app, ["audit-tables", str(folder)])
    assert plain.exit_code == 0
    assert "## Estimates that rest on very few patients" in plain.stdout
    printed = json.loads(runner.invoke(app, ["audit-tables", str(folder), "--json"]).stdout)
    assert {p["place"] for p in printed["p_values"]} >= {"table1: sex", "table1: site, bone"}
    assert runner.invoke(app, ["audit-tables", str(folder), "--rule", "guess"]).exit_code == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = runner.invoke(app, ["audit-tables", str(empty)])
    assert refused.exit_code == 1
    assert "holds no CSV file" in refused.stderr
