"""From a clinical table to the tables, figures and files of a paper."""

import csv
import hashlib
import json
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from analysis.analyse import analyse, with_labels
from analysis.clinical import read_clinical
from analysis.comparisons import Interval
from analysis.derivations import derive
from analysis.egfr import parse_egfr
from analysis.errors import AnalysisError, Problem
from analysis.figures import ForestRow, draw_forest, draw_survival, draw_waterfall, new_figure, save
from analysis.kaplan_meier import kaplan_meier
from analysis.plan import Plan, parse_plan, read_plan
from analysis.printed_tables import read_tables
from analysis.report import write_analysis
from analysis.side_by_side import side_by_side
from analysis.tables import Row, Table, format_interval, format_p, write_csv
from imaging.tables import text_cell
from mipc import app
from records.store import StoredStudy, open_store
from tests.analysis.test_clinical import RADIOGENOMICS
from tests.analysis.test_demo_cohort import synthetic
from tests.analysis.test_publication import PAPER, needs_paper


@pytest.fixture(scope="module")
def clinical():
    return derive(read_clinical(synthetic().astype(str)))


@pytest.fixture(scope="module")
def default(clinical):
    return analyse(clinical, Plan(bootstrap=0, formats=("svg",)))


@pytest.fixture(scope="module")
def as_printed(clinical):
    return analyse(clinical, read_plan("wu2013"))


def table_of(analysis, name):
    return next(table for table in analysis.tables if table.name == name)


def row_of(analysis, name, *key):
    return next(row for row in table_of(analysis, name).rows if row.key == key)


def test_few_patients_of_one_type_of_mutation_do_not_end_the_analysis():
    """Of two with MIPC both have L858R, and nobody del-19 or wild type: that comparison is left out.

    R: `fisher.test(matrix(m, 2))$p.value` is 0.4885, 0.0705, 0.1264 and 1 for the tables
    c(2, 19, 0, 19), c(2, 9, 0, 29), c(2, 9, 0, 19) and c(0, 10, 2, 28).
    """
    results = [*["L858R"] * 2, *["wild type"] * 19, *["L858R"] * 9, *["19 deletion"] * 10]
    table = pd.DataFrame(
        {
            "patient_id": [f"P{place}" for place in range(40)],
            "mipc": ["yes"] * 2 + ["no"] * 38,
            "os_months": [str(3 + place) for place in range(40)],
            "os_event": ["1", "0"] * 20,
            "egfr_result": results,
        }
    )
    found = analyse(derive(read_clinical(table)), Plan(bootstrap=0, formats=("svg",)))
    (*_, said) = table_of(found, "table4").notes
    assert said == (
        "any mutation against all others: p 0.488 (Fisher); L858R against all others: p 0.071 (Fisher); "
        "L858R against wild type: p 0.126 (Fisher); del-19 against all others: p 1.000 (Fisher)."
    )


def test_every_table_and_figure_of_the_paper_is_there(default):
    names = {table.name for table in default.tables}
    assert names >= {
        "table1",
        "table2",
        "table3",
        "table4",
        "table5",
        "tableS1",
        "tableS2",
        "tableS3",
        "response",
    }
    assert names >= {"weights", "table5_errors", "imputed", "immortal_time", "competing", "e_values"}
    figures = {figure.name for figure in default.figures}
    assert figures >= {
        "figure2",
        "figure3",
        "figure4",
        "figureS1",
        "forest",
        "swimmer",
        "waterfall",
        "flow",
        "figure4_weighted",
    }


@needs_paper
def test_the_paper_is_reproduced_cell_by_cell_with_every_difference_explained(as_printed):
    cells = side_by_side(read_tables(PAPER), as_printed.tables)
    assert len(cells) == 225
    same = [cell for cell in cells if cell.is_same]
    assert len(same) >= 170
    assert [
        cell for cell in cells if not cell.is_same and cell.reason in ("differs", "not printed here")
    ] == []
    counts = [c for c in cells if c.column.endswith("_n") and not c.row.startswith("age")]
    assert all(cell.is_same for cell in counts)
    reasons = {(c.table, c.row, c.column): c.reason for c in cells if not c.is_same}
    assert reasons["table2", "sex, female", "paper_p"] == (
        "the paper used Fisher where its rule asks for chi-squared"
    )


def test_p_values_of_counts_are_those_r_gives(default):
    """R: chisq.test(rbind(c(35, 25), c(9, 16)), correct = FALSE) 0.0604; fisher.test of types 0.577."""
    sex, tumour = (
        row_of(default, "table1", *key) for key in (("sex", "female"), ("tumour_type", "nonadenocarcinoma"))
    )
    assert (sex.cells["paper_p"], sex.cells["paper_test"]) == ("0.060", "chi-squared")
    assert (tumour.cells["paper_p"], tumour.cells["paper_test"]) == ("0.577", "Fisher")
    assert row_of(default, "table4", "mipc", "").cells["del19"] == "21 (35)"


def test_later_known_covariates_are_refused_by_default_and_marked_when_forced(default, as_printed, clinical):
    plan = Plan(bootstrap=0, terms=read_plan("wu2013").terms)
    refused = analyse(clinical, plan).prognosis
    assert refused.refused == ("Best supportive care", "TKI only")
    assert {e.term.name for e in refused.estimates} == {
        "adenocarcinoma", "no_extrapulmonary_metastasis", "egfr_mutation",
    }  # fmt: skip
    forced = as_printed.prognosis
    assert any("immortal time" in note for note in forced.notes)
    assert len(forced.estimates) == 5
    assert default.prognosis.refused == ()
    assert any("TKI use, Treatment sequence: known only" in n for n in table_of(default, "table5").notes)


def test_ratios_resting_on_few_are_marked(as_printed):
    cells = row_of(as_printed, "table5", "treatment_sequence", "best_supportive_care").cells
    assert "*" in cells["hr"]
    assert "*" not in row_of(as_printed, "table5", "egfr", "mutation").cells["hr"]


def test_four_errors_stand_side_by_side(clinical):
    plan = parse_plan({"bootstrap": 60, "terms": [
        {"name": "egfr_mutation", "label": "EGFR mutation", "column": "egfr_status", "level": "mutation",
         "factor": "egfr"}]})  # fmt: skip
    table = table_of(analyse(clinical, plan), "table5_errors")
    assert [key for key, _ in table.columns] == ["naive", "robust", "m_estimation", "bootstrap"]


def test_everything_is_written_and_the_page_stands_alone(default, tmp_path):
    write_analysis(default, tmp_path, source="demo.csv")
    page = (tmp_path / "analysis.html").read_text()
    assert page.count("<svg") == len(default.figures)
    assert "<script" not in page
    assert "src=" not in page
    with zipfile.ZipFile(tmp_path / "tables.docx") as document:
        text = document.read("word/document.xml").decode()
    assert "Table 1. Clinical characteristics" in text
    with (tmp_path / "tables" / "table1.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][:4] == ["variable", "level", "label", "all_n"]
    assert json.loads((tmp_path / "plan.json").read_text())["counts"] == "expected_below_5"
    data = pd.read_csv(tmp_path / "analysis_dataset.csv")
    assert len(data) == 85
    figure = next(figure for figure in default.figures if figure.name == "figure4")
    canvas, axes = new_figure(*figure.size)
    figure.draw(axes)
    axes.set_title(figure.title, fontsize=10)
    svg, pdf, png = save(canvas, tmp_path / "again", ("svg", "pdf", "png"))
    assert svg.read_bytes() == (tmp_path / "figures" / "figure4.svg").read_bytes()
    assert pdf.read_bytes().startswith(b"%PDF")
    assert png.read_bytes().startswith(b"\x89PNG")


def test_figures_show_the_numbers_of_the_tables(default):
    figure = next(figure for figure in default.figures if figure.name == "figure4")
    _, axes = new_figure()
    figure.draw(axes)
    texts = {text.get_text() for text in axes.get_legend().get_texts()}
    assert texts == {"EGFR mutation (n=42)", "Wild type (n=18)"}
    printed = row_of(default, "table5", "egfr", "wild_type").cells["univariate_p"]
    assert axes.get_legend().get_title().get_text() == f"log-rank p {printed}"


def test_a_name_in_the_data_cannot_run_in_page_or_spreadsheet(tmp_path):
    table = Table("t", "<b>", (("a", "A"),), (Row("<script>x</script>", ("=cmd()", ""), {"a": "-1"}),))
    assert "<script>" not in table.as_html()
    write_csv(table, tmp_path / "t.csv")
    assert "'=cmd(),,<script>x</script>,-1" in (tmp_path / "t.csv").read_text()


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0604, "0.060"), (0.0009, "<0.001"), (0.001, "0.001"), (1.0, "1.000"), (float("nan"), "")],
)
def test_p_values_are_printed_with_three_decimals(p, text):
    assert format_p(p) == text


def test_limits_that_are_not_reached_are_called_so():
    assert format_interval(12.34, 8.0, float("nan"), decimals=1) == "12.3 (8.0–NR)"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"colour": "red"}, "unknown parts: colour"),
        ({"counts": "guess"}, "counts: 'guess' is not a valid CountRule"),
        ({"factors": [{"name": "x"}]}, "factors: 'label'"),
        ({"force_later_known": "no"}, "force_later_known: expected true or false, not 'no'"),
        ({"equal_variances": 0}, "equal_variances: expected true or false"),
        ({"level": 95}, "level: expected a number between 0 and 1, not 95"),
        ({"bootstrap": -3}, "bootstrap: expected a whole number from 0, not -3"),
        ({"horizon_months": 0}, "horizon_months: expected a number above 0"),
        ({"landmarks_months": ["3"]}, "landmarks_months: expected a list of numbers above 0"),
        ({"truncate": [99, 1]}, r"truncate: expected two percentiles such as \[1, 99\]"),
        ({"formats": "png"}, "formats: expected a list of formats such as svg"),
        ({"formats": ["gif2"]}, "formats: expected a list"),
        ({"missing_predictors": "sex"}, "missing_predictors: expected a list of columns"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(content, sentence):
    with pytest.raises(AnalysisError, match=sentence) as caught:
        parse_plan(content)
    assert caught.value.problem is Problem.BAD_PLAN


def test_labels_enter_as_the_cohort_and_what_cannot_be_joined_is_told():
    table = pd.DataFrame({"patient_id": ["a", "b", "c", "d"], "os_months": ["1", "2", "3", "4"]})
    labels = pd.DataFrame(
        {
            "patient_id": ["a", "a", "b", "c", "z"],
            "verdict": ["not_mipc", "mipc", "not_mipc", "not_evaluable", "mipc"],
        }
    )
    found = with_labels(read_clinical(table), labels)
    assert found.frame["mipc"].tolist()[:2] == [True, False]
    assert found.frame["mipc"].isna().tolist() == [False, False, True, True]
    said = {(p.patient_id, p.sentence) for p in found.problems}
    assert said == {
        ("c", "no verdict could be given"),
        ("d", "no labelled study"),
        ("z", "labelled, but not in the table"),
    }


def test_studies_without_a_number_are_counted_and_belong_to_nobody():
    table = read_clinical(pd.DataFrame({"patient_id": ["a"], "os_months": ["1"]}))
    labels = pd.DataFrame({"patient_id": ["a", "", " "], "verdict": ["mipc", "mipc", "not_mipc"]})
    (problem,) = with_labels(table, labels).problems
    assert problem.sentence == "studies labelled without a patient's number: 2"


@pytest.mark.parametrize("name", ["patient_id", "verdict"])
def test_labels_with_a_column_twice_are_refused(name):
    table = read_clinical(pd.DataFrame({"patient_id": ["a"], "os_months": ["1"]}))
    labels = pd.DataFrame([["a", "mipc", "a"]], columns=["patient_id", "verdict", name])
    with pytest.raises(AnalysisError, match=f"the labels have two columns '{name}'"):
        with_labels(table, labels)


def test_a_verdict_in_other_words_is_refused():
    table = read_clinical(pd.DataFrame({"patient_id": ["a"], "os_months": ["1"]}))
    with pytest.raises(AnalysisError, match="the labels hold 'MIPC'; a verdict is mipc, not_mipc, "):
        with_labels(table, pd.DataFrame({"patient_id": ["a"], "verdict": ["MIPC"]}))


def test_a_number_that_a_spreadsheet_would_run_is_the_patients_again(tmp_path):
    """`studies.csv` and `labels.csv` hold it behind a quote, `mipc.db` as it is."""
    numbers = [f"{start}7A" for start in "=+-@＝＋－＠"]
    rows = "".join(f"{number},{5 + place},1\n" for place, number in enumerate(numbers))
    (tmp_path / "t.csv").write_text("patient_id,os_months,os_event\n" + rows, encoding="utf-8")
    labels = "".join(f"{text_cell(number)},mipc\n" for number in numbers)
    assert labels.count("'") == len(numbers)
    (tmp_path / "studies.csv").write_text("patient_id,verdict\n" + labels, encoding="utf-8")
    (tmp_path / "plan.toml").write_text('formats = ["svg"]\n')
    arguments = ["--labels", tmp_path / "studies.csv", "--plan", tmp_path / "plan.toml", "--out", tmp_path]
    done = CliRunner().invoke(app, ["analyse", str(tmp_path / "t.csv"), *map(str, arguments)])
    assert done.exit_code == 0, done.output
    assert f"with mipc: {len(numbers)}\n" in done.stdout


def test_a_study_database_gives_labels(tmp_path, screening_like):
    where, table, plan = tmp_path / "mipc.db", tmp_path / "t.csv", tmp_path / "plan.toml"
    with open_store(where) as store:
        store.save(StoredStudy.of(screening_like, "f"))
    table.write_text("patient_id,os_months,os_event\nD0001,5,1\nD0002,6,1\n")
    plan.write_text('formats = ["svg"]\n')
    arguments = ["--labels", str(where), "--plan", str(plan), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["analyse", str(table), *arguments])
    assert done.exit_code == 0, done.output
    assert "1 left out: without mipc (0) or unknown (1)\nwith mipc: 1\n" in done.stdout
    digest = hashlib.sha256(table.read_bytes()).hexdigest()[:12]
    page = (tmp_path / "out" / "analysis.html").read_text(encoding="utf-8")
    assert f"<p>t.csv (sha256 {digest}); labels {where}, mipc 1, model 1, p@{'0' * 12}; plan" in page


def test_the_page_says_from_which_labels_and_responses_its_numbers_come(tmp_path):
    (tmp_path / "t.csv").write_text("patient_id,os_months,os_event\na,5,1\n")
    verdicts = "patient_id,verdict,program_version,model_version,protocol\na,mipc,0.1.0,7,usual@ab\n"
    (tmp_path / "studies.csv").write_text(verdicts)
    responses = tmp_path / "responses"
    responses.mkdir()
    columns = {
        "best_response": "USUBJID,evaluator,confirmation,best_response\na,R1,not required,PR\n",
        "responses": "USUBJID,evaluator,VISITNUM,overall_response,sum_mm,baseline_mm\n",
        "adtte": "USUBJID,PARAMCD,ADT,AVALM,CNSR,EVALUATR,EVNTDESC\n",
    }
    for name, text in columns.items():
        (responses / f"{name}.csv").write_text(text)
    options = ["--labels", tmp_path / "studies.csv", "--responses", responses, "--evaluator", "R1"]
    arguments = [tmp_path / "t.csv", *options, "--out", tmp_path / "out"]
    pages = []
    for answer in ("PR", "SD"):
        (responses / "best_response.csv").write_text(columns["best_response"].replace("PR", answer))
        done = CliRunner().invoke(app, ["analyse", *map(str, arguments)])
        assert done.exit_code == 0, done.output
        page = (tmp_path / "out" / "analysis.html").read_text(encoding="utf-8")
        pages.append(page[page.index("<p>t.csv") :].partition("</p>")[0])
    digest = hashlib.sha256(verdicts.encode()).hexdigest()[:12]
    assert f"; labels studies.csv (sha256 {digest}), mipc 0.1.0, model 7, usual@ab; responses " in pages[0]
    assert "), evaluator R1; plan default; mipc " in pages[0]
    assert pages[0] != pages[1]


def test_the_page_says_that_labels_were_not_all_screened_alike(tmp_path):
    (tmp_path / "t.csv").write_text("patient_id,os_months,os_event\na,5,1\nb,6,1\nc,7,1\n")
    header = "patient_id,verdict,program_version,model_version,protocol\n"
    rows = "".join(f"{name},mipc,0.1.0,{model},usual@ab\n" for name, model in zip("abc", "677", strict=True))
    (tmp_path / "studies.csv").write_text(header + rows)
    arguments = [tmp_path / "t.csv", "--labels", tmp_path / "studies.csv", "--out", tmp_path / "out"]
    done = CliRunner().invoke(app, ["analyse", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "out" / "analysis.html").read_text(encoding="utf-8")
    assert "not all studies screened alike: 1 by mipc 0.1.0, model 6, usual@ab and 2 by mipc 0.1.0, " in page


@pytest.fixture
def screening_like():
    from records.model import Provenance, Screening, Study, Verdict, VerdictLabel

    study = Study(uid="1.2.3", patient_id="D0001", patient_name="", study_date="", description="")
    verdict = Verdict(VerdictLabel.MIPC, 0.9, (), (), None, "profuse")
    provenance = Provenance("1", "1", "p", "0" * 64)
    return Screening(study, None, "", None, (), None, verdict, provenance, 1.0)


@pytest.mark.skipif(not RADIOGENOMICS.exists(), reason="needs the clinical table: set MIPC_SHARED")
def test_the_radiogenomics_table_goes_through_the_whole(tmp_path):
    """Real patients: EGFR unknown for 39, the weights are needed; everybody is the cohort."""
    runner = CliRunner()
    plan = tmp_path / "plan.toml"
    plan.write_text('bootstrap = 40\nformats = ["svg"]\n')
    arguments = ["analyse", str(RADIOGENOMICS), "--mapping", "nsclc_radiogenomics", "--out", str(tmp_path)]
    done = runner.invoke(app, [*arguments, "--plan", str(plan)])
    assert done.exit_code == 0, done.output
    assert "with follow-up: 211" in done.stdout
    assert "19 problems in the data" in done.stdout
    with (tmp_path / "tables" / "table1.csv").open(newline="") as file:
        rows = {(row["variable"], row["level"]): row for row in csv.DictReader(file)}
    assert rows["sex", "male"]["all_n"] == "135 (64)"
    assert rows["total", ""]["egfr_tested_n"] == "172"
    errors = (tmp_path / "tables" / "table5_errors.csv").read_text()
    assert "bootstrap" in errors
    assert len((tmp_path / "problems.csv").read_text().splitlines()) == 20


def test_the_commands_work_together(tmp_path):
    runner = CliRunner()
    table = tmp_path / "clinical.csv"
    synthetic().to_csv(table, index=False)
    plan = tmp_path / "plan.toml"
    plan.write_text('bootstrap = 0\nimputations = 3\nformats = ["svg"]\n')
    done = runner.invoke(app, ["analyse", str(table), "--out", str(tmp_path / "out"), "--plan", str(plan)])
    assert done.exit_code == 0, done.output
    assert "with mipc: 85" in done.stdout
    refused = runner.invoke(app, ["analyse", str(table), "--out", str(tmp_path), "--plan", "nowhere.toml"])
    assert refused.exit_code == 2
    assert "nowhere.toml" in refused.stderr
    assert runner.invoke(app, ["analyse", str(tmp_path / "none.csv"), "--out", "x"]).exit_code == 2
    alone = runner.invoke(app, ["analyse", str(table), "--out", str(tmp_path), "--evaluator", "READER A"])
    assert alone.exit_code == 2
    assert "--responses" in alone.stderr


def test_a_cohort_without_any_follow_up_is_refused():
    table = pd.DataFrame({"patient_id": ["a", "b"], "sex": ["male", "female"]})
    with pytest.raises(AnalysisError, match="usable follow-up"):
        analyse(derive(read_clinical(table)), Plan())


def test_an_egfr_status_without_the_laboratorys_result_is_told_and_not_read():
    rows = {"patient_id": ["a", "b"], "os_months": ["9", "8"], "os_event": ["1", "0"]}
    table = pd.DataFrame({**rows, "egfr_status": ["mutation", ""]})
    found = analyse(derive(read_clinical(table)), Plan())
    assert "egfr_status" not in found.cohort
    (problem,) = found.problems
    assert (problem.patient_id, problem.column, problem.value) == ("a", "egfr_status", "mutation")
    assert "egfr_result" in problem.sentence


def test_a_first_line_without_a_day_of_diagnosis_stops_nothing():
    rows = {"patient_id": ["a", "b"], "os_months": ["9", "8"], "os_event": ["1", "0"]}
    table = pd.DataFrame({**rows, "line1": ["gefitinib", "cisplatin"], "line1_start": ["2020-01-01", ""]})
    assert len(analyse(derive(read_clinical(table)), Plan()).cohort) == 2


def test_a_table_of_few_columns_is_analysed_as_far_as_it_goes():
    random = np.random.default_rng(2)
    table = pd.DataFrame(
        {
            "patient_id": [f"p{i}" for i in range(40)],
            "sex": random.choice(["male", "female"], 40),
            "os_months": random.exponential(10, 40).round(1).astype(str),
            "os_event": random.choice(["0", "1"], 40),
        }
    )
    found = analyse(derive(read_clinical(table)), Plan())
    assert {t.name for t in found.tables} == {"table1", "table5"}
    assert "Not in the data" in table_of(found, "table1").notes[-1]


def _nobody_dies(table):
    return table.assign(death_date="", died="no")


def _nobody_progresses(table):
    return _nobody_dies(table).assign(progression_date="")


def _one_dies(table):
    table = _nobody_progresses(table)
    table.loc[3, ["died", "death_date"]] = ["yes", table.loc[3, "last_contact_date"]]
    return table


def _all_end_at_once(table):
    return table.assign(os_months="6", os_event="1", pfs_months="3", pfs_event="1")


def _all_end_on_the_first_day(table):
    return table.assign(os_months="0", os_event="1", pfs_months="0", pfs_event="1")


def _no_word_of_progression(table):
    return table.assign(pfs_months="5")


def _an_arm_without_responses(table):
    return table.assign(best_response=table["best_response"].where(table["line1"] == "erlotinib", ""))


def _an_arm_without_a_start(table):
    return table.assign(line1_start=table["line1_start"].where(table["line1"] == "erlotinib", ""))


def _a_first_line_only_of_the_untested(table):
    tested = table["egfr_result"].map(lambda text: parse_egfr(text).status.value != "not_tested")
    return table.assign(line1=table["line1"].where(tested, "bevacizumab"))


def _half_of_everything_unknown(table):
    random = np.random.default_rng(0)
    columns = ("sex", "ecog_ps", "histology", "smoking", "metastasis_bone", "metastasis_brain", "age_years")
    return table.assign(**{name: table[name].where(random.random(len(table)) < 0.5, "") for name in columns})


@pytest.mark.parametrize(
    ("spoil", "table", "sentence"),
    [
        (_nobody_dies, "table5", "Nobody of the 60 patients with all covariates died: no hazard ratio."),
        (_nobody_progresses, "table5", "Nobody of the 60 patients"),
        (_one_dies, "table5", "nor can Firth's penalised likelihood be had"),
        (_all_end_at_once, "table5", "patients do not differ enough for a robust error of"),
        (_all_end_on_the_first_day, "table5", "Firth's penalised likelihood is shown instead"),
        (_no_word_of_progression, "response", "Disease control"),
        (_an_arm_without_responses, "response", "Disease control"),
        (_an_arm_without_a_start, "response", "Disease control"),
        (
            _a_first_line_only_of_the_untested,
            "imputed",
            "Not possible: nobody with first_line[other] has a result",
        ),
        (_half_of_everything_unknown, "egfr_probability", "Not possible: the covariates foretell"),
    ],
)
def test_what_cannot_be_estimated_says_why_and_stops_nothing_else(tmp_path, spoil, table, sentence):
    patients = synthetic().astype(str)
    patients = spoil(patients[patients["mipc"] == "yes"].reset_index(drop=True))
    plan = Plan(bootstrap=0, imputations=2, formats=("svg",))
    found = analyse(derive(read_clinical(patients)), plan)
    assert {"table1", "table2", "table5", "response"} <= {t.name for t in found.tables}
    assert sentence in " ".join(table_of(found, table).notes)
    assert "'_" not in " ".join(table_of(found, "table5").notes)
    assert bool(found.prognosis.estimates) is ("Cox model" in found.methods)
    write_analysis(found, tmp_path, source="spoilt.csv")


def test_log_rank_p_of_progression_does_not_hang_on_disease_control(clinical):
    """All are under control: of that there is no test, of progression there is the same as ever."""
    frame = clinical.frame.assign(best_response="PR")
    row = row_of(analyse(replace(clinical, frame=frame), Plan(bootstrap=0)), "response", "egfr_tki", "")
    assert "paper_p" not in row.cells
    assert (
        row.cells["pfs_p"]
        == row_of(analyse(clinical, Plan(bootstrap=0)), "response", "egfr_tki", "").cells["pfs_p"]
    )


def test_progression_is_told_of_the_same_patients_in_figure_and_tables(clinical):
    """Eight with MIPC are not followed for survival: their progression is known all the same."""
    interest = np.flatnonzero(clinical.frame["mipc"])[::10]
    months = clinical.frame["os_months"].mask(np.isin(np.arange(len(clinical.frame)), interest))
    found = analyse(replace(clinical, frame=clinical.frame.assign(os_months=months)), Plan(bootstrap=0))
    row = row_of(found, "response", "egfr_tki", "")
    _, axes = new_figure()
    next(figure for figure in found.figures if figure.name == "figure2").draw(axes)
    assert axes.get_legend().get_title().get_text() == f"log-rank p {row.cells['pfs_p']}"
    frame = clinical.frame[clinical.frame["mipc"].fillna(False)]
    numbers = [
        int((frame["pfs_months"].notna() & (frame["first_line"] == arm)).sum())
        for arm in ("egfr_tki", "chemotherapy")
    ]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == [f"EGFR-TKI (n={numbers[0]})", f"Chemotherapy (n={numbers[1]})"]
    assert [int(row.cells["n"]) for row in table_of(found, "competing").rows] == numbers


def test_whoever_lives_on_did_not_die_of_what_ended_the_time_without_progression():
    """Progression without its day: of eight events five are of patients alive, or dead a year later."""
    table = pd.DataFrame(
        {
            "patient_id": [f"p{i}" for i in range(10)],
            "diagnosis_date": ["2010-01-01"] * 10,
            "line1": ["gefitinib"] * 10,
            "line1_start": ["2010-01-01"] * 10,
            "pfs_months": ["6"] * 8 + ["18"] * 2,
            "pfs_event": ["1"] * 8 + ["0"] * 2,
            "progression_date": ["2010-07-02", *[""] * 9],
            "os_months": ["18"] * 5 + ["6"] * 3 + ["18"] * 2,
            "os_event": ["0"] * 3 + ["1"] * 5 + ["0"] * 2,
        }
    )
    (row,) = table_of(analyse(derive(read_clinical(table)), Plan(bootstrap=0)), "competing").rows
    # Ten patients, five progressions and three deaths at 6 months, nobody censored before a year.
    assert row.cells["progression"].startswith("0.50 ")
    assert row.cells["death"].startswith("0.30 ")


def test_times_to_progression_without_an_end_are_left_out_and_told():
    table = pd.DataFrame(
        {
            "patient_id": list("abc"),
            "os_months": list("567"),
            "pfs_months": list("123"),
            "pfs_event": ["1", "", "0"],
        }
    )
    found = derive(read_clinical(table))
    assert found.frame["pfs_event"].isna().tolist() == [False, True, False]
    assert [(p.row, p.column) for p in found.problems] == [(3, "pfs_event")]


def test_a_death_that_the_table_denies_ends_neither_survival():
    table = pd.DataFrame(
        {
            "patient_id": ["a"],
            "diagnosis_date": ["2010-01-01"],
            "line1": ["gefitinib"],
            "line1_start": ["2010-02-01"],
            "death_date": ["2010-06-01"],
            "last_contact_date": ["2011-01-01"],
            "died": ["no"],
        }
    )
    found = derive(read_clinical(table))
    row = found.frame.iloc[0]
    assert (bool(row["os_event"]), bool(row["pfs_event"])) == (False, False)
    assert row["pfs_months"] == pytest.approx(334 / 30.4375)
    said = {(p.column, p.sentence) for p in found.problems}
    assert ("death_date", "the patient is said to be alive") in said


@pytest.mark.parametrize(
    ("label", "problem", "sentence"),
    [
        (["no", "no"], Problem.BAD_INPUT, r"'mipc' is yes for nobody \(0 of 2 unknown\)"),
        (["", ""], Problem.BAD_INPUT, r"'mipc' is yes for nobody \(2 of 2 unknown\)"),
    ],
)
def test_a_cohort_of_nobody_is_not_everybody(label, problem, sentence):
    table = pd.DataFrame(
        {"patient_id": ["a", "b"], "mipc": label, "os_months": ["1", "2"], "os_event": ["1", "0"]}
    )
    with pytest.raises(AnalysisError, match=sentence) as caught:
        analyse(derive(read_clinical(table)), Plan())
    assert caught.value.problem is problem


def test_a_cohort_is_a_column_of_truths():
    table = pd.DataFrame({"patient_id": ["a", "b"], "sex": ["male", "female"], "os_months": ["1", "2"]})
    with pytest.raises(AnalysisError, match="column 'sex' does not hold yes or no") as caught:
        analyse(derive(read_clinical(table)), Plan(cohort="sex"))
    assert caught.value.problem is Problem.BAD_PLAN


def test_labels_of_other_patients_stop_the_analysis_and_say_whose_they_are(tmp_path):
    (tmp_path / "t.csv").write_text("patient_id,os_months,os_event\na,1,1\nb,2,0\n")
    (tmp_path / "studies.csv").write_text("patient_id,verdict\nA-0001,mipc\n")
    done = CliRunner().invoke(
        app,
        [
            "analyse",
            str(tmp_path / "t.csv"),
            "--labels",
            str(tmp_path / "studies.csv"),
            "--out",
            str(tmp_path / "o"),
        ],
    )
    assert done.exit_code == 1
    assert "'mipc' is yes for nobody (2 of 2 unknown)" in done.stderr
    assert "A-0001, patient_id 'A-0001': labelled, but not in the table" in done.stderr


def test_the_error_that_is_printed_is_the_error_that_is_named(clinical):
    """A bootstrap was asked for and not made: the M-estimation error stands in, and says so."""
    found = analyse(clinical, Plan(bootstrap=0, imputations=2, error="bootstrap"))
    assert found.prognosis.error == "m_estimation"
    assert "errors: m_estimation" in table_of(found, "table5").notes[1]
    assert "printed errors: m_estimation" in found.methods


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ("terms", "the term 'x' needs a level: 'sex' does not hold numbers"),
        ("factors", "the factor 'x' needs levels: 'sex' does not hold numbers"),
    ],
)
def test_a_text_is_no_number_of_a_plan(clinical, part, sentence):
    plan = parse_plan({part: [{"name": "x", "label": "X", "column": "sex"}], "bootstrap": 0})
    with pytest.raises(AnalysisError, match=sentence) as caught:
        analyse(clinical, plan)
    assert caught.value.problem is Problem.BAD_PLAN


def test_headings_name_the_level_of_the_plan(clinical):
    found = analyse(clinical, parse_plan({"level": 0.9, "bootstrap": 0, "imputations": 2}))
    headings = [heading for table in found.tables for _, heading in table.columns]
    assert any("(90% CI)" in heading for heading in headings)
    assert [heading for heading in headings if "95%" in heading] == ["Odds ratio of a result (95% CI), p"]
    assert "90% intervals (log)" in found.methods


def test_rows_are_named_in_words_and_known_by_their_keys(as_printed):
    rows = {
        table.name: {row.key[0]: row.label for row in table.rows} for table in as_printed.tables
    }  # by (variable, level), as a paper's tables are
    assert rows["table4"] == {"mipc": "With MIPC", "without_mipc": "Without MIPC"}
    assert rows["response"] == {"egfr_tki": "EGFR-TKI", "chemotherapy": "Chemotherapy"}
    assert rows["tableS3"]["tki_then_chemotherapy"] == "TKI then chemotherapy"
    assert rows["proportional_hazards"]["tki_only"] == "TKI only"
    assert rows["weights"]["first_line[egfr_tki]"] == "First line: EGFR-TKI"
    del rows["tableS2"]  # deletions are spelled so: E746_A750del
    assert not [label for labels in rows.values() for label in labels.values() if "_" in label]


def test_bars_without_a_drawn_response_are_in_the_legend():
    patients = pd.DataFrame({"best_change_percent": [-40.0, 3.0], "best_response": ["PR", "NE"]})
    _, axes = new_figure()
    draw_waterfall(axes, patients)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["PR", "another, or none"]


def test_incidence_at_a_year_needs_a_year():
    """Nobody followed for a year, or nobody before it: neither is told by the nearest step of the curve."""
    table = pd.DataFrame(
        {
            "patient_id": [f"p{i}" for i in range(8)],
            "os_months": ["40"] * 8,
            "os_event": ["1"] * 8,
            "line1": ["gefitinib"] * 4 + ["cisplatin"] * 4,
            "pfs_months": ["3", "4", "5", "6", "14", "15", "16", "17"],
            "pfs_event": ["1", "0", "0", "0", "1", "1", "1", "1"],
            "progression_date": ["2010-01-01"] * 8,
        }
    )
    found = analyse(derive(read_clinical(table)), Plan(bootstrap=0))
    rows = {row.key[0]: row.cells for row in table_of(found, "competing").rows}
    assert rows["egfr_tki"]["progression"] == "followed for 6.0 months only"
    assert (rows["chemotherapy"]["progression"], rows["chemotherapy"]["death"]) == (
        "0.00 (nobody)",
        "0.00 (nobody)",
    )


def _overlap(texts, canvas):
    boxes = [text.get_window_extent(canvas.canvas.get_renderer()) for text in texts if text.get_text()]
    return [(a, b) for n, a in enumerate(boxes) for b in boxes[n + 1 :] if a.overlaps(b)]


def test_no_words_of_a_figure_lie_on_each_other():
    random = np.random.default_rng(3)
    curves = {
        name: kaplan_meier(random.exponential(40, 129), np.ones(129)) for name in ("Wild type", "Other")
    }
    canvas, axes = new_figure()
    draw_survival(axes, curves)
    assert not _overlap(axes.texts, canvas)
    for low, high in ((0.9, 1.1), (0.22, 1.69), (0.01, 1.2), (0.001, 900.0)):
        canvas, axes = new_figure(6.0, 2.0)
        draw_forest(axes, [ForestRow("EGFR mutation", Interval((low * high) ** 0.5, low, high, 0.95))])
        canvas.canvas.draw()
        shown = [text for text in axes.get_xticklabels() if text.get_position()[0] > 0]
        assert not _overlap(shown, canvas)
        assert "1" in {text.get_text() for text in shown}


def test_the_legend_stands_where_the_curves_do_not():
    canvas, axes = new_figure()
    draw_survival(axes, {"A": kaplan_meier(np.arange(1, 21), [0] * 19 + [1])})  # high to the end
    canvas.canvas.draw()
    box = axes.get_legend().get_window_extent(canvas.canvas.get_renderer())
    assert box.y1 < axes.transData.transform((0, 0.9))[1]


def test_unknown_values_are_counted_in_every_column_of_a_table(clinical):
    """Two of wild type lack a performance status, and one with a mutation; all three are tested."""
    frame = clinical.frame
    mipc = frame["mipc"].fillna(False)
    lost = [*frame.index[mipc & (frame["egfr_status"] == "wild_type")][:2],
            *frame.index[mipc & (frame["egfr_status"] == "mutation")][:1]]  # fmt: skip
    spoilt = replace(
        clinical, frame=frame.assign(ecog_group=frame["ecog_group"].mask(frame.index.isin(lost)))
    )
    found = analyse(spoilt, Plan(bootstrap=0))
    for name in ("table1", "table2", "table3"):
        assert "ECOG PS (3)" in " ".join(table_of(found, name).notes), name


def test_patients_that_a_row_leaves_out_are_counted_below_the_table(clinical):
    frame = clinical.frame.copy()
    inside = frame.index[frame["mipc"] == True]  # noqa: E712
    frame.loc[inside[:3], "metastasis_bone"] = pd.NA
    frame.loc[inside[:2], "treatment_sequence"] = "tki_then_tki"
    found = analyse(replace(clinical, frame=frame), Plan(bootstrap=0, imputations=2))
    assert any("Bone (3)" in note for note in table_of(found, "table1").notes)
    (note,) = [n for n in table_of(found, "table5").notes if n.startswith("Patients in none of the levels")]
    assert note.endswith("EGFR (25), Treatment sequence (2).")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["analyse", "t.csv", "--out", "t.csv"], 2),
        (["audit-tables", ".", "--out", "."], 2),
        (["audit-tables", ".", "--claims", "t.csv", "--out", "t.csv/report.md"], 1),  # the claims are none
        (["demo-cohort", "--out", "t.csv/demo.csv"], 2),
        (["analyse", "t.csv", "--out", "out", "--responses", "."], 1),
    ],
)
def test_a_file_that_cannot_be_had_is_a_sentence(tmp_path, monkeypatch, arguments, status):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("patient_id,os_months,os_event,total\na,1,1,1\nb,2,0,1\n")
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == status
    assert isinstance(done.exception, SystemExit)
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mipc: ")
