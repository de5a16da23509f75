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
from analysis.side_by_side import side_by_side
from analysis.tables import Row, Table
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


def test_a_rule_that_is_asked_for_goes_before_that_of_the_claims(folder):
    (folder / "claims.toml").write_text('rule = "yates"\n')
    for arguments, rule in (((), "yates"), (("--rule", "fisher"), "fisher")):
        done = CliRunner().invoke(app, ["audit-tables", str(folder), "--json", *arguments])
        assert json.loads(done.stdout)["rule"] == rule


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


def audit_of(tmp_path, text, encoding="utf-8"):
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    return audit_folder(tmp_path)


GROUPS = "variable,level,a_n,b_n,paper_p\ntotal,,50,45,\nsex,male,20,28,{p}\nsex,female,30,{women},\n"


def test_counts_with_their_share_and_semicolons_are_read_as_printed(tmp_path):
    """R: chisq.test(rbind(c(20, 28), c(30, 17)), correct = FALSE) is 0.0305."""
    text = GROUPS.format(p="0.0305", women="17").replace(",20,28,", ",20 (40%),28 (62),").replace(",", ";")
    (found,) = audit_of(tmp_path, text).p_values
    assert found.table == ((20, 30), (28, 17))
    assert found.used is Candidate.CHI_SQUARED


def test_names_of_columns_may_begin_with_capitals(tmp_path):
    header, _, rows = GROUPS.format(p="0.0305", women="17").partition("\n")
    header = header.replace("variable,level", "Variable,Level").replace("paper_p", "Paper_p")
    (found,) = audit_of(tmp_path, f"{header}\n{rows}").p_values
    assert found.table == ((20, 30), (28, 17))


def test_a_table_of_no_known_shape_is_told_and_alone_refused(tmp_path, folder):
    write(tmp_path, "visits", "patient,day\na,1\nb,2")
    (found,) = [finding for finding in audit_folder(folder).findings if finding.place == "visits"]
    assert found.kind is FindingKind.NOT_RECOMPUTABLE
    assert found.sentence.endswith("nothing was checked")
    for name in ("table1", "table2"):
        (folder / f"{name}.csv").unlink()
    done = CliRunner().invoke(app, ["audit-tables", str(folder)])
    assert done.exit_code == 1
    assert "holds no printed table" in done.stderr
    assert done.stderr.strip().endswith("(visits)")


def test_unknown_values_do_not_count_as_the_other_level(tmp_path):
    """R: chisq.test(rbind(c(20, 28), c(30, 15)), correct = FALSE) is 0.0157; two of b have no sex."""
    audit = audit_of(tmp_path, GROUPS.format(p="0.016", women="15"))
    (found,) = audit.p_values
    assert (found.place, found.table) == ("t: sex", ((20, 30), (28, 15)))
    assert found.used is Candidate.CHI_SQUARED
    (note,) = audit.of_kind(FindingKind.NOTE)
    assert note.sentence == "levels add up to 50 of 50, 43 of 45: the rest taken for unknown"


@pytest.mark.parametrize(
    ("p", "women", "kind", "sentence"),
    [
        ("NS", "17", FindingKind.NOT_RECOMPUTABLE, "p NS: 'NS' is not a number"),
        (">0.05", "17", FindingKind.NOT_RECOMPUTABLE, "p >0.05: '>0.05' is not a number"),
        ("1.2", "17", FindingKind.CONTRADICTION, "p 1.2 is no probability"),
        ("0.03", "57", FindingKind.CONTRADICTION, "female: 57 of 45 in b_n"),
        ("0.03", "57", FindingKind.SUM, "b_n: levels add up to 85, the group has 45"),
    ],
)
def test_what_is_wrong_with_a_printed_number_is_a_finding_and_stops_nothing(
    tmp_path, p, women, kind, sentence
):
    audit = audit_of(tmp_path, GROUPS.format(p=p, women=women))
    assert sentence in [finding.sentence for finding in audit.of_kind(kind)]


def test_an_empty_margin_cannot_be_tested(tmp_path):
    text = "variable,level,a_n,b_n,paper_p\ntotal,,9,9,\nsex,male,9,9,0.5\nsex,female,0,0,\n"
    (finding,) = audit_of(tmp_path, text).of_kind(FindingKind.NOT_RECOMPUTABLE)
    assert finding.sentence == "p 0.5: a row or column of the table is empty: nothing to compare"


@pytest.mark.parametrize(
    ("text", "encoding", "sentence"),
    [
        (GROUPS.format(p="0.03", women="some"), "utf-8", r"t.csv, row 4: b_n 'some' is no count"),
        ("variable,level,a_n,a_n\ntotal,,1,1\n", "utf-8", "two columns 'a_n'"),
        ("arm,CR,total\nMüller,1,1\n", "latin-1", "t.csv is not text in UTF-8"),
        ("arm,CR,total\nA,1,one\n", "utf-8", "row 2: total 'one' is no count"),
    ],
)
def test_a_table_that_is_none_is_refused_with_the_place(tmp_path, text, encoding, sentence):
    with pytest.raises(AnalysisError, match=sentence):
        audit_of(tmp_path, text, encoding)


@pytest.mark.parametrize(
    ("printed", "changes"),
    [
        pytest.param("<0.05", False, id="significant-as-the-rule-says"),
        pytest.param("0.05", False, id="the-digits-are-the-rules"),
        pytest.param("<0.1", False, id="no-word-on-0.05"),
        pytest.param("0.051", True, id="another-tests-digits"),
    ],
)
def test_a_conclusion_changes_only_where_two_numbers_say_different_things(printed, changes):
    """R: chisq.test(rbind(c(30, 20), c(20, 30)), correct = FALSE) is 0.0455."""
    found = recompute("t", np.array([[30, 20], [20, 30]]), PrintedNumber.parse(printed))
    assert found.by_test[found.rule_test] == pytest.approx(0.0455, abs=5e-5)
    assert found.changes_the_conclusion is changes


MEANS = (
    "variable,level,a_n,b_n,paper_p\ntotal,,{n},{n},\nage,mean,{a},{b},{p}\nage,min,20,20,\nage,max,80,80,\n"
)


@pytest.mark.parametrize(
    ("n", "a", "b", "p", "kind"),
    [
        # R: t.test(c(20, 80), c(21, 80), var.equal = TRUE) gives 0.9916
        pytest.param(
            2, "50.0", "50.5", "0.992", FindingKind.NOTE, id="two-values-at-either-end-of-the-range"
        ),
        pytest.param(
            40, "50.0", "50.1", "0.999", FindingKind.NOTE, id="a-difference-that-rounding-may-have-made"
        ),
        pytest.param(40, "50.0", "60.0", "0.9", FindingKind.CONTRADICTION, id="ten-years-apart"),
        pytest.param(40, "50.0", "50.0", "1.000", None, id="nothing-implied"),
    ],
)
def test_the_spread_a_p_value_implies_has_to_fit_into_the_range(tmp_path, n, a, b, p, kind):
    audit = audit_of(tmp_path, MEANS.format(n=n, a=a, b=b, p=p))
    assert [finding.kind for finding in audit.findings] == ([] if kind is None else [kind])


@pytest.mark.parametrize(
    ("hr", "sentence"),
    [
        ("0.50,0.83,0.30", "0.50 does not lie between its limits, 0.83 and 0.30"),
        ("0.50,-0.30,0.83", "0.50 does not lie between its limits, -0.30 and 0.83"),
    ],
)
def test_a_hazard_ratio_lies_between_its_limits(tmp_path, hr, sentence):
    audit = audit_of(tmp_path, f"factor,level,n,hr,hr_low,hr_high,multivariate_p\negfr,mut,20,{hr},0.008\n")
    assert [finding.sentence for finding in audit.of_kind(FindingKind.CONTRADICTION)] == [sentence]


def test_limits_that_rounding_made_one_say_nothing_of_p(tmp_path):
    text = "factor,level,n,hr,hr_low,hr_high,multivariate_p\nage,year,900,1.0,1.0,1.0,0.9\n"
    assert audit_of(tmp_path, text).findings == ()


def test_the_reason_of_a_difference_is_true_of_any_cohort(tmp_path):
    """Counts of a table of hazards have nothing to do with follow-up."""
    (tmp_path / "table5.csv").write_text(
        "factor,level,n,median_os_months,hr,hr_low,hr_high\nsex,female,44,12.3,,,\n"
    )
    row = Row("Female", ("sex", "female"), {}, {"n": 40.0, "median_os_months": 11.0})
    found = side_by_side(read_tables(tmp_path), [Table("table5", "t", (), (row,))])
    assert [(cell.column, cell.reason) for cell in found] == [
        ("n", "differs"),
        ("median_os_months", "rests on each patient's follow-up, which is not printed"),
    ]
