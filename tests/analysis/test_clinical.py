"""Reading clinical tables, deriving what the paper defines, listing every problem."""

import os
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest

from analysis.clinical import ClinicalMapping, read_clinical, read_mapping, read_table
from analysis.derivations import derive
from analysis.dictionary import COLUMNS, dictionary_markdown
from analysis.errors import AnalysisError, Problem
from analysis.flow import Flow, choose
from analysis.treatment import Sequence, Treatment, classify, sequence_of

SHARED = Path(os.environ.get("MIPC_SHARED", Path(__file__).parents[3] / "shared"))
RADIOGENOMICS = SHARED / "clinical" / "nsclc_radiogenomics_labels.csv"


def patient(**values):
    """Return a derived table of one patient."""
    row = {"patient_id": "1", **{name: str(value) for name, value in values.items()}}
    return derive(read_clinical(pd.DataFrame([row])))


def value(column, **values):
    found = patient(**values).frame[column].iloc[0]
    return None if pd.isna(found) else found


@pytest.mark.parametrize(
    ("cigarettes", "last", "expected"),
    [
        pytest.param(99, "2008-01-01", "nonsmoker", id="99-cigarettes"),
        pytest.param(100, "2008-01-01", "current", id="100-cigarettes"),
        pytest.param(5000, "2007-06-15", "current", id="a-year-before"),
        pytest.param(5000, "2007-06-14", "former", id="a-year-and-a-day-before"),
        pytest.param(5000, "", None, id="unknown-when"),
    ],
)
def test_smoking_as_the_paper_defines_it(cigarettes, last, expected):
    # 2008-06-14 less 365 days is 2007-06-15: leap years are no trap here.
    found = value(
        "smoking", diagnosis_date="2008-06-14", cigarettes_lifetime=cigarettes, last_smoked_date=last
    )
    assert found == expected


def test_who_smokes_at_diagnosis_is_a_current_smoker():
    assert value("smoking", cigarettes_lifetime=5000, is_smoking="yes") == "current"
    assert value("smoking_group", smoking="former") == "former_or_current"


@pytest.mark.parametrize(
    ("before", "now", "lost"),
    [
        pytest.param(70, 63, False, id="exactly-10-percent"),
        pytest.param(70, 62.9, True, id="just-more"),
        pytest.param(70, 75, False, id="gained"),
        pytest.param(66.7, 60.03, False, id="exactly-10-percent-in-floats"),
        pytest.param("", 63, None, id="unknown"),
    ],
)
def test_weight_loss_is_more_than_a_tenth(before, now, lost):
    assert value("weight_loss", weight_before_kg=before, weight_kg=now) == lost


@pytest.mark.parametrize(("status", "group"), [(0, "0-1"), (1, "0-1"), (2, "2-4"), (4, "2-4"), ("", None)])
def test_performance_groups(status, group):
    assert value("ecog_group", ecog_ps=status) == group


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        pytest.param({"metastasis_bone": "no", "metastasis_brain": "yes"}, True, id="one-site"),
        pytest.param({"metastasis_bone": "no", "metastasis_brain": "no"}, False, id="no-site"),
        pytest.param({"metastasis_bone": "no", "metastasis_brain": ""}, None, id="one-unknown"),
        pytest.param(
            {"metastasis_bone": "yes", "metastasis_brain": ""}, True, id="known-in-spite-of-unknown"
        ),
        pytest.param(
            {"metastasis_malignant_pleural_effusion": "yes", "metastasis_bone": "no"}, False, id="pleura"
        ),
    ],
)
def test_extrapulmonary_metastasis(sites, expected):
    assert value("extrapulmonary_metastasis", **sites) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({}, Sequence.SUPPORTIVE),
        ({"line1": "best supportive care"}, Sequence.SUPPORTIVE),
        ({"line1": "gefitinib"}, Sequence.TKI_ONLY),
        ({"line1": "erlotinib", "line2": "hospice"}, Sequence.TKI_ONLY),
        ({"line1": "carboplatin + paclitaxel"}, Sequence.CHEMOTHERAPY_ONLY),
        ({"line1": "Iressa", "line2": "cisplatin/gemcitabine"}, Sequence.TKI_THEN_CHEMOTHERAPY),
        ({"line1": "docetaxel", "line2": "tarceva"}, Sequence.CHEMOTHERAPY_THEN_TKI),
        (
            {"line1": "vinorelbine", "line2": "pemetrexed", "line3": "gefitinib"},
            "chemotherapy_then_chemotherapy",
        ),
    ],
)
def test_treatment_sequence(lines, expected):
    assert value("treatment_sequence", **{"line1": "", **lines}) == expected


def test_lines_are_put_in_the_order_of_their_dates():
    found = patient(
        diagnosis_date="2006-01-01",
        line1="gefitinib",
        line1_start="2006-08-01",
        line2="cisplatin",
        line2_start="2006-02-01",
    )
    assert found.frame["treatment_sequence"].iloc[0] == "chemotherapy_then_tki"
    assert found.frame["tki_months"].iloc[0] == pytest.approx(212 / (365.25 / 12))
    assert "not in the order of their dates" in found.problems[0].sentence


@pytest.mark.parametrize(
    ("lines", "days"),
    [
        pytest.param(
            {"line1": "docetaxel", "line1_start": "2020-06-01",
             "line2": "gefitinib", "line2_start": "2020-02-01"}, 182, id="lines-out-of-order"),
        pytest.param(
            {"line1": "supportive care", "line1_start": "2020-01-05",
             "line2": "gefitinib", "line2_start": "2020-03-01"}, 153, id="supportive-care-before"),
        pytest.param(
            {"line1": "gefitinib", "line1_start": "2020-02-01"}, 182, id="one-line"),
    ],
)  # fmt: skip
def test_progression_free_survival_begins_with_the_line_that_is_called_the_first(lines, days):
    """All have a TKI first, by the table of responses; from its first day to 1 August 2020, on a calendar."""
    found = patient(diagnosis_date="2020-01-01", progression_date="2020-08-01", **lines).frame.iloc[0]
    assert found["first_line"] == "egfr_tki"
    assert found["first_line_start_date"] == found["tki_start_date"]
    assert found["pfs_months"] == pytest.approx(days / 30.4375)


def test_tki_with_chemotherapy_is_chemotherapy():
    assert classify("carboplatin + pemetrexed + gefitinib") is Treatment.CHEMOTHERAPY
    assert sequence_of(Treatment.OTHER, None) is Sequence.OTHER


def test_survival_is_worked_out_from_dates():
    found = patient(
        diagnosis_date="2006-01-01",
        line1="gefitinib",
        line1_start="2006-01-31",
        progression_date="2006-07-01",
        death_date="2007-01-01",
    ).frame.iloc[0]
    month = 365.25 / 12
    assert found["os_months"] == pytest.approx(365 / month)
    assert found["os_event"]
    assert found["pfs_months"] == pytest.approx(151 / month)
    alive = patient(diagnosis_date="2006-01-01", last_contact_date="2006-03-02").frame.iloc[0]
    assert alive["os_months"] == pytest.approx(60 / month)
    assert not alive["os_event"]


TREATED = {"diagnosis_date": "2020-01-01", "line1": "gefitinib", "line1_start": "2020-02-01"}


@pytest.mark.parametrize(
    ("known", "died", "os_days", "pfs_days"),
    [
        pytest.param({"died": "yes", "last_contact_date": "2020-12-01"}, True, 335, 304, id="death-undated"),
        pytest.param({"os_months": 335 / 30.4375, "os_event": "yes"}, True, 335, 304, id="time-alone"),
        pytest.param({"os_months": 335 / 30.4375, "os_event": "no"}, False, 335, 304, id="alive-time-alone"),
        pytest.param({"death_date": "2020-12-01", "os_event": "no"}, False, 335, 304, id="death-denied"),
        pytest.param(
            {"death_date": "2020-12-01", "os_months": 100 / 30.4375}, True, 100, 69, id="other-time"
        ),
        pytest.param({"death_date": "2020-12-01", "os_months": 11.0}, True, 334.8, 304, id="months-rounded"),
    ],
)
def test_a_death_is_one_of_both_survivals_on_the_same_day(known, died, os_days, pfs_days):
    """Nobody here progressed: time of the first line from 1 February, of the disease from 1 January 2020."""
    found = patient(**TREATED, **known).frame.iloc[0]
    assert (found["os_event"], found["pfs_event"]) == (died, died)
    assert found["os_months"] * 30.4375 == pytest.approx(os_days, abs=0.1)
    assert found["pfs_months"] * 30.4375 == pytest.approx(pfs_days, abs=0.1)


def test_a_time_to_progression_that_is_not_given_is_worked_out():
    """As every derived column is, patient by patient: 90 days to 1 May 2020."""
    rows = {name: [value] * 3 for name, value in TREATED.items()}
    rows |= {
        "patient_id": list("abc"),
        "progression_date": ["2020-05-01"] * 3,
        "pfs_months": ["9", "", "2.96"],
    }
    rows |= {"pfs_event": ["yes", "", "no"], "last_contact_date": ["2020-12-01"] * 3}
    found = derive(read_clinical(pd.DataFrame(rows)))
    assert found.frame["pfs_months"].tolist() == pytest.approx([9, 90 / 30.4375, 2.96])
    assert found.frame["pfs_event"].tolist() == [True, True, False]
    assert [(p.patient_id, p.column) for p in found.problems] == [("a", "pfs_months"), ("c", "pfs_event")]


@pytest.mark.parametrize("known", [{"died": "yes"}, {"death_date": "2020-12-01"}])
def test_an_end_of_life_that_is_told_twice_differently_is_listed(known):
    found = patient(**TREATED, **known, os_months=11.0, os_event="no")
    assert [(p.column, p.sentence) for p in found.problems] == [
        ("os_event", "the patient is said to be dead; what is given here is used")
    ]


def test_every_problem_is_listed_at_once_with_row_and_column():
    table = pd.DataFrame(
        {
            "patient_id": ["a", "b", "b", "", "e"],
            "sex": ["female", "m", "male", "male", "Male"],
            "ecog_ps": ["1", "2", "2", "0", "2.5"],
            "diagnosis_date": ["2006-01-01", "01/02/2006", "2006-01-01", "2006-01-01", "2006-05-01"],
            "last_contact_date": ["2005-12-01", "2007-01-01", "2007-01-01", "2007-01-01", "2007-01-01"],
            "egfr_result": ["L858R", "see report", "", "WT", "del19"],
        }
    )
    found = derive(read_clinical(table))
    places = {(problem.row, problem.column, problem.value) for problem in found.problems}
    assert places >= {
        (3, "sex", "m"),
        (3, "diagnosis_date", "01/02/2006"),
        (4, "patient_id", "b"),
        (5, "patient_id", ""),
        (6, "ecog_ps", "2.5"),
        (2, "last_contact_date", "2005-12-01"),
        (3, "egfr_result", "see report"),
    }
    assert found.frame["patient_id"].tolist() == ["a", "b", "e"]
    assert found.frame["sex"].tolist()[2] == "male"
    assert (found.n_read, found.n_excluded) == (5, 2)


def test_a_given_value_that_contradicts_the_dates_is_kept_and_reported():
    found = patient(birth_date="1950-01-01", diagnosis_date="2006-01-01", age_years=66, smoking="nonsmoker",
                    cigarettes_lifetime=9000, last_smoked_date="1990-01-01")  # fmt: skip
    assert found.frame["age_years"].iloc[0] == 66
    assert {p.column for p in found.problems} >= {"age_years", "smoking"}


def test_an_excel_table_reads_as_its_csv_does(tmp_path):
    table = pd.DataFrame({"patient_id": ["1", "2"], "sex": ["female", "male"], "age_years": ["61", "N/A"]})
    table.to_excel(tmp_path / "t.xlsx", index=False)
    table.to_csv(tmp_path / "t.csv", index=False)
    frames = [read_clinical(read_table(tmp_path / name)).frame for name in ("t.xlsx", "t.csv")]
    pd.testing.assert_frame_equal(frames[0], frames[1])


def test_a_redcap_export_reads_through_a_mapping():
    """Checkboxes are `field___code` columns of 0 and 1; choices are codes."""
    table = pd.DataFrame(
        {
            "record_id": ["7"],
            "sex_code": ["2"],
            "mets___1": ["1"],
            "mets___2": ["0"],
            "dx": ["02-03-2006"],
            "fu": ["02-04-2006"],
        }
    )
    mapping = read_mapping(
        'date_format = "%d-%m-%Y"\n[columns]\npatient_id = "record_id"\nsex = "sex_code"\n'
        'metastasis_bone = "mets___1"\nmetastasis_brain = "mets___2"\ndiagnosis_date = "dx"\n'
        'last_contact_date = "fu"\n[values.sex]\n1 = "female"\n2 = "male"\n[constants]\nmipc = "yes"\n'
    )
    row = derive(read_clinical(table, mapping)).frame.iloc[0]
    assert (row["sex"], row["metastasis_bone"], row["metastasis_brain"], row["mipc"]) == (
        "male",
        True,
        False,
        True,
    )
    assert row["os_months"] == pytest.approx(31 / (365.25 / 12))


@pytest.mark.parametrize(
    ("table", "mapping", "problem"),
    [
        pytest.param({"id": ["1"]}, None, Problem.MISSING_COLUMN, id="no-patient-column"),
        pytest.param(
            {"patient_id": ["1"]},
            ClinicalMapping(columns={"sex": "Gender"}),
            Problem.MISSING_COLUMN,
            id="mapped-column-absent",
        ),
        pytest.param({"patient_id": [""]}, None, Problem.BAD_INPUT, id="nobody-left"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(table, mapping, problem):
    with pytest.raises(AnalysisError) as caught:
        read_clinical(pd.DataFrame(table), mapping)
    assert caught.value.problem is problem


def test_a_mapping_with_an_unknown_part_is_refused():
    with pytest.raises(AnalysisError, match="unknown parts: colums"):
        read_mapping("[colums]\nsex = 'Gender'\n")


def test_the_flow_says_who_was_left_out_and_why():
    frame = pd.DataFrame({"age": [50, 70, None, 60]})
    _, flow = choose(
        frame,
        Flow(()).then("in the table", 4, ""),
        [
            ("age known", frame["age"].notna(), "no age"),
            ("65 or more", frame["age"] >= 65, "younger than 65"),
        ],
    )
    assert flow.as_text() == (
        "in the table: 4\n  - 1 left out: no age\n"
        "age known: 3\n  - 2 left out: younger than 65\n65 or more: 1\n"
    )


def test_the_dictionary_holds_every_column_once():
    names = [column.name for column in COLUMNS]
    assert len(names) == len(set(names))
    assert all(f"`{name}`" in dictionary_markdown() for name in names)
    page = Path(__file__).parents[2] / "docs" / "columns.md"
    assert page.read_text(encoding="utf-8").endswith("\n\n" + dictionary_markdown())


@pytest.mark.skipif(not RADIOGENOMICS.exists(), reason="needs the clinical table: set MIPC_SHARED")
def test_the_radiogenomics_table_is_read_with_its_contradictions():
    """The README of the table: 211 patients; EGFR 43 mutant, 129 wild type, 39 not tested; 63 deaths."""
    text = resources.files("analysis").joinpath("nsclc_radiogenomics.toml").read_text()
    found = derive(read_clinical(read_table(RADIOGENOMICS), read_mapping(text)))
    counts = found.frame["egfr_status"].value_counts()
    assert counts.to_dict() == {"wild_type": 129, "mutation": 43, "not_tested": 39}
    assert found.frame["os_event"].sum() == 63
    assert len(found.frame) == 211
    contradictions = {p.patient_id: p.sentence for p in found.problems if p.column == "os_months"}
    # R01-037: dead at 28 days by the days column, last known alive then, but the date of death is a year on.
    assert contradictions["R01-037"] == "dates give 13.31 months; the given time is used"
    assert len(contradictions) == 16
    assert ("R01-106", "is before the diagnosis") in {(p.patient_id, p.sentence) for p in found.problems}
    assert ("AMC-038", "weight_kg") in {(p.patient_id, p.column) for p in found.problems}


def test_an_excel_table_of_dates_and_numbers_reads_as_its_csv_does(tmp_path):
    """Cells that Excel knows as dates and numbers, as clinics keep them, whatever format the texts are in."""
    table = pd.DataFrame(
        {
            "patient_id": ["a", "b"],
            "diagnosis_date": ["2010-03-01", "2010-04-01"],
            "death_date": ["2011-03-01", ""],
            "last_contact_date": ["2011-03-01", "2012-04-01"],
            "age_years": ["61", "70.5"],
            "ecog_ps": ["1", "2"],
        }
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    cells = table.assign(age_years=[61.0, 70.5], ecog_ps=[1, 2])
    for name in ("diagnosis_date", "death_date", "last_contact_date"):
        cells[name] = pd.to_datetime(table[name])
    cells.to_excel(tmp_path / "t.xlsx", index=False)
    there = read_mapping('date_format = "%d.%m.%Y"')
    found = [
        read_clinical(read_table(tmp_path / name), mapping)
        for name, mapping in (("t.csv", None), ("t.xlsx", None), ("t.xlsx", there))
    ]
    assert [clinical.problems for clinical in found] == [(), (), ()]
    pd.testing.assert_frame_equal(found[0].frame, found[1].frame)
    pd.testing.assert_frame_equal(found[0].frame, found[2].frame)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_is_cut_where_its_first_line_is(tmp_path, separator):
    lines = ["\ufeffpatient_id,sex,os_months", "Müller,male,7", "", "Žlutý,,8", ",,"]
    text = "\n".join(lines).replace(",", separator)
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    found = read_clinical(read_table(tmp_path / "t.csv"))
    assert found.frame["patient_id"].tolist() == ["Müller", "Žlutý"]
    assert found.frame["os_months"].tolist() == [7, 8]
    assert found.frame["table_row"].tolist() == [2, 4]  # as a spreadsheet counts, the empty line too
    assert (found.n_read, found.problems) == (2, ())


@pytest.mark.parametrize(
    ("separator", "quote"), [pytest.param(";", "", id="semicolons"), pytest.param(",", '"', id="quoted")]
)
@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        pytest.param(["3,5", "12", "1,234"], [3.5, 12, 1.234], id="one-that-is-no-thousands-tells"),
        pytest.param(["0,125", ""], [0.125, None], id="no-thousand-begins-with-nought"),
        pytest.param(["1,234", "12"], [None, 12], id="a-thousand-or-a-bit-more-than-one"),
        pytest.param(["3,5", "3.5"], [None, 3.5], id="beside-points"),
        pytest.param(["3,5", "1,234,567"], [None, None], id="beside-thousands"),
    ],
)
def test_decimal_commas_are_read_where_a_column_leaves_no_doubt(tmp_path, separator, quote, cells, numbers):
    lines = [f"patient_id{separator}os_months"]
    lines += [f"{place}{separator}{quote}{cell}{quote}" for place, cell in enumerate(cells)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    found = read_clinical(read_table(tmp_path / "t.csv"))
    assert [None if pd.isna(one) else one for one in found.frame["os_months"]] == numbers
    said = [(problem.row, problem.column, problem.value, problem.sentence) for problem in found.problems]
    if any(number is not None and "," in cell for cell, number in zip(cells, numbers, strict=True)):
        count = sum("," in cell for cell in cells)
        assert said == [
            (0, "os_months", cells[0], f"its commas were read as decimal points, in rows: {count}")
        ]
    else:
        sentence = "expected a number; the column does not tell whether the comma is a decimal one"
        assert (2, "os_months", cells[0], sentence) in said


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"patient_id,os_months\na,1,\nb,2,\n", "Expected 2 fields in line 2, saw 3"),  # not an index column
        (b"patient_id,sex,sex\na,male,female\n", "two columns 'sex'"),
        ("patient_id\nM\u00fcller\n".encode("latin-1"), "t.csv is not text in UTF-8: save it as CSV UTF-8"),
        (b"Patient ID,sex\na,male\n", "no column 'patient_id'; it has Patient ID, sex"),
        (b"patient_id\n,\n", "cannot be read|holds no rows"),
        (b"", "cannot be read as a table"),
    ],
)
def test_a_table_that_would_be_misread_is_refused(tmp_path, content, sentence):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(AnalysisError, match=sentence):
        read_clinical(read_table(tmp_path / "t.csv"))


@pytest.mark.parametrize("text", ["inf", "-Infinity", "1e400"])
def test_no_time_is_without_end(text):
    found = read_clinical(pd.DataFrame({"patient_id": ["a"], "os_months": [text]}))
    assert found.frame["os_months"].isna().all()
    assert [problem.sentence for problem in found.problems] == ["expected a number"]


def test_columns_of_others_may_share_a_name(tmp_path):
    (tmp_path / "t.csv").write_text("patient_id,comment,comment,\na,x,y,\n")
    assert read_clinical(read_table(tmp_path / "t.csv")).frame.columns.tolist() == [
        "patient_id", "comment", "comment.1", "table_row",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('missing = "NA"', "missing is a list of texts, not 'NA'"),  # not the letters N and A
        ("missing = [1]", "missing is a list of texts"),
        ('date_format = "%Q"', "date_format is a format as %Y-%m-%d, not '%Q'"),
        ('columns = ["sex"]', r"\[columns\] is a table"),
        ("[columns]\nsex = 3", r"\[columns\] sex is the name of a column, not 3"),
        ('[factors]\nweight_kg = "0.45"', r"\[factors\] weight_kg is a number, not '0.45'"),
        ('[values]\nsex = "male"', r"\[values\] sex is a table, not 'male'"),
        ('[plus_days]\nsex = "x"', r"\[plus_days\] sex is no date"),
    ],
)
def test_a_mapping_that_cannot_be_followed_is_refused(text, sentence):
    with pytest.raises(AnalysisError, match=sentence) as caught:
        read_mapping(text)
    assert caught.value.problem is Problem.BAD_PLAN


def test_a_truth_in_a_mapping_is_a_truth():
    table = pd.DataFrame({"patient_id": ["a", "b"], "status": ["Dead", "Lost"]})
    mapping = read_mapping('[columns]\ndied = "status"\n[values.died]\ndead = true\nlost = false')
    assert read_clinical(table, mapping).frame["died"].tolist() == [True, False]


def test_days_that_cannot_be_added_are_told():
    table = pd.DataFrame(
        {"patient_id": list("abc"), "ct": ["2010-01-01", "2010-01-01", ""], "d": ["31", "N/A", "x"]}
    )
    mapping = read_mapping('[columns]\ndiagnosis_date = "ct"\n[plus_days]\ndiagnosis_date = "d"')
    found = read_clinical(table, mapping)
    assert found.frame["diagnosis_date"].iloc[0] == pd.Timestamp("2010-02-01")
    assert [(p.row, p.column, p.value) for p in found.problems] == [(3, "d", "N/A")]
    with pytest.raises(AnalysisError, match="no column 'diagnosis_date'"):
        read_clinical(table, read_mapping('[plus_days]\ndiagnosis_date = "d"'))


def test_what_is_impossible_in_our_unit_is_told_in_it():
    table = pd.DataFrame({"patient_id": ["a"], "lbs": ["49.1"]})
    mapping = read_mapping('[columns]\nweight_kg = "lbs"\n[factors]\nweight_kg = 0.45359237')
    (problem,) = read_clinical(table, mapping).problems
    assert (problem.value, problem.sentence) == ("49.1", "expected 25 or more, found 22.27 in our unit")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("no chemotherapy", Treatment.SUPPORTIVE),
        ("chemotherapy refused", Treatment.SUPPORTIVE),
        ("declined treatment", Treatment.SUPPORTIVE),
        ("nil", Treatment.SUPPORTIVE),
        ("ALK TKI", Treatment.OTHER),
        ("UFT", Treatment.CHEMOTHERAPY),  # tegafur and uracil
        ("S-1", Treatment.CHEMOTHERAPY),  # tegafur, gimeracil and oteracil
        ("carboplatin, no bevacizumab", Treatment.CHEMOTHERAPY),
        ("EGFR-TKI", Treatment.TKI),
    ],
)
def test_a_treatment_that_was_not_given_is_none(text, kind):
    assert classify(text) is kind


def test_an_unknown_first_line_is_not_supportive_care():
    table = pd.DataFrame(
        {"patient_id": list("abc"), "line1": ["Unknown", "N/A", ""], "line2": ["", "", "n/a"]}
    )
    found = derive(read_clinical(table))
    assert found.frame["first_line"].tolist() == ["other", "best_supportive_care", "best_supportive_care"]
    told = [(p.row, p.column, p.value) for p in found.problems if p.column.startswith("line")]
    assert told == [(2, "line1", "Unknown")]
